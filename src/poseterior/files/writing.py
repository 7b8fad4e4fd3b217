"""Files and folders that appear whole or not at all, and never in the place of what is read.

What is being written stands beside its target under a name of our own, ``.NAME.HOST-PID-TOKEN.poseterior-tmp``, and is
renamed when it is complete and on the disk. A process that is killed leaves such a name behind; the next one that
writes into the same folder removes it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import os
import re
import secrets
import shutil
import socket
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .errors import InputError

__all__ = [
    "atomic_folder",
    "atomic_write",
    "check_folder",
    "check_outputs",
    "check_writable",
    "discard_folder",
    "make_folder",
    "put_folder",
    "remove_stale",
    "temporary_folder",
]

# -- before any work is done -----------------------------------------------------------------------------


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


def check_folder(path: str | os.PathLike[str]) -> None:
    """Make sure that a folder is there or can be made, before any work is done for it; nothing is created.

    Raises:
        InputError: a file stands there or above it, or there is no permission; the message names both.
    """
    folder = above = Path(path)
    while not os.path.lexists(above) and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise InputError(f"{folder}: cannot be written ({above}: is a file); choose another path")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: no permission to write in the folder {above}; choose another path")


def make_folder(path: str | os.PathLike[str], file: str | os.PathLike[str] | None = None) -> Path:
    """Make a folder, and those above it, where there is none.

    Args:
        path: the folder.
        file: what is to be written into it, which an error names.

    Raises:
        InputError: it cannot be made, e.g. because a file stands there.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "is a file" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror or error
        raise InputError(f"{file or folder}: cannot be written ({folder}: {reason}); choose another path") from None
    return folder


_Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None


def check_outputs(outputs: Mapping[str, _Paths], inputs: Iterable[str | os.PathLike[str] | None]) -> None:
    """Refuse outputs that would replace what is read, or each other, before any work is done.

    Links of both kinds and other spellings of a path are seen through. A file that stands in a folder that is read is
    one of the inputs; a folder that holds an input would be replaced with it.

    Args:
        outputs: option to the file or folder (or several) that it names; None where it is not given.
        inputs: files and folders that are read; None where one is not given.

    Raises:
        InputError: an output is an input, in an input, holds an input, or is another output; the message names both.
    """
    given = {_identity(path): Path(path) for path in inputs if path is not None}
    folders = [path for path in given.values() if path.is_dir()]
    written: dict[object, tuple[str, Path]] = {}
    for option, paths in outputs.items():
        for output in _listed(paths):
            identity = _identity(output)
            if identity in given:
                raise InputError(
                    f"{option} {output}: is the input {given[identity]}, which it would replace; choose another name"
                )
            if identity in written:
                other, before = written[identity]
                raise InputError(f"{option} {output}: is {other} {before} too; give each a name of its own")
            written[identity] = option, output
            _check_apart(option, output, list(given.values()), folders)


def _listed(paths: _Paths) -> list[Path]:
    if paths is None:
        return []
    return [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]


def _identity(path: str | os.PathLike[str]) -> object:
    """What is equal for two names of one file or folder, or for two spellings of a path where there is none yet."""
    try:
        found = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return found.st_dev, found.st_ino


def _check_apart(option: str, output: Path, inputs: list[Path], folders: list[Path]) -> None:
    if not os.path.lexists(output):
        return
    for read in folders:
        if _within(output, read):
            raise InputError(
                f"{option} {output}: stands in the folder {read}, which is read, and would be replaced; "
                "choose a new name, or another folder"
            )
    for read in inputs if output.is_dir() else ():
        if _within(read, output):
            raise InputError(
                f"{option} {output}: holds the input {read}, which it would replace; choose another folder"
            )


def _within(path: Path, folder: Path) -> bool:
    """Whether the path, or what it links to, lies below the folder."""
    below = Path(os.path.realpath(folder))
    places = (Path(os.path.realpath(path)), Path(os.path.realpath(path.parent), path.name))
    return any(below in place.parents for place in places)


# -- names of what is not complete -----------------------------------------------------------------------

_TEMPORARY = re.compile(
    r"\.(?P<name>.+)\.(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-(?P<token>[0-9a-f]{8})\.poseterior-(?P<kind>tmp|old)"
)
#: What nobody has written to for so long is abandoned, even where its process cannot be asked.
_ABANDONED = 24 * 3600.0
#: What this process is writing now, by token, and the folders where it has looked for leftovers.
_open: set[str] = set()
_swept: set[str] = set()


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


@contextmanager
def _token() -> Iterator[str]:
    token = secrets.token_hex(4)
    _open.add(token)
    try:
        yield token
    finally:
        _open.discard(token)


def _beside(path: Path, token: str, kind: str = "tmp") -> Path:
    name = path.name
    while kind == "tmp" and len(os.fsencode(name)) > 190:  # names have at most 255 bytes
        name = name[:-1]
    return path.with_name(f".{name}.{_host()}-{os.getpid()}-{token}.poseterior-{kind}")


def _alive(pid: int) -> bool:
    if os.name == "nt":  # where signal 0 would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _last_change(path: Path) -> float:
    times = [path.lstat().st_mtime]
    if path.is_dir() and not path.is_symlink():
        times += [entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(path)]
    return max(times)


def _abandoned(path: Path, found: re.Match[str]) -> bool:
    if found["host"] == _host():
        pid = int(found["pid"])
        # a process of the same number before us, as in a container, where it is often the same
        if pid == os.getpid():
            return found["token"] not in _open
        if not _alive(pid):
            return True
    return time.time() - _last_change(path) > _ABANDONED


def remove_stale(folder: str | os.PathLike[str]) -> list[Path]:
    """Remove what killed runs have left unfinished in a folder; returns what was removed.

    Only names of our own are looked at, and of those only the ones whose process has ended (or, on another machine,
    that nobody has written to for a day). A folder that was moved out of the way when its writer was killed before
    the new one stood there is put back.
    """
    removed: list[Path] = []
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            found = _TEMPORARY.fullmatch(name)
            path = Path(folder, name)
            with contextlib.suppress(OSError):  # another process may be at it too
                if found is None or not _abandoned(path, found):
                    continue
                if found["kind"] == "old" and not os.path.lexists(path.with_name(found["name"])):
                    os.rename(path, path.with_name(found["name"]))
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
                removed.append(path)
    return removed


def _sweep_once(folder: Path) -> None:
    # once for each folder and process: a run may write thousands of files into one folder
    place = os.path.realpath(folder)
    if place not in _swept:
        _swept.add(place)
        remove_stale(folder)


# -- files -----------------------------------------------------------------------------------------------


class _Raw(io.FileIO):
    """A file that remembers why it could not be written, whatever the libraries on top make of it."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            raise


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a binary file that appears under ``path`` only when it is complete and on the disk.

    Whatever happens meanwhile (an error, a kill, a full disk, another writer), ``path`` is the old file or the new one.

    Raises:
        InputError: as `check_writable`; or writing fails.
    """
    path = Path(path)
    check_writable(path)
    _sweep_once(path.parent)
    raw: _Raw | None = None
    with _token() as token:
        temporary = _beside(path, token)
        try:
            raw = _Raw(temporary, "xb")
            with io.BufferedWriter(raw) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync(path.parent)
        except Exception as error:
            reason = error if raw is None or raw.failure is None else raw.failure
            if not isinstance(reason, OSError):
                raise
            raise InputError(f"{path}: cannot be written ({reason.strerror or reason})") from None
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# -- folders ---------------------------------------------------------------------------------------------


def temporary_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder beside ``path`` to fill, for `put_folder` or `discard_folder`; missing parents are made.

    Raises:
        InputError: it cannot be made.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(path.parent)
        token = secrets.token_hex(4)
        folder = _beside(path, token)
        folder.mkdir()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    _open.add(token)
    return folder


def discard_folder(folder: Path) -> None:
    """Remove a folder of `temporary_folder`, if it is still there."""
    shutil.rmtree(folder, ignore_errors=True)
    found = _TEMPORARY.fullmatch(folder.name)
    if found is not None:
        _open.discard(found["token"])


def put_folder(folder: Path, path: str | os.PathLike[str], expected: os.stat_result | None = None) -> None:
    """Put a filled folder of `temporary_folder` in its place, in one step where the system can.

    Args:
        folder: what is complete; afterwards it is gone.
        path: its place.
        expected: of the folder that may be replaced (``os.stat``); None: none may.

    Raises:
        InputError: another folder stands there than expected, i.e. another run has written meanwhile; it is kept.
        OSError: renaming fails; what stood there is still there.
    """
    target = Path(path)
    for below, _, files in os.walk(folder):
        for name in files:
            _sync(Path(below, name))
        _sync(Path(below))
    if expected is None:
        if os.path.lexists(target):
            raise InputError(f"{target}: was made by another run meanwhile; choose another folder")
        os.rename(folder, target)
    elif _exchange(folder, target):
        if not os.path.samestat(os.stat(folder), expected):
            _exchange(folder, target)
            raise InputError(f"{target}: was changed by another run meanwhile; start this one again")
    else:
        _exchange_in_steps(folder, target, expected)
    _sync(target.parent)
    discard_folder(folder)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two folders in one step; False where the system cannot."""
    names: tuple[Any, ...]
    if sys.platform.startswith("linux"):
        swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        names = (-100, os.fsencode(a), -100, os.fsencode(b), 2)  # AT_FDCWD, RENAME_EXCHANGE
    elif sys.platform == "darwin":
        swap = getattr(ctypes.CDLL(None, use_errno=True), "renamex_np", None)
        names = (os.fsencode(a), os.fsencode(b), 2)  # RENAME_SWAP
    else:
        return False
    if swap is None:
        return False
    if swap(*names) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), os.fspath(b))


def _exchange_in_steps(folder: Path, target: Path, expected: os.stat_result) -> None:
    """As `_exchange`, in two steps: killed between them, `remove_stale` puts the old folder back."""
    if not os.path.samestat(os.stat(target), expected):
        raise InputError(f"{target}: was changed by another run meanwhile; start this one again")
    found = _TEMPORARY.fullmatch(folder.name)
    assert found is not None
    old = _beside(target, found["token"], "old")
    os.rename(target, old)
    try:
        os.rename(folder, target)
    except OSError:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """A new folder to fill, which appears under ``path`` only when it is complete and on the disk.

    Args:
        path: the folder; missing parents are made.
        replace: a folder that stands there may be replaced; otherwise there must be none.

    Raises:
        InputError: the folder exists, or was changed by another run meanwhile; or writing fails.
    """
    target = Path(path)
    expected = os.stat(target) if replace and target.exists() else None
    folder = temporary_folder(target)
    try:
        yield folder
        put_folder(folder, target, expected)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from None
    finally:
        discard_folder(folder)
