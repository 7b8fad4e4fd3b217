"""Smoothing as a method that can be measured: see `poseterior.evaluation.clip_method`."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from numpy.typing import NDArray

from ...distributions.clip_errors import ClipErrors
from ...keypoints import Keypoints2D
from ...lifters import Lifter
from .filtering import PLACE, RETURN, SPEED
from .frames import Frames
from .gaussian import setting_of
from .lift import clip_posterior, lift_frames
from .motion import motion_densities
from .posterior import ClipPosterior

__all__ = ["SMOOTHING", "Smoothing"]


class Smoothing:
    """The parts of `poseterior.lift_clip`, one by one.

    Args:
        contacts: feet that stand still hold the pelvis.
    """

    place, speed, rate = PLACE, SPEED, RETURN
    places = True

    def __init__(self, contacts: bool = False) -> None:
        self.contacts = contacts

    def frames(self, lifter: Lifter, keypoints: Keypoints2D, fps: float, max_gap: float) -> Frames:
        return lift_frames(lifter, keypoints, fps, max_gap=max_gap)

    def densities(self, frames: Frames, errors: ClipErrors) -> Float[NDArray[Any], " d"]:
        return motion_densities(setting_of(frames, errors).seen)

    def motions(self, lifter: Lifter, frames: Frames, errors: ClipErrors | None) -> ClipPosterior:
        return clip_posterior(lifter, frames, errors, self.contacts)


#: The method of `poseterior.lift_clip`.
SMOOTHING = Smoothing()
