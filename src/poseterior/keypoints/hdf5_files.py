"""HDF5 files before their format is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from ..files.hdf5 import open_h5

__all__ = ["HDF5File"]

#: So many names are looked at.
_MOST_NAMES = 1000


class HDF5File:
    """An HDF5 file.

    Attributes:
        path: where it is.
        names: of what stands at its top.
        pandas: of those, the tables that pandas wrote -> its name for their kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.opened() as file:
            self.names = tuple(name for name in islice(file, _MOST_NAMES) if isinstance(name, str))
            kinds = {name: _text(file[name].attrs.get("pandas_type")) for name in self.names}
        self.pandas = {name: kind for name, kind in kinds.items() if kind}

    def __repr__(self) -> str:
        return f"an HDF5 file that holds {', '.join(self.names[:8]) or 'nothing'}"

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The file, to read from.

        Raises:
            InputError: h5py is missing, or not a readable HDF5 file.
        """
        with open_h5(self.path, "hdf5") as file:
            yield file


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""
