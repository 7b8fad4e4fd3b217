"""How far a detector's noise can be from what it says, told from how its keypoints jump from frame to frame."""

from __future__ import annotations

import math

import torch

from ...keypoints import Keypoints2D

__all__ = ["FEWEST", "least_noise", "most_noise"]

#: Jumps below which nothing is said.
FEWEST = 50
#: Median of a squared Mahalanobis distance in two dimensions, if the covariance is right: 2 ln 2.
_USUAL = 2.0 * math.log(2.0)
#: Frames per second from which on people hardly move between five frames, but for what is nearly a parabola.
_QUICK = 20.0
#: Fourth differences: weights of five frames; and the joint, of all in order of their jumps, by which noise is told.
_FOURTH, _CALM = (1.0, -4.0, 6.0, -4.0, 1.0), 0.25


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


def least_noise(keypoints: Keypoints2D, rate: float) -> float:
    """By what the reported standard deviations have to be multiplied so that the keypoints' jumps are noise.

    Fourth differences over five frames, in which even a quick walk leaves a millimetre: each joint's median of
    ``d' C^-1 d``, and of the joints one of the calm ones. Noise that hangs together in time is larger than this.

    Args:
        keypoints: a clip, evenly spaced frames one after the other.
        rate: frames per second.

    Returns:
        The factor; 0 where nothing can be told: fewer than `FEWEST` jumps, or below 20 frames a second.
    """
    xy, spread, seen = keypoints.xy.double(), keypoints.covariance.double(), keypoints.visible
    last = len(xy) - 4
    if rate < _QUICK or last < 1:
        return 0.0
    jump, expected, known = torch.zeros_like(xy[4:]), torch.zeros_like(spread[4:]), torch.ones_like(seen[4:])
    for step, weight in enumerate(_FOURTH):
        rows = slice(step, step + last)
        jump, expected, known = jump + weight * xy[rows], expected + weight**2 * spread[rows], known & seen[rows]
    if int(known.sum()) < FEWEST:
        return 0.0
    jump = jump.unsqueeze(-1)
    distance = (jump.mT @ torch.linalg.solve(expected, jump)).squeeze((-2, -1))
    joints = torch.where(known, distance, torch.nan).nanmedian(0).values
    return math.sqrt(float(joints[joints.isfinite()].quantile(_CALM)) / _USUAL)
