"""The published lifters' input and output normalisations (Wehrbein et al. 2021); ours is the canonical view."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ...data.sets.h36m_layout import DETECTED_JOINTS
from ...files.errors import InputError
from ...geometry.linalg import ellipse_covariance

__all__ = [
    "CONDITION_JOINTS",
    "CONDITION_SIDE",
    "centre_pose",
    "published_condition",
    "standardise_keypoints",
]

#: The 13 joints of the published condition: the detected ones without the pelvis and the hips.
CONDITION_JOINTS = tuple(joint for joint in DETECTED_JOINTS if joint not in ("right_hip", "left_hip", "pelvis"))
_CONDITIONED = [DETECTED_JOINTS.index(joint) for joint in CONDITION_JOINTS]
#: Side of the heatmaps (px) that it is made for.
CONDITION_SIDE = 64
# Its other constants, in pixels of such heatmaps; they define the numbers that its network has learnt from.
_CONDITION_AMPLITUDE = 1.2
_CONDITION_SIGMA = (0.2, 10.0)
#: A peak wider than the detector's training target (2 px) means doubt, which is emphasised twofold.
_CONDITION_UNSURE = 2.1
_CONDITION_SCALE = 20.0


def standardise_keypoints(xy: Float[Tensor, "*batch joints 2"]) -> Float[Tensor, "*batch joints 2"]:
    """Per pose: centred, y up, divided by ONE population standard deviation over all x and y.

    Location and scale in the image are lost. The sum of squares is twice the number of joints.
    """
    centred = xy - xy.mean(-2, keepdim=True)
    centred = centred * centred.new_tensor([1.0, -1.0])
    deviation = centred.square().mean((-2, -1)).sqrt()
    return centred / deviation[..., None, None]


def centre_pose(pose: Float[Tensor, "*batch joints 3"]) -> Float[Tensor, "*batch joints 3"]:
    """Metres, minus the centroid of the joints, turned by 180 degrees about x (y up, z towards the viewer)."""
    return (pose - pose.mean(-2, keepdim=True)) * pose.new_tensor([1.0, -1.0, -1.0])


def published_condition(
    amplitude: Float[Tensor, "*batch 16"],
    mean: Float[Tensor, "*batch 16 2"],
    sigma_x: Float[Tensor, "*batch 16"],
    theta: Float[Tensor, "*batch 16"],
    sigma_y: Float[Tensor, "*batch 16"],
) -> Float[Tensor, "*batch 13 6"]:
    """The condition of the published flow (Wehrbein et al. 2021) from Gaussians fitted to 64 x 64 heatmaps.

    The amplitude is clipped to [0, 1.2]; means are clipped to the heatmap, then centred, turned y up and scaled by
    `standardise_keypoints` over all 16 joints; standard deviations are clipped to [0.2, 10] px, doubled above
    2.1 px and divided by 20. The hips and the pelvis are left out. An unbounded fit may answer with a negative sigma,
    which means the same as a positive one; the published condition takes it for the narrowest, and so does this.

    Args:
        amplitude: height of the peak; joints in the order of `poseterior.data.sets.h36m_layout.DETECTED_JOINTS`.
        mean: heatmap px, x right, y down.
        sigma_x, sigma_y: standard deviations (px) along and across the axis at ``theta``.
        theta: radians from x towards y *up*, see `poseterior.keypoints.heatmaps.HeatmapGaussians.axes`.

    Returns:
        For each of `CONDITION_JOINTS`: amplitude, mean x and y, variance of x, covariance, variance of y; y up.

    Raises:
        InputError: another number of joints; means that all coincide, which cannot be scaled.
    """
    if amplitude.ndim < 1 or amplitude.shape[-1] != 16 or mean.shape != (*amplitude.shape, 2):
        raise InputError(
            f"amplitude {tuple(amplitude.shape)}, mean {tuple(mean.shape)}: the published condition needs"
            " the 16 joints of the published detector, (..., 16) and (..., 16, 2)"
        )
    place = mean.clamp(0.0, CONDITION_SIDE - 1.0)
    coincide = (place == place[..., :1, :]).all(-1).all(-1)
    if coincide.any():
        pose = ", ".join(map(str, coincide.nonzero()[0].tolist()))
        raise InputError(
            f"mean: {f'pose {pose}: ' if pose else ''}all 16 joints are in one place (is no joint found?), so the"
            " published condition is undefined; leave the pose out"
        )
    sigmas = torch.stack([sigma_x, sigma_y]).clamp(*_CONDITION_SIGMA)
    along, across = torch.where(sigmas > _CONDITION_UNSURE, 2 * sigmas, sigmas) / _CONDITION_SCALE
    covariance = ellipse_covariance(along, theta, across)
    parameters = [
        amplitude.clamp(0.0, _CONDITION_AMPLITUDE),
        *standardise_keypoints(place).unbind(-1),
        covariance[..., 0, 0],
        covariance[..., 0, 1],
        covariance[..., 1, 1],
    ]
    return torch.stack(parameters, -1)[..., _CONDITIONED, :]
