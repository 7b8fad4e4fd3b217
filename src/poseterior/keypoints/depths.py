"""3D points that come as 2D keypoints: found before their depth is taken for a score."""

from __future__ import annotations

import numpy as np

from ..files.checks import Array
from ..files.errors import InputError

__all__ = ["IK", "pairs_look_flat", "refuse_depths"]

#: What to do with 3D points.
IK = "3D points go to `poseterior ik`"

#: Coordinates up to this are normalised, or metres.
_NORMALISED = 2.0
#: Scores up to this may be probabilities, or the peaks of heat maps.
_PROBABILITY = 1.2
#: No score of any scale is above this (percentages), or far below 0 (logits).
_LARGEST_SCORE, _LOWEST_LOGIT = 101.0, -40.0
#: The distances of one person's joints from a camera differ by less than this, as a fraction of their mean.
_EVEN = 0.07


def refuse_depths(xy: Array, third: Array) -> None:
    """Refuse keypoints whose third number is where the joint is, not how sure it is.

    Pixels have scores between 0 and 1, percentages, or logits as their third number. A depth is below 0 or beyond 100,
    or its x and y are no place in a picture: metres, or lengths to both sides of the person.

    Args:
        xy: ``(poses, joints, 2)`` as in the file, NaN where missing.
        third: ``(poses, joints)`` as in the file.

    Raises:
        InputError: it is a depth; the message says what to do.
    """
    known = np.isfinite(xy).all(-1) & np.isfinite(third) & ((xy != 0).any(-1) | (third != 0))
    values, places = third[known], xy[known]
    if len(values) < 4 or values.min() == values.max():
        return
    low, high = float(values.min()), float(values.max())
    if low < 0:
        marks_missing = (values[values < 0] == -1).all() and high <= _PROBABILITY
        depth = not marks_missing and (not _in_a_picture(places) or low < _LOWEST_LOGIT or high > -_LOWEST_LOGIT)
    elif high > 3 * _LARGEST_SCORE:
        depth = True
    elif high > _PROBABILITY:
        depth = not _in_a_picture(places) or _are_distances(third, known)
    else:
        depth = False
    if depth:
        raise InputError(
            f"the third number of each joint ({low:.4g} to {high:.4g}) looks like a depth, not like a score: {IK}; "
            "2D keypoints are x and y, or x, y and score (scores they are if you say --confidence-scale)"
        )


def pairs_look_flat(values: Array) -> bool:
    """Whether numbers that may be pairs or triples, ``(poses, numbers)``, are pixels or parts of a picture."""
    known = values[np.isfinite(values) & (values != 0)]
    if not len(known):
        return True
    positive = (known < 0).mean() < 0.05
    return bool(positive and (np.median(np.abs(known)) > _NORMALISED or np.abs(known).max() <= 1.5))


def _in_a_picture(places: Array) -> bool:
    """Whether most places are pixels of a picture: right of and below its corner."""
    return bool(np.median(np.abs(places).max(-1)) > _NORMALISED and (places < 0).any(-1).mean() < 0.25)


def _are_distances(third: Array, known: Array) -> bool:
    """Whether the numbers differ as little within people as joints' distances from a camera, in metres, do."""
    if third.ndim != 2 or third.shape[1] < 8:
        return False
    rows = known.sum(-1) >= 8
    if not rows.any():
        return False
    kept = np.where(known, third, np.nan)[rows]
    if np.nanmin(kept) < 0.5 or np.nanmax(kept) > 30 or (np.nan_to_num(kept) % 1 == 0).all():
        return False
    return bool(np.median(np.nanstd(kept, -1) / np.nanmean(kept, -1)) < _EVEN)
