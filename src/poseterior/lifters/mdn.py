"""Mixture density network: a mixture of Gaussians over poses (Li & Lee, CVPR 2019, arXiv 1904.05547).

Two configurations share the mixture:

* ``MixtureConfig(network="published")``: the published network. K isotropic kernels over z-scored coordinates,
  residual blocks with batch norm, weight matrices clipped to unit Frobenius norm, hidden joints set to the mean.
* ``MixtureConfig()``: ours. The input is the canonical view of the person (any camera, any joint missing,
  detector covariance in); each kernel has one 3x3 covariance a joint and a low-rank part that ties the joints,
  because joints drawn independently give samples with broken bones.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from ..distributions.mixture import MixturePoseDistribution
from ..files.errors import InputError
from ..keypoints import Keypoints2D
from ..keypoints.view import canonical_view
from ..nn.encoders import ResidualMLP, evidence_features, evidence_width, lateral_evidence, lower_triangles
from ..published.li_lee_2019 import PublishedMixtureNetwork
from .base import Lifter, LifterConfig, register

__all__ = [
    "MixtureConfig",
    "MixtureDensityLifter",
]


@dataclasses.dataclass(frozen=True)
class MixtureConfig(LifterConfig):
    """Configuration of a mixture density lifter.

    Attributes:
        network: ``"ours"`` or ``"published"``.
        kernels: number of mixture components (published: 5).
        rank: number of directions that tie the joints of a kernel (ours).
        width: features of the hidden layers (published: 1024).
        blocks: residual blocks (published: 2).
        dropout: probability of dropping a feature (published: 0.5).
        minimum_scale: metres, smallest standard deviation of a joint given all others (ours).
        temperature: factor on the kernels' standard deviations, fitted after training by `calibrate` (ours).
    """

    network: str = "ours"
    kernels: int = 8
    rank: int = 8
    width: int = 512
    blocks: int = 3
    dropout: float = 0.0
    minimum_scale: float = 0.002
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.network not in ("ours", "published"):
            raise InputError(f"lifter.network: expected 'ours' or 'published', got {self.network!r}")
        self._check_whole(kernels=1, width=1, blocks=1, rank=0)
        for name, low, high in (("dropout", 0.0, 0.99), ("minimum_scale", 1e-6, 1.0), ("temperature", 1e-3, 1e3)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(f"lifter.{name}: expected a number from {low} to {high}, got {value!r}")

    @classmethod
    def published(cls) -> MixtureConfig:
        """The published network's constants."""
        return cls(network="published", kernels=5, rank=0, width=1024, blocks=2, dropout=0.5)


@register("mdn")
class MixtureDensityLifter(Lifter):
    """2D keypoints to a mixture of Gaussians over 3D poses.

    Args:
        config: `MixtureConfig`; None for ours with default sizes.
    """

    config: MixtureConfig
    config_class = MixtureConfig
    input_mean: Tensor
    input_std: Tensor
    output_mean: Tensor
    output_std: Tensor

    def __init__(self, config: MixtureConfig | None = None) -> None:
        super().__init__(config or MixtureConfig())
        c = self.config
        joints = len(self.skeleton)
        self.others = [j for j in range(joints) if j != self.skeleton.root]
        if c.network == "published":
            inputs, outputs = 2 * len(self.others), 3 * len(self.others)
            self.network: nn.Module = PublishedMixtureNetwork(inputs, outputs, c.kernels, c.width, c.blocks, c.dropout)
            for name, size in (("input", inputs), ("output", outputs)):
                self.register_buffer(f"{name}_mean", torch.zeros(size))
                self.register_buffer(f"{name}_std", torch.ones(size))
        else:
            self.network = ResidualMLP(evidence_width(joints), c.width, c.blocks, c.dropout)
            self.sizes = {"logit": 1, "size": 1, "offset": 3 * len(self.others), "tril": 6 * len(self.others)}
            self.head = nn.Linear(c.width, c.kernels * sum(self.sizes.values()))
            # The kernels share the directions that tie the joints: a kernel each costs 3 times the weights.
            self.tie = nn.Linear(c.width, 3 * len(self.others) * c.rank) if c.rank else None
            with torch.no_grad():
                # Kernels start near one another, told apart by their biases only.
                self.head.weight.mul_(0.1)
                self.head.bias.normal_(std=0.1, generator=torch.Generator().manual_seed(0))

    def distribution(self, keypoints: Keypoints2D) -> MixturePoseDistribution:
        return self._published(keypoints) if self.config.network == "published" else self._ours(keypoints)

    # -- ours ----------------------------------------------------------------------------------------------

    def _ours(self, keypoints: Keypoints2D) -> MixturePoseDistribution:
        # Mixed precision is for the network alone: geometry and densities need full precision.
        with torch.autocast(keypoints.device.type, enabled=False):
            view = canonical_view(keypoints)
            features = evidence_features(view)
        hidden = self.network(features)
        k, joints = self.config.kernels, len(self.others)
        parts = self.head(hidden).float().unflatten(-1, (k, -1)).split(list(self.sizes.values()), -1)
        raw = dict(zip(self.sizes, parts, strict=True))
        # A person of about 0.45 m (root mean square) whose apparent size is 1 in the canonical view.
        size = 0.45 * raw["size"].clamp(-3.0, 3.0).exp()
        evidence = lateral_evidence(view, self.skeleton.root)
        offset = raw["offset"].unflatten(-1, (joints, 3))
        loc = size.unsqueeze(-1) * (evidence.unsqueeze(-3) + offset)
        lower = lower_triangles(raw["tril"].unflatten(-1, (joints, 6)), self.config.minimum_scale)
        scale_tril = self.config.temperature * lower
        factor = None
        if self.tie is not None:
            factor = self.tie(hidden).float().unflatten(-1, (1, 3 * joints, self.config.rank))
        return MixturePoseDistribution(raw["logit"].squeeze(-1), loc, scale_tril, factor, view.rotation, self.skeleton)

    @torch.no_grad()
    def calibrate(self, observations: Any) -> None:
        """Ours: the temperature of least negative log-likelihood on held-out observations (Guo et al. 2017)."""
        if self.config.network != "ours":
            return
        base = dataclasses.replace(self.config, temperature=1.0)

        def loss(temperature: float) -> float:
            self.config = dataclasses.replace(base, temperature=temperature)
            return -float(self(observations.keypoints).log_prob(observations.pose, observations.observed).mean())

        # One minimum, well inside: a grid, then finer around its best.
        best = min((0.5 + 0.05 * i for i in range(31)), key=loss)
        best = min((best + 0.01 * i for i in range(-4, 5)), key=loss)
        self.config = dataclasses.replace(base, temperature=round(best, 2))

    # -- published -----------------------------------------------------------------------------------------

    def _inputs(self, keypoints: Keypoints2D) -> Tensor:
        return keypoints.xy[..., self.others, :].flatten(-2)

    def fit_constants(self, observations: Any) -> None:
        """Published network: means and standard deviations of the training coordinates, kept with the weights."""
        if self.config.network != "published":
            return
        keypoints, pose = observations.keypoints, observations.pose
        weight = keypoints.visible[..., self.others].repeat_interleave(2, -1).to(pose.dtype)
        inputs = self._inputs(keypoints)
        count = weight.sum(0).clamp(min=1.0)
        mean = (inputs * weight).sum(0) / count
        self.input_mean.copy_(mean)
        self.input_std.copy_((((inputs - mean).square() * weight).sum(0) / count).sqrt().clamp(min=1e-6))
        targets = pose[..., self.others, :].flatten(-2)
        self.output_mean.copy_(targets.mean(0))
        self.output_std.copy_(targets.std(0, unbiased=False).clamp(min=1e-6))

    def _published(self, keypoints: Keypoints2D) -> MixturePoseDistribution:
        batch = keypoints.batch_shape
        visible = keypoints.visible[..., self.others].repeat_interleave(2, -1)
        scored = (self._inputs(keypoints) - self.input_mean) / self.input_std
        scored = torch.where(visible, scored, 0.0)
        mu, sigma, logits = (part.float() for part in self.network(scored.reshape(batch.numel(), scored.shape[-1])))
        loc = (mu * self.output_std[:, None] + self.output_mean[:, None]).transpose(-1, -2)
        scale = sigma.unsqueeze(-1) * self.output_std
        k, joints = self.config.kernels, len(self.others)
        return MixturePoseDistribution(
            logits.reshape(*batch, k),
            loc.reshape(*batch, k, joints, 3),
            torch.diag_embed(scale.reshape(*batch, k, joints, 3)),
            skeleton=self.skeleton,
        )
