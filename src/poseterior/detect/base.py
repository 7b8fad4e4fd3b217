"""What every detector is: a picture in, people with keypoints and their covariances out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..files.errors import InputError
from ..geometry.skeletons import Skeleton
from ..keypoints import Keypoints2D
from .evidence import Array, Evidence

__all__ = ["Array", "Detector", "Person", "checked_picture"]


@dataclass(frozen=True)
class Person:
    """One person in one picture; everything in pixels of the picture as it was given.

    Attributes:
        keypoints: one pose (batch shape ``()``) in the detector's skeleton, with covariances, visibilities and the
            picture's size.
        box: ``(x0, y0, x1, y1)`` around the visible keypoints, px.
        score: how sure the detector is that a person is there, 0 to 1.
        place: what a detector keeps to find this person in the next frame; nobody else reads it.
        evidence: what it tells of each joint, of which a noise model makes covariances; None: what the keypoints say
            (`poseterior.detect.noise.evidence_of`).
    """

    keypoints: Keypoints2D
    box: tuple[float, float, float, float]
    score: float
    place: Any = None
    evidence: Evidence | None = None


class Detector(Protocol):
    """Finds people in pictures.

    Attributes:
        name: by which `poseterior.detect.load_detector` knows it.
        skeleton: joint order of its keypoints.
    """

    name: str
    skeleton: Skeleton

    def detect(self, image: Array) -> list[Person]:
        """The people in a picture ``(height, width, 3)``, uint8 RGB, the surest first; empty for nobody."""
        ...

    def follow(self, image: Array, before: Sequence[Person]) -> list[Person]:
        """The people in the frame of a film after one in which ``before`` were found.

        Looks where they were, where the detector can, and for others besides; in no particular order. Who is who is
        not told: that is a tracker's part.
        """
        ...


def checked_picture(image: Any) -> Array:
    """A picture that detectors take.

    Raises:
        InputError: not ``(height, width, 3)`` uint8, or without pixels.
    """
    picture = np.asarray(image)
    if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8:
        raise InputError(
            f"picture: expected (height, width, 3) uint8 RGB, got shape {picture.shape} of {picture.dtype}"
        )
    if not picture.size:
        raise InputError(f"picture: has no pixels (shape {picture.shape})")
    return picture
