"""CDF files (NASA's Common Data Format): their records looked at before cdflib follows them.

cdflib believes what a file says of its numbers of dimensions, variables, attributes and records, and follows records
that point to themselves for ever. Layout: *CDF Internal Format Description*, version 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError

__all__ = ["check_cdf"]

#: The first eight bytes of a file of version 3 that is not compressed as a whole; others are not looked at.
_MAGIC = bytes.fromhex("cdf300010000ffff")
_MOST_DIMENSIONS, _MOST_RECORDS = 10, 10_000
#: Bytes of values, and beyond how many times the size of the file they may be.
_FREE_BYTES, _RATIO = 1024**3, 1000
#: Where the fields of the records stand: global description, variable, index of a variable's blocks.
_GDR = {"rVDRhead": 12, "zVDRhead": 20, "NrVars": 44, "NumAttr": 48, "rNumDims": 56, "NzVars": 60}
_VDR_NEXT, _VDR_MAXIMUM, _VDR_INDEX, _VDR_DIMENSIONS = 12, 24, 28, 340
_VXR, _VXR_NEXT, _VXR_ENTRIES, _VXR_FIRST = 6, 12, 20, 28


class _Bytes:
    """Big-endian numbers of a file."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def number(self, at: int, size: int) -> int:
        if not 0 <= at <= len(self.content) - size:
            raise InputError("not a readable CDF file (a record points beyond the file)")
        return int.from_bytes(self.content[at : at + size], "big", signed=True)

    def count(self, at: int, most: int, what: str) -> int:
        found = self.number(at, 4)
        if not 0 <= found <= most:
            raise InputError(f"not a readable CDF file (it claims {found} {what})")
        return found

    def chain(self, at: int, following: int) -> Iterator[int]:
        """Records that each say at ``following`` where the next one stands; the last says 0 or less."""
        seen: set[int] = set()
        while at > 0:
            if at in seen or len(seen) >= _MOST_RECORDS:
                raise InputError("not a readable CDF file (its records point to each other in a circle)")
            seen.add(at)
            yield at
            at = self.number(at + following, 8)


def check_cdf(path: Path) -> None:
    """Refuse a file whose records go in circles or claim absurd numbers.

    Raises:
        InputError: such a file. The message does not name it.
    """
    data = _Bytes(path.read_bytes())
    if data.content[:8] != _MAGIC:
        return
    description = data.number(8 + 12, 8)
    place = {name: description + offset for name, offset in _GDR.items()}
    for name in ("NrVars", "NzVars", "NumAttr"):
        data.count(place[name], _MOST_RECORDS, "variables or attributes")
    data.count(place["rNumDims"], _MOST_DIMENSIONS, "dimensions")
    for head in ("rVDRhead", "zVDRhead"):
        for record in data.chain(data.number(place[head], 8), _VDR_NEXT):
            _check_variable(data, record, own_dimensions=head == "zVDRhead")


def _check_variable(data: _Bytes, record: int, own_dimensions: bool) -> None:
    records = data.number(record + _VDR_MAXIMUM, 4) + 1
    sizes = [1]
    if own_dimensions:
        count = data.count(record + _VDR_DIMENSIONS, _MOST_DIMENSIONS, "dimensions")
        sizes = [data.number(record + _VDR_DIMENSIONS + 4 + 4 * i, 4) for i in range(count)]
    claimed = 8 * max(records, 0) * math.prod(sizes)
    if min(sizes, default=0) < 0 or (claimed > _FREE_BYTES and claimed > _RATIO * len(data.content)):
        raise InputError(f"not a readable CDF file (it claims {records} records of shape {tuple(sizes)})")
    _check_index(data, data.number(record + _VDR_INDEX, 8), set())


def _check_index(data: _Bytes, at: int, above: set[int]) -> None:
    """Blocks of values, or further indices of such."""
    for record in data.chain(at, _VXR_NEXT):
        if record in above or len(above) > _MOST_DIMENSIONS:
            raise InputError("not a readable CDF file (its records point to each other in a circle)")
        entries = data.count(record + _VXR_ENTRIES, _MOST_RECORDS, "blocks")
        used = data.count(record + _VXR_ENTRIES + 4, entries, "blocks")
        first, last = record + _VXR_FIRST, record + _VXR_FIRST + 4 * entries
        for i in range(used):
            if not 0 <= data.number(first + 4 * i, 4) <= data.number(last + 4 * i, 4):
                raise InputError("not a readable CDF file (a block of it ends before it begins)")
            block = data.number(record + _VXR_FIRST + 8 * entries + 8 * i, 8)
            if data.number(block + 8, 4) == _VXR:
                _check_index(data, block, above | {record})
