"""MOT: OpenSim's table of coordinates over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..files.writing import atomic_write
from ..geometry.angles import OPENSIM

__all__ = ["coordinates", "write_mot"]

#: Before the table; OpenSim passes over it.
_ABOUT = """\
Coordinates of OpenSim's full-body gait model (Rajagopal et al. 2016) by name.
Units are S.I. units (second, metres, Newtons, ...); angles are in degrees.
Ground: X away from the camera, Y up (the camera's own), Z to the camera's right.
Coordinates that cannot be told are left out: the model's default counts.
"""


def coordinates(
    names: Sequence[str],
    degrees: Float[NDArray[np.float64], "rows angles"],
    pelvis: Float[NDArray[np.float64], "rows 3"],
) -> dict[str, NDArray[np.float64]]:
    """OpenSim's coordinates, in the order of its model; angles go on beyond 180 degrees rather than jump.

    Args:
        names: of our angles.
        degrees: of them; a column with NaN is left out.
        pelvis: metres, in the axes of the ground.
    """
    table: dict[str, NDArray[np.float64]] = {}
    for theirs, (ours, sign) in OPENSIM.items():
        column = degrees[:, names.index(ours)] if ours in names else np.full(len(degrees), np.nan)
        if np.isfinite(column).all():
            table[theirs] = sign * np.rad2deg(np.unwrap(np.deg2rad(column)))
        if theirs == "pelvis_rotation":
            table |= {f"pelvis_t{axis}": pelvis[:, i] for i, axis in enumerate("xyz")}
    return table


def write_mot(
    path: Path,
    table: Mapping[str, NDArray[np.float64]],
    times: Float[NDArray[np.float64], "rows"],
    note: str,
) -> None:
    """Write coordinates; ``note`` says what was assumed, on one line."""
    header = [path.stem, "version=1", f"nRows={len(times)}", f"nColumns={len(table) + 1}", "inDegrees=yes"]
    lines = [*header, *_ABOUT.splitlines(), " ".join(note.split()), "endheader", "\t".join(("time", *table))]
    rows = np.column_stack([times, *table.values()])
    lines += ["\t".join(f"{value:.6f}" for value in row) for row in rows.tolist()]
    with atomic_write(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
