"""Turned squares of a picture: where a network looks, and how its answers go back.

Places are as OpenCV has them, and MediaPipe with it: the middle of the first pixel is (0, 0).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .base import Array

__all__ = ["Square", "border_distances", "crop", "looks", "upright", "upright_crop", "whole"]


class Square(NamedTuple):
    """A turned square of a picture.

    Attributes:
        x, y: its middle, px.
        side: px.
        angle: radians, clockwise in the picture; 0 is upright.
    """

    x: float
    y: float
    side: float
    angle: float

    @property
    def axes(self) -> Array:
        """``(2, 2)``: columns are the square's x and y in the picture."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return np.array([[c, -s], [s, c]])

    def to_picture(self, places: Array) -> Array:
        """Pixels of the picture, of places ``(..., 2)`` in the square from 0 to 1."""
        return np.array([self.x, self.y]) + (np.asarray(places) - 0.5) * self.side @ self.axes.T


def whole(picture: Array) -> Square:
    """The upright square around a whole picture."""
    height, width = picture.shape[:2]
    return Square(width / 2, height / 2, float(max(height, width)), 0.0)


def upright(middle: Array, circle: Array, larger: float) -> Square:
    """The square around a circle, ``larger`` than it, turned so that a point of the circle is above its middle."""
    x, y = (float(part) for part in np.subtract(circle, middle))
    angle = math.pi / 2 - math.atan2(-y, x)
    return Square(float(middle[0]), float(middle[1]), 2.0 * larger * math.hypot(x, y), angle)


def crop(picture: Array, square: Square, side: int, rows: int | None = None, *, beyond: str = "edge") -> Array:
    """``(rows, side, 3)`` float32, 0 to 255, of a turned square, bilinear.

    Args:
        picture: ``(height, width, 3)`` uint8.
        side: columns, px.
        rows: where they are not as many: of what is so much higher or lower than the square around the same middle.
        beyond: what is outside of the picture: its ``edge`` repeated, or ``black``.
    """
    height, width = picture.shape[:2]
    rows = side if rows is None else rows
    across = np.arange(side, dtype=np.float32) / side - 0.5
    down = (np.arange(rows, dtype=np.float32) - rows / 2) / side
    (a, b), (c, d) = (square.side * square.axes).astype(np.float32)
    x = np.float32(square.x) + a * across[None, :] + b * down[:, None]
    y = np.float32(square.y) + c * across[None, :] + d * down[:, None]
    left, top = np.floor(x), np.floor(y)
    right_share, low_share = x - left, y - top
    first_column, first_row = left.astype(np.int64), top.astype(np.int64)
    pixels = picture.reshape(-1, 3)
    found = np.zeros((rows, side, 3), np.float32)
    for dy, share_y in ((0, 1 - low_share), (1, low_share)):
        row = first_row + dy
        for dx, share_x in ((0, 1 - right_share), (1, right_share)):
            column = first_column + dx
            share = share_x * share_y
            if beyond == "black":
                share = np.where((row >= 0) & (row < height) & (column >= 0) & (column < width), share, 0)
            index = row.clip(0, height - 1) * width + column.clip(0, width - 1)
            found += share[..., None] * pixels[index]
    return found


def upright_crop(picture: Array, square: Square, side: int, rows: int) -> Array:
    """``(rows, side, 3)`` float32, 0 to 255, of an upright square: as `crop`, but of many pixels the mean is taken.

    What is outside of the picture is black.

    Args:
        picture: ``(height, width, 3)`` uint8.
        side, rows: as for `crop`.
    """
    from PIL import Image

    unit = square.side / side
    shown = np.zeros((rows, side, 3), np.float32)
    first, last, box = [], [], []
    for middle, count, length in ((square.x, side, picture.shape[1]), (square.y, rows, picture.shape[0])):
        start = middle - unit * count / 2
        # whole pixels that are inside of the picture, to rounding
        first.append(min(max(math.ceil(-start / unit - 1e-6), 0), count))
        last.append(max(min(math.floor((length - start) / unit + 1e-6), count), first[-1]))
        box.append((min(max(start + first[-1] * unit, 0.0), length), min(max(start + last[-1] * unit, 0.0), length)))
    (left, right), (top, bottom) = box
    if min(last[0] - first[0], last[1] - first[1]) < 1 or right <= left or bottom <= top:
        return shown
    part = Image.fromarray(picture).resize(
        (last[0] - first[0], last[1] - first[1]), Image.Resampling.BILINEAR, box=(left, top, right, bottom)
    )
    shown[first[1] : last[1], first[0] : last[0]] = np.asarray(part)
    return shown


def border_distances(xy: Array, square: Square, size: tuple[int, int]) -> Array:
    """``(n,)`` distances of places from the nearest edge of the picture, the square's side is 1; below 0 outside of it.

    Infinite where no edge cuts the square.

    Args:
        xy: ``(n, 2)`` px.
        square: somebody's.
        size: width and height of the picture, px.
    """
    last = np.array(size) - 1
    corners = square.to_picture(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
    cut = np.concatenate([corners.min(0), last - corners.max(0)]).min() < 0
    border: Array = np.concatenate([xy, last - xy], -1).min(-1) / square.side
    return border if cut else np.full(len(xy), np.inf)


def looks(picture: Array, parts: Sequence[float], fewest: int) -> Iterator[Square]:
    """Upright squares of a picture in which people are looked for: the whole, and overlapping parts of it.

    Args:
        picture: ``(height, width, 3)``.
        parts: sides of the parts, of the picture's longer side, falling.
        fewest: px of a side below which there are no parts.
    """
    all_of_it = whole(picture)
    yield all_of_it
    height, width = picture.shape[:2]
    for part in parts:
        side = part * all_of_it.side
        if side < fewest:
            return
        for y in _middles(height, side):
            for x in _middles(width, side):
                yield Square(x, y, side, 0.0)


def _middles(length: int, side: float) -> list[float]:
    """Where the middles of parts are along one side of a picture, so that they overlap by half at least."""
    if length <= side:
        return [length / 2]
    count = 1 + int(np.ceil((length - side) / (side / 2)))
    return [float(at) for at in np.linspace(side / 2, length - side / 2, count)]
