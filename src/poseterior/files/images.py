"""Photographs: their size, their pixels, turned as the file's EXIF says (as browsers show them), and their lens."""

from __future__ import annotations

import logging
import math
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from .checks import absent, reason
from .errors import InputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["PICTURE_SUFFIXES", "UNREAD_SUFFIXES", "focal_length", "image_size", "read_image"]

_LOG = logging.getLogger(__name__)
#: Raw pictures: most are TIFF files, which hold a small picture for the screen that must not be taken for them.
_RAW_SUFFIXES = (
    ".raw", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".orf", ".rw2", ".raf", ".pef",
    ".srw", ".3fr", ".x3f",
)  # fmt: skip
#: How photographs are called that are not read; who has one is told so.
UNREAD_SUFFIXES = (".heic", ".heif", ".avif", ".jxl", ".jp2", *_RAW_SUFFIXES)
#: How photographs are called.
PICTURE_SUFFIXES = (
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", *UNREAD_SUFFIXES,
)  # fmt: skip
#: EXIF's tag of how the picture is to be turned, and those of its values that exchange width and height.
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)
#: What is read: not the formats for which Pillow starts another program.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
#: Pixels of the largest picture; and those that one byte of a file may stand for, in pictures of more than a few.
MAXIMUM_PIXELS, _FEW_PIXELS, _PIXELS_PER_BYTE = 178_000_000, 2**24, 10_000


#: EXIF's tags: of the folder with the camera's settings; in it, the focal length on 35 mm film, and the size in px.
_SETTINGS, _ON_35_MM, _WIDTH, _HEIGHT = 0x8769, 0xA405, 0xA002, 0xA003
#: Diagonal of a frame of 35 mm film, mm; and focal lengths on it that lenses have.
_DIAGONAL, _SHORTEST, _LONGEST = math.hypot(36, 24), 6, 2000
#: Formats of which a file may hold several pictures that are frames; what they begin with where they are not read.
_ANIMATED = ("GIF", "WEBP", "PNG", "TIFF")
_NOT_READ = {
    b"ftyphei": "HEIC", b"ftyphev": "HEIC", b"ftypmif1": "HEIC", b"ftypmsf1": "HEIC", b"ftypavi": "AVIF",
    b"ftypcrx": "raw (CR3)", b"ftypjxl": "JPEG XL",
}  # fmt: skip


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """The picture, not yet decoded; whatever goes wrong while it is read becomes an `InputError`."""
    from PIL import Image, UnidentifiedImageError

    name = os.fspath(path)
    try:
        _refuse_none(path)
        if name.lower().endswith(_RAW_SUFFIXES):
            raise InputError("is a raw picture, which is not read; save it as JPEG or PNG")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                _refuse_gigantic(image.size, os.path.getsize(path))
                yield image
    except FileNotFoundError:
        raise InputError(f"{name}: {absent(path)}") from None
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name}: has more than {MAXIMUM_PIXELS // 10**6} million px; make it smaller") from None
    except Exception as error:  # Pillow's parsers raise whatever they stumble over
        if (kind := _kind_not_read(path)) is not None:
            article = "an" if kind.startswith("A") else "a"
            raise InputError(
                f"{name}: is {article} {kind} picture, which is not read; save it as JPEG or PNG"
            ) from None
        known = not isinstance(error, UnidentifiedImageError)
        said = reason(error).replace(repr(name), "the file") if known else "it is of no kind that is known"
        raise InputError(f"{name}: cannot be read as an image ({said}); use a JPEG or PNG") from None


def _refuse_none(path: str | os.PathLike[str]) -> None:
    """Refuse what is no file with something in it: a pipe would be waited for without end."""
    place = os.stat(path)
    if stat.S_ISDIR(place.st_mode):
        raise InputError("is a folder, not a photograph")
    if not stat.S_ISREG(place.st_mode):
        raise InputError("is no file (a pipe, or a device); give a photograph's file")
    if not place.st_size:
        raise InputError("is empty; copy or take it anew")


def _kind_not_read(path: str | os.PathLike[str]) -> str | None:
    """The kind of a picture of a well-known kind that is not read."""
    try:
        with open(path, "rb") as file:
            head = file.read(16)[4:]
    except OSError:
        return None
    return next((kind for mark, kind in _NOT_READ.items() if head.startswith(mark)), None)


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
    """A photograph as RGB, turned as its EXIF says; what is transparent is white.

    Of several frames the first is taken, and that is said in a warning.

    Raises:
        InputError: no such file, not a picture, or a gigantic one.
    """
    from PIL import ImageOps

    with _opened(path) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format in _ANIMATED:
            _LOG.warning("%s: has %d frames; the first is taken", os.fspath(path), frames)
        return _rgb(ImageOps.exif_transpose(image))


def _rgb(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """The pixels, of whatever depth they are, as 8 bits of red, green and blue."""
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):  # Pillow would cut off what is above 255
        deep = np.asarray(image, dtype=np.float64)
        deep = np.nan_to_num(deep, nan=0.0, posinf=0.0, neginf=0.0)
        largest = 65535.0 if image.mode != "F" else max(float(deep.max(initial=0.0)), 1e-12)
        grey = np.clip(deep / largest * 255.0, 0, 255).round().astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        whole = image.convert("RGBA")
        paper = Image.new("RGBA", whole.size, (255, 255, 255, 255))
        image = Image.alpha_composite(paper, whole)
    return np.asarray(image.convert("RGB"))


def focal_length(path: str | os.PathLike[str]) -> float | None:
    """The focal length in px of this picture that its EXIF tells; None where it tells none that can be used.

    EXIF says it as it would be on 35 mm film with the same view from corner to corner (CIPA DCG-001): so many
    diagonals of the picture as it is of 43.3 mm. A picture of other proportions than EXIF says was cut, and its lens is
    no longer known.

    Raises:
        InputError: as `image_size`.
    """
    with _opened(path) as image:
        settings = image.getexif().get_ifd(_SETTINGS)
        try:
            on_film = float(settings.get(_ON_35_MM, 0) or 0)
            told = float(settings.get(_WIDTH, 0) or 0), float(settings.get(_HEIGHT, 0) or 0)
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            return None
        width, height = image.size
    if not _SHORTEST <= on_film <= _LONGEST:
        return None
    if min(told) > 0 and abs(max(told) / min(told) - max(width, height) / min(width, height)) > 0.02:
        return None
    return on_film / _DIAGONAL * math.hypot(width, height)
