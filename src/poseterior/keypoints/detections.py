"""What a keypoint file holds, on its way to `Keypoints2D`: checked numbers, people, and arrays of them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any

import numpy as np

from ..files.checks import Array, as_index, as_list, numbers, quote
from ..files.errors import InputError
from ..geometry.skeletons import Skeleton, body_of, get_skeleton
from .frame_numbers import Frame, FrameNumbers
from .keypoints import MAXIMUM_COORDINATE, Keypoints2D, PoseId
from .scores import JUDGED

__all__ = [
    "LARGEST_PICTURE",
    "Detections",
    "FrameNumbers",
    "Options",
    "Person",
    "is_nobody",
    "join",
    "points",
    "size_pair",
    "track",
    "triples",
]


#: Width and height of a picture, px: what coordinates may reach.
LARGEST_PICTURE = int(MAXIMUM_COORDINATE)


@dataclass(frozen=True)
class Options:
    """What the caller said about a file.

    Attributes:
        file: path of the file (or clip), as it stands in the ids.
        skeleton: joint order to read with; None where the file must tell.
        image_size: ``(width, height)`` px for files that do not tell.
        confidence_scale: of the scores, one of `poseterior.keypoints.scores.SCALES`; None where the format or the
            scores themselves must tell.
        min_confidence: joints with less confidence are missing; None: `MINIMUM_CONFIDENCE`.
        keep_unseen: keep people without a visible joint.
    """

    file: str
    skeleton: Skeleton | None = None
    image_size: tuple[float, float] | None = None
    confidence_scale: str | None = None
    min_confidence: float | None = None
    keep_unseen: bool = False

    @classmethod
    def said(
        cls,
        file: str,
        skeleton: str | Skeleton | None = None,
        image_size: Sequence[float] | None = None,
        confidence_scale: str | None = None,
        min_confidence: float | None = None,
        keep_unseen: bool = False,
    ) -> Options:
        """The same in the words of `poseterior.keypoints.reading.read_keypoints`.

        Raises:
            InputError: no such skeleton; no size of a picture.
        """
        order = None if skeleton is None else get_skeleton(skeleton)
        size = None if image_size is None else size_pair(list(image_size), "image_size")
        return cls(file, order, size, confidence_scale, min_confidence, keep_unseen)


@dataclass
class Person:
    """One person in one frame: ``xy`` (joints, 2) px and ``confidence`` (joints,).

    ``tracked`` says whether ``person`` is a tracker's number (True) or the place in the frame (False); None: unknown.
    """

    frame: int
    person: int
    xy: Array
    confidence: Array
    file: str | None = None
    source: str | None = None
    image_size: tuple[float, float] | None = None
    tracked: bool | None = None


@dataclass
class Detections:
    """Poses of one joint order, as plain arrays.

    Attributes:
        skeleton: joint order of the arrays.
        ids: where each pose comes from.
        xy: (poses, joints, 2) px, NaN where missing.
        confidence, covariance, visible, image_size, intrinsics, height, amplitude, outliers: as in `Keypoints2D`; None:
            unknown.
        target: the skeleton to put them into afterwards, by joint name.
        sources: for error messages, the file of each pose where it is not that of the id.
        tracked: whether each ``person`` is a tracker's number, see `Person`; None: unknown of all.
        fps: frames per second, where the file tells.
        format: name of the format that they come from.
        scores: scale of the confidence as it stands in the file, see `poseterior.keypoints.scores`; "unknown": told
            from how it is distributed.
        normalised: how coordinates of the format are normalised where they are: "unit" (0 to 1 of the picture),
            "signed" (-1 to 1); None: told from their range.
    """

    skeleton: Skeleton
    ids: list[PoseId]
    xy: Array
    confidence: Array | None = None
    covariance: Array | None = None
    visible: Array | None = None
    image_size: Array | None = None
    intrinsics: Array | None = None
    height: Array | None = None
    amplitude: Array | None = None
    outliers: Array | None = None
    target: Skeleton | None = None
    sources: Sequence[str] | None = None
    tracked: Sequence[bool | None] | None = None
    fps: float | None = None
    format: str = ""
    scores: str = JUDGED
    normalised: str | None = None

    @classmethod
    def from_people(cls, people: Sequence[Person], skeleton: Skeleton, options: Options) -> Detections:
        """Stack people of one joint order."""
        sizes = [person.image_size or options.image_size or (np.nan, np.nan) for person in people]
        return cls(
            skeleton=skeleton,
            ids=[PoseId(p.file or options.file, _settled(p.frame), p.person) for p in people],
            xy=np.array([p.xy for p in people]).reshape(len(people), len(skeleton), 2),
            confidence=np.array([p.confidence for p in people]).reshape(len(people), len(skeleton)),
            image_size=np.array(sizes).reshape(len(people), 2),
            sources=[p.source or options.file for p in people],
            tracked=[p.tracked for p in people],
        )

    def take(self, rows: Array) -> Detections:
        """The poses of these rows (indices or a mask), in that order."""
        rows = np.arange(len(self.ids))[rows]
        changes: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                changes[field.name] = value[rows]
            elif isinstance(value, (list, tuple)):
                changes[field.name] = [value[row] for row in rows]
        return replace(self, **changes)

    def keypoints(self) -> Keypoints2D:
        """Validated keypoints; messages say which frame and person."""
        if body_of(self.skeleton) != self.skeleton:
            return self.body().keypoints()
        confidence = self.confidence
        if confidence is not None and self.visible is None:
            # A joint without a score, or without coordinates, is missing: neither value is then read.
            absent = np.isnan(self.xy).any(-1) | np.isnan(confidence)
            confidence = np.where(absent & ~(confidence < 0), 0.0, confidence)
        try:
            result = Keypoints2D(
                self.xy,
                self.covariance,
                self.visible,
                self.image_size,
                self.skeleton,
                confidence=confidence,
                intrinsics=self.intrinsics,
                height=self.height,
                amplitude=self.amplitude,
                outliers=self.outliers,
                ids=self.ids,
            )
        except InputError as error:
            raise InputError(self.located(str(error))) from None
        if self.fps is not None:
            result.rates = dict.fromkeys((identity.file for identity in self.ids), self.fps)
        return result if self.target is None else result.as_skeleton(self.target)

    def body(self) -> Detections:
        """Without the points of hands and face that follow the body's."""
        body = body_of(self.skeleton)
        if body == self.skeleton:
            return self
        names = ("xy", "confidence", "covariance", "visible", "amplitude", "outliers")
        arrays = {name: getattr(self, name) for name in names}
        kept: dict[str, Any] = {name: a if a is None else a[:, : len(body)] for name, a in arrays.items()}
        return replace(self, skeleton=body, target=None if self.target is None else body_of(self.target), **kept)

    def located(self, message: str) -> str:
        """Replace the position in our batch by the file's own frame and person."""
        found = re.search(r"pose (\d+), ", message)
        if not found:
            return message
        i = int(found[1])
        message = message.replace(found[0], f"frame {self.ids[i].frame}, person {self.ids[i].person}, ", 1)
        return message if self.sources is None else f"{self.sources[i]}: {message}"


def join(parts: Sequence[Detections]) -> list[Detections]:
    """Few batches of many: those that have one joint order, and tell the same things, become one.

    Files of one frame each are read fast so: thousands of small batches would be validated one by one.
    """
    groups: dict[Any, list[Detections]] = {}
    for part in parts:
        given = tuple(getattr(part, name) is None for name in _ARRAYS)
        groups.setdefault((part.skeleton, part.target, given, getattr(part.covariance, "ndim", 0)), []).append(part)
    return [_joined(group) for group in groups.values()]


_ARRAYS = ("confidence", "covariance", "visible", "image_size", "intrinsics", "height", "amplitude", "outliers")


def _joined(parts: Sequence[Detections]) -> Detections:
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    known = [name for name in _ARRAYS if getattr(first, name) is not None]
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in known}
    rates = [part.fps for part in parts if part.fps is not None]
    return dataclasses.replace(
        first,
        ids=[identity for part in parts for identity in part.ids],
        xy=np.concatenate([part.xy for part in parts]),
        sources=[source for part in parts for source in part.sources or [i.file for i in part.ids]],
        tracked=[one for part in parts for one in part.tracked or [None] * len(part.ids)],
        fps=rates[0] if rates else None,
        **arrays,
    )


def _settled(frame: int) -> int:
    return frame.settled() if isinstance(frame, Frame) else frame


def is_nobody(entry: Any) -> bool:
    """Whether an entry stands for a person, or a frame of people, that is not there: null, or empty."""
    return entry is None or entry == {} or entry == []


def track(value: Any, place: int) -> tuple[int, bool]:
    """The ``person`` and ``tracked`` of a `Person`: a tracker's number, else the place in the frame."""
    number = as_index(value, -1)
    return (place, False) if number < 0 else (number, True)


def triples(value: Any, what: str, joints: Sequence[int], remedy: str = "") -> tuple[Array, Array]:
    """``[x0, y0, c0, x1, …]`` as xy (joints, 2) and confidence (joints,), for one of these joint counts."""
    flat = numbers(value, what)
    if len(flat) % 3 or len(flat) // 3 not in joints:
        expected = " or ".join(f"{3 * n} ({n} joints x 3)" for n in joints)
        raise InputError(f"{what}: {len(flat)} numbers; expected {expected}{remedy}")
    rows = flat.reshape(-1, 3)
    return rows[:, :2], rows[:, 2]


def points(value: Any, what: str) -> tuple[Array, Array]:
    """``[[x, y, confidence?], …]`` as xy (joints, 2) and confidence (joints,), 1 where it is not given.

    A joint that is null, or has a null coordinate, is missing (NaN).
    """
    rows = as_list(value, what)
    widths = set(map(len, rows)) if set(map(type, rows)) == {list} else set()
    if len(widths) == 1 and widths <= {2, 3}:
        (width,) = widths
        table = numbers(list(chain.from_iterable(rows)), what).reshape(len(rows), -1)
        return table[:, :2], table[:, 2] if width == 3 else np.ones(len(rows))
    table = np.full((len(rows), 3), np.nan)
    for i, row in enumerate(rows):
        if row is None:
            continue
        entries = numbers(row, f"{what}[{i}]")
        if len(entries) not in (2, 3):
            raise InputError(f"{what}[{i}]: {len(entries)} numbers; expected [x, y] or [x, y, confidence], or null")
        table[i] = (*entries, 1.0) if len(entries) == 2 else entries
    return table[:, :2], table[:, 2]


def size_pair(value: Any, what: str) -> tuple[float, float]:
    """``[width, height]`` above 0, of a picture that there may be."""
    if isinstance(value, tuple):
        value = list(value)
    pair = numbers(value, what)
    if len(pair) != 2 or not np.isfinite(pair).all() or (pair <= 0).any():
        raise InputError(f"{what}: expected [width, height] in pixels, above 0, found {quote(pair.tolist())}")
    if (pair > LARGEST_PICTURE).any():
        raise InputError(f"{what}: no picture is {pair[0]:.4g} x {pair[1]:.4g} px; at most {LARGEST_PICTURE:,}")
    return float(pair[0]), float(pair[1])
