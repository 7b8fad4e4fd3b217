"""Our own plain JSON: named joints, any subset of any skeleton, in any order."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np

from ...files.checks import Array, as_index, as_list, as_name, as_object, describe, number, numbers
from ...files.errors import InputError
from ...geometry.skeletons import Skeleton, body_of, get_skeleton
from ..depths import refuse_depths
from ..detections import Detections, Options, is_nobody, points, size_pair
from ..documents import first_entry
from ..joint_names import (
    covering_skeleton,
    is_hand_or_face,
    refuse_unknown,
    resolve_names,
    say_names,
    skeleton_remedy,
    temporary_skeleton,
)
from ..keypoints import PoseId
from ..rates import rate_of

NAME = "plain"
ABOUT = 'named joints: {"joints": [names], "keypoints": [[x, y, confidence?], ...]}, or a list of these'
EXAMPLE = (
    '{"joints": ["neck", "left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_knee"], "keypoints": ['
    + ", ".join(f"[{320 + 2 * i}.5, {90 + 20 * i}.0, 0.9]" for i in range(6))
    + "]}"
)


def recognises(data: Any) -> int:
    """An object with keypoints, or a list of these; the more so where it names the joints."""
    entry = first_entry(data)
    if not isinstance(entry, dict) or "keypoints" not in entry:
        return 0
    return 1 + ("joints" in entry or "skeleton" in entry)


def read(data: Any, options: Options) -> list[Detections]:
    """``{"joints": [names], "keypoints": [[x, y, confidence?], …]}`` or a list of such objects.

    ``keypoints`` is one pose (joints, 2|3) or several frames (frames, joints, 2|3); null is a missing joint.
    Optional fields: ``image_size`` [width, height], ``focal`` px or ``intrinsics`` [fx, fy, cx, cy],
    ``height`` in metres, ``image`` (name of the photo, becomes the pose's file), ``covariance`` (standard
    deviation in px, or 2x2 px², per joint), ``amplitude`` (of the heatmap's peak, per joint),
    ``outliers`` (how often such a keypoint is simply wrong, 0 to 1, per joint), ``frame``,
    ``person``, ``fps`` (of the film that the frames are of); ``skeleton`` (a name) may stand instead of ``joints``.

    All poses are put into the skeleton asked for, else into the smallest named one that has all joints of the
    file, else into h36m17. A joint that the file does not list, or lists as null, is synthesised from those that are
    there where the skeleton map can do so. Points of hands and face are not used, and said.
    """
    return read_entries(data, options)[0]


def read_entries(data: Any, options: Options, frame: int = 0) -> tuple[list[Detections], int]:
    """`read`, of entries before which there were so many frames; and how many there are after them."""
    entries = data if isinstance(data, list) else [data]
    lists = {tuple(e["joints"]): None for e in entries if isinstance(e, dict) and _is_names(e.get("joints"))}
    found: list[Detections] = []
    for i, entry in enumerate(entries):
        what = f"entry {i}" if isinstance(data, list) else "file"
        if is_nobody(entry):  # but a frame
            frame += 1
            continue
        detections = _read_entry(entry, what, frame, options)
        frame += len(detections.ids)
        found.append(detections)
    say_names(options.file, lists, options.skeleton)
    names = dict.fromkeys(joint for detections in found for joint in detections.skeleton.joints)
    target = covering_skeleton(tuple(names), options.skeleton)
    for detections in found:
        detections.target = target
    joined = [_join(list(group)) for _, group in groupby(found, key=_shape)]
    for detections in joined:
        if detections.confidence is not None and options.confidence_scale is None:
            refuse_depths(detections.xy, detections.confidence)
    return joined, frame


def _shape(detections: Detections) -> Any:
    given = tuple(
        getattr(detections, name) is None for name in ("covariance", "intrinsics", "height", "amplitude", "outliers")
    )
    return detections.skeleton, given, getattr(detections.covariance, "ndim", 0), detections.fps


def _join(parts: list[Detections]) -> Detections:
    """One batch from neighbours of the same layout: thousands of one-pose entries are read fast."""
    if len(parts) == 1:
        return parts[0]

    def cat(name: str) -> Array | None:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    names = ("confidence", "covariance", "image_size", "intrinsics", "height", "amplitude", "outliers")
    arrays: dict[str, Any] = {name: cat(name) for name in names}
    return Detections(
        parts[0].skeleton,
        [identity for part in parts for identity in part.ids],
        np.concatenate([part.xy for part in parts]),
        **arrays,
        target=parts[0].target,
        sources=[source for part in parts for source in part.sources or ()],
        tracked=[tracked for part in parts for tracked in part.tracked or ()],
        fps=parts[0].fps,
    )


def _read_entry(entry: Any, what: str, frame: int, options: Options) -> Detections:
    entry = as_object(entry, what, "keypoints")
    if entry.get("fps") is not None and rate_of(entry["fps"]) is None:
        raise InputError(
            f"{what}.fps: expected frames a second, 0.01 to 10000, as a number or a fraction like '30000/1001', got "
            f"{describe(entry['fps'])}; mend it, or leave it out and tell it with --fps"
        )
    joints = _joints(entry, what, options)
    named = f"'joints' names {len(joints)}"
    if entry.get("joints") is None:
        remedy = skeleton_remedy(options.skeleton) if entry.get("skeleton") is None else ""
        named = f"the skeleton has {len(joints)}{remedy}"
    xy, confidence = _frames(entry["keypoints"], f"{what}.keypoints", len(joints), named)
    count = len(xy)
    size = options.image_size
    if entry.get("image_size") is not None:
        size = size_pair(entry["image_size"], f"{what}.image_size")
    intrinsics = _intrinsics(entry, what, size)
    height = None if entry.get("height") is None else number(entry["height"], f"{what}.height")
    image = entry.get("image")
    if image is not None and not isinstance(image, str):
        raise InputError(f"{what}.image: expected the name of a photo, found {describe(image)}")
    first, person = as_index(entry.get("frame"), frame), as_index(entry.get("person"), 0)
    covariance = _covariance(entry.get("covariance"), f"{what}.covariance", count, len(joints))
    amplitude = _per_joint(entry.get("amplitude"), f"{what}.amplitude", count, len(joints))
    outliers = _per_joint(entry.get("outliers"), f"{what}.outliers", count, len(joints))
    kept = [i for i, joint in enumerate(joints) if joint is not None]
    return Detections(
        temporary_skeleton([joint for joint in joints if joint is not None]),
        [PoseId(image or options.file, first + i, person) for i in range(count)],
        xy[:, kept],
        confidence[:, kept],
        covariance=None if covariance is None else covariance[:, kept],
        amplitude=None if amplitude is None else amplitude[:, kept],
        outliers=None if outliers is None else outliers[:, kept],
        image_size=np.tile((np.nan, np.nan) if size is None else size, (count, 1)),
        intrinsics=None if intrinsics is None else np.tile(intrinsics, (count, 1)),
        height=None if height is None else np.full(count, height),
        sources=[options.file] * count,
        tracked=[True] * count,
        fps=rate_of(entry.get("fps")),
    )


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _joints(entry: dict[str, Any], what: str, options: Options) -> list[str | None]:
    """The joints of an entry in its order, None for points that are not used."""
    if entry.get("joints") is not None:
        names = resolve_names(entry["joints"], f"{what}.joints", options.skeleton)
        if not names:
            raise InputError(f"{what}.joints: no joint is named")
        pairs = zip(entry["joints"], names, strict=True)
        body = [(raw, ours) for raw, ours in pairs if ours is not None or not is_hand_or_face(raw)]
        refuse_unknown([raw for raw, _ in body], [ours for _, ours in body], f"{what}.joints")
        if not body:
            raise InputError(f"{what}.joints: names points of hands and face alone; lifting needs those of the body")
        return names
    if entry.get("skeleton") is not None:
        try:
            return _used(get_skeleton(as_name(entry["skeleton"], f"{what}.skeleton")))
        except ValueError as error:
            raise InputError(f"{what}.skeleton: {error}") from None
    if options.skeleton is not None:
        return _used(options.skeleton)
    raise InputError(f"{what}: 'joints' (the joint names) is missing; add it, or pass --skeleton")


def _used(skeleton: Skeleton) -> list[str | None]:
    used = body_of(skeleton).joints
    return [*used, *[None] * (len(skeleton) - len(used))]


def _frames(value: Any, what: str, joints: int, named: str) -> tuple[Array, Array]:
    """(frames, joints, 2) and (frames, joints) from one pose or a list of poses."""
    rows = as_list(value, what)
    first = next((row for row in rows if row), None)
    several = isinstance(first, list) and any(isinstance(item, list) for item in first)
    poses = [
        (*points(pose, f"{what}[{i}]" if several else what),) for i, pose in enumerate(rows if several else [rows])
    ]
    for i, (xy, _) in enumerate(poses):
        if len(xy) != joints:
            place = f"{what}[{i}]" if several else what
            raise InputError(f"{place}: {len(xy)} joints; {named}")
    return np.stack([xy for xy, _ in poses]), np.stack([confidence for _, confidence in poses])


def _intrinsics(entry: dict[str, Any], what: str, size: tuple[float, float] | None) -> Array | None:
    if entry.get("intrinsics") is not None:
        values = numbers(entry["intrinsics"], f"{what}.intrinsics")
        if len(values) != 4 or not np.isfinite(values).all():
            raise InputError(f"{what}.intrinsics: expected [fx, fy, cx, cy] in pixels, found {values.tolist()}")
        return values
    if entry.get("focal") is None:
        return None
    if size is None:
        raise InputError(f"{what}.focal: also needs 'image_size' [width, height], for the image centre")
    focal = number(entry["focal"], f"{what}.focal")
    return np.array([focal, focal, size[0] / 2, size[1] / 2])


def _covariance(value: Any, what: str, frames: int, joints: int) -> Array | None:
    """(frames, joints, 2, 2) px² or (frames, joints) px from the same with or without the frames."""
    return _per_joint(value, what, frames, joints, (2, 2))


def _per_joint(value: Any, what: str, frames: int, joints: int, event: tuple[int, ...] = ()) -> Array | None:
    """One number, or an array of shape ``event``, per joint: with or without the frames in the file, with them here."""
    if value is None:
        return None
    shapes = tuple(dict.fromkeys([(joints,), (joints, *event), (frames, joints), (frames, joints, *event)]))
    flat, shape = _flatten(value, what)
    if shape not in shapes:
        raise InputError(f"{what}: shape {shape}; expected one of {', '.join(map(str, shapes))}")
    array = numbers(flat, what).reshape(shape)
    return array if shape[:2] == (frames, joints) else np.broadcast_to(array, (frames, *shape)).copy()


def _flatten(value: Any, what: str) -> tuple[list[Any], tuple[int, ...]]:
    """Entries and shape of nested lists."""
    flat, shape = as_list(value, what), []
    while True:
        shape.append(len(flat))
        if not flat or not all(isinstance(item, list) for item in flat):
            break
        lengths = {len(item) for item in flat}
        if len(lengths) != 1:
            raise InputError(f"{what}: rows of different lengths")
        flat = [inner for item in flat for inner in item]
    sizes, before = [], 1
    for total in shape:
        sizes.append(total // before if before else 0)
        before = total
    return flat, tuple(sizes)
