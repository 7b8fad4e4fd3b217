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

from ..distributions.evidence import NOISE_FACTORS, Evidence, energy_per_freedom, log_misfit
from ..distributions.given import given_evidence
from ..files.errors import InputError
from ..keypoints.view import camera_of, reprojection_energy

if TYPE_CHECKING:
    from ..data.observations import Observations
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
        InputError: too few poses of known cameras, or a lifter that goes through another one's poses.
    """
    if lifter.reader is not lifter:
        raise InputError(
            f"evidence: {lifter.name!r} goes through the poses of another lifter, whose evidence counts: "
            "measure that one's"
        )
    keypoints = observations.keypoints.as_skeleton(lifter.skeleton)
    useful = (camera_of(keypoints)[1] == 2) & (keypoints.visible.sum(-1) >= 4)
    if (count := int(useful.sum())) < FEWEST:
        raise InputError(f"evidence: {count} poses of known intrinsics; at least {FEWEST} are needed")
    keypoints, root, pose = keypoints[useful], observations.root[useful], observations.pose[useful]
    freedom = 2 * keypoints.visible.sum(-1) - 3
    truth = reprojection_energy(pose, root, keypoints).sum(-1) / freedom
    wanted = float(truth.median())
    parts = [keypoints[slice(start, start + _CHUNK)] for start in range(0, count, _CHUNK)]
    posteriors = [lifter.distribution(part) for part in parts]
    steps = _STEPS + len(NOISE_FACTORS)
    low, high = math.log(_FINEST), math.log(_COARSEST)
    for step in range(1, _STEPS + 1):
        evidence = Evidence(math.exp(0.5 * (low + high)))
        drawn = [
            energy_per_freedom(given_evidence(one, part, evidence).sample((samples,), seed=seed), part).median(0).values
            for one, part in zip(posteriors, parts, strict=True)
        ]
        middle = 0.5 * (low + high)
        low, high = (middle, high) if float(torch.cat(drawn).median()) > wanted else (low, middle)
        if progress is not None:
            progress(count * step // steps)
    coarseness = round(math.exp(0.5 * (low + high)), 5)
    levels = []
    for step, factor in enumerate(NOISE_FACTORS, start=_STEPS + 1):
        reported = [part.with_noise(torch.full((len(part),), factor, device=part.device)) for part in parts]
        logs = torch.cat([log_misfit(lifter.distribution(part).rough_mean, part) for part in reported])
        levels.append(float(logs[logs.isfinite()].median()))
        if progress is not None:
            progress(count * step // steps)
    falling = torch.tensor(levels).cummin(0).values  # rounding and chance must not make it rise
    return Evidence(coarseness, tuple(round(float(level), 3) for level in falling))
