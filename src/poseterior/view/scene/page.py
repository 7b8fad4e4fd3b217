"""The offline 3D page of a result: one HTML file that asks for nothing, and runs nothing but its own program.

What comes from files (names, notes) is data: in the head it is escaped, elsewhere it is JSON that the program puts into
the page as text. A policy in the page forbids every request, and every program and style but those whose hashes it
names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from importlib import resources
from typing import TYPE_CHECKING, Any

from ...files.writing import atomic_write
from ...results.poses import LiftResult
from ..palette import DARK, LIGHT, Theme
from ..photos import Photos
from ..tracks import SceneOptions
from .data import describe

if TYPE_CHECKING:
    from ..bodies import Bodies

__all__ = ["PAGE_OPTIONS", "scene_html", "write_html"]

#: What a page shows where nobody says: as many samples as fit, 200 at most.
PAGE_OPTIONS = SceneOptions(hypotheses=200)
#: In this order they are one program.
_PROGRAM = (
    "data.js",
    "camera.js",
    "body.js",
    "mesh.js",
    "floor.js",
    "picture.js",
    "timeline.js",
    "joints.js",
    "page.js",
)


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
    import jinja2
    from markupsafe import Markup

    style = _colours() + _file("page.css")
    program = "(() => {\n'use strict';\n" + "\n".join(map(_file, _PROGRAM)) + "\n})();\n"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_file("page.html")).render(
        scene=scene,
        data=Markup(_json(scene)),
        style=Markup(style),
        program=Markup(program),
        style_hash=_hash(style),
        program_hash=_hash(program),
    )


def _json(scene: dict[str, Any]) -> str:
    """JSON that ends no element of HTML, whatever is in its strings."""
    text = json.dumps(scene, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    """How a content security policy names an inline program or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _colours() -> str:
    """The palette as variables of the style: dark where the reader's system is, or the page's switch."""
    light = _variables(LIGHT, ground=LIGHT.panel, card=LIGHT.paper)
    dark = _variables(DARK, ground=DARK.paper, card=DARK.panel)  # cards are lighter than what they lie on
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ color-scheme: dark; {dark} }} }}\n"
        f":root[data-theme=dark] {{ color-scheme: dark; {dark} }}\n"
    )


def _variables(theme: Theme, ground: str, card: str) -> str:
    colours = {name: getattr(theme, name) for name in ("left", "right", "middle", "accent", "ink", "soft")}
    colours |= {"line": theme.grid, "edge": theme.line, "ground": ground, "card": card}
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


def _file(name: str) -> str:
    return resources.files(__package__).joinpath("static").joinpath(name).read_text(encoding="utf-8")
