"""Distributions over 3D poses, and over the rotations that make them. Names are imported when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "ArticulatedPoseDistribution": "rotations",
    "DeltaPoseDistribution": "delta",
    "EmpiricalPoseDistribution": "empirical",
    "Evidence": "evidence",
    "FlowPoseDistribution": "flow",
    "GivenEvidence": "given",
    "IndependentPoseDistribution": "independent",
    "MixturePoseDistribution": "mixture",
    "PoseDistribution": "base",
    "Recalibration": "recalibration",
    "Region": "regions",
    "RotationDistribution": "rotations",
    "RotationsThroughPoses": "through_poses",
    "SampledPoseDistribution": "sampled",
    "SeededDistribution": "seeded",
    "cluster": "clustering",
}

__all__ = [
    "ArticulatedPoseDistribution",
    "DeltaPoseDistribution",
    "EmpiricalPoseDistribution",
    "Evidence",
    "FlowPoseDistribution",
    "GivenEvidence",
    "IndependentPoseDistribution",
    "MixturePoseDistribution",
    "PoseDistribution",
    "Recalibration",
    "Region",
    "RotationDistribution",
    "RotationsThroughPoses",
    "SampledPoseDistribution",
    "SeededDistribution",
    "cluster",
]

if TYPE_CHECKING:
    from .base import PoseDistribution
    from .clustering import cluster
    from .delta import DeltaPoseDistribution
    from .empirical import EmpiricalPoseDistribution
    from .evidence import Evidence
    from .flow import FlowPoseDistribution
    from .given import GivenEvidence
    from .independent import IndependentPoseDistribution
    from .mixture import MixturePoseDistribution
    from .recalibration import Recalibration
    from .regions import Region
    from .rotations import ArticulatedPoseDistribution, RotationDistribution
    from .sampled import SampledPoseDistribution
    from .seeded import SeededDistribution
    from .through_poses import RotationsThroughPoses


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
