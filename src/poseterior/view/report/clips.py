"""Clips in a benchmark's report: their posterior beside the same lifter's frames, in numbers and over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..drawing import new_figure, tidy_axes
from .figures import Style, number
from .results import Bench
from .tables import MISSING, Cell, Row, Swatches, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["clips_table", "course_figure"]

_INK, _SOFT, _GRID, _BAND = "#000000", "#777777", "#ebebeb", "#e2e6ea"
_MILLIMETRES, _CALIBRATION, _ONE_BODY = "one answer: the mean (mm)", "truth inside 90 % (%)", "one body"

#: Hypotheses of single frames do not belong together: how their bones change says nothing.
_OF_CLIPS = ("bone change",)


def _digits(digits: int, factor: float = 1.0) -> Callable[[float], str]:
    return lambda value: f"{factor * value:.{digits}f}"


#: Group, title, meaning, number's name, how it is printed.
_COLUMNS: tuple[tuple[str, str, str, str, Callable[[float], str]], ...] = (
    ("proper scores (mm)", "energy", "energy score of each frame", "energy score", _digits(1)),
    ("proper scores (mm)", "paths", "energy score of whole paths", "path energy score", _digits(1)),
    (_MILLIMETRES, "MPJPE", "mean distance of the joints", "MPJPE", _digits(1)),
    (_MILLIMETRES, "P-MPJPE", "the same after similarity alignment", "P-MPJPE", _digits(1)),
    (_MILLIMETRES, "MPJVE", "mean error of velocities, a frame", "MPJVE", _digits(1)),
    (_MILLIMETRES, "acceleration", "mean error of accelerations, a frame²", "acceleration error", _digits(1)),
    ("calibration error", "joints", "0 is perfect, 0.5 the worst", "calibration", _digits(3)),
    ("calibration error", "velocities", "of the velocities of joints", "velocity calibration", _digits(3)),
    (_CALIBRATION, "joints", "in the regions of the joints", "held", _digits(1, 100)),
    (_CALIBRATION, "missing frames", "of frames in which nobody was seen", "missing: held", _digits(1, 100)),
    (_CALIBRATION, "knees", "of the knees' flexion", "knee held", _digits(1, 100)),
    ("knee flexion (°)", "width", "of the 90 % interval", "knee width", _digits(1)),
    ("knee flexion (°)", "error", "of its middle", "knee error", _digits(1)),
    (_ONE_BODY, "bone change (mm)", "the largest change of a bone over any motion", "bone change", _digits(1)),
    (_ONE_BODY, "height in its interval (%)", "share of clips", "height held", _digits(0, 100)),
    ("cost", "ms a frame", "of the clip: beside the lifting of its frames", "milliseconds a frame", _digits(1)),
)  # fmt: skip


def clips_table(bench: Bench, swatches: Swatches) -> Table | None:
    """The posterior of clips on every protocol of frames in a row, below the same lifter's frames one by one."""
    rows = []
    for protocol, units in bench.units.items():
        for lifter, unit in units.items():
            found = unit.get("clips")
            if isinstance(found, Mapping) and "clip" in found:
                for kind, words in (("frames", "frame by frame"), ("clip", "clip")):
                    cells = tuple(_cell(found, kind, name, text) for *_, name, text in _COLUMNS)
                    rows.append(Row(f"{bench.label(protocol)}: {lifter}, {words}", cells, swatches[lifter]))
    if not rows:
        return None
    groups: dict[str, int] = {}
    for group, *_ in _COLUMNS:
        groups[group] = groups.get(group, 0) + 1
    heads = tuple((title, meaning) for _, title, meaning, *_ in _COLUMNS)
    caption = "Clips lifted as a whole; small: the difference from frame by frame, and half of its 95 % interval"
    return Table(caption, "protocol: lifter", heads, tuple(rows), tuple(groups.items()), sortable=False)


def _cell(found: Mapping[str, Any], kind: str, name: str, text: Callable[[float], str]) -> Cell:
    value = number(found, kind, name)
    if value is None or (kind == "frames" and name in _OF_CLIPS):
        return Cell(MISSING)
    pair = found.get("difference", {}).get(name) if kind == "clip" and name not in _OF_CLIPS else None
    note = ""
    if isinstance(pair, Sequence) and len(pair) == 2:
        change, half = pair
        note = f"{'+' if change > 0 else '−'}{text(abs(change))} ±{text(half)}"
    return Cell(text(value), value, note=note)


def course_figure(course: Mapping[str, Any], style: Style) -> Figure:
    """One clip over time: truth, frame by frame, and mean and band of its posterior, of some joints and angles.

    Args:
        course: of a unit's ``clips``, from `poseterior.evaluation.clip_units.clip_unit`.
        style: of the lifter, whose colour the posterior has; truth and single frames are ink and grey.
    """
    panels: list[tuple[str, str, Mapping[str, Any], str]] = []
    for joint, axes in course["places"].items():
        words = {"x": "x, right", "y": "y, down", "z": "z, away"}
        panels += [(f"{joint.replace('_', ' ')}: {words[axis]}", "mm", one, "mean") for axis, one in axes.items()]
    panels += [(name.replace("_", " "), "degrees", one, "middle") for name, one in course["angles"].items()]
    columns = 3
    rows = -(-len(panels) // columns)
    figure, _ = new_figure((11.0, 2.3 * rows))
    figure.clear()
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (title, unit, one, middle) in zip(grid.flat, panels, strict=False):
        _draw(axes, course, one, middle, style.hex)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_ylabel(unit, fontsize=9)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    for column in range(columns):
        lowest = max(row for row in range(rows) if row * columns + column < len(panels))
        grid[lowest, column].set_xlabel("seconds", fontsize=9)
    return figure


def _draw(axes: Axes, course: Mapping[str, Any], one: Mapping[str, Any], middle: str, colour: str) -> None:
    seconds = np.array(course["seconds"])
    series = {name: np.array([np.nan if v is None else v for v in values], float) for name, values in one.items()}
    for start, stop in _missing(course["shown"]):
        axes.axvspan(seconds[start], seconds[stop - 1], color=_BAND, linewidth=0, zorder=0)
    axes.fill_between(seconds, series["low"], series["high"], color=colour, alpha=0.22, linewidth=0, zorder=1)
    alone = series["frames" if "frames" in series else "frames middle"]
    axes.plot(seconds, alone, color=_SOFT, linewidth=0.9, marker=".", markersize=2.5, zorder=2)
    axes.plot(seconds, series["truth"], color=_INK, linewidth=1.5, linestyle=(0, (4, 2)), zorder=4)
    axes.plot(seconds, series[middle], color=colour, linewidth=1.8, zorder=3)
    axes.grid(color=_GRID, linewidth=0.8)
    tidy_axes(axes)
    axes.tick_params(labelsize=8.5)
    axes.margins(x=0.01)


def _missing(shown: Sequence[bool]) -> list[tuple[int, int]]:
    """Stretches of frames in which nobody was seen, first and one after the last."""
    edges = np.flatnonzero(np.diff([0, *(not there for there in shown), 0]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
