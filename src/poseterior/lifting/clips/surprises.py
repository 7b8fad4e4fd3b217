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

__all__ = ["FLAGGED", "exchanged", "frame_list", "hidden", "strays", "turned_back", "weights_of"]

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
#: Joints that have to tell of it.
_FEWEST = 4
#: Ends of the names of joints that detectors exchange together: all, of the legs, of the arms.
_EXCHANGED = ("", ("hip", "knee", "ankle", "heel", "toe"), ("shoulder", "elbow", "wrist"))
#: A keypoint strays that is so far off, in shares of the person's size and in reported standard deviations, for so many
#: frames at most.
_JUMP, _SIGMAS, _LONGEST = 0.4, 6.0, 4
#: How limbs are accelerated at most, in sizes of the person (about 0.45 m) a second squared: five times gravity.
_ACCELERATION = 100.0


def weights_of(
    found: Filtered, white: Float[NDArray[np.float64], "T d"], weight: Float[NDArray[np.float64], " T"]
) -> Float[NDArray[np.float64], " T"]:
    """How much each frame counts, by Student's t: 1 where nothing surprises.

    Args:
        found: with the weights as they were.
        white: the frames' noise were they to count as they say, m².
        weight: how they counted.
    """
    known = found.expected > 0
    # As surprising as it is to frames that count as they did, were it itself to count as it says.
    usual = found.expected - white / weight[:, None] + white
    surprise = found.surprise * found.expected / np.where(known, usual, 1.0)
    surprise = (surprise * known).sum(-1) / known.sum(-1).clip(min=1)
    return np.where(surprise > _USUAL, (_FREEDOM + 1.0) / (_FREEDOM + surprise), 1.0)


def strays(keypoints: Keypoints2D, rate: float) -> Bool[Tensor, "T joints"]:
    """Keypoints that jump away from where they are before and after, for a few frames: no limb is so fast.

    All of such a stretch is far from the line between the frames around it, farther than an acceleration of
    `_ACCELERATION` explains. Where most joints of a frame stray, all do.

    Args:
        keypoints: a clip, evenly spaced frames one after the other.
        rate: frames per second.
    """
    xy, seen = keypoints.xy.double().cpu(), keypoints.visible.cpu()
    size = keypoints.size.double().cpu().unsqueeze(-1)
    noise = _SIGMAS * keypoints.covariance.double().cpu().diagonal(dim1=-2, dim2=-1).amax(-1).sqrt()
    before, after = _last_seen(xy, seen), _last_seen(xy.flip(0), seen.flip(0)).flip(0)
    count, stray = len(xy), torch.zeros_like(seen)
    for length in range(1, min(_LONGEST, count - 2) + 1):
        around = (length + 1) / rate
        limit = torch.maximum(noise, (_JUMP + _ACCELERATION * around**2 / 8.0) * size)
        starts = torch.arange(1, count - length)
        left, right = before[starts - 1], after[starts + length]
        gone = torch.ones(len(starts), seen.shape[1], dtype=torch.bool)
        for step in range(length):
            at = starts + step
            usual = torch.lerp(left, right, (step + 1) / (length + 1))
            gone &= ~seen[at] | ((xy[at] - usual).norm(dim=-1) > limit[at])
        for step, end in ((0, left), (length - 1, right)):
            at = starts + step
            gone &= seen[at] & ((xy[at] - end).norm(dim=-1) > limit[at])
        for step in range(length):
            stray[starts + step] |= gone & seen[starts + step]
    number = seen.sum(-1, keepdim=True)
    return torch.where(stray.sum(-1, keepdim=True) > 0.5 * number, seen, stray)


def _last_seen(xy: Float[Tensor, "T joints 2"], seen: Bool[Tensor, "T joints"]) -> Float[Tensor, "T joints 2"]:
    """Where each joint was seen last, up to that frame, at most `_LONGEST` frames ago; NaN elsewhere."""
    found = torch.where(seen.unsqueeze(-1), xy, torch.nan)
    for _ in range(_LONGEST):
        earlier = torch.cat([torch.full_like(found[:1], torch.nan), found[:-1]])
        found = torch.where(found.isnan(), earlier, found)
    return found


def exchanged(keypoints: Keypoints2D) -> Bool[Tensor, "T joints"]:
    """Keypoints that fit those of the frames around far better with left and right exchanged: all, legs, or arms.

    Whole bodies are followed from frame to frame, so that it may last: right is what most frames say. Legs and arms are
    compared with their median over the frames around, in pictures.
    """
    wrong = _turned_round(keypoints)
    rest = turned_back(keypoints, wrong) if bool(wrong.any()) else keypoints
    return wrong ^ _unlike_neighbours(rest)


def _pairs(keypoints: Keypoints2D, limb: str | tuple[str, ...] = "") -> Bool[Tensor, " joints"]:
    """Joints that come in pairs, of a limb."""
    names, mirror = keypoints.skeleton.joints, keypoints.skeleton.mirror
    return torch.tensor([joint != other and names[joint].endswith(limb) for joint, other in enumerate(mirror)])


def _turned_round(keypoints: Keypoints2D) -> Bool[Tensor, "T joints"]:
    """All pairs of the frames in which the person is the other way round than in most frames."""
    xy, seen = keypoints.xy.double().cpu(), keypoints.visible.cpu()
    size, mirror = keypoints.size.double().cpu(), list(keypoints.skeleton.mirror)
    pairs = _pairs(keypoints)
    round_ = torch.zeros(len(xy), dtype=torch.bool)
    last: int | None = None
    for frame in range(len(xy)):
        if int((seen[frame] & pairs).sum()) < _FEWEST:
            continue
        if last is not None:
            known = seen[frame] & seen[last] & seen[last][mirror] & pairs
            told, other = ((xy[frame, known] - places[known]).norm(dim=-1) for places in (xy[last], xy[last][mirror]))
            turns = int(known.sum()) >= _FEWEST and bool(
                (other.mean() < _BETTER * told.mean()) & (told.mean() > _LARGE * size[frame])
            )
            round_[frame] = round_[last] ^ turns
        last = frame
    there = (seen & pairs).sum(-1) >= _FEWEST
    if 2 * int((round_ & there).sum()) > int(there.sum()):
        round_ = ~round_
    return (round_ & there).unsqueeze(-1) & pairs


def _unlike_neighbours(keypoints: Keypoints2D) -> Bool[Tensor, "T joints"]:
    xy, seen = keypoints.xy.double().cpu(), keypoints.visible.cpu()
    size, mirror = keypoints.size.double().cpu(), list(keypoints.skeleton.mirror)
    usual = _running_median(torch.where(seen.unsqueeze(-1), xy, torch.nan))
    known = seen & seen[:, mirror] & usual.isfinite().all(-1)
    as_told, other = ((places - usual).norm(dim=-1) for places in (xy, xy[:, mirror]))
    wrong = torch.zeros_like(seen)
    for limb in _EXCHANGED:
        pairs = _pairs(keypoints, limb)
        counted_joints = known & pairs
        number = counted_joints.sum(-1)
        told, turned = (torch.where(counted_joints, gap, 0.0).sum(-1) / number.clamp(min=1) for gap in (as_told, other))
        found = (number >= _FEWEST) & (turned < _BETTER * told) & (told > _LARGE * size)
        wrong |= found.unsqueeze(-1) & pairs
    return wrong


def _running_median(values: Float[Tensor, "T joints 2"]) -> Float[Tensor, "T joints 2"]:
    """Of each frame, over the frames around without itself; NaN where there are none."""
    count = len(values)
    nothing = torch.full_like(values[:1], torch.nan).expand(_NEIGHBOURS, -1, -1)
    padded = torch.cat([nothing, values, nothing])
    shifts = [i for i in range(2 * _NEIGHBOURS + 1) if i != _NEIGHBOURS]
    return torch.stack([padded[i : i + count] for i in shifts]).nanmedian(0).values


def turned_back(keypoints: Keypoints2D, wrong: Bool[Tensor, "T joints"]) -> Keypoints2D:
    """The same with left and right exchanged of these keypoints, which come in pairs."""
    mirror = list(keypoints.skeleton.mirror)
    wrong = wrong.to(keypoints.device)
    changes = {}
    for name in ("xy", "covariance", "visible"):
        value = getattr(keypoints, name)
        changes[name] = torch.where(wrong.reshape(*wrong.shape, *[1] * (value.ndim - 2)), value[:, mirror], value)
    return keypoints._replace(**changes)


def hidden(keypoints: Keypoints2D, joints: Bool[Tensor, "T joints"]) -> Keypoints2D:
    """The same without these keypoints."""
    return keypoints._replace(visible=keypoints.visible & ~joints.to(keypoints.device))


def frame_list(frames: list[int]) -> str:
    """Frames in words: a few of them by number."""
    shown = ", ".join(map(str, frames[:8])) + (" ..." if len(frames) > 8 else "")
    return f"{counted(len(frames), 'frame')} ({shown})"
