"""Pictures of the relative-depth experiments (Ronchi et al. 2018, figures 1d, 4 and table 1), from their JSON file.

matplotlib is imported when a figure is made, not with this module.

The results hold ``runs`` by name, each with its ``group`` (budget, ablation, noise2d, labelnoise), ``method``
(supervised, relative, mixture), ``label`` and measures; ``baselines`` with the same measures; and ``size``. What is
missing is left out. Figures that compare methods use each one's *main run*: the run named as the method, else the one
of its budget runs with most megabytes.
"""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files.errors import InputError
from ..files.writing import atomic_write
from ..view.drawing import literal_text, new_figure, tidy_axes
from ..view.evaluation import evaluation_folder
from ..view.palette import SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


__all__ = [
    "ablation_figure",
    "cumulative_figure",
    "joint_figure",
    "keypoint_noise_figure",
    "label_noise_figure",
    "order_figure",
    "save_relative_figures",
    "supervision_figure",
]

#: Told apart by colour-blind people and in grey (Okabe & Ito 2008): colour, marker.
_METHODS = {"supervised": (SERIES[0], "o"), "relative": (SERIES[1], "s"), "mixture": (SERIES[2], "D")}
_BASELINE = "0.45"
#: Percentiles of the published cumulative curve: quartiles, and one and two standard deviations of a Gaussian.
_PERCENTILES = (25.0, 50.0, 68.3, 95.4)
_ERROR = "P-MPJPE"
_DPI = 150

Results = Mapping[str, Any]
Run = Mapping[str, Any]


# -- error against supervision -----------------------------------------------------------------------------


def supervision_figure(results: Results) -> Figure | None:
    """P-MPJPE (mm) against megabytes of supervision (log axis), a line a method, each point with its label.

    Args:
        results: see the module.

    Returns:
        a matplotlib ``Figure`` of its own (no pyplot state); None if there is nothing to draw.

    Raises:
        InputError: ``runs`` is missing, or a run has no known method.
    """
    lines = {}
    for method in _METHODS:
        runs = [run for run in _group(results, "budget", method) if _megabytes(run) > 0 and _has(run, _ERROR)]
        if runs:
            lines[method] = sorted(runs, key=_megabytes)
    if not lines:
        return None
    figure, axes = new_figure((8.2, 5.4))
    for method, runs in lines.items():
        colour, marker = _METHODS[method]
        axes.plot(
            [_megabytes(run) for run in runs], [run[_ERROR] for run in runs], color=colour, marker=marker,
            markersize=5.5, linewidth=1.8, label=method,
        )  # fmt: skip
        last = runs[-1]
        axes.annotate(
            method, (_megabytes(last), last[_ERROR]), xytext=(10, 0), textcoords="offset points", va="center",
            fontsize=10.5, fontweight="bold", color=colour, path_effects=_white_rim(),
        )  # fmt: skip
    points = sorted((run for runs in lines.values() for run in runs), key=lambda run: run[_ERROR])
    for rank in range(len(points)):
        _label_point(axes, points, rank)
    axes.set_xscale("log")
    axes.margins(x=0.1)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(0, 1.2 * points[-1][_ERROR])
    _draw_flat_depth(axes, results)
    axes.set_xlabel("supervision (megabytes of labels)")
    axes.set_ylabel("P-MPJPE (mm)")
    axes.grid(color="0.92", linewidth=0.8)
    _finish(axes, results, "Error against the size of the supervision")
    return figure


def _label_point(axes: Axes, points: list[Run], rank: int) -> None:
    """Above the highest of the points that stand close together, beneath the lowest; between them is no room.

    To the right above, to the left beneath: lines fall as the supervision grows. ``points`` rise in error, so that of
    two equal ones one is the higher.
    """
    run, room = points[rank], 0.1 * points[-1][_ERROR]
    close = [
        other
        for other, point in enumerate(points)
        if 0.6 < _megabytes(point) / _megabytes(run) < 1 / 0.6 and abs(point[_ERROR] - run[_ERROR]) < room
    ]
    # A percent sign stays with its number.
    label = textwrap.fill(str(run.get("label", "")).replace(" %", "\N{NO-BREAK SPACE}%"), 9)
    above = rank == close[-1]
    if above or rank == close[0]:
        axes.annotate(
            literal_text(label), (_megabytes(run), run[_ERROR]), xytext=(-2, 7) if above else (2, -7),
            textcoords="offset points", ha="left" if above else "right", va="bottom" if above else "top", fontsize=7,
            linespacing=1.0, color="0.35", path_effects=_white_rim(),
        )  # fmt: skip


# -- joints, poses, gaps of the main runs ------------------------------------------------------------------


def joint_figure(results: Results) -> Figure | None:
    """Mean and standard deviation of each joint's error (mm, after similarity alignment), main runs side by side.

    Left and right are pooled.

    Arguments, return value and errors as `supervision_figure`.
    """
    runs = _main_runs(results, "per joint")
    if not runs:
        return None
    tables = {method: _pool_sides(run["per joint"]) for method, run in runs.items()}
    joints = list(dict.fromkeys(joint for table in tables.values() for joint in table))
    figure, axes = new_figure((7.4, 1.3 + 0.3 * len(joints) * (1 + 0.35 * len(runs))))
    height = 0.8 / len(runs)
    limit = max(mean + std for table in tables.values() for mean, std in table.values())
    for row, (method, table) in enumerate(tables.items()):
        shown = [joint for joint in joints if joint in table]
        place = np.asarray([joints.index(joint) for joint in shown]) + height * (row - (len(runs) - 1) / 2)
        mean, std = np.asarray([table[joint] for joint in shown]).T
        # Errors are never below zero, so neither are the whiskers.
        whiskers = np.stack([np.minimum(std, mean), std])
        axes.barh(
            place, mean, height=0.9 * height, color=_METHODS[method][0], label=method, xerr=whiskers,
            error_kw={"ecolor": "0.2", "elinewidth": 0.9, "capsize": 2},
        )  # fmt: skip
        for y, m, low, high in zip(place, mean, mean - whiskers[0], mean + std, strict=True):
            inside = low > 0.05 * limit
            axes.text(
                0.01 * limit if inside else high + 0.01 * limit, y, f"{m:.0f}", va="center", fontsize=7.5,
                color="white" if inside else "0.3",
            )  # fmt: skip
    axes.set_yticks(range(len(joints)), [joint.replace("_", " ") for joint in joints])
    axes.set_ylim(len(joints) - 0.4, -0.6)
    axes.set_xlim(0, 1.08 * limit)
    axes.set_xlabel("error after alignment (mm): mean, and standard deviation over the poses")
    figure.legend(loc="outside lower center", ncols=len(runs), frameon=False, fontsize=10)
    _finish(axes, results, "Error of each joint, left and right pooled")
    axes.tick_params(axis="y", length=0, labelsize=9)
    return figure


def cumulative_figure(results: Results) -> Figure | None:
    """Share of test poses below each P-MPJPE (mm), with the 25, 50, 68.3 and 95.4 percentiles; main runs.

    Arguments, return value and errors as `supervision_figure`.
    """
    runs = _main_runs(results, "cumulative")
    if not runs:
        return None
    figure, axes = new_figure((7.0, 4.8))
    rows = []
    limit, reached = 0.0, np.zeros(len(_PERCENTILES))
    for method, run in runs.items():
        colour, marker = _METHODS[method]
        errors = np.asarray(run["cumulative"], float)
        share = np.linspace(0, 100, len(errors))
        marks = np.interp(_PERCENTILES, share, errors)
        axes.plot(errors, share, color=colour, linewidth=1.8, label=method)
        axes.plot(marks, _PERCENTILES, color=colour, marker=marker, markersize=5.5, linestyle="")
        rows.append([method, *(f"{mark:.0f}" for mark in marks)])
        # A few failures would squeeze all else into a corner.
        limit = max(limit, float(np.interp(99.0, share, errors)))
        reached = np.maximum(reached, marks)
    axes.hlines(_PERCENTILES, 0, reached, color="0.85", linewidth=0.8, zorder=0)
    table = axes.table(
        [[f"{row[0]} (mm)", *row[1:]] for row in rows],
        colLabels=["share of poses", *(f"{percentile:g} %" for percentile in _PERCENTILES)],
        colWidths=[0.4, 0.15, 0.15, 0.15, 0.15], bbox=[0.46, 0.04, 0.53, 0.075 * (len(rows) + 1)],
        edges="horizontal", cellLoc="right",
    )  # fmt: skip
    table.auto_set_font_size(False)
    table.set_fontsize(8.5)
    for (row, _), cell in table.get_celld().items():
        cell.set_edgecolor("0.85")
        cell.set_text_props(color="0.3" if row == 0 else _METHODS[rows[row - 1][0]][0])
    axes.set_xlim(0, 1.02 * limit)
    axes.set_ylim(0, 101)
    axes.set_yticks([0.0, *_PERCENTILES, 100.0], [f"{share:g}" for share in (0.0, *_PERCENTILES, 100.0)])
    axes.set_xlabel("P-MPJPE (mm)")
    axes.set_ylabel("poses with a smaller error (%)")
    _finish(axes, results, "Cumulative error of the test poses")
    return figure


def order_figure(results: Results) -> Figure | None:
    """Share of joint pairs in the right depth order, in bins of their true gap; main runs and the mean pose.

    Arguments, return value and errors as `supervision_figure`. Flat depth is left out: it orders nothing.
    """
    mean_pose = results.get("baselines", {}).get("mean pose", {})
    series = {method: run["order by gap"] for method, run in _main_runs(results, "order by gap").items()}
    if not series:
        return None
    if _has(mean_pose, "order by gap"):
        series["mean pose"] = mean_pose["order by gap"]
    bins = list(dict.fromkeys((row["from"], row["to"]) for rows in series.values() for row in rows))
    bins.sort(key=lambda bin_: bin_[0])
    figure, axes = new_figure((7.2, 4.6))
    counts = {}
    for name, rows in series.items():
        colour, marker = _METHODS.get(name, (_BASELINE, "v"))
        full = [row for row in rows if _has(row, "accuracy")]
        counts.update({(row["from"], row["to"]): row["pairs"] for row in full})
        place = [bins.index((row["from"], row["to"])) for row in full]
        axes.plot(
            place, [100 * row["accuracy"] for row in full], color=colour, marker=marker, markersize=5.5, linewidth=1.8,
            linestyle="--" if name == "mean pose" else "-", label=name,
        )  # fmt: skip
    axes.axhline(50, color="0.6", linewidth=0.9, linestyle=":")
    axes.text(len(bins) - 0.6, 50.8, "chance", ha="right", va="bottom", fontsize=8, color="0.45")
    lowest = min(100 * row["accuracy"] for rows in series.values() for row in rows if _has(row, "accuracy"))
    axes.set_ylim(min(45.0, lowest - 5), 101)
    axes.set_xlim(-0.4, len(bins) - 0.6)
    names = [f"{1000 * low:g}–{1000 * high:g}" if high is not None else f"above {1000 * low:g}" for low, high in bins]
    total = max(sum(counts.values()), 1)
    shares = [f"{100 * counts.get(bin_, 0) / total:.0f} % of pairs" for bin_ in bins]
    axes.set_xticks(range(len(bins)), [f"{name}\n{share}" for name, share in zip(names, shares, strict=True)])
    axes.set_xlabel("true gap in depth (mm)")
    axes.set_ylabel("pairs in the right order (%)")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.12), frameon=False, fontsize=10)
    axes.grid(axis="y", color="0.92", linewidth=0.8)
    _finish(axes, results, "Depth order of all pairs of joints")
    return figure


# -- noise and ablations -----------------------------------------------------------------------------------


def keypoint_noise_figure(results: Results) -> Figure | None:
    """P-MPJPE (mm) against the noise of the test keypoints (px): trained without noise, and with the same noise.

    Main runs stand at noise 0 where no run of the group does. Arguments, return value and errors as
    `supervision_figure`.
    """
    main = _main_runs(results, _ERROR)
    panels: dict[str, dict[str, dict[float, float]]] = {}
    for title, with_training in (("noise at test only", False), ("the same noise at training and test", True)):
        for method in _METHODS:
            points = {}
            for run in _group(results, "noise2d", method):
                if not (_has(run, "noise") and _has(run, _ERROR)):
                    continue
                training, test = float(run["noise"]["train"]), float(run["noise"]["test"])
                if training == (test if with_training else 0.0):
                    points[test] = float(run[_ERROR])
            if any(noise > 0 for noise in points):
                if method in main:
                    points.setdefault(0.0, float(main[method][_ERROR]))
                panels.setdefault(title, {})[method] = points
    if not panels:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.0 + 4.0 * len(panels), 4.4), layout="constrained")
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    highest = max(error for panel in panels.values() for points in panel.values() for error in points.values())
    for axes, (title, panel) in zip(every, panels.items(), strict=True):
        for method, points in panel.items():
            colour, marker = _METHODS[method]
            x = sorted(points)
            y = [points[noise] for noise in x]
            axes.plot(x, y, color=colour, marker=marker, markersize=5.5, linewidth=1.8, label=method)
        axes.set_ylim(0, 1.12 * highest)
        axes.margins(x=0.06)
        axes.set_xticks(sorted({noise for points in panel.values() for noise in points}))
        axes.xaxis.set_major_formatter("{x:.3g}")
        axes.set_xlabel("standard deviation of the noise (px)")
        axes.grid(color="0.92", linewidth=0.8)
        axes.set_title(title, fontsize=10)
        tidy_axes(axes)
    every[0].set_ylabel("P-MPJPE (mm)", fontsize=9)
    every[0].legend(loc="lower right", frameon=False, fontsize=10)
    figure.suptitle(_title(results, "Error against the noise of the keypoints"), fontsize=11, x=0.02, ha="left")
    return figure


def label_noise_figure(results: Results) -> Figure | None:
    """P-MPJPE (mm) a level of label noise: the probability that a label is flipped, and the crowd's noise.

    The crowd stands between 0.25 and 0.5. The main run stands at 0 where no run of the group does. Arguments, return
    value and errors as `supervision_figure`.
    """
    main = _main_runs(results, _ERROR)
    bars: dict[str, dict[float | str, float]] = {}
    for method in _METHODS:
        runs = [run for run in _group(results, "labelnoise", method) if _has(run, _ERROR) and _has(run, "flip")]
        if runs:
            bars[method] = {run["flip"]: float(run[_ERROR]) for run in runs}
            if method in main:
                bars[method].setdefault(0.0, float(main[method][_ERROR]))
    if not bars:
        return None
    levels: list[float | str] = list({level: None for method in bars.values() for level in method})
    levels.sort(key=lambda level: 0.3 if level == "crowd" else float(level))
    figure, axes = new_figure((7.0, 4.4))
    width = 0.8 / len(bars)
    for row, (method, values) in enumerate(bars.items()):
        shown = [level for level in levels if level in values]
        place = [levels.index(level) + width * (row - (len(bars) - 1) / 2) for level in shown]
        drawn = axes.bar(
            place, [values[level] for level in shown], width=0.92 * width, color=_METHODS[method][0], label=method
        )
        axes.bar_label(drawn, fmt="%.0f", padding=2, fontsize=8, color="0.3", path_effects=_white_rim())
    axes.set_ylim(0, 1.12 * max(value for values in bars.values() for value in values.values()))
    _draw_flat_depth(axes, results)
    axes.set_xticks(range(len(levels)), ["like a crowd" if level == "crowd" else f"{level:g}" for level in levels])
    axes.set_xlim(-0.6, len(levels) - 0.4)
    axes.set_xlabel("probability that a label is flipped")
    axes.set_ylabel("P-MPJPE (mm)")
    if len(bars) > 1:
        axes.legend(loc="upper left", frameon=False, fontsize=10)
    _finish(axes, results, f"Error against the noise of the labels{_only(bars)}")
    axes.tick_params(axis="x", length=0)
    return figure


def ablation_figure(results: Results) -> Figure | None:
    """P-MPJPE (mm) of each ablation, in the order of the results, beside the main runs.

    Arguments, return value and errors as `supervision_figure`.
    """
    ablations = [run for method in _METHODS for run in _group(results, "ablation", method) if _has(run, _ERROR)]
    if not ablations:
        return None
    rows = [
        (f"{method}: {run.get('label', 'main run')}", method, run, True)
        for method, run in _main_runs(results, _ERROR).items()
    ]
    rows += [(str(run.get("label", "")), run["method"], run, False) for run in ablations]
    figure, axes = new_figure((7.4, 1.5 + 0.34 * len(rows)))
    limit = 1.12 * max(run[_ERROR] for *_, run, _ in rows)
    for place, (_, method, run, is_main) in enumerate(rows):
        colour = _METHODS[method][0]
        axes.barh(
            place, run[_ERROR], height=0.72, color=colour, alpha=1.0 if is_main else 0.55, edgecolor=colour,
            linewidth=0.8,
        )  # fmt: skip
        axes.text(run[_ERROR] + 0.008 * limit, place, f"{run[_ERROR]:.1f}", va="center", fontsize=8, color="0.3")
    axes.set_yticks(range(len(rows)), [literal_text(label) for label, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, limit)
    axes.set_xlabel("P-MPJPE (mm)")
    _finish(axes, results, f"Ablations{_only({run['method'] for run in ablations})}")
    axes.tick_params(axis="y", length=0, labelsize=9)
    return figure


# -- files -------------------------------------------------------------------------------------------------

_FIGURES: dict[str, Callable[[Results], Any]] = {
    "supervision.png": supervision_figure,
    "joints.png": joint_figure,
    "cumulative.png": cumulative_figure,
    "keypoint-noise.png": keypoint_noise_figure,
    "label-noise.png": label_noise_figure,
    "ablations.png": ablation_figure,
    "depth-order.png": order_figure,
}


def save_relative_figures(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the figures that the results suffice for into a folder, which is made if need be; returns their paths.

    Args:
        results: see the module.

    Raises:
        InputError: ``runs`` is missing, a run has no known method, or the folder cannot be written to.
    """
    target = evaluation_folder(folder)
    paths = []
    for name, draw in _FIGURES.items():
        figure = draw(results)
        if figure is None:
            continue
        with atomic_write(target / name) as file:
            figure.savefig(file, format="png", dpi=_DPI, facecolor="white")
        paths.append(target / name)
    return paths


# -- what the results hold ---------------------------------------------------------------------------------


def _has(row: Mapping[str, Any], name: str) -> bool:
    """Whether there is something to draw: neither missing nor None, nor empty, nor NaN."""
    value = row.get(name)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is not None and value != [] and value != {}


def _runs(results: Results) -> dict[str, Run]:
    if "runs" not in results:
        raise InputError("the results have no 'runs'; make them with `poseterior experiments relative`")
    for name, run in results["runs"].items():
        if run.get("method") not in _METHODS:
            raise InputError(f"run {name!r}: method: expected one of {', '.join(_METHODS)}, got {run.get('method')!r}")
    return dict(results["runs"])


def _group(results: Results, group: str, method: str) -> list[Run]:
    return [run for run in _runs(results).values() if run.get("group") == group and run["method"] == method]


def _megabytes(run: Run) -> float:
    return float(run["megabytes"]) if _has(run, "megabytes") else 0.0


def _main_runs(results: Results, measure: str) -> dict[str, Run]:
    """Each method's main run, if it has this measure."""
    runs = _runs(results)
    main = {}
    for method in _METHODS:
        run = runs.get(method) or max(_group(results, "budget", method), key=_megabytes, default=None)
        if run is not None and _has(run, measure):
            main[method] = run
    return main


def _pool_sides(table: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation a joint type: left and right have equally many poses."""
    sides: dict[str, list[tuple[float, float]]] = {}
    for joint, row in table.items():
        if _has(row, "mean"):
            name = joint.removeprefix("left_").removeprefix("right_")
            sides.setdefault(name, []).append((row["mean"], row["std"] if _has(row, "std") else 0.0))
    pooled = {}
    for name, rows in sides.items():
        mean, std = np.asarray(rows, float).T
        pooled[name] = float(mean.mean()), float(np.sqrt((std**2).mean() + mean.var()))
    return pooled


# -- drawing -----------------------------------------------------------------------------------------------


def _white_rim() -> list[Any]:
    """Keeps text legible over lines."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="white")]


def _draw_flat_depth(axes: Axes, results: Results) -> None:
    """A line at the error of the true x and y with no depth at all."""
    flat = results.get("baselines", {}).get("flat depth", {})
    if not _has(flat, _ERROR):
        return
    axes.axhline(flat[_ERROR], color=_BASELINE, linewidth=1.0, linestyle="--", zorder=0)
    axes.annotate(
        "flat depth", (1, flat[_ERROR]), xycoords=("axes fraction", "data"), xytext=(4, 0),
        textcoords="offset points", va="center", fontsize=8, color=_BASELINE,
    )  # fmt: skip
    axes.set_ylim(top=max(axes.get_ylim()[1], 1.08 * flat[_ERROR]))


def _only(methods: Any) -> str:
    """Names the method where there is one only, so that no legend is needed."""
    names = [method for method in _METHODS if method in methods]
    return f": {names[0]}" if len(names) == 1 else ""


def _title(results: Results, what: str) -> str:
    return what + (" (quick runs)" if results.get("size") == "quick" else "")


def _finish(axes: Axes, results: Results, title: str) -> None:
    axes.set_title(_title(results, title), fontsize=11, loc="left")
    tidy_axes(axes)
