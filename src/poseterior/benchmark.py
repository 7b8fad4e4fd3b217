"""Evaluation of a lifter on fixed observations: accuracy, scores, calibration."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .data.protocols import ObservationSet
from .errors import InputError
from .kinematics import bone_lengths
from .lifters import Lifter
from .metrics import accuracy
from .metrics.calibration import Calibration, calibration_error, coverage_ranks

__all__ = ["LIMB_JOINTS", "evaluate"]

#: Joints on which data sets agree best; the signed calibration error across data sets is read on these.
LIMB_JOINTS = ("shoulder", "elbow", "wrist", "knee", "ankle")


class _Collector:
    """Collects per-pose values over chunks."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = {}

    def add(self, name: str, value: Tensor) -> None:
        self.values.setdefault(name, []).append(value.detach().cpu())

    def __getitem__(self, name: str) -> Tensor:
        return torch.cat(self.values[name])

    def names(self) -> list[str]:
        return list(self.values)


def _point_scores(collector: _Collector, label: str, pose: Tensor, truth: Tensor, valid: Tensor) -> None:
    collector.add(f"{label} MPJPE", 1000 * accuracy.mpjpe(pose, truth, valid))
    collector.add(f"{label} N-MPJPE", 1000 * accuracy.n_mpjpe(pose, truth, valid))
    collector.add(f"{label} P-MPJPE", 1000 * accuracy.p_mpjpe(pose, truth, valid))


def _calibration(ranks: Tensor, counted: Tensor, joints: list[int], limbs: list[int]) -> dict[str, Any]:
    c: Calibration = calibration_error(ranks, counted)
    seen = [j for j in joints if c.count[j] > 0]
    if not seen:
        return {}
    limb_value = c.mean_signed([j for j in limbs if c.count[j] > 0]) if any(c.count[j] > 0 for j in limbs) else None
    return {
        "mean": round(c.mean(seen), 4),
        "worst": round(float(c.error[seen].max()), 4),
        "signed": round(c.mean_signed(seen), 4),
        "signed limbs": None if limb_value is None else round(limb_value, 4),
        "observations": int(c.count[seen].sum()),
    }


@torch.no_grad()
def evaluate(
    lifter: Lifter,
    data: ObservationSet,
    samples: int = 200,
    seed: int = 0,
    chunk: int = 256,
    mode_poses: int = 500,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Measure a lifter on fixed observations.

    Args:
        lifter: moved to ``device`` and put into evaluation mode.
        data: from `poseterior.data.protocols`.
        samples: hypotheses a pose (N of best-of-N).
        seed: of the samples and of the randomised ranks.
        chunk: poses at a time.
        mode_poses: the mode (slow) is measured on the first so many poses of an even spread.
        device: where to run.

    Returns:
        A JSON-ready dictionary. Errors in mm; ``calibration`` split by visible and missing joints, the signed
        value positive for over-confidence; ``error bar`` is the median 90 % radius in mm.
    """
    if samples < 2:
        raise InputError(f"samples: expected at least 2, got {samples}")
    if not 0 <= seed < 2**63:
        raise InputError(f"seed: expected 0 to below 2^63, got {seed}")
    if lifter.skeleton.name != "h36m17":
        raise InputError(f"the observations are h36m17 poses; the lifter answers in {lifter.skeleton.name}")
    lifter = lifter.to(device).eval()
    skeleton = lifter.skeleton
    joints = [j for j in range(len(skeleton)) if j != skeleton.root]
    limbs = [j for j in joints if skeleton.joints[j].endswith(LIMB_JOINTS)]
    generator = torch.Generator(device=device).manual_seed(seed)
    found = _Collector()
    everything = data.observations
    every = -(-len(data) // max(1, mode_poses))
    for start in range(0, len(data), chunk):
        part = slice(start, start + chunk)
        keypoints = everything.keypoints[part].to(device)
        truth, valid = everything.pose[part].to(device), everything.observed[part].to(device)
        posterior = lifter(keypoints)
        drawn = posterior.sample((samples,), generator=generator)
        mean = posterior.mean
        _point_scores(found, "mean", mean, truth, valid)
        found.add("mean PCK@150", 100 * accuracy.pck(mean, truth, valid))
        found.add("mean AUC", 100 * accuracy.area_under_pck(mean, truth, valid))
        found.add("best MPJPE", 1000 * accuracy.mpjpe(drawn, truth, valid).amin(0))
        found.add("best P-MPJPE", 1000 * accuracy.p_mpjpe(drawn, truth, valid).amin(0))
        found.add("best PCK@150", 100 * accuracy.pck(drawn, truth, valid).amax(0))
        target = torch.where(valid.unsqueeze(-1), truth, mean)
        crps = accuracy.crps(drawn, target).sum(-1)
        energy = accuracy.energy_score(drawn, target)
        weight = valid.float() / valid.sum(-1, keepdim=True)
        found.add("CRPS", 1000 * (crps * weight).sum(-1))
        found.add("energy score", 1000 * (energy * weight).sum(-1))
        if posterior.has_density:
            kwargs = {} if bool(valid.all()) else {"observed": valid}
            dims = 3 * (valid.sum(-1) - 1)
            found.add("NLL", -posterior.log_prob(truth, **kwargs) / dims)
        picked = [i for i in range(len(truth)) if (start + i) % every == 0]
        if picked and mode_poses:
            _point_scores(found, "mode", lifter(keypoints[torch.tensor(picked)]).mode, truth[picked], valid[picked])
        both = torch.stack([valid[:, child] & valid[:, parent] for child, parent in skeleton.bones], -1)
        gap = (bone_lengths(drawn, skeleton) - bone_lengths(target, skeleton)).abs().mean(0)
        found.add("sample bone error", 1000 * (gap * both).sum(-1) / both.sum(-1).clamp(min=1))
        found.add("ranks", coverage_ranks(drawn, target, generator))
        radius = (drawn - drawn.median(0).values).norm(dim=-1).quantile(0.9, dim=0)
        found.add("radius", 1000 * radius)
        found.add("visible", keypoints.visible)
        found.add("valid", valid)

    ranks, valid, visible = found["ranks"], found["valid"], found["visible"]
    radius = found["radius"]
    per_pose = [n for n in found.names() if n not in ("ranks", "radius", "visible", "valid")]
    groups = {"visible": (visible & valid)[:, joints], "missing": (~visible & valid)[:, joints]}
    bars = {name: float(radius[:, joints][group].median()) for name, group in groups.items() if group.any()}
    if len(bars) == 2:
        bars["ratio"] = bars["missing"] / bars["visible"]
    overall = calibration_error(ranks, valid)
    actions = sorted(set(data.action))
    label = torch.tensor([actions.index(a) for a in data.action])
    shown = ("mean MPJPE", "mean P-MPJPE", "best MPJPE", "best P-MPJPE")
    return {
        "protocol": data.protocol,
        "poses": len(data),
        "samples": samples,
        "seed": seed,
        "metrics": {name: round(float(found[name].mean()), 4) for name in per_pose},
        "calibration": {
            "all": _calibration(ranks, valid, joints, limbs),
            "visible": _calibration(ranks, valid & visible, joints, limbs),
            "missing": _calibration(ranks, valid & ~visible, joints, limbs),
        },
        "error bar": {name: round(value, 2) for name, value in bars.items()},
        "per action": {
            action: {name: round(float(found[name][label == i].mean()), 2) for name in shown}
            for i, action in enumerate(actions)
        },
        "per joint": {
            skeleton.joints[j]: {
                "calibration": round(float(overall.error[j]), 4),
                "signed": round(float(overall.signed[j]), 4),
                "error bar": round(float(radius[valid[:, j], j].median()), 2),
            }
            for j in joints
            if valid[:, j].any()
        },
    }
