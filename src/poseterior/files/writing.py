"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import InputError

__all__ = [
    "atomic_write",
    "check_writable",
]

# -- writing -------------------------------------------------------------------------------------------


def check_writable(path: str | os.PathLike[str]) -> None:
    """Make sure that a file can be written, before any work is done for it; nothing is created.

    Raises:
        InputError: the folder does not exist, is a file or may not be written to; or the path is a folder or
            a device. The message names the path and the remedy.
    """
    path = Path(path)
    folder = path.parent
    try:
        if not folder.exists():
            raise InputError(f"{path}: the folder {folder} does not exist; make it first")
        if not folder.is_dir():
            raise InputError(f"{path}: {folder} is a file, not a folder; choose another path")
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give the name of a file")
        # the rename at the end would put a file in the place of a device or a pipe
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is not a plain file; choose another name")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"{path}: no permission to write in the folder {folder}; choose another one")
    except OSError as error:  # a name too long, a parent that may not be entered
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a binary file that appears under ``path`` only when it is complete.

    Raises:
        InputError: as `check_writable`; or writing fails.
    """
    path = Path(path)
    check_writable(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        temporary.unlink(missing_ok=True)
