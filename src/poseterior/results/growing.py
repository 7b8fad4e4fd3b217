"""Result files that are written as they are made: row groups of Parquet, members of npz, rows of CSV.

Each is what `LiftResult.save` writes of the whole, to the byte. Nothing has the
name that is wanted before it is complete.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Hashable
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from ..files.row_groups import Group, GrowingParquet, group_of
from ..files.writing import atomic_write, discard_folder, temporary_folder
from .containers import npz_members, parquet_table
from .poses import LiftResult
from .tables import COLUMNS, csv_lines

__all__ = ["GROWING", "Growing", "GrowingCsv", "GrowingNpz", "GrowingResult", "packed"]

#: Extensions of the files that grow.
GROWING = (".parquet", ".npz", ".csv")


def packed(result: LiftResult, half: bool = False) -> Group:
    """Some poses as a row group: what any process may make. ``half`` as for `LiftResult.save`."""
    table, options = parquet_table(result.fields(half=half))
    return group_of(table, **options)


class Growing(Protocol):
    """A result file that takes its poses in order, some at a time."""

    @property
    def rows(self) -> int:
        """Poses that are in it."""

    def add(self, result: LiftResult) -> None:
        """The next poses."""

    def finish(self, about: LiftResult) -> None:
        """There are no more: the file gets its name. ``about`` has the constants of the whole, and any poses."""

    def close(self) -> None:
        """Give up, or be done."""


class GrowingResult:
    """Parquet. A process that is killed can be gone on from: see `poseterior.files.row_groups`.

    Args:
        path: ``.parquet``.
        run, resume: as for `GrowingParquet`.
        half: as for `LiftResult.save`.
    """

    def __init__(self, path: str | os.PathLike[str], run: dict[str, Any], resume: bool = False, half: bool = False):
        self._file, self._half = GrowingParquet(path, run, resume), half

    @property
    def rows(self) -> int:
        return self._file.rows

    @property
    def anew(self) -> str:
        """As `GrowingParquet.anew`."""
        return self._file.anew

    @property
    def notes(self) -> list[dict[str, Any]]:
        """As `GrowingParquet.notes`."""
        return self._file.notes

    def add(self, result: LiftResult, note: dict[str, Any] | None = None) -> None:
        self.add_packed(packed(result, self._half), note)

    def add_packed(self, group: Group, note: dict[str, Any] | None = None) -> None:
        """The next poses, as `packed` made them; ``note`` as for `GrowingParquet.add`."""
        self._file.add(group, note)

    def finish(self, about: LiftResult) -> None:
        table, options = parquet_table(about[:0].fields(half=self._half))
        self._file.finish(table, **options)

    def close(self) -> None:
        self._file.close()


class GrowingNpz:
    """npz, whose members hold a field of all poses each: a file for each field while it grows.

    Args:
        path: ``.npz``.
        half: as for `LiftResult.save`.
    """

    def __init__(self, path: str | os.PathLike[str], half: bool = False) -> None:
        self.path, self._half = Path(path), half
        self._folder = temporary_folder(self.path)
        self._fields: dict[str, IO[bytes]] = {}
        self._names: dict[str, int] = {}
        self.rows = 0

    def add(self, result: LiftResult) -> None:
        fields = result.fields(half=self._half)
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                if name not in self._fields:
                    self._fields[name] = (self._folder / name).open("w+b")
                if name == "file":  # whose longest name sets the width of all
                    value = np.array([self._names.setdefault(one, len(self._names)) for one in value.tolist()])
                value.tofile(self._fields[name])
        self.rows += len(result)

    def finish(self, about: LiftResult) -> None:
        fields = about[:0].fields(half=self._half) | {"file": np.array(list(self._names), np.str_)}
        stored = npz_members(fields)
        by_member = {"file_name" if name == "file" else name: stream for name, stream in self._fields.items()}
        with atomic_write(self.path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, value in stored.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    stream = by_member.get(name)
                    if stream is None:
                        np.lib.format.write_array(member, value, allow_pickle=False)
                        continue
                    header = np.lib.format.header_data_from_array_1_0(value) | {
                        "shape": (self.rows, *value.shape[1:]), "fortran_order": False,
                    }  # fmt: skip
                    np.lib.format.write_array_header_1_0(member, header)
                    stream.seek(0)
                    if name == "file_name":
                        while content := stream.read(1 << 20):
                            member.write(value[np.frombuffer(content, np.int64)].tobytes())
                    else:
                        shutil.copyfileobj(stream, member, 1 << 20)
        self.close()

    def close(self) -> None:
        for stream in self._fields.values():
            stream.close()
        discard_folder(self._folder)


class GrowingCsv:
    """The table of `poseterior.results.tables`: the rows of each clip together, in order of its poses.

    People who come frame after frame are a clip each; their rows wait in files of their own.

    Args:
        path: ``.csv``.
        fps: frames per second, for the times.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float) -> None:
        self.path, self._fps = Path(path), fps
        self._folder = temporary_folder(self.path)
        self._numbers: dict[Hashable, int] = {}
        self.rows = 0

    def add(self, result: LiftResult, clip: Hashable = None) -> None:
        """The next poses: of one ``clip``, whatever it is called, or of a clip for each file and person."""
        who: list[Hashable] = [clip] * len(result)
        if clip is None:
            who = [*zip(result.file.tolist(), result.person.tolist(), strict=True)]
        numbers = np.array([self._numbers.setdefault(one, len(self._numbers) + 1) for one in who])
        for number in dict.fromkeys(numbers.tolist()):
            lines = csv_lines(result, result, self._fps, numbers, np.flatnonzero(numbers == number))
            with self._rows(number).open("ab") as text:
                text.write(lines.encode())
        self.rows += len(result)

    def _rows(self, number: int) -> Path:
        return self._folder / f"rows-{number}"

    def finish(self, about: LiftResult) -> None:
        with atomic_write(self.path) as file:
            file.write((",".join(COLUMNS) + "\n").encode())
            for number in self._numbers.values():
                with self._rows(number).open("rb") as text:
                    shutil.copyfileobj(text, file, 1 << 20)
        self.close()

    def close(self) -> None:
        discard_folder(self._folder)
