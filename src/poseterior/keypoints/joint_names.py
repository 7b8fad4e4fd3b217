"""Joint names and joint counts of keypoint files, in terms of our skeletons."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import chain
from typing import Any

from ..files.checks import as_list, describe
from ..files.errors import InputError
from ..geometry.skeletons import SKELETONS, Skeleton, canonical_joint_name, get_skeleton

__all__ = [
    "covering_skeleton",
    "refuse_unknown",
    "resolve_names",
    "skeleton_of",
    "skeleton_remedy",
    "temporary_skeleton",
    "unnamed_layout",
]

#: Numbers of joints that detectors write without naming them -> the skeleton whose joints the first of them are.
#: 133 is COCO-WholeBody, 136 is Halpe's full body: the body comes first in both, the rest is not used.
_UNNAMED: dict[int, str] = {17: "coco17", 26: "halpe26", 133: "coco17", 136: "halpe26"}

# cmu31's names (root, thorax, head) mean other things than those of the keypoint skeletons.
_NAMED_LAYOUTS = tuple(s for s in SKELETONS.values() if s.name != "cmu31")
_KNOWN_JOINTS = frozenset(chain.from_iterable(s.joints for s in SKELETONS.values()))
_USUAL_JOINTS = sorted(set(chain.from_iterable(s.joints for s in _NAMED_LAYOUTS)))


def unnamed_layout(skeleton: Skeleton | None) -> dict[int, Skeleton]:
    """Joint counts that a format without joint names may have -> the skeleton of its leading joints.

    Args:
        skeleton: the only one, where the caller named it.
    """
    if skeleton is not None:
        return {len(skeleton): skeleton}
    return {count: get_skeleton(name) for count, name in _UNNAMED.items()}


def skeleton_remedy(skeleton: Skeleton | None, unset: str = "") -> str:
    """What to do about a number of joints that does not fit; ``unset`` where no skeleton was asked for."""
    if skeleton is None:
        return unset
    return f"; skeleton {skeleton.name!r} does not fit this file: drop --skeleton, or lift this file apart"


def skeleton_of(joints: int, shape: tuple[int, ...], skeleton: Skeleton | None) -> Skeleton:
    """The skeleton asked for, else the only one with as many joints, for an array of this shape."""
    if skeleton is not None:
        if len(skeleton) != joints:
            raise InputError(
                f"array of shape {shape} has {joints} joints; skeleton {skeleton.name!r} has {len(skeleton)}"
                f"{skeleton_remedy(skeleton)}"
            )
        return skeleton
    fitting = [s.name for s in SKELETONS.values() if len(s) == joints]
    if len(fitting) == 1:
        return get_skeleton(fitting[0])
    if fitting:
        raise InputError(f"{joints} joints may be {' or '.join(fitting)}: pass --skeleton (skeleton=... in Python)")
    known = ", ".join(f"{s.name} ({len(s)})" for s in SKELETONS.values())
    raise InputError(f"array of shape {shape} has {joints} joints; no skeleton has as many: {known}")


def resolve_names(names: Any, what: str, skeleton: Skeleton | None = None) -> list[str | None]:
    """Our spelling of a file's joint names; None for those that no skeleton knows.

    Raises:
        InputError: not a list of strings, or two that mean the same joint.
    """
    listed = as_list(names, what)
    for i, name in enumerate(listed):
        if not isinstance(name, str):
            raise InputError(f"{what}[{i}]: expected a joint name, found {describe(name)}")
    own = frozenset(skeleton.joints) if skeleton else frozenset()
    found = [name if name in own else canonical_joint_name(name) for name in listed]
    # "left_foot" is a way to say ankle, unless the ankle is there too: then it is SMPL's foot.
    found = [
        raw if found.count(ours) > 1 and raw in _KNOWN_JOINTS else ours for raw, ours in zip(listed, found, strict=True)
    ]
    known = [joint if joint in _KNOWN_JOINTS else None for joint in found]
    for i, joint in enumerate(known):
        if joint is not None and joint in known[:i]:
            first = listed[known.index(joint)]
            raise InputError(f"{what}: {first!r} and {listed[i]!r} both mean {joint!r}; name each joint once")
    return known


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
    """The skeleton given, else the smallest named one that has all ``joints``, else h36m17."""
    if skeleton is not None:
        return skeleton
    covering = [s for s in _NAMED_LAYOUTS if set(joints) <= set(s.joints)]
    return min(covering, key=len, default=get_skeleton("h36m17"))


def temporary_skeleton(joints: Sequence[str]) -> Skeleton:
    """A skeleton of loose joints in the file's order, to be mapped by name."""
    return Skeleton("file", tuple(joints), (-1,) * len(joints))
