"""Exact, invertible maps of rotations: Möbius coupling and bounded quaternion affine.

After Liu et al. 2023 and Dünkel et al. 2024.

All densities are with respect to **normalised Haar measure** (the uniform distribution has density 1, log-density
0). "Forward" is from data to the uniform base, and its log-determinant *is* the log-density it adds. Inside,
rotations are unit quaternions xyzw (``q`` and ``-q`` are the same rotation and give the same result). No
log-determinant is ever clamped: a clamped one is no density.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..noise import Noise, as_noise
from ..registry import lazy_module
from .dense import times

#: Imported when it is first used: it loads the whole of PyTorch's compiler.
roma = lazy_module("roma")

__all__ = [
    "MAXIMUM_CENTRE",
    "FlowParameters",
    "RotationFlow",
    "affine_matrix",
    "affine_parameters",
    "haar_quaternions",
    "mobius",
    "mobius_inverse",
    "quaternion_affine",
    "quaternion_affine_inverse",
    "quaternion_product",
    "rotation_matrix",
]

#: Bound on the length of a Möbius centre: a component turns no point by more than 2 asin 0.7 < pi / 2, so that the
#: inverse lies within a quarter turn.
MAXIMUM_CENTRE = 0.7
#: Bound on the logarithms of the affine map's stretches, before they are centred.
MAXIMUM_STRETCH = 2.0

_STEPS = 40  # of the safeguarded Newton iteration; it takes 2 to 15

# Hamilton product p q = M(p) q, components xyzw: M(p)[i, j] = SIGN[i, j] p[INDEX[i, j]].
_INDEX = ((3, 2, 1, 0), (2, 3, 0, 1), (1, 0, 3, 2), (0, 1, 2, 3))
_SIGN = ((1.0, -1.0, 1.0, 1.0), (1.0, 1.0, -1.0, 1.0), (-1.0, 1.0, 1.0, 1.0), (-1.0, -1.0, -1.0, 1.0))


def quaternion_product(p: Float[Tensor, "*batch 4"], q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """The rotation ``q``, then ``p`` (broadcasting)."""
    return _pairs(p, q) @ quaternion_tables(p.dtype, p.device).product


def rotation_matrix(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Of unit quaternions, as ``roma.unitquat_to_rotmat`` up to rounding; a third of its operations."""
    return (_pairs(q, q) @ quaternion_tables(q.dtype, q.device).matrix).unflatten(-1, (3, 3))


class QuaternionTables(NamedTuple):
    """What is linear in the 16 products of the components of two quaternions p and q.

    Attributes:
        product: ``(16, 4)`` p q.
        matrix: ``(16, 9)`` where both are one unit quaternion, its rotation matrix.
        between: ``(16, 16)`` the 4x4 matrix of ``x -> p x q``.
        about: ``(3, 4, 4)`` the transposed matrices of ``q -> q i``, and so on: half turns about one of q's columns.
    """

    product: Tensor
    matrix: Tensor
    between: Tensor
    about: Tensor


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is made in that mode can never be differentiated
def quaternion_tables(dtype: torch.dtype, device: torch.device) -> QuaternionTables:
    eye, sign = torch.eye(4, dtype=dtype), torch.tensor(_SIGN, dtype=dtype)
    left = eye[:, _INDEX] * sign  # left[i] = M(e_i)
    # right[j] is the matrix of x -> x e_j
    right = torch.stack([torch.stack([left[i] @ eye[j] for i in range(4)], -1) for j in range(4)])
    between = left.unsqueeze(1) @ right.unsqueeze(0)  # (p, q, 4, 4)
    conjugate = torch.tensor([-1.0, -1.0, -1.0, 1.0], dtype=dtype)
    matrix = between[..., :3, :3] * conjugate[:, None, None]
    tables = (left.movedim(-1, 1).reshape(16, 4), matrix.reshape(16, 9), between.reshape(16, 16), right[:3].mT)
    return QuaternionTables(*(table.contiguous().to(device) for table in tables))


def _pairs(p: Tensor, q: Tensor) -> Float[Tensor, "*batch 16"]:
    return (p.unsqueeze(-1) * q.unsqueeze(-2)).flatten(-2)


def haar_quaternions(
    shape: tuple[int, ...] | torch.Size,
    noise: Noise | torch.Generator | None = None,
    like: Tensor | None = None,
    event: int = 1,
) -> Float[Tensor, "*shape 4"]:
    """Uniformly distributed rotations as unit quaternions; ``event``: dimensions of the result after the batch's."""
    like = torch.zeros(()) if like is None else like
    q = as_noise(noise).normal((*shape, 4), event, like)
    return q / q.norm(dim=-1, keepdim=True)


# -- Möbius coupling ---------------------------------------------------------------------------------------


def _weights(logits: Tensor) -> Tensor:
    positive = nn.functional.softplus(logits)
    return positive / positive.sum(-1, keepdim=True)


def _centres_in_frame(q: Tensor, centres: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The centres' components u along the turning column and v along (axis column x turning column)."""
    columns = rotation_matrix(q).unsqueeze(-3).unbind(-1)
    x, y, z = centres.unbind(-1)

    def along(column: Tensor) -> Tensor:
        a, b, c = column.unbind(-1)
        return x * a + y * b + z * c

    u, v = along(columns[(axis - 1) % 3]), -along(columns[(axis + 1) % 3])
    # Only the part across the axis acts; it is shrunk into the disc.
    shrink = MAXIMUM_CENTRE / (1.0 + (u.square() + v.square() + 1e-30).sqrt())
    return u * shrink, v * shrink


def _displacement(weights: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Angle by which the mixture turns the column, |.| < 2 asin 0.7."""
    return (weights * (-2.0 * torch.atan2(v, 1.0 - u))).sum(-1)


def _slope(weights: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Derivative of (angle + displacement) by the angle; positive."""
    squared = u.square() + v.square()
    return (weights * (1.0 - squared) / (1.0 - 2.0 * u + squared)).sum(-1)


def _turned_about(q: Tensor, angle: Tensor, axis: int) -> Tensor:
    """``q`` after a turn by ``angle`` about its own column ``axis``."""
    half = (0.5 * angle).unsqueeze(-1)
    return q * half.cos() + (q @ quaternion_tables(q.dtype, q.device).about[axis]) * half.sin()


def mobius(
    q: Float[Tensor, "*batch 4"], logits: Float[Tensor, "*batch k"], centres: Float[Tensor, "*batch k 3"], axis: int
) -> tuple[Float[Tensor, "*batch 4"], Float[Tensor, "*batch"]]:
    """A mixture of Möbius maps of the circle of rotations that share column ``axis``.

    Closed form of Liu et al. 2023 / Dünkel et al. 2024: column ``axis - 1`` turns about column ``axis`` by
    ``sum_k a_k (-2 atan2(v_k, 1 - u_k))``.

    Args:
        q: unit quaternions xyzw.
        logits: weights are softplus(logits), normalised.
        centres: functions of column ``axis`` alone (else the determinant is another); any length.
        axis: 0, 1 or 2, the column that stays.

    Returns:
        The turned quaternions and the log-determinant with respect to Haar measure.
    """
    weights = _weights(logits)
    u, v = _centres_in_frame(q, centres, axis)
    return _turned_about(q, _displacement(weights, u, v), axis), _slope(weights, u, v).log()


def solve_angle(weights: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The angle t with t + displacement(at angle t) = 0, by Newton's method kept inside a shrinking bracket.

    A component's centre, seen from angle t, is the complex number ``(u + iv) exp(-it)``; its displacement is
    ``2 arg(1 - centre)`` and its slope ``(1 - |centre|^2) / |1 - centre|^2``.
    """
    low = torch.full_like(u[..., 0], -0.5 * math.pi)
    high = -low
    t = torch.zeros_like(low)
    twice, inner = 2.0 * weights, weights * (1.0 - u.square() - v.square())
    real, imaginary = 1.0 - u, -v
    # Below this the next step's error, some 30 times the square, is lost in rounding.
    close = 0.3 * math.sqrt(torch.finfo(u.dtype).eps)
    for step in range(_STEPS):
        # By parts: torch's functions of complex numbers take one at a time.
        value = torch.atan2(imaginary, real).mul_(twice).sum(-1).add_(t)
        squared = real.square().addcmul_(imaginary, imaginary)
        newton = t - value / (inner / squared).sum(-1)
        # Reading the residual back costs as much as a step: not before the second.
        if step >= 1 and (not t.numel() or bool(value.abs().amax() <= close)):
            return newton
        below = value <= 0
        low, high = torch.where(below, t, low), torch.where(below, high, t)
        # Outside the bracket: its middle.
        t = torch.where((newton - low) * (high - newton) >= 0, newton, torch.lerp(low, high, 0.5))
        cosine, sine = t.cos().unsqueeze(-1), t.sin().unsqueeze(-1)
        real = (u * cosine).addcmul_(v, sine).neg_().add_(1.0)
        imaginary = (u * sine).sub_(v * cosine)
    return t


def mobius_inverse(
    q: Float[Tensor, "*batch 4"], logits: Float[Tensor, "*batch k"], centres: Float[Tensor, "*batch k 3"], axis: int
) -> tuple[Float[Tensor, "*batch 4"], Float[Tensor, "*batch"]]:
    """Inverse of `mobius`, and the log-determinant of the *forward* map there.

    The angle is the root of a monotone function; its gradient follows from the implicit function theorem: two
    Newton steps from the root give exact first and second derivatives.
    """
    weights = _weights(logits)
    u, v = _centres_in_frame(q, centres, axis)
    with torch.no_grad():
        t = solve_angle(weights.detach(), u.detach(), v.detach())
    differentiate = torch.is_grad_enabled() and (weights.requires_grad or u.requires_grad or v.requires_grad)
    for _ in range(2 if differentiate else 0):
        sine, cosine = t.sin().unsqueeze(-1), t.cos().unsqueeze(-1)
        ut, vt = u * cosine + v * sine, v * cosine - u * sine
        t = t - (t + _displacement(weights, ut, vt)) / _slope(weights, ut, vt)
    sine, cosine = t.sin().unsqueeze(-1), t.cos().unsqueeze(-1)
    slope = _slope(weights, u * cosine + v * sine, v * cosine - u * sine)
    return _turned_about(q, t, axis), slope.log()


# -- quaternion affine -------------------------------------------------------------------------------------


def affine_parameters(
    raw: Float[Tensor, "*batch 20"], bound: float = MAXIMUM_STRETCH
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Unconstrained numbers to two 4D rotations (each a pair of unit quaternions) and four log-stretches of sum 0.

    Zeros give the identity map.
    """
    quaternions = raw[..., :16].unflatten(-1, (4, 4))
    quaternions = quaternions + quaternions.new_tensor([0.0, 0.0, 0.0, 1.0])
    quaternions = quaternions / quaternions.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    stretch = bound * raw[..., 16:].tanh()
    stretch = stretch - stretch.mean(-1, keepdim=True)
    a, b, c, d = quaternions.unbind(-2)
    return a, b, c, d, stretch


def affine_matrix(parameters: tuple[Tensor, ...], inverse: bool = False) -> Float[Tensor, "*batch 4 4"]:
    """``W = U diag(exp s) V^T`` with U x = a x b and V x = c x d, or its inverse; of determinant 1 (s sums to 0)."""
    a, b, c, d, stretch = parameters
    table = quaternion_tables(a.dtype, a.device).between
    left, right = ((_pairs(p, q) @ table).unflatten(-1, (4, 4)) for p, q in ((a, b), (c, d)))
    if inverse:
        return (right * (-stretch).exp().unsqueeze(-2)) @ left.transpose(-1, -2)
    return (left * stretch.exp().unsqueeze(-2)) @ right.transpose(-1, -2)


def _apply(q: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """``W q`` at unit length, and the logarithm of its length."""
    moved = (matrix * q.unsqueeze(-2)).sum(-1)
    length = moved.norm(dim=-1, keepdim=True)
    return moved / length, length.squeeze(-1).log()


def quaternion_affine(
    q: Float[Tensor, "*batch 4"], parameters: tuple[Tensor, ...]
) -> tuple[Float[Tensor, "*batch 4"], Float[Tensor, "*batch"]]:
    """``W q / |W q|`` with ``W = U diag(exp s) V^T`` of determinant 1 (`affine_parameters`).

    The log-determinant with respect to Haar measure is ``-4 log |W q|``; it is bounded by 4 max |s|. The uniform
    distribution becomes an angular central Gaussian.
    """
    moved, log_length = _apply(q, affine_matrix(parameters))
    return moved, -4.0 * log_length


def quaternion_affine_inverse(
    q: Float[Tensor, "*batch 4"], parameters: tuple[Tensor, ...]
) -> tuple[Float[Tensor, "*batch 4"], Float[Tensor, "*batch"]]:
    """Inverse of `quaternion_affine` (exact), and the log-determinant of the *forward* map there."""
    back, log_length = _apply(q, affine_matrix(parameters, inverse=True))
    return back, 4.0 * log_length


# -- a flow of several joints -------------------------------------------------------------------------------


class FlowParameters(NamedTuple):
    """What the maps of a `RotationFlow` need of a context.

    Attributes:
        affine: of the layers' affine maps, see `affine_parameters`: ``(..., layers + 1, 4)`` each.
        hidden: of each layer's Möbius conditioner, what the context puts into its hidden units ``(..., hidden)``.
    """

    affine: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]


class RotationFlow(nn.Module):
    """One small conditional flow per joint, evaluated for all joints at once or for one.

    Alternates quaternion affine and Möbius coupling (data to base: affine, Möbius, affine ... affine). What depends
    on the context is linear in it; the map starts next to the identity.

    Args:
        joints: number of joints.
        context: features per joint.
        layers: Möbius couplings; there is one affine more.
        segments: components of each Möbius mixture.
        hidden: width of the Möbius conditioners.
    """

    def __init__(self, joints: int, context: int, layers: int = 6, segments: int = 12, hidden: int = 32) -> None:
        super().__init__()
        self.joints, self.layers, self.segments, self.hidden = joints, layers, segments, hidden
        self.sizes = [20 * (layers + 1), hidden * layers]
        self.project = nn.Parameter(0.01 * torch.randn(joints, context, sum(self.sizes)) / math.sqrt(context))
        self.offset = nn.Parameter(torch.zeros(joints, sum(self.sizes)))
        self.enter = nn.Parameter(0.5 * torch.randn(layers, joints, 3, hidden))
        # Not exactly zero: equal components get equal gradients and would stay equal for ever.
        self.leave = nn.Parameter(1e-3 * torch.randn(layers, joints, hidden, 4 * segments))
        self.bias = nn.Parameter(torch.zeros(layers, joints, 4 * segments))
        with torch.no_grad():
            self.project[..., : self.sizes[0]].zero_()
            self.project[..., self.sizes[0] :].mul_(100.0)

    def parameters_of(
        self, context: Float[Tensor, "*batch joints context"], joint: int | None = None
    ) -> FlowParameters:
        """What the maps need of a context; computed once where many rotations share it."""
        if joint is None:
            raw = torch.einsum("...jc,jcp->...jp", context, self.project) + self.offset
        else:
            raw = times(context, self.project[joint], self.offset[joint])
        affine, hidden = raw.split(self.sizes, -1)
        parameters = affine_parameters(affine.unflatten(-1, (self.layers + 1, 20)))
        return FlowParameters(parameters, hidden.unflatten(-1, (self.layers, self.hidden)).unbind(-2))

    def _mixture(
        self, q: Float[Tensor, "*any 4"], hidden: Float[Tensor, "*any hidden"], layer: int, joint: int | None
    ) -> tuple[Float[Tensor, "*any k"], Float[Tensor, "*any k 3"]]:
        column = rotation_matrix(q)[..., layer % 3]
        if joint is None:
            h = nn.functional.silu(torch.einsum("...jd,jdh->...jh", column, self.enter[layer]) + hidden)
            out = torch.einsum("...jh,jho->...jo", h, self.leave[layer]) + self.bias[layer]
        else:
            h = nn.functional.silu(times(column, self.enter[layer, joint]) + hidden)
            out = times(h, self.leave[layer, joint], self.bias[layer, joint])
        return out[..., : self.segments], out[..., self.segments :].unflatten(-1, (self.segments, 3))

    def to_base(
        self, q: Float[Tensor, "*any 4"], parameters: FlowParameters, joint: int | None = None
    ) -> tuple[Float[Tensor, "*any 4"], Float[Tensor, "*any"]]:
        """Data to base, and the log-density: of all joints ``(*batch, joints, 4)``, or of one ``(*batch, 4)``."""
        affine, hidden = parameters
        matrices = affine_matrix(affine).unbind(-3)
        q, log_length = _apply(q, matrices[0])
        total = -4.0 * log_length
        for layer in range(self.layers):
            q, ladj = mobius(q, *self._mixture(q, hidden[layer], layer, joint), layer % 3)
            q, log_length = _apply(q, matrices[layer + 1])
            total = total + ladj - 4.0 * log_length
        return q, total

    def from_base(
        self, q: Float[Tensor, "*any 4"], parameters: FlowParameters, joint: int | None = None
    ) -> tuple[Float[Tensor, "*any 4"], Float[Tensor, "*any"]]:
        """Base to data, and the log-density of the result."""
        affine, hidden = parameters
        matrices = affine_matrix(affine, inverse=True).unbind(-3)
        q, log_length = _apply(q, matrices[-1])
        total = 4.0 * log_length
        for layer in reversed(range(self.layers)):
            q, ladj = mobius_inverse(q, *self._mixture(q, hidden[layer], layer, joint), layer % 3)
            q, log_length = _apply(q, matrices[layer])
            total = total + ladj + 4.0 * log_length
        return q / q.norm(dim=-1, keepdim=True), total
