"""The scores of every single pose, and their file: what a mean, its uncertainty and a comparison are made of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..files.checks import cut, quote
from ..files.errors import InputError
from ..files.extras import later
from ..files.parquet import column_names, numbers_of, read_table, texts_of
from ..files.reading import reader
from ..files.writing import atomic_write
from ..geometry.skeletons import SKELETONS
from ..metrics import accuracy
from .collect import REGION_LEVEL, Collected, groups_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:  # an extra: imported when a file is read or written
    pa, pq = (later("parquet", name, "a file of scores") for name in ("pyarrow", "pyarrow.parquet"))

__all__ = ["PoseScores", "load_pose_scores", "pose_scores", "save_pose_scores"]

_FORMAT = "poseterior-pose-scores-1"
#: Columns that say which pose a row is.
_NAMES = ("clip", "person", "frame", "subject", "action")


@dataclass(frozen=True)
class PoseScores:
    """Scores of poses, one row per pose.

    Attributes:
        names: ``clip``, ``person``, ``frame``, ``subject`` and ``action`` of each pose.
        values: name -> ``(poses,)`` or, per joint, ``(poses, joints)``. Errors, scores and radii in mm, NLL in nats per
            dimension, ranks 0 to 1 (uniform if the distribution is right); NaN what could not be measured.
    """

    names: Mapping[str, list[Any]]
    values: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.names["clip"])

    @property
    def groups(self) -> tuple[Tensor, int, str]:
        """See `poseterior.evaluation.collect.groups_of`."""
        return groups_of(self.names["clip"], self.names["subject"])


def pose_scores(found: Collected) -> PoseScores:
    """Each pose's own scores, from one pass.

    ``MPJPE``, ``N-MPJPE`` and ``P-MPJPE`` are those of the mean pose, ``medoid: MPJPE`` and so on those of other
    single poses, ``best MPJPE`` and ``best P-MPJPE`` those of the hypothesis nearest to the truth. ``rank`` is the
    truth's per joint (`coverage_ranks`), ``density rank`` and ``TARP rank`` that of the whole pose, ``SBC: ...``
    those of the quantities with names. ``exists`` and ``visible`` say which joints the truth has and which
    keypoints were there; ``novelty``, if it was asked for, how far the truth is from all training poses (mm).
    """
    ids = found.data.observations.keypoints.ids
    names: dict[str, list[Any]] = {
        "clip": [one.file for one in ids],
        "person": [one.person for one in ids],
        "frame": [one.frame for one in ids],
        "subject": list(found.data.subject),
        "action": list(found.data.action),
    }
    mean, truth, valid = found["pose: mean"], found["truth"], found["valid"]
    values = {"N-MPJPE": 1000 * accuracy.n_mpjpe(mean, truth, valid)}
    for estimate, pose in found.starting("pose: ").items():
        prefix = "" if estimate == "mean" else f"{estimate}: "
        values[f"{prefix}MPJPE"] = 1000 * accuracy.mpjpe(pose, truth, valid)
        values[f"{prefix}P-MPJPE"] = 1000 * accuracy.p_mpjpe(pose, truth, valid)
    kept = {
        "best MPJPE": "best MPJPE", "best P-MPJPE": "best P-MPJPE", "CRPS": "CRPS", "energy score": "energy score",
        "pose energy score": "pose energy score", "variogram score": "variogram score", "NLL": "NLL",
        "density rank": "density ranks", "TARP rank": "TARP", "in the pose region": "region pose",
        "bone spread": "bone spread", "joint limits": "joint limits", "order right": "order right",
        "order counted": "order counted", "rank": "ranks", "radius": "radius", "in the region": "region inside",
        "region radius": "region radius", "exists": "valid", "visible": "visible", "novelty": "novelty",
    }  # fmt: skip
    values |= {name: found[source] for name, source in kept.items() if source in found}
    values |= {f"SBC: {name}": ranks for name, ranks in found.starting("SBC: ").items()}
    return PoseScores(names, values)


def _table(scores: PoseScores, extra: Mapping[str, str]) -> pa.Table:
    columns: dict[str, Any] = {name: pa.array([value] * len(scores)) for name, value in extra.items()}
    columns |= {name: pa.array(column) for name, column in scores.names.items()}
    for name, value in scores.values.items():
        flat = value.float() if value.is_floating_point() else value
        array = pa.array(flat.reshape(-1).numpy())
        columns[name] = array if value.ndim == 1 else pa.FixedSizeListArray.from_arrays(array, value.shape[1])
    return pa.table(columns)


def save_pose_scores(scores: Mapping[tuple[str, str], PoseScores], path: str | os.PathLike[str]) -> None:
    """Write one Parquet file, one row per pose, lifter and protocol.

    Args:
        scores: by lifter and protocol. Columns that some lack (NLL where there is no density) are null there.
        path: of the file.

    Raises:
        InputError: the file cannot be written.
    """
    tables = [_table(one, {"lifter": lifter, "protocol": protocol}) for (lifter, protocol), one in scores.items()]
    metadata = {
        "format": _FORMAT,
        "units": "mm; NLL in nats per dimension; ranks 0 to 1",
        "region level": str(REGION_LEVEL),
        "joints": " ".join(SKELETONS["h36m17"].joints),
    }
    whole = pa.concat_tables(tables, promote_options="default").replace_schema_metadata(metadata)
    with atomic_write(path) as file:
        pq.write_table(
            whole, file, compression="zstd", use_dictionary=["lifter", "protocol", "clip", "subject", "action"]
        )


@reader("measure anew with `poseterior bench`")
def load_pose_scores(path: str | os.PathLike[str]) -> dict[tuple[str, str], PoseScores]:
    """Read what `save_pose_scores` wrote, by lifter and protocol.

    Raises:
        InputError: no such file, not Parquet, or another kind of file.
    """
    table = read_table(path)
    if (table.schema.metadata or {}).get(b"format") != _FORMAT.encode():
        raise InputError(f"{path}: no scores of poses; `poseterior bench` writes them")
    column_names(table.schema, ("lifter", "protocol", *_NAMES), "measure anew with `poseterior bench`")
    keys = list(zip(texts_of(table["lifter"], "lifter"), texts_of(table["protocol"], "protocol"), strict=True))
    rows: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return {key: _read(table.take(own)) for key, own in rows.items()}


def _read(table: pa.Table) -> PoseScores:
    names: dict[str, list[Any]] = {}
    for name in _NAMES:
        whole = name in ("person", "frame")
        names[name] = numbers_of(table[name], name, kinds="iu").tolist() if whole else texts_of(table[name], name)
    values = {}
    for name in table.column_names:
        column = table[name]
        if name in (*_NAMES, "lifter", "protocol") or column.null_count == len(column):
            continue
        column = column.combine_chunks()
        per_joint = pa.types.is_fixed_size_list(column.type)
        kind = column.type.value_type if per_joint else column.type
        if not any(is_one(kind) for is_one in (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean)):
            raise InputError(f"column {quote(name)} holds {cut(str(column.type))}; expected scores")
        array = np.array((column.flatten() if per_joint else column).to_numpy(zero_copy_only=False))
        if array.dtype.kind not in "fbiu" or np.isinf(array).any():
            raise InputError(
                f"column {quote(name)} holds an empty cell, or infinity; expected scores, or NaN where there is none"
            )
        values[name] = torch.from_numpy(array.reshape(len(table), -1) if per_joint else array)
    return PoseScores(names, values)
