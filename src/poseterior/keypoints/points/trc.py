"""TRC files of 3D markers: OpenSim, Pose2Sim, OpenCap."""

from __future__ import annotations

import math
from pathlib import Path

from ...files.errors import InputError
from ..markers import joints_of_markers
from ..trc import read_trc
from . import PointFile

NAME = "trc 3D"
ABOUT = "TRC of 3D markers, in the unit that its header says, y up (OpenSim, Pose2Sim, OpenCap)"
EXAMPLE = """PathFileType 4 (X/Y/Z) walk.trc ... Units m ... (separated by tabs)
Frame# Time Hip RHip RKnee ...
1 0.0 0.1 0.9 0.3 ..."""
SUFFIXES = (".trc",)
_UNITS = ("m", "cm", "mm")


def read(path: Path) -> PointFile:
    """Markers that are joints, or from which joints are estimated (`poseterior.keypoints.markers`).

    Raises:
        InputError: keypoints in pixels or without depth, an unknown unit, no marker that tells of a joint.
    """
    found = read_trc(path)
    if found.in_pixels:
        raise InputError("holds 2D keypoints in pixels, not 3D markers; lift them instead: poseterior lift FILE")
    if found.flat:
        raise InputError(
            "has no depth (every z is 0): it is 2D; lift the file in pixels that Sports2D writes beside it (*_px_*.trc)"
        )
    if found.units not in _UNITS:
        raise InputError(f"its header says Units {found.units!r}; expected one of {', '.join(_UNITS)}")
    joints = joints_of_markers(found.joints, found.points, found.units, path)
    fps = None if math.isnan(found.fps) else found.fps
    return PointFile(joints.points, joints.names, joints.sigma, found.units, "y-up", loose=True, fps=fps)
