"""Fused moments joined to a motion: the smoother of clips, for the places of all joints in the world.

Of each moment's covariance that of the keypoints is the larger part by far, and in the world no direction is special:
so errors hang together in all directions alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from ...distributions.clip_errors import ClipErrors
from ..clips.frames import Frames
from ..clips.gaussian import MotionGaussian, motion_gaussian, setting_of
from ..clips.surprises import weights_of

if TYPE_CHECKING:
    from .posterior import FusedPosterior

__all__ = ["motion_of", "world_frames"]

#: Times that moments are weighed anew.
_PASSES = 3


@dataclass(frozen=True)
class WorldFrames(Frames):
    """A clip whose coordinates are those of all joints, the root among them, in the world's axes."""

    @property
    def seen(self) -> Bool[Tensor, "T joints"]:
        """Joints that a camera shows in each frame."""
        return self.keypoints.visible


def world_frames(fused: FusedPosterior) -> WorldFrames:
    """Fused moments as the smoother takes them."""
    present, count = fused.present, len(fused)
    mean = torch.where(present.unsqueeze(-1), fused.mean_places.flatten(1), 0.0)
    rows = present.nonzero().squeeze(-1)
    nearest = rows[(torch.arange(count).unsqueeze(-1) - rows).abs().argmin(-1)]
    return WorldFrames(
        fused.keypoints,
        fused.fps,
        fused.frame / fused.fps,
        present,
        torch.eye(3, dtype=torch.float64).expand(count, 3, 3),
        mean,
        fused.covariance_places[nearest],
        {},
    )


def motion_of(
    fused: FusedPosterior, errors: ClipErrors
) -> tuple[MotionGaussian, Float[NDArray[np.float64], " T"]]:
    """The Gaussian over motions, and how much each moment counted."""
    frames = world_frames(fused)
    setting = setting_of(frames, errors)
    weight = np.ones(len(frames))
    for _ in range(_PASSES):
        gaussian, found = motion_gaussian(frames, setting.weighed(weight))
        fresh = weights_of(found, weight)
        if np.allclose(fresh, weight):
            break
        weight = fresh
    return gaussian, weight
