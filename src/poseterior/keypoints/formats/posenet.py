"""Poses of TensorFlow.js (PoseNet, MoveNet, BlazePose) and of ml5: joints as objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...files.checks import as_index, as_list, as_object, describe, number
from ...files.errors import InputError
from ..detections import Detections, Options
from ..documents import first_entry
from ..joint_names import unnamed_layout
from ..named_people import NamedPerson, stack_named

NAME = "posenet"
ABOUT = "PoseNet, MoveNet, BlazePose of TensorFlow.js and ml5: {keypoints: [{name or part, x, y, score}, ...], score}"
SCORES = "probability"
EXAMPLE = (
    '[{"score": 0.93, "keypoints": ['
    + ", ".join(
        f'{{"name": "{name}", "x": {320 + 2 * i}.5, "y": {90 + 20 * i}.0, "score": 0.9}}'
        for i, name in enumerate(("nose", "left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_ankle"))
    )
    + "]}]"
)

#: What the confidence of a joint may be called.
_SCORES = ("score", "confidence", "visibility")


def recognises(data: Any) -> int:
    """A pose, people or frames of people, whose joints are objects with coordinates."""
    entry = data
    for _ in range(3):
        entry = first_entry(entry)
        if isinstance(entry, dict) and isinstance(entry.get("poses"), list):
            entry = first_entry(entry["poses"])
    joints = _pose(entry).get("keypoints") if isinstance(entry, dict) else None
    joint = first_entry(joints) if isinstance(joints, list) else None
    return 4 if isinstance(joint, dict) and ("position" in joint or {"x", "y"} <= set(joint)) else 0


def read(data: Any, options: Options) -> list[Detections]:
    """A pose, the people of one picture, or a list of these: one for each frame.

    A joint is ``{name, x, y, score}``, or ``{part, position: {x, y}, score}``; without names there must be COCO's 17.
    ``id`` is the track. Frames may also be ``{poses: [...]}``, and poses ``{pose: {...}}`` (ml5).
    """
    people: list[NamedPerson] = []
    for frame, poses in _frames(data):
        for i, entry in enumerate(poses):
            if not entry:
                continue
            what = f"frame {frame}, person {i}"
            pose = as_object(_pose(as_object(entry, what)), what, "keypoints")
            person = as_index(entry.get("id", pose.get("id")), i)
            people.append(NamedPerson(frame, person, _joints(pose["keypoints"], f"{what}.keypoints")))
    return stack_named(people, "keypoints", options)


def _frames(data: Any) -> Iterator[tuple[int, list[Any]]]:
    if isinstance(data, dict):
        yield 0, as_list(data["poses"], "poses") if "poses" in data else [data]
        return
    first = first_entry(as_list(data, "file"))
    if isinstance(first, dict) and "poses" not in first:
        yield 0, data
        return
    for frame, content in enumerate(data):
        index, poses = frame, content
        if isinstance(content, dict):
            index = as_index(content.get("frame"), frame)
            poses = content.get("poses", [content] if "keypoints" in content else [])
        yield index, as_list(poses or [], f"frame {index}")


def _pose(entry: dict[str, Any]) -> dict[str, Any]:
    inner = entry.get("pose")
    return inner if isinstance(inner, dict) else entry


def _joints(value: Any, what: str) -> dict[str, tuple[float, float, float]]:
    joints: dict[str, tuple[float, float, float]] = {}
    listed = as_list(value, what)
    coco = unnamed_layout(None)[17].joints
    for i, joint in enumerate(listed):
        where = f"{what}[{i}]"
        joint = as_object(joint, where)
        name = joint.get("name", joint.get("part"))
        if name is None and len(listed) == len(coco):
            name = coco[i]
        if not isinstance(name, str):
            raise InputError(f"{where}: expected the joint's name in 'name' or 'part', found {describe(name)}")
        if name in joints:
            raise InputError(f"{where}: joint {describe(name)} is there twice; expected each joint once")
        place = as_object(joint.get("position", joint), where, "x", "y")
        score = next((joint[field] for field in _SCORES if joint.get(field) is not None), 1.0)
        joints[name] = (
            number(place["x"], f"{where}.x"),
            number(place["y"], f"{where}.y"),
            number(score, f"{where}.score"),
        )
    return joints
