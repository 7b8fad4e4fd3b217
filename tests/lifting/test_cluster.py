"""A cluster of two processes: the bytes of one machine, whatever dies on the way."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

import poseterior as pp
from poseterior.cli import main
from poseterior.files.places import place_of, stored_files
from poseterior.keypoints.writing import write_keypoints
from poseterior.lifting import cluster
from poseterior.lifting.blocks import Job, blocks_to_do, record_of
from poseterior.lifting.cluster import ATTEMPTS, RayLifter, lift_by_ray
from poseterior.lifting.stream import How
from poseterior.results.parts import RECORD, Record

pytest.importorskip("pyarrow")
ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

FILES, FRAMES, SAMPLES = 4, 70, 3
COMMAND = ["--clip", "off", "--samples", str(SAMPLES), "--engine", "ray", "--workers", "2", "--out", "poses"]


@pytest.fixture(scope="module", autouse=True)
def two_processes():
    """Ray on this machine, with room for two workers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray.init(num_cpus=2, logging_level="ERROR", log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def lifter():
    return pp.load("mdn")


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("clips").mkdir()
    one = pp.example_keypoints().as_skeleton("h36m17")[2].xy.numpy()
    for number in range(FILES):
        noise = np.random.default_rng(number).normal(0, 2, (FRAMES, 17, 2))
        ids = [("", frame, 0) for frame in range(FRAMES)]
        write_keypoints(pp.Keypoints2D(one + noise, image_size=(640, 480), ids=ids), f"clips/walk{number}.jsonl")
    return Path("clips")


def alone(number):
    """The file of a clip as one machine writes it."""
    path = Path(f"alone{number}.parquet")
    command = ["lift", f"clips/walk{number}.jsonl", "--clip", "off", "--samples", str(SAMPLES), "--out", str(path)]
    assert main(command) == 0
    return path.read_bytes()


def part(number):
    (path,) = Path("poses").glob(f"walk{number}-*.parquet")
    return path


def test_the_same_bytes_as_one_machine(clips, capsys):
    assert main(["lift", "clips", *COMMAND]) == 0
    assert "wrote poses: 4 parts" in capsys.readouterr().out
    for number in range(FILES):
        assert part(number).read_bytes() == alone(number)
    assert len(pp.load_result("poses")) == FILES * FRAMES
    # what is done is not done again
    times = {path: path.stat().st_mtime_ns for path in Path("poses").glob("*.parquet")}
    gone = part(2)
    gone.unlink()
    assert main(["lift", "clips", *COMMAND, "--resume"]) == 0
    assert "goes on after 3 of 4 parts" in capsys.readouterr().out
    assert gone.read_bytes() == alone(2)
    assert [path for path in times if path.stat().st_mtime_ns != times[path]] == [gone]
    assert main(["lift", "clips", *COMMAND, "--resume"]) == 0
    assert "lifted 0 poses to 0 parts" in capsys.readouterr().out
    assert main(["lift", "clips/walk1.jsonl", *COMMAND, "--resume"]) != 0
    assert "holds parts of 3 files that are not given now, clips/walk0.jsonl for one" in capsys.readouterr().err
    assert main(["lift", "clips", *COMMAND, "--resume", "--seed", "1"]) != 0
    assert "was begun by another run (seed 0, not 1)" in capsys.readouterr().err
    assert main(["lift", "clips", *COMMAND]) != 0
    assert "holds the parts of an earlier run; go on with it by --resume" in capsys.readouterr().err


def test_a_file_that_cannot_be_lifted(clips, capsys):
    """The others are; it is named; when it is mended the run goes on."""
    good = Path("clips/walk1.jsonl").read_bytes()
    Path("clips/walk1.jsonl").write_bytes(good[: len(good) // 2])
    assert main(["lift", "clips/*.jsonl", *COMMAND]) != 0
    said = capsys.readouterr().err
    assert "1 file of 4 could not be lifted, the others are in poses: clips/walk1.jsonl" in said
    assert said.rstrip().endswith("mend or leave out, and go on with --resume")
    assert len(list(Path("poses").glob("*.parquet"))) == 3
    assert main(["angles", "poses"]) != 0
    assert "poses: 1 of 4 parts are not there" in capsys.readouterr().err
    Path("clips/walk1.jsonl").write_bytes(good)
    assert main(["lift", "clips/*.jsonl", *COMMAND, "--resume"]) == 0
    assert part(1).read_bytes() == alone(1)


def test_from_and_to_the_memory_of_this_process(clips, capsys):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.store.clear()
    for number in range(2):
        system.pipe_file(f"/clips/walk{number}.jsonl", Path(f"clips/walk{number}.jsonl").read_bytes())
    command = ["lift", "memory://clips/*.jsonl", *COMMAND[:-1], "memory://poses"]
    assert main(command) == 0
    assert "wrote memory://poses: 2 parts" in capsys.readouterr().out
    record = Record.of(system.cat_file(f"/poses/{RECORD}"))
    Path("back").mkdir()
    for name in (RECORD, *record.parts):
        Path("back", name).write_bytes(system.cat_file(f"/poses/{name}"))
    found = pp.load_result("back")
    whole = pp.lift(pp.load("mdn"), pp.read_keypoints("clips/walk1.jsonl"), SAMPLES)
    assert found.file[FRAMES:].tolist() == ["memory://clips/walk1.jsonl"] * FRAMES
    np.testing.assert_array_equal(found.samples[FRAMES:], whole.samples)


def prepared_blocks(lifter):
    job = Job(place_of("poses"), How(SAMPLES))
    files = stored_files([Path("clips")], (".jsonl",))
    record = record_of(job, lifter, files)
    Path("poses").mkdir()
    return job, list(blocks_to_do(record, files, None, ()))


def test_a_worker_that_is_killed(clips, lifter, tmp_path):
    """Its block is lifted by another."""
    killed = str(tmp_path / "killed")

    class KilledOnce(RayLifter):
        def lift(self, block):
            if "walk2" in block.part and not os.path.exists(killed):
                Path(killed).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().lift(block)

    job, blocks = prepared_blocks(lifter)
    seen = []
    found = lift_by_ray(lifter, job, blocks, 2, seen.append, KilledOnce)
    assert os.path.exists(killed)
    assert found == seen
    assert sorted((one.part, one.poses, one.failure) for one in found) == [(b.part, FRAMES, "") for b in blocks]
    for number in range(FILES):
        assert part(number).read_bytes() == alone(number)


@pytest.mark.slow
def test_a_block_that_kills_every_worker(clips, lifter):
    """It is given up, and all others are lifted."""

    class Killed(RayLifter):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            whole = self._lift

            def lift(block):
                if "walk2" in block.part:
                    os.kill(os.getpid(), signal.SIGKILL)
                return whole(block)

            self._lift = lift

    job, blocks = prepared_blocks(lifter)
    found = lift_by_ray(lifter, job, blocks, 2, actor=Killed)
    (failed,) = [one for one in found if one.failure]
    assert failed.failure.startswith(f"clips/walk2.jsonl: its worker ended {ATTEMPTS} times while it was lifted")
    assert len(list(Path("poses").glob("*.parquet"))) == FILES - 1


def test_parts_that_this_machine_does_not_see(clips, capsys, monkeypatch):
    """Workers that wrote to disks of their own."""

    def elsewhere(lifter, job, blocks, workers, done):
        return [done(cluster.Outcome(block.part, block.source.name, 1)) for block in blocks]

    monkeypatch.setattr(cluster, "lift_by_ray", elsewhere)
    assert main(["lift", "clips", *COMMAND]) != 0
    said = " ".join(capsys.readouterr().err.split())
    assert "4 of 4 parts that workers wrote are not there" in said
    assert "give a folder that all machines see, or an address (s3://...)" in said
