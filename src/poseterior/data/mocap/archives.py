"""Motions in an archive as it is downloaded (AMASS: ``CMU.tar.bz2``), one file at a time: none is unpacked whole."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...files.checks import quote, reason
from ...files.errors import InputError

__all__ = ["Packed", "is_archive", "packed_files"]

_SUFFIXES = (".tar.bz2", ".tar.gz", ".tgz", ".tbz2", ".tar.xz", ".tar")
#: Bytes of one motion: an hour at 120 Hz of all that AMASS keeps is a tenth of it.
_LARGEST = 8 << 30


class Packed(NamedTuple):
    """A file of an archive.

    Attributes:
        path: where it is for now; it is gone when the next one is asked for. Its folder is called as in the archive.
        name: in the archive.
        read: bytes of the archive that have been read since the last file.
    """

    path: Path
    name: PurePosixPath
    read: int


def is_archive(path: Path) -> bool:
    """Whether a file is called like an archive."""
    return path.name.lower().endswith(_SUFFIXES) and path.is_file()


def packed_files(archive: Path, suffixes: tuple[str, ...]) -> Iterator[Packed]:
    """The files of an archive that have one of the suffixes, in its order.

    Nothing is written but to a temporary folder; links, devices and names that lead out of the archive are refused.

    Raises:
        InputError: no archive, one that is cut off or damaged, or such an entry; names it.
    """
    with archive.open("rb") as raw, tempfile.TemporaryDirectory() as folder:
        before = 0
        try:
            with tarfile.open(fileobj=raw, mode="r|*") as opened:
                for entry in opened:
                    name = PurePosixPath(entry.name)
                    if entry.isdir() or name.suffix.lower() not in suffixes:
                        continue
                    _refuse(archive, entry, name)
                    path = Path(folder) / "files" / (name.parent.name or "files") / name.name
                    path.parent.mkdir(parents=True)
                    content = opened.extractfile(entry)
                    assert content is not None  # of a regular file there is one
                    with path.open("wb") as file:
                        shutil.copyfileobj(content, file)
                    yield Packed(path, name, raw.tell() - before)
                    before = raw.tell()
                    shutil.rmtree(Path(folder) / "files")
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise InputError(f"{archive}: {_damage(archive, error)}; get it anew") from None


def _damage(archive: Path, error: Exception) -> str:
    """What is wrong with an archive that cannot be read on, in words."""
    size, said = archive.stat().st_size, reason(error)
    if not size:
        return "is empty"
    if "empty file" in said:  # a compressed file that ends before its first block does
        return f"is cut off: in its {size:,} bytes not one file is whole"
    if isinstance(error, EOFError) or "unexpected end of data" in said:
        return f"is cut off after {size:,} bytes"
    return f"not a readable archive, or cut off ({said})"


def _refuse(archive: Path, entry: tarfile.TarInfo, name: PurePosixPath) -> None:
    """Refuse what is no file of the archive's own."""
    if not entry.isreg():
        raise InputError(f"{archive}: {quote(entry.name)} is a link or a device, not a file; refused")
    strange = "\\" in entry.name or "\0" in entry.name or ":" in entry.name
    if name.is_absolute() or ".." in name.parts or strange:
        raise InputError(f"{archive}: {quote(entry.name)} leads out of the archive; refused")
    if entry.size > _LARGEST:
        raise InputError(f"{archive}: {quote(entry.name)} has {entry.size:,} bytes; at most {_LARGEST:,} are read")
