"""Coordinates that are no measurements: what detectors and tools write for joints that they did not find.

* exactly (0, 0) or (-1, -1);
* a corner of the picture, or its centre for several joints at once;
* outside the picture by more than its own size; where that is unknown, many times the person's own size away;
* one and the same point for several joints that cannot be at one place: a crop's corner, say;
* a neck or a mid-hip half way between a shoulder or hip and one of these, and a spine half way between such joints:
  programs that add these joints take the middle of whatever is there.

A joint on the picture's edge is none of these, and neither are neighbours that meet at one pixel: the joints of a face,
a hand or a foot, both sides of a person seen from the side, and any joints of people who are small for the grain of
their coordinates (whole pixels, cells of a heat map). People whose every joint is at one point are very small.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..files.checks import Array
from .keypoints import MAXIMUM_COORDINATE

__all__ = ["KINDS", "distinct", "find_halfway", "find_marks", "find_outside", "find_repeated"]

#: What each number of a mask says of a joint; 0 is a measurement.
KINDS = (
    "", "at exactly (0, 0)", "at exactly (-1, -1)", "at one point with other joints", "in a corner of the picture",
    "outside the picture by more than its size", "far beyond the person", "half way to one of these",
)  # fmt: skip
_ORIGIN, _MINUS_ONE, _REPEATED, _CORNER, _OUTSIDE, _BEYOND, _HALFWAY = range(1, len(KINDS))

#: Joints that meet at one pixel are of one part, from the head down.
_PARTS = {
    "head": ("nose", "eye", "ear", "mouth", "head", "jaw", "face", "chin", "brow", "lip", "neck_nose"),
    "hand": ("wrist", "hand", "thumb", "pinky", "index", "finger", "middle", "ring", "palm"),
    "foot": ("ankle", "foot", "heel", "toe", "ball"),
    "elbow": ("elbow",),
    "knee": ("knee",),
    "shoulder": ("shoulder", "collar", "clavicle", "neck", "thorax", "chest", "spine3", "sternum"),
    "hip": ("hip", "pelvis", "root", "spine", "sacrum", "torso", "belly"),
}
#: Neighbouring parts: tools that lack a joint may copy one of these.
_NEIGHBOURS = (
    {"head", "shoulder"}, {"shoulder", "elbow"}, {"elbow", "hand"}, {"shoulder", "hip"}, {"hip", "knee"},
    {"knee", "foot"},
)  # fmt: skip
#: Two joints, and those that programs put in the middle of them; in the order in which they are made.
_MIDDLES = (
    ("left_shoulder", "right_shoulder", ("neck", "upper_neck", "thorax")),
    ("left_hip", "right_hip", ("pelvis",)),
    ("pelvis", "thorax", ("spine",)),
    ("pelvis", "neck", ("spine",)),
)
#: The middle is meant within this share of the distance: coordinates may be rounded.
_MIDDLE = 3e-3
#: A person this many grains long is too small to tell joints apart; this many, to tell neighbouring parts apart.
_TINY, _COARSE = 40, 150
#: Farther from the middle of the person than this times the median joint is no joint.
_FARTHEST = 30
#: In smaller pictures (px) one real joint may be in a corner.
_LARGE = 100


def find_marks(xy: Array) -> Array:
    """``(poses, joints)`` kinds of the joints of ``(poses, joints, 2)`` that are at exactly (0, 0) or (-1, -1)."""
    kinds = np.zeros(xy.shape[:-1], np.int8)
    kinds[(xy == 0).all(-1)] = _ORIGIN
    kinds[(xy == -1).all(-1)] = _MINUS_ONE
    return kinds


def distinct(xy: Array) -> Array:
    """``(poses, joints, 2)`` with NaN for what may be a placeholder, for judgements about whole files.

    That is a joint at (0, 0) or (-1, -1), or at exactly the point of another joint of its pose: more than
    `find_repeated` finds, and no joint has to be known by name.
    """
    points = np.ascontiguousarray(xy, np.float64).view(np.complex128)[..., 0]
    order = np.argsort(points, -1)
    ordered = np.take_along_axis(points, order, -1)
    same = ordered[..., 1:] == ordered[..., :-1]
    edge = np.zeros((*same.shape[:-1], 1), bool)
    shared = np.zeros(points.shape, bool)
    np.put_along_axis(shared, order, np.concatenate([edge, same], -1) | np.concatenate([same, edge], -1), -1)
    return np.where((shared | (find_marks(xy) > 0))[..., None], np.nan, xy)


def find_outside(xy: Array, size: Array, slack: float = 0.0) -> Array:
    """Kinds of the joints that are in a corner of the picture or beyond any place that they could have.

    Args:
        xy: ``(poses, joints, 2)`` px, NaN where missing.
        size: ``(poses, 2)`` width and height, NaN where unknown.
        slack: px within which two coordinates are one: 0 but for computed ones.
    """
    kinds = np.zeros(xy.shape[:-1], np.int8)
    size = size[:, None]
    known = np.asarray((np.abs(xy) <= MAXIMUM_COORDINATE).all(-1))
    with np.errstate(invalid="ignore"):
        start = np.abs(xy) <= slack
        end = (np.abs(xy - size) <= slack) | (np.abs(xy - (size - 1)) <= slack)
        corner = (start | end).all(-1) & np.isfinite(size).all(-1)
        corner &= (size >= _LARGE).all(-1) | (corner.sum(-1, keepdims=True) >= 2)
        centre = np.asarray((np.abs(xy - size / 2) <= slack).all(-1))
        outside = ((xy < -size) | (xy > 2 * size)).any(-1)
    kinds[known & corner] = _CORNER
    kinds[known & start.all(-1)] = _ORIGIN
    several = (centre.sum(-1, keepdims=True) >= 2) & (centre != known).any(-1, keepdims=True)
    kinds[known & centre & several] = _REPEATED
    kinds[known & outside] = _OUTSIDE
    unsized = np.isnan(size).any((-2, -1))
    rows = np.flatnonzero(unsized & (known.sum(-1) >= 6))
    if len(rows):
        there = np.where(known[rows, :, None], xy[rows], np.nan)
        away = np.linalg.norm(there - np.nanmedian(there, 1, keepdims=True), axis=-1)
        usual = np.nanmedian(away, 1, keepdims=True)
        kinds[rows] = np.where((usual > 0) & (away > _FARTHEST * usual), _BEYOND, kinds[rows])
    return kinds


def find_repeated(xy: Array, joints: Sequence[str]) -> Array:
    """Kinds of the joints that share one point which cannot be where all of them are.

    Args:
        xy: ``(poses, joints, 2)`` as in the file, NaN where missing.
        joints: their names.
    """
    kinds = np.zeros(xy.shape[:-1], np.int8)
    points = np.ascontiguousarray(xy, np.float64).view(np.complex128)[..., 0]
    points = np.where(np.isfinite(xy).all(-1), points, np.nan)
    ordered = np.sort(points, -1)
    parts = np.array([_part(joint) for joint in joints])
    for row in np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(-1)):
        found, counts = np.unique(points[row][~np.isnan(points[row])], return_counts=True)
        for point in found[counts > 1]:
            here = points[row] == point
            if _is_placeholder(xy[row], here, parts):
                kinds[row, here] = _REPEATED
    return kinds


def find_halfway(xy: Array, kinds: Array, joints: Sequence[str]) -> Array:
    """Kinds of the middles of two joints of which one is no measurement, by the ``kinds`` of all joints.

    Args:
        xy: ``(poses, joints, 2)``, NaN where missing.
        kinds: ``(poses, joints)``.
        joints: their names.
    """
    found = np.zeros_like(kinds)
    place = {joint: i for i, joint in enumerate(joints)}
    for one, other, middles in _MIDDLES:
        if one not in place or other not in place:
            continue
        ends = [place[one], place[other]]
        gone = ((kinds[:, ends] > 0) | (found[:, ends] > 0)).any(-1)
        first, second = xy[:, ends[0]], xy[:, ends[1]]
        for middle in (place[name] for name in middles if name in place):
            with np.errstate(invalid="ignore"):
                off = np.linalg.norm(2 * xy[:, middle] - first - second, axis=-1) / 2
                meant = off <= _MIDDLE * np.linalg.norm(first - second, axis=-1)
            found[gone & meant, middle] = _HALFWAY
    return found


def _part(joint: str) -> str:
    """The part of the body that a joint belongs to, for both sides; its own name where it is of none."""
    name = joint.removeprefix("left_").removeprefix("right_")
    return next((part for part, names in _PARTS.items() if name.startswith(names)), name)


def _is_placeholder(xy: Array, here: Array, parts: Array) -> bool:
    """Whether the joints ``here``, all at one point of a pose ``(joints, 2)``, cannot all be there."""
    count, kinds = int(here.sum()), len(set(parts[here]))
    point, others = xy[here][0], xy[~here & np.isfinite(xy).all(-1)]
    if (point < 0).all():
        return True
    if len(others) < 3:
        return bool(len(others)) and count >= 3 and kinds >= 3
    low, high = others.min(0), others.max(0)
    length = float(np.linalg.norm(high - low))
    grain = _grain(others)
    tiny, coarse = length < _TINY * grain, length < _COARSE * grain
    away = bool((point < low - length / 2).any() or (point > high + length / 2).any())
    if away:
        return kinds >= 2 or not coarse
    if kinds >= 2 and (point < 0).any():
        return not tiny
    if kinds >= 2 and not grain and set(parts[here]) not in _NEIGHBOURS:
        return True  # fractions of pixels that agree to the last digit
    return count >= 3 and ((kinds >= 3 and not tiny) or (kinds == 2 and not coarse))


def _grain(xy: Array) -> float:
    """Distance between neighbouring coordinates where they lie on a grid (whole pixels, cells), else 0."""
    if (xy % 1 == 0).all():
        return 1.0
    steps = [np.diff(np.unique(axis)) for axis in xy.T]
    steps = [step[step > 1e-6] for step in steps]
    if len(xy) < 6 or not all(map(len, steps)):
        return 0.0
    grains = [_common_step(step) for step in steps]
    return max(grains) if all(grains) else 0.0


def _common_step(steps: Array) -> float:
    """What all steps are whole multiples of, 0 where that is nothing of note."""
    for share in (1, 2, 3, 4):
        grain = float(steps.min()) / share
        if (np.abs(steps / grain - np.round(steps / grain)) < 0.02).all():
            return grain
    return 0.0
