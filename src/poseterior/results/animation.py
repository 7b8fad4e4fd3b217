"""Motion that other programs play: BVH, AMASS-style npz, glTF, USD, OpenSim's coordinates.

One `Animation` is one body through time: bone lengths are constant, whatever the pose, because the files hold
rotations of one rest body.

=========  ==========================================================================================================
suffix     what is written
=========  ==========================================================================================================
``.bvh``   hierarchy of the 22 smpl22 joints, centimetres, y up, T-pose at zero channels; rotations in the order ZXY,
           in degrees. In Blender: File > Import > Motion Capture, scale 0.01, forward -Z, up Y.
``.npz``   as AMASS: ``poses`` (frames, 156) axis-angle of SMPL-H's 52 joints, zero beyond the 22 of the body;
           ``trans`` (frames, 3); ``betas`` zeros; ``mocap_framerate``; ``gender`` "neutral". World **z up**, zero
           rotation is SMPL's rest pose (legs spread), and ``trans`` is the pelvis less its place in SMPL's template,
           as rounded in `poseterior.data.mocap.amass`; `poseterior.data.mocap.amass.read_amass` gives back what was
           written.
           Besides: ``offsets`` (22, 3) our rest body in the T-pose (y up, metres), and ``joint_names``.
``.glb``   binary glTF 2.0: a node a joint, metres, y up; a skin with an octahedron a bone, so that viewers show a
           body; linear keys for each joint's rotation and for the pelvis' place. Needs the extra ``gltf``.
``.usda``  USD as text, ``.usdc`` binary, ``.usdz`` a package: UsdSkel skeleton and animation of the 22 joints, metres,
           y up, with the same body. Needs the extra ``usd``.
``.mot``   OpenSim's coordinates (`poseterior.results.mot`), angles in degrees, the pelvis in metres.
=========  ==========================================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..files.errors import InputError
from ..files.extras import need
from ..files.writing import atomic_write, check_writable
from ..geometry.skeletons import SKELETONS

__all__ = [
    "Animation",
    "numbered_paths",
    "save_animation",
]

_Extra = Mapping[str, NDArray[Any]]

_SMPL = SKELETONS["smpl22"]
_AXES = ("y up", "camera")

#: Quaternions this far from unit length are rounded; beyond, they are something else.
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Animation:
    """One body through time. Arrays are converted to float64, quaternions to unit length.

    Attributes:
        rotations: ``(frames, 22, 4)`` unit quaternions xyzw of the smpl22 joints, relative to the parent (the
            pelvis': global) and to the T-pose.
        offsets: ``(22, 3)`` metres: the body at rest, each joint in its parent's frame; the pelvis' row is not
            used and stored as zero. The first 22 rows of `poseterior.geometry.body.rest_offsets`, for example.
        root: ``(frames, 3)`` metres, the pelvis.
        fps: frames a second.
        axes: ``"y up"`` (world) or ``"camera"`` (x right, y down, z forward).
        name: of the clip.

    Raises:
        InputError: a wrong shape, a value that is not finite or a quaternion that is not of unit length; names the
            frame and the joint.
    """

    rotations: Float[NDArray[np.float64], "frames 22 4"]
    offsets: Float[NDArray[np.float64], "22 3"]
    root: Float[NDArray[np.float64], "frames 3"]
    fps: float
    axes: Literal["y up", "camera"] = "y up"
    name: str = "animation"

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in ("rotations", "offsets", "root"):
            put(self, name, _numbers(getattr(self, name), name))
        frames = len(self.rotations) if self.rotations.ndim else 0
        shapes = {"rotations": (frames, 22, 4), "offsets": (22, 3), "root": (frames, 3)}
        for name, expected in shapes.items():
            if getattr(self, name).shape != expected or not frames:
                pattern = str(expected).replace(f"({frames},", "(frames,") if name != "offsets" else str(expected)
                raise InputError(f"animation: {name} has shape {getattr(self, name).shape}; expected {pattern}")
        for name in shapes:
            _refuse_missing(getattr(self, name), name)
        length = np.linalg.norm(self.rotations, axis=-1)
        bent = np.abs(length - 1.0) > _UNIT_TOLERANCE
        if bent.any():
            frame, joint = np.argwhere(bent)[0]
            raise InputError(
                f"animation: rotations: frame {frame}, joint {_SMPL.joints[joint]!r}: the quaternion"
                f" {self.rotations[frame, joint].tolist()} has length {length[frame, joint]:.4g}; expected 1"
            )
        if not isinstance(self.fps, (int, float, np.number)) or not (np.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"animation: fps is {self.fps!r}; expected a positive number")
        if self.axes not in _AXES:
            raise InputError(f"animation: axes is {self.axes!r}; expected one of: {', '.join(map(repr, _AXES))}")
        put(self, "rotations", self.rotations / length[..., None])
        put(self, "offsets", np.where(np.arange(22)[:, None] == _SMPL.root, 0.0, self.offsets))
        put(self, "fps", float(self.fps))
        put(self, "name", str(self.name))

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.rotations)

    def __repr__(self) -> str:
        return f"Animation({self.name!r}, {len(self)} frame{'s' * (len(self) != 1)} at {self.fps:g} a second)"

    def upright(self) -> Animation:
        """The same motion with y up: camera axes are turned by 180 degrees about x."""
        if self.axes == "y up":
            return self
        x, y, z, w = self.rotations[:, _SMPL.root].T
        rotations = self.rotations.copy()
        rotations[:, _SMPL.root] = np.stack([w, -z, y, -x], -1)  # the product (1, 0, 0, 0) * (x, y, z, w)
        return replace(self, rotations=rotations, root=self.root * [1.0, -1.0, -1.0], axes="y up")

    def continuous(self) -> Animation:
        """The same motion with the sign of each quaternion next to the one before (q and -q are one rotation).

        Programs that interpolate the four numbers then do not go the long way round.
        """
        nearer = np.sum(self.rotations[1:] * self.rotations[:-1], axis=-1) >= 0
        signs = np.cumprod(np.where(nearer, 1.0, -1.0), axis=0)
        rotations = self.rotations.copy()
        rotations[1:] *= signs[..., None]
        return replace(self, rotations=rotations)

    def positions(self) -> Float[NDArray[np.float64], "frames 22 3"]:
        """All joints by forward kinematics, metres, in ``axes``."""
        import torch

        from ..data.mocap.motion import forward_kinematics_quaternion

        translations = [torch.from_numpy(offset) for offset in self.offsets]
        translations[_SMPL.root] = torch.from_numpy(self.root)
        turns = [torch.from_numpy(self.rotations[:, joint]) for joint in range(22)]
        return forward_kinematics_quaternion(_SMPL.parents, translations, turns)[0]


def _numbers(value: Any, name: str) -> NDArray[np.float64]:
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # the last: a tensor that requires gradients
        raise InputError(f"animation: {name}: expected an array of numbers ({error})") from None


def _refuse_missing(values: NDArray[np.float64], name: str) -> None:
    bad = ~np.isfinite(values).all(-1)
    if not bad.any():
        return
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    joint = f"joint {_SMPL.joints[_SMPL.root if name == 'root' else place[-1]]!r}"
    where = joint if name == "offsets" else f"frame {place[0]}, {joint}"
    raise InputError(f"animation: {name}: {where} is not finite ({values[place].tolist()}); drop or fill those frames")


def numbered_paths(path: str | os.PathLike[str], count: int) -> list[Path]:
    """Names for one file a hypothesis: ``x-1.bvh``, ``x-2.bvh`` … for ``x.bvh``; ``x.bvh`` itself for one."""
    path = Path(path)
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, count + 1)]


def save_animation(
    animation: Animation,
    path: str | os.PathLike[str],
    fps: float | None = None,
    extra: _Extra | None = None,
    rig: str | Path | Mapping[str, str] | None = None,
) -> None:
    """Write a motion file, y up (npz: z up, as AMASS); the extension chooses the format.

    Args:
        animation: what to write; camera axes are turned upright.
        path: see the module. The file is replaced only when the new one is complete.
        fps: frames per second to write instead of the animation's own; no frame is made or dropped.
        extra: arrays to keep beside the motion, by name; only npz has room for them.
        rig: of a BVH, whose joints have this rig's names (`poseterior.results.rigs.get_rig`).

    Raises:
        InputError: another extension, a rig that is none or for a file that is no BVH, a rate that is not positive, a
            folder that does not exist or cannot be written to, a library that is missing.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(f"{path}: unknown extension {suffix!r}; use one of: {', '.join(_FORMATS)}")
    check_writable(path)
    animation = animation if fps is None else replace(animation, fps=fps)
    animation = animation.upright().continuous()
    if rig is not None:
        if suffix != ".bvh":
            raise InputError(f"{path}: a rig is for .bvh files only")
        from .rig_bvh import write_rig_bvh
        from .rigs import get_rig, on_rig

        placed = on_rig(animation.rotations, animation.offsets, get_rig(rig))
        write_rig_bvh(Path(path), placed, animation.root, animation.fps)
        return
    _FORMATS[suffix](animation, Path(path), extra or {})


def _save_bvh(animation: Animation, path: Path, _: _Extra) -> None:
    from ..data.mocap.bvh import write_bvh

    write_bvh(path, animation.positions(), animation.rotations, animation.fps)


def _save_npz(animation: Animation, path: Path, extra: _Extra) -> None:
    import roma
    import torch

    from ..data.mocap.amass import REST_OFFSETS
    from ..data.mocap.smplx import smpl_rotations

    z_up = roma.rotvec_to_rotmat(torch.tensor([np.pi / 2, 0.0, 0.0], dtype=torch.float64))
    rotations = smpl_rotations(roma.unitquat_to_rotmat(torch.from_numpy(animation.rotations)))
    rotations[:, _SMPL.root] = z_up @ rotations[:, _SMPL.root]
    poses = np.zeros((len(animation), 156))
    poses[:, :66] = roma.rotmat_to_rotvec(rotations).flatten(1).numpy()
    # AMASS moves a body whose rest pelvis is not at the origin
    trans = animation.root @ z_up.numpy().T - REST_OFFSETS[_SMPL.root]
    others: dict[str, Any] = dict(extra)
    with atomic_write(path) as file:
        np.savez(
            file,
            poses=poses,
            trans=trans,
            betas=np.zeros(16),
            mocap_framerate=np.float64(animation.fps),
            gender=np.str_("neutral"),
            offsets=animation.offsets,
            joint_names=np.array(_SMPL.joints),
            **others,
        )


# -- glTF ------------------------------------------------------------------------------------------------

#: A bone's octahedron is widest at this share of its length, and there this share of its length wide.
_WAIST, _GIRTH = 0.12, 0.09
#: Shorter bones are not drawn, metres.
_SHORTEST = 1e-3
#: Corners: the bone's two ends, then the waist's four; triangles seen from outside, counter-clockwise.
_TRIANGLES = np.array([[0, 3, 2], [0, 4, 3], [0, 5, 4], [0, 2, 5], [1, 2, 3], [1, 3, 4], [1, 4, 5], [1, 5, 2]])


def _octahedron(tail: NDArray[np.float64]) -> NDArray[np.float64]:
    """The six corners of a bone from the origin to ``tail``."""
    length = np.linalg.norm(tail)
    side = np.cross(tail, np.eye(3)[np.argmin(np.abs(tail))])
    side *= _GIRTH * length / np.linalg.norm(side)
    across = np.cross(tail / length, side)
    waist = _WAIST * tail + np.stack([side, across, -side, -across])
    return np.concatenate([np.zeros((1, 3)), tail[None], waist])


def _bones_mesh(
    animation: Animation, rest: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint16]]:
    """Corners ``(n, 3)`` in the T-pose, the joint that each follows ``(n,)``, triangles ``(m, 3)``."""
    from ..data.mocap.bvh import END_SITES

    tails = [(parent, animation.offsets[joint]) for joint, parent in enumerate(_SMPL.parents) if parent >= 0]
    tails += [(_SMPL.index(joint), np.array(site)) for joint, site in END_SITES.items()]
    tails = [(owner, tail) for owner, tail in tails if np.linalg.norm(tail) > _SHORTEST]
    if not tails:
        raise InputError("animation: offsets: all bones have length zero; there is nothing to draw")
    corners = np.concatenate([rest[owner] + _octahedron(tail) for owner, tail in tails])
    owners = np.repeat([owner for owner, _ in tails], 6)
    triangles = np.concatenate([_TRIANGLES + 6 * bone for bone in range(len(tails))])
    return corners.astype(np.float32), owners.astype(np.uint8), triangles.astype(np.uint16)


class _Buffer:
    """The binary part of a glTF file, and the accessors into it."""

    def __init__(self, gltf: Any) -> None:
        self.gltf = gltf
        self.data = bytearray()

    def add(self, values: NDArray[Any], kind: str, target: int | None = None, bounds: bool = False) -> int:
        """Append an array; returns its accessor's index. ``kind`` is glTF's type, for example ``"VEC3"``."""
        import pygltflib as gl

        code = {"float32": gl.FLOAT, "uint16": gl.UNSIGNED_SHORT, "uint8": gl.UNSIGNED_BYTE}[values.dtype.name]
        view = gl.BufferView(buffer=0, byteOffset=len(self.data), byteLength=values.nbytes, target=target)
        self.data += values.tobytes()
        self.data += bytes(-len(self.data) % 4)  # accessors begin at multiples of their numbers' size
        self.gltf.bufferViews.append(view)
        rows = values.reshape(len(values), -1)
        accessor = gl.Accessor(
            bufferView=len(self.gltf.bufferViews) - 1, componentType=code, count=len(values), type=kind,
            min=rows.min(0).tolist() if bounds else None, max=rows.max(0).tolist() if bounds else None,
        )  # fmt: skip
        self.gltf.accessors.append(accessor)
        return len(self.gltf.accessors) - 1


def _save_glb(animation: Animation, path: Path, _: _Extra) -> None:
    need("gltf", "pygltflib", f"{path}: writing glTF")
    import pygltflib as gl

    t_pose = replace(
        animation, rotations=np.tile([0.0, 0.0, 0.0, 1.0], (1, 22, 1)), root=np.zeros((1, 3))
    ).positions()[0]  # fmt: skip
    gltf = gl.GLTF2(asset=gl.Asset(generator="poseterior"))
    buffer = _Buffer(gltf)

    for joint, name in enumerate(_SMPL.joints):
        children = [child for child, parent in enumerate(_SMPL.parents) if parent == joint]
        gltf.nodes.append(gl.Node(name=name, translation=animation.offsets[joint].tolist(), children=children))
    gltf.nodes.append(gl.Node(name="bones", mesh=0, skin=0))
    gltf.scenes = [gl.Scene(name=animation.name, nodes=[_SMPL.root, len(_SMPL)])]
    gltf.scene = 0

    corners, owners, triangles = _bones_mesh(animation, t_pose)
    joints, weights = np.zeros((len(owners), 4), np.uint8), np.zeros((len(owners), 4), np.float32)
    joints[:, 0], weights[:, 0] = owners, 1.0
    attributes = gl.Attributes(
        POSITION=buffer.add(corners, "VEC3", gl.ARRAY_BUFFER, bounds=True),
        JOINTS_0=buffer.add(joints, "VEC4", gl.ARRAY_BUFFER),
        WEIGHTS_0=buffer.add(weights, "VEC4", gl.ARRAY_BUFFER),
    )
    indices = buffer.add(triangles.reshape(-1), "SCALAR", gl.ELEMENT_ARRAY_BUFFER)
    gltf.meshes = [gl.Mesh(name="bones", primitives=[gl.Primitive(attributes=attributes, indices=indices)])]

    # column after column, as glTF has matrices: the translation is the last row here
    bind = np.tile(np.eye(4, dtype=np.float32), (len(_SMPL), 1, 1))
    bind[:, 3, :3] = -t_pose
    gltf.skins = [
        gl.Skin(skeleton=_SMPL.root, joints=list(range(len(_SMPL))), inverseBindMatrices=buffer.add(bind, "MAT4"))
    ]

    times = buffer.add((np.arange(len(animation)) / animation.fps).astype(np.float32), "SCALAR", bounds=True)
    motion = gl.Animation(name=animation.name)
    tracks = [(_SMPL.root, "translation", animation.root, "VEC3")]
    tracks += [(joint, "rotation", animation.rotations[:, joint], "VEC4") for joint in range(len(_SMPL))]
    for joint, what, values, kind in tracks:
        output = buffer.add(values.astype(np.float32), kind)
        motion.samplers.append(gl.AnimationSampler(input=times, output=output, interpolation=gl.ANIM_LINEAR))
        target = gl.AnimationChannelTarget(node=joint, path=what)
        motion.channels.append(gl.AnimationChannel(sampler=len(motion.samplers) - 1, target=target))
    gltf.animations = [motion]

    gltf.buffers = [gl.Buffer(byteLength=len(buffer.data))]
    gltf.set_binary_blob(bytes(buffer.data))
    with atomic_write(path) as file:
        file.write(b"".join(gltf.save_to_bytes()))


# -- USD and OpenSim -------------------------------------------------------------------------------------


def _save_usd(animation: Animation, path: Path, _: _Extra) -> None:
    from .usd import write_usd

    standing = replace(animation, rotations=np.tile([0.0, 0.0, 0.0, 1.0], (1, 22, 1)), root=np.zeros((1, 3)))
    mesh = _bones_mesh(animation, standing.positions()[0])
    write_usd(
        path, _SMPL.joints, _SMPL.parents, animation.rotations, animation.offsets, animation.root, animation.fps,
        mesh, animation.name,
    )  # fmt: skip


def _save_mot(animation: Animation, path: Path, _: _Extra) -> None:
    import roma
    import torch

    from ..geometry.angles import CAMERA_TO_GROUND, ROTATION_ANGLES, angles_of_rotations
    from .mot import coordinates, write_mot

    half_turn = np.diag([1.0, -1.0, -1.0])  # y up to camera axes
    rotations = roma.unitquat_to_rotmat(torch.from_numpy(animation.rotations))
    rotations[:, _SMPL.root] = torch.from_numpy(half_turn) @ rotations[:, _SMPL.root]
    ground = animation.root @ half_turn @ np.array(CAMERA_TO_GROUND).T
    table = coordinates(ROTATION_ANGLES, angles_of_rotations(rotations).numpy(), ground)
    times = np.arange(len(animation)) / animation.fps
    write_mot(path, table, times, "Angles of joint rotations: zero is the T-pose, of the arms hanging ones.")


_FORMATS: dict[str, Callable[[Animation, Path, _Extra], None]] = {
    ".bvh": _save_bvh, ".npz": _save_npz, ".glb": _save_glb, ".usda": _save_usd, ".usdc": _save_usd,
    ".usdz": _save_usd, ".mot": _save_mot,
}  # fmt: skip
