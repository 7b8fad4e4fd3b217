"""Label Studio's JSON exports of keypoint labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from ...files.checks import as_list, as_name, as_object, describe, number
from ...files.errors import InputError
from ..detections import Detections, FrameNumbers, Options, size_pair
from ..documents import first_entry
from ..named_people import NamedPerson, stack_named

NAME = "label-studio"
ABOUT = "Label Studio's JSON or JSON-MIN export of keypoint labels, in percent of the picture"
SCORES = "probability"
EXAMPLE = (
    '[{"id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-street.jpg"}, "annotations": [{"id": 1, "result": ['
    + ", ".join(
        '{"original_width": 640, "original_height": 480, "value": '
        f'{{"x": {50 + i}.5, "y": {20 + 10 * i}.0, "width": 0.5, "keypointlabels": ["{name}"]}}, "id": "r{i}", '
        '"from_name": "kp", "to_name": "image", "type": "keypointlabels"}'
        for i, name in enumerate(("nose", "left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_ankle"))
    )
    + "]}]}]"
)

_LOG = logging.getLogger(__name__)


def recognises(data: Any) -> int:
    """Tasks with annotations that have results, or fields that hold keypoint labels."""
    task = first_entry(data)
    if not isinstance(task, dict):
        return 0
    if isinstance(task.get("annotations"), list) and ("data" in task or _has_result(first_entry(task["annotations"]))):
        return 3
    return 3 if any(_is_label(first_entry(value)) for value in task.values() if isinstance(value, list)) else 0


def _has_result(annotation: Any) -> bool:
    return isinstance(annotation, dict) and "result" in annotation


def read(data: Any, options: Options) -> list[Detections]:
    """Each task is a picture; of its annotations the first that was not cancelled counts.

    Joints of one person are tied to the person's box, by ``parentID`` or by a relation; without boxes there is one
    person in each picture. Labels have no confidence.
    """
    tasks = data if isinstance(data, list) else [data]
    frames = FrameNumbers()
    people: list[NamedPerson] = []
    several = 0
    for i, task in enumerate(tasks):
        what = f"task {i}"
        task = as_object(task, what)
        regions, more = _regions(task, what)
        several += more
        picture = _picture(task)
        identity = task.get("id", i)
        for group in _people(regions, what):
            frame, person = frames.place(picture or (identity if isinstance(identity, int) else i), what)
            size = _size(group[0], what)
            joints = _joints(group, what, size)
            people.append(NamedPerson(frame, person, joints, picture, size))
    if several:
        _LOG.warning(
            "%s: %d pictures are annotated more than once; the first annotation is read", options.file, several
        )
    return stack_named(people, "keypointlabels", options)


def _regions(task: dict[str, Any], what: str) -> tuple[list[dict[str, Any]], bool]:
    """What is drawn in a picture, and whether it was annotated more than once."""
    if "annotations" not in task and "completions" not in task:  # JSON-MIN: the fields of the labels, flat
        found = [
            {"value": region, **{k: v for k, v in region.items() if k in ("original_width", "original_height", "id")}}
            for value in task.values()
            if isinstance(value, list)
            for region in value
            if isinstance(region, dict)
        ]
        return found, False
    listed = as_list(task.get("annotations", task.get("completions")) or [], f"{what}.annotations")
    valid = [
        entry
        for entry in (as_object(entry, f"{what}.annotations[{i}]") for i, entry in enumerate(listed))
        if not entry.get("was_cancelled") and entry.get("result")
    ]
    if not valid:
        return [], False
    result = as_list(valid[0]["result"], f"{what}.annotations[0].result")
    return [as_object(region, f"{what}.result[{i}]") for i, region in enumerate(result)], len(valid) > 1


def _is_label(region: Any) -> bool:
    return isinstance(region, dict) and "keypointlabels" in region


def _people(regions: list[dict[str, Any]], what: str) -> Iterator[list[dict[str, Any]]]:
    """The joints of each person."""
    labels = [region for region in regions if _is_label(region.get("value"))]
    joints = {_name(region.get("id")) for region in labels}
    owner: dict[str, str] = {}
    for relation in regions:
        ends = _name(relation.get("from_id")), _name(relation.get("to_id"))
        if relation.get("type") == "relation" and (ends[0] in joints) != (ends[1] in joints):
            joint, box = ends if ends[0] in joints else ends[::-1]
            owner[joint] = box
    groups: dict[str, list[dict[str, Any]]] = {}
    for region in labels:
        identity = _name(region.get("id"))
        groups.setdefault(_name(region.get("parentID")) or owner.get(identity, ""), []).append(region)
    yield from groups.values()


def _name(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _joints(group: list[dict[str, Any]], what: str, size: tuple[float, float]) -> dict[str, tuple[float, float, float]]:
    joints: dict[str, tuple[float, float, float]] = {}
    for region in group:
        value = as_object(region["value"], what, "x", "y", "keypointlabels")
        labels = as_list(value["keypointlabels"], f"{what}.keypointlabels")
        if not labels:
            continue
        name = as_name(labels[0], f"{what}.keypointlabels")
        if name in joints:
            raise InputError(
                f"{what}: {describe(name)} is there twice; tie each person's joints to a box of their own (drag them "
                "into its region, or draw relations)"
            )
        x, y = number(value["x"], f"{what}.{name}.x"), number(value["y"], f"{what}.{name}.y")
        joints[name] = (x / 100 * size[0], y / 100 * size[1], 1.0)
    return joints


def _size(region: dict[str, Any], what: str) -> tuple[float, float]:
    where = f"{what}: original_width, original_height"
    region = as_object(region, what, "original_width", "original_height")
    return size_pair([number(region["original_width"], where), number(region["original_height"], where)], where)


def _picture(task: dict[str, Any]) -> str | None:
    """The name of the picture, as it was before it was uploaded."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    texts = [
        value
        for value in data.values()
        if isinstance(value, str) and "." in value and ("/" in value or " " not in value)
    ]
    if isinstance(task.get("file_upload"), str):
        texts.insert(0, task["file_upload"])
    name = texts[0].split("?")[0].replace("\\", "/").rsplit("/", 1)[-1] if texts else ""
    start, _, rest = name.partition("-")
    uploaded = len(start) == 8 and all(letter in "0123456789abcdef" for letter in start)
    return (rest if uploaded and rest else name) or None
