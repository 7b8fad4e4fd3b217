"""2D poses at a fixed distance from a camera, as unsupervised lifters see and turn them.

The picture is taken as seen from a distance ``c``: each joint of the 2D pose ``u`` gets a depth ``c + d`` and lies on
its ray, ``X = (u z, z)`` (Chen et al. 2019; Yu et al., ICCV 2021). Sizes of people and their distances cannot be told
apart from 2D, so 2D poses are brought to one size first.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .keypoints import Keypoints2D
from .view import canonical_view

__all__ = [
    "METRES_PER_UNIT",
    "NOMINAL_SPREAD",
    "apparent_size",
    "project_at",
    "root_relative_image",
    "sized",
    "turn_matrices",
    "turned",
]

#: Metres of one unit of lifted poses: from pelvis to head of a person of 1.7 m.
METRES_PER_UNIT = 0.65
#: Root mean square distance of the joints from their middle, of a 2D pose that is 0.1 from pelvis to head.
NOMINAL_SPREAD = 0.069


def apparent_size(image: Float[Tensor, "n joints 2"]) -> Float[Tensor, " n"]:
    """Mean of the bounding box's sides."""
    return (image.amax(-2) - image.amin(-2)).mean(-1)


def root_relative_image(
    keypoints: Keypoints2D, unit: Tensor | None = None
) -> tuple[Float[Tensor, "n joints 2"], Bool[Tensor, "n joints"]]:
    """2D poses relative to the root, as a camera sees them that looks at the person, and which joints are visible.

    x and y have the same factor, whatever the picture's shape. Where the root is hidden, the middle of the visible
    joints stands for it; hidden joints are 0.

    Args:
        keypoints: a flat batch.
        unit: factor from tangents; None: every pose has the spread `NOMINAL_SPREAD`.
    """
    view = canonical_view(keypoints)
    root = keypoints.skeleton.root
    # The view's points are relative to the middle of the visible joints, in units of their spread.
    centre = torch.where(view.visible[..., root, None], view.points[..., root, :], 0.0)
    points = view.points - centre.unsqueeze(-2)
    points = NOMINAL_SPREAD * points if unit is None else unit * view.scale[..., None, None] * points
    return torch.where(view.visible.unsqueeze(-1), points, 0.0), view.visible


def turn_matrices(
    azimuth: Float[Tensor, " n"], elevation: Float[Tensor, " n"], roll: Float[Tensor, " n"]
) -> Float[Tensor, "n 3 3"]:
    """``Rz(roll) Rx(elevation) Ry(azimuth)``, angles in radians."""
    zero, one = torch.zeros_like(azimuth), torch.ones_like(azimuth)
    (ca, sa), (ce, se), (cr, sr) = ((a.cos(), a.sin()) for a in (azimuth, elevation, roll))
    about_y = torch.stack([ca, zero, sa, zero, one, zero, -sa, zero, ca], -1).unflatten(-1, (3, 3))
    about_x = torch.stack([one, zero, zero, zero, ce, -se, zero, se, ce], -1).unflatten(-1, (3, 3))
    about_z = torch.stack([cr, -sr, zero, sr, cr, zero, zero, zero, one], -1).unflatten(-1, (3, 3))
    return about_z @ about_x @ about_y


def turned(pose: Float[Tensor, "n joints 3"], rotation: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n joints 3"]:
    """A pose relative to its root, turned about it (``rotation.mT`` turns it back)."""
    return pose @ rotation.transpose(-1, -2)


def project_at(pose: Float[Tensor, "n joints 3"], distance: float) -> Float[Tensor, "n joints 2"]:
    """2D pose of a pose whose root is ``distance`` in front of the camera, on its axis."""
    depth = (pose[..., 2:] + distance).clamp(min=0.1 * distance)
    return pose[..., :2] / depth


def sized(
    view: Float[Tensor, "n joints 2"], one_size: bool
) -> tuple[Float[Tensor, "n joints 2"], Float[Tensor, "n 1 1"]]:
    """2D poses brought to the spread `NOMINAL_SPREAD` if ``one_size``, and the factors that this took."""
    if not one_size:
        return view, view.new_ones(len(view), 1, 1)
    spread = (view - view.mean(-2, keepdim=True)).square().sum(-1).mean(-1).sqrt()
    factor = (NOMINAL_SPREAD / spread.clamp(min=1e-4))[:, None, None]
    return factor * view, factor
