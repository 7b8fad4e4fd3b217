"""COCO's keypoint results, which many detectors write: a list of people, each with the id of an image."""

from __future__ import annotations

from typing import Any

from ...files.checks import as_list, as_object
from ...geometry.skeletons import Skeleton
from ..detections import Detections, FrameNumbers, Options, Person, is_nobody, track, triples
from ..documents import first_entry
from ..joint_names import skeleton_remedy, unnamed_layout

NAME = "coco-results"
ABOUT = "COCO keypoint results: a list of {image_id, keypoints: 17 x (x, y, score), score}"
EXAMPLE = (
    '[{"image_id": 397133, "category_id": 1, "keypoints": ['
    + ", ".join(f"{320 + i}.5, {90 + 20 * i}.0, 0.9" for i in range(17))
    + '], "score": 0.93}]'
)

_NEEDED, _USUAL = ("image_id", "keypoints"), ("category_id", "score")


def recognises(data: Any) -> int:
    """A list whose entries have an image's id and keypoints."""
    entry = first_entry(data) if isinstance(data, list) else None
    if not isinstance(entry, dict) or any(field not in entry for field in _NEEDED):
        return 0
    return len(_NEEDED) + sum(field in entry for field in _USUAL)


def read(data: Any, options: Options) -> list[Detections]:
    """A list of ``{image_id, category_id, keypoints: [x, y, score] * joints, score}``.

    The third number of each joint is its confidence; the person's ``score`` is not used. ``track_id`` or ``idx`` is
    the person, where it is there.
    """
    layout = unnamed_layout(options.skeleton)
    remedy = skeleton_remedy(options.skeleton, "; name other joint orders with --skeleton")
    frames = FrameNumbers()
    groups: dict[Skeleton, list[Person]] = {}
    for i, entry in enumerate(as_list(data, "file")):
        what = f"result {i}"
        if is_nobody(entry):
            continue
        entry = as_object(entry, what, "image_id", "keypoints")
        xy, confidence = triples(entry["keypoints"], f"{what}.keypoints", tuple(layout), remedy)
        skeleton = layout[len(xy)]
        frame, person = frames.place(entry["image_id"], what)
        person, tracked = track(entry.get("track_id", entry.get("idx")), person)
        joints = len(skeleton)
        if joints < len(xy):  # hands and face are not kept in memory
            xy, confidence = xy[:joints].copy(), confidence[:joints].copy()
        groups.setdefault(skeleton, []).append(Person(frame, person, xy, confidence, tracked=tracked))
    return [Detections.from_people(people, skeleton, options) for skeleton, people in groups.items()]
