"""The README is short, and its code runs as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from documents import EXAMPLES, ROOT, blocks, commands, links

README = ROOT / "README.md"


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_it_has_what_a_newcomer_needs() -> None:
    text = README.read_text()
    assert [link for link in links(README) if link.endswith(".png")] == ["docs/photograph.png"]
    for heading in ("Install and run", "Lift your own keypoints", "Python", "Units and axes", "Licence"):
        assert f"\n## {heading}" in text, heading
    typed = list(commands(README))
    assert ["poseterior", "demo"] in typed
    assert typed[:2] == [["pip", "install", ".[images]"], ["poseterior", "detectors", "fetch", "blazepose"]]
    assert typed[2][:3] == ["poseterior", "lift", "photo.jpg"]


def test_the_league_table_names_every_shipped_lifter_once() -> None:
    from poseterior.lifters import list_shipped

    league = README.read_text().split("<!-- league:begin -->")[1].split("<!-- league:end -->")[0]
    rows = [line.split("|")[1].strip(" `") for line in league.strip().splitlines()[2:]]
    assert sorted(rows) == sorted(list_shipped())


def test_the_python_is_a_dozen_lines_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (block,) = [block for block in blocks(README) if block.language == "python"]
    assert len([line for line in block.code.splitlines() if line.strip()]) <= 12
    monkeypatch.chdir(tmp_path)
    (tmp_path / "person.json").write_text((EXAMPLES / "demo.json").read_text())
    names: dict = {}
    exec(compile(block.code, "README.md", "exec"), names)
    assert names["samples"].shape == (200, 5, 17, 3)
    assert names["hypotheses"].shape[-3:] == (8, 17, 3)
    assert names["region"].radius.shape == (5, 17)
    assert names["result"].mean.shape == (5, 17, 3)
