"""The evaluation of Li & Lee (CVPR 2019): the best of the kernels' centres, with 0, 1 and 2 joints missing.

Each kernel's centre is a hypothesis (five of the published networks), the nearest one to the truth counts, under
protocols 1 (MPJPE) and 2 (P-MPJPE), mean over each action, then over actions. Missing joints are drawn among knees,
ankles, elbows and wrists.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from ...data.observations import Observations, ObservationSet
from ...distributions.base import PoseDistribution
from ...distributions.mixture import MixturePoseDistribution
from ...geometry.kinematics import similarity_align
from ...geometry.skeletons import SKELETONS
from ...lifters import Lifter
from ...metrics import accuracy
from ..other_bodies import comparable
from .tables import PaperTable, action_table

__all__ = ["HYPOTHESES", "LIMBS", "MISSING", "centres", "evaluate", "hidden"]

#: Drawn from what is no mixture.
HYPOTHESES = 5
#: How many joints are missing.
MISSING = (0, 1, 2)
_BODY = SKELETONS["h36m17"]
#: Joints that may be missing.
LIMBS = tuple(
    _BODY.index(f"{side}_{joint}") for side in ("right", "left") for joint in ("knee", "ankle", "elbow", "wrist")
)
_CHUNK = 1024


def hidden(observations: Observations, count: int, seed: int) -> Observations:
    """The same, ``count`` of `LIMBS` missing in every pose."""
    keypoints = observations.keypoints
    generator = torch.Generator().manual_seed(seed)
    rank = torch.rand(len(keypoints), len(LIMBS), generator=generator).argsort(-1)[:, :count]
    visible = keypoints.visible.clone()
    visible[torch.arange(len(visible)).unsqueeze(-1), torch.tensor(LIMBS)[rank]] = False
    return dataclasses.replace(observations, keypoints=keypoints._replace(visible=visible))


def centres(posterior: PoseDistribution, seed: int) -> Tensor:
    """Hypotheses ``(n, *batch, joints, 3)``: of a mixture its kernels' centres, else `HYPOTHESES` samples."""
    if isinstance(posterior, MixturePoseDistribution):
        return posterior.hypotheses[0].movedim(-3, 0)
    return posterior.sample((HYPOTHESES,), seed=seed)


@torch.no_grad()
def _errors(lifter: Lifter, data: ObservationSet, seed: int, device: str) -> tuple[Tensor, Tensor, int]:
    lifter, data = comparable(lifter, data)
    lifter, count = lifter.to(device).eval(), 0
    parts: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(data), _CHUNK):
        part = data.observations[slice(start, start + _CHUNK)].to(device)
        poses = centres(lifter(part.keypoints), seed)
        aligned = similarity_align(poses, part.pose, part.observed)
        errors = (1000 * accuracy.mpjpe(one, part.pose, part.observed).amin(0).cpu() for one in (poses, aligned))
        parts.append(tuple(errors))  # type: ignore[arg-type]
        count = len(poses)
    first, second = (torch.cat(column) for column in zip(*parts, strict=True))
    return first, second, count


def evaluate(
    lifters: Mapping[str, Lifter], data: ObservationSet, samples: int, seed: int, device: str
) -> list[PaperTable]:
    """A table a protocol; a row a lifter and number of missing joints.

    Args:
        lifters: by name.
        data: of ``poseterior data import h36m-h5 --detections sh``.
        samples: not needed, the centres are measured.
        seed: of the missing joints.
        device: where to run.
    """
    tables: dict[str, dict[str, Tensor]] = {"P1": {}, "P2": {}}
    counts = {}
    for missing in MISSING:
        shown = dataclasses.replace(data, observations=hidden(data.observations, missing, seed + missing))
        for name, lifter in lifters.items():
            first, second, counts[name] = _errors(lifter, shown, seed, device)
            tables["P1"][f"{name} {missing} missing"] = first
            tables["P2"][f"{name} {missing} missing"] = second
    notes = (
        f"{len(data)} poses; best of {', '.join(f'{count} ({name})' for name, count in counts.items())}: oracle",
        "the paper trained a network of its own for 1 and for 2 missing joints",
    )
    return [
        action_table(
            f"protocol {protocol[1]}: {metric} of the best hypothesis (mm)", tables[protocol], data.action, notes
        )
        for protocol, metric in (("P1", "MPJPE"), ("P2", "P-MPJPE"))
    ]
