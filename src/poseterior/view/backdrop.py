"""The frames of a film behind the keypoints that were found in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..files.films import FilmFrames
from .drawing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Backdrop"]


class Backdrop:
    """The part of a film's frames that some axes show, not finer than it is drawn.

    Args:
        frames: of the film, in its own pixels, which are the axes' units.
        axes: to draw on, flat; their limits are to be set after this.
        low, high: ``(2,)`` px, the corners of the part.
    """

    #: Pixels of the longer side, at most.
    _FINEST = 800

    def __init__(self, frames: FilmFrames, axes: Axes, low: Array, high: Array) -> None:
        self.frames, self.axes = frames, axes
        self.left, self.top = np.maximum(np.floor(low), 0).astype(int).tolist()
        self.right, self.bottom = np.maximum(np.ceil(high), 0).astype(int).tolist()
        self.step = max(int(max(self.right - self.left, self.bottom - self.top) // self._FINEST), 1)
        self.image = axes.imshow(
            np.zeros((1, 1, 3), np.uint8), extent=(0, 1, 1, 0), interpolation="bilinear", animated=True, zorder=0
        )

    def show(self, number: int) -> None:
        """Draw the frame of that number; nothing where the film has none."""
        picture = self.frames.at(number)
        part = None if picture is None else picture[self.top : self.bottom, self.left : self.right]
        if part is None or not part.size:
            return
        height, width = part.shape[:2]
        self.image.set_data(part[:: self.step, :: self.step])
        self.image.set_extent((self.left, self.left + width, self.top + height, self.top))
        self.axes.draw_artist(self.image)
