"""Text, tables and pictures become a page: the template, and what is escaped."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["markup", "render", "with_code"]


def render(**parts: Any) -> str:
    """The page of the template's parts. Every string is escaped but what `markup` made."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(_file("page.html"))
    return template.render(style=markup(_file("page.css")), script=markup(_file("page.js")), **parts)


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def markup(text: str) -> Markup:
    """Text that is HTML: our own files, and pictures in which strings are escaped where they are made."""
    from markupsafe import Markup

    return Markup(text)


def with_code(sentence: str) -> Markup:
    """The sentence, escaped, with what stands between backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))
