"""Is the Gaussian update by the keypoints better inside the network, trained end to end, than after it?

    python benchmarks/evidence_inside.py runs/mdn-people/weights --data stores/train --test stores/cmu-test

Goes on training the weights twice for the same few steps on the same batches: once as they were trained, given the
evidence afterwards; once on the likelihood of what comes out after it, so that the network learns what to leave to the
update (gradients do not pass through the update's own matrices). Prints the energy scores on other people.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from poseterior.data.simulation.protocols import simulate
from poseterior.data.simulation.simulator import Simulator, SimulatorConfig
from poseterior.data.store import PoseStore
from poseterior.distributions.evidence import Evidence
from poseterior.distributions.given import given_evidence
from poseterior.evaluation.calibrate import OTHER_PEOPLE
from poseterior.evaluation.evidence import fit_evidence
from poseterior.lifters import Lifter, load


def energy_score(lifter: Lifter, data, samples: int = 100) -> float:
    """Mean over joints and poses, mm, without the root."""
    with torch.no_grad():
        poses = lifter(data.keypoints).sample((2 * samples,), seed=0)
    miss = (poses - data.pose).norm(dim=-1).mean(0)
    apart = (poses[:samples] - poses[samples:]).norm(dim=-1).mean(0)
    return float((1000 * (miss - 0.5 * apart))[:, 1:][data.observed[:, 1:]].mean())


def trained(lifter: Lifter, simulator: Simulator, steps: int, batch: int, rate: float, inside: bool) -> float:
    """Train in place; seconds per step."""
    lifter.train().requires_grad_(True)
    evidence, lifter.evidence, lifter.recalibration = lifter.evidence, None, None
    optimiser = torch.optim.AdamW(lifter.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    began = time.perf_counter()
    for step in range(steps):
        seen = simulator(batch, torch.Generator().manual_seed(1000 + step))
        posterior = lifter(seen.keypoints)
        if inside:
            posterior = given_evidence(posterior, seen.keypoints, evidence)
        whole = seen.observed.all(-1)
        loss = -posterior.log_prob(seen.pose)[whole].mean() / 48
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lifter.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    lifter.eval().requires_grad_(False)
    lifter.evidence = evidence
    return (time.perf_counter() - began) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("--data", type=Path, required=True, help="store to train on")
    parser.add_argument("--test", type=Path, required=True, help="store to measure on")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--poses", type=int, default=300)
    options = parser.parse_args()
    simulator = Simulator(PoseStore(options.data).load(fps=30), SimulatorConfig(**OTHER_PEOPLE))
    held = simulator(1500, torch.Generator().manual_seed(7))
    tests = {name: simulate(options.test, name, options.poses).observations for name in ("people", "people-exact")}
    for inside in (False, True):
        lifter = load(options.weights, recalibrated=False)
        lifter.evidence = lifter.evidence or Evidence()
        seconds = trained(lifter, simulator, options.steps, options.batch, options.rate, inside)
        if not inside:
            lifter.evidence = None
            lifter.evidence = fit_evidence(lifter, held)
        scores = ", ".join(f"{name} {energy_score(lifter, data):.2f} mm" for name, data in tests.items())
        where = "inside the network" if inside else "after the network"
        print(f"update {where}: energy score {scores}; {1000 * seconds:.0f} ms a step", flush=True)


if __name__ == "__main__":
    main()
