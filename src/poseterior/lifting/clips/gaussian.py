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

__all__ = ["MotionGaussian", "Setting", "motion_gaussian", "setting_of", "weighed_gaussian"]

#: Times that frames are weighed anew, and change of a weight that is none.
_PASSES, _SETTLED = 5, 0.02


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


def setting_of(frames: Frames, errors: ClipErrors) -> Setting:
    """What the frames say, with the errors of this lifter."""
    variance = frames.covariance.diagonal(dim1=-2, dim2=-1).numpy()
    seen = np.repeat(frames.seen.cpu().numpy(), 3, axis=1)
    present = np.broadcast_to(frames.present.numpy()[:, None], seen.shape)
    parts = errors.per_coordinate(variance.shape[1] // 3)
    variance = variance * parts.scale**2 * np.where(seen, 1.0, errors.hidden**2)
    # As large as the frames say on average that show the joint; where none does, as all say.
    told = np.where(seen.any(0), seen & present, present)
    typical = (variance * told).sum(0) / told.sum(0)
    shared = parts.constant * typical
    lasting = parts.lasting(variance, shared, seen)
    size = frames.sizes.common(frames.present, errors.size, frames.told)
    value = (frames.mean + frames.sizes.resized(size.level)).numpy()
    middle = (value * present).sum(0) / present.sum(0)
    step = np.diff(frames.times, prepend=frames.times[0])
    return Setting(
        Seen(value - middle, present, step, np.sqrt(lasting), parts.white * variance, parts.seconds),
        middle,
        np.sqrt(shared),
        size,
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
    """

    mean: Float[Tensor, "T d"]
    alone: Float[Tensor, "T d"]
    roots: Roots
    setting: Setting
    density: Float[NDArray[np.float64], " d"]
    smoothed: Smoothed

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
        return torch.from_numpy(self.setting.constant).unsqueeze(-1) * self.roots[len(self.mean) // 2]

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


def motion_gaussian(frames: Frames, setting: Setting) -> tuple[MotionGaussian, Filtered]:
    """The Gaussian over the motions of a clip, and how surprising each frame was."""
    density = motion_densities(setting.seen)
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
        ),
        found,
    )


def weighed_gaussian(frames: Frames, errors: ClipErrors) -> tuple[MotionGaussian, Float[NDArray[np.float64], " T"]]:
    """The Gaussian over the motions of a clip, and how much each frame counts: less where it fits no others."""
    setting = setting_of(frames, errors)
    weight = np.ones(len(frames))
    for _ in range(_PASSES):
        gaussian, found = motion_gaussian(frames, setting.weighed(weight))
        fresh = weights_of(found, setting.seen.white, weight)
        if np.allclose(fresh, weight, atol=_SETTLED):
            break
        weight = fresh
    return gaussian, weight
