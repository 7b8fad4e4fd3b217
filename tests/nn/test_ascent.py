"""Newton's method finds the top of log-densities."""

from __future__ import annotations

import torch
from torch import Tensor

from poseterior.nn.ascent import climbed

F64 = torch.float64


def climb(density, start: Tensor) -> Tensor:
    def slope(x: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            at = x.detach().requires_grad_()
            height = density(at, which)
            (gradient,) = torch.autograd.grad(height.sum(), at)
        return height.detach(), gradient

    return climbed(density, slope, start)


def test_the_top_of_gaussians() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(3, 6, 6, generator=generator, dtype=F64)
    precision = root @ root.mT + 0.1 * torch.eye(6, dtype=F64)
    mean = torch.randn(3, 6, generator=generator, dtype=F64)

    def density(x: Tensor, which: Tensor) -> Tensor:
        offset = (x - mean[which]).unsqueeze(-1)
        return -0.5 * (offset.mT @ precision[which] @ offset)[..., 0, 0]

    start = 3.0 * torch.randn(3, 6, generator=generator, dtype=F64)
    torch.testing.assert_close(climb(density, start), mean, atol=1e-6, rtol=0)


def test_from_where_the_density_curves_upwards() -> None:
    def density(x: Tensor, which: Tensor) -> Tensor:
        """A ring of radius 2 whose highest place is on the first axis."""
        return -20.0 * (x.norm(dim=-1) - 2.0).square() + x[..., 0]

    start = torch.tensor([[0.05, 0.02], [-2.0, 0.5], [6.0, 6.0]], dtype=F64)
    top = torch.tensor([2.025, 0.0], dtype=F64)
    torch.testing.assert_close(climb(density, start), top.expand(3, 2), atol=2e-2, rtol=0)


def test_never_lower_than_the_start_and_still_where_nothing_is_known() -> None:
    def density(x: Tensor, which: Tensor) -> Tensor:
        return torch.where(which == 1, torch.nan, -(x.sin() * 3.0).square().sum(-1) - 0.1 * x.square().sum(-1))

    start = torch.tensor([[1.4, 4.0], [1.0, 1.0], [0.0, 0.0]], dtype=F64)
    top = climb(density, start)
    each = torch.arange(3)
    assert density(top, each)[0] > density(start, each)[0] + 1.0
    assert torch.equal(top[1:], start[1:])
