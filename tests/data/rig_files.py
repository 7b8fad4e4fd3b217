"""Small rigs of our own making, as programs name and turn them: a body in known rotations, written as BVH.

A rig is a tree of joints, each at a joint of smpl22 or beside one, and a frame for each: how it stands in the T-pose.
The right rotations are therefore known, whatever the rig's names, rest pose and axes.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from poseterior.geometry.body import rest_offsets
from poseterior.geometry.skeletons import SKELETONS

SMPL = SKELETONS["smpl22"]
OFFSETS = {joint: rest_offsets().numpy()[i].astype(float) for i, joint in enumerate(SMPL.joints)}
# the shipped body's first trunk joint lies at the pelvis; other rigs have it above
OFFSETS["spine1"] = np.array([0.0, 0.09, -0.01])
SIDES = ("left", "right")

#: smpl22 joints in the order in which a tree is written, with their parents.
PARENTS = {joint: (SMPL.joints[p] if p >= 0 else "") for joint, p in zip(SMPL.joints, SMPL.parents, strict=True)}


def body_motion(frames: int = 40, seed: int = 0) -> np.ndarray:
    """``(frames, 22)`` scipy rotations as ``(frames, 22, 3, 3)``: somebody walking about, relative to the parent."""
    generator = np.random.default_rng(seed)
    phase = np.linspace(0, 4 * np.pi, frames)
    turns = np.zeros((frames, 22, 3))

    def put(joint: str, x=0.0, y=0.0, z=0.0) -> None:
        turns[:, SMPL.index(joint)] = np.stack(np.broadcast_arrays(x, y, z, phase)[:3], -1)

    put("pelvis", 3 * np.sin(phase), 20 * np.sin(phase / 2), 2.0)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        swing = sign * np.sin(phase)
        put(f"{side}_hip", -15 + 25 * swing, 4.0 * sign, 3.0 * sign)
        put(f"{side}_knee", 25 - 20 * swing)
        put(f"{side}_ankle", -8 + 6 * swing)
        put(f"{side}_foot", 4.0)
        put(f"{side}_shoulder", 12 + 20 * swing, -5 * sign, -75 * sign)
        put(f"{side}_elbow", 0.0, -35 * sign - 10 * swing * sign, 12 * sign)
        put(f"{side}_collar", 0.0, 2.0, -3 * sign)
    for joint in ("spine1", "spine2", "spine3", "neck", "head"):
        put(joint, *generator.normal(0, 4, 3))
    turns += generator.normal(0, 1.5, turns.shape)
    return Rotation.from_euler("XYZ", turns.reshape(-1, 3), degrees=True).as_matrix().reshape(frames, 22, 3, 3)


def pose_points(local: np.ndarray, root: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Places and global rotations of the smpl22 joints, by a plain loop."""
    places, turned = {"pelvis": root}, {"pelvis": local[:, SMPL.root]}
    for joint in (SMPL.joints[i] for i in SMPL.topological_order if SMPL.parents[i] >= 0):
        above = PARENTS[joint]
        places[joint] = places[above] + turned[above] @ OFFSETS[joint]
        turned[joint] = turned[above] @ local[:, SMPL.index(joint)]
    return places, turned


class Rig:
    """Joints by name: ``(name, parent's name, smpl22 joint, offset from it)``, parents first."""

    def __init__(self, joints: list[tuple[str, str, str, tuple[float, float, float]]]) -> None:
        self.joints = joints

    def text(
        self,
        local: np.ndarray,
        frames: dict[str, np.ndarray] | None = None,
        world: np.ndarray | None = None,
        unit: float = 100.0,
        order: str = "ZYX",
        fps: float = 30.0,
        root: np.ndarray | None = None,
        ends: dict[str, tuple[float, float, float]] | None = None,
    ) -> str:
        """A BVH file of the rig.

        Args:
            local: ``(frames, 22, 3, 3)`` rotations of the body.
            frames: joint of the rig -> ``(3, 3)`` its frame in the T-pose; the identity by default.
            world: rotation of the world after everything.
            unit: units in a metre.
            order: of the channels.
            ends: joint of the rig -> its end site from it, metres, in the T-pose.
        """
        root = np.tile([0.0, 0.95, 0.0], (len(local), 1)) if root is None else root
        world = np.eye(3) if world is None else world
        places, turned = pose_points(local, root)
        frames = frames or {}
        calm, _ = pose_points(np.broadcast_to(np.eye(3), (1, 22, 3, 3)), np.zeros((1, 3)))
        stand = {name: frames.get(name, np.eye(3)) for name, *_ in self.joints}
        at = {name: calm[joint][0] + offset for name, _, joint, offset in self.joints}
        turn = {name: world @ turned[joint] @ stand[name] for name, _, joint, _ in self.joints}
        lines, columns = ["HIERARCHY"], []

        def emit(name: str, depth: int) -> None:
            parent = next(p for n, p, *_ in self.joints if n == name)
            offset = np.zeros(3) if not parent else stand[parent].T @ (at[name] - at[parent])
            own = turn[name] if not parent else np.swapaxes(turn[parent], -1, -2) @ turn[name]
            lines.append(f"{'ROOT' if not parent else 'JOINT'} {name}")
            lines.append("{\nOFFSET " + " ".join(f"{v * unit:.6f}" for v in offset))
            spelled = " ".join(f"{axis}rotation" for axis in order)
            if not parent:
                joint = next(j for n, _, j, _ in self.joints if n == name)
                moved = places[joint] + turned[joint] @ next(np.array(o) for n, *_, o in self.joints if n == name)
                columns.append(moved @ world.T * unit)
                spelled = "Xposition Yposition Zposition " + spelled
            lines.append(f"CHANNELS {len(spelled.split())} {spelled}")
            columns.append(Rotation.from_matrix(own).as_euler(order, degrees=True))
            children = [n for n, p, *_ in self.joints if p == name]
            for child in children:
                emit(child, depth + 1)
            if not children or (ends and name in ends):
                site = stand[name].T @ np.array((ends or {}).get(name, (0.0, 0.0, 0.0)))
                lines.append("End Site\n{\nOFFSET " + " ".join(f"{v * unit:.6f}" for v in site) + "\n}")
            lines.append("}")

        emit(self.joints[0][0], 0)
        lines += ["MOTION", f"Frames: {len(local)}", f"Frame Time: {1 / fps:.7f}"]
        lines += [" ".join(f"{v:.6f}" for v in row) for row in np.concatenate(columns, 1)]
        return "\n".join(lines) + "\n"


def body_rig(names: dict[str, str], extra: list[tuple[str, str, str, tuple[float, float, float]]] | None = None) -> Rig:
    """A rig of smpl22 joints by their names in it; joints without a name are left out, their children hang higher."""
    joints = []
    for joint in (SMPL.joints[i] for i in SMPL.topological_order):
        if joint not in names:
            continue
        above = PARENTS[joint]
        while above and above not in names:
            above = PARENTS[above]
        joints.append((names[joint], names.get(above, ""), joint, (0.0, 0.0, 0.0)))
    return Rig(joints + (extra or []))


def named(middle: dict[str, str], limbs: dict[str, str], left: str, right: str) -> dict[str, str]:
    """smpl22 joint -> name, with the spelling of each side put for ``?``."""
    return middle | {
        f"{side}_{joint}": name.replace("?", word)
        for joint, name in limbs.items()
        for side, word in (("left", left), ("right", right))
    }


_HIK_LIMBS = {
    "hip": "?UpLeg", "knee": "?Leg", "ankle": "?Foot", "foot": "?ToeBase", "collar": "?Shoulder", "shoulder": "?Arm",
    "elbow": "?ForeArm", "wrist": "?Hand",
}  # fmt: skip
_HIK_TRUNK = {
    "pelvis": "Hips",
    "spine1": "Spine",
    "spine2": "Spine1",
    "spine3": "Spine2",
    "neck": "Neck",
    "head": "Head",
}


def _prefixed(names: dict[str, str], prefix: str) -> dict[str, str]:
    return {joint: prefix + name for joint, name in names.items()}


def _fingers(pattern: str, hand: str, left: str, right: str) -> list[tuple[str, str, str, tuple[float, float, float]]]:
    """Two fingers and a thumb on each hand."""
    joints = []
    for side, word, sign in (("left", left, 1.0), ("right", right, -1.0)):
        for number, finger in enumerate(("Thumb", "Index", "Pinky")):
            name = pattern.replace("?", word).replace("*", finger)
            joints.append((name, hand.replace("?", word), f"{side}_wrist", (0.07 * sign, 0.0, 0.03 - 0.03 * number)))
    return joints


def kinds() -> dict[str, Rig]:
    """The rigs that programs write, by kind."""
    hik = named(_HIK_TRUNK, _HIK_LIMBS, "Left", "Right")
    smpl_limbs = {
        joint: f"?_{joint}" for joint in ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
    }
    trunk = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
    biped = named(
        _prefixed(dict(zip(trunk, ("Pelvis", "Spine", "Spine1", "Spine2", "Neck", "Head"), strict=True)), "Bip01 "),
        {"hip": "Bip01 ? Thigh", "knee": "Bip01 ? Calf", "ankle": "Bip01 ? Foot", "foot": "Bip01 ? Toe0",
         "collar": "Bip01 ? Clavicle", "shoulder": "Bip01 ? UpperArm", "elbow": "Bip01 ? Forearm",
         "wrist": "Bip01 ? Hand"}, "L", "R",
    )  # fmt: skip
    rigify = named(
        dict(zip(trunk, ("spine", "spine.001", "spine.002", "spine.003", "spine.004", "spine.006"), strict=True)),
        {"hip": "thigh.?", "knee": "shin.?", "ankle": "foot.?", "foot": "toe.?", "collar": "shoulder.?",
         "shoulder": "upper_arm.?", "elbow": "forearm.?", "wrist": "hand.?"}, "L", "R",
    )  # fmt: skip
    xsens = named(
        dict(zip(trunk, ("Pelvis", "L5", "T12", "T8", "Neck", "Head"), strict=True)),
        {"hip": "?UpperLeg", "knee": "?LowerLeg", "ankle": "?Foot", "foot": "?Toe", "collar": "?Shoulder",
         "shoulder": "?UpperArm", "elbow": "?ForeArm", "wrist": "?Hand"}, "Left", "Right",
    )  # fmt: skip
    xsens_bvh = named(
        dict(zip(trunk, ("Hips", "Chest", "Chest2", "Chest4", "Neck", "Head"), strict=True)),
        {"hip": "?Hip", "knee": "?Knee", "ankle": "?Ankle", "foot": "?Toe", "collar": "?Collar",
         "shoulder": "?Shoulder", "elbow": "?Elbow", "wrist": "?Wrist"}, "Left", "Right",
    )  # fmt: skip
    daz = named(
        dict(zip(trunk, ("hip", "abdomenLower", "abdomenUpper", "chestUpper", "neckLower", "head"), strict=True)),
        {"hip": "?ThighBend", "knee": "?Shin", "ankle": "?Foot", "foot": "?Toe", "collar": "?Collar",
         "shoulder": "?ShldrBend", "elbow": "?ForearmBend", "wrist": "?Hand"}, "l", "r",
    )  # fmt: skip
    cc = named(
        dict(zip(trunk, ("Hip", "Waist", "Spine01", "Spine02", "NeckTwist01", "Head"), strict=True)),
        {"hip": "?_Thigh", "knee": "?_Calf", "ankle": "?_Foot", "foot": "?_ToeBase", "collar": "?_Clavicle",
         "shoulder": "?_Upperarm", "elbow": "?_Forearm", "wrist": "?_Hand"}, "L", "R",
    )  # fmt: skip
    asf = named(
        dict(zip(trunk, ("root", "lowerback", "upperback", "thorax", "lowerneck", "upperneck"), strict=True)),
        {"hip": "?femur", "knee": "?tibia", "ankle": "?foot", "foot": "?toes", "collar": "?clavicle",
         "shoulder": "?humerus", "elbow": "?radius", "wrist": "?wrist"}, "l", "r",
    )  # fmt: skip
    short = named(
        dict(zip(trunk, ("Pelvis", "Spine1", "Spine2", "Spine3", "Neck", "Head"), strict=True)),
        {joint: f"?_{joint.capitalize()}" for joint in smpl_limbs}, "L", "R",
    )  # fmt: skip
    bandai = named(
        {"pelvis": "Hips", "spine1": "Spine", "spine2": "Chest", "neck": "Neck", "head": "Head"},
        {"hip": "UpperLeg_?", "knee": "LowerLeg_?", "ankle": "Foot_?", "foot": "Toes_?", "collar": "Shoulder_?",
         "shoulder": "UpperArm_?", "elbow": "LowerArm_?", "wrist": "Hand_?"}, "L", "R",
    )  # fmt: skip
    unreal = named(
        dict(zip(trunk, ("pelvis", "spine_01", "spine_02", "spine_03", "neck_01", "head"), strict=True)),
        {"hip": "thigh_?", "knee": "calf_?", "ankle": "foot_?", "foot": "ball_?", "collar": "clavicle_?",
         "shoulder": "upperarm_?", "elbow": "lowerarm_?", "wrist": "hand_?"}, "l", "r",
    )  # fmt: skip
    vrm = named(
        _prefixed(dict(zip(trunk, ("Hips", "Spine", "Chest", "UpperChest", "Neck", "Head"), strict=True)), "J_Bip_C_"),
        {"hip": "J_Bip_?_UpperLeg", "knee": "J_Bip_?_LowerLeg", "ankle": "J_Bip_?_Foot", "foot": "J_Bip_?_ToeBase",
         "collar": "J_Bip_?_Shoulder", "shoulder": "J_Bip_?_UpperArm", "elbow": "J_Bip_?_LowerArm",
         "wrist": "J_Bip_?_Hand"}, "L", "R",
    )  # fmt: skip
    mixamo, character = _prefixed(hik, "mixamorig:"), _prefixed(hik, "Character1_")
    return {
        "mixamo": body_rig(mixamo, _fingers("mixamorig:?Hand*1", "mixamorig:?Hand", "Left", "Right")),
        "rokoko": body_rig(hik, _fingers("?InHand*", "?Hand", "Left", "Right")),
        "motionbuilder": body_rig(character, _fingers("Character1_?Hand*1", "Character1_?Hand", "Left", "Right")),
        "lafan1": body_rig({j: n.replace("ToeBase", "Toe") for j, n in hik.items()}),
        "xsens-segments": body_rig(xsens),
        "xsens": body_rig(xsens_bvh),
        "daz": body_rig(daz, _fingers("?*1", "?Hand", "l", "r")),
        "iclone": body_rig(_prefixed(cc, "CC_Base_"), _fingers("CC_Base_?_*1", "CC_Base_?_Hand", "L", "R")),
        "biped": body_rig(biped, _fingers("Bip01 ? *0", "Bip01 ? Hand", "L", "R")),
        "biped001": body_rig({j: n.replace("Bip01", "Bip001") for j, n in biped.items()}),
        "rigify": body_rig(rigify),
        "rigify-def": body_rig(_prefixed(rigify, "DEF-")),
        "asf": body_rig(asf),
        "smpl": body_rig({joint: joint for joint in SMPL.joints}),
        "smpl-short": body_rig(short),
        "bandai-namco": body_rig(bandai),
        "unreal": body_rig(unreal),
        "vrm": body_rig(vrm),
    }  # fmt: skip


def arms_down(rig: Rig, degrees: float) -> dict[str, np.ndarray]:
    """Frames of a rig whose rest pose holds the arms so far below the horizontal."""
    frames = {}
    for name, _, joint, _ in rig.joints:
        side, _, part = joint.partition("_")
        if side in SIDES and part in ("shoulder", "elbow", "wrist"):
            sign = -1.0 if side == "left" else 1.0
            frames[name] = Rotation.from_euler("z", sign * degrees, degrees=True).as_matrix().T
    return frames


def local_axes(rig: Rig, seed: int = 0) -> dict[str, np.ndarray]:
    """Frames of a rig as many programs turn them: one axis along each bone, by some quarter turn for each part."""
    generator = np.random.default_rng(seed)
    chosen: dict[str, np.ndarray] = {}
    frames = {}
    for name, _, joint, _ in rig.joints:
        part = joint.split("_")[-1]
        if part in ("ankle", "foot"):
            part = "feet"
        if part not in chosen:
            chosen[part] = Rotation.create_group("O").as_matrix()[generator.integers(24)].round()
        frames[name] = chosen[part]
    return frames


def dog(tail: bool) -> str:
    """A quadruped as animators name it, with a person's names: the trunk is level, arms are front legs."""
    tree = {
        "Hips": ("", (0, 50, 0)), "Spine": ("Hips", (0, 2, 15)), "Spine1": ("Spine", (0, 2, 20)),
        "Neck": ("Spine1", (0, 12, 15)), "Head": ("Neck", (0, 15, 12)), "Jaw": ("Head", (0, -2, 12)),
        **{
            name: value
            for side, sign in (("Left", 1), ("Right", -1))
            for name, value in {
                f"{side}UpLeg": ("Hips", (6 * sign, -4, 0)), f"{side}Leg": (f"{side}UpLeg", (0, -20, 3)),
                f"{side}Foot": (f"{side}Leg", (0, -18, -6)), f"{side}ToeBase": (f"{side}Foot", (0, -5, 5)),
                f"{side}Shoulder": ("Spine1", (4 * sign, 0, 5)), f"{side}Arm": (f"{side}Shoulder", (3 * sign, -8, 2)),
                f"{side}ForeArm": (f"{side}Arm", (0, -16, -4)), f"{side}Hand": (f"{side}ForeArm", (0, -18, 2)),
            }.items()
        },
    }  # fmt: skip
    if tail:
        tree["Tail"] = ("Hips", (0, 0, -12))
    lines, count = ["HIERARCHY"], 0

    def emit(name: str) -> None:
        nonlocal count
        parent, offset = tree[name]
        lines.extend([f"{'JOINT' if parent else 'ROOT'} {name}", "{", f"OFFSET {' '.join(map(str, offset))}"])
        lines.append("CHANNELS 3 Zrotation Yrotation Xrotation")
        count += 3
        children = [child for child, (above, _) in tree.items() if above == name]
        for child in children:
            emit(child)
        if not children:
            lines.append("End Site\n{\nOFFSET 0 0 3\n}")
        lines.append("}")

    emit("Hips")
    rows = np.random.default_rng(0).normal(0, 8, (20, count))
    lines += ["MOTION", "Frames: 20", "Frame Time: 0.0333333", *(" ".join(f"{v:.4f}" for v in row) for row in rows)]
    return "\n".join(lines) + "\n"
