"""Tables of joints, however their columns are called: a row per joint (tidy), or a row per person (wide)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..files.checks import Array, cut, quote
from ..files.errors import InputError
from ..geometry.skeletons import Skeleton, get_skeleton
from .detections import Detections, FrameNumbers, Options
from .frame_numbers import Frame
from .joint_names import covering_skeleton, resolve_names, say_names, skeleton_of, temporary_skeleton
from .keypoints import PoseId
from .tables import Table

__all__ = ["TablePoses", "detections_of", "named_joints", "roles", "tidy_poses", "wide_columns", "wide_poses"]

#: What a column may be called, the likeliest first, in lower case with underscores and without units.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "frame": (
        "frame", "frame_id", "frame_idx", "frame_index", "frame_number", "frame_no", "frame_num", "frameid", "frames",
        "image_id", "img_id", "image", "img", "image_name", "image_path", "file_name", "filename", "file",
        "time", "timestamp", "time_s", "time_ms", "timestamp_ms", "seconds", "t",
    ),
    "person": (
        "person", "person_id", "person_idx", "personid", "track_id", "track", "individual", "individuals",
        "individual_id", "subject", "subject_id", "instance", "instance_id", "player", "player_id", "object_id",
        "identity", "animal", "people", "pose_id", "id",
    ),
    "joint": (
        "joint", "joint_name", "keypoint", "keypoint_name", "landmark", "landmark_name", "bodypart", "bodyparts",
        "body_part", "node", "node_name", "part", "marker", "marker_name", "kpt", "kp", "kpt_name", "keypoints",
        "landmarks", "name", "label", "joint_id", "joint_idx", "joint_index", "keypoint_id", "keypoint_idx",
        "keypoint_index", "landmark_id", "landmark_idx", "landmark_index", "kpt_id", "kpt_idx", "kp_id", "kp_idx",
        "point", "point_id", "index",
    ),
    "x": (
        "x", "x_coord", "x_coordinate", "x_pos", "x_position", "pos_x", "coord_x", "x_image", "image_x", "x2d",
        "u", "x_norm", "x_normalized", "x_normalised",
    ),
    "y": (
        "y", "y_coord", "y_coordinate", "y_pos", "y_position", "pos_y", "coord_y", "y_image", "image_y", "y2d",
        "v", "y_norm", "y_normalized", "y_normalised",
    ),
    "z": ("z", "z_coord", "z_coordinate", "z_pos", "z_position", "pos_z", "coord_z", "z_norm", "z_normalized"),
    "score": (
        "score", "confidence", "conf", "likelihood", "visibility", "point_score", "keypoint_score", "joint_score",
        "keypoint_confidence", "keypoint_conf", "probability", "prob", "certainty", "c", "p", "s", "visible", "vis",
    ),
}  # fmt: skip
_UNIT = re.compile(r"[_ ]*[\[(]?\b(?:px|pixels?|pix|m|mm|cm|metres|meters)\b[\])]?$")

#: What a part of a column's name means in a table with a row per person.
_AXES = {
    "x": "x", "y": "y", "z": "z", "v": "score", "c": "score", "s": "score", "p": "score", "score": "score",
    "conf": "score", "confidence": "score", "likelihood": "score", "visibility": "score", "vis": "score",
    "prob": "score", "probability": "score",
}  # fmt: skip
_AXIS = "|".join(sorted(_AXES, key=len, reverse=True))
_WIDE = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?P<joint>.+)[_.\-:/ ](?i:(?P<axis>{_AXIS}))",
        rf"(?i:(?P<axis>{_AXIS}))[_.\-:/ ]?(?P<joint>\d+)",
        rf"(?i:(?P<axis>{_AXIS}))[_.\-:/ ](?P<joint>.+)",
        r"(?P<joint>.*\d)(?i:(?P<axis>[xyzvcs]))",
        r"(?P<joint>.*[a-z])(?P<axis>[XYZ])",
    )
)
#: A joint that is called by its number.
_NUMBERED = re.compile(r"(?i:landmark|lm|kp|kpt|keypoint|point|joint|j|marker|node)?[_\-. ]?(\d+)")
#: Points of MediaPipe's holistic model without and with the iris, of the body and the face alone, with and without
#: hands: the 33 of the body stand first.
_HOLISTIC = (75, 501, 511, 543, 553)

#: What MediaPipe has and nobody else: coordinates are never -1 to 1 then.
_LANDMARKS = frozenset(get_skeleton("mediapipe33").joints)

#: Fewer joints with x and y are no table of poses.
_FEWEST = 3
#: Beyond this no number of frames, people or joints is meant.
_MOST = 2**53


@dataclass
class TablePoses:
    """Poses as a table has them.

    Attributes:
        frames: one per pose: numbers, or names of pictures.
        people: one per pose: numbers from 0.
        joints: names, or None where the joints are numbered.
        values: (poses, joints, 4): x, y, z and score, NaN where there is none.
        has_z, scored: whether there is a column of it.
        tracked: whether people have numbers or names of their own, not those of their place in the frame.
    """

    frames: list[int] | list[str]
    people: list[int]
    joints: list[str] | None
    values: Array
    has_z: bool
    scored: bool
    tracked: bool = False


def _plain(name: str) -> str:
    """A column's name in lower case with underscores, without its unit."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    bare = _UNIT.sub("", re.sub(r"[\s\-.]+", "_", words).lower().replace("_px", " px").replace("_pixel", " pixel"))
    return bare.strip("_ ") or words.lower()


def roles(names: Sequence[str]) -> dict[str, int]:
    """Role (frame, person, joint, x, y, z, score) -> place of the column that plays it."""
    plain = [_plain(name) for name in names]
    found: dict[str, int] = {}
    for role, spellings in SPELLINGS.items():
        place = next((plain.index(s) for s in spellings if s in plain), None)
        if place is not None and place not in found.values():
            found[role] = place
    return found


# -- a row per joint ---------------------------------------------------------------------------------------


def tidy_poses(table: Table) -> TablePoses:
    """Poses of a table with a row per joint, whose rows may stand in any order.

    Raises:
        InputError: a cell that is no number, a joint that is there twice; names line or frame, person and joint.
    """
    place = roles(table.names)
    rows = len(table)
    if not rows:
        raise InputError("no row below the header")
    frames = _frames(table, place.get("frame"))
    people = _people(table, place.get("person"))
    joint_texts = table.texts(place["joint"])
    blank = next((i for i, name in enumerate(joint_texts) if not name), None)
    if blank is not None:
        raise InputError(f"row {blank + 1}: no joint in column {quote(table.names[place['joint']])}")
    names, joint = _numbered(joint_texts)
    frame_keys, frame = _unique(frames)
    person_keys, person = _unique(people)
    count = len(names) if names is not None else int(joint.max()) + 1
    pair, pose = np.unique(frame * len(person_keys) + person, return_inverse=True)
    cell = pose * count + joint
    order, seen = np.unique(cell, return_counts=True)
    if (seen > 1).any():
        twice = int(order[seen > 1][0])
        where = int(pair[twice // count])
        name = names[twice % count] if names is not None else str(twice % count)
        remedy = "; is there more than one person? Add a column person" if "person" not in place else ""
        raise InputError(
            f"frame {frame_keys[where // len(person_keys)]}, person {person_keys[where % len(person_keys)]}: joint "
            f"{quote(name)} is there twice{remedy}"
        )
    flat = np.full((len(pair) * count, 4), np.nan)
    for axis, role in enumerate(("x", "y", "z", "score")):
        if role in place:
            flat[cell, axis] = table.numbers(place[role])
    values = flat.reshape(len(pair), count, 4)
    return TablePoses(
        [frame_keys[i] for i in pair // len(person_keys)],
        [person_keys[i] for i in pair % len(person_keys)],
        names,
        values,
        "z" in place,
        "score" in place,
        "person" in place,
    )


def _unique(values: list) -> tuple[list, Array]:
    """The different values (numbers in order, texts by first appearance) and the place of each among them."""
    keys = list(dict.fromkeys(values))
    if keys and not isinstance(keys[0], str):
        keys.sort()
    place = {key: i for i, key in enumerate(keys)}
    return keys, np.array([place[value] for value in values], np.int64)


def _frames(table: Table, column: int | None) -> list[int] | list[str]:
    """Frame numbers, or names of pictures; times are counted."""
    if column is None:
        return [0] * len(table)
    texts = table.texts(column)
    try:
        found = table.numbers(column)
    except InputError:
        return texts
    if not np.isfinite(found).all() or (np.abs(found) > _MOST).any():
        row = int(np.argmin(np.isfinite(found) & (np.abs(found) <= _MOST)))
        raise InputError(
            f"row {row + 1}: no frame in column {quote(table.names[column])}, found {quote(texts[row])[:40]}"
        )
    if (found == np.floor(found)).all() and found.min() >= 0:
        return [int(n) for n in found.tolist()]
    return np.unique(found, return_inverse=True)[1].tolist()


def _people(table: Table, column: int | None) -> list[int]:
    if column is None:
        return [0] * len(table)
    texts = table.texts(column)
    numeric = list(dict.fromkeys(texts))
    if all(re.fullmatch(r"\d{1,15}(\.0+)?", text) for text in numeric):
        return [int(float(text)) for text in texts]
    number = {text: i for i, text in enumerate(numeric)}
    return [number[text] for text in texts]


def _numbered(names: Sequence[str]) -> tuple[list[str] | None, Array]:
    """The names of the joints and the place of each entry among them; no names where the joints are numbered."""
    numbers = [_NUMBERED.fullmatch(re.sub(r"\.0+$", "", name)) for name in dict.fromkeys(names)]
    if not all(numbers):
        keys, place = _unique(list(names))
        return keys, place
    found = np.array([int(_NUMBERED.fullmatch(re.sub(r"\.0+$", "", name))[1]) for name in names])  # type: ignore[index]
    if len(numbers) > 2048 or found.max() > 100_000:
        raise InputError(f"joints are numbered up to {found.max()}; no body has so many: is this the column of joints?")
    different = np.unique(found)
    from_one = different[0] == 1 and different[-1] == len(different)
    return None, found - int(from_one)


# -- a row per person --------------------------------------------------------------------------------------


def wide_columns(names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Joint -> role (x, y, z, score) -> place of its column; only joints that have x and y."""
    taken = {place for role, place in roles(names).items() if role in ("frame", "person")}
    found: dict[str, dict[str, int]] = {}
    for column, name in enumerate(names):
        if column in taken:
            continue
        bare = re.sub(r"[ _]*[\[(]?\b(px|pixels?)\b[\])]?$", "", name.strip())
        match = next((m for m in (pattern.fullmatch(bare) for pattern in _WIDE) if m), None)
        if match:
            found.setdefault(match["joint"].strip(), {}).setdefault(_AXES[match["axis"].lower()], column)
    return {joint: axes for joint, axes in found.items() if {"x", "y"} <= set(axes)}


def wide_poses(table: Table) -> TablePoses:
    """Poses of a table with a row per person and frame.

    Raises:
        InputError: a cell that is no number; names line and column.
    """
    columns = wide_columns(table.names)
    place = roles(table.names)
    rows = len(table)
    if not rows:
        raise InputError("no row below the header")
    named, joint = _numbered(list(columns))
    count = int(joint.max()) + 1
    values = np.full((rows, count, 4), np.nan)
    for at, axes in zip(joint.tolist(), columns.values(), strict=True):
        for axis, role in enumerate(("x", "y", "z", "score")):
            if role in axes:
                values[:, at, axis] = table.numbers(axes[role])
    frames = _frames(table, place["frame"]) if "frame" in place else list(range(rows))
    tracked = "person" in place and place["person"] not in _used(columns)
    if tracked:
        people = _people(table, place["person"])
    else:  # rows of one frame are different people
        seen: dict[int | str, int] = {}
        people = []
        for frame in frames:
            people.append(seen.get(frame, 0))
            seen[frame] = people[-1] + 1
    pairs = list(zip(frames, people, strict=True))
    if len(set(pairs)) < len(pairs):
        first = next(pair for i, pair in enumerate(pairs) if pair in pairs[:i])
        raise InputError(f"frame {first[0]}, person {first[1]}: is there twice")
    axes_there = {role for axes in columns.values() for role in axes}
    return TablePoses(frames, people, named, values, "z" in axes_there, "score" in axes_there, tracked)


def _used(columns: dict[str, dict[str, int]]) -> set[int]:
    return {place for axes in columns.values() for place in axes.values()}


# -- as keypoints ------------------------------------------------------------------------------------------


def named_joints(names: Sequence[str], what: str, options: Options) -> tuple[list[str], list[int]]:
    """Our names of the joints that some skeleton knows, and their places; one line says what is not used.

    Raises:
        InputError: no joint is known, or two names mean the same.
    """
    known = resolve_names(list(names), what, options.skeleton)
    used = [i for i, joint in enumerate(known) if joint is not None]
    if not used:
        raise InputError(f"{what}: none is a joint of a person: {cut(', '.join(map(quote, names[:10])))}")
    say_names(options.file, [list(names)], options.skeleton)
    return [joint for joint in known if joint is not None], used


def detections_of(poses: TablePoses, what: str, options: Options) -> list[Detections]:
    """Poses in pixels as keypoints.

    Raises:
        InputError: 3D points, no joint that is known, a number of joints that no skeleton has.
    """
    target: Skeleton | None = None
    if poses.joints is None:
        count = poses.values.shape[1]
        if options.skeleton is None and count in _HOLISTIC:
            count = 33
            poses.values = poses.values[:, :count]
        skeleton = skeleton_of(count, poses.values.shape[:2], options.skeleton, poses.values[..., :2])
        used = list(range(count))
    else:
        joints, used = named_joints(poses.joints, what, options)
        skeleton = temporary_skeleton(joints)
        target = covering_skeleton(joints, options.skeleton)
    values = poses.values[:, used]
    _refuse_3d(poses, values, skeleton)
    counter = FrameNumbers()
    placed = [frame if isinstance(frame, int) else counter.place(frame, what)[0] for frame in poses.frames]
    frames = [frame.settled() if isinstance(frame, Frame) else frame for frame in placed]
    order = sorted(range(len(frames)), key=lambda i: (frames[i], poses.people[i]))
    size = options.image_size or (np.nan, np.nan)
    values = values[order]
    return [
        Detections(
            skeleton,
            [PoseId(options.file, frames[i], poses.people[i]) for i in order],
            values[..., :2],
            values[..., 3] if poses.scored else np.ones(values.shape[:2]),
            image_size=np.tile(size, (len(order), 1)),
            target=target,
            sources=[options.file] * len(order),
            tracked=[poses.tracked] * len(order),
            normalised="unit" if set(skeleton.joints) >= _LANDMARKS else None,
        )
    ]


def _refuse_3d(poses: TablePoses, values: Array, skeleton: Skeleton) -> None:
    """Points in space are no keypoints of a picture: MediaPipe's z goes with normalised x and y, or with a score."""
    if not poses.has_z or not np.isfinite(values[..., 2]).any():
        return
    xy = values[..., :2]
    reach = np.nanmax(np.abs(xy), initial=0.0)
    like_pixels = reach > 20
    from_zero_to_one = np.nanmin(xy, initial=0.0) > -1 and reach < 2.5 and skeleton.name == "mediapipe33"
    if poses.scored and (like_pixels or not _centred(xy, skeleton)):
        return
    if not poses.scored and from_zero_to_one and not _centred(xy, skeleton):
        return
    raise InputError(
        "holds 3D points (x, y and z), not keypoints in a picture; solve for the rotations instead: poseterior ik FILE"
    )


def _centred(xy: Array, skeleton: Skeleton) -> bool:
    """MediaPipe's world landmarks: metres around the middle of the hips."""
    hips = [skeleton.joints.index(joint) for joint in ("left_hip", "right_hip") if joint in skeleton.joints]
    if len(hips) < 2:
        return False
    middle = np.abs(xy[:, hips].mean(1)).max(-1)
    middle = middle[np.isfinite(middle)]
    reach = np.nanmax(np.abs(xy), initial=0.0)
    return bool(len(middle) and reach > 0 and np.quantile(middle, 0.9) < 0.05 * reach)
