"""Rotations of the poses of another distribution: its samples, each turned into a body by inverse kinematics."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..geometry.body import SMPL25, estimate_offsets, points_from
from ..geometry.skeletons import SKELETONS
from ..nn.body_evidence import evidence_from_points
from ..nn.dense import plainly
from ..nn.rotation_networks import RotationNetwork
from ..noise import DrawnNoise, Noise
from .base import PoseDistribution
from .rotations import RotationDistribution
from .seeded import SeededDistribution

__all__ = ["RotationsThroughPoses"]

_SMPL = SKELETONS["smpl22"]
#: Draws that are turned into rotations together.
_ROWS = 6400


class RotationsThroughPoses(RotationDistribution):
    """Rotations behind the poses of another distribution: of each of its samples one draw of inverse kinematics.

    ``p(rotations | keypoints) = E p(rotations | pose)`` over the poses that the keypoints leave possible: where the
    joints are is what the other distribution says, and what no joint tells (twists, hands) is what the network says.
    Every draw has a body of its own, left and right alike, with the bone lengths of its pose.

    **There is no density**: it would take the integral. `log_prob` and `mode` raise `NotImplementedError`.

    Attributes:
        poses: the other distribution.

    Args:
        network: see `RotationNetwork`; it answers to 3D keypoints.
        poses: over joint positions of a skeleton that the body has (`poseterior.geometry.body.points_from`).
        misfit: metres by which a body of equal sides and rigid bones misses a sampled pose, standard deviation.
    """

    has_density = False

    def __init__(self, network: RotationNetwork, poses: PoseDistribution, misfit: float) -> None:
        # Not the parent's own: what it takes as evidence is here another one for each draw.
        SeededDistribution.__init__(self, poses.batch_shape, (len(_SMPL), 3, 3), _SMPL, like=network.usual)
        self.network, self.poses, self.misfit = network, poses, misfit
        self.has_evidence = poses.has_evidence

    def _keys(self) -> Int[Tensor, "*batch"]:
        return self.poses._keys()

    def _expanded(self, batch_shape: torch.Size) -> RotationsThroughPoses:
        new = SeededDistribution._expanded(self, batch_shape)
        new.poses = self.poses.expand(batch_shape)
        return new

    def _details(self) -> dict[str, Any]:
        return super()._details() | {"poses": type(self.poses).__name__}

    # -- samples -------------------------------------------------------------------------------------------

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        return self._draw_bodies(shape, noise)[0]

    def _draw_bodies(
        self, shape: torch.Size, noise: Noise, offsets: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Float[Tensor, "*shape_batch"]]:
        positions = self.poses._draw_any(shape, noise).to(self.dtype)
        full = positions.shape[:-2]
        numbers = self.network.numbers(full, noise, positions) if full and not plainly() else None
        if numbers is None:
            rotations, own = self._turned(positions, noise)
        else:
            # In parts whose numbers stay in the processor's cache; each draw depends on its own pose alone.
            rows = max(1, _ROWS // full[1:].numel())
            rotations = positions.new_empty(*full, len(_SMPL), 3, 3)
            own = positions.new_empty(*full, len(SMPL25), 3)
            for start in range(0, full[0], rows):
                some = slice(start, start + rows)
                rotations[some], own[some] = self._turned(positions[some], DrawnNoise(part[some] for part in numbers))
        bodies = own if offsets is None else offsets.to(own).expand(*own.shape[:-2], len(SMPL25), 3)
        return rotations, bodies, positions.new_full(full, torch.nan)

    def _turned(
        self, positions: Float[Tensor, "*any joints 3"], noise: Noise
    ) -> tuple[Float[Tensor, "*any 22 3 3"], Float[Tensor, "*any 25 3"]]:
        """Rotations behind these poses, one draw each, and the bodies' rest offsets."""
        points, known = points_from(positions, self.poses.skeleton)
        points = torch.where(known.unsqueeze(-1), points, 0.0)
        seen = known.expand(points.shape[:-1])
        own, lengths_known = estimate_offsets(points, seen)
        sigma = points.new_full((), self.misfit).expand(seen.shape)
        evidence = evidence_from_points(points, seen, sigma, own, lengths_known).to(self.dtype)
        drawn, _ = self.network.draw(torch.Size(), evidence, noise, density=False)
        pelvis = evidence.frame.transpose(-1, -2).unsqueeze(-3) @ drawn[..., :1, :, :]
        return torch.cat([pelvis, drawn[..., 1:, :, :]], -3), own

    def offsets(self, rotations: Tensor, noise: Noise | torch.Generator | None = None) -> NoReturn:
        """Bodies are drawn together with their rotations (``positions().sample_with_rotations``), not after them."""
        raise NotImplementedError(
            f"{type(self).__name__}: bodies come with their rotations: use positions().sample_with_rotations"
        )

    # -- density -------------------------------------------------------------------------------------------

    def joint_log_prob(self, value: Tensor) -> NoReturn:
        """There is none."""
        raise self.no_density()

    def log_prob(self, value: Tensor, root: bool = True) -> NoReturn:
        """There is none."""
        raise self.no_density()

    @property
    def mode(self) -> NoReturn:
        """There is none: rotations of highest density need a density."""
        raise NotImplementedError(f"{type(self).__name__} has no density, so no mode; use mean, samples or clusters")
