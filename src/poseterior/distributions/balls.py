"""Balls of samples: around their median, as wide as the share of them that a level names.

The centre is the coordinate-wise median, the *plain* radius of a joint at level q the q-quantile of the samples'
distances to the centre (at least 1 mm). Nothing here knows the truth: `poseterior.distributions.recalibration` does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..files.errors import InputError

__all__ = [
    "FLOOR",
    "MOST_SAMPLES",
    "SAMPLES",
    "SEED",
    "SPREAD_LEVEL",
    "Balls",
    "balls",
    "centre_and_shape",
    "check_level",
    "quantiles",
]

#: Samples and seed of a region without recalibration.
SAMPLES, SEED = 200, 0
#: Most samples of a region.
MOST_SAMPLES = 10_000
#: Least distance of a sample in metres, so that a point mass has something to be multiplied.
FLOOR = 1e-3
#: Level of the plain radii from which recalibrated ones are made, and whose proportions plain balls of a pose have.
SPREAD_LEVEL = 0.9


def check_level(level: float) -> None:
    """Raises `InputError` for anything but a number between 0 and 1."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
        raise InputError(f"level: expected a probability above 0 and below 1, e.g. 0.9, got {level!r}")


def _ordered(rows: Float[Tensor, "*shape samples"]) -> Float[Tensor, "*shape samples"]:
    """Each row sorted, NaN last. NumPy sorts rows of numbers by vectors, a hundred times as fast as torch."""
    if rows.device.type != "cpu" or rows.requires_grad:
        return rows.sort(-1).values
    return torch.from_numpy(np.sort(rows.numpy(), -1))


def _between(
    ordered: Float[Tensor, "*shape samples"], level: float
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"], float]:
    """The two numbers between which a quantile lies, and its share of the way."""
    last = ordered.shape[-1] - 1
    below = math.floor(level * last)
    return ordered[..., below], ordered[..., min(below + 1, last)], level * last - below


def quantiles(values: Float[Tensor, "samples *shape"], levels: Sequence[float]) -> Float[Tensor, "levels *shape"]:
    """Linearly interpolated quantiles over the samples. (`torch.quantile` refuses large tensors.)"""
    ordered = _ordered(values.movedim(0, -1).contiguous())
    return torch.stack([torch.lerp(*_between(ordered, level)) for level in levels])


class Balls(NamedTuple):
    """What samples say by themselves.

    Attributes:
        centre: ``(*batch, joints, 3)`` coordinate-wise median, metres.
        radius: ``(levels, *batch, joints)`` plain radii, metres; 0 for the root.
        shape: ``(*batch, joints)`` plain radii at `SPREAD_LEVEL`; those of all balls that hold a whole pose are
            multiples of them.
        pose_scale: ``(levels, *batch)`` which multiple holds that share of the samples whole.
    """

    centre: Tensor
    radius: Tensor
    shape: Tensor
    pose_scale: Tensor


def _around_median(
    samples: Float[Tensor, "samples *batch joints 3"],
) -> tuple[Float[Tensor, "*batch joints 3"], Float[Tensor, "*batch joints samples"]]:
    """The coordinate-wise median, NaN where a sample is, and each sample's squared distance from it."""
    rows = samples.movedim(0, -1).contiguous()
    ordered = _ordered(rows)
    centre = torch.where(ordered[..., -1].isnan(), torch.nan, ordered[..., (len(samples) - 1) // 2])
    return centre, (rows - centre.unsqueeze(-1)).square_().sum(-2)


def balls(samples: Float[Tensor, "samples *batch joints 3"], levels: Sequence[float], root: int) -> Balls:
    """The plain balls of samples at some levels."""
    centre, squared = _around_median(samples)
    distance = squared.sqrt().clamp(min=FLOOR).movedim(-1, 0)
    *radius, shape = quantiles(distance, [*levels, SPREAD_LEVEL])
    relative = distance / shape
    relative[..., root] = 0.0
    scale = quantiles(relative.amax(-1), levels)
    for each in (*radius, shape):
        each[..., root] = 0.0
    return Balls(centre, torch.stack(radius), shape, scale)


def centre_and_shape(
    samples: Float[Tensor, "samples *batch joints 3"], root: int
) -> tuple[Float[Tensor, "*batch joints 3"], Float[Tensor, "*batch joints"]]:
    """`Balls.centre` and `Balls.shape` alone."""
    centre, squared = _around_median(samples)
    low, high, share = _between(_ordered(squared), SPREAD_LEVEL)
    shape = torch.lerp(low.sqrt().clamp(min=FLOOR), high.sqrt().clamp(min=FLOOR), share)
    shape[..., root] = 0.0
    return centre, shape
