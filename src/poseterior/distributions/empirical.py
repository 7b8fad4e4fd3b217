"""Nothing but samples: what is known of a method that only returns poses."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.skeletons import Skeleton
from .base import PoseDistribution
from .regions import Region, check_level, region_of

__all__ = [
    "GivenPoseDistribution",
]


class GivenPoseDistribution(PoseDistribution):
    """Nothing but given samples: what is known of a method that only returns poses.

    Args:
        samples: ``(samples, *batch, joints, 3)`` metres, camera axes. Every pose is moved so that its root is at zero.
        skeleton: joint order.

    Attributes:
        root_offset: ``(*batch, 3)`` where the root was before, mean over the samples.
    """

    has_density = False

    def __init__(self, samples: Float[Tensor, "samples *batch joints 3"], skeleton: str | Skeleton = "h36m17") -> None:
        super().__init__(samples.shape[1:-2], skeleton)
        root = samples[..., self.skeleton.root, :]
        self.root_offset = root.mean(0)
        self.samples = samples - root.unsqueeze(-2)

    def sample(
        self,
        sample_shape: Any = torch.Size(),  # noqa: B008 - signature of torch.distributions
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """The first of the given samples, whatever the seed.

        Raises:
            InputError: more are asked for than there are.
        """
        shape = torch.Size(sample_shape)
        self._check_count(shape.numel())
        return self.samples[: shape.numel()].reshape(*shape, *self.batch_shape, *self.event_shape).clone()

    def shuffled(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """So many of the given samples in random order, each pose's in its own: they may come the best first.

        Raises:
            InputError: more are asked for than there are.
        """
        self._check_count(count)
        order = torch.rand(self.samples.shape[:-2], generator=generator, device=self.samples.device).argsort(0)[:count]
        return self.samples.gather(0, order[..., None, None].expand(-1, *self.samples.shape[1:]))

    def _check_count(self, count: int) -> None:
        if count > len(self.samples):
            raise InputError(
                f"samples: {count} hypotheses a pose are asked for, {len(self.samples)} are given; ask for "
                f"{len(self.samples)} at most, or give more"
            )

    def log_prob(self, value: Tensor) -> Tensor:
        raise self.no_density()

    def region(self, level: float = 0.9) -> Region:
        """The plain region of all given samples, see `PoseDistribution.region`."""
        check_level(level)
        return region_of(self.samples, self.skeleton, level, self.recalibration, self.visible)

    @property
    def mean(self) -> Tensor:
        return self.samples.mean(0)

    @property
    def median(self) -> Float[Tensor, "*batch joints 3"]:
        """Coordinate-wise median of the samples."""
        return self.samples.median(0).values

    @property
    def covariance(self) -> Tensor:
        offset = self.samples - self.mean
        return torch.einsum("s...i,s...j->...ij", offset, offset) / max(1, len(offset) - 1)
