"""The JSON that MMPose's inferencer writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from ...files.checks import Array, as_index, as_list, as_object, describe, numbers
from ...files.errors import InputError
from ...files.long_json import LongList, load_json
from ..detections import Detections, FrameNumbers, Options, Person, join, points, track
from ..documents import first_entry, innermost
from ..frame_numbers import Frame
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
ABOUT = "MMPose 0.x and 1.x: frames of {keypoints, keypoint_scores}, with or without meta_info; dumps of its results"
EXAMPLE = (
    '{"meta_info": {}, "instance_info": [{"frame_id": 0, "instances": [{"keypoints": '
    f'{[[320.5 + i, 90.0 + 20 * i] for i in range(17)]}, "keypoint_scores": {[0.9] * 17}, '
    '"bbox": [[240.0, 70.0, 400.0, 430.0]], "bbox_score": 0.98}]}]}'
)


class _Instance(msgspec.Struct):
    """A person of a long file, the numbers as they stand there."""

    keypoints: msgspec.Raw
    keypoint_scores: msgspec.Raw
    track_id: Any = None


class _Frame(msgspec.Struct):
    """A frame of a long file."""

    instances: list[_Instance]
    frame_id: Any = None


#: People whose numbers become arrays at once: fewer objects are in memory than a long file has people.
_TOGETHER = 8192
#: Where an object has its people, or those of each frame.
_LISTS = ("instances", "predictions", "pose_results")


def recognises(data: Any) -> int:
    """Its own object of frames, or lists of people who have keypoints and scores apart; also frames of nobody."""
    if isinstance(data, dict):
        if "instance_info" in data:
            return 1 + ("meta_info" in data)
        return 3 if "pred_instances" in data else _nested(data)
    entry = first_entry(data)
    if entry is None:
        return int(isinstance(data, list) and all(isinstance(frame, list) for frame in data))
    if isinstance(entry, dict) and "instances" in entry:
        return 1 + ("frame_id" in entry)
    if isinstance(entry, dict) and ("pred_instances" in entry or {"preds", "image_paths"} <= set(entry)):
        return 3
    if isinstance(entry, dict) and "keypoints" not in entry:
        return _nested(entry)
    person = innermost(entry)
    if not isinstance(person, dict) or "keypoints" not in person:
        return 0
    return 1 + ("keypoint_scores" in person) if isinstance(entry, list) or "keypoint_scores" in person else 0


def _nested(frame: dict[str, Any]) -> int:
    person = next((innermost(frame[field]) for field in _LISTS[1:] if field in frame), None)
    return 1 + ("keypoint_scores" in person) if isinstance(person, dict) and "keypoints" in person else 0


def read(data: Any, options: Options) -> list[Detections]:
    """Frames of instances ``{keypoints: [[x, y], …], keypoint_scores: […]}``.

    Accepts a list of instances (one image), a list of such lists (a video), and
    ``{"meta_info": …, "instance_info": [{"frame_id": …, "instances": […]}, …]}``; of 0.x, where the score is the third
    number of each keypoint, lists of ``{bbox, keypoints}`` and the test results ``{preds, boxes, image_paths}``; of 1.x
    also ``{"predictions": […]}`` and samples with ``pred_instances``. Joint names come from ``meta_info`` where it is
    there, else 17 joints are COCO's and 26 Halpe's.
    """
    found: dict[int, list[Detections]] = {}
    for part in _parts(data, options, _TOGETHER):
        for joints, detections in part.items():
            found.setdefault(joints, []).append(detections)
    return [whole for parts in found.values() for whole in join(parts)]


def read_parts(data: Any, options: Options, size: int) -> Iterator[list[Detections]]:
    """`read` of a long file, so many people or a few more at a time; frames are not cut."""
    return (list(part.values()) for part in _parts(data, options, size))


def _parts(data: Any, options: Options, size: int) -> Iterator[dict[int, Detections]]:
    """People by their number of joints in the file, frame after frame."""
    named = _names(data.get("meta_info"), options) if isinstance(data, dict) else None
    layout = unnamed_layout(options.skeleton)
    used = {len(named): len(named)} if named is not None else {count: len(order) for count, order in layout.items()}

    def stacked() -> dict[int, Detections]:
        if named is not None:
            return {joints: _named(people, named, options) for joints, people in groups.items()}
        return {joints: Detections.from_people(people, layout[joints], options) for joints, people in groups.items()}

    groups: dict[int, list[Person]] = {}
    before: int | None = None
    for index, j, instance, what in _people(data):
        # the number of a frame that is told by its image may still change
        if index != before and sum(map(len, groups.values())) >= size and not isinstance(index, Frame):
            yield stacked()
            groups = {}
        before = index
        joints, instance = _cut(instance, used) if isinstance(instance, _Instance) else (None, instance)
        rows = _rows(instance, what)
        joints = joints or len(rows)
        if joints not in used:
            expected = " or ".join(map(str, used))
            others = " or ".join(candidates(joints))
            unset = "; name other joint orders with --skeleton" + (f": {others}" if others else "")
            remedy = "" if named else skeleton_remedy(options.skeleton, unset)
            raise InputError(f"{what}.keypoints: {joints} joints; expected {expected}{remedy}")
        person, tracked = track(instance.get("track_id"), j)
        pose = _instance(instance, rows, used[joints], what)
        groups.setdefault(joints, []).append(Person(index, person, *pose, tracked=tracked))
    if groups:
        yield stacked()


def _cut(instance: _Instance, used: Mapping[int, int]) -> tuple[int | None, dict[str, Any]]:
    """Number of joints, and the instance with those that are used; None, and all, where the numbers are not plain."""
    found: dict[str, Any] = {
        "track_id": instance.track_id,
        "keypoint_scores": load_json(bytes(instance.keypoint_scores)),
    }
    text = bytes(instance.keypoints)
    joints = text.count(b"[") - 1
    plain = joints in used and b'"' not in text and text.count(b",") in (2 * joints - 1, 3 * joints - 1)
    if not plain or len(found["keypoint_scores"] or ()) != joints:
        return None, {**found, "keypoints": load_json(text)}
    end = 0
    for _ in range(used[joints]):
        end = text.index(b"]", end) + 1
    rows = load_json(text[:end] + b"]")
    return joints, {**found, "keypoints": rows, "keypoint_scores": found["keypoint_scores"][: len(rows)]}


def _people(data: Any) -> Iterator[tuple[int, int, Any, str]]:
    """Frame, place in the frame, the instance, and its name for messages, of everybody."""
    listed = data.get("instance_info", data.get("predictions", [data])) if isinstance(data, dict) else data
    frames = as_list(listed, "file")
    if any(frames) and all(not entry or (isinstance(entry, dict) and "keypoints" in entry) for entry in frames):
        frames = [frames]
    images = FrameNumbers()
    for i, frame in enumerate(frames.typed(_Frame) if isinstance(frames, LongList) else frames):
        if isinstance(frame, _Frame):
            index = as_index(frame.frame_id, i)
            for j, instance in enumerate(frame.instances):
                yield index, j, instance, f"frame {index}, person {j}"
            continue
        if isinstance(frame, dict) and "preds" in frame:
            yield from _test_results(frame, f"batch {i}", images)
            continue
        index = as_index(frame.get("frame_id"), i) if isinstance(frame, dict) else i
        for j, instance in enumerate(_instances(frame, f"frame {index}") if frame else ()):
            if instance:
                what = f"frame {index}, person {j}"
                yield index, j, as_object(instance, what, "keypoints"), what


def _instances(frame: Any, what: str) -> list[Any]:
    """The people of a frame, whichever way it nests them."""
    if isinstance(frame, dict):
        if "pred_instances" in frame:
            return _unstacked(frame["pred_instances"], f"{what}.pred_instances")
        field = next((field for field in _LISTS if field in frame), _LISTS[0])
        frame = as_object(frame, what, field)[field]
    people = as_list([] if frame is None else frame, what)
    return people[0] if len(people) == 1 and isinstance(people[0], list) else people


def _unstacked(value: Any, what: str) -> list[dict[str, Any]]:
    """People of arrays (people, joints, 2) and (people, joints)."""
    stacked = as_object(value, what, "keypoints")
    keypoints = as_list(stacked["keypoints"], f"{what}.keypoints")
    scores = as_list(stacked.get("keypoint_scores") or [None] * len(keypoints), f"{what}.keypoint_scores")
    if len(scores) != len(keypoints):
        raise InputError(f"{what}.keypoint_scores: {len(scores)} people; keypoints has {len(keypoints)}")
    return [{"keypoints": k, "keypoint_scores": s} for k, s in zip(keypoints, scores, strict=True)]


def _test_results(
    batch: dict[str, Any], what: str, images: FrameNumbers
) -> Iterator[tuple[int, int, dict[str, Any], str]]:
    """What tests of 0.x write: people of a batch, each with the path of its image."""
    preds = as_list(batch["preds"], f"{what}.preds")
    paths = as_list(batch.get("image_paths"), f"{what}.image_paths")
    if len(paths) not in (1, len(preds)):
        raise InputError(f"{what}.image_paths: {len(paths)} paths; preds has {len(preds)} people")
    for i, keypoints in enumerate(preds):
        path = paths[i % len(paths)]
        frame, person = images.place(path, f"{what}.image_paths")
        yield frame, person, {"keypoints": keypoints}, f"{what}.preds[{i}]"


def _rows(instance: dict[str, Any], what: str) -> list[Any]:
    rows = as_list(instance["keypoints"], f"{what}.keypoints")
    if rows and isinstance(rows[0], list) and len(rows[0]) == 3 and instance.get("keypoint_scores") is not None:
        raise InputError(f"{what}.keypoints: has three coordinates per joint; lifting needs 2D keypoints in pixels")
    return rows


def _instance(instance: dict[str, Any], rows: list[Any], used: int, what: str) -> tuple[Array, Array]:
    """xy (joints, 2) and confidence (joints,) of the first ``used`` joints."""
    if rows and isinstance(rows[0], list) and len(rows[0]) > 3:  # of bottom-up models: a tag after the score
        rows = [row[:3] if isinstance(row, list) else row for row in rows]
    xy, confidence = points(rows[:used], f"{what}.keypoints")
    if instance.get("keypoint_scores") is not None:
        scores = as_list(instance["keypoint_scores"], f"{what}.keypoint_scores")
        if len(scores) != len(rows):
            raise InputError(f"{what}.keypoint_scores: {len(scores)} scores for {len(rows)} joints")
        confidence = numbers(scores[:used], f"{what}.keypoint_scores")
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
