"""Keypoints that are simply wrong, and told to be sure: what they cost, with and without shares of outliers.

    python benchmarks/wrong_keypoints.py stores/cmu-test --lifters mdn flow

Some of the visible keypoints of simulated pictures are moved by half a person's size in any direction; their
covariances stay. Shares of outliers are told to be none, 1 % and 5 % of all joints. Prints mean error, energy score,
and how much regions of 90 % hold, with nothing moved and with 5 % of the keypoints.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch

import poseterior as pp
from poseterior.data.observations import Observations
from poseterior.data.simulation.protocols import simulate


def moved(keypoints: pp.Keypoints2D, rate: float, far: float, seed: int) -> pp.Keypoints2D:
    """Some of the visible keypoints so many sizes of the person away."""
    generator = torch.Generator().manual_seed(seed)
    shape = keypoints.visible.shape
    wrong = (torch.rand(shape, generator=generator) < rate) & keypoints.visible
    angle = 2 * math.pi * torch.rand(shape, generator=generator)
    step = far * keypoints.size[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1)
    return keypoints._replace(xy=torch.where(wrong[..., None], keypoints.xy + step, keypoints.xy))


@torch.no_grad()
def numbers(lifter: pp.Lifter, keypoints: pp.Keypoints2D, data: Observations) -> dict[str, float]:
    """Of all joints but the root; millimetres, and seconds of processor time."""
    start = time.process_time()
    poses = lifter(keypoints)
    drawn, region = poses.sample((200,), seed=0), poses.region(0.9)
    spent = time.process_time() - start
    joints = data.observed.clone()
    joints[:, 0] = False
    miss = (drawn - data.pose).norm(dim=-1).mean(0)
    apart = (drawn[:100] - drawn[100:]).norm(dim=-1).mean(0)
    return {
        "MPJPE": 1000 * float((poses.mean - data.pose).norm(dim=-1)[joints].mean()),
        "energy score": 1000 * float((miss - 0.5 * apart)[joints].mean()),
        "region(0.9) holds": float(region.contains(data.pose)[joints].double().mean()),
        "seconds": spent,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="poses of people that no network was trained on")
    parser.add_argument("--lifters", nargs="+", default=["mdn", "flow"])
    parser.add_argument("--poses", type=int, default=300)
    parser.add_argument("--protocol", default="people")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = simulate(options.store, options.protocol, options.poses).observations
    for name in options.lifters:
        lifter = pp.load(name)
        for rate in (0.0, 0.05):
            for share in (0.0, 0.01, 0.05):
                seen = moved(data.keypoints, rate, 0.5, 5)
                told = seen._replace(outliers=torch.full(seen.visible.shape, share)) if share else seen
                found = ", ".join(f"{key} {value:.3f}" for key, value in numbers(lifter, told, data).items())
                print(f"{name}, {100 * rate:g} % moved, shares {share:g}: {found}", flush=True)


if __name__ == "__main__":
    main()
