"""What is Human3.6M's whatever files it comes in: subjects, cameras, the names of actions, the places of joints.

Ionescu et al., *Human3.6M*, TPAMI 2014.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

__all__ = [
    "CAMERAS",
    "DETECTED_JOINTS",
    "IMAGE_SIZES",
    "JOINTS_OF_32",
    "OTHER_ACTION_NAMES",
    "SPLITS",
    "DistortedCamera",
    "action_name",
    "project_distorted",
]

#: Split -> subjects, as everybody splits them.
SPLITS: dict[str, tuple[str, ...]] = {"train": ("S1", "S5", "S6", "S7", "S8"), "test": ("S9", "S11")}
#: Width and height of the pictures, by the camera's name.
IMAGE_SIZES = {"54138969": (1000, 1002), "55011271": (1000, 1000), "58860488": (1000, 1000), "60457274": (1000, 1002)}
CAMERAS = tuple(IMAGE_SIZES)
#: The 17 of the data set's 32 joints that make h36m17, in its order.
JOINTS_OF_32 = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
#: The 16 joints of the detectors that were fine-tuned to the data set: h36m17 without the nose, in MPII's order. Its
#: spine and thorax stand where mpii16 has thorax and neck.
DETECTED_JOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "spine", "thorax",
    "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
#: Names that some files have for an action.
OTHER_ACTION_NAMES = {"Photo": "TakingPhoto", "WalkDog": "WalkingDog"}


def action_name(stem: str) -> str:
    """The action of a recording: "Directions 1" and "Directions" are Directions; "WalkingDog" is WalkDog."""
    name = re.sub(r"[ _]\d+$", "", stem)
    return {theirs: ours for ours, theirs in OTHER_ACTION_NAMES.items()}.get(name, name)


class DistortedCamera(NamedTuple):
    """A calibrated camera of Human3.6M.

    Attributes:
        name: serial number.
        rotation: ``(3, 3)`` from world to camera axes.
        centre: ``(3,)`` mm, where the camera is in the world.
        intrinsics: ``(fx, fy, cx, cy)`` px.
        radial: ``(3,)`` coefficients of r², r⁴ and r⁶.
        tangential: ``(2,)``.
    """

    name: str
    rotation: NDArray[np.float64]
    centre: NDArray[np.float64]
    intrinsics: NDArray[np.float64]
    radial: NDArray[np.float64]
    tangential: NDArray[np.float64]

    def view(self, world: Float[NDArray[np.float64], "*batch 3"]) -> Float[NDArray[np.float64], "*batch 3"]:
        """World points in camera axes, mm."""
        return (world - self.centre) @ self.rotation.T


def project_distorted(
    points: Float[NDArray[np.float64], "*batch 3"], camera: DistortedCamera
) -> Float[NDArray[np.float64], "*batch 2"]:
    """Pixels of points in camera axes, with the distortion of the lens.

    The data set's own model, in which the tangential term that scales a point counts once (Brown's and OpenCV's
    counts it twice; at these lenses the difference is some tenths of a pixel).
    """
    x, y = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
    r2 = x * x + y * y
    p1, p2 = camera.tangential
    scale = 1 + camera.radial @ np.stack([r2, r2**2, r2**3]).reshape(3, -1)
    scale = scale.reshape(r2.shape) + p1 * y + p2 * x
    distorted = np.stack([x * scale + p2 * r2, y * scale + p1 * r2], -1)
    return distorted * camera.intrinsics[:2] + camera.intrinsics[2:]
