"""What `--help` prints: whole sentences on a terminal of 80 columns."""

from __future__ import annotations

import re

import pytest

from poseterior.cli import main


def help_of(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        main([*words.split(), "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "words", ["lift", "ik", "angles", "prior score", "data leaks", "data import", "bench", "playground"]
)
def test_no_line_is_wider_than_the_terminal(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = help_of(words, capsys).splitlines()
    # the names of all subcommands are one word
    assert all(len(line) <= 80 for line in lines if not re.match(r"(usage:|    )\S*.*\{", line))


def test_texts_of_several_lines_are_paragraphs(capsys: pytest.CaptureFixture[str]) -> None:
    said = " ".join(re.sub(r"[│|]", " ", help_of("lift", capsys)).split())
    for whole in ("off takes their order in the file.", "or a .yaml file of joint names."):
        assert whole in said
    lines = [line.strip("│| ") for line in help_of("lift", capsys).splitlines()]
    assert "file" not in lines
    assert "the" not in lines


def test_nothing_stays_changed(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    import docstring_parser

    before = docstring_parser.parse_from_object, sys.stdout
    help_of("ik", capsys)
    assert (docstring_parser.parse_from_object, sys.stdout) == before
