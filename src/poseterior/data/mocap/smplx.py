"""Body models of the SMPL family: a user's own file gives the exact joints of a body, and its surface.

No such file is shipped: their terms forbid it. Reads the arrays of SMPL, SMPL-H and SMPL-X files, whose first 22
joints are smpl22 in order, in a rest pose that faces +z, y up, left at +x (Loper et al. 2015, "SMPL: a skinned
multi-person linear model"; Romero et al. 2017; Pavlakos et al. 2019).

That rest pose is not quite our T-pose: the legs are spread (`poseterior.data.mocap.joint_tables.AMASS_THIGH`,
``AMASS_SHANK``). `smpl_rotations` turns our rotations into those of SMPL; the rest body is turned the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...files.errors import InputError
from ...files.extras import need
from ...files.npz import read_arrays
from ...files.pickles import read_pickle
from ...files.reading import reader
from ...geometry.body import SMPL25
from ...geometry.body import rest_offsets as our_rest_offsets
from ...geometry.skeletons import SKELETONS
from .joint_tables import TABLES

__all__ = [
    "our_offsets",
    "pose_mesh",
    "posed_surface",
    "read_model",
    "read_smpl_body",
    "rest_joints",
    "shape_coefficients",
    "shapes_of",
    "smpl_rotations",
]

_SMPL = SKELETONS["smpl22"]

#: The arrays that the joints need, and their number of axes; and those that the surface needs besides.
_JOINT_ARRAYS = {"v_template": 2, "shapedirs": 3, "J_regressor": 2, "kintree_table": 2}
_MESH_ARRAYS = {"posedirs": 3, "weights": 2, "f": 2}

#: No number of a body is beyond this (a joint's parent may be 2^32 - 1 where it has none).
_LARGEST = 1e10

#: SMPL-X has 55 joints; its ``shapedirs`` end with expressions: 100 after 300 shapes, or 10 after 10.
_SMPLX_JOINTS, _SMPLX_SHAPES = 55, 300

#: What models of other families are, by their joints; and the columns of STAR's pose corrections, 4 for each of 23
#: joints and 1 for the shape.
_OTHER_FAMILIES = {16: "a hand (MANO)", 5: "a head (FLAME)"}
_STAR_FEATURES = 93

_CONVERT = (
    "the official SMPL pickles hold Python objects (chumpy, scipy.sparse), which are never loaded here; use the "
    ".npz that SMPL-H and SMPL-X are published as, or convert the file where you trust it, with chumpy and scipy "
    "installed: m = pickle.load(open(FILE, 'rb'), encoding='latin1'); m['J_regressor'] = "
    "m['J_regressor'].toarray(); numpy.savez(OUT, **{k: numpy.array(m[k]) for k in "
    f"{(*_JOINT_ARRAYS, *_MESH_ARRAYS)}}})"
)


def _rest_turns(dtype: torch.dtype) -> Float[Tensor, "22 3 3"]:
    """How each joint's frame in an SMPL file stands, globally, in our T-pose."""
    frames = TABLES["amass"].frames
    return torch.from_numpy(np.stack([frames[joint][1].matrix() for joint in _SMPL.joints])).to(dtype)


def smpl_rotations(rotations: Float[Tensor, "*batch 22 3 3"]) -> Float[Tensor, "*batch 22 3 3"]:
    """Our rotations (zero in the T-pose) as SMPL's (zero in its rest pose, legs spread).

    The inverse of what `poseterior.data.mocap.joint_tables.to_body` does to AMASS; relative to the parent, the pelvis'
    global, before and after.
    """
    turns = _rest_turns(rotations.dtype).to(rotations.device)
    above = torch.stack([torch.eye(3).to(turns) if p < 0 else turns[p] for p in _SMPL.parents])
    return above.transpose(-1, -2) @ rotations @ turns


def _arrays(path: Path, names: Sequence[str]) -> dict[str, Any]:
    if path.suffix.lower() == ".npz":
        try:
            # only the arrays that are named: SMPL-X files hold pickled objects besides
            return read_arrays(path, dict.fromkeys(names, "biufcU"))
        except (InputError, FileNotFoundError) as error:
            if "Python objects" in str(error):
                raise InputError(f"{path}: an array holds pickled objects; {_CONVERT}") from None
            raise InputError(f"{path}: not a readable npz file ({error})") from None
    if path.suffix.lower() != ".pkl":
        raise InputError(f"{path}: unknown extension {path.suffix!r}; an SMPL-family body is read from .npz or .pkl")
    try:
        content = read_pickle(path)
    except InputError as error:
        if "refused" not in str(error):
            raise
        reason = str(error).split("refused, ")[-1].split(";")[0]
        raise InputError(f"{path}: refused, {reason}; {_CONVERT}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}; expected a dict of arrays")
    return {name: content[name] for name in names if name in content}


def read_model(path: Path) -> dict[str, Tensor]:
    """All arrays of a body with its surface, float64, by the names that the SMPL family gives them."""
    return _read_model(path, _JOINT_ARRAYS | _MESH_ARRAYS)


def _read_model(path: Path, wanted: dict[str, int]) -> dict[str, Tensor]:
    """The named arrays, float64, of the shapes that fit each other."""
    found = _arrays(path, list(wanted))
    model: dict[str, Tensor] = {}
    for name, axes in wanted.items():
        if name not in found:
            raise InputError(f"{path}: no array {name!r}; not an SMPL, SMPL-H or SMPL-X model file")
        array = np.asarray(found[name])
        if array.dtype.kind not in "fiu" or array.ndim != axes:
            raise InputError(f"{path}: {name!r} is {array.dtype} of shape {array.shape}; expected numbers, {axes} axes")
        if not (np.abs(array.astype(np.float64)) <= _LARGEST).all():
            raise InputError(
                f"{path}: {name!r} has values that are not finite, or beyond {_LARGEST:g}; get the file anew"
            )
        model[name] = torch.from_numpy(array.astype(np.float64))
    joints, vertices = model["J_regressor"].shape
    if joints < len(_SMPL) or not vertices:
        other = _OTHER_FAMILIES.get(joints, "no body")
        raise InputError(
            f"{path}: 'J_regressor' has shape {(joints, vertices)}, {joints} joints: {other}; expected at least 22 "
            "joints, those of an SMPL, SMPL-H or SMPL-X body"
        )
    if model.get("posedirs", torch.empty(0)).shape[-1:] == (_STAR_FEATURES,):
        raise InputError(
            f"{path}: 'posedirs' has {_STAR_FEATURES} columns: this is STAR, whose surface follows quaternions; use an "
            "SMPL, SMPL-H or SMPL-X file"
        )
    shapes = {
        "v_template": (vertices, 3), "shapedirs": (vertices, 3, None), "kintree_table": (2, joints),
        "posedirs": (vertices, 3, 9 * (joints - 1)), "weights": (vertices, joints), "f": (None, 3),
    }  # fmt: skip
    for name, expected in shapes.items():
        shape = tuple(model[name].shape) if name in model else expected
        if any(size not in (None, own) for size, own in zip(expected, shape, strict=True)):
            raise InputError(
                f"{path}: {name!r} has shape {shape}; expected {str(expected).replace('None', 'any')} for"
                f" {vertices} vertices and {joints} joints (axes of 'J_regressor')"
            )
    parents = model["kintree_table"][0].long()
    parents[0] = -1  # stored as the largest number of its type
    if tuple(parents[: len(_SMPL)].tolist()) != _SMPL.parents:
        raise InputError(
            f"{path}: the first 22 joints of 'kintree_table' are not SMPL's body; expected an SMPL, SMPL-H or SMPL-X "
            "file (hands and heads alone are none)"
        )
    if not all(0 <= parent < joint for joint, parent in enumerate(parents.tolist()) if joint):
        raise InputError(f"{path}: 'kintree_table' lists a joint before its parent")
    if "f" in model and not bool(((model["f"] >= 0) & (model["f"] < vertices)).all()):
        raise InputError(f"{path}: 'f' names a vertex beyond the {vertices} that the file has")
    return model


def shapes_of(model: dict[str, Tensor]) -> int:
    """How many shape coefficients a model has: the last of SMPL-X are expressions."""
    known = int(model["shapedirs"].shape[-1])
    if len(model["J_regressor"]) != _SMPLX_JOINTS:
        return known
    return _SMPLX_SHAPES if known > _SMPLX_SHAPES else min(10, known)


def shape_coefficients(
    path: Path, model: dict[str, Tensor], betas: Sequence[float] | Tensor | None
) -> Float[Tensor, "shapes"]:
    """All shape coefficients of the file, zero where none is given."""
    full = torch.zeros(model["shapedirs"].shape[-1], dtype=torch.float64)
    known = shapes_of(model)
    given = torch.as_tensor([] if betas is None else betas, dtype=torch.float64)
    if given.ndim != 1 or len(given) > known or not bool(given.isfinite().all()):
        raise InputError(f"{path}: betas: expected at most {known} finite numbers, got shape {tuple(given.shape)}")
    full[: len(given)] = given
    return full


def rest_joints(path: Path, model: dict[str, Tensor], shape: Tensor) -> Float[Tensor, "joints 3"]:
    """The model's joints at rest, of that shape."""
    joints = model["J_regressor"] @ (model["v_template"] + model["shapedirs"] @ shape)
    left, right, head, pelvis = (joints[_SMPL.index(j)] for j in ("left_hip", "right_hip", "head", "pelvis"))
    if not (left[0] > right[0] and head[1] > pelvis[1]):
        raise InputError(f"{path}: the rest pose does not have y up and the left at +x; use the model as published")
    return joints


@reader()
def read_smpl_body(path: str | Path, betas: Sequence[float] | Tensor | None = None) -> Float[Tensor, "25 3"]:
    """The rest body of an SMPL, SMPL-H or SMPL-X model file.

    Joints are ``J_regressor @ (v_template + shapedirs @ betas)``. ``hip_centre`` is the middle of the hips;
    ``neck_nose`` and ``head_top``, which SMPL has not, are those of the shipped body, scaled by the length of the
    bone from neck to head.

    Args:
        path: the model, ``.npz``, or ``.pkl`` if that holds plain arrays only.
        betas: shape coefficients, any number up to the file's; the mean body by default.

    Returns:
        Rest offsets of the `poseterior.geometry.body.SMPL25` points in their parent's frame at our T-pose, metres: with
        rotations of our importer they give SMPL's joints exactly.

    Raises:
        InputError: not such a file, arrays that do not fit each other, pickled objects (never loaded), too many
            betas.
    """
    path = Path(path)
    model = _read_model(path, _JOINT_ARRAYS)
    return our_offsets(rest_joints(path, model, shape_coefficients(path, model, betas))).float()


def our_offsets(joints: Float[Tensor, "joints 3"]) -> Float[Tensor, "25 3"]:
    """Joints in SMPL's rest pose (smpl22 first) as the rest body that `read_smpl_body` returns."""
    turns = _rest_turns(joints.dtype)
    offsets = our_rest_offsets(joints.dtype)
    usual = offsets[_SMPL.index("head")].norm()
    for joint, parent in enumerate(_SMPL.parents):
        offsets[joint] = 0.0 if parent < 0 else turns[parent] @ (joints[joint] - joints[parent])
    hips = offsets[[_SMPL.index("left_hip"), _SMPL.index("right_hip")]]
    offsets[SMPL25.index("hip_centre")] = hips.mean(0)
    for point in ("neck_nose", "head_top"):
        offsets[SMPL25.index(point)] *= offsets[_SMPL.index("head")].norm() / usual
    return offsets


@reader()
def pose_mesh(
    path: str | Path,
    rotations: Float[Tensor, "*batch 22 3 3"],
    root: Float[Tensor, "*batch 3"],
    betas: Sequence[float] | Tensor | None = None,
) -> tuple[Float[Tensor, "*batch vertices 3"], Int[Tensor, "faces 3"]]:
    """The surface of a body in given poses, by the ``smplx`` package (extra ``smplx``).

    Hands are flat, faces neutral: our rotations do not have them.

    Args:
        path: the model file, as for `read_smpl_body`.
        rotations: of the smpl22 joints relative to the parent and to our T-pose, the pelvis' global (in whatever
            axes: the mesh is in the same).
        root: position of the pelvis joint, metres.
        betas: shape coefficients.

    Returns:
        Vertices in metres, of ``rotations``' dtype and device, and the vertices of each triangle.

    Raises:
        InputError: as `read_smpl_body`; shapes that do not fit; ``smplx`` is not installed.
    """
    need("smplx", "smplx.lbs", f"{path}: making meshes")
    path = Path(path)
    return posed_surface(path, read_model(path), rotations, root, betas)


def posed_surface(
    path: Path,
    model: dict[str, Tensor],
    rotations: Float[Tensor, "*batch 22 3 3"],
    root: Float[Tensor, "*batch 3"],
    betas: Sequence[float] | Tensor | None = None,
) -> tuple[Float[Tensor, "*batch vertices 3"], Int[Tensor, "faces 3"]]:
    """`pose_mesh` of a model that was read (`read_model`)."""
    need("smplx", "smplx.lbs", f"{path}: making meshes")
    from smplx.lbs import lbs

    if rotations.shape[-3:] != (22, 3, 3) or root.shape != (*rotations.shape[:-3], 3):
        raise InputError(
            f"pose_mesh: rotations {tuple(rotations.shape)} and root {tuple(root.shape)}; expected (…, 22, 3, 3) and"
            " (…, 3)"
        )
    shape = shape_coefficients(path, model, betas)
    pelvis = rest_joints(path, model, shape)[_SMPL.root].to(rotations)
    parents = model["kintree_table"][0].long()
    parents[0] = -1
    part = {name: value.to(rotations) for name, value in model.items()}

    batch = rotations.shape[:-3]
    body = smpl_rotations(rotations).reshape(-1, 22, 3, 3)
    rest = torch.eye(3).to(body).expand(len(body), len(parents) - len(_SMPL), 3, 3)
    vertices, _ = lbs(
        shape.to(rotations).expand(len(body), -1), torch.cat([body, rest], 1), part["v_template"],
        part["shapedirs"], part["posedirs"].flatten(0, 1).T, part["J_regressor"], parents.to(rotations.device),
        part["weights"], pose2rot=False,
    )  # fmt: skip
    vertices = vertices.reshape(*batch, -1, 3) + (root - pelvis).unsqueeze(-2)
    return vertices, model["f"].long().to(rotations.device)
