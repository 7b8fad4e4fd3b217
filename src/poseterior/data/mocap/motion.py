"""What every mocap reader returns: joint positions and frame orientations of the *source* skeleton.

Quaternions are unit, in roma's order ``(x, y, z, w)``; the arithmetic is roma's, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...files.checks import quote
from ...files.errors import InputError

__all__ = [
    "Motion",
    "checked",
    "euler_to_quaternion",
    "forward_kinematics_quaternion",
    "snap_rate",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """One clip in its source's own joints.

    Attributes:
        joints: joint names; an end site is called ``"<parent>_end"``.
        parents: index of each joint's parent, ``-1`` for a root; parents come first.
        positions: ``(frames, joints, 3)`` absolute, in the source's length unit, y up.
        orientations: ``(frames, joints, 4)`` unit quaternions xyzw: the global orientation of the joint's frame
            (BVH, AMASS) or of the bone that *ends* at the joint (ASF). An end site has its parent's.
        fps: frames per second.
        rest: ``(joints, 4)`` the orientations in the rest (bind) pose; None where all are the identity, as in BVH.
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    positions: Array
    orientations: Array
    fps: float
    rest: Array | None = None

    def __len__(self) -> int:
        return len(self.positions)


#: No joint is farther away than this, in whatever unit; and no file has frames faster or slower than these (Hz).
_FARTHEST, _SLOWEST, _FASTEST = 1e9, 1e-3, 1e6


def checked(motion: Motion, path: Path) -> Motion:
    """The motion, if its numbers are numbers that a body can have.

    Raises:
        InputError: a place or a turn that is not finite, or out of all bounds (names frame and joint), or such a rate.
    """
    if not _SLOWEST <= motion.fps <= _FASTEST:
        raise InputError(f"{path}: has {motion.fps:g} frames per second; expected {_SLOWEST:g} to {_FASTEST:g}")
    bad = ~(np.abs(motion.positions) <= _FARTHEST).all(-1) | ~np.isfinite(motion.orientations).all(-1)
    if bad.any():
        frame, joint = np.argwhere(bad)[0]
        raise InputError(
            f"{path}: frame {frame}, joint {quote(motion.joints[joint])} is at "
            f"{motion.positions[frame, joint].tolist()}; expected a place that a body can have"
        )
    return motion


def snap_rate(frame_time: float) -> float:
    """Frames a second from a frame time in seconds; rounded to a whole number where that is within 0.05 %.

    Files truncate the frame time (0.0333333): 30 is meant, whereas 29.97 stays 29.97.
    """
    rate = 1.0 / frame_time
    whole = round(rate)
    return float(whole) if whole and abs(rate - whole) <= 5e-4 * whole else rate


def euler_to_quaternion(angles: Tensor, axes: Sequence[int]) -> Tensor:
    """Rotation composed of turns about the axes of the moving frame, in the given order.

    Args:
        angles: ``(frames, turns)`` radians.
        axes: the axis of each turn, 0 = x, 1 = y, 2 = z; any number of turns, none gives the identity.

    Returns:
        ``(frames, 4)`` unit quaternions xyzw.
    """
    result = torch.zeros(len(angles), 4, dtype=angles.dtype)
    result[:, 3] = 1.0
    for turn, axis in enumerate(axes):
        half = angles[:, turn] / 2
        quaternion = torch.zeros_like(result)
        quaternion[:, axis], quaternion[:, 3] = half.sin(), half.cos()
        result = roma.quat_product(result, quaternion) if turn else quaternion
    return result


def forward_kinematics_quaternion(
    parents: Sequence[int], translations: Sequence[Tensor], rotations: Sequence[Tensor | None]
) -> tuple[Array, Array]:
    """Global positions and orientations from local ones, vectorised over frames.

    Args:
        parents: each joint's parent, ``-1`` for a root; parents come first.
        translations: for each joint ``(3,)`` or ``(frames, 3)``: its position in its parent's frame.
        rotations: for each joint ``(frames, 4)`` relative to its parent, or None for no rotation of its own.

    Returns:
        ``(frames, joints, 3)`` positions and ``(frames, joints, 4)`` orientations.
    """
    frames = next(len(r) for r in rotations if r is not None)
    identity = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64).expand(frames, 4)
    positions: list[Tensor] = []
    turned: list[Tensor] = []
    for parent, translation, rotation in zip(parents, translations, rotations, strict=True):
        step = translation.expand(frames, 3)
        if parent < 0:
            positions.append(step)
            turned.append(identity if rotation is None else rotation)
            continue
        positions.append(positions[parent] + roma.quat_action(turned[parent], step))
        own = turned[parent] if rotation is None else roma.quat_product(turned[parent], rotation)
        turned.append(own)
    return torch.stack(positions, 1).numpy(), torch.stack(turned, 1).numpy()
