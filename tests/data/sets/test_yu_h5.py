"""The HDF5 layouts of Yu et al., from made-up files."""

import hashlib

import numpy as np
import pytest
import torch

from conftest import STANDING
from poseterior.data.observations import load_observations, save_observations
from poseterior.data.sets.yu_h5 import JOINTS, ROOT_RELATIVE_PX, read_yu_h5
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import PoseId

h5py = pytest.importorskip("h5py")
BODY, LSP = SKELETONS["h36m17"], SKELETONS["lsp14"]
#: Reference order -> place in h36m17 and in MPI-INF-3DHP's 17, as published.
OF_H36M = [3, 2, 1, 4, 5, 6, 16, 15, 14, 11, 12, 13, 8, 0, 7, 9, 10]
OF_MPI = [10, 9, 8, 11, 12, 13, 4, 3, 2, 5, 6, 7, 1, 14, 15, 16, 0]
PELVIS = JOINTS.index("pelvis")
FOCAL, CENTRE = 1145.0, (512.0, 515.0)
#: Rows out of order: two clips of two subjects.
NAMES = [
    "S9/Walking 1/54138969/000003.jpg", "S11/Photo/55011271/000001.jpg", "S9/Walking 1/54138969/000001.jpg",
    "S9/Walking 1/54138969/000002.jpg",
]  # fmt: skip
SORTED = [2, 3, 0, 1]


def poses(seed: int = 0, n: int = 4) -> np.ndarray:
    """``(n, 17, 3)`` m, camera axes, in the order of the files."""
    rng = np.random.default_rng(seed)
    standing = np.array([STANDING[joint] for joint in JOINTS])
    return standing + rng.normal(0, 0.05, (n, 17, 3)) + rng.uniform((-1, -0.5, 4), (1, 0.5, 6), (n, 3))[:, None]


def project(points: np.ndarray) -> np.ndarray:
    return FOCAL * points[..., :2] / points[..., 2:] + CENTRE


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def change(path, **arrays) -> None:
    with h5py.File(path, "a") as file:
        for name, array in arrays.items():
            del file[name]
            if array is not None:
                file[name] = array


@pytest.fixture
def h36m(tmp_path):
    points = poses()
    return write(
        tmp_path / "h36m_valid_pred3.h5", imagename=np.array(NAMES, "S"), joint_3d_gt=points,
        joint_2d_gt=project(points), joint_2d_pre=project(points) + 3.0,
    )  # fmt: skip


def test_human36m_is_sorted_into_clips(h36m):
    found = read_yu_h5(h36m)
    o = found.observations
    assert found.protocol == "yu-h5-h36m_valid_pred3 v1"
    assert list(o.keypoints.ids) == [
        PoseId("S9/Walking 1/54138969", 1, 0), PoseId("S9/Walking 1/54138969", 2, 0),
        PoseId("S9/Walking 1/54138969", 3, 0), PoseId("S11/Photo/55011271", 1, 0),
    ]  # fmt: skip
    assert (found.subject, found.action) == (("S9",) * 3 + ("S11",), ("Walking",) * 3 + ("Photo",))
    points = poses()[SORTED]
    for place, joint in enumerate(JOINTS):
        j = BODY.index(joint)
        np.testing.assert_allclose(o.pose[:, j], points[:, place] - points[:, PELVIS], atol=1e-5)
        np.testing.assert_allclose(o.keypoints.xy[:, j], project(points)[:, place], rtol=1e-5)
    np.testing.assert_allclose(o.root, points[:, PELVIS], rtol=1e-6)
    assert o.observed.all()
    assert o.keypoints.visible.all()
    torch.testing.assert_close(o.keypoints.covariance[0, 0], 0.25 * torch.eye(2))
    assert o.keypoints.image_size.tolist() == [[1000, 1002]] * 3 + [[1000, 1000]]


def test_order_of_the_reference():
    assert [BODY.index(joint) for joint in JOINTS] == OF_H36M


def test_detections_are_those_of_the_file(h36m):
    true, found = read_yu_h5(h36m), read_yu_h5(h36m, "pre")
    torch.testing.assert_close(found.observations.keypoints.xy, true.observations.keypoints.xy + 3)
    assert torch.equal(found.observations.pose, true.observations.pose)
    assert found.protocol == "yu-h5-h36m_valid_pred3-pre v1"
    assert (found.observations.keypoints.covariance[..., 0, 0] > 1).all()  # more than half a pixel, as for a detector


def test_the_file_is_not_written_to(h36m):
    before = hashlib.sha256(h36m.read_bytes()).hexdigest()
    h36m.chmod(0o444)
    read_yu_h5(h36m)
    assert hashlib.sha256(h36m.read_bytes()).hexdigest() == before


def test_it_can_be_stored(h36m, tmp_path):
    found = read_yu_h5(h36m)
    save_observations(found, tmp_path / "valid.parquet")
    again = load_observations(tmp_path / "valid.parquet")
    assert again.observations.keypoints.ids == found.observations.keypoints.ids
    assert torch.equal(again.observations.pose, found.observations.pose)
    assert torch.equal(again.observations.keypoints.xy, found.observations.keypoints.xy)


@pytest.mark.parametrize("name", ["mpi_valid_pred3.h5", "3dhp_train.h5"])
@pytest.mark.parametrize("order", [list(range(17)), OF_H36M, OF_MPI], ids=["reference", "h36m17", "mpi17"])
def test_orders_are_told_apart(tmp_path, name, order):
    points = poses()
    stored = np.zeros_like(points)
    stored[:, order] = points
    names = ["S1/Seq1/cam0/1", "TS6/img_000007.jpg", "2/Seq1/cam0/1", "TS1/img_000001.jpg"]
    path = write(tmp_path / name, imagename=names, joint_2d_gt=project(stored), joint_3d_gt=stored)
    found = read_yu_h5(path)
    for place, joint in enumerate(JOINTS):
        expected = project(points)[:, place]
        np.testing.assert_allclose(found.observations.keypoints.xy[:, BODY.index(joint)], expected, rtol=1e-5)
    assert [tuple(i) for i in found.observations.keypoints.ids[:2]] == [("S1/Seq1/cam0", 1, 0), ("TS6", 7, 0)]
    assert found.subject == ("S1", "TS6", "S2", "TS1")
    assert found.action == ("Seq1", "TS6", "Seq1", "TS1")
    assert found.observations.keypoints.image_size[:2].tolist() == [[2048, 2048], [1920, 1080]]


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_3d_relative_to_the_pelvis_and_in_millimetres(h36m, scale):
    points = poses()
    change(h36m, joint_3d_gt=(scale * (points - points[:, [PELVIS]])).reshape(4, 51))
    o = read_yu_h5(h36m).observations
    assert o.root.eq(0).all()
    np.testing.assert_allclose(
        o.pose[0, BODY.index("head_top")], (points[2, JOINTS.index("head_top")] - points[2, PELVIS]), atol=1e-5
    )


def test_poses_and_joints_that_are_not_known(h36m):
    points = poses()
    points[0] = np.nan  # last of the first clip
    points[1] = 0  # the second clip
    points[2, JOINTS.index("left_wrist")] = np.nan
    points[3, PELVIS] = np.nan
    seen = project(poses())
    seen[2, 4] = np.nan
    change(h36m, joint_3d_gt=points, joint_2d_gt=seen)
    o = read_yu_h5(h36m).observations
    assert o.observed.sum(-1).tolist() == [16, 0, 0, 0]
    assert not o.observed[0, BODY.index("left_wrist")]
    assert o.pose.isfinite().all()
    assert o.pose[1:].eq(0).all()
    assert o.root[1:].eq(0).all()
    assert (~o.keypoints.visible).nonzero().tolist() == [[0, BODY.index("left_knee")]]
    change(h36m, joint_3d_gt=None)
    assert not read_yu_h5(h36m).observations.observed.any()


def test_sequences_of_the_file_are_the_clips(h36m):
    change(h36m, imagename=np.array(["S9/Walking/1/2.jpg", "S9/Walking/1/1.jpg"] * 2, "S"))
    with h5py.File(h36m, "a") as file:
        file["seqname"] = ["first", "first", "second", "second"]
    ids = read_yu_h5(h36m).observations.keypoints.ids
    assert [i[:2] for i in ids] == [("first", 1), ("first", 2), ("second", 1), ("second", 2)]


# -- coordinates that are no pixels ------------------------------------------------------------------------


def test_coordinates_divided_by_the_picture_become_pixels_again(h36m):
    change(h36m, joint_2d_gt=(project(poses()) - (514.0435, 506.7003)) / 500)
    k = read_yu_h5(h36m).observations.keypoints
    np.testing.assert_allclose(k.xy[:, BODY.index("head_top")], project(poses())[SORTED, 16], rtol=1e-5)
    assert k.image_size[0].tolist() == [1000, 1002]


def test_coordinates_relative_to_the_pelvis_have_a_nominal_size(h36m):
    flat = project(poses())
    relative = (flat - flat[:, [PELVIS]]) * 0.1 / np.linalg.norm(flat[:, 16] - flat[:, PELVIS], axis=-1).mean()
    relative[:, PELVIS] = 1e-5
    change(h36m, joint_2d_gt=relative)
    k = read_yu_h5(h36m).observations.keypoints
    np.testing.assert_allclose(k.xy[:, BODY.index("head_top")], ROOT_RELATIVE_PX * relative[SORTED, 16], rtol=1e-5)
    length = (k.xy[:, BODY.index("head_top")] - k.xy[:, BODY.root]).norm(dim=-1).mean()
    assert length == pytest.approx(200, rel=1e-3)
    assert k.image_size.isnan().all()


# -- LSP ---------------------------------------------------------------------------------------------------


def lsp_pixels() -> np.ndarray:
    """``(3, 17, 2)``: 14 joints by hand, and the three that the published loader makes of them."""
    xy = (project(poses(1, 3)) - CENTRE) / 3 + (55, 90)
    shoulders, hips = xy[:, [8, 9]].mean(1), xy[:, [2, 3]].mean(1)
    xy[:, 12], xy[:, 13], xy[:, 14] = shoulders, hips, (shoulders + hips) / 2
    return xy


def test_lsp_has_its_neck_at_the_thorax_and_no_3d(tmp_path):
    xy = lsp_pixels()
    found = read_yu_h5(write(tmp_path / "lsp_test.h5", joint_2d_gt=xy, imagename=["im1.jpg", "im2.jpg", "im3.jpg"]))
    o = found.observations
    assert not o.observed.any()
    assert [tuple(i) for i in o.keypoints.ids] == [("im1.jpg", 0, 0), ("im2.jpg", 0, 0), ("im3.jpg", 0, 0)]
    assert (found.subject[0], found.action[0], found.protocol) == ("lsp", "sports", "yu-h5-lsp_test v1")
    np.testing.assert_allclose(o.keypoints.xy[:, BODY.index("left_wrist")], xy[:, 11], rtol=1e-5)
    np.testing.assert_allclose(o.keypoints.xy[:, BODY.index("thorax")], xy[:, 15], rtol=1e-5)
    np.testing.assert_allclose(o.keypoints.xy[:, BODY.root], xy[:, 13], rtol=1e-5)
    # what was not marked is less sure
    spread = o.keypoints.covariance[0, :, 0, 0]
    assert spread[BODY.index("spine")] > spread[BODY.index("left_wrist")]


def test_two_factors_of_lsp_are_undone(tmp_path):
    xy = lsp_pixels()
    exact = read_yu_h5(write(tmp_path / "lsp_pixels.h5", joint_2d_gt=xy)).observations.keypoints
    normalised = (xy - (55, 90)) / (55, 90)
    again = read_yu_h5(write(tmp_path / "lsp_normalised.h5", joints_2d=normalised)).observations.keypoints
    torch.testing.assert_close(again.xy, exact.xy, rtol=1e-5, atol=1e-3)
    assert again.ids[1] == PoseId("0002", 0, 0)
    relative = (normalised - normalised[:, [PELVIS]]) * 0.2
    shape = read_yu_h5(write(tmp_path / "lsp_relative.h5", joints_2d=relative)).observations.keypoints.xy
    root = [BODY.root]
    factor = ROOT_RELATIVE_PX * 0.2 / np.sqrt(55 * 90)
    torch.testing.assert_close(shape - shape[:, root], factor * (exact.xy - exact.xy[:, root]), rtol=1e-3, atol=1e-2)
    both = write(tmp_path / "lsp_both.h5", joints_2d=relative, original_joints_2d=xy)
    torch.testing.assert_close(read_yu_h5(both).observations.keypoints.xy, exact.xy)


# -- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"imagename": None}, "'imagename' is missing; the file holds: joint_2d_gt, joint_2d_pre, joint_3d_gt"),
        ({"joint_2d_gt": None}, "'joint_2d_gt' is missing; the file holds: imagename, joint_2d_pre, joint_3d_gt"),
        ({"imagename": np.arange(4)}, "'imagename' is int64 (4,); expected text, one per row"),
        (
            {"imagename": np.array(["S9/Walking/cam/no number"] * 4, "S")},
            "'imagename': row 0 is 'S9/Walking/cam/no number'; expected subject/action/camera/frame with a number at "
            "its end, as S1/Walking/54138969/000123.jpg",
        ),
        (
            {"imagename": np.array(["S9/Walking/1/1.jpg", "S9/Walking/1/2.jpg", "S9/Eating/1/1.jpg"] * 2, "S")[:4]},
            "'imagename': rows 0 and 3 are both frame 1 of 'S9/Walking/1' ('S9/Walking/1/1.jpg'); tell the sequences "
            "apart in the names, or add 'seqname' with one text per row",
        ),
        (
            {"joint_2d_gt": np.zeros((3, 17, 2))},
            "'joint_2d_gt' has shape (3, 17, 2); expected (4, 17, 2), as there are 4 imagenames",
        ),
        (
            {"joint_3d_gt": np.zeros((4, 16, 3))},
            "'joint_3d_gt' has shape (4, 16, 3); expected (4, 17, 3), as there are 4 imagenames",
        ),
        ({"joint_2d_gt": np.array(["a"] * 4, "S")}, "'joint_2d_gt' holds |S1; expected numbers"),
        (
            {"joint_2d_gt": np.full((4, 17, 2), np.inf)},
            "'joint_2d_gt': row 0, joint 0 is [inf, inf]; expected numbers within ±1e+07, or NaN where missing",
        ),
        (
            {"joint_2d_gt": np.full((4, 17, 2), np.nan)},
            "'joint_2d_gt': holds no joint at all; choose other --detections (gt or pre)",
        ),
        (
            {"joint_3d_gt": 50 * poses()},
            "'joint_3d_gt': joints are 20.7 from the pelvis (median); expected metres or millimetres",
        ),
        (
            {"joint_3d_gt": poses() * (1, -1, 1)},
            "'joint_3d_gt': runs against the 2D joints along y; expected camera axes, x right, y down, z forward",
        ),
        (
            {"joint_3d_gt": poses() * (-1, 1, 1)},
            "'joint_3d_gt': runs against the 2D joints along x; expected camera axes, x right, y down, z forward",
        ),
        (
            {"joint_3d_gt": poses() - (0, 0, 10)},
            "'joint_3d_gt': row 0: the pelvis is behind the camera (z = -4.44); expected camera axes, x right, y "
            "down, z forward",
        ),
    ],
)
def test_bad_files_are_named(h36m, arrays, message):
    change(h36m, **arrays)
    with pytest.raises(InputError) as error:
        read_yu_h5(h36m)
    assert str(error.value) == f"{h36m}: {message}"


def test_bad_paths_and_options_are_named(h36m, tmp_path):
    with pytest.raises(InputError, match="unknown detections 'hrnet'; known: gt, pre"):
        read_yu_h5(h36m, "hrnet")
    with pytest.raises(InputError, match=r"train\.h5: a file's name tells its data set; let it begin with h36m, mpi"):
        read_yu_h5(tmp_path / "train.h5")
    with pytest.raises(InputError, match=r"h36m_train\.h5: no such file"):
        read_yu_h5(tmp_path / "h36m_train.h5")
    (tmp_path / "lsp.h5").write_bytes(b"\x80\x04no")
    with pytest.raises(InputError, match=r"lsp\.h5: not a readable HDF5 file"):
        read_yu_h5(tmp_path / "lsp.h5")
    with h5py.File(h36m, "a") as file:
        file["seqname"] = ["a", "b"]
    with pytest.raises(InputError, match="'seqname' has 2 rows; expected 4, one per imagename"):
        read_yu_h5(h36m)
    short = write(tmp_path / "lsp_short.h5", joint_2d_gt=lsp_pixels(), imagename=["im1.jpg"])
    with pytest.raises(InputError, match="'imagename' has 1 rows; expected 3, one per pose"):
        read_yu_h5(short)
