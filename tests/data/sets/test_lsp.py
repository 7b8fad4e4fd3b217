"""Leeds Sports Pose and its extension, from made-up files."""

import numpy as np
import pytest
import torch
from PIL import Image

from poseterior.data.observations import load_observations, save_observations
from poseterior.data.sets.lsp import read_lsp
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import PoseId

scipy_io = pytest.importorskip("scipy.io")

LSP = SKELETONS["lsp14"]
BODY = SKELETONS["h36m17"]


def marked(count: int) -> np.ndarray:
    """Made-up marks ``(count, 14, 3)``: x, y, flag 0."""
    marks = np.zeros((count, 14, 3))
    marks[..., :2] = np.random.default_rng(0).uniform(20, 180, (count, 14, 2))
    return marks


def lsp_folder(folder, marks):
    scipy_io.savemat(folder / "joints.mat", {"joints": marks.transpose(2, 1, 0)})
    return folder


def lspet_folder(folder, marks):
    scipy_io.savemat(folder / "joints.mat", {"joints": marks.transpose(1, 2, 0)})
    return folder


def spread(keypoints) -> torch.Tensor:
    return keypoints.covariance[..., 0, 0].sqrt()


def test_splits_are_the_first_and_the_last_thousand(tmp_path):
    marks = marked(2000)
    lsp_folder(tmp_path, marks)
    train, test, both = (read_lsp(tmp_path, split) for split in ("train", "test", "all"))
    assert (len(train), len(test), len(both)) == (1000, 1000, 2000)
    ids = [part.observations.keypoints.ids for part in (train, test)]
    assert ids[0][0] == PoseId("images/im0001.jpg", 0, 0)
    assert (ids[0][-1].file, ids[1][0].file, ids[1][-1].file) == (
        "images/im1000.jpg", "images/im1001.jpg", "images/im2000.jpg",
    )  # fmt: skip
    np.testing.assert_allclose(
        test.observations.keypoints.xy[5, BODY.index("left_elbow")], marks[1005, LSP.index("left_elbow"), :2], rtol=1e-6
    )
    assert train.protocol == "lsp-train v1"


def test_occluded_joints_of_lsp_have_half_the_confidence(tmp_path):
    marks = marked(3)
    marks[1, LSP.index("left_knee"), 2] = 1
    keypoints = read_lsp(lsp_folder(tmp_path, marks)).observations.keypoints
    assert keypoints.visible.all()
    knees = spread(keypoints)[:, [BODY.index("left_knee"), BODY.index("right_knee")]]
    torch.testing.assert_close(knees[:, 0] / knees[:, 1], torch.tensor([1.0, 2.0, 1.0]))
    pelvis = (marks[:, LSP.index("left_hip"), :2] + marks[:, LSP.index("right_hip"), :2]) / 2
    np.testing.assert_allclose(keypoints.xy[:, BODY.index("pelvis")], pelvis, rtol=1e-5)
    np.testing.assert_allclose(keypoints.xy[:, BODY.index("thorax")], marks[:, LSP.index("neck"), :2], rtol=1e-6)


def test_the_flag_of_lsp_extended_means_visible(tmp_path):
    marks = marked(4)
    marks[..., 2] = 1
    marks[2, LSP.index("left_wrist")] = (-999, -999, 0)
    found = read_lsp(lspet_folder(tmp_path, marks))
    keypoints = found.observations.keypoints
    hidden = (~keypoints.visible).nonzero().tolist()
    assert hidden == [[2, BODY.index("left_wrist")]]
    np.testing.assert_allclose(
        keypoints.xy[3, BODY.index("right_ankle")], marks[3, LSP.index("right_ankle"), :2], rtol=1e-6
    )
    assert found.protocol == "lspet-train v1"
    with pytest.raises(InputError, match="LSP extended has no split 'test'; choose 'train' or 'all'"):
        read_lsp(tmp_path, "test")


def test_image_sizes_are_those_of_the_photographs(tmp_path):
    lsp_folder(tmp_path, marked(2))
    (tmp_path / "images").mkdir()
    Image.new("RGB", (120, 80)).save(tmp_path / "images" / "im0002.jpg")
    size = read_lsp(tmp_path).observations.keypoints.image_size
    assert size[0].isnan().all()
    assert size[1].tolist() == [120, 80]
    (tmp_path / "images" / "im0002.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"im0002.jpg: cannot be read as an image"):
        read_lsp(tmp_path)


def test_poses_without_truth_survive_being_stored(tmp_path):
    found = read_lsp(lsp_folder(tmp_path, marked(5)))
    assert not found.observations.observed.any()
    assert found.observations.pose.eq(0).all()
    save_observations(found, tmp_path / "lsp.parquet")
    again = load_observations(tmp_path / "lsp.parquet")
    for name in ("pose", "observed", "root"):
        assert torch.equal(getattr(again.observations, name), getattr(found.observations, name))
    for name in ("xy", "covariance", "visible"):
        assert torch.equal(getattr(again.observations.keypoints, name), getattr(found.observations.keypoints, name))
    assert again.observations.keypoints.image_size.isnan().all()
    assert again.observations.keypoints.ids == found.observations.keypoints.ids
    assert (again.action, again.subject, again.protocol) == (found.action, found.subject, found.protocol)


def test_bad_input_is_named(tmp_path):
    with pytest.raises(
        InputError, match=r"joints\.mat: no such file; give the folder that holds joints.mat and images/"
    ):
        read_lsp(tmp_path)
    with pytest.raises(InputError, match="unknown split 'val'; known: train, test, all"):
        read_lsp(tmp_path, "val")
    path = tmp_path / "joints.mat"
    path.write_bytes(b"not Matlab" * 50)
    with pytest.raises(InputError, match=r"joints\.mat: not a readable Matlab file"):
        read_lsp(tmp_path)
    scipy_io.savemat(path, {"other": [1]})
    with pytest.raises(InputError, match="has no array 'joints'"):
        read_lsp(tmp_path)
    scipy_io.savemat(path, {"joints": np.zeros((3, 16, 5))})
    with pytest.raises(InputError, match=r"'joints' is float64 \(3, 16, 5\); expected numbers \(3, 14, images\)"):
        read_lsp(tmp_path)
    lsp_folder(tmp_path, marked(4))
    with pytest.raises(InputError, match="4 images, of which all are for training, has no split 'test'"):
        read_lsp(tmp_path, "test")
