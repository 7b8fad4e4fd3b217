"""The rotations nearest to matrices: in closed form without gradients, by roma with them."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["columns_product", "nearest_columns", "nearest_rotation", "procrustes"]

#: Newton steps to the largest root of `procrustes`: from far away, or to two roots nearly at one place, each halves the
#: distance at least.
_ROOT_STEPS = 24
#: Share by which the first guess of the root may be too small.
_UPWARDS = 3e-4
#: Of these, those that are always needed, and lead down from where they start.
_SURE_STEPS = 1
#: Relative steps below which rounding alone is left, and below which the next one is lost in single precision.
_SETTLED, _SETTLED_SINGLE = 2e-16, 1e-9
#: Below this (relative) two rotations are nearly as near, and the steps do not suffice.
_FIXED = 1e-5


def nearest_rotation(raw: Float[Tensor, "*any 9"]) -> Float[Tensor, "*any 3 3"]:
    """The rotation nearest to the identity plus nine numbers: any rotation, reached without a seam."""
    eye = torch.eye(3, dtype=raw.dtype, device=raw.device)
    return procrustes(raw.unflatten(-1, (3, 3)) + eye)


def procrustes(matrix: Float[Tensor, "*any 3 3"]) -> Float[Tensor, "*any 3 3"]:
    """The rotation nearest to a matrix: roma's, whose gradients are finite; without gradients `nearest_columns`."""
    if torch.is_grad_enabled() and matrix.requires_grad:
        import roma  # which loads the whole of PyTorch's compiler

        found: Tensor = roma.special_procrustes(matrix)
        return found
    columns = matrix.reshape(-1, 9).mT.contiguous().unflatten(0, (3, 3))
    return nearest_columns(columns).flatten(0, 1).mT.reshape(matrix.shape)


def nearest_columns(matrix: Float[Tensor, "3 3 n"]) -> Float[Tensor, "3 3 n"]:
    """The rotations nearest to matrices whose components come first; in closed form, without gradients.

    The Fast Optimal Attitude Matrix (Markley 1993, J. Astronautical Sciences 41, eq. 17 to 21): the largest root l of
    ``(l^2 - |M|^2)^2 - 8 l det M - 4 |cof M|^2`` by Newton's method from above, then the rotation as a polynomial of M;
    in double precision, so that points on nearly one line are no harder than others. It takes a tenth of the time of
    as many singular value decompositions, which remain for matrices that fix no rotation.
    """
    whole = matrix.double()
    # Each cofactor is a product of two entries less another: of a matrix that goes round, which four views show.
    round_ = torch.cat([whole, whole[:2]])
    round_ = torch.cat([round_, round_[:, :2]], 1)
    near, far = round_[1:4], round_[2:]
    cofactors = (near[:, 1:4] * far[:, 2:]).addcmul_(near[:, 2:], far[:, 1:4], value=-1.0)
    square, minors = (part.square().flatten(0, 1).sum(0) for part in (whole, cofactors))
    determinant = (whole[0] * cofactors[0]).sum(0)
    root = _settled_root(
        _largest_root(square, minors, determinant), square, minors, determinant,
        _SETTLED if matrix.dtype is torch.float64 else _SETTLED_SINGLE,
    )  # fmt: skip
    kappa = (root * root).sub_(square).mul_(0.5)
    scale = (kappa * root).sub_(determinant)
    fixed = scale > square.pow(1.5).mul_(_FIXED)
    cubed = columns_product(columns_product(whole, whole.transpose(0, 1)), whole)
    found = cubed.neg_().addcmul_(whole, kappa.add_(square)).addcmul_(cofactors, root).div_(scale).to(matrix.dtype)
    if bool(fixed.all()):
        return found
    loose = (~fixed).nonzero().squeeze(-1)
    found[..., loose] = _by_decomposition(whole[..., loose].movedim(-1, 0)).movedim(0, -1).to(matrix.dtype)
    return found


def columns_product(
    a: Float[Tensor, "3 3 #n"], b: Float[Tensor, "3 k #n"], out: Float[Tensor, "3 k n"] | None = None
) -> Float[Tensor, "3 k n"]:
    """Products of matrices whose components come first."""
    (x, y, z), (p, q, r) = a.unsqueeze(2).unbind(1), b.unbind(0)
    return torch.mul(x, p, out=out).addcmul_(y, q).addcmul_(z, r)


def _settled_root(
    root: Float[Tensor, " n"], square: Tensor, minors: Tensor, determinant: Tensor, settled: float
) -> Float[Tensor, " n"]:
    """The root of the quartic below a first guess that is too large, to a relative step."""
    eight, four = determinant * 8.0, minors * 4.0
    on = None
    for step in range(_ROOT_STEPS):
        gap = (root * root).sub_(square)
        value = (gap * gap).addcmul_(root, eight, value=-1.0).sub_(four)
        slope = gap.mul_(root).mul_(4.0).sub_(eight)
        down = value.div_(slope)
        if step < _SURE_STEPS:
            root = root - down
            continue
        # From above every step leads down, until rounding leads up: there it stays, whatever others still need.
        leads = (slope > 0).logical_and_(down > 0)
        down = torch.where(leads if on is None else leads.logical_and_(on), down, 0.0)
        # Half the second derivative is less than 6 root^2: that bounds the next step.
        ahead = (down * down).mul_(root).mul_(6.0)
        root = root - down
        on = ahead > slope.clamp_(min=0.0).mul_(settled)
        if not bool(on.any()):
            break
    return root


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
