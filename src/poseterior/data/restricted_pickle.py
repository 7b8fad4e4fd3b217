"""Pickle files read as plain data: numpy arrays of numbers or text, and Python's own containers.

A pickle is a program: whatever it names is imported and called. Here it can name nothing but the handful of
functions that numpy writes into pickled arrays, and even those are stood in for by our own, which build arrays
from checked parts: numpy's would trust a forged data type.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

__all__ = ["read_pickle"]

#: Data types that hold no references: bool, integers, floats, bytes, text.
_PLAIN_TYPE = re.compile(r"b1|[iuf]\d{1,2}|[SU]\d{1,6}")


class _RefusedError(pickle.UnpicklingError):
    """The pickle holds something that is not plain data."""


class _Dtype:
    """Stands in for ``numpy.dtype`` until its byte order is known."""

    def __init__(self, code: object, *_: object) -> None:
        if not (isinstance(code, str) and _PLAIN_TYPE.fullmatch(code)):
            raise _RefusedError(f"it holds an array of type {code!r}, not of plain numbers or text")
        self.numpy = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise _RefusedError("it holds an array of a compound type, not of plain numbers or text")
        self.numpy = self.numpy.newbyteorder(state[1])


def _plain_array(raw: object, dtype: object, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, _Dtype):
        raise _RefusedError("it holds an array of Python objects, not of plain numbers or text")
    return np.frombuffer(raw, dtype.numpy).reshape(shape, order=order)


class _Array(np.ndarray):
    """An empty array that takes its contents from a checked state."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        value = _plain_array(raw, dtype, shape, "F" if fortran else "C")
        checked = (1, value.shape, value.dtype, False, value.tobytes())
        super().__setstate__(checked)  # type: ignore[arg-type]


def _reconstruct(*_: object) -> np.ndarray:
    return _Array((0,), np.int8)


def _scalar(dtype: object, raw: object) -> Any:
    return _plain_array(raw, dtype, (), "C").item()


def _latin1(text: str, encoding: str) -> bytes:
    """How protocols before 3 write bytes."""
    if encoding != "latin1":
        raise _RefusedError(f"it holds bytes written as {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How protocols before 3 write bytes of length 0."""
    return b""


def _not_called(*_: object) -> None:
    raise _RefusedError("it calls numpy.ndarray")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _not_called,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _latin1,
}
for _module in ("__builtin__", "builtins"):  # Python 2 and 3
    _KNOWN[_module, "bytes"] = _no_bytes
    _KNOWN[_module, "set"] = set
    _KNOWN[_module, "frozenset"] = frozenset
for _module in ("numpy.core", "numpy._core"):  # numpy 1 and numpy 2
    _KNOWN[f"{_module}.multiarray", "_reconstruct"] = _reconstruct
    _KNOWN[f"{_module}.multiarray", "scalar"] = _scalar
    _KNOWN[f"{_module}.numeric", "_frombuffer"] = _plain_array


class _Callable:
    """What a name in the pickle becomes: it can be called, and nothing else (its attributes cannot be set)."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise _RefusedError("it changes a function")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise _RefusedError(f"it names {module}.{name}")
        return _Callable(_KNOWN[module, name])


def read_pickle(path: str | Path) -> Any:
    """Read a pickle of numpy arrays and builtin containers; nothing that it names is imported or run.

    Raises:
        InputError: no such file, not a whole pickle, or anything else in it than plain data.
    """
    try:
        with open(path, "rb") as file:
            return _Unpickler(file).load()
    except _RefusedError as refused:
        raise InputError(
            f"{path}: refused, {refused}; only numpy arrays and builtin containers are read from a pickle, and "
            "nothing in it was run: get the file anew from where it was published"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # a broken pickle raises many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: not a whole pickle file ({reason}); was it copied or downloaded to its end?"
        ) from None
