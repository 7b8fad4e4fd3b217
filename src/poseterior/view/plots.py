"""Figures of a result: a summary of some poses, an overlay of the hypotheses of one.

matplotlib is imported when a figure is made, not with this module.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files.errors import InputError
from ..files.writing import atomic_write
from ..geometry.skeletons import Skeleton
from ..results.poses import LiftResult
from .drawing import COLOURS, circles, ellipses, explain, literal_text, picture_suffix, tidy_axes
from .photos import Photos, check_photos, keypoint_box, read_photo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d import Axes3D

__all__ = ["hypotheses_figure", "save_hypotheses", "save_summary", "summary_figure"]

#: The three projections: title, column of each plot axis in the pose, sign of the vertical axis, axis labels.
VIEWS = (
    ("from the camera", (0, 1), "x, right (m)", "y, down (m)"),
    ("from the side", (2, 1), "z, away from the camera (m)", ""),
    ("from above", (0, 2), "x, right (m)", "z, away from the camera (m)"),
)

#: The mean and the hypotheses: blue and orange, which everybody can tell apart (Okabe and Ito 2008). The view of the
#: 3D axes is the published one (Wehrbein et al. 2021).
_MEAN, _HYPOTHESES = "#0072b2", "#e69f00"
_ELEVATION, _AZIMUTH = 6, -78
#: The 2D skeleton of 16 joints lacks this one; what hangs on it hangs on its parent.
_NOT_IN_2D = "neck_nose"
#: Joints nearer to the camera than this (m) have no picture.
_NEAREST = 0.1


def summary_figure(
    result: LiftResult,
    max_poses: int = 5,
    *,
    photos: Photos = None,
    hypotheses: int = 40,
) -> Figure:
    """Picture of some poses: one row each with the 2D evidence, three views of the hypotheses, the radii.

    Columns: the 2D keypoints as used with their 1-sigma ellipses (px); hypotheses, mean and the ball of each joint's
    region seen from the camera, from the side and from above (m); for each joint but the origin the radius of that
    ball, `LiftResult.region_radius` (mm). The label says which level it is, and whether it is calibrated. The person's
    left is blue, right is red.

    Args:
        result: what to draw.
        max_poses: rows at most; of more poses, evenly spaced ones are drawn.
        photos: the picture(s) that the keypoints come from, see `poseterior.view.photos.read_photo`.
        hypotheses: samples drawn per pose.

    Returns:
        a matplotlib ``Figure`` of its own (no pyplot state); ``figure.savefig(...)`` writes it.

    Raises:
        InputError: no poses, or a photo that cannot be read.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if not len(result):
        raise InputError("the result has no poses; nothing to draw")
    if max_poses < 1:
        raise InputError(f"max_poses: expected a whole number from 1, got {max_poses}")
    check_photos(photos, result.file.tolist())
    chosen = np.unique(np.linspace(0, len(result) - 1, min(max_poses, len(result))).round().astype(int))
    radii = 1000 * result.region_radius[chosen]
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(17.0, 3.9 * len(chosen) + 0.9), layout=layout)
    axes = figure.subplots(len(chosen), 5, squeeze=False, gridspec_kw={"width_ratios": [1.0, 1.0, 1.0, 1.0, 1.15]})
    limit = 1.12 * float(radii.max(initial=1.0))
    for row, index in enumerate(chosen):
        photo = read_photo(photos, str(result.file[index]))
        draw_keypoints(axes[row, 0], result, int(index), photo)
        for column, view in enumerate(VIEWS, start=1):
            draw_view(axes[row, column], result, int(index), view, hypotheses)
        draw_radii(axes[row, 4], result, int(index), radii[row], limit)
    explain(figure, result, min(hypotheses, result.samples.shape[1]))
    return figure


def save_summary(
    result: LiftResult,
    path: str | os.PathLike[str],
    max_poses: int = 5,
    *,
    photos: Photos = None,
    hypotheses: int = 40,
    dpi: int = 110,
) -> None:
    """Write `summary_figure` to a file that appears only when it is complete.

    Args:
        path: ``.png``, ``.pdf`` or ``.svg``.
        dpi: dots an inch of a PNG; the figure is 17 inches wide.

    Raises:
        InputError: as `summary_figure`; another extension; a path that cannot be written to.
    """
    suffix = picture_suffix(path)
    figure = summary_figure(result, max_poses, photos=photos, hypotheses=hypotheses)
    with atomic_write(path) as file:
        figure.savefig(file, format=suffix[1:], dpi=dpi, facecolor="white")


def hypotheses_figure(
    result: LiftResult,
    pose: int = 0,
    count: int = 10,
    *,
    photos: Photos = None,
    intrinsics: Sequence[float] | None = None,
) -> Figure:
    """Hypotheses of one pose laid over each other (orange), and their mean (blue, on top).

    After the published overlay, which puts some one hypothesis forward. Left, in 2D, a skeleton of 16 joints: they are
    seen by the camera, each put where it fits the keypoints best (`fit_root`), over the photograph and the keypoints
    (black). Right, in 3D, all joints, in metres.

    Args:
        result: what to draw; the first ``count`` of its samples are the hypotheses.
        pose: row of the result.
        count: hypotheses at most.
        photos: the picture(s) that the keypoints come from, see `poseterior.view.photos.read_photo`.
        intrinsics: ``(fx, fy, cx, cy)`` px of the camera; by default the result's. Where neither knows them the field
            of view is taken as lifters do that are not told (`poseterior.geometry.cameras.ASSUMED_FIELD_OF_VIEW`), or,
            where the image size is not known either, only the keypoints are drawn in 2D; the figure says which.

    Returns:
        a matplotlib ``Figure`` of its own (no pyplot state).

    Raises:
        InputError: no such pose, a result without samples, intrinsics that are not, a photo that cannot be read.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if not 0 <= pose < len(result):
        raise InputError(f"pose: expected 0 to below {len(result)} (the number of poses), got {pose}")
    if count < 1:
        raise InputError(f"count: expected a whole number from 1, got {count}")
    if not result.samples.shape[1]:
        raise InputError("the result has no samples; keep them when lifting (.npz or .parquet)")
    check_photos(photos, result.file.tolist())
    samples = result.samples[pose, :count].astype(np.float64)
    camera, known = _camera(result, pose, intrinsics)
    figure = Figure(figsize=(11.0, 5.6), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    flat = figure.add_subplot(1, 2, 1)
    shown = np.concatenate([result.mean[pose][None].astype(np.float64), samples])
    _draw_hypotheses_2d(flat, result, pose, shown, camera, read_photo(photos, str(result.file[pose])))
    flat.set_title(known, fontsize=10)
    solid = figure.add_subplot(1, 2, 2, projection="3d")
    _draw_hypotheses_3d(solid, result, shown)
    _explain_hypotheses(figure, result, pose, len(samples))
    return figure


def save_hypotheses(
    result: LiftResult,
    path: str | os.PathLike[str],
    pose: int = 0,
    count: int = 10,
    *,
    photos: Photos = None,
    intrinsics: Sequence[float] | None = None,
    dpi: int = 110,
) -> None:
    """Write `hypotheses_figure` to a file that appears only when it is complete.

    Args:
        path: ``.png``, ``.pdf`` or ``.svg``.
        dpi: dots an inch of a PNG; the figure is 11 inches wide.

    Raises:
        InputError: as `hypotheses_figure`; another extension; a path that cannot be written to.
    """
    suffix = picture_suffix(path)
    figure = hypotheses_figure(result, pose, count, photos=photos, intrinsics=intrinsics)
    with atomic_write(path) as file:
        figure.savefig(file, format=suffix[1:], dpi=dpi, facecolor="white")


def _camera(result: LiftResult, pose: int, intrinsics: Sequence[float] | None) -> tuple[np.ndarray | None, str]:
    """The camera to project by (None: not known), and what to say about it."""
    import torch

    from ..geometry.cameras import ASSUMED_FIELD_OF_VIEW, assumed_intrinsics

    if intrinsics is not None:
        camera = np.asarray(intrinsics, np.float64)
        if camera.shape != (4,) or not np.isfinite(camera).all() or (camera[:2] <= 0).any():
            raise InputError(f"intrinsics: expected (fx, fy, cx, cy) in px with fx, fy above 0, got {intrinsics!r}")
        return camera, "seen by the camera"
    if np.isfinite(result.intrinsics[pose]).all():
        return result.intrinsics[pose].astype(np.float64), "seen by the camera"
    camera = assumed_intrinsics(torch.tensor(result.image_size[pose], dtype=torch.float64)).numpy()
    if not np.isfinite(camera).all():
        return None, "keypoints (camera not known: no hypotheses here)"
    return camera, f"seen by a camera of {ASSUMED_FIELD_OF_VIEW:g} degrees (assumed)"


def _bones_2d(skeleton: Skeleton) -> list[tuple[int, int]]:
    """(child, parent) of each bone of the 2D skeleton."""
    bones = []
    for child, parent in skeleton.bones:
        if skeleton.joints[child] != _NOT_IN_2D:
            bones.append((child, skeleton.parents[parent] if skeleton.joints[parent] == _NOT_IN_2D else parent))
    return bones


def _draw_hypotheses_2d(
    axes: Axes, result: LiftResult, pose: int, samples: np.ndarray, camera: np.ndarray | None, photo: np.ndarray | None
) -> None:
    points, visible = result.keypoints[pose].astype(np.float64), result.visible[pose]
    shown = visible & np.asarray([name != _NOT_IN_2D for name in result.joint_names])
    box = [points[visible]]
    if photo is not None:
        height, width = photo.shape[:2]
        axes.imshow(photo, extent=(0, width, height, 0), interpolation="bilinear")
    if camera is not None:
        from ..geometry.cameras import fit_root

        roots = fit_root(samples, points, result.keypoint_covariance[pose], visible, camera.tolist())
        placed = samples + roots[:, None]
        # a joint at or behind the camera has no picture; NaN also where no root could be found
        placed = np.where(placed[..., 2:] > _NEAREST, placed, np.nan)
        seen = placed[..., :2] / placed[..., 2:] * camera[:2] + camera[2:]
        _draw_sticks(axes, seen, _bones_2d(result.tree))
        box.append(seen.reshape(-1, 2))
    for bone in _bones_2d(result.tree):
        if shown[list(bone)].all():
            axes.plot(*points[list(bone)].T, color="black", linewidth=0.9, alpha=0.7, zorder=3)
    axes.scatter(points[shown, 0], points[shown, 1], s=22, c="black", edgecolors="white", linewidths=0.8, zorder=6)
    low, high = keypoint_box(np.concatenate(box), None if photo is None else photo.shape[:2], margin=0.12)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(high[1], low[1])
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlabel("x, right (px)")
    axes.set_ylabel("y, down (px)")
    tidy_axes(axes)


def _draw_hypotheses_3d(axes: Axes3D, result: LiftResult, samples: np.ndarray) -> None:
    from matplotlib.ticker import MaxNLocator

    # the plot's vertical axis is its third, and points up
    turned = samples[..., [0, 2, 1]]
    _draw_sticks(axes, turned, list(result.tree.bones))
    low, high = turned.reshape(-1, 3).min(0), turned.reshape(-1, 3).max(0)
    centre, half = (low + high) / 2, 0.54 * float((high - low).max())
    axes.set_xlim(centre[0] - half, centre[0] + half)
    axes.set_ylim(centre[1] - half, centre[1] + half)
    axes.set_zlim(centre[2] + half, centre[2] - half)
    axes.set_box_aspect((1, 1, 1), zoom=1.2)
    axes.view_init(elev=_ELEVATION, azim=_AZIMUTH)
    axes.set_xlabel("x, right (m)", fontsize=9)
    # at this angle the depth axis is seen almost end on: few ticks, or they print over each other
    for axis, ticks in ((axes.xaxis, 5), (axes.yaxis, 2), (axes.zaxis, 6)):
        axis.set_major_locator(MaxNLocator(ticks))
    axes.set_ylabel("z, away (m)", fontsize=9, labelpad=4)
    axes.set_zlabel("y, down (m)", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.set_title("in 3D", fontsize=10)


def _draw_sticks(axes: Axes | Axes3D, hypotheses: np.ndarray, bones: list[tuple[int, int]]) -> None:
    """Stick figures ``(n, joints, 2 or 3)``, the first on top: the mean."""
    for number in reversed(range(len(hypotheses))):
        first = number == 0
        for child, parent in bones:
            segment = hypotheses[number, [parent, child]]
            axes.plot(
                *segment.T, color=_MEAN if first else _HYPOTHESES, linewidth=2.2 if first else 1.2,
                alpha=1.0 if first else 0.6, solid_capstyle="round", zorder=5 if first else 4,
            )  # fmt: skip


def _explain_hypotheses(figure: Figure, result: LiftResult, pose: int, count: int) -> None:
    from matplotlib.lines import Line2D

    others = "1 hypothesis" if count == 1 else f"{count} hypotheses"
    handles = [
        Line2D([], [], color=_MEAN, linewidth=2.2, label="mean"),
        Line2D([], [], color=_HYPOTHESES, linewidth=1.2, label=others),
    ]
    handles.append(Line2D([], [], marker="o", linewidth=0.9, color="black", markersize=5, label="keypoints"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    name = Path(str(result.file[pose])).name or "pose"
    text = f"{name}, frame {result.frame[pose]}, person {result.person[pose]}"
    figure.suptitle(literal_text(text + (f"; lifter {result.lifter}" if result.lifter else "")), fontsize=12)


def draw_keypoints(axes: Axes, result: LiftResult, index: int, photo: np.ndarray | None) -> None:
    points, visible = result.keypoints[index], result.visible[index]
    low, high = keypoint_box(points[visible], None if photo is None else photo.shape[:2], margin=0.18)
    if photo is not None:
        height, width = photo.shape[:2]
        axes.imshow(photo, extent=(0, width, height, 0), interpolation="bilinear")
    shown = np.where(visible[:, None], points, np.nan)
    _draw_skeleton(axes, shown, result, width=2.2, outline=photo is not None)
    _draw_outlines(axes, ellipses(shown, result.keypoint_covariance[index])[visible], _colours(result)[visible])
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(high[1], low[1])
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlabel("x, right (px)")
    axes.set_ylabel("y, down (px)")
    name = Path(str(result.file[index])).name or "pose"
    name = name if len(name) <= 28 else f"…{name[-27:]}"
    title = f"{name}\nframe {result.frame[index]}, person {result.person[index]}"
    axes.set_title(literal_text(title), fontsize=10, fontweight="bold")
    hidden = [n.replace("_", " ") for n, v in zip(result.joint_names, visible, strict=True) if not v]
    if hidden:
        text = ", ".join(hidden[:5]) + (f" and {len(hidden) - 5} more" if len(hidden) > 5 else "")
        axes.set_xlabel("x, right (px)\n" + _wrap(f"missing: {text}"))
    tidy_axes(axes)


def draw_view(
    axes: Axes, result: LiftResult, index: int, view: tuple[str, tuple[int, int], str, str], hypotheses: int
) -> None:
    from matplotlib.collections import LineCollection

    title, columns, x_label, y_label = view
    picked = list(columns)
    samples = result.samples[index, :hypotheses][..., picked]
    mean = result.mean[index][:, picked]
    centre, radius = result.region_center[index], result.region_radius[index][:, None]
    bones = np.asarray(result.tree.bones, int).reshape(-1, 2)
    sides = result.tree.sides
    if len(samples) and len(bones):
        segments = samples[:, bones].reshape(-1, 2, 2)
        colours = [COLOURS[sides[child]] for child, _ in bones] * len(samples)
        alpha = float(np.clip(8.0 / len(samples), 0.15, 0.5))
        axes.add_collection(LineCollection(list(segments), colors=colours, linewidths=0.7, alpha=alpha, zorder=1))
    _draw_outlines(axes, circles(centre[:, picked], radius[:, 0]), _colours(result), zorder=0.5, alpha=0.06)
    _draw_skeleton(axes, mean, result, width=2.2)
    # one extent for all three views, so that the eye can compare them
    drawn = result.samples[index, :hypotheses].reshape(-1, 3)
    cloud = np.concatenate([drawn, result.mean[index], centre - radius, centre + radius])
    low, high = cloud.min(0), cloud.max(0)
    half = 0.54 * float((high - low).max())
    middle = ((low + high) / 2)[picked]
    axes.set_xlim(middle[0] - half, middle[0] + half)
    # y points down; z points away, which from above is up
    up = columns[1] != 1
    axes.set_ylim(middle[1] - half if up else middle[1] + half, middle[1] + half if up else middle[1] - half)
    axes.set_aspect("equal", adjustable="box")
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(color="0.92", linewidth=0.8)
    tidy_axes(axes)


def draw_radii(axes: Axes, result: LiftResult, index: int, radii: np.ndarray, limit: float) -> None:
    # the origin is where it is by definition: its bar would say nothing
    joints = [j for j, name in enumerate(result.joint_names) if name != result.origin]
    for place, joint in enumerate(joints):
        radius = float(radii[joint])
        colour = COLOURS[result.tree.sides[joint]]
        visible = bool(result.visible[index, joint])
        axes.barh(
            place, radius, height=0.72, color=colour if visible else "white", edgecolor=colour,
            hatch="" if visible else "/////", linewidth=0.8,
        )  # fmt: skip
        text = f"{radius:.0f}" + ("" if visible else "  missing")
        inside = radius > 0.75 * limit and visible
        axes.text(
            radius - 0.01 * limit if inside else radius + 0.01 * limit, place, text, va="center",
            ha="right" if inside else "left", fontsize=7.5, color="white" if inside else "0.2",
        )  # fmt: skip
    names = [result.joint_names[joint].replace("_", " ") for joint in joints]
    axes.set_yticks(range(len(joints)), names, fontsize=8)
    axes.set_ylim(len(joints) - 0.4, -0.6)
    axes.set_xlim(0, 1.12 * limit)
    axes.set_xlabel(result.region_label("radius, mm"))
    axes.set_title("uncertainty per joint", fontsize=10)
    tidy_axes(axes)
    axes.tick_params(axis="y", length=0)


def _draw_skeleton(axes: Axes, points: np.ndarray, result: LiftResult, width: float, outline: bool = False) -> None:
    from matplotlib.patheffects import Normal, Stroke

    # a white rim keeps red on red cloth legible
    effects = [Stroke(linewidth=width + 2.0, foreground="white"), Normal()] if outline else []
    skeleton = result.tree
    for child, parent in skeleton.bones:
        segment = points[[parent, child]]
        colour = COLOURS[skeleton.sides[child]]
        axes.plot(*segment.T, color=colour, linewidth=width, solid_capstyle="round", zorder=4, path_effects=effects)
    colours = [COLOURS[side] for side in skeleton.sides]
    axes.scatter(points[:, 0], points[:, 1], s=16, c=colours, edgecolors="white", linewidths=0.6, zorder=5)


def _colours(result: LiftResult) -> np.ndarray:
    return np.asarray([COLOURS[side] for side in result.tree.sides])


def _draw_outlines(
    axes: Axes, outlines: np.ndarray, colours: np.ndarray, zorder: float = 3.0, alpha: float = 0.13
) -> None:
    """Closed outlines ``(n, corners, 2)``, faintly filled."""
    from matplotlib.collections import PolyCollection

    edges, faces = (np.insert(colours, 3, share, axis=1) for share in (5 * alpha, alpha))
    axes.add_collection(
        PolyCollection(list(outlines), edgecolors=edges, facecolors=faces, linewidths=0.8, zorder=zorder), autolim=False
    )


def _wrap(text: str, width: int = 38) -> str:
    import textwrap

    return textwrap.fill(text, width)
