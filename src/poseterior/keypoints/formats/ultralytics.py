"""What Ultralytics' ``result.to_json()`` writes: the people of a picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...files.checks import Array, as_list, as_object, numbers
from ...files.errors import InputError
from ...files.texts import parse_json
from ...geometry.skeletons import Skeleton
from ..detections import Detections, Options, Person, track
from ..documents import first_entry
from ..joint_names import skeleton_remedy, unnamed_layout

NAME = "ultralytics"
ABOUT = (
    "Ultralytics result.to_json(): people as {box, keypoints: {x: [...], y: [...], visible: [...]}}, or a list of these"
)
SCORES = "probability"
EXAMPLE = (
    '[{"name": "person", "class": 0, "confidence": 0.91, "box": {"x1": 240.0, "y1": 70.0, "x2": 400.0, "y2": 430.0}, '
    f'"keypoints": {{"x": {[320.0 + i for i in range(17)]}, "y": {[90.0 + 20 * i for i in range(17)]}, '
    f'"visible": {[0.9] * 17}}}}}]'
)


def recognises(data: Any) -> int:
    """People, or frames of people, whose keypoints are apart by axis."""
    entry = _first(data) if isinstance(data, list) else None
    person = first_entry(entry) if isinstance(entry, list) else entry
    if not isinstance(person, dict) or not isinstance(person.get("keypoints"), dict):
        return 0
    return 2 + ("box" in person) if {"x", "y"} <= set(person["keypoints"]) else 0


def read(data: Any, options: Options) -> list[Detections]:
    """A list of people ``{box, confidence, keypoints: {x, y, visible}}``, or a list of such lists, one for each frame.

    A frame may also be a text that holds the JSON. ``visible`` is the confidence of each joint, 1 where it is not
    there; ``track_id`` is the person, where it is there.
    """
    layout = unnamed_layout(options.skeleton)
    remedy = skeleton_remedy(options.skeleton, "; name other joint orders with --skeleton")
    groups: dict[Skeleton, list[Person]] = {}
    for frame, what, people in _frames(as_list(data, "file")):
        for i, entry in enumerate(people):
            if not entry:
                continue
            where = f"{what}person {i}"
            entry = as_object(entry, where)
            if not entry.get("keypoints"):  # a detection without them
                continue
            xy, confidence = _keypoints(entry["keypoints"], f"{where}.keypoints")
            if len(xy) not in layout:
                counts = " or ".join(map(str, layout))
                raise InputError(f"{where}.keypoints: {len(xy)} joints; expected {counts}{remedy}")
            skeleton = layout[len(xy)]
            joints = len(skeleton)
            person, tracked = track(entry.get("track_id"), i)
            found = Person(frame, person, xy[:joints], confidence[:joints], tracked=tracked)
            groups.setdefault(skeleton, []).append(found)
    return [Detections.from_people(people, skeleton, options) for skeleton, people in groups.items()]


def _frames(data: list[Any]) -> Iterator[tuple[int, str, list[Any]]]:
    """Number, name for messages, and people of each frame."""
    if isinstance(_first(data), dict):
        yield 0, "", data
        return
    for frame, content in enumerate(data):
        people = _parsed(content)
        yield frame, f"frame {frame}, ", [] if people is None else as_list(people, f"frame {frame}")


def _first(data: list[Any]) -> Any:
    """The first frame with people, or person."""
    return next((found for found in map(_parsed, data) if found), None)


def _parsed(frame: Any) -> Any:
    try:
        return parse_json(frame) if isinstance(frame, str) else frame
    except InputError:
        return frame


def _keypoints(value: Any, what: str) -> tuple[Array, Array]:
    keypoints = as_object(value, what, "x", "y")
    x, y = numbers(keypoints["x"], f"{what}.x"), numbers(keypoints["y"], f"{what}.y")
    visible = keypoints.get("visible")
    confidence = np.ones(len(x)) if visible is None else numbers(visible, f"{what}.visible")
    if not len(x) == len(y) == len(confidence):
        raise InputError(f"{what}: {len(x)} x, {len(y)} y, {len(confidence)} visible; expected as many of each")
    return np.stack([x, y], -1), confidence
