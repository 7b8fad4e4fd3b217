"""The log-density of many poses under one mixture of Gaussians, by products of matrices.

A Gaussian of covariance ``L (I + U U^T) L^T`` (see `MixturePoseDistribution`) is whitened by ``T L^-1`` with
``T = I - U H U^T``, the symmetric inverse root of ``I + U U^T``: one matrix for each component, the turn from camera
axes included, so that all poses go through all components in one product per element of the batch. Nothing cancels:
the density is minus half a sum of squares, and poses are taken from the mixture's mean before they are multiplied.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.bands import inverse_bands, times_bands
from ..geometry.linalg import cholesky_or_nan
from ..nn.dense import product_for

__all__ = ["Whitening", "offset_density", "whitening"]


class Whitening(NamedTuple):
    """What whitens poses in camera axes for each of ``n`` mixtures of ``k`` components in ``d`` dimensions.

    Attributes:
        centre: ``(n, d)`` metres, what is taken off first.
        matrix: ``(n, k * d, d)``.
        offset: ``(n, k * d)``, minus the whitened mean of each component.
        log_norm: ``(n, k)`` logarithm of each component's weight times its density's largest value.
    """

    centre: Tensor
    matrix: Tensor
    offset: Tensor
    log_norm: Tensor

    def log_density(self, rows: Float[Tensor, "samples n d"]) -> Float[Tensor, "samples n"]:
        """In nats, of poses in camera axes without the root."""
        product = product_for(rows, self.matrix)
        squared = rows.new_empty(len(rows), *self.log_norm.shape)
        # One element after the other: what lies between stays in the processor's cache.
        for i, (centre, matrix, offset) in enumerate(zip(self.centre, self.matrix, self.offset, strict=True)):
            white = product(rows[:, i] - centre, matrix, offset).unflatten(-1, (-1, rows.shape[-1]))
            squared[:, i] = white.square_().sum(-1)
        return (self.log_norm - 0.5 * squared).logsumexp(-1)


def whitening(
    log_weights: Float[Tensor, "n k"],
    loc: Float[Tensor, "n k nonroot 3"],
    scale_tril: Float[Tensor, "n k nonroot 3 3"],
    factor: Float[Tensor, "n #k dims rank"] | None,
    rotation: Float[Tensor, "n 3 3"] | None,
) -> Whitening:
    """Of mixtures as `MixturePoseDistribution` has them."""
    count, k, joints = loc.shape[:3]
    dims = 3 * joints
    blocks = _inverse(scale_tril)
    log_det = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum((-2, -1))
    if rotation is not None:
        blocks = blocks @ rotation[:, None, None]
        loc = loc @ rotation.unsqueeze(1)
    matrix = loc.new_zeros(count, k, joints, 3, joints, 3)
    matrix.diagonal(dim1=2, dim2=4).copy_(blocks.movedim(2, -1))
    matrix = matrix.reshape(count, k, dims, dims)
    if factor is not None:
        # U H U^T with H = Q diag(1 / (s^2 + s)) Q^T, s^2 the eigenvalues of I + U^T U
        strength, axes = torch.linalg.eigh(factor.mT @ factor)
        stretch = (1.0 + strength.clamp(min=0.0)).sqrt()
        tied = factor @ axes
        matrix = matrix - (tied / (stretch.square() + stretch).unsqueeze(-2)) @ (tied.mT @ matrix)
        log_det = log_det + stretch.log().sum(-1)
    centre = (log_weights.exp().unsqueeze(-1) * loc.flatten(-2)).sum(1)
    offset = -(matrix @ (loc.flatten(-2) - centre.unsqueeze(1)).unsqueeze(-1)).reshape(count, -1)
    log_norm = log_weights - log_det - 0.5 * dims * math.log(2 * math.pi)
    return Whitening(centre, matrix.reshape(count, -1, dims), offset, log_norm)


#: Poses of each mixture from which on whole matrices pay, where they are made for these poses alone.
_MATRICES = 100


def offset_density(
    rows: Float[Tensor, "n samples dims"],
    log_weights: Float[Tensor, "n k"],
    loc: Float[Tensor, "n k nonroot 3"],
    scale_tril: Float[Tensor, "n k nonroot 3 3"],
    factor: Float[Tensor, "n #k dims rank"] | None,
) -> Float[Tensor, "n samples"]:
    """In nats, of poses in the mixtures' own axes; the way that takes least for so many of them."""
    if rows.shape[1] >= _MATRICES:
        return whitening(log_weights, loc, scale_tril, factor, None).log_density(rows.transpose(0, 1)).mT
    gap = rows.unsqueeze(2) - loc.flatten(-2).unsqueeze(1)
    white = times_bands(inverse_bands(scale_tril).unsqueeze(1), gap)  # (n, samples, k, dims)
    squared = white.square().sum(-1)
    log_det = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum((-2, -1))
    if factor is not None:
        inner = factor.mT @ factor
        inner.diagonal(dim1=-2, dim2=-1).add_(1.0)
        chol = cholesky_or_nan(inner)
        half = torch.linalg.solve_triangular(chol, factor.mT, upper=False).mT  # (n, #k, dims, rank)
        tied = (
            white.flatten(1, 2) @ half[:, 0] if half.shape[1] == 1 else (white.transpose(1, 2) @ half).transpose(1, 2)
        )
        squared = squared - tied.square().sum(-1).view(squared.shape)
        log_det = log_det + chol.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log_norm = log_weights - log_det - 0.5 * rows.shape[-1] * math.log(2 * math.pi)
    return (log_norm.unsqueeze(1) - 0.5 * squared).logsumexp(-1)


def _inverse(lower: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Of 3x3 lower triangles."""
    found = torch.zeros_like(lower)
    for below, band in enumerate(inverse_bands(lower.unsqueeze(-3)).unbind(-2)):
        found.diagonal(-below, dim1=-2, dim2=-1).copy_(band[..., below:])
    return found
