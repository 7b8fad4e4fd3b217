"""Whether frames are one person's motion, told from how their keypoints move."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ...keypoints import Keypoints2D
from .switches import TrackSwitch, somebody_else

__all__ = ["not_one_motion"]

_Array = NDArray[np.float64]

#: Steps below which nothing is said of photographs, and joints that two frames have to share.
_FEWEST_STEPS, _FEWEST_JOINTS = 3, 3
#: Photographs of strangers: keypoints that move by so much from one to the next, in sizes of the person, and whose
#: steps do not go on: second differences are larger than first ones by this (by sqrt(3) where frames are independent).
#: A detector's noise does not go on either, but is smaller (0.25 sizes: noise of 60 mm).
_STEP, _UNRELATED = 0.25, 1.2


def not_one_motion(keypoints: Keypoints2D, fps: float) -> str:
    """Why the frames of a clip cannot be one person's motion, in words; empty where they can.

    Files whose names count evenly are read as a clip, and may still be photographs of strangers: these move from each
    to the next by a good part of their size, and never go on as they moved. And a track may go over to somebody else
    (`poseterior.lifting.clips.switches`).

    Args:
        keypoints: of one person, one frame after the other, frames that are missing left out.
        fps: frames per second.
    """
    places = np.where(keypoints.visible.cpu().numpy()[..., None], keypoints.xy.double().cpu().numpy(), np.nan)
    sizes = keypoints.size.double().cpu().numpy()
    shown = np.isfinite(places).any(-1).sum(-1) >= _FEWEST_JOINTS
    frames = np.array([identity.frame for identity in keypoints.ids])
    if _unrelated(places[shown], sizes[shown]):
        return "its keypoints move from frame to frame as those of unrelated photographs do"
    try:
        somebody_else(keypoints, frames / fps)
    except TrackSwitch as error:
        return str(error)
    return ""


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
