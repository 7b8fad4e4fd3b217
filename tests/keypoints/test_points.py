"""Files of 3D keypoints: TRC, C3D, FreeMoCap, tables; units, axes, markers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_tables import trc

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints.points import point_formats
from poseterior.keypoints.points3d import AXES, Points3D, read_points, turned

ASIDE = np.array([0.0, 0, 1])
JOINTS = ("Hip", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "Neck", "Head", "LShoulder", "RShoulder")


def body(frames: int = 3) -> np.ndarray:
    """A body of 1.7 m, y up: (frames, 11, 3) metres."""
    places = [
        (0, 0.95, 0), (-0.1, 0.9, 0), (-0.1, 0.5, 0), (-0.1, 0.1, 0), (0.1, 0.9, 0), (0.1, 0.5, 0), (0.1, 0.1, 0),
        (0, 1.45, 0), (0, 1.75, 0), (0.18, 1.4, 0), (-0.18, 1.4, 0),
    ]  # fmt: skip
    return np.array(places)[None] + np.arange(frames)[:, None, None] * [0.01, 0.0, 0.02]


def read(path: Path, **options: Any) -> Points3D:
    found = read_points(path, options.pop("skeleton", None), **options)
    assert isinstance(found, Points3D)
    return found


def joint(found: Points3D, name: str) -> Any:
    return found.points[:, found.skeleton.index(name)]


def test_every_format_says_what_it_is() -> None:
    assert set(point_formats()) == {"numpy 3D", "plain 3D", "trc 3D", "c3d", "freemocap", "tables 3D"}
    for module in point_formats().values():
        assert module.ABOUT
        assert module.EXAMPLE


@pytest.mark.parametrize(("unit", "scale"), [("m", 1.0), ("mm", 1000.0)])
def test_trc(unit: str, scale: float, tmp_path: Path) -> None:
    points = body()
    points[1, 2] = np.nan
    found = read(trc(tmp_path / "a.trc", points * scale, JOINTS, unit, 120))
    assert (found.axes, found.fps) == ("y-up", 120)
    np.testing.assert_allclose(joint(found, "left_ankle"), points[:, 6])
    np.testing.assert_allclose(joint(found, "head_top"), points[:, 8])  # Head is the crown
    assert np.isnan(joint(found, "right_knee")[1]).all()


def test_trc_says_what_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = trc(tmp_path / "a.trc", body()[:, :7], (*JOINTS[:6], "stick"))
    assert "left_ankle" not in read(path).skeleton.joints
    assert [r.getMessage() for r in caplog.records] == [f"{path}: not used: stick"]


@pytest.mark.parametrize(
    ("points", "names", "unit", "message"),
    [
        (body() * [300, 300, 0], JOINTS, "m", "holds 2D keypoints in pixels, not 3D markers; lift them instead"),
        (body() * [1, 1, 0], JOINTS, "m", "has no depth (every z is 0): it is 2D; lift the file in pixels"),
        (body() + ASIDE, JOINTS, "furlong", "its header says Units 'furlong'; expected one of m, cm, mm"),
        (body() + ASIDE, tuple("abcdefghijk"), "m", "of 11 markers only 0 tell of a joint ('a', 'b'"),
        (1000 * body() + ASIDE, JOINTS, "m", "the person takes 1689 m; the length unit is wrong: pass --unit mm"),
        (body() / 1000 + ASIDE, JOINTS, "m", "the person takes 0.001689 m; the length unit is wrong: pass --unit"),
    ],
)
def test_bad_trc(points: np.ndarray, names: tuple[str, ...], unit: str, message: str, tmp_path: Path) -> None:
    path = trc(tmp_path / "a.trc", points, names, unit)
    with pytest.raises(InputError, match=re.escape(f"{path}: {message}")):
        read_points(path, None)


def z_up(points: np.ndarray) -> np.ndarray:
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def write_c3d(path: Path, points: np.ndarray, names: tuple[str, ...], unit: str = "mm") -> Path:
    """By the package that reads it; NaN is a residual of -1, as programs write it."""
    c3d = pytest.importorskip("c3d")
    writer = c3d.Writer(point_rate=100)
    writer.set_point_labels(names)
    for pose in points:
        frame = np.zeros((len(names), 5), np.float32)
        frame[:, :3], frame[:, 3] = np.nan_to_num(pose), np.where(np.isnan(pose).any(-1), -1, 0)
        writer.add_frames([(frame, np.zeros((0, 1)))])
    with path.open("wb") as stream:
        writer.write(stream)
    if unit != "mm":
        path.write_bytes(path.read_bytes().replace(b"mm", unit.encode().ljust(2), 1))
    return path


def test_c3d_of_joint_centres(tmp_path: Path) -> None:
    names = ("PELV", "RHJC", "RKJC", "RAJC", "LHJC", "LKJC", "LAJC", "Neck", "Head_Top", "LSJC", "RSJC")
    points = body()
    points[2, 5] = np.nan
    found = read(write_c3d(tmp_path / "a.c3d", 1000 * z_up(points), names))
    assert (found.axes, found.fps) == ("z-up", 100)
    np.testing.assert_allclose(joint(found, "left_ankle"), points[:, 6], atol=1e-6)
    assert np.isnan(joint(found, "left_knee")[2]).all()


def test_c3d_of_markers_on_the_skin(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    markers = {
        "S:LASI": (0.12, 1.0, 0.1), "S:RASI": (-0.12, 1.0, 0.1), "S:LPSI": (0.05, 1.02, -0.1),
        "S:RPSI": (-0.05, 1.02, -0.1),
        "S:LKNE": (0.15, 0.5, 0), "S:LKNM": (0.05, 0.5, 0), "S:RKNE": (-0.15, 0.5, 0), "S:LANK": (0.14, 0.1, 0),
        "S:RANK": (-0.14, 0.1, 0), "S:C7": (0, 1.5, -0.06), "S:CLAV": (0, 1.44, 0.06), "S:LBHD": (0.07, 1.7, -0.07),
    }  # fmt: skip
    points = np.tile(np.array(list(markers.values())), (2, 1, 1))
    path = write_c3d(tmp_path / "a.c3d", 1000 * z_up(points), tuple(markers))
    found = read(path)
    np.testing.assert_allclose(joint(found, "left_knee")[0], (0.1, 0.5, 0), atol=1e-6)
    np.testing.assert_allclose(joint(found, "neck")[0], (0, 1.47, 0), atol=1e-6)
    hip = joint(found, "left_hip")[0]  # Bell: 0.36, 0.30 and 0.19 of 0.24 m aside, down and back of the front spines
    forward, down = np.array([0, -0.02, 0.2]), np.array([0, -0.2, -0.02])
    forward, down = forward / np.linalg.norm(forward), down / np.linalg.norm(down)
    np.testing.assert_allclose(hip, [0.0864, 1.0, 0.1] + 0.072 * down - 0.0456 * forward, atol=1e-6)
    spread = dict(zip(found.skeleton.joints, found.sigma, strict=True))
    assert (spread["left_knee"], spread["right_knee"]) == (0.015, 0.05)
    said = [r.getMessage() for r in caplog.records]
    assert any(s.startswith(f"{path}: estimated from markers on the skin, to some cm: left_knee") for s in said)
    assert f"{path}: not used: LBHD" in said


def test_bad_c3d(tmp_path: Path) -> None:
    path = write_c3d(tmp_path / "a.c3d", 1000 * body(50), JOINTS)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(InputError, match=re.escape(str(path))):
        read_points(path, None)
    path.write_bytes(b"\x02P" + bytes(2000))
    with pytest.raises(InputError, match=re.escape(f"{path}: ")):
        read_points(path, None)


@pytest.mark.parametrize(("count", "name"), [(33, "mediapipe_body_3d_xyz"), (553, "skeleton"), (75, "a")])
def test_freemocap(count: int, name: str, tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(0, 1, (4, count, 3))
    np.save(tmp_path / f"{name}.npy", 1000 * z_up(points))
    found = read(tmp_path / f"{name}.npy")
    assert (found.skeleton.name, found.axes) == ("mediapipe33", "z-up")
    np.testing.assert_allclose(found.points, points[:, :33])
    # another array of 33 joints is in metres, y up
    np.save(tmp_path / "other.npy", points[:, :33])
    if count == 33:
        np.testing.assert_allclose(read(tmp_path / "other.npy").points, points)


def test_tables_of_points(tmp_path: Path) -> None:
    points = body()
    rows = [f"{f},{n},{x},{y},{z}" for f, pose in enumerate(points) for n, (x, y, z) in zip(JOINTS, pose, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["frame,joint,x,y,z", *reversed(rows)]))
    header = ",".join(f"{n}_{a}" for n in JOINTS for a in "xyz")
    wide = [",".join(map(str, pose.reshape(-1))) for pose in points]
    (tmp_path / "b.csv").write_text("\n".join([header, *wide]))
    for name in "ab":
        found = read(tmp_path / f"{name}.csv")
        np.testing.assert_allclose(joint(found, "left_ankle"), points[:, 6])
    (tmp_path / "c.csv").write_text("frame,joint,x,y\n0,nose,1,2\n")
    with pytest.raises(InputError, match=r"c\.csv: has no z: keypoints in a picture are for `poseterior lift FILE`"):
        read_points(tmp_path / "c.csv", None)
    (tmp_path / "d.csv").write_text("frame,person,joint,x,y,z\n0,0,nose,1,2,3\n0,1,nose,1,2,3\n")
    with pytest.raises(InputError, match="holds 2 people; keep the rows of one"):
        read_points(tmp_path / "d.csv", None)


def test_axes_are_turns() -> None:
    for axes, rows in AXES.items():
        assert np.linalg.det(np.array(rows)) == pytest.approx(1), axes
    assert turned(np.array([[1.0, 2, 3]]), "x-up").tolist() == [[-2, 1, 3]]
    assert turned(np.array([[1.0, 2, 3]]), "z-up", left_handed=True).tolist() == [[-1, 3, -2]]
    assert len(SKELETONS["mediapipe33"]) == 33


def test_films_and_others_are_told_here_too(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\0\0\0\x20ftypisom")
    with pytest.raises(InputError, match=r"a\.npy: is a film"):
        read_points(tmp_path / "a.npy", None)
    (tmp_path / "a.bvh").write_bytes(b"HIERARCHY\n")
    with pytest.raises(InputError, match=r"a\.bvh: is a motion, which has 3D poses already"):
        read_points(tmp_path / "a.bvh", None)
