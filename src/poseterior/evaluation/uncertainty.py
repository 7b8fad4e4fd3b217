"""How sure the numbers of a benchmark are, and which lifters they can tell apart.

Poses of a clip (or of a person, see `poseterior.evaluation.collect.groups_of`) depend on each other: the bootstrap
draws whole clips. Two lifters on the same poses are compared by the paired bootstrap, on the same drawn clips: what
makes a clip hard for both cancels, so that a difference may be certain though both numbers are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..geometry.skeletons import SKELETONS
from ..metrics.calibration import LEVELS
from ..metrics.resampling import (
    CONFIDENCE,
    bootstrap_counts,
    half_width,
    median_replicates,
    ratio_of,
)
from .collect import REGION_LEVEL
from .pose_scores import PoseScores

__all__ = ["STATISTICS", "Statistic", "compare", "uncertainty"]

_ROOT = SKELETONS["h36m17"].root


class _Resampled(Protocol):
    """A number of some poses, and what it is in the data sets that the bootstrap draws."""

    @property
    def value(self) -> float: ...

    def replicates(self, counts: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class _Median:
    values: Tensor
    group: Tensor

    @property
    def value(self) -> float:
        return float(self.values.median())

    def replicates(self, counts: Tensor) -> Tensor:
        return median_replicates(self.values, self.group, counts)


@dataclass(frozen=True)
class Statistic:
    """A number of the benchmark that has an uncertainty.

    Attributes:
        target: the best value is the lowest (``-inf``), the highest (``inf``) or the nearest to this.
        of: the number of some poses' scores and groups; None where it cannot be measured.
    """

    target: float
    of: Callable[[PoseScores, Tensor, int], _Resampled | None]


def _joints(values: Tensor) -> Tensor:
    """All columns but the root's, which is exact by definition."""
    return values[:, [j for j in range(values.shape[1]) if j != _ROOT]]


def _mean(name: str) -> Callable[[PoseScores, Tensor, int], _Resampled | None]:
    def of(scores: PoseScores, group: Tensor, groups: int) -> _Resampled | None:
        if name not in scores.values:
            return None
        values = scores.values[name].double()
        known = values.isfinite()
        if not bool(known.any()):
            return None
        return ratio_of(torch.where(known, values, 0.0), known, group, groups, lambda mean: mean)

    return of


def _calibration(part: str) -> Callable[[PoseScores, Tensor, int], _Resampled | None]:
    """Mean over joints and levels of |coverage - level|, as `poseterior.metrics.calibration.calibration_error`."""

    def of(scores: PoseScores, group: Tensor, groups: int) -> _Resampled | None:
        seen, counted = _joints(scores.values["visible"]), _joints(scores.values["exists"])
        counted = counted & {"all": counted, "visible": seen, "missing": ~seen}[part]
        if not bool(counted.any()):
            return None
        levels = torch.tensor(LEVELS)
        inside = (_joints(scores.values["rank"]).unsqueeze(-1) <= levels) & counted.unsqueeze(-1)

        def finish(share: Tensor) -> Tensor:
            return (share - levels.double()).abs().mean(-1).nanmean(-1)

        return ratio_of(inside, counted.unsqueeze(-1), group, groups, finish)

    return of


def _coverage(name: str) -> Callable[[PoseScores, Tensor, int], _Resampled | None]:
    """Mean over levels of |coverage - level| of ranks of the whole pose."""

    def of(scores: PoseScores, group: Tensor, groups: int) -> _Resampled | None:
        if name not in scores.values:
            return None
        ranks = scores.values[name]
        known = ~ranks.isnan()
        if not bool(known.any()):
            return None
        levels = torch.tensor(LEVELS)
        inside = ranks.unsqueeze(-1) <= levels
        return ratio_of(inside, known.unsqueeze(-1), group, groups, lambda s: (s - levels.double()).abs().mean(-1))

    return of


def _region(worst: bool) -> Callable[[PoseScores, Tensor, int], _Resampled | None]:
    """Share of truths in the regions: mean over joints, or the joint's that is farthest from the level."""

    def finish(share: Tensor) -> Tensor:
        if not worst:
            return share.nanmean(-1)
        gap = (share - REGION_LEVEL).abs().nan_to_num(nan=-1.0)
        return share.gather(-1, gap.argmax(-1, keepdim=True)).squeeze(-1)

    def of(scores: PoseScores, group: Tensor, groups: int) -> _Resampled | None:
        exists = _joints(scores.values["exists"])
        return ratio_of(_joints(scores.values["in the region"]) & exists, exists, group, groups, finish)

    return of


def _region_radius(scores: PoseScores, group: Tensor, groups: int) -> _Resampled | None:
    exists = _joints(scores.values["exists"])
    radius = _joints(scores.values["region radius"])
    return _Median(radius[exists], group.unsqueeze(-1).expand_as(exists)[exists])


def _order(scores: PoseScores, group: Tensor, groups: int) -> _Resampled | None:
    return ratio_of(scores.values["order right"], scores.values["order counted"], group, groups, lambda share: share)


#: What is measured with its uncertainty, by name.
STATISTICS: dict[str, Statistic] = {
    **{
        name: Statistic(-math.inf, _mean(name))
        for name in (
            "energy score", "CRPS", "pose energy score", "variogram score", "NLL", "MPJPE", "N-MPJPE", "P-MPJPE",
            "best MPJPE", "best P-MPJPE", "medoid: MPJPE", "medoid: P-MPJPE", "weighted mean: MPJPE",
            "weighted mean: P-MPJPE", "reprojection: MPJPE", "reprojection: P-MPJPE", "bone spread", "joint limits",
        )
    },
    "calibration": Statistic(-math.inf, _calibration("all")),
    "calibration, visible": Statistic(-math.inf, _calibration("visible")),
    "calibration, missing": Statistic(-math.inf, _calibration("missing")),
    "density coverage": Statistic(-math.inf, _coverage("density rank")),
    "TARP": Statistic(-math.inf, _coverage("TARP rank")),
    "region": Statistic(REGION_LEVEL, _region(worst=False)),
    "region, worst joint": Statistic(REGION_LEVEL, _region(worst=True)),
    "region, whole pose": Statistic(REGION_LEVEL, _mean("in the pose region")),
    "region radius": Statistic(-math.inf, _region_radius),
    "depth order": Statistic(math.inf, _order),
}  # fmt: skip


def uncertainty(scores: PoseScores) -> dict[str, Any]:
    """Half widths of the 95 % intervals of a lifter's numbers.

    Returns:
        ``groups`` and ``of`` (clips or people), ``confidence``, and ``half width`` by name of `STATISTICS`, in the
        number's own unit; empty with fewer than two groups. Intervals of calibration errors are about the error that
        these poses show, which chance alone keeps from 0: see the floor.
    """
    group, groups, of = scores.groups
    if groups < 2:
        return {}
    counts = bootstrap_counts(groups)
    widths = {}
    for name, statistic in STATISTICS.items():
        found = statistic.of(scores, group, groups)
        if found is not None and math.isfinite(width := float(half_width(found.replicates(counts), groups))):
            widths[name] = float(f"{width:.3g}")
    return {"groups": groups, "of": of, "confidence": CONFIDENCE, "half width": widths}


def compare(scores: Mapping[str, PoseScores], names: Sequence[str] = tuple(STATISTICS)) -> dict[str, list[list[Any]]]:
    """Lifters on the same poses compared two by two, by the paired bootstrap.

    Args:
        scores: by lifter, of the same poses in the same order.
        names: of `STATISTICS`.

    Returns:
        Name -> rows ``[a, b, difference, half width]``: how much worse ``b`` is than ``a`` (its value less a's; where
        higher is better the reverse; where a target is to be met, its distance from the target less a's), and half the
        length of the 95 % interval of that. Empty with fewer than two groups.
    """
    first = next(iter(scores.values()), None)
    if first is None:
        return {}
    group, groups, _ = first.groups
    if groups < 2:
        return {}
    counts = bootstrap_counts(groups)
    rows: dict[str, list[list[Any]]] = {}
    for name in names:
        statistic = STATISTICS[name]
        known = {}
        for lifter, one in scores.items():
            found = statistic.of(one, group, groups)
            if found is not None:
                values = torch.cat([torch.tensor([found.value], dtype=torch.float64), found.replicates(counts)])
                known[lifter] = _badness(values, statistic.target)
        rows[name] = [
            [a, b, _digits(known[b][0] - known[a][0]), _digits(half_width((known[b] - known[a])[1:], groups))]
            for i, a in enumerate(known)
            for b in list(known)[i + 1 :]
        ]
    return {name: found for name, found in rows.items() if found}


def _badness(values: Tensor, target: float) -> Tensor:
    """The smaller the better."""
    if math.isinf(target):
        return values if target < 0 else -values
    return (values - target).abs()


def _digits(value: Tensor) -> float:
    return float(f"{float(value):.4g}")
