"""Arrays larger than memory: on the disk, where the system reads what is being looked at."""

from __future__ import annotations

import mmap
import tempfile
from typing import IO, Any

import numpy as np

from .checks import Array

__all__ = ["GrowingArray", "is_mapped", "let_go", "map_array"]


def map_array(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], offset: int = 0) -> Array:
    """What stands in a file as an array that is read when it is looked at, and cannot be written to."""
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(file, dtype, "r", offset, shape)


def is_mapped(array: Array) -> bool:
    """Whether an array, or what it is a view of, is mapped."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False


def let_go(array: Array) -> None:
    """Give back the memory that looking at a mapped array has taken: it is read again when it is looked at again."""
    base: Any = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


class GrowingArray:
    """An array that is written row by row, and then mapped; its file goes with it.

    Args:
        dtype: of the numbers.
        row: shape of a row.
    """

    def __init__(self, dtype: np.dtype[Any], row: tuple[int, ...]) -> None:
        self.dtype, self.row = dtype, row
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the array is)
        self.rows = 0

    def add(self, rows: Array) -> None:
        """Append rows."""
        np.ascontiguousarray(rows, self.dtype).tofile(self._file)
        self.rows += len(rows)

    def finish(self) -> Array:
        """All of it."""
        self._file.flush()
        return map_array(self._file, self.dtype, (self.rows, *self.row))
