"""Which hypotheses are shown of many: the mean, the likeliest, a smooth path, a few that stand for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from ..distributions.clustering import cluster
from ..files.errors import InputError

if TYPE_CHECKING:
    pass
from .rotations import _SMPL, Array, RotationResult

__all__ = [
    "CHOICES",
    "choose",
    "representatives",
]

#: What `choose` knows.
CHOICES = ("mean", "best", "mode", "path", "samples", "clusters")
#: `choose`'s path: a joint that turns by this angle (radians) from one frame to the next costs half a nat.
_USUAL_TURN = 0.1
#: Samples of a frame that a path is searched among.
_PATH_SAMPLES = 64


# -- hypotheses --------------------------------------------------------------------------------------------


def choose(result: RotationResult, how: str, count: int = 1) -> Float[NDArray[np.float32], "poses count 22 4"]:
    """Hypotheses to show.

    ========  ========================================================================================================
    how       what is taken
    ========  ========================================================================================================
    mean      each joint's chordal mean; joints that trade rotation with others make it less likely than a sample
    best      the sample of highest log-density
    mode      the rotations of highest density, if the result has them
    path      the smoothest way through the samples of each clip: dynamic programming (Viterbi 1967) over at most 64
              samples a frame, with the cost ``sum over joints of (turn / 0.1 rad)^2 / 2``, divided by the frames
              passed, less the samples' log-densities. It decides between the explanations of a frame; within one,
              the samples' own noise is then averaged out (mean shift to the centre of the nearest third of them).
              Of ``count`` ways, each goes through samples of its own
    samples   the first samples
    clusters  `representatives`
    ========  ========================================================================================================

    Raises:
        InputError: another ``how``; more hypotheses than there are; a mode that was not asked for.
    """
    if how not in CHOICES:
        raise InputError(f"how: expected one of {', '.join(CHOICES)}, got {how!r}")
    samples = result.rotations.shape[1]
    if how in ("mean", "best", "mode") and count != 1:
        raise InputError(f"count: there is one {how}, not {count}; use samples, clusters or path")
    if not 1 <= count <= max(samples, 1):
        raise InputError(f"count: expected 1 to {samples} (the number of samples), got {count}")
    if how == "mean":
        return result.mean[:, None]
    if how == "best":
        return np.take_along_axis(result.rotations, result.log_prob.argmax(1)[:, None, None, None], 1)
    if how == "mode":
        if result.mode is None:
            raise InputError("how: the mode was not computed; ask for it (mode=True) when lifting")
        return result.mode[:, None]
    if how == "samples":
        return result.rotations[:, :count]
    if how == "clusters":
        return representatives(result, count)[0]
    chosen = np.zeros((len(result), count, len(_SMPL), 4), np.float32)
    for rows in result.clips():
        for way in range(count):
            among = np.arange(way, samples, count)[:_PATH_SAMPLES]
            part = result.rotations[np.ix_(rows, among)]
            passed = _smoothest(part, result.log_prob[np.ix_(rows, among)], result.frame[rows])
            chosen[rows, way] = _settled(part, part[np.arange(len(rows)), passed])
    return chosen


def _settled(quaternions: Array, start: Array) -> Array:
    """The centres of the samples ``(frames, samples, 22, 4)`` near some of them ``(frames, 22, 4)``: mean shift."""
    samples, centre = quaternions.astype(np.float64), start.astype(np.float64)
    near = max(1, samples.shape[1] // 3)
    for _ in range(5):
        inner = np.einsum("fsjq,fjq->fsj", samples, centre)
        distance = (1.0 - np.abs(inner)).sum(-1)
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :near]
        # q and -q are one rotation: on the centre's side they can be averaged.
        facing = samples * np.where(inner < 0, -1.0, 1.0)[..., None]
        centre = np.take_along_axis(facing, nearest[:, :, None, None], 1).mean(1)
        centre /= np.linalg.norm(centre, axis=-1, keepdims=True)
    return centre.astype(np.float32)


def _smoothest(quaternions: Array, log_prob: Array, frame: Array) -> Array:
    """The cheapest way through samples ``(frames, samples, 22, 4)``: the index of a sample for each frame."""
    turned = quaternions.astype(np.float64)
    turned /= np.linalg.norm(turned, axis=-1, keepdims=True)
    cost, came_from = -log_prob[0].astype(np.float64), []
    for now in range(1, len(turned)):
        before, after = turned[now - 1].transpose(1, 0, 2), turned[now].transpose(1, 2, 0)
        # q and -q are one rotation; the chord between the nearer two is 2 sin(angle / 4).
        half_chord = np.sqrt(np.clip(1.0 - np.abs(before @ after), 0.0, None) / 2)
        angle = 4.0 * np.arcsin(np.minimum(half_chord, 1.0))
        passed = max(int(frame[now] - frame[now - 1]), 1)
        total = cost[:, None] + ((angle / _USUAL_TURN) ** 2).sum(0) / (2 * passed)
        came_from.append(total.argmin(0))
        cost = total.min(0) - log_prob[now]
    way = [int(cost.argmin())]
    for previous in reversed(came_from):
        way.append(int(previous[way[-1]]))
    return np.asarray(way[::-1])


def representatives(
    result: RotationResult, count: int, seed: int = 0
) -> tuple[Float[NDArray[np.float32], "poses count 22 4"], Float[NDArray[np.float32], "poses count"]]:
    """A few samples that stand for all: those nearest to the centres of k-means over the points' positions.

    Args:
        result: with at least ``count`` samples a pose.
        count: how many.
        seed: of k-means' start.

    Returns:
        Quaternions, the likeliest first, and their probabilities (shares of the samples), which sum to 1.
    """
    chosen, weights = [], []
    for start in range(0, len(result), 64):
        part = result[slice(start, start + 64)]
        points = part.points(part.rotations)
        centres, weight = cluster(points.transpose(0, 1), count, seed=seed)
        nearest = torch.cdist(centres.flatten(2), points.flatten(2)).argmin(-1).numpy()
        chosen.append(np.take_along_axis(part.rotations, nearest[:, :, None, None], 1))
        weights.append(weight.numpy())
    return np.concatenate(chosen), np.concatenate(weights)
