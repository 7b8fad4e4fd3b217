"""People through the frames of a clip: who is who where a file does not tell.

From frame to frame, people are assigned to those that were seen before so that the sum of costs is least (Kuhn 1955;
shortest augmenting paths, Jonker & Volgenant 1987). The cost of a person is the mean over the joints seen both times of
the negative log-likelihood of a Cauchy distribution: log(1 + d² / 2S²), d the distance in px from where the joint is
expected by its last place and the person's velocity, S² the keypoints' variances and that of a body's motion. A joint
that a detector put elsewhere, or left and right taken for each other, costs a bounded amount so. Beyond a jump of about
one and a half times a person's size a track ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from ..files.checks import counted
from ..files.errors import InputError
from ..files.numbered import is_sequence, usual_step
from .keypoints import Keypoints2D, PoseId, person_size

__all__ = [
    "ClipTracker",
    "Tracks",
    "assign",
    "clip_summary",
    "clip_words",
    "linked",
    "moves_on",
    "of_person",
    "people_in",
]

Array = NDArray[np.float64]

#: Standard deviation of a joint's motion from one frame to the next, beside the whole person's: share of the size.
_MOTION = 0.15
#: A jump that ends a track, in sizes of the person: of one seen once, whose velocity is unknown, and of others.
_FIRST_JUMP, _JUMP = 1.5, 1.0
#: Frames (of the usual step) after which somebody who comes back is somebody else; over which motion is predicted.
_MEMORY, _PREDICTED = 30, 10
#: Weight of the newest velocity, once there are several.
_GAIN = 0.35
#: Fewer joints in common than this say little of a person's place.
_FEW = 3


# -- assignment ----------------------------------------------------------------------------------------------


def assign(cost: Float[Array, "rows columns"]) -> list[tuple[int, int]]:
    """Pairs of rows and columns, as many as the smaller side has, of least total cost.

    Args:
        cost: finite. For a handful of people; the time grows with the cube of their number.
    """
    if cost.shape[0] > cost.shape[1]:
        return sorted((row, column) for column, row in assign(cost.T))
    nearest = cost.argmin(1)
    if len(set(nearest.tolist())) == len(cost):  # nobody stands in another's way
        return list(enumerate(nearest.tolist()))
    return _augmented(cost)


def _augmented(cost: Array) -> list[tuple[int, int]]:
    """Rows are added in turn, each along the cheapest path of reassignments. Index 0 stands for no row, no column."""
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows + 1), np.zeros(columns + 1)
    row_of, before = np.zeros(columns + 1, int), np.zeros(columns + 1, int)
    for row in range(1, rows + 1):
        row_of[0], at = row, 0
        slack, done = np.full(columns + 1, np.inf), np.zeros(columns + 1, bool)
        while row_of[at]:
            done[at] = True
            reduced = cost[row_of[at] - 1] - row_price[row_of[at]] - column_price[1:]
            better = ~done[1:] & (reduced < slack[1:])
            slack[1:][better], before[1:][better] = reduced[better], at
            nearest = int(np.where(done[1:], np.inf, slack[1:]).argmin()) + 1
            step = slack[nearest]
            row_price[row_of[done]] += step
            column_price[done] -= step
            slack[~done] -= step
            at = nearest
        while at:
            row_of[at], at = row_of[before[at]], before[at]
    return sorted((int(row) - 1, column) for column, row in enumerate(row_of[1:]) if row)


# -- one clip ------------------------------------------------------------------------------------------------


@dataclass
class _People:
    """Some people: in a frame, or as they were last seen.

    Attributes:
        xy, variance: (people, joints, 2) px and (people, joints) px².
        seen: (people, joints) bool.
        size: (people,) px.
    """

    xy: Array
    variance: Array
    seen: NDArray[np.bool_]
    size: Array

    def __getitem__(self, rows: Any) -> _People:
        return _People(self.xy[rows], self.variance[rows], self.seen[rows], self.size[rows])

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def centre(self) -> Array:
        weight = self.seen[..., None]
        return np.where(weight, self.xy, 0.0).sum(-2) / np.maximum(weight.sum(-2), 1)


def people_in(keypoints: Keypoints2D) -> _People:
    """What is known of where people are, for who follows them."""
    covariance = keypoints.covariance.detach().cpu().double().numpy()
    size = person_size(keypoints.xy, keypoints.visible).detach().cpu().double().numpy()
    return _People(
        keypoints.xy.detach().cpu().double().numpy(),
        (covariance[..., 0, 0] + covariance[..., 1, 1]) / 2,
        keypoints.visible.cpu().numpy(),
        np.maximum(size, 1.0),
    )


def _costs(known: _People, velocity: Array, steps: Array, found: _People) -> Float[Array, "known found"]:
    """Cost of each person found being one of those known, ``steps`` frames later."""
    ahead = np.minimum(steps, _PREDICTED)
    size = np.sqrt(known.size[:, None] * found.size)
    motion = (_MOTION * size) ** 2 * ahead[:, None]
    expected = known.xy + (velocity * ahead[:, None])[:, None]
    both = known.seen[:, None] & found.seen
    square = ((found.xy - expected[:, None]) ** 2).sum(-1)
    spread = known.variance[:, None] + found.variance + motion[..., None]
    count = both.sum(-1)
    cost = np.where(both, np.log1p(square / (2 * spread)), 0.0).sum(-1) / np.maximum(count, 1)
    # Hardly a joint in common: the middles of what is seen are near each other, by about a size.
    apart = ((found.centre - (known.centre + velocity * ahead[:, None])[:, None]) ** 2).sum(-1)
    return np.where(count >= _FEW, cost, np.log1p(apart / (2 * (size**2 / 4 + motion))))


def _gate(jump: float) -> float:
    """The cost of a jump of so many sizes from one frame to the next."""
    return float(np.log1p(jump**2 / (2 * _MOTION**2)))


class _Tracker:
    """The people seen so far, and where they are expected."""

    def __init__(self, unit: int) -> None:
        self.unit = unit
        self.people: _People | None = None
        self.velocity = np.empty((0, 2))
        self.last = np.empty(0, np.int64)
        self.age = np.empty(0, int)
        self.number = np.empty(0, np.int64)

    def follow(self, frame: int, found: _People, name: Callable[[int], int]) -> list[int]:
        """Numbers of the people in the next frame; ``name`` gives those of who is new, by index among ``found``."""
        self._forget(frame)
        numbers = np.full(len(found), -1, np.int64)
        if self.people is not None and len(self.people) and len(found):
            steps = (frame - self.last) / self.unit
            cost = _costs(self.people, self.velocity, steps, found)
            gate = np.where(self.age > 1, _gate(_JUMP), _gate(_FIRST_JUMP))[:, None]
            # What is no match costs the same whoever it is; equals are told apart by their order.
            order = 1e-9 * np.abs(np.arange(len(self.people))[:, None] - np.arange(len(found)))
            # Somebody who has not been seen for a while may be anywhere, so is less likely to be just here.
            away = np.log(np.clip(steps, 1.0, _PREDICTED))[:, None]
            pairs = assign(np.minimum(cost + away - gate, 0.0) + order)
            pairs = [(known, new) for known, new in pairs if cost[known, new] <= gate[known, 0]]
            if pairs:
                known, new = np.array(pairs).T
                self._update(known, found[new], steps[known], frame)
                numbers[new] = self.number[known]
        strangers = np.flatnonzero(numbers < 0)
        for place in strangers.tolist():
            numbers[place] = name(place)
        if len(strangers):
            self._add(found[strangers], numbers[strangers], frame)
        return [int(number) for number in numbers]

    def _forget(self, frame: int) -> None:
        recent = frame - self.last <= _MEMORY * self.unit
        if self.people is not None and not recent.all():
            self.people = self.people[recent]
            self.velocity, self.last = self.velocity[recent], self.last[recent]
            self.age, self.number = self.age[recent], self.number[recent]

    def _update(self, known: NDArray[np.int64], found: _People, steps: Array, frame: int) -> None:
        assert self.people is not None
        before = self.people[known]
        both = (before.seen & found.seen)[..., None]
        moved = np.where(both, found.xy - before.xy, 0.0).sum(1) / np.maximum(both.sum(1), 1)
        moved = np.where(both.sum(1) >= _FEW, moved, found.centre - before.centre)
        seen_twice = self.age[known] == 1
        gain = np.where(seen_twice, 1.0, _GAIN)[:, None]
        self.velocity[known] += gain * (moved / steps[:, None] - self.velocity[known])
        shown = found.seen
        older = before.variance + ((_MOTION * before.size) ** 2 * steps)[:, None]
        self.people.xy[known] = np.where(shown[..., None], found.xy, before.xy + moved[:, None])
        self.people.variance[known] = np.where(shown, found.variance, older)
        self.people.seen[known] |= shown
        self.people.size[known] = np.where(shown.sum(1) >= before.seen.sum(1) / 2, found.size, before.size)
        self.last[known] = frame
        self.age[known] += 1

    def _add(self, found: _People, numbers: NDArray[np.int64], frame: int) -> None:
        if self.people is None:
            self.people = _People(found.xy.copy(), found.variance.copy(), found.seen.copy(), found.size.copy())
        else:
            old = self.people
            self.people = _People(
                np.concatenate([old.xy, found.xy]), np.concatenate([old.variance, found.variance]),
                np.concatenate([old.seen, found.seen]), np.concatenate([old.size, found.size]),
            )  # fmt: skip
        self.velocity = np.concatenate([self.velocity, np.zeros((len(found), 2))])
        self.last = np.concatenate([self.last, np.full(len(found), frame)])
        self.age = np.concatenate([self.age, np.ones(len(found), int)])
        self.number = np.concatenate([self.number, numbers])


class ClipTracker:
    """Numbers of the people of a clip, whose frames come in order, a few or all at a time.

    Who is new gets the number of the place in the frame, if nobody has had it, else the next free one.

    Args:
        unit: by how much the frames' numbers mostly rise.
        taken: numbers that are not given.
    """

    def __init__(self, unit: int, taken: set[int] | None = None) -> None:
        self.unit = unit
        self._tracker = _Tracker(unit)
        self._taken = set() if taken is None else taken
        self._free = 0

    def __call__(self, people: _People, frames: Int[NDArray[np.int64], "rows"], places: Sequence[int]) -> list[int]:
        """The number of each person; rows in order of the frames, none of which is cut.

        Args:
            people: of `people_in`.
            frames: number of each one's frame.
            places: of each person in the frame.
        """
        starts = np.flatnonzero(np.diff(frames, prepend=frames[0] - 1))
        numbers: list[int] = []

        def name(index: int) -> int:
            number = places[start + index]
            if number in self._taken:
                while self._free in self._taken:
                    self._free += 1
                number = self._free
            self._taken.add(number)
            return number

        for start, end in zip(starts, [*starts[1:], len(frames)], strict=True):
            numbers += self._tracker.follow(int(frames[start]), people[start:end], name)
        return numbers


def _linked_clip(
    people: _People, frames: Int[NDArray[np.int64], "rows"], places: Sequence[int], taken: set[int]
) -> list[int]:
    """Numbers of the people of a clip, whose rows are in order of the frames; ``taken`` are not given."""
    return ClipTracker(usual_step(frames.tolist()), taken)(people, frames, places)


class Tracks:
    """Who is who in frames as they come: call it with the people of each frame, in order.

    Somebody who is not found for `_MEMORY` frames and comes back near where they are expected is the same person;
    later, or elsewhere, they are somebody new. New people get the next number.

    >>> here = Keypoints2D(100 + 10 * np.arange(34.0).reshape(1, 17, 2))
    >>> there = Keypoints2D(5000 + 10 * np.arange(34.0).reshape(1, 17, 2))
    >>> tracks = Tracks()
    >>> tracks(0, here), tracks(1, Keypoints2D.cat([there, here])), tracks(2, there)
    ([0], [1, 0], [1])

    Args:
        unit: by how much the frames' numbers mostly rise.
    """

    def __init__(self, unit: int = 1) -> None:
        self._tracker = _Tracker(unit)
        self._next = 0

    def __call__(self, frame: int, keypoints: Keypoints2D) -> list[int]:
        """The number of each person.

        Args:
            frame: its number, above that of the frame before.
            keypoints: the people in it, batch shape ``(people,)``, always in the same skeleton.
        """
        return self._tracker.follow(frame, people_in(keypoints), self._name)

    def _name(self, place: int) -> int:
        self._next += 1
        return self._next - 1


def moves_on(keypoints: Keypoints2D) -> bool:
    """Whether most frames show somebody whom the frame before showed: what a clip does and photographs do not."""
    people = people_in(keypoints)
    frames = np.array([identity.frame for identity in keypoints.ids])
    order = np.argsort(frames, kind="stable")
    numbers = np.asarray(_linked_clip(people[order], frames[order], [0] * len(order), set()))
    shown: dict[int, set[int]] = {}
    for frame, number in zip(frames[order].tolist(), numbers.tolist(), strict=True):
        shown.setdefault(frame, set()).add(number)
    steps = list(pairwise(shown.values()))
    return bool(steps) and 2 * sum(bool(a & b) for a, b in steps) >= len(steps)


# -- all clips -----------------------------------------------------------------------------------------------


def linked(
    parts: Sequence[Keypoints2D], tracked: Sequence[Sequence[bool | None] | None], link: bool = True
) -> list[Keypoints2D]:
    """The poses of clips in order of their frames, people numbered through each clip.

    A clip is a file of several frames, or files of one frame each whose names count them. Numbers that a tracker gave
    stay; other people are linked and get numbers of their own. What is no clip stays as it is.

    Args:
        parts: what one path holds; more than one where people have different joints.
        tracked: of each part, see `poseterior.keypoints.detections.Detections`.
        link: False numbers people by their place in the frame, as the file does.
    """
    parts = [part.flatten() for part in parts]
    ids = [identity for part in parts for identity in part.ids]
    clips = _clips(ids)
    if not clips:
        return list(parts)
    flags = [flag for part, known in zip(parts, tracked, strict=True) for flag in known or [None] * len(part)]
    if link:
        shape = {part.skeleton for part in parts}
        whole = Keypoints2D.cat([part if len(shape) == 1 else part.as_skeleton("h36m17") for part in parts])
        people = people_in(whole)
        for rows in clips:
            _name_clip(ids, flags, people, rows)
    order = _in_time(ids, clips)
    found, start = [], 0
    for part in parts:
        own = [row - start for row in order if start <= row < start + len(part)]
        named = part._replace(ids=ids[start : start + len(part)])
        found.append(named if own == list(range(len(part))) else named[own])
        start += len(part)
    return found


def _clips(ids: Sequence[PoseId]) -> list[list[int]]:
    """Rows of each clip, in order of the frames."""
    rows: dict[str, list[int]] = {}
    for row, identity in enumerate(ids):
        rows.setdefault(identity.file, []).append(row)
    if len(rows) > 1 and is_sequence([i.file for i in ids], [i.frame for i in ids]):
        rows = {"": list(range(len(ids)))}
    several = [own for own in rows.values() if len({ids[row].frame for row in own}) > 1]
    return [sorted(own, key=lambda row: ids[row].frame) for own in several]


def _in_time(ids: Sequence[PoseId], clips: list[list[int]]) -> list[int]:
    """All rows, those of each clip in order in the places that they had."""
    order = list(range(len(ids)))
    for rows in clips:
        for place, row in zip(sorted(rows), rows, strict=True):
            order[place] = row
    return order


def _name_clip(ids: list[PoseId], flags: Sequence[bool | None], people: _People, rows: list[int]) -> None:
    """Number the people of one clip, in place."""
    own = [ids[row] for row in rows]
    seen: set[tuple[int, int]] = set()
    known = []
    tracked = _tracked(own, [flags[row] for row in rows])
    for identity, sure in zip(own, tracked, strict=True):  # twice in a frame is no track
        known.append(sure and (identity.frame, identity.person) not in seen)
        seen.add((identity.frame, identity.person))
    # Of whom no joint is seen nothing tells where they go.
    loose = [row for row, sure in zip(rows, known, strict=True) if not sure and people.seen[row].any()]
    if not loose:
        return
    taken = {identity.person for identity, sure in zip(own, known, strict=True) if sure}
    frames = np.array([ids[row].frame for row in loose])
    places = [ids[row].person for row in loose]
    for row, number in zip(loose, _linked_clip(people[np.array(loose)], frames, places, taken), strict=True):
        ids[row] = ids[row]._replace(person=number)


def _tracked(ids: Sequence[PoseId], flags: Sequence[bool | None]) -> list[bool]:
    """Whether each number is a tracker's. Some files number everybody 0: nobody ran a tracker."""
    numbers = Counter(identity.person for identity in ids)
    frames = Counter(identity.frame for identity in ids)
    if len(numbers) == 1 and max(frames.values()) > 1:
        return [False] * len(ids)
    if any(flag is not None for flag in flags):
        return [bool(flag) for flag in flags]
    places: dict[int, list[int]] = {}
    for identity in ids:
        places.setdefault(identity.frame, []).append(identity.person)
    return [not all(sorted(own) == list(range(len(own))) for own in places.values())] * len(ids)


# -- for people ----------------------------------------------------------------------------------------------


def clip_summary(keypoints: Keypoints2D) -> list[str]:
    """One line per clip: its frames, its people, and the longest track.

    >>> ids = [PoseId("walk.json", frame, 0) for frame in (0, 1, 3)]
    >>> clip_summary(Keypoints2D(np.zeros((3, 17, 2)), ids=ids))
    ['walk.json: 3 frames (0 to 3), 1 person']
    """
    ids = list(keypoints.ids)
    lines = []
    for rows in _clips(ids):
        frames = sorted({ids[row].frame for row in rows})
        tracks = Counter(ids[row].person for row in rows)
        lines.append(clip_words(ids[rows[0]].file, len(frames), frames[0], frames[-1], tracks))
    return lines


def clip_words(name: str, frames: int, first: int, last: int, tracks: Mapping[int, int]) -> str:
    """What is said of a clip: its number of frames, the first and last of them, and frames by person."""
    line = f"{name}: {counted(frames, 'frame')} ({first} to {last}), "
    if len(tracks) == 1:
        return line + "1 person"
    longest, count = Counter(tracks).most_common(1)[0]
    return line + f"{len(tracks)} people; the longest track is person {longest}, of {counted(count, 'frame')}"


def of_person(keypoints: Keypoints2D, person: int) -> Keypoints2D:
    """One person's poses.

    Raises:
        InputError: nobody has that number; the message names those that there are.
    """
    rows = [row for row, identity in enumerate(keypoints.ids) if identity.person == person]
    if not rows:
        found = Counter(identity.person for identity in keypoints.ids).most_common(10)
        listed = ", ".join(f"{number} ({counted(count, 'frame')})" for number, count in found)
        raise InputError(f"--person {person}: no such person; there are: {listed}")
    return keypoints[rows]
