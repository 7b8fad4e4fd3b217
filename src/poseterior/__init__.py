"""poseterior: 2D human keypoints in, a probability distribution over 3D poses out.

>>> import poseterior as pp
>>> keypoints = pp.example_keypoints()
>>> poses = pp.load("mdn")(keypoints)
>>> poses.sample((200,), seed=0).shape[-2:]
torch.Size([17, 3])

Poses are metres relative to the pelvis in camera axes: x right, y down, z forward. Names are imported when
first used, so that ``import poseterior`` and the command line's help stay fast.

The rooms `metrics`, `distributions`, `data`, `skeletons` and `view` hold the rest: ``pp.metrics.mpjpe``,
``pp.data.PoseStore``.
"""

from __future__ import annotations

from ._version import __version__

TYPE_CHECKING = False  # importing it from typing would be most of the time that importing this takes

#: Where each name of the face stands.
_HOMES = {
    "InputError": "files.errors",
    "Keypoints2D": "keypoints",
    "LiftResult": "results.poses",
    "Lifter": "lifters",
    "LiveLifter": "lifting.live",
    "PoseDistribution": "distributions.base",
    "SKELETONS": "geometry.skeletons",
    "calibrate": "evaluation.calibrate",
    "evaluate": "evaluation.measure",
    "example_keypoints": "keypoints.reading",
    "fit_gaussians": "keypoints.heatmaps",
    "fuse": "lifting.views",
    "lift": "lifting.poses",
    "lift_clip": "lifting.clips",
    "list_shipped": "lifters",
    "load": "lifters",
    "load_result": "lifting.poses",
    "read_keypoints": "keypoints.reading",
    "solve_ik": "lifting.ik",
    "train": "training",
}
_ROOMS = ("data", "distributions", "metrics", "skeletons", "view")

#: Names of 0.1 that are no longer on the face: where they stand, and what to write instead.
_MOVED = {
    "FlowPoseDistribution": ("distributions.flow", "FlowPoseDistribution", "pp.distributions.FlowPoseDistribution"),
    "MixturePoseDistribution": (
        "distributions.mixture", "MixturePoseDistribution", "pp.distributions.MixturePoseDistribution",
    ),
    "PoseId": ("keypoints", "PoseId", "poseterior.keypoints.PoseId"),
    "Recalibration": ("distributions.recalibration", "Recalibration", "pp.distributions.Recalibration"),
    "Region": ("distributions.regions", "Region", "pp.distributions.Region"),
    "RotationPoseDistribution": (
        "distributions.rotations", "RotationDistribution", "pp.distributions.RotationDistribution",
    ),
    "RotationResult": ("results.rotations", "RotationResult", "poseterior.results.rotations.RotationResult"),
    "Skeleton": ("geometry.skeletons", "Skeleton", "poseterior.geometry.skeletons.Skeleton"),
    "lift_rotations": ("lifting.rotations", "lift_rotations", "pp.lift(lifter, keypoints).motion()"),
    "save_motion": ("results.motion", "save_motion", "motion.save(path)"),
    "save_result": ("results.poses", "save_result", "result.save(path)"),
}  # fmt: skip

__all__ = [
    "SKELETONS", "InputError", "Keypoints2D", "LiftResult", "Lifter", "LiveLifter", "PoseDistribution", "__version__",
    "calibrate", "data", "distributions", "evaluate", "example_keypoints", "fit_gaussians", "fuse", "lift", "lift_clip",
    "list_shipped", "load", "load_result", "metrics", "read_keypoints", "skeletons", "solve_ik", "train", "view",
]  # fmt: skip

if TYPE_CHECKING:
    from typing import Any

    from . import data, distributions, metrics, skeletons, view
    from .distributions.base import PoseDistribution
    from .evaluation.calibrate import calibrate
    from .evaluation.measure import evaluate
    from .files.errors import InputError
    from .geometry.skeletons import SKELETONS
    from .keypoints import Keypoints2D
    from .keypoints.heatmaps import fit_gaussians
    from .keypoints.reading import example_keypoints, read_keypoints
    from .lifters import Lifter, list_shipped, load
    from .lifting.clips import lift_clip
    from .lifting.ik import solve_ik
    from .lifting.live import LiveLifter
    from .lifting.poses import lift, load_result
    from .lifting.views import fuse
    from .results.poses import LiftResult
    from .training.run import train
else:  # hidden from type checkers, so that they find names that do not exist

    def __getattr__(name: str) -> Any:
        import importlib

        if name in _ROOMS:
            return importlib.import_module(f"{__name__}.{name}")
        if name in _HOMES:
            value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
            globals()[name] = value
            return value
        if name in _MOVED:
            import warnings

            module, now, instead = _MOVED[name]
            warnings.warn(
                f"poseterior.{name} will go in the release after this one; use {instead}",
                DeprecationWarning,
                stacklevel=2,
            )
            return getattr(importlib.import_module(f"{__name__}.{module}"), now)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
