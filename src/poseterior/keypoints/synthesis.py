"""Joints that a skeleton lacks, made of others: weighted sums, their covariances propagated.

Of each pose the best way to make each joint is looked up, by what is seen of the pose; all joints of all poses are then
one product of matrices.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..geometry.skeletons import Skeleton, skeleton_maps

__all__ = ["Measured", "synthesised"]

#: Poses at a time: each has a matrix of its own.
_CHUNK = 4096


class Measured(NamedTuple):
    """What is known of the joints of some poses, and what of it is made of other joints.

    Attributes:
        xy: ``(*batch, joints, 2)`` px; finite.
        covariance: ``(*batch, joints, 2, 2)`` px².
        visible: ``(*batch, joints)``.
        amplitude: ``(*batch, joints)``, NaN where unknown.
        synthesised: ``(*batch, joints)`` joints that were made of others before.
        outliers: ``(*batch, joints)`` shares, or None.
    """

    xy: Tensor
    covariance: Tensor
    visible: Tensor
    amplitude: Tensor
    synthesised: Tensor
    outliers: Tensor | None


class _Ways(NamedTuple):
    """All ways to make the joints of one skeleton of those of another: one row each; the last row is no way.

    Attributes:
        weights: ``(rows, source joints)``.
        needed: ``(rows, 2 * source joints)`` 1 for joints that have to be seen; then, 1 for those that must not have
            been made of others.
        never: ``(rows,)`` 0; 1 for the last.
        rows: ``(target joints * tries)`` the rows of each joint, the best first, filled up with the last.
        first: ``(target joints)`` where those of each joint begin.
        preference: ``(tries,)`` falling to 1.
        spread: ``(rows,)`` mismatch, as a share of the person's size.
        copied: ``(rows,)`` whether it is the joint itself.
    """

    weights: Tensor
    needed: Tensor
    never: Tensor
    rows: Tensor
    first: Tensor
    preference: Tensor
    spread: Tensor
    copied: Tensor


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _ways(source: Skeleton, target: Skeleton, dtype: torch.dtype, device: torch.device) -> _Ways:
    maps = skeleton_maps(source, target)
    found = [(plan, joint) for joint in range(len(target)) for plan in maps if plan.available[joint]]
    weights = torch.zeros(len(found) + 1, len(source), dtype=torch.float64)
    spread = torch.zeros(len(found) + 1, dtype=torch.float64)
    copied = torch.zeros(len(found) + 1, dtype=torch.bool)
    rows = torch.full((len(target), len(maps)), len(found))
    tries = [0] * len(target)
    for row, (plan, joint) in enumerate(found):
        weights[row] = torch.from_numpy(plan.weights[joint])
        spread[row], copied[row] = float(plan.spread[joint]), bool(plan.copied[joint])
        rows[joint, tries[joint]] = row
        tries[joint] += 1
    parts = (weights != 0).to(dtype)
    needed = torch.cat([parts, torch.where(copied.unsqueeze(-1), 0.0, parts)], -1)
    never = torch.zeros(len(found) + 1, dtype=dtype)
    never[-1] = 1.0
    first = len(maps) * torch.arange(len(target))
    preference = torch.arange(len(maps), 0, -1)
    parts_of = (weights.to(dtype), needed, never, rows.flatten(), first, preference, spread.to(dtype), copied)
    return _Ways(*(part.to(device) for part in parts_of))


def synthesised(known: Measured, size: Float[Tensor, "*batch"], source: Skeleton, target: Skeleton) -> Measured:
    """The joints of another skeleton.

    Each is made the first way of `poseterior.geometry.skeletons.skeleton_maps` of which all parts are seen; a joint
    that was made of others before is a part of none. Where there is no such way the joint is not visible.

    Args:
        known: of poses in ``source``.
        size: of each person, px.
        source, target: skeletons.
    """
    ways = _ways(source, target, known.xy.dtype, known.xy.device)
    if size.numel() <= _CHUNK:
        return _made(known, size, ways)
    columns = [None if of is None else of.reshape(-1, *of.shape[size.ndim :]).split(_CHUNK) for of in known]
    sizes = size.reshape(-1).split(_CHUNK)
    parts = [
        _made(Measured(*(None if column is None else column[n] for column in columns)), some, ways)  # type: ignore[arg-type]
        for n, some in enumerate(sizes)
    ]

    def joined(*of: Tensor | None) -> Tensor | None:
        found = [part for part in of if part is not None]
        return torch.cat(found).unflatten(0, size.shape) if found else None

    return Measured(*(joined(*column) for column in zip(*parts, strict=True)))  # type: ignore[arg-type]


def _made(known: Measured, size: Float[Tensor, "*batch"], ways: _Ways) -> Measured:
    visible, row = _best(known.visible, known.synthesised, ways)
    weights = ways.weights[row]  # (*batch, target joints, source joints)
    unknown = known.amplitude.isnan()
    numbers = torch.stack([known.amplitude.nan_to_num(0.0), unknown, known.synthesised], -1)
    made = weights @ torch.cat([known.xy, numbers], -1)
    xy, (amplitude, lacking, indirect) = made[..., :2], made[..., 2:].unbind(-1)
    covariance = (weights.square() @ known.covariance.flatten(-2)).unflatten(-1, (2, 2))
    mismatch = (ways.spread[row] * size.unsqueeze(-1)).square()
    covariance.diagonal(dim1=-2, dim2=-1).add_(mismatch.unsqueeze(-1))
    outliers = known.outliers
    if outliers is not None:  # wrong where one of its parts is
        right = (weights != 0).to(weights.dtype) @ torch.log1p(-outliers).unsqueeze(-1)
        outliers = 1.0 - right.squeeze(-1).exp()
    return Measured(
        xy,
        covariance,
        visible,
        torch.where(lacking > 0, torch.nan, amplitude),
        visible & (~ways.copied[row] | (indirect > 0)),
        outliers,
    )


def _best(
    visible: Bool[Tensor, "*batch source"], synthesised: Bool[Tensor, "*batch source"], ways: _Ways
) -> tuple[Bool[Tensor, "*batch target"], Int[Tensor, "*batch target"]]:
    """Which joints can be made, and the row of `_Ways` by which each is, arbitrary for the others."""
    bad = torch.cat([~visible, synthesised], -1).to(ways.needed.dtype)
    good = torch.nn.functional.linear(bad, ways.needed, ways.never) == 0
    tries = good.index_select(-1, ways.rows).unflatten(-1, (-1, len(ways.preference)))
    height, nth = (tries * ways.preference).max(-1)
    return height > 0, ways.rows[ways.first + nth]
