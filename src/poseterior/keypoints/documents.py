"""Keypoint files before their format is known: JSON as Python sees it, XML, text; arrays, tables that load on demand.

Nothing in a file is executed or unpickled, and no array is allocated on a header's word.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files.checks import Array
from ..files.errors import InputError
from ..files.extras import installed
from ..files.long_json import load_json, open_long_json
from ..files.npz import NPY_MAGIC, ZIP_MAGIC, load_entry, load_npy, open_npz, read_arrays
from ..files.texts import read_text, refuse_half_characters
from ..files.xml import read_xml
from .hdf5_files import HDF5File
from .strangers import LONGEST_START, stranger
from .tables import read_csv_table, read_parquet_table
from .trc import TRC_MAGIC, read_trc

__all__ = [
    "KINDS", "LINES", "SUFFIXES", "ArrayFile", "TextFile", "UnknownContent", "first_entry", "innermost",
    "is_own_parquet", "json_lines", "kind_of", "read_document", "without_copies",
]  # fmt: skip

_RESULT = "is a result of poseterior, not keypoints; open it with `poseterior view`"
_RESULT_SCHEMA = "poseterior.result"
#: ``format`` of our other Parquet files -> what they are.
_OWN = {
    "poseterior-observations-1": (
        "is a file of observations, not keypoints; it is for `poseterior evaluate --data` and `poseterior lift`"
    ),
    "poseterior-pose-store/1": "is part of a pose store, not keypoints; its folder is for `poseterior train`",
}
#: The longest text (bytes in the npz) that is looked at for the name of a schema.
_LONGEST_SCHEMA = 4096
#: The most bytes of an XML and of a text file that are parsed: millions of keypoints.
_LONGEST_XML = 256 << 20
_LONGEST_TEXT = 64 << 20

_JSON_START = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*[\[{]")

#: Kind of document -> what such a file is called in messages. Formats name theirs as ``KIND``.
KINDS = {
    "json": "JSON", "arrays": "an npy or npz file", "table": "a table (CSV, TSV or Parquet)", "hdf5": "an HDF5 file",
    "trc": "a TRC file", "xml": "an XML file", "text": "a text file",
}  # fmt: skip
#: How a file of a kind begins.
_MAGIC = (
    (NPY_MAGIC, "arrays"),
    *((magic, "arrays") for magic in ZIP_MAGIC),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"PAR1", "table"),
    (TRC_MAGIC, "trc"),
    (b"<", "xml"),
    (b"\xef\xbb\xbf<", "xml"),
)
#: Kind of a file that begins like none of these; all others are JSON.
_KIND_OF_SUFFIX = {".txt": "text", ".csv": "table", ".tsv": "table", ".tab": "table"}
#: Extensions of keypoint files.
SUFFIXES = (
    ".json",
    ".jsonl",
    ".ndjson",
    ".npy",
    ".npz",
    ".txt",
    ".xml",
    ".csv",
    ".tsv",
    ".parquet",
    ".h5",
    ".hdf5",
    ".trc",
)
#: Those of them that hold a JSON document a line.
LINES = (".jsonl", ".ndjson")
#: Programs write the same poses under one name as both.
_COPIES = ((".h5", ".csv"), (".parquet", ".csv"))


class UnknownContent(InputError):
    """The content is of none of the formats: a folder skips such files."""


class ArrayFile:
    """An npy or npz file.

    Attributes:
        path: where it is.
        names: of its arrays; the only one of an npy file is called "keypoints".
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as stream:
            self._npz = stream.read(len(NPY_MAGIC)) != NPY_MAGIC
        self.names: tuple[str, ...] = ("keypoints",)
        if self._npz:
            with open_npz(path) as archive:
                self.names = tuple(info.filename.removesuffix(".npy") for info in archive.infolist())

    def load(self, kinds: Mapping[str, str]) -> dict[str, Array]:
        """Those of the arrays named that are there.

        Args:
            kinds: name -> kinds of number that the array may hold (NumPy's ``dtype.kind``), ``"fiu"`` say.

        Raises:
            InputError: another kind, a header that claims more than the file holds, an archive that unpacks out of all
                proportion.
        """
        if not self._npz:
            return {name: load_npy(self.path, kinds[name]) for name in self.names if name in kinds}
        return read_arrays(self.path, kinds)

    @property
    def schema(self) -> str | None:
        """The text that an npz file's ``schema`` holds; an array of that name may hold anything else, which is None."""
        if not self._npz or "schema" not in self.names:
            return None
        with open_npz(self.path) as archive:
            entry = next(info for info in archive.infolist() if info.filename.removesuffix(".npy") == "schema")
            if entry.file_size > _LONGEST_SCHEMA:
                return None
            try:
                array = load_entry(archive, entry, "U")
            except InputError:
                return None
        return str(array.item()) if array.ndim == 0 else None


@dataclass(frozen=True)
class TextFile:
    """A text file that is no JSON."""

    path: Path
    text: str


def kind_of(path: Path) -> str:
    """Which of `KINDS` a file is, by its first bytes, else by its extension.

    Raises:
        InputError: no such file, an empty one, one that cannot be read.
        UnknownContent: a file of another kind: a film, a photo, a motion, an archive ...
    """
    start = _read_bytes(path, LONGEST_START)
    said = stranger(start, path)
    if said is not None:
        raise UnknownContent(said)
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    kind = _KIND_OF_SUFFIX.get(path.suffix.lower(), "json")
    return "json" if _JSON_START.match(start) else kind


def _text_of(path: Path) -> str:
    try:
        return read_text(path, _LONGEST_TEXT)
    except InputError as error:  # a folder may hold other texts
        raise UnknownContent(str(error)) from None


def read_document(path: Path) -> Any:
    """JSON's objects and lists, an `ArrayFile`, XML's root, a `TextFile`, `Table`, `HDF5File` or `TrcFile`.

    Raises:
        InputError: as `kind_of`; no whole JSON document; a broken archive; no package that reads it.
        UnknownContent: one of our own results, a photo, a pickle.
    """
    kind = kind_of(path)
    if kind == "xml":
        return read_xml(path, _LONGEST_XML)
    if kind == "text":
        return TextFile(path, _text_of(path))
    if kind == "table":
        return _read_table(path)
    if kind == "hdf5":
        return HDF5File(path)
    if kind == "trc":
        return read_trc(path)
    if kind == "arrays":
        data: Any = ArrayFile(path)
        schema: Any = data.schema
    elif path.suffix.lower() in LINES:
        data = list(json_lines(path))
        schema = data[0].get("schema") if data and isinstance(data[0], dict) else None
    else:
        data = open_long_json(path)
        if data is None:
            data = _parse_json(_read_bytes(path))
        schema = data.get("schema") if isinstance(data, dict) else None
    if _is_result(schema):
        raise UnknownContent(_RESULT)
    return data


def _read_table(path: Path) -> Any:
    if not _read_bytes(path, 4).startswith(b"PAR1"):
        return read_csv_table(path, _read_bytes(path))
    own = _own_parquet(path)
    if own is not None:
        raise UnknownContent(own)
    return read_parquet_table(path)


def is_own_parquet(path: Path) -> bool:
    """Whether a Parquet file is a result of ours.

    Raises:
        InputError: not a readable Parquet file.
    """
    return not installed("pyarrow") or _own_parquet(path) == _RESULT


def without_copies(paths: list[Path]) -> list[Path]:
    """The files but for those that another program wrote beside one of the same name: DeepLabCut's CSV and HDF5."""
    there = {(path.stem, path.suffix.lower()) for path in paths}
    return [
        path
        for path in paths
        if not any(path.suffix.lower() == copy and (path.stem, first) in there for first, copy in _COPIES)
    ]


def json_lines(path: Path) -> Iterator[Any]:
    """What each line of a file says, one after the other; lines of nothing are left out.

    Raises:
        InputError: a line that is not JSON; names it.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            line = line.removeprefix(b"\xef\xbb\xbf").strip()
            if not line:
                continue
            try:
                yield load_json(line)
            except InputError:
                raise
            except (ValueError, RecursionError):
                raise InputError(f"line {number}: not valid JSON; expected an object a line") from None


# -- what formats are recognised by ------------------------------------------------------------------------


def first_entry(data: Any) -> Any:
    """The first entry of a list that is not empty, None where all are; what is no list, as it is."""
    return next((entry for entry in data if entry), None) if isinstance(data, list) else data


def innermost(data: Any) -> Any:
    """What a list of lists (of lists ...) begins with."""
    while isinstance(data, list) and data:
        data = data[0]
    return data


# -- bytes -------------------------------------------------------------------------------------------------


def _is_result(schema: Any) -> bool:
    """Whether a file's ``schema`` field says that it is one of our result files."""
    return isinstance(schema, str) and schema.startswith(_RESULT_SCHEMA)


def _own_parquet(path: Path) -> str | None:
    """What to say of a Parquet file of ours that holds no keypoints."""
    if not installed("pyarrow"):
        return None
    from ..files.parquet import metadata_of, open_parquet

    with open_parquet(path) as file:
        metadata = metadata_of(file)
    try:
        about = json.loads(metadata.get("poseterior", "null"))
    except (ValueError, RecursionError):
        about = None
    if isinstance(about, dict) and _is_result(about.get("schema")):
        return _RESULT
    return _OWN.get(metadata.get("format", ""))


def _read_bytes(path: Path, count: int = -1) -> bytes:
    if not path.exists():
        raise InputError("no such file")
    if not path.is_file():
        raise InputError("is neither a file nor a folder")
    try:
        with path.open("rb") as stream:
            content = stream.read(count)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from None
    if not content and path.suffix.lower() != ".txt":  # YOLO's picture of nobody
        raise InputError("the file is empty")
    return content


def _parse_json(content: bytes) -> Any:
    """The document, or an `InputError` that tells what the file is instead.

    NaN and Infinity literals are let through: the first is a missing joint, the second is refused later with
    the joint's name.
    """
    if _JSON_START.match(content):
        with contextlib.suppress(ValueError):  # what is wrong is told below
            return load_json(content.removeprefix(b"\xef\xbb\xbf"))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start}), so not JSON; nor is it npy, npz or Parquet") from None
    text = text.strip()
    if not text:
        raise InputError("the file is empty")
    if text[0] not in "[{":
        raise InputError("neither JSON (an object or a list) nor an npy or npz file")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        if error.pos >= len(text) - 1 or error.msg.startswith("Unterminated"):
            raise InputError(f"the JSON ends early ({where}): is the file truncated?") from None
        if error.msg == "Extra data":
            raise InputError(f"more than one JSON document ({where}); put them into one list") from None
        raise InputError(f"not valid JSON ({where}: {error.msg})") from None
    except ValueError:
        raise InputError("not valid JSON: a number has thousands of digits") from None
    refuse_half_characters(text, found)
    return found
