"""Surfaces of bodies as a page holds them: one rig, the shape of each person, and rotations; the page poses them.

So a clip of many bodies is small: a pose is 22 quaternions, not thousands of vertices. What the page computes is what
`poseterior.data.mocap.smplx.pose_mesh` does, of fewer vertices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.mocap.body_rig import BodyRig
from ...geometry.skeletons import SKELETONS
from ..bodies import Bodies, rigs_of, root_at, sides_of, smpl_quaternions
from .packing import exact, pack, pack_bytes

__all__ = ["Meshes", "described"]

#: Vertices of a page's bodies; letters that all quaternions together may take; hypotheses of a still and of a clip.
_VERTICES, _LETTERS, _STILL, _MOVING = 1800, 900_000, 8, 6
#: Of a unit quaternion's numbers, and of metres.
_QUATERNION, _METRE = 1 / 32767, 1e-4
_SMPL = SKELETONS["smpl22"]


@dataclass(frozen=True)
class Meshes:
    """What a page is told of bodies.

    Attributes:
        rig: what all people share.
        tracks: for each track its shape, and the rotations of its rows: the mean's, then the hypotheses'.
        facts: what the page says of them.
        size: letters, about.
    """

    rig: dict[str, Any]
    tracks: list[dict[str, Any]]
    facts: list[list[str]]
    size: int


def described(bodies: Bodies, rows: Sequence[Sequence[int]]) -> Meshes:
    """The bodies of the poses that are shown of each track."""
    poses = sum(map(len, rows))
    each = len(_SMPL) * 4 * 2 * 4 // 3
    most = _STILL if max(map(len, rows)) == 1 else _MOVING
    bodies = bodies.thinned(max(min(_LETTERS // (each * max(poses, 1)) - 1, most), 0))
    rigs = rigs_of(bodies, [int(bodies.person[shown[0]]) for shown in rows], _VERTICES)
    tracks = [_track(bodies, list(shown), rig) for shown, rig in zip(rows, rigs, strict=True)]
    first = rigs[0]
    shared = {
        "weights": pack(first.weights, _QUATERNION),
        "corrections": pack_bytes(first.corrections),
        "faces": exact(first.faces),
        "sides": list(sides_of(first)),
        "parents": list(_SMPL.parents),
    }
    count = f"the mean and {bodies.hypotheses.shape[1]} samples"
    facts = [["bodies", f"{bodies.model.path.name}, {len(first.vertices)} of its vertices; {count}"]]
    return Meshes(shared, tracks, facts, _letters(shared) + sum(map(_letters, tracks)))


def _track(bodies: Bodies, shown: list[int], rig: BodyRig) -> dict[str, Any]:
    turns = np.concatenate([bodies.mean[shown, None], bodies.hypotheses[shown]], 1)
    return {
        "vertices": pack(rig.vertices, _METRE),
        "joints": exact(rig.joints),
        "origin": exact(root_at(bodies, rig)),
        "turns": pack(smpl_quaternions(turns), _QUATERNION),
    }


def _letters(told: dict[str, Any]) -> int:
    return sum(len(array["data"]) for array in told.values() if isinstance(array, dict))
