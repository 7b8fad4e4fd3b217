"""What lenses do to pictures, and how it is undone: pure functions.

Points are on the plane at unit distance (x/z, y/z). Two models, as OpenCV has them: ``brown`` (radial by a rational
polynomial, tangential, thin prism: Brown 1966; Claus & Fitzgibbon 2005) with coefficients
``(k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4)``, and ``fisheye`` (Kannala & Brandt 2006) with ``(k1, k2, k3, k4)``.
Coefficients that are left out are 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["MOST_COEFFICIENTS", "Undistorted", "distort", "undistort"]

#: How many coefficients a lens may have.
MOST_COEFFICIENTS = {"brown": 12, "fisheye": 4}
#: Newton's steps, and how far (on the plane) what was found may be from what was asked for.
_STEPS, _NEAR = 20, 1e-9
#: A step is at most this long, so that it does not leave the part of the plane where a lens is one-to-one.
_LONGEST = 0.5


class Undistorted(NamedTuple):
    """Points as a lens without distortion would show them.

    Attributes:
        points: ``(*batch, 2)``.
        jacobian: ``(*batch, 2, 2)`` how they change with the distorted points.
        found: ``(*batch,)`` False where no point of the plane is distorted to what is seen.
    """

    points: Tensor
    jacobian: Tensor
    found: Tensor


def distort(
    points: Float[Tensor, "*batch 2"], coefficients: tuple[float, ...], fisheye: bool = False
) -> Float[Tensor, "*batch 2"]:
    """Where a lens shows points of the plane at unit distance."""
    x, y = points.unbind(-1)
    square = x * x + y * y
    if fisheye:
        k = (*coefficients, 0.0, 0.0, 0.0, 0.0)
        radius = square.clamp(min=1e-16).sqrt()
        angle = radius.atan()
        a = angle * angle
        factor = angle * (1 + a * (k[0] + a * (k[1] + a * (k[2] + a * k[3])))) / radius
        return points * factor.unsqueeze(-1)
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = (*coefficients, *[0.0] * 12)[:12]
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    radial = radial / (1 + square * (k4 + square * (k5 + square * k6)))
    return torch.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x) + square * (s1 + square * s2),
            y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y + square * (s3 + square * s4),
        ],
        -1,
    )


def _with_slope(
    points: Float[Tensor, "*batch 2"], coefficients: tuple[float, ...], fisheye: bool
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2 2"]]:
    """`distort`, and its derivative."""
    with torch.enable_grad():
        at = points.detach().requires_grad_(True)
        seen = distort(at, coefficients, fisheye)
        rows = [torch.autograd.grad(seen[..., i].sum(), at, retain_graph=True)[0] for i in range(2)]
    return seen.detach(), torch.stack(rows, -2)


def undistort(points: Float[Tensor, "*batch 2"], coefficients: tuple[float, ...], fisheye: bool = False) -> Undistorted:
    """The inverse of `distort`, by Newton's method from the distorted points; float64.

    A lens model is one-to-one near the middle of the picture only. Points that no point there is distorted to are not
    ``found``, and stay as they are.
    """
    seen = points.double()
    identity = torch.eye(2, dtype=seen.dtype, device=seen.device).expand(*seen.shape, 2)
    if not any(coefficients) and not fisheye:
        return Undistorted(seen, identity, torch.ones_like(seen[..., 0], dtype=torch.bool))
    at = seen
    for _ in range(_STEPS):
        shown, slope = _with_slope(at, coefficients, fisheye)
        if bool(((shown - seen).abs() < 1e-14).all()):
            break
        step = torch.linalg.solve_ex(slope, (seen - shown).unsqueeze(-1)).result.squeeze(-1).nan_to_num(0.0)
        at = at + step * (_LONGEST / step.norm(dim=-1, keepdim=True).clamp(min=1e-30)).clamp(max=1.0)
    shown, slope = _with_slope(at, coefficients, fisheye)
    found = _same(shown, seen) & (torch.linalg.det(slope) > 0)
    points = torch.where(found.unsqueeze(-1), at, seen)
    inverse = torch.linalg.inv(torch.where(found[..., None, None], slope, identity))
    return Undistorted(points, inverse, found)


def _same(one: Float[Tensor, "*batch 2"], other: Float[Tensor, "*batch 2"]) -> Bool[Tensor, "*batch"]:
    return ((one - other).abs() < _NEAR).all(-1)
