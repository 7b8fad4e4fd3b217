"""Keypoints less certain than any that networks learnt from."""

import pytest
import torch

import poseterior as pp
from poseterior.geometry.cameras import project
from poseterior.geometry.kinematics import body_height
from poseterior.lifters.reach import within_reach


@pytest.mark.parametrize("name", ["mdn", "flow", "unsupervised"])
def test_people_do_not_shrink_when_the_detector_is_unsure(standing, name):
    """With 45 mm of noise, told as it is: taken as told, they came out at two thirds of their height."""
    generator = torch.Generator().manual_seed(0)
    intrinsics = torch.tensor([1200.0, 1200.0, 640.0, 480.0]).expand(60, 4)
    xy = project(standing.expand(60, 17, 3) + torch.tensor([0.2, 0.1, 4.0]), intrinsics)
    xy = xy + 13.5 * torch.randn(xy.shape, generator=generator)
    covariance = (13.5**2 * torch.eye(2)).expand(60, 17, 2, 2)
    keypoints = pp.Keypoints2D(xy, covariance, intrinsics=intrinsics, image_size=(1280, 960))
    lifter = pp.load(name).eval()
    with torch.no_grad():
        tall, as_told = (
            float(body_height(poses.sample((40,), seed=0)).median() / body_height(standing))
            for poses in (lifter(keypoints), lifter.distribution(keypoints))
        )
    assert tall > as_told + 0.04
    assert tall > 0.87


def test_what_is_certain_enough_stays_bit_for_bit():
    keypoints = pp.example_keypoints()
    assert within_reach(keypoints).covariance is keypoints.covariance
    one = keypoints._replace(visible=torch.zeros_like(keypoints.visible))
    assert within_reach(one.with_noise(torch.full((len(one),), 50.0))).covariance.isfinite().all()


def spread_of(keypoints: pp.Keypoints2D) -> torch.Tensor:
    """Mean standard deviation of the keypoints that are seen, in sizes of the person."""
    spread = keypoints.covariance.diagonal(dim1=-2, dim2=-1).mean(-1).sqrt()
    return torch.where(keypoints.visible, spread, 0.0).sum(-1) / keypoints.visible.sum(-1) / keypoints.size


def test_what_is_not_is_told_as_the_most_uncertain_that_was_learnt_from():
    keypoints = pp.example_keypoints()
    even = (0.1 * keypoints.size).square()[:, None, None, None] * torch.eye(2)
    wide = keypoints._replace(covariance=even.expand_as(keypoints.covariance))
    told = within_reach(wide)
    assert torch.equal(told.visible, wide.visible)
    torch.testing.assert_close(spread_of(told), torch.full((len(told),), 0.055), rtol=1e-3, atol=0)


def test_of_joints_that_could_be_anywhere_nothing_is_told():
    keypoints = pp.example_keypoints()
    assert not bool(within_reach(keypoints.with_noise(0.5 / spread_of(keypoints))).visible.any())
