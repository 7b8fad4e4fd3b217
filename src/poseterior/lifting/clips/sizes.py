"""How large the person of a clip is: what all of its frames share, and what moves every joint at once.

From one camera a person who is larger and farther away looks the same, so that most of what a frame leaves open is one
number, and no average over frames settles it. It is therefore taken out of each frame's covariance, by regression of
all coordinates on the logarithm of the body's size (exact where they are jointly Gaussian); what is left says how
coordinates are spread on a body of known size. The clip has one size: the frames' common one, as uncertain as frames
say, with the shape of their own samples (people's sizes have longer tails than a Gaussian: there are children).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...distributions.bodies import body_size, size_gradient
from ...distributions.told_height import TOLD
from ...geometry.frames import RootedFrame
from ...geometry.skeletons import Skeleton

__all__ = ["POINTS", "ClipSize", "Sizes", "regressed", "shape_of"]

#: Points by which the distribution of a clip's size is kept.
POINTS = 199
#: Draws of each frame's Gaussian, in mirrored pairs, behind its regression.
_DRAWS = 32
#: Metres by which covariances are blurred, so that they have square roots.
_BLUR = 1e-4
#: Least standard deviation of the logarithm of a frame's size.
_LEAST = 1e-3


@dataclass(frozen=True)
class Sizes:
    """What frames say of the body's size.

    Attributes:
        level: ``(T,)`` expected logarithm of the size (metres; `poseterior.distributions.bodies.body_size`).
        slope: ``(T, d)`` metres by which coordinates change per unit of it.
        variance: ``(T,)`` of the logarithm.
        shape: ``(POINTS,)`` quantiles of a frame's logarithm at even levels, about its mean, in its own standard
            deviations.
    """

    level: Float[Tensor, " T"]
    slope: Float[Tensor, "T d"]
    variance: Float[Tensor, " T"]
    shape: Float[Tensor, " points"]

    @classmethod
    def known(cls, frames: int, coordinates: int) -> Sizes:
        """Of a body whose size is no question."""
        nothing = torch.zeros(frames, dtype=torch.float64)
        return cls(nothing, torch.zeros(frames, coordinates, dtype=torch.float64), nothing, normal_shape())

    def __getitem__(self, rows: Tensor) -> Sizes:
        return replace(self, level=self.level[rows], slope=self.slope[rows], variance=self.variance[rows])

    def common(self, present: Tensor, scale: float, told: float | None = None) -> ClipSize:
        """The size of the clip.

        Args:
            present: ``(T,)`` frames that count.
            scale: by which the frames' own spread is multiplied.
            told: the person's height in metres, where it is known to some per cent.
        """
        level, variance = self.level[present], self.variance[present]
        weight = 1.0 / variance.clamp(min=_LEAST**2)
        weight = weight / weight.sum()
        centre, spread = (weight * level).sum(), scale * (weight * variance).sum().sqrt()
        points = centre + spread * self.shape
        if told is not None and float(spread) > 0:
            points = _given(points, told)
        centre = points.mean()
        return ClipSize(float(centre), points - centre)

    def resized(self, to: float) -> Float[Tensor, "T d"]:
        """By how much each frame's mean changes where the person has the logarithm of size ``to``."""
        return self.slope * (to - self.level).unsqueeze(-1)


@dataclass(frozen=True)
class ClipSize:
    """The size of one clip's person as a distribution.

    Attributes:
        level: expected logarithm.
        points: ``(POINTS,)`` quantiles about it, at even levels.
    """

    level: float
    points: Float[Tensor, " points"]

    @property
    def variance(self) -> float:
        return float(self.points.square().mean())

    def draw(self, normal: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Logarithms about the expected one, of standard normal numbers."""
        return self._quantile(torch.special.ndtr(normal.double()))

    def interval(self, level: float, stretch: float = 1.0) -> tuple[float, float, float]:
        """The size in metres: median, and the central interval of that probability, stretched by a factor."""
        ends = torch.tensor([0.5, 0.5 * (1.0 - level), 0.5 * (1.0 + level)], dtype=torch.float64)
        middle, low, high = (self.level + self._quantile(ends)).exp().tolist()
        return middle, middle + stretch * (low - middle), middle + stretch * (high - middle)

    def _quantile(self, level: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        place = (level * len(self.points) - 0.5).clamp(0, len(self.points) - 1)
        low = place.floor().clamp(max=len(self.points) - 2).long()
        return torch.lerp(self.points[low], self.points[low + 1], place - low)


def levels() -> Float[Tensor, " points"]:
    """Probabilities of the quantiles that are kept."""
    return (torch.arange(POINTS, dtype=torch.float64) + 0.5) / POINTS


def normal_shape() -> Float[Tensor, " points"]:
    return torch.special.ndtri(levels())


def _given(points: Tensor, told: float) -> Tensor:
    """Quantiles of the sizes that these are, once the height is told.

    The points are taken as the centres of normal distributions, so that there are tails beyond the last ones.
    """
    width = points.std() * len(points) ** -0.2
    precision = 1.0 / width**2 + 1.0 / TOLD**2
    centre = (points / width**2 + math.log(told) / TOLD**2) / precision
    weight = torch.softmax(-0.5 * (points - math.log(told)).square() / (width**2 + TOLD**2), 0)
    spread = precision.rsqrt()
    fine = torch.linspace(float(centre[0] - 5 * spread), float(centre[-1] + 5 * spread), 4001, dtype=points.dtype)
    chance = (torch.special.ndtr((fine.unsqueeze(-1) - centre) / spread) * weight).sum(-1)
    return fine[torch.searchsorted(chance, levels()).clamp(max=len(fine) - 1)]


def regressed(
    mean: Float[Tensor, "n d"], covariance: Float[Tensor, "n d d"], skeleton: Skeleton
) -> tuple[Sizes, Float[Tensor, "n d d"]]:
    """Size and what it does to each pose, and the covariance of a body of known size.

    The slope of the size is its mean gradient over the Gaussian (Stein's lemma): it is not linear where the direction
    of a bone is uncertain.

    Args:
        mean, covariance: metres, of the joints other than the root, flattened; float64.
        skeleton: of the poses.
    """
    identity = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
    lower = torch.linalg.cholesky(covariance + _BLUR**2 * identity)
    generator = torch.Generator().manual_seed(0)  # the same numbers for all frames
    half = torch.randn(_DRAWS // 2, mean.shape[-1], generator=generator, dtype=mean.dtype).to(mean.device)
    about = torch.einsum("nij,kj->kni", lower, torch.cat([half, -half]))
    poses = RootedFrame(skeleton).to_camera((mean + about).unflatten(-1, (-1, 3)))
    size = body_size(poses, skeleton)
    gradient = size_gradient(poses, skeleton) / size[..., None, None]
    gradient = gradient.mean(0)[:, list(skeleton.nonroot)].flatten(1)
    along = (covariance @ gradient.unsqueeze(-1)).squeeze(-1)
    variance = (gradient * along).sum(-1).clamp(min=_LEAST**2)
    slope = along / variance.unsqueeze(-1)
    rest = covariance - variance[:, None, None] * slope.unsqueeze(-1) * slope.unsqueeze(-2)
    return Sizes(size.log().mean(0), slope, variance, normal_shape()), rest


def shape_of(drawn: Float[Tensor, "samples n"]) -> Float[Tensor, " points"]:
    """The common shape of several distributions: the mean of their quantiles, each in its own standard deviations."""
    about = drawn.double() - drawn.double().mean(0)
    scaled = about / about.std(0).clamp(min=1e-9)
    shape = scaled.quantile(levels().to(drawn.device), dim=0).mean(-1).cpu()
    return shape - shape.mean()
