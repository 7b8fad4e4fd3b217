"""The tables of a benchmark's report: what stands in them, how it is printed, and what is bold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .figures import Measure, Unit, number
from .findings import ALIKE_TIMES
from .results import (
    GOOD_CALIBRATION,
    Bench,
    at,
    best_of,
    best_of_name,
    calibration_error,
    is_bad,
    leaders,
    noise,
)

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = [
    "ENERGY",
    "LEAGUE",
    "MISSING",
    "Cell",
    "Column",
    "Row",
    "Swatches",
    "Table",
    "answers",
    "full",
    "joint_table",
    "league",
    "novelty_table",
    "overview",
]

#: Stands where nothing was measured.
MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: what is shown.
        value: what it sorts by.
        plus_minus: half of its 95 % interval, as it is shown.
        standing: ``"best"`` beyond chance, ``"level"`` with the best, ``"oracle"``, or nothing.
        note: a word beneath.
    """

    text: str
    value: float | None = None
    plus_minus: str = ""
    standing: str = ""
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A row with its head; ``swatch`` is the picture of a lifter, ``mark`` a warning beside its name."""

    head: str
    cells: tuple[Cell, ...]
    swatch: Markup | str = ""
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption; ``groups`` are ``(title, columns)`` above the column heads."""

    caption: str
    head: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    groups: tuple[tuple[str, int], ...] = ()
    sortable: bool = True


@dataclass(frozen=True)
class Column:
    """A column of the league table.

    Attributes:
        group, title, help: what is printed above it, and its meaning.
        measure: its number of a unit.
        text: how the number is printed.
        statistic: its name among `poseterior.evaluation.uncertainty.STATISTICS`; empty: its uncertainty is not known.
        target: the best value is the nearest to this; None: no value is best.
        oracle: looks at the truth.
        honest: bought cheaply by lifters whose error bars are wrong, so that those are never best.
        timed: values within a fifth of the best are as good.
        note: a word beneath the number.
    """

    group: str
    title: str
    help: str
    measure: Measure
    text: Callable[[float], str]
    statistic: str = ""
    target: float | None = -math.inf
    oracle: bool = False
    honest: bool = False
    timed: bool = False
    note: Callable[[Unit], str] | None = None


def _millimetres(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def _share(value: float) -> str:
    return f"{100 * value:.1f}"


def _milliseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _decimals(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{digits}f}" if abs(value) < 100 else f"{value:,.0f}"


def _direction(part: str) -> Callable[[Unit], str]:
    """The sign of a calibration error in a word."""

    def word(unit: Unit) -> str:
        error, signed = number(unit, "calibration", part, "mean"), number(unit, "calibration", part, "signed")
        if error is None or signed is None:
            return ""
        if error <= GOOD_CALIBRATION:
            return "calibrated"
        return "within noise" if error <= noise(unit, part) else _side(error, signed)

    return word


def _side(error: float, signed: float) -> str:
    if abs(signed) < 0.5 * error:
        return "mixed"
    return "over-confident" if signed > 0 else "under-confident"


def _whole_pose(unit: Unit) -> str:
    """What the coverage of the whole pose's regions means, in a word."""
    error, signed = number(unit, "density coverage", "error"), number(unit, "density coverage", "signed")
    if error is None or signed is None:
        return ""
    return "within noise" if unit["density coverage"].get("inside") else _side(error, signed)


def _quantities_off(unit: Unit) -> float | None:
    """How many of the named quantities are wrong beyond chance."""
    sbc = unit.get("SBC", {})
    return float(sum(p < sbc["level"] for p in sbc["p values"].values())) if sbc.get("p values") else None


ENERGY = Column(
    "proper scores", "energy (mm)", "energy score: accuracy and honesty in one number; the table is ranked by it",
    at("scores", "energy score"), _millimetres, "energy score",
)  # fmt: skip
_MEAN, _COVERAGE, _SIZE = "one answer: the mean (mm)", "90 % regions: truth inside (%)", "size of the answer (mm)"
_JOINTS, _POSE, _BODIES = "calibration error per joint", "whole pose", "bodies"
LEAGUE = (
    ENERGY,
    Column("proper scores", "NLL (nats)", "negative log-density of the truth per dimension; lower is better",
           at("scores", "NLL"), _decimals(2), "NLL"),
    Column(_MEAN, "MPJPE", "mean distance of the joints", at("estimates", "mean", "MPJPE"), _millimetres, "MPJPE"),
    Column(_MEAN, "P-MPJPE", "the same after similarity alignment", at("estimates", "mean", "P-MPJPE"), _millimetres,
           "P-MPJPE"),
    Column("oracle (mm)", "best of N", "the hypothesis nearest to the truth: nobody can pick it in use", best_of,
           _millimetres, "best MPJPE", None, oracle=True),
    Column(_JOINTS, "visible joints", "0 is perfect, 0.5 the worst", at("calibration", "visible", "mean"), _decimals(3),
           "calibration, visible", note=_direction("visible")),
    Column(_JOINTS, "missing joints", "0 is perfect, 0.5 the worst", at("calibration", "missing", "mean"), _decimals(3),
           "calibration, missing", note=_direction("missing")),
    Column(_POSE, "density coverage error", "of regions of highest density; 0 is perfect, 0.5 the worst",
           at("density coverage", "error"), _decimals(3), "density coverage", note=_whole_pose),
    Column(_POSE, "quantities off", "how many of twelve named quantities are wrong beyond chance (SBC)",
           _quantities_off, _decimals(0), target=None),
    Column(_COVERAGE, "joints", "mean over the joints; should be 90", at("region", "mean"), _share, "region", 0.9),
    Column(_COVERAGE, "worst joint", "the joint farthest from 90", at("region", "worst"), _share, "region, worst joint",
           0.9),
    Column(_COVERAGE, "whole pose", "all joints at once; should be 90", at("region", "pose"), _share,
           "region, whole pose", 0.9),
    Column(_SIZE, "90 % radius", "median size of the error bars; small is good only if calibrated",
           at("region", "radius"), _millimetres, "region radius", honest=True),
    Column(_SIZE, "bone spread", "how much the hypotheses disagree about the length of a bone",
           at("plausibility", "bone spread"), _millimetres, "bone spread", honest=True),
    Column(_BODIES, "beyond joint limits (%)", "of what anatomy forbids, over the hypotheses",
           at("plausibility", "joint limits"), _decimals(2), "joint limits"),
    Column(_BODIES, "depth order right (%)", "joint pairs of which the mean knows the nearer one",
           at("depth order", "accuracy"), _share, "depth order", math.inf),
    Column("cost", "ms per pose", "lifting and drawing the hypotheses, on this machine",
           at("cost", "milliseconds per pose"), _milliseconds, timed=True),
)  # fmt: skip


def _column_cells(column: Column, units: Mapping[str, Unit], rows: Sequence[Sequence[Any]]) -> dict[str, Cell]:
    """The column's cells by lifter; best is who is better than every other beyond the paired comparison's interval."""
    values = {lifter: column.measure(unit) for lifter, unit in units.items()}
    able = {
        lifter: _badness(value, column.target)
        for lifter, value in values.items()
        if column.target is not None and value is not None and not (column.honest and is_bad(units[lifter]))
    }
    first = leaders(rows, able) if column.statistic else ()
    if column.timed and len(able) > 1:
        first = tuple(lifter for lifter, value in able.items() if value <= ALIKE_TIMES * min(able.values()))
    standing = dict.fromkeys(first, "best" if len(first) == 1 else "level") if len(first) < len(able) else {}
    return {
        lifter: Cell(MISSING)
        if value is None
        else Cell(
            column.text(value),
            value,
            _plus_minus(column, units[lifter]),
            "oracle" if column.oracle else standing.get(lifter, ""),
            column.note(units[lifter]) if column.note else "",
        )
        for lifter, value in values.items()
    }


def _badness(value: float, target: float | None) -> float:
    """The smaller the better."""
    if target is None or math.isinf(target):
        return -value if target == math.inf else value
    return abs(value - target)


def _plus_minus(column: Column, unit: Unit) -> str:
    half = number(unit, "uncertainty", "half width", column.statistic) if column.statistic else None
    return "" if half is None else f"±{column.text(half)}"


def _flatten(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, float]]:
    """Every single number below ``value``: path, text, number. Lists (curves) are drawn elsewhere."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, (*path, str(key)))
    elif isinstance(value, bool):
        yield path, "yes" if value else "no", float(value)
    elif isinstance(value, int | float) and math.isfinite(value):
        yield (
            path,
            f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}",
            value,
        )


# -- the tables ------------------------------------------------------------------------------------------------

Swatches = Mapping[str, "Markup | str"]


def _row(lifter: str, cells: Sequence[Cell], swatches: Swatches, unit: Unit | None = None) -> Row:
    mark = "badly calibrated" if unit is not None and is_bad(unit) else ""
    return Row(lifter, tuple(cells), swatches[lifter], mark)


def overview(bench: Bench, swatches: Swatches) -> Table | None:
    """Energy scores of all main protocols side by side; None for a single protocol."""
    if len(bench.main) < 2:
        return None
    columns = []
    for protocol in bench.main:
        units = {lifter: bench.units[protocol].get(lifter, {}) for lifter in bench.lifters}
        cells = _column_cells(ENERGY, units, bench.compared(protocol, ENERGY.statistic))
        errors = {lifter: calibration_error(unit) for lifter, unit in units.items()}
        columns.append(
            {
                lifter: replace(cell, note="" if errors[lifter] is None else f"calibration {errors[lifter]:.2f}")
                for lifter, cell in cells.items()
            }
        )
    rows = tuple(_row(lifter, [column[lifter] for column in columns], swatches) for lifter in bench.lifters)
    heads = tuple((bench.label(name), bench.protocols[name].get("description", "")) for name in bench.main)
    caption = "Energy score (mm, lower is better) on every main protocol, with the calibration error beneath"
    return Table(caption, "lifter", heads, rows)


def league(bench: Bench, protocol: str, swatches: Swatches) -> Table:
    """Every lifter on one protocol, the best energy score first."""
    units = {lifter: bench.units[protocol][lifter] for lifter in bench.ranked(protocol)}
    columns = [_column_cells(column, units, bench.compared(protocol, column.statistic)) for column in LEAGUE]
    names = {best_of_name(unit) for unit in units.values()} - {""}
    oracle = names.pop() if len(names) == 1 else "best of N"
    heads = tuple((oracle if column.oracle else column.title, column.help) for column in LEAGUE)
    rows = tuple(_row(lifter, [column[lifter] for column in columns], swatches, unit) for lifter, unit in units.items())
    groups = [column.group for column in LEAGUE]
    spans = tuple((group, groups.count(group)) for group in dict.fromkeys(groups))
    poses = bench.protocols[protocol].get("poses", "?")
    caption = f"League table of {bench.label(protocol)}, {poses} poses, best energy score first"
    return Table(caption, "lifter", heads, rows, spans)


def answers(bench: Bench, protocol: str, swatches: Swatches) -> Table | None:
    """Every way of making one pose of many hypotheses."""
    units = {lifter: bench.units[protocol][lifter] for lifter in bench.ranked(protocol)}
    oracles = {name for unit in units.values() for name in unit.get("oracles", ())}
    names = list(dict.fromkeys(name for unit in units.values() for name in unit.get("estimates", {})))
    names.sort(key=lambda name: name in oracles)
    columns, heads = [], []
    for name in names:
        for metric in ("MPJPE", "P-MPJPE"):
            oracle = name in oracles
            statistic = {"mean": metric}.get(name, f"{name}: {metric}")
            statistic = f"best {metric}" if name.startswith("best of") else statistic
            column = Column(
                "", metric, "", at("estimates", name, metric), _millimetres, statistic, None if oracle else -math.inf,
                oracle,
            )  # fmt: skip
            columns.append(_column_cells(column, units, bench.compared(protocol, statistic)))
            heads.append((metric, f"{metric} of {name}"))
    if not columns:
        return None
    rows = tuple(_row(lifter, [column[lifter] for column in columns], swatches) for lifter in units)
    spans = tuple((f"{name}{' (oracle)' if name in oracles else ''}{_subset(units, name)}", 2) for name in names)
    return Table(f"Other single answers on {bench.label(protocol)} (mm)", "lifter", tuple(heads), rows, spans)


def _subset(units: Mapping[str, Unit], estimate: str) -> str:
    """A remark where an estimate was made for some poses only."""
    counts = {number(unit, "estimates", estimate, "poses") for unit in units.values()} - {None}
    return f", {max(count for count in counts if count is not None):.0f} poses only" if counts else ""


def joint_table(bench: Bench, protocol: str) -> Table | None:
    """Errors, radii and signs of calibration joint by joint."""
    units = {lifter: unit for lifter, unit in bench.units[protocol].items() if unit.get("per joint")}
    if not units:
        return None
    joints = list(dict.fromkeys(joint for unit in units.values() for joint in unit["per joint"]))
    keys = ("error", "radius", "signed")
    rows = []
    for joint in joints:
        values = [(key, number(unit, "per joint", joint, key)) for unit in units.values() for key in keys]
        cells = [
            Cell(MISSING if v is None else f"{v:+.2f}" if key == "signed" else _millimetres(v), v) for key, v in values
        ]
        rows.append(Row(joint.replace("_", " "), tuple(cells)))
    heads = (("error", "mean error (mm)"), ("radius", "median 90 % radius (mm)"),
             ("signed", "signed calibration error; positive is over-confident"))  # fmt: skip
    groups = tuple((lifter, len(keys)) for lifter in units)
    caption = f"Joints on {bench.label(protocol)}: error of the mean (mm), 90 % radius (mm), signed calibration error"
    return Table(caption, "joint", heads * len(units), tuple(rows), groups)


def novelty_table(bench: Bench, protocol: str) -> Table | None:
    """Errors, radii and their ratio by how new the poses are; None where that was not measured."""
    units = {lifter: unit for lifter, unit in bench.units[protocol].items() if unit.get("by novelty")}
    if not units:
        return None
    first = next(iter(units.values()))["by novelty"]
    keys = ("error", "radius", "ratio", "region")
    rows = []
    for place, row in enumerate(first):
        values = [(key, unit["by novelty"][place].get(key)) for unit in units.values() for key in keys]
        texts = {"ratio": _decimals(2), "region": _share}
        cells = [Cell(MISSING) if v is None else Cell(texts.get(key, _millimetres)(v), v) for key, v in values]
        rows.append(Row(f"{row['from']:.0f} to {row['to']:.0f} mm ({row['poses']} poses)", tuple(cells)))
    heads = (("error", "mean error (mm)"), ("radius", "mean 90 % radius (mm)"), ("ratio", "error over radius"),
             ("inside", "truths in the 90 % region (%)"))  # fmt: skip
    groups = tuple((lifter, len(keys)) for lifter in units)
    caption = f"Novelty on {bench.label(protocol)}: quartiles of the distance to the nearest training pose"
    return Table(caption, "distance", heads * len(units), tuple(rows), groups, sortable=False)


def full(bench: Bench, protocol: str) -> Table:
    """Every number of every unit, one column per lifter."""
    units = bench.units[protocol]
    skipped = (
        "clips",
        "per joint",
        "by missing",
        "by novelty",
        "best of N",
        "worst",
        "checks",
        "lifter",
        "protocol",
        "oracles",
        "published",
    )
    flat = {
        lifter: {
            path: Cell(text, value)
            for path, text, value in _flatten({k: v for k, v in unit.items() if k not in skipped})
        }
        for lifter, unit in units.items()
    }
    paths = list(dict.fromkeys(path for cells in flat.values() for path in cells))
    # a section's numbers stay together though a lifter brings one more
    sections = list(dict.fromkeys(path[:2] for path in paths))
    tops = list(dict.fromkeys(path[0] for path in paths))
    paths.sort(key=lambda path: (tops.index(path[0]), sections.index(path[:2])))
    rows = tuple(
        Row(" / ".join(path), tuple(cells.get(path, Cell(MISSING)) for cells in flat.values())) for path in paths
    )
    caption = f"Every number on {bench.label(protocol)}"
    return Table(caption, "measure", tuple((lifter, "") for lifter in units), rows, sortable=False)
