"""`poseterior lift` of clips: who, when, and at how many frames per second."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from poseterior.cli import main
from poseterior.data.mocap.bvh import read_bvh
from poseterior.results.poses import load_result

BODY = np.array(
    [[320, 90], [327, 83], [313, 83], [336, 88], [304, 88], [362, 140], [278, 141], [380, 200], [262, 200],
     [386, 255], [256, 252], [345, 255], [297, 256], [350, 335], [292, 336], [352, 415], [288, 416]],
    dtype=float,
)  # fmt: skip


def person(frame: object, shift: float, **more: object) -> dict:
    keypoints = np.concatenate([np.add(BODY, [shift, 0]), np.full((17, 1), 0.9)], 1).reshape(-1).tolist()
    return {"image_id": frame, "category_id": 1, "keypoints": keypoints, "score": 1.0, **more}


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main(["lift", *map(str, arguments), "--samples", "6"])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture
def clip(tmp_path) -> Path:
    """Two people in changing order; frames 3, 4 and 7 are of nobody."""
    path = tmp_path / "clip.json"
    entries = []
    for frame in (0, 1, 2, 5, 6, 8):
        pair = [person(f"{frame}.jpg", frame), person(f"{frame}.jpg", 400 + frame)]
        entries += pair if frame % 2 else pair[::-1]
    path.write_text(json.dumps(entries))
    return path


@pytest.mark.parametrize("whole", ["auto", "off"])
def test_a_clip_says_who_is_in_it_and_lasts_as_long(capsys, caplog, clip, tmp_path, whole):
    code, text, _ = run(capsys, clip, "--out", tmp_path / "m.bvh", "--clip", whole)
    assert code == 0
    assert text.startswith(f"{clip}: 6 frames (0 to 8), 2 people; the longest track is person 0, of 6 frames\n")
    assert "30 frames a second is assumed: pass --fps\n" in text
    assert [len(read_bvh(tmp_path / f"m-{number}.bvh")) for number in (1, 2)] == [9, 9]
    assert ("filled: 3 frames (3, 4, 7) in which nobody was seen\n" in text) == (whole == "auto")
    bridged = f"{tmp_path / 'm.bvh'}: 2 gaps in time: 2 bridged (frames 3 to 4, 7)"
    assert [record.getMessage() for record in caplog.records] == ([] if whole == "auto" else [bridged])


def test_a_result_keeps_the_rate_that_was_told(capsys, clip, tmp_path):
    """So that its angles and motions have the times of the clip."""
    for name in ("r.parquet", "r.npz", "r.json"):
        more = ["--json-samples"] if name == "r.json" else []
        assert run(capsys, clip, "--fps", 50, *more, "--out", tmp_path / name)[0] == 0
        assert load_result(tmp_path / name).fps == 50.0
        assert main(["angles", str(tmp_path / name), "--out", str(tmp_path / "a.csv")]) == 0
        assert "assumed" not in capsys.readouterr().out
        last = (tmp_path / "a.csv").read_text().splitlines()[-1].split(",")
        assert float(last[3]) == pytest.approx(8 / 50)


def test_one_person_and_no_gaps(capsys, clip, tmp_path):
    code, text, _ = run(
        capsys, clip, "--person", 1, "--fps", 60, "--max-gap", 0.02, "--out", tmp_path / "m.bvh",
        "--motion", tmp_path / "n.npz",
    )  # fmt: skip
    assert code == 0
    assert "assumed: pass --fps" not in text
    assert sorted(path.name for path in tmp_path.glob("m*.bvh")) == ["m-1.bvh", "m-2.bvh", "m-3.bvh"]
    assert [len(read_bvh(tmp_path / f"m-{number}.bvh")) for number in (1, 2, 3)] == [3, 2, 1]
    with np.load(tmp_path / "n-2.npz", allow_pickle=False) as archive:
        assert archive["frame"].tolist() == [5, 6]
        assert float(archive["mocap_framerate"]) == 60


def test_tracks_off_and_people_of_results(capsys, clip, tmp_path):
    for tracks, steps in (("auto", [1, 1, 3, 1, 2]), ("off", None)):
        code, _, _ = run(capsys, clip, "--tracks", tracks, "--clip", "off", "--out", tmp_path / "r.npz")
        assert code == 0
        result = load_result(tmp_path / "r.npz")
        x = np.diff(result.keypoints[result.person == 0][:, 1, 0]).round()
        assert (x.tolist() == steps) == (steps is not None)
        assert result.frame.tolist() == [frame for frame in (0, 1, 2, 5, 6, 8) for _ in range(2)]


def test_the_rate_of_a_file_reaches_its_motion(capsys, tmp_path):
    path = tmp_path / "clip.json"
    frames = [(BODY + i).tolist() for i in range(4)]
    path.write_text(json.dumps({"skeleton": "coco17", "keypoints": frames, "fps": 24, "image_size": [640, 480]}))
    code, text, _ = run(capsys, path, "--out", tmp_path / "r.parquet", "--motion", tmp_path / "m.bvh")
    assert code == 0
    assert "assumed: pass --fps" not in text
    assert round(read_bvh(tmp_path / "m.bvh").fps, 3) == 24
    assert load_result(tmp_path / "r.parquet").fps == 24
    assert main(["ik", str(tmp_path / "r.parquet"), "--out", str(tmp_path / "k.bvh"), "--samples", "4"]) == 0
    assert "assumed: pass --fps" not in capsys.readouterr().out
    assert round(read_bvh(tmp_path / "k.bvh").fps, 3) == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-gap", "-1"], "--max-gap: expected seconds, 0 or more, got -1"),
        (["--max-gap", "nan"], "--max-gap: expected seconds, 0 or more, got nan"),
        (["--fps", "0"], "--fps: expected a positive number, got 0"),
        (["--person", "9"], "--person 9: no such person; there are: 0 (6 frames), 1 (6 frames)"),
    ],
)
def test_refused(capsys, clip, tmp_path, options, message):
    code, _, err = run(capsys, clip, *options, "--out", tmp_path / "m.bvh")
    assert (code, err) == (2, f"poseterior: error: {message}\n")
