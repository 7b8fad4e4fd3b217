"""Words that change from frame to frame, put straight into a film's pixels: matplotlib lays text out too slowly."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .palette import rgb

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

__all__ = ["put_words"]


@lru_cache(maxsize=8)
def _font(pixels: float) -> FreeTypeFont:
    from matplotlib import font_manager
    from PIL import ImageFont

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), pixels)


@lru_cache(maxsize=64)
def _mask(text: str, pixels: float) -> NDArray[np.float32]:
    """How much of each pixel a line of text covers, ``(height, width)``, 0 to 1."""
    from PIL import Image, ImageDraw

    font = _font(pixels)
    width, height = int(np.ceil(font.getlength(text))) + 2, int(np.ceil(1.3 * pixels))
    picture = Image.new("L", (max(width, 1), height))
    ImageDraw.Draw(picture).text((1, 0), text, font=font, fill=255)
    return (np.asarray(picture, np.float32) / 255).astype(np.float32)


def put_words(
    canvas: NDArray[np.uint8], text: str, x: float, y: float, pixels: float, colour: str, align: float = 0.0
) -> tuple[int, int, int, int]:
    """Write a line of text.

    Args:
        canvas: ``(height, width, 4)``, changed in place.
        text: one line.
        x, y: px, of the upper edge; of the left end, the middle or the right end as ``align`` says.
        pixels: size of the letters.
        colour: ``#RRGGBB``.
        align: 0 left, 0.5 middle, 1 right.

    Returns:
        Left, top, right and bottom of what was written, px.
    """
    mask = _mask(text, pixels)
    height, width = mask.shape
    left = min(max(round(x - align * width), 0), max(canvas.shape[1] - width, 0))
    top = min(max(round(y), 0), max(canvas.shape[0] - height, 0))
    part = canvas[top : top + height, left : left + width, :3]
    cover = mask[: part.shape[0], : part.shape[1], None]
    part[:] = part * (1 - cover) + 255 * np.asarray(rgb(colour), np.float32) * cover + 0.5
    return left, top, left + part.shape[1], top + part.shape[0]
