"""A told height as a measurement of the pose."""

from __future__ import annotations

import math

import torch

from poseterior.distributions.bodies import size_gradient
from poseterior.distributions.told_height import _BLUR, TOLD, height_map, then
from poseterior.geometry.body import H36M_POINTS, body_points, rest_offsets
from poseterior.geometry.kinematics import body_height
from poseterior.geometry.skeletons import get_skeleton

H36M = get_skeleton("h36m17")


def rest_pose() -> torch.Tensor:
    points, _ = body_points(torch.eye(3).expand(1, 22, 3, 3), rest_offsets().expand(1, -1, -1))
    return (points[0, H36M_POINTS] - points[0, H36M_POINTS[:1]]).double()


def gaussian(spread: float, n: int = 3, draws: int = 4000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draws, mean and covariance of poses about the rest pose."""
    generator = torch.Generator().manual_seed(0)
    lower = spread * torch.randn(n, 48, 48, generator=generator, dtype=torch.float64) / math.sqrt(48)
    covariance = lower @ lower.mT
    mean = rest_pose()[list(H36M.nonroot)].flatten().repeat(n, 1)
    half = torch.randn(draws // 2, n, 48, generator=generator, dtype=torch.float64)
    flat = mean + (lower @ torch.cat([half, -half]).unsqueeze(-1)).squeeze(-1)
    poses = torch.zeros(draws, n, 17, 3, dtype=torch.float64)
    poses[:, :, list(H36M.nonroot)] = flat.unflatten(-1, (-1, 3))
    return poses, mean, covariance


def test_the_gradient_is_that_of_the_height():
    pose = (rest_pose() + 0.01 * torch.randn(17, 3, generator=torch.Generator().manual_seed(1))).requires_grad_()
    (expected,) = torch.autograd.grad(body_height(pose), pose)
    torch.testing.assert_close(size_gradient(pose.detach(), H36M), expected, atol=1e-12, rtol=0)


def test_where_the_height_is_linear_it_is_the_kalman_update():
    poses, mean, covariance = gaussian(1e-4)
    told = body_height(rest_pose()) + torch.tensor([0.0, 0.0002, float("nan")], dtype=torch.float64)
    found = height_map(poses, mean, covariance, told)
    slope = size_gradient(rest_pose(), H36M)[list(H36M.nonroot)].flatten()
    along = covariance @ slope
    noise = 1.0 / (1.0 / (TOLD * told) ** 2 - 1.0 / ((TOLD * told) ** 2 + _BLUR**2))
    total = along @ slope + noise
    step = (told - body_height(rest_pose())) / total
    torch.testing.assert_close(found.after[:2], (mean + along * step.unsqueeze(-1))[:2], atol=1e-8, rtol=0)
    after = covariance - along.unsqueeze(-1) * along.unsqueeze(-2) / total[:, None, None]
    moved = found.forward @ covariance @ found.forward.mT
    torch.testing.assert_close(moved[:2], after[:2], atol=1e-11, rtol=1e-5)
    torch.testing.assert_close(found.forward[2], torch.eye(48, dtype=torch.float64))
    torch.testing.assert_close(found.after[2], mean[2])


def test_the_map_is_invertible_and_says_its_determinant():
    poses, mean, covariance = gaussian(0.05)
    found = height_map(poses, mean, covariance, torch.full((3,), 1.9, dtype=torch.float64))
    identity = torch.eye(48, dtype=torch.float64).expand(3, -1, -1)
    torch.testing.assert_close(found.forward @ found.backward, identity, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.log_det, torch.linalg.slogdet(found.forward).logabsdet)
    twice = then(found, height_map(poses, found.after, covariance, torch.full((3,), 1.7, dtype=torch.float64)))
    torch.testing.assert_close(twice.forward @ twice.backward, identity, atol=1e-9, rtol=0)
    torch.testing.assert_close(twice.log_det, torch.linalg.slogdet(twice.forward).logabsdet)


def test_uncertain_bones_are_longer_than_those_of_the_mean_pose():
    poses, mean, covariance = gaussian(0.1)
    told = body_height(poses).mean(0)
    found = height_map(poses, mean, covariance, told)
    # told exactly what it expects, it stays where it is, though its mean pose is shorter
    assert float((told - body_height(rest_pose())).min()) > 0.01
    torch.testing.assert_close(found.after, mean, atol=1e-9, rtol=0)
