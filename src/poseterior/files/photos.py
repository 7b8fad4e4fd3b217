"""Photographs, turned as their EXIF says (as browsers show them)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["open_photo", "photo_size"]


@contextmanager
def open_photo(path: str | os.PathLike[str]) -> Iterator[Image]:
    """The photograph, upright.

    Raises:
        InputError: no such file, or it cannot be read as an image.
    """
    from PIL import Image, ImageOps

    name = os.fspath(path)
    try:
        with Image.open(path) as image:
            yield ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: cannot be read as an image ({error}); use a JPEG or PNG") from None


def photo_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height in px.

    Raises:
        InputError: as `open_photo`.
    """
    with open_photo(path) as image:
        return image.size
