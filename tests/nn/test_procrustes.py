"""The rotation nearest to a matrix, in closed form."""

from __future__ import annotations

import pytest
import roma
import torch
from torch import Tensor

from poseterior.geometry.nearest_rotations import nearest_rotation, procrustes

F64 = torch.float64
N = 2000


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def rotation(seed: int) -> Tensor:
    return roma.special_gramschmidt(normal(N, 3, 3, seed=seed))


def by_decomposition(matrix: Tensor) -> Tensor:
    u, _, vh = torch.linalg.svd(matrix)
    turn = torch.linalg.det(u @ vh)
    return torch.cat([u[..., :2], u[..., 2:] * turn[..., None, None]], -1) @ vh


def lines() -> Tensor:
    """Points on one line, and a little of a usual rotation."""
    a, b = normal(N, 3, 1, seed=2), normal(N, 1, 3, seed=3)
    return a / a.norm(dim=1, keepdim=True) * b / b.norm(dim=2, keepdim=True) + 1e-3 * rotation(4)


MATRICES = {
    "any": normal(N, 3, 3, seed=0),
    "a rotation": rotation(1),
    "a small one": 1e-6 * rotation(1),
    "a reflection, nearly": -rotation(1) + 0.05 * normal(N, 3, 3, seed=5),
    "points on a line": lines(),
    "next to the identity": torch.eye(3, dtype=F64) + 0.05 * normal(N, 3, 3, seed=6),
}


@pytest.mark.parametrize("name", MATRICES)
def test_it_is_that_of_the_decomposition(name):
    """To the size of rounding over how nearly a second rotation is as near."""
    matrix = MATRICES[name]
    found, expected = procrustes(matrix), by_decomposition(matrix)
    s = torch.linalg.svdvals(matrix)
    sign = torch.linalg.det(matrix).sign()
    clear = (s[:, 1] + sign * s[:, 2]) / s[:, 0] > 1e-4
    assert clear.float().mean() > 0.9
    torch.testing.assert_close(found[clear], expected[clear], atol=1e-7, rtol=0)
    eye = torch.eye(3, dtype=F64)
    torch.testing.assert_close(found.mT @ found, eye.expand_as(found), atol=1e-6, rtol=0)
    assert float((torch.linalg.det(found) - 1).abs().max()) < 1e-6
    single = procrustes(matrix.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single[clear].double(), expected[clear], atol=2e-3, rtol=0)


def test_matrices_that_fix_no_rotation_give_one():
    matrix = torch.stack([torch.zeros(3, 3), torch.ones(3, 3), torch.diag(torch.tensor([1.0, 1.0, -1.0])).double()])
    found = procrustes(matrix.double())
    torch.testing.assert_close(found.mT @ found, torch.eye(3, dtype=F64).expand(3, 3, 3))
    assert bool((torch.linalg.det(found) > 0).all())
    assert procrustes(torch.zeros(0, 3, 3)).shape == (0, 3, 3)


def test_a_row_does_not_depend_on_the_others():
    matrix = MATRICES["any"].float()
    assert torch.equal(procrustes(matrix)[7:9], procrustes(matrix[7:9]))


def test_gradients_are_those_of_finite_differences():
    raw = (0.3 * normal(4, 9, seed=8)).requires_grad_(True)
    assert torch.autograd.gradcheck(nearest_rotation, raw)
    with torch.no_grad():
        without = nearest_rotation(raw)
    torch.testing.assert_close(nearest_rotation(raw.detach()), without)
    angle = (without @ nearest_rotation(raw).detach().mT).diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(angle, torch.full_like(angle, 3.0), atol=1e-9, rtol=0)
