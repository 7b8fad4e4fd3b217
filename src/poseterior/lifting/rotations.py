"""Rotations of joints, as a distribution, from 2D keypoints, and one body per clip."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.body import (
    H36M_POINTS,
    group_factors,
    log_group_ratios,
    rest_offsets,
)
from ..geometry.cameras import assumed_intrinsics, fit_root
from ..keypoints import Keypoints2D
from ..lifters import Lifter
from ..metrics.rotations import chordal_mean, geodesic_angle
from ..results.poses import LiftResult
from .draws import Draws, draw
from .poses import result_of

if TYPE_CHECKING:
    from ..lifters.rotations import RotationLifter
from ..results.rotations import Array, RotationResult, _quaternions, clips_of

__all__ = [
    "has_rotations",
    "lift_rotations",
    "lift_with_rotations",
]

#: Frames over which the depth of a filmed person is averaged.
_DEPTH_FRAMES = 31
#: Nearer than this (metres) no camera sees a whole pelvis.
_NEAREST = 0.1
#: An exact keypoint counts as if it were known to this (metres) where the body is placed among keypoints.
_SHARPEST = 1e-3


# -- the three tasks ---------------------------------------------------------------------------------------


def has_rotations(lifter: Lifter) -> bool:
    """Whether a lifter is one that `lift_rotations`, `solve_ik` and `sample_prior` take."""
    return all(hasattr(lifter, task) for task in ("rotations", "ik", "prior"))


def _rotation_lifter(lifter: Lifter) -> RotationLifter:
    if not has_rotations(lifter):
        raise InputError(
            f"lifter {lifter.card.get('name') or lifter.name!r} has no rotations; use the lifter 'rotations'"
        )
    return lifter  # type: ignore[return-value]


def _check_draws(samples: int, seed: int) -> None:
    if not 0 <= seed < 2**62:
        raise InputError(f"seed: expected 0 to below 2^62, got {seed}")
    if samples < 1:
        raise InputError(f"samples: expected at least 1, got {samples}")


def _summary(
    rotations: Float[Tensor, "samples poses 22 3 3"], log_prob: Float[Tensor, "samples poses"]
) -> dict[str, Any]:
    """The arrays of a `RotationResult` that samples give."""
    mean = chordal_mean(rotations)
    return {
        "rotations": _quaternions(rotations.transpose(0, 1)),
        "log_prob": log_prob.transpose(0, 1).float().cpu().numpy(),
        "mean": _quaternions(mean),
        "spread": geodesic_angle(rotations, mean).square().mean(0).sqrt().float().cpu().numpy(),
    }


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def lift_with_rotations(
    lifter: Lifter,
    keypoints: Keypoints2D,
    samples: int = 200,
    seed: int = 0,
    chunk: int = 256,
    device: torch.device | str = "cpu",
    mode: bool = False,
) -> tuple[LiftResult, RotationResult]:
    """Lift 2D keypoints once, to poses (as `poseterior.lift`) and to the rotations that give them.

    In the poses the lengths of the bones differ from hypothesis to hypothesis, as far as the picture leaves them
    open. The rotations have one body a clip: the median over its frames of the mean log-lengths.

    Args:
        lifter: one with rotations.
        keypoints: any skeleton, any batch shape (flattened to poses); see `clips_of` for what is one clip.
        samples: hypotheses a pose.
        seed: of the samples.
        chunk: poses at a time; each chunk draws from its own seed.
        device: where to run.
        mode: also climb to the rotations of highest density (slow).

    Returns:
        The poses, and the rotations in camera axes. The root is where the mean pose reprojects best through the
        camera, given or assumed; zeros where neither it nor the image size is known. Frames that show less than
        two joints get a root between their neighbours'.

    Raises:
        InputError: a lifter without rotations; or as `poseterior.lift`.
    """
    _rotation_lifter(lifter)
    used = keypoints.as_skeleton(lifter.skeleton).flatten()
    parts: list[dict[str, Any]] = []
    draws: list[Draws] = []
    lengths: list[Tensor] = []
    for part in draw(lifter, used, samples, seed, chunk, device):
        assert part.rotations is not None
        assert part.offsets is not None
        assert part.rotation_log_prob is not None
        parts.append(_summary(part.rotations, part.rotation_log_prob))
        if mode:
            parts[-1]["mode"] = _quaternions(part.posterior.rotations.mode)
        modelled = part.posterior.rotations.modelled
        lengths.append(log_group_ratios(part.offsets).mean(0))
        draws.append(replace(part, posterior=None, rotations=None, offsets=None))
    poses = result_of(lifter, used, draws, seed)
    clips = clips_of(poses.file, poses.frame, poses.person)
    usual = torch.cat(lengths)
    offsets = rest_offsets().repeat(len(poses), 1, 1)
    for rows in clips:
        offsets[rows] = rest_offsets() * group_factors(usual[rows].median(0).values)
    result = RotationResult(
        **_joined(parts),
        offsets=offsets.numpy(),
        root=np.zeros((len(poses), 3), np.float32),
        file=poses.file,
        frame=poses.frame,
        person=poses.person,
        axes="camera",
        modelled=modelled,
        lifter=poses.lifter,
        seed=seed,
        settings=poses.settings | {"body": f"one for each of {len(clips)} clips: the median over its frames"},
    )
    shown = result.points(result.mean[:, None])[:, 0, list(H36M_POINTS)].numpy()
    return poses, replace(result, root=_camera_root(shown, poses, used.intrinsics.cpu(), clips))


def lift_rotations(
    lifter: Lifter,
    keypoints: Keypoints2D,
    samples: int = 200,
    seed: int = 0,
    chunk: int = 256,
    device: torch.device | str = "cpu",
    mode: bool = False,
) -> RotationResult:
    """The rotations of `lift_with_rotations`."""
    return lift_with_rotations(lifter, keypoints, samples, seed, chunk, device, mode)[1]


def _camera_root(shown: Array, poses: LiftResult, intrinsics: Tensor | None, clips: list[Array]) -> Array:
    """Where each pose (``(poses, 17, 3)``, any place) must be moved to explain the keypoints; zeros if unknown."""
    cameras = assumed_intrinsics(_tensor(poses.image_size)).numpy()
    if intrinsics is not None:
        cameras = np.where(np.isfinite(intrinsics.numpy()).all(-1, keepdims=True), intrinsics.numpy(), cameras)
    root = np.full((len(poses), 3), np.nan)
    for row, camera in enumerate(cameras):
        if np.isfinite(camera).all():
            covariance = poses.keypoint_covariance[row]
            root[row] = fit_root(shown[row, None], poses.keypoints[row], covariance, poses.visible[row], camera)[0]
    # A pose that explains its keypoints from behind the camera explains nothing.
    root[~(root[:, 2] > _NEAREST)] = np.nan
    for rows in clips:
        known = np.isfinite(root[rows]).all(-1)
        if known.any():
            frames = poses.frame[rows]
            for axis in range(3):
                root[rows, axis] = np.interp(frames, frames[known], root[rows[known], axis])
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


def _tensor(value: Any) -> Tensor:
    # A copy: arrays of files may not be written to, which torch warns of.
    return torch.as_tensor(np.array(value) if isinstance(value, np.ndarray) else value, dtype=torch.float32)
