"""Joint rotations with exact densities: pose prior, inverse kinematics and 2D lifting in one network.

After Dünkel et al. 2024 (normalizing flows on SO(3)^N), rebuilt: see `poseterior.nn.so3` for the maps and
`poseterior.nn.rotation_networks` for the structures. As a lifter it returns poses of a body of rigid bones; their
rotations are in ``.rotations``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..distributions.rotations import ArticulatedPoseDistribution, RotationDistribution
from ..distributions.through_poses import RotationsThroughPoses
from ..files.errors import InputError
from ..files.settings import choice
from ..geometry.body import (
    GROUPS,
    H36M_POINTS,
    SMPL25,
    body_points,
    check_covariance,
    check_points,
    estimate_offsets,
    group_factors,
)
from ..geometry.nearest_rotations import procrustes
from ..keypoints import Keypoints2D
from ..nn.body_evidence import BodyEvidence, evidence_from_keypoints, evidence_from_points, no_evidence
from ..nn.body_state import TARGETS
from ..nn.rotation_networks import STRUCTURES, NetworkSizes, modelled_joints, rotation_network
from ..noise import Noise, keys_of
from .base import ArticulatedLifter, Lifter, LifterConfig, load, register
from .saved import list_shipped

__all__ = ["NO_OTHER", "RotationConfig", "RotationLifter"]

#: What ``through`` says where the network reads the keypoints itself.
NO_OTHER = "none"


@dataclasses.dataclass(frozen=True)
class RotationConfig(LifterConfig):
    """Configuration of a rotation lifter.

    Attributes:
        structure: ``"autoregressive"``, ``"coupling"``, ``"acg"`` or ``"independent"``.
        toes: whether the toes' bases are modelled too (19 joints and the pelvis without them, as published).
        width, blocks: of the encoders of 2D keypoints and (half as wide) of 3D ones (features, residual blocks).
        context: features of the evidence that the joints see.
        trunk: features per joint.
        layers: Möbius couplings of a joint's flow (in each turn, for coupling).
        segments: components of a Möbius mixture.
        hidden: width of the Möbius conditioners.
        turns: of coupling.
        components: angular central Gaussians per joint.
        through: the shipped lifter of positions whose poses are turned into rotations, one draw of inverse kinematics
            each; ``"none"``: the network reads the keypoints itself, which has a density but is far less accurate.
        misfit: metres by which a body of equal sides and rigid bones misses that lifter's poses.
    """

    structure: str = "autoregressive"
    toes: bool = False
    width: int = 384
    blocks: int = 3
    context: int = 128
    trunk: int = 96
    layers: int = 4
    segments: int = 8
    hidden: int = 32
    turns: int = 6
    components: int = 16
    through: str = "none"
    misfit: float = 0.005

    def __post_init__(self) -> None:
        choice(*self._named("through"), (NO_OTHER, *list_shipped()), quoted=False)
        self._check_number(misfit=(0.0, 0.2))
        choice(*self._named("structure"), STRUCTURES, quoted=False)
        self._check_flag("toes")
        self._check_whole(width=2, blocks=1, context=1, trunk=1, layers=1, segments=1, hidden=1, turns=2, components=1)


@register("rotations")
class RotationLifter(ArticulatedLifter):
    """2D keypoints, 3D keypoints or nothing to a distribution over joint rotations.

    Args:
        config: `RotationConfig`; None for the defaults.
    """

    config: RotationConfig
    config_class = RotationConfig
    grown = {  # noqa: RUF012 - a constant
        "network.solid.0.enter.weight": (1, 6 * len(SMPL25)),
        "network.see_local": (1, 6 * TARGETS),
    }

    def __init__(self, config: RotationConfig | None = None) -> None:
        super().__init__(config or RotationConfig())
        c = self.config
        sizes = NetworkSizes(**{f.name: getattr(c, f.name) for f in dataclasses.fields(NetworkSizes)})
        self.network = rotation_network(c.structure, modelled_joints(c.toes), sizes)
        self._others: dict[bool, Lifter] = {}
        self.body = nn.Sequential(
            nn.Linear(c.context + 5 * len(H36M_POINTS), 128), nn.SiLU(), nn.Linear(128, 2 * len(GROUPS) + 1)
        )

    # -- the three tasks -----------------------------------------------------------------------------------

    def distribution(self, keypoints: Keypoints2D) -> ArticulatedPoseDistribution:
        return self.rotations(keypoints).positions()

    def rotations(self, keypoints: Keypoints2D) -> RotationDistribution:
        """Lifting: rotations given 2D keypoints (h36m17); the pelvis' in camera axes, bone lengths uncertain.

        Those of the poses of another lifter where the configuration says ``through``, which have no density; else
        `own_rotations`.
        """
        if self.reader is self:
            return self.own_rotations(keypoints)
        return RotationsThroughPoses(self.network, self.reader(keypoints), self.config.misfit)

    @property
    def reader(self) -> Lifter:
        """The lifter whose network reads the keypoints: this one, or the one named by ``through``, loaded when asked.

        Raises:
            InputError: the one named goes through another itself, or gives rotations.
        """
        if self.config.through == NO_OTHER:
            return self
        if self.use_evidence not in self._others:
            self._others[self.use_evidence] = self._loaded(self.config.through)
        # Not a part of this module: it is not trained or saved with it. It works in the same precision: what is left
        # of rounding in its poses the flows of the rotations would stretch.
        usual, other = self.network.usual, self._others[self.use_evidence]
        first = next((part for part in other.parameters() if part.is_floating_point()), None)
        # Asking each of its parts to move takes longer than many an answer.
        if first is not None and (first.device, first.dtype) == (usual.device, usual.dtype):
            return other
        return other.to(device=usual.device, dtype=usual.dtype)

    def _loaded(self, name: str) -> Lifter:
        other = load(name, evidence=self.use_evidence)
        other.recalibration = None  # that is of its own samples; how its errors hang together stays
        if isinstance(other, ArticulatedLifter) or other.skeleton is not self.skeleton:
            raise InputError(
                f"lifter.through: {name!r} does not lift positions of {self.skeleton.name}; name 'flow' or 'mdn'"
            )
        return other

    def own_rotations(self, keypoints: Keypoints2D) -> RotationDistribution:
        """Rotations given 2D keypoints as the network itself reads them, with their density."""
        evidence = self._cast(evidence_from_keypoints(keypoints))
        return RotationDistribution(self.network, evidence, self._draw_offsets, keypoints.keys)

    def prior(self, batch: torch.Size | tuple[int, ...] = ()) -> RotationDistribution:
        """Rotations of people of whom nothing is seen, as a camera sees them; the rest body's bone lengths."""
        return RotationDistribution(self.network, self._cast(no_evidence(batch, self.network.usual.device)))

    def ik(
        self,
        points: Float[Tensor, "*batch 25 3"],
        seen: Bool[Tensor, "*batch 25"] | None = None,
        sigma: Float[Tensor, "*batch 25"] | float = 0.0,
        offsets: Float[Tensor, "*batch 25 3"] | None = None,
        covariance: Float[Tensor, "*batch 25 3 3"] | None = None,
        keys: Int[Tensor, "*batch"] | None = None,
    ) -> RotationDistribution:
        """Inverse kinematics: rotations given 3D keypoints, any subset of them.

        Args:
            points: metres, joints of `poseterior.geometry.body.SMPL25`, any place; the pelvis' rotation is returned in
                their axes. Use `poseterior.geometry.body.points_from` for other skeletons.
            seen: which points count (default: those that are finite); others may hold anything.
            sigma: their standard deviation, metres (0: exact).
            offsets: rest offsets of the body, metres; default: estimated from the visible bones.
            covariance: of each point, m², in the points' axes and in place of ``sigma``: a lifter's poses are far more
                uncertain along the line of sight than across it. What the errors of the points have in common is not
                asked for: the network has learnt what lifters' errors have.
            keys: what each pose's own random numbers come from; poses of one key get the same ones, so that their
                samples change with the points as smoothly as these do. By default each pose has its own.

        Raises:
            InputError: wrong shapes, a visible point that is not finite, a negative sigma or a covariance that is none;
                names the point.
        """
        points, seen, spread = check_points(points, seen, sigma)
        if covariance is not None:
            covariance = check_covariance(covariance, seen)
        lengths_known: Tensor | None = None
        if offsets is None:
            offsets, lengths_known = estimate_offsets(points, seen)
        evidence = evidence_from_points(points, seen, spread, offsets, lengths_known, covariance)
        return self.given(evidence, keys_of(points, seen) if keys is None else keys)

    def given(self, evidence: BodyEvidence, keys: Int[Tensor, "*batch"] | None = None) -> RotationDistribution:
        """The distribution for evidence of any kind, with the bone lengths that the evidence takes.

        ``keys``: what each pose's own random numbers come from, see `RotationDistribution`.
        """
        return RotationDistribution(self.network, self._cast(evidence), keys=keys)

    def _cast(self, evidence: BodyEvidence) -> BodyEvidence:
        return evidence.to(self.network.usual.dtype)

    # -- bone lengths --------------------------------------------------------------------------------------

    def lengths(self, rotations: Tensor, evidence: BodyEvidence, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A Gaussian over log-ratios of bone lengths, given rotations (network axes) and 2D evidence.

        Returns:
            Mean ``(..., groups)``, standard deviation of each group alone ``(..., groups)``, and of all together
            ``(..., 1)``.
        """
        rest = evidence.offsets
        points, _ = body_points(rotations, rest.expand(*rotations.shape[:-3], *rest.shape[-2:]))
        points = points[..., H36M_POINTS, :] - points[..., H36M_POINTS[:1], :]
        batch = points.shape[:-2]
        parts = [context, points.flatten(-2), evidence.picture.flatten(-2)]
        raw = self.body(torch.cat([p.expand(*batch, p.shape[-1]) for p in parts], -1))
        n = len(GROUPS)
        mean, own, together = raw[..., :n], raw[..., n : 2 * n], raw[..., 2 * n :]
        return 0.2 * mean, 0.1 * nn.functional.softplus(own) + 1e-3, 0.1 * nn.functional.softplus(together) + 1e-3

    def lengths_log_prob(
        self, log_lengths: Tensor, rotations: Tensor, evidence: BodyEvidence, context: Tensor
    ) -> Float[Tensor, "*batch"]:
        """Log-density of log-ratios of bone lengths (Lebesgue) given rotations (network axes) and evidence."""
        mean, own, together = self.lengths(rotations, evidence, context)
        gaussian = torch.distributions.LowRankMultivariateNormal(
            mean, together.unsqueeze(-1).expand(*mean.shape, 1), own.square(), validate_args=False
        )
        return gaussian.log_prob(log_lengths)

    def _draw_offsets(self, rotations: Tensor, evidence: BodyEvidence, context: Tensor, noise: Noise) -> Tensor:
        """Rest offsets of bodies drawn from `lengths` ``(..., 25, 3)``."""
        mean, own, together = self.lengths(rotations, evidence, context)
        each = noise.normal(mean.shape, 1, mean)
        size = noise.normal(together.shape, 1, mean)
        return evidence.offsets * group_factors(mean + own * each + together * size)

    def fit_constants(self, observations: Any) -> None:
        """The usual rotation of each joint: the chordal mean of the training rotations (the pelvis': upright)."""
        mean = procrustes(observations.rotations[:, list(self.network.joints)].mean(0).double())
        mean[0] = torch.eye(3, dtype=torch.float64)
        self.network.usual.copy_(mean)
