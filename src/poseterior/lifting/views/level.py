"""Axes of the world turned so that y points down, as those of a level camera do."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ...files.errors import InputError
from ...keypoints.calibration import Camera

__all__ = ["Up", "level_axes", "level_words"]

Up = Literal["auto", "x", "-x", "y", "-y", "z", "-z"]


def level_axes(cameras: list[Camera], up: Up) -> Float[NDArray[np.float64], "3 3"]:
    """The rotation from the world's axes to x right, y down, z forward; each is one of the world's, or its opposite.

    Args:
        cameras: what is above in their pictures tells where up is, for "auto".
        up: the axis of the world that points up.

    Raises:
        InputError: no such axis.
    """
    if up not in get_args(Up):
        raise InputError(f"up: expected one of {', '.join(get_args(Up))}, got {up!r}")
    if up == "auto":
        above = -np.mean([camera.rotation[1] for camera in cameras], 0)
        axis = int(np.abs(above).argmax())
        sign = float(np.sign(above[axis]) or 1.0)
    else:
        axis, sign = "xyz".index(up[-1]), -1.0 if up[0] == "-" else 1.0
    down = -sign * np.eye(3)[axis]
    right = np.eye(3)[0 if axis else 1]
    return np.stack([right, down, np.cross(right, down)])


def level_words(level: Float[NDArray[np.float64], "3 3"]) -> str:
    """Which axes of the world are right, down and forward."""
    names = [f"{'-' if row.sum() < 0 else ''}{'xyz'[int(np.abs(row).argmax())]}" for row in np.asarray(level)]
    return f"the calibration's world: right is its {names[0]}, down its {names[1]}, forward its {names[2]}"
