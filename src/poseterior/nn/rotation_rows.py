"""Draws of a `RotationFlow` without gradients, as fast as the processor goes: components first, rows last.

`poseterior.nn.so3` has the components of a quaternion or of a mixture last, which suits the reader and the gradients,
but every operation then works on rows of 3, 4 or 8 numbers. Here the rows (draws of many poses) are the last dimension:
an operation works on hundreds of neighbours at once, quaternions are multiplied by one product of matrices, and what
cancels when a quaternion is brought to unit length is not computed. Both ways agree up to rounding.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import so3
from .dense import times_columns

__all__ = [
    "CircleMixture",
    "FlowColumns",
    "QuaternionProducts",
    "columns_from_base",
    "drawn_rotations",
    "pairs",
    "quaternion_products",
    "solved_angles",
]

#: Steps after the first that all rows take together; rows that need more go on by themselves.
_TOGETHER = 3
#: Last steps may be as long as this times the fourth root of the precision: their errors are less than their powers.
_NEAR = 1.6


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
    return (p.unsqueeze(1) * q).view(16, -1)


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
        (u, v), (weighted_u, weighted_v) = centres, weighted
        # By parts: sums over the first of three dimensions take three times as long.
        inner = torch.addcmul(weights, weighted_u, u, value=-1.0).addcmul_(weighted_v, v, value=-1.0)
        return cls(weights, weights.sum(0), centres, inner, weighted.sum(1))

    def turned(self, t: Float[Tensor, " rows"]) -> tuple[Float[Tensor, "k rows"], Float[Tensor, "k rows"]]:
        """The centres as they look from angle t, the second part negative: of complex numbers."""
        u, v = self.centres
        cosine, sine = t.cos(), t.sin()
        return (u * cosine).addcmul_(v, sine), (u * sine).addcmul_(v, cosine, value=-1.0)

    def slope(self, t: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Derivative of the map at angle t."""
        along, imaginary = self.turned(t)
        real = along.neg_().add_(1.0)
        return self.inner.div(real.square_().addcmul_(imaginary, imaginary)).sum(0).div_(self.total)


def _mixture_said(
    said: Float[Tensor, "outputs rows"], frame: Float[Tensor, "2 3 rows"], segments: int
) -> CircleMixture:
    """The mixture of a conditioner's outputs, its centres in the frame of two columns, as in `so3.mobius`."""
    places = said[segments:].unflatten(0, (segments, 3))
    x, y, z = places.unbind(1)
    along, across, up = frame.unsqueeze(1).unbind(2)
    centres = (along * x).addcmul_(across, y).addcmul_(up, z)
    u, v = centres
    length = (u * u).addcmul_(v, v).sqrt_()
    centres /= length.add_(1.0).mul_(1.0 / so3.MAXIMUM_CENTRE)
    return CircleMixture.of(nn.functional.softplus(said[:segments]), centres)


def solved_angles(mixture: CircleMixture) -> Float[Tensor, " rows"]:
    """The angles that the mixtures take to 0: those of their mean centres, then Halley's and Householder's steps.

    The map is ``f(t) = t + 2 arg w`` in the mean over the components, w one minus a centre as it looks from t. Its
    derivatives are those of ``P = (1 - |centre|^2) / |w|^2``, as ``re' = im``, ``im' = 1 - re`` and
    ``(|w|^2)' = 2 im``. The first step's error is the third power of the one before, and that of the others the fourth,
    which Newton's step tells. Rows that have not arrived after a few steps are solved by `so3.solve_angle`, inside a
    bracket.
    """
    weights, total, centres, inner, middle = mixture
    # Of one component alone this is the answer.
    t = torch.atan2(middle[1], middle[0] + total).mul_(2.0)
    close = _NEAR * torch.finfo(t.dtype).eps ** 0.25  # the next error is lost in rounding
    newton, one = t, t.new_ones(())
    for step in range(1 + _TOGETHER):
        along, imaginary = mixture.turned(t)
        real = one - along
        squared = (real * real).addcmul_(imaginary, imaginary)
        value = torch.atan2(imaginary, real).mul_(weights).sum(0)
        part = inner / squared
        tilt = imaginary.div_(squared)
        bent = part * tilt
        # What follows is times the total: the slope, and minus half the second derivative.
        slope, second = part.sum(0), bent.sum(0)
        newton = (t * total).add_(value, alpha=2.0).div_(slope)
        ahead = second.mul_(newton)
        below = slope + ahead
        if not step:
            t = t - newton.mul_(slope).div_(below)
            continue
        third = along.div_(squared).mul_(part).neg_().addcmul_(bent, tilt, value=4.0).sum(0)
        over = below * newton
        t = t - over.div_(below.add_(ahead).addcmul_(third.mul_(newton), newton, value=1.0 / 3.0))
        # Reading the step back costs as much as an operation.
        if bool(newton.abs().amax() <= close):
            return t
    rest = (~(newton.abs() <= close)).nonzero().squeeze(-1)
    u, v = centres[..., rest]
    t[rest] = so3.solve_angle((weights[:, rest] / total[rest]).mT, u.mT, v.mT)
    return t


# -- the flow of one joint ---------------------------------------------------------------------------------


class FlowColumns(NamedTuple):
    """The layers of joints' flows, as matrices whose last column is the bias.

    Attributes:
        said: ``(joints, parameters, features + 1)`` see `RotationFlow.parameters_of`; one is added to the real parts
            of the quaternions already.
        enter: ``(joints, layers, hidden, 3)`` of the Möbius conditioners, without a bias.
        leave: ``(joints, layers, outputs, hidden + 1)``.
    """

    said: Tensor
    enter: Tensor
    leave: Tensor

    @classmethod
    def of(cls, flow: so3.RotationFlow, joints: slice = slice(None)) -> FlowColumns:
        """Of some of the joints of a flow."""
        offset = flow.offset[joints].detach().clone()
        for layer in range(flow.layers + 1):
            offset[:, 20 * layer + 3 : 20 * layer + 16 : 4] += 1.0  # see `so3.affine_parameters`
        said = torch.cat([flow.project[joints], offset.unsqueeze(1)], 1)
        leave = torch.cat([flow.leave[:, joints], flow.bias[:, joints].unsqueeze(2)], 2)
        enter = flow.enter[:, joints]
        return cls(*(part.mT.contiguous() for part in (said, enter.transpose(0, 1), leave.transpose(0, 1))))


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
    columns = FlowColumns.of(flow, slice(joint, joint + 1))
    seen = torch.cat([features.mT, features.new_ones(1, len(features))])
    said = times_columns(columns.said[0], seen)
    q, total = columns_from_base(columns, base.mT.contiguous(), said, 0, density)
    return q.mT.contiguous(), base.new_full((len(base),), torch.nan) if total is None else total


def columns_from_base(
    flow: FlowColumns,
    q: Float[Tensor, "4 rows"],
    said: Float[Tensor, "parameters rows"],
    joint: int,
    density: bool = True,
) -> tuple[Float[Tensor, "4 rows"], Float[Tensor, " rows"] | None]:
    """The same of what `FlowColumns.said` makes of the features, which is used up; no density: None."""
    products = quaternion_products(q.dtype, q.device)
    _, layers, outputs, hidden = flow.leave.shape
    affine, told = said.split([20 * (layers + 1), (hidden - 1) * layers], 0)
    turns = affine.unflatten(0, (layers + 1, 20))
    stretches = turns[:, 16:]
    total: Tensor | None = None
    if density:
        total = torch.zeros_like(q[0])
        stretch = stretches.tanh().mul_(-so3.MAXIMUM_STRETCH)
        stretch -= stretch.mean(1, keepdim=True)
        quaternions = turns[:, :16].unflatten(1, (4, 4))
        quaternions /= quaternions.square().sum(2, keepdim=True).sqrt_().clamp_(min=1e-12)
        shrink = stretch.exp_()
    else:
        # The lengths of the quaternions and a common factor of the stretches change nothing: exp(-b tanh x) but for a
        # factor, by functions that take a fifth of the time.
        shrink = (stretches * 2.0).sigmoid_().mul_(-2.0 * so3.MAXIMUM_STRETCH / math.log(2.0)).exp2_()
    within = q.new_empty(hidden, q.shape[1])
    within[-1] = 1.0
    inside = within[:-1]
    each = turns[:, :16].unflatten(1, (4, 4)).unbind(0)
    for layer in range(layers, -1, -1):
        if layer < layers:
            columns = products.columns[layer % 3] @ pairs(q, q)
            own = told[(hidden - 1) * layer : (hidden - 1) * (layer + 1)]
            torch.addmm(own, flow.enter[joint, layer], columns[:3], out=inside)
            nn.functional.silu(inside, inplace=True)
            mixed = times_columns(flow.leave[joint, layer], within)
            mixture = _mixture_said(mixed, columns[3:].unflatten(0, (2, 3)), outputs // 4)
            angle = solved_angles(mixture)
            if total is not None:
                total += mixture.slope(angle).log_()
            angle.mul_(0.5)
            q = (q * angle.cos()).addcmul_(products.about[layer % 3] @ q, angle.sin())
        # W^-1 = V exp(-s) U^T, see `so3.affine_matrix`: of quaternions that need no unit length.
        a, b, c, d = each[layer].unbind(0)
        q = products.back_right @ pairs(b, products.back_left @ pairs(a, q))
        q.mul_(shrink[layer])
        q = products.right @ pairs(d, products.left @ pairs(c, q))
        length = _length(q)
        q /= length
        if total is not None:
            total += length.log_().mul_(4.0)
    return q, total
