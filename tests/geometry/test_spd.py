"""Inverses and square roots by products alone, against torch's decompositions in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from poseterior.geometry.linalg import inverse_lower_3x3
from poseterior.geometry.spd import (
    block_diagonal,
    inverse_2x2,
    inverse_3x3,
    inverse_square_root,
    inverse_within,
)

F64 = torch.float64


def positive(size: int, count: int = 40) -> Tensor:
    root = torch.randn(count, size, size, dtype=F64, generator=torch.Generator().manual_seed(size))
    return root @ root.mT + 0.1 * torch.eye(size, dtype=F64)


@pytest.mark.parametrize(("condition", "tolerance"), [(1.0, 1e-13), (1e4, 1e-11), (1e8, 1e-8), (1e11, 1e-5)])
def test_inverse_square_root(condition: float, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(20, 34, 34, dtype=F64, generator=generator)).Q
    values = torch.logspace(0, torch.tensor(condition).log10().item(), 34, dtype=F64)
    root = inverse_square_root(axes * values @ axes.mT)
    torch.testing.assert_close(root, axes * values.rsqrt() @ axes.mT, atol=tolerance, rtol=0)


def test_inverse_within_one_and_two() -> None:
    axes = torch.linalg.qr(torch.randn(34, 34, dtype=F64, generator=torch.Generator().manual_seed(1))).Q
    matrix = axes * torch.linspace(1, 2, 34, dtype=F64) @ axes.mT
    torch.testing.assert_close(inverse_within(matrix), torch.linalg.inv(matrix), atol=1e-14, rtol=0)


def test_small_closed_forms() -> None:
    two, three = positive(2), positive(3)
    torch.testing.assert_close(inverse_2x2(two), torch.linalg.inv(two), rtol=1e-9, atol=1e-9)
    lower = torch.linalg.cholesky(three)
    torch.testing.assert_close(inverse_lower_3x3(lower), torch.linalg.inv(lower), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(inverse_3x3(three), torch.linalg.inv(three), rtol=1e-9, atol=1e-9)


def test_block_diagonal() -> None:
    blocks = positive(3, 4)
    torch.testing.assert_close(block_diagonal(blocks), torch.block_diag(*blocks), atol=0, rtol=0)
