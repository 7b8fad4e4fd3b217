"""The report of a benchmark: one HTML page that needs nothing but a browser.

`save_report` reads the dictionary that `poseterior.evaluation.run.run_benchmark` returns (or its ``bench.json`` read
back). What a lifter was not measured for is shown as missing; a section that nothing was measured for is left out.
Every string of the results is escaped. matplotlib is imported when a page is made, not with this module.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files.errors import InputError
from ...files.writing import atomic_write
from . import figures as figures
from .figures import Measure, Unit, figure_svg, number

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure


__all__ = [
    "BAD_CALIBRATION",
    "report_html",
    "save_report",
]

Results = Mapping[str, Any]

#: The format that this page shows.
FORMAT = "poseterior-bench-1"
#: Mean calibration errors above this are marked: such error bars mislead.
BAD_CALIBRATION = 0.1
#: Below this a calibration error is too small to speak of a direction.
_GOOD_CALIBRATION = 0.03
_MISSING = "–"
_MAIN, _MASKS = "main", "masks"
#: Axis labels of the sweeps that are known; other groups go by their name.
_SWEEPS = {
    "noise": "detector noise (mm at the body)",
    "pitch": "camera pitch (degrees)",
    "field of view": "field of view (degrees)",
}
_SEVERITIES = {"error": "Error", "warning": "Warning", "note": "Note"}
_KINDS = {
    "shipped": "shipped with poseterior",
    "weights": "own weights",
    "peer": "function of a peer",
    "results": "results made elsewhere",
}


def save_report(results: Results, path: str | os.PathLike[str]) -> None:
    """Write the report, a self-contained page that appears only when it is complete.

    Args:
        results: from `poseterior.evaluation.run.run_benchmark`, or its ``bench.json`` read back.
        path: ``.html``.

    Raises:
        InputError: as `report_html`; another extension; a path that cannot be written to.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: unknown extension {Path(path).suffix!r}; use .html")
    page = report_html(results)
    with atomic_write(path) as file:
        file.write(page.encode())


def report_html(results: Results) -> str:
    """The report as text; see `save_report`.

    Raises:
        InputError: results of another format, without units, or with a unit of an unknown lifter or protocol.
    """
    import jinja2

    _check(results)
    report = _Report(results)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(_file("page.html"))
    return template.render(style=_markup(_file("page.css")), script=_markup(_file("page.js")), **report.parts())


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


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _markup(text: str) -> Markup:
    from markupsafe import Markup

    # our own files and pictures, in which strings are escaped where they are made
    return Markup(text)


def _with_code(sentence: str) -> Markup:
    """The sentence, escaped, with what stands between backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))


# -- tables ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, what it sorts by, and how it stands out."""

    text: str
    value: float | None = None
    best: bool = False
    oracle: bool = False
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
        target: the best value is the nearest to this; None: no value is best.
        oracle: looks at the truth.
        honest: bought cheaply by lifters whose error bars are wrong, so that those are never best.
        note: a word beneath the number.
    """

    group: str
    title: str
    help: str
    measure: Measure
    text: Callable[[float], str]
    target: float | None = -math.inf
    oracle: bool = False
    honest: bool = False
    note: Callable[[Unit], str] | None = None


def _at(*keys: str) -> Measure:
    return lambda unit: number(unit, *keys)


def _millimetres(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def _share(value: float) -> str:
    return f"{100 * value:.1f}"


def _milliseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _decimals(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{digits}f}"


def _direction(part: str) -> Callable[[Unit], str]:
    """The sign of a calibration error in a word."""

    def word(unit: Unit) -> str:
        error, signed = number(unit, "calibration", part, "mean"), number(unit, "calibration", part, "signed")
        if error is None or signed is None:
            return ""
        if error <= _GOOD_CALIBRATION:
            return "calibrated"
        if error <= _noise(unit, part):
            return "within noise"
        if abs(signed) < 0.5 * error:
            return "mixed"
        return "over-confident" if signed > 0 else "under-confident"

    return word


def _noise(unit: Unit, part: str) -> float:
    """What a perfect distribution might score with as few observations as the part has, and a little more."""
    return 1.2 * (number(unit, "calibration", part, "floor") or 0.0)


def _calibration_error(unit: Unit) -> float | None:
    """Mean calibration error of all joints, or of the worse of the two classes."""
    found = number(unit, "calibration", "all", "mean")
    if found is not None:
        return found
    classes = [number(unit, "calibration", part, "mean") for part in ("visible", "missing")]
    return max((error for error in classes if error is not None), default=None)


def _is_bad(unit: Unit) -> bool:
    return (_calibration_error(unit) or 0.0) > BAD_CALIBRATION


def _best_of(unit: Unit) -> float | None:
    return number(unit, "estimates", _best_of_name(unit), "MPJPE")


def _best_of_name(unit: Unit) -> str:
    return next((name for name in unit.get("estimates", {}) if name.startswith("best of")), "")


_ENERGY = Column(
    "proper scores",
    "energy (mm)",
    "energy score: accuracy and honesty in one number; the table is ranked by it",
    _at("scores", "energy score"),
    _millimetres,
)
_LEAGUE = (
    _ENERGY,
    Column(
        "proper scores",
        "NLL (nats)",
        "negative log-density of the truth a dimension; lower is better",
        _at("scores", "NLL"),
        _decimals(2),
    ),
    Column(
        "one answer: the mean (mm)",
        "MPJPE",
        "mean distance of the joints",
        _at("estimates", "mean", "MPJPE"),
        _millimetres,
    ),
    Column(
        "one answer: the mean (mm)",
        "P-MPJPE",
        "the same after similarity alignment",
        _at("estimates", "mean", "P-MPJPE"),
        _millimetres,
    ),
    Column(
        "oracle (mm)",
        "best of N",
        "the hypothesis nearest to the truth: nobody can pick it in use",
        _best_of,
        _millimetres,
        None,
        oracle=True,
    ),
    Column(
        "calibration error",
        "visible joints",
        "0 is perfect, 0.5 the worst",
        _at("calibration", "visible", "mean"),
        _decimals(3),
        note=_direction("visible"),
    ),
    Column(
        "calibration error",
        "missing joints",
        "0 is perfect, 0.5 the worst",
        _at("calibration", "missing", "mean"),
        _decimals(3),
        note=_direction("missing"),
    ),
    Column(
        "90 % regions: truth inside (%)",
        "joints",
        "mean over the joints; should be 90",
        _at("region", "mean"),
        _share,
        0.9,
    ),
    Column(
        "90 % regions: truth inside (%)",
        "worst joint",
        "the joint farthest from 90",
        _at("region", "worst"),
        _share,
        0.9,
    ),
    Column(
        "90 % regions: truth inside (%)",
        "whole pose",
        "all joints at once; should be 90",
        _at("region", "pose"),
        _share,
        0.9,
    ),
    Column(
        "size of the answer (mm)",
        "90 % radius",
        "median size of the error bars; small is good only if calibrated",
        _at("region", "radius"),
        _millimetres,
        honest=True,
    ),
    Column(
        "size of the answer (mm)",
        "bone spread",
        "how much the hypotheses disagree about the length of a bone",
        _at("plausibility", "bone spread"),
        _millimetres,
        honest=True,
    ),
    Column(
        "bodies",
        "beyond joint limits (%)",
        "of what anatomy forbids, over the hypotheses",
        _at("plausibility", "joint limits"),
        _decimals(1),
    ),
    Column(
        "bodies",
        "depth order right (%)",
        "joint pairs of which the mean knows the nearer one",
        _at("depth order", "accuracy"),
        _share,
        math.inf,
    ),
    Column(
        "cost",
        "ms a pose",
        "lifting and drawing the hypotheses, on this machine",
        _at("cost", "milliseconds a pose"),
        _milliseconds,
    ),
)


def _column_cells(column: Column, units: Sequence[Unit]) -> list[Cell]:
    """The column's cells; the best one is told by what is printed, so that equal numbers are equally good."""
    values = [column.measure(unit) for unit in units]
    texts = [_MISSING if value is None else column.text(value) for value in values]
    best: str | None = None
    # where all are alike, none is best
    if column.target is not None and len({text for text in texts if text != _MISSING}) > 1:
        able = [
            (_distance(value, column.target), text)
            for value, text, unit in zip(values, texts, units, strict=True)
            if value is not None and not (column.honest and _is_bad(unit))
        ]
        best = min(able)[1] if able else None
    return [
        Cell(
            text, value, best=value is not None and text == best and not (column.honest and _is_bad(unit)),
            oracle=column.oracle and value is not None,
            note=column.note(unit) if column.note and value is not None else "",
        )
        for value, text, unit in zip(values, texts, units, strict=True)
    ]  # fmt: skip


def _distance(value: float, target: float) -> float:
    return value if target == -math.inf else -value if target == math.inf else abs(value - target)


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


# -- the page ----------------------------------------------------------------------------------------------


class _Report:
    """Everything that the template shows, by section."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.lifters: dict[str, Any] = dict(results["lifters"])
        self.protocols: dict[str, Any] = dict(results["protocols"])
        self.skeleton: Mapping[str, Any] = results["skeleton"]
        self.styles = figures.styles_of(list(self.lifters))
        self.swatches = {name: _markup(figures.swatch_svg(style)) for name, style in self.styles.items()}
        #: Units of a protocol by lifter, in the lifters' order, so that colours come in that order too.
        self.units: dict[str, dict[str, Unit]] = {name: {} for name in self.protocols}
        order = {name: i for i, name in enumerate(self.lifters)}
        for unit in sorted(results["units"], key=lambda unit: order[unit["lifter"]]):
            self.units[unit["protocol"]][unit["lifter"]] = unit
        measured = [name for name in self.protocols if self.units[name]]
        #: Where there is no main protocol, the first one stands for them.
        self.main = [name for name in measured if self.protocols[name]["group"] == _MAIN] or measured[:1]
        self.pictures = 0

    def parts(self) -> dict[str, Any]:
        return {
            "results": self.results,
            "facts": self.facts(),
            "lifters": self.lifters,
            "kinds": _KINDS,
            "swatches": self.swatches,
            "protocols": self.protocols,
            "severities": _SEVERITIES,
            "checks": self.checks(),
            "glance": self.glance(),
            "overview": self.overview(),
            "leagues": [(name, self.league(name), self.answers(name), self.floor(name)) for name in self.main],
            "best_of": [picture for name in self.main for picture in self.best_of(name) if picture],
            "reliability": self.each_main(self.reliability),
            "joints": self.each_main(self.joints),
            "masks": self.masks(),
            "missing": self.each_main(self.missing),
            "sweeps": self.sweeps(),
            "cost": [picture for name in self.main for picture in self.cost(name) if picture],
            "worst": self.worst(),
            "full": [(name, self.full(name)) for name in self.protocols if self.units[name]],
            "joint_tables": [(name, table) for name in self.main if (table := self.joint_table(name))],
            "bad": BAD_CALIBRATION,
        }

    # header and checks

    def facts(self) -> list[tuple[str, str]]:
        results, machine = self.results, self.results.get("machine", {})
        count = len(results["units"])
        computer = f"{machine.get('processor', 'unknown processor')}, {machine.get('cores', '?')} cores"
        computer += f" ({machine.get('threads', '?')} used), torch {machine.get('torch', '?')}"
        computer += f" on {machine.get('device', '?')}"
        return [
            ("compared", f"{len(self.lifters)} lifters on {len(self.protocols)} protocols: {count} measurements"),
            ("made", f"{results.get('created', '?')} by poseterior {results.get('version', '?')}"),
            ("hypotheses", f"{results.get('samples', '?')} a pose, seed {results.get('seed', '?')}"),
            ("poses", f"at most {results.get('poses', '?')} a main protocol"),
            ("machine", computer),
        ]  # fmt: skip

    def checks(self) -> dict[str, list[dict[str, Any]]]:
        """By severity: what was found, once a lifter, with the protocols where it was.

        Sentences that differ in their numbers only are one finding.
        """
        found: dict[str, dict[tuple[str, str], list[tuple[str, str]]]] = {severity: {} for severity in _SEVERITIES}
        for protocol, units in self.units.items():
            for lifter, unit in units.items():
                for check in unit.get("checks", ()):
                    severity = check["severity"] if check["severity"] in _SEVERITIES else "warning"
                    alike = re.sub(r"[-+]?\d[\d.]*", "#", check["sentence"])
                    found[severity].setdefault((lifter, alike), []).append((protocol, check["sentence"]))
        order = list(self.lifters)
        return {
            severity: [
                {
                    "lifter": lifter,
                    "sentence": _with_code(rows[0][1]),
                    "first": rows[0][0],
                    "where": self.where([protocol for protocol, _ in rows]),
                    "all": []
                    if len({sentence for _, sentence in rows}) == 1
                    else [(protocol, _with_code(sentence)) for protocol, sentence in rows],
                }
                for (lifter, _), rows in sorted(findings.items(), key=lambda finding: order.index(finding[0][0]))
            ]
            for severity, findings in found.items()
        }

    def where(self, protocols: Sequence[str]) -> str:
        """Names of main protocols; of sweeps the group and how many of it, where there are more than two."""
        words = [name for name in self.main if name in protocols]
        for group in dict.fromkeys(protocol["group"] for protocol in self.protocols.values()):
            among = [name for name in self.group(group) if name not in self.main]
            hit = [name for name in among if name in protocols]
            if hit and len(hit) == len(among):
                words.append(f"{group} (all)")
            else:
                words += hit if len(hit) <= 2 else [f"{group} ({len(hit)} of {len(among)})"]
        return _listing(words)

    def glance(self) -> list[str]:
        """Sentences about the first main protocol that need no table."""
        protocol = self.main[0]
        units = self.units[protocol]
        sentences = []
        energy = _lowest(units, _ENERGY.measure)
        if energy:
            sentences.append(f"{energy[0]} has the best energy score ({energy[1]:.1f} mm).")
        mean = _lowest(units, _at("estimates", "mean", "MPJPE"))
        if mean:
            oracle = _best_of(units[mean[0]])
            tail = (
                f" Its {_best_of_name(units[mean[0]])} is {oracle:.1f} mm, but only with the truth in hand."
                if oracle
                else ""
            )
            sentences.append(f"{mean[0]} has the most accurate mean ({mean[1]:.1f} mm).{tail}")
        honest = _lowest(units, _calibration_error)
        bad = [lifter for lifter, unit in units.items() if _is_bad(unit)]
        if honest:
            sentences.append(f"{honest[0]} has the most honest error bars (calibration error {honest[1]:.3f}).")
        if bad:
            sentences.append(
                f"The error bars of {_listing(bad)} mislead (calibration error above {BAD_CALIBRATION:g})."
            )
        fast = _lowest(units, _at("cost", "milliseconds a pose"))
        if fast:
            sentences.append(f"{fast[0]} is the fastest ({_milliseconds(fast[1])} ms a pose).")
        return sentences if len(units) > 1 else []

    # tables

    def ranked(self, protocol: str) -> list[str]:
        """Lifters by energy score; those without come last."""
        units = self.units[protocol]
        scores = {lifter: _ENERGY.measure(unit) for lifter, unit in units.items()}
        return sorted(units, key=lambda lifter: math.inf if (score := scores[lifter]) is None else score)

    def row(self, lifter: str, cells: Sequence[Cell], unit: Unit | None = None) -> Row:
        mark = "badly calibrated" if unit is not None and _is_bad(unit) else ""
        return Row(lifter, tuple(cells), self.swatches[lifter], mark)

    def overview(self) -> Table | None:
        """Energy scores of all main protocols side by side."""
        if len(self.main) < 2:
            return None
        columns = []
        for protocol in self.main:
            units = [self.units[protocol].get(lifter, {}) for lifter in self.lifters]
            cells = _column_cells(_ENERGY, units)
            errors = [_calibration_error(unit) for unit in units]
            columns.append(
                [
                    replace(cell, note="" if error is None else f"calibration {error:.2f}")
                    for cell, error in zip(cells, errors, strict=True)
                ]
            )
        rows = tuple(
            self.row(lifter, cells) for lifter, cells in zip(self.lifters, zip(*columns, strict=True), strict=True)
        )
        heads = tuple((self.label(name), self.protocols[name].get("description", "")) for name in self.main)
        caption = "Energy score (mm, lower is better) on every main protocol, with the calibration error beneath"
        return Table(caption, "lifter", heads, rows)

    def league(self, protocol: str) -> Table:
        lifters = self.ranked(protocol)
        units = [self.units[protocol][lifter] for lifter in lifters]
        columns = [_column_cells(column, units) for column in _LEAGUE]
        names = {_best_of_name(unit) for unit in units} - {""}
        best_of = names.pop() if len(names) == 1 else "best of N"
        heads = tuple((best_of if column.oracle else column.title, column.help) for column in _LEAGUE)
        rows = tuple(
            self.row(lifter, cells, unit)
            for lifter, unit, cells in zip(lifters, units, zip(*columns, strict=True), strict=True)
        )
        groups = [column.group for column in _LEAGUE]
        spans = tuple((group, groups.count(group)) for group in dict.fromkeys(groups))
        poses = self.protocols[protocol].get("poses", "?")
        return Table(
            f"League table of {self.label(protocol)}, {poses} poses, best energy score first",
            "lifter",
            heads,
            rows,
            spans,
        )

    def floor(self, protocol: str) -> str:
        """The calibration error that cannot be undercut, for the table's introduction."""
        units = self.units[protocol].values()
        floor = max((found for unit in units if (found := number(unit, "floor", "mean"))), default=None)
        return f"a perfect distribution would have a calibration error of about {floor:.3f} here" if floor else ""

    def answers(self, protocol: str) -> Table | None:
        """Every way of making one pose of many hypotheses."""
        units = self.units[protocol]
        lifters = self.ranked(protocol)
        oracles = {name for unit in units.values() for name in unit.get("oracles", ())}
        names = list(dict.fromkeys(name for unit in units.values() for name in unit.get("estimates", {})))
        names.sort(key=lambda name: name in oracles)
        columns, heads = [], []
        for name in names:
            for metric in ("MPJPE", "P-MPJPE"):
                oracle = name in oracles
                column = Column(
                    "", metric, "", _at("estimates", name, metric), _millimetres, None if oracle else -math.inf, oracle
                )
                columns.append(_column_cells(column, [units[lifter] for lifter in lifters]))
                heads.append((metric, f"{metric} of {name}"))
        if not columns:
            return None
        rows = tuple(self.row(lifter, cells) for lifter, cells in zip(lifters, zip(*columns, strict=True), strict=True))
        spans = tuple(
            (f"{name}{' (oracle)' if name in oracles else ''}{self.subset(protocol, name)}", 2) for name in names
        )
        return Table(f"Other single answers on {self.label(protocol)} (mm)", "lifter", tuple(heads), rows, spans)

    def subset(self, protocol: str, estimate: str) -> str:
        """A remark where an estimate was made for some poses only."""
        counts = {number(unit, "estimates", estimate, "poses") for unit in self.units[protocol].values()} - {None}
        return f", {max(count for count in counts if count is not None):.0f} poses only" if counts else ""

    def joint_table(self, protocol: str) -> Table | None:
        units = {lifter: unit for lifter, unit in self.units[protocol].items() if unit.get("per joint")}
        if not units:
            return None
        joints = list(dict.fromkeys(joint for unit in units.values() for joint in unit["per joint"]))
        keys = ("error", "radius", "signed")
        rows = []
        for joint in joints:
            values = [(key, number(unit, "per joint", joint, key)) for unit in units.values() for key in keys]
            cells = [
                Cell(_MISSING if v is None else f"{v:+.2f}" if key == "signed" else _millimetres(v), v)
                for key, v in values
            ]
            rows.append(Row(joint.replace("_", " "), tuple(cells)))
        heads = (("error", "mean error (mm)"), ("radius", "median 90 % radius (mm)"),
                 ("signed", "signed calibration error; positive is over-confident"))  # fmt: skip
        groups = tuple((lifter, len(keys)) for lifter in units)
        caption = (
            f"Joints on {self.label(protocol)}: error of the mean (mm), 90 % radius (mm), signed calibration error"
        )
        return Table(caption, "joint", heads * len(units), tuple(rows), groups)

    def full(self, protocol: str) -> Table:
        """Every number of every unit, a column a lifter."""
        units = self.units[protocol]
        skipped = ("per joint", "by missing", "best of N", "worst", "checks", "lifter", "protocol", "oracles")
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
            Row(" / ".join(path), tuple(cells.get(path, Cell(_MISSING)) for cells in flat.values())) for path in paths
        )
        caption = f"Every number on {self.label(protocol)}"
        return Table(caption, "measure", tuple((lifter, "") for lifter in units), rows, sortable=False)

    def label(self, protocol: str) -> str:
        """Protocols of a sweep are labelled by their value only, which says little outside of it."""
        return str(
            protocol if self.protocols[protocol]["group"] != _MAIN else self.protocols[protocol].get("label", protocol)
        )

    # pictures

    def picture(self, figure: Figure | None, description: str) -> dict[str, Any] | None:
        if figure is None:
            return None
        self.pictures += 1
        svg = figure_svg(figure, f"picture{self.pictures}", description)
        return {"svg": _markup(svg), "caption": description, "swatch": ""}

    def each_main(self, draw: Callable[[str], list[Any]]) -> list[tuple[str, list[Any]]]:
        """The pictures of each main protocol that has any."""
        drawn = ((name, [picture for picture in draw(name) if picture]) for name in self.main)
        return [(name, found) for name, found in drawn if found]

    def best_of(self, protocol: str) -> list[Any]:
        figure = figures.best_of_figure(self.units[protocol], self.styles)
        return [self.picture(figure, f"Best of N hypotheses (solid) and mean (dashed) on {self.label(protocol)}")]

    def reliability(self, protocol: str) -> list[Any]:
        units, label = self.units[protocol], self.label(protocol)
        panels = (
            (("calibration", "visible"), "the visible joints", True),
            (("calibration", "missing"), "the missing joints", True),
            (("density coverage",), "the whole pose, regions of highest density", True),
            (("TARP",), "the whole pose, balls around random poses (TARP)", False),
        )
        return [
            self.picture(
                figures.levels_figure(units, self.styles, part, directions=sides), f"Coverage of {text}, on {label}"
            )
            for part, text, sides in panels
        ]

    def joints(self, protocol: str) -> list[Any]:
        drawn = {
            lifter: figures.skeleton_svg(unit, self.skeleton, lifter) for lifter, unit in self.units[protocol].items()
        }
        return [
            {"svg": _markup(svg), "caption": lifter, "swatch": self.swatches[lifter]}
            for lifter, svg in drawn.items()
            if svg
        ]

    def masks(self) -> list[Any]:
        measures: tuple[tuple[str, str, Measure, bool], ...] = (
            (
                "Signed calibration error of all joints",
                "signed calibration error",
                _at("calibration", "all", "signed"),
                True,
            ),
            ("90 % radius of the missing joints", "90 % radius (mm)", _at("sharpness", "missing"), False),
            ("90 % radius of the visible joints", "90 % radius (mm)", _at("sharpness", "visible"), False),
            ("Error of the mean after alignment", "P-MPJPE (mm)", _at("estimates", "mean", "P-MPJPE"), False),
        )
        protocols = self.group(_MASKS)
        found = []
        for title, y_label, measure, signed in measures:
            points = {
                lifter: [
                    (number(self.protocols[name], "value"), str(self.protocols[name].get("label", name)), value)
                    for name in protocols
                    if lifter in self.units[name] and (value := measure(self.units[name][lifter])) is not None
                ]
                for lifter in self.lifters
            }
            figure = figures.masks_figure(points, self.styles, y_label, signed=signed)
            found.append(self.picture(figure, f"{title}"))
        return [picture for picture in found if picture]

    def missing(self, protocol: str) -> list[Any]:
        columns = (
            ("signed", "Signed calibration error", "signed calibration error", True),
            ("radius", "90 % radius of all joints", "90 % radius (mm)", False),
            ("MPJPE", "Error of the mean", "MPJPE (mm)", False),
        )
        return [
            self.picture(
                figures.bins_figure(self.units[protocol], self.styles, key, y_label, signed=signed),
                f"{title} on {self.label(protocol)}, by the number of missing joints",
            )
            for key, title, y_label, signed in columns
        ]

    def sweeps(self) -> list[tuple[str, list[Any]]]:
        """Each group of protocols that is neither the main one nor masks, against its value."""
        groups = dict.fromkeys(protocol["group"] for protocol in self.protocols.values())
        measures: tuple[tuple[str, str, Measure, bool], ...] = (
            ("Energy score", "energy score (mm)", _ENERGY.measure, False),
            ("Error of the mean after alignment", "P-MPJPE (mm)", _at("estimates", "mean", "P-MPJPE"), False),
            ("Signed calibration error", "signed calibration error", _at("calibration", "all", "signed"), True),
        )
        found = []
        for group in groups:
            if group in (_MAIN, _MASKS):
                continue
            pictures = []
            for title, y_label, measure, signed in measures:
                points = {
                    lifter: [
                        (x, y)
                        for name in self.group(group)
                        if lifter in self.units[name]
                        and (x := number(self.protocols[name], "value")) is not None
                        and (y := measure(self.units[name][lifter])) is not None
                    ]
                    for lifter in self.lifters
                }
                figure = figures.sweep_figure(points, self.styles, _SWEEPS.get(group, group), y_label, signed=signed)
                pictures.append(self.picture(figure, f"{title} against {group}"))
            drawn = [picture for picture in pictures if picture]
            if drawn:
                found.append((group, drawn))
        return found

    def cost(self, protocol: str) -> list[Any]:
        megabytes = {
            name: size for name, about in self.lifters.items() if (size := number(about, "megabytes")) is not None
        }
        figure = figures.cost_figure(self.units[protocol], self.styles, megabytes, _ENERGY.measure, "energy score (mm)")
        return [self.picture(figure, f"Accuracy against cost on {self.label(protocol)}")]

    def worst(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """The worst poses of each lifter on the first main protocol."""
        found = []
        for lifter, unit in self.units[self.main[0]].items():
            cards = []
            for pose in unit.get("worst", ()):
                clip, error = str(pose.get("clip", "")), number(pose, "error")
                hidden = [
                    name.replace("_", " ")
                    for name, seen in zip(self.skeleton["joints"], pose["visible"], strict=True)
                    if not seen
                ]
                title = f"{Path(clip).name or 'pose'}, frame {pose.get('frame', '?')}"
                svg = figures.worst_pose_svg(pose, self.skeleton, self.styles[lifter].colour, f"{lifter}: {title}")
                cards.append(
                    {
                        "svg": _markup(svg),
                        "title": title,
                        "action": pose.get("action") or "",
                        "error": _MISSING if error is None else f"{_millimetres(error)} mm",
                        "hidden": _listing(hidden),
                    }
                )
            if cards:
                found.append((lifter, cards))
        return found

    def group(self, group: str) -> list[str]:
        return [name for name, protocol in self.protocols.items() if protocol["group"] == group]


def _lowest(units: Mapping[str, Unit], measure: Measure) -> tuple[str, float] | None:
    values = {lifter: value for lifter, unit in units.items() if (value := measure(unit)) is not None}
    return min(values.items(), key=lambda item: item[1]) if values else None


def _listing(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
