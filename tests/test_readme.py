"""The README's Python snippets run as they stand."""

import re
from pathlib import Path

import pytest

from poseterior.cli import main

README = Path(__file__).resolve().parents[1] / "README.md"
EXAMPLES = README.parent / "src" / "poseterior" / "examples"


def snippets() -> list[str]:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return [block for block in blocks if "import poseterior" in block]


def test_snippets_are_found():
    assert len(snippets()) == 3


@pytest.mark.parametrize("index", [0, 1, 2])
def test_snippets_run(index, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "person.json").write_text((EXAMPLES / "demo.json").read_text())
    assert main(["lift", "person.json", "--samples", "3", "--out", "poses.parquet"]) == 0
    names: dict = {}
    exec(compile(snippets()[index], "README.md", "exec"), names)
    if index == 0:
        assert names["samples"].shape[0] == 200
        assert names["hypotheses"].shape[-3:] == (8, 17, 3)
    elif index == 1:
        assert names["poses"].mean.shape == (*names["fitted"].mean.shape[:-3], 17, 3)
        assert names["mine"].sample(seed=0).shape[-2:] == (17, 3)
        assert float(names["misfit"]) < 5
        assert float(names["prior"].log_prob(names["rotations"].detach(), root=False)) > 50
    else:
        assert names["mean"].shape[1:] == (17, 3)
        assert names["samples"].shape == (len(names["mean"]), 3, 17, 3)
        assert len(names["result"].mean) == len(names["mean"])


def test_every_command_of_the_readme_exists(capsys):
    text = README.read_text()
    commands = set(re.findall(r"^poseterior (\w+)(?: (\w+))?", text, re.MULTILINE))
    for command, sub in commands:
        words = [command, sub] if command in ("data", "prior", "heatmaps") else [command]
        with pytest.raises(SystemExit) as stop:
            main([*words, "--help"])
        assert stop.value.code == 0
