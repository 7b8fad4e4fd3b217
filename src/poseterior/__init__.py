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

from ._version import __version__

_HOMES = {
    "FlowPoseDistribution": "distributions.flow",
    "InputError": "files.errors",
    "Keypoints2D": "keypoints",
    "LiftResult": "results.poses",
    "Lifter": "lifters",
    "MixturePoseDistribution": "distributions.mixture",
    "PoseDistribution": "distributions.base",
    "PoseId": "keypoints",
    "Recalibration": "distributions.regions",
    "Region": "distributions.regions",
    "RotationDistribution": "distributions.rotations",
    "RotationResult": "results.rotations",
    "Skeleton": "geometry.skeletons",
    "SKELETONS": "geometry.skeletons",
    "example_keypoints": "keypoints.reading",
    "fit_gaussians": "keypoints.heatmaps",
    "lift": "lifting.poses",
    "lift_rotations": "lifting.rotations",
    "list_shipped": "lifters",
    "load": "lifters",
    "load_result": "results.poses",
    "read_keypoints": "keypoints.reading",
    "save_motion": "results.motion",
    "save_result": "results.poses",
    "solve_ik": "lifting.ik",
}

__all__ = [
    "SKELETONS", "FlowPoseDistribution", "InputError", "Keypoints2D", "LiftResult", "Lifter",
    "MixturePoseDistribution", "PoseDistribution", "PoseId", "Recalibration", "Region", "RotationDistribution",
    "RotationResult", "Skeleton", "__version__", "example_keypoints", "fit_gaussians", "lift", "lift_rotations",
    "list_shipped", "load", "load_result", "read_keypoints", "save_motion", "save_result", "solve_ik",
]  # fmt: skip

if TYPE_CHECKING:
    from .distributions.base import PoseDistribution
    from .distributions.flow import FlowPoseDistribution
    from .distributions.mixture import MixturePoseDistribution
    from .distributions.regions import Recalibration, Region
    from .distributions.rotations import RotationDistribution
    from .files.errors import InputError
    from .geometry.skeletons import SKELETONS, Skeleton
    from .keypoints import Keypoints2D, PoseId
    from .keypoints.heatmaps import fit_gaussians
    from .keypoints.reading import example_keypoints, read_keypoints
    from .lifters import Lifter, list_shipped, load
    from .lifting.ik import solve_ik
    from .lifting.poses import lift
    from .lifting.rotations import lift_rotations
    from .results.motion import save_motion
    from .results.poses import LiftResult, load_result, save_result
    from .results.rotations import RotationResult


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
