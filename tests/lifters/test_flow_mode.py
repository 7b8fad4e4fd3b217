"""The mode of a flow is the top of its density, and summaries take samples that are there already."""

from __future__ import annotations

import pytest
import torch

import poseterior as pp
from poseterior.distributions.drawn import Drawn
from poseterior.distributions.flow import FlowPoseDistribution


@pytest.fixture(scope="module")
def posterior() -> FlowPoseDistribution:
    lifter = pp.load("flow")
    return lifter.distribution(pp.example_keypoints()[:3].as_skeleton(lifter.skeleton))


def test_no_small_change_is_denser_than_the_mode(posterior: FlowPoseDistribution) -> None:
    mode = posterior.mode
    assert (mode[:, 0] == 0).all()
    height = posterior.log_prob(mode)
    generator = torch.Generator().manual_seed(0)
    spread = posterior.sample((50,), seed=0).std(0)
    around = mode + 0.01 * spread * torch.randn(400, *mode.shape, generator=generator)
    assert (posterior.log_prob(around) < height + 0.02).all()
    assert (posterior.log_prob(posterior.sample((300,), seed=1)) < height).all()


def test_gradient_ascent_ends_no_higher(posterior: FlowPoseDistribution) -> None:
    mode = posterior.mode
    draws = torch.cat([posterior.sample((63,), seed=0), posterior.z0.unsqueeze(0)])
    start = draws[posterior.log_prob(draws).argmax(0), torch.arange(len(mode))]
    spread = posterior._from_camera(draws).std(0).clamp(min=1e-4)
    ascended = posterior._climbed_by_adam(posterior._from_camera(start), spread)
    assert (posterior.log_prob(mode) > posterior.log_prob(ascended) - 0.01).all()


def test_densities_from_drawing_are_those_of_the_poses(posterior: FlowPoseDistribution) -> None:
    poses, density = posterior.sample_and_log_prob((300,), seed=2)
    torch.testing.assert_close(density, posterior.log_prob(poses), atol=2e-2, rtol=0)
    torch.testing.assert_close(poses, posterior.sample((300,), seed=2), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["flow", "mdn"])
def test_regions_take_samples_that_are_there(name: str) -> None:
    poses = pp.load(name)(pp.example_keypoints()[:2])
    expected = poses.region(0.8)
    count, seed = poses.recalibration.samples, poses.recalibration.seed
    given = poses.region(0.8, Drawn(count, seed, poses.sample((count,), seed=seed)))
    assert torch.equal(given.radius, expected.radius)
    assert torch.equal(given.centre, expected.centre)
    wrong = torch.zeros(count + 1, 2, 17, 3)
    for other in (Drawn(count + 1, seed, wrong), Drawn(count, seed + 1, wrong[1:])):
        assert torch.equal(poses.region(0.8, other).radius, expected.radius)
