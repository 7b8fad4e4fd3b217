"""Pages that ask for nothing: what each is put together from.

What comes from files (names, notes) is data: in the head it is escaped, elsewhere it is JSON that the program puts into
the page as text. A policy in the page forbids every request, and every program and style but those whose hashes it
names.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from .palette import DARK, LIGHT, Theme

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Own", "colours", "json_text", "own", "render", "static", "whole_program"]


@dataclass(frozen=True)
class Own:
    """A program or style of our own, as a template puts it into a page.

    Attributes:
        text: of the element, as it is.
        hash: how a content security policy names it.
    """

    text: Markup
    hash: str


def own(text: str) -> Own:
    """Text that is our own, and the name that a content security policy has for it."""
    from markupsafe import Markup

    digest = hashlib.sha256(text.encode()).digest()
    return Own(Markup(text), "sha256-" + base64.b64encode(digest).decode())


def static(package: str | None, name: str) -> str:
    """A file of a package, its ``__package__``, in the folder ``static``."""
    assert package is not None
    return resources.files(package).joinpath("static").joinpath(name).read_text(encoding="utf-8")


def whole_program(parts: Iterable[str]) -> str:
    """Files of JavaScript as one program that leaves no names behind."""
    return "(() => {\n'use strict';\n" + "\n".join(parts) + "\n})();\n"


def json_text(data: Any) -> Markup:
    """JSON that ends no element of HTML, whatever is in its strings."""
    from markupsafe import Markup

    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def render(template: str, **parts: Any) -> str:
    """The page of a template and its parts; strings are escaped."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(template).render(**parts)


def colours() -> str:
    """The palette as variables of the style: dark where the reader's system is, or the page's switch."""
    light = _variables(LIGHT, ground=LIGHT.panel, card=LIGHT.paper)
    dark = _variables(DARK, ground=DARK.paper, card=DARK.panel)  # cards are lighter than what they lie on
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ color-scheme: dark; {dark} }} }}\n"
        f":root[data-theme=dark] {{ color-scheme: dark; {dark} }}\n"
    )


def _variables(theme: Theme, ground: str, card: str) -> str:
    named = {name: getattr(theme, name) for name in ("left", "right", "middle", "accent", "ink", "soft")}
    named |= {"line": theme.grid, "edge": theme.line, "ground": ground, "card": card}
    return " ".join(f"--{name}: {colour};" for name, colour in named.items())
