"""What a joint of a half-posed body sees: the evidence below it, as it looks from its parent's frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.body import SMPL25
from ..geometry.skeletons import SKELETONS
from .body_evidence import BodyEvidence

__all__ = [
    "SIGHT_WIDTH",
    "TARGETS",
    "USUAL_WEIGHT",
    "BodyState",
    "Targets",
    "targets_of",
]

_SMPL = SKELETONS["smpl22"]
#: Evidence points below a joint that it looks at.
TARGETS = 6
#: Features of what a joint sees: place and three flags of each point, the line of sight, whether it knows its own
#: place, and (later than the others: weights from before have none for them) in which directions each point is
#: uncertain.
SIGHT_WIDTH = 6 * TARGETS + 4 + 6 * TARGETS
#: Weight of the usual rotation in a joint's guess: decides only what the evidence leaves open.
USUAL_WEIGHT = 1e-3
#: Points that coincide with others at rest, or nearly: not looked at.
_SKIPPED = ("spine1", "left_collar", "right_collar")
#: Points that move nearly rigidly with a joint beside its children, and the weight that they have in the guess.
_NEARLY_RIGID = {"spine3": (("left_shoulder", 0.3), ("right_shoulder", 0.3))}


class BodyState:
    """Forward kinematics in progress: what is known of the body once the rotations of some joints are.

    Attributes:
        solid: whether any of the evidence is 3D.
        directed: whether any of it is more uncertain in one direction than in another.
        turned: by joint, its rotation ``(..., 3, 3)`` in network axes.
        placed: by point, its place ``(..., 3)`` from the pelvis, metres.
    """

    def __init__(self, evidence: BodyEvidence) -> None:
        self.evidence = evidence
        self.solid = bool(evidence.solid.any())
        self.directed = self.solid and bool(evidence.directions.any())
        self.turned: dict[int, Tensor] = {}
        self.placed: dict[int, Tensor] = {0: torch.zeros_like(evidence.points[..., 0, :])}
        # Mean difference between seen 3D points and forward kinematics: where the pelvis is.
        self.residual = torch.zeros_like(evidence.points[..., 0, :])
        self.count = torch.zeros_like(evidence.spread[..., :1])
        self._compare(0)

    def _compare(self, point: int) -> None:
        e = self.evidence
        there = (e.seen[..., point : point + 1] & e.solid).to(e.points.dtype)
        self.residual = self.residual + there * (e.points[..., point, :] - self.placed[point])
        self.count = self.count + there

    def own(self, joint: int) -> tuple[Float[Tensor, "*any 3"], Bool[Tensor, "*any 1"]]:
        """Where a joint is among the evidence points ``(..., 3)``, and whether that is known ``(..., 1)``."""
        e = self.evidence
        solid = self.placed[joint] + self.residual / self.count.clamp(min=1.0)
        flat = e.points[..., joint, :]
        return torch.where(e.solid, solid, flat), torch.where(e.solid, self.count > 0, e.seen[..., joint : joint + 1])

    def advance(self, joint: int, rotation: Float[Tensor, "*any 3 3"]) -> None:
        """Note a joint's rotation relative to its parent; joints come in kinematic order."""
        parent = _SMPL.parents[joint]
        turned = rotation if parent < 0 else self.turned[parent] @ rotation
        self.turned[joint] = turned
        for child, above in enumerate(SMPL25.parents):
            if above == joint:
                offset = self.evidence.offsets[..., child, :].unsqueeze(-1)
                self.placed[child] = self.placed[joint] + (turned @ offset).squeeze(-1)
                self._compare(child)


@dataclass(frozen=True)
class Targets:
    """The evidence points that each of some joints looks at, nearest below it first.

    Attributes:
        index: ``(joints, 6)`` points of `SMPL25`.
        there: ``(joints, 6)`` False where a joint has fewer points below it.
        rigid: ``(joints, 6)`` weight in the guess: 1 for the joint's children, less for what moves nearly with it.
        beyond: by joint, (column, point) of those that hang on one of its children.
    """

    index: Tensor
    there: Tensor
    rigid: Tensor
    beyond: list[list[tuple[int, int]]]


def _descendants(joint: int) -> list[int]:
    """Points below a joint, nearest first."""
    found, front = [], [joint]
    while front:
        front = [c for c, p in enumerate(SMPL25.parents) if p in front]
        found += front
    return [c for c in found if SMPL25.joints[c] not in _SKIPPED]


def targets_of(joints: tuple[int, ...]) -> Targets:
    """Tables of the evidence that each of these smpl22 joints looks at."""
    n = len(joints)
    index = torch.zeros(n, TARGETS, dtype=torch.long)
    there = torch.zeros(n, TARGETS, dtype=torch.bool)
    rigid = torch.zeros(n, TARGETS)
    beyond: list[list[tuple[int, int]]] = [[] for _ in range(n)]
    for row, joint in enumerate(joints):
        near = dict(_NEARLY_RIGID.get(_SMPL.joints[joint], ()))
        for column, point in enumerate(_descendants(joint)[:TARGETS]):
            index[row, column], there[row, column] = point, True
            child = SMPL25.parents[point] == joint
            rigid[row, column] = 1.0 if child else near.get(SMPL25.joints[point], 0.0)
            if not child and SMPL25.joints[point] in near:
                beyond[row].append((column, point))
    return Targets(index, there, rigid, beyond)
