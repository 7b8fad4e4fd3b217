"""Numbers in names: which names are frames of one clip, and which frame each of them is."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

__all__ = ["Series", "evenly_numbered", "is_sequence", "natural_key", "numbers_in_names", "series_of", "usual_step"]

_DIGITS = re.compile(r"(\d+)")
#: What follows or surrounds a number without being part of the clip's name.
_JOINTS_WORDS = re.compile(r"(^|[_.\- ])(keypoints?|kpts?|poses?|predictions?|results?)$", re.IGNORECASE)
_SEPARATORS = "_-. "
#: Frame numbers are kept as int64.
_LIMIT = 2**63


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sort key by which frame_2 comes before frame_10.

    >>> sorted(["f_10", "f_2", "f_1"], key=natural_key)
    ['f_1', 'f_2', 'f_10']
    """
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in _DIGITS.split(name)]


def numbers_in_names(names: Sequence[str]) -> list[int] | None:
    """The frame that each of some different names stands for; None where the names do not tell.

    Names tell where they differ in numbers only. If several numbers change, the last one that alone tells the names
    apart is the frame; if none does, the frames are counted in natural order.

    >>> numbers_in_names(["a/frame_000007.png", "a/frame_000012.png"])
    [7, 12]
    >>> numbers_in_names(["cat.jpg", "dog.jpg"])
    """
    parts = [_DIGITS.split(_without_extension(name)) for name in names]
    if not parts or len({tuple(part[::2]) for part in parts}) > 1 or len(parts[0]) < 3:
        return None
    table = [[int(number) for number in part[1::2]] for part in parts]
    if max(map(max, table)) >= _LIMIT:
        return None
    columns = list(zip(*table, strict=True))
    if len(names) == 1:
        return [table[0][-1]]
    for column in reversed(columns):
        if len(set(column)) == len(names):
            return list(column)
    rank = {row: i for i, row in enumerate(sorted(set(map(tuple, table))))}
    found = [rank[tuple(row)] for row in table]
    return found if len(rank) == len(names) else None


def _without_extension(name: str) -> str:
    name = name.replace("\\", "/")
    suffix = PurePath(name).suffix
    return name if suffix[1:].isdecimal() else name.removesuffix(suffix)


@dataclass(frozen=True)
class Series:
    """Names that differ in one number.

    Attributes:
        name: what they share; empty where that is nothing.
        members: positions in the list of names, in order of the numbers.
        numbers: of the members, rising.
        counted: the names look as if a program had counted frames: nothing but the number, or one with leading zeros.
    """

    name: str
    members: tuple[int, ...]
    numbers: tuple[int, ...]
    counted: bool


def series_of(names: Sequence[str]) -> list[Series]:
    """Names that differ in one number each, as series of two at least.

    The number that counts the frames is the one that makes the fewest series: ``cam1_000.json`` … ``cam2_009.json``
    are two series of ten, not ten of two.
    """
    parts = [_DIGITS.split(_without_extension(name)) for name in names]
    templates: dict[Hashable, list[int]] = {}
    for i, part in enumerate(parts):
        if len(part) > 2 and all(len(number) < 19 for number in part[1::2]):
            templates.setdefault((tuple(part[::2]), PurePath(names[i]).suffix), []).append(i)
    found = []
    for members in templates.values():
        columns = range(1, len(parts[members[0]]), 2)
        splits = [_split(parts, members, column) for column in columns]
        fewest = min(len(split) for split in splits)
        column, split = [pair for pair in zip(columns, splits, strict=True) if len(pair[1]) == fewest][-1]
        for group in split.values():
            ordered = sorted(group, key=lambda i: int(parts[i][column]))
            numbers = tuple(int(parts[i][column]) for i in ordered)
            if len(ordered) > 1 and len(set(numbers)) == len(numbers):
                texts = [parts[i][column] for i in ordered]
                padded = any(len(text) > 2 and text.startswith("0") for text in texts)
                name = _shared(parts[ordered[0]], column)
                found.append(Series(name, tuple(ordered), numbers, padded or not name))
    return found


def _split(parts: list[list[str]], members: list[int], column: int) -> dict[Hashable, list[int]]:
    """Members by everything but the number in one place."""
    groups: dict[Hashable, list[int]] = {}
    for i in members:
        groups.setdefault((*parts[i][:column], None, *parts[i][column + 1 :]), []).append(i)
    return groups


def _shared(part: list[str], column: int) -> str:
    before, after = "".join(part[:column]), "".join(part[column + 1 :])
    pieces = [_JOINTS_WORDS.sub("", piece.strip(_SEPARATORS)).strip(_SEPARATORS) for piece in (before, after)]
    return "_".join(piece for piece in pieces if piece)


def usual_step(numbers: Sequence[int]) -> int:
    """The step by which rising numbers mostly rise; 1 where they have no usual one.

    >>> usual_step([0, 5, 10, 20, 25])
    5
    """
    steps = np.diff(np.unique(np.asarray(numbers, np.int64)))
    if not len(steps):
        return 1
    smallest = int(steps.min())
    return smallest if 2 * int((steps == smallest).sum()) >= len(steps) else 1


def evenly_numbered(numbers: Sequence[int]) -> bool:
    """Whether rising numbers count something: they mostly rise by their smallest step."""
    steps = np.diff(np.asarray(numbers, np.int64))
    return bool(len(steps) and steps.min() > 0 and np.median(steps) == steps.min())


def is_sequence(names: Sequence[str], frames: Sequence[int]) -> bool:
    """Whether files that hold a frame each are one clip, to judge by their names.

    They are where the names differ in one number only, which rises evenly with the frames: ``walk_0001.jpg``,
    ``walk_0002.jpg`` …; photographs of strangers have other names, or numbers with holes all over, or are all the
    first frame of themselves.

    Args:
        names: of the file of each pose.
        frames: of each pose.
    """
    of_name = dict(zip(names, frames, strict=True))
    single = all(of_name[name] == frame for name, frame in zip(names, frames, strict=True))
    if (
        len(of_name) < 3
        or not single
        or len(set(of_name.values())) < len(of_name)
        or len({_DIGITS.sub("#", name) for name in of_name}) > 1
    ):
        return False
    ordered = sorted(of_name, key=lambda name: of_name[name])
    numbers = [[int(number) for number in _DIGITS.findall(name)] for name in ordered]
    moving = [column for column in zip(*numbers, strict=True) if len(set(column)) > 1]
    return len(moving) == 1 and max(moving[0]) < _LIMIT and evenly_numbered(moving[0])
