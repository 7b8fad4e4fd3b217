"""A Gaussian over whole motions: what frames, their errors and the way people move say together.

On a body of known size every coordinate of every joint (in the axes of the ray) has a Gaussian over its path, see
`poseterior.lifting.clips.filtering`; the part of the errors that all frames share is added to it, unshrunken, and so is
what the clip's size does to each pose (`poseterior.lifting.clips.sizes`). How coordinates go together within a frame
is as the frames' own covariances say, averaged over neighbouring frames: what is new in each coordinate, from frame to
frame, is drawn with these correlations, by a square root of them with rows of length one, so that each coordinate's own
distribution over paths stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ...distributions.clip_errors import ClipErrors
from ...noise import Noise
from .correlations import Roots, correlation_roots
from .density import log_density
from .filtering import Filtered, Seen, Smoothed, filtered, smoothed
from .frames import Frames
from .motion import motion_densities
from .sizes import ClipSize
from .surprises import weights_of

__all__ = [
    "PASSES",
    "SETTLED",
    "Known",
    "MotionGaussian",
    "Setting",
    "Shared",
    "motion_gaussian",
    "setting_of",
    "shared_of",
    "weighed_gaussian",
]

#: Times that frames are weighed anew, and change of a weight that is none.
PASSES, SETTLED = 5, 0.02


@dataclass(frozen=True)
class Setting:
    """What the frames say, as the filter takes it.

    Attributes:
        seen: of a body of the clip's expected size, about the middle of the clip.
        middle: ``(d,)`` metres, what was taken off.
        size: of the clip's person.
        slope: ``(T, d)`` metres by which coordinates change per unit of the size's logarithm.
        constant: ``(d,)`` standard deviation of the error that all frames share, metres.
    """

    seen: Seen
    middle: Float[NDArray[np.float64], " d"]
    constant: Float[NDArray[np.float64], " d"]
    size: ClipSize
    slope: Float[Tensor, "T d"]

    def weighed(self, weight: Float[NDArray[np.float64], " T"]) -> Setting:
        """The same where each frame counts so much (1: as it says), by its white noise."""
        return replace(self, seen=self.seen._replace(white=self.seen.white / weight[:, None]))


@dataclass(frozen=True)
class Shared:
    """What all frames of a clip share.

    Attributes:
        size: of its person.
        middle: ``(d,)`` metres: the mean of what frames say.
        variance: ``(d,)`` m², of the error that all frames share.
    """

    size: ClipSize
    middle: Float[NDArray[np.float64], " d"]
    variance: Float[NDArray[np.float64], " d"]


@dataclass(frozen=True)
class Known:
    """What is known of a clip beforehand, of which a stretch is lifted.

    Attributes:
        shared: of all frames.
        density: ``(d,)`` of the acceleration, m²/s³.
        root: ``(d, d)`` square root of the correlations of the error that all frames share.
    """

    shared: Shared
    density: Float[NDArray[np.float64], " d"]
    root: Float[Tensor, "d d"]


def _told(frames: Frames, errors: ClipErrors) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Variance of each coordinate as frames say, m²; whether its joint is seen; whether anybody is; all ``(T, d)``."""
    variance = frames.covariance.diagonal(dim1=-2, dim2=-1).numpy()
    seen = np.repeat(frames.seen.cpu().numpy(), 3, axis=1)
    present = np.broadcast_to(frames.present.numpy()[:, None], seen.shape)
    parts = errors.per_coordinate(variance.shape[1] // 3)
    return variance * parts.scale**2 * np.where(seen, 1.0, errors.hidden**2), seen, present


def shared_of(clip: Sequence[Frames], errors: ClipErrors) -> Shared:
    """What the frames of a clip share, told by one or more stretches of it."""
    stretches = [_told(frames, errors) for frames in clip]
    parts = errors.per_coordinate(stretches[0][0].shape[1] // 3)
    # As large as the frames say on average that show the joint; where none does, as all say.
    ever = np.any([seen.any(0) for _, seen, _ in stretches], axis=0)
    told = [np.where(ever, seen & present, present) for _, seen, present in stretches]
    total = sum((variance * some).sum(0) for (variance, _, _), some in zip(stretches, told, strict=True))
    typical = total / sum(some.sum(0) for some in told)
    sizes = replace(
        clip[0].sizes,
        level=torch.cat([frames.sizes.level for frames in clip]),
        slope=torch.cat([frames.sizes.slope for frames in clip]),
        variance=torch.cat([frames.sizes.variance for frames in clip]),
        shape=torch.stack([frames.sizes.shape for frames in clip]).mean(0),
    )
    size = sizes.common(torch.cat([frames.present for frames in clip]), errors.size, clip[0].told)
    values = sum(
        (_resized(frames, size) * present).sum(0) for frames, (_, _, present) in zip(clip, stretches, strict=True)
    )
    return Shared(size, values / sum(present.sum(0) for _, _, present in stretches), parts.constant * typical)


def _resized(frames: Frames, size: ClipSize) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (frames.mean + frames.sizes.resized(size.level)).numpy()
    return found


def setting_of(frames: Frames, errors: ClipErrors, shared: Shared | None = None) -> Setting:
    """What the frames say, with the errors of this lifter.

    Args:
        frames: of a clip, or of a stretch of it.
        errors: of the lifter.
        shared: by all frames of the clip; None: these are all of them.
    """
    shared = shared_of([frames], errors) if shared is None else shared
    variance, seen, present = _told(frames, errors)
    parts = errors.per_coordinate(variance.shape[1] // 3)
    lasting = parts.lasting(variance, shared.variance, seen)
    step = np.diff(frames.times, prepend=frames.times[0])
    value = _resized(frames, shared.size) - shared.middle
    return Setting(
        Seen(value, present, step, np.sqrt(lasting), parts.white * variance, parts.seconds),
        shared.middle,
        np.sqrt(shared.variance),
        shared.size,
        frames.sizes.slope,
    )


@dataclass(frozen=True)
class MotionGaussian:
    """A Gaussian over motions in the axes of the rays, of ``d`` coordinates in ``T`` frames.

    Attributes:
        mean: ``(T, d)`` metres.
        alone: ``(T, d)`` standard deviation on a body of known size, metres.
        roots: square roots of the correlations within each frame, likewise.
        setting, density: what it was made of.
        shared_root: ``(d, d)`` square root of the correlations of the error that all frames share; None: that of the
            frame in the middle.
    """

    mean: Float[Tensor, "T d"]
    alone: Float[Tensor, "T d"]
    roots: Roots
    setting: Setting
    density: Float[NDArray[np.float64], " d"]
    smoothed: Smoothed
    shared_root: Float[Tensor, "d d"] | None = None

    @property
    def joint_covariance(self) -> Float[Tensor, "T joints 3 3"]:
        """Of each joint in each frame, m²."""
        alone = self.alone.unflatten(-1, (-1, 3))
        within = alone.unsqueeze(-1) * self.roots.joint_blocks() * alone.unsqueeze(-2)
        slope = self.setting.slope.unflatten(-1, (-1, 3))
        return within + self.setting.size.variance * slope.unsqueeze(-1) * slope.unsqueeze(-2)

    @property
    def stddev(self) -> Float[Tensor, "T d"]:
        """Of each coordinate, metres."""
        return (self.alone.square() + self.setting.size.variance * self.setting.slope.square()).sqrt()

    def draw(
        self, samples: int, noise: Noise, paired: bool = False
    ) -> tuple[Float[Tensor, "samples T d"], Float[Tensor, " samples"]]:
        """Motions, and the logarithm of the size of each one's body.

        ``paired``: the second half mirrors the first one about the mean (so their mean is exact).
        """
        count, size = self.mean.shape
        half = (samples + 1) // 2 if paired else samples
        normal = noise.normal((half, 1 + size + count * size * 3), 1, self.mean.float()).double()
        larger = self.setting.size.draw(normal[:, 0])
        constant, states = normal[:, 1 : 1 + size], normal[:, 1 + size :].unflatten(1, (count, size, 3))
        together = self.roots.times(states.permute(1, 0, 3, 2).flatten(1, 2)).unflatten(1, (half, 3))
        paths = torch.from_numpy(self.smoothed.draw(together.permute(0, 3, 1, 2).contiguous().numpy())).permute(2, 0, 1)
        about = paths + (constant @ self._shared.mT)[:, None] + larger[:, None, None] * self.setting.slope
        if paired:
            about, larger = torch.cat([about, -about])[:samples], torch.cat([larger, -larger])[:samples]
        return self.mean + about, self.setting.size.level + larger

    @property
    def _shared(self) -> Float[Tensor, "d d"]:
        """Square root of the covariance of the errors that all frames share."""
        root = self.roots[len(self.mean) // 2] if self.shared_root is None else self.shared_root
        return torch.from_numpy(self.setting.constant).unsqueeze(-1) * root

    def log_prob(self, motions: Float[Tensor, "samples T d"], blur: float = 0.0) -> Float[Tensor, " samples"]:
        """Log-density in nats, metres; of motions that are seen with independent noise of that standard deviation."""
        about = motions - self.mean
        # Of a given size the density is quadratic in it, which is known from three sizes.
        points = self.setting.size.points
        unit = points[-1].clamp(min=1e-9)
        three = torch.cat([about - step * unit * self.setting.slope for step in (1.0, 0.0, -1.0)])
        above, level, below = log_density(three, self.smoothed, self.roots, self._shared, blur).unflatten(0, (3, -1))
        place = (points / unit).unsqueeze(-1)
        each = level + 0.5 * (above - below) * place + (0.5 * (above + below) - level) * place.square()
        return each.logsumexp(0) - math.log(len(points))


def motion_gaussian(
    frames: Frames, setting: Setting, known: Known | None = None
) -> tuple[MotionGaussian, Filtered]:  # fmt: skip
    """The Gaussian over the motions of a clip, and how surprising each frame was; ``known`` of a stretch of it."""
    density = motion_densities(setting.seen) if known is None else known.density
    found = filtered(setting.seen, density)
    smooth = smoothed(found, setting.seen, density)
    variance = smooth.variance + setting.constant**2
    return (
        MotionGaussian(
            torch.from_numpy(smooth.mean + setting.middle),
            torch.from_numpy(np.sqrt(variance)),
            correlation_roots(frames),
            setting,
            density,
            smooth,
            None if known is None else known.root,
        ),
        found,
    )


def weighed_gaussian(
    frames: Frames, errors: ClipErrors, known: Known | None = None
) -> tuple[MotionGaussian, Float[NDArray[np.float64], " T"]]:
    """The Gaussian over the motions of a clip, and how much each frame counts: less where it fits no others.

    ``known`` of a stretch of a clip.
    """
    setting = setting_of(frames, errors, None if known is None else known.shared)
    weight = np.ones(len(frames))
    for _ in range(PASSES):
        gaussian, found = motion_gaussian(frames, setting.weighed(weight), known)
        fresh = weights_of(found, setting.seen.white, weight)
        if np.allclose(fresh, weight, atol=SETTLED):
            break
        weight = fresh
    return gaussian, weight
