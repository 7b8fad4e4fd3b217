"""People whose true poses are drawn from the shipped prior: something to measure on where no motion capture is at hand.

They are no recordings. A prior that was learnt from recordings draws single poses that look like them, so that what
such people show is how answers change with what is seen, and not how good a lifter is on the street.
"""

from __future__ import annotations

import numpy as np
import roma
import torch

from ..data.store import Mocap
from ..files.errors import InputError
from ..geometry.body import H36M_POINTS, body_points, rest_offsets
from ..geometry.kinematics import ANKLE_HEIGHT
from ..geometry.skeletons import SKELETONS
from ..lifters import load_prior

__all__ = ["drawn_people"]


def drawn_people(count: int, seed: int = 0, prior: str = "rotations") -> Mocap:
    """Poses of the shipped body, as a store would give them: one clip of one frame each.

    Every pelvis is upright and faces +z, since a prior of rotations relative to the parent knows no floor; simulators
    turn people about the vertical, and give them other bodies.

    Args:
        count: of people.
        seed: same seed, same people.
        prior: name of shipped weights, or a folder of them.

    Returns:
        Metres, y up, the lowest joint at an ankle's height over the floor.

    Raises:
        InputError: fewer than one person, or no such prior.

    >>> people = drawn_people(3)
    >>> people.h36m17.shape, len(people.clip_names)
    ((3, 17, 3), 3)
    """
    if count < 1:
        raise InputError(f"count: expected at least 1 person, got {count}")
    with torch.no_grad():
        drawn = load_prior(prior).prior().sample((count,), seed=seed)
    # In single precision a draw through many layers leaves the rotations by 1e-4: bones would differ by tenths of a mm.
    rotations: torch.Tensor = roma.special_procrustes(drawn)
    rotations[:, 0] = torch.eye(3)
    points, _ = body_points(rotations, rest_offsets().expand(count, -1, -1))
    points[..., 1] += ANKLE_HEIGHT - points[..., 1].amin(-1, keepdim=True)
    joints, h36m17 = points[:, : len(SKELETONS["smpl22"])], points[:, list(H36M_POINTS)]
    return Mocap(
        positions=joints.numpy().astype(np.float32),
        rotations=roma.rotmat_to_unitquat(rotations).numpy().astype(np.float32),
        h36m17=h36m17.numpy().astype(np.float32),
        clip=np.arange(count),
        frame=np.zeros(count, np.int32),
        clip_names=tuple(f"person {number}" for number in range(count)),
        subject=("drawn",) * count,
        action=("drawn",) * count,
        source_names=(f"drawn from {prior}",) * count,
        fps=np.full(count, 30.0, np.float32),
    )
