"""What is judged of a whole file, judged while it is read in parts.

A few judgements need all of a file: whether coordinates are normalised, on what scale scores are, who is who in a clip.
The first part makes them; every further part only has to agree. Where at the end they do not hold, or the judgement
would need all numbers at once, `NotInParts` is raised and the file has to be read whole: so keypoints that are read in
parts are those that are read whole, to the bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..files.checks import Array
from .cleaning import NORMALISED, Group, measured_places
from .detections import Detections, Options
from .keypoints import Keypoints2D, PoseId
from .tracks import ClipTracker, people_in

__all__ = ["CleanParts", "LinkParts", "NotInParts", "only"]

#: Scores of which none is above the one, and one is above the other, are probabilities: the only ones judged here.
_PROBABILITY, _NOT_FAINT = 1.2, 0.6
_FEWEST_SCORES = 10
#: Frames in which nobody is that a message names.
_NAMED = 6


class NotInParts(Exception):
    """This file has to be read whole."""


@dataclass
class _Exceeds:
    """Whether a quantile of numbers that come one after the other is above a limit, to the bit as `numpy.quantile`."""

    quantile: float
    limit: float
    count: int = 0
    below: int = 0
    largest: float = -np.inf
    smallest: float = np.inf

    def add(self, values: Array) -> None:
        low = values <= self.limit
        self.count += len(values)
        self.below += int(low.sum())
        self.largest = max(self.largest, float(values[low].max(initial=-np.inf)))
        self.smallest = min(self.smallest, float(values[~low].min(initial=np.inf)))

    def __bool__(self) -> bool:
        if not self.count:
            return False
        place = self.quantile * (self.count - 1)
        first = int(np.floor(place))
        if first + 1 < self.below or (first < self.below and place == first):
            return False
        if first >= self.below:
            return True
        return bool(np.quantile([self.largest, self.smallest], place - first) > self.limit)


@dataclass
class _Judged:
    """What is judged of coordinates and scores, and what is to be said of them."""

    normalised: str | None = None
    half: _Exceeds = field(default_factory=lambda: _Exceeds(0.5, NORMALISED))
    most: _Exceeds = field(default_factory=lambda: _Exceeds(0.9, 2 * NORMALISED))
    low: Array = field(default_factory=lambda: np.full(2, np.inf))
    high: Array = field(default_factory=lambda: np.full(2, -np.inf))
    judged_scores: bool = False
    scores: int = 0
    least: float = np.inf
    greatest: float = -np.inf
    placeholders: Counter[str] = field(default_factory=Counter)
    people: int = 0
    small: list[tuple[int, float, PoseId]] = field(default_factory=list)
    nobody: list[int] = field(default_factory=list)
    left_out: int = 0
    total: int = 0


class _Part(Group):
    """A part of a file: judged as the whole is, and silent."""

    judged: _Judged
    first: bool

    def normalisation(self, parts: Sequence[Detections], kinds: Sequence[Array]) -> str | None:
        judged, places = self.judged, measured_places(parts, kinds)
        if len(places):
            reach = np.abs(places).max(-1)
            judged.half.add(reach)
            judged.most.add(reach)
            judged.low = np.minimum(judged.low, places.min(0))
            judged.high = np.maximum(judged.high, places.max(0))
        told = next((part.normalised for part in parts if part.normalised is not None), None)
        pixels = bool(judged.half) or bool(judged.most)
        if self.first:
            judged.normalised = None if pixels else told
            if not pixels and told is None:
                raise NotInParts("how coordinates are normalised is judged of all of them")
        return judged.normalised

    def scale(self, scores: Sequence[Array]) -> str:
        judged = self.judged
        judged.judged_scores = True
        for some in scores:
            known = some[np.isfinite(some) & (some != 0)]
            judged.scores += len(known)
            judged.least = min(judged.least, float(known.min(initial=np.inf)))
            judged.greatest = max(judged.greatest, float(known.max(initial=-np.inf)))
        if judged.least < 0 or judged.greatest > _PROBABILITY:
            raise NotInParts("the scale of the scores is judged of all of them")
        return "probability"

    def warn(self, message: str, *arguments: object) -> None:
        """What is said of the whole is said of no part."""

    def say_placeholders(self, counts: Counter[str], people: int) -> None:
        self.judged.placeholders += counts
        self.judged.people += people

    def say_small(self, people: int, size: float, where: PoseId) -> None:
        self.judged.small = [*self.judged.small, (people, size, where)]
        if len(self.judged.small) > 1:
            least = min(self.judged.small, key=lambda one: one[1])
            self.judged.small = [(sum(one[0] for one in self.judged.small), least[1], least[2])]

    def say_nobody(self, frames: Sequence[int], people: int, total: int) -> None:
        judged = self.judged
        judged.left_out += people
        judged.total += total
        judged.nobody = sorted({*judged.nobody, *frames})[:_NAMED]


class CleanParts:
    """`poseterior.keypoints.cleaning.clean` of one file or clip, part by part.

    Args:
        name: of the file or clip, for messages.
        options: what the caller said.
    """

    def __init__(self, name: str, options: Options) -> None:
        self.name, self.options = name, options
        self._judged = _Judged()
        self._format: str | None = None
        self._first = True

    def __call__(self, parts: list[Detections]) -> list[Detections]:
        """Measurements of the next part, whose people may be in several joint orders.

        Raises:
            NotInParts: the file has to be read whole.
        """
        if not any(len(part.ids) for part in parts):
            return []
        formats = {part.format for part in parts} | ({self._format} if self._format is not None else set())
        if len(formats) > 1:
            raise NotInParts("parts of several formats")
        self._format = parts[0].format
        group = _Part(self.name, parts, self.options)
        group.judged, group.first = self._judged, self._first
        cleaned = group.cleaned()
        self._first = False
        return cleaned

    def finish(self) -> None:
        """Say of the whole what is to be said of it.

        Raises:
            NotInParts: what the first part said does not hold for the whole.
        """
        judged = self._judged
        # what is one point, or all placeholders, is not judged
        judged_places = judged.half.count > 0 and bool((judged.high > judged.low).any())
        normalised = judged_places and not judged.half and not judged.most
        if normalised != (judged.normalised is not None):
            raise NotInParts("how coordinates are normalised is judged of all of them")
        few = judged.scores < _FEWEST_SCORES or judged.least == judged.greatest
        if judged.judged_scores and not few and judged.greatest <= _NOT_FAINT:
            raise NotInParts("the scale of the scores is judged of all of them")
        said = Group(self.name, [], self.options)
        said.say_placeholders(judged.placeholders, judged.people)
        for people, size, where in judged.small:
            said.say_small(people, size, where)
        said.say_nobody(judged.nobody, judged.left_out, judged.total)


class LinkParts:
    """`poseterior.keypoints.tracks.linked` of one clip, part by part, whose frames come in order.

    Args:
        link: False numbers people by their place in the frame, as the file does.

    Attributes:
        poses: how many there were.
        frames: number of frames, and the first and last of them.
        tracks: person -> number of frames.
    """

    def __init__(self, link: bool = True) -> None:
        self.link = link
        self.poses, self.frames = 0, 0
        self.first, self.last = 0, -1
        self.tracks: Counter[int] = Counter()
        self._file: str | None = None
        self._tracked: bool | None = None
        self._steps: Counter[int] = Counter()
        self._linker: ClipTracker | None = None

    def __call__(self, keypoints: Keypoints2D, flags: Sequence[bool | None] | None) -> Keypoints2D:
        """The next frames, whole ones, people numbered through the clip.

        Raises:
            NotInParts: frames that are not in order, several files, people some of whom a tracker numbered.
        """
        ids = keypoints.ids
        if not ids:
            return keypoints
        frames = np.array([identity.frame for identity in ids])
        people = [identity.person for identity in ids]
        if len({identity.file for identity in ids} | ({self._file} if self._file is not None else set())) > 1:
            raise NotInParts("poses of several files")
        starts = np.flatnonzero(np.diff(frames, prepend=frames[0] - 1))
        if (np.diff(frames) < 0).any() or (self.poses and frames[0] <= self.last):
            raise NotInParts("frames that are not in order")
        if len(set(zip(frames.tolist(), people, strict=True))) < len(ids):
            raise NotInParts("somebody who is there twice in a frame")
        tracked = self._is_tracked(frames, people, flags)
        if self._tracked is None:
            self._tracked = tracked
        elif self._tracked != tracked:
            raise NotInParts("people of whom a tracker numbered some")
        distinct = frames[starts]
        before = np.array([self.last] if self.poses else [], distinct.dtype)
        self._steps.update(np.diff(np.concatenate([before, distinct])).tolist())
        if self.link and not tracked:
            if not bool(keypoints.visible.any(-1).all()):
                raise NotInParts("somebody of whom no joint is seen, whom nobody can follow")
            if self._linker is None:
                self._linker = ClipTracker(self._usual_step())
            people = self._linker(people_in(keypoints), frames, people)
            keypoints = keypoints._replace(
                ids=[identity._replace(person=who) for identity, who in zip(ids, people, strict=True)]
            )
        self.first = self.first if self.poses else int(frames[0])
        self._file, self.last = ids[0].file, int(frames[-1])
        self.poses += len(ids)
        self.frames += len(starts)
        self.tracks.update(people)
        return keypoints

    @staticmethod
    def _is_tracked(frames: Array, people: list[int], flags: Sequence[bool | None] | None) -> bool:
        """Whether a tracker numbered these people, as `linked` tells it of a whole clip."""
        given = set(flags or [None])
        if given == {True} or given == {False}:
            return given == {True}
        if given != {None}:
            raise NotInParts("people of whom a tracker numbered some")
        places: dict[int, list[int]] = {}
        for frame, person in zip(frames.tolist(), people, strict=True):
            places.setdefault(frame, []).append(person)
        return not all(sorted(own) == list(range(len(own))) for own in places.values())

    def _usual_step(self) -> int:
        """As `poseterior.files.numbered.usual_step`, of the steps that there were."""
        if not self._steps:
            return 1
        smallest = min(self._steps)
        return smallest if 2 * self._steps[smallest] >= self._steps.total() else 1

    def finish(self) -> None:
        """Check what was taken for granted.

        Raises:
            NotInParts: it does not hold for the whole.
        """
        if self._linker is not None and self._linker.unit != self._usual_step():
            raise NotInParts("frames whose steps change")
        if self.frames == 1 and self._linker is not None:  # no clip: people keep their places
            raise NotInParts("a single frame")


def only(detections: list[Detections]) -> Detections | None:
    """The detections of a part, if they are of one joint order; None where there is nobody.

    Raises:
        NotInParts: of several.
    """
    there = [part for part in detections if len(part.ids)]
    if len(there) > 1:
        raise NotInParts("people in several joint orders")
    return replace(there[0]) if there else None
