"""YOLO's pose labels, as Ultralytics' ``save_txt`` and its data sets write them: a text file for each picture."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...files.checks import Array, describe
from ...files.errors import InputError
from ...geometry.skeletons import Skeleton
from ..detections import Detections, Options, Person
from ..documents import TextFile
from ..joint_names import skeleton_remedy, unnamed_layout

NAME = "yolo-txt"
ABOUT = "YOLO pose labels, a .txt per picture: class cx cy w h x y v ..., all but class and v as parts of the picture"
KIND = "text"
SCORES = "probability"
EXAMPLE = "0 0.5 0.52 0.25 0.75 " + " ".join(f"0.{50 + i} 0.{19 + 4 * i} 0.9" for i in range(17)) + "\n"
#: Files of a folder whose names end so are the frames of one clip, see `read_frames`.
FRAME_SUFFIX = ".txt"

#: Numbers in front of the keypoints: the class and the box.
_LEADING = 5

_LOG = logging.getLogger(__name__)


def recognises(data: Any) -> int:
    """Lines of numbers, as many as a class, a box and the keypoints of a body are; a picture of nobody is empty."""
    if not isinstance(data, TextFile):
        return 0
    lines = data.text.split("\n", 1)
    words = lines[0].split()
    return 1 if not data.text.strip() or (_columns(len(words), None) and all(map(_is_number, words))) else 0


def read(data: TextFile, options: Options) -> list[Detections]:
    """One picture: a line for each person, ``class cx cy width height`` and ``x y v`` or ``x y`` for each joint.

    A confidence and a track id may follow, as ``save_conf`` and tracking write them. ``v`` is a confidence, or a data
    set's label: 0 missing, 1 hidden from view, 2 seen. Needs the size of the picture.
    """
    return read_frames([(options.file, data)], options)


def read_frames(frames: Iterable[tuple[str, Any]], options: Options) -> list[Detections]:
    """The pictures of a folder as (file, content): a clip, whose frames are numbered as the files are.

    Pictures of nobody have no file. Other text files of the folder are left out, and named.
    """
    listed = list(frames)
    texts = [(source, content) for source, content in listed if recognises(content)]
    others = [Path(source).name for source, content in listed if not recognises(content)]
    if others and texts:
        _LOG.warning("%s: left out %s: not labels of YOLO's", options.file, ", ".join(others[:5]))
    tables = [_table(content.text, source, options) for source, content in texts]
    numbers = _frame_numbers([Path(source).stem for source, _ in texts])
    people: dict[Skeleton, list[Person]] = {}
    labels = any((table[2] > 1).any() for table in tables if table is not None)
    for (source, _), frame, table in zip(texts, numbers, tables, strict=True):
        if table is None:
            continue
        skeleton, xy, scores, tracks = table
        if options.image_size is None:
            raise InputError(
                f"{source}: coordinates are parts of the picture (0 to 1): pass its size, --image-size WIDTH HEIGHT "
                "(image_size=(width, height) in Python)"
            )
        confidence = scores / 2 if labels else scores
        for i, (place, score) in enumerate(zip(xy * np.array(options.image_size), confidence, strict=True)):
            person = i if tracks is None else int(tracks[i])
            people.setdefault(skeleton, []).append(Person(frame, person, place, score, source=source))
    return [Detections.from_people(group, skeleton, options) for skeleton, group in people.items()]


def _table(text: str, source: str, options: Options) -> tuple[Skeleton, Array, Array, Array | None] | None:
    """Order, xy (people, joints, 2) as parts of the picture, confidence (people, joints), and track ids."""
    rows = [(i, line.split()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not rows:
        return None
    what = f"{source}: line " if source != options.file else "line "
    width = len(rows[0][1])
    columns = _columns(width, options.skeleton)
    for i, words in rows:
        stranger = next((word for word in words if not _is_number(word)), None)
        if stranger is not None:
            raise InputError(f"{what}{i}: expected numbers, found {describe(stranger)}")
        if not columns or len(words) != width:
            usual = "56 (17 joints x 3), or 57 or 58 with confidence and track"
            raise InputError(
                f"{what}{i}: {len(words)} numbers; expected {width if columns else usual}"
                f"{skeleton_remedy(options.skeleton)}"
            )
    assert columns is not None
    skeleton, joints, per_joint = columns
    values = np.array([[float(word) for word in words] for _, words in rows])
    keypoints = values[:, _LEADING : _LEADING + joints * per_joint].reshape(len(rows), joints, per_joint)
    keypoints = keypoints[:, : len(skeleton)]
    scores = keypoints[..., 2] if per_joint == 3 else np.where((keypoints == 0).all(-1), 0.0, 1.0)
    rest = values[:, _LEADING + joints * per_joint :]
    # Of one number more the confidence is a fraction, the track a whole number.
    whole = rest.shape[1] > 0 and bool((rest[:, -1] == np.round(rest[:, -1])).all() and (rest[:, -1] >= 1).all())
    tracks = rest[:, -1] if rest.shape[1] == 2 or whole else None
    return skeleton, keypoints[..., :2], scores, tracks


def _columns(count: int, skeleton: Skeleton | None) -> tuple[Skeleton, int, int] | None:
    """Order, joints and numbers per joint of lines of so many numbers."""
    for joints, order in unnamed_layout(skeleton).items():
        for per_joint in (3, 2) if joints == 17 or skeleton is not None else (3,):
            if 0 <= count - _LEADING - joints * per_joint <= 2:
                return order, joints, per_joint
    return None


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


def _frame_numbers(stems: Sequence[str]) -> list[int]:
    """The last number of each name where no two are the same, else positions."""
    found = [re.findall(r"\d+", stem)[-1:] for stem in stems]
    numbers = [int(digits[0]) for digits in found if digits and len(digits[0]) < 19]
    return numbers if len(set(numbers)) == len(stems) and len(stems) > 1 else list(range(len(stems)))
