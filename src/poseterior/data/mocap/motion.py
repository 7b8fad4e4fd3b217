"""What every mocap reader returns: joint positions and frame orientations of the *source* skeleton.

Quaternions are unit, in roma's order ``(x, y, z, w)``; arithmetic is in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...files.checks import quote
from ...files.errors import InputError

__all__ = [
    "Motion",
    "chained",
    "checked",
    "euler_to_quaternion",
    "forward_kinematics_quaternion",
    "snap_rate",
    "turned",
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
    # Least and greatest are NaN where anything is.
    ends = (motion.positions.min(), motion.positions.max())
    if ends[0] >= -_FARTHEST and ends[1] <= _FARTHEST and np.isfinite(motion.orientations.sum()):
        return motion
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
    half = (angles / 2).T.contiguous()
    return torch.stack(turned([half.cos()[i] for i in range(len(axes))], list(half.sin()), axes, len(angles)), -1)


def turned(cosines: Sequence[Tensor], sines: Sequence[Tensor], axes: Sequence[int], frames: int) -> list[Tensor]:
    """`euler_to_quaternion` of the cosines and sines of half the angles, ``(frames,)`` for each turn.

    Returns:
        x, y, z and w, ``(frames,)`` each.
    """
    if not len(axes):
        nothing = torch.zeros(frames, dtype=torch.float64)
        return [nothing, nothing, nothing, nothing + 1.0]
    found: list[Tensor] = [torch.zeros_like(cosines[0])] * 3 + [cosines[0]]
    found[axes[0]] = sines[0]
    for c, s, axis in zip(cosines[1:], sines[1:], axes[1:], strict=True):
        # The product with a quaternion that has but one of x, y, z.
        after, last = (axis + 1) % 3, (axis + 2) % 3
        x, y, z, w = (found[i] for i in (axis, after, last, 3))
        found[axis], found[after], found[last], found[3] = x * c + w * s, y * c + z * s, z * c - y * s, w * c - x * s
    return found


#: Frames at a time of forward kinematics: what one joint needs of so many stays in the processor's cache.
_FRAMES = 2048


def forward_kinematics_quaternion(
    parents: Sequence[int], translations: Sequence[Tensor], rotations: Sequence[Tensor | None]
) -> tuple[Array, Array]:
    """Global positions and orientations from local ones, vectorised over frames.

    Args:
        parents: each joint's parent, ``-1`` for a root; parents come first.
        translations: for each joint ``(3,)`` or ``(frames, 3)``: its position in its parent's frame.
        rotations: for each joint ``(frames, 4)`` relative to its parent, unit quaternions, or None for no rotation of
            its own.

    Returns:
        ``(frames, joints, 3)`` positions and ``(frames, joints, 4)`` orientations.
    """
    frames = next(len(r) for r in rotations if r is not None)
    parts = [None if r is None else r.double().movedim(-1, 0) for r in rotations]
    return chained(parents, [t.double().movedim(-1, 0) for t in translations], parts, frames)


def chained(
    parents: Sequence[int],
    translations: Sequence[Sequence[Tensor] | Tensor],
    rotations: Sequence[Sequence[Tensor] | Tensor | None],
    frames: int,
) -> tuple[Array, Array]:
    """`forward_kinematics_quaternion` of coordinates apart: x, y, z (w), numbers or ``(frames,)`` each.

    Numbers of one coordinate lie together so, and the products of quaternions are plain products of long rows.
    """
    positions = np.empty((frames, len(parents), 3))
    orientations = np.empty((frames, len(parents), 4))
    for start in range(0, frames, _FRAMES):
        rows = slice(start, min(start + _FRAMES, frames))
        places: list[list[Array]] = []
        turns: list[list[Array]] = []
        for joint, (parent, translation, rotation) in enumerate(zip(parents, translations, rotations, strict=True)):
            step = [_rows(one, rows) for one in translation]
            own = None if rotation is None else [_rows(one, rows) for one in rotation]
            if parent < 0:
                place = [np.broadcast_to(one, (rows.stop - rows.start,)) for one in step]
                turn = [np.zeros_like(place[0])] * 3 + [np.ones_like(place[0])] if own is None else own
            else:
                moved = _acted(turns[parent], step)
                place = [a + b for a, b in zip(places[parent], moved, strict=True)]
                turn = turns[parent] if own is None else _product(turns[parent], own)
            places.append(place)
            turns.append(turn)
            for axis, values in enumerate(place):
                positions[rows, joint, axis] = values
            for axis, values in enumerate(turn):
                orientations[rows, joint, axis] = values
    return positions, orientations


def _rows(values: Tensor, rows: slice) -> Array:
    found: Array = values.numpy() if values.ndim == 0 else values[rows].numpy()
    return found


def _product(p: Sequence[Array], q: Sequence[Array]) -> list[Array]:
    """Of quaternions xyzw, coordinates apart."""
    (px, py, pz, pw), (qx, qy, qz, qw) = p, q
    return [
        pw * qx + qw * px + (py * qz - pz * qy),
        pw * qy + qw * py + (pz * qx - px * qz),
        pw * qz + qw * pz + (px * qy - py * qx),
        pw * qw - (px * qx + py * qy + pz * qz),
    ]


def _acted(q: Sequence[Array], v: Sequence[Array]) -> list[Array]:
    """Vectors turned by unit quaternions, coordinates apart: ``v + 2 w u x v + 2 u x (u x v)``."""
    (x, y, z, w), (a, b, c) = q, v
    d, e, f = 2.0 * (y * c - z * b), 2.0 * (z * a - x * c), 2.0 * (x * b - y * a)
    return [a + w * d + (y * f - z * e), b + w * e + (z * d - x * f), c + w * f + (x * e - y * d)]
