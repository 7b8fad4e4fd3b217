"""Rigs that motions are written on, so that other programs know the joints by name (`poseterior.data.mocap.rigs`).

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

__all__ = ["Placed", "get_rig", "on_rig"]

_SMPL = SKELETONS["smpl22"]


def get_rig(rig: str | Path | Mapping[str, str]) -> dict[str, str]:
    """The names of a rig.

    Args:
        rig: a shipped rig's name (`poseterior.data.mocap.rigs`); a YAML file with the names of the joints of smpl22
            (``pelvis: Hips``), as for reading; or such names.

    Raises:
        InputError: no such rig or file, an unknown joint, a name twice, or no name for the pelvis.
    """
    if isinstance(rig, Mapping):
        return _checked(rig, "rig")
    from ..data.mocap.rigs import load_rig

    return _checked(load_rig(rig).written, f"rig {quote(str(rig))}")


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
