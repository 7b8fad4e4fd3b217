"""Real time in outputs: frames that are missing are bridged by interpolation, or split the clip where too many are.

`timeline` says which moments an output has, and between which frames each lies; the ``blend`` functions then give the
posterior there. Between two frames the mean goes straight from one to the other, rotations along the shortest arc.
Hypothesis k goes from hypothesis k of one frame to hypothesis k of the other: they are independent draws, so that their
average would be narrower than either, and is stretched back about the mean to a spread between the two. On top comes
what a straight line misses (`widening`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from ..files.errors import InputError
from ..files.numbered import usual_step
from ..registry import lazy_module

#: Imported when it is first used: it loads the whole of PyTorch's compiler.
roma = lazy_module("roma")

__all__ = [
    "MAX_GAP",
    "Segment",
    "blend",
    "blend_quaternions",
    "blend_samples",
    "gap_line",
    "timeline",
    "widening",
]

Array = NDArray[np.floating]

#: Seconds without the person that are bridged.
MAX_GAP = 0.5
#: A straight line between two poses T seconds apart misses joints t seconds after the first (relative to the pelvis) by
#: a standard deviation per coordinate of 5 m/s² exp(-2.1 T / s) t (T - t) / 2: within 9 % of what 12 of CMU's test
#: clips (60 frames per second) give for T from 0.1 to 0.5 s. Motions bend less over longer times: they turn round.
_BEND, _DECAY = 5.0, 2.1


@dataclass(frozen=True, eq=False)
class Segment:
    """A part of a clip without a gap that is too long, at a steady rate.

    Attributes:
        frames: ``(moments,)`` frame number of each moment.
        times: ``(moments,)`` seconds: the frame number divided by the clip's rate.
        before, after: ``(moments,)`` index of the frame at or before the moment, and of the next, among the frames
            given.
        weight: ``(moments,)`` share of ``after``, 0 for a frame that is there.
        span: ``(moments,)`` seconds between the two.
        fps: moments per second.
    """

    frames: Int[NDArray[np.int64], "moments"]
    times: Float[NDArray[np.float64], "moments"]
    before: Int[NDArray[np.int64], "moments"]
    after: Int[NDArray[np.int64], "moments"]
    weight: Float[NDArray[np.float64], "moments"]
    span: Float[NDArray[np.float64], "moments"]
    fps: float

    def __len__(self) -> int:
        """Number of moments."""
        return len(self.frames)

    @property
    def bridged(self) -> Bool[NDArray[np.bool_], "moments"]:
        """Moments that no frame shows."""
        return self.weight > 0


def timeline(frames: Sequence[int] | NDArray[np.int64], fps: float, max_gap: float = MAX_GAP) -> list[Segment]:
    """The moments of a clip at which an output has a pose.

    Frames have the time ``number / fps``. Between neighbours that are at most ``max_gap`` apart every number in between
    is a moment; further apart, another segment begins. A clip that is thinned, to every 30th frame say, has no gaps
    between its frames: where they usually are further apart than ``max_gap`` that step is its rate.

    Args:
        frames: numbers of the frames of one person, each once, rising.
        fps: frames per second, of the numbers.
        max_gap: seconds.

    Raises:
        InputError: a rate or a gap that is none, numbers that do not rise.

    >>> [part.frames.tolist() for part in timeline([0, 1, 4, 90, 91], 30.0)]
    [[0, 1, 2, 3, 4], [90, 91]]
    """
    numbers = np.asarray(frames, np.int64)
    if not (np.isfinite(fps) and fps > 0):
        raise InputError(f"fps is {fps}; expected a positive number")
    if not (np.isfinite(max_gap) and max_gap >= 0):
        raise InputError(f"max_gap is {max_gap}; expected seconds, 0 or more")
    steps = np.diff(numbers)
    if (steps <= 0).any():
        raise InputError("frames: expected numbers that rise")
    unit, most = _unit_and_most(numbers, fps, max_gap)
    breaks = [0, *(np.flatnonzero(steps > most) + 1).tolist(), len(numbers)]
    return [_segment(numbers, start, end, unit, fps) for start, end in pairwise(breaks) if end > start]


def _unit_and_most(numbers: NDArray[np.int64], fps: float, max_gap: float) -> tuple[int, float]:
    """Frames from one moment to the next, and the most between frames that are bridged."""
    usual = usual_step(numbers.tolist())
    # A step of one is no gap, however short these may be; and 15.0 frames are 15.
    most = max(max_gap * fps * (1 + 1e-9), 1.0)
    return (usual, float(usual)) if usual > most else (1, most)


def _segment(numbers: NDArray[np.int64], start: int, end: int, unit: int, fps: float) -> Segment:
    own = numbers[start:end]
    frames = np.arange(own[0], own[-1] + 1, unit)
    before = np.searchsorted(own, frames, side="right") - 1
    after = np.minimum(before + (own[before] < frames), len(own) - 1)
    step = own[after] - own[before]
    weight = (frames - own[before]) / np.maximum(step, 1)
    return Segment(frames, frames / fps, before + start, after + start, weight, step / fps, fps / unit)


# -- the posterior at a moment -------------------------------------------------------------------------------


def blend(values: Array, segment: Segment) -> Array:
    """Values ``(frames, …)`` at the moments ``(moments, …)``: straight lines between the frames."""
    weight = _weight(segment, values.ndim, values.dtype)
    return values[segment.before] * (1 - weight) + values[segment.after] * weight


def blend_samples(
    samples: Float[Array, "frames samples *event"], segment: Segment
) -> Float[Array, "moments samples *event"]:
    """Hypotheses at the moments: sample k goes from sample k to sample k, stretched about the mean (see the module)."""
    weight = _weight(segment, samples.ndim, samples.dtype)
    before, after = samples[segment.before], samples[segment.after]
    middle = before.mean(1, keepdims=True) * (1 - weight) + after.mean(1, keepdims=True) * weight
    between = before * (1 - weight) + after * weight
    return middle + (between - middle) / np.sqrt((1 - weight) ** 2 + weight**2)


def blend_quaternions(
    quaternions: Float[NDArray[np.float32], "frames *batch 4"], segment: Segment
) -> Float[NDArray[np.float32], "moments *batch 4"]:
    """Rotations at the moments, along the shortest arcs (slerp)."""
    found = np.ascontiguousarray(quaternions[segment.before])
    moments = np.flatnonzero(segment.bridged)
    if len(moments):
        start = torch.from_numpy(found[moments]).double()
        end = torch.from_numpy(np.ascontiguousarray(quaternions[segment.after[moments]])).double()
        weight = torch.from_numpy(segment.weight[moments]).reshape(-1, *[1] * (start.ndim - 2))
        nearer = torch.where((start * end).sum(-1, keepdim=True) < 0, -end, end)
        turned = roma.quat_product(roma.quat_conjugation(start), nearer)
        way = roma.unitquat_to_rotvec(roma.quat_normalize(turned)) * weight.unsqueeze(-1)
        found[moments] = roma.quat_product(start, roma.rotvec_to_unitquat(way)).numpy()
    return found


def widening(segment: Segment) -> Float[NDArray[np.float64], "moments"]:
    """Standard deviation per coordinate, metres, of joints (relative to the pelvis) about the straight line."""
    span = segment.span
    return _BEND * np.exp(-_DECAY * span) * segment.weight * (1 - segment.weight) * span**2 / 2


def _weight(segment: Segment, dimensions: int, dtype: np.dtype) -> Array:
    return segment.weight.astype(dtype).reshape(-1, *[1] * (dimensions - 1))


# -- in words ------------------------------------------------------------------------------------------------


def gap_line(clips: Sequence[Sequence[int] | NDArray[np.int64]], fps: float, max_gap: float = MAX_GAP) -> str | None:
    """What is to be said of the gaps of some clips, given the frames of each; None where there are none.

    >>> gap_line([[0, 1, 4, 90, 91]], 30.0)
    '2 gaps in time: 1 bridged (frames 2 to 3), 1 longer than 0.5 s splits the clip (frames 5 to 89)'
    """
    # Everybody leaves a frame that was not read: one gap.
    bridged: dict[tuple[int, int], None] = {}
    split: dict[tuple[int, int], None] = {}
    for frames in clips:
        numbers = np.asarray(frames, np.int64)
        unit, most = _unit_and_most(numbers, fps, max_gap)
        usual = max(unit, usual_step(numbers.tolist()))
        for row in np.flatnonzero(np.diff(numbers) > usual).tolist():
            missing = (int(numbers[row]) + 1, int(numbers[row + 1]) - 1)
            (split if numbers[row + 1] - numbers[row] > most else bridged)[missing] = None
    total = len(bridged) + len(split)
    if not total:
        return None
    parts = [f"{len(bridged)} bridged ({_listed(list(bridged))})"] if bridged else []
    if split:
        parts.append(
            f"{len(split)} longer than {max_gap:g} s split{'s' * (len(split) == 1)} the clip ({_listed(list(split))})"
        )
    return f"{total} gap{'s' * (total > 1)} in time: {', '.join(parts)}"


def _listed(spans: list[tuple[int, int]], most: int = 3) -> str:
    named = [f"{first} to {last}" if last > first else str(first) for first, last in spans[:most]]
    word = "frame" if len(spans) == 1 and spans[0][0] == spans[0][1] else "frames"
    return f"{word} {', '.join(named)}" + (f" and {len(spans) - most} more" if len(spans) > most else "")
