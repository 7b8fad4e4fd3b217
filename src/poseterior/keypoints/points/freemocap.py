"""FreeMoCap's arrays: MediaPipe's body, alone or with hands and face, in millimetres, z up."""

from __future__ import annotations

import re
from pathlib import Path

from ...files.errors import InputError
from ...files.npz import load_npy, read_header
from . import PointFile

NAME = "freemocap"
ABOUT = "FreeMoCap's npy (frames, points, 3) of MediaPipe's points, in mm, z up"
EXAMPLE = "output_data/mediapipe_body_3d_xyz.npy: (frames, 33, 3); mediapipe_skel_3d.npy: (frames, 553, 3)"
SUFFIXES = (".npy",)

#: Numbers of points with hands, or with hands and face; the body's 33 stand first.
_WITH_MORE = (75, 543, 553)
_NAME = re.compile(r"(?i)(mediapipe|freemocap|skel|body).*3d.*|rawxyz.*")


def recognises(path: Path) -> int:
    """The number of points, or 33 and the name that FreeMoCap gives its files."""
    try:
        with path.open("rb") as stream:
            shape, _ = read_header(stream, "array")
    except (InputError, OSError):
        return 0
    if len(shape) != 3 or shape[2] != 3:
        return 0
    return 2 * (shape[1] in _WITH_MORE or (shape[1] == 33 and bool(_NAME.match(path.stem))))


def read(path: Path) -> PointFile:
    """The body's 33 points.

    Raises:
        InputError: anything but numbers, or another shape.
    """
    points = load_npy(path, "fiu").astype("float64")
    return PointFile(points[:, :33], skeleton="mediapipe33", unit="mm", axes="z-up")
