"""Frames that do not fit their neighbours: left and right exchanged, or simply wrong."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from ...files.checks import counted
from ...keypoints import Keypoints2D
from .filtering import Filtered

__all__ = ["FLAGGED", "exchanged", "frame_list", "turned_back", "weights_of"]

#: Frames that count less than this are told of.
FLAGGED = 0.25
#: Degrees of freedom of Student's t: how much surprise is usual, and how soon a frame counts less.
_FREEDOM = 4.0
#: Mean squared innovation, in variances, from which on a frame is surprising at all.
_USUAL = 5.0
#: Frames to either side among which a pose has to fit.
_NEIGHBOURS = 3
#: An exchange has to fit so much better, and what does not fit has to be so large, in shares of the person's size.
_BETTER, _LARGE = 0.4, 0.25


def weights_of(found: Filtered, weight: Float[NDArray[np.float64], " T"]) -> Float[NDArray[np.float64], " T"]:
    """How much each frame counts, by Student's t: 1 where nothing surprises.

    Args:
        found: with the weights as they were: a frame that counted less had more noise, and surprises less.
        weight: these.
    """
    known = found.surprise > 0
    surprise = (found.surprise * known).sum(-1) / known.sum(-1).clip(min=1)
    fresh = np.where(surprise > _USUAL, (_FREEDOM + 1.0) / (_FREEDOM + surprise), 1.0)
    return np.minimum(weight, weight * fresh)


def exchanged(keypoints: Keypoints2D) -> Bool[Tensor, " T"]:
    """Frames whose keypoints fit those of the neighbours far better with left and right exchanged.

    Each keypoint is compared with its median over the frames around, in pictures.
    """
    xy, seen = keypoints.xy.double().cpu(), keypoints.visible.cpu()
    size = keypoints.size.double().cpu()
    mirror = list(keypoints.skeleton.mirror)
    paired = torch.tensor([joint != other for joint, other in enumerate(mirror)])
    usual = _running_median(torch.where(seen.unsqueeze(-1), xy, torch.nan))
    counted_joints = seen & seen[:, mirror] & paired & usual.isfinite().all(-1)
    number = counted_joints.sum(-1)

    def misfit(places: Tensor) -> Tensor:
        gap = torch.where(counted_joints, (places - usual).norm(dim=-1), 0.0)
        return gap.sum(-1) / number.clamp(min=1)

    as_told, other = misfit(xy), misfit(xy[:, mirror])
    return (number >= 4) & (other < _BETTER * as_told) & (as_told > _LARGE * size)


def _running_median(values: Float[Tensor, "T joints 2"]) -> Float[Tensor, "T joints 2"]:
    """Of each frame, over the frames around without itself; NaN where there are none."""
    count = len(values)
    nothing = torch.full_like(values[:1], torch.nan).expand(_NEIGHBOURS, -1, -1)
    padded = torch.cat([nothing, values, nothing])
    shifts = [i for i in range(2 * _NEIGHBOURS + 1) if i != _NEIGHBOURS]
    return torch.stack([padded[i : i + count] for i in shifts]).nanmedian(0).values


def turned_back(keypoints: Keypoints2D, wrong: Bool[Tensor, " T"]) -> Keypoints2D:
    """The same with left and right exchanged in these frames."""
    mirror = list(keypoints.skeleton.mirror)
    wrong = wrong.to(keypoints.device)
    changes = {}
    for name in ("xy", "covariance", "visible"):
        value = getattr(keypoints, name)
        changes[name] = torch.where(wrong.reshape(-1, *[1] * (value.ndim - 1)), value[:, mirror], value)
    return keypoints._replace(**changes)


def frame_list(frames: list[int]) -> str:
    """Frames in words: a few of them by number."""
    shown = ", ".join(map(str, frames[:8])) + (" ..." if len(frames) > 8 else "")
    return f"{counted(len(frames), 'frame')} ({shown})"
