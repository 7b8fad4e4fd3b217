"""What the page is made of: the runtime that is asked for by name, the poses to begin with, the command's messages."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from poseterior.cli import main
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.view.playground import runtime
from poseterior.view.playground.runtime import SOURCE, as_global, load_runtime
from poseterior.view.playground.starts import start_poses


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSETERIOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_nothing_is_fetched_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    assert main(["playground", "--out", str(tmp_path / "p"), "--no-open"]) == 2
    assert capsys.readouterr().err == (
        "poseterior: error: the page's runtime, onnxruntime-web@1.30.0 (MIT, 33 MB to download), is not on this "
        "machine; get it once with: poseterior playground --fetch (or give a copy: --runtime ort.wasm.bundle.min.mjs "
        "ort-wasm-simd-threaded.wasm)\n"
    )
    assert not cache.exists()
    assert not (tmp_path / "p").exists()


def test_another_version_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "ort.wasm.bundle.min.mjs"
    old.write_bytes(b"export{};")
    with pytest.raises(InputError, match=r"is none of the files of the playground .* npm package onnxruntime-web@1\."):
        load_runtime([old])
    package = tmp_path / "onnxruntime-web-1.0.0.tgz"
    with tarfile.open(package, "w:gz") as archive:
        for file in SOURCE.files:
            entry = tarfile.TarInfo(file.member)
            entry.size = 9
            archive.addfile(entry, io.BytesIO(b"export{};"))
    with pytest.raises(InputError, match=r"ort\.wasm\.bundle\.min\.mjs is another file than expected"):
        load_runtime([package])
    with pytest.raises(InputError, match=r"--runtime: give onnxruntime-web-1\.0\.0\.tgz alone, or the two files"):
        load_runtime([package, old])
    with pytest.raises(InputError, match=r"missing\.wasm: cannot be read \(No such file"):
        load_runtime([tmp_path / "missing.wasm"])
    with pytest.raises(InputError, match=r"missing\.tgz: no such file$"):
        load_runtime([tmp_path / "missing.tgz"])


def test_a_lifter_that_is_not_exported_is_refused_before_it_is_traced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "load_runtime", lambda given=(): runtime.Runtime("", b""))
    monkeypatch.setattr(runtime, "fetch_runtime", lambda: pytest.fail("downloads before it refuses"))
    page, lifter = ["playground", "--out", str(tmp_path / "p")], ["--lifter", "rotations"]
    for words in ([*page, *lifter], [*page, *lifter, "--fetch"],
                  ["export", "onnx", "rotations", "--out", str(tmp_path / "p.onnx")]):  # fmt: skip
        assert main(words) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("poseterior: error: lifter 'rotations' cannot be exported: its poses are those of ")
    assert not list(tmp_path.iterdir())


def test_a_download_that_fails_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"onnxruntime-web@1\.30\.0: could not be downloaded .* with --runtime FILE"):
        runtime.fetch_runtime()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fetch", "--runtime", "x.tgz"], "--fetch downloads the runtime, --runtime gives a copy of it: choose one"),
        (["--out", "file"], "--out file: is a file; give a folder"),
        (["--level", "2"], "--level: expected a probability above 0 and below 1, e.g. 0.9, got 2"),
    ],
)
def test_bad_input(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    assert main(["playground", "--no-open", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_module_becomes_a_global() -> None:
    assert as_global("var a=1;export{a as Tensor};\n//# sourceMappingURL=a.map\n") == (
        "var a=1;globalThis.ort={Tensor:a};\n"
    )
    with pytest.raises(InputError, match="ends without an export"):
        as_global("var a = 1;")


def test_the_poses_to_begin_with() -> None:
    skeleton = get_skeleton("h36m17")
    starts = start_poses(skeleton)
    assert [start.name for start in starts] == [
        "Standing", "Striding", "Batter", "Badminton", "Footballer", "Cameraman", "Astronaut",
    ]  # fmt: skip
    assert [start.photo for start in starts] == [None] * 6 + ["astronaut.jpg"]
    for start in starts:
        keypoints = start.keypoints
        assert keypoints.xy.shape == (1, 17, 2)
        seen = keypoints.xy[0][keypoints.visible[0]].numpy()
        assert len(seen) >= 7
        assert (seen >= 0).all()
        assert (seen <= keypoints.image_size[0].numpy()).all()
    standing, striding = (start.keypoints.xy[0].numpy() for start in starts[:2])
    at = {joint: skeleton.index(joint) for joint in skeleton.joints}
    for side, sign in (("left", 1), ("right", -1)):  # who faces the camera has the left at its right
        for joint in ("hip", "shoulder", "elbow", "wrist"):
            assert sign * (standing[at[f"{side}_{joint}"], 0] - standing[at["pelvis"], 0]) > 10
    hands = standing[[at["left_wrist"], at["right_wrist"]], 1]
    assert (np.abs(hands - standing[at["pelvis"], 1]) < 60).all()  # they hang
    assert abs(striding[at["left_ankle"], 0] - striding[at["right_ankle"], 0]) > 40
