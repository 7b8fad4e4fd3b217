"""TensorFlow V2 checkpoints (``NAME.index`` beside ``NAME.data-00000-of-00001``), read and written without TensorFlow.

The index is a table of LevelDB's: blocks of keys that share prefixes, each followed by a byte for its compression and a
checksum, and a footer that says where the block of blocks is. Its values are protocol buffers that say of each variable
its type, its shape, its data file (graphs on several devices write one each) and its place there. The numbers of data
files are raw. Nothing in any of the files can be run.

``tensorflow/core/util/tensor_bundle``, ``tensorflow/core/protobuf/tensor_bundle.proto`` and LevelDB's
``doc/table_format.md`` describe them.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

__all__ = ["bundle_of", "checksum", "is_bundle", "names_in_bundle", "read_bundle", "write_bundle"]

_FOOTER, _MAGIC = 48, 0xDB4775248B80FB57
#: TensorFlow's number of a type -> numpy's.
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
_NUMBER_OF = {np.dtype(code).newbyteorder("="): number for number, code in _TYPES.items()}
#: An index has some 100 bytes a variable.
_LARGEST_INDEX = 64 * 1024**2
#: Their names have five digits.
_MOST_SHARDS = 99_999


def bundle_of(path: str | Path) -> Path:
    """The index of a checkpoint that is named by it, by a data file, or by what their names have in common.

    Raises:
        InputError: it is not there.
    """
    path = Path(path)
    stem = path.name.partition(".data-")[0].removesuffix(".index").removesuffix(".meta")
    index = path.with_name(f"{stem}.index")
    if not index.is_file():
        raise _absent(path, index)
    return index


def _absent(path: Path, file: Path) -> InputError:
    return InputError(f"{path}: a TensorFlow checkpoint is an index and its data, and {file.name!r} is not there")


def is_bundle(path: str | Path) -> bool:
    """Whether a file is one of those of a checkpoint, by its name or its last bytes."""
    path = Path(path)
    if ".data-" in path.name:
        return path.is_file()
    if not path.is_file() or path.stat().st_size < _FOOTER:
        return False
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        return bool(struct.unpack("<Q", file.read(8))[0] == _MAGIC)


# -- reading -----------------------------------------------------------------------------------------------


class _BrokenError(Exception):
    """The index is not what it should be."""


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(raw) or shift > 63:
            raise _BrokenError("a number runs out of its block")
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _block(raw: bytes, offset: int, size: int) -> bytes:
    """A block that its checksum confirms."""
    body = raw[offset : offset + size + 5]
    if len(body) != size + 5:
        raise _BrokenError("a block lies outside of the file")
    if body[size] != 0:
        raise _BrokenError("a block is compressed, which TensorFlow's are not")
    if struct.unpack("<I", body[size + 1 :])[0] != checksum(body[: size + 1]):
        raise _BrokenError("a block's checksum is wrong")
    return body[:size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(block) < 4:
        raise _BrokenError("a block is too short")
    end = len(block) - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        size, at = _varint(block, at)
        if shared > len(key) or at + own + size > end:
            raise _BrokenError("a key runs out of its block")
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + size]
        at += own + size


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Fields of a protocol buffer: numbers, and bytes."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(raw, at)
            yield field, value
        elif wire in (1, 2, 5):
            size = {1: 8, 5: 4}.get(wire, 0)
            if wire == 2:
                size, at = _varint(raw, at)
            if at + size > len(raw):
                raise _BrokenError("a field runs out of its entry")
            yield field, raw[at : at + size]
            at += size
        else:
            raise _BrokenError("an entry has fields of an unknown kind")


@dataclass(frozen=True)
class _Variable:
    """Type, shape, data file, place in it (offset and size in bytes), and the masked checksum of the bytes there."""

    kind: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


def _variable(raw: bytes) -> _Variable:
    kind, shape, shard, offset, size, crc = 0, (), 0, 0, 0, b"\0\0\0\0"
    for field, value in _fields(raw):
        if field == 1:
            kind = value
        elif field == 2:
            sizes = [dict(_fields(dimension)).get(1, 0) for number, dimension in _fields(value) if number == 2]
            shape = tuple(sizes)
        elif field == 3:
            shard = value
        elif field == 4:
            offset = value
        elif field == 5:
            size = value
        elif field == 6:
            crc = value
        elif field == 7:
            raise _BrokenError("a variable is stored in slices")
    if kind not in _TYPES:
        raise _BrokenError(f"a variable is of type {kind}, which is no type of numbers that weights have")
    if not all(isinstance(part, int) for part in (*shape, shard, offset, size)):
        raise _BrokenError("a variable has an impossible shape")
    if not isinstance(crc, bytes) or len(crc) != 4:
        raise _BrokenError("a variable has an impossible checksum")
    return _Variable(_TYPES[kind], shape, shard, offset, size, struct.unpack("<I", crc)[0])


@dataclass(frozen=True)
class _Index:
    """How many data files there are, and the variables in them by name."""

    shards: int
    variables: dict[str, _Variable]


def _index(index: Path) -> _Index:
    if index.stat().st_size > _LARGEST_INDEX:
        raise InputError(f"{index}: too large for the index of a checkpoint ({index.stat().st_size} bytes)")
    try:
        return _table(index.read_bytes())
    except (_BrokenError, UnicodeDecodeError, TypeError, struct.error) as error:
        raise InputError(f"{index}: not the index of a TensorFlow checkpoint ({error}); is it whole?") from None


def names_in_bundle(path: str | Path) -> tuple[str, ...]:
    """The names of the variables of a checkpoint; no numbers are read.

    Raises:
        InputError: as `read_bundle`.
    """
    return tuple(_index(bundle_of(path)).variables)


def read_bundle(path: str | Path) -> dict[str, NDArray[Any]]:
    """All variables of a checkpoint by name, those of the optimiser too.

    Args:
        path: the index, a data file, or what their names have in common.

    Raises:
        InputError: a file that is not there, an index that is not whole, a data file that holds fewer or more numbers
            than the index claims, or other ones than its checksums are of.
    """
    index = bundle_of(path)
    held = _index(index)
    files = [index.with_suffix(f".data-{i:05d}-of-{held.shards:05d}") for i in range(held.shards)]
    for file in files:
        if not file.is_file():
            raise _absent(Path(path), file)
    found: dict[str, NDArray[Any]] = {}
    for shard, file in enumerate(files):
        found |= _numbers(file, {name: one for name, one in held.variables.items() if one.shard == shard}, index)
    return {name: found[name] for name in held.variables}


def _numbers(data: Path, variables: Mapping[str, _Variable], index: Path) -> dict[str, NDArray[Any]]:
    """The variables of one data file."""
    present, found = data.stat().st_size, {}
    if sum(one.size for one in variables.values()) > present:
        raise InputError(f"{data}: holds {present} bytes, fewer than the variables of {index.name}; is it whole?")
    with data.open("rb") as file:
        for name, one in variables.items():
            if math.prod(one.shape) * np.dtype(one.kind).itemsize != one.size or one.offset + one.size > present:
                raise InputError(
                    f"{index}: {name[:80]!r} claims {one.size} bytes at {one.offset} for shape "
                    f"{str(one.shape)[:60]}; {data.name} holds {present}"
                )
            file.seek(one.offset)
            raw = file.read(one.size)
            if checksum(raw) != one.checksum:
                raise InputError(
                    f"{data}: the checksum of {name[:80]!r} is wrong: its numbers are not those that were written; "
                    "get the file anew"
                )
            values = np.frombuffer(raw, one.kind).reshape(one.shape)
            found[name] = values.astype(values.dtype.newbyteorder("="))
    end = max((one.offset + one.size for one in variables.values()), default=0)
    if present > end:
        raise InputError(
            f"{data}: holds {present} bytes, more than the {end} of the variables of {index.name}; get the file anew"
        )
    return found


def _table(raw: bytes) -> _Index:
    if len(raw) < _FOOTER or struct.unpack("<Q", raw[-8:])[0] != _MAGIC:
        raise _BrokenError("its last bytes are not those of one")
    footer = raw[-_FOOTER:]
    _, at = _varint(footer, 0)
    _, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    size, _ = _varint(footer, at)
    shards, variables = 1, {}
    for _, handle in _entries(_block(raw, offset, size)):
        start, at = _varint(handle, 0)
        length, _ = _varint(handle, at)
        for key, value in _entries(_block(raw, start, length)):
            if key:  # the empty key holds the header
                variables[key.decode()] = _variable(value)
                continue
            header = dict(_fields(value))
            shards = header.get(1, 0)
            if header.get(2, 0) != 0:
                raise _BrokenError("it was written on a big-endian machine")
    if not isinstance(shards, int) or not 1 <= shards <= _MOST_SHARDS:
        raise _BrokenError("it has an impossible number of data files")
    if any(one.shard >= shards for one in variables.values()):
        raise _BrokenError("a variable is in a data file that it does not have")
    return _Index(shards, variables)


# -- writing -----------------------------------------------------------------------------------------------


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _as_varint(field << 3) + _as_varint(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return _as_varint(field << 3 | 2) + _as_varint(len(value)) + value


def _as_block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Every key whole: a restart at each entry."""
    body, starts = b"", []
    for key, value in entries:
        starts.append(len(body))
        body += _as_varint(0) + _as_varint(len(key)) + _as_varint(len(value)) + key + value
    starts = starts or [0]
    return body + struct.pack(f"<{len(starts) + 1}I", *starts, len(starts))


def _placed(block: bytes, offset: int) -> tuple[bytes, bytes]:
    """A block with its trailer, and the handle that points to it."""
    body = block + b"\0"
    return body + struct.pack("<I", checksum(body)), _as_varint(offset) + _as_varint(len(block))


def write_bundle(prefix: str | Path, variables: Mapping[str, NDArray[Any]]) -> None:
    """Write ``PREFIX.index`` and ``PREFIX.data-00000-of-00001``, as ``tf.train.Saver`` restores them.

    Args:
        prefix: folder and name, e.g. ``models/checkpoint-4338038``.
        variables: arrays of numbers by name.
    """
    header = _number(1, 1) + _bytes(3, _number(1, 1))
    entries, data = [(b"", header)], bytearray()
    for name in sorted(variables, key=str.encode):
        array = np.ascontiguousarray(variables[name])
        array = array.astype(array.dtype.newbyteorder("<"))
        shape = b"".join(_bytes(2, _number(1, size)) for size in np.shape(variables[name]))
        raw = array.tobytes()
        entry = _number(1, _NUMBER_OF[array.dtype.newbyteorder("=")]) + _bytes(2, shape)
        entry += _number(4, len(data)) + _number(5, len(raw))
        entry += _as_varint(6 << 3 | 5) + struct.pack("<I", checksum(raw))
        entries.append((name.encode(), entry))
        data += raw
    table, handle = _placed(_as_block(entries), 0)
    meta, meta_handle = _placed(_as_block([]), len(table))
    top, top_handle = _placed(_as_block([(entries[-1][0], handle)]), len(table) + len(meta))
    footer = (meta_handle + top_handle).ljust(_FOOTER - 8, b"\0") + struct.pack("<Q", _MAGIC)
    Path(f"{os.fspath(prefix)}.index").write_bytes(table + meta + top + footer)
    Path(f"{os.fspath(prefix)}.data-00000-of-00001").write_bytes(bytes(data))


# -- checksums ---------------------------------------------------------------------------------------------

_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected


def _crc_table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


_TABLE = _crc_table()


def _crc(raw: bytes) -> int:
    """CRC-32C: many stretches of the bytes at once, whose results are then put behind one another."""
    length = max(math.isqrt(len(raw)), 1)
    whole = len(raw) - len(raw) % length
    stretches = np.frombuffer(raw, np.uint8, whole).reshape(-1, length)
    state = np.zeros(len(stretches), np.uint32)
    for column in stretches.T:
        state = _TABLE[(state ^ column) & 0xFF] ^ (state >> 8)
    shift = _zeros(length)
    total = 0xFFFFFFFF
    for one in state.tolist():  # the stretch began at 0: what came before is moved past it, and added
        total = _times(shift, total) ^ one
    for byte in raw[whole:]:
        total = int(_TABLE[(total ^ byte) & 0xFF]) ^ (total >> 8)
    return total ^ 0xFFFFFFFF


def _times(matrix: list[int], vector: int) -> int:
    """Over the field of two elements; the matrix by its columns."""
    total = 0
    while vector:
        low = vector & -vector
        total ^= matrix[low.bit_length() - 1]
        vector ^= low
    return total


def _zeros(count: int) -> list[int]:
    """What so many zero bytes make of a state, as a matrix."""
    power = [int(_TABLE[1 << bit]) if bit < 8 else 1 << (bit - 8) for bit in range(32)]
    result = [1 << bit for bit in range(32)]
    while count:
        if count & 1:
            result = [_times(power, column) for column in result]
        power = [_times(power, column) for column in power]
        count >>= 1
    return result


def checksum(raw: bytes) -> int:
    """CRC-32C of some bytes, masked as LevelDB stores it."""
    crc = _crc(raw)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
