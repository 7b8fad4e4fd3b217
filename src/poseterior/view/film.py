"""Films of lifted clips, written frame by frame."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..files.errors import InputError
from ..files.numbered import usual_step
from ..files.writing import atomic_write, check_writable
from ..results.bridging import bridged
from ..results.poses import LiftResult
from ..results.timeline import MAX_GAP, gap_line
from ..results.times import ASSUMED_FPS
from .drawing import Array
from .ffmpeg import check_ffmpeg, encode
from .film_page import FilmPage
from .photos import Photos, check_photos
from .tracks import clip_rate, tracks_of

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["VIDEO_SUFFIXES", "check_moves", "check_video", "save_film"]

VIDEO_SUFFIXES = (".mp4", ".gif")

#: Width and height of a film in inches and its dots an inch: 1280 x 720 px, and 768 x 432 px with larger words.
_SIZES = {".mp4": ((12.8, 7.2), 100), ".gif": ((9.6, 5.4), 80)}
#: The turning eye: degrees to the side at the start.
_FILM_START = 25.0
#: A GIF keeps its frames in memory until it is written, and few programs show more than 15 a second.
_GIF_FPS, _GIF_FRAMES = 15.0, 1000
#: Seconds for which a film may be empty; longer ones are cut to one second.
_LONGEST_AWAY = 10.0
_LOG = logging.getLogger(__name__)


def check_video(path: str | os.PathLike[str], fps: float) -> None:
    """Make sure that a film can be written, before any work is done for it.

    Raises:
        InputError: another extension than .mp4 or .gif, a rate that films do not have, a path that cannot be written
            to, or a package that is not installed.
    """
    name, suffix = os.fspath(path), Path(path).suffix.lower()
    if suffix not in VIDEO_SUFFIXES:
        raise InputError(f"{name}: unknown extension {suffix!r}; use one of: {', '.join(VIDEO_SUFFIXES)}")
    if not 1 <= fps <= 240:
        raise InputError(f"{name}: fps: a film needs 1 to 240 frames per second, got {fps:g}")
    check_writable(path)
    if suffix == ".mp4":
        check_ffmpeg(name)


def check_moves(path: str | os.PathLike[str], files: Sequence[str], frames: Sequence[int]) -> None:
    """Make sure that there is a clip for a film, before anything is lifted for it.

    Args:
        path: of the film.
        files, frames: of each pose.

    Raises:
        InputError: no file has two frames.
    """
    poses = set(zip(files, frames, strict=True))
    if len(poses) == len({file for file, _ in poses}):
        raise InputError(
            f"{os.fspath(path)}: a film needs a clip, but every file has one frame; write a picture instead"
        )


def save_film(
    result: LiftResult,
    path: str | os.PathLike[str],
    *,
    fps: float | None = None,
    turn: float = 20.0,
    photos: Photos = None,
    hypotheses: int = 20,
    max_gap: float = MAX_GAP,
    progress: Progress | None = None,
) -> int:
    """Write a film of a lifted clip: the picture with its keypoints, the person in 3D, how sure each moment is.

    In the picture (frames of a film, a photograph, or blank) the keypoints have ellipses that hold a normal
    distribution of their covariance at the regions' level; joints that are not seen are hollow, where the hypotheses
    are seen. In 3D, slowly turning, the mean is on top, hypotheses are faint, and the balls of each joint's region, of
    which the legend says whether they are calibrated, are shaded; the lowest joint stands on the floor, whose rings are
    half a metre and a metre wide and turn with the direction to the camera. Below a cursor moves along the mean radius
    of the regions (mm), over their range over the joints; moments in which nobody was seen are marked.

    Up to four people of one film stand in one picture, and side by side in 3D; further ones are left out, and the film
    says so. A person who is not there is not drawn, but for gaps of at most ``max_gap``, in which the pose is what
    `poseterior.results.bridging.bridged` gives. The film keeps real time: it stands empty while nobody is there.
    Frames are drawn and written one by one.

    Args:
        result: at least one person in at least two frames; single pictures are left out.
        path: ``.mp4`` (1280x720, H.264; by the ffmpeg on the path, or the one of the extra ``video``) or ``.gif``
            (768x432, of at most 15 frames per second: every second frame of a clip of 30). The file appears only when
            it is complete.
        fps: frames per second, 1 to 240; every frame number from the first of the result to the last is a frame of the
            film (where every n-th was looked at, every n-th), but that it is empty for a second only where nobody is
            there for more than ten. By default what the input told, else 30 is assumed and logged.
        turn: degrees per second by which the eye goes around the person; 0 keeps it still.
        photos: picture(s) behind the keypoints, see `poseterior.view.photos.read_photo`; of a film (see
            `poseterior.view.photos.film_of`) the frames, by the numbers of the result's.
        hypotheses: samples drawn per pose.
        max_gap: seconds without a person that are bridged.
        progress: a rich progress display that counts the frames.

    Returns:
        Number of frames drawn.

    Raises:
        InputError: as `check_video`; no clip in the result; a GIF of more than 1,000 frames; a photo that cannot be
            read; writing fails.
    """
    if fps is None:
        fps = clip_rate(result)
        if fps is None:
            fps = ASSUMED_FPS
            _LOG.warning("%s: %g frames a second is assumed: pass --fps (fps=... in Python)", os.fspath(path), fps)
    check_video(path, fps)
    if not np.isfinite(turn):
        raise InputError(f"turn: expected degrees per second, got {turn}")
    suffix = Path(path).suffix.lower()
    check_moves(path, result.file.tolist(), result.frame.tolist())
    tracks = [track for track in tracks_of(result) if not track.still]
    known = {frame for track in tracks for frame in track.poses}
    said = gap_line([sorted(track.poses) for track in tracks], fps, max_gap)
    if said:
        _LOG.warning("%s: %s", os.fspath(path), said)
    result = bridged(result, fps, max_gap)
    tracks = [track for track in tracks_of(result) if not track.still]
    frames, fps = _in_real_time(known, fps)
    step = max(int(np.ceil(fps / _GIF_FPS)), 1) if suffix == ".gif" else 1
    shown = frames[::step]
    if suffix == ".gif" and len(shown) > _GIF_FRAMES:
        raise InputError(
            f"{os.fspath(path)}: a GIF of {len(shown):,} frames is too large (at most {_GIF_FRAMES:,}); write .mp4"
        )
    check_photos(photos, result.file.tolist())
    film = FilmPage(result, tracks, *_SIZES[suffix], photos, hypotheses, frames, fps)
    times = np.arange(0, len(frames), step) / fps
    pictures: Iterable[NDArray[np.uint8]]
    pictures = (film.picture(f, t, _FILM_START + turn * t) for f, t in zip(shown, times.tolist(), strict=True))
    if progress is not None:
        pictures = progress.track(pictures, total=len(shown), description=Path(path).name)
    with film, atomic_write(path) as file:
        if suffix == ".gif":
            _write_gif(file, pictures, times, step / fps)
        else:
            _write_mp4(file, pictures, fps, os.fspath(path))
    return len(shown)


def _in_real_time(known: set[int], fps: float) -> tuple[list[int], float]:
    """The frame numbers of a film, and its frames per second: fewer for a clip that is thinned, but one at least.

    Of a film of which every third frame was looked at the others are no gaps: they are left out.
    """
    numbers = np.asarray(sorted(known), np.int64)
    unit = usual_step(numbers.tolist())
    rate = float(np.clip(fps / unit, 1.0, 240.0))
    frames: list[int] = []
    for start, end in zip(numbers.tolist(), [*numbers[1:].tolist(), int(numbers[-1]) + unit], strict=True):
        away = (end - start) // unit
        frames += range(start, start + unit * (away if away <= _LONGEST_AWAY * rate else round(rate)), unit)
    return frames, rate


def _write_mp4(file: IO[bytes], pictures: Iterable[NDArray[np.uint8]], fps: float, name: str) -> None:
    # The encoder writes under the temporary name itself: an MP4 is completed by going back to its start.
    size, dpi = _SIZES[".mp4"]
    width, height = (round(side * dpi) for side in size)
    encode(file.name, pictures, (width, height), fps, name)


def _write_gif(file: IO[bytes], pictures: Iterable[NDArray[np.uint8]], times: Array, last: float) -> None:
    from PIL import Image

    # A GIF counts hundredths of a second: rounding the times, not the durations, keeps the length of the whole.
    marks = np.round(100 * np.append(times, times[-1] + last)).astype(int)
    durations = (10 * np.maximum(np.diff(marks), 2)).tolist()
    images: Iterator[Image.Image] = (
        Image.fromarray(p).convert("RGB").quantize(128, dither=Image.Dither.NONE) for p in pictures
    )
    first = next(images)
    first.save(file, format="GIF", save_all=True, append_images=images, duration=durations, loop=0)
