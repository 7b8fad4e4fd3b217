"""Keypoint files and folders as `Keypoints2D`, whatever wrote them.

`poseterior.keypoints.documents` parses a file, one of `poseterior.keypoints.formats` makes arrays of it,
`poseterior.keypoints.cleaning` makes measurements of these, and `Keypoints2D` validates them, once.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from ..files.checks import describe, naming
from ..files.errors import InputError
from ..files.long_json import no_collection
from ..files.reading import reading
from ..geometry.skeletons import Skeleton, get_skeleton
from .cleaning import clean
from .detections import Detections, Options, size_pair
from .documents import KINDS, SUFFIXES, UnknownContent, kind_of, read_document
from .formats import AUTO, detect_format, format_names, formats
from .intrinsics import read_intrinsics
from .keypoints import Keypoints2D
from .scores import SCALES

__all__ = ["example_keypoints", "read_keypoints"]

_LOG = logging.getLogger(__name__)


def read_keypoints(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    format: str = AUTO,
    skeleton: str | Skeleton | None = None,
    image_size: Sequence[float] | None = None,
    *,
    camera: Any = None,
    height: float | None = None,
    confidence_scale: str | None = None,
    min_confidence: float | None = None,
    keep_unseen: bool = False,
) -> Keypoints2D:
    """Read keypoint files of any known format into one flat batch of poses.

    Args:
        paths: a file or folder, or many. A folder with ``*_keypoints.json`` files is one OpenPose clip, its
            frames in natural order of their names; of another folder every .json, .npy and .npz is read.
        format: a name of `poseterior.keypoints.formats.formats`; by default told from each file's content.
        skeleton: joint order of files that do not name their joints (arrays; other formats where the number
            of joints fits); files that name them are put into it. Arrays need it where several skeletons
            have that many joints (17: h36m17, coco17, mpi17).
        image_size: ``(width, height)`` px for files that do not tell; normalised coordinates need it.
        camera: that of all pictures: ``(fx, fy, cx, cy)`` px, these as a dict, a 3x3 K, or a JSON file with one of them
            (see `poseterior.keypoints.intrinsics`); it replaces what files say.
        height: of all people, metres; it replaces what files say.
        confidence_scale: of the scores: probability, peak, percent, logit or sum (see `poseterior.keypoints.scores`);
            by default the format's, or told from how the scores of a file are distributed, with a warning.
        min_confidence: joints with less confidence (0 to 1) are missing; by default 0.1.
        keep_unseen: keep people without a visible joint, whose pose is the lifter's prior. They are left out by
            default, with a warning.

    Returns:
        Keypoints in pixels, batch shape ``(poses,)``. ``ids`` tell file, frame and person: frames are
        numbered as the file does (MMPose), by order of first appearance of the image (COCO, AlphaPose) or by
        position; the person is the track id where there is one, else the position in the frame. Files of
        different skeletons are brought to h36m17. Placeholders of joints that were not found (see
        `poseterior.keypoints.placeholders`) are missing; what was judged is said in warnings.

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
    intrinsics = None if camera is None else read_intrinsics(camera)
    _check_scores(confidence_scale, min_confidence)
    options = Options("", order, size, confidence_scale, min_confidence, keep_unseen)

    raw: list[tuple[str, Detections]] = []
    for item in map(Path, listed):
        with reading(str(item)[:200]), no_collection():
            raw += [(str(item), found) for found in _read_path(item, format, replace(options, file=str(item)))]
    parts: list[Keypoints2D] = []
    for path, detections in clean(raw, options):
        with reading(path[:200]), naming(path):
            parts.append(detections.keypoints())
    parts = [part for part in parts if len(part)]
    if not parts:
        names = ", ".join(str(item) for item in listed[:5]) + (", ..." if len(listed) > 5 else "")
        unseen = sum(len(found.ids) for _, found in raw)
        nobody = f" ({unseen} without a visible joint; --keep-unseen keeps them)" if unseen else ""
        raise InputError(f"{names}: no person in any frame{nobody}, so there is nothing to lift")
    if len({part.skeleton for part in parts}) > 1:
        parts = [part.as_skeleton("h36m17") for part in parts]
    return Keypoints2D.cat(parts).with_camera(intrinsics=intrinsics, height=height)


def _check_scores(scale: str | None, least: float | None) -> None:
    if scale is not None and scale not in SCALES:
        raise InputError(f"confidence_scale: expected one of {', '.join(SCALES)}, got {describe(scale)}")
    if least is not None and not (isinstance(least, (int, float)) and 0 <= least <= 1):
        raise InputError(f"min_confidence: expected a number from 0 to 1, got {describe(least)}")


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
    files = [path for path in files if not path.name.startswith(".")]
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
        own = replace(options, file=str(path))
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
