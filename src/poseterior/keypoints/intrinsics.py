"""The camera of keypoints, however it is told: four numbers, their names, a 3x3 matrix, or a JSON file with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..files.checks import cut, describe
from ..files.errors import InputError
from ..files.texts import read_json

__all__ = ["read_intrinsics"]

_NAMES = ("fx", "fy", "cx", "cy")
_EXPECTED = 'expected {"fx": .., "fy": .., "cx": .., "cy": ..} in pixels, or a 3x3 "K"'


def read_intrinsics(camera: Any, what: str = "camera") -> list[float]:
    """``[fx, fy, cx, cy]`` px.

    Args:
        camera: these four numbers; a mapping with their names, or with a 3x3 ``K``; a 3x3 matrix; or the path of a JSON
            file that holds one of these.
        what: the argument, for messages.

    Raises:
        InputError: none of these, no such file, numbers that no camera has.

    >>> read_intrinsics({"K": [[1000, 0, 320], [0, 990, 240], [0, 0, 1]]})
    [1000.0, 990.0, 320.0, 240.0]
    """
    if isinstance(camera, (str, os.PathLike)):
        what = f"{what} {os.fspath(camera)}"
        try:
            camera = read_json(Path(camera))
        except InputError as error:
            raise InputError(f"{what}: {error}") from None
    try:
        numbers = _numbers(camera)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        found = describe(camera) if isinstance(camera, (dict, list, int, float, type(None))) else cut(repr(camera), 40)
        raise InputError(f"{what}: {_EXPECTED}, found {found}") from None
    if min(numbers[:2]) <= 0:
        raise InputError(f"{what}: {_EXPECTED}, with fx and fy above 0, found {numbers}")
    return numbers


def _numbers(camera: Any) -> list[float]:
    if isinstance(camera, Mapping):
        camera = camera["K"] if "K" in camera else [camera[name] for name in _NAMES]
    array = np.asarray(camera, dtype=np.float64)
    if array.shape == (3, 3):
        if not np.allclose(array[2], (0, 0, 1)):
            raise ValueError
        array = array[[0, 1, 0, 1], [0, 1, 2, 2]]
    if array.shape != (4,) or not np.isfinite(array).all():
        raise ValueError
    return [float(number) for number in array]
