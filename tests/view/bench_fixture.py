"""Made-up results of a benchmark, in the layout that `poseterior bench` writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from conftest import STANDING
from poseterior.evaluation.run import FORMAT
from poseterior.evaluation.uncertainty import STATISTICS
from poseterior.geometry.skeletons import get_skeleton
from poseterior.metrics.resampling import uniform_band

BODY = get_skeleton("h36m17")
JOINTS = [name for name in BODY.joints if name != "pelvis"]
LEVELS = [round(0.05 * i, 2) for i in range(21)]
LOW, HIGH = (end.tolist() for end in uniform_band(300))
COUNTS = [1, 2, 5, 10, 20, 50, 100, 200]
#: Error of the mean (mm), spread over the honest spread, milliseconds a pose, megabytes.
LIFTERS = {
    "flow": (46.0, 1.0, 4.2, 13.7), "mdn": (48.5, 0.95, 0.4, 6.1), "rotations": (52.0, 1.1, 43.0, 9.3),
    "relative": (71.0, 0.6, 0.35, 2.2), "supervised": (50.0, 0.35, 0.2, 4.4), "unsupervised": (88.0, 1.6, 0.22, 3.0),
}  # fmt: skip
MAIN = {
    "cmu-test": (1.0, "detector noise 2-25 mm, 5 % of the joints missing"),
    "cmu-clean": (0.7, "exact projections, nothing missing (2 mm reported)"),
    "bandai-cross": (1.5, "as cmu-test, on other actors, proportions and joint definitions"),
}
SWEEPS = {
    "masks": [("0", 0.0), ("2", 2.0), ("4", 4.0), ("8", 8.0), ("legs", None), ("one arm", None), ("lower body", None)],
    "noise": [("2 mm", 2.0), ("10 mm", 10.0), ("25 mm", 25.0), ("50 mm", 50.0)],
    "pitch": [("-30°", -30.0), ("0°", 0.0), ("30°", 30.0), ("60°", 60.0)],
    "field of view": [("20°", 20.0), ("40°", 40.0), ("70°", 70.0), ("100°", 100.0)],
}


def made_up(
    lifters: tuple[str, ...] = tuple(LIFTERS), *, sweeps: bool = True, main: int = 3, worst: int = 2
) -> dict[str, Any]:
    """Results of the first ``main`` main protocols and, if wanted, of the sweeps."""
    rng = np.random.default_rng(5)
    protocols, hardness = {}, {}
    for name, (hard, text) in list(MAIN.items())[:main]:
        protocols[name] = _protocol("main", name, None, text, 1000)
        hardness[name] = hard
    for group, rows in SWEEPS.items() if sweeps else ():
        for i, (label, value) in enumerate(rows):
            name = f"{group.split()[0]}-{label.split()[0]}"
            protocols[name] = _protocol(group, label, value, f"as cmu-test, {group} {label}", 200)
            hardness[name] = 0.8 + 0.25 * i
    units = [
        _unit(lifter, name, hardness[name], rng, worst if protocol["group"] == "main" else 0)
        for name, protocol in protocols.items()
        for lifter in lifters
    ]
    return {
        "format": FORMAT, "version": "0.1.0", "created": "2026-11-21T12:00:00+00:00",
        "command": "poseterior bench --data stores/cmu-test --out bench", "samples": 200, "seed": 0, "poses": 1000,
        "machine": {"processor": "A processor", "cores": 2, "threads": 2, "torch": "2.13.0", "device": "cpu"},
        "skeleton": {"name": BODY.name, "joints": list(BODY.joints), "bones": [list(b) for b in BODY.bones], "root": 0},
        "lifters": {
            name: {"kind": "shipped", "description": f"the lifter {name}", "licence": "Apache-2.0",
                   "megabytes": LIFTERS[name][3], "recalibrated": True, "has_density": name in ("flow", "mdn")}
            for name in lifters
        },
        "protocols": protocols, "units": units, "skipped": [],
        "comparisons": {name: compared(units, name) for name in protocols},
    }  # fmt: skip


def compared(units: list[dict[str, Any]], protocol: str, half: float = 0.03) -> dict[str, list[list[Any]]]:
    """Comparisons two by two, each with the half width ``half`` of the larger value."""
    found: dict[str, list[list[Any]]] = {}
    for name, statistic in STATISTICS.items():
        values = {u["lifter"]: _statistic(u, name) for u in units if u["protocol"] == protocol}
        known = {lifter: value for lifter, value in values.items() if value is not None}
        bad = {
            lifter: value if statistic.target == -np.inf else -value if statistic.target == np.inf else abs(value - 0.9)
            for lifter, value in known.items()
        }
        rows = [
            [a, b, bad[b] - bad[a], half * max(abs(bad[a]), abs(bad[b]))]
            for i, a in enumerate(bad)
            for b in list(bad)[i + 1 :]
        ]
        if rows:
            found[name] = rows
    return found


#: Where the statistics are in a unit.
PATHS = {
    "energy score": ("scores", "energy score"), "NLL": ("scores", "NLL"), "MPJPE": ("estimates", "mean", "MPJPE"),
    "P-MPJPE": ("estimates", "mean", "P-MPJPE"), "best MPJPE": ("estimates", "best of 200", "MPJPE"),
    "calibration": ("calibration", "all", "mean"), "calibration, visible": ("calibration", "visible", "mean"),
    "calibration, missing": ("calibration", "missing", "mean"), "density coverage": ("density coverage", "error"),
    "region": ("region", "mean"), "region, worst joint": ("region", "worst"), "region, whole pose": ("region", "pose"),
    "region radius": ("region", "radius"), "bone spread": ("plausibility", "bone spread"),
    "joint limits": ("plausibility", "joint limits"), "depth order": ("depth order", "accuracy"),
    "medoid: MPJPE": ("estimates", "medoid", "MPJPE"),
}  # fmt: skip


def _statistic(unit: dict[str, Any], name: str) -> float | None:
    value: Any = unit
    for key in PATHS.get(name, ("none",)):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def unit_of(results: dict[str, Any], lifter: str, protocol: str) -> dict[str, Any]:
    """The unit of a lifter on a protocol, to be read or changed."""
    return next(unit for unit in results["units"] if (unit["lifter"], unit["protocol"]) == (lifter, protocol))


def _protocol(group: str, label: str, value: float | None, text: str, poses: int) -> dict[str, Any]:
    return {"group": group, "label": label, "value": value, "description": text, "poses": poses, "data": "cmu-test"}


def _unit(lifter: str, protocol: str, hard: float, rng: np.random.Generator, worst: int) -> dict[str, Any]:
    base, spread, cost, _ = LIFTERS[lifter]
    error = round(base * hard, 1)
    signed = round(float(np.clip(0.35 * (1 - spread) * hard, -0.4, 0.45)), 3)
    # under-confident where the radius is long: the truth is inside more often than claimed
    coverage = [round(float(q - 4 * signed * 0.6 * q * (1 - q)), 4) for q in LEVELS]
    calibration = {
        "published": abs(signed), "mean": round(abs(signed) + 0.01, 3), "worst": round(abs(signed) + 0.05, 3),
        "signed": signed, "signed limbs": signed, "observations": 15000, "levels": LEVELS, "coverage": coverage,
    }  # fmt: skip
    radius = 2.1 * error * spread
    missing = dict(calibration, signed=round(signed + 0.03, 3), mean=round(abs(signed) + 0.03, 3), observations=800)
    best = [round(error * (1.15 - 0.62 * min(1.0, spread) * np.log(n) / np.log(200) * 0.8), 1) for n in COUNTS]
    single = {"N-MPJPE": 0.97, "P-MPJPE": 0.78}
    estimates = {
        name: {"MPJPE": round(error * factor, 1)} | {m: round(error * factor * f, 1) for m, f in single.items()}
        for name, factor in (
            ("mean", 1.0), ("mode", 1.06), ("medoid", 1.03), ("weighted mean", 0.99), ("reprojection", 1.01),
            ("best of 200", best[-1] / error), ("J-Agg", 0.9),
        )
    }  # fmt: skip
    estimates["mode"]["poses"] = 60
    if lifter not in ("flow", "mdn"):
        del estimates["mode"]
    unit = {
        "lifter": lifter, "protocol": protocol, "poses": 1000, "samples": 200, "seconds": 31.2,
        "estimates": estimates, "oracles": ["best of 200", "J-Agg"],
        "best of N": {"N": COUNTS, "MPJPE": best, "P-MPJPE": [round(0.8 * b, 1) for b in best]},
        "scores": {"CRPS": round(0.3 * error, 2), "energy score": round(0.62 * error * (1 + abs(signed)), 2),
                   "pose energy score": round(0.7 * error, 2), "variogram score": 0.0123},
        "calibration": {"all": calibration, "visible": calibration, "missing": missing},
        "floor": {"published": 0.004, "mean": 0.003},
        "TARP": {"levels": LEVELS, "coverage": coverage, "error": abs(signed), "low": LOW, "high": HIGH,
                 "inside": abs(signed) < 0.04},
        "SBC": {"p values": {"depth of left wrist": 0.21, "depth of head": 0.0004}, "smallest": 0.0004, "level": 0.0008,
                "uniform": False, "independent": {"depth of left wrist": 300, "depth of head": 200},
                "histograms": {"depth of left wrist": [50] * 20,
                               "depth of head": [round(50 + 80 * signed * (i - 9.5) / 9.5) for i in range(20)]}},
        "uncertainty": {"groups": 24, "of": "clips", "confidence": 0.95, "half width": {}},
        "sharpness": {"visible": round(radius, 1), "missing": round(2.4 * radius, 1), "ratio": 2.4},
        "region": {"level": 0.9, "calibrated": True, "per joint": dict.fromkeys(JOINTS, 0.9), "mean": 0.904,
                   "worst": 0.87, "pose": round(0.9 - 0.05 * (hard - 1), 3), "radius": round(2.2 * error, 1)},
        "plausibility": {"bone spread": round(9 * spread, 2), "MPSSE": 8.1,
                         "joint limits": round(0.4 * hard + spread, 2)},
        "depth order": {"accuracy": 0.87, "accuracy over 100 mm": 0.95, "calibration error": 0.02,
                        "reliability": [{"predicted": 0.6, "observed": 0.58, "pairs": 900}]},
        "per joint": {
            name: {
                "error": round(error * (0.5 + abs(STANDING[name][0]) * 3 + abs(STANDING[name][1]) * 0.7), 1),
                "radius": round(radius * (0.5 + abs(STANDING[name][0]) * 3 + abs(STANDING[name][1]) * 0.7), 1),
                "calibration": abs(signed), "signed": round(signed + float(rng.normal(0, 0.04)), 3), "visible": 0.95,
            }
            for name in JOINTS
        },
        "by missing": [
            {"missing": bin_, "poses": n, "MPJPE": round(error * (1 + 0.15 * i), 1), "P-MPJPE": round(0.8 * error, 1),
             "calibration": abs(signed), "signed": round(signed + 0.02 * i, 3),
             "radius": round(radius * (1 + 0.2 * i), 1)}
            for i, (bin_, n) in enumerate((("0", 430), ("1-2", 510), ("3-4", 57), ("5-8", 3)))
        ],
        "cost": {"milliseconds per pose": cost, "samples per second": round(200_000 / cost), "batch": 128},
        "checks": [], "worst": [_worst(error, spread, rng) for _ in range(worst)],
    }  # fmt: skip
    if lifter in ("flow", "mdn"):
        unit["scores"] |= {"NLL": round(-2.4 + 0.5 * hard + abs(signed), 3), "NLL poses": 900}
        unit["density coverage"] = {
            "levels": LEVELS,
            "coverage": coverage,
            "error": abs(signed),
            "signed": signed,
            "low": LOW,
            "high": HIGH,
            "inside": abs(signed) < 0.04,
            "poses": 900,
        }
    known = {name: value for name in PATHS if (value := _statistic(unit, name)) is not None}
    unit["uncertainty"]["half width"] = {name: abs(round(0.1 * value, 4)) for name, value in known.items()}
    if lifter == "rotations":
        unit["rotations"] = {"MGEO": 14.2, "sample MGEO": 19.0}
    if abs(signed) > 0.1:
        sentence = f"The error bars are too {'short' if signed > 0 else 'long'}: signed error {signed:+.2f}."
        unit["checks"].append({"kind": "calibration", "severity": "warning", "sentence": sentence})
    oracle = {"kind": "oracle", "severity": "note", "sentence": "No rule that does not look at the truth gets there."}
    unit["checks"].append(oracle)
    return unit


def _worst(error: float, spread: float, rng: np.random.Generator) -> dict[str, Any]:
    truth = np.asarray([STANDING[name] for name in BODY.joints])
    mean = truth + rng.normal(0, 0.002 * error, truth.shape) * np.abs(truth).sum(-1, keepdims=True)
    samples = mean + rng.normal(0, 0.002 * error * spread, (8, *truth.shape)) * np.abs(truth).sum(-1)[:, None]
    visible = [name not in ("left_wrist", "left_elbow") for name in BODY.joints]
    keypoints = [[round(600 + 300 * x, 1), round(500 + 300 * y, 1)] for x, y, _ in truth]
    return {
        "clip": "walks/09_01.bvh", "frame": 18, "action": "walking", "error": 3 * error,
        "keypoints": [xy if seen else None for xy, seen in zip(keypoints, visible, strict=True)], "visible": visible,
        "image_size": [1200, 1000], "truth": truth.round(3).tolist(), "mean": mean.round(3).tolist(),
        "samples": samples.round(3).tolist(),
    }  # fmt: skip
