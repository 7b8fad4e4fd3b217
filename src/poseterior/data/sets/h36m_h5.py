"""Human3.6M as the HDF5 files of the 3D pose baseline (Martinez et al., ICCV 2017).

``cameras.h5`` has ``subject1/camera1`` to ``subject11/camera4``: ``R`` (3, 3) stored transposed, ``T`` (3, 1) mm,
``f`` and ``c`` (2, 1) px, ``k`` (3, 1) radial and ``p`` (2, 1) tangential distortion, ``Name`` (character codes).
``S1/MyPoses/3D_positions/Directions 1.h5`` has ``3D_positions`` (96, frames): 32 joints in world axes, mm, 50 Hz.
``S1/StackedHourglassFineTuned240/Directions_1.54138969.h5`` has ``poses`` (frames, 16, 2): 2D detections, px.
Human3.6M's licence lets nobody pass its files on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...files.checks import naming
from ...files.errors import InputError
from ...files.hdf5 import open_h5, read_numbers
from ...files.reading import reader
from ...geometry.skeletons import SKELETONS
from ...keypoints import MINIMUM_SPREAD_PX, Keypoints2D, PoseId
from ..observations import Observations, ObservationSet
from .h36m_layout import (
    DETECTED_JOINTS,
    IMAGE_SIZES,
    JOINTS_OF_32,
    SPLITS,
    DistortedCamera,
    action_name,
    project_distorted,
)

__all__ = [
    "DETECTIONS",
    "read_h36m_h5",
]

_BODY = SKELETONS["h36m17"]

#: 2D keypoints: exact projections, or those of the fine-tuned stacked hourglass.
DETECTIONS = ("none", "sh")
_CAMERAS = (1, 2, 3, 4)
#: Of this recording there are no detections.
_UNDETECTED = ("S11", "Directions", "54138969")


@reader()
def read_h36m_h5(folder: str | Path, split: str = "train", detections: str = "none", every: int = 1) -> ObservationSet:
    """Human3.6M as observations: every recording of the split's subjects, seen by the four cameras.

    Args:
        folder: holds ``cameras.h5`` and ``S1``, ``S5`` ...
        split: "train" (S1, S5 to S8) or "test" (S9, S11).
        detections: "none" projects the 3D joints, and reports half a pixel of uncertainty; "sh" takes the stacked
            hourglass's detections, of which nothing is known but the place; they lack the nose, and one recording.
        every: take every n-th frame, from the first.

    Returns:
        Keypoints with intrinsics, which do not know of the distortion; poses in metres relative to the pelvis,
        camera axes; ids ``S1/Directions 1/54138969`` with the frame number from 1 at 50 Hz.

    Raises:
        InputError: h5py is not installed, a file that is not there or broken, something missing or of the wrong
            shape.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    if detections not in DETECTIONS:
        raise InputError(f"unknown detections {detections!r}; known: {', '.join(DETECTIONS)}")
    if every < 1:
        raise InputError(f"every: expected at least 1, got {every}")
    folder = Path(folder)
    xy: list[NDArray[np.float64]] = []
    absolute: list[NDArray[np.float64]] = []
    cameras: list[tuple[DistortedCamera, int]] = []
    ids: list[PoseId] = []
    actions: list[str] = []
    subjects: list[str] = []
    for subject in SPLITS[split]:
        calibrated = [_read_camera(folder / "cameras.h5", subject, number) for number in _CAMERAS]
        for file in _recordings(folder, subject):
            world = _read_positions(file)
            frames = np.arange(0, len(world), every)
            action = action_name(file.stem)
            for camera in calibrated:
                if detections == "sh" and (subject, file.stem, camera.name) == _UNDETECTED:
                    continue
                points = camera.view(world[frames])
                if detections == "sh":
                    seen = _read_detections(folder / subject, file.stem, camera.name, len(world))[frames]
                else:
                    seen = project_distorted(points, camera)
                xy.append(seen)
                absolute.append(points / 1000.0)
                cameras.append((camera, len(frames)))
                ids += [PoseId(f"{subject}/{file.stem}/{camera.name}", int(frame) + 1, 0) for frame in frames]
                actions += [action] * len(frames)
                subjects += [subject] * len(frames)
    place = np.concatenate(absolute)
    keypoints = _keypoints(np.concatenate(xy), detections, cameras, ids, str(folder))
    root = torch.from_numpy(place[:, _BODY.root]).float()
    pose = torch.from_numpy(place - place[:, _BODY.root, None]).float()
    observations = Observations(
        keypoints, pose, torch.ones(pose.shape[:2], dtype=torch.bool), root, torch.arange(len(pose))
    )
    protocol = f"h36m-h5-{split}" + ("-sh" if detections == "sh" else "") + (f"-every{every}" if every > 1 else "")
    return ObservationSet(observations, tuple(actions), tuple(subjects), f"{protocol} v1", seed=0)


def _keypoints(
    xy: NDArray[np.float64],
    detections: str,
    cameras: list[tuple[DistortedCamera, int]],
    ids: list[PoseId],
    where: str,
) -> Keypoints2D:
    counts = [count for _, count in cameras]
    unknown = (np.nan, np.nan)
    sizes = np.repeat([IMAGE_SIZES.get(camera.name, unknown) for camera, _ in cameras], counts, axis=0)
    intrinsics = np.repeat([camera.intrinsics for camera, _ in cameras], counts, axis=0)
    spread = None if detections == "sh" else np.full(xy.shape[:2], MINIMUM_SPREAD_PX)
    with naming(where):
        return Keypoints2D(xy, spread, image_size=sizes, intrinsics=intrinsics, ids=ids)


def _recordings(folder: Path, subject: str) -> list[Path]:
    """The files of 3D positions of one subject."""
    positions = folder / subject / "MyPoses" / "3D_positions"
    files = sorted(file for file in positions.glob("*.h5") if not file.name.startswith(("_", ".")))
    if not files:
        raise InputError(f"{positions}: no .h5 file there; give the folder that holds cameras.h5, S1, S5 ...")
    return files


def _read(path: Path, *names: str) -> list[NDArray[np.float64]]:
    """Arrays of numbers of an HDF5 file."""
    with open_h5(path) as file:
        return [read_numbers(file, name) for name in names]


def _read_camera(path: Path, subject: str, number: int) -> DistortedCamera:
    group = f"subject{subject.removeprefix('S')}/camera{number}"
    fields = {"R": 9, "T": 3, "f": 2, "c": 2, "k": 3, "p": 2}
    *values, name = _read(path, *(f"{group}/{field}" for field in fields), f"{group}/Name")
    for (field, size), value in zip(fields.items(), values, strict=True):
        if value.size != size or not np.isfinite(value).all():
            raise InputError(f"{path}: '{group}/{field}' has shape {value.shape}; expected {size} finite numbers")
    transposed, centre, focal, principal, radial, tangential = values
    rotation = transposed.reshape(3, 3).T
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
        raise InputError(f"{path}: '{group}/R' is no rotation matrix")
    codes = name.reshape(-1).astype(int)
    return DistortedCamera(
        "".join(map(chr, codes)), rotation, centre.reshape(3), np.concatenate([focal.reshape(2), principal.reshape(2)]),
        radial.reshape(3), tangential.reshape(2),
    )  # fmt: skip


def _read_positions(path: Path) -> NDArray[np.float64]:
    """``(frames, 17, 3)`` mm, world axes."""
    (positions,) = _read(path, "3D_positions")
    if positions.ndim != 2 or positions.shape[0] != 96:
        raise InputError(f"{path}: '3D_positions' has shape {positions.shape}; expected (96, frames)")
    joints = positions.T.reshape(-1, 32, 3)[:, JOINTS_OF_32]
    if not np.isfinite(joints).all():
        frame, joint, _ = np.argwhere(~np.isfinite(joints))[0]
        raise InputError(f"{path}: frame {frame}, joint {_BODY.joints[joint]!r} is not finite")
    return joints


def _read_detections(subject: Path, stem: str, camera: str, frames: int) -> NDArray[np.float64]:
    """``(frames, 17, 2)`` px; the nose, which was not detected, is NaN."""
    folder = subject / "StackedHourglassFineTuned240"
    path = folder / f"{stem.replace(' ', '_')}.{camera}.h5"
    if not path.is_file():  # some copies keep the blank of the other folder
        path = next((p for p in [folder / f"{stem}.{camera}.h5"] if p.is_file()), path)
    (poses,) = _read(path, "poses")
    if poses.shape[1:] != (16, 2) or len(poses) < frames:
        raise InputError(f"{path}: 'poses' has shape {poses.shape}; expected ({frames}, 16, 2), or more frames")
    xy = np.full((frames, 17, 2), np.nan)
    xy[:, [_BODY.index(joint) for joint in DETECTED_JOINTS]] = poses[:frames]
    return xy
