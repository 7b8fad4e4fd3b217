"""A benchmark's result as the report reads it: units by protocol and lifter, and who is better for certain."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...evaluation.run import FORMAT
from ...files.errors import InputError
from .figures import Measure, Unit, number

__all__ = [
    "BAD_CALIBRATION",
    "GOOD_CALIBRATION",
    "MAIN",
    "MASKS",
    "Bench",
    "Results",
    "at",
    "best_of",
    "best_of_name",
    "calibration_error",
    "decided",
    "is_bad",
    "leaders",
    "listing",
    "noise",
]

Results = Mapping[str, Any]
#: Groups of protocols.
MAIN, MASKS = "main", "masks"
#: Mean calibration errors above this are marked: such error bars mislead.
BAD_CALIBRATION = 0.1
#: Below this a calibration error is too small to speak of a direction.
GOOD_CALIBRATION = 0.03


class Bench:
    """Units by protocol and lifter.

    Attributes:
        results: from `poseterior.evaluation.run.run_benchmark`, or its ``bench.json`` read back.
        lifters, protocols: what is known of each, by name.
        units: units of a protocol by lifter, in the lifters' order, so that colours come in that order too.
        main: the main protocols that were measured; where there is none, the first one stands for them.

    Raises:
        InputError: results of another format, without units, or with a unit of an unknown lifter or protocol.
    """

    def __init__(self, results: Results) -> None:
        _check(results)
        self.results = results
        self.lifters: dict[str, Any] = dict(results["lifters"])
        self.protocols: dict[str, Any] = dict(results["protocols"])
        self.skeleton: Mapping[str, Any] = results["skeleton"]
        self.units: dict[str, dict[str, Unit]] = {name: {} for name in self.protocols}
        order = {name: i for i, name in enumerate(self.lifters)}
        for unit in sorted(results["units"], key=lambda unit: order[unit["lifter"]]):
            self.units[unit["protocol"]][unit["lifter"]] = unit
        measured = [name for name in self.protocols if self.units[name]]
        self.main = [name for name in measured if self.protocols[name]["group"] == MAIN] or measured[:1]

    def ranked(self, protocol: str) -> list[str]:
        """Lifters by energy score; those without come last."""
        units = self.units[protocol]
        scores = {lifter: number(unit, "scores", "energy score") for lifter, unit in units.items()}
        return sorted(units, key=lambda lifter: math.inf if (score := scores[lifter]) is None else score)

    def group(self, group: str) -> list[str]:
        """Names of the group's protocols."""
        return [name for name, protocol in self.protocols.items() if protocol["group"] == group]

    def label(self, protocol: str) -> str:
        """Protocols of a sweep are labelled by their value only, which says little outside of it."""
        about = self.protocols[protocol]
        return str(protocol if about["group"] != MAIN else about.get("label", protocol))

    def compared(self, protocol: str, statistic: str) -> Sequence[Sequence[Any]]:
        """Rows of `poseterior.evaluation.uncertainty.compare`; none where lifters were not compared."""
        found = self.results.get("comparisons", {}).get(protocol, {}).get(statistic, ())
        return found if isinstance(found, Sequence) else ()


def _check(results: Results) -> None:
    if results.get("format") != FORMAT:
        raise InputError(
            f"format: expected {FORMAT!r}, got {results.get('format')!r}; make the results with `poseterior bench`"
        )
    if not results.get("units"):
        raise InputError("the results have no 'units': nothing was measured; run `poseterior bench` again")
    for unit in results["units"]:
        for key in ("lifter", "protocol"):
            if unit.get(key) not in results[f"{key}s"]:
                known = ", ".join(results[f"{key}s"])
                raise InputError(f"units: the {key} {unit.get(key)!r} is not among the {key}s; known: {known}")


# -- who is better ---------------------------------------------------------------------------------------------


def decided(rows: Sequence[Sequence[Any]], better: str, worse: str) -> bool:
    """Whether the paired comparison says for certain that one lifter is better than the other."""
    for a, b, difference, half in rows:
        if (a, b) == (better, worse):
            return bool(difference > half)
        if (a, b) == (worse, better):
            return bool(-difference > half)
    return False


def leaders(rows: Sequence[Sequence[Any]], badness: Mapping[str, float]) -> tuple[str, ...]:
    """The best lifter, and those that it is not better than for certain; empty where there is nobody to compare with.

    Args:
        rows: of the comparison.
        badness: of each lifter, the smaller the better.
    """
    if len(badness) < 2:
        return ()
    best = min(badness, key=lambda lifter: badness[lifter])
    return (best, *(other for other in badness if other != best and not decided(rows, best, other)))


# -- numbers of a unit -----------------------------------------------------------------------------------------


def at(*keys: str) -> Measure:
    """The number at these keys."""
    return lambda unit: number(unit, *keys)


def noise(unit: Unit, part: str) -> float:
    """What a perfect distribution might score with as few observations as the part has, and a little more."""
    return 1.2 * (number(unit, "calibration", part, "floor") or 0.0)


def calibration_error(unit: Unit) -> float | None:
    """Mean calibration error of all joints, or of the worse of the two classes."""
    found = number(unit, "calibration", "all", "mean")
    if found is not None:
        return found
    classes = [number(unit, "calibration", part, "mean") for part in ("visible", "missing")]
    return max((error for error in classes if error is not None), default=None)


def is_bad(unit: Unit) -> bool:
    """Whether the error bars mislead."""
    return (calibration_error(unit) or 0.0) > BAD_CALIBRATION


def best_of_name(unit: Unit) -> str:
    """What the unit calls the best of its hypotheses."""
    return next((name for name in unit.get("estimates", {}) if name.startswith("best of")), "")


def best_of(unit: Unit) -> float | None:
    """MPJPE of the best of the hypotheses."""
    return number(unit, "estimates", best_of_name(unit), "MPJPE")


def listing(names: Iterable[str]) -> str:
    """Names with commas and "and"."""
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}" if found else ""
