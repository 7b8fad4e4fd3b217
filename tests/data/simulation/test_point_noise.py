"""Errors of 3D keypoints as a lifter makes them: what is told of them is true."""

from __future__ import annotations

import math

import torch

from poseterior.data.simulation.point_noise import lifted_errors
from poseterior.geometry.body import SMPL25, body_points, rest_offsets


def _errors(n: int = 4000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    points, _ = body_points(torch.eye(3).expand(1, 22, 3, 3), rest_offsets().expand(1, 25, 3))
    root = torch.tensor([[0.3, -0.2, 4.0]])
    generator = torch.Generator().manual_seed(seed)
    errors, covariance = lifted_errors(points.expand(n, 25, 3), root.expand(n, 3), generator)
    return errors, covariance, torch.nn.functional.normalize(points[0] + root, dim=-1)


def test_covariances_are_those_of_the_errors():
    """Whitened by its own covariance every error has mean square 1 in each direction, within 5 standard errors."""
    errors, covariance, _ = _errors()
    moving = [p for p, name in enumerate(SMPL25.joints) if name not in ("pelvis", "hip_centre")]
    lower = torch.linalg.cholesky(covariance[:, moving])
    white = torch.linalg.solve_triangular(lower, errors[:, moving].unsqueeze(-1), upper=False).squeeze(-1)
    assert float((white.square().mean(0) - 1.0).abs().max()) < 5 * (2 / 4000) ** 0.5
    assert float(white.mean(0).abs().max()) < 5 / 4000**0.5


def test_depth_is_more_uncertain_than_what_is_across():
    _, covariance, ray = _errors()
    wrist = SMPL25.index("left_wrist")
    along = torch.einsum("i,nij,j->n", ray[wrist], covariance[:, wrist], ray[wrist])
    side = torch.linalg.cross(ray[wrist], torch.tensor([1.0, 0.0, 0.0]))
    side = side / side.norm()  # nobody's size moves it much there
    across = torch.einsum("i,nij,j->n", side, covariance[:, wrist], side)
    ratio = (along / across).log()
    assert float(ratio.median()) > math.log(2)
    assert float((ratio > 0).float().mean()) > 0.7


def test_errors_go_down_the_chain_and_stay_on_their_side():
    errors, _, ray = _errors()
    deep = (errors * ray).sum(-1)
    knee, ankle, wrist = (SMPL25.index(name) for name in ("left_knee", "left_ankle", "right_wrist"))
    scaled = torch.sign(deep) * deep.abs().sqrt()  # of unequal sizes: not to be ruled by a few
    table = torch.corrcoef(scaled[:, [knee, ankle, wrist]].T)
    assert float(table[0, 1]) > 0.5
    assert abs(float(table[1, 2])) < 0.25
    near, far = SMPL25.index("neck"), SMPL25.index("left_ankle")
    shoulder = SMPL25.index("left_shoulder")
    assert float(torch.corrcoef(deep[:, [near, shoulder]].T)[0, 1]) > float(
        torch.corrcoef(deep[:, [near, far]].T)[0, 1]
    )


def test_the_root_is_mostly_exact():
    errors, covariance, _ = _errors()
    hips = SMPL25.index("hip_centre")
    exact = errors[:, hips].norm(dim=-1) == 0
    assert 0.7 < float(exact.float().mean()) < 0.9
    assert bool((covariance[exact, hips] == 0).all())


def test_one_seed_gives_one_answer():
    first, second = _errors(10, 3), _errors(10, 3)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[0], _errors(10, 4)[0])
