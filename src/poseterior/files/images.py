"""Photographs: their size, and their pixels, turned as the file's EXIF says (as browsers show them)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from .errors import InputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["image_size", "read_image"]

#: EXIF's tag of how the picture is to be turned, and those of its values that exchange width and height.
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """The picture, not yet decoded; whatever goes wrong while it is read becomes an `InputError`."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise InputError(f"{os.fspath(path)}: no such file") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{os.fspath(path)}: cannot be read as an image ({error}); use a JPEG or PNG") from None


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a photograph in px, turned as its EXIF says. Only the head of the file is read.

    Raises:
        InputError: no such file, or not a picture.
    """
    with _opened(path) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE else (width, height)


def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "height width 3"]:
    """A photograph as RGB, turned as its EXIF says.

    Raises:
        InputError: no such file, or not a picture.
    """
    from PIL import ImageOps

    with _opened(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
