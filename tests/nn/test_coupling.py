"""Couplings and the evidence transform: exact Jacobians, round trips, known posteriors."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from zuko.transforms import ComposedTransform, DependentTransform, MonotonicAffineTransform, PermutationTransform

from poseterior.nn.coupling import (
    ConditionalCouplings,
    EvidenceTransform,
    FactoredMLP,
    HalvesCoupling,
    StandardisedCouplings,
)


def perturbed(module: torch.nn.Module, scale: float, seed: int = 0) -> torch.nn.Module:
    """Parameters moved away from the identity that couplings start as."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return module


def evidence_transform(
    batch: int, joints: int = 16, seed: int = 0, dtype: torch.dtype = torch.float64
) -> EvidenceTransform:
    g = torch.Generator().manual_seed(seed)
    lower = torch.diag_embed(0.01 + 0.1 * torch.rand(batch, joints, 3, generator=g))
    lower[..., [1, 2, 2], [0, 0, 1]] = 0.05 * torch.randn(batch, joints, 3, generator=g)
    parts = (
        0.3 * torch.randn(batch, joints, 3, generator=g),
        0.2 * torch.randn(batch, joints, 2, generator=g),
        lower,
        0.5 * torch.randn(batch, 3 * joints, 4, generator=g),
    )
    return EvidenceTransform(*(part.to(dtype) for part in parts))


def full_transform(
    coupling: str, batch: int, dtype: torch.dtype = torch.float64, scale: float = 0.05
) -> ComposedTransform:
    stack = ConditionalCouplings(48, 7, 6, (32, 32), coupling).to(torch.float64)
    perturbed(stack, scale)
    context = torch.randn(batch, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    stack, context = stack.to(dtype), context.to(dtype)
    return StandardisedCouplings(evidence_transform(batch, dtype=dtype), stack(context))


def likely_poses(transform: ComposedTransform, n: int) -> Tensor:
    """``(n, batch, 48)`` as wide as the evidence transform expects them."""
    standardise = transform.transforms[0]
    latent = torch.randn(n, len(standardise.loc), 48, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return standardise.inv(latent.to(standardise.loc.dtype))


def test_factored_network_equals_the_network_of_the_concatenation() -> None:
    net = FactoredMLP(5, 7, (11, 13), 3).double()
    x, context = torch.randn(4, 2, 5).double(), torch.randn(2, 7).double()
    first = torch.nn.Linear(12, 11).double()
    first.weight.data = torch.cat([net.own.weight, net.shared.weight], 1).data
    first.bias.data = net.shared.bias.data
    together = torch.cat([x, context.expand(4, 2, 7)], -1)
    expected = net.rest(first(together))
    assert torch.allclose(net(x, net.prepare(context)), expected, rtol=0, atol=1e-13)


def test_couplings_start_as_a_permutation() -> None:
    stack = ConditionalCouplings(10, 3, 4, (8, 8)).double()
    x = torch.randn(6, 10).double()
    z, ladj = stack(torch.randn(6, 3).double()).call_and_ladj(x)
    assert torch.equal(z.sort(-1).values, x.sort(-1).values)
    assert torch.equal(ladj, torch.zeros(6).double())


def test_fixed_permutations_are_part_of_the_weights() -> None:
    stack = ConditionalCouplings(48, 3, 2, (8, 8))
    assert torch.equal(stack.state_dict()["orders"].sort(-1).values, torch.arange(48).expand(2, 48))
    assert torch.equal(stack.orders, ConditionalCouplings(48, 3, 2, (8, 8)).orders)


@pytest.mark.parametrize("coupling", ["affine", "spline"])
def test_log_determinant_is_that_of_the_autograd_jacobian(coupling: str) -> None:
    transform = full_transform(coupling, 1)
    x = likely_poses(transform, 1)[0, 0]
    jacobian = torch.autograd.functional.jacobian(lambda v: transform(v.unsqueeze(0))[0], x)
    _, ladj = transform.call_and_ladj(x.unsqueeze(0))
    assert abs(float(torch.linalg.slogdet(jacobian).logabsdet - ladj[0])) <= 1e-9


@pytest.mark.parametrize("coupling", ["affine", "spline"])
def test_log_determinants_of_both_directions_cancel(coupling: str) -> None:
    transform = full_transform(coupling, 3)
    x = likely_poses(transform, 5)
    z, there = transform.call_and_ladj(x)
    # zuko's general inverse has no log-determinant of its own: it is the negative at the pre-image.
    back = -transform.log_abs_det_jacobian(transform.inv(z), z)
    assert torch.allclose(there + back, torch.zeros_like(there), atol=1e-9)


@pytest.mark.parametrize("coupling", ["affine", "spline"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)], ids=["float64", "float32"]
)
def test_round_trips_both_ways(coupling: str, dtype: torch.dtype, tolerance: float) -> None:
    """Unit-normal latents; poses as wide as the evidence transform expects them."""
    transform = full_transform(coupling, 4, dtype)
    generator = torch.Generator().manual_seed(4)
    latent = torch.randn(50, 4, 48, generator=generator, dtype=torch.float64).to(dtype)
    pose = transform.inv(latent)
    assert torch.allclose(transform(pose), latent, rtol=0, atol=tolerance)
    pose = likely_poses(transform, 50)
    assert torch.allclose(transform.inv(transform(pose)), pose, rtol=0, atol=tolerance)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_evidence_transform_whitens_its_own_gaussian(seed: int) -> None:
    """Its density with normal latents is the Gaussian of torch.distributions with the documented covariance."""
    transform = evidence_transform(1, joints=4, seed=seed)
    lower = torch.block_diag(*transform.scale_tril[0])
    shear = torch.eye(12, dtype=torch.float64)
    for joint in range(4):
        shear[3 * joint, 3 * joint + 2] = transform.slope[0, joint, 0]
        shear[3 * joint + 1, 3 * joint + 2] = transform.slope[0, joint, 1]
    tie = torch.eye(12, dtype=torch.float64) + transform.factor[0] @ transform.factor[0].T
    root = shear @ lower @ tie
    expected = torch.distributions.MultivariateNormal(transform.loc[0].flatten(), root @ root.T)
    x = transform.loc.flatten(1) + 0.2 * torch.randn(3, 1, 12, dtype=torch.float64)
    z, ladj = transform.call_and_ladj(x)
    found = ladj - 0.5 * z.square().sum(-1) - 6 * math.log(2 * math.pi)
    assert torch.allclose(found, expected.log_prob(x), rtol=1e-9, atol=1e-7)


def fit(stack: ConditionalCouplings, draw, steps: int, batch: int = 512, rate: float = 3e-3) -> None:
    optimiser = torch.optim.Adam(stack.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x, context = draw(batch)
        loss = nll(stack, x, context).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def nll(stack: ConditionalCouplings, x: Tensor, context: Tensor) -> Tensor:
    z, ladj = stack(context).call_and_ladj(x)
    return 0.5 * z.square().sum(-1) + 0.5 * x.shape[-1] * math.log(2 * math.pi) - ladj


@pytest.mark.slow
def test_linear_gaussian_posterior_is_learnt_within_a_fiftieth_of_a_nat() -> None:
    torch.manual_seed(0)
    mixing, noise = torch.randn(3, 4), 0.5

    def draw(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, 4)
        return x, x @ mixing.T + noise * torch.randn(n, 3)

    stack = ConditionalCouplings(4, 3, 6, (32, 32))
    fit(stack, draw, 1500)
    covariance = torch.linalg.inv(torch.eye(4) + mixing.T @ mixing / noise**2)
    x, context = draw(20_000)
    truth = torch.distributions.MultivariateNormal(context @ mixing @ covariance / noise**2, covariance)
    with torch.no_grad():
        gap = float((nll(stack, x, context) + truth.log_prob(x)).mean())
    assert abs(gap) <= 0.02


@pytest.mark.slow
def test_depth_flip_is_learnt_with_both_modes() -> None:
    """A joint whose length is known and whose depth sign is not: two modes of weight one half."""
    torch.manual_seed(0)
    spread = 0.1

    def centre(context: Tensor) -> Tensor:
        return (1.0 - context[:, 0].square()).sqrt()

    def draw(n: int) -> tuple[Tensor, Tensor]:
        context = 1.6 * torch.rand(n, 1) - 0.8
        sign = 2.0 * (torch.rand(n) < 0.5) - 1.0
        depth = sign * centre(context) + spread * torch.randn(n)
        return torch.stack([context[:, 0] + spread * torch.randn(n), depth], -1), context

    stack = ConditionalCouplings(2, 1, 4, (48, 48), "spline", bins=16, bound=4.0)
    fit(stack, draw, 3000)
    x, context = draw(20_000)
    lateral = torch.distributions.Normal(context[:, 0], spread).log_prob(x[:, 0])
    sides = torch.stack([torch.distributions.Normal(s * centre(context), spread).log_prob(x[:, 1]) for s in (-1, 1)])
    truth = lateral + sides.logsumexp(0) - math.log(2)
    with torch.no_grad():
        gap = float((nll(stack, x, context) + truth).mean())
        same = torch.full((20_000, 1), 0.3)
        drawn = stack(same).inv(torch.randn(20_000, 2))
    assert abs(gap) <= 0.02
    front = float((drawn[:, 1] > 0).float().mean())
    assert abs(front - 0.5) <= 0.05
    for sign in (-1, 1):
        side = drawn[drawn[:, 1] * sign > 0, 1]
        assert abs(float(side.mean()) - sign * math.sqrt(1 - 0.09)) <= 0.03


def zuko_affine(stack: ConditionalCouplings, context: Tensor) -> ComposedTransform:
    """The same couplings of zuko's parts."""
    steps = []
    for net, order in zip(stack.nets, stack.orders, strict=True):
        prepared = net.prepare(context)

        def meta(half: Tensor, net=net, prepared=prepared) -> DependentTransform:
            shift, scale = net(half.clamp(-stack.reach, stack.reach), prepared).chunk(2, -1)
            return DependentTransform(MonotonicAffineTransform(shift, scale), 1)

        steps += [PermutationTransform(order), HalvesCoupling(meta, stack.size)]
    return ComposedTransform(*steps)


@pytest.mark.parametrize("size", [(5,), (700, 3), (2, 2500), ()])
def test_affine_couplings_in_blocks_are_those_of_zuko(size: tuple[int, ...]) -> None:
    stack = ConditionalCouplings(9, 4, 5, (16, 16)).double().requires_grad_(False)
    perturbed(stack, 0.3)
    generator = torch.Generator().manual_seed(3)
    context = torch.randn(*size[-1:], 4, generator=generator, dtype=torch.float64)
    x = torch.randn(*size, 9, generator=generator, dtype=torch.float64)
    ours, theirs = stack(context), zuko_affine(stack, context)
    for tracked in (False, True):
        with torch.set_grad_enabled(tracked):
            latent, ladj = ours.call_and_ladj(x)
            expected, expected_ladj = theirs.call_and_ladj(x)
            torch.testing.assert_close(latent, expected, atol=1e-11, rtol=0)
            torch.testing.assert_close(ladj, expected_ladj, atol=1e-11, rtol=0)
            back, inverse_ladj = ours.inv_and_ladj(latent)
            torch.testing.assert_close(back, x, atol=1e-9, rtol=0)
            torch.testing.assert_close(inverse_ladj, -ladj, atol=1e-9, rtol=0)
            torch.testing.assert_close(ours.inv(latent), x, atol=1e-9, rtol=0)


@pytest.mark.parametrize("coupling", ["affine", "spline"])
def test_the_density_of_a_draw_comes_with_it(coupling: str) -> None:
    transform = full_transform(coupling, 3)
    poses = likely_poses(transform, 4)
    latent, ladj = transform.call_and_ladj(poses)
    back, inverse = transform.inv_and_ladj(latent)
    torch.testing.assert_close(back, poses, atol=1e-8, rtol=0)
    torch.testing.assert_close(inverse, -ladj, atol=1e-6, rtol=0)
