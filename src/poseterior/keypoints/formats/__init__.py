"""Readers of keypoint files: what detectors and annotation tools write, as `Keypoints2D`.

The format is told from a file's content. Each JSON format is one small function from the parsed document to
arrays; `Keypoints2D` validates them, once. Nothing in a file is executed or unpickled.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ...files.checks import as_list, describe, naming
from ...files.errors import InputError
from ...files.npz import NPY_MAGIC, ZIP_MAGIC
from ...geometry.skeletons import Skeleton, get_skeleton
from ..keypoints import Keypoints2D
from .arrays import read_arrays
from .coco import read_alphapose, read_coco_annotations, read_coco_results
from .common import RESULT, Detections, Options, UnknownContent, is_result_schema, size_pair
from .mediapipe import LANDMARK_FIELDS, is_landmark, read_mediapipe
from .mmpose import read_mmpose
from .openpose import read_openpose, read_openpose_frames
from .plain import read_plain

__all__ = [
    "FORMATS",
    "detect_format",
    "example_keypoints",
    "read_keypoints",
]

_LOG = logging.getLogger(__name__)

#: Format name -> what it is, for ``--format``.
FORMATS: dict[str, str] = {
    "auto": "told from the content of each file",
    "coco-results": "COCO keypoint results: a list of {image_id, keypoints: 17 x (x, y, score), score}",
    "coco-annotations": "COCO ground truth: {images, annotations, categories}; names, sizes are used",
    "openpose": "OpenPose JSON, BODY_25 or COCO-18: a file, or a folder of *_keypoints.json as one clip",
    "alphapose": "AlphaPose results: Halpe-26 (or 17, or 136) joints, image_id a file name, idx the track",
    "mmpose": "MMPose inferencer: frames of {keypoints, keypoint_scores}, with or without meta_info",
    "mediapipe": "MediaPipe's 33 landmarks {x, y, visibility}, normalised (needs the image size) or pixels",
    "plain": 'named joints: {"joints": [names], "keypoints": [[x, y, confidence?], ...]}, or a list of these',
    "numpy": "npy or npz of shape (frames, joints*2), (frames, joints, 2|3) or (joints, 2|3)",
}

_JSON_READERS: dict[str, Callable[[Any, Options], list[Detections]]] = {
    "coco-results": read_coco_results,
    "coco-annotations": read_coco_annotations,
    "openpose": read_openpose,
    "alphapose": read_alphapose,
    "mmpose": read_mmpose,
    "mediapipe": read_mediapipe,
    "plain": read_plain,
}

_SUFFIXES = (".json", ".npy", ".npz")
_OPENPOSE_NAME = "_keypoints.json"

#: How other files begin, and what to tell who passes one.
_STRANGERS = {
    b"\x80": "is a Python pickle, which is never loaded; save the keypoints as .npy, .npz or JSON",
    b"\xff\xd8\xff": "is a photo; run a 2D keypoint detector on it and pass what that writes",
    b"\x89PNG": "is a photo; run a 2D keypoint detector on it and pass what that writes",
}


def read_keypoints(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    format: str = "auto",
    skeleton: str | Skeleton | None = None,
    image_size: Sequence[float] | None = None,
) -> Keypoints2D:
    """Read keypoint files of any known format into one flat batch of poses.

    Args:
        paths: a file or folder, or many. A folder with ``*_keypoints.json`` files is one OpenPose clip, its
            frames in natural order of their names; of another folder every .json, .npy and .npz is read.
        format: a name from `FORMATS`; by default told from each file's content.
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
    if format not in FORMATS:
        raise InputError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")
    order = None if skeleton is None else get_skeleton(skeleton)
    size = None if image_size is None else size_pair(list(image_size), "image_size")

    parts: list[Keypoints2D] = []
    for item in map(Path, listed):
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
    files = sorted((p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file()), key=_natural)
    files = [path for path in files if not path.name.startswith(".")]
    if not files:
        raise InputError(f"{folder}: no keypoint file in this folder; expected {', '.join(_SUFFIXES)}")
    clip = [path for path in files if path.name.endswith(_OPENPOSE_NAME)]
    if clip and format in ("auto", "openpose"):
        with naming(str(folder)):
            return read_openpose_frames(((str(p), _openpose_frame(p)) for p in clip), options)
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


def _openpose_frame(path: Path) -> Any:
    with naming(str(path)):
        return _parse_json(_read_bytes(path))


def _read_file(path: Path, format: str, options: Options) -> list[Detections]:
    start = _read_bytes(path, 8)
    binary = start.startswith((NPY_MAGIC, *ZIP_MAGIC))
    if start.startswith(b"PAR1"):
        raise UnknownContent(RESULT if _is_parquet_result(path) else "is a Parquet file, not keypoints")
    if format == "numpy" and not binary:
        raise InputError("not an npy or npz file")
    if format not in ("auto", "numpy") and binary:
        raise InputError(f"is an npy or npz file, not {format}; use --format numpy, or auto")
    if binary:
        return read_arrays(path, options)
    data = _parse_json(_read_bytes(path))
    if isinstance(data, dict) and is_result_schema(data.get("schema")):
        raise UnknownContent(RESULT)
    name = detect_format(data) if format == "auto" else format
    return _JSON_READERS[name](data, options)


def _is_parquet_result(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about = json.loads((pq.read_schema(path).metadata or {}).get(b"poseterior", b"null"))
    except (pa.ArrowException, OSError, ValueError, RecursionError):
        return False
    return isinstance(about, dict) and is_result_schema(about.get("schema"))


def _read_bytes(path: Path, count: int = -1) -> bytes:
    if not path.exists():
        raise InputError("no such file")
    if not path.is_file():
        raise InputError("is neither a file nor a folder")
    try:
        with path.open("rb") as stream:
            content = stream.read(count)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from None
    if not content:
        raise InputError("the file is empty")
    return content


# -- content -------------------------------------------------------------------------------------------


def _parse_json(content: bytes) -> Any:
    """The document, or an `InputError` that tells what the file is instead.

    NaN and Infinity literals are let through: the first is a missing joint, the second is refused later with
    the joint's name.
    """
    for start, message in _STRANGERS.items():
        if content.startswith(start):
            raise UnknownContent(message)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start}), so not JSON; nor is it npy or npz") from None
    text = text.strip()
    if not text:
        raise InputError("the file is empty")
    if text[0] not in "[{":
        raise InputError("neither JSON (an object or a list) nor an npy or npz file")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        if error.pos >= len(text) - 1 or error.msg.startswith("Unterminated"):
            raise InputError(f"the JSON ends early ({where}): is the file truncated?") from None
        if error.msg == "Extra data":
            raise InputError(f"more than one JSON document ({where}); put them into one list") from None
        raise InputError(f"not valid JSON ({where}: {error.msg})") from None
    except ValueError:
        raise InputError("not valid JSON: a number has thousands of digits") from None


def detect_format(data: Any) -> str:
    """Name of the format of a parsed JSON document.

    Raises:
        InputError: none of `FORMATS`; the message tells what was found.
    """
    if isinstance(data, dict):
        return _detect_object(data)
    entries = as_list(data, "file")
    first = next((entry for entry in entries if entry), None)
    if first is None:  # frames without people, whichever way
        return "mmpose" if all(isinstance(entry, list) for entry in entries) else _refuse(data)
    if isinstance(first, list):
        return _detect_nested(first, data)
    if not isinstance(first, dict):
        return _refuse(data)
    if "image_id" in first and "keypoints" in first:
        keypoints, image = first["keypoints"], first["image_id"]
        long = isinstance(keypoints, list) and len(keypoints) in (26 * 3, 136 * 3)
        return "alphapose" if long or isinstance(image, str) or "idx" in first else "coco-results"
    if is_landmark(first):
        return "mediapipe"
    if "instances" in first or ("keypoints" in first and "keypoint_scores" in first):
        return "mmpose"
    return _detect_object(first)


def _detect_object(data: dict[str, Any]) -> str:
    marks = {
        "coco-annotations": ("annotations", "images"),
        "openpose": ("people",),
        "mmpose": ("instance_info",),
        "plain": ("keypoints",),
    }
    for name, fields in marks.items():
        if all(field in data for field in fields):
            return name
    if any(field in data for field in LANDMARK_FIELDS):
        return "mediapipe"
    return _refuse(data)


def _detect_nested(first: list[Any], data: Any) -> str:
    """A list of lists: frames of MMPose instances or of MediaPipe landmarks."""
    while isinstance(first, list) and first:
        first = first[0]
    if isinstance(first, dict) and "keypoints" in first:
        return "mmpose"
    return "mediapipe" if is_landmark(first) else _refuse(data)


def _refuse(data: Any) -> str:
    found = describe(data)
    if isinstance(data, list) and data:
        found += f" that starts with {describe(data[0])}"
    raise UnknownContent(
        f"of no keypoint format that we know (found {found}); known: {', '.join(FORMATS)}. Bare numbers need "
        'joint names: {"joints": [names], "keypoints": [[x, y], ...]}, or save them as .npy'
    )
