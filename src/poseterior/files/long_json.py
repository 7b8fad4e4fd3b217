"""JSON of any length: its longest lists are read piece by piece, so that few of their entries are ever in memory."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, SupportsIndex

import msgspec
import numpy as np

from .checks import Array
from .errors import InputError
from .texts import refuse_half_characters

__all__ = ["LongList", "load_json", "no_collection", "open_long_json"]

#: Bytes of a file below which it is read whole.
LONG = 16 << 20
#: Bytes of a list that are parsed at once.
PIECE = 1 << 20

_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_LIST_MEMBER = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:\s*\[')
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)


class LongList(list[Any]):
    """A list in a JSON file, read again whenever somebody goes through it.

    It is a list to all who iterate over it, ask for its length or for an entry; nobody changes it. Its entries are not
    kept: who keeps them has them in memory.

    Raises:
        InputError: while going through it: what it holds is not JSON.
    """

    def __init__(self, path: Path, pieces: Iterable[tuple[int, int]]) -> None:
        super().__init__()
        self._path = path
        self._pieces = tuple(pieces)
        self._first: list[Any] | None = None
        self._length: int | None = None

    def _content(self, start: int, stop: int) -> bytes:
        with self._path.open("rb") as stream:
            stream.seek(start)
            return b"[" + stream.read(stop - start) + b"]"

    def _piece(self, number: int) -> list[Any]:
        if number == 0 and self._first is not None:
            return self._first
        start, stop = self._pieces[number]
        try:
            entries: list[Any] = load_json(self._content(start, stop))
        except (ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"not valid JSON (entries between byte {start:,} and byte {stop:,})") from None
        if number == 0:
            self._first = entries
        return entries

    def __iter__(self) -> Iterator[Any]:
        for number in range(len(self._pieces)):
            yield from self._piece(number)

    def typed(self, kind: Any) -> Iterator[Any]:
        """The entries as msgspec reads this type, plain ones where some of their neighbours are not of it.

        What the type has no fields for is skipped, and what it calls `msgspec.Raw` is left as it stands in the file:
        several times as fast as making objects of it.
        """
        decoder = msgspec.json.Decoder(list[kind])
        for number, (start, stop) in enumerate(self._pieces):
            try:
                with no_collection():
                    entries = decoder.decode(self._content(start, stop))
            except (msgspec.DecodeError, RecursionError):
                entries = self._piece(number)
            yield from entries

    def __len__(self) -> int:
        if self._length is None:
            self._length = sum(len(self._piece(number)) for number in range(len(self._pieces)))
        return self._length

    def __bool__(self) -> bool:
        return len(self._piece(0)) > 0

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        if isinstance(index, slice):
            return list(self)[index]
        first, place = self._piece(0), index.__index__()
        return first[place] if 0 <= place < len(first) else list(self)[place]

    def __contains__(self, value: object) -> bool:
        return any(entry == value for entry in self)

    def __eq__(self, other: object) -> bool:
        return list(self) == (list(other) if isinstance(other, list) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __add__(self, other: list[Any]) -> list[Any]:
        return [*self, *other]

    def __reversed__(self) -> Iterator[Any]:
        return reversed(list(self))

    def __repr__(self) -> str:
        return f"<a list in {self._path}>"


def load_json(content: bytes) -> Any:
    """What JSON says, as `json.loads` does, several times as fast.

    NaN, Infinity and numbers out of all range are let through, as there.

    Raises:
        ValueError: not JSON; as `json.loads`.
        InputError: half a character.
    """
    with no_collection():
        try:
            return msgspec.json.decode(content)
        except msgspec.DecodeError:  # also of what Python lets through, and half characters
            text = content.decode()
            found = json.loads(text)
            refuse_half_characters(text, found)
            return found


@contextmanager
def no_collection() -> Iterator[None]:
    """Do not look for cycles of garbage meanwhile: for who makes very many objects, of which none refers to itself.

    Looking for them, again and again, takes longer than making them.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def open_long_json(path: Path) -> Any:
    """A file's JSON with `LongList` in place of the lists that take more than a piece of it.

    Only the entries of the outermost list, or lists that are fields of the outermost object, are found so.

    Returns:
        None for files that are not long, and for those that do not look like JSON: to be read whole.
    """
    if path.stat().st_size < LONG:
        return None
    with path.open("rb") as stream:
        start = 3 if stream.read(3) == _BOM else 0
        kind, place = _token(stream, start)
        try:
            if kind == b"[":
                pieces, end = _list_pieces(stream, place)
                found: Any = LongList(path, pieces)
            elif kind == b"{":
                found, end = _members(stream, place, path)
            else:
                return None
        except (ValueError, RecursionError):
            return None
        return found if _token(stream, end)[0] == b"" else None


# -- cutting -----------------------------------------------------------------------------------------------


class _Window(NamedTuple):
    """A stretch of a file that starts between two entries.

    Attributes:
        content: its bytes; no string in ``outside`` holds a bracket or a comma.
        brackets: where they stand outside strings.
        depth: behind each of them; 0 between entries.
        last: whether the file ends with it.
    """

    content: bytes
    outside: bytes
    brackets: Array
    depth: Array
    last: bool

    @property
    def end(self) -> int | None:
        """Where what holds the entries is closed."""
        closed = np.flatnonzero(self.depth < 0)
        return int(self.brackets[closed[0]]) if len(closed) else None

    @property
    def cut(self) -> int | None:
        """The last comma between two entries."""
        for i in (*np.flatnonzero(self.depth == 0)[::-1].tolist(), -1):
            start = int(self.brackets[i]) if i >= 0 else 0
            stop = int(self.brackets[i + 1]) if i + 1 < len(self.brackets) else len(self.outside)
            comma = self.outside.rfind(b",", start, stop)
            if comma >= 0:
                return comma
        return None


def _window(stream: BinaryIO, start: int, size: int) -> _Window:
    stream.seek(start)
    content = stream.read(size)
    outside = _hide_strings(content)
    # The braces are the brackets with one more bit.
    letters = np.frombuffer(outside, np.uint8) | 0x20
    opens = letters == ord("{")
    brackets = np.flatnonzero(opens | (letters == ord("}")))
    return _Window(content, outside, brackets, np.cumsum(np.where(opens[brackets], 1, -1)), len(content) < size)


def _hide_strings(content: bytes) -> bytes:
    """The same, of the same length, without the brackets and commas inside strings."""
    if b"\\" in content:
        return _STRING.sub(lambda found: b"_" * len(found[0]), content)
    parts = content.split(b'"')
    inside = b"".join(parts[1::2])
    if not any(sign in inside for sign in (b"[", b"]", b"{", b"}", b",")):
        return content
    parts[1::2] = [b"_" * len(part) for part in parts[1::2]]
    return b'"'.join(parts)


def _list_pieces(stream: BinaryIO, start: int) -> tuple[list[tuple[int, int]], int]:
    """Stretches of whole entries of the list that begins there, and where it has ended."""
    pieces: list[tuple[int, int]] = []
    size = PIECE
    while True:
        window = _window(stream, start, size)
        end = window.end
        if end is not None:
            return [*pieces, (start, start + end)], start + end + 1
        cut = window.cut
        if cut is None:
            if window.last:
                raise ValueError
            size *= 2
            continue
        pieces.append((start, start + cut))
        start, size = start + cut + 1, PIECE


def _members(stream: BinaryIO, start: int, path: Path) -> tuple[dict[str, Any], int]:
    """The fields of the object that begins there, and where it has ended."""
    found: dict[str, Any] = {}
    size = PIECE
    while True:
        window = _window(stream, start, size)
        end = window.end
        if end is not None:
            found.update(load_json(b"{" + window.content[:end] + b"}"))
            return found, start + end + 1
        cut = window.cut
        if cut is not None:
            found.update(load_json(b"{" + window.content[:cut] + b"}"))
            start, size = start + cut + 1, PIECE
            continue
        member = _LIST_MEMBER.match(window.content)
        if member:
            pieces, place = _list_pieces(stream, start + member.end())
            found[load_json(member[1])] = LongList(path, pieces)
            sign, start = _token(stream, place)
            if sign == b"}":
                return found, start
            if sign != b",":
                raise ValueError
        elif window.last:
            raise ValueError
        else:
            size *= 2


def _token(stream: BinaryIO, start: int) -> tuple[bytes, int]:
    """The first byte that is no space, and the place behind it."""
    stream.seek(start)
    while sign := stream.read(1):
        if sign not in _SPACE:
            return sign, stream.tell()
    return b"", start
