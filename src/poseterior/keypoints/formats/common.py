"""What the readers share: checked numbers, joint names, and the arrays that become `Keypoints2D`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ...files.checks import Array, as_list, describe, numbers
from ...files.errors import InputError
from ...geometry.skeletons import SKELETONS, Skeleton, canonical_joint_name, get_skeleton
from ..keypoints import Keypoints2D, PoseId

#: Numbers of joints that detectors write without naming them -> (skeleton, how many leading joints are its).
#: 133 is COCO-WholeBody, 136 is Halpe's full body: the body comes first in both, the rest is not used.
UNNAMED: dict[int, str] = {17: "coco17", 26: "halpe26", 133: "coco17", 136: "halpe26"}

# cmu31's names (root, thorax, head) mean other things than those of the keypoint skeletons.
_NAMED_LAYOUTS = tuple(s for s in SKELETONS.values() if s.name != "cmu31")
_KNOWN_JOINTS = frozenset(chain.from_iterable(s.joints for s in SKELETONS.values()))
_USUAL_JOINTS = sorted(set(chain.from_iterable(s.joints for s in _NAMED_LAYOUTS)))

RESULT = "is a result of poseterior, not keypoints; open it with `poseterior view`"
_RESULT_SCHEMA = "poseterior.result"


class UnknownContent(InputError):
    """The content is of none of the formats: a folder skips such files."""


def is_result_schema(schema: Any) -> bool:
    """Whether a file's ``schema`` field says that it is one of our result files."""
    return isinstance(schema, str) and schema.startswith(_RESULT_SCHEMA)


@dataclass(frozen=True)
class Options:
    """What the caller said about a file.

    Attributes:
        file: path of the file (or clip), as it stands in the ids.
        skeleton: joint order to read with; None where the file must tell.
        image_size: ``(width, height)`` px for files that do not tell.
    """

    file: str
    skeleton: Skeleton | None = None
    image_size: tuple[float, float] | None = None


@dataclass
class Person:
    """One person in one frame: ``xy`` (joints, 2) px and ``confidence`` (joints,)."""

    frame: int
    person: int
    xy: Array
    confidence: Array
    file: str | None = None
    source: str | None = None
    image_size: tuple[float, float] | None = None


@dataclass
class Detections:
    """Poses of one joint order, as plain arrays.

    Attributes:
        skeleton: joint order of the arrays.
        ids: where each pose comes from.
        xy: (poses, joints, 2) px, NaN where missing.
        confidence, covariance, visible, image_size, intrinsics, height, amplitude: as in `Keypoints2D`; None: unknown.
        target: the skeleton to put them into afterwards, by joint name.
        sources: for error messages, the file of each pose where it is not that of the id.
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
    target: Skeleton | None = None
    sources: Sequence[str] | None = None

    @classmethod
    def from_people(cls, people: Sequence[Person], skeleton: Skeleton, options: Options) -> Detections:
        """Stack people of one joint order."""
        sizes = [person.image_size or options.image_size or (np.nan, np.nan) for person in people]
        return cls(
            skeleton=skeleton,
            ids=[PoseId(p.file or options.file, p.frame, p.person) for p in people],
            xy=np.array([p.xy for p in people]).reshape(len(people), len(skeleton), 2),
            confidence=np.array([p.confidence for p in people]).reshape(len(people), len(skeleton)),
            image_size=np.array(sizes).reshape(len(people), 2),
            sources=[p.source or options.file for p in people],
        )

    def keypoints(self) -> Keypoints2D:
        """Validated keypoints; messages say which frame and person."""
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
                ids=self.ids,
            )
        except InputError as error:
            raise InputError(self._locate(str(error))) from None
        return result if self.target is None else result.as_skeleton(self.target)

    def _locate(self, message: str) -> str:
        """Replace the position in our batch by the file's own frame and person."""
        found = re.search(r"pose (\d+), ", message)
        if not found:
            return message
        i = int(found[1])
        message = message.replace(found[0], f"frame {self.ids[i].frame}, person {self.ids[i].person}, ", 1)
        return message if self.sources is None else f"{self.sources[i]}: {message}"


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
    widths = {len(row) if isinstance(row, list) else None for row in rows}
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
    """``[width, height]`` above 0."""
    if isinstance(value, tuple):
        value = list(value)
    pair = numbers(value, what)
    if len(pair) != 2 or not np.isfinite(pair).all() or (pair <= 0).any():
        raise InputError(f"{what}: expected [width, height] in pixels, above 0, found {pair.tolist()}")
    return float(pair[0]), float(pair[1])


# -- joints --------------------------------------------------------------------------------------------


def unnamed_layout(options: Options) -> dict[int, Skeleton]:
    """Joint counts that a format without joint names may have -> the skeleton of its leading joints."""
    if options.skeleton is not None:
        return {len(options.skeleton): options.skeleton}
    return {count: get_skeleton(name) for count, name in UNNAMED.items()}


def skeleton_remedy(options: Options, unset: str = "") -> str:
    """What to do about a number of joints that does not fit; ``unset`` where no skeleton was asked for."""
    if options.skeleton is None:
        return unset
    return f"; skeleton {options.skeleton.name!r} does not fit this file: drop --skeleton, or lift this file apart"


def resolve_names(names: Any, what: str, skeleton: Skeleton | None = None) -> list[str | None]:
    """Our spelling of a file's joint names; None for those that no skeleton knows.

    Raises:
        InputError: not a list of strings, or two that mean the same joint.
    """
    listed = as_list(names, what)
    for i, name in enumerate(listed):
        if not isinstance(name, str):
            raise InputError(f"{what}[{i}]: expected a joint name, found {describe(name)}")
    own = frozenset(skeleton.joints) if skeleton else frozenset()
    found = [name if name in own else canonical_joint_name(name) for name in listed]
    # "left_foot" is a way to say ankle, unless the ankle is there too: then it is SMPL's foot.
    found = [
        raw if found.count(ours) > 1 and raw in _KNOWN_JOINTS else ours for raw, ours in zip(listed, found, strict=True)
    ]
    known = [joint if joint in _KNOWN_JOINTS else None for joint in found]
    for i, joint in enumerate(known):
        if joint is not None and joint in known[:i]:
            first = listed[known.index(joint)]
            raise InputError(f"{what}: {first!r} and {listed[i]!r} both mean {joint!r}; name each joint once")
    return known


def refuse_unknown(names: Sequence[str], known: Sequence[str | None], what: str) -> list[str]:
    """``known`` if every joint is, else an `InputError` with the nearest joint name."""
    for name, joint in zip(names, known, strict=True):
        if joint is None:
            near = difflib.get_close_matches(canonical_joint_name(name), _USUAL_JOINTS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {_usual_names()}"
            raise InputError(f"{what}: unknown joint {describe(name)}; {hint}")
    return [joint for joint in known if joint is not None]


def _usual_names() -> str:
    """The joints of h36m17 and coco17, both sides in one, and the names of the other skeletons."""
    joints = sorted({*get_skeleton("h36m17").joints, *get_skeleton("coco17").joints})
    middle = [joint for joint in joints if not joint.startswith(("left_", "right_"))]
    paired = [f"left_/right_{joint.removeprefix('left_')}" for joint in joints if joint.startswith("left_")]
    others = [s.name for s in _NAMED_LAYOUTS if s.name not in ("h36m17", "coco17")]
    return f"{', '.join(middle + paired)}, and the joints of {', '.join(others)}"


def covering_skeleton(joints: Sequence[str], skeleton: Skeleton | None) -> Skeleton:
    """The skeleton given, else the smallest named one that has all ``joints``, else h36m17."""
    if skeleton is not None:
        return skeleton
    covering = [s for s in _NAMED_LAYOUTS if set(joints) <= set(s.joints)]
    return min(covering, key=len, default=get_skeleton("h36m17"))


def temporary_skeleton(joints: Sequence[str]) -> Skeleton:
    """A skeleton of loose joints in the file's order, to be mapped by name."""
    return Skeleton("file", tuple(joints), (-1,) * len(joints))
