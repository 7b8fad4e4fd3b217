"""Human3.6M in the npz layout of VideoPose3D, from made-up files."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from h36m_npz_files import (
    ACTIONS,
    BODY,
    COCO,
    FRAMES,
    SERIALS,
    camera,
    contents,
    detected,
    projections,
    world_poses,
    write_files,
    write_old_npz,
)

from poseterior.cli import main
from poseterior.data.observations import load_observations
from poseterior.data.sets.h36m_layout import DETECTED_JOINTS, project_distorted
from poseterior.data.sets.h36m_npz import read_h36m_npz, solve_camera
from poseterior.files.errors import InputError
from poseterior.files.pickles import read_npz_dictionary

pytest.importorskip("scipy")
TEST = ("S9", "S11")
DETECTORS = ("cpn_ft_h36m_dbb", "detectron_pt_coco", "sh_ft_h36m", "sh_pt_mpii")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_files(tmp_path_factory.mktemp("h36m"), contents(TEST, ("gt", *DETECTORS)))


@pytest.fixture(scope="module")
def found(folder):
    return read_h36m_npz(folder, "test")


# -- the cameras ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(4))
def test_a_camera_is_solved_to_single_precision(number):
    """From what the files have of it: float32 pixels of float32 poses."""
    truth = camera(number)
    points = np.concatenate([world_poses("S9", action) for action in ACTIONS]).astype(np.float64)
    pixels = np.concatenate([projections("S9", action, number) for action in ACTIONS]).astype(np.float64)
    solved = solve_camera(points.reshape(-1, 3), pixels.reshape(-1, 2), "x")
    assert solved.name == "x"
    np.testing.assert_allclose(solved.rotation, truth.rotation, atol=1e-6)
    np.testing.assert_allclose(solved.centre, truth.centre, atol=1e-5)
    np.testing.assert_allclose(solved.intrinsics, truth.intrinsics, atol=3e-3)
    np.testing.assert_allclose(solved.tangential, truth.tangential, atol=1e-6)
    np.testing.assert_allclose(solved.view(points), truth.view(points), atol=1e-5)
    np.testing.assert_allclose(project_distorted(solved.view(points), solved), pixels, atol=1e-3)


def test_the_published_lens_is_the_same_family():
    """VideoPose3D swaps the two tangential coefficients, which the solved ones then are."""
    first, second = -0.0009757, -0.0014245
    seen = camera(0)
    points = world_poses("S9", "Directions 1").reshape(-1, 3).astype(np.float64)
    inside = seen.view(points)
    plane = inside[:, :2] / inside[:, 2:]
    r2 = np.square(plane).sum(1, keepdims=True)
    radial = 1 - 0.207 * r2 + 0.248 * r2**2 - 0.003 * r2**3
    tangential = plane @ np.array([[first], [second]])
    pixels = (plane * (radial + tangential) + r2 * [first, second]) * seen.intrinsics[:2] + seen.intrinsics[2:]
    solved = solve_camera(points, pixels)
    np.testing.assert_allclose(solved.tangential, [second, first], rtol=1e-4)
    np.testing.assert_allclose(solved.view(points), inside, atol=1e-6)


def test_one_frame_is_enough():
    points = world_poses("S9", "Directions 1")[0].astype(np.float64)
    solved = solve_camera(points, projections("S9", "Directions 1", 0)[0].astype(np.float64))
    np.testing.assert_allclose(solved.centre, camera(0).centre, atol=1e-4)


# -- observations --------------------------------------------------------------------------------------------


def test_poses_are_in_the_camera_and_in_metres(found):
    o = found.observations
    assert len(found) == 2 * 2 * 4 * FRAMES
    assert found.protocol == "h36m-npz-test v1"
    # subjects, recordings, cameras, frames
    assert [tuple(i) for i in o.keypoints.ids[:2]] == [
        (f"S9/Directions 1/{SERIALS[0]}", 1, 0),
        (f"S9/Directions 1/{SERIALS[0]}", 2, 0),
    ]
    row = 5 * FRAMES
    assert o.keypoints.ids[row].file == f"S9/WalkDog/{SERIALS[1]}"
    assert (found.subject[0], found.subject[-1], found.action[0], found.action[row]) == (
        "S9", "S11", "Directions", "WalkDog",
    )  # fmt: skip
    seen = camera(1).view(world_poses("S9", "WalkDog").astype(np.float64))
    np.testing.assert_allclose(o.root[row : row + FRAMES], seen[:, 0], atol=1e-4)
    np.testing.assert_allclose(o.pose[row : row + FRAMES], seen - seen[:, :1], atol=1e-4)
    assert o.observed.all()
    # the head is above the pelvis: y is down
    assert (o.pose[:, BODY.index("head_top"), 1] < -0.3).all()
    assert (o.root[:, 2] > 3).all()


def test_keypoints_are_those_of_the_file(found):
    k = found.observations.keypoints
    row = 2 * FRAMES
    np.testing.assert_array_equal(k.xy[row : row + FRAMES], projections("S9", "Directions 1", 2))
    np.testing.assert_allclose(k.intrinsics[row], camera(2).intrinsics, atol=3e-3)
    heights = [1002, 1000, 1000, 1002]
    assert [k.image_size[i * FRAMES].tolist() for i in range(4)] == [[1000, height] for height in heights]
    assert k.visible.all()
    torch.testing.assert_close(k.covariance[0, 0], 0.25 * torch.eye(2))


def test_every_nth_frame(folder, found):
    thinned = read_h36m_npz(folder, "test", every=25)
    assert [i.frame for i in thinned.observations.keypoints.ids[:4]] == [1, 26, 51, 1]
    torch.testing.assert_close(thinned.observations.pose[:3], found.observations.pose[[0, 25, 50]])
    assert thinned.protocol == "h36m-npz-test-every25 v1"


def test_detections_of_the_same_joints(folder, found):
    seen = read_h36m_npz(folder, "test", "cpn_ft_h36m_dbb")
    assert seen.protocol == "h36m-npz-test-cpn_ft_h36m_dbb v1"
    np.testing.assert_array_equal(seen.observations.keypoints.xy, found.observations.keypoints.xy + 1.5)
    assert torch.equal(seen.observations.pose, found.observations.pose)
    assert seen.observations.keypoints.covariance[0, 0, 0, 0] > 1.0


def test_detections_of_the_hourglass(folder):
    k = read_h36m_npz(folder, "test", "sh_ft_h36m").observations.keypoints
    assert (~k.visible).nonzero()[:, 1].unique().tolist() == [BODY.index("neck_nose")]
    seen = detected("sh_ft_h36m", "S9", "WalkDog", 0)
    for place, joint in enumerate(DETECTED_JOINTS):
        assert k.xy[4 * FRAMES + 7, BODY.index(joint)].tolist() == seen[7, place].tolist()


@pytest.mark.parametrize(("name", "missing"), [("detectron_pt_coco", ["head_top"]), ("sh_pt_mpii", [])])
def test_other_joints_are_mapped_by_name(folder, name, missing):
    k = read_h36m_npz(folder, "test", name).observations.keypoints
    assert [BODY.joints[j] for j in (~k.visible[0]).nonzero()[:, 0]] == missing
    if name == "detectron_pt_coco":
        seen = detected(name, "S9", "Directions 1", 0)[0]
        assert k.xy[0, BODY.index("left_wrist")].tolist() == seen[COCO.index("left_wrist")].tolist()


def test_files_of_an_older_numpy(tmp_path, found):
    for name, values in contents(TEST).items():
        write_old_npz(tmp_path / name, **values)
    again = read_h36m_npz(tmp_path, "test")
    assert torch.equal(again.observations.pose, found.observations.pose)


# -- nothing in a file is run --------------------------------------------------------------------------------


class Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_commands_are_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    path = write_files(tmp_path, {"data_3d_h36m.npz": {"positions_3d": {"S9": Runs(f"touch {trace}")}}})
    with pytest.raises(InputError, match=r"refused, it names \w+\.system; only numpy arrays and builtin containers"):
        read_h36m_npz(path, "test")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([{}, {}], object), r"'a' is object \(2,\); expected a dictionary, as np.savez saves one"),
        (np.arange(3), r"'a' is int64 \(3,\); expected a dictionary"),
        (np.array("text", object), "refused, it holds an array of type 'O8', not of plain numbers or text"),
    ],
)
def test_what_is_no_dictionary_is_refused(tmp_path, values, message):
    np.savez(tmp_path / "a.npz", a=values)
    with pytest.raises(InputError, match=message):
        read_npz_dictionary(tmp_path / "a.npz", "a")


def test_arrays_of_objects_are_not_nested(tmp_path):
    """A hundred thousand arrays in each other would overflow the stack when they are freed."""
    inner = np.array({}, object)
    for _ in range(50):
        outer = np.array(None, object)
        outer[()] = inner
        inner = outer
    np.savez(tmp_path / "a.npz", a=inner)
    with pytest.raises(InputError, match="refused, it holds an array of type 'O8'"):
        read_npz_dictionary(tmp_path / "a.npz", "a")


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "data_3d_h36m.npz"
    for content, message in (
        (b"no", f"{path}: not a whole npz file (File is not a zip file); was it copied or downloaded to its end?"),
        (None, f"{path}: 'positions_3d' is missing; the file holds: other"),
    ):
        if content is None:
            np.savez(path, other=np.zeros(2))
        else:
            path.write_bytes(content)
        with pytest.raises(InputError) as error:
            read_h36m_npz(tmp_path, "test")
        assert str(error.value) == message


# -- bad input -----------------------------------------------------------------------------------------------


def _put(value, *keys):
    def change(files):
        place = files[keys[0]]
        for key in keys[1:-1]:
            place = place[key]
        place[keys[-1]] = value(place[keys[-1]])

    return change


P3, P2, CPN = "data_3d_h36m.npz", "data_2d_h36m_gt.npz", "data_2d_h36m_cpn_ft_h36m_dbb.npz"
POSES, SEEN = (P3, "positions_3d"), (P2, "positions_2d")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.pop(P3), f"{P3}: no such file; give the folder that holds it: VideoPose3D's data/prepare"),
        (lambda f: f.pop(P2), f"{P2}: no such file; it is needed to find the cameras: VideoPose3D's data/prepare_data"),
        (lambda f: f.pop(CPN), f"{CPN}: no such file; --detections may be: gt"),
        (
            lambda f: f[P3]["positions_3d"].pop("S11"),
            f"{P3}: 'positions_3d': the subject 'S11' is missing or has no actions; it holds: S9",
        ),
        (_put(lambda a: a[:, :17], *POSES, "S9", "WalkDog"),
         f"{P3}: S9/WalkDog: is float32 (60, 17, 3); expected numbers (frames, 32, 3)"),
        (_put(lambda a: "text", *POSES, "S9", "WalkDog"),
         f"{P3}: S9/WalkDog: is str; expected numbers (frames, 32, 3)"),
        (_put(lambda a: a * np.nan, *POSES, "S9", "WalkDog"),
         f"{P3}: S9/WalkDog: frame 0, joint 'pelvis' is not finite"),
        (_put(lambda a: 1000 * a, *POSES, "S9", "WalkDog"),
         f"{P3}: S9/WalkDog: has a coordinate of 2.04e+03; expected metres"),
        (lambda f: [cameras.__setitem__(1, cameras[1] / 500 - 1) for cameras in f[P2]["positions_2d"]["S9"].values()],
         f"{P2}: S9, camera 1: the largest coordinate is "),
        (_put(lambda a: a[:3], *SEEN, "S9", "WalkDog"),
         f"{P2}: S9/WalkDog: is missing or no list of 4 arrays, one per camera"),
        (_put(lambda a: a[:, :16], *SEEN, "S9", "WalkDog", 2),
         f"{P2}: S9/WalkDog: camera 2 is float32 (60, 16, 2); expected numbers (frames, 17, 2)"),
        (_put(lambda a: a[:50], *SEEN, "S9", "WalkDog", 2),
         f"{P2}: S9/WalkDog: camera 2 has 50 frames, but there are 60 3D poses; take both files from one source"),
        (_put(lambda a: a[::-1], *SEEN, "S9", "WalkDog", 2), "px from the projections of the 3D poses; take both"),
        (_put(lambda a: a * np.nan, *SEEN, "S9", "WalkDog", 2),
         f"{P2}: S9, camera 2: the largest coordinate is nan; expected pixels, and none missing"),
        (_put(lambda a: a[:, :5], CPN, "positions_2d", "S9", "Directions 1", 0),
         f"{CPN}: S9/Directions 1: camera 0 is float32 (62, 5, 2); expected numbers (frames, 17 or 16, 2)"),
        (_put(lambda a: [[1], [2]], CPN, "metadata", "keypoints_symmetry"),
         f"{CPN}: 'metadata': 'keypoints_symmetry' is that of neither Human3.6M's nor COCO's 17 joints"),
        (_put(lambda a: a * np.float32(1e6), CPN, "positions_2d", "S9", "WalkDog", 0),
         f"{CPN}: S9/WalkDog/54138969: xy: pose 0, joint 'pelvis' has ["),
    ],
)  # fmt: skip
def test_bad_files_are_named(tmp_path, change, message):
    files = contents(TEST, ("gt", "cpn_ft_h36m_dbb"))
    change(files)
    write_files(tmp_path, files)
    with pytest.raises(InputError) as error:
        read_h36m_npz(tmp_path, "test", "cpn_ft_h36m_dbb")
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path))


def test_bad_options_are_named(folder):
    with pytest.raises(InputError, match="unknown split 'val'; known: train, test"):
        read_h36m_npz(folder, "val")
    with pytest.raises(InputError, match="every: expected at least 1, got 0"):
        read_h36m_npz(folder, "test", every=0)
    with pytest.raises(InputError, match="the subject 'S1' is missing or has no actions; it holds: S9, S11"):
        read_h36m_npz(folder, "train")


# -- the whole path ------------------------------------------------------------------------------------------


def test_import_and_evaluate(capsys, folder, tmp_path, found):
    out = tmp_path / "test.parquet"
    command = ["data", "import", "h36m-npz", str(folder), "--split", "test", "--every", "30", "--out", str(out)]
    assert main(command) == 0
    assert capsys.readouterr().out == f"wrote {out}: 32 poses, protocol h36m-npz-test-every30 v1\n"
    again = load_observations(out).observations
    torch.testing.assert_close(again.pose[:2], found.observations.pose[[0, 30]])
    assert main(["evaluate", "mdn", "--data", str(out), "--samples", "5", "--mode-poses", "2"]) == 0
