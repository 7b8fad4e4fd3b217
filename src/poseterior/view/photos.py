"""The photographs behind a result, and the part of them that its keypoints fill."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..files.errors import InputError
from ..files.films import is_film
from ..files.images import PICTURE_SUFFIXES, read_image

__all__ = ["Photo", "Photos", "check_photos", "film_of", "keypoint_box", "read_photo"]

Photo = str | os.PathLike[str] | np.ndarray
Photos = Photo | Mapping[str, Photo] | None


def read_photo(photos: Photos, file: str = "") -> np.ndarray | None:
    """RGB pixels of the photo that belongs to a pose, turned as its EXIF says.

    Args:
        photos: a path or (height, width, 3) uint8 array for all poses; a mapping from a result's ``file``
            to one; a folder, in which the photo has the name of the pose's ``file`` or that name with the
            extension of an image; None for none.
        file: the pose's ``file``.

    Returns:
        (height, width, 3) uint8, or None where there is no photo, or a film (see `film_of`).

    Raises:
        InputError: no such file, it cannot be read as an image, or the array is not an RGB image.
    """
    photo = photos.get(file) if isinstance(photos, Mapping) else photos
    if isinstance(photo, (str, os.PathLike)) and Path(photo).is_dir():
        photo = _photo_in_folder(Path(photo), file)
    if photo is None or _film_path(photo) is not None:
        return None
    if isinstance(photo, np.ndarray):
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
            raise InputError(f"photo: expected a (height, width, 3) uint8 array, got {photo.shape} {photo.dtype}")
        return photo
    return read_image(photo)


def film_of(photos: Photos, file: str = "") -> Path | None:
    """The film whose frames belong to a clip, by their numbers; None where there is none.

    Args:
        photos, file: as of `read_photo`; a path or an entry that is called as films are.
    """
    photo = photos.get(file) if isinstance(photos, Mapping) else photos
    return None if photo is None else _film_path(photo)


def _film_path(photo: Photo) -> Path | None:
    return Path(photo) if isinstance(photo, (str, os.PathLike)) and is_film(photo) else None


def _photo_in_folder(folder: Path, file: str) -> Path | None:
    # only the last part of the name counts: a result file cannot point outside the folder
    name = Path(file).name
    stem = Path(name).stem.removesuffix("_keypoints")
    wanted = {name.lower(), *(stem.lower() + suffix for suffix in PICTURE_SUFFIXES)}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURE_SUFFIXES and path.name.lower() in wanted:
            return path
    return None


def check_photos(photos: Photos, files: Iterable[str]) -> None:
    """Make sure that a photo exists, or that a folder has one for at least one of a result's files.

    Raises:
        InputError: it does not, or has none; the message says what a photo would have to be called.
    """
    names = list(dict.fromkeys(files))
    if isinstance(photos, (str, os.PathLike)) and not Path(photos).exists():
        raise InputError(f"{os.fspath(photos)}: no such file")
    if isinstance(photos, (str, os.PathLike)) and Path(photos).is_dir() and names:
        folder = Path(photos)
        if not any(_photo_in_folder(folder, name) for name in names):
            stem = Path(Path(names[0]).name).stem
            raise InputError(f"{folder}: no photo belongs to any pose; one of {names[0]!r} would be called {stem}.jpg")


def keypoint_box(
    keypoints: np.ndarray, photo_shape: tuple[int, int] | tuple[int, ...] | None = None, margin: float = 0.12
) -> tuple[np.ndarray, np.ndarray]:
    """Box around keypoints with a margin, px.

    Args:
        keypoints: (..., 2) px; NaN is ignored.
        photo_shape: (height, width) px; the box is kept inside the photo where the two overlap.
        margin: fraction of the larger side.

    Returns:
        upper left and lower right corner, (2,) each; at least a pixel wide and not narrower than 0.4 of
        its height (nor flatter than 0.4 of its width).
    """
    points = keypoints.reshape(-1, 2)
    points = points[np.isfinite(points).all(-1)].astype(np.float64)
    if not len(points):
        points = np.asarray([[0.0, 0.0], [1.0, 1.0]])
    low, high = points.min(0), points.max(0)
    side = max(float((high - low).max()), 1.0)
    low, high = low - margin * side, high + margin * side
    lacking = np.maximum(0.4 * (high - low).max() - (high - low), 0.0)
    low, high = low - lacking / 2, high + lacking / 2
    if photo_shape is not None:
        inner_low = np.maximum(low, 0.0)
        inner_high = np.minimum(high, [photo_shape[1], photo_shape[0]])
        if (inner_high - inner_low > 1.0).all():
            low, high = inner_low, inner_high
    return low, high
