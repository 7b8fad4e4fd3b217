"""Parquet files that grow row group by row group, and go on where a killed process left them.

pyarrow writes a row group at a time too, but its file is none before the footer at the end. Here every row group is
made by pyarrow as a small file of its own, in memory; its pages are moved as they are into the one that grows, and of
its footer only the places change. So any process may make any group, and a file that was begun goes on.

While it grows the file is called ``NAME.part``; beside it ``NAME.part.log`` has a line for each group that is complete.
When all are there the footer is written and the file gets its name. Of a process that was killed both stay: a group
without a line, or a line that was cut off, never was.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from .checks import cut
from .errors import InputError
from .extras import later
from .thrift import LIST, STRUCT, Field, find, read_struct, write_struct
from .writing import check_writable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:  # an extra: imported when a file is written
    pa, pq = (later("parquet", name, "a Parquet file") for name in ("pyarrow", "pyarrow.parquet"))

__all__ = ["Group", "GrowingParquet", "difference", "group_of", "part_paths"]

_MAGIC = b"PAR1"
#: Fields of Parquet's FileMetaData, RowGroup, ColumnChunk and ColumnMetaData (parquet.thrift).
_ROWS, _GROUPS = 3, 4
_COLUMNS, _GROUP_ROWS, _GROUP_PLACE, _ORDINAL = 1, 3, 5, 7
_CHUNK_PLACE, _CHUNK_ABOUT = 2, 3
#: Places in the file of a column's pages: data, index, dictionary; and of what pyarrow does not write unasked: Bloom
#: filters, and the indices of pages.
_PAGES = (9, 10, 11)
_BLOOM, _INDICES = 14, (4, 6)


@dataclass(frozen=True)
class Group:
    """A row group as it stands in a file, its places counted from its own beginning.

    Attributes:
        pages: of its columns.
        about: what the footer says of it.
        rows: number of rows.
    """

    pages: bytes
    about: bytes
    rows: int


def _footer(content: bytes) -> tuple[list[Field], int]:
    """The footer of a Parquet file, and where it begins."""
    size = int.from_bytes(content[-8:-4], "little")
    start = len(content) - 8 - size
    return read_struct(content, start)[0], start


def group_of(table: pa.Table, **options: Any) -> Group:
    """A table as one row group, as `pyarrow.parquet.write_table` writes it with these options."""
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=max(len(table), 1), **options)
    content = file.getvalue()
    footer, end = _footer(content)
    _, groups = _value(footer, _GROUPS)
    about = _moved(groups[0], -len(_MAGIC))
    return Group(content[len(_MAGIC) : end], write_struct(about), len(table))


def _value(fields: list[Field], number: int) -> Any:
    field = find(fields, number)
    if field is None:
        raise ValueError(f"no field {number}")
    return field.value


def _moved(group: list[Field], by: int, ordinal: int | None = None) -> list[Field]:
    """What a footer says of a row group, all places moved; in place."""
    places = [field for field in group if field.number == _GROUP_PLACE]
    for column in _value(group, _COLUMNS)[1]:
        if any(find(column, number) for number in _INDICES) or find(_value(column, _CHUNK_ABOUT), _BLOOM):
            raise ValueError("a column with an index of its pages or a Bloom filter")
        place = find(column, _CHUNK_PLACE)
        places += [place] if place is not None and place.value else []
        places += [field for field in _value(column, _CHUNK_ABOUT) if field.number in _PAGES]
    for field in places:
        field.value += by
    numbered = find(group, _ORDINAL)
    if numbered is not None and ordinal is not None:
        numbered.value = ordinal
    return group


def part_paths(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """What a growing file is called until it is complete, and its log."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    return part, part.with_name(part.name + ".log")


class GrowingParquet:
    """A Parquet file that grows; use it as a context manager. Until `finish` nothing has its name.

    Args:
        path: its name when it is complete.
        run: what is written, and how: who goes on must say the same. Any JSON object.
        resume: go on where an earlier process was killed; else what it left is thrown away.

    Attributes:
        groups: number of complete row groups.
        rows: in them.
        notes: what was noted with each.
        anew: what was begun and is thrown away, in words; empty where nothing was.

    Raises:
        InputError: the file cannot be written; another process is writing it; what was begun is another run.
    """

    def __init__(self, path: str | os.PathLike[str], run: dict[str, Any], resume: bool = False) -> None:
        self.path = Path(path)
        check_writable(self.path)
        self._part, self._log_path = part_paths(path)
        self._about: list[bytes] = []
        self.notes: list[dict[str, Any]] = []
        self.rows = 0
        try:
            self._log: IO[bytes] = open(self._log_path, "a+b")  # noqa: SIM115 (open as long as it grows)
            self._lock()
            begun = self._read_log(run) if resume else []
            self.anew = "" if resume else self._thrown_away(run)
            self._file: IO[bytes] = open(self._part, "r+b" if begun else "w+b")  # noqa: SIM115
            self._end = len(_MAGIC)
            kept = self._whole_groups(begun)
            self._file.seek(0)
            self._file.write(_MAGIC)
            self._file.truncate(self._end)
            self._file.seek(self._end)
            lines = [json.dumps({"run": run}).encode() + b"\n", *kept]
            self._log.truncate(0)
            self._log.write(b"".join(lines))
            self._log.flush()
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None

    @property
    def groups(self) -> int:
        return len(self._about)

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # not on Windows
            return
        try:
            fcntl.flock(self._log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._log.close()
            raise InputError(
                f"{self.path}: another process is writing it; wait for it, or choose another name"
            ) from None

    def _read_log(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        """What the log says of complete groups; nothing where nothing was begun."""
        self._log.seek(0)
        lines = [line for line in self._log if line.endswith(b"\n")]
        entries = []
        for line in lines:
            try:
                entries.append(json.loads(line))
            except ValueError:
                break
        if not entries or not self._part.exists():
            return []
        earlier = entries[0].get("run") if isinstance(entries[0], dict) else None
        if earlier != json.loads(json.dumps(run)):
            raise InputError(
                f"{self._part}: was begun by another run ({difference(earlier, run)}); go on with what it was begun "
                "with, or leave --resume out to begin anew"
            )
        return entries[1:]

    def _thrown_away(self, run: dict[str, Any]) -> str:
        """What a run that does not go on with what was begun leaves of it, in words."""
        try:
            begun = self._read_log(run)
            size, end, rows = self._part.stat().st_size if begun else 0, len(_MAGIC), 0
            for entry in begun:
                end += entry["bytes"]
                if end > size:
                    break
                rows += entry["rows"]
        except InputError:
            return f"begins anew: what {self._part.name} held is of another run"
        except (KeyError, TypeError):  # a log of which nothing could be gone on with
            return ""
        return f"begins anew; --resume would have gone on at pose {rows}" if rows else ""

    def _whole_groups(self, begun: list[dict[str, Any]]) -> list[bytes]:
        """The lines of the groups whose pages are there as they were written."""
        kept = []
        for entry in begun:
            self._file.seek(self._end)
            content = self._file.read(entry["bytes"])
            if len(content) != entry["bytes"] or zlib.crc32(content) != entry["crc"]:
                break
            self._note(Group(content, base64.b64decode(entry["about"]), entry["rows"]), entry.get("note", {}))
            kept.append(json.dumps(entry).encode() + b"\n")
        return kept

    def _note(self, group: Group, note: dict[str, Any]) -> None:
        about = _moved(read_struct(group.about)[0], self._end, self.groups)
        self._about.append(write_struct(about))
        self._end += len(group.pages)
        self.rows += group.rows
        self.notes.append(note)

    def add(self, group: Group, note: dict[str, Any] | None = None) -> None:
        """Append a row group. When this returns it is not lost to a kill.

        Args:
            group: to append.
            note: any JSON object, for those who go on.

        Raises:
            InputError: writing fails; what was complete before is kept.
        """
        entry = {
            "rows": group.rows, "bytes": len(group.pages), "crc": zlib.crc32(group.pages),
            "about": base64.b64encode(group.about).decode(), "note": note or {},
        }  # fmt: skip
        with self._writing():
            self._file.write(group.pages)
            self._file.flush()
            self._note(group, note or {})
            self._log.write(json.dumps(entry).encode() + b"\n")
            self._log.flush()

    def finish(self, empty: pa.Table, **options: Any) -> None:
        """Write the footer, and give the file its name.

        Args:
            empty: no rows of the table, with the metadata of its schema.
            options: as for `group_of`.
        """
        file = io.BytesIO()
        pq.write_table(empty, file, **options)
        footer, _ = _footer(file.getvalue())
        for field in footer:
            if field.number == _ROWS:
                field.value = self.rows
            elif field.number == _GROUPS:
                field.kind, field.value = LIST, (STRUCT, list(self._about))
        content = write_struct(footer)
        with self._writing():
            self._file.write(content + len(content).to_bytes(4, "little") + _MAGIC)
            self._file.flush()
            os.fsync(self._file.fileno())
            os.replace(self._part, self.path)
            self._log_path.unlink(missing_ok=True)
        self.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written ({error.strerror or error}); what is complete is kept: go on with "
                "--resume"
            ) from None

    def close(self) -> None:
        """Leave the file as it is: what is complete can be gone on with."""
        for file in (self._file, self._log):
            with contextlib.suppress(OSError):
                file.close()

    def __enter__(self) -> GrowingParquet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def difference(earlier: Any, run: dict[str, Any]) -> str:
    """What one of two runs said otherwise."""
    if not isinstance(earlier, dict):
        return "its log says nothing of it"
    names = [name for name in run if earlier.get(name) != json.loads(json.dumps(run[name]))]
    name = names[0] if names else next(iter(set(earlier) - set(run)), "options")
    return cut(f"{name} {earlier.get(name)!r}, not {run.get(name)!r}", 300)
