"""The notebooks of the documentation: what they hold, and that running them anew says the same."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from documents import DOCS, ROOT
from poseterior.cli import parse

FOLDER = DOCS / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
#: Those that take less than ten seconds of a processor; the others are run by `pytest -m slow`.
QUICK = ("li_lee_2019", "yu_2021")
#: Other processors and versions of torch round otherwise, and draws depend on every bit of the keypoints: a number may
#: be off by a share of itself, and by so many units of the last digit that is printed.
SHARE, UNITS = 0.08, 3.0

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


@pytest.fixture(params=NAMES)
def notebook(request: pytest.FixtureRequest) -> dict[str, Any]:
    return json.loads((FOLDER / f"{request.param}.ipynb").read_text()) | {"name": request.param}


@pytest.fixture
def pages() -> Iterator[ModuleType]:
    pytest.importorskip("latex2mathml", reason="needs the extra docs")
    sys.path.insert(0, str(DOCS))
    try:
        import notebook_pages

        yield notebook_pages
    finally:
        sys.path.remove(str(DOCS))


def cells(notebook: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def off(text: str, again: str) -> list[str]:
    """How two outputs differ: in words, or in numbers by more than they may."""
    if _NUMBER.sub("#", text).split() != _NUMBER.sub("#", again).split():
        return [f"other words: {text!r}, {again!r}"]
    wrong = []
    for old, new in zip(_NUMBER.findall(text), _NUMBER.findall(again), strict=True):
        decimals = len(old.partition(".")[2].partition("e")[0])
        allowed = SHARE * abs(float(old.replace(",", ""))) + UNITS * 10.0**-decimals
        if not abs(float(old.replace(",", "")) - float(new.replace(",", ""))) <= allowed:
            wrong.append(f"{old} is now {new}")
    return wrong


def test_outputs_are_compared_by_words_and_numbers() -> None:
    assert off("best 55.9 mm of 5,101", "best   55.7 mm of 5,050") == []
    assert off("best 55.9 mm", "best 62.0 mm") == ["55.9 is now 62.0"]
    assert off("p 0.044", "p 0.046") == []
    assert off("best 55.9 mm", "worst 55.9 mm")[0].startswith("other words")


# -- what is committed -----------------------------------------------------------------------------------------


def test_each_is_small_and_was_run_whole(notebook: dict[str, Any]) -> None:
    assert (FOLDER / f"{notebook['name']}.ipynb").stat().st_size < 300_000
    code = cells(notebook, "code")
    assert all(output["output_type"] != "error" for cell in code for output in cell["outputs"])
    drawn = [cell for cell in code for output in cell["outputs"] if "image/png" in output.get("data", ())]
    assert drawn
    assert all(len(cell["metadata"]["alt"]) > 40 for cell in drawn)
    assert sum("alt" in cell["metadata"] for cell in code) == len(drawn)
    # What differs from run to run is left out.
    assert all(cell["execution_count"] is None and "execution" not in cell["metadata"] for cell in code)


def test_each_has_a_page_and_a_link_from_the_papers(notebook: dict[str, Any]) -> None:
    name = notebook["name"]
    assert (FOLDER / f"{name}.md").read_text().endswith(f"\n<!-- notebook: {name} -->\n")
    assert f"(notebooks/{name}.md)" in (DOCS / "papers.md").read_text()
    assert cells(notebook, "markdown")[0]["source"][0].startswith("# ")


def test_commands_are_understood(notebook: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join("".join(cell["source"]) for cell in cells(notebook, "markdown"))
    for command in re.findall(r"`poseterior ([^`]+)`", text):
        words = shlex.split(command)
        if len(words) == 1:  # named, not to be typed
            words.append("--help")
        try:
            parse(words)
        except SystemExit as end:
            if end.code:
                pytest.fail(f"{command}\n{capsys.readouterr().err}")


def test_a_page_shows_words_code_and_pictures(pages: ModuleType, notebook: dict[str, Any]) -> None:
    page = pages.notebook_page(FOLDER / f"{notebook['name']}.ipynb")
    assert page.markdown.startswith("# ")
    assert all(picture.startswith(b"\x89PNG") for picture in page.pictures.values())
    assert len(page.pictures) == page.markdown.count("](" + notebook["name"] + "-")
    assert page.markdown.count('??? note "The code of this figure"') == len(page.pictures)
    printed = [out for cell in cells(notebook, "code") for out in cell["outputs"] if out["output_type"] == "stream"]
    assert page.markdown.count("```text") == len(printed)
    assert f"[{notebook['name']}.ipynb]({notebook['name']}.ipynb)" in page.markdown
    assert "<math" in page.markdown
    assert "$" not in re.sub(r"```.*?```|`[^`]*`", "", page.markdown, flags=re.DOTALL)


def test_formulas_become_mathml_and_code_stays(pages: ModuleType) -> None:
    text = pages.with_formulas("a $x_1$ and `$y$`, then\n\n$$z = 2$$")
    assert "<msub><mi>x</mi><mn>1</mn></msub>" in text
    assert "`$y$`" in text
    assert '<div class="formula"><math' in text
    assert 'display="block"' in text


# -- run anew --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else (pytest.mark.slow,)) for name in NAMES]
)
def test_running_it_anew_says_the_same(name: str) -> None:
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import notebooks
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    path: Path = FOLDER / f"{name}.ipynb"
    before, after = nbformat.read(path, 4), notebooks.executed(path)
    old, new = notebooks.printed(before), notebooks.printed(after)
    assert len(old) == len(new)
    assert [wrong for pair in zip(old, new, strict=True) for wrong in off(*pair)] == []
    shown = [
        [[sorted(out.get("data", ())) for out in cell.get("outputs", ())] for cell in run.cells]
        for run in (before, after)
    ]
    assert shown[0] == shown[1]
