"""Small mocap files of our own making, for the tests of the importers."""

from __future__ import annotations

import numpy as np

#: CMU-like tree: child -> (parent, offset in cm); order is the file's.
_TREE = {
    "Hips": ("", (0, 0, 0)),
    "LHipJoint": ("Hips", (0, 0, 0)),
    "LeftUpLeg": ("LHipJoint", (9, -10, 3)),
    "LeftLeg": ("LeftUpLeg", (14.5, -40 * 0.996, 0)),
    "LeftFoot": ("LeftLeg", (14.0, -38.5, 0)),
    "LeftToeBase": ("LeftFoot", (1.1, -3.0, 12)),
    "RHipJoint": ("Hips", (0, 0, 0)),
    "RightUpLeg": ("RHipJoint", (-9, -10, 3)),
    "RightLeg": ("RightUpLeg", (-14.5, -40 * 0.996, 0)),
    "RightFoot": ("RightLeg", (-14.0, -38.5, 0)),
    "RightToeBase": ("RightFoot", (-1.1, -3.0, 12)),
    "LowerBack": ("Hips", (0, 0, 0)),
    "Spine": ("LowerBack", (0, 11.6, -0.8)),
    "Spine1": ("Spine", (0, 11.7, -0.3)),
    "Neck": ("Spine1", (0, 0, 0)),
    "Neck1": ("Neck", (0, 8.8, 0.8)),
    "Head": ("Neck1", (0, 8.8, -0.5)),
    "LeftShoulder": ("Spine1", (0, 0, 0)),
    "LeftArm": ("LeftShoulder", (20, 5, -1)),
    "LeftForeArm": ("LeftArm", (27.5, 0, 0)),
    "LeftHand": ("LeftForeArm", (19, 0, 0)),
    "RightShoulder": ("Spine1", (0, 0, 0)),
    "RightArm": ("RightShoulder", (-20, 5, -1)),
    "RightForeArm": ("RightArm", (-27.5, 0, 0)),
    "RightHand": ("RightForeArm", (-19, 0, 0)),
}

JOINTS = tuple(_TREE)
OFFSETS = {joint: np.array(offset, dtype=float) for joint, (_, offset) in _TREE.items()}
PARENTS = {joint: parent for joint, (parent, _) in _TREE.items()}
END_SITES = {"Head": (0, 9.2, 0), "LeftToeBase": (0, 0, 6), "RightToeBase": (0, 0, 6),
             "LeftHand": (4, 0, 0), "RightHand": (-4, 0, 0)}  # fmt: skip


def cmu_bvh(
    angles: dict[str, np.ndarray] | None = None,
    root: np.ndarray | None = None,
    frames: int = 1,
    frame_time: float = 0.0166667,
) -> str:
    """A BVH file of the tree above.

    Args:
        angles: joint -> ``(frames, 3)`` degrees of Zrotation, Yrotation, Xrotation; 0 by default.
        root: ``(frames, 3)`` position of the hips, cm.
        frames: how many.
        frame_time: seconds.
    """
    angles = angles or {}
    root = np.zeros((frames, 3)) if root is None else root
    lines = ["HIERARCHY"]
    columns = []

    def emit(joint: str, depth: int) -> None:
        pad = "  " * depth
        lines.extend([f"{pad}{'ROOT' if depth == 0 else 'JOINT'} {joint}", pad + "{"])
        lines.append(f"{pad}  OFFSET {' '.join(map(str, OFFSETS[joint]))}")
        position = "6 Xposition Yposition Zposition" if depth == 0 else "3"
        lines.append(f"{pad}  CHANNELS {position} Zrotation Yrotation Xrotation")
        if depth == 0:
            columns.append(root)
        columns.append(np.asarray(angles.get(joint, np.zeros((frames, 3)))))
        for child, parent in PARENTS.items():
            if parent == joint:
                emit(child, depth + 1)
        if joint in END_SITES:
            site = " ".join(map(str, END_SITES[joint]))
            lines.extend([f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET {site}", f"{pad}  }}"])
        lines.append(pad + "}")

    emit("Hips", 0)
    lines += ["MOTION", f"Frames: {frames}", f"Frame Time: {frame_time}"]
    lines += [" ".join(f"{v:.6f}" for v in row) for row in np.concatenate(columns, axis=1)]
    return "\n".join(lines) + "\n"


def random_cmu_bvh(frames: int = 40, seed: int = 0) -> tuple[str, dict[str, np.ndarray], np.ndarray]:
    """A motion with every joint turning, as text, and the angles and root that it holds."""
    generator = np.random.default_rng(seed)
    still = ("LHipJoint", "RHipJoint")
    angles = {j: generator.normal(0, 25, (frames, 3)).round(6) for j in JOINTS if j not in still}
    root = generator.normal(0, 50, (frames, 3)).round(6)
    return cmu_bvh(angles, root, frames), angles, root


ASF = """\
# a comment
:version 1.10
:name VICON
:units
  mass 1.0
  length 0.45
  angle deg
:documentation
  words
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
{bones}
:hierarchy
  begin
    root lhipjoint rhipjoint lowerback
    lhipjoint lfemur
    lfemur ltibia
    ltibia lfoot
    lfoot ltoes
    rhipjoint rfemur
    rfemur rtibia
    rtibia rfoot
    rfoot rtoes
    lowerback upperback
    upperback thorax
    thorax lowerneck lclavicle rclavicle
    lowerneck upperneck
    upperneck head
    lclavicle lhumerus
    lhumerus lradius
    lradius lwrist
    lwrist lhand
    rclavicle rhumerus
    rhumerus rradius
    rradius rwrist
    rwrist rhand
  end
"""

#: bone -> direction, length (units), axis degrees, dof
_C, _S = float(np.cos(np.deg2rad(20))), float(np.sin(np.deg2rad(20)))
ASF_BONES: dict[str, tuple[tuple[float, ...], float, tuple[float, ...], str]] = {
    "lhipjoint": ((0.57, -0.75, 0.35), 2.4, (0, 0, 0), ""),
    "lfemur": ((_S, -_C, 0), 7.2, (0, 0, 20), "rx ry rz"),
    "ltibia": ((_S, -_C, 0), 7.5, (0, 0, 20), "rx"),
    "lfoot": ((0.07, -0.18, 0.98), 2.4, (-90, 0, 20), "rx rz"),
    "ltoes": ((0, 0, 1), 1.2, (-90, 0, 20), "rx"),
    "rhipjoint": ((-0.57, -0.75, 0.35), 2.4, (0, 0, 0), ""),
    "rfemur": ((-_S, -_C, 0), 7.2, (0, 0, -20), "rx ry rz"),
    "rtibia": ((-_S, -_C, 0), 7.5, (0, 0, -20), "rx"),
    "rfoot": ((-0.07, -0.18, 0.98), 2.4, (-90, 0, -20), "rx rz"),
    "rtoes": ((0, 0, 1), 1.2, (-90, 0, -20), "rx"),
    "lowerback": ((0, 1, 0), 2.0, (0, 0, 0), "rx ry rz"),
    "upperback": ((0, 1, 0), 2.0, (0, 0, 0), "rx ry rz"),
    "thorax": ((0, 1, 0), 2.0, (0, 0, 0), "rx ry rz"),
    "lowerneck": ((0, 1, 0), 1.7, (0, 0, 0), "rx ry rz"),
    "upperneck": ((0, 1, 0), 1.7, (0, 0, 0), "rx ry rz"),
    "head": ((0, 1, 0), 1.7, (0, 0, 0), "rx ry rz"),
    "lclavicle": ((0.94, 0.33, 0), 3.5, (0, 0, 0), "ry rz"),
    "lhumerus": ((1, 0, 0), 5.0, (180, -30, -90), "rx ry rz"),
    "lradius": ((1, 0, 0), 3.5, (180, -30, -90), "rx"),
    "lwrist": ((1, 0, 0), 1.7, (0, 90, 90), "ry"),
    "lhand": ((1, 0, 0), 0.7, (0, 90, 90), "rx rz"),
    "rclavicle": ((-0.94, 0.33, 0), 3.5, (0, 0, 0), "ry rz"),
    "rhumerus": ((-1, 0, 0), 5.0, (180, 30, 90), "rx ry rz"),
    "rradius": ((-1, 0, 0), 3.5, (180, 30, 90), "rx"),
    "rwrist": ((-1, 0, 0), 1.7, (0, -90, -90), "ry"),
    "rhand": ((-1, 0, 0), 0.7, (0, -90, -90), "rx rz"),
}


def asf(radians: bool = False, bones: dict | None = None) -> str:
    """The skeleton above as ASF text."""
    blocks = []
    for number, (name, (direction, length, axis, dof)) in enumerate((bones or ASF_BONES).items(), start=1):
        turn = np.deg2rad(axis) if radians else axis
        block = [f"  begin\n     id {number}\n     name {name}", f"     direction {' '.join(map(repr, direction))}"]
        block += [f"     length {length}", f"     axis {' '.join(str(float(a)) for a in turn)}  XYZ"]
        if dof:
            block.append(f"    dof {dof}\n    limits (-160.0 20.0)\n           (-70.0 70.0)")
        blocks.append("\n".join([*block, "  end"]))
    text = ASF.format(bones="\n".join(blocks))
    return text.replace("angle deg", "angle rad") if radians else text


def amc(frames: list[dict[str, list[float]]], root: list[float] | None = None, bones: dict | None = None) -> str:
    """AMC text; bones that a frame does not name have zero channels."""
    lines = ["#!OML:ASF x", ":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(frames, start=1):
        lines.append(str(number))
        values = frame.get("root", root or [0.0] * 6)
        lines.append("root " + " ".join(map(str, values)))
        for name, (_, _, _, dof) in (bones or ASF_BONES).items():
            if dof:
                lines.append(f"{name} " + " ".join(map(str, frame.get(name, [0.0] * len(dof.split())))))
    return "\n".join(lines) + "\n"
