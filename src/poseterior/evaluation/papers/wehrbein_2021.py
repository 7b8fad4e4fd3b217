"""The evaluation of Wehrbein et al. (ICCV 2021): N hypotheses per action, and the hard subset.

Every 64th original frame of S9 and S11, 200 hypotheses: errors of the one with zero latent, the best, median, mean and
worst under protocols 1 (MPJPE) and 2 (P-MPJPE), mean over each action, then over actions; the standard deviation of
each joint. Of the hard subset every frame, mean over poses, with PCK@150 (14 joints) and CPS (16 joints) of the best.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...data.observations import ObservationSet
from ...lifters import Lifter
from ..collect import Collected, check_evaluable, collect_hypotheses
from ..other_bodies import comparable
from ..published import published_tables
from ..subsets import select_poses
from .tables import PaperTable, action_table

__all__ = ["evaluate", "every_64th"]

_EVERY, _CHUNK = 64, 128
_KINDS = ("z0", "best", "median", "mean", "worst")


def every_64th(data: ObservationSet) -> ObservationSet:
    """The frames of each clip that are a multiple of 64 away from its first, as published."""
    ids = data.observations.keypoints.ids
    first: dict[str, int] = {}
    for one in ids:
        first[one.file] = min(one.frame, first.get(one.file, one.frame))
    return select_poses(data, torch.tensor([(one.frame - first[one.file]) % _EVERY == 0 for one in ids]))


@torch.no_grad()
def _hypotheses(lifter: Lifter, data: ObservationSet, samples: int, seed: int, device: str) -> Collected:
    """What the paper measures of hypotheses, and nothing else, which would take many more of them."""
    check_evaluable(lifter, data, samples, seed)
    lifter, data = comparable(lifter, data)
    lifter = lifter.to(device).eval()
    found = Collected(data, lifter.skeleton, samples, seed, _CHUNK, torch.device(device))
    for start in range(0, len(data), _CHUNK):
        part = data.observations[slice(start, start + _CHUNK)].to(device)
        posterior = lifter(part.keypoints)
        drawn = posterior.sample((samples,), seed=seed)
        collect_hypotheses(found, drawn, posterior, part.pose, part.observed)
    return found


def evaluate(
    lifters: Mapping[str, Lifter], data: ObservationSet, samples: int, seed: int, device: str
) -> list[PaperTable]:
    """The tables.

    Args:
        lifters: by name.
        data: of ``poseterior data import h36m``; the hard subset is known by its protocol.
        samples: hypotheses per pose (published: 200).
        seed: of the samples.
        device: where to run.
    """
    hard = "hard" in data.protocol
    if not hard:
        data = every_64th(data)
    found = {name: _hypotheses(lifter, data, samples, seed, device) for name, lifter in lifters.items()}
    notes = (f"{len(data)} poses, {samples} hypotheses; best: oracle", *(("every 64th frame",) if not hard else ()))
    tables = []
    for protocol, metric in (("P1", "MPJPE"), ("P2", "P-MPJPE")):
        rows = {
            f"{name} {kind}": one[f"published: {protocol} {kind}"]
            for name, one in found.items()
            for kind in _KINDS
            if f"published: {protocol} {kind}" in one
        }
        title = f"{'hard subset, ' if hard else ''}protocol {protocol[1]}: {metric} (mm)"
        if hard:
            means = {name: (float(values.mean()),) for name, values in rows.items()}
            tables.append(PaperTable(title, ("mean over poses",), means, 1, notes))
        else:
            tables.append(action_table(title, rows, data.action, notes))
    if hard:
        best = {
            name: (float(one["published: PCK@150"].mean()), float(one["published: CPS"].mean()))
            for name, one in found.items()
        }
        tables.append(PaperTable("hard subset, best hypothesis", ("PCK@150 (%)", "CPS (mm)"), best, 1, notes))
    for name, one in found.items():
        spread = published_tables(one)["spread"]
        rows_of_spread = {
            joint: tuple(axes[axis] for axis in "xyz")
            for joint, axes in (spread["per joint"] | {"mean": spread["mean"]}).items()
        }
        tables.append(PaperTable(f"{name}: standard deviation over the hypotheses (mm)", tuple("xyz"), rows_of_spread))
    return tables
