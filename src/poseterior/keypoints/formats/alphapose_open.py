"""AlphaPose's ``--format open`` and ``--format cmu``: OpenPose's frames in one file, by the names of the images."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..detections import Detections, FrameNumbers, Options, Person
from ..documents import first_entry
from ..joint_names import temporary_skeleton
from . import openpose

NAME = "alphapose-open"
ABOUT = 'AlphaPose --format open or cmu: {"0.jpg": {version, people or bodies}, ...}; OpenPose frames by name'
SCORES = "probability"
EXAMPLE = (
    '{"0.jpg": {"version": "AlphaPose v0.3", "people": [{"pose_keypoints_2d": ['
    + ", ".join(f"{320 + i}.5, {90 + 10 * i}.0, 0.9" for i in range(18))
    + "]}]}}"
)

_LOG = logging.getLogger(__name__)


def recognises(data: Any) -> int:
    """Frames by name, or a frame that says that it is AlphaPose's."""
    if not isinstance(data, dict):
        return 0
    frame = first_entry(list(data.values()))
    if openpose.recognises(frame):
        return 2 + _is_alphapose(frame)
    return 4 if openpose.recognises(data) and _is_alphapose(data) else 0


def read(data: Any, options: Options) -> list[Detections]:
    """An object of OpenPose's frames, ``{people: [{pose_keypoints_2d}]}`` or ``{bodies: [{joints}]}``, by image.

    AlphaPose puts the middle of the shoulders where COCO-18 has the neck if its model has COCO's 17 joints. If it has
    Halpe's, the place holds the top of the head, which is told from where it stands.
    """
    frames = FrameNumbers()
    names: list[str] = []
    by_name = {"": data} if openpose.recognises(data) else data
    people: dict[int, list[Person]] = {}

    def contents() -> Iterator[tuple[str, Any]]:
        for name, content in by_name.items():
            names.append(name)
            yield options.file, content

    for position, person in openpose.people_of(contents(), options):
        if names[position]:
            person.frame = frames.place(names[position], f"image {names[position]!r}")[0]
        people.setdefault(len(person.xy), []).append(person)
    return [_stack(group, by_name, options) for group in people.values()]


def _stack(people: list[Person], by_name: dict[str, Any], options: Options) -> Detections:
    if len(people[0].xy) != 18 or options.skeleton is not None or not any(map(_is_alphapose, by_name.values())):
        return openpose.stack_order(people, options)
    if not _second_is_crown(people):
        return openpose.stack_order(people, options)
    _LOG.warning(
        "%s: the second joint is the top of the head, not the neck (AlphaPose with a Halpe model)", options.file
    )
    order = [joint if joint != "neck" else "head_top" for joint in openpose.COCO18]
    return openpose.stack(people, temporary_skeleton(order), options)


def _second_is_crown(people: Sequence[Person]) -> bool:
    """Whether the joint after the nose stands, for most, farther from the shoulders than the nose does."""
    xy = openpose.places(people)
    middle = (xy[:, 2] + xy[:, 5]) / 2
    farther = np.linalg.norm(xy[:, 1] - middle, axis=-1) - np.linalg.norm(xy[:, 0] - middle, axis=-1)
    farther = farther[~np.isnan(farther)]
    return bool(len(farther)) and bool(np.median(farther) > 0)


def _is_alphapose(frame: Any) -> bool:
    version = frame.get("version") if isinstance(frame, dict) else None
    return (isinstance(version, str) and "alphapose" in version.lower()) or "bodies" in (frame or ())
