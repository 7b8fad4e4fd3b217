"""A mixture of Gaussians over poses whose joints are tied by a low-rank part: everything in closed form."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.bands import bands_of, squares, times_bands
from ..geometry.frames import RootedFrame
from ..geometry.linalg import cholesky_or_nan, solve_lower_3x3
from ..geometry.skeletons import Skeleton
from ..noise import Noise
from .base import PoseDistribution
from .mixture_balls import Components, pose_balls
from .whitening import Whitening, offset_density, whitening

__all__ = [
    "MixturePoseDistribution",
]


#: Poses of each element of the batch from which on the density comes by whole matrices.
_MANY = 24
#: Draws of all poses together that are made at once: what lies between them stays in the processor's cache.
_BLOCK = 1600


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

    def _flat(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Log-weights, means less the common one, triangles and ties, with one batch dimension; canonical frame."""
        start, count = len(self.batch_shape), self.batch_shape.numel()
        centred = self.loc - self._middle().unsqueeze(-3)
        parts = (self.log_weights, centred, self.scale_tril)
        weights, loc, lower = (part.reshape(count, *part.shape[start:]) for part in parts)
        factor = None if self.factor is None else self.factor.reshape(count, *self.factor.shape[start:])
        return weights, loc, lower, factor

    def _rows(self, matrix: Float[Tensor, "n dims dims"] | None) -> Float[Tensor, "n joints*3 dims"]:
        """What takes flat poses in the canonical frame to camera axes, moved by a matrix, the root at zero."""
        count, joints = self.batch_shape.numel(), self.loc.shape[-2]
        if matrix is None:
            matrix = torch.eye(3 * joints, dtype=self.dtype, device=self.device).expand(count, -1, -1)
        if self.rotation is not None:
            turn = self.rotation.reshape(count, 3, 3).mT
            matrix = (matrix.reshape(count, -1, 3) @ turn).view(matrix.shape)
        at = 3 * self.skeleton.root
        return torch.cat([matrix[:, :at], matrix.new_zeros(count, 3, matrix.shape[-1]), matrix[:, at:]], 1)

    @torch.no_grad()
    def draw_moved(
        self,
        shape: torch.Size,
        noise: Noise,
        matrix: Float[Tensor, "*batch dims dims"] | None,
        middle: Float[Tensor, "*batch joints 3"],
        density: bool,
    ) -> tuple[Float[Tensor, "*shape_batch joints 3"], Float[Tensor, "*shape_batch"] | None]:
        """Draws as `sample`, moved: ``middle + matrix (x - mean)``; and their log-density as they were before.

        In memory the draws of each coordinate stand side by side, as regions sort them. There are no gradients.

        Args:
            shape: of the draws of each element of the batch.
            noise: random numbers.
            matrix: of the joints other than the root, flattened, camera axes; None: the identity.
            middle: where the mean goes, metres, the root at zero.
            density: whether it is asked for.
        """
        count, draws = self.batch_shape.numel(), shape.numel()
        weights, loc, lower, factor = self._flat()
        k, joints = loc.shape[1:3]
        dims = 3 * joints
        chosen = noise.choose(weights.exp(), draws)  # (n, draws)
        error = self._normal(noise, count, draws, dims, event=2)
        tied = None if factor is None else self._normal(noise, count, draws, factor.shape[-1], event=2)
        rows = self._rows(None if matrix is None else matrix.reshape(count, dims, dims))
        middle = middle.reshape(count, -1, 1)
        own = torch.cat([bands_of(lower), loc.flatten(-2).unsqueeze(-2)], -2).flatten(-2)  # (n, k, 4 * dims)
        poses = self._like.new_empty(count, 3 * len(self.skeleton), draws)
        found = self._like.new_empty(count, draws) if density else None
        size = max(_BLOCK // draws, 1)
        for start in range(0, count, size):
            some = slice(start, start + size)
            offsets = error[some]
            number = torch.arange(len(offsets), device=chosen.device).unsqueeze(-1)
            row = (number * k + chosen[some]).flatten()
            if factor is not None and tied is not None:
                ties = factor[some]
                if ties.shape[1] == 1:
                    offsets = torch.baddbmm(offsets, tied[some], ties[:, 0].mT)
                else:
                    each = ties.flatten(0, 1)[row].unflatten(0, (-1, draws))
                    offsets = offsets + (each @ tied[some].unsqueeze(-1)).squeeze(-1)
            parts = own[some].flatten(0, 1).index_select(0, row).view(-1, draws, 4, dims)
            offsets = times_bands(parts, offsets).add_(parts[..., 3, :])
            torch.baddbmm(middle[some], rows[some], offsets.mT, out=poses[some])
            if found is not None:
                tying = None if factor is None else factor[some]
                found[some] = offset_density(offsets, weights[some], loc[some], lower[some], tying)
        poses = poses.view(*self.batch_shape, -1, 3, *shape)
        last = range(poses.ndim - len(shape), poses.ndim)
        placed = poses.permute(*last, *range(last.start))
        return placed, None if found is None else found.mT.reshape((*shape, *self.batch_shape))

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        return self.draw_moved(shape, noise, None, self._mean(), False)[0]

    def _draw_and_log_prob(self, shape: torch.Size, noise: Noise) -> tuple[Tensor, Tensor]:
        drawn, density = self.draw_moved(shape, noise, None, self._mean(), True)
        assert density is not None
        return drawn, density

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

    def _ties(self) -> Float[Tensor, "*batch k rank dims"] | None:
        """What ties the joints of each component, as rows: ``(L U)^T``; canonical frame."""
        factor = self.factor
        if factor is None:
            return None
        return self._kept("ties", lambda: times_bands(bands_of(self.scale_tril).unsqueeze(-3), factor.mT))

    def components(self) -> Components:
        """Of each joint but the root, with one batch dimension; camera axes."""
        sizes, ties = self.scale_tril.square().sum((-2, -1)), self._ties()
        if ties is not None:
            sizes = sizes + ties.square().sum(-2).unflatten(-1, (-1, 3)).sum(-1)
        start, count = len(self.batch_shape), self.batch_shape.numel()
        offsets = self.loc - self._middle().unsqueeze(-3)
        if self.rotation is not None:
            offsets = (offsets.flatten(-3, -2) @ self.rotation).view(offsets.shape)
        parts = (self.log_weights.exp(), offsets, sizes)
        return Components(*(part.reshape(count, *part.shape[start:]) for part in parts))

    def _closed_balls(self, level: float) -> tuple[Tensor, Tensor]:
        return pose_balls(self.components(), self._mean(), self._covariance(), self.skeleton, level)

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
        dims = 3 * joints
        share = self.log_weights.exp()[..., None, None]
        # Of each component its ties, and its mean's way from the common one, weighted so that their squares add up.
        columns = (self.loc - self._middle().unsqueeze(-3)).flatten(-2).unsqueeze(-2)  # (*batch, k, 1, d)
        ties = self._ties()
        if ties is not None:
            columns = torch.cat([columns, ties], -2)
        wide = (share.sqrt() * columns).flatten(-3, -2)  # (*batch, k * (1 + rank), d)
        covariance = wide.mT @ wide
        own = (share * squares(self.scale_tril)).sum(-3)  # (*batch, joints, 6)
        blocks = own[..., [0, 1, 2, 1, 3, 4, 2, 4, 5]].unflatten(-1, (3, 3))
        parts = covariance.unflatten(-1, (joints, 3)).unflatten(-3, (joints, 3)).diagonal(dim1=-4, dim2=-2)
        parts.add_(blocks.movedim(-3, -1))
        if self.rotation is not None:
            for _ in range(2):  # both sides, as it is symmetric
                turned = covariance.reshape(*self.batch_shape, dims * joints, 3) @ self.rotation
                covariance = turned.view(*self.batch_shape, dims, dims).mT
        return self._mean(), covariance

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
