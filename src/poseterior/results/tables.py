"""A tidy table of a result: one row per pose and joint, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..files.writing import atomic_write
from .lifted import WORLD_AXES, Lifted
from .provenance import Array, Provenance
from .times import clip_numbers, seconds

__all__ = ["COLUMNS", "WORLD_COLUMNS", "columns_of", "csv_lines", "write_csv"]

_SHARED = (
    "clip", "file", "frame", "time", "person", "joint", "x", "y", "z", "radius", "level", "calibrated", "seen",
    "image_x", "image_y",
)  # fmt: skip
#: Of the table of poses before a camera: lengths in metres, camera axes (x right, y down, z forward).
COLUMNS = (*_SHARED, "camera_x", "camera_y", "camera_z")
#: Of fused views: the world's axes, turned so that x is right, y down and z forward (``settings["world"]``).
WORLD_COLUMNS = (*_SHARED, "world_x", "world_y", "world_z")


def columns_of(result: Lifted) -> tuple[str, ...]:
    """The columns of a result's table: its last three say what its places are measured in."""
    return WORLD_COLUMNS if result.axes == WORLD_AXES else COLUMNS


def write_csv(result: Lifted, about: Provenance, path: Path, fps: float) -> None:
    """Write the table.

    ``x, y, z`` are relative to the pelvis; ``radius`` is that of the ball that holds the joint with probability
    ``level``; ``image_x, image_y`` the keypoint in px; ``camera_x, camera_y, camera_z`` the joint before the camera,
    empty where its intrinsics are not known; of fused views ``world_x, world_y, world_z`` in their place, the joint in
    the calibration's world.

    Args:
        result: what to write.
        about: the same result: where its poses come from.
        path: the file.
        fps: frames per second, for the times.
    """
    clip = clip_numbers(about)
    lines = csv_lines(result, about, fps, clip, np.lexsort((about.frame, clip)))
    with atomic_write(path) as file:
        file.write((",".join(columns_of(result)) + "\n" + lines).encode())


def csv_lines(result: Lifted, about: Provenance, fps: float, clip: Array, rows: Iterable[int]) -> str:
    """The lines of some poses; arguments as of `write_csv`, and the clip of every pose, and the rows of these."""
    absolute = result.mean + result.root[:, None]
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    calibrated = str(bool(result.calibrated)).lower()
    for row in rows:
        time = f"{seconds(about.frame[row], fps):.6g}"
        who = (clip[row], about.file[row], about.frame[row], time, about.person[row])
        for joint, name in enumerate(result.joint_names):
            numbers = map(_cell, (*result.mean[row, joint], result.region_radius[row, joint]))
            seen = str(bool(result.visible[row, joint])).lower()
            places = map(_cell, (*result.keypoints[row, joint], *absolute[row, joint]))
            table.writerow((*who, name, *numbers, result.level, calibrated, seen, *places))
    return text.getvalue()


def _cell(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""
