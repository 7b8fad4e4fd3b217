"""Regression: one pose from 2D keypoints, with or without error bars around it.

The residual network of Martinez et al. (ICCV 2017, arXiv 1705.03098) with the two heads of Ronchi et al. (BMVC 2018,
arXiv 1805.06880): a pose, and a positive number that says how large the person appears.

* ``RegressionConfig.published()``: the published network. Pixels relative to the root, standardised by constants of
  the training set; poses of free size, or (``output="standardised"``) in units of the training poses' spread.
* ``RegressionConfig()``: ours. The input is the canonical view of the person (any camera, any joint missing, detector
  covariance in), the output is a pose in metres along its axes.

Trained lifters get error bars by `RegressionLifter.calibrate`: the spread of each joint's errors on held-out poses,
along the line of sight and across it, for joints that the lifter sees and for those it does not see.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from ..distributions.base import PoseDistribution
from ..distributions.delta import DeltaPoseDistribution
from ..distributions.independent import FAMILIES, IndependentPoseDistribution, fit_scales
from ..files.errors import InputError
from ..keypoints import Keypoints2D
from ..keypoints.view import canonical_view, image_offsets
from ..nn.encoders import ResidualMLP, evidence_features, evidence_width, lateral_evidence
from ..published.ronchi_2018 import PublishedRegressionNetwork
from .base import Lifter, LifterConfig, register

__all__ = [
    "RegressionConfig",
    "RegressionLifter",
]

#: The published network's free outputs are millimetres; its learnt factors start at 100 and hardly move.
_MILLIMETRE, _FACTOR = 1e-3, 100.0
#: Largest value of the published scale head: pixels a metre (0 to 1 a millimetre), or 1 / metres to the person
#: (0 to 0.001 a millimetre, so that nobody is nearer than a metre).
_LARGEST_SCALE = {"orthographic": 1000.0, "perspective": 1.0}
_CHOICES = {
    "network": ("ours", "published"),
    "output": ("free", "standardised"),
    "scale": ("none", "orthographic", "perspective"),
    "spread": ("none", *FAMILIES),
}


@dataclasses.dataclass(frozen=True)
class RegressionConfig(LifterConfig):
    """Configuration of a regression lifter.

    Attributes:
        network: ``"ours"`` or ``"published"``.
        width: features of the hidden layers (published: 1024).
        blocks: residual blocks (Ronchi et al.: 1, Martinez et al.: 2).
        dropout: probability of dropping a feature (published: 0.5).
        output: published network: ``"free"`` multiplies the output by learnt factors that start at 100 mm,
            ``"standardised"`` by the training poses' standard deviation, and adds their mean.
        scale: published network: what the scale head means, ``"orthographic"`` (pixels a metre),
            ``"perspective"`` (1 / metres to the person) or ``"none"``.
        spread: ``"none"`` for a point mass, ``"gaussian"`` or ``"laplace"`` for errors fitted by `calibrate`.
    """

    network: str = "ours"
    width: int = 512
    blocks: int = 2
    dropout: float = 0.0
    output: str = "free"
    scale: str = "none"
    spread: str = "none"

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                listed = ", ".join(map(repr, known))
                raise InputError(f"lifter.{name}: expected one of {listed}, got {getattr(self, name)!r}")
        self._check_whole(width=1, blocks=1)
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout <= 0.99:
            raise InputError(f"lifter.dropout: expected a number from 0 to 0.99, got {self.dropout!r}")
        if self.network == "ours" and (self.output, self.scale) != ("free", "none"):
            raise InputError("lifter.output, lifter.scale: only for network: published")

    @classmethod
    def published(cls, supervised: bool = False) -> RegressionConfig:
        """The published network: the weakly supervised one, or its supervised twin (no scale head)."""
        kind = {"output": "standardised"} if supervised else {"scale": "orthographic"}
        return cls(network="published", width=1024, blocks=1, dropout=0.5, **kind)


@register("regression")
class RegressionLifter(Lifter):
    """2D keypoints to one 3D pose, or to one pose with error bars.

    Args:
        config: `RegressionConfig`; None for ours with default sizes.
    """

    config: RegressionConfig
    config_class = RegressionConfig
    input_mean: Tensor
    input_std: Tensor
    output_mean: Tensor
    output_std: Tensor
    residual: Tensor

    def __init__(self, config: RegressionConfig | None = None) -> None:
        super().__init__(config or RegressionConfig())
        c = self.config
        joints = len(self.skeleton)
        self.others = [j for j in range(joints) if j != self.skeleton.root]
        if c.network == "published":
            self.network: nn.Module = PublishedRegressionNetwork(
                2 * joints,
                3 * joints,
                c.width,
                c.blocks,
                c.dropout,
                factor=_FACTOR if c.output == "free" else None,
                scale_head=c.scale != "none",
            )
            for name, size in (("input", 2 * joints), ("output", 3 * joints)):
                self.register_buffer(f"{name}_mean", torch.zeros(size))
                self.register_buffer(f"{name}_std", torch.ones(size))
        else:
            self.network = ResidualMLP(evidence_width(joints), c.width, c.blocks, c.dropout)
            self.head = nn.Linear(c.width, 1 + 3 * len(self.others))
            with torch.no_grad():
                self.head.weight.mul_(0.1)
                self.head.bias.zero_()
        # Errors of hidden joints (first row) and visible ones, along the turned axes.
        self.register_buffer("residual", torch.full((2, len(self.others), 3), 0.1))

    def distribution(self, keypoints: Keypoints2D) -> PoseDistribution:
        pose, image_scale = self._published(keypoints) if self.config.network == "published" else self._ours(keypoints)
        if self.config.spread == "none":
            return DeltaPoseDistribution(pose, image_scale, self.skeleton)
        visible = keypoints.visible[..., self.others].unsqueeze(-1)
        scale = torch.where(visible, self.residual[1], self.residual[0])
        rotation = canonical_view(keypoints).rotation
        return IndependentPoseDistribution(pose, scale, self.config.spread, rotation, self.skeleton)

    def _ours(self, keypoints: Keypoints2D) -> tuple[Tensor, None]:
        with torch.autocast(keypoints.device.type, enabled=False):
            view = canonical_view(keypoints)
            features = evidence_features(view)
        raw = self.head(self.network(features)).float()
        # A person of about 0.45 m (root mean square) whose apparent size is 1 in the canonical view.
        size = 0.45 * raw[..., :1].clamp(-3.0, 3.0).exp()
        evidence = lateral_evidence(view, self.skeleton.root)
        turned = size.unsqueeze(-1) * (evidence + raw[..., 1:].unflatten(-1, (len(self.others), 3)))
        pose = turned @ view.rotation
        root = self.skeleton.root
        return torch.cat([pose[..., :root, :], torch.zeros_like(pose[..., :1, :]), pose[..., root:, :]], -2), None

    def _published(self, keypoints: Keypoints2D) -> tuple[Tensor, Tensor | None]:
        batch, joints = keypoints.batch_shape, len(self.skeleton)
        scored = (image_offsets(keypoints).flatten(-2) - self.input_mean) / self.input_std
        scored = torch.where(keypoints.visible.repeat_interleave(2, -1), scored, 0.0)
        raw, scale = self.network(scored.reshape(batch.numel(), 2 * joints))
        raw = raw.float()
        standardised = self.config.output == "standardised"
        raw = self.output_mean + self.output_std * raw if standardised else _MILLIMETRE * raw
        if scale is not None:
            scale = (_LARGEST_SCALE[self.config.scale] * scale.float()).reshape(batch)
        return raw.reshape(*batch, joints, 3), scale

    def fit_constants(self, observations: Any) -> None:
        """Published network: mean and standard deviation of the training coordinates, kept with the weights."""
        if self.config.network != "published":
            return
        keypoints = observations.keypoints
        weight = keypoints.visible.repeat_interleave(2, -1).to(keypoints.xy.dtype)
        inputs = image_offsets(keypoints).flatten(-2)
        count = weight.sum(0).clamp(min=1.0)
        mean = (inputs * weight).sum(0) / count
        spread = (((inputs - mean).square() * weight).sum(0) / count).sqrt()
        self.input_mean.copy_(mean)
        # The root is always at 0: a spread of 1 keeps it there.
        self.input_std.copy_(torch.where(spread > 1e-6, spread, 1.0))
        if self.config.output == "standardised":
            targets = observations.pose.flatten(-2)
            spread = targets.std(0, unbiased=False)
            self.output_mean.copy_(targets.mean(0))
            self.output_std.copy_(torch.where(spread > 1e-6, spread, 1.0))

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
