"""Length units of motion files, found by the length of a leg."""

from __future__ import annotations

import numpy as np

from ...files.checks import quote
from ...files.errors import InputError

__all__ = [
    "LEG",
    "UNITS",
    "check_leg",
    "metres_in",
    "unit_that_fits",
    "usual_unit",
]

#: Metres in a unit.
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
#: The usual CMU release is in units of 1/0.45 inch.
CMU_UNIT = 0.0254 / 0.45
#: Hip to ankle along the bones, metres, of nearly all adults and most children above ten.
LEG = (0.65, 1.05)
_USUAL_LEG = 0.85

_NAMED = {**{value: name for name, value in UNITS.items()}, CMU_UNIT: "1/0.45 inch, the usual CMU release", 0.1: "dm"}


def metres_in(unit: str | float) -> float:
    """Metres in a unit that is named, or given as a number.

    Raises:
        InputError: an unknown name, or no positive number.
    """
    if isinstance(unit, str):
        if unit in UNITS:
            return UNITS[unit]
        try:
            unit = float(unit)
        except ValueError:
            raise InputError(
                f"unknown length unit {quote(unit)}; known: {', '.join(UNITS)}, or metres in one unit"
            ) from None
    if not (isinstance(unit, (int, float)) and np.isfinite(unit) and unit > 0):
        raise InputError(f"units is {unit}; expected a positive number of metres in one unit")
    return float(unit)


def usual_unit(leg: float) -> tuple[float, str] | None:
    """The usual unit, and its name, in which a leg of that many units is a body's; at most one is."""
    return next(((value, name) for value, name in _NAMED.items() if LEG[0] <= leg * value <= LEG[1]), None)


def unit_that_fits(leg: float) -> str:
    """What to pass as ``--units`` for a leg of that many units, as part of a message."""
    usual = usual_unit(leg)
    if usual is not None:
        value, name = usual
        return f"--units {name if name in UNITS else f'{value:.6g} ({name})'} makes it {leg * value:.3g} m"
    return f"no usual unit fits; --units {_USUAL_LEG / leg:.3g} makes it {_USUAL_LEG} m, as in most adults"


def leg_unit(leg: float) -> float:
    """Metres in one unit if a leg of that many units is an adult's usual one."""
    return _USUAL_LEG / leg


def check_leg(leg: float, scale: float, any_size: bool = False) -> None:
    """Refuse a body whose leg, ``leg`` units of ``scale`` metres, no person has.

    Raises:
        InputError: it is outside `LEG` (with ``any_size``: outside 0.05 to 5 m), names the unit that fits.
    """
    length = leg * scale
    least, most = (0.05, 5.0) if any_size else LEG
    if not least <= length <= most:
        told = unit_that_fits(leg) if np.isfinite(leg) and leg > 0 else "its bones have no length"
        size = "" if any_size or not 0.25 <= length <= 1.6 else "; or --any-size if this body is that small or large"
        raise InputError(
            f"the left leg is {length:.3g} m long (hip, knee, ankle; a body's is {least:g} to {most:g}); the unit "
            f"is wrong: {told}; --units takes {', '.join(UNITS)} or metres in one unit{size}"
        )
