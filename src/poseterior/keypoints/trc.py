"""TRC files: markers in time as tab-separated text, as OpenSim, Pose2Sim and Sports2D write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files.checks import Array, quote
from ..files.errors import InputError
from ..files.texts import read_text

__all__ = ["TRC_MAGIC", "TrcFile", "read_trc"]

TRC_MAGIC = b"PathFileType"
#: Beyond this (median of the largest coordinate) points without depth are pixels, whatever the header says.
_PIXELS = 20.0
#: Cells that say that a marker is missing.
_NOTHING = ("", "nan", "na", "null")


@dataclass(frozen=True)
class TrcFile:
    """Markers of a TRC file.

    Attributes:
        path: of the file.
        markers: their names.
        points: (frames, markers, 3) in ``units``, NaN where a marker is missing.
        frames: their numbers, as the file has them.
        fps: frames per second.
        units: as the header says: m, mm ...
    """

    path: Path
    markers: tuple[str, ...]
    points: Array
    frames: tuple[int, ...]
    fps: float
    units: str

    @property
    def joints(self) -> tuple[str, ...]:
        """The markers' names; ``Head`` is the crown in the marker sets of Pose2Sim and Sports2D, as in Halpe."""
        return tuple("head_top" if name.lower() == "head" else name for name in self.markers)

    @property
    def flat(self) -> bool:
        """No marker has a depth: keypoints of a picture (Sports2D)."""
        depth = self.points[..., 2]
        return bool(np.isfinite(depth).any() and not np.nan_to_num(depth).any())

    @property
    def in_pixels(self) -> bool:
        """Keypoints of a picture in pixels: Sports2D says ``m`` there as well."""
        reach = np.abs(self.points[..., :2]).max((1, 2), initial=0.0, where=np.isfinite(self.points[..., :2]))
        return self.flat and float(np.median(reach)) > _PIXELS


def read_trc(path: Path) -> TrcFile:
    """Read a TRC file.

    Raises:
        InputError: no header, another number of columns than it names markers, a cell that is no number; names the
            line.
    """
    lines = read_text(path).splitlines()
    header = next((i for i, line in enumerate(lines) if line.split("\t")[0].strip().lower() == "datarate"), None)
    if header is None or len(lines) < header + 4:
        raise InputError("not a whole TRC file: no line DataRate, CameraRate, NumFrames, NumMarkers, Units ...")
    about = dict(zip(_cells(lines[header]), _cells(lines[header + 1]), strict=False))
    names_at = next((i for i in range(header + 2, len(lines)) if lines[i].lower().startswith("frame#")), None)
    if names_at is None:
        raise InputError("no line with the names of the markers (Frame#, Time, ...)")
    # a name stands above the first of its three columns; some programs leave no empty cells between
    cells = lines[names_at].rstrip("\r\n").split("\t")[2:]
    markers = tuple(cell.strip() for cell in cells if cell.strip())
    if not markers or len(set(markers)) < len(markers):
        twice = next((name for name in markers if markers.count(name) > 1), None)
        raise InputError("no marker is named" if twice is None else f"the marker {quote(twice)} is there twice")
    first = next((i for i in range(names_at + 1, len(lines)) if re.match(r"\s*\d", lines[i])), len(lines))
    rows: list[list[float]] = []
    frames: list[int] = []
    for i in range(first, len(lines)):
        if not lines[i].strip():
            continue
        row = lines[i].rstrip("\r\n").split("\t")
        values = row[2 : 2 + 3 * len(markers)]
        values += [""] * (3 * len(markers) - len(values))
        if len(row) < 3 or any(cell.strip() for cell in row[2 + 3 * len(markers) :]):
            raise InputError(
                f"line {i + 1}: {len(row)} entries; expected {2 + 3 * len(markers)} for {len(markers)} markers"
            )
        rows.append([_number(cell, f"line {i + 1}, marker {quote(markers[j // 3])}") for j, cell in enumerate(values)])
        frames.append(int(_number(row[0], f"line {i + 1}, Frame#")))
    if not rows:
        raise InputError("holds no frame")
    points = np.array(rows).reshape(len(rows), len(markers), 3)
    return TrcFile(path, markers, points, tuple(frames), _rate(about), about.get("Units", "").strip().lower())


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("\t")]


def _number(text: str, what: str) -> float:
    text = text.strip()
    if text.lower() in _NOTHING:
        return float("nan")
    try:
        found = float(text)
    except ValueError:
        raise InputError(f"{what}: expected a number, found {quote(text)[:40]}") from None
    return found


def _rate(about: dict[str, str]) -> float:
    try:
        rate = float(about.get("DataRate", ""))
    except ValueError:
        rate = float("nan")
    return rate if np.isfinite(rate) and rate > 0 else float("nan")
