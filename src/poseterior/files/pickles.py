"""Pickle files read as plain data: numpy arrays of numbers or text, and Python's own containers.

Files that Python 2 wrote are read as with ``encoding="latin1"``: their byte strings become text.

A pickle is a program: whatever it names is imported and called. Here it can name nothing but the handful of
functions that numpy writes into pickled arrays, and even those are stood in for by our own, which build arrays
from checked parts: numpy's would trust a forged data type. What could only exhaust the machine is refused too.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from .errors import InputError
from .npz import check_entry

__all__ = [
    "KNOWN",
    "PlainUnpickler",
    "RefusedError",
    "Room",
    "explained",
    "read_npz_dictionary",
    "read_pickle",
    "read_pickle_bytes",
    "refuse_bombs",
]

#: Data types that hold no references: bool, integers, floats, bytes, text.
_PLAIN_TYPE = re.compile(r"b1|[iuf]\d{1,2}|[SU]\d{1,6}")
#: What numpy calls the type of an array of Python objects.
_OBJECTS = "O8"
#: Tuples within tuples: pickled arrays have two. Beyond, hashing one takes forever or overflows the stack.
_DEEPEST = 10


class RefusedError(pickle.UnpicklingError):
    """The pickle holds something that is not plain data."""


class Room:
    """Bytes that may still be made: a pickle holds each array's once, so that more is one of them made again."""

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise RefusedError("it unpacks to more than it holds")


class _Dtype:
    """Stands in for ``numpy.dtype`` until its byte order is known."""

    def __init__(self, code: object, *_: object) -> None:
        if not (isinstance(code, str) and (_PLAIN_TYPE.fullmatch(code) or code == _OBJECTS)):
            raise RefusedError(f"it holds an array of type {code!r}, not of plain numbers or text")
        self.numpy = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise RefusedError("it holds an array of a compound type, not of plain numbers or text")
        self.numpy = self.numpy.newbyteorder(state[1])


def _plain_array(room: Room, raw: object, dtype: object, shape: Any, order: Any) -> np.ndarray:
    if isinstance(raw, str):  # Python 2's bytes
        raw = raw.encode("latin1")
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, _Dtype):
        raise RefusedError("it holds an array of Python objects, not of plain numbers or text")
    room.take(len(raw))
    return np.frombuffer(raw, dtype.numpy).reshape(shape, order=order)


class _Array(np.ndarray):
    """An empty array that takes its contents from a checked state."""

    room: Room

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        if isinstance(dtype, _Dtype) and dtype.numpy.hasobject:
            # How numpy saves a dictionary. Nothing else: arrays in arrays could be nested until the stack overflows.
            if shape != () or not isinstance(raw, list) or len(raw) != 1 or not isinstance(raw[0], dict):
                raise RefusedError(f"it holds an array of type {_OBJECTS!r}, not of plain numbers or text")
            super().__setstate__((1, (), dtype.numpy, False, list(raw)))  # type: ignore[arg-type]
            return
        value = _plain_array(self.room, raw, dtype, shape, "F" if fortran else "C")
        checked = (1, value.shape, value.dtype, False, value.tobytes())
        super().__setstate__(checked)  # type: ignore[arg-type]


def _reconstruct(room: Room, *_: object) -> np.ndarray:
    array = _Array((0,), np.int8)
    array.room = room
    return array


def _scalar(room: Room, dtype: object, raw: object) -> Any:
    return _plain_array(room, raw, dtype, (), "C").item()


def _dtype(_: Room, *arguments: object) -> _Dtype:
    return _Dtype(*arguments)


def _latin1(room: Room, text: str, encoding: str) -> bytes:
    """How protocols before 3 write bytes."""
    if encoding != "latin1":
        raise RefusedError(f"it holds bytes written as {encoding!r}")
    room.take(len(text))
    return text.encode("latin1")


def _no_bytes(_: Room) -> bytes:
    """How protocols before 3 write bytes of length 0."""
    return b""


def _not_called(*_: object) -> None:
    raise RefusedError("it calls numpy.ndarray")


#: Module and name of what a pickle may name, and our own function that stands in for it.
KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _not_called,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _latin1,
}
for _module in ("__builtin__", "builtins"):  # Python 2 and 3
    KNOWN[_module, "bytes"] = _no_bytes
for _module in ("numpy.core", "numpy._core"):  # numpy 1 and numpy 2
    KNOWN[f"{_module}.multiarray", "_reconstruct"] = _reconstruct
    KNOWN[f"{_module}.multiarray", "scalar"] = _scalar
    KNOWN[f"{_module}.numeric", "_frombuffer"] = _plain_array


class _Callable:
    """What a name in the pickle becomes: it can be called, and nothing else (its attributes cannot be set)."""

    __slots__ = ("_function", "_room")

    def __init__(self, function: Callable[..., Any], room: Room) -> None:
        self._function, self._room = function, room

    def __call__(self, *arguments: Any) -> Any:
        return self._function(self._room, *arguments)

    def __setstate__(self, state: object) -> None:
        raise RefusedError("it changes a function")


class PlainUnpickler(pickle.Unpickler):
    """Reads plain data; what a pickle names must be in `known`.

    Args:
        file: at the begin of a pickle that `refuse_bombs` let pass.
        room: for what is made of its bytes.
    """

    known: Mapping[tuple[str, str], Callable[..., Any]] = KNOWN

    def __init__(self, file: IO[bytes], room: Room) -> None:
        super().__init__(file, encoding="latin1")
        self._room = room

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.known:
            raise RefusedError(f"it names {module}.{name}")
        return _Callable(self.known[module, name], self._room)


def refuse_bombs(file: IO[bytes]) -> None:
    """Go through the instructions, of which none is followed, for those that only exhaust the machine.

    Python's unpickler makes room for the highest number that an object is remembered by, and hashes tuples in a
    recursion that nothing bounds.
    """
    depth: list[int | None] = []  # of the tuples on the stack; None: a mark
    remembered: dict[int, int | None] = {}
    argument: Any
    for step, (code, argument, _) in enumerate(pickletools.genops(file)):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            number = len(remembered) if argument is None else argument
            if not 0 <= number <= step:
                raise RefusedError(f"it numbers an object {number} after {step} instructions")
            remembered[number] = depth[-1]
            continue
        if code.name in ("GET", "BINGET", "LONG_BINGET"):
            depth.append(remembered[argument])
            continue
        before = code.stack_before
        inside: list[int | None] = []
        if pickletools.markobject in before:
            while (top := depth.pop()) is not None:
                inside.append(top)
            before = before[: before.index(pickletools.markobject)]
        inside += [depth.pop() for _ in before]
        deepest = 1 + max((d for d in inside if d is not None), default=0) if "TUPLE" in code.name else 0
        if deepest > _DEEPEST:
            raise RefusedError(f"it holds tuples nested more than {_DEEPEST} deep")
        if code.name == "DUP":
            depth += [inside[0], inside[0]]
        else:
            depth += [None if kind is pickletools.markobject else deepest for kind in code.stack_after]


def _load(file: IO[bytes], size: int) -> Any:
    """The pickle from where the file stands to its end."""
    start = file.tell()
    refuse_bombs(file)
    file.seek(start)
    # Twice the size: older protocols make an array's bytes from text, then the array from these.
    return PlainUnpickler(file, Room(2 * size)).load()


@contextmanager
def explained(
    path: str | Path,
    allowed: str = "only numpy arrays and builtin containers are read from a pickle",
    kind: str = "pickle",
) -> Iterator[None]:
    """Errors of reading as `InputError` that names the file.

    Args:
        path: the file.
        allowed: what is read, for messages.
        kind: of file.
    """
    try:
        yield
    except InputError:
        raise
    except RefusedError as refused:
        raise InputError(
            f"{path}: refused, {refused}; {allowed}, and nothing in it was run: get the file anew from where it was "
            "published"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # a broken pickle raises many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, LookupError):  # of the machine that reads pickles: its message is a number
            reason = "its instructions are no pickle's"
        found = "npz" if isinstance(error, zipfile.BadZipFile) and kind == "pickle" else kind
        raise InputError(
            f"{path}: not a whole {found} file ({reason}); was it copied or downloaded to its end?"
        ) from None


def read_pickle(path: str | Path) -> Any:
    """Read a pickle of numpy arrays and builtin containers; nothing that it names is imported or run.

    Raises:
        InputError: no such file, not a whole pickle, or anything else in it than plain data.
    """
    with explained(path), open(path, "rb") as file:
        return _load(file, os.fstat(file.fileno()).st_size)


def read_pickle_bytes(raw: bytes, what: str) -> Any:
    """A pickle that stands inside another file, as `read_pickle` reads one.

    Args:
        raw: the pickle.
        what: it is, for messages.

    Raises:
        InputError: as `read_pickle`.
    """
    with explained(what):
        return _load(io.BytesIO(raw), len(raw))


def read_npz_dictionary(path: str | Path, name: str) -> dict[Any, Any]:
    """The dictionary that ``np.savez(path, name=dictionary)`` saved: a pickle, read as `read_pickle` does.

    Raises:
        InputError: as `read_pickle`; not a whole npz file, no array of that name, or one that is no dictionary.
    """
    with explained(path), zipfile.ZipFile(path) as archive:
        names = [member.removesuffix(".npy") for member in archive.namelist()]
        if name not in names:
            raise InputError(f"{path}: {name!r} is missing; the file holds: {', '.join(names[:20]) or 'nothing'}")
        check_entry(archive.getinfo(f"{name}.npy"), f"{path}: {name!r}")
        member = io.BytesIO(archive.read(f"{name}.npy"))
        version = np.lib.format.read_magic(member)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(member)
        found = _load(member, member.getbuffer().nbytes).item() if shape == () and dtype.hasobject else None
    if not isinstance(found, dict):
        raise InputError(f"{path}: {name!r} is {dtype} {shape}; expected a dictionary, as np.savez saves one")
    return found
