"""Faults for writers: kills, full disks, folders that are not ours. Each runs in a process of its own."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import poseterior.files.writing as writing
from poseterior.files.errors import InputError

#: Who nobody is, for processes that may not write where root may.
NOBODY = 65534


def in_child(act: Callable[[], object], seconds: float = 120.0) -> str:
    """What becomes of an act in a forked process: "done", the text of an error, or "killed by signal N"."""
    reader, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        answer = "done"
        try:
            writing._swept.clear()  # a run of its own, which looks for leftovers
            act()
        except InputError as error:
            answer = f"InputError: {error}"
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            os.write(sender, answer.encode())
        os._exit(0)
    os.close(sender)
    status = _waited(pid, seconds)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    return f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else answer


def _waited(pid: int, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("the process hangs")


def no_file_above(size: int) -> None:
    """From now on the system refuses to let any file of this process grow further, as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def die_above(size: int) -> None:
    """From now on the system kills this process in the write that makes a file larger."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    no_file_above(size)


def die() -> None:
    """As if by ``kill -9``."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_the_rename() -> None:
    """From now on this process dies when all is written and nothing is renamed yet."""
    for name in ("replace", "rename"):
        setattr(os, name, lambda *_, **__: die())
    writing._exchange = lambda *_: die()  # type: ignore[assignment]


def become_nobody() -> None:
    """Give up root's right to write everywhere, if we are root."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder, and all below, that nobody may write into; the folders above can be entered."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    above = [path for path in folder.parents if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 0o001]
    before = {path: path.stat().st_mode for path in (*folders, *above)}
    try:
        for path in folders:
            path.chmod(0o555)
        for path in above:
            path.chmod(path.stat().st_mode | 0o011)
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


def content(path: Path) -> object:
    """A file's bytes, or a folder's files with theirs; None for nothing."""
    if path.is_dir():
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    return path.read_bytes() if path.exists() else None


def largest(path: Path) -> int:
    """Bytes of the largest file of what was written."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return max(file.stat().st_size for file in files)
