"""The panels of pictures and films: the picture with its keypoints, and the person on a stage in 3D."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ..geometry.skeletons import Skeleton
from ..results.poses import LiftResult
from .body import Body, eye
from .drawing import Array, circles, ellipses, literal_text, reach_of, tidy_axes, wrapped
from .palette import LIGHT
from .photos import keypoint_box

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "ELEVATION",
    "Stage",
    "flat_box",
    "flat_panel",
    "panel_title",
    "picture_ground",
    "show_keypoints",
    "upright",
]

#: Degrees from which a stage is seen from above.
ELEVATION = 12.0
#: Metres from the middle: rings on the floor, the mark that shows in which direction the camera is.
_RINGS, _CAMERA_MARK = (0.25, 0.5), 0.6
#: Of what is drawn so much lies inside a stage: one hypothesis that flies off must not make the person small.
_NEARLY_ALL = 0.99
#: How far the box of a picture reaches beyond the joints that are seen, in sizes of their box, to show others.
_BEYOND = 0.75
#: The smallest box: px where there is no picture, else a share of its longer side.
_LEAST, _LEAST_SHARE = 20.0, 0.06
#: Opacity of ellipses in a picture whose half axis is this share of it, or less; of larger ones, at least.
_OPAQUE, _SMALL, _PALEST = 0.26, 0.04, 0.02


# -- the picture -------------------------------------------------------------------------------------------


def flat_box(
    points: Float[Array, "*batch joints 2"],
    visible: Bool[NDArray[np.bool_], "*batch joints"],
    shape: tuple[int, ...] | None,
    margin: float = 0.12,
    whole: float = 0.2,
) -> tuple[Array, Array]:
    """The part of a picture to be shown: around what is seen, and around joints that are not, where they are near.

    Args:
        points: px, of all joints; NaN is ignored.
        visible: which of them are seen.
        shape: (height, width) of the picture; None for none.
        margin: as of `keypoint_box`.
        whole: of a picture of which the box is this share or more, all is shown.

    Returns:
        Upper left and lower right corner, px. Beyond a picture's edges only where unseen joints are.
    """
    seen = np.where(visible[..., None], points, np.nan)
    low, high = keypoint_box(seen if visible.any() else points, shape, margin)
    if shape is not None and (high - low).prod() > whole * shape[0] * shape[1]:
        low, high = np.minimum(low, 0.0), np.maximum(high, [shape[1], shape[0]])
    least = _LEAST if shape is None else _LEAST_SHARE * max(shape[:2])
    lacking = np.maximum(least - (high - low), 0.0)
    low, high = low - lacking / 2, high + lacking / 2
    if visible.any():
        size = float((high - low).max())
        unseen = np.where(visible[..., None], np.nan, points).reshape(-1, 2)
        unseen = unseen[np.isfinite(unseen).all(-1)]
        if len(unseen):
            away = 0.08 * size
            low = np.maximum(np.minimum(low, np.quantile(unseen, 0.02, 0, method="lower") - away), low - _BEYOND * size)
            high = np.minimum(
                np.maximum(high, np.quantile(unseen, 0.98, 0, method="higher") + away), high + _BEYOND * size
            )
    return low, high


def show_keypoints(
    body: Body,
    points: Array,
    covariance: Array,
    visible: NDArray[np.bool_],
    level: float,
    hypotheses: Array | None = None,
) -> None:
    """Draw a pose's joints in the picture with the ellipses that hold so much of where each may be.

    The larger an ellipse the paler, as a density is: what may be anywhere does not hide the picture.
    """
    outlines = ellipses(points, covariance, reach_of(level))
    width, height = np.abs([np.diff(body.axes.get_xlim()), np.diff(body.axes.get_ylim())]).ravel()
    away = np.linalg.norm(outlines - points[:, None], axis=-1).max(-1) / max(width, height)
    opacity = np.clip(_OPAQUE * (_SMALL / np.maximum(np.nan_to_num(away), 1e-6)), _PALEST, _OPAQUE)
    body.show(points, outlines, visible, hypotheses, opacity=opacity)


def panel_title(axes: Axes, text: str, width: float) -> None:
    """A title in as many lines as it needs, at the left above axes that are ``width`` inches wide."""
    axes.set_title(
        literal_text(wrapped(text, width, 10)), fontsize=10, color=LIGHT.ink, loc="left", pad=5, fontweight="normal"
    )


def flat_panel(
    axes: Axes, result: LiftResult, index: int, points: Array, covariance: Array, box: tuple[Array, Array],
    photo: NDArray[np.uint8] | None, hypotheses: Array | None = None, width: float = 2.6,
) -> Body:  # fmt: skip
    """A pose in the picture: the photograph, the mean's bones, the ellipses of its joints.

    Args:
        axes: of the shape of the box.
        result, index: the pose.
        points, covariance: of its joints in the picture, from `poseterior.view.projecting.in_picture`.
        box: what is shown, px, from `poseterior.view.panels.flat_box`.
        photo: pixels; None for none.
        hypotheses: (n, joints, 2) px, drawn faintly.
        width: of the bones, points.
    """
    picture_ground(axes, box, photo)
    body = Body(axes, result.tree, width)
    show_keypoints(body, points, covariance, result.visible[index], result.level, hypotheses)
    return body


def picture_ground(axes: Axes, box: tuple[Array, Array], photo: NDArray[np.uint8] | None) -> None:
    """Axes in pixels, with the photograph; beyond its edges they are a shade darker than paper."""
    low, high = box
    axes.set_facecolor(LIGHT.panel)
    if photo is not None:
        height, width = photo.shape[:2]
        axes.imshow(photo, extent=(0, width, height, 0), interpolation="bilinear", aspect="auto")
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]))
    axes.set_aspect("auto")
    axes.set_xlabel("x, right (px)")
    axes.set_ylabel("y, down (px)")
    tidy_axes(axes)
    place, page = axes.get_position(), axes.figure.get_size_inches()  # type: ignore[union-attr]
    axes.locator_params(axis="x", nbins=int(np.clip(place.width * page[0] / 0.7, 2, 6)), integer=True)
    axes.locator_params(axis="y", nbins=int(np.clip(place.height * page[1] / 0.5, 2, 6)), integer=True)


# -- the stage ---------------------------------------------------------------------------------------------


def upright(poses: Float[Array, "*batch joints 3"]) -> Float[Array, "*batch 1 3"]:
    """What is to be added to a pose so that its lowest joint stands on the floor."""
    return np.asarray([0.0, -1.0, 0.0]) * poses[..., 1].max(-1)[..., None, None]


class Stage:
    """A person in 3D on a floor, in a parallel projection that an eye turns around.

    Args:
        axes: flat, becomes metres; without ticks, of which the rings on the floor stand in place.
        result: whose poses are shown.
        rows: which of them have to fit.
        hypotheses: samples drawn per pose.
        shape: height over width of the axes, which are filled.
        width: of the mean's bones, points.
        words: label the ring.
        camera: label the direction of the camera, if there is one.
    """

    def __init__(
        self, axes: Axes, result: LiftResult, rows: NDArray[np.integer], hypotheses: int, shape: float,
        width: float = 3.4, *, words: bool = True, camera: bool = True,
    ) -> None:  # fmt: skip
        from matplotlib.collections import LineCollection
        from matplotlib.patheffects import withStroke

        self.axes, self.result, self.hypotheses = axes, result, hypotheses
        self.tilt = np.radians(ELEVATION)
        tree: Skeleton = result.tree
        low, high = self._extent(np.asarray(rows, int))
        size, middle = high - low, (low + high) / 2
        size = np.maximum(size, [size[1] / shape, size[0] * shape])
        axes.set(xlim=middle[0] + size[0] * np.asarray([-0.5, 0.5]), ylim=middle[1] + size[1] * np.asarray([-0.5, 0.5]))
        axes.set(xticks=[], yticks=[], aspect="equal", facecolor="none")
        axes.spines[:].set_visible(False)
        angles = np.linspace(0, 2 * np.pi, 73)
        ring = np.stack([np.cos(angles), np.zeros_like(angles), np.sin(angles)], -1)
        # rings look the same from everywhere: drawn once
        flat = (ring @ eye(0.0, ELEVATION).T)[:, :2]
        axes.fill(*(_RINGS[-1] * flat.T), facecolor=LIGHT.panel, zorder=0)
        axes.add_collection(
            LineCollection([r * flat for r in _RINGS], colors=LIGHT.line, linewidths=0.8, zorder=1), autolim=False
        )
        self.ring = None
        if words:
            place = (0.0, _RINGS[-1] * flat[:, 1].min() - 0.02)
            self.ring = axes.text(*place, "ring: 1 m", ha="center", va="top", fontsize=8, color=LIGHT.soft, zorder=3)
        self.spokes = LineCollection([], colors=LIGHT.grid, linewidths=0.9, zorder=1)
        self.shadow = LineCollection(
            [], colors=LIGHT.line, linewidths=1.3 * width, capstyle="round", zorder=2, alpha=0.6
        )
        axes.add_collection(self.spokes, autolim=False)
        axes.add_collection(self.shadow, autolim=False)
        self.camera = axes.text(
            0,
            0,
            "camera" if camera and not result.in_world else "",
            ha="center",
            va="center",
            fontsize=8,
            color=LIGHT.soft,
            zorder=3,
        )
        for label in (self.camera, self.ring):
            if label is not None:  # over shadows of limbs
                label.set_path_effects([withStroke(linewidth=2.5, foreground=LIGHT.paper)])
        self.body = Body(axes, tree, width)

    def _extent(self, rows: NDArray[np.integer]) -> tuple[Array, Array]:
        """Lower left and upper right corner that hold the body, its balls and nearly all hypotheses from all sides."""
        result = self.result
        floor = upright(result.mean[rows])
        cloud = np.concatenate([result.mean[rows, None], result.samples[rows, : self.hypotheses]], 1) + floor[:, None]
        centre, radius = result.region_center[rows] + floor, result.region_radius[rows]
        away = [np.linalg.norm(cloud[..., [0, 2]], axis=-1), np.linalg.norm(centre[..., [0, 2]], axis=-1) + radius]
        reach = max(_CAMERA_MARK, *(float(np.nanquantile(values, _NEARLY_ALL)) for values in away))
        heights = [-cloud[..., 1], -centre[..., 1] - radius, -centre[..., 1] + radius]
        bottom = min(float(np.nanquantile(values, 1 - _NEARLY_ALL)) for values in heights)
        top = max(float(np.nanquantile(values, _NEARLY_ALL)) for values in heights)
        dip = np.sin(self.tilt)
        bottom = min(bottom * np.cos(self.tilt) - 0.15 * reach * dip, -_CAMERA_MARK * dip - 0.08)
        top = max(top, 0.5) * np.cos(self.tilt) + 0.3 * reach * dip
        return np.asarray([-1.03 * reach, bottom - 0.04]), np.asarray([1.03 * reach, top + 0.06])

    def turn(self, azimuth: float) -> None:
        """Turn the floor and the mark of the camera to an eye at that many degrees."""
        view = eye(azimuth, ELEVATION)
        around = np.asarray([[np.sin(a), 0.0, np.cos(a)] for a in np.pi * np.arange(4) / 4]) * _RINGS[-1]
        self.spokes.set_segments(list((np.stack([around, -around], 1) @ view.T)[..., :2]))
        x, y = (view @ [0.0, 0.0, -_CAMERA_MARK])[:2].tolist()
        self.camera.set_position((x, y))
        if self.ring is not None and self.camera.get_text() and y < 0:  # the camera is before the ring: words beside it
            self.ring.set_x(-np.copysign(0.6 * _RINGS[-1], x))

    def show(self, index: int, azimuth: float) -> None:
        """Put a pose of the result on the stage, seen from that many degrees."""
        self.turn(azimuth)
        result, view = self.result, eye(azimuth, ELEVATION)
        shift = upright(result.mean[index])
        mean = (result.mean[index] + shift) @ view.T
        ground = ((result.mean[index] + shift) * [1.0, 0.0, 1.0]) @ view.T
        self.shadow.set_segments(list(ground[self.body.bones, :2]))
        samples = (result.samples[index, : self.hypotheses] + shift) @ view.T
        centre = (result.region_center[index] + shift) @ view.T
        balls = circles(centre[:, :2], result.region_radius[index])
        self.body.show(mean[:, :2], balls, result.visible[index], samples[..., :2], mean[:, 2])
