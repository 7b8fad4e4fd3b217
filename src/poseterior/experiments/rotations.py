"""Distributions over joint rotations on held-out mocap: prior, inverse kinematics, occlusion, lifting.

People are a store's rotations as recorded, in bodies near the rest body (`BodySimulator`). Log-likelihoods are nats
above uniform (normalised Haar measure) over the 19 joints without the pelvis, and without the two collars, which CMU's
recordings never move. Errors are millimetres over the points that move when the pelvis is fixed, and degrees; "one" is
one sample a pose, "mean" the chordal mean of 10, "best" the best of 10 by pose.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..data.simulation.bodies import BodyObservations, BodySimulator
from ..data.simulation.simulator import SimulatorConfig
from ..data.store import PoseStore
from ..distributions.rotations import RotationDistribution
from ..files.errors import InputError
from ..geometry.body import SMPL25, body_points
from ..geometry.skeletons import SKELETONS
from ..lifters import ArticulatedLifter, Prior, load_prior
from ..metrics.rotations import (
    OCCLUSIONS,
    Observability,
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

__all__ = ["RANKED", "calibration", "errors", "likelihood", "prior_lifter", "rotation_tasks"]

_SMPL = SKELETONS["smpl22"]
_COLLARS = ("left_collar", "right_collar")
#: What is ranked, and the share of points that have a lifter's errors.
RANKED = {"alike in all directions": 0.0, "a lifter's errors": 1.0}
_AS_RECORDED = SimulatorConfig(own_body=1.0, recombine=0.0, limb_jitter=0.0, mirror=0.0)


def likelihood(posterior: RotationDistribution, truth: torch.Tensor) -> list[float]:
    """Mean log-density of the truth: 19 joints, without the collars (NaN where densities are not by joint)."""
    if not hasattr(posterior, "joint_log_prob"):
        return [float(posterior.log_prob(truth).mean()), float("nan")]
    parts = posterior.joint_log_prob(truth)
    body = [k for k, name in enumerate(posterior.modelled) if name != "pelvis"]
    rest = [k for k in body if posterior.modelled[k] not in _COLLARS]
    coupled = posterior.network.structure == "coupling"
    return [float(parts[:, body].sum(-1).mean()), float("nan") if coupled else float(parts[:, rest].sum(-1).mean())]


def errors(
    posterior: RotationDistribution, people: BodyObservations, levels: tuple[Observability, ...]
) -> dict[str, float]:
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


@torch.no_grad()
def rotation_tasks(
    name: str, store: str | Path, train: str | Path | None = None, poses: int = 1000, ranks: int = 500
) -> dict[str, Any]:
    """All tasks of one lifter.

    Args:
        name: shipped name or folder of weights: a lifter with rotations, or a prior (whose draws alone are measured).
        store: pose store that it has not seen.
        train: pose store that it learnt from: its draws are compared with it too, and the calibration of inverse
            kinematics is measured on it.
        poses: of the store, measured.
        ranks: poses for that calibration, at most.

    Returns:
        A JSON-ready dictionary: ``lifter``, ``parameters``, ``prior test`` (and ``prior train``), ``prior LL``, ``ik``
        and ``ik ...`` by what is hidden, ``lift``, ``ranks``.

    Raises:
        InputError: no such weights or store, or a lifter without rotations.
    """
    if poses < 10:
        raise InputError(f"poses: at least 10 are needed, got {poses}")
    lifter: Any = prior_lifter(name)
    row = _tasks(lifter, name, str(store), None if train is None else str(train), poses)
    if train is not None and "structure" in row:
        row["ranks"] = calibration(name, str(train), min(ranks, poses))
    return row


def prior_lifter(name: str) -> Prior:
    """The model of that name, which must draw poses without being shown any.

    Raises:
        InputError: no such weights, or a network that only answers to points; names the folder.
    """
    lifter = load_prior(name)
    try:
        lifter.prior()
    except InputError as error:
        raise InputError(
            f"{name}: has no prior to measure ({error}); what it answers to points is measured by "
            "`poseterior bench --published duenkel_2024`"
        ) from None
    return lifter


def _tasks(lifter: Any, name: str, store: str, train: str | None, poses: int) -> dict[str, Any]:
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
    articulated = isinstance(lifter, ArticulatedLifter)
    if not articulated:
        if lifter.prior().has_density:
            row["prior LL"] = likelihood(lifter.prior((poses,)), people.rotations)
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
    from ..objectives.rotations import hide_points, observe_points
    from ..training.recipes import read_recipe

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
