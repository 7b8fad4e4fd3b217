"""Critics: networks that tell a lifter's answers from real ones, and learn beside it with an optimiser of their own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = [
    "critic_loss",
    "gradient_penalty",
]


def gradient_penalty(
    critic: nn.Module, real: Float[Tensor, "n 48"], fake: Float[Tensor, "n 48"], share: Float[Tensor, "n 1"]
) -> Float[Tensor, ""]:
    """``mean((|gradient of the critic| - 1)²)`` between the pairs, at ``share`` of the real (Gulrajani et al. 2017)."""
    between = (share * real + (1.0 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (torch.linalg.vector_norm(gradient, dim=-1) - 1.0).square().mean()


def critic_loss(
    critic: nn.Module,
    real: Float[Tensor, "n 48"],
    fake: Float[Tensor, "n 48"],
    share: Float[Tensor, "n 1"],
    penalty: float = 10.0,
) -> Float[Tensor, ""]:
    """What a Wasserstein critic minimises: its mean on fakes minus that on real poses, plus `gradient_penalty`."""
    distance = critic(fake).mean() - critic(real).mean()
    return distance + penalty * gradient_penalty(critic, real, fake, share)


def _average_over_processes(parameters: list[nn.Parameter]) -> None:
    """Distributed training averages the lifter's gradients only; a critic stepped here needs the same."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    for parameter in parameters:
        assert parameter.grad is not None
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad /= torch.distributed.get_world_size()
