"""Mixture density network: a mixture of Gaussians over poses (after Li & Lee, CVPR 2019, arXiv 1904.05547).

The input is the canonical view of the person (any camera, any joint missing, detector covariance in); each kernel has
one 3x3 covariance per joint and a low-rank part that ties the joints, because joints drawn independently give samples
with broken bones. The published network is `poseterior.published.li_lee_2019`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from ..distributions.mixture import MixturePoseDistribution
from ..keypoints import Keypoints2D
from ..nn.dense import dense
from ..nn.encoders import (
    ResidualMLP,
    body_size,
    evidence_width,
    lateral_evidence,
    lower_triangles,
    view_and_features,
)
from .base import Lifter, LifterConfig, register
from .temperature import best_temperature

__all__ = [
    "MixtureConfig",
    "MixtureDensityLifter",
]


@dataclasses.dataclass(frozen=True)
class MixtureConfig(LifterConfig):
    """Configuration of a mixture density lifter.

    Attributes:
        kernels: number of mixture components.
        rank: number of directions that tie the joints of a kernel.
        width: features of the hidden layers.
        blocks: residual blocks.
        dropout: probability of dropping a feature.
        minimum_scale: metres, smallest standard deviation of a joint given all others.
        temperature: factor on the kernels' standard deviations, fitted after training by `calibrate`.
    """

    kernels: int = 8
    rank: int = 8
    width: int = 512
    blocks: int = 3
    dropout: float = 0.0
    minimum_scale: float = 0.002
    temperature: float = 1.0

    def __post_init__(self) -> None:
        self._check_whole(kernels=1, width=1, blocks=1, rank=0)
        self._check_number(dropout=(0.0, 0.99), minimum_scale=(1e-6, 1.0), temperature=(1e-3, 1e3))


@register("mdn")
class MixtureDensityLifter(Lifter):
    """2D keypoints to a mixture of Gaussians over 3D poses.

    Args:
        config: `MixtureConfig`; None for default sizes.
    """

    config: MixtureConfig
    learnt_noise = True
    config_class = MixtureConfig

    def __init__(self, config: MixtureConfig | None = None) -> None:
        super().__init__(config or MixtureConfig())
        c = self.config
        joints = len(self.skeleton)
        self.others = [j for j in range(joints) if j != self.skeleton.root]
        self.network = ResidualMLP(evidence_width(joints), c.width, c.blocks, c.dropout)
        self.sizes = {"logit": 1, "size": 1, "offset": 3 * len(self.others), "tril": 6 * len(self.others)}
        self.head = nn.Linear(c.width, c.kernels * sum(self.sizes.values()))
        # The kernels share the directions that tie the joints: one set per kernel costs 3 times the weights.
        self.tie = nn.Linear(c.width, 3 * len(self.others) * c.rank) if c.rank else None
        with torch.no_grad():
            # Kernels start near one another, told apart by their biases only.
            self.head.weight.mul_(0.1)
            self.head.bias.normal_(std=0.1, generator=torch.Generator().manual_seed(0))

    def distribution(self, keypoints: Keypoints2D) -> MixturePoseDistribution:
        view, features = view_and_features(keypoints)
        dtype = self.head.weight.dtype  # wider than mixed precision's, float64 where someone checks densities
        hidden = self.network(features.to(dtype))
        k, joints = self.config.kernels, len(self.others)
        parts = dense(self.head, hidden).to(dtype).unflatten(-1, (k, -1)).split(list(self.sizes.values()), -1)
        raw = dict(zip(self.sizes, parts, strict=True))
        evidence = lateral_evidence(view, self.skeleton.root)
        offset = raw["offset"].unflatten(-1, (joints, 3))
        loc = body_size(raw["size"]).unsqueeze(-1) * (evidence.unsqueeze(-3) + offset)
        lower = lower_triangles(raw["tril"].unflatten(-1, (joints, 6)), self.config.minimum_scale)
        scale_tril = self.config.temperature * lower
        factor = None
        if self.tie is not None:
            factor = dense(self.tie, hidden).to(dtype).unflatten(-1, (1, 3 * joints, self.config.rank))
        turn = view.rotation.to(dtype)
        return MixturePoseDistribution(raw["logit"].squeeze(-1), loc, scale_tril, factor, turn, self.skeleton)

    @torch.no_grad()
    def calibrate(self, observations: Any) -> None:
        """Fit the temperature: that of least negative log-likelihood on held-out observations."""
        base = dataclasses.replace(self.config, temperature=1.0)

        def loss(temperature: float) -> float:
            self.config = dataclasses.replace(base, temperature=temperature)
            return -float(self(observations.keypoints).log_prob(observations.pose, observations.observed).mean())

        self.config = dataclasses.replace(base, temperature=best_temperature(loss))
