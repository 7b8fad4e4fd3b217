"""The evaluation of Yu et al. (ICCV 2021): true keypoints and detections, P1 with the true size, P2.

Poses in the network's units are multiplied by each true pose's own distance from pelvis to head (so that a person's
true size is given), and the factor from pixels is that of the split that is measured. PCK and AUC as for MPI-INF-3DHP.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from ...data.observations import ObservationSet
from ...files.errors import InputError
from ...keypoints.rays import METRES_PER_UNIT
from ...lifters import Lifter
from ...lifters.rays import RayLifter
from ...metrics import accuracy
from .tables import PaperTable

__all__ = ["evaluate", "of_true_size"]

_CHUNK = 1024
_COLUMNS = ("P1: MPJPE, true size (mm)", "P2: P-MPJPE (mm)", "N-MPJPE (mm)", "PCK@150 (%)", "AUC (%)")


def of_true_size(pose: Tensor, truth: Tensor, lifter: Lifter) -> Tensor:
    """Poses as P1 takes them: those of networks that know no size times the true distance from pelvis to head."""
    if not (isinstance(lifter, RayLifter) and lifter.config.size == "free"):
        return pose
    head = truth[:, lifter.skeleton.index("head_top")] - truth[:, lifter.skeleton.root]
    return pose / METRES_PER_UNIT * head.norm(dim=-1)[:, None, None]


def evaluate(
    lifters: Mapping[str, Lifter], data: ObservationSet, samples: int, seed: int, device: str
) -> list[PaperTable]:
    """One table: a row a lifter.

    Args:
        lifters: by name.
        data: of ``poseterior data import yu-h5``, whose protocol says whether the keypoints are detected.
        samples, seed: not needed, one pose is measured.
        device: where to run.

    Raises:
        InputError: poses without the head or the pelvis, a lifter of other joints.
    """
    rows = {name: _row(lifter, data, device) for name, lifter in lifters.items()}
    kind = "detections" if data.protocol.partition(" ")[0].endswith("-pre") else "true keypoints"
    note = f"{len(data)} poses of {data.protocol}; sizes of networks that know none are the true poses'"
    return [PaperTable(f"{kind}", _COLUMNS, rows, 1, (note,))]


@torch.no_grad()
def _row(lifter: Lifter, data: ObservationSet, device: str) -> tuple[float, ...]:
    observations, body = data.observations, lifter.skeleton
    if body.name != "h36m17":
        raise InputError(f"the evaluation of yu_2021 is of h36m17 poses; the lifter answers in {body.name}")
    known = observations.observed[:, [body.root, body.index("head_top")]].all(-1)
    if not bool(known.all()):
        row = int((~known).nonzero()[0])
        raise InputError(f"{data.protocol}: pose {row} lacks the pelvis or the head, by which sizes are given")
    lifter = copy.deepcopy(lifter).eval()
    if isinstance(lifter, RayLifter) and lifter.config.normalise == "split":
        lifter.fit_constants(observations)
    lifter = lifter.to(device)
    parts: list[Tensor] = []
    for start in range(0, len(data), _CHUNK):
        part = observations[slice(start, start + _CHUNK)].to(device)
        truth, valid = part.pose, part.observed
        pose = of_true_size(lifter(part.keypoints).mean, truth, lifter)
        errors = (
            1000 * accuracy.mpjpe(pose, truth, valid),
            1000 * accuracy.p_mpjpe(pose, truth, valid),
            1000 * accuracy.n_mpjpe(pose, truth, valid),
            100 * accuracy.pck(pose, truth, valid),
            100 * accuracy.area_under_pck(pose, truth, valid),
        )
        parts.append(torch.stack(errors, -1).cpu())
    return tuple(torch.cat(parts).mean(0).tolist())
