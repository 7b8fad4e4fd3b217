"""Every writer under every fault: afterwards the old file or the new one stands there, whole, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import injection
import numpy as np
import pytest
import torch

import poseterior as pp
from conftest import made_up_mocap
from poseterior.data.labels.files import write_csv, write_published
from poseterior.data.labels.labels import DepthLabels, save_labels
from poseterior.data.mocap.inspection import inspect_store, save_figure
from poseterior.data.observations import ObservationSet, save_observations
from poseterior.data.simulation.simulator import Simulator, SimulatorConfig
from poseterior.data.store import PoseStore
from poseterior.evaluation.pose_scores import PoseScores, save_pose_scores
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints.heatmap_files import save_keypoints
from poseterior.keypoints.heatmaps import fit_gaussians
from poseterior.lifters.saved import folder_of
from poseterior.lifting.prior import PriorScores

# -- what is written: one small thing per format, in two versions that differ ------------------------------


@cache
def _result(poses: int) -> Any:
    return pp.lift(pp.load("mdn"), pp.example_keypoints()[:poses], 8, 0)


@cache
def _clip(frames: int) -> Any:
    return replace(_result(1)[np.zeros(frames, int)], frame=np.arange(frames))


@cache
def _rotations(poses: int) -> Any:
    folder = Path(os.environ["PYTEST_FAULTS"]) / "rotations"
    if not folder.exists():
        shutil.copytree(folder_of("rotations"), folder, ignore=shutil.ignore_patterns("calibration.json"))
    return pp.lift(pp.load(str(folder)), pp.example_keypoints()[:poses], 8, 0).motion()


@cache
def _labels(rows: int) -> DepthLabels:
    return DepthLabels(
        image=np.array([f"{row:04d}" for row in range(rows)]),
        joint_a=np.full(rows, "left_knee"),
        joint_b=np.full(rows, "right_knee"),
        label=np.ones(rows, np.int8),
        confidence=np.ones(rows, np.float32),
        annotator=np.full(rows, ""),
        time=np.full(rows, np.nan),
        skeleton="lsp14",
    )


@cache
def _observations(poses: int) -> ObservationSet:
    simulate = Simulator(made_up_mocap(), SimulatorConfig())
    observed = simulate(poses, torch.Generator().manual_seed(0))
    return ObservationSet(observed, ("walk",) * poses, ("somebody",) * poses, "made up", 0)


def _store(path: Path, version: int, **how: bool) -> None:
    mocap = made_up_mocap()
    with PoseStore.create(path, **how) as writer:
        for clip in range(version + 1):
            rows = mocap.clip == clip
            arrays = (mocap.positions[rows], mocap.rotations[rows], mocap.h36m17[rows])
            writer.add(f"{version}-{clip}", *arrays, fps=30.0)


def _heatmap_keypoints(path: Path, version: int) -> None:
    grid = torch.arange(16.0)
    blob = torch.exp(-((grid[:, None] - 8) ** 2 + (grid - 7) ** 2) / 8)
    fits = fit_gaussians(blob.expand(version + 1, 16, 16, 16))
    save_keypoints(path, fits.keypoints("mpii16"), fits, SKELETONS["mpii16"])


def _pose_scores(path: Path, version: int) -> None:
    poses = 40 * version
    names: dict[str, list[Any]] = {name: ["x"] * poses for name in ("clip", "subject", "action")}
    names |= {name: list(range(poses)) for name in ("person", "frame")}
    save_pose_scores({("mdn", "made-up"): PoseScores(names, {"MPJPE": torch.rand(poses)})}, path)


def _prior_scores(path: Path, version: int) -> None:
    mocap = made_up_mocap(frames=20 * version, clips=1)
    scores = PriorScores(("spine",), np.ones((20 * version, 1)), np.ones(1), np.ones(20 * version))
    scores.save(path, mocap)


def _clicks(path: Path, version: int) -> None:
    pytest.importorskip("fastapi")
    from poseterior.annotate.clicks import ClickTarget

    skeleton = SKELETONS["lsp14"]
    points = {joint: (float(version), 1.0) for joint in skeleton.joints}
    ClickTarget(path.with_name("photo.jpg"), (100, 100), skeleton, path).save(points)


def _bench(path: Path, version: int) -> None:
    with pp.files.writing.atomic_write(path) as file:
        file.write((json.dumps({"units": list(range(400 * version))}) + "\n").encode())


def _html(path: Path, version: int) -> None:
    from poseterior.view import write_html

    write_html(_result(version), path)


def _summary(path: Path, version: int) -> None:
    from poseterior.view import save_summary

    save_summary(_result(version), path, dpi=40)


def _sheet(path: Path, version: int) -> None:
    from poseterior.view.sheets import contact_sheet

    contact_sheet(_result(version).mean, "h36m17", path, axes="camera")


def _film(path: Path, version: int) -> None:
    if path.suffix == ".mp4":
        pytest.importorskip("imageio_ffmpeg")
    from poseterior.view.film import save_film

    save_film(_clip(3 + version), path, fps=15)


def _store_picture(path: Path, version: int) -> None:
    store = path.with_name("a-store")
    if not store.exists():
        _store(store, 2)
    save_figure(inspect_store(store, poses=3 * version)[1], path)


def _weights(path: Path, version: int) -> None:
    pp.load("mdn").save_pretrained(path, {"version": version})


Write = Callable[[Path, int], None]
FILES: dict[str, Write] = {
    "poses.parquet": lambda path, version: _result(version).save(path),
    "poses.npz": lambda path, version: _result(version).save(path),
    "poses.json": lambda path, version: _result(version).save(path, samples=True),
    "clip.bvh": lambda path, version: _rotations(version)[:1].save(path, fps=20.0 * version),
    "clip.glb": lambda path, version: _rotations(version)[:1].save(path, fps=20.0 * version),
    "clip.npz": lambda path, version: _rotations(version)[:1].save(path, fps=20.0 * version),
    "page.html": _html,
    "summary.png": _summary,
    "summary.svg": _summary,
    "sheet.png": _sheet,
    "film.mp4": _film,
    "film.gif": _film,
    "store.png": _store_picture,
    "observations.parquet": lambda path, version: save_observations(_observations(20 * version), path),
    "labels.parquet": lambda path, version: save_labels(_labels(50 * version), path),
    "labels.csv": lambda path, version: write_csv(_labels(50 * version), path),
    "labels.json": lambda path, version: write_published(_labels(50 * version), path),
    "keypoints.json": _heatmap_keypoints,
    "keypoints.npz": _heatmap_keypoints,
    "clicks.json": _clicks,
    "scores.parquet": _pose_scores,
    "prior.csv": _prior_scores,
    "bench.json": _bench,
}
FOLDERS: dict[str, Write] = {
    "weights": _weights,
    "store": lambda path, version: _store(path, version, overwrite=True),
    "grown": lambda path, version: _store(path, version, append=True),
}
WRITERS = FILES | FOLDERS
#: Those that make the folder of what they write.
MAKE_FOLDERS = ("store.png", "observations.parquet", *FOLDERS)
#: Those whose writing in the middle is not in our process: what is killed there is the encoder.
ENCODED = ("film.mp4",)


@pytest.fixture(autouse=True)
def _scratch(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PYTEST_FAULTS", str(tmp_path_factory.getbasetemp()))


#: Writers that take seconds: in the ordinary suite they meet the first two faults only.
SLOW = ("page.html", "summary.png", "summary.svg", "sheet.png", "film.mp4", "film.gif", "store.png")
OFTEN = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in WRITERS]


@pytest.fixture
def writer(request, tmp_path) -> tuple[Write, Path]:
    """A writer, and the place where it has written already."""
    write, path = WRITERS[request.param], tmp_path / "out" / request.param
    path.parent.mkdir()
    write(path, 1)
    return write, path


def _finishes(write: Write, path: Path, others: list[str]) -> None:
    """The next run writes, and leaves nothing but what it writes."""
    assert injection.in_child(lambda: write(path, 2)) == "done"
    assert sorted(os.listdir(path.parent)) == others


# -- the faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", WRITERS, indirect=True)
def test_killed_in_the_middle_of_a_write(writer):
    write, path = writer
    old, there, size = injection.content(path), sorted(os.listdir(path.parent)), injection.largest(path)

    def act() -> None:
        if path.name in ENCODED:
            from poseterior.view import film

            film.FilmPage.picture = lambda *_: injection.die()  # type: ignore[assignment, method-assign]
        else:
            injection.die_above(size // 2)
        write(path, 2)

    assert injection.in_child(act).startswith("killed by signal")
    assert injection.content(path) == old
    _finishes(write, path, there)


@pytest.mark.parametrize("writer", OFTEN, indirect=True)
def test_killed_before_the_rename(writer):
    write, path = writer
    old, there = injection.content(path), sorted(os.listdir(path.parent))

    def act() -> None:
        injection.die_before_the_rename()
        write(path, 2)

    assert injection.in_child(act) == "killed by signal 9"
    assert injection.content(path) == old
    assert sorted(os.listdir(path.parent)) != there, "nothing was being written"
    _finishes(write, path, there)


@pytest.mark.parametrize("writer", WRITERS, indirect=True)
def test_full_disk(writer):
    _fill(*writer, 0.5)


@pytest.mark.parametrize("share", [0.0, 0.95])
@pytest.mark.parametrize("writer", OFTEN, indirect=True)
def test_full_disk_at_once_and_late(writer, share):
    _fill(*writer, share)


def _fill(write: Write, path: Path, share: float) -> None:
    old, there, size = injection.content(path), sorted(os.listdir(path.parent)), injection.largest(path)

    def act() -> None:
        injection.no_file_above(int(share * size))
        write(path, 2)

    told = injection.in_child(act)
    assert told.startswith("InputError: "), told
    assert f"{path}: cannot be written (" in told
    assert injection.content(path) == old
    assert sorted(os.listdir(path.parent)) == there


@pytest.mark.parametrize("writer", OFTEN, indirect=True)
def test_two_writers_at_once(writer):
    """Both begin at once; whole is what the later one wrote. A store is not replaced by who did not see it."""
    write, path = writer
    there, pids = sorted(os.listdir(path.parent)), []
    reader, sender = os.pipe()
    for version in (1, 2):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(sender)
                os.read(reader, 1)  # until the parent lets all go at once
                write(path, version)
                status = 0
            except pp.InputError as error:
                status = 0 if "by another run meanwhile" in str(error) or "in the store already" in str(error) else 2
            finally:
                os._exit(status)
        pids.append(pid)
    os.close(reader)
    os.close(sender)
    assert [injection._waited(pid, 120) for pid in pids] == [0, 0]
    assert sorted(os.listdir(path.parent)) == there
    _readable(path)


def _readable(path: Path) -> None:
    """The file is whole, as far as its own reader can tell."""
    if path.is_dir():
        pp.load(str(path)) if path.name == "weights" else PoseStore(path).load()
    elif path.suffix == ".parquet":
        import pyarrow.parquet as pq

        assert len(pq.read_table(path)) > 0
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            assert all(arrays[name].size >= 0 for name in arrays.files)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix in (".png", ".gif"):
        from PIL import Image

        with Image.open(path) as image:
            image.load()
    else:
        assert path.stat().st_size > 0


@pytest.mark.parametrize("writer", OFTEN, indirect=True)
def test_read_only_folder(writer):
    write, path = writer
    old, there = injection.content(path), sorted(os.listdir(path.parent))

    def act() -> None:
        injection.become_nobody()
        write(path, 2)

    with injection.read_only(path.parent):
        told = injection.in_child(act)
    assert told.startswith("InputError: "), told
    assert str(path.parent) in told
    assert injection.content(path) == old
    assert sorted(os.listdir(path.parent)) == there


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_the_place_of_the_file(name, tmp_path):
    path = tmp_path / name
    path.mkdir()
    (path / "precious").write_text("x")
    with pytest.raises(pp.InputError, match="is a folder; give the name of a file"):
        FILES[name](path, 1)
    assert (path / "precious").read_text() == "x"
    assert [file for file in os.listdir(tmp_path) if file.startswith(".")] == []


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_in_the_place_of_the_folder(name, tmp_path):
    path = tmp_path / name
    path.write_text("precious")
    with pytest.raises(pp.InputError, match=str(path)):
        FOLDERS[name](path, 1)
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_folder_is_named_or_made(name, tmp_path):
    path = tmp_path / "missing" / name
    if name in MAKE_FOLDERS:
        WRITERS[name](path, 1)
        _readable(path)
        return
    with pytest.raises(pp.InputError, match=f"{path}: the folder {path.parent} does not exist; make it first"):
        WRITERS[name](path, 1)
    assert not path.parent.exists()


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_in_the_place_of_the_parent(name, tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(pp.InputError, match=str(tmp_path / "file")):
        WRITERS[name](tmp_path / "file" / name, 1)
    assert (tmp_path / "file").read_text() == "precious"
