"""Long clips to a result file that grows window by window, in memory that hardly grows with their frames."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import Any

import torch

from ...files.errors import InputError
from ...keypoints import Keypoints2D
from ...lifters import Lifter
from ...results.poses import LiftResult
from ..draws import Draws, check_draws
from ..poses import Known, settings_of
from .lift import MAX_GAP
from .many import Part, as_named, clip_of
from .results import clip_result
from .windows import LongClip, in_windows

__all__ = ["lift_clips_to_file", "may_grow"]

#: Poses of the result that is given back.
_SHOWN = 3


def may_grow(keypoints: Keypoints2D, parts: list[Part]) -> bool:
    """Whether these are clips, each lifted as a whole, so long a one among them that windows of it are written as made.

    The camera of all of them is known, or of none.
    """
    if not all(part.whole for part in parts):
        return False
    if not any(in_windows(keypoints[torch.from_numpy(part.rows)]) for part in parts):
        return False
    known = keypoints.intrinsics.isfinite().all(-1)
    return bool(known.all()) or not bool(known.any())


def lift_clips_to_file(
    lifter: Lifter,
    keypoints: Keypoints2D,
    parts: list[Part],
    make: Callable[[], Any],
    samples: int = 200,
    seed: int = 0,
    device: torch.device | str = "cpu",
    level: float = 0.9,
    fps: float | None = None,
    max_gap: float = MAX_GAP,
    done: Callable[[int], object] = lambda poses: None,
) -> tuple[LiftResult, int]:
    """`poseterior.lifting.clips.lift_parts` of clips that `may_grow`, written as they are lifted.

    Args:
        lifter, keypoints, parts, samples, seed, device, level, fps, max_gap: as for `lift_parts`.
        make: opens the file (`poseterior.results.growing.Growing`), when all that may be refused of the first clip has
            been looked at.
        done: is told how many poses are in the file.

    Returns:
        The first poses, with all that is said of the whole, and how many poses there are.

    Raises:
        InputError: as `lift_parts`; `poseterior.lifting.clips.switches.TrackSwitch` for a clip that turns out to show
            one person after another.
    """
    check_draws(samples, seed, fewest=0)
    lifter = lifter.reader
    everything = keypoints.as_skeleton(lifter.skeleton).flatten()
    known, files, poses = Known(), dict[str, None](), 0
    notes: dict[str, list[str]] = {}
    about: LiftResult | None = None
    file: Any = None
    try:
        for number, part in enumerate(parts):
            own = everything[torch.from_numpy(part.rows)]
            clip = clip_of(lifter, own, fps, max_gap, False, False, device)
            used = as_named(clip.keypoints, own)
            known += Known.of(used)
            files |= dict.fromkeys(identity.file for identity in used.ids)
            file = file or make()
            for rows, draws in _stretches(clip, samples, seed, level):
                piece = clip_result(lifter, used[rows], [draws], lifter.clips, {}, seed)
                about = about or piece[:_SHOWN]
                _add(file, piece, number)
                poses += len(piece)
                del piece, draws
                done(poses)
            for name, words in clip.settings.items():
                notes.setdefault(name, []).append(words)
        if about is None:
            raise InputError("no poses to lift")
        rates = everything.rates if fps is None else dict.fromkeys(files, fps)
        said = {name: "; ".join(dict.fromkeys(words)) for name, words in notes.items()}
        own_words = {name: about.settings[name] for name in about.settings if name not in ("camera", "scale", "fps")}
        about = replace(about, settings=settings_of(lifter, known, rates, [*files]) | own_words | said)
        file.finish(about)
        return about, poses
    finally:
        if file is not None:
            file.close()


def _stretches(clip: Any, samples: int, seed: int, level: float) -> Iterator[tuple[slice, Draws]]:
    if isinstance(clip, LongClip):
        return clip.draws(samples, seed, level)
    return iter([(slice(0, len(clip)), clip.draws(samples, seed, level))])


def _add(file: Any, piece: LiftResult, clip: Hashable) -> None:
    """The next poses of a clip; only tables count clips."""
    from ...results.growing import GrowingCsv

    if isinstance(file, GrowingCsv):
        file.add(piece, clip)
    else:
        file.add(piece)
