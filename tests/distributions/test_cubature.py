"""The points behind a flow's mean and covariance."""

from __future__ import annotations

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
