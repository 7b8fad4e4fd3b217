"""Parts of a result that are made apart are those of one machine, to the byte, and together its result."""

from __future__ import annotations

import gc
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import poseterior as pp
from poseterior.cli import main
from poseterior.files.errors import InputError
from poseterior.files.places import place_of, stored_files
from poseterior.keypoints.told import Told
from poseterior.keypoints.writing import write_keypoints
from poseterior.lifting import blocks, stream
from poseterior.lifting.blocks import Block, BlockLifter, Job, Reading, blocks_to_do, outdated, record_of
from poseterior.lifting.stream import How
from poseterior.results.parts import RECORD, InputParts, Record

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
SUFFIXES = (".jsonl", ".json", ".parquet")
ROWS = 64


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    monkeypatch.setattr(stream, "group_rows", lambda row_bytes: ROWS)


@pytest.fixture(scope="module")
def lifter():
    return pp.load("mdn")


def walk(name, frames, seed=0, fps=None):
    one = pp.example_keypoints().as_skeleton("h36m17")[2]
    noise = np.random.default_rng(seed).normal(0, 2, (frames, 17, 2))
    found = pp.Keypoints2D(
        one.xy.numpy() + noise, image_size=(640, 480), ids=[(name, frame, 0) for frame in range(frames)]
    )
    found.rates = {} if fps is None else {name: fps}
    return found


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("clips").mkdir()
    for number, (frames, fps) in enumerate([(150, 25.0), (40, 50.0)], 1):
        write_keypoints(walk("", frames, number, fps), f"clips/walk{number}.jsonl")
    return Path("clips")


def job(out="poses", **how):
    return Job(place_of(out), How(**{"samples": 3, **how}))


def lift_all(lifter, done, paths, poses=None, **options):
    files = stored_files([Path(path) for path in paths], SUFFIXES)
    record = record_of(done, lifter, files, poses)
    Path(done.out.address).mkdir(exist_ok=True)
    Path(done.out.address, RECORD).write_text(record.text())
    lift = BlockLifter(lifter, done)
    made = [lift(block).poses for block in blocks_to_do(record, files, None, ())]
    lift.close()
    return record, made


@pytest.mark.parametrize(("samples", "half"), [(3, False), (3, True), (0, False)])
def test_a_part_is_the_file_that_lift_writes(lifter, clips, samples, half):
    record, made = lift_all(lifter, job(samples=samples, half=half), [clips])
    assert made == [150, 40]
    for number, part in enumerate(record.parts, 1):
        command = [
            "lift",
            f"clips/walk{number}.jsonl",
            "--clip",
            "off",
            "--samples",
            str(samples),
            "--out",
            "x.parquet",
        ]
        assert main([*command, *(["--precision", "half"] if half else [])]) == 0
        assert Path("poses", part).read_bytes() == Path("x.parquet").read_bytes()


def test_shares_of_a_long_file_are_its_shards(lifter, clips):
    record, made = lift_all(lifter, job(), ["clips/walk1.jsonl"], poses=50)
    names = [re.sub(r"-[0-9a-f]{8}", "", name) for name in record.parts]
    count = len(names)
    assert count > 3  # more than there are row groups of 64 in 150 poses
    assert names == [f"walk1-{number:05d}-of-{count:05d}.parquet" for number in range(1, count + 1)]
    assert made == [64, 64, 22] + [0] * (count - 3)
    for number in (1, 2, 3):
        command = ["lift", "clips/walk1.jsonl", "--clip", "off", "--samples", "3", "--out", "x.parquet"]
        assert main([*command, "--shard", f"{number}/3"]) == 0
        assert Path("poses", record.parts[number - 1]).read_bytes() == Path("x.parquet").read_bytes()
    whole = pp.lift(lifter, pp.read_keypoints("clips/walk1.jsonl"), 3)
    found = pp.load_result("poses")
    assert found.settings == whole.settings
    for name in ("samples", "mean", "covariance", "pose_radius", "file", "frame"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_a_folder_is_read_as_what_one_machine_lifts(lifter, clips):
    lift_all(lifter, job(), [clips])
    assert main(["lift", "clips/*.jsonl", "--clip", "off", "--samples", "3", "--out", "all.parquet"]) == 0
    whole, found = pp.load_result("all.parquet"), pp.load_result("poses")
    assert found.file.tolist() == whole.file.tolist() == ["clips/walk1.jsonl"] * 150 + ["clips/walk2.jsonl"] * 40
    for name in ("samples", "mean", "region_radius", "log_prob"):
        # 64 poses at a time, which are other ones: products round otherwise
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-5, atol=1e-4, equal_nan=True)
    assert (found.rate("clips/walk1.jsonl"), found.rate("clips/walk2.jsonl")) == (25.0, 50.0)


def test_a_lifter_that_doubts_standard_deviations_doubts_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    doubting = pp.load("supervised")
    loud = walk("", 70)
    loud = loud._replace(covariance=loud.covariance * 0 + 1e-2 * np.eye(2, dtype=np.float32))
    write_keypoints(loud, "loud.jsonl")
    lift_all(doubting, job(samples=2), ["loud.jsonl"], poses=40)
    whole = pp.lift(doubting, pp.read_keypoints("loud.jsonl"), 2)
    found = pp.load_result("poses")
    assert "noise" in found.settings
    assert found.settings == whole.settings
    np.testing.assert_array_equal(found.samples, whole.samples)


def test_files_that_are_read_whole(lifter, clips):
    """A short JSON file; and what is told of the pictures."""
    write_keypoints(walk("", 5), "short.json")
    told = Told(height=1.8, fps=10.0)
    lift_all(lifter, replace(job(), told=told), ["short.json"])
    command = ["lift", "short.json", "--clip", "off", "--samples", "3", "--height", "1.8", "--fps", "10"]
    assert main([*command, "--out", "x.parquet"]) == 0
    (part,) = Path("poses").glob("*.parquet")
    assert part.read_bytes() == Path("x.parquet").read_bytes()


def test_from_and_to_storage_elsewhere(lifter, clips):
    """Under the names of the files there; the same numbers as of the files here."""
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.pipe_file("/far/walk2.jsonl", Path("clips/walk2.jsonl").read_bytes())
    (file,) = stored_files([Path("memory://far/*.jsonl")], SUFFIXES)
    far = Job(place_of("memory://poses"), How(3))
    (block,) = blocks_to_do(record_of(far, lifter, [file]), [file], None, ())
    lifted = BlockLifter(lifter, far)(block)
    assert lifted.poses == 40
    Path("x.parquet").write_bytes(lifted.content)
    found, whole = pp.load_result("x.parquet"), pp.lift(lifter, pp.read_keypoints("clips/walk2.jsonl"), 3)
    assert set(found.file) == {"memory://far/walk2.jsonl"}
    assert found.rate("memory://far/walk2.jsonl") == 50.0
    np.testing.assert_array_equal(found.samples, whole.samples)


def test_a_copy_that_cannot_be_read_is_named_as_the_file(lifter, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe_file("/far/bad.json", b"{")
    (file,) = stored_files([Path("memory://far/bad.json")], SUFFIXES)
    block = replace(Block(file, "x.parquet"), content=b"{")
    with pytest.raises(InputError, match=r"^memory://far/bad\.json: ") as raised:
        BlockLifter(lifter, job(tmp_path))(block)
    assert "poseterior-blocks" not in str(raised.value)


def test_what_was_kept_is_removed(lifter, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "_scratch", lambda: tmp_path / "scratch")
    lift_all(lifter, job(), [clips])
    assert list((tmp_path / "scratch").iterdir()) == []
    assert sorted(path.suffix for path in Path("poses").iterdir()) == [".json", ".parquet", ".parquet"]
    lift = BlockLifter(lifter, job())
    lift(Block(place_of("clips/walk2.jsonl"), "again.parquet"))
    assert len(list((tmp_path / "scratch").iterdir())) == 1
    del lift  # as when a worker ends
    gc.collect()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_is_still_to_be_done():
    files = [replace(stored, name=stored.name) for stored in (_stored("a.json", 1), _stored("b.json", 1))]
    record = Record({}, tuple(InputParts(f.name, f.size, f.version, (f.name[0] + ".parquet",)) for f in files))
    parts = lambda earlier, there: [b.part for b in blocks_to_do(record, files, earlier, there)]  # noqa: E731
    assert parts(None, {"a.parquet"}) == ["a.parquet", "b.parquet"]
    assert parts(record, {"a.parquet"}) == ["b.parquet"]
    changed = Record({}, (replace(record.files[0], version="older"), record.files[1]))
    assert parts(changed, {"a.parquet", "b.parquet"}) == ["a.parquet"]
    # what is there of a file that was another is not taken for what comes of it
    assert outdated(record, changed, {"a.parquet", "b.parquet"}) == {"a.parquet"}
    assert outdated(record, record, {"a.parquet"}) == set()
    longer = Record({}, (replace(record.files[0], parts=("a1.parquet", "a2.parquet")), record.files[1]))
    assert outdated(record, longer, {"a1.parquet", "b.parquet"}) == {"a1.parquet"}
    more = Record({}, (*record.files, InputParts("c.json", 1, "v", ("c.parquet",))))
    assert outdated(record, more, {"a.parquet"}) == set()
    with pytest.raises(InputError, match=r"holds parts of 1 files that are not given now, c\.json for one"):
        outdated(record, more, {"c.parquet"})


def _stored(name, size):
    from poseterior.files.places import Stored

    return Stored(name, f"/{name}", size, "v")


def test_parts_are_as_large_as_is_said(lifter):
    few, many = blocks.poses_of_part(How(200)), blocks.poses_of_part(How(0))
    assert few == 6271
    assert many == 131_072
    record = record_of(job(samples=200), lifter, [_stored("a/x y.parquet", 100 * 3 * few)])
    assert [re.sub(r"-[0-9a-f]{8}-", "-", part) for part in record.parts] == [
        f"x_y-0000{number}-of-00003.parquet" for number in (1, 2, 3)
    ]
    one, other = record_of(job(), lifter, [_stored("a/x.json", 1), _stored("b/x.json", 1)]).parts
    assert one != other


def test_a_run_is_told_from_another(lifter):
    run = job().run(lifter)
    assert run == job().run(lifter)
    others = (
        job(seed=1),
        job(samples=4),
        replace(job(), reading=Reading(person=1)),
        replace(job(), told=Told(height=2)),
    )
    for other in others:
        assert other.run(lifter) != run
    assert job(device="cuda").run(lifter) == run


@pytest.mark.parametrize("given", ["tables", "tables/*.parquet"])
def test_one_machine_lifts_folders_and_patterns_of_parquet(lifter, tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    Path("tables").mkdir()
    walks = {f"tables/walk{number}.parquet": walk("", 12, number) for number in (1, 2, 10)}
    for name, keypoints in walks.items():
        columns = {"frame": np.arange(12)}
        for number, joint in enumerate(keypoints.skeleton.joints):
            columns |= {f"{joint}_{axis}": keypoints.xy[:, number, place] for place, axis in enumerate("xy")}
        pq.write_table(pa.table({key: np.asarray(value) for key, value in columns.items()}), name)
    assert main(["lift", given, "--clip", "off", "--samples", "3", "--out", "x.parquet"]) == 0
    found = pp.load_result("x.parquet")
    assert list(dict.fromkeys(found.file.tolist())) == list(walks)
    whole = pp.lift(lifter, pp.read_keypoints(list(walks)), 3)
    np.testing.assert_array_equal(found.samples, whole.samples)
