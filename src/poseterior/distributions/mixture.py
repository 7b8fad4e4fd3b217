"""A mixture of Gaussians over poses whose joints are tied by a low-rank part: everything in closed form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.linalg import cholesky_or_nan, solve_lower_3x3
from ..geometry.skeletons import Skeleton

if TYPE_CHECKING:
    pass
from .base import PoseDistribution, seeded

__all__ = [
    "MixturePoseDistribution",
]


class MixturePoseDistribution(PoseDistribution):
    """A mixture of Gaussians over the joints other than the root.

    Component k has mean ``loc[k]`` and covariance ``L (I + U Uᵀ) Lᵀ``: ``L`` holds one 3x3 lower triangle a
    joint, ``U`` ties the joints together (rank 0: independent joints). The evidence is seen by a turned
    camera (`poseterior.keypoints.view.canonical_view`); ``rotation`` turns its axes back to the camera's.

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
