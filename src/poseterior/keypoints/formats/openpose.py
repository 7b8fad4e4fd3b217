"""OpenPose's JSON, one file per frame, of OpenPose and of the many programs that write it since."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ...files.checks import Array, as_list, as_object, numbers
from ...geometry.skeletons import Skeleton, get_skeleton
from ..detections import Detections, Options, Person, is_nobody, size_pair, track, triples
from ..documents import first_entry
from ..joint_names import covering_skeleton, skeleton_remedy, temporary_skeleton
from ..keypoints import MINIMUM_CONFIDENCE
from ..placeholders import distinct

NAME = "openpose"
ABOUT = "OpenPose JSON (Sports2D, Pose2Sim, DWPose ...) of 15 to 137 joints: a file, or a folder of *_keypoints.json"
EXAMPLE = (
    '{"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": ['
    + ", ".join(f"{320 + i}.5, {90 + 10 * i}.0, 0.9" for i in range(26))
    + "]}]}"
)
#: Files of a folder whose names end so are the frames of one clip, see `read_frames`.
FRAME_SUFFIX = "_keypoints.json"

#: OpenPose's COCO model: BODY_25 without the mid-hip and the feet.
COCO18 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
#: OpenPose's MPI model; its last joint is the belly.
MPI15 = (
    "head_top", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine",
)  # fmt: skip
#: BODY_25B: COCO's 17, then the neck, the top of the head and the feet; BODY_135 begins so.
BODY25B = (
    *get_skeleton("coco17").joints, "neck", "head_top", "left_big_toe", "left_small_toe", "left_heel",
    "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip

#: Where a person's keypoints may be, the newest spelling first; AlphaPose's ``bodies`` have ``joints``.
_FIELDS = ("pose_keypoints_2d", "pose_keypoints", "body_parts", "joints")
_LISTS = ("people", "bodies")

_LOG = logging.getLogger(__name__)


def recognises(data: Any) -> int:
    """An object with people, or a list of these."""
    frame = first_entry(data)
    if not isinstance(frame, dict) or not any(field in frame for field in _LISTS):
        return 0
    return 1 + ("version" in frame) + ("canvas_width" in frame)


def read(data: Any, options: Options) -> list[Detections]:
    """One frame (an object with ``people``) or a list of them."""
    frames = data if isinstance(data, list) else [data]
    return read_frames(((options.file, frame) for frame in frames), options)


def read_frames(frames: Iterable[tuple[str, Any]], options: Options) -> list[Detections]:
    """The frames of one clip as (file, content).

    The number of joints tells their order: 15 (MPI), 17 (COCO), 18 (OpenPose's COCO), 25 (BODY_25, or BODY_25B, which
    the places of the joints tell), 26 (Halpe), 33 (BlazePose), 68 and 136 (Halpe), 133 (COCO-WholeBody), 135
    (BODY_135), 137 (BODY_25 with hands and face). The body comes first in all of these.

    OpenPose writes (0, 0, 0) for a joint that it did not find; confidence 0 makes it missing. ``person_id`` is the
    track id where it is not negative. A person or frame may be null or empty where nobody is.
    """
    groups: dict[int, list[Person]] = {}
    for _, person in people_of(frames, options):
        groups.setdefault(len(person.xy), []).append(person)
    return [stack_order(people, options) for people in groups.values()]


def people_of(frames: Iterable[tuple[str, Any]], options: Options) -> Iterator[tuple[int, Person]]:
    """Everybody in these frames, with the position of the frame."""
    counts = tuple(_layout(options.skeleton))
    remedy = skeleton_remedy(options.skeleton, "; name other joint orders with --skeleton")
    for frame, (source, content) in enumerate(frames):
        prefix = "" if source == options.file else f"{source}: "
        for i, entry in enumerate([] if is_nobody(content) else _people(content, prefix)):
            found = _keypoints(entry, f"{prefix}person {i}", counts, remedy)
            if found is None:
                continue
            person, tracked = track(entry.get("person_id"), i)
            size = _canvas(content, prefix)
            yield frame, Person(frame, person, *found, source=source, image_size=size, tracked=tracked)


def stack_order(people: Sequence[Person], options: Options) -> Detections:
    """People of one number of joints, in the order that has so many."""
    return stack(people, _order(people, _layout(options.skeleton), options), options)


def places(people: Sequence[Person]) -> Array:
    """``(people, joints, 2)`` places to judge by, NaN for joints that are hardly seen or may be placeholders."""
    seen = np.stack([person.confidence for person in people]) >= MINIMUM_CONFIDENCE
    return distinct(np.where(seen[..., None], np.stack([person.xy for person in people]), np.nan))


def stack(people: Sequence[Person], skeleton: Skeleton, options: Options) -> Detections:
    """The leading joints of people, in an order that the skeleton which has its joints stands for afterwards."""
    joints = len(skeleton)
    for person in people:
        person.xy, person.confidence = person.xy[:joints], person.confidence[:joints]
    found = Detections.from_people(people, skeleton, options)
    if skeleton.name == "file":
        found.target = covering_skeleton(skeleton.joints, None)
    return found


def _layout(skeleton: Skeleton | None) -> dict[int, Skeleton]:
    """Joint counts -> the order of the leading joints."""
    body25, halpe, coco = get_skeleton("body25"), get_skeleton("halpe26"), get_skeleton("coco17")
    layout = {
        25: body25,
        18: temporary_skeleton(COCO18),
        26: halpe,
        17: coco,
        15: temporary_skeleton(MPI15),
        33: get_skeleton("mediapipe33"),
        68: halpe,
        133: coco,
        135: temporary_skeleton(BODY25B),
        136: halpe,
        137: body25,
    }
    return layout if skeleton is None else {**layout, len(skeleton): skeleton}


def _people(content: Any, prefix: str) -> list[Any]:
    """The people of a frame; nobody where it is null or empty."""
    if content is None or content == {}:
        return []
    frame = as_object(content, f"{prefix}file")
    field = next((field for field in _LISTS if field in frame), "people")
    people = as_object(frame, f"{prefix}file", field)[field]
    return [] if people is None else as_list(people, f"{prefix}{field}")


def _keypoints(entry: Any, what: str, joints: Sequence[int], remedy: str) -> tuple[Array, Array] | None:
    """xy (joints, 2) and confidence (joints,) of a person; None of one who is not there, or of a face alone."""
    if entry is None or entry == {}:
        return None
    entry = as_object(entry, what)
    field = next((field for field in _FIELDS if field in entry), _FIELDS[0])
    values = as_object(entry, what, field)[field]
    if values is None or values == []:
        return None
    return triples(values, f"{what}.{field}", joints, remedy)


def _canvas(content: dict[str, Any], prefix: str) -> tuple[float, float] | None:
    """The picture's size, which DWPose and its kin write."""
    size = [content.get("canvas_width"), content.get("canvas_height")]
    return None if None in size else size_pair(numbers(size, f"{prefix}canvas").tolist(), f"{prefix}canvas")


# -- BODY_25 or BODY_25B -----------------------------------------------------------------------------------


def _order(people: Sequence[Person], layout: dict[int, Skeleton], options: Options) -> Skeleton:
    joints = len(people[0].xy)
    told = options.skeleton is not None and len(options.skeleton) == joints
    if joints != 25 or told or not _is_body25b(people):
        return layout[joints]
    _LOG.warning(
        "%s: read as BODY_25B, COCO's order with neck, head top and feet, because that is where its joints are; if it "
        "is BODY_25, pass --skeleton body25",
        options.file,
    )
    return temporary_skeleton(BODY25B)


def _is_body25b(people: Sequence[Person]) -> bool:
    """Whether most people have the joints where BODY_25B has them, and not BODY_25.

    BODY_25's mid-hip and neck are in the middle of the hips and shoulders, in all its training data; in BODY_25B the
    eyes are beside the nose, and joint 17 is the neck.
    """
    xy = places(people)

    def off(joint: int, a: int, b: int) -> Array:
        return np.asarray(np.linalg.norm(xy[:, joint] - (xy[:, a] + xy[:, b]) / 2, axis=-1))

    body25 = np.ma.masked_invalid([off(8, 9, 12), off(1, 2, 5)]).mean(0)
    body25b = np.ma.masked_invalid([off(17, 5, 6), off(0, 1, 2)]).mean(0)
    ratio = (body25 / body25b).compressed()  # of those with a joint for either
    return bool(len(ratio)) and bool(np.median(ratio) > 1)
