"""Depth along rays, learnt from 2D poses alone (after Chen et al. 2019; Yu et al., ICCV 2021).

For any missing joints, of 1.7 M parameters. The published networks are `poseterior.published.yu_2021`.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..keypoints.rays import NOMINAL_SPREAD
from ..nn.encoders import ResidualMLP
from .base import register
from .rays import RayConfig, RayDepths, RayLifter

__all__ = [
    "UnsupervisedConfig",
    "UnsupervisedLifter",
]


@dataclasses.dataclass(frozen=True)
class UnsupervisedConfig(RayConfig):
    """Configuration of an unsupervised lifter; see `RayConfig` for what it shares with others.

    Attributes:
        scale: head that rescales 2D poses: ``"none"``, or ``"bounded"`` (at most ``scale_range`` times larger or
            smaller).
        scale_range: largest factor of the bounded head.
        elevation: whether the camera's elevation is predicted too (`poseterior.objectives.reproject`, views).
    """

    scale_range: float = 2.5
    elevation: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_choice(scale=("none", "bounded"))
        self._check_number(scale_range=(1.0, 100.0))
        self._check_flag("elevation")


@register("unsupervised")
class UnsupervisedLifter(RayLifter):
    """2D keypoints to one 3D pose: one depth per joint, along the rays of a camera at a fixed distance.

    Args:
        config: `UnsupervisedConfig`; None for default sizes.
    """

    config: UnsupervisedConfig
    config_class = UnsupervisedConfig

    def __init__(self, config: UnsupervisedConfig | None = None) -> None:
        super().__init__(config or UnsupervisedConfig())
        c = self.config
        joints = len(self.skeleton)
        self.network = ResidualMLP(3 * joints, c.width, c.blocks, c.dropout)
        # Depths, where hidden joints are seen, and the camera's elevation.
        self.head = nn.Linear(c.width, 3 * joints + 1)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()
        self.scaler = None
        if c.scale == "bounded":
            self.scaler = nn.Sequential(ResidualMLP(3 * joints, 256, 1), nn.Linear(256, 1))

    @staticmethod
    def _features(image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> Float[Tensor, "n inputs"]:
        return torch.cat([image.flatten(-2) / NOMINAL_SPREAD, visible.to(image.dtype)], -1)

    def log_scale(self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> Float[Tensor, " n"]:
        if self.scaler is None:
            return super().log_scale(image, visible)
        bound = math.log(self.config.scale_range)
        return bound * self.scaler(self._features(image, visible)).squeeze(-1).tanh()

    def depths(self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> RayDepths:
        joints = len(self.skeleton)
        raw = self.head(self.network(self._features(image, visible)))
        guessed = NOMINAL_SPREAD * raw[:, joints : 3 * joints].unflatten(-1, (joints, 2))
        image = torch.where(visible.unsqueeze(-1), image, guessed)
        elevation = 0.5 * raw[:, -1].tanh() if self.config.elevation else image.new_zeros(len(image))
        return RayDepths(raw[:, :joints], image, elevation)
