"""USD: a skeleton, its animation (UsdSkel) and a body of bones, through usd-core."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.extras import need
from ..files.writing import atomic_write

__all__ = ["USD_SUFFIXES", "write_usd"]

#: Text, binary, and a package of one file.
USD_SUFFIXES = (".usda", ".usdc", ".usdz")

Array = NDArray[Any]


def write_usd(
    path: Path,
    joints: Sequence[str],
    parents: Sequence[int],
    rotations: Array,
    offsets: Array,
    root: Array,
    fps: float,
    mesh: tuple[Array, Array, Array],
    name: str,
) -> None:
    """Write a motion: metres, Y up, a time code a frame.

    Args:
        path: ``.usda``, ``.usdc`` or ``.usdz``.
        joints, parents: the tree; parents come first.
        rotations: ``(frames, joints, 4)`` unit quaternions xyzw relative to the parent.
        offsets: ``(joints, 3)`` metres at rest, in the parent's frame.
        root: ``(frames, 3)`` metres.
        fps: frames per second.
        mesh: corners at rest ``(n, 3)``, the joint that each follows ``(n,)``, triangles ``(m, 3)``.
        name: of the motion, for the file's comment.

    Raises:
        InputError: usd-core is missing.
    """
    need("usd", "pxr", f"{path}: writing USD")
    from pxr import Gf, Sdf, Usd, UsdGeom, UsdSkel, Vt

    stage = Usd.Stage.CreateInMemory()
    layer = stage.GetRootLayer()
    layer.comment = f"{name}: by poseterior; metres, y up; zero rotations are the T-pose"
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    stage.SetTimeCodesPerSecond(fps)
    stage.SetFramesPerSecond(fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(len(rotations) - 1)
    body = UsdSkel.Root.Define(stage, "/Body")
    stage.SetDefaultPrim(body.GetPrim())

    places: list[str] = []
    standing = np.zeros((len(joints), 3))
    for joint, parent in zip(joints, parents, strict=True):
        word = re.sub(r"\W", "_", joint)
        places.append(word if parent < 0 else f"{places[parent]}/{word}")
    for index, parent in enumerate(parents):
        standing[index] = offsets[index] + (standing[parent] if parent >= 0 else 0.0)
    tokens = Vt.TokenArray(places)
    skeleton = UsdSkel.Skeleton.Define(stage, "/Body/Skeleton")
    skeleton.CreateJointsAttr(tokens)
    skeleton.CreateBindTransformsAttr(_moves(standing))
    skeleton.CreateRestTransformsAttr(_moves(offsets))

    motion = UsdSkel.Animation.Define(stage, "/Body/Skeleton/Motion")
    motion.CreateJointsAttr(tokens)
    moved = np.tile(np.asarray(offsets, np.float32), (len(rotations), 1, 1))
    moved[:, parents.index(-1)] = root
    scalars_first = np.asarray(rotations, np.float64)[..., [3, 0, 1, 2]]
    translations, turns = motion.CreateTranslationsAttr(), motion.CreateRotationsAttr()
    motion.CreateScalesAttr(Vt.Vec3hArray([Gf.Vec3h(1.0, 1.0, 1.0)] * len(joints)))
    for frame in range(len(rotations)):
        translations.Set(Vt.Vec3fArray.FromNumpy(moved[frame]), frame)
        turns.Set(Vt.QuatfArray([Gf.Quatf(*row) for row in scalars_first[frame].tolist()]), frame)
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([motion.GetPath()])

    corners, owners, triangles = mesh
    bones = UsdGeom.Mesh.Define(stage, "/Body/Bones")
    bones.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(corners, np.float32)))
    bones.CreateFaceVertexCountsAttr(Vt.IntArray([3] * len(triangles)))
    bones.CreateFaceVertexIndicesAttr(Vt.IntArray(triangles.ravel().tolist()))
    bones.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    bones.CreateExtentAttr(Vt.Vec3fArray([Gf.Vec3f(*corners.min(0).tolist()), Gf.Vec3f(*corners.max(0).tolist())]))
    binding = UsdSkel.BindingAPI.Apply(bones.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    binding.CreateJointIndicesPrimvar(False, 1).Set(Vt.IntArray(owners.astype(int).tolist()))
    binding.CreateJointWeightsPrimvar(False, 1).Set(Vt.FloatArray([1.0] * len(owners)))
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1.0))
    bones.GetPrim().SetMetadata("comment", "each bone follows the joint that it begins at")
    content = _content(layer, path.suffix.lower(), Sdf)
    with atomic_write(path) as file:
        file.write(content)


def _moves(places: Array) -> Any:
    """Matrices that move by some metres."""
    from pxr import Gf, Vt

    return Vt.Matrix4dArray([Gf.Matrix4d(1.0).SetTranslate(Gf.Vec3d(*place)) for place in np.asarray(places).tolist()])


def _content(layer: Any, suffix: str, sdf: Any) -> bytes:
    if suffix == ".usda":
        return str(layer.ExportToString()).encode()
    from pxr import UsdUtils

    with tempfile.TemporaryDirectory() as folder:  # the library writes to names only
        made = Path(folder) / "motion.usdc"
        layer.Export(str(made))
        if suffix == ".usdz":
            package = made.with_suffix(".usdz")
            UsdUtils.CreateNewUsdzPackage(sdf.AssetPath(str(made)), str(package))
            made = package
        return made.read_bytes()
