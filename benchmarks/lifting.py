"""Speed of lifting: keypoints to samples, against torch.distributions' own mixture in the same run.

    OMP_NUM_THREADS=2 python benchmarks/lifting.py [--lifter mdn]

The baseline is ``MixtureSameFamily`` over dense ``MultivariateNormal`` components with the same parameters.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

import poseterior as pp
from poseterior.distributions import MixturePoseDistribution


def median_seconds(call: Callable[[], object], repeats: int = 30) -> float:
    for _ in range(5):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def dense(d: MixturePoseDistribution) -> MixtureSameFamily:
    joints = d.loc.shape[-2]
    lower = torch.zeros(*d.loc.shape[:-2], joints * 3, joints * 3)
    for j in range(joints):
        lower[..., 3 * j : 3 * j + 3, 3 * j : 3 * j + 3] = d.scale_tril[..., j, :, :]
    inner = torch.eye(joints * 3).expand_as(lower)
    if d.factor is not None:
        inner = inner + d.factor @ d.factor.transpose(-1, -2)
    root = lower @ torch.linalg.cholesky(inner)
    normal = MultivariateNormal(d.loc.flatten(-2), scale_tril=root, validate_args=False)
    return MixtureSameFamily(Categorical(logits=d.log_weights), normal, validate_args=False)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lifter", default="mdn")
    lifter = pp.load(parser.parse_args().lifter)
    one = pp.example_keypoints()[2:3]
    many = pp.Keypoints2D.cat([one] * 64)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")

    frame = median_seconds(lambda: lifter(one).sample((200,), seed=0))
    print(f"one frame, 200 hypotheses, keypoints to samples: {1e3 * frame:.2f} ms median (bar 5 ms)")
    whole = median_seconds(lambda: lifter(many).sample((200,), seed=0))
    print(f"64 poses x 200 hypotheses, keypoints to samples: {1e3 * whole:.1f} ms median (bar 100 ms)")
    posterior = lifter(many)
    ours = median_seconds(lambda: posterior.sample((200,), seed=0))
    theirs = median_seconds(lambda: dense(posterior).sample((200,)), repeats=5)
    print(f"sampling alone: {1e3 * ours:.1f} ms; torch's dense mixture {1e3 * theirs:.1f} ms: {theirs / ours:.1f} x")
    poses = posterior.sample((200,), seed=0)
    flat = poses[..., 1:, :].flatten(-2)
    ours = median_seconds(lambda: posterior.log_prob(poses), repeats=5)
    theirs = median_seconds(lambda: dense(posterior).log_prob(flat), repeats=3)
    print(
        f"log_prob of 12,800: {1e3 * ours:.1f} ms; torch's dense mixture {1e3 * theirs:.1f} ms: {theirs / ours:.1f} x"
    )


if __name__ == "__main__":
    main()
