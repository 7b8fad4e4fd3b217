"""What can be measured where no 3D pose is known: reprojection, and the order of joints that people labelled.

Leeds Sports Pose and any other photographs with keypoints. Nothing here says how far a pose is from the truth.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..data.labels.labels import DepthLabels
from ..data.labels.simulated import attach_labels
from ..data.observations import ObservationSet
from ..files.errors import InputError
from ..geometry.cameras import project
from ..keypoints import Keypoints2D
from ..keypoints.view import camera_of, solve_root
from ..lifters import Lifter
from ..metrics.depth_order import GAP_EDGES, order_probability, order_reliability
from .other_bodies import InBody

__all__ = ["has_truth", "measure_without_truth"]

_CHUNK = 128


def has_truth(data: ObservationSet) -> bool:
    """Whether any pose is known in 3D."""
    return bool(data.observations.observed.any())


@torch.no_grad()
def measure_without_truth(
    lifter: Lifter,
    data: ObservationSet,
    labels: DepthLabels | None = None,
    *,
    samples: int = 200,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Measure a lifter on keypoints without 3D poses.

    Args:
        lifter: of any skeleton.
        data: observations, e.g. of ``poseterior data import lsp``.
        labels: which of two joints is nearer, of some of the pictures.
        samples: hypotheses per pose.
        seed: of the samples.
        device: where to run.

    Returns:
        A JSON-ready dictionary. ``reprojection``: how far keypoints are from where the mean pose (and, on average, a
        hypothesis) is seen, in pixels and in percent of the person's size; the root is solved from the pose, and the
        camera is the one that the lifter is told. With labels ``depth order``: share of labels that the mean has right
        (each pair counts once; 0 and "cannot tell" do not), the same by the distance in depth that the lifter itself
        gives the two joints (metres), and the calibration of the probabilities that its hypotheses give.

    Raises:
        InputError: no poses, fewer than 2 samples, labels of other pictures or joints.
    """
    if not len(data):
        raise InputError("no poses to evaluate")
    if samples < 2:
        raise InputError(f"samples: expected at least 2, got {samples}")
    inside = lifter if lifter.skeleton.name == "h36m17" else InBody(lifter)
    inside = inside.to(device).eval()
    observations = data.observations
    found: dict[str, list[Tensor]] = {"mean": [], "sample": [], "size": []}
    for start in range(0, len(data), _CHUNK):
        keypoints = observations.keypoints[slice(start, start + _CHUNK)].to(device)
        posterior = inside(keypoints)
        drawn = posterior.sample((samples,), seed=seed)
        found["mean"].append(_pixels(posterior.mean, keypoints).cpu())
        found["sample"].append(_pixels(drawn, keypoints).nanmean(0).cpu())
        found["size"].append(keypoints.size.cpu())
    errors = {name: torch.cat(parts) for name, parts in found.items()}
    result: dict[str, Any] = {
        "lifter": lifter.name,
        "protocol": data.protocol,
        "poses": len(data),
        "samples": samples,
        "seed": seed,
        "reprojection": {
            name: {
                "pixels": round(float(errors[key].nanmean()), 3),
                "percent of the person": round(100 * float((errors[key] / errors["size"]).nanmean()), 3),
            }
            for name, key in (("mean", "mean"), ("hypothesis", "sample"))
        },
    }
    if labels is not None:
        result["depth order"] = _order(inside, data, labels, samples, seed, device)
    return result


def _pixels(poses: Tensor, keypoints: Keypoints2D) -> Tensor:
    """Mean distance over the visible joints between keypoint and projection, pixels; NaN where there is no root."""
    intrinsics, _ = camera_of(keypoints)
    seen = project(poses + solve_root(poses, keypoints).unsqueeze(-2), intrinsics)
    gap = torch.where(keypoints.visible, (seen - keypoints.xy).norm(dim=-1), 0.0)
    return gap.sum(-1) / keypoints.visible.sum(-1)


def _order(
    lifter: Lifter, data: ObservationSet, labels: DepthLabels, samples: int, seed: int, device: torch.device | str
) -> dict[str, Any]:
    labelled = attach_labels(data.observations, labels)
    known = (labelled.order != 0) & (labelled.confidence > 0)
    if not bool(known.any()):
        raise InputError("labels: none says which of two joints is nearer")
    gaps, chances = [], []
    for start in range(0, len(labelled.pose), _CHUNK):
        part = labelled[slice(start, start + _CHUNK)].to(device)
        posterior = lifter(part.keypoints)
        depth = posterior.mean[..., 2].gather(-1, part.pairs.flatten(-2)).unflatten(-1, (-1, 2))
        gaps.append((depth[..., 0] - depth[..., 1]).cpu())
        drawn = posterior.sample((samples,), seed=seed)
        # the joints of each pose's own pairs
        chances.append(order_probability(drawn, part.pairs).cpu())
    gap, chance = torch.cat(gaps), torch.cat(chances)
    right = (gap.sign() == labelled.order) & known
    reliability = order_reliability(chance, torch.where(known, labelled.order, 0.0))
    rows = []
    for low, high in pairwise(GAP_EDGES):
        inside = known & (gap.abs() >= low) & (gap.abs() < high)
        count = int(inside.sum())
        share = round(int((right & inside).sum()) / count, 4) if count else None
        rows.append({"from": low, "to": None if high == float("inf") else high, "accuracy": share, "labels": count})
    return {
        "images": len(labelled.pose),
        "labels": int(known.sum()),
        "accuracy": round(int(right.sum()) / int(known.sum()), 4),
        "by predicted gap": rows,
        "calibration error": round(reliability.error, 4),
        "reliability": [
            {"predicted": round(float(p), 4), "observed": round(float(o), 4), "labels": int(n)}
            for p, o, n in zip(reliability.predicted, reliability.observed, reliability.pairs, strict=True)
            if n
        ],
    }
