"""`poseterior fuse`: a folder of OpenPose's JSON for each camera, and a calibration."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import blobs
import poseterior as pp
from conftest import STANDING
from poseterior.cli import main
from poseterior.geometry.body import SMPL25, rest_offsets
from poseterior.geometry.cameras import project

H36M = pp.SKELETONS["h36m17"]
#: BODY_25's numbers of h36m17's joints.
BODY_25 = {
    "pelvis": 8, "right_hip": 9, "right_knee": 10, "right_ankle": 11, "left_hip": 12, "left_knee": 13, "left_ankle": 14,
    "left_shoulder": 5, "left_elbow": 6, "left_wrist": 7, "right_shoulder": 2, "right_elbow": 3, "right_wrist": 4,
}  # fmt: skip
PLACE = torch.tensor([0.3, -0.1, 0.5])
FRAMES = 6


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """Three cameras around a standing person, whose world's y points down."""
    pose = torch.tensor([STANDING[joint] for joint in H36M.joints]) + PLACE
    text = ""
    for number, degrees in enumerate((0, 100, 220)):
        yaw = math.radians(degrees)
        rotation = torch.tensor([[math.cos(yaw), 0, -math.sin(yaw)], [0, 1, 0], [math.sin(yaw), 0, math.cos(yaw)]])
        camera = pose @ rotation.T + torch.tensor([0.0, 0.0, 4.0])
        xy = project(camera, torch.tensor([1000.0, 1000.0, 640.0, 480.0]))
        name = f"cam{number + 1}"
        folder = tmp_path / f"{name}_json"
        folder.mkdir()
        for frame in range(FRAMES):
            values = [0.0] * 75
            for joint, at in BODY_25.items():
                values[3 * at : 3 * at + 3] = [*xy[H36M.index(joint)].tolist(), 0.9]
            people = {"version": 1.3, "people": [{"pose_keypoints_2d": values}]}
            (folder / f"{name}_{frame:06d}_keypoints.json").write_text(json.dumps(people))
        text += f"[{name}]\nsize = [1280.0, 960.0]\n"
        text += "matrix = [[1000.0, 0.0, 640.0], [0.0, 1000.0, 480.0], [0.0, 0.0, 1.0]]\n"
        text += f"distortions = [0.0, 0.0, 0.0, 0.0]\nrotation = [0.0, {-yaw}, 0.0]\ntranslation = [0.0, 0.0, 4.0]\n"
    (tmp_path / "Calib.toml").write_text(text + "[metadata]\nadjusted = false\nerror = 0.0\n")
    return tmp_path


def filmed(session: Path) -> list[Path]:
    """The same person in three films, as the detector of coloured discs sees them: one that a keypoint file tells."""
    films = []
    for name in ("cam1", "cam2", "cam3"):
        told = json.loads((session / f"{name}_json" / f"{name}_000000_keypoints.json").read_text())
        values = np.array(told["people"][0]["pose_keypoints_2d"]).reshape(25, 3)[:, :2]
        joints = np.array([values[BODY_25.get(joint, 8)] for joint in blobs.COCO.joints])
        joints[:5] = joints[5:7].mean(0) + np.array([[0, -40], [9, -49], [-9, -49], [18, -40], [-18, -40]])
        shown = blobs.picture([joints], (1280, 960))
        films.append(blobs.film(session / f"{name}.mkv", [shown] * FRAMES, "30"))
    return films


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_result_and_a_motion_in_metres_of_the_world(capsys: pytest.CaptureFixture[str], session: Path) -> None:
    folders = [session / f"cam{i}_json" for i in (1, 2, 3)]
    out, motion = session / "poses.npz", session / "clip.bvh"
    code, text, error = run(
        capsys, "fuse", *folders, "--calibration", session / "Calib.toml", "--out", out, "--motion", motion, "--fps",
        30, "--samples", 20,
    )  # fmt: skip
    assert code == 0, error
    assert "3 (cam1, cam2, cam3)" in text
    assert f"wrote {motion}".replace("\n", "") in text.replace("\n", "")
    result = pp.load_result(out)
    assert len(result) == FRAMES
    assert not result.calibrated
    assert result.axes == "x right, y down, z forward (world)"
    assert result.settings["keypoints"].startswith("those of cam1;")
    np.testing.assert_allclose(result.root, PLACE.expand(FRAMES, 3), atol=0.02)
    shown = [H36M.index(joint) for joint in BODY_25]
    pose = np.array([STANDING[joint] for joint in H36M.joints])
    assert np.linalg.norm((result.mean - pose)[:, shown], axis=-1).mean() < 0.02
    frame = motion.read_text().split("Frame Time:")[1].splitlines()[1].split()
    # Centimetres, y up; a body's pelvis is above and behind the middle of its hips, and this one faces the z axis.
    _, below, before = (100 * rest_offsets()[SMPL25.index("left_hip")]).tolist()
    assert [float(number) for number in frame[:3]] == pytest.approx([30.0, 10.0 - below, -50.0 - before], abs=2.0)


def test_what_is_wrong_is_said(capsys: pytest.CaptureFixture[str], session: Path) -> None:
    calibration = session / "Calib.toml"
    other = session / "other"
    (session / "cam1_json").rename(other)
    code, _, error = run(capsys, "fuse", other, session / "cam2_json", "--calibration", calibration)
    assert code == 2
    assert f"{other}: its name is that of no camera of the calibration, which has cam1, cam2, cam3" in error
    calibration.write_text("[cam2]\nmatrix = [[1.0]]\nrotation = [0.0]\ntranslation = [0.0]\n")
    code, _, error = run(capsys, "fuse", session / "cam2_json", "--calibration", calibration)
    assert code == 2
    assert f"{calibration}: camera 'cam2': matrix: expected [[fx, 0, cx]" in error
    code, _, error = run(capsys, "fuse", session / "cam2_json", "--calibration", session / "none.toml")
    assert code == 2
    assert "none.toml: no such file" in error


def test_films_of_several_cameras_in_one_command(
    capsys: pytest.CaptureFixture[str], session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs.install(monkeypatch)
    films, out = filmed(session), session / "poses.npz"
    code, _, error = run(
        capsys, "fuse", *films, "--calibration", session / "Calib.toml", "--out", out, "--samples", 20,
        "--detector", "blobs", "--start", "0.03",
    )  # fmt: skip
    assert code == 0, error
    result = pp.load_result(out)
    assert result.frame.tolist() == list(range(1, FRAMES))
    assert result.fps == 30
    np.testing.assert_allclose(result.root, PLACE.expand(FRAMES - 1, 3), atol=0.03)


def test_a_film_without_anybody_is_named(
    capsys: pytest.CaptureFixture[str], session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs.install(monkeypatch)
    films = filmed(session)
    blobs.film(films[1], [blobs.picture([])] * FRAMES)
    code, _, error = run(
        capsys, "fuse", *films, "--calibration", session / "Calib.toml", "--detector", "blobs", "--out", "a.npz"
    )
    assert code == 2
    assert error == f"poseterior: error: {films[1]}: nobody was found in it; leave this camera out\n"


def test_a_page_and_a_picture(capsys: pytest.CaptureFixture[str], session: Path) -> None:
    page, sheet = session / "scene.html", session / "sheet.png"
    code, text, error = run(
        capsys, "fuse", session / "cam1_json", session / "cam2_json", "--calibration", session / "Calib.toml",
        "--samples", 20, "--view", page, "--picture", sheet,
    )  # fmt: skip
    assert code == 0, error
    assert "nothing written" not in text
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_one_camera_alone_is_said(capsys: pytest.CaptureFixture[str], session: Path) -> None:
    code, text, error = run(
        capsys, "fuse", session / "cam1_json", "--calibration", session / "Calib.toml", "--samples", 5
    )
    assert code == 0, error
    assert "cam1_json alone: one camera leaves open how far away, and so how large, somebody is; give two or " in text
    assert "nothing written: add --out poses.parquet, --out clip.bvh or --view scene.html" in text


@pytest.mark.parametrize("content", ["list", "object"])
def test_keypoints_as_a_calibration(capsys: pytest.CaptureFixture[str], session: Path, content: str) -> None:
    wrong = session / "k.json"
    entry = {"joints": list(H36M.joints), "keypoints": [[0, 0]] * 17}
    wrong.write_text(json.dumps([entry] if content == "list" else entry))
    code, _, error = run(capsys, "fuse", session / "cam1_json", session / "cam2_json", "--calibration", wrong)
    assert code == 2
    assert error.startswith(f"poseterior: error: {wrong}: holds keypoints, not cameras; expected a calibration: ")


@pytest.mark.parametrize("samples", [0, -1])
def test_samples_are_refused_at_once(capsys: pytest.CaptureFixture[str], session: Path, samples: int) -> None:
    code, _, error = run(
        capsys, "fuse", session / "cam1.mp4", "--calibration", session / "none.toml", "--samples", samples
    )
    assert (code, error) == (2, f"poseterior: error: --samples: expected at least 1, got {samples}\n")


def test_several_people_name_the_option(capsys: pytest.CaptureFixture[str], session: Path) -> None:
    for path in (session / "cam2_json").iterdir():
        told = json.loads(path.read_text())
        values = np.array(told["people"][0]["pose_keypoints_2d"]).reshape(25, 3)
        other = np.where(values[:, 2:] > 0, values + np.array([300, 0, 0]), values).reshape(-1).tolist()
        path.write_text(json.dumps({"version": 1.3, "people": [*told["people"], {"pose_keypoints_2d": other}]}))
    code, _, error = run(
        capsys, "fuse", session / "cam1_json", session / "cam2_json", "--calibration", session / "Calib.toml"
    )
    assert code == 2
    assert (
        "camera 'cam2': shows 2 people; give the keypoints of one, the same in every camera: --person NUMBER" in error
    )
