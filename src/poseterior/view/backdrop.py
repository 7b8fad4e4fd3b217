"""The frames of a film behind the keypoints that were found in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..files.films import FilmFrames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Backdrop"]


class Backdrop:
    """The part of a film's frames that some axes show, put straight into the canvas.

    Args:
        frames: of the film, in its own pixels, which are the axes' units.
        axes: to draw on, flat, with their final place and limits.
        height: of the canvas, px.
    """

    def __init__(self, frames: FilmFrames, axes: Axes, height: int) -> None:
        self.frames = frames
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        self.low, self.high = np.asarray([left, top]), np.asarray([right, bottom])
        self.transform, self.height = axes.transData, height

    def show(self, number: int, canvas: NDArray[np.uint8]) -> None:
        """Draw the frame of that number; nothing where the film has none.

        Args:
            number: of the frame.
            canvas: ``(height, width, 4)``, changed in place.
        """
        from PIL import Image

        picture = self.frames.at(number)
        if picture is None:
            return
        low = np.clip(np.floor(self.low), 0, picture.shape[1::-1]).astype(int)
        high = np.clip(np.ceil(self.high), 0, picture.shape[1::-1]).astype(int)
        shown_low, shown_high = np.maximum(low, self.low), np.minimum(high, self.high)
        ends = self.transform.transform([shown_low, shown_high])
        (x1, x2), (y1, y2) = np.round(ends[:, 0]).astype(int), np.round(self.height - ends[:, 1]).astype(int)
        if (high <= low).any() or x2 <= x1 or y2 <= y1:
            return
        part = Image.fromarray(picture[low[1] : high[1], low[0] : high[0]])
        box = (*(shown_low - low).tolist(), *(shown_high - low).tolist())
        fitted = part.resize((x2 - x1, y2 - y1), Image.Resampling.BILINEAR, box=box, reducing_gap=1.5)
        canvas[y1:y2, x1:x2, :3] = np.asarray(fitted)
