"""Square roots of many symmetric matrices at once."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .spd import schedule

__all__ = ["square_root_from_one"]


#: Largest eigenvalue up to which iterations beat an eigenvalue decomposition, and lose no digits to it.
_NEAR_ONE = 1e3


def square_root_from_one(matrix: Float[Tensor, "n d d"]) -> Float[Tensor, "n d d"]:
    """The symmetric square root of matrices whose eigenvalues are 1 or more, without gradients.

    The coupled Newton-Schulz iteration of `poseterior.geometry.spd.inverse_square_root`, with as many steps as the
    largest of the matrices needs: products of small matrices are many times as fast as their eigenvectors. Where
    eigenvalues are large these are taken all the same. Right to some roundings of the matrix's precision.
    """
    size = matrix.abs().sum(-1).amax(-1)[:, None, None]
    largest = float(size.max()) if len(matrix) else 1.0
    if not largest <= _NEAR_ONE:
        values, axes = torch.linalg.eigh(matrix)
        return (axes * values.clamp(min=1.0).sqrt().unsqueeze(-2)) @ axes.mT
    factors = schedule(largest**-0.5, near=0.3 * math.sqrt(torch.finfo(matrix.dtype).eps))
    root, inverse = matrix / size, None
    for at, factor in enumerate(factors):
        step = (root if inverse is None else inverse @ root).mul(-0.5 * factor**3)
        step.diagonal(dim1=-2, dim2=-1).add_(1.5 * factor)
        root = root @ step
        if at + 1 < len(factors):
            inverse = step if inverse is None else step @ inverse
    return root * size.sqrt()
