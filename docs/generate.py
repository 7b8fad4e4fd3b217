"""What MkDocs generates when it builds the site: the help of every command, and the shipped recipes.

A hook of MkDocs (see mkdocs.yml): it fills lines ``<!-- generated: cli -->`` and ``<!-- generated: recipes -->``, and
with ``POSETERIOR_PLAYGROUND=playground/index.html`` puts that page on the site.
Nothing heavy is imported.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from poseterior.cli import parse

RECIPES = Path(__file__).resolve().parents[1] / "src" / "poseterior" / "recipes"
#: Names the file that ``poseterior playground`` wrote; without it the site has its picture alone.
PLAYGROUND = "POSETERIOR_PLAYGROUND"
_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
_SUBCOMMAND = re.compile(r"^ +• ([\w-]+)", re.MULTILINE)


def help_of(words: tuple[str, ...]) -> str:
    """What ``poseterior WORDS --help`` prints on a plain terminal, 78 columns wide."""
    out = io.StringIO()
    plain = {"COLUMNS": "78", "NO_COLOR": "1", "TERM": "dumb"}
    with mock.patch.dict(os.environ, plain), contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        parse([*words, "--help"])
    return out.getvalue()


def commands(words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every command, and every group of them before its own, with its help."""
    text = help_of(words)
    yield words, text
    for name in _SUBCOMMAND.findall(text):
        yield from commands((*words, name))


def section(words: tuple[str, ...], text: str) -> str:
    """One command: what it does as prose, examples and options as code."""
    blocks = re.split(r"\n\s*\n", text.strip())
    first_box = next((i for i, block in enumerate(blocks) if re.match(r" *[a-z ]+\n -{9}", block)), len(blocks))
    parts = [f"{'##' if len(words) == 1 else '###'} poseterior {' '.join(words)}"]
    for block in blocks[1:first_box]:
        example = re.match(r"Examples?: (poseterior.*)", block, re.DOTALL)
        if example:
            lines = " ".join(example[1].split()).replace("; then poseterior", "; poseterior").split("; ")
            parts.append("```sh\n" + "\n".join(lines) + "\n```")
        else:
            parts.append(re.sub(r"([*<_\[])", r"\\\1", " ".join(block.split())) if "`" not in block else block)
    if not _SUBCOMMAND.search(text):
        shown = "\n\n".join(blocks[:1] + blocks[first_box:])
        parts.append("```text\n" + "\n".join(line.rstrip() for line in shown.splitlines()) + "\n```")
    return "\n\n".join(parts)


def cli() -> str:
    """A section for each command."""
    return "\n\n".join(section(words, text) for words, text in commands() if words)


def recipes() -> str:
    """A table of all recipes, then each as it stands in its file."""
    files = sorted(RECIPES.glob("*.yaml"))
    rows, parts = ["| recipe | what it is |", "|---|---|"], []
    for path in files:
        text = path.read_text()
        if not path.stem.startswith("_"):  # a part that recipes extend
            rows.append(f"| [`{path.stem}`](#{path.stem}) | {text.splitlines()[0].lstrip('# ')} |")
        parts.append(f"## {path.stem}\n\n```yaml\n{text.strip()}\n```")
    return "\n".join(rows) + "\n\n" + "\n\n".join(parts)


def playground() -> str:
    """The page itself, where whoever builds the site has made it: see `on_post_build`."""
    if not os.environ.get(PLAYGROUND):
        return ""
    return '<a class="md-button" href="play.html" target="_blank">Open the page here</a> (17 MB)'


def on_post_build(config: Any, **_: Any) -> None:
    """MkDocs calls this at the end: the page that POSETERIOR_PLAYGROUND names becomes a part of the site."""
    if page := os.environ.get(PLAYGROUND):
        target = Path(config["site_dir"]) / "playground" / "play.html"
        target.write_bytes(Path(page).read_bytes())


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls this with each page before it is rendered."""
    makers = {"cli": cli, "recipes": recipes, "playground": playground}
    return _MARK.sub(lambda found: makers[found[1]](), markdown)
