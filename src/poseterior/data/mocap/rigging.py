"""Any skeleton of a human as smpl22: joints by name, checked by geometry, with computed rest frames.

Names propose (`rig_table`), geometry disposes: the checks here look at the tree, the lengths, the sides and the way a
body stands and bends. A rig that fails one is refused; one that was told by name (``--rig``) is warned of instead,
unless left and right are exchanged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...files.checks import cut
from ...files.errors import InputError
from ...geometry.skeletons import SKELETONS
from .joint_tables import TABLES, JointTable, RestFrame
from .motion import Array, Motion
from .rig_frames import RestPose, body_axes, find_rest, frame_errors, joint_points, rest_frames
from .rig_names import roles, strip_prefixes
from .rig_table import Assignment, assign, assign_named, segments, table_from
from .rigs import Rig, load_rig, matching_rig

__all__ = [
    "Check",
    "RigGuess",
    "guess_rig",
    "refuse_unsure",
    "rig_table_text",
]

_log = logging.getLogger(__name__)
_SIDES = ("left", "right")

#: A guess below this is refused.
SURE = 0.75
#: A hand-written table is kept where its frames put bones this near (degrees) to where the T-pose has them.
_AGREES = 30.0

#: Ratios of a human body, generous: (name, numerator, denominator, least, most).
_RATIOS = (
    ("shin to thigh", ("knee", "ankle"), ("hip", "knee"), 0.65, 1.6),
    ("forearm to upper arm", ("elbow", "wrist"), ("shoulder", "elbow"), 0.5, 1.6),
    ("upper arm to thigh", ("shoulder", "elbow"), ("hip", "knee"), 0.4, 1.1),
    ("foot to shin", ("ankle", "foot"), ("knee", "ankle"), 0.12, 0.75),
)


@dataclass(frozen=True)
class Check:
    """One look at the geometry.

    Attributes:
        name: what was looked at.
        passed: whether it is as in a human.
        told: what was found.
        weight: its part in the confidence.
        fatal: a rig that fails it is no guess at all.
    """

    name: str
    passed: bool
    told: str
    weight: float = 1.0
    fatal: bool = False


@dataclass(frozen=True)
class RigGuess:
    """A proposed joint table and how sure it is.

    Attributes:
        table: how joints become smpl22.
        rig: the shipped rig or file that named the joints; ``guess`` where names and tree alone did.
        rest: the rest pose that the frames come from, None where they come from local axes.
        checks: what was looked at.
        confidence: 0 to 1, the part of the checks passed, by weight.
        found: the joints.
    """

    table: JointTable
    rig: str
    rest: RestPose | None
    checks: tuple[Check, ...]
    confidence: float
    found: Assignment

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def sure(self) -> bool:
        """Whether it may be used without being asked."""
        return self.confidence >= SURE and not any(check.fatal for check in self.failed)


def _length(points: Mapping[str, Array], a: str, b: str) -> float:
    return float(np.median(np.linalg.norm(points[a] - points[b], axis=-1)))


def _check_lengths(points: Mapping[str, Array]) -> list[Check]:
    checks, worst, where = [], 1.0, ""
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"), ("ankle", "foot")):
        lengths = [_length(points, f"{side}_{a}", f"{side}_{b}") for side in _SIDES]
        if min(lengths) <= 1e-9 * max(1.0, max(lengths)):
            return [Check("bones have lengths", False, f"the way from {a} to {b} is zero", 3.0, True)]
        ratio = max(lengths) / min(lengths)
        if ratio >= worst:
            worst, where = ratio, f"{a} to {b}"
    checks.append(Check("left and right as long", worst < 1.2, f"{where}: {worst:.2f} times", 2.0, worst > 1.5))
    for name, top, bottom, least, most in _RATIOS:
        parts = [
            np.mean([_length(points, *(f"{side}_{j}" for j in ends)) for side in _SIDES]) for ends in (top, bottom)
        ]
        ratio = float(parts[0] / parts[1])
        far = not 0.5 * least < ratio < 2.0 * most
        checks.append(Check(name, least < ratio < most, f"{ratio:.2f} (a body: {least} to {most})", 1.0, far))
    leg = np.mean(
        [_length(points, f"{s}_hip", f"{s}_knee") + _length(points, f"{s}_knee", f"{s}_ankle") for s in _SIDES]
    )
    for name, a, b, least, most in (
        ("trunk to leg", "pelvis", "neck", 0.2, 0.95),
        ("hips to leg", "left_hip", "right_hip", 0.08, 0.5),
        ("shoulders to leg", "left_shoulder", "right_shoulder", 0.15, 0.8),
        ("neck to head, to leg", "neck", "head", 0.02, 0.4),
    ):
        ratio = _length(points, a, b) / float(leg)
        checks.append(Check(name, least < ratio < most, f"{ratio:.2f} (a body: {least} to {most})"))
    return checks


def _mostly(values: Array) -> float:
    return float(np.median(values))


def _cosine(a: Array, b: Array) -> Array:
    return (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-12)


def _check_sides(points: Mapping[str, Array], rest: Mapping[str, Array] | None) -> list[Check]:
    """Sides agree with each other, and with the way that toes and knees point."""
    poses = points if rest is None else {name: place[None] for name, place in rest.items()}
    axes = body_axes(poses)
    shoulders = poses["left_shoulder"] - poses["right_shoulder"]
    hips = poses["left_hip"] - poses["right_hip"]
    same = _mostly(_cosine(shoulders, hips))
    arms = _mostly(_cosine(poses["left_elbow"] - poses["right_elbow"], hips))
    legs = _mostly(_cosine(poses["left_knee"] - poses["right_knee"], hips))
    checks = [
        Check("arms on the side of the legs", same > 0.5, f"cosine {same:.2f}", 2.0, same < 0.2),
        Check("limbs do not cross", min(arms, legs) > 0.3, f"cosine {min(arms, legs):.2f}", 1.0, min(arms, legs) < 0),
    ]
    votes = []
    for side in _SIDES:
        toes = poses[f"{side}_foot"] - poses[f"{side}_ankle"]
        forwards = _cosine(toes - (toes * axes[:, 1]).sum(-1, keepdims=True) * axes[:, 1], axes[:, 2])
        votes.append(_mostly(forwards[_straight(poses, side)]))
    ahead = min(votes)
    told = f"cosine {ahead:.2f}"
    if max(votes) < 0:
        told += "; left and right are exchanged, or the axes are left-handed"
    checks.append(Check("toes point forwards", ahead > 0.3, told, 2.0, ahead < -0.2))
    return checks


def _straight(poses: Mapping[str, Array], side: str) -> NDArray[np.bool_]:
    """The fifth of the frames in which a leg is straightest: a runner's lifted foot points anywhere."""
    thigh = poses[f"{side}_knee"] - poses[f"{side}_hip"]
    bend = _cosine(thigh, poses[f"{side}_ankle"] - poses[f"{side}_knee"])
    return bend >= np.quantile(bend, 0.8)


def _check_bends(points: Mapping[str, Array]) -> list[Check]:
    """Knees bend backwards, where they bend."""
    bends = []
    front = body_axes(points)[:, 2]
    for side in _SIDES:
        thigh = points[f"{side}_knee"] - points[f"{side}_hip"]
        shin = points[f"{side}_ankle"] - points[f"{side}_knee"]
        bent = _cosine(thigh, shin) < np.cos(np.radians(30))
        if bent.sum() >= 3:
            across = shin - (shin * thigh).sum(-1, keepdims=True) / (thigh**2).sum(-1, keepdims=True) * thigh
            bends.append(_mostly(_cosine(across, front)[bent]))
    if not bends:
        return []
    told = "backwards" if max(bends) < 0 else "forwards, or not about one axis"
    return [Check("knees bend backwards", max(bends) < 0.35, told, 1.0, min(bends) > 0.6)]


def _check_stance(points: Mapping[str, Array], rest: RestPose | None) -> list[Check]:
    """Legs below the trunk, head above it: over the clip, in the body's own terms."""
    trunk = points["neck"] - points["pelvis"]
    hips = 0.5 * (points["left_hip"] + points["right_hip"])
    feet = 0.5 * (points["left_ankle"] + points["right_ankle"]) - hips
    head = points["head"] - points["neck"]
    against = _mostly(_cosine(trunk, feet))
    above = _mostly(_cosine(trunk, head))
    shown = "local axes" if rest is None else f"{rest.source}, {rest.arms}-pose".replace("hanging-pose", "arms hanging")
    return [
        Check("legs below the trunk", against < -0.5, f"cosine {against:.2f}", 2.0, rest is None and against > -0.5),
        Check("head above the trunk", above > 0, f"cosine {above:.2f}", 1.0),
        Check("a standing person at rest", rest is not None, shown, 0.5),
    ]


def _check_names(motion: Motion, found: Assignment) -> list[Check]:
    animal = [n for n in strip_prefixes(motion.joints) if roles(n)[1] == ("animal",) or roles(n)[1] == ("tail",)]
    told = f"has {', '.join(animal[:3])}" if animal else "no tail, paw or wing"
    return [Check("no animal's parts", not animal, told, 3.0, bool(animal))]


def _checks(motion: Motion, found: Assignment, rest: RestPose | None) -> tuple[Check, ...]:
    points = joint_points(motion.positions, motion, found)
    calm = None if rest is None else joint_points(rest.positions, motion, found)
    return (
        *_check_names(motion, found),
        *_check_lengths(points),
        *_check_sides(points, calm),
        *_check_bends(points),
        *_check_stance(points, rest),
    )


def _known(motion: Motion, names: tuple[str, ...]) -> tuple[Motion, JointTable | None]:
    """A table written by hand whose joints the motion has, with or without its prefix; the motion so named."""
    for spelled in (motion.joints, tuple(strip_prefixes(motion.joints))):
        if len(set(spelled)) != len(spelled):
            continue
        joints = {name.lower(): name for name in spelled}
        for name in names:
            table = TABLES[name]
            if table.needs <= set(spelled) or (table.needs and {n.lower() for n in table.needs} <= set(joints)):
                proper = {n.lower(): n for n in table.needs}
                renamed = tuple(proper.get(n.lower(), n) for n in spelled)
                if len(set(renamed)) == len(renamed):
                    return _renamed(motion, renamed), table
    return motion, None


def _renamed(motion: Motion, joints: tuple[str, ...]) -> Motion:
    return Motion(joints, motion.parents, motion.positions, motion.orientations, motion.fps, motion.rest)


def _table_assignment(motion: Motion, table: JointTable) -> Assignment:
    """The joints of a hand-written table, for the checks."""
    whole = {j: next(iter(w)) for j, w in table.positions.items() if len(w) == 1}
    return assign_named(motion, whole)


def guess_rig(
    motion: Motion,
    file: str | Path,
    rig: str | Path | None = None,
    known: tuple[str, ...] = (),
) -> tuple[Motion, RigGuess]:
    """What a skeleton's joints are.

    Args:
        motion: as read.
        file: for messages.
        rig: name of a shipped rig, or a YAML file that names the joints; by default guessed.
        known: names of `TABLES` written by hand, tried first.

    Returns:
        The motion (its joints without prefix where a known table has them so), and the guess. It is not refused here
        for being unsure: `RigGuess.sure` says.

    Raises:
        InputError: joints that the body needs are not found, or not named; names the file and the remedy.
    """
    told: Rig | None = load_rig(rig) if rig is not None else None
    try:
        if told is None:
            motion, table = _known(motion, known)
            if table is not None:
                found = _table_assignment(motion, table)
                return motion, _with_frames(motion, found, table.name, table)
            told = matching_rig(motion.joints)
            if told is not None:
                return motion, _with_frames(motion, assign_named(motion, told.joints), told.name, None, told)
            return motion, _with_frames(motion, assign(motion), "guess", None)
        return motion, _with_frames(motion, assign_named(motion, told.joints), told.name, None, told)
    except InputError as error:
        raise InputError(
            f"{file}: no joint table for this skeleton: {error}. It has: {cut(', '.join(motion.joints[:40]), 400)}"
            f"{' …' if len(motion.joints) > 40 else ''}. `poseterior data rigs {Path(file).name}` shows what was "
            "understood; name its joints in a file and pass --rig FILE.yaml (docs/datasets.md)"
        ) from None


def _with_frames(
    motion: Motion, found: Assignment, name: str, table: JointTable | None, rig: Rig | None = None
) -> RigGuess:
    rest = find_rest(motion, found)
    checks = _checks(motion, found, rest)
    if table is not None:
        turned = _turned(table, rest)
        given = {joint: pose.matrix() for joint, (_, pose) in turned.frames.items()}
        if max(frame_errors(motion, found, given).values(), default=0.0) <= _AGREES and (
            rest is not None or _same_quarters(given, rest_frames(motion, found, None))
        ):
            return RigGuess(turned, name, rest, checks, _confidence(checks), found)
    frames = rest_frames(motion, found, rest)
    if table is not None:
        parts = segments(motion, found)
        own = {joint: (motion.joints[parts[joint][1]], RestFrame(frames[joint])) for joint in table.frames}
        result = JointTable(
            table.name, table.positions, own, table.h36m17, table.scale, table.licence, table.action, table.fixed
        )
    else:
        scale, licence = (rig.scale, rig.licence) if rig is not None else (None, "")
        result = table_from(name, motion, found, frames, scale or 1.0, licence)
    return RigGuess(result, name, rest, checks, _confidence(checks), found)


def _same_quarters(given: Mapping[str, Array], computed: Mapping[str, Array]) -> bool:
    """Whether no limb of a hand-written table is turned about its bone by a quarter from what the clip shows."""
    limbs = [f"{side}_{joint}" for side in _SIDES for joint in ("hip", "knee", "shoulder", "elbow")]
    return all(np.trace(given[joint].T @ computed[joint]) > 1.7 for joint in limbs)  # 1.7: turned by 70 degrees


def _turned(table: JointTable, rest: RestPose | None) -> JointTable:
    """A hand-written table, which holds for a rest pose that faces +z with y up, for one that stands otherwise."""
    if rest is None or rest.source != "rest pose" or np.allclose(rest.axes, np.eye(3)):
        return table
    frames = {joint: (source, RestFrame(pose.matrix() @ rest.axes)) for joint, (source, pose) in table.frames.items()}
    return JointTable(
        table.name, table.positions, frames, table.h36m17, table.scale, table.licence, table.action, table.fixed
    )


def _confidence(checks: tuple[Check, ...]) -> float:
    total = sum(check.weight for check in checks)
    return sum(check.weight for check in checks if check.passed) / total


def refuse_unsure(guess: RigGuess, file: Path, told: bool) -> None:
    """Refuse a guess that is not sure; only warn of a rig that was told by name, unless its sides are exchanged.

    Raises:
        InputError: names what does not fit, and the remedy.
    """
    failed = "; ".join(f"{check.name}: {check.told}" for check in guess.failed if check.weight > 0.5)
    swapped = any(check.fatal and "exchanged" in check.told for check in guess.failed)
    if told and not swapped:
        if not guess.sure:
            _log.warning("%s: the rig that was named does not look like a person: %s", file.name, failed)
        return
    if guess.sure:
        return
    remedy = (
        "mirror it, or exchange left and right in its names" if swapped else
        f"`poseterior data rigs {file.name}` shows what was understood; correct it in a file and pass --rig FILE.yaml"
    )  # fmt: skip
    raise InputError(
        f"{file}: this skeleton is not surely understood (confidence {guess.confidence:.2f}): {failed}; {remedy}"
    )


def rig_table_text(motion: Motion, guess: RigGuess) -> str:
    """The proposed table as YAML that ``--rig`` takes."""
    lines = [f"# proposed for this skeleton, confidence {guess.confidence:.2f}; correct the names and pass it as --rig"]
    lines += [f"name: {guess.rig if guess.rig != 'guess' else 'mine'}", "joints:"]
    for joint in SKELETONS["smpl22"].joints:
        weights = guess.table.positions[joint]
        if len(weights) == 1:
            lines.append(f"  {joint}: {_quoted(next(iter(weights)))}")
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
