"""Who is shown and when: the tracks of a result, the steps of a playback, and what pages and the viewer show.

A result has *tracks*, one for each person of each file, and *steps* in time, one for each frame number; people of files
with a single frame (photos) are shown at every step.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files.errors import InputError
from ..results.poses import LiftResult
from ..results.provenance import HYPOTHESES, KERNELS
from ..results.times import check_fps

__all__ = ["SceneOptions", "Track", "clip_rate", "pauses", "playback_rate", "samples_word", "steps_of", "tracks_of"]

#: Seconds; frame numbers may be far apart, e.g. those of a few pictures of a data set.
_LONGEST_PAUSE = 1.0
#: Frames per second of a playback, where nobody says another number.
_SLOW_RATE = 10.0


@dataclass(frozen=True)
class SceneOptions:
    """What is drawn.

    Attributes:
        hypotheses: number of samples shown.
        mean, regions, keypoints: show the mean skeleton, the ball of each joint, the 2D panel.
        bodies: show surfaces, where there are some, in place of the skeletons of the hypotheses.
        ellipsoids: show the lifter's own covariance too, an ellipsoid of one standard deviation for each joint.
        max_tracks: people at most; further ones are left out, and a label says so.
        max_steps: frames at most; more are thinned evenly.
        opacity: of one hypothesis.
    """

    hypotheses: int = 20
    mean: bool = True
    regions: bool = True
    ellipsoids: bool = False
    keypoints: bool = True
    bodies: bool = True
    max_tracks: int = 8
    max_steps: int = 300
    opacity: float = 0.18

    def __post_init__(self) -> None:
        for name, least in (("hypotheses", 0), ("max_tracks", 1), ("max_steps", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: expected a whole number from {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class Track:
    """One person of one file: the pose of each frame.

    Attributes:
        label: what is written below.
        file: the pose's ``file``.
        poses: frame number -> index of the pose in the result.
        still: the file has one frame only, so its people are shown at every step.
    """

    label: str
    file: str
    poses: dict[int, int]
    still: bool

    def at(self, frame: int) -> int | None:
        """Index of the pose to show at a frame, None where the person is not there."""
        return next(iter(self.poses.values())) if self.still else self.poses.get(frame)


def tracks_of(result: LiftResult) -> list[Track]:
    """The tracks of a result, in order of appearance; a repeated frame of a person starts another track."""
    found: dict[tuple[str, int, int], dict[int, int]] = {}
    repeats: Counter[tuple[str, int, int]] = Counter()
    people: dict[str, set[int]] = {}
    frames: dict[str, set[int]] = {}
    keys = zip(result.file.tolist(), result.frame.tolist(), result.person.tolist(), strict=True)
    for index, (file, frame, person) in enumerate(keys):
        repeat = repeats[file, frame, person]
        repeats[file, frame, person] += 1
        found.setdefault((file, person, repeat), {})[frame] = index
        people.setdefault(file, set()).add(person)
        frames.setdefault(file, set()).add(frame)
    tracks = []
    for (file, person, repeat), poses in found.items():
        parts = [Path(file).name or "poses"]
        parts += [f"person {person}"] * (len(people[file]) > 1) + [f"({repeat + 1})"] * (repeat > 0)
        tracks.append(Track(" · ".join(parts), file, poses, still=len(frames[file]) == 1))
    return tracks


def samples_word(result: LiftResult) -> str:
    """What a result's hypotheses are called: samples, or the kernels of a mixture (`lift --hypotheses kernels`)."""
    return "kernels" if result.settings.get(HYPOTHESES) == KERNELS else "samples"


def clip_rate(result: LiftResult) -> float | None:
    """Frames per second of a result's clips, where the input told them and all have the same; photographs have none."""
    rates = {result.rate(track.file) for track in tracks_of(result) if not track.still}
    return rates.pop() if len(rates) == 1 else result.fps


def playback_rate(result: LiftResult, fps: float | None) -> float:
    """Frames per second to play at: as asked, else as the input told, else 10, so that one can follow.

    Raises:
        InputError: not a positive number.
    """
    return clip_rate(result) or _SLOW_RATE if fps is None else check_fps(fps)


def steps_of(tracks: list[Track], limit: int) -> list[int]:
    """Frame numbers to show, thinned evenly to at most ``limit``; one step where there are only stills."""
    frames = sorted({frame for track in tracks for frame in track.poses if not track.still})
    if not frames:
        return [0]
    if len(frames) <= limit:
        return frames
    return [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, limit).round().astype(int))]


def pauses(frames: list[int], fps: float) -> list[float]:
    """Seconds for which each step is shown."""
    return [min(gap / fps, _LONGEST_PAUSE) for gap in _gaps(frames)]


def _gaps(frames: list[int]) -> list[int]:
    """How long each step lasts, in frames; nothing to play for a single step."""
    gaps = [after - before for before, after in itertools.pairwise(frames)]
    return [*gaps, gaps[-1]] if gaps else []
