"""Frame numbers of files that name their images instead of counting frames."""

from __future__ import annotations

from typing import Any

from ..files.checks import describe
from ..files.errors import InputError
from ..files.numbered import numbers_in_names

__all__ = ["Frame", "FrameNumbers"]

#: Frame numbers are kept as int64.
_LIMIT = 2**63


class Frame(int):
    """Place of an image among those of a file, in order of appearance; `FrameNumbers.settled` tells its number."""

    images: FrameNumbers

    def settled(self) -> int:
        """The frame number, now that the whole file has been read."""
        return self.images.settled(self)


class FrameNumbers:
    """Numbers of the frames that a file's images are, and of the people in each.

    An image's number is that in its name, where all have names (``12.jpg``, ``frame_000123.png``) that differ in
    numbers only; its id, where these are whole numbers and there are no names. Otherwise, and so for names of unrelated
    photographs, images are numbered in order of appearance, as a single one is. Which of these holds is known when the
    whole file has been read: `place` gives `Frame`s, of which `poseterior.keypoints.detections.Detections` ask the
    number.
    """

    def __init__(self) -> None:
        self._frames: dict[Any, Frame] = {}
        self._names: dict[Any, str] = {}
        self._people: dict[int, int] = {}
        self._settled: list[int] | None = None

    def place(self, image_id: Any, what: str, name: Any = None) -> tuple[int, int]:
        """The frame, and the number of the person in it, of the next entry of an image.

        Args:
            image_id: as the file has it.
            what: place in the file, for messages.
            name: the image's file name, where the file tells it besides; names that count frames go before ids.

        Raises:
            InputError: an id that is neither a number nor a name.
        """
        if not isinstance(image_id, (int, str)):
            raise InputError(f"{what}.image_id: expected a number or a name, found {describe(image_id)}")
        if image_id not in self._frames:
            frame = Frame(len(self._frames))
            frame.images = self
            self._frames[image_id], self._settled = frame, None
            if isinstance(name, str):
                self._names[image_id] = name
        frame = self._frames[image_id]
        person = self._people.get(frame, 0)
        self._people[frame] = person + 1
        return frame, person

    def settled(self, frame: int) -> int:
        """Number of a `Frame` that `place` gave."""
        if self._settled is None:
            self._settled = self._numbers()
        return self._settled[frame]

    def numbers(self) -> dict[Any, int]:
        """Image id -> frame number."""
        return {image: self.settled(frame) for image, frame in self._frames.items()}

    def _numbers(self) -> list[int]:
        ids = list(self._frames)
        names = [self._names.get(image, image) for image in ids]
        counted = list(range(len(ids)))
        if len(ids) < 2:
            return counted
        if all(isinstance(name, str) for name in names):
            return numbers_in_names(names) or counted
        return ids if all(isinstance(image, int) and 0 <= image < _LIMIT for image in ids) else counted
