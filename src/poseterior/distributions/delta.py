"""All probability on one pose: what regression without error bars answers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.skeletons import Skeleton
from ..noise import Noise
from .base import PoseDistribution

__all__ = [
    "DeltaPoseDistribution",
]


class DeltaPoseDistribution(PoseDistribution):
    """All probability on one pose, as regression without error bars answers. It has no density.

    Args:
        loc: ``(*batch, joints, 3)`` metres, camera axes. It is moved so that its root is at zero.
        image_scale: ``(*batch,)`` what a network says of the camera, see `poseterior.lifters.regression`; None
            where it says nothing.
        skeleton: joint order.

    Attributes:
        root_offset: ``(*batch, 3)`` metres, where the root was before: networks that place it themselves learn to put
            it at zero.
    """

    has_rsample = True
    batched = ("loc", "root_offset", "image_scale")

    def __init__(
        self,
        loc: Float[Tensor, "*batch joints 3"],
        image_scale: Float[Tensor, "*batch"] | None = None,
        skeleton: str | Skeleton = "h36m17",
    ) -> None:
        super().__init__(loc.shape[:-2], skeleton, like=loc)
        self.root_offset = loc[..., self.skeleton.root, :]
        self.loc = loc - self.root_offset.unsqueeze(-2)
        self.image_scale = image_scale

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        return self.loc.expand(*shape, *self.loc.shape).clone()

    def _weighted_draw(self, samples: int, noise: Noise) -> tuple[Tensor, Tensor]:
        return self.loc.unsqueeze(0), self.loc.new_ones(1, *self.batch_shape)

    def _mean(self) -> Tensor:
        return self.loc

    def _median(self) -> Tensor:
        return self.loc

    def _mode(self) -> Tensor:
        return self.loc

    def _covariance(self) -> Tensor:
        return self.loc.new_zeros(*self.loc.shape, 3)

    def _hypotheses(self) -> tuple[Tensor, Tensor]:
        """The pose itself, with probability 1."""
        return self.loc.unsqueeze(-3), self.loc.new_ones(*self.batch_shape, 1)
