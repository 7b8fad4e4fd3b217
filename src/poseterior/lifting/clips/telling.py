"""Whether frames are one person's motion, told from how their keypoints move."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from ...keypoints import Keypoints2D

__all__ = ["not_one_motion"]

_Array = NDArray[np.float64]

#: Steps below which nothing is said of photographs, and joints that two frames have to share.
_FEWEST_STEPS, _FEWEST_JOINTS = 3, 3
#: Photographs of strangers: keypoints that move by so much from one to the next, in sizes of the person, and whose
#: steps do not go on: second differences are larger than first ones by this (by sqrt(3) where frames are independent).
#: A detector's noise does not go on either, but is smaller (0.25 sizes: noise of 60 mm).
_STEP, _UNRELATED = 0.25, 1.2
#: Somebody jumps who moves by more than this from one frame to the next, in sizes of the person, and sizes a second: a
#: size, the root mean square distance of the joints from their middle, is about 0.45 m, and nobody runs 10 m/s.
_JUMP, _FASTEST = 1.0, 22.0
#: Frames to either side by which a jump is told from a frame that is simply wrong.
_AROUND = 3
#: Seconds after which somebody may be anywhere.
_AWAY = 0.5


def not_one_motion(keypoints: Keypoints2D, fps: float) -> str:
    """Why the frames of a clip cannot be one person's motion, in words; empty where they can.

    Files whose names count evenly are read as a clip, and may still be photographs of strangers: these move from each
    to the next by a good part of their size, and never go on as they moved. And a person who is elsewhere from some
    frame on, faster than anybody runs, is another one, or the camera is.

    Args:
        keypoints: of one person, one frame after the other, frames that are missing left out.
        fps: frames per second.
    """
    places = np.where(keypoints.visible.cpu().numpy()[..., None], keypoints.xy.double().cpu().numpy(), np.nan)
    sizes = keypoints.size.double().cpu().numpy()
    shown = np.isfinite(places).any(-1).sum(-1) >= _FEWEST_JOINTS
    frames = np.array([identity.frame for identity in keypoints.ids])[shown]
    places, sizes = places[shown], sizes[shown]
    if _unrelated(places, sizes):
        return "its keypoints move from frame to frame as those of unrelated photographs do"
    found = _jump(places, sizes, frames, fps)
    if found is None:
        return ""
    row, sizes_moved = found
    return (
        f"from frame {frames[row]} to {frames[row + 1]} the keypoints jump by {sizes_moved:.1f} times the person's "
        "size and stay there: another person, or a cut of the film"
    )


def _moved(difference: Float[_Array, "steps joints 2"], sizes: Float[_Array, " steps"]) -> Float[_Array, " steps"]:
    """Root mean square over the joints, in sizes; NaN where too few are known."""
    squared = np.square(difference).sum(-1)
    known = np.isfinite(squared)
    count = known.sum(-1)
    mean = np.where(known, squared, 0.0).sum(-1) / np.maximum(count, 1)
    return np.where((count >= _FEWEST_JOINTS) & (sizes > 0), np.sqrt(mean) / np.maximum(sizes, 1e-9), np.nan)


def _unrelated(places: Float[_Array, "T joints 2"], sizes: Float[_Array, " T"]) -> bool:
    first = _moved(np.diff(places, axis=0), sizes[1:])
    second = _moved(np.diff(places, n=2, axis=0), sizes[2:])
    first, second = first[np.isfinite(first)], second[np.isfinite(second)]
    if len(first) < _FEWEST_STEPS or not len(second):
        return False
    usual = float(np.median(first))
    return usual > _STEP and float(np.median(second)) > _UNRELATED * usual


def _jump(
    places: Float[_Array, "T joints 2"], sizes: Float[_Array, " T"], frames: Int[NDArray[np.int64], " T"], fps: float
) -> tuple[int, float] | None:
    """The row before the first jump, and how far it goes in sizes."""
    if len(places) < 2:
        return None
    passed = np.diff(frames) / fps
    limit = _JUMP + _FASTEST * passed
    scale = np.maximum(np.minimum(sizes[1:], sizes[:-1]), 1e-9)
    step = _middle(np.diff(places, axis=0)) / scale
    for row in np.flatnonzero((step > limit) & (passed <= _AWAY)):
        before = _usual(places[max(0, row + 1 - _AROUND) : row + 1])
        after = _usual(places[row + 1 : row + 1 + _AROUND])
        if _middle((after - before)[None])[0] / scale[row] > limit[row]:
            return int(row), float(step[row])
    return None


def _middle(difference: Float[_Array, "steps joints 2"]) -> Float[_Array, " steps"]:
    """The median over the joints of how far they moved: wrong joints do not count. 0 where too few are known."""
    distance = np.linalg.norm(difference, axis=-1)
    enough: Bool[NDArray[np.bool_], " steps"] = np.isfinite(distance).sum(-1) >= _FEWEST_JOINTS
    found = np.zeros(len(distance))
    found[enough] = np.nanmedian(distance[enough], axis=-1)
    return found


def _usual(places: Float[_Array, "n joints 2"]) -> Float[_Array, "joints 2"]:
    """Median over frames of each joint; NaN where none shows it."""
    known = np.isfinite(places).any((0, 2))
    found = np.full(places.shape[1:], np.nan)
    found[known] = np.nanmedian(places[:, known], axis=0)
    return found
