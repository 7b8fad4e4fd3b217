"""The bodies of a result with joint rotations, as a SMPL-family model of the reader's own gives them their surface.

No such model is shipped. A person's shape is the one that a motion file tells, else the one whose bones are as long as
those of the result's body.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray

from ..data.mocap.body_rig import (
    BodyModel,
    BodyRig,
    body_rig,
    coarse_mesh,
    fitted_betas,
    known_shapes,
    posed,
    read_body_model,
    reduced,
)
from ..data.mocap.smplx import our_offsets, posed_surface, smpl_rotations
from ..files.errors import InputError
from ..geometry.body import SMPL25
from ..geometry.skeletons import SKELETONS
from ..results.ground import upright_axes
from ..results.motion_files import BETAS
from ..results.poses import LiftResult
from ..results.rotations import RotationResult, matrices
from ..results.rotations import quaternions as quaternions_of

__all__ = [
    "Bodies",
    "Surfaces",
    "bodies_of",
    "posed_bodies",
    "rigs_of",
    "root_at",
    "sides_of",
    "smpl_quaternions",
    "surfaces",
]

_SMPL = SKELETONS["smpl22"]
#: Skeletons whose root is SMPL's pelvis; that of others is the middle of the hips.
_WITH_PELVIS = ("smpl22", "smpl24", "smpl25")


@dataclass(frozen=True, eq=False)
class Bodies:
    """What the surfaces of a result's poses are made of.

    Attributes:
        model: the body model.
        betas: shape coefficients of each person (of each clip).
        person: of each pose, the row of ``betas``.
        mean: rotations relative to the parent and to our T-pose, the pelvis' in the result's axes.
        hypotheses: the same of samples: as many of each pose.
        at_pelvis: the result's root is SMPL's pelvis; else the middle of the hips.
    """

    model: BodyModel
    betas: list[list[float]]
    person: NDArray[np.int64]
    mean: Float[NDArray[np.float32], "poses 22 4"]
    hypotheses: Float[NDArray[np.float32], "poses k 22 4"]
    at_pelvis: bool

    def thinned(self, count: int) -> Bodies:
        """The same with at most so many hypotheses, evenly spread."""
        held = self.hypotheses.shape[1]
        if count >= held:
            return self
        kept = np.unique(np.linspace(0, held - 1, max(count, 0)).round().astype(int))
        return replace(self, hypotheses=self.hypotheses[:, kept])


def bodies_of(result: LiftResult, model: BodyModel | str | Path, hypotheses: int = 8) -> Bodies:
    """The bodies of a result: of its mean, and of some of its samples.

    Args:
        result: with rotations, or with a solver for them (`LiftResult.motion`).
        model: SMPL, SMPL-H or SMPL-X file, ``.npz`` or plain ``.pkl`` (`poseterior.data.mocap.smplx`); or what
            `read_body_model` made of one.
        hypotheses: at most; the same ones of all poses, evenly spread over the samples.

    Raises:
        InputError: a model that cannot be read or is of another family; a result without rotations; no poses.
    """
    # a wrong file is told before rotations are solved for
    body = model if isinstance(model, BodyModel) else read_body_model(model)
    if not len(result):
        raise InputError("the result has no poses; nothing to show")
    turns = _in_axes_of(result)
    told = json.loads(result.settings.get(BETAS, turns.settings.get(BETAS, "null")))
    person = np.zeros(len(turns), np.int64)
    betas: list[list[float]] = []
    for rows in turns.clips():
        own = fitted_betas(body, turns.offsets[rows[0]]).tolist() if told is None else told[: known_shapes(body)]
        person[rows] = len(betas)
        betas.append(own)
    drawn = turns.rotations.shape[1]
    some = turns.rotations if drawn > 1 else turns.rotations[:, :0]  # one alone is the mean
    at_pelvis = result.skeleton in _WITH_PELVIS
    return Bodies(body, betas, person, turns.mean, some, at_pelvis).thinned(hypotheses)


def _in_axes_of(result: LiftResult) -> RotationResult:
    """The rotations of a result's poses in its own axes (x right, y down, z forward)."""
    turns = result.rotations
    if turns is None:  # the floor would turn them upright
        turns = replace(result, ground=None).motion()
    if result.ground is None or turns.axes == "camera":
        return turns.in_axes("camera")
    back = np.linalg.inv(upright_axes(result.ground)[0])
    return replace(turns, axes="camera", rotations=_turned(back, turns.rotations), mean=_turned(back, turns.mean))


def _turned(by: NDArray[Any], quaternions: NDArray[np.float32]) -> NDArray[np.float32]:
    found = quaternions.copy()
    own = matrices(quaternions[..., 0, :]).double()
    turn = torch.from_numpy(by).double().reshape(len(by), *[1] * (own.ndim - 3), 3, 3)
    found[..., 0, :] = quaternions_of(turn @ own)
    return found


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Surfaces of some poses.

    Attributes:
        vertices: metres from the result's root in its axes; the mean's, then the hypotheses'.
        faces: the vertices of each triangle.
        sides: of each vertex: left, right or middle.
    """

    vertices: Float[NDArray[np.float64], "rows k vertices 3"]
    faces: Int[NDArray[np.int64], "triangles 3"]
    sides: tuple[str, ...]


def rigs_of(bodies: Bodies, people: Sequence[int], vertices: int) -> list[BodyRig]:
    """The surfaces of some people at rest: the same vertices of each, at most so many."""
    rigs = [body_rig(bodies.model, bodies.betas[person]) for person in people]
    chosen, faces = coarse_mesh(body_rig(bodies.model), vertices)
    return [reduced(rig, chosen, faces) for rig in rigs]


def root_at(bodies: Bodies, rig: BodyRig) -> Float[NDArray[np.float64], "3"]:
    """Where the root of the result is in a rig at rest, metres."""
    hips = [_SMPL.index("left_hip"), _SMPL.index("right_hip")]
    return rig.joints[_SMPL.root] if bodies.at_pelvis else rig.joints[hips].mean(0)


def posed_bodies(bodies: Bodies, rig: BodyRig, row: int) -> Float[NDArray[np.float64], "k vertices 3"]:
    """The surfaces of a pose with a person's rig (`rigs_of`): the mean's first, then the hypotheses'.

    Metres from the result's root in its axes. As `surfaces`, of the rig's vertices, without the package ``smplx``.
    """
    turns = smpl_rotations(matrices(np.concatenate([bodies.mean[row, None], bodies.hypotheses[row]])).double()).numpy()
    root = turns[:, 0] @ (root_at(bodies, rig) - rig.joints[_SMPL.root])
    return posed(rig, turns) - root[:, None]


def surfaces(bodies: Bodies, rows: Sequence[int] | NDArray[np.int64]) -> Surfaces:
    """The surfaces of some poses, of all vertices of the model: the mean's first, then the hypotheses'.

    Raises:
        InputError: the package ``smplx`` is not installed (extra ``smplx``).
    """
    chosen = np.asarray(rows, np.int64)
    turns = matrices(np.concatenate([bodies.mean[chosen, None], bodies.hypotheses[chosen]], 1)).double()
    found: dict[int, NDArray[np.float64]] = {}
    for person in np.unique(bodies.person[chosen]).tolist():
        there = np.flatnonzero(bodies.person[chosen] == person)
        betas, own = bodies.betas[person], turns[there]
        place = torch.zeros(*own.shape[:2], 3).double()
        vertices, _ = posed_surface(bodies.model.path, bodies.model.arrays, own, place, betas)
        if not bodies.at_pelvis:
            joints = torch.from_numpy(body_rig(bodies.model, betas).joints)
            vertices = vertices - (own[:, :, 0] @ our_offsets(joints)[SMPL25.index("hip_centre")])[:, :, None]
        found |= dict(zip(there.tolist(), vertices.numpy(), strict=True))
    rig = body_rig(bodies.model)
    vertices_of_all = np.stack([found[number] for number in range(len(chosen))])
    return Surfaces(vertices_of_all, rig.faces, sides_of(rig))


def sides_of(rig: BodyRig) -> tuple[str, ...]:
    """Of each vertex the side of the joint that it follows most."""
    return tuple(_SMPL.sides[joint] for joint in rig.weights.argmax(1))


def smpl_quaternions(quaternions: Float[NDArray[np.float32], "*batch 22 4"]) -> NDArray[np.float32]:
    """Our rotations as those of SMPL's rest pose, for the model's own rig."""
    return quaternions_of(smpl_rotations(matrices(quaternions).double()))
