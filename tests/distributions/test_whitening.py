"""Densities of mixtures by products of matrices are those of one component after the other."""

from __future__ import annotations

import pytest
import roma
import torch
from torch import Tensor, nn

from poseterior.distributions.mixture import MixturePoseDistribution

F64 = torch.float64


def mixture(batch: tuple[int, ...], factors: int | None, dtype: torch.dtype = F64) -> MixturePoseDistribution:
    """Five components of millimetres to decimetres, half a metre apart; ``factors``: how many have their own ties."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*batch, *shape, generator=generator, dtype=F64)

    lower = torch.diag_embed(0.002 + 0.1 * torch.rand(*batch, 5, 16, 3, generator=generator, dtype=F64))
    lower[..., [1, 2, 2], [0, 0, 1]] = 0.05 * normal(5, 16, 3)
    factor = None if factors is None else (3.0 * normal(factors, 48, 4)).to(dtype)
    turn = roma.unitquat_to_rotmat(nn.functional.normalize(normal(4), dim=-1))
    parts = [part.to(dtype) for part in (normal(5), 0.5 * normal(5, 16, 3), lower)]
    return MixturePoseDistribution(*parts, factor, turn.to(dtype))


def plain(poses: MixturePoseDistribution, value: Tensor) -> Tensor:
    each = poses.log_weights + poses._component_log_prob(poses.frame.from_camera(value), None)
    return each.logsumexp(-1)


@pytest.mark.parametrize("factors", [None, 1, 5])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
def test_as_one_component_after_the_other(batch: tuple[int, ...], factors: int | None) -> None:
    poses = mixture(batch, factors)
    value = poses.sample((50,), seed=0)
    found = poses.log_prob(value)
    assert "whitening" in poses._cache
    torch.testing.assert_close(found, plain(poses, value), atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(poses.log_prob(value.reshape(5, 10, *value.shape[1:])).reshape(found.shape), found)


def test_single_precision_is_as_exact_as_before() -> None:
    value = mixture((4,), 1).sample((200,), seed=0).float()
    single = mixture((4,), 1, torch.float32)
    double = MixturePoseDistribution(
        single.log_weights.double(), single.loc.double(), single.scale_tril.double(), single.factor.double(),
        single.rotation.double(),
    )  # fmt: skip
    exact = plain(double, value.double())
    error, before = ((found - exact).abs() for found in (single.log_prob(value), plain(single, value)))
    assert error.mean() < 1.5 * before.mean()
    assert error.max() < 2.0 * before.max()


def test_gradients_and_few_poses_take_the_other_way() -> None:
    poses = mixture((2,), 1)
    value = poses.sample((30,), seed=1).requires_grad_()
    poses.log_prob(value).sum().backward()
    assert value.grad is not None
    assert value.grad.isfinite().all()
    poses.log_prob(value.detach()[:3])
    assert "whitening" not in poses._cache
