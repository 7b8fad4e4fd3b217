"""Per-source joint tables: how a source's joints become smpl22 and h36m17.

A `JointTable` says, explicitly for every target joint, which weighted sum of source joints it is, and for
every smpl22 joint which source frame turns with it and how that frame stands in the T-pose (person facing
``+z``, ``y`` up, arms along ``+-x`` with left at ``+x``, legs straight down).

smpl22 joints are *rotation centres*: each is placed where the source turns the segment that it stands for. So
``spine1`` of the CMU skeletons is their first trunk joint, which lies at the pelvis (a zero-length bone), and
forward kinematics of the stored rotations reproduces the stored positions exactly. In the CMU BVH conversion
the third trunk bone has length zero, so that ``neck`` lies at ``spine3``; its ``positions`` say so too.

============  =========================  ====================  ======================  ==================
smpl22        CMU BVH (joint)            CMU ASF (bone END)    Bandai-Namco            AMASS
============  =========================  ====================  ======================  ==================
pelvis        Hips                       root                  Hips                    0 pelvis
*_hip         *UpLeg                     ?hipjoint             UpperLeg_?              1, 2
*_knee        *Leg                       ?femur                LowerLeg_?              4, 5
*_ankle       *Foot                      ?tibia                Foot_?                  7, 8
*_foot        *ToeBase                   ?foot                 Toes_?                  10, 11
spine1        LowerBack                  root                  Spine                   3
spine2        Spine                      lowerback             Chest                   6
spine3        Spine1                     upperback             1/2 Chest + 1/2 Neck    9
neck          Neck                       thorax                Neck                    12
head          Neck1                      lowerneck             Head                    15
*_collar      *Shoulder                  thorax                Shoulder_?              13, 14
*_shoulder    *Arm                       ?clavicle             UpperArm_?              16, 17
*_elbow       *ForeArm                   ?humerus              LowerArm_?              18, 19
*_wrist       *Hand                      ?radius               Hand_?                  20, 21
============  =========================  ====================  ======================  ==================

============  =========================  ====================  ======================  ==================
h36m17        CMU BVH                    CMU ASF               Bandai-Namco            AMASS
============  =========================  ====================  ======================  ==================
pelvis        middle of the hips         middle of the hips    middle of the hips      middle of the hips
spine         Spine                      lowerback             1/2 Spine + 1/2 Chest   spine2
thorax        Neck                       thorax                Neck                    neck
neck_nose     1/2 Neck1 + 1/2 Head       1/2 lowerneck         Head                    head
                                         + 1/2 upperneck
head_top      Head_end                   head                  missing (NaN)           missing (NaN)
limbs         as in smpl22               as in smpl22          as in smpl22            as in smpl22
============  =========================  ====================  ======================  ==================

============  =========================  ====================
h36m17        MPI-INF-3DHP (mpi17)       3DPW (SMPL)
============  =========================  ====================
pelvis        pelvis                     middle of the hips
spine         spine                      spine2
thorax        neck                       neck
neck_nose     head                       head
head_top      head_top                   missing (NaN)
limbs         the same                   as in smpl22
============  =========================  ====================

CMU's ``lradius`` ends at the BVH's ``LeftHand``; the ASF's further bone ``lwrist`` (a part of the forearm that
only twists) counts as the hand, as it does in the BVH conversion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from ...files.checks import cut
from ...files.errors import InputError
from ...geometry.skeletons import SKELETONS
from .motion import Motion

__all__ = [
    "MPI17_AS_H36M17",
    "TABLES",
    "JointTable",
    "RestFrame",
    "TPose",
    "as_h36m17",
    "detect_table",
    "to_body",
]

Weights = Mapping[str, float]

_VECTORS = {sign + axis: (-1.0 if sign == "-" else 1.0) * np.eye(3)[i] for i, axis in enumerate("xyz") for sign in "+-"}


@dataclass(frozen=True)
class TPose:
    """How a source frame stands when the person is in the T-pose.

    Attributes:
        left: the frame's own axis that then points to the person's left, e.g. ``"+x"``.
        up: the frame's own axis that then points up.
        turn: a further turn of the frame about a world axis after that, ``("z", degrees)``.
    """

    left: str = "+x"
    up: str = "+y"
    turn: tuple[str, float] = ("x", 0.0)

    def matrix(self) -> NDArray[np.float64]:
        """``(3, 3)`` global orientation of the frame in the T-pose."""
        left, up = _VECTORS[self.left], _VECTORS[self.up]
        rows = np.stack([left, up, np.cross(left, up)])
        vector = torch.from_numpy(_VECTORS["+" + self.turn[0]] * np.deg2rad(self.turn[1]))
        return roma.rotvec_to_rotmat(vector).numpy() @ rows


@dataclass(frozen=True, eq=False)
class RestFrame:
    """A source frame in the T-pose, as computed from a rest pose: `TPose` for frames that no axis describes.

    Attributes:
        rows: ``(3, 3)`` its global orientation there.
    """

    rows: NDArray[np.float64]

    def matrix(self) -> NDArray[np.float64]:
        """``(3, 3)`` global orientation of the frame in the T-pose."""
        return self.rows


@dataclass(frozen=True)
class JointTable:
    """A source's joints in the terms of smpl22 and h36m17.

    Attributes:
        name: short name, also the default of the store's ``source`` column.
        positions: smpl22 joint -> weights of source joints (sum 1).
        frames: smpl22 joint -> (source joint whose orientation it takes, that frame's `TPose` or `RestFrame`).
        h36m17: h36m17 joint -> weights of source joints; a joint that is not listed is stored as NaN.
        scale: metres in one length unit of the source.
        licence: terms of the data, as far as they follow from the format; empty where they do not.
        action: what to take from a file's stem as action: a regular expression with one group.
        fixed: further source joints that must exist for the table to apply.
    """

    name: str
    positions: Mapping[str, Weights]
    frames: Mapping[str, tuple[str, TPose | RestFrame]]
    h36m17: Mapping[str, Weights]
    scale: float = 1.0
    licence: str = ""
    action: str = r"^(.*?)(?:_\d+)?$"
    fixed: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for target, rules in (("smpl22", self.positions), ("smpl22", self.frames), ("h36m17", self.h36m17)):
            unknown = set(rules) - set(SKELETONS[target].joints)
            if unknown:
                raise InputError(f"joint table {self.name!r}: {target} has no joint {sorted(unknown)[0]!r}")
        missing = [j for j in SKELETONS["smpl22"].joints if j not in self.positions or j not in self.frames]
        if missing:
            raise InputError(f"joint table {self.name!r}: no rule for smpl22 joint {missing[0]!r}")
        for joint, weights in (*self.positions.items(), *self.h36m17.items()):
            if abs(sum(weights.values()) - 1.0) > 1e-6:
                raise InputError(f"joint table {self.name!r}: the weights of {joint!r} do not sum to 1")

    @property
    def needs(self) -> frozenset[str]:
        """The source joints that the table reads."""
        named = {name for weights in (*self.positions.values(), *self.h36m17.values()) for name in weights}
        return frozenset(named | {source for source, _ in self.frames.values()} | set(self.fixed))


def _weights(rule: str) -> dict[str, float]:
    """``"Chest + Neck"`` is their mean, ``"Hips"`` the joint itself."""
    parts = [part.strip() for part in rule.split("+")]
    return {part: 1.0 / len(parts) for part in parts}


def _sided(rules: Mapping[str, str]) -> dict[str, dict[str, float]]:
    return {joint: _weights(rule) for joint, rule in rules.items()}


def _both(rules: Mapping[str, str], left: str, right: str) -> dict[str, str]:
    """Rules of limbs for both sides: ``{"hip": "?UpLeg"}`` with the sides' spellings put for ``?``."""
    spelled = (("left", left), ("right", right))
    return {f"{side}_{joint}": rule.replace("?", word) for joint, rule in rules.items() for side, word in spelled}


_PELVIS = "{0} + {1}"
_LIMBS = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")


def _h36m(trunk: Mapping[str, str], smpl: Mapping[str, str]) -> dict[str, dict[str, float]]:
    limbs = {f"{side}_{joint}": smpl[f"{side}_{joint}"] for joint in _LIMBS for side in ("left", "right")}
    return _sided({"pelvis": _PELVIS.format(smpl["left_hip"], smpl["right_hip"]), **limbs, **trunk})


# -- CMU, BVH conversion --------------------------------------------------------------------------------

_CMU_LICENCE = (
    "Free for research and in commercial products; not to be resold itself. The data used in this project was "
    "obtained from mocap.cs.cmu.edu. The database was created with funding from NSF EIA-0196217."
)

#: CMU's rest pose spreads the legs by 20 degrees; turning them in gives the T-pose.
_CMU_SPLAY = {"left": TPose(turn=("z", -20.0)), "right": TPose(turn=("z", 20.0))}


def _cmu_frames(sources: Mapping[str, str]) -> dict[str, tuple[str, TPose]]:
    legs = ("hip", "knee", "ankle", "foot")
    return {
        joint: (source, _CMU_SPLAY[joint.split("_")[0]] if joint.split("_")[-1] in legs else TPose())
        for joint, source in sources.items()
    }


_CMU_BVH = {
    "pelvis": "Hips", "spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "neck": "Neck", "head": "Neck1",
    **_both(
        {"hip": "?UpLeg", "knee": "?Leg", "ankle": "?Foot", "foot": "?ToeBase", "collar": "?Shoulder",
         "shoulder": "?Arm", "elbow": "?ForeArm", "wrist": "?Hand"}, "Left", "Right",
    ),
}  # fmt: skip

CMU_BVH = JointTable(
    "cmu-bvh",
    _sided(_CMU_BVH),
    _cmu_frames({**_CMU_BVH, "head": "Head"}),
    _h36m({"spine": "Spine", "thorax": "Neck", "neck_nose": "Neck1 + Head", "head_top": "Head_end"}, _CMU_BVH),
    scale=0.01,
    licence=_CMU_LICENCE,
)

# -- CMU, ASF/AMC ---------------------------------------------------------------------------------------

_CMU_ASF = {
    "pelvis": "root", "spine1": "root", "spine2": "lowerback", "spine3": "upperback", "neck": "thorax",
    "head": "lowerneck",
    **_both(
        {"hip": "?hipjoint", "knee": "?femur", "ankle": "?tibia", "foot": "?foot", "collar": "thorax",
         "shoulder": "?clavicle", "elbow": "?humerus", "wrist": "?radius"}, "l", "r",
    ),
}  # fmt: skip

#: The bone that turns with the joint: the one that begins where the joint is.
_CMU_ASF_FRAMES = {
    "pelvis": "root", "spine1": "lowerback", "spine2": "upperback", "spine3": "thorax", "neck": "lowerneck",
    "head": "head",
    **_both(
        {"hip": "?femur", "knee": "?tibia", "ankle": "?foot", "foot": "?toes", "collar": "?clavicle",
         "shoulder": "?humerus", "elbow": "?radius", "wrist": "?hand"}, "l", "r",
    ),
}  # fmt: skip

CMU_ASF = JointTable(
    "cmu-asfamc",
    _sided(_CMU_ASF),
    _cmu_frames(_CMU_ASF_FRAMES),
    _h36m(
        {"spine": "lowerback", "thorax": "thorax", "neck_nose": "lowerneck + upperneck", "head_top": "head"},
        _CMU_ASF,
    ),
    licence=_CMU_LICENCE,
    action=r"^()",
)

# -- Bandai-Namco Research Motiondataset ------------------------------------------------------------------

_BANDAI = {
    "pelvis": "Hips", "spine1": "Spine", "spine2": "Chest", "spine3": "Chest + Neck", "neck": "Neck", "head": "Head",
    **_both(
        {"hip": "UpperLeg_?", "knee": "LowerLeg_?", "ankle": "Foot_?", "foot": "Toes_?", "collar": "Shoulder_?",
         "shoulder": "UpperArm_?", "elbow": "LowerArm_?", "wrist": "Hand_?"}, "L", "R",
    ),
}  # fmt: skip

#: How each Bandai-Namco frame stands in the T-pose. Bones run along local +x on the left and the trunk, along
#: -x on the right. A sole on the floor holds the ankle-to-toe bone 39.5 and the toes' axis 22.9 degrees below
#: the horizontal (first frames of the neutral `bow`, `bye` and `call`: both feet agree to 0.1 degrees).
_BANDAI_AXES = {
    "pelvis": TPose("-y", "+x"),
    **dict.fromkeys(("spine1", "spine2", "spine3", "neck", "head"), TPose("+z", "+x")),
    **{f"left_{j}": TPose("+x", "+y") for j in ("collar", "shoulder", "elbow", "wrist")},
    **{f"right_{j}": TPose("+x", "-y") for j in ("collar", "shoulder", "elbow", "wrist")},
    **{f"left_{j}": TPose("+y", "-x") for j in ("hip", "knee")},
    **{f"right_{j}": TPose("+y", "+x") for j in ("hip", "knee")},
    "left_ankle": TPose("+y", "-x", ("x", -50.5)),
    "right_ankle": TPose("+y", "+x", ("x", -50.5)),
    "left_foot": TPose("+y", "-x", ("x", -67.1)),
    "right_foot": TPose("+y", "+x", ("x", -67.1)),
}

BANDAI_NAMCO = JointTable(
    "bandai-namco",
    _sided(_BANDAI),
    {j: (source.split(" + ")[0], _BANDAI_AXES[j]) for j, source in _BANDAI.items()},
    _h36m({"spine": "Spine + Chest", "thorax": "Neck", "neck_nose": "Head"}, _BANDAI),
    scale=0.01,
    licence="CC BY-NC 4.0 (non-commercial); cite arXiv 2306.08861",
    action=r"^(?:dataset-\d+_)?(.*?)_[^_]*(?:_\d+)$",
    fixed=("joint_Root",),
)

# -- smpl22: BVH files that we wrote, and AMASS -----------------------------------------------------------

_SMPL = {joint: joint for joint in SKELETONS["smpl22"].joints}
_SMPL_TRUNK = {"spine": "spine2", "thorax": "neck", "neck_nose": "head"}

SMPL22 = JointTable(
    "smpl22-bvh",
    _sided(_SMPL),
    {joint: (joint, TPose()) for joint in _SMPL},
    _h36m(_SMPL_TRUNK, _SMPL),
    scale=0.01,
)

#: SMPL's rest pose spreads the thighs by about 6 degrees and the shanks by -1.5 (see `poseterior.data.mocap.amass`).
AMASS_THIGH, AMASS_SHANK = 6.0, -1.5

AMASS = JointTable(
    "amass",
    _sided(_SMPL),
    {joint: (joint, TPose()) for joint in _SMPL}
    | {f"{side}_hip": (f"{side}_hip", TPose(turn=("z", -s * AMASS_THIGH))) for side, s in (("left", 1), ("right", -1))}
    | {
        f"{side}_knee": (f"{side}_knee", TPose(turn=("z", -s * AMASS_SHANK)))
        for side, s in (("left", 1), ("right", -1))
    },
    _h36m(_SMPL_TRUNK, _SMPL),
)

# -- MPI-INF-3DHP: joints alone, without rotations ---------------------------------------------------------

#: Its neck is the base of the neck, its head the middle of the head.
MPI17_AS_H36M17: dict[str, dict[str, float]] = {
    joint: {{"thorax": "neck", "neck_nose": "head"}.get(joint, joint): 1.0} for joint in SKELETONS["h36m17"].joints
}

#: All tables by name; BVH files are matched against them in this order.
TABLES: dict[str, JointTable] = {t.name: t for t in (CMU_BVH, BANDAI_NAMCO, SMPL22, CMU_ASF, AMASS)}


def detect_table(motion: Motion, file: str | Path, names: tuple[str, ...] = tuple(TABLES)) -> JointTable:
    """The first table whose source joints the motion has.

    Raises:
        InputError: none applies; says which joints the closest one misses.
    """
    joints = set(motion.joints)
    for name in names:
        if TABLES[name].needs <= joints:
            return TABLES[name]
    closest = min(names, key=lambda name: len(TABLES[name].needs - joints) / len(TABLES[name].needs))
    lacking = sorted(TABLES[closest].needs - joints)
    raise InputError(
        f"{file}: no joint table for this skeleton; the closest, {closest!r}, misses {', '.join(lacking[:6])}"
        f"{' …' if len(lacking) > 6 else ''}. The file has: {cut(', '.join(motion.joints[:12]))}"
        f"{' …' if len(motion.joints) > 12 else ''}. Pass a JointTable of your own to import_mocap(table=…)"
    )


def _weight_matrix(
    joints: Sequence[str], target: str, rules: Mapping[str, Weights], file: str | Path
) -> Float[NDArray[np.float64], "targets sources"]:
    """Weights of the source ``joints`` in each joint of the skeleton ``target``; NaN where there is no rule."""
    matrix = np.zeros((len(SKELETONS[target]), len(joints)))
    for row, joint in enumerate(SKELETONS[target].joints):
        if joint not in rules:
            matrix[row] = np.nan
            continue
        for source, weight in rules[joint].items():
            if source not in joints:
                raise InputError(f"{file}: {target} joint {joint!r} needs {source!r}, which the file lacks")
            matrix[row, joints.index(source)] = weight
    return matrix


def _combine(motion: Motion, target: str, rules: Mapping[str, Weights], file: str | Path) -> NDArray[np.float64]:
    return np.einsum("ts,fsc->ftc", _weight_matrix(motion.joints, target, rules, file), motion.positions)


def as_h36m17(
    points: Float[NDArray[np.float64], "*batch joints axes"], joints: Sequence[str], rules: Mapping[str, Weights]
) -> Float[NDArray[np.float64], "*batch 17 axes"]:
    """Places of a source's joints as h36m17; NaN where ``rules`` has no joint.

    Args:
        points: places, 2D or 3D, in any unit.
        joints: the source's joint names, in their order.
        rules: h36m17 joint -> weights of source joints, as in `JointTable.h36m17`.

    Raises:
        InputError: a rule names a joint that the source lacks.
    """
    return np.einsum("ts,...sc->...tc", _weight_matrix(joints, "h36m17", rules, "these joints"), points)


def to_body(
    motion: Motion, table: JointTable, scale: float | None = None, file: str | Path = "motion"
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """A motion in the store's terms.

    Args:
        motion: as read, y up.
        table: the source's joint table.
        scale: metres in one length unit; the table's own by default.
        file: name for messages.

    Returns:
        smpl22 positions ``(frames, 22, 3)`` in metres, smpl22 rotations ``(frames, 22, 4)`` as unit quaternions
        xyzw relative to the parent and to the T-pose, h36m17 positions ``(frames, 17, 3)`` in metres with NaN
        where the source has no such joint.

    Raises:
        InputError: the motion lacks a joint that the table names.
    """
    scale = table.scale if scale is None else scale
    positions = _combine(motion, "smpl22", table.positions, file) * scale
    h36m17 = _combine(motion, "h36m17", table.h36m17, file) * scale

    skeleton = SKELETONS["smpl22"]
    turned: dict[int, torch.Tensor] = {}
    local = torch.empty(len(motion), len(skeleton), 4, dtype=torch.float64)
    for joint in skeleton.topological_order:
        source, pose = table.frames[skeleton.joints[joint]]
        if source not in motion.joints:
            raise InputError(f"{file}: smpl22 joint {skeleton.joints[joint]!r} needs {source!r}, which the file lacks")
        rest = roma.quat_conjugation(roma.rotmat_to_unitquat(torch.from_numpy(pose.matrix())))
        orientation = torch.from_numpy(motion.orientations[:, motion.joints.index(source)])
        turned[joint] = roma.quat_product(orientation, rest.expand_as(orientation))
        parent = skeleton.parents[joint]
        if parent < 0:
            local[:, joint] = turned[joint]
        else:
            local[:, joint] = roma.quat_product(roma.quat_conjugation(turned[parent]), turned[joint])
    local = local / local.norm(dim=-1, keepdim=True)
    # q and -q are one rotation: keep the half with w >= 0 so that equal poses are stored equal
    local = torch.where(local[..., 3:] < 0, -local, local)
    return (
        positions.astype(np.float32),
        local.numpy().astype(np.float32),
        h36m17.astype(np.float32),
    )
