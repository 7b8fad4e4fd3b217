"""Every number about one lifter on one set of observations, read from one pass over the poses.

Single poses with and without looking at the truth, proper scores, calibration from five sides, sharpness, plausibility,
cost, checks, the worst poses, how sure each number is, and the tables that papers print. Distances in the result are
millimetres, shares 0 to 1, unless a key says otherwise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.observations import ObservationSet, load_observations
from ..data.simulation.protocols import PROTOCOLS, simulate
from ..files.errors import InputError
from ..lifters import Lifter, load
from ..metrics import accuracy, plausibility
from ..metrics.calibration import calibration_error
from ..metrics.depth_order import order_reliability
from . import reliability
from .checks import check
from .collect import CHUNK, MODE_POSES, SAMPLES, Collected, best_of_counts, collect
from .novelty import NAME, Reference, by_novelty, reference
from .pose_scores import pose_scores
from .published import published_tables
from .reliability import rounded
from .subsets import spread_poses
from .uncertainty import uncertainty

__all__ = ["SIZES", "VERSION", "evaluate", "measure", "numbers", "observed"]

#: Raised whenever a number changes its meaning: results of another version are measured anew.
VERSION = 3
#: Body sizes are reported of so many poses at most, evenly spread.
SIZES = 1000
#: Bins of how many joints are missing: label and the largest count in it.
_MISSING_BINS = (("0", 0), ("1-2", 2), ("3-4", 4), ("5-8", 8), ("9+", 99))


def evaluate(
    lifter: Lifter | str | Path,
    data: ObservationSet | str | Path,
    protocol: str | None = None,
    *,
    poses: int | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    mode_poses: int = MODE_POSES,
    clusters: int | None = None,
    novelty: Reference | str | Path | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Measure a lifter: accuracy, proper scores, calibration, and how sure each number is.

    The same numbers as `poseterior bench` prints for the same lifter, poses, samples and seed.

    >>> import poseterior as pp  # doctest: +SKIP
    >>> result = pp.evaluate("flow", "stores/cmu-test", "cmu-test", poses=200)  # doctest: +SKIP
    >>> result["estimates"]["mean"]["MPJPE"], result["uncertainty"]["half width"]["MPJPE"]  # doctest: +SKIP
    (35.8, 6.4)

    Args:
        lifter: itself, a shipped name, or a folder with weights.
        data: observations, the Parquet file of some (`poseterior data simulate`, `poseterior data import`), or the
            folder of a pose store.
        protocol: for a store: how it is observed, a name of `poseterior.data.simulation.protocols.PROTOCOLS`.
        poses: measure at most so many, evenly spread.
        samples: hypotheses per pose.
        seed: of the samples and of every randomised rank.
        mode_poses: the mode (slow) is measured on so many poses, evenly spread.
        clusters: if given, the published numbers are also measured on so many representatives of the samples.
        novelty: the pose store that the lifter was trained on: adds ``by novelty``, errors and radii by quartile of
            the distance to the nearest training pose.
        device: where to run.

    Returns:
        A JSON-ready dictionary: ``lifter``, ``protocol``, ``seed``, the sections of a unit of ``bench.json``
        (docs/benchmark.md), and ``size``, the predicted and the true body sizes (metres, from ankles to head top)
        of at most `SIZES` poses of which every joint that they take is known. The predicted one is that of the mean
        pose, which is smaller than the hypotheses where they disagree.

    Raises:
        InputError: no such lifter, file or store; a store without a protocol or a file with one; no poses, poses
            without truth, fewer than two samples, a seed out of range, a lifter of another skeleton, more clusters than
            samples; hypotheses that are not finite.
    """
    lifter = lifter if isinstance(lifter, Lifter) else load(lifter, device)
    data = observed(data, protocol, poses)
    started = time.perf_counter()
    trained_on = novelty if isinstance(novelty, Reference) or novelty is None else reference(novelty)
    found = collect(lifter, data, samples, seed, mode_poses=mode_poses, clusters=clusters, device=device)
    if trained_on is not None:
        found.add(NAME, trained_on.distances(data))
    result = numbers(found, clusters=clusters)
    result["seconds"] = round(time.perf_counter() - started, 2)
    return {"lifter": lifter.name, "protocol": data.protocol, "seed": seed} | result | {"size": _sizes(found)}


def observed(data: ObservationSet | str | Path, protocol: str | None, poses: int | None) -> ObservationSet:
    """The poses to measure on; arguments, and what is refused, as `evaluate`."""
    if poses is not None and poses < 1:
        raise InputError(f"poses: expected at least 1, got {poses}")
    if isinstance(data, str | Path) and Path(data).is_dir():
        if protocol is None:
            raise InputError(
                f"{data}: a pose store is observed by a protocol; pass --protocol (protocol=... in Python), "
                f"one of: {', '.join(PROTOCOLS)}"
            )
        return simulate(data, protocol, poses)
    if protocol is not None:
        raise InputError(f"protocol {protocol!r}: only a pose store is observed by a protocol; these are observations")
    found = data if isinstance(data, ObservationSet) else load_observations(data)
    return found if poses is None or not len(found) else spread_poses(found, poses)


def measure(
    lifter: Lifter,
    data: ObservationSet,
    samples: int = SAMPLES,
    seed: int = 0,
    *,
    chunk: int = CHUNK,
    mode_poses: int = MODE_POSES,
    worst: int = 12,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """One unit of the benchmark: `numbers` of what `poseterior.evaluation.collect.collect` found; arguments as theirs.

    Raises:
        InputError: as `poseterior.evaluation.collect.collect`.
    """
    started = time.perf_counter()
    found = collect(lifter, data, samples, seed, chunk=chunk, mode_poses=mode_poses, device=device)
    result = numbers(found, worst=worst)
    result["seconds"] = round(time.perf_counter() - started, 2)
    return result


def numbers(found: Collected, *, worst: int = 12, clusters: int | None = None) -> dict[str, Any]:
    """All numbers of one pass over the poses.

    Args:
        found: from `poseterior.evaluation.collect.collect`.
        worst: so many of the poses with the largest error are kept, with a few hypotheses.
        clusters: as it was collected with.

    Returns:
        A JSON-ready dictionary, described in docs/benchmark.md. What cannot be measured is absent.
    """
    data, samples = found.data, found.samples
    truth, valid = found["truth"], found["valid"]
    poses = found.starting("pose: ")
    in_a_row = _in_a_row(data)
    result: dict[str, Any] = {
        "poses": len(data),
        "samples": samples,
        "estimates": _estimates(poses, found, _velocity_pairs(data) if in_a_row else None),
        "oracles": [f"best of {samples}", "J-Agg"],
        "best of N": {"N": best_of_counts(samples)}
        | {name: rounded(found[f"best of N {name}"].mean(0)) for name in ("MPJPE", "P-MPJPE")},
        "scores": _scores(found),
        "calibration": reliability.calibration(found),
        "floor": reliability.floor(len(data), samples),
        "density coverage": reliability.density_coverage(found),
        "TARP": reliability.tarp(found),
        "SBC": reliability.sbc(found),
        "sharpness": reliability.sharpness(found),
        "region": reliability.region(found),
        "plausibility": _plausibility(found, in_a_row),
        "depth order": _order(found),
        "rotations": _rotations(found),
        "per joint": _per_joint(found),
        "by missing": _by_missing(found),
        **({"by novelty": by_novelty(found)} if NAME in found else {}),
        "uncertainty": uncertainty(pose_scores(found)),
        "published": published_tables(found, clusters),
        "cost": {
            "milliseconds per pose": round(1000 * found.seconds / len(data), 3),
            "samples per second": round(len(data) * samples / max(found.seconds, 1e-9)),
            "batch": found.chunk,
            "threads": torch.get_num_threads(),
            "device": str(found.device),
        },
        "worst": _worst(found, worst),
        "bars": reliability.bars(found),
    }
    offset = float(found["root offset"].mean()) if "root offset" in found else 0.0
    few = found["few samples"].transpose(0, 1)
    result["checks"] = [
        one._asdict() for one in check(poses["mean"], truth, valid, few, found["visible"], result, offset)
    ]
    return _plain(result)


def _in_a_row(data: ObservationSet) -> bool:
    """Whether rows of a clip are frames of one steady camera, one after the other: velocities can be measured."""
    protocol = PROTOCOLS.get(data.protocol.rpartition(" v")[0])
    return protocol is not None and protocol.in_a_row


# -- what the numbers come to ----------------------------------------------------------------------------------


def _estimates(poses: Mapping[str, Tensor], found: Collected, pairs: Tensor | None) -> dict[str, dict[str, float]]:
    truth, valid = found["truth"], found["valid"]
    rows = {name: _errors(pose, truth, valid, pairs) for name, pose in poses.items()}
    if "mode" in found:
        picked = found["mode rows"]
        mode = _errors(found["mode"], truth[picked], valid[picked], None)
        rows = {"mean": rows.pop("mean"), "mode": mode | {"poses": len(picked)}} | rows
    names = ("MPJPE", "N-MPJPE", "P-MPJPE", "PCK@150", "AUC", "CPS")
    best = {name: round(float(found[f"best {name}"].mean()), 2) for name in names}
    aggregated = rows.pop("J-Agg")
    return rows | {f"best of {found.samples}": best, "J-Agg": aggregated}


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
    """Rows ``(pairs, 2)`` that are consecutive frames of a clip: as far apart as most are of its own.

    The rows of a clip may stand anywhere, in any order: a table that was thinned or joined has another.
    """
    pairs = []
    for rows in _clips(data):
        frames = [data.observations.keypoints.ids[row].frame for row in rows]
        steps = [b - a for a, b in pairwise(frames)]
        forward = [step for step in steps if step > 0]
        usual = max(set(forward), key=forward.count) if forward else 0
        pairs += [[rows[i], rows[i + 1]] for i, step in enumerate(steps) if step == usual > 0]
    return torch.tensor(pairs) if pairs else torch.zeros(0, 2, dtype=torch.long)


def _clips(data: ObservationSet) -> list[list[int]]:
    """Rows of each person of each clip, in order of the frames."""
    ids = data.observations.keypoints.ids
    rows: dict[tuple[str, int], list[int]] = {}
    for row, pose in enumerate(ids):
        rows.setdefault((pose.file, pose.person), []).append(row)
    return [sorted(own, key=lambda row: ids[row].frame) for own in rows.values()]


def _scores(found: Collected) -> dict[str, float]:
    names = ("CRPS", "energy score", "pose energy score", "variogram score")
    values = {name: round(float(found[name].mean()), 4) for name in names}
    if "NLL" in found and bool((known := found["NLL"].isfinite()).any()):
        values["NLL"] = round(float(found["NLL"][known].mean()), 4)
        values["NLL poses"] = int(known.sum())
    return values


def _plausibility(found: Collected, in_a_row: bool) -> dict[str, float]:
    rows = {name: float(found[name].mean()) for name in ("bone spread", "bone error", "MPSSE", "joint limits")}
    if in_a_row:
        rows["MPSCE"] = 1000 * _consistency(found["pose: mean"], found.data)
    return {name: round(value, 3) for name, value in rows.items()}


def _consistency(poses: Tensor, data: ObservationSet) -> float:
    """MPSCE of the poses, averaged over clips by their frames."""
    each = [(len(own), float(plausibility.mpsce(poses[own], "h36m17"))) for own in _clips(data) if len(own) > 1]
    return sum(n * value for n, value in each) / max(1, sum(n for n, _ in each))


def _order(found: Collected) -> dict[str, Any]:
    """Share of pairs whose order the mean has right, and how reliable the samples' probabilities of it are."""
    shares = {
        name: float(found[f"{name} right"].sum() / found[f"{name} counted"].sum().clamp(min=1))
        for name in ("order", "order over 100 mm")
    }
    curve = order_reliability(found["order probability"], found["order"])
    return {
        "accuracy": round(shares["order"], 4),
        "accuracy over 100 mm": round(shares["order over 100 mm"], 4),
        "calibration error": round(curve.error, 4),
        "reliability": [
            {"predicted": round(float(p), 4), "observed": round(float(o), 4), "pairs": int(n)}
            for p, o, n in zip(curve.predicted, curve.observed, curve.pairs, strict=True)
            if n
        ],
    }


def _rotations(found: Collected) -> dict[str, float]:
    """Angles to the recorded rotations, degrees."""
    names = [name for name in ("MGEO", "sample MGEO") if name in found]
    return {name: round(math.degrees(float(found[name].mean())), 2) for name in names}


def _per_joint(found: Collected) -> dict[str, dict[str, float]]:
    valid, visible = found["valid"], found["visible"]
    error = accuracy.joint_errors(found["pose: mean"], found["truth"], valid)
    calibration = calibration_error(found["ranks"], valid)
    return {
        found.skeleton.joints[j]: {
            "error": round(1000 * float(error[valid[:, j], j].mean()), 2),
            "radius": round(float(found["radius"][valid[:, j], j].median()), 2),
            "calibration": round(float(calibration.error[j]), 4),
            "signed": round(float(calibration.signed[j]), 4),
            "visible": round(float(visible[valid[:, j], j].float().mean()), 4),
        }
        for j in found.joints
        if bool(valid[:, j].any())
    }


def _by_missing(found: Collected) -> list[dict[str, Any]]:
    """Accuracy and calibration of the poses with as many joints missing."""
    joints = found.joints
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
                **reliability.floor_of(found, valid & kept.unsqueeze(-1)),
                "signed": round(calibration.mean_signed(seen), 4),
                "radius": round(float(radius.median()), 2),
            }
        )
    return rows


def _sizes(found: Collected) -> dict[str, list[float]]:
    """Predicted and true body sizes, metres, of at most `SIZES` poses."""
    known = found["sizes"][found["sizes"].isfinite().all(-1)]
    predicted, true = known[_evenly(len(known), SIZES)].T.tolist() if len(known) else ([], [])
    return {"predicted": [round(size, 4) for size in predicted], "true": [round(size, 4) for size in true]}


def _evenly(count: int, most: int) -> Tensor:
    """At most so many of the rows, evenly spread."""
    return torch.linspace(0, count - 1, min(most, count)).long()


def _worst(found: Collected, count: int) -> list[dict[str, Any]]:
    """The poses with the largest MPJPE of the mean, with what it takes to draw them."""
    mean, truth, valid = found["pose: mean"], found["truth"], found["valid"]
    error = 1000 * accuracy.mpjpe(mean, truth, valid)
    keypoints, few = found.data.observations.keypoints, found["few samples"]
    rows = []
    for i in error.argsort(descending=True)[:count].tolist():
        exists = valid[i].tolist()
        size = keypoints.image_size[i]
        xy = keypoints.xy[i]
        rows.append(
            {
                "clip": keypoints.ids[i].file,
                "frame": keypoints.ids[i].frame,
                "action": found.data.action[i],
                "error": round(float(error[i]), 1),
                "keypoints": [rounded(p, 1) if bool(p.isfinite().all()) else None for p in xy],
                "visible": keypoints.visible[i].tolist(),
                "image_size": rounded(size, 0) if bool(size.isfinite().all()) else None,
                "truth": [rounded(p, 3) if known else None for p, known in zip(truth[i], exists, strict=True)],
                "mean": [rounded(p, 3) for p in mean[i]],
                "samples": [[rounded(p, 3) for p in pose] for pose in few[i]],
            }
        )
    return rows


def _plain(value: Any) -> Any:
    """The same without empty sections and with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v != {}}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
