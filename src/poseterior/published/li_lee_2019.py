"""Mixture density network (Li & Lee, CVPR 2019, arXiv 1904.05547): recipe ``mdn-published``.

K isotropic kernels over z-scored coordinates, residual blocks with batch norm, weight matrices clipped to unit
Frobenius norm (but for that of the mixture weights, which the released graphs leave as it is), hidden joints set to
the mean. The picture has 16 joints, h36m17 without the nose; the pose 16, h36m17 without the root. It learns by the
objective ``likelihood`` with ``dirichlet: 1``. Ours is `poseterior.lifters.mdn`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..distributions.mixture import MixturePoseDistribution
from ..keypoints import Keypoints2D
from ..lifters.base import Lifter, LifterConfig, register
from ..nn.standardise import mean_and_deviation, pose_mean_and_deviation

__all__ = [
    "FrobeniusLinear",
    "PublishedLinear",
    "PublishedMixtureConfig",
    "PublishedMixtureLifter",
    "PublishedMixtureNetwork",
]


class PublishedLinear(nn.Linear):
    """Linear layer with the published start.

    Weights *and* biases start as truncated normal (two sigma) times ``sqrt(2 / fan)``, where the fan of a bias
    is its own length.
    """

    def reset_parameters(self) -> None:
        for parameter, fan in ((self.weight, self.in_features), (self.bias, self.out_features)):
            nn.init.trunc_normal_(parameter, std=1.0, a=-2.0, b=2.0)
            with torch.no_grad():
                parameter.mul_(math.sqrt(2.0 / fan))


class FrobeniusLinear(PublishedLinear):
    """`PublishedLinear` whose weight is rescaled to Frobenius norm at most 1; gradients flow through the rescaling."""

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
        # Its weight is never clipped (w6 of the released graphs).
        self.alpha = PublishedLinear(width, kernels)

    def forward(self, features: Float[Tensor, "n inputs"]) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.enter(features)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        sigma = nn.functional.elu(self.scale(hidden)) + 1.0
        return self.mean(hidden).unflatten(-1, (-1, self.kernels)), sigma, self.alpha(hidden)


@dataclasses.dataclass(frozen=True)
class PublishedMixtureConfig(LifterConfig):
    """Configuration of the published mixture; the defaults are the published constants.

    Attributes:
        kernels: number of mixture components.
        width: features of the hidden layers.
        blocks: residual blocks.
        dropout: probability of dropping a feature.
    """

    kernels: int = 5
    width: int = 1024
    blocks: int = 2
    dropout: float = 0.5

    def __post_init__(self) -> None:
        self._check_whole(kernels=1, width=1, blocks=1)
        self._check_number(dropout=(0.0, 0.99))


@register("mdn-published")
class PublishedMixtureLifter(Lifter):
    """2D keypoints (pixels, as they are) to a mixture of isotropic Gaussians over standardised 3D poses.

    Args:
        config: `PublishedMixtureConfig`; None for the published constants.
    """

    unread = ("covariance", "height", "camera")
    config: PublishedMixtureConfig
    config_class = PublishedMixtureConfig
    input_mean: Tensor
    input_std: Tensor
    output_mean: Tensor
    output_std: Tensor

    def __init__(self, config: PublishedMixtureConfig | None = None) -> None:
        super().__init__(config or PublishedMixtureConfig())
        c = self.config
        # The published detector finds a pelvis and no nose; what is lifted has a nose, and the pelvis at 0.
        self.detected = [j for j, joint in enumerate(self.skeleton.joints) if joint != "neck_nose"]
        self.others = list(self.skeleton.nonroot)
        inputs, outputs = 2 * len(self.detected), 3 * len(self.others)
        self.network = PublishedMixtureNetwork(inputs, outputs, c.kernels, c.width, c.blocks, c.dropout)
        for name, size in (("input", inputs), ("output", outputs)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))

    def _inputs(self, keypoints: Keypoints2D) -> tuple[Tensor, Tensor]:
        """Pixels of the detected joints, flat, and which of them are seen."""
        visible = keypoints.visible[..., self.detected].repeat_interleave(2, -1)
        return keypoints.xy[..., self.detected, :].flatten(-2), visible

    def fit_constants(self, observations: Any) -> None:
        """Means and standard deviations of the training coordinates that are seen or known, kept with the weights.

        Raises:
            InputError: a joint whose 3D place no pose shows.
        """
        inputs, visible = self._inputs(observations.keypoints)
        mean, deviation = mean_and_deviation(inputs, visible)
        self.input_mean.copy_(mean)
        # of what is never seen nothing is known: it keeps its unit
        self.input_std.copy_(torch.where(visible.any(0), deviation.clamp(min=1e-6), 1.0))
        mean, deviation = pose_mean_and_deviation(observations.pose, observations.observed, self.skeleton, self.others)
        self.output_mean.copy_(mean)
        self.output_std.copy_(deviation.clamp(min=1e-6))

    def distribution(self, keypoints: Keypoints2D) -> MixturePoseDistribution:
        batch = keypoints.batch_shape
        inputs, visible = self._inputs(keypoints)
        scored = torch.where(visible, (inputs - self.input_mean) / self.input_std, 0.0)
        mu, sigma, logits = (part.float() for part in self.network(scored.reshape(batch.numel(), scored.shape[-1])))
        # elu(x) + 1 underflows to 0 in float32 below x = -17, where a Gaussian has no density.
        sigma = sigma.clamp(min=1e-6)
        loc = (mu * self.output_std[:, None] + self.output_mean[:, None]).transpose(-1, -2)
        scale = sigma.unsqueeze(-1) * self.output_std
        k, joints = self.config.kernels, len(self.others)
        return MixturePoseDistribution(
            logits.reshape(*batch, k),
            loc.reshape(*batch, k, joints, 3),
            torch.diag_embed(scale.reshape(*batch, k, joints, 3)),
            skeleton=self.skeleton,
        )
