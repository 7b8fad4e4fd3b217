"""The published flow on SO(3)^19 (Dünkel, Salzmann, Pfaff 2024: HuProSO3), trainable, for comparison.

It takes no camera, so it is a prior and no lifter. One network per task: pose prior, inverse kinematics, or 2D to 3D.
It models the rotations of 19 joints in the pelvis' own axes: a pose without its orientation, as no camera sees it.
`poseterior.lifters.rotations` is our own.
"""

from __future__ import annotations

import dataclasses

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import constraints

from ...distributions.rotations import check_rotations
from ...distributions.seeded import SeededDistribution
from ...files.errors import InputError
from ...files.settings import choice, whole
from ...geometry.skeletons import SKELETONS
from ...lifters.base import LifterConfig, Prior, register
from ...nn.rotation_networks import BODY_JOINTS
from ...nn.so3 import haar_quaternions
from ...noise import Noise
from .network import PublishedCondition, PublishedRotationFlow

__all__ = [
    "RELEASED",
    "PublishedRotationConfig",
    "PublishedRotationDistribution",
    "PublishedRotationPrior",
]

_SMPL = SKELETONS["smpl22"]
_FEATURES = 64  # of the condition
_COORDINATES = {"prior": 0, "ik": 3, "lift": 2}  # of a keypoint
_NEAR = 1e-4  # metres, rounding of a pelvis that was subtracted

#: Segments, hidden width and hidden layers of the released models, by task. The one for inverse kinematics with
#: random occlusion has ``segments=16, hidden=16, hidden_layers=3``.
RELEASED = {"prior": (32, 16, 3), "ik": (32, 32, 2), "lift": (32, 32, 2)}


@dataclasses.dataclass(frozen=True)
class PublishedRotationConfig(LifterConfig):
    """Configuration of the published rotation model. A size of 0 becomes the released model's (`RELEASED`).

    Attributes:
        task: ``"prior"`` (nothing seen), ``"ik"`` (22 keypoints in 3D) or ``"lift"`` (their x and y).
        segments: components of each Möbius mixture.
        hidden: width of the Möbius networks.
        hidden_layers: their hidden layers.
    """

    task: str = "ik"
    segments: int = 0
    hidden: int = 0
    hidden_layers: int = 0

    def __post_init__(self) -> None:
        choice(self.task, "lifter.task", tuple(RELEASED), quoted=False)
        for name, released in zip(("segments", "hidden", "hidden_layers"), RELEASED[self.task], strict=True):
            expected = "a whole number from 0 (0: as released)"
            object.__setattr__(
                self, name, whole(getattr(self, name), f"lifter.{name}", 0, expected=expected) or released
            )


@register("rotations-published")
class PublishedRotationPrior(Prior):
    """Keypoints in the pelvis' own axes, or nothing, to a distribution over the rotations of 19 joints.

    Those axes are the rest body's (`poseterior.geometry.body`): x to the person's left, y up, z to the front. Released
    sizes have 1,293,104 (prior), 2,972,656 (inverse kinematics; with occlusion 1,517,104) and 2,971,248 (2D to 3D)
    parameters.

    Args:
        config: `PublishedRotationConfig`; None for the defaults.
    """

    config: PublishedRotationConfig
    config_class = PublishedRotationConfig

    def __init__(self, config: PublishedRotationConfig | None = None) -> None:
        super().__init__(config or PublishedRotationConfig())
        c = self.config
        inputs = _COORDINATES[c.task] * len(_SMPL)
        self.keypoints = PublishedCondition(inputs, _FEATURES) if inputs else None
        self.flow = PublishedRotationFlow(
            len(BODY_JOINTS), _FEATURES if inputs else 0, c.segments, c.hidden, c.hidden_layers
        )

    # -- the three tasks -----------------------------------------------------------------------------------

    def prior(self, batch: torch.Size | tuple[int, ...] = ()) -> PublishedRotationDistribution:
        """Rotations of people of whom nothing is seen; ``task="prior"``."""
        self._needs_task("prior")
        return PublishedRotationDistribution(self, None, torch.Size(batch))

    def ik(
        self, points: Float[Tensor, "*batch 22 3"], seen: Bool[Tensor, "*batch 22"] | None = None
    ) -> PublishedRotationDistribution:
        """Inverse kinematics: rotations given 3D keypoints; ``task="ik"``.

        Args:
            points: smpl22, metres, relative to the pelvis and in its own axes.
            seen: which count (default: all); see `encode`.

        Raises:
            InputError: as `encode`, or a lifter of another task.
        """
        self._needs_task("ik")
        condition = self.encode(points, seen)
        return PublishedRotationDistribution(self, condition, condition.shape[:-1])

    def lift2d(
        self, points: Float[Tensor, "*batch 22 2"], seen: Bool[Tensor, "*batch 22"] | None = None
    ) -> PublishedRotationDistribution:
        """2D to 3D as published; ``task="lift"``.

        The view is an orthographic one from the front: 3D keypoints relative to the pelvis, in its own axes, without
        z. Scale and orientation of the person are thus known and there is no camera and no noise.

        Args:
            points: smpl22, x to the person's left and y up, metres.
            seen: which count (default: all); see `encode`.

        Raises:
            InputError: as `encode`, or a lifter of another task.
        """
        self._needs_task("lift")
        condition = self.encode(points, seen)
        return PublishedRotationDistribution(self, condition, condition.shape[:-1])

    def encode(
        self, points: Float[Tensor, "*batch 22 d"], seen: Bool[Tensor, "*batch 22"] | None = None
    ) -> Float[Tensor, "*batch 64"]:
        """Keypoints to the features that condition the flow.

        Hidden keypoints may hold anything: their coordinates become 0, as published. Nothing tells the network which
        they are, so that only one trained with the objective's ``mask: random`` makes sense of them.

        Raises:
            InputError: a prior, another shape, a visible point that is not finite, or a pelvis away from zero.
        """
        if self.keypoints is None:
            raise InputError("lifter.task 'prior' sees no keypoints: use prior(), or train one of task 'ik' or 'lift'")
        size = (len(_SMPL), _COORDINATES[self.config.task])
        if points.shape[-2:] != size:
            raise InputError(f"points: expected (..., {size[0]}, {size[1]}) of smpl22, got {tuple(points.shape)}")
        seen = torch.ones_like(points[..., 0], dtype=torch.bool) if seen is None else seen.expand(points.shape[:-1])
        points = torch.where(seen.unsqueeze(-1), points, 0.0)
        wrong = ~points.isfinite().all(-1)
        if bool(wrong.any()):
            *where, joint = wrong.nonzero()[0].tolist()
            raise InputError(
                f"points{where or ''}: joint {_SMPL.joints[joint]!r}: is visible but not finite; hide it (seen=False) "
                "or mend it"
            )
        away = points[..., _SMPL.root, :].detach().abs()
        if bool((away > _NEAR).any()):
            raise InputError(
                f"points: joint 'pelvis': expected 0, found {float(away.max()):g} m; subtract it from all points"
            )
        return self.keypoints(points.flatten(-2))

    def log_prob(
        self, rotations: Float[Tensor, "*samples_batch 22 3 3"], condition: Float[Tensor, "*batch 64"] | None = None
    ) -> Float[Tensor, "*samples_batch"]:
        """Log-density of the 19 rotations in nats above uniform (normalised Haar measure).

        Args:
            rotations: relative to the parent; those of the pelvis and the toes do not matter.
            condition: from `encode`; None for a prior.

        Raises:
            InputError: wrong shape, a matrix that is no rotation (names the joint), or a condition too many or few.
        """
        check_rotations(rotations)
        return self.flow.log_prob(rotations[..., list(BODY_JOINTS), :, :], condition)

    def _needs_task(self, task: str) -> None:
        if self.config.task != task:
            raise InputError(
                f"lifter.task is {self.config.task!r}, not {task!r}: the published model has one network per "
                f"task; train one with `poseterior train so3-published lifter.task={task}`"
            )


class PublishedRotationDistribution(SeededDistribution):
    """What a `PublishedRotationPrior` returns: a distribution over smpl22's rotations, event ``(22, 3, 3)``.

    Attributes:
        skeleton: smpl22.
        modelled: names of the 19 joints that have a density; the pelvis and the toes are at the identity in every
            sample.
        measure: what densities refer to.

    Args:
        lifter: the model.
        condition: ``(*batch, 64)`` from `PublishedRotationPrior.encode`; None for a prior.
        batch_shape: of the distribution.
    """

    has_density = True
    batched = ("condition",)
    support = constraints.independent(constraints.real, 3)
    measure = "normalised Haar measure of each modelled joint (uniform: 0 nats)"
    axes = "relative to the parent; pelvis: identity"

    def __init__(self, lifter: PublishedRotationPrior, condition: Tensor | None, batch_shape: torch.Size) -> None:
        super().__init__(batch_shape, (len(_SMPL), 3, 3), _SMPL, like=lifter.flow.free)
        self.lifter, self.condition = lifter, condition

    @property
    def modelled(self) -> tuple[str, ...]:
        return tuple(_SMPL.joints[j] for j in BODY_JOINTS)

    def log_prob(self, value: Float[Tensor, "*samples_batch 22 3 3"]) -> Float[Tensor, "*samples_batch"]:
        """Exact log-density of the 19 joints, see `PublishedRotationPrior.log_prob`."""
        return self.lifter.log_prob(self._as_draws(value), self.condition)

    def _draw_and_log_prob(self, sample_shape: torch.Size, noise: Noise) -> tuple[Tensor, Tensor]:
        flow = self.lifter.flow
        shape = (*sample_shape, *self.batch_shape, flow.joints)
        base = roma.unitquat_to_rotmat(haar_quaternions(shape, noise, like=flow.free, event=2))
        drawn, density = flow.from_base(base, self.condition)
        rotations = torch.eye(3, dtype=drawn.dtype, device=drawn.device).expand(*shape[:-1], len(_SMPL), 3, 3).clone()
        rotations[..., list(BODY_JOINTS), :, :] = drawn
        return rotations, density

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        return self._draw_and_log_prob(shape, noise)[0]
