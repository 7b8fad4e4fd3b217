"""Three containers for named arrays and constants: npz, Parquet and JSON.

`poseterior.results.poses` says what is in them. The containers know no field but ``file``, ``seed`` and ``settings``,
which npz cannot hold as they are. An array has a row per pose; one whose rows are empty (samples of which none were
drawn) is left out of Parquet and JSON. In npz ``file`` is called ``file_name``, because ``numpy.savez(path, **arrays)``
takes no array of that name; files from before are read too.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..files.checks import absent, quote, reason
from ..files.errors import InputError
from ..files.extras import need
from ..files.mapped import GrowingArray, map_array
from ..files.npz import FREE_BYTES, check_entry, load_entry, open_npz, read_header
from ..files.reading import reader, reading
from ..files.texts import parse_json, read_json
from ..files.writing import atomic_write
from .parts import joined_constants, part_files

__all__ = [
    "GROUP_ROWS", "NOT_OURS", "SUFFIXES", "group_rows", "npz_members", "parquet_table", "read_fields", "row_bytes",
    "write_fields",
]  # fmt: skip

Fields = Mapping[str, Any]

#: What is said of a file that holds something else; the reason goes in.
NOT_OURS = "not a poseterior result ({}); make one with `poseterior lift ... --out FILE`"


def write_fields(fields: Fields, path: str | os.PathLike[str]) -> None:
    """Write arrays and constants; the extension chooses the container.

    The file is replaced only when the new one is complete.

    Raises:
        InputError: another extension, or a folder that does not exist or cannot be written to.
    """
    write = _container(path, "use one of")[0]
    with atomic_write(path) as file:
        write(fields, file)


@reader("the file is damaged, lift again")
def read_fields(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `write_fields` wrote, as it stands in the file or folder of parts: nothing but the container is checked.

    Raises:
        InputError: no such file, a truncated or damaged one, or pickled objects, which are never loaded.
    """
    path = Path(path)
    if path.is_dir():
        return _load_parts(path)
    if not path.suffix and not path.exists():
        raise InputError(f"{path}: {absent(path)}")
    read = _container(path, "result files are")[1]
    if not path.is_file():
        raise InputError(f"{path}: {absent(path)}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    return read(path)


def _container(path: str | os.PathLike[str], known: str) -> tuple[_Writer, _Reader]:
    suffix = Path(path).suffix.lower()
    if suffix not in _CONTAINERS:
        raise InputError(f"{path}: unknown extension {suffix!r}; {known}: {', '.join(SUFFIXES)}")
    return _CONTAINERS[suffix]


def _split(fields: Fields) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and constants."""
    arrays = {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
    return arrays, {name: value for name, value in fields.items() if name not in arrays}


def _row(values: np.ndarray) -> int:
    """Numbers in a row."""
    return int(np.prod(values.shape[1:]))


# -- npz -----------------------------------------------------------------------------------------------


def npz_members(fields: Fields) -> dict[str, np.ndarray]:
    """Name of each member of the archive -> what it holds."""
    arrays, constants = _split(fields)
    constants["seed"] = np.asarray([] if constants["seed"] is None else [constants["seed"]], np.int64)
    constants["settings"] = np.asarray(list(constants["settings"].items()), np.str_).reshape(-1, 2)
    arrays = {_NPZ_NAMES.get(name, name): value for name, value in arrays.items()}
    return {name: np.asarray(value) for name, value in (arrays | constants).items()}


def _save_npz(fields: Fields, file: IO[bytes]) -> None:
    # Not compressed: float noise shrinks by a tenth and takes a hundred times as long.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, value in npz_members(fields).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)


#: What npz calls a field that numpy.savez takes for its own argument.
_NPZ_NAMES = {"file": "file_name"}
#: Kinds of number (NumPy's dtype.kind) in a result: booleans, whole numbers, floats, text.
_KINDS = "biufU"


def _load_npz(path: Path) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    large = path.stat().st_size > LARGE
    try:
        with open_npz(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                name = {stored: field for field, stored in _NPZ_NAMES.items()}.get(name, name)
                _check_size(archive, info, name if name.isidentifier() else quote(name))
                mapped = _mapped_entry(path, archive, info) if large else None
                fields[name] = load_entry(archive, info, _KINDS) if mapped is None else mapped
    except InputError as error:
        text = str(error)
        raise InputError(text.replace("npz: not a readable archive", "not an npz file, or truncated")) from None
    fields = {name: value.item() if value.ndim == 0 else value for name, value in fields.items()}
    if "seed" in fields:
        seed = np.asarray(fields["seed"])
        if seed.dtype.kind not in "iu" or seed.size > 1:
            raise InputError(f"seed: expected one whole number or none, got {quote(seed.tolist())}")
        fields["seed"] = int(seed.reshape(-1)[0]) if seed.size else None
    if "settings" in fields:
        pairs = np.asarray(fields["settings"])
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise InputError(f"settings: expected an (n, 2) array of strings, got shape {pairs.shape}")
        fields["settings"] = dict(pairs.tolist())
    return fields


def _mapped_entry(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray | None:
    """A large array where it stands in the file; None of what has to be unpacked, or is not as a result has it."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size <= FREE_BYTES:
        return None
    with archive.open(info) as member:
        shape, dtype = read_header(member, info.filename)
        header = member.tell()
    if dtype.kind not in "biufU" or not dtype.isnative or dtype == np.float16:
        return None
    with path.open("rb") as file:
        file.seek(info.header_offset)
        local = file.read(30)
        # a member's name and its extra field stand between its header and its content
        before = sum(int.from_bytes(local[at : at + 2], "little") for at in (26, 28))
        return map_array(file, dtype, shape, info.header_offset + 30 + before + header)


def _check_size(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> None:
    """Refuse an array whose header claims another size than the file has, before anything is allocated."""
    check_entry(info, name)
    with archive.open(info) as member:
        shape, dtype = read_header(member, name)
        claimed, present = math.prod(shape) * dtype.itemsize, info.file_size - member.tell()
    if dtype.hasobject:
        raise InputError(f"{name}: holds pickled Python objects, which are never loaded")
    if claimed != present:
        raise InputError(
            f"{name}: the header claims {claimed:,} bytes (shape {shape}), the file has {present:,}; the file is "
            "damaged, lift again"
        )


# -- Parquet -------------------------------------------------------------------------------------------


#: Rows of a row group, and the bytes of one row beyond which there are fewer: what is made, packed and read at once.
GROUP_ROWS, _FEWER_ROWS, _LARGE_ROW = 1024, 256, 16_384


def group_rows(row_bytes: int) -> int:
    """Rows of each row group of a Parquet file whose rows take so many bytes."""
    return GROUP_ROWS if row_bytes <= _LARGE_ROW else _FEWER_ROWS


def row_bytes(fields: Fields) -> int:
    """Bytes that one pose takes."""
    arrays, _ = _split(fields)
    return sum(_row(values) * values.dtype.itemsize for name, values in arrays.items() if name != "file")


def parquet_table(fields: Fields) -> tuple[Any, dict[str, Any]]:
    """Arrays and constants as a `pyarrow.Table`, and the options that it is written with."""
    need("parquet", "pyarrow", "writing Parquet", " (or write .npz or .json)")
    import pyarrow as pa

    from ..files.parquet import column_of, text_column

    arrays, constants = _split(fields)
    columns: dict[str, Any] = {"file": text_column(arrays.pop("file").tolist())}
    shapes: dict[str, list[int]] = {}
    # what tells the rows apart stands first: arrays of one number per pose
    for name, values in sorted(arrays.items(), key=lambda item: item[1].ndim > 1):
        if values.ndim == 1:
            columns[name] = column_of(values)
        elif row := _row(values):
            columns[name] = pa.FixedSizeListArray.from_arrays(column_of(values.reshape(-1)), row)
            shapes[name] = list(values.shape[1:])
    about = json.dumps(constants | {"shapes": shapes}, ensure_ascii=False)
    table = pa.table(columns).replace_schema_metadata({"poseterior": about})
    floats = [f"{name}.list.element" for name in shapes if arrays[name].dtype in (np.float32, np.float16)]
    return table, {"compression": "zstd", "use_dictionary": ["file"], "use_byte_stream_split": floats}


def _save_parquet(fields: Fields, file: IO[bytes]) -> None:
    table, options = parquet_table(fields)
    import pyarrow.parquet as pq

    pq.write_table(table, file, row_group_size=group_rows(row_bytes(fields)), **options)


def _load_parquet(path: Path) -> dict[str, Any]:
    need("parquet", "pyarrow", "reading Parquet")
    from ..files.parquet import open_parquet

    with open_parquet(path) as file:
        fields, shapes = _constants(file)
        if _bytes(file, shapes) > LARGE:
            return fields | _mapped_columns(_row_groups(file), shapes)
        table = file.read()
    return fields | {name: _column(table[name], name, shapes) for name in table.column_names}


def _constants(file: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The constants of a Parquet file, and the shapes of its columns."""
    from ..files.parquet import METADATA_LOST

    # in the schema as pyarrow writes them, or in the footer only (polars, DuckDB)
    metadata = {**(file.metadata.metadata or {}), **(file.schema_arrow.metadata or {})}
    names = file.schema_arrow.names
    if b"poseterior" not in metadata:
        ours = {"mean", "covariance", "keypoints", "frame", "person"} <= set(names)
        reason = "no 'poseterior' in the schema metadata"
        raise InputError(
            f"holds the columns of a poseterior result, but {reason}: {METADATA_LOST}"
            if ours
            else NOT_OURS.format(reason)
        )
    fields = _about(metadata[b"poseterior"])
    shapes = fields.pop("shapes", None)
    if not isinstance(shapes, dict):
        raise InputError("damaged schema metadata (no 'shapes')")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{quote(name)}: there are two columns of that name; the file is damaged, lift again")
    return fields, shapes


def _bytes(file: Any, shapes: Mapping[str, Any]) -> int:
    """What the arrays of a Parquet file take in memory."""
    row = sum(math.prod(_shape(shapes[name], name)) for name in file.schema_arrow.names if name in shapes)
    return int(4 * file.metadata.num_rows * row)


def _row_groups(file: Any) -> Iterator[Any]:
    for number in range(file.num_row_groups):
        yield file.read_row_group(number, use_threads=False)


#: What to do about a part that cannot be read.
_PART = "the part is damaged: remove it, and lift again with --resume"


def _load_parts(folder: Path) -> dict[str, Any]:
    """A folder of parts (`poseterior.results.parts`) as one result; of large ones none is whole in memory."""
    need("parquet", "pyarrow", "reading Parquet")
    import pyarrow as pa

    from ..files.parquet import open_parquet

    paths = part_files(folder)
    found, size, shapes, names = [], 0, None, None
    for path in paths:
        with reading(path, _PART), open_parquet(path) as file:
            fields, own = _constants(file)
            found.append((path, fields))
            size += _bytes(file, own)
            if shapes is None:
                shapes, names = own, file.schema_arrow.names
            elif (own, file.schema_arrow.names) != (shapes, names):
                raise InputError(f"{path}: other columns than {paths[0].name}; lift again into a new folder")

    def files_of(path: Path) -> list[str]:
        with reading(path, _PART), open_parquet(path) as file:
            return [str(name) for name in file.read(columns=["file"])["file"].unique().to_pylist()]

    def groups() -> Iterator[Any]:
        for path in paths:
            with reading(path, _PART), open_parquet(path) as file:
                yield from _row_groups(file)

    assert shapes is not None
    assert names is not None
    constants = joined_constants(found, files_of)
    if size > LARGE:
        return constants | _mapped_columns(groups(), shapes)
    tables = list(groups())
    if not tables:  # parts without a pose
        with reading(paths[0], _PART), open_parquet(paths[0]) as file:
            tables = [file.read()]
    table = pa.concat_tables(tables)
    return constants | {name: _column(table[name], name, shapes) for name in names}


#: Bytes of arrays beyond which they are not brought to memory, but to the disk, and looked at there.
LARGE = 512 << 20


def _column(column: Any, name: str, shapes: Mapping[str, Any], before: int = 0) -> np.ndarray:
    """A column of a Parquet file as an array; ``before`` is the number of rows above its first."""
    from ..files.parquet import numbers_of, texts_of

    if column.null_count:
        row = before + column.is_null().to_pylist().index(True)
        raise InputError(f"{name}: has empty cells, the first in row {row}; drop such rows, or lift again")
    if name == "file":
        return np.asarray(texts_of(column, name), np.str_)
    return numbers_of(column, name, _shape(shapes[name], name) if name in shapes else (), "biuf")


def _mapped_columns(groups: Iterable[Any], shapes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The columns of row groups as mapped arrays: one at a time is unpacked to the disk."""
    grown: dict[str, GrowingArray] = {}
    files: dict[str, int] = {}
    rows = 0
    for table in groups:
        for name in table.column_names:
            values = _column(table[name], name, shapes, rows)
            if name == "file":
                values = np.array([files.setdefault(one, len(files)) for one in values.tolist()], np.int32)
            if name not in grown:
                # samples that are kept in two bytes a number have four in a result
                kind = np.dtype(np.float32) if values.dtype == np.float16 else values.dtype
                grown[name] = GrowingArray(kind, values.shape[1:])
            grown[name].add(values)
        rows += len(table)
    found = {name: array.finish() for name, array in grown.items()}
    if "file" in found:
        names, named = np.asarray(list(files), np.str_), None
        for start in range(0, rows, GROUP_ROWS):
            some = names[found["file"][start : start + GROUP_ROWS]]
            named = named or GrowingArray(names.dtype, ())
            named.add(some)
        found["file"] = names[:0] if named is None else named.finish()
    return found


def _about(raw: bytes) -> dict[str, Any]:
    """The constants of a Parquet file."""
    try:
        fields = parse_json(raw.decode())
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"damaged schema metadata ({reason(error)})") from None
    if not isinstance(fields, dict):
        raise InputError("damaged schema metadata (no 'shapes')")
    return fields


def _shape(value: Any, name: str) -> tuple[int, ...]:
    whole = isinstance(value, list) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value)
    if not whole or not value or len(value) > 4:
        raise InputError(f"{name}: damaged schema metadata (its shape is {quote(value)}); lift again")
    return tuple(value)


# -- JSON ----------------------------------------------------------------------------------------------


def _nulls(values: np.ndarray) -> Any:
    """Nested lists with None for NaN, which JSON does not know."""
    hidden = np.isnan(values) if values.dtype.kind == "f" else np.zeros(0, bool)
    if hidden.any():
        values = values.astype(object)
        values[hidden] = None
    return values.tolist()


def _save_json(fields: Fields, file: IO[bytes]) -> None:
    arrays, constants = _split(fields)
    document = constants | {name: _nulls(values) for name, values in arrays.items() if _row(values)}
    # one field a line: small enough to read, and a diff shows what changed
    lines = (f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False, allow_nan=False)}" for k, v in document.items())
    file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode())


def _load_json(path: Path) -> dict[str, Any]:
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise InputError(NOT_OURS.format(f"found a {type(fields).__name__}, not an object"))
    return fields


_Writer = Callable[[Fields, IO[bytes]], None]
_Reader = Callable[[Path], dict[str, Any]]
_CONTAINERS: dict[str, tuple[_Writer, _Reader]] = {
    ".npz": (_save_npz, _load_npz),
    ".parquet": (_save_parquet, _load_parquet),
    ".json": (_save_json, _load_json),
}
#: Extensions of result files.
SUFFIXES = tuple(_CONTAINERS)
