"""Nothing but samples: what is known of a method that only returns poses."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.skeletons import Skeleton
from ..noise import Noise, PoseNoise, mixed
from .base import PoseDistribution

__all__ = [
    "EmpiricalPoseDistribution",
]


class EmpiricalPoseDistribution(PoseDistribution):
    """Nothing but given samples: what is known of a method that only returns poses.

    `sample` returns the first of the given samples, whatever the seed, and raises `InputError` where more are asked
    for than there are. Mean, median, covariance and `region` are those of all given samples. It has no density.

    Args:
        samples: ``(samples, *batch, joints, 3)`` metres, camera axes. Every pose is moved so that its root is at zero.
        skeleton: joint order.

    Attributes:
        samples: as above, moved.
        root_offset: ``(*batch, 3)`` metres, where the root was before, mean over the samples.
    """

    batched = ("root_offset", "_poses")

    def __init__(self, samples: Float[Tensor, "samples *batch joints 3"], skeleton: str | Skeleton = "h36m17") -> None:
        super().__init__(samples.shape[1:-2], skeleton, like=samples)
        root = samples[..., self.skeleton.root, :]
        self.root_offset = root.mean(0)
        self._poses = (samples - root.unsqueeze(-2)).movedim(0, -3)  # (*batch, samples, joints, 3)

    @property
    def samples(self) -> Float[Tensor, "samples *batch joints 3"]:
        return self._poses.movedim(-3, 0)

    def _details(self) -> dict[str, Any]:
        return {"samples": len(self.samples)}

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        self._check_count(shape.numel())
        return self.samples[: shape.numel()].reshape(*shape, *self.batch_shape, *self.event_shape).clone()

    def shuffled(self, count: int, seed: int = 0) -> Float[Tensor, "count *batch joints 3"]:
        """So many of the given samples in random order, each pose's in its own: they may come the best first.

        Raises:
            InputError: more are asked for than there are.
        """
        self._check_count(count)
        samples = self.samples
        # Other numbers than those of the samples, which may have been drawn with the same seed.
        noise = PoseNoise(seed, mixed(self._keys(), 1))
        order = self._uniform(noise, *samples.shape[:-2], event=0).argsort(0)[:count]
        return samples.gather(0, order[..., None, None].expand(-1, *samples.shape[1:]))

    def _check_count(self, count: int) -> None:
        given = len(self.samples)
        if count > given:
            raise InputError(
                f"samples: {count} hypotheses per pose are asked for, {given} are given; ask for {given} at most, or "
                "give more"
            )

    def _region_samples(self, count: int, seed: int) -> Tensor:
        return self.samples

    def _draws_for_summary(self, count: int | None = None) -> Tensor:
        return self.samples if count is None else self.samples[:count]

    def _mean(self) -> Tensor:
        return self.samples.mean(0)

    def _covariance(self) -> Tensor:
        offset = self.samples - self._mean()
        return torch.einsum("s...i,s...j->...ij", offset, offset) / max(1, len(offset) - 1)
