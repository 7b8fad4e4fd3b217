"""Models of detectors: nothing is fetched unasked, nothing is kept that is not what it should be."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from poseterior.detect.detectors import blazepose, detector_modules, load_detector
from poseterior.detect.models import model_bytes
from poseterior.files import packages
from poseterior.files.errors import InputError
from poseterior.files.fetched import fetch, fetched
from poseterior.files.packages import ModelFile, NpmPackage, Wheel

CONTENT = {"one.bin": b"first file", "two.bin": b"second file"}
SOURCE = Wheel(
    "somewheel==1.0", "3.11", "any", "MIT",
    tuple(ModelFile(name, f"pkg/{name}", hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()),
)  # fmt: skip


OF_NPM = NpmPackage("@some/models", "1.2.3", 5, "MIT", SOURCE.files)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSETERIOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def wheel(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(f"pkg/{name}", data)
    return path


def test_files_of_a_wheel_are_kept_and_found(tmp_path: Path, cache: Path) -> None:
    assert not fetched(SOURCE)
    paths = fetch(SOURCE, wheel(tmp_path / "w.whl", CONTENT))
    assert fetched(SOURCE)
    assert sorted(paths) == sorted(cache.iterdir())
    assert model_bytes(SOURCE, "some") == tuple(CONTENT.values())
    # what is there and whole is left alone: the wheel is not even looked at
    assert fetch(SOURCE, tmp_path / "missing.whl") == paths


def test_another_file_is_refused_and_nothing_is_kept(tmp_path: Path, cache: Path) -> None:
    other = wheel(tmp_path / "w.whl", CONTENT | {"two.bin": b"something else"})
    with pytest.raises(InputError, match=r"w\.whl: pkg/two\.bin is another file than expected .* nothing was kept"):
        fetch(SOURCE, other)
    assert not cache.exists()
    with pytest.raises(InputError, match=r"holds no pkg/two\.bin; expected the wheel of somewheel==1\.0"):
        fetch(SOURCE, wheel(tmp_path / "v.whl", {"one.bin": CONTENT["one.bin"]}))
    (tmp_path / "x.whl").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"x\.whl: cannot be read as a wheel"):
        fetch(SOURCE, tmp_path / "x.whl")


def test_a_damaged_file_is_told_and_fetched_anew(tmp_path: Path) -> None:
    paths = fetch(SOURCE, wheel(tmp_path / "w.whl", CONTENT))
    paths[0].write_bytes(b"first fil")
    with pytest.raises(InputError, match=r"is damaged .* get it anew with: poseterior detectors fetch some"):
        model_bytes(SOURCE, "some")
    fetch(SOURCE, tmp_path / "w.whl")
    assert model_bytes(SOURCE, "some") == tuple(CONTENT.values())


def test_copies_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(CONTENT["two.bin"])
    b.write_bytes(CONTENT["one.bin"])
    assert model_bytes(SOURCE, "some", [a, b]) == tuple(CONTENT.values())
    with pytest.raises(InputError, match=r"--model: one\.bin is missing; 'some' needs 2 files"):
        model_bytes(SOURCE, "some", [a])
    b.write_bytes(b"of another version")
    with pytest.raises(InputError, match=r"b: is none of the files of 'some' \(its SHA-256 is "):
        model_bytes(SOURCE, "some", [a, b])


def test_pip_downloads_the_wheel_for_any_python(tmp_path: Path) -> None:
    command = SOURCE.command(tmp_path)
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert command[-1] == "somewheel==1.0"
    assert command[command.index("--python-version") + 1] == "3.11"
    assert {"--no-deps", "--only-binary"} <= set(command)


def test_what_pip_says_is_passed_on(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('ERROR: No matching distribution found')"]
    monkeypatch.setattr(Wheel, "command", lambda source, folder: failing)
    with pytest.raises(InputError, match=r"somewheel==1\.0: pip could not download it \(No matching distribution"):
        fetch(SOURCE)
    assert not cache.exists()


def packed(path: Path, content: dict[str, bytes]) -> Path:
    """As npm packs what is in a folder."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(f"pkg/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_files_of_an_npm_package_are_kept_and_found(tmp_path: Path, cache: Path) -> None:
    paths = fetch(OF_NPM, packed(tmp_path / "p.tgz", {"other": b"x", **CONTENT}))
    assert sorted(paths) == sorted(cache.iterdir())
    assert model_bytes(OF_NPM, "some") == tuple(CONTENT.values())


def test_another_npm_package_is_refused_and_nothing_is_kept(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(InputError, match=r"pkg/two\.bin is another file than expected .* nothing was kept"):
        fetch(OF_NPM, packed(tmp_path / "p.tgz", CONTENT | {"two.bin": b"something else"}))
    with pytest.raises(InputError, match=r"holds no pkg/two\.bin; expected the npm package @some/models@1\.2\.3"):
        fetch(OF_NPM, packed(tmp_path / "q.tgz", {"one.bin": CONTENT["one.bin"]}))
    whole = packed(tmp_path / "r.tgz", CONTENT).read_bytes()
    (tmp_path / "cut.tgz").write_bytes(whole[: len(whole) // 2])
    for path in (tmp_path / "cut.tgz", wheel(tmp_path / "w.whl", CONTENT)):
        with pytest.raises(InputError, match=f"{path.name}: cannot be read as an npm package"):
            fetch(OF_NPM, path)
    with pytest.raises(InputError, match=r"missing\.tgz: no such file$"):
        fetch(OF_NPM, tmp_path / "missing.tgz")
    assert not cache.exists()


def test_npm_packs_the_package_and_runs_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = OF_NPM.command(tmp_path)
    assert command[:2] == ["npm", "pack"]
    assert "--ignore-scripts" in command
    assert command[-1] == "@some/models@1.2.3"
    monkeypatch.delenv("npm_config_registry", raising=False)
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    assert OF_NPM.address == "https://registry.npmjs.org/@some/models/-/models-1.2.3.tgz"
    monkeypatch.setenv("npm_config_registry", "https://npm.example.org/all/")
    assert OF_NPM.address == "https://npm.example.org/all/@some/models/-/models-1.2.3.tgz"


def test_what_npm_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('npm error code ETARGET')"]
    monkeypatch.setattr(packages.shutil, "which", lambda name: failing[0])
    monkeypatch.setattr(NpmPackage, "command", lambda source, folder: failing)
    with pytest.raises(
        InputError, match=r"@some/models@1\.2\.3: could not be downloaded \(npm: npm error code ETARGET"
    ):
        fetch(OF_NPM)
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    monkeypatch.setenv("npm_config_registry", "http://npm.example.org")
    with pytest.raises(InputError, match=r"npm is not installed, and http://npm\.example\.org/.* is no https address"):
        fetch(OF_NPM)
    assert not cache.exists()


def test_without_its_model_blazepose_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.subprocess, "run", lambda *a, **k: pytest.fail("nothing is fetched unasked"))
    with pytest.raises(InputError) as caught:
        load_detector()
    assert str(caught.value) == (
        "detector 'blazepose': its model is not on this machine; get it once with: "
        "poseterior detectors fetch blazepose (or give a copy: --model pose_detection.tflite pose_landmark_full.tflite)"
    )
    with pytest.raises(InputError, match="unknown detector 'openpose'; known: blazepose, movenet, onnx"):
        load_detector("openpose")
    with pytest.raises(InputError, match="detector 'blazepose:x': expected blazepose"):
        load_detector("blazepose:x")


def test_every_detector_says_what_it_is() -> None:
    assert blazepose.NAME in detector_modules()
    for name, module in detector_modules().items():
        assert name == module.NAME
        assert module.ABOUT
        assert module.LICENCE
        extra, needed = module.NEEDS
        assert extra
        assert needed
