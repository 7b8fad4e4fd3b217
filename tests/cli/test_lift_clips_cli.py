"""`poseterior lift` of clips, photographs, and both: what is lifted as a whole, what is said, what is written."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_lift_in_time import BODY

import poseterior as pp
from poseterior.cli import main
from poseterior.data.mocap.bvh import read_bvh
from poseterior.distributions.clip_errors import ClipErrors
from poseterior.results.poses import load_result


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of which it was measured how the errors of their frames hang together."""
    lifter = pp.load("mdn")
    lifter.clips = ClipErrors(recalibration=lifter.recalibration)
    folder = tmp_path_factory.mktemp("weights") / "mine"
    lifter.save_pretrained(folder)
    return folder


def document(places: list[np.ndarray], **more: object) -> dict:
    keypoints = [np.concatenate([place, np.full((17, 1), 0.9)], 1).tolist() for place in places]
    frames = keypoints if len(keypoints) > 1 else keypoints[0]
    return {"joints": list(pp.SKELETONS["coco17"].joints), "keypoints": frames, "image_size": [640, 480], **more}


def swaying(count: int) -> list[np.ndarray]:
    noise = np.random.default_rng(0).normal(0, 1.0, (count, 17, 2))
    sway = np.linspace(0, 1, 17)[:, None] * np.array([[20.0, 0.0]])
    return [BODY + np.sin(0.4 * i) * sway + noise[i] for i in range(count)]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "walk.json").write_text(json.dumps(document(swaying(10), fps=30)))
    (folder / "ann.json").write_text(json.dumps(document([BODY + 12])))
    return folder


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main(["lift", *map(str, arguments), "--samples", "40"])
    out = capsys.readouterr()
    return code, " ".join(out.out.split()), " ".join(out.err.split())


def test_clips_are_lifted_as_a_whole_and_photographs_beside_them_alone(capsys, files, measured, tmp_path):
    walk, ann, out = files / "walk.json", files / "ann.json", tmp_path / "both.parquet"
    code, said, _ = run(capsys, walk, ann, "--lifter", measured, "--out", out)
    assert code == 0
    assert f"lifted as one clip: {walk}, person 0, frames 0 to 9: 10 frames at 30 a second" in said
    assert "lifted frame by frame: 1 other pose" in said
    assert "nan" not in said.lower()
    assert "[[" not in said  # what is for programs alone is not shown
    result = load_result(out)
    rows = np.flatnonzero(result.file == str(walk))
    assert np.ptp(result.heights()[rows, 0]) < 1e-4
    assert result.whole(rows)
    assert not result.whole(np.flatnonzero(result.file == str(ann)))
    assert result.calibrated


def test_off_is_frame_by_frame_and_on_takes_any_weights(capsys, files, measured, tmp_path):
    code, said, _ = run(capsys, files / "walk.json", "--lifter", measured, "--clip", "off", "--out", tmp_path / "r.npz")
    assert code == 0
    assert "as one clip" not in said
    assert "clip" not in load_result(tmp_path / "r.npz").settings
    lifter = pp.load("mdn")
    lifter.clips = None
    lifter.save_pretrained(tmp_path / "unmeasured")
    for clip, whole in (("auto", False), ("on", True)):
        code, said, _ = run(
            capsys,
            files / "walk.json",
            "--lifter",
            tmp_path / "unmeasured",
            "--clip",
            clip,
            "--out",
            tmp_path / "s.npz",
        )
        assert code == 0
        assert ("lifted as one clip" in said) == whole
        assert ("typical ones: not measured for this lifter" in said) == whole


def test_unrelated_photographs_are_not_taken_for_a_clip(capsys, measured, tmp_path):
    generator = np.random.default_rng(4)
    names = []
    for i in range(6):
        names.append(tmp_path / f"IMG_{i:04d}.json")
        place = (BODY - 240) * generator.uniform(0.4, 1.0) + generator.uniform(120, 360, 2)
        names[-1].write_text(json.dumps(document([place + generator.normal(0, 25, (17, 2))])))
    code, _, error = run(capsys, *names, "--lifter", measured, "--clip", "on", "--out", tmp_path / "r.npz")
    assert code == 2
    assert "its keypoints move from frame to frame as those of unrelated photographs do" in error
    assert "frame by frame: clip off" in error
    assert not (tmp_path / "r.npz").exists()
    code, said, _ = run(capsys, *names, "--lifter", measured, "--out", tmp_path / "r.npz")
    assert code == 0
    assert "as one clip" not in said


def test_a_folder_knows_of_clips_too(capsys, files, measured, tmp_path):
    code, said, _ = run(capsys, files, "--lifter", measured, "--out", tmp_path / "out")
    assert code == 0
    assert "1 of the clips lifted as a whole (--clip auto)" in said
    assert np.ptp(load_result(tmp_path / "out/walk.parquet").heights()[:, 0]) < 1e-4
    assert "clip" not in load_result(tmp_path / "out/ann.parquet").settings
    code, said, _ = run(capsys, files, "--lifter", measured, "--clip", "off", "--out", tmp_path / "off")
    assert code == 0
    assert "as a whole" not in said
    assert np.ptp(load_result(tmp_path / "off/walk.parquet").heights()[:, 0]) > 1e-4


def test_motions_of_a_clip_are_its_posterior(capsys, files, measured, tmp_path):
    walk = files / "walk.json"
    code, said, _ = run(
        capsys, walk, "--lifter", measured, "--out", tmp_path / "r.parquet", "--motion", tmp_path / "m.bvh"
    )
    assert code == 0
    assert "inverse kinematics of its motions by the lifter 'rotations'" in said
    assert len(read_bvh(tmp_path / "m.bvh")) == 10
    assert main(["ik", str(tmp_path / "r.parquet"), "--samples", "20", "--out", str(tmp_path / "n.bvh")]) == 0
    said = capsys.readouterr().out
    assert "log-density" not in said
    assert "nan" not in said.lower()
    code, said, _ = run(
        capsys, walk, "--lifter", "rotations", "--clip", "on", "--out", tmp_path / "o.bvh", "--how", "samples",
        "--count", 2,
    )  # fmt: skip
    assert code == 0
    assert "lifted as one clip" in said
    assert [len(read_bvh(tmp_path / f"o-{number}.bvh")) for number in (1, 2)] == [10, 10]


def test_angles_of_a_clip_are_smooth_and_calibrated(capsys, files, measured, tmp_path):
    found = {}
    for clip in ("auto", "off"):
        path = tmp_path / f"{clip}.parquet"
        assert run(capsys, files / "walk.json", "--lifter", measured, "--clip", clip, "--out", path)[0] == 0
        angles = load_result(path).angles()
        assert angles.calibrated
        column = angles.index("left_knee_flexion")
        found[clip] = np.abs(np.diff(angles.degrees[:, column], n=2)).mean()
    assert found["auto"] < 0.5 * found["off"]
