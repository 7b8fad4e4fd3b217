"""A few representative poses in place of many hypotheses: batched k-means."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..files.errors import InputError
from ..noise import Noise, SharedNoise, StreamNoise

__all__ = [
    "cluster",
]

#: Lloyd's iterations at most; a few hundred samples settle within a few dozen.
_ITERATIONS = 100


def cluster(
    samples: Float[Tensor, "samples *batch joints 3"],
    k: int,
    *,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, "*batch k joints 3"], Float[Tensor, "*batch k"]]:
    """Reduce each pose's samples to ``k`` representatives by k-means over all coordinates.

    Lloyd's algorithm from a k-means++ start (Arthur & Vassilvitskii 2007). A representative is the mean of its
    cluster, so its bones are a little shorter than a sample's; its weight is the share of the samples in it.

    Args:
        samples: ``(samples, *batch, joints, 3)`` metres, as `PoseDistribution.sample` returns them.
        k: number of representatives.
        seed: of the start, which takes the same random numbers for every pose, so that a pose's representatives do
            not depend on the others.
        generator: used instead of ``seed`` if given; on the samples' device.

    Returns:
        Representatives ``(*batch, k, joints, 3)``, likeliest first, and their weights ``(*batch, k)``, which sum
        to 1. Where a pose has fewer than ``k`` different samples, some weights are 0.

    Raises:
        InputError: samples of another shape or not finite, or ``k`` below 1 or above the number of samples.

    >>> samples = torch.tensor([0.0, 0.1, 5.0, 5.1, 5.2]).reshape(5, 1, 1).expand(5, 1, 3)
    >>> representatives, weights = cluster(samples, 2)
    >>> representatives[:, 0, 0], weights
    (tensor([5.1000, 0.0500]), tensor([0.6000, 0.4000]))
    """
    if samples.ndim < 3 or samples.shape[-1] != 3:
        raise InputError(f"samples has shape {tuple(samples.shape)}; expected (samples, *batch, joints, 3)")
    if not 1 <= k <= len(samples):
        raise InputError(f"k: expected 1 to {len(samples)} (the number of samples), got {k}")
    if not samples.isfinite().all():
        raise InputError("samples: expected finite numbers only")
    batch, event = samples.shape[1:-2], samples.shape[-2:]
    noise = SharedNoise(seed, (batch.numel(),)) if generator is None else StreamNoise(generator)
    points = samples.reshape(len(samples), batch.numel(), event.numel()).transpose(0, 1)
    centres = _plus_plus(points, k, noise)
    owner = _nearest(points, centres)[1]
    for _ in range(_ITERATIONS):
        centres = _means(points, centres, owner)
        previous, owner = owner, _nearest(points, centres)[1]
        if torch.equal(owner, previous):
            break
    count = _membership(owner, k, points.dtype).sum(1)
    order = count.argsort(dim=-1, descending=True, stable=True)
    centres = centres.gather(1, order.unsqueeze(-1).expand_as(centres))
    weights = count.gather(1, order) / len(samples)
    return centres.reshape(*batch, k, *event), weights.reshape(*batch, k)


def _plus_plus(points: Tensor, k: int, noise: Noise) -> Tensor:
    """Starting centres ``(batch, k, dims)``: samples drawn in proportion to their squared distance from the others.

    Where all samples lie on centres already, every sample is as likely.
    """
    if not len(points):  # torch does not draw for an empty batch
        return points[:, :k]
    gap = torch.full_like(points[..., 0], float("inf"))
    weight = torch.ones_like(gap)
    centres: list[Tensor] = []
    for _ in range(k):
        drawn = noise.choose(weight)
        centres.append(points.gather(1, drawn.unsqueeze(-1).expand(-1, -1, points.shape[-1])))
        gap = torch.minimum(gap, (points - centres[-1]).square().sum(-1))
        weight = torch.where(gap.sum(-1, keepdim=True) > 0, gap, 1.0)
    return torch.cat(centres, 1)


def _nearest(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Distance from each sample to its nearest centre, and which that is: ``(batch, samples)`` each."""
    distance, owner = torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist").min(-1)
    return distance, owner


def _membership(owner: Tensor, k: int, dtype: torch.dtype) -> Tensor:
    return torch.nn.functional.one_hot(owner, k).to(dtype)


def _means(points: Tensor, centres: Tensor, owner: Tensor) -> Tensor:
    """Mean of each cluster; the empty ones move to the samples that lie farthest from their centres."""
    member = _membership(owner, centres.shape[1], points.dtype)
    count = member.sum(1)
    means = (member.transpose(1, 2) @ points) / count.clamp(min=1.0).unsqueeze(-1)
    empty = count == 0
    if not empty.any():
        return means
    farthest = _nearest(points, centres)[0].argsort(-1, descending=True)
    turn = (empty.cumsum(-1) - 1).clamp(min=0)  # the first empty cluster takes the farthest sample, and so on
    moved = points.gather(1, farthest.gather(1, turn).unsqueeze(-1).expand_as(means))
    return torch.where(empty.unsqueeze(-1), moved, means)
