"""Predicted against true body size. matplotlib is imported when a figure is made, not with this module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..files.errors import InputError
from .drawing import literal_text, new_figure, tidy_axes, wrapped
from .palette import SERIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["scale_figure"]

_POINTS, _LINE = SERIES[0], SERIES[1]
#: Free space around the points on the log axes, as a factor; and the factor that the axes span at least.
_MARGIN, _NARROWEST = 1.04, 1.3


def scale_figure(predicted: Sequence[float], true: Sequence[float], label: str) -> Figure:
    """Predicted against true body size, on log axes of equal scale.

    With the line where they are equal, and the parallel to it at their median ratio where that is another. The title
    gives the correlation of the logarithms and the standard deviation of the log of the ratio: 0.05 is 5 %.

    Args:
        predicted: ``(n,)`` sizes in metres of predicted bodies, as of `poseterior.evaluation.evaluate`.
        true: ``(n,)`` sizes in metres of the same bodies.
        label: of what, for the title.

    Returns:
        a matplotlib ``Figure`` of its own (no pyplot state).

    Raises:
        InputError: fewer than two sizes, different numbers of them, or one that is not above 0.
    """
    x, y = np.asarray(true, float), np.asarray(predicted, float)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise InputError(
            f"sizes: expected as many predicted as true ones, at least 2; got shapes {y.shape} and {x.shape}"
        )
    for name, sizes in (("predicted", y), ("true", x)):
        bad = ~(np.isfinite(sizes) & (sizes > 0))
        if bad.any():
            place = int(np.argmax(bad))
            raise InputError(f"{name} sizes: expected metres above 0; number {place} is {sizes[place]}")
    log_ratio = np.log(y / x)
    ratio = float(np.exp(np.median(log_ratio)))

    figure, axes = new_figure((5.6, 5.9))
    low, high = min(x.min(), y.min()) / _MARGIN, max(x.max(), y.max()) * _MARGIN
    widen = max(1.0, np.sqrt(_NARROWEST * low / high))
    limits = np.array([low / widen, high * widen])
    axes.scatter(x, y, s=12, color=_POINTS, alpha=float(np.clip(200 / len(x), 0.2, 0.8)), linewidths=0)
    axes.plot(limits, limits, color="0.35", linewidth=1.0, label="predicted = true")
    if abs(ratio - 1) >= 0.005:
        name = f"predicted = {ratio:.2f} × true (median)"
        axes.plot(limits, ratio * limits, color=_LINE, linewidth=1.2, linestyle="--", label=name)
    for axis, set_scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        set_scale("log")
        ticks = _ticks(*limits)
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_xlabel("true body size (m)")
    axes.set_ylabel("predicted body size (m)")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    axes.set_title(
        f"{literal_text(wrapped(label, 4.7, 11))}\n{_correlation(x, y)}, spread of the log ratio {log_ratio.std():.3f}",
        fontsize=11, loc="left",
    )  # fmt: skip
    tidy_axes(axes)
    return figure


def _correlation(x: np.ndarray, y: np.ndarray) -> str:
    """Of the logarithms; between people who are all of one size there is none."""
    a, b = np.log(x), np.log(y)
    if min(a.std(), b.std()) < 1e-6:
        return "no correlation (one size)"
    return f"correlation {np.corrcoef(a, b)[0, 1]:.2f}"


def _ticks(low: float, high: float) -> list[float]:
    """Some round numbers from ``low`` to ``high``: matplotlib's own log ticks are powers of ten."""
    from matplotlib.ticker import MaxNLocator

    if high / low < 10:
        ticks = list(MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(low, high))
    else:
        powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return [float(f"{tick:.6g}") for tick in ticks if low <= tick <= high]
