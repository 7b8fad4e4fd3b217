"""The view in which a lifter sees a person: a camera that looks straight at them.

Camera axes are x right, y down, z forward; intrinsics are ``(fx, fy, cx, cy)`` in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

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
    knows_size, knows_camera = (
        ~part.isnan().any(-1, keepdim=True) for part in (keypoints.image_size, keypoints.intrinsics)
    )
    intrinsics = assumed_intrinsics(keypoints.image_size)
    if not _surely(knows_size | knows_camera):
        centre = _Weights.where(keypoints.visible, keypoints.xy.dtype).mean(keypoints.xy).squeeze(-2)
        focal = (keypoints.size / _NOMINAL_SIZE).clamp(min=1.0).unsqueeze(-1)
        intrinsics = torch.where(knows_size, intrinsics, torch.cat([focal, focal, centre], -1))
    intrinsics = torch.where(knows_camera, keypoints.intrinsics, intrinsics)
    return intrinsics, torch.where(knows_camera, 2, knows_size.long()).squeeze(-1)


def _surely(known: Bool[Tensor, "*any"]) -> bool:
    """Whether it is true of all; False for who writes the steps down, which have to do for others too."""
    return not (torch.compiler.is_compiling() or torch.jit.is_tracing()) and bool(known.all())


class _Weights(NamedTuple):
    """Joints over which means are taken.

    Attributes:
        of: ``(*batch, joints, 1)`` 1 for those that count.
        total: ``(*batch, 1, 1)`` how many they are, at least 1.
    """

    of: Tensor
    total: Tensor

    @classmethod
    def where(cls, mask: Bool[Tensor, "*batch joints"], dtype: torch.dtype) -> _Weights:
        of = mask.unsqueeze(-1).to(dtype)
        return cls(of, of.sum(-2, keepdim=True).clamp(min=1.0))

    def mean(self, values: Float[Tensor, "*batch joints n"]) -> Float[Tensor, "*batch 1 n"]:
        return (values * self.of).sum(-2, keepdim=True) / self.total


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
    plane = pixels_to_plane(keypoints.xy, intrinsics)
    centre = _Weights.where(keypoints.visible, plane.dtype).mean(plane)
    rotation = turn_to_axis(functional.pad(centre, (0, 1), value=1.0).squeeze(-2))
    rays = functional.pad(plane, (0, 1), value=1.0) @ rotation.transpose(-1, -2)
    # A joint more than about 85 degrees off the person's direction has no finite image in the turned camera.
    visible = keypoints.visible & (rays[..., 2] > 0.1)
    depth = rays[..., 2:].clamp(min=0.1)
    turned = rays[..., :2] / depth
    straight, away = rotation[..., None, :2, :2], rotation[..., None, 2:, :2]
    jacobian = torch.addcmul(straight, turned.unsqueeze(-1), away, value=-1.0)
    jacobian = jacobian / (depth.unsqueeze(-1) * intrinsics[..., None, None, :2])
    covariance = jacobian @ keypoints.covariance @ jacobian.transpose(-1, -2)

    variance = 0.5 * covariance.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    weights = _Weights.where(visible, turned.dtype)
    offset = turned - weights.mean(turned)
    scale = weights.mean(offset.square().sum(-1, keepdim=True) + variance).sqrt()
    scale = torch.where(scale > 0, scale, _NOMINAL_SIZE)  # (*batch, 1, 1)
    shown = visible.unsqueeze(-1) & (variance.sqrt() < maximum_spread * scale)
    points = torch.where(shown, offset / scale, 0.0)
    identity = torch.eye(2, dtype=points.dtype, device=points.device)
    covariance = torch.where(shown.unsqueeze(-1), covariance / scale.square().unsqueeze(-1), identity)
    return CanonicalView(points, covariance, shown.squeeze(-1), scale[..., 0, 0], rotation, knowledge, keypoints.height)


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
