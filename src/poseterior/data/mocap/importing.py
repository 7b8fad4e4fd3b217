"""From mocap files to a pose store: finds the files, reads, converts, writes; says how fast."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import roma
import torch

from ...files.errors import InputError
from ..store import PoseStore
from .joint_tables import JointTable, detect_table, to_body
from .motion import Motion

if TYPE_CHECKING:
    from rich.progress import Progress


__all__ = [
    "FORMATS",
    "UNITS",
    "ImportReport",
    "find_files",
    "import_mocap",
]

#: Metres in a unit.
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}

#: Format -> file suffix, joint tables tried in order.
FORMATS: dict[str, tuple[str, tuple[str, ...]]] = {
    "bvh": (".bvh", ("cmu-bvh", "bandai-namco", "smpl22-bvh")),
    "asfamc": (".amc", ("cmu-asfamc",)),
    "amass": (".npz", ("amass",)),
}

#: AMASS folders hold npz files without a motion.
_NOT_MOTIONS = re.compile(r"^(shape|neutral_stagei|male_stagei|female_stagei|.*_stagei)$")


@dataclass
class ImportReport:
    """What an import did.

    Attributes:
        store: the written store.
        clips, frames: how many were added.
        megabytes: size of the files read, 1e6 bytes.
        seconds: wall-clock time.
        skipped: files left out with the reason, where skipping was asked for.
    """

    store: PoseStore
    clips: int = 0
    frames: int = 0
    megabytes: float = 0.0
    seconds: float = 0.0
    skipped: list[tuple[Path, str]] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.megabytes / max(self.seconds, 1e-9)
        text = (
            f"{self.clips} clips, {self.frames} frames in {self.seconds:.1f} s "
            f"({self.megabytes:.1f} MB, {rate:.1f} MB/s) -> {self.store.path}"
        )
        return "\n".join([text, *(f"skipped {reason}" for _, reason in self.skipped)])


def find_files(paths: Sequence[str | Path], format: str) -> list[tuple[Path, str]]:
    """The motion files below some paths with a clip name each, sorted.

    A clip's name is its path without suffix, relative to the folder given (or to what several given paths have
    in common).

    Raises:
        InputError: unknown format, a path that does not exist, no file found.
    """
    if format not in FORMATS:
        raise InputError(f"unknown mocap format {format!r}; known: {', '.join(FORMATS)}")
    suffix = FORMATS[format][0]
    roots = [Path(path) for path in paths]
    if not roots:
        raise InputError("no path given; name mocap files or folders")
    for root in roots:
        if not root.exists():
            raise InputError(f"{root}: does not exist")
    folders = [root if root.is_dir() else root.parent for root in roots]
    base = Path(os.path.commonpath([str(folder.resolve()) for folder in folders]))
    files: dict[Path, str] = {}
    for root in roots:
        found = [root] if root.is_file() else [p for p in root.rglob("*") if p.suffix.lower() == suffix]
        for file in found:
            if format == "amass" and _NOT_MOTIONS.match(file.stem):
                continue
            name = file.resolve().relative_to(base).with_suffix("").as_posix()
            files[file.resolve()] = name
    if not files:
        raise InputError(f"{', '.join(map(str, roots))}: no *{suffix} file found")
    return sorted(files.items(), key=lambda item: _natural(item[1]))


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts walking_2 before walking_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _read(file: Path, format: str, fps: float | None) -> Motion:
    if format == "bvh":
        from .bvh import read_bvh

        motion = read_bvh(file)
    elif format == "asfamc":
        from .asfamc import find_asf, read_amc, read_asf

        motion = read_amc(file, read_asf(find_asf(file)), 120.0 if fps is None else fps)
    else:
        from .amass import read_amass

        motion = read_amass(file)
    return motion


def _turn_up(motion: Motion, up: str) -> Motion:
    """Turn a world whose ``z`` axis is up so that ``y`` is."""
    if up == "y":
        return motion
    turn = roma.rotvec_to_unitquat(torch.tensor([-np.pi / 2, 0.0, 0.0], dtype=torch.float64))
    positions = torch.from_numpy(motion.positions)
    orientations = torch.from_numpy(motion.orientations)
    return Motion(
        motion.joints,
        motion.parents,
        roma.quat_action(turn.expand_as(orientations), positions).numpy(),
        roma.quat_product(turn.expand_as(orientations), orientations).numpy(),
        motion.fps,
    )


def _subject(file: Path, format: str, table: JointTable, positions: np.ndarray) -> str:
    """Who moves, as far as the file says: the ASF's name, AMASS' folder, else the body by its proportions."""
    if format == "asfamc":
        from .asfamc import find_asf

        return find_asf(file).stem
    if format == "amass":
        return file.parent.name
    legs = [
        (1, 4),
        (4, 7),
        (16, 18),
        (18, 20),
    ]  # left thigh, shank, upper arm, forearm, to the nearest millimetre
    lengths = [round(1000 * float(np.linalg.norm(positions[0, a] - positions[0, b]))) for a, b in legs]
    return f"{table.name}-{crc32(repr(lengths).encode()) & 0xFFFF:04x}"


def _plausible(file: Path, positions: np.ndarray) -> None:
    """A wrong unit shows in the leg: 0.5-1.2 m from hip to ankle along the bones, for children too 0.3."""
    leg = float(np.linalg.norm(positions[0, 1] - positions[0, 4]) + np.linalg.norm(positions[0, 4] - positions[0, 7]))
    if not 0.25 <= leg <= 1.4:
        raise InputError(
            f"{file}: the left leg is {leg:.3g} m long (hip, knee, ankle); the length unit is wrong: pass --units, "
            f"one of {', '.join(UNITS)}"
        )


def import_mocap(
    paths: Sequence[str | Path] | str | Path,
    out: str | Path,
    format: str,
    *,
    units: str | float | None = None,
    up: str | None = None,
    fps: float | None = None,
    subject: str | None = None,
    table: JointTable | None = None,
    overwrite: bool = False,
    append: bool = False,
    skip_bad: bool = False,
    progress: bool = False,
) -> ImportReport:
    """Import mocap files into a pose store.

    Args:
        paths: files, or folders that are searched below.
        out: folder of the store.
        format: ``"bvh"``, ``"asfamc"`` or ``"amass"``.
        units: length unit of the files, a name of `UNITS` or metres in one unit; by default the joint table's
            (centimetres for the BVH sources known, the file's own for ASF, metres for AMASS).
        up: ``"y"`` or ``"z"``: the world axis that points up in the files; by default ``"y"`` for BVH and ASF/AMC,
            AMASS' own ``z``.
        fps: frame rate of AMC files, which do not say it (default 120); refused for the others, which do.
        subject: subject of all clips; by default what the files say.
        table: joint table for a source that is not known.
        overwrite, append: replace an existing store, or add to it.
        skip_bad: leave out files that cannot be read, and report them; otherwise the first one stops the import
            and nothing is written.
        progress: show a progress bar with throughput on the terminal.

    Raises:
        InputError: nothing found, a bad file (named), a store that exists.
    """
    if isinstance(paths, (str, Path)):
        paths = [paths]
    scale = _scale(units)
    if up not in (None, "y", "z") or (format == "amass" and up is not None):
        raise InputError(f"up is {up!r}; expected y or z, and nothing for amass, whose axes are known")
    if fps is not None and (format != "asfamc" or not fps > 0):
        raise InputError(f"fps is {fps}; give a positive rate, and only for asfamc: other files say theirs")
    if Path(out).exists() and not (overwrite or append):
        raise InputError(
            f"{out}: exists already; pass --overwrite or --append (overwrite=True or append=True in Python), or "
            "choose another folder"
        )
    files = find_files(paths, format)
    sizes = [file.stat().st_size for file, _ in files]
    began = time.perf_counter()
    clips, megabytes, skipped = 0, 0.0, []
    writer = PoseStore.create(out, overwrite=overwrite, append=append)
    with writer, _bar(progress) as bar:
        task = bar.add_task(f"import {format}", total=sum(sizes), frames="")
        for (file, name), size in zip(files, sizes, strict=True):
            try:
                motion = _turn_up(_read(file, format, fps), up or "y")
                joints = table or detect_table(motion, file, FORMATS[format][1])
                positions, rotations, h36m17 = to_body(motion, joints, scale, file)
                _plausible(file, positions)
                match = re.match(joints.action, file.stem)
                writer.add(
                    name, positions, rotations, h36m17, fps=motion.fps,
                    subject=subject or _subject(file, format, joints, positions),
                    action=(match.group(1) if match else file.stem) or "unknown",
                    source=joints.name, licence=joints.licence,
                )  # fmt: skip
                clips += 1
                megabytes += size / 1e6
            except InputError as error:
                if not skip_bad:
                    raise error if str(file) in str(error) else InputError(f"{file}: {error}") from None
                skipped.append((file, str(error)))
            rate = writer.frames / max(time.perf_counter() - began, 1e-9)
            bar.update(task, advance=size, frames=f"{rate:,.0f} frames/s")
        if not clips:
            raise InputError(f"{out}: none of {len(files)} file(s) could be read; the first: {skipped[0][1]}")
    seconds = time.perf_counter() - began
    return ImportReport(PoseStore(out), clips, writer.frames, megabytes, seconds, skipped)


def _scale(units: str | float | None) -> float | None:
    if units is None:
        return None
    if isinstance(units, str):
        if units in UNITS:
            return UNITS[units]
        try:
            units = float(units)
        except ValueError:
            raise InputError(
                f"unknown length unit {units!r}; known: {', '.join(UNITS)}, or metres in one unit"
            ) from None
    if not (np.isfinite(units) and units > 0):
        raise InputError(f"units is {units}; expected a positive number of metres in one unit")
    return float(units)


@contextmanager
def _bar(show: bool) -> Iterator[Progress]:
    """A progress bar that fits 80 columns; it vanishes when an error ends the work."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[frames]}"),
        TimeRemainingColumn(),
        disable=not show,
    )
    with progress:
        try:
            yield progress
        except Exception:
            progress.live.transient = True
            raise
