"""Numbers as text that a page can hold: 16-bit whole multiples of a step, in base64."""

from __future__ import annotations

import base64
from typing import Any, TypedDict

import numpy as np

__all__ = ["Packed", "pack", "unpack"]

#: Stands for a missing number.
_MISSING = -32768
_LARGEST = 32767


class Packed(TypedDict):
    """An array: ``shape``, ``step`` (what 1 stands for) and ``data`` (little-endian int16, C order, base64)."""

    shape: list[int]
    step: float
    data: str


def pack(values: Any, step: float) -> Packed:
    """The array in multiples of a step, rounded to the nearest: off by half a step at most.

    Args:
        values: of any shape; what is not finite becomes NaN.
        step: the wished one; a larger one is taken, and told, where the largest value would not fit.
    """
    array = np.asarray(values, np.float64)
    known = np.isfinite(array)
    largest = float(np.abs(array[known]).max(initial=0.0))
    step = max(step, largest / _LARGEST)
    whole = np.where(known, np.rint(np.where(known, array, 0.0) / step), _MISSING).astype("<i2")
    return {"shape": list(array.shape), "step": step, "data": base64.b64encode(whole.tobytes()).decode()}


def unpack(packed: Packed) -> np.ndarray:
    """What a page reads: the array in float64, NaN where a number is missing.

    >>> unpack(pack([[0.12346, float("nan")]], step=0.0001))
    array([[0.1235,    nan]])
    """
    whole = np.frombuffer(base64.b64decode(packed["data"]), "<i2").reshape(packed["shape"])
    return np.where(whole == _MISSING, np.nan, whole * packed["step"])
