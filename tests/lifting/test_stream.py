"""What is lifted in parts is what is lifted at once, to the byte; and a run that is killed goes on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import poseterior as pp
from killing import ONE_THREAD, killed_after_a_piece
from poseterior.cli import main
from poseterior.files import mapped
from poseterior.files.errors import InputError
from poseterior.files.row_groups import part_paths
from poseterior.lifting import draws, stream
from poseterior.lifting.stream import How, fingerprint, lift_to_file, prepared, shard_rows
from poseterior.results import containers, growing
from poseterior.results.growing import GrowingCsv, GrowingNpz, GrowingResult
from poseterior.results.poses import load_result

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

POSES = 150
ROWS = 64


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    for module in (containers, growing, stream):
        if hasattr(module, "group_rows"):
            monkeypatch.setattr(module, "group_rows", lambda row_bytes: ROWS)


@pytest.fixture(scope="module")
def lifter():
    return pp.load("mdn")


@pytest.fixture(scope="module")
def keypoints():
    one = pp.example_keypoints().as_skeleton("h36m17")[2]
    rng = np.random.default_rng(0)
    ids = [("walk.json", i, 0) for i in range(POSES)]
    noisy = one.xy.numpy() + rng.normal(0, 2, (POSES, 17, 2))
    found = pp.Keypoints2D(noisy, image_size=(640, 480), intrinsics=(600, 600, 320, 240), ids=ids)
    found.rates = {"walk.json": 25.0}
    return found


def pieces(keypoints, size=40):
    return (keypoints[slice(start, start + size)] for start in range(0, len(keypoints), size))


def streamed(lifter, keypoints, path, how, make=None, **options):
    with prepared(lifter, pieces(keypoints), path) as ready:
        opened = make or (lambda: GrowingResult(path, fingerprint(lifter, ready, how), half=how.half))
        return lift_to_file(lifter, ready, how, opened, **options)


@pytest.mark.parametrize("samples", [0, 3])
@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".csv"])
@pytest.mark.parametrize("half", [False, True])
def test_the_same_bytes_as_at_once(lifter, keypoints, tmp_path, samples, suffix, half):
    if half and (suffix == ".csv" or not samples):
        pytest.skip("no samples to halve")
    how = How(samples, seed=3, half=half)
    at_once, path = tmp_path / f"whole{suffix}", tmp_path / f"x{suffix}"
    pp.lift(lifter, keypoints, samples, seed=3).save(at_once, half=half)
    make = {".parquet": None, ".npz": lambda: GrowingNpz(path, half), ".csv": lambda: GrowingCsv(path, 25.0)}[suffix]
    about = streamed(lifter, keypoints, path, how, make)
    assert path.read_bytes() == at_once.read_bytes()
    assert len(about) == 3
    assert sorted(one.name for one in tmp_path.iterdir()) == [at_once.name, path.name]


def test_tables_of_several_people_who_come_together(lifter, keypoints, tmp_path):
    """People are a clip each, one behind the other, though their frames come together."""
    ids = [("walk.json", row // 2, row % 2) for row in range(POSES)]
    keypoints = keypoints._replace(ids=[pp.PoseId(*one) for one in ids])
    keypoints.rates = {"walk.json": 25.0}
    streamed(lifter, keypoints, tmp_path / "a.csv", How(0), lambda: GrowingCsv(tmp_path / "a.csv", 25.0))
    pp.lift(lifter, keypoints, 0).save(tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_a_lifter_that_doubts_standard_deviations(keypoints, tmp_path):
    flow = pp.load("flow")
    loud = keypoints._replace(covariance=keypoints.covariance * 0 + 1e-2 * np.eye(2, dtype=np.float32))[:70]
    pp.lift(flow, loud, 2).save(tmp_path / "whole.parquet")
    streamed(flow, loud, tmp_path / "x.parquet", How(2))
    assert (tmp_path / "x.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_goes_on_after_a_failure(lifter, keypoints, tmp_path):
    path, how = tmp_path / "x.parquet", How(2)
    streamed(lifter, keypoints, tmp_path / "whole.parquet", how)

    def fail(done, total):
        if done >= 2 * ROWS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        streamed(lifter, keypoints, path, how, done=fail)
    assert not path.exists()
    seen = []
    with prepared(lifter, pieces(keypoints), path) as ready:
        run = fingerprint(lifter, ready, how)
        lift_to_file(lifter, ready, how, lambda: GrowingResult(path, run, True), done=lambda n, _: seen.append(n))
    assert seen == [2 * ROWS, POSES]
    assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_does_not_go_on_with_other_keypoints(lifter, keypoints, tmp_path):
    path, how = tmp_path / "x.parquet", How(0)
    with prepared(lifter, pieces(keypoints), path) as ready:
        GrowingResult(path, fingerprint(lifter, ready, how)).close()
    with (
        prepared(lifter, pieces(keypoints[1:]), path) as ready,
        pytest.raises(InputError, match=r"was begun by another run \(keypoints "),
    ):
        GrowingResult(path, fingerprint(lifter, ready, how), True)


def test_shards_joined_are_the_whole(lifter, keypoints, tmp_path):
    how = How(2)
    streamed(lifter, keypoints, tmp_path / "whole.parquet", how)
    for i in (1, 2):
        streamed(lifter, keypoints, tmp_path / f"{i}.parquet", how, shard=(i, 2))
    joined = pa.concat_tables([pq.read_table(tmp_path / f"{i}.parquet") for i in (1, 2)])
    assert joined.equals(pq.read_table(tmp_path / "whole.parquet"))


def test_shards_cover_all_rows_once():
    for poses, count in ((1, 1), (64, 1), (65, 2), (1000, 7), (1000, 16)):
        ends = [shard_rows(poses, 64, (i, count)) for i in range(1, count + 1)]
        assert [start for start, _ in ends] == [0, *[end for _, end in ends[:-1]]]
        assert ends[-1][1] == poses
        assert all(end > start for start, end in ends)
    with pytest.raises(InputError, match=r"^shard: 3 shards of 2 row groups of 64 poses; ask for at most 2$"):
        shard_rows(65, 64, (1, 3))


# -- what is kept of samples ---------------------------------------------------------------------------------


def test_summary_alone_is_that_of_any_number_of_samples(lifter, keypoints):
    few, none = pp.lift(lifter, keypoints[:5], 4), pp.lift(lifter, keypoints[:5], 0)
    for name in ("mean", "covariance", "region_center", "region_radius", "pose_radius"):
        np.testing.assert_array_equal(getattr(none, name), getattr(few, name))
    assert none.samples.shape == (5, 0, 17, 3)
    assert none.calibrated
    assert np.isnan(none.heights()[:, 1:]).all()
    assert np.isnan(none.angles().lower).all()


def test_rotations_are_not_told_without_samples():
    with pytest.raises(InputError, match=r"^samples: rotations are told by their samples alone; expected at least 1"):
        draws.check_lift(pp.load("rotations"), 0, 0, 64, 0.9)


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_half_precision_is_as_near_as_it_says(lifter, keypoints, tmp_path, suffix):
    result = pp.lift(lifter, keypoints[:20], 50)
    result.save(tmp_path / f"x{suffix}", half=True)
    result.save(tmp_path / f"full{suffix}")
    found = load_result(tmp_path / f"x{suffix}")
    error = np.abs(found.samples.astype(np.float64) - result.samples)
    near = np.abs(result.samples)
    assert error.max() > 0
    assert error[near < 1].max() <= 0.25e-3
    assert error[near < 2].max() <= 0.5e-3
    assert (error <= near / 2048 + 1e-7).all()
    for name in ("mean", "covariance", "log_prob", "region_radius", "root_covariance"):
        np.testing.assert_array_equal(getattr(found, name), getattr(result, name))
    assert (tmp_path / f"x{suffix}").stat().st_size < 0.75 * (tmp_path / f"full{suffix}").stat().st_size


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
@pytest.mark.parametrize("half", [False, True])
def test_large_results_are_opened_where_they_stand(lifter, keypoints, tmp_path, monkeypatch, suffix, half):
    path = tmp_path / f"x{suffix}"
    pp.lift(lifter, keypoints, 3).save(path, half=half)
    small = load_result(path)
    monkeypatch.setattr(containers, "LARGE", 1000)
    monkeypatch.setattr(containers, "FREE_BYTES", 1000)
    large = load_result(path)
    assert mapped.is_mapped(large.mean)
    assert not mapped.is_mapped(small.mean)
    for name, value in small.fields().items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(large, name), value)
        else:
            assert getattr(large, name) == value
    np.testing.assert_array_equal(large.angles().degrees, small.angles().degrees)
    np.testing.assert_array_equal(large[10:20].heights(), small[10:20].heights())
    with pytest.raises(ValueError, match="read-only"):
        large.mean[0] = 1.0


def test_memory_that_is_not_there_is_refused_before_work(lifter, monkeypatch):
    monkeypatch.setattr(draws, "memory_limit", lambda: 10**9)
    draws.check_memory(lifter, 10_000, 100)
    with pytest.raises(InputError, match=r"^samples: 200 samples of 20000 poses take 3 GB of memory, of 1 GB that"):
        draws.check_memory(lifter, 20_000, 200)
    few = r" take 1,240 GB of memory, of 1 GB that there are; ask for fewer \(0 keeps the summary\)$"
    with pytest.raises(InputError, match=r"^samples: 1999999999 samples of 1 pose" + few):
        draws.check_memory(lifter, 1, 1_999_999_999)
    with pytest.raises(InputError, match=r"^samples: 3999999 samples of 500 poses at a time" + few):
        draws.check_memory(lifter, 500, 3_999_999, growing=True)


def test_samples_of_a_file_that_grows_are_told_from_poses(table, tmp_path, capsys):
    """Writing frame by frame, which is done, is no advice."""
    out = tmp_path / "x.parquet"
    assert main(["lift", str(table), "--clip", "off", "--samples", "99999999999", "--out", str(out)]) == 2
    said = capsys.readouterr().err.removeprefix("poseterior: error: ")
    assert re.fullmatch(
        r"--samples: 99999999999 samples of \d+ poses at a time take [\d,]+ GB of memory, of [\d,]+ GB that there are; "
        r"ask for fewer \(0 keeps the summary\)\n", said,
    )  # fmt: skip
    assert not list(tmp_path.glob("x.*"))


# -- the command ---------------------------------------------------------------------------------------------


@pytest.fixture
def table(keypoints, tmp_path) -> Path:
    columns = {"frame": np.arange(POSES), "person": np.zeros(POSES, int)}
    for j, name in enumerate(keypoints.skeleton.joints):
        columns |= {f"{name}_x": keypoints.xy[:, j, 0].numpy(), f"{name}_y": keypoints.xy[:, j, 1].numpy()}
        columns[f"{name}_score"] = np.full(POSES, 0.9)
    pq.write_table(pa.table(columns), tmp_path / "walk.parquet")
    return tmp_path / "walk.parquet"


def test_command_writes_what_python_does(table, tmp_path, capsys):
    out = tmp_path / "x.parquet"
    assert main(f"lift {table} --image-size 640 480 --samples 2 --clip off --out {out}".split()) == 0
    said = capsys.readouterr().out
    assert f"{table}: 150 frames (0 to 149), 1 person" in said.replace("\n", "")
    assert "150 poses x 2 samples" in said
    assert "poses/s" in said
    whole = pp.lift(pp.load("mdn"), pp.read_keypoints(table, image_size=(640, 480)), 2)
    whole.save(tmp_path / "whole.parquet")
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.slow
def test_workers_write_the_same_bytes(table, tmp_path):
    for name, more in (("one", ""), ("two", "--workers 2")):
        words = f"lift {table} --image-size 640 480 --samples 2 --clip off --out {tmp_path / name}.parquet {more}"
        assert main(words.split()) == 0
    assert (tmp_path / "two.parquet").read_bytes() == (tmp_path / "one.parquet").read_bytes()


def test_a_killed_command_goes_on(keypoints, tmp_path):
    table = tmp_path / "walk.jsonl"
    entry = '{{"skeleton": "h36m17", "image_size": [640, 480], "frame": {}, "keypoints": {}}}\n'
    table.write_text("".join(entry.format(i, (keypoints.xy[i % POSES]).tolist()) for i in range(2500)))
    words = f"lift {table} --samples 0 --clip off --out".split()
    out = tmp_path / "x.parquet"
    part, log = part_paths(out)
    command = [sys.executable, "-m", "poseterior", *words, str(out)]
    killed_after_a_piece(command, log)
    assert not out.exists()
    assert part.exists()
    kept = {one: one.read_bytes() for one in (part, log)}
    rows = sum(json.loads(line)["rows"] for line in kept[log].splitlines(keepends=True)[1:] if line.endswith(b"\n"))
    anew = subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True, check=True)
    assert f"\nbegins anew; --resume would have gone on at pose {rows}\n" in anew.stdout
    out.unlink()
    for one, content in kept.items():
        one.write_bytes(content)
    again = subprocess.run([*command, "--resume"], env=ONE_THREAD, capture_output=True, text=True, check=True)
    assert f"goes on after {rows} of 2500 poses" in again.stdout
    assert "begins anew" not in again.stdout
    for one, content in kept.items():
        one.write_bytes(content)
    other = subprocess.run([*command, "--seed", "7"], env=ONE_THREAD, capture_output=True, text=True, check=True)
    assert "\nbegins anew: what x.parquet.part held is of another run\n" in other.stdout
    subprocess.run(command, env=ONE_THREAD, capture_output=True, check=True)
    unbroken = [*command[:-1], str(tmp_path / "whole.parquet")]
    subprocess.run(unbroken, env=ONE_THREAD, capture_output=True, check=True)
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not [one.name for one in tmp_path.iterdir() if "part" in one.suffixes or one.name.startswith(".")]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--resume --out x.npz", "--resume: is for a result that grows; add --out poses.parquet"),
        ("--workers 2 --samples 0 --out x.parquet", "--workers: share the windows of clips of 3000 frames or more"),
        ("--shard 3/2 --clip off --out x.parquet", "--shard 3/2: expected i/n with i from 1 to n, e.g. 2/8"),
        (
            "--shard 1/1000000000000 --clip off --out x.parquet",
            "--shard 1/1000000000000: has more than 6 digits; there are at most 999999 shards",
        ),
        (
            "--shard 1/999999 --samples 0 --clip off --out x.parquet",
            "--shard: 999999 shards of 3 row groups of 64 poses; ask for at most 3",
        ),
        ("--workers 0 --out x.parquet", "--workers: expected at least 1, got 0"),
        ("--precision half --out x.csv", "--precision half: is for the samples of a .parquet or .npz"),
        ("--workers 2 --clip off --out x.parquet --view x.html", "--workers: --view needs all poses at once"),
    ],
)
def test_options_that_do_not_go_together(table, tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tmp_path)
    assert main(["lift", str(table), *more.split()]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("x.*"))
