"""Unsupervised lifting with scale estimation (Yu et al., ICCV 2021), and its ancestor (Chen et al., CVPR 2019).

Residual blocks into each of which the 2D pose is fed anew; a scale head may bring bodies to one size first. They learn
by the objective ``reproject``: recipes ``unsupervised-scale`` and ``unsupervised-adv``, each also with a detector's
noise (``-detections``). Ours is `poseterior.lifters.unsupervised`.

No camera is asked for: 2D poses are pixels from the root times one factor for all pictures of a split, the camera looks
along its own axis, and a joint's depth is ``max(c / 10, c + d)`` whatever the root's is. Ours turns the camera towards
the person and measures depths from the root's.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..keypoints import Keypoints2D
from ..keypoints.keypoints import person_size
from ..keypoints.rays import NOMINAL_SPREAD, apparent_size
from ..keypoints.view import image_offsets
from ..lifters.base import register
from ..lifters.rays import LiftedRays, RayConfig, RayDepths, RayLifter
from ..nn.encoders import FedBlock

__all__ = [
    "PublishedDepthNetwork",
    "PublishedScaleNetwork",
    "PublishedUnsupervisedConfig",
    "PublishedUnsupervisedLifter",
]


#: Where the loaders put the root, and by how much views of turned poses are moved before they are lifted.
_ROOT = 1e-5


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
        bound: largest coordinate of the views of turned poses (Human3.6M: 0.2; MPI-INF-3DHP: 0.35; SURREAL: 0.25).
    """

    width: int = 1024
    blocks: int = 4
    dropout: float = 0.25
    normalise: str = "split"
    size: str = "free"
    bound: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_choice(scale=("none", "published"))
        self._check_number(bound=(1e-3, 1e3))


@register("unsupervised-published")
class PublishedUnsupervisedLifter(RayLifter):
    """2D keypoints to one 3D pose along the rays of a camera at a fixed distance.

    Args:
    config: `PublishedUnsupervisedConfig`; None for the published constants, without a scale head.
    """

    unread = ("covariance", "camera")
    config: PublishedUnsupervisedConfig
    config_class = PublishedUnsupervisedConfig

    def __init__(self, config: PublishedUnsupervisedConfig | None = None) -> None:
        super().__init__(config or PublishedUnsupervisedConfig())
        c = self.config
        joints = len(self.skeleton)
        self.network = PublishedDepthNetwork(joints, c.width, c.blocks, c.dropout)
        self.scaler = PublishedScaleNetwork(joints, c.width, c.dropout) if c.scale == "published" else None

    def image_of(self, keypoints: Keypoints2D) -> tuple[Float[Tensor, "n joints 2"], Bool[Tensor, "n joints"]]:
        """Pixels from the root times one factor, the root at 1e-5, and which joints are visible."""
        visible = keypoints.visible
        unit: Tensor = self.unit
        if self.one_size:
            size = person_size(keypoints.xy, visible)
            unit = torch.where(size > 0, NOMINAL_SPREAD / size.clamp(min=1e-6), 0.0)[:, None, None]
        image = unit * image_offsets(keypoints)
        image[:, self.skeleton.root] = _ROOT
        return image, visible

    def turn_of(self, keypoints: Keypoints2D) -> Float[Tensor, "n 3 3"]:
        """None: poses are lifted in the camera's own axes."""
        return torch.eye(3, device=keypoints.device).expand(len(keypoints), 3, 3)

    def rescaled(
        self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]
    ) -> Float[Tensor, "n joints 2"]:
        """As published, nothing keeps the scale above 0."""
        return image if self.scaler is None else image * self._scale(image)[:, None, None]

    def projected(self, pose: Float[Tensor, "n joints 3"]) -> Float[Tensor, "n joints 2"]:
        """2D poses of poses about ``(0, 0, distance)``, bounded."""
        bound = self.config.bound
        return (pose[..., :2] / (pose[..., 2:] + self.distance)).clamp(-bound, bound)

    def seen(self, pose: Float[Tensor, "n joints 3"]) -> Float[Tensor, "n joints 2"]:
        return self.projected(pose) + _ROOT

    def lift_image(self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> LiftedRays:
        said = self.depths(torch.where(visible.unsqueeze(-1), image, 0.0), visible)
        root, distance = self.skeleton.root, self.distance
        z = (distance + said.depth).clamp(min=0.1 * distance).unsqueeze(-1)
        absolute = torch.cat([said.image * z, z], -1)
        at_root = absolute[:, root : root + 1]
        return LiftedRays(absolute - at_root, said.elevation, at_root - at_root.new_tensor([0.0, 0.0, distance]))

    def _scale(self, image: Float[Tensor, "n joints 2"]) -> Float[Tensor, " n"]:
        """The network says the middle between scale and apparent size, which varies less than the scale."""
        assert self.scaler is not None
        return 2.0 * self.scaler(image.flatten(-2)) - apparent_size(image)

    def log_scale(self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> Float[Tensor, " n"]:
        if self.scaler is None:
            return super().log_scale(image, visible)
        return self._scale(image).clamp(min=0.05).log()

    def depths(self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> RayDepths:
        return RayDepths(self.network(image.flatten(-2)), image, image.new_zeros(len(image)))
