"""The test set of MPI-INF-3DHP, from made-up files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mpi_inf_3dhp_files import FRAMES, MPI, SEQUENCES, VALID, activity, intrinsics, poses, project, write_test_set

from poseterior.cli import main
from poseterior.data.observations import load_observations
from poseterior.data.sets.mpi_inf_3dhp import ACTIVITIES, fit_pinhole, read_mpi_inf_3dhp
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS

h5py = pytest.importorskip("h5py")
BODY = SKELETONS["h36m17"]
#: Places of the joints of h36m17 in the data set's 17, as published.
OF_MPI = [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]
KEPT = np.flatnonzero(VALID)


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_test_set(tmp_path / "test_set")


def test_poses_are_in_metres_and_in_the_camera(folder):
    found = read_mpi_inf_3dhp(folder)
    o = found.observations
    assert len(found) == 6 * VALID.sum()
    assert found.protocol == "mpi-inf-3dhp-test v1"
    assert [tuple(i) for i in o.keypoints.ids[:4]] == [("TS1", 1, 0), ("TS1", 2, 0), ("TS1", 4, 0), ("TS1", 5, 0)]
    assert (found.subject[0], found.subject[-1]) == ("TS1", "TS6")
    for number, name in enumerate(SEQUENCES):
        rows = slice(number * len(KEPT), (number + 1) * len(KEPT))
        seen = poses(name)[KEPT][:, OF_MPI]
        np.testing.assert_allclose(o.root[rows], seen[:, 0], atol=1e-5)
        np.testing.assert_allclose(o.pose[rows], seen - seen[:, :1], atol=1e-5)
        assert list(found.action[rows]) == [ACTIVITIES[i - 1] for i in activity(name)[KEPT]]
    assert o.observed.all()
    assert (o.pose[:, BODY.index("head_top"), 1] < -0.3).all()  # y is down
    assert OF_MPI[BODY.index("left_knee")] == MPI.index("left_knee")


def test_keypoints_and_the_camera_that_they_tell(folder):
    k = read_mpi_inf_3dhp(folder).observations.keypoints
    for number, name in enumerate(SEQUENCES):
        rows = slice(number * len(KEPT), (number + 1) * len(KEPT))
        np.testing.assert_allclose(k.xy[rows], project(name, poses(name))[KEPT][:, OF_MPI], atol=1e-3)
        np.testing.assert_allclose(k.intrinsics[rows], [intrinsics(name)] * len(KEPT), rtol=1e-6)
    assert k.image_size[0].tolist() == [2048, 2048]
    assert k.image_size[-1].tolist() == [1920, 1080]
    assert k.visible.all()
    torch.testing.assert_close(k.covariance[0, 0], 0.25 * torch.eye(2))


def test_what_no_camera_explains_is_uncertainty(folder):
    noise = np.random.default_rng(0).normal(0, 3.0, (FRAMES, 1, 17, 2))
    with h5py.File(folder / "TS2" / "annot_data.mat", "a") as file:
        file["annot2"][...] += noise
    k = read_mpi_inf_3dhp(folder).observations.keypoints
    spread = k.covariance[:, 0, 0, 0].sqrt()
    assert spread[len(KEPT)] == pytest.approx(3.0, abs=0.3)
    assert spread[0] == spread[-1] == 0.5


def test_a_joint_outside_the_picture_is_missing(folder):
    points = poses("TS6")
    for joint in (4, 7):
        points[0, joint] = (3.5, 0.0, 5.0)
    with h5py.File(folder / "TS6" / "annot_data.mat", "a") as file:
        file["annot2"][0, 0], file["annot3"][0, 0] = project("TS6", points)[0], 1000 * points[0]
    o = read_mpi_inf_3dhp(folder).observations
    row = 5 * len(KEPT)
    missing = [BODY.joints[j] for j in (~o.keypoints.visible[row]).nonzero()[:, 0]]
    assert missing == ["left_wrist", "right_wrist"]
    assert o.observed[row].all()


def test_pinhole_has_golden_numbers():
    points = np.array([[1.0, 0.0, 2.0], [-1.0, 1.0, 2.0], [0.0, -1.0, 4.0]])
    pixels = np.array([[600.0, 240.0], [100.0, 490.0], [350.0, 115.0]])
    lens, left = fit_pinhole(points, pixels)
    np.testing.assert_allclose(lens, [500, 500, 350, 240])
    assert left == pytest.approx(0, abs=1e-9)


def test_every_nth_valid_frame(folder):
    found = read_mpi_inf_3dhp(folder, every=2)
    assert [i.frame for i in found.observations.keypoints.ids[:3]] == [1, 4, 7]
    assert found.protocol == "mpi-inf-3dhp-test-every2 v1"


# -- bad input -----------------------------------------------------------------------------------------------


def put(path, name, value):
    with h5py.File(path, "a") as file:
        old = file[name][...]
        del file[name]
        if value is not None:
            file[name] = value(old)


def at(index, value):
    def change(old):
        old[index] = value
        return old

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.unlink(), "no such file; give the folder of the test set, which holds TS1 to TS6"),
        (lambda p: p.write_bytes(b"no"), "not a readable HDF5 file"),
        (lambda p: put(p, "annot3", None), "'annot3' is missing; the file holds: activity_annotation, annot2"),
        (lambda p: put(p, "annot2", lambda a: a[:, :, :16]),
         "'annot2' has shape (8, 1, 16, 2); expected (8, 1, 17, 2), for 8 frames"),
        (lambda p: put(p, "activity_annotation", lambda a: a[:5]),
         "'activity_annotation' has shape (5,); expected (8,), for 8 frames"),
        (lambda p: put(p, "valid_frame", lambda a: 0 * a), "'valid_frame' is 0 everywhere; get the file anew"),
        (lambda p: put(p, "annot2", at((1, 0, 2), np.nan)),
         "'annot2': frame 2, joint 'right_shoulder' is not finite, though the frame is valid; get the file anew"),
        (lambda p: put(p, "annot3", lambda a: a / 1000),
         "expected millimetres in front of the camera"),
        (lambda p: put(p, "annot3", lambda a: a * [1, 1, -1]), "expected millimetres in front of the camera"),
        (lambda p: put(p, "annot3", lambda a: a * [1, -1, 1]),
         "px from any projection of 'annot3'; expected pixels, and camera axes (x right, y down, z forward)"),
        (lambda p: put(p, "annot3", lambda a: a[::-1]), "px from any projection of 'annot3'"),
        (lambda p: put(p, "activity_annotation", at(3, 9)),
         "'activity_annotation': frame 4 has 9; expected 1 to 7"),
    ],
)  # fmt: skip
def test_bad_files_are_named(folder, spoil, message):
    path = folder / "TS3" / "annot_data.mat"
    spoil(path)
    with pytest.raises(InputError) as error:
        read_mpi_inf_3dhp(folder)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_bad_options_are_named(folder):
    with pytest.raises(InputError, match="every: expected at least 1, got 0"):
        read_mpi_inf_3dhp(folder, every=0)


# -- the whole path ------------------------------------------------------------------------------------------


def test_import_and_evaluate(capsys, folder, tmp_path):
    out = tmp_path / "test.parquet"
    command = ["data", "import", "mpi-inf-3dhp", str(folder), "--out", str(out)]
    assert main(command) == 0
    assert capsys.readouterr().out == f"wrote {out}: 36 poses, protocol mpi-inf-3dhp-test v1\n"
    assert torch.equal(load_observations(out).observations.pose, read_mpi_inf_3dhp(folder).observations.pose)
    assert main(["evaluate", "mdn", "--data", str(out), "--samples", "5", "--mode-poses", "2"]) == 0
