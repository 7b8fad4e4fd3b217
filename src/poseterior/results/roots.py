"""Where the pelvis is: in the axes of the camera, of each sampled pose, and of a clip.

A pose and the keypoints that it explains tell where it stands (`poseterior.geometry.cameras.explaining_root`): where
the camera's intrinsics are known, in the true camera's axes. Elsewhere a place is only as good as the assumed camera.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .lifted import Lifted, Seen
from .provenance import Array

__all__ = ["absolute_moments", "absolute_samples", "camera_root", "root_of_samples", "roots"]

#: Frames over which the depth of a filmed person is averaged.
_DEPTH_FRAMES = 31
#: Nearer than this (metres) no camera sees a whole pelvis.
_NEAREST = 0.1
#: Poses at a time.
_CHUNK = 256


def root_of_samples(seen: Seen) -> Float[NDArray[np.float32], "poses samples 3"]:
    """The pelvis of each sample in camera axes, metres.

    NaN where the intrinsics are not known, fewer than two joints are seen, or a sample explains the keypoints from
    behind the camera only.
    """
    return _solved(seen, seen.samples)


def _placed(seen: Seen) -> NDArray[np.bool_]:
    """Poses whose place was told and not found by a camera: those of several views, in the world."""
    return np.asarray(np.isfinite(seen.root).all(-1) & ~np.isfinite(seen.intrinsics).all(-1))


def _solved(seen: Seen, poses: Array) -> Float[NDArray[np.float32], "poses samples 3"]:
    import torch

    from ..geometry.cameras import explaining_root

    root = np.full((*poses.shape[:2], 3), np.nan, np.float32)
    known = np.flatnonzero(np.isfinite(seen.intrinsics).all(-1))
    for rows in np.array_split(known, -(-len(known) // _CHUNK)) if len(known) else []:
        drawn = torch.from_numpy(np.array(poses[rows])).transpose(0, 1)
        root[rows] = explaining_root(drawn, *_evidence(seen, rows)).transpose(0, 1).numpy()
    root[~(root[..., 2] > _NEAREST)] = np.nan
    return root


def _evidence(seen: Seen, rows: Array) -> tuple:
    import torch

    fields = (seen.keypoints, seen.keypoint_covariance, seen.visible, seen.intrinsics)
    return tuple(torch.from_numpy(np.array(field[rows])) for field in fields)


def roots(seen: Seen) -> tuple[Float[NDArray[np.float32], "poses 3"], Float[NDArray[np.float32], "poses 3 3"]]:
    """Mean and covariance of the pelvis in camera axes, metres and m².

    The samples' spread (the same keypoints explain a larger person farther away) and what the keypoints' noise leaves
    open of each: the law of total variance. Without samples the mean is that of the mean pose, and the covariance is
    unknown. NaN as for `root_of_samples`.
    """
    import torch

    from ..geometry.cameras import root_covariance

    few = seen.samples.shape[1] < 2
    each = _solved(seen, seen.mean[:, None] if few else seen.samples).astype(np.float64)
    mean = each.mean(1) if each.shape[1] else np.full((len(seen), 3), np.nan)
    covariance = np.full((len(seen), 3, 3), np.nan)
    known = np.flatnonzero(np.isfinite(mean).all(-1))
    if len(known) and not few:
        offset = each[known] - mean[known, None]
        spread = np.einsum("psi,psj->pij", offset, offset) / (each.shape[1] - 1)
        noise = root_covariance(torch.from_numpy(mean[known]), *_evidence(seen, known)).numpy()
        covariance[known] = spread + noise
    return mean.astype(np.float32), covariance.astype(np.float32)


def absolute_samples(seen: Seen) -> Float[NDArray[np.float32], "poses samples joints 3"]:
    """The samples before the camera, see `poseterior.results.poses.LiftResult.absolute_samples`."""
    root = root_of_samples(seen) if seen.root_samples is None else seen.root_samples
    return seen.samples + root[:, :, None]


def absolute_moments(
    lifted: Lifted,
) -> tuple[Float[NDArray[np.float32], "poses joints 3"], Float[Array, "poses joints 3 3"]]:
    """Mean and covariance of each joint before the camera, see `poseterior.results.poses.LiftResult.absolute`."""
    each = absolute_samples(lifted).astype(np.float64)
    if each.shape[1] < 2:
        mean = lifted.mean + lifted.root[:, None]
        return mean, np.full((*mean.shape, 3), np.nan, np.float32)
    mean = each.mean(1)
    offset = each - mean[:, None]
    spread = np.einsum("psji,psjk->pjik", offset, offset) / (each.shape[1] - 1)
    if lifted.root_samples is not None:  # drawn with the keypoints' noise
        return mean.astype(np.float32), spread.astype(np.float32)
    moved = each - lifted.samples
    noise = lifted.root_covariance - _covariance(moved[:, :, 0])  # of the keypoints, the same for all joints
    return mean.astype(np.float32), (spread + noise[:, None]).astype(np.float32)


def _covariance(points: Float[Array, "poses samples 3"]) -> Float[Array, "poses 3 3"]:
    offset = points - points.mean(1, keepdims=True)
    return np.einsum("psi,psj->pij", offset, offset) / (points.shape[1] - 1)


def camera_root(
    shown: Float[NDArray[np.float32], "poses 17 3"],
    poses: Seen,
    intrinsics: Float[NDArray[np.float32], "poses 4"] | None = None,
) -> Float[NDArray[np.float32], "poses 3"]:
    """Where each pose must be moved to explain the keypoints.

    Args:
        shown: at any place, metres, camera axes.
        poses: with the keypoints, and the clips of which the depth is steadied.
        intrinsics: px, instead of those of the poses; where neither knows them (NaN), the field of view is assumed.

    Of a clip that was lifted as a whole the place is on its smoothed path, where that is known.

    Returns:
        Metres; of poses in the world, of several views, as told; zeros where neither the camera nor the image size is
        known. Frames that show less than two joints get a root between their neighbours'.
    """
    import torch

    from ..geometry.cameras import assumed_intrinsics, fit_root

    if intrinsics is None and len(poses) and _placed(poses).all():
        return poses.root
    given = poses.intrinsics if intrinsics is None else intrinsics
    known = np.isfinite(given).all(-1, keepdims=True)
    cameras = np.where(known, given, assumed_intrinsics(torch.from_numpy(np.array(poses.image_size))).numpy())
    root = np.full((len(poses), 3), np.nan)
    smooth = np.zeros(len(poses), bool)
    if poses.root_samples is not None and intrinsics is None:
        smooth |= np.isfinite(poses.root).all(-1)
        root[smooth] = poses.root[smooth]
    for row, camera in enumerate(cameras):
        if np.isfinite(camera).all() and not smooth[row]:
            covariance = poses.keypoint_covariance[row]
            root[row] = fit_root(shown[row, None], poses.keypoints[row], covariance, poses.visible[row], camera)[0]
    # A pose that explains its keypoints from behind the camera explains nothing.
    root[~(root[:, 2] > _NEAREST)] = np.nan
    for rows in poses.clips():
        found = np.isfinite(root[rows]).all(-1)
        if found.any() and not smooth[rows].all():
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
