"""Joint angles of a result, each with an interval: degrees, conventions in `poseterior.geometry.angles`."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ..files.checks import quote
from ..files.errors import InputError
from ..files.writing import atomic_write
from .provenance import Array, Provenance
from .times import ASSUMED_FPS, check_fps, clip_numbers, seconds

if TYPE_CHECKING:
    from torch import Tensor

    from ..distributions.intervals import AngleRecalibration
    from ..geometry.skeletons import Skeleton

__all__ = ["Angles", "angles_of_poses", "intervals_of"]

_log = logging.getLogger(__name__)
#: Poses at a time.
_CHUNK = 256

_COLUMNS = (
    "clip", "file", "frame", "time", "person", "angle", "degrees", "lower", "upper", "level", "calibrated", "seen",
)  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class Angles(Provenance):
    """Angles of poses.

    Attributes:
        names: of the angles, e.g. ``"left_knee_flexion"``; `poseterior.geometry.angles` says what each is.
        degrees: ``(poses, angles)`` circular median of the samples; NaN where an angle has no meaning.
        lower, upper: ``(poses, angles)`` the interval that holds the angle with probability ``level``. Angles that go
            round have bounds below -180 or above 180 where the interval does; NaN where there are no samples.
        seen: ``(poses, angles)`` whether all joints that tell the angle were seen.
        level: probability of the intervals.
        calibrated: whether a recalibration made the intervals right; otherwise they are the samples' own.
    """

    PER_POSE: ClassVar[tuple[str, ...]] = ("degrees", "lower", "upper", "seen", "file", "frame", "person")

    names: tuple[str, ...]
    degrees: Float[NDArray[np.float64], "poses angles"]
    lower: Float[NDArray[np.float64], "poses angles"]
    upper: Float[NDArray[np.float64], "poses angles"]
    seen: Bool[Array, "poses angles"]
    level: float
    calibrated: bool

    def __repr__(self) -> str:
        poses = f"{len(self)} pose{'s' * (len(self) != 1)}"
        return f"Angles({poses}, {len(self.names)} angles, {self.label('intervals')})"

    def label(self, what: str) -> str:
        """What people read beside an interval, e.g. ``"90 % intervals (calibrated)"``, or that there is none."""
        if np.isfinite(self.degrees).any() and not np.isfinite(self.lower).any():
            return f"no {what} (there are no samples)"
        return f"{100 * self.level:g} % {what} ({'' if self.calibrated else 'un'}calibrated)"

    def index(self, name: str) -> int:
        """The column of an angle.

        Raises:
            InputError: no such angle; the message lists those there are.
        """
        if name not in self.names:
            raise InputError(f"angle {quote(name)}: expected one of {', '.join(self.names)}")
        return self.names.index(name)

    def only(self, names: Sequence[str]) -> Angles:
        """Some of the angles, in the order given.

        Raises:
            InputError: as `index`.
        """
        columns = [self.index(name) for name in names]
        arrays = {name: getattr(self, name)[:, columns] for name in ("degrees", "lower", "upper", "seen")}
        kept = {name: getattr(self, name) for name in ("file", "frame", "person", "lifter", "seed", "settings")}
        return Angles(names=tuple(names), level=self.level, calibrated=self.calibrated, **arrays, **kept)

    def save(self, path: str | os.PathLike[str], fps: float | None = None) -> None:
        """Write a table: a row per pose and angle, degrees; empty cells where a number is not known.

        Columns: clip (from 1), file, frame, time (seconds), person, angle, degrees, lower, upper, level, calibrated,
        seen.

        Args:
            path: ``.csv``. The file is replaced only when the new one is complete.
            fps: frames per second, for the times; by default what the input told, else 30.

        Raises:
            InputError: another extension, a rate that is not positive, a path that cannot be written to.
        """
        if Path(path).suffix.lower() != ".csv":
            raise InputError(f"{path}: unknown extension {Path(path).suffix!r}; angles are written as .csv")
        fps = check_fps((self.fps or ASSUMED_FPS) if fps is None else fps)
        clip = clip_numbers(self)
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(_COLUMNS)
        for row in np.lexsort((self.frame, clip)):
            time = f"{seconds(self.frame[row], fps):.6g}"
            about = (clip[row], self.file[row], self.frame[row], time, self.person[row])
            for column, name in enumerate(self.names):
                numbers = (_cell(values[row, column]) for values in (self.degrees, self.lower, self.upper))
                seen = str(bool(self.seen[row, column])).lower()
                table.writerow((*about, name, *numbers, self.level, str(self.calibrated).lower(), seen))
        with atomic_write(path) as file:
            file.write(text.getvalue().encode())


def _cell(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else ""


def intervals_of(
    samples: Tensor,
    names: Sequence[str],
    seen: Tensor,
    level: float,
    recalibration: AngleRecalibration | None,
) -> tuple[Array, Array, Array, bool]:
    """Centre and bounds of sampled angles.

    Args:
        samples: ``(samples, poses, angles)`` degrees.
        names: of the angles.
        seen: ``(poses, angles)`` bool.
        level: probability.
        recalibration: makes the intervals right; None for the samples' own.

    Returns:
        Degrees, lower, upper ``(poses, angles)`` and whether they are calibrated.
    """
    import torch

    from ..distributions.intervals import FEWEST_SAMPLES, spread_of_angles
    from ..geometry.angles import RANGES

    if recalibration is not None and len(samples) >= FEWEST_SAMPLES:
        spread, calibrated = spread_of_angles(samples), True
        factor = recalibration.factors(level, seen, names)
    else:
        spread, calibrated = spread_of_angles(samples, level), False
        factor = torch.ones_like(spread.centre)
    centre = spread.centre
    lower = centre - (spread.below * factor).clamp(max=180.0)
    upper = centre + (spread.above * factor).clamp(max=180.0)
    for column, name in enumerate(names):
        if name in RANGES:
            lower[:, column] = lower[:, column].clamp(*RANGES[name])
            upper[:, column] = upper[:, column].clamp(*RANGES[name])
    return centre.numpy(), lower.numpy(), upper.numpy(), calibrated


class _Sampled(Protocol):
    """What is used of a `poseterior.results.poses.LiftResult`."""

    @property
    def samples(self) -> Array: ...
    @property
    def mean(self) -> Array: ...
    @property
    def visible(self) -> Array: ...
    @property
    def angle_calibration(self) -> str: ...
    @property
    def tree(self) -> Skeleton: ...


def angles_of_poses(result: _Sampled, about: Provenance, level: float) -> Angles:
    """What `poseterior.results.poses.LiftResult.angles` returns.

    Args:
        result: the poses.
        about: the same result: where its poses come from.
        level: probability of the intervals.
    """
    import torch

    from ..distributions.intervals import AngleRecalibration
    from ..geometry.angles import POINT_ANGLES, angles_of_points, told_by

    text = result.angle_calibration
    recalibration = AngleRecalibration.from_json(text) if text else None
    seen = told_by(torch.from_numpy(np.array(result.visible)), result.tree)
    drawn = result.samples.shape[1]
    if not drawn:
        degrees = angles_of_points(torch.from_numpy(np.array(result.mean)), result.tree).numpy()
        unknown = np.full_like(degrees, np.nan)
        found = [(degrees, unknown, unknown, False)]
        files = list(dict.fromkeys(about.file.tolist())) or ["result"]
        one = len(files) == 1
        _log.warning(
            "%s, so that %s angles have no intervals; lift again to .parquet or .npz, with --samples above 0",
            f"{files[0]}: holds no samples" if one else f"{files[0]} and {len(files) - 1} more: hold no samples",
            "its" if one else "their",
        )
    else:
        parts = [slice(start, start + _CHUNK) for start in range(0, max(len(about), 1), _CHUNK)]
        found = [
            intervals_of(
                angles_of_points(torch.from_numpy(np.array(result.samples[rows])).transpose(0, 1), result.tree),
                POINT_ANGLES, seen[rows], level, recalibration,
            )
            for rows in parts
        ]  # fmt: skip
    degrees, lower, upper = (np.concatenate([part[i] for part in found]) for i in range(3))
    return Angles(
        names=POINT_ANGLES, degrees=degrees, lower=lower, upper=upper, seen=seen.numpy(), level=level,
        calibrated=found[0][3], file=about.file, frame=about.frame, person=about.person, lifter=about.lifter,
        seed=about.seed, settings=about.settings,
    )  # fmt: skip
