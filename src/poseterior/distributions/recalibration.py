"""The recalibration that makes regions hold a pose as often as they say, and its file beside the weights.

A `Recalibration`, fitted by `poseterior.evaluation.calibrate`, makes radii of plain ones
(`poseterior.distributions.balls`)::

    spread      = scale * 0.1 m * (r / 0.1 m) ** exponent        r: the joint's plain radius at level 0.9
    radius      = spread * factor(q)
    pose_radius = max(spread * pose_factor(q), radius)

``scale``, ``exponent`` and the table ``factor`` belong to the joint, seen or missing; ``pose_factor`` to poses with
none, few or many joints missing. Neither table falls, so that **regions of one pose are nested**, to the last bit.

**Guarantee.** On new poses drawn as those it was fitted on, the ball at a level q of the table holds its joint with
probability q to q + 1 / (n + 1), n the number of poses that the row was fitted on, whatever the lifter (split conformal
prediction: Papadopoulos et al. 2002; Lei et al. 2018); at a level between two of the table with a probability between
theirs. All balls of a pose together hold it with probability q or more. Such a row exists where
``ceil((n + 1) q) <= n``; levels above the last of the table (`Recalibration.highest`) are refused.

**Why this map.** Fitted on half of the clips of one store and measured on the others (10,000 poses each), beside one
factor per level on the plain radius of that level, which is not nested: the mean radius at levels 0.9 / 0.95 / 0.99
is 2.1 / 2.1 / 2.5 % smaller for ``mdn``, 0.9 / 0.3 / -0.6 % for ``flow``, 0.2 / 0.5 / 6.1 % for ``unsupervised``,
16.6 / 17.9 / 16.2 % for ``relative``; at 0.5 equal within 1.5 % (``relative``: 5.3 % smaller). Poses with small and
with large spreads are covered more alike: the root mean square of coverage - 0.9, over joints and thirds by the
lifter's own radius, is 0.018 (was 0.033), 0.018 (0.022), 0.018 (0.024), 0.027 (0.106); at 0.5 a little less alike,
0.038 (0.030) for ``mdn``. Other nested maps had larger radii at 0.99: plain radii at a level g(q), and beyond the
farthest sample multiples of it, by 2.4 % for ``mdn``, 6 % for ``unsupervised`` and 19 % for ``relative``; the spread
without an exponent by 5, 1 and 49 %. With the exponent, plain radii at g(q) for the levels below 0.9 gained nothing.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.checks import cut
from ..files.errors import InputError
from ..files.reading import reading
from .balls import MOST_SAMPLES, SAMPLES, SEED, check_level
from .intervals import AngleRecalibration

__all__ = [
    "CALIBRATION_FILE",
    "CLASSES",
    "LEVELS",
    "MISSING_GROUPS",
    "Recalibration",
    "missing_group",
    "read_recalibration",
    "spread_of",
    "stretched",
]

#: Name of the file beside the weights.
CALIBRATION_FILE = "calibration.json"
#: Levels at which recalibrations are fitted, as far as their poses suffice; those between are interpolated.
LEVELS = (*(round(0.05 * i, 2) for i in range(1, 20)), 0.96, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999)
_FORMAT = "poseterior-calibration-2"
_OLD_FORMAT = "poseterior-calibration-1"
_REMEDY = "make it anew with `poseterior calibrate`"
#: What a joint is to the lifter.
CLASSES = ("visible", "missing")
#: Groups of poses by their number of missing joints: name and least number.
MISSING_GROUPS = {"none missing": 0, "1-4 missing": 1, "5 or more missing": 5}
#: The files of a saved lifter that decide what it answers; the last one need not be there.
_DECISIVE = ("config.json", "model.safetensors", "evidence.json")
#: A plain radius in metres whose spread is ``scale`` times itself whatever the exponent.
_TYPICAL = 0.1
#: Largest exponent.
_STEEPEST = 4.0


def missing_group(visible: Tensor) -> Tensor:
    """Index into `MISSING_GROUPS`: ``(*batch, joints)`` to ``(*batch,)``."""
    least = torch.tensor(list(MISSING_GROUPS.values()), device=visible.device)
    return torch.bucketize((~visible).sum(-1), least, right=True) - 1


def _by_class(rows: dict[str, dict[str, float]], visible: Tensor) -> Tensor:
    """A number per class and joint, for the class of each joint: ``(*batch, joints)``."""
    seen, hidden = torch.tensor([list(rows[c].values()) for c in CLASSES], device=visible.device)
    return torch.where(visible, seen, hidden)


def stretched(radius: Float[Tensor, "*shape"], exponent: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """``0.1 m * (radius / 0.1 m) ** exponent``; 0 where the radius is 0."""
    # This way the exponent 1 changes no bit.
    return torch.where(radius > 0, radius * (radius / _TYPICAL).pow(exponent - 1.0), 0.0)


def spread_of(
    scale: dict[str, dict[str, float]],
    exponent: dict[str, dict[str, float]],
    visible: Bool[Tensor, "*batch joints"],
    radius: Float[Tensor, "*batch joints"],
) -> Float[Tensor, "*batch joints"]:
    """How far the truth may be, in metres; 0 where the radius is 0.

    Args:
        scale, exponent: as of a `Recalibration`, with the joints in the order of ``radius``.
        visible: joints that the lifter saw.
        radius: plain radii at `SPREAD_LEVEL`, metres.
    """
    return _by_class(scale, visible) * stretched(radius, _by_class(exponent, visible))


@dataclasses.dataclass(frozen=True)
class Recalibration:
    """What makes regions hold the truth as often as they say (see the module).

    Attributes:
        joints: names, in the order of the poses.
        levels: rising; the levels of the tables. Between them tables are interpolated linearly; below the first the
            first counts (such balls hold more than they say), above the last there is no guarantee and no region.
        scale: of ``"visible"`` and ``"missing"`` joints, by name: a joint whose plain radius at `SPREAD_LEVEL` is 0.1 m
            has a spread of ``scale`` times 0.1 m. 1 for a lifter whose samples are right.
        exponent: likewise: how far the spread follows the plain radius from pose to pose. 1: in proportion; 0: not at
            all, the lifter does not know which of its answers are good.
        factor: likewise: one multiple of the spread per level, never falling; about 1 at level 0.9.
        pose_factor: of poses with none, 1 to 4, 5 or more joints missing: likewise, for all balls of a pose together.
        samples: that regions are made of; 0: none, where `PoseDistribution.closed_balls` knows what they tend to.
        seed: of the samples.
        poses: number of poses it was fitted on.
        description: of these poses.
        files: sha256 of the files of the lifter that it was fitted for; empty where that was never saved.
        angles: the same for intervals of joint angles; None where they were not fitted.
    """

    joints: tuple[str, ...]
    levels: tuple[float, ...]
    scale: dict[str, dict[str, float]]
    exponent: dict[str, dict[str, float]]
    factor: dict[str, dict[str, tuple[float, ...]]]
    pose_factor: dict[str, tuple[float, ...]]
    samples: int = SAMPLES
    seed: int = SEED
    poses: int = 0
    description: str = ""
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    angles: AngleRecalibration | None = None

    @property
    def draws(self) -> int:
        """How many samples a region is made of that has to be drawn."""
        return self.samples or SAMPLES

    @property
    def highest(self) -> float:
        """The largest level that regions have."""
        return self.levels[-1]

    def radii(
        self, level: float, visible: Bool[Tensor, "*batch joints"], radius: Float[Tensor, "*batch joints"]
    ) -> tuple[Float[Tensor, "*batch joints"], Float[Tensor, "*batch joints"]]:
        """Radii that hold each joint, and radii that hold the whole pose, with that probability; metres.

        Args:
            level: probability, at most `highest`.
            visible: joints that the lifter saw.
            radius: plain radii at `SPREAD_LEVEL`, metres (`Balls.shape`).

        Raises:
            InputError: a level outside (0, 1) or above `highest`.
        """
        check_level(level)
        if level > self.highest:
            more = (
                "" if self.highest >= LEVELS[-1] else ", or calibrate it on more poses (`poseterior calibrate --poses`)"
            )
            raise InputError(
                f"level {level:g}: the regions of this lifter are calibrated for levels up to {self.highest:g}; "
                f"ask for one of these{more}"
            )
        spread = spread_of(self.scale, self.exponent, visible, radius)
        table = {c: {j: self._at(level, row) for j, row in self.factor[c].items()} for c in CLASSES}
        single = spread * _by_class(table, visible)
        groups = [self._at(level, self.pose_factor[group]) for group in MISSING_GROUPS]
        factor = torch.tensor(groups, dtype=spread.dtype, device=spread.device)[missing_group(visible)]
        # All balls together cannot hold more than one of them alone.
        return single, torch.maximum(spread * factor.unsqueeze(-1), single)

    def _at(self, level: float, row: Sequence[float]) -> float:
        """A table at a level; rounding cannot make it fall."""
        above = bisect.bisect_left(self.levels, level)
        if above == 0:
            return row[0]
        below = above - 1
        slope = (row[above] - row[below]) / (self.levels[above] - self.levels[below])
        return min(row[below] + slope * (level - self.levels[below]), row[above])

    # -- files ---------------------------------------------------------------------------------------------

    def for_lifter(self, folder: Path) -> Recalibration:
        """The same, for the lifter saved in that folder."""
        return dataclasses.replace(self, files=_hashes(folder))

    def to_json(self) -> str:
        """One object: the attributes and ``format``; numbers with 4 digits."""
        fields = dataclasses.asdict(self)
        if self.angles is None:
            del fields["angles"]
        return json.dumps({"format": _FORMAT} | fields, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = CALIBRATION_FILE) -> Recalibration:
        """Read what `to_json` wrote.

        Raises:
            InputError: not JSON, another format, or a field that is missing or wrong; names ``source`` and field.
        """
        try:
            saved = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{source}: not readable as JSON ({error}); {_REMEDY}") from None
        if isinstance(saved, dict) and saved.get("format") == _OLD_FORMAT:
            raise InputError(
                f"{source}: written by version 0.1, whose regions of different levels were not nested; {_REMEDY}"
            )
        if not isinstance(saved, dict) or saved.get("format") != _FORMAT:
            raise InputError(f"{source}: not a file of format {_FORMAT!r}; {_REMEDY}")
        read = _Fields(source)
        joints = read.texts(saved.get("joints"), "joints")
        levels = read.levels(saved.get("levels"))
        pose_factor = read.named(saved.get("pose_factor"), "pose_factor", tuple(MISSING_GROUPS))
        files = saved.get("files")
        scale, exponent, factor = (read.by_class(saved.get(f), f, joints) for f in ("scale", "exponent", "factor"))
        count = len(levels)
        return cls(
            joints=joints,
            levels=levels,
            scale={c: {j: read.number(v, f"scale.{c}.{j}", 1e-9, 1e9) for j, v in scale[c].items()} for c in CLASSES},
            exponent={
                c: {j: read.number(v, f"exponent.{c}.{j}", 0.0, _STEEPEST) for j, v in exponent[c].items()}
                for c in CLASSES
            },
            factor={c: {j: read.rising(v, f"factor.{c}.{j}", count) for j, v in factor[c].items()} for c in CLASSES},
            pose_factor={g: read.rising(pose_factor[g], f"pose_factor.{g}", count) for g in MISSING_GROUPS},
            samples=read.whole(saved.get("samples"), "samples", 2, MOST_SAMPLES, 0),
            seed=read.whole(saved.get("seed"), "seed", 0, 2**63 - 1),
            poses=read.whole(saved.get("poses"), "poses", 0, 10**12),
            description=read.texts([saved.get("description")], "description")[0],
            files={} if files == {} else read.decisive(files),
            angles=AngleRecalibration.from_fields(saved["angles"], f"{source}: angles") if "angles" in saved else None,
        )


@dataclasses.dataclass(frozen=True)
class _Fields:
    """Checks the fields of a JSON file; each method raises `InputError` that names the file and the field."""

    source: str

    def refuse(self, field: str, expected: str) -> InputError:
        return InputError(f"{self.source}: field {field!r}: expected {cut(expected)}; {_REMEDY}")

    def texts(self, values: Any, field: str) -> tuple[str, ...]:
        if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
            raise self.refuse(field, "text")
        return tuple(values)

    def whole(self, value: Any, field: str, least: int, most: int, none: int | None = None) -> int:
        """A whole number of a range, or the one that stands for none."""
        known = isinstance(value, int) and not isinstance(value, bool)
        if not known or not (least <= value <= most or value == none):
            other = "" if none is None else f", or {none}"
            raise self.refuse(field, f"a whole number from {least} to {most}{other}")
        return int(value)

    def number(self, value: Any, field: str, least: float, most: float) -> float:
        if not _is_number(value) or not least <= value <= most:
            raise self.refuse(field, f"a number from {least:g} to {most:g}")
        return float(value)

    def rising(self, values: Any, field: str, count: int) -> tuple[float, ...]:
        """A row of a table."""
        if (
            not isinstance(values, list)
            or len(values) != count
            or not all(_is_number(v) and 0 < v < 1e9 for v in values)
        ):
            raise self.refuse(field, f"numbers above 0, {count} of them")
        if values != sorted(values):
            raise self.refuse(field, "numbers that do not fall")
        return tuple(float(v) for v in values)

    def by_class(self, values: Any, field: str, joints: Sequence[str]) -> dict[str, dict[str, Any]]:
        """An entry for each joint, in their order, seen and missing."""
        rows = self.named(values, field, CLASSES)
        found = {c: self.named(rows[c], f"{field}.{c}", joints) for c in CLASSES}
        return {c: {j: found[c][j] for j in joints} for c in CLASSES}

    def levels(self, values: Any) -> tuple[float, ...]:
        if not isinstance(values, list) or not values or not all(_is_number(v) and 0 < v < 1 for v in values):
            raise self.refuse("levels", "numbers above 0 and below 1")
        if values != sorted(set(values)):
            raise self.refuse("levels", "rising numbers")
        return tuple(float(v) for v in values)

    def decisive(self, values: Any) -> dict[str, Any]:
        """Hashes of the files of a saved lifter."""
        needed = [name for name in _DECISIVE if name != _DECISIVE[-1] or (isinstance(values, dict) and name in values)]
        return self.named(values, "files", needed)

    def named(self, values: Any, field: str, names: Sequence[str]) -> dict[str, Any]:
        if not isinstance(values, dict) or set(values) != set(names):
            raise self.refuse(field, f"an entry for each of {', '.join(names)}")
        return values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _hashes(folder: Path) -> dict[str, str]:
    present = (name for name in _DECISIVE if name != _DECISIVE[-1] or (folder / name).is_file())
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in present}


def read_recalibration(folder: Path, joints: tuple[str, ...]) -> Recalibration | None:
    """The recalibration in the folder of a saved lifter; None if there is none.

    Args:
        folder: holds ``config.json``, ``model.safetensors`` and perhaps ``calibration.json``.
        joints: of the lifter's poses.

    Raises:
        InputError: a broken file, or one that was made for another lifter or other weights.
    """
    path = folder / CALIBRATION_FILE
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable ({error}); {_REMEDY}") from None
    with reading(path, _REMEDY):
        found = Recalibration.from_json(text, str(path))
    for name, now in _hashes(folder).items():
        if found.files.get(name) != now:
            raise InputError(
                f"{path}: belongs to another {name} than the one beside it; "
                f"delete it, then make it anew with `poseterior calibrate {folder} --data STORE`"
            )
    if found.joints != joints:
        raise InputError(f"{path}: field 'joints': expected {', '.join(joints)}; delete the file and make it anew")
    return found
