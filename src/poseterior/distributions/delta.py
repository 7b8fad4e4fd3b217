"""All probability on one pose: what regression without error bars answers."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.skeletons import Skeleton
from .base import PoseDistribution

__all__ = [
    "PointPoseDistribution",
]


class PointPoseDistribution(PoseDistribution):
    """All probability on one pose, as regression without error bars answers.

    Args:
        loc: ``(*batch, joints, 3)`` metres, camera axes. It is moved so that its root is at zero.
        image_scale: ``(*batch,)`` what a network says of the camera, see `poseterior.lifters.regression`; None
            where it says nothing.
        skeleton: joint order.

    Attributes:
        root_offset: ``(*batch, 3)`` where the root was before: networks that place it themselves learn to put it
            at zero.
    """

    has_density = False
    has_rsample = True

    def __init__(
        self,
        loc: Float[Tensor, "*batch joints 3"],
        image_scale: Float[Tensor, "*batch"] | None = None,
        skeleton: str | Skeleton = "h36m17",
    ) -> None:
        super().__init__(loc.shape[:-2], skeleton)
        self.root_offset = loc[..., self.skeleton.root, :]
        self.loc = loc - self.root_offset.unsqueeze(-2)
        self.image_scale = image_scale

    def rsample(
        self,
        sample_shape: Any = torch.Size(),  # noqa: B008
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        return self.loc.expand(*torch.Size(sample_shape), *self.loc.shape)

    def sample(
        self,
        sample_shape: Any = torch.Size(),  # noqa: B008
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        return self.rsample(sample_shape).detach().clone()

    def weighted_rsample(self, samples: int = 1) -> tuple[Tensor, Tensor]:
        return self.loc.unsqueeze(0), self.loc.new_ones(1, *self.batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        raise self.no_density()

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def covariance(self) -> Tensor:
        return self.loc.new_zeros(*self.loc.shape, 3)

    @property
    def hypotheses(self) -> tuple[Tensor, Tensor]:
        """The pose itself, with probability 1."""
        return self.loc.unsqueeze(-3), self.loc.new_ones(*self.batch_shape, 1)
