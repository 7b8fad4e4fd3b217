"""Samples that were drawn already, for whoever would draw the same ones again."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

__all__ = ["Drawn"]


class Drawn(NamedTuple):
    """Samples of a distribution, and what `PoseDistribution.sample` was asked for.

    Attributes:
        number: of samples.
        seed: of theirs.
        poses: ``(number, *batch, joints, 3)`` metres.
    """

    number: int
    seed: int
    poses: Float[Tensor, "number *batch joints 3"]
