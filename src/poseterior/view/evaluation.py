"""Pictures of an evaluation. matplotlib is imported when a figure is made, not with this module."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files.errors import InputError
from ..files.writing import atomic_write
from .drawing import literal_text, new_figure, tidy_axes, wrapped
from .fonts import legible
from .palette import LIGHT, SERIES
from .scale_figure import scale_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "best_of_figure",
    "evaluation_files",
    "evaluation_folder",
    "save_evaluation_figures",
    "size_figure",
    "spread_figure",
]

#: Also told apart by markers.
_PROTOCOLS = {"P1": ("MPJPE", SERIES[0], "o"), "P2": ("P-MPJPE", SERIES[1], "s")}
_AXES = {"x": ("x, right", SERIES[5]), "y": ("y, down", SERIES[2]), "z": ("z, away from the camera", LIGHT.accent)}
_DPI = 150
#: Inches of a title: the narrowest figure less the words of its vertical axis.
_TITLE_WIDTH = 5.2


def best_of_figure(result: Mapping[str, Any]) -> Figure:
    """Error of the best of N hypotheses against N, under both protocols, in mm.

    Args:
        result: from `poseterior.evaluation.evaluate`, or its JSON file read back.

    Returns:
        a matplotlib ``Figure`` of its own (no pyplot state).

    Raises:
        InputError: the result has no ``published`` best of N.
    """
    curves = _part(_part(result, "published"), "best of N")
    figure, axes = new_figure((6.4, 4.6))
    counts = curves["N"]
    for protocol, (name, colour, marker) in _PROTOCOLS.items():
        axes.plot(counts, curves[protocol], color=colour, marker=marker, markersize=5, linewidth=1.8, label=name)
        for n, error in {(counts[i], curves[protocol][i]) for i in (0, -1)}:
            axes.annotate(
                f"{error:.1f}", (n, error), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=9,
                color=colour,
            )  # fmt: skip
    axes.set_xscale("log")
    # Counts that stand close together on the log axis would print over each other.
    shown = [n for n, after in zip(counts, [*counts[1:], float("inf")], strict=True) if after / n > 1.3]
    axes.set_xticks(shown, [f"{n}" for n in shown])
    axes.minorticks_off()
    axes.set_ylim(0, 1.12 * max(max(curves[p]) for p in _PROTOCOLS))
    axes.set_xlabel("N, number of hypotheses")
    axes.set_ylabel("error of the best of N (mm)")
    axes.legend(loc="lower left", frameon=False, fontsize=10)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_title(_title(result, "expected best of N, averaged over actions"), fontsize=11, loc="left")
    tidy_axes(axes)
    return figure


def spread_figure(result: Mapping[str, Any]) -> Figure:
    """Standard deviation over the hypotheses of each joint along each axis, in mm; arguments as `best_of_figure`.

    Raises:
        InputError: the result has no ``published`` spread.
    """
    table = _part(_part(result, "published"), "spread")["per joint"]
    # the origin is where it is by definition: its bars would say nothing
    joints = [name for name, row in table.items() if any(row.values())]
    figure, axes = new_figure((6.8, 0.8 + 0.42 * (len(joints) + 2)))
    place = np.arange(len(joints))
    limit = 1.12 * max((max(table[name].values()) for name in joints), default=1.0)
    for row, (axis, (label, colour)) in enumerate(_AXES.items()):
        values = [table[name][axis] for name in joints]
        height = place + 0.27 * (row - 1)
        axes.barh(height, values, height=0.25, color=colour, label=label)
        for y, value in zip(height, values, strict=True):
            axes.text(value + 0.006 * limit, y, f"{value:.0f}", va="center", fontsize=7, color="0.3")
    axes.set_yticks(place, [name.replace("_", " ") for name in joints])
    axes.set_ylim(len(joints) - 0.4, -0.6)
    axes.set_xlim(0, limit)
    axes.set_xlabel("standard deviation over the hypotheses (mm)")
    figure.legend(loc="outside lower center", ncols=len(_AXES), frameon=False, fontsize=10)
    axes.set_title(_title(result, "spread per joint, averaged over actions"), fontsize=11, loc="left")
    tidy_axes(axes)
    axes.tick_params(axis="y", length=0, labelsize=9)
    return figure


def size_figure(result: Mapping[str, Any]) -> Figure:
    """Predicted against true body size in metres; arguments as `best_of_figure`, picture as `scale_figure`.

    Raises:
        InputError: the result has no ``size``, or fewer than two of them.
    """
    sizes = _part(result, "size")
    label = f"size of the mean pose against the truth\n{result['protocol']}, {len(sizes['true'])} poses"
    return scale_figure(sizes["predicted"], sizes["true"], label)


_FIGURES = {"best-of-n.png": best_of_figure, "spread.png": spread_figure, "size.png": size_figure}


def evaluation_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The files that `save_evaluation_figures` may write."""
    return [Path(folder, name) for name in _FIGURES]


def evaluation_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder for `save_evaluation_figures`, made if need be.

    Raises:
        InputError: it cannot be made.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be used as a folder ({error.strerror or error})") from None
    return path


def save_evaluation_figures(result: Mapping[str, Any], folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``best-of-n.png``, ``spread.png`` and ``size.png`` into a folder, which is made if need be.

    ``size.png`` is left out where there are no two sizes: the truth lacks a joint of the trunk or the legs, or the
    result is from before there were sizes.

    Returns:
        The paths of the files.

    Raises:
        InputError: the result lacks what is drawn, or the folder cannot be written to.
    """
    target = evaluation_folder(folder)
    paths = []
    for name, draw in _FIGURES.items():
        if draw is size_figure and len(result.get("size", {}).get("true", ())) < 2:
            continue
        figure = legible(draw(result))
        with atomic_write(target / name) as file:
            figure.savefig(file, format="png", dpi=_DPI, facecolor="white")
        paths.append(target / name)
    return paths


def _part(result: Mapping[str, Any], name: str) -> Any:
    if name not in result:
        raise InputError(f"the evaluation has no {name!r}; make it anew with `poseterior evaluate`")
    return result[name]


def _title(result: Mapping[str, Any], what: str) -> str:
    poses = f"{result['poses']} of {result['subset']['of']}" if "subset" in result else result["poses"]
    title = f"{what}\n{result['protocol']}, {poses} poses, {result['samples']} hypotheses"
    return literal_text(wrapped(title, _TITLE_WIDTH, 11))
