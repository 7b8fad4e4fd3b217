"""Every number of the benchmark about one lifter on one set of observations.

`evaluate` is the quick look and the published tables; this is the long one: single poses with and without looking at
the truth, proper scores, calibration from five sides, sharpness, plausibility, cost, checks and the worst poses.
Distances in the result are millimetres, shares 0 to 1, unless a key says otherwise.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..data.observations import ObservationSet
from ..data.simulation.bodies import BodyObservations
from ..distributions.base import PoseDistribution, SampledPoseDistribution
from ..distributions.empirical import EmpiricalPoseDistribution
from ..distributions.regions import region_of
from ..files.errors import InputError
from ..geometry.kinematics import similarity_align
from ..keypoints import Keypoints2D
from ..lifters import Lifter
from ..metrics import accuracy, diagnostics, estimates, plausibility, scores
from ..metrics.calibration import (
    LEVELS,
    calibration_error,
    calibration_floor,
    coverage_ranks,
    published_error,
    published_inside,
)
from ..metrics.rotations import mgeo
from .checks import bar_factor, check
from .evaluate import (
    LIMB_JOINTS,
    Collector,
    best_of_counts,
    calibration_summary,
    check_evaluable,
    collect_order,
    nll,
    order_summary,
)

__all__ = [
    "REGION_LEVEL",
    "VERSION",
    "measure",
]

#: Raised whenever a number changes its meaning: results of another version are measured anew.
VERSION = 2
#: Level of the credible regions that are reported.
REGION_LEVEL = 0.9
#: Bins of how many joints are missing: label and the largest count in it.
_MISSING_BINS = (("0", 0), ("1-2", 2), ("3-4", 4), ("5-8", 8), ("9+", 99))
#: Hypotheses kept of each pose, for checks and pictures.
_KEPT = 8


@torch.no_grad()
def measure(
    lifter: Lifter,
    data: ObservationSet,
    samples: int = 200,
    seed: int = 0,
    *,
    chunk: int = 128,
    mode_poses: int = 60,
    worst: int = 12,
    in_a_row: bool = False,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Measure a lifter on observations.

    Args:
        lifter: moved to ``device`` and put into evaluation mode.
        data: from `poseterior.data.simulation.protocols`.
        samples: hypotheses a pose.
        seed: of the samples and of every randomised rank.
        chunk: poses at a time.
        mode_poses: the mode (slow) is measured on so many poses, evenly spread.
        worst: so many of the poses with the largest error are kept, with a few hypotheses.
        in_a_row: consecutive rows of a clip are consecutive frames of one camera: velocities are measured too.
        device: where to run.

    Returns:
        A JSON-ready dictionary, described in docs/benchmark.md. What cannot be measured is absent.

    Raises:
        InputError: as `poseterior.evaluation.evaluate.evaluate`; hypotheses that are not finite.
    """
    check_evaluable(lifter, data, samples, seed)
    started = time.perf_counter()
    found, cost = _collect(lifter.to(device).eval(), data, samples, seed, chunk, mode_poses, torch.device(device))
    joints = [j for j in range(len(lifter.skeleton)) if j != lifter.skeleton.root]
    truth, valid = found["truth"], found["valid"]
    poses = {name.removeprefix("pose: "): found[name] for name in found.names() if name.startswith("pose: ")}
    result: dict[str, Any] = {
        "poses": len(data),
        "samples": samples,
        "estimates": _estimates(poses, found, samples, _velocity_pairs(data) if in_a_row else None),
        "oracles": [f"best of {samples}", "J-Agg"],
        "best of N": {"N": best_of_counts(samples)}
        | {name: _list(1000 * found[f"best of N {name}"].mean(0)) for name in ("MPJPE", "P-MPJPE")},
        "scores": _scores(found, len(data)),
        "calibration": _calibration(found, joints, lifter, samples),
        "floor": _floor(len(data), samples),
        "TARP": _tarp(found),
        "SBC": _sbc(found),
        "sharpness": _sharpness(found, joints),
        "region": _region(found, joints, lifter),
        "plausibility": _plausibility(found, data, in_a_row),
        "depth order": order_summary(found),
        "per joint": _per_joint(found, joints, lifter),
        "by missing": _by_missing(found, joints, samples),
        "cost": {
            "milliseconds a pose": round(1000 * cost / len(data), 3),
            "samples a second": round(len(data) * samples / max(cost, 1e-9)),
            "batch": chunk,
            "threads": torch.get_num_threads(),
            "device": str(device),
        },
        "worst": _worst(found, data, worst),
    }
    if "density ranks" in found.names() and len(found["density ranks"]):
        result["density coverage"] = _coverage(diagnostics.expected_coverage(found["density ranks"])) | {
            "poses": len(found["density ranks"])
        }
    if "MGEO" in found.names():
        result["rotations"] = {
            "MGEO": round(math.degrees(float(found["MGEO"].mean())), 2),
            "sample MGEO": round(math.degrees(float(found["sample MGEO"].mean())), 2),
        }
    result["bars"] = _bars(found, joints)
    offset = float(found["root offset"].mean()) if "root offset" in found.names() else 0.0
    few = found["few samples"].transpose(0, 1)
    checks = check(poses["mean"], truth, valid, few, found["visible"], result, offset)
    result["checks"] = [one._asdict() for one in checks]
    result["seconds"] = round(time.perf_counter() - started, 2)
    return _plain(result)


# -- one pass over the poses -----------------------------------------------------------------------------------


def _collect(
    lifter: Lifter, data: ObservationSet, samples: int, seed: int, chunk: int, mode_poses: int, device: torch.device
) -> tuple[Collector, float]:
    """Everything that is measured pose by pose, and the seconds that lifting and drawing took."""
    generator = torch.Generator(device=device).manual_seed(seed)
    everything = data.observations
    clips = [one.file for one in everything.keypoints.ids]
    references = diagnostics.tarp_references(everything.pose.to(device), generator, clips)
    every = -(-len(data) // max(1, mode_poses))
    found, seconds = Collector(), 0.0
    for start in range(0, len(data), chunk):
        part = everything[slice(start, start + chunk)]
        part = part.to(device)
        began = _now(device)
        posterior = lifter(part.keypoints)
        drawn, rotations = _draw(posterior, samples, generator)
        seconds += _now(device) - began
        if not bool(drawn.isfinite().all()):
            row = int((~drawn.isfinite()).flatten(2).any(-1).any(0).nonzero()[0]) + start
            raise InputError(f"{lifter.name}: hypotheses of pose {row} are not finite")
        # Where the mean is one over draws anyway, these do as well.
        mean = (
            drawn.mean(0)
            if isinstance(posterior, SampledPoseDistribution | EmpiricalPoseDistribution)
            else posterior.mean
        )
        truth, valid = part.pose, part.observed
        found.add("truth", truth)
        found.add("valid", valid)
        found.add("visible", part.keypoints.visible)
        found.add("few samples", drawn[:_KEPT].transpose(0, 1))
        _collect_poses(found, drawn, mean, part.keypoints, part.root)
        _collect_best(found, drawn, truth, valid, samples)
        _collect_scores(found, drawn, mean, truth, valid)
        _collect_ranks(found, drawn, mean, truth, valid, references[start : start + chunk], generator)
        _collect_density(found, lifter, posterior, drawn, part.keypoints, truth, valid, generator)
        _collect_region(found, posterior, drawn, truth, valid)
        collect_order(found, drawn, mean, truth, valid)
        found.add("bone spread", plausibility.bone_spread(drawn, lifter.skeleton).mean(-1))
        found.add("MPSSE", plausibility.mpsse(drawn, lifter.skeleton).mean(0))
        found.add("joint limits", plausibility.limits_violated(drawn).float().mean((0, -1)))
        if rotations is not None and isinstance(part, BodyObservations):
            found.add("MGEO", mgeo(posterior.rotations.mean, part.rotations))
            found.add("sample MGEO", mgeo(rotations, part.rotations).mean(0))
        given = isinstance(posterior, EmpiricalPoseDistribution)
        if given:
            found.add("root offset", posterior.root_offset.norm(dim=-1))
        picked = [i for i in range(len(truth)) if (start + i) % every == 0] if mode_poses and not given else []
        if picked:
            # Not every distribution has a mode that can be found.
            with contextlib.suppress(NotImplementedError):
                found.add("mode", lifter(part.keypoints[torch.tensor(picked)]).mode)
                found.add("mode rows", torch.tensor(picked) + start)
    return found, seconds


def _now(device: torch.device) -> float:
    """Seconds, once the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _draw(posterior: PoseDistribution, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """Hypotheses ``(samples, poses, joints, 3)``, and the rotations behind them where there are any."""
    if hasattr(posterior, "sample_with_rotations"):
        drawn, rotations, _ = posterior.sample_with_rotations((samples,), generator=generator)
        return drawn, rotations
    if isinstance(posterior, EmpiricalPoseDistribution):
        # Scores by neighbours, and the few that are kept, need exchangeable samples.
        return posterior.shuffled(samples, generator), None
    return posterior.sample((samples,), generator=generator), None


def _collect_poses(found: Collector, drawn: Tensor, mean: Tensor, keypoints: Keypoints2D, root: Tensor) -> None:
    """The single poses that stand for the hypotheses."""
    found.add("pose: mean", mean)
    found.add("pose: medoid", estimates.medoid(drawn))
    weights = estimates.reprojection_log_weights(drawn, keypoints)
    found.add("pose: weighted mean", estimates.weighted_mean(drawn, weights))
    found.add("pose: reprojection", estimates.aggregate_by_reprojection(drawn, keypoints))
    # The published aggregation takes the true place of the person.
    found.add("pose: J-Agg", estimates.aggregate_by_reprojection(drawn, keypoints, root=root))


def _collect_best(found: Collector, drawn: Tensor, truth: Tensor, valid: Tensor, samples: int) -> None:
    """What the best hypothesis would give somebody who knows the truth, each metric with its own best."""
    aligned = similarity_align(drawn, truth, valid)
    errors = {"MPJPE": accuracy.mpjpe(drawn, truth, valid), "P-MPJPE": accuracy.mpjpe(aligned, truth, valid)}
    for name, error in errors.items():
        found.add(f"best {name}", 1000 * error.amin(0))
        found.add(f"best of N {name}", accuracy.expected_best_of(error, best_of_counts(samples)).T)
    found.add("best N-MPJPE", 1000 * accuracy.n_mpjpe(drawn, truth, valid).amin(0))
    found.add("best PCK@150", 100 * accuracy.pck(drawn, truth, valid).amax(0))
    found.add("best AUC", 100 * accuracy.area_under_pck(drawn, truth, valid).amax(0))
    worst_joint = accuracy.joint_errors(aligned, truth, valid).amax(-1).amin(0)
    found.add("best CPS", accuracy.correct_pose_area(worst_joint))


def _collect_scores(found: Collector, drawn: Tensor, mean: Tensor, truth: Tensor, valid: Tensor) -> None:
    target = torch.where(valid.unsqueeze(-1), truth, mean)
    weight = valid.float() / valid.sum(-1, keepdim=True)
    found.add("CRPS", 1000 * (accuracy.crps(drawn, target).sum(-1) * weight).sum(-1))
    found.add("energy score", 1000 * (accuracy.energy_score(drawn, target) * weight).sum(-1))
    found.add("pose energy score", 1000 * scores.pose_energy_score(drawn, truth, valid))
    found.add("variogram score", 1000 * scores.variogram_score(drawn, truth, valid))


def _collect_ranks(
    found: Collector, drawn: Tensor, mean: Tensor, truth: Tensor, valid: Tensor, references: Tensor, generator: Any
) -> None:
    """Where the truth stands among the hypotheses: joint by joint, from a reference pose, in scalar quantities."""
    target = torch.where(valid.unsqueeze(-1), truth, mean)
    found.add("ranks", coverage_ranks(drawn, target, generator))
    found.add("inside", published_inside(drawn, target).movedim(0, 1))
    centre = drawn.median(0).values
    radius = (drawn - centre).norm(dim=-1).quantile(0.9, dim=0)
    found.add("radius", radius)
    found.add("from centre", (target - centre).norm(dim=-1))
    found.add("TARP", diagnostics.tarp_ranks(drawn, truth, references, valid, generator))
    known = torch.where(valid.unsqueeze(-1), truth, torch.nan)
    actual = diagnostics.sbc_quantities(known)
    for name, values in diagnostics.sbc_quantities(drawn).items():
        found.add(f"SBC: {name}", diagnostics.sbc_ranks(values, actual[name], generator))


def _collect_density(
    found: Collector,
    lifter: Lifter,
    posterior: PoseDistribution,
    drawn: Tensor,
    keypoints: Keypoints2D,
    truth: Tensor,
    valid: Tensor,
    generator: torch.Generator,
) -> None:
    """NLL, and the rank of the truth by density, of the poses of which every joint is known."""
    if not posterior.has_density:
        return
    found.add("NLL", nll(lifter, posterior, keypoints, truth, valid))
    whole = valid.all(-1)
    if not bool(whole.any()):
        return
    exact = posterior if bool(whole.all()) else lifter(keypoints[whole])
    inside, actual = exact.log_prob(drawn[:, whole]), exact.log_prob(truth[whole])
    found.add("density ranks", diagnostics.density_ranks(inside, actual, generator))


def _collect_region(found: Collector, posterior: PoseDistribution, drawn: Tensor, truth: Tensor, valid: Tensor) -> None:
    """Whether the credible regions hold the truth."""
    ours = posterior.recalibration
    if ours is None or ours.samples <= len(drawn):
        # The samples at hand are as good as those that `region` would draw anew.
        kept = drawn if ours is None else drawn[: ours.samples]
        region = region_of(kept, posterior.skeleton, REGION_LEVEL, ours, posterior.visible)
    else:
        region = posterior.region(REGION_LEVEL)
    found.add("region inside", region.contains(truth))
    found.add("region pose", region.contains_pose(truth, valid))
    found.add("region radius", region.radius)
    found.add("region calibrated", torch.full((len(truth),), region.calibrated))


# -- what the numbers come to ----------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _floor(poses: int, samples: int) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(calibration_floor(poses, samples)).items()}


def _estimates(
    poses: Mapping[str, Tensor], found: Collector, samples: int, pairs: Tensor | None
) -> dict[str, dict[str, float]]:
    truth, valid = found["truth"], found["valid"]
    rows = {name: _errors(pose, truth, valid, pairs) for name, pose in poses.items()}
    if "mode" in found.names():
        picked = found["mode rows"]
        mode = _errors(found["mode"], truth[picked], valid[picked], None)
        rows = {"mean": rows.pop("mean"), "mode": mode | {"poses": len(picked)}} | rows
    names = ("MPJPE", "N-MPJPE", "P-MPJPE", "PCK@150", "AUC", "CPS")
    best = {name: round(float(found[f"best {name}"].mean()), 2) for name in names}
    aggregated = rows.pop("J-Agg")
    return rows | {f"best of {samples}": best, "J-Agg": aggregated}


def _errors(pose: Tensor, truth: Tensor, valid: Tensor, pairs: Tensor | None) -> dict[str, float]:
    """Accuracy of one pose for each truth."""
    values = {
        "MPJPE": 1000 * accuracy.mpjpe(pose, truth, valid),
        "N-MPJPE": 1000 * accuracy.n_mpjpe(pose, truth, valid),
        "P-MPJPE": 1000 * accuracy.p_mpjpe(pose, truth, valid),
        "PCK@150": 100 * accuracy.pck(pose, truth, valid),
        "AUC": 100 * accuracy.area_under_pck(pose, truth, valid),
        "CPS": accuracy.correct_pose_score(pose.unsqueeze(0), truth, valid=valid),
    }
    if pairs is not None and len(pairs):
        both = valid[pairs].all(1)
        values["MPJVE"] = 1000 * accuracy.mpjve(pose[pairs], truth[pairs], both.unsqueeze(1).expand(-1, 2, -1))
    return {name: round(float(value.mean()), 2) for name, value in values.items()}


def _velocity_pairs(data: ObservationSet) -> Tensor:
    """Rows ``(pairs, 2)`` that are consecutive frames of a clip: as far apart as most are."""
    ids = data.observations.keypoints.ids
    steps = [b.frame - a.frame if (a.file, a.person) == (b.file, b.person) else 0 for a, b in pairwise(ids)]
    forward = [step for step in steps if step > 0]
    if not forward:
        return torch.zeros(0, 2, dtype=torch.long)
    usual = max(set(forward), key=forward.count)
    return torch.tensor([[i, i + 1] for i, step in enumerate(steps) if step == usual])


def _scores(found: Collector, poses: int) -> dict[str, float]:
    names = ("CRPS", "energy score", "pose energy score", "variogram score")
    values = {name: round(float(found[name].mean()), 4) for name in names}
    if "NLL" in found.names() and len(found["NLL"]):
        values["NLL"] = round(float(found["NLL"].mean()), 4)
        values["NLL poses"] = len(found["NLL"])
    return values


def _calibration(found: Collector, joints: list[int], lifter: Lifter, samples: int) -> dict[str, Any]:
    limbs = [j for j in joints if lifter.skeleton.joints[j].endswith(LIMB_JOINTS)]
    valid, visible = found["valid"], found["visible"]
    inside = found["inside"].movedim(0, 1)  # (levels, poses, joints)
    result = {}
    for name, counted in (("all", valid), ("visible", valid & visible), ("missing", valid & ~visible)):
        row = calibration_summary(found["ranks"], counted, joints, limbs)
        if row:
            seen = [j for j in joints if bool(counted[:, j].any())]
            coverage = calibration_error(found["ranks"], counted).coverage[:, seen].mean(-1)
            row["floor"] = _floor(max(1, row["observations"] // len(seen)), samples)["mean"]
            row["published"] = round(published_error(inside, counted, seen), 4)
            row |= {"levels": _list(torch.tensor(LEVELS)), "coverage": _list(coverage, 4)}
        result[name] = row
    return result


def _coverage(coverage: Any) -> dict[str, Any]:
    return {
        "levels": _list(coverage.levels),
        "coverage": _list(coverage.coverage, 4),
        "error": round(float(coverage.error), 4),
        "signed": round(float(coverage.signed), 4),
    }


def _tarp(found: Collector) -> dict[str, Any]:
    if bool(found["TARP"].isnan().all()):
        return {}
    tarp = diagnostics.tarp(found["TARP"])
    return _coverage(tarp) | {"band": round(float(tarp.band), 4), "inside": bool(tarp.inside)}


def _sbc(found: Collector) -> dict[str, Any]:
    ranks = {n.removeprefix("SBC: "): found[n] for n in found.names() if n.startswith("SBC: ")}
    if max(int((~values.isnan()).sum()) for values in ranks.values()) < diagnostics.FEWEST_RANKS:
        return {}
    sbc = diagnostics.sbc(ranks)
    return {
        "p values": {name: float(f"{value:.3g}") for name, value in sbc.p_values.items()},
        "smallest": float(f"{sbc.smallest:.3g}"),
        "level": float(f"{sbc.level:.3g}"),
        "uniform": bool(sbc.uniform),
        "histograms": {name: _histogram(values) for name, values in ranks.items() if name in sbc.p_values},
    }


def _histogram(ranks: Tensor) -> list[int]:
    """How many ranks are in each twentieth of 0 to 1."""
    return torch.histc(ranks[~ranks.isnan()].float(), 20, 0.0, 1.0).int().tolist()


def _groups(found: Collector) -> dict[str, Tensor]:
    """Joints that exist in the truth, by whether they were seen: ``(poses, joints)``."""
    return {"visible": found["valid"] & found["visible"], "missing": found["valid"] & ~found["visible"]}


def _sharpness(found: Collector, joints: list[int]) -> dict[str, float]:
    """Median 90 % radius."""
    radius = 1000 * found["radius"][:, joints]
    rows = {name: float(radius[g[:, joints]].median()) for name, g in _groups(found).items() if g[:, joints].any()}
    if len(rows) == 2:
        rows["ratio"] = rows["missing"] / max(rows["visible"], 1e-6)
    return {name: round(value, 2) for name, value in rows.items()}


def _bars(found: Collector, joints: list[int]) -> dict[str, float]:
    """How many times as long the 90 % radii would have to be."""
    distance, radius = found["from centre"][:, joints], found["radius"][:, joints]
    groups = {name: group[:, joints] for name, group in _groups(found).items()}
    return {n: round(bar_factor(distance, radius, g), 3) for n, g in groups.items() if g.any()}


def _region(found: Collector, joints: list[int], lifter: Lifter) -> dict[str, Any]:
    valid, inside = found["valid"], found["region inside"]
    share = {
        lifter.skeleton.joints[j]: round(float(inside[valid[:, j], j].float().mean()), 4)
        for j in joints
        if bool(valid[:, j].any())
    }
    kept = valid[:, joints]
    groups = {
        n: inside[:, joints][g[:, joints]].float().mean() for n, g in _groups(found).items() if g[:, joints].any()
    }
    return {
        "level": REGION_LEVEL,
        "calibrated": bool(found["region calibrated"].all()),
        "per joint": share,
        "mean": round(sum(share.values()) / len(share), 4),
        "worst": max(share.values(), key=lambda value: abs(value - REGION_LEVEL)),
        "pose": round(float(found["region pose"].float().mean()), 4),
        "radius": round(1000 * float(found["region radius"][:, joints][kept].median()), 2),
    } | {name: round(float(value), 4) for name, value in groups.items()}


def _plausibility(found: Collector, data: ObservationSet, in_a_row: bool) -> dict[str, float]:
    rows = {
        "bone spread": 1000 * float(found["bone spread"].mean()),
        "MPSSE": 1000 * float(found["MPSSE"].mean()),
        "joint limits": 100 * float(found["joint limits"].mean()),
    }
    if in_a_row:
        rows["MPSCE"] = 1000 * _consistency(found["pose: mean"], data)
    return {name: round(value, 3) for name, value in rows.items()}


def _consistency(poses: Tensor, data: ObservationSet) -> float:
    """MPSCE of the poses, averaged over clips by their frames."""
    rows: dict[tuple[str, int], list[int]] = {}
    for row, pose in enumerate(data.observations.keypoints.ids):
        rows.setdefault((pose.file, pose.person), []).append(row)
    each = [(len(own), float(plausibility.mpsce(poses[own], "h36m17"))) for own in rows.values() if len(own) > 1]
    return sum(n * value for n, value in each) / max(1, sum(n for n, _ in each))


def _per_joint(found: Collector, joints: list[int], lifter: Lifter) -> dict[str, dict[str, float]]:
    valid, visible = found["valid"], found["visible"]
    error = accuracy.joint_errors(found["pose: mean"], found["truth"], valid)
    calibration = calibration_error(found["ranks"], valid)
    return {
        lifter.skeleton.joints[j]: {
            "error": round(1000 * float(error[valid[:, j], j].mean()), 2),
            "radius": round(1000 * float(found["radius"][valid[:, j], j].median()), 2),
            "calibration": round(float(calibration.error[j]), 4),
            "signed": round(float(calibration.signed[j]), 4),
            "visible": round(float(visible[valid[:, j], j].float().mean()), 4),
        }
        for j in joints
        if bool(valid[:, j].any())
    }


def _by_missing(found: Collector, joints: list[int], samples: int) -> list[dict[str, Any]]:
    """Accuracy and calibration of the poses with as many joints missing."""
    truth, valid, mean = found["truth"], found["valid"], found["pose: mean"]
    missing = (valid & ~found["visible"]).sum(-1)
    rows, least = [], 0
    for label, most in _MISSING_BINS:
        kept = (missing >= least) & (missing <= most)
        least = most + 1
        if not bool(kept.any()):
            continue
        calibration = calibration_error(found["ranks"][kept], valid[kept])
        seen = [j for j in joints if calibration.count[j] > 0]
        radius = found["radius"][kept][:, joints][valid[kept][:, joints]]
        rows.append(
            {
                "missing": label,
                "poses": int(kept.sum()),
                "MPJPE": round(1000 * float(accuracy.mpjpe(mean[kept], truth[kept], valid[kept]).mean()), 2),
                "P-MPJPE": round(1000 * float(accuracy.p_mpjpe(mean[kept], truth[kept], valid[kept]).mean()), 2),
                "calibration": round(calibration.mean(seen), 4),
                "floor": _floor(int(kept.sum()), samples)["mean"],
                "signed": round(calibration.mean_signed(seen), 4),
                "radius": round(1000 * float(radius.median()), 2),
            }
        )
    return rows


def _worst(found: Collector, data: ObservationSet, count: int) -> list[dict[str, Any]]:
    """The poses with the largest MPJPE of the mean, with what it takes to draw them."""
    mean, truth, valid = found["pose: mean"], found["truth"], found["valid"]
    error = 1000 * accuracy.mpjpe(mean, truth, valid)
    keypoints = data.observations.keypoints
    rows = []
    for i in error.argsort(descending=True)[:count].tolist():
        exists = valid[i].tolist()
        size = keypoints.image_size[i]
        xy = keypoints.xy[i]
        rows.append(
            {
                "clip": keypoints.ids[i].file,
                "frame": keypoints.ids[i].frame,
                "action": data.action[i],
                "error": round(float(error[i]), 1),
                "keypoints": [_list(p, 1) if bool(p.isfinite().all()) else None for p in xy],
                "visible": keypoints.visible[i].tolist(),
                "image_size": _list(size, 0) if bool(size.isfinite().all()) else None,
                "truth": [_list(p, 3) if known else None for p, known in zip(truth[i], exists, strict=True)],
                "mean": [_list(p, 3) for p in mean[i]],
                "samples": [[_list(p, 3) for p in pose] for pose in found["few samples"][i]],
            }
        )
    return rows


def _list(values: Tensor, digits: int = 2) -> list[float]:
    return [round(float(value), digits) for value in values]


def _plain(value: Any) -> Any:
    """The same without empty sections and with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v != {}}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
