"""Photographs: their size, and their pixels, turned as the file's EXIF says (as browsers show them)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from .checks import reason
from .errors import InputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["image_size", "read_image"]

#: EXIF's tag of how the picture is to be turned, and those of its values that exchange width and height.
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)
#: What is read: not the formats for which Pillow starts another program.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
#: Pixels of the largest picture; and those that one byte of a file may stand for, in pictures of more than a few.
MAXIMUM_PIXELS, _FEW_PIXELS, _PIXELS_PER_BYTE = 178_000_000, 2**24, 10_000


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """The picture, not yet decoded; whatever goes wrong while it is read becomes an `InputError`."""
    from PIL import Image

    name = os.fspath(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                _refuse_gigantic(image.size, os.path.getsize(path))
                yield image
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name}: has more than {MAXIMUM_PIXELS // 10**6} million px; make it smaller") from None
    except Exception as error:  # Pillow's parsers raise whatever they stumble over
        said = reason(error).replace(repr(name), "the file")
        raise InputError(f"{name}: cannot be read as an image ({said}); use a JPEG or PNG") from None


def _refuse_gigantic(size: tuple[int, int], stored: int) -> None:
    """Refuse a picture by its head, before room is made for its pixels."""
    pixels = size[0] * size[1]
    hollow = pixels > _FEW_PIXELS and pixels > _PIXELS_PER_BYTE * stored
    if pixels > MAXIMUM_PIXELS or hollow:
        claim = f"claims to have {size[0]} x {size[1]} px" + (f" in {stored} bytes" if hollow else "")
        raise InputError(f"{claim}; at most {MAXIMUM_PIXELS // 10**6} million px are read: make it smaller")


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a photograph in px, turned as its EXIF says. Only the head of the file is read.

    Raises:
        InputError: no such file, not a picture, or a gigantic one.
    """
    with _opened(path) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE else (width, height)


def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "height width 3"]:
    """A photograph as RGB, turned as its EXIF says.

    Raises:
        InputError: no such file, not a picture, or a gigantic one.
    """
    from PIL import ImageOps

    with _opened(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
