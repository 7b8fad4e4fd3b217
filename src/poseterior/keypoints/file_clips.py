"""Files of one frame each that are a clip together, to judge by their names and the photographs beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files.images import PICTURE_SUFFIXES
from ..files.numbered import evenly_numbered, series_of
from .formats import formats

__all__ = ["FileClip", "file_clips"]


@dataclass(frozen=True)
class FileClip:
    """Files that may be the frames of one clip.

    Attributes:
        folder: of the files.
        name: what their names share; empty where that is nothing but numbers.
        members: positions in the list of files, in order of the frames.
        numbers: of the frames.
        format: whose names the files have (OpenPose's ``*_keypoints.json``), None for other names.
        sure: the names alone say that these are frames; otherwise what they hold must go on from frame to frame.
    """

    folder: Path
    name: str
    members: tuple[int, ...]
    numbers: tuple[int, ...]
    format: str | None
    sure: bool


def file_clips(files: Sequence[Path]) -> list[FileClip]:
    """The clips that some files of one folder may be, by their names; a file belongs to one at most.

    Files with the names of photographs in the folder (``IMG_0001.json`` beside ``IMG_0001.jpg``) stay apart, but for
    OpenPose's.
    """
    suffixes = {known.frame_suffix: known.name for known in formats().values() if known.frame_suffix}
    photos = {path.stem for path in files[0].parent.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES}
    found: list[FileClip] = []
    taken: set[int] = set()
    for suffix, name in suffixes.items():
        own = [i for i, path in enumerate(files) if path.name.endswith(suffix) and i not in taken]
        clips = _clips(files, own, suffix, name)
        single = [i for i in own if not any(i in clip.members for clip in clips)]
        found += clips + [FileClip(files[i].parent, _stem(files[i], suffix), (i,), (0,), name, True) for i in single]
        taken.update(own)
    rest = [i for i, path in enumerate(files) if i not in taken and path.stem not in photos]
    return found + _clips(files, rest, "", None)


def _stem(path: Path, suffix: str) -> str:
    return path.name.removesuffix(suffix)


def _clips(files: Sequence[Path], own: list[int], suffix: str, format: str | None) -> list[FileClip]:
    found = []
    for series in series_of([_stem(files[i], suffix) if suffix else files[i].name for i in own]):
        numbers = series.numbers
        even = evenly_numbered(numbers)
        named = format is not None
        if not named and not (even and (len(numbers) > 2 or (series.counted and numbers[1] - numbers[0] == 1))):
            continue
        members = tuple(own[i] for i in series.members)
        found.append(FileClip(files[own[0]].parent, series.name, members, numbers, format, named or series.counted))
    return found
