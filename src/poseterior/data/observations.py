"""Observations: keypoints with the poses that they show, what a lifter learns from and is measured on; their file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..files.errors import InputError
from ..files.writing import atomic_write, make_folder
from ..geometry.skeletons import SKELETONS
from ..keypoints import Keypoints2D

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11
import dataclasses
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..keypoints import PoseId

__all__ = [
    "ObservationSet",
    "Observations",
    "load_observations",
    "save_observations",
]


@dataclass(frozen=True)
class Observations:
    """What the simulator returns for ``n`` poses.

    Attributes:
        keypoints: the evidence, skeleton h36m17, with as much camera and height as the lifter is told.
        pose: ``(n, 17, 3)`` metres relative to the pelvis, camera axes: the truth.
        observed: ``(n, 17)`` joints of the truth that exist in the source.
        root: ``(n, 3)`` metres, the pelvis in camera axes.
        index: ``(n,)`` frame of the mocap that gave the trunk.
    """

    keypoints: Keypoints2D
    pose: Tensor
    observed: Tensor
    root: Tensor
    index: Tensor

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Some of the poses: rows, a slice or a mask."""
        return type(self)(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def to(self, device: torch.device | str) -> Self:
        parts = {f.name: getattr(self, f.name).to(device) for f in fields(self)}
        return type(self)(**parts)


_FORMAT = "poseterior-observations-1"


@dataclasses.dataclass(frozen=True)
class ObservationSet:
    """Observations with the names of what they came from.

    Attributes:
        observations: see `Observations`.
        action, subject: one string per pose.
        protocol: name and version, e.g. ``"cmu-test v1"``.
        seed: the seed they were drawn with.
    """

    observations: Observations
    action: tuple[str, ...]
    subject: tuple[str, ...]
    protocol: str
    seed: int

    def __len__(self) -> int:
        return len(self.observations.pose)


_COLUMNS: dict[str, tuple[int, ...]] = {
    "xy": (17, 2), "covariance": (17, 2, 2), "visible": (17,), "image_size": (2,), "intrinsics": (4,),
    "height": (), "amplitude": (17,), "pose": (17, 3), "observed": (17,), "root": (3,),
}  # fmt: skip


def save_observations(data: ObservationSet, path: str | Path) -> None:
    """Write one Parquet file: one row per pose, tensors flattened row-major; constants in the schema metadata."""
    o = data.observations
    tensors = {name: getattr(o.keypoints, name) for name in ("xy", "covariance", "visible", "image_size")}
    tensors |= {name: getattr(o.keypoints, name) for name in ("intrinsics", "height", "amplitude")}
    tensors |= {"pose": o.pose, "observed": o.observed, "root": o.root}
    columns: dict[str, Any] = {
        "clip": pa.array([i.file for i in o.keypoints.ids]),
        "frame": pa.array([i.frame for i in o.keypoints.ids], pa.int32()),
        "action": pa.array(data.action),
        "subject": pa.array(data.subject),
    }
    for name, shape in _COLUMNS.items():
        flat = pa.array(tensors[name].reshape(-1).numpy())
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(shape))) if shape else flat
    metadata = {
        "format": _FORMAT, "protocol": data.protocol, "seed": str(data.seed), "units": "metres, pixels",
        "axes": "x right, y down, z forward (camera)", "joints": json.dumps(SKELETONS["h36m17"].joints),
        "shapes": json.dumps(_COLUMNS),
    }  # fmt: skip
    table = pa.table(columns).replace_schema_metadata(metadata)
    make_folder(Path(path).parent)
    with atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd", use_dictionary=["clip", "action", "subject"])


def load_observations(path: str | Path) -> ObservationSet:
    """Read what `save_observations` wrote.

    Raises:
        InputError: no such file, not Parquet, or not made by `poseterior data simulate`.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error})") from None
    metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    if metadata.get("format") != _FORMAT:
        raise InputError(f"{path}: not an observation file; make one with `poseterior data simulate`")
    values: dict[str, torch.Tensor] = {}
    needed = [name for name in ("clip", "frame", "action", "subject", *_COLUMNS) if name != "amplitude"]
    absent = [name for name in needed if name not in table.column_names]
    if absent:
        raise InputError(
            f"{path}: the column {absent[0]!r} is missing; make the file anew with `poseterior data simulate`"
        )
    for name, shape in _COLUMNS.items():
        if name not in table.column_names:  # files from before there were amplitudes
            continue
        column = table[name].combine_chunks()
        flat = column.flatten() if shape else column
        values[name] = torch.from_numpy(flat.to_numpy(zero_copy_only=False).copy()).reshape(-1, *shape)
    ids = [PoseId(c, f, 0) for c, f in zip(table["clip"].to_pylist(), table["frame"].to_pylist(), strict=True)]
    keypoints = Keypoints2D(
        values["xy"],
        values["covariance"],
        values["visible"],
        values["image_size"],
        intrinsics=values["intrinsics"],
        height=values["height"],
        amplitude=values.get("amplitude"),
        ids=ids,
    )
    index = torch.arange(len(ids))
    observations = Observations(keypoints, values["pose"], values["observed"], values["root"], index)
    return ObservationSet(
        observations,
        tuple(table["action"].to_pylist()),
        tuple(table["subject"].to_pylist()),
        metadata["protocol"],
        int(metadata["seed"]),
    )
