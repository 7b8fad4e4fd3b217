"""Does a lifter know when a pose is new to it? Errors and error bars by how far the truth is from all training poses.

Error grows where poses are new; that is honest as long as the 90 % radius grows with it: their ratio should be the same
in every quartile of novelty.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.mocap.nearest import nearest_poses
from ..data.observations import ObservationSet
from ..data.store import PoseStore
from ..metrics import accuracy
from .collect import Collected

__all__ = ["NAME", "Reference", "by_novelty", "flatness", "reference"]

#: Of the distances among what `poseterior.evaluation.collect.collect` found, and among the scores of poses.
NAME = "novelty"
#: Frames a second, and poses in all, of a store that are looked at: more are hardly nearer.
_FPS, _POSES = 10.0, 30_000
#: Fewer poses have no quartiles.
_FEWEST = 20


@dataclass(frozen=True)
class Reference:
    """Poses that a lifter was trained on.

    Attributes:
        name: of their store.
        poses: ``(n, 17, 3)`` metres, h36m17.
        hash: of the poses.
    """

    name: str
    poses: Tensor
    hash: str

    def distances(self, data: ObservationSet) -> Float[Tensor, " poses"]:
        """Millimetres from each truth to the nearest training pose: `poseterior.data.mocap.nearest.nearest_poses`."""
        truth, known = data.observations.pose, data.observations.observed
        return nearest_poses(torch.where(known.unsqueeze(-1), truth, float("nan")), self.poses)[0]


def reference(store: str | Path) -> Reference:
    """The poses of a store, at 10 frames a second and at most 30,000.

    Raises:
        InputError: a folder that is no store.
    """
    poses = torch.from_numpy(PoseStore(store).load(fps=_FPS).h36m17)
    if len(poses) > _POSES:
        poses = poses[torch.linspace(0, len(poses) - 1, _POSES).long()]
    return Reference(Path(store).resolve().name, poses, hashlib.sha256(poses.numpy().tobytes()).hexdigest())


def by_novelty(found: Collected) -> list[dict[str, Any]]:
    """Rows of the quartiles of novelty, the most familiar first; nothing for fewer than 20 poses.

    ``from``, ``to`` and ``distance`` (mean) in mm; ``error`` of the mean pose and the mean 90 % ``radius`` (that of
    `region`, calibrated where the lifter is), both over joints but the root, mm; their ``ratio``; ``region``, the share
    of truths inside.
    """
    distance = found[NAME]
    known = distance.isfinite().nonzero().squeeze(-1)
    if len(known) < _FEWEST:
        return []
    order = known[distance[known].argsort(stable=True)]
    joints, valid = found.joints, found["valid"]
    error = 1000 * accuracy.joint_errors(found["pose: mean"], found["truth"], valid)
    radius, inside = found["region radius"], found["region inside"]
    rows = []
    for quartile, own in enumerate(order.tensor_split(4), start=1):
        counted = valid[own][:, joints]
        mean_error, mean_radius = (float(values[own][:, joints][counted].mean()) for values in (error, radius))
        rows.append(
            {
                "quartile": quartile,
                "poses": len(own),
                "from": round(float(distance[own].min()), 1),
                "to": round(float(distance[own].max()), 1),
                "distance": round(float(distance[own].mean()), 1),
                "error": round(mean_error, 2),
                "radius": round(mean_radius, 2),
                "ratio": round(mean_error / mean_radius, 4) if mean_radius > 0 else math.nan,
                "region": round(float(inside[own][:, joints][counted].float().mean()), 4),
            }
        )
    return rows


def flatness(rows: list[dict[str, Any]]) -> float:
    """How far the ratio of error and radius is from its mean over the quartiles, at most, as a share of it."""
    ratios = [row["ratio"] for row in rows]
    mean = sum(ratios) / len(ratios)
    return max(abs(ratio - mean) for ratio in ratios) / mean
