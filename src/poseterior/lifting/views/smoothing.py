"""Fused moments joined to a motion: the smoother of clips, for the places of all joints in the world.

Two cameras or more leave no depth and no size open: what is left of each moment's error is that of the keypoints, and
no direction is special. So errors hang together in all directions as a single view's do across the ray. Of one camera
everything is as `poseterior.lifting.clips` has it: the depth is its own kind, and the person has one unknown size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from ...distributions.clip_errors import ClipErrors
from ...geometry.skeletons import Skeleton
from ..clips.frames import Frames
from ..clips.gaussian import MotionGaussian, weighed_gaussian
from ..clips.sizes import Sizes, regressed
from .fields import FusedFields

__all__ = ["motion_axes", "motion_of", "world_frames"]


@dataclass(frozen=True)
class WorldFrames(Frames):
    """A clip whose coordinates are those of all joints, the root among them, in the world's axes."""

    @property
    def seen(self) -> Bool[Tensor, "T joints"]:
        """Joints that a camera shows in each frame."""
        return self.keypoints.visible


def world_frames(fused: FusedFields) -> WorldFrames:
    """Fused moments as the smoother takes them, in `motion_axes`."""
    present, count = fused.present, len(fused)
    turn = motion_axes(fused)
    joints = len(fused.skeleton)
    whole = torch.kron(torch.eye(joints, dtype=torch.float64), turn)
    mean = torch.where(present.unsqueeze(-1), fused.mean_places.flatten(1) @ whole.mT, 0.0)
    rows = present.nonzero().squeeze(-1)
    nearest = rows[(torch.arange(count).unsqueeze(-1) - rows).abs().argmin(-1)]
    covariance = whole @ fused.covariance_places[nearest] @ whole.mT
    sizes = Sizes.known(count, mean.shape[-1])
    if len(fused.cameras) == 1:
        sizes, covariance = _sized(mean[nearest], covariance, fused.skeleton)
    return WorldFrames(
        fused.keypoints, fused.fps, fused.frame / fused.fps, present, turn.expand(count, 3, 3), mean, covariance, sizes,
        None, {},
    )  # fmt: skip


def motion_axes(fused: FusedFields) -> Float[Tensor, "3 3"]:
    """From the world's axes to those in which errors over time are told: of one camera its own, of several the world's.

    Of one camera, the depth is its z; of several, no direction is like it.
    """
    if len(fused.cameras) == 1:
        return torch.from_numpy(fused.cameras[0].rotation)
    return torch.eye(3, dtype=torch.float64)


def _sized(
    mean: Float[Tensor, "T D"], covariance: Float[Tensor, "T D D"], skeleton: Skeleton
) -> tuple[Sizes, Float[Tensor, "T D D"]]:
    """The size of the body that one camera leaves open, taken out of the places as `regressed` does of poses."""
    root, nonroot = skeleton.root, list(skeleton.nonroot)
    minus = torch.zeros(len(nonroot), len(skeleton), dtype=torch.float64)
    minus[torch.arange(len(nonroot)), nonroot] = 1.0
    minus[:, root] = -1.0
    minus = torch.kron(minus, torch.eye(3, dtype=torch.float64))
    within = minus @ covariance @ minus.mT
    poses, _ = regressed(mean @ minus.mT, within, skeleton)
    # The size is (to first order) a function of the pose: what it does to places goes through the pose.
    gain = torch.linalg.solve(within + 1e-8 * torch.eye(within.shape[-1], dtype=torch.float64), minus @ covariance).mT
    slope = (gain @ poses.slope.unsqueeze(-1)).squeeze(-1)
    rest = covariance - poses.variance[:, None, None] * slope.unsqueeze(-1) * slope.unsqueeze(-2)
    return replace(poses, slope=slope), rest


def motion_of(fused: FusedFields, errors: ClipErrors) -> tuple[MotionGaussian, Float[NDArray[np.float64], " T"]]:
    """The Gaussian over motions in `motion_axes`, and how much each moment counted."""
    return weighed_gaussian(world_frames(fused), errors)
