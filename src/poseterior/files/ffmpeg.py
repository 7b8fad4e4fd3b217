"""The program ffmpeg: the one on the system's path, or else the one that the extra ``video`` or ``images`` brings.

The program is run, not linked, so its licence (usually the GPL) is its own affair; that of the extra is a GPL build.
PyAV would put the same library into our own process, and so its licence too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress

from .errors import InputError
from .extras import installed, need

__all__ = ["programs", "reading_program"]


def programs() -> Iterator[str]:
    """Paths of the programs that there are, the system's first."""
    if (system := shutil.which("ffmpeg")) is not None:
        yield system
    if installed("imageio_ffmpeg"):
        import imageio_ffmpeg

        with suppress(RuntimeError):  # it has none for this machine
            yield imageio_ffmpeg.get_ffmpeg_exe()


def reading_program(name: str) -> str:
    """The program that reads a film.

    Args:
        name: the film's file, for messages.

    Raises:
        InputError: there is none; the message holds the line that installs it.
    """
    program = next(programs(), None)
    if program is None:
        need("images", "imageio_ffmpeg", f"{name}: reading a film without ffmpeg on the path")
        raise InputError(f"{name}: the package imageio-ffmpeg has no ffmpeg for this machine; install ffmpeg")
    return program
