"""Charts of a benchmark (matplotlib), as SVG that goes into a page.

matplotlib is imported when a chart is made, not with this module. Charts carry no legend and no title: the page says
once which colour and marker is which lifter, and captions each picture. What a lifter was not measured for is left out.
A colour is a lifter and nothing else: everything else is drawn in ink and greys.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np

from ..drawing import literal_text, new_figure, tidy_axes
from ..palette import LIGHT, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


__all__ = [
    "OFF",
    "PALETTE",
    "Measure",
    "Style",
    "Unit",
    "best_of_figure",
    "bins_figure",
    "cost_figure",
    "figure_svg",
    "levels_figure",
    "masks_figure",
    "number",
    "styles_of",
    "sweep_figure",
]

Unit = Mapping[str, Any]
#: A measure of a unit; None where it was not measured.
Measure = Callable[[Unit], float | None]

#: Told apart by colour-blind people and in grey (Okabe & Ito 2008), without the yellow that white swallows; the page
#: has a lighter shade of each for dark screens.
PALETTE = SERIES
_MARKERS = ("o", "s", "D", "^", "v", "P")
_DASHES = ("solid", "dashed", "dotted")
#: What is drawn in these colours takes those of the page, which knows whether the screen is dark.
_INK, _SOFT, _AXIS, _GRID, _BAND, _PAPER = "#000000", "#777777", "#b3b3b3", "#ebebeb", "#e2e6ea", "#ffffff"
_PAGE_COLOURS = {
    _INK: "currentColor", _SOFT: "var(--soft)", "#999999": "var(--axis)", _AXIS: "var(--axis)", _GRID: "var(--grid)",
    _BAND: "var(--band)", _PAPER: "var(--panel)",
    LIGHT.soft.lower(): "var(--soft)", LIGHT.line.lower(): "var(--axis)", LIGHT.grid.lower(): "var(--grid)",
    **{colour.lower(): f"var(--c{index})" for index, colour in enumerate(PALETTE)},
}  # fmt: skip

#: Inches: three or four in a row on a desktop, one on a phone, so that the text stays legible.
_SIZE, _SQUARE = (4.3, 3.1), (3.1, 3.0)
#: Signed calibration errors within this are called right.
OFF = 0.05
#: Lines above so many times the median line would press all others together.
_OFF_CHART = 4.0


@dataclass(frozen=True)
class Style:
    """How a lifter is drawn: number in `PALETTE`, marker and line style of matplotlib."""

    colour: int
    marker: str
    dash: str

    @property
    def hex(self) -> str:
        return PALETTE[self.colour]


def styles_of(lifters: Sequence[str]) -> dict[str, Style]:
    """A style for each lifter; beyond six, colours come again with another marker and line."""
    count = len(PALETTE)
    return {
        name: Style(i % count, _MARKERS[(i + i // count) % len(_MARKERS)], _DASHES[i // count % len(_DASHES)])
        for i, name in enumerate(lifters)
    }


def number(row: Any, *keys: str) -> float | None:
    """The number at ``row[key][key]...``; None where it is missing, not a number or not finite."""
    for key in keys:
        if not isinstance(row, Mapping) or key not in row:
            return None
        row = row[key]
    if isinstance(row, bool) or not isinstance(row, int | float) or not math.isfinite(row):
        return None
    return float(row)


def figure_svg(figure: Figure, name: str, description: str) -> str:
    """A figure as an ``<svg>`` element in the colours and the font of the page around it.

    Args:
        figure: drawn in black, greys and `PALETTE`.
        name: no two pictures of a page may share it.
        description: what screen readers say.
    """
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(
            file, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # Groups are numbered anew in each picture: in one page the numbers would repeat.
    text = re.sub(r' id="[A-Za-z.0-9]+_\d+"', "", text)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda match: _PAGE_COLOURS.get(match[0], match[0]), text)
    view_box = re.search(r'viewBox="[^"]*"', text)
    assert view_box is not None
    start = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {view_box[0]}'
    return f'{start} role="img" aria-label={quoteattr(description)}{text[text.index(">") :]}'.strip()


# -- charts ------------------------------------------------------------------------------------------------


def best_of_figure(units: Mapping[str, Unit], styles: Mapping[str, Style]) -> Figure | None:
    """MPJPE (mm) of the best of N hypotheses against N (log axis), and of the mean as a dashed level.

    Args:
        units: of one protocol, by lifter.
        styles: from `styles_of`.

    Returns:
        a matplotlib ``Figure`` of its own (no pyplot state); None if there is nothing to draw.
    """
    curves = {}
    for lifter, unit in units.items():
        curve = unit.get("best of N", {})
        if curve.get("N") and curve.get("MPJPE"):
            curves[lifter] = (curve["N"], curve["MPJPE"])
    if not curves:
        return None
    figure, axes = new_figure(_SIZE)
    limit = _limit({lifter: y for lifter, (_, y) in curves.items()})
    for lifter, (x, y) in curves.items():
        _draw_line(axes, styles[lifter], x, y)
        mean = number(units[lifter], "estimates", "mean", "MPJPE")
        if mean is not None:
            axes.plot([x[0], x[-1]], [mean, mean], color=styles[lifter].hex, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.set_xscale("log")
    counts = sorted({n for x, _ in curves.values() for n in x})
    # counts that stand close together would print over each other
    shown = [n for n, after in zip(counts, [*counts[1:], math.inf], strict=True) if after / n > 1.3]
    axes.set_xticks(shown, [f"{n}" for n in shown])
    axes.minorticks_off()
    _finish(axes, "N, number of hypotheses", "MPJPE of the best of N (mm)")
    _cut(axes, {lifter: y for lifter, (_, y) in curves.items()}, limit)
    return figure


def levels_figure(
    units: Mapping[str, Unit], styles: Mapping[str, Style], part: Sequence[str], *, directions: bool = True
) -> Figure | None:
    """Observed against nominal coverage (%), with the band of right distributions where one is known.

    Args:
        units, styles: as `best_of_figure`.
        part: keys that lead to a mapping with ``levels`` and ``coverage``, and ``low`` and ``high``, the ends of the
            95 % band. Where lifters have different bands the outermost ends are drawn.
        directions: name the sides of the diagonal over- and under-confident.

    Returns:
        as `best_of_figure`.
    """
    curves = {}
    for lifter, unit in units.items():
        curve: Any = unit
        for key in part:
            curve = curve.get(key, {})
        if curve.get("levels") and curve.get("coverage"):
            curves[lifter] = curve
    if not curves:
        return None
    figure, axes = new_figure(_SQUARE)
    banded = [curve for curve in curves.values() if curve.get("low") and curve.get("high")]
    if banded:
        low = np.min([curve["low"] for curve in banded], axis=0)
        high = np.max([curve["high"] for curve in banded], axis=0)
        axes.fill_between(
            100 * np.asarray(banded[0]["levels"]), 100 * low, 100 * high, color=_BAND, linewidth=0, zorder=0
        )
    axes.plot([0, 100], [0, 100], color=_SOFT, linewidth=1.0, zorder=1)
    for lifter, curve in curves.items():
        x, y = (100 * np.asarray(curve["levels"])).tolist(), (100 * np.asarray(curve["coverage"])).tolist()
        _draw_line(axes, styles[lifter], x, y, every=4)
    if directions:
        patch = {"facecolor": _PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
        axes.text(97, 4, "over-confident", ha="right", fontsize=9, color=_SOFT, bbox=patch, zorder=2)
        axes.text(3, 93, "under-confident", ha="left", fontsize=9, color=_SOFT, bbox=patch, zorder=2)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_xticks(range(0, 101, 25))
    axes.set_yticks(range(0, 101, 25))
    axes.set_aspect("equal")
    _finish(axes, "nominal level (%)", "truths inside (%)")
    return figure


def bins_figure(
    units: Mapping[str, Unit], styles: Mapping[str, Style], name: str, y_label: str, *, signed: bool = False
) -> Figure | None:
    """A measure against the number of missing joints, from the units' ``by missing``.

    Args:
        units, styles: as `best_of_figure`.
        name: of the measure in each row.
        y_label: with unit.
        signed: a signed calibration error.

    Returns:
        as `best_of_figure`.
    """
    rows = {lifter: {str(row["missing"]): row for row in unit.get("by missing", ())} for lifter, unit in units.items()}
    bins = list(dict.fromkeys(bin_ for table in rows.values() for bin_ in table))
    series = {}
    for lifter, table in rows.items():
        points = [(bins.index(bin_), value) for bin_, row in table.items() if (value := number(row, name)) is not None]
        if points:
            series[lifter] = ([x for x, _ in points], [y for _, y in points])
    if not series:
        return None
    poses = {bin_: row.get("poses") for table in rows.values() for bin_, row in table.items()}
    figure, axes = new_figure(_SIZE)
    for lifter, (x, y) in series.items():
        _draw_line(axes, styles[lifter], x, y)
    axes.set_xticks(range(len(bins)), [f"{bin_}\n({poses[bin_]})" for bin_ in bins])
    axes.set_xlim(-0.3, len(bins) - 0.7)
    _finish(axes, "missing joints (number of poses)", y_label)
    _scale(axes, {lifter: y for lifter, (_, y) in series.items()}, signed)
    return figure


def masks_figure(
    points: Mapping[str, Sequence[tuple[float | None, str, float]]],
    styles: Mapping[str, Style],
    y_label: str,
    *,
    signed: bool = False,
) -> Figure | None:
    """A measure against what is hidden: numbers of joints as lines, whole limbs as points beside them.

    Args:
        points: by lifter, ``(number of joints or None, label, measure)``.
        styles: from `styles_of`.
        y_label: with unit.
        signed: a signed calibration error.

    Returns:
        as `best_of_figure`.
    """
    if not any(points.values()):
        return None
    counted = sorted({value for rows in points.values() for value, _, _ in rows if value is not None})
    named = list(dict.fromkeys(label for rows in points.values() for value, label, _ in rows if value is None))
    first = (counted[-1] if counted else 0.0) + 1.6
    # limbs are as far from each other as two joints are
    place = {label: first + 2.4 * i for i, label in enumerate(named)}
    figure, axes = new_figure(_SIZE)
    for lifter, rows in points.items():
        line = sorted((value, y) for value, _, y in rows if value is not None)
        if line:
            _draw_line(axes, styles[lifter], [x for x, _ in line], [y for _, y in line])
        limbs = [(place[label], y) for value, label, y in rows if value is None]
        if limbs:
            _draw_line(axes, styles[lifter], [x for x, _ in limbs], [y for _, y in limbs], joined=False)
    if counted and named:
        axes.axvline(first - 0.8, color=_AXIS, linewidth=0.8, linestyle=":")
    ticks = {value: f"{value:g}" for value in counted}
    ticks.update({x: literal_text(label.replace(" ", "\n")) for label, x in place.items()})
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlim((counted[0] if counted else first) - 0.5, max(ticks) + 0.9)
    _finish(axes, "joints hidden, or what is hidden", y_label)
    _scale(axes, {lifter: [y for _, _, y in rows] for lifter, rows in points.items()}, signed)
    return figure


def sweep_figure(
    points: Mapping[str, Sequence[tuple[float, float]]],
    styles: Mapping[str, Style],
    x_label: str,
    y_label: str,
    *,
    signed: bool = False,
) -> Figure | None:
    """A measure against the value that a group of protocols sweeps.

    Args:
        points: by lifter, ``(value, measure)`` in any order.
        styles: from `styles_of`.
        x_label, y_label: with units.
        signed: a signed calibration error.

    Returns:
        as `best_of_figure`.
    """
    if not any(points.values()):
        return None
    figure, axes = new_figure(_SIZE)
    for lifter, rows in points.items():
        line = sorted(rows)
        _draw_line(axes, styles[lifter], [x for x, _ in line], [y for _, y in line])
    axes.set_xticks(sorted({x for rows in points.values() for x, _ in rows}))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.05)
    _finish(axes, x_label, y_label)
    _scale(axes, {lifter: [y for _, y in rows] for lifter, rows in points.items()}, signed)
    return figure


def cost_figure(
    units: Mapping[str, Unit],
    styles: Mapping[str, Style],
    megabytes: Mapping[str, float],
    measure: Measure,
    y_label: str,
) -> Figure | None:
    """A measure against milliseconds per pose (log axis); the area of a marker is the size of the weights.

    Args:
        units, styles: as `best_of_figure`.
        megabytes: of the weights, by lifter; a lifter without gets the smallest marker.
        measure, y_label: what is drawn upwards.

    Returns:
        as `best_of_figure`.
    """
    points = {}
    for lifter, unit in units.items():
        x, y = number(unit, "cost", "milliseconds per pose"), measure(unit)
        if x is not None and x > 0 and y is not None:
            points[lifter] = (x, y)
    if not points:
        return None
    from matplotlib.ticker import LogLocator, NullLocator

    figure, axes = new_figure((4.6, 3.3))
    for lifter, point in points.items():
        style = styles[lifter]
        axes.scatter(
            *point,
            s=30 + 22 * megabytes.get(lifter, 0.0),
            color=style.hex,
            marker=style.marker,
            alpha=0.85,
            linewidths=0,
        )
    axes.set_xscale("log")
    times = [x for x, _ in points.values()]
    low, high = min(times) / 8, max(times) * 2.5
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 100 else (1.0, 3.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    _finish(axes, "milliseconds per pose", y_label)
    _scale(axes, {lifter: [y] for lifter, (_, y) in points.items()}, signed=False)
    figure.draw_without_rendering()  # sets the layout, which the places of the labels depend on
    _label_points(figure, axes, {lifter: point for lifter, point in points.items() if point[1] <= axes.get_ylim()[1]})
    return figure


def _label_points(figure: Figure, axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """A name beside each point, at the first place around it that is free."""
    centres = {name: axes.transData.transform(point) * 72 / figure.dpi for name, point in points.items()}
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in centres.values()]
    edges = axes.get_window_extent()
    low, high = edges.x0 * 72 / figure.dpi, edges.x1 * 72 / figure.dpi
    for name, (x, y) in centres.items():
        width = 5.6 * len(name)
        places = [
            (dx, dy, align)
            for dy in (0, 14, -14, 26, -26)
            for dx, align in ((13, "left"), (-13, "right"), (0, "center"))
            if dy or align != "center"
        ]
        boxes = []
        for dx, dy, align in places:
            left = x + dx - {"left": 0.0, "right": width, "center": width / 2}[align]
            boxes.append((left, y + dy - 6, left + width, y + dy + 6))
        within = [i for i, (left, _, right, _) in enumerate(boxes) if left > low and right < high]
        free = [i for i in within if not any(_overlap(boxes[i], other) for other in taken)]
        best = (free or within or [0])[0]
        taken.append(boxes[best])
        dx, dy, align = places[best]
        axes.annotate(
            literal_text(name), points[name], xytext=(dx, dy), textcoords="offset points", ha=align, va="center",
            fontsize=9.5,
        )  # fmt: skip


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw_line(
    axes: Axes, style: Style, x: Sequence[float], y: Sequence[float], *, every: int = 1, joined: bool = True
) -> None:
    axes.plot(
        x, y, color=style.hex, marker=style.marker, markersize=4.5, linewidth=1.7, markevery=every, markeredgewidth=0,
        linestyle=style.dash if joined else "", zorder=3,
    )  # fmt: skip


def _finish(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(literal_text(x_label))
    axes.set_ylabel(literal_text(y_label))
    axes.grid(color=_GRID, linewidth=0.8)
    tidy_axes(axes)
    axes.tick_params(labelsize=9.5, labelcolor=_INK)
    axes.xaxis.label.set(fontsize=10, color=_INK)
    axes.yaxis.label.set(fontsize=10, color=_INK)


def _scale(axes: Axes, values: Mapping[str, Sequence[float]], signed: bool) -> None:
    """Errors from zero up; signed ones around zero, with the band that is right and the names of the sides."""
    if not signed:
        _cut(axes, values, _limit(values))
        return
    axes.axhspan(-OFF, OFF, color=_BAND, linewidth=0, zorder=0)
    axes.axhline(0, color=_SOFT, linewidth=0.9, zorder=1)
    high = max(0.13, 1.3 * max((y for row in values.values() for y in row), default=0.0))
    low = min(-0.13, 1.3 * min((y for row in values.values() for y in row), default=0.0))
    axes.set_ylim(low, high)
    for y, side, align in ((0.98, "over-confident", "top"), (0.02, "under-confident", "bottom")):
        axes.text(0.02, y, side, transform=axes.transAxes, va=align, fontsize=9, color=_SOFT)


def _limit(values: Mapping[str, Sequence[float]]) -> float:
    """Top of the axis: one lifter in the wrong unit must not flatten the others."""
    tops = [max(row) for row in values.values() if len(row)]
    return 1.1 * min(max(tops), _OFF_CHART * float(np.median(tops))) if tops else 1.0


def _cut(axes: Axes, values: Mapping[str, Sequence[float]], limit: float) -> None:
    axes.set_ylim(0, limit or 1.0)
    beyond = [lifter for lifter, row in values.items() if len(row) and max(row) > limit]
    if beyond:
        text = literal_text(f"off the chart: {', '.join(beyond)}")
        axes.text(0.98, 0.98, text, transform=axes.transAxes, ha="right", va="top", fontsize=9, color=_SOFT)
