"""What the figures of the relative-depth experiments share: what their results hold, colours, titles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files.errors import InputError
from ..view.drawing import tidy_axes
from ..view.palette import SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "BASELINE",
    "ERROR",
    "METHODS",
    "Results",
    "Run",
    "draw_flat_depth",
    "finish",
    "group_of",
    "has",
    "main_runs",
    "megabytes_of",
    "only_method",
    "pool_sides",
    "runs_of",
    "titled",
    "white_rim",
]

#: Told apart by colour-blind people and in grey (Okabe & Ito 2008): colour, marker.
METHODS = {"supervised": (SERIES[0], "o"), "relative": (SERIES[1], "s"), "mixture": (SERIES[2], "D")}
BASELINE = "0.45"
ERROR = "P-MPJPE"

Results = Mapping[str, Any]
Run = Mapping[str, Any]


# -- what the results hold ---------------------------------------------------------------------------------


def has(row: Mapping[str, Any], name: str) -> bool:
    """Whether there is something to draw: neither missing nor None, nor empty, nor NaN."""
    value = row.get(name)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is not None and value != [] and value != {}


def runs_of(results: Results) -> dict[str, Run]:
    if "runs" not in results:
        raise InputError("the results have no 'runs'; make them with `poseterior experiments relative`")
    for name, run in results["runs"].items():
        if run.get("method") not in METHODS:
            raise InputError(f"run {name!r}: method: expected one of {', '.join(METHODS)}, got {run.get('method')!r}")
    return dict(results["runs"])


def group_of(results: Results, group: str, method: str) -> list[Run]:
    return [run for run in runs_of(results).values() if run.get("group") == group and run["method"] == method]


def megabytes_of(run: Run) -> float:
    return float(run["megabytes"]) if has(run, "megabytes") else 0.0


def main_runs(results: Results, measure: str) -> dict[str, Run]:
    """Each method's main run, if it has this measure."""
    runs = runs_of(results)
    main = {}
    for method in METHODS:
        run = runs.get(method) or max(group_of(results, "budget", method), key=megabytes_of, default=None)
        if run is not None and has(run, measure):
            main[method] = run
    return main


def pool_sides(table: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation a joint type: left and right have equally many poses."""
    sides: dict[str, list[tuple[float, float]]] = {}
    for joint, row in table.items():
        if has(row, "mean"):
            name = joint.removeprefix("left_").removeprefix("right_")
            sides.setdefault(name, []).append((row["mean"], row["std"] if has(row, "std") else 0.0))
    pooled = {}
    for name, rows in sides.items():
        mean, std = np.asarray(rows, float).T
        pooled[name] = float(mean.mean()), float(np.sqrt((std**2).mean() + mean.var()))
    return pooled


# -- drawing -----------------------------------------------------------------------------------------------


def white_rim() -> list[Any]:
    """Keeps text legible over lines."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="white")]


def draw_flat_depth(axes: Axes, results: Results) -> None:
    """A line at the error of the true x and y with no depth at all."""
    flat = results.get("baselines", {}).get("flat depth", {})
    if not has(flat, ERROR):
        return
    axes.axhline(flat[ERROR], color=BASELINE, linewidth=1.0, linestyle="--", zorder=0)
    axes.annotate(
        "flat depth", (1, flat[ERROR]), xycoords=("axes fraction", "data"), xytext=(4, 0),
        textcoords="offset points", va="center", fontsize=8, color=BASELINE,
    )  # fmt: skip
    axes.set_ylim(top=max(axes.get_ylim()[1], 1.08 * flat[ERROR]))


def only_method(methods: Any) -> str:
    """Names the method where there is one only, so that no legend is needed."""
    names = [method for method in METHODS if method in methods]
    return f": {names[0]}" if len(names) == 1 else ""


def titled(results: Results, what: str) -> str:
    return what + (" (quick runs)" if results.get("size") == "quick" else "")


def finish(axes: Axes, results: Results, title: str) -> None:
    axes.set_title(titled(results, title), fontsize=11, loc="left")
    tidy_axes(axes)
