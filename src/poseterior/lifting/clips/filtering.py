"""A motion seen through errors that hang together: Kalman filter, smoother and path sampler, a coordinate at a time.

Each coordinate ``x`` of each joint is pushed by white noise as its acceleration and falls back, critically damped, to
where it is on average: ``x'' = -2 r x' - r^2 x + noise`` (a Matérn process of smoothness 3/2: where nothing is seen for
long, joints do not fly off). It is seen with an error that has a slow part (exponentially correlated) and a white one.
The state is ``(x, velocity, slow part)``; time may pass unevenly, and frames may be missing. All coordinates are
filtered at once in float64; what is done is linear in frames times coordinates (Särkkä 2013, Bayesian Filtering and
Smoothing, chapters 4 and 8).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

__all__ = ["Filtered", "Seen", "Smoothed", "filtered", "smoothed", "transitions", "white_noise_covariance"]

Array = NDArray[np.float64]

#: Standard deviations before anything is seen, metres and metres a second.
PLACE, SPEED = 1.0, 2.0
#: How fast joints fall back, ``r``, per second.
RETURN = 2.0


class Step(NamedTuple):
    """What time does to a motion: ``(x, v) -> (xx x + xv v, vx x + vv v)``, and the covariance of what is new.

    The latter per unit of the acceleration's density.
    """

    xx: Any
    xv: Any
    vx: Any
    vv: Any
    new_xx: Any
    new_xv: Any
    new_vv: Any


def step_of(dt: Any, rate: float = RETURN) -> Step:
    """Of so many seconds (a number or an array)."""
    fade = np.exp(-rate * dt)
    xx, xv, vx, vv = (1.0 + rate * dt) * fade, dt * fade, -(rate**2) * dt * fade, (1.0 - rate * dt) * fade
    place, speed = 0.25 / rate**3, 0.25 / rate  # of what has gone on for ever
    return Step(
        xx, xv, vx, vv, place - xx**2 * place - xv**2 * speed, -xx * vx * place - xv * vv * speed,
        speed - vx**2 * place - vv**2 * speed,
    )  # fmt: skip


class Seen(NamedTuple):
    """A motion as it is seen, ``d`` coordinates in ``T`` frames.

    Attributes:
        value: ``(T, d)`` metres.
        known: ``(T, d)`` whether it was seen.
        step: ``(T,)`` seconds since the frame before; the first counts for nothing.
        slow: ``(T, d)`` standard deviation of the slow part of the error, metres.
        white: ``(T, d)`` variance of the white part, m².
        seconds: ``(d,)`` after which the slow part's correlation has fallen to 1/e.
    """

    value: Float[Array, "T d"]
    known: Bool[NDArray[np.bool_], "T d"]
    step: Float[Array, " T"]
    slow: Float[Array, "T d"]
    white: Float[Array, "T d"]
    seconds: Float[Array, " d"]


class Filtered(NamedTuple):
    """What is known at each frame of the frames so far.

    Attributes:
        mean: ``(T, *any, d, 3)`` of the state; empty unless asked for.
        covariance: ``(T, *any, d, 3, 3)`` likewise.
        log_evidence: ``(*any, d)`` nats, of what was seen.
        surprise: ``(T, *any, d)`` squared innovation over its variance; 0 where nothing is seen.
        expected: ``(T, *any, d)`` that variance, m²; 0 likewise.
    """

    mean: Array
    covariance: Array
    log_evidence: Array
    surprise: Array
    expected: Array


def filtered(seen: Seen, density: Float[Array, "*any d"], keep: bool = True) -> Filtered:
    """Run the filter.

    Args:
        seen: what is seen, about zero.
        density: spectral density of the acceleration, m²/s³; any dimensions before the coordinates are tried at once.
        keep: whether states are returned.
    """
    count, shape = len(seen.value), density.shape
    x, v, s = (np.zeros(shape) for _ in range(3))
    xx, vv, ss = np.full(shape, PLACE**2), np.full(shape, SPEED**2), np.ones(shape)
    xv, xs, vs = (np.zeros(shape) for _ in range(3))
    evidence = np.zeros(shape)
    surprise, expected = np.zeros((count, *shape)), np.zeros((count, *shape))
    means = np.zeros((count if keep else 0, *shape, 3))
    covariances = np.zeros((count if keep else 0, *shape, 3, 3))
    decay = np.exp(-seen.step[:, None] / seen.seconds)
    for frame in range(count):
        if frame:
            dt, fade = seen.step[frame], decay[frame]
            go = step_of(dt)
            x, v, s = go.xx * x + go.xv * v, go.vx * x + go.vv * v, fade * s
            xx, xv, vv = (
                go.xx**2 * xx + go.xv * (2.0 * go.xx * xv + go.xv * vv) + density * go.new_xx,
                go.xx * go.vx * xx + (go.xx * go.vv + go.xv * go.vx) * xv + go.xv * go.vv * vv + density * go.new_xv,
                go.vv**2 * vv + go.vx * (2.0 * go.vv * xv + go.vx * xx) + density * go.new_vv,
            )
            xs, vs = fade * (go.xx * xs + go.xv * vs), fade * (go.vx * xs + go.vv * vs)
            ss = fade**2 * ss + (1.0 - fade**2)
        known = seen.known[frame]
        if known.any():
            size_of_slow = seen.slow[frame]
            gx, gv, gs = xx + size_of_slow * xs, xv + size_of_slow * vs, xs + size_of_slow * ss
            variance = gx + size_of_slow * gs + seen.white[frame]
            gap = seen.value[frame] - x - size_of_slow * s
            over = known / variance
            surprise[frame], expected[frame] = gap * gap * over, known * variance
            evidence = evidence - 0.5 * (surprise[frame] + known * np.log(2.0 * np.pi * variance))
            pull = gap * over
            x, v, s = x + gx * pull, v + gv * pull, s + gs * pull
            hx, hv, hs = gx * over, gv * over, gs * over
            xx, xv, xs = xx - hx * gx, xv - hx * gv, xs - hx * gs
            vv, vs, ss = vv - hv * gv, vs - hv * gs, ss - hs * gs
        if keep:
            means[frame, ..., 0], means[frame, ..., 1], means[frame, ..., 2] = x, v, s
            for i, row in enumerate(((xx, xv, xs), (xv, vv, vs), (xs, vs, ss))):
                for j, entry in enumerate(row):
                    covariances[frame, ..., i, j] = entry
    return Filtered(means, covariances, evidence, surprise, expected)


def transitions(step: Float[Array, " n"], seconds: Float[Array, " d"]) -> Float[Array, "n d 3 3"]:
    """The state's linear motion over each step."""
    matrix = np.zeros((len(step), len(seconds), 3, 3))
    go = step_of(step[:, None])
    matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1] = go.xx, go.xv, go.vx, go.vv
    matrix[..., 2, 2] = np.exp(-step[:, None] / seconds)
    return matrix


def white_noise_covariance(
    step: Float[Array, " n"], density: Float[Array, " d"], seconds: Float[Array, " d"]
) -> Float[Array, "n d 3 3"]:
    """Covariance of what is new in the state after each step."""
    matrix = np.zeros((len(step), len(density), 3, 3))
    go = step_of(step[:, None])
    matrix[..., 0, 0] = density * go.new_xx
    matrix[..., 0, 1] = matrix[..., 1, 0] = density * go.new_xv
    matrix[..., 1, 1] = density * go.new_vv
    matrix[..., 2, 2] = 1.0 - np.exp(-2.0 * step[:, None] / seconds)
    return matrix


class Smoothed(NamedTuple):
    """What is known at each frame of all frames, and how paths are drawn: from the last frame to the first.

    Attributes:
        mean: ``(T, d)`` metres.
        variance: ``(T, d)`` m².
        gain: ``(T - 1, d, 3, 3)``: a path's state is, about the mean, ``gain`` times the next frame's state ...
        root: ``(T, d, 3, 3)``: ... plus ``root`` times standard normal numbers.
    """

    mean: Array
    variance: Array
    gain: Array
    root: Array

    def draw(self, normal: Float[Array, "T d samples 3"]) -> Float[Array, "T d samples"]:
        """Paths about the mean, of standard normal numbers."""
        count = len(self.mean)
        paths = np.empty(normal.shape[:-1])
        fresh = normal @ self.root.swapaxes(-1, -2)
        state = fresh[-1]
        paths[-1] = state[..., 0]
        for frame in range(count - 2, -1, -1):
            state = state @ self.gain[frame].swapaxes(-1, -2) + fresh[frame]
            paths[frame] = state[..., 0]
        return paths


def smoothed(found: Filtered, seen: Seen, density: Float[Array, " d"]) -> Smoothed:
    """Smooth what was filtered (Rauch et al. 1965).

    Args:
        found: of the same arguments.
        seen, density: as of `filtered`.
    """
    mean, covariance = found.mean, found.covariance
    moved = transitions(seen.step[1:], seen.seconds)
    fresh = white_noise_covariance(seen.step[1:], density, seen.seconds)
    predicted = moved @ covariance[:-1] @ moved.swapaxes(-1, -2) + fresh
    gain = np.linalg.solve(predicted, moved @ covariance[:-1]).swapaxes(-1, -2)
    # Joseph's form cannot lose its positive definiteness to rounding.
    kept = np.eye(3) - gain @ moved
    rest = kept @ covariance[:-1] @ kept.swapaxes(-1, -2) + gain @ fresh @ gain.swapaxes(-1, -2)
    root = _root(np.concatenate([rest, covariance[-1:]]))
    centre, spread = mean[-1], covariance[-1]
    means, variances = np.empty(mean.shape[:-1]), np.empty(mean.shape[:-1])
    means[-1], variances[-1] = centre[..., 0], spread[..., 0, 0]
    ahead = (moved @ mean[:-1, ..., None])[..., 0]
    for frame in range(len(mean) - 2, -1, -1):
        back = gain[frame]
        centre = mean[frame] + (back @ (centre - ahead[frame])[..., None])[..., 0]
        spread = rest[frame] + back @ spread @ back.swapaxes(-1, -2)
        means[frame], variances[frame] = centre[..., 0], spread[..., 0, 0]
    return Smoothed(means, variances, gain, root)


def _root(matrix: Any) -> Any:
    """Lower triangles, of matrices that may be singular by rounding; each scaled to its own size first."""
    size = np.sqrt(np.maximum(np.diagonal(matrix, axis1=-2, axis2=-1), 1e-300))
    scaled = matrix / (size[..., :, None] * size[..., None, :])
    return np.linalg.cholesky(scaled + 1e-10 * np.eye(3)) * size[..., :, None]
