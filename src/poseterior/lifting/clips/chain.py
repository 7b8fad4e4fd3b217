"""Gaussians over the states of many frames, each of which hangs together with its neighbours only.

The precision of such states is block tridiagonal: its Cholesky factor has blocks on and below the diagonal only, so
that all that is done is linear in frames (Rue and Held 2005, Gaussian Markov Random Fields, chapter 2). What couples
neighbours, as a foot that stands from one frame to the next, is added to the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .filtering import SPEED

__all__ = ["Chain", "Steps"]

Array = NDArray[np.float64]

#: Metres: standard deviation of a place before anything is seen.
_AROUND = 20.0


class Chain:
    """A Gaussian over states of ``n`` numbers in ``T`` frames, each of which hangs together with its neighbours only.

    Args:
        diagonal: ``(*any, T, n, n)`` blocks of the precision.
        below: ``(*any, T - 1, n, n)``: of each frame (rows) with the one before.
    """

    def __init__(self, diagonal: Float[Array, "*any T n n"], below: Float[Array, "*any T_1 n n"]) -> None:
        self.factor, self.lower = np.empty_like(diagonal), np.empty_like(below)
        for frame in range(diagonal.shape[-3]):
            block = diagonal[..., frame, :, :]
            if frame:
                before = self.factor[..., frame - 1, :, :]
                self.lower[..., frame - 1, :, :] = np.linalg.solve(
                    before, below[..., frame - 1, :, :].swapaxes(-1, -2)
                ).swapaxes(-1, -2)
                coupled = self.lower[..., frame - 1, :, :]
                block = block - coupled @ coupled.swapaxes(-1, -2)
            self.factor[..., frame, :, :] = np.linalg.cholesky(block)

    @property
    def log_determinant(self) -> Array:
        """Of the precision, ``(*any,)``."""
        return 2.0 * np.log(np.diagonal(self.factor, axis1=-2, axis2=-1)).sum((-1, -2))

    def whitened(self, right: Float[Array, "*any T n k"]) -> Float[Array, "*any T n k"]:
        """``L^-1 right``, where ``L L'`` is the precision."""
        found = np.empty(np.broadcast_shapes(right.shape, (*self.factor.shape[:-1], right.shape[-1])))
        for frame in range(right.shape[-3]):
            rest = right[..., frame, :, :]
            if frame:
                rest = rest - self.lower[..., frame - 1, :, :] @ found[..., frame - 1, :, :]
            found[..., frame, :, :] = np.linalg.solve(self.factor[..., frame, :, :], rest)
        return found

    def solved(self, right: Float[Array, "*any T n k"]) -> Float[Array, "*any T n k"]:
        """The states of this precision times state."""
        found = self.whitened(right)
        count = right.shape[-3]
        for frame in range(count - 1, -1, -1):
            rest = found[..., frame, :, :]
            if frame < count - 1:
                rest = rest - self.lower[..., frame, :, :].swapaxes(-1, -2) @ found[..., frame + 1, :, :]
            found[..., frame, :, :] = np.linalg.solve(self.factor[..., frame, :, :].swapaxes(-1, -2), rest)
        return found


@dataclass(frozen=True)
class Steps:
    """How a place with a velocity goes from frame to frame.

    Attributes:
        seconds: ``(T - 1,)`` between frames.
        density: of the acceleration in each direction, m²/s³; any dimensions.
    """

    seconds: Float[Array, " T_1"]
    density: Float[Array, "*any"]

    @property
    def moved(self) -> Float[Array, "T_1 2 2"]:
        """Place and velocity after each step."""
        step = np.zeros((len(self.seconds), 2, 2))
        step[:, 0, 0] = step[:, 1, 1] = 1.0
        step[:, 0, 1] = self.seconds
        return step

    @property
    def half(self) -> Float[Array, "*any T_1 2 2"]:
        """Lower triangles ``B`` of the new part's covariance ``B B'``."""
        dt = self.seconds
        root = np.zeros((*self.density.shape, len(dt), 2, 2))
        strength = np.sqrt(self.density)[..., None]
        root[..., 0, 0] = strength * dt**1.5 / np.sqrt(3.0)
        root[..., 1, 0] = strength * np.sqrt(3.0 * dt) / 2.0
        root[..., 1, 1] = strength * np.sqrt(dt) / 2.0
        return root

    @property
    def blocks(self) -> tuple[Array, Array]:
        """The precision's, of three independent directions: ``(*any, T, 6, 6)`` and ``(*any, T - 1, 6, 6)``."""
        unhalved = np.linalg.inv(self.half)
        new = unhalved.swapaxes(-1, -2) @ unhalved
        back = self.moved.swapaxes(-1, -2) @ new
        shape = (*self.density.shape, len(self.seconds) + 1, 2, 2)
        diagonal = np.zeros(shape)
        diagonal[..., :1, :, :] = np.diag([_AROUND**-2, SPEED**-2])
        diagonal[..., 1:, :, :] += new
        diagonal[..., :-1, :, :] += back @ self.moved
        return _thrice(diagonal), _thrice(-(back.swapaxes(-1, -2)))

    def draw(self, normal: Float[Array, "T 3 2 k"]) -> Float[Array, "T 6 k"]:
        """Right sides that a state of this precision would have: the precision times a path that it allows."""
        unhalved = np.linalg.inv(self.half)
        fresh = np.einsum("tji,tajk->taik", unhalved, normal[1:])  # of each step, less what comes before
        found = np.zeros_like(normal)
        found[0] = normal[0] / np.array([_AROUND, SPEED])[:, None]
        found[1:] += fresh
        found[:-1] -= np.einsum("tji,tajk->taik", self.moved, fresh)
        return found.swapaxes(1, 2).reshape(len(normal), 6, -1)


def _thrice(blocks: Float[Array, "*any 2 2"]) -> Float[Array, "*any 6 6"]:
    """Of place and velocity: ``x, y, z`` of the place, then of the velocity."""
    return (blocks[..., :, None, :, None] * np.eye(3)[:, None, :]).reshape(*blocks.shape[:-2], 6, 6)
