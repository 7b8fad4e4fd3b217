"""Critics: networks that tell a lifter's answers from real ones, and learn beside it with an optimiser of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = [
    "Critic",
    "critic_loss",
    "gradient_penalty",
    "least_squares_loss",
]


class Critic(nn.Module):
    """A network with a goal of its own: frozen, but for the steps of `update`.

    The lifter's optimiser and distributed training pass over it, because its parameters ask for no gradient outside
    `update`, where the gradients are averaged over all processes: each of them keeps the same critic. Checkpoints hold
    the optimiser (``get_extra_state``), so that a resumed run goes on as if nothing had happened.

    Args:
        network: ``(n, ...)`` to one score each.
        learning_rate: of its Adam.
        betas: of its Adam.
    """

    def __init__(self, network: nn.Module, learning_rate: float, betas: tuple[float, float] = (0.5, 0.9)) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.learning_rate, self.betas = learning_rate, betas
        self._optimizer: torch.optim.Optimizer | None = None
        self._stored: dict[str, Any] | None = None

    def forward(self, answers: Float[Tensor, "n *event"]) -> Float[Tensor, " n"]:
        return self.network(answers)

    def update(self, loss: Callable[[], Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """One step down a loss, which is computed inside, with the network's parameters learning; returns it."""
        optimizer = self._adam()
        self.network.requires_grad_(True)
        value = loss()
        optimizer.zero_grad()
        value.backward()
        _average_over_processes(self.network.parameters())
        optimizer.step()
        optimizer.zero_grad()
        self.network.requires_grad_(False)
        return value.detach()

    def _adam(self) -> torch.optim.Optimizer:
        # Made at the first update, when the network is on its device, so that a resumed state goes there too.
        if self._optimizer is None:
            self._optimizer = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, betas=self.betas)
            if self._stored is not None:
                self._optimizer.load_state_dict(self._stored)
        return self._optimizer

    def get_extra_state(self) -> dict[str, Any]:
        """The optimiser, so that checkpoints hold it."""
        return {"optimizer": self._stored if self._optimizer is None else self._optimizer.state_dict()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from a stored optimiser."""
        self._optimizer, self._stored = None, state["optimizer"]


def gradient_penalty(
    critic: nn.Module,
    real: Float[Tensor, "n *event"],
    fake: Float[Tensor, "n *event"],
    share: Float[Tensor, " n"] | None = None,
    unit: float = 1.0,
) -> Float[Tensor, ""]:
    """``mean((unit |gradient of the critic| - 1)²)`` between the pairs (Gulrajani et al. 2017).

    Args:
        critic: the network, or a `Critic`.
        real: what is real.
        fake: what a lifter made.
        share: of the real in what is between; None: uniform random.
        unit: length that counts as 1 in the space of the answers.
    """
    if share is None:
        share = torch.rand(len(real), device=real.device, dtype=real.dtype)
    share = share.reshape(-1, *[1] * (real.ndim - 1))
    between = (share * real + (1.0 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (unit * torch.linalg.vector_norm(gradient.flatten(1), dim=-1) - 1.0).square().mean()


def critic_loss(
    critic: nn.Module,
    real: Float[Tensor, "n *event"],
    fake: Float[Tensor, "n *event"],
    share: Float[Tensor, " n"] | None = None,
    penalty: float = 10.0,
    unit: float = 1.0,
) -> Float[Tensor, ""]:
    """What a Wasserstein critic minimises: its mean on fakes minus that on real ones, plus `gradient_penalty`."""
    distance = critic(fake).mean() - critic(real).mean()
    return distance + penalty * gradient_penalty(critic, real, fake, share, unit)


def least_squares_loss(
    critic: nn.Module, real: Float[Tensor, "n *event"], fake: Float[Tensor, "n *event"]
) -> Float[Tensor, ""]:
    """What a least-squares critic minimises: real ones score 1, fakes 0 (Mao et al. 2017)."""
    return (critic(real) - 1.0).square().mean() + critic(fake).square().mean()


def _average_over_processes(parameters: Any) -> None:
    """Distributed training averages the lifter's gradients only; a critic stepped here needs the same."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    for parameter in parameters:
        assert parameter.grad is not None
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad /= torch.distributed.get_world_size()
