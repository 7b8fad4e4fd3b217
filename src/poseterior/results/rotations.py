"""Rotations as a lifter gave them: samples per pose, one body per clip; hypotheses chosen of them, and motion files.

Quaternions are xyzw, of the smpl22 joints, relative to the parent; the pelvis' is in the result's axes. Log-densities
are nats above uniform (normalised Haar measure of each modelled joint).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..distributions.clustering import cluster
from ..files.errors import InputError
from ..files.writing import check_writable
from ..geometry.body import SMPL25, body_points
from ..geometry.quaternions import rotation_matrices, unit_quaternions
from ..geometry.skeletons import SKELETONS
from ..registry import lazy_module
from .animation import Animation, numbered_paths, save_animation
from .ground import upright_axes
from .hypotheses import CHOICES, PATH_SAMPLES, settled, smoothest
from .provenance import Array, Provenance
from .rigs import get_rig
from .timeline import (
    MAX_GAP,
    Segment,
    blend,
    blend_quaternions,
    gap_line,
    timeline,
    widening,
)
from .times import ASSUMED_FPS

if TYPE_CHECKING:
    from .angles import Angles

#: Imported when it is first used: it loads the whole of PyTorch's compiler.
roma = lazy_module("roma")

__all__ = [
    "MOTION_SUFFIXES",
    "Axes",
    "RotationResult",
    "matrices",
    "quaternions",
]

Axes = Literal["y up", "camera"]

_LOG = logging.getLogger(__name__)

#: What `RotationResult.save` writes.
MOTION_SUFFIXES = (".bvh", ".glb", ".npz", ".usda", ".usdc", ".usdz", ".mot")
_SMPL = SKELETONS["smpl22"]
#: Metres: a joint that is off by this at the end of a bone turns it by a radian.
_BONE = 0.3
#: Poses at a time whose samples' points are held.
_CHUNK = 64


@dataclass(frozen=True, eq=False, kw_only=True)
class RotationResult(Provenance):
    """Rotations as a lifter gave them: samples per pose, and one body for all poses of a clip.

    Attributes:
        rotations: ``(poses, samples, 22, 4)`` float32, unit quaternions xyzw relative to the parent; the pelvis' in
            ``axes``.
        log_prob: ``(poses, samples)`` of the samples, nats above uniform; NaN where they have no density.
        mean: ``(poses, 22, 4)`` the chordal mean of each joint's samples.
        spread: ``(poses, 22)`` radians: root mean square angle of the samples from that mean.
        offsets: ``(poses, 25, 3)`` metres: rest body (`poseterior.geometry.body.SMPL25`), the same for all poses of a
            clip.
        root: ``(poses, 3)`` metres: place of the pelvis in ``axes``; zeros where unknown.
        axes: ``"camera"`` (x right, y down, z forward) or ``"y up"``.
        modelled: names of the joints that have a density; the others are at the identity.
        mode: ``(poses, 22, 4)`` rotations of highest density, where they were asked for.
        joint_names: smpl22's.

    Raises:
        InputError: an array of another shape, or unknown axes.
    """

    PER_POSE: ClassVar[tuple[str, ...]] = (
        "rotations", "log_prob", "mean", "spread", "offsets", "root", "file", "frame", "person", "mode",
    )  # fmt: skip

    rotations: Array
    log_prob: Array
    mean: Array
    spread: Array
    offsets: Array
    root: Array
    axes: Axes
    modelled: tuple[str, ...]
    mode: Array | None = None
    joint_names: tuple[str, ...] = _SMPL.joints

    def __post_init__(self) -> None:
        poses, samples = self.rotations.shape[:2]
        shapes = {
            "rotations": (poses, samples, 22, 4), "log_prob": (poses, samples), "mean": (poses, 22, 4),
            "spread": (poses, 22), "offsets": (poses, len(SMPL25), 3), "root": (poses, 3), "file": (poses,),
            "frame": (poses,), "person": (poses,),
        }  # fmt: skip
        for name, expected in shapes.items():
            if getattr(self, name).shape != expected:
                raise InputError(f"{name} has shape {getattr(self, name).shape}; expected {expected}")
        if self.mode is not None and self.mode.shape != self.mean.shape:
            raise InputError(f"mode has shape {self.mode.shape}; expected {self.mean.shape}")
        if self.axes not in ("y up", "camera"):
            raise InputError(f"axes is {self.axes!r}; expected 'y up' or 'camera'")

    def __repr__(self) -> str:
        poses, drawn = self.rotations.shape[:2]
        counts = f"{poses} pose{'s' * (poses != 1)}, {drawn} sample{'s' * (drawn != 1)}"
        return f"RotationResult({counts}, {self.axes}, lifter={self.lifter!r})"

    def in_axes(self, axes: Axes) -> RotationResult:
        """The same with the pelvis in other axes: camera axes and y up differ by half a turn about x."""
        if axes == self.axes:
            return self
        turned: dict[str, Any] = {name: _half_turn(getattr(self, name)) for name in ("rotations", "mean")}
        mode = None if self.mode is None else _half_turn(self.mode)
        return replace(self, axes=axes, root=self.root * np.array([1, -1, -1], np.float32), mode=mode, **turned)

    def on_ground(self, ground: Float[Array, "poses 4"]) -> RotationResult:
        """The same with y up from the floor, which is at ``y = 0``; see `poseterior.results.ground`."""
        camera = self.in_axes("camera")
        turn, raised = upright_axes(ground)
        turned: dict[str, Any] = {}
        for name in ("rotations", "mean", "mode"):
            value = getattr(camera, name)
            if value is not None:
                turned[name] = value = value.copy()
                by = roma.rotmat_to_unitquat(torch.from_numpy(turn)).reshape(-1, *[1] * (value.ndim - 3), 4)
                own = torch.from_numpy(value[..., 0, :]).double()
                value[..., 0, :] = roma.quat_product(by.expand_as(own), own).numpy()
        root = (turn @ camera.root[..., None])[..., 0] + raised
        return replace(camera, axes="y up", root=root.astype(np.float32), **turned)

    def points(self, quaternions: Float[NDArray[np.float32], "poses k 22 4"]) -> Float[Tensor, "poses k 25 3"]:
        """The SMPL25 points of hypotheses of each pose, metres in ``axes``, at the root's place."""
        offsets = torch.from_numpy(self.offsets)[:, None]
        points, _ = body_points(matrices(quaternions), offsets.expand(*quaternions.shape[:2], -1, -1))
        return points + torch.from_numpy(self.root)[:, None, None]

    # -- hypotheses ----------------------------------------------------------------------------------------

    def choose(self, how: str, count: int = 1) -> Float[NDArray[np.float32], "poses count 22 4"]:
        """Hypotheses to show.

        ========  ====================================================================================================
        how       what is taken
        ========  ====================================================================================================
        mean      each joint's chordal mean; joints that trade rotation with others make it less likely than a sample
        best      the sample of highest log-density, where the result has densities
        mode      the rotations of highest density, if the result has them
        path      the smoothest way through at most 64 samples of each frame of a clip
                  (`poseterior.results.hypotheses.smoothest`). It decides between the explanations of a frame; within
                  one, the samples' own noise is then averaged out (`settled`). Of ``count`` ways, each goes through
                  samples of its own. Of a clip that was lifted as a whole each sample is a motion: the mean of them,
                  or the first ``count``
        samples   the first samples
        clusters  `representatives`; of a clip that was lifted as a whole, of whole motions
        ========  ====================================================================================================

        Raises:
            InputError: another ``how``; more hypotheses than there are; a mode that was not asked for; the best where
                there are no densities.
        """
        if how not in CHOICES:
            raise InputError(f"how: expected one of {', '.join(CHOICES)}, got {how!r}")
        samples = self.rotations.shape[1]
        if how in ("mean", "best", "mode") and count != 1:
            raise InputError(f"count: there is one {how}, not {count}; use samples, clusters or path")
        if not 1 <= count <= max(samples, 1):
            raise InputError(f"count: expected 1 to {samples} (the number of samples), got {count}")
        if how == "mean":
            return self.mean[:, None]
        if how == "best":
            if bool(np.isnan(self.log_prob).all(1).any()):
                raise InputError(
                    f"how: the rotations of {self.lifter or 'this lifter'} have no density, so that no sample is best; "
                    "use mean, path, samples or clusters"
                )
            return np.take_along_axis(self.rotations, self.log_prob.argmax(1)[:, None, None, None], 1)
        if how == "mode":
            if self.mode is None:
                raise InputError("how: the mode was not computed; ask for it (mode=True) when lifting")
            return self.mode[:, None]
        if how == "samples":
            return self.rotations[:, :count]
        return self.representatives(count)[0] if how == "clusters" else self._paths(count)

    def _paths(self, count: int) -> Array:
        samples = self.rotations.shape[1]
        chosen = np.zeros((len(self), count, len(_SMPL), 4), np.float32)
        for rows in self.clips():
            if self.whole(rows):  # every sample is a motion already: the middle one, or the first ones
                chosen[rows] = self.mean[rows][:, None] if count == 1 else self.rotations[rows][:, :count]
                continue
            for way in range(count):
                among = np.ix_(rows, np.arange(way, samples, count)[:PATH_SAMPLES])
                part = self.rotations[among]
                passed = smoothest(part, self.log_prob[among], self.frame[rows])
                chosen[rows, way] = settled(part, part[np.arange(len(rows)), passed])
        return chosen

    def representatives(
        self, count: int, seed: int = 0
    ) -> tuple[Float[NDArray[np.float32], "poses count 22 4"], Float[NDArray[np.float32], "poses count"]]:
        """A few samples that stand for all: those nearest to the centres of k-means over the points' positions.

        Args:
            count: how many; at most the samples per pose.
            seed: of k-means' start.

        Returns:
            Quaternions, the likeliest first, and their probabilities (shares of the samples), which sum to 1.
        """
        chosen = np.zeros((len(self), count, len(_SMPL), 4), np.float32)
        weights = np.zeros((len(self), count), np.float32)
        for rows, whole in self._clustered():
            part = self[rows]
            points = part.points(part.rotations).transpose(0, 1)  # (samples, poses, 25, 3)
            # All frames of a motion are one point to the clustering.
            centres, weight = cluster(points.flatten(1, 2)[:, None] if whole else points, count, seed=seed)
            drawn = points.flatten(1).unsqueeze(0) if whole else points.transpose(0, 1).flatten(2)
            nearest = torch.cdist(centres.flatten(2), drawn).argmin(-1).numpy()
            chosen[rows] = np.take_along_axis(part.rotations, nearest[:, :, None, None], 1)
            weights[rows] = weight.numpy()
        return chosen, weights

    def _clustered(self) -> list[tuple[Array, bool]]:
        """Rows that are clustered together, and whether as motions of one clip or each pose by itself."""
        clips = self.clips()
        whole = [rows for rows in clips if self.whole(rows)]
        apart = np.setdiff1d(np.arange(len(self)), np.concatenate(whole)) if whole else np.arange(len(self))
        pieces = [apart[start : start + _CHUNK] for start in range(0, len(apart), _CHUNK)]
        return [(rows, True) for rows in whole] + [(rows, False) for rows in pieces]

    # -- motions -------------------------------------------------------------------------------------------

    def animation(
        self, quaternions: Float[NDArray[np.float32], "poses 22 4"], fps: float = 30.0, name: str = ""
    ) -> Animation:
        """One hypothesis of one clip as a motion, y up; for example of ``result[rows]``, rows of `clips`.

        Args:
            quaternions: of each frame, from `choose`.
            fps: frames per second.
            name: of the clip.

        Raises:
            InputError: the poses have different bodies; or as `poseterior.results.animation.Animation`.
        """
        if not (self.offsets == self.offsets[:1]).all():
            raise InputError("the poses have different bodies; animate each clip: result[rows] for rows of clips()")
        return Animation(
            quaternions.astype(np.float64), self.offsets[0, :22], self.root, fps, self.axes, name or "poseterior"
        ).upright()

    def save(
        self,
        path: str | os.PathLike[str],
        how: str | None = None,
        count: int = 1,
        fps: float | None = None,
        max_gap: float = MAX_GAP,
        rig: str | Path | Mapping[str, str] | None = None,
    ) -> list[Path]:
        """Write hypotheses as motion files that other programs play, in real time.

        Frames that are missing are bridged: rotations along the shortest arc, the root on a straight line. A motion is
        split where somebody is away for longer than ``max_gap``. Both are logged.

        Args:
            path: ``.bvh``, ``.glb``, ``.usda``, ``.usdc``, ``.usdz``, ``.mot`` or ``.npz`` (as AMASS; besides, in axes
                with y up: ``mean_quaternions``, ``sample_quaternions``, ``log_prob`` (NaN in frames that are bridged),
                ``spread_radians``, ``frame``).
            how: see `choose`; by default path for clips and mean for single poses (clusters for several of them).
            count: hypotheses of each clip, one file each.
            fps: frames per second; by default what the input told, else 30 is assumed and logged.
            max_gap: seconds without the person that are bridged.
            rig: of a ``.bvh``, whose joints have this rig's names (`poseterior.results.rigs.get_rig`).

        Returns:
            The files written: ``path`` itself for one; numbered ``x-1.bvh`` ... for several clips, parts of clips or
            hypotheses, and ``x-1-1.bvh`` ... for several hypotheses of several clips.

        Raises:
            InputError: an unknown extension or choice, a rate or gap that is none, a path that cannot be written to;
                before anything is written.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in MOTION_SUFFIXES:
            raise InputError(f"{path}: unknown extension {suffix!r}; use one of: {', '.join(MOTION_SUFFIXES)}")
        if rig is not None and suffix != ".bvh":
            raise InputError(f"{path}: a rig is for .bvh files only")
        names = None if rig is None else get_rig(rig)
        clips = self._pieces(fps, max_gap)
        bases = iter(numbered_paths(path, sum(len(segments) for _, segments in clips)))
        jobs: list[tuple[Path, RotationResult, Animation]] = []
        for rows, segments in clips:
            clip = (self if np.array_equal(rows, np.arange(len(self))) else self[rows]).in_axes("y up")
            default = "path" if len(rows) > 1 else "mean" if count == 1 else "clusters"
            chosen = clip.choose(how or default, count)
            if suffix != ".npz":  # which alone keeps the samples
                clip = replace(clip, rotations=clip.rotations[:, :0].copy(), log_prob=clip.log_prob[:, :0].copy())
            for segment in segments:
                ways, part = blend_quaternions(chosen, segment), clip._at(segment)
                for number, target in enumerate(numbered_paths(next(bases), count)):
                    check_writable(target)
                    jobs.append((target, part, part.animation(ways[:, number], segment.fps, target.stem)))
        if fps is None and len(self) > len(self.clips()) and any(self.rate(str(file)) is None for file in self.file):
            _LOG.warning("%s: %g frames a second is assumed: pass --fps (fps=... in Python)", path, ASSUMED_FPS)
        for rate, frames in self._frames_by_rate(fps).items():
            if said := gap_line(frames, rate, max_gap):
                _LOG.warning("%s: %s", path, said)
        for target, part, animation in jobs:
            save_animation(animation, target, extra=part._samples(), rig=names)
        return [target for target, _, _ in jobs]

    def angles(self, level: float = 0.9) -> Angles:
        """Joint angles of the samples, with intervals that no recalibration has made right: also of ankles and hands.

        Args:
            level: probability of the intervals.

        Raises:
            InputError: a level that is not between 0 and 1, or no samples.
        """
        from ..distributions.balls import check_level
        from ..geometry.angles import ROTATION_ANGLES, angles_of_rotations
        from .angles import Angles, intervals_of

        check_level(level)
        if not self.rotations.shape[1]:
            raise InputError("angles: this result has no samples")
        turns = self.in_axes("camera").rotations
        samples = torch.stack([angles_of_rotations(matrices(pose)) for pose in turns], 1)
        seen = torch.ones(samples.shape[1:], dtype=torch.bool)
        degrees, lower, upper, calibrated = intervals_of(samples, ROTATION_ANGLES, seen, level, None)
        return Angles(
            names=ROTATION_ANGLES, degrees=degrees, lower=lower, upper=upper, seen=seen.numpy(), level=level,
            calibrated=calibrated, file=self.file, frame=self.frame, person=self.person, lifter=self.lifter,
            seed=self.seed, settings=self.settings,
        )  # fmt: skip

    def files(self, path: str | Path, count: int = 1, fps: float | None = None, max_gap: float = MAX_GAP) -> list[Path]:
        """The files that `save` writes, by name."""
        pieces = numbered_paths(path, sum(len(segments) for _, segments in self._pieces(fps, max_gap)))
        return [file for piece in pieces for file in numbered_paths(piece, count)]

    def _rate(self, rows: Array, fps: float | None) -> float:
        return fps if fps is not None else self.rate(str(self.file[rows[0]])) or ASSUMED_FPS

    def _pieces(self, fps: float | None, max_gap: float) -> list[tuple[Array, list[Segment]]]:
        """The rows of each clip, with the parts of it that have no long gap."""
        return [(rows, timeline(self.frame[rows], self._rate(rows, fps), max_gap)) for rows in self.clips()]

    def _frames_by_rate(self, fps: float | None) -> dict[float, list[Array]]:
        found: dict[float, list[Array]] = {}
        for rows in self.clips():
            found.setdefault(self._rate(rows, fps), []).append(self.frame[rows])
        return found

    def _at(self, segment: Segment) -> RotationResult:
        """One clip at the moments of a segment."""
        known, away = segment.before, segment.bridged
        if not away.any():
            return self[known]
        turn = widening(segment)[:, None] / _BONE
        return replace(
            self[known],
            rotations=blend_quaternions(self.rotations, segment),
            mean=blend_quaternions(self.mean, segment),
            mode=None if self.mode is None else blend_quaternions(self.mode, segment),
            spread=np.sqrt(blend(self.spread, segment) ** 2 + turn**2).astype(np.float32),
            log_prob=np.where(away[:, None], np.nan, self.log_prob[known]),
            root=blend(self.root, segment),
            frame=segment.frames,
        )

    def _samples(self) -> dict[str, Array]:
        """What an npz file holds beside one hypothesis."""
        return {
            "mean_quaternions": self.mean,
            "sample_quaternions": self.rotations,
            "log_prob": self.log_prob,
            "spread_radians": self.spread,
            "frame": self.frame,
        }


def quaternions(rotations: Float[Tensor, "*batch 3 3"]) -> Float[NDArray[np.float32], "*batch 4"]:
    """Matrices to quaternions xyzw, on the processor."""
    return unit_quaternions(rotations).float().cpu().numpy()


def matrices(quaternions: Float[NDArray[np.float32], "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Inverse of `quaternions`."""
    return rotation_matrices(torch.from_numpy(np.ascontiguousarray(quaternions)))


def _half_turn(quaternions: Array) -> Array:
    """The pelvis (joint 0) seen in axes turned by 180 degrees about x: the product (1, 0, 0, 0) * (x, y, z, w)."""
    turned = quaternions.copy()
    x, y, z, w = np.moveaxis(quaternions[..., 0, :], -1, 0)
    turned[..., 0, :] = np.stack([w, -z, y, -x], -1)
    return turned
