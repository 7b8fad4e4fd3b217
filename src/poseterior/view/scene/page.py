"""The offline 3D page of a result: one HTML file that asks for nothing, and runs nothing but its own program.

What comes from files (names, notes) is data: in the head it is escaped, elsewhere it is JSON that the program puts into
the page as text. A policy in the page forbids every request, and every program and style but those whose hashes it
names.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ...files.writing import atomic_write
from ...results.poses import LiftResult
from ..offline import colours, json_text, own, render, static, whole_program
from ..photos import Photos
from ..tracks import SceneOptions
from .data import describe

if TYPE_CHECKING:
    from ..bodies import Bodies

__all__ = ["PAGE_OPTIONS", "SHARED", "scene_html", "write_html"]

#: What a page shows where nobody says: as many samples as fit, 200 at most.
PAGE_OPTIONS = SceneOptions(hypotheses=200)
#: What other pages that draw bodies share, and what is this page's own: in this order they are one program.
SHARED = ("data.js", "camera.js", "body.js", "mesh.js", "floor.js", "flat.js", "looks.js", "turning.js")
_PROGRAM = ("picture.js", "timeline.js", "joints.js", "page.js")


def write_html(
    result: LiftResult,
    path: str | os.PathLike[str],
    *,
    photos: Photos = None,
    fps: float | None = None,
    options: SceneOptions | None = None,
    bodies: Bodies | None = None,
) -> None:
    """Write the scene as one HTML file that needs neither network nor server.

    The person in 3D beside the photograph or the film's frames: mean, samples or clusters, the regions of the joints,
    numbers of the joint that is pointed at. Clips have a play bar with their uncertainty over time. The file appears
    only when it is complete; frames and samples are thinned so that it stays below 5 MB, and the page says so.

    Args:
        result: what to draw.
        path: the HTML file.
        photos: the picture(s) that the keypoints come from, see `read_photo`; of a film the frames.
        fps: frames per second of the playback, by default those that the input told, else 10; frame numbers that are
            missing are waited for, up to a second.
        options: see `SceneOptions`; by default up to 200 samples.
        bodies: surfaces of the poses, shown besides (`poseterior.view.bodies.bodies_of`).

    Raises:
        InputError: no poses, an unreadable photo, a path that cannot be written to.
    """
    with atomic_write(path) as file:
        file.write(scene_html(result, photos=photos, fps=fps, options=options, bodies=bodies).encode())


def scene_html(
    result: LiftResult,
    *,
    photos: Photos = None,
    fps: float | None = None,
    options: SceneOptions | None = None,
    bodies: Bodies | None = None,
) -> str:
    """The page as text; see `write_html`."""
    return _page(describe(result, options or PAGE_OPTIONS, photos, fps, bodies))


def _page(scene: dict[str, Any]) -> str:
    style = colours() + static(__package__, "page.css")
    return render(
        static(__package__, "page.html"),
        scene=scene,
        data=json_text(scene),
        style=own(style),
        program=own(whole_program(static(__package__, name) for name in (*SHARED, *_PROGRAM))),
    )
