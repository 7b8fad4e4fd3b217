"""MediaPipe's 33 pose landmarks, as lists of ``{x, y, z, visibility, presence}``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...files.checks import Array, as_index, as_list, as_object, describe, numbers
from ...files.errors import InputError
from ...geometry.skeletons import get_skeleton
from ..detections import Detections, Options, Person, size_pair
from ..documents import first_entry, innermost

NAME = "mediapipe"
ABOUT = "MediaPipe's 33 landmarks {x, y, visibility}, normalised (needs the image size) or pixels"
EXAMPLE = (
    "[["
    + ", ".join(f'{{"x": {320 + 2 * i}.5, "y": {90 + 10 * i}.0, "z": -0.3, "visibility": 0.99}}' for i in range(33))
    + "]]"
)

#: Above this median of ``max(|x|, |y|)`` coordinates are pixels. Normalised ones of people half outside the
#: image pass 1, single joints even 2; their median does not.
PIXEL_THRESHOLD = 2.0

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

    ``visibility`` (times ``presence``, where given) is the confidence; z is not used. Normalised coordinates
    are turned into pixels with ``image_size`` (or ``width``, ``height``) from the file, else the caller's.

    Raises:
        InputError: normalised coordinates and no image size; not 33 landmarks.
    """
    whole_size = _image_size(data)
    frames = data if isinstance(data, list) and not (data and _is_landmark(data[0])) else [data]
    people: list[Person] = []
    for i, frame in enumerate(frames):
        index = as_index(_first(frame, ("frame_id", "frame", "frame_index")), i)
        size = _image_size(frame) or whole_size or options.image_size
        for j, landmarks in enumerate(_people(frame, f"frame {index}")):
            xy, confidence = _landmarks(landmarks, f"frame {index}, person {j}")
            people.append(Person(index, j, xy, confidence, image_size=size))
    _to_pixels(people)
    return [Detections.from_people(people, get_skeleton("mediapipe33"), options)] if people else []


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
    if frame is None:
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
    rows = [as_object(mark, f"{what}, landmark {i}", "x", "y") for i, mark in enumerate(landmarks)]
    x, y = (numbers([row[axis] for row in rows], f"{what}.{axis}") for axis in "xy")
    confidence = np.ones(33)
    for field in ("visibility", "presence"):
        given = numbers([row.get(field) for row in rows], f"{what}.{field}")
        if (given < 0).any():
            place = int((given < 0).argmax())
            joint = get_skeleton("mediapipe33").joints[place]
            raise InputError(f"{what}, joint {joint!r}: {field} is {given[place]}; expected 0 to 1")
        confidence = confidence * np.where(np.isnan(given), 1.0, given)
    return np.stack([x, y], -1), confidence


def _to_pixels(people: list[Person]) -> None:
    """Scale normalised coordinates by the image size, in place."""
    if not people:
        return
    reach = np.abs(np.stack([person.xy for person in people])).max(-1)
    if np.isnan(reach).all() or np.nanmedian(reach) > PIXEL_THRESHOLD:
        return
    for person in people:
        if person.image_size is None:
            raise InputError(
                f"frame {person.frame}, person {person.person}: normalised landmarks (0 to 1) need the size "
                "of the image: pass --image-size WIDTH HEIGHT (image_size=(width, height) in Python)"
            )
        person.xy = person.xy * np.array(person.image_size)
