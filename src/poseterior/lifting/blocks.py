"""Keypoint files in blocks that are lifted apart, by any machine: a part of the result for each.

A block is a file, or one of several shares of a long one. Whoever lifts it reads the whole file (who is who and how
wrong standard deviations are is judged of all of it), lifts its share, and puts the part into the folder of the result.
The part of a file is, to the byte, what ``poseterior lift FILE --clip off --out PART`` writes; the i-th of n parts what
``--shard i/n`` does.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..data.observations import is_observations, load_observations
from ..files.errors import InputError
from ..files.places import Place, Stored
from ..files.writing import discard_folder, temporary_folder
from ..keypoints import Keypoints2D
from ..keypoints.detections import Options
from ..keypoints.judging import NotInParts
from ..keypoints.parts import KeypointParts, can_be_parts
from ..keypoints.reading import read_keypoints
from ..keypoints.told import Told
from ..lifters import Lifter
from ..results.growing import GrowingResult
from ..results.parts import InputParts, Record
from .stream import How, Prepared, lift_rows, lift_to_file, marks_of, prepared, rows_of_groups

__all__ = ["Block", "BlockLifter", "Job", "Lifted", "Reading", "blocks_to_do", "outdated", "record_of"]

#: Bytes that a part is to have, about, and how many poses at least and at most.
_PART_BYTES, _FEWEST, _MOST = 256 << 20, 2048, 131_072
#: Bytes of a pose in a result without its samples, and of one sample of 17 joints and its density.
_SUMMARY_BYTES, _SAMPLE_BYTES = 1200, 208
#: Bytes of a pose in keypoint files, about, by their extensions.
_INPUT_BYTES = {".parquet": 100, ".npy": 136, ".npz": 136}
_TEXT_BYTES = 300


@dataclass(frozen=True)
class Reading:
    """How keypoint files are read: the words of `poseterior.keypoints.reading.read_keypoints`."""

    format: str = "auto"
    skeleton: str | None = None
    image_size: tuple[int, int] | None = None
    confidence_scale: str | None = None
    min_confidence: float | None = None
    keep_unseen: bool = False
    tracks: str = "auto"
    person: int | None = None

    def options(self, name: str) -> Options:
        """For files that are read in parts."""
        return Options.said(
            name, self.skeleton, self.image_size, self.confidence_scale, self.min_confidence, self.keep_unseen
        )


@dataclass(frozen=True)
class Job:
    """What is done with every block.

    Attributes:
        out: folder of the result.
    """

    out: Place
    how: How = field(default_factory=How)
    reading: Reading = field(default_factory=Reading)
    told: Told = field(default_factory=Told)

    def run(self, lifter: Lifter) -> dict[str, Any]:
        """What the run is told from another by: who goes on with its folder must say the same."""
        how = {name: value for name, value in asdict(self.how).items() if name != "device"}
        said = asdict(self.reading) | asdict(self.told)
        return marks_of(lifter) | how | {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True)
class Block:
    """A share of an input file.

    Attributes:
        source: the file.
        part: name of the part that comes of it.
        number, count: it is the number-th of so many shares, from 1.
        content: of a file that only one process can open; else None.
    """

    source: Place
    part: str
    number: int = 1
    count: int = 1
    content: bytes | None = None


@dataclass(frozen=True)
class Lifted:
    """What came of a block.

    Attributes:
        poses: in the part.
        content: the part itself, where only one process can write it; else None: it is in its folder.
    """

    poses: int
    content: bytes | None = None


def poses_of_part(how: How) -> int:
    """Poses that are to go into one part, about."""
    sample = _SAMPLE_BYTES / 2 if how.half else _SAMPLE_BYTES
    return int(min(max(_PART_BYTES / (_SUMMARY_BYTES + how.samples * sample), _FEWEST), _MOST))


def record_of(job: Job, lifter: Lifter, files: Iterable[Stored], poses: int | None = None) -> Record:
    """The parts that come of files: how many each has is told by its size, their names by its own.

    Args:
        poses: of a part, about; by default as many as make 256 MB.
    """
    each = poses or poses_of_part(job.how)
    return Record(job.run(lifter), tuple(_parts_of(file, each) for file in files))


def _parts_of(file: Stored, poses: int) -> InputParts:
    suffix = Path(file.name).suffix.lower()
    count = max(1, math.ceil(file.size / _INPUT_BYTES.get(suffix, _TEXT_BYTES) / poses))
    # two files of one name stand in two folders
    stem = re.sub(r"[^\w.\-]", "_", Path(file.name).stem)[:100] + f"-{zlib.crc32(file.name.encode()):08x}"
    names = tuple(f"{stem}-{number:05d}-of-{count:05d}.parquet" for number in range(1, count + 1))
    return InputParts(file.name, file.size, file.version, names)


def blocks_to_do(
    record: Record, files: Sequence[Stored], earlier: Record | None, there: Iterable[str]
) -> Iterator[Block]:
    """What is still to be lifted.

    Args:
        record: of this run.
        files: those that it names, in its order.
        earlier: of the run that is gone on with; None where all is done anew.
        there: names of the parts that are in the folder.
    """
    done = set(there) if earlier is not None else set()
    same = set(() if earlier is None else earlier.files)
    for file, own in zip(files, record.files, strict=True):
        for number, part in enumerate(own.parts, 1):
            if not (own in same and part in done):
                yield Block(Place(file.name, file.address), part, number, len(own.parts))


def outdated(record: Record, earlier: Record, there: Iterable[str]) -> set[str]:
    """Parts in the folder that hold what an earlier run made of files that have changed.

    Raises:
        InputError: there are parts of files that this run does not have.
    """
    names, there = {file.name for file in record.files}, set(there)
    left = [file.name for file in earlier.files if file.name not in names and there & set(file.parts)]
    if left:
        raise InputError(
            f"holds parts of {len(left)} files that are not given now, {left[0]} for one; give them too, or the name "
            "of a new folder"
        )
    same = set(record.files) & set(earlier.files)
    kept = {part for file in same for part in file.parts}
    return {part for file in (*record.files, *earlier.files) for part in file.parts} & there - kept


class BlockLifter:
    """Lifts blocks, one after the other; keeps the keypoints of the last file, of which the next may be too.

    Args:
        lifter: that lifts.
        job: what to do.
    """

    def __init__(self, lifter: Lifter, job: Job) -> None:
        torch.set_num_threads(1)
        self._lifter, self._job = lifter.to(job.how.device).eval(), job
        self._open = ExitStack()
        weakref.finalize(self, self._open.close)
        self._read: tuple[Place, Prepared] | None = None

    def __call__(self, block: Block) -> Lifted:
        """Lift a block, and put its part into the folder.

        Raises:
            InputError: the file cannot be read or lifted, or the part not be written; names the file.
        """
        ready = self._prepared(block)
        lifter, how = self._lifter, self._job.how
        folder = temporary_folder(_scratch() / "part")
        try:
            path = folder / block.part
            rows = rows_of_groups(lifter, ready, how)
            groups = -(-ready.poses // rows)
            if block.number > groups:  # a file of fewer poses than its size promised
                self._write_nothing(ready, path)
                poses = 0
            else:
                count = min(block.count, groups)
                made: list[int] = []
                lift_to_file(
                    lifter, ready, how, lambda: GrowingResult(path, {}, half=how.half), rows=rows,
                    shard=(block.number, count), done=lambda poses, _: made.append(poses),
                )  # fmt: skip
                poses = made[-1]
            target = self._job.out.within(block.part)
            if target.private:
                return Lifted(poses, path.read_bytes())
            target.put(path)
            return Lifted(poses)
        finally:
            discard_folder(folder)

    def close(self) -> None:
        """Remove what was kept of the last file."""
        self._open.close()
        self._read = None

    def _write_nothing(self, ready: Prepared, path: Path) -> None:
        file = GrowingResult(path, {}, half=self._job.how.half)
        try:
            file.finish(lift_rows(self._lifter, ready, self._job.how, 0, 1))
        finally:
            file.close()

    def _prepared(self, block: Block) -> Prepared:
        if self._read is not None and self._read[0] == block.source:
            return self._read[1]
        self.close()
        folder = temporary_folder(_scratch() / "keypoints")
        self._open.callback(discard_folder, folder)
        path = self._fetched(block, folder)
        try:
            try:
                ready = self._spooled(self._in_parts(path, block), folder)
            except NotInParts:
                ready = self._spooled(self._whole(path, block), folder)
        except InputError as error:  # which speaks of the copy
            said = str(error).replace(str(path), block.source.name)
            named = said if block.source.name in said else f"{block.source.name}: {said}"
            raise InputError(named) from error.__cause__
        self._read = block.source, ready
        return ready

    def _fetched(self, block: Block, folder: Path) -> Path:
        if block.content is None:
            return block.source.fetch(folder)
        path = folder / block.source.address.rsplit("/", 1)[-1]
        path.write_bytes(block.content)
        return path

    def _spooled(self, parts: Iterator[Keypoints2D], folder: Path) -> Prepared:
        told = (self._job.told(part) for part in parts)
        with ExitStack() as opened:
            device = self._job.how.device
            ready = opened.enter_context(prepared(self._lifter, told, folder / "spool", device))
            self._open.push(opened.pop_all())
        return ready

    def _in_parts(self, path: Path, block: Block) -> Iterator[Keypoints2D]:
        if is_observations(path) or not can_be_parts([path]):
            raise NotInParts("read whole")
        said = self._job.reading
        options = said.options(str(path))
        for part in KeypointParts(path, options, said.format, said.tracks == "auto", said.person):
            yield _renamed(part, str(path), block.source.name)

    def _whole(self, path: Path, block: Block) -> Iterator[Keypoints2D]:
        if is_observations(path):
            yield load_observations(path).observations.keypoints
            return
        yield _renamed(read_keypoints(path, **asdict(self._job.reading)), str(path), block.source.name)


def _renamed(keypoints: Keypoints2D, path: str, name: str) -> Keypoints2D:
    """Poses of a copy under the name of what it is a copy of."""
    if path == name:
        return keypoints
    rates = {name if file == path else file: rate for file, rate in keypoints.rates.items()}
    ids = [identity._replace(file=name) if identity.file == path else identity for identity in keypoints.ids]
    renamed = keypoints._replace(ids=ids)
    renamed.rates = rates
    return renamed


def _scratch() -> Path:
    """Where files are that nobody else needs; what a killed process leaves there, the next one removes."""
    user = os.getuid() if hasattr(os, "getuid") else "user"  # not on Windows, where the folder is each user's own
    return Path(tempfile.gettempdir()) / f"poseterior-blocks-{user}"
