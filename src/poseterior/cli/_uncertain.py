"""Numbers with their uncertainty, as `poseterior evaluate` and `poseterior bench` print them alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["explained", "plus_minus"]


def plus_minus(unit: Mapping[str, Any], name: str, value: float | None, digits: int, scale: float = 1.0) -> str:
    """The value and, where its uncertainty is known, half of its 95 % interval: ``36.0 ±7.2``.

    Args:
        unit: of a benchmark, or a result of `poseterior.evaluation.evaluate`.
        name: in its ``uncertainty``.
        value: times ``scale`` already; a dash for None.
        digits: after the point.
        scale: of the half width.
    """
    if value is None:
        return "–"
    width = unit.get("uncertainty", {}).get("half width", {}).get(name)
    return f"{value:.{digits}f}" + ("" if width is None else f" ±{scale * width:.{digits}f}")


def explained(unit: Mapping[str, Any]) -> str:
    """What ± means."""
    found = unit.get("uncertainty")
    if not found:
        return "no ±: poses of one clip do not tell how clips differ"
    return (
        f"±: half of the 95 % interval, by the bootstrap over {found['groups']} {found['of']}; two lifters on the same "
        "poses may differ for certain though their intervals overlap (poseterior bench compares them in pairs)"
    )
