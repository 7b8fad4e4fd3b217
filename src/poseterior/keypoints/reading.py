"""Keypoint files and folders as `Keypoints2D`, whatever wrote them.

`poseterior.keypoints.documents` parses a file, one of `poseterior.keypoints.formats` makes arrays of it, and
`Keypoints2D` validates these, once.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ..files.checks import naming
from ..files.errors import InputError
from ..files.long_json import no_collection
from ..files.reading import reading
from ..geometry.skeletons import Skeleton, get_skeleton
from .detections import Detections, Options, size_pair
from .documents import KINDS, SUFFIXES, UnknownContent, kind_of, read_document, without_copies
from .formats import AUTO, detect_format, format_names, formats
from .keypoints import Keypoints2D

__all__ = ["example_keypoints", "read_keypoints"]

_LOG = logging.getLogger(__name__)


def read_keypoints(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    format: str = AUTO,
    skeleton: str | Skeleton | None = None,
    image_size: Sequence[float] | None = None,
) -> Keypoints2D:
    """Read keypoint files of any known format into one flat batch of poses.

    Args:
        paths: a file or folder, or many. A folder with ``*_keypoints.json`` files is one OpenPose clip, its
            frames in natural order of their names; of another folder every .json, .npy and .npz is read.
        format: a name of `poseterior.keypoints.formats.formats`; by default told from each file's content.
        skeleton: joint order of files that do not name their joints (arrays; other formats where the number
            of joints fits); files that name them are put into it. Arrays need it where several skeletons
            have that many joints (17: h36m17, coco17, mpi17).
        image_size: ``(width, height)`` px for files that do not tell; normalised MediaPipe landmarks need it.

    Returns:
        Keypoints in pixels, batch shape ``(poses,)``. ``ids`` tell file, frame and person: frames are
        numbered as the file does (MMPose), by order of first appearance of the image (COCO, AlphaPose) or by
        position; the person is the track id where there is one, else the position in the frame. Files of
        different skeletons are brought to h36m17.

    Raises:
        InputError: (a ValueError) a file is missing, empty, truncated, of no known format, or holds wrong
            values; nobody is in any file. The message names the file, the place and the remedy.
    """
    listed: list[str | os.PathLike[str]]
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not listed:
        raise InputError("no keypoint file is given")
    if format not in format_names():
        raise InputError(f"unknown format {format!r}; known: {', '.join(format_names())}")
    order = None if skeleton is None else get_skeleton(skeleton)
    size = None if image_size is None else size_pair(list(image_size), "image_size")

    parts: list[Keypoints2D] = []
    for item in map(Path, listed):
        with reading(str(item)[:200]), no_collection():
            for detections in _read_path(item, format, Options(str(item), order, size)):
                with naming(str(item)):
                    parts.append(detections.keypoints())
    parts = [part for part in parts if len(part)]
    if not parts:
        names = ", ".join(str(item) for item in listed[:5]) + (", ..." if len(listed) > 5 else "")
        raise InputError(f"{names}: no person in any frame, so there is nothing to lift")
    if len({part.skeleton for part in parts}) > 1:
        parts = [part.as_skeleton("h36m17") for part in parts]
    return Keypoints2D.cat(parts)


def example_keypoints() -> Keypoints2D:
    """The shipped example: people in photographs, their joints clicked by hand (see ``examples/README.md``).

    >>> len(example_keypoints()) >= 3
    True
    """
    with resources.as_file(resources.files("poseterior") / "examples" / "demo.json") as path:
        return read_keypoints(path, format="plain")


# -- paths ---------------------------------------------------------------------------------------------


def _read_path(path: Path, format: str, options: Options) -> list[Detections]:
    try:
        if path.is_dir():
            return _read_folder(path, format, options)
        with naming(str(path)):
            return _read_file(path, format, options)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # no permission, a name too long or with a null byte
        raise InputError(f"{str(path)[:200]!r}: cannot be read ({error})") from None


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Sort key by which frame_2 comes before frame_10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", path.name)]


def _read_folder(folder: Path, format: str, options: Options) -> list[Detections]:
    files = sorted((p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()), key=_natural)
    files = without_copies([path for path in files if not path.name.startswith(".")])
    if not files:
        raise InputError(f"{folder}: no keypoint file in this folder; expected {', '.join(SUFFIXES)}")
    for known in formats().values():
        suffix, read_frames = known.frame_suffix, known.read_frames
        clip = [path for path in files if suffix and path.name.endswith(suffix)]
        if clip and read_frames and format in (AUTO, known.name):
            with naming(str(folder)):
                return read_frames(((str(path), _frame(path)) for path in clip), options)
    found: list[Detections] = []
    unknown: list[UnknownContent] = []
    for path in files:
        own = Options(str(path), options.skeleton, options.image_size)
        try:
            with naming(str(path)):
                parts = _read_file(path, format, own)
            for part in parts:
                part.sources = part.sources or [str(path)] * len(part.ids)
            found += parts
        except UnknownContent as error:
            unknown.append(error)
    if len(unknown) == len(files):
        raise InputError(f"{folder}: no keypoint file in this folder; the first: {unknown[0]}")
    for skipped in unknown:
        _LOG.warning("skipped %s", skipped)
    return found


def _frame(path: Path) -> Any:
    with naming(str(path)):
        return read_document(path)


def _read_file(path: Path, format: str, options: Options) -> list[Detections]:
    kind = kind_of(path)
    if format != AUTO and kind != formats()[format].kind:
        if kind == "arrays":
            raise InputError(f"is an npy or npz file, not {format}; use --format numpy, or auto")
        raise InputError(f"not {KINDS[formats()[format].kind]}" + ("" if kind == "json" else f" but {KINDS[kind]}"))
    data = read_document(path)
    return formats()[detect_format(data) if format == AUTO else format].read(data, options)
