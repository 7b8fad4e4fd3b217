"""Rigs that motions are written on, so that other programs know the joints by name: the names, in one place.

A rig names the joints of smpl22, all or some. Its rest pose is the T-pose with all joint frames along the world's axes,
as in BVH: zero rotations are the T-pose, whose bones are as long as the body's. A joint of smpl22 that a rig lacks
turns those below it; bending there moves them only as far as the rig's bones can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files.checks import quote
from ..files.errors import InputError
from ..geometry.skeletons import SKELETONS
from .provenance import Array

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["RIGS", "Placed", "get_rig", "on_rig"]

_SMPL = SKELETONS["smpl22"]


def _named(
    trunk: str, leg: str, arm: str, left: str = "Left", right: str = "Right", pattern: str = "{side}{part}"
) -> dict[str, str]:
    """A rig's names of pelvis, spine1, spine2, spine3, neck, head; hip to foot; collar to wrist."""
    middle = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
    names = {ours: theirs for ours, theirs in zip(middle, trunk.split(","), strict=True) if theirs != "-"}
    for side, theirs in (("left", left), ("right", right)):
        for ours, part in zip(("hip", "knee", "ankle", "foot"), leg.split(","), strict=True):
            names[f"{side}_{ours}"] = pattern.format(side=theirs, part=part)
        for ours, part in zip(("collar", "shoulder", "elbow", "wrist"), arm.split(","), strict=True):
            names[f"{side}_{ours}"] = pattern.format(side=theirs, part=part)
    return {joint: names[joint] for joint in _SMPL.joints if joint in names}


def _prefixed(prefix: str, names: Mapping[str, str]) -> dict[str, str]:
    return {joint: prefix + name for joint, name in names.items()}


_MIXAMO = _named(
    "Hips,Spine,Spine1,Spine2,Neck,Head", "UpLeg,Leg,Foot,ToeBase", "Shoulder,Arm,ForeArm,Hand"
)  # fmt: skip
#: smpl22 joint -> the rig's name for it.
RIGS: dict[str, dict[str, str]] = {
    "smpl22": {joint: joint for joint in _SMPL.joints},
    "mixamo": _prefixed("mixamorig:", _MIXAMO),
    "motionbuilder": _MIXAMO,
    "lafan1": _MIXAMO | {"left_foot": "LeftToe", "right_foot": "RightToe"},
    "cmu": _MIXAMO | {"spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "head": "Neck1"},
    "rokoko": _named(
        "Hips,Spine,Spine2,Spine3,Neck,Head", "Thigh,Shin,Foot,Toe", "Shoulder,Arm,ForeArm,Hand"
    ),
    "xsens": _named(
        "Hips,Chest,Chest2,Chest4,Neck,Head", "Hip,Knee,Ankle,Toe", "Collar,Shoulder,Elbow,Wrist"
    ),
    "unreal": _named(
        "pelvis,spine_01,spine_02,spine_03,neck_01,head", "thigh,calf,foot,ball", "clavicle,upperarm,lowerarm,hand",
        "l", "r", "{part}_{side}",
    ),
    "biped": _prefixed("Bip01 ", _named(
        "Pelvis,Spine,Spine1,Spine2,Neck,Head", "Thigh,Calf,Foot,Toe0", "Clavicle,UpperArm,Forearm,Hand",
        "L", "R", "{side} {part}",
    )),
    "cc": _prefixed("CC_Base_", _named(
        "Hip,Waist,Spine01,Spine02,NeckTwist01,Head", "Thigh,Calf,Foot,ToeBase", "Clavicle,Upperarm,Forearm,Hand",
        "L", "R", "{side}_{part}",
    )),
    "bandai": _named(
        "Hips,Spine,-,Chest,Neck,Head", "UpperLeg,LowerLeg,Foot,Toes", "Shoulder,UpperArm,LowerArm,Hand",
        "L", "R", "{part}_{side}",
    ),
    "smpl": _named(
        "Pelvis,Spine1,Spine2,Spine3,Neck,Head", "Hip,Knee,Ankle,Foot", "Collar,Shoulder,Elbow,Wrist",
        "L", "R", "{side}_{part}",
    ),
}  # fmt: skip


def get_rig(rig: str | Path | Mapping[str, str]) -> dict[str, str]:
    """The names of a rig.

    Args:
        rig: a name of `RIGS`; a YAML file with the names of the joints of smpl22 (``pelvis: Hips``), at the top or
            below ``joints``; or such names.

    Raises:
        InputError: no such rig or file, an unknown joint, a name twice, or no name for the pelvis.
    """
    if isinstance(rig, str) and rig in RIGS:
        return RIGS[rig]
    if isinstance(rig, Mapping):
        return _checked(rig, "rig")
    path = Path(rig)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"rig {quote(str(rig))}: expected one of {', '.join(RIGS)}, or a .yaml file of joint names")
    import yaml

    from ..files.texts import read_text

    try:
        saved = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not readable as YAML ({str(error).splitlines()[0]})") from None
    names = saved.get("joints", saved) if isinstance(saved, dict) else saved
    if not isinstance(names, dict):
        raise InputError(f"{path}: expected names of joints, e.g. pelvis: Hips")
    return _checked(names, str(path))


def _checked(names: Mapping[str, str], source: str) -> dict[str, str]:
    for joint, name in names.items():
        if joint not in _SMPL.joints:
            raise InputError(f"{source}: joint {quote(joint)}: expected one of {', '.join(_SMPL.joints)}")
        if not isinstance(name, str) or not name.strip() or any(c in name for c in "{}\n\r\t"):
            raise InputError(f"{source}: joint {joint!r}: expected the name that the rig gives it, got {quote(name)}")
        if list(names.values()).count(name) > 1:
            raise InputError(f"{source}: the name {quote(name)} is given to two joints")
    if "pelvis" not in names:
        raise InputError(f"{source}: the joint 'pelvis' has no name; it is the rig's root")
    return {joint: names[joint] for joint in _SMPL.joints if joint in names}


@dataclass(frozen=True, eq=False)
class Placed:
    """A motion on a rig; parents come first.

    Attributes:
        joints: smpl22's names.
        names: the rig's.
        parents: ``-1`` for the pelvis.
        offsets: ``(joints, 3)`` metres, in the T-pose.
        rotations: ``(frames, joints, 4)`` quaternions xyzw relative to the parent.
    """

    joints: tuple[str, ...]
    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Array
    rotations: Array


def on_rig(rotations: Array, offsets: Array, names: Mapping[str, str]) -> Placed:
    """A motion of the joints that a rig has.

    Args:
        rotations: ``(frames, 22, 4)`` quaternions xyzw relative to the parent.
        offsets: ``(22, 3)`` metres in the T-pose.
        names: from `get_rig`.
    """
    import roma
    import torch

    kept = [joint for joint, name in enumerate(_SMPL.joints) if name in names]
    turned: dict[int, Tensor] = {}
    standing = np.zeros((22, 3))
    for joint in _SMPL.topological_order:
        own, parent = torch.from_numpy(np.ascontiguousarray(rotations[:, joint])), _SMPL.parents[joint]
        turned[joint] = own if parent < 0 else roma.quat_product(turned[parent], own)
        standing[joint] = 0.0 if parent < 0 else standing[parent] + offsets[joint]
    parents, steps, local = [], [], []
    for joint in kept:
        parent = _SMPL.parents[joint]
        while parent >= 0 and parent not in kept:
            parent = _SMPL.parents[parent]
        parents.append(kept.index(parent) if parent >= 0 else -1)
        steps.append(standing[joint] - (standing[parent] if parent >= 0 else standing[joint]))
        back = turned[joint] if parent < 0 else roma.quat_product(roma.quat_conjugation(turned[parent]), turned[joint])
        local.append(back.numpy())
    ours = tuple(_SMPL.joints[joint] for joint in kept)
    theirs = tuple(names[joint] for joint in ours)
    return Placed(ours, theirs, tuple(parents), np.array(steps), np.stack(local, 1))
