"""Cameras: projection, rays, and where a pose stands that explains its keypoints: pure functions.

Camera axes are x right, y down, z forward; intrinsics are ``(fx, fy, cx, cy)`` in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .spd import inverse_2x2

__all__ = [
    "ASSUMED_FIELD_OF_VIEW",
    "NEAREST",
    "assumed_intrinsics",
    "explaining_root",
    "explaining_root_of",
    "fit_root",
    "linear_projection",
    "pixels_to_plane",
    "project",
    "root_covariance",
    "turn_to_axis",
]

#: Field of view in degrees across the longer side of an image whose camera is not known.
ASSUMED_FIELD_OF_VIEW = 55.0
#: Nearest that a point may be to the camera where pixels are linear in it, metres.
NEAREST = 0.1


def project(
    points: Float[Tensor, "*batch joints 3"], intrinsics: Float[Tensor, "*batch 4"]
) -> Float[Tensor, "*batch joints 2"]:
    """Pixels of points in camera axes (metres). Points behind the camera are the caller's concern."""
    return points[..., :2] / points[..., 2:] * intrinsics[..., None, :2] + intrinsics[..., None, 2:]


def linear_projection(
    points: Float[Tensor, "*batch 3"], focal: Float[Tensor, "*batch 2"]
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2 3"]]:
    """Pixels from the principal point, and how they change with the point, pixels per metre.

    Points nearer than 0.1 m, or behind the camera, count as if they were that far away.

    Args:
        points: metres, camera axes.
        focal: pixels, broadcast.
    """
    depth = points[..., 2:].clamp(min=NEAREST)
    scale = focal / depth
    offset = points[..., :2] * scale
    return offset, torch.cat([torch.diag_embed(scale), (offset / -depth).unsqueeze(-1)], -1)


def pixels_to_plane(
    xy: Float[Tensor, "*batch joints 2"], intrinsics: Float[Tensor, "*batch 4"]
) -> Float[Tensor, "*batch joints 2"]:
    """Pixels as points (x/z, y/z) of the plane at unit distance."""
    return (xy - intrinsics[..., None, 2:]) / intrinsics[..., None, :2]


def assumed_intrinsics(
    image_size: Float[Tensor, "*batch 2"], field_of_view: float = ASSUMED_FIELD_OF_VIEW
) -> Float[Tensor, "*batch 4"]:
    """Intrinsics of a centred camera with the given field of view (degrees) across the longer side."""
    focal = 0.5 * image_size.amax(-1, keepdim=True) / math.tan(math.radians(field_of_view) / 2)
    return torch.cat([focal, focal, 0.5 * image_size], -1)


def turn_to_axis(direction: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The smallest rotation that takes ``direction`` (z > 0) onto the optical axis (0, 0, 1)."""
    unit = direction / direction.norm(dim=-1, keepdim=True)
    side, forward = unit[..., :2], unit[..., 2:]
    across = torch.eye(2, dtype=unit.dtype, device=unit.device)
    across = across - (side / (1.0 + forward)).unsqueeze(-1) * side.unsqueeze(-2)
    left = torch.cat([across, side.unsqueeze(-2)], -2)
    return torch.cat([left, torch.cat([-side, forward], -1).unsqueeze(-1)], -1)


def explaining_root(
    poses: Float[Tensor, "*samples_and_batch joints 3"],
    xy: Float[Tensor, "*batch joints 2"],
    covariance: Float[Tensor, "*batch joints 2 2"],
    visible: Bool[Tensor, "*batch joints"],
    intrinsics: Float[Tensor, "*batch 4"],
) -> Float[Tensor, "*samples_and_batch 3"]:
    """The equations of `poseterior.keypoints.view.solve_root`, for cameras that are given.

    Args:
        poses: metres relative to the root, camera axes; values of joints that are not visible are ignored.
        xy, covariance: of the keypoints, px and px².
        visible: which of them count.
        intrinsics: ``(fx, fy, cx, cy)`` px.

    Returns:
        Metres, float64; NaN where fewer than two joints are visible.
    """
    normal = _root_equations(xy, covariance, visible, intrinsics)
    right = -(normal @ torch.where(visible.unsqueeze(-1), poses.double(), 0.0).unsqueeze(-1)).sum(-3)
    # The matrix is the same for all samples, so that its inverse is taken once for all.
    root = (torch.linalg.pinv(normal.sum(-3), hermitian=True) @ right).squeeze(-1)
    return torch.where(visible.sum(-1, keepdim=True) >= 2, root, float("nan"))


def explaining_root_of(
    xy: Float[Tensor, "n joints 2"],
    covariance: Float[Tensor, "n joints 2 2"],
    visible: Bool[Tensor, "n joints"],
    intrinsics: Float[Tensor, "n 4"],
) -> Float[Tensor, "n 3 joints*3"]:
    """What takes a pose, flattened, to its `explaining_root`: for who asks of several poses, one after the other.

    Float64; zero for joints that are not visible. Where fewer than two are, the root that it tells is arbitrary.
    """
    normal = _root_equations(xy, covariance, visible, intrinsics)
    return _solved(normal.sum(-3), normal.transpose(-3, -2).flatten(-2)).neg_()


#: Share of the squared length of the worst-told coordinate of the root that has to be told apart from the others.
_TOLD = 1e-9


def _solved(normal: Float[Tensor, "*batch 3 3"], right: Float[Tensor, "*batch 3 n"]) -> Float[Tensor, "*batch 3 n"]:
    """The solutions of normal equations of the root, float64: the shortest where keypoints tell less than all of it."""
    lower, failed = torch.linalg.cholesky_ex(normal)
    pivots, lengths = (matrix.diagonal(dim1=-2, dim2=-1) for matrix in (lower, normal))
    told = (pivots.square() > _TOLD * lengths).all(-1) & (failed == 0)
    if bool(told.all()):
        return torch.cholesky_inverse(lower) @ right
    told = told[..., None, None]
    lower = torch.where(told, lower, torch.eye(3, dtype=lower.dtype, device=lower.device))
    shortest = torch.linalg.pinv(normal, hermitian=True) @ right
    return torch.where(told, torch.cholesky_inverse(lower) @ right, shortest)


def _root_equations(
    xy: Float[Tensor, "*batch joints 2"],
    covariance: Float[Tensor, "*batch joints 2 2"],
    visible: Bool[Tensor, "*batch joints"],
    intrinsics: Float[Tensor, "*batch 4"],
) -> Float[Tensor, "*batch joints 3 3"]:
    """Each visible joint's part of the normal matrix of the equations for the root; zero where hidden."""
    known = visible.unsqueeze(-1)
    intrinsics = intrinsics[..., None, :].double()
    offset = torch.where(known, intrinsics[..., 2:] - xy, 0.0).unsqueeze(-1)
    focal = torch.diag_embed(intrinsics[..., :2]).expand(*xy.shape, 2)
    camera = torch.cat([focal, offset], -1)  # (*batch, joints, 2, 3)
    precision = torch.where(known.unsqueeze(-1), inverse_2x2(covariance.double()), 0.0)
    return camera.mT @ (precision @ camera)


def root_covariance(
    root: Float[Tensor, "*batch 3"],
    xy: Float[Tensor, "*batch joints 2"],
    covariance: Float[Tensor, "*batch joints 2 2"],
    visible: Bool[Tensor, "*batch joints"],
    intrinsics: Float[Tensor, "*batch 4"],
) -> Float[Tensor, "*batch 3 3"]:
    """What the keypoints' noise leaves open of `explaining_root` where the pose is known: to first order.

    The equations' residuals are pixels times depth, so that their inverse normal matrix is times the squared depth.

    Args:
        root: metres, from `explaining_root`.
        xy, covariance, visible, intrinsics: as there.

    Returns:
        m², float64.
    """
    normal = _root_equations(xy, covariance, visible, intrinsics).sum(-3)
    return torch.linalg.pinv(normal, hermitian=True) * root.double()[..., 2, None, None].square()


def fit_root(
    poses: np.ndarray,
    keypoints: np.ndarray,
    covariance: np.ndarray,
    visible: np.ndarray,
    intrinsics: Sequence[float],
) -> np.ndarray:
    """`explaining_root` for arrays: several poses, one set of keypoints, a camera that is given.

    Args:
        poses: ``(n, joints, 3)`` metres relative to the root, camera axes.
        keypoints: ``(joints, 2)`` px; values of joints that are not visible are ignored.
        covariance: ``(joints, 2, 2)`` px².
        visible: ``(joints,)`` bool.
        intrinsics: ``(fx, fy, cx, cy)`` px.

    Returns:
        ``(n, 3)`` metres; NaN where fewer than two joints are visible, which cannot tell the distance.
    """
    arrays = (poses, keypoints, covariance, visible, np.asarray(intrinsics))
    return explaining_root(*(torch.from_numpy(np.array(array)) for array in arrays)).numpy()
