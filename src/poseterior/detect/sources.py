"""What the files of a command are: photographs, films, cameras, or keypoints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..files.errors import InputError
from ..files.films import FILM_SUFFIXES, is_film
from ..files.images import PICTURE_SUFFIXES
from ..files.numbered import natural_key
from ..keypoints.documents import SUFFIXES
from ..keypoints.folders import files_in

__all__ = ["Sources", "sorted_out"]

_CAMERA = re.compile(r"webcam(?::(\d{1,3}))?")


@dataclass(frozen=True)
class Sources:
    """Files by what they are, each kind in the order in which they were given, none twice.

    Attributes:
        pictures, films: what a detector looks at.
        keypoints: other files and folders, which are read as keypoints.
        camera: the number of a camera; None for none.
    """

    pictures: tuple[Path, ...] = ()
    films: tuple[Path, ...] = ()
    keypoints: tuple[Path, ...] = ()
    camera: int | None = None

    @property
    def seen(self) -> tuple[Path, ...]:
        """What a detector looks at, but for a camera."""
        return (*self.pictures, *self.films)


def sorted_out(paths: Iterable[Path]) -> Sources:
    """Tell photographs and films from keypoints by how they are called.

    A folder without a keypoint file stands for the photographs and films in it.

    Raises:
        InputError: a camera beside something else; a folder that holds nothing of all that.
    """
    listed = list(dict.fromkeys(paths))
    cameras = [_CAMERA.fullmatch(str(path)) for path in listed]
    if any(cameras):
        if len(listed) > 1:
            raise InputError("webcam: is lifted alone, frame by frame; lift files in another command")
        assert cameras[0] is not None
        return Sources(camera=int(cameras[0][1] or 0))
    pictures: list[Path] = []
    films: list[Path] = []
    keypoints: list[Path] = []
    for path in listed:
        inside = _seen_in(path) if path.is_dir() else [path]
        for file in inside:
            kind = pictures if file.suffix.lower() in PICTURE_SUFFIXES else films if is_film(file) else keypoints
            kind.append(file)
    return Sources(tuple(dict.fromkeys(pictures)), tuple(dict.fromkeys(films)), tuple(keypoints))


def _seen_in(folder: Path) -> list[Path]:
    """The photographs and films of a folder; the folder itself where it has keypoints, or neither."""
    files = files_in(folder)
    seen = [path for path in files if path.suffix.lower() in (*PICTURE_SUFFIXES, *FILM_SUFFIXES)]
    if not seen or any(path.suffix.lower() in SUFFIXES for path in files):
        return [folder]
    return sorted(seen, key=lambda path: natural_key(path.name))
