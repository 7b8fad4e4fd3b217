"""Speed of lifting: keypoints to samples, against a baseline in the same run.

    OMP_NUM_THREADS=2 python benchmarks/lifting.py [--lifter mdn]

Baselines: for a mixture ``MixtureSameFamily`` over dense ``MultivariateNormal`` components with the same
parameters; for a flow the same network with the evidence's part of the couplings computed for every sample.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

import poseterior as pp
from poseterior.distributions.flow import FlowPoseDistribution
from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.lifters.flow import FlowLifter
from poseterior.nn.coupling import StandardisedCouplings


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


def unfactored(lifter: FlowLifter, keypoints: pp.Keypoints2D, samples: int) -> Callable[[], FlowPoseDistribution]:
    """The flow with its encoder run once a pose, but the couplings' context part computed for every sample."""
    standardise, context, turn = lifter.encode(keypoints.as_skeleton(lifter.skeleton))
    repeated = context.expand(samples, *context.shape).contiguous()

    def build() -> FlowPoseDistribution:
        transform = StandardisedCouplings(standardise, lifter.couplings(repeated))
        batch = torch.Size((samples, *keypoints.batch_shape))
        return FlowPoseDistribution(
            transform, batch, lifter.config.temperature, turn, lifter.skeleton, like=standardise.loc
        )

    return build


def compare(what: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    mine, baseline = median_seconds(ours, repeats=10), median_seconds(theirs, repeats=5)
    print(f"{what}: {1e3 * mine:.1f} ms; baseline {1e3 * baseline:.1f} ms: {baseline / mine:.2f} x")


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lifter", default="mdn")
    lifter = pp.load(parser.parse_args().lifter)
    one = pp.example_keypoints()[2:3]
    many = pp.Keypoints2D.cat([one] * 64)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")

    frame = median_seconds(lambda: lifter(one).sample((200,), seed=0))
    print(f"one frame, 200 hypotheses, keypoints to samples: {1e3 * frame:.2f} ms median")
    whole = median_seconds(lambda: lifter(many).sample((200,), seed=0))
    print(
        f"64 poses x 200 hypotheses, keypoints to samples: {1e3 * whole:.1f} ms median, {12_800 / whole:,.0f} a second"
    )
    posterior = lifter.distribution(many.as_skeleton(lifter.skeleton))  # as the network says: the baselines are of that
    poses = posterior.sample((200,), seed=0)
    if isinstance(posterior, MixturePoseDistribution):
        compare("sampling alone", lambda: posterior.sample((200,), seed=0), lambda: dense(posterior).sample((200,)))
        flat = poses[..., 1:, :].flatten(-2)
        compare("log_prob of 12,800", lambda: posterior.log_prob(poses), lambda: dense(posterior).log_prob(flat))
    elif isinstance(lifter, FlowLifter):
        plain = unfactored(lifter, many, 200)
        compare("sampling alone", lambda: posterior.sample((200,), seed=0), lambda: plain().sample(seed=0))
        compare("log_prob of 12,800", lambda: posterior.log_prob(poses), lambda: plain().log_prob(poses))


if __name__ == "__main__":
    main()
