"""Lifters as ONNX files: what onnxruntime says of them is what torch says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import poseterior as pp
from documents import DOCS, blocks
from invented_people import invented_people
from poseterior._version import __version__
from poseterior.cli import main
from poseterior.distributions.evidence import Evidence
from poseterior.lifters.mdn import MixtureConfig, MixtureDensityLifter
from poseterior.lifters.tensors import Lifted, TensorLifter

onnxruntime = pytest.importorskip("onnxruntime")


def session_of(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def gaps(session: Any, module: TensorLifter, poses: int, samples: int, chunk: int = 100) -> dict[str, float]:
    """Largest difference of each output between onnxruntime and torch, over all poses."""
    people = invented_people(poses, seed=1)
    generator = torch.Generator().manual_seed(0)
    worst = dict.fromkeys(Lifted._fields, 0.0)
    for start in range(0, poses, chunk):
        some = people[start : start + chunk]
        inputs = (*module.inputs(some), torch.randn(samples, len(some), module.noise_width, generator=generator))
        with torch.no_grad():
            theirs = module(*inputs)
        feed = {name: value.numpy() for name, value in zip(module.INPUTS, inputs, strict=True)}
        for name, ours in zip(Lifted._fields, session.run(list(Lifted._fields), feed), strict=True):
            assert np.isfinite(ours).all()
            worst[name] = max(worst[name], float(np.abs(ours - getattr(theirs, name).numpy()).max()))
    return worst


def small_lifter(folder: Path) -> Path:
    """An untrained mixture of a few numbers, with evidence."""
    torch.manual_seed(0)
    lifter = MixtureDensityLifter(MixtureConfig(kernels=2, rank=2, width=16, blocks=1))
    lifter.evidence = Evidence()
    lifter.save_pretrained(folder, {"name": "small", "licence": "of the test"})
    return folder


def test_a_small_lifter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, path = small_lifter(tmp_path / "small"), tmp_path / "small.onnx"
    path.write_bytes(b"an older file")
    assert main(["export", "onnx", str(folder), "--out", str(path), "--level", "0.8"]) == 0
    said = capsys.readouterr().out
    assert f"wrote {path}: small" in said
    assert "radius: 80 %, of the samples alone, not calibrated" in said
    assert "licence of the weights: of the test" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small", "small.onnx"]  # nothing beside it

    session = session_of(path)
    module = pp.load(folder).to_module(0.8)
    assert max(gaps(session, module, 40, 30).values()) < 1e-5
    assert [value.name for value in session.get_inputs()] == list(module.INPUTS)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["joints"]) == list(pp.load("mdn").skeleton.joints)
    assert (told["units"], told["axes"]) == ("metres", "x right, y down, z forward (camera)")
    assert (told["lifter"], told["version"], told["licence"]) == ("small", __version__, "of the test")
    assert told["wrong_keypoints"].startswith("not looked for")
    assert str(Path(pp.__file__).parent).encode() not in path.read_bytes()  # nor any other path of this machine
    assert (told["level"], told["calibrated"], told["evidence"]) == ("0.8", "false", "included")


def test_what_cannot_be_exported_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"precious")
    assert main(["export", "onnx", "rotations", "--out", str(path)]) == 2
    assert "lifter 'rotations' cannot be exported: " in capsys.readouterr().err
    assert main(["export", "onnx", "mdn", "--out", str(path), "--level", "0.9999"]) == 2
    assert "level 0.9999" in capsys.readouterr().err
    assert main(["export", "onnx", "mdn", "--out", str(tmp_path / "x.pt")]) == 2
    assert "unknown extension '.pt'; use one of: .onnx" in capsys.readouterr().err
    assert path.read_bytes() == b"precious"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mdn", "supervised", "flow", "relative", "unsupervised"])
def test_shipped_lifters(name: str, tmp_path: Path) -> None:
    """1,000 poses with cameras and gaps of every kind: metres within 0.1 mm."""
    path = tmp_path / f"{name}.onnx"
    assert main(["export", "onnx", name, "--out", str(path)]) == 0
    assert max(gaps(session_of(path), pp.load(name).to_module(), 1000, 20).values()) < 1e-4


def test_the_example_of_a_module(capsys: pytest.CaptureFixture[str]) -> None:
    _, code = (b.code for b in blocks(DOCS / "deploy.md") if b.language == "python")
    exec(compile(code, "deploy.md", "exec"), {})
    assert capsys.readouterr().out.startswith("torch.Size([5, 17, 3]) torch.Size([50, 5, 17, 3])")


@pytest.fixture(scope="module")
def exported_mdn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds ``mdn.onnx``."""
    folder = tmp_path_factory.mktemp("exported")
    assert main(["export", "onnx", "mdn", "--out", str(folder / "mdn.onnx")]) == 0
    return folder


@pytest.mark.slow
def test_the_example_runs_without_torch(exported_mdn: Path) -> None:
    code = next(b.code for b in blocks(DOCS / "deploy.md") if b.language == "python")
    hidden = "import sys\nsys.modules['torch'] = sys.modules['poseterior'] = None\n"
    done = subprocess.run([sys.executable, "-c", hidden + code], cwd=exported_mdn, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 17
    assert lines[-1].lstrip().startswith("right_wrist [")
    assert all("90% within" in line for line in lines)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node and npm")
def test_the_example_runs_in_node(exported_mdn: Path) -> None:
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "onnxruntime-web@1.30.0"]
    if subprocess.run(install, cwd=exported_mdn, capture_output=True).returncode:
        pytest.skip("npm cannot fetch onnxruntime-web")
    code = next(b.code for b in blocks(DOCS / "deploy.md") if b.language == "js")
    (exported_mdn / "lift.mjs").write_text(code)
    done = subprocess.run(["node", "lift.mjs"], cwd=exported_mdn, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [[float(n) for n in re.findall(r"-?\d+\.\d+", line)] for line in done.stdout.splitlines()]

    xy = [[float(n) for n in pair] for pair in re.findall(r"\[(-?\d+), (-?\d+)\]", code)]
    assert len(xy) == 17
    person = pp.Keypoints2D(
        torch.tensor([xy]) + torch.tensor([500.0, 400.0]), 4.0, intrinsics=(1000, 1000, 640, 360), height=1.75
    )
    np.testing.assert_allclose(np.array(found), pp.load("mdn")(person).mean[0].numpy(), atol=1e-3)
