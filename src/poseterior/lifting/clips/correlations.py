"""How the coordinates of a frame go together: square roots of their correlations, known at knots."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .frames import Frames

__all__ = ["Roots", "correlation_roots"]

#: Seconds over which correlations are averaged, and from one square root of them to the next.
_HANGING, _KNOTS = 1.0, 0.25
#: Least correlation eigenvalue.
_LEAST = 1e-6
#: Frames at a time, so that memory goes with frames times coordinates, not with their squares.
_CHUNK = 512


@dataclass(frozen=True)
class Roots:
    """A square root of the correlations for each frame, with rows of length one: interpolated between knots.

    Attributes:
        knots: ``(K, d, d)``.
        before: ``(T,)`` knot before each frame; the next one follows.
        share: ``(T,)`` of the next one.
    """

    knots: Float[Tensor, "K d d"]
    before: Int[Tensor, " T"]
    share: Float[Tensor, " T"]

    def __getitem__(self, rows: slice | Tensor | int) -> Float[Tensor, "*rows d d"]:
        before = self.before[rows]
        after = (before + 1).clamp(max=len(self.knots) - 1)
        between = torch.lerp(self.knots[before], self.knots[after], self.share[rows][..., None, None])
        return between / between.norm(dim=-1, keepdim=True)

    def _chunks(self) -> list[slice]:
        return [slice(start, start + _CHUNK) for start in range(0, len(self.before), _CHUNK)]

    def times(self, values: Float[Tensor, "T n d"]) -> Float[Tensor, "T n d"]:
        """Each row times its frame's root."""
        return torch.cat([values[part] @ self[part].mT for part in self._chunks()])

    def undone(self, values: Float[Tensor, "T n d"]) -> Float[Tensor, "T n d"]:
        """Inverse of `times`."""
        return torch.cat([torch.linalg.solve(self[part], values[part].mT).mT for part in self._chunks()])

    def joint_blocks(self) -> Float[Tensor, "T joints 3 3"]:
        """Correlations of each joint's coordinates."""
        joints = [self[part].unflatten(-2, (-1, 3)) for part in self._chunks()]
        return torch.cat([half @ half.mT for half in joints])

    def log_det(self) -> Float[Tensor, ""]:
        """Of all frames together."""
        return torch.stack([torch.linalg.slogdet(self[part]).logabsdet.sum() for part in self._chunks()]).sum()


def correlation_roots(frames: Frames) -> Roots:
    """Symmetric square roots of the frames' correlations, averaged over neighbours by Hann's window."""
    count = len(frames)
    knots = torch.linspace(0, count - 1, 1 + max(1, round((count - 1) / (_KNOTS * frames.rate))), dtype=torch.float64)
    at = knots.round().long().unique()
    half = min(max(1, round(0.5 * _HANGING * frames.rate)), count - 1)
    window = torch.hann_window(2 * half + 3, periodic=False, dtype=torch.float64)[1:-1]
    window = window / window.sum()
    near = (at.unsqueeze(-1) + torch.arange(-half, half + 1)).abs()  # reflected at the ends
    near = (count - 1) - ((count - 1) - near).abs()
    means = torch.stack([(_correlation(frames.covariance[rows]) * window[:, None, None]).sum(0) for rows in near])
    values, axes = torch.linalg.eigh(means)
    roots = (axes * values.clamp(min=_LEAST).sqrt().unsqueeze(-2)) @ axes.mT
    frame = torch.arange(count)
    before = (torch.searchsorted(at, frame, right=True) - 1).clamp(max=max(0, len(at) - 2))
    after = (before + 1).clamp(max=len(at) - 1)
    share = (frame - at[before]).double() / (at[after] - at[before]).clamp(min=1)
    return Roots(roots, before, share)


def _correlation(covariance: Float[Tensor, "n d d"]) -> Float[Tensor, "n d d"]:
    deviation = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    return covariance / (deviation.unsqueeze(-1) * deviation.unsqueeze(-2))
