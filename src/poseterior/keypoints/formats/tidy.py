"""Tables with a row per joint: tidy CSV and Parquet, MediaPipe's landmarks as rows."""

from __future__ import annotations

from typing import Any

from ..detections import Detections, Options
from ..tables import Table
from ..tabular import detections_of, roles, tidy_poses

NAME = "tidy"
ABOUT = "CSV, TSV or Parquet with a row per joint: frame, person, joint, x, y, score; columns in any order and spelling"
EXAMPLE = """frame,person,joint,x,y,score
0,0,left_hip,312.5,240.1,0.93
0,0,left_knee,318.0,330.7,0.88"""
#: Made of a `Table`, not of JSON.
KIND = "table"


def recognises(data: Any) -> int:
    """A table with columns for a joint, x and y; the more so with a frame or a person."""
    if not isinstance(data, Table):
        return 0
    found = roles(data.names)
    if not {"joint", "x", "y"} <= set(found):
        return 0
    return 2 + ("frame" in found) + ("person" in found)


def read(data: Table, options: Options) -> list[Detections]:
    """Keypoints of a tidy table.

    Columns: ``frame`` (a number, or the name of a picture; times are counted), ``person`` (a number, or a name),
    ``joint`` (a name, or a number from 0 or 1), ``x`` and ``y`` in pixels and ``score``; `poseterior.keypoints.tabular`
    lists their spellings. Without a frame there is one, without a person one per frame, without a score all are 1.
    Rows may stand in any order; a joint without a row is missing.

    Raises:
        InputError: a cell that is no number, a joint that is there twice, 3D points.
    """
    return detections_of(tidy_poses(data), f"column {data.names[roles(data.names)['joint']]!r}", options)
