"""Recalibration: regions that hold the truth as often as they say, made so on observations with known poses.

`fit` measures how often the plain balls of `poseterior.distributions.regions` hold the truth, and finds what they must
be multiplied by:

1. a **temperature** for visible and one for missing joints: the factor whose coverage is closest to the level over
   all levels (the idea of Guo et al. 2017, fitted to coverage because not every lifter has a density);
2. a **factor** for each joint, visible or missing, and level: the split-conformal quantile of the scores distance /
   radius (Papadopoulos et al. 2002; Lei et al. 2018), i.e. the ``ceil((n + 1) q)``-th smallest of n. On new poses of
   the same kind such a ball holds the truth with probability q to q + 1 / (n + 1), whatever the lifter;
3. a **pose factor** for balls that hold *all* joints of a pose with probability q. Their radii are a multiple of
   those of the joints' own balls at 0.9: the multiple that holds a share q of the samples whole, times this factor,
   the same quantile again, for poses with none, few and many joints missing apart (Mondrian groups, Vovk et al. 2005).

A lifter whose distribution is right has temperatures and factors of 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..distributions.regions import (
    CLASSES,
    MISSING_GROUPS,
    MOST_SAMPLES,
    SAMPLES,
    SEED,
    SHAPE_LEVEL,
    Recalibration,
    balls,
    check_level,
    missing_group,
)
from ..files.errors import InputError
from ..geometry.skeletons import Skeleton

if TYPE_CHECKING:
    from ..data.observations import Observations
    from ..lifters import Lifter


__all__ = [
    "ENOUGH",
    "LEVELS",
    "Distances",
    "calibrate",
    "conformal_quantile",
    "coverage",
    "coverage_of",
    "fit",
    "fit_distances",
    "halves",
    "measure",
    "simulated",
    "two_sets",
]

#: Levels at which factors are fitted; those between are interpolated.
LEVELS = (*(round(0.05 * i, 2) for i in range(1, 20)), 0.98, 0.99)
#: Groups with fewer observations take the factor of the larger group they are part of. (For a finite conformal
#: quantile at the highest level there must be 99.)
ENOUGH = 200


# -- fitting ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Distances:
    """How far the truth is from a lifter's answers, beside the plain radii of these answers, for ``n`` poses.

    Attributes:
        skeleton: joint order.
        levels: of the radii.
        error: ``(n, joints)`` metres from the centre to the truth (0 where the truth has no such joint).
        radius: ``(levels, n, joints)`` plain radii, metres.
        shape: ``(n, joints)`` plain radii at `poseterior.distributions.regions.SHAPE_LEVEL`, metres.
        pose_scale: ``(levels, n)`` the multiple of the shape that holds that share of the samples whole.
        visible: ``(n, joints)`` joints that the lifter saw.
        observed: ``(n, joints)`` joints that the truth has; never the root, which is known.
        samples, seed: with which the answers were drawn.
    """

    skeleton: Skeleton
    levels: tuple[float, ...]
    error: Tensor
    radius: Tensor
    shape: Tensor
    pose_scale: Tensor
    visible: Tensor
    observed: Tensor
    samples: int
    seed: int

    def __len__(self) -> int:
        return len(self.error)

    def __getitem__(self, rows: Tensor | slice) -> Distances:
        """Some of the poses: rows, a slice or a mask."""
        return dataclasses.replace(
            self,
            error=self.error[rows], radius=self.radius[:, rows], shape=self.shape[rows],
            pose_scale=self.pose_scale[:, rows], visible=self.visible[rows], observed=self.observed[rows],
        )  # fmt: skip


@torch.no_grad()
def measure(
    lifter: Lifter,
    observations: Observations,
    samples: int = SAMPLES,
    seed: int = SEED,
    chunk: int = 256,
    levels: Sequence[float] = LEVELS,
    device: torch.device | str = "cpu",
    progress: Callable[[int], object] | None = None,
) -> Distances:
    """Lift observations and compare the answers with the truth, without any recalibration.

    Args:
        lifter: moved to ``device`` and put into evaluation mode.
        observations: h36m17 poses with their keypoints.
        samples: drawn a pose.
        seed: of the samples; each chunk draws from its own.
        chunk: poses at a time.
        levels: at which radii are taken.
        device: where to run.
        progress: called with the number of poses done, after each chunk.

    Raises:
        InputError: no poses, too few or too many samples, a seed out of range, a level outside (0, 1), a lifter of
            another skeleton.
    """
    if not 2 <= samples <= MOST_SAMPLES:
        raise InputError(f"samples: expected 2 to {MOST_SAMPLES}, got {samples}")
    if not 0 <= seed < 2**63:
        raise InputError(f"seed: expected 0 to below 2^63, got {seed}")
    if chunk < 1:
        raise InputError(f"chunk: expected at least 1, got {chunk}")
    for level in levels:
        check_level(level)
    if lifter.skeleton.name != "h36m17":
        raise InputError(f"the observations are h36m17 poses; the lifter answers in {lifter.skeleton.name}")
    count = len(observations.pose)
    if not count:
        raise InputError("no poses to calibrate on")
    lifter = lifter.to(device).eval()
    root = lifter.skeleton.root
    parts: list[tuple[Tensor, ...]] = []
    for number, start in enumerate(range(0, count, chunk)):
        part = observations[start : start + chunk].to(device)
        drawn = lifter(part.keypoints).sample((samples,), seed=(seed + number) % 2**63)
        plain = balls(drawn, levels, root)
        observed = part.observed.clone()
        observed[:, root] = False
        error = torch.where(observed, (part.pose - plain.centre).norm(dim=-1), 0.0)
        poses_first = plain.radius.movedim(0, 1), plain.pose_scale.movedim(0, 1)
        found = (error, *poses_first, plain.shape, part.keypoints.visible, observed)
        parts.append(tuple(value.cpu() for value in found))
        if progress is not None:
            progress(min(start + chunk, count))
    error, radius, scale, shape, visible, observed = (torch.cat(column) for column in zip(*parts, strict=True))
    return Distances(
        lifter.skeleton, tuple(levels), error, radius.movedim(1, 0), shape, scale.movedim(1, 0), visible, observed,
        samples, seed,
    )  # fmt: skip


def conformal_quantile(scores: Float[Tensor, "*shape n"], level: float) -> Float[Tensor, "*shape"]:
    """The ``ceil((n + 1) level)``-th smallest of n scores; infinite if there is none.

    A new score from the same distribution is at most that with probability ``level`` to ``level + 1 / (n + 1)``.
    """
    # 0.9 * 10 is a little more than 9 in floating point.
    rank = math.ceil((scores.shape[-1] + 1) * level - 1e-9)
    if rank > scores.shape[-1]:
        return scores.new_full(scores.shape[:-1], math.inf)
    return scores.kthvalue(max(rank, 1), -1).values


def _best_temperature(scores: Float[Tensor, "levels n"], levels: Sequence[float]) -> float:
    """The factor on radii for which coverage is closest to the level, on average over levels.

    ``scores`` are distances over radii, so that the coverage of a factor is the share of scores below it.
    """
    factors = torch.logspace(-2, 3, 1001)  # 1.2 % apart; 1 is one of them
    ordered = scores.sort(-1).values
    below = torch.searchsorted(ordered, factors.expand(len(levels), -1).contiguous(), right=True)
    share = below / scores.shape[-1]
    gap = (share - torch.tensor(levels).unsqueeze(-1)).abs().mean(0)
    return float(factors[gap.argmin()])


def _digits(value: Tensor | float) -> float:
    return float(f"{float(value):.4g}")


def _factors(scores: Tensor, levels: Sequence[float]) -> tuple[float, ...]:
    """Conformal quantiles of scores ``(levels, n)``, a level each; at least 0.0001, because a radius is not zero."""
    return tuple(max(_digits(conformal_quantile(row, q)), 1e-4) for row, q in zip(scores, levels, strict=True))


def _over(error: Tensor, radius: Tensor) -> Tensor:
    """Error over radius; 0 for the root, whose radius is 0, and for unknown joints."""
    return torch.where(radius > 0, error / radius, 0.0)


def fit_distances(distances: Distances, description: str = "") -> Recalibration:
    """Fit a recalibration to distances at `LEVELS` (see the module).

    A joint with fewer than 200 observations, visible or missing, takes the factor of all joints of that class; a
    class with fewer takes that of all joints; a group of poses with fewer that of all poses.

    Raises:
        InputError: fewer than 200 poses of which some joint is known.
    """
    known = distances.observed.any(-1)
    if int(known.sum()) < ENOUGH:
        raise InputError(f"{int(known.sum())} poses with known joints to calibrate on; at least {ENOUGH} are needed")
    distances = distances[known]
    skeleton, levels = distances.skeleton, distances.levels
    seen, exists, ratio = distances.visible, distances.observed, _over(distances.error, distances.radius)
    ones = (1.0,) * len(levels)
    temperature: dict[str, float] = {}
    factor: dict[str, dict[str, tuple[float, ...]]] = {}
    for c, of_class in zip(CLASSES, (seen & exists, ~seen & exists), strict=True):
        members = of_class if int(of_class.sum()) >= ENOUGH else exists
        pooled = ratio[:, members]
        heat = _digits(_best_temperature(pooled, levels))
        of_all = _factors(pooled / heat, levels)
        temperature[c], factor[c] = heat, {}
        for j, name in enumerate(skeleton.joints):
            of_joint = of_class[:, j]
            enough = int(of_joint.sum()) >= ENOUGH
            factor[c][name] = _factors(ratio[:, of_joint, j] / heat, levels) if enough else of_all
        factor[c][skeleton.joints[skeleton.root]] = ones
    joints_only = Recalibration(skeleton.joints, levels, temperature, factor, dict.fromkeys(MISSING_GROUPS, ones))
    shape = distances.shape * joints_only.joint_factors(SHAPE_LEVEL, seen)
    scores = _over(distances.error, shape).amax(-1) / distances.pose_scale
    group, of_all = missing_group(seen), _factors(scores, levels)
    pose_factor = {
        name: _factors(scores[:, group == g], levels) if int((group == g).sum()) >= ENOUGH else of_all
        for g, name in enumerate(MISSING_GROUPS)
    }
    return dataclasses.replace(
        joints_only, pose_factor=pose_factor, samples=distances.samples, seed=distances.seed, poses=len(distances),
        description=description,
    )  # fmt: skip


def fit(
    lifter: Lifter,
    observations: Observations,
    samples: int = SAMPLES,
    seed: int = SEED,
    chunk: int = 256,
    description: str = "",
) -> Recalibration:
    """Fit a recalibration on observations; set it as ``lifter.recalibration`` to use it, save the lifter to keep it.

    Args:
        lifter: any; its own recalibration does not matter.
        observations: poses of the kind that regions shall be right for: thousands, at least 200.
        samples, seed: of the samples that regions will be made of.
        chunk: poses at a time.
        description: of the observations, kept with the result.

    Raises:
        InputError: as `measure` and `fit_distances`.
    """
    return fit_distances(measure(lifter, observations, samples, seed, chunk), description)


# -- measuring -------------------------------------------------------------------------------------------------


def _share(inside: Tensor, counted: Tensor) -> list[float]:
    """Share of True among those counted, a column; NaN where there are none."""
    total = counted.sum(0)
    return ((inside & counted).sum(0) / total).tolist()


def _farthest(shares: Sequence[float], level: float) -> float:
    return max(shares, key=lambda share: abs(share - level))


def _calibration_error(distances: Distances, recalibration: Recalibration | None, counted: Tensor) -> float:
    """Mean over levels and joints of ``|coverage - level|``."""
    ratio, total, gaps = _over(distances.error, distances.radius), counted.sum(0), []
    for i, level in enumerate(distances.levels):
        limit = 1.0 if recalibration is None else recalibration.joint_factors(level, distances.visible)
        inside = (ratio[i] <= limit) & counted
        gaps.append(((inside.sum(0) / total) - level).abs()[total > 0])
    return float(torch.stack(gaps).mean())


def coverage_of(distances: Distances, level: float = 0.9, recalibration: Recalibration | None = None) -> dict[str, Any]:
    """How often regions hold the truth, from distances.

    Args:
        distances: from `measure`, with ``level`` among its levels.
        level: probability that the regions claim.
        recalibration: of the regions; None for the plain ones.

    Returns:
        A JSON-ready dictionary: ``level``, ``poses``, ``calibrated``; the coverage ``per joint``, its ``mean``, the
        ``worst`` joint's (farthest from the level); ``pose``, of all joints at once, and ``pose by missing``; the
        median ``radius`` in mm; the ``calibration error``, i.e. the mean of |coverage - level| over levels and
        joints. For the ``visible`` and the ``missing`` joints: their ``mean``, ``worst``, ``radius``,
        ``calibration error`` and number of ``observations``, or nothing if there are none.

    Raises:
        InputError: a level that the distances were not measured at, or no known joint.
    """
    if level not in distances.levels:
        raise InputError(f"level: expected one of {', '.join(f'{q:g}' for q in distances.levels)}, got {level!r}")
    if not bool(distances.observed.any()):
        raise InputError("no joint of these poses is known: coverage cannot be measured")
    i = distances.levels.index(level)
    seen, exists = distances.visible, distances.observed
    radius, shape, scale = distances.radius[i], distances.shape, distances.pose_scale[i]
    if recalibration is not None:
        radius, shape, scale = recalibration.apply(level, seen, radius, shape, scale)
    inside = distances.error <= radius
    whole = (distances.error <= scale.unsqueeze(-1) * shape).all(-1)
    known = exists.any(-1)

    def summary(counted: Tensor) -> dict[str, Any]:
        if not bool(counted.any()):
            return {}
        shares = [share for share in _share(inside, counted) if not math.isnan(share)]
        return {
            "mean": round(sum(shares) / len(shares), 4),
            "worst": round(_farthest(shares, level), 4),
            "radius": round(1000 * float(radius[counted].median()), 1),
            "calibration error": round(_calibration_error(distances, recalibration, counted), 4),
            "observations": int(counted.sum()),
        }

    per_joint = zip(distances.skeleton.joints, _share(inside, exists), strict=True)
    group = missing_group(seen)
    poses = {name: whole[known & (group == g)] for g, name in enumerate(MISSING_GROUPS)}
    return {
        "level": level,
        "poses": int(known.sum()),
        "calibrated": recalibration is not None,
        "per joint": {name: round(share, 4) for name, share in per_joint if not math.isnan(share)},
        **{k: v for k, v in summary(exists).items() if k != "observations"},
        "visible": summary(seen & exists),
        "missing": summary(~seen & exists),
        "pose": round(float(whole[known].float().mean()), 4),
        "pose by missing": {name: round(float(w.float().mean()), 4) for name, w in poses.items() if len(w)},
    }


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
    samples = (SAMPLES if ours is None else ours.samples) if samples is None else samples
    seed = (SEED if ours is None else ours.seed) if seed is None else seed
    levels = tuple(sorted({*LEVELS, level}))
    return coverage_of(measure(lifter, observations, samples, seed, chunk, levels, device), level, ours)


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


# -- from a store or a file ------------------------------------------------------------------------------------


def simulated(store: Path, poses: int, seed: int) -> Observations:
    """Random frames of a store, seen by the simulator with its default ranges; their ids name the clips."""
    from ..data.simulation.simulator import Simulator
    from ..data.store import PoseStore
    from ..keypoints import PoseId

    # Neighbouring frames of faster clips would only be copies.
    mocap = PoseStore(store).load(fps=10.0)
    drawn = Simulator(mocap)(poses, torch.Generator().manual_seed(seed))
    ids = [PoseId(mocap.clip_names[mocap.clip[i]], int(mocap.frame[i]), 0) for i in drawn.index.tolist()]
    return dataclasses.replace(drawn, keypoints=drawn.keypoints._replace(ids=ids))


def two_sets(
    data: str | Path, poses: int, seed: int = 0, protocol: str | None = None
) -> tuple[Observations, Observations, str]:
    """Poses to fit on, other poses to measure on, and what they are.

    Args:
        data: a pose store, seen by the simulator with its default ranges or by a protocol; or a file of
            observations. Of observations each half of the clips makes a set.
        poses: of each set, where a store is seen (by a protocol: at most).
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
        description = f"{poses} poses of the store {name} seen by the simulator's default ranges"
        return drawn[:poses], drawn[poses:], f"{description}, seed {seed}"
    found = simulate(path, protocol, 2 * poses) if path.is_dir() and protocol else load_observations(path)
    first, second = halves([pose.file for pose in found.observations.keypoints.ids])
    description = f"{len(first)} poses of {name}, protocol {found.protocol}, seed {found.seed}"
    return found.observations[first], found.observations[second], description


def calibrate(
    lifter: Lifter | str | Path,
    data: str | Path | Observations,
    *,
    poses: int = 20_000,
    samples: int = SAMPLES,
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
        samples: of the regions, here and later.
        seed: of the simulation and the samples.
        protocol: see a store by this protocol instead of the simulator's default ranges.
        device: where to run.

    Returns:
        The lifter (the same one, if one was given) with its new ``recalibration``.

    Raises:
        InputError: no such lifter, store or file, or fewer than 200 poses.
    """
    from ..lifters import Lifter, load

    given = lifter if isinstance(lifter, Lifter) else load(lifter)
    if isinstance(data, str | Path):
        observations, _, description = two_sets(data, poses, seed, protocol)
    else:
        observations, description = data, ""
    distances = measure(given, observations, samples, seed, device=device)
    given.recalibration = fit_distances(distances, description)
    return given
