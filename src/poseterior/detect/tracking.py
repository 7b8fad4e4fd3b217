"""People through the frames of a film, as the frames come: who is found now, and who of those before that is."""

from __future__ import annotations

from collections.abc import Sequence

from ..files.reading import reading
from ..keypoints import Keypoints2D
from ..keypoints.tracks import Tracks
from .base import Array, Detector, Person

__all__ = ["Follower"]


class Follower:
    """A detector that knows people again.

    The detector looks where people were in the frame before, and for others. Who is who is told by
    `poseterior.keypoints.tracks`, from where each joint is expected and how uncertain it is: the detector's covariances
    count, so that a joint of which little is known hardly does.

    Args:
        detector: finds people.
        name: of the film, for messages.
        unit: by how much the frames' numbers mostly rise.
    """

    def __init__(self, detector: Detector, name: str, unit: int = 1) -> None:
        self._detector, self._name = detector, name
        self._tracks = Tracks(unit)
        self._before: Sequence[Person] = ()

    def __call__(self, frame: int, image: Array) -> list[tuple[int, Person]]:
        """The people in the next frame with their numbers, which stay theirs; new people get the next number.

        Args:
            frame: its number, above that of the frame before.
            image: ``(height, width, 3)`` uint8 RGB.

        Raises:
            InputError: as the detector; names the film and the frame.
        """
        with reading(f"{self._name}, frame {frame}", "try another --detector"):
            people = self._detector.follow(image, self._before) if self._before else self._detector.detect(image)
        self._before = people
        if not people:
            return []
        numbers = self._tracks(frame, Keypoints2D.cat([person.keypoints for person in people]))
        return list(zip(numbers, people, strict=True))
