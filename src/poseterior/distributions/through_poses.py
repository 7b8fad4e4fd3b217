"""Rotations of the poses of another distribution: its samples, each turned into a body by inverse kinematics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import torch
from jaxtyping import Bool, Float, Int
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
        return self._draw_several([(shape, noise)], offsets)[0]

    def _draw_several(
        self, asked: list[tuple[torch.Size, Noise]], offsets: Tensor | None = None
    ) -> list[tuple[Tensor, Tensor, Float[Tensor, "*shape_batch"]]]:
        drawn = [self.poses._draw_any(shape, noise).to(self.dtype) for shape, noise in asked]
        numbers = None if plainly() else self._numbers(drawn, [noise for _, noise in asked])
        if numbers is None:
            turned = [self._turned(part, noise) for part, (_, noise) in zip(drawn, asked, strict=True)]
        else:
            sizes = [part.shape[:-2].numel() for part in drawn]
            rotations, bodies = self._turned_in_parts(torch.cat([part.flatten(0, -3) for part in drawn]), numbers)
            turned = [
                (some.view(*part.shape[:-2], len(_SMPL), 3, 3), own.view(*part.shape[:-2], len(SMPL25), 3))
                for part, some, own in zip(drawn, rotations.split(sizes), bodies.split(sizes), strict=True)
            ]
        found = []
        for rotations, own in turned:
            found.append((rotations, _as_given(own, offsets), rotations.new_full(rotations.shape[:-3], torch.nan)))
        return found

    def _draw_turned(
        self, samples: int, turned: int, noise: Noise, offsets: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Float[Tensor, "turned *batch"]]:
        drawn = self.poses._draw_any(torch.Size((samples,)), noise).to(self.dtype)
        numbers = None if plainly() else self._numbers([drawn], [noise])
        if numbers is None:
            rotations, own = self._turned(drawn, noise)
            rotations = rotations[:turned]
        else:
            first = drawn[:turned].shape[:-2]
            needed = [part[: first.numel()] for part in numbers]
            found, bodies = self._turned_in_parts(drawn.flatten(0, -3), needed)
            rotations, own = found.view(*first, len(_SMPL), 3, 3), bodies.view(*drawn.shape[:-2], len(SMPL25), 3)
        return rotations, _as_given(own, offsets), rotations.new_full(rotations.shape[:-3], torch.nan)

    def _numbers(self, drawn: list[Tensor], noises: list[Noise]) -> list[Float[Tensor, "rows 4"]] | None:
        """The random numbers of each joint's rotations behind these poses; None where they come with the draws."""
        if any(part.ndim < 3 for part in drawn):
            return None
        each = [self.network.numbers(part.shape[:-2], noise, part) for part, noise in zip(drawn, noises, strict=True)]
        known = [part for part in each if part is not None]
        if len(known) < len(each):
            return None
        return [torch.cat([part.flatten(0, -2) for part in joint]) for joint in zip(*known, strict=True)]

    def _turned_in_parts(
        self, positions: Float[Tensor, "rows joints 3"], numbers: list[Float[Tensor, "turned 4"]]
    ) -> tuple[Float[Tensor, "turned 22 3 3"], Float[Tensor, "rows 25 3"]]:
        """As `_turned`, in parts that stay in the processor's cache; each draw depends on its own pose alone.

        The first poses, as many as there are numbers for, are turned; of the others there are the bodies.
        """
        turned = len(numbers[0])
        rotations = positions.new_empty(turned, len(_SMPL), 3, 3)
        own = positions.new_empty(len(positions), len(SMPL25), 3)
        for rows in _parts(0, turned):
            rotations[rows], own[rows] = self._turned(positions[rows], DrawnNoise(part[rows] for part in numbers))
        for rows in _parts(turned, len(positions)):
            own[rows] = estimate_offsets(*self._points(positions[rows]))[0]
        return rotations, own

    def _points(
        self, positions: Float[Tensor, "*any joints 3"]
    ) -> tuple[Float[Tensor, "*any 25 3"], Bool[Tensor, "25"]]:
        """Of the body, and which of them these poses have."""
        points, known = points_from(positions, self.poses.skeleton)
        return torch.where(known.unsqueeze(-1), points, 0.0), known

    def _turned(
        self, positions: Float[Tensor, "*any joints 3"], noise: Noise
    ) -> tuple[Float[Tensor, "*any 22 3 3"], Float[Tensor, "*any 25 3"]]:
        """Rotations behind these poses, one draw each, and the bodies' rest offsets."""
        points, known = self._points(positions)
        seen = known.expand(points.shape[:-1])
        own, lengths_known = estimate_offsets(points, seen)
        sigma = points.new_full((), self.misfit).expand(seen.shape)
        evidence = evidence_from_points(points, seen, sigma, own, lengths_known).to(self.dtype)
        drawn = self.network.draw_alike(evidence, known, noise)
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


def _parts(start: int, end: int) -> Iterator[slice]:
    """Rows from start to end: as few parts as can be, of one size, as small operations take as long for few rows."""
    rows = end - start
    size = -(-rows // max(1, -(-rows // _ROWS)))
    return (slice(first, min(first + size, end)) for first in range(start, end, max(size, 1)))


def _as_given(own: Float[Tensor, "*any 25 3"], offsets: Float[Tensor, "*batch 25 3"] | None) -> Tensor:
    """The draws' own bodies, or the one that is known."""
    return own if offsets is None else offsets.to(own).expand(own.shape)
