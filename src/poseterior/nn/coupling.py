"""Conditional couplings: invertible maps of a vector whose parameters come from a context.

The context (features of the evidence) is the same for all samples of a pose, so what it contributes to a
network is computed once per pose and broadcast (`FactoredMLP.prepare`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Transform, constraints
from zuko.transforms import (
    ComposedTransform,
    CouplingTransform,
    DependentTransform,
    MonotonicRQSTransform,
    PermutationTransform,
)

from ..geometry.linalg import cholesky_or_nan, solve_lower_3x3
from ..geometry.spd import block_diagonal
from .affine_couplings import AffineCouplings
from .ascent import climbed
from .dense import alone_or_not
from .factored import FactoredMLP

__all__ = [
    "COUPLINGS",
    "AffineCouplings",
    "ConditionalCouplings",
    "EvidenceTransform",
    "FactoredMLP",
    "HalvesCoupling",
    "StandardisedCouplings",
]

#: Univariate maps of a coupling.
COUPLINGS = ("affine", "spline")


class HalvesCoupling(CouplingTransform):
    """zuko's coupling with the first half constant, split by slices: gathers are slow on CPUs."""

    def __init__(self, meta: Any, size: int) -> None:
        super().__init__(meta, torch.arange(size) < size // 2)
        self.half = size // 2

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[..., : self.half], x[..., self.half :]

    def merge(self, x_a: Tensor, x_b: Tensor, shape: Any) -> Tensor:
        return torch.cat([x_a, x_b], -1)


class ConditionalCouplings(nn.Module):
    """A stack of couplings with fixed permutations before each; a context gives the `Transform`.

    Args:
        size: length of the vector.
        context: number of context features.
        layers: number of couplings; each changes one half.
        hidden: widths of each coupling's network.
        coupling: ``"affine"`` or ``"spline"`` (rational-quadratic, identity outside [-bound, bound]).
        bins: of a spline.
        bound: of a spline.
        reach: largest value of a coordinate that the couplings' networks see. Beyond it they say what they say
            there: where they were never trained they would drive one sample in 100,000 metres away.
        seed: of the fixed permutations, which are stored in the weights.
    """

    orders: Tensor

    def __init__(
        self,
        size: int,
        context: int,
        layers: int,
        hidden: Sequence[int],
        coupling: str = "affine",
        bins: int = 8,
        bound: float = 6.0,
        reach: float = 6.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.coupling, self.bins, self.bound, self.reach = size, coupling, bins, bound, reach
        changed = size - size // 2
        outputs = changed * (2 if coupling == "affine" else 3 * bins - 1)
        nets = (FactoredMLP(size // 2, context, hidden, outputs).start_at_zero() for _ in range(layers))
        self.nets = nn.ModuleList(nets)
        generator = torch.Generator().manual_seed(seed)
        orders = torch.stack([torch.randperm(size, generator=generator) for _ in range(layers)])
        self.register_buffer("orders", orders)

    def _spline(self, parameters: Tensor) -> Transform:
        widths, heights, derivatives = parameters.unflatten(-1, (-1, 3 * self.bins - 1)).split(
            [self.bins, self.bins, self.bins - 1], -1
        )
        return DependentTransform(MonotonicRQSTransform(widths, heights, derivatives, bound=self.bound), 1)

    def _meta(self, net: FactoredMLP, prepared: Tensor) -> Callable[[Tensor], Transform]:
        """The map of the second half, given the first."""
        return lambda half: self._spline(net(half.clamp(-self.reach, self.reach), prepared))

    def forward(self, context: Float[Tensor, "*batch context"]) -> Transform:
        """The map from the vector ``(*samples, *batch, size)`` to the latent, for these contexts."""
        prepared = [net.prepare(context) for net in self.nets]  # type: ignore[operator]
        if self.coupling == "affine":
            return AffineCouplings(self.nets, prepared, self.orders, self.reach)  # type: ignore[arg-type]
        steps: list[Transform] = []
        for net, order, part in zip(self.nets, self.orders, prepared, strict=True):
            steps.append(PermutationTransform(order))
            steps.append(HalvesCoupling(self._meta(net, part), self.size))  # type: ignore[arg-type]
        return ComposedTransform(*steps)


class EvidenceTransform(Transform):
    """From poses to standardised coordinates in which the 2D evidence is a fact and depth is the question.

    Per joint: the offset from its expected place, split along its viewing ray (depth) and across it, divided by
    a 3x3 lower triangle; then all joints together are untied by ``(I + U Uᵀ)⁻¹``.

    Args:
        loc: ``(*batch, joints, 3)`` metres, expected places.
        slope: ``(*batch, joints, 2)`` sideways metres per metre of depth along the joint's ray.
        scale_tril: ``(*batch, joints, 3, 3)`` metres, positive diagonals.
        factor: ``(*batch, joints * 3, rank)``, dimensionless.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, loc: Tensor, slope: Tensor, scale_tril: Tensor, factor: Tensor) -> None:
        super().__init__()
        self.loc, self.slope, self.scale_tril, self.factor = loc, slope, scale_tril, factor
        inner = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
        self._chol = chol = cholesky_or_nan(inner + factor.transpose(-1, -2) @ factor)
        log_det = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum((-2, -1))
        #: log-determinant of the standardising map, ``(*batch,)``
        self.ladj = -log_det - 2.0 * chol.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    @cached_property
    def solved(self) -> Tensor:
        """``U (I + UᵀU)⁻¹``, which the way from poses to latents needs."""
        return torch.cholesky_solve(self.factor.transpose(-1, -2), self._chol).transpose(-1, -2)

    @staticmethod
    def _times(matrix: Tensor, vector: Tensor) -> Tensor:
        return (matrix @ vector.unsqueeze(-1)).squeeze(-1)

    def _tied(self, left: Tensor, right: Tensor, x: Tensor) -> Tensor:
        """``left @ rightᵀ @ x`` for ``(*samples, *batch, d)``."""
        if left.ndim == 3 and x.ndim == 3:  # one batched product instead of one per sample
            moved = x.transpose(0, 1)
            return (moved @ right @ left.transpose(-1, -2)).transpose(0, 1)
        return self._times(left, self._times(right.transpose(-1, -2), x))

    def _call(self, x: Tensor) -> Tensor:
        offset = x.unflatten(-1, (-1, 3)) - self.loc
        lateral = offset[..., :2] - offset[..., 2:] * self.slope
        white = solve_lower_3x3(self.scale_tril, torch.cat([lateral, offset[..., 2:]], -1)).flatten(-2)
        return white - self._tied(self.solved, self.factor, white)

    @cached_property
    def _placing(self) -> Float[Tensor, "*batch dims dims"]:
        """What takes standardised coordinates to offsets from the expected places."""
        across, depth = self.scale_tril[..., :2, :], self.scale_tril[..., 2:, :]
        own = torch.cat([torch.addcmul(across, self.slope.unsqueeze(-1), depth), depth], -2)
        tied = (own @ self.factor.unflatten(-2, (-1, 3))).flatten(-3, -2)
        return block_diagonal(own) + tied @ self.factor.transpose(-1, -2)

    def _inverse(self, y: Tensor) -> Tensor:
        loc = self.loc.flatten(-2)
        if loc.ndim == 2 and y.ndim == 3:  # one batched product instead of one per sample
            rows = y.transpose(0, 1) @ self._placing.transpose(-1, -2)
            return (rows + loc.unsqueeze(1)).transpose(0, 1)
        return self._times(self._placing, y) + loc

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.ladj.expand(x.shape[:-1])

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._call(x), self.ladj.expand(x.shape[:-1])

    def inv_and_ladj(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The poses, and the logarithm of the *inverse* map's determinant."""
        return self._inverse(y), -self.ladj.expand(y.shape[:-1])


class StandardisedCouplings(ComposedTransform):
    """An `EvidenceTransform` and then couplings; both ways with their determinant, which costs nothing more."""

    def inv_and_ladj(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The poses of latents, and the logarithm of the *inverse* map's determinant ``(*samples, *batch)``."""
        total: Tensor | None = None
        for step in reversed(self.transforms):
            if hasattr(step, "inv_and_ladj"):
                y, ladj = step.inv_and_ladj(y)
            else:
                x = step.inv(y)
                y, ladj = x, -step.call_and_ladj(x)[1]
            total = ladj if total is None else total + ladj
        assert total is not None
        return y, total

    def alone_or_not(self, latent: Tensor) -> bool:
        """Whether each of these rows gives the same bits when more rows come along (`poseterior.nn.dense`)."""
        return isinstance(self.transforms[-1], AffineCouplings) and alone_or_not(latent.flatten(0, -2))

    def mode_from(self, start: Tensor, spread: float) -> Tensor | None:
        """The place of highest density that lies uphill from a start ``(*batch, d)``, where latents have this spread.

        In standardised coordinates, whose determinant is the same everywhere. None for other couplings than affine
        ones: their slope is not known here.
        """
        couplings = self.transforms[-1]
        if len(self.transforms) != 2 or not isinstance(couplings, AffineCouplings):
            return None
        standardise = self.transforms[0]
        first = standardise(start)
        top = climbed(
            lambda x, poses: couplings.height(x, spread, poses),
            lambda x, poses: couplings.slope(x, spread, poses),
            first.reshape(-1, first.shape[-1]),
        )
        return standardise.inv(top.reshape(first.shape))
