"""Networks from evidence to densities over the joint rotations of a body (after Dünkel et al. 2024).

One encoder of the evidence, and one of four structures that share the rest:

* ``autoregressive``: joints in kinematic order, one pass. Each joint sees the rotations before it, and the evidence
  below it as it looks from its parent's frame, in which forward kinematics of the rotations so far has put it.
* ``coupling``: two groups of joints take turns, each seeing the other; no order, fast sampling.
* ``acg``: as autoregressive, with a mixture of angular central Gaussians a joint in place of a flow.
* ``independent``: as autoregressive, but no joint sees another (a baseline).

Before its density a joint is turned by a guess from the 3D evidence and by an aim that the network predicts. Both
depend on evidence and earlier rotations only, so that Haar measure and the density stay exact.

Densities are with respect to normalised Haar measure of each joint; all are functions ``(*samples, *batch)``.
"""

from __future__ import annotations

import math
from typing import Any

import roma
import torch
from torch import Tensor, nn

from ..geometry.body import SMPL25
from ..geometry.skeletons import SKELETONS
from .body_evidence import FLAT_WIDTH, SOLID_WIDTH, BodyEvidence
from .encoders import ResidualMLP
from .so3 import RotationFlow, affine_parameters, haar_quaternions, quaternion_product

__all__ = [
    "BODY_JOINTS",
    "STRUCTURES",
    "BodyState",
    "RotationNetwork",
    "modelled_joints",
]

STRUCTURES = ("autoregressive", "coupling", "acg", "independent")

_SMPL = SKELETONS["smpl22"]
#: Evidence points below a joint that it looks at.
_TARGETS = 6
_LOCAL = 6 * _TARGETS + 4
#: Points that coincide with others at rest, or nearly: not looked at.
_SKIPPED = ("spine1", "left_collar", "right_collar")
#: Points that move nearly rigidly with a joint beside its children, and the weight that they have in the guess.
_NEARLY_RIGID = {"spine3": (("left_shoulder", 0.3), ("right_shoulder", 0.3))}
#: Weight of the usual rotation in the guess: decides only what the evidence leaves open.
_USUAL = 1e-3


def modelled_joints(toes: bool = False) -> tuple[int, ...]:
    """smpl22 joints whose rotations are modelled: all but the toes' bases, unless asked for, in kinematic order."""
    return tuple(j for j, name in enumerate(_SMPL.joints) if toes or name not in ("left_foot", "right_foot"))


#: The joints of the published model: without the pelvis and the toes.
BODY_JOINTS = tuple(j for j in modelled_joints() if j != _SMPL.root)


def _descendants(joint: int) -> list[int]:
    """Points below a joint, nearest first."""
    found, front = [], [joint]
    while front:
        front = [c for c, p in enumerate(SMPL25.parents) if p in front]
        found += front
    return [c for c in found if SMPL25.joints[c] not in _SKIPPED]


class BodyState:
    """Forward kinematics in progress: what is known of the body once the rotations of some joints are."""

    def __init__(self, evidence: BodyEvidence) -> None:
        self.evidence = evidence
        self.solid = bool(evidence.solid.any())
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

    def own(self, joint: int) -> tuple[Tensor, Tensor]:
        """Where a joint is among the evidence points ``(..., 3)``, and whether that is known ``(..., 1)``."""
        e = self.evidence
        solid = self.placed[joint] + self.residual / self.count.clamp(min=1.0)
        flat = e.points[..., joint, :]
        return torch.where(e.solid, solid, flat), torch.where(e.solid, self.count > 0, e.seen[..., joint : joint + 1])

    def advance(self, joint: int, rotation: Tensor) -> None:
        """Note a joint's rotation ``(..., 3, 3)`` relative to its parent."""
        parent = _SMPL.parents[joint]
        turned = rotation if parent < 0 else self.turned[parent] @ rotation
        self.turned[joint] = turned
        for child, above in enumerate(SMPL25.parents):
            if above == joint:
                offset = self.evidence.offsets[..., child, :].unsqueeze(-1)
                self.placed[child] = self.placed[joint] + (turned @ offset).squeeze(-1)
                self._compare(child)


class AngularCentralGaussians(nn.Module):
    """A mixture of angular central Gaussians a joint, with the interface of `RotationFlow`'s density and sampler."""

    bound = 3.0

    def __init__(self, joints: int, context: int, components: int = 16) -> None:
        super().__init__()
        self.components = components
        self.project = nn.Parameter(0.3 * torch.randn(joints, context, 13 * components) / math.sqrt(context))
        self.offset = nn.Parameter(0.3 * torch.randn(joints, 13 * components))

    def parameters_of(self, context: Tensor, joint: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-weights ``(..., k)``, the rotation's two quaternions and the log-stretches ``(..., k, 4)``."""
        if joint is None:
            raw = torch.einsum("...jc,jcp->...jp", context, self.project) + self.offset
        else:
            raw = context @ self.project[joint] + self.offset[joint]
        raw = raw.unflatten(-1, (self.components, 13))
        empty = torch.zeros_like(raw[..., :8])
        a, b, _, _, stretch = affine_parameters(torch.cat([raw[..., 1:9], empty, raw[..., 9:]], -1), self.bound)
        return raw[..., 0].log_softmax(-1), a, b, stretch

    def log_density(self, q: Tensor, parameters: Any, joint: int | None = None) -> Tensor:
        log_weights, a, b, stretch = parameters
        conjugate = q.new_tensor([-1.0, -1.0, -1.0, 1.0])
        inner = quaternion_product(quaternion_product(a * conjugate, q.unsqueeze(-2)), b * conjugate)
        length = (inner * (-stretch).exp()).norm(dim=-1)
        return (log_weights - 4.0 * length.log()).logsumexp(-1)

    def draw(self, parameters: Any, joint: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        log_weights, a, b, stretch = parameters
        flat = log_weights.exp().reshape(-1, self.components)
        chosen = torch.multinomial(flat, 1, generator=generator).reshape(*log_weights.shape[:-1], 1, 1)

        def pick(value: Tensor) -> Tensor:
            return value.gather(-2, chosen.expand(*chosen.shape[:-1], 4)).squeeze(-2)

        noise = torch.randn(*stretch.shape[:-2], 4, generator=generator, dtype=stretch.dtype, device=stretch.device)
        q = quaternion_product(quaternion_product(pick(a), noise * pick(stretch).exp()), pick(b))
        q = q / q.norm(dim=-1, keepdim=True)
        return q, self.log_density(q, parameters, joint)


class _Standard(nn.Module):
    """Each row to mean 0 and variance 1: the context speaks as loud as whatever else a joint sees."""

    def forward(self, value: Tensor) -> Tensor:
        return nn.functional.layer_norm(value, value.shape[-1:])


class JointFlow(RotationFlow):
    """`RotationFlow` with Haar measure as its base."""

    def log_density(self, q: Tensor, parameters: Any, joint: int | None = None) -> Tensor:
        return self.to_base(q, parameters, joint)[1]

    def draw(self, parameters: Any, joint: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        hidden = parameters[1][0]
        return self.from_base(haar_quaternions(hidden.shape[:-1], generator, hidden), parameters, joint)


class RotationNetwork(nn.Module):
    """Evidence to a density over rotations, see the module.

    Args:
        structure: one of `STRUCTURES`.
        joints: the modelled smpl22 joints, in kinematic order, the pelvis first.
        width, blocks: of the encoders of 2D and of 3D keypoints.
        context: features of the evidence that joints see.
        trunk: features a joint.
        layers, segments, hidden: of the flows (see `RotationFlow`); for coupling, ``layers`` is per turn.
        turns: of coupling.
        components: of ``acg``.
    """

    def __init__(
        self,
        structure: str,
        joints: tuple[int, ...],
        width: int = 384,
        blocks: int = 3,
        context: int = 128,
        trunk: int = 96,
        layers: int = 4,
        segments: int = 8,
        hidden: int = 32,
        turns: int = 6,
        components: int = 16,
    ) -> None:
        super().__init__()
        self.structure, self.joints = structure, joints
        n = len(joints)
        # Apart, because exact 3D keypoints pull so much harder on shared weights that 2D would hardly be learnt.
        self.flat = nn.Sequential(ResidualMLP(FLAT_WIDTH, width, blocks), nn.Linear(width, context), _Standard())
        self.solid = nn.Sequential(
            ResidualMLP(SOLID_WIDTH, width // 2, blocks), nn.Linear(width // 2, context), _Standard()
        )
        self.nothing = nn.Parameter(torch.zeros(context))
        #: the usual rotation of each joint, set from training data
        self.register_buffer("usual", torch.eye(3).repeat(n, 1, 1))
        self._tree()
        if structure == "coupling":
            self.groups = [[k for k in range(n) if k % 2 == turn % 2] for turn in range(turns)]
            sizes = [len(group) for group in self.groups]
            self.trunks = nn.ModuleList(
                nn.Sequential(
                    nn.Linear(context + 6 * (n - size), 2 * trunk),
                    nn.SiLU(),
                    nn.Linear(2 * trunk, size * trunk),
                    nn.SiLU(),
                )
                for size in sizes
            )
            self.flows = nn.ModuleList(JointFlow(size, trunk, layers, segments, hidden) for size in sizes)
            return
        earlier = 6 * n if structure != "independent" else 0
        local = _LOCAL if structure != "independent" else 0
        scale = 1.0 / math.sqrt(context + local + earlier / 4)
        self.see_context = nn.Parameter(scale * torch.randn(context, n * trunk))
        self.see_earlier = nn.Parameter(scale * torch.randn(earlier, n * trunk))
        self.see_local = nn.Parameter(scale * torch.randn(n, local, trunk))
        self.enter_bias = nn.Parameter(torch.zeros(n, trunk))
        self.inner = nn.Parameter(torch.randn(n, trunk, trunk) / math.sqrt(trunk))
        self.inner_bias = nn.Parameter(torch.zeros(n, trunk))
        self.aim = nn.Parameter(torch.zeros(n, trunk, 9))
        mask = torch.ones(n, n).tril(-1).T.repeat_interleave(6, 0).repeat_interleave(trunk, 1)
        self.register_buffer("mask", mask[:earlier], persistent=False)
        self.density: Any = (
            AngularCentralGaussians(n, trunk, components)
            if structure == "acg"
            else JointFlow(n, trunk, layers, segments, hidden)
        )

    usual: Tensor
    targets: Tensor
    there: Tensor
    rigid: Tensor
    mask: Tensor

    def _tree(self) -> None:
        """Tables of the evidence that each joint looks at."""
        n = len(self.joints)
        index = torch.zeros(n, _TARGETS, dtype=torch.long)
        there = torch.zeros(n, _TARGETS, dtype=torch.bool)
        rigid = torch.zeros(n, _TARGETS)
        #: for each joint, (column, point) of those of its targets that hang on one of its children
        self.near: list[list[tuple[int, int]]] = [[] for _ in range(n)]
        for row, joint in enumerate(self.joints):
            below = _descendants(joint)[:_TARGETS]
            near = dict(_NEARLY_RIGID.get(_SMPL.joints[joint], ()))
            for column, point in enumerate(below):
                index[row, column], there[row, column] = point, True
                child = SMPL25.parents[point] == joint
                rigid[row, column] = 1.0 if child else near.get(SMPL25.joints[point], 0.0)
                if not child and SMPL25.joints[point] in near:
                    self.near[row].append((column, point))
        self.register_buffer("targets", index, persistent=False)
        self.register_buffer("there", there, persistent=False)
        self.register_buffer("rigid", rigid, persistent=False)

    # -- what a joint sees ---------------------------------------------------------------------------------

    def encode(self, evidence: BodyEvidence) -> Tensor:
        """Features of the evidence ``(*batch, context)``."""
        flat, solid = self.flat(evidence.flat), self.solid(evidence.tokens)
        return torch.where(evidence.some, torch.where(evidence.solid, solid, flat), self.nothing)

    def _look(self, row: int, state: BodyState) -> tuple[Tensor, Tensor]:
        """What joint number ``row`` sees below it ``(..., _LOCAL)``, and a guess of its rotation ``(..., 3, 3)``.

        The guess takes the bones at rest onto the seen ones (orthogonal Procrustes), and is the usual rotation where
        nothing is seen. It depends only on evidence and earlier rotations, so that turning by it leaves Haar measure
        and the density exact.
        """
        e, joint = state.evidence, self.joints[row]
        parent = _SMPL.parents[joint]
        index = self.targets[row]
        own, known = state.own(joint)
        seen = e.seen[..., index] & self.there[row] & known
        away = torch.where(seen.unsqueeze(-1), e.points[..., index, :] - own.unsqueeze(-2), 0.0)
        view = torch.zeros_like(own)
        view[..., 2] = 1.0
        if parent >= 0:
            above = state.turned[parent]
            away = away @ above
            view = (view.unsqueeze(-2) @ above).squeeze(-2)
        guess = self._guess(row, away, seen & e.solid, e.offsets) if state.solid else self.usual[row]
        turned = (away @ guess / 0.3).clamp(-4.0, 4.0).flatten(-2)
        flat = seen & ~e.solid
        view = torch.where(e.some & ~e.solid, (view.unsqueeze(-2) @ guess).squeeze(-2), 0.0)
        spread = torch.where(seen, 0.5 * e.spread[..., index], 0.0)
        flags = [(seen & e.solid).to(turned.dtype), flat.to(turned.dtype), spread, view, known.to(turned.dtype)]
        return torch.cat([turned, *(f.expand(*turned.shape[:-1], f.shape[-1]) for f in flags)], -1), guess

    def _guess(self, row: int, away: Tensor, seen: Tensor, offsets: Tensor) -> Tensor:
        """The rotation that takes the bones at rest onto the seen ones (vectors ``away`` in the parent's frame)."""
        rest = offsets[..., self.targets[row], :]
        for column, point in self.near[row]:
            rest = rest.clone()
            rest[..., column, :] = offsets[..., point, :] + offsets[..., SMPL25.parents[point], :]
        weight = torch.where(seen, self.rigid[row], 0.0).unsqueeze(-1)
        cross = (_unit(away) * weight).transpose(-1, -2) @ _unit(rest.expand(away.shape))
        return _procrustes(cross + _USUAL * self.usual[row])

    def _seen_rotation(self, rotation: Tensor, joint: int, evidence: BodyEvidence) -> Tensor:
        """A rotation's first two columns, as later joints see it; the pelvis' is hidden where nothing is seen."""
        columns = rotation[..., :2].flatten(-2)
        return torch.where(evidence.some, columns, 0.0) if _SMPL.parents[joint] < 0 else columns

    # -- density -------------------------------------------------------------------------------------------

    def log_density(self, rotations: Tensor, evidence: BodyEvidence, context: Tensor | None = None) -> Tensor:
        """Log-density of each modelled joint given evidence and those before it ``(..., joints)``.

        Args:
            rotations: ``(..., 22, 3, 3)``, the pelvis' in network axes.
            evidence: of shape ``(*batch)``, the last batch dimensions of the rotations.
            context: from `encode`, if known.
        """
        context = self.encode(evidence) if context is None else context
        if self.structure == "coupling":
            return self._coupled_density(rotations, evidence, context)
        shape = rotations.shape[:-3]
        state = BodyState(evidence)
        looks, relative, columns = [], [], []
        for row, joint in enumerate(self.joints):
            rotation = rotations[..., joint, :, :]
            if self.structure == "independent":
                relative.append(self.usual[row].T @ rotation)
                continue
            look, guess = self._look(row, state)
            looks.append(look.expand(*shape, _LOCAL))
            relative.append(guess.transpose(-1, -2) @ rotation)
            columns.append(self._seen_rotation(rotation, joint, evidence).expand(*shape, 6))
            state.advance(joint, rotation)
        n = len(self.joints)
        hidden = (context @ self.see_context).unflatten(-1, (n, -1)) + self.enter_bias
        if looks:
            earlier = torch.cat(columns, -1) @ (self.see_earlier * self.mask)
            hidden = hidden + earlier.unflatten(-1, (n, -1))
            hidden = hidden + torch.einsum("...jf,jfh->...jh", torch.stack(looks, -2), self.see_local)
        hidden = nn.functional.silu(hidden)
        inner = torch.einsum("...jh,jhi->...ji", hidden, self.inner) + self.inner_bias
        hidden = hidden + nn.functional.silu(inner)
        aim = _nearest_rotation(torch.einsum("...jh,jhi->...ji", hidden, self.aim))
        q = _to_quaternion(aim.transpose(-1, -2) @ torch.stack(relative, -3))
        return self.density.log_density(q, self.density.parameters_of(hidden))

    def draw(
        self,
        shape: torch.Size,
        evidence: BodyEvidence,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Rotations ``(*shape, *batch, 22, 3, 3)`` and the log-density of each modelled joint.

        Joints that are not modelled get the identity.
        """
        context = self.encode(evidence) if context is None else context
        full = (*shape, *evidence.batch_shape)
        if self.structure == "coupling":
            return self._coupled_draw(full, evidence, context, generator)
        n = len(self.joints)
        seen = ((context @ self.see_context).unflatten(-1, (n, -1)) + self.enter_bias).expand(*full, n, -1)
        state = BodyState(evidence)
        earlier: Tensor | None = None
        found: dict[int, Tensor] = {}
        densities = []
        weights = (self.see_earlier * self.mask).unflatten(-1, (n, -1)) if self.structure != "independent" else None
        for row, joint in enumerate(self.joints):
            hidden = seen[..., row, :]
            if weights is None:
                guess = self.usual[row]
            else:
                look, guess = self._look(row, state)
                hidden = hidden + look @ self.see_local[row]
                if earlier is not None:
                    hidden = hidden + earlier @ weights[: 6 * row, row]
            hidden = nn.functional.silu(hidden)
            hidden = hidden + nn.functional.silu(hidden @ self.inner[row] + self.inner_bias[row])
            q, density = self.density.draw(self.density.parameters_of(hidden, row), row, generator)
            rotation = guess @ _nearest_rotation(hidden @ self.aim[row]) @ roma.unitquat_to_rotmat(q)
            found[joint] = rotation
            densities.append(density)
            if weights is not None:
                columns = self._seen_rotation(rotation, joint, evidence)
                earlier = columns if earlier is None else torch.cat([earlier, columns], -1)
                state.advance(joint, rotation)
        return self._all_joints(found, context), torch.stack(densities, -1)

    def _all_joints(self, found: dict[int, Tensor], like: Tensor) -> Tensor:
        shape = found[self.joints[0]].shape
        eye = torch.eye(3, dtype=like.dtype, device=like.device).expand(shape)
        return torch.stack([found.get(j, eye) for j in range(len(_SMPL))], -3)

    # -- coupling ------------------------------------------------------------------------------------------

    def _turn_context(self, turn: int, q: Tensor, evidence: BodyEvidence, context: Tensor) -> Tensor:
        group = self.groups[turn]
        others = [k for k in range(len(self.joints)) if k not in group]
        columns = roma.unitquat_to_rotmat(q[..., others, :])[..., :2].flatten(-2)
        if 0 in others:  # the pelvis says nothing where nothing is seen
            hide = torch.zeros_like(columns[..., :1])
            hide[..., others.index(0), :] = 1.0
            columns = torch.where((hide > 0) & ~evidence.some.unsqueeze(-1), 0.0, columns)
        flat = columns.flatten(-2)
        inputs = torch.cat([context.expand(*flat.shape[:-1], context.shape[-1]), flat], -1)
        return self.trunks[turn](inputs).unflatten(-1, (len(group), -1))

    def _coupled_density(self, rotations: Tensor, evidence: BodyEvidence, context: Tensor) -> Tensor:
        q = _to_quaternion(self.usual.transpose(-1, -2) @ rotations[..., list(self.joints), :, :])
        total = torch.zeros_like(q[..., 0])
        for turn, group in enumerate(self.groups):
            flow = self.flows[turn]
            parameters = flow.parameters_of(self._turn_context(turn, q, evidence, context))  # type: ignore[operator]
            moved, density = flow.to_base(q[..., group, :], parameters)  # type: ignore[operator]
            index = torch.tensor(group, device=q.device)
            q, total = q.index_copy(-2, index, moved), total.index_add(-1, index, density)
        return total

    def _coupled_draw(
        self, shape: tuple[int, ...], evidence: BodyEvidence, context: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        q = haar_quaternions((*shape, len(self.joints)), generator, context)
        total = torch.zeros_like(q[..., 0])
        for turn, group in reversed(list(enumerate(self.groups))):
            flow = self.flows[turn]
            parameters = flow.parameters_of(self._turn_context(turn, q, evidence, context))  # type: ignore[operator]
            moved, density = flow.from_base(q[..., group, :], parameters)  # type: ignore[operator]
            index = torch.tensor(group, device=q.device)
            q, total = q.index_copy(-2, index, moved), total.index_add(-1, index, density)
        rotations = self.usual @ roma.unitquat_to_rotmat(q)
        found = {joint: rotations[..., row, :, :] for row, joint in enumerate(self.joints)}
        return self._all_joints(found, context), total


def _nearest_rotation(raw: Tensor) -> Tensor:
    """The rotation nearest to the identity plus nine numbers ``(..., 9)``: any rotation, reached without a seam."""
    eye = torch.eye(3, dtype=raw.dtype, device=raw.device)
    return _procrustes(raw.unflatten(-1, (3, 3)) + eye)


def _procrustes(matrix: Tensor) -> Tensor:
    """The rotation nearest to a matrix: roma's, whose gradients are finite; for few matrices without gradients the
    plain decomposition, which takes a thirtieth of the time."""
    if torch.is_grad_enabled() and matrix.requires_grad:
        return roma.special_procrustes(matrix)
    u, _, vh = torch.linalg.svd(matrix)
    turn = torch.linalg.det(u @ vh)
    return torch.cat([u[..., :2], u[..., 2:] * turn[..., None, None]], -1) @ vh


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-6)


def _to_quaternion(rotations: Tensor) -> Tensor:
    return roma.rotmat_to_unitquat(rotations)
