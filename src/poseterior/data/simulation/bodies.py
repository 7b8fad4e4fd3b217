"""The simulator of articulated people: rotations of mocap put into bodies of known bones, then observed.

Unlike `Simulator`, which keeps the recorded joint positions, every person here is a `poseterior.geometry.body` turned
by forward kinematics, so that rotations, bone lengths and keypoints agree exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from ...geometry.body import GROUPS, H36M_POINTS, body_points, group_factors, rest_offsets
from ...geometry.kinematics import ANKLE_HEIGHT, body_height, bone_lengths
from ...geometry.skeletons import SKELETONS
from ..observations import Observations
from ..store import Mocap
from .motions import broad_rotations
from .population import SEGMENTS, draw_bodies
from .proportions import RIG_SIZE
from .simulator import Simulator, SimulatorConfig

__all__ = [
    "BodyObservations",
    "BodySimulator",
]

_SMPL = SKELETONS["smpl22"]
_H36M = SKELETONS["h36m17"]

#: Rotations that recombination may take from another frame together, and how often.
_PARTS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("left_hip", "left_knee", "left_ankle", "left_foot", "right_hip", "right_knee", "right_ankle", "right_foot"), 0.4),
    (("left_hip", "left_knee", "left_ankle", "left_foot"), 0.15),
    (("right_hip", "right_knee", "right_ankle", "right_foot"), 0.15),
    (("left_collar", "left_shoulder", "left_elbow", "left_wrist"), 0.5),
    (("right_collar", "right_shoulder", "right_elbow", "right_wrist"), 0.5),
    (("neck", "head"), 0.5),
)
#: Degrees, standard deviation of the collars' rotations wherever joints are jittered: in recordings with no collar
#: motion (CMU) they are constant, which is no evidence that they do not move.
_COLLAR_SPREAD = 5.0
#: Range of each group's length over its rest length, at ``body_spread = 1``.
_RANGES = {
    "hips": (0.7, 1.3), "thighs": (0.8, 1.2), "shins": (0.8, 1.2), "feet": (0.8, 1.25), "trunk": (0.75, 1.4),
    "neck": (0.6, 1.4), "head": (0.7, 1.4), "shoulders": (0.7, 1.25), "upper arms": (0.8, 1.2),
    "forearms": (0.8, 1.35),
}  # fmt: skip


@dataclass(frozen=True)
class BodyObservations(Observations):
    """`Observations` of articulated people.

    Attributes:
        rotations: ``(n, 22, 3, 3)`` smpl22, relative to the parent; the pelvis' in camera axes.
        log_lengths: ``(n, groups)`` logarithm of each `GROUPS` length over its rest length.
    """

    rotations: Tensor
    log_lengths: Tensor

    @property
    def offsets(self) -> Tensor:
        """Rest offsets of each body ``(n, 25, 3)`` metres."""
        return rest_offsets(self.log_lengths.dtype).to(self.log_lengths.device) * group_factors(self.log_lengths)


def mirrored_rotations(rotations: Tensor) -> Tensor:
    """The rotations of the mirrored person (x of the rest body to -x), ``(..., 22, 3, 3)``."""
    flip = rotations.new_tensor([-1.0, 1.0, 1.0])
    return rotations[..., _SMPL.mirror, :, :] * flip.unsqueeze(-1) * flip


#: The segment of a population whose length each of `GROUPS` follows.
_FOLLOWS = {"feet": "shins", "neck": "trunk"}
#: Standard deviation of the logarithm of the feet's length beyond the shins'.
_FEET_SPREAD = 0.04
#: Range of each group's length over a body's where another marker set or rig puts its joints (as the `Simulator`'s).
_PLACED: dict[str, tuple[float, float]] = {
    "hips": (0.6, 1.5), "trunk": (0.85, 1.35), "neck": (0.5, 1.3), "head": (0.35, 1.4), "shoulders": (0.5, 1.2),
    "upper arms": (0.92, 1.15), "forearms": (0.72, 1.15),
}  # fmt: skip


def _population(n: int, spread: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Log-ratios of bone lengths ``(n, groups)`` of people in a population, up to size, and their heights in metres."""
    bodies = draw_bodies(n, generator, spread)
    standing, _ = body_points(torch.eye(3).expand(22, 3, 3), rest_offsets())
    bones = bone_lengths(standing[list(H36M_POINTS)], _H36M)
    usual = {child: float(length) for (child, _), length in zip(_H36M.bones, bones, strict=True)}
    rest = []
    for segment in SEGMENTS.values():
        own = [usual[_H36M.index(joint)] for joint in segment.joints]
        rest.append(sum(own) / (1 if segment.is_chain else len(own)))
    logs = dict(zip(SEGMENTS, (bodies.lengths / torch.tensor(rest)).log().unbind(-1), strict=True))
    feet = spread * _FEET_SPREAD * torch.randn(n, generator=generator)
    columns = [logs[_FOLLOWS.get(group, group)] + (feet if group == "feet" else 0.0) for group in GROUPS]
    return torch.stack(columns, -1), bodies.stature


class BodySimulator(Simulator):
    """Draws `BodyObservations` from stored rotations.

    Args:
        mocap: rotations of a `PoseStore`.
        config: as the `Simulator`'s; ``definition_spread`` has no meaning here. ``own_body`` is the share of people
            with the rest body (each group of bones within 3 %); the others' heights are ``body_height``.
    """

    def __init__(self, mocap: Mocap, config: SimulatorConfig | None = None) -> None:
        import roma

        super().__init__(mocap, config)
        self.rotations = roma.unitquat_to_rotmat(torch.from_numpy(np.asarray(mocap.rotations, dtype=np.float32)))

    def _turned(self, base: Tensor, generator: Generator) -> Tensor:
        """Local rotations ``(n, 22, 3, 3)``: recombined, jittered, mirrored; the pelvis' in world axes."""
        import roma

        n, c = len(base), self.config
        source = base.unsqueeze(-1).repeat(1, len(_SMPL))
        mixed = torch.rand(n, generator=generator) < c.recombine
        for names, probability in _PARTS:
            donor = torch.randint(len(self), (n,), generator=generator)
            take = mixed & (torch.rand(n, generator=generator) < probability)
            for name in names:
                source[:, _SMPL.index(name)] = torch.where(take, donor, source[:, _SMPL.index(name)])
        rotations = self.rotations[source, torch.arange(len(_SMPL))]
        spread = torch.full((len(_SMPL), 1), c.limb_jitter)
        spread[0] = 0.0
        for name in ("spine1", "spine2", "spine3"):
            spread[_SMPL.index(name)] *= 0.5
        for name in ("left_collar", "right_collar"):
            spread[_SMPL.index(name)] = max(_COLLAR_SPREAD, c.limb_jitter) if c.limb_jitter > 0 else 0.0
        angle = torch.deg2rad(spread) * torch.randn(n, len(_SMPL), 3, generator=generator)
        rotations = rotations @ roma.rotvec_to_rotmat(angle)
        if c.broad > 0:
            rows = (torch.rand(n, generator=generator) < c.broad).nonzero().squeeze(-1)
            rotations[rows] = broad_rotations(rotations[rows], generator)
        if c.tilted > 0:
            rotations[:, 0] = self._tilted(rotations[:, 0], generator)
        flip = torch.rand(n, generator=generator) < c.mirror
        return torch.where(flip[:, None, None, None], mirrored_rotations(rotations), rotations)

    def _lengths(self, n: int, generator: Generator) -> Tensor:
        """Log-ratios of bone lengths ``(n, groups)``."""
        c = self.config
        own = 0.03 * torch.randn(n, len(GROUPS), generator=generator)
        if c.bodies == "population":
            other, wanted = _population(n, c.body_spread, generator)
        else:
            other, wanted = self._ranged(n, generator)
        standing, _ = body_points(torch.eye(3).expand(n, 22, 3, 3), rest_offsets() * group_factors(other))
        # The ankle's height over the floor does not scale with the bones.
        size = (wanted - ANKLE_HEIGHT) / (body_height(standing[:, H36M_POINTS]) - ANKLE_HEIGHT)
        keep = torch.rand(n, 1, generator=generator) < c.own_body
        other = other + size.log().unsqueeze(-1)
        if c.bodies == "population" and c.marker_sets > 0:
            other = other + self._placed(n, generator)
        return torch.where(keep, own, other)

    def _placed(self, n: int, generator: Generator) -> Tensor:
        """Log-ratios by which a share of people differ because other marker sets or rigs measured them."""
        low, high = (torch.tensor([math.log(_PLACED.get(name, (1.0, 1.0))[end]) for name in GROUPS]) for end in (0, 1))
        small, large = (math.log(bound) for bound in RIG_SIZE)
        factor = low + (high - low) * torch.rand(n, len(GROUPS), generator=generator)
        factor = factor + small + (large - small) * torch.rand(n, 1, generator=generator)
        chosen = torch.rand(n, 1, generator=generator) < self.config.marker_sets
        return torch.where(chosen, factor, 0.0)

    def _ranged(self, n: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Log-ratios within `_RANGES`, up to size, and heights in metres."""
        c = self.config
        low = torch.tensor([math.log(_RANGES[name][0]) for name in GROUPS]) * c.body_spread
        high = torch.tensor([math.log(_RANGES[name][1]) for name in GROUPS]) * c.body_spread
        other = low + (high - low) * torch.rand(n, len(GROUPS), generator=generator)
        shortest, tallest = c.body_height
        return other, shortest + (tallest - shortest) * torch.rand(n, generator=generator)

    def __call__(self, n: int, generator: Generator, index: Tensor | None = None) -> BodyObservations:
        """Draw ``n`` observations, of random frames or of the given ones. Same generator state, same result."""
        base = torch.randint(len(self), (n,), generator=generator) if index is None else index
        rotations = self._turned(base, generator)
        log_lengths = self._lengths(n, generator)
        points, _ = body_points(rotations, rest_offsets() * group_factors(log_lengths))
        world = points[:, H36M_POINTS] - points[:, H36M_POINTS[:1]]
        observed = torch.ones(n, len(_H36M), dtype=torch.bool)
        seen, turn = self._observe(world, observed, base, generator)
        rotations = torch.cat([turn.unsqueeze(1) @ rotations[:, :1], rotations[:, 1:]], 1)
        return BodyObservations(seen.keypoints, seen.pose, seen.observed, seen.root, seen.index, rotations, log_lengths)
