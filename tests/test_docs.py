"""What the documentation says holds: links, code, commands, options, pictures."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from conftest import made_up_store
from documents import DOCS, EXAMPLES, PAGES, ROOT, anchors, blocks, commands, links, name_of, prose
from poseterior.cli import main, parse

pages = pytest.mark.parametrize("page", PAGES, ids=name_of)

#: Options that the pages name and that are other programs'.
FOREIGN = {"--strict", "--help"}
#: Their code is run by tests of their own.
ELSEWHERE = {"README.md", "CONTRIBUTING.md", "docs/peers.md", "docs/deploy.md"}


@pytest.fixture
def generate() -> Iterator[object]:
    sys.path.insert(0, str(DOCS))
    try:
        import generate

        yield generate
    finally:
        sys.path.remove(str(DOCS))


@cache
def help_of_all() -> dict[tuple[str, ...], str]:
    sys.path.insert(0, str(DOCS))
    try:
        import generate

        return dict(generate.commands())
    finally:
        sys.path.remove(str(DOCS))


# -- links and pictures ----------------------------------------------------------------------------------------


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{name_of(page)}: {link}"
        if DOCS in page.parents:
            assert DOCS in target.parents, f"{name_of(page)}: {link} is not on the site"
        if anchor:
            assert anchor in anchors(target), f"{name_of(page)}: {link}"


def test_every_page_is_in_the_navigation_once() -> None:
    text = re.sub(r"^nav:\n", "", (ROOT / "mkdocs.yml").read_text().split("\nnav:")[1])

    def files(entry: object) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for part in entry.values() if isinstance(entry, dict) else entry:  # type: ignore[attr-defined]
                yield from files(part)

    listed = list(files(yaml.safe_load(text)))
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_every_picture_is_shown_and_has_its_command() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page) if link.endswith(".png")}
    assert shown == set(DOCS.rglob("*.png"))
    drawn = (ROOT / "benchmarks" / "pictures.py").read_text()
    for picture in shown:
        assert f'"{picture.name}"' in drawn, picture
        assert any("pictures.py" in page.read_text() and picture.name in page.read_text() for page in PAGES)


# -- code ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if name_of(p) not in ELSEWHERE and any(b.language == "python" for b in blocks(p))],
    ids=name_of,
)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """The blocks of a page one after another, in a folder with a keypoint file, a result and small pose stores."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "person.json").write_text((EXAMPLES / "demo.json").read_text())
    if "poses.parquet" in page.read_text():
        assert main(["lift", "person.json", "--samples", "3", "--out", "poses.parquet"]) == 0
    names: dict[str, object] = {}
    code = [block for block in blocks(page) if block.language == "python" and not block.reason]
    for store in {name for block in code for name in re.findall(r'"(stores/[\w-]+)"', block.code)}:
        made_up_store(tmp_path / store)
    for number, block in enumerate(code):
        exec(compile(block.code, f"{name_of(page)}, block {number}", "exec"), names)


@pytest.mark.parametrize("page", sorted(ELSEWHERE))
def test_what_is_imported_exists(page: str) -> None:
    """Of pages whose code runs elsewhere, or in parts."""
    code = [block.code for block in blocks(ROOT / page) if block.language == "python"]
    for place, names in re.findall(r"^from (poseterior[\w.]*) import ([\w, ]+)$", "\n".join(code), re.MULTILINE):
        for name in names.split(", "):
            assert hasattr(importlib.import_module(place), name), f"{place}: {name}"


def test_the_keypoint_file_of_the_tutorial_is_read(tmp_path: Path) -> None:
    import poseterior as pp

    (block,) = [block for block in blocks(DOCS / "get-started.md") if block.language == "json"]
    (tmp_path / "person.json").write_text(block.code)
    keypoints = pp.read_keypoints(tmp_path / "person.json")
    assert keypoints.batch_shape == (1,)
    visible = dict(zip(keypoints.skeleton.joints, keypoints.visible[0].tolist(), strict=True))
    assert visible["left_knee"]
    assert not visible["right_knee"]


def test_places_in_the_code_exist() -> None:
    for place in re.findall(r"`([a-z_0-9]+(?:/[a-z_0-9]+)+)`", (DOCS / "papers.md").read_text()):
        path = ROOT / "src" / "poseterior" / place
        assert path.is_dir() or path.with_suffix(".py").is_file(), place


def test_few_blocks_are_not_run() -> None:
    reasons = [b.reason for page in PAGES for b in blocks(page) if b.reason]
    assert len(reasons) <= 4, reasons
    assert all(len(reason) > 20 for reason in reasons)


# -- commands --------------------------------------------------------------------------------------------------


@pages
def test_commands_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every `poseterior ...` is parsed by the real parser; one that only names a command has to exist."""
    for words in commands(page):
        if words[0] != "poseterior" or words == ["poseterior"]:
            continue
        if tuple(words[1:]) in help_of_all():
            continue
        if words[1:] in (["--help"], ["--version"]):
            continue
        try:
            command = parse(words[1:])
        except SystemExit:
            pytest.fail(f"{name_of(page)}: {' '.join(words)}\n{capsys.readouterr().err}")
        if name_of(page) not in ELSEWHERE - {"README.md"}:  # which name recipes and lifters of their own
            check_names(command, f"{name_of(page)}: {' '.join(words)}")


def check_names(command: object, where: str) -> None:
    """Names that the parser does not know: of recipes with their settings, of lifters, of protocols."""
    from poseterior.data.simulation.protocols import PROTOCOLS
    from poseterior.lifters import list_shipped
    from poseterior.training.recipes import read_recipe, shipped_recipes

    command = getattr(command, "command", command)
    kind = type(command).__name__
    if kind == "Train" and command.recipe.islower():  # type: ignore[attr-defined]
        assert command.recipe in shipped_recipes(), where  # type: ignore[attr-defined]
        read_recipe(command.recipe, command.changes)  # type: ignore[attr-defined]
    lifter = getattr(command, "lifter", None) or getattr(command, "weights", None)
    for name in [lifter, *(getattr(command, "lifters", None) or ())]:
        assert not name or "/" in name or name.isupper() or name in list_shipped(), f"{where}: {name}"
    protocols = getattr(command, "protocol", None) or ()
    groups = {protocol.group for protocol in PROTOCOLS.values()} if kind == "Bench" else set()
    for name in [protocols] if isinstance(protocols, str) else protocols:
        assert name in {*PROTOCOLS, *groups}, f"{where}: {name}"


@pages
def test_options_exist(page: Path) -> None:
    """Every `--option` between words is one of some command's."""
    known = set(re.findall(r"--[a-z][\w-]*", "\n".join(help_of_all().values()))) | FOREIGN
    named = {
        option for code in re.findall(r"`([^`\n]+)`", prose(page)) for option in re.findall(r"--[a-z][\w-]*", code)
    }
    foreign = {
        option
        for words in commands(page)
        if words[0] in ("python", "python3", "pip", "mkdocs", "poseterior")
        for option in words
    }
    assert named - foreign <= known, (name_of(page), named - foreign - known)


def extras() -> set[str]:
    table = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]\n")[1].split("\n[")[0]
    return set(re.findall(r"^(\w+) = \[", table, re.MULTILINE))


@pages
def test_scripts_and_extras_exist(page: Path) -> None:
    for words in commands(page):
        if words[0].startswith("python") and len(words) > 1 and words[1].endswith(".py"):
            script = ROOT / words[1]
            assert script.is_file(), f"{name_of(page)}: {' '.join(words)}"
            for option in (word for word in words if word.startswith("--")):
                assert f'"{option}"' in script.read_text(), f"{name_of(page)}: {' '.join(words)}: {option}"
        if "pip" in words[0] and "install" in words:
            for extra in re.findall(r"\[(\w+)\]", " ".join(words)):
                assert extra in extras(), f"{name_of(page)}: {' '.join(words)}"


def test_the_reference_of_commands_is_whole(generate) -> None:
    found = help_of_all()
    names = re.search(r"\{([\w,-]+)\}", found[()])
    assert names
    assert {words[0] for words in found if words} == set(names[1].split(","))
    text = generate.cli()
    for words in found:
        if words:
            assert re.search(rf"^#+ poseterior {' '.join(words)}$", text, re.MULTILINE), words
    assert "--height" in text


def test_the_reference_of_recipes_is_whole(generate) -> None:
    from poseterior.training.recipes import shipped_recipes

    text = generate.recipes()
    for name, about in shipped_recipes().items():
        assert f"| [`{name}`](#{name}) | {about} |" in text
        assert f"\n## {name}\n" in text


def test_references_to_the_code_exist() -> None:
    """What the reference shows, and what it links to."""
    for page in (DOCS / "api").glob("*.md"):
        text = page.read_text()
        for path in {*re.findall(r"^::: (\S+)", text, re.MULTILINE), *re.findall(r"\]\[(poseterior\.\S+?)\]", text)}:
            place, _, name = path.rpartition(".")
            if importlib.util.find_spec(place) is None or not hasattr(importlib.import_module(place), name):
                assert importlib.util.find_spec(path) is not None, f"{name_of(page)}: {path}"


def first_column(page: Path, heading: str) -> list[str]:
    """Names in the first column of the table below that line of a page."""
    table = page.read_text().split(f"\n| {heading} |")[1].split("\n\n")[0]
    return [name for row in table.splitlines()[2:] for name in re.findall("`(.+?)`", row.split("|")[1])]


def test_tables_name_everything_once() -> None:
    """Each format, lifter, extra, recipe of a published network and data set has its row."""
    from poseterior.keypoints.formats import AUTO, format_names
    from poseterior.lifters import list_shipped
    from poseterior.training.recipes import shipped_recipes

    assert sorted(first_column(DOCS / "formats.md", "format")) == sorted(set(format_names()) - {AUTO})
    assert sorted(first_column(DOCS / "choosing.md", "name")) == sorted(list_shipped())
    assert sorted(first_column(DOCS / "get-started.md", "extra")) == sorted(extras())
    published = {name for name in shipped_recipes() if "-published" in name}
    assert published <= set(first_column(DOCS / "choosing.md", "recipe"))
    imported = {words[2] for words in help_of_all() if words[:2] == ("data", "import") and len(words) > 2}
    text = (DOCS / "datasets.md").read_text()
    assert {name for name in imported if f"| `{name}` |" in text} == imported


def test_what_is_written_is_in_a_table_and_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Each suffix of a result, a motion and a file for other programs; each rig that names joints."""
    from poseterior.data.mocap.rigs import shipped_rigs
    from poseterior.results.exports import EXPORT_SUFFIXES
    from poseterior.results.poses import RESULT_SUFFIXES
    from poseterior.results.rotations import MOTION_SUFFIXES

    suffixes = {*EXPORT_SUFFIXES, *RESULT_SUFFIXES, *MOTION_SUFFIXES}
    pages_of_files = "".join((DOCS / name).read_text() for name in ("motions.md", "schema.md"))
    assert {suffix for suffix in suffixes if f"`{suffix}`" in pages_of_files} == suffixes
    assert {name for name in shipped_rigs() if f"`{name}`" in pages_of_files} == set(shipped_rigs())
    assert main(["formats"]) == 0
    listed = capsys.readouterr().out.split("\nMotions that are read")[1]
    assert {suffix for suffix in suffixes if suffix in listed} == suffixes


def test_docstrings_become_markdown() -> None:
    pytest.importorskip("griffe", reason="needs the extra docs")
    sys.path.insert(0, str(DOCS))
    try:
        from docstrings import as_markdown
    finally:
        sys.path.remove(str(DOCS))
    table = "Fields::\n\n===  =====\na    b\n===  =====\nx    one\n     two\ny    a|b\n===  =====\nend"
    assert as_markdown(table) == "Fields:\n\n\n| a | b |\n| --- | --- |\n| x | one two |\n| y | a\\|b |\n\nend"
    assert as_markdown("Args:\n    a, b: both.\nor c, d") == "Args:\n    a,\N{NO-BREAK SPACE}b: both.\nor c, d"
    assert as_markdown("See\n\n>>> f(1)\n2") == "See\n\n\n```pycon\n>>> f(1)\n2\n```\n"


def test_doctests_stand_before_the_sections() -> None:
    """In a section's table their brackets would be links, at which the strict build of the site stops."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                assert not re.search("^ +>>>", ast.get_docstring(node) or "", re.MULTILINE), f"{path}: {node}"


# -- words -----------------------------------------------------------------------------------------------------

_COUNTED = "radius|radii|samples|hypotheses|milliseconds|ms|mm|bits?|one row|row|label|layers|jitter|poses|nats|file"
_EACH = "joint|pose|picture|image|view|pair|clip|frame|row|dimension|protocol|coordinate|answer"


@pages
def test_each_is_said_as_per(page: Path) -> None:
    """ "Radius per joint", not "radius a joint"."""
    found = re.findall(rf"\b(?:{_COUNTED}) an? (?:{_EACH})\b.{{0,20}}", prose(page))
    assert not found, (name_of(page), found)
