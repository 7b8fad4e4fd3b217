"""The HDF5 files of Yu et al. (ICCV 2021): Human3.6M, MPI-INF-3DHP and Leeds Sports Pose in 17 joints.

One file per split, whose name says the data set (``h36m_train_pred3.h5``); a row of each of its arrays is one picture:

* ``imagename``: text, ``S1/Walking/54138969/000123.jpg``: subject, action, camera, frame.
* ``joint_2d_gt``, ``joint_2d_pre`` ``(n, 17, 2)``: the true joints in the picture, and those that a detector found.
* ``joint_3d_gt`` ``(n, 17, 3)``: camera axes (x right, y down, z forward), metres; LSP has none.
* ``seqname``, where it is there: text, the sequence that the picture belongs to.

The files themselves were never to be had by us; what they are known to vary in is told apart by the numbers:

* The joints are in the order `JOINTS`, unless the bones are far shorter in that of Human3.6M or MPI-INF-3DHP.
* 2D coordinates are pixels, or what the published loaders make of them: shifted and divided by half a picture (which
  is undone; LSP's two axes were divided by different numbers), or moreover relative to the pelvis with a mean distance
  of 0.1 from there to the head. Where these poses stood is lost, and `ROOT_RELATIVE_PX` is made of their unit.
* 3D coordinates are metres or millimetres, relative to the pelvis or to the camera.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ...files.checks import naming
from ...files.errors import InputError
from ...files.hdf5 import open_h5, read_numbers, read_texts
from ...files.reading import reader
from ...geometry.skeletons import SKELETONS
from ...keypoints import MAXIMUM_COORDINATE, MINIMUM_SPREAD_PX, Keypoints2D, PoseId
from ..observations import Observations, ObservationSet
from .h36m_layout import IMAGE_SIZES, action_name
from .lsp import observations_without_truth

__all__ = [
    "DETECTIONS",
    "JOINTS",
    "ROOT_RELATIVE_PX",
    "read_yu_h5",
]

_BODY, _LSP, _MPI = (SKELETONS[name] for name in ("h36m17", "lsp14", "mpi17"))

#: 2D keypoints: the true ones, or those that a detector found.
DETECTIONS = ("gt", "pre")
#: The order of the joints, in the names of h36m17.
JOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
    "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "thorax", "pelvis", "spine", "neck_nose", "head_top",
)  # fmt: skip
#: Orders that a file may have; the published loaders turn the other two into the first.
_ORDERS = (JOINTS, _BODY.joints, tuple({"neck": "thorax", "head": "neck_nose"}.get(j, j) for j in _MPI.joints))
#: Another order than the first is believed if its bones are shorter by this factor (in truth about a half).
_FAR_SHORTER = 0.8

#: Pixels that one unit of coordinates relative to the pelvis becomes: their 0.1 from pelvis to head are 200 px.
ROOT_RELATIVE_PX = 2000.0
#: Coordinates whose largest is below this are not pixels; normalised ones stay below 2.
_NORMALISED = 10.0
#: A pelvis nearer to 0 than this is the origin (the published loaders put it at 1e-5).
_AT_ORIGIN = 1e-3
#: Median distance of the joints from the pelvis, in metres: about 0.5.
_METRES = (0.1, 2.0)


class _DataSet(NamedTuple):
    """What differs between the data sets: what their 2D coordinates were shifted and divided by (x, y)."""

    shift: tuple[float, float]
    divisor: tuple[float, float]


_DATA_SETS = {
    "h36m": _DataSet((514.0435, 506.7003), (500.0, 500.0)),
    "mpi": _DataSet((1024.0, 1024.0), (1024.0, 1024.0)),
    "lsp": _DataSet((55.0, 90.0), (55.0, 90.0)),
}
#: Width and height of MPI-INF-3DHP's pictures, by subject.
_MPI_SIZES = {f"S{i}": (2048, 2048) for i in range(1, 9)} | {f"TS{i}": (2048, 2048) for i in range(1, 5)}
_MPI_SIZES |= {"TS5": (1920, 1080), "TS6": (1920, 1080)}
#: Names that LSP's coordinates may have: pixels first.
_LSP_KEYS = ("original_joints_2d", "joint_2d_gt", "joints_2d")


class _Name(NamedTuple):
    """What a picture's name says; ``camera`` is empty where it does not."""

    clip: str
    frame: int
    subject: str
    action: str
    camera: str


@reader()
def read_yu_h5(path: str | Path, detections: str = "gt") -> ObservationSet:
    """A file of Yu et al. as observations, sorted by clip and frame; the file is only read.

    Args:
        path: its name begins with ``h36m``, ``mpi``, ``3dhp`` or ``lsp``.
        detections: "gt" takes ``joint_2d_gt``, and reports half a pixel of uncertainty; "pre" takes ``joint_2d_pre``,
            of which nothing is known but the place.

    Returns:
        Keypoints in pixels (see the module for coordinates that are none), NaN ones missing; the image size where
        subject or camera tell it. Poses in metres relative to the pelvis, camera axes; ``observed`` nowhere in a pose
        that is missing (no ``joint_3d_gt``, a pelvis that is not finite, or zeros), nor at a joint that is not finite.
        ``root`` is the pelvis, 0 where it was stored relative. Ids have ``seqname``, else the name without its last
        part, as clip and the number at the end of the name as frame (Human3.6M: 50 Hz). LSP: 14 joints were marked,
        whose neck the files call neck/nose; the others are synthesised here; every picture is a clip.

    Raises:
        InputError: h5py is not installed, a file that is not there or broken, of an unknown data set, something
            missing or of the wrong shape, names that repeat or have no frame, poses in other axes or units.
    """
    path = Path(path)
    if detections not in DETECTIONS:
        raise InputError(f"unknown detections {detections!r}; known: {', '.join(DETECTIONS)}")
    data_set = _data_set(path)
    protocol = f"yu-h5-{path.stem}" + ("-pre" if detections == "pre" else "") + " v1"
    with open_h5(path) as file:
        if data_set == "lsp":
            return _read_lsp(file, detections, protocol)
        key = f"joint_2d_{detections}"
        labels = read_texts(file, "imagename")
        xy = _read_joints(file, key, 2, len(labels))
        xyz = _read_joints(file, "joint_3d_gt", 3, len(labels)) if "joint_3d_gt" in file else None
        sequences = read_texts(file, "seqname") if "seqname" in file else None
    if sequences is not None and len(sequences) != len(labels):
        raise InputError(f"{path}: 'seqname' has {len(sequences)} rows; expected {len(labels)}, one per imagename")
    names = _parse_names(labels, sequences, data_set, str(path))
    clips: dict[str, int] = {}
    clip = [clips.setdefault(name.clip, len(clips)) for name in names]
    rows = np.lexsort(([name.frame for name in names], clip))
    _refuse_repeated(names, rows, labels, str(path))

    order = _order_of(xy)
    xy, placed = _to_pixels(xy[:, order], data_set, f"{path}: {key!r}")
    if xyz is None:
        pose, observed, root = np.zeros((len(xy), 17, 3)), np.zeros((len(xy), 17), bool), np.zeros((len(xy), 3))
    else:
        pose, observed, root = _metric(xyz[:, order], f"{path}: 'joint_3d_gt'")
        _refuse_other_axes(pose, observed, xy, f"{path}: 'joint_3d_gt'")

    names = [names[row] for row in rows]
    sizes = [_image_size(name, data_set) if placed else (np.nan, np.nan) for name in names]
    spread = np.full(xy.shape[:2], MINIMUM_SPREAD_PX) if detections == "gt" else None
    ids = [PoseId(name.clip, name.frame, 0) for name in names]
    with naming(str(path)):
        keypoints = Keypoints2D(xy[rows], spread, image_size=np.array(sizes), ids=ids)
    observations = Observations(
        keypoints, torch.from_numpy(pose[rows]).float(), torch.from_numpy(observed[rows]),
        torch.from_numpy(root[rows]).float(), torch.arange(len(rows)),
    )  # fmt: skip
    actions, subjects = tuple(name.action for name in names), tuple(name.subject for name in names)
    return ObservationSet(observations, actions, subjects, protocol, seed=0)


def _data_set(path: Path) -> str:
    name = re.sub("^3dhp", "mpi", path.stem.lower())
    for data_set in _DATA_SETS:
        if name.startswith(data_set):
            return data_set
    raise InputError(
        f"{path}: a file's name tells its data set; let it begin with h36m, mpi, 3dhp or lsp, as h36m_train_pred3.h5"
    )


# -- what the file holds -----------------------------------------------------------------------------------


def _read_joints(file: Any, key: str, axes: int, rows: int | None = None) -> NDArray[np.float64]:
    """``(rows, 17, axes)`` in the file's order; joints and axes may be stored in one dimension."""
    values = read_numbers(file, key)
    n = values.shape[0] if rows is None and values.ndim else rows
    if values.shape not in ((n, 17, axes), (n, 17 * axes)) or n == 0:
        expected = f"({'n' if rows is None else n}, 17, {axes})"
        reason = "" if rows is None else f", as there are {n} imagenames"
        raise InputError(f"{file.filename}: {key!r} has shape {values.shape}; expected {expected}{reason}")
    values = values.reshape(-1, 17, axes)
    beyond = np.abs(values) > MAXIMUM_COORDINATE
    if beyond.any():
        row, joint, _ = np.argwhere(beyond)[0]
        raise InputError(
            f"{file.filename}: {key!r}: row {row}, joint {joint} is {values[row, joint].tolist()}; expected numbers "
            f"within ±{MAXIMUM_COORDINATE:.0e}, or NaN where missing"
        )
    return values


def _parse_names(labels: list[str], sequences: list[str] | None, data_set: str, where: str) -> list[_Name]:
    names = []
    for row, label in enumerate(labels):
        *parts, last = label.strip("/").split("/")
        number = re.search(r"(\d{1,9})(\.\w+)?$", last)
        if not parts or number is None:
            raise InputError(
                f"{where}: 'imagename': row {row} is {label[:80]!r}; expected subject/action/camera/frame with a "
                "number at its end, as S1/Walking/54138969/000123.jpg"
            )
        subject = f"S{int(parts[0])}" if parts[0].isdecimal() else parts[0]
        action = parts[1] if len(parts) > 1 else parts[0]
        clip = "/".join(parts) if sequences is None else sequences[row]
        camera = parts[2] if len(parts) > 2 else ""
        names.append(
            _Name(clip, int(number[1]), subject, action_name(action) if data_set == "h36m" else action, camera)
        )
    return names


def _refuse_repeated(names: list[_Name], rows: NDArray[np.int64], labels: list[str], where: str) -> None:
    """Frames of one number could not be put in order; ``rows`` sorts by clip and frame."""
    for first, second in pairwise(rows):
        if names[first][:2] == names[second][:2]:
            raise InputError(
                f"{where}: 'imagename': rows {first} and {second} are both frame {names[first].frame} of "
                f"{names[first].clip!r} ({labels[second][:80]!r}); tell the sequences apart in the names, or add "
                "'seqname' with one text per row"
            )


def _image_size(name: _Name, data_set: str) -> tuple[float, float]:
    """Width and height px, NaN where unknown."""
    if data_set == "h36m":
        return IMAGE_SIZES.get(name.camera, (np.nan, np.nan))
    return _MPI_SIZES.get(name.subject, (np.nan, np.nan))


# -- what its numbers mean ---------------------------------------------------------------------------------


def _order_of(xy: Float[NDArray[np.float64], "n 17 2"]) -> list[int]:
    """Where the joints of h36m17 stand in the file."""
    some = xy[np.unique(np.linspace(0, len(xy) - 1, 1000).round().astype(int))]
    child, parent = (list(side) for side in zip(*_BODY.bones, strict=True))
    orders = [[joints.index(joint) for joint in _BODY.joints] for joints in _ORDERS]
    lengths = [
        float(np.nansum(np.linalg.norm(some[:, order][:, child] - some[:, order][:, parent], axis=-1)))
        for order in orders
    ]
    shortest = int(np.argmin(lengths))
    return orders[shortest if lengths[shortest] < _FAR_SHORTER * lengths[0] else 0]


def _to_pixels(
    xy: Float[NDArray[np.float64], "n 17 2"], data_set: str, where: str
) -> tuple[Float[NDArray[np.float64], "n 17 2"], bool]:
    """Pixels, and whether they are places in the picture (see the module); joints in the order of h36m17."""
    finite = xy[np.isfinite(xy)]
    if not len(finite):
        raise InputError(f"{where}: holds no joint at all; choose other --detections ({' or '.join(DETECTIONS)})")
    relative = bool(np.nanmax(np.abs(xy[:, _BODY.root]), initial=0.0) < _AT_ORIGIN)
    if np.abs(finite).max() > _NORMALISED:
        return xy, not relative
    shift, divisor = (np.array(pair) for pair in _DATA_SETS[data_set])
    if relative:
        return xy * ROOT_RELATIVE_PX * divisor / np.sqrt(divisor.prod()), False
    return xy * divisor + shift, True


def _metric(
    xyz: Float[NDArray[np.float64], "n 17 3"], where: str
) -> tuple[Float[NDArray[np.float64], "n 17 3"], Bool[NDArray[np.bool_], "n 17"], Float[NDArray[np.float64], "n 3"]]:
    """Poses in metres relative to the pelvis, which of their joints are known, and the pelvis."""
    known: NDArray[np.bool_] = np.isfinite(xyz).all(-1) & (xyz != 0).any((-1, -2))[:, None]
    known &= known[:, [_BODY.root]]
    if not known.any():
        return np.zeros_like(xyz), known, np.zeros((len(xyz), 3))
    root = np.where(known[:, [_BODY.root]], xyz[:, _BODY.root], 0.0)
    pose = np.where(known[..., None], xyz - root[:, None], 0.0)
    others = [joint for joint in range(17) if joint != _BODY.root]
    size = float(np.median(np.linalg.norm(pose[:, others], axis=-1)[known[:, others]]))
    units = [unit for unit in (1.0, 1000.0) if _METRES[0] < size / unit < _METRES[1]]
    if not units:
        raise InputError(f"{where}: joints are {size:.3g} from the pelvis (median); expected metres or millimetres")
    if np.abs(root).max() / units[0] < _AT_ORIGIN:
        root = np.zeros_like(root)
    elif (behind := known[:, _BODY.root] & (root[:, 2] <= 0)).any():
        row = int(np.argmax(behind))
        raise InputError(
            f"{where}: row {row}: the pelvis is behind the camera (z = {root[row, 2]:.3g}); expected camera axes, "
            "x right, y down, z forward"
        )
    return pose / units[0], known, root / units[0]


def _refuse_other_axes(
    pose: Float[NDArray[np.float64], "n 17 3"],
    observed: Bool[NDArray[np.bool_], "n 17"],
    xy: Float[NDArray[np.float64], "n 17 2"],
    where: str,
) -> None:
    """Where 2D and 3D run against each other, one of them is not in the axes of the camera."""
    shown = xy - xy[:, [_BODY.root]]
    both = observed[..., None] & np.isfinite(shown)
    agreement = np.where(both, pose[..., :2] * shown, 0.0).sum((0, 1))
    for axis, value in zip("xy", agreement, strict=True):
        if value < 0:
            raise InputError(
                f"{where}: runs against the 2D joints along {axis}; expected camera axes, x right, y down, z forward"
            )


def _read_lsp(file: Any, detections: str, protocol: str) -> ObservationSet:
    """Leeds Sports Pose: every picture a clip of its own, and no 3D."""
    key = next((k for k in _LSP_KEYS if k in file), _LSP_KEYS[1]) if detections == "gt" else "joint_2d_pre"
    xy = _read_joints(file, key, 2)
    names = read_texts(file, "imagename") if "imagename" in file else [f"{i + 1:04d}" for i in range(len(xy))]
    if len(names) != len(xy):
        raise InputError(f"{file.filename}: 'imagename' has {len(names)} rows; expected {len(xy)}, one per pose")
    xy, _ = _to_pixels(xy[:, _order_of(xy)], "lsp", f"{file.filename}: {key!r}")
    marked = xy[:, [_BODY.index({"neck": "neck_nose"}.get(joint, joint)) for joint in _LSP.joints]]
    unknown = np.full((len(xy), 2), np.nan)
    with naming(file.filename):
        return observations_without_truth(marked, np.ones(marked.shape[:2]), names, unknown, protocol, "lsp")
