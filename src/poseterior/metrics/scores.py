"""Proper scores of whole poses: they reward accuracy, honest spread and right dependence between joints at once.

A score is proper if nobody expects a better one than who says what he believes (Gneiting & Raftery 2007). Smaller
is better. Scores of one coordinate or joint at a time (`poseterior.metrics.accuracy.crps`, ``energy_score``) do not
see how joints go together; the two here do, the variogram score sharply.

``valid (*batch, joints)`` marks joints that exist in the truth; values of the others are ignored.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError

__all__ = ["pose_energy_score", "variogram_score"]

#: Poses whose sample-to-sample distances are in memory at once: 10 MB at 200 samples.
_CHUNK = 64


def _cleared(
    samples: Tensor, truth: Tensor, valid: Tensor | None
) -> tuple[Float[Tensor, "samples *batch dims"], Float[Tensor, "*batch dims"], Bool[Tensor, "*batch joints"]]:
    """Poses as vectors, 0 in joints that are not valid, and which joints are."""
    mask = torch.ones(truth.shape[:-1], dtype=torch.bool, device=truth.device) if valid is None else valid
    # where, not a product: NaN times 0 is NaN.
    samples, truth = (torch.where(mask.unsqueeze(-1), pose, 0.0).flatten(-2) for pose in (samples, truth))
    return samples, truth, mask


def _check(samples: Tensor, truth: Tensor, name: str) -> None:
    if samples.shape[1:] != truth.shape:
        raise InputError(
            f"{name}: samples: expected (samples, {', '.join(map(str, truth.shape))}), got {tuple(samples.shape)}"
        )


def _mean_pair_distance(samples: Float[Tensor, "samples poses dims"]) -> Float[Tensor, "poses"]:
    """Mean distance over all pairs of different samples."""
    n = len(samples)
    total = []
    for part in samples.transpose(0, 1).split(_CHUNK):
        # By differences: the quicker product of matrices loses the digits of small distances.
        distance = torch.cdist(part, part, compute_mode="donot_use_mm_for_euclid_dist")
        total.append(distance.sum((-2, -1)) / (n * (n - 1)))
    return torch.cat(total)


def pose_energy_score(
    samples: Float[Tensor, "samples *batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    valid: Bool[Tensor, "*batch joints"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Energy score of the pose as one vector, over the root of the number of joints: metres.

    ``(E||X - y|| - E||X - X'|| / 2) / sqrt(joints)`` (Gneiting & Raftery 2007, eq. 22), norms over all coordinates
    of valid joints, the second mean over all pairs of samples: unbiased in their number. Divided so, it reads as
    a root-mean-square distance per joint; a point mass scores exactly that. 0 for a pose without valid joints.

    Raises:
        InputError: fewer than two samples, or samples of other poses than the truth.
    """
    _check(samples, truth, "pose energy score")
    if len(samples) < 2:
        raise InputError(f"pose energy score: samples: pairs need at least 2, got {len(samples)}")
    drawn, actual, mask = _cleared(samples, truth, valid)
    distance = (drawn - actual).norm(dim=-1).mean(0)
    flat = drawn.reshape(len(drawn), distance.numel(), drawn.shape[-1])
    spread = _mean_pair_distance(flat).reshape(distance.shape)
    return (distance - 0.5 * spread) / mask.sum(-1).clamp(min=1).sqrt()


def variogram_score(
    samples: Float[Tensor, "samples *batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    valid: Bool[Tensor, "*batch joints"] | None = None,
    p: float = 0.5,
) -> Float[Tensor, "*batch"]:
    """Variogram score of order p (Scheuerer & Hamill 2015, equal weights), metres to the power 2 p.

    The mean over all pairs i < j of coordinates of valid joints of ``(|y_i - y_j|^p - E|X_i - X_j|^p)^2``: it sees
    wrong correlations, which scores of single coordinates cannot and the energy score hardly does. It is proper but
    not strictly: adding the same length to all coordinates does not change it, nor does turning every sign. So read
    it beside the energy score. Of S samples the expectation is a mean, whose variance is added, a share of about
    1 / S of a right distribution's score; compare at equal numbers of samples. 0 for a pose without valid joints.

    Args:
        p: order, above 0; 1/2 as its authors advise.

    Raises:
        InputError: samples of other poses than the truth.
    """
    _check(samples, truth, "variogram score")
    drawn, actual, mask = _cleared(samples, truth, valid)
    known = mask.repeat_interleave(3, dim=-1)
    total = torch.zeros_like(actual[..., 0])
    pairs = torch.zeros_like(total)
    for i in range(actual.shape[-1] - 1):
        expected = (drawn[..., i : i + 1] - drawn[..., i + 1 :]).abs().pow(p).mean(0)
        gap = (actual[..., i : i + 1] - actual[..., i + 1 :]).abs().pow(p) - expected
        both = known[..., i : i + 1] & known[..., i + 1 :]
        total = total + torch.where(both, gap.square(), 0.0).sum(-1)
        pairs = pairs + both.sum(-1)
    return total / pairs.clamp(min=1)
