"""How lively each joint is, as the last seconds say: a bank of filters, one for each strength of motion."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..clips.motion import DENSITIES
from . import kalman
from .kalman import FrameSeen, Step

__all__ = ["Liveliness"]

Array = NDArray[np.float64]

#: Seconds after which what a frame said of it counts 1/e.
MEMORY = 1.5


class Liveliness:
    """The running counterpart of `poseterior.lifting.clips.motion.motion_densities`: of the past alone, and forgetful.

    Args:
        size: number of coordinates, x, y, z of one joint after the other.
        seconds: ``(size,)`` see `kalman.step_of`.
        fixed: density of each coordinate, m²/s³, in place of a choice.
    """

    def __init__(self, size: int, seconds: Float[Array, " d"], fixed: Float[Array, " d"] | None = None) -> None:
        self._fixed, self._seconds = fixed, seconds
        self._bank = np.broadcast_to(DENSITIES[:, None], (len(DENSITIES), size))
        self._level = np.zeros((len(DENSITIES), size // 3))
        self.restart()

    def restart(self) -> None:
        """Forget where everything is, not how lively it was."""
        self._state = kalman.start(*self._bank.shape)

    def shift(self, by: Float[Array, " d"]) -> None:
        """See `kalman.shifted`."""
        self._state = kalman.shifted(self._state, by)

    def see(self, seconds: float | None, frame: FrameSeen | None, step: Step | None = None) -> None:
        """A frame.

        Args:
            seconds: since the frame before; None: it is the first one.
            frame: what it shows; None: nothing.
            step: the same time, where it is at hand.
        """
        if self._fixed is not None:
            return
        if seconds is not None:
            step = step or kalman.step_of(seconds, self._seconds)
            self._state = kalman.moved(self._state, step, self._bank)
            self._level *= math.exp(-seconds / MEMORY)
        if frame is not None:
            self._state, _, _, evidence = kalman.told(self._state, frame)
            self._level += evidence.reshape(len(DENSITIES), -1, 3).sum(-1)

    @property
    def density(self) -> Float[Array, " d"]:
        """Spectral density of each coordinate's acceleration, m²/s³: the geometric mean, weighted by evidence."""
        if self._fixed is not None:
            return self._fixed
        weight = np.exp(self._level - self._level.max(0))
        density = np.exp((weight * np.log(DENSITIES)[:, None]).sum(0) / weight.sum(0))
        return np.repeat(density, 3)
