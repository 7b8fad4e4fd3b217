"""Ways through the rotations sampled of the frames of a clip. `RotationResult.choose` chooses among them.

Quaternions are xyzw; q and -q are one rotation.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from .provenance import Array

__all__ = ["CHOICES", "PATH_SAMPLES", "looked_at", "settled", "smoothest"]

#: What `RotationResult.choose` knows.
CHOICES = ("mean", "best", "mode", "path", "samples", "clusters")
#: Samples of a frame that a path is searched among.
PATH_SAMPLES = 64
#: Frames whose samples are averaged at a time.
_AT_ONCE = 128
#: A joint that turns by this angle (radians) from one frame to the next costs half a nat.
_USUAL_TURN = 0.1


def looked_at(how: str, count: int, samples: int) -> int:
    """How many of a frame's samples, the first ones, are looked at to choose so many hypotheses.

    Of clips whose samples are poses; for all that is not samples itself they may all count.

    >>> looked_at("path", 2, 200), looked_at("samples", 5, 200), looked_at("mean", 1, 200)
    (128, 5, 200)
    """
    enough = {"path": PATH_SAMPLES * count, "samples": count}
    return min(enough.get(how, samples), samples)


def settled(
    quaternions: Float[NDArray[np.float32], "frames samples joints 4"],
    start: Float[NDArray[np.float32], "frames joints 4"],
) -> Float[NDArray[np.float32], "frames joints 4"]:
    """The centres of the samples near some of them: mean shift to the centre of the nearest third."""
    parts = [slice(first, first + _AT_ONCE) for first in range(0, len(start), _AT_ONCE)]
    return np.concatenate([_settled(quaternions[rows], start[rows]) for rows in parts]) if parts else start


def _settled(
    quaternions: Float[NDArray[np.float32], "frames samples joints 4"],
    start: Float[NDArray[np.float32], "frames joints 4"],
) -> Float[NDArray[np.float32], "frames joints 4"]:
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


def smoothest(
    quaternions: Float[NDArray[np.float32], "frames samples joints 4"],
    log_prob: Float[Array, "frames samples"],
    frame: Int[Array, "frames"],
) -> Int[Array, "frames"]:
    """The cheapest way through samples: the index of a sample for each frame.

    Dynamic programming (Viterbi 1967) with the cost ``sum over joints of (turn / 0.1 rad)^2 / 2``, divided by the
    frames passed, less the samples' log-densities (NaN where they have none: then smoothness alone decides).
    """
    log_prob = np.nan_to_num(log_prob, nan=0.0)

    def turned(frame: int) -> Float[Array, "samples joints 4"]:
        own = quaternions[frame].astype(np.float64)
        return own / np.linalg.norm(own, axis=-1, keepdims=True)

    cost, came_from = -log_prob[0].astype(np.float64), []
    latest = turned(0)
    for now in range(1, len(quaternions)):
        earlier, latest = latest, turned(now)
        before, after = earlier.transpose(1, 0, 2), latest.transpose(1, 2, 0)
        # q and -q are one rotation; the chord between the nearer two is 2 sin(angle / 4).
        half_chord = np.sqrt(np.clip(1.0 - np.abs(before @ after), 0.0, None) / 2)
        angle = 4.0 * np.arcsin(np.minimum(half_chord, 1.0))
        passed = max(int(frame[now] - frame[now - 1]), 1)
        total = cost[:, None] + ((angle / _USUAL_TURN) ** 2).sum(0) / (2 * passed)
        came_from.append(total.argmin(0).astype(np.int16))
        cost = total.min(0) - log_prob[now]
    way = [int(cost.argmin())]
    for previous in reversed(came_from):
        way.append(int(previous[way[-1]]))
    return np.asarray(way[::-1])
