"""Of many overlapping finds, one for each person."""

from __future__ import annotations

import numpy as np

from .base import Array

__all__ = ["box_of", "box_overlaps", "landmark_overlap", "weighted_suppression"]


def box_overlaps(box: Array, others: Array) -> Array:
    """``(n,)`` intersection over union of a box ``(4,)`` with others ``(n, 4)``: left, top, right, bottom."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = (high - low).clip(0).prod(-1)
    own, each = (box[2:] - box[:2]).clip(0).prod(), (others[:, 2:] - others[:, :2]).clip(0).prod(-1)
    return shared / np.maximum(own + each - shared, 1e-12)


def weighted_suppression(boxes: Array, scores: Array, values: Array, overlap: float) -> tuple[Array, Array]:
    """Non-maximum suppression in which what is suppressed takes part: means weighted by the scores.

    Args:
        boxes: ``(n, 4)`` left, top, right, bottom.
        scores: ``(n,)`` above 0.
        values: ``(n, k)`` what is averaged.
        overlap: boxes with more are of one thing.

    Returns:
        ``(m, k)`` values and ``(m,)`` the highest score of each thing, the surest first.
    """
    left = np.argsort(-scores, kind="stable")
    means, highest = [], []
    while len(left):
        near = box_overlaps(boxes[left[0]], boxes[left]) > overlap
        near[0] = True  # a box without area overlaps nothing, itself neither
        group = left[near]
        means.append(scores[group] @ values[group] / scores[group].sum())
        highest.append(scores[left[0]])
        left = left[~near]
    return np.array(means).reshape(len(means), values.shape[1]), np.array(highest)


def box_of(xy: Array, visible: Array) -> tuple[float, float, float, float]:
    """The box around the visible ones of some points ``(n, 2)``; of all where none is visible."""
    points = xy[visible] if visible.any() else xy
    x0, y0 = points.min(0)
    x1, y1 = points.max(0)
    return float(x0), float(y0), float(x1), float(y1)


def landmark_overlap(xy: Array, others: Array, spread: float) -> float:
    """How much of some landmarks is where the same landmarks of others are, 0 to 1.

    The mean over the landmarks of ``exp(-(d / spread)² / 2)``, where ``d`` is the distance from the nearest one of the
    same kind: so what is put together of two people's parts is found too.

    Args:
        xy: ``(k, 2)`` px.
        others: ``(n, k, 2)`` px of n people; 0 for nobody.
        spread: px.
    """
    if not len(others):
        return 0.0
    square = ((others - xy) ** 2).sum(-1).min(0)
    return float(np.exp(-square / (2 * max(spread, 1e-6) ** 2)).mean())
