"""A folder of parts is one result for everything that reads results, or says what it lacks."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import poseterior as pp
from poseterior.cli import main
from poseterior.evaluation.peers import content_hash, load_results
from poseterior.files import mapped
from poseterior.files.errors import InputError
from poseterior.results import containers
from poseterior.results.parts import RECORD, InputParts, Record, are_parts
from results.test_results import make_result

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def folder_of(path: Path, results: list) -> Path:
    path.mkdir()
    names = [f"clip-{number:05d}-of-{len(results):05d}.parquet" for number in range(1, len(results) + 1)]
    for name, result in zip(names, results, strict=True):
        result.save(path / name)
    (path / RECORD).write_text(Record({"seed": 0}, (InputParts("clip.json", 9, "v", tuple(names)),)).text())
    return path


def same(found, whole):
    assert len(found) == len(whole)
    for name in (*containers_arrays(whole), "file"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name), err_msg=name)


def containers_arrays(result):
    return [name for name, value in result.fields().items() if isinstance(value, np.ndarray) and name != "file"]


@pytest.mark.parametrize("limit", [512 << 20, 0])
def test_parts_are_one_result(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(containers, "LARGE", limit)
    whole = make_result()
    cut = len(whole) // 2
    folder = folder_of(tmp_path / "poses", [whole[:cut], whole[cut:], whole[:0]])
    assert are_parts(folder)
    found = pp.load_result(folder)
    same(found, whole)
    assert found.settings == whole.settings
    assert mapped.is_mapped(found.samples) == (limit == 0)


def test_parts_without_a_pose(tmp_path):
    assert len(pp.load_result(folder_of(tmp_path / "poses", [make_result()[:0]]))) == 0


def test_settings_that_differ(tmp_path):
    first = replace(make_result(), settings={"camera": "known", "scale": "unknown", "fps": "25.0"})
    name = str(first.file[0])
    second = replace(first, settings={"camera": "assumed", "scale": "unknown", "fps": "50.0"})
    second = replace(second, file=np.array(["other.json"] * len(second)))
    found = pp.load_result(folder_of(tmp_path / "poses", [first, second]))
    assert found.settings["scale"] == "unknown"
    assert found.settings["camera"] == ("known (clip-00001-of-00002.parquet); assumed (clip-00002-of-00002.parquet)")
    assert (found.rate(name), found.rate("other.json")) == (25.0, 50.0)
    silent = replace(second, settings={})
    found = pp.load_result(folder_of(tmp_path / "half", [first, silent]))
    assert (found.rate(name), found.rate("other.json")) == (25.0, None)


def test_parts_of_different_results(tmp_path):
    one = make_result()
    folder = folder_of(tmp_path / "poses", [one, replace(one, seed=5)])
    with pytest.raises(
        InputError, match=r"clip-00002-of-00002\.parquet: seed: '?5'?, but clip-00001-of-00002.parquet has"
    ):
        pp.load_result(folder)
    other = folder_of(tmp_path / "columns", [one, one])
    pq.write_table(pq.read_table(other / "clip-00002-of-00002.parquet").drop_columns(["root"]), other / "x.parquet")
    (other / "x.parquet").replace(other / "clip-00002-of-00002.parquet")
    with pytest.raises(InputError, match=r"clip-00002-of-00002\.parquet: other columns than clip-00001"):
        pp.load_result(other)


def test_a_part_that_is_not_there(tmp_path):
    folder = folder_of(tmp_path / "poses", [make_result(), make_result()])
    (folder / "clip-00002-of-00002.parquet").unlink()
    message = "poses: 1 of 2 parts are not there, clip-00002-of-00002.parquet for one; go on with the run that makes"
    with pytest.raises(InputError, match=re.escape(message)):
        pp.load_result(folder)


def test_a_part_that_is_damaged(tmp_path):
    folder = folder_of(tmp_path / "poses", [make_result(), make_result()])
    part = folder / "clip-00002-of-00002.parquet"
    part.write_bytes(part.read_bytes()[:200])
    with pytest.raises(InputError, match=r"clip-00002-of-00002\.parquet: not a readable Parquet file"):
        pp.load_result(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "schema: expected 'poseterior.parts/1'"),
        ('{"schema": "poseterior.parts/1", "run": {}}', "expected 'run' and 'files'"),
        ('{"schema": "poseterior.parts/1", "run": {}, "files": [{}]}', "files: entry 0 lacks one of name"),
        (
            json.dumps({
                "schema": "poseterior.parts/1", "run": {},
                "files": [{"name": "a", "size": 1, "version": "", "parts": ["../x.parquet"]}],
            }),
            "files: entry 0 names the part '../x.parquet', which is no name of a Parquet file",
        ),
        ('{"schema": "poseterior.parts/1", "run": {}, "files": []}', "names no parts"),
    ],
)  # fmt: skip
def test_a_record_that_is_wrong(tmp_path, text, message):
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(InputError, match=re.escape(f"{RECORD}: ") + re.escape(message)):
        pp.load_result(tmp_path)


def test_a_folder_without_a_record(tmp_path):
    make_result().save(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=re.escape(f"is a folder without a record of parts ({RECORD}); name one of")):
        pp.load_result(tmp_path)


def test_commands_read_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = pp.lift(pp.load("mdn"), pp.example_keypoints(), 5)
    whole.save("whole.parquet")
    folder_of(tmp_path / "poses", [whole[:2], whole[2:]])
    for result in ("poses", "whole.parquet"):
        assert main(["angles", result, "--fps", "30", "--out", f"{result}.csv"]) == 0
        assert main(["view", result, "--html", f"{result}.html"]) == 0
    assert Path("poses.csv").read_text() == Path("whole.parquet.csv").read_text()
    assert Path("poses.html").stat().st_size > 10_000


def test_folders_are_results_of_a_method(tmp_path):
    whole = pp.lift(pp.load("mdn"), pp.example_keypoints(), 5)
    folder = folder_of(tmp_path / "people", [whole[:2], whole[2:]])
    saved = load_results("ours", folder)
    assert saved.files == {"people": folder}
    keypoints = pp.example_keypoints()
    drawn = saved.for_protocol("people", keypoints)(keypoints).sample((5,))
    np.testing.assert_array_equal(drawn.numpy(), whole.samples.swapaxes(0, 1))
    before = content_hash(saved)
    whole[:1].save(folder / "clip-00002-of-00002.parquet")
    assert content_hash(saved) != before
