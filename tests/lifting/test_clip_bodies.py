"""Paths of one body."""

import pytest
import torch

from poseterior.geometry.kinematics import body_height, pose_to_bones
from poseterior.geometry.skeletons import SKELETONS
from poseterior.lifting.clips.bodies import mean_logs, of_size, with_body

H36M = SKELETONS["h36m17"]
SIZE = torch.tensor([1.6, 1.65, 1.7, 1.75, 1.8]).log()


@pytest.fixture
def motions(standing):
    """Five motions of 20 frames whose bones change by some centimetres."""
    generator = torch.Generator().manual_seed(0)
    poses = standing + 0.03 * torch.randn(5, 20, 17, 3, generator=generator)
    return poses - poses[..., :1, :]


def lengths(motions):
    return pose_to_bones(motions, H36M).norm(dim=-1)[..., list(H36M.nonroot)]


def test_bones_are_constant_and_as_asked(motions):
    body = of_size(mean_logs(motions, H36M), SIZE, H36M)
    rigid = with_body(motions, body, torch.full((20, 17, 3), 0.01), H36M)
    wanted = body.exp()[:, None, list(H36M.nonroot)].expand(-1, 20, -1)
    torch.testing.assert_close(lengths(rigid), wanted, atol=1e-6, rtol=0)
    assert torch.equal(rigid[..., 0, :], torch.zeros(5, 20, 3))


def test_motions_of_that_body_stay_as_they_are(motions):
    body = of_size(mean_logs(motions, H36M), SIZE, H36M)
    rigid = with_body(motions, body, torch.full((20, 17, 3), 0.01), H36M)
    again = with_body(rigid, body, torch.full((20, 17, 3), 0.01), H36M)
    torch.testing.assert_close(again, rigid, atol=1e-5, rtol=0)


def test_what_is_well_known_hardly_moves(motions):
    """Depth is uncertain by ten times as much: bones are put right along it."""
    mobility = torch.tensor([1e-4, 1e-4, 1e-2]).expand(20, 17, 3)
    # Limbs that point towards the camera, so that their depths can take up what is too much.
    motions = motions @ torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.7, 0.714], [0.0, -0.714, 0.7]])
    body = of_size(mean_logs(motions, H36M), SIZE, H36M)
    even = torch.full((20, 17, 3), 1e-2)
    moved, alike = (
        (with_body(motions, body, one, H36M) - motions)[:, :, [2, 3, 5, 6], 1].abs().mean() for one in (mobility, even)
    )
    assert moved < 0.6 * alike


def test_nearer_than_bones_laid_end_to_end(motions):
    """The ends of limbs do not take up the changes of all bones above them."""
    body = of_size(mean_logs(motions, H36M), SIZE, H36M)
    bones = pose_to_bones(motions, H36M)
    laid = bones / bones.norm(dim=-1, keepdim=True).clamp(min=1e-9) * body.exp()[:, None, :, None]
    from poseterior.geometry.kinematics import bones_to_pose

    rigid = with_body(motions, body, torch.full((20, 17, 3), 0.01), H36M)
    assert (rigid - motions).square().sum() < 0.8 * (bones_to_pose(laid, H36M) - motions).square().sum()


def test_bodies_are_as_large_as_drawn(motions):
    body = of_size(mean_logs(motions, H36M), SIZE, H36M)
    rigid = with_body(motions, body, torch.full((20, 17, 3), 0.01), H36M)
    torch.testing.assert_close(body_height(rigid), SIZE.exp()[:, None].expand(5, 20), atol=1e-5, rtol=0)
