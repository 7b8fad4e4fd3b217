"""The plan of the house: rooms in order, arrows down only, no circle between rooms, and not too many floors."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import poseterior

HOUSE = Path(poseterior.__file__).parent
ROOT = Path(__file__).parents[1]

#: From the ground up: a room may import those before it. CONTRIBUTING.md says what each holds.
ROOMS = (
    "_version", "files", "web", "registry", "noise", "geometry", "skeletons", "keypoints", "nn", "distributions",
    "metrics", "data", "lifters", "objectives", "published", "training", "results", "lifting", "evaluation", "view",
    "detect", "annotate", "experiments", "recipes", "cli", "__init__", "__main__",
)  # fmt: skip
#: Inside data/: the same, one level down.
DATA = ("observations", "store_schema", "store", "mocap", "simulation", "sets", "labels")


def modules() -> dict[str, ast.Module]:
    """Every module by dotted name below the package; a package's own file is the package's name."""
    found = {}
    for path in sorted(HOUSE.rglob("*.py")):
        parts = path.relative_to(HOUSE).with_suffix("").parts
        name = ".".join(parts if len(parts) == 1 or parts[-1] != "__init__" else parts[:-1])
        found[name] = ast.parse(path.read_text())
    return found


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """(importing module, imported module) of all imports inside the package, those within functions too."""
    known = modules()
    return frozenset(
        (name, target) for name, tree in known.items() for target in _imported(name, tree, known) if target != name
    )


def _imported(name: str, tree: ast.Module, known: dict[str, ast.Module]) -> Iterator[str]:
    is_package = (HOUSE.joinpath(*name.split(".")) / "__init__.py").exists() or name == "__init__"
    here = [] if name == "__init__" else name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level + 1] + (node.module.split(".") if node.module else [])
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "poseterior":
            base = (node.module or "").split(".")[1:]
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("poseterior.") for a in node.names if a.name.startswith("poseterior."))
            continue
        else:
            continue
        for alias in node.names:
            inner = ".".join([*base, alias.name])
            yield inner if inner in known else ".".join(base) or "__init__"


def room_of(module: str) -> str:
    return module.split(".")[0]


def edges(members: tuple[str, ...], inside: str = "") -> set[tuple[str, str]]:
    """Arrows between rooms (or between the rooms inside one)."""
    prefix = f"{inside}." if inside else ""
    pairs = {
        (a.removeprefix(prefix).split(".")[0], b.removeprefix(prefix).split(".")[0])
        for a, b in arrows()
        if a.startswith(prefix) and b.startswith(prefix)
    }
    assert {room for pair in pairs for room in pair} <= set(members)
    return {(a, b) for a, b in pairs if a != b}


def floors(graph: set[tuple[str, str]], members: tuple[str, ...]) -> dict[str, int]:
    """Each room stands one floor above the highest that it imports."""
    height: dict[str, int] = {}
    for room in members:  # in order, so that what a room imports has its floor already
        height[room] = 1 + max((height.get(b, 0) for a, b in graph if a == room), default=0)
    return height


def test_every_room_is_in_the_plan() -> None:
    assert {room_of(name) for name in modules()} <= set(ROOMS)
    assert len(ROOMS) <= 27


def test_contributing_names_the_rooms_in_their_order() -> None:
    text = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text()
    table = text.split("| room | holds |", 1)[1].split("\n\n", 1)[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert tuple(name for row in rows for name in re.findall("`(.+?)`", row)) == ROOMS


@pytest.mark.parametrize(("members", "inside"), [(ROOMS, ""), (DATA, "data")])
def test_arrows_run_down(members: tuple[str, ...], inside: str) -> None:
    order = {room: number for number, room in enumerate(members)}
    up = [(a, b) for a, b in edges(members, inside) if order[b] > order[a]]
    named = [
        f"{a} imports {b}"
        for a, b in sorted(arrows())
        if any((f"{inside}." if inside else "") + x in (a, ".".join(a.split(".")[: 1 + bool(inside)])) for x, _ in up)
        and any(y in b.split(".") for _, y in up)
    ]
    assert not up, named


def test_floors() -> None:
    height = floors(edges(ROOMS), ROOMS)
    assert max(height.values()) <= 11, height


def test_no_circle_between_modules() -> None:
    """Also inside rooms: a module that imports another, however far round, is not imported by it."""
    graph: dict[str, set[str]] = {}
    for a, b in arrows():
        graph.setdefault(a, set()).add(b)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        for target in sorted(graph.get(name, ())):
            visit(target, (*path, name))
        done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_importing_the_package_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, poseterior; print([m for m in ('torch', 'numpy', 'matplotlib', 'yaml') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_no_name_is_undefined() -> None:
    """Linter and type checker are told to overlook undefined names, for the shapes in types: these stand in quotes."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--target-version", "py310"]
    done = subprocess.run(
        [*command, "--output-format", "json", "src", "tests", "benchmarks"], capture_output=True, cwd=ROOT
    )
    undefined = []
    for hit in json.loads(done.stdout):
        row, column = hit["location"]["row"], hit["location"]["column"]
        line = Path(hit["filename"]).read_text(encoding="utf-8").splitlines()[row - 1]
        if line[: column - 1].count('"') % 2 == 0:
            undefined.append(f"{hit['filename']}:{row}: {hit['message']}")
    assert not undefined, undefined


def test_no_two_test_files_share_a_name() -> None:
    """Test folders are no packages: of two files of one name the second is not collected."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert not {name for name in names if names.count(name) > 1}
