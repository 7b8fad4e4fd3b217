"""Distributions over 3D poses, as returned by lifters.

Event shape ``(joints, 3)``: metres, relative to the root joint, camera axes (x right, y down, z forward).
The root is zero in every sample; densities are with respect to Lebesgue measure on the other joints.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import Distribution, constraints

from .linalg import cholesky_or_nan, solve_lower_3x3
from .regions import SAMPLES, SEED, Recalibration, Region, check_level, region_of, seed_for
from .skeletons import Skeleton, get_skeleton

if TYPE_CHECKING:
    from .keypoints import Keypoints2D

__all__ = [
    "FlowPoseDistribution",
    "MixturePoseDistribution",
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


class MixturePoseDistribution(PoseDistribution):
    """A mixture of Gaussians over the joints other than the root.

    Component k has mean ``loc[k]`` and covariance ``L (I + U Uᵀ) Lᵀ``: ``L`` holds one 3x3 lower triangle a
    joint, ``U`` ties the joints together (rank 0: independent joints). The evidence is seen by a turned
    camera (`poseterior.cameras.canonical_view`); ``rotation`` turns its axes back to the camera's.

    Args:
        logits: ``(*batch, k)`` unnormalised log-weights.
        loc: ``(*batch, k, joints - 1, 3)`` metres, turned axes, joints in skeleton order without the root.
        scale_tril: ``(*batch, k, joints - 1, 3, 3)`` metres, positive diagonals.
        factor: ``(*batch, k, (joints - 1) * 3, rank)``, or ``(*batch, 1, ...)`` where the kernels share it,
            dimensionless; None for independent joints.
        rotation: ``(*batch, 3, 3)`` from camera axes to the turned axes, or None for the identity.
        skeleton: joint order.
    """

    can_marginalise = True

    def __init__(
        self,
        logits: Float[Tensor, "*batch k"],
        loc: Float[Tensor, "*batch k nonroot 3"],
        scale_tril: Float[Tensor, "*batch k nonroot 3 3"],
        factor: Float[Tensor, "*batch #k dims rank"] | None = None,
        rotation: Float[Tensor, "*batch 3 3"] | None = None,
        skeleton: str | Skeleton = "h36m17",
    ) -> None:
        super().__init__(logits.shape[:-1], skeleton)
        self.log_weights = logits.log_softmax(-1)
        self.loc, self.scale_tril, self.factor, self.rotation = loc, scale_tril, factor, rotation
        root = self.skeleton.root
        self._others = [j for j in range(len(self.skeleton)) if j != root]

    # -- axes and the root ---------------------------------------------------------------------------------

    def _to_camera(self, poses: Tensor) -> Tensor:
        """Turned axes without the root -> camera axes with the root at zero."""
        if self.rotation is not None:
            poses = poses @ self.rotation
        full = poses.new_zeros(*poses.shape[:-2], len(self.skeleton), 3)
        full[..., self._others, :] = poses
        return full

    def _from_camera(self, poses: Tensor) -> Tensor:
        """Inverse of `_to_camera`."""
        poses = poses[..., self._others, :]
        return poses if self.rotation is None else poses @ self.rotation.transpose(-1, -2)

    # -- density -------------------------------------------------------------------------------------------

    def _component_log_prob(self, poses: Tensor, observed: Tensor | None) -> Tensor:
        """Log-density of turned poses ``(..., joints - 1, 3)`` under every component: ``(..., k)``."""
        whitened = solve_lower_3x3(self.scale_tril, poses.unsqueeze(-3) - self.loc)
        log_scale = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        dims: Tensor | float = 3.0 * len(self._others)
        if observed is not None:
            mask = observed.unsqueeze(-2)
            whitened = torch.where(mask.unsqueeze(-1), whitened, 0.0)
            log_scale = torch.where(mask, log_scale, 0.0)
            dims = 3.0 * mask.sum(-1).to(log_scale.dtype)
        flat = whitened.flatten(-2)
        squared = flat.square().sum(-1)
        log_det = 2.0 * log_scale.sum(-1)
        if self.factor is not None:
            factor = self.factor
            if observed is not None:
                factor = factor * observed.repeat_interleave(3, -1)[..., None, :, None]
            rank = factor.shape[-1]
            capacitance = factor.transpose(-1, -2) @ factor + torch.eye(rank, dtype=flat.dtype, device=flat.device)
            chol = cholesky_or_nan(capacitance)
            eye = torch.eye(rank, dtype=flat.dtype, device=flat.device).expand_as(chol)
            half = factor @ torch.linalg.solve_triangular(chol, eye, upper=False).transpose(-1, -2)
            projected = flat @ half.squeeze(-3) if half.shape[-3] == 1 else (flat.unsqueeze(-2) @ half).squeeze(-2)
            squared = squared - projected.square().sum(-1)
            log_det = log_det + 2.0 * chol.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (squared + log_det + dims * math.log(2 * math.pi))

    def log_prob(
        self,
        value: Float[Tensor, "*samples_batch joints 3"],
        observed: Bool[Tensor, "*batch joints"] | None = None,
    ) -> Float[Tensor, "*samples_batch"]:
        """Exact log-density in nats, with respect to Lebesgue measure on the joints other than the root.

        Args:
            value: poses relative to the root, metres, camera axes.
            observed: if given, the density is the marginal one of these joints; other values are ignored.
        """
        if observed is not None:
            value = torch.where(observed.unsqueeze(-1), value, 0.0)
            observed = observed[..., self._others]
        joint = self.log_weights + self._component_log_prob(self._from_camera(value), observed)
        return joint.logsumexp(-1)

    # -- sampling ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self,
        sample_shape: Any = torch.Size(),  # noqa: B008
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        generator = seeded(seed, self.loc.device) if generator is None else generator
        shape = torch.Size(sample_shape)
        count, batch = shape.numel(), self.batch_shape.numel()
        k, joints = self.loc.shape[-3:-1]
        if batch == 0:
            return self.loc.new_zeros(*shape, *self.batch_shape, *self.event_shape)
        weights = self.log_weights.exp().reshape(batch, k)
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator)  # (batch, count)
        row = torch.arange(batch, device=chosen.device).unsqueeze(-1) * k + chosen
        noise = torch.randn(batch, count, joints * 3, generator=generator, device=self.loc.device, dtype=self.loc.dtype)
        if self.factor is not None:
            rank = self.factor.shape[-1]
            tied = torch.randn(batch, count, rank, generator=generator, device=self.loc.device, dtype=self.loc.dtype)
            factor = self.factor.reshape(batch, -1, joints * 3, rank)
            if factor.shape[1] == 1:
                noise = noise + tied @ factor[:, 0].transpose(-1, -2)
            else:
                own = factor.reshape(batch * k, joints * 3, rank)[row]
                noise = noise + (own @ tied.unsqueeze(-1)).squeeze(-1)
        lower = self.scale_tril.reshape(batch * k, joints, 3, 3)[row]
        poses = (lower @ noise.unflatten(-1, (joints, 3)).unsqueeze(-1)).squeeze(-1)
        poses = poses + self.loc.reshape(batch * k, joints, 3)[row]
        poses = poses.transpose(0, 1).reshape(*shape, *self.batch_shape, joints, 3)
        return self._to_camera(poses)

    def weighted_rsample(self, samples: int = 1) -> tuple[Tensor, Tensor]:
        """Draws of every component, weighted by the components' probabilities: ``samples * k`` draws."""
        joints = self.loc.shape[-2]
        shape = (samples, *self.loc.shape[:-2], joints * 3)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        if self.factor is not None:
            tied = torch.randn(*shape[:-1], self.factor.shape[-1], dtype=self.loc.dtype, device=self.loc.device)
            noise = noise + (self.factor @ tied.unsqueeze(-1)).squeeze(-1)
        moved = (self.scale_tril @ noise.unflatten(-1, (joints, 3)).unsqueeze(-1)).squeeze(-1)
        poses = (self.loc + moved).movedim(-3, 0).flatten(0, 1)
        weights = self.log_weights.exp().movedim(-1, 0).repeat_interleave(samples, 0) / samples
        return self._to_camera(poses), weights

    # -- summaries -----------------------------------------------------------------------------------------

    @property
    def mean(self) -> Tensor:
        return self._to_camera((self.log_weights.exp()[..., None, None] * self.loc).sum(-3))

    def _component_joint_covariance(self) -> Tensor:
        """Covariance of each joint under each component, turned axes: ``(*batch, k, joints - 1, 3, 3)``."""
        root = self.scale_tril
        covariance = root @ root.transpose(-1, -2)
        if self.factor is not None:
            tied = root @ self.factor.unflatten(-2, (-1, 3))
            covariance = covariance + tied @ tied.transpose(-1, -2)
        return covariance

    @property
    def covariance(self) -> Tensor:
        weights = self.log_weights.exp()[..., None, None, None]
        mean = (weights[..., 0] * self.loc).sum(-3, keepdim=True)
        offset = (self.loc - mean).unsqueeze(-1)
        total = (weights * (self._component_joint_covariance() + offset @ offset.transpose(-1, -2))).sum(-4)
        if self.rotation is not None:
            turn = self.rotation.unsqueeze(-3)
            total = turn.transpose(-1, -2) @ total @ turn
        full = total.new_zeros(*total.shape[:-3], len(self.skeleton), 3, 3)
        full[..., self._others, :, :] = total
        return full

    @property
    def hypotheses(self) -> tuple[Tensor, Tensor]:
        """The component means ``(*batch, k, joints, 3)`` and weights ``(*batch, k)``, likeliest first."""
        weights, order = self.log_weights.exp().sort(-1, descending=True)
        index = order[..., None, None].expand(self.loc.shape)
        means = self.loc.gather(-3, index)
        # Kernels go in front, where samples are, for the turn.
        return self._to_camera(means.movedim(-3, 0)).movedim(0, -3), weights

    @property
    def mode(self) -> Tensor:
        """The highest mode that mode finding reaches from the component means ``(*batch, joints, 3)``.

        Fixed-point iteration for Gaussian mixtures (Carreira-Perpinan 2000, as recommended by Bishop 1994):
        it climbs from every mean and keeps the best.
        """
        if self.loc.numel() == 0:
            return self.mean
        k, joints = self.loc.shape[-3:-1]
        dims = joints * 3
        loc = self.loc.reshape(-1, k, dims).double()
        lower = torch.zeros(*loc.shape, dims, dtype=loc.dtype, device=loc.device)
        blocks = self.scale_tril.reshape(-1, k, joints, 3, 3).double()
        for joint in range(joints):
            at = slice(3 * joint, 3 * joint + 3)
            lower[..., at, at] = blocks[..., joint, :, :]
        inner = torch.eye(dims, dtype=loc.dtype, device=loc.device).expand_as(lower)
        if self.factor is not None:
            factor = self.factor.reshape(-1, self.factor.shape[-3], dims, self.factor.shape[-1]).double()
            inner = inner + factor @ factor.transpose(-1, -2)
        root = lower @ torch.linalg.cholesky(inner)
        log_norm = self.log_weights.reshape(-1, k).double() - root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        precision = torch.cholesky_inverse(root)
        weighted = (precision @ loc.unsqueeze(-1)).squeeze(-1)

        def log_responsibility(points: Tensor) -> Tensor:  # (batch, starts, dims) -> (batch, starts, k)
            offset = points.unsqueeze(-2) - loc.unsqueeze(1)
            squared = torch.einsum("bskd,bkde,bske->bsk", offset, precision, offset)
            return log_norm.unsqueeze(1) - 0.5 * squared

        points = loc.clone()
        for _ in range(100):
            share = log_responsibility(points).softmax(-1)
            total = torch.einsum("bsk,bkde->bsde", share, precision)
            climbed = torch.linalg.solve(total, torch.einsum("bsk,bkd->bsd", share, weighted))
            moved = (climbed - points).abs().max()
            points = climbed
            if moved < 1e-7:
                break
        best = log_responsibility(points).logsumexp(-1).argmax(-1)
        mode = points[torch.arange(len(points), device=loc.device), best].to(self.loc.dtype)
        return self._to_camera(mode.reshape(*self.batch_shape, joints, 3))


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


class FlowPoseDistribution(SampledPoseDistribution):
    """A normalizing flow over the joints other than the root: an invertible map of poses to Gaussian latents.

    The map acts on turned axes (see `MixturePoseDistribution`). What belongs to one pose's evidence is inside
    ``transform``, so that many samples of the same pose cost only what differs between them.

    Mean and covariance have no closed form: they are those of fixed draws in antithetic pairs (latents z and -z).

    Args:
        transform: from ``(*samples, *batch, (joints - 1) * 3)`` metres to latents of the same shape, with
            ``call_and_ladj`` and ``inv`` as in zuko.
        batch_shape: of the evidence.
        latent_scale: standard deviation of the latents.
        rotation: ``(*batch, 3, 3)`` from camera axes to the turned axes, or None for the identity.
        skeleton: joint order.
        like: a tensor whose dtype and device the samples have.
    """

    def __init__(
        self,
        transform: Any,
        batch_shape: torch.Size,
        latent_scale: float = 1.0,
        rotation: Float[Tensor, "*batch 3 3"] | None = None,
        skeleton: str | Skeleton = "h36m17",
        like: Tensor | None = None,
    ) -> None:
        super().__init__(torch.Size(batch_shape), skeleton)
        self.transform, self.latent_scale, self.rotation = transform, latent_scale, rotation
        self._like = torch.zeros(()) if like is None else like

    @property
    def _dims(self) -> int:
        return 3 * (len(self.skeleton) - 1)

    def from_latent(self, latent: Float[Tensor, "*samples_batch dims"]) -> Float[Tensor, "*samples_batch joints 3"]:
        """The poses of these latents (unit scale: standard normal draws give samples)."""
        return _with_root(self.transform.inv(self.latent_scale * latent), self.rotation, self.skeleton)

    def log_prob(
        self,
        value: Float[Tensor, "*samples_batch joints 3"],
        observed: Bool[Tensor, "*batch joints"] | None = None,
    ) -> Float[Tensor, "*samples_batch"]:
        """Exact log-density in nats, with respect to Lebesgue measure on the joints other than the root.

        Raises:
            NotImplementedError: ``observed`` leaves out joints: a flow cannot integrate them out.
        """
        if observed is not None and not bool(observed.all()):
            raise NotImplementedError("a flow has no marginal densities: log_prob needs every joint of the pose")
        latent, ladj = self.transform.call_and_ladj(_without_root(value, self.rotation, self.skeleton))
        scaled = latent / self.latent_scale
        constant = self._dims * (0.5 * math.log(2 * math.pi) + math.log(self.latent_scale))
        return ladj - 0.5 * scaled.square().sum(-1) - constant

    def _latent(self, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
        full = (*shape, *self.batch_shape, self._dims)
        return torch.randn(full, generator=generator, dtype=self._like.dtype, device=self._like.device)

    def rsample(
        self,
        sample_shape: Any = torch.Size(),  # noqa: B008
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        generator = seeded(seed, self._like.device) if generator is None else generator
        return self.from_latent(self._latent(torch.Size(sample_shape), generator))

    @property
    @torch.no_grad()
    def z0(self) -> Float[Tensor, "*batch joints 3"]:
        """The pose of the zero latent: the published single hypothesis (no mode, no mean)."""
        return self.from_latent(self._like.new_zeros(*self.batch_shape, self._dims))

    def _draw_for_summary(self) -> Tensor:
        half = self._latent(torch.Size((self.summary_draws // 2,)), seeded(0, self._like.device))
        return self.from_latent(torch.cat([half, -half]))

    @property
    def mode(self) -> Tensor:
        """The pose of highest density that gradient ascent finds ``(*batch, joints, 3)``.

        Adam on the log-density from the best of 64 draws and z0; a local maximum, not proven to be the highest.
        """
        starts = torch.cat([self.sample((63,), seed=0), self.z0.unsqueeze(0)])
        if starts.numel() == 0:
            return self.mean
        with torch.no_grad():
            best = self.log_prob(starts).argmax(0)
        index = best[None, ..., None, None].expand(1, *starts.shape[1:])
        start = _without_root(starts.gather(0, index)[0], self.rotation, self.skeleton)
        # Steps in units of each coordinate's spread: depth moves farther than what the picture shows.
        spread = _without_root(starts, self.rotation, self.skeleton).std(0).clamp(min=1e-4)
        with torch.enable_grad():
            moved = torch.zeros_like(start, requires_grad=True)
            optimiser = torch.optim.Adam([moved], lr=0.05)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 150)
            height, found = torch.full_like(start[..., 0], -math.inf), start
            for _ in range(150):
                pose = _with_root(start + spread * moved, self.rotation, self.skeleton)
                density = self.log_prob(pose)
                higher = density.detach() > height
                height = torch.where(higher, density.detach(), height)
                found = torch.where(higher.unsqueeze(-1), (start + spread * moved).detach(), found)
                (gradient,) = torch.autograd.grad(-density.sum(), moved)
                moved.grad = gradient.nan_to_num(0.0)
                optimiser.step()
                schedule.step()
        return _with_root(found, self.rotation, self.skeleton).detach()


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
