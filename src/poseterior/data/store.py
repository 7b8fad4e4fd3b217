"""The pose store: a folder of Parquet files, one row per frame, that any Parquet reader opens.

Columns: ``clip`` (string), ``frame`` (int32, from 0), ``subject``, ``action``, ``source`` (strings), ``fps`` (float,
of the frame numbers), ``positions`` (fixed_size_list<float>[66]: 22 smpl22 joints x 3, metres, world, y up, absolute),
``rotations`` (fixed_size_list<float>[88]: 22 unit quaternions xyzw, relative to the parent; the pelvis' is the global
orientation; the identity is the T-pose facing +z with the left at +x), ``h36m17`` (fixed_size_list<float>[51]:
17 joints x 3, metres; NaN where the source has no such joint). The schema metadata say the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..files.errors import InputError
from ..files.extras import later
from ..files.numbered import usual_step
from ..files.parquet import metadata_of, numbers_of, open_parquet, texts_of
from ..files.reading import reading
from ..files.writing import discard_folder, put_folder, temporary_folder
from .store_schema import (
    ARRAYS,
    METADATA,
    TEXT,
    check_schema,
    checked_batch,
    conformed,
    schema_of,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:  # an extra: imported when a file is read or written
    pa, pq = (later("parquet", name, "a pose store") for name in ("pyarrow", "pyarrow.parquet"))

__all__ = [
    "Mocap",
    "PoseStore",
    "StoreWriter",
]

_ROWS_A_GROUP = 32_768


@dataclass(frozen=True)
class Mocap:
    """Frames of a store as arrays.

    Attributes:
        positions: ``(n, 22, 3)`` float32, smpl22 joints, metres, absolute, y up.
        rotations: ``(n, 22, 4)`` float32, unit quaternions xyzw relative to the parent (see the module).
        h36m17: ``(n, 17, 3)`` float32, metres, absolute; NaN where the source has no such joint.
        clip: ``(n,)`` int64, index into the clips.
        frame: ``(n,)`` int32, frame number within the clip as stored (before any thinning).
        clip_names, subject, action, source_names: one string per clip.
        fps: ``(clips,)`` float32, frames per second of these rows, after thinning.
    """

    positions: NDArray[np.float32]
    rotations: NDArray[np.float32]
    h36m17: NDArray[np.float32]
    clip: NDArray[np.int64]
    frame: NDArray[np.int32]
    clip_names: tuple[str, ...]
    subject: tuple[str, ...]
    action: tuple[str, ...]
    source_names: tuple[str, ...]
    fps: NDArray[np.float32]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.clip)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Mocap:
        """The given rows (mask, indices or slice); the table of clips stays whole, so indices keep their meaning."""
        return Mocap(
            self.positions[rows], self.rotations[rows], self.h36m17[rows], self.clip[rows], self.frame[rows],
            self.clip_names, self.subject, self.action, self.source_names, self.fps,
        )  # fmt: skip

    @staticmethod
    def cat(parts: Sequence[Mocap]) -> Mocap:
        """Join several; equal clip names of different parts stay different clips.

        Raises:
            InputError: nothing to join.
        """
        if not parts:
            raise InputError("no mocap to join")
        if len(parts) == 1:
            return parts[0]
        starts = np.cumsum([0, *(len(part.clip_names) for part in parts)])
        return Mocap(
            np.concatenate([part.positions for part in parts]),
            np.concatenate([part.rotations for part in parts]),
            np.concatenate([part.h36m17 for part in parts]),
            np.concatenate([part.clip + start for part, start in zip(parts, starts, strict=False)]),
            np.concatenate([part.frame for part in parts]),
            tuple(name for part in parts for name in part.clip_names),
            tuple(name for part in parts for name in part.subject),
            tuple(name for part in parts for name in part.action),
            tuple(name for part in parts for name in part.source_names),
            np.concatenate([part.fps for part in parts]),
        )


class PoseStore:
    """A folder of poses on disk, see the module's docstring for its columns.

    Args:
        path: the folder.

    Raises:
        InputError: no such folder, no Parquet file in it, or files of another kind.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            what = "is a file" if self.path.exists() else "does not exist"
            raise InputError(
                f"{self.path}: a pose store is a folder, but this {what}; "
                "make one with `poseterior data import FORMAT PATH… --out STORE`"
            )
        self.files = tuple(sorted(self.path.glob("*.parquet")))
        if not self.files:
            raise InputError(f"{self.path}: no Parquet file in it; not a pose store")
        self._rows = 0
        for file in self.files:
            with reading(file), open_parquet(file) as opened:
                check_schema(opened.schema_arrow, metadata_of(opened))
                self._rows += opened.metadata.num_rows
        if not self._rows:
            raise InputError(f"{self.path}: the store holds no frame; import motion capture into it anew")

    def __repr__(self) -> str:
        return f"PoseStore({str(self.path)!r})"

    def __len__(self) -> int:
        """Number of frames."""
        return self._rows

    @property
    def metadata(self) -> dict[str, str]:
        """The schema's metadata: units, axes, joint orders, licences."""
        found: dict[str, str] = {}
        licences: list[str] = []
        for file in self.files:
            with reading(file), open_parquet(file) as opened:
                raw = metadata_of(opened)
            licences += [text for text in raw.pop("licence", "").split("\n") if text and text not in licences]
            found |= {key: value for key, value in raw.items() if key in METADATA}
        return found | {"licence": "\n".join(licences)}

    @cached_property
    def clips(self) -> pa.Table:
        """One row per clip in stored order: ``clip``, ``frames``, ``subject``, ``action``, ``source``, ``fps``.

        Raises:
            InputError: a damaged file, an empty cell, text that is not UTF-8, a rate that is not positive.
        """
        columns = ["clip", "subject", "action", "source", "fps"]
        schema = pa.schema([schema_of().field(c) for c in columns])
        tables = []
        for file in self.files:
            with reading(file), open_parquet(file) as opened:
                read = opened.read(columns)
                rate = numbers_of(read["fps"], "fps", kinds="f")
                if not ((rate > 0) & (rate < np.inf)).all():
                    row = int(np.argmin((rate > 0) & (rate < np.inf)))
                    raise InputError(f"column 'fps': row {row} is {rate[row]}; expected a positive number")
                texts = {name: pa.array(texts_of(read[name], name), pa.string()) for name in columns[:-1]}
                tables.append(pa.table([*texts.values(), pa.array(rate, pa.float32())], schema=schema))
        table = pa.concat_tables(tables)
        grouped = table.group_by("clip", use_threads=False).aggregate(
            [
                ("clip", "count"),
                ("subject", "first"),
                ("action", "first"),
                ("source", "first"),
                ("fps", "first"),
            ]
        )
        names = {"clip_count": "frames", "subject_first": "subject", "action_first": "action",
                 "source_first": "source", "fps_first": "fps"}  # fmt: skip
        grouped = grouped.rename_columns([names.get(name, name) for name in grouped.column_names])
        return grouped.select(["clip", "frames", "subject", "action", "source", "fps"])

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in stored order, some ten thousand at a time; what is in them was checked.

        Raises:
            InputError: a damaged file, an empty cell, lists of another length, positions, rotations or frame numbers
                that are none.
        """
        for file in self.files:
            with reading(file), open_parquet(file) as opened:
                for batch in opened.iter_batches(batch_size=_ROWS_A_GROUP, columns=columns):
                    yield conformed(checked_batch(batch))

    def load(self, fps: float | None = None, clips: Sequence[str] | None = None) -> Mocap:
        """Read frames into memory, clip after clip, each in order of its frames.

        A store that another program thinned says the rate of its frame numbers still: a clip of the frames 0, 4, 8 …
        at 120 frames per second has 30.

        Args:
            fps: thin each clip to the highest rate not above this that keeping every k-th row gives (a 120 Hz
                clip at ``fps=50`` becomes 40 Hz; 0.2 % above counts as equal); None keeps all. A clip that is
                slower stays as it is.
            clips: names of the clips to read; None for all.

        Raises:
            InputError: an unknown clip, or a rate that is not positive.
        """
        if fps is not None and not fps > 0:
            raise InputError(f"fps is {fps}; expected a positive number")
        table = self.clips.to_pydict()
        order = list(range(len(table["clip"])))
        if clips is not None:
            unknown = sorted(set(clips) - set(table["clip"]))
            if unknown:
                raise InputError(f"{self.path}: no clip {unknown[0]!r}; `poseterior data inspect` lists the clips")
            wanted = set(clips)
            order = [i for i in order if table["clip"][i] in wanted]
        names = [table["clip"][i] for i in order]
        rate = np.array([table["fps"][i] for i in order], dtype=np.float64)
        clip, frame = self._places({name: i for i, name in enumerate(names)})
        # Rows as they stand in time, whatever their order in the files, and whatever other tools left out of them.
        ordered = np.lexsort((frame, clip))
        ordered = ordered[clip[ordered] >= 0]
        starts = np.searchsorted(clip[ordered], np.arange(len(names) + 1))
        runs = [ordered[start:end] for start, end in pairwise(starts)]
        rate = rate / np.array([usual_step(frame[run].tolist()) for run in runs], dtype=np.float64)
        # 0.2 % of slack: asked for 29.97, a 30 Hz clip stays whole
        keep = np.ones(len(order), dtype=np.int64)
        if fps is not None:
            keep = np.maximum(1, np.ceil(rate / fps * 0.998)).astype(np.int64)
        kept = np.concatenate([run[::k] for run, k in zip(runs, keep.tolist(), strict=True)])
        wanted_rows = np.zeros(len(clip), dtype=np.bool_)
        wanted_rows[kept] = True

        parts: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
        start = 0
        for batch in self.batches(["clip", "frame", *ARRAYS]):
            rows = wanted_rows[start : start + len(batch)]
            start += len(batch)
            for name, shape in ARRAYS.items():
                parts[name].append(_floats(batch.column(name), shape)[rows])
        joined = {name: np.concatenate(values) for name, values in parts.items()}
        order_in_time = np.argsort(np.argsort(kept))
        if not (np.diff(kept) > 0).all():
            joined = {name: values[order_in_time] for name, values in joined.items()}
        joined |= {"clip": clip[kept], "frame": frame[kept]}
        subject, action, source = (tuple(table[label][i] for i in order) for label in ("subject", "action", "source"))
        return Mocap(
            joined["positions"],
            joined["rotations"],
            joined["h36m17"],
            joined["clip"],
            joined["frame"],
            tuple(names),
            subject,
            action,
            source,
            (rate / keep).astype(np.float32),
        )

    def _places(self, index_of: dict[str, int]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Index of the clip (-1 for one that is not wanted) and frame number of every row, in stored order."""
        clips, frames = [], []
        for batch in self.batches(["clip", "frame"]):
            encoded = _encoded(batch.column("clip"))
            lookup = np.array([index_of.get(name, -1) for name in encoded.dictionary.to_pylist()], dtype=np.int64)
            clips.append(lookup[encoded.indices.to_numpy()])
            frames.append(batch.column("frame").to_numpy())
        return np.concatenate(clips), np.concatenate(frames)

    @staticmethod
    def create(path: str | Path, *, overwrite: bool = False, append: bool = False) -> StoreWriter:
        """Begin to write a store; use the result as a context manager.

        Raises:
            InputError: the folder exists and neither ``overwrite`` nor ``append`` is set, or is no pose store.
        """
        return StoreWriter(path, overwrite=overwrite, append=append)


def _floats(column: pa.Array, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), *shape)


def _encoded(column: pa.Array) -> pa.DictionaryArray:
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


class StoreWriter:
    """Writes a store into a temporary folder beside the target and renames it when all went well.

    Leaving the ``with`` block by an exception leaves the target as it was. See `PoseStore.create`.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False, append: bool = False) -> None:
        self.path = Path(path)
        self.append = append and self.path.exists()
        if self.path.exists():
            if not (overwrite or append):
                raise InputError(f"{self.path}: exists already; choose another folder, or ask to overwrite or append")
            existing = PoseStore(self.path)  # never replace a folder that is no store
        self._replaced = os.stat(self.path) if self.path.exists() else None
        self._clips: set[str] = set(existing.clips["clip"].to_pylist()) if self.append else set()
        self._licences: list[str] = []
        self._rows: list[pa.Table] = []
        self._pending = 0
        self._writer: pq.ParquetWriter | None = None
        self._folder: Path | None = None
        self.frames = 0

    def __enter__(self) -> StoreWriter:
        self._folder = temporary_folder(self.path)
        if self.append:
            try:
                for file in PoseStore(self.path).files:
                    _link(file, self._folder / file.name)
            except OSError as error:
                discard_folder(self._folder)
                raise InputError(f"{self.path}: cannot be written ({error.strerror or error})") from None
        return self

    def add(
        self,
        clip: str,
        positions: NDArray[np.float32],
        rotations: NDArray[np.float32],
        h36m17: NDArray[np.float32],
        *,
        fps: float,
        subject: str = "",
        action: str = "",
        source: str = "",
        licence: str = "",
    ) -> None:
        """Add one clip.

        Args:
            clip: its name, not used before in this store.
            positions: ``(frames, 22, 3)`` metres, see `PoseStore`.
            rotations: ``(frames, 22, 4)`` unit quaternions xyzw.
            h36m17: ``(frames, 17, 3)`` metres, NaN where missing.
            fps: frames per second.
            subject, action, source: labels, may be empty.
            licence: terms of the data; kept in the metadata.

        Raises:
            InputError: a name used before, wrong shapes, no frames, positions or rotations that are not finite,
                quaternions that are not unit.
        """
        frames = len(positions)
        arrays = {"positions": positions, "rotations": rotations, "h36m17": h36m17}
        if clip in self._clips:
            raise InputError(f"clip {clip!r} is in the store already; clips need distinct names")
        for name, value in arrays.items():
            if value.shape != (frames, *ARRAYS[name]) or not frames:
                raise InputError(f"clip {clip!r}: {name} has shape {value.shape}; expected (frames, {ARRAYS[name]})")
            bad = ~np.isfinite(value).reshape(frames, -1).all(1)
            if name != "h36m17" and bad.any():
                raise InputError(f"clip {clip!r}: {name} of frame {int(bad.argmax())} is not finite")
        if np.abs(np.linalg.norm(rotations, axis=-1) - 1.0).max() > 1e-4:
            raise InputError(f"clip {clip!r}: rotations are not unit quaternions")
        if not (np.isfinite(fps) and fps > 0):
            raise InputError(f"clip {clip!r}: fps is {fps}; expected a positive number")
        self._clips.add(clip)
        if licence and licence not in self._licences:
            if self._writer is not None:  # a part's schema, which names the licences, is written at its begin
                self._flush()
                self._close_part()
            self._licences.append(licence)
        text = dict(zip(TEXT, (clip, subject, action, source), strict=True))
        columns: dict[str, pa.Array] = {name: pa.repeat(value, frames) for name, value in text.items()}
        columns["frame"] = pa.array(np.arange(frames, dtype=np.int32))
        columns["fps"] = pa.array(np.full(frames, fps, dtype=np.float32))
        for name, value in arrays.items():
            flat = pa.array(np.ascontiguousarray(value, dtype=np.float32).reshape(-1))
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(ARRAYS[name])))
        schema = schema_of().remove_metadata()
        self._rows.append(pa.table([columns[name] for name in schema.names], schema=schema))
        self._pending += frames
        self.frames += frames
        if self._pending >= _ROWS_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._folder is None:
            raise RuntimeError("StoreWriter is used outside its `with` block")
        if self._writer is None:
            number = len(list(self._folder.glob("*.parquet")))
            leaves = [f"{name}.list.element" for name in ARRAYS]
            self._writer = pq.ParquetWriter(
                self._folder / f"part-{number:05d}.parquet", schema_of(self._licences), compression="zstd",
                use_dictionary=list(TEXT), column_encoding=dict.fromkeys([*leaves, "fps"], "BYTE_STREAM_SPLIT"),
                write_statistics=["clip", "frame", "subject", "action", "source", "fps"],
            )  # fmt: skip
        rows = pa.concat_tables(self._rows).replace_schema_metadata(self._writer.schema.metadata)
        self._writer.write_table(rows, row_group_size=_ROWS_A_GROUP)
        self._rows, self._pending = [], 0

    def _close_part(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._licences = None, []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        folder = self._folder
        if folder is None:
            return
        try:
            if isinstance(error, OSError) and error.filename is None:  # writing fails and does not say where
                raise error
            if kind is not None:
                return
            self._flush()
            if not self.frames:
                raise InputError(f"{self.path}: no clip was added; nothing to store")
            self._close_part()
            put_folder(folder, self.path, self._replaced)
        except OSError as failure:
            raise InputError(f"{self.path}: cannot be written ({failure.strerror or failure})") from None
        finally:
            if self._writer is not None:
                with contextlib.suppress(OSError, pa.ArrowException):
                    self._writer.close()
            discard_folder(folder)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)
