"""Numbers as text that a page can hold, in base64: 8- or 16-bit whole multiples of a step, or 32-bit floats as is."""

from __future__ import annotations

import base64
from typing import Any, TypedDict

import numpy as np
from typing_extensions import NotRequired

__all__ = ["Packed", "exact", "pack", "pack_bytes", "unpack"]

#: Stands for a missing number.
_MISSING = -32768
_LARGEST, _LARGEST_BYTE = 32767, 127


class Packed(TypedDict):
    """An array: ``shape``, ``step`` and ``data`` (little-endian, C order, base64).

    ``step`` is what 1 of an int16 (where ``bytes`` is 1: of an int8) stands for; 0 where the numbers are float32.
    """

    shape: list[int]
    step: float
    data: str
    bytes: NotRequired[int]


def exact(values: Any) -> Packed:
    """The array as float32, which results are: a page then writes the same digits as Python."""
    array = np.asarray(values, "<f4")
    return {"shape": list(array.shape), "step": 0.0, "data": base64.b64encode(array.tobytes()).decode()}


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


def pack_bytes(values: Any) -> Packed:
    """The array, finite, in 255 steps as large as its largest number needs: off by half a step at most."""
    array = np.asarray(values, np.float64)
    step = float(np.abs(array).max(initial=0.0)) / _LARGEST_BYTE or 1.0
    whole = np.rint(array / step).astype(np.int8)
    return {"shape": list(array.shape), "step": step, "data": base64.b64encode(whole.tobytes()).decode(), "bytes": 1}


def unpack(packed: Packed) -> np.ndarray:
    """What a page reads: the array in float64, NaN where a number is missing.

    >>> unpack(pack([[0.12346, float("nan")]], step=0.0001))
    array([[0.1235,    nan]])
    """
    data = base64.b64decode(packed["data"])
    if not packed["step"]:
        return np.frombuffer(data, "<f4").reshape(packed["shape"]).astype(np.float64)
    if packed.get("bytes") == 1:
        return np.frombuffer(data, "i1").reshape(packed["shape"]) * packed["step"]
    whole = np.frombuffer(data, "<i2").reshape(packed["shape"])
    return np.where(whole == _MISSING, np.nan, whole * packed["step"])
