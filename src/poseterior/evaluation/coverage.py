"""How often regions hold the truth, read from distances: per joint, seen and missing, and of whole poses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..distributions.recalibration import LEVELS, MISSING_GROUPS, Recalibration, missing_group
from ..files.errors import InputError
from .distances import Distances

__all__ = ["coverage_of"]

#: Levels of the calibration error.
_EVEN = tuple(level for level in LEVELS if level <= 0.95)


def _share(inside: Tensor, counted: Tensor) -> list[float]:
    """Share of True among those counted, a column; NaN where there are none."""
    total = counted.sum(0)
    return ((inside & counted).sum(0) / total).tolist()


def _farthest(shares: Sequence[float], level: float) -> float:
    return max(shares, key=lambda share: abs(share - level))


def _calibration_error(distances: Distances, recalibration: Recalibration | None, counted: Tensor) -> float:
    """Mean over `_EVEN` levels and joints of ``|coverage - level|``."""
    total, gaps = counted.sum(0), []
    for level in _EVEN:
        if recalibration is not None:
            radius = recalibration.radii(level, distances.visible, distances.shape)[0]
        elif level in distances.levels:
            radius = distances.radius[distances.levels.index(level)]
        else:
            continue
        inside = (distances.error <= radius) & counted
        gaps.append(((inside.sum(0) / total) - level).abs()[total > 0])
    return float(torch.stack(gaps).mean()) if gaps else math.nan


def _thirds(inside: Tensor, counted: Tensor, radius: Tensor) -> list[float]:
    """Coverage where a joint's radius is in the smallest third of its radii, in the middle, in the largest."""
    place = torch.where(counted, radius, math.inf).argsort(0).argsort(0) / counted.sum(0).clamp(min=1)
    third = (3.0 * place).long()
    rows = [inside[counted & (third == k)] for k in range(3)]
    return [round(float(row.float().mean()), 4) for row in rows if len(row)]


def coverage_of(distances: Distances, level: float = 0.9, recalibration: Recalibration | None = None) -> dict[str, Any]:
    """How often regions hold the truth, from distances.

    Args:
        distances: from `measure`; for plain regions with ``level`` among its levels.
        level: probability that the regions claim.
        recalibration: of the regions; None for the plain ones.

    Returns:
        A JSON-ready dictionary: ``level``, ``poses``, ``calibrated``; the coverage ``per joint``, its ``mean``, the
        ``worst`` joint's (farthest from the level); ``pose``, of all joints at once, and ``pose by missing``; the
        median ``radius``, the ``mean radius`` and the mean ``pose radius`` in mm; the ``calibration error``, i.e. the
        mean of |coverage - level| over the levels 0.05, 0.1, ... 0.95 and joints. For the ``visible`` and the
        ``missing`` joints: their ``mean``, ``worst``, radii, ``calibration error``, number of ``observations``, and
        the coverage of ``thirds``: of the poses in which the lifter's own radius of a joint is smallest, middle and
        largest; or nothing if there are none.

    Raises:
        InputError: a level that the plain distances were not measured at or that the recalibration does not reach, or
            no known joint.
    """
    if recalibration is None and level not in distances.levels:
        raise InputError(f"level: expected one of {', '.join(f'{q:g}' for q in distances.levels)}, got {level!r}")
    if not bool(distances.observed.any()):
        raise InputError("no joint of these poses is known: coverage cannot be measured")
    seen, exists = distances.visible, distances.observed
    if recalibration is None:
        i = distances.levels.index(level)
        radius, pose_radius = distances.radius[i], distances.pose_scale[i].unsqueeze(-1) * distances.shape
    else:
        radius, pose_radius = recalibration.radii(level, seen, distances.shape)
    inside = distances.error <= radius
    whole = (distances.error <= pose_radius).all(-1)
    known = exists.any(-1)

    def summary(counted: Tensor) -> dict[str, Any]:
        if not bool(counted.any()):
            return {}
        shares = [share for share in _share(inside, counted) if not math.isnan(share)]
        return {
            "mean": round(sum(shares) / len(shares), 4),
            "worst": round(_farthest(shares, level), 4),
            "thirds": _thirds(inside, counted, distances.shape),
            "radius": round(1000 * float(radius[counted].median()), 1),
            "mean radius": round(1000 * float(radius[counted].mean()), 1),
            "calibration error": round(_calibration_error(distances, recalibration, counted), 4),
            "observations": int(counted.sum()),
        }

    per_joint = zip(distances.skeleton.joints, _share(inside, exists), strict=True)
    group = missing_group(seen)
    poses = {name: whole[known & (group == g)] for g, name in enumerate(MISSING_GROUPS)}
    return {
        "level": level,
        "poses": int(known.sum()),
        "calibrated": recalibration is not None,
        "per joint": {name: round(share, 4) for name, share in per_joint if not math.isnan(share)},
        **{k: v for k, v in summary(exists).items() if k not in ("observations", "thirds")},
        "visible": summary(seen & exists),
        "missing": summary(~seen & exists),
        "pose": round(float(whole[known].float().mean()), 4),
        "pose radius": round(1000 * float(pose_radius[exists].mean()), 1),
        "pose by missing": {name: round(float(w.float().mean()), 4) for name, w in poses.items() if len(w)},
    }
