"""Formats of calibration files: one module each, found by its place in this package.

A format is a module that has

* ``NAME``: what ``--calibration-format`` calls it;
* ``ABOUT``: one line that says what it looks like;
* ``recognises(data) -> int``: how many marks of the format a parsed file bears, 0 where it is of another;
* ``read(data) -> list[Camera]``: the cameras in it; wrong values raise an `InputError` that names camera and field.

``data`` is what the file parses to: dicts, lists and numbers of TOML, JSON and OpenCV's YAML (matrices as dicts with
``rows``, ``cols`` and ``data``), the outermost `Element` of XML.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..camera import Camera

__all__ = ["CalibrationFormat", "calibration_formats"]


@dataclass(frozen=True)
class CalibrationFormat:
    """One format, as its module describes it (see the package)."""

    name: str
    about: str
    recognises: Callable[[Any], int]
    read: Callable[[Any], list[Camera]]


@cache
def calibration_formats() -> dict[str, CalibrationFormat]:
    """Every format by name: the modules of this package."""
    found = {}
    for place in pkgutil.iter_modules(__path__):
        module: Any = importlib.import_module(f"{__name__}.{place.name}")
        found[module.NAME] = CalibrationFormat(module.NAME, module.ABOUT, module.recognises, module.read)
    return dict(sorted(found.items()))
