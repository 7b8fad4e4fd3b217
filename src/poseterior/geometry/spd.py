"""Small symmetric positive definite matrices by sums, products and square roots alone.

Torch's decompositions have no counterpart in ONNX; what stands here is exported as it is. While torch is there,
`poseterior.geometry.linalg` and torch's own are used.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .linalg import cholesky_3x3, inverse_lower_3x3

__all__ = [
    "block_diagonal",
    "inverse_2x2",
    "inverse_3x3",
    "inverse_square_root",
    "inverse_within",
    "schedule",
    "transposed",
]

#: Least eigenvalue, as a share of the largest, that `inverse_square_root` is right for.
_SMALLEST = 1e-12
#: Steps that take `inverse_within` from an error of 1/3 to one below float64's precision: it is squared by each.
_SQUARINGS = 5


def inverse_2x2(matrix: Float[Tensor, "*batch 2 2"]) -> Float[Tensor, "*batch 2 2"]:
    """The inverse, by its closed form."""
    a, b, c, d = matrix.flatten(-2).unbind(-1)
    determinant = a * d - b * c
    return torch.stack([d, -b, -c, a], -1).unflatten(-1, (2, 2)) / determinant[..., None, None]


def inverse_3x3(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The inverse, by the Cholesky factor."""
    inverse = inverse_lower_3x3(cholesky_3x3(matrix))
    return transposed(inverse) @ inverse


def transposed(matrix: Float[Tensor, "*batch r c"]) -> Float[Tensor, "*batch c r"]:
    """The transpose, by picking its numbers.

    ONNX Runtime 1.20 fuses a transpose with the product that follows, for which it has no float64.
    """
    rows, columns = matrix.shape[-2:]
    order = [row * columns + column for column in range(columns) for row in range(rows)]
    picked = matrix.flatten(-2).index_select(-1, torch.tensor(order, device=matrix.device))
    return picked.unflatten(-1, (columns, rows))


def block_diagonal(blocks: Float[Tensor, "*batch n 3 3"]) -> Float[Tensor, "*batch 3*n 3*n"]:
    """A matrix with these blocks along its diagonal."""
    count = blocks.shape[-3]
    identity = torch.eye(count, dtype=blocks.dtype, device=blocks.device)
    return (blocks.unsqueeze(-2) * identity[:, None, :, None]).flatten(-4, -3).flatten(-2)


def schedule(smallest: float, near: float = 1e-9) -> list[float]:
    """Factors of scaled Newton-Schulz steps that take singular values from ``smallest`` to 1 to all be 1.

    But for about the square of ``near``.
    """
    low, factors = smallest, []
    while 1.0 - low > near:  # one more step squares what is left
        factor = math.sqrt(3.0 / (1.0 + low + low * low))
        factors.append(factor)
        low = factor * low * (3.0 - (factor * low) ** 2) / 2.0
    return [*factors, 1.0]


_FACTORS = schedule(math.sqrt(_SMALLEST))


def inverse_square_root(matrix: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch d d"]:
    """The symmetric inverse square root, where eigenvalues differ by a factor of 1e12 at most.

    Newton-Schulz iteration in its coupled form (Higham 2008, section 6.7), each step scaled so that it lifts the
    smallest eigenvalue as far as it can (Chen and Chow 2014): always as many products.
    """
    size = matrix.abs().sum(-1).amax(-1)[..., None, None]
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    root, inverse = matrix / size, None
    for factor in _FACTORS:
        product = root if inverse is None else inverse @ root
        step = (1.5 * factor) * identity - (0.5 * factor**3) * product
        root = root @ step
        inverse = step if inverse is None else step @ inverse
    assert inverse is not None
    return inverse / size.sqrt()


def inverse_within(matrix: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch d d"]:
    """The inverse of a matrix whose eigenvalues lie between 1 and 2 (Schulz 1933)."""
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    inverse = (4.0 / 3.0) * identity - (4.0 / 9.0) * matrix  # one step from 2/3: error at most 1/9
    for _ in range(_SQUARINGS - 1):
        inverse = inverse @ (2.0 * identity - matrix @ inverse)
    return inverse
