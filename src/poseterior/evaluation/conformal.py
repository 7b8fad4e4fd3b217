"""Split-conformal quantiles (Papadopoulos et al. 2002; Lei et al. 2018), and how they are rounded."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

__all__ = ["conformal_quantile", "rounded_up"]


def conformal_quantile(scores: Float[Tensor, "*shape n"], level: float) -> Float[Tensor, "*shape"]:
    """The ``ceil((n + 1) level)``-th smallest of n scores; infinite if there is none.

    A new score from the same distribution is at most that with probability ``level`` to ``level + 1 / (n + 1)``.
    """
    # 0.9 * 10 is a little more than 9 in floating point.
    rank = math.ceil((scores.shape[-1] + 1) * level - 1e-9)
    if rank > scores.shape[-1]:
        return scores.new_full(scores.shape[:-1], math.inf)
    return scores.kthvalue(max(rank, 1), -1).values


def rounded_up(value: float, digits: int = 4) -> float:
    """To some digits; at least 0.0001, because a radius is not zero."""
    if value <= 1e-4:
        return 1e-4
    places = digits - 1 - math.floor(math.log10(value))
    return float(f"{math.ceil(value * 10.0**places - 1e-6) / 10.0**places:.{digits}g}")
