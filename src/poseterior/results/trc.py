"""TRC: marker trajectories as text, as OpenSim and motion analysis programs read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from ..files.writing import atomic_write

__all__ = ["write_trc"]

_KEYS = (
    "DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate", "OrigDataStartFrame", "OrigNumFrames",
)  # fmt: skip


def write_trc(
    path: Path,
    names: Sequence[str],
    positions: Float[NDArray[np.float64], "rows markers 3"],
    frames: Int[NDArray[np.int64], "rows"],
    times: Float[NDArray[np.float64], "rows"],
    rate: float,
) -> None:
    """Write markers in metres; a marker that is missing (NaN) has empty cells."""
    count = len(positions)
    values = (f"{rate:.8g}", f"{rate:.8g}", count, len(names), "m", f"{rate:.8g}", frames[0], count)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "\t".join(_KEYS),
        "\t".join(map(str, values)),
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{i}" for i in range(1, len(names) + 1) for axis in "XYZ"),
        "",
    ]
    for frame, time, row in zip(frames, times, positions, strict=True):
        cells = ("" if np.isnan(value) else f"{value:.6f}" for value in row.ravel().tolist())
        lines.append("\t".join((str(frame), f"{time:.6f}", *cells)))
    with atomic_write(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
