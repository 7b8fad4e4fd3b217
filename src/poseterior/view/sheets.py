"""Contact sheets: a clip, or a set of poses, as rows of small figures with their uncertainty.

matplotlib is imported when a sheet is made, not with this module.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ..files.errors import InputError
from ..files.writing import atomic_write, check_writable
from ..geometry.skeletons import Skeleton, get_skeleton
from .body import Body
from .drawing import circles
from .fonts import legible
from .page import MARGIN, Page, Sign, literal_text, side_signs, wrapped
from .palette import FILLED, LIGHT
from .surfaces import draw_surfaces

if TYPE_CHECKING:
    from .bodies import Surfaces

__all__ = ["contact_sheet", "picked_frames"]

#: The eye: degrees to the person's left (they face it), and above.
_YAW, _PITCH = np.radians(25), np.radians(12)
#: Figures in a row, inches a figure, room around its label and for each line of it.
_COLUMNS, _HEIGHT, _LABEL, _LINE = 6, 2.4, 0.09, 0.15
#: Metres: the ring on the floor, how far the floor is below the lowest joint.
_RING, _BELOW = 0.5, 0.02
#: Of the hypotheses so many lie inside a region that they are asked for.
_LEVEL = 0.9
_NEARLY_ALL = 0.98


def picked_frames(count: int, frames: int) -> NDArray[np.int64]:
    """At most ``frames`` of ``count``, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(frames, count)).round().astype(int))


def contact_sheet(
    positions: Float[NDArray[np.float32], "frames joints 3"],
    skeleton: str | Skeleton,
    path: str | os.PathLike[str],
    frames: int = 12,
    axes: Literal["y up", "camera"] = "y up",
    labels: Sequence[str] | None = None,
    title: str = "",
    *,
    note: str = "",
    hypotheses: Float[NDArray[np.float32], "frames n joints 3"] | None = None,
    regions: tuple[Float[NDArray[np.float32], "frames joints 3"], Float[NDArray[np.float32], "frames joints"]]
    | None = None,
    region_label: str = f"{100 * _LEVEL:g} % of the hypotheses",
    visible: Bool[NDArray[np.bool_], "frames joints"] | None = None,
    drawn: str = "mean",
    surfaces: Surfaces | None = None,
) -> None:
    """Draw poses as small 3D figures, all at one scale, seen a little from the side and from above.

    Each figure is drawn around its root, over a ring a metre wide on a floor below its lowest joint. The person's left
    is blue, right vermillion; what is farther from the eye is paler; hypotheses are faint, regions shaded.

    Args:
        positions: metres.
        skeleton: of the joints.
        path: ``.png``. The file is replaced only when the new one is complete.
        frames: at most so many, evenly spread.
        axes: ``"y up"``, or ``"camera"`` (x right, y down, z forward), which is turned upright.
        labels: of all frames, above the figures; default their numbers.
        title, note: of the sheet.
        hypotheses: in the same axes.
        regions: centres and radii of balls, the centres relative to the root; by default those that hold 90 % of the
            hypotheses, if there are any.
        region_label: what the balls are.
        visible: joints that were seen; others are hollow.
        drawn: what the positions are.
        surfaces: of the same poses (`poseterior.view.bodies.surfaces`), from their root: drawn in place of bones and
            hypotheses.

    Raises:
        InputError: another shape, positions that are not finite, no frames, another extension, a path that cannot be
            written to.
    """
    if not os.fspath(path).lower().endswith(".png"):
        raise InputError(f"{path}: unknown extension; a contact sheet is a .png")
    check_writable(path)
    tree = get_skeleton(skeleton)
    poses = np.asarray(positions, np.float64)
    if poses.ndim != 3 or poses.shape[1:] != (len(tree), 3) or not len(poses) or frames < 1:
        raise InputError(
            f"positions have shape {poses.shape}; skeleton {tree.name!r} needs (frames, {len(tree)}, 3), at least one"
        )
    bad = ~np.isfinite(poses).all(-1)
    if bad.any():
        frame, joint = np.argwhere(bad)[0]
        raise InputError(f"positions: frame {frame}, joint {tree.joints[joint]!r} is not finite")
    if labels is not None and len(labels) != len(poses):
        raise InputError(f"labels: expected one for each of {len(poses)} frames, got {len(labels)}")
    picked = picked_frames(len(poses), frames)
    flip = np.asarray([1.0, -1.0, -1.0] if axes == "camera" else [1.0, 1.0, 1.0])
    upright = poses[picked] * flip
    upright = upright - upright[:, tree.root, None]
    thin = np.empty((len(picked), 0, len(tree), 3))
    if hypotheses is not None:
        thin = np.asarray(hypotheses, np.float64)[picked] * flip
        thin = thin - thin[:, :, tree.root, None]
    centre, radius = upright, np.zeros(upright.shape[:2])
    if regions is not None:
        centre, radius = np.asarray(regions[0], np.float64)[picked] * flip, np.asarray(regions[1], np.float64)[picked]
    elif thin.shape[1]:
        centre = thin.mean(1)
        radius = np.quantile(np.linalg.norm(thin - centre[:, None], axis=-1), _LEVEL, axis=1)
    seen = np.ones(upright.shape[:2], bool) if visible is None else np.asarray(visible, bool)[picked]
    ring = _ring(upright[..., 1].min(1) - _BELOW)
    low, high = _box(_seen(upright), _seen(thin), _seen(centre), radius, _seen(ring))

    bodies = None
    if surfaces is not None:
        bodies = _seen(surfaces.vertices[picked] * flip)
        thin = np.empty((len(picked), 0, len(tree), 3))
        flat = bodies[..., :2].reshape(-1, 2)
        low, high = np.minimum(low, flat.min(0) - 0.05), np.maximum(high, flat.max(0) + 0.05)

    columns = min(_COLUMNS, len(picked))
    width = max(_HEIGHT * float(np.clip((high - low)[0] / (high - low)[1], 0.45, 1.4)), 2.0 / columns)
    signs = side_signs("left", "right", "middle")
    if bodies is None:
        signs.append(Sign(drawn, "mean", LIGHT.middle))
    elif bodies.shape[1] > 1:
        signs.append(Sign(f"solid: {drawn}; outlined, transparent: {bodies.shape[1] - 1} hypotheses", "thin"))
    signs += [Sign(f"{thin.shape[1]} hypotheses", "thin")] * bool(thin.shape[1])
    signs += [Sign(f"shaded: {region_label}", "region")] * bool((radius > 0).any())
    signs += [Sign(f"outline: such a radius above {FILLED:g} m", "ring")] * bool((radius > FILLED).any())
    signs += [Sign("not seen in the picture", "unseen")] * (not seen.all())
    note = f"{note}; metres, ring: 1 m wide" if note else "metres, ring: 1 m wide"
    page = Page(max(width * columns + 2 * MARGIN, 4.0), title, note, signs)
    rows = -(-len(picked) // columns)
    names = [wrapped(labels[frame] if labels is not None else str(frame), 0.95 * width, 8) for frame in picked]
    above = _LABEL + _LINE * max(name.count("\n") + 1 for name in names)
    figure = page.figure((_HEIGHT + above) * rows)
    for number, name in enumerate(names):
        left, top = MARGIN + width * (number % columns), (_HEIGHT + above) * (number // columns)
        panel = page.axes(left, top + above, width, _HEIGHT, aspect="equal")
        panel.fill(*_seen(ring[number])[:, :2].T, facecolor=LIGHT.panel, edgecolor=LIGHT.line, linewidth=0.7, zorder=0)
        points = _seen(upright[number])
        balls = circles(_seen(centre[number])[:, :2], radius[number]) if radius.any() else np.empty((0, 0, 2))
        body = Body(panel, tree, 2.5)
        body.show(points[:, :2], balls, seen[number], _seen(thin[number])[..., :2], points[:, 2])
        if bodies is not None and surfaces is not None:
            body.hide_bones(seen[number])
            draw_surfaces(panel, bodies[number], surfaces.faces, surfaces.sides)
        panel.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], facecolor="none")
        panel.spines[:].set_visible(False)
        panel.set_title(literal_text(name), fontsize=8, color=LIGHT.soft, pad=2)
    legible(figure)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120, facecolor="white")


def _seen(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(..., 3)`` right, up and towards the eye, of points with y up."""
    x, y, z = np.moveaxis(poses, -1, 0)
    right, near = x * np.cos(_YAW) - z * np.sin(_YAW), x * np.sin(_YAW) + z * np.cos(_YAW)
    return np.stack([right, y * np.cos(_PITCH) - near * np.sin(_PITCH), y * np.sin(_PITCH) + near * np.cos(_PITCH)], -1)


def _ring(floor: Float[NDArray[np.float64], "frames"]) -> Float[NDArray[np.float64], "frames 49 3"]:
    """A circle on the floor of each frame, y up."""
    angles = np.linspace(0, 2 * np.pi, 49)
    ring = np.stack([_RING * np.cos(angles), np.zeros(49), _RING * np.sin(angles)], -1)
    return ring + floor[:, None, None] * np.asarray([0.0, 1.0, 0.0])


def _box(
    figures: NDArray[np.float64], thin: NDArray[np.float64], centre: NDArray[np.float64], radius: NDArray[np.float64],
    ring: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """One box for all figures, so that sizes can be compared: bodies, regions and nearly all hypotheses are in it."""
    balls = np.concatenate([centre[..., :2] - radius[..., None], centre[..., :2] + radius[..., None]], 1)
    whole = np.concatenate([figures[..., :2], balls, ring[..., :2]], 1).reshape(-1, 2)
    low, high = whole.min(0), whole.max(0)
    if thin.size:
        flat = thin[..., :2].reshape(-1, 2)
        low = np.minimum(low, np.quantile(flat, 1 - _NEARLY_ALL, 0))
        high = np.maximum(high, np.quantile(flat, _NEARLY_ALL, 0))
    return low - 0.05, high + 0.05
