"""Square roots of many matrices: their squares are the matrices again."""

from __future__ import annotations

import pytest
import torch

from poseterior.geometry.square_roots import square_root_from_one


def matrices(largest: float, count: int = 20, size: int = 34) -> torch.Tensor:
    """Eigenvalues from 1 to the largest, some of them alike."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(count, size, size, generator=generator, dtype=torch.float64)).Q
    share = torch.rand(count, size, generator=generator, dtype=torch.float64)
    share[:, :5], share[:, -1] = 0.0, 1.0
    return (axes * (largest**share).unsqueeze(-2)) @ axes.mT


@pytest.mark.parametrize("largest", [1.0, 1.3, 4.0, 60.0, 2e2, 1e6])
@pytest.mark.parametrize(("dtype", "roundings"), [(torch.float64, 100.0), (torch.float32, 30.0)])
def test_squared_they_are_the_matrices(largest: float, dtype: torch.dtype, roundings: float) -> None:
    matrix = matrices(largest).to(dtype)
    root = square_root_from_one(matrix).double()
    tolerance = roundings * torch.finfo(dtype).eps * largest
    torch.testing.assert_close(root @ root, matrix.double(), rtol=0, atol=tolerance)
    torch.testing.assert_close(root, root.mT, rtol=0, atol=tolerance)
    values = torch.linalg.eigvalsh(0.5 * (root + root.mT))
    assert float(values.min()) > 1.0 - tolerance


def test_of_no_matrices() -> None:
    assert square_root_from_one(torch.zeros(0, 4, 4)).shape == (0, 4, 4)


def test_company_changes_roundings_alone() -> None:
    """A matrix that takes more steps, and one that takes eigenvectors, beside one that takes few."""
    easy = matrices(2.0, 1)
    for hard in (500.0, 1e5):
        together = square_root_from_one(torch.cat([easy, matrices(hard, 1)]))[0]
        torch.testing.assert_close(together, square_root_from_one(easy)[0], rtol=0, atol=1e-12)
