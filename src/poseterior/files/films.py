"""Films: what their head tells, and their frames one by one, turned as the file says (as players show them).

The program ffmpeg decodes (see `poseterior.files.ffmpeg`) and hands the frames over as PPM pictures, each of which
tells its own size. Frames come at an even rate: where a phone filmed unevenly, frames are repeated or left out so that
frame k is what was seen k/fps seconds after the start. One frame is held at a time, however long the film.
"""

from __future__ import annotations

import logging
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import UInt8

from .checks import absent
from .errors import InputError
from .ffmpeg import reading_program
from .images import MAXIMUM_PIXELS

__all__ = ["FILM_SUFFIXES", "Film", "FilmFrames", "camera_frames", "frames_of_film", "is_film", "read_film"]

#: How films are called; others are not taken for any.
FILM_SUFFIXES = (
    ".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp",
    ".ogv",
)  # fmt: skip
#: Containers that are read: none that names other files or addresses (playlists, lists of pictures).
_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,h264,hevc,mxf,dv,gif,yuv4mpegpipe,nut"
#: The slowest and the fastest film, frames per second; what is beyond is a mistake of the file.
_SLOWEST, _FASTEST = 0.1, 1000.0
#: Share of a clock's ticks without a frame up to which frames are taken to be a tick apart.
_FEW_MISSED = 0.05
#: Television's rates, which are told with two digits only.
_TELEVISION = [rate * 1000 / 1001 for rate in (24, 30, 48, 60, 120, 240)]
#: Share of a frame by which seconds that people type may be rounded.
_ROUNDED = 0.01
#: Frames by which the head of a film may be wrong about their number.
_ABOUT = 3
_WHAT_TO_DO = "is it damaged, or no film? Convert it: ffmpeg -i FILM film.mp4"
_LOG = logging.getLogger(__name__)

Picture = UInt8[np.ndarray, "height width 3"]


def is_film(path: str | os.PathLike[str]) -> bool:
    """Whether a file is called as films are."""
    return Path(path).suffix.lower() in FILM_SUFFIXES


@dataclass(frozen=True)
class Film:
    """What the head of a film tells.

    Attributes:
        path: as it was given.
        fps: frames per second.
        seconds: how long it is; None where it does not tell.
        size: width and height in px as it is stored, before it is turned.
        turned: degrees by which players turn it.
        stretch: width of a pixel over its height.
    """

    path: Path
    fps: float
    seconds: float | None
    size: tuple[int, int]
    turned: float = 0.0
    stretch: float = 1.0

    @property
    def frames(self) -> int | None:
        """About how many frames it has."""
        return None if self.seconds is None else round(self.seconds * self.fps)

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height in px as players show it."""
        width, height = round(self.size[0] * self.stretch), self.size[1]
        return (height, width) if round(self.turned / 90) % 2 else (width, height)


def read_film(path: str | os.PathLike[str]) -> Film:
    """What the head of a film tells; no frame is decoded.

    Raises:
        InputError: no such file, empty, no film, without pictures; or there is no ffmpeg.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a film")
    if not path.is_file():
        raise InputError(f"{path}: {'is no file; give a film' if path.exists() else absent(path)}")
    if not path.stat().st_size:
        raise InputError(f"{path}: is empty; copy or record it anew")
    command = [reading_program(str(path)), "-hide_banner", "-nostdin", *_source(path)]
    try:
        told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    except subprocess.TimeoutExpired:
        raise InputError(f"{path}: cannot be read as a film (ffmpeg does not answer); {_WHAT_TO_DO}") from None
    except OSError as error:
        raise InputError(f"{path}: ffmpeg does not run here ({error.strerror or error}); install ffmpeg") from None
    return _head(path, told.stderr.decode(errors="replace"))


def _source(path: Path) -> list[str]:
    # "file:" keeps names such as "concat:a|b" from being taken for more than names
    return ["-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS, "-i", f"file:{path}"]


def _head(path: Path, said: str) -> Film:
    """Read what ffmpeg says of a file."""
    lines = said.splitlines()
    streams = [i for i, line in enumerate(lines) if re.search(r"Stream #.*: Video: ", line)]
    streams = [i for i in streams if "(attached pic)" not in lines[i]]  # a record's cover
    if not streams:
        if any("Stream #" in line for line in lines):
            raise InputError(f"{path}: has no pictures, only sound or text; give a film")
        if "moov atom not found" in said:
            raise InputError(
                f"{path}: is truncated, or no film: the list of its frames (moov) is missing; copy it anew"
            )
        raise InputError(f"{path}: cannot be read as a film ({_reason(said)}); {_WHAT_TO_DO}")
    line = lines[streams[0]]
    size = re.search(r"[ ,](\d{1,6})x(\d{1,6})[ ,\[]", line + " ")
    if size is None or not int(size[1]) * int(size[2]):
        raise InputError(f"{path}: cannot be read as a film (its frames have no size); {_WHAT_TO_DO}")
    stretch = re.search(r"SAR (\d+):(\d+)", line)
    rest = " ".join(lines[streams[0] + 1 :])
    of_this = re.split(r"Stream #", rest)[0]
    turned = re.search(r"rotation of (-?[\d.]+) degrees", of_this)
    length = re.search(r"Duration: (\d+):(\d+):([\d.]+)", said)
    seconds = None if length is None else 3600 * int(length[1]) + 60 * int(length[2]) + float(length[3])
    ratio = 1.0 if stretch is None or not int(stretch[2]) else int(stretch[1]) / int(stretch[2])
    return Film(
        path, _rate(path, line), seconds or None, (int(size[1]), int(size[2])),
        0.0 if turned is None else float(turned[1]), ratio if 0.05 < ratio < 20 else 1.0,
    )  # fmt: skip


def _rate(path: Path, line: str) -> float:
    """Frames per second on average, or those of the film's clock where it misses few of its ticks."""
    told = {}
    for unit in ("fps", "tbr"):
        found = re.search(rf"([\d.]+)(k?) {unit}\b", line)
        rate = 0.0 if found is None else float(found[1]) * (1000 if found[2] else 1)
        if _SLOWEST <= rate <= _FASTEST:
            told[unit] = next((exact for exact in _TELEVISION if abs(exact - rate) < 0.006), rate)
    mean, clock = told.get("fps"), told.get("tbr")
    if mean is None and clock is None:
        raise InputError(f"{path}: does not tell its frames per second; {_WHAT_TO_DO}")
    if mean is None or (clock is not None and abs(clock / mean - 1) < _FEW_MISSED):
        return float(clock or 0.0)
    return mean


def _reason(said: str) -> str:
    """The first thing that went wrong, without the addresses that ffmpeg puts before it."""
    lines = [re.sub(r"^\[[^\]]*\] ", "", line).strip() for line in said.splitlines()]
    lines = [line for line in lines if line and "misdetection possible" not in line]
    return (lines[0] if lines else "ffmpeg says nothing")[:200].rstrip(".")


# -- frames --------------------------------------------------------------------------------------------------


def frames_of_film(
    film: Film, start: float = 0.0, end: float | None = None, every: int = 1
) -> Generator[tuple[int, Picture]]:
    """The frames of a film, each with its number, counted from 0 at the film's start.

    What is damaged or missing at the end is left out, with a warning.

    Args:
        film: from `read_film`.
        start, end: seconds; from the first frame at ``start`` or after it to the last one before ``end``.
        every: every n-th of them.

    Raises:
        InputError: (when the first frame is asked for) nothing is between start and end, or no frame can be decoded.
    """
    first, last = frame_range(film, start, end)
    count = None if last is None else -(-(last - first) // every)
    # a quarter of a frame early, so that rounding neither loses the first frame nor lets the one before it in
    before = [] if first == 0 else ["-ss", repr(max(first - 0.25, 0.0) / film.fps)]
    chain = [f"fps={film.fps!r}"] + ([f"framestep={every}"] if every > 1 else [])
    if film.stretch != 1.0:
        chain.append("scale=trunc(iw*sar+0.5):ih")
    command = [reading_program(str(film.path)), "-hide_banner", "-nostdin", "-v", "error", *before]
    command += [*_source(film.path), "-map", "0:V:0", "-an", "-sn", "-dn", "-vf", ",".join(chain)]
    command += [] if count is None else ["-frames:v", str(count)]
    number = 0
    with tempfile.TemporaryFile() as said:
        with closing(_pictures(command, said, str(film.path))) as pictures:
            for number, picture in enumerate(pictures, start=1):
                yield first + (number - 1) * every, picture
        said.seek(0)
        error = said.read(100_000).decode(errors="replace").strip()
    if number == 0:
        raise InputError(f"{film.path}: no frame can be read ({_reason(error)}); {_WHAT_TO_DO}")
    ends = [frame for frame in (film.frames, last) if frame is not None]
    _tell(film, number, -(-(min(ends) - first) // every) if ends else None, error)


def _tell(film: Film, number: int, expected: int | None, error: str) -> None:
    """Say what is missing. Heads are a little wrong, and sound may go on after the pictures: that is no damage."""
    missing = 0 if expected is None else expected - number
    if missing > _ABOUT and (error or missing > max(film.fps, 0.1 * (expected or 0))):
        _LOG.warning("%s: is truncated or damaged: %d of %d frames could be read", film.path, number, expected)
    elif error:
        _LOG.warning("%s: some of it is damaged (%s); some frames may be wrong", film.path, _reason(error))


def frame_range(film: Film, start: float, end: float | None) -> tuple[int, int | None]:
    """Number of the first frame, and of the one after the last (None: as many as there are).

    Raises:
        InputError: there is none in between.
    """
    if not (math.isfinite(start) and start >= 0):
        raise InputError(f"start: expected seconds from 0, got {start:g}")
    if end is not None and not (math.isfinite(end) and end > start):
        raise InputError(f"end: expected seconds after the start ({start:g}), got {end:g}")
    first = math.ceil(start * film.fps - _ROUNDED)
    if film.frames is not None and first >= max(film.frames, 1):
        raise InputError(f"{film.path}: lasts {film.seconds:g} s; a start at {start:g} s is after its end")
    last = None if end is None else math.ceil(end * film.fps - _ROUNDED)
    if last is not None and last <= first:
        raise InputError(f"{film.path}: no frame from {start:g} to {end:g} s, at {film.fps:g} frames a second")
    return first, last


def _pictures(command: list[str], said: IO[bytes], name: str) -> Generator[Picture]:
    """What the program writes as PPM pictures, until it ends; it is ended when nobody asks any more."""
    command = [*command, "-max_pixels", str(MAXIMUM_PIXELS), "-pix_fmt", "rgb24"]
    command += ["-c:v", "ppm", "-f", "image2pipe", "-"]
    try:
        running = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, start_new_session=True
        )
    except OSError as error:
        raise InputError(f"{name}: ffmpeg does not run here ({error.strerror or error}); install ffmpeg") from None
    assert running.stdout is not None
    try:
        while (picture := _picture(running.stdout, name)) is not None:
            yield picture
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        running.stdout.close()
        running.wait()


def _picture(stream: IO[bytes], name: str) -> Picture | None:
    """The next picture; None at the end, also where that is in the middle of one."""
    magic, size, depth = stream.readline(16), stream.readline(32), stream.readline(8)
    if not depth.endswith(b"\n"):
        return None
    if magic != b"P6\n" or depth != b"255\n":
        raise InputError(f"{name}: ffmpeg hands over what is no picture; {_WHAT_TO_DO}")
    width, height = map(int, size.split())
    if width * height > MAXIMUM_PIXELS:
        raise InputError(
            f"{name}: has frames of {width} x {height} px; at most {MAXIMUM_PIXELS // 10**6} million are read"
        )
    pixels = np.empty((height, width, 3), np.uint8)
    room = memoryview(pixels.data).cast("B")
    filled = 0
    while filled < len(room):
        got = stream.readinto(room[filled:])  # type: ignore[attr-defined]
        if not got:
            return None
        filled += got
    return pixels


class FilmFrames:
    """Frames of a film by their numbers, for who asks for them mostly one after another.

    Going forward reads on; going back, or far ahead, opens the film again there. Close it, or use it in a ``with``.
    """

    #: Frames that are read and thrown away rather than sought.
    _AHEAD = 100

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.film = read_film(path)
        self._frames: Generator[tuple[int, Picture]] | None = None
        self._number, self._picture = -1, None  # type: int, Picture | None

    def __enter__(self) -> FilmFrames:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the program that reads."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None

    def at(self, number: int) -> Picture | None:
        """The frame of that number; None after the end of the film, or where it cannot be read."""
        if number == self._number:
            return self._picture
        if self._frames is None or not self._number < number <= self._number + self._AHEAD:
            self.close()
            self._frames = frames_of_film(self.film, number / self.film.fps)
        self._picture = None
        with suppress(InputError):
            for there, picture in self._frames:
                if there >= number:
                    self._picture = picture
                    break
        self._number = number
        return self._picture


# -- cameras -------------------------------------------------------------------------------------------------


def camera_frames(number: int) -> Generator[Picture]:
    """What a camera of this machine sees, frame by frame, as fast as it gives them.

    Linux (V4L2) counts its cameras as /dev/video0, 1, ...; macOS (AVFoundation) and Windows (DirectShow) as ffmpeg
    lists them.

    Raises:
        InputError: there is no such camera, or it gives nothing.
    """
    name = f"webcam:{number}"
    program = reading_program(name)
    return _from_camera(program, _camera_source(program, number), name)


def _camera_source(program: str, number: int) -> list[str]:
    """The options by which the program opens a camera of this machine."""
    if sys.platform == "darwin":
        return ["-f", "avfoundation", "-framerate", "30", "-i", f"{number}:none"]
    if sys.platform == "win32":
        return ["-f", "dshow", "-i", f"video={_windows_camera(program, number)}"]
    if not Path(f"/dev/video{number}").exists():
        there = sorted(str(path) for path in Path("/dev").glob("video*"))
        raise InputError(f"webcam:{number}: there is no /dev/video{number}; cameras here: {', '.join(there) or 'none'}")
    return ["-f", "v4l2", "-i", f"/dev/video{number}"]


def _from_camera(program: str, source: list[str], name: str) -> Generator[Picture]:
    command = [program, "-hide_banner", "-nostdin", "-v", "error", "-fflags", "nobuffer", *source, "-an"]
    seen = False
    with tempfile.TemporaryFile() as said:
        with closing(_pictures([*command, *_as_they_come(program)], said, name)) as pictures:
            for picture in pictures:
                seen = True
                yield picture
        said.seek(0)
        error = _reason(said.read(100_000).decode(errors="replace"))
    if not seen:
        raise InputError(f"{name}: gives no picture ({error}); does another program use it?")


def _as_they_come(program: str) -> list[str]:
    """The option by which frames are neither repeated nor left out; it was renamed in ffmpeg 5.1."""
    told = subprocess.run([program, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    version = re.match(rb"ffmpeg version n?(\d+)\.(\d+)", told.stdout)
    old = version is not None and (int(version[1]), int(version[2])) < (5, 1)
    return ["-vsync" if old else "-fps_mode", "passthrough"]


def _windows_camera(program: str, number: int) -> str:
    command = [program, "-hide_banner", "-list_devices", "true", "-f", "dshow", "-i", "dummy"]
    told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    names: list[str] = re.findall(r'"([^"]+)" \(video\)', told.stderr.decode(errors="replace"))
    if number >= len(names):
        raise InputError(f"webcam:{number}: there is no such camera; cameras here: {', '.join(names) or 'none'}")
    return names[number]
