"""Contact sheets: a clip, or a set of poses, as rows of small stick figures.

matplotlib is imported when a sheet is made, not with this module.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..files.errors import InputError
from ..files.writing import atomic_write, check_writable
from ..geometry.skeletons import Skeleton, get_skeleton
from .drawing import SIDE_COLOURS, literal_text

__all__ = ["contact_sheet"]

#: The eye: degrees to the person's left (they face it), and above.
_YAW, _PITCH = np.radians(25), np.radians(12)
#: Figures in a row, inches a figure.
_COLUMNS, _HEIGHT = 6, 2.4
_FLOOR = "0.86"


def contact_sheet(
    positions: Float[NDArray[np.float32], "frames joints 3"],
    skeleton: str | Skeleton,
    path: str | os.PathLike[str],
    frames: int = 12,
    axes: Literal["y up", "camera"] = "y up",
    labels: Sequence[str] | None = None,
    title: str = "",
) -> None:
    """Draw poses as small 3D stick figures, all at one scale, seen a little from the side and from above.

    Each figure is drawn around its root, with its shadow on a floor below its lowest joint. The person's left is
    blue, right red; what is farther from the eye is paler.

    Args:
        positions: metres.
        skeleton: of the joints.
        path: ``.png``. The file is replaced only when the new one is complete.
        frames: at most so many, evenly spread.
        axes: ``"y up"``, or ``"camera"`` (x right, y down, z forward), which is turned upright.
        labels: of all frames, above the figures; default their numbers.
        title: of the sheet.

    Raises:
        InputError: another shape, positions that are not finite, no frames, another extension, a path that cannot be
            written to.
    """
    from matplotlib.figure import Figure

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
    picked = np.unique(np.linspace(0, len(poses) - 1, min(frames, len(poses))).round().astype(int))
    upright = poses[picked] * ([1.0, -1.0, -1.0] if axes == "camera" else 1.0)
    upright = upright - upright[:, tree.root, None]
    shadows = upright.copy()
    shadows[..., 1] = upright[..., 1].min(1, keepdims=True) - 0.02
    figures, floor = _seen(upright), _seen(shadows)
    both = np.concatenate([figures, floor], 1)[..., :2]
    # one box for all, so that sizes can be compared
    low, high = both.min((0, 1)) - 0.08, both.max((0, 1)) + 0.08
    columns = min(_COLUMNS, len(picked))
    rows = -(-len(picked) // columns)
    width = _HEIGHT * float(np.clip((high - low)[0] / (high - low)[1], 0.4, 1.4))
    figure = Figure(figsize=(max(width * columns, 2.5), _HEIGHT * rows + 0.3 * bool(title)), layout="constrained")
    for number, frame in enumerate(picked):
        panel = figure.add_subplot(rows, columns, number + 1, aspect="equal")
        _draw(panel, figures[number], floor[number], tree)
        panel.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
        panel.set_title(literal_text(labels[frame] if labels is not None else str(frame)), fontsize=8)
    if title:
        figure.suptitle(literal_text(title), fontsize=9)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120, facecolor="white")


def _seen(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(..., 3)`` right, up and towards the eye, of points with y up."""
    x, y, z = np.moveaxis(poses, -1, 0)
    right, near = x * np.cos(_YAW) - z * np.sin(_YAW), x * np.sin(_YAW) + z * np.cos(_YAW)
    return np.stack([right, y * np.cos(_PITCH) - near * np.sin(_PITCH), y * np.sin(_PITCH) + near * np.cos(_PITCH)], -1)


def _draw(panel: object, figure: NDArray[np.float64], floor: NDArray[np.float64], tree: Skeleton) -> None:
    from matplotlib.collections import LineCollection

    bones = np.asarray([(parent, child) for child, parent in tree.bones]).reshape(-1, 2)
    depth = figure[bones, 2].mean(1)
    order = np.argsort(depth)  # the nearest is drawn last
    nearness = np.interp(depth[order], [depth.min() - 1e-6, depth.max()], [0.5, 1.0])
    colours = [
        near * np.asarray(SIDE_COLOURS[tree.sides[child]]) / 255 + 1.0 - near
        for (_, child), near in zip(bones[order], nearness, strict=True)
    ]
    add = panel.add_collection  # type: ignore[attr-defined]
    add(LineCollection(list(floor[bones, :2]), colors=_FLOOR, linewidths=2.5, capstyle="round"))
    add(LineCollection(list(figure[bones[order], :2]), colors=colours, linewidths=2.2, capstyle="round"))
