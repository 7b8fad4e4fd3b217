"""Lower triangles along a diagonal, kept as bands: against whole matrices."""

from __future__ import annotations

import torch

from poseterior.geometry.bands import bands_of, inverse_bands, squares, times_bands

F64 = torch.float64


def triangles(*batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    lower = torch.randn(*batch, 3, 3, generator=generator, dtype=F64).tril()
    return lower + 3.0 * torch.eye(3, dtype=F64) * lower.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-1)


def test_products_are_those_of_the_whole_matrix() -> None:
    lower = triangles(4, 5)
    vectors = torch.randn(4, 15, generator=torch.Generator().manual_seed(1), dtype=F64)
    for row in range(4):
        whole = torch.block_diag(*lower[row])
        torch.testing.assert_close(times_bands(bands_of(lower), vectors)[row], whole @ vectors[row])
        back = times_bands(inverse_bands(lower), vectors)[row]
        torch.testing.assert_close(back, torch.linalg.solve(whole, vectors[row]))


def test_bands_and_vectors_are_broadcast() -> None:
    lower = triangles(2, 1, 5)
    vectors = torch.randn(2, 7, 15, generator=torch.Generator().manual_seed(1), dtype=F64)
    found = times_bands(bands_of(lower), vectors)
    wanted = (lower @ vectors.unflatten(-1, (5, 3)).unsqueeze(-1)).squeeze(-1).flatten(-2)
    torch.testing.assert_close(found, wanted)


def test_gradients_reach_bands_and_vectors() -> None:
    lower, vectors = triangles(2, 2).requires_grad_(), torch.ones(2, 6, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: times_bands(bands_of(a), b), (lower, vectors))


def test_squares_are_products_with_the_transpose() -> None:
    lower = triangles(6)
    whole = lower @ lower.mT
    upper = torch.triu_indices(3, 3)
    torch.testing.assert_close(squares(lower), whole[:, upper[0], upper[1]])
