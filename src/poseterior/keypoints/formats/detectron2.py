"""Detectron2's predictions: its evaluator's, image by image, and the fields of ``Instances``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...files.checks import as_index, as_list, as_object, numbers
from ...files.errors import InputError
from ...geometry.skeletons import Skeleton
from ..detections import Detections, FrameNumbers, Options, Person, points, size_pair, triples
from ..documents import first_entry
from ..joint_names import skeleton_remedy, unnamed_layout

NAME = "detectron2"
ABOUT = "Detectron2: a list of {image_id, instances: [{bbox, score, keypoints}]}, or Instances with pred_keypoints"
#: The peak of the heat map's softmax.
SCORES = "peak"
EXAMPLE = (
    '[{"image_id": 3, "instances": [{"image_id": 3, "category_id": 0, "bbox": [240.0, 70.0, 160.0, 360.0], '
    '"score": 0.99, "keypoints": [' + ", ".join(f"{320 + i}.5, {90 + 20 * i}.0, 0.15" for i in range(17)) + "]}]}]"
)


def recognises(data: Any) -> int:
    """Images whose instances have flat keypoints, or instances with ``pred_keypoints``."""
    entry = first_entry(data)
    if not isinstance(entry, dict):
        return 0
    if _stacked(entry) is not None:
        return 4
    person = first_entry(entry.get("instances"))
    if "image_id" not in entry or not isinstance(person, dict):
        return 0
    keypoints = person.get("keypoints")
    return 3 if isinstance(keypoints, list) and keypoints and not isinstance(keypoints[0], list) else 0


def read(data: Any, options: Options) -> list[Detections]:
    """``[{image_id, instances: [{keypoints: [x, y, score] * joints}]}]``, or objects with ``pred_keypoints``.

    Of the latter, ``pred_keypoints`` is (people, joints, 3); they may be the field ``instances``, for one image or for
    a list of images; ``image_size`` is (height, width).
    """
    layout = unnamed_layout(options.skeleton)
    remedy = skeleton_remedy(options.skeleton, "; name other joint orders with --skeleton")
    frames = FrameNumbers()
    groups: dict[Skeleton, list[Person]] = {}
    for image_id, what, rows, size in _people(data):
        if isinstance(rows, list) and rows and isinstance(rows[0], list):
            xy, confidence = points(rows, what)
            if len(xy) not in layout:
                raise InputError(f"{what}: {len(xy)} joints; expected {' or '.join(map(str, layout))}{remedy}")
        else:
            xy, confidence = triples(rows, what, tuple(layout), remedy)
        skeleton = layout[len(xy)]
        frame, person = frames.place(image_id, what)
        joints = len(skeleton)
        found = Person(frame, person, xy[:joints], confidence[:joints], image_size=size)
        groups.setdefault(skeleton, []).append(found)
    return [Detections.from_people(people, skeleton, options) for skeleton, people in groups.items()]


def _people(data: Any) -> Iterator[tuple[Any, str, Any, tuple[float, float] | None]]:
    """Image, name for messages, keypoints and picture size of everybody."""
    for i, entry in enumerate(data if isinstance(data, list) else [data]):
        if not entry:
            continue
        entry = as_object(entry, f"image {i}")
        image_id = entry.get("image_id", i)
        fields = _stacked(entry)
        if fields is None:
            instances = as_list(as_object(entry, f"image {i}", "instances")["instances"], f"image {i}.instances")
            for j, instance in enumerate(instances):
                if instance:
                    what = f"image {i}, instance {j}"
                    yield image_id, f"{what}.keypoints", as_object(instance, what, "keypoints")["keypoints"], None
            continue
        size = None
        if fields.get("image_size") is not None:
            what = f"image {i}.image_size"
            size = size_pair(numbers(fields["image_size"], what)[::-1].tolist(), what)
        for j, rows in enumerate(as_list(fields["pred_keypoints"], f"image {i}.pred_keypoints")):
            yield as_index(image_id, i), f"image {i}.pred_keypoints[{j}]", rows, size


def _stacked(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The object that has ``pred_keypoints``: the entry, its ``instances``, or their ``fields``."""
    instances = entry.get("instances")
    for found in (entry, instances, entry.get("fields"), instances.get("fields") if isinstance(instances, dict) else 0):
        if isinstance(found, dict) and "pred_keypoints" in found:
            return found
    return None
