"""Distributions over joint rotations, and over the poses that they give a body.

Rotations are smpl22's, relative to the parent; the pelvis' is in camera axes (x right, y down, z forward).
Densities are with respect to **normalised Haar measure** of each modelled joint: 0 nats is the uniform density.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import constraints

from ..files.errors import InputError
from ..geometry.body import H36M_POINTS, SMPL25, body_points
from ..geometry.nearest_rotations import procrustes
from ..geometry.skeletons import SKELETONS, Skeleton
from ..nn.body_evidence import BodyEvidence
from ..nn.rotation_networks import RotationNetwork
from ..noise import Noise, SharedNoise, as_noise, mixed
from ..registry import lazy_module
from .balls import SAMPLES, SEED
from .drawn import Drawn
from .sampled import SampledPoseDistribution
from .seeded import SeededDistribution

#: Imported when it is first used: it loads the whole of PyTorch's compiler.
roma = lazy_module("roma")

__all__ = [
    "ArticulatedPoseDistribution",
    "RotationDistribution",
    "check_rotations",
]

_SMPL = SKELETONS["smpl22"]


class RotationDistribution(SeededDistribution):
    """A probability distribution over the rotations of smpl22's joints, event ``(22, 3, 3)``.

    Draws and their density come together at the price of the draws (`sample_and_log_prob`).

    Attributes:
        skeleton: smpl22.
        modelled: names of the joints that have a density; the others are at the identity in every sample.
        measure: what densities refer to.

    Args:
        network: see `RotationNetwork`.
        evidence: what it sees.
        draw_offsets: from (rotations in network axes, evidence, its context, noise) to rest offsets
            ``(*samples, *batch, 25, 3)``, or None where the evidence's own are taken.
        keys: what each pose's own random numbers come from, see `Keypoints2D.keys`; None: its place in the batch.
    """

    support = constraints.independent(constraints.real, 3)
    has_density = True
    #: Whether what it is made of has been given its keypoints already, see `PoseDistribution.given_evidence`.
    has_evidence = False
    measure = "normalised Haar measure of each modelled joint (uniform: 0 nats)"
    axes = "relative to the parent; pelvis: camera axes (x right, y down, z forward)"
    summary_draws = 128

    def __init__(
        self,
        network: RotationNetwork,
        evidence: BodyEvidence,
        draw_offsets: Any = None,
        keys: Int[Tensor, "*batch"] | None = None,
    ) -> None:
        super().__init__(evidence.batch_shape, (len(_SMPL), 3, 3), _SMPL, like=evidence.points)
        self.network, self.evidence, self._draw_offsets = network, evidence, draw_offsets
        self._known_keys = keys

    def _keys(self) -> Int[Tensor, "*batch"]:
        return super()._keys() if self._known_keys is None else self._known_keys

    def _expanded(self, batch_shape: torch.Size) -> RotationDistribution:
        new = super()._expanded(batch_shape)
        new.evidence = self.evidence.expand(batch_shape)
        if self._known_keys is not None and batch_shape != self.batch_shape:
            new._known_keys = mixed(self._known_keys.expand(batch_shape), SeededDistribution._keys(new))
        return new

    def _details(self) -> dict[str, Any]:
        return {"structure": self.network.structure}

    @property
    def modelled(self) -> tuple[str, ...]:
        return tuple(_SMPL.joints[j] for j in self.network.joints)

    def _encoded(self) -> Tensor:
        """The encoder runs once per pose, whatever is asked of the distribution."""
        learning = torch.is_grad_enabled() and any(p.requires_grad for p in self.network.parameters())
        known = self._cache.get("context")
        if known is None or (learning and not known.requires_grad):
            known = self._cache["context"] = self.network.encode(self.evidence)
        return known

    def _in_network_axes(self, rotations: Tensor) -> Tensor:
        pelvis = self.evidence.frame.unsqueeze(-3) @ rotations[..., :1, :, :]
        return torch.cat([pelvis.expand_as(rotations[..., :1, :, :]), rotations[..., 1:, :, :]], -3)

    def _in_camera_axes(self, rotations: Tensor) -> Tensor:
        pelvis = self.evidence.frame.transpose(-1, -2).unsqueeze(-3) @ rotations[..., :1, :, :]
        return torch.cat([pelvis, rotations[..., 1:, :, :]], -3)

    # -- density -------------------------------------------------------------------------------------------

    def joint_log_prob(self, value: Float[Tensor, "*samples_batch 22 3 3"]) -> Float[Tensor, "*samples_batch modelled"]:
        """Each modelled joint's part of the log-density, in the order of `modelled`.

        For the autoregressive structures it is the log-density of that joint given the evidence and the joints
        before it.

        Raises:
            InputError: wrong shape, or a matrix that is no rotation; names the joint.
        """
        check_rotations(value)
        value = self._as_draws(value)
        if not value.numel():
            return value.new_zeros(*value.shape[:-3], len(self.modelled))
        return self.network.log_density(self._in_network_axes(value), self.evidence, self._encoded())

    def log_prob(
        self, value: Float[Tensor, "*samples_batch 22 3 3"], root: bool = True
    ) -> Float[Tensor, "*samples_batch"]:
        """Exact log-density in nats above uniform (normalised Haar measure).

        Args:
            value: rotations; those of joints that are not modelled do not matter.
            root: whether the pelvis counts. Without evidence the rest does not depend on it, so that leaving it out
                is the density of the body's pose whatever its orientation.
        """
        parts = self.joint_log_prob(value)
        return parts.sum(-1) if root else parts[..., 1:].sum(-1)

    # -- samples -------------------------------------------------------------------------------------------

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        return self._draw_and_log_prob(shape, noise)[0]

    def _draw_and_log_prob(self, shape: torch.Size, noise: Noise) -> tuple[Tensor, Tensor]:
        drawn, density = self.network.draw(shape, self.evidence, noise, self._encoded())
        return self._in_camera_axes(drawn), density.sum(-1)

    def _drawn(self) -> Tensor:
        if "draws" not in self._cache:
            with torch.no_grad():
                shared = SharedNoise(0, self.batch_shape)
                self._cache["draws"] = self._draw_any(torch.Size((self.summary_draws,)), shared)
        return self._cache["draws"]

    @property
    def mean(self) -> Float[Tensor, "*batch 22 3 3"]:
        """Chordal mean of each joint: the rotation nearest to the average matrix of 128 fixed draws."""
        if not self.batch_shape.numel():
            return torch.zeros(*self.batch_shape, *self.event_shape, dtype=self.dtype, device=self.device)
        return procrustes(self._drawn().mean(0))

    @property
    def stddev(self) -> Float[Tensor, "*batch 22"]:
        """Root mean square angle (radians) of each joint from the chordal mean, over the same draws."""
        chord = (self._drawn() - self.mean).flatten(-2).norm(dim=-1) / (2 * math.sqrt(2))
        return (2 * chord.clamp(max=1.0).asin()).square().mean(0).sqrt()

    @property
    def mode(self) -> Float[Tensor, "*batch 22 3 3"]:
        """Rotations of highest density that gradient ascent finds, from the best of 64 draws.

        Adam on small turns of every joint; a local maximum, not proven to be the highest.
        """
        with torch.no_grad():
            starts, density = self.sample_and_log_prob((64,), seed=0)
            if not density.numel():
                return self.mean
            best = density.argmax(0)[None, ..., None, None, None].expand(1, *starts.shape[1:])
            start = starts.gather(0, best)[0]
        rows = list(self.network.joints)
        with torch.enable_grad():
            turn = torch.zeros(*self.batch_shape, 22, 3, dtype=start.dtype, device=start.device, requires_grad=True)
            optimiser = torch.optim.Adam([turn], lr=0.02)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 60)
            height, found = torch.full_like(start[..., 0, 0, 0], -math.inf), start
            for _ in range(60):
                moved = start @ roma.rotvec_to_rotmat(turn)
                density = self.log_prob(moved)
                higher = density.detach() > height
                height = torch.where(higher, density.detach(), height)
                found = torch.where(higher[..., None, None, None], moved.detach(), found)
                (gradient,) = torch.autograd.grad(-density.sum(), turn)
                turn.grad = torch.zeros_like(gradient)
                turn.grad[..., rows, :] = gradient[..., rows, :].nan_to_num(0.0)
                optimiser.step()
                schedule.step()
        return found

    # -- positions -----------------------------------------------------------------------------------------

    def _draw_bodies(
        self, shape: torch.Size, noise: Noise, offsets: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Float[Tensor, "*shape_batch"]]:
        """Rotations, the bodies that they turn (``offsets`` where these are known), and the rotations' log-density."""
        rotations, density = self._draw_and_log_prob(shape, noise)
        if offsets is None:
            offsets = self.offsets(rotations, noise)
        return rotations, offsets.to(rotations.dtype).expand(*rotations.shape[:-3], len(SMPL25), 3), density

    def _draw_several(
        self, asked: list[tuple[torch.Size, Noise]], offsets: Tensor | None = None
    ) -> list[tuple[Tensor, Tensor, Float[Tensor, "*shape_batch"]]]:
        """`_draw_bodies` of several shapes and sources, each as if it were alone."""
        return [self._draw_bodies(shape, noise, offsets) for shape, noise in asked]

    def _draw_turned(
        self, samples: int, turned: int, noise: Noise, offsets: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Float[Tensor, "turned *batch"]]:
        """`_draw_bodies` of so many samples, rotations and density of the first of them alone."""
        rotations, bodies, density = self._draw_bodies(torch.Size((samples,)), noise, offsets)
        return rotations[:turned], bodies, density[:turned]

    def offsets(
        self, rotations: Tensor, noise: Noise | torch.Generator | None = None
    ) -> Float[Tensor, "*samples_batch 25 3"]:
        """Rest offsets for drawn rotations: drawn where bone lengths are uncertain, else the evidence's."""
        if self._draw_offsets is None:
            return self.evidence.offsets.expand(*rotations.shape[:-3], len(SMPL25), 3)
        return self._draw_offsets(self._in_network_axes(rotations), self.evidence, self._encoded(), as_noise(noise))

    def positions(
        self, offsets: Float[Tensor, "*batch 25 3"] | None = None, skeleton: str = "h36m17"
    ) -> ArticulatedPoseDistribution:
        """The poses that these rotations give a body, by forward kinematics.

        Args:
            offsets: rest offsets of the body (`poseterior.geometry.body`), metres: then every hypothesis has exactly
                these bone lengths. Default: those of the evidence (inverse kinematics), or drawn with each hypothesis
                (lifting), where what the picture leaves open of the body is part of the uncertainty.
            skeleton: ``"h36m17"`` or ``"smpl22"``.
        """
        return ArticulatedPoseDistribution(self, offsets, skeleton)


class ArticulatedDraws(NamedTuple):
    """Poses of a body of rigid bones, and what gives them.

    Attributes:
        poses: metres, relative to the root.
        rotations: relative to the parent; the pelvis' in camera axes.
        offsets: rest offsets of the body, metres.
        log_prob: of the rotations, nats above uniform; NaN where they have no density.
    """

    poses: Float[Tensor, "*samples_batch joints 3"]
    rotations: Float[Tensor, "*samples_batch 22 3 3"]
    offsets: Float[Tensor, "*samples_batch 25 3"]
    log_prob: Float[Tensor, "*samples_batch"]


class ArticulatedPoseDistribution(SampledPoseDistribution):
    """Poses of a body of rigid bones whose joints turn by a `RotationDistribution`.

    It has samples but no density: poses of rigid bones fill no volume. `rotations` may have one.

    Attributes:
        rotations: the distribution over rotations.
    """

    summary_draws = 128

    def __init__(
        self, rotations: RotationDistribution, offsets: Tensor | None = None, skeleton: str | Skeleton = "h36m17"
    ) -> None:
        super().__init__(rotations.batch_shape, skeleton, like=rotations._like)
        names = {"h36m17": H36M_POINTS, "smpl22": tuple(range(len(_SMPL)))}
        if self.skeleton.name not in names:
            raise InputError(f"skeleton: expected one of {', '.join(names)}, got {self.skeleton.name!r}")
        self._points = list(names[self.skeleton.name])
        self.rotations, self._offsets = rotations, offsets
        self.has_evidence = rotations.has_evidence

    def of_rotations(self, rotations: Tensor, offsets: Tensor) -> Tensor:
        """The pose of given rotations and rest offsets, relative to the root: ``(..., joints, 3)`` metres."""
        points, _ = body_points(rotations, offsets)
        points = points[..., self._points, :]
        return points - points[..., self.skeleton.root, :].unsqueeze(-2)

    def _expanded(self, batch_shape: torch.Size) -> ArticulatedPoseDistribution:
        new = super()._expanded(batch_shape)
        new.rotations = self.rotations.expand(batch_shape)
        return new

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        return self._draw_with_rotations(shape, noise).poses

    def _draw_with_rotations(self, shape: torch.Size, noise: Noise) -> ArticulatedDraws:
        return self._articulated(*self.rotations._draw_bodies(shape, noise, self._offsets))

    def _articulated(self, rotations: Tensor, offsets: Tensor, density: Tensor) -> ArticulatedDraws:
        return ArticulatedDraws(self.of_rotations(rotations, offsets), rotations, offsets, density)

    @torch.no_grad()
    def draw_together(self, samples: int, seed: int) -> tuple[ArticulatedDraws, Drawn]:
        """Draws as `sample_with_rotations` gives them, and those of which `region` is made, in one go.

        The work of few poses is the number of operations, whatever they are done with.
        """
        ours = self.recalibration
        count, own_seed = (SAMPLES, SEED) if ours is None else (ours.draws, ours.seed)
        if (count, own_seed) == (samples, seed) or not samples or not self.batch_shape.numel():
            draws = self.sample_with_rotations((samples,), seed=seed)
            return draws, Drawn(samples, seed, draws.poses)
        asked = [self._checked((number,), None, of) for number, of in ((samples, seed), (count, own_seed))]
        draws, others = (self._articulated(*found) for found in self.rotations._draw_several(asked, self._offsets))
        return draws, Drawn(count, own_seed, others.poses)

    @torch.no_grad()
    def draw_turned(
        self, samples: int, turned: int, seed: int
    ) -> tuple[ArticulatedDraws, Float[Tensor, "samples *batch 25 3"]]:
        """The first draws of `sample_with_rotations`, and the rest offsets of the bodies of all of them.

        Where rotations are those of other poses, bodies take a fraction of their time.
        """
        _, noise = self._checked((samples,), None, seed)
        rotations, offsets, density = self.rotations._draw_turned(samples, turned, noise, self._offsets)
        return self._articulated(rotations, offsets[:turned], density), offsets

    @torch.no_grad()
    def sample_with_rotations(
        self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None, seed: int | None = None
    ) -> ArticulatedDraws:
        """Poses as `sample` draws them, with the rotations and bodies that give them.

        Raises:
            InputError: as `sample`.
        """
        shape, noise = self._checked(sample_shape, generator, seed)
        if (shape + self.batch_shape).numel():
            return self._draw_with_rotations(shape, noise)
        poses = self._draw_any(shape, noise)
        batch = poses.shape[:-2]
        return ArticulatedDraws(
            poses, poses.new_zeros(*batch, 22, 3, 3), poses.new_zeros(*batch, len(SMPL25), 3), poses.new_zeros(batch)
        )


def check_rotations(value: Tensor) -> None:
    """Raises `InputError` for anything but rotation matrices of smpl22 ``(..., 22, 3, 3)``; names the joint."""
    if value.ndim < 3 or value.shape[-3:] != (22, 3, 3):
        raise InputError(f"rotations: expected (..., 22, 3, 3) matrices of smpl22, got {tuple(value.shape)}")
    with torch.no_grad():
        eye = torch.eye(3, dtype=value.dtype, device=value.device)
        off = (value.transpose(-1, -2) @ value - eye).abs().amax((-2, -1))
        wrong = ~((off < 1e-3) & (torch.linalg.det(value) > 0))
        if bool(wrong.any()):
            where = wrong.nonzero()[0].tolist()
            at = f" of {tuple(where[:-1])}" if len(where) > 1 else ""
            raise InputError(
                f"rotations: joint {_SMPL.joints[where[-1]]!r}{at} is no rotation matrix; convert axis-angle with "
                "roma.rotvec_to_rotmat, quaternions xyzw with roma.unitquat_to_rotmat"
            )
