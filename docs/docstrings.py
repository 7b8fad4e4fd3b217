"""Docstrings as MkDocs shows them: an extension of griffe (see mkdocs.yml).

The package's docstrings are read in editors and terminals too, so that a few hold doctests, tables and literal blocks
as plain text has them; Markdown wants them fenced and barred.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_BAR = re.compile(r"^=+(?: +=+)+$")
#: Several names in one entry of a section: "    samples, seed: of the regions".
_NAMES = re.compile(r"^ +\w+(?:, \w+)+(?=: )")


def _cells(line: str, bar: str) -> list[str]:
    """The columns of a row, where the bar's signs stand."""
    starts = [found.start() for found in re.finditer(r"=+", bar)]
    ends: list[int | None] = [*starts[1:], None]
    return [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def _table(lines: list[str]) -> list[str]:
    """A simple table of reStructuredText (bar, head, bar, rows, bar) as one of Markdown."""
    bar = lines[0]
    head, rows = _cells(lines[1], bar), [[]]
    for line in lines[3:-1]:
        cells = _cells(line, bar)
        if cells[0] or not rows[-1]:
            rows.append(cells)
        else:  # the row goes on
            rows[-1] = [" ".join(filter(None, pair)) for pair in zip(rows[-1], cells, strict=True)]
    body = [[cell.replace("|", "\\|") for cell in row] for row in rows if row]
    return ["", *(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *body]), ""]


def as_markdown(text: str) -> str:
    """Fences around doctests and literal blocks, bars in tables."""
    lines, out, at = text.splitlines(), [], 0
    while at < len(lines):
        line = lines[at]
        if _BAR.match(line):
            bars = [i for i in range(at, len(lines)) if lines[i] == line][:3]
            if len(bars) == 3:
                out += _table(lines[at : bars[2] + 1])
                at = bars[2] + 1
                continue
        if line.lstrip().startswith(">>>"):
            end = next((i for i in range(at, len(lines)) if not lines[i].strip()), len(lines))
            indent = line[: len(line) - len(line.lstrip())]
            out += ["", f"{indent}```pycon", *lines[at:end], f"{indent}```", ""]
            at = end
            continue
        if line.endswith("::") and not line.startswith(" "):
            line = line[:-1]
        # Spaces that do not break keep griffe from taking all names but the first for a type.
        out.append(_NAMES.sub(lambda names: re.sub(r"(?<=,) ", "\N{NO-BREAK SPACE}", names[0]), line))
        at += 1
    return "\n".join(out)


class Docstrings(griffe.Extension):
    """Turns every docstring into Markdown before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
