"""npy and npz archives. Every header is checked against the bytes that are there before use."""

from __future__ import annotations

import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from .checks import Array
from .errors import InputError

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")

#: An npz entry may unpack to this much, and beyond `FREE_BYTES` to no more than this times its packed size.
MAXIMUM_BYTES = 4 * 1024**3
FREE_BYTES = 64 * 1024**2
MAXIMUM_RATIO = 100


# -- files ---------------------------------------------------------------------------------------------


def check_header(stream: IO[bytes], available: int, kinds: str, what: str) -> None:
    """Read an npy header and refuse it before anything of the size that it claims is allocated."""
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        header = None if read is None else read(stream)
    except Exception as error:  # whatever NumPy's parser meets in a broken or hostile header
        raise InputError(f"{what}: not a readable npy header ({str(error).splitlines()[0][:80]})") from None
    if header is None:
        raise InputError(f"{what}: npy version {version} holds no plain array of numbers")
    shape, _, dtype = header
    if dtype.hasobject:
        raise InputError(f"{what}: holds Python objects (a pickle), which are never loaded; save numbers instead")
    if dtype.kind not in kinds:
        raise InputError(f"{what}: holds {dtype}; expected an array of numbers")
    if any(not isinstance(n, int) or n < 0 for n in shape):
        raise InputError(f"{what}: the header claims the impossible shape {shape}")
    claimed = math.prod(shape) * dtype.itemsize
    present = available - stream.tell()
    if claimed > present:
        raise InputError(
            f"{what}: the header claims {claimed} bytes (shape {shape}), the file holds {present}; is it truncated?"
        )


@contextmanager
def open_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive of an npz file; whatever goes wrong while it is read becomes an `InputError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
        RuntimeError,
        OSError,
        EOFError,
        UnicodeError,
    ) as error:
        raise InputError(f"npz: not a readable archive ({error}); is it truncated?") from None


def load_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, kinds: str) -> Array:
    """An array of an npz file, of these kinds (NumPy's dtype.kind) and of no more than a plausible size."""
    what = f"npz entry {info.filename[:60]!r}"
    excessive = info.file_size > FREE_BYTES and info.file_size > MAXIMUM_RATIO * info.compress_size
    if excessive or info.file_size > MAXIMUM_BYTES:
        raise InputError(
            f"{what}: {info.compress_size} bytes claim to unpack to {info.file_size}; refused as a decompression bomb"
        )
    with archive.open(info) as stream:
        check_header(stream, info.file_size, kinds, what)
    with archive.open(info) as stream:
        try:
            array: Any = np.lib.format.read_array(stream, allow_pickle=False)
        except ValueError as error:
            raise InputError(f"{what}: cannot be read ({error})") from None
    return np.asarray(array)
