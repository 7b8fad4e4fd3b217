"""Cameras: projection, rays, and the view in which a lifter sees a person.

Camera axes are x right, y down, z forward; intrinsics are ``(fx, fy, cx, cy)`` in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .errors import InputError
from .keypoints import Keypoints2D

__all__ = [
    "ASSUMED_FIELD_OF_VIEW",
    "CAMERA_KNOWLEDGE",
    "CanonicalView",
    "assumed_intrinsics",
    "canonical_view",
    "fit_root",
    "pixels_to_plane",
    "project",
    "reprojection_energy",
    "solve_root",
    "turn_to_axis",
]

#: Field of view in degrees across the longer side of an image whose camera is not known.
ASSUMED_FIELD_OF_VIEW = 55.0
#: What is known of the camera, as the lifter is told.
CAMERA_KNOWLEDGE = ("nothing", "image size", "intrinsics")
#: Apparent size (tangent units) given to a person in a picture of which not even the size is known.
_NOMINAL_SIZE = 0.1


def project(
    points: Float[Tensor, "*batch joints 3"], intrinsics: Float[Tensor, "*batch 4"]
) -> Float[Tensor, "*batch joints 2"]:
    """Pixels of points in camera axes (metres). Points behind the camera are the caller's concern."""
    return points[..., :2] / points[..., 2:] * intrinsics[..., None, :2] + intrinsics[..., None, 2:]


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
    x, y, z = (direction / direction.norm(dim=-1, keepdim=True)).unbind(-1)
    k = 1.0 / (1.0 + z)
    rows = (1 - k * x * x, -k * x * y, -x, -k * x * y, 1 - k * y * y, -y, x, y, z)
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


@dataclass(frozen=True)
class CanonicalView:
    """A person as seen by a virtual camera that looks straight at them.

    Attributes:
        points: ``(*batch, joints, 2)`` on the unit plane of the turned camera, divided by ``scale``, relative
            to the centre of the visible joints; 0 where hidden.
        covariance: ``(*batch, joints, 2, 2)`` of the points, likewise scaled; identity where hidden.
        visible: ``(*batch, joints)``.
        scale: ``(*batch,)`` apparent size in tangent units (root-mean-square distance from the centre, at
            least the mean uncertainty).
        rotation: ``(*batch, 3, 3)`` from camera axes to the turned axes.
        knowledge: ``(*batch,)`` index into `CAMERA_KNOWLEDGE`.
        height: ``(*batch,)`` metres, NaN where unknown.
    """

    points: Tensor
    covariance: Tensor
    visible: Tensor
    scale: Tensor
    rotation: Tensor
    knowledge: Tensor
    height: Tensor


def _camera_of(keypoints: Keypoints2D) -> tuple[Tensor, Tensor]:
    """Intrinsics to use for each pose and what they rest on (index into `CAMERA_KNOWLEDGE`)."""
    knows_size = keypoints.image_size.isfinite().all(-1)
    knows_camera = keypoints.intrinsics.isfinite().all(-1)
    weight = keypoints.visible.to(keypoints.xy.dtype).unsqueeze(-1)
    centre = (keypoints.xy * weight).sum(-2) / weight.sum(-2).clamp(min=1.0)
    focal = (keypoints.size / _NOMINAL_SIZE).clamp(min=1.0).unsqueeze(-1)
    blind = torch.cat([focal, focal, centre], -1)
    intrinsics = torch.where(knows_size.unsqueeze(-1), assumed_intrinsics(keypoints.image_size), blind)
    intrinsics = torch.where(knows_camera.unsqueeze(-1), keypoints.intrinsics, intrinsics)
    return intrinsics, torch.where(knows_camera, 2, knows_size.long())


def _mean_over(values: Tensor, mask: Bool[Tensor, "*batch joints"]) -> Tensor:
    weight = mask.to(values.dtype)
    while weight.ndim < values.ndim:
        weight = weight.unsqueeze(-1)
    dim = mask.ndim - 1
    return (values * weight).sum(dim) / weight.sum(dim).clamp(min=1.0)


def canonical_view(keypoints: Keypoints2D, maximum_spread: float = 0.5) -> CanonicalView:
    """Turn keypoints into what a camera would see that looks straight at the person.

    With known intrinsics this is exact for perspective cameras; without them the field of view is
    `ASSUMED_FIELD_OF_VIEW` (image size known) or the picture is taken as distant (nothing known), and
    ``knowledge`` says so. Covariances are carried along to first order.

    Args:
        keypoints: the evidence, in the skeleton of the lifter.
        maximum_spread: a joint whose standard deviation exceeds this fraction of the person's apparent size
            says nothing and counts as hidden.
    """
    intrinsics, knowledge = _camera_of(keypoints)
    visible = keypoints.visible
    plane = pixels_to_plane(keypoints.xy, intrinsics)
    centre = _mean_over(plane, visible)
    rotation = turn_to_axis(torch.cat([centre, torch.ones_like(centre[..., :1])], -1))
    rays = torch.cat([plane, torch.ones_like(plane[..., :1])], -1) @ rotation.transpose(-1, -2)
    # A joint more than about 85 degrees off the person's direction has no finite image in the turned camera.
    visible = visible & (rays[..., 2] > 0.1)
    depth = rays[..., 2:].clamp(min=0.1)
    turned = rays[..., :2] / depth
    jacobian = (rotation[..., None, :2, :2] - turned.unsqueeze(-1) * rotation[..., None, 2:, :2]) / depth.unsqueeze(-1)
    jacobian = jacobian / intrinsics[..., None, None, :2]
    covariance = jacobian @ keypoints.covariance @ jacobian.transpose(-1, -2)

    variance = 0.5 * covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    middle = _mean_over(turned, visible)
    squared = (turned - middle.unsqueeze(-2)).square().sum(-1)
    scale = (_mean_over(squared, visible) + _mean_over(variance, visible)).sqrt()
    scale = torch.where(scale > 0, scale, torch.full_like(scale, _NOMINAL_SIZE))
    visible = visible & (variance.sqrt() < maximum_spread * scale.unsqueeze(-1))
    points = torch.where(visible.unsqueeze(-1), (turned - middle.unsqueeze(-2)) / scale[..., None, None], 0.0)
    identity = torch.eye(2, dtype=points.dtype, device=points.device)
    covariance = torch.where(visible[..., None, None], covariance / scale.square()[..., None, None, None], identity)
    return CanonicalView(points, covariance, visible, scale, rotation, knowledge, keypoints.height)


def _explaining_root(
    poses: Float[Tensor, "*samples_and_batch joints 3"],
    xy: Float[Tensor, "*batch joints 2"],
    covariance: Float[Tensor, "*batch joints 2 2"],
    visible: Bool[Tensor, "*batch joints"],
    intrinsics: Float[Tensor, "*batch 4"],
) -> Float[Tensor, "*samples_and_batch 3"]:
    """The equations of `solve_root`, in float64; values of joints that are not visible are ignored."""
    known = visible.unsqueeze(-1)
    intrinsics = intrinsics.double()
    xy = torch.where(known, xy.double(), 0.0)
    identity = torch.eye(2, dtype=xy.dtype, device=xy.device)
    covariance = torch.where(known.unsqueeze(-1), covariance.double(), identity)
    focal = torch.diag_embed(intrinsics[..., :2]).unsqueeze(-3).expand(*xy.shape, 2)
    camera = torch.cat([focal, (intrinsics[..., None, 2:] - xy).unsqueeze(-1)], -1)  # (*batch, joints, 2, 3)
    normal = camera.mT @ torch.linalg.inv(covariance) @ camera
    normal = torch.where(known.unsqueeze(-1), normal, 0.0)
    right = -(normal @ torch.where(known, poses.double(), 0.0).unsqueeze(-1)).sum(-3)
    # The matrix is the same for all samples, so that its inverse is taken once for all.
    root = (torch.linalg.pinv(normal.sum(-3), hermitian=True) @ right).squeeze(-1)
    return torch.where(visible.sum(-1, keepdim=True) >= 2, root, float("nan"))


def _check_joints(poses: Tensor, keypoints: Keypoints2D) -> None:
    if poses.shape[-2] != len(keypoints.skeleton):
        raise InputError(
            f"poses have {poses.shape[-2]} joints, but the keypoints' skeleton {keypoints.skeleton.name!r} has "
            f"{len(keypoints.skeleton)}; give the keypoints in the skeleton of the poses"
        )


def solve_root(
    poses: Float[Tensor, "*samples_and_batch joints 3"], keypoints: Keypoints2D
) -> Float[Tensor, "*samples_and_batch 3"]:
    """Where in front of the camera each hypothesis explains the keypoints best, from the hypothesis itself.

    A joint at ``X`` from the root and a root at ``t`` are seen at pixel ``u`` if ``f (X + t)_xy = (u - c) (X + t)_z``:
    linear in ``t``. The equations of the visible joints, each whitened by its keypoint's covariance, are solved
    in least squares. Residuals are pixels times depth, so joints that are farther away count a little more than in
    the reprojection error; where the pose fits exactly the two agree. Gauss-Newton steps on the reprojection error
    itself lower it by about 1 % and bring the root no nearer to the true one, so there are none.

    The camera is what a lifter may know: the intrinsics, else `assumed_intrinsics` of the image size, else a
    distant camera. So the root is that camera's, and only with known intrinsics the true camera's.

    Args:
        poses: ``(*samples, *batch, joints, 3)`` metres relative to the root, camera axes; values of joints that
            are not visible are ignored, NaN included.
        keypoints: the evidence ``(*batch)``, in the skeleton of the poses.

    Returns:
        ``(*samples, *batch, 3)`` metres; NaN where fewer than two joints are visible, which cannot tell the distance.

    Raises:
        InputError: poses and keypoints of different skeletons.
    """
    _check_joints(poses, keypoints)
    intrinsics, _ = _camera_of(keypoints)
    root = _explaining_root(poses, keypoints.xy, keypoints.covariance, keypoints.visible, intrinsics)
    return root.to(poses.dtype)


def reprojection_energy(
    poses: Float[Tensor, "*samples_and_batch joints 3"],
    root: Float[Tensor, "*#samples_and_batch 3"],
    keypoints: Keypoints2D,
) -> Float[Tensor, "*samples_and_batch joints"]:
    """Squared Mahalanobis distance from each keypoint to where its joint is seen: ``r' covariance^-1 r``.

    Seen by the camera of `solve_root`.

    Args:
        poses: ``(*samples, *batch, joints, 3)`` metres relative to the root, camera axes.
        root: ``(*samples, *batch, 3)`` metres, e.g. from `solve_root`, or ``(*batch, 3)`` for all samples alike.
        keypoints: the evidence ``(*batch)``, in the skeleton of the poses.

    Returns:
        0 where the joint is not visible; infinite where it is at or behind the camera, or the root is not known.

    Raises:
        InputError: poses and keypoints of different skeletons.
    """
    _check_joints(poses, keypoints)
    intrinsics, _ = _camera_of(keypoints)
    absolute = poses + root.unsqueeze(-2)
    gap = (project(absolute, intrinsics) - keypoints.xy).unsqueeze(-1)
    precision = torch.linalg.inv(keypoints.covariance.double()).to(poses.dtype)
    energy = (gap * (precision @ gap)).sum((-2, -1))
    energy = torch.where(absolute[..., 2] > 0, energy, float("inf"))  # NaN is not above 0 either
    return torch.where(keypoints.visible, energy, 0.0)


def fit_root(
    poses: np.ndarray,
    keypoints: np.ndarray,
    covariance: np.ndarray,
    visible: np.ndarray,
    intrinsics: Sequence[float],
) -> np.ndarray:
    """`solve_root` for arrays: several poses, one set of keypoints, a camera that is given.

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
    return _explaining_root(*(torch.from_numpy(np.array(array)) for array in arrays)).numpy()
