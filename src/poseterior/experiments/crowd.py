"""How often a crowd orders two joints rightly, by how far apart their depths are (Ronchi et al. 2018, figures 2, 3)."""

from __future__ import annotations

from typing import Any

import torch

from ..data.labels.labels import DepthLabels
from ..data.labels.simulated import attach_labels, crowd_accuracy
from ..data.observations import Observations
from ..geometry.skeletons import SKELETONS

__all__ = ["EDGES", "crowd_by_gap", "crowd_finding"]

#: Metres of depth between two joints: edges of the rows of the table; the last one has no upper edge.
EDGES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)


def crowd_by_gap(observations: Observations, labels: DepthLabels) -> dict[str, Any] | None:
    """Share of right labels by the true difference of depths, and by joint.

    Args:
        observations: of the pictures, with true poses.
        labels: of whom we ask; labels of equal depth and of confidence 0 do not count.

    Returns:
        ``by gap``: rows of ``from`` (metres), ``to`` (None: no bound), ``labels``, ``accuracy``, ``error`` (standard
        error) and ``published`` (what the simulated crowd would have); ``per joint``: share by joint; ``labels``: how
        many count.

    Raises:
        InputError: no label is of any of these pictures, or none of two joints whose depths are known.
    """
    labelled = attach_labels(observations, labels)
    index = labelled.pairs.flatten(-2)
    depth = labelled.pose[..., 2].gather(-1, index).unflatten(-1, (-1, 2))
    known = labelled.observed.gather(-1, index).unflatten(-1, (-1, 2)).all(-1)
    gap = depth[..., 0] - depth[..., 1]
    counts = known & (labelled.confidence > 0) & (labelled.order != 0) & (gap != 0)
    if not bool(counts.any()):
        return None
    right = (gap.sign() == labelled.order)[counts]
    size, pairs = gap.abs()[counts], labelled.pairs[counts]
    rows = []
    for low, high in zip(EDGES, (*EDGES[1:], None), strict=True):
        own = (size >= low) & (size < (high or torch.inf))
        if int(own.sum()):
            share = float(right[own].double().mean())
            n = int(own.sum())
            rows.append({
                "from": low, "to": high, "labels": n, "accuracy": round(share, 4),
                "error": round((share * (1 - share) / n) ** 0.5, 4),
                "published": round(float(crowd_accuracy(size[own]).mean()), 4),
            })  # fmt: skip
    names = SKELETONS["h36m17"].joints
    per_joint = {
        name: round(float(right[own].double().mean()), 4)
        for j, name in enumerate(names)
        if bool((own := (pairs == j).any(-1)).any())
    }
    return {"labels": int(counts.sum()), "by gap": rows, "per joint": per_joint}


def crowd_finding(table: dict[str, Any]) -> list[str]:
    """The table as lines of text."""
    lines = [f"{table['labels']} labels with a known answer: share that is right, by the difference of depths"]
    for row in table["by gap"]:
        reach = f"{1000 * row['from']:.0f} mm and more" if row["to"] is None else (
            f"{1000 * row['from']:.0f} to {1000 * row['to']:.0f} mm"
        )  # fmt: skip
        lines.append(
            f"  {reach}: {row['accuracy']:.3f} ± {1.96 * row['error']:.3f} of {row['labels']} "
            f"(published crowd {row['published']:.3f})"
        )
    return lines
