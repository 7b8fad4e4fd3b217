"""Tables of 3D keypoints, tidy or wide: CSV, TSV and Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...files.checks import quote
from ...files.errors import InputError
from ..documents import UnknownContent, is_own_parquet, read_document
from ..tables import Table
from ..tabular import TablePoses, roles, tidy_poses, wide_columns, wide_poses
from . import PointFile

NAME = "tables 3D"
ABOUT = "CSV, TSV or Parquet of one person: frame, joint, x, y, z (a row per joint), or left_hip_x, left_hip_y ..."
EXAMPLE = """frame,joint,x,y,z
0,left_hip,0.1,0.9,0.0
0,left_knee,0.12,0.5,0.02"""
SUFFIXES = (".csv", ".tsv", ".parquet")


def read(path: Path) -> PointFile | None:
    """Points of one person.

    Raises:
        InputError: no z, several people, no such columns, a cell that is no number.
    """
    if path.suffix.lower() == ".parquet" and is_own_parquet(path):
        return None
    try:
        data = read_document(path)
    except UnknownContent as error:
        raise InputError(str(error)) from None
    if not isinstance(data, Table):
        raise InputError("is no table; expected columns frame, joint, x, y, z")
    if {"joint", "x", "y"} <= set(roles(data.names)):
        poses = tidy_poses(data)
    elif wide_columns(data.names):
        poses = wide_poses(data)
    else:
        listed = ", ".join(map(quote, data.names))[:200]
        raise InputError(f"columns {listed}; expected frame, joint, x, y, z, or left_hip_x, left_hip_y, left_hip_z ...")
    if not poses.has_z:
        raise InputError("has no z: keypoints in a picture are for `poseterior lift FILE`")
    if len(set(poses.people)) > 1:
        raise InputError(f"holds {len(set(poses.people))} people; keep the rows of one")
    return _ordered(poses)


def _ordered(poses: TablePoses) -> PointFile:
    """The frames in order; of a gap in their numbers nothing is made."""
    frames = poses.frames
    order = np.argsort(np.array(frames), kind="stable")
    return PointFile(poses.values[order][..., :3], poses.joints, loose=poses.joints is not None)
