"""What a lifter says of a frame, as the filter takes it, by averages over the past alone.

Each is the causal counterpart of one that `poseterior.lifting.clips` takes over the whole clip or around a frame.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ...distributions.clip_errors import ClipErrors
from ...geometry.cameras import pixels_to_plane, turn_to_axis
from ...keypoints import Keypoints2D
from ...keypoints.view import camera_of

__all__ = ["USUAL", "Average", "Direction", "ErrorSizes", "Hanging", "turned"]

Array = NDArray[np.float64]

#: Seconds after which the direction of the person, and how joints go together, count 1/e.
_TURNING, _HANGING = 0.25, 0.25
#: Likewise how large errors usually are, and where joints are on average.
USUAL = 20.0
#: Least eigenvalue of a correlation.
_LEAST = 1e-6


class Average:
    """An average that forgets, exact from the first value on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._sum: Array | float = 0.0
        self._weight: Array | float = 0.0

    def fade(self, step: float) -> None:
        keep = math.exp(-step / self._seconds)
        self._sum, self._weight = keep * self._sum, keep * self._weight

    def add(self, value: Array, counts: Array | float = 1.0) -> None:
        self._sum, self._weight = self._sum + counts * value, self._weight + counts

    def value(self, otherwise: Array | float = 0.0) -> Array:
        return np.where(self._weight > 0, self._sum / np.maximum(self._weight, 1e-300), otherwise)


class Direction:
    """Where the person is: rotations onto the ray to their middle."""

    def __init__(self) -> None:
        self._centre = Average(_TURNING)

    def see(self, step: float, keypoints: Keypoints2D) -> Float[Array, "3 3"]:
        """From the camera's axes to those of the ray.

        Args:
            step: seconds since the last one.
            keypoints: one pose, batch shape (1,).
        """
        intrinsics, _ = camera_of(keypoints)
        plane = pixels_to_plane(keypoints.xy.double(), intrinsics.double())[0].cpu().numpy()
        self._centre.fade(step)
        self._centre.add(plane[keypoints.visible[0].cpu().numpy()].mean(0))
        x, y = self._centre.value()
        return turn_to_axis(torch.tensor([x, y, 1.0], dtype=torch.float64)).numpy()


def turned(
    axes: Float[Array, "3 3"], mean: Float[Array, "joints 3"], covariance: Float[Array, "d d"]
) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """Moments of the joints other than the root in other axes."""
    size = len(covariance)
    rows = (axes @ covariance.reshape(-1, 3, size)).reshape(size, size)
    both = (axes @ np.ascontiguousarray(rows.T).reshape(-1, 3, size)).reshape(size, size)
    return (mean @ axes.T).ravel(), both.T


class ErrorSizes:
    """How much of a frame's variance is shared by all frames, slow, and white: as `clips.gaussian.setting_of`.

    What is usual is an average over the frames so far, of the last `USUAL` seconds.

    Attributes:
        seconds: ``(d,)`` after which the slow part's correlation has fallen to 1/e.
        constant: ``(d,)`` standard deviation of the error that all frames share, metres.
    """

    def __init__(self, errors: ClipErrors, joints: int) -> None:
        self._parts = errors.per_coordinate(joints)
        self.seconds = self._parts.seconds
        self._hidden = errors.hidden
        self._seen, self._any = Average(USUAL), Average(USUAL)
        self.constant = np.zeros(3 * joints)

    def see(
        self, step: float, variance: Float[Array, " d"], seen: Bool[NDArray[np.bool_], " d"]
    ) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        """Standard deviation of the slow part and variance of the white part.

        Args:
            step: seconds since the last frame that showed the person.
            variance: as the lifter says, m².
            seen: coordinates of joints that the frame shows.
        """
        variance = variance * self._parts.scale**2 * np.where(seen, 1.0, self._hidden**2)
        for average, counts in ((self._seen, seen.astype(np.float64)), (self._any, np.ones(len(seen)))):
            average.fade(step)
            average.add(variance, counts)
        shared = self._parts.constant * self._seen.value(self._any.value())
        self.constant = np.sqrt(shared)
        return np.sqrt(self._parts.lasting(variance, shared, seen)), self._parts.white * variance


class Hanging:
    """How coordinates go together within a frame.

    Attributes:
        root: ``(d, d)`` symmetric square root of the correlations, with rows of length one.
    """

    def __init__(self) -> None:
        self._correlation = Average(_HANGING)

    def see(self, step: float, covariance: Float[Array, "d d"]) -> None:
        deviation = np.sqrt(np.diagonal(covariance))
        self._correlation.fade(step)
        self._correlation.add(covariance / (deviation[:, None] * deviation))
        values, axes = np.linalg.eigh(self._correlation.value())
        root = (axes * np.sqrt(np.maximum(values, _LEAST))) @ axes.T
        self.root = root / np.linalg.norm(root, axis=-1, keepdims=True)
