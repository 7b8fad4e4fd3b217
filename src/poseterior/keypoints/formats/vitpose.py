"""What Hugging Face's ViTPose processor returns, written as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...files.checks import Array, as_list, as_object, describe, numbers
from ...files.errors import InputError
from ...geometry.skeletons import Skeleton
from ..detections import Detections, Options, Person, points
from ..documents import first_entry
from ..joint_names import skeleton_remedy, unnamed_layout

NAME = "vitpose"
ABOUT = "ViTPose of Hugging Face: for each image a list of {scores, keypoints: [[x, y], ...], labels, bbox}"
SCORES = "probability"
EXAMPLE = (
    f'[[{{"scores": {[0.9] * 17}, "keypoints": {[[320.0 + i, 90.0 + 20 * i] for i in range(17)]}, '
    f'"labels": {list(range(17))}, "bbox": [240.0, 70.0, 400.0, 430.0]}}]]'
)


def recognises(data: Any) -> int:
    """People who have keypoints, scores and labels, each for every joint."""
    entry = first_entry(data) if isinstance(data, list) else None
    person = first_entry(entry) if isinstance(entry, list) else entry
    if not isinstance(person, dict) or not {"keypoints", "scores", "labels"} <= set(person):
        return 0
    return 4 if all(isinstance(person[field], list) for field in ("keypoints", "scores", "labels")) else 0


def read(data: Any, options: Options) -> list[Detections]:
    """Lists of people, one list for each image; also the people of one image.

    ``labels`` are the joints' numbers: those below the processor's threshold are not listed, and are missing. COCO's 17
    joints, or the order asked for.
    """
    listed = as_list(data, "file")
    frames = [listed] if isinstance(first_entry(listed), dict) else listed
    skeleton = options.skeleton or unnamed_layout(None)[17]
    people: list[Person] = []
    for frame, content in enumerate(frames):
        for i, entry in enumerate(as_list(content or [], f"frame {frame}")):
            if entry:
                people.append(Person(frame, i, *_person(entry, f"frame {frame}, person {i}", skeleton, options)))
    return [Detections.from_people(people, skeleton, options)] if people else []


def _person(entry: Any, what: str, skeleton: Skeleton, options: Options) -> tuple[Array, Array]:
    entry = as_object(entry, what, "keypoints", "scores", "labels")
    found, _ = points(entry["keypoints"], f"{what}.keypoints")
    scores, labels = (numbers(entry[field], f"{what}.{field}") for field in ("scores", "labels"))
    if not len(found) == len(scores) == len(labels):
        raise InputError(
            f"{what}: {len(found)} keypoints, {len(scores)} scores, {len(labels)} labels; expected as many"
        )
    joints = len(skeleton)
    wrong = ~np.isin(labels, np.arange(joints))
    if wrong.any():
        remedy = skeleton_remedy(options.skeleton, "; name other joint orders with --skeleton")
        shown = describe(labels[wrong][0].item())
        raise InputError(f"{what}.labels: joint {shown}; expected 0 to {joints - 1} ({skeleton.name}){remedy}")
    xy, confidence = np.full((joints, 2), np.nan), np.zeros(joints)
    xy[labels.astype(int)], confidence[labels.astype(int)] = found, scores
    return xy, confidence
