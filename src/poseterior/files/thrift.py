"""Thrift's compact protocol, as far as the footers of Parquet files need it: to a tree of fields and back.

A struct is a list of `Field`; what it holds is kept as it stands, known or not, so that a footer which is read and
written again is the same to the byte (Apache Thrift, "thrift-compact-protocol.md").
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

__all__ = ["LIST", "STRUCT", "Field", "find", "read_struct", "write_struct"]

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, LIST, _SET, _MAP, STRUCT = range(1, 13)
_WHOLE = (_I16, _I32, _I64)
_DEEPEST = 16


@dataclass
class Field:
    """One field of a struct.

    Attributes:
        number: of the field.
        kind: its type in the protocol.
        value: a number, bytes, a struct (list of fields), or of lists ``(kind of the entries, entries)``. In place of a
            struct may stand its bytes, which are written as they are.
    """

    number: int
    kind: int
    value: Any


def find(fields: list[Field], number: int) -> Field | None:
    """The field of that number, if it is there."""
    return next((field for field in fields if field.number == number), None)


# -- reading -----------------------------------------------------------------------------------------------


def read_struct(data: bytes, start: int = 0) -> tuple[list[Field], int]:
    """The struct that begins there, and where it has ended.

    Raises:
        ValueError: no such struct, or a truncated one.
    """
    try:
        return _struct(data, start, 0)
    except (IndexError, struct.error):
        raise ValueError("a truncated struct") from None


def _struct(data: bytes, at: int, depth: int) -> tuple[list[Field], int]:
    if depth > _DEEPEST:
        raise ValueError("structs within structs without end")
    fields: list[Field] = []
    number = 0
    while True:
        head = data[at]
        at += 1
        if head == 0:
            return fields, at
        kind, step = head & 15, head >> 4
        if step:
            number += step
        else:
            raw, at = _varint(data, at)
            number = _unzigzag(raw)
        if kind in (_TRUE, _FALSE):
            fields.append(Field(number, kind, kind == _TRUE))
            continue
        value, at = _value(data, at, kind, depth)
        fields.append(Field(number, kind, value))


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in _WHOLE:
        raw, at = _varint(data, at)
        return _unzigzag(raw), at
    if kind in (_TRUE, _FALSE, _BYTE):  # entries of lists
        return data[at], at + 1
    if kind == _DOUBLE:
        return struct.unpack_from("<d", data, at)[0], at + 8
    if kind == _BINARY:
        size, at = _varint(data, at)
        if at + size > len(data):
            raise ValueError("a truncated text")
        return data[at : at + size], at + size
    if kind == LIST:
        head = data[at]
        at += 1
        count, inner = head >> 4, head & 15
        if count == 15:
            count, at = _varint(data, at)
        entries = []
        for _ in range(count):
            entry, at = _value(data, at, inner, depth + 1)
            entries.append(entry)
        return (inner, entries), at
    if kind == STRUCT:
        return _struct(data, at, depth + 1)
    raise ValueError(f"a field of kind {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    found = shift = 0
    while True:
        byte = data[at]
        at += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, at
        shift += 7


def _unzigzag(raw: int) -> int:
    return (raw >> 1) ^ -(raw & 1)


# -- writing -----------------------------------------------------------------------------------------------


def write_struct(fields: list[Field]) -> bytes:
    """The bytes of a struct."""
    out = bytearray()
    before = 0
    for field in fields:
        step = field.number - before
        if 0 < step < 16:
            out.append(step << 4 | field.kind)
        else:
            out.append(field.kind)
            out += _to_varint(_zigzag(field.number))
        before = field.number
        if field.kind not in (_TRUE, _FALSE):
            _put(out, field.kind, field.value)
    out.append(0)
    return bytes(out)


def _put(out: bytearray, kind: int, value: Any) -> None:
    if kind in _WHOLE:
        out += _to_varint(_zigzag(value))
    elif kind in (_TRUE, _FALSE, _BYTE):
        out.append(value)
    elif kind == _DOUBLE:
        out += struct.pack("<d", value)
    elif kind == _BINARY:
        out += _to_varint(len(value)) + value
    elif kind == LIST:
        inner, entries = value
        if len(entries) < 15:
            out.append(len(entries) << 4 | inner)
        else:
            out.append(15 << 4 | inner)
            out += _to_varint(len(entries))
        for entry in entries:
            _put(out, inner, entry)
    else:
        out += value if isinstance(value, bytes) else write_struct(value)


def _to_varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1
