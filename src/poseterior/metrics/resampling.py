"""How sure a number is, when its poses come in groups: the bootstrap over clips, and how many poses are worth counting.

Frames of a clip show the same person in nearly the same pose, so that a thousand frames of 24 clips say about as much
as a few hundred independent poses. Every interval and every test here takes the group of each pose (its clip, or its
person) and resamples or counts groups, never single poses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..files.errors import InputError
from .calibration import LEVELS

__all__ = [
    "CONFIDENCE",
    "DRAWS",
    "Ratio",
    "bootstrap_counts",
    "design_effect",
    "effective_number",
    "group_numbers",
    "half_width",
    "median_replicates",
    "ratio_of",
    "t_quantile",
    "uniform_band",
]

#: Probability with which an interval holds what it is about.
CONFIDENCE = 0.95
#: Data sets that the bootstrap draws; half widths are then off by 2 % or so for chance.
DRAWS = 1000


def group_numbers(names: Sequence[Hashable]) -> tuple[Int[Tensor, " poses"], int]:
    """Groups numbered in the order in which they come, and how many there are."""
    numbers: dict[Hashable, int] = {}
    index = [numbers.setdefault(name, len(numbers)) for name in names]
    return torch.tensor(index, dtype=torch.long), len(numbers)


@lru_cache(maxsize=16)
def bootstrap_counts(groups: int, draws: int = DRAWS, seed: int = 0) -> Float[Tensor, "draws groups"]:
    """How often each group is in each of the data sets that the bootstrap draws (Efron & Tibshirani 1993, ch. 6).

    A data set has as many groups as there are, drawn with replacement. The same numbers give the same data sets, so
    that two methods measured on the same groups are compared on the same data sets: the paired bootstrap.

    Raises:
        InputError: fewer than two groups, or no draws.
    """
    if groups < 2:
        raise InputError(f"bootstrap: groups: expected at least 2, got {groups}")
    if draws < 2:
        raise InputError(f"bootstrap: draws: expected at least 2, got {draws}")
    generator = torch.Generator().manual_seed(seed)
    picked = torch.randint(groups, (draws, groups), generator=generator)
    return torch.zeros(draws, groups, dtype=torch.float64).scatter_add_(
        1, picked, torch.ones_like(picked, dtype=torch.float64)
    )


@lru_cache(maxsize=256)
def t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t distribution with ``freedom`` degrees of freedom, by integration; 4 digits or more.

    With ``t = sqrt(freedom) tan(a)`` the density is proportional to ``cos(a) ** (freedom - 1)``.

    Raises:
        InputError: a probability outside (0, 1), or no degree of freedom.
    """
    if not 0 < probability < 1:
        raise InputError(f"t quantile: probability: expected above 0 and below 1, got {probability}")
    if freedom < 1:
        raise InputError(f"t quantile: freedom: expected 1 or more, got {freedom}")
    angle = np.linspace(-math.pi / 2, math.pi / 2, 200_001)
    density = np.cos(angle).clip(0.0) ** (freedom - 1)
    share = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return float(math.sqrt(freedom) * math.tan(np.interp(probability, share / share[-1], angle)))


def half_width(
    replicates: Float[Tensor, "draws *shape"], groups: int, confidence: float = CONFIDENCE
) -> Float[Tensor, "*shape"]:
    """Half the length of the confidence interval that the bootstrap's values of a number give.

    Their standard deviation, times ``sqrt(groups / (groups - 1))``, which the bootstrap lacks, and Student's quantile
    instead of the normal one: with two dozen clips plain percentiles are a tenth too short. NaN values of data sets
    in which there was nothing to measure do not count.
    """
    known = replicates.isfinite()
    count = known.sum(0)
    values = torch.where(known, replicates, 0.0)
    centre = values.sum(0) / count
    squares = torch.where(known, replicates - centre, 0.0).square().sum(0)
    deviation = (squares / (count - 1)).sqrt() * math.sqrt(groups / (groups - 1))
    return t_quantile(0.5 + confidence / 2, groups - 1) * deviation


# -- numbers that are made of sums -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Ratio:
    """A number that is made of shares or means: ``finish`` of sums over poses divided by other sums over poses.

    Attributes:
        above, below: ``(groups, *shape)`` the sums over each group's poses.
        finish: ``(*any, *shape)`` of quotients -> ``(*any)``; NaN quotients (nothing below) are its affair.
    """

    above: Float[Tensor, "groups *shape"]
    below: Float[Tensor, "groups *shape"]
    finish: Callable[[Tensor], Tensor]

    @property
    def value(self) -> float:
        """Of all poses."""
        return float(self.finish(self.above.sum(0) / self.below.sum(0)))

    def replicates(self, counts: Float[Tensor, "draws groups"]) -> Float[Tensor, " draws"]:
        """Of each data set of `bootstrap_counts`."""
        above, below = (counts @ part.reshape(len(part), -1) for part in (self.above, self.below))
        return self.finish((above / below).reshape(len(counts), *self.above.shape[1:]))


def ratio_of(
    above: Float[Tensor, "poses *shape"],
    below: Float[Tensor, "poses *shape"],
    group: Int[Tensor, " poses"],
    groups: int,
    finish: Callable[[Tensor], Tensor],
) -> Ratio:
    """A `Ratio` from what each pose adds to the sums."""
    parts = []
    for part in torch.broadcast_tensors(above, below):
        total = torch.zeros(groups, *part.shape[1:], dtype=torch.float64)
        parts.append(total.index_add_(0, group, part.double()))
    return Ratio(parts[0], parts[1], finish)


def median_replicates(
    values: Float[Tensor, " n"], group: Int[Tensor, " n"], counts: Float[Tensor, "draws groups"]
) -> Float[Tensor, " draws"]:
    """Median of the values in each data set of `bootstrap_counts`; ``group`` is each value's. The lower one of two."""
    order = values.argsort()
    ordered, index = values[order].double(), group[order]
    found = []
    for row in counts:
        weight = row[index].cumsum(0)
        found.append(ordered[torch.searchsorted(weight, weight[-1:] / 2).clamp(max=len(ordered) - 1)])
    return torch.cat(found)


# -- how many independent poses a set of clips is worth --------------------------------------------------------


def design_effect(
    ranks: Float[Tensor, "poses *shape"],
    group: Int[Tensor, " poses"],
    counted: Bool[Tensor, "poses *shape"] | None = None,
) -> float:
    """How many dependent poses are worth one independent pose, for shares of ranks below a level (Kish 1965).

    The variance of such a share over groups, divided by that of as many independent poses; both summed over `LEVELS`
    and over ``shape``. At least 1. 1 where every pose is a group of its own.

    Args:
        ranks: 0 to 1; NaN does not count.
        group: of each pose.
        counted: which ranks count; default all.

    Raises:
        InputError: all that counts is in one group: nothing says how the groups differ.
    """
    known = ~ranks.isnan() if counted is None else counted & ~ranks.isnan()
    flat, known = ranks.reshape(len(ranks), -1).double().cpu(), known.reshape(len(ranks), -1).cpu()
    group = group.cpu()
    groups = int(group.max()) + 1 if len(group) else 0
    weight = torch.zeros(groups, flat.shape[1], dtype=torch.float64).index_add_(0, group, known.double())
    present = weight > 0
    enough = present.sum(0) > 1
    if not bool(enough.any()):
        raise InputError("design effect: all poses that count are of one clip; at least 2 clips are needed")
    between = within = 0.0
    for level in LEVELS[1:-1]:
        below = (flat <= level) & known
        hits = torch.zeros_like(weight).index_add_(0, group, below.double())
        share = hits.sum(0) / weight.sum(0)
        number = present.sum(0)
        gap = torch.where(present, hits - weight * share, 0.0).square().sum(0) * number / (number - 1)
        between += float(gap[enough].sum())
        within += float((weight.sum(0) * share * (1 - share))[enough].sum())
    return max(1.0, between / within) if within > 0 else 1.0


def effective_number(
    ranks: Float[Tensor, "poses *shape"],
    group: Int[Tensor, " poses"],
    counted: Bool[Tensor, "poses *shape"] | None = None,
) -> float:
    """As how many independent poses the poses count: ranks (of each column, on average) over `design_effect`.

    Raises:
        InputError: as `design_effect`.
    """
    known = ~ranks.isnan() if counted is None else counted & ~ranks.isnan()
    each = known.reshape(len(ranks), -1).sum(0)
    each = each[each > 0]
    return float(each.double().mean()) / design_effect(ranks, group, counted) if len(each) else 0.0


# -- where the shares of uniform ranks lie ---------------------------------------------------------------------


def _log_binomial(n: int, level: float) -> Float[Tensor, "n+1"]:
    """Log-probabilities of 0 to n hits of that probability."""
    k = torch.arange(n + 1, dtype=torch.float64)
    choose = math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    return choose + k * math.log(level) + (n - k) * math.log1p(-level)


@lru_cache(maxsize=256)
def uniform_band(
    n: int, confidence: float = CONFIDENCE, repeats: int = 4000, seed: int = 0
) -> tuple[Float[Tensor, "levels"], Float[Tensor, "levels"]]:
    """Lower and upper end, at each of `LEVELS`, of where the shares of n independent uniform ranks lie.

    Simultaneous: all shares are within with that probability. At each level the ends are binomial quantiles of one
    tail probability, so that the band is as narrow near 0 and 1 as ranks are sure there (Aldor-Noiman et al. 2013;
    Säilynoja, Bürkner & Vehtari 2022); the tail probability is found by simulation.

    Raises:
        InputError: n below 1.
    """
    if n < 1:
        raise InputError(f"uniform band: n: expected 1 or more, got {n}")
    generator = torch.Generator().manual_seed(seed)
    inner = torch.tensor(LEVELS[1:-1], dtype=torch.float64)
    # Hits up to each level: of those that are left, so many fall before the next level.
    hits, left, before = torch.zeros(repeats, len(inner), dtype=torch.long), torch.full((repeats,), float(n)), 0.0
    for i, level in enumerate(inner.tolist()):
        chance = torch.full_like(left, (level - before) / (1 - before))
        left = left - torch.binomial(left, chance, generator=generator)
        hits[:, i], before = n - left.long(), level
    tables = [_log_binomial(n, level).exp() for level in LEVELS[1:-1]]
    at_most = torch.stack([table.cumsum(0) for table in tables])  # (levels, n + 1)
    at_least = torch.stack([table.flip(0).cumsum(0).flip(0) for table in tables])
    rows = torch.arange(len(inner)).expand_as(hits)
    tail = torch.minimum(at_most[rows, hits], at_least[rows, hits]).amin(-1)
    least = float(tail.quantile(1 - confidence)) * (1 - 1e-9)
    inside = (at_most >= least) & (at_least >= least)
    low = inside.double().argmax(-1).double() / n
    high = (n - inside.flip(-1).double().argmax(-1)).double() / n
    ends = torch.tensor([0.0], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    return torch.cat([ends[0], low, ends[1]]), torch.cat([ends[0], high, ends[1]])
