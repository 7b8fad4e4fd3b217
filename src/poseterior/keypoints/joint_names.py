"""Joint names and joint counts of keypoint files, in terms of our skeletons."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np

from ..files.checks import Array, as_list, describe, quote
from ..files.errors import InputError
from ..geometry.joint_spelling import spell
from ..geometry.skeletons import (
    SKELETONS,
    Skeleton,
    body_of,
    canonical_joint_name,
    get_skeleton,
    skeleton_names,
)
from .company import Meaning, meanings
from .placeholders import distinct

__all__ = [
    "candidates",
    "covering_skeleton",
    "is_hand_or_face",
    "layout_names",
    "meant_joints",
    "refuse_unknown",
    "resolve_names",
    "say_names",
    "skeleton_of",
    "skeleton_remedy",
    "temporary_skeleton",
    "unnamed_layout",
]

_LOG = logging.getLogger(__name__)

#: Numbers of joints that detectors write without naming them -> the skeleton whose joints the first of them are.
#: 133 is COCO-WholeBody, 136 is Halpe's full body, 135 OpenPose's: the body comes first, the rest is not used.
_UNNAMED: dict[int, str] = {17: "coco17", 26: "halpe26", 133: "coco17", 136: "halpe26", 135: "body25b"}
#: Orders that share a number of joints: the first is read where nothing speaks for another.
_CANDIDATES: dict[int, tuple[str, ...]] = {
    14: ("lsp14", "crowdpose14", "aic14"),
    15: ("jhmdb15", "mpi15", "panoptic15"),
    16: ("mpii16", "h36m16"),
    17: ("h36m17", "coco17", "mpi17"),
    25: ("body25", "body25b", "kinect25"),
}
#: Numbers that no order is usual for: they have to be named.
_UNDECIDED = (15, 17)

# cmu31's names (root, thorax, head) mean other things than those of the keypoint skeletons.
_NAMED_LAYOUTS = tuple(s for s in SKELETONS.values() if s.name != "cmu31")
_OTHER_LAYOUTS = tuple(body_of(get_skeleton(name)) for name in skeleton_names() if name not in SKELETONS)
_CMU_JOINTS = frozenset(SKELETONS["cmu31"].joints)
_KNOWN_JOINTS = frozenset(chain.from_iterable(s.joints for s in (*_NAMED_LAYOUTS, *_OTHER_LAYOUTS)))
_USUAL_JOINTS = sorted(set(chain.from_iterable(s.joints for s in _NAMED_LAYOUTS)))
#: Points of hands and faces that data sets of whole bodies name, and that no lifter uses.
_HAND_OR_FACE = re.compile(
    r"face(_or_hand)?_?\d+|.*(lip|brow|eyebrow|contour|nose_?[1-9]|smplhf|cheek|_pupil|outline)(_.*|\d.*)?"
    r"|.*(thumb|fore_?finger|index|middle|ring|pinky|little)(_?finger)?_?(\d|tip|mcp|pip|dip|ip|cmc).*"
    r"|.*hand_?(root|\d+)|jaw|outline_\d+"
)


def layout_names(dataset: str) -> tuple[str, ...]:
    """The joints of a data set in its published order, as we spell them.

    Sources: COCO and COCO-WholeBody (133), Halpe (26, 136), CrowdPose, AI Challenger, JHMDB, MPII and MPII-TRB,
    PoseTrack 2018, Human3.6M (16, 17), MPI-INF-3DHP (17, 28), SMPL, OpenPose (BODY_25, BODY_25B, COCO, MPI, BODY_135),
    CMU Panoptic, Kinect v1, v2 and Azure, MediaPipe, LSP; see `poseterior.geometry.joint_orders`.

    >>> layout_names("crowdpose14")[-2:]
    ('head_top', 'neck')

    Raises:
        InputError: no such data set; the message lists those there are.
    """
    return get_skeleton(dataset).joints


def unnamed_layout(skeleton: Skeleton | None) -> dict[int, Skeleton]:
    """Joint counts that a format without joint names may have -> the skeleton of its leading joints.

    Args:
        skeleton: the only one, where the caller named it.
    """
    if skeleton is not None:
        return {len(skeleton): body_of(skeleton)}
    return {count: get_skeleton(name) for count, name in _UNNAMED.items()}


def skeleton_remedy(skeleton: Skeleton | None, unset: str = "") -> str:
    """What to do about a number of joints that does not fit; ``unset`` where no skeleton was asked for."""
    if skeleton is None:
        return unset
    return f"; skeleton {skeleton.name!r} does not fit this file: drop --skeleton, or lift this file apart"


def candidates(joints: int) -> tuple[str, ...]:
    """Names of the skeletons that have as many joints.

    >>> candidates(16)
    ('mpii16', 'h36m16')
    """
    known = tuple(name for name in skeleton_names() if len(get_skeleton(name)) == joints)
    return _CANDIDATES.get(joints, known)


def skeleton_of(joints: int, shape: tuple[int, ...], skeleton: Skeleton | None, xy: Array | None = None) -> Skeleton:
    """The skeleton asked for, else that of as many joints, for an array of this shape.

    Args:
        xy: (frames, joints, 2) coordinates, by which orders that share a number of joints are told apart.

    Raises:
        InputError: no skeleton has as many, or several have, and none is the usual one or fits ``xy`` better.
    """
    if skeleton is not None:
        if len(skeleton) != joints:
            raise InputError(
                f"array of shape {shape} has {joints} joints; skeleton {skeleton.name!r} has {len(skeleton)}"
                f"{skeleton_remedy(skeleton)}"
            )
        return skeleton
    fitting = candidates(joints)
    if not fitting:
        known = ", ".join(f"{name} ({len(get_skeleton(name))})" for name in skeleton_names())
        raise InputError(f"array of shape {shape} has {joints} joints; no skeleton has as many: {known}")
    likely = fitting[0] if xy is None else _shortest(fitting, xy)
    if len(fitting) > 1 and (joints in _UNDECIDED or likely != fitting[0]):
        looks = "" if joints in _UNDECIDED or xy is None else f" (it looks like {likely})"
        raise InputError(
            f"{joints} joints may be {' or '.join(fitting)}{looks}: pass --skeleton (skeleton=... in Python)"
        )
    return get_skeleton(fitting[0])


def _shortest(names: Sequence[str], xy: Array) -> str:
    """The order in which the bones are shortest; the first of the names unless another is clearly better.

    In a wrong order bones run across the body, and are about twice as long.
    """
    sample = distinct(xy[:: max(1, len(xy) // 500)])
    lengths = {}
    for name in names:
        child, parent = np.array(get_skeleton(name).bones).T
        with np.errstate(invalid="ignore", over="ignore"):
            bones = np.linalg.norm(sample[:, child] - sample[:, parent], axis=-1)
        seen = np.isfinite(bones)
        lengths[name] = bones[seen].mean() if seen.any() else np.inf
    best = min(names, key=lengths.__getitem__)
    return best if lengths[best] < 0.8 * lengths[names[0]] else names[0]


def resolve_names(names: Any, what: str, skeleton: Skeleton | None = None) -> list[str | None]:
    """Our spelling of a file's joint names; None for those that no skeleton knows, see `say_names`.

    The list is looked at as a whole: "head" is the crown in Halpe's and Human3.6M's and the middle of the head in
    SMPL's, "RFoot" the ankle unless the ankle is there (see `poseterior.keypoints.company`).

    Raises:
        InputError: not a list of strings, or two that mean the same joint.
    """
    listed = as_list(names, what)
    for i, name in enumerate(listed):
        if not isinstance(name, str):
            raise InputError(f"{what}[{i}]: expected a joint name, found {describe(name)}")
    known = list(_resolved(tuple(listed), skeleton).joints)
    for i, joint in enumerate(known):
        if joint is not None and joint in known[:i]:
            first = listed[known.index(joint)]
            raise InputError(f"{what}: {first!r} and {listed[i]!r} both mean {joint!r}; name each joint once")
    return known


def meant_joints(names: Sequence[str]) -> tuple[str | None, ...]:
    """As `resolve_names`, of a list that is checked by the caller: a joint may be there twice."""
    return _resolved(tuple(names), None).joints


@lru_cache(maxsize=1024)
def _resolved(names: tuple[str, ...], skeleton: Skeleton | None) -> Meaning:
    if _CMU_JOINTS.issuperset(names) and any(name.endswith("femur") for name in names):
        return Meaning(names)
    if skeleton is not None and set(names) <= set(skeleton.joints):
        return Meaning(names)
    said = meanings([spell(name) for name in names])
    return Meaning(tuple(joint if joint in _KNOWN_JOINTS else None for joint in said.joints), said.doubt)


def is_hand_or_face(name: str) -> bool:
    """Whether it is a point of a hand or a face that data sets of whole bodies name, and that no lifter uses.

    >>> [is_hand_or_face(n) for n in ("face-12", "left_forefinger2", "left_hand_root", "left_hipp")]
    [True, True, True, False]
    """
    return _HAND_OR_FACE.fullmatch(spell(name)) is not None


def say_names(file: str, lists: Iterable[Sequence[str]], skeleton: Skeleton | None = None) -> None:
    """Warn, in one line for a file, of names that are not used, and in one of names that may mean two joints."""
    unused: dict[str, None] = {}
    doubts: dict[tuple[str, str], None] = {}
    for names in lists:
        resolved = _resolved(tuple(names), skeleton)
        unused |= {name: None for name, joint in zip(names, resolved.joints, strict=True) if joint is None}
        doubts |= {} if resolved.doubt is None else {resolved.doubt: None}
    if unused:
        body = [name for name in unused if not is_hand_or_face(name)]
        listed = [quote(name) for name in body[:12]] + [f"{len(body) - 12} more"] * (len(body) > 12)
        points = len(unused) - len(body)
        listed += [f"{points} points of hands and face"] * (points > 0)
        _LOG.warning("%s: joints that no skeleton knows are not used: %s", file, ", ".join(listed))
    if doubts:
        _LOG.warning(
            "%s: joint 'head' may be the crown or the middle of the head, and is read as the middle; "
            "call it 'head_top' if it is the crown",
            file,
        )


def refuse_unknown(names: Sequence[str], known: Sequence[str | None], what: str) -> list[str]:
    """``known`` if every joint is, else an `InputError` with the nearest joint name."""
    for name, joint in zip(names, known, strict=True):
        if joint is None:
            near = difflib.get_close_matches(canonical_joint_name(name), _USUAL_JOINTS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {_usual_names()}"
            raise InputError(f"{what}: unknown joint {describe(name)}; {hint}")
    return [joint for joint in known if joint is not None]


def _usual_names() -> str:
    """The joints of h36m17 and coco17, both sides in one, and the names of the other skeletons."""
    joints = sorted({*get_skeleton("h36m17").joints, *get_skeleton("coco17").joints})
    middle = [joint for joint in joints if not joint.startswith(("left_", "right_"))]
    paired = [f"left_/right_{joint.removeprefix('left_')}" for joint in joints if joint.startswith("left_")]
    others = [s.name for s in _NAMED_LAYOUTS if s.name not in ("h36m17", "coco17")]
    return f"{', '.join(middle + paired)}, and the joints of {', '.join(others)}"


def covering_skeleton(joints: Sequence[str], skeleton: Skeleton | None) -> Skeleton:
    """The skeleton given, else the smallest named one that has all ``joints``, else h36m17.

    The orders of other data sets are looked at where none of `SKELETONS` has them all.
    """
    if skeleton is not None:
        return body_of(skeleton)
    for layouts in (_NAMED_LAYOUTS, _OTHER_LAYOUTS):
        covering = [s for s in layouts if set(joints) <= set(s.joints)]
        if covering:
            return min(covering, key=len)
    return get_skeleton("h36m17")


def temporary_skeleton(joints: Sequence[str]) -> Skeleton:
    """A skeleton of loose joints in the file's order, to be mapped by name."""
    return Skeleton("file", tuple(joints), (-1,) * len(joints))
