"""At which temperature a flow's answers have the least energy score once the keypoints are given to them.

    python benchmarks/flow_temperature.py WEIGHTS STORE --recipe flow-people-finish

Training fits the temperature of the network's own answers, by their likelihood; what the evidence adds afterwards
makes some of that width needless. Measured on the clips of the store that the recipe holds out, seen by the simulator
that it calibrates with; WEIGHTS come with their evidence (`poseterior calibrate --evidence`). For each temperature:
the energy score (mm, mean over joints), and the calibration error of the samples' distances from their median, with
its sign (positive: over-confident).
"""

from __future__ import annotations

import argparse
import dataclasses

import torch

from poseterior.data.simulation.simulator import Simulator
from poseterior.data.store import PoseStore
from poseterior.lifters import load
from poseterior.training.recipes import read_recipe
from poseterior.training.run import split_clips

SAMPLES, TOGETHER = 200, 200


def energy_score(samples: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
    """Of each pose, metres: ``(samples, n, joints, 3)`` and ``(n, joints, 3)`` to ``(n,)``."""
    half = len(samples) // 2
    miss = (samples - pose).norm(dim=-1).mean(-1).mean(0)
    return miss - 0.5 * (samples[:half] - samples[half : 2 * half]).norm(dim=-1).mean(-1).mean(0)


def ranks(samples: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
    """Share of samples that are nearer to their median than the truth, of joints but the pelvis."""
    middle = samples.median(0).values
    return ((samples - middle).norm(dim=-1) < (pose - middle).norm(dim=-1)).float().mean(0)[:, 1:]


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("store")
    parser.add_argument("--recipe", default="flow-people-finish")
    parser.add_argument("--poses", type=int, default=1200)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 1.03, 1.06, 1.1, 1.15, 1.22])
    options = parser.parse_args()
    recipe = read_recipe(options.recipe, [f"data={options.store}"])
    held = split_clips(PoseStore(options.store).load(fps=recipe.fps), recipe.validation, recipe.schedule.seed)[1]
    assert held is not None
    assert recipe.calibrate is not None
    observations = Simulator(held, recipe.calibrate)(options.poses, torch.Generator().manual_seed(7))
    lifter = load(options.weights)
    levels = torch.linspace(0.05, 0.95, 19).unsqueeze(-1)
    for temperature in options.temperatures:
        lifter.config = dataclasses.replace(lifter.config, temperature=temperature)
        scores, found = [], []
        for start in range(0, options.poses, TOGETHER):
            rows = slice(start, start + TOGETHER)
            samples = lifter(observations.keypoints[rows]).sample((SAMPLES,), seed=0)
            scores.append(energy_score(samples, observations.pose[rows]))
            found.append(ranks(samples, observations.pose[rows]))
        held_by = (torch.cat(found) <= levels.unsqueeze(-1)).float().mean(1)
        gap = levels - held_by
        score = 1e3 * float(torch.cat(scores).mean())
        print(
            f"{temperature:5.2f}  {score:7.2f} mm  {float(gap.abs().mean()):.3f}  {float(gap.mean()):+.3f}", flush=True
        )


if __name__ == "__main__":
    main()
