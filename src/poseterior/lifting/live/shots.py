"""What is known at a frame, and, when later frames are known too, of that frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ...keypoints import Keypoints2D
from ..clips.filtering import transitions, white_noise_covariance
from .kalman import State
from .members import Deviations

__all__ = ["Known", "Shot", "View", "known_at", "looked_back"]

Array = NDArray[np.float64]


class View(NamedTuple):
    """How a frame was seen.

    Attributes:
        frame: its number, from 0.
        time: seconds.
        present: whether it shows the person.
        weight: how much it counted: 1, or less where it did not fit.
        keypoints: as they were used, batch shape (1,); no joint is visible where the person was not.
        axes: from the camera's axes to those of the ray to the person.
        root: how coordinates go together, see `causal.Hanging`.
        constant: ``(d,)`` standard deviation of the error that all frames share, metres.
        middle: ``(d,)`` metres: about which the state is.
        slope: ``(d,)`` metres by which coordinates change per unit of the logarithm of the person's size.
    """

    frame: int
    time: float
    present: bool
    weight: float
    keypoints: Keypoints2D
    axes: Float[Array, "3 3"]
    root: Float[Array, "d d"]
    constant: Float[Array, " d"]
    middle: Float[Array, " d"]
    slope: Float[Array, " d"]


class Shot(NamedTuple):
    """A frame as the filter left it: all that looking back needs.

    Attributes:
        view: how it was seen.
        state: given the frames up to this one.
        now, forecast: deviations of the hypotheses, with and without this frame.
        step: seconds since the frame before.
        density: of the acceleration on the way here, m²/s³.
        seconds: ``(d,)`` see `kalman.step_of`.
    """

    view: View
    state: State
    now: Deviations
    forecast: Deviations
    step: float
    density: Float[Array, " d"]
    seconds: Float[Array, " d"]


class Known(NamedTuple):
    """A Gaussian of the state at a frame, and draws of it.

    Attributes:
        mean: ``(d, 3)``.
        covariance: ``(d, 3, 3)``.
        deviations: ``(n, d)`` of the place, of the hypotheses without their mirror images.
    """

    mean: Float[Array, "d 3"]
    covariance: Float[Array, "d 3 3"]
    deviations: Float[Array, "n d"]


def known_at(shot: Shot) -> Known:
    """Of a frame, given those up to it."""
    return Known(shot.state.mean, shot.state.covariance, shot.now.x)


def looked_back(shots: Sequence[Shot]) -> Known:
    """Of the first of these frames, given all of them: Rauch, Tung and Striebel's smoother from the last one back.

    Hypotheses follow by the same gains (the ensemble Kalman smoother: Evensen & van Leeuwen 2000), and stay exact
    draws.
    """
    last = shots[-1]
    mean, covariance = last.state.mean, last.state.covariance
    deviations = np.stack(last.now, -1)  # (n, d, 3)
    for here, after in zip(reversed(shots[:-1]), reversed(shots[1:]), strict=True):
        step = np.array([after.step])
        moves = transitions(step, after.seconds)[0]
        spread = here.state.covariance
        ahead = moves @ spread @ moves.swapaxes(-1, -2) + white_noise_covariance(step, after.density, after.seconds)[0]
        gain = np.linalg.solve(ahead, moves @ spread).swapaxes(-1, -2)
        own, shift = here.state.mean, np.zeros_like(mean)
        shift[:, 0] = here.view.middle - after.view.middle  # states are about where joints were on average then
        own = own + shift
        mean = own - shift + (gain @ (mean - (moves @ own[..., None])[..., 0])[..., None])[..., 0]
        covariance = spread + gain @ (covariance - ahead) @ gain.swapaxes(-1, -2)
        change = (deviations - np.stack(after.forecast, -1)).transpose(1, 2, 0)
        deviations = np.stack(here.now, -1) + (gain @ change).transpose(2, 0, 1)
    return Known(mean, covariance, deviations[..., 0])
