"""Keypoint files read in parts: Parquet, npy, JSON lines, long JSON lists, MMPose's JSON, OpenPose's folders.

What comes out, part after part, is what `poseterior.keypoints.reading.read_keypoints` reads at once, to the bit; memory
does not grow with the number of frames. Files of which that cannot be said (`NotInParts`) are read whole instead.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..files.checks import Array
from ..files.errors import InputError
from ..files.extras import installed
from ..files.long_json import LONG, LongList, open_long_json
from ..files.npz import NPY_MAGIC, check_header, read_header
from ..files.numbered import natural_key
from .detections import Detections, Options
from .documents import LINES, SUFFIXES, ArrayFile, is_own_parquet, json_lines, kind_of, read_document, without_copies
from .file_clips import file_clips
from .formats import AUTO, detect_format, formats
from .joint_names import candidates
from .judging import CleanParts, LinkParts, NotInParts, only
from .keypoints import Keypoints2D
from .rates import stated_rate
from .tables import ParquetTable
from .tabular import roles

__all__ = ["PART", "KeypointParts", "can_be_parts", "read_long_json"]

#: Poses or so of a part.
PART = 2048
#: Formats of JSON whose entries are read one after the other.
_ENTRIES = ("plain", "openpose")
#: Those that have readers of their own for long files.
_WITH_PARTS = ("mmpose",)
#: Who says things once a file that are said once here too, however many parts there are.
_TALKATIVE = tuple(f"poseterior.keypoints.{name}" for name in ("joint_names", "formats.openpose", "formats.plain"))


def can_be_parts(paths: Sequence[Path]) -> bool:
    """Whether these may be read in parts, and are so large that it matters: one file, or one folder of many."""
    if len(paths) != 1:
        return False
    (path,) = paths
    try:
        if path.is_dir():
            return True
        kind = kind_of(path)
        if kind == "table":
            return installed("pyarrow") and _begins(path, b"PAR1")
        if kind == "arrays":
            return _begins(path, NPY_MAGIC)
        return kind == "json" and (path.suffix.lower() in LINES or path.stat().st_size >= LONG)
    except (InputError, OSError):  # whoever reads it says so
        return False


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def read_long_json(
    path: Path, options: Options, format: str = AUTO, link: bool = True, person: int | None = None
) -> Keypoints2D | None:
    """A long JSON file as `poseterior.keypoints.reading.read_keypoints` reads it, few of its objects at a time.

    Returns:
        None for other files, and where it has to be read whole: arguments are checked by who does so.
    """
    try:
        if path.is_dir() or kind_of(path) != "json" or path.stat().st_size < LONG:
            return None
        return Keypoints2D.cat(list(KeypointParts(path, options, format, link, person)))
    except (InputError, NotInParts, OSError):
        return None


class KeypointParts:
    """The keypoints of a file, part by part: go through it once.

    Args:
        path: a file or folder.
        format, skeleton, image_size, confidence_scale, min_confidence, keep_unseen, tracks, person: as for
            `poseterior.keypoints.reading.read_keypoints`.

    Attributes:
        links: what it knows of the people and frames, when it is through.

    Raises:
        NotInParts: (while going through it) the file has to be read whole.
        InputError: (after the last part) nobody has the number asked for.
    """

    def __init__(
        self, path: str | os.PathLike[str], options: Options, format: str = AUTO, link: bool = True,
        person: int | None = None,
    ) -> None:  # fmt: skip
        self.path, self.options, self.format, self.person = Path(path), options, format, person
        self.links = LinkParts(link)

    def __iter__(self) -> Iterator[Keypoints2D]:
        clean = CleanParts(str(self.path), self.options)
        found = 0
        with _said_once():
            try:
                for part in self._raw():
                    detections = only(clean(part))
                    if detections is None:
                        continue
                    keypoints = self.links(detections.keypoints(), detections.tracked)
                    if self.person is not None:
                        rows = [row for row, one in enumerate(keypoints.ids) if one.person == self.person]
                        keypoints = keypoints[rows]
                    found += len(keypoints)
                    if len(keypoints):
                        yield keypoints
            except InputError as error:  # of a whole file it may not be one; if it is, it is said better
                raise NotInParts(str(error)) from error
        self.links.finish()
        clean.finish()
        if not found:
            raise NotInParts("nobody")

    def _raw(self) -> Iterator[list[Detections]]:
        """What the file says, part by part; all parts of one joint order."""
        orders = set()
        for part in self._read():
            orders |= {(one.skeleton, one.target) for one in part if len(one.ids)}
            if len(orders) > 1:
                raise NotInParts("people in several joint orders")
            yield part

    def _read(self) -> Iterator[list[Detections]]:
        if self.path.is_dir():
            return self._folder()
        kind = kind_of(self.path)
        if kind == "table":
            return self._table()
        return self._array() if kind == "arrays" else self._entries()

    def _format_of(self, data: Any, known: Sequence[str]) -> Any:
        name = detect_format(data) if self.format == AUTO else self.format
        if name not in known:
            raise NotInParts(f"the format {name}")
        return formats()[name]

    # -- JSON ----------------------------------------------------------------------------------------------

    def _entries(self) -> Iterator[list[Detections]]:
        """A list of entries, or an entry a line."""
        if self.path.suffix.lower() in LINES:
            entries: Iterator[Any] = json_lines(self.path)
        else:
            document = open_long_json(self.path)
            long = document.values() if isinstance(document, dict) else (document,)
            if not any(isinstance(one, LongList) for one in long):
                raise NotInParts("a document that holds no long list")
            if (known := self._format_of(document, (*_ENTRIES, *_WITH_PARTS))).read_parts is not None:
                yield from self._with_rate(known.read_parts(document, self.options, PART), stated_rate(document))
                return
            if not isinstance(document, LongList):
                raise NotInParts("a document that is no long list")
            entries = iter(document)
        first = list(islice(entries, PART))
        known = self._format_of(first, _ENTRIES)
        rate = stated_rate(first)
        frame, part = 0, first
        while part:
            if known.name == "plain":
                from .formats.plain import read_entries

                found, after = read_entries(part, self.options, frame)
                for one in found:
                    one.format = known.name
                found = [one for one in found if len(one.ids)]
                if len(found) > 1:
                    raise NotInParts("entries that tell different things")
            else:
                found, after = _later(known.read(part, self.options), frame), frame + len(part)
            for one in found:
                one.fps = one.fps or rate
            yield found
            frame, part = after, list(islice(entries, PART))

    @staticmethod
    def _with_rate(parts: Iterator[list[Detections]], rate: float | None) -> Iterator[list[Detections]]:
        for found in parts:
            for one in found:
                one.fps = one.fps or rate
            yield found

    def _folder(self) -> Iterator[list[Detections]]:
        """A folder that is one clip of a format whose files are frames each."""
        files = [p for p in self.path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
        files = sorted(without_copies(files), key=lambda path: natural_key(path.name))
        clips = file_clips(files)
        if len(clips) != 1 or clips[0].format is None or len(clips[0].members) != len(files):
            raise NotInParts("a folder that is no clip")
        (clip,) = clips
        if self.format not in (AUTO, clip.format):
            raise NotInParts("a folder of another format")
        known = formats()[str(clip.format)]
        assert known.read_frames is not None
        options = replace(self.options, file=str(clip.folder))
        for start in range(0, len(files), PART):
            members = clip.members[start : start + PART]
            frames = ((str(files[i]), read_document(files[i])) for i in members)
            found = known.read_frames(frames, options)
            yield [_numbered(one, clip.numbers[start : start + PART]) for one in found]

    # -- arrays --------------------------------------------------------------------------------------------

    def _array(self) -> Iterator[list[Detections]]:
        """An npy file: so many rows at a time are read, none is mapped."""
        with self.path.open("rb") as file:
            check_header(file, self.path.stat().st_size, "fiu", "npy")
            file.seek(0)
            shape, dtype = read_header(file, "npy")
            file.seek(0)
            version = np.lib.format.read_magic(file)
            header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            _, in_columns, _ = header[version](file)
            start = file.tell()
        width = int(np.prod(shape[1:]))
        if in_columns or len(shape) not in (2, 3) or not width or (len(shape) == 2 and shape[1] in (2, 3)):
            raise NotInParts("an array whose frames do not stand one after the other")
        joints = shape[1] // 2 if len(shape) == 2 else shape[1]
        landmarks = len(shape) == 3 and shape[1:] == (33, 4)
        if self.options.skeleton is None and not landmarks and (len(shape) == 2 or len(candidates(joints)) != 1):
            raise NotInParts("a joint order that is judged of all frames")
        known = self._format_of(ArrayFile(self.path), ("numpy",))
        for first in range(0, shape[0], PART):
            count = min(PART, shape[0] - first)
            rows = np.fromfile(self.path, dtype, count * width, offset=start + first * width * dtype.itemsize)
            data: Any = _Rows(self.path, rows.reshape(count, *shape[1:]))
            yield _later(known.read(data, self.options), first)

    # -- tables --------------------------------------------------------------------------------------------

    def _table(self) -> Iterator[list[Detections]]:
        """A Parquet table; frames are not cut."""
        import pyarrow as pa

        from ..files.parquet import open_parquet

        if is_own_parquet(self.path):
            raise NotInParts("a file of ours")
        known, rows, carried = None, 0, None
        with open_parquet(self.path) as file:
            for batch in file.iter_batches(batch_size=PART, use_threads=False):
                table = pa.Table.from_batches([batch])
                if known is None:
                    known = self._format_of(ParquetTable(self.path, table), ("wide", "tidy"))
                table = table if carried is None else pa.concat_tables([carried, table])
                table, carried = _whole_frames(ParquetTable(self.path, table))
                if len(table):
                    yield self._rows(known, table, rows)
                    rows += len(table)
        if known is None:
            raise NotInParts("no rows")
        if carried is not None and len(carried):
            yield self._rows(known, carried, rows)

    def _rows(self, known: Any, table: Any, before: int) -> list[Detections]:
        part = ParquetTable(self.path, table)
        place = roles(part.names)
        if "person" in place:
            texts = dict.fromkeys(part.texts(place["person"]))
            if not all(re.fullmatch(r"\d{1,15}(\.0+)?", text) for text in texts):
                raise NotInParts("people who have names")
        if "z" in place or any(name.lower().endswith(("z", "_z")) for name in part.names):
            raise NotInParts("depths, which are judged of all of them")
        found = known.read(part, self.options)
        if any(len(one.skeleton) == 33 and self.options.skeleton is None for one in found):
            raise NotInParts("landmarks, which may be normalised")
        return found if "frame" in place else _later(found, before)


class _Rows(ArrayFile):
    """Some rows of an npy file, as if they were all."""

    def __init__(self, path: Path, rows: Array) -> None:
        self.path, self._values = path, rows
        self.names = ("keypoints",)

    def load(self, kinds: Any) -> dict[str, Array]:
        return {"keypoints": self._values}


def _whole_frames(part: ParquetTable) -> tuple[Any, Any]:
    """The rows of frames that are there whole, and those of the last frame, which may go on."""
    place = roles(part.names)
    table = part.rows
    if "frame" not in place:
        return table, None
    frames = part.numbers(place["frame"])
    if not ((frames == np.floor(frames)) & (frames >= 0)).all():
        raise NotInParts("frames that are no whole numbers")
    cut = len(frames) - int(np.argmax(frames[::-1] != frames[-1])) if (frames != frames[-1]).any() else 0
    return table.slice(0, cut), table.slice(cut)


def _later(parts: list[Detections], by: int) -> list[Detections]:
    """The same, that many frames later."""
    return [replace(part, ids=[one._replace(frame=one.frame + by) for one in part.ids]) for part in parts]


def _numbered(part: Detections, numbers: Sequence[int]) -> Detections:
    return replace(part, ids=[one._replace(frame=numbers[one.frame]) for one in part.ids])


@contextmanager
def _said_once() -> Iterator[None]:
    """What parts say again and again is said once."""
    said: set[str] = set()

    def new(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        known = text in said
        said.add(text)
        return not known

    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    for logger in loggers:
        logger.addFilter(new)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(new)
