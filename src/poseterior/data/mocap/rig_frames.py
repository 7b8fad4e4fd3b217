"""Rest frames of a rig, computed: how the frame of each joint stands when the person is in our T-pose.

Three ways, the first that the file allows:

* **rest pose**: the joints' offsets at zero rotation (BVH), or the bind pose (glTF), show a standing person with any
  arms from T-pose to hanging. Each frame stands there as the file says; limbs are turned by the least turn that
  puts them straight, legs down and arms sideways.
* **a T- or A-pose in the motion** (often the first frame), where the offsets lie along local axes and show no person.
* **local axes**: bones lie along axes of their joint's frame. How a frame is turned about its bone is one of four
  quarter turns: the one that makes the elbow bend forwards, or else leaves the joint nearest its neutral place over the
  clip. Elbows bend about one axis, 0 to 30 degrees from forwards in every recording at hand, so that quarter
  turns cannot be confused.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import roma
import torch

from ...geometry.skeletons import SKELETONS
from .motion import Array, Motion
from .rig_table import Assignment, segments

__all__ = [
    "RestPose",
    "find_rest",
    "frame_errors",
    "joint_points",
    "local_offsets",
    "matrices",
    "rest_frames",
    "snap",
]

_SMPL = SKELETONS["smpl22"]
_SIDES = ("left", "right")
_DOWN, _UP, _FRONT = np.array([0.0, -1.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
_SIDEWAYS = {"left": np.array([1.0, 0.0, 0.0]), "right": np.array([-1.0, 0.0, 0.0])}
#: Next joint along each limb: the bone whose direction the T-pose fixes.
_BONES = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}
#: Frames looked at: more say no more.
_FRAMES = 600


@dataclass(frozen=True)
class RestPose:
    """A standing person that the file shows.

    Attributes:
        positions: ``(joints, 3)`` of the source's joints.
        orientations: ``(joints, 3, 3)`` of their frames.
        axes: ``(3, 3)`` rows: the person's left, up and front in the source's axes.
        arms: ``T``, ``A`` or ``hanging``.
        source: ``rest pose`` or ``frame N``.
    """

    positions: Array
    orientations: Array
    axes: Array
    arms: str
    source: str


def matrices(quaternions: Array) -> Array:
    """``(*batch, 3, 3)`` rotations of unit quaternions xyzw."""
    return roma.unitquat_to_rotmat(torch.from_numpy(np.ascontiguousarray(quaternions))).numpy()


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _angle(a: Array, b: Array) -> Array:
    """Degrees between vectors."""
    return np.degrees(np.arccos(np.clip((_unit(a) * _unit(b)).sum(-1), -1.0, 1.0)))


def _turn_angle(rotation: Array) -> Array:
    """Degrees that rotations ``(*batch, 3, 3)`` turn."""
    return np.degrees(np.arccos(np.clip((np.trace(rotation, axis1=-2, axis2=-1) - 1) / 2, -1.0, 1.0)))


def least_turn(a: Array, b: Array) -> Array:
    """The smallest rotation ``(3, 3)`` that takes direction ``a`` to direction ``b``."""
    a, b = _unit(a), _unit(b)
    axis, cosine = np.cross(a, b), float(a @ b)
    if np.linalg.norm(axis) < 1e-9:
        if cosine > 0:
            return np.eye(3)
        axis = np.cross(a, np.eye(3)[np.argmin(np.abs(a))])
        return roma.rotvec_to_rotmat(torch.from_numpy(_unit(axis) * np.pi)).numpy()
    angle = np.arctan2(np.linalg.norm(axis), cosine)
    return roma.rotvec_to_rotmat(torch.from_numpy(_unit(axis) * angle)).numpy()


def snap(axes: Array, within: float = 25.0) -> Array:
    """The signed permutation of the axes nearest to a rotation, where that is within so many degrees of it."""
    result = np.zeros((3, 3))
    for row, column in enumerate(np.abs(axes).argmax(1)):
        result[row, column] = np.sign(axes[row, column])
    fits = abs(np.linalg.det(result) - 1.0) < 1e-6 and float(_turn_angle(result.T @ axes)) <= within
    return result if fits else axes


def _sample(motion: Motion) -> Motion:
    step = max(1, len(motion) // _FRAMES)
    return Motion(
        motion.joints, motion.parents, motion.positions[::step], motion.orientations[::step], motion.fps, motion.rest
    )


def local_offsets(motion: Motion) -> Array:
    """``(joints, 3)`` each joint's place in its parent's frame, the median over the clip; zero for roots."""
    motion = _sample(motion)
    parents = np.array([max(parent, 0) for parent in motion.parents])
    steps = motion.positions - motion.positions[:, parents]
    turned = matrices(motion.orientations[:, parents])
    local = np.median(np.einsum("fjba,fjb->fja", turned, steps), 0)
    local[[parent < 0 for parent in motion.parents]] = 0.0
    return local


def joint_points(positions: Array, motion: Motion, found: Assignment) -> dict[str, Array]:
    """smpl22 joint -> its place ``(*batch, 3)``, from places ``(*batch, joints, 3)`` of the source's joints."""
    result = {}
    for joint, (weights, _) in segments(motion, found).items():
        place = np.zeros((*positions.shape[:-2], 3))
        for source, weight in weights.items():
            place += weight * positions[..., source, :]
        result[joint] = place
    return result


def body_axes(points: Mapping[str, Array]) -> Array:
    """Rows left, up, front ``(*batch, 3, 3)`` of a person: the hips' line, and the trunk's."""
    hips = points["left_hip"] - points["right_hip"]
    up = _unit(points["neck"] - 0.5 * (points["left_hip"] + points["right_hip"]))
    left = _unit(hips - (hips * up).sum(-1, keepdims=True) * up)
    return np.stack([left, up, np.cross(left, up)], -2)


def _arms(points: Mapping[str, Array], axes: Array) -> str | None:
    """What the arms of one pose do, in the body's axes; None where it is no rest pose."""
    drops = []
    for side in _SIDES:
        upper = axes @ _unit(points[f"{side}_elbow"] - points[f"{side}_shoulder"])
        fore = axes @ _unit(points[f"{side}_wrist"] - points[f"{side}_elbow"])
        if float(_angle(upper, fore)) > 35.0 or abs(upper[2]) > 0.6:
            return None
        drops.append(np.degrees(np.arctan2(-upper[1], upper @ _SIDEWAYS[side])))
    drop = float(np.mean(drops))
    if abs(drops[0] - drops[1]) > 30.0 or not -25.0 < drop < 105.0:
        return None
    return "T" if drop < 20.0 else "A" if drop < 70.0 else "hanging"


def stands(points: Mapping[str, Array]) -> tuple[Array, str] | None:
    """The body's axes and what its arms do, where one pose is a person standing straight; else None."""
    axes = body_axes(points)
    if not np.isfinite(axes).all() or abs(np.linalg.det(axes) - 1) > 1e-3:
        return None
    for side in _SIDES:
        thigh = axes @ (points[f"{side}_knee"] - points[f"{side}_hip"])
        shin = axes @ (points[f"{side}_ankle"] - points[f"{side}_knee"])
        if float(_angle(thigh, _DOWN)) > 35.0 or float(_angle(shin, _DOWN)) > 35.0:
            return None
    trunk = axes @ (points["neck"] - points["pelvis"])
    head = axes @ (points["head"] - points["neck"])
    shoulders = axes @ (points["left_shoulder"] - points["right_shoulder"])
    if trunk[1] <= 0 or head[1] < 0 or float(_angle(shoulders, _SIDEWAYS["left"])) > 35.0:
        return None
    arms = _arms(points, axes)
    return None if arms is None else (axes, arms)


def find_rest(motion: Motion, found: Assignment) -> RestPose | None:
    """The rest pose of a file, if it shows a standing person; else the first frame in a T- or A-pose."""
    count = len(motion.joints)
    rest = np.broadcast_to(np.eye(3), (count, 3, 3)) if motion.rest is None else matrices(motion.rest)
    local = local_offsets(motion)
    places = np.zeros((count, 3))
    for joint, parent in enumerate(motion.parents):
        if parent >= 0:
            places[joint] = places[parent] + rest[parent] @ local[joint]
    standing = stands(joint_points(places, motion, found))
    if standing is not None:
        axes = snap(_upright(standing[0]), 10.0)  # a quarter turn, or a heading of its own
        return RestPose(places, np.array(rest), axes, standing[1], "rest pose")
    for frame in (0, 1, len(motion) - 1):
        if frame >= len(motion):
            continue
        points = joint_points(motion.positions[frame], motion, found)
        standing = stands(points)
        if standing is not None and standing[1] != "hanging" and _straight(points, standing[0]):
            turned = matrices(motion.orientations[frame])
            axes = _upright(standing[0])
            return RestPose(motion.positions[frame], turned, axes, standing[1], f"frame {frame}")
    return None


def _straight(points: Mapping[str, Array], axes: Array) -> bool:
    """Whether knees and elbows are as straight as only a pose taken for calibration has them."""
    for side in _SIDES:
        for a, b, c in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
            first = points[f"{side}_{b}"] - points[f"{side}_{a}"]
            if float(_angle(first, points[f"{side}_{c}"] - points[f"{side}_{b}"])) > 12.0:
                return False
        if float(_angle(axes @ (points[f"{side}_knee"] - points[f"{side}_hip"]), _DOWN)) > 15.0:
            return False
    return True


def _upright(axes: Array) -> Array:
    """The same heading with up along an axis of the world, where it nearly is."""
    world = np.zeros(3)
    longest = int(np.abs(axes[1]).argmax())
    world[longest] = np.sign(axes[1, longest])
    if float(_angle(axes[1], world)) > 25.0:
        return axes
    left = _unit(axes[0] - (axes[0] @ world) * world)
    return np.stack([left, world, np.cross(left, world)])


def rest_frames(motion: Motion, found: Assignment, rest: RestPose | None) -> dict[str, Array]:
    """smpl22 joint -> ``(3, 3)``: how the frame of its source joint stands in our T-pose."""
    return _from_local_axes(motion, found) if rest is None else _from_rest(motion, found, rest)


def _foot_turn(direction: Array, leg: Array) -> Array:
    """The turn of a foot, from rest to T-pose: with the leg where that points it forwards, and what yaw remains."""
    best = np.eye(3)
    if abs((leg @ direction)[0]) < abs(direction[0]):
        best = leg
    ahead = best @ direction
    yaw = np.arctan2(ahead[0], ahead[2])
    if np.hypot(ahead[0], ahead[2]) < 0.2 * np.linalg.norm(ahead) or abs(yaw) > np.radians(45):
        return best
    return roma.rotvec_to_rotmat(torch.tensor([0.0, -yaw, 0.0], dtype=torch.float64)).numpy() @ best


def _from_rest(motion: Motion, found: Assignment, rest: RestPose) -> dict[str, Array]:
    points = {name: rest.axes @ place for name, place in joint_points(rest.positions, motion, found).items()}
    parts = segments(motion, found)
    turns = dict.fromkeys(_SMPL.joints, np.eye(3))
    for side in _SIDES:
        for joint, after in _BONES.items():
            direction = points[f"{side}_{after}"] - points[f"{side}_{joint}"]
            target = _DOWN if joint in ("hip", "knee") else _SIDEWAYS[side]
            turns[f"{side}_{joint}"] = least_turn(direction, target)
        turns[f"{side}_wrist"] = turns[f"{side}_elbow"]
        foot = _unit(points[f"{side}_foot"] - points[f"{side}_ankle"])
        turns[f"{side}_ankle"] = turns[f"{side}_foot"] = _foot_turn(foot, turns[f"{side}_knee"])
    return {joint: turns[joint] @ rest.axes @ rest.orientations[parts[joint][1]] for joint in _SMPL.joints}


_QUARTERS = [
    np.array(signs)[:, None] * np.eye(3)[list(order)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
_QUARTERS = [turn for turn in _QUARTERS if np.linalg.det(turn) > 0]


def _mean_turn(rotations: Array) -> Array:
    """The mean ``(3, 3)`` of rotations ``(frames, 3, 3)``."""
    return roma.special_procrustes(torch.from_numpy(rotations.mean(0))).numpy()


def _from_local_axes(motion: Motion, found: Assignment) -> dict[str, Array]:
    motion = _sample(motion)
    parts = segments(motion, found)
    turned = matrices(motion.orientations)
    points = joint_points(motion.positions, motion, found)
    source = {joint: turned[:, parts[joint][1]] for joint in _SMPL.joints}  # frame -> world, of every frame

    def local(joint: str, direction: Array) -> Array:
        """The mean of world directions ``(frames, 3)`` in a joint's own frame."""
        return _unit(np.einsum("fba,fb->fa", source[joint], direction).mean(0))

    frames: dict[str, Array] = {}
    # The pelvis carries the hips' line; the trunk's way up is known by the rest of the body.
    axes = body_axes(points)
    for joint in ("pelvis", "spine1", "spine2", "spine3", "neck", "head"):
        if joint == "pelvis":
            left = local(joint, points["left_hip"] - points["right_hip"])
            rows = np.stack([left, local(joint, axes[:, 1])])
            rows[1] = _unit(rows[1] - (rows[1] @ left) * left)
            own = snap(np.stack([*rows, np.cross(*rows)]), 30.0)
            frames[joint] = own
            continue
        parent = "pelvis" if joint == "spine1" else _SMPL.joints[_SMPL.parents[_SMPL.index(joint)]]
        frames[joint] = _nearest(source, frames, joint, parent)
    for side in _SIDES:
        frames[f"{side}_collar"] = _nearest(source, frames, f"{side}_collar", "spine3")
        for joint, parent in (("hip", "pelvis"), ("knee", "hip"), ("shoulder", "collar"), ("elbow", "shoulder")):
            name, above = f"{side}_{joint}", parent if parent == "pelvis" else f"{side}_{parent}"
            bone = local(name, points[f"{side}_{_BONES[joint]}"] - points[name])
            target = _DOWN if joint in ("hip", "knee") else _SIDEWAYS[side]
            bend = None
            if joint == "shoulder":
                fore = points[f"{side}_wrist"] - points[f"{side}_elbow"]
                inside = np.einsum("fba,fb->fa", source[name], _unit(fore))
                across = (inside - (inside @ bone)[:, None] * bone).mean(0)
                bend = across if np.linalg.norm(across) > 0.1 else None
            frames[name] = _along(source, frames, name, above, bone, target, bend)
        frames[f"{side}_wrist"] = _nearest(source, frames, f"{side}_wrist", f"{side}_elbow")
        bone = local(f"{side}_ankle", points[f"{side}_foot"] - points[f"{side}_ankle"])
        pitch = float(np.mean([_floor_pitch(points, both) for both in _SIDES]))
        target = np.array([0.0, -np.sin(pitch), np.cos(pitch)])
        frames[f"{side}_ankle"] = _along(source, frames, f"{side}_ankle", f"{side}_knee", bone, target, None)
        between = np.einsum("fba,fbc->fac", source[f"{side}_ankle"], source[f"{side}_foot"])
        frames[f"{side}_foot"] = frames[f"{side}_ankle"] @ _mean_turn(between)
    return frames


def _relative(source: Mapping[str, Array], frames: Mapping[str, Array], joint: str, parent: str) -> Array:
    """The mean over the clip of (parent's turn away from rest)^-1 (joint's frame): compare with a rest frame."""
    above = source[parent] @ frames[parent].T
    return np.einsum("fba,fbc->fac", above, source[joint])


def _nearest(source: Mapping[str, Array], frames: Mapping[str, Array], joint: str, parent: str) -> Array:
    """The quarter turn that leaves a joint nearest its parent's turn over the clip."""
    mean = _mean_turn(_relative(source, frames, joint, parent))
    other = 60.0 if joint.endswith("_wrist") else 0.0
    return min(_QUARTERS, key=lambda turn: float(_turn_angle(mean @ turn.T)) + other * _unlike(turn, frames[parent]))


def _twist(rotation: Array, axis: Array) -> float:
    """Degrees that a rotation turns about an axis, the rest of it being a swing of that axis."""
    x, y, z, w = roma.rotmat_to_unitquat(torch.from_numpy(np.ascontiguousarray(rotation))).tolist()
    angle = abs(2 * np.degrees(np.arctan2(np.array([x, y, z]) @ axis, w)))
    return float(min(angle, 360.0 - angle))


def _unlike(turn: Array, above: Array) -> bool:
    """Whether a frame is turned otherwise than its parent's: most rigs have one way for a whole limb.

    A forearm or a hand may be twisted by 60 degrees throughout a clip (waving), and must not be taken for a quarter.
    """
    return float(_turn_angle(turn.T @ above)) >= 40.0


def _along(
    source: Mapping[str, Array],
    frames: Mapping[str, Array],
    joint: str,
    parent: str,
    bone: Array,
    target: Array,
    bend: Array | None,
) -> Array:
    """The quarter turn with a bone of the joint's frame along ``target``, nearest its neutral place over the clip."""
    mean = _mean_turn(_relative(source, frames, joint, parent))

    def cost(turn: Array) -> float:
        if bend is not None:
            return float(_angle(turn @ bend, _FRONT))
        if limb:
            return _twist(mean @ turn.T, target) + 55.0 * _unlike(turn, frames[parent])
        return float(_turn_angle(mean @ turn.T))

    limb = parent.split("_")[-1] in ("hip", "shoulder")
    fitting = [
        least_turn(turn @ bone, target) @ turn for turn in _QUARTERS if float(_angle(turn @ bone, target)) < 54.0
    ]
    return min(fitting or [least_turn(turn @ bone, target) @ turn for turn in _QUARTERS], key=cost)


def _floor_pitch(points: Mapping[str, Array], side: str) -> float:
    """How far the way from ankle to toes points down while the foot is on the floor, radians."""
    foot, ankle = points[f"{side}_foot"], points[f"{side}_ankle"]
    trunk = (points["neck"] - 0.5 * (points["left_ankle"] + points["right_ankle"])).mean(0)
    up = np.zeros(3)
    up[np.abs(trunk).argmax()] = np.sign(trunk[np.abs(trunk).argmax()])
    height = foot @ up
    low = height <= np.quantile(height, 0.25)
    drop = -_unit(foot - ankle)[low] @ up
    return float(np.arcsin(np.clip(np.median(drop), 0.0, 0.9)))


def frame_errors(motion: Motion, found: Assignment, frames: Mapping[str, Array]) -> dict[str, float]:
    """Limb joint -> degrees between its bone in the T-pose of given rest frames, and where that bone should point."""
    local = local_offsets(motion)
    parts = segments(motion, found)
    result = {}
    for side, (joint, after) in itertools.product(_SIDES, _BONES.items()):
        (child,) = parts[f"{side}_{after}"][0]
        (own,) = parts[f"{side}_{joint}"][0]
        if motion.parents[child] == own and parts[f"{side}_{joint}"][1] == own:
            target = _DOWN if joint in ("hip", "knee") else _SIDEWAYS[side]
            result[f"{side}_{joint}"] = float(_angle(frames[f"{side}_{joint}"] @ local[child], target))
    return result
