"""The posterior of fused views: places of all joints in the world, drawn, averaged and bounded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ...distributions.balls import SAMPLES, SEED, check_level
from ...distributions.clip_errors import ClipErrors
from ...distributions.recalibration import Recalibration
from ...distributions.regions import Region, region_of
from ...files.errors import InputError
from ...geometry.skeletons import Skeleton
from ...keypoints import Keypoints2D
from ...keypoints.calibration import Camera
from ...lifters import Lifter
from ...noise import PoseNoise
from ...results.angles import Angles
from ...results.poses import LiftResult
from ..clips.bodies import mean_logs, of_size, with_body
from ..clips.gaussian import MotionGaussian
from .results import fused_result
from .smoothing import motion_axes, motion_of

__all__ = ["FusedPosterior"]

#: Motions drawn at a time: how many changes no draw.
_AT_ONCE = 50
#: Motions behind means of one body, in pairs that mirror each other.
_SUMMARY = 64


@dataclass(frozen=True, eq=False)
class FusedPosterior:
    """A probability distribution over one person's poses and places, in the axes of the calibration's world.

    Each row is a moment. Of a clip (see `motion`) every sample is a whole motion of one body; else moments are
    independent. ``places`` are of the world, metres; `mean`, `covariance`, `sample` and `region` are relative to the
    root, as everywhere.

    Attributes:
        keypoints: one pose per moment: which joints any camera shows, and the numbers of the frames.
        cameras: that saw them.
        mean_places: ``(n, joints, 3)`` metres, of each moment by itself.
        covariance_places: ``(n, 3 joints, 3 joints)`` m², likewise.
        present: ``(n,)`` moments that a camera shows.
        weight: ``(cameras, n, joints)`` how much each keypoint counted: 1, or less where other views contradict it.
        noise: by what all keypoints' standard deviations were multiplied, as the views show.
        fps: frames per second.
        level: ``(3, 3)`` from the world's axes to x right, y down, z forward, of results.
        lifter: that lifted the views.
        recalibration: what makes regions right; None: they are the samples' own.
        motion: the Gaussian over whole motions; None where moments are by themselves.
        errors: how errors hang together over time; None likewise.
        settings: what was assumed and found, in words.
    """

    keypoints: Keypoints2D
    cameras: tuple[Camera, ...]
    mean_places: Float[Tensor, "n joints 3"]
    covariance_places: Float[Tensor, "n D D"]
    present: Bool[Tensor, " n"]
    weight: Float[Tensor, "cameras n joints"]
    fps: float
    level: Float[Tensor, "3 3"]
    lifter: Lifter
    noise: float = 1.0
    recalibration: Recalibration | None = None
    motion: MotionGaussian | None = None
    errors: ClipErrors | None = None
    settings: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of moments."""
        return len(self.mean_places)

    def __repr__(self) -> str:
        kind = "moments" if self.motion is None else "frames of a clip"
        names = ", ".join(camera.name for camera in self.cameras)
        return f"FusedPosterior({len(self)} {kind}, cameras=({names}), skeleton={self.skeleton.name!r})"

    @property
    def skeleton(self) -> Skeleton:
        return self.keypoints.skeleton

    @property
    def frame(self) -> Int[NDArray[np.int64], " n"]:
        """Numbers of the frames."""
        return np.array([identity.frame for identity in self.keypoints.ids], dtype=np.int64)

    @property
    def views_per_joint(self) -> Int[Tensor, "n joints"]:
        """By how many cameras' keypoints each joint is told, contradicted ones not counted."""
        return self._shown

    @cached_property
    def _shown(self) -> Tensor:
        return (self.weight >= 0.25).sum(0) * self.keypoints.visible.cpu()

    def smoothed(self, errors: ClipErrors | None = None) -> FusedPosterior:
        """The moments joined to a motion of one body.

        Args:
            errors: how errors hang together over time; None: in all directions as the lifter's own across the ray,
                since what one camera sees as depth another sees across.

        Raises:
            InputError: no moment that a camera shows.
        """
        if not bool(self.present.any()):
            raise InputError("fuse: no camera shows anybody")
        told = errors
        if told is None:
            told = self.lifter.clips or ClipErrors()
            if len(self.cameras) > 1:
                told = replace(told, depth=told.across, recalibration=None)
        motion, weight = motion_of(self, told)
        words = {"clip": "one body is assumed; each hypothesis is a whole motion"}
        if errors is not None:
            shares = f"{100 * told.across.constant:.0f} % of a moment's variance in all frames, "
            shares += f"{100 * told.across.slow:.0f} % for {told.across.seconds:.2f} s"
            words["clip errors"] = shares
        else:
            kind = "of the lifter" if self.lifter.clips else "typical ones"
            words["clip errors"] = kind + (", in all directions as across the ray" if len(self.cameras) > 1 else "")
        if bool((weight < 0.25).any()):
            numbers = self.frame[weight < 0.25]
            words["unsteady"] = f"{len(numbers)} frames did not fit their neighbours"
        return replace(self, motion=motion, errors=told, settings=self.settings | words)

    # -- draws ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample_places(self, samples: int = 200, *, seed: int = 0) -> Float[Tensor, "samples n joints 3"]:
        """Draw places of all joints in the world, metres. The same seed gives the same ones.

        Raises:
            InputError: fewer than one, or a seed out of range.
        """
        if samples < 1:
            raise InputError(f"samples: expected at least 1, got {samples}")
        if not 0 <= seed < 2**62:
            raise InputError(f"seed: expected 0 to below 2^62, got {seed}")
        starts = range(0, samples, _AT_ONCE)
        return torch.cat([self._drawn(seed, start)[: samples - start] for start in starts])

    def sample(self, samples: int = 200, *, seed: int = 0) -> Float[Tensor, "samples n joints 3"]:
        """Draw poses relative to the root, metres, world axes; see `sample_places`."""
        return self._relative(self.sample_places(samples, seed=seed))

    def _relative(self, places: Float[Tensor, "*any joints 3"]) -> Float[Tensor, "*any joints 3"]:
        root = self.skeleton.root
        return places - places[..., root : root + 1, :]

    def _drawn(self, seed: int, start: int, paired: bool = False) -> Float[Tensor, "samples n joints 3"]:
        count, joints = len(self), len(self.skeleton)
        key = hashlib.blake2b(self.mean_places.numpy().tobytes(), digest_size=7).digest()
        noise = PoseNoise(seed, torch.tensor(int.from_bytes(key, "big") ^ (start + 1)))
        if self.motion is None:
            half = _SUMMARY // 2 if paired else _AT_ONCE
            normal = noise.normal((half, count * 3 * joints), 1, self.mean_places.float()).double()
            about = torch.einsum("nij,snj->sni", self._root_of_covariance, normal.unflatten(1, (count, -1)))
            about = torch.cat([about, -about]) if paired else about
            return (self.mean_places + about.unflatten(-1, (joints, 3))).float()
        drawn, size = self.motion.draw(_SUMMARY if paired else _AT_ONCE, noise, paired)
        return self._rigid(drawn.unflatten(-1, (joints, 3)).float(), size) @ motion_axes(self).float()

    @cached_property
    def _root_of_covariance(self) -> Float[Tensor, "n D D"]:
        return torch.linalg.cholesky(self.covariance_places)

    def _rigid(
        self, places: Float[Tensor, "samples n joints 3"], size: Float[Tensor, " samples"]
    ) -> Float[Tensor, "samples n joints 3"]:
        """Motions of one body each, in the axes of the motion.

        ``size`` is the logarithm of the body's, which counts where one camera leaves it open.
        """
        assert self.motion is not None
        root = self.skeleton.root
        at = places[..., root : root + 1, :]
        motions = places - at
        # Joints move, not the root: what is known of them beside it.
        variance = self.motion.alone.square().unflatten(-1, (-1, 3)).float()
        body = mean_logs(motions, self.skeleton)
        if len(self.cameras) == 1:
            body = of_size(body, size, self.skeleton)
        return at + with_body(motions, body, variance, self.skeleton)

    # -- summaries -----------------------------------------------------------------------------------------

    @cached_property
    def places(self) -> Float[Tensor, "n joints 3"]:
        """Mean place of each joint in the world, metres; of a clip, over motions of one body."""
        if self.motion is None:
            return self.mean_places.float()
        with torch.no_grad():
            return self._drawn(SEED, -2, paired=True).mean(0)

    @property
    def mean(self) -> Float[Tensor, "n joints 3"]:
        """Mean pose relative to the root, metres, world axes."""
        return self._relative(self.places)

    @cached_property
    def _whole_covariance(self) -> Float[Tensor, "n joints 3 joints 3"]:
        if self.motion is None:
            return self.covariance_places.unflatten(-1, (-1, 3)).unflatten(1, (-1, 3))
        half = self.motion.alone.unsqueeze(-1) * self.motion.roots[:]
        slope = self.motion.setting.slope
        full = half @ half.mT + self.motion.setting.size.variance * slope.unsqueeze(-1) * slope.unsqueeze(-2)
        full, turn = full.unflatten(-1, (-1, 3)).unflatten(1, (-1, 3)), motion_axes(self)
        return torch.einsum("ba,tibjc,cd->tiajd", turn, full, turn)

    @cached_property
    def place_covariance(self) -> Float[Tensor, "n joints 3 3"]:
        """Covariance of each joint's place in the world, m²."""
        return self._whole_covariance.diagonal(dim1=1, dim2=3).movedim(-1, 1).float()

    @cached_property
    def covariance(self) -> Float[Tensor, "n joints 3 3"]:
        """Covariance of each joint relative to the root, m² (zero for the root)."""
        whole, root = self._whole_covariance, self.skeleton.root
        own = whole.diagonal(dim1=1, dim2=3).movedim(-1, 1)
        cross = whole[:, :, :, root]
        return (own + own[:, root : root + 1] - cross - cross.mT).float()

    def region(self, level: float = 0.9) -> Region:
        """Balls that hold each joint relative to the root, and balls that hold the whole pose, with that probability.

        Calibrated where there is a `recalibration`; otherwise the samples' own, and ``calibrated`` is False.

        Raises:
            InputError: as `poseterior.distributions.base.PoseDistribution.region`.
        """
        check_level(level)
        ours = self.recalibration
        if ours is None and self.motion is not None and self.errors is not None:
            ours = self.errors.recalibration
        samples, seed = (SAMPLES, SEED) if ours is None else (ours.draws, ours.seed)
        visible = self.keypoints.visible.cpu()
        return region_of(self.sample(samples, seed=seed), self.skeleton, level, ours, visible)

    def angles(self, level: float = 0.9, samples: int = 200, seed: int = 0) -> Angles:
        """Joint angles in degrees with their intervals, see `LiftResult.angles`."""
        return self.result(samples, seed, level).angles(level)

    def result(self, samples: int = 200, seed: int = 0, level: float = 0.9) -> LiftResult:
        """As a `LiftResult`: axes are the world's, turned so that y points down; ``root`` is the pelvis in the world.

        ``settings["world"]`` says which axis is which.
        """
        return fused_result(self, samples, seed, level)
