"""OpenPose's JSON: one file per frame, ``people[].pose_keypoints_2d``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...files.checks import as_list, as_object
from ...geometry.skeletons import Skeleton, get_skeleton
from ..detections import Detections, Options, Person, is_nobody, track, triples
from ..documents import first_entry
from ..joint_names import skeleton_remedy, temporary_skeleton

NAME = "openpose"
ABOUT = "OpenPose JSON, BODY_25 or COCO-18: a file, or a folder of *_keypoints.json as one clip"
#: Files of a folder whose names end so are the frames of one clip, see `read_frames`.
FRAME_SUFFIX = "_keypoints.json"

#: OpenPose's COCO model: BODY_25 without the mid-hip and the feet.
COCO18 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip


def recognises(data: Any) -> int:
    """An object with people, or a list of these."""
    frame = first_entry(data)
    return 1 + ("version" in frame) if isinstance(frame, dict) and "people" in frame else 0


def read(data: Any, options: Options) -> list[Detections]:
    """One frame (an object with ``people``) or a list of them."""
    frames = data if isinstance(data, list) else [data]
    return read_frames(((options.file, frame) for frame in frames), options)


def read_frames(frames: Iterable[tuple[str, Any]], options: Options) -> list[Detections]:
    """The frames of one clip as (file, content); BODY_25 or COCO-18 joints.

    OpenPose writes (0, 0, 0) for a joint that it did not find; confidence 0 makes it missing.
    ``person_id`` is the track id where it is not negative.
    """
    body25 = get_skeleton("body25")
    layout: dict[int, Skeleton] = {25: body25, 18: temporary_skeleton(COCO18)}
    if options.skeleton is not None:
        layout[len(options.skeleton)] = options.skeleton
    remedy = skeleton_remedy(options.skeleton)
    groups: dict[int, list[Person]] = {}
    for frame, (source, content) in enumerate(frames):
        prefix = "" if source == options.file else f"{source}: "
        if is_nobody(content):
            continue
        people = as_list(as_object(content, f"{prefix}file", "people")["people"], f"{prefix}people")
        for i, entry in enumerate(people):
            what = f"{prefix}person {i}"
            if is_nobody(entry):
                continue
            entry = as_object(entry, what, "pose_keypoints_2d")
            if entry["pose_keypoints_2d"] == []:  # hands or a face alone
                continue
            xy, confidence = triples(entry["pose_keypoints_2d"], f"{what}.pose_keypoints_2d", tuple(layout), remedy)
            person, tracked = track(entry.get("person_id"), i)
            groups.setdefault(len(xy), []).append(Person(frame, person, xy, confidence, source=source, tracked=tracked))
    found = [Detections.from_people(people, layout[joints], options) for joints, people in groups.items()]
    for detections in found:
        if detections.skeleton.name == "file":
            detections.target = body25
    return found
