"""Without the extras: lifting works, and each command that needs one ends with code 2 and the line to type.

A process without the extras is one in which their modules cannot be imported: quicker than an empty environment, which
the slow suite makes (tests/test_packaging.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from documents import EXAMPLES, ROOT

#: What extras bring, by the names of their modules.
EXTRAS = (
    "pyarrow", "viser", "trimesh", "lightning", "pytorch_lightning", "tensorboard", "fastapi", "uvicorn", "sqlalchemy",
    "imageio_ffmpeg", "ai_edge_litert", "onnxruntime", "platformdirs", "pygltflib", "pxr", "ezc3d",
    "ot", "smplx", "cdflib", "h5py", "scipy", "pandas", "polars", "websockets",
    "c3d", "onnx", "onnxscript", "ray", "duckdb",
)  # fmt: skip
KEYPOINTS = str(EXAMPLES / "demo.json")

#: A command, and what it says; a file `store` is there.
MISSING: dict[str, tuple[list[str], str]] = {
    "fetch a detector's model": (
        ["detectors", "fetch", "blazepose"],
        "the cache of models needs platformdirs: pip install 'poseterior[images]' "
        "(or set POSETERIOR_CACHE to a folder)",
    ),
    "lift to Parquet": (
        ["lift", KEYPOINTS, "--out", "a.parquet"], "--out a.parquet: needs pyarrow: pip install 'poseterior[parquet]'",
    ),
    "lift on a cluster": (
        ["lift", KEYPOINTS, "--engine", "ray", "--clip", "off", "--out", "poses"],
        "--engine ray: needs ray: pip install 'poseterior[cluster]'",
    ),
    "lift a folder": (
        ["lift", str(EXAMPLES), "--out", "lifted"],
        "--out lifted: writing the results as Parquet needs pyarrow: pip install 'poseterior[parquet]'"
        "; or lift file by file to .npz",
    ),
    "lift to glTF": (
        ["lift", KEYPOINTS, "--out", "a.glb"], "--out a.glb: needs pygltflib: pip install 'poseterior[gltf]'",
    ),
    "lift to USD": (
        ["lift", KEYPOINTS, "--out", "a.usdz"], "--out a.usdz: needs usd-core: pip install 'poseterior[usd]'",
    ),
    "lift to C3D": (["lift", KEYPOINTS, "--out", "a.c3d"], "--out a.c3d: needs ezc3d: pip install 'poseterior[c3d]'"),
    "lift with a film": (
        ["lift", KEYPOINTS, "--video", "a.mp4"],
        "a.mp4: writing MP4 without ffmpeg on the path needs imageio-ffmpeg: pip install 'poseterior[video]'"
        " (or write a .gif)",
    ),
    "view": (["view", "light.npz"], "the viewer needs viser: pip install 'poseterior[view]'"),
    "view Parquet": (
        ["view", "old.parquet", "--png", "a.png"],
        "old.parquet: reading Parquet needs pyarrow: pip install 'poseterior[parquet]'",
    ),
    "train": (["train", "mdn", "data=store"], "training needs lightning: pip install 'poseterior[train]'"),
    "export to ONNX": (
        ["export", "onnx", "mdn", "--out", "m.onnx"],
        "m.onnx: writing ONNX needs onnx: pip install 'poseterior[export]'",
    ),
    "play": (["playground", "--no-open"], "the playground needs onnx: pip install 'poseterior[playground]'"),
    "experiments": (
        ["experiments", "relative", "--data", "store", "--out", "x"],
        "training needs lightning: pip install 'poseterior[train]'",
    ),
    "evaluate": (
        ["evaluate", "mdn", "--data", "old.parquet"],
        "old.parquet: a Parquet file needs pyarrow: pip install 'poseterior[parquet]'",
    ),
    "evaluate on a store": (
        ["evaluate", "mdn", "--data", "store", "--protocol", "cmu-test"],
        "store/part.parquet: a Parquet file needs pyarrow: pip install 'poseterior[parquet]'",
    ),
    "import an archive of motions": (
        ["data", "import", "amass", "CMU.tar.bz2", "--out", "x"],
        "--out x: needs pyarrow: pip install 'poseterior[parquet]'",
    ),
    "import observations": (
        ["data", "import", "lsp", "store", "--split", "all", "--out", "x.parquet"],
        "--out x.parquet: needs pyarrow: pip install 'poseterior[parquet]'",
    ),
    "lift a store": (
        ["data", "lift", "store", "--lifter", "unsupervised", "--out", "x"],
        "--out x: needs pyarrow: pip install 'poseterior[parquet]'",
    ),
    "merge": (
        ["labels", "merge", "old.parquet", "--out", "b.parquet"],
        "--out b.parquet: needs pyarrow: pip install 'poseterior[parquet]'",
    ),
    "export": (
        ["labels", "export", "old.parquet", "--out", "b.csv"],
        "old.parquet: a Parquet file needs pyarrow: pip install 'poseterior[parquet]'"
        "; import .csv and .json with `poseterior labels import`",
    ),
    "lift HDF5": (
        ["lift", "clip.h5"], "clip.h5: reading HDF5 files needs h5py: pip install 'poseterior[hdf5]'",
    ),
    "lift Parquet": (
        ["lift", "old.parquet"], "old.parquet: reading a Parquet file needs pyarrow: pip install 'poseterior[parquet]'",
    ),
    "ik of C3D": (["ik", "walk.c3d"], "walk.c3d: reading C3D files needs c3d: pip install 'poseterior[c3d]'"),
    "annotate": (
        ["annotate", "photos", "--db", "a.sqlite"],
        "the annotation page needs fastapi: pip install 'poseterior[annotate]'",
    ),
    "click": (
        ["keypoints", "click", str(EXAMPLES / "astronaut.jpg")],
        "the annotation page needs fastapi: pip install 'poseterior[annotate]'",
    ),
}  # fmt: skip

PROGRAM = """
import contextlib, io, json, os, sys
extras, commands = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(extras))
os.environ["PATH"] = os.getcwd()  # no ffmpeg either
from poseterior.cli import main
said = {}
for name, command in commands.items():
    with contextlib.redirect_stderr(io.StringIO()) as errors, contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            code = main(command)
        except SystemExit as error:
            code = error.code
    said[name] = code, errors.getvalue(), out.getvalue()
import poseterior as pp
with contextlib.suppress(pp.InputError):
    said["pp.train"] = None
    pp.train
poses = pp.load("mdn")(pp.example_keypoints())
said["mean"] = poses.mean.tolist()
print(json.dumps(said))
"""

WORKING: dict[str, list[str]] = {
    "lift": ["lift", KEYPOINTS, "--out", "light.npz", "--samples", "8", "--picture", "light.png"],
    "lift to JSON": ["lift", KEYPOINTS, "--out", "light.json", "--samples", "8"],
    "motion": ["lift", KEYPOINTS, "--out", "light.bvh", "--samples", "8"],
    "view a picture": ["view", "light.npz", "--png", "again.png"],
    "view a page": ["view", "light.npz", "--html", "again.html"],
    "lifters": ["lifters"],
    "formats": ["formats"],
    "demo": ["demo", "--samples", "8"],
}


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder in which all commands were run, and what each said."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "store").mkdir()
    (folder / "store" / "part.parquet").write_bytes(b"PAR1 cut short")
    (folder / "old.parquet").write_bytes(b"PAR1 cut short")
    (folder / "CMU.tar.bz2").write_bytes(b"BZh9 cut short")
    (folder / "clip.h5").write_bytes(b"\x89HDF\r\n\x1a\n cut short")
    (folder / "walk.c3d").write_bytes(b"\x02P cut short")
    commands = WORKING | {name: command for name, (command, _) in MISSING.items()}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([EXTRAS, commands])], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", list(WORKING))
def test_what_needs_no_extra_works(light: tuple[Path, dict[str, Any]], name: str) -> None:
    code, errors, _ = light[1][name]
    assert (code, errors) == (0, "")


@pytest.mark.parametrize("name", list(MISSING))
def test_what_misses_an_extra_says_the_line(light: tuple[Path, dict[str, Any]], name: str) -> None:
    assert light[1][name][:2] == [2, f"poseterior: error: {MISSING[name][1]}\n"]


def test_no_work_is_announced_that_an_extra_is_missing_for(light: tuple[Path, dict[str, Any]]) -> None:
    assert light[1]["export to ONNX"][2] == ""


def test_nothing_is_left_by_what_was_refused(light: tuple[Path, dict[str, Any]]) -> None:
    motions = {f"light-{person}.bvh" for person in range(1, 6)}
    assert {path.name for path in light[0].iterdir()} == motions | {
        "store", "old.parquet", "clip.h5", "walk.c3d", "CMU.tar.bz2", "light.npz", "light.png", "light.json",
        "again.png", "again.html", "demo",
    }  # fmt: skip


def test_the_same_poses(light: tuple[Path, dict[str, Any]]) -> None:
    import poseterior as pp

    poses = pp.load("mdn")(pp.example_keypoints())
    np.testing.assert_allclose(light[1]["mean"], poses.mean.numpy(), atol=1e-5)
    with np.load(light[0] / "light.npz") as archive:
        np.testing.assert_allclose(archive["mean"], pp.lift(pp.load("mdn"), pp.example_keypoints(), 8).mean, atol=1e-5)


def test_the_demo_has_the_page_and_says_how_to_get_the_viewer(light: tuple[Path, dict[str, Any]]) -> None:
    assert {path.name for path in (light[0] / "demo").iterdir()} == {"poses.npz", "scene.html", "summary.png"}
    said = light[1]["demo"][2]
    assert "or look closer:            pip install 'poseterior[view]', then poseterior view demo/poses.npz\n" in said
    assert "--out poses.npz --view scene.html\n" in said


def test_every_extra_that_is_named_exists() -> None:
    import re

    project = (ROOT / "pyproject.toml").read_text()
    known = set(re.findall(r"^(\w+) = \[", project.split("[project.optional-dependencies]")[1].split("\n[")[0], re.M))
    for _, text in MISSING.values():
        assert set(re.findall(r"poseterior\[(\w+)\]", text)) <= known
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text()
        assert set(re.findall(r"poseterior\[(\w+)\]", text)) | set(re.findall(r'need\(\s*"(\w+)"', text)) <= {
            *known, "extra",
        }, path  # fmt: skip
