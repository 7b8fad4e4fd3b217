"""C3D: points as motion laboratories keep them, through ezc3d."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..files.extras import need
from ..files.writing import atomic_write

__all__ = ["write_c3d"]


def write_c3d(
    path: Path,
    names: Sequence[str],
    positions: Float[NDArray[np.float64], "rows points 3"],
    radius: Float[NDArray[np.float64], "rows points"],
    rate: float,
    first: int,
    notes: Sequence[str],
) -> None:
    """Write points in millimetres, Y up: what programs expect of C3D.

    Args:
        path: the file.
        names: of the points.
        positions: metres; a point that is missing (NaN) is marked as C3D does, by a residual of -1.
        radius: metres: the residual of each point, to the millimetre and at most 255 mm, which is all that C3D holds.
        rate: rows per second.
        first: number of the first frame.
        notes: a description for each point.

    Raises:
        InputError: ezc3d is missing.
    """
    need("c3d", "ezc3d", f"{path}: writing C3D")
    import ezc3d

    file = ezc3d.c3d()
    missing = np.isnan(positions).any(-1)
    points = np.ones((4, len(names), len(positions)))
    points[:3] = 1000.0 * positions.transpose(2, 1, 0)
    file["data"]["points"] = points
    file["data"]["meta_points"]["residuals"] = np.where(missing, -1.0, np.minimum(np.round(1000.0 * radius), 255.0)).T[
        None
    ]
    file["parameters"]["POINT"]["RATE"]["value"] = [rate]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(names)
    file["parameters"]["POINT"]["DESCRIPTIONS"]["value"] = list(notes)
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    file.add_parameter("POINT", "X_SCREEN", ["+Z"])
    file.add_parameter("POINT", "Y_SCREEN", ["+Y"])
    file.add_parameter("MANUFACTURER", "COMPANY", ["poseterior"])
    file["header"]["points"]["first_frame"] = first
    with tempfile.TemporaryDirectory() as folder:  # the library writes to names only
        made = Path(folder) / "points.c3d"
        file.write(str(made))
        content = made.read_bytes()
    with atomic_write(path) as target:
        target.write(content)
