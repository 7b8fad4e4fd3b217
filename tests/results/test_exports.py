"""Files for other programs: read back by readers that are not ours, or by a few lines that follow the format's page."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_results import make_result

from poseterior.files.errors import InputError
from poseterior.geometry.cameras import project
from poseterior.keypoints.points3d import read_points
from poseterior.keypoints.reading import read_keypoints
from poseterior.results.exports import ground_positions
from poseterior.results.lifted import WORLD_AXES
from poseterior.results.poses import LiftResult, load_result
from poseterior.results.tables import COLUMNS, WORLD_COLUMNS

GROUND = np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])


def clip(standing, frames=(3, 4, 6, 7), known: bool = True, samples: int = 60, people: int = 1) -> LiftResult:
    """One standing person (or several) walking away from a known camera, seen exactly but for 1 px."""
    import torch

    count = len(frames) * people
    rng = np.random.default_rng(1)
    pose = standing.numpy() - standing.numpy()[:1]
    place = np.stack([np.linspace(0, 0.5, count), np.zeros(count), np.linspace(4, 6, count)], -1)
    camera = np.tile([1000.0, 1000.0, 640.0, 360.0], (count, 1))
    xy = project(torch.from_numpy(pose + place[:, None]), torch.from_numpy(camera)).numpy()
    size = 1.0 + 0.03 * rng.standard_normal((count, samples, 1, 1))
    drawn = size * pose + 0.01 * rng.standard_normal((count, samples, 17, 3)) * (np.arange(17) > 0)[:, None]
    unknown = np.full((count, 4), np.nan)
    return make_result(
        count, samples, samples=drawn, mean=drawn.mean(1), covariance=np.tile(1e-3 * np.eye(3), (count, 17, 1, 1)),
        keypoints=xy, keypoint_covariance=np.tile(np.eye(2), (count, 17, 1, 1)), visible=np.ones((count, 17), bool),
        intrinsics=camera if known else unknown, image_size=np.tile([1280.0, 720.0], (count, 1)),
        file=["walk.mp4"] * count, frame=np.tile(frames, people), person=np.repeat(np.arange(people), len(frames)),
        log_prob=np.full((count, samples), np.nan), region_center=drawn.mean(1),
        region_radius=np.full((count, 17), 0.05), pose_radius=np.full((count, 17), 0.1),
    )  # fmt: skip


# -- the root --------------------------------------------------------------------------------------------------


def test_the_root_is_where_the_camera_sees_the_pelvis(standing) -> None:
    result = clip(standing)
    truth = np.stack([np.linspace(0, 0.5, 4), np.zeros(4), np.linspace(4, 6, 4)], -1)
    gap = result.root - truth
    away = np.einsum("pi,pij,pj->p", gap, np.linalg.inv(result.root_covariance.astype(np.float64)), gap)
    assert away.max() < 11.3  # 99 % of a normal distribution in space
    spread = np.sqrt(result.root_covariance[:, 2, 2])
    assert np.all((spread > 0.02 * truth[:, 2]) & (spread < 0.06 * truth[:, 2]))  # bodies vary by 3 %
    mean, covariance = result.absolute()
    np.testing.assert_allclose(mean, result.mean + result.root[:, None], atol=1e-4)
    np.testing.assert_allclose(covariance[:, 0], result.root_covariance, rtol=1e-3, atol=1e-7)
    assert result.absolute_samples().shape == (4, 60, 17, 3)


def test_the_root_is_unknown_without_intrinsics(standing) -> None:
    result = clip(standing, known=False)
    for values in (result.root, result.root_covariance, *result.absolute(), result.absolute_samples()):
        assert np.isnan(values).all()


@pytest.mark.parametrize("suffix", ["npz", "parquet", "json"])
def test_the_root_comes_back(tmp_path: Path, standing, suffix: str) -> None:
    result = clip(standing)
    result.save(tmp_path / f"r.{suffix}")
    again = load_result(tmp_path / f"r.{suffix}")
    for name in ("root", "root_covariance"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
    some = result[1:3]
    np.testing.assert_array_equal(some.root, result.root[1:3])


def test_root_and_covariance_go_together(standing) -> None:
    with pytest.raises(InputError, match="root_covariance: is missing; give root and root_covariance, or neither"):
        make_result(root=np.zeros((3, 3)))


# -- tables ----------------------------------------------------------------------------------------------------


def test_csv_is_tidy(tmp_path: Path, standing) -> None:
    result = clip(standing, people=2)
    assert result.save(tmp_path / "r.csv", fps=20) == [tmp_path / "r.csv"]
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 8 * 17
    first = rows[17 * 5 + 3]
    assert (first["clip"], first["person"], first["frame"], first["time"]) == ("2", "1", "4", "0.2")
    assert (first["file"], first["joint"], first["seen"], first["level"]) == ("walk.mp4", "right_ankle", "true", "0.8")
    np.testing.assert_allclose([float(first[a]) for a in "xyz"], result.mean[5, 3], atol=1e-5)
    np.testing.assert_allclose(
        [float(first[f"camera_{a}"]) for a in "xyz"], result.mean[5, 3] + result.root[5], atol=1e-4
    )
    assert float(first["radius"]) == pytest.approx(0.05)


def test_csv_of_fused_views_names_the_world(tmp_path: Path, standing) -> None:
    result = replace(clip(standing), axes=WORLD_AXES)
    result.save(tmp_path / "r.csv", fps=20)
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == WORLD_COLUMNS
    assert not [name for name in rows[0] if "camera" in name]
    places = [[float(rows[3][f"world_{a}"]) for a in "xyz"]]
    np.testing.assert_allclose(places, [result.mean[0, 3] + result.root[0]], atol=1e-4)
    # read back by what reads tables of 3D points
    back = read_points(tmp_path / "r.csv", None, "camera", "m")
    assert back is not None
    np.testing.assert_allclose(back.points, result.mean, atol=1e-5)


def test_csv_leaves_empty_what_is_not_known(tmp_path: Path, standing) -> None:
    clip(standing, known=False).save(tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(newline="") as file:
        assert {row["camera_z"] for row in csv.DictReader(file)} == {""}


# -- TRC, C3D ----------------------------------------------------------------------------------------------------


def read_trc(path: Path) -> tuple[dict[str, str], list[str], np.ndarray]:
    """Header, names, and a table of frame, time and coordinates, as the format's page describes it."""
    lines = path.read_text().split("\n")
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    names = [name for name in lines[3].split("\t")[2:] if name]
    rows = [[float(cell or "nan") for cell in line.split("\t")] for line in lines[6:] if line]
    return header, names, np.array(rows)


def test_trc_holds_the_path_in_metres_and_keeps_time(tmp_path: Path, standing) -> None:
    result = clip(standing)
    assert result.save(tmp_path / "walk.trc", fps=50) == [tmp_path / "walk.trc"]
    header, names, rows = read_trc(tmp_path / "walk.trc")
    assert header["Units"] == "m"
    assert (header["DataRate"], header["NumFrames"], header["NumMarkers"]) == ("50", "5", "17")
    assert names == list(result.joint_names)
    np.testing.assert_array_equal(rows[:, 0], [3, 4, 5, 6, 7])
    np.testing.assert_allclose(rows[:, 1], np.array([3, 4, 5, 6, 7]) / 50, atol=1e-6)
    points = rows[:, 2:].reshape(5, 17, 3)
    np.testing.assert_allclose(points[2], (points[1] + points[3]) / 2, atol=1e-5)  # frame 5 was not there
    expected, note = ground_positions(result)
    assert note == "The pelvis is where the known camera sees it."
    np.testing.assert_allclose(points[[0, 1, 3, 4]], expected, atol=1e-6)
    assert points[4, 0, 0] - points[0, 0, 0] == pytest.approx(2.0, abs=0.3)  # two metres away from the camera
    assert (points[0, 10, 1] > points[0, 3, 1]).all()  # the head is above the ankle


def test_longer_gaps_stay_empty(tmp_path: Path, standing) -> None:
    result = clip(standing, frames=(0, 1, 20, 21))
    result.save(tmp_path / "a.trc", fps=50, max_gap=0.1)
    points = read_trc(tmp_path / "a.trc")[2][:, 2:].reshape(22, 17, 3)
    assert np.isnan(points[2:20]).all()
    result.save(tmp_path / "b.trc", fps=50)
    assert np.isfinite(read_trc(tmp_path / "b.trc")[2]).all()


def test_every_second_frame_is_half_the_rate(tmp_path: Path, standing) -> None:
    clip(standing, frames=(0, 2, 4, 6)).save(tmp_path / "walk.trc", fps=50)
    header, _, rows = read_trc(tmp_path / "walk.trc")
    assert (header["DataRate"], header["NumFrames"]) == ("25", "4")
    np.testing.assert_allclose(rows[:, 1], [0, 0.04, 0.08, 0.12])


def test_people_have_files_of_their_own(tmp_path: Path, standing) -> None:
    result = clip(standing, people=2)
    written = result.save(tmp_path / "walk.trc")
    assert written == result.files(tmp_path / "walk.trc") == [tmp_path / "walk-1.trc", tmp_path / "walk-2.trc"]
    assert all(path.exists() for path in written)


def test_c3d_is_what_ezc3d_reads(tmp_path: Path, standing) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    result = clip(standing)
    result.save(tmp_path / "walk.c3d", fps=50)
    found = ezc3d.c3d(str(tmp_path / "walk.c3d"))
    point = found["parameters"]["POINT"]
    assert point["LABELS"]["value"] == list(result.joint_names)
    assert point["UNITS"]["value"] == ["mm"]
    assert point["RATE"]["value"][0] == 50
    assert point["DESCRIPTIONS"]["value"][0] == "residual: 80 % radius, mm (calibrated)"
    assert (point["X_SCREEN"]["value"], point["Y_SCREEN"]["value"]) == (["+Z"], ["+Y"])
    assert found["header"]["points"]["first_frame"] == 3
    points = found["data"]["points"][:3].transpose(2, 1, 0)
    expected, _ = ground_positions(result)
    np.testing.assert_allclose(points[[0, 1, 3, 4]], 1000 * expected, atol=0.01)
    np.testing.assert_allclose(points[2], (points[1] + points[3]) / 2, atol=0.01)
    residuals = found["data"]["meta_points"]["residuals"][0].T
    np.testing.assert_allclose(residuals[[0, 1, 3, 4]], 50)
    assert (residuals[2] >= 50).all()
    assert list(tmp_path.iterdir()) == [tmp_path / "walk.c3d"]


def test_far_apart_frames_are_not_filled(tmp_path: Path, standing) -> None:
    with pytest.raises(InputError, match="frame: 4 frames from 0 to 1000003 would be 1000004 rows; write the parts"):
        clip(standing, frames=(0, 1, 2, 1000003)).save(tmp_path / "walk.trc")


# -- OpenSim -----------------------------------------------------------------------------------------------------


def read_mot(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Header lines and columns, as OpenSim's Storage reads them."""
    lines = path.read_text().splitlines()
    end = lines.index("endheader")
    table = np.array([[float(cell) for cell in line.split("\t")] for line in lines[end + 2 :]])
    return lines[:end], dict(zip(lines[end + 1].split("\t"), table.T, strict=True))


def test_mot_has_opensims_coordinates(tmp_path: Path, standing) -> None:
    result = clip(standing)
    result.save(tmp_path / "walk.mot", fps=50)
    header, columns = read_mot(tmp_path / "walk.mot")
    assert header[:5] == ["walk", "version=1", "nRows=5", f"nColumns={len(columns)}", "inDegrees=yes"]
    assert header[-1] == "The pelvis is where the known camera sees it."
    np.testing.assert_allclose(columns["time"], np.array([3, 4, 5, 6, 7]) / 50)
    there = [0, 1, 3, 4]
    angles = result.angles()
    np.testing.assert_allclose(
        columns["knee_angle_r"][there], angles.degrees[:, angles.index("right_knee_flexion")], atol=1e-5
    )
    np.testing.assert_allclose(
        columns["lumbar_extension"][there], -angles.degrees[:, angles.index("trunk_flexion")], atol=1e-5
    )
    expected, _ = ground_positions(result)
    np.testing.assert_allclose(np.stack([columns[f"pelvis_t{a}"][there] for a in "xyz"], -1), expected[:, 0], atol=1e-6)
    assert not any("ankle" in name or "subtalar" in name for name in columns)


# -- COCO ---------------------------------------------------------------------------------------------------------


def test_coco_json_is_read_as_keypoints_and_holds_the_3d_joints(tmp_path: Path, standing) -> None:
    result = clip(standing, people=2)
    result.save(tmp_path / "walk.coco.json")
    document = json.loads((tmp_path / "walk.coco.json").read_text())
    assert [image["frame_id"] for image in document["images"]] == [3, 4, 6, 7]
    category = document["categories"][0]
    assert category["keypoints"] == list(result.joint_names)
    assert [1, 2] in category["skeleton"]  # bones are counted from 1: the pelvis and the right hip
    assert document["info"]["units_3d"] == "metres"
    found = document["annotations"][5]
    assert (found["track_id"], found["num_keypoints"]) == (1, 17)
    np.testing.assert_allclose(found["keypoints_3d"], result.mean[5], atol=1e-5)
    np.testing.assert_allclose(found["root_3d"], result.root[5], atol=1e-5)
    np.testing.assert_allclose(np.reshape(found["keypoints"], (17, 3))[:, :2], result.keypoints[5], atol=1e-3)
    keypoints = read_keypoints(tmp_path / "walk.coco.json")
    assert len(keypoints) == 8


def test_what_is_hidden_has_no_number_in_coco(tmp_path: Path) -> None:
    result = make_result()
    result.save(tmp_path / "r.coco.json")
    document = json.loads((tmp_path / "r.coco.json").read_text())
    flags = np.reshape([a["keypoints"] for a in document["annotations"]], (3, 17, 3))
    np.testing.assert_array_equal(flags[..., 2] > 0, result.visible)
    assert (flags[~result.visible] == 0).all()


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["r.csv", "r.trc", "r.mot", "r.coco.json", "r.c3d"])
def test_bad_files(tmp_path: Path, standing, name: str, monkeypatch) -> None:
    result = clip(standing)
    with pytest.raises(InputError, match=r"the folder .*nowhere does not exist; make it first"):
        result.save(tmp_path / "nowhere" / name)
    with pytest.raises(InputError, match="fps: expected a positive number, got 0"):
        result.save(tmp_path / name, fps=0)
    with pytest.raises(InputError, match="the result has no poses; nothing to write"):
        result[:0].save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "extra", "module"), [("r.c3d", "c3d", "ezc3d"), ("r.usda", "usd", "pxr")])
def test_a_missing_library_is_named(tmp_path: Path, standing, monkeypatch, name: str, extra: str, module: str) -> None:
    from dataclasses import replace

    from test_motion_files import made_up

    from poseterior.files import extras

    monkeypatch.setattr(extras, "installed", lambda wanted: wanted != module)
    result = replace(clip(standing), solver=lambda result: made_up())
    what = {"ezc3d": "ezc3d", "pxr": "usd-core"}[module]
    with pytest.raises(InputError, match=rf"needs {what}: pip install 'poseterior\[{extra}\]'"):
        result.save(tmp_path / name)
    assert not list(tmp_path.iterdir())
