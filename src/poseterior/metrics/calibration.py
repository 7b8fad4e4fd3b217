"""Are the error bars right? Coverage of samples over the truth.

For each pose and joint, distances are taken from the coordinate-wise median of the samples (Pierzchlewicz et
al. 2022). The truth's distance has a rank among the samples'; if the distribution is right the rank is uniform.
The rank is randomised, which removes the steps of few samples. What is left: the median is nearer to the samples
that it was taken from than to the truth, so that even a right distribution looks a little over-confident with few
samples; `calibration_floor` says how much.

`coverage_ranks` and `calibration_error` are the numbers to trust: each joint counts. `published_error` is the number in
papers, the median over joints, in which joints that are too sure and joints that are too unsure cancel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..distributions.balls import quantiles
from ..files.errors import InputError

__all__ = [
    "LEVELS",
    "Calibration",
    "Floor",
    "calibration_error",
    "calibration_floor",
    "coverage_ranks",
    "published_error",
    "published_inside",
]

#: Quantile levels at which coverage is compared: 0, 0.05, ..., 1.
LEVELS = tuple(0.05 * i for i in range(21))


def coverage_ranks(
    samples: Float[Tensor, "samples *batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*batch joints"]:
    """Randomised rank in (0, 1) of the truth's distance from the sample median among the samples' distances."""
    median = samples.median(0).values
    radius = (samples - median).norm(dim=-1)
    actual = (truth - median).norm(dim=-1)
    below = (radius < actual).sum(0)
    ties = (radius == actual).sum(0)
    random = torch.rand(actual.shape, generator=generator, device=actual.device)
    return (below + random * (ties + 1)) / (len(samples) + 1)


@dataclass(frozen=True)
class Calibration:
    """Calibration over a set of poses.

    Attributes:
        error: ``(joints,)`` mean over levels q of ``|share of ranks below q - q|``; NaN without observations.
        signed: ``(joints,)`` mean over levels of ``q - share``: positive is over-confident, at most 0.5.
        coverage: ``(levels, joints)`` share of truths inside the q-credible ball.
        count: ``(joints,)`` number of poses behind each joint.
    """

    error: Tensor
    signed: Tensor
    coverage: Tensor
    count: Tensor

    def _mean(self, values: Tensor, joints: list[int] | None) -> float:
        picked = values if joints is None else values[joints]
        return float(picked[picked.isfinite()].mean())

    def mean(self, joints: list[int] | None = None) -> float:
        """Mean error over the joints (the root never counts: it is exact by definition)."""
        return self._mean(self.error, joints)

    def mean_signed(self, joints: list[int] | None = None) -> float:
        """Mean signed error over the joints; positive is over-confident."""
        return self._mean(self.signed, joints)

    def worst(self, joints: list[int] | None = None) -> float:
        """Largest error of one of the joints."""
        picked = self.error if joints is None else self.error[joints]
        return float(picked[picked.isfinite()].max())


def _levels(like: Tensor) -> Float[Tensor, "levels"]:
    return torch.tensor(LEVELS, dtype=like.dtype, device=like.device)


def calibration_error(
    ranks: Float[Tensor, "poses joints"], counted: Bool[Tensor, "poses joints"] | None = None
) -> Calibration:
    """Calibration per joint from `coverage_ranks`; only ranks where ``counted`` are used."""
    weight = torch.ones_like(ranks) if counted is None else counted.to(ranks.dtype)
    count = weight.sum(0)
    levels = _levels(ranks)
    inside = (ranks.unsqueeze(0) <= levels[:, None, None]).to(ranks.dtype) * weight
    coverage = inside.sum(1) / count
    gap = levels[:, None] - coverage
    return Calibration(gap.abs().mean(0), gap.mean(0), coverage, count)


# -- the published number ----------------------------------------------------------------------------------------


def _balls(
    samples: Float[Tensor, "samples *batch 3"],
) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "levels *batch"]]:
    """Centre and radii of the published balls: coordinate-wise median, interpolated quantiles of the distances."""
    centre = samples.median(0).values
    return centre, quantiles((samples - centre).norm(dim=-1), LEVELS)


def published_inside(
    samples: Float[Tensor, "samples *batch joints 3"], truth: Float[Tensor, "*batch joints 3"]
) -> Bool[Tensor, "levels *batch joints"]:
    """Whether the truth is inside the ball of each of `LEVELS`, as published (Pierzchlewicz et al. 2022).

    The ball of level q is centred at the coordinate-wise median of the samples; its radius is the q-quantile of the
    samples' distances to the centre, linear between order statistics. A truth on the surface is inside.

    Concatenate the answers for chunks of poses along ``batch`` for `published_error`. Joints are taken one at a
    time: memory beyond the answer is a few times that of one joint's samples.
    """
    inside = []
    for joint in range(truth.shape[-2]):
        centre, radius = _balls(samples[..., joint, :])
        inside.append((truth[..., joint, :] - centre).norm(dim=-1) <= radius)
    return torch.stack(inside, -1)


def published_error(
    inside: Bool[Tensor, "levels *batch joints"],
    counted: Bool[Tensor, "*batch joints"] | None = None,
    joints: list[int] | None = None,
) -> float:
    """The calibration error that papers print, of what `published_inside` found (Pierzchlewicz et al. 2022).

    ``mean over levels q of |median over joints of (share of truths inside the q-ball) - q|``. A median of an even
    number of joints is the mean of the two in the middle. Half the joints at half the right spread and the others at
    twice score 0.125, though their mean error per joint is 0.34. With few samples it is far from 0 for a right
    distribution: see `calibration_floor`.

    Args:
        counted: poses and joints that count; default all. A joint that never counts is left out.
        joints: joints that the median is over, default all. Leave out the root, which is exact by definition.

    Returns:
        The error in 0..0.5; NaN if nothing counts.
    """
    inside = inside.flatten(1, -2)
    weight = torch.ones(inside.shape[1:], device=inside.device) if counted is None else counted.flatten(0, -2).float()
    coverage = (inside * weight).sum(1) / weight.sum(0)
    picked = coverage if joints is None else coverage[:, joints]
    # nanquantile, not median: of an even number of joints it takes the mean of the two in the middle.
    middle = picked.nanquantile(0.5, dim=1)
    return float((middle - _levels(middle)).abs().mean())


# -- what a right distribution scores ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Floor:
    """What a right distribution scores on average: `Calibration.mean` and `published_error`."""

    mean: float
    published: float


@lru_cache(maxsize=16)
def _right_coverage(samples: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Coverage at each level, ``(levels,)``, of the ranks and of the published balls of a right distribution.

    And the state in which the random numbers are left.
    """
    generator = torch.Generator().manual_seed(seed)
    sets = min(20_000, max(1, 2_000_000 // samples))
    drawn = torch.randn(samples, sets, 3, generator=generator)
    # A million truths, many for each set of samples: a set costs a sort, a truth next to nothing.
    truth = torch.randn(1_000_000 // sets, sets, 3, generator=generator)
    centre, radius = _balls(drawn)
    distance = (truth - centre).norm(dim=-1)
    inside = distance.unsqueeze(0) <= radius.unsqueeze(1)
    ordered = (drawn - centre).norm(dim=-1).sort(0).values.T.contiguous()
    below = torch.searchsorted(ordered, distance.T.contiguous())
    ranks = (below + torch.rand(below.shape, generator=generator)) / (samples + 1)
    shares = torch.stack([(ranks <= level).float().mean() for level in LEVELS])
    return shares, inside.float().mean((1, 2)), generator.get_state()


def calibration_floor(poses: int, samples: int, joints: int = 16, repeats: int = 100, seed: int = 0) -> Floor:
    """What a right distribution scores, on average, at this number of poses and of samples.

    By simulation: first of the coverage that an isotropic Gaussian reaches with so many samples (a million truths),
    then, ``repeats`` times, of the binomial number of truths inside at each level and joint.

    ======  =======  =====  =========
    poses   samples  mean   published
    ======  =======  =====  =========
    100     10       0.064  0.080
    100     50       0.032  0.019
    100     200      0.029  0.010
    1,000   10       0.062  0.080
    1,000   50       0.016  0.018
    1,000   200      0.010  0.005
    10,000  10       0.062  0.079
    10,000  50       0.014  0.018
    10,000  200      0.005  0.005
    ======  =======  =====  =========

    Joints of a body do not err independently, which leaves the mean's floor as it is and raises the published one, to
    that of ``joints=1`` at most. Frames of a clip are not independent poses either: give as many poses as they count
    for (`poseterior.metrics.resampling.effective_number`).

    Args:
        poses: independent truths behind each joint.
        samples: hypotheses per pose.
        joints: joints that the published median is over.
        repeats: simulated data sets that the floor is averaged over.
        seed: of the simulation; the same seed gives the same floor.

    Raises:
        InputError: a number below 1.
    """
    for name, value in (("poses", poses), ("samples", samples), ("joints", joints), ("repeats", repeats)):
        if value < 1:
            raise InputError(f"calibration floor: {name}: expected 1 or more, got {value}")
    by_rank, published, state = _right_coverage(samples, seed)
    generator = torch.Generator()
    generator.set_state(state)
    levels = _levels(by_rank)

    def simulated(coverage: Tensor) -> Float[Tensor, "repeats joints levels"]:
        probability = coverage.clamp(0.0, 1.0).expand(repeats, joints, -1)
        return torch.binomial(torch.full_like(probability, poses), probability, generator=generator) / poses

    middle = simulated(published).quantile(0.5, dim=1)
    return Floor(float((simulated(by_rank) - levels).abs().mean()), float((middle - levels).abs().mean()))
