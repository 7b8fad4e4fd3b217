"""Unsupervised lifting with scale estimation (Yu et al., ICCV 2021), and its ancestor (Chen et al., CVPR 2019).

Residual blocks into each of which the 2D pose is fed anew; a scale head may bring bodies to one size first. They learn
by the objective ``reproject``: recipes ``unsupervised-scale`` and ``unsupervised-adv``, each also with a detector's
noise (``-detections``). Ours is `poseterior.lifters.unsupervised`.
"""

from __future__ import annotations

import dataclasses

from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..keypoints.rays import apparent_size
from ..lifters.base import register
from ..lifters.rays import RayConfig, RayDepths, RayLifter
from ..nn.encoders import FedBlock

__all__ = [
    "PublishedDepthNetwork",
    "PublishedScaleNetwork",
    "PublishedUnsupervisedConfig",
    "PublishedUnsupervisedLifter",
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


@dataclasses.dataclass(frozen=True)
class PublishedUnsupervisedConfig(RayConfig):
    """Configuration of the published networks; the defaults are the published constants. See `RayConfig` for the rest.

    Attributes:
        blocks: residual blocks; there is one more in the depth branch.
        scale: ``"none"``, or ``"published"`` for the scale head (unbounded, through the middle between scale and
            apparent size).
    """

    width: int = 1024
    blocks: int = 4
    dropout: float = 0.25
    normalise: str = "split"
    size: str = "free"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_choice(scale=("none", "published"))


@register("unsupervised-published")
class PublishedUnsupervisedLifter(RayLifter):
    """2D keypoints to one 3D pose along the rays of a camera at a fixed distance.

    Args:
        config: `PublishedUnsupervisedConfig`; None for the published constants, without a scale head.
    """

    config: PublishedUnsupervisedConfig
    config_class = PublishedUnsupervisedConfig

    def __init__(self, config: PublishedUnsupervisedConfig | None = None) -> None:
        super().__init__(config or PublishedUnsupervisedConfig())
        c = self.config
        joints = len(self.skeleton)
        self.network = PublishedDepthNetwork(joints, c.width, c.blocks, c.dropout)
        self.scaler = PublishedScaleNetwork(joints, c.width, c.dropout) if c.scale == "published" else None

    def log_scale(self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> Float[Tensor, " n"]:
        if self.scaler is None:
            return super().log_scale(image, visible)
        # The network says the middle between scale and apparent size, which varies less than the scale.
        middle = self.scaler(image.flatten(-2))
        return (2.0 * middle - apparent_size(image)).clamp(min=0.05).log()

    def depths(self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> RayDepths:
        return RayDepths(self.network(image.flatten(-2)), image, image.new_zeros(len(image)))
