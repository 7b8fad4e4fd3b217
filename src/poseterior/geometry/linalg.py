"""Small linear algebra that torch does slowly or not at all."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "cholesky_3x3",
    "cholesky_or_nan",
    "ellipse_axes",
    "ellipse_covariance",
    "inverse_lower_3x3",
    "solve_lower_3x3",
]


def solve_lower_3x3(lower: Float[Tensor, "*batch 3 3"], right: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Solve ``lower @ x = right`` for 3x3 lower triangles; torch's batched solver is slow on tiny blocks."""
    x = right[..., 0] / lower[..., 0, 0]
    y = (right[..., 1] - lower[..., 1, 0] * x) / lower[..., 1, 1]
    z = (right[..., 2] - lower[..., 2, 0] * x - lower[..., 2, 1] * y) / lower[..., 2, 2]
    return torch.stack([x, y, z], -1)


def inverse_lower_3x3(lower: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Inverse of 3x3 lower triangles, a lower triangle again."""
    a, b, c = lower.diagonal(dim1=-2, dim2=-1).reciprocal().unbind(-1)
    ba = -lower[..., 1, 0] * a * b
    cb = -lower[..., 2, 1] * b * c
    ca = -(lower[..., 2, 0] * a + lower[..., 2, 1] * ba) * c
    zero = torch.zeros_like(a)
    return torch.stack([a, zero, zero, ba, b, zero, ca, cb, c], -1).unflatten(-1, (3, 3))


def cholesky_3x3(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Cholesky factor of positive definite 3x3 matrices; torch's batched one is slow on tiny blocks."""
    a = matrix[..., 0, 0].sqrt()
    b, c = matrix[..., 1, 0] / a, matrix[..., 2, 0] / a
    d = (matrix[..., 1, 1] - b.square()).sqrt()
    e = (matrix[..., 2, 1] - b * c) / d
    f = (matrix[..., 2, 2] - c.square() - e.square()).sqrt()
    zero = torch.zeros_like(a)
    return torch.stack([a, zero, zero, b, d, zero, c, e, f], -1).unflatten(-1, (3, 3))


def cholesky_or_nan(matrix: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch d d"]:
    """Cholesky factor, NaN where there is none: a loss must become NaN, not an exception, where training diverged."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return torch.where(failed[..., None, None] == 0, factor, float("nan"))


def ellipse_axes(
    covariance: Float[Tensor, "*batch 2 2"],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Standard deviation along the long axis, the angle of that axis from x towards y, and the short one."""
    xx, xy, yy = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    half = (xx - yy) / 2
    long = (xx + yy) / 2 + torch.hypot(half, xy)
    # not the difference of the two terms, which cancels for a thin ellipse
    short = (xx * yy - xy.square()).clamp(min=0.0) / long
    return long.sqrt(), torch.atan2(xy, half) / 2, short.sqrt()


def ellipse_covariance(
    first: Float[Tensor, "*batch"], angle: Float[Tensor, "*batch"], second: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 2 2"]:
    """Covariance with these standard deviations along and across the axis at this angle from x towards y."""
    cos, sin = angle.cos(), angle.sin()
    xy = cos * sin * (first.square() - second.square())
    xx = (cos * first).square() + (sin * second).square()
    yy = (sin * first).square() + (cos * second).square()
    return torch.stack([xx, xy, xy, yy], -1).unflatten(-1, (2, 2))
