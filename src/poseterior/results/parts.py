"""A result in parts: a folder of Parquet files, and a record of which they are.

``_parts.json`` names every input file with the parts that its poses go to, in their order, before the first of them is
there. Each part is a result file of its own, which every program that reads Parquet takes (``poses/*.parquet``); the
folder is read as one result, in the order of the record, and only when all parts are there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..files.checks import quote
from ..files.errors import InputError
from ..files.texts import parse_json

__all__ = ["RECORD", "InputParts", "Record", "are_parts", "joined_constants", "part_files"]

#: Name of the record in the folder; readers of Parquet folders pass over names that begin so.
RECORD = "_parts.json"
_SCHEMA = "poseterior.parts/1"
_REMEDY = "lift again into a new folder"
#: Settings that are objects by file (`poseterior.results.provenance.rates_in_words`).
_RATES = "fps"
#: Parts that are named where their settings differ.
_NAMED = 3


@dataclass(frozen=True)
class InputParts:
    """An input file and the parts of the result that come of it.

    Attributes:
        name: of the file, as results call it.
        size: bytes.
        version: tells the file from what may stand there later.
        parts: names of the parts, in order of the poses.
    """

    name: str
    size: int
    version: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """What a folder of parts holds, or will.

    Attributes:
        run: how the poses were lifted.
        files: in their order.
    """

    run: Mapping[str, Any]
    files: tuple[InputParts, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(part for file in self.files for part in file.parts)

    def text(self) -> str:
        """As it is written."""
        return json.dumps({"schema": _SCHEMA, "run": self.run, "files": [asdict(one) for one in self.files]}, indent=1)

    @classmethod
    def of(cls, content: bytes) -> Record:
        """What was written.

        Raises:
            InputError: it is no record.
        """
        try:
            document = parse_json(content.decode())
        except UnicodeDecodeError:
            raise InputError(f"no UTF-8 text; {_REMEDY}") from None
        if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
            raise InputError(f"schema: expected {_SCHEMA!r}; {_REMEDY}")
        run, files = document.get("run"), document.get("files")
        if not isinstance(run, dict) or not isinstance(files, list):
            raise InputError(f"expected 'run' and 'files'; {_REMEDY}")
        return cls(run, tuple(_file(number, one) for number, one in enumerate(files)))


def _file(number: int, entry: Any) -> InputParts:
    kinds = {"name": str, "size": int, "version": str, "parts": list}
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), kind) for key, kind in kinds.items()):
        raise InputError(f"files: entry {number} lacks one of {', '.join(kinds)}; {_REMEDY}")
    for part in entry["parts"]:
        # names of files in this folder, and of nothing elsewhere
        if not isinstance(part, str) or Path(part).name != part or not part.endswith(".parquet"):
            raise InputError(f"files: entry {number} names the part {quote(part)}, which is no name of a Parquet file")
    return InputParts(entry["name"], entry["size"], entry["version"], tuple(entry["parts"]))


def are_parts(path: Path) -> bool:
    """Whether this is a folder with a result in parts."""
    return (path / RECORD).is_file()


def part_files(folder: Path) -> list[Path]:
    """The parts of a folder, in order.

    Raises:
        InputError: there is no record, or not all parts are there.
    """
    record = folder / RECORD
    if not record.is_file():
        inside = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in (".parquet", ".npz", ".json"))
        named = f"name one of the files in it: {', '.join(inside[:5])}" if inside else "there is no result in it"
        raise InputError(f"{folder}: is a folder without a record of parts ({RECORD}); {named}")
    try:
        names = Record.of(record.read_bytes()).parts
    except InputError as error:
        raise InputError(f"{record}: {error}") from None
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of {len(names)} parts are not there, {missing[0]} for one; go on with the run "
            "that makes them: poseterior lift ... --resume"
        )
    if not names:
        raise InputError(f"{record}: names no parts; {_REMEDY}")
    return [folder / name for name in names]


def joined_constants(
    found: Sequence[tuple[Path, Mapping[str, Any]]], files_of: Callable[[Path], Sequence[str]]
) -> dict[str, Any]:
    """The constants of parts as those of one result.

    Args:
        found: each part and its constants.
        files_of: names of the files that the poses of a part come from; asked where parts differ in their rates.

    Raises:
        InputError: two parts differ in more than their settings.
    """
    first, constants = found[0]
    for path, other in found[1:]:
        for name in sorted((constants.keys() | other.keys()) - {"settings"}):
            if constants.get(name) != other.get(name):
                raise InputError(
                    f"{path}: {name}: {quote(other.get(name))}, but {first.name} has {quote(constants.get(name))}: "
                    f"parts of different results; {_REMEDY}"
                )
    settings = [(path, dict(part.get("settings") or {})) for path, part in found]
    rates = _rates([(path, told.pop(_RATES, None)) for path, told in settings], files_of)
    return {**constants, "settings": _settings(settings) | rates}


def _settings(found: Sequence[tuple[Path, Mapping[str, str]]]) -> dict[str, str]:
    """Settings of parts together: what all say once, what they say differently with a part that says so."""
    said: dict[str, dict[str, str]] = {}
    for path, settings in found:
        for name, text in settings.items():
            said.setdefault(name, {}).setdefault(text, path.name)
    return {name: _said(texts) for name, texts in said.items()}


def _said(texts: Mapping[str, str]) -> str:
    if len(texts) == 1:
        return next(iter(texts))
    named = [f"{text} ({part})" for text, part in list(texts.items())[:_NAMED]]
    more = len(texts) - _NAMED
    return "; ".join(named) + (f"; and {more} more" if more > 0 else "")


def _rates(found: Sequence[tuple[Path, str | None]], files_of: Callable[[Path], Sequence[str]]) -> dict[str, str]:
    """Frames per second of parts together, as `poseterior.results.provenance.Provenance.rate` reads them."""
    texts = {text for _, text in found}
    if len(texts) == 1:
        (only,) = texts
        return {} if only is None else {_RATES: only}
    rates: dict[str, Any] = {}
    for path, text in found:
        try:
            told = json.loads(text or "null")
        except ValueError:
            continue
        if told is not None:
            rates |= told if isinstance(told, dict) else dict.fromkeys(files_of(path), told)
    return {_RATES: json.dumps(rates)} if rates else {}
