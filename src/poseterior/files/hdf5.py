"""What the readers of HDF5 files share. Files are opened for reading only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import absent, quote, reason
from .errors import InputError
from .extras import need

#: A dataset may have this many bytes, and beyond no more than this times the size of its file.
FREE_BYTES, MAXIMUM_RATIO = 1024**3, 1000

__all__ = [
    "check_size",
    "open_h5",
    "read_numbers",
    "read_texts",
]


@contextmanager
def open_h5(path: str | Path, extra: str = "h36m") -> Iterator[Any]:
    """An ``h5py.File`` to read from.

    Args:
        path: of the file.
        extra: that h5py comes with, for the message where it is missing.

    Raises:
        InputError: h5py is not installed, no such file, or one that cannot be read, now or while it is open.
    """
    need(extra, "h5py", f"{path}: reading HDF5 files")
    import h5py

    if not Path(path).is_file():
        raise InputError(f"{path}: {absent(path)}")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # as h5py calls what HDF5 stumbles over
        raise InputError(f"{path}: not a readable HDF5 file ({reason(error)})") from None


def _dataset(file: Any, name: str) -> Any:
    import h5py

    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        held = ", ".join(key[:40] if isinstance(key, str) else quote(key)[:40] for key in islice(file, 20)) or "nothing"
        raise InputError(f"{file.filename}: {name!r} is missing; the file holds: {held}")
    check_size(found)
    return found


def check_size(found: Any) -> None:
    """Refuse a dataset that claims to unpack out of all proportion to its file.

    Raises:
        InputError: names the file and the dataset.
    """
    import h5py

    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{found.file.filename}: {found.name.lstrip('/')!r} is a group; expected an array")
    name, filename = found.name.lstrip("/"), found.file.filename
    claimed, stored = int(found.size or 0) * max(8, found.dtype.itemsize), os.path.getsize(filename)
    if claimed > FREE_BYTES and claimed > MAXIMUM_RATIO * stored:
        raise InputError(
            f"{filename}: {name!r}: {stored:,} bytes claim to unpack to {claimed:,}; refused as a decompression bomb"
        )


def read_numbers(file: Any, name: str) -> NDArray[np.float64]:
    """An array of numbers of an open file.

    Raises:
        InputError: it is missing, or holds something else.
    """
    found = _dataset(file, name)
    if found.dtype.kind not in "fiu":
        raise InputError(f"{file.filename}: {name!r} holds {found.dtype}; expected numbers")
    return np.asarray(found, dtype=np.float64)


def read_texts(file: Any, name: str) -> list[str]:
    """A list of texts of an open file, stored as bytes of fixed or variable length.

    Raises:
        InputError: it is missing, holds something else, or has not one dimension.
    """
    import h5py

    found = _dataset(file, name)
    if h5py.check_string_dtype(found.dtype) is None or found.ndim != 1:
        raise InputError(f"{file.filename}: {name!r} is {found.dtype} {found.shape}; expected text, one per row")
    return [str(text) for text in found.asstr(errors="replace")[()]]
