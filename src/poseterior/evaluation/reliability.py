"""How calibrated and how sharp the answers of one pass are: the sections of its numbers that say so.

Each function is a section of a unit of ``bench.json`` (docs/benchmark.md), JSON-ready; empty where it cannot be
measured. Radii in millimetres.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..files.errors import InputError
from ..metrics import diagnostics
from ..metrics.calibration import LEVELS, calibration_error, calibration_floor, published_error
from ..metrics.resampling import effective_number
from .checks import bar_factor
from .collect import REGION_LEVEL, Collected

__all__ = [
    "LIMB_JOINTS", "bars", "calibration", "density_coverage", "floor", "floor_of", "region", "rounded", "sbc",
    "sharpness", "tarp",
]  # fmt: skip

#: Joints on which data sets agree best; the signed calibration error across data sets is read on these.
LIMB_JOINTS = ("shoulder", "elbow", "wrist", "knee", "ankle")


@lru_cache(maxsize=256)
def floor(poses: int, samples: int) -> dict[str, float]:
    """What a right distribution scores by chance with so many independent poses."""
    return {name: round(value, 4) for name, value in asdict(calibration_floor(poses, samples)).items()}


def floor_of(found: Collected, counted: Tensor) -> dict[str, Any]:
    """What a right distribution scores with as many independent poses as these count for.

    Nothing where no joint counts in two clips: how a joint's clips differ is then not known.
    """
    group, _, _ = found.groups
    ranks, counted = found["ranks"][:, found.joints], counted[:, found.joints]
    if not any(len(group[known].unique()) > 1 for known in (counted & ~ranks.isnan()).unbind(-1)):
        return {}
    used = counted.any(-1)
    # Two digits: more would be simulated for nothing.
    independent = float(f"{max(1.0, effective_number(ranks[used], group[used], counted[used])):.2g}")
    return {"floor": floor(round(independent), found.samples)["mean"], "independent": round(independent)}


def calibration(found: Collected) -> dict[str, Any]:
    """How often joints one by one are in their intervals: all of them, the visible and the missing ones."""
    limbs = [j for j in found.joints if found.skeleton.joints[j].endswith(LIMB_JOINTS)]
    inside = found["inside"].movedim(0, 1)  # (levels, poses, joints)
    result: dict[str, Any] = {}
    for name, counted in ({"all": found["valid"]} | _groups(found)).items():
        errors = calibration_error(found["ranks"], counted)
        seen = [j for j in found.joints if errors.count[j] > 0]
        if not seen:
            result[name] = {}
            continue
        seen_limbs = [j for j in limbs if errors.count[j] > 0]
        result[name] = {
            "mean": round(errors.mean(seen), 4),
            "worst": round(errors.worst(seen), 4),
            "signed": round(errors.mean_signed(seen), 4),
            "signed limbs": round(errors.mean_signed(seen_limbs), 4) if seen_limbs else None,
            "observations": int(errors.count[seen].sum()),
            **floor_of(found, counted),
            "published": round(published_error(inside, counted, seen), 4),
            "levels": rounded(torch.tensor(LEVELS)),
            "coverage": rounded(errors.coverage[:, seen].mean(-1), 4),
        }
    return result


def _curve(coverage: diagnostics.Coverage) -> dict[str, Any]:
    return {
        "levels": rounded(coverage.levels),
        "coverage": rounded(coverage.coverage, 4),
        "error": round(coverage.error, 4),
        "signed": round(coverage.signed, 4),
        "low": rounded(coverage.low, 4),
        "high": rounded(coverage.high, 4),
        "inside": coverage.inside,
    }


def _of_several_clips(found: Collected, ranks: Tensor) -> bool:
    """Whether these ranks tell anything about how clips differ."""
    known = ~ranks.isnan()
    return bool(known.any()) and len(found.groups[0][known].unique()) > 1


def density_coverage(found: Collected) -> dict[str, Any]:
    """How often whole poses are in regions of highest density, where there is a density."""
    if "density ranks" not in found or not _of_several_clips(found, found["density ranks"]):
        return {}
    ranks = found["density ranks"]
    return _curve(diagnostics.expected_coverage(ranks, found.groups[0])) | {"poses": int((~ranks.isnan()).sum())}


def tarp(found: Collected) -> dict[str, Any]:
    """How often whole poses are in balls around poses of other clips."""
    if not _of_several_clips(found, found["TARP"]):
        return {}
    return _curve(diagnostics.tarp(found["TARP"], found.groups[0]))


def sbc(found: Collected) -> dict[str, Any]:
    """Where the truth ranks among the hypotheses, by quantities with a name."""
    ranks = found.starting("SBC: ")
    try:
        test = diagnostics.sbc(ranks, found.groups[0])
    except InputError:  # too few poses, or all of one clip
        return {}
    histograms = {name: _histogram(values) for name, values in ranks.items() if name in test.p_values}
    return {
        "p values": {name: float(f"{value:.3g}") for name, value in test.p_values.items()},
        "smallest": float(f"{test.smallest:.3g}"),
        "level": float(f"{test.level:.3g}"),
        "uniform": test.uniform,
        "independent": {name: round(count) for name, count in test.effective.items()},
        "histograms": histograms,
    }


def _histogram(ranks: Tensor) -> list[int]:
    """How many ranks are in each twentieth of 0 to 1."""
    return torch.histc(ranks[~ranks.isnan()].float(), 20, 0.0, 1.0).int().tolist()


def _groups(found: Collected) -> dict[str, Tensor]:
    """Joints that exist in the truth, by whether they were seen: ``(poses, joints)``."""
    return {"visible": found["valid"] & found["visible"], "missing": found["valid"] & ~found["visible"]}


def sharpness(found: Collected) -> dict[str, float]:
    """Median 90 % radius."""
    joints = found.joints
    radius = found["radius"][:, joints]
    rows = {name: float(radius[g[:, joints]].median()) for name, g in _groups(found).items() if g[:, joints].any()}
    if len(rows) == 2:
        rows["ratio"] = rows["missing"] / max(rows["visible"], 1e-6)
    return {name: round(value, 2) for name, value in rows.items()}


def bars(found: Collected) -> dict[str, float]:
    """How many times as long the 90 % radii would have to be."""
    joints = found.joints
    distance, radius = found["from centre"][:, joints], found["radius"][:, joints]
    groups = {name: group[:, joints] for name, group in _groups(found).items()}
    return {n: round(bar_factor(distance, radius, g), 3) for n, g in groups.items() if g.any()}


def region(found: Collected) -> dict[str, Any]:
    """How often the regions that a person reads hold each joint and the whole pose, and how large they are."""
    joints, valid, inside = found.joints, found["valid"], found["region inside"]
    share = {
        found.skeleton.joints[j]: round(float(inside[valid[:, j], j].float().mean()), 4)
        for j in joints
        if bool(valid[:, j].any())
    }
    kept = valid[:, joints]
    groups = {
        n: inside[:, joints][g[:, joints]].float().mean() for n, g in _groups(found).items() if g[:, joints].any()
    }
    return {
        "level": REGION_LEVEL,
        "calibrated": bool(found["region calibrated"].all()),
        "per joint": share,
        "mean": round(sum(share.values()) / len(share), 4),
        "worst": max(share.values(), key=lambda value: abs(value - REGION_LEVEL)),
        "pose": round(float(found["region pose"].float().mean()), 4),
        "radius": round(float(found["region radius"][:, joints][kept].median()), 2),
    } | {name: round(float(value), 4) for name, value in groups.items()}


def rounded(values: Tensor, digits: int = 2) -> list[float]:
    """For JSON."""
    return [round(float(value), digits) for value in values]
