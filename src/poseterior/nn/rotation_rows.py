"""Draws of a `RotationFlow` without gradients, as fast as the processor goes: components first, rows last.

`poseterior.nn.so3` has the components of a quaternion or of a mixture last, which suits the reader and the gradients,
but every operation then works on rows of 3, 4 or 8 numbers. Here the rows (draws of many poses) are the last dimension:
an operation works on hundreds of neighbours at once, quaternions are multiplied by one product of matrices, and what
cancels when a quaternion is brought to unit length is not computed. Both ways agree up to rounding.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import so3

__all__ = [
    "CircleMixture",
    "QuaternionProducts",
    "columns_from_base",
    "drawn_rotations",
    "pairs",
    "quaternion_products",
    "solved_angles",
]

#: Steps that all rows take together; rows that need more go on by themselves.
_TOGETHER = 4


def _length(x: Float[Tensor, "n *rows"]) -> Float[Tensor, "*rows"]:
    """Lengths of vectors. (`torch.linalg.vector_norm` takes a hundred times as long over the first dimension.)"""
    return x.square().sum(0).sqrt_()


# -- quaternions -------------------------------------------------------------------------------------------


class QuaternionProducts(NamedTuple):
    """What is linear in the 16 products of the components of quaternions p and q, xyzw; ``(outputs, 16)``.

    Attributes:
        left: ``p q``.
        right: ``q p``.
        back_left: ``conj(p) q``.
        back_right: ``q conj(p)``.
        columns: where both are one unit quaternion, by the axis that stays, the columns of its rotation matrix:
            the one that stays, the one that turns, and minus the third; ``(9, 16)`` each.
        about: by axis, ``(4, 4)``: ``q`` after a half turn about its own column.
        matrix: ``(9, 16)`` where both are one unit quaternion, its rotation matrix, row after row.
    """

    left: Tensor
    right: Tensor
    back_left: Tensor
    back_right: Tensor
    columns: tuple[Tensor, ...]
    about: tuple[Tensor, ...]
    matrix: Tensor


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # what is made in that mode can never be differentiated
def quaternion_products(dtype: torch.dtype, device: torch.device) -> QuaternionProducts:
    tables = so3.quaternion_tables(dtype, device)
    left = tables.product.mT.unflatten(-1, (4, 4))  # (output, p, q)
    right = left.mT
    conjugate = left.new_tensor([-1.0, -1.0, -1.0, 1.0]).unsqueeze(-1)
    matrix = tables.matrix.mT.unflatten(0, (3, 3))  # (row, column, pair)
    columns = (torch.cat([matrix[:, axis], matrix[:, (axis - 1) % 3], -matrix[:, (axis + 1) % 3]]) for axis in range(3))
    each = [part.flatten(1).contiguous() for part in (left, right, left * conjugate, right * conjugate)]
    return QuaternionProducts(
        each[0],
        each[1],
        each[2],
        each[3],
        tuple(part.contiguous() for part in columns),
        tuple(part.mT.contiguous() for part in tables.about),
        matrix.flatten(0, 1).contiguous(),
    )


def pairs(p: Float[Tensor, "4 rows"], q: Float[Tensor, "4 rows"]) -> Float[Tensor, "16 rows"]:
    return (p.unsqueeze(1) * q).flatten(0, 1)


# -- the circle --------------------------------------------------------------------------------------------


class CircleMixture(NamedTuple):
    """A mixture of Möbius maps of the circle, one for each row.

    Attributes:
        weights: ``(k, rows)`` positive.
        total: ``(rows)`` their sum.
        centres: ``(2, k, rows)`` along the turning column, and across it.
        inner: ``(k, rows)`` the weights times one minus the squared lengths of the centres.
        middle: ``(2, rows)`` the sum of the centres, weighted.
    """

    weights: Tensor
    total: Tensor
    centres: Tensor
    inner: Tensor
    middle: Tensor

    @classmethod
    def of(cls, weights: Float[Tensor, "k rows"], centres: Float[Tensor, "2 k rows"]) -> CircleMixture:
        """With what belongs to them."""
        weighted = weights * centres
        middle = weighted.sum(1)
        return cls(weights, weights.sum(0), centres, weights - weighted.mul_(centres).sum(0), middle)

    def seen_from(self, t: Float[Tensor, " rows"]) -> tuple[Float[Tensor, "k rows"], Float[Tensor, "k rows"]]:
        """One minus the centres as they look from angle t: the parts of complex numbers."""
        u, v = self.centres
        cosine, sine = t.cos(), t.sin()
        real = torch.addcmul(u.new_ones(()), u, cosine, value=-1.0).addcmul_(v, sine, value=-1.0)
        return real, (u * sine).addcmul_(v, cosine, value=-1.0)

    def slope(self, t: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Derivative of the map at angle t."""
        real, imaginary = self.seen_from(t)
        return self.inner.div(real.square_().addcmul_(imaginary, imaginary)).sum(0).div_(self.total)


def _mixture_said(
    said: Float[Tensor, "outputs rows"], frame: Float[Tensor, "2 3 rows"], segments: int
) -> CircleMixture:
    """The mixture of a conditioner's outputs, its centres in the frame of two columns, as in `so3.mobius`."""
    places = said[segments:].unflatten(0, (segments, 3))
    centres = frame[:, None, 0] * places[:, 0]
    centres.addcmul_(frame[:, None, 1], places[:, 1]).addcmul_(frame[:, None, 2], places[:, 2])
    centres /= _length(centres).add_(1.0).mul_(1.0 / so3.MAXIMUM_CENTRE)
    return CircleMixture.of(nn.functional.softplus(said[:segments]), centres)


def solved_angles(mixture: CircleMixture) -> Float[Tensor, " rows"]:
    """The angles that the mixtures take to 0: those of their mean centres, then Householder's method of third order.

    The map is ``f(t) = t + 2 arg w`` in the mean over the components, w one minus a centre as it looks from t. Its
    derivatives are those of ``P = (1 - |centre|^2) / |w|^2``, as ``re' = im``, ``im' = 1 - re`` and
    ``(|w|^2)' = 2 im``. Each step's error is the fourth power of the one before, which Newton's step tells. Rows that
    have not arrived after a few steps are solved by `so3.solve_angle`, inside a bracket.
    """
    weights, total, centres, inner, middle = mixture
    twice = 2.0 / total
    # Of one component alone this is the answer.
    t = torch.atan2(middle[1], middle[0] + total).mul_(2.0)
    close = torch.finfo(t.dtype).eps ** 0.25  # the next error is lost in rounding
    newton = t
    for step in range(_TOGETHER):
        real, imaginary = mixture.seen_from(t)
        value = torch.addcmul(t, torch.atan2(imaginary, real).mul_(weights).sum(0), twice)
        squared = (real * real).addcmul_(imaginary, imaginary)
        part = inner / squared
        tilt = imaginary.div_(squared)
        bent = part * tilt
        slope = part.sum(0)  # this and what follows: times the total
        third = real.sub_(1.0).div_(squared).mul_(part).addcmul_(bent, tilt, value=4.0).sum(0).div_(slope)
        second = bent.sum(0).div_(slope)  # minus half the second derivative, over the first
        newton = value.mul_(total).div_(slope)
        ahead = second.mul_(newton)
        below = third.mul_(newton).mul_(newton).div_(3.0).add_(ahead, alpha=2.0).add_(1.0)
        t = t - ahead.add_(1.0).mul_(newton).div_(below)
        # Reading the step back costs as much as an operation, and the first is hardly ever small enough.
        if step and bool(newton.abs().amax() <= close):
            return t
    rest = (~(newton.abs() <= close)).nonzero().squeeze(-1)
    u, v = centres[..., rest]
    t[rest] = so3.solve_angle((weights[:, rest] / total[rest]).mT, u.mT, v.mT)
    return t


# -- the flow of one joint ---------------------------------------------------------------------------------


def drawn_rotations(
    flow: so3.RotationFlow,
    base: Float[Tensor, "rows 4"],
    features: Float[Tensor, "rows context"],
    joint: int,
    density: bool = True,
) -> tuple[Float[Tensor, "rows 4"], Float[Tensor, " rows"]]:
    """Rotations of one joint from uniform ones, as `RotationFlow.from_base`; without gradients.

    Args:
        flow: of all joints.
        base: unit quaternions.
        features: of that joint, which all its parameters are linear in.
        joint: its number.
        density: whether the log-density of the result is asked for; else it is NaN.
    """
    if not len(base):
        return base, base[:, 0]
    said = torch.addmm(flow.offset[joint].unsqueeze(-1), flow.project[joint].mT, features.mT)
    q, total = columns_from_base(flow, base.mT.contiguous(), said, joint, density)
    return q.mT.contiguous(), base.new_full((len(base),), torch.nan) if total is None else total


def columns_from_base(
    flow: so3.RotationFlow,
    q: Float[Tensor, "4 rows"],
    said: Float[Tensor, "parameters rows"],
    joint: int,
    density: bool = True,
) -> tuple[Float[Tensor, "4 rows"], Float[Tensor, " rows"] | None]:
    """The same of what `RotationFlow.project` makes of the features, which is used up; no density: None."""
    products, layers = quaternion_products(q.dtype, q.device), flow.layers
    turns, hidden = said.split(flow.sizes, 0)
    turns, hidden = turns.unflatten(0, (layers + 1, 20)), hidden.unflatten(0, (layers, flow.hidden))
    turns[:, 3:16:4] += 1.0  # see `so3.affine_parameters`
    stretch = turns[:, 16:].tanh().mul_(-so3.MAXIMUM_STRETCH)
    total: Tensor | None = None
    if density:  # the lengths of the quaternions and the mean of the stretches change nothing else
        total = torch.zeros_like(q[0])
        stretch -= stretch.mean(1, keepdim=True)
        quaternions = turns[:, :16].unflatten(1, (4, 4))
        quaternions /= quaternions.square().sum(2, keepdim=True).sqrt_().clamp_(min=1e-12)
    shrink = stretch.exp_()
    for layer in range(layers, -1, -1):
        if layer < layers:
            columns = products.columns[layer % 3] @ pairs(q, q)
            within = torch.addmm(hidden[layer], flow.enter[layer, joint].mT, columns[:3])
            within = nn.functional.silu(within, inplace=True)
            mixed = torch.addmm(flow.bias[layer, joint].unsqueeze(-1), flow.leave[layer, joint].mT, within)
            mixture = _mixture_said(mixed, columns[3:].unflatten(0, (2, 3)), flow.segments)
            angle = solved_angles(mixture)
            if total is not None:
                total += mixture.slope(angle).log_()
            angle.mul_(0.5)
            q = (q * angle.cos()).addcmul_(products.about[layer % 3] @ q, angle.sin())
        # W^-1 = V exp(-s) U^T, see `so3.affine_matrix`: of quaternions that need no unit length.
        a, b, c, d = turns[layer, :16].unflatten(0, (4, 4))
        q = products.back_right @ pairs(b, products.back_left @ pairs(a, q))
        q.mul_(shrink[layer])
        q = products.right @ pairs(d, products.left @ pairs(c, q))
        length = _length(q)
        q /= length
        if total is not None:
            total += length.log_().mul_(4.0)
    return q, total
