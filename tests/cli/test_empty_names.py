"""Names that are empty, as a script's ``"$file"`` is whose variable is not set."""

from __future__ import annotations

from pathlib import Path

import pytest

from poseterior.cli import main

SAID = "an empty name was given where a file is expected; a variable of the script may not be set"


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["lift", ""], "FILE"),
        (["lift", "a.json", "", "--out", "b.npz"], "FILE"),
        (["lift", "--resume", "", "--out", "b.npz"], "FILE"),
        (["lift", "--no-resume", ""], "FILE"),
        (["lift", "--", ""], "FILE"),
        (["lift", "a.json", "--out", ""], "--out"),
        (["lift", "a.json", "-o", ""], "-o"),
        (["lift", "a.json", "--out="], "--out"),
        (["lift", "a.json", "--lifter", "", "--out", "b.npz"], "--lifter"),
        (["view", ""], "FILE"),
        (["angles", "a.npz", "--plot", ""], "--plot"),
        (["playground", "--fetch", "--out", ""], "--out"),
        (["data", "inspect", ""], "FILE"),
        (["data", "import", "bvh", "clips", "--store", ""], "--store"),
        (["export", "onnx", "mdn", "--out", ""], "--out"),
    ],
)
def test_an_empty_name_is_refused(
    arguments: list[str],
    where: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`pathlib` makes the current folder of it, all of which would be lifted, or written to."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"poseterior: error: {where}: {SAID}\n")
    assert not list(tmp_path.iterdir())
