"""Small linear algebra that torch does slowly or not at all."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["cholesky_or_nan", "solve_lower_3x3"]


def solve_lower_3x3(lower: Float[Tensor, "*batch 3 3"], right: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Solve ``lower @ x = right`` for 3x3 lower triangles; torch's batched solver is slow on tiny blocks."""
    x = right[..., 0] / lower[..., 0, 0]
    y = (right[..., 1] - lower[..., 1, 0] * x) / lower[..., 1, 1]
    z = (right[..., 2] - lower[..., 2, 0] * x - lower[..., 2, 1] * y) / lower[..., 2, 2]
    return torch.stack([x, y, z], -1)


def cholesky_or_nan(matrix: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch d d"]:
    """Cholesky factor, NaN where there is none: a loss must become NaN, not an exception, where training diverged."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return torch.where(failed[..., None, None] == 0, factor, float("nan"))
