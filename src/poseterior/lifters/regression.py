"""Regression: one pose from 2D keypoints, with or without error bars around it.

The input is the canonical view of the person (any camera, any joint missing, detector covariance in), the output is a
pose in metres along its axes. The published networks are `poseterior.published.ronchi_2018`.

Trained lifters get error bars by `SinglePoseLifter.calibrate`: the spread of each joint's errors on held-out poses,
along the line of sight and across it, for joints that the lifter sees and for those it does not see.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..distributions.base import PoseDistribution
from ..distributions.delta import DeltaPoseDistribution
from ..distributions.independent import FAMILIES, IndependentPoseDistribution, fit_scales
from ..keypoints import Keypoints2D
from ..keypoints.view import canonical_view
from ..nn.encoders import ResidualMLP, body_size, evidence_width, lateral_evidence, view_and_features
from .base import Lifter, LifterConfig, register

__all__ = [
    "RegressionConfig",
    "RegressionLifter",
    "SinglePoseLifter",
]


@dataclasses.dataclass(frozen=True)
class RegressionConfig(LifterConfig):
    """Configuration of a regression lifter.

    Attributes:
        width: features of the hidden layers.
        blocks: residual blocks.
        dropout: probability of dropping a feature.
        spread: ``"none"`` for a point mass, ``"gaussian"`` or ``"laplace"`` for errors fitted by `calibrate`.
    """

    width: int = 512
    blocks: int = 2
    dropout: float = 0.0
    spread: str = "none"

    def __post_init__(self) -> None:
        self._check_choice(spread=("none", *FAMILIES))
        self._check_whole(width=1, blocks=1)
        self._check_number(dropout=(0, 0.99))


class SinglePoseLifter(Lifter):
    """A lifter that predicts one pose, and learns how far off it is. Subclasses implement `pose`."""

    config: RegressionConfig
    config_class: ClassVar[type[RegressionConfig]] = RegressionConfig
    residual: Tensor

    def __init__(self, config: RegressionConfig) -> None:
        super().__init__(config)
        self.others = [j for j in range(len(self.skeleton)) if j != self.skeleton.root]
        # Errors of hidden joints (first row) and visible ones, along the axes of the canonical frame.
        self.register_buffer("residual", torch.full((2, len(self.others), 3), 0.1))

    def pose(self, keypoints: Keypoints2D) -> tuple[Float[Tensor, "*batch joints 3"], Float[Tensor, "*batch"] | None]:
        """A pose (metres, camera axes), and the scale of its picture where the lifter says one."""
        raise NotImplementedError

    def distribution(self, keypoints: Keypoints2D) -> PoseDistribution:
        pose, image_scale = self.pose(keypoints)
        if self.config.spread == "none":
            return DeltaPoseDistribution(pose, image_scale, self.skeleton)
        visible = keypoints.visible[..., self.others].unsqueeze(-1)
        scale = torch.where(visible, self.residual[1], self.residual[0])
        rotation = canonical_view(keypoints).rotation
        return IndependentPoseDistribution(pose, scale, self.config.spread, rotation, self.skeleton)

    @torch.no_grad()
    def calibrate(self, observations: Any) -> None:
        """Fit the errors around the pose: their spread on held-out observations of which the 3D pose is known.

        Each coordinate's root mean square (Gaussian) or mean absolute error (Laplace), along the axes of the
        camera turned to the person, apart for visible and hidden joints. A joint that is never hidden (or never
        visible) takes the spread of the others.
        """
        if self.config.spread == "none":
            return
        keypoints = observations.keypoints.as_skeleton(self.skeleton)
        rotation = canonical_view(keypoints).rotation
        error = (observations.pose - self(keypoints).mean) @ rotation.transpose(-1, -2)
        error = error[..., self.others, :].reshape(-1, len(self.others), 3)
        known = observations.observed[..., self.others].reshape(-1, len(self.others))
        visible = keypoints.visible[..., self.others].reshape(-1, len(self.others))
        self.residual.copy_(fit_scales(error, visible, known, self.config.spread))


@register("regression")
class RegressionLifter(SinglePoseLifter):
    """2D keypoints to one 3D pose, or to one pose with error bars.

    Args:
        config: `RegressionConfig`; None for default sizes.
    """

    learnt_noise = True

    def __init__(self, config: RegressionConfig | None = None) -> None:
        super().__init__(config or RegressionConfig())
        c = self.config
        self.network = ResidualMLP(evidence_width(len(self.skeleton)), c.width, c.blocks, c.dropout)
        self.head = nn.Linear(c.width, 1 + 3 * len(self.others))
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()

    def pose(self, keypoints: Keypoints2D) -> tuple[Float[Tensor, "*batch joints 3"], None]:
        view, features = view_and_features(keypoints)
        dtype = self.head.weight.dtype
        raw = self.head(self.network(features.to(dtype))).to(dtype)
        evidence = lateral_evidence(view, self.skeleton.root)
        offset = raw[..., 1:].unflatten(-1, (len(self.others), 3))
        turned = body_size(raw[..., :1]).unsqueeze(-1) * (evidence + offset)
        pose = turned @ view.rotation.to(dtype)
        root = self.skeleton.root
        return torch.cat([pose[..., :root, :], torch.zeros_like(pose[..., :1, :]), pose[..., root:, :]], -2), None
