"""The published lifters' input and output normalisations (Wehrbein et al. 2021); ours is the canonical view."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

__all__ = ["centre_pose", "standardise_keypoints"]


def standardise_keypoints(xy: Float[Tensor, "*batch joints 2"]) -> Float[Tensor, "*batch joints 2"]:
    """Per pose: centred, y up, divided by ONE population standard deviation over all x and y.

    Location and scale in the image are lost. The sum of squares is twice the number of joints.
    """
    centred = xy - xy.mean(-2, keepdim=True)
    centred = centred * centred.new_tensor([1.0, -1.0])
    deviation = centred.flatten(-2).std(-1, unbiased=False)
    return centred / deviation[..., None, None]


def centre_pose(pose: Float[Tensor, "*batch joints 3"]) -> Float[Tensor, "*batch joints 3"]:
    """Metres, minus the centroid of the joints, turned by 180 degrees about x (y up, z towards the viewer)."""
    return (pose - pose.mean(-2, keepdim=True)) * pose.new_tensor([1.0, -1.0, -1.0])
