"""The people in a photograph, and the lens that took it."""

from __future__ import annotations

import os

import numpy as np

from ..files.errors import InputError
from ..files.images import focal_length, read_image
from ..files.reading import reading
from ..keypoints import PoseId
from .base import Array, Detector
from .seen import Seen, batch

__all__ = ["check_large_enough", "people_in_picture"]

#: Pixels of the shorter side below which no joints can be told apart.
_SMALLEST = 16


def people_in_picture(path: str | os.PathLike[str], detector: Detector) -> Seen:
    """Everybody whom the detector finds in a photograph, the largest first: that is person 0.

    Where the photograph's EXIF tells its focal length, the keypoints have these intrinsics, with the principal point in
    the middle of the picture.

    Raises:
        InputError: it cannot be read as a picture, or is too small; the message names the file.
    """
    name = os.fspath(path)
    image = read_image(path)
    check_large_enough(image, name)
    with reading(name, "try another picture, or another --detector"):
        people = sorted(detector.detect(image), key=lambda person: -float(person.keypoints.size))
    if not people:
        return Seen(None, (f"{name}: nobody found by {detector.name}",))
    found = batch(people, [PoseId(name, 0, place) for place in range(len(people))])
    focal = focal_length(path)
    if focal is None:
        return Seen(found)
    height, width = image.shape[:2]
    lens = np.asarray([focal, focal, width / 2, height / 2])
    return Seen(found.with_camera(intrinsics=lens), (f"{name}: focal length {focal:.0f} px, from its EXIF",))


def check_large_enough(image: Array, name: str) -> None:
    """Refuse pictures in which nobody could be told.

    Raises:
        InputError: too small; names the file.
    """
    height, width = image.shape[:2]
    if min(height, width) < _SMALLEST:
        raise InputError(
            f"{name}: {width} x {height} px are too few to find anybody; give at least {_SMALLEST} to a side"
        )
