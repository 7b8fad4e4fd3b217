"""How exactly a lifter's network uses its keypoints, measured: the numbers of its `Evidence`.

* **Coarseness**: samples of the true posterior reproject with the energy of the truth, because the two cannot be told
  apart. The coarseness is the one with which samples, given the evidence, do so on observations with known poses.
* **Residuals**: how the energy of the mean's residuals falls as reported standard deviations grow, from the same
  observations with these multiplied by known factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from ..distributions.evidence import NOISE_FACTORS, Evidence
from ..files.errors import InputError
from ..keypoints import Keypoints2D
from ..keypoints.view import camera_of, reprojection_energy, solve_root

if TYPE_CHECKING:
    from ..data.observations import Observations
    from ..distributions.base import PoseDistribution
    from ..lifters import Lifter

__all__ = ["FEWEST", "fit_evidence"]

#: Fewest poses of which the camera is known.
FEWEST = 50
#: Coarsenesses between which the right one is looked for, metres; steps of the search.
_FINEST, _COARSEST, _STEPS = 0.001, 0.05, 7
_CHUNK = 128


@torch.no_grad()
def fit_evidence(
    lifter: Lifter,
    observations: Observations,
    samples: int = 40,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Evidence:
    """The evidence that suits a lifter; set it as ``lifter.evidence`` to use it, save the lifter to keep it.

    A recalibration that was fitted without is none with it: `poseterior.evaluation.calibrate` anew.

    Args:
        lifter: its own evidence, if it has one, does not count.
        observations: with known poses; those of unknown cameras say nothing. Some hundred suffice.
        samples: hypotheses per pose.
        seed: of the hypotheses.
        progress: called with the number of poses done.

    Raises:
        InputError: too few poses of known cameras.
    """
    keypoints = observations.keypoints.as_skeleton(lifter.skeleton)
    useful = (camera_of(keypoints)[1] == 2) & (keypoints.visible.sum(-1) >= 4)
    if (count := int(useful.sum())) < FEWEST:
        raise InputError(f"evidence: {count} poses of known intrinsics; at least {FEWEST} are needed")
    keypoints, root, pose = keypoints[useful], observations.root[useful], observations.pose[useful]
    truth = _per_freedom(reprojection_energy(pose, root, keypoints).sum(-1), keypoints)
    wanted = float(truth.median())
    own, lifter.evidence = lifter.evidence, None
    try:
        posteriors = [lifter(keypoints[slice(start, start + _CHUNK)]) for start in range(0, count, _CHUNK)]
        low, high = math.log(_FINEST), math.log(_COARSEST)
        for step in range(_STEPS):
            middle = 0.5 * (low + high)
            found = torch.cat([_energy(one, math.exp(middle), samples, seed) for one in posteriors])
            low, high = (middle, high) if float(found.median()) > wanted else (low, middle)
            if progress is not None:
                progress(count * (step + 1) // (_STEPS + len(NOISE_FACTORS)))
        coarseness = round(math.exp(0.5 * (low + high)), 5)
        levels = []
        for number, factor in enumerate(NOISE_FACTORS, start=1):
            levels.append(_residual(lifter, keypoints.with_noise(torch.full((count,), factor))))
            if progress is not None:
                progress(count * (_STEPS + number) // (_STEPS + len(NOISE_FACTORS)))
    finally:
        lifter.evidence = own
    falling = torch.tensor(levels).cummin(0).values  # rounding and chance must not make it rise
    return Evidence(coarseness, tuple(round(float(level), 3) for level in falling))


def _per_freedom(energy: Float[Tensor, "*samples poses"], keypoints: Keypoints2D) -> Float[Tensor, "*samples poses"]:
    """Energy per degree of freedom: two numbers per visible joint, less the root's three."""
    return energy / (2 * keypoints.visible.sum(-1) - 3).clamp(min=1)


def _energy(posterior: PoseDistribution, coarseness: float, samples: int, seed: int) -> Float[Tensor, " poses"]:
    """Median over samples that are given the evidence with this coarseness."""
    keypoints = posterior.keypoints
    assert keypoints is not None
    poses = posterior.given_evidence(evidence=Evidence(coarseness)).sample((samples,), seed=seed)
    energy = reprojection_energy(poses, solve_root(poses, keypoints), keypoints).sum(-1)
    return _per_freedom(energy, keypoints).median(0).values


def _residual(lifter: Lifter, keypoints: Keypoints2D) -> float:
    """Median logarithm of the energy of the mean's residuals, per degree of freedom."""
    logs = []
    for start in range(0, len(keypoints), _CHUNK):
        part = keypoints[slice(start, start + _CHUNK)]
        mean = lifter(part).rough_mean
        energy = reprojection_energy(mean, solve_root(mean, part), part).sum(-1)
        logs.append(_per_freedom(energy, part).log())
    found = torch.cat(logs)
    return float(found[found.isfinite()].median())
