"""Hypotheses as motions: BVH, glTF or AMASS-style npz files that other programs play."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..files.errors import InputError
from ..files.writing import atomic_write, check_writable
from ..geometry.body import (
    H36M_POINTS,
)
from ..geometry.skeletons import SKELETONS
from .poses import LiftResult

if TYPE_CHECKING:
    from .animation import Animation
from .hypotheses import choose
from .rotations import Array, RotationResult

__all__ = [
    "MOTION_FORMATS",
    "as_lift_result",
    "save_motion",
    "to_animation",
]

#: What `save_motion` writes.
MOTION_FORMATS = (".bvh", ".glb", ".npz")
#: Pixels a metre of the frontal view that stands for a picture in `as_lift_result`.
_FRONTAL_SCALE = 250.0


# -- files and pictures ------------------------------------------------------------------------------------


def to_animation(
    result: RotationResult, quaternions: Float[NDArray[np.float32], "frames 22 4"], fps: float = 30.0, name: str = ""
) -> Animation:
    """One hypothesis of one clip as a motion, y up.

    Args:
        result: the clip, for example ``result[rows]`` with rows of `RotationResult.clips`.
        quaternions: of each frame, from `choose`.
        fps: frames a second.
        name: of the clip.

    Raises:
        InputError: the poses have different bodies; or as `poseterior.results.animation.Animation`.
    """
    from .animation import Animation

    if not (result.offsets == result.offsets[:1]).all():
        raise InputError("the poses have different bodies; make one animation a clip: result[rows] for its clips()")
    return Animation(
        quaternions.astype(np.float64), result.offsets[0, :22], result.root, fps, result.axes, name or "poseterior"
    ).upright()


def save_motion(
    result: RotationResult,
    path: str | os.PathLike[str],
    how: str | None = None,
    count: int = 1,
    fps: float = 30.0,
) -> list[Path]:
    """Write hypotheses as motion files that other programs play.

    Args:
        result: of `lift_rotations` or `solve_ik`.
        path: ``.bvh``, ``.glb`` or ``.npz`` (as AMASS; besides, in axes with y up: ``mean_quaternions``,
            ``sample_quaternions``, ``log_prob``, ``spread_radians``, ``frame``).
        how: see `choose`; by default path for clips and mean for single poses (clusters for several of them).
        count: hypotheses of each clip, one file each.
        fps: frames a second.

    Returns:
        The files written: ``path`` itself for one; numbered ``x-1.bvh`` ... for several clips or hypotheses, and
        ``x-1-1.bvh`` ... for several hypotheses of several clips.

    Raises:
        InputError: an unknown extension or choice, a path that cannot be written to; before anything is written.
    """
    from .animation import numbered_paths

    suffix = Path(path).suffix.lower()
    if suffix not in MOTION_FORMATS:
        raise InputError(f"{path}: unknown extension {suffix!r}; use one of: {', '.join(MOTION_FORMATS)}")
    result = result.in_axes("y up")
    clips = result.clips()
    jobs: list[tuple[Path, Array, Animation]] = []
    for rows, base in zip(clips, numbered_paths(path, len(clips)), strict=True):
        clip = result[rows]
        default = "path" if len(rows) > 1 else "mean" if count == 1 else "clusters"
        chosen = choose(clip, how or default, count)
        for number, target in enumerate(numbered_paths(base, count)):
            check_writable(target)
            jobs.append((target, rows, to_animation(clip, chosen[:, number], fps, target.stem)))
    for target, rows, animation in jobs:
        _write(animation, result[rows], target)
    return [target for target, _, _ in jobs]


def _write(animation: Animation, clip: RotationResult, path: Path) -> None:
    import tempfile

    from .animation import save_animation

    if path.suffix.lower() != ".npz":
        save_animation(animation, path)
        return
    with tempfile.TemporaryDirectory() as folder:
        save_animation(animation, Path(folder) / "motion.npz")
        with np.load(Path(folder) / "motion.npz", allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    arrays |= {
        "mean_quaternions": clip.mean,
        "sample_quaternions": clip.rotations,
        "log_prob": clip.log_prob,
        "spread_radians": clip.spread,
        "frame": clip.frame,
    }
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def as_lift_result(
    result: RotationResult, points: Float[Tensor, "poses 25 3"] | None = None, samples: int = 50
) -> LiftResult:
    """The poses as a `LiftResult` for `poseterior.view`, relative to the middle of the hips.

    Args:
        result: any.
        points: the 3D keypoints it was solved for, NaN where hidden, in the result's axes; a frontal view of them
            stands for the picture. Default: of the mean pose.
        samples: hypotheses kept.
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
    return LiftResult(
        samples=poses.numpy(),
        mean=mean.numpy(),
        covariance=(torch.einsum("pski,pskj->pkij", offset, offset) / max(poses.shape[1] - 1, 1)).numpy(),
        log_prob=np.full(poses.shape[:2], np.nan),
        keypoints=keypoints,
        keypoint_covariance=spread,
        visible=~hidden,
        image_size=np.full((len(result), 2), np.nan),
        file=result.file,
        frame=result.frame,
        person=result.person,
        joint_names=SKELETONS["h36m17"].joints,
        lifter=result.lifter,
        seed=result.seed,
        settings=result.settings,
    )
