"""What every result tells of its poses: where each comes from, and how they were made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Array", "Provenance", "clips_of"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Provenance:
    """What both kinds of result share: poses that know where they come from and can be selected.

    A subclass adds its fields and names in `PER_POSE` those that have a row per pose (None where they are absent).

    Attributes:
        file: ``(poses,)`` names of the input files.
        frame, person: ``(poses,)`` whole numbers.
        lifter: name of the lifter.
        seed: of the samples, None if there was none.
        settings: free strings that say what was assumed, e.g. ``{"camera": "field of view 50 degrees"}``.
    """

    PER_POSE: ClassVar[tuple[str, ...]] = ("file", "frame", "person")

    file: Array
    frame: Array
    person: Array
    lifter: str = ""
    seed: int | None = None
    settings: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of poses."""
        return len(self.file)

    def __getitem__(self, rows: slice | Array | list[int]) -> Self:
        """Some of the poses, by slice, mask or indices."""
        values = {name: getattr(self, name) for name in self.PER_POSE}
        return replace(self, **{name: value[rows] for name, value in values.items() if value is not None})

    def clips(self) -> list[Array]:
        """Rows of each clip, its frames in order; see `clips_of`."""
        return clips_of(self.file, self.frame, self.person)


def clips_of(file: Array, frame: Array, person: Array) -> list[Array]:
    """The rows of each clip: one person through the frames of one file, in order of the frames.

    Files that hold a frame each are frames of one clip if their names differ in numbers only and these rise evenly
    with the frames (``walk_0001.jpg``, ``walk_0002.jpg`` ...); other such files are photographs of strangers. A frame
    that a person has twice begins another clip.
    """
    names = [str(name) for name in file]
    label = "" if _is_sequence(names, frame) else None
    found: dict[tuple[str, int, int], list[int]] = {}
    seen: dict[tuple[str, int, int], int] = {}
    for row, (name, number, who) in enumerate(zip(names, frame.tolist(), person.tolist(), strict=True)):
        name = name if label is None else label
        repeat = seen.get((name, number, who), 0)
        seen[name, number, who] = repeat + 1
        found.setdefault((name, who, repeat), []).append(row)
    return [np.asarray(sorted(rows, key=lambda row: int(frame[row]))) for rows in found.values()]


def _is_sequence(names: list[str], frame: Array) -> bool:
    """Whether each file is a frame of one and the same clip, to judge by their names."""
    frames = dict(zip(names, frame.tolist(), strict=True))
    single = all(frames[name] == number for name, number in zip(names, frame.tolist(), strict=True))
    if len(frames) < 3 or not single or len({re.sub(r"\d+", "#", name) for name in frames}) > 1:
        return False
    ordered = sorted(frames, key=lambda name: frames[name])
    numbers = np.array([[int(n) for n in re.findall(r"\d+", name)] for name in ordered])
    moving = (numbers != numbers[0]).any(0)
    if moving.sum() != 1:
        return False
    gaps = np.diff(numbers[:, moving][:, 0])
    return bool(gaps.min() > 0 and np.median(gaps) == gaps.min())
