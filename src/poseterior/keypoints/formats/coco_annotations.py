"""COCO's annotations: people marked in photographs, the joints named by the category."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from ...files.checks import Array, as_list, as_object, cut, describe, number, quote
from ...files.errors import InputError
from ...geometry.skeletons import Skeleton
from ..detections import Detections, FrameNumbers, Options, Person, size_pair, track, triples
from ..joint_names import (
    covering_skeleton,
    resolve_names,
    say_names,
    skeleton_remedy,
    temporary_skeleton,
    unnamed_layout,
)

NAME = "coco-annotations"
ABOUT = "COCO ground truth: {images, annotations, categories}; names, sizes are used"
EXAMPLE = (
    '{"images": [{"id": 1, "file_name": "000001.jpg", "width": 640, "height": 480}], "annotations": [{"id": 1, '
    '"image_id": 1, "category_id": 1, "num_keypoints": 17, "keypoints": ['
    + ", ".join(f"{320 + i}, {90 + 20 * i}, 2" for i in range(17))
    + ']}], "categories": [{"id": 1, "name": "person"}]}'
)
#: The labels become confidences here.
SCORES = "probability"

#: Confidence that stands for COCO's v: not labelled, labelled but hidden from view, labelled and seen.
VISIBILITY_CONFIDENCE = (0.0, 0.5, 1.0)

_LOG = logging.getLogger(__name__)


def recognises(data: Any) -> int:
    """An object with images and annotations."""
    return 2 if isinstance(data, dict) and "images" in data and "annotations" in data else 0


def read(data: Any, options: Options) -> list[Detections]:
    """COCO's ground truth: ``{images, annotations, categories}``.

    ``v`` = 0 is a missing joint, 1 (labelled, not seen) has confidence 0.5, 2 has confidence 1. Crowds and
    people without a labelled joint are skipped, and counted in a warning.
    """
    data = as_object(data, "file", "images", "annotations")
    images: dict[Any, dict[str, Any]] = {}
    for i, image in enumerate(as_list(data["images"], "images")):
        identity = as_object(image, f"images[{i}]", "id")["id"]
        if not isinstance(identity, (int, str)):
            raise InputError(f"images[{i}].id: expected a number or a name, found {describe(identity)}")
        images[identity] = image
    names = _category_names(data.get("categories"), options)
    layout = unnamed_layout(options.skeleton)

    frames = FrameNumbers()
    groups: dict[tuple[str, ...] | Skeleton, list[Person]] = {}
    skipped = 0
    for i, note in enumerate(as_list(data["annotations"], "annotations")):
        what = f"annotation {i}"
        note = as_object(note, what, "image_id")
        if note.get("iscrowd") or note.get("num_keypoints", 1) == 0 or "keypoints" not in note:
            skipped += 1
            continue
        category = note.get("category_id")
        joints = names.get(category) if isinstance(category, (int, str)) else None
        counts = tuple(layout) if joints is None else (len(joints),)
        remedy = skeleton_remedy(options.skeleton) if joints is None else ""
        xy, labels = triples(note["keypoints"], f"{what}.keypoints", counts, remedy)
        confidence = _label_confidence(labels, what)
        if not (confidence > 0).any():
            skipped += 1
            continue
        image = images.get(note["image_id"]) if isinstance(note["image_id"], (int, str)) else None
        file = None if image is None else image.get("file_name")
        frame, person = frames.place(note["image_id"], what, file)
        if image is None:
            raise InputError(f"{what}.image_id: image {note['image_id']!r} is not in 'images'")
        person, tracked = track(note.get("track_id", _attribute(note, "track_id")), person)
        kept = list(range(len(layout[len(xy)]))) if joints is None else [j for j, n in enumerate(joints) if n]
        key = layout[len(xy)] if joints is None else tuple(n for n in joints if n)
        groups.setdefault(key, []).append(
            Person(
                frame,
                person,
                xy[kept],
                confidence[kept],
                file=file if isinstance(file, str) else None,
                source=options.file,
                image_size=_image_size(image),
                tracked=tracked,
            )
        )
    if skipped:
        _LOG.warning("%s: skipped %d annotations (crowds or no labelled joint)", options.file, skipped)
    return [_stack(key, people, options) for key, people in groups.items()]


def _attribute(note: dict[str, Any], name: str) -> Any:
    """What CVAT and Datumaro keep beside COCO's own fields."""
    attributes = note.get("attributes")
    return attributes.get(name) if isinstance(attributes, dict) else None


def _stack(key: tuple[str, ...] | Skeleton, people: list[Person], options: Options) -> Detections:
    if isinstance(key, Skeleton):
        return Detections.from_people(people, key, options)
    target = covering_skeleton(key, options.skeleton)
    skeleton = target if key == target.joints else temporary_skeleton(key)
    found = Detections.from_people(people, skeleton, options)
    found.target = target
    return found


def _category_names(categories: Any, options: Options) -> dict[Any, list[str | None]]:
    """Category id -> our names of its joints, for the categories that name at least one joint we know."""
    names: dict[Any, list[str | None]] = {}
    read: list[list[str]] = []
    for i, category in enumerate(as_list(categories or [], "categories")):
        category = as_object(category, f"categories[{i}]")
        identity = category.get("id")
        if isinstance(identity, (int, str)) and category.get("keypoints"):
            listed = category["keypoints"]
            found = resolve_names(listed, f"categories[{i}].keypoints", options.skeleton)
            if any(found):
                names[identity] = found
                read.append(listed)
            else:
                unknown = cut(", ".join(map(quote, listed)))
                _LOG.warning(
                    "%s: categories[%d] names no joint that we know (%s); its joints are read by their number",
                    options.file, i, unknown,
                )  # fmt: skip
    say_names(options.file, read, options.skeleton)
    return names


def _label_confidence(labels: Array, what: str) -> Array:
    bad = ~np.isin(labels, (0.0, 1.0, 2.0))
    if bad.any():
        place = int(bad.argmax())
        raise InputError(
            f"{what}.keypoints: joint {place} has v = {labels[place]}; expected 0 (missing), "
            "1 (hidden from view) or 2 (seen)"
        )
    return np.array(VISIBILITY_CONFIDENCE)[labels.astype(int)]


def _image_size(image: dict[str, Any]) -> tuple[float, float] | None:
    if image.get("width") is None or image.get("height") is None:
        return None
    what = "images: width, height"
    return size_pair([number(image["width"], what), number(image["height"], what)], what)
