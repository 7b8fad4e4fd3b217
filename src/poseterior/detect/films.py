"""The people in a film: found frame by frame, and followed."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing

from ..files.checks import counted
from ..files.films import Film, frame_range, frames_of_film, read_film
from ..keypoints import Keypoints2D, PoseId
from .base import Detector
from .pictures import check_large_enough
from .seen import Seen, batch
from .tracking import Follower

__all__ = ["frames_to_read", "people_in_film"]

#: Poses after which their many small tensors become one of each kind.
_BATCH = 256


def frames_to_read(film: Film, start: float = 0.0, end: float | None = None, every: int = 1) -> int | None:
    """About how many frames `people_in_film` will look at; None where the film does not tell.

    Raises:
        InputError: there is none from start to end.
    """
    first, last = frame_range(film, start, end)
    ends = [number for number in (film.frames, last) if number is not None]
    return -(-(min(ends) - first) // every) if ends else None


def people_in_film(
    path: str | os.PathLike[str],
    detector: Detector,
    start: float = 0.0,
    end: float | None = None,
    every: int = 1,
    advance: Callable[[], object] = lambda: None,
) -> Seen:
    """Everybody in a film, with numbers that stay theirs; person 0 is who is seen most: longest and largest.

    One frame is in memory at a time; what is kept of it are the keypoints, some 2 kB a person.

    Args:
        path: the film.
        detector: finds people.
        start, end, every: see `poseterior.files.films.frames_of_film`.
        advance: called after each frame.

    Returns:
        keypoints in order of the frames, whose numbers are the film's own (0 is its first frame) and whose rate is the
        film's; a note where frames show nobody.

    Raises:
        InputError: it cannot be read as a film, or nothing is from start to end; the message names the file.
    """
    name = os.fspath(path)
    film = read_film(path)
    follow = Follower(detector, name, every)
    whole: list[Keypoints2D] = []
    recent: list[Keypoints2D] = []
    extent: dict[int, float] = defaultdict(float)
    frames = empty = 0
    with closing(frames_of_film(film, start, end, every)) as pictures:
        for number, image in pictures:
            if not frames:
                check_large_enough(image, name)
            found = sorted(follow(number, image), key=lambda pair: pair[0])
            frames += 1
            empty += not found
            if found:
                people = [person for _, person in found]
                recent.append(batch(people, [PoseId(name, number, who) for who, _ in found]))
                for (who, _), size in zip(found, recent[-1].size.tolist(), strict=True):
                    extent[who] += size
            if len(recent) >= _BATCH:
                whole.append(Keypoints2D.cat(recent))
                recent = []
            advance()
    if not extent:
        return Seen(None, (f"{name}: nobody found by {detector.name} in {counted(frames, 'frame')}",))
    keypoints = Keypoints2D.cat([*whole, *recent])
    keypoints = _renumbered(keypoints, extent)
    keypoints.rates = {name: film.fps}
    notes = (f"{name}: nobody found in {empty} of {counted(frames, 'frame')}",) if empty else ()
    return Seen(keypoints, notes)


def _renumbered(keypoints: Keypoints2D, extent: dict[int, float]) -> Keypoints2D:
    """People numbered by how much of the film they fill, and in that order in each frame."""
    order = sorted(extent, key=lambda who: (-extent[who], who))
    place = {who: number for number, who in enumerate(order)}
    named = keypoints._replace(ids=[one._replace(person=place[one.person]) for one in keypoints.ids])
    rows = sorted(range(len(named)), key=lambda row: (named.ids[row].frame, named.ids[row].person))
    return named[rows]
