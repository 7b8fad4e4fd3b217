"""What every result tells of its poses: where each comes from, and how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..files.numbered import is_sequence

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CLIP", "HYPOTHESES", "KERNELS", "SINGLE", "Array", "Provenance", "clips_of", "rates_in_words"]

Array = NDArray[Any]
#: Settings of results of clips that were lifted as a whole: what was assumed; and, as a JSON list of pairs of file and
#: person, which poses besides were lifted frame by frame.
CLIP, SINGLE = "clip", "frame by frame"
#: Where hypotheses are no draws: the setting, and what it says of the means of a mixture's kernels.
HYPOTHESES, KERNELS = "hypotheses", "means of the mixture's kernels, likeliest first"


@dataclass(frozen=True, eq=False, kw_only=True)
class Provenance:
    """What both kinds of result share: poses that know where they come from and can be selected.

    A subclass adds its fields and names in `PER_POSE` those that have a row per pose (None where they are absent).

    Attributes:
        file: ``(poses,)`` names of the input files.
        frame, person: ``(poses,)`` whole numbers.
        lifter: name of the lifter.
        seed: of the samples, None if there was none.
        settings: free strings that say what was assumed, e.g. ``{"camera": "field of view 50 degrees"}``;
            ``fps`` holds the frames per second where the input told them.
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

    @property
    def fps(self) -> float | None:
        """Frames per second, where the input told them, and the same of all its files."""
        rates = {self.rate(str(file)) for file in set(self.file.tolist())}
        return rates.pop() if len(rates) == 1 else None

    def rate(self, file: str) -> float | None:
        """Frames per second of one input file, None where it did not tell."""
        try:
            told = json.loads(self.settings.get("fps", "null"))
        except ValueError:
            return None
        rate = told.get(file) if isinstance(told, dict) else told
        if isinstance(rate, bool) or not isinstance(rate, (int, float)):
            return None
        return float(rate) if 0 < rate < float("inf") else None

    @property
    def notes(self) -> dict[str, str]:
        """The settings that are for people to read."""
        return {name: _in_words(text) if name == SINGLE else text for name, text in self.settings.items()}

    def clips(self) -> list[Array]:
        """Rows of each clip, its frames in order; see `clips_of`."""
        return clips_of(self.file, self.frame, self.person)

    def whole(self, rows: Array | list[int]) -> bool:
        """Whether these rows of a clip were lifted as a whole: their k-th hypotheses are then one motion."""
        if CLIP not in self.settings or not len(rows):
            return False
        try:
            single = json.loads(self.settings.get(SINGLE, "[]"))
            apart = {(str(file), int(person)) for file, person in single}
        except (TypeError, ValueError):
            return False
        return all((str(self.file[row]), int(self.person[row])) not in apart for row in rows)


def _in_words(single: str) -> str:
    """Who was lifted frame by frame, for people to read; the text itself where it is another."""
    try:
        named = [f"{file} person {int(person)}".strip() for file, person in json.loads(single)]
    except (TypeError, ValueError):
        return single
    return ", ".join(named[:4]) + (f" and {len(named) - 4} more" if len(named) > 4 else "")


def clips_of(file: Array, frame: Array, person: Array) -> list[Array]:
    """The rows of each clip: one person through the frames of one file, in order of the frames.

    Files that hold a frame each are frames of one clip if their names differ in numbers only and these rise evenly
    with the frames (``walk_0001.jpg``, ``walk_0002.jpg`` ...); other such files are photographs of strangers. A frame
    that a person has twice begins another clip.
    """
    names = [str(name) for name in file]
    label = "" if is_sequence(names, frame.tolist()) else None
    found: dict[tuple[str, int, int], list[int]] = {}
    seen: dict[tuple[str, int, int], int] = {}
    for row, (name, number, who) in enumerate(zip(names, frame.tolist(), person.tolist(), strict=True)):
        name = name if label is None else label
        repeat = seen.get((name, number, who), 0)
        seen[name, number, who] = repeat + 1
        found.setdefault((name, who, repeat), []).append(row)
    return [np.asarray(sorted(rows, key=lambda row: int(frame[row]))) for rows in found.values()]


def rates_in_words(rates: Mapping[str, float], files: Sequence[str]) -> dict[str, str]:
    """What `Provenance.rate` reads, as settings: one number where all files have it, else an object by file."""
    known = {file: rates[file] for file in dict.fromkeys(files) if file in rates}
    if not known:
        return {}
    same = len(set(known.values())) == 1 and all(file in known for file in files)
    return {"fps": json.dumps(next(iter(known.values())) if same else known)}
