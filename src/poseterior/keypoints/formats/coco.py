"""COCO keypoint results and annotations, and AlphaPose (which writes COCO-like results)."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from ...files.checks import Array, as_index, as_list, as_object, describe, number
from ...files.errors import InputError
from ...geometry.skeletons import Skeleton
from .common import (
    Detections,
    Options,
    Person,
    covering_skeleton,
    resolve_names,
    size_pair,
    skeleton_remedy,
    temporary_skeleton,
    triples,
    unnamed_layout,
)

_LOG = logging.getLogger(__name__)

#: Confidence that stands for COCO's v: not labelled, labelled but hidden from view, labelled and seen.
VISIBILITY_CONFIDENCE = (0.0, 0.5, 1.0)


class _Frames:
    """Numbers images in order of first appearance and people within each."""

    def __init__(self) -> None:
        self._frames: dict[Any, int] = {}
        self._people: dict[int, int] = {}

    def place(self, image_id: Any, what: str) -> tuple[int, int]:
        if not isinstance(image_id, (int, str)):
            raise InputError(f"{what}.image_id: expected a number or a name, found {describe(image_id)}")
        frame = self._frames.setdefault(image_id, len(self._frames))
        person = self._people.get(frame, 0)
        self._people[frame] = person + 1
        return frame, person


def _read_results(data: Any, options: Options) -> list[Detections]:
    layout = unnamed_layout(options)
    remedy = skeleton_remedy(options, "; name other joint orders with --skeleton")
    frames = _Frames()
    groups: dict[Skeleton, list[Person]] = {}
    for i, entry in enumerate(as_list(data, "file")):
        what = f"result {i}"
        entry = as_object(entry, what, "image_id", "keypoints")
        xy, confidence = triples(entry["keypoints"], f"{what}.keypoints", tuple(layout), remedy)
        skeleton = layout[len(xy)]
        frame, person = frames.place(entry["image_id"], what)
        person = as_index(entry.get("track_id", entry.get("idx")), person)
        joints = len(skeleton)
        groups.setdefault(skeleton, []).append(Person(frame, person, xy[:joints], confidence[:joints]))
    return [Detections.from_people(people, skeleton, options) for skeleton, people in groups.items()]


def read_coco_results(data: Any, options: Options) -> list[Detections]:
    """A list of ``{image_id, category_id, keypoints: [x, y, score] * joints, score}``.

    The third number of each joint is its confidence; the person's ``score`` is not used.
    """
    return _read_results(data, options)


def read_alphapose(data: Any, options: Options) -> list[Detections]:
    """AlphaPose's results: as COCO's, ``image_id`` an image name, 26 (Halpe), 17 (COCO) or 136 joints.

    ``idx`` is the track id where the tracker ran.
    """
    return _read_results(data, options)


def read_coco_annotations(data: Any, options: Options) -> list[Detections]:
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
    layout = unnamed_layout(options)

    frames = _Frames()
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
        remedy = skeleton_remedy(options) if joints is None else ""
        xy, labels = triples(note["keypoints"], f"{what}.keypoints", counts, remedy)
        confidence = _label_confidence(labels, what)
        if not (confidence > 0).any():
            skipped += 1
            continue
        frame, person = frames.place(note["image_id"], what)
        image = images.get(note["image_id"])
        if image is None:
            raise InputError(f"{what}.image_id: image {note['image_id']!r} is not in 'images'")
        person = as_index(note.get("track_id"), person)
        file = image.get("file_name")
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
            )
        )
    if skipped:
        _LOG.warning("%s: skipped %d annotations (crowds or no labelled joint)", options.file, skipped)
    return [_stack(key, people, options) for key, people in groups.items()]


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
    for i, category in enumerate(as_list(categories or [], "categories")):
        category = as_object(category, f"categories[{i}]")
        identity = category.get("id")
        if isinstance(identity, (int, str)) and category.get("keypoints"):
            found = resolve_names(category["keypoints"], f"categories[{i}].keypoints", options.skeleton)
            if any(found):
                names[identity] = found
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
