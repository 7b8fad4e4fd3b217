"""How bodies differ from the recorded one bone by bone, and how data sets differ in where they put joints.

Ranges for each group of bones, wider than people are, so that a lifter meets every body and every rig; for heights and
proportions as people have them see `poseterior.data.simulation.population`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from ...geometry.kinematics import pose_to_bones
from ...geometry.skeletons import SKELETONS
from .ranges import log_uniform

__all__ = ["RIG_SIZE", "definition_offsets", "length_factors", "marker_factors"]

_BODY = SKELETONS["h36m17"]

#: Bones that share one random length factor, and the range of that factor at ``body_spread = 1``.
_BONE_GROUPS: dict[str, tuple[tuple[str, ...], tuple[float, float]]] = {
    "hip width": (("right_hip", "left_hip"), (0.6, 1.5)),
    "thigh": (("right_knee", "left_knee"), (0.8, 1.2)),
    "shin": (("right_ankle", "left_ankle"), (0.8, 1.2)),
    "lower trunk": (("spine",), (0.75, 1.4)),
    "upper trunk": (("thorax",), (0.8, 2.4)),
    "neck": (("neck_nose",), (0.4, 1.3)),
    "head": (("head_top",), (0.6, 1.5)),
    "shoulder width": (("right_shoulder", "left_shoulder"), (0.6, 1.3)),
    "upper arm": (("right_elbow", "left_elbow"), (0.75, 1.25)),
    "forearm": (("right_wrist", "left_wrist"), (0.75, 1.3)),
}

#: Standard deviation in metres, at ``definition_spread = 1``, of where a data set puts a joint.
_DEFINITION = {
    "hip": 0.02, "knee": 0.01, "ankle": 0.012, "spine": 0.02, "thorax": 0.02, "neck_nose": 0.025,
    "head_top": 0.025, "shoulder": 0.02, "elbow": 0.01, "wrist": 0.012,
}  # fmt: skip

#: As `_BONE_GROUPS`, by which a body's bones differ where another marker set or rig puts its joints: shoulders on the
#: collar bones, a "head" at the chin or at the crown, wrists at the heel of the hand, a neck that begins lower.
_PLACED: dict[str, tuple[float, float]] = {
    "hip width": (0.6, 1.5), "lower trunk": (0.85, 1.35), "upper trunk": (0.5, 1.3), "neck": (0.35, 1.4),
    "head": (0.15, 1.4), "shoulder width": (0.5, 1.2), "upper arm": (0.92, 1.15), "forearm": (0.72, 1.15),
}  # fmt: skip
#: And a factor on all of it: a rig is seldom quite of its performer's size.
RIG_SIZE = (0.85, 1.12)


def _group_factors(ranges: Mapping[str, tuple[float, float]], n: int, generator: Generator) -> Tensor:
    """A log-uniform factor on each bone, one per group of `_BONE_GROUPS` in ``ranges``: ``(n, 17)``."""
    factor = torch.ones(n, len(_BODY))
    for group, (low, high) in ranges.items():
        drawn = log_uniform(low, high, (n,), generator)
        for joint in _BONE_GROUPS[group][0]:
            factor[:, _BODY.index(joint)] = drawn
    return factor


def length_factors(spread: float, n: int, generator: Generator) -> Tensor:
    """A factor on each bone, one per group of them: ``(n, 17)``. ``spread``: see `SimulatorConfig.body_spread`."""
    ranges = {group: (low**spread, high**spread) for group, (_, (low, high)) in _BONE_GROUPS.items()}
    return _group_factors(ranges, n, generator)


def marker_factors(n: int, generator: Generator) -> Tensor:
    """What bones are multiplied by where other marker sets or rigs measure them: ``(n, 17)``."""
    return _group_factors(_PLACED, n, generator) * log_uniform(*RIG_SIZE, (n, 1), generator)


def definition_offsets(scale: float, n: int, generator: Generator) -> Tensor:
    """Bone offsets, mostly symmetric, for where a data set puts its joints ``(n, 17, 3)``.

    ``scale``: see `SimulatorConfig.definition_spread`.
    """
    sigma = torch.tensor(
        [next((s for word, s in _DEFINITION.items() if name.endswith(word)), 0.0) for name in _BODY.joints]
    )
    shared = torch.randn(n, len(_BODY), 3, generator=generator)
    for left, right in ((j, _BODY.mirror[j]) for j in range(len(_BODY)) if _BODY.sides[j] == "left"):
        shared[:, right] = shared[:, left] * torch.tensor([-1.0, 1.0, 1.0])
    own = torch.randn(n, len(_BODY), 3, generator=generator)
    moved = (shared + 0.3 * own) * sigma[:, None] * scale
    return pose_to_bones(moved, _BODY)
