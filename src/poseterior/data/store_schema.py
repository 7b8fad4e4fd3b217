"""The columns of a pose store's files, which `poseterior.data.store` says in words, and what is refused of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..files.checks import quote
from ..files.errors import InputError
from ..files.extras import later
from ..files.parquet import column_names, is_text, numbers_of
from ..geometry.skeletons import SKELETONS

if TYPE_CHECKING:
    import pyarrow as pa
else:  # an extra: imported when a file is read or written
    pa = later("parquet", "pyarrow", "a pose store")

__all__ = [
    "ARRAYS",
    "FORMAT",
    "METADATA",
    "TEXT",
    "check_schema",
    "checked_batch",
    "conformed",
    "schema_of",
]

FORMAT = "poseterior-pose-store/1"
#: Row shape of each column of numbers.
ARRAYS = {"positions": (22, 3), "rotations": (22, 4), "h36m17": (17, 3)}
#: Columns of text.
TEXT = ("clip", "subject", "action", "source")

METADATA = {
    "format": FORMAT,
    "units": "positions and h36m17 in metres",
    "axes": "world, right-handed, y up; absolute positions",
    "quaternion_order": "x, y, z, w; unit; relative to the parent joint, the pelvis' to the world",
    "t_pose": "identity rotations: facing +z, y up, arms along +-x with the left at +x, legs straight down",
    "positions_joints": json.dumps(SKELETONS["smpl22"].joints),
    "rotations_joints": json.dumps(SKELETONS["smpl22"].joints),
    "parents": json.dumps(SKELETONS["smpl22"].parents),
    "h36m17_joints": json.dumps(SKELETONS["h36m17"].joints),
    "missing": "h36m17 joints that the source has not are NaN",
}


def schema_of(licences: Sequence[str] = ()) -> pa.Schema:
    """Of a file with data under these licences."""
    columns: list[tuple[str, pa.DataType]] = [
        ("clip", pa.string()), ("frame", pa.int32()), ("subject", pa.string()), ("action", pa.string()),
        ("source", pa.string()), ("fps", pa.float32()),
    ]  # fmt: skip
    columns += [(name, pa.list_(pa.float32(), int(np.prod(shape)))) for name, shape in ARRAYS.items()]
    return pa.schema(columns, metadata=METADATA | {"licence": "\n".join(licences)})


def _same_type(found: pa.DataType, expected: pa.DataType) -> bool:
    """Whether a column holds what it should, as we write it or as another program wrote it anew (`conformed`)."""
    if pa.types.is_fixed_size_list(expected):
        if pa.types.is_fixed_size_list(found):
            return found.list_size == expected.list_size and pa.types.is_floating(found.value_type)
        return (pa.types.is_list(found) or pa.types.is_large_list(found)) and pa.types.is_floating(found.value_type)
    if pa.types.is_string(expected):
        return is_text(found) or pa.types.is_dictionary(found)
    if pa.types.is_integer(expected):
        return pa.types.is_integer(found)
    return found == expected or (pa.types.is_floating(expected) and pa.types.is_floating(found))


def conformed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with our own types: pandas and DuckDB make lists of any length, and whole numbers of 64 bits."""
    schema = schema_of()
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        type_ = schema.field(name).type if name in schema.names else column.type
        if name in ARRAYS and column.type != type_:
            flat = numbers_of(column, name, ARRAYS[name], "f").astype(np.float32).reshape(-1)
            column = pa.FixedSizeListArray.from_arrays(pa.array(flat), type_.list_size)
        elif name in ("frame", "fps") and column.type != type_:
            column = pa.array(numbers_of(column, name, kinds="iuf"), type_)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def check_schema(schema: pa.Schema, metadata: dict[str, str]) -> None:
    """Raises `InputError` where a file is no part of a store."""
    expected = schema_of()
    column_names(schema, [name for name in expected.names if schema.names.count(name) > 1], "make the store anew")
    for column in expected:
        found = schema.field(column.name).type if column.name in schema.names else None
        if found is None or not _same_type(found, column.type):
            raise InputError(
                f"not part of a pose store: column {column.name!r} is "
                f"{'missing' if found is None else str(found)[:80]}, expected {column.type}"
            )
    version = metadata.get("format", FORMAT)
    if version != FORMAT:
        raise InputError(f"format {quote(version)}; this version of poseterior reads {FORMAT!r}")


def checked_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch, if its numbers are numbers; h36m17 may be NaN, where the source has no such joint."""
    for name in batch.schema.names:
        column = batch.column(name)
        if name in ARRAYS:
            values = numbers_of(column, name, ARRAYS[name], "f")
            bad = np.isinf(values) if name == "h36m17" else ~np.isfinite(values)
            if bad.any():
                row, joint, _ = np.argwhere(bad)[0]
                raise InputError(f"column {name!r}: row {row}, joint {joint} is not finite; make the store anew")
        elif name == "frame":
            frame = numbers_of(column, name, kinds="iu")
            if (frame < 0).any() or (frame > np.iinfo(np.int32).max).any():
                wrong = frame.min() if (frame < 0).any() else frame.max()
                raise InputError(f"column 'frame': a row is {wrong}; expected numbers from 0")
        elif name in TEXT and column.null_count:
            raise InputError(f"column {name!r} has an empty cell; make the store anew")
    return batch
