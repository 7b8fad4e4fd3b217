"""How lifters hold on other people: accuracy, calibration, size, a told height, detectors wrong about their noise.

    python benchmarks/other_people.py flow old/flow --test stores/cmu-test --strangers stores/strangers \\
        --cross stores/bandai --poses 1000 --samples 200

One line per lifter and protocol, in one run: weights of another build (a folder) beside the shipped ones. ``energy`` is
the samples' reprojection energy per degree of freedom (median; the truth's is 1), ``size`` the mean error of the
logarithm of the height and ``z`` its root mean square in the posterior's own standard deviations. ``told`` has the true
height told. ``without evidence`` are the network's own answers.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import torch

from poseterior.data.observations import ObservationSet
from poseterior.data.simulation.protocols import simulate
from poseterior.distributions.evidence import energy_per_freedom
from poseterior.evaluation import evaluate
from poseterior.geometry.kinematics import body_height
from poseterior.geometry.skeletons import SKELETONS
from poseterior.lifters import Lifter, load

_BODY = SKELETONS["h36m17"]
#: Metres from neck to crown that count for the height of people whose source lacks the crown.
_HEAD = 0.115


def true_heights(data: ObservationSet) -> torch.Tensor:
    """Of the people seen; the crown where a source lacks it stands above the neck."""
    pose, crown = data.observations.pose, _BODY.index("head_top")
    neck = pose[:, _BODY.index("neck_nose")]
    lacks = pose[:, crown].isnan().any(-1)
    filled = torch.where(pose.isnan(), neck.unsqueeze(1), pose)
    return body_height(filled) + torch.where(lacks, _HEAD, 0.0)


def with_height(data: ObservationSet) -> ObservationSet:
    keypoints = data.observations.keypoints.with_camera(height=true_heights(data))
    return dataclasses.replace(data, observations=dataclasses.replace(data.observations, keypoints=keypoints))


def misreported(data: ObservationSet, factor: float) -> ObservationSet:
    """The detector says so many times its true standard deviations."""
    keypoints = data.observations.keypoints
    keypoints = keypoints.with_noise(torch.full((len(keypoints),), factor))
    return dataclasses.replace(data, observations=dataclasses.replace(data.observations, keypoints=keypoints))


@torch.no_grad()
def sizes(lifter: Lifter, data: ObservationSet) -> tuple[float, float, float]:
    """Error of the log-height, its rms in standard deviations, and the samples' energy per degree of freedom."""
    found, spread, energy = [], [], []
    keypoints = data.observations.keypoints
    for start in range(0, len(data), 128):
        part = keypoints[slice(start, start + 128)]
        samples = lifter(part).sample((100,), seed=0)
        logs = body_height(samples).log()
        found.append(logs.mean(0))
        spread.append(logs.std(0))
        energy.append(energy_per_freedom(samples, part).median(0).values)
    error = torch.cat(found) - true_heights(data).log()
    z = error / torch.cat(spread).clamp(min=1e-4)
    return float(error.abs().mean()), float(z.square().mean().sqrt()), float(torch.cat(energy).median())


def line(name: str, protocol: str, lifter: Lifter, data: ObservationSet, samples: int) -> str:
    found: dict[str, Any] = evaluate(lifter, data, samples=samples, mode_poses=0)
    mean = found["estimates"]["mean"]
    best = found["estimates"][next(key for key in found["estimates"] if key.startswith("best of"))]
    region, calibration = found["region"], found["calibration"]["all"]["mean"]
    size, z, energy = sizes(lifter, data)
    return (
        f"{name:18s} {protocol:16s} MPJPE {mean['MPJPE']:5.1f} N {mean['N-MPJPE']:5.1f} P {mean['P-MPJPE']:5.1f} "
        f"best {best['MPJPE']:5.1f} ES {found['scores']['energy score']:5.1f} cal {calibration:.3f} "
        f"region {region['mean']:.3f} pose {region['pose']:.3f} energy {energy:5.2f} size {size:.3f} z {z:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lifters", nargs="+", help="shipped names, or folders of weights")
    parser.add_argument("--test", type=Path, required=True, help="store for cmu-test, cmu-clean, people, people-exact")
    parser.add_argument("--strangers", type=Path)
    parser.add_argument("--cross", type=Path, help="store for bandai-cross")
    parser.add_argument("--poses", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--without", action="store_true", help="also without the evidence")
    options = parser.parse_args()
    asked = [("people", options.test), ("strangers", options.strangers), ("cmu-test", options.test)]
    asked += [("cmu-clean", options.test), ("people-exact", options.test), ("bandai-cross", options.cross)]
    lifters = {name: load(name) for name in options.lifters}
    if options.without:
        lifters |= {f"{name}, without": load(name, evidence=False) for name in options.lifters}
    for protocol, store in asked:
        if store is None:
            continue
        data = simulate(store, protocol, options.poses)
        cases = {protocol: data}
        if protocol in ("cmu-test", "cmu-clean", "bandai-cross", "people"):
            cases[f"{protocol} told"] = with_height(data)
        if protocol == "cmu-test":
            cases |= {f"{protocol} ×{factor:g}": misreported(data, factor) for factor in (0.5, 2.0)}
        for name, lifter in lifters.items():
            short = Path(name).parent.name if Path(name).name == "weights" else Path(name).name
            for case, seen in cases.items():
                print(line(short, case, lifter, seen, options.samples), flush=True)


if __name__ == "__main__":
    main()
