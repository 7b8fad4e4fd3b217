"""What ``torch.save`` wrote, read without running any of it: zip files, and the older ones from before PyTorch 1.6.

A file of weights is a pickle beside raw numbers, so it is read as `poseterior.files.pickles` reads one: names are
looked up in a short table of ours, and nothing else is imported or called. Tensors become views of checked bytes;
objects of classes that nobody has become inert data, for whoever wrote them put their options beside their weights.
Old files are often Python 2's, whose byte strings become text, and name storages on a graphics card, which are numbers
like others. ``torch.load(weights_only=True)`` refuses most of these files, and without it they could run anything.
"""

from __future__ import annotations

import io
import math
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .npz import ZIP_MAGIC, check_entry
from .pickles import KNOWN, PlainUnpickler, RefusedError, Room, explained, refuse_bombs

__all__ = ["Inert", "StoredTensor", "read_torch"]

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_ALLOWED = "only tensors, numpy arrays and plain data are read from a file of weights"
#: Storage -> type of its numbers; bfloat16, which numpy lacks, is read as its two bytes.
_STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bf", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "b1",
}  # fmt: skip
#: Libraries of which a pickle of weights may name nothing but what is known here: they can do harm.
_GUARDED = {
    *sys.stdlib_module_names,
    "__builtin__",
    "copy_reg",
    "nt",
    "commands",
    "popen2",
    "cPickle",
    "numpy",
    "torch",
}
#: Their classes that only hold data.
_DATA = {("argparse", "Namespace"), ("__builtin__", "object"), ("builtins", "object")}
_DATA |= {(module, name) for module in ("__builtin__", "builtins") for name in ("list", "dict", "int", "float", "str")}


class Inert:
    """An object of a class that is not here: what the file says of it, and no behaviour.

    Attributes:
        of: the class, as ``module.Name``.
        arguments: that it was made with.
        state: what it held; None for nothing.
    """

    of = ""

    def __new__(cls, *arguments: object) -> Inert:
        made = super().__new__(cls)
        made.arguments, made.state, made.items = arguments, None, []
        return made

    def __init__(self, *_: object) -> None:
        self.arguments: tuple[object, ...]
        self.state: Any
        self.items: list[Any]

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        self.items.append((key, value))

    def append(self, value: object) -> None:
        self.items.append(value)

    def extend(self, values: Any) -> None:
        self.items += values

    def __repr__(self) -> str:
        return f"<{self.of}>"


class _Dictionary(dict[Any, Any]):
    """Stands in for ordered dictionaries: keeps no attributes."""

    def __setstate__(self, state: object) -> None:
        """PyTorch hangs the versions of layers on them."""


class _Storage:
    """Numbers in a row, somewhere in the file."""

    def __init__(self, kind: str, key: str, count: int) -> None:
        self.kind, self.key, self.count = kind, key, count
        self.read: Callable[[], bytes] | None = None
        self.file: str | Path = ""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.count * (2 if self.kind == "bf" else np.dtype(self.kind).itemsize)

    def numbers(self, order: str) -> NDArray[Any]:
        raw = b"" if self.read is None else self.read()
        if self.read is None or len(raw) != self.size:
            raise RefusedError(f"it lacks the numbers of storage {self.key[:40]!r}")
        if self.kind != "bf":
            return np.frombuffer(raw, np.dtype(order + self.kind))
        return (np.frombuffer(raw, np.dtype(f"{order}u2")).astype(np.uint32) << 16).view(np.float32)


class StoredTensor:
    """A tensor of the file.

    Attributes:
        shape: its sizes.
    """

    def __init__(self, storage: object, offset: object, shape: object, stride: object) -> None:
        if not isinstance(storage, _Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
            raise RefusedError("it holds a tensor without numbers")
        whole = (offset, *shape, *stride)
        if len(shape) != len(stride) or not all(type(n) is int and n >= 0 for n in whole):
            raise RefusedError("it holds a tensor of impossible sizes")
        count = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        # one number shown many times over would unpack to more than there is
        if count > storage.count or (count and last >= storage.count):
            raise RefusedError(f"it holds a tensor of shape {shape!r:.60} in a storage of {storage.count} numbers")
        self.shape: tuple[int, ...] = shape
        self._storage, self._offset, self._stride = storage, offset, stride
        self._order = "<"

    def numpy(self) -> NDArray[Any]:
        """Its numbers, in this machine's byte order; raises `InputError` where the file does not hold them."""
        with explained(self._storage.file, _ALLOWED, "PyTorch"):
            flat = self._storage.numbers(self._order)
        steps = [n * flat.itemsize for n in self._stride]
        view = np.lib.stride_tricks.as_strided(flat[self._offset :], self.shape, steps, writeable=False)
        return view.astype(flat.dtype.newbyteorder("="))


# -- names -------------------------------------------------------------------------------------------------


def _tensor(_: Room, storage: object, offset: object, shape: object, stride: object, *__: object) -> StoredTensor:
    return StoredTensor(storage, offset, shape, stride)


def _parameter(_: Room, data: object, *__: object) -> object:
    return data


def _dictionary(_: Room, *arguments: Any) -> _Dictionary:
    pairs = [a for a in arguments if isinstance(a, list | dict)]
    return _Dictionary(pairs[0]) if pairs else _Dictionary()


def _values(_: Room, values: Any = ()) -> list[Any]:
    return list(values)


def _size(_: Room, values: Any = ()) -> tuple[Any, ...]:
    return tuple(values)


def _device(_: Room, *place: object) -> str:
    return ":".join(str(part)[:20] for part in place)


def _object(_: Room, kind: object, *__: object) -> Inert:
    """How protocols before 2 make objects."""
    if not (isinstance(kind, type) and issubclass(kind, Inert)):
        raise RefusedError("it makes an object of no class")
    return kind()


_NAMES: dict[tuple[str, str], Callable[..., Any]] = {
    **KNOWN,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): _size,
    ("torch", "device"): _device,
    ("collections", "OrderedDict"): _dictionary,
    ("collections", "defaultdict"): _dictionary,
    ("copy_reg", "_reconstructor"): _object,
    ("copyreg", "_reconstructor"): _object,
    **{(module, name): _values for module in ("__builtin__", "builtins") for name in ("set", "frozenset")},
}


class _Unpickler(PlainUnpickler):
    known = _NAMES

    def __init__(self, file: IO[bytes], room: Room) -> None:
        super().__init__(file, room)
        self.storages: dict[str, _Storage] = {}
        self._classes: dict[tuple[str, str], type[Inert] | str] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.cuda") and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) in self.known:
            return super().find_class(module, name)
        if module.partition(".")[0] in _GUARDED and (module, name) not in _DATA:
            raise RefusedError(f"it names {module[:60]}.{name[:60]}")
        if (module, name) not in self._classes:
            self._classes[module, name] = type("Inert", (Inert,), {"of": f"{module}.{name}"})
        return self._classes[module, name]

    def persistent_load(self, what: Any) -> _Storage:
        """A storage: its type, its key, where it was, how many numbers; perhaps (old files) that it is part of one."""
        if not (isinstance(what, tuple) and 5 <= len(what) <= 6 and what[0] == "storage"):
            raise RefusedError("it refers to something that is no storage of numbers")
        kind, key, count = what[1], what[2], what[4]
        if kind not in _STORAGES.values() or not isinstance(key, str) or type(count) is not int or count < 0:
            raise RefusedError("it refers to a storage of unknown numbers")
        if len(what) == 6 and what[5] is not None:
            raise RefusedError("it refers to a part of a storage; save the tensors anew, each of its own")
        found = self.storages.setdefault(key, _Storage(kind, key, count))
        if (found.kind, found.count) != (kind, count):
            raise RefusedError(f"it refers to storage {key[:40]!r} in two ways")
        return found


# -- containers --------------------------------------------------------------------------------------------


def read_torch(path: str | Path) -> Any:
    """The content of a file that ``torch.save`` wrote, in either container: plain data, `StoredTensor` and `Inert`.

    Numbers are read when a tensor is asked for them (`StoredTensor.numpy`); until then the file must stay.

    Raises:
        InputError: no such file, no file of PyTorch's, one that is not whole, or one that names what has no place in
            a file of weights. Nothing in it is run.
    """
    with explained(path, _ALLOWED, "PyTorch"), open(path, "rb") as file:
        start = file.read(4)
        file.seek(0)
        raw = io.BytesIO(file.read())
        return _read_zip(raw, path) if start in ZIP_MAGIC else _read_legacy(raw, path)


def _unpickled(file: IO[bytes], size: int, path: str | Path) -> tuple[Any, Mapping[str, _Storage]]:
    start = file.tell()
    refuse_bombs(file)
    file.seek(start)
    reader = _Unpickler(file, Room(2 * size))
    content = reader.load()
    for storage in reader.storages.values():
        storage.file = path
    return content, reader.storages


def _read_zip(file: io.BytesIO, path: str | Path) -> Any:
    archive = zipfile.ZipFile(file)
    entries = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in entries if name.split("/")[-1] == "data.pkl" and name.count("/") <= 1]
    if len(pickles) != 1:
        raise InputError(f"{path}: a zip file, but not one of PyTorch's: it holds no data.pkl")
    place = pickles[0].removesuffix("data.pkl")
    for name, info in entries.items():
        check_entry(info, f"{path}: {name[:60]!r}")
        if info.compress_type != zipfile.ZIP_STORED:
            raise InputError(f"{path}: {name[:60]!r} is compressed; PyTorch's files are not: save it anew")
    order = archive.read(f"{place}byteorder") if f"{place}byteorder" in entries else b"little"
    content, storages = _unpickled(io.BytesIO(archive.read(pickles[0])), entries[pickles[0]].file_size, path)
    size = file.getbuffer().nbytes
    # the last record of an archive: 22 bytes, and a comment, which PyTorch does not write
    end = file.getvalue().rfind(b"PK\5\6") + 22 + len(archive.comment)
    if end != size:
        raise InputError(f"{path}: {_beyond(size - end)}")
    room = Room(size)
    for key, storage in storages.items():
        held = entries.get(f"{place}data/{key}")
        if held is None or held.file_size != storage.size:
            raise RefusedError(f"it lacks the numbers of storage {key[:40]!r}")
        room.take(storage.size)  # entries that overlap would be more than the file
        storage.read = lambda name=held.filename: archive.read(name)
    if order != b"little":
        raise InputError(f"{path}: written on a big-endian machine; save it anew on a usual one")
    return content


def _read_legacy(file: io.BytesIO, path: str | Path) -> Any:
    size = file.getbuffer().nbytes
    try:
        magic = _unpickled(file, size, path)[0]
    except RefusedError:
        raise
    except Exception:  # whatever a pickle that is none gives
        magic = None
    if magic != _MAGIC or type(magic) is not int:
        raise InputError(f"{path}: not a file of PyTorch's (torch.save); is it the right one, and whole?")
    protocol, system = (_unpickled(file, size, path)[0] for _ in range(2))
    if protocol != _PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise InputError(f"{path}: an unknown kind of PyTorch's files (protocol {protocol!r:.20}); save it anew")
    content, storages = _unpickled(file, size, path)
    keys = _unpickled(file, size, path)[0]
    if not isinstance(keys, list) or set(map(str, keys)) != set(storages) or len(keys) != len(storages):
        raise RefusedError("it names other storages than it holds")
    whole = file.getvalue()
    for key in keys:
        storage, start = storages[str(key)], file.tell() + 8
        count = int.from_bytes(whole[start - 8 : start], "little")
        if count != storage.count or start + storage.size > size:
            raise RefusedError(f"it lacks the numbers of storage {str(key)[:40]!r}; is it whole?")
        storage.read = lambda start=start, end=start + storage.size: whole[start:end]
        file.seek(start + storage.size)
    if file.tell() != size:
        raise InputError(f"{path}: {_beyond(size - file.tell())}")
    return content


def _beyond(count: int) -> str:
    return f"goes on for {count:,} bytes where a file of PyTorch's ends; is it damaged? Get it anew"
