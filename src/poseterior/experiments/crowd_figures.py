"""Pictures of a crowd's labels and of what they teach (Ronchi et al. 2018, figures 2, 3 and 5), from the same results.

The results hold ``crowd`` (see `poseterior.experiments.crowd.crowd_by_gap`), and runs of the group ``crowd``, which go
on from the run ``relative`` on shares of the labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.labels.simulated import CROWD_SLOPE
from ..view.drawing import literal_text, tidy_axes
from ..view.palette import LIGHT, SERIES
from .results import BASELINE, ERROR, METHODS, Results, finish, group_of, has, main_runs, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["crowd_figure", "finetuning_figure"]

#: Metres that the last row of a table, which has no end, is drawn wide.
_LAST = 0.1


def crowd_figure(results: Results) -> Figure | None:
    """How often a crowd is right: by the true gap in depth, beside the published crowd's, and by joint.

    Whiskers are 95 % intervals. Left and right are pooled, which have about as many labels.

    Arguments, return value and errors as `poseterior.experiments.figures.supervision_figure`.
    """
    table = results.get("crowd", {})
    if not (has(table, "by gap") and has(table, "per joint")):
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
    _by_gap(left, table["by gap"])
    _by_joint(right, table["per joint"])
    figure.suptitle(titled(results, f"How often a crowd is right: {table['labels']:,} labels"), fontsize=11, x=0.02,
                    ha="left")  # fmt: skip
    return figure


def _by_gap(axes: Axes, rows: list[dict[str, Any]]) -> None:
    ends = [row["from"] + _LAST if row["to"] is None else row["to"] for row in rows]
    middle = 500 * np.asarray([row["from"] + end for row, end in zip(rows, ends, strict=True)])
    share, error = (100 * np.asarray([row[name] for row in rows]) for name in ("accuracy", "error"))
    gap = np.linspace(0, 1000 * ends[-1], 100)
    axes.plot(
        gap, np.minimum(50 + 0.1 * CROWD_SLOPE * gap, 100), color=BASELINE, linestyle="--", linewidth=1.2,
        label="published crowd",
    )  # fmt: skip
    axes.errorbar(
        middle, share, 1.96 * error, color=SERIES[1], marker="s", markersize=5.5, linewidth=1.8, capsize=2,
        label="these labels",
    )  # fmt: skip
    axes.axhline(50, color="0.6", linewidth=0.9, linestyle=":")
    axes.text(gap[-1], 50.6, "chance", ha="right", va="bottom", fontsize=8, color=BASELINE)
    edges = [1000 * row["from"] for row in rows]
    axes.set_xticks(edges, [f"{edge:g}" for edge in edges])
    axes.set_xlim(0, gap[-1])
    axes.set_ylim(min(46.0, float(np.min(share - 2 * error)) - 2), 102)
    axes.set_xlabel("true gap in depth (mm)")
    axes.set_ylabel("labels that are right (%)")
    axes.grid(axis="y", color="0.92", linewidth=0.8)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.1), frameon=False, fontsize=9)
    tidy_axes(axes)


def _by_joint(axes: Axes, shares: dict[str, float]) -> None:
    pooled: dict[str, list[float]] = {}
    for joint, share in shares.items():
        pooled.setdefault(joint.removeprefix("left_").removeprefix("right_"), []).append(100 * share)
    values = sorted(((float(np.mean(sides)), joint) for joint, sides in pooled.items()), reverse=True)
    bars = axes.barh(range(len(values)), [value for value, _ in values], height=0.7, color=SERIES[1])
    axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=8, color=LIGHT.soft)
    axes.set_yticks(range(len(values)), [joint.replace("_", " ") for _, joint in values])
    axes.invert_yaxis()
    axes.set_xlim(50, 102)
    axes.set_xlabel("labels of that joint that are right (%)")
    tidy_axes(axes)
    axes.tick_params(axis="y", length=0, labelsize=9)


def finetuning_figure(results: Results) -> Figure | None:
    """Error (mm) and depth order of the relative run, and after going on from it on shares of a crowd's labels.

    Arguments, return value and errors as `poseterior.experiments.figures.supervision_figure`.
    """
    runs = [run for run in group_of(results, "crowd", "relative") if has(run, ERROR) and has(run, "order accuracy")]
    if not runs:
        return None
    from matplotlib.figure import Figure

    before = main_runs(results, ERROR).get("relative")
    rows = [] if before is None else [("before", before)]
    rows += [(str(run.get("label", "")), run) for run in runs]
    colour = METHODS["relative"][0]
    figure = Figure(figsize=(8.4, 1.9 + 0.45 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, measure, factor, words, form in (
        (left, ERROR, 1.0, "P-MPJPE (mm)", "%.1f"),
        (right, "order accuracy", 100.0, "pairs in the right order (%)", "%.1f"),
    ):
        values = [factor * float(run[measure]) for _, run in rows]
        opacity = [0.45 if name == "before" else 1.0 for name, _ in rows]
        bars = axes.barh(range(len(rows)), values, height=0.66, color=colour)
        for bar, alpha in zip(bars, opacity, strict=True):
            bar.set_alpha(alpha)
        axes.bar_label(bars, fmt=form, padding=3, fontsize=8.5, color=LIGHT.soft)
        axes.set_xlim(0, 1.15 * max(values))
        finish(axes, {}, words)
        axes.tick_params(axis="y", length=0, labelsize=9)
    left.set_yticks(range(len(rows)), [literal_text(name) for name, _ in rows])
    left.invert_yaxis()
    figure.suptitle(titled(results, "Going on from a crowd's labels"), fontsize=11, x=0.02, ha="left")
    return figure
