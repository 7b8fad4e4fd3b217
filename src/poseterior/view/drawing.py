"""What pictures share: the colours of the body's sides, outlines of uncertainty, tidy axes, legends.

matplotlib is imported when something is drawn, not with this module.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..files.errors import InputError
from .page import Sign, literal_text, side_signs, text_width, wrapped
from .palette import FILLED, LIGHT, rgb

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results.poses import LiftResult
    from ..results.provenance import Provenance

__all__ = [
    "COLOURS",
    "SIDE_COLOURS",
    "circles",
    "ellipses",
    "literal_text",
    "name_of",
    "new_figure",
    "picture_suffix",
    "pose_labels",
    "pose_signs",
    "reach_of",
    "side_handles",
    "text_width",
    "tidy_axes",
    "title_of",
    "wrapped",
]

Array = NDArray[np.floating]

_SIDES = ("left", "right", "middle")
#: RGB 0 to 1; the person's own left is blue, right is vermillion (`poseterior.view.palette`).
COLOURS: dict[str, tuple[float, float, float]] = {side: rgb(LIGHT.side(side)) for side in _SIDES}
#: The same, 0 to 255.
SIDE_COLOURS: dict[str, tuple[int, int, int]] = {
    side: (round(255 * red), round(255 * green), round(255 * blue)) for side, (red, green, blue) in COLOURS.items()
}

_AROUND = np.linspace(0, 2 * np.pi, 48, endpoint=False)
_CIRCLE = np.stack([np.cos(_AROUND), np.sin(_AROUND)], 1)


def circles(centre: Float[Array, "joints 2"], radius: Float[Array, "joints"]) -> Float[Array, "joints 48 2"]:
    """Outlines of balls in a parallel projection: a ball is a circle from wherever it is seen."""
    return centre[:, None] + radius[:, None, None] * _CIRCLE


def ellipses(
    points: Float[Array, "joints 2"], covariance: Float[Array, "joints 2 2"], sigmas: float = 1.0
) -> Float[Array, "joints 48 2"]:
    """Outlines at so many standard deviations; a joint without a covariance has a point."""
    finite = np.isfinite(covariance).all(axis=(1, 2), keepdims=True)
    variances, vectors = np.linalg.eigh(np.where(finite, covariance, 0.0).astype(np.float64))
    axes = vectors * np.sqrt(np.clip(variances, 0.0, None))[:, None, :]
    return points[:, None] + sigmas * _CIRCLE @ axes.swapaxes(-1, -2)


def reach_of(level: float) -> float:
    """Standard deviations at which an ellipse holds that share of a normal distribution of the plane.

    >>> round(reach_of(0.9), 3)
    2.146
    """
    return math.sqrt(-2.0 * math.log1p(-level))


def new_figure(size: tuple[float, float]) -> tuple[Figure, Any]:
    """A figure of its own (no pyplot state) of that size in inches, with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def side_handles(*sides: str) -> list[Any]:
    """Entries of a legend for the sides' colours."""
    from matplotlib.lines import Line2D

    return [Line2D([], [], color=sign.colour, linewidth=2.5, label=sign.text) for sign in side_signs(*sides)]


def pose_signs(result: LiftResult, hypotheses: int, *, flat: bool = True) -> list[Sign]:
    """The legend of a picture of poses.

    Args:
        result: whose regions are drawn.
        hypotheses: how many are drawn, per pose.
        flat: ellipses of keypoints are drawn as well.
    """
    hypotheses = min(hypotheses, result.samples.shape[1])
    signs = [*side_signs(*_SIDES), Sign("mean", "mean", LIGHT.middle)]
    if hypotheses:
        signs.append(Sign(f"{hypotheses} hypotheses" if hypotheses > 1 else "1 hypothesis", "thin"))
    signs.append(Sign(f"shaded{' in 3D' * flat}: {result.region_label('radius')}", "region"))
    if (result.region_radius > FILLED).any():
        signs.append(Sign(f"outline: such a radius above {FILLED:g} m", "ring"))
    if flat:
        signs.append(Sign(f"shaded in the picture: {100 * result.level:g} % ellipses", "region"))
    if not result.visible.all():
        signs.append(Sign("not seen" if result.in_world else "not seen in the picture", "unseen"))
    return signs


def name_of(result: LiftResult, index: int) -> str:
    """The last part of the name of a pose's file."""
    return Path(str(result.file[index])).name or "pose"


def pose_labels(about: Provenance) -> list[str]:
    """What each pose is called in a sheet: file and person where there are several, the frame and its time."""
    moments: dict[str, set[int]] = {}
    people: dict[str, set[int]] = {}
    for file, frame, person in zip(about.file.tolist(), about.frame.tolist(), about.person.tolist(), strict=True):
        moments.setdefault(file, set()).add(frame)
        people.setdefault(file, set()).add(person)
    labels = []
    for file, frame, person in zip(about.file.tolist(), about.frame.tolist(), about.person.tolist(), strict=True):
        rate, lines = about.rate(file), []
        if len(people) > 1:
            lines.append(Path(file).name or "pose")
        if len(people[file]) > 1:
            lines.append(f"person {person}")
        if len(moments[file]) > 1 or frame > 0 or not lines:
            name = f"frame {frame}" if file else f"{frame}"
            lines.append(name + (f" · {frame / rate:.2f} s" if rate else ""))
        labels.append("\n".join(lines))
    return labels


def title_of(result: LiftResult, total: int | None = None) -> tuple[str, str]:
    """Title and note of a picture of poses, drawn of ``total``: what was lifted, by which lifter, in which units."""
    names = list(dict.fromkeys(name_of(result, index) for index in range(len(result))))
    title = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    total = len(result) if total is None else total
    poses = (f"{len(result)} of " if total > len(result) else "") + f"{total} pose{'s' * (total != 1)}"
    lifter = f"lifter {result.lifter}, " if result.lifter else ""
    return title, f"{lifter}{poses}; {result.units}, relative to the {result.origin}"


def picture_suffix(path: str | os.PathLike[str]) -> str:
    """``.png``, ``.pdf`` or ``.svg``.

    Raises:
        InputError: another extension.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"{path}: unknown extension {suffix!r}; use one of: .png, .pdf, .svg")
    return suffix


def tidy_axes(axes: Axes) -> None:
    """Small pale ticks, no frame on top and on the right."""
    axes.tick_params(labelsize=8, color=LIGHT.line, labelcolor=LIGHT.soft)
    axes.xaxis.label.set(fontsize=9, color=LIGHT.soft)
    axes.yaxis.label.set(fontsize=9, color=LIGHT.soft)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LIGHT.line)
