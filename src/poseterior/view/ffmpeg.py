"""Films by the program ffmpeg: the one on the system's path, or else the one that the extra ``video`` brings.

See `poseterior.files.ffmpeg`.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ..files.errors import InputError
from ..files.extras import need
from ..files.ffmpeg import programs

__all__ = ["check_ffmpeg", "encode"]

#: Encoders of films that MP4 can hold, the best first, with what sets their quality; the first is not in every build.
_ENCODERS = {
    "libx264": ("-preset", "veryfast", "-crf", "20"),
    "libopenh264": ("-b:v", "4M"),
    "mpeg4": ("-q:v", "3"),
}


def check_ffmpeg(name: str) -> tuple[str, str]:
    """The program and the encoder that write a film.

    Args:
        name: the film's file, for messages.

    Raises:
        InputError: there is no ffmpeg, or none that runs here and can write MP4.
    """
    found = list(programs())
    if not found:
        need("video", "imageio_ffmpeg", f"{name}: writing MP4 without ffmpeg on the path", " (or write a .gif)")
    for program in found:
        known = _encoders(program)
        for encoder in _ENCODERS:
            if encoder in known:
                return program, encoder
    raise InputError(f"{name}: no ffmpeg for this machine that can write MP4; write a .gif instead")


def _encoders(program: str) -> set[str]:
    """Names of the encoders that a program says it has; none where it does not run."""
    try:
        told = subprocess.run(
            [program, "-hide_banner", "-encoders"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return set()
    return {words[1] for words in map(str.split, told.stdout.decode(errors="replace").splitlines()) if len(words) > 1}


def encode(path: str, pictures: Iterable[NDArray[np.uint8]], size: tuple[int, int], fps: float, shown: str) -> None:
    """Write an MP4 file.

    Args:
        path: the file, replaced.
        pictures: RGBA, each of shape ``(height, width, 4)``.
        size: width and height in pixels, even numbers.
        fps: frames per second.
        shown: the file's name for messages.

    Raises:
        InputError: as `check_ffmpeg`.
        OSError: the program failed; with its last line.
    """
    program, encoder = check_ffmpeg(shown)
    source = ["-f", "rawvideo", "-pix_fmt", "rgba", "-s", "{}x{}".format(*size), "-r", repr(float(fps)), "-i", "-"]
    target = ["-an", "-c:v", encoder, *_ENCODERS[encoder], "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    command = [program, "-y", "-v", "error", "-xerror", *source, *target, "-f", "mp4", path]
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
        ) as running:
            assert running.stdin is not None
            try:
                with suppress(BrokenPipeError):  # it has ended: its status tells why
                    for picture in pictures:
                        running.stdin.write(np.ascontiguousarray(picture).data)
                    running.stdin.close()
            except BaseException:
                running.kill()
                raise
            finally:
                with suppress(BrokenPipeError):
                    running.stdin.close()
        if running.returncode or not os.path.getsize(path):
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise OSError(f"ffmpeg: {lines[-1]}" if lines else "the encoder wrote nothing")
