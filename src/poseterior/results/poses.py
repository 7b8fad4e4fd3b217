"""Poses as a lifter gave them, and their files: one documented schema in three containers (npz, Parquet, JSON).

Fields, with their shapes; every length is in metres unless px is named:

======================  =============================  =====================================================
name                    shape                          meaning
======================  =============================  =====================================================
``samples``             (poses, samples, joints, 3)    drawn 3D poses, float32
``mean``                (poses, joints, 3)             mean pose, float32
``covariance``          (poses, joints, 3, 3)          covariance of each joint, m², float32
``log_prob``            (poses, samples)               log density of each sample; NaN where none exists
``region_center``       (poses, joints, 3)             centre of each joint's ball
``region_radius``       (poses, joints)                each ball alone holds its joint with probability ``level``
``pose_radius``         (poses, joints)                all balls hold the whole pose with probability ``level``
``keypoints``           (poses, joints, 2)             px as used, x right, y down; NaN where hidden
``keypoint_covariance`` (poses, joints, 2, 2)          px²; NaN where hidden
``visible``             (poses, joints)                bool
``image_size``          (poses, 2)                     width, height in px; NaN where unknown
``intrinsics``          (poses, 4)                     fx, fy, cx, cy in px; NaN where unknown
``root``                (poses, 3)                     mean place of the pelvis before the camera; NaN where unknown
``root_covariance``     (poses, 3, 3)                  its covariance, m²; NaN where unknown
``root_samples``        (poses, samples, 3)            of clips: the pelvis of each sample, a path; else absent
``ground``              (poses, 4)                     of clips: the floor's upward normal in camera axes, and the
                                                       camera's height above it; NaN where unknown; else absent
``file``                (poses,)                       name of the input file
``frame``, ``person``   (poses,)                       0-based integers
======================  =============================  =====================================================

Constants of the whole file: ``level`` (probability of the regions, e.g. 0.9) and ``calibrated`` (whether a
recalibration made their radii right; otherwise they are what the lifter's own samples say), ``joint_names``,
``skeleton``, ``units`` ("metres"), ``axes`` ("x right, y down, z forward (camera)", of several cameras' views
"x right, y down, z forward (world)", whose axes ``settings["world"]`` names), ``origin`` ("pelvis"),
``lifter``, ``seed`` (null if none), ``version`` (of the package that wrote it), ``settings`` (strings, e.g. the camera
assumption) and ``schema``; and ``angle_calibration`` (text: what calibrates intervals of joint angles, a JSON object
of `poseterior.distributions.intervals.AngleRecalibration`; empty if there is none).

The root is known where the intrinsics are and two joints or more are seen; ``mean + root`` is then the pose before the
camera. Clips that were lifted as a whole hold the path of each sample's pelvis, and where it was asked for the floor
(`poseterior.results.ground`). Earlier files lack ``root``, ``root_covariance`` and ``angle_calibration``: the first two
are then made of the samples.

Files of layout 1, which had no regions and no intrinsics, are still read: their regions are those of the samples (of
a normal distribution with the stored covariances where there are none), uncalibrated.

**npz**: one array a name (``file`` is called ``file_name`` there); strings are fixed-width unicode arrays,
``seed`` is an empty array if there is none, ``settings`` is an (n, 2) array of keys and values. Nothing is pickled.

**Parquet**: one row per pose; arrays are fixed-size lists, flattened row-major (C order); ``samples`` and
``log_prob`` are left out if there are none. The schema metadata has one key, ``poseterior``: a JSON object
of the constants and ``shapes``, the shape of one row of each list column, for example
``{"mean": [17, 3]}``. In pandas::

    table = pandas.read_parquet("poses.parquet")
    mean = numpy.stack(table["mean"]).reshape(-1, 17, 3)
    radius = numpy.stack(table["region_radius"])  # (poses, 17), metres
    about = json.loads(pyarrow.parquet.read_schema("poses.parquet").metadata[b"poseterior"])

and in polars ``polars.read_parquet("poses.parquet")["mean"].to_numpy().reshape(-1, 17, 3)``.

**JSON**: one object, the same names; NaN is null; ``samples`` and ``log_prob`` only when asked for.

Rotations are not written: motion files (`RotationResult.save`) are for them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .._version import __version__
from ..files.checks import quote
from ..files.errors import InputError
from ..files.reading import reading
from ..geometry.skeletons import SKELETONS, Skeleton, get_skeleton
from .angles import Angles, angles_of_poses
from .animation import numbered_paths
from .arrays import ARRAYS, CHECKED, array, check_calibration, check_level, check_numbers, check_shapes, strings
from .containers import SUFFIXES, read_fields, write_fields
from .exports import EXPORT_SUFFIXES, export_kind, save_export
from .layout import CONSTANTS, OF_CLIPS, PER_SAMPLE, REGION, ROOT, SCHEMA, arguments_of
from .lifted import AXES, WORLD_AXES
from .provenance import Array, Provenance
from .regions import regions_of
from .roots import absolute_moments, absolute_samples, roots
from .times import ASSUMED_FPS, check_fps

if TYPE_CHECKING:
    from .rotations import RotationResult

__all__ = ["AXES", "ORIGIN", "RESULT_SUFFIXES", "UNITS", "WORLD_AXES", "LiftResult", "load_result", "save_result"]

#: Extensions of result files.
RESULT_SUFFIXES = SUFFIXES
UNITS = "metres"
ORIGIN = "pelvis"

#: Stands for an array that was not given.
_ABSENT: np.ndarray = np.empty(0, np.float32)
#: The setting that names the axes of a world.
_WORLD = "world"
#: Files of joint rotations, which `LiftResult.save` hands to `RotationResult.save`.
_MOTIONS = (".bvh", ".glb", ".usda", ".usdc", ".usdz")


@dataclass(frozen=True, eq=False, kw_only=True)
class LiftResult(Provenance):
    """3D poses as a lifter gave them, with the 2D evidence that they rest on.

    The module's docstring lists the shapes and units. Arrays are converted to the documented dtypes.

    Attributes:
        region_center, region_radius, pose_radius: balls that hold each joint, and wider ones that hold the whole pose,
            with probability ``level`` (`poseterior.distributions.regions.Region`). Where none of the three is given
            they are made of the samples, uncalibrated.
        calibrated: whether a recalibration made the radii right.
        intrinsics: by default unknown.
        root, root_covariance: the pelvis before the camera; by default made of samples, keypoints and intrinsics
            (`poseterior.results.roots.roots`).
        root_samples: of clips, the pelvis of each sample (the k-th samples of all frames are one path); else None.
        ground: of clips whose floor was asked for, the floor (`poseterior.results.ground`); else None.
        angle_calibration: what makes intervals of `angles` right, as `AngleRecalibration.to_json` writes it
            (`poseterior.distributions.intervals`); empty where nothing does.
        rotations: the `RotationResult` that gives these poses, of a lifter that has rotations; else None. Files do
            not keep it.
        solver: what `motion` asks where there are no rotations; set by `poseterior.lift` and `poseterior.load_result`.
        settings: free strings that say what was assumed, e.g. ``{"camera": "field of view 50 degrees"}``.
        seed: the seed of the sampler, None if there was none.

    Raises:
        InputError: a wrong shape or an infinite or missing number; names the field, pose and joint.
    """

    PER_POSE: ClassVar[tuple[str, ...]] = (*ARRAYS, "file", "rotations")

    samples: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    log_prob: np.ndarray
    keypoints: np.ndarray
    keypoint_covariance: np.ndarray
    visible: np.ndarray
    image_size: np.ndarray
    joint_names: tuple[str, ...]
    region_center: np.ndarray = field(default_factory=lambda: _ABSENT)
    region_radius: np.ndarray = field(default_factory=lambda: _ABSENT)
    pose_radius: np.ndarray = field(default_factory=lambda: _ABSENT)
    level: float = 0.9
    calibrated: bool = False
    intrinsics: np.ndarray = field(default_factory=lambda: _ABSENT)
    root: np.ndarray = field(default_factory=lambda: _ABSENT)
    root_covariance: np.ndarray = field(default_factory=lambda: _ABSENT)
    root_samples: np.ndarray | None = None
    ground: np.ndarray | None = None
    angle_calibration: str = field(default="", repr=False)
    rotations: RotationResult | None = None
    solver: Callable[[LiftResult], RotationResult] | None = field(default=None, repr=False)
    skeleton: str = "h36m17"
    version: str = __version__
    units: str = UNITS
    axes: str = AXES
    origin: str = ORIGIN
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        put = object.__setattr__
        if isinstance(self.joint_names, str) or not np.iterable(self.joint_names):
            raise InputError(f"joint_names: expected a list of names, got {quote(self.joint_names)}")
        if not isinstance(self.settings, Mapping):
            raise InputError(f"settings: expected pairs of names and values, got {quote(self.settings)}")
        if self.seed is not None and (not isinstance(self.seed, (int, np.integer)) or self.seed < 0):
            raise InputError(f"seed: expected a whole number from 0, or none; got {quote(self.seed)}")
        check_calibration(self.angle_calibration)
        put(self, "joint_names", tuple(str(name) for name in self.joint_names))
        put(self, "settings", {str(key): str(value) for key, value in self.settings.items()})
        put(self, "seed", None if self.seed is None else int(self.seed))
        for name in ("skeleton", "lifter", "version"):
            put(self, name, str(getattr(self, name)))
        put(self, "file", strings(self.file))
        if self.intrinsics is _ABSENT:
            put(self, "intrinsics", np.full((len(self.file), 4), np.nan))
        absent = [name for name in REGION if getattr(self, name) is _ABSENT]
        rootless = [name for name in ROOT if getattr(self, name) is _ABSENT]
        unknown = [name for name in OF_CLIPS if getattr(self, name) is None]
        given = [name for name in ARRAYS if name not in (*absent, *rootless, *unknown)]
        for name in given:
            put(self, name, array(getattr(self, name), name))
        self._check_constants()
        self._check_region(absent)
        self._check_shapes(given)
        check_numbers({name: getattr(self, name) for name in given}, self.joint_names)
        if len(rootless) == 1:
            raise InputError(f"{rootless[0]}: is missing; give root and root_covariance, or neither")
        own = dict(zip(REGION, regions_of(self), strict=True)) if absent else {}
        own |= self._own_root() if rootless else {}
        for name, value in own.items():
            put(self, name, value)

    def _check_constants(self) -> None:
        if (
            self.axes == AXES and _WORLD in self.settings
        ):  # as files of fused views said before they had axes of their own
            object.__setattr__(self, "axes", WORLD_AXES)
        if self.axes not in (AXES, WORLD_AXES):
            raise InputError(f"axes: expected {AXES!r} or {WORLD_AXES!r}, got {quote(self.axes)}")
        fixed = {"schema": SCHEMA, "units": UNITS, "origin": ORIGIN}
        for name, expected in fixed.items():
            if getattr(self, name) != expected:
                raise InputError(f"{name}: expected {expected!r}, got {quote(getattr(self, name))}")
        if self.skeleton in SKELETONS and self.joint_names != SKELETONS[self.skeleton].joints:
            expected_names = ", ".join(SKELETONS[self.skeleton].joints)
            raise InputError(f"joint_names: skeleton {self.skeleton!r} has the joints {expected_names}")

    def _check_region(self, absent: list[str]) -> None:
        check_level(self.level)
        if not isinstance(self.calibrated, (bool, np.bool_)):
            raise InputError(f"calibrated: expected true or false, got {quote(self.calibrated)}")
        object.__setattr__(self, "level", float(self.level))
        object.__setattr__(self, "calibrated", bool(self.calibrated))
        if absent and len(absent) < len(REGION):
            raise InputError(f"{absent[0]}: is missing; give {', '.join(REGION)}, or none of them")
        if absent and self.calibrated:
            raise InputError(f"calibrated: without {', '.join(REGION)} regions are the samples' own, uncalibrated")

    def _check_shapes(self, names: list[str]) -> None:
        check_shapes({name: getattr(self, name) for name in names}, len(self.file), len(self.joint_names))
        if self.rotations is not None and len(self.rotations) != len(self):
            raise InputError(f"rotations: has {len(self.rotations)} poses; expected {len(self)}")

    def __repr__(self) -> str:
        poses, drawn = self.samples.shape[:2]
        counts = f"{poses} pose{'s' * (poses != 1)}, {drawn} sample{'s' * (drawn != 1)}"
        return f"LiftResult({counts}, {self.skeleton}, lifter={self.lifter!r})"

    @property
    def tree(self) -> Skeleton:
        """The `Skeleton`; joints without bones if the name is not one of ours."""
        if self.skeleton in SKELETONS:
            return get_skeleton(self.skeleton)
        return Skeleton(self.skeleton, self.joint_names, (-1,) * len(self.joint_names))

    # -- regions -------------------------------------------------------------------------------------------

    def region_label(self, what: str = "radius") -> str:
        """What people read beside a radius: its level, and whether it is calibrated.

        >>> result.region_label("radius, mm")  # doctest: +SKIP
        '90 % radius, mm (calibrated)'
        """
        return f"{100 * self.level:g} % {what} ({'' if self.calibrated else 'un'}calibrated)"

    def at_level(self, level: float) -> LiftResult:
        """The same with regions of another level: the samples' own, which no recalibration has made right.

        Calibrated ones of another level need the lifter: `poseterior.lift` with ``level``.

        Raises:
            InputError: a level that is not between 0 and 1.
        """
        check_level(level)
        if level == self.level:
            return self
        return self._uncalibrated(level)

    def _uncalibrated(self, level: float) -> LiftResult:
        return replace(
            self, level=level, calibrated=False, region_center=_ABSENT, region_radius=_ABSENT, pose_radius=_ABSENT
        )

    def sample_radius(self, level: float = 0.9) -> Float[NDArray[np.float32], "poses joints"]:
        """What the samples say by themselves, **uncalibrated**: `region_radius` is what a person should read.

        Radius of the ball around the samples' coordinate-wise median that holds ``level`` of a joint's samples; of a
        normal distribution with the stored covariance where there are no samples (JSON files usually carry none).

        Args:
            level: share of the samples, between 0 and 1.

        Returns:
            (poses, joints), metres.

        Raises:
            InputError: a level that is not between 0 and 1.
        """
        check_level(level)
        return self._uncalibrated(level).region_radius

    def radius(self, level: float = 0.9) -> Float[NDArray[np.float32], "poses joints"]:
        """Deprecated: `sample_radius` under its old name; it was never calibrated."""
        warnings.warn(
            "LiftResult.radius is not calibrated: use region_radius, or sample_radius for what the samples say",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.sample_radius(level)

    @property
    def in_world(self) -> bool:
        """Whether the poses are in a world's axes, as those of several fused views, and not in those of a camera."""
        return self.axes == WORLD_AXES

    # -- the camera's axes ---------------------------------------------------------------------------------

    def _own_root(self) -> dict[str, np.ndarray]:
        if not np.isfinite(self.intrinsics).all(-1).any():  # without importing torch
            return {n: np.full([len(self), *s], np.nan, np.float32) for n, s in zip(ROOT, ([3], [3, 3]), strict=True)}
        return dict(zip(ROOT, roots(self), strict=True))

    def absolute(self) -> tuple[Float[NDArray[np.float32], "poses joints 3"], Float[Array, "poses joints 3 3"]]:
        """Mean and covariance of each joint before the camera, metres and m²; NaN where the root is not known.

        The covariance holds that root and pose vary together; without samples it is NaN.
        """
        return absolute_moments(self)

    def absolute_samples(self) -> Float[NDArray[np.float32], "poses samples joints 3"]:
        """The samples before the camera, each where it explains the keypoints; metres, NaN where that is not known.

        Those of a clip that was lifted as a whole are motions, each on a path of its own.
        """
        return absolute_samples(self)

    def heights(self, level: float = 0.9) -> Float[NDArray[np.float32], "poses 3"]:
        """How tall each person is, metres: mean, and the ends of the central interval of the samples.

        Without samples the mean pose's height, and NaN for the ends.

        Raises:
            InputError: a level that is not between 0 and 1, or another skeleton than h36m17.
        """
        check_level(level)
        import torch

        from ..distributions.bodies import heights

        if self.samples.shape[1] < 2:
            tall = heights(torch.from_numpy(self.mean[None]), self.tree).draws[0].numpy()
            return np.stack([tall, np.full_like(tall, np.nan), np.full_like(tall, np.nan)], -1)
        found = np.empty((len(self), 3), np.float32)
        for start in range(0, len(self), CHECKED):
            rows = slice(start, start + CHECKED)
            measured = heights(torch.from_numpy(np.array(self.samples[rows])).movedim(1, 0), self.tree)
            found[rows] = torch.stack([measured.mean, *measured.interval(level)], -1).numpy()
        return found

    # -- what can be made of it ----------------------------------------------------------------------------

    def angles(self, level: float = 0.9) -> Angles:
        """Joint angles in degrees with their intervals (`poseterior.geometry.angles` says what each angle is).

        Intervals are calibrated where the lifter's were and there are 40 samples or more; else they are the samples'
        own. Without samples the angles are the mean pose's, and the intervals NaN. ``result.motion().angles()`` are
        those of the joint rotations, with ankles.

        Args:
            level: probability of the intervals.

        Raises:
            InputError: a level that is not between 0 and 1 or that the calibration does not reach; another skeleton.
        """
        check_level(level)
        return angles_of_poses(self, self, level)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        samples: bool | None = None,
        half: bool = False,
        fps: float | None = None,
        max_gap: float = 0.5,
        rig: str | Path | Mapping[str, str] | None = None,
    ) -> list[Path]:
        """Write a result file, or a file for another program; the extension chooses which.

        Args:
            path: ``.npz``, ``.parquet`` or ``.json``, which `load_result` reads; ``.csv``, ``.trc``, ``.mot``, ``.c3d``
                or ``.coco.json`` (`poseterior.results.exports`); or a motion file, see `RotationResult.save`. A file
                is replaced only when the new one is complete.
            samples: keep ``samples`` and ``log_prob``; by default all result files but JSON do.
            half: of result files, ``samples`` in two bytes a number instead of four: a coordinate is off by 0.25 mm at
                most within 1 m of the pelvis, by 0.5 mm within 2 m, farther by a 2048th of it. All else stays exact.
            fps: frames per second, for files that hold times; by default what the input told, else 30.
            max_gap: seconds without the person that files which hold times bridge (`poseterior.results.timeline`).
            rig: of a ``.bvh``, whose joints have this rig's names.

        Returns:
            The files written: where a file holds one clip, ``x-1.trc``, ``x-2.trc`` ... for several.

        Raises:
            InputError: another extension, a folder that does not exist or cannot be written to, a library that is
                missing.
        """
        kind = export_kind(path)
        if kind is not None:
            rate = check_fps((self.fps or ASSUMED_FPS) if fps is None else fps)
            return save_export(self, self, kind, Path(path), rate, max_gap)
        if rig is not None or Path(path).suffix.lower() in _MOTIONS:
            return self.motion().save(path, fps=fps, max_gap=max_gap, rig=rig)
        if Path(path).suffix.lower() not in SUFFIXES:
            known = ", ".join((*SUFFIXES, *EXPORT_SUFFIXES, *_MOTIONS))
            raise InputError(f"{path}: unknown extension {Path(path).suffix.lower()!r}; use one of: {known}")
        keep = Path(path).suffix.lower() != ".json" if samples is None else samples
        write_fields(self.fields(keep, half), path)
        return [Path(path)]

    def fields(self, samples: bool = True, half: bool = False) -> dict[str, Any]:
        """What result files hold, by name; arguments as of `save`."""
        found = {name: getattr(self, name) for name in (*CONSTANTS, "angle_calibration", "file", *ARRAYS)}
        found = {name: value for name, value in found.items() if name not in OF_CLIPS or value is not None}
        if not samples:
            found |= {name: found[name][:, :0] for name in PER_SAMPLE if name in found}
        if half:
            found["samples"] = found["samples"].astype(np.float16)
        return found

    def files(self, path: str | os.PathLike[str]) -> list[Path]:
        """The files that `save` writes, by name; of motion files, see `RotationResult.files`."""
        several = export_kind(path) in (".trc", ".c3d", ".mot")
        return numbered_paths(path, len(self.clips()) if several else 1)

    def motion(self) -> RotationResult:
        """The joint rotations that give these poses, ready to be saved: ``result.motion().save("clip.bvh")``.

        Those that the lifter drew, if it has rotations; else those that the shipped lifter ``rotations`` solves for by
        inverse kinematics of the mean poses, as uncertain as their covariances say (`poseterior.solve_ik` has options).

        Raises:
            InputError: neither rotations nor a solver: a result that was not made by `poseterior.lift`.
        """
        if self.rotations is not None:
            return self.rotations
        if self.solver is not None:
            return self.solver(self)
        raise InputError(
            f"this result of lifter {self.lifter!r} holds no rotations; solve for them by inverse kinematics: "
            "poseterior.solve_ik(poseterior.load('rotations'), result).save('clip.bvh')"
        )


# -- files ---------------------------------------------------------------------------------------------


def save_result(result: LiftResult, path: str | os.PathLike[str], *, samples: bool | None = None) -> None:
    """`LiftResult.save`, under its name of 0.1."""
    result.save(path, samples=samples)


def load_result(path: str | os.PathLike[str]) -> LiftResult:
    """Read a result file that `LiftResult.save` wrote; the extension names the container.

    Raises:
        InputError: the file does not exist, is truncated, was not written by poseterior, or has another
            schema version; the message names the file and the field.
    """
    with reading(path, "the file is damaged, lift again"):
        return LiftResult(**arguments_of(read_fields(path)))
