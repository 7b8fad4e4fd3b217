"""The test set of MPI-INF-3DHP (Mehta et al., *Monocular 3D human pose estimation in the wild*, 3DV 2017).

``TS1/annot_data.mat`` to ``TS6/annot_data.mat`` (Matlab v7.3, which is HDF5; axes as h5py gives them) have ``annot2``
``(frames, 1, 17, 2)`` px, ``annot3`` ``(frames, 1, 17, 3)`` mm in camera axes (x right, y down, z forward),
``valid_frame`` and ``activity_annotation`` ``(frames, 1)``. The joints are those of mpi17; 2929 frames are valid.

The focal lengths are not in these files. They are solved, with the principal point, from ``annot2`` and ``annot3`` of
each sequence: a line through pixels and x / z. What is left over is reported as the keypoints' uncertainty.

``univ_annot3``, poses scaled to one height, is not read: lengths here are the person's own. (PCK and MPJPE as
published are of those; after alignment of scale the two are the same.)
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from ...files.checks import naming
from ...files.errors import InputError
from ...files.hdf5 import open_h5, read_numbers
from ...files.reading import reader
from ...geometry.skeletons import SKELETONS
from ...keypoints import MINIMUM_SPREAD_PX, Keypoints2D, PoseId
from ..mocap.joint_tables import MPI17_AS_H36M17, as_h36m17
from ..observations import Observations, ObservationSet

__all__ = [
    "ACTIVITIES",
    "IMAGE_SIZES",
    "fit_pinhole",
    "read_mpi_inf_3dhp",
]

_BODY, _MPI = SKELETONS["h36m17"], SKELETONS["mpi17"]

#: Names of activities 1 to 7.
ACTIVITIES = (
    "Standing/Walking", "Exercising", "Sitting", "Reaching/Crouching", "On The Floor", "Sports", "Miscellaneous",
)  # fmt: skip
#: Sequence -> width and height of its pictures: four indoors, two outdoors.
IMAGE_SIZES = {f"TS{i}": (2048.0, 2048.0) for i in range(1, 5)} | {f"TS{i}": (1920.0, 1080.0) for i in (5, 6)}
#: No camera leaves this much unexplained (px, standard deviation): 2D and 3D are not of one pose then.
_LARGEST_RESIDUAL = 20.0
#: Millimetres from the camera to the people: within a room, or a yard.
_DISTANCES = (500.0, 50_000.0)


class _Sequence(NamedTuple):
    """The valid frames of one sequence, h36m17 joints."""

    name: str
    frames: NDArray[np.int64]
    xy: NDArray[np.float64]
    absolute: NDArray[np.float64]
    intrinsics: NDArray[np.float64]
    spread: float
    activity: NDArray[np.int64]


@reader()
def read_mpi_inf_3dhp(folder: str | Path, every: int = 1) -> ObservationSet:
    """The test set of MPI-INF-3DHP as observations: its valid frames.

    Args:
        folder: holds ``TS1`` to ``TS6``.
        every: take every n-th valid frame of a sequence, from the first.

    Returns:
        Keypoints as annotated, where they are inside the picture (else missing), with intrinsics; poses in metres
        relative to the pelvis, camera axes. Ids have the sequence as clip and the number of the picture, from 1, as
        frame; the sequence is the subject, too.

    Raises:
        InputError: h5py is not installed, a file that is not there or broken, something missing, of the wrong shape
            or not finite, other units or axes.
    """
    if every < 1:
        raise InputError(f"every: expected at least 1, got {every}")
    sequences = [_read_sequence(Path(folder) / name / "annot_data.mat", name, every) for name in IMAGE_SIZES]
    place = np.concatenate([sequence.absolute for sequence in sequences])
    keypoints = Keypoints2D.cat([_keypoints(sequence, str(folder)) for sequence in sequences])
    root = torch.from_numpy(place[:, _BODY.root]).float()
    pose = torch.from_numpy(place - place[:, _BODY.root, None]).float()
    observations = Observations(
        keypoints, pose, torch.ones(pose.shape[:2], dtype=torch.bool), root, torch.arange(len(pose))
    )
    actions = tuple(ACTIVITIES[number - 1] for sequence in sequences for number in sequence.activity)
    protocol = "mpi-inf-3dhp-test" + (f"-every{every}" if every > 1 else "")
    return ObservationSet(observations, actions, tuple(i.file for i in keypoints.ids), f"{protocol} v1", seed=0)


def _keypoints(sequence: _Sequence, where: str) -> Keypoints2D:
    size = np.array(IMAGE_SIZES[sequence.name])
    inside = ((sequence.xy >= 0) & (sequence.xy <= size)).all(-1)
    spread = np.full(inside.shape, max(MINIMUM_SPREAD_PX, sequence.spread))
    ids = [PoseId(sequence.name, int(frame), 0) for frame in sequence.frames]
    with naming(where):
        return Keypoints2D(
            sequence.xy, spread, visible=inside, image_size=size, intrinsics=sequence.intrinsics, ids=ids
        )


def fit_pinhole(
    points: Float[NDArray[np.float64], "pairs 3"], pixels: Float[NDArray[np.float64], "pairs 2"]
) -> tuple[Float[NDArray[np.float64], "4"], float]:
    """The pinhole camera that projects points to pixels, by least squares.

    Args:
        points: camera axes, any unit.
        pixels: x right, y down.

    Returns:
        ``(fx, fy, cx, cy)`` px, and the standard deviation of what is left over, px.
    """
    plane = points[:, :2] / points[:, 2:]
    lines = [
        np.linalg.lstsq(np.stack([x, np.ones_like(x)], -1), u, rcond=None)[0]
        for x, u in zip(plane.T, pixels.T, strict=True)
    ]
    focal, centre = np.array(lines).T
    return np.concatenate([focal, centre]), float(np.sqrt(np.square(plane * focal + centre - pixels).mean()))


# -- one sequence ------------------------------------------------------------------------------------------


def _read_sequence(path: Path, name: str, every: int) -> _Sequence:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the folder of the test set, which holds TS1 to TS6")
    with open_h5(path) as file:
        valid, activity = (read_numbers(file, field).reshape(-1) for field in ("valid_frame", "activity_annotation"))
        annot2, annot3 = (read_numbers(file, field) for field in ("annot2", "annot3"))
    n = len(valid)
    for field, values, shape in (
        ("annot2", annot2, (n, 1, 17, 2)), ("annot3", annot3, (n, 1, 17, 3)), ("activity_annotation", activity, (n,)),
    ):  # fmt: skip
        if values.shape != shape:
            raise InputError(f"{path}: {field!r} has shape {values.shape}; expected {shape}, for {n} frames")
    used = np.flatnonzero(valid != 0)
    if not len(used):
        raise InputError(f"{path}: 'valid_frame' is 0 everywhere; get the file anew")
    xy, xyz = annot2[used, 0], annot3[used, 0]
    for field, values in (("annot2", xy), ("annot3", xyz)):
        _refuse_not_finite(values, used, f"{path}: {field!r}")
    depth = xyz[:, _MPI.root, 2]
    if not _DISTANCES[0] < np.median(depth) < _DISTANCES[1] or (xyz[..., 2] <= 0).any():
        raise InputError(
            f"{path}: 'annot3': z of the pelvis is {np.median(depth):.3g} (median), of the nearest joint "
            f"{xyz[..., 2].min():.3g}; expected millimetres in front of the camera"
        )
    unknown = np.flatnonzero(~np.isin(activity[used], np.arange(1, len(ACTIVITIES) + 1)))
    if len(unknown):
        frame = used[unknown[0]]
        raise InputError(
            f"{path}: 'activity_annotation': frame {frame + 1} has {activity[frame]:g}; expected 1 to {len(ACTIVITIES)}"
        )
    intrinsics, spread = fit_pinhole(xyz.reshape(-1, 3), xy.reshape(-1, 2))
    if not (spread < _LARGEST_RESIDUAL and (intrinsics[:2] > 0).all()):
        raise InputError(
            f"{path}: 'annot2' is {spread:.0f} px from any projection of 'annot3'; expected pixels, and camera axes "
            "(x right, y down, z forward)"
        )
    used, xy, xyz = used[::every], xy[::every], xyz[::every]
    return _Sequence(
        name, used + 1, as_h36m17(xy, _MPI.joints, MPI17_AS_H36M17),
        as_h36m17(xyz, _MPI.joints, MPI17_AS_H36M17) / 1000.0, intrinsics, spread, activity[used].astype(int),
    )  # fmt: skip


def _refuse_not_finite(values: NDArray[np.float64], frames: NDArray[np.int64], where: str) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, joint, _ = bad[0]
        raise InputError(
            f"{where}: frame {frames[row] + 1}, joint {_MPI.joints[joint]!r} is not finite, though the frame is valid; "
            "get the file anew"
        )
