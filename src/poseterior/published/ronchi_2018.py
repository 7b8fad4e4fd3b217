"""Lifting learnt from relative depth (Ronchi et al., BMVC 2018, arXiv 1805.06880)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = [
    "PublishedRegressionNetwork",
]


class PublishedRegressionNetwork(nn.Module):
    """Linear, batch norm, ReLU, dropout; residual blocks of two such layers; linear heads.

    ``(n, inputs)`` to ``(n, outputs)`` and, with ``scale_head``, to one number in (0, 1) each. 2,194,535 parameters
    with 34 inputs, 51 outputs, one block, the learnt factors and the scale head.

    Args:
        inputs, outputs: number of features in and out.
        width, blocks, dropout: see `RegressionConfig`.
        factor: start of the learnt factors of the outputs; None for no factors.
        scale_head: whether there is one.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int = 1024,
        blocks: int = 1,
        dropout: float = 0.5,
        factor: float | None = None,
        scale_head: bool = False,
    ) -> None:
        super().__init__()

        def layer(size: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(size, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout))

        self.enter = layer(inputs)
        self.blocks = nn.ModuleList(nn.Sequential(layer(width), layer(width)) for _ in range(blocks))
        self.pose = nn.Linear(width, outputs)
        self.factor = None if factor is None else nn.Parameter(torch.full((outputs,), factor))
        self.scale = nn.Linear(width, 1) if scale_head else None
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, features: Float[Tensor, "n inputs"]) -> tuple[Tensor, Tensor | None]:
        hidden = self.enter(features)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        pose = self.pose(hidden)
        if self.factor is not None:
            pose = pose * self.factor
        return pose, None if self.scale is None else self.scale(hidden).sigmoid().squeeze(-1)
