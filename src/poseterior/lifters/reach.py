"""What networks are told of keypoints whose noise is beyond what they learnt from."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..keypoints import Keypoints2D

__all__ = ["within_reach", "within_reach_of_all"]

#: Standard deviation of keypoints, in sizes of the person and the mean over joints, beyond which networks saw none
#: (about 25 mm); joints that have to be seen for a size; and standard deviation from which on a joint tells nothing.
_REACH, _FEWEST, _NOTHING = 0.055, 3, 0.15


def _told(
    keypoints: Keypoints2D,
) -> tuple[Bool[Tensor, "*batch joints"], Bool[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Joints that networks are told of, poses with more noise than they learn from, and the factor that mends it."""
    spread, size = keypoints.covariance.diagonal(dim1=-2, dim2=-1).mean(-1).sqrt(), keypoints.size
    shown = keypoints.visible & (spread <= _NOTHING * size.unsqueeze(-1))
    number = shown.sum(-1)
    mean = (spread * shown).sum(-1) / number.clamp(min=1)
    limit = _REACH * size
    beyond = (mean > limit) & (number >= _FEWEST)
    return shown, beyond, torch.where(beyond, limit / mean, 1.0)


def within_reach(keypoints: Keypoints2D) -> Keypoints2D:
    """The same, standard deviations no larger than those that networks learn from.

    Told of more noise than they ever saw, networks answer with people of half the size. Of joints that could be
    anywhere on the person they are told nothing. What is left out, the evidence and the regions still know.
    """
    shown, beyond, factor = _told(keypoints)
    if not torch.equal(shown, keypoints.visible):
        keypoints = keypoints._replace(visible=shown)
    return keypoints.with_noise(factor) if bool(beyond.any()) else keypoints


def within_reach_of_all(keypoints: Keypoints2D) -> Keypoints2D:
    """The same numbers without a question about any pose in between, so that it can be traced."""
    shown, _, factor = _told(keypoints)
    return keypoints._replace(visible=shown).with_noise(factor)
