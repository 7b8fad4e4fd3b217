"""Joint angles in degrees, of 3D points or of joint rotations: pure functions.

Conventions follow the recommendations of the International Society of Biomechanics (Wu et al. 2002, 2005; Grood &
Suntay 1983) as far as points can: segments have the axes X forward, Y up, Z to the person's right; a distal segment is
turned in its proximal one by the Cardan sequence Z-X-Y of moving axes (flexion, adduction, axial rotation). Signs of
the left side are those of its mirror image. It is the sequence of OpenSim's gait models (Rajagopal et al. 2016) too.

What the segments are when only points are known:

=========  ====================================  ========================================================
segment    first axis                            second axis
=========  ====================================  ========================================================
pelvis     Z, from the left hip to the right     Y, towards ``spine``
trunk      Y, from ``spine`` to ``thorax``       Z, from the left shoulder to the right
thigh      Y, from the knee to the hip           Z, the axis about which the shank is bent in the thigh
upper arm  Y, from the elbow to the shoulder     Z, the axis about which the forearm is bent
=========  ====================================  ========================================================

So an axial rotation is told by how the next segment is bent: it cannot be told of a straight limb (NaN where it is
exactly straight), and neither can the sense of a knee that is bent the wrong way: knees and elbows bend by 0 to 180
degrees. Feet and forearms that turn about themselves have no points; rotations (`angles_of_rotations`) tell them.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError
from .skeletons import SKELETONS, Skeleton, get_skeleton

__all__ = [
    "CAMERA_TO_GROUND",
    "OPENSIM",
    "POINT_ANGLES",
    "RANGES",
    "ROTATION_ANGLES",
    "angles_of_points",
    "angles_of_rotations",
    "joints_of",
    "side_of",
    "told_by",
]

_SIDES = ("right", "left")
_TRUNK = ("pelvis_tilt", "pelvis_list", "pelvis_rotation", "trunk_flexion", "trunk_bending", "trunk_rotation")
_LIMBS = (
    "hip_flexion", "hip_adduction", "hip_rotation", "knee_flexion", "shoulder_flexion", "shoulder_adduction",
    "shoulder_rotation", "shoulder_elevation", "shoulder_plane", "elbow_flexion",
)  # fmt: skip
_TURNING = (
    "knee_adduction", "knee_rotation", "ankle_flexion", "ankle_inversion", "ankle_rotation", "elbow_rotation",
)  # fmt: skip

#: Angles that points tell.
POINT_ANGLES: tuple[str, ...] = (*_TRUNK, *(f"{side}_{angle}" for side in _SIDES for angle in _LIMBS))
#: Angles that rotations tell.
ROTATION_ANGLES: tuple[str, ...] = (
    *_TRUNK,
    *(f"{side}_{angle}" for side in _SIDES for angle in (*_LIMBS, *_TURNING)),
)
#: Angles with bounds, degrees; all others go round (-180 to 180).
RANGES: dict[str, tuple[float, float]] = {
    f"{side}_{angle}": (0.0, 180.0)
    for side in _SIDES
    for angle in ("knee_flexion", "elbow_flexion", "shoulder_elevation")
}

#: Camera axes (x right, y down, z forward) to those of the ground: X away from the camera, Y up, Z to its right.
CAMERA_TO_GROUND: tuple[tuple[float, ...], ...] = ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0))

#: Coordinates of OpenSim's full-body gait model (Rajagopal et al. 2016): our angle, and its sign there.
OPENSIM: dict[str, tuple[str, float]] = {
    "pelvis_tilt": ("pelvis_tilt", 1.0),
    "pelvis_list": ("pelvis_list", 1.0),
    "pelvis_rotation": ("pelvis_rotation", 1.0),
    **{
        f"{theirs}_{side[0]}": (f"{side}_{ours}", 1.0)
        for side in _SIDES
        for theirs, ours in (
            ("hip_flexion", "hip_flexion"), ("hip_adduction", "hip_adduction"), ("hip_rotation", "hip_rotation"),
            ("knee_angle", "knee_flexion"), ("ankle_angle", "ankle_flexion"), ("subtalar_angle", "ankle_inversion"),
        )
    },
    "lumbar_extension": ("trunk_flexion", -1.0),
    "lumbar_bending": ("trunk_bending", 1.0),
    "lumbar_rotation": ("trunk_rotation", 1.0),
    **{
        f"{theirs}_{side[0]}": (f"{side}_{ours}", 1.0)
        for side in _SIDES
        for theirs, ours in (
            ("arm_flex", "shoulder_flexion"), ("arm_add", "shoulder_adduction"), ("arm_rot", "shoulder_rotation"),
            ("elbow_flex", "elbow_flexion"),
        )
    },
}  # fmt: skip

_PELVIS = ("left_hip", "right_hip", "pelvis", "spine")
_CHEST = ("spine", "thorax", "left_shoulder", "right_shoulder")
_SMPL = SKELETONS["smpl22"]
#: SMPL's axes at rest (x left, y up, z forward) in those of the segments.
_FROM_SMPL = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))


def side_of(angle: str) -> str:
    """``"left"``, ``"right"`` or ``"middle"``."""
    side = angle.partition("_")[0]
    return side if side in _SIDES else "middle"


@lru_cache(maxsize=64)
def joints_of(angle: str) -> tuple[str, ...]:
    """The h36m17 joints that tell an angle."""
    side, _, name = angle.partition("_")
    if side == "pelvis":
        return _PELVIS
    if side == "trunk":
        return (*_PELVIS, *_CHEST[1:])
    part, _, what = name.partition("_")
    leg, arm = [[f"{side}_{j}" for j in js] for js in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))]
    if part in ("knee", "ankle"):
        return tuple(leg)
    if part == "elbow":
        return tuple(arm)
    bent = what == "rotation"
    return (*(_PELVIS if part == "hip" else _CHEST), *(leg if part == "hip" else arm)[: 3 if bent else 2])


def told_by(joints: Bool[Tensor, "*batch joints"], skeleton: str | Skeleton) -> Bool[Tensor, "*batch angles"]:
    """Which of `POINT_ANGLES` have all of their joints, of those that are marked."""
    skeleton = get_skeleton(skeleton)
    columns = [joints[..., [skeleton.index(j) for j in joints_of(angle)]].all(-1) for angle in POINT_ANGLES]
    return torch.stack(columns, -1)


# -- vectors ---------------------------------------------------------------------------------------------------


def _unit(vector: Tensor) -> Tensor:
    """Length 1; NaN for a vector of no length, which has no direction."""
    length = vector.norm(dim=-1, keepdim=True)
    return torch.where(length > 1e-12, vector / length.clamp(min=1e-12), torch.nan)


def _frame(first: Tensor, second: Tensor, order: str) -> Float[Tensor, "*batch 3 3"]:
    """Rows X, Y, Z: the axis ``order[0]`` along ``first``, ``order[1]`` near ``second``."""
    one = _unit(first)
    two = _unit(second - (second * one).sum(-1, keepdim=True) * one)
    y, z = (one, two) if order == "yz" else (two, one)
    return torch.stack([torch.linalg.cross(y, z), y, z], -2)


def _seen_from(frame: Tensor, vector: Tensor) -> Tensor:
    return (frame @ vector.unsqueeze(-1)).squeeze(-1)


def _between(one: Tensor, two: Tensor) -> Tensor:
    """The angle of two vectors, 0 to pi; exact near both ends."""
    return torch.atan2(torch.linalg.cross(one, two).norm(dim=-1), (one * two).sum(-1))


def _cardan(y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Angles of the sequence Z-X-Y that brings the axes y and z there; the first two depend on y alone."""
    first = torch.atan2(-y[..., 0], y[..., 1])
    second = torch.atan2(y[..., 2], torch.hypot(y[..., 0], y[..., 1]))
    cos1, sin1, cos2, sin2 = first.cos(), first.sin(), second.cos(), second.sin()
    along_x = z[..., 0] * cos1 + z[..., 1] * sin1
    along_z = z[..., 0] * sin1 * sin2 - z[..., 1] * cos1 * sin2 + z[..., 2] * cos2
    return first, second, torch.atan2(along_x, along_z)


def _limb(y: Tensor, z: Tensor, mirror: float) -> tuple[Tensor, Tensor, Tensor]:
    """Flexion, adduction and inward rotation of a limb whose axes are given in its proximal segment."""
    flexion, adduction, rotation = _cardan(y, z)
    return flexion, mirror * adduction, mirror * rotation


def _arm_direction(y: Tensor, mirror: float) -> tuple[Tensor, Tensor]:
    """Elevation (0: hanging) and its plane (0: abduction, 90 degrees: forward) of the axis elbow to shoulder."""
    down = torch.zeros_like(y)
    down[..., 1] = 1.0
    return _between(y, down), torch.atan2(-y[..., 0], -mirror * y[..., 2])


def _ordered(found: dict[str, Tensor], names: tuple[str, ...]) -> Float[Tensor, "*batch angles"]:
    return torch.rad2deg(torch.stack([found[name] for name in names], -1))


def _of_axes(frame: Tensor) -> tuple[Tensor, Tensor]:
    """Y and Z of rows X, Y, Z."""
    return frame[..., 1, :], frame[..., 2, :]


# -- angles ----------------------------------------------------------------------------------------------------


def angles_of_points(
    poses: Float[Tensor, "*batch joints 3"], skeleton: str | Skeleton = "h36m17"
) -> Float[Tensor, "*batch angles"]:
    """Angles of 3D joints.

    Args:
        poses: any length unit, camera axes (x right, y down, z forward), at any place. Only the three angles of the
            pelvis depend on the axes: they take the camera's y for the vertical.
        skeleton: with the joints of h36m17.

    Returns:
        Degrees, float64, in the order of `POINT_ANGLES`; NaN where a joint is, or a direction that is needed has no
        length.

    Raises:
        InputError: a skeleton that lacks a joint.
    """
    skeleton = get_skeleton(skeleton)
    missing = [j for j in dict.fromkeys(j for a in POINT_ANGLES for j in joints_of(a)) if j not in skeleton.joints]
    if missing:
        raise InputError(f"angles: the skeleton {skeleton.name!r} lacks the joint {missing[0]!r}; use h36m17")
    poses = poses.double()

    def at(joint: str) -> Tensor:
        return poses[..., skeleton.index(joint), :]

    pelvis = _frame(at("right_hip") - at("left_hip"), at("spine") - at("pelvis"), "zy")
    trunk = _frame(at("thorax") - at("spine"), at("right_shoulder") - at("left_shoulder"), "yz")
    ground = poses.new_tensor(CAMERA_TO_GROUND)
    found = _trunk_angles(_of_axes(pelvis @ ground.T), [_seen_from(pelvis, axis) for axis in _of_axes(trunk)])
    for side, mirror in (("right", 1.0), ("left", -1.0)):
        thigh, shank = at(f"{side}_knee") - at(f"{side}_hip"), at(f"{side}_ankle") - at(f"{side}_knee")
        upper, fore = at(f"{side}_elbow") - at(f"{side}_shoulder"), at(f"{side}_wrist") - at(f"{side}_elbow")
        hip = _limb(_seen_from(pelvis, -thigh), _seen_from(pelvis, _unit(torch.linalg.cross(shank, thigh))), mirror)
        arm = _seen_from(trunk, -upper)
        shoulder = _limb(arm, _seen_from(trunk, _unit(torch.linalg.cross(upper, fore))), mirror)
        values = (*hip, _between(thigh, shank), *shoulder, *_arm_direction(arm, mirror), _between(upper, fore))
        found |= {f"{side}_{name}": value for name, value in zip(_LIMBS, values, strict=True)}
    return _ordered(found, POINT_ANGLES)


def _trunk_angles(pelvis: tuple[Tensor, Tensor], trunk: list[Tensor]) -> dict[str, Tensor]:
    """Of the pelvis' axes Y and Z on the ground, and the trunk's in the pelvis."""
    extension, bending, rotation = _cardan(trunk[0], trunk[1])
    return dict(zip(_TRUNK, (*_cardan(*pelvis), -extension, bending, rotation), strict=True))


def angles_of_rotations(rotations: Float[Tensor, "*batch 22 3 3"]) -> Float[Tensor, "*batch angles"]:
    """Angles of the smpl22 joints' rotations.

    All are zero in the T-pose but those of the arms, which are zero when they hang with the thumbs to the front. The
    trunk is the chest (``spine3``) in the pelvis. The hands turn about the forearm from the palms' direction in the
    T-pose, down.

    Args:
        rotations: relative to the parent and to the T-pose, the pelvis' global in camera axes.

    Returns:
        Degrees, float64, in the order of `ROTATION_ANGLES`.
    """
    rotations = rotations.double()
    own = rotations.new_tensor(_FROM_SMPL)
    turns = {name: own @ rotations[..., joint, :, :] @ own.T for joint, name in enumerate(_SMPL.joints)}
    # The pelvis turns from the T-pose in camera axes: its own axes in those of the ground are the columns.
    pelvis = rotations.new_tensor(CAMERA_TO_GROUND) @ rotations[..., _SMPL.root, :, :] @ own.T
    chest = turns["spine1"] @ turns["spine2"] @ turns["spine3"]
    found = _trunk_angles((pelvis[..., 1], pelvis[..., 2]), [chest[..., 1], chest[..., 2]])
    for side, mirror in (("right", 1.0), ("left", -1.0)):
        hip = _limb(turns[f"{side}_hip"][..., 1], turns[f"{side}_hip"][..., 2], mirror)
        bend, knee_in, knee_turn = _limb(turns[f"{side}_knee"][..., 1], turns[f"{side}_knee"][..., 2], mirror)
        ankle = _limb(turns[f"{side}_ankle"][..., 1], turns[f"{side}_ankle"][..., 2], mirror)
        # From a hanging arm to the T-pose: a quarter turn outwards about the axis to the front.
        raised = rotations.new_tensor([[1.0, 0.0, 0.0], [0.0, 0.0, mirror], [0.0, -mirror, 0.0]])
        arm = turns[f"{side}_collar"] @ turns[f"{side}_shoulder"] @ raised
        elbow = raised.T @ turns[f"{side}_elbow"] @ raised
        flexion, _, turn = _limb(elbow[..., 1], elbow[..., 2], mirror)
        values = (
            *hip, -bend, *_limb(arm[..., 1], arm[..., 2], mirror), *_arm_direction(arm[..., 1], mirror), flexion,
            knee_in, knee_turn, *ankle, turn,
        )  # fmt: skip
        found |= {f"{side}_{name}": value for name, value in zip((*_LIMBS, *_TURNING), values, strict=True)}
    return _ordered(found, ROTATION_ANGLES)
