"""What networks for keypoints answer: pairs of one-dimensional distributions, heat maps, or whole people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..files.errors import InputError
from .base import Array

__all__ = ["Joints", "kind_of", "people_boxes", "read_heatmaps", "read_people", "read_simcc"]

#: What the logits of SimCC are multiplied by before they become a distribution, in RTMPose's training.
_SHARPNESS = 10.0
#: Shares of a distribution below this part of its peak do not count for its spread.
_FLOOR = 0.02
#: No spread is smaller (px of the network's picture), as no heat map's is.
_LEAST_SPREAD = 0.5


class Joints(NamedTuple):
    """Joints of one person in the network's picture.

    Attributes:
        xy: ``(joints, 2)`` px.
        covariance: ``(joints, 2, 2)`` px²; None where the network does not tell.
        confidence: ``(joints,)``, 0 to 1.
    """

    xy: Array
    covariance: Array | None
    confidence: Array


def kind_of(outputs: Sequence[Array]) -> str:
    """``simcc``, ``heatmaps``, ``people`` or ``boxes``, by the shapes of a network's outputs.

    Raises:
        InputError: none of them.
    """
    shapes = [output.shape for output in outputs]
    ranks = [len(shape) for shape in shapes]
    if ranks == [3, 3] and shapes[0][1] == shapes[1][1] and min(shapes[0][2], shapes[1][2]) > 5:
        return "simcc"
    if ranks == [4]:
        return "heatmaps"
    if ranks[:2] == [3, 4] and shapes[0][-1] == 5 and shapes[1][-1] == 3:
        return "people"
    if ranks[0] == 3 and shapes[0][-1] == 5 and len(ranks) <= 2:
        return "boxes"
    raise InputError(
        f"the network's outputs have shapes {', '.join(map(str, shapes))}; expected SimCC (1, joints, columns) and "
        "(1, joints, rows), heat maps (1, joints, rows, columns), or people (1, n, 5) with keypoints (1, n, joints, 3)"
    )


def read_simcc(across: Array, down: Array, size: tuple[int, int]) -> Joints:
    """Joints of SimCC's distributions (Li et al. 2022), as RTMPose has them.

    Args:
        across, down: ``(joints, bins)`` logits along x and y.
        size: width and height of the network's picture, px.
    """
    places, spreads, heights = [], [], []
    for logits, length in ((across, size[0]), (down, size[1])):
        step = length / logits.shape[-1]
        mean, variance = _moments(logits)
        places.append(step * mean)
        spreads.append(np.maximum(step * np.sqrt(variance), _LEAST_SPREAD))
        heights.append(logits.max(-1))
    covariance = np.stack(spreads, -1)[..., None] ** 2 * np.eye(2)
    return Joints(np.stack(places, -1), covariance, np.minimum(*heights).clip(0.0, 1.0))


def _moments(logits: Array) -> tuple[Array, Array]:
    """Peak and variance ``(joints,)``, in bins, of distributions ``(joints, bins)`` around their peaks."""
    shares = np.exp(_SHARPNESS * (logits - logits.max(-1, keepdims=True)))
    shares = np.where(shares >= _FLOOR, shares, 0.0)
    shares = shares / shares.sum(-1, keepdims=True)
    peak = logits.argmax(-1)
    apart = np.arange(logits.shape[-1]) - peak[:, None]
    return peak.astype(float), (shares * apart**2).sum(-1)


def read_heatmaps(heat: Array, size: tuple[int, int]) -> Joints:
    """Joints of heat maps, by `poseterior.fit_gaussians`; one whose map is no Gaussian peak has no confidence.

    Args:
        heat: ``(joints, rows, columns)``, 0 to 1.
        size: width and height of the network's picture, px.
    """
    import torch

    from ..keypoints.heatmaps import fit_gaussians

    fitted = fit_gaussians(torch.from_numpy(np.ascontiguousarray(heat, np.float32)))
    cell = np.array(size) / [heat.shape[2], heat.shape[1]]
    # the middle of a cell is where the network's picture has as many pixels before as behind it
    xy = (fitted.mean.double().numpy() + 0.5) * cell - 0.5
    covariance = fitted.covariance.double().numpy() * cell[:, None] * cell
    return Joints(xy, covariance, fitted.amplitude.double().numpy().clip(0.0, 1.0))


def read_people(boxes: Array, keypoints: Array, least: float) -> list[tuple[Joints, Array, float]]:
    """Joints, box ``(4,)`` and score of people, as RTMO (Lu et al. 2024) answers; in px of the network's picture.

    Args:
        boxes: ``(n, 5)`` left, top, right, bottom, score.
        keypoints: ``(n, joints, 3)`` x, y, score.
        least: score below which nobody is.
    """
    return [
        (Joints(joints[:, :2].astype(float), None, joints[:, 2].clip(0.0, 1.0).astype(float)), box[:4], float(box[4]))
        for box, joints in zip(boxes, keypoints, strict=True)
        if box[4] >= least
    ]


def people_boxes(boxes: Array, labels: Array | None, least: float) -> Array:
    """``(m, 4)`` boxes of people (label 0), the surest first; of ``(n, 5)`` with a score each."""
    sure = boxes[:, 4] >= least
    if labels is not None:
        sure &= labels == 0
    found = boxes[sure]
    return found[np.argsort(-found[:, 4], kind="stable"), :4]
