"""Made-up files in the layout of VideoPose3D's Human3.6M."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from h36m_files import PLACES

from conftest import STANDING
from poseterior.data.sets.h36m_h5 import DistortedCamera, project_distorted
from poseterior.data.sets.h36m_layout import DETECTED_JOINTS
from poseterior.geometry.skeletons import SKELETONS

BODY, COCO = SKELETONS["h36m17"], SKELETONS["coco17"]
SERIALS = ("54138969", "55011271", "58860488", "60457274")
FRAMES = 60
ACTIONS = ("Directions 1", "WalkDog")
#: What VideoPose3D writes beside ``positions_2d``.
METADATA = {
    "gt": {"num_joints": 17, "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]},
    "cpn_ft_h36m_dbb": {
        "layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
    },
    "detectron_pt_coco": {
        "layout_name": "coco", "num_joints": 17,
        "keypoints_symmetry": [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]],
    },
    "sh_ft_h36m": {"num_joints": 16, "keypoints_symmetry": [[3, 4, 5, 13, 14, 15], [0, 1, 2, 10, 11, 12]]},
    "sh_pt_mpii": {"num_joints": 16, "keypoints_symmetry": [[3, 4, 5, 13, 14, 15], [0, 1, 2, 10, 11, 12]]},
}  # fmt: skip


def camera(number: int) -> DistortedCamera:
    """5 to 6 m away in each quarter, 1.5 m high, looking a little down; z of the world is up."""
    angle = np.pi / 2 * number + 0.3
    forward = np.array([-np.cos(angle), -np.sin(angle), -0.1])
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    lens = np.array([1145.0 + number, 1143.0 + number, 512.0 - number, 515.0 - 4 * number])
    centre = np.array([5.3 * np.cos(angle), 5.3 * np.sin(angle), 1.5 + 0.02 * number])
    return DistortedCamera(
        SERIALS[number], np.stack([right, np.cross(forward, right), forward]), centre, lens,
        np.array([-0.207, 0.248, -0.003]), np.array([-0.001, -0.0015]),
    )  # fmt: skip


def world_poses(subject: str, action: str, frames: int = FRAMES) -> np.ndarray:
    """``(frames, 17, 3)`` metres, as float32: somebody all over the room."""
    random = np.random.default_rng(sum(map(ord, subject + action)))
    standing = np.array([STANDING[joint] for joint in BODY.joints])
    upright = np.stack([standing[:, 0], -standing[:, 2], 0.9 - standing[:, 1]], -1)
    place = np.concatenate([random.uniform(-1.7, 1.7, (frames, 1, 2)), np.zeros((frames, 1, 1))], -1)
    return (upright + place + random.normal(0, 0.08, (frames, 17, 3))).astype(np.float32)


def projections(subject: str, action: str, number: int) -> np.ndarray:
    """``(frames, 17, 2)`` px."""
    seen = camera(number)
    return project_distorted(seen.view(world_poses(subject, action).astype(np.float64)), seen).astype(np.float32)


def detected(name: str, subject: str, action: str, number: int) -> np.ndarray:
    """What a detector made of it, for two frames longer than the poses; COCO's face is made up."""
    exact = projections(subject, action, number)
    if name == "cpn_ft_h36m_dbb":
        exact = exact + np.float32(1.5)
    elif name == "detectron_pt_coco":
        exact = np.stack([exact[:, BODY.index(j if j in BODY.joints else "neck_nose")] for j in COCO.joints], 1)
    elif name.startswith("sh"):
        exact = exact[:, [BODY.index(joint) for joint in DETECTED_JOINTS]]
    return exact if name == "gt" else np.concatenate([exact, exact[-2:]])


def contents(subjects: tuple[str, ...], names: tuple[str, ...] = ("gt",)) -> dict[str, dict[str, Any]]:
    """File name -> the dictionaries in it."""
    positions: dict[str, Any] = {}
    for subject in subjects:
        for action in ACTIONS:
            joints = np.full((FRAMES, 32, 3), -77.0, np.float32)
            joints[:, PLACES] = world_poses(subject, action)
            positions.setdefault(subject, {})[action] = joints
    files: dict[str, dict[str, Any]] = {"data_3d_h36m.npz": {"positions_3d": positions}}
    for name in names:
        seen = {s: {a: [detected(name, s, a, c) for c in range(4)] for a in ACTIONS} for s in subjects}
        files[f"data_2d_h36m_{name}.npz"] = {"positions_2d": seen, "metadata": dict(METADATA[name])}
    return files


def write_files(folder: Path, files: dict[str, dict[str, Any]]) -> Path:
    """As VideoPose3D's scripts write them, with the numpy that is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, arrays in files.items():
        np.savez_compressed(folder / name, **arrays)
    return folder


def write_old_npz(path: Path, **values: Any) -> Path:
    """An npz file as numpy 1.16 wrote it: an older protocol, and numpy's older names."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in values.items():
            file = io.BytesIO()
            np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
            content = pickle.dumps(np.array(value, dtype=object), 2)
            archive.writestr(f"{name}.npy", file.getvalue() + content.replace(b"numpy._core.", b"numpy.core."))
    return path
