"""Surfaces of bodies on flat axes: the mean's shaded, those of hypotheses transparent with their outlines over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from .drawing import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BEHIND", "draw_surfaces"]

#: Share of white in a lit surface, and what is left of its light where it is turned away.
_WHITE, _DARKEST = 0.42, 0.42
#: Towards the light: from the left, above and the eye.
_LIGHT = np.asarray([-0.35, 0.5, 0.79])
#: Opacity of all hypotheses together, and of one at most: behind the mean, over it (hardly, so that its shape is seen),
#: and of the outlines over it.
BEHIND, _OVER, _OUTLINE = (1.2, 0.2), (0.24, 0.06), (1.1, 0.4)
#: Orders: below a body's regions, and between them and its bones.
_LOW, _SOLID, _HIGH = 18.0, 19.0, 21.5


def draw_surfaces(
    axes: Axes,
    vertices: Float[NDArray[np.float64], "k vertices 3"],
    faces: Int[NDArray[np.int64], "triangles 3"],
    sides: Sequence[str],
) -> None:
    """Draw one body's surface, and those of its hypotheses over it. The limits of the axes stay as they are.

    Args:
        axes: flat, in metres.
        vertices: right, up and towards the eye; the mean's first.
        faces: the vertices of each triangle, anticlockwise from outside.
        sides: of each vertex, whose colour it has: left, right or middle.
    """
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    face_sides = np.asarray(sides)[faces[:, 0]]
    mean = vertices[0]
    front = np.flatnonzero(_faces_eye(mean, faces))
    front = front[np.argsort(mean[faces[front]][..., 2].sum(1))]
    colours = np.asarray([COLOURS[side] for side in face_sides[front]])
    light = _DARKEST + (1 - _DARKEST) * _lit(mean, faces)[front]
    shades = (colours + (1 - colours) * _WHITE) * light[:, None]
    solid = mean[faces[front]][..., :2]
    axes.add_artist(PolyCollection(solid, facecolors=shades, edgecolors=shades, linewidths=0.3, zorder=_SOLID))
    edges, beside = _edges(faces)
    count = len(vertices) - 1
    for body in vertices[1:]:
        seen = _faces_eye(body, faces)
        outline = seen[beside[:, 0]] != (seen[beside[:, 1]] & (beside[:, 1] >= 0))
        for side, colour in COLOURS.items():
            shown = faces[seen & (face_sides == side)]
            if len(shown):
                corners = body[shown][..., :2]
                points = np.concatenate([corners, corners[:, :1]], 1).reshape(-1, 2)
                shape = Path(points, np.tile([Path.MOVETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], len(shown)))
                for order, (whole, most) in ((_LOW, BEHIND), (_HIGH, _OVER)):
                    opacity = min(whole / count, most)
                    axes.add_artist(PathPatch(shape, facecolor=colour, alpha=opacity, linewidth=0, zorder=order))
            lines = body[edges[outline & (face_sides[beside[:, 0]] == side)]][..., :2]
            edge = (*colour, min(_OUTLINE[0] / count, _OUTLINE[1]))
            axes.add_artist(LineCollection(list(lines), colors=[edge], linewidths=0.4, zorder=_HIGH))


def _faces_eye(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.bool_]:
    a, b, c = np.moveaxis(vertices[faces][..., :2], 1, 0)
    u, w = b - a, c - a
    found: NDArray[np.bool_] = u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0] > 0
    return found


def _lit(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much each triangle is turned to the light, 0 to 1, evened out over its neighbours."""
    corners = vertices[faces]
    own = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], own)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    even = normals[faces].sum(1)
    even /= np.maximum(np.linalg.norm(even, axis=-1, keepdims=True), 1e-12)
    return np.clip(even @ _LIGHT, 0.0, 1.0)


def _edges(faces: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of vertices, and the two triangles beside each, the second -1 where there is one."""
    pairs = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), 1)
    owner = np.repeat(np.arange(len(faces)), 3)
    edges, which = np.unique(pairs, axis=0, return_inverse=True)
    which = which.reshape(-1)
    beside = np.full((len(edges), 2), -1)
    beside[which[::-1], 0] = owner[::-1]  # the first that has it
    last = np.zeros(len(edges), np.int64)
    last[which] = owner
    beside[:, 1] = np.where(last != beside[:, 0], last, -1)
    return edges, beside
