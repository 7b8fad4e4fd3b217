"""Made-up files in the layout of Human3.6M's CDF folders and of the published detections."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from conftest import STANDING
from poseterior.data.sets.h36m import Recording, recordings
from poseterior.data.sets.h36m_layout import CAMERAS, DETECTED_JOINTS
from poseterior.geometry.skeletons import SKELETONS

BODY = SKELETONS["h36m17"]
#: Places of h36m17 among the data set's 32 joints, as its metadata list them.
PLACES = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
#: File names of take "0" and "1" that differ from the usual "ACTION.CAMERA" and "ACTION 1.CAMERA", test subjects.
UNUSUAL = {
    ("S9", "Discussion"): ("Discussion 2", "Discussion 1"),
    ("S11", "Discussion"): ("Discussion 2", "Discussion 1"),
    ("S11", "Greeting"): ("Greeting", "Greeting 2"),
    ("S11", "Phoning"): ("Phoning 3", "Phoning 2"),
    ("S11", "Smoking"): ("Smoking", "Smoking 2"),
    ("S9", "Photo"): ("TakingPhoto", "TakingPhoto 1"),
    ("S9", "WalkDog"): ("WalkingDog", "WalkingDog 1"),
}


def absolute_poses(recording: Recording, frames: int) -> np.ndarray:
    """Somebody 4 to 6 m from the camera: ``(frames, 17, 3)`` metres, another in each recording."""
    random = np.random.default_rng(sum(map(ord, str(recording))) * 7 + int(recording.camera) % 1000)
    standing = np.array([STANDING[joint] for joint in BODY.joints])
    moved = random.normal(0, 0.05, (frames, 17, 3))
    moved[:, 0] = 0
    return standing + moved + np.array([0.0, 0.2, 4.0]) + random.uniform(0, 1, (frames, 1, 3)) * [0.5, 0.2, 2.0]


def detections(absolute: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """2D detections ``(frames, 32)`` and Gaussian fits ``(frames, 112)`` of poses."""
    random = np.random.default_rng(seed)
    joints = absolute[:, [BODY.index(joint) for joint in DETECTED_JOINTS]]
    xy = 1145.0 * joints[..., :2] / joints[..., 2:] + 512.0 + random.normal(0, 2, (len(joints), 16, 2))
    fits = np.zeros((len(joints), 16, 7))
    fits[..., 0] = random.uniform(0.3, 1.0, fits.shape[:2])
    fits[..., 1:3] = 32 + (xy - xy.mean(1, keepdims=True)) / 8
    fits[..., 3], fits[..., 5] = random.uniform(1.8, 4.0, (2, *fits.shape[:2]))
    fits[..., 4] = random.uniform(-4, 4, fits.shape[:2])
    return xy.swapaxes(1, 2).reshape(-1, 32), fits.reshape(-1, 112)


def release(split: str, frames: int = 2, with_poses: bool = True) -> dict[str, Any]:
    """The nested dictionaries of the published pickles. Frames are the 4th, 8th ... of the recordings."""
    dataset: dict[str, Any] = {}
    for r in recordings(split):
        absolute = absolute_poses(r, 4 * frames + 1)[3::4]
        xy, fits = detections(absolute)
        values: dict[str, Any] = {
            "imgpath": [f"/{r.subject}/{r.action}.{r.camera}/{4 * (i + 1)}.jpg" for i in range(frames)],
            "2d_hrnet": xy,
            "gaussfit": fits,
        }
        if with_poses:
            values["3d_gt"] = 1000 * absolute.swapaxes(1, 2).reshape(frames, 51)
        takes = dataset.setdefault(r.subject, {}).setdefault(r.action, {})
        takes.setdefault(r.take, {camera: {} for camera in CAMERAS})[r.camera] = values
    return dataset


def write_pickle(path: Path, value: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def write_cdf(path: Path, absolute: np.ndarray) -> Path:
    """A ``D3_Positions_mono`` file: one record of (frames, 96), millimetres; other joints are far off."""
    from cdflib.cdfwrite import CDF

    poses = np.full((len(absolute), 32, 3), -77.0)
    poses[:, PLACES] = 1000 * absolute
    path.parent.mkdir(parents=True, exist_ok=True)
    file = CDF(path, cdf_spec={"Compressed": 0})
    spec = {"Variable": "Pose", "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True, "Dim_Sizes": [len(poses), 96],
            "Compress": 0}  # fmt: skip
    file.write_var(spec, var_data=poses.reshape(1, -1, 96))
    file.close()
    return path


def write_cdf_folder(folder: Path, split: str, frames: int = 2) -> Path:
    """All CDF files of a split, named as the data set names them."""
    for r in recordings(split):
        usual = (r.action, f"{r.action} 1")
        name = UNUSUAL.get((r.subject, r.action), usual)[int(r.take)]
        path = folder / r.subject / "MyPoseFeatures" / "D3_Positions_mono" / f"{name}.{r.camera}.cdf"
        write_cdf(path, absolute_poses(r, 4 * frames + 1))
    return folder
