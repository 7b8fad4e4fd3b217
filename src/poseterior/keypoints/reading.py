"""Keypoint files and folders as `Keypoints2D`, whatever wrote them.

`poseterior.keypoints.documents` parses a file, one of `poseterior.keypoints.formats` makes arrays of it,
`poseterior.keypoints.cleaning` makes measurements of these, and `Keypoints2D` validates them, once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from ..files.checks import describe, naming
from ..files.errors import InputError
from ..files.long_json import no_collection
from ..files.numbered import natural_key
from ..files.reading import reading
from ..geometry.skeletons import Skeleton
from .cleaning import clean
from .detections import Detections, Options, is_nobody, join
from .documents import KINDS, SUFFIXES, UnknownContent, kind_of, read_document, without_copies
from .file_clips import FileClip, file_clips
from .formats import AUTO, detect_format, format_names, formats
from .intrinsics import read_intrinsics
from .keypoints import Keypoints2D
from .rates import stated_rate
from .scores import SCALES
from .tracks import linked, moves_on, of_person

__all__ = ["check_format", "check_scores", "example_keypoints", "read_keypoints"]

_LOG = logging.getLogger(__name__)


def read_keypoints(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    format: str = AUTO,
    skeleton: str | Skeleton | None = None,
    image_size: Sequence[float] | None = None,
    *,
    tracks: Literal["auto", "off"] = "auto",
    person: int | None = None,
    camera: Any = None,
    height: float | None = None,
    confidence_scale: str | None = None,
    min_confidence: float | None = None,
    keep_unseen: bool = False,
) -> Keypoints2D:
    """Read keypoint files of any known format into one flat batch of poses.

    Args:
        paths: a file or folder, or many. Of a folder every .json, .npy and .npz is read. Files that hold a frame
            each, and whose names count the frames (``000.json``, ``cam1_000000.json``, ``walk_12_keypoints.json``),
            are one clip, one for each name without the number; the number is the frame.
        format: a name of `poseterior.keypoints.formats.formats`; by default told from each file's content.
        skeleton: joint order of files that do not name their joints (arrays; other formats where the number
            of joints fits); files that name them are put into it. Arrays need it where several skeletons
            have that many joints (17: h36m17, coco17, mpi17).
        image_size: ``(width, height)`` px for files that do not tell; normalised coordinates need it.
        tracks: "auto" links the people of a clip from frame to frame where no tracker numbered them, see
            `poseterior.keypoints.tracks`; "off" numbers them by their place in each frame.
        person: keep this person alone.
        camera: that of all pictures: ``(fx, fy, cx, cy)`` px, these as a dict, a 3x3 K, or a JSON file with one of them
            (see `poseterior.keypoints.intrinsics`); it replaces what files say.
        height: of all people, metres; it replaces what files say.
        confidence_scale: of the scores: probability, peak, percent, logit or sum (see `poseterior.keypoints.scores`);
            by default the format's, or told from how the scores of a file are distributed, with a warning.
        min_confidence: joints with less confidence (0 to 1) are missing; by default 0.1.
        keep_unseen: keep people without a visible joint, whose pose is the lifter's prior. They are left out by
            default, with a warning.

    Returns:
        Keypoints in pixels, batch shape ``(poses,)``, those of a clip in order of its frames. ``ids`` tell file, frame
        and person: frames have the file's own numbers (MMPose's ``frame_id``, COCO's image ids, the number in the
        image's or the frame's file name), else they are counted; frames without people are absent. The person is the
        tracker's number where there is one, else that of its track, or for single pictures the place in the picture.
        ``rates`` tells frames per second of files that do. Files of different skeletons are brought to h36m17.
        Placeholders of joints that were not found (see `poseterior.keypoints.placeholders`) are missing; what was
        judged is said in warnings.

    Raises:
        InputError: (a ValueError) a file is missing, empty, truncated, of no known format, or holds wrong
            values; nobody is in any file, or not the person asked for. The message names the file, the place and the
            remedy.
    """
    listed: list[str | os.PathLike[str]]
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not listed:
        raise InputError("no keypoint file is given")
    check_format(format)
    options = Options.said("", skeleton, image_size, confidence_scale, min_confidence, keep_unseen)
    intrinsics = None if camera is None else read_intrinsics(camera)
    check_scores(confidence_scale, min_confidence)

    groups = _together([Path(item) for item in listed])
    raw: list[tuple[str, Detections]] = []
    group_of: list[int] = []
    for number, items in enumerate(groups):
        with reading(str(items[0])[:200]), no_collection():
            found = _read_paths(items, format, replace(options, file=str(items[0])))
        for detections in found:
            named = str(items[0]) if len(items) == 1 or not detections.ids else detections.ids[0].file
            raw.append((named, detections))
            group_of.append(number)
    own: list[list[tuple[Keypoints2D, Any]]] = [[] for _ in groups]
    for number, (path, detections) in zip(group_of, clean(raw, options), strict=True):
        with reading(path[:200]), naming(path):
            own[number].append((detections.keypoints(), detections.tracked))
    parts: list[Keypoints2D] = []
    for read in own:
        parts += linked([part for part, _ in read], [tracked for _, tracked in read], link=tracks == "auto")
    parts = [part for part in parts if len(part)]
    if not parts:
        names = ", ".join(str(item) for item in listed[:5]) + (", ..." if len(listed) > 5 else "")
        unseen = sum(len(found.ids) for _, found in raw)
        nobody = f" ({unseen} without a visible joint; --keep-unseen keeps them)" if unseen else ""
        raise InputError(f"{names}: no person in any frame{nobody}, so there is nothing to lift")
    if len({part.skeleton for part in parts}) > 1:
        parts = [part.as_skeleton("h36m17") for part in parts]
    whole = Keypoints2D.cat(parts)
    whole = whole if person is None else of_person(whole, person)
    return whole.with_camera(intrinsics=intrinsics, height=height)


def check_format(format: str) -> None:
    """Raises `InputError` for a name that is no format of keypoint files."""
    if format not in format_names():
        raise InputError(f"unknown format {format!r}; known: {', '.join(format_names())}")


def check_scores(scale: str | None, least: float | None) -> None:
    """Raises `InputError` for a scale of scores that is none, or a least confidence that is no probability."""
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


def _together(paths: list[Path]) -> list[list[Path]]:
    """Neighbours that may be frames of one clip: files of one folder."""
    groups: list[list[Path]] = []
    for path in paths:
        beside = groups and not path.is_dir() and not groups[-1][0].is_dir() and groups[-1][0].parent == path.parent
        if beside:
            groups[-1].append(path)
        else:
            groups.append([path])
    return groups


def _read_paths(paths: list[Path], format: str, options: Options) -> list[Detections]:
    """A folder, a file, or files of one folder."""
    try:
        if paths[0].is_dir():
            return _read_folder(paths[0], format, options)
        if len(paths) > 1:
            return _read_files(paths, format, options, skip=False)
        with naming(str(paths[0])):
            return _read_file(paths[0], format, options)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # no permission, a name too long or with a null byte
        raise InputError(f"{str(paths[0])[:200]!r}: cannot be read ({error})") from None


def _read_folder(folder: Path, format: str, options: Options) -> list[Detections]:
    files = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]
    files = without_copies(files)
    if not files:
        inner = next((p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".")), None)
        hint = "" if inner is None else f"; folders in it are not looked into: give one of them, {inner} say"
        raise InputError(
            f"{folder}: no keypoint file in this folder; expected {', '.join(SUFFIXES)}, or for `poseterior lift` "
            f"photographs or films{hint}"
        )
    return _read_files(sorted(files, key=lambda path: natural_key(path.name)), format, options, skip=True)


def _read_files(files: list[Path], format: str, options: Options, skip: bool) -> list[Detections]:
    """Files of one folder: clips of one file per frame, and others; ``skip`` passes over those of no format."""
    found: dict[int, list[Detections]] = {}
    unknown: list[UnknownContent] = []
    taken: set[int] = set()
    clips = [clip for clip in file_clips(files) if format in (AUTO, clip.format or format)]
    names = {clip.name for clip in clips}
    for clip in clips:
        label = clip.folder if len(clips) == 1 or not clip.name else clip.folder / clip.name
        if len(names) < len(clips) and clip.name and sum(one.name == clip.name for one in clips) > 1:
            label = label.with_name(label.name + files[clip.members[0]].suffix)
        read = _read_clip(clip, [files[i] for i in clip.members], format, options, str(label))
        if read is not None:
            taken.update(clip.members)
            found[clip.members[0]] = read
    for i, path in enumerate(files):
        if i in taken:
            continue
        try:
            with naming(str(path)):
                found[i] = _read_file(path, format, replace(options, file=str(path)))
            for part in found[i]:
                part.sources = part.sources or [str(path)] * len(part.ids)
        except UnknownContent as error:
            if not skip:
                raise
            unknown.append(error)
    if len(unknown) == len(files):
        raise InputError(f"{files[0].parent}: no keypoint file in this folder; the first: {unknown[0]}")
    for skipped in unknown:
        _LOG.warning("skipped %s", skipped)
    return [part for i in sorted(found) for part in found[i]]


def _read_clip(clip: FileClip, files: list[Path], format: str, options: Options, label: str) -> list[Detections] | None:
    """The frames of a clip as few batches; None where the files turn out to be no frames of one clip."""
    options = replace(options, file=label)
    known = formats().get(clip.format or "")
    if known is not None and known.read_frames is not None:
        with naming(str(clip.folder)):
            whole = known.read_frames(((str(path), _frame(path)) for path in files), options)
        return [_numbered(part, [clip.numbers[i.frame] for i in part.ids]) for part in whole]
    parts: list[Detections] = []
    frames: list[list[int]] = []
    for path, number in zip(files, clip.numbers, strict=True):
        read = _read_frame(path, format, replace(options, file=str(path)))
        if read is None or len({(i.file, i.frame) for part in read for i in part.ids}) > 1:
            return None
        if any(i.file != str(path) for part in read for i in part.ids):  # the file names a photograph
            return None
        for part in read:
            part.sources = part.sources or [str(path)] * len(part.ids)
            parts.append(part)
            frames.append([number] * len(part.ids))
    own = [part.ids[0].frame for part in parts if part.ids]
    if len(set(own)) == len(own) > 1 and own == sorted(own):  # the files tell their frames themselves
        frames = [[identity.frame for identity in part.ids] for part in parts]
    joined = join([_numbered(p, f, label) for p, f in zip(parts, frames, strict=True)])
    if not clip.sure and not (joined and moves_on(replace(joined[0], confidence=None).keypoints())):
        return None
    return joined


def _read_frame(path: Path, format: str, options: Options) -> list[Detections] | None:
    """A file that may be a frame of a clip; None where it is of no format."""
    try:
        with naming(str(path)):
            data = read_document(path)
            if is_nobody(data):
                return []
            return _read_data(data, path, format, options)
    except UnknownContent:
        return None


def _numbered(part: Detections, frames: Sequence[int], file: str | None = None) -> Detections:
    ids = [i._replace(frame=frame, file=file or i.file) for i, frame in zip(part.ids, frames, strict=True)]
    return replace(part, ids=ids)


def _frame(path: Path) -> Any:
    with naming(str(path)):
        return read_document(path)


def _read_file(path: Path, format: str, options: Options) -> list[Detections]:
    return _read_data(read_document(path), path, format, options)


def _read_data(data: Any, path: Path, format: str, options: Options) -> list[Detections]:
    kind = kind_of(path)
    if format != AUTO and kind != formats()[format].kind:
        if kind == "arrays":
            raise InputError(f"is an npy or npz file, not {format}; use --format numpy, or auto")
        raise InputError(f"not {KINDS[formats()[format].kind]}" + ("" if kind == "json" else f" but {KINDS[kind]}"))
    found = formats()[detect_format(data) if format == AUTO else format].read(data, options)
    rate = stated_rate(data)
    for part in found:
        part.fps = part.fps or rate
    return found
