"""The points behind a flow's mean and covariance."""

from __future__ import annotations

import pytest
import torch

import poseterior as pp
from poseterior.distributions.flow import cubature_points


def test_points_have_the_moments_of_a_standard_normal_up_to_the_third():
    points = cubature_points(48)
    assert points.shape == (96, 48)
    torch.testing.assert_close(points.mean(0), torch.zeros(48, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(points.T @ points / 96, torch.eye(48, dtype=torch.float64), atol=1e-12, rtol=0)
    third = torch.einsum("ni,nj,nk->ijk", points, points, points) / 96
    torch.testing.assert_close(third, torch.zeros(48, 48, 48, dtype=torch.float64), atol=1e-10, rtol=0)
    assert torch.equal(points, cubature_points(48))


def test_the_flows_moments_are_nearer_to_those_of_all_draws_than_those_of_256():
    poses = pp.load("flow", evidence=False)(pp.example_keypoints())
    torch.manual_seed(0)
    many = torch.cat([poses.sample((1500,)) for _ in range(2)])
    mean, covariance = many.mean(0), poses._moments_of(many, len(many) - 1)[1]
    few = poses._draws_for_summary(256)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    ours, theirs = poses._joint_moments(), poses._moments_of(few, 255)

    def misfit(found: torch.Tensor) -> float:
        return float(((found - covariance).norm(dim=(-2, -1)) / trace).mean())

    assert float((ours[0] - mean).norm(dim=-1).mean()) < 0.012
    assert misfit(ours[1]) < misfit(theirs[1])
    torch.testing.assert_close(poses.mean, ours[0])


@pytest.mark.parametrize("poses", [1, 3])
def test_draws_are_the_same_bits_whether_the_moments_come_along_or_not(poses: int) -> None:
    keypoints = pp.example_keypoints()[:poses]
    for evidence in (False, True):
        lifter = pp.load("flow", evidence=evidence)
        with torch.no_grad():
            along, before = lifter(keypoints), lifter(keypoints)
            first = along.sample_and_log_prob((120,), seed=1)
            before.mean  # noqa: B018 - now its moments are there
            for a, b in zip(first, before.sample_and_log_prob((120,), seed=1), strict=True):
                assert torch.equal(a, b)
            assert torch.equal(first[0], along.sample((120,), seed=1))
            torch.testing.assert_close(along.mean, before.mean, atol=1e-6, rtol=0)
            torch.testing.assert_close(along.covariance, before.covariance, atol=1e-6, rtol=1e-4)
