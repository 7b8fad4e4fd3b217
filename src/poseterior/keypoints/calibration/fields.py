"""Checked values of calibration files: each raises an `InputError` that names the camera and the field."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...files.checks import quote
from ...files.errors import InputError

__all__ = ["camera_matrix", "numbers_of", "size_of"]


def numbers_of(value: Any, camera: str, field: str) -> np.ndarray:
    """An array of finite numbers."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"camera {camera!r}: {field}: expected numbers, got {quote(value)}") from None
    if not np.isfinite(array).all():
        raise InputError(f"camera {camera!r}: {field}: expected finite numbers, got {quote(value)}")
    return array


def camera_matrix(value: Any, camera: str, field: str) -> tuple[float, float, float, float]:
    """``(fx, fy, cx, cy)`` of a 3x3 matrix.

    Raises:
        InputError: another shape, or pixels that are not square to each other (skew above a thousandth).
    """
    array = numbers_of(value, camera, field)
    if array.shape == (9,):
        array = array.reshape(3, 3)
    if array.shape != (3, 3) or not np.allclose(array[2], (0, 0, 1)) or array[1, 0] != 0:
        raise InputError(
            f"camera {camera!r}: {field}: expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels, got "
            f"{quote(array.tolist())}"
        )
    if abs(array[0, 1]) > 1e-3 * abs(array[0, 0]):
        raise InputError(
            f"camera {camera!r}: {field}: has a skew of {array[0, 1]:g} px, which is not modelled; calibrate with "
            "square pixels"
        )
    return float(array[0, 0]), float(array[1, 1]), float(array[0, 2]), float(array[1, 2])


def size_of(value: Any, camera: str, field: str) -> tuple[float, float] | None:
    """``(width, height)`` px; None where it is not told."""
    if value is None:
        return None
    array = numbers_of(value, camera, field).reshape(-1)
    if array.shape != (2,):
        raise InputError(f"camera {camera!r}: {field}: expected (width, height) px, got {quote(value)}")
    return float(array[0]), float(array[1])
