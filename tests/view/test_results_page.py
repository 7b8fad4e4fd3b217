"""Numbers of README.md and docs/ come from one generated file."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from bench_fixture import made_up, unit_of

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("results_page")
    for name in ("results_page", "league_table"):
        sys.modules.pop(name, None)


def test_pages_say_what_the_generated_file_says(page: ModuleType) -> None:
    if not page.NUMBERS_FILE.exists():
        pytest.skip("docs/numbers.json is not there: python benchmarks/results_page.py bench/bench.json writes it")
    found = json.loads(page.NUMBERS_FILE.read_text())
    for path in page.pages():
        text = path.read_text()
        filled = page.fill(text, found, readme=path.name == "README.md")
        assert filled == text, f"{path.name}: run `python benchmarks/results_page.py`"


def test_the_readme_and_the_results_ask_for_their_tables(page: ModuleType) -> None:
    for name, kinds in (("README.md", ["league"]), ("results.md", ["command", "league", "standing", "findings"])):
        (path,) = [path for path in page.pages() if path.name == name]
        assert [kind for _, kind in (m.groups()[:2] for m in page._BLOCK.finditer(path.read_text()))] == kinds


def test_numbers_are_those_of_the_benchmark(page: ModuleType) -> None:
    results = made_up(sweeps=True)
    found = page.numbers(json.loads(json.dumps(results)))
    assert list(found["numbers"]) == ["bandai-cross", "cmu-test", "cmu-clean"]  # no sweeps, home last
    unit = unit_of(results, "flow", "cmu-test")
    error, half = unit["estimates"]["mean"]["MPJPE"], unit["uncertainty"]["half width"]["MPJPE"]
    assert found["numbers"]["cmu-test"]["flow"]["MPJPE"] == f"{error:.1f} ± {half:.1f}"
    assert found["numbers"]["cmu-test"]["rotations"]["NLL"] == "–"
    assert found["numbers"]["cmu-test"]["flow"]["NLL"].startswith("−1.9")
    assert found["numbers"]["cmu-test"]["flow"]["region"].startswith("90.4 ± 9.0 %")
    assert found["standing"]["cmu-test"].startswith("flow has the best energy score (28.5 ±")
    assert found["findings"]["cmu-test"]["mdn"] == []
    assert found["findings"]["cmu-test"]["supervised"][0].startswith("The error bars are too short")
    rows = found["league"]["short"].splitlines()
    assert len(rows) == 2 + 6
    assert rows[2].startswith("| `flow` | 3D poses | 28.5 ± ")
    assert len(found["league"]["long"].splitlines()) == 2 + 3 * 6
    assert len({row.count("|") for row in found["league"]["long"].splitlines()}) == 1


def test_other_people_lead_and_home_comes_last(page: ModuleType) -> None:
    """Whatever the order in which they were measured; what is not named comes between."""
    results = made_up(("flow", "mdn"), sweeps=True)
    for name in ("strangers", "people", "noisy-sigma"):
        results["protocols"][name] = results["protocols"]["cmu-test"] | {"label": name}
        results["units"] += [
            unit | {"protocol": name} for unit in results["units"][:] if unit["protocol"] == "cmu-test"
        ]
        results["comparisons"][name] = results["comparisons"]["cmu-test"]
    unit_of(results, "mdn", "people")["scores"] = {**unit_of(results, "mdn", "people")["scores"], "energy score": 1.0}
    found = page.numbers(json.loads(json.dumps(results)))
    order = ["people", "strangers", "bandai-cross", "noisy-sigma", "cmu-test", "cmu-clean"]
    assert list(found["numbers"]) == order
    rows = found["league"]["long"].splitlines()[2:]
    assert [row.split("|")[1].strip(" `") for row in rows][::2] == order
    assert found["league"]["short"].splitlines()[2].startswith("| `mdn` | 3D poses | 1.0 ")


def test_pages_are_filled_and_filling_again_changes_nothing(page: ModuleType) -> None:
    found = page.numbers(made_up(sweeps=False))
    text = (
        "Before.\n<!-- league:begin -->\nold\n<!-- league:end -->\n<!-- standing:begin -->\n<!-- standing:end -->\n"
        "flow is at <!--= cmu-test/flow/MPJPE -->1<!--=-->, i.e. <!--= cmu-test/flow/MPJPE ± -->2<!--=--> mm and "
        "orders <!--= cmu-test/flow/depth order -->3<!--=--> rightly."
    )
    filled = page.fill(text, found)
    assert (
        "flow is at <!--= cmu-test/flow/MPJPE -->46.0<!--=-->, i.e. <!--= cmu-test/flow/MPJPE ± -->46.0 ± 4.6<!"
        in filled
    )
    assert "<!--= cmu-test/flow/depth order -->87.0 %<!--=-->" in filled
    assert "old" not in filled
    assert "* `cmu-test`: flow has the best energy score" in filled
    assert page.fill(filled, found) == filled
    assert len(page.fill(text, found, readme=True).splitlines()) < len(filled.splitlines())


def test_unknown_numbers_are_named(page: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"cmu-test/flow/speed: docs/numbers\.json has no 'speed'"):
        page.fill("<!--= cmu-test/flow/speed -->1<!--=-->", page.numbers(made_up(sweeps=False)))
