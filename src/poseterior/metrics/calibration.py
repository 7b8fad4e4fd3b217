"""Are the error bars right? Coverage of samples over the truth.

For each pose and joint, distances are taken from the coordinate-wise median of the samples (Pierzchlewicz et
al. 2022). The truth's distance has a rank among the samples'; if the distribution is right the rank is uniform.
The rank is randomised, so that it is exactly uniform for a right distribution at any number of samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["LEVELS", "Calibration", "calibration_error", "coverage_ranks"]

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

    def worst(self) -> float:
        """Largest error of a joint."""
        return float(self.error[self.error.isfinite()].max())


def calibration_error(
    ranks: Float[Tensor, "poses joints"], counted: Bool[Tensor, "poses joints"] | None = None
) -> Calibration:
    """Calibration a joint from `coverage_ranks`; only ranks where ``counted`` are used."""
    weight = torch.ones_like(ranks) if counted is None else counted.to(ranks.dtype)
    count = weight.sum(0)
    levels = torch.tensor(LEVELS, dtype=ranks.dtype, device=ranks.device)
    inside = (ranks.unsqueeze(0) <= levels[:, None, None]).to(ranks.dtype) * weight
    coverage = inside.sum(1) / count
    gap = levels[:, None] - coverage
    return Calibration(gap.abs().mean(0), gap.mean(0), coverage, count)
