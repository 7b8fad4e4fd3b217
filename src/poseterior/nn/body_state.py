"""What a joint of a half-posed body sees: the evidence below it, as it looks from its parent's frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.body import SMPL25
from ..geometry.skeletons import SKELETONS
from ..registry import lazy_module
from .body_evidence import BodyEvidence

#: Imported when it is first used: it loads the whole of PyTorch's compiler.
roma = lazy_module("roma")

__all__ = [
    "SIGHT_WIDTH",
    "TARGETS",
    "BodyState",
    "Targets",
    "nearest_rotation",
    "procrustes",
    "targets_of",
]

_SMPL = SKELETONS["smpl22"]
#: Evidence points below a joint that it looks at.
TARGETS = 6
#: Features of what a joint sees: place and three flags of each point, the line of sight, whether it knows its own
#: place, and (later than the others: weights from before have none for them) in which directions each point is
#: uncertain.
SIGHT_WIDTH = 6 * TARGETS + 4 + 6 * TARGETS
#: Newton steps to the largest root of `procrustes`: from far away, or to two roots nearly at one place, each halves the
#: distance at least.
_ROOT_STEPS = 24
#: Share by which the first guess of the root may be too small.
_UPWARDS = 3e-4
#: Of these, those that are always needed, and lead down from where they start.
_SURE_STEPS = 1
#: Relative steps below which rounding alone is left, and below which the next one is lost in single precision.
_SETTLED, _SETTLED_SINGLE = 2e-16, 1e-9
#: Each cofactor of a 3x3 matrix is a product of two entries less another: the four of all nine, rows one after another.
_COFACTORS = [
    3 * ((i + di) % 3) + (j + dj) % 3 for di, dj in ((1, 1), (2, 2), (1, 2), (2, 1)) for i in range(3) for j in range(3)
]
#: Below this (relative) two rotations are nearly as near, and the steps do not suffice.
_FIXED = 1e-5
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


def nearest_rotation(raw: Float[Tensor, "*any 9"]) -> Float[Tensor, "*any 3 3"]:
    """The rotation nearest to the identity plus nine numbers: any rotation, reached without a seam."""
    eye = torch.eye(3, dtype=raw.dtype, device=raw.device)
    return procrustes(raw.unflatten(-1, (3, 3)) + eye)


def procrustes(matrix: Float[Tensor, "*any 3 3"]) -> Float[Tensor, "*any 3 3"]:
    """The rotation nearest to a matrix: roma's, whose gradients are finite; without gradients in closed form.

    The latter is the Fast Optimal Attitude Matrix (Markley 1993, J. Astronautical Sciences 41, eq. 17 to 21): the
    largest root l of ``(l^2 - |M|^2)^2 - 8 l det M - 4 |cof M|^2`` by Newton's method from above, then the rotation as
    a polynomial of M; in double precision, so that points on nearly one line are no harder than others. It takes a
    tenth of the time of as many singular value decompositions, which remain for matrices that fix no rotation.
    """
    if torch.is_grad_enabled() and matrix.requires_grad:
        return roma.special_procrustes(matrix)
    rows = matrix.reshape(-1, 9).double().mT.contiguous()  # components first: operations on many neighbours at once
    one, other, third, fourth = rows[_COFACTORS].unflatten(0, (4, 9))
    cofactors = (one * other).addcmul_(third, fourth, value=-1.0)
    square, minors = rows.square().sum(0), cofactors.square().sum(0)
    determinant = (rows[:3] * cofactors[:3]).sum(0)
    root = _largest_root(square, minors, determinant)
    eight, four = 8.0 * determinant, 4.0 * minors
    settled = _SETTLED if matrix.dtype is torch.float64 else _SETTLED_SINGLE
    for step in range(_ROOT_STEPS):
        gap = root.square().sub_(square)
        value = gap.square().addcmul_(root, eight, value=-1.0).sub_(four)
        slope = gap.mul_(root).mul_(4.0).sub_(eight)
        down = value.div_(slope)
        if step < _SURE_STEPS:
            root = root - down
            continue
        # From above every step leads down, until rounding leads up: there it stays, whatever others still need.
        on = (slope > 0) & (down > settled * root)
        if not bool(on.any()):
            break
        root = torch.where(on, root - down, root)
    kappa = 0.5 * (root.square() - square)
    scale = kappa * root - determinant
    fixed = scale > _FIXED * square.pow(1.5)
    whole = rows.unflatten(0, (3, 3))
    cubed = (whole.unsqueeze(1) * whole).sum(2)  # M M^T
    cubed = (cubed.unsqueeze(2) * whole).sum(1).flatten(0, 1)
    found = torch.addcmul(cubed.neg_(), rows, kappa + square).addcmul_(cofactors, root).div_(scale)
    found = found.to(matrix.dtype).mT.reshape(matrix.shape)
    if bool(fixed.all()):
        return found
    loose = ~fixed.view(matrix.shape[:-2])
    found[loose] = _by_decomposition(matrix[loose].double()).to(matrix.dtype)
    return found


def _largest_root(square: Tensor, minors: Tensor, determinant: Tensor) -> Tensor:
    """The sum of the singular values, the least one with the determinant's sign; a little too large, never too small.

    Of the invariants of ``M^T M``, whose eigenvalues are roots of a cubic (Viete): to four digits where two are close.
    """
    mean = square / 3.0
    spread = (mean.square() - minors / 3.0).clamp_(min=0.0).sqrt_()
    turned = (mean * (mean.square() - 0.5 * minors)).add_(0.5 * determinant.square()).div_(spread.pow(3))
    angle = turned.nan_to_num_(1.0).clamp_(-1.0, 1.0).acos_().div_(3.0)
    first = torch.addcmul(mean, spread, angle.cos(), value=2.0)
    third = torch.addcmul(mean, spread, (angle + 2.0 * math.pi / 3.0).cos_(), value=2.0)
    second = (square - first).sub_(third).clamp_(min=0.0).sqrt_()
    least = determinant.sign() * third.clamp_(min=0.0).sqrt_()
    return first.sqrt_().add_(second).add_(least).mul_(1.0 + _UPWARDS)


def _by_decomposition(matrix: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3 3"]:
    u, _, vh = torch.linalg.svd(matrix)
    turn = torch.linalg.det(u @ vh)
    return torch.cat([u[..., :2], u[..., 2:] * turn[..., None, None]], -1) @ vh
