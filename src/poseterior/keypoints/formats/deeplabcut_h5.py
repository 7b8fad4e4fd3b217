"""DeepLabCut's HDF5: a pandas table, its header told by the restricted reader of pickles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...files.checks import Array, quote
from ...files.errors import InputError
from ...files.hdf5 import check_size
from ...files.pickles import read_pickle_bytes
from ..detections import Detections, Options
from ..hdf5_files import HDF5File
from .deeplabcut import detections_of_columns

NAME = "deeplabcut-h5"
ABOUT = "DeepLabCut's .h5 (a pandas table df_with_missing, or labelled data), of one or several people"
EXAMPLE = (
    "videoDLC_resnet50_projectshuffle1_100000.h5: /df_with_missing/table (frames, individuals x bodyparts x coords)"
)
#: Made of an `HDF5File`, not of JSON.
KIND = "hdf5"

_KEYS = ("df_with_missing", "keypoints", "tracks")
#: The longest header that is looked at (bytes of the attribute).
_LONGEST_HEADER = 16 * 1024**2


def recognises(data: Any) -> int:
    """A pandas table under one of DeepLabCut's names, or the only one in the file."""
    return 3 * (isinstance(data, HDF5File) and _key(data) is not None)


def _key(data: HDF5File) -> str | None:
    tables = [name for name, kind in data.pandas.items() if kind in ("frame_table", "frame")]
    return next((key for key in _KEYS if key in tables), tables[0] if len(tables) == 1 else None)


def read(data: HDF5File, options: Options) -> list[Detections]:
    """Keypoints of an .h5 file, whether pandas wrote it as ``table`` (DeepLabCut's analysis) or ``fixed``.

    Raises:
        InputError: h5py is missing, no such table, a header that is not DeepLabCut's, no joint that is a person's.
    """
    key = _key(data)
    with data.opened() as file:
        group = file[key]
        if data.pandas[key or ""] == "frame_table":
            keys, values, index = _of_table(group)
        else:
            keys, values, index = _of_fixed(group)
    return detections_of_columns([_own(key) for key in keys], values, index, options)


def _own(levels: Sequence[Any]) -> tuple[str, str, str]:
    """Individual, body part and coordinate of (scorer, [individual,] body part, coordinate)."""
    texts = [str(level) for level in levels]
    if len(texts) == 4:
        return texts[1], texts[2], texts[3]
    if len(texts) == 3:
        return "", texts[1], texts[2]
    raise InputError(f"header {quote(tuple(texts))}: expected scorer, individuals, bodyparts, coords")


def _of_table(group: Any) -> tuple[list[Any], Array, list[str | int]]:
    table = group["table"]
    check_size(table)
    rows = table[()]
    names = [name for name in rows.dtype.names or () if name.startswith("values_block_")]
    keys: list[Any] = []
    blocks: list[Array] = []
    for name in names:
        raw = table.attrs.get(f"{name}_kind")
        if not isinstance(raw, bytes) or len(raw) > _LONGEST_HEADER:
            raise InputError(f"{name}: no header; was it written by DeepLabCut?")
        header = read_pickle_bytes(raw, f"the header of {name}")
        block = rows[name].reshape(len(rows), -1)
        if not isinstance(header, list) or len(header) != block.shape[1] or block.dtype.kind not in "fiu":
            raise InputError(f"{name}: its header does not fit its {block.shape[1]} columns of {block.dtype}")
        if not all(isinstance(levels, tuple) for levels in header):
            raise InputError(f"{name}: header {quote(header[0])}: expected scorer, individuals, bodyparts, coords")
        keys += header
        blocks.append(block.astype(np.float64))
    if not blocks:
        raise InputError("the table holds no columns of numbers")
    index = [name for name in rows.dtype.names or () if name == "index" or name.startswith("level_")]
    return keys, np.concatenate(blocks, 1), _index([rows[name] for name in sorted(index)], len(rows))


def _of_fixed(group: Any) -> tuple[list[Any], Array, list[str | int]]:
    levels = int(group.attrs.get("axis0_nlevels", 0))
    if not 3 <= levels <= 4:
        raise InputError("its header is not scorer, individuals, bodyparts, coords")
    found = {name: _array(group, name) for name in group if name.startswith(("axis", "block"))}
    keys: list[Any] = []
    blocks = []
    for block in range(int(group.attrs.get("nblocks", 0))):
        values = found[f"block{block}_values"]
        if values.dtype.kind not in "fiu" or values.ndim != 2:
            raise InputError(f"block {block} holds {values.dtype} {values.shape}; expected columns of numbers")
        parts = [(found[f"block{block}_items_level{i}"], found[f"block{block}_items_label{i}"]) for i in range(levels)]
        keys += list(zip(*([_text(level[place]) for place in label] for level, label in parts), strict=True))
        blocks.append(values.astype(np.float64))
    names = [name for name in ("axis1", *(f"axis1_level{i}" for i in range(4))) if name in found]
    count = len(blocks[0]) if blocks else 0
    labels = [found[name][found[name.replace("level", "label")]] if "level" in name else found[name] for name in names]
    return keys, np.concatenate(blocks, 1), _index(labels, count)


def _array(group: Any, name: str) -> Array:
    check_size(group[name])
    return np.asarray(group[name][()])


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _index(columns: Sequence[Array], rows: int) -> list[str | int]:
    """Frame numbers, or names of pictures from the parts of their paths."""
    if len(columns) == 1 and columns[0].dtype.kind in "iu":
        return [int(n) for n in columns[0]]
    if not columns:
        return list(range(rows))
    return ["/".join(_text(part) for part in parts) for parts in zip(*columns, strict=True)]
