"""Tables as people keep keypoints in them: CSV, TSV and Parquet, their columns as texts and as numbers."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files.checks import Array, cut, quote
from ..files.errors import InputError
from ..files.extras import need

__all__ = ["CsvTable", "ParquetTable", "Table", "read_csv_table", "read_parquet_table"]

#: Cells that say that there is nothing.
_NOTHING = frozenset(("", "na", "n/a", "nan", "null", "none", "-", "<na>", "-nan"))
#: A header row and its table may have so many columns.
_MOST_COLUMNS = 100_000
#: The longest cell (characters); csv's own limit is 131,072.
_LONGEST_FIELD = 131_072


class Table(ABC):
    """Columns of one length, by place.

    Attributes:
        path: where the file is.
        names: of the columns, as they stand in the file.
        head: the first rows as text, with the header.
    """

    path: Path
    names: tuple[str, ...]
    head: Sequence[Sequence[str]]

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows below the header."""

    @abstractmethod
    def texts(self, column: int, start: int = 0) -> list[str]:
        """A column as text from a row on; empty where there is nothing."""

    @abstractmethod
    def numbers(self, column: int, start: int = 0) -> Array:
        """A column as float64 from a row on, NaN where there is nothing.

        Raises:
            InputError: anything else than a number; names line and column.
        """


class CsvTable(Table):
    """A table of text."""

    def __init__(self, path: Path, rows: list[list[str]], lines: list[int], decimal_comma: bool) -> None:
        self.path = path
        self._rows, self._lines, self._comma = rows[1:], lines[1:], decimal_comma
        self.names = tuple(rows[0])
        self.head = rows[:6]

    def __len__(self) -> int:
        return len(self._rows)

    def texts(self, column: int, start: int = 0) -> list[str]:
        return [row[column].strip() for row in self._rows[start:]]

    def numbers(self, column: int, start: int = 0) -> Array:
        cells = self.texts(column, start)
        if self._comma:
            cells = [cell.replace(",", ".") for cell in cells]
        cells = ["nan" if cell.lower() in _NOTHING else cell for cell in cells]
        try:
            return np.array(cells, dtype=np.str_).astype(np.float64)
        except ValueError:
            row = next(i for i, cell in enumerate(cells) if not _is_number(cell))
            raise InputError(
                f"line {self._lines[start + row]}, column {quote(self.names[column])}: expected a number, found "
                f"{quote(self._rows[start + row][column])[:60]}"
            ) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_csv_table(path: Path, content: bytes) -> CsvTable:
    """A table of text: its separator (comma, semicolon or tab) is told from the header.

    Lines that begin with ``#`` stand above the header and are left out. Cells separated by semicolons may have a
    decimal comma.

    Raises:
        InputError: not UTF-8, no header, or a row that is longer or shorter than the header; names the line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start}); save the table as UTF-8") from None
    rows: list[list[str]] = []
    lines: list[int] = []
    above = 0
    while text.startswith(("#", "\n", "\r\n")):
        _, _, text = text.partition("\n")
        above += 1
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        for row in reader:
            if not row or not any(cell.strip() for cell in row):
                continue
            rows.append(row)
            lines.append(reader.line_num + above)
    except csv.Error as error:
        raise InputError(f"line {reader.line_num + above}: not readable as CSV ({error})") from None
    if not rows or len(rows[0]) > _MOST_COLUMNS:
        raise InputError("no header with the names of the columns" if not rows else "has too many columns for a table")
    width = len(rows[0])
    for row, line in zip(rows, lines, strict=True):
        if len(row) > width and not any(cell.strip() for cell in row[width:]):
            del row[width:]
        if len(row) != width:
            raise InputError(f"line {line}: {len(row)} entries; expected {width}, as in the header: is it truncated?")
    return CsvTable(path, rows, lines, separator == ";")


class ParquetTable(Table):
    """A Parquet file, or some rows of it; columns of anything but numbers and texts are there by name only.

    Attributes:
        rows: the `pyarrow.Table`.
    """

    def __init__(self, path: Path, table: Any) -> None:
        self.path, self.rows = path, table
        self.names = tuple(str(name) for name in table.column_names)
        self.head = [self.names]

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def texts(self, column: int, start: int = 0) -> list[str]:
        import pyarrow as pa

        values = self.rows.column(column)
        plain = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
        if pa.types.is_nested(plain) or pa.types.is_binary(plain):
            raise InputError(
                f"column {quote(self.names[column])} holds {cut(str(plain), 60)}; expected text or numbers"
            )
        return ["" if value is None else str(value) for value in values.to_pylist()[start:]]

    def numbers(self, column: int, start: int = 0) -> Array:
        import pyarrow as pa

        from ..files.parquet import array_of

        values = self.rows.column(column)
        if (
            pa.types.is_dictionary(values.type)
            or pa.types.is_string(values.type)
            or pa.types.is_large_string(values.type)
        ):
            try:
                cells = ["nan" if cell.lower() in _NOTHING else cell for cell in self.texts(column, start)]
                return np.array(cells, np.str_).astype(np.float64)
            except ValueError:
                raise InputError(f"column {quote(self.names[column])}: expected numbers, found text") from None
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_null(values.type)):
            raise InputError(f"column {quote(self.names[column])} holds {cut(str(values.type), 60)}; expected numbers")
        parts = values.cast(pa.float64())
        parts = parts.chunks if isinstance(parts, pa.ChunkedArray) else [parts]
        return np.concatenate([np.empty(0), *(array_of(part) for part in parts)])[start:]


def read_parquet_table(path: Path) -> ParquetTable:
    """A Parquet file as a table.

    Raises:
        InputError: pyarrow is missing, or not a readable Parquet file.
    """
    need("parquet", "pyarrow", "reading a Parquet file")
    from ..files.parquet import read_table

    return ParquetTable(path, read_table(path))
