"""Where people stand in a scene: beside each other, or where the result places them before the camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ...results.ground import upright_axes
from ...results.poses import LiftResult
from ..tracks import Track

__all__ = ["beside", "left_to_right", "seen_places", "upright"]

#: Metres: between two people, how far one reaches at least and at most, and between two rows.
_GAP, _LEAST, _MOST, _ROW = 0.15, 0.35, 0.9, 1.8
#: As many people stand in one row; more stand in two.
_ONE_ROW = 5


def upright(result: LiftResult) -> Float[NDArray[np.float64], "3 3"]:
    """Turn from camera axes to the scene's, whose y is straight down where the floor is known.

    x is right and z away from the camera, as in camera axes; the identity where no floor is known.
    """
    grounds = None if result.ground is None else result.ground[np.isfinite(result.ground).all(-1)]
    if grounds is None or not len(grounds):
        return np.eye(3)
    turn = upright_axes(grounds[:1])[0][0]  # to x right, y up, z to the camera
    return np.diag([1.0, -1.0, -1.0]) @ turn


def left_to_right(result: LiftResult, tracks: Sequence[Track]) -> list[int]:
    """Numbers of the tracks from left to right: by file, then by where people are in the picture."""
    files = list(dict.fromkeys(track.file for track in tracks))

    def place(number: int) -> tuple[int, float]:
        track = tracks[number]
        x = result.keypoints[next(iter(track.poses.values())), :, 0]
        return files.index(track.file), float(x[np.isfinite(x)].mean()) if np.isfinite(x).any() else np.inf

    return sorted(range(len(tracks)), key=place)


def beside(
    result: LiftResult, tracks: Sequence[Track], turn: Float[NDArray[np.float64], "3 3"]
) -> Float[NDArray[np.float64], "tracks 3"]:
    """Where each track's pelvis is when people stand beside each other: one row, or two for more than five.

    Nobody reaches into a neighbour, but for very wide regions. Metres in the scene's axes, around the origin.
    """
    order = left_to_right(result, tracks)
    rows = [order] if len(order) <= _ONE_ROW else [order[: -(-len(order) // 2)], order[-(-len(order) // 2) :]]
    places = np.zeros((len(tracks), 3))
    for number, row in enumerate(rows):
        reaches = [_reach(result, tracks[i], turn) for i in row]
        at = 0.0
        for i, (left, right) in zip(row, reaches, strict=True):
            places[i] = (at + left, 0.0, number * _ROW)
            at += left + right + _GAP
        places[row, 0] -= (at - _GAP) / 2
        if number:  # those behind are seen between those before them
            places[row, 0] += (reaches[0][0] + reaches[0][1]) / 2
    places[:, 0] -= (places[:, 0].min() + places[:, 0].max()) / 2
    return places


def _reach(result: LiftResult, track: Track, turn: np.ndarray) -> tuple[float, float]:
    """Metres to the left and to the right of the pelvis, through all poses."""
    rows = list(track.poses.values())
    x = (result.mean[rows] @ turn.T)[..., 0]
    left, right = (float(np.clip(side.max() + 0.1, _LEAST, _MOST)) for side in (-x, x))
    return left, right


def seen_places(
    result: LiftResult, tracks: Sequence[Track], rows: Sequence[Sequence[int]], turn: Float[NDArray[np.float64], "3 3"]
) -> tuple[list[np.ndarray], Any] | None:
    """The pelvis of each pose before the camera, around the middle of all; None where the result does not tell.

    People of different files are before different cameras, so there are places for one file only.

    Args:
        rows: the poses of each track that are shown.

    Returns:
        (poses, 3) metres in the scene's axes for each track; and the camera's place (3,) in the same axes.
    """
    if len({track.file for track in tracks}) != 1:
        return None
    roots = [result.root[list(shown)].astype(np.float64) @ turn.T for shown in rows]
    together = np.concatenate(roots)
    if not np.isfinite(together).all():
        return None
    middle = (together.min(0) + together.max(0)) / 2
    return [root - middle for root in roots], -middle
