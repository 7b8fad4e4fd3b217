"""Distributions over poses that are known by their samples."""

from __future__ import annotations

from torch import Tensor

from .base import PoseDistribution

__all__ = ["SampledPoseDistribution"]


class SampledPoseDistribution(PoseDistribution):
    """A distribution known by its samples: mean, median and covariance are those of `summary_draws` fixed draws.

    Subclasses implement `_draw` alone; the draws are made once, under seed 0 and without gradients.
    """

    def _mean(self) -> Tensor:
        return self._moments()[0]

    def _rough_mean(self) -> Tensor:
        return self._draws_for_summary(self.rough_draws).mean(0)

    def _covariance(self) -> Tensor:
        return self._blocks(self._moments()[1])

    def _joint_moments(self) -> tuple[Tensor, Tensor]:
        return self._moments()

    def _moments(self) -> tuple[Tensor, Tensor]:
        if "moments" not in self._cache:
            self._cache["moments"] = super()._joint_moments()
        return self._cache["moments"]
