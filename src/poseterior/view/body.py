"""A body on flat axes: shaded regions, faint hypotheses, the mean on top; moved from pose to pose, not drawn anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ..geometry.skeletons import Skeleton
from .drawing import COLOURS, Array
from .palette import FILLED, HYPOTHESIS, REGION_EDGE, REGION_FACE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Body", "eye"]

#: Below the first of these orders lies what a body stands in front of.
_SHADE, _HALO, _OUTLINE, _THIN, _LIMB, _JOINT = 20.0, 20.5, 21.0, 22.0, 23.0, 24.0
_DASHES = (0.0, (1.6, 0.9))  # of bones that the image does not show, in widths of the line
_PALEST = 0.35
#: Of the light line below outlines in pictures, which dark ones would swallow.
_HALO_OPACITY = 0.55
#: Of an outline that is not filled: opacity, and width in points; of others the width.
_WIDE_EDGE, _WIDE_LINE, _LINE = 0.6, 1.0, 0.6
_SIDES = ("middle", "right", "left")


def eye(azimuth: float, elevation: float) -> Float[NDArray[np.float64], "3 3"]:
    """Rotation from camera axes (x right, y down, z forward) to right, up and towards the eye.

    Args:
        azimuth: degrees around the vertical; 0 looks as the camera does, 90 from its right-hand side.
        elevation: degrees above the horizontal.
    """
    turn, tilt = np.radians([azimuth, elevation])
    right = np.asarray([np.cos(turn), 0.0, np.sin(turn)])
    near, up = np.asarray([np.sin(turn), 0.0, -np.cos(turn)]), np.asarray([0.0, -1.0, 0.0])
    return np.stack([right, up * np.cos(tilt) - near * np.sin(tilt), up * np.sin(tilt) + near * np.cos(tilt)])


class Body:
    """The artists of one body; `show` moves them.

    The regions of a side are one shape, so that many that overlap are not darker than one; their edges are faint. A
    joint that the image does not show is hollow, and the bone to it dashed.

    Args:
        axes: flat, in the units of what is shown.
        tree: skeleton.
        width: of the mean's bones, points.
    """

    def __init__(self, axes: Axes, tree: Skeleton, width: float = 3.0) -> None:
        from matplotlib.collections import LineCollection, PolyCollection
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        self.axes = axes
        self.bones = np.asarray([(parent, child) for child, parent in tree.bones], int).reshape(-1, 2)
        self.colours = np.asarray([COLOURS[side] for side in tree.sides])
        self.sides = {side: np.asarray([name == side for name in tree.sides]) for side in _SIDES}
        self.width = width
        self.shades = {
            side: PathPatch(Path(np.zeros((1, 2))), facecolor=COLOURS[side], alpha=REGION_FACE, linewidth=0,
                            zorder=_SHADE)
            for side in _SIDES
        }  # fmt: skip
        edges = np.insert(self.colours, 3, REGION_EDGE, axis=1)
        self.outlines = PolyCollection([], facecolors="none", edgecolors=edges, linewidths=_LINE, zorder=_OUTLINE)
        self.halos = PolyCollection(
            [], facecolors="none", edgecolors=(1.0, 1.0, 1.0, _HALO_OPACITY), linewidths=2.2, zorder=_HALO
        )
        self.hypotheses = LineCollection([], linewidths=0.7, zorder=_THIN)
        self.limbs = LineCollection([], capstyle="butt", joinstyle="round", zorder=_LIMB)
        self.joints = axes.scatter([], [], s=(1.9 * width) ** 2, linewidths=0.35 * width, zorder=_JOINT)
        for shade in self.shades.values():
            shade.set_visible(False)
            axes.add_patch(shade)
        for collection in (self.outlines, self.hypotheses, self.limbs, self.halos):
            axes.add_collection(collection, autolim=False)
        self.artists = [*self.shades.values(), self.halos, self.outlines, self.hypotheses, self.limbs, self.joints]

    def show(
        self,
        points: Float[Array, "joints 2"],
        outlines: Float[Array, "joints corners 2"],
        visible: Bool[NDArray[np.bool_], "joints"],
        hypotheses: Float[Array, "n joints 2"] | None = None,
        depth: Float[Array, "joints"] | None = None,
        opacity: Float[Array, "joints"] | None = None,
    ) -> None:
        """Draw a pose; NaN hides a joint.

        Args:
            points: of the mean, in the axes' units.
            outlines: of each joint's region, from `circles` or `ellipses`; none for no regions.
            visible: joints seen in the image are filled, others hollow.
            hypotheses: thin bodies behind.
            depth: towards the eye; the nearest bone is drawn last, and far ones are paler.
            opacity: of the regions in a picture, each on its own, with a light line around it; by default they are in
                metres, those of a side are one shape, and those above `poseterior.view.palette.FILLED` outlines.
        """
        self.outlines.set_verts(list(outlines))
        if opacity is None:
            self._shade(outlines)
        else:
            self.halos.set_verts(list(outlines))
            self.outlines.set_facecolor(np.insert(self.colours, 3, opacity, axis=1).tolist())
        bone_colours = self.colours[self.bones[:, 1]]
        thin = np.empty((0, 2, 2)) if hypotheses is None else hypotheses[:, self.bones].reshape(-1, 2, 2)
        self.hypotheses.set_segments(list(thin))
        if len(thin):
            copies = len(thin) // len(self.bones)
            self.hypotheses.set_color(np.tile(bone_colours, (copies, 1)).tolist())
            self.hypotheses.set_alpha(float(np.clip(6.0 / copies, *HYPOTHESIS)))
        order, paleness = np.arange(len(self.bones)), np.zeros(len(self.bones))
        if depth is not None and np.isfinite(depth).all():
            middle = depth[self.bones].mean(1)
            order = np.argsort(middle)
            paleness = np.interp(middle, [middle.min() - 1e-6, middle.max()], [_PALEST, 0.0])
        pale = (bone_colours + (1.0 - bone_colours) * paleness[:, None])[order]
        # a white rim below each bone tells which of two crossing limbs is in front, and keeps it legible on a picture
        rims: Any = np.stack([np.ones_like(pale), pale], 1).reshape(-1, 3)
        seen = visible[self.bones[order]].all(-1)
        styles: list[Any] = []
        for whole in seen.tolist():
            styles += ["solid", "solid" if whole else _DASHES]
        self.limbs.set_segments(list(points[self.bones[order]].repeat(2, 0)))
        self.limbs.set_edgecolor(rims)
        self.limbs.set_linewidth([self.width + 1.6, self.width] * len(order))
        self.limbs.set_linestyle(styles)
        self.joints.set_offsets(points)
        self.joints.set_facecolor(np.where(visible[:, None], self.colours, 1.0).tolist())
        self.joints.set_edgecolor(np.where(visible[:, None], 1.0, self.colours).tolist())

    def hide_bones(self, visible: Bool[NDArray[np.bool_], "joints"]) -> None:
        """Leave of the mean only the joints that were not seen: a surface stands in its place."""
        self.limbs.set_visible(False)
        self.joints.set_offsets(np.where(visible[:, None], np.nan, np.asarray(self.joints.get_offsets())))

    def _shade(self, outlines: Float[Array, "joints corners 2"]) -> None:
        from matplotlib.path import Path

        wide = np.ptp(outlines, axis=1).max(-1) > 2 * FILLED if len(outlines) else np.zeros(0, bool)
        self.outlines.set_edgecolor(np.insert(self.colours, 3, REGION_EDGE, axis=1).tolist())
        self.outlines.set_linewidth(_LINE)
        if wide.any():
            edge = np.where(wide, _WIDE_EDGE, REGION_EDGE)
            self.outlines.set_edgecolor(np.insert(self.colours, 3, edge, axis=1).tolist())
            self.outlines.set_linewidth(np.where(wide, _WIDE_LINE, _LINE).tolist())
        for side, shade in self.shades.items():
            own = outlines[self.sides[side] & ~wide] if len(outlines) else outlines
            own = own[np.isfinite(own).all((1, 2))] if len(own) else own
            shade.set_visible(bool(len(own)))
            if not len(own):
                continue
            corners = own.shape[1]
            closed = np.concatenate([own, own[:, :1]], 1).reshape(-1, 2)
            codes = np.full((len(own), corners + 1), Path.LINETO, Path.code_type)
            codes[:, 0], codes[:, -1] = Path.MOVETO, Path.CLOSEPOLY
            shade.set_path(Path(closed, codes.ravel()))

    def draw(self) -> None:
        """Draw over what is on the canvas."""
        for artist in self.artists:
            self.axes.draw_artist(artist)
