"""Clips to a result file that grows window by window, in memory that hardly grows with their frames.

Every window of a long clip, and every clip that is lifted at once, is a piece of the file: told by the keypoints and
the seed alone, whichever pieces were lifted before, by whichever process. So a run that was killed goes on at the next
piece, and runs of pieces are shares of several machines.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray

from ...files.errors import InputError
from ...keypoints import Keypoints2D
from ...keypoints.marks import absorb
from ...lifters import Lifter
from ...results.poses import LiftResult
from ..draws import Draws, check_draws
from ..poses import Known, settings_of
from ..stream import How, marks_of, shard_of
from .lift import MAX_GAP, every_frame
from .many import Part, as_named, as_one_file, clip_of
from .memory import check_window_memory
from .posterior import ClipPosterior
from .results import clip_result
from .windows import LONG, LongClip, in_windows, pieces_of, windows_of

__all__ = ["ClipRun", "clip_marks", "lift_clips_to_file", "why_not_growing"]

#: Poses of the result that is given back.
_SHOWN = 3


@dataclass(frozen=True)
class ClipRun:
    """How clips are lifted to a file that grows.

    Attributes:
        how: as frames are.
        fps, max_gap: as for `poseterior.lifting.clips.lift_parts`.
        shard: which part of all pieces, and of how many.
        workers: processes that lift the windows of long clips.
    """

    how: How
    fps: float | None = None
    max_gap: float = MAX_GAP
    shard: tuple[int, int] = (1, 1)
    workers: int = 1


@dataclass(frozen=True)
class _Planned:
    """A clip that is to be lifted.

    Attributes:
        rows: of all keypoints.
        pieces: rows of the clip that are lifted and written one after the other.
        long: it is lifted in windows.
        largest: number of frames that are lifted at once.
        known, files: of its poses.
    """

    rows: Int[NDArray[np.int64], " n"]
    pieces: list[slice]
    long: bool
    largest: int
    known: Known
    files: dict[str, None]


def why_not_growing(keypoints: Keypoints2D, parts: list[Part]) -> str:
    """Why these are not clips whose result can be written as it is made, in words; empty where they are."""
    if not all(part.whole for part in parts):
        return "some of these poses are lifted frame by frame and some as clips, to one result that is held in memory"
    known = keypoints.intrinsics.isfinite().all(-1)
    if bool(known.any()) and not bool(known.all()):
        return "the camera of some of these clips is known and of others not, which one result holds in memory"
    return ""


def clip_marks(lifter: Lifter, keypoints: Keypoints2D, run: ClipRun) -> dict[str, Any]:
    """What a run is told from another by: who goes on with its file must say the same."""
    digest = hashlib.sha256()
    absorb(digest, keypoints)
    how = run.how
    return marks_of(lifter) | {
        "clips": "as a whole", "keypoints": digest.hexdigest()[:16], "poses": len(keypoints), "samples": how.samples,
        "seed": how.seed, "level": how.level, "half": how.half, "fps": run.fps, "max gap": run.max_gap,
        "shard": list(run.shard),
    }  # fmt: skip


def lift_clips_to_file(
    lifter: Lifter,
    keypoints: Keypoints2D,
    parts: list[Part],
    make: Callable[[], Any],
    run: ClipRun,
    done: Callable[[int, int], object] = lambda poses, total: None,
) -> LiftResult:
    """`poseterior.lifting.clips.lift_parts` of clips whose result can grow (`why_not_growing`), written as it is made.

    Args:
        lifter, keypoints, parts: as for `lift_parts`.
        make: opens the file (`poseterior.results.growing.Growing`), when all that may be refused of the first clip has
            been looked at.
        run: how they are lifted.
        done: is told how many poses are in the file, and of how many.

    Returns:
        The first poses, with all that is said of the whole (of a shard: of its clips).

    Raises:
        InputError: as `lift_parts`, a shard that there is not, more than fits in memory;
            `poseterior.lifting.clips.switches.TrackSwitch` for a clip that turns out to show one person after another.
    """
    check_draws(run.how.samples, run.how.seed, fewest=0)
    lifter = lifter.reader
    everything = keypoints.as_skeleton(lifter.skeleton).flatten()
    planned = [_planned(lifter, everything, part, run) for part in parts]
    wanted = _shares(planned, run.shard)
    if run.workers > 1 and not any(planned[number].long for number in wanted):
        raise InputError(
            f"workers: share the windows of clips of {LONG} frames or more, and there is none; --shard shares clips out"
        )
    for number in wanted:
        plan, workers = planned[number], run.workers if planned[number].long else 1
        check_window_memory(lifter, plan.largest, len(everything), run.how.samples, plan.long, workers)
    total = sum(_length(planned[number].pieces[piece]) for number, mine in wanted.items() for piece in mine)
    notes: dict[str, list[str]] = {}
    about: LiftResult | None = None
    file: Any = None
    try:
        for number, pieces in wanted.items():
            plan = planned[number]
            own = everything[torch.from_numpy(plan.rows)]
            clip: ClipPosterior | LongClip | None = None
            if file is None:
                clip = clip_of(lifter, own, run.fps, run.max_gap, False, False, run.how.device)
                file = make()
                written = _noted(file, wanted)
                done(file.rows, total)
                if file.rows:
                    about = _few(next(_lifted(lifter, own, clip, pieces[:1], run)))
            earlier = written[number]
            left = pieces[len(earlier) :]
            said = {} if left else earlier[-1]["settings"]
            if left:
                clip = clip or clip_of(lifter, own, run.fps, run.max_gap, False, False, run.how.device)
                for note, piece in zip(earlier, pieces, strict=False):
                    _give_weight(clip, plan.pieces[piece], note)
                lifted = _lifted(lifter, own, clip, left, run)
                for piece in left:
                    result = next(lifted)
                    about = about or _few(result)
                    note = _note(clip, plan.pieces[piece])
                    if piece == pieces[-1]:
                        said = note["settings"] = clip.settings
                    _add(file, result, number, note)
                    del result
                    done(file.rows, total)
                lifted.close()
            for name, words in said.items():
                notes.setdefault(name, []).append(words)
        assert about is not None
        about = replace(about, settings=_settings(lifter, planned, everything.rates, run.fps, about, notes))
        file.finish(about)
        return about
    finally:
        if file is not None:
            file.close()


def _few(result: LiftResult) -> LiftResult:
    """Its first poses, without holding on to the others."""
    return result[np.arange(min(_SHOWN, len(result)))]


def _planned(lifter: Lifter, keypoints: Keypoints2D, part: Part, run: ClipRun) -> _Planned:
    own = keypoints[torch.from_numpy(part.rows)]
    filled, rate = every_frame(lifter, as_one_file(own), run.fps, run.max_gap)
    long, pieces, largest = in_windows(own), [slice(0, len(filled))], len(filled)
    if long:
        pieces = pieces_of(filled, rate, lifter.clips)
        largest = max(rows.stop - rows.start for rows, _ in windows_of(filled, rate, lifter.clips))
    files = dict.fromkeys(identity.file for identity in as_named(filled, own).ids)
    return _Planned(part.rows, pieces, long, largest, Known.of(filled), files)


def _shares(planned: list[_Planned], shard: tuple[int, int]) -> dict[int, list[int]]:
    """Numbers of the clips of a shard, and of the pieces of each."""
    pieces = [(number, piece) for number, plan in enumerate(planned) for piece in range(len(plan.pieces))]
    first, end = shard_of(len(pieces), shard, "windows of long clips and short clips")
    found: dict[int, list[int]] = {}
    for number, piece in pieces[first:end]:
        found.setdefault(number, []).append(piece)
    return found


def _length(rows: slice) -> int:
    length: int = rows.stop - rows.start
    return length


def _lifted(
    lifter: Lifter, own: Keypoints2D, clip: ClipPosterior | LongClip, pieces: list[int], run: ClipRun
) -> Generator[LiftResult]:
    """Pieces of a clip, which follow each other; none is held on to while the next is lifted."""
    how = run.how
    found: Iterator[tuple[slice, Draws]]
    if isinstance(clip, LongClip):
        workers = min(run.workers, len(pieces))
        found = clip.draws(how.samples, how.seed, how.level, pieces[0], pieces[-1] + 1, workers)
    else:
        found = iter([(slice(0, len(clip)), clip.draws(how.samples, how.seed, how.level))])
    used = as_named(clip.keypoints, own)
    for rows, draws in found:
        result = clip_result(lifter, used[rows], [draws], lifter.clips, {}, how.seed)
        del draws
        yield result
        del result


def _settings(
    lifter: Lifter, planned: list[_Planned], told: Mapping[str, float], fps: float | None, about: LiftResult,
    notes: dict[str, list[str]],
) -> dict[str, str]:  # fmt: skip
    """What is said of the whole."""
    known, files = Known(), dict[str, None]()
    for plan in planned:
        known += plan.known
        files |= plan.files
    rates = told if fps is None else dict.fromkeys(files, fps)
    own_words = {name: about.settings[name] for name in about.settings if name not in ("camera", "scale", "fps")}
    said = {name: "; ".join(dict.fromkeys(words)) for name, words in notes.items()}
    return settings_of(lifter, known, rates, [*files]) | own_words | said


# -- what a piece leaves for those who go on -------------------------------------------------------------------


def _note(clip: ClipPosterior | LongClip, rows: slice) -> dict[str, Any]:
    """What settings will be made of: how much the frames of a piece counted."""
    if not isinstance(clip, LongClip):
        return {}
    return {"weight": base64.b64encode(clip.weight[rows].tobytes()).decode()}


def _give_weight(clip: ClipPosterior | LongClip, rows: slice, note: dict[str, Any]) -> None:
    if isinstance(clip, LongClip):
        clip.weight[rows] = np.frombuffer(base64.b64decode(note["weight"]))


def _noted(file: Any, wanted: dict[int, list[int]]) -> dict[int, list[dict[str, Any]]]:
    """Of each clip, the notes of its pieces that are in the file."""
    notes = iter(getattr(file, "notes", []))
    return {number: [note for _, note in zip(pieces, notes, strict=False)] for number, pieces in wanted.items()}


def _add(file: Any, piece: LiftResult, clip: Hashable, note: dict[str, Any]) -> None:
    """The next poses of a clip; only tables count clips, only Parquet goes on."""
    from ...results.growing import GrowingCsv, GrowingResult

    if isinstance(file, GrowingCsv):
        file.add(piece, clip)
    elif isinstance(file, GrowingResult):
        file.add(piece, note)
    else:
        file.add(piece)
