"""Where lifters predict: the canonical frame, without the root."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .skeletons import Skeleton

__all__ = [
    "RootedFrame",
    "with_root",
    "without_root",
]


def without_root(values: Tensor, root: int, dim: int = -2) -> Tensor:
    """What is known of joints, without the root: a view where the root comes first.

    Args:
        values: of all joints.
        root: its number.
        dim: of the joints.
    """
    after = values.narrow(dim, root + 1, values.shape[dim] - root - 1)
    return after if root == 0 else torch.cat([values.narrow(dim, 0, root), after], dim)


def with_root(values: Tensor, root: int, dim: int = -2) -> Tensor:
    """The inverse of `without_root`, zero for the root."""
    zero = torch.zeros_like(values.narrow(dim, 0, 1))
    if root == 0:
        return torch.cat([zero, values], dim)
    return torch.cat([values.narrow(dim, 0, root), zero, values.narrow(dim, root, values.shape[dim] - root)], dim)


def _turned(
    poses: Float[Tensor, "*samples_batch nonroot 3"], rotation: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*samples_batch nonroot 3"]:
    """``poses @ rotation``; of one batch and many samples as one product per element of the batch."""
    if rotation.ndim != 3 or poses.ndim != 4:
        return poses @ rotation
    rows = poses.transpose(0, 1).flatten(1, 2) @ rotation
    return rows.unflatten(1, (-1, poses.shape[-2])).transpose(0, 1)


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
            poses = _turned(poses, self.rotation)
        return with_root(poses, self.skeleton.root)

    def from_camera(self, poses: Float[Tensor, "*samples_batch joints 3"]) -> Float[Tensor, "*samples_batch nonroot 3"]:
        """Inverse of `to_camera`; whatever the root holds is left out."""
        poses = without_root(poses, self.skeleton.root)
        return poses if self.rotation is None else _turned(poses, self.rotation.transpose(-1, -2))

    def covariance_to_camera(
        self, covariance: Float[Tensor, "*samples_batch nonroot 3 3"]
    ) -> Float[Tensor, "*samples_batch joints 3 3"]:
        """Covariance of each joint without the root in the canonical frame -> camera axes, zero for the root."""
        if self.rotation is not None:
            turn = self.rotation.unsqueeze(-3)
            covariance = turn.transpose(-1, -2) @ covariance @ turn
        return with_root(covariance, self.skeleton.root, -3)
