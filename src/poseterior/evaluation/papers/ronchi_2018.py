"""The evaluation of Ronchi et al. (BMVC 2018): P-MPJPE per action, the three errors, and order on LSP.

Errors are over the joints of the lifter's own skeleton (17, 16 or 14), of the poses as the network places them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...data.observations import Observations, ObservationSet, observations_in
from ...distributions.delta import DeltaPoseDistribution
from ...files.errors import InputError
from ...geometry.kinematics import similarity_align
from ...lifters import Lifter
from ...metrics import accuracy
from .tables import PaperTable, action_table

__all__ = ["evaluate", "scaled_error"]

_CHUNK = 1024


def scaled_error(pose: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """MPJPE, mm, once the pose is multiplied by the scale of its similarity alignment, without turn or shift.

    As published. It is not N-MPJPE, whose scale is that of least squares between the poses as they stand.
    """
    aligned = similarity_align(pose, truth, valid)
    weight = valid.unsqueeze(-1).to(pose.dtype)
    count = weight.sum(-2, keepdim=True).clamp(min=1.0)

    def spread(points: Tensor) -> Tensor:
        centred = torch.where(valid.unsqueeze(-1), points, 0.0)
        centred = (centred - centred.sum(-2, keepdim=True) / count) * weight
        return centred.square().sum((-2, -1)).sqrt()

    scale = spread(aligned) / spread(pose).clamp(min=1e-12)
    return 1000 * accuracy.mpjpe(scale[:, None, None] * pose, truth, valid)


@torch.no_grad()
def _errors(lifter: Lifter, observations: Observations, device: str) -> dict[str, Tensor]:
    lifter = lifter.to(device).eval()
    parts: dict[str, list[Tensor]] = {"raw": [], "scaled": [], "Procrustes": []}
    for start in range(0, len(observations.pose), _CHUNK):
        part = observations[slice(start, start + _CHUNK)].to(device)
        posterior = lifter(part.keypoints)
        pose = posterior.mean
        if isinstance(posterior, DeltaPoseDistribution):
            pose = pose + posterior.root_offset.unsqueeze(-2)
        truth, valid = part.pose, part.observed
        parts["raw"].append(1000 * accuracy.mpjpe(pose, truth, valid).cpu())
        parts["scaled"].append(scaled_error(pose, truth, valid).cpu())
        parts["Procrustes"].append(1000 * accuracy.p_mpjpe(pose, truth, valid).cpu())
    return {name: torch.cat(values) for name, values in parts.items()}


def evaluate(
    lifters: Mapping[str, Lifter], data: ObservationSet, samples: int, seed: int, device: str
) -> list[PaperTable]:
    """The tables; the mean pose of a distribution stands for it.

    Args:
        lifters: by name.
        data: of ``poseterior data import h36m-h5``.
        samples, seed: not needed, one pose is measured.
        device: where to run.

    Raises:
        InputError: no 3D poses; for LSP the order of joints is measured by `poseterior evaluate --labels`.
    """
    if not bool(data.observations.observed.any()):
        raise InputError(
            f"{data.protocol}: holds no 3D poses; measure the order of its joints with `poseterior evaluate LIFTER "
            "--data FILE --labels LABELS`"
        )
    found = {}
    joints = {}
    for name, lifter in lifters.items():
        found[name] = _errors(lifter, observations_in(data.observations, lifter.skeleton), device)
        joints[name] = len(lifter.skeleton)
    notes = (f"{len(data)} poses; joints: {', '.join(f'{name} {count}' for name, count in joints.items())}",)
    procrustes = {name: errors["Procrustes"] for name, errors in found.items()}
    kinds = ("raw", "scaled", "Procrustes")
    means = {name: tuple(float(errors[kind].mean()) for kind in kinds) for name, errors in found.items()}
    return [
        action_table("error after Procrustes alignment, P-MPJPE (mm)", procrustes, data.action, notes),
        PaperTable("3D error (mm), mean over poses", kinds, means, 1, notes),
    ]
