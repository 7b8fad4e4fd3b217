"""Where files are: paths of this machine, or addresses of storage that fsspec or pyarrow opens (``s3://bucket/x``).

What is written appears under its name when it is complete: on this machine by a rename, in object stores because they
work so, elsewhere by a move.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checks import absent, reason
from .errors import InputError
from .extras import installed, need
from .numbered import natural_key
from .writing import atomic_write, make_folder

__all__ = ["Place", "Stored", "expanded", "is_address", "place_of", "stored_files"]

#: An address; `pathlib.Path` leaves one slash of two. A single letter is a drive of Windows.
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/{1,2}(?P<rest>[^/].*)")
_PATTERN = re.compile(r"[*?\[]")
#: Where a file appears when it is complete, and a move would be a second copy.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"}
#: What lives in the memory of one process: others cannot open it.
_PRIVATE = {"memory"}


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether this is an address of other storage than this machine's paths.

    >>> is_address("s3://bucket/walk.parquet"), is_address("clips/walk.parquet"), is_address("file:///tmp/walk.json")
    (True, False, False)
    """
    found = _ADDRESS.fullmatch(os.fspath(path))
    return found is not None and found["scheme"].lower() != "file"


@dataclass(frozen=True)
class Place:
    """A file or folder somewhere.

    Attributes:
        name: as it was typed.
        address: a path from the root of this machine, or ``scheme://...``: what every process finds.
    """

    name: str
    address: str

    @property
    def local(self) -> bool:
        """Whether it is a path of this machine."""
        return "://" not in self.address

    @property
    def private(self) -> bool:
        """Whether only the process that made it finds it (``memory://``)."""
        return not self.local and self.address.split("://")[0] in _PRIVATE

    def within(self, name: str) -> Place:
        """What has this name in the folder."""
        return Place(f"{self.name.rstrip('/')}/{name}", f"{self.address.rstrip('/')}/{name}")

    def fetch(self, folder: Path) -> Path:
        """The file on this machine: itself, or a copy in the folder.

        Raises:
            InputError: there is no such file, or it cannot be had.
        """
        if self.local:
            if not Path(self.address).exists():
                raise InputError(f"{self.name}: {absent(self.address)}; all machines have to see it under this path")
            return Path(self.address)
        copy = folder / self.address.rsplit("/", 1)[-1]
        with _storage(self.name):
            system, path, _ = _open(self.address)
            system.get_file(path, str(copy))
        return copy

    def read(self) -> bytes | None:
        """What is in the file; None where there is none.

        Raises:
            InputError: it cannot be read.
        """
        with _storage(self.name):
            try:
                if self.local:
                    return Path(self.address).read_bytes()
                system, path, _ = _open(self.address)
                return bytes(system.cat_file(path))
            except FileNotFoundError:
                return None

    def put(self, file: Path) -> None:
        """Bring a file here, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        if self.local:
            with file.open("rb") as source, atomic_write(self.address) as target:
                shutil.copyfileobj(source, target, 1 << 20)
            return
        with _storage(self.name, "cannot be written"):
            system, path, scheme = _open(self.address)
            if scheme in _OBJECT_STORES:
                system.put_file(str(file), path)
                return
            folder, _, name = path.rpartition("/")
            unfinished = f"{folder}/.{name}.{os.getpid()}.poseterior-tmp"
            system.put_file(str(file), unfinished)
            system.mv(unfinished, path)

    def remove(self) -> None:
        """Remove the file, where there is one.

        Raises:
            InputError: it cannot be removed.
        """
        with _storage(self.name, "cannot be removed"):
            try:
                if self.local:
                    Path(self.address).unlink()
                    return
                system, path, _ = _open(self.address)
                system.rm_file(path)
            except FileNotFoundError:
                return

    def make(self) -> None:
        """Make this folder, where there is none.

        Raises:
            InputError: it cannot be made.
        """
        if self.local:
            make_folder(self.address)
            return
        with _storage(self.name, "cannot be written"):
            system, path, _ = _open(self.address)
            system.makedirs(path, exist_ok=True)

    def names(self) -> set[str]:
        """Names of the files in this folder; none where there is no folder.

        Raises:
            InputError: it cannot be listed, or is a file.
        """
        with _storage(self.name):
            if self.local:
                folder = Path(self.address)
                if folder.exists() and not folder.is_dir():
                    raise InputError(f"{self.name}: is a file; give a folder")
                return {path.name for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()
            system, path, _ = _open(self.address)
            system.invalidate_cache()
            try:
                return {one["name"].rsplit("/", 1)[-1] for one in system.ls(path, detail=True) if one["type"] == "file"}
            except FileNotFoundError:
                return set()


@dataclass(frozen=True)
class Stored(Place):
    """A file that is there.

    Attributes:
        size: bytes.
        version: changes when the file does (the time it was written, or what the store says of it).
    """

    size: int = 0
    version: str = ""


def place_of(path: str | os.PathLike[str]) -> Place:
    """The place that was typed."""
    text = os.fspath(path)
    found = _ADDRESS.fullmatch(text)
    if found is not None and found["scheme"].lower() != "file":
        address = f"{found['scheme'].lower()}://{found['rest']}"
        return Place(address, address)
    if text.startswith("file:"):
        text = "/" + text.removeprefix("file:").lstrip("/")
    return Place(text, os.path.abspath(text))


def expanded(paths: Iterable[Path]) -> list[Path]:
    """Paths of this machine, patterns such as ``clips/*.parquet`` replaced by what they match, in natural order.

    Raises:
        InputError: nothing matches a pattern.
    """
    found: list[Path] = []
    for path in paths:
        if not _PATTERN.search(str(path)) or os.path.lexists(path):
            found.append(path)
            continue
        matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
        if not matches:
            raise InputError(f"{path}: no file matches this pattern")
        found += sorted(matches, key=lambda match: natural_key(str(match)))
    return found


def stored_files(paths: Iterable[Path], suffixes: Sequence[str]) -> list[Stored]:
    """Files by their names, by patterns, and in folders (not in the folders in these), wherever they are.

    Args:
        paths: as they were typed.
        suffixes: of the files of folders, which others are left out of.

    Returns:
        each file once; those of a folder or pattern in natural order.

    Raises:
        InputError: nothing is there, or it cannot be listed.
    """
    found: dict[str, Stored] = {}
    for path in paths:
        files = list(_elsewhere(path, suffixes) if is_address(path) else _here(path, suffixes))
        if not files:
            raise InputError(f"{path}: no keypoint file in this folder; expected {', '.join(suffixes)}")
        for file in files:
            found.setdefault(file.address, file)
    return list(found.values())


def _wanted(name: str, suffixes: Sequence[str]) -> bool:
    return not name.startswith((".", "_")) and Path(name).suffix.lower() in suffixes


def _here(typed: Path, suffixes: Sequence[str]) -> Iterator[Stored]:
    for path in expanded([Path(place_of(typed).name)]):
        inside = [path]
        if path.is_dir():
            own = (one for one in path.iterdir() if one.is_file() and _wanted(one.name, suffixes))
            inside = sorted(own, key=lambda one: natural_key(one.name))
        for file in inside:
            try:
                about = file.stat()
            except OSError:
                raise InputError(f"{file}: {absent(file)}") from None
            yield Stored(str(file), os.path.abspath(file), about.st_size, str(about.st_mtime_ns))


def _elsewhere(typed: Path, suffixes: Sequence[str]) -> Iterator[Stored]:
    place = place_of(typed)
    with _storage(place.name):
        system, path, scheme = _open(place.address)
        if _PATTERN.search(path):
            listed = [one for one in system.glob(path, detail=True).values() if one["type"] == "file"]
            if not listed:
                raise InputError(f"{place.name}: no file matches this pattern")
        else:
            about = system.info(path)
            listed = [about]
            if about["type"] == "directory":
                inside = system.ls(path, detail=True)
                listed = [
                    one for one in inside if one["type"] == "file" and _wanted(one["name"].rsplit("/", 1)[-1], suffixes)
                ]
    for one in sorted(listed, key=lambda one: natural_key(one["name"])):
        address = f"{scheme}://{one['name'].lstrip('/')}"
        versions = (one.get(key) for key in ("ETag", "etag", "LastModified", "mtime", "created"))
        yield Stored(address, address, int(one["size"]), str(next((v for v in versions if v is not None), "")))


def _open(address: str) -> tuple[Any, str, str]:
    """The file system of an address, the path in it, and its scheme; pyarrow's where fsspec's is not installed."""
    need("cluster", "fsspec", f"{address}: an address")
    from fsspec.core import url_to_fs

    scheme = address.split("://")[0]
    try:
        system, path = url_to_fs(address)
    except ImportError as missing:
        opened = _by_pyarrow(address)
        if opened is None:
            raise InputError(f"{address}: {reason(missing)}") from None
        system, path = opened
    except ValueError as error:
        raise InputError(f"{address}: {reason(error)}") from None
    return system, str(path), scheme


def _by_pyarrow(address: str) -> tuple[Any, str] | None:
    """pyarrow's own file system; None where it has none for this address."""
    if not installed("pyarrow"):
        return None
    import pyarrow as pa
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import FileSystem

    try:
        native, path = FileSystem.from_uri(address)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return ArrowFSWrapper(native), path


@contextmanager
def _storage(name: str, what: str = "cannot be read") -> Iterator[None]:
    """Whatever a store says is an `InputError` that names the file."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except Exception as error:
        raise InputError(f"{name}: {what} ({reason(error)}); are the address and the permissions right?") from error
