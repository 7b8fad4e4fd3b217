"""What a person's told height says of their pose.

A network that reads the height among fifty numbers lets it narrow the body's size only by half. So it is given to the
distribution as one measurement more, after the keypoints: the height of a pose is the sum of lengths of bones
(`poseterior.geometry.kinematics.body_height`), which is not linear where a bone's direction is uncertain. It is
replaced by the linear function that is nearest to it under the distribution: its mean, and by Stein's lemma the mean of
its gradient; what that leaves unexplained counts as noise.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.kinematics import body_height
from ..geometry.skeletons import get_skeleton
from .bodies import size_gradient
from .evidence import EvidenceMap

__all__ = ["DRAWS", "TOLD", "HeightStep", "height_map", "height_step", "then"]

#: Draws behind the mean gradient.
DRAWS = 64
#: Standard deviation of a told height, as a share of it: people round, wear shoes, and joints are not where the crown
#: of the head and the soles are.
TOLD = 0.02
#: Metres by which the network blurs a height that it is told.
_BLUR = 0.05


def height_map(
    draws: Float[Tensor, "draws n 17 3"],
    mean: Float[Tensor, "n d"],
    covariance: Float[Tensor, "n d d"],
    told: Float[Tensor, " n"],
) -> EvidenceMap:
    """The map that adds a told height (NaN: none) to a distribution with these moments, float64.

    Args:
        draws: of it, metres.
        mean, covariance: of the joints other than the root, flattened.
        told: metres.
    """
    skeleton = get_skeleton("h36m17")
    heights = body_height(draws)
    slope = size_gradient(draws, skeleton).mean(0)[:, skeleton.nonroot].flatten(1)
    by = height_step(heights, slope, covariance, told)
    after = mean + by.step
    outer = by.along.unsqueeze(-1) * slope.unsqueeze(-2)
    identity = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
    linear = (slope * by.along).sum(-1)
    shrink = torch.where(by.known, 1.0 - by.factor * linear, 1.0)  # the map's determinant: it changes one direction
    return EvidenceMap(
        mean,
        after,
        identity - by.factor[:, None, None] * outer,
        shrink.log(),
    )


class HeightStep(NamedTuple):
    """What a told height does: the mean moves by ``step``, offsets from it by ``I - factor along slope^T``.

    Attributes:
        step: ``(n, d)`` metres.
        along: ``(n, d)`` covariance of the pose with its height, m².
        factor: ``(n,)`` per m²; 0 where nothing is told.
        known: ``(n,)`` whether a height is told.
    """

    step: Tensor
    along: Tensor
    factor: Tensor
    known: Tensor


def height_step(
    heights: Float[Tensor, "draws n"],
    slope: Float[Tensor, "n d"],
    covariance: Float[Tensor, "n d d"],
    told: Float[Tensor, " n"],
) -> HeightStep:
    """The step of `height_map`.

    Args:
        heights: of draws, metres.
        slope: mean gradient of the draws' heights.
        covariance: of the joints other than the root, flattened.
        told: metres.
    """
    along = (covariance @ slope.unsqueeze(-1)).squeeze(-1)
    linear = (slope * along).sum(-1)
    noise = (TOLD * told).square()
    # what is missing of the information, as of keypoints: R^-1 - (R + T)^-1
    noise = noise + noise.square() / _BLUR**2 + (heights.var(0) - linear).clamp(min=0.0)
    total = linear + noise
    known = told.isfinite() & (linear > 1e-12)
    step = torch.where(known, (told - heights.mean(0)) / total, 0.0)
    # A = I - k C g g^T with A C A^T = C - C g g^T C / total; k solves 2 k - k^2 linear = 1 / total
    factor = torch.where(known, (1.0 - (noise / total).sqrt()) / linear.clamp(min=1e-12), 0.0)
    return HeightStep(along * step.unsqueeze(-1), along, factor, known)


def then(first: EvidenceMap, second: EvidenceMap) -> EvidenceMap:
    """One map after the other; the second starts from where the first one ends."""
    return EvidenceMap(
        first.before,
        second.after,
        second.forward @ first.forward,
        first.log_det + second.log_det,
    )
