"""Which camera a file or folder of keypoints is of."""

from __future__ import annotations

import re
from pathlib import Path

from ...files.errors import InputError

__all__ = ["cameras_of_paths"]


def cameras_of_paths(paths: list[Path], cameras: list[str]) -> tuple[list[str], bool]:
    """The camera of each path: the one whose name its own name holds, or else its folder's.

    Names are compared without case and punctuation, numbers as a whole: ``cam1`` is not in ``cam10_json``. Where no
    path holds any name, and there are as many of both, they are taken in the order that they have.

    Returns:
        Names, and whether they were taken by order alone.

    Raises:
        InputError: a path that holds no name, or several, or two paths of one camera; names the path.
    """
    found = [_named(path, cameras) for path in paths]
    if not any(found) and len(paths) == len(cameras):
        return list(cameras), True
    chosen: list[str] = []
    for path, names in zip(paths, found, strict=True):
        if len(names) != 1:
            which = "of no camera" if not names else f"of several cameras ({', '.join(names)})"
            raise InputError(
                f"{path}: its name is that {which} of the calibration, which has {', '.join(cameras)}; rename it to "
                "hold the name of its camera"
            )
        if names[0] in chosen:
            raise InputError(f"{path}: is the second of camera {names[0]!r}; give one file or folder for each camera")
        chosen.append(names[0])
    return chosen, False


def _named(path: Path, cameras: list[str]) -> list[str]:
    """Cameras whose names the last part of the path holds, the longest ones; else those of the part before."""
    for part in (path.name.split(".")[0], path.parent.name):
        held = [name for name in cameras if _holds(part, name)]
        if held:
            longest = max(len(_words(name)) for name in held)
            return [name for name in held if len(_words(name)) == longest]
    return []


def _words(text: str) -> list[str]:
    """Runs of letters, and numbers without leading zeros."""
    return [word.lstrip("0") or "0" if word.isdigit() else word for word in re.findall(r"[a-z]+|\d+", text.lower())]


def _holds(part: str, name: str) -> bool:
    words, wanted = _words(part), _words(name)
    return bool(wanted) and any(words[i : i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1))
