"""The filter of `poseterior.lifting.clips.filtering`, one frame at a time.

The same model, whose steps in time are that module's own: a coordinate moves with white noise as its acceleration, and
is seen with an error that has a slow and a white part. Here the state is carried from call to call.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ..clips.filtering import PLACE, SPEED, transitions, white_noise_covariance

__all__ = ["FrameSeen", "Gain", "State", "Step", "gain_of", "moved", "shifted", "start", "step_of", "told"]

Array = NDArray[np.float64]


class FrameSeen(NamedTuple):
    """``d`` coordinates as one frame shows them: a row of `poseterior.lifting.clips.filtering.Seen`.

    Attributes:
        value: ``(d,)`` metres.
        known: ``(d,)`` whether it was seen.
        slow: ``(d,)`` standard deviation of the slow part of the error, metres.
        white: ``(d,)`` variance of the white part, m².
    """

    value: Float[Array, " d"]
    known: Bool[NDArray[np.bool_], " d"]
    slow: Float[Array, " d"]
    white: Float[Array, " d"]


class State(NamedTuple):
    """Means and covariances of place ``x``, velocity ``v`` and the slow part ``s`` of the error; all ``(*any, d)``."""

    x: Array
    v: Array
    s: Array
    xx: Array
    xv: Array
    xs: Array
    vv: Array
    vs: Array
    ss: Array

    @property
    def mean(self) -> Float[Array, "*any d 3"]:
        """Of the state."""
        return np.stack([self.x, self.v, self.s], -1)

    @property
    def covariance(self) -> Float[Array, "*any d 3 3"]:
        """Of the state."""
        rows = ((self.xx, self.xv, self.xs), (self.xv, self.vv, self.vs), (self.xs, self.vs, self.ss))
        return np.stack([np.stack(row, -1) for row in rows], -2)


class Gain(NamedTuple):
    """What a frame changes.

    Attributes:
        place, speed, slow: ``(*any, d)``: by which each part of the state follows a gap; 0 where nothing is seen.
        variance: ``(*any, d)`` of the gap, m².
        seen: ``(*any, d)`` covariance of place, of velocity and of the slow part with what is seen.
    """

    place: Array
    speed: Array
    slow: Array
    variance: Array
    seen: tuple[Array, Array, Array]


def start(*shape: int) -> State:
    """What is known before anything is seen."""
    zero, one = np.zeros(shape), np.ones(shape)
    return State(zero, zero, zero, PLACE**2 * one, zero, zero, SPEED**2 * one, zero, one)


class Step(NamedTuple):
    """What some time does to a state.

    Attributes:
        moves: ``(3, 3, d)``: by which the state is multiplied.
        fresh: ``(3, 3, d)`` covariance of what is new: of place and velocity per unit of the acceleration's density.
    """

    moves: Float[Array, "3 3 d"]
    fresh: Float[Array, "3 3 d"]


def step_of(step: float, seconds: Float[Array, " d"]) -> Step:
    """Of so many seconds.

    Args:
        step: seconds.
        seconds: after which the slow part's correlation has fallen to 1/e.
    """
    time = np.array([step])
    fresh = white_noise_covariance(time, np.ones(len(seconds)), seconds)[0]
    return Step(transitions(time, seconds)[0].transpose(1, 2, 0), fresh.transpose(1, 2, 0))


def shifted(state: State, by: Float[Array, " d"]) -> State:
    """The same about another place: ``by`` metres are added to the mean."""
    return state._replace(x=state.x + by)


def moved(state: State, step: Step, density: Float[Array, "*any d"]) -> State:
    """The state some time later, of which nothing is seen.

    Args:
        state: now.
        step: the time.
        density: spectral density of the acceleration, m²/s³.
    """
    (a, b, _), (c, e, _), (_, _, fade) = step.moves
    (new_xx, new_xv, _), (_, new_vv, _), (_, _, new_ss) = step.fresh
    x, v, s, xx, xv, xs, vv, vs, ss = state
    return State(
        a * x + b * v,
        c * x + e * v,
        fade * s,
        a * (a * xx + 2.0 * b * xv) + b * b * vv + density * new_xx,
        a * c * xx + (a * e + b * c) * xv + b * e * vv + density * new_xv,
        fade * (a * xs + b * vs),
        c * (c * xx + 2.0 * e * xv) + e * e * vv + density * new_vv,
        fade * (c * xs + e * vs),
        fade * fade * ss + new_ss,
    )


def gain_of(state: State, frame: FrameSeen) -> Gain:
    """How much the state follows what a frame shows."""
    by_place = state.xx + frame.slow * state.xs
    by_speed = state.xv + frame.slow * state.vs
    by_slow = state.xs + frame.slow * state.ss
    variance = by_place + frame.slow * by_slow + frame.white
    over = frame.known / variance
    return Gain(by_place * over, by_speed * over, by_slow * over, variance, (by_place, by_speed, by_slow))


def told(state: State, frame: FrameSeen) -> tuple[State, Gain, Float[Array, "*any d"], Float[Array, "*any d"]]:
    """The state, given what a frame shows of it.

    Returns:
        The state, what was changed, the squared innovation over its variance (0 where nothing is seen), and the log
        evidence of what was seen, in nats.
    """
    gain = gain_of(state, frame)
    gap = frame.value - state.x - frame.slow * state.s
    surprise = gap * gap * frame.known / gain.variance
    evidence = -0.5 * (surprise + frame.known * np.log(2.0 * np.pi * gain.variance))
    x, v, s, xx, xv, xs, vv, vs, ss = state
    by_place, by_speed, by_slow = gain.seen
    after = State(
        x + gain.place * gap,
        v + gain.speed * gap,
        s + gain.slow * gap,
        xx - gain.place * by_place,
        xv - gain.place * by_speed,
        xs - gain.place * by_slow,
        vv - gain.speed * by_speed,
        vs - gain.speed * by_slow,
        ss - gain.slow * by_slow,
    )
    return after, gain, surprise, evidence
