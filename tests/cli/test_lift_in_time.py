"""`poseterior lift` of clips: who, when, and at how many frames per second."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import poseterior as pp
from poseterior.cli import main
from poseterior.cli._motion import turned_samples
from poseterior.data.mocap.bvh import read_bvh
from poseterior.keypoints import Keypoints2D
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


def frames_of(*files: str) -> Keypoints2D:
    ids = [(file, frame, 0) for frame, file in enumerate(files)]
    return Keypoints2D(np.zeros((len(ids), 17, 2)), skeleton="h36m17", ids=ids)


@pytest.mark.parametrize(
    ("files", "outputs", "how", "count", "expected"),
    [
        ("aaa", ["m.bvh"], None, 1, 64),
        ("aaa", ["m.bvh", None, "n.GLB"], "path", 2, 128),
        ("aaa", ["m.usdz"], "samples", 3, 3),
        ("aaa", ["m.bvh"], "clusters", 3, 200),
        ("aaa", ["m.bvh"], "mean", 1, 200),
        ("aab", ["m.bvh"], None, 1, 200),  # the mean of the pose that is alone
        ("aab", ["m.bvh"], "path", 1, 64),
        ("aaa", ["m.bvh", "n.npz"], None, 1, 200),
        ("aaa", ["m.bvh", None, "p.png"], None, 1, 200),
        ("aaa", [None], None, 1, 200),
    ],
)
def test_a_motion_of_clips_needs_a_few_samples(files, outputs, how, count, expected):
    paths = [None if name is None else Path(name) for name in outputs]
    assert turned_samples(frames_of(*files), paths, how, count, 200) == expected
    assert turned_samples(frames_of(*files), paths, how, count, 2) == min(expected, 2)


def test_a_motion_is_that_of_all_samples(capsys, tmp_path):
    """Though rotations are drawn of the first 64 alone: of pictures of unknown size, where nobody stands anywhere."""
    frames = [(BODY + 3 * i).tolist() for i in range(3)]
    path = tmp_path / "clip.json"
    path.write_text(json.dumps({"skeleton": "coco17", "keypoints": frames, "fps": 24}))
    options = ["--lifter", "rotations", "--clip", "off", "--samples", "80"]
    assert main(["lift", str(path), *options, "--out", str(tmp_path / "m.bvh")]) == 0
    said = capsys.readouterr().out
    assert "3 poses x 80 samples, lifter rotations" in said
    assert "(calibrated)" in said
    whole = pp.lift(pp.load("rotations"), pp.read_keypoints(path), samples=80)
    whole.motion().save(tmp_path / "n.bvh")
    ours, theirs = (read_bvh(tmp_path / f"{name}.bvh") for name in "mn")
    apart = np.linalg.norm(ours.positions - theirs.positions, axis=-1)  # centimetres
    # Of other numbers of rows products round otherwise, and now and then a flow stretches that.
    assert np.quantile(apart, 0.9) < 0.01
    assert float(np.abs(theirs.positions).max()) > 50
