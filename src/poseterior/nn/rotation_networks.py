"""Networks from evidence to densities over the joint rotations of a body (after Dünkel et al. 2024).

One encoder of the evidence, and one of four structures that share the rest:

* ``autoregressive``: joints in kinematic order, one pass. Each joint sees the rotations before it, and the evidence
  below it as it looks from its parent's frame, in which forward kinematics of the rotations so far has put it.
* ``coupling``: two groups of joints take turns, each seeing the other; no order, fast sampling.
* ``acg``: as autoregressive, with a mixture of angular central Gaussians per joint in place of a flow.
* ``independent``: as autoregressive, but no joint sees another (a baseline).

Before its density a joint is turned by a guess from the 3D evidence and by an aim that the network predicts. Both
depend on evidence and earlier rotations only, so that Haar measure and the density stay exact.

Densities are with respect to normalised Haar measure of each joint; all are functions ``(*samples, *batch)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..geometry.body import SMPL25
from ..geometry.nearest_rotations import nearest_rotation, procrustes
from ..geometry.skeletons import SKELETONS
from ..noise import Noise, as_noise
from ..registry import lazy_module
from .body_evidence import FLAT_WIDTH, SOLID_WIDTH, BodyEvidence, as_six
from .body_rows import drawn_bodies
from .body_state import SIGHT_WIDTH, USUAL_WEIGHT, BodyState, targets_of
from .dense import plainly, times
from .encoders import ResidualMLP
from .joint_densities import AngularCentralGaussians, JointDensity, JointFlow
from .so3 import haar_quaternions, rotation_matrix

#: Imported when it is first used: it loads the whole of PyTorch's compiler.
roma = lazy_module("roma")

__all__ = [
    "BODY_JOINTS",
    "STRUCTURES",
    "CoupledNetwork",
    "NetworkSizes",
    "RotationNetwork",
    "SequentialNetwork",
    "modelled_joints",
    "rotation_network",
]

STRUCTURES = ("autoregressive", "coupling", "acg", "independent")

_SMPL = SKELETONS["smpl22"]


def modelled_joints(toes: bool = False) -> tuple[int, ...]:
    """smpl22 joints whose rotations are modelled: all but the toes' bases, unless asked for, in kinematic order."""
    return tuple(j for j, name in enumerate(_SMPL.joints) if toes or name not in ("left_foot", "right_foot"))


#: The joints of the published model: without the pelvis and the toes.
BODY_JOINTS = tuple(j for j in modelled_joints() if j != _SMPL.root)


@dataclass(frozen=True)
class NetworkSizes:
    """Sizes of a rotation network.

    Attributes:
        width, blocks: of the encoders of 2D and (half as wide) of 3D keypoints.
        context: features of the evidence that joints see.
        trunk: features per joint.
        layers, segments, hidden: of the flows (see `RotationFlow`); for coupling, ``layers`` is per turn.
        turns: of coupling.
        components: of ``acg``.
    """

    width: int = 384
    blocks: int = 3
    context: int = 128
    trunk: int = 96
    layers: int = 4
    segments: int = 8
    hidden: int = 32
    turns: int = 6
    components: int = 16


class _Standard(nn.Module):
    """Each row to mean 0 and variance 1: the context speaks as loud as whatever else a joint sees."""

    def forward(self, value: Float[Tensor, "*any features"]) -> Float[Tensor, "*any features"]:
        return nn.functional.layer_norm(value, value.shape[-1:])


class RotationNetwork(nn.Module):
    """Evidence to a density over rotations, see the module. Subclasses implement `log_density` and `draw`.

    Args:
        structure: one of `STRUCTURES`.
        joints: the modelled smpl22 joints, in kinematic order, the pelvis first.
        sizes: of the parts.
    """

    usual: Tensor

    def __init__(self, structure: str, joints: tuple[int, ...], sizes: NetworkSizes) -> None:
        super().__init__()
        self.structure, self.joints = structure, joints
        width, blocks, context = sizes.width, sizes.blocks, sizes.context
        # Apart, because exact 3D keypoints pull so much harder on shared weights that 2D would hardly be learnt.
        self.flat = nn.Sequential(ResidualMLP(FLAT_WIDTH, width, blocks), nn.Linear(width, context), _Standard())
        self.solid = nn.Sequential(
            ResidualMLP(SOLID_WIDTH, width // 2, blocks), nn.Linear(width // 2, context), _Standard()
        )
        self.nothing = nn.Parameter(torch.zeros(context))
        #: the usual rotation of each joint, set from training data
        self.register_buffer("usual", torch.eye(3).repeat(len(joints), 1, 1))

    def encode(self, evidence: BodyEvidence) -> Float[Tensor, "*batch context"]:
        """Features of the evidence."""
        # An encoder that nobody needs is not asked: where every sample has evidence of its own it takes long.
        nothing = self.nothing.expand(*evidence.batch_shape, -1)
        solid = self.solid(evidence.tokens) if bool(evidence.solid.any()) else nothing
        flat = self.flat(evidence.flat) if bool((evidence.some & ~evidence.solid).any()) else nothing
        return torch.where(evidence.some, torch.where(evidence.solid, solid, flat), nothing)

    def log_density(
        self,
        rotations: Float[Tensor, "*samples_batch 22 3 3"],
        evidence: BodyEvidence,
        context: Float[Tensor, "*batch context"] | None = None,
    ) -> Float[Tensor, "*samples_batch joints"]:
        """Log-density of each modelled joint given evidence and those before it.

        Args:
            rotations: the pelvis' in network axes.
            evidence: of shape ``(*batch)``, the last batch dimensions of the rotations.
            context: from `encode`, if known.
        """
        raise NotImplementedError

    def draw(
        self,
        shape: torch.Size,
        evidence: BodyEvidence,
        noise: Noise | torch.Generator | None = None,
        context: Float[Tensor, "*batch context"] | None = None,
        density: bool = True,
    ) -> tuple[Float[Tensor, "*shape_batch 22 3 3"], Float[Tensor, "*shape_batch joints"]]:
        """Rotations and the log-density of each modelled joint. Joints that are not modelled get the identity.

        Args:
            shape: how many for each element of the batch.
            evidence: of shape ``(*batch)``.
            noise: source of random numbers.
            context: from `encode`, if known.
            density: whether the log-density is asked for; where it is not it may be NaN.
        """
        raise NotImplementedError

    def numbers(self, shape: tuple[int, ...], noise: Noise, like: Tensor) -> list[Tensor] | None:
        """All random numbers that `draw` would ask for, in its order; None where that depends on what is drawn.

        Args:
            shape: of the draws with the batch's.
            noise: where they come from.
            like: a tensor whose dtype and device they have.
        """
        return None

    def draw_alike(
        self, evidence: BodyEvidence, there: Bool[Tensor, "25"], noise: Noise
    ) -> Float[Tensor, "*batch 22 3 3"]:
        """`draw` of one each, of 3D points that are seen of everybody (``there``) and alike exact."""
        return self.draw(torch.Size(), evidence, noise, density=False)[0]

    def _all_joints(self, found: dict[int, Tensor], like: Tensor) -> Float[Tensor, "*any 22 3 3"]:
        """The rotations found (by joint, ``(*any, 3, 3)``), and the identity for the others."""
        shape = found[self.joints[0]].shape
        eye = torch.eye(3, dtype=like.dtype, device=like.device).expand(shape)
        return torch.stack([found.get(j, eye) for j in range(len(_SMPL))], -3)


class SequentialNetwork(RotationNetwork):
    """Joints in kinematic order, each given those before it: ``autoregressive``, ``acg`` and ``independent``."""

    mask: Tensor
    targets: Tensor
    there: Tensor
    rigid: Tensor

    def __init__(self, structure: str, joints: tuple[int, ...], sizes: NetworkSizes) -> None:
        super().__init__(structure, joints, sizes)
        n, context, trunk = len(joints), sizes.context, sizes.trunk
        self.sees_others = structure != "independent"
        earlier, local = (6 * n, SIGHT_WIDTH) if self.sees_others else (0, 0)
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
        targets = targets_of(joints)
        self.beyond = targets.beyond
        for name in ("index", "there", "rigid"):
            buffer = "targets" if name == "index" else name
            self.register_buffer(buffer, getattr(targets, name), persistent=False)
        self.density: JointDensity
        if structure == "acg":
            self.density = AngularCentralGaussians(n, trunk, sizes.components)
        else:
            self.density = JointFlow(n, trunk, sizes.layers, sizes.segments, sizes.hidden)

    # -- what a joint sees ---------------------------------------------------------------------------------

    def _look(self, row: int, state: BodyState) -> tuple[Float[Tensor, "*any sight"], Float[Tensor, "*any 3 3"]]:
        """What joint number ``row`` sees below it, and a guess of its rotation.

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
        above = state.turned[parent] if parent >= 0 else None
        if above is not None:
            away = away @ above
            view = (view.unsqueeze(-2) @ above).squeeze(-2)
        guess = self._guess(row, away, seen & e.solid, e.offsets) if state.solid else self.usual[row]
        turned = (away @ guess / 0.3).clamp(-4.0, 4.0).flatten(-2)
        flat = seen & ~e.solid
        view = torch.where(e.some & ~e.solid, (view.unsqueeze(-2) @ guess).squeeze(-2), 0.0)
        spread = torch.where(seen, 0.5 * e.spread[..., index], 0.0)
        flags = [(seen & e.solid).to(turned.dtype), flat.to(turned.dtype), spread, view, known.to(turned.dtype)]
        if state.directed:
            axes = guess if above is None else above @ guess
            inside = axes.unsqueeze(-3)
            directions = inside.transpose(-1, -2) @ e.directions[..., index, :, :] @ inside
            directions = torch.where(seen.unsqueeze(-1), as_six(0.5 * directions), 0.0)
            flags.append(directions.flatten(-2))
        else:
            flags.append(turned.new_zeros(6 * index.shape[-1]))
        return torch.cat([turned, *(f.expand(*turned.shape[:-1], f.shape[-1]) for f in flags)], -1), guess

    def _guess(
        self,
        row: int,
        away: Float[Tensor, "*any targets 3"],
        seen: Bool[Tensor, "*any targets"],
        offsets: Float[Tensor, "*batch 25 3"],
    ) -> Float[Tensor, "*any 3 3"]:
        """The rotation that takes the bones at rest onto the seen ones (vectors ``away`` in the parent's frame)."""
        rest = offsets[..., self.targets[row], :]
        for column, point in self.beyond[row]:
            rest = rest.clone()
            rest[..., column, :] = offsets[..., point, :] + offsets[..., SMPL25.parents[point], :]
        weight = torch.where(seen, self.rigid[row], 0.0).unsqueeze(-1)
        cross = (_unit(away) * weight).transpose(-1, -2) @ _unit(rest.expand(away.shape))
        return procrustes(cross + USUAL_WEIGHT * self.usual[row])

    def _seen_rotation(
        self, rotation: Float[Tensor, "*any 3 3"], joint: int, evidence: BodyEvidence
    ) -> Float[Tensor, "*any 6"]:
        """A rotation's first two columns, as later joints see it; the pelvis' is hidden where nothing is seen."""
        columns = rotation[..., :2].flatten(-2)
        return torch.where(evidence.some, columns, 0.0) if _SMPL.parents[joint] < 0 else columns

    def _entered(self, context: Float[Tensor, "*batch context"]) -> Float[Tensor, "*batch joints trunk"]:
        """What the context puts into the first layer of each joint."""
        return (context @ self.see_context).unflatten(-1, (len(self.joints), -1)) + self.enter_bias

    # -- density -------------------------------------------------------------------------------------------

    def log_density(
        self,
        rotations: Float[Tensor, "*samples_batch 22 3 3"],
        evidence: BodyEvidence,
        context: Float[Tensor, "*batch context"] | None = None,
    ) -> Float[Tensor, "*samples_batch joints"]:
        entered = self._entered(self.encode(evidence) if context is None else context)
        if self.sees_others:
            sights, guesses, columns = self._walk(rotations, evidence)
            earlier = columns @ (self.see_earlier * self.mask)
            entered = entered + earlier.unflatten(-1, (len(self.joints), -1))
            entered = entered + torch.einsum("...jf,jfh->...jh", sights, self.see_local)
        else:
            guesses = self.usual
        hidden = nn.functional.silu(entered)
        inner = torch.einsum("...jh,jhi->...ji", hidden, self.inner) + self.inner_bias
        hidden = hidden + nn.functional.silu(inner)
        aim = nearest_rotation(torch.einsum("...jh,jhi->...ji", hidden, self.aim))
        relative = guesses.transpose(-1, -2) @ rotations[..., list(self.joints), :, :]
        return self.density.log_density(roma.rotmat_to_unitquat(aim.transpose(-1, -2) @ relative), hidden)

    def _walk(
        self, rotations: Float[Tensor, "*any 22 3 3"], evidence: BodyEvidence
    ) -> tuple[Float[Tensor, "*any joints sight"], Float[Tensor, "*any joints 3 3"], Float[Tensor, "*any columns"]]:
        """What each joint sees, its guess, and the columns of the rotations as later joints see them."""
        shape = rotations.shape[:-3]
        state = BodyState(evidence)
        sights, guesses, columns = [], [], []
        for row, joint in enumerate(self.joints):
            rotation = rotations[..., joint, :, :]
            sight, guess = self._look(row, state)
            sights.append(sight.expand(*shape, SIGHT_WIDTH))
            guesses.append(guess.expand(*shape, 3, 3))
            columns.append(self._seen_rotation(rotation, joint, evidence).expand(*shape, 6))
            state.advance(joint, rotation)
        return torch.stack(sights, -2), torch.stack(guesses, -3), torch.cat(columns, -1)

    def numbers(self, shape: tuple[int, ...], noise: Noise, like: Tensor) -> list[Tensor] | None:
        if not isinstance(self.density, JointFlow):
            return None
        return [noise.normal((*shape, 4), 1, like) for _ in self.joints]

    def draw(
        self,
        shape: torch.Size,
        evidence: BodyEvidence,
        noise: Noise | torch.Generator | None = None,
        context: Float[Tensor, "*batch context"] | None = None,
        density: bool = True,
    ) -> tuple[Float[Tensor, "*shape_batch 22 3 3"], Float[Tensor, "*shape_batch joints"]]:
        context, noise = self.encode(evidence) if context is None else context, as_noise(noise)
        full = (*shape, *evidence.batch_shape)
        enter = self.see_context.unflatten(-1, (len(self.joints), -1))
        state = BodyState(evidence)
        columns = context.new_zeros(*full, 0)
        weights = (self.see_earlier * self.mask).unflatten(-1, (len(self.joints), -1))
        found: dict[int, Tensor] = {}
        densities = []
        for row, joint in enumerate(self.joints):
            # One joint at a time: those of all joints take much memory where every sample has evidence of its own.
            hidden = times(context, enter[:, row], self.enter_bias[row]).expand(*full, -1)
            guess = self.usual[row]
            if self.sees_others:
                sight, guess = self._look(row, state)
                hidden = hidden + times(sight, self.see_local[row])
                if row:
                    hidden = hidden + times(columns, weights[: 6 * row, row])
            hidden = nn.functional.silu(hidden)
            hidden = hidden + nn.functional.silu(times(hidden, self.inner[row], self.inner_bias[row]))
            q, own = self.density.draw(hidden, row, noise, density)
            rotation = guess @ nearest_rotation(times(hidden, self.aim[row])) @ rotation_matrix(q)
            found[joint] = rotation
            densities.append(own)
            if self.sees_others:
                columns = torch.cat([columns, self._seen_rotation(rotation, joint, evidence)], -1)
                state.advance(joint, rotation)
        return self._all_joints(found, context), torch.stack(densities, -1)

    def draw_alike(
        self, evidence: BodyEvidence, there: Bool[Tensor, "25"], noise: Noise
    ) -> Float[Tensor, "*batch 22 3 3"]:
        shape = evidence.batch_shape
        if plainly() or len(shape) != 1 or not (self.sees_others and isinstance(self.density, JointFlow)):
            return super().draw_alike(evidence, there, noise)
        numbers = torch.stack([noise.normal((*shape, 4), 1, evidence.points) for _ in self.joints])
        rotations = evidence.points.new_empty(*shape, 9 * len(_SMPL))
        # Half the time of the operations that only look at a part of a tensor; what is given back is an ordinary one.
        with torch.inference_mode():
            drawn = drawn_bodies(self, evidence, there, self.encode(evidence), numbers.mT.contiguous())
            rotations.copy_(drawn.flatten(0, 2).mT)
        return rotations.unflatten(1, (-1, 3, 3))


class CoupledNetwork(RotationNetwork):
    """Two groups of joints take turns, each seeing the other: ``coupling``."""

    def __init__(self, structure: str, joints: tuple[int, ...], sizes: NetworkSizes) -> None:
        super().__init__(structure, joints, sizes)
        n, trunk = len(joints), sizes.trunk
        self.groups = [[k for k in range(n) if k % 2 == turn % 2] for turn in range(sizes.turns)]
        self.trunks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(sizes.context + 6 * (n - len(group)), 2 * trunk),
                nn.SiLU(),
                nn.Linear(2 * trunk, len(group) * trunk),
                nn.SiLU(),
            )
            for group in self.groups
        )
        self.flows = nn.ModuleList(
            JointFlow(len(group), trunk, sizes.layers, sizes.segments, sizes.hidden) for group in self.groups
        )

    def _turns(self) -> Iterator[tuple[list[int], nn.Module, JointFlow]]:
        """Each turn's joints (rows), trunk and flow, from data to base."""
        for group, trunk, flow in zip(self.groups, self.trunks, self.flows, strict=True):
            yield group, trunk, cast(JointFlow, flow)

    def _features(
        self,
        group: list[int],
        trunk: nn.Module,
        q: Float[Tensor, "*any joints 4"],
        evidence: BodyEvidence,
        context: Float[Tensor, "*batch context"],
    ) -> Float[Tensor, "*any group trunk"]:
        """What the joints of a group see in their turn: the evidence and the other group."""
        others = [k for k in range(len(self.joints)) if k not in group]
        columns = roma.unitquat_to_rotmat(q[..., others, :])[..., :2].flatten(-2)
        if 0 in others:  # the pelvis says nothing where nothing is seen
            hide = torch.zeros_like(columns[..., :1])
            hide[..., others.index(0), :] = 1.0
            columns = torch.where((hide > 0) & ~evidence.some.unsqueeze(-1), 0.0, columns)
        flat = columns.flatten(-2)
        inputs = torch.cat([context.expand(*flat.shape[:-1], context.shape[-1]), flat], -1)
        return trunk(inputs).unflatten(-1, (len(group), -1))

    def log_density(
        self,
        rotations: Float[Tensor, "*samples_batch 22 3 3"],
        evidence: BodyEvidence,
        context: Float[Tensor, "*batch context"] | None = None,
    ) -> Float[Tensor, "*samples_batch joints"]:
        """The log-density's parts that the turns of each joint add: their sum is exact, the parts are no conditionals.

        Args:
            rotations: the pelvis' in network axes.
            evidence: of shape ``(*batch)``, the last batch dimensions of the rotations.
            context: from `encode`, if known.
        """
        context = self.encode(evidence) if context is None else context
        q = roma.rotmat_to_unitquat(self.usual.transpose(-1, -2) @ rotations[..., list(self.joints), :, :])
        total = torch.zeros_like(q[..., 0])
        for group, trunk, flow in self._turns():
            parameters = flow.parameters_of(self._features(group, trunk, q, evidence, context))
            moved, density = flow.to_base(q[..., group, :], parameters)
            index = torch.tensor(group, device=q.device)
            q, total = q.index_copy(-2, index, moved), total.index_add(-1, index, density)
        return total

    def draw(
        self,
        shape: torch.Size,
        evidence: BodyEvidence,
        noise: Noise | torch.Generator | None = None,
        context: Float[Tensor, "*batch context"] | None = None,
        density: bool = True,
    ) -> tuple[Float[Tensor, "*shape_batch 22 3 3"], Float[Tensor, "*shape_batch joints"]]:
        context = self.encode(evidence) if context is None else context
        q = haar_quaternions((*shape, *evidence.batch_shape, len(self.joints)), noise, context, event=2)
        total = torch.zeros_like(q[..., 0])
        for group, trunk, flow in reversed(list(self._turns())):
            parameters = flow.parameters_of(self._features(group, trunk, q, evidence, context))
            moved, added = flow.from_base(q[..., group, :], parameters)
            index = torch.tensor(group, device=q.device)
            q, total = q.index_copy(-2, index, moved), total.index_add(-1, index, added)
        rotations = self.usual @ roma.unitquat_to_rotmat(q)
        found = {joint: rotations[..., row, :, :] for row, joint in enumerate(self.joints)}
        return self._all_joints(found, context), total


def rotation_network(structure: str, joints: tuple[int, ...], sizes: NetworkSizes | None = None) -> RotationNetwork:
    """The network of a structure, one of `STRUCTURES`; None for default sizes."""
    network = CoupledNetwork if structure == "coupling" else SequentialNetwork
    return network(structure, joints, sizes or NetworkSizes())


def _unit(vectors: Float[Tensor, "*any 3"]) -> Float[Tensor, "*any 3"]:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-6)
