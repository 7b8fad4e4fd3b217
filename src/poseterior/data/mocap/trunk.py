"""What is wrong with the BVH releases of CMU, and how it is put right.

Every BVH conversion of CMU's ASF/AMC dropped the bone ``thorax``: ``Neck``, ``LeftShoulder`` and ``RightShoulder`` have
offset 0 from ``Spine1`` (``lowerneck`` and the collars from ``Chest2``), and all above stands one bone too low. One
clip read both ways differs by one vector in the frame of that joint, (0.1, 116.7, 0.5) mm where the bone below is
116.6 mm long, with a residual of 0.000. In four ASF skeletons the thorax is 1.000 to 1.013 times as long as the bone
below, and within 3 degrees of upright: other bodies are mended to about 2 mm along the trunk, 6 mm across.

Its clips begin with one frame in the T-pose, which is no part of the motion.
"""

from __future__ import annotations

import numpy as np
import roma
import torch
from numpy.typing import NDArray

from ...geometry.skeletons import SKELETONS
from .motion import Array, Motion

__all__ = [
    "THORAX",
    "begins_at_rest",
    "lacks_thorax",
    "mend_trunk",
]

#: The dropped bone in its joint's frame, as a multiple of the bone below.
THORAX = np.array([0.1, 116.7, 0.5]) / 116.575

#: (joint without its bone, the joint below, what hangs on it without an offset), as two releases name them.
_RELEASES = (
    ("Spine1", "Spine", ("Neck", "LeftShoulder", "RightShoulder")),
    ("Chest2", "Chest", ("lowerneck", "LeftCollar", "RightCollar")),
)
_SMPL = SKELETONS["smpl22"]


def _release(motion: Motion) -> tuple[int, int, tuple[int, ...]] | None:
    names = {name.split(":")[-1]: index for index, name in enumerate(motion.joints)}
    for chest, below, hanging in _RELEASES:
        if not {chest, below, *hanging, "LHipJoint", "RHipJoint"} <= set(names):
            continue
        where, under, on = names[chest], names[below], tuple(names[name] for name in hanging)
        bone = float(np.linalg.norm(motion.positions[0, where] - motion.positions[0, under]))
        gap = max(float(np.linalg.norm(motion.positions[0, joint] - motion.positions[0, where])) for joint in on)
        if bone > 0 and gap < 1e-3 * bone and all(motion.parents[joint] == where for joint in on):
            return where, under, on
    return None


def lacks_thorax(motion: Motion) -> bool:
    """Whether this is a BVH of CMU whose neck and collars lie on the joint below the thorax."""
    return _release(motion) is not None


def mend_trunk(motion: Motion) -> Motion:
    """The motion with the thorax put back; unchanged where none lacks."""
    found = _release(motion)
    if found is None:
        return motion
    where, under, hanging = found
    moved = np.zeros(len(motion.joints), dtype=bool)
    for joint, parent in enumerate(motion.parents):
        moved[joint] = joint in hanging or (parent >= 0 and moved[parent])
    length = float(np.median(np.linalg.norm(motion.positions[:, where] - motion.positions[:, under], axis=-1)))
    turned = torch.from_numpy(motion.orientations[:, where])
    step = roma.quat_action(turned, torch.from_numpy(np.broadcast_to(THORAX * length, (len(motion), 3)).copy())).numpy()
    positions: Array = motion.positions.copy()
    positions[:, moved] += step[:, None]
    return Motion(motion.joints, motion.parents, positions, motion.orientations, motion.fps, motion.rest)


def begins_at_rest(positions: NDArray[np.floating], rotations: NDArray[np.floating]) -> bool:
    """Whether the first frame is a T-pose that the motion does not begin with.

    Args:
        positions: ``(frames, 22, 3)`` smpl22, metres.
        rotations: ``(frames, 22, 4)`` relative to the parent and the T-pose.
    """
    if len(rotations) < 3:
        return False
    angles = 2 * np.degrees(np.arccos(np.clip(np.abs(rotations[0, :, 3]), 0, 1)))
    limbs = [_SMPL.index(f"{s}_{j}") for s in ("left", "right") for j in ("hip", "knee", "shoulder", "elbow")]
    if angles[limbs].max() > 25.0:
        return False
    own = positions - positions[:, :1]
    steps = np.linalg.norm(np.diff(own[: min(len(own), 60)], axis=0), axis=-1).mean(-1)
    return bool(steps[0] > 0.05 and steps[0] > 5 * np.median(steps[1:]))
