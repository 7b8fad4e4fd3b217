"""What was found in pictures and films: keypoints, and what is to be said of how they were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..keypoints import Keypoints2D, PoseId
from .base import Person

__all__ = ["Seen", "batch", "joined"]


@dataclass(frozen=True)
class Seen:
    """What a detector found in one picture or film.

    Attributes:
        keypoints: batch shape ``(poses,)``, in the detector's skeleton; None: nobody was found.
        notes: what is to be said of it, in words that begin with the file's name.
    """

    keypoints: Keypoints2D | None
    notes: tuple[str, ...] = ()


def batch(people: Sequence[Person], ids: Sequence[PoseId]) -> Keypoints2D:
    """The keypoints of some people, with their ids."""
    return Keypoints2D.cat([person.keypoints for person in people])._replace(ids=ids)


def joined(parts: Sequence[Keypoints2D]) -> Keypoints2D:
    """Keypoints of several sources in one batch: in their skeleton where they share one, else in h36m17."""
    if len({part.skeleton for part in parts}) > 1:
        parts = [part.as_skeleton("h36m17") for part in parts]
    return Keypoints2D.cat(parts)
