"""Seeded mutations of files: of their bytes, and of what their format makes of these.

Every mutation takes the content of a valid file and a `random.Random`, and gives the content of another file, which
may still be valid. Nothing here is made to break a library: what is mended are our own readers.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

__all__ = ["MUTATIONS"]

# -- bytes ---------------------------------------------------------------------------------------------

_TOKENS: tuple[bytes, ...] = (
    b"\x00",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"[[[[",
    b"}}}}",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\r\n",
    b",,",
    b":",
    b"-1",
    b"0",
    b"99999999999999999999",
    b"PK\x03\x04",
    b"PAR1",
    b"\x93NUMPY",
    b"%s%n",
    b"../",
    b"\xe2\x80\xae",
)


def change_bytes(content: bytes, random: Random, tokens: tuple[bytes, ...] = _TOKENS) -> bytes:
    """Flip, cut, insert, repeat or overwrite some bytes."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        at = random.randrange(len(data) + 1)
        kind = random.randrange(8)
        if kind <= 1 and data:
            data[min(at, len(data) - 1)] ^= 1 << random.randrange(8)
        elif kind == 2 and data:
            data[min(at, len(data) - 1)] = random.randrange(256)
        elif kind == 3:
            data[at:at] = random.choice(tokens)
        elif kind == 4:
            del data[at : at + random.choice((1, 2, 4, 16, 64))]
        elif kind == 5:
            data[at:at] = data[at : at + random.choice((1, 4, 32, 256))]
        elif kind == 6:
            length = random.choice((1, 2, 4, 8))
            data[at : at + length] = random.choice((b"\x00", b"\xff", b"\x7f")) * length
        elif kind == 7 and random.random() < 0.4:
            del data[at:]
    return bytes(data)


# -- JSON, and whatever consists of dicts and lists ------------------------------------------------------

#: Stand for text that `json.dumps` cannot write; replaced afterwards.
_LITERALS = {
    "@@huge@@": "1e999",
    "@@digits@@": "9" * 400,
    "@@thousands@@": "7" * 5000,
    "@@nested@@": "[" * 60 + "]" * 60,
    "@@deep@@": "[" * 900 + "]" * 900,
    "@@abyss@@": "[" * 20_000 + "]" * 20_000,
    "@@objects@@": '{"a":' * 900 + "0" + "}" * 900,
    "@@surrogate@@": '"\\ud800"',
    "@@minus@@": "-0.0",
}
_ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    0.5,
    2**31,
    2**63,
    2**64,
    10**30,
    1e-320,
    1e38,
    1e39,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "h36m17",
    "1",
    "\x00",
    "\u202e",
    "\U0001f600",
    "y" * 3000,
    [],
    {},
    [[]],
    [None],
    [0, 0],
    ["a", 1],
    {"a": 1},
    {"": None},
    10_000_000,
    1_000_000_000,
    *_LITERALS,
)


def _places(value: Any, at: tuple[Any, ...] = (), most: int = 4000) -> list[tuple[Any, ...]]:
    found, queue = [], [(value, at)]
    while queue and len(found) < most:
        value, at = queue.pop(0)
        found.append(at)
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        queue += [(inner, (*at, key)) for key, inner in items]
    return found


def change_values(document: Any, random: Random, odd: tuple[Any, ...] = _ODD) -> Any:
    """Change one to three places of nested dicts and lists; ``document`` itself may be changed."""
    for _ in range(random.choice((1, 1, 2, 3))):
        places = _places(document)
        # the outer places are few and matter more
        shallow = [place for place in places if len(place) <= random.randrange(1, 5)]
        place = random.choice(shallow or places)
        if not place:
            document = random.choice((document, [document], {"a": document}, random.choice(odd)))
            continue
        parent = document
        for key in place[:-1]:
            parent = parent[key]
        key = place[-1]
        kind = random.randrange(10)
        if kind == 0:
            del parent[key]
        elif kind == 1:
            parent[key] = [parent[key]]
        elif kind == 2 and isinstance(parent, list):
            parent.insert(random.randrange(len(parent) + 1), parent[key])
        elif kind == 3 and isinstance(parent, dict):
            parent[random.choice(("a", "", "id", str(key).upper(), "x" * 500))] = parent.pop(key)
        elif kind == 4 and isinstance(parent[key], list):
            parent[key] = {str(i): inner for i, inner in enumerate(parent[key])}
        elif kind == 5 and isinstance(parent[key], dict):
            parent[key] = list(parent[key].values())
        elif kind == 6 and isinstance(parent[key], (int, float)) and not isinstance(parent[key], bool):
            parent[key] = parent[key] * random.choice((-1, 0, 1e3, 1e6, 1e12, 1e30, 1e300))
        elif kind == 7 and isinstance(parent[key], list):
            parent[key] = parent[key] * random.choice((0, 2, 3))
        else:
            parent[key] = random.choice(odd)
    return document


def change_json(content: bytes, random: Random) -> bytes:
    if random.random() < 0.2:
        return change_bytes(content, random)
    text = json.dumps(change_values(json.loads(content), random))
    for name, literal in _LITERALS.items():
        text = text.replace(f'"{name}"', literal)
    return text.encode()


# -- text ------------------------------------------------------------------------------------------------

_WORDS = (
    "nan",
    "inf",
    "-inf",
    "1e999",
    "-1",
    "0",
    "1e-320",
    "1e300",
    "x",
    "",
    "9" * 400,
    "9" * 5000,
    "1_000",
    "0x10",
    "٣",
    "\x00",
    "{",
    "}",
    "ROOT",
    "JOINT",
    "End Site",
    "MOTION",
    "Frames:",
    "CHANNELS",
    "OFFSET",
    ":root",
    ":bonedata",
    ":hierarchy",
    "begin",
    "end",
    "axis",
    "dof",
    "rx",
    "l",
    "1000000000",
    "99999999999999999999",
    "Xrotation",
    "\ufeff",
    "\u2028",
    "z" * 3000,
    ",",
    '"',
    "#",
)


def change_text(content: bytes, random: Random, words: tuple[str, ...] = _WORDS) -> bytes:
    if random.random() < 0.2:
        return change_bytes(content, random)
    lines = content.decode("utf-8", "replace").split("\n")
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.randrange(len(lines)) if lines else 0
        kind = random.randrange(9)
        parts = re.split(r"(\s+|,|:)", lines[at]) if lines else []
        full = [i for i, part in enumerate(parts) if part.strip()]
        if kind <= 3 and full:
            parts[random.choice(full)] = random.choice(words)
            lines[at] = "".join(parts)
        elif kind == 4 and full:
            parts.insert(random.choice(full), random.choice(words) + " ")
            lines[at] = "".join(parts)
        elif kind == 5 and lines:
            del lines[at : at + random.choice((1, 1, 2, 10))]
        elif kind == 6 and lines:
            lines[at:at] = lines[at : at + random.choice((1, 1, 3))]
        elif kind == 7 and lines:
            other = random.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 8 and lines:
            lines[at : at + 1] = [lines[at].replace(" ", random.choice(("\t", "  ", "")), 1), random.choice(words)]
    return random.choice(("\n", "\n", "\r\n")).join(lines).encode("utf-8", "replace")


_YAML_WORDS = (
    *_WORDS,
    "&a [*a]",
    "*a",
    "!!binary AA==",
    "!!set {a}",
    "!!timestamp 2001-99-99",
    "2001-99-99",
    "!!int x",
    "? [a]",
    "<<: 1",
    "!!python/name:os.getcwd",
    "1:60:60:60",
    "~",
    "null",
    "true",
    "[" * 300,
    "{a: " * 300,
    "extends: mdn",
    "|",
    ">",
    "---",
    "- ",
    "&a {<<: *a}",
    "1e400",
    "0o777",
    "0b11",
    ".inf",
    ".nan",
    "=",
    "%YAML 9.9",
)
_YAML_BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]" for i in range(12)
)


def change_yaml(content: bytes, random: Random) -> bytes:
    import yaml

    chance = random.random()
    if chance < 0.4:
        return change_text(content, random, _YAML_WORDS)
    if chance < 0.43:
        inside = "\n".join("  " + line for line in _YAML_BOMB.splitlines())
        return (
            content + f"\n{random.choice(('simulator', 'schedule', 'lifter', 'name', 'labels'))}:\n{inside}\n".encode()
        )
    text = yaml.safe_dump(change_values(yaml.safe_load(content), random))
    for name, literal in _LITERALS.items():
        text = text.replace(f"'{name}'", literal).replace(name, literal)
    return text.encode("utf-8", "replace")


# -- npy and npz -----------------------------------------------------------------------------------------


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


_TYPES = ("f2", "f4", ">f8", "i1", "u8", ">i4", "?", "c8", "U3", "S2", "O", "M8[s]", "f8")


def change_array(array: np.ndarray, random: Random) -> np.ndarray:
    """Another type, shape or some other values."""
    kind = random.randrange(9)
    try:
        if kind == 0:
            return array.astype(random.choice(_TYPES))
        if kind == 1:
            return array.reshape(-1)
        if kind == 2:
            return array[None]
        if kind == 3:
            return array.T
        if kind == 4:
            return array[: random.choice((0, 1, 2, -1))]
        if kind == 5:
            return np.asarray(random.choice((0.0, np.nan, -1, 10**12, "", "x" * 50, True, [], [np.inf], [[]])))
        if kind == 6 and array.ndim:
            return np.concatenate([array, array], random.randrange(array.ndim))
        if kind == 7:
            return np.zeros(array.shape, array.dtype)
        changed = array.copy()
        values = (np.nan, np.inf, -np.inf, 1e308, 1e38, -1, 0, 1e-320, 1e15)
        for _ in range(random.choice((1, 1, 5))):
            changed.reshape(-1)[random.randrange(changed.size)] = random.choice(values)
    except (ValueError, TypeError, OverflowError, IndexError):
        return array[:0] if array.ndim else array[None]
    return changed


def change_npy(content: bytes, random: Random) -> bytes:
    chance = random.random()
    if chance < 0.25:
        return change_bytes(content, random)
    if chance < 0.6:
        return _changed_header(content, random)
    return _npy(change_array(np.load(io.BytesIO(content), allow_pickle=True), random))


def _changed_header(content: bytes, random: Random) -> bytes:
    """The text of an npy header changed; its length is kept right, mostly."""
    (length,) = struct.unpack("<H", content[8:10])
    header, rest = content[10 : 10 + length].decode("latin1").rstrip(), content[10 + length :]
    shape = random.choice(
        (
            "()",
            "(0,)",
            "(1,)",
            "(99999999999,)",
            "(-1,)",
            "(2**3,)",
            "(10, 10)",
            "(True, 17, 2)",
            "(1.5,)",
            "('a',)",
            "[3]",
            "3",
            "None",
            "(0, 99999999999999)",
            "(99999999999, 99999999999)",
            "(1, 17, 2, 1)",
            "((1,),)",
            "(" * 50 + ")" * 50,
        )
    )
    descr = random.choice(
        (
            "'<f8'",
            "'>f4'",
            "'<f2'",
            "'<U0'",
            "'|V0'",
            "'|S0'",
            "'|V8'",
            "'|O'",
            "'<m8[D]'",
            "[('a', '<f8')]",
            "('<f8', (2,))",
            "'x'",
            "None",
            "'<c16'",
            "'<U1000000000'",
            "[('a', [('b', '<f8')])]",
            "'|b1'",
            "'<i8'",
            "''",
            "5",
        )
    )
    kind = random.randrange(6)
    if kind == 0:
        header = re.sub(r"'shape': \(.*?\)", lambda _: f"'shape': {shape}", header)
    elif kind == 1:
        header = re.sub(r"'descr': '.*?'", lambda _: f"'descr': {descr}", header)
    elif kind == 2:
        header = re.sub(r"'shape': \(.*?\)", lambda _: f"'shape': {shape}", header)
        header = re.sub(r"'descr': '.*?'", lambda _: f"'descr': {descr}", header)
    elif kind == 3:
        header = header.replace(
            "'fortran_order': False", f"'fortran_order': {random.choice(('True', 'None', '7', '[]'))}"
        )
    elif kind == 4:
        header = random.choice(("", "{}", "[]", "{'a': 1}", "{" * 200, "open", "{'descr': '<f8'}", "\x00", "1" * 5000))
    else:
        header = change_bytes(header.encode("latin1"), random).decode("latin1")
    raw = header.encode("latin1") + b"\n"
    version = random.choice((b"\x01\x00",) * 6 + (b"\x02\x00", b"\x03\x00", b"\x00\x00", b"\x09\x09"))
    size = struct.pack("<H", len(raw) & 0xFFFF) if version == b"\x01\x00" else struct.pack("<I", len(raw))
    if random.random() < 0.1:
        size = b"\xff" * len(size)
    return content[:6] + version + size + raw + rest


def change_npz(content: bytes, random: Random) -> bytes:
    chance = random.random()
    if chance < 0.15:
        return change_bytes(content, random)
    if chance < 0.35:
        return _changed_zip(content, random)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    for _ in range(random.choice((1, 1, 1, 2))):
        name = random.choice(list(entries)) if entries else ""
        kind = random.randrange(12)
        if kind == 0 and entries:
            del entries[name]
        elif kind == 1 and entries:
            entries[random.choice(("a.npy", "keypoints", "../b.npy", "file.npy", name.upper(), "\u202e.npy", ""))] = (
                entries.pop(name)
            )
        elif kind == 2:
            entries[random.choice(("x.npy", "y.txt", "folder/"))] = random.choice((b"", b"text", _npy(np.zeros(3))))
        elif kind == 3 and entries:
            entries[name] = change_bytes(entries[name], random)
        elif entries and entries[name][:6] == b"\x93NUMPY":
            entries[name] = change_npy(entries[name], random)
    file = io.BytesIO()
    method = random.choice((zipfile.ZIP_STORED,) * 4 + (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, raw in entries.items():
            archive.writestr(zipfile.ZipInfo(name), raw, method)
    return file.getvalue()


def _changed_zip(content: bytes, random: Random) -> bytes:
    """Fields of the zip's own headers: flags, method, sizes, offsets, names."""
    data = bytearray(content)
    starts = [(m.start(), 6, 8, 14) for m in re.finditer(b"PK\x03\x04", content)]
    starts += [(m.start(), 8, 10, 16) for m in re.finditer(b"PK\x01\x02", content)]
    for _ in range(random.choice((1, 1, 2))):
        at, flags, method, crc = random.choice(starts)
        kind = random.randrange(6)
        if kind == 0:
            data[at + flags : at + flags + 2] = struct.pack(
                "<H", random.choice((1, 8, 0x20, 0x40, 0x800, 0x2000, 0xFFFF))
            )
        elif kind == 1:
            data[at + method : at + method + 2] = struct.pack(
                "<H", random.choice((1, 8, 9, 12, 14, 93, 95, 97, 99, 0xFFFF))
            )
        elif kind == 2:
            data[at + crc : at + crc + 4] = struct.pack("<I", random.getrandbits(32))
        elif kind == 3:
            place = at + crc + random.choice((4, 8))
            data[place : place + 4] = struct.pack("<I", random.choice((0, 1, 2**31, 2**32 - 1, 2**32 - 2, 100)))
        elif kind == 4:
            place = at + crc + random.choice((12, 14))
            data[place : place + 2] = struct.pack("<H", random.choice((0, 1, 0xFFFF, 40)))
        else:
            place = at + random.randrange(4, 46)
            data[place : place + 1] = bytes([random.randrange(256)])
    return bytes(data)


# -- Parquet ---------------------------------------------------------------------------------------------


def _odd_column(column: Any, random: Random) -> Any:
    import pyarrow as pa

    rows = len(column)
    kinds: list[Callable[[], Any]] = [
        lambda: pa.nulls(rows),
        lambda: pa.array(["x"] * rows),
        lambda: pa.array([1] * rows, pa.int64()),
        lambda: pa.array([b"\xff\xfe"] * rows, pa.binary()),
        lambda: pa.array([[1.0]] * rows),
        lambda: pa.array([{"a": 1}] * rows),
        lambda: pa.array([True] * rows),
        lambda: pa.array([0] * rows, pa.timestamp("s")),
        lambda: pa.array([[]] * rows, pa.list_(pa.float32())),
        lambda: pa.array([[1.0, 2.0]] * rows, pa.list_(pa.float32(), 2)),
        lambda: pa.array([[["a"]]] * rows),
        lambda: pa.array([float("nan")] * rows),
        lambda: pa.array([float("inf")] * rows),
        lambda: pa.array([-1] * rows, pa.int32()),
        lambda: pa.array([2**62] * rows),
        lambda: pa.array(["x"] * rows).dictionary_encode(),
        lambda: pa.array([""] * rows),
        lambda: pa.array([0] * rows, pa.int32()),
        lambda: pa.array(["y" * 3000] * rows),
        lambda: pa.array([1e300] * rows),
    ]
    return random.choice(kinds)()


def _changed_column(column: Any, random: Random) -> Any:
    import pyarrow as pa

    column = column.combine_chunks()
    kind = random.randrange(6)
    values = column.to_pylist()
    try:
        if kind == 0 or not values:
            return _odd_column(column, random)
        at = random.randrange(len(values))
        if kind == 1:
            values[at] = None
            return pa.array(values, column.type)
        if isinstance(values[at], list):
            inner = values[at]
            if kind == 2:
                inner[random.randrange(len(inner))] = random.choice((None, float("nan"), float("inf"), 1e30, -1.0))
                return pa.array(values, column.type)
            if kind == 3:
                return pa.array([v[:-1] for v in values], pa.list_(column.type.value_type))
            if kind == 4:
                return pa.array(values, pa.list_(pa.float64(), len(inner)))
            return pa.array(values, pa.large_list(column.type.value_type))
        if kind == 2:
            values[at] = random.choice((0, -1, float("nan"), float("inf"), 1e30, "x", "", "\u202e", 10**9))
            return pa.array(values, column.type)
        if kind == 3:
            return pa.array([str(v) for v in values])
        if kind == 4:
            return pa.array(values).cast(
                random.choice((pa.float64(), pa.int8(), pa.string(), pa.bool_(), pa.float16()))
            )
    except (pa.ArrowException, ValueError, TypeError, IndexError, AttributeError, OverflowError):
        pass
    return _odd_column(column, random)


def change_parquet(content: bytes, random: Random) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if random.random() < 0.2:
        return change_bytes(content, random)
    table = pq.read_table(pa.BufferReader(content), use_threads=False)
    metadata = dict(table.schema.metadata or {})
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice(table.column_names) if table.column_names else ""
        kind = random.randrange(10)
        if kind <= 3 and name:
            place = table.column_names.index(name)
            table = table.set_column(place, name, _changed_column(table[name], random))
        elif kind == 4 and name:
            table = table.drop_columns([name])
        elif kind == 5 and name:
            new = random.choice(("a", "", name.upper(), "frame", "xy"))
            table = table.rename_columns([new if n == name else n for n in table.column_names])
        elif kind == 6:
            table = table.slice(0, random.choice((0, 0, 1, 2)))
        elif metadata:
            key = random.choice(list(metadata))
            what = random.randrange(5)
            if what == 0:
                del metadata[key]
            elif what == 1:
                metadata[key] = random.choice((b"\xff\xfe", b"", b"x", b"\x00", b"9" * 5000, b"y" * 3000))
            elif what == 2:
                metadata[random.choice((b"\xff\xfe", b"", b"z"))] = metadata.pop(key)
            else:
                try:
                    metadata[key] = change_json(metadata[key], random)
                except ValueError:
                    metadata[key] = change_bytes(metadata[key], random)
        table = table.replace_schema_metadata(metadata)
    file = io.BytesIO()
    codec = random.choice(("snappy", "zstd", "none", "gzip"))
    try:
        pq.write_table(table, file, compression=codec, row_group_size=random.choice((1, 2, 1000)))
    except (pa.ArrowException, ValueError, TypeError):
        return change_bytes(content, random)
    raw = file.getvalue()
    return change_bytes(raw, random) if random.random() < 0.1 else raw


# -- safetensors, pickles, images ----------------------------------------------------------------------------


def change_safetensors(content: bytes, random: Random) -> bytes:
    chance = random.random()
    if chance < 0.3:
        return change_bytes(content, random)
    (length,) = struct.unpack("<Q", content[:8])
    header, rest = content[8 : 8 + length], content[8 + length :]
    if chance < 0.4:
        length = random.choice((0, 1, 2**63, 2**64 - 1, length - 1, length + 1, 10**8))
        return struct.pack("<Q", length) + header + rest
    fields = json.loads(header)
    if chance < 0.7:
        name = random.choice([n for n in fields if n != "__metadata__"])
        kind = random.randrange(4)
        if kind == 0:
            fields[name]["dtype"] = random.choice(
                ("F64", "F16", "BF16", "I64", "I32", "U8", "BOOL", "F8_E4M3", "X", "C64", "U16")
            )
        elif kind == 1:
            fields[name]["shape"] = random.choice(([], [0], [10**9, 10**9], [1], [-1], [2.5], "x", [0, 10**12]))
        elif kind == 2:
            fields[name]["data_offsets"] = random.choice(([0, 0], [0, 10**12], [8, 4], [-1, 1], [], None))
        else:
            fields[random.choice(("x", "", "temperature", name + name))] = fields.pop(name)
        raw = json.dumps(fields).encode()
    else:
        raw = change_json(header, random)
    return struct.pack("<Q", len(raw)) + raw + rest


def _arrays_inside(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += [(*at, key)] if isinstance(inner, np.ndarray) else _arrays_inside(inner, (*at, key))
    return found


def change_object(value: Any, random: Random) -> Any:
    """An array, or any other place, of nested dicts and lists changed."""
    places = _arrays_inside(value)
    if places and random.random() < 0.7:
        *path, last = random.choice(places)
        parent = value
        for key in path:
            parent = parent[key]
        parent[last] = change_array(parent[last], random)
        return value
    return change_values(value, random)


def change_pickle(content: bytes, random: Random) -> bytes:
    if random.random() < 0.35:
        return change_bytes(content, random)
    # our own files of plain data, made by the tests
    return pickle.dumps(change_object(pickle.loads(content, encoding="latin1"), random), random.choice((2, 4)))


def change_image(content: bytes, random: Random) -> bytes:
    if content[:4] != b"\x89PNG" or random.random() < 0.5:
        return change_bytes(content, random)
    sizes = (0, 1, 7, 2**15, 2**17, 2**20, 2**31 - 1, 2**32 - 1, 13_000)
    header = bytearray(content[12:29])
    struct.pack_into(">II", header, 4, random.choice(sizes), random.choice(sizes))
    if random.random() < 0.3:
        header[12 + random.randrange(5)] = random.randrange(256)
    return content[:12] + bytes(header) + struct.pack(">I", zlib.crc32(header)) + content[33:]


# -- HDF5 and Matlab -------------------------------------------------------------------------------------


def change_h5(content: bytes, random: Random) -> bytes:
    """A dataset with another type, shape or value, a group in its place, or none."""
    import h5py

    file = io.BytesIO(content)
    with h5py.File(file, "r+") as opened:
        names: list[str] = []
        opened.visititems(lambda name, found: names.append(name) if isinstance(found, h5py.Dataset) else None)
        name = random.choice(names)
        array = opened[name][()]
        kind = random.randrange(8)
        del opened[name]
        if kind == 0:
            opened.create_group(name)
        elif kind == 1:
            opened[name] = h5py.SoftLink("/nowhere")
        elif kind == 2:
            opened[name] = random.choice(("text", 5, np.zeros((0, 3)), np.array([b"\xff\xfe"]), np.zeros(2, "c8")))
        elif kind > 3:
            try:
                opened[name] = change_array(np.asarray(array), random)
            except (TypeError, ValueError):
                opened[name] = np.zeros(3)
    return file.getvalue()


def change_mat(content: bytes, random: Random) -> bytes:
    from scipy.io import loadmat, savemat

    values = {name: value for name, value in loadmat(io.BytesIO(content)).items() if not name.startswith("__")}
    name = random.choice(list(values))
    try:
        values[random.choice((name, name, name, "other"))] = change_array(values.pop(name), random)
        file = io.BytesIO()
        savemat(file, values)
        return file.getvalue()
    except (TypeError, ValueError, AttributeError, IndexError):
        return content[: random.randrange(len(content))]


#: How the content of a file of each kind is changed.
MUTATIONS: dict[str, Callable[[bytes, Random], bytes]] = {
    "bytes": change_bytes,
    "json": change_json,
    "text": change_text,
    "yaml": change_yaml,
    "npy": change_npy,
    "npz": change_npz,
    "parquet": change_parquet,
    "safetensors": change_safetensors,
    "pickle": change_pickle,
    "image": change_image,
    "h5": change_h5,
    "mat": change_mat,
}
