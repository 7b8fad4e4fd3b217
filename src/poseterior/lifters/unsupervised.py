"""Depth along rays, as unsupervised lifters predict it (Chen et al. 2019; Yu et al., ICCV 2021).

The picture is taken as seen from a fixed distance ``c``: each joint of the 2D pose ``u`` gets a depth ``c + d`` and
lies on its ray, ``X = (u z, z)``. Sizes of people and their distances cannot be told apart from 2D; a scale head may
rescale ``u`` before it is lifted, so that bodies come out equally large, and `body_height` says how large they are.

* ``UnsupervisedConfig.published()``: residual blocks into each of which the 2D pose is fed anew (15.99 M parameters,
  its scale head 3.22 M).
* ``UnsupervisedConfig()``: ours, for any missing joints, of 1.7 M parameters.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..distributions.base import PoseDistribution
from ..distributions.delta import DeltaPoseDistribution
from ..distributions.independent import IndependentPoseDistribution, fit_scales
from ..files.errors import InputError
from ..geometry.kinematics import ANKLE_HEIGHT, body_height
from ..keypoints import Keypoints2D
from ..keypoints.rays import (
    METRES_PER_UNIT,
    NOMINAL_SPREAD,
    apparent_size,
    project_at,
    root_relative_image,
    sized,
    turn_matrices,
    turned,
)
from ..keypoints.view import canonical_view
from ..nn.encoders import ResidualMLP
from ..published.yu_2021 import PublishedDepthNetwork, PublishedScaleNetwork
from .base import Lifter, LifterConfig, register

__all__ = [
    "LiftedRays",
    "UnsupervisedConfig",
    "UnsupervisedLifter",
]

#: Height in metres of a person whose height is not known.
_ASSUMED_HEIGHT = 1.7
_CHOICES = {
    "network": ("ours", "published"),
    "normalise": ("pose", "split"),
    "scale": ("none", "bounded", "published"),
    "size": ("height", "free"),
    "spread": ("none", "laplace"),
}


@dataclasses.dataclass(frozen=True)
class UnsupervisedConfig(LifterConfig):
    """Configuration of an unsupervised lifter.

    Attributes:
        network: ``"ours"`` or ``"published"``.
        width: features of the hidden layers (published: 1024).
        blocks: residual blocks (published: 4, and one more in the depth branch).
        dropout: probability of dropping a feature (published: 0.25).
        distance: from the camera to the root, in units of the 2D poses' nominal size (published: 10).
        normalise: ``"pose"``: every 2D pose has the nominal size; ``"split"``: the mean from pelvis to head over the
            training split is 0.1 (published), so that people who are far away stay small.
        scale: head that rescales 2D poses: ``"none"``, ``"bounded"`` (at most ``scale_range`` times larger or
            smaller) or ``"published"`` (unbounded, through the middle between scale and apparent size).
        scale_range: largest factor of the bounded head.
        size: ``"height"``: poses are scaled to the person's known height, or 1.7 m; ``"free"``: they keep the size
            that the network gives them (one unit is 0.65 m).
        elevation: whether the camera's elevation is predicted too (`poseterior.objectives.reproject`, views).
        spread: ``"none"`` for a point mass, ``"laplace"`` for errors fitted by `calibrate`.
    """

    network: str = "ours"
    width: int = 512
    blocks: int = 3
    dropout: float = 0.0
    distance: float = 10.0
    normalise: str = "pose"
    scale: str = "none"
    scale_range: float = 2.5
    size: str = "height"
    elevation: bool = True
    spread: str = "none"

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                listed = ", ".join(map(repr, known))
                raise InputError(f"lifter.{name}: expected one of {listed}, got {getattr(self, name)!r}")
        self._check_whole(width=1, blocks=1)
        for name, low, high in (("dropout", 0.0, 0.99), ("distance", 2.0, 1e3), ("scale_range", 1.0, 100.0)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
                raise InputError(f"lifter.{name}: expected a number from {low} to {high}, got {value!r}")
        if not isinstance(self.elevation, bool):
            raise InputError(f"lifter.elevation: expected true or false, got {self.elevation!r}")
        if self.network == "published" and self.elevation:
            raise InputError("lifter.elevation: not for network: published")

    @classmethod
    def published(cls, scale: bool = False) -> UnsupervisedConfig:
        """The published network, with or without its scale head."""
        return cls(
            network="published", width=1024, blocks=4, dropout=0.25, normalise="split",
            scale="published" if scale else "none", size="free", elevation=False,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class LiftedRays:
    """A batch of lifted 2D poses, in their units.

    Attributes:
        pose: ``(n, joints, 3)`` relative to the root; the camera is at ``(0, 0, -distance)`` and looks along z.
        elevation: ``(n,)`` radians, how far the camera looks down on the person; 0 where it is not predicted.
    """

    pose: Tensor
    elevation: Tensor


@register("unsupervised")
class UnsupervisedLifter(Lifter):
    """2D keypoints to one 3D pose: a depth a joint, along the rays of a camera at a fixed distance.

    Args:
        config: `UnsupervisedConfig`; None for ours with default sizes.
    """

    config: UnsupervisedConfig
    config_class = UnsupervisedConfig
    unit: Tensor
    residual: Tensor

    def __init__(self, config: UnsupervisedConfig | None = None) -> None:
        super().__init__(config or UnsupervisedConfig())
        c = self.config
        joints = len(self.skeleton)
        if c.network == "published":
            self.network: nn.Module = PublishedDepthNetwork(joints, c.width, c.blocks, c.dropout)
        else:
            self.network = ResidualMLP(3 * joints, c.width, c.blocks, c.dropout)
            # Depths, where hidden joints are seen, and the camera's elevation.
            self.head = nn.Linear(c.width, 3 * joints + 1)
            with torch.no_grad():
                self.head.weight.mul_(0.1)
                self.head.bias.zero_()
        if c.scale == "published":
            self.scaler: nn.Module | None = PublishedScaleNetwork(joints, c.width, c.dropout)
        elif c.scale == "bounded":
            self.scaler = nn.Sequential(ResidualMLP(3 * joints, 256, 1), nn.Linear(256, 1))
        else:
            self.scaler = None
        # Factor from tangents to the units of 2D poses; fitted to the training split for normalise: split.
        self.register_buffer("unit", torch.ones(()))
        self.others = [j for j in range(joints) if j != self.skeleton.root]
        # Errors of hidden joints (first row) and visible ones, metres along the turned axes.
        self.register_buffer("residual", torch.full((2, joints - 1, 3), 0.1))

    # -- 2D poses ------------------------------------------------------------------------------------------

    def image_of(self, keypoints: Keypoints2D) -> tuple[Float[Tensor, "n joints 2"], Bool[Tensor, "n joints"]]:
        """`root_relative_image` in the network's units."""
        return root_relative_image(keypoints, None if self.one_size else self.unit)

    @property
    def distance(self) -> float:
        """From the camera to the root, in units of the 2D poses."""
        return self.config.distance

    @property
    def one_size(self) -> bool:
        """Whether every 2D pose is brought to the same size."""
        return self.config.normalise == "pose"

    def log_scale(self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> Float[Tensor, " n"]:
        """Logarithm of the factor by which 2D poses should be rescaled before they are lifted; 0 without a head."""
        if self.scaler is None:
            return image.new_zeros(len(image))
        if self.config.scale == "bounded":
            shown = visible.to(image.dtype)
            features = torch.cat([image.flatten(-2) / NOMINAL_SPREAD, shown], -1)
            return math.log(self.config.scale_range) * self.scaler(features).squeeze(-1).tanh()
        # The network says the middle between scale and apparent size, which varies less than the scale.
        middle = self.scaler(image.flatten(-2))
        return (2.0 * middle - apparent_size(image)).clamp(min=0.05).log()

    def lift_image(self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> LiftedRays:
        """Lift 2D poses given relative to the root, (re)scaled already. Differentiable in ``image``.

        Joints that are not visible are put where the network thinks that they would be seen.
        """
        c, joints = self.config, len(self.skeleton)
        image = torch.where(visible.unsqueeze(-1), image, 0.0)
        elevation = image.new_zeros(len(image))
        if c.network == "published":
            depth = self.network(image.flatten(-2))
        else:
            shown = visible.to(image.dtype)
            raw = self.head(self.network(torch.cat([image.flatten(-2) / NOMINAL_SPREAD, shown], -1)))
            depth = raw[:, :joints]
            filled = NOMINAL_SPREAD * raw[:, joints : 3 * joints].unflatten(-1, (joints, 2))
            image = torch.where(visible.unsqueeze(-1), image, filled)
            if c.elevation:
                elevation = 0.5 * raw[:, -1].tanh()
        root = self.skeleton.root
        image = image - image[:, root : root + 1]
        # Nobody is nearer than a tenth of the camera's distance.
        z = (c.distance + depth - depth[:, root : root + 1]).clamp(min=0.1 * c.distance).unsqueeze(-1)
        absolute = torch.cat([image * z, z], -1)
        return LiftedRays(absolute - absolute[:, root : root + 1], elevation)

    # -- the distribution ----------------------------------------------------------------------------------

    def distribution(self, keypoints: Keypoints2D) -> PoseDistribution:
        batch = keypoints.batch_shape
        flat = keypoints.flatten()
        with torch.autocast(flat.device.type, enabled=False):
            rotation = canonical_view(flat).rotation
            image, visible = self.image_of(flat)
            image = image * self.log_scale(image, visible).exp()[:, None, None]
            pose = self._metres(self.lift_image(image, visible).pose, flat.height)
        pose = (pose @ rotation).reshape(*batch, *pose.shape[1:])
        if self.config.spread == "none":
            return DeltaPoseDistribution(pose, None, self.skeleton)
        shown = visible[:, self.others].unsqueeze(-1)
        scale = torch.where(shown, self.residual[1], self.residual[0]).reshape(*batch, len(self.others), 3)
        turn = rotation.reshape(*batch, 3, 3)
        return IndependentPoseDistribution(pose, scale, self.config.spread, turn, self.skeleton)

    def _metres(self, pose: Float[Tensor, "n joints 3"], height: Float[Tensor, " n"]) -> Float[Tensor, "n joints 3"]:
        """Lifted poses in metres; ``height`` in metres, NaN where unknown."""
        if self.config.size == "free":
            return METRES_PER_UNIT * pose
        bones = (body_height(pose) - ANKLE_HEIGHT).clamp(min=1e-6)
        return pose * ((height.nan_to_num(_ASSUMED_HEIGHT) - ANKLE_HEIGHT) / bones)[:, None, None]

    @torch.no_grad()
    def calibrate(self, observations: Any) -> None:
        """Fit error bars from 2D alone: from how the lifter errs on poses of its own, seen from elsewhere.

        Each pose that it lifts is turned by a random azimuth, projected, partly hidden and lifted again. What comes
        back wrong is the error that it would make if its poses were the truth; that they are not is an error which
        2D cannot show, so the bars are too short.
        """
        generator = torch.Generator().manual_seed(0)
        image, visible = self.image_of(observations.keypoints.flatten())
        whole = visible.all(-1)
        image, visible = image[whole], visible[whole]
        image = image * self.log_scale(image, visible).exp()[:, None, None]
        truth = self.lift_image(image, visible)
        angle = 2.0 * math.pi * torch.rand(len(image), generator=generator)
        zero = torch.zeros_like(angle)
        level, tilt = turn_matrices(zero, -truth.elevation, zero), turn_matrices(zero, truth.elevation, zero)
        pose = turned(truth.pose, tilt @ turn_matrices(angle, zero, zero) @ level)
        view = project_at(pose, self.config.distance)
        view, factor = sized(view, self.one_size)
        share = 0.5 * torch.rand(len(view), 1, generator=generator)
        shown = torch.rand(view.shape[:2], generator=generator) >= share
        shown[:, self.skeleton.root] = True
        unknown = torch.full((len(view),), math.nan)
        again = self._metres(self.lift_image(view, shown).pose / factor, unknown)
        error = (again - self._metres(pose, unknown))[:, self.others]
        known = torch.ones_like(shown[:, self.others])
        self.residual.copy_(fit_scales(error, shown[:, self.others], known, "laplace"))
        self.config = dataclasses.replace(self.config, spread="laplace")

    @torch.no_grad()
    def fit_constants(self, observations: object) -> None:
        """``normalise: split``: the mean 2D length from pelvis to head over the training keypoints becomes 0.1."""
        if self.config.normalise != "split":
            return
        keypoints: Keypoints2D = observations.keypoints  # type: ignore[attr-defined]
        self.unit.fill_(1.0)
        image, visible = self.image_of(keypoints)
        head, root = self.skeleton.index("head_top"), self.skeleton.root
        both = visible[:, head] & visible[:, root]
        if not bool(both.any()):
            raise InputError("lifter.normalise: split: no training keypoints show both pelvis and head_top")
        length = (image[both, head] - image[both, root]).norm(dim=-1)
        self.unit.fill_(0.1 / float(length.mean()))
