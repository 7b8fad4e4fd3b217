"""Tables with a row per person and frame: MediaPipe's x0, y0, z0, v0 ..., nose_x, nose_y ..., SLEAP's CSV."""

from __future__ import annotations

from typing import Any

from ..detections import Detections, Options
from ..tables import Table
from ..tabular import detections_of, roles, wide_columns, wide_poses

NAME = "wide"
ABOUT = (
    "CSV, TSV or Parquet with a row per person: x0,y0,z0,v0,... (MediaPipe), nose_x,nose_y,... or nose.x,nose.score,..."
)
EXAMPLE = """frame,nose_x,nose_y,nose_score,left_hip_x,left_hip_y,left_hip_score
0,320.2,96.4,0.97,312.5,240.1,0.93"""
#: Made of a `Table`, not of JSON.
KIND = "table"
#: Fewer joints make no such table.
_FEWEST = 3


def recognises(data: Any) -> int:
    """A table with x and y of three joints at least, and no column of joints."""
    if not isinstance(data, Table) or "joint" in roles(data.names):
        return 0
    return 2 * (len(wide_columns(data.names)) >= _FEWEST)


def read(data: Table, options: Options) -> list[Detections]:
    """Keypoints of a wide table.

    The columns of a joint are its name and x, y, score (or v, visibility, likelihood ...) before or after it; z is not
    used. Joints may be numbered, from 0 or from 1: 33 are MediaPipe's, and so are the first 33 of its holistic model.
    Without a column ``frame`` every row is a frame; without ``person`` rows of one frame are different people.

    Raises:
        InputError: a cell that is no number, 3D points, no joint that is known.
    """
    return detections_of(wide_poses(data), "the columns", options)
