"""Pictures of the relative-depth experiments (Ronchi et al. 2018, figures 1d, 4, table 1), from their JSON file.

matplotlib is imported when a figure is made, not with this module.

The results hold ``runs`` by name, each with its ``group`` (budget, ablation, noise2d, labelnoise), ``method``
(supervised, relative, mixture), ``label`` and measures; ``baselines`` with the same measures; and ``size``. What is
missing is left out. Figures that compare methods use each one's *main run*: the run named as the method, else the one
of its budget runs with most megabytes.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files.writing import atomic_write
from ..view.drawing import literal_text, new_figure, tidy_axes
from ..view.evaluation import evaluation_folder
from .crowd_figures import crowd_figure, finetuning_figure
from .results import (
    BASELINE,
    ERROR,
    METHODS,
    Results,
    Run,
    draw_flat_depth,
    finish,
    group_of,
    has,
    main_runs,
    megabytes_of,
    only_method,
    pool_sides,
    titled,
    white_rim,
)

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

#: Percentiles of the published cumulative curve: quartiles, and one and two standard deviations of a Gaussian.
_PERCENTILES = (25.0, 50.0, 68.3, 95.4)
_DPI = 150


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
    for method in METHODS:
        runs = [run for run in group_of(results, "budget", method) if megabytes_of(run) > 0 and has(run, ERROR)]
        if runs:
            lines[method] = sorted(runs, key=megabytes_of)
    if not lines:
        return None
    figure, axes = new_figure((8.2, 5.4))
    for method, runs in lines.items():
        colour, marker = METHODS[method]
        axes.plot(
            [megabytes_of(run) for run in runs], [run[ERROR] for run in runs], color=colour, marker=marker,
            markersize=5.5, linewidth=1.8, label=method,
        )  # fmt: skip
        last = runs[-1]
        axes.annotate(
            method, (megabytes_of(last), last[ERROR]), xytext=(10, 0), textcoords="offset points", va="center",
            fontsize=10.5, fontweight="bold", color=colour, path_effects=white_rim(),
        )  # fmt: skip
    points = sorted((run for runs in lines.values() for run in runs), key=lambda run: run[ERROR])
    for rank in range(len(points)):
        _label_point(axes, points, rank)
    axes.set_xscale("log")
    axes.margins(x=0.1)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(0, 1.2 * points[-1][ERROR])
    draw_flat_depth(axes, results)
    axes.set_xlabel("supervision (megabytes of labels)")
    axes.set_ylabel("P-MPJPE (mm)")
    axes.grid(color="0.92", linewidth=0.8)
    finish(axes, results, "Error against the size of the supervision")
    return figure


def _label_point(axes: Axes, points: list[Run], rank: int) -> None:
    """Above the highest of the points that stand close together, beneath the lowest; between them is no room.

    To the right above, to the left beneath: lines fall as the supervision grows. ``points`` rise in error, so that of
    two equal ones one is the higher.
    """
    run, room = points[rank], 0.1 * points[-1][ERROR]
    close = [
        other
        for other, point in enumerate(points)
        if 0.6 < megabytes_of(point) / megabytes_of(run) < 1 / 0.6 and abs(point[ERROR] - run[ERROR]) < room
    ]
    # A percent sign stays with its number.
    label = textwrap.fill(str(run.get("label", "")).replace(" %", "\N{NO-BREAK SPACE}%"), 9)
    above = rank == close[-1]
    if above or rank == close[0]:
        axes.annotate(
            literal_text(label), (megabytes_of(run), run[ERROR]), xytext=(-2, 7) if above else (2, -7),
            textcoords="offset points", ha="left" if above else "right", va="bottom" if above else "top", fontsize=7,
            linespacing=1.0, color="0.35", path_effects=white_rim(),
        )  # fmt: skip


# -- joints, poses, gaps of the main runs ------------------------------------------------------------------


def joint_figure(results: Results) -> Figure | None:
    """Mean and standard deviation of each joint's error (mm, after similarity alignment), main runs side by side.

    Left and right are pooled.

    Arguments, return value and errors as `supervision_figure`.
    """
    runs = main_runs(results, "per joint")
    if not runs:
        return None
    tables = {method: pool_sides(run["per joint"]) for method, run in runs.items()}
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
            place, mean, height=0.9 * height, color=METHODS[method][0], label=method, xerr=whiskers,
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
    finish(axes, results, "Error of each joint, left and right pooled")
    axes.tick_params(axis="y", length=0, labelsize=9)
    return figure


def cumulative_figure(results: Results) -> Figure | None:
    """Share of test poses below each P-MPJPE (mm), with the 25, 50, 68.3 and 95.4 percentiles; main runs.

    Arguments, return value and errors as `supervision_figure`.
    """
    runs = main_runs(results, "cumulative")
    if not runs:
        return None
    figure, axes = new_figure((7.0, 4.8))
    rows = []
    limit, reached = 0.0, np.zeros(len(_PERCENTILES))
    for method, run in runs.items():
        colour, marker = METHODS[method]
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
        cell.set_text_props(color="0.3" if row == 0 else METHODS[rows[row - 1][0]][0])
    axes.set_xlim(0, 1.02 * limit)
    axes.set_ylim(0, 101)
    axes.set_yticks([0.0, *_PERCENTILES, 100.0], [f"{share:g}" for share in (0.0, *_PERCENTILES, 100.0)])
    axes.set_xlabel("P-MPJPE (mm)")
    axes.set_ylabel("poses with a smaller error (%)")
    finish(axes, results, "Cumulative error of the test poses")
    return figure


def order_figure(results: Results) -> Figure | None:
    """Share of joint pairs in the right depth order, in bins of their true gap; main runs and the mean pose.

    Arguments, return value and errors as `supervision_figure`. Flat depth is left out: it orders nothing.
    """
    mean_pose = results.get("baselines", {}).get("mean pose", {})
    series = {method: run["order by gap"] for method, run in main_runs(results, "order by gap").items()}
    if not series:
        return None
    if has(mean_pose, "order by gap"):
        series["mean pose"] = mean_pose["order by gap"]
    bins = list(dict.fromkeys((row["from"], row["to"]) for rows in series.values() for row in rows))
    bins.sort(key=lambda bin_: bin_[0])
    figure, axes = new_figure((7.2, 4.6))
    counts = {}
    for name, rows in series.items():
        colour, marker = METHODS.get(name, (BASELINE, "v"))
        full = [row for row in rows if has(row, "accuracy")]
        counts.update({(row["from"], row["to"]): row["pairs"] for row in full})
        place = [bins.index((row["from"], row["to"])) for row in full]
        axes.plot(
            place, [100 * row["accuracy"] for row in full], color=colour, marker=marker, markersize=5.5, linewidth=1.8,
            linestyle="--" if name == "mean pose" else "-", label=name,
        )  # fmt: skip
    axes.axhline(50, color="0.6", linewidth=0.9, linestyle=":")
    axes.text(len(bins) - 0.6, 50.8, "chance", ha="right", va="bottom", fontsize=8, color="0.45")
    lowest = min(100 * row["accuracy"] for rows in series.values() for row in rows if has(row, "accuracy"))
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
    finish(axes, results, "Depth order of all pairs of joints")
    return figure


# -- noise and ablations -----------------------------------------------------------------------------------


def keypoint_noise_figure(results: Results) -> Figure | None:
    """P-MPJPE (mm) against the noise of the test keypoints (px): trained without noise, and with the same noise.

    Main runs stand at noise 0 where no run of the group does. Arguments, return value and errors as
    `supervision_figure`.
    """
    main = main_runs(results, ERROR)
    panels: dict[str, dict[str, dict[float, float]]] = {}
    for title, with_training in (("noise at test only", False), ("the same noise at training and test", True)):
        for method in METHODS:
            points = {}
            for run in group_of(results, "noise2d", method):
                if not (has(run, "noise") and has(run, ERROR)):
                    continue
                training, test = float(run["noise"]["train"]), float(run["noise"]["test"])
                if training == (test if with_training else 0.0):
                    points[test] = float(run[ERROR])
            if any(noise > 0 for noise in points):
                if method in main:
                    points.setdefault(0.0, float(main[method][ERROR]))
                panels.setdefault(title, {})[method] = points
    if not panels:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.0 + 4.0 * len(panels), 4.4), layout="constrained")
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    highest = max(error for panel in panels.values() for points in panel.values() for error in points.values())
    for axes, (title, panel) in zip(every, panels.items(), strict=True):
        for method, points in panel.items():
            colour, marker = METHODS[method]
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
    figure.suptitle(titled(results, "Error against the noise of the keypoints"), fontsize=11, x=0.02, ha="left")
    return figure


def label_noise_figure(results: Results) -> Figure | None:
    """P-MPJPE (mm) a level of label noise: the probability that a label is flipped, and the crowd's noise.

    The crowd stands between 0.25 and 0.5. The main run stands at 0 where no run of the group does. Arguments, return
    value and errors as `supervision_figure`.
    """
    main = main_runs(results, ERROR)
    bars: dict[str, dict[float | str, float]] = {}
    for method in METHODS:
        runs = [run for run in group_of(results, "labelnoise", method) if has(run, ERROR) and has(run, "flip")]
        if runs:
            bars[method] = {run["flip"]: float(run[ERROR]) for run in runs}
            if method in main:
                bars[method].setdefault(0.0, float(main[method][ERROR]))
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
            place, [values[level] for level in shown], width=0.92 * width, color=METHODS[method][0], label=method
        )
        axes.bar_label(drawn, fmt="%.0f", padding=2, fontsize=8, color="0.3", path_effects=white_rim())
    axes.set_ylim(0, 1.12 * max(value for values in bars.values() for value in values.values()))
    draw_flat_depth(axes, results)
    axes.set_xticks(range(len(levels)), ["like a crowd" if level == "crowd" else f"{level:g}" for level in levels])
    axes.set_xlim(-0.6, len(levels) - 0.4)
    axes.set_xlabel("probability that a label is flipped")
    axes.set_ylabel("P-MPJPE (mm)")
    if len(bars) > 1:
        axes.legend(loc="upper left", frameon=False, fontsize=10)
    finish(axes, results, f"Error against the noise of the labels{only_method(bars)}")
    axes.tick_params(axis="x", length=0)
    return figure


def ablation_figure(results: Results) -> Figure | None:
    """P-MPJPE (mm) of each ablation, in the order of the results, beside the main runs.

    Arguments, return value and errors as `supervision_figure`.
    """
    ablations = [run for method in METHODS for run in group_of(results, "ablation", method) if has(run, ERROR)]
    if not ablations:
        return None
    rows = [
        (f"{method}: {run.get('label', 'main run')}", method, run, True)
        for method, run in main_runs(results, ERROR).items()
    ]
    rows += [(str(run.get("label", "")), run["method"], run, False) for run in ablations]
    figure, axes = new_figure((7.4, 1.5 + 0.34 * len(rows)))
    limit = 1.12 * max(run[ERROR] for *_, run, _ in rows)
    for place, (_, method, run, is_main) in enumerate(rows):
        colour = METHODS[method][0]
        axes.barh(
            place, run[ERROR], height=0.72, color=colour, alpha=1.0 if is_main else 0.55, edgecolor=colour,
            linewidth=0.8,
        )  # fmt: skip
        axes.text(run[ERROR] + 0.008 * limit, place, f"{run[ERROR]:.1f}", va="center", fontsize=8, color="0.3")
    axes.set_yticks(range(len(rows)), [literal_text(label) for label, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, limit)
    axes.set_xlabel("P-MPJPE (mm)")
    finish(axes, results, f"Ablations{only_method({run['method'] for run in ablations})}")
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
    "crowd.png": crowd_figure,
    "fine-tuning.png": finetuning_figure,
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
