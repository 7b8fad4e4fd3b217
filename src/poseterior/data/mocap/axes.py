"""Which way is up in a motion's world, and turning it so that y is."""

from __future__ import annotations

import numpy as np
import roma
import torch

from .motion import Array, Motion
from .rig_frames import RestPose, joint_points, least_turn
from .rig_table import Assignment

__all__ = [
    "UP_AXES",
    "axis_before",
    "find_up",
    "standing_axis",
    "trunk_directions",
    "turn_down",
    "turn_up",
]

#: The names that ``up`` takes.
UP_AXES = ("y", "z", "x", "-y", "-z", "-x")
#: A clip stands along an axis if on average its people are this straight (0 to 1), and this near (degrees) to it.
_STEADY, _NEAR = 0.6, 35.0


def _axis(name: str) -> Array:
    return np.eye(3)["xyz".index(name[-1])] * (-1.0 if name[0] == "-" else 1.0)


def turn_up(motion: Motion, up: str) -> Motion:
    """Turn a world in which the axis ``up`` points up so that ``y`` does.

    Frames of joints turn with the world; what they are at rest (`RestPose.axes`) is told apart.
    """
    return motion if up == "y" else _turned(motion, least_turn(_axis(up), _axis("y")))


def turn_down(motion: Motion, up: str) -> Motion:
    """Undo `turn_up`."""
    return _turned(motion, least_turn(_axis(up), _axis("y")).T)


def axis_before(axis: str, up: str) -> str:
    """What an axis of the turned world was called before `turn_up`."""
    before = least_turn(_axis(up), _axis("y")).T @ _axis(axis)
    largest = int(np.abs(before).argmax())
    return ("-" if before[largest] < 0 else "") + "xyz"[largest]


def _turned(motion: Motion, rotation: Array) -> Motion:
    matrix = torch.from_numpy(np.ascontiguousarray(rotation))
    turn = roma.rotmat_to_unitquat(matrix)
    positions, orientations = torch.from_numpy(motion.positions), torch.from_numpy(motion.orientations)
    return Motion(
        motion.joints,
        motion.parents,
        roma.quat_action(turn.expand_as(orientations), positions).numpy(),
        roma.quat_product(turn.expand_as(orientations), orientations).numpy(),
        motion.fps,
        motion.rest,
    )


def trunk_directions(points: dict[str, Array]) -> Array:
    """``(frames, 3)`` unit vectors from the middle of the ankles to the neck."""
    way = points["neck"] - 0.5 * (points["left_ankle"] + points["right_ankle"])
    return way / np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-12)


def standing_axis(directions: Array) -> str | None:
    """The axis along which people stand, from ``(frames, 3)`` ways from feet to neck; None where along none."""
    mean = directions.mean(0)
    if np.linalg.norm(mean) < _STEADY:
        return None
    best = int(np.abs(mean).argmax())
    if np.degrees(np.arccos(abs(mean[best]) / np.linalg.norm(mean))) > _NEAR:
        return None
    return ("-" if mean[best] < 0 else "") + "xyz"[best]


def _rest_axis(rest: RestPose | None) -> str | None:
    if rest is None or rest.source != "rest pose":
        return None
    best = int(np.abs(rest.axes[1]).argmax())
    return ("-" if rest.axes[1, best] < 0 else "") + "xyz"[best] if abs(rest.axes[1, best]) > 0.9 else None


def find_up(motion: Motion, found: Assignment, rest: RestPose | None) -> tuple[str, str]:
    """The axis that points up, and what to say about it (empty where it is ``y``, as usual).

    The clip's people stand along it; where they do not, or where the rest pose says ``y``, the rest pose does.
    """
    stands = standing_axis(trunk_directions(joint_points(motion.positions, motion, found)))
    at_rest = _rest_axis(rest)
    if stands is None:
        up = at_rest or "y"
    elif at_rest in (None, stands) or stands == "y":
        up = stands
    else:
        up = at_rest or stands  # people lie, or the world has another up: importing asks
    if up == "y":
        return up, ""
    return up, f"warning: its people stand along {up}, which is taken as up and turned to y; pass --up y if they lie"
