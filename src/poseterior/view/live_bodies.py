"""Surfaces of bodies in the live viewer: the mean's solid, those of hypotheses transparent about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.mocap.body_rig import BodyRig
from .bodies import Bodies, posed_bodies, sides_of
from .drawing import SIDE_COLOURS
from .surfaces import BEHIND

if TYPE_CHECKING:
    from viser import ViserServer

__all__ = ["VERTICES", "LiveBodies", "parts_of"]

#: Vertices of a body: all that a browser is sent anew at each step.
VERTICES = 1800


def parts_of(rig: BodyRig) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The surface cut into left, right and middle: of each the vertices it has, and its triangles of these.

    Each triangle belongs to the side of its first vertex.
    """
    sides = np.asarray(sides_of(rig))[rig.faces[:, 0]]
    parts = {}
    for side in SIDE_COLOURS:
        vertices, faces = np.unique(rig.faces[sides == side], return_inverse=True)
        parts[side] = vertices, faces.reshape(-1, 3)
    return parts


class LiveBodies:
    """The bodies of one person on a viser server.

    Args:
        server: where to draw.
        name: of the part of the scene.
        bodies: of the result.
        rig: the person's.
        at: of the result's root, metres.
    """

    def __init__(self, server: ViserServer, name: str, bodies: Bodies, rig: BodyRig, at: np.ndarray) -> None:
        self.bodies, self.rig, self.at = bodies, rig, at
        self.parts = {side: part for side, part in parts_of(rig).items() if len(part[1])}
        count = bodies.hypotheses.shape[1]
        together, most = BEHIND
        faint = min(together / max(count, 1), most)
        self.handles = [self._body(server, f"{name}/{k}", faint if k else None) for k in range(count + 1)]

    def _body(self, server: ViserServer, name: str, opacity: float | None) -> list[Any]:
        # of transparent ones the near side alone: the far one would be seen through it
        return [
            server.scene.add_mesh_simple(
                f"{name}/{side}", self.rig.vertices[vertices].astype(np.float32), faces, color=SIDE_COLOURS[side],
                opacity=opacity, side="front", cast_shadow=opacity is None, receive_shadow=False, visible=False,
                position=tuple(self.at),
            )
            for side, (vertices, faces) in self.parts.items()
        ]  # fmt: skip

    def show(self, row: int | None, *, mean: bool, hypotheses: int) -> None:
        """Draw the bodies of a row of the result: the mean's, and so many hypotheses'; none where there is no row."""
        shown = [row is not None and (k <= hypotheses if k else mean) for k in range(len(self.handles))]
        placed = posed_bodies(self.bodies, self.rig, row).astype(np.float32) if row is not None and any(shown) else None
        for k, body in enumerate(self.handles):
            for handle, (vertices, _) in zip(body, self.parts.values(), strict=True):
                if placed is not None and shown[k]:
                    handle.vertices = placed[k, vertices]
                handle.visible = shown[k]
