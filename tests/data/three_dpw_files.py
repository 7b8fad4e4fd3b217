"""Made-up files in the layout of 3DPW: pickles as Python 2 and the numpy of its days wrote them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from conftest import STANDING
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints.formats.openpose import COCO18

SMPL = (*SKELETONS["smpl22"].joints, "left_hand", "right_hand")
BODY = SKELETONS["h36m17"]
FRAMES = 6
SEQUENCE = "courtyard_test_00"
#: Portrait, 1080 x 1920.
INTRINSICS = np.array([[1961.85, 0.0, 540.0], [0.0, 1969.23, 960.0], [0.0, 0.0, 1.0]])
#: The camera of frame 3 was not found for the second person.
LOST = 3
#: SMPL joints where our standing person has none of the name.
_PLACES = {
    "spine1": "spine", "spine2": "spine", "spine3": "thorax", "neck": "thorax", "head": "neck_nose",
    "left_collar": "left_shoulder", "right_collar": "right_shoulder", "left_hand": "left_wrist",
    "right_hand": "right_wrist", "left_foot": "left_ankle", "right_foot": "right_ankle",
}  # fmt: skip


class Python2Pickler(pickle._Pickler):  # the one written in Python, whose methods can be replaced
    """Protocol 2 with Python 2's byte strings, for text and bytes alike, and numpy's names before version 2."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, 2)

    def _save_string(self, value: str | bytes) -> None:
        raw = value.encode("latin1") if isinstance(value, str) else value
        code = pickle.SHORT_BINSTRING + bytes([len(raw)]) if len(raw) < 256 else None
        self.write((code or pickle.BINSTRING + len(raw).to_bytes(4, "little")) + raw)
        self.memoize(value)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = obj.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{name or obj.__name__}\n".encode())
        self.memoize(obj)

    dispatch = {  # noqa: RUF012
        **pickle._Pickler.dispatch, str: _save_string, bytes: _save_string,
    }  # fmt: skip


def write_python2(path: Path, value: Any) -> Path:
    file = io.BytesIO()
    Python2Pickler(file).dump(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue())
    return path


def camera_poses() -> np.ndarray:
    """``(frames, 4, 4)`` from the world (y up) to the camera, which walks and turns."""
    found = np.tile(np.eye(4), (FRAMES, 1, 1))
    for frame in range(FRAMES):
        angle = 0.4 + 0.1 * frame
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        found[frame, :3, :3] = np.diag([1.0, -1.0, -1.0]) @ turn
        found[frame, :3, 3] = found[frame, :3, :3] @ -(turn.T @ [0.05 * frame, 1.4, 4.5])
    return found


def world_joints(person: int) -> np.ndarray:
    """``(frames, 24, 3)`` metres, y up."""
    random = np.random.default_rng(person)
    standing = np.array([STANDING[_PLACES.get(joint, joint)] for joint in SMPL]) * [1, -1, -1]
    place = np.array([-0.4 + 0.8 * person, 0.9, 0.3 * person])
    return standing + place + random.normal(0, 0.03, (FRAMES, 24, 3))


def in_camera(person: int) -> np.ndarray:
    """``(frames, 24, 3)`` metres, camera axes."""
    camera = camera_poses()
    return np.einsum("nij,nkj->nki", camera[:, :3, :3], world_joints(person)) + camera[:, None, :3, 3]


def project(points: np.ndarray) -> np.ndarray:
    return points[..., :2] / points[..., 2:] * INTRINSICS[[0, 1], [0, 1]] + INTRINSICS[:2, 2]


def detections(person: int) -> np.ndarray:
    """``(frames, 3, 18)``: x, y and confidence 0.8. Of the first person, frame 0 has no detection, and in frame 1 the
    nose was not found and the left wrist far outside."""
    pixels = project(in_camera(person))
    found = np.zeros((FRAMES, 3, 18))
    for place, joint in enumerate(COCO18):
        found[:, :2, place] = pixels[:, SMPL.index(joint if joint in SMPL else "head")]
    found[:, 2] = 0.8
    if person == 0:
        found[0] = 0
        found[1, :, COCO18.index("nose")] = 0
        found[1, :2, COCO18.index("left_wrist")] = 30_000.0
    return found


def content() -> dict[str, Any]:
    """One sequence of two people."""
    valid = [np.ones(FRAMES, np.int64) for _ in range(2)]
    valid[1][LOST] = 0
    return {
        "sequence": SEQUENCE,
        "jointPositions": [world_joints(person).reshape(FRAMES, 72) for person in range(2)],
        "poses2d": [detections(person) for person in range(2)],
        "cam_poses": camera_poses(),
        "cam_intrinsics": INTRINSICS,
        "campose_valid": valid,
        "poses": [np.zeros((FRAMES, 72)) for _ in range(2)],
        "betas": [np.full(10, 0.1) for _ in range(2)],
        "genders": ["m", "f"],
        "texture_maps": [],
        "img_frame_ids": np.arange(0, 2 * FRAMES, 2),
    }


def write_split(folder: Path, split: str = "test") -> Path:
    write_python2(folder / "sequenceFiles" / split / f"{SEQUENCE}.pkl", content())
    return folder
