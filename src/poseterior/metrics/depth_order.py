"""Which of two joints is nearer: labels, accuracy, and probabilities of depth order.

The label of a pair (a, b) is +1 where a is farther from the camera (``z_a > z_b``), -1 where a is nearer and 0
for the same depth. Pairs are joint indices, ``(pairs, 2)`` for all poses alike or ``(*batch, pairs, 2)`` for each
pose's own; a joint is as deep as itself, so that a pair (a, a) with label 0 may fill up a pose with fewer labels.
Depths, gaps and tolerances are in metres along the camera's z axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Int8, Real
from torch import Tensor
from torch.special import log_ndtr

from ..distributions.mixture import MixturePoseDistribution
from ..files.errors import InputError

__all__ = [
    "GAP_EDGES",
    "OrderReliability",
    "all_pairs",
    "mixture_order_log_probability",
    "order_accuracy",
    "order_accuracy_by_gap",
    "order_counts",
    "order_labels",
    "order_probability",
    "order_reliability",
]

#: Edges of the bins of the true gap, metres.
GAP_EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, math.inf)


def all_pairs(joints: int) -> Int[Tensor, "pairs 2"]:
    """Every pair of different joints once, the lower index first: 136 pairs of 17 joints."""
    return torch.combinations(torch.arange(joints), 2)


def _check_pairs(pairs: Tensor, joints: int) -> None:
    if pairs.ndim < 2 or pairs.shape[-1] != 2 or pairs.is_floating_point() or pairs.is_complex():
        raise InputError(f"pairs: expected whole numbers (pairs, 2), got {pairs.dtype} {tuple(pairs.shape)}")
    wrong = (pairs < 0) | (pairs >= joints)
    if bool(wrong.any()):
        raise InputError(f"pairs: no joint {int(pairs[wrong][0])}; expected indices 0 to {joints - 1}")


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Values ``(*batch, joints)`` of the joints ``(*#batch, pairs)``."""
    batch = torch.broadcast_shapes(values.shape[:-1], index.shape[:-1])
    index = index.long().to(values.device)
    return values.expand(*batch, -1).gather(-1, index.expand(*batch, -1))


def _gaps(values: Tensor, pairs: Tensor) -> Tensor:
    """Value of a less that of b: ``(*batch, joints)`` -> ``(*batch, pairs)``."""
    return _pick(values, pairs[..., 0]) - _pick(values, pairs[..., 1])


def order_labels(
    z: Float[Tensor, "*batch joints"], pairs: Int[Tensor, "*#batch pairs 2"], tolerance: float = 0.0
) -> Int8[Tensor, "*batch pairs"]:
    """Labels of depths: +1 where ``z_a - z_b > tolerance``, -1 where it is below ``-tolerance``, else 0.

    Args:
        z: depths, metres.
        pairs: joint indices.
        tolerance: gaps up to it, metres, count as the same depth.

    Raises:
        InputError: an index without a joint; a tolerance below 0.
    """
    _check_pairs(pairs, z.shape[-1])
    _check_tolerance(tolerance)
    gap = _gaps(z, pairs)
    return (gap > tolerance).to(torch.int8) - (gap < -tolerance).to(torch.int8)


def _check_tolerance(tolerance: float) -> None:
    if not 0 <= tolerance < math.inf:
        raise InputError(f"tolerance: expected metres from 0, got {tolerance}")


def _compare(pose: Tensor, truth: Tensor, valid: Tensor | None, pairs: Tensor | None) -> tuple[Tensor, Tensor]:
    """Whether the pose has each pair's order right, and the true gap's size: 0 where the truth has no order."""
    pairs = all_pairs(truth.shape[-2]) if pairs is None else pairs
    predicted, actual = order_labels(pose[..., 2], pairs), order_labels(truth[..., 2], pairs)
    size = _gaps(truth[..., 2], pairs).abs()
    if valid is not None:
        size = torch.where(_pick(valid, pairs[..., 0]) & _pick(valid, pairs[..., 1]), size, 0.0)
    right, size = torch.broadcast_tensors(predicted == actual, size)
    return right, size


def order_counts(
    pose: Float[Tensor, "*#batch joints 3"],
    truth: Float[Tensor, "*#batch joints 3"],
    valid: Bool[Tensor, "*#batch joints"] | None = None,
    pairs: Int[Tensor, "*#batch pairs 2"] | None = None,
    minimum_gap: float = 0.0,
    maximum_gap: float = math.inf,
) -> tuple[Int[Tensor, "*batch"], Int[Tensor, "*batch"]]:
    """Pairs of each pose in the right order, and pairs that count; sums over poses give exact shares.

    A pair counts if its joints are valid and ``minimum_gap <= |true gap| < maximum_gap``, metres. Pairs that are
    equally deep in the truth have no order and never count; a predicted tie is wrong.

    Args:
        pose, truth: metres; any shift and any positive scale of ``pose`` give the same counts.
        valid: joints that exist in the truth.
        pairs: default `all_pairs`.

    Raises:
        InputError: an index without a joint; an empty range of gaps.
    """
    if not 0 <= minimum_gap < maximum_gap:
        raise InputError(f"minimum_gap, maximum_gap: expected 0 <= minimum < maximum, got {minimum_gap}, {maximum_gap}")
    right, size = _compare(pose, truth, valid, pairs)
    counted = (size > 0) & (size >= minimum_gap) & (size < maximum_gap)
    return (right & counted).sum(-1), counted.sum(-1)


def order_accuracy(
    pose: Float[Tensor, "*#batch joints 3"],
    truth: Float[Tensor, "*#batch joints 3"],
    valid: Bool[Tensor, "*#batch joints"] | None = None,
    pairs: Int[Tensor, "*#batch pairs 2"] | None = None,
    minimum_gap: float = 0.0,
    maximum_gap: float = math.inf,
) -> Float[Tensor, ""]:
    """Share of pairs, over all poses, in the right order; arguments as `order_counts`. NaN if no pair counts."""
    right, counted = order_counts(pose, truth, valid, pairs, minimum_gap, maximum_gap)
    return right.sum() / counted.sum()


def order_accuracy_by_gap(
    pose: Float[Tensor, "*#batch joints 3"],
    truth: Float[Tensor, "*#batch joints 3"],
    valid: Bool[Tensor, "*#batch joints"] | None = None,
    edges: Sequence[float] = GAP_EDGES,
    pairs: Int[Tensor, "*#batch pairs 2"] | None = None,
) -> list[dict[str, float | int | None]]:
    """`order_accuracy` in bins of the true gap, ready for JSON.

    Args:
        edges: rising, metres; a bin holds its lower edge but not its upper one.

    Returns:
        One row a bin: ``from`` and ``to`` (metres, None: without end), ``accuracy`` (None without pairs), ``pairs``.

    Raises:
        InputError: as `order_counts`; edges that do not rise from 0 or more.
    """
    if len(edges) < 2 or edges[0] < 0 or not all(low < high for low, high in pairwise(edges)):
        raise InputError(f"edges: expected at least two, rising from 0 or more, got {tuple(edges)}")
    right, size = _compare(pose, truth, valid, pairs)
    rows: list[dict[str, float | int | None]] = []
    for low, high in pairwise(edges):
        counted = (size > 0) & (size >= low) & (size < high)
        count = int(counted.sum())
        rows.append(
            {
                "from": float(low),
                "to": float(high) if math.isfinite(high) else None,
                "accuracy": int((right & counted).sum()) / count if count else None,
                "pairs": count,
            }
        )
    return rows


# -- probabilities -----------------------------------------------------------------------------------------


def order_probability(
    samples: Float[Tensor, "samples *batch joints 3"], pairs: Int[Tensor, "*#batch pairs 2"]
) -> Float[Tensor, "*batch pairs"]:
    """Share of samples in which a is farther; ties count one half. Mixtures: `mixture_order_log_probability` is exact.

    Raises:
        InputError: an index without a joint; no samples.
    """
    if not len(samples):
        raise InputError("samples: a probability needs at least 1, got 0")
    return 0.5 + 0.5 * order_labels(samples[..., 2], pairs).to(samples.dtype).mean(0)


def _gap_moments(posterior: MixturePoseDistribution, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of ``z_a - z_b`` under each component: ``(*batch, k, pairs)``."""
    _check_pairs(pairs, len(posterior.skeleton))
    loc, lower = posterior.loc, posterior.scale_tril
    # rotation @ camera axes = turned axes: its last column is the camera's z axis there.
    axis = loc.new_tensor([0.0, 0.0, 1.0]) if posterior.rotation is None else posterior.rotation[..., 2]
    axis = axis[..., None, None, :]
    arm = (lower * axis.unsqueeze(-1)).sum(-2)  # Lᵀ axis: what the joint's own unit noise adds to its depth
    pairs = pairs.to(loc.device).unsqueeze(-3)  # alike for all components
    mean = _gaps(_with_root((loc * axis).sum(-1), posterior), pairs)
    own = _with_root(arm.square().sum(-1), posterior)
    variance = _pick(own, pairs[..., 0]) + _pick(own, pairs[..., 1])
    if posterior.factor is not None:
        tied = (posterior.factor.unflatten(-2, (-1, 3)) * arm.unsqueeze(-1)).sum(-2).transpose(-1, -2)
        variance = variance + _gaps(_with_root(tied, posterior), pairs.unsqueeze(-3)).square().sum(-2)
    # A joint's gap to itself is 0 for sure; any standard deviation but 0 keeps what follows finite.
    return mean, torch.where(pairs[..., 0] == pairs[..., 1], 1.0, variance).sqrt()


def _with_root(values: Tensor, posterior: MixturePoseDistribution) -> Tensor:
    """``(..., joints - 1)`` -> ``(..., joints)``: the root is at 0, without noise."""
    root = posterior.skeleton.root
    return torch.cat([values[..., :root], torch.zeros_like(values[..., :1]), values[..., root:]], -1)


def mixture_order_log_probability(
    posterior: MixturePoseDistribution,
    pairs: Int[Tensor, "*#batch pairs 2"],
    label: Real[Tensor, "*#batch pairs"],
    tolerance: float = 0.0,
) -> Float[Tensor, "*batch pairs"]:
    """Log-probability of labels, nats, exact and finite however unlikely the label, with gradients.

    Label +1: of ``z_a > z_b``; -1: of ``z_a < z_b``; 0: of ``|z_a - z_b| <= tolerance``. The first two do not
    depend on the tolerance, so the three overlap where it is above 0.

    Args:
        label: -1, 0 or +1.
        tolerance: metres. Labels 0 need one above 0: an exact tie has probability 0.

    Raises:
        InputError: an index without a joint; another label; a label 0 of two joints and no tolerance; a label +1 or
            -1 of a joint and itself.
    """
    _check_tolerance(tolerance)
    _check_labels(label)
    tied, itself = label == 0, (pairs[..., 0] == pairs[..., 1]).to(label.device)
    if bool((itself & ~tied).any()):
        raise InputError(
            "label: a joint is neither nearer nor farther than itself; expected 0 where a and b are the same"
        )
    if tolerance == 0 and bool((tied & ~itself).any()):
        raise InputError("label: 0 has probability 0 without a tolerance; give one above 0 or leave these pairs out")
    # In float32 the gradient of log_ndtr is off by a tenth at 2,000 standard deviations, and by far more beyond.
    mean, std = (moment.double() for moment in _gap_moments(posterior, pairs))
    log_probability = log_ndtr(label.unsqueeze(-2) * mean / std)
    if tolerance > 0:
        # By symmetry in the lower tail, where the difference of two probabilities keeps its digits.
        inner = log_ndtr((tolerance - mean.abs()) / std)
        outer = log_ndtr((-tolerance - mean.abs()) / std)
        log_same = inner + torch.log(-torch.expm1(outer - inner))
        log_probability = torch.where(tied.unsqueeze(-2), log_same, log_probability)
    joint = (posterior.log_weights.double().unsqueeze(-1) + log_probability).logsumexp(-2)
    return torch.where(itself, 0.0, joint).to(posterior.loc.dtype)


def _check_labels(label: Tensor) -> None:
    wrong = (label != 0) & (label.abs() != 1)
    if bool(wrong.any()):
        raise InputError(f"label: expected -1, 0 or 1, got {label[wrong][0].item():g}")


class OrderReliability(NamedTuple):
    """Are probabilities of order as often right as they say?

    Attributes:
        predicted: ``(bins,)`` mean predicted probability; NaN in an empty bin.
        observed: ``(bins,)`` share of labels +1; NaN in an empty bin.
        pairs: ``(bins,)`` number of pairs.
        error: expected calibration error, the mean over pairs of their bin's ``|observed - predicted|``.
    """

    predicted: Float[Tensor, "bins"]
    observed: Float[Tensor, "bins"]
    pairs: Int[Tensor, "bins"]
    error: float


def order_reliability(
    probability: Float[Tensor, "*batch pairs"], label: Real[Tensor, "*batch pairs"], bins: int = 10
) -> OrderReliability:
    """Reliability of probabilities that a is farther, in bins of equal width (Guo et al. 2017).

    Args:
        probability: from `order_probability`.
        label: of the truth; pairs labelled 0 have no order and are left out.
        bins: number of bins of [0, 1]; a bin holds its lower edge, the last one 1 too.

    Raises:
        InputError: other shapes, labels or probabilities; no bins; no label but 0.
    """
    if probability.shape != label.shape:
        raise InputError(
            f"label: expected the shape of probability {tuple(probability.shape)}, got {tuple(label.shape)}"
        )
    if bins < 1:
        raise InputError(f"bins: expected a whole number from 1, got {bins}")
    if not bool(((probability >= 0) & (probability <= 1)).all()):
        raise InputError("probability: expected numbers from 0 to 1")
    _check_labels(label)
    ordered = label != 0
    if not bool(ordered.any()):
        raise InputError("label: every pair is labelled 0; reliability needs pairs with an order")
    p, farther = probability[ordered].double(), (label[ordered] > 0).double()
    place = (p * bins).long().clamp(max=bins - 1)
    count = torch.bincount(place, minlength=bins)
    predicted = torch.bincount(place, p, minlength=bins) / count
    observed = torch.bincount(place, farther, minlength=bins) / count
    error = ((observed - predicted).abs().nan_to_num() * count).sum() / count.sum()
    return OrderReliability(predicted, observed, count, float(error))
