"""A mixture of Gaussians over poses whose joints are tied by a low-rank part: everything in closed form."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.bands import bands_of, times_bands
from ..geometry.frames import RootedFrame
from ..geometry.linalg import cholesky_or_nan, solve_lower_3x3
from ..geometry.skeletons import Skeleton
from ..noise import Noise
from .base import PoseDistribution
from .whitening import Whitening, log_density_by_bands, whitening

__all__ = [
    "MixturePoseDistribution",
]


#: Poses of each element of the batch from which on the density comes by whole matrices.
_MANY = 24
#: Draws of each element from which on theirs does.
_MATRICES = 100


class MixturePoseDistribution(PoseDistribution):
    """A mixture of Gaussians over the joints other than the root.

    Component k has mean ``loc[k]`` and covariance ``L (I + U Uᵀ) Lᵀ``: ``L`` holds one 3x3 lower triangle per joint,
    ``U`` ties the joints together (rank 0: independent joints). All are in the canonical frame, that of a camera
    turned to the person (`poseterior.keypoints.view.canonical_view`); ``rotation`` leads back to the camera's axes.

    Args:
        logits: ``(*batch, k)`` unnormalised log-weights.
        loc: ``(*batch, k, joints - 1, 3)`` metres, canonical frame, joints in skeleton order without the root.
        scale_tril: ``(*batch, k, joints - 1, 3, 3)`` metres, positive diagonals.
        factor: ``(*batch, k, (joints - 1) * 3, rank)``, or ``(*batch, 1, ...)`` where the kernels share it,
            dimensionless; None for independent joints.
        rotation: ``(*batch, 3, 3)`` from camera axes to the canonical frame, or None for the identity.
        skeleton: joint order.

    Attributes:
        log_weights: ``(*batch, k)`` normalised.
    """

    has_density = True
    can_marginalise = True
    batched = ("log_weights", "loc", "scale_tril", "factor", "rotation")

    def __init__(
        self,
        logits: Float[Tensor, "*batch k"],
        loc: Float[Tensor, "*batch k nonroot 3"],
        scale_tril: Float[Tensor, "*batch k nonroot 3 3"],
        factor: Float[Tensor, "*batch #k dims rank"] | None = None,
        rotation: Float[Tensor, "*batch 3 3"] | None = None,
        skeleton: str | Skeleton = "h36m17",
    ) -> None:
        super().__init__(logits.shape[:-1], skeleton, like=loc)
        self.log_weights = logits.log_softmax(-1)
        self.loc, self.scale_tril, self.factor, self.rotation = loc, scale_tril, factor, rotation

    @property
    def frame(self) -> RootedFrame:
        """From the canonical frame, in which the parameters are, to the camera's axes and back."""
        return RootedFrame(self.skeleton, self.rotation)

    def _details(self) -> dict[str, Any]:
        return {"components": self.log_weights.shape[-1]}

    # -- density -------------------------------------------------------------------------------------------

    def _component_log_prob(
        self, poses: Float[Tensor, "*samples_batch nonroot 3"], observed: Tensor | None
    ) -> Float[Tensor, "*samples_batch k"]:
        """Log-density of poses in the canonical frame under every component."""
        whitened = solve_lower_3x3(self.scale_tril, poses.unsqueeze(-3) - self.loc)
        log_scale = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        dims: Tensor | float = 3.0 * len(self.skeleton.nonroot)
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

    def _log_prob(self, value: Tensor, observed: Tensor | None) -> Tensor:
        if observed is None and self._many(value):
            return self._log_prob_of_many(value)
        if observed is not None:
            observed = observed[..., self.skeleton.nonroot]
        joint = self.log_weights + self._component_log_prob(self.frame.from_camera(value), observed)
        return joint.logsumexp(-1)

    def _many(self, value: Tensor) -> bool:
        """Whether so many poses are asked for that whitening by whole matrices pays, and no gradients."""
        parts = [self.log_weights, self.loc, self.scale_tril, self.factor, self.rotation, value]
        if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in parts):
            return False
        batch = len(self.batch_shape)
        fits = value.shape[: -2 - batch].numel() >= _MANY and value.shape[-2 - batch : -2] == self.batch_shape
        return fits and not self.skeleton.root

    def _whitening(self) -> Whitening:
        if "whitening" not in self._cache:
            turn = None if self.rotation is None else self.rotation.reshape(-1, 3, 3)
            start = len(self.batch_shape)
            weights, loc, lower = (
                part.reshape(-1, *part.shape[start:]) for part in (self.log_weights, self.loc, self.scale_tril)
            )
            factor = None if self.factor is None else self.factor.reshape(-1, *self.factor.shape[start:])
            self._cache["whitening"] = whitening(weights, loc, lower, factor, turn)
        found: Whitening = self._cache["whitening"]
        return found

    def _log_prob_of_many(self, value: Float[Tensor, "*samples_batch joints 3"]) -> Float[Tensor, "*samples_batch"]:
        rows = value[..., 1:, :].reshape(-1, self.batch_shape.numel(), 3 * len(self.skeleton.nonroot))
        return self._whitening().log_density(rows).reshape(value.shape[:-2])

    # -- sampling ------------------------------------------------------------------------------------------

    def _middle(self) -> Float[Tensor, "*batch nonroot 3"]:
        """Mean in the canonical frame."""
        return (self.log_weights.exp()[..., None, None] * self.loc).sum(-3)

    def _offsets(self, count: int, noise: Noise) -> Float[Tensor, "n count dims"]:
        """Draws of each of the ``n`` elements of the batch, canonical frame, less the mean."""
        batch = self.batch_shape.numel()
        k, joints = self.loc.shape[-3:-1]
        dims = 3 * joints
        chosen = noise.choose(self.log_weights.exp().reshape(batch, k), count)  # (batch, count)
        row = torch.arange(batch, device=chosen.device).unsqueeze(-1) * k + chosen
        error = self._normal(noise, batch, count, dims, event=2)
        if self.factor is not None:
            rank = self.factor.shape[-1]
            tied = self._normal(noise, batch, count, rank, event=2)
            factor = self.factor.reshape(batch, -1, dims, rank)
            if factor.shape[1] == 1:
                error = torch.baddbmm(error, tied, factor[:, 0].mT)
            else:
                own = factor.reshape(batch * k, dims, rank)[row]
                error = error + (own @ tied.unsqueeze(-1)).squeeze(-1)
        centred = (self.loc - self._middle().unsqueeze(-3)).reshape(batch * k, 1, dims)
        parts = torch.cat([bands_of(self.scale_tril).reshape(batch * k, 3, dims), centred], 1)
        own = parts.flatten(1).index_select(0, row.flatten()).view(batch, count, 4, dims)
        return times_bands(own, error).add_(own[..., 3, :])

    def _turned(self, matrix: Float[Tensor, "n m dims"] | None, count: int) -> Float[Tensor, "n m dims"]:
        """A matrix of flat poses in camera axes as one of poses in the canonical frame; None: the identity."""
        joints = self.loc.shape[-2]
        if matrix is None:
            matrix = torch.eye(3 * joints, dtype=self.dtype, device=self.device).expand(count, -1, -1)
        if self.rotation is None:
            return matrix
        turn = self.rotation.reshape(count, 3, 3).mT
        return (matrix.unflatten(-1, (joints, 3)).flatten(1, 2) @ turn).view(matrix.shape)

    def _placed(
        self, offsets: Float[Tensor, "n count dims"], shape: torch.Size, matrix: Tensor | None, middle: Tensor
    ) -> Float[Tensor, "*shape_batch joints 3"]:
        """Poses in camera axes of offsets from the mean, moved by a matrix; ``middle`` is where their mean goes.

        In memory the draws of each coordinate stand side by side, as `regions.balls` sorts them.
        """
        count, joints = len(offsets), len(self.skeleton)
        root, dims = 3 * self.skeleton.root, 3 * joints
        turned = self._turned(matrix, count)
        rows = turned.new_zeros(count, dims, turned.shape[-1])  # the root's stay zero
        rows[:, :root], rows[:, root + 3 :] = turned[:, :root], turned[:, root:]
        poses = torch.baddbmm(middle.reshape(count, dims, 1), rows, offsets.mT)  # (n, dims, draws)
        poses = poses.view(*self.batch_shape, joints, 3, *shape)
        return poses.permute(*range(poses.ndim - len(shape), poses.ndim), *range(poses.ndim - len(shape)))

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        return self._placed(self._offsets(shape.numel(), noise), shape, None, self._mean())

    def draw_moved(
        self,
        shape: torch.Size,
        noise: Noise,
        matrix: Float[Tensor, "*batch dims dims"],
        middle: Float[Tensor, "*batch joints 3"],
        density: bool,
    ) -> tuple[Float[Tensor, "*shape_batch joints 3"], Float[Tensor, "*shape_batch"] | None]:
        """Draws as `sample`, moved: ``middle + matrix (x - mean)``; and their log-density as they were before.

        Args:
            shape: of the draws of each element of the batch.
            noise: random numbers.
            matrix: of the joints other than the root, flattened, camera axes.
            middle: where the mean goes, metres, the root at zero.
            density: whether it is asked for.
        """
        offsets = self._offsets(shape.numel(), noise)
        poses = self._placed(offsets, shape, matrix.reshape(-1, *matrix.shape[-2:]), middle)
        if not density:
            return poses, None
        return poses, self._offset_density(offsets).mT.reshape(*shape, *self.batch_shape)

    def _draw_and_log_prob(self, shape: torch.Size, noise: Noise) -> tuple[Tensor, Tensor]:
        offsets = self._offsets(shape.numel(), noise)
        density = self._offset_density(offsets).mT.reshape(*shape, *self.batch_shape)
        return self._placed(offsets, shape, None, self._mean()), density

    def _offset_density(self, offsets: Float[Tensor, "n count dims"]) -> Float[Tensor, "n count"]:
        """Log-density of poses in the canonical frame, less the mean; without gradients."""
        count, start = len(offsets), len(self.batch_shape)
        weights, lower = (part.reshape(count, *part.shape[start:]) for part in (self.log_weights, self.scale_tril))
        loc = (self.loc - self._middle().unsqueeze(-3)).reshape(count, *self.loc.shape[start:])
        factor = None if self.factor is None else self.factor.reshape(count, *self.factor.shape[start:])
        if offsets.shape[1] >= _MATRICES:
            return whitening(weights, loc, lower, factor, None).log_density(offsets.transpose(0, 1)).mT
        return log_density_by_bands(offsets, weights, loc, lower, factor)

    def _weighted_draw(self, samples: int, noise: Noise) -> tuple[Tensor, Tensor]:
        """Draws of every component, weighted by the components' probabilities: ``samples * k`` draws."""
        joints = self.loc.shape[-2]
        shape = (samples, *self.loc.shape[:-2])
        error = self._normal(noise, *shape, joints * 3, event=2)
        if self.factor is not None:
            tied = self._normal(noise, *shape, self.factor.shape[-1], event=2)
            error = error + (self.factor @ tied.unsqueeze(-1)).squeeze(-1)
        moved = (self.scale_tril @ error.unflatten(-1, (joints, 3)).unsqueeze(-1)).squeeze(-1)
        poses = (self.loc + moved).movedim(-3, 0).flatten(0, 1)
        weights = self.log_weights.exp().movedim(-1, 0).repeat_interleave(samples, 0) / samples
        return self.frame.to_camera(poses), weights

    # -- summaries -----------------------------------------------------------------------------------------

    def _mean(self) -> Tensor:
        return self.frame.to_camera(self._middle())

    def _component_joint_covariance(self) -> Tensor:
        """Covariance of each joint under each component, canonical frame: ``(*batch, k, joints - 1, 3, 3)``."""
        root = self.scale_tril
        covariance = root @ root.transpose(-1, -2)
        if self.factor is not None:
            tied = root @ self.factor.unflatten(-2, (-1, 3))
            covariance = covariance + tied @ tied.transpose(-1, -2)
        return covariance

    def component_moments(
        self,
    ) -> tuple[Float[Tensor, "*batch k joints 3"], Float[Tensor, "*batch k joints 3 3"]]:
        """Mean and each joint's covariance of every component, camera axes; zero for the root."""
        means = self.frame.to_camera(self.loc.movedim(-3, 0)).movedim(0, -3)
        covariance = self._component_joint_covariance().movedim(-4, 0)
        return means, self.frame.covariance_to_camera(covariance).movedim(0, -4)

    def _covariance(self) -> Tensor:
        weights = self.log_weights.exp()[..., None, None, None]
        mean = (weights[..., 0] * self.loc).sum(-3, keepdim=True)
        offset = (self.loc - mean).unsqueeze(-1)
        total = (weights * (self._component_joint_covariance() + offset @ offset.transpose(-1, -2))).sum(-4)
        return self.frame.covariance_to_camera(total)

    def dense(
        self,
    ) -> tuple[Float[Tensor, "*batch k"], Float[Tensor, "*batch k d"], Float[Tensor, "*batch k d d"]]:
        """Log-weights, means and covariances of the components in camera axes, of the joints other than the root."""
        joints = self.loc.shape[-2]
        turn = torch.eye(3).to(self.loc) if self.rotation is None else self.rotation
        blocks = turn.mT[..., None, None, :, :] @ self.scale_tril  # (*batch, k, joints, 3, 3)
        root = blocks.new_zeros(*blocks.shape[:-3], joints, 3, joints, 3)
        index = torch.arange(joints)
        root[..., index, :, index, :] = blocks.movedim(-3, 0)
        root = root.flatten(-4, -3).flatten(-2)
        inner = torch.eye(3 * joints).to(root)
        if self.factor is not None:
            inner = inner + self.factor @ self.factor.mT
        return self.log_weights, (self.loc @ turn.unsqueeze(-3)).flatten(-2), root @ inner @ root.mT

    def _joint_moments(self) -> tuple[Tensor, Tensor]:
        joints = self.loc.shape[-2]
        share = self.log_weights.exp()[..., None, None]
        turn = torch.eye(3).to(self.loc) if self.rotation is None else self.rotation
        blocks = turn.mT[..., None, None, :, :] @ self.scale_tril  # (*batch, k, joints, 3, 3)
        # Each component's directions, and its mean's way from the common one, weighted so that their squares add up.
        columns = [((self.loc - self._middle().unsqueeze(-3)) @ turn.unsqueeze(-3)).flatten(-2).unsqueeze(-1)]
        if self.factor is not None:
            tied = blocks @ self.factor.unflatten(-2, (joints, 3))  # (*batch, k, joints, 3, rank)
            columns.append(tied.flatten(-3, -2))
        wide = (share.sqrt() * torch.cat(columns, -1)).movedim(-3, -2).flatten(-2)  # (*batch, d, k * (1 + rank))
        covariance = (wide @ wide.mT).unflatten(-1, (joints, 3)).unflatten(-3, (joints, 3))
        weighted = (share.sqrt().unsqueeze(-3) * blocks).movedim(-4, -2).flatten(-2)  # (*batch, joints, 3, 3 * k)
        own = (weighted @ weighted.mT).movedim(-3, -1)
        index = torch.eye(joints, dtype=torch.bool, device=own.device)[:, None, :, None]
        covariance = torch.where(index, covariance + own.movedim(-1, -3).unsqueeze(-2), covariance)
        return self._mean(), covariance.flatten(-4, -3).flatten(-2)

    def _hypotheses(self) -> tuple[Tensor, Tensor]:
        """The component means ``(*batch, k, joints, 3)`` and weights ``(*batch, k)``, likeliest first."""
        weights, order = self.log_weights.exp().sort(-1, descending=True)
        index = order[..., None, None].expand(self.loc.shape)
        means = self.loc.gather(-3, index)
        # Kernels go in front, where samples are, for the turn.
        return self.frame.to_camera(means.movedim(-3, 0)).movedim(0, -3), weights

    def _mode(self) -> Tensor:
        """The highest mode that mode finding reaches from the component means ``(*batch, joints, 3)``.

        Fixed-point iteration for Gaussian mixtures (Carreira-Perpinan 2000, as recommended by Bishop 1994):
        it climbs from every mean and keeps the best.
        """
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
        return self.frame.to_camera(mode.reshape(*self.batch_shape, joints, 3))
