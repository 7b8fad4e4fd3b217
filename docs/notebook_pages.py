"""Executed notebooks as pages of the site: their words, code and outputs as they are committed, nothing run anew.

A hook of MkDocs (see mkdocs.yml): it fills lines ``<!-- notebook: NAME -->`` with ``docs/notebooks/NAME.ipynb``. Code
that draws a figure, which has ``alt`` in its cell's metadata, is folded away behind it. Formulas become MathML, which
browsers draw by themselves: nothing is loaded from elsewhere.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

NOTEBOOKS = Path(__file__).resolve().parent / "notebooks"
_FORMULA = re.compile(r"\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", re.DOTALL)
_MARK = re.compile(r"^<!-- notebook: (\w+) -->$", re.MULTILINE)


class NotebookPage(NamedTuple):
    """A page, and its pictures by file name."""

    markdown: str
    pictures: dict[str, bytes]


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def with_formulas(text: str) -> str:
    """Markdown whose ``$...$`` and ``$$...$$`` are MathML, but for those in code."""
    from latex2mathml.converter import convert

    def drawn(formula: re.Match[str]) -> str:
        if formula["block"]:
            return f'<div class="formula">{convert(formula["block"], display="block")}</div>'
        return convert(formula["inline"])

    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if part.startswith("`") else _FORMULA.sub(drawn, part) for part in parts)


def _outputs(cell: dict[str, Any], name: str, pictures: dict[str, bytes]) -> list[str]:
    """What a cell printed and drew; pictures are added to those there are."""
    parts = []
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            parts.append(_fenced("".join(output["text"]), "text"))
            continue
        data = output["data"]
        if "image/png" in data:
            file = f"{name}-{len(pictures) + 1}.png"
            pictures[file] = base64.b64decode("".join(data["image/png"]))
            parts.append(f"![{cell['metadata']['alt']}]({file}){{ .figure }}")
        else:
            parts.append(_fenced("".join(data["text/plain"]), "text"))
    return parts


def notebook_page(path: Path) -> NotebookPage:
    """A notebook as Markdown.

    Raises:
        KeyError: a cell that draws has no ``alt`` in its metadata.
    """
    pictures: dict[str, bytes] = {}
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(with_formulas(source))
            continue
        outputs, code = _outputs(cell, path.stem, pictures), _fenced(source, "python")
        if "alt" in cell["metadata"]:
            folded = "\n".join(f"    {line}".rstrip() for line in code.splitlines())
            parts += [*outputs, f'??? note "The code of this figure"\n\n{folded}']
        else:
            parts += [code, *outputs]
    parts.append(f"To run it yourself: [{path.name}]({path.name}), with what ships and nothing else.")
    return NotebookPage("\n\n".join(parts) + "\n", pictures)


def on_page_markdown(markdown: str, *, config: Any, files: Any, **_: Any) -> str:
    """MkDocs calls this with each page before it is rendered."""
    from mkdocs.structure.files import File

    found = _MARK.search(markdown)
    if found is None:
        return markdown
    page = notebook_page(NOTEBOOKS / f"{found[1]}.ipynb")
    for name, content in page.pictures.items():
        files.append(File.generated(config, f"notebooks/{name}", content=content))
    return markdown.replace(found[0], page.markdown)
