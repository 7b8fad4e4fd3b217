"""Intervals that hold an angle with a given probability, and the recalibration that makes them right.

Angles go round, so their centre is the circular median of samples, and an interval reaches from it by degrees that
the samples have below and above. As regions of joints (`poseterior.distributions.regions`) are, an interval is a
multiple of one *spread*: the samples' central 90 %, below and above apart. An `AngleRecalibration` holds that multiple
for each angle, for levels, and for whether all joints that tell the angle were seen: the
split-conformal quantile of

    the truth's distance from the centre / the spread on the truth's side

on observations with known poses (`poseterior.evaluation.angles`). On new poses of the same kind the interval at a level
q of the table holds its angle with probability q to q + 1 / (n + 1), whatever the lifter; between two levels with a
probability between theirs. Intervals of one angle are nested.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError

__all__ = [
    "ANGLE_LEVELS",
    "FEWEST_SAMPLES",
    "AngleRecalibration",
    "Spread",
    "spread_of_angles",
    "wrapped",
]

#: Levels at which recalibrations of angles are fitted; those between are interpolated.
ANGLE_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
#: Samples that calibrated intervals need: fewer do not reach the outer twentieths of what is fitted with 200.
FEWEST_SAMPLES = 40
_SPREAD_LEVEL = 0.9
#: Least spread, degrees, so that a point mass has something to be multiplied.
_FLOOR = 0.1


def wrapped(angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Degrees from -180 up to 180."""
    return (angle + 180.0) % 360.0 - 180.0


class Spread(NamedTuple):
    """What samples of angles say by themselves, degrees.

    Attributes:
        centre: ``(*batch, angles)`` the circular median.
        below, above: ``(*batch, angles)`` how far the central share of the samples reaches, at least 0.1.
    """

    centre: Tensor
    below: Tensor
    above: Tensor


def spread_of_angles(samples: Float[Tensor, "samples *batch angles"], level: float = _SPREAD_LEVEL) -> Spread:
    """The circular median of angles, and how far their central ``level`` reaches; NaN where a sample is."""
    radians = torch.deg2rad(samples)
    middle = torch.rad2deg(torch.atan2(radians.sin().mean(0), radians.cos().mean(0)))
    around = wrapped(samples - middle).sort(0).values
    low, median, high = (_quantile(around, q) for q in ((1.0 - level) / 2, 0.5, (1.0 + level) / 2))
    return Spread(wrapped(middle + median), (median - low).clamp(min=_FLOOR), (high - median).clamp(min=_FLOOR))


def _quantile(ordered: Tensor, share: float) -> Tensor:
    # A further draw is below the k-th of n with probability k / (n + 1): so the answer does not depend on n.
    at = min(max(share * (len(ordered) + 1) - 1.0, 0.0), len(ordered) - 1.0)
    below = int(at)
    return torch.lerp(ordered[below], ordered[min(below + 1, len(ordered) - 1)], at - below)


@dataclasses.dataclass(frozen=True)
class AngleRecalibration:
    """What makes intervals of angles hold the truth as often as they say (see the module).

    Attributes:
        angles: names.
        levels: rising.
        visible: of angles all of whose joints were seen: for each angle one multiple of the spread a level, never
            falling.
        missing: the same of angles of which some joint was not seen.
    """

    angles: tuple[str, ...]
    levels: tuple[float, ...]
    visible: tuple[tuple[float, ...], ...]
    missing: tuple[tuple[float, ...], ...]

    def factors(
        self, level: float, seen: Bool[Tensor, "*batch angles"], names: Sequence[str]
    ) -> Float[Tensor, "*batch angles"]:
        """Multiples of the spread.

        Args:
            level: probability; below the first of the table the first counts.
            seen: angles all of whose joints were seen.
            names: of the angles.

        Raises:
            InputError: a level above the last of the table, or an angle that it does not have.
        """
        if level > self.levels[-1]:
            raise InputError(
                f"level {level:g}: the angles of this lifter are calibrated for levels up to {self.levels[-1]:g}; "
                "ask for one of these"
            )
        unknown = [name for name in names if name not in self.angles]
        if unknown:
            raise InputError(f"angles: {unknown[0]!r} was not calibrated; known: {', '.join(self.angles)}")
        rows = [self.angles.index(name) for name in names]
        visible, missing = torch.tensor(
            [[self._at(level, table[row]) for row in rows] for table in (self.visible, self.missing)],
            dtype=torch.float64, device=seen.device,
        )  # fmt: skip
        return torch.where(seen, visible, missing)

    def _at(self, level: float, row: Sequence[float]) -> float:
        above = bisect.bisect_left(self.levels, level)
        if above == 0:
            return row[0]
        share = (level - self.levels[above - 1]) / (self.levels[above] - self.levels[above - 1])
        return min(row[above - 1] + share * (row[above] - row[above - 1]), row[above])

    def wider(self, other: AngleRecalibration) -> AngleRecalibration | None:
        """The larger factor of both in every place; None where they are of other angles or levels."""
        if (self.angles, self.levels) != (other.angles, other.levels):
            return None

        def larger(ours: tuple[tuple[float, ...], ...], theirs: tuple[tuple[float, ...], ...]) -> Any:
            return tuple(tuple(map(max, *rows)) for rows in zip(ours, theirs, strict=True))

        return dataclasses.replace(
            self, visible=larger(self.visible, other.visible), missing=larger(self.missing, other.missing)
        )

    def to_json(self) -> str:
        """One line, as results keep it."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @cached_property
    def text(self) -> str:
        """`to_json`, made once: every part of a long result asks for it."""
        return self.to_json()

    @classmethod
    def from_json(cls, text: str, source: str = "angle_calibration") -> AngleRecalibration:
        """Read what `to_json` wrote.

        Raises:
            InputError: not JSON, or a field that is missing or wrong; names ``source`` and field.
        """
        try:
            saved = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{source}: not readable as JSON ({error}); lift again") from None
        return cls.from_fields(saved, source)

    @classmethod
    def from_fields(cls, saved: Any, source: str) -> AngleRecalibration:
        """Read what is in an object of JSON.

        Raises:
            InputError: as `from_json`.
        """

        def refuse(field: str, expected: str) -> InputError:
            remedy = "make it anew with `poseterior calibrate`"
            return InputError(f"{source}: field {field!r}: expected {expected}; {remedy}")

        fields: dict[str, Any] = saved if isinstance(saved, dict) else {}
        angles, levels = fields.get("angles"), fields.get("levels")
        if not isinstance(angles, list) or not 0 < len(angles) < 100 or not all(isinstance(a, str) for a in angles):
            raise refuse("angles", "names")
        if not isinstance(levels, list) or not _rising(levels, 1.0) or levels != sorted(set(levels)):
            raise refuse("levels", "rising numbers above 0 and below 1")
        tables = []
        for name in ("visible", "missing"):
            rows = fields.get(name)
            if not isinstance(rows, list) or len(rows) != len(angles):
                raise refuse(name, "a row for each angle")
            for angle, row in zip(angles, rows, strict=True):
                if not _rising(row, 1e9) or len(row) != len(levels):
                    raise refuse(f"{name}.{angle}", f"numbers above 0 that do not fall, {len(levels)} of them")
            tables.append(tuple(tuple(float(v) for v in row) for row in rows))
        return cls(tuple(angles), tuple(float(v) for v in levels), *tables)


def _rising(values: Any, bound: float) -> bool:
    """Whether it is a list of numbers above 0, below a bound, that do not fall."""
    numbers = isinstance(values, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return bool(numbers and values and all(0 < v < bound for v in values) and values == sorted(values))
