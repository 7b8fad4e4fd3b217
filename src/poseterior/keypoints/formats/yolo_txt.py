"""YOLO's pose labels, as Ultralytics' ``save_txt`` and its data sets write them: a text file for each picture."""

from __future__ import annotations

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
#: Numbers in front of the keypoints: the class and the box.
_LEADING = 5


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
    set's label where all are whole: 0 missing, 1 hidden from view, 2 seen. Needs the size of the picture.
    """
    table = _table(data.text, options)
    if table is None:
        return []
    if options.image_size is None:
        raise InputError(
            "coordinates are parts of the picture (0 to 1): pass its size, --image-size WIDTH HEIGHT "
            "(image_size=(width, height) in Python)"
        )
    skeleton, xy, confidence, tracks = table
    people = [
        Person(0, i if tracks is None else int(tracks[i]), place, scores, tracked=tracks is not None)
        for i, (place, scores) in enumerate(zip(xy * np.array(options.image_size), confidence, strict=True))
    ]
    return [Detections.from_people(people, skeleton, options)]


def _table(text: str, options: Options) -> tuple[Skeleton, Array, Array, Array | None] | None:
    """Order, xy (people, joints, 2) as parts of the picture, confidence (people, joints), and track ids."""
    rows = [(i, line.split()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not rows:
        return None
    width = len(rows[0][1])
    columns = _columns(width, options.skeleton)
    for i, words in rows:
        stranger = next((word for word in words if not _is_number(word)), None)
        if stranger is not None:
            raise InputError(f"line {i}: expected numbers, found {describe(stranger)}")
        if not columns or len(words) != width:
            usual = "56 (17 joints x 3), or 57 or 58 with confidence and track"
            raise InputError(
                f"line {i}: {len(words)} numbers; expected {width if columns else usual}"
                f"{skeleton_remedy(options.skeleton)}"
            )
    assert columns is not None
    skeleton, joints, per_joint = columns
    values = np.array([[float(word) for word in words] for _, words in rows])
    keypoints = values[:, _LEADING : _LEADING + joints * per_joint].reshape(len(rows), joints, per_joint)
    keypoints = keypoints[:, : len(skeleton)]
    scores = keypoints[..., 2] if per_joint == 3 else np.where((keypoints == 0).all(-1), 0.0, 1.0)
    if per_joint == 3 and np.isin(scores, (0, 1, 2)).all():
        scores = scores / 2
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
