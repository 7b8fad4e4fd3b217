"""Answers to "which of these two joints is nearer the camera", and the Parquet file that keeps them.

Coding: -1 = joint a nearer, +1 = joint b nearer (a is farther: ``z_a > z_b``), 0 = same depth. "Cannot tell" is label
0 with confidence 0: it weighs nothing in any loss.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...files.checks import quote
from ...files.errors import InputError
from ...files.extras import later
from ...files.parquet import column_names, metadata_of, numbers_of, read_table, texts_of
from ...files.reading import reader
from ...files.writing import atomic_write
from ...geometry.skeletons import get_skeleton
from ...keypoints import PoseId

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:  # an extra: imported when a file is read or written
    pa, pq = (later("parquet", name, "a file of labels") for name in ("pyarrow", "pyarrow.parquet"))

__all__ = [
    "DepthLabels",
    "image_id",
    "load_labels",
    "save_labels",
]

_FORMAT = "poseterior.depth-labels/1"
_TYPES = {
    "image": "string", "joint_a": "string", "joint_b": "string", "label": "int8", "confidence": "float32",
    "annotator": "string", "time": "float64",
}  # fmt: skip
_METADATA = {
    "format": _FORMAT,
    "label": "-1 joint_a is nearer the camera, +1 joint_b is nearer, 0 same depth",
    "confidence": "0 to 1; label 0 with confidence 0 means cannot tell",
    "time": "seconds since 1970, NaN unknown",
}


@dataclass(frozen=True, eq=False)
class DepthLabels:
    """Depth-order labels, one row per answer; all arrays of length ``n``.

    Attributes:
        image: str, see `image_id`.
        joint_a, joint_b: str, joint names of ``skeleton``.
        label: int8, -1 joint a nearer, +1 joint b nearer, 0 same depth.
        confidence: float32 in [0, 1]: what the answer weighs, e.g. the probability that it is right.
        annotator: str, "" for merged or simulated labels.
        time: float64, seconds since 1970, NaN where unknown.
        skeleton: name of a skeleton in `poseterior.geometry.skeletons.SKELETONS`.

    Raises:
        InputError: columns of different lengths or of another type, a joint that the skeleton has not, a joint
            compared with itself, a label or confidence out of range; names row (from 0), field, value and remedy.
    """

    image: np.ndarray
    joint_a: np.ndarray
    joint_b: np.ndarray
    label: np.ndarray
    confidence: np.ndarray
    annotator: np.ndarray
    time: np.ndarray
    skeleton: str

    def __post_init__(self) -> None:
        joints = np.array(get_skeleton(self.skeleton).joints)
        columns = {name: _column(getattr(self, name), name) for name in _TYPES}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise InputError(f"depth labels: columns of different lengths ({found}); give one entry per row in each")
        for name in ("joint_a", "joint_b"):
            known = ", ".join(joints)
            _refuse(~np.isin(columns[name], joints), columns[name], name, f"a joint of {self.skeleton}: {known}")
        same = columns["joint_a"] == columns["joint_b"]
        _refuse(same, columns["joint_b"], "joint_b", "another joint than joint_a")
        _refuse(
            ~np.isin(columns["label"], (-1, 0, 1)),
            columns["label"],
            "label",
            "-1 (joint_a nearer), +1 (joint_b nearer) or 0 (same depth)",
        )
        inside = (columns["confidence"] >= 0) & (columns["confidence"] <= 1)
        _refuse(~inside, columns["confidence"], "confidence", "a number from 0 to 1")
        _refuse(np.isinf(columns["time"]), columns["time"], "time", "seconds since 1970, or NaN where unknown")
        for name, column in columns.items():
            kind = np.str_ if _TYPES[name] == "string" else np.dtype(_TYPES[name])
            object.__setattr__(self, name, column.astype(kind))

    def __len__(self) -> int:
        return len(self.label)

    def select(self, mask: Any) -> DepthLabels:
        """Some of the rows: a mask, indices or a slice."""
        return DepthLabels(**{name: getattr(self, name)[mask] for name in _TYPES}, skeleton=self.skeleton)

    @staticmethod
    def cat(parts: Sequence[DepthLabels]) -> DepthLabels:
        """Join labels of one skeleton.

        Raises:
            InputError: nothing to join, or different skeletons.
        """
        skeletons = sorted({part.skeleton for part in parts})
        if not skeletons:
            raise InputError("depth labels: nothing to join")
        if len(skeletons) > 1:
            raise InputError(f"depth labels: cannot join those of different skeletons: {', '.join(skeletons)}")
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _TYPES}
        return DepthLabels(**columns, skeleton=skeletons[0])


def _column(value: Any, name: str) -> np.ndarray:
    """``value`` as a one-dimensional array of text or of float64 (label: checked before it is made whole)."""
    array = np.asarray(value)
    if array.ndim != 1:
        raise InputError(f"depth labels: {name} has shape {array.shape}; expected one entry per row")
    text = _TYPES[name] == "string"
    if len(array) == 0:
        return array.astype(np.str_ if text else np.float64)
    if text:
        if array.dtype.kind != "U":
            strange = np.array([not isinstance(entry, str) for entry in array.tolist()])
            _refuse(strange, array, name, "text")
        return array.astype(np.str_)
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError(f"depth labels: {name} holds {array.dtype.name}; expected numbers") from None


def _refuse(bad: np.ndarray, column: np.ndarray, name: str, expected: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"depth labels: row {row}: {name} is {quote(column[row : row + 1].tolist()[0])}; expected {expected}"
        )


def image_id(pose_id: PoseId) -> str:
    """Name of a person in an image, as in the labels: FILE, FILE#FRAME or FILE#FRAME#PERSON.

    The parts that are 0 at the end are left out.

    >>> [image_id(PoseId("walk.jpg", *rest)) for rest in ((0, 0), (7, 0), (0, 2))]
    ['walk.jpg', 'walk.jpg#7', 'walk.jpg#0#2']
    """
    if pose_id.person:
        return f"{pose_id.file}#{pose_id.frame}#{pose_id.person}"
    return f"{pose_id.file}#{pose_id.frame}" if pose_id.frame else pose_id.file


def save_labels(labels: DepthLabels, path: str | os.PathLike[str]) -> None:
    """Write one Parquet file: the columns of `DepthLabels`, the skeleton in the schema metadata."""
    columns = {name: pa.array(getattr(labels, name), pa.type_for_alias(kind)) for name, kind in _TYPES.items()}
    table = pa.table(columns).replace_schema_metadata(_METADATA | {"skeleton": labels.skeleton})
    with atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd")


@reader()
def load_labels(path: str | os.PathLike[str]) -> DepthLabels:
    """Read what `save_labels` wrote.

    Raises:
        InputError: no such file, not Parquet, another content, or a row that `DepthLabels` refuses.
    """
    where = Path(path)
    if where.is_dir():
        raise InputError("is a folder; expected a Parquet file of depth labels")
    try:
        table = read_table(where)
    except InputError as error:
        remedy = "; import .csv and .json with `poseterior labels import`" if where.exists() else ""
        raise InputError(f"{error}{remedy}") from None
    metadata = metadata_of(table.schema)
    if metadata.get("format") != _FORMAT:
        raise InputError("not a file of depth labels; make one with `poseterior labels import`")
    column_names(table.schema, tuple(_TYPES), "make the file anew")
    columns: dict[str, Any] = {}
    for name, kind in _TYPES.items():
        if table[name].null_count:
            raise InputError(f"the column {name!r} has empty entries; make the file anew")
        if kind == "string":
            columns[name] = np.array(texts_of(table[name], name), np.str_)
        else:
            columns[name] = numbers_of(table[name], name, kinds="fiu")
    return DepthLabels(**columns, skeleton=metadata.get("skeleton", ""))
