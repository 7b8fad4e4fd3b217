"""Distributions over 3D poses, as returned by lifters.

Event shape ``(joints, 3)``: metres, relative to the root joint, camera axes (x right, y down, z forward).
The root is zero in every sample; densities are with respect to Lebesgue measure on the other joints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import Distribution, constraints

from ..geometry.skeletons import Skeleton, get_skeleton
from .regions import SAMPLES, SEED, Recalibration, Region, check_level, region_of, seed_for

if TYPE_CHECKING:
    from ..keypoints import Keypoints2D


__all__ = [
    "PoseDistribution",
    "SampledPoseDistribution",
    "seeded",
]


def seeded(seed: int | None, device: torch.device | str = "cpu") -> torch.Generator | None:
    """A generator with that seed (None: torch's global one)."""
    return None if seed is None else torch.Generator(device=device).manual_seed(seed)


class PoseDistribution(Distribution):
    """A probability distribution over 3D poses.

    Attributes:
        skeleton: joint order of the event.
        units: ``"metres"``.
        axes: ``"x right, y down, z forward (camera)"``.
        origin: name of the root joint, which is at zero in every pose.
        has_density: whether `log_prob` exists.
        can_marginalise: whether `log_prob` takes ``observed``, i.e. integrates joints out exactly.
        recalibration: what makes `region` right; set by a lifter that has one, else None.
        keypoints: what the lifter saw, in its skeleton; set by the lifter.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 - torch.distributions' own protocol
    support = constraints.independent(constraints.real, 2)
    has_density = True
    can_marginalise = False
    units = "metres"
    axes = "x right, y down, z forward (camera)"
    recalibration: Recalibration | None = None
    keypoints: Keypoints2D | None = None

    def __init__(self, batch_shape: torch.Size, skeleton: str | Skeleton) -> None:
        self.skeleton = get_skeleton(skeleton)
        super().__init__(batch_shape, torch.Size((len(self.skeleton), 3)), validate_args=False)

    @property
    def origin(self) -> str:
        return self.skeleton.joints[self.skeleton.root]

    @property
    def visible(self) -> Bool[Tensor, "*batch joints"] | None:
        """Joints that the lifter saw; None where no lifter made the distribution."""
        return None if self.keypoints is None else self.keypoints.visible

    def sample(
        self,
        sample_shape: Any = torch.Size(),  # noqa: B008 - signature of torch.distributions
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Float[Tensor, "*samples_batch joints 3"]:
        """Draw poses: ``(*sample_shape, *batch, joints, 3)`` metres. The same seed gives the same poses."""
        raise NotImplementedError

    def weighted_rsample(
        self, samples: int = 1
    ) -> tuple[Float[Tensor, "draws *batch joints 3"], Float[Tensor, "draws *batch"]]:
        """Poses with gradients and weights that sum to 1 over the draws: what expected losses are made of.

        The weighted sum of any function of the poses estimates its expectation without bias, and its gradient
        with respect to the parameters too. By default ``samples`` draws of `rsample`, equally weighted.

        Raises:
            NotImplementedError: the distribution has no samples with gradients.
        """
        poses = self.rsample((samples,))
        return poses, poses.new_full(poses.shape[:-2], 1.0 / samples)

    @property
    def covariance(self) -> Float[Tensor, "*batch joints 3 3"]:
        """Covariance of each joint's position, m² (zero for the root)."""
        raise NotImplementedError

    @property
    def stddev(self) -> Float[Tensor, "*batch joints 3"]:
        """Standard deviation of each coordinate, metres."""
        return self.covariance.diagonal(dim1=-2, dim2=-1).clamp(min=0.0).sqrt()

    @property
    def variance(self) -> Float[Tensor, "*batch joints 3"]:
        return self.covariance.diagonal(dim1=-2, dim2=-1)

    def region(self, level: float = 0.9) -> Region:
        """Balls that hold each joint, and balls that hold the whole pose, with that probability.

        Their centres are the medians of samples, always the same ones for the same batch of keypoints. The radii are
        the samples' own, made right by the lifter's `recalibration` if it has one (all shipped lifters have): then
        they hold as often as they say on poses like those it was fitted on. Each level is made right by itself, so
        that where a lifter's own far samples are very wrong, balls of neighbouring levels may not be nested.

        Args:
            level: probability, e.g. 0.9.

        Raises:
            InputError: a level that is not between 0 and 1.
        """
        check_level(level)
        ours = self.recalibration
        samples, seed = (SAMPLES, SEED) if ours is None else (ours.samples, ours.seed)
        if self.keypoints is not None:
            seed = seed_for(self.keypoints.xy, seed)
        return region_of(self.sample((samples,), seed=seed), self.skeleton, level, ours, self.visible)

    def cluster(
        self, k: int = 10, samples: int = 200, *, seed: int = 0
    ) -> tuple[Float[Tensor, "*batch k joints 3"], Float[Tensor, "*batch k"]]:
        """Reduce drawn poses to ``k`` representatives by k-means, likeliest first, with their probabilities.

        Args:
            k: number of representatives.
            samples: number of poses drawn.
            seed: of the poses and of the starts of k-means.

        Raises:
            InputError: more representatives than samples.
        """
        from .clustering import cluster

        return cluster(self.sample((samples,), seed=seed), k, seed=seed)

    @property
    def hypotheses(self) -> tuple[Float[Tensor, "*batch k joints 3"], Float[Tensor, "*batch k"]]:
        """A few representative poses and their probabilities, likeliest first (default: `cluster` of 8)."""
        return self.cluster(8)

    def no_density(self) -> NotImplementedError:
        """The error that `log_prob` raises where a density does not exist."""
        return NotImplementedError(
            f"{type(self).__name__} has no density: log_prob is not defined for it; use samples instead"
        )


class SampledPoseDistribution(PoseDistribution):
    """A distribution known by its samples: mean and covariance are those of `summary_draws` fixed draws.

    Subclasses implement `rsample`; the draws are made once, under seed 0 and without gradients.
    """

    has_rsample = True
    summary_draws = 256
    _moments: tuple[Tensor, Tensor] | None = None

    def rsample(
        self,
        sample_shape: Any = torch.Size(),  # noqa: B008
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """As `sample`, with gradients to the lifter's parameters."""
        raise NotImplementedError

    @torch.no_grad()
    def sample(
        self,
        sample_shape: Any = torch.Size(),  # noqa: B008
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        return self.rsample(sample_shape, generator=generator, seed=seed)

    def _draw_for_summary(self) -> Tensor:
        return self.sample((self.summary_draws,), seed=0)

    @torch.no_grad()
    def _mean_and_covariance(self) -> tuple[Tensor, Tensor]:
        if self._moments is None:
            drawn = self._draw_for_summary()
            mean = drawn.mean(0)
            offset = drawn - mean
            self._moments = mean, torch.einsum("s...i,s...j->...ij", offset, offset) / (len(drawn) - 1)
        return self._moments

    @property
    def mean(self) -> Tensor:
        return self._mean_and_covariance()[0]

    @property
    def covariance(self) -> Tensor:
        return self._mean_and_covariance()[1]


def _with_root(flat: Tensor, rotation: Tensor | None, skeleton: Skeleton) -> Tensor:
    """Flattened poses in turned axes without the root -> camera axes with the root at zero."""
    poses = flat.unflatten(-1, (-1, 3))
    if rotation is not None:
        poses = poses @ rotation
    root = skeleton.root
    return torch.cat([poses[..., :root, :], torch.zeros_like(poses[..., :1, :]), poses[..., root:, :]], -2)


def _without_root(poses: Tensor, rotation: Tensor | None, skeleton: Skeleton) -> Tensor:
    """Inverse of `_with_root`."""
    root = skeleton.root
    poses = torch.cat([poses[..., :root, :], poses[..., root + 1 :, :]], -2)
    if rotation is not None:
        poses = poses @ rotation.transpose(-1, -2)
    return poses.flatten(-2)
