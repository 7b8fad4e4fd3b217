"""Which joint of a rig is which joint of the body, and the joint table that follows from it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...files.errors import InputError
from .joint_tables import JointTable, RestFrame
from .motion import Array, Motion
from .rig_names import LIMBS, is_helper, roles, strip_prefixes

__all__ = [
    "Assignment",
    "assign",
    "assign_named",
    "segments",
    "table_from",
]

_SIDES = ("left", "right")
_SMPL_NAMES = {
    "thigh": "hip", "shin": "knee", "foot": "ankle", "toe": "foot", "collar": "collar", "upper_arm": "shoulder",
    "forearm": "elbow", "hand": "wrist",
}  # fmt: skip
_MISSING_TOE, _MISSING_COLLAR, _SECOND_MEANING = 2, 2, 1


@dataclass(frozen=True)
class Assignment:
    """Joints of a rig by what they are, as indices into `Motion.joints`.

    Attributes:
        pelvis: the joint that both thighs hang on.
        trunk: the joints from the pelvis to the one that bears neck and arms, upwards.
        neck: the first joint above the trunk, or None.
        head: the joint of the head.
        limbs: (side, part of `rig_names.LIMBS`) -> joint; toe and collar may be missing.
        head_top: the end of the head, or None.
    """

    pelvis: int
    trunk: tuple[int, ...]
    neck: int | None
    head: int
    limbs: Mapping[tuple[str, str], int]
    head_top: int | None = None


def _path(parents: Sequence[int], joint: int) -> list[int]:
    """The joint and its ancestors, upwards to the root."""
    found = [joint]
    while parents[found[-1]] >= 0:
        found.append(parents[found[-1]])
    return found


def _common(parents: Sequence[int], a: int, b: int) -> int | None:
    above = set(_path(parents, a))
    return next((joint for joint in _path(parents, b) if joint in above), None)


def _limbs(
    parents: Sequence[int], options: Mapping[str, list[tuple[int, int]]], parts: Sequence[str]
) -> Iterator[tuple[int, int, list[int | None]]]:
    """All ways to take one joint for each part, each below the one before; optional parts may be None."""
    optional = {"toe": _MISSING_TOE, "collar": _MISSING_COLLAR}
    ways = [[*options.get(part, []), *([(None, optional[part])] if part in optional else [])] for part in parts]
    for way in itertools.product(*ways):
        chain = [joint for joint, _ in way if joint is not None]
        if all(a != b and a in _path(parents, b) for a, b in itertools.pairwise(chain)):
            depth = sum(len(_path(parents, joint)) for joint in chain)
            yield sum(cost for _, cost in way), depth, [joint for joint, _ in way]


def _end_of(motion: Motion, joint: int) -> int | None:
    """The end site below a joint, or a bone without a role that ends there."""
    ends = [i for i, parent in enumerate(motion.parents) if parent == joint and motion.joints[i].endswith("_end")]
    return ends[0] if ends else None


def assign(motion: Motion) -> Assignment:
    """Joints by the meaning of their names and their order in the tree.

    Raises:
        InputError: a joint that the body needs was not found; says which.
    """
    names = strip_prefixes(motion.joints)
    parents = motion.parents
    options: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for joint, name in enumerate(names):
        if name.endswith("_end"):
            continue
        side, meanings = roles(name)
        for rank, meaning in enumerate(meanings):
            options.setdefault((side, meaning), []).append((joint, rank * _SECOND_MEANING))
    limbs: dict[tuple[str, str], int] = {}
    for side, (limb, parts) in itertools.product(_SIDES, LIMBS.items()):
        own = {part: options.get((side, part), []) for part in parts}
        if limb == "arm" and not own["hand"]:  # a forearm may end at the wrist
            own["hand"] = [(end, 0) for joint, _ in own["forearm"] if (end := _end_of(motion, joint)) is not None]
        best = min(_limbs(parents, own, parts), default=None, key=lambda way: (way[0], way[1]))
        if best is None:
            lacking = [part for part in parts if not own[part] and part not in ("toe", "collar")]
            what = f"no {side} {' or '.join(lacking)}".replace("_", " ") if lacking else f"no {side} {limb} in order"
            raise InputError(f"{what} among its joints")
        limbs.update({(side, part): joint for part, joint in zip(parts, best[2], strict=True) if joint is not None})
    for side in _SIDES:
        end = _end_of(motion, limbs[side, "foot"])
        if (side, "toe") not in limbs and end is not None:
            limbs[side, "toe"] = end
    heads = [joint for joint, _ in options.get(("", "head"), []) if not is_helper(names[joint])]
    return _trunk(motion, limbs, heads, names)


def _trunk(motion: Motion, limbs: dict[tuple[str, str], int], heads: list[int], names: Sequence[str]) -> Assignment:
    parents = motion.parents
    pelvis = _common(parents, limbs["left", "thigh"], limbs["right", "thigh"])
    first = [limbs.get((side, "collar"), limbs[side, "upper_arm"]) for side in _SIDES]
    chest = _common(parents, *first)
    if pelvis is None or chest is None:
        raise InputError("its legs, or its arms, hang on no common joint")
    if chest in first or pelvis in (limbs["left", "thigh"], limbs["right", "thigh"]):
        raise InputError("one of its limbs hangs on the other")
    if pelvis not in _path(parents, chest):
        lower = _common(parents, pelvis, chest)
        if lower is None:
            raise InputError("its legs and arms hang on no common joint")
    else:
        lower = pelvis
    way = _path(parents, chest)
    trunk = way[: way.index(lower)][::-1]
    if any(joint in trunk for joint in limbs.values()) or pelvis == chest:
        raise InputError("no trunk between its legs and arms")
    above = [joint for joint in heads if chest in _path(parents, joint) and joint != chest] or _topmost(
        motion, chest, limbs
    )
    if not above:
        raise InputError("no head above its arms")
    head = min(above, key=lambda joint: len(_path(parents, joint)))
    if not any(chest in _path(parents, joint) for joint in heads):  # no joint is called head: the last one is
        head = above[-1]
    between = _path(parents, head)[1:]
    between = between[: between.index(chest)][::-1]
    neck = between[0] if between else None
    if roles(names[chest])[1] == ("neck",) and len(trunk) > 1:  # the collars hang on the neck
        neck, trunk = chest, trunk[:-1]
    return Assignment(pelvis, tuple(trunk), neck, head, limbs, _end_of(motion, head))


def _topmost(motion: Motion, chest: int, limbs: Mapping[tuple[str, str], int]) -> list[int]:
    """The chain of single middle joints above the chest, for rigs that call no joint head."""
    taken = {joint for limb in limbs.values() for joint in _path(motion.parents, limb)}
    chain: list[int] = []
    joint = chest
    while True:
        above = [
            i for i, parent in enumerate(motion.parents)
            if parent == joint and i not in taken and not motion.joints[i].endswith("_end")
            and not is_helper(motion.joints[i]) and not roles(motion.joints[i])[0]
        ]  # fmt: skip
        if len(above) != 1:
            return chain
        joint = above[0]
        chain.append(joint)


def assign_named(motion: Motion, named: Mapping[str, str]) -> Assignment:
    """Joints by a list of names: smpl22 joint -> joint of the rig; what is before the last ``:`` does not matter.

    ``pelvis``, ``head`` and hip, knee, ankle, shoulder, elbow and wrist of both sides are needed; of the trunk
    whatever there is.

    Raises:
        InputError: the motion lacks a joint that is named, or a needed one is not named.
    """
    spelled: dict[str, int] = {}
    for names in (motion.joints, strip_prefixes(motion.joints)):
        for index, name in enumerate(names):
            for key in (name, name.lower()):
                spelled.setdefault(key, index)
    bare = dict(zip(named, strip_prefixes(list(named.values())), strict=True))

    def find(joint: str) -> int | None:
        if joint not in named:
            return None
        for name in (named[joint], named[joint].lower(), bare[joint], bare[joint].lower()):
            if name in spelled:
                return spelled[name]
        raise InputError(f"{joint} is named {named[joint]!r}, which the file lacks")

    def required(joint: str) -> int:
        found = find(joint)
        if found is None:
            raise InputError(f"no joint is named for {joint}")
        return found

    limbs: dict[tuple[str, str], int] = {}
    for side, parts in itertools.product(_SIDES, LIMBS.values()):
        above: str | None = None
        for part in parts:
            joint = f"{side}_{_SMPL_NAMES[part]}"
            named_at = find(joint) if part in ("toe", "collar") else required(joint)
            if named_at is None:
                continue
            limbs[side, part] = named_at
            if above is not None and limbs[side, above] not in _path(motion.parents, named_at)[1:]:
                raise InputError(
                    f"{motion.joints[named_at]} ({joint}) does not hang on {motion.joints[limbs[side, above]]} "
                    f"({side}_{_SMPL_NAMES[above]})"
                )
            above = part
    pelvis, head = required("pelvis"), required("head")
    chest = _common(motion.parents, limbs["left", "upper_arm"], limbs["right", "upper_arm"])
    neck = find("neck")
    trunk = [place for place in (find("spine1"), find("spine2"), find("spine3")) if place is not None]
    lower = None if chest is None else _common(motion.parents, pelvis, chest)
    if len(trunk) < 3 and chest is not None and lower is not None:  # the tree says what the names leave open
        way = _path(motion.parents, chest)
        between = [joint for joint in way[: way.index(lower)][::-1] if joint != neck]
        trunk = between if len(between) >= len(trunk) else trunk
    if not trunk:
        raise InputError("no joint is named for spine1, spine2 or spine3")
    upwards = [*trunk, *([neck] if neck is not None else []), head]
    if any(a not in _path(motion.parents, b)[1:] for a, b in itertools.pairwise(upwards)):
        raise InputError("trunk, neck and head do not hang on each other")
    for (side, part), place in limbs.items():
        if part in ("thigh", "collar", "upper_arm") and place in upwards:
            raise InputError(f"{motion.joints[place]} is {side}_{_SMPL_NAMES[part]} and part of the trunk")
    return Assignment(pelvis, tuple(trunk), neck, head, limbs, _end_of(motion, head))


def _spines(count: int) -> list[tuple[dict[int, float], int]]:
    """For spine1, 2, 3: weights of trunk joints (-1: the neck) and the trunk joint whose frame turns with it."""
    if count == 1:
        return [({0: 1.0}, 0), ({0: 2 / 3, -1: 1 / 3}, 0), ({0: 1 / 3, -1: 2 / 3}, 0)]
    if count == 2:
        return [({0: 1.0}, 0), ({1: 1.0}, 1), ({1: 0.5, -1: 0.5}, 1)]
    middle = count // 2 if count > 3 else 1
    return [({0: 1.0}, middle - 1), ({middle: 1.0}, count - 2), ({count - 1: 1.0}, count - 1)]


def segments(motion: Motion, found: Assignment) -> dict[str, tuple[dict[int, float], int]]:
    """smpl22 joint -> (weights of source joints whose sum it is, source joint whose frame turns with it)."""
    limbs = found.limbs
    shoulders = {limbs[side, "upper_arm"]: 0.5 for side in _SIDES}
    neck = {found.neck: 1.0} if found.neck is not None else shoulders
    result: dict[str, tuple[dict[int, float], int]] = {"pelvis": ({found.pelvis: 1.0}, found.pelvis)}
    for number, (weights, frame) in enumerate(_spines(len(found.trunk)), start=1):
        own: dict[int, float] = {}
        for joint, weight in weights.items():
            for source, share in (neck if joint < 0 else {found.trunk[joint]: 1.0}).items():
                own[source] = own.get(source, 0.0) + weight * share
        result[f"spine{number}"] = (own, found.trunk[frame])
    result["neck"] = (neck, found.neck if found.neck is not None else found.trunk[-1])
    result["head"] = ({found.head: 1.0}, found.head)
    for side in _SIDES:
        for parts in LIMBS.values():
            for part, after in zip(parts, (*parts[1:], ""), strict=True):
                place = limbs.get((side, part))
                if place is None:
                    continue
                following = limbs.get((side, after))
                # twist bones between two joints of the chain turn with the limb's far end
                frame = place if following is None else motion.parents[following]
                result[f"{side}_{_SMPL_NAMES[part]}"] = ({place: 1.0}, frame)
        if (side, "collar") not in limbs:
            result[f"{side}_collar"] = (neck, found.trunk[-1])
        if (side, "toe") not in limbs:
            raise InputError(f"no {side} toe, and the foot has no end")
    return result


def table_from(
    name: str, motion: Motion, found: Assignment, frames: Mapping[str, Array], scale: float = 1.0, licence: str = ""
) -> JointTable:
    """The joint table of a rig.

    Args:
        name: the table's.
        motion, found: the joints.
        frames: smpl22 joint -> ``(3, 3)`` orientation of its source frame in our T-pose.
        scale: metres in one unit.
        licence: of the data.
    """
    parts = segments(motion, found)

    def named(weights: Mapping[int, float]) -> dict[str, float]:
        return {motion.joints[joint]: float(weight) for joint, weight in weights.items()}

    positions = {joint: named(weights) for joint, (weights, _) in parts.items()}
    h36m17 = {
        joint: positions[joint]
        for joint in (
            f"{side}_{part}" for side in _SIDES for part in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
        )
    }
    left, right = (motion.joints[found.limbs[side, "thigh"]] for side in _SIDES)
    h36m17 |= {"pelvis": {left: 0.5, right: 0.5}, "spine": positions["spine2"],
               "thorax": positions["neck"], "neck_nose": positions["head"]}  # fmt: skip
    if found.head_top is not None and np.isfinite(motion.positions[0, found.head_top]).all():
        h36m17["head_top"] = named({found.head_top: 1.0})
    return JointTable(
        name,
        positions,
        {joint: (motion.joints[source], RestFrame(frames[joint])) for joint, (_, source) in parts.items()},
        h36m17,
        scale,
        licence,
    )
