"""Mixture density network (Li & Lee, CVPR 2019, arXiv 1904.05547)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = [
    "FrobeniusLinear",
    "PublishedMixtureNetwork",
]


class FrobeniusLinear(nn.Linear):
    """Linear layer whose weight is rescaled to Frobenius norm at most 1; gradients flow through the rescaling.

    Weights *and* biases start as truncated normal (two sigma) times ``sqrt(2 / fan)``, where the fan of a bias
    is its own length, as published.
    """

    def reset_parameters(self) -> None:
        for parameter, fan in ((self.weight, self.in_features), (self.bias, self.out_features)):
            nn.init.trunc_normal_(parameter, std=1.0, a=-2.0, b=2.0)
            with torch.no_grad():
                parameter.mul_(math.sqrt(2.0 / fan))

    def effective_weight(self) -> Tensor:
        """The weight as used."""
        return self.weight / self.weight.norm().clamp(min=1.0)

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.linear(features, self.effective_weight(), self.bias)


class PublishedMixtureNetwork(nn.Module):
    """The published network: features ``(n, inputs)`` to ``mu (n, d, k)``, ``sigma (n, k)``, logits ``(n, k)``.

    Batch norm has epsilon 1e-3 and (torch) momentum 0.01: with unit-norm weights the pre-activation variance is
    about 1e-3, so these constants matter.
    """

    def __init__(self, inputs: int, outputs: int, kernels: int, width: int, blocks: int, dropout: float) -> None:
        super().__init__()

        def layer(size: int) -> nn.Sequential:
            return nn.Sequential(
                FrobeniusLinear(size, width),
                nn.BatchNorm1d(width, eps=1e-3, momentum=0.01),
                nn.ReLU(),
                nn.Dropout(dropout),
            )

        self.kernels = kernels
        self.enter = layer(inputs)
        self.blocks = nn.ModuleList(nn.Sequential(layer(width), layer(width)) for _ in range(blocks))
        self.mean = FrobeniusLinear(width, outputs * kernels)
        self.scale = FrobeniusLinear(width, kernels)
        self.weight = FrobeniusLinear(width, kernels)

    def forward(self, features: Float[Tensor, "n inputs"]) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.enter(features)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        # elu(x) + 1 underflows to 0 in float32 below x = -17; the floor keeps the published function elsewhere.
        sigma = (nn.functional.elu(self.scale(hidden)) + 1.0).clamp(min=1e-6)
        return self.mean(hidden).unflatten(-1, (-1, self.kernels)), sigma, self.weight(hidden)
