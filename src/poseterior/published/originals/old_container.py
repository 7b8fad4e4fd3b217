"""PyTorch's container from before 1.6, written so that the same tensors always give the same bytes.

``torch.save`` names the storages of that container by their addresses in memory, and writes them in the order of these
names. Here they are numbered as they are met. PyTorch 0.3, whose container it is, reads both alike.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["save_old"]

_MAGIC, _PROTOCOL, _PICKLE = 0x1950A86A20F9469CFC6C, 1001, 2
_SYSTEM = {"protocol_version": _PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
_STORAGES = {"<f4": torch.FloatStorage, "<f8": torch.DoubleStorage, "<i8": torch.LongStorage}


@dataclass(frozen=True, eq=False)
class _Storage:
    """The numbers of one tensor, in a row and little-endian, and what they are called."""

    key: str
    numbers: NDArray[Any]


class _Pickler(pickle.Pickler):
    """Keeps the numbers of tensors apart, each under its own number."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, protocol=_PICKLE)
        self.storages: list[_Storage] = []

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, torch.Tensor):
            return NotImplemented
        numbers = np.ascontiguousarray(obj.detach().cpu().numpy()).reshape(-1)
        self.storages.append(_Storage(str(len(self.storages)), numbers.astype(numbers.dtype.newbyteorder("<"))))
        steps = torch.empty(obj.shape).stride()
        parts: tuple[Any, ...] = (self.storages[-1], 0, tuple(obj.shape), tuple(steps), False, OrderedDict())
        return torch._utils._rebuild_tensor_v2, parts

    def persistent_id(self, obj: object) -> tuple[object, ...] | None:
        if not isinstance(obj, _Storage):
            return None
        return "storage", _STORAGES[obj.numbers.dtype.str], obj.key, "cpu", len(obj.numbers), None


def save_old(content: object, path: str | Path) -> None:
    """Write what ``torch.save(content, path, _use_new_zipfile_serialization=False)`` does, but for the names.

    Args:
        content: dictionaries, lists, numbers, text, and tensors of float32, float64 or int64, each with numbers of its
            own.
        path: the file.
    """
    with open(path, "wb") as file:
        for head in (_MAGIC, _PROTOCOL, _SYSTEM):
            pickle.dump(head, file, protocol=_PICKLE)
        pickler = _Pickler(file)
        pickler.dump(content)
        pickle.dump([storage.key for storage in pickler.storages], file, protocol=_PICKLE)
        for storage in pickler.storages:
            file.write(struct.pack("<q", len(storage.numbers)))
            file.write(storage.numbers.tobytes())
