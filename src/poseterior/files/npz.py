"""npy and npz archives. Every header is checked against the bytes that are there before use."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from .checks import Array, cut, quote, reason
from .errors import InputError

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")

#: An npz entry may unpack to this much, and beyond `FREE_BYTES` to no more than this times its packed size.
MAXIMUM_BYTES = 4 * 1024**3
FREE_BYTES = 64 * 1024**2
MAXIMUM_RATIO = 100


# -- files ---------------------------------------------------------------------------------------------


def read_header(stream: IO[bytes], what: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an npy array; the stream is left where its numbers begin.

    Args:
        stream: at the begin of the array.
        what: the array, for messages.

    Raises:
        InputError: no such header, or one of an array that there cannot be.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(stream)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            header = None if read is None else read(stream)
    except Exception as error:  # whatever NumPy's parser meets in a broken or hostile header
        raise InputError(f"{what}: not a readable npy header ({reason(error)[:80]})") from None
    if header is None:
        raise InputError(f"{what}: npy version {version} holds no plain array of numbers")
    shape, _, dtype = header
    if any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for n in shape) or len(shape) > 32:
        raise InputError(f"{what}: the header claims the impossible shape {quote(shape)}")
    if dtype.itemsize == 0 or (0 in shape and math.prod(n for n in shape if n) > MAXIMUM_BYTES):
        # an array of nothing, as often as one likes
        raise InputError(f"{what}: the header claims an impossible array of {cut(str(dtype))}, shape {quote(shape)}")
    return shape, dtype


def check_header(stream: IO[bytes], available: int, kinds: str, what: str) -> None:
    """Read an npy header and refuse it before anything of the size that it claims is allocated.

    Args:
        stream: at the begin of the array.
        available: bytes of the whole array, with its header.
        kinds: of number that it may hold (NumPy's dtype.kind).
        what: the array, for messages.

    Raises:
        InputError: as `read_header`; Python objects, another kind, or more than there is.
    """
    shape, dtype = read_header(stream, what)
    if dtype.hasobject:
        raise InputError(f"{what}: holds Python objects (a pickle), which are never loaded; save numbers instead")
    if dtype.kind not in kinds:
        raise InputError(f"{what}: holds {cut(str(dtype))}; expected {_expected(kinds)}")
    claimed = math.prod(shape) * dtype.itemsize
    present = available - stream.tell()
    if claimed > present:
        raise InputError(
            f"{what}: the header claims {claimed} bytes (shape {quote(shape)}), the file holds {present}; is it "
            "truncated?"
        )


def _expected(kinds: str) -> str:
    return "an array of text" if kinds == "U" else "an array of numbers"


@contextmanager
def open_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive of an npz file; whatever goes wrong while it is read becomes an `InputError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (InputError, FileNotFoundError):
        raise
    except Exception as error:  # zipfile, zlib, bz2 and lzma raise many kinds
        raise InputError(f"npz: not a readable archive ({reason(error)}); is it truncated?") from None


def check_entry(info: zipfile.ZipInfo, what: str) -> None:
    """Refuse an entry that claims to unpack out of all proportion."""
    excessive = info.file_size > FREE_BYTES and info.file_size > MAXIMUM_RATIO * info.compress_size
    if excessive or info.file_size > MAXIMUM_BYTES:
        raise InputError(
            f"{what}: {info.compress_size} bytes claim to unpack to {info.file_size}; refused as a decompression bomb"
        )


def load_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, kinds: str) -> Array:
    """An array of an npz file, of these kinds (NumPy's dtype.kind) and of no more than a plausible size."""
    what = f"npz entry {info.filename[:60]!r}"
    check_entry(info, what)
    with archive.open(info) as stream:
        check_header(stream, info.file_size, kinds, what)
    with archive.open(info) as stream:
        try:
            array: Any = np.lib.format.read_array(stream, allow_pickle=False)
        except ValueError as error:
            raise InputError(f"{what}: cannot be read ({reason(error)})") from None
    return np.asarray(array)


def read_arrays(path: Path, kinds: Mapping[str, str]) -> dict[str, Array]:
    """Those of the arrays named that an npz file holds; others are not looked at.

    Args:
        path: the file.
        kinds: name -> kinds of number (NumPy's dtype.kind) that the array may hold.

    Raises:
        InputError: not an npz file or a broken one, pickled objects, another kind, a header that claims more than the
            file holds, an archive that unpacks out of all proportion. The message does not name the file.
    """
    with open_npz(path) as archive:
        entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        return {name: load_entry(archive, entries[name], kinds[name]) for name in kinds if name in entries}


def load_npy(path: Path, kinds: str, what: str = "array") -> Array:
    """The array of an npy file.

    Raises:
        InputError: as `read_arrays`.
    """
    with path.open("rb") as stream:
        check_header(stream, path.stat().st_size, kinds, what)
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{what}: cannot be read ({reason(error)})") from None
