"""What pictures share: the colours of the body's sides, outlines of uncertainty, tidy axes.

matplotlib is imported when something is drawn, not with this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..files.errors import InputError

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results.poses import LiftResult

__all__ = [
    "COLOURS",
    "SIDE_COLOURS",
    "circles",
    "ellipses",
    "explain",
    "literal_text",
    "new_figure",
    "picture_suffix",
    "side_handles",
    "tidy_axes",
]

Array = NDArray[np.floating]

#: RGB 0-255; the person's own left is blue, right is red.
SIDE_COLOURS: dict[str, tuple[int, int, int]] = {
    "left": (31, 105, 214),
    "right": (214, 45, 48),
    "middle": (95, 99, 108),
}
#: The same, 0 to 1.
COLOURS = {side: (r / 255, g / 255, b / 255) for side, (r, g, b) in SIDE_COLOURS.items()}

_AROUND = np.linspace(0, 2 * np.pi, 48, endpoint=False)
_CIRCLE = np.stack([np.cos(_AROUND), np.sin(_AROUND)], 1)


def circles(centre: Float[Array, "joints 2"], radius: Float[Array, "joints"]) -> Float[Array, "joints 48 2"]:
    """Outlines of balls in a parallel projection: a ball is a circle from wherever it is seen."""
    return centre[:, None] + radius[:, None, None] * _CIRCLE


def ellipses(points: Float[Array, "joints 2"], covariance: Float[Array, "joints 2 2"]) -> Float[Array, "joints 48 2"]:
    """Outlines of one standard deviation; a joint without a covariance has a point."""
    finite = np.isfinite(covariance).all(axis=(1, 2), keepdims=True)
    variances, vectors = np.linalg.eigh(np.where(finite, covariance, 0.0).astype(np.float64))
    axes = vectors * np.sqrt(np.clip(variances, 0.0, None))[:, None, :]
    return points[:, None] + _CIRCLE @ axes.swapaxes(-1, -2)


def new_figure(size: tuple[float, float]) -> tuple[Figure, Any]:
    """A figure of its own (no pyplot state) of that size in inches, with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def side_handles(*sides: str) -> list[Any]:
    """Entries of a legend for the sides' colours."""
    from matplotlib.lines import Line2D

    labels = {"left": "person's left", "right": "person's right", "middle": "middle"}
    return [Line2D([], [], color=COLOURS[side], linewidth=2.5, label=labels[side]) for side in sides]


def explain(figure: Figure, result: LiftResult, hypotheses: int) -> None:
    """Legend and title of a figure of poses: colours, what is thin and thick, what is round."""
    from matplotlib.lines import Line2D

    thin = f"{hypotheses} hypotheses (thin), mean (thick)" if hypotheses else "mean"
    handles = [*side_handles("left", "right", "middle"), Line2D([], [], color="0.5", linewidth=0.8, label=thin)]
    rounds = f"circles: {result.region_label('radius')}; on the keypoints: 1 sigma"
    handles.append(
        Line2D([], [], marker="o", linestyle="", markersize=9, markerfacecolor="0.9", markeredgecolor="0.5",
               label=rounds)
    )  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    poses = f"{len(result)} pose{'s' * (len(result) != 1)}"
    lifter = f"lifter {result.lifter}, " if result.lifter else ""
    figure.suptitle(literal_text(f"{lifter}{poses}; {result.units}, relative to the {result.origin}"), fontsize=12)


def picture_suffix(path: str | os.PathLike[str]) -> str:
    """``.png``, ``.pdf`` or ``.svg``.

    Raises:
        InputError: another extension.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"{path}: unknown extension {suffix!r}; use one of: .png, .pdf, .svg")
    return suffix


def literal_text(text: str) -> str:
    """Text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")


def tidy_axes(axes: Axes) -> None:
    """Small pale ticks, no frame on top and on the right."""
    axes.tick_params(labelsize=8, color="0.6")
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("0.7")
