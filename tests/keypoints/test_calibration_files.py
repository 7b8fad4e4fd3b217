"""Calibrated cameras and the files that tell of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.calibration import Camera, read_cameras
from poseterior.keypoints.calibration.camera import rotation_of_vector
from poseterior.keypoints.calibration.formats import calibration_formats
from poseterior.keypoints.calibration.matching import cameras_of_paths

VECTOR = np.array([0.1, -0.2, 0.05])
PLACE = [0.02, 0.03, 0.4]
LENS = (-0.12, 0.08, 0.001, -0.002, 0.01)
MATRIX = [[1681.0, 0.0, 533.0], [0.0, 1680.0, 948.0], [0.0, 0.0, 1.0]]
POINTS = np.array([[0.2, -0.3, 2.0], [-0.4, 0.5, 3.0], [0.05, 0.9, 2.5]])
#: Of ``cv2.projectPoints`` and ``cv2.fisheye.projectPoints`` (4.x and 5.0) with these numbers.
SEEN = [[421.0666658466427, 616.6622467205001], [32.54944677031682, 1048.6361140664203],
        [263.1112821993365, 1326.7832538836929]]  # fmt: skip
SEEN_FISHEYE = [[422.36425005319495, 619.9991018423254], [44.423263930427765, 1046.1563844232548],
                [268.57252150596594, 1319.3501309540586]]  # fmt: skip


def camera(**changes: object) -> Camera:
    fields = {
        "name": "cam1", "intrinsics": (1681.0, 1680.0, 533.0, 948.0), "rotation": rotation_of_vector(VECTOR),
        "translation": PLACE, "distortion": LENS, "image_size": (1088, 1920),
    }  # fmt: skip
    return Camera(**(fields | changes))  # type: ignore[arg-type]


def same(found: Camera, expected: Camera) -> None:
    assert found.name == expected.name
    assert found.fisheye == expected.fisheye
    assert found.intrinsics == pytest.approx(expected.intrinsics)
    assert found.distortion == pytest.approx(expected.distortion)
    np.testing.assert_allclose(found.rotation, expected.rotation, atol=1e-9)
    np.testing.assert_allclose(found.translation, expected.translation, atol=1e-9)


@pytest.mark.parametrize(
    ("seen", "changes"), [(SEEN, {}), (SEEN_FISHEYE, {"distortion": (-0.03, 0.01, -0.004, 0.001), "fisheye": True})]
)
def test_pictures_of_opencv_become_those_of_a_pinhole(seen: list[list[float]], changes: dict[str, object]) -> None:
    own = camera(**changes)
    joints = torch.zeros(17, 2)
    joints[:3] = torch.tensor(seen)
    visible = torch.arange(17) < 3
    found = own.undistorted(Keypoints2D(joints[None], torch.ones(1, 17), visible[None]))
    at = POINTS @ own.rotation.T + own.translation
    expected = at[:, :2] / at[:, 2:] * np.array(own.intrinsics[:2]) + np.array(own.intrinsics[2:])
    np.testing.assert_allclose(found.xy[0, :3].numpy(), expected, atol=1e-3)
    assert found.visible[0].tolist() == visible.tolist()
    assert found.intrinsics[0].tolist() == list(own.intrinsics)
    assert found.image_size[0].tolist() == [1088, 1920]


def test_covariances_are_those_of_many_drawn_keypoints() -> None:
    own = camera(distortion=(-0.3, 0.1))
    drawn = torch.tensor(SEEN[2]) + 3.0 * torch.randn(20000, 1, 2, generator=torch.Generator().manual_seed(0))
    straight = own.undistorted(Keypoints2D(drawn.expand(-1, 17, 2), 3.0 * torch.ones(20000, 17)))
    told = own.undistorted(Keypoints2D(torch.tensor(SEEN[2]).expand(1, 17, 2), 3.0 * torch.ones(1, 17))).covariance[
        0, 0
    ]
    torch.testing.assert_close(torch.cov(straight.xy[:, 0].T), told, atol=0.3, rtol=0.03)


# -- files -------------------------------------------------------------------------------------------------------


def toml(key: str = "cam1", **changes: object) -> str:
    fields = {
        "name": key, "size": [1088.0, 1920.0], "matrix": MATRIX, "distortions": list(LENS[:4]),
        "rotation": VECTOR.tolist(), "translation": PLACE, "fisheye": False,
    } | changes  # fmt: skip
    return f"[{key}]\n" + "".join(
        f"{name} = {json.dumps(value)}\n" for name, value in fields.items() if value is not None
    )


def test_pose2sim_and_its_metadata(tmp_path: Path) -> None:
    path = tmp_path / "Calib.toml"
    path.write_text(toml() + toml("cam2", fisheye=True) + "[metadata]\nadjusted = false\nerror = 0.0\n")
    found = read_cameras(path)
    assert list(found) == ["cam1", "cam2"]
    assert found["cam2"].fisheye
    same(found["cam1"], camera(distortion=LENS[:4]))
    assert found["cam1"].image_size == (1088.0, 1920.0)


def opencv(**changes: object) -> dict[str, object]:
    def matrix(value: object) -> dict[str, object]:
        array = np.array(value, dtype=float)
        rows, cols = array.shape if array.ndim == 2 else (array.size, 1)
        return {"type_id": "opencv-matrix", "rows": rows, "cols": cols, "dt": "d", "data": array.ravel().tolist()}

    found: dict[str, object] = {
        "image_width": 1088, "image_height": 1920, "camera_matrix": matrix(MATRIX),
        "distortion_coefficients": matrix(LENS), "R": matrix(rotation_of_vector(VECTOR)), "T": matrix(PLACE),
    }  # fmt: skip
    found |= {name: value if value is None else matrix(value) for name, value in changes.items()}
    return {name: value for name, value in found.items() if value is not None}


def as_yaml(fields: dict[str, object]) -> str:
    lines = ["%YAML:1.0", "---"]
    for name, value in fields.items():
        if isinstance(value, dict):
            lines.append(f"{name}: !!opencv-matrix")
            lines += [f"   {key}: {value[key]}" for key in ("rows", "cols", "dt", "data")]
        else:
            lines.append(f"{name}: {value}")
    return "\n".join(lines) + "\n"


def as_xml(fields: dict[str, object]) -> str:
    text = ""
    for name, value in fields.items():
        if isinstance(value, dict):
            data = " ".join(map(str, value["data"]))  # type: ignore[arg-type]
            inner = f"<rows>{value['rows']}</rows><cols>{value['cols']}</cols><dt>d</dt><data>{data}</data>"
            text += f'<{name} type_id="opencv-matrix">{inner}</{name}>'
        else:
            text += f"<{name}>{value}</{name}>"
    return f'<?xml version="1.0"?><opencv_storage>{text}</opencv_storage>'


@pytest.mark.parametrize(("suffix", "write"), [("yml", as_yaml), ("xml", as_xml), ("json", json.dumps)])
@pytest.mark.parametrize("as_vector", [False, True])
def test_opencv_in_all_three_ways(tmp_path: Path, suffix: str, write, as_vector: bool) -> None:
    fields = opencv(R=None, rvec=VECTOR) if as_vector else opencv()
    for name in ("cam1", "cam2"):
        (tmp_path / f"{name}.{suffix}").write_text(write(fields))
    found = read_cameras([tmp_path / f"cam1.{suffix}", tmp_path / f"cam2.{suffix}"])
    assert list(found) == ["cam1", "cam2"]
    same(found["cam1"], camera())


def test_opencv_cameras_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "rig.json"
    path.write_text(json.dumps({"left": opencv(), "right": opencv()}))
    found = read_cameras(path)
    assert list(found) == ["left", "right"]
    same(found["left"], camera(name="left"))


def qualisys(theia: bool = False) -> str:
    own = camera(distortion=LENS)
    rotation, place, unit = own.rotation, 1000 * own.translation, 1.0
    root = ""
    if not theia:  # QTM's axes: x right, y up, z backward; its place and its axes in the world
        rotation, place, unit = np.diag([1.0, -1.0, -1.0]) @ own.rotation, 1000 * own.place, 64.0
        root = ' created="today" qtm-version="2024.3"'
    turn = " ".join(f'r{i + 1}{j + 1}="{float(rotation[i, j])!r}"' for i in range(3) for j in range(3))
    where = " ".join(f'{axis}="{float(value)!r}"' for axis, value in zip("xyz", place, strict=True))
    lens = " ".join(
        f'{name}="{value * unit}"' for name, value in (
            ("focalLengthU", 1681), ("focalLengthV", 1680), ("centerPointU", 533), ("centerPointV", 948),
            ("sensorMaxU", 1088), ("sensorMaxV", 1920), ("sensorMinU", 0), ("sensorMinV", 0),
        )
    )  # fmt: skip
    k1, k2, p1, p2, k3 = LENS
    lens += f' radialDistortion1="{k1}" radialDistortion2="{k2}" radialDistortion3="{k3}"'
    lens += f' tangentalDistortion1="{p1}" tangentalDistortion2="{p2}"'
    video = "" if theia else '<fov_video left="0" top="0" right="1087" bottom="1919"/>'
    one = f'<camera active="1" serial="cam1">{video}<transform {turn} {where}/><intrinsic {lens}/></camera>'
    return f'<calibration{root}><cameras>{one}<camera active="0" serial="off"/></cameras></calibration>'


@pytest.mark.parametrize("theia", [False, True])
def test_qualisys_and_theia(tmp_path: Path, theia: bool) -> None:
    path = tmp_path / "calib.qca.txt"
    path.write_text(qualisys(theia))
    found = read_cameras(path)
    assert list(found) == ["cam1"]
    same(found["cam1"], camera())
    assert found["cam1"].image_size == (1088.0, 1920.0)


def test_every_format_is_found_by_its_place() -> None:
    assert list(calibration_formats()) == ["opencv", "pose2sim", "qualisys"]


# -- what is wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (toml(translation=None), "{path}: camera 'cam1': field 'translation' is missing; calibrate it again"),
        (toml(rotation=[1.0, 2.0]), "{path}: camera 'cam1': rotation: expected 3 numbers (radians), got 2"),
        (toml(translation=[1.0, 2.0]), "{path}: camera 'cam1': translation: expected 3 numbers, metres, got [1.0, 2.0]"),  # noqa: E501
        (toml(matrix=[[0.0, 0, 5], [0, 5, 5], [0, 0, 1]]), "{path}: camera 'cam1': intrinsics: expected focal lengths above 0 px, got (0.0, 5.0)"),  # noqa: E501
        (toml(matrix=[[9.0, 1, 5], [0, 9, 5], [0, 0, 1]]), "{path}: camera 'cam1': matrix: has a skew of 1 px, which is not modelled"),  # noqa: E501
        (toml(distortions=["far"]), "{path}: camera 'cam1': distortions: expected numbers, got ['far']"),
        (toml() + toml("b", name="cam1"), "{path}: camera 'cam1' is there twice; rename one of them"),
        ("[cam1]\nmatrix = [", "{path}: not readable as TOML"),
        ("[a]\nb = 1\n", "{path}: of no format of calibrations that we know: OpenCV's FileStorage"),
        ("{}", "{path}: of no format of calibrations that we know"),
        (json.dumps(opencv(T=None)), "{path}: camera '': field T (or tvec) is missing: the file tells the lens but not where"),  # noqa: E501
        (qualisys().replace('x="', 'q="'), "{path}: camera 'cam1': transform x: expected a number, got None"),
        (qualisys().replace("<intrinsic", "<lens"), "{path}: of no format of calibrations that we know"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "calibration"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_cameras(path)
    assert str(caught.value).startswith(message.format(path=path))


def test_a_matrix_that_is_no_rotation() -> None:
    with pytest.raises(InputError, match="camera 'cam1': rotation: expected a rotation matrix"):
        camera(rotation=2 * np.eye(3))


def test_a_format_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="unknown format of calibrations 'vicon'; known: auto, opencv, pose2sim, qualisys"
    ):
        read_cameras(tmp_path / "a", "vicon")
    (tmp_path / "a.toml").write_text(toml())
    with pytest.raises(InputError, match="is not of the format 'opencv'"):
        read_cameras(tmp_path / "a.toml", "opencv")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: no such file"):
        read_cameras(tmp_path / "none.toml")


# -- names -------------------------------------------------------------------------------------------------------


def test_files_are_told_by_the_names_of_cameras() -> None:
    paths = [Path("pose/cam10_json"), Path("pose/Cam_1.json"), Path("cam02/keypoints.json")]
    assert cameras_of_paths(paths, ["cam1", "cam2", "cam10"]) == (["cam10", "cam1", "cam2"], False)
    assert cameras_of_paths([Path("a.json"), Path("b.json")], ["left", "right"]) == (["left", "right"], True)


def test_files_that_name_no_camera_or_one_twice() -> None:
    with pytest.raises(
        InputError, match=r"b.json: its name is that of no camera of the calibration, which has cam1, cam2"
    ):
        cameras_of_paths([Path("cam1.json"), Path("b.json")], ["cam1", "cam2"])
    with pytest.raises(InputError, match=r"cam1_b.json: is the second of camera 'cam1'"):
        cameras_of_paths([Path("cam1.json"), Path("cam1_b.json")], ["cam1", "cam2"])
