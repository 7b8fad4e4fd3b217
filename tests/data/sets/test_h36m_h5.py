"""Human3.6M in the HDF5 layout of the 3D pose baseline, from made-up files."""

import numpy as np
import pytest
import torch
from h36m_files import PLACES

from conftest import STANDING
from poseterior.data.observations import load_observations, save_observations
from poseterior.data.sets.h36m_h5 import read_h36m_h5
from poseterior.data.sets.h36m_layout import DETECTED_JOINTS, DistortedCamera, project_distorted
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS

h5py = pytest.importorskip("h5py")
BODY = SKELETONS["h36m17"]
NAMES = ("54138969", "55011271", "58860488", "60457274")
FOCAL, CENTRE = (1145.0, 1143.0), (512.0, 515.0)
RADIAL, TANGENTIAL = (-0.2, 0.24, -0.002), (-0.0009, -0.0016)


def camera(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotation world (z up) -> camera, and centre in mm: 5 m away, one on each side, 1.5 m high, level."""
    angle = np.pi / 2 * number + 0.3
    forward = np.array([-np.cos(angle), -np.sin(angle), 0.0])
    down = np.array([0.0, 0.0, -1.0])
    rotation = np.stack([np.cross(down, forward), down, forward])
    return rotation, -5000 * forward + [0, 0, 1500.0]


def write(path, **arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "a") as file:
        for name, array in arrays.items():
            file[name] = array


def world_poses(frames: int, seed: int) -> np.ndarray:
    """``(frames, 17, 3)`` mm, z up, the person turned and moved."""
    standing = 1000 * np.array([STANDING[joint] for joint in BODY.joints])
    upright = np.stack([standing[:, 0], -standing[:, 2], 900 - standing[:, 1]], -1)
    return upright + np.random.default_rng(seed).normal(0, 60, (frames, 17, 3))


@pytest.fixture
def folder(tmp_path):
    for subject in ("S9", "S11"):
        for number in range(4):
            rotation, centre = camera(number)
            group = f"subject{subject[1:]}/camera{number + 1}"
            values = {"R": rotation.T, "T": centre[:, None],
                      "f": np.reshape(FOCAL, (2, 1)), "c": np.reshape(CENTRE, (2, 1)),
                      "k": np.reshape(RADIAL, (3, 1)), "p": np.reshape(TANGENTIAL, (2, 1)),
                      "Name": np.array([[ord(c)] for c in NAMES[number]], np.uint16)}  # fmt: skip
            write(tmp_path / "cameras.h5", **{f"{group}/{name}": value for name, value in values.items()})
        for seed, stem in enumerate(("Directions", "WalkingDog 1")):
            world = world_poses(5, seed)
            all_joints = np.full((5, 32, 3), -77.0)
            all_joints[:, PLACES] = world
            path = tmp_path / subject / "MyPoses" / "3D_positions" / f"{stem}.h5"
            write(path, **{"3D_positions": all_joints.reshape(5, 96).T})
            for number, name in enumerate(NAMES):
                if (subject, stem, name) == ("S11", "Directions", "54138969"):
                    continue
                seen = np.zeros((6, 16, 2)) + np.arange(16)[:, None] * [10, 20] + 100 * number
                file = f"{stem.replace(' ', '_')}.{name}.h5"
                write(tmp_path / subject / "StackedHourglassFineTuned240" / file, poses=seen)
    return tmp_path


def test_poses_are_in_the_camera_and_in_metres(folder):
    found = read_h36m_h5(folder, "test")
    assert len(found) == 2 * 2 * 4 * 5
    o = found.observations
    assert found.protocol == "h36m-h5-test v1"
    # subjects, recordings, cameras, frames
    assert [tuple(i) for i in o.keypoints.ids[:2]] == [
        ("S9/Directions/54138969", 1, 0),
        ("S9/Directions/54138969", 2, 0),
    ]
    assert o.keypoints.ids[25].file == "S9/WalkingDog 1/55011271"
    assert (found.subject[0], found.subject[-1], found.action[0], found.action[25]) == (
        "S9", "S11", "Directions", "WalkDog",
    )  # fmt: skip
    rotation, centre = camera(1)
    seen = (world_poses(5, 1) - centre) @ rotation.T / 1000
    np.testing.assert_allclose(o.root[25:30], seen[:, 0], atol=1e-5)
    np.testing.assert_allclose(o.pose[25:30], seen - seen[:, :1], atol=1e-5)
    assert o.observed.all()
    # the head is above the pelvis: y is down
    assert (o.pose[:, BODY.index("head_top"), 1] < -0.3).all()
    assert (o.root[:, 2] > 3).all()


def test_keypoints_are_the_distorted_projection(folder):
    k = read_h36m_h5(folder, "test").observations.keypoints
    rotation, centre = camera(2)
    points = (world_poses(5, 0) - centre) @ rotation.T
    x, y = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
    r2 = x**2 + y**2
    scale = 1 + RADIAL[0] * r2 + RADIAL[1] * r2**2 + RADIAL[2] * r2**3 + TANGENTIAL[0] * y + TANGENTIAL[1] * x
    u = FOCAL[0] * (x * scale + TANGENTIAL[1] * r2) + CENTRE[0]
    v = FOCAL[1] * (y * scale + TANGENTIAL[0] * r2) + CENTRE[1]
    np.testing.assert_allclose(k.xy[10:15], np.stack([u, v], -1), atol=1e-3)
    assert k.intrinsics[12].tolist() == [*FOCAL, *CENTRE]
    assert [k.image_size[i].tolist() for i in (0, 5, 10, 15)] == [
        [1000, 1002],
        [1000, 1000],
        [1000, 1000],
        [1000, 1002],
    ]
    assert k.visible.all()
    torch.testing.assert_close(k.covariance[0, 0], 0.25 * torch.eye(2))


def test_no_distortion_is_a_pinhole():
    plain = DistortedCamera("x", np.eye(3), np.zeros(3), np.array([2.0, 3.0, 10.0, 20.0]), np.zeros(3), np.zeros(2))
    np.testing.assert_allclose(
        project_distorted(np.array([[1.0, 2.0, 4.0], [0, 0, 1]]), plain), [[10.5, 21.5], [10, 20]]
    )


def test_distortion_has_golden_numbers():
    lens = DistortedCamera(
        "x", np.eye(3), np.zeros(3), np.array([1000.0, 1000, 500, 500]), np.array([0.1, 0.01, 0.001]),
        np.array([0.002, 0.001]),
    )  # fmt: skip
    # x = 0.5, y = 0.25: r2 = 0.3125, scale = 1 + 0.03125 + 0.0009765625 + 0.000030517578 + 0.0005 + 0.0005
    expected = [500 + 1000 * (0.5 * 1.033257080078 + 0.0003125), 500 + 1000 * (0.25 * 1.033257080078 + 0.000625)]
    np.testing.assert_allclose(project_distorted(np.array([1.0, 0.5, 2.0]), lens), expected, rtol=1e-9)


def test_every_nth_frame(folder):
    found = read_h36m_h5(folder, "test", every=2)
    assert [i.frame for i in found.observations.keypoints.ids[:4]] == [1, 3, 5, 1]
    everything = read_h36m_h5(folder, "test").observations
    np.testing.assert_array_equal(found.observations.pose[:3], everything.pose[[0, 2, 4]])
    assert found.protocol == "h36m-h5-test-every2 v1"


def test_detections(folder):
    found = read_h36m_h5(folder, "test", "sh")
    k = found.observations.keypoints
    assert len(found) == 80 - 5  # one recording of S11 has none
    assert "S11/Directions/54138969" not in {i.file for i in k.ids}
    assert (~k.visible).nonzero()[:, 1].unique().tolist() == [BODY.index("neck_nose")]
    for place, joint in enumerate(DETECTED_JOINTS):
        assert k.xy[7, BODY.index(joint)].tolist() == [100 + 10 * place, 100 + 20 * place]
    assert found.protocol == "h36m-h5-test-sh v1"


def test_it_can_be_stored(folder, tmp_path):
    found = read_h36m_h5(folder, "test")
    save_observations(found, tmp_path / "test.parquet")
    again = load_observations(tmp_path / "test.parquet")
    assert torch.equal(again.observations.keypoints.xy, found.observations.keypoints.xy)
    assert again.observations.keypoints.ids == found.observations.keypoints.ids


def replace(path, name, value):
    with h5py.File(path, "a") as file:
        del file[name]
        if value is not None:
            file[name] = value


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "cameras.h5").unlink(), "cameras.h5: no such file"),
        (lambda f: (f / "cameras.h5").write_bytes(b"no"), "cameras.h5: not a readable HDF5 file"),
        (
            lambda f: replace(f / "cameras.h5", "subject9/camera2/k", None),
            "cameras.h5: 'subject9/camera2/k' is missing",
        ),
        (
            lambda f: replace(f / "cameras.h5", "subject9/camera2/k", np.zeros(5)),
            "cameras.h5: 'subject9/camera2/k' has shape (5,); expected 3 finite numbers",
        ),
        (
            lambda f: replace(f / "cameras.h5", "subject9/camera2/R", np.ones((3, 3))),
            "cameras.h5: 'subject9/camera2/R' is no rotation matrix",
        ),
        (
            lambda f: replace(f / "S9/MyPoses/3D_positions/Directions.h5", "3D_positions", np.zeros((51, 4))),
            "Directions.h5: '3D_positions' has shape (51, 4); expected (96, frames)",
        ),
        (
            lambda f: replace(f / "S9/MyPoses/3D_positions/Directions.h5", "3D_positions", np.full((96, 4), np.nan)),
            "Directions.h5: frame 0, joint 'pelvis' is not finite",
        ),
        (
            lambda f: replace(f / "S9/MyPoses/3D_positions/Directions.h5", "3D_positions", "text"),
            "Directions.h5: '3D_positions' holds object; expected numbers",
        ),
        (
            lambda f: [p.unlink() for p in (f / "S11/MyPoses/3D_positions").iterdir()],
            "3D_positions: no .h5 file there; give the folder that holds cameras.h5, S1, S5 ...",
        ),
        (
            lambda f: (f / "S9/StackedHourglassFineTuned240/WalkingDog_1.55011271.h5").unlink(),
            "WalkingDog_1.55011271.h5: no such file",
        ),
        (
            lambda f: replace(
                f / "S9/StackedHourglassFineTuned240/WalkingDog_1.55011271.h5", "poses", np.zeros((4, 16, 2))
            ),
            "WalkingDog_1.55011271.h5: 'poses' has shape (4, 16, 2); expected (5, 16, 2), or more frames",
        ),
    ],
)
def test_bad_files_are_named(folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError) as error:
        read_h36m_h5(folder, "test", "sh")
    assert message in str(error.value)


def test_bad_options_are_named(folder):
    with pytest.raises(InputError, match="unknown split 'val'; known: train, test"):
        read_h36m_h5(folder, "val")
    with pytest.raises(InputError, match="unknown detections 'hrnet'; known: none, sh"):
        read_h36m_h5(folder, "test", "hrnet")
    with pytest.raises(InputError, match="every: expected at least 1, got 0"):
        read_h36m_h5(folder, "test", every=0)
