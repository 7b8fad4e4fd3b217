"""Errors of 3D keypoints as a lifter makes them.

A picture leaves the depth of a joint open far more than its place across the line of sight, and the errors of the
joints go together: what is wrong with a thigh is wrong with the foot below it, and a person taken for too small is so
everywhere. Here an error is a sum of independent normal parts: of each bone, handed down to all that hangs on it, along
the line of sight and across it; of each point by itself; and of the person's size. So the covariance of each point is
known exactly, and it is all that is told.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ...geometry.body import SMPL25

__all__ = ["lifted_errors"]

_POINTS = len(SMPL25)
#: Metres: of one bone along the line of sight, (low, high) log-uniform, one per person.
_DEPTH = (0.003, 0.06)
#: Share of it across the line of sight, likewise.
_ACROSS = (0.05, 0.6)
#: A factor on each bone's, and on each point's own error, likewise.
_UNEVEN = (0.4, 2.5)
#: Metres: each point's own error, alike in all directions.
_OWN = (0.001, 0.02)
#: Standard deviation of the logarithm of the person's size, (low, high) evenly.
_SIZE = (0.0, 0.08)
#: Points that are fixed to the pelvis, or stand where another does: no error comes between them.
_FIXED = ("pelvis", "hip_centre", "spine1", "left_collar", "right_collar")
#: How often the pelvis, to which a lifter's poses are relative, has no error at all.
_RELATIVE = 0.8


def _handed_down() -> Float[Tensor, "25 25"]:
    """Row p marks the points from which point p's error comes: those on its way from the pelvis."""
    rows = torch.zeros(_POINTS, _POINTS)
    for point in range(_POINTS):
        above = point
        while above >= 0:
            rows[point, above] = float(SMPL25.joints[above] not in _FIXED)
            above = SMPL25.parents[above]
    return rows


def _between(bounds: tuple[float, float], shape: tuple[int, ...], generator: Generator | None) -> Tensor:
    low, high = (math.log(bound) for bound in bounds)
    return (low + (high - low) * torch.rand(shape, generator=generator)).exp()


def lifted_errors(
    points: Float[Tensor, "n 25 3"], root: Float[Tensor, "n 3"], generator: Generator | None = None
) -> tuple[Float[Tensor, "n 25 3"], Float[Tensor, "n 25 3 3"]]:
    """Errors of points and the covariance of each.

    Args:
        points: of bodies, metres, camera axes, the pelvis at the origin.
        root: where the pelvis is before the camera, metres.
        generator: of all that is drawn; None: torch's global one.

    Returns:
        Errors in metres, and covariances in m², both in camera axes.
    """
    n = len(points)
    reach = points - points[:, SMPL25.index("hip_centre")].unsqueeze(1)
    ray = torch.nn.functional.normalize(points + root.unsqueeze(1), dim=-1)
    along = ray.unsqueeze(-1) * ray.unsqueeze(-2)
    across = torch.eye(3) - along
    deep = _between(_DEPTH, (n, 1), generator) * _between(_UNEVEN, (n, _POINTS), generator)
    wide = deep * _between(_ACROSS, (n, 1), generator)
    own = _between(_OWN, (n, 1), generator) * _between(_UNEVEN, (n, _POINTS), generator)
    hips = [SMPL25.index(name) for name in ("pelvis", "hip_centre")]
    own[:, hips] = own[:, hips] * (torch.rand(n, 1, generator=generator) >= _RELATIVE)
    low, high = _SIZE
    size = low + (high - low) * torch.rand(n, 1, 1, generator=generator)
    handed = _handed_down()

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=generator)

    depth = handed @ (deep.unsqueeze(-1) * normal(_POINTS, 1))
    moved = handed @ (wide.unsqueeze(-1) * normal(_POINTS, 3))
    errors = depth * ray + (across @ moved.unsqueeze(-1)).squeeze(-1)
    errors = errors + own.unsqueeze(-1) * normal(_POINTS, 3) + size * normal(1, 1) * reach
    depth_variance = (handed @ deep.square().unsqueeze(-1)).unsqueeze(-1)
    wide_variance = (handed @ wide.square().unsqueeze(-1)).unsqueeze(-1)
    covariance = depth_variance * along + wide_variance * across + own.square()[..., None, None] * torch.eye(3)
    stretched = reach.unsqueeze(-1) * reach.unsqueeze(-2) * size.square().unsqueeze(-1)
    return errors, covariance + stretched
