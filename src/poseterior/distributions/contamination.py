"""Keypoints of which some are simply wrong: a contaminated normal in place of a Gaussian (Tukey 1960).

An error of a keypoint is Gaussian with the covariance R that is reported, but for a share of the keypoints, which are
somewhere else: ``(1 - share) N(0, R) + share t(0, R + B)`` with B round, `OUTLIER_SPREAD` of the person's size wide,
and Student's t of two degrees of freedom, so that nothing is too far to be wrong. Given what the other joints say of
where a joint is seen, this tells how probably the keypoint is right; the Gaussian that it counts as then has the mean
precision of both.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..keypoints import Keypoints2D

__all__ = ["OUTLIER_SPREAD", "inlier_log_odds", "moments_of", "widened"]

#: Standard deviation of wrong keypoints, in sizes of the person: about 22 cm.
OUTLIER_SPREAD = 0.5


def inlier_log_odds(
    xy: Float[Tensor, "*n 2"],
    places: Float[Tensor, "draws *n 2"],
    covariance: Float[Tensor, "*n 2 2"],
    size: Float[Tensor, " *n"],
    share: Float[Tensor, " *n"],
) -> Float[Tensor, " *n"]:
    """Logarithm of the odds that a keypoint is right.

    The density of draws is taken as half of the Gaussian with their moments and half of kernels around them (Silverman
    1986: as wide as these moments times ``draws ** (-1/6)``): what is said of a joint may have several middles.

    Args:
        xy: the keypoint, px.
        places: where the other joints say that it is, draws, px.
        covariance: of a right keypoint, px².
        size: of the person, px.
        share: of keypoints that are wrong, 0 to below 1; of 0 the odds are infinite.
    """
    middle, spread = moments_of(places.double())
    own, share = covariance.double(), share.double()
    identity = torch.eye(2, dtype=torch.float64, device=xy.device)
    around = own + (OUTLIER_SPREAD * size.double()).square()[..., None, None] * identity
    kernel = own + len(places) ** (-1.0 / 3.0) * spread
    gap = xy.double() - middle
    near = _log_normal(xy.double() - places.double(), kernel).logsumexp(0) - math.log(len(places))
    right = torch.logaddexp(_log_normal(gap, own + spread), near) - math.log(2.0)
    return right - _log_student(gap, around + spread) + torch.log1p(-share) - share.log()


def moments_of(places: Float[Tensor, "draws *n 2"]) -> tuple[Float[Tensor, "*n 2"], Float[Tensor, "*n 2 2"]]:
    """Mean and covariance of draws."""
    middle = places.mean(0)
    apart = places - middle
    return middle, torch.einsum("s...i,s...j->...ij", apart, apart) / (len(places) - 1)


def _log_normal(gap: Float[Tensor, "*n 2"], covariance: Float[Tensor, "*n 2 2"]) -> Float[Tensor, " *n"]:
    """Logarithm of a normal density, but for a constant."""
    square, log_det = _squared(gap, covariance)
    return -0.5 * (square + log_det)


def _log_student(gap: Float[Tensor, "*n 2"], scale: Float[Tensor, "*n 2 2"]) -> Float[Tensor, " *n"]:
    """That of Student's t of two degrees of freedom, in two dimensions: but for the same constant."""
    square, log_det = _squared(gap, scale)
    return -2.0 * torch.log1p(square / 2.0) - 0.5 * log_det


def _squared(gap: Float[Tensor, "*n 2"], covariance: Float[Tensor, "*n 2 2"]) -> tuple[Tensor, Tensor]:
    """Squared Mahalanobis distance, and the logarithm of the determinant."""
    a, b, c = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    determinant = a * c - b * b
    x, y = gap.unbind(-1)
    return (c * x * x - 2.0 * b * x * y + a * y * y) / determinant, determinant.log()


def widened(keypoints: Keypoints2D, right: Float[Tensor, "*batch joints"]) -> Keypoints2D:
    """The keypoints as Gaussians of their mean precision, where they are right with these probabilities.

    A keypoint that is right for certain stays as it is, bit for bit.
    """
    narrow = keypoints.covariance.double()
    identity = torch.eye(2, dtype=torch.float64, device=keypoints.device)
    wide = narrow + (OUTLIER_SPREAD * keypoints.size.double()).square()[..., None, None, None] * identity
    share = right.double()[..., None, None]
    mean = torch.linalg.inv(share * torch.linalg.inv(narrow) + (1.0 - share) * torch.linalg.inv(wide))
    changed = (right < 1.0)[..., None, None]
    return keypoints._replace(
        covariance=torch.where(changed, mean.to(keypoints.covariance.dtype), keypoints.covariance)
    )
