"""The surface of a SMPL-family body as a rig of 22 joints: for programs that pose it themselves, as the 3D page does.

Hands and faces of SMPL-H and SMPL-X stay as they are at rest, because our rotations have none: a joint that does not
turn moves with its parent, so that its weights are the parent's and its pose corrections are never used. What is left
is exact: Loper et al. 2015, "SMPL: a skinned multi-person linear model", equations 2 to 9, for these 22 joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ...files.reading import reader
from ...geometry.skeletons import SKELETONS
from .smplx import read_model, rest_joints, shape_coefficients, shapes_of

__all__ = [
    "BodyModel",
    "BodyRig",
    "body_rig",
    "coarse_mesh",
    "fitted_betas",
    "known_shapes",
    "read_body_model",
    "reduced",
]

_SMPL = SKELETONS["smpl22"]
_SIDES = ("left", "right")
#: Joints whose distances say how large a body is, limbs; besides the width of the shoulders, and their height over the
#: hips (necks and spines are where each model likes them).
_MEASURES = [
    (f"{side}_{joint}", f"{side}_{end}")
    for side in _SIDES
    for joint, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
]
#: Standard deviation of a bone's logarithm about what a shape says (shapes themselves have 1), shapes and steps.
_LOG_LENGTH, _SHAPES, _STEPS = 0.03, 10, 10
#: Metres by which vertices that follow different joints are farther apart than they are at rest, where thighs touch.
_APART = 0.15


@dataclass(frozen=True, eq=False)
class BodyRig:
    """A surface that follows 22 joints.

    Attributes:
        vertices: metres, in the model's rest pose (y up, facing +z, legs spread), of the shape asked for.
        joints: of smpl22, in that pose.
        weights: how much each vertex follows each joint; they sum to 1.
        corrections: metres that a vertex moves for each entry of the rotations of the 21 joints below the pelvis less
            the identity, row by row.
        faces: the vertices of each triangle.
    """

    vertices: Float[NDArray[np.float64], "vertices 3"]
    joints: Float[NDArray[np.float64], "22 3"]
    weights: Float[NDArray[np.float64], "vertices 22"]
    corrections: Float[NDArray[np.float64], "vertices 3 189"]
    faces: Int[NDArray[np.int64], "faces 3"]


@dataclass(frozen=True, eq=False)
class BodyModel:
    """An SMPL, SMPL-H or SMPL-X model file that was read: they are large.

    Attributes:
        path: the file.
        arrays: by the names that the SMPL family gives them (`poseterior.data.mocap.smplx.read_model`).
    """

    path: Path
    arrays: dict[str, Tensor]


@reader()
def read_body_model(path: str | Path) -> BodyModel:
    """Read a model of the SMPL family with its surface: ``.npz``, or ``.pkl`` if that holds plain arrays only.

    Raises:
        InputError: as `poseterior.data.mocap.smplx.read_smpl_body`; a rest pose in other axes; the surface is missing.
    """
    path = Path(path)
    arrays = read_model(path)
    rest_joints(path, arrays, shape_coefficients(path, arrays, None))
    return BodyModel(path, arrays)


def known_shapes(body: BodyModel) -> int:
    """How many shape coefficients a model has, expressions not counted."""
    return shapes_of(body.arrays)


def body_rig(body: BodyModel, betas: Sequence[float] | Tensor | None = None) -> BodyRig:
    """The rig of a model.

    Args:
        body: the model.
        betas: shape coefficients; the mean body by default.

    Raises:
        InputError: more coefficients than the model has.
    """
    path, model = body.path, body.arrays
    shape = shape_coefficients(path, model, betas)
    parents = model["kintree_table"][0].long().tolist()
    weights = model["weights"].clone()
    for joint in reversed(range(len(_SMPL), len(parents))):  # children come after their parents
        weights[:, parents[joint]] += weights[:, joint]
    return BodyRig(
        (model["v_template"] + model["shapedirs"] @ shape).numpy(),
        rest_joints(path, model, shape)[: len(_SMPL)].numpy(),
        weights[:, : len(_SMPL)].numpy(),
        model["posedirs"][..., : 9 * (len(_SMPL) - 1)].numpy(),
        model["f"].long().numpy(),
    )


def fitted_betas(body: BodyModel, offsets: Float[NDArray[np.floating], "25 3"]) -> Float[NDArray[np.float64], "10"]:
    """Shape coefficients with which a model's limbs and trunk are as long as those of a body of ours.

    Logarithms of lengths, known to 3 %, under the model's own prior (coefficients of a standard normal
    distribution): a body that no shape has stays near the mean one.

    Args:
        body: the model.
        offsets: rest body, metres (`poseterior.geometry.body.SMPL25`).

    Returns:
        At most 10 of the model's.
    """
    model = body.arrays
    known = min(_SHAPES, known_shapes(body))
    places = np.zeros((len(_SMPL), 3))
    for joint in _SMPL.topological_order:
        if _SMPL.parents[joint] >= 0:
            places[joint] = places[_SMPL.parents[joint]] + np.asarray(offsets[joint], np.float64)
    wanted = _log_lengths(places)
    regressor = model["J_regressor"][: len(_SMPL)]
    base = (regressor @ model["v_template"]).numpy()
    ways = torch.einsum("jv,vik->kji", regressor, model["shapedirs"][..., :known]).numpy()
    betas = np.zeros(known)
    for _ in range(_STEPS):  # Gauss-Newton
        joints = base + np.tensordot(betas, ways, 1)
        here = _log_lengths(joints)
        slope = np.stack([(_log_lengths(joints + 1e-4 * way) - here) / 1e-4 for way in ways], 1) / _LOG_LENGTH
        missing = (wanted - here) / _LOG_LENGTH
        betas = betas + np.linalg.solve(slope.T @ slope + np.eye(known), slope.T @ missing - betas)
    return betas


def _log_lengths(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    at = {name: joints[number] for number, name in enumerate(_SMPL.joints)}
    bones = [at[end] - at[start] for start, end in _MEASURES]
    shoulders, hips = ((at[f"left_{end}"] + at[f"right_{end}"]) / 2 for end in ("shoulder", "hip"))
    bones += [at["left_shoulder"] - at["right_shoulder"], shoulders - hips]
    return np.log(np.linalg.norm(bones, axis=-1))


def coarse_mesh(
    rig: BodyRig, count: int
) -> tuple[Int[NDArray[np.int64], "chosen"], Int[NDArray[np.int64], "triangles 3"]]:
    """At most so many of a surface's vertices, evenly spread, and triangles between them: see `reduced`.

    Vertices are chosen farthest from those chosen before; each stands for those nearest to it, and the triangles are
    those between three such neighbourhoods, so that a closed surface stays closed.

    Returns:
        Numbers of the vertices in ``rig``; triangles as numbers of these.
    """
    if len(rig.vertices) <= count:
        return np.arange(len(rig.vertices)), rig.faces
    places = np.concatenate([rig.vertices, _APART * rig.weights], 1)
    chosen = np.zeros(count, np.int64)
    nearest = np.zeros(len(places), np.int64)
    least = np.full(len(places), np.inf)
    chosen[0] = int(np.linalg.norm(places - places.mean(0), axis=1).argmax())
    for number in range(count):
        if number:
            chosen[number] = int(least.argmax())
        far = np.square(places - places[chosen[number]]).sum(1)
        nearer = far < least
        least[nearer], nearest[nearer] = far[nearer], number
    faces = nearest[rig.faces]
    faces = faces[(faces != np.roll(faces, 1, 1)).all(1)]
    # the same triangle once: begun at its smallest number, so that the order around it stays
    first = faces.argmin(1)[:, None]
    return chosen, np.unique(np.take_along_axis(faces, (first + np.arange(3)) % 3, 1), axis=0)


def posed(rig: BodyRig, turns: Float[NDArray[np.float64], "*batch 22 3 3"]) -> Float[NDArray[np.float64], "*batch v 3"]:
    """The surface with its joints turned, about the pelvis: linear blend skinning (Loper et al. 2015, SMPL).

    Args:
        rig: the surface at rest.
        turns: of each joint relative to its parent and to the rig's own rest pose; the pelvis' leads to the axes of the
            answer.

    Returns:
        Metres from the pelvis joint.
    """
    whole, places = np.empty_like(turns), np.zeros(turns.shape[:-1])
    for joint in _SMPL.topological_order:
        parent = _SMPL.parents[joint]
        whole[..., joint, :, :] = (
            turns[..., joint, :, :] if parent < 0 else whole[..., parent, :, :] @ turns[..., joint, :, :]
        )
        if parent >= 0:
            bone = rig.joints[joint] - rig.joints[parent]
            places[..., joint, :] = places[..., parent, :] + whole[..., parent, :, :] @ bone
    features = (turns[..., 1:, :, :] - np.eye(3)).reshape(*turns.shape[:-3], -1)
    rest = rig.vertices + np.einsum("vcf,...f->...vc", rig.corrections, features, optimize=True)
    moved = places - (whole @ rig.joints[..., None])[..., 0]
    blended = np.einsum("vj,...jab->...vab", rig.weights, whole, optimize=True)
    return (blended @ rest[..., None])[..., 0] + np.einsum("vj,...ja->...va", rig.weights, moved, optimize=True)


def reduced(
    rig: BodyRig, chosen: Int[NDArray[np.int64], "chosen"], faces: Int[NDArray[np.int64], "triangles 3"]
) -> BodyRig:
    """The surface of some of the vertices, each of which moves exactly as it did."""
    return replace(
        rig,
        vertices=rig.vertices[chosen],
        weights=rig.weights[chosen],
        corrections=rig.corrections[chosen],
        faces=faces,
    )
