"""Many 3x3 lower triangles along a diagonal, kept as the three bands that are not zero.

A product with them is three products of whole rows, where one of small matrices has as much to look up as to multiply.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .linalg import inverse_lower_3x3

__all__ = ["bands_of", "inverse_bands", "squares", "times_bands"]


def bands_of(lower: Float[Tensor, "*batch blocks 3 3"]) -> Float[Tensor, "*batch 3 3*blocks"]:
    """The diagonal, and what stands one and two before it in each row."""
    a, _, _, ba, b, _, ca, cb, c = lower.flatten(-2).unbind(-1)
    zero = torch.zeros_like(a)
    rows = (torch.stack(row, -1).flatten(-2) for row in ((a, b, c), (zero, ba, cb), (zero, zero, ca)))
    return torch.stack(list(rows), -2)


def inverse_bands(lower: Float[Tensor, "*batch blocks 3 3"]) -> Float[Tensor, "*batch 3 3*blocks"]:
    """Those of the triangles' inverses."""
    return bands_of(inverse_lower_3x3(lower))


def squares(lower: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """The products of triangles and their transposes: xx, xy, xz, yy, yz, zz."""
    a, _, _, ba, b, _, ca, cb, c = lower.flatten(-2).unbind(-1)
    rows = (a * a, a * ba, a * ca, ba * ba + b * b, ba * ca + b * cb, ca * ca + cb * cb + c * c)
    return torch.stack(rows, -1)


def times_bands(bands: Float[Tensor, "*any 3 d"], vectors: Float[Tensor, "*any d"]) -> Float[Tensor, "*any d"]:
    """The product of the triangles and vectors, broadcast."""
    found = bands[..., 0, :] * vectors
    for by in (1, 2):
        found[..., by:].addcmul_(bands[..., by, by:], vectors[..., :-by])
    return found
