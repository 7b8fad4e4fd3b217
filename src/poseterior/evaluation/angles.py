"""Recalibration of the intervals of joint angles, and how often they hold the truth.

`poseterior.distributions.intervals` says what is fitted. A lifter's samples give angles; the truth's angles come of the
same function (`poseterior.geometry.angles.angles_of_points`).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..distributions.intervals import ANGLE_LEVELS, AngleRecalibration, spread_of_angles, wrapped
from ..geometry.angles import POINT_ANGLES, angles_of_points, told_by
from ..geometry.skeletons import Skeleton
from .conformal import conformal_quantile, rounded_up

__all__ = ["AngleErrors", "angle_coverage", "angle_errors", "fit_angles"]

#: Fewest observations of an angle, visible or missing; with fewer, it takes what all angles of the class have.
_FEW = 200
#: Of a factor.
_DIGITS = 3


@dataclasses.dataclass(frozen=True)
class AngleErrors:
    """How far the truth's angles are from a lifter's, for ``n`` poses.

    Attributes:
        score: ``(n, angles)`` the distance of the truth from the centre over the spread on its side.
        width: ``(n, angles)`` degrees, the spread below and above together.
        seen: ``(n, angles)`` angles all of whose joints were seen.
        known: ``(n, angles)`` angles that the truth has.
    """

    score: Float[Tensor, "n angles"]
    width: Float[Tensor, "n angles"]
    seen: Tensor
    known: Tensor

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, rows: Tensor | slice) -> AngleErrors:
        """Some of the poses."""
        return AngleErrors(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    @classmethod
    def joined(cls, parts: list[AngleErrors]) -> AngleErrors:
        """Those of several chunks."""
        return cls(*(torch.cat([getattr(part, f.name).cpu() for part in parts]) for f in dataclasses.fields(cls)))


def angle_errors(
    samples: Float[Tensor, "samples n joints 3"],
    truth: Float[Tensor, "n joints 3"],
    visible: Tensor,
    observed: Tensor,
    skeleton: Skeleton,
) -> AngleErrors:
    """Compare the angles of samples with the truth's.

    Args:
        samples: metres, camera axes.
        truth: the poses that the keypoints show.
        visible: ``(n, joints)`` joints that the lifter saw.
        observed: ``(n, joints)`` joints that the truth has.
        skeleton: their joints.
    """
    spread = spread_of_angles(angles_of_points(samples, skeleton))
    true = angles_of_points(truth, skeleton)
    observed = observed.clone()
    observed[:, skeleton.root] = True
    known = told_by(observed, skeleton) & true.isfinite()
    away = wrapped(true - spread.centre)
    score = torch.where(away > 0, away / spread.above, -away / spread.below)
    return AngleErrors(score, spread.below + spread.above, told_by(visible, skeleton), known)


def fit_angles(errors: AngleErrors) -> AngleRecalibration:
    """Fit a recalibration of the intervals of angles.

    Where an angle has fewer than 200 observations that are visible (or missing), it takes what is fitted for all
    angles of that class; a class with fewer what is fitted for all.
    """
    tables = []
    for own in (errors.seen & errors.known, ~errors.seen & errors.known):
        pool = _row(errors.score[own if int(own.sum()) >= _FEW else errors.known])
        columns = [errors.score[own[:, i], i] for i in range(len(POINT_ANGLES))]
        tables.append([_row(scores) if len(scores) >= _FEW else pool for scores in columns])
    count = min(len(row) for rows in tables for row in rows)
    visible, missing = (tuple(tuple(row[:count]) for row in rows) for rows in tables)
    return AngleRecalibration(POINT_ANGLES, ANGLE_LEVELS[:count], visible, missing)


def _row(scores: Float[Tensor, " n"]) -> list[float]:
    """Conformal quantiles of scores, one per level as far as there are any: never falling."""
    found = [float(conformal_quantile(scores, level)) for level in ANGLE_LEVELS]
    return [rounded_up(value, _DIGITS) for value in found if math.isfinite(value)]


def angle_coverage(
    errors: AngleErrors, level: float = 0.9, recalibration: AngleRecalibration | None = None
) -> dict[str, Any]:
    """How often intervals hold the truth.

    Args:
        errors: of poses that the recalibration was not fitted on.
        level: that they claim; without a recalibration 0.9, the level of the spread.
        recalibration: of the intervals; None for the samples' own.

    Returns:
        A JSON-ready dictionary: ``level``, ``poses``, ``calibrated``, the ``mean`` coverage over angles, that of the
        angles that were ``visible`` and ``missing``, the coverage ``per angle``, and the median ``width`` of each in
        degrees.
    """
    factor = (
        torch.ones_like(errors.score)
        if recalibration is None
        else recalibration.factors(level, errors.seen, POINT_ANGLES)
    )
    inside = errors.score <= factor
    width = (errors.width * factor).clamp(max=360.0)

    def share(counted: Tensor) -> float:
        return round(float(inside[counted].double().mean()), 4) if bool(counted.any()) else math.nan

    columns = {name: errors.known[:, i] for i, name in enumerate(POINT_ANGLES)}
    return {
        "level": level,
        "poses": len(errors),
        "calibrated": recalibration is not None,
        "mean": share(errors.known),
        "visible": share(errors.known & errors.seen),
        "missing": share(errors.known & ~errors.seen),
        "per angle": {
            name: round(float(inside[known, i].double().mean()), 4)
            for i, (name, known) in enumerate(columns.items())
            if bool(known.any())
        },
        "width": {
            name: round(float(width[known, i].median()), 1)
            for i, (name, known) in enumerate(columns.items())
            if bool(known.any())
        },
    }
