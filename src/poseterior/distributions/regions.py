"""Regions that hold a pose with a given probability, and the factors that make them right.

A region at level q is a ball a joint. Its centre is the coordinate-wise median of samples, its plain radius the
q-quantile of the samples' distances to the centre (at least 1 mm). A `Recalibration` multiplies plain radii so that
the balls hold the truth as often as they say; `poseterior.evaluation.calibrate` fits it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zlib
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.skeletons import Skeleton

__all__ = [
    "CALIBRATION_FILE",
    "CLASSES",
    "FLOOR",
    "MISSING_GROUPS",
    "MOST_SAMPLES",
    "SAMPLES",
    "SEED",
    "SHAPE_LEVEL",
    "Balls",
    "Recalibration",
    "Region",
    "balls",
    "check_level",
    "missing_group",
    "read_recalibration",
    "region_of",
    "seed_for",
]

#: Name of the file beside the weights.
CALIBRATION_FILE = "calibration.json"
#: Samples and seed of a region without recalibration.
SAMPLES, SEED = 200, 0
#: Most samples of a region.
MOST_SAMPLES = 10_000
#: Least distance of a sample in metres, so that a point mass has something to be multiplied.
FLOOR = 1e-3
#: The balls that hold a whole pose have the proportions of the joints' own balls at this level.
SHAPE_LEVEL = 0.9

_FORMAT = "poseterior-calibration-1"
_REMEDY = "make it anew with `poseterior calibrate`"
#: What a joint is to the lifter.
CLASSES = ("visible", "missing")
#: Groups of poses by their number of missing joints: name and least number.
MISSING_GROUPS = {"none missing": 0, "1-4 missing": 1, "5 or more missing": 5}
#: The files of a saved lifter that decide what it answers.
_DECISIVE = ("config.json", "model.safetensors")
#: Metres by which a joint may be outside: rounding must not push the root out of its ball of radius zero.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Region:
    """Where a pose is with a given probability: a ball a joint.

    Attributes:
        level: the probability.
        centre: ``(*batch, joints, 3)`` metres, relative to the root, camera axes.
        radius: ``(*batch, joints)`` metres: each ball alone holds its joint with probability ``level``.
        pose_radius: ``(*batch, joints)`` metres: all balls together hold the pose with probability ``level``.
        calibrated: whether a recalibration made the radii right, for which it needs factors of this level (0.05 to
            0.99 are fitted); otherwise they are the samples' own, times the outermost factor where there is one.
    """

    level: float
    centre: Float[Tensor, "*batch joints 3"]
    radius: Float[Tensor, "*batch joints"]
    pose_radius: Float[Tensor, "*batch joints"]
    calibrated: bool

    def _inside(self, pose: Tensor, radius: Tensor) -> Tensor:
        return (pose - self.centre).norm(dim=-1) <= radius + _ROUNDING

    def contains(self, pose: Float[Tensor, "*samples_batch joints 3"]) -> Bool[Tensor, "*samples_batch joints"]:
        """Whether each joint of a pose (metres, relative to the root) is in its ball; False for NaN."""
        return self._inside(pose, self.radius)

    def contains_pose(
        self, pose: Float[Tensor, "*samples_batch joints 3"], observed: Bool[Tensor, "*batch joints"] | None = None
    ) -> Bool[Tensor, "*samples_batch"]:
        """Whether all joints, or all ``observed`` ones, are in the balls that hold the whole pose."""
        inside = self._inside(pose, self.pose_radius)
        return (inside if observed is None else inside | ~observed).all(-1)


# -- balls of samples ------------------------------------------------------------------------------------------


def quantiles(values: Float[Tensor, "samples *shape"], levels: Sequence[float]) -> Float[Tensor, "levels *shape"]:
    """Linearly interpolated quantiles over the samples. (`torch.quantile` refuses large tensors.)"""
    ordered = values.sort(0).values
    at = torch.tensor(levels, dtype=torch.float64) * (len(values) - 1)
    below = at.floor().long()
    above = (below + 1).clamp(max=len(values) - 1)
    share = (at - below).to(values).reshape(-1, *[1] * (values.ndim - 1))
    return torch.lerp(ordered[below.to(values.device)], ordered[above.to(values.device)], share)


class Balls(NamedTuple):
    """What samples say by themselves.

    Attributes:
        centre: ``(*batch, joints, 3)`` coordinate-wise median, metres.
        radius: ``(levels, *batch, joints)`` plain radii, metres; 0 for the root.
        shape: ``(*batch, joints)`` plain radii at `SHAPE_LEVEL`: those of all balls that hold a whole pose are
            multiples of them, so that larger levels have larger balls.
        pose_scale: ``(levels, *batch)`` which multiple holds that share of the samples whole.
    """

    centre: Tensor
    radius: Tensor
    shape: Tensor
    pose_scale: Tensor


def balls(samples: Float[Tensor, "samples *batch joints 3"], levels: Sequence[float], root: int) -> Balls:
    """The plain balls of samples at some levels."""
    centre = samples.median(0).values
    distance = (samples - centre).norm(dim=-1).clamp(min=FLOOR)
    *radius, shape = quantiles(distance, [*levels, SHAPE_LEVEL])
    relative = distance / shape
    relative[..., root] = 0.0
    scale = quantiles(relative.amax(-1), levels)
    for each in (*radius, shape):
        each[..., root] = 0.0
    return Balls(centre, torch.stack(radius), shape, scale)


def seed_for(xy: Float[Tensor, "*batch joints 2"], seed: int) -> int:
    """Seed of the samples of a region: another one for other keypoints.

    With one seed for all, the luck of a single draw would be in the radii of every pose that is lifted alone.
    """
    return (seed + zlib.crc32(xy.detach().cpu().numpy().tobytes())) % 2**63


def check_level(level: float) -> None:
    """Raises `InputError` for anything but a number between 0 and 1."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
        raise InputError(f"level: expected a probability above 0 and below 1, e.g. 0.9, got {level!r}")


def region_of(
    samples: Float[Tensor, "samples *batch joints 3"],
    skeleton: Skeleton,
    level: float = 0.9,
    recalibration: Recalibration | None = None,
    visible: Bool[Tensor, "*batch joints"] | None = None,
) -> Region:
    """The region of drawn samples; `PoseDistribution.region` draws them itself.

    Args:
        samples: metres, relative to the root; with a recalibration as many as it was fitted with.
        skeleton: their joints.
        level: probability.
        recalibration: makes the radii right; needs ``visible``.
        visible: joints that the lifter saw.

    Raises:
        InputError: a level outside (0, 1), a recalibration of other joints or without ``visible``.
    """
    check_level(level)
    plain = balls(samples, [level], skeleton.root)
    radius, shape, scale = plain.radius[0], plain.shape, plain.pose_scale[0]
    if recalibration is not None:
        if recalibration.joints != skeleton.joints:
            raise InputError(f"the recalibration is for other joints than those of {skeleton.name}")
        if visible is None:
            raise InputError("visible: needed for a recalibrated region, whose radii depend on what was seen")
        radius, shape, scale = recalibration.apply(level, visible, radius, shape, scale)
    right = recalibration is not None and recalibration.levels[0] <= level <= recalibration.levels[-1]
    return Region(level, plain.centre, radius, scale.unsqueeze(-1) * shape, right)


# -- what is fitted --------------------------------------------------------------------------------------------


def missing_group(visible: Tensor) -> Tensor:
    """Index into `MISSING_GROUPS`: ``(*batch, joints)`` to ``(*batch,)``."""
    least = torch.tensor(list(MISSING_GROUPS.values()), device=visible.device)
    return torch.bucketize((~visible).sum(-1), least, right=True) - 1


@dataclasses.dataclass(frozen=True)
class Recalibration:
    """Factors on plain radii that make regions hold the truth as often as they say (see the module).

    Attributes:
        joints: names, in the order of the poses.
        levels: rising; the levels at which there are factors. Between them factors are interpolated linearly, beyond
            them the outermost counts.
        temperature: of ``"visible"`` and of ``"missing"`` joints.
        factor: of ``"visible"`` and ``"missing"``, of each joint, one number a level (1 for the root).
        pose_factor: of poses with none, 1 to 4, 5 or more joints missing, one number a level.
        samples, seed: of the samples that regions are made of.
        poses: number of poses it was fitted on.
        description: of these poses.
        files: sha256 of the files of the lifter that it was fitted for; empty where that was never saved.
    """

    joints: tuple[str, ...]
    levels: tuple[float, ...]
    temperature: dict[str, float]
    factor: dict[str, dict[str, tuple[float, ...]]]
    pose_factor: dict[str, tuple[float, ...]]
    samples: int = SAMPLES
    seed: int = SEED
    poses: int = 0
    description: str = ""
    files: dict[str, str] = dataclasses.field(default_factory=dict)

    def joint_factors(self, level: float, visible: Bool[Tensor, "*batch joints"]) -> Float[Tensor, "*batch joints"]:
        """What plain radii of that level are multiplied by."""
        table = [
            [self.temperature[c] * float(np.interp(level, self.levels, self.factor[c][j])) for j in self.joints]
            for c in CLASSES
        ]
        seen, hidden = torch.tensor(table, dtype=torch.float32, device=visible.device)
        return torch.where(visible, seen, hidden)

    def pose_factors(self, level: float, visible: Bool[Tensor, "*batch joints"]) -> Float[Tensor, "*batch"]:
        """What the multiple that holds that share of the samples whole is multiplied by, to hold that of truths."""
        table = [float(np.interp(level, self.levels, self.pose_factor[group])) for group in MISSING_GROUPS]
        return torch.tensor(table, dtype=torch.float32, device=visible.device)[missing_group(visible)]

    def apply(
        self, level: float, visible: Tensor, radius: Tensor, shape: Tensor, scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Plain radii of a level, the shape, and the multiple that holds a pose (see `Balls`), made right."""
        return (
            radius * self.joint_factors(level, visible),
            shape * self.joint_factors(SHAPE_LEVEL, visible),
            scale * self.pose_factors(level, visible),
        )

    def temperature_only(self) -> Recalibration:
        """The same with factors of 1: what the temperatures do alone."""
        ones = (1.0,) * len(self.levels)
        return dataclasses.replace(
            self,
            factor={c: dict.fromkeys(self.joints, ones) for c in CLASSES},
            pose_factor=dict.fromkeys(MISSING_GROUPS, ones),
        )

    # -- files ---------------------------------------------------------------------------------------------

    def for_lifter(self, folder: Path) -> Recalibration:
        """The same, for the lifter saved in that folder."""
        return dataclasses.replace(self, files=_hashes(folder))

    def to_json(self) -> str:
        """One object: the attributes and ``format``; numbers with 4 digits."""
        return json.dumps({"format": _FORMAT} | dataclasses.asdict(self), separators=(",", ":")) + "\n"

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
        if not isinstance(saved, dict) or saved.get("format") != _FORMAT:
            raise InputError(f"{source}: not a file of format {_FORMAT!r}; {_REMEDY}")
        read = _Fields(source)
        joints = read.texts(saved.get("joints"), "joints")
        levels = read.levels(saved.get("levels"))
        temperature = read.named(saved.get("temperature"), "temperature", CLASSES)
        factor = read.named(saved.get("factor"), "factor", CLASSES)
        rows = {c: read.named(factor[c], f"factor.{c}", joints) for c in CLASSES}
        pose_factor = read.named(saved.get("pose_factor"), "pose_factor", tuple(MISSING_GROUPS))
        files = saved.get("files")
        return cls(
            joints=joints,
            levels=levels,
            temperature={c: read.factors([temperature[c]], f"temperature.{c}", 1)[0] for c in CLASSES},
            factor={c: {j: read.factors(rows[c][j], f"factor.{c}.{j}", len(levels)) for j in joints} for c in CLASSES},
            pose_factor={g: read.factors(pose_factor[g], f"pose_factor.{g}", len(levels)) for g in MISSING_GROUPS},
            samples=read.whole(saved.get("samples"), "samples", 2, MOST_SAMPLES),
            seed=read.whole(saved.get("seed"), "seed", 0, 2**63 - 1),
            poses=read.whole(saved.get("poses"), "poses", 0, 10**12),
            description=read.texts([saved.get("description")], "description")[0],
            files={} if files == {} else read.named(files, "files", _DECISIVE),
        )


@dataclasses.dataclass(frozen=True)
class _Fields:
    """Checks the fields of a JSON file; each method raises `InputError` that names the file and the field."""

    source: str

    def refuse(self, field: str, expected: str) -> InputError:
        return InputError(f"{self.source}: field {field!r}: expected {expected}; {_REMEDY}")

    def texts(self, values: Any, field: str) -> tuple[str, ...]:
        if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
            raise self.refuse(field, "text")
        return tuple(values)

    def whole(self, value: Any, field: str, least: int, most: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.refuse(field, f"a whole number from {least} to {most}")
        return value

    def factors(self, values: Any, field: str, count: int) -> tuple[float, ...]:
        if not isinstance(values, list) or len(values) != count or not all(_is_number(v, 1e9) for v in values):
            raise self.refuse(field, f"numbers above 0, {count} of them")
        return tuple(float(v) for v in values)

    def levels(self, values: Any) -> tuple[float, ...]:
        if not isinstance(values, list) or not values or not all(_is_number(v, 1.0) for v in values):
            raise self.refuse("levels", "numbers above 0 and below 1")
        if values != sorted(set(values)):
            raise self.refuse("levels", "rising numbers")
        return tuple(float(v) for v in values)

    def named(self, values: Any, field: str, names: Sequence[str]) -> dict[str, Any]:
        if not isinstance(values, dict) or set(values) != set(names):
            raise self.refuse(field, f"an entry for each of {', '.join(names)}")
        return values


def _is_number(value: Any, below: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < below


def _hashes(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _DECISIVE}


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
