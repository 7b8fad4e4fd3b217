"""How wrong a detector's keypoints are: the covariance of each, from what the detector tells of it.

The law is the same for every detector that has heat maps, its numbers are fitted (`benchmarks/detector_noise.py`) and
stand in a JSON file beside the detector's code. Lengths are in units of the person's square, so that a large person and
a small one are of one law. With ``H`` the covariance of a joint's heat, in the picture's axes, and ``s`` its standard
deviation (the fourth root of its determinant),

    covariance = g² H / s² + (picture_px)² I
    log g      = joint + heat * log(s / 0.02) + hidden * (1 - visibility) + weak * (1 - peak)
                       + border * exp(-distance / border_reach)

where ``peak`` is the highest heat, ``distance`` is that from the nearest edge of the picture where one cuts the
person's square, and ``picture_px`` is what pixels cannot tell. What the picture does not show is not seen: a joint
outside of it, or so little visible that its place is a guess, is not visible.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..files.errors import InputError
from ..geometry.skeletons import Skeleton
from .base import Array

__all__ = ["USUAL_SPREAD", "Evidence", "NoiseModel", "heat_moments", "read_noise"]

#: Standard deviation of heat that the law is written around, of the square's side.
USUAL_SPREAD = 0.02
#: Cells around a joint whose heat counts for its spread: as far as a peak of the usual width has any.
_REACH = 6
#: Heat of which nothing is left, of the peak.
_FLOOR = 0.05


@dataclass(frozen=True)
class Evidence:
    """What a detector tells of the joints of one person (or of many: any leading dimensions).

    Attributes:
        covariance: ``(*batch, joints, 2, 2)`` of the heat around each, picture axes, the square's side is 1.
        peak: ``(*batch, joints)`` the highest heat there, 0 to 1.
        visibility: ``(*batch, joints)`` 0 to 1.
        border: ``(*batch, joints)`` distance from the nearest edge that cuts the square, the square's side is 1; below
            0 outside of the picture, infinite where no edge cuts the square.
        side: ``(*batch,)`` of the square, px.
    """

    covariance: Array
    peak: Array
    visibility: Array
    border: Array
    side: Array


@dataclass(frozen=True)
class NoiseModel:
    """The law's numbers.

    Attributes:
        joints: joint (its side left out) -> log standard deviation at its best, of the square's side.
        heat, hidden, weak, border, border_reach, picture_px: see the module.
        least_visible: joints of less visibility are not visible.
        card: where the numbers are from, and how well they hold; for readers.
    """

    joints: dict[str, float]
    heat: float
    hidden: float
    weak: float
    border: float
    border_reach: float
    picture_px: float
    least_visible: float
    card: dict[str, Any]

    def spread(self, evidence: Evidence, skeleton: Skeleton) -> Array:
        """``(*batch, joints)`` the standard deviation ``g`` of each joint, of the square's side."""
        own = np.array([self.joints[_sideless(joint)] for joint in skeleton.joints])
        log = own + self.heat * np.log(_size(evidence.covariance) / USUAL_SPREAD)
        log = log + self.hidden * (1 - evidence.visibility) + self.weak * (1 - evidence.peak)
        near = np.exp(-np.maximum(evidence.border, 0.0) / self.border_reach)
        return np.exp(log + self.border * near)

    def covariance(self, evidence: Evidence, skeleton: Skeleton) -> Array:
        """``(*batch, joints, 2, 2)`` px² of the keypoints."""
        shape = evidence.covariance / _size(evidence.covariance)[..., None, None] ** 2
        scale = (self.spread(evidence, skeleton) * evidence.side[..., None]) ** 2
        return scale[..., None, None] * shape + self.picture_px**2 * np.eye(2)

    def visible(self, evidence: Evidence) -> Array:
        """``(*batch, joints)`` whether there is anything to go by."""
        return (evidence.border >= 0) & (evidence.visibility >= self.least_visible)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _sideless(joint: str) -> str:
    return joint.removeprefix("left_").removeprefix("right_")


def _size(covariance: Array) -> Array:
    """The standard deviation of the circle of the same area."""
    determinant = covariance[..., 0, 0] * covariance[..., 1, 1] - covariance[..., 0, 1] * covariance[..., 1, 0]
    return np.maximum(determinant, 1e-12) ** 0.25


def read_noise(path: Path) -> NoiseModel:
    """The numbers of a law, from its file.

    Raises:
        InputError: the file is none.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return NoiseModel(**{field.name: data[field.name] for field in fields(NoiseModel)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no noise model of a detector ({error})") from None


def heat_moments(heat: Array, places: Array) -> tuple[Array, Array]:
    """Second moments and peaks of heat maps around given places.

    What is further than `_REACH` cells does not count, and of the rest what is above a twentieth of the peak; a cell's
    own width does, so that no covariance is singular. Where there is no heat at all the moments are those of the whole
    window.

    Args:
        heat: ``(n, height, width)``, 0 to 1.
        places: ``(n, 2)`` columns and rows, cells.

    Returns:
        ``(n, 2, 2)`` covariances around their own middle, the map's side is 1; ``(n,)`` the highest heat.
    """
    count, height, width = heat.shape
    steps = np.arange(-_REACH, _REACH + 1)
    column, row = np.rint(np.nan_to_num(places)).astype(int).T
    column, row = column.clip(0, width - 1), row.clip(0, height - 1)
    padded = np.pad(heat, ((0, 0), (_REACH, _REACH), (_REACH, _REACH)))
    x, y = column[:, None] + steps + _REACH, row[:, None] + steps + _REACH
    near = padded[np.arange(count)[:, None, None], y[:, :, None], x[:, None, :]]
    peak = near.max((1, 2))
    near = np.maximum(near - _FLOOR * peak[:, None, None], 0.0)
    total = near.sum((1, 2))
    near = np.where((total > 1e-6)[:, None, None], near, 1.0)
    near = near / near.sum((1, 2), keepdims=True)
    along_x, along_y = near.sum(1), near.sum(2)
    mean_x, mean_y = along_x @ steps, along_y @ steps
    xx = along_x @ steps**2 - mean_x**2
    yy = along_y @ steps**2 - mean_y**2
    xy = np.einsum("nyx,y,x->n", near, steps, steps) - mean_x * mean_y
    covariance = np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2) + np.eye(2) / 12
    return covariance / (width * height), peak
