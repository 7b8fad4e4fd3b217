"""Ways of reading poses, against the truth: their size, which way the axes point, which joint is which.

Everything is read after the middle of the joints is set aside, so that one mistake does not hide another.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.skeletons import SKELETONS

__all__ = [
    "Orientation",
    "best_orientation",
    "centred",
    "extent",
    "in_order",
    "joint_assignment",
    "mean_error",
    "size_factor",
]

_BODY = SKELETONS["h36m17"]


def centred(poses: Tensor, valid: Tensor) -> Tensor:
    """Poses relative to the middle of their valid joints, which a wrong order of joints leaves where it is."""
    weight = valid.unsqueeze(-1).to(poses.dtype)
    middle = (poses * weight).sum(-2, keepdim=True) / weight.sum(-2, keepdim=True).clamp(min=1.0)
    return poses - middle


def extent(poses: Tensor, valid: Tensor) -> Tensor:
    """Root-mean-square distance of the valid joints from their middle."""
    squared = centred(poses, valid).square().sum(-1) * valid
    return (squared.sum(-1) / valid.sum(-1).clamp(min=1)).sqrt()


def size_factor(
    mean: Float[Tensor, "poses 17 3"], truth: Float[Tensor, "poses 17 3"], valid: Bool[Tensor, "poses 17"]
) -> float:
    """How many times as large as the true poses the predicted ones are: the median over poses."""
    ratio = extent(mean, valid) / extent(truth, valid).clamp(min=1e-9)
    return max(float(ratio.median()), 1e-9)


def mean_error(pose: Tensor, truth: Tensor, valid: Tensor) -> float:
    """Mean distance of the valid joints, metres."""
    return float((pose - truth).norm(dim=-1)[valid].mean())


class Orientation(NamedTuple):
    """A way of reading poses.

    Attributes:
        axes: which of the given axes is x, y and z.
        signs: factors of these.
        swapped: whether left and right joints are exchanged.
    """

    axes: tuple[int, ...] = (0, 1, 2)
    signs: tuple[int, ...] = (1, 1, 1)
    swapped: bool = False

    def read(self, poses: Float[Tensor, "*batch 17 3"]) -> Float[Tensor, "*batch 17 3"]:
        """The poses read in this way."""
        poses = poses[..., list(_BODY.mirror), :] if self.swapped else poses
        return poses[..., list(self.axes)] * torch.tensor(self.signs, dtype=poses.dtype, device=poses.device)


def _orientations() -> Iterator[Orientation]:
    for swapped in (False, True):
        for axes in itertools.permutations(range(3)):
            for signs in itertools.product((1, -1), repeat=3):
                yield Orientation(axes, signs, swapped)


def best_orientation(
    pose: Float[Tensor, "poses 17 3"], truth: Float[Tensor, "poses 17 3"], valid: Bool[Tensor, "poses 17"]
) -> Orientation:
    """The way of reading the poses that agrees best with the truth; as they are unless another is clearly better.

    Agreement is the sum of the three axes' correlations with the truth's, so that a depth that is hardly better than
    guessed still shows which way it points. Another way has to be better by 0.3.
    """
    kept = valid.unsqueeze(-1)
    t = torch.where(kept, centred(truth, valid), 0.0).flatten(0, 1)
    t = t / t.norm(dim=0).clamp(min=1e-9)

    def correlations(poses: Tensor) -> Tensor:
        """Of each given axis with each true one ``(3, 3)``."""
        p = torch.where(kept, centred(poses, valid), 0.0).flatten(0, 1)
        return (p / p.norm(dim=0).clamp(min=1e-9)).T @ t

    tables = {swapped: correlations(Orientation(swapped=swapped).read(pose)).tolist() for swapped in (False, True)}

    def agreement(way: Orientation) -> float:
        return sum(way.signs[i] * tables[way.swapped][way.axes[i]][i] for i in range(3))

    best = max(_orientations(), key=agreement)
    return best if agreement(best) > agreement(Orientation()) + 0.3 else Orientation()


def joint_assignment(
    pose: Float[Tensor, "poses 17 3"], truth: Float[Tensor, "poses 17 3"], valid: Bool[Tensor, "poses 17"]
) -> tuple[int, ...]:
    """Which true joint each given one is: pairs by their mean distance, nearest first, each joint once.

    Joints that the truth never has are paired with what is left.
    """
    p, t = centred(pose, valid), centred(truth, valid)
    distance = (p.unsqueeze(-2) - t.unsqueeze(-3)).norm(dim=-1)  # (poses, given, true)
    known = valid.unsqueeze(-2).expand_as(distance)
    total = torch.where(known, distance, 0.0).sum(0) / known.sum(0)
    table = total.nan_to_num(nan=1e6)
    assigned: dict[int, int] = {}
    for flat in table.flatten().argsort().tolist():
        given, true = divmod(flat, len(_BODY))
        if given not in assigned and true not in assigned.values():
            assigned[given] = true
    return tuple(assigned[joint] for joint in range(len(_BODY)))


def in_order(poses: Tensor, assigned: tuple[int, ...]) -> Tensor:
    """Poses whose joint ``i`` is the true joint ``assigned[i]``, in the true order."""
    return poses[..., torch.tensor(assigned, device=poses.device).argsort(), :]
