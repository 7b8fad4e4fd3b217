"""What Pose2Sim and Anipose write: TOML, one table for each camera; Caliscope and FreeMoCap write it too."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....files.errors import InputError
from ..camera import Camera, rotation_of_vector
from ..fields import camera_matrix, numbers_of, size_of

NAME = "pose2sim"
ABOUT = "Pose2Sim's Calib.toml: a table for each camera with matrix, distortions, rotation, translation (metres)"

_FIELDS = ("matrix", "rotation", "translation")


def recognises(data: Any) -> int:
    """Tables that have a matrix, and where the camera stands or its distortions."""
    tables = [table for table in data.values() if isinstance(table, dict)] if isinstance(data, dict) else []
    return int(any(isinstance(t.get("matrix"), list) and ({"rotation", "distortions"} & t.keys()) for t in tables))


def read(data: Any) -> list[Camera]:
    """Tables other than ``metadata``; ``rotation`` is a Rodrigues vector, or a 3x3 matrix."""
    cameras = []
    for key, table in data.items():
        if key == "metadata" or not isinstance(table, dict):
            continue
        name = str(table.get("name", key))
        missing = [field for field in _FIELDS if field not in table]
        if missing:
            raise InputError(f"camera {name!r}: field {missing[0]!r} is missing; calibrate it again")
        rotation = numbers_of(table["rotation"], name, "rotation")
        fisheye = bool(table.get("fisheye", False))
        cameras.append(
            Camera(
                name,
                camera_matrix(table["matrix"], name, "matrix"),
                rotation.reshape(3, 3) if rotation.size == 9 else rotation_of_vector(_vector(rotation, name)),
                numbers_of(table["translation"], name, "translation").reshape(-1),
                tuple(numbers_of(table.get("distortions", []), name, "distortions").reshape(-1)),
                fisheye,
                size_of(table.get("size"), name, "size"),
            )
        )
    return cameras


def _vector(rotation: np.ndarray, name: str) -> np.ndarray:
    if rotation.size != 3:
        raise InputError(f"camera {name!r}: rotation: expected 3 numbers (radians), got {rotation.size}")
    return rotation.reshape(3)
