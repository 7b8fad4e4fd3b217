"""The published flow on products of SO(3) (Dünkel, Salzmann, Pfaff 2024: HuProSO3), for comparison with ours.

A stack of 23 layers, Möbius couplings and quaternion affine maps in turn. In each layer the joints stand in a random
order, and each joint is moved by a network of its own that sees the joints before it: 437 networks, none shared. The
density needs only the inputs of each layer, so all joints go at once; a sample needs the joints before, so it takes
437 steps one after another.

Densities are with respect to **normalised Haar measure** (uniform: log-density 0). The published affine matrix is
not kept away from singular ones, so the log-determinant has no bound. It is not clamped here: a clamped one is no
density.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...files.errors import InputError
from ...nn.so3 import haar_quaternions, mobius, mobius_inverse

__all__ = [
    "PublishedCondition",
    "PublishedRotationFlow",
]

_MOBIUS = 12  # layers; an affine one between two of them
_AFFINE_HIDDEN, _AFFINE_HIDDEN_LAYERS = 16, 3  # whatever the size of the Möbius networks
_FEATURES = 6  # of a rotation: its first two columns


class PublishedCondition(nn.Module):
    """Keypoints as numbers to the features that condition the flow.

    Args:
        inputs: 66 (22 keypoints in 3D) or 44 (in 2D); metres, not normalised.
        outputs: features, and width.
    """

    def __init__(self, inputs: int = 66, outputs: int = 64) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, outputs)
        self.middle = nn.Linear(outputs, outputs)
        self.leave = nn.Linear(outputs, outputs)

    def forward(self, keypoints: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        activation = nn.functional.leaky_relu
        entered = self.enter(keypoints)
        return self.leave(activation(entered + self.middle(activation(entered))))


def _times(x: Tensor, weight: Tensor) -> Tensor:
    """``x`` (*batch, i) times one matrix (i, o), or ``x`` (*batch, n, i) times one matrix per position (n, i, o)."""
    return x @ weight if weight.dim() == 2 else torch.einsum("...ni,nio->...no", x, weight)


class _PositionNetworks(nn.Module):
    """The networks of one layer: one per position, none shared, evaluated for all positions at once or for one.

    The network at position k sees ``own`` numbers of its joint, 6 of each of the k joints before and the condition.
    Those of the joints before are packed without padding: the rows of position k are ``_rows(k)``.
    """

    index: Tensor

    def __init__(
        self, positions: range, own: int, condition: int, hidden: int, hidden_layers: int, outputs: int
    ) -> None:
        super().__init__()
        n, self.start, self.own_size = len(positions), positions.start, own
        inputs = torch.tensor([own + _FEATURES * k + condition for k in positions])

        def uniform(bound: Tensor, *shape: int) -> nn.Parameter:
            return nn.Parameter((2.0 * torch.rand(shape) - 1.0) * bound)  # PyTorch's default for linear layers

        enter = inputs.rsqrt()
        inner = torch.tensor(hidden**-0.5)
        self.own = uniform(enter[:, None, None], n, own, hidden)
        self.before = uniform(
            enter.repeat_interleave(torch.tensor([_FEATURES * k for k in positions], dtype=torch.long))[:, None],
            self._rows(positions.stop).start,
            hidden,
        )
        self.condition = uniform(enter[:, None, None], n, condition, hidden)
        self.enter_bias = uniform(enter[:, None], n, hidden)
        self.middle = uniform(inner, hidden_layers, n, hidden, hidden)
        self.middle_bias = uniform(inner, hidden_layers, n, hidden)
        self.leave = uniform(inner, n, hidden, outputs)
        self.leave_bias = uniform(inner, n, outputs)
        # Where each position finds its packed rows; -1 is a row of zeros: the joints that it must not see.
        index = torch.full((n, _FEATURES * max(positions.stop - 1, 0)), -1)
        for i, k in enumerate(positions):
            rows = self._rows(k)
            index[i, : len(rows)] = torch.arange(rows.start, rows.stop)
        self.register_buffer("index", index, persistent=False)

    @staticmethod
    def _rows(position: int) -> range:
        start = _FEATURES * position * (position - 1) // 2
        return range(start, start + _FEATURES * position)

    def given(self, condition: Tensor | None) -> Tensor:
        """What the condition and the biases put into the first layer: (*batch, n, hidden)."""
        if condition is None:
            return self.enter_bias
        return torch.einsum("...c,nch->...nh", condition, self.condition) + self.enter_bias

    def _rest(self, entered: Tensor, i: int | slice) -> Tensor:
        inner = entered
        for weight, bias in zip(self.middle[:, i], self.middle_bias[:, i], strict=True):
            inner = _times(inner.relu(), weight) + bias
        return _times((entered + inner).relu(), self.leave[i]) + self.leave_bias[i]

    def forward(self, own: Tensor | None, before: Tensor, condition: Tensor | None) -> Tensor:
        """Outputs (*batch, n, outputs); features ``before`` (*batch, 6 (joints - 1)) are of all joints but the last."""
        padded = nn.functional.pad(self.before, (0, 0, 0, 1))[self.index]
        entered = torch.einsum("...f,nfh->...nh", before, padded) + self.given(condition)
        if own is not None:
            entered = entered + _times(own, self.own)
        return self._rest(entered, slice(None))

    def one(self, position: int, own: Tensor | None, before: Tensor, given: Tensor) -> Tensor:
        """Outputs (*batch, outputs) at one position, from the features (*batch, 6 position) of those before."""
        i, rows = position - self.start, self._rows(position)
        entered = before @ self.before[rows.start : rows.stop] + given[..., i, :]
        if own is not None:
            entered = entered + own @ self.own[i]
        return self._rest(entered, i)


def _features(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 6"]:
    """The first two columns of the matrix, row by row."""
    return roma.unitquat_to_rotmat(q)[..., :2].flatten(-2)


def _affine(q: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """``W q / |W q|`` and its log-determinant; W acts on real part first, q is xyzw."""
    moved = (matrix @ q.roll(1, -1).unsqueeze(-1)).squeeze(-1)
    length = moved.norm(dim=-1, keepdim=True)
    ladj = torch.linalg.slogdet(matrix).logabsdet - 4.0 * length.squeeze(-1).log()
    return (moved / length).roll(-1, -1), ladj


def _affine_inverse(q: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse of `_affine`, and the log-determinant of the *forward* map there."""
    moved = torch.linalg.solve(matrix, q.roll(1, -1).unsqueeze(-1)).squeeze(-1)
    length = moved.norm(dim=-1, keepdim=True)
    ladj = torch.linalg.slogdet(matrix).logabsdet + 4.0 * length.squeeze(-1).log()
    return (moved / length).roll(-1, -1), ladj


class PublishedRotationFlow(nn.Module):
    """Stacked masked autoregression over joints: a density over ``(*batch, joints, 3, 3)``, exact in both directions.

    Published sizes (19 joints): prior ``condition=0, segments=32, hidden=16, hidden_layers=3``; inverse kinematics and
    lifting ``condition=64, segments=32, hidden=32, hidden_layers=2``; with occlusion ``condition=64, segments=16,
    hidden=16, hidden_layers=3``. Weights start as PyTorch's linear layers do, so the first flow is far from the
    identity, as published.

    Args:
        joints: number of rotations.
        condition: features of the condition (`PublishedCondition`); 0: a prior.
        segments: components of each Möbius mixture.
        hidden: width of the Möbius networks.
        hidden_layers: their hidden layers.
        seed: of the orders of joints; 10 gives the published ones. They are part of the state dict.
    """

    permutations: Tensor

    def __init__(
        self,
        joints: int = 19,
        condition: int = 0,
        segments: int = 32,
        hidden: int = 16,
        hidden_layers: int = 3,
        seed: int = 10,
    ) -> None:
        super().__init__()
        self.joints, self.condition, self.segments = joints, condition, segments
        self.mobius = nn.ModuleList(
            _PositionNetworks(range(joints), 3, condition, hidden, hidden_layers, 4 * segments) for _ in range(_MOBIUS)
        )
        # The first joint of a prior has nothing to depend on: its affine map is a free matrix.
        first = 0 if condition else 1
        self.affine = nn.ModuleList(
            _PositionNetworks(range(first, joints), 0, condition, _AFFINE_HIDDEN, _AFFINE_HIDDEN_LAYERS, 16)
            for _ in range(_MOBIUS - 1)
        )
        self.free = nn.Parameter(torch.eye(4) + 1e-3 * torch.randn(_MOBIUS - 1, first, 4, 4))
        draws = np.random.RandomState(seed)  # the published generator
        orders = [draws.choice(joints, joints, replace=False) for _ in range(2 * _MOBIUS - 1)]
        self.register_buffer("permutations", torch.as_tensor(np.stack(orders), dtype=torch.int64))

    def _check(self, shape: torch.Size, condition: Tensor | None) -> None:
        if tuple(shape[-3:]) != (self.joints, 3, 3):
            raise InputError(f"rotations: expected (..., {self.joints}, 3, 3), got {tuple(shape)}")
        given = 0 if condition is None else condition.shape[-1]
        if given != self.condition:
            raise InputError(f"condition: expected {self.condition or 'no'} features, got {given or 'none'}")

    def _mixture(self, out: Tensor) -> tuple[Tensor, Tensor]:
        return out[..., : self.segments], out[..., self.segments :].unflatten(-1, (self.segments, 3))

    def _forward_layer(self, layer: int, q: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """All positions at once: q and log-determinant (*batch, joints)."""
        before = _features(q[..., :-1, :]).flatten(-2)
        number, odd = divmod(layer, 2)
        if odd:
            change = self.affine[number](None, before, condition).unflatten(-1, (4, 4))
            free = self.free[number].expand(*change.shape[:-3], -1, -1, -1)
            eye = torch.eye(4, dtype=q.dtype, device=q.device)
            return _affine(q, torch.cat([free, change + eye], -3))
        axis = (1 + number) % 3
        own = roma.unitquat_to_rotmat(q)[..., axis]
        return mobius(q, *self._mixture(self.mobius[number](own, before, condition)), axis)

    def _inverse_layer(self, layer: int, q: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """One position after another: each sees what came out of those before it."""
        number, odd = divmod(layer, 2)
        networks = cast(_PositionNetworks, (self.affine if odd else self.mobius)[number])
        given = networks.given(condition)
        axis = (1 + number) % 3
        eye = torch.eye(4, dtype=q.dtype, device=q.device)
        before = q.new_zeros(*q.shape[:-2], 0)
        found, total = [], torch.zeros_like(q[..., 0, 0])
        for position, turned in enumerate(q.unbind(-2)):
            if odd and position < networks.start:
                back, ladj = _affine_inverse(turned, self.free[number, position])
            elif odd:
                change = networks.one(position, None, before, given).unflatten(-1, (4, 4))
                back, ladj = _affine_inverse(turned, change + eye)
            else:
                own = roma.unitquat_to_rotmat(turned)[..., axis]
                out = networks.one(position, own, before, given)
                back, ladj = mobius_inverse(turned, *self._mixture(out), axis)
            found.append(back)
            total = total + ladj
            before = torch.cat([before, _features(back)], -1)
        return torch.stack(found, -2), total

    def to_base(
        self, rotations: Float[Tensor, "*batch joints 3 3"], condition: Float[Tensor, "*batch c"] | None = None
    ) -> tuple[Float[Tensor, "*batch joints 3 3"], Float[Tensor, "*batch"]]:
        """Data to the uniform base, and the log-density (nats, normalised Haar measure); parallel over joints.

        Raises:
            InputError: rotations of another shape, or a condition too many, too few or of another size.
        """
        self._check(rotations.shape, condition)
        q = roma.rotmat_to_unitquat(rotations)
        total = torch.zeros_like(q[..., 0, 0])
        for layer, order in enumerate(self.permutations):
            q, ladj = self._forward_layer(layer, q[..., order, :], condition)
            q = q[..., order.argsort(), :]
            total = total + ladj.sum(-1)
        return roma.unitquat_to_rotmat(q), total

    def from_base(
        self, rotations: Float[Tensor, "*batch joints 3 3"], condition: Float[Tensor, "*batch c"] | None = None
    ) -> tuple[Float[Tensor, "*batch joints 3 3"], Float[Tensor, "*batch"]]:
        """Base to data, and the log-density of the result; 437 steps for 19 joints.

        Raises:
            InputError: as `to_base`.
        """
        self._check(rotations.shape, condition)
        q = roma.rotmat_to_unitquat(rotations)
        total = torch.zeros_like(q[..., 0, 0])
        for layer in reversed(range(len(self.permutations))):
            order = self.permutations[layer]
            q, ladj = self._inverse_layer(layer, q[..., order, :], condition)
            q = q[..., order.argsort(), :]
            total = total + ladj
        return roma.unitquat_to_rotmat(q / q.norm(dim=-1, keepdim=True)), total

    def log_prob(
        self, rotations: Float[Tensor, "*batch joints 3 3"], condition: Float[Tensor, "*batch c"] | None = None
    ) -> Float[Tensor, "*batch"]:
        """Log-density in nats with respect to normalised Haar measure: nats above uniform."""
        return self.to_base(rotations, condition)[1]

    @torch.no_grad()
    def sample(
        self, n: int, condition: Float[Tensor, "*batch c"] | None = None, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n *batch joints 3 3"]:
        """``n`` independent draws for each condition."""
        batch = () if condition is None else condition.shape[:-1]
        base = haar_quaternions((n, *batch, self.joints), generator, like=self.free, event=2)
        return self.from_base(roma.unitquat_to_rotmat(base), condition)[0]
