"""Figures of a result: a summary of some poses, an overlay of the hypotheses of one.

matplotlib is imported when a figure is made, not with this module.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..files.errors import InputError
from ..files.writing import atomic_write
from ..results.poses import LiftResult
from .axes import View, picture_title, stage_title, views_of
from .body import Body
from .drawing import (
    COLOURS,
    circles,
    literal_text,
    name_of,
    picture_suffix,
    pose_signs,
    tidy_axes,
    title_of,
    wrapped,
)
from .fonts import legible
from .page import MARGIN, Page
from .palette import LIGHT
from .panels import Stage, flat_box, flat_panel, panel_title
from .photos import Photos, check_photos, read_photo
from .projecting import camera_of_pose, in_picture, projected

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["hypotheses_figure", "save_hypotheses", "save_summary", "summary_figure"]

#: What comes towards the eye in each: column of the pose, sign.
_NEAR = {(0, 1): (2, -1.0), (2, 1): (0, 1.0), (0, 2): (1, -1.0)}

#: The eye of the overlay's stage: degrees to the right of the camera.
_AZIMUTH = 30.0
#: Inches: columns of a summary's row and its height; an overlay's panels.
_SUMMARY, _ROW = 17.0, 3.9
_PANEL, _WIDEST = 4.9, 6.0


def summary_figure(
    result: LiftResult,
    max_poses: int = 5,
    *,
    photos: Photos = None,
    hypotheses: int = 40,
) -> Figure:
    """Picture of some poses: one row each with the 2D evidence, three views of the hypotheses, the radii.

    Columns: the 2D keypoints as used (px), with ellipses that hold a normal distribution of the keypoint's covariance
    at the regions' level; hypotheses, mean and the ball of each joint's region seen from the camera, from the side and
    from above (m); for each joint but the origin the radius of that ball, `LiftResult.region_radius` (mm). The label
    says which level it is, and whether it is calibrated. The person's left is blue, right is vermillion; joints that
    are not seen are hollow, in the picture where the hypotheses are seen.

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
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if not len(result):
        raise InputError("the result has no poses; nothing to draw")
    if max_poses < 1:
        raise InputError(f"max_poses: expected a whole number from 1, got {max_poses}")
    check_photos(photos, result.file.tolist())
    chosen = np.unique(np.linspace(0, len(result) - 1, min(max_poses, len(result))).round().astype(int))
    radii = 1000 * result.region_radius[chosen]
    title, note = title_of(result[chosen], len(result))
    page = Page(_SUMMARY, title, note, pose_signs(result[chosen], hypotheses))
    figure = page.figure(_ROW * len(chosen))
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, rect=page.rectangle))
    axes = figure.subplots(len(chosen), 5, squeeze=False, gridspec_kw={"width_ratios": [1.0, 1.0, 1.0, 1.0, 1.15]})
    limit = 1.12 * float(radii.max(initial=1.0))
    for row, index in enumerate(chosen):
        photo = read_photo(photos, str(result.file[index]))
        draw_keypoints(axes[row, 0], result, int(index), photo)
        for column, view in enumerate(views_of(result), start=1):
            draw_view(axes[row, column], result, int(index), view, hypotheses)
            axes[row, column].set_title(view[0], fontsize=10, loc="left")
        draw_radii(axes[row, 4], result, int(index), radii[row], limit)
        axes[row, 4].set_title("radius of each joint's region", fontsize=10, loc="left")
    return legible(figure)


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
    """Hypotheses of one pose laid over each other, faint, and their mean, on top.

    Left, in 2D, they are seen by the camera, each put where it fits the keypoints best (`fit_root`), over the
    photograph; the mean's joints are the keypoints, with what holds where they may be, and where they are not seen they
    are hollow and where the mean has them. Right, as large, in 3D, with the balls of the regions. The person's left is
    blue, right is vermillion.

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
    if not 0 <= pose < len(result):
        raise InputError(f"pose: expected 0 to below {len(result)} (the number of poses), got {pose}")
    if count < 1:
        raise InputError(f"count: expected a whole number from 1, got {count}")
    if not result.samples.shape[1]:
        raise InputError("the result has no samples; keep them when lifting (.npz or .parquet)")
    check_photos(photos, result.file.tolist())
    camera, seen_by = _camera(result, pose, intrinsics)
    count = min(count, result.samples.shape[1])
    photo = read_photo(photos, str(result.file[pose]))
    points, covariance = (values[0] for values in in_picture(result, np.asarray([pose])))
    thin: np.ndarray = np.empty((0, len(result.joint_names), 2))
    if camera is not None:
        shown = projected(np.concatenate([result.mean[pose, None], result.samples[pose, :count]]), result, pose, camera)
        points, thin = np.where(result.visible[pose][:, None], points, shown[0]), shown[1:]
    low, high = flat_box(points, result.visible[pose], None if photo is None else photo.shape)
    scale = min(_WIDEST / (high - low)[0], _PANEL / (high - low)[1])
    width, height = ((high - low) * scale).tolist()
    wide = float(np.clip(width, 0.85 * _PANEL, _WIDEST))
    text = f"{name_of(result, pose)}, frame {result.frame[pose]}, person {result.person[pose]}"
    note = f"lifter {result.lifter}; " * bool(result.lifter) + f"{result.units}, relative to the {result.origin}"
    page = Page(2 * MARGIN + 0.9 + width + wide, text, note, pose_signs(result[[pose]], count))
    figure = page.figure(_PANEL + 1.05)
    flat = page.axes(MARGIN + 0.6, 0.45 + (_PANEL - height) / 2, width, height)
    flat_panel(flat, result, pose, points, covariance, (low, high), photo, thin)
    panel_title(flat, seen_by, width)
    solid = page.axes(MARGIN + 0.9 + width, 0.45, wide, _PANEL)
    Stage(solid, result, np.asarray([pose]), count, _PANEL / wide).show(pose, _AZIMUTH)
    panel_title(solid, stage_title(result, _AZIMUTH), wide)
    return legible(figure)


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
        dpi: dots an inch of a PNG; the figure is as wide as its two panels, 9 inches or more.

    Raises:
        InputError: as `hypotheses_figure`; another extension; a path that cannot be written to.
    """
    suffix = picture_suffix(path)
    figure = hypotheses_figure(result, pose, count, photos=photos, intrinsics=intrinsics)
    with atomic_write(path) as file:
        figure.savefig(file, format=suffix[1:], dpi=dpi, facecolor="white")


def _camera(result: LiftResult, pose: int, intrinsics: Sequence[float] | None) -> tuple[np.ndarray | None, str]:
    """The camera to project by (None: not known), and what to say about it."""
    from ..geometry.cameras import ASSUMED_FIELD_OF_VIEW

    if result.in_world:
        if intrinsics is not None:
            raise InputError("intrinsics: the poses are in the axes of a world, not in a camera's: leave them out")
        return None, f"{picture_title(result)} (poses in the world: no hypotheses here)"
    if intrinsics is not None:
        camera = np.asarray(intrinsics, np.float64)
        if camera.shape != (4,) or not np.isfinite(camera).all() or (camera[:2] <= 0).any():
            raise InputError(f"intrinsics: expected (fx, fy, cx, cy) in px with fx, fy above 0, got {intrinsics!r}")
        return camera, "seen by the camera"
    camera, known = camera_of_pose(result, pose)
    if known:
        return camera, "seen by the camera"
    if not np.isfinite(result.image_size[pose]).all():
        return None, "keypoints (camera not known: no hypotheses here)"
    return camera, f"seen by a camera of {ASSUMED_FIELD_OF_VIEW:g} degrees (assumed)"


def draw_keypoints(axes: Axes, result: LiftResult, index: int, photo: np.ndarray | None) -> None:
    """A pose in the picture, as wide or high as the axes have room; its file, frame and person are the title."""
    points, covariance = (values[0] for values in in_picture(result, np.asarray([index])))
    visible = result.visible[index]
    box = flat_box(points, visible, None if photo is None else photo.shape, margin=0.18)
    flat_panel(axes, result, index, points, covariance, box, photo, width=2.2)
    axes.set_aspect("equal", adjustable="box")
    name = wrapped(name_of(result, index), 2.4, 10, "bold")
    title = f"{name}\nframe {result.frame[index]}, person {result.person[index]}"
    title += f"\n{picture_title(result)}" * result.in_world
    axes.set_title(literal_text(title), fontsize=10, fontweight="bold", loc="left")
    hidden = [n.replace("_", " ") for n, v in zip(result.joint_names, visible, strict=True) if not v]
    if hidden:
        text = ", ".join(hidden[:5]) + (f" and {len(hidden) - 5} more" if len(hidden) > 5 else "")
        axes.set_xlabel("x, right (px)\n" + wrapped(f"not seen: {text}", 2.4, 9))


def draw_view(
    axes: Axes, result: LiftResult, index: int, view: View, hypotheses: int,
    fill: float | None = None,
) -> None:  # fmt: skip
    """A pose in a parallel projection along an axis, metres.

    Args:
        axes: to draw on.
        result, index: the pose.
        view: one of `poseterior.view.axes.views_of`.
        hypotheses: samples drawn.
        fill: height over width of the axes, which are filled; None makes them square.
    """
    _, columns, x_label, y_label = view
    picked = list(columns)
    samples, mean = result.samples[index, :hypotheses], result.mean[index]
    centre, radius = result.region_center[index], result.region_radius[index]
    near, sign = _NEAR[columns]
    body = Body(axes, result.tree, 2.6)
    body.show(
        mean[:, picked], circles(centre[:, picked], radius), result.visible[index], samples[..., picked],
        sign * mean[:, near],
    )  # fmt: skip
    # one extent for all three views, so that the eye can compare them
    low, high = _extent(mean, samples, centre, radius)
    size = high - low
    half = np.full(2, 0.54 * float(size.max()))
    if fill is not None:
        half = 0.54 * size[picked]
        half = np.maximum(half, [half[1] / fill, half[0] * fill])
    middle = ((low + high) / 2)[picked]
    axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
    # y points down; z points away, which from above is up
    up = 1 if columns[1] != 1 else -1
    axes.set_ylim(middle[1] - up * half[1], middle[1] + up * half[1])
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(color=LIGHT.grid, linewidth=0.8)
    tidy_axes(axes)
    axes.locator_params(nbins=6)


def _extent(
    mean: np.ndarray, samples: np.ndarray, centre: np.ndarray, radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two corners, metres, that hold the mean, its regions and nearly all hypotheses."""
    cloud = np.concatenate([mean, centre - radius[:, None], centre + radius[:, None]])
    low, high = cloud.min(0), cloud.max(0)
    if samples.size:
        drawn = samples.reshape(-1, 3)
        low, high = np.minimum(low, np.quantile(drawn, 0.01, 0)), np.maximum(high, np.quantile(drawn, 0.99, 0))
    return low, high


def draw_radii(axes: Axes, result: LiftResult, index: int, radii: np.ndarray, limit: float) -> None:
    """A bar a joint: the radius of its region, mm; hollow for joints that are not seen."""
    # the origin is where it is by definition: its bar would say nothing
    joints = [j for j, name in enumerate(result.joint_names) if name != result.origin]
    for place, joint in enumerate(joints):
        radius = float(radii[joint])
        colour = COLOURS[result.tree.sides[joint]]
        visible = bool(result.visible[index, joint])
        axes.barh(
            place, radius, height=0.7, color=colour if visible else "white", edgecolor=colour,
            hatch="" if visible else "/////", linewidth=0.8,
        )  # fmt: skip
        text = f"{radius:.0f}" + ("" if visible else "  not seen")
        inside = radius > 0.72 * limit and visible
        framed = radius > 0.6 * limit and not visible  # no room behind the bar: in it, away from its end
        at = 0.03 * limit if framed else radius - 0.015 * limit if inside else radius + 0.015 * limit
        axes.text(
            at, place, text, va="center", ha="right" if inside else "left", fontsize=7.5,
            color=LIGHT.paper if inside else LIGHT.ink,
            bbox={"facecolor": LIGHT.paper, "edgecolor": "none", "pad": 1.0} if framed else None,
        )  # fmt: skip
    names = [result.joint_names[joint].replace("_", " ") for joint in joints]
    axes.set_yticks(range(len(joints)), names, fontsize=8)
    axes.set_ylim(len(joints) - 0.4, -0.6)
    axes.set_xlim(0, limit)
    axes.set_xlabel(result.region_label("radius, mm"))
    tidy_axes(axes)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)
