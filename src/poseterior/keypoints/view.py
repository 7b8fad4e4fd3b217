"""The view in which a lifter sees a person: a camera that looks straight at them.

Camera axes are x right, y down, z forward; intrinsics are ``(fx, fy, cx, cy)`` in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.cameras import assumed_intrinsics, explaining_root, pixels_to_plane, project, turn_to_axis
from .keypoints import Keypoints2D

__all__ = [
    "CAMERA_KNOWLEDGE",
    "CanonicalView",
    "camera_of",
    "canonical_view",
    "image_offsets",
    "reprojection_energy",
    "solve_root",
]

#: What is known of the camera, as the lifter is told.
CAMERA_KNOWLEDGE = ("nothing", "image size", "intrinsics")
#: Apparent size (tangent units) given to a person in a picture of which not even the size is known.
_NOMINAL_SIZE = 0.1


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


def camera_of(keypoints: Keypoints2D) -> tuple[Tensor, Tensor]:
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
    intrinsics, knowledge = camera_of(keypoints)
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
    intrinsics, _ = camera_of(keypoints)
    root = explaining_root(poses, keypoints.xy, keypoints.covariance, keypoints.visible, intrinsics)
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
    intrinsics, _ = camera_of(keypoints)
    absolute = poses + root.unsqueeze(-2)
    gap = (project(absolute, intrinsics) - keypoints.xy).unsqueeze(-1)
    precision = torch.linalg.inv(keypoints.covariance.double()).to(poses.dtype)
    energy = (gap * (precision @ gap)).sum((-2, -1))
    energy = torch.where(absolute[..., 2] > 0, energy, float("inf"))  # NaN is not above 0 either
    return torch.where(keypoints.visible, energy, 0.0)


def image_offsets(keypoints: Keypoints2D) -> Float[Tensor, "*batch joints 2"]:
    """Pixels relative to the root, or to the middle of the visible joints where the root is hidden; 0 if hidden."""
    root = keypoints.skeleton.root
    shown = keypoints.visible.unsqueeze(-1)
    middle = torch.where(shown, keypoints.xy, 0.0).sum(-2) / shown.sum(-2).clamp(min=1)
    centre = torch.where(shown[..., root, :], keypoints.xy[..., root, :], middle)
    return torch.where(shown, keypoints.xy - centre.unsqueeze(-2), 0.0)
