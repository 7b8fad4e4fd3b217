"""Unsupervised lifting with scale estimation (Yu et al., ICCV 2021)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from ..nn.encoders import FedBlock

__all__ = [
    "PublishedDepthNetwork",
    "PublishedScaleNetwork",
]


class PublishedDepthNetwork(nn.Module):
    """The published lifter: ``(n, 2 joints)`` to depth offsets ``(n, joints)``; 15.99 M parameters at 17 joints."""

    def __init__(self, joints: int, width: int = 1024, blocks: int = 4, dropout: float = 0.25) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(2 * joints, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout))
        self.blocks = nn.ModuleList(FedBlock(width, 2 * joints, dropout) for _ in range(blocks + 1))
        self.depth = nn.Linear(width, joints)

    def forward(self, pose: Float[Tensor, "n inputs"]) -> Float[Tensor, "n joints"]:
        hidden = self.enter(pose)
        for block in self.blocks:
            hidden = block(hidden, pose)
        return self.depth(hidden)


class PublishedScaleNetwork(nn.Module):
    """The published scale head: ``(n, 2 joints)`` to one number each; 3.22 M parameters at 17 joints."""

    def __init__(self, joints: int, width: int = 1024, dropout: float = 0.25) -> None:
        super().__init__()
        self.enter = nn.Linear(2 * joints, width)
        self.block = FedBlock(width, 2 * joints, dropout)
        self.scale = nn.Linear(width, 1)

    def forward(self, pose: Float[Tensor, "n inputs"]) -> Float[Tensor, " n"]:
        return self.scale(self.block(self.enter(pose), pose)).squeeze(-1)
