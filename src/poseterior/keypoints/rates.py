"""Frames per second that a keypoint file tells, whatever its format."""

from __future__ import annotations

import math
from typing import Any

from .documents import first_entry

__all__ = ["rate_of", "stated_rate"]

_FIELDS = ("fps", "frame_rate", "framerate", "frameRate", "frames_per_second")
#: Where formats keep what holds for the whole file.
_ABOUT = ("meta_info", "info", "metadata", "meta", "video", "video_info")
_SLOWEST, _FASTEST = 0.01, 10_000.0


def rate_of(value: Any) -> float | None:
    """A number of frames per second, or a fraction (``"30000/1001"``); None for what is none."""
    if isinstance(value, str):
        above, _, below = value.partition("/")
        try:
            value = float(above) / float(below or 1)
        except (ValueError, ZeroDivisionError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) and _SLOWEST <= value <= _FASTEST else None
    except OverflowError:
        return None


def stated_rate(data: Any) -> float | None:
    """Frames per second in a parsed JSON document: beside the frames, in what it says about them, or in the first."""
    entry = first_entry(data) if isinstance(data, list) else data
    if not isinstance(entry, dict):
        return None
    for about in (entry, *(entry.get(name) for name in _ABOUT)):
        if isinstance(about, dict):
            for field in _FIELDS:
                rate = rate_of(about.get(field))
                if rate is not None:
                    return rate
    return None
