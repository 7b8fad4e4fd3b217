"""Means and standard deviations of training coordinates, by which published networks standardise."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["mean_and_deviation"]


def mean_and_deviation(
    values: Float[Tensor, "n d"], counted: Bool[Tensor, "n d"] | None = None
) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Mean and population standard deviation of each column, over the values that count (None: all)."""
    if counted is None:
        return values.mean(0), values.std(0, unbiased=False)
    weight = counted.to(values.dtype)
    count = weight.sum(0).clamp(min=1.0)
    mean = (values * weight).sum(0) / count
    return mean, (((values - mean).square() * weight).sum(0) / count).sqrt()
