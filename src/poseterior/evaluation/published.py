"""The tables that papers on multiple hypotheses print, read from what one pass collected.

The evaluation that they share (Li & Lee 2019, Sharma et al. 2019, Wehrbein et al. 2021): errors of the z0, best,
median, mean and worst of N hypotheses under both protocols (P1 = MPJPE, P2 = P-MPJPE), averaged over the poses of each
action and then, unweighted, over actions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .collect import Collected, best_of_counts

__all__ = ["published_tables"]

#: Hypotheses of a pose, in the order in which papers print them.
_ORDER = ("z0", "best", "median", "mean", "worst", "root kept")


def published_tables(found: Collected, clusters: int | None = None) -> dict[str, Any]:
    """The published numbers.

    Args:
        found: from `poseterior.evaluation.collect.collect`.
        clusters: as it was collected with.

    Returns:
        For P1 (MPJPE) and P2 (P-MPJPE), the ``average`` over actions, the mean over ``all poses`` and each action's
        error of the z0 (only where the distribution has an attribute ``z0``: the hypothesis of zero latent), best,
        median, mean and worst hypothesis, and (P1, only of networks that place the root) of the one pose with its
        ``root kept`` where it was predicted; PCK@150 (%, 14 joints) and CPS (mm, 16 joints) of the ``best hypothesis``
        likewise; ``best of N``, the expected error of the best of N of the samples; ``spread``, each joint's standard
        deviation over the hypotheses along x, y and z in mm (mean over poses, then actions). With ``clusters`` also
        ``clustered``: the same of so many representatives. Averages over actions are unweighted.
    """
    actions = sorted(set(found.data.action))
    label = torch.tensor([actions.index(action) for action in found.data.action])
    spread = _over_actions(found["spread"], label, len(actions))
    curves = {
        protocol: _over_actions(found[f"best of N {name}"], label, len(actions)).tolist()
        for protocol, name in (("P1", "MPJPE"), ("P2", "P-MPJPE"))
    }
    tables = _tables(found, "published: ", label, actions) | {
        "best of N": {"N": best_of_counts(found.samples)} | {p: [round(v, 2) for v in c] for p, c in curves.items()},
        "spread": {
            "per joint": {name: _axes(row) for name, row in zip(found.skeleton.joints, spread, strict=True)},
            "mean": _axes(spread.mean(0)),
        },
    }
    if clusters is not None:
        tables["clustered"] = {"clusters": clusters} | _tables(found, "clustered: ", label, actions)
    return tables


def _over_actions(values: Tensor, label: Tensor, actions: int) -> Tensor:
    """Mean over the poses of each action, then unweighted over actions; ``(poses, ...)`` to ``(...)``."""
    return torch.stack([values[label == i].mean(0) for i in range(actions)]).mean(0)


def _tables(found: Collected, prefix: str, label: Tensor, actions: list[str]) -> dict[str, Any]:
    """Averages over actions and over poses, and each action's."""
    known = found.starting(prefix)

    def rows(names: dict[str, str]) -> dict[str, Any]:
        values = {short: known[name] for short, name in names.items()}
        return {
            "average": {s: round(float(_over_actions(v, label, len(actions))), 2) for s, v in values.items()},
            "all poses": {s: round(float(v.mean()), 2) for s, v in values.items()},
            "per action": {
                action: {s: round(float(v[label == i].mean()), 2) for s, v in values.items()}
                for i, action in enumerate(actions)
            },
        }

    errors = {p: {s: f"{p} {s}" for s in _ORDER if f"{p} {s}" in known} for p in ("P1", "P2")}
    return {p: rows(names) for p, names in errors.items()} | {
        "best hypothesis": rows({"PCK@150": "PCK@150", "CPS": "CPS"})
    }


def _axes(values: Tensor) -> dict[str, float]:
    return {axis: round(float(v), 2) for axis, v in zip("xyz", values, strict=True)}
