"""Affine couplings without gradients are those with gradients; their slope is that of automatic differentiation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from poseterior.nn.affine_couplings import AffineCouplings
from poseterior.nn.coupling import ConditionalCouplings

F64 = torch.float64


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def couplings(batch: tuple[int, ...], dtype: torch.dtype = F64) -> AffineCouplings:
    """A stack whose weights and steepness are far from where training starts, of 12 coordinates."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stack = ConditionalCouplings(12, 5, 4, (16, 16), reach=2.0).double()
        for net in stack.nets:
            nn.init.normal_(net.rest[-1].weight, std=0.3)  # type: ignore[index, union-attr]
    transform = stack.to(dtype).requires_grad_(False)(numbers(*batch, 5, seed=1).to(dtype))
    assert isinstance(transform, AffineCouplings)
    return transform


@pytest.mark.parametrize(
    ("samples", "batch"), [((3,), (2,)), ((700,), (7,)), ((), (5000,)), ((4, 5), ()), ((6,), (2, 3))]
)
def test_both_ways_are_the_same_map(samples: tuple[int, ...], batch: tuple[int, ...]) -> None:
    transform, x = couplings(batch), numbers(*samples, *batch, 12, seed=2)
    for map_ in (transform.call_and_ladj, transform.inv_and_ladj):
        expected = map_(x)
        with torch.no_grad():
            found = map_(x)
        torch.testing.assert_close(found, expected, atol=1e-11, rtol=1e-11)


@torch.no_grad()
def test_single_precision_is_near_double() -> None:
    x = numbers(300, 20, 12, seed=3)
    exact, ladj = couplings((20,)).inv_and_ladj(x)
    single, its = couplings((20,), torch.float32).inv_and_ladj(x.float())
    torch.testing.assert_close(single.double(), exact, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(its.double(), ladj, atol=1e-4, rtol=1e-4)


def test_what_is_given_stays_as_it_was() -> None:
    transform, x = couplings((3,)), numbers(4, 3, 12)
    before = x.clone()
    with torch.no_grad():
        transform.call_and_ladj(x), transform.inv_and_ladj(x), transform.slope(x, 1.0, torch.arange(3))
    assert torch.equal(x, before)


def test_slopes_are_those_of_automatic_differentiation() -> None:
    transform, x = couplings((3,)), numbers(5, 2, 12, seed=4).requires_grad_()
    poses = torch.tensor([2, 0])
    one = AffineCouplings(transform.nets, [part[poses] for part in transform.prepared], transform.orders, 2.0)
    latent, ladj = one.call_and_ladj(x)
    expected = ladj - 0.5 * latent.square().sum(-1) / 1.1**2
    (gradient,) = torch.autograd.grad(expected.sum(), x)
    assert (x.abs() > 2.0).any()  # beyond the couplings' reach nothing changes with them
    with torch.no_grad():
        height, slope = transform.slope(x, 1.1, poses)
        torch.testing.assert_close(transform.height(x, 1.1, poses), height)
    torch.testing.assert_close(height, expected.detach())
    torch.testing.assert_close(slope, gradient, atol=1e-10, rtol=1e-10)
