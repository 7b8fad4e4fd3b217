"""Keypoints of a fused result: of one camera's picture, in which joints that only others see have a place too."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ...geometry.cameras import project
from ...keypoints import Keypoints2D
from ...keypoints.calibration import Camera

__all__ = ["in_one_picture"]

#: Joints nearer to the camera than this (m), or behind it, have no picture.
_NEAREST = 0.1


def in_one_picture(
    view: Keypoints2D,
    camera: Camera,
    places: Float[Tensor, "n joints 3"],
    covariance: Float[Tensor, "n coordinates coordinates"],
    shown: Float[Tensor, "n joints"],
) -> Keypoints2D:
    """One view's keypoints, and where this camera sees the fused joints that other views show, with what is unsure.

    Args:
        view: of the camera.
        camera: which sees it.
        places: of all joints, metres, in the calibration's world.
        covariance: of the coordinates of all joints of a moment, m².
        shown: joints that some view shows; those that this camera cannot see (behind it) stay hidden.
    """
    turn = torch.from_numpy(camera.rotation).to(places)
    before = places @ turn.mT + torch.as_tensor(camera.translation).to(places)
    lens = torch.as_tensor(camera.intrinsics).to(places)
    ahead = before[..., 2] > _NEAREST
    safe = torch.where(ahead[..., None], before, torch.ones_like(before))
    x, y, z = safe.unbind(-1)
    zero = torch.zeros_like(z)
    slope = torch.stack([lens[0] / z, zero, -lens[0] * x / z**2, zero, lens[1] / z, -lens[1] * y / z**2], -1)
    slope = slope.unflatten(-1, (2, 3)) @ turn
    own = covariance.unflatten(-1, (-1, 3)).unflatten(1, (-1, 3)).diagonal(dim1=1, dim2=3).movedim(-1, 1)
    others = shown.to(view.visible) & ~view.visible & ahead.to(view.visible.device)
    spread = slope @ own @ slope.mT + 0.25 * torch.eye(2).to(places)  # no sharper than half a pixel
    return view._replace(
        visible=view.visible | others,
        xy=torch.where(others[..., None], project(safe, lens).to(view.xy), view.xy),
        covariance=torch.where(others[..., None, None], spread.to(view.covariance), view.covariance),
    )
