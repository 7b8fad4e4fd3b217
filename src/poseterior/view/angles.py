"""Figures of joint angles over the frames of a clip, with their intervals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files.errors import InputError
from ..files.writing import atomic_write, check_writable
from ..geometry.angles import side_of
from ..results.angles import Angles
from ..results.animation import numbered_paths
from ..results.timeline import timeline
from ..results.times import ASSUMED_FPS, check_fps, seconds
from .drawing import COLOURS, literal_text, picture_suffix, side_handles, tidy_axes, wrapped
from .fonts import legible
from .palette import LIGHT, REGION_FACE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["angles_figure", "plot_paths", "save_angles"]

_COLUMNS = 3


def _panels(angles: Angles) -> list[str]:
    """Titles: an angle of both sides has one panel."""
    titles = [name.removeprefix(f"{side_of(name)}_") if side_of(name) != "middle" else name for name in angles.names]
    return list(dict.fromkeys(titles))


def angles_figure(angles: Angles, fps: float | None = None) -> Figure:
    """A panel for each angle, left (blue) and right (vermillion) in one; the band is the interval.

    Lines end where nobody was seen for longer than `poseterior.results.timeline.MAX_GAP`.

    Args:
        angles: of one clip; of poses that are no clip each pose is a point with its interval.
        fps: frames per second: the axis is seconds; None for frames.

    Returns:
        A matplotlib figure of its own (no pyplot state).

    Raises:
        InputError: no poses, or a rate that is not positive.
    """
    from matplotlib.figure import Figure

    if not len(angles):
        raise InputError("there are no poses; nothing to draw")
    panels = _panels(angles)
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(4.6 * _COLUMNS, 2.3 * rows + 1.0), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False)
    one_clip = len(angles.clips()) == 1 and len(angles) > 1
    order = np.argsort(angles.frame, kind="stable") if one_clip else np.arange(len(angles))
    place = angles.frame[order] if one_clip else order
    parts = _seen_throughout(place, ASSUMED_FPS if fps is None else check_fps(fps)) if one_clip else []
    across = "frame" if one_clip else "pose"
    if one_clip and fps is not None:
        place, across = seconds(place, fps), "seconds"
    for panel, title in zip(axes.flat, panels, strict=False):
        for name in angles.names:
            if name in (title, f"left_{title}", f"right_{title}"):
                _draw(panel, angles, name, order, place, parts)
        panel.set_title(title.replace("_", " "), fontsize=10, loc="left")
        tidy_axes(panel)
        panel.grid(True, axis="y", color=LIGHT.grid)
        panel.margins(x=0.01 if one_clip else 0.06)
        if not one_clip:
            panel.xaxis.get_major_locator().set_params(integer=True)
    for panel in list(axes.flat)[len(panels) :]:
        panel.set_axis_off()
    for panel in axes[:, 0]:
        panel.set_ylabel("degrees")
    for column in range(min(_COLUMNS, len(panels))):
        lowest = max(row for row in range(rows) if row * _COLUMNS + column < len(panels))
        axes[lowest, column].set_xlabel(across)
    figure.legend(handles=side_handles("left", "right", "middle"), loc="outside lower center", ncols=3, frameon=False)
    lifter = f"lifter {angles.lifter}, " if angles.lifter else ""
    poses = f"{len(angles)} pose{'s' * (len(angles) != 1)}"
    title = f"{lifter}{poses}; median and {angles.label('interval')}"
    title = wrapped(title, 4.6 * _COLUMNS - 0.4, 13, "bold")
    figure.suptitle(literal_text(title), fontsize=13, fontweight="bold", color=LIGHT.ink, x=0.015, ha="left")
    return figure


def _seen_throughout(frames: np.ndarray, fps: float) -> list[slice]:
    """The rows between gaps that are too long to be bridged."""
    return [slice(int(part.before[0]), int(part.after[-1]) + 1) for part in timeline(frames, fps)]


def _draw(axes: Axes, angles: Angles, name: str, order: np.ndarray, place: np.ndarray, parts: list[slice]) -> None:
    """Lines with bands for each part of a clip; points with bars where there is none."""
    column, colour = angles.index(name), COLOURS[side_of(name)]
    middle, lower, upper = (values[order, column] for values in (angles.degrees, angles.lower, angles.upper))
    if not parts:
        shift = {"left": -0.12, "right": 0.12}.get(side_of(name), 0.0)
        reach = np.nan_to_num(np.stack([middle - lower, upper - middle]))
        axes.errorbar(place + shift, middle, yerr=reach, fmt="o", color=colour, markersize=3, linewidth=1.2)
        return
    # 359 degrees are next to 1: the line goes on, with its band, rather than jump.
    known = np.isfinite(middle)
    smooth = middle.copy()
    smooth[known] = np.unwrap(middle[known], period=360.0)
    smooth -= 360.0 * np.round(np.nanmedian(smooth) / 360.0) if known.any() else 0.0
    shift = smooth - middle
    for part in parts:
        axes.fill_between(
            place[part],
            (lower + shift)[part],
            (upper + shift)[part],
            color=colour,
            alpha=REGION_FACE * 1.4,
            linewidth=0,
        )
        marker = "." if part.stop - part.start == 1 else ""
        axes.plot(place[part], smooth[part], color=colour, linewidth=1.4, marker=marker)


def plot_paths(angles: Angles, path: str | os.PathLike[str]) -> list[Path]:
    """The files that `save_angles` writes, by name."""
    return numbered_paths(path, len(_groups(angles)))


def _groups(angles: Angles) -> list[np.ndarray]:
    """Rows of each figure: a clip each, and one for all single poses."""
    clips = angles.clips()
    single = [rows for rows in clips if len(rows) == 1]
    return [rows for rows in clips if len(rows) > 1] + ([np.concatenate(single)] if single else [])


def save_angles(
    angles: Angles, path: str | os.PathLike[str], fps: float | None = ASSUMED_FPS, dpi: int = 110
) -> list[Path]:
    """Write a figure for each clip, and one for all single poses; each file appears only when it is complete.

    Args:
        angles: what to draw.
        path: ``.png``, ``.pdf`` or ``.svg``; several are numbered.
        fps: frames per second: the axis is seconds; None for frames.
        dpi: dots an inch of a PNG.

    Returns:
        The files written.

    Raises:
        InputError: as `angles_figure`; another extension; a path that cannot be written to.
    """
    suffix = picture_suffix(path)
    groups = _groups(angles)
    if not groups:
        raise InputError("there are no poses; nothing to draw")
    paths = numbered_paths(path, len(groups))
    for target in paths:
        check_writable(target)
    for target, rows in zip(paths, groups, strict=True):
        figure = legible(angles_figure(angles[rows], fps))
        with atomic_write(target) as file:
            figure.savefig(file, format=suffix[1:], dpi=dpi, facecolor="white")
    return paths
