"""Rotations shown as poses, and the names of 0.1 for writing motions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.body import H36M_POINTS
from ..geometry.skeletons import SKELETONS
from .poses import LiftResult
from .rotations import RotationResult

__all__ = ["as_lift_result", "save_motion"]

#: Pixels per metre of the frontal view that stands for a picture in `as_lift_result`.
_FRONTAL_SCALE = 250.0


def save_motion(
    result: RotationResult,
    path: str | os.PathLike[str],
    how: str | None = None,
    count: int = 1,
    fps: float | None = None,
) -> list[Path]:
    """`RotationResult.save`, under its name of 0.1."""
    return result.save(path, how, count, fps)


def as_lift_result(
    result: RotationResult,
    points: Float[Tensor, "poses 25 3"] | None = None,
    samples: int = 50,
    level: float = 0.9,
) -> LiftResult:
    """The poses of rotations as a `LiftResult`, relative to the middle of the hips, for `poseterior.view`.

    **No camera took its 2D keypoints**: they are drawn, a frontal view of 3D points at 250 px per metre with a
    standard deviation of 1 px, so that pages have something to show on the left; ``settings["keypoints"]`` says so, and
    the image size is unknown. To show what a picture did show, replace the 2D fields. The regions are the hypotheses'
    own, uncalibrated: no recalibration is of inverse kinematics.

    Args:
        result: any.
        points: the 3D keypoints it was solved for, NaN where hidden, in the result's axes; they are what is drawn.
            Default: those of the mean pose.
        samples: hypotheses kept.
        level: of the regions.
    """
    result = result.in_axes("camera") if points is None else result
    shown = result.points(result.mean[:, None])[:, 0] if points is None else points
    flip = torch.tensor([1.0, 1.0, 1.0] if result.axes == "camera" else [1.0, -1.0, -1.0])
    index = list(H36M_POINTS)
    poses = result.points(result.rotations[:, :samples])[:, :, index] * flip
    centre = poses[:, :, :1].mean(1)
    frontal = shown[:, index] * flip - centre
    poses = poses - poses[:, :, :1]
    mean = poses.mean(1)
    offset = poses - mean[:, None]
    hidden = ~frontal.isfinite().all(-1).numpy()
    keypoints = _FRONTAL_SCALE * frontal[..., :2].numpy()
    spread = np.broadcast_to(np.eye(2, dtype=np.float32), (*keypoints.shape[:2], 2, 2)).copy()
    keypoints[hidden], spread[hidden] = np.nan, np.nan
    drawn = f"drawn, not seen: a frontal view of the {'mean' if points is None else 'given'} 3D points"
    return LiftResult(
        samples=poses.numpy(),
        mean=mean.numpy(),
        covariance=(torch.einsum("pski,pskj->pkij", offset, offset) / max(poses.shape[1] - 1, 1)).numpy(),
        log_prob=np.full(poses.shape[:2], np.nan),
        level=level,
        keypoints=keypoints,
        keypoint_covariance=spread,
        visible=~hidden,
        image_size=np.full((len(result), 2), np.nan),
        file=result.file,
        frame=result.frame,
        person=result.person,
        joint_names=SKELETONS["h36m17"].joints,
        rotations=result,
        lifter=result.lifter,
        seed=result.seed,
        settings=result.settings | {"keypoints": drawn},
    )
