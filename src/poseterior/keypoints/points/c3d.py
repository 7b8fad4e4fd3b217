"""C3D files of 3D markers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ...files.checks import quote
from ...files.errors import InputError
from ...files.extras import need
from ..markers import joints_of_markers
from . import PointFile

NAME = "c3d"
ABOUT = "C3D markers: joint centres, or skin markers of the usual sets, of which joints are estimated (extra c3d)"
EXAMPLE = "walk.c3d: POINT:LABELS LASI, RASI, LKNE, LANK ... POINT:UNITS mm, POINT:RATE 100"
SUFFIXES = (".c3d",)

_UNITS = ("m", "cm", "mm")
#: Bytes of a marker in a frame of floats; of whole numbers half as many.
_POINT_BYTES = 8
_MOST_VALUES = 2**30


def read(path: Path) -> PointFile:
    """Markers of all frames; those with a negative residual are missing.

    The axes are told from POINT:Y_SCREEN, z up where the file does not say.

    Raises:
        InputError: the package c3d is missing, no C3D file, more frames than the file can hold, no marker that tells
            of a joint.
    """
    need("c3d", "c3d", "reading C3D files")
    import c3d

    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = c3d.Reader(stream)
        count, frames = int(reader.point_used), int(reader.last_frame) - int(reader.first_frame) + 1
        if not count or frames < 1:
            raise InputError("holds no markers")
        if frames * count * _POINT_BYTES > path.stat().st_size or frames * count > _MOST_VALUES:
            raise InputError(f"claims {frames} frames of {count} markers, more than its bytes hold; is it truncated?")
        labels = [str(label).strip() for label in reader.point_labels][:count]
        points = np.full((frames, count, 3), np.nan)
        for row, (_, found, _) in zip(range(frames), reader.read_frames(copy=False), strict=False):
            points[row] = np.where(found[:, 3:4] < 0, np.nan, found[:, :3])
        unit, up, rate = _text(reader, "UNITS").lower() or "mm", _text(reader, "Y_SCREEN").upper(), reader.point_rate
    if len(labels) < count:
        labels += [f"marker {i}" for i in range(len(labels), count)]
    if unit not in _UNITS:
        raise InputError(f"POINT:UNITS is {quote(unit)}; expected one of {', '.join(_UNITS)}")
    joints = joints_of_markers(labels, points, unit, path)
    fps = float(rate) if rate and rate > 0 else None
    return PointFile(
        joints.points, joints.names, joints.sigma, unit, "y-up" if up == "+Y" else "z-up", loose=True, fps=fps
    )


def _text(reader: Any, name: str) -> str:
    """A parameter of POINT; empty where it is not there."""
    try:
        parameter = reader.get("POINT").get(name)
        return str(parameter.string_value).strip()
    except (AttributeError, KeyError, ValueError, IndexError):
        return ""
