"""MediaPipe's 33 pose landmarks, as lists of ``{x, y, z, visibility, presence}``."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from ...files.checks import Array, as_index, as_list, as_object, describe, numbers
from ...files.errors import InputError
from ...geometry.skeletons import get_skeleton
from ..depths import IK
from ..detections import Detections, Options, Person, is_nobody, size_pair
from ..documents import first_entry, innermost
from ..joint_names import meant_joints, refuse_unknown

NAME = "mediapipe"
ABOUT = "MediaPipe's 33 landmarks {x, y, visibility}, normalised (needs the image size) or pixels"
#: Visibility and presence are probabilities.
SCORES = "probability"
EXAMPLE = (
    "[["
    + ", ".join(f'{{"x": {320 + 2 * i}.5, "y": {90 + 10 * i}.0, "z": -0.3, "visibility": 0.99}}' for i in range(33))
    + "]]"
)

_LOG = logging.getLogger(__name__)

#: What a landmark says of itself, as probabilities.
_SCORE_FIELDS = ("visibility", "presence")
#: What a landmark is called, and its number.
_NAME_FIELDS, _NUMBER_FIELDS = ("name", "landmark", "part", "joint"), ("id", "index", "idx", "landmark_id")
#: The middle of the hips, the origin of world landmarks, is within this (m) of it.
_AT_ORIGIN = 0.02

#: Where the landmarks of a frame may be (Tasks API, its JSON spelling, the older solutions API).
_LANDMARK_FIELDS = ("pose_landmarks", "poseLandmarks", "landmarks", "landmark")


def _is_landmark(value: Any) -> bool:
    """Whether this is one ``{x, y, …}`` landmark."""
    return isinstance(value, dict) and "x" in value and "y" in value


def recognises(data: Any) -> int:
    """Landmarks, lists of them, or objects that hold them."""
    entry = first_entry(data)
    if isinstance(data, list) and _is_landmark(innermost(entry)):
        return 2
    return int(isinstance(entry, dict) and any(field in entry for field in _LANDMARK_FIELDS))


def read(data: Any, options: Options) -> list[Detections]:
    """One frame (33 landmarks, or ``pose_landmarks`` of one or several people) or a list of frames.

    ``visibility`` (times ``presence``, where given) is the confidence; z is not used. One that is 0 for every landmark
    of the file was never set (the older solutions API does not set ``presence``) and is not used either. Coordinates
    may be normalised: ``image_size`` (or ``width``, ``height``) from the file, else the caller's, makes them pixels.

    Raises:
        InputError: not 33 landmarks; world landmarks, which are 3D.
    """
    whole_size = _image_size(data)
    frames = data if isinstance(data, list) and not (data and _is_landmark(data[0])) else [data]
    people: list[Person] = []
    scores: list[Array] = []
    for i, frame in enumerate(frames):
        index = as_index(_first(frame, ("frame_id", "frame", "frame_index")), i)
        size = _image_size(frame) or whole_size or options.image_size
        for j, landmarks in enumerate(_people(frame, f"frame {index}")):
            xy, given = _landmarks(landmarks, f"frame {index}, person {j}")
            people.append(Person(index, j, xy, np.ones(33), image_size=size))
            scores.append(given)
    if not people:
        return []
    refuse_world(np.stack([person.xy for person in people]))
    for person, confidence in zip(people, _confidence(np.stack(scores), options), strict=True):
        person.confidence = confidence
    found = Detections.from_people(people, get_skeleton("mediapipe33"), options)
    found.normalised = "unit"
    return [found]


def _first(value: Any, fields: tuple[str, ...]) -> Any:
    return next((value[f] for f in fields if f in value), None) if isinstance(value, dict) else None


def _image_size(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, dict):
        return None
    if value.get("image_size") is not None:
        return size_pair(value["image_size"], "image_size")
    width, height = _first(value, ("width", "image_width")), _first(value, ("height", "image_height"))
    return None if width is None or height is None else size_pair([width, height], "width, height")


def _people(frame: Any, what: str) -> list[list[Any]]:
    """The landmark lists of a frame, whichever way it nests them."""
    if is_nobody(frame):
        return []
    if isinstance(frame, dict):
        field = next((f for f in _LANDMARK_FIELDS if f in frame), None)
        if field is None:
            raise InputError(f"{what}: no 'pose_landmarks'; found {describe(frame)}")
        return _people(frame[field], what)
    entries = as_list(frame, what)
    if entries and _is_landmark(entries[0]):
        return [entries]
    return [person for entry in entries for person in _people(entry, what)]


def _landmarks(landmarks: list[Any], what: str) -> tuple[Array, Array]:
    if len(landmarks) != 33:
        raise InputError(f"{what}: {len(landmarks)} landmarks; MediaPipe's pose has 33")
    rows = _in_order([as_object(mark, f"{what}, landmark {i}", "x", "y") for i, mark in enumerate(landmarks)], what)
    x, y = (numbers([row[axis] for row in rows], f"{what}.{axis}") for axis in "xy")
    scores = np.stack([numbers([row.get(field) for row in rows], f"{what}.{field}") for field in _SCORE_FIELDS])
    if (scores < 0).any():
        field, place = np.argwhere(scores < 0)[0]
        joint = get_skeleton("mediapipe33").joints[place]
        raise InputError(f"{what}, joint {joint!r}: {_SCORE_FIELDS[field]} is {scores[field, place]}; expected 0 to 1")
    return np.stack([x, y], -1), scores


def _in_order(rows: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    """Landmarks in MediaPipe's order, where they say their names or numbers; else as they stand in the file."""
    joints = get_skeleton("mediapipe33").joints
    names = [_first(row, _NAME_FIELDS) for row in rows]
    if all(isinstance(name, str) for name in names):
        known = refuse_unknown(names, meant_joints(names), what)
        if sorted(known) != sorted(joints):
            twice = next((name for i, name in enumerate(names) if known[i] in known[:i]), None)
            wrong = twice or next(name for i, name in enumerate(names) if known[i] not in joints)
            raise InputError(f"{what}: {describe(wrong)} is there twice, or is none of MediaPipe's 33 landmarks")
        return [rows[known.index(joint)] for joint in joints]
    numbers = [_first(row, _NUMBER_FIELDS) for row in rows]
    if all(type(number) is int for number in numbers):
        first = min(numbers)
        if sorted(numbers) == list(range(first, first + len(rows))):
            return sorted(rows, key=lambda row: _first(row, _NUMBER_FIELDS))
    return rows


def _confidence(scores: Array, options: Options) -> Array:
    """``(people, 33)`` products of what is set of ``(people, 2, 33)`` visibility and presence, 1 where nothing is."""
    unset = (np.nan_to_num(scores) == 0).all((0, 2)) & ~np.isnan(scores).all((0, 2))
    for field in np.array(_SCORE_FIELDS)[unset]:
        _LOG.warning("%s: %s is 0 for every landmark, so it was never set and is not used", options.file, field)
    return np.where(np.isnan(scores) | unset[:, None], 1.0, scores).prod(1)


def refuse_world(xy: Array) -> None:
    """Refuse metres around the middle of the hips, which no picture has."""
    hips = [get_skeleton("mediapipe33").index(joint) for joint in ("left_hip", "right_hip")]
    middle = np.abs(xy[:, hips].mean(1))
    extent = np.abs(xy).max(-1)
    if not np.isfinite(extent).any() or np.nanmedian(extent) > 2:
        return
    if (middle < _AT_ORIGIN).all() and (np.nan_to_num(xy) < 0).any():
        raise InputError(
            "these are world landmarks (metres from the middle of the hips), not places in a picture: give "
            f"pose_landmarks, the others; {IK}"
        )
