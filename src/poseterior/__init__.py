"""poseterior: 2D human keypoints in, a probability distribution over 3D poses out.

>>> import poseterior as pp
>>> keypoints = pp.example_keypoints()
>>> poses = pp.load("mdn")(keypoints)
>>> poses.sample((200,), seed=0).shape[-2:]
torch.Size([17, 3])

Poses are metres relative to the pelvis in camera axes: x right, y down, z forward. Names are imported when
first used, so that ``import poseterior`` and the command line's help stay fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "FlowPoseDistribution": "distributions",
    "InputError": "errors",
    "Keypoints2D": "keypoints",
    "LiftResult": "export",
    "Lifter": "lifters",
    "MixturePoseDistribution": "distributions",
    "PoseDistribution": "distributions",
    "PoseId": "keypoints",
    "Recalibration": "regions",
    "Region": "regions",
    "RotationPoseDistribution": "rotation_distributions",
    "RotationResult": "motions",
    "Skeleton": "skeletons",
    "SKELETONS": "skeletons",
    "example_keypoints": "keypoint_files",
    "fit_gaussians": "heatmaps",
    "lift": "pipeline",
    "lift_rotations": "motions",
    "list_shipped": "lifters",
    "load": "lifters",
    "load_result": "export",
    "read_keypoints": "keypoint_files",
    "save_motion": "motions",
    "save_result": "export",
    "solve_ik": "motions",
}

__all__ = [
    "SKELETONS", "FlowPoseDistribution", "InputError", "Keypoints2D", "LiftResult", "Lifter",
    "MixturePoseDistribution", "PoseDistribution", "PoseId", "Recalibration", "Region", "RotationPoseDistribution",
    "RotationResult", "Skeleton", "__version__", "example_keypoints", "fit_gaussians", "lift", "lift_rotations",
    "list_shipped", "load", "load_result", "read_keypoints", "save_motion", "save_result", "solve_ik",
]  # fmt: skip

if TYPE_CHECKING:
    from .distributions import FlowPoseDistribution, MixturePoseDistribution, PoseDistribution
    from .errors import InputError
    from .export import LiftResult, load_result, save_result
    from .heatmaps import fit_gaussians
    from .keypoint_files import example_keypoints, read_keypoints
    from .keypoints import Keypoints2D, PoseId
    from .lifters import Lifter, list_shipped, load
    from .motions import RotationResult, lift_rotations, save_motion, solve_ik
    from .pipeline import lift
    from .regions import Recalibration, Region
    from .rotation_distributions import RotationPoseDistribution
    from .skeletons import SKELETONS, Skeleton


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
