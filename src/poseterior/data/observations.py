"""Observations: keypoints with the poses that they show, what a lifter learns from and is measured on; their file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..files.checks import quote
from ..files.errors import InputError
from ..files.extras import installed, later
from ..files.parquet import METADATA_LOST, column_names, metadata_of, numbers_of, open_parquet, read_table, texts_of
from ..files.reading import reader
from ..files.writing import atomic_write, make_folder
from ..geometry.skeletons import SKELETONS, Skeleton, get_skeleton, skeleton_map
from ..keypoints import Keypoints2D, PoseId

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from typing_extensions import Self  # typing has it from Python 3.11
else:  # an extra: imported when a file is read or written
    pa, pq = (later("parquet", name, "a file of observations") for name in ("pyarrow", "pyarrow.parquet"))

__all__ = [
    "ObservationSet",
    "Observations",
    "is_observations",
    "load_observations",
    "observations_in",
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


def observations_in(observations: Observations, skeleton: str | Skeleton) -> Observations:
    """The same people in another skeleton's joints, keypoints and poses alike; poses relative to its root.

    A joint that the poses lack is made of others as keypoints are (`poseterior.geometry.skeletons.RULES`), and is
    ``observed`` where all of these are.

    Raises:
        InputError: a skeleton whose root cannot be made of these joints.
    """
    target, source = get_skeleton(skeleton), observations.keypoints.skeleton
    if target == source:
        return observations
    plan = skeleton_map(source, target)
    if not plan.available[target.root]:
        raise InputError(f"{target.name}: its root {target.joints[target.root]!r} cannot be made of {source.name}")
    weights = torch.as_tensor(plan.weights, dtype=observations.pose.dtype, device=observations.pose.device)
    known = torch.where(observations.observed.unsqueeze(-1), observations.pose, 0.0)
    pose = torch.einsum("ts,nsc->ntc", weights, known)
    lacking = torch.einsum("ts,ns->nt", (weights != 0).float(), (~observations.observed).float()) > 0
    observed = ~lacking & torch.as_tensor(plan.available, device=pose.device)
    root = pose[:, target.root]
    return dataclasses.replace(
        observations,
        keypoints=observations.keypoints.as_skeleton(target),
        pose=pose - root.unsqueeze(1),
        observed=observed & observed[:, target.root : target.root + 1],
        root=observations.root + root,
    )


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

    def __post_init__(self) -> None:
        """Raises `InputError` for an observed joint or a place that is not finite; names the pose."""
        wrong = {
            "pose": (~self.observations.pose.isfinite().all(-1) & self.observations.observed).any(-1),
            "root": ~self.observations.root.isfinite().all(-1),
        }
        for name, bad in wrong.items():
            if not bad.any():
                continue
            identity = self.observations.keypoints.ids[int(bad.nonzero()[0])]
            raise InputError(f"{name}: {quote(identity.file)}, frame {identity.frame}: is not finite, or too large")

    def __len__(self) -> int:
        return len(self.observations.pose)


_COLUMNS: dict[str, tuple[int, ...]] = {
    "xy": (17, 2), "covariance": (17, 2, 2), "visible": (17,), "image_size": (2,), "intrinsics": (4,),
    "height": (), "amplitude": (17,), "fits": (17, 6), "pose": (17, 3), "observed": (17,), "root": (3,),
}  # fmt: skip


#: Columns that not every file has: there were no amplitudes at first, and few detectors' heatmaps are fitted.
_OPTIONAL = ("amplitude", "fits")


def save_observations(data: ObservationSet, path: str | Path) -> None:
    """Write one Parquet file: one row per pose, tensors flattened row-major; constants in the schema metadata."""
    o = data.observations
    tensors = {name: getattr(o.keypoints, name) for name in ("xy", "covariance", "visible", "image_size")}
    tensors |= {name: getattr(o.keypoints, name) for name in ("intrinsics", "height", "amplitude")}
    if o.keypoints.fits is not None:
        tensors["fits"] = o.keypoints.fits
    tensors |= {"pose": o.pose, "observed": o.observed, "root": o.root}
    columns: dict[str, Any] = {
        "clip": pa.array([i.file for i in o.keypoints.ids]),
        "frame": pa.array([i.frame for i in o.keypoints.ids], pa.int32()),
        "action": pa.array(data.action),
        "subject": pa.array(data.subject),
    }
    for name, shape in _COLUMNS.items():
        if name not in tensors:
            continue
        flat = pa.array(tensors[name].reshape(-1).numpy())
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(shape))) if shape else flat
    metadata = {
        "format": _FORMAT, "protocol": data.protocol, "seed": str(data.seed), "units": "metres, pixels",
        "axes": "x right, y down, z forward (camera)", "joints": json.dumps(SKELETONS["h36m17"].joints),
        "shapes": json.dumps({name: shape for name, shape in _COLUMNS.items() if name in tensors}),
    }  # fmt: skip
    table = pa.table(columns).replace_schema_metadata(metadata)
    make_folder(Path(path).parent, path)
    with atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd", use_dictionary=["clip", "action", "subject"])


def is_observations(path: str | Path) -> bool:
    """Whether a file is one of observations; False for what is no readable Parquet file."""
    path = Path(path)
    if path.suffix.lower() != ".parquet" or not path.is_file() or not installed("pyarrow"):
        return False
    try:
        with open_parquet(path) as file:
            return metadata_of(file).get("format") == _FORMAT
    except InputError:
        return False


#: Columns that hold true or false.
_FLAGS = ("visible", "observed")
_REMEDY = "make the file anew with `poseterior data simulate`"


@reader(_REMEDY)
def load_observations(path: str | Path) -> ObservationSet:
    """Read what `save_observations` wrote.

    Raises:
        InputError: no such file, not Parquet, not made by `poseterior data simulate`, or a column with anything but
            what belongs there; names the column.
    """
    table = read_table(path)
    with open_parquet(path) as file:
        metadata = metadata_of(file)
    if metadata.get("format") != _FORMAT:
        if set(_COLUMNS) <= {*table.column_names, *_OPTIONAL} and "format" not in metadata:
            raise InputError(f"holds the columns of observations, but no metadata that say so: {METADATA_LOST}")
        raise InputError("not an observation file; make one with `poseterior data simulate`")
    needed = [name for name in ("clip", "frame", "action", "subject", *_COLUMNS) if name not in _OPTIONAL]
    column_names(table.schema, needed, _REMEDY)
    values: dict[str, torch.Tensor] = {}
    for name, shape in _COLUMNS.items():
        if name not in table.column_names:
            continue
        array = numbers_of(table[name], name, shape, "b" if name in _FLAGS else "f", missing=name == "height")
        with np.errstate(over="ignore"):  # what is too large is refused as infinite
            values[name] = torch.from_numpy(array.astype(bool if name in _FLAGS else np.float32))
    frames = numbers_of(table["frame"], "frame", kinds="iu")
    ids = [PoseId(c, f, 0) for c, f in zip(texts_of(table["clip"], "clip"), frames.tolist(), strict=True)]
    keypoints = Keypoints2D(
        values["xy"],
        values["covariance"],
        values["visible"],
        values["image_size"],
        intrinsics=values["intrinsics"],
        height=values["height"],
        amplitude=values.get("amplitude"),
        fits=values.get("fits"),
        ids=ids,
    )
    index = torch.arange(len(ids))
    observations = Observations(keypoints, values["pose"], values["observed"], values["root"], index)
    return ObservationSet(
        observations,
        tuple(texts_of(table["action"], "action")),
        tuple(texts_of(table["subject"], "subject")),
        _text(metadata, "protocol"),
        _seed(metadata),
    )


def _text(metadata: dict[str, str], name: str) -> str:
    if name not in metadata:
        raise InputError(f"the schema's metadata lack {name!r}; {_REMEDY}")
    return metadata[name]


def _seed(metadata: dict[str, str]) -> int:
    text = _text(metadata, "seed")
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 20):
        raise InputError(f"the schema's metadata 'seed' is {quote(text)}; expected a whole number; {_REMEDY}")
    return int(text)
