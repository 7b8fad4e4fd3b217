"""Evaluation of a lifter on fixed observations: accuracy, scores, calibration, and the published tables.

"Published" is the evaluation that papers on multiple hypotheses share (Li & Lee 2019, Sharma et al. 2019, Wehrbein
et al. 2021): errors of the z0, best, median, mean and worst of N hypotheses under both protocols (P1 = MPJPE,
P2 = P-MPJPE), averaged over the poses of each action and then, unweighted, over actions; on a hard subset.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.observations import ObservationSet
from ..distributions.base import PoseDistribution
from ..distributions.clustering import cluster
from ..files.errors import InputError
from ..geometry.kinematics import ANKLE_HEIGHT, body_height, bone_lengths, similarity_align
from ..keypoints import Keypoints2D
from ..lifters import Lifter
from ..metrics import accuracy
from ..metrics.calibration import Calibration, calibration_error, coverage_ranks
from ..metrics.depth_order import all_pairs, order_counts, order_labels, order_probability, order_reliability

__all__ = [
    "LIMB_JOINTS",
    "NOT_IN_CPS",
    "NOT_IN_PCK",
    "SIZES",
    "best_of_counts",
    "evaluate",
]

#: Joints on which data sets agree best; the signed calibration error across data sets is read on these.
LIMB_JOINTS = ("shoulder", "elbow", "wrist", "knee", "ankle")
#: Joints left out of the published PCK (14 of 17 count) and of the published CPS (16 of 17 count).
NOT_IN_PCK = ("pelvis", "spine", "neck_nose")
NOT_IN_CPS = ("spine",)
#: Body sizes are reported of so many poses at most, evenly spread.
SIZES = 1000
#: Joints that a body's size is measured on: those of `body_height`.
_MEASURED_JOINTS = (
    "pelvis", "spine", "thorax", "neck_nose", "head_top", "left_hip", "left_knee", "left_ankle", "right_hip",
    "right_knee", "right_ankle",
)  # fmt: skip


class Collector:
    """Collects per-pose values over chunks."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = {}

    def add(self, name: str, value: Tensor) -> None:
        self.values.setdefault(name, []).append(value.detach().cpu())

    def __getitem__(self, name: str) -> Tensor:
        return torch.cat(self.values[name])

    def names(self) -> list[str]:
        return list(self.values)


def _point_scores(collector: Collector, label: str, pose: Tensor, truth: Tensor, valid: Tensor) -> None:
    collector.add(f"{label} MPJPE", 1000 * accuracy.mpjpe(pose, truth, valid))
    collector.add(f"{label} N-MPJPE", 1000 * accuracy.n_mpjpe(pose, truth, valid))
    collector.add(f"{label} P-MPJPE", 1000 * accuracy.p_mpjpe(pose, truth, valid))


def best_of_counts(samples: int) -> list[int]:
    """The N at which best-of-N is reported: 1, 2, 5, 10, 20, 50, ... and the number of samples itself."""
    steps = (digit * 10**power for power in range(len(str(samples))) for digit in (1, 2, 5))
    return sorted({n for n in steps if n < samples} | {samples})


def _published_scores(
    collector: Collector, poses: Tensor, truth: Tensor, valid: Tensor, pck_joints: Tensor, cps_joints: Tensor
) -> tuple[Tensor, Tensor]:
    """Collects the published numbers of hypotheses ``(n, batch, joints, 3)``; returns both protocols' errors in mm."""
    aligned = similarity_align(poses, truth, valid)
    p1, p2 = 1000 * accuracy.mpjpe(poses, truth, valid), 1000 * accuracy.mpjpe(aligned, truth, valid)
    for protocol, errors in (("P1", p1), ("P2", p2)):
        for name, value in accuracy.hypothesis_errors(errors).items():
            collector.add(f"{protocol} {name}", value)
    collector.add("PCK@150", 100 * accuracy.pck(poses, truth, valid & pck_joints).amax(0))
    worst = accuracy.joint_errors(aligned, truth, valid & cps_joints).amax(-1)
    collector.add("CPS", accuracy.correct_pose_area(worst.amin(0)))
    return p1, p2


def _over_actions(values: Tensor, label: Tensor, actions: int) -> Tensor:
    """Mean over the poses of each action, then unweighted over actions; ``(poses, ...)`` to ``(...)``."""
    return torch.stack([values[label == i].mean(0) for i in range(actions)]).mean(0)


def _published_table(collector: Collector, label: Tensor, actions: list[str]) -> dict[str, Any]:
    """Averages over actions and over poses, and each action's, of what `_published_scores` collected."""

    def rows(names: dict[str, str]) -> dict[str, Any]:
        values = {short: collector[name] for short, name in names.items()}
        return {
            "average": {s: round(float(_over_actions(v, label, len(actions))), 2) for s, v in values.items()},
            "all poses": {s: round(float(v.mean()), 2) for s, v in values.items()},
            "per action": {
                action: {s: round(float(v[label == i].mean()), 2) for s, v in values.items()}
                for i, action in enumerate(actions)
            },
        }

    known = collector.names()
    order = ("z0", "best", "median", "mean", "worst")
    errors = {p: {s: f"{p} {s}" for s in order if f"{p} {s}" in known} for p in ("P1", "P2")}
    return {p: rows(names) for p, names in errors.items()} | {
        "best hypothesis": rows({"PCK@150": "PCK@150", "CPS": "CPS"})
    }


def nll(lifter: Lifter, posterior: PoseDistribution, keypoints: Keypoints2D, truth: Tensor, valid: Tensor) -> Tensor:
    """Negative log-density in nats a dimension, of the poses that can be scored."""
    dims = 3 * (valid.sum(-1) - 1)
    whole = valid.all(-1)
    if whole.all() or posterior.can_marginalise:
        kwargs = {} if whole.all() else {"observed": valid}
        return -posterior.log_prob(truth, **kwargs) / dims
    if not whole.any():
        return truth.new_empty(0)
    return -lifter(keypoints[whole]).log_prob(truth[whole]) / dims[whole]


def calibration_summary(ranks: Tensor, counted: Tensor, joints: list[int], limbs: list[int]) -> dict[str, Any]:
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


def check_evaluable(lifter: Lifter, data: ObservationSet, samples: int, seed: int) -> None:
    """Raises `InputError` for what cannot be measured: see `evaluate`."""
    if samples < 2:
        raise InputError(f"samples: expected at least 2, got {samples}")
    if not 0 <= seed < 2**63:
        raise InputError(f"seed: expected 0 to below 2^63, got {seed}")
    if lifter.skeleton.name != "h36m17":
        raise InputError(f"the observations are h36m17 poses; the lifter answers in {lifter.skeleton.name}")
    if not len(data):
        raise InputError("no poses to evaluate")
    unknown = int((~data.observations.observed.any(-1)).sum())
    if unknown:
        raise InputError(
            f"{unknown} of {len(data)} poses have no 3D pose to compare with; leave them out with "
            "poseterior.evaluation.subsets.select_poses"
        )


@torch.no_grad()
def evaluate(
    lifter: Lifter,
    data: ObservationSet,
    samples: int = 200,
    seed: int = 0,
    chunk: int = 256,
    mode_poses: int = 500,
    device: torch.device | str = "cpu",
    clusters: int | None = None,
) -> dict[str, Any]:
    """Measure a lifter on fixed observations.

    Args:
        lifter: moved to ``device`` and put into evaluation mode.
        data: from `poseterior.data.simulation.protocols`.
        samples: hypotheses a pose (N of best-of-N).
        seed: of the samples and of the randomised ranks.
        chunk: poses at a time.
        mode_poses: the mode (slow) is measured on the first so many poses of an even spread.
        device: where to run.
        clusters: if given, the published numbers are also measured on so many representatives of the samples
            (`poseterior.distributions.clustering.cluster`), under ``clustered``.

    Returns:
        A JSON-ready dictionary. Errors in mm; ``calibration`` split by visible and missing joints, the signed
        value positive for over-confidence; ``error bar`` is the median 90 % radius in mm.

        ``published`` has, for P1 (MPJPE) and P2 (P-MPJPE), the ``average`` over actions, the mean over ``all
        poses`` and each action's error of the z0 (only where the distribution has an attribute ``z0``: the
        hypothesis of zero latent), best, median, mean and worst hypothesis; PCK@150 (%, 14 joints) and CPS (mm,
        16 joints) of the best hypothesis likewise; and ``spread``, each joint's standard deviation over the
        hypotheses along x, y and z in mm (mean over poses, then actions). ``best of N`` is the expected error of
        the best of N of the samples. An average over actions is unweighted.

        ``size`` has the ``predicted`` and the ``true`` body size of at most `SIZES` poses, evenly spread over those
        of which every joint that it takes is known: the bones from ankles to head top in metres, i.e.
        `poseterior.geometry.kinematics.body_height` without its constant, so that it grows as the pose does. The
        predicted one is that of the mean pose, which is smaller than the hypotheses where they disagree.

        ``depth order`` is about all pairs of joints: the share whose order the mean has right, and how far the
        samples' probabilities of it are from how often they come true.

        A distribution without density has no NLL, one without mode no such errors. One that cannot marginalise
        is scored on the poses of which every joint is known; ``NLL poses`` says how many, if not all.

    Raises:
        InputError: no poses, fewer than two samples, a seed out of range, a lifter of another skeleton, more
            clusters than samples.
    """
    check_evaluable(lifter, data, samples, seed)
    if clusters is not None and not 1 <= clusters <= samples:
        raise InputError(f"clusters: expected 1 to {samples} (the number of samples), got {clusters}")
    lifter = lifter.to(device).eval()
    skeleton = lifter.skeleton
    joints = [j for j in range(len(skeleton)) if j != skeleton.root]
    limbs = [j for j in joints if skeleton.joints[j].endswith(LIMB_JOINTS)]
    in_pck = torch.tensor([name not in NOT_IN_PCK for name in skeleton.joints], device=device)
    in_cps = torch.tensor([name not in NOT_IN_CPS for name in skeleton.joints], device=device)
    measured = [skeleton.index(name) for name in _MEASURED_JOINTS]
    counts = best_of_counts(samples)
    generator = torch.Generator(device=device).manual_seed(seed)
    starts = torch.Generator(device=device).manual_seed(seed)  # of k-means: its draws leave the others as they are
    found, published, clustered = Collector(), Collector(), Collector()
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
        p1, p2 = _published_scores(published, drawn, truth, valid, in_pck, in_cps)
        found.add("best MPJPE", p1.amin(0))
        found.add("best P-MPJPE", p2.amin(0))
        published.add("best of N P1", accuracy.expected_best_of(p1, counts).T)
        published.add("best of N P2", accuracy.expected_best_of(p2, counts).T)
        published.add("spread", 1000 * drawn.std(0))
        sizes = torch.stack([body_height(mean), body_height(truth)], -1) - ANKLE_HEIGHT
        published.add("sizes", sizes[valid[:, measured].all(-1)])
        z0 = getattr(posterior, "z0", None)
        if z0 is not None:
            published.add("P1 z0", 1000 * accuracy.mpjpe(z0, truth, valid))
            published.add("P2 z0", 1000 * accuracy.p_mpjpe(z0, truth, valid))
        if clusters is not None:
            few = cluster(drawn, clusters, generator=starts)[0].movedim(-3, 0)
            _published_scores(clustered, few, truth, valid, in_pck, in_cps)
        found.add("best PCK@150", 100 * accuracy.pck(drawn, truth, valid).amax(0))
        target = torch.where(valid.unsqueeze(-1), truth, mean)
        crps = accuracy.crps(drawn, target).sum(-1)
        energy = accuracy.energy_score(drawn, target)
        weight = valid.float() / valid.sum(-1, keepdim=True)
        found.add("CRPS", 1000 * (crps * weight).sum(-1))
        found.add("energy score", 1000 * (energy * weight).sum(-1))
        if posterior.has_density:
            found.add("NLL", nll(lifter, posterior, keypoints, truth, valid))
        picked = [i for i in range(len(truth)) if (start + i) % every == 0]
        if picked and mode_poses:
            # Not every distribution has a mode that can be found.
            with contextlib.suppress(NotImplementedError):
                mode = lifter(keypoints[torch.tensor(picked)]).mode
                _point_scores(found, "mode", mode, truth[picked], valid[picked])
        both = torch.stack([valid[:, child] & valid[:, parent] for child, parent in skeleton.bones], -1)
        gap = (bone_lengths(drawn, skeleton) - bone_lengths(target, skeleton)).abs().mean(0)
        found.add("sample bone error", 1000 * (gap * both).sum(-1) / both.sum(-1).clamp(min=1))
        found.add("ranks", coverage_ranks(drawn, target, generator))
        radius = (drawn - drawn.median(0).values).norm(dim=-1).quantile(0.9, dim=0)
        found.add("radius", 1000 * radius)
        collect_order(found, drawn, mean, truth, valid)
        found.add("visible", keypoints.visible)
        found.add("valid", valid)

    ranks, valid, visible = found["ranks"], found["valid"], found["visible"]
    radius = found["radius"]
    not_scores = ("ranks", "radius", "visible", "valid", "order")
    per_pose = [n for n in found.names() if not n.startswith(not_scores) and len(found[n])]
    groups = {"visible": (visible & valid)[:, joints], "missing": (~visible & valid)[:, joints]}
    bars = {name: float(radius[:, joints][group].median()) for name, group in groups.items() if group.any()}
    if len(bars) == 2:
        bars["ratio"] = bars["missing"] / bars["visible"]
    overall = calibration_error(ranks, valid)
    actions = sorted(set(data.action))
    label = torch.tensor([actions.index(a) for a in data.action])
    shown = ("mean MPJPE", "mean P-MPJPE", "best MPJPE", "best P-MPJPE")
    spread = _over_actions(published["spread"], label, len(actions))
    curves = {p: _over_actions(published[f"best of N {p}"], label, len(actions)) for p in ("P1", "P2")}
    result: dict[str, Any] = {
        "protocol": data.protocol,
        "poses": len(data),
        "samples": samples,
        "seed": seed,
        "metrics": {name: round(float(found[name].mean()), 4) for name in per_pose},
        "calibration": {
            "all": calibration_summary(ranks, valid, joints, limbs),
            "visible": calibration_summary(ranks, valid & visible, joints, limbs),
            "missing": calibration_summary(ranks, valid & ~visible, joints, limbs),
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
    result["published"] = _published_table(published, label, actions) | {
        "spread": {
            "per joint": {name: _axes(row) for name, row in zip(skeleton.joints, spread, strict=True)},
            "mean": _axes(spread.mean(0)),
        }
    }
    result["depth order"] = order_summary(found)
    result["size"] = _sizes(published["sizes"])
    result["best of N"] = {"N": counts} | {p: [round(float(v), 2) for v in curve] for p, curve in curves.items()}
    if clusters is not None:
        result["clustered"] = {"clusters": clusters} | _published_table(clustered, label, actions)
    if "NLL" in found.names() and len(found["NLL"]) < len(data):
        result["NLL poses"] = len(found["NLL"])
    return result


def collect_order(found: Collector, drawn: Tensor, mean: Tensor, truth: Tensor, valid: Tensor) -> None:
    """Collects what `order_summary` is made of."""
    pairs = all_pairs(truth.shape[-2]).to(truth.device)
    exist = valid[:, pairs].all(-1)
    found.add("order", torch.where(exist, order_labels(truth[..., 2], pairs), 0))
    found.add("order probability", order_probability(drawn, pairs))
    for name, least in (("order", 0.0), ("order over 100 mm", 0.1)):
        right, counted = order_counts(mean, truth, valid, pairs, least)
        found.add(f"{name} right", right)
        found.add(f"{name} counted", counted)


def order_summary(found: Collector) -> dict[str, Any]:
    """Share of pairs whose order the mean has right, and how reliable the samples' probabilities of it are."""
    shares = {
        name: float(found[f"{name} right"].sum() / found[f"{name} counted"].sum().clamp(min=1))
        for name in ("order", "order over 100 mm")
    }
    reliability = order_reliability(found["order probability"], found["order"])
    return {
        "accuracy": round(shares["order"], 4),
        "accuracy over 100 mm": round(shares["order over 100 mm"], 4),
        "calibration error": round(reliability.error, 4),
        "reliability": [
            {"predicted": round(float(p), 4), "observed": round(float(o), 4), "pairs": int(n)}
            for p, o, n in zip(reliability.predicted, reliability.observed, reliability.pairs, strict=True)
            if n
        ],
    }


def _sizes(sizes: Float[Tensor, "poses 2"]) -> dict[str, list[float]]:
    kept = torch.linspace(0, len(sizes) - 1, min(SIZES, len(sizes))).long()
    predicted, true = sizes[kept].T.tolist()
    return {"predicted": [round(size, 4) for size in predicted], "true": [round(size, 4) for size in true]}


def _axes(values: Tensor) -> dict[str, float]:
    return {axis: round(float(v), 2) for axis, v in zip("xyz", values, strict=True)}
