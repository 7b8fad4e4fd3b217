"""How wrong a detector's keypoints are: the covariance of each, from what the detector tells of it.

The law is the same for every detector, its numbers are fitted (`poseterior detectors calibrate`) and stand in a JSON
file: beside the detector's code, or the user's own. Lengths are in units of the person's square, so that a large person
and a small one are of one law. With ``H`` the covariance of a joint's heat, in the picture's axes, and ``s`` its
standard deviation (the fourth root of its determinant),

    covariance = g² H / s² + (picture_px)² I
    log g      = joint + heat * log(s / 0.02) + hidden * (1 - visibility) + weak * (1 - peak)
                       + border * exp(-distance / border_reach)

where ``peak`` is the highest heat, ``distance`` is that from the nearest edge of the picture where one cuts the
person's square, and ``picture_px`` is what pixels cannot tell. What the picture does not show is not seen: a joint
outside of it, or so little visible that its place is a guess, is not visible.

Beside that some keypoints are simply wrong, however sure the detector is: of each joint a share (`outliers`), see
`poseterior.distributions.contamination`. And where pictures with known keypoints tell that a detector means another
place by a joint (`bias`), it is moved: along the body's own axes, in sizes of the person.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..files.checks import cut
from ..files.errors import InputError
from ..geometry.skeletons import Skeleton
from .evidence import Array, Evidence

__all__ = [
    "USUAL_SPREAD",
    "Evidence",
    "NoiseModel",
    "body_axes",
    "heat_moments",
    "read_noise",
    "sideless",
    "size_of_heat",
]

#: Standard deviation of heat that the law is written around, of the square's side.
USUAL_SPREAD = 0.02
#: Cells around a joint whose heat counts for its spread: as far as a peak of the usual width has any.
_REACH = 6
#: Heat of which nothing is left, of the peak.
_FLOOR = 0.05


@dataclass(frozen=True)
class NoiseModel:
    """The law's numbers.

    Attributes:
        joints: joint (its side left out) -> log standard deviation at its best, of the square's side.
        heat, hidden, weak, border, border_reach, picture_px: see the module.
        least_visible: joints of less visibility are not visible.
        card: where the numbers are from, and how well they hold; for readers.
        outliers: joint (its side left out) -> share of keypoints that are simply wrong.
        bias: joint (its side left out) -> outwards and down the body, in sizes of the person, what the detector's is
            off from ours; of joints in the middle only down.
        detector, skeleton: names of the detector and of the joints that it was fitted to; empty where not known.
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
    outliers: dict[str, float] = field(default_factory=dict)
    bias: dict[str, tuple[float, float]] = field(default_factory=dict)
    detector: str = ""
    skeleton: str = ""

    def knows(self, joint: str) -> bool:
        """Whether it says how wrong a joint is."""
        return sideless(joint) in self.joints

    def spread(self, evidence: Evidence, skeleton: Skeleton) -> Array:
        """``(*batch, joints)`` the standard deviation ``g`` of each joint, of the square's side."""
        return self.spread_of(evidence, skeleton.joints)

    def spread_of(self, evidence: Evidence, joints: Sequence[str]) -> Array:
        """The same of any joints in any order: the last dimension of the evidence."""
        own = np.array([self.joints[sideless(joint)] for joint in joints])
        log = own + self.heat * np.log(size_of_heat(evidence.covariance) / USUAL_SPREAD)
        log = log + self.hidden * (1 - evidence.visibility) + self.weak * (1 - evidence.peak)
        near = np.exp(-np.maximum(evidence.border, 0.0) / self.border_reach)
        found: Array = np.exp(log + self.border * near)
        return found

    def covariance(self, evidence: Evidence, skeleton: Skeleton) -> Array:
        """``(*batch, joints, 2, 2)`` px² of the keypoints."""
        shape = evidence.covariance / size_of_heat(evidence.covariance)[..., None, None] ** 2
        scale = (self.spread(evidence, skeleton) * evidence.side[..., None]) ** 2
        return scale[..., None, None] * shape + self.picture_px**2 * np.eye(2)

    def visible(self, evidence: Evidence) -> Array:
        """``(*batch, joints)`` whether there is anything to go by."""
        return (evidence.border >= 0) & (evidence.visibility >= self.least_visible)

    def outlier_shares(self, skeleton: Skeleton) -> Array:
        """``(joints,)`` how often each is simply wrong."""
        return np.array([self.outliers.get(sideless(joint), 0.0) for joint in skeleton.joints])

    def unbiased(self, xy: Array, visible: Array, skeleton: Skeleton) -> Array:
        """``(joints, 2)`` px of one person's keypoints, moved to where our joints are."""
        axes = body_axes(xy, visible, skeleton) if self.bias else None
        if axes is None:
            return xy
        shift = np.array([self.bias.get(sideless(joint), (0.0, 0.0)) for joint in skeleton.joints])
        return xy - np.einsum("jk,jkc->jc", shift, axes)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(self.to_json(), encoding="utf-8")

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def sideless(joint: str) -> str:
    """A joint's name without its side."""
    return joint.removeprefix("left_").removeprefix("right_")


def size_of_heat(covariance: Array) -> Array:
    """The standard deviation of the circle of the same area."""
    determinant = covariance[..., 0, 0] * covariance[..., 1, 1] - covariance[..., 0, 1] * covariance[..., 1, 0]
    found: Array = np.maximum(determinant, 1e-12) ** 0.25
    return found


def body_axes(xy: Array, visible: Array, skeleton: Skeleton) -> Array | None:
    """``(joints, 2, 2)`` px: of each joint the directions outwards and down the body, as long as the person's size.

    Down is from the middle of the shoulders to that of the hips; outwards is across it, to the joint's own side.

    Returns:
        None where shoulders and hips are not all visible, or fall together.
    """
    torso = [f"{side}_{joint}" for joint in ("shoulder", "hip") for side in ("left", "right")]
    if not set(torso) <= set(skeleton.joints):
        return None
    rows = [skeleton.index(joint) for joint in torso]
    if not visible[rows].all():
        return None
    shown = xy[visible]
    size = float(np.sqrt(((shown - shown.mean(0)) ** 2).sum(-1).mean()))
    shoulders, hips = xy[rows[:2]], xy[rows[2:]]
    down = hips.mean(0) - shoulders.mean(0)
    length = float(np.linalg.norm(down))
    if length < 1e-3 * size or size == 0:
        return None
    down = down / length * size
    across = np.array([-down[1], down[0]])
    # to the left of the person, as the torso shows it; seen from the side there is none, and nothing is moved along it
    lean = float((shoulders[0] - shoulders[1] + hips[0] - hips[1]) @ across) / size**2
    left = across * np.clip(lean, -1.0, 1.0)
    signs = [1.0 if j.startswith("left_") else -1.0 if j.startswith("right_") else 0.0 for j in skeleton.joints]
    return np.stack([np.outer(signs, left), np.broadcast_to(down, (len(signs), 2))], 1)


def read_noise(path: Path) -> NoiseModel:
    """The numbers of a law, from its file.

    Raises:
        InputError: the file is none, or one of its numbers is none; names the field.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        needed = [f.name for f in fields(NoiseModel) if f.default is MISSING and f.default_factory is MISSING]
        given = {f.name: data[f.name] for f in fields(NoiseModel) if f.name in data or f.name in needed}
        model = NoiseModel(**given)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no noise model of a detector ({error})") from None
    _check(model, path)
    return model


def _check(model: NoiseModel, path: Path) -> None:
    """Refuse what is no number where one is due, or absurd."""
    for name in ("heat", "hidden", "weak", "border", "border_reach", "picture_px", "least_visible"):
        value = getattr(model, name)
        if not _is_number(value) or not abs(value) < 100 or (name == "border_reach" and value <= 0):
            raise InputError(f"{path}: field {name!r}: expected a number, got {cut(repr(value))}; fit it anew")
    tables: list[tuple[str, Any, float, float, int]]
    tables = [
        ("joints", model.joints, -20, 3, 0),
        ("outliers", model.outliers, 0, 0.9, 0),
        ("bias", model.bias, -1, 1, 2),
    ]
    for name, table, low, high, count in tables:
        if not isinstance(table, Mapping):
            raise InputError(f"{path}: field {name!r}: expected numbers by joint, got {cut(repr(table))}")
        for joint, value in table.items():
            numbers = value if count else [value]
            good = isinstance(numbers, list | tuple) and len(numbers) == (count or 1)
            if not good or not all(_is_number(number) and low <= number <= high for number in numbers):
                said = f"{count} numbers" if count else "a number"
                raise InputError(
                    f"{path}: field {name!r}, joint {joint!r}: expected {said} from {low} to {high}, got "
                    f"{cut(repr(value))}; fit it anew"
                )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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
