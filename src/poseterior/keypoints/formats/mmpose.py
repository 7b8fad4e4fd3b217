"""The JSON that MMPose's inferencer writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...files.checks import Array, as_index, as_list, as_object, describe, numbers
from ...files.errors import InputError
from ...geometry.skeletons import Skeleton
from ..detections import Detections, Options, Person, is_nobody, points, track
from ..documents import first_entry, innermost
from ..joint_names import (
    candidates,
    covering_skeleton,
    resolve_names,
    say_names,
    skeleton_remedy,
    temporary_skeleton,
    unnamed_layout,
)

NAME = "mmpose"
ABOUT = "MMPose inferencer: frames of {keypoints, keypoint_scores}, with or without meta_info"


def recognises(data: Any) -> int:
    """Its own object of frames, or lists of people who have keypoints and scores apart; also frames of nobody."""
    if isinstance(data, dict):
        return 1 + ("meta_info" in data) if "instance_info" in data else 0
    entry = first_entry(data)
    if entry is None:
        return int(isinstance(data, list) and all(isinstance(frame, list) for frame in data))
    if isinstance(entry, dict) and "instances" in entry:
        return 1 + ("frame_id" in entry)
    person = innermost(entry)
    if not isinstance(person, dict) or "keypoints" not in person:
        return 0
    return 1 + ("keypoint_scores" in person) if isinstance(entry, list) or "keypoint_scores" in person else 0


def read(data: Any, options: Options) -> list[Detections]:
    """Frames of instances ``{keypoints: [[x, y], …], keypoint_scores: […]}``.

    Accepts a list of instances (one image), a list of such lists (a video), and
    ``{"meta_info": …, "instance_info": [{"frame_id": …, "instances": […]}, …]}``. Joint names come from
    ``meta_info`` where it is there, else 17 joints are COCO's and 26 Halpe's.
    """
    named = None
    if isinstance(data, dict):
        named = _names(data.get("meta_info"), options)
        data = as_object(data, "file", "instance_info")["instance_info"]
    frames = as_list(data, "file")
    if any(frames) and all(isinstance(entry, dict) and (is_nobody(entry) or "keypoints" in entry) for entry in frames):
        frames = [frames]
    layout = unnamed_layout(options.skeleton)
    groups: dict[int, list[Person]] = {}
    for i, frame in enumerate(frames):
        index, instances = i, frame
        if is_nobody(frame):
            continue
        if isinstance(frame, dict):
            index = as_index(frame.get("frame_id"), i)
            instances = as_object(frame, f"frame {i}", "instances")["instances"]
        for j, instance in enumerate(as_list(instances, f"frame {index}")):
            what = f"frame {index}, person {j}"
            if is_nobody(instance):
                continue
            xy, confidence = _instance(instance, what)
            counts = [len(named)] if named is not None else list(layout)
            if len(xy) not in counts:
                expected = " or ".join(map(str, counts))
                others = " or ".join(candidates(len(xy)))
                unset = "; name other joint orders with --skeleton" + (f": {others}" if others else "")
                remedy = "" if named else skeleton_remedy(options.skeleton, unset)
                raise InputError(f"{what}.keypoints: {len(xy)} joints; expected {expected}{remedy}")
            person, tracked = track(as_object(instance, what).get("track_id"), j)
            groups.setdefault(len(xy), []).append(Person(index, person, xy, confidence, tracked=tracked))
    if named is not None:
        return [_named(people, named, options) for people in groups.values()]
    return [_unnamed(people, layout[joints], options) for joints, people in groups.items()]


def _instance(instance: Any, what: str) -> tuple[Array, Array]:
    instance = as_object(instance, what, "keypoints")
    rows = as_list(instance["keypoints"], f"{what}.keypoints")
    if rows and isinstance(rows[0], list) and len(rows[0]) == 3 and "keypoint_scores" in instance:
        raise InputError(f"{what}.keypoints: has three coordinates per joint; lifting needs 2D keypoints in pixels")
    xy, confidence = points(rows, f"{what}.keypoints")
    if instance.get("keypoint_scores") is not None:
        confidence = numbers(instance["keypoint_scores"], f"{what}.keypoint_scores")
        if len(confidence) != len(xy):
            raise InputError(f"{what}.keypoint_scores: {len(confidence)} scores for {len(xy)} joints")
    return xy, confidence


def _names(meta: Any, options: Options) -> list[str | None] | None:
    """Our joint names in the file's order from ``meta_info.keypoint_id2name``; None where it has none."""
    table = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if isinstance(table, dict) and table:
        if not all(str(i) in table for i in range(len(table))):
            raise InputError(f"meta_info.keypoint_id2name: expected the keys 0 to {len(table) - 1}")
        table = [table[str(i)] for i in range(len(table))]
    if not table:
        return None
    found = resolve_names(table, "meta_info.keypoint_id2name", options.skeleton)
    if not any(found):
        raise InputError(f"meta_info.keypoint_id2name: no joint that we know among {describe(table)}")
    say_names(options.file, [table], options.skeleton)
    return found


def _unnamed(people: list[Person], skeleton: Skeleton, options: Options) -> Detections:
    joints = len(skeleton)
    for person in people:
        person.xy, person.confidence = person.xy[:joints], person.confidence[:joints]
    return Detections.from_people(people, skeleton, options)


def _named(people: list[Person], named: list[str | None], options: Options) -> Detections:
    kept = np.flatnonzero([name is not None for name in named])
    joints = tuple(name for name in named if name is not None)
    for person in people:
        person.xy, person.confidence = person.xy[kept], person.confidence[kept]
    target = covering_skeleton(joints, options.skeleton)
    skeleton = target if joints == target.joints else temporary_skeleton(joints)
    found = Detections.from_people(people, skeleton, options)
    found.target = target
    return found
