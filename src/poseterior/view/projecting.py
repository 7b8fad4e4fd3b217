"""Where in the picture the hypotheses of a pose are: joints that the image does not show have a place too."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from ..geometry.cameras import assumed_intrinsics, explaining_root
from ..results.poses import LiftResult
from .drawing import Array, reach_of

__all__ = ["camera_of_pose", "in_picture", "projected"]

#: Joints nearer to the camera than this (m) have no picture.
_NEAREST = 0.1
#: Poses at a time, and hypotheses of each, of which a place in the picture is made.
_CHUNK, _HYPOTHESES = 64, 40


def camera_of_pose(
    result: LiftResult, index: int | NDArray[np.integer]
) -> tuple[Float[NDArray[np.float64], "*poses 4"], NDArray[np.bool_]]:
    """``(fx, fy, cx, cy)`` px of poses, and whether the result knows them.

    Where it does not the field of view is taken as lifters do that are not told; of a picture whose size is not known
    either, around the keypoints. NaN where there is nothing to go by, and of poses in a world, before no camera.
    """
    known = result.intrinsics[index].astype(np.float64)
    told = np.asarray(np.isfinite(known).all(-1))
    size = result.image_size[index].astype(np.float64)
    assumed = assumed_intrinsics(torch.from_numpy(np.array(size))).numpy()
    points = np.where(result.visible[index][..., None], result.keypoints[index].astype(np.float64), np.nan)
    seen = np.asarray(np.isfinite(points).all(-1).any(-1))
    low = np.where(np.isfinite(points), points, np.inf).min(-2)
    high = np.where(np.isfinite(points), points, -np.inf).max(-2)
    low, high = np.where(seen[..., None], low, 0.0), np.where(seen[..., None], high, 1.0)
    side = np.maximum((high - low).max(-1), 1.0) * 2
    around = assumed_intrinsics(torch.from_numpy(np.stack([side, side], -1))).numpy()
    around[..., 2:] = (low + high) / 2
    around = np.where(seen[..., None], around, np.nan)
    assumed = np.where(np.isfinite(assumed).all(-1, keepdims=True), assumed, around)
    if result.in_world:
        return np.full_like(known, np.nan), np.zeros_like(told)
    return np.where(told[..., None], known, assumed), told


def projected(
    poses: Float[Array, "n joints 3"],
    result: LiftResult,
    index: int,
    camera: Float[Array, "4"],
) -> Float[Array, "n joints 2"]:
    """Poses relative to the root, each put where it fits the keypoints of a pose best, as the camera sees them: px.

    NaN for joints at or behind the camera, and where fewer than two joints are seen.
    """
    return _projected(poses[:, None].astype(np.float64), result, np.asarray([index]), camera[None])[:, 0]


def _projected(poses: Array, result: LiftResult, rows: NDArray[np.integer], cameras: Array) -> Array:
    """``(n, rows, joints, 2)`` px of ``(n, rows, joints, 3)`` m."""
    visible = result.visible[rows]
    arrays = (poses, result.keypoints[rows], result.keypoint_covariance[rows], visible, cameras)
    points, xy, covariance, seen, intrinsics = (torch.from_numpy(np.array(array)) for array in arrays)
    xy = torch.where(seen[..., None], xy, 0.0).double()
    covariance = torch.where(seen[..., None, None], covariance.double(), torch.eye(2, dtype=torch.float64))
    roots = explaining_root(points, xy, covariance, seen, intrinsics).numpy()
    placed = poses + roots[..., None, :]
    placed = np.where(placed[..., 2:] > _NEAREST, placed, np.nan)
    return placed[..., :2] / placed[..., 2:] * cameras[:, None, :2] + cameras[:, None, 2:]


def in_picture(
    result: LiftResult, rows: NDArray[np.integer]
) -> tuple[Float[NDArray[np.float64], "rows joints 2"], Float[NDArray[np.float64], "rows joints 2 2"]]:
    """Places of all joints in the picture, px, and their covariances, px².

    Of joints that are seen they are those of the keypoints. Others are where the camera sees those of the mean, with
    the covariance of where it sees those of the hypotheses; NaN where that cannot be told (fewer than two joints seen,
    poses in the axes of a world).
    """
    rows = np.asarray(rows, int)
    seen = result.visible[rows]
    points = np.where(seen[..., None], result.keypoints[rows].astype(np.float64), np.nan)
    covariance = np.where(seen[..., None, None], result.keypoint_covariance[rows].astype(np.float64), np.nan)
    lacking = np.flatnonzero(~seen.all(-1) & (seen.sum(-1) > 1) & (not result.in_world))
    for start in range(0, len(lacking), _CHUNK):
        part = lacking[start : start + _CHUNK]
        cameras, _ = camera_of_pose(result, rows[part])
        poses = np.concatenate([result.mean[rows[part], None], result.samples[rows[part], :_HYPOTHESES]], 1)
        seen_as = _projected(np.moveaxis(poses.astype(np.float64), 1, 0), result, rows[part], cameras)
        mean, hypotheses = seen_as[0], seen_as[1:]
        points[part] = np.where(seen[part][..., None], points[part], mean)
        if len(hypotheses) > 1:
            spread = _ellipse(hypotheses - mean, result.level)
            covariance[part] = np.where(seen[part][..., None, None], covariance[part], spread)
    return points, covariance


def _ellipse(away: Float[Array, "n rows joints 2"], level: float) -> Float[Array, "rows joints 2 2"]:
    """Covariance whose ellipse at `reach_of` (level) holds that share of the hypotheses about the mean.

    It has the shape of those that are inside: few that fly off do not stretch it.
    """
    usable: NDArray[np.bool_] = np.asarray(np.isfinite(away).all(-1))
    away = np.where(usable[..., None], away, 0.0)

    def spread(inside: NDArray[np.bool_]) -> Array:
        kept = away * inside[..., None]
        found = np.einsum("nrji,nrjk->rjik", kept, kept) / np.maximum(inside.sum(0), 1)[..., None, None]
        return np.asarray(found + 1e-6 * np.eye(2))

    def squares(covariance: Array) -> Array:
        distance = np.einsum("nrji,rjik,nrjk->nrj", away, np.linalg.inv(covariance), away)
        return np.where(usable, distance, np.inf)

    covariance = spread(usable)
    for _ in range(2):
        distance = squares(covariance)
        covariance = spread(usable & (distance <= np.quantile(distance, level, axis=0, method="lower")))
    held = np.quantile(squares(covariance), level, axis=0, method="higher")
    factor = np.where(np.isfinite(held), held, np.nan) / reach_of(level) ** 2
    return covariance * factor[..., None, None]
