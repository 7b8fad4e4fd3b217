"""Formats of 3D keypoints, as inverse kinematics takes them: one module each, found by its place in this package.

A format is a module that has

* ``NAME``, ``ABOUT`` and ``EXAMPLE``: what it is called, one line that says what it looks like, and what is in one;
* ``SUFFIXES``: extensions of its files;
* ``read(path) -> PointFile | None``: what is in it; None where it is a result of ours; an `InputError` where it is
  wrong;
* ``recognises(path) -> int``, where formats share an extension: the one that finds the most marks reads it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ...files.checks import absent
from ...files.errors import InputError
from ..strangers import LONGEST_START, stranger

__all__ = ["PointFile", "point_formats", "read_point_file"]


@dataclass
class PointFile:
    """3D keypoints as they stand in a file.

    Attributes:
        points: (frames, joints, 3), or (joints, 3); NaN where a joint is missing.
        joint_names: None where the file does not name them.
        sigma: standard deviations in the unit of the points: one, (joints,) or (frames, joints).
        unit, axes: as the file says; None where it does not.
        skeleton: name of the order of the joints, where the format says it.
        loose: names may be of anything; those that are no joints are said and left out.
        fps: frames per second; None where the file does not say.
    """

    points: Any
    joint_names: Sequence[str] | None = None
    sigma: Any = 0.0
    unit: str | None = None
    axes: str | None = None
    skeleton: str | None = None
    loose: bool = False
    fps: float | None = None


@cache
def point_formats() -> dict[str, ModuleType]:
    """Every format by name: the modules of this package."""
    places = sorted(place.name for place in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{place}") for place in places]
    return {module.NAME: module for module in modules}


def read_point_file(path: Path) -> PointFile | None:
    """What a file of 3D keypoints holds; None for a result of ours.

    Raises:
        InputError: no such file, of none of the formats, or wrong inside.
    """
    suffix = path.suffix.lower()
    fitting = [module for module in point_formats().values() if suffix in module.SUFFIXES]
    if path.is_file():
        with path.open("rb") as stream:
            said = None if suffix == ".c3d" else stranger(stream.read(LONGEST_START), path)
        if said is not None:
            raise InputError(said.replace("2D keypoints in it", "keypoints in it"))
    if not fitting:
        known = sorted({s for module in point_formats().values() for s in module.SUFFIXES})
        raise InputError(f"unknown extension {path.suffix!r}; use {', '.join(known)}, or a result file")
    if not path.is_file():
        raise InputError(absent(path))
    best = max(fitting, key=lambda module: module.recognises(path) if hasattr(module, "recognises") else 1)
    found: PointFile | None = best.read(path)
    return found
