"""How far a detector's noise can be from what it says, told from how its keypoints jump from frame to frame."""

from __future__ import annotations

import math

import torch

from ...keypoints import Keypoints2D

__all__ = ["FEWEST", "most_noise"]

#: Jumps below which nothing is said.
FEWEST = 50
#: Median of a squared Mahalanobis distance in two dimensions, if the covariance is right: 2 ln 2.
_USUAL = 2.0 * math.log(2.0)


def most_noise(keypoints: Keypoints2D) -> float:
    """By what the reported standard deviations would be multiplied if all jumps of the keypoints were noise.

    The median over joints and frames of ``d' C^-1 d``, where ``d`` is a keypoint's second difference over three frames
    and ``C`` its covariance for independent noise of the reported size. People's own accelerations only add to it, so
    that noise which is new in every frame is no larger than this; noise that hangs together may be.

    Args:
        keypoints: a clip, evenly spaced frames one after the other.

    Returns:
        The factor; infinite where fewer than `FEWEST` jumps are seen.
    """
    xy, spread, seen = keypoints.xy.double(), keypoints.covariance.double(), keypoints.visible
    jump = (xy[2:] - 2.0 * xy[1:-1] + xy[:-2]).unsqueeze(-1)
    known = seen[2:] & seen[1:-1] & seen[:-2]
    if int(known.sum()) < FEWEST:
        return math.inf
    expected = spread[2:] + 4.0 * spread[1:-1] + spread[:-2]
    distance = (jump.mT @ torch.linalg.solve(expected, jump)).squeeze((-2, -1))[known]
    return math.sqrt(float(distance.median()) / _USUAL)
