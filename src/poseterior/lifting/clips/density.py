"""The density of whole motions under the Gaussian that they are drawn of."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .correlations import Roots
from .filtering import Smoothed

__all__ = ["log_density"]

#: Share of the largest variance that is added to all of them, so that rounding leaves them positive.
_JITTER = 1e-12


def log_density(
    about: Float[Tensor, "n T d"],
    smoothed: Smoothed,
    roots: Roots,
    shared: Float[Tensor, "d d"],
    blur: float = 0.0,
) -> Float[Tensor, " n"]:
    """Log-density of paths about their mean, as `MotionGaussian.draw` makes them: from the last frame to the first.

    The states of all coordinates are one Gaussian Markov chain backwards in time, of which positions are seen:
    a Kalman filter with ``3 d`` states and the ``d`` offsets that all frames share. What is filtered of covariances is
    the same for all paths.

    Args:
        about: metres; on a body of known size.
        smoothed: of the coordinates one by one.
        roots: of the correlations between their new parts.
        shared: square root of the covariance of the offsets that all frames share.
        blur: standard deviation of independent noise on each coordinate with which paths are seen, metres.
    """
    gains, news = torch.from_numpy(smoothed.gain), torch.from_numpy(smoothed.root)
    paths, count, size = about.shape
    chance = about.new_zeros(paths)
    mean = about.new_zeros(paths, 4, size)  # place, velocity, slow error; then the offsets
    covariance = about.new_zeros(4, size, 4, size)
    covariance[3, :, 3] = shared @ shared.mT
    for frame in range(count - 1, -1, -1):
        if frame < count - 1:
            gain = gains[frame]
            mean[:, :3] = torch.einsum("iab,nbi->nai", gain, mean[:, :3])
            moved = torch.einsum("iab,bixj->aixj", gain, covariance[:3])
            covariance[:3], covariance[:, :, :3] = moved, moved.permute(2, 3, 0, 1)
            covariance[:3, :, :3] = torch.einsum("aixj,jbx->aibj", moved[:, :, :3], gain)
        half = roots[frame]
        new, together = news[frame], half @ half.mT
        covariance[:3, :, :3] += torch.einsum("iak,ij,jbk->aibj", new, together, new)
        # What is seen is place + offset.
        with_seen = covariance[:, :, 0] + covariance[:, :, 3]
        expected = with_seen[0] + with_seen[3]
        noise = _JITTER * expected.diagonal().amax() + blur**2
        expected = expected + noise * torch.eye(size, dtype=expected.dtype)
        lower = torch.linalg.cholesky(0.5 * (expected + expected.mT))
        gap = torch.linalg.solve_triangular(lower, (about[:, frame] - mean[:, 0] - mean[:, 3]).mT, upper=False)
        chance = chance - 0.5 * gap.square().sum(0) - lower.diagonal().log().sum() - 0.5 * size * math.log(2 * math.pi)
        pull = torch.linalg.solve_triangular(lower, with_seen.flatten(0, 1).mT, upper=False)  # (d, 4 d)
        mean = mean + (pull.mT @ gap).mT.unflatten(-1, (4, size))
        covariance = covariance - (pull.mT @ pull).reshape(4, size, 4, size)
    return chance
