"""Parquet files: opened within limits, their columns as arrays of the type and length that is expected."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .checks import quote, reason
from .errors import InputError
from .extras import later

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:  # an extra: imported when a file is read
    pa, pq = (later("parquet", name, "a Parquet file") for name in ("pyarrow", "pyarrow.parquet"))

__all__ = [
    "METADATA_LOST",
    "array_of",
    "column_names",
    "column_of",
    "is_text",
    "metadata_of",
    "numbers_of",
    "open_parquet",
    "read_table",
    "text_column",
    "texts_of",
]

#: What to do about a file that was read and written again, which takes its metadata away.
METADATA_LOST = (
    "pandas, polars and DuckDB drop a file's metadata when they write it anew; hand them on with pyarrow.parquet: "
    "write_table(table.replace_schema_metadata(read_schema(ORIGINAL).metadata), FILE)"
)
#: A file may claim to hold this many bytes of values, and beyond no more than this times its own size.
FREE_BYTES = 1024**3
MAXIMUM_RATIO = 1000


def column_of(values: NDArray[Any]) -> pa.Array:
    """Numbers or truth values ``(n,)`` as a column.

    ``pyarrow.array`` says the same, but imports pandas where that is installed, which takes longer than most lifts.
    """
    if values.dtype == bool:
        kind, held = pa.bool_(), np.packbits(values, bitorder="little")
    else:
        kind, held = pa.from_numpy_dtype(values.dtype), np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(held)])


def array_of(column: pa.Array) -> NDArray[Any]:
    """The numbers or truth values of a column ``(n,)``; where a cell is empty they are NaN, of doubles if need be.

    ``column.to_numpy`` says the same, but imports pandas, see `column_of`.
    """
    held, start, count = column.buffers(), column.offset, len(column)
    if not count:
        return np.empty(0, column.type.to_pandas_dtype())
    if pa.types.is_boolean(column.type):
        values: NDArray[Any] = _bits(held[1], start, count)
    else:
        values = np.frombuffer(held[1], column.type.to_pandas_dtype(), count=start + count)[start:]
    if not column.null_count:
        return values
    kind = values.dtype if values.dtype.kind == "f" else np.float64
    return np.where(_bits(held[0], start, count), values, np.array(np.nan, kind))


def _bits(held: pa.Buffer, start: int, count: int) -> NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(held, np.uint8), count=start + count, bitorder="little")[start:].astype(bool)


def text_column(texts: Sequence[str]) -> pa.StringArray:
    """Texts as a column, see `column_of`."""
    held = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, held)], dtype=np.int64)
    if ends[-1] >= 2**31:
        raise InputError(f"{ends[-1]:,} bytes of text do not go into one column; expected less than 2 GiB")
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(held)))


def open_parquet(path: str | os.PathLike[str]) -> pq.ParquetFile:
    """A Parquet file, of which nothing but the end was read; close it, or use it as a context manager.

    Raises:
        InputError: no such file, not Parquet, or one that claims to unpack out of all proportion. The message does
            not name the file.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError("is a folder; expected a Parquet file")
    if not path.exists():
        raise InputError("no such file")
    try:
        file = pq.ParquetFile(path, pre_buffer=False)  # which would keep what was read as long as the file is open
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"not a readable Parquet file ({reason(error)})") from None
    try:
        _check_claims(file, path.stat().st_size)
    except InputError:
        file.close()
        raise
    return file


def _check_claims(file: pq.ParquetFile, size: int) -> None:
    """Refuse a file before anything of the size that it claims is allocated.

    What a file says of its single columns is not asked for: pyarrow ends the process where that is damaged.
    """
    metadata = file.metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    rows, packed = [group.num_rows for group in groups], [group.total_byte_size for group in groups]
    if min([metadata.num_rows, *rows, *packed]) < 0 or sum(rows) != metadata.num_rows:
        raise InputError("not a readable Parquet file (its numbers of rows do not add up)")
    claimed = max(8 * metadata.num_rows * sum(map(_width, file.schema_arrow.types)), sum(packed))
    if claimed > FREE_BYTES and claimed > MAXIMUM_RATIO * size:
        raise InputError(f"{size:,} bytes claim to unpack to {claimed:,}; refused as a decompression bomb")


def _width(type_: pa.DataType) -> int:
    """Values in a row of a column, as far as its type says."""
    return type_.list_size * _width(type_.value_type) if pa.types.is_fixed_size_list(type_) else 1


def read_table(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> pa.Table:
    """A whole Parquet file, or some of its columns.

    Raises:
        InputError: as `open_parquet`, or damaged further inside.
    """
    with open_parquet(path) as file:
        try:
            return file.read(None if columns is None else list(columns))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError(f"not a readable Parquet file ({reason(error)})") from None


def column_names(schema: pa.Schema, needed: Sequence[str], remedy: str) -> None:
    """Refuse a schema that lacks a column, or has two of its name.

    Raises:
        InputError: names the column and the remedy.
    """
    for name in needed:
        count = schema.names.count(name)
        if count != 1:
            raise InputError(f"the column {name!r} is {'missing' if not count else 'there twice'}; {remedy}")


def metadata_of(source: pa.Schema | pq.ParquetFile) -> dict[str, str]:
    """The metadata of a schema, or of a file, as text; what has a name that is no text is nobody's and left out.

    A file says them in its schema as pyarrow keeps it, or (polars, DuckDB) in its footer only.

    Raises:
        InputError: a value that is not UTF-8.
    """
    if isinstance(source, pa.Schema):
        raw = source.metadata or {}
    else:
        raw = {**(source.metadata.metadata or {}), **(source.schema_arrow.metadata or {})}
    found: dict[str, str] = {}
    for key, value in raw.items():
        name = key.decode(errors="ignore")
        if name.encode() != key or name.startswith("ARROW:"):
            continue
        try:
            found[name] = value.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"the schema's metadata {quote(name)} is not UTF-8 text (byte {error.start}); make the file anew"
            ) from None
    return found


def numbers_of(
    column: pa.Array | pa.ChunkedArray,
    name: str,
    shape: tuple[int, ...] = (),
    kinds: str = "fiu",
    missing: bool = False,
) -> NDArray[Any]:
    """A column as an array ``(rows, *shape)``, with the column's own type of number.

    Args:
        column: of numbers, or of lists of ``prod(shape)`` numbers each, of fixed or of any length.
        name: of the column, for messages.
        shape: of a row.
        kinds: of number (NumPy's dtype.kind); "b" are booleans.
        missing: an empty cell is NaN.

    Numbers with a decimal point that are null within a list are NaN: pandas writes NaN so. A list that is null is an
    empty cell.

    Raises:
        InputError: another type or length, or an empty cell; names the column, and the row of an empty cell.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # of no chunk at all
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)
    rows, count = len(column), math.prod(shape)
    if shape:
        lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        fixed = pa.types.is_fixed_size_list(column.type)
        if not (lists or fixed) or (fixed and column.type.list_size != count):
            raise InputError(f"column {name!r} holds {_short(column.type)}; expected lists of {count} numbers per row")
        _refuse_nulls(column, name, rows)
        if lists:
            lengths = array_of(column.value_lengths())
            if (lengths != count).any():
                row = int(np.argmax(lengths != count))
                raise InputError(f"column {name!r}: row {row} holds {lengths[row]} numbers; expected {count}")
        column = column.flatten()
    kind = _kind(column.type)
    if kind not in kinds:
        raise InputError(f"column {name!r} holds {_short(column.type)}; expected {_EXPECTED.get(kinds, 'numbers')}")
    if kind != "f" or not (shape or missing):
        _refuse_nulls(column, name, rows)
    return np.ascontiguousarray(array_of(column)).reshape(rows, *shape)


_EXPECTED = {"b": "true or false", "iu": "whole numbers", "f": "numbers with a decimal point"}


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "b"
    if pa.types.is_floating(type_):
        return "f"
    return "i" if pa.types.is_signed_integer(type_) else "u" if pa.types.is_unsigned_integer(type_) else "?"


def _refuse_nulls(column: pa.Array, name: str, rows: int) -> None:
    if column.null_count:
        entry = int(np.argmax(array_of(column.is_null())))
        row = entry * rows // max(1, len(column))
        raise InputError(f"column {name!r}: row {row} has an empty cell; make the file anew")


def is_text(type_: pa.DataType) -> bool:
    """Whether a type is of texts, in whichever of Arrow's layouts."""
    view = hasattr(pa.types, "is_string_view") and pa.types.is_string_view(type_)
    return view or pa.types.is_string(type_) or pa.types.is_large_string(type_)


def texts_of(column: pa.Array | pa.ChunkedArray, name: str) -> list[str]:
    """A column of text, which may be encoded as a dictionary.

    Raises:
        InputError: another type, an empty cell, or bytes that are not UTF-8; names the column.
    """
    type_ = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not is_text(type_):
        raise InputError(f"column {name!r} holds {_short(column.type)}; expected text")
    try:
        found = column.to_pylist()
    except UnicodeDecodeError as error:
        raise InputError(f"column {name!r} holds bytes that are not UTF-8 text ({error.reason})") from None
    if None in found:
        raise InputError(f"column {name!r}: row {found.index(None)} has an empty cell; make the file anew")
    return found


def _short(type_: pa.DataType) -> str:
    text = str(type_)
    return text if len(text) <= 80 else text[:79] + "…"
