"""`poseterior formats`, and what `poseterior lift` says of other files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from poseterior.cli import main
from poseterior.keypoints.formats import formats
from poseterior.keypoints.points import point_formats


def test_every_format_is_listed_with_its_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["formats"]) == 0
    said = capsys.readouterr().out
    for known in formats().values():
        assert f"  {known.name}: {known.about}\n" in said
        for line in known.example.splitlines():
            assert line[:150] in said
    for name, module in point_formats().items():
        assert f"  {name}: {module.ABOUT}\n" in said
        assert module.EXAMPLE.splitlines()[0] in said
    assert "frame,person,joint,x,y,score\n" in said


def test_formats_are_listed_without_heavy_imports() -> None:
    script = (
        "import sys; from poseterior.cli import main; main(['formats']); "
        "print([m for m in ('torch', 'numpy', 'h5py', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_broken_film_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"\0\0\0\x20ftypisom" + bytes(500))
    assert main(["lift", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"poseterior: error: {path}: is truncated, or no film: ")
    assert "UTF-8" not in said
