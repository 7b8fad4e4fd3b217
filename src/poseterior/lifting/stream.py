"""Keypoints of any number to a result file, in memory that does not grow with them.

Two passes. The first reads the keypoints part by part, judges what is judged of all of them (the reader its formats,
`poseterior.lifters.detector_noise` how wrong the standard deviations are), and puts them on the disk beside the result.
The second lifts them, some hundred poses at a time, each with random numbers of its own, and appends them to the file:
so the answers are those of `poseterior.lift`, to the bit, in whatever order and by whichever process they are made, and
a run that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..files.errors import InputError
from ..files.row_groups import Group
from ..files.writing import discard_folder, temporary_folder
from ..keypoints import Keypoints2D
from ..keypoints.marks import absorb
from ..keypoints.spool import Spool, SpoolReader
from ..lifters import Lifter, load
from ..lifters.detector_noise import factors_of, noise_logs, noise_words, tells_noise
from ..results.containers import GROUP_ROWS, group_rows, row_bytes
from ..results.growing import Growing, GrowingResult, packed
from ..results.poses import LiftResult
from .draws import CHUNK, bytes_needed, check_lift, check_memory, draw
from .poses import Known, result_of, settings_of
from .processes import in_order

__all__ = [
    "How", "Prepared", "fingerprint", "lift_rows", "lift_to_file", "marks_of", "prepared", "rows_of_groups",
    "shard_of", "shard_rows",
]  # fmt: skip


@dataclass(frozen=True)
class How:
    """How keypoints are lifted; the words are those of `poseterior.lift`.

    Attributes:
        half: as for `poseterior.results.poses.LiftResult.save`.
    """

    samples: int = 200
    seed: int = 0
    device: str = "cpu"
    level: float = 0.9
    half: bool = False


@dataclass(frozen=True)
class Prepared:
    """Keypoints on the disk, ready to be lifted in any order.

    Attributes:
        poses: how many.
        spool: where they are.
        factor: of each pose's standard deviations (`poseterior.lifters.detector_noise`); None where all are 1.
        settings: what is said of the result.
        digest: tells these keypoints from others.
    """

    poses: int
    spool: SpoolReader
    factor: Tensor | None
    settings: dict[str, str]
    digest: str

    def rows(self, start: int, stop: int) -> Keypoints2D:
        """Some of them, as they are lifted."""
        keypoints = self.spool.read(start, stop)
        return keypoints if self.factor is None else keypoints.with_noise(self.factor[start:stop])


@contextmanager
def prepared(
    lifter: Lifter, parts: Iterable[Keypoints2D], beside: Path, device: str = "cpu",
    seen: Callable[[int], object] = lambda poses: None,
) -> Iterator[Prepared]:  # fmt: skip
    """Bring keypoints to the disk, for as long as they are lifted.

    Args:
        lifter: that will lift them.
        parts: one part after the other, each with one batch dimension, of any skeleton.
        beside: where they are put: beside this file.
        device: where their noise is judged.
        seen: is told how many poses there are so far.
    """
    folder = temporary_folder(beside)
    try:
        spool = Spool(folder / "keypoints", lifter.skeleton)
        known, digest = Known(), hashlib.sha256()
        for part in parts:
            part = part.as_skeleton(lifter.skeleton).flatten()
            if part.fits is not None:
                raise InputError("keypoints: fits to heat maps cannot be lifted in parts")
            spool.append(part)
            known += Known.of(part)
            absorb(digest, part)
            seen(len(spool))
        spool.close()
        if not len(spool):
            raise InputError("no poses to lift")
        factor = _factor(lifter, spool, len(spool), device)
        settings = settings_of(lifter, known, spool.rates, spool.files)
        if factor is not None and (said := noise_words(factor)):
            settings["noise"] = said
        reader = SpoolReader(spool.path, spool.skeleton, spool.files, spool.rates)
        yield Prepared(len(spool), reader, factor, settings, digest.hexdigest())
    finally:
        discard_folder(folder)


def _factor(lifter: Lifter, spool: Spool, poses: int, device: str) -> Tensor | None:
    """`poseterior.lifters.detector_noise.noise_factors` of what is on the disk."""
    if not tells_noise(lifter):
        return None
    lifter = lifter.to(device).eval()
    logs, clip = torch.empty(poses), np.empty(poses, np.int64)
    numbers: dict[tuple[int, int], int] = {}
    for start in range(0, poses, GROUP_ROWS):
        stop = min(start + GROUP_ROWS, poses)
        logs[start:stop] = noise_logs(lifter, spool.read(start, stop).to(device))
        rows = spool.records(start, stop)
        pairs = zip(rows["file"].tolist(), rows["person"].tolist(), strict=True)
        clip[start:stop] = [numbers.setdefault(pair, len(numbers)) for pair in pairs]
    order = np.argsort(clip, kind="stable")
    ends = np.cumsum(np.bincount(clip, minlength=len(numbers)))
    return factors_of(logs, (rows.tolist() for rows in np.split(order, ends[:-1])))


def fingerprint(lifter: Lifter, ready: Prepared, how: How, **more: Any) -> dict[str, Any]:
    """What a run is told from another by: who goes on with its file must say the same."""
    return marks_of(lifter) | {
        "keypoints": ready.digest[:16], "poses": ready.poses, "samples": how.samples, "seed": how.seed,
        "level": how.level, "half": how.half, **more,
    }  # fmt: skip


def marks_of(lifter: Lifter) -> dict[str, Any]:
    """What a lifter is told from another by."""
    weights = hashlib.sha256()
    for name, value in sorted(lifter.state_dict().items()):
        weights.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return {
        "lifter": str(lifter.card.get("name") or lifter.name), "weights": weights.hexdigest()[:16],
        "evidence": lifter.reader.use_evidence,
    }  # fmt: skip


def shard_of(count: int, shard: tuple[int, int], what: str) -> tuple[int, int]:
    """The first and the end of the i-th of n shards of so many things.

    Raises:
        InputError: not 1 to n, or more shards than there are things, which are called ``what``.
    """
    number, shards = shard
    if not 1 <= number <= shards:
        raise InputError(f"shard: expected 1/{shards} to {shards}/{shards}, got {number}/{shards}")
    if shards > count:
        raise InputError(f"shard: {shards} shards of {count} {what}; ask for at most {count}")
    return count * (number - 1) // shards, count * number // shards


def shard_rows(poses: int, rows: int, shard: tuple[int, int]) -> tuple[int, int]:
    """First row and end of the i-th of n shards of whole row groups, whose files joined are that of the whole.

    Raises:
        InputError: as `shard_of`.
    """
    first, end = shard_of(-(-poses // rows), shard, f"row groups of {rows} poses")
    return min(first * rows, poses), min(end * rows, poses)


def lift_rows(lifter: Lifter, ready: Prepared, how: How, start: int, stop: int) -> LiftResult:
    """Some of the poses; its settings are those of the whole."""
    keypoints = ready.rows(start, stop)
    found = [
        replace(part, rotations=None)
        for part in draw(lifter, keypoints, how.samples, how.seed, CHUNK, how.device, how.level)
    ]
    return result_of(lifter, keypoints, found, how.seed, ready.settings)


def rows_of_groups(lifter: Lifter, ready: Prepared, how: How) -> int:
    """Rows of each row group, by what one pose takes."""
    one = lift_rows(lifter, ready, how, 0, 1)
    return group_rows(row_bytes(one.fields(half=how.half)))


def lift_to_file(
    lifter: Lifter,
    ready: Prepared,
    how: How,
    make: Callable[[], Growing],
    *,
    rows: int | None = None,
    shard: tuple[int, int] = (1, 1),
    workers: int = 1,
    source: tuple[str, bool] | None = None,
    done: Callable[[int, int], object] = lambda poses, total: None,
    shown: int = 3,
) -> LiftResult:
    """Lift what is ready to a file.

    Args:
        lifter: that lifts, and that it was prepared for.
        ready: from `prepared`.
        how: to lift.
        make: opens the file, when all that may be refused has been looked at.
        rows: poses at a time; by default those of a row group.
        shard: which part of them, and of how many.
        workers: processes that lift; more than one for Parquet alone, and with a ``source``.
        source: name or folder of the lifter, and whether it uses its evidence: for processes to load it.
        done: is told how many poses are in the file, and of how many.
        shown: poses of the result that is given back.

    Returns:
        The first poses, with all that is said of the whole.

    Raises:
        InputError: as `poseterior.lift`, and as the file.
    """
    check_lift(lifter, how.samples, how.seed, CHUNK, how.level)
    at_once = rows or group_rows(bytes_needed(lifter, 1, how.samples))
    check_memory(lifter, min(at_once, ready.poses), how.samples, growing=True)
    lifter = lifter.to(how.device).eval()
    rows = rows or rows_of_groups(lifter, ready, how)
    first, end = shard_rows(ready.poses, rows, shard)
    file = make()
    try:
        begun = first + file.rows
        done(begun - first, end - first)
        starts = range(begun, end, rows)
        about: LiftResult | None = None
        if workers > 1 and source is not None and isinstance(file, GrowingResult):
            spans = [(start, min(start + rows, end)) for start in starts]
            groups = in_order(_pack, spans, workers, _begin, (source, ready, how))
            for (_, stop), group in zip(spans, groups, strict=True):
                file.add_packed(group)
                done(stop - first, end - first)
        else:
            for start in starts:
                result = lift_rows(lifter, ready, how, start, min(start + rows, end))
                if start == first:
                    about = result[:shown]
                file.add(result)
                del result
                done(min(start + rows, end) - first, end - first)
        if about is None:
            about = lift_rows(lifter, ready, how, first, min(first + shown, end))
        file.finish(about)
        return about
    finally:
        file.close()


# -- several processes ---------------------------------------------------------------------------------------

#: What a process of the pool works with.
_own: dict[str, Any] = {}


def _begin(source: tuple[str, bool], ready: Prepared, how: How) -> None:
    torch.set_num_threads(1)
    _own["lifter"] = load(source[0], evidence=source[1]).to(how.device).eval()
    _own["ready"], _own["how"] = ready, how


def _pack(rows: tuple[int, int]) -> Group:
    return packed(lift_rows(_own["lifter"], _own["ready"], _own["how"], *rows), _own["how"].half)
