"""3D Poses in the Wild (von Marcard et al., ECCV 2018).

``sequenceFiles/SPLIT/SEQUENCE.pkl`` are pickles of Python 2, of which nothing is executed here. Each is a dictionary
with, for every person, ``jointPositions`` ``(frames, 72)`` (24 SMPL joints, metres, world axes), ``poses2d``
``(frames, 3, 18)`` (x, y and confidence of OpenPose's COCO joints, px; zeros where the person was not found) and
``campose_valid`` ``(frames,)``; and for all, ``cam_poses`` ``(frames, 4, 4)`` from world to camera axes,
``cam_intrinsics`` ``(3, 3)`` and ``sequence``. Pictures are ``imageFiles/SEQUENCE/image_00000.jpg`` and so on, 30 Hz.
The licence (non-commercial) lets nobody pass the files on.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from ...files.checks import naming
from ...files.errors import InputError
from ...files.pickles import read_pickle
from ...files.reading import reader
from ...geometry.skeletons import SKELETONS
from ...keypoints import MINIMUM_SPREAD_PX, Keypoints2D, PoseId
from ...keypoints.formats.openpose import COCO18
from ...keypoints.joint_names import temporary_skeleton
from ..mocap.joint_tables import TABLES, as_h36m17
from ..observations import Observations, ObservationSet

__all__ = [
    "DETECTIONS",
    "SPLITS",
    "read_3dpw",
]

_BODY = SKELETONS["h36m17"]
_SMPL_JOINTS = (*SKELETONS["smpl22"].joints, "left_hand", "right_hand")

SPLITS = ("train", "validation", "test")
#: 2D keypoints: those that OpenPose found, or exact projections.
DETECTIONS = ("openpose", "none")
#: A joint nearer to the camera than this (m) is not projected.
_NEAREST = 0.05


@reader()
def read_3dpw(folder: str | Path, split: str = "train", detections: str = "openpose", every: int = 1) -> ObservationSet:
    """3DPW as observations: every person of a split, where the camera's pose is valid.

    Left out are frames with a joint behind the camera and those without any visible keypoint: 3DPW's detections are
    zeros where fewer than six joints were found.

    Args:
        folder: holds ``sequenceFiles``, or is it.
        split: "train", "validation" or "test".
        detections: "openpose" takes ``poses2d`` with its confidences, "none" projects the 3D joints, and reports half
            a pixel of uncertainty; SMPL has no top of the head, which is then missing. Joints outside the picture
            are missing in both.
        every: take every n-th frame, from the first.

    Returns:
        Keypoints with intrinsics; poses in metres relative to the pelvis (the middle of the hips), camera axes (x
        right, y down, z forward), whose ``head_top`` is not observed. Ids have the clip ``SEQUENCE/PERSON``, the
        number of the picture, from 0, as frame, and the person, from 0; the clip is the subject, too.

    Raises:
        InputError: a file that is not there or broken, anything but plain data in it, something missing, of the
            wrong shape or not finite, or no frame left.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    if detections not in DETECTIONS:
        raise InputError(f"unknown detections {detections!r}; known: {', '.join(DETECTIONS)}")
    if every < 1:
        raise InputError(f"every: expected at least 1, got {every}")
    parts = [
        part
        for path in _files(Path(folder), split)
        for part in _read_file(path, detections, every)
        if len(part[0])  # a person whom no camera saw
    ]
    if not parts:
        raise InputError(f"{folder}: no frame of the split {split!r} has a valid camera and a visible keypoint")
    keypoints = Keypoints2D.cat([part[0] for part in parts])
    place = np.concatenate([part[1] for part in parts])
    observed = torch.from_numpy(np.isfinite(place).all(-1))
    root = torch.from_numpy(place[:, _BODY.root]).float()
    pose = torch.from_numpy(np.nan_to_num(place - place[:, _BODY.root, None])).float()
    observations = Observations(keypoints, pose, observed, root, torch.arange(len(pose)))
    clips = tuple(i.file for i in keypoints.ids)
    protocol = f"3dpw-{split}" + ("-projected" if detections == "none" else "")
    return ObservationSet(
        observations, tuple(re.sub(r"(_\d+)?/\d+$", "", clip) for clip in clips), clips,
        protocol + (f"-every{every}" if every > 1 else "") + " v1", seed=0,
    )  # fmt: skip


def _files(folder: Path, split: str) -> list[Path]:
    place = next((p for p in (folder / "sequenceFiles" / split, folder / split) if p.is_dir()), None)
    files = sorted(place.glob("*.pkl")) if place else []
    if not files:
        raise InputError(
            f"{place or folder / 'sequenceFiles' / split}: no .pkl file there; give the folder of 3DPW that holds "
            "sequenceFiles, and therein train, validation and test"
        )
    return files


def _read_file(path: Path, detections: str, every: int) -> list[tuple[Keypoints2D, NDArray[np.float64]]]:
    """Keypoints and poses ``(n, 17, 3)`` (metres, camera axes, NaN where unknown) of each person of a sequence."""
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}; expected a dictionary, as 3DPW's files are")
    camera = _numbers(content, "cam_poses", (None, 4, 4), path)
    n = len(camera)
    matrix = _numbers(content, "cam_intrinsics", (3, 3), path)
    if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or (matrix[:2, 2] <= 0).any():
        raise InputError(f"{path}: 'cam_intrinsics' is {matrix.tolist()}; expected [[fx, 0, cx], [0, fy, cy], ...]")
    intrinsics = np.array([matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]])
    people = {
        "jointPositions": _people(content, "jointPositions", (n, 72), path),
        "campose_valid": _people(content, "campose_valid", (n,), path),
        "poses2d": _people(content, "poses2d", (n, 3, 18), path),
    }
    counts = {field: len(values) for field, values in people.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"{path}: {counts} people; expected as many in each")
    sequence = content.get("sequence")
    name = sequence if isinstance(sequence, str) and sequence else path.stem
    found = []
    for person, (joints, valid, seen) in enumerate(zip(*people.values(), strict=True)):
        frames = np.arange(0, n, every)
        frames = frames[valid[frames] != 0]
        _refuse_not_finite(joints[frames].reshape(-1, 24, 3), camera[frames], frames, f"{path}: person {person}")
        smpl = np.einsum("nij,nkj->nki", camera[frames, :3, :3], joints[frames].reshape(-1, 24, 3))
        absolute = as_h36m17(smpl + camera[frames, None, :3, 3], _SMPL_JOINTS, TABLES["amass"].h36m17)
        in_front = ~(absolute[..., 2] < _NEAREST).any(-1)
        frames, absolute = frames[in_front], absolute[in_front]
        ids = [PoseId(f"{name}/{person}", int(frame), person) for frame in frames]
        with naming(f"{path}: person {person}"):
            if detections == "none":
                keypoints = _projections(absolute, intrinsics, ids)
            else:
                keypoints = _detections(seen[frames], intrinsics, ids)
        some = keypoints.visible.any(-1)
        found.append((keypoints[some], absolute[some.numpy()]))
    return found


def _projections(
    absolute: Float[NDArray[np.float64], "n 17 3"], intrinsics: NDArray[np.float64], ids: list[PoseId]
) -> Keypoints2D:
    xy = absolute[..., :2] / absolute[..., 2:] * intrinsics[:2] + intrinsics[2:]
    size = 2 * intrinsics[2:]
    return Keypoints2D(
        xy, np.full(xy.shape[:2], MINIMUM_SPREAD_PX), visible=_inside(xy, size), image_size=size,
        intrinsics=intrinsics, ids=ids,
    )  # fmt: skip


def _detections(
    seen: Float[NDArray[np.float64], "n 3 18"], intrinsics: NDArray[np.float64], ids: list[PoseId]
) -> Keypoints2D:
    """As `poseterior.keypoints.formats.openpose` reads COCO-18."""
    # The principal point is the middle of 3DPW's pictures, 1080x1920 or 1920x1080.
    xy, confidence, size = seen[:, :2].swapaxes(1, 2), seen[:, 2], 2 * intrinsics[2:]
    known = _inside(xy, size) & (confidence > 0)
    return (
        Keypoints2D(
            np.where(known[..., None], xy, np.nan), confidence=np.where(known, confidence, 0.0), image_size=size,
            intrinsics=intrinsics, skeleton=temporary_skeleton(COCO18), ids=ids,
        )
        .as_skeleton("body25")
        .as_skeleton("h36m17")
    )  # fmt: skip


def _inside(xy: Float[NDArray[np.float64], "n joints 2"], size: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where a joint is in the picture; a few published detections lie far outside. False for NaN."""
    return np.asarray(((xy >= 0) & (xy <= size)).all(-1))


# -- checked values ----------------------------------------------------------------------------------------


def _checked(value: Any, shape: tuple[int | None, ...], where: str) -> NDArray[np.float64]:
    """An array of numbers of this shape, None for any size above 0."""
    expected = str(shape).replace("None", "frames")
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(f"{where} is {found}; expected numbers {expected}")
    fits = value.ndim == len(shape) and all(
        size == wanted or (wanted is None and size > 0) for size, wanted in zip(value.shape, shape, strict=True)
    )
    if not fits:
        raise InputError(f"{where} has shape {value.shape}; expected {expected}")
    return value.astype(np.float64)


def _field(content: dict[Any, Any], name: str, path: Path) -> Any:
    if name not in content:
        held = ", ".join(str(key)[:20] for key in list(content)[:20]) or "nothing"
        raise InputError(f"{path}: {name!r} is missing; the file holds: {held}. Get it anew from 3DPW's sequenceFiles")
    return content[name]


def _numbers(content: dict[Any, Any], name: str, shape: tuple[int | None, ...], path: Path) -> NDArray[np.float64]:
    return _checked(_field(content, name, path), shape, f"{path}: {name!r}")


def _people(content: dict[Any, Any], name: str, shape: tuple[int | None, ...], path: Path) -> list[NDArray[np.float64]]:
    """One array per person."""
    values = _field(content, name, path)
    if not isinstance(values, list | tuple | np.ndarray):
        raise InputError(f"{path}: {name!r} is {type(values).__name__}; expected a list, one array per person")
    return [_checked(value, shape, f"{path}: {name!r}: person {person}") for person, value in enumerate(values)]


def _refuse_not_finite(
    joints: Float[NDArray[np.float64], "n 24 3"],
    camera: Float[NDArray[np.float64], "n 4 4"],
    frames: NDArray[np.int64],
    where: str,
) -> None:
    bad = np.argwhere(~np.isfinite(joints))
    if len(bad):
        row, joint, _ = bad[0]
        raise InputError(
            f"{where}: 'jointPositions': frame {frames[row]}, joint {_SMPL_JOINTS[joint]!r} is not finite, though its "
            "camera is valid; get the file anew"
        )
    bad = np.argwhere(~np.isfinite(camera))
    if len(bad):
        raise InputError(
            f"{where}: 'cam_poses': frame {frames[bad[0][0]]} is not finite, though it is said to be valid"
        )
