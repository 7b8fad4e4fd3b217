"""From mocap files to a pose store: finds the files, reads, converts, writes; says how fast."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ...files.checks import counted
from ...files.errors import InputError
from ...files.extras import need
from ...geometry.skeletons import SKELETONS
from ..store import PoseStore
from .archives import is_archive, packed_files
from .axes import UP_AXES, axis_before, find_up, standing_axis, trunk_directions, turn_down, turn_up
from .finding import FBX_REMEDY, FORMATS, NOT_MOTIONS, MotionFile, find_files
from .joint_tables import TABLES, JointTable, detect_table, to_body
from .motion import Motion
from .rig_frames import joint_points
from .rigging import RigGuess, guess_rig, refuse_unsure
from .rigs import shipped_rigs
from .trunk import begins_at_rest, lacks_thorax, mend_trunk
from .units import LEG, UNITS, check_leg, leg_unit, metres_in, usual_unit

if TYPE_CHECKING:
    from rich.progress import Progress


__all__ = [
    "FBX_REMEDY",
    "FORMATS",
    "UNITS",
    "ImportReport",
    "convert",
    "find_files",
    "import_mocap",
    "read_source",
]

_log = logging.getLogger(__name__)
_SMPL = SKELETONS["smpl22"]


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
            f"{counted(self.clips, 'clip')}, {counted(self.frames, 'frame')} in {self.seconds:.1f} s "
            f"({self.megabytes:.1f} MB, {rate:.1f} MB/s) -> {self.store.path}"
        )
        return "\n".join([text, *(f"skipped {reason}" for _, reason in self.skipped)])


def read_source(file: Path, format: str, fps: float | None = None, rest: NDArray[np.float64] | None = None) -> Motion:
    """A motion file in its own joints, units and axes; AMASS with y up."""
    if format == "bvh":
        from .bvh import read_bvh

        motion = read_bvh(file, fps)
        if fps is None and abs(motion.fps - 24.0) < 0.01:
            _log.warning(
                "%s: 24 frames a second, which Blender writes whatever the clip was recorded at; pass --fps if it was "
                "another rate (or --fps 24 to say that it is right)", file.name,
            )  # fmt: skip
        return motion
    if format == "asfamc":
        from .asfamc import find_asf, read_amc, read_asf

        return read_amc(file, read_asf(find_asf(file)), 120.0 if fps is None else fps)
    if format == "gltf":
        from .gltf import read_gltf

        return read_gltf(file, fps)
    from .amass import read_amass

    return read_amass(file, rest)


def convert(
    motion: Motion,
    file: Path,
    format: str,
    *,
    scale: float | None = None,
    up: str | None = None,
    table: JointTable | None = None,
    rig: str | Path | None = None,
    trunk: str = "mended",
    any_size: bool = False,
) -> tuple[JointTable, Motion, float]:
    """What a motion's joints are, the motion with y up (and its trunk mended), and metres in one of its units.

    Raises:
        InputError: a skeleton that is not understood, or not surely so; an implausible size.
    """
    if table is None and rig is None and format in ("asfamc", "amass"):
        motion = turn_up(motion, up or "y")
        table = detect_table(motion, file, FORMATS[format][1])
        return table, motion, table.scale if scale is None else scale
    if table is not None:
        return table, turn_up(motion, up or "y"), table.scale if scale is None else scale
    motion, guess = guess_rig(motion, file, rig, FORMATS[format][1])
    refuse_unsure(guess, file, told=rig is not None)
    if up is None:
        up, said = find_up(motion, guess.found, guess.rest)
        if said:
            _log.warning("%s: %s", file.name, said)
    motion = turn_up(motion, up)
    if lacks_thorax(motion):
        if trunk == "mended":
            motion = mend_trunk(motion)
        else:
            _log.info("%s: CMU's conversion without the thorax; --trunk mended puts it back", file.name)
    return guess.table, motion, _scale_of(motion, guess, file, format, scale, any_size)


def _scale_of(motion: Motion, guess: RigGuess, file: Path, format: str, scale: float | None, any_size: bool) -> float:
    """Metres in one unit: as told, the table's if a leg is a body's with it, else the unit that makes it so."""
    if scale is not None:
        return scale
    points = joint_points(motion.positions[:1], motion, guess.found)
    leg = _leg_length(points)
    known = 1.0 if format == "gltf" else guess.table.scale if guess.rig in TABLES else _rig_scale(guess.rig)
    if known is not None and (any_size or LEG[0] <= leg * known <= LEG[1]):
        return known
    usual = usual_unit(leg) if leg > 0 else None
    if usual is not None:
        value, name = usual
        if value not in (1.0, 0.01, 0.001) or known is not None:
            _log.warning(
                "%s: its unit is taken as %.6g m (%s), which makes the leg %.3f m; pass --units if it is another",
                file.name, value, name, leg * value,
            )  # fmt: skip
        return value
    small = any(0.3 <= leg * unit <= 1.5 for unit in (1.0, 0.01, 0.001))
    if known is not None or small or not leg > 0:
        return (
            known
            if known is not None
            else next(u for u in (1.0, 0.01, 0.001, 1.0) if 0.3 <= leg * u <= 1.5 or not leg > 0)
        )
    value = leg_unit(leg)
    _log.warning(
        "%s: no usual unit makes its leg (%.4g units) a body's; taken as %.3g m a unit, which makes it 0.85 m; pass "
        "--units to say otherwise", file.name, leg, value,
    )  # fmt: skip
    return value


def _rig_scale(name: str) -> float | None:
    return shipped_rigs()[name].scale if name in shipped_rigs() else None


def _leg_length(points: Mapping[str, np.ndarray]) -> float:
    """Hip to knee to ankle of the left leg in the first frame."""
    thigh = points["left_knee"][0] - points["left_hip"][0]
    shin = points["left_ankle"][0] - points["left_knee"][0]
    return float(np.linalg.norm(thigh) + np.linalg.norm(shin))


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


def _plausible(file: Path, positions: np.ndarray, scale: float, any_size: bool) -> None:
    """A wrong unit shows in the leg."""
    points = {
        joint: positions[:1, _SMPL.index(joint)].astype(np.float64) for joint in ("left_hip", "left_knee", "left_ankle")
    }
    try:
        check_leg(_leg_length(points) / scale, scale, any_size)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


@dataclass
class _Stance:
    """How many frames of an import do not stand, and along what their people would."""

    frames: int = 0
    lying: int = 0
    axes: Counter[str] = field(default_factory=Counter)

    def add(self, positions: np.ndarray) -> None:
        places = {joint: positions[:, _SMPL.index(joint)] for joint in ("neck", "left_ankle", "right_ankle")}
        directions = trunk_directions(places)
        self.frames += len(directions)
        self.lying += int((directions[:, 1] < 0.5).sum())
        axis = standing_axis(directions)
        if axis is not None:
            self.axes[axis] += len(directions)

    def question(self, out: Path, applied: str) -> str:
        """One line where most people lie or hang; empty where they stand. ``applied`` is what was taken as up."""
        if self.lying <= 0.5 * self.frames:
            return ""
        (axis, count), *_ = [*self.axes.most_common(1), ("", 0)]
        if axis not in ("", "y") and count > 0.5 * self.frames:
            own = axis_before(axis, applied)
            how = "hang upside down" if axis == "-y" else f"lie: they would stand with {own} up"
            return f"{out.name}: most people {how}; pass --up {own} if that is up in the files"
        return f"{out.name}: most people lie ({self.lying} of {self.frames} frames); pass --up if another axis is up"


def import_mocap(
    paths: Sequence[str | Path] | str | Path,
    out: str | Path,
    format: str,
    *,
    units: str | float | None = None,
    up: str | None = None,
    fps: float | None = None,
    rig: str | Path | None = None,
    rest_skeleton: str | Path | None = None,
    trunk: str = "mended",
    first_frame: str = "drop",
    any_size: bool = False,
    subject: str | None = None,
    licence: str | None = None,
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
        format: ``"bvh"``, ``"asfamc"``, ``"amass"`` or ``"gltf"``.
        units: length unit of the files, a name of `UNITS` or metres in one unit; by default the joint table's
            (centimetres for the BVH sources known, the file's own for ASF, metres for AMASS).
        up: a name of `UP_AXES`: the world axis that points up in the files; by default found for BVH and glTF, ``"y"``
            for ASF/AMC, AMASS' own ``z``.
        fps: frame rate of AMC files, which do not say it (default 120); for BVH, instead of what the file says (Blender
            writes 24); for glTF, the rate to sample at; refused for AMASS.
        rig: name of a shipped rig (`poseterior.data.mocap.rigs`), or a YAML file of joint names; guessed by default.
        trunk: ``"mended"`` puts back the bone that CMU's BVH conversion dropped (`poseterior.data.mocap.trunk`),
            ``"as-is"`` leaves it.
        first_frame: ``"drop"`` leaves out a first frame that is a T-pose far from the second, ``"keep"`` keeps it.
        any_size: accept bodies whose leg is outside 0.65 to 1.05 m.
        subject: subject of all clips; by default what the files say.
        licence: terms of all clips, which stores and cards of weights repeat; by default the source's, if known.
        rest_skeleton: for AMASS, a file of another body's joints at rest (`read_rest_skeleton`) instead of ours.
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
    scale = None if units is None else metres_in(units)
    if up not in (None, *UP_AXES):
        raise InputError(f"up is {up!r}; expected {', '.join(UP_AXES)}")
    if fps is not None and (format == "amass" or not (np.isfinite(fps) and fps > 0)):
        raise InputError(f"fps is {fps}; give a positive rate, and not for amass: its files say theirs")
    if rig is not None and format in ("asfamc", "amass"):
        raise InputError(f"rig is {str(rig)!r}; give it for bvh and gltf only: the joints of {format} are known")
    if rest_skeleton is not None and format != "amass":
        raise InputError(
            f"rest_skeleton is {str(rest_skeleton)!r}; give it for amass only: {format} has its own bodies"
        )
    rest = None
    if rest_skeleton is not None:
        from .amass import read_rest_skeleton

        rest = read_rest_skeleton(rest_skeleton)
    for name, value, known in (("trunk", trunk, ("mended", "as-is")), ("first_frame", first_frame, ("drop", "keep"))):
        if value not in known:
            raise InputError(f"{name} is {value!r}; expected {' or '.join(known)}")
    if Path(out).exists() and not (overwrite or append):
        raise InputError(
            f"{out}: exists already; pass --overwrite or --append (overwrite=True or append=True in Python), or "
            "choose another folder"
        )
    need("parquet", "pyarrow", f"{out}: a pose store")
    files = find_files(paths, format)
    sizes = [file.path.stat().st_size for file in files]
    began = time.perf_counter()
    clips, megabytes, skipped = 0, 0.0, []
    dropped: list[str] = []
    stance = _Stance()
    writer = PoseStore.create(out, overwrite=overwrite, append=append)
    with writer, _bar(progress) as bar:
        task = bar.add_task(f"import {format}", total=sum(sizes), frames="")
        for file, name, shown, size in _each(files, sizes):
            try:
                motion = read_source(file, format, fps, rest)
                if format == "amass" and up is not None:
                    motion = turn_up(turn_down(motion, "z"), up)  # read_amass took z as up
                joints, motion, metres = convert(
                    motion, file, format, scale=scale, up=None if format == "amass" else up, table=table, rig=rig,
                    trunk=trunk, any_size=any_size,
                )  # fmt: skip
                positions, rotations, h36m17 = to_body(motion, joints, metres, file)
                _plausible(file, positions, metres, any_size)
                if first_frame == "drop" and begins_at_rest(positions, rotations):
                    dropped.append(file.name)
                    positions, rotations, h36m17 = positions[1:], rotations[1:], h36m17[1:]
                stance.add(positions)
                match = re.match(joints.action, file.stem)
                writer.add(
                    name, positions, rotations, h36m17, fps=motion.fps,
                    subject=subject or _subject(file, format, joints, positions),
                    action=(match.group(1) if match else file.stem) or "unknown",
                    source=joints.name, licence=licence or joints.licence,
                )  # fmt: skip
                clips += 1
                megabytes += size / 1e6
            except InputError as error:
                told = str(error).replace(str(file), shown)
                if not skip_bad:
                    raise InputError(told if shown in told else f"{shown}: {told}") from None
                skipped.append((Path(shown), told))
            rate = writer.frames / max(time.perf_counter() - began, 1e-9)
            bar.update(task, advance=size, frames=f"{rate:,.0f} frames/s")
        if not clips:
            raise InputError(f"{out}: none of {len(skipped)} file(s) could be read; the first: {skipped[0][1]}")
    seconds = time.perf_counter() - began
    if dropped:
        more = f" and {len(dropped) - 1} more" if len(dropped) > 1 else ""
        _log.warning("%s%s: the first frame is a T-pose far from the second, and left out", dropped[0], more)
    question = stance.question(Path(out), up or ("z" if format == "amass" else "y"))
    if question:
        _log.warning("%s", question)
    return ImportReport(PoseStore(out), clips, writer.frames, megabytes, seconds, skipped)


def _each(files: Sequence[MotionFile], sizes: Sequence[int]) -> Iterator[tuple[Path, str, str, int]]:
    """Each motion: where it is, its clip's name, what messages call it, and bytes read for it; archives' one by one.

    Raises:
        InputError: as `packed_files`, or an archive without a motion.
    """
    for (file, name, given), size in zip(files, sizes, strict=True):
        if not is_archive(given):
            yield file, name, str(given), size
            continue
        found = False
        for packed in packed_files(given, FORMATS["amass"][0]):
            if NOT_MOTIONS.match(packed.path.stem):
                continue
            found = True
            yield packed.path, packed.name.with_suffix("").as_posix(), f"{given}: {packed.name}", packed.read
        if not found:
            raise InputError(f"{given}: holds no .npz motion")


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
