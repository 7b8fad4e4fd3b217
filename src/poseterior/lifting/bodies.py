"""Drawn rotations as a result: one body for the frames of a clip, and its place before the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from ..geometry.body import H36M_POINTS, group_factors, rest_offsets
from ..geometry.cameras import assumed_intrinsics, fit_root
from ..results.poses import LiftResult
from ..results.provenance import Array
from ..results.rotations import RotationResult
from .draws import RotationDraws

__all__ = ["camera_root", "joined", "rotations_of"]

#: Frames over which the depth of a filmed person is averaged.
_DEPTH_FRAMES = 31
#: Nearer than this (metres) no camera sees a whole pelvis.
_NEAREST = 0.1


def joined(draws: Sequence[RotationDraws]) -> dict[str, Any]:
    """The fields of a `RotationResult` that draws give."""
    names = ("rotations", "log_prob", "mean", "spread")
    fields: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in draws]) for name in names}
    modes = [part.mode for part in draws if part.mode is not None]
    return fields | {"modelled": draws[0].modelled, "mode": np.concatenate(modes) if modes else None}


def rotations_of(poses: LiftResult, draws: Sequence[RotationDraws]) -> RotationResult:
    """The rotations of lifted poses, camera axes.

    Args:
        poses: what was lifted.
        draws: in the order of the poses.

    Returns:
        Rotations with one body per clip: the median over its frames of the mean log-lengths. The root is where the
        mean pose reprojects best through the camera, given or assumed; see `camera_root`.
    """
    clips = poses.clips()
    usual = torch.cat([part.log_lengths for part in draws if part.log_lengths is not None])
    offsets = rest_offsets().repeat(len(poses), 1, 1)
    for rows in clips:
        offsets[rows] = rest_offsets() * group_factors(usual[rows].median(0).values.float())
    result = RotationResult(
        **joined(draws),
        offsets=offsets.numpy(),
        root=np.zeros((len(poses), 3), np.float32),
        file=poses.file,
        frame=poses.frame,
        person=poses.person,
        axes="camera",
        lifter=poses.lifter,
        seed=poses.seed,
        settings=poses.settings | {"body": f"one for each of {len(clips)} clips: the median over its frames"},
    )
    shown = result.points(result.mean[:, None])[:, 0, list(H36M_POINTS)].numpy()
    return replace(result, root=camera_root(shown, poses))


def camera_root(
    shown: Float[NDArray[np.float32], "poses 17 3"],
    poses: LiftResult,
    intrinsics: Float[NDArray[np.float32], "poses 4"] | None = None,
) -> Float[NDArray[np.float32], "poses 3"]:
    """Where each pose must be moved to explain the keypoints.

    Args:
        shown: at any place, metres, camera axes.
        poses: with the keypoints, and the clips of which the depth is steadied.
        intrinsics: px, instead of those of the poses; where neither knows them (NaN), the field of view is assumed.

    Returns:
        Metres; zeros where neither the camera nor the image size is known. Frames that show less than two joints get a
        root between their neighbours'.
    """
    given = poses.intrinsics if intrinsics is None else intrinsics
    known = np.isfinite(given).all(-1, keepdims=True)
    cameras = np.where(known, given, assumed_intrinsics(torch.from_numpy(np.array(poses.image_size))).numpy())
    root = np.full((len(poses), 3), np.nan)
    for row, camera in enumerate(cameras):
        if np.isfinite(camera).all():
            covariance = poses.keypoint_covariance[row]
            root[row] = fit_root(shown[row, None], poses.keypoints[row], covariance, poses.visible[row], camera)[0]
    # A pose that explains its keypoints from behind the camera explains nothing.
    root[~(root[:, 2] > _NEAREST)] = np.nan
    for rows in poses.clips():
        found = np.isfinite(root[rows]).all(-1)
        if found.any():
            frames = poses.frame[rows]
            for axis in range(3):
                root[rows, axis] = np.interp(frames, frames[found], root[rows[found], axis])
            root[rows] = _steadied(root[rows])
    return np.nan_to_num(root, nan=0.0).astype(np.float32)


def _steadied(root: Array) -> Array:
    """Places of a clip with their depth averaged over neighbouring frames, moved along the ray.

    One frame tells the depth from the person's apparent size alone, to some per cent; a person does not jump to and
    fro by as much between frames. Where the picture shows them stays as it is.
    """
    half = min(_DEPTH_FRAMES // 2, len(root) - 1)
    window = np.hanning(2 * half + 3)[1:-1]
    # Reflected about its ends, so that a steady walk stays as it is.
    padded = np.pad(root[:, 2], half, mode="reflect", reflect_type="odd")
    depth = np.convolve(padded, window / window.sum(), mode="valid")
    return root * (depth / root[:, 2])[:, None]
