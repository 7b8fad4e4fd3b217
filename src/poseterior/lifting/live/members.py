"""Hypotheses that live on from frame to frame: draws of the filter's posterior, the k-th always the same one.

Each hypothesis is a deviation from the mean that is moved and told as the state is, with noise of its own where the
model has noise (perturbed observations: Burgers et al. 1998; with the filter's exact gain, so that every hypothesis is
exactly a draw of the posterior, however few there are). So it changes as smoothly as the person may have moved. Every
second one is the mirror image of one before about the mean, so that their mean is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from ..clips.filtering import PLACE, SPEED
from .kalman import FrameSeen, Gain, Step

__all__ = ["Deviations", "Members", "mirrored"]

Array = NDArray[np.float64]


class Deviations(NamedTuple):
    """Of place, velocity and the slow part from their means, ``(n, d)`` each."""

    x: Array
    v: Array
    s: Array


def mirrored(half: Float[Array, "n *event"], count: int) -> Float[Array, "count *event"]:
    """Each of these numbers and its mirror image, one after the other."""
    return np.stack([half, -half], 1).reshape(-1, *half.shape[1:])[:count]


class Members:
    """The deviations of the hypotheses, without their mirror images.

    Args:
        count: of hypotheses with mirror images.
        size: number of coordinates.
        seed: of all their random numbers.

    Attributes:
        shared: ``(n, d)`` standard normal: each one's share in the error that all frames have.
        size: ``(n,)`` normal quantiles at even levels, above the middle: each one's place among sizes.
        root: ``(d, d)`` with rows of length one, or None: how what is new in a frame goes together (`causal.Hanging`);
            each coordinate's own spread stays as it is.
        now: deviations of the latest frame.
        forecast: these before the frame was seen.
    """

    def __init__(self, count: int, size: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._shape = ((count + 1) // 2, size)
        self.root: Float[Array, "d d"] | None = None
        self.restart(another=True)

    def restart(self, another: bool) -> None:
        """Draw from what is known before anything is seen; ``another``: of another person."""
        self.root = None
        if another:
            self.shared = self._normal()
            half = len(self.shared)
            levels = 0.5 + (self._random.permutation(half) + 0.5) / (2 * half)
            self.size: Array = torch.special.ndtri(torch.from_numpy(levels)).numpy()
        self.now = Deviations(PLACE * self._normal(), SPEED * self._normal(), self._normal())
        self.forecast = self.now

    def _normal(self) -> Float[Array, "n d"]:
        fresh = self._random.standard_normal(self._shape)
        return fresh if self.root is None else fresh @ self.root.T

    def move(self, step: Step, density: Float[Array, " d"]) -> None:
        """See `kalman.moved`."""
        x, v, s = self.now
        (a, b, _), (c, e, _), (_, _, fade) = step.moves
        (new_xx, new_xv, _), (_, new_vv, _), (_, _, new_ss) = step.fresh
        one, two, three = (self._normal() for _ in range(3))
        # The lower triangle whose square is the covariance of what is new.
        place = np.sqrt(density * new_xx)
        both = density * new_xv / place
        speed = np.sqrt(np.maximum(density * new_vv - both**2, 0.0))
        self.now = Deviations(
            a * x + b * v + place * one,
            c * x + e * v + both * one + speed * two,
            fade * s + np.sqrt(new_ss) * three,
        )
        self.forecast = self.now

    def tell(self, frame: FrameSeen, gain: Gain) -> None:
        """See `kalman.told`; ``gain`` as that found it."""
        x, v, s = self.now
        gap = np.sqrt(frame.white) * self._normal() - x - frame.slow * s
        self.now = Deviations(x + gain.place * gap, v + gain.speed * gap, s + gain.slow * gap)
