"""Compare distributions over joint rotations on held-out mocap: prior, inverse kinematics, occlusion, lifting.

    python benchmarks/rotations.py STORE LIFTER [LIFTER ...] [--train STORE] [--poses 1000] [--out FILE.json]

STORE is a pose store that no lifter has seen; LIFTER a shipped name or a folder of weights (methods rotations and
vae). People are the store's rotations as recorded, in bodies near the rest body (`BodySimulator`). Log-likelihoods are
nats above uniform (normalised Haar measure) over the 19 joints without the pelvis, and, in brackets, without the two
collars, which CMU's recordings never move. Errors are millimetres over the points that move when the pelvis is fixed,
and degrees; "one" is one sample a pose, "mean" the chordal mean of 10, "best" the best of 10 by pose.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from poseterior.data.simulation.bodies import BodyObservations, BodySimulator
from poseterior.data.simulation.simulator import SimulatorConfig
from poseterior.data.store import PoseStore
from poseterior.distributions.rotations import RotationDistribution
from poseterior.geometry.body import SMPL25, body_points
from poseterior.geometry.skeletons import SKELETONS
from poseterior.lifters import load_prior
from poseterior.metrics.rotations import (
    OCCLUSIONS,
    chordal_mean,
    constant_points,
    geodesic_angle,
    mean_nearest_distance,
    mgeo_by_observability,
    moving_mpjpe,
    observability,
    precision_recall_density_coverage,
    random_visibility,
    rotation_ranks,
    uniformity_p_value,
    wasserstein,
)

_SMPL = SKELETONS["smpl22"]
_COLLARS = ("left_collar", "right_collar")
#: What is ranked, and the share of points that have a lifter's errors.
RANKED = {"alike in all directions": 0.0, "a lifter's errors": 1.0}
_AS_RECORDED = SimulatorConfig(own_body=1.0, recombine=0.0, limb_jitter=0.0, mirror=0.0)


def likelihood(posterior: RotationDistribution, truth: torch.Tensor) -> list[float]:
    """Mean log-density of the truth: 19 joints, without the collars (NaN where densities are not by joint)."""
    parts = posterior.joint_log_prob(truth)
    body = [k for k, name in enumerate(posterior.modelled) if name != "pelvis"]
    rest = [k for k in body if posterior.modelled[k] not in _COLLARS]
    coupled = posterior.network.structure == "coupling"
    return [float(parts[:, body].sum(-1).mean()), float("nan") if coupled else float(parts[:, rest].sum(-1).mean())]


def errors(posterior: RotationDistribution, people: BodyObservations, levels: tuple[str, ...]) -> dict[str, float]:
    """Errors of 10 samples a pose."""
    drawn = posterior.sample((10,), seed=0)
    truth, _ = body_points(people.rotations, people.offsets)
    points, _ = body_points(drawn, people.offsets.expand(10, *people.offsets.shape))
    mean = chordal_mean(drawn)
    central, _ = body_points(mean, people.offsets)
    still = constant_points(True)
    one = moving_mpjpe(points, truth, still)
    angles = mgeo_by_observability(drawn[0][:, 1:], people.rotations[:, 1:], levels[1:])
    return {
        "mpjpe one": 1000 * float(one[0].mean()),
        "mpjpe mean": 1000 * float(moving_mpjpe(central, truth, still).mean()),
        "mpjpe best": 1000 * float(one.amin(0).mean()),
        "angle observable": float(torch.rad2deg(torch.as_tensor(angles["observable"]).mean())),
        "angle none": float(torch.rad2deg(torch.as_tensor(angles["none"]).mean())),
        "angle mean of 10": float(torch.rad2deg(geodesic_angle(mean, people.rotations)[:, 1:20].mean())),
    }


def evaluate(name: str, store: str, train: str | None, poses: int) -> dict[str, Any]:
    lifter: Any = load_prior(name)
    simulator = BodySimulator(PoseStore(store).load(fps=30), _AS_RECORDED)
    people = simulator(poses, torch.Generator().manual_seed(0))
    row: dict[str, Any] = {"lifter": name, "parameters": sum(p.numel() for p in lifter.parameters())}
    body = list(range(1, 10)) + list(range(12, 22))
    drawn = lifter.prior().sample((2000,), seed=0)[:, body]
    sets = {"test": people.rotations[:, body]}
    if train is not None:
        seen = BodySimulator(PoseStore(train).load(fps=30), _AS_RECORDED)(2000, torch.Generator().manual_seed(1))
        sets["train"] = seen.rotations[:, body]
    for against, data in sets.items():
        row[f"prior {against}"] = {k: float(v) for k, v in precision_recall_density_coverage(data, drawn).items()}
        row[f"prior {against}"] |= {f"nearest {k}": float(v) for k, v in mean_nearest_distance(data, drawn).items()}
        row[f"prior {against}"]["wasserstein"] = wasserstein(data[:1000], drawn[: len(data[:1000])])
    if lifter.name != "rotations":
        return row
    row["structure"] = lifter.config.structure
    row["prior LL"] = likelihood(lifter.prior((poses,)), people.rotations)
    points, _ = body_points(people.rotations, people.offsets)

    def ik(hidden: tuple[str, ...] = (), random: bool = False) -> dict[str, Any]:
        seen = torch.ones(poses, len(SMPL25), dtype=torch.bool)
        if random:
            seen = random_visibility(poses, len(SMPL25), torch.Generator().manual_seed(3))
        seen[:, [SMPL25.index(j) for j in hidden]] = False
        posterior = lifter.ik(points, seen, 0.0, people.offsets)
        levels = observability([j for j in SMPL25.joints if j not in hidden])
        return {"LL": likelihood(posterior, people.rotations)} | errors(posterior, people, levels)

    row["ik"] = ik()
    row["ik smpl22"] = ik(SMPL25.joints[22:])
    row["ik random"] = ik(random=True)
    for title, hidden in OCCLUSIONS.items():
        row[f"ik {title}"] = ik(hidden)
    posterior = lifter.own_rotations(people.keypoints)
    levels = observability(SMPL25.joints)
    row["lift"] = {"LL": likelihood(posterior, people.rotations)} | errors(posterior, people, levels)
    return row


def calibration(name: str, store: str, poses: int) -> dict[str, dict[str, float]]:
    """KS p-values of the posterior ranks of inverse kinematics, by `RANKED` and joint.

    People, bodies and hidden points are drawn as in the recipe ``rotations-points``, their points are as uncertain in
    every direction (1 to 40 mm, a fifth exact) or have a lifter's errors.
    """
    from poseterior.objectives.rotations import hide_points, observe_points
    from poseterior.training.recipes import read_recipe

    lifter: Any = load_prior(name)
    simulator = BodySimulator(PoseStore(store).load(fps=30), read_recipe("rotations-points").simulator)
    people = simulator(poses, torch.Generator().manual_seed(5))
    found = {}
    for title, lifted in RANKED.items():
        torch.manual_seed(6)
        evidence = observe_points(people, hide_points(poses), (0.001, 0.04), 0.2, lifted, 0.45)
        drawn = lifter.given(evidence).sample((100,), seed=7)
        p = uniformity_p_value(rotation_ranks(drawn, people.rotations, torch.Generator().manual_seed(8)))
        joints = enumerate(_SMPL.joints)
        found[title] = {joint: float(p[j]) for j, joint in joints if joint not in ("left_foot", "right_foot")}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("lifters", nargs="+")
    parser.add_argument("--train", help="store that the lifters learnt from, for the prior and the ranks")
    parser.add_argument("--poses", type=int, default=1000)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    rows, console = [], Console(width=150)
    with torch.no_grad():
        for name in arguments.lifters:
            begun = time.time()
            row = evaluate(name, arguments.store, arguments.train, arguments.poses)
            if arguments.train and row.get("structure"):
                row["ranks"] = calibration(name, arguments.train, min(500, arguments.poses))
            row["seconds"] = round(time.time() - begun, 1)
            rows.append(row)
            if arguments.out:
                Path(arguments.out).write_text(json.dumps(rows, indent=1))
    table = Table(title=f"{arguments.poses} poses of {Path(arguments.store).name}")
    names = [Path(row["lifter"]).parent.name if "/" in row["lifter"] else row["lifter"] for row in rows]
    for heading in ("", *names):
        table.add_column(heading, justify="left" if not heading else "right")

    def line(title: str, values: list[str]) -> None:
        table.add_row(title, *values)

    line("parameters", [f"{row['parameters']:,}" for row in rows])
    line("prior LL", ["{:.1f} ({:.1f})".format(*row["prior LL"]) if "prior LL" in row else "none" for row in rows])
    for against in ("test", "train"):
        for key in ("precision", "recall", "density", "coverage", "nearest precision", "nearest recall", "wasserstein"):
            if f"prior {against}" in rows[0]:
                line(f"prior, {against}: {key}", [f"{row[f'prior {against}'][key]:.3f}" for row in rows])
    for key in next((r for r in rows if "ik" in r), {}):
        if not isinstance(key, str) or not (key.startswith("ik") or key == "lift"):
            continue
        for metric in ("LL", "mpjpe one", "mpjpe mean", "mpjpe best", "angle observable", "angle none"):
            values = []
            for row in rows:
                found = row.get(key, {}).get(metric)
                values.append(
                    "" if found is None else "{:.1f} ({:.1f})".format(*found) if metric == "LL" else f"{found:.1f}"
                )
            line(f"{key}: {metric}", values)
    for row in rows:
        for title, p in row.get("ranks", {}).items():
            worst, fine = min(p, key=p.get), sum(value > 0.01 for value in p.values())
            console.print(
                f"{row['lifter']}, {title}: KS p of IK ranks above .01 for {fine} of {len(p)} joints, "
                f"least {p[worst]:.3f} ({worst})"
            )
    console.print(table)


if __name__ == "__main__":
    main()
