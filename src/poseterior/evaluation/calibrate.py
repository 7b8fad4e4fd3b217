"""Recalibration: regions that hold the truth as often as they say, made so on observations with known poses.

`fit` lifts the observations and compares the truth's distances to the centre of the region with the plain radii at
level 0.9 (`poseterior.distributions.recalibration` says what radii are made of):

1. on every fifth pose, per joint, seen or missing: the **spread**. Of all spreads ``scale * radius ** exponent`` that
   hold nine tenths of these truths it is the one with the least mean interval score (Gneiting & Raftery 2007), so that
   a lifter whose radii say little about a pose is not believed much. An exponent other than 1 must lower the score by
   a thousandth;
2. on the other poses, per joint, seen or missing, and level: the **factor**, the split-conformal quantile of the scores
   distance / spread (Papadopoulos et al. 2002; Lei et al. 2018), i.e. the ``ceil((n + 1) q)``-th smallest of n. On new
   poses of the same kind such a ball holds the truth with probability q to q + 1 / (n + 1), whatever the lifter;
3. on the same poses the **pose factor**, for balls that hold *all* joints of a pose with probability q: the same
   quantile of the largest score of a pose, for poses with none, few and many joints missing apart (Mondrian groups,
   Vovk et al. 2005);
4. where the distances have joint angles: their intervals (`poseterior.evaluation.angles`).

The quantile of a larger level is never smaller, hence regions are nested. A level has one where
``ceil((n + 1) q) <= n``; those of `LEVELS` for which some row has not are left out, and regions of larger levels than
the last are refused. The spread is found on poses of its own because the guarantee holds for any spread that does not
know the scores. It is of one joint or pose over many: it does not say that radii are right for every kind of pose.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..distributions.balls import SEED, SPREAD_LEVEL, check_level
from ..distributions.recalibration import (
    CLASSES,
    LEVELS,
    MISSING_GROUPS,
    Recalibration,
    missing_group,
    spread_of,
    stretched,
)
from ..files.errors import InputError
from .angles import fit_angles
from .conformal import conformal_quantile, rounded_up
from .coverage import coverage_of
from .distances import Distances, measure

if TYPE_CHECKING:
    from ..data.observations import Observations
    from ..lifters import Lifter


__all__ = [
    "ENOUGH",
    "MEASURED",
    "calibrate",
    "coverage",
    "fit",
    "fit_distances",
    "halves",
    "simulated",
    "two_sets",
]

#: Fewest poses. A joint, class or group of poses with fewer takes what is fitted for the larger set it is part of.
ENOUGH = 200
#: Most poses that the simulator's draws measure coverage on: one standard error at level 0.9 is 0.004.
MEASURED = 5_000
#: Every which pose finds spreads; the others find factors.
_EVERY = 5
#: Fewest observations for spreads and for factors: what `ENOUGH` poses leave for them.
_FEW, _REST = ENOUGH // _EVERY, ENOUGH - ENOUGH // _EVERY
#: Exponents that are tried.
_EXPONENTS = tuple(round(0.05 * i, 2) for i in range(31))
#: By which share the interval score may miss the least one for an exponent nearer to 1.
_INDIFFERENCE = 1e-3


# -- fitting ---------------------------------------------------------------------------------------------------


def _row(scores: Float[Tensor, " n"]) -> list[float]:
    """Conformal quantiles of scores, one per level as far as there are any: never falling."""
    found = [float(conformal_quantile(scores, level)) for level in LEVELS]
    return [rounded_up(value) for value in found if math.isfinite(value)]


def _holding(error: Float[Tensor, " n"], stretch: Float[Tensor, " n"]) -> float:
    """The multiple of the stretched radii that holds nine tenths of the truths."""
    ratio = error / stretch
    return float(ratio.kthvalue(math.ceil(SPREAD_LEVEL * len(ratio))).values)


def _scale(error: Float[Tensor, " n"], radius: Float[Tensor, " n"], exponent: float) -> float:
    """`_holding` with the digits of the file; a radius is neither zero nor infinite."""
    found = _holding(error, stretched(radius, torch.tensor(exponent)))
    return min(max(float(f"{found:.4g}"), 1e-6), 1e6)


def _exponent(error: Float[Tensor, " n"], radius: Float[Tensor, " n"]) -> float:
    """How far errors follow radii: the exponent of least mean interval score."""
    scores = []
    for exponent in _EXPONENTS:
        stretch = stretched(radius, torch.tensor(exponent))
        bound = _holding(error, stretch) * stretch
        scores.append(float((bound + (error - bound).clamp(min=0.0) / (1.0 - SPREAD_LEVEL)).mean()))
    good = [e for e, score in zip(_EXPONENTS, scores, strict=True) if score <= min(scores) * (1.0 + _INDIFFERENCE)]
    return min(good, key=lambda exponent: abs(exponent - 1.0))


def _members(distances: Distances, fewest: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Of each class: its observations ``(n, joints)``, and those to pool: themselves, or all where they are few."""
    seen, exists = distances.visible, distances.observed
    of_class = dict(zip(CLASSES, (seen & exists, ~seen & exists), strict=True))
    return {c: (own, own if int(own.sum()) >= fewest else exists) for c, own in of_class.items()}


_Numbers = dict[str, dict[str, float]]


def _spreads(distances: Distances) -> tuple[_Numbers, _Numbers]:
    """Scale and exponent of each joint, seen and missing; where that is too rare, those of all joints of the class."""
    joints, root = distances.skeleton.joints, distances.skeleton.root
    scale: _Numbers = {}
    exponent: _Numbers = {}
    for c, (own, pool) in _members(distances, _FEW).items():
        error, radius = distances.error[pool], distances.shape[pool]
        power = _exponent(error, radius)
        scale[c], exponent[c] = dict.fromkeys(joints, _scale(error, radius, power)), dict.fromkeys(joints, power)
        for j, name in enumerate(joints):
            error, radius = distances.error[own[:, j], j], distances.shape[own[:, j], j]
            if len(error) >= ENOUGH:
                exponent[c][name] = _exponent(error, radius)
            if len(error) >= _FEW:
                scale[c][name] = _scale(error, radius, exponent[c][name])
        scale[c][joints[root]] = exponent[c][joints[root]] = 1.0
    return scale, exponent


def _factors(scores: Float[Tensor, "n joints"], distances: Distances) -> dict[str, dict[str, list[float]]]:
    """The row of each joint, seen and missing."""
    joints, found = distances.skeleton.joints, {}
    for c, (own, pool) in _members(distances, _REST).items():
        found[c] = dict.fromkeys(joints, _row(scores[pool]))
        for j, name in enumerate(joints):
            if int(own[:, j].sum()) >= _REST:
                found[c][name] = _row(scores[own[:, j], j])
        found[c][joints[distances.skeleton.root]] = [1.0] * len(LEVELS)
    return found


def _pose_factors(scores: Float[Tensor, "n joints"], distances: Distances) -> dict[str, list[float]]:
    """The row of each group of poses."""
    largest, group = scores.amax(-1), missing_group(distances.visible)
    found = dict.fromkeys(MISSING_GROUPS, _row(largest))
    for g, name in enumerate(MISSING_GROUPS):
        if int((group == g).sum()) >= _REST:
            found[name] = _row(largest[group == g])
    return found


def fit_distances(distances: Distances, description: str = "") -> Recalibration:
    """Fit a recalibration to distances (see the module).

    A joint with fewer than 200 observations, visible or missing, takes what is fitted for all joints of that class; a
    class with fewer what is fitted for all joints; a group of poses with fewer what is fitted for all poses. For these
    the guarantee holds on average over the larger set only.

    Args:
        distances: at any levels, of poses in any order.
        description: of the poses, kept with the result.

    Raises:
        InputError: fewer than 200 poses of which some joint is known; answers that are not finite.
    """
    known = distances.observed.any(-1)
    if int(known.sum()) < ENOUGH:
        raise InputError(f"{int(known.sum())} poses with known joints to calibrate on; at least {ENOUGH} are needed")
    distances = distances[known]
    if not bool(distances.error.isfinite().all() and distances.shape.isfinite().all()):
        raise InputError("the lifter answers some poses with numbers that are not finite; it cannot be calibrated")
    for_spread = torch.arange(len(distances)) % _EVERY == 0
    scale, exponent = _spreads(distances[for_spread])
    rest = distances[~for_spread]
    spread = spread_of(scale, exponent, rest.visible, rest.shape)
    scores = torch.where(spread > 0, rest.error / spread, 0.0)
    factor, pose_factor = _factors(scores, rest), _pose_factors(scores, rest)
    # Levels that every row has.
    count = min(len(row) for rows in (*factor.values(), pose_factor) for row in rows.values())
    return Recalibration(
        joints=distances.skeleton.joints,
        levels=LEVELS[:count],
        scale=scale,
        exponent=exponent,
        factor={c: {j: tuple(row[:count]) for j, row in rows.items()} for c, rows in factor.items()},
        pose_factor={name: tuple(row[:count]) for name, row in pose_factor.items()},
        samples=distances.samples,
        seed=distances.seed,
        poses=len(distances),
        description=description,
        angles=None if distances.angles is None else fit_angles(distances.angles),
    )


def fit(
    lifter: Lifter,
    observations: Observations,
    samples: int | None = None,
    seed: int = SEED,
    chunk: int = 256,
    description: str = "",
) -> Recalibration:
    """Fit a recalibration on observations; set it as ``lifter.recalibration`` to use it, save the lifter to keep it.

    Args:
        lifter: any; its own recalibration does not matter.
        observations: poses of the kind that regions shall be right for: thousands, at least 200.
        samples: that regions will be made of; None: 200, and none of distributions that know their balls without.
        seed: of the samples.
        chunk: poses at a time.
        description: of the observations, kept with the result.

    Raises:
        InputError: as `measure` and `fit_distances`.
    """
    return fit_distances(measure(lifter, observations, samples, seed, chunk, angles=True), description)


def coverage(
    lifter: Lifter,
    observations: Observations,
    level: float = 0.9,
    samples: int | None = None,
    seed: int | None = None,
    chunk: int = 256,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """How often the regions of a lifter hold the truth; with its recalibration if it has one.

    Args:
        lifter: moved to ``device`` and put into evaluation mode.
        observations: poses that the recalibration was not fitted on.
        level: probability that the regions claim.
        samples, seed: of the regions; by default those of the recalibration.
        chunk: poses at a time.
        device: where to run.

    Returns:
        See `coverage_of`.

    Raises:
        InputError: as `measure` and `coverage_of`.
    """
    check_level(level)
    ours = lifter.recalibration
    if samples is None and ours is not None and ours.samples:
        samples = ours.samples
    seed = (SEED if ours is None else ours.seed) if seed is None else seed
    levels = tuple(sorted({*LEVELS, level}))
    return coverage_of(measure(lifter, observations, samples, seed, chunk, levels, device), level, ours)


# -- from a store or a file ------------------------------------------------------------------------------------


def halves(clips: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Rows of two halves of a set of poses, no clip in both: one to fit on, one to measure on.

    Frames of a clip resemble each other, so that halves which share clips would agree too well. Each clip, longest
    first, goes to the half that has fewer poses.

    Args:
        clips: the clip of each pose.

    Raises:
        InputError: fewer than two clips.
    """
    names, counts = np.unique(np.asarray(clips), return_counts=True)
    if len(names) < 2:
        raise InputError("poses of one clip: at least two are needed, to fit on one half and measure on the other")
    sizes, side = [0, 0], {}
    for i in np.argsort(-counts, kind="stable"):
        side[names[i]] = half = int(sizes[1] < sizes[0])
        sizes[half] += int(counts[i])
    second = torch.tensor([bool(side[clip]) for clip in clips])
    return (~second).nonzero().squeeze(-1), second.nonzero().squeeze(-1)


#: Whom lifters are calibrated on, where a store is simulated: other people than the recorded ones, and some motions of
#: which nothing was recorded, as the shipped lifters are trained on.
OTHER_PEOPLE: dict[str, Any] = {
    "own_body": 0.3, "bodies": "population", "marker_sets": 0.5, "broad": 0.1, "tilted": 0.04, "steep": 0.1,
    "noise_by_height": True,
}  # fmt: skip


def simulated(store: Path, poses: int, seed: int) -> Observations:
    """Random frames of a store, seen by the simulator on other people (`OTHER_PEOPLE`); their ids name the clips."""
    from ..data.simulation.simulator import Simulator, SimulatorConfig
    from ..data.store import PoseStore
    from ..keypoints import PoseId

    # Neighbouring frames of faster clips would only be copies.
    mocap = PoseStore(store).load(fps=10.0)
    drawn = Simulator(mocap, SimulatorConfig(**OTHER_PEOPLE))(poses, torch.Generator().manual_seed(seed))
    ids = [PoseId(mocap.clip_names[mocap.clip[i]], int(mocap.frame[i]), 0) for i in drawn.index.tolist()]
    return dataclasses.replace(drawn, keypoints=drawn.keypoints._replace(ids=ids))


def two_sets(
    data: str | Path, poses: int, seed: int = 0, protocol: str | None = None
) -> tuple[Observations, Observations, str]:
    """Poses to fit on, other poses to measure on, and what they are.

    Args:
        data: a pose store, seen by the simulator on other people or by a protocol; or a file of
            observations. Of observations each half of the clips makes a set.
        poses: of each set, where a store is seen (by a protocol: at most; to measure on, without one, at most
            `MEASURED`).
        seed: of the simulator.
        protocol: as `poseterior data simulate`.

    Raises:
        InputError: no such store or file, an unknown protocol, observations of a single clip.
    """
    from ..data.observations import load_observations
    from ..data.simulation.protocols import simulate

    path = Path(data)
    name = path.absolute().name
    if path.is_dir() and protocol is None:
        # New draws of the same clips: the bodies, cameras and limbs are others, the recorded moves are not.
        drawn = simulated(path, 2 * poses, seed)
        description = f"{poses} poses of the store {name} seen by the simulator on other people"
        return drawn[:poses], drawn[poses:][:MEASURED], f"{description}, seed {seed}"
    found = simulate(path, protocol, 2 * poses) if path.is_dir() and protocol else load_observations(path)
    first, second = halves([pose.file for pose in found.observations.keypoints.ids])
    description = f"{len(first)} poses of {name}, protocol {found.protocol}, seed {found.seed}"
    return found.observations[first], found.observations[second], description


def calibrate(
    lifter: Lifter | str | Path,
    data: str | Path | Observations,
    *,
    poses: int = 20_000,
    samples: int | None = None,
    seed: int = SEED,
    protocol: str | None = None,
    device: torch.device | str = "cpu",
) -> Lifter:
    """Make the regions of a lifter hold the truth as often as they say, for poses, cameras and detectors like these.

    What `poseterior calibrate` fits; keep it with ``lifter.save_pretrained(folder)``, measure it on other poses with
    `coverage`.

    Args:
        lifter: a lifter, the name of a shipped one, or a folder with trained weights.
        data: a pose store, seen by the simulator; a file of observations, of which half the clips are used (the other
            half is for measuring); or observations, of which all are.
        poses: to fit on, where a store is given.
        samples: of the regions, here and later; None: 200, and none where the distribution does without.
        seed: of the simulation and the samples.
        protocol: see a store by this protocol instead of the simulator's other people.
        device: where to run.

    Returns:
        The lifter (the same one, if one was given) with its new ``recalibration``.

    Raises:
        InputError: no such lifter, store or file, or fewer than 200 poses.
    """
    from ..lifters import Lifter, load

    given = lifter if isinstance(lifter, Lifter) else load(lifter, recalibrated=False)
    if isinstance(data, str | Path):
        observations, _, description = two_sets(data, poses, seed, protocol)
    else:
        observations, description = data, ""
    distances = measure(given, observations, samples, seed, device=device, angles=True)
    given.recalibration = fit_distances(distances, description)
    return given
