"""Lifters side by side on the same photographs, as Ronchi et al. (BMVC 2018, figure 5) show them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..files.errors import InputError
from ..files.writing import atomic_write
from ..geometry.skeletons import Skeleton
from ..results.poses import LiftResult
from .drawing import COLOURS, side_handles
from .fonts import legible
from .photos import Photos, check_photos, keypoint_box, read_photo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["comparison_figure", "save_comparison"]

#: The eye in 3D panels: degrees to the camera's right, and above.
_AZIMUTH, _ELEVATION = 35.0, 12.0
#: Where the sizes of two bodies differ by more than this factor, all are brought to one.
_ALIKE = 1.5
#: Bones that all skeletons have, by the joints at their ends, without the side.
_LIMBS = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
#: Widths in points of the mean's bones, and of a hypothesis'.
_THICK, _THIN = 2.4, 0.6
#: Inches between the title, the lifters' names and the panels.
_GAP = 0.09
_INCHES, _DPI = 2.6, 130

_Array = NDArray[np.floating[Any]]


def comparison_figure(
    results: Mapping[str, LiftResult], max_poses: int = 6, *, photos: Photos = None, hypotheses: int = 8
) -> Figure:
    """A row a pose: the photograph with its keypoints, then each lifter's 3D pose, all in one scale.

    In 3D the mean is thick, hypotheses are thin; the eye is 35 degrees to the right of the camera and 12 above. Where
    two of the bodies differ in size by more than a half, as those of lifters that learn no size or nothing yet, every
    body of every row is brought to the size that is usual for the first lifter; the title says so, and each panel by
    which factor.

    Args:
        results: of the same keypoints, by lifter, in any skeletons.
        max_poses: rows at most; of more poses, evenly spaced ones are drawn.
        photos: the pictures behind the keypoints, see `poseterior.view.photos.read_photo`.
        hypotheses: samples drawn of each.

    Raises:
        InputError: no lifter, no poses, results of other poses, a photograph that cannot be read.
    """
    from matplotlib.figure import Figure
    from matplotlib.legend_handler import HandlerTuple

    if not results:
        raise InputError("compare: name at least one lifter")
    first = next(iter(results.values()))
    count = len(first)
    if not count:
        raise InputError("the result has no poses; nothing to draw")
    if any(len(result) != count for result in results.values()):
        raise InputError("compare: the lifters answered different poses")
    check_photos(photos, first.file.tolist())
    chosen = np.unique(np.linspace(0, count - 1, min(max_poses, count)).round().astype(int)).tolist()
    scales = _scales({name: _sizes(result, chosen, hypotheses) for name, result in results.items()})
    turned = {
        name: _panels(result, chosen, None if scales is None else scales[name], hypotheses)
        for name, result in results.items()
    }
    drawn = np.concatenate([poses.reshape(-1, 3) for rows in turned.values() for poses in rows])
    half = 0.54 * float(np.nanmax(np.nanmax(drawn, 0) - np.nanmin(drawn, 0)))
    columns = 1 + len(results)
    figure = Figure(figsize=(_INCHES * columns, _INCHES * len(chosen) + 1.0))
    figure.set_layout_engine("constrained", h_pad=_GAP)
    axes = figure.subplots(len(chosen), columns, squeeze=False)
    for row, index in enumerate(chosen):
        _photograph(axes[row, 0], first, index, read_photo(photos, str(first.file[index])))
        for column, (name, result) in enumerate(results.items(), start=1):
            panel = axes[row, column]
            poses = turned[name][row]
            middle = (poses[0].min(0) + poses[0].max(0)) / 2
            _sticks(panel, poses, result.tree)
            panel.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
            panel.set(xticks=[], yticks=[], aspect="equal")
            panel.spines[:].set_color("0.85")
            if scales is not None:
                panel.set_xlabel(f"× {scales[name][row]:.2g}", fontsize=8)
            if row == 0:
                panel.set_title(name, fontsize=10, parse_math=False)
    sizes = "" if scales is None else "\nbodies brought to one size, × is each one's factor"
    figure.suptitle(f"one scale, panels {2 * half:.1f} m wide, from {_AZIMUTH:.0f}° to the right{sizes}", fontsize=10)
    thin = max(len(poses[0]) for poses in turned.values()) - 1
    handles, labels = _legend(thin)
    figure.legend(
        handles, labels, handler_map={tuple: HandlerTuple(ndivide=None, pad=0.0)},
        loc="outside lower center", ncols=5 if columns > 3 else 3, frameon=False, fontsize=9, handlelength=2.6,
    )  # fmt: skip
    return legible(figure)


def save_comparison(results: Mapping[str, LiftResult], path: str | os.PathLike[str], **options: Any) -> None:
    """Write `comparison_figure` as a ``.png`` that appears only when it is complete; options as its.

    Raises:
        InputError: as `comparison_figure`; another extension; a path that cannot be written to.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{os.fspath(path)}: unknown extension; a comparison is a .png")
    figure = comparison_figure(results, **options)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=_DPI, facecolor="white")


def _scales(sizes: Mapping[str, _Array]) -> dict[str, _Array] | None:
    """By what each lifter's body in each row is multiplied so that all are of one size; None where they are alike.

    Args:
        sizes: of the bodies, as `_sizes`.
    """
    known = np.concatenate([size[size > 0] for size in sizes.values()])
    if not len(known) or known.max() <= _ALIKE * known.min():
        return None
    own = next(size[size > 0] for size in sizes.values() if (size > 0).any())
    usual = float(np.median(own))
    return {name: np.where(size > 0, usual / np.where(size > 0, size, 1.0), 1.0) for name, size in sizes.items()}


def _sizes(result: LiftResult, chosen: list[int], hypotheses: int) -> _Array:
    """Of each pose the lengths of limbs and trunk together, metres: the median of what is drawn; 0 where unknown.

    A mean of many different poses is smaller than each of them: hypotheses say the size, where there are any.
    """
    drawn = result.samples[chosen, :hypotheses]
    poses = drawn if drawn.shape[1] else result.mean[chosen, None]
    place = {joint: poses[:, :, index].astype(np.float64) for index, joint in enumerate(result.tree.joints)}
    total = np.zeros(poses.shape[:2])
    for side in ("left", "right"):
        for above, below in _LIMBS:
            if {f"{side}_{above}", f"{side}_{below}"} <= set(place):
                total += np.linalg.norm(place[f"{side}_{above}"] - place[f"{side}_{below}"], axis=-1)
    if {f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "shoulder")} <= set(place):
        hips, shoulders = (place[f"left_{joint}"] + place[f"right_{joint}"] for joint in ("hip", "shoulder"))
        total += np.linalg.norm(hips - shoulders, axis=-1) / 2
    return np.nan_to_num(np.nanmedian(total, axis=1))


def _panels(result: LiftResult, chosen: list[int], scales: _Array | None, hypotheses: int) -> list[_Array]:
    """Of each pose ``(1 + hypotheses, joints, 3)``: the mean first; right, up and towards the eye, metres."""
    factors = np.ones(len(chosen)) if scales is None else scales
    turn, tilt = np.radians([_AZIMUTH, _ELEVATION])
    near, up = np.array([np.sin(turn), 0.0, -np.cos(turn)]), np.array([0.0, -1.0, 0.0])
    right = np.array([np.cos(turn), 0.0, np.sin(turn)])
    axes = np.stack([right, np.cos(tilt) * up - np.sin(tilt) * near, np.cos(tilt) * near + np.sin(tilt) * up])
    found = []
    for index, scale in zip(chosen, factors, strict=True):
        poses = np.concatenate([result.mean[index][None], result.samples[index, :hypotheses]]).astype(np.float64)
        found.append(scale * poses @ axes.T)
    return found


def _legend(hypotheses: int) -> tuple[list[Any], list[str]]:
    """Entries of the legend: the sides' colours, then what is drawn thick and thin, in all of them side by side."""
    from matplotlib.lines import Line2D

    sides = ("left", "right", "middle")
    handles: list[Any] = side_handles(*sides)
    labels = [handle.get_label() for handle in handles]
    widths = {"thick: mean": _THICK}
    if hypotheses:
        widths[f"thin: {hypotheses} hypotheses" if hypotheses > 1 else "thin: 1 hypothesis"] = _THIN
    for label, width in widths.items():
        handles.append(tuple(Line2D([], [], color=COLOURS[side], linewidth=width) for side in sides))
        labels.append(label)
    return handles, labels


def _sticks(axes: Axes, poses: Float[_Array, "n joints 3"], tree: Skeleton) -> None:
    from matplotlib.collections import LineCollection

    bones = np.asarray(tree.bones, int).reshape(-1, 2)
    colours = [COLOURS[tree.sides[child]] for child, _ in bones]
    thin = poses[1:, bones, :2].reshape(-1, 2, 2)
    axes.add_collection(LineCollection(list(thin), colors=colours * (len(poses) - 1), linewidths=_THIN, alpha=0.3))
    # what is nearer to the eye is drawn over what is farther
    order = np.argsort(poses[0, bones, 2].mean(1))
    axes.add_collection(
        LineCollection(
            list(poses[0, bones[order], :2]),
            colors=[colours[i] for i in order],
            linewidths=_THICK,
            capstyle="round",
            zorder=3,
        )
    )


def _photograph(axes: Axes, result: LiftResult, index: int, photo: NDArray[np.uint8] | None) -> None:
    points, visible, tree = result.keypoints[index], result.visible[index], result.tree
    if photo is not None:
        height, width = photo.shape[:2]
        axes.imshow(photo, extent=(0, width, height, 0), interpolation="bilinear")
    low, high = keypoint_box(points[visible], None if photo is None else photo.shape[:2], margin=0.18)
    for child, parent in tree.bones:
        if visible[child] and visible[parent]:
            axes.plot(*points[[child, parent]].T, color=COLOURS[tree.sides[child]], linewidth=1.6)
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_color("0.85")
    name = Path(str(result.file[index])).name or "pose"
    same = result.file == result.file[index]
    name += f", frame {result.frame[index]}" if result.frame[index] else ""
    name += (
        f", person {result.person[index]}" if len(np.unique(result.person[same])) > 1 or result.person[index] else ""
    )
    axes.set_xlabel(name if len(name) <= 32 else f"…{name[-31:]}", fontsize=8, parse_math=False)
