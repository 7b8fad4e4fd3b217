"""Where lifters predict: the canonical frame, without the root."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .skeletons import Skeleton

__all__ = [
    "RootedFrame",
]


@dataclass(frozen=True, eq=False)
class RootedFrame:
    """Between the camera's axes and the canonical frame, in which a pose is all its joints but the root.

    The canonical frame is that of a camera turned to look straight at the person
    (`poseterior.keypoints.view.canonical_view`).

    Args:
        skeleton: joint order.
        rotation: ``(*batch, 3, 3)`` from camera axes to the canonical frame, or None for the identity.
    """

    skeleton: Skeleton
    rotation: Float[Tensor, "*batch 3 3"] | None = None

    def to_camera(self, poses: Float[Tensor, "*samples_batch nonroot 3"]) -> Float[Tensor, "*samples_batch joints 3"]:
        """Joints without the root in the canonical frame -> camera axes, the root at zero."""
        if self.rotation is not None:
            poses = poses @ self.rotation
        return self._with_root(poses, -2)

    def from_camera(self, poses: Float[Tensor, "*samples_batch joints 3"]) -> Float[Tensor, "*samples_batch nonroot 3"]:
        """Inverse of `to_camera`; whatever the root holds is left out."""
        root = self.skeleton.root
        poses = torch.cat([poses[..., :root, :], poses[..., root + 1 :, :]], -2)
        return poses if self.rotation is None else poses @ self.rotation.transpose(-1, -2)

    def covariance_to_camera(
        self, covariance: Float[Tensor, "*samples_batch nonroot 3 3"]
    ) -> Float[Tensor, "*samples_batch joints 3 3"]:
        """Covariance of each joint without the root in the canonical frame -> camera axes, zero for the root."""
        if self.rotation is not None:
            turn = self.rotation.unsqueeze(-3)
            covariance = turn.transpose(-1, -2) @ covariance @ turn
        return self._with_root(covariance, -3)

    def _with_root(self, values: Tensor, dim: int) -> Tensor:
        root, count = self.skeleton.root, values.shape[dim]
        zero = torch.zeros_like(values.narrow(dim, 0, 1))
        return torch.cat([values.narrow(dim, 0, root), zero, values.narrow(dim, root, count - root)], dim)
