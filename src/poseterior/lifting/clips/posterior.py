"""The posterior of a motion: whole motions of one body, drawn, averaged, and bounded."""

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
from ...distributions.regions import Region, region_of
from ...files.errors import InputError
from ...geometry.frames import RootedFrame
from ...geometry.skeletons import Skeleton
from ...keypoints import Keypoints2D
from ...lifters import Lifter
from ...noise import Noise, PoseNoise, mixed
from ...results.poses import LiftResult
from ..draws import Draws, Placed, check_draws
from .bodies import mean_logs, of_size, with_body
from .contacts import feet_of, still_feet
from .frames import Frames
from .gaussian import MotionGaussian
from .ground import Ground, ground_of
from .results import clip_result
from .root import RootPath, check_camera, root_path, with_contacts

__all__ = ["ClipPosterior", "motions_at_once"]

#: Motions drawn at a time: as many as depends on the clip's length alone; of long ones fewer, for the memory's sake.
_AT_ONCE, _LONG = 50, 2_000
#: Metres to which motions are known whose density is asked for.
BLUR = 0.01
#: Motions behind means, in pairs that mirror each other.
_SUMMARY = 64
#: Tells the random numbers of paths from those of motions.
_OF_ROOT = 1


def motions_at_once(frames: int) -> int:
    """How many motions of a clip of so many frames are drawn at a time."""
    return _AT_ONCE if frames <= _LONG else _AT_ONCE // 5


@dataclass(frozen=True, eq=False)
class ClipPosterior:
    """A probability distribution over the motion of one person in one clip, of one body throughout.

    Poses are as everywhere: metres, relative to the root joint, camera axes. There is a row for every frame: also for
    those that were missing, where the posterior is wide.

    >>> import poseterior as pp  # doctest: +SKIP
    >>> clip = pp.lift_clip(pp.load("flow"), pp.read_keypoints("walk.json"), fps=30)  # doctest: +SKIP
    >>> motions = clip.sample(200, seed=0)  # (200, frames, 17, 3): whole motions of rigid bodies  # doctest: +SKIP
    >>> clip.region(0.9).radius, clip.height(0.9)  # doctest: +SKIP

    Attributes:
        frames: what the lifter said of each frame.
        weight: ``(T,)`` how much each frame counted: 1, or less where it did not fit its neighbours.
        gaussian: the Gaussian over motions in which bones may still change, see `log_prob`.
        errors: how the errors of the frames hang together.
        lifter: that lifted them.
        settings: what was assumed and found, in words.
        contacts: whether feet that stand still hold the pelvis.
        floor: that was asked for with `on_ground`; its results have it.
    """

    frames: Frames
    weight: Float[NDArray[np.float64], " T"]
    gaussian: MotionGaussian
    errors: ClipErrors
    lifter: Lifter
    settings: dict[str, str] = field(default_factory=dict)
    contacts: bool = False
    floor: Ground | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def __repr__(self) -> str:
        missing = len(self) - int(self.present.sum())
        return (
            f"ClipPosterior(frames={len(self)}, missing={missing}, fps={self.fps:g}, skeleton={self.skeleton.name!r})"
        )

    @property
    def keypoints(self) -> Keypoints2D:
        """One pose per frame, as they were used; frames that were missing show no joint."""
        return self.frames.keypoints

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.frames.fps

    @property
    def present(self) -> Bool[Tensor, " T"]:
        """Frames that show somebody."""
        return self.frames.present

    @property
    def skeleton(self) -> Skeleton:
        return self.keypoints.skeleton

    @property
    def frame(self) -> Int[NDArray[np.int64], " T"]:
        """Numbers of the frames."""
        return np.array([identity.frame for identity in self.keypoints.ids], dtype=np.int64)

    # -- motions -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(self, samples: int = 200, *, seed: int = 0) -> Float[Tensor, "samples T joints 3"]:
        """Draw whole motions: each is one body's, its bones have the same lengths in every frame.

        The same seed gives the same motions of the same clip, whatever else is lifted.

        Raises:
            InputError: fewer than none, or a seed out of range.
        """
        check_draws(samples, seed, fewest=0)
        block = self._block
        starts = range(0, max(samples, 1), block)  # none are drawn as one empty block, which has their shape
        return torch.cat([self._rigid(min(block, samples - start), seed, start, False) for start in starts])

    @property
    def _block(self) -> int:
        return motions_at_once(len(self))

    @torch.no_grad()
    def sample_placed(
        self, samples: int = 200, *, seed: int = 0
    ) -> tuple[Float[Tensor, "samples T joints 3"], Float[Tensor, "samples T 3"]]:
        """The motions of `sample`, and the path of each one's pelvis before the camera (metres, camera axes).

        ``motions + roots.unsqueeze(-2)`` are where all joints go: a motion of a larger body goes farther away.

        Raises:
            InputError: as `sample`; the camera's intrinsics are not known.
        """
        motions = self.sample(samples, seed=seed)
        roots = [
            self.root.of(part, self._root_noise(seed, self._block * number)[: len(part)])
            for number, part in enumerate(motions.split(self._block))
        ]
        return motions, torch.cat(roots)

    @torch.no_grad()
    def ground(self) -> Ground:
        """The floor, told from the feet that stand still: `poseterior.lifting.clips.ground`.

        Raises:
            InputError: the camera's intrinsics are not known, or no foot is seen, or none stands.
        """
        root = self.root
        motions = self._rigid(_SUMMARY, SEED, -1, True)
        placed = motions + root.of(motions, self._root_noise(SEED, -1, root)).unsqueeze(-2)
        return ground_of(self.keypoints, placed, self.frames.times)

    def on_ground(self) -> ClipPosterior:
        """The same, with the floor found: motion files of its results have y up from the floor.

        Raises:
            InputError: as `ground`.
        """
        floor = self.ground()
        return replace(self, floor=floor, settings=self.settings | {"ground": str(floor)})

    @cached_property
    @torch.no_grad()
    def root(self) -> RootPath:
        """The path of the pelvis before the camera: ``clip.root.mean``, ``clip.root.covariance``; metres, camera axes.

        The camera is taken to stand still. See `poseterior.lifting.clips.root`.

        Raises:
            InputError: the camera's intrinsics are not known.
        """
        check_camera(self.keypoints)
        motions = self._rigid(_SUMMARY, SEED, -1, True)
        found = root_path(
            self.keypoints, self.frames.times, self.weight, motions, lambda path: self._root_noise(SEED, -1, path)
        )
        if not self.contacts or len(self) < 2:
            return found
        placed = motions + found.of(motions, self._root_noise(SEED, -1, found)).unsqueeze(-2)
        still = still_feet(placed, np.diff(self.frames.times), feet_of(self.skeleton))
        return with_contacts(found, still, motions, lambda path: self._root_noise(SEED, -1, path))

    def _root_noise(self, seed: int, start: int, path: RootPath | None = None) -> Float[Tensor, "samples d"]:
        samples, numbers = (self._block, self.root.numbers) if path is None else (_SUMMARY, path.numbers)
        return self._noise(seed, start, _OF_ROOT).normal((samples, numbers), 1, torch.zeros(1))

    def _rigid(self, samples: int, seed: int, start: int, paired: bool) -> Float[Tensor, "samples T joints 3"]:
        motions, size = self._loose(samples, seed, start, paired)
        body = of_size(self._logs(motions, seed, start, paired), size, self.skeleton)
        return with_body(motions, body, self._mobility, self.skeleton) @ self.frames.axes.float()

    def _logs(
        self, motions: Float[Tensor, "samples T joints 3"], seed: int, start: int, paired: bool
    ) -> Float[Tensor, "samples joints"]:
        """The shape of each motion's body, by the logarithms of its bones' lengths."""
        return mean_logs(motions, self.skeleton)

    def _loose(
        self, samples: int, seed: int, start: int, paired: bool = False
    ) -> tuple[Float[Tensor, "samples T joints 3"], Float[Tensor, " samples"]]:
        """Motions whose bones may change, in the axes of the rays, and the logarithm of each body's size."""
        # A block of motions is drawn whole, so that a smaller number of them begins with the same ones.
        drawn, size = self.gaussian.draw(samples if paired else self._block, self._noise(seed, start), paired)
        return self._unflat(drawn[:samples]).float(), size[:samples]

    def _noise(self, seed: int, start: int, part: int = 0) -> Noise:
        key = hashlib.blake2b(self.keypoints.keys.cpu().numpy().tobytes(), digest_size=7).digest()
        return PoseNoise(seed, mixed(int.from_bytes(key, "big") + part, start))

    def _unflat(self, flat: Float[Tensor, "*any d"]) -> Float[Tensor, "*any joints 3"]:
        return RootedFrame(self.skeleton).to_camera(flat.unflatten(-1, (-1, 3)))

    def _flat(self, poses: Float[Tensor, "samples T joints 3"]) -> Float[Tensor, "samples T d"]:
        return RootedFrame(self.skeleton, self.frames.axes).from_camera(poses.double()).flatten(-2)

    @cached_property
    def _mobility(self) -> Float[Tensor, "T joints 3"]:
        return self._unflat(self.gaussian.alone.square()).float()

    def log_prob(self, motions: Float[Tensor, "samples T joints 3"], blur: float = BLUR) -> Float[Tensor, " samples"]:
        """Log-density of whole motions that are known to ``blur`` metres, in nats (metres, all joints but the root).

        Of `gaussian`, in which bones may change, and with independent noise of that standard deviation on each
        coordinate: it tells which of two motions is likelier, whatever they differ by below it. Without it (0) motions
        of one body, as `sample` draws, are infinitely thin in all motions, and rounding decides.

        Raises:
            InputError: motions of other frames or joints, or a blur below 0.
        """
        if motions.shape[-3:] != (len(self), len(self.skeleton), 3) or motions.ndim != 4:
            raise InputError(
                f"motions have shape {tuple(motions.shape)}; expected (samples, {len(self)}, {len(self.skeleton)}, 3)"
            )
        if not blur >= 0:
            raise InputError(f"blur: expected metres from 0, got {blur}")
        return self.gaussian.log_prob(self._flat(motions), blur)

    # -- summaries -----------------------------------------------------------------------------------------

    @cached_property
    def mean(self) -> Float[Tensor, "T joints 3"]:
        """Mean pose of each frame over motions of constant bones, metres."""
        with torch.no_grad():
            return self._rigid(_SUMMARY, SEED, -1, True).mean(0)

    @cached_property
    def covariance(self) -> Float[Tensor, "T joints 3 3"]:
        """Covariance of each joint in each frame, m² (zero for the root)."""
        blocks = self.gaussian.joint_covariance
        axes = self.frames.axes.unsqueeze(1)
        found = blocks.new_zeros(len(self), len(self.skeleton), 3, 3)
        found[:, self.skeleton.nonroot] = axes.mT @ blocks @ axes
        return found.float()

    def region(self, level: float = 0.9) -> Region:
        """Balls that hold each joint, and balls that hold the whole pose, in each frame with that probability.

        As of any lifter's poses: see `poseterior.distributions.regions`. They are calibrated where the lifter's
        `ClipErrors` have a recalibration.

        Raises:
            InputError: as `poseterior.distributions.base.PoseDistribution.region`.
        """
        check_level(level)
        ours = self.errors.recalibration
        samples, seed = (SAMPLES, SEED) if ours is None else (ours.draws, ours.seed)
        visible = self.keypoints.visible.cpu()
        return region_of(self.sample(samples, seed=seed), self.skeleton, level, ours, visible)

    def height(self, level: float = 0.9) -> tuple[float, float, float]:
        """The person's height in metres, of the body of the whole clip: median, and the interval of that probability.

        Intervals hold as often as they say where the lifter's `ClipErrors` were measured.

        Raises:
            InputError: a level that is not between 0 and 1, or a skeleton other than h36m17.
        """
        check_level(level)
        if self.skeleton.name != "h36m17":
            raise InputError(f"height: is known for h36m17 alone, not for {self.skeleton.name}")
        stretch = self.errors.height if self.frames.told is None else 1.0
        return self.gaussian.setting.size.interval(level, stretch)

    def draws(self, samples: int = 200, seed: int = 0, level: float = 0.9) -> Draws:
        """What results hold of each frame: the k-th hypotheses of all frames are one motion; they have no density."""
        placed, known = None, bool(self.keypoints.intrinsics.isfinite().all())
        if known:
            motions, roots = self.sample_placed(samples, seed=seed)
            floor = None if self.floor is None else self.floor.plane
            placed = Placed(roots, self.root.mean, self.root.covariance, floor)
        else:
            motions = self.sample(samples, seed=seed)
        nothing = motions.new_full(motions.shape[:2], torch.nan)
        return Draws(motions, self.mean, self.covariance, nothing, self.region(level), placed=placed)

    def result(self, samples: int = 200, seed: int = 0, level: float = 0.9) -> LiftResult:
        """The clip as a `LiftResult`: its hypotheses are whole motions, the k-th of each frame belong together."""
        draws = self.draws(samples, seed, level)
        keypoints = self.keypoints.to("cpu")
        keypoints.rates = dict.fromkeys((identity.file for identity in keypoints.ids), self.fps)
        return clip_result(self.lifter, keypoints, [draws], self.errors, self.settings, seed)
