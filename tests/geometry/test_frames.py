"""The canonical frame without the root, and back."""

import pytest
import roma
import torch

from poseterior.geometry.frames import RootedFrame
from poseterior.geometry.skeletons import SKELETONS


@pytest.fixture(params=[("h36m17", True), ("h36m17", False), ("lsp14", True)], ids=str)
def frame(request) -> RootedFrame:
    """Of two people; lsp14 has its root near the end of the order."""
    name, turned = request.param
    torch.manual_seed(0)
    return RootedFrame(SKELETONS[name], roma.random_rotmat(2, dtype=torch.float64) if turned else None)


def test_there_and_back(frame):
    joints, root = len(frame.skeleton), frame.skeleton.root
    inside = torch.randn(5, 2, joints - 1, 3, dtype=torch.float64)
    poses = frame.to_camera(inside)
    assert poses.shape == (5, 2, joints, 3)
    assert (poses[..., root, :] == 0).all()
    torch.testing.assert_close(frame.from_camera(poses), inside)
    junk = poses.clone()
    junk[..., root, :] = float("nan")
    assert torch.equal(frame.from_camera(junk), frame.from_camera(poses))


def test_joints_stay_in_order(frame):
    inside = torch.randn(2, len(frame.skeleton) - 1, 3, dtype=torch.float64)
    turned = inside if frame.rotation is None else inside @ frame.rotation  # rows: R^T x
    assert torch.equal(frame.to_camera(inside)[:, frame.skeleton.nonroot], turned)


def test_covariances_turn_with_the_poses(frame):
    """Of 2,000 draws: what is computed before the turn is what is measured after it, exactly."""
    inside = torch.randn(2000, 2, len(frame.skeleton) - 1, 3, dtype=torch.float64)
    before = torch.einsum("sbji,sbjk->bjik", inside, inside) / len(inside)
    poses = frame.to_camera(inside)
    after = torch.einsum("sbji,sbjk->bjik", poses, poses) / len(poses)
    torch.testing.assert_close(frame.covariance_to_camera(before), after)
