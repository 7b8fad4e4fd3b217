"""A Gaussian over whole motions: what frames, their errors and the way people move say together.

On a body of known size every coordinate of every joint (in the axes of the ray) has a Gaussian over its path, see
`poseterior.lifting.clips.filtering`; the part of the errors that all frames share is added to it, unshrunken, and so is
what the clip's size does to each pose (`poseterior.lifting.clips.sizes`). How
coordinates go together within a frame is as the frames' own covariances say, averaged over neighbouring frames:
a path is ``mean + D R D^-1 u``, ``u`` a path of independent coordinates, ``D`` their standard deviations, and ``R`` the
square root of the correlations, with rows of length one, so that no coordinate's spread changes.
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
from .filtering import Filtered, Seen, Smoothed, filtered, smoothed
from .frames import Frames
from .motion import motion_densities
from .sizes import ClipSize

__all__ = ["MotionGaussian", "Setting", "motion_gaussian", "setting_of"]


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
    joints = variance.shape[1] // 3
    kinds = [errors.across, errors.across, errors.depth] * joints
    scale, constant, slow, white, seconds = (
        np.array([getattr(kind, name) for kind in kinds]) for name in ("scale", "constant", "slow", "white", "seconds")
    )
    variance = variance * scale**2 * np.where(seen, 1.0, errors.hidden**2)
    # As large as the frames say on average that show the joint; where none does, as all say.
    told = np.where(seen.any(0), seen & present, present)
    typical = (variance * told).sum(0) / told.sum(0)
    shared = constant * typical
    # A hidden joint's error comes and goes with what hides it: what is more of it than of the others is slow.
    lasting = np.where(seen, slow * variance, np.maximum(slow * variance, (constant + slow) * variance - shared))
    size = frames.sizes.common(frames.present, errors.size, frames.told)
    value = (frames.mean + frames.sizes.resized(size.level)).numpy()
    middle = (value * present).sum(0) / present.sum(0)
    step = np.diff(frames.times, prepend=frames.times[0])
    return Setting(
        Seen(value - middle, present, step, np.sqrt(lasting), white * variance, seconds),
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

    def draw(self, samples: int, noise: Noise, paired: bool = False) -> Float[Tensor, "samples T d"]:
        """Motions; ``paired``: the second half mirrors the first one about the mean (so their mean is exact)."""
        count, size = self.mean.shape
        half = (samples + 1) // 2 if paired else samples
        normal = noise.normal((half, 1 + size + count * size * 3), 1, self.mean.float()).double()
        larger = self.setting.size.draw(normal[:, 0])
        constant, states = normal[:, 1 : 1 + size], normal[:, 1 + size :].unflatten(1, (count, size, 3))
        paths = torch.from_numpy(self.smoothed.draw(states.permute(1, 2, 0, 3).contiguous().numpy())).permute(2, 0, 1)
        paths = paths + constant[:, None] * torch.from_numpy(self.setting.constant)
        # One product per frame.
        along = self.roots.times((paths / self.alone).movedim(0, 1))
        about = along.movedim(0, 1) * self.alone + larger[:, None, None] * self.setting.slope
        about = torch.cat([about, -about])[:samples] if paired else about
        return self.mean + about

    def log_prob(self, motions: Float[Tensor, "samples T d"]) -> Float[Tensor, " samples"]:
        """Log-density in nats, metres."""
        about = motions - self.mean
        lost = self.roots.log_det()
        # Of a given size the density is quadratic in it, which is known from three sizes.
        points = self.setting.size.points
        unit = points[-1].clamp(min=1e-9)
        above, level, below = (self._of_size(about - step * unit * self.setting.slope) for step in (1.0, 0.0, -1.0))
        place = (points / unit).unsqueeze(-1)
        each = level + 0.5 * (above - below) * place + (0.5 * (above + below) - level) * place.square()
        return each.logsumexp(0) - math.log(len(points)) - lost

    def _of_size(self, about: Float[Tensor, "samples T d"]) -> Float[Tensor, " samples"]:
        """Log-density of motions about the mean, of a body of known size, but for the correlations' determinant."""
        along = (about / self.alone).movedim(0, 1)
        alone = self.roots.undone(along).movedim(0, 1) * self.alone
        constant = torch.from_numpy(self.setting.constant)
        one, none, other = (self._independent(alone - share * constant) for share in (1.0, 0.0, -1.0))
        # log N(b; 0, 1) + log p(path - constant b) is quadratic in b, which is integrated out.
        slope, bend = 0.5 * (one - other), 2.0 * none - one - other
        total = none + 0.5 * slope.square() / (1.0 + bend) - 0.5 * torch.log1p(bend)
        return total.sum(-1)

    def _independent(self, about: Float[Tensor, "samples T d"]) -> Float[Tensor, "samples d"]:
        """Log-density of each coordinate's path about the mean, without the part that all frames share.

        What is seen is a motion and an error, so ``p(path | seen) = p(path) p(seen - path) / p(seen)``; all three are
        the evidence of a filter.
        """
        seen, shape = self.setting.seen, (len(about), len(self.density))
        path = about.numpy().transpose(1, 0, 2)
        wide = {name: np.broadcast_to(getattr(seen, name)[:, None], path.shape) for name in ("known", "slow", "white")}
        density = np.broadcast_to(self.density, shape)
        nothing = np.zeros_like(path)
        moving = seen._replace(value=path, known=np.ones_like(path, dtype=bool), slow=nothing, white=nothing)
        error = seen._replace(value=path, **wide)
        level = filtered(seen._replace(value=np.zeros_like(seen.value)), self.density, keep=False).log_evidence
        own = filtered(moving, density, keep=False).log_evidence
        return torch.from_numpy(own + filtered(error, density, keep=False, still=True).log_evidence - level)


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
