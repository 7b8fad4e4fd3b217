"""Lifters of 2D poses along rays: what ours and the published unsupervised ones share.

The picture is taken as seen from a fixed distance ``c``: each joint of the 2D pose ``u`` gets a depth ``c + d`` and
lies on its ray, ``X = (u z, z)`` (Chen et al. 2019; Yu et al., ICCV 2021). Sizes of people and their distances cannot
be told apart from 2D; a scale head may rescale ``u`` before it is lifted, so that bodies come out equally large, and
`body_height` says how large they are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..distributions.base import PoseDistribution
from ..distributions.delta import DeltaPoseDistribution
from ..distributions.independent import IndependentPoseDistribution, fit_scales
from ..files.errors import InputError
from ..geometry.kinematics import ANKLE_HEIGHT, ASSUMED_HEIGHT, body_height
from ..keypoints import Keypoints2D
from ..keypoints.rays import (
    METRES_PER_UNIT,
    project_at,
    root_relative_image,
    sized,
    turn_matrices,
    turned,
)
from ..keypoints.view import canonical_view
from .base import Lifter, LifterConfig

__all__ = [
    "LiftedRays",
    "RayConfig",
    "RayDepths",
    "RayLifter",
]


@dataclasses.dataclass(frozen=True)
class RayConfig(LifterConfig):
    """What all lifters along rays are configured by.

    Attributes:
        width: features of the hidden layers.
        blocks: residual blocks.
        dropout: probability of dropping a feature.
        distance: from the camera to the root, in units of the 2D poses' nominal size.
        normalise: ``"pose"``: every 2D pose has the nominal size; ``"split"``: the mean from pelvis to head over the
            training split is 0.1 (published), so that people who are far away stay small.
        scale: head that rescales 2D poses; ``"none"`` for none.
        size: ``"height"``: poses are scaled to the person's known height, or 1.7 m; ``"free"``: they keep the size
            that the network gives them (one unit is 0.65 m).
        spread: ``"none"`` for a point mass, ``"laplace"`` for errors fitted by `calibrate`.
    """

    width: int = 512
    blocks: int = 3
    dropout: float = 0.0
    distance: float = 10.0
    normalise: str = "pose"
    scale: str = "none"
    size: str = "height"
    spread: str = "none"

    def __post_init__(self) -> None:
        self._check_choice(normalise=("pose", "split"), size=("height", "free"), spread=("none", "laplace"))
        self._check_whole(width=1, blocks=1)
        self._check_number(dropout=(0.0, 0.99), distance=(2.0, 1e3))


@dataclasses.dataclass(frozen=True)
class RayDepths:
    """What a network says of 2D poses.

    Attributes:
        depth: ``(n, joints)`` behind or before the root's distance, in units of the 2D poses.
        image: ``(n, joints, 2)`` the 2D poses, hidden joints where they would be seen.
        elevation: ``(n,)`` radians, how far the camera looks down on the person; 0 where it is not predicted.
    """

    depth: Tensor
    image: Tensor
    elevation: Tensor


@dataclasses.dataclass(frozen=True)
class LiftedRays:
    """A batch of lifted 2D poses, in their units.

    Attributes:
        pose: ``(n, joints, 3)`` relative to the root; the camera is at ``(0, 0, -distance)`` and looks along z.
        elevation: ``(n,)`` radians, how far the camera looks down on the person; 0 where it is not predicted.
        offset: ``(n, 1, 3)`` of the root from ``(0, 0, distance)`` in camera axes, where a network may move it.
    """

    pose: Tensor
    elevation: Tensor
    offset: Tensor | float = 0.0


class RayLifter(Lifter):
    """2D keypoints to one 3D pose: one depth per joint, along the rays of a camera at a fixed distance.

    Subclasses implement `depths`, and `log_scale` where they have a head for it, which is their ``scaler``.
    """

    config: RayConfig
    scaler: nn.Module | None
    unit: Tensor
    residual: Tensor

    def __init__(self, config: RayConfig) -> None:
        super().__init__(config)
        self.others = [j for j in range(len(self.skeleton)) if j != self.skeleton.root]
        # Factor to the units of 2D poses, from tangents or (published) pixels; normalise: split fits it to the split.
        self.register_buffer("unit", torch.ones(()))
        # Errors of hidden joints (first row) and visible ones, metres along the axes of the canonical frame.
        self.register_buffer("residual", torch.full((2, len(self.others), 3), 0.1))

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

    def depths(self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> RayDepths:
        """What the network says of 2D poses relative to the root, (re)scaled already, hidden joints at 0."""
        raise NotImplementedError

    def log_scale(self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> Float[Tensor, " n"]:
        """Logarithm of the factor by which 2D poses should be rescaled before they are lifted; 0 without a head."""
        return image.new_zeros(len(image))

    def turn_of(self, keypoints: Keypoints2D) -> Float[Tensor, "n 3 3"]:
        """Rotation from camera axes to those in which poses are lifted."""
        return canonical_view(keypoints).rotation

    def rescaled(
        self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]
    ) -> Float[Tensor, "n joints 2"]:
        """The 2D poses that are lifted: those of `image_of`, rescaled by what the scale head says."""
        return image * self.log_scale(image, visible).exp()[:, None, None]

    def projected(self, pose: Float[Tensor, "n joints 3"]) -> Float[Tensor, "n joints 2"]:
        """2D poses of poses about ``(0, 0, distance)``."""
        return project_at(pose, self.distance)

    def seen(self, pose: Float[Tensor, "n joints 3"]) -> Float[Tensor, "n joints 2"]:
        """`projected` as the network is shown it in training."""
        return self.projected(pose)

    def depth_parameters(self) -> Iterator[nn.Parameter]:
        """All parameters but the scale head's."""
        return (p for name, p in self.named_parameters() if not name.startswith("scaler."))

    def lift_image(self, image: Float[Tensor, "n joints 2"], visible: Bool[Tensor, "n joints"]) -> LiftedRays:
        """Lift 2D poses given relative to the root, (re)scaled already. Differentiable in ``image``.

        Joints that are not visible are put where the network thinks that they would be seen.
        """
        said = self.depths(torch.where(visible.unsqueeze(-1), image, 0.0), visible)
        root, distance = self.skeleton.root, self.distance
        image = said.image - said.image[:, root : root + 1]
        # Nobody is nearer than a tenth of the camera's distance.
        z = (distance + said.depth - said.depth[:, root : root + 1]).clamp(min=0.1 * distance).unsqueeze(-1)
        absolute = torch.cat([image * z, z], -1)
        return LiftedRays(absolute - absolute[:, root : root + 1], said.elevation)

    # -- the distribution ----------------------------------------------------------------------------------

    def distribution(self, keypoints: Keypoints2D) -> PoseDistribution:
        batch = keypoints.batch_shape
        flat = keypoints.flatten()
        with torch.autocast(flat.device.type, enabled=False):
            rotation = self.turn_of(flat)
            lifted, visible = self._lifted(flat)
            pose = lifted.pose
        pose = (pose @ rotation).reshape(*batch, *pose.shape[1:])
        if self.config.spread == "none":
            return DeltaPoseDistribution(pose, None, self.skeleton)
        shown = visible[:, self.others].unsqueeze(-1)
        scale = torch.where(shown, self.residual[1], self.residual[0]).reshape(*batch, len(self.others), 3)
        turn = rotation.reshape(*batch, 3, 3)
        return IndependentPoseDistribution(pose, scale, self.config.spread, turn, self.skeleton)

    def levelled(self, keypoints: Keypoints2D) -> Float[Tensor, "n joints 3"]:
        """Poses in metres as a camera at the height of the person would see them, by the elevation that is predicted.

        Args:
            keypoints: a flat batch.
        """
        lifted, _ = self._lifted(keypoints)
        zero = torch.zeros_like(lifted.elevation)
        return turned(lifted.pose, turn_matrices(zero, -lifted.elevation, zero))

    def _lifted(self, keypoints: Keypoints2D) -> tuple[LiftedRays, Bool[Tensor, "n joints"]]:
        """Poses in metres, in the axes of the canonical view, and which joints were visible."""
        image, visible = self.image_of(keypoints)
        lifted = self.lift_image(self.rescaled(image, visible), visible)
        return dataclasses.replace(lifted, pose=self._metres(lifted.pose, keypoints.height)), visible

    def _metres(self, pose: Float[Tensor, "n joints 3"], height: Float[Tensor, " n"]) -> Float[Tensor, "n joints 3"]:
        """Lifted poses in metres; ``height`` in metres, NaN where unknown."""
        if self.config.size == "free":
            return METRES_PER_UNIT * pose
        bones = (body_height(pose) - ANKLE_HEIGHT).clamp(min=1e-6)
        return pose * ((height.nan_to_num(ASSUMED_HEIGHT) - ANKLE_HEIGHT) / bones)[:, None, None]

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
        truth = self.lift_image(self.rescaled(image, visible), visible)
        angle = 2.0 * math.pi * torch.rand(len(image), generator=generator)
        zero = torch.zeros_like(angle)
        level, tilt = turn_matrices(zero, -truth.elevation, zero), turn_matrices(zero, truth.elevation, zero)
        pose = turned(truth.pose, tilt @ turn_matrices(angle, zero, zero) @ level)
        view = self.seen(pose)
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
