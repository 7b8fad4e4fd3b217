"""What keypoints do not tell of a joint's rotation, as its samples say it: how wide, and about which axis.

`poseterior.metrics.rotations.observability` says what keypoints could tell if they were exact. Where they are noisy, or
their arms are short, a rotation that could be told is not: its samples are as wide as without them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.body import SMPL25, rest_offsets
from .rotations import chordal_mean

__all__ = ["WIDE", "Untold", "untold"]

#: Half of a 90 % interval above which a rotation about an axis is not told, radians.
WIDE = math.radians(30)
_LEVEL = 0.9
#: The cosine of the angle below which an axis is that of the bone.
_ALONG = 0.8


@dataclass(frozen=True)
class Untold:
    """What is not told of a joint's rotation.

    Attributes:
        way: "turn" about the joint's own bone, "tilt" of that bone, or "direction" if more than one axis is wide.
        half: of the 90 % interval about the widest axis, radians.
    """

    way: Literal["turn", "tilt", "direction"]
    half: float

    def __str__(self) -> str:
        """As in "turn (±104°)"."""
        return f"{self.way} (±{math.degrees(self.half):.0f}°)"


def untold(rotations: Float[Tensor, "poses samples joints 3 3"], wide: float = WIDE) -> list[Untold | None]:
    """What the samples leave open of each smpl22 joint's rotation; None where they agree.

    The rotation vectors from the mean of a pose to its samples, in the joint's own frame, have principal axes that are
    the same for all poses; the intervals are those of their coordinates along these axes, over all poses. With fewer
    than two samples nothing is said.

    Args:
        rotations: relative to the parent, the first 22 points of `SMPL25`.
        wide: half of a 90 % interval from which on it is not told, radians.
    """
    import roma

    if rotations.shape[1] < 2:
        return [None] * rotations.shape[2]
    rotations = rotations.double()
    mean = chordal_mean(rotations, dim=1)
    away = roma.rotmat_to_rotvec(mean.unsqueeze(1).mT @ rotations).flatten(0, 1)
    found: list[Untold | None] = []
    for joint, vectors in enumerate(away.unbind(1)):
        _, axes = torch.linalg.eigh(vectors.mT @ vectors / len(vectors))
        halves = torch.quantile((vectors @ axes).abs(), _LEVEL, dim=0)
        widest = int(halves.argmax())
        if float(halves[widest]) < wide:
            found.append(None)
        elif int((halves >= wide).sum()) > 1:
            found.append(Untold("direction", float(halves[widest])))
        else:
            along = abs(float(axes[:, widest] @ _bone(joint)))
            found.append(Untold("turn" if along > _ALONG else "tilt", float(halves[widest])))
    return found


def _bone(joint: int) -> Float[Tensor, "3"]:
    """Direction of a joint's bone in its own frame: to what hangs on it; of an end as its parent's goes on."""
    rest = rest_offsets(torch.float64)
    below = [point for point, parent in enumerate(SMPL25.parents) if parent == joint and float(rest[point].norm()) > 0]
    arms = rest[below] if below else rest[joint : joint + 1]
    direction = (arms / arms.norm(dim=-1, keepdim=True).clamp_min(1e-12)).sum(0)
    return direction / direction.norm().clamp_min(1e-12)
