"""Frames and seconds: the one place that says when a frame was, and how clips become evenly spaced rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from ..files.errors import InputError
from ..files.numbered import usual_step
from .provenance import Array, Provenance

__all__ = ["ASSUMED_FPS", "Timing", "check_fps", "clip_numbers", "pace_words", "seconds", "timing"]

#: Frames per second where nobody says.
ASSUMED_FPS = 30.0
#: Evenly spaced rows of a clip: at most so many times its frames.
_MOST_EMPTY = 100


def check_fps(fps: Any) -> float:
    """The rate, if it is one.

    Raises:
        InputError: not a positive number.
    """
    if isinstance(fps, bool) or not isinstance(fps, int | float | np.number) or not (np.isfinite(fps) and fps > 0):
        raise InputError(f"fps: expected a positive number, got {fps!r}")
    return float(fps)


def seconds(frame: Any, fps: float) -> Any:
    """When a frame was."""
    return frame / fps


def pace_words(numbers: Sequence[int] | Int[NDArray[np.int64], "frames"], fps: float) -> str:
    """How many of a clip's frames there are a second: fewer than the film has, where every n-th was looked at.

    >>> pace_words([0, 3, 6, 9], 60.0)
    '20 a second (every 3rd)'
    """
    step = usual_step(list(numbers))
    if step == 1:
        return f"{fps:g} a second"
    ending = "th" if step // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(step % 10, "th")
    return f"{fps / step:.4g} a second (every {step}{ending})"


def clip_numbers(result: Provenance) -> Int[NDArray[np.int64], "poses"]:
    """The clip of each pose, from 1, in the order of `Provenance.clips`."""
    number = np.zeros(len(result), np.int64)
    for clip, rows in enumerate(result.clips(), start=1):
        number[rows] = clip
    return number


@dataclass(frozen=True, eq=False)
class Timing:
    """Evenly spaced rows of a clip, for files that have no times of their own.

    Attributes:
        frames: ``(rows,)`` numbers of the frames.
        times: ``(rows,)`` seconds.
        rate: rows per second.
        place: ``(frames of the clip,)`` which row each has; the others are empty.
    """

    frames: Int[Array, "rows"]
    times: Float[Array, "rows"]
    rate: float
    place: Int[Array, "given"]

    def spread(self, values: Array) -> Array:
        """Values of the clip's frames in their rows, NaN in the others."""
        filled = np.full((len(self.frames), *values.shape[1:]), np.nan)
        filled[self.place] = values
        return filled


def timing(frame: Int[Array, "given"], fps: float) -> Timing:
    """Rows for rising frame numbers: every frame, or every k-th where all numbers are k apart.

    Raises:
        InputError: far more rows than frames.
    """
    gaps = np.diff(frame)
    step = int(np.gcd.reduce(gaps)) if len(gaps) else 1
    step = max(step, 1)
    count = int(frame[-1] - frame[0]) // step + 1
    if count > _MOST_EMPTY * len(frame) + 1000:
        raise InputError(
            f"frame: {len(frame)} frames from {frame[0]} to {frame[-1]} would be {count} rows; write the parts apart"
        )
    frames = frame[0] + step * np.arange(count)
    return Timing(frames, seconds(frames, fps), fps / step, (frame - frame[0]) // step)
