"""Unit quaternions xyzw and rotation matrices, without gradients: as roma has them, without what roma loads.

Importing roma takes longer than lifting a hundred frames: it loads the whole of PyTorch's compiler.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["acted", "angle_between", "product", "rotation_matrices", "unit_quaternions", "zxy_angles"]

#: Rotations at a time, whose numbers stay in the processor's cache.
_ROWS = 8192
#: Cosines of the middle angle below which two angles turn about one axis, and roma chooses.
_LOCKED = 1e-3


@torch.no_grad()
def unit_quaternions(matrices: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Of rotation matrices; of the two of each rotation the one whose largest component is positive.

    Markley 2008 (J. Guidance, Control and Dynamics 31, p. 440): ``4 q_i q`` for the largest component, to unit length,
    which is one also of matrices that are not quite rotations. Components first: a third of the time.
    """
    found = [_unit_quaternions(part.mT.contiguous()) for part in matrices.reshape(-1, 9).split(_ROWS)]
    return torch.cat(found, 1).mT.reshape(*matrices.shape[:-2], 4)


def _unit_quaternions(entries: Float[Tensor, "9 n"]) -> Float[Tensor, "4 n"]:
    (a, b, c), (d, e, f), (g, h, i) = entries.unflatten(0, (3, 3))
    # q q^T times four: its diagonal, and what is beside it.
    trace = 1.0 + a + e + i
    xx, yy, zz = (2.0 * (1.0 + own) - trace for own in (a, e, i))
    xy, xz, yz, xw, yw, zw = d + b, g + c, h + f, h - f, c - g, d - b
    # The largest of four, pair by pair: finding its place takes longer than all else.
    first = torch.where(xx >= yy, torch.stack([xx, xy, xz, xw]), torch.stack([xy, yy, yz, yw]))
    second = torch.where(zz >= trace, torch.stack([xz, yz, zz, zw]), torch.stack([xw, yw, zw, trace]))
    found = torch.where(torch.maximum(xx, yy) >= torch.maximum(zz, trace), first, second)
    return found / found.square().sum(0).sqrt_()


@torch.no_grad()
def angle_between(p: Float[Tensor, "*#batch 4"], q: Float[Tensor, "*#batch 4"]) -> Float[Tensor, "*batch"]:
    """Angle in [0, pi] between the rotations of unit quaternions: ``4 asin(|p - q| / 2)`` of the nearer of q and -q.

    As exact near 0 and pi as elsewhere: the chord between the nearer two is at most the square root of two.
    """
    apart, opposite = (_square_length(part) for part in (p - q, p + q))
    return torch.minimum(apart, opposite).sqrt_().mul_(0.5).asin_().mul_(4.0)


def _square_length(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch"]:
    x, y, z, w = q.unbind(-1)  # by parts: sums of four numbers take three times as long
    return (x * x).addcmul_(y, y).addcmul_(z, z).addcmul_(w, w)


@torch.no_grad()
def rotation_matrices(quaternions: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Of unit quaternions."""
    x, y, z, w = quaternions.unbind(-1)
    xx, yy, zz, ww, xy, zw, xz, yw, yz, xw = x * x, y * y, z * z, w * w, x * y, z * w, x * z, y * w, y * z, x * w
    rows = [
        xx - yy - zz + ww, 2 * (xy - zw), 2 * (xz + yw),
        2 * (xy + zw), -xx + yy - zz + ww, 2 * (yz - xw),
        2 * (xz - yw), 2 * (yz + xw), -xx - yy + zz + ww,
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def product(p: Float[Tensor, "*batch 4"], q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """The rotation ``q``, then ``p``."""
    (a, b, c, d), (x, y, z, w) = p.unbind(-1), q.unbind(-1)
    parts = [
        d * x + a * w + b * z - c * y, d * y - a * z + b * w + c * x,
        d * z + a * y - b * x + c * w, d * w - a * x - b * y - c * z,
    ]  # fmt: skip
    return torch.stack(parts, -1)


def acted(q: Float[Tensor, "*batch 4"], vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Vectors turned by unit quaternions."""
    axis = q[..., :3]
    twice = 2.0 * torch.linalg.cross(axis, vectors)
    return vectors + q[..., 3:] * twice + torch.linalg.cross(axis, twice)


@torch.no_grad()
def zxy_angles(quaternions: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """Turns about z, then the new x, then the new y, in degrees: as ``roma.unitquat_to_euler("ZXY", ...)``."""
    matrices = rotation_matrices(quaternions)
    (_, minus_zs, _), (_, zc, _), (minus_ys, xs, yc) = (row.unbind(-1) for row in matrices.unbind(-2))
    if bool((torch.hypot(minus_ys, yc) < _LOCKED).any()):
        import roma

        found: Tensor = roma.unitquat_to_euler("ZXY", quaternions, degrees=True)
        return found
    middle = torch.atan2(xs, torch.hypot(minus_ys, yc))
    return torch.stack([torch.atan2(-minus_zs, zc), middle, torch.atan2(-minus_ys, yc)], -1) * (180.0 / math.pi)
