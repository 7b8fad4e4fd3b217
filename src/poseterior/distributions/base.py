"""Distributions over 3D poses, as returned by lifters.

Event shape ``(joints, 3)``: metres, relative to the root joint, camera axes (x right, y down, z forward).
The root is zero in every sample; densities are with respect to Lebesgue measure on the other joints.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributions import constraints

from ..files.errors import InputError
from ..geometry.frames import with_root, without_root
from ..geometry.skeletons import Skeleton, get_skeleton
from ..noise import Noise, SharedNoise, mixed
from .balls import SAMPLES, SEED, SPREAD_LEVEL, check_level
from .bodies import BodyMeasure, heights, proportions
from .drawn import Drawn
from .recalibration import Recalibration
from .regions import Region, calibrated_region, region_of
from .seeded import SeededDistribution

if TYPE_CHECKING:
    from ..keypoints import Keypoints2D
    from .evidence import Evidence


__all__ = [
    "PoseDistribution",
]


class PoseDistribution(SeededDistribution):
    """A probability distribution over 3D poses.

    What a user calls stands here (and in `SeededDistribution`) once: `sample`, `rsample`, `sample_and_log_prob`,
    `weighted_rsample`, `log_prob`, `mean`, `median`, `mode`, `covariance`, `stddev`, `variance`, `region`, `height`,
    `proportions`, `cluster`, `hypotheses` and `expand`. It checks arguments and answers for empty batches, so that
    hooks see neither.

    **To write another distribution** subclass this, call ``super().__init__(batch_shape, skeleton, like)``, and
    implement hooks. Each gets and returns tensors with the root joint in place, at zero.

    * Required: ``_draw(shape, noise)``, and ``_mean()`` and ``_covariance()`` unless the class is a
      `poseterior.distributions.sampled.SampledPoseDistribution`, which takes both from draws.
    * Where samples have gradients: ``has_rsample = True``; `sample` itself draws without.
    * Where there is a density: ``has_density = True`` and ``_log_prob(value, observed)``; ``can_marginalise = True`` if
      it integrates out the joints that are not ``observed`` (otherwise that is always None).
    * ``batched`` names the attributes that have the batch shape in front; `expand` expands them.
    * Optional, where there is something better than the default: ``_mode()``, ``_median()``, ``_hypotheses()``,
      ``_weighted_draw(samples, noise)``, ``_region_samples(count, seed)``, ``_closed_balls(level)``,
      ``_draws_for_summary()``, ``_draw_and_log_prob(shape, noise)``, ``_expanded(batch_shape)``, ``_details()`` for the
      `repr`.

    >>> from torch.distributions import Normal
    >>> from poseterior.geometry.frames import RootedFrame
    >>> class RoundPoseDistribution(PoseDistribution):
    ...     "A pose, and the same normal error in every coordinate of every joint but the root."
    ...
    ...     has_rsample = has_density = True
    ...     batched = ("loc",)
    ...
    ...     def __init__(self, loc, spread, skeleton="h36m17"):
    ...         super().__init__(loc.shape[:-2], skeleton, like=loc)
    ...         self.loc, self.spread = loc, spread
    ...
    ...     def _draw(self, shape, noise):
    ...         size = (*shape, *self.batch_shape, len(self.skeleton.nonroot), 3)
    ...         errors = self.spread * self._normal(noise, *size, event=2)
    ...         return self.loc + RootedFrame(self.skeleton).to_camera(errors)
    ...
    ...     def _log_prob(self, value, observed):
    ...         errors = RootedFrame(self.skeleton).from_camera(value - self.loc)
    ...         return Normal(0.0, self.spread).log_prob(errors).sum((-2, -1))
    ...
    ...     def _mean(self):
    ...         return self.loc
    ...
    ...     def _covariance(self):
    ...         variance = torch.full_like(self.loc, self.spread**2)
    ...         variance[..., self.skeleton.root, :] = 0.0
    ...         return torch.diag_embed(variance)
    >>> poses = RoundPoseDistribution(torch.zeros(5, 17, 3), 0.1)
    >>> poses
    RoundPoseDistribution(batch_shape=(5,), skeleton='h36m17')
    >>> poses.sample((200,), seed=0).shape, poses.expand((2, 5)).log_prob(poses.mean).shape
    (torch.Size([200, 5, 17, 3]), torch.Size([2, 5]))

    Attributes:
        skeleton: joint order of the event.
        dtype, device: of the samples.
        units: ``"metres"``.
        axes: ``"x right, y down, z forward (camera)"``.
        origin: name of the root joint, which is at zero in every pose.
        has_density: whether `log_prob` exists.
        has_rsample: whether `rsample` exists.
        can_marginalise: whether `log_prob` takes ``observed``, i.e. integrates joints out exactly.
        recalibration: what makes `region` right; set by a lifter that has one, else None.
        keypoints: what the lifter saw, in its skeleton, before any `expand`; set by the lifter.

    Args:
        batch_shape: of the distribution.
        skeleton: joint order.
        like: a tensor whose dtype and device the samples have.
    """

    support = constraints.independent(constraints.real, 2)
    can_marginalise = False
    units = "metres"
    axes = "x right, y down, z forward (camera)"
    recalibration: Recalibration | None = None
    keypoints: Keypoints2D | None = None
    #: Whether it has been given its keypoints already, see `given_evidence`.
    has_evidence = False
    #: Fixed draws behind a summary that has no closed form.
    summary_draws = 256
    #: Fixed draws behind `rough_mean`.
    rough_draws = 16

    def __init__(self, batch_shape: torch.Size, skeleton: str | Skeleton, like: Tensor) -> None:
        skeleton = get_skeleton(skeleton)
        super().__init__(batch_shape, (len(skeleton), 3), skeleton, like)

    @property
    def origin(self) -> str:
        return self.skeleton.joints[self.skeleton.root]

    @property
    def visible(self) -> Bool[Tensor, "*batch joints"] | None:
        """Joints that the lifter saw; None where no lifter made the distribution."""
        if self.keypoints is None:
            return None
        return self.keypoints.visible.expand(*self.batch_shape, len(self.skeleton))

    def _keys(self) -> Int[Tensor, "*batch"]:
        if self.keypoints is None:
            return super()._keys()
        known = self.keypoints.keys.expand(self.batch_shape)
        if self.keypoints.batch_shape == self.batch_shape:
            return known
        return mixed(known, super()._keys())  # copies by `expand` are independent of one another

    # -- hooks ---------------------------------------------------------------------------------------------

    def _log_prob(self, value: Tensor, observed: Tensor | None) -> Tensor:
        """Log-density ``(*samples, *batch)`` in nats of poses ``(*samples, *batch, joints, 3)``.

        ``observed`` is ``(*batch, joints)`` or None; the value of other joints is 0, that of the root may be anything.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement _log_prob, or say has_density = False")

    def _mean(self) -> Tensor:
        """``(*batch, joints, 3)`` metres."""
        raise NotImplementedError(f"{type(self).__name__} must implement _mean")

    def _rough_mean(self) -> Tensor:
        """``(*batch, joints, 3)`` metres; default: the mean."""
        return self._mean()

    def _covariance(self) -> Tensor:
        """``(*batch, joints, 3, 3)`` m² of each joint."""
        raise NotImplementedError(f"{type(self).__name__} must implement _covariance")

    def _joint_moments(self) -> tuple[Tensor, Tensor]:
        """Mean ``(*batch, joints, 3)`` and covariance ``(*batch, d, d)`` of the joints other than the root, d numbers
        in all; default: of fixed draws."""
        draws = self._draws_for_summary()
        return self._moments_of(draws, len(draws) - 1)

    def _moments_of(self, poses: Float[Tensor, "points *batch joints 3"], count: int) -> tuple[Tensor, Tensor]:
        """The same of these poses, the sum of squares divided by ``count``."""
        mean = poses.mean(0)
        offset = without_root(poses - mean, self.skeleton.root).flatten(-2).movedim(0, -2)
        return mean, offset.mT @ offset / count

    def _blocks(self, covariance: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch joints 3 3"]:
        """Covariance of each joint by itself, of that of all joints but the root; zero for the root."""
        count = len(self.skeleton.nonroot)
        parts = covariance.unflatten(-1, (count, 3)).unflatten(-3, (count, 3)).diagonal(dim1=-4, dim2=-2)
        return with_root(parts.movedim(-1, -3), self.skeleton.root, -3)

    def _median(self) -> Tensor:
        """``(*batch, joints, 3)`` metres; default: of fixed draws."""
        return self._draws_for_summary().median(0).values

    def _mode(self) -> Tensor:
        """``(*batch, joints, 3)`` metres."""
        raise NotImplementedError

    def _hypotheses(self) -> tuple[Tensor, Tensor]:
        """``(*batch, k, joints, 3)`` metres and ``(*batch, k)`` probabilities, likeliest first."""
        return self.cluster(8)

    def _weighted_draw(self, samples: int, noise: Noise) -> tuple[Tensor, Tensor]:
        """See `weighted_rsample`."""
        if not self.has_rsample:
            raise NotImplementedError(f"{type(self).__name__} has no samples with gradients")
        poses = self._draw_any(torch.Size((samples,)), noise)
        return poses, poses.new_full(poses.shape[:-2], 1.0 / samples)

    def _region_samples(self, count: int, seed: int) -> Tensor:
        """The poses ``(samples, *batch, joints, 3)`` of which `region` is made."""
        return self.sample((count,), seed=seed)

    def _closed_balls(self, level: float) -> tuple[Tensor, Tensor] | None:
        """See `closed_balls`."""
        return None

    def _draws_for_summary(self, count: int | None = None) -> Tensor:
        """Fixed draws ``(draws, *batch, joints, 3)``, without gradients: of the same numbers for every pose.

        ``count`` of them, an even number; None: `summary_draws`.
        """
        with torch.no_grad():
            return self._draw_any(torch.Size((count or self.summary_draws,)), SharedNoise(0, self.batch_shape))

    # -- samples and density -------------------------------------------------------------------------------

    @final
    def weighted_rsample(
        self, samples: int = 1, *, generator: torch.Generator | None = None, seed: int | None = None
    ) -> tuple[Float[Tensor, "draws *batch joints 3"], Float[Tensor, "draws *batch"]]:
        """Poses with gradients and weights that sum to 1 over the draws: what expected losses are made of.

        The weighted sum of any function of the poses estimates its expectation without bias, and its gradient
        with respect to the parameters too. By default ``samples`` draws of `rsample`, equally weighted; a mixture
        draws so many of every component.

        Raises:
            NotImplementedError: the distribution has no samples with gradients.
            InputError: as `sample`.
        """
        (count,), source = self._checked((samples,), generator, seed)
        return self._weighted_draw(count, source)

    @final
    def log_prob(
        self,
        value: Float[Tensor, "*samples_batch joints 3"],
        observed: Bool[Tensor, "*batch joints"] | None = None,
    ) -> Float[Tensor, "*samples_batch"]:
        """Exact log-density in nats, with respect to Lebesgue measure (metres) on the joints other than the root.

        Args:
            value: poses relative to the root, metres, camera axes. Their batch shape and the distribution's broadcast.
            observed: if given, the density is the marginal one of these joints; other values are ignored, NaN
                included. The root is never counted.

        Raises:
            NotImplementedError: the distribution has no density (`has_density`), or ``observed`` leaves out joints
                and it cannot integrate them out (`can_marginalise`).
            InputError: ``value`` or ``observed`` of another shape.
        """
        if not self.has_density:
            raise self.no_density()
        value = self._as_draws(value)
        if observed is not None:
            value, observed = self._as_observed(value, observed)
        if not value.numel():
            return value.new_zeros(value.shape[:-2])
        return self._log_prob(value, observed)

    def _as_observed(self, value: Tensor, observed: Tensor) -> tuple[Tensor, Tensor | None]:
        """Poses without what is not observed, and the mask that the hook gets."""
        if observed.shape[-1:] != self.event_shape[:1]:
            raise InputError(
                f"observed has shape {tuple(observed.shape)}; expected (*batch, {len(self.skeleton)}): "
                f"one per joint of {self.skeleton.name}"
            )
        if self.can_marginalise:
            return torch.where(observed.unsqueeze(-1), value, 0.0), observed
        if not bool(observed[..., self.skeleton.nonroot].all()):
            raise NotImplementedError(
                f"{type(self).__name__} has no marginal densities: log_prob needs every joint of the pose"
            )
        return value, None

    # -- summaries -----------------------------------------------------------------------------------------

    def _nothing(self, *event: int) -> Tensor | None:
        """The summary of an empty batch; None where the batch has poses."""
        if self.batch_shape.numel():
            return None
        return torch.zeros(*self.batch_shape, *event, dtype=self.dtype, device=self.device)

    @final
    @property
    def mean(self) -> Float[Tensor, "*batch joints 3"]:
        """Mean of each coordinate, metres."""
        nothing = self._nothing(*self.event_shape)
        return self._mean() if nothing is None else nothing

    @final
    @property
    def rough_mean(self) -> Float[Tensor, "*batch joints 3"]:
        """The mean, metres, but of `rough_draws` fixed draws where it has no closed form: right to some cm."""
        nothing = self._nothing(*self.event_shape)
        return self._rough_mean() if nothing is None else nothing

    @final
    @property
    def median(self) -> Float[Tensor, "*batch joints 3"]:
        """Median of each coordinate, metres: of 256 fixed draws where it has no closed form."""
        nothing = self._nothing(*self.event_shape)
        return self._median() if nothing is None else nothing

    @final
    @property
    def mode(self) -> Float[Tensor, "*batch joints 3"]:
        """The pose of highest density, as far as it is found, metres.

        Raises:
            NotImplementedError: the distribution has no density, so no mode, or no way to find it.
        """
        if type(self)._mode is PoseDistribution._mode:
            why = "no mode" if self.has_density else "no density, so no mode"
            raise NotImplementedError(f"{type(self).__name__} has {why}; use mean, median or samples")
        nothing = self._nothing(*self.event_shape)
        return self._mode() if nothing is None else nothing

    @final
    @property
    def covariance(self) -> Float[Tensor, "*batch joints 3 3"]:
        """Covariance of each joint's position, m² (zero for the root)."""
        nothing = self._nothing(*self.event_shape, 3)
        return self._covariance() if nothing is None else nothing

    @final
    @property
    def joint_moments(self) -> tuple[Float[Tensor, "*batch joints 3"], Float[Tensor, "*batch d d"]]:
        """Mean in metres, and covariance in m² of all coordinates of all joints but the root: how they go together.

        The ``d`` coordinates are those of ``skeleton.nonroot``, x, y, z of one joint after the other.
        """
        count = 3 * len(self.skeleton.nonroot)
        nothing = self._nothing(count, count)
        return self._joint_moments() if nothing is None else (self.mean, nothing)

    @final
    @property
    def variance(self) -> Float[Tensor, "*batch joints 3"]:
        """Variance of each coordinate, m²."""
        return self.covariance.diagonal(dim1=-2, dim2=-1)

    @final
    @property
    def stddev(self) -> Float[Tensor, "*batch joints 3"]:
        """Standard deviation of each coordinate, metres."""
        return self.variance.clamp(min=0.0).sqrt()

    @final
    @property
    def height(self) -> BodyMeasure:
        """How tall the person is, metres: mean, standard deviation and interval, of fixed draws.

        >>> import poseterior as pp
        >>> poses = pp.load("mdn")(pp.example_keypoints())
        >>> low, high = poses.height.interval(0.9)
        >>> bool((low < poses.height.mean).all() and (poses.height.mean < high).all())
        True

        Raises:
            InputError: another skeleton than h36m17.
        """
        if "height" not in self._cache:
            self._cache["height"] = heights(self._draws_or_none(), self.skeleton)
        return self._cache["height"]

    @final
    @property
    def proportions(self) -> BodyMeasure:
        """How long the parts of the body are (`poseterior.distributions.bodies.PARTS`), as shares of the height.

        Raises:
            InputError: another skeleton than h36m17.
        """
        return proportions(self._draws_or_none(), self.skeleton)

    @torch.no_grad()
    def _draws_or_none(self) -> Float[Tensor, "draws *batch joints 3"]:
        """The draws behind summaries; of an empty batch some of no poses."""
        if self.batch_shape.numel():
            return self._draws_for_summary()
        size = (self.summary_draws, *self.batch_shape, *self.event_shape)
        return torch.zeros(size, dtype=self.dtype, device=self.device)

    @final
    def region(self, level: float = 0.9, drawn: Drawn | None = None) -> Region:
        """Balls that hold each joint, and balls that hold the whole pose, with that probability.

        Their centres are the medians of samples, always the same ones for the same keypoints, in whatever batch; or
        those of `closed_balls`, where these were calibrated. The radii are the samples' own, made right by the lifter's
        `recalibration` if it has one (all shipped lifters have): then they hold as often as they say on poses like
        those it was fitted on. Balls of a larger level are never smaller.

        Args:
            level: probability, e.g. 0.9; with a recalibration at most its `highest`, 0.999 for all shipped lifters.
            drawn: samples that were drawn of this distribution already; where they are the ones that the region is made
                of they are not drawn again.

        Raises:
            InputError: a level that is not between 0 and 1, or one that the recalibration has no guarantee for.
        """
        check_level(level)
        ours = self.recalibration
        known = self.closed_balls(SPREAD_LEVEL) if ours is not None and not ours.samples else None
        if ours is not None and known is not None:
            return calibrated_region(*known, self.skeleton, level, ours, self.visible)
        samples, seed = (SAMPLES, SEED) if ours is None else (ours.draws, ours.seed)
        if drawn is not None and (drawn.number, drawn.seed) == (samples, seed) and not self._own_region_samples:
            poses = drawn.poses
        else:
            poses = self._region_samples(samples, seed)
        return region_of(poses, self.skeleton, level, ours, self.visible)

    @property
    def _own_region_samples(self) -> bool:
        """Whether regions are made of other samples than those that `sample` gives."""
        return type(self)._region_samples is not PoseDistribution._region_samples

    @final
    def closed_balls(
        self, level: float = 0.9
    ) -> tuple[Float[Tensor, "*batch joints 3"], Float[Tensor, "*batch joints"]] | None:
        """Median of each coordinate, and each joint's radius (1 mm at least), metres, as of infinitely many samples.

        `region` is made of them where its recalibration was. There are no gradients. None: there is no such form. See
        `poseterior.distributions.mixture_balls` for what they are right to.

        Args:
            level: probability of each ball.

        Raises:
            InputError: a level that is not between 0 and 1.
        """
        check_level(level)
        if not self.batch_shape.numel():
            return None
        with torch.no_grad():
            return self._closed_balls(level)

    def given_evidence(
        self, keypoints: Keypoints2D | None = None, evidence: Evidence | None = None
    ) -> PoseDistribution:
        """The same distribution, given what the keypoints say exactly: see `poseterior.distributions.evidence`.

        A lifter with an `evidence` of its own has done so already; the shipped ones have none. The distribution must
        have been made of these keypoints, by something that read them less exactly than their covariance says. A
        lifter's recalibration is of its answers as they were: the regions of the new distribution are its samples' own.

        Args:
            keypoints: in any skeleton; None: those that the lifter saw.
            evidence: how exact they are given; None: the default.

        Raises:
            InputError: no keypoints are known, or they are of another batch shape.
        """
        given = importlib.import_module(f"{__package__}.given")  # found by its place: it stands on this module
        refined: PoseDistribution = given.given_evidence(self, keypoints, evidence)
        return refined

    @final
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

    @final
    @property
    def hypotheses(self) -> tuple[Float[Tensor, "*batch k joints 3"], Float[Tensor, "*batch k"]]:
        """A few representative poses and their probabilities, likeliest first (default: `cluster` of 8)."""
        return self._hypotheses()
