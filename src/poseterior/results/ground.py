"""The floor under lifted people: axes with y up and the floor at zero, instead of the camera's.

A floor is four numbers in camera axes: its unit normal, which points up, and the camera's height above it (metres). A
point ``x`` is ``normal . x + height`` above the floor.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .provenance import Array

__all__ = ["upright_axes"]


def upright_axes(
    ground: Float[Array, "poses 4"],
) -> tuple[Float[NDArray[np.float64], "poses 3 3"], Float[NDArray[np.float64], "poses 3"]]:
    """Turns from camera axes to x right, y up, z to the camera, and what to add: the floor has ``y = 0``.

    The camera is above the origin; z is the camera's backward direction along the floor. Where no floor is known (NaN)
    these are the camera's own axes turned by half, as elsewhere.
    """
    known = np.isfinite(ground).all(-1, keepdims=True)
    plane = np.where(known, ground, [0.0, -1.0, 0.0, 0.0]).astype(np.float64)
    up = plane[:, :3] / np.linalg.norm(plane[:, :3], axis=-1, keepdims=True)
    back = np.array([0.0, 0.0, -1.0]) - up * -up[:, 2:]
    # A camera that looks straight down has no horizontal direction ahead: the picture's lower side is behind.
    steep = np.linalg.norm(back, axis=-1, keepdims=True) < 1e-3
    back = np.where(steep, np.array([0.0, 1.0, 0.0]) - up * up[:, 1:2], back)
    back /= np.linalg.norm(back, axis=-1, keepdims=True)
    turn = np.stack([np.cross(up, back), up, back], 1)
    return turn, np.stack([np.zeros(len(plane)), plane[:, 3], np.zeros(len(plane))], -1)
