"""A normalizing flow over poses: exact density, mean and covariance from draws."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..geometry.frames import RootedFrame
from ..geometry.skeletons import Skeleton
from ..noise import Noise, SharedNoise
from .sampled import SampledPoseDistribution

__all__ = [
    "FlowPoseDistribution",
    "cubature_points",
]


#: Rows up to which draws and the points of the moments go through the layers together.
_FEW_ROWS = 2048


@lru_cache
def cubature_points(dims: int) -> Float[Tensor, "points dims"]:
    """Latents whose images have the mean and covariance of all, to third order in the map: ``2 dims`` of equal weight.

    The spherical cubature rule (Arasaratnam and Haykin 2009): both ends of ``dims`` orthogonal directions, at the
    distance sqrt(dims). The directions are turned at random, always alike, so that no coordinate is probed alone.
    """
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(dims, dims, generator=generator, dtype=torch.float64)).Q
    return math.sqrt(dims) * torch.cat([directions, -directions])


class FlowPoseDistribution(SampledPoseDistribution):
    """A normalizing flow over the joints other than the root: an invertible map of poses to Gaussian latents.

    The map acts in the canonical frame (see `MixturePoseDistribution`). What belongs to one pose's evidence is inside
    ``transform``, so that many samples of the same pose cost only what differs between them.

    Mean and covariance have no closed form: they are those of the images of `cubature_points`, which for a map that is
    nearly affine say more than many times as many draws.
    The mode is the local maximum uphill from the best of 64 poses, not proven to be the highest; where two are as near,
    rounding may decide between them.

    Args:
        transform: from ``(*samples, *batch, (joints - 1) * 3)`` metres to latents of the same shape, with
            ``call_and_ladj`` and ``inv`` as in zuko.
        batch_shape: of the evidence.
        latent_scale: standard deviation of the latents.
        rotation: ``(*batch, 3, 3)`` from camera axes to the canonical frame, or None for the identity.
        skeleton: joint order.
        like: a tensor whose dtype and device the samples have; None for float32 on the processor.
    """

    has_density = True
    has_rsample = True
    batched = ("rotation",)  # the transform broadcasts

    def __init__(
        self,
        transform: Any,
        batch_shape: torch.Size,
        latent_scale: float = 1.0,
        rotation: Float[Tensor, "*batch 3 3"] | None = None,
        skeleton: str | Skeleton = "h36m17",
        like: Tensor | None = None,
    ) -> None:
        super().__init__(batch_shape, skeleton, like=torch.zeros(()) if like is None else like)
        self.transform, self.latent_scale, self.rotation = transform, latent_scale, rotation

    @property
    def _dims(self) -> int:
        return 3 * len(self.skeleton.nonroot)

    def _to_camera(self, flat: Float[Tensor, "*samples_batch dims"]) -> Float[Tensor, "*samples_batch joints 3"]:
        return RootedFrame(self.skeleton, self.rotation).to_camera(flat.unflatten(-1, (-1, 3)))

    def _from_camera(self, poses: Float[Tensor, "*samples_batch joints 3"]) -> Float[Tensor, "*samples_batch dims"]:
        return RootedFrame(self.skeleton, self.rotation).from_camera(poses).flatten(-2)

    def from_latent(self, latent: Float[Tensor, "*samples_batch dims"]) -> Float[Tensor, "*samples_batch joints 3"]:
        """The poses of these latents (unit scale: standard normal draws give samples), metres."""
        return self._to_camera(self.transform.inv(self.latent_scale * latent))

    def _log_prob(self, value: Tensor, observed: Tensor | None) -> Tensor:
        latent, ladj = self.transform.call_and_ladj(self._from_camera(value))
        scaled = latent / self.latent_scale
        constant = self._dims * (0.5 * math.log(2 * math.pi) + math.log(self.latent_scale))
        return ladj - 0.5 * scaled.square().sum(-1) - constant

    def _latent(self, shape: torch.Size, noise: Noise) -> Float[Tensor, "*samples_batch dims"]:
        return self._normal(noise, *shape, *self.batch_shape, self._dims)

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        latent = self._latent(shape, noise)
        if torch.is_grad_enabled() or not hasattr(self.transform, "inv_and_ladj"):
            return self.from_latent(latent)
        return self._poses_of(latent)[0]

    def _draw_and_log_prob(self, shape: torch.Size, noise: Noise) -> tuple[Tensor, Tensor]:
        if not hasattr(self.transform, "inv_and_ladj"):
            return super()._draw_and_log_prob(shape, noise)
        scaled = self._latent(shape, noise)
        flat, ladj = self._poses_of(scaled)
        constant = self._dims * (0.5 * math.log(2 * math.pi) + math.log(self.latent_scale))
        return flat, -ladj - 0.5 * scaled.square().sum(-1) - constant

    def _poses_of(self, latent: Float[Tensor, "*samples_batch dims"]) -> tuple[Tensor, Tensor]:
        """As `from_latent`, with the map's determinant; for few poses, the moments on the way.

        Where rows are few the time is that of the operations' number: one way through the layers for both.
        """
        along = "moments" not in self._cache and self._may_go_along(latent)
        asked = torch.cat([latent, self._cubature]) if along else latent
        flat, ladj = self.transform.inv_and_ladj(self.latent_scale * asked)
        poses = self._to_camera(flat)
        if not along:
            return poses, ladj
        of_moments = poses[len(latent) :]
        self._cache["moments"] = self._moments_of(of_moments, len(of_moments))
        return poses[: len(latent)], ladj[: len(latent)]

    def _may_go_along(self, latent: Tensor) -> bool:
        """Whether so few rows have time for the moments' points, and are the same bits with and without them."""
        steady = getattr(self.transform, "alone_or_not", None)
        if latent.ndim != 2 + len(self.batch_shape) or steady is None or not steady(latent):
            return False
        return (len(latent) + 2 * self._dims) * self.batch_shape.numel() <= _FEW_ROWS

    @property
    @torch.no_grad()
    def z0(self) -> Float[Tensor, "*batch joints 3"]:
        """The pose of the zero latent, metres: the published single hypothesis (no mode, no mean)."""
        zero = torch.zeros(*self.batch_shape, self._dims, dtype=self.dtype, device=self.device)
        return self.from_latent(zero)

    @torch.no_grad()
    def _draws_for_summary(self, count: int | None = None) -> Tensor:
        pairs = (count or self.summary_draws) // 2
        half = self._latent(torch.Size((pairs,)), SharedNoise(0, self.batch_shape))
        return self.from_latent(torch.cat([half, -half]))

    def _moments(self) -> tuple[Tensor, Tensor]:
        if "moments" not in self._cache:
            with torch.no_grad():
                poses = self.from_latent(self._cubature)
                self._cache["moments"] = self._moments_of(poses, len(poses))
        found: tuple[Tensor, Tensor] = self._cache["moments"]
        return found

    @property
    def _cubature(self) -> Float[Tensor, "points *batch dims"]:
        latent = cubature_points(self._dims).to(self.dtype).to(self.device)
        return latent.reshape(-1, *[1] * len(self.batch_shape), self._dims).expand(-1, *self.batch_shape, -1)

    def _mode(self) -> Tensor:
        """Uphill from the best of 63 draws and z0: by Newton's method where the transform has one, else Adam's."""
        with torch.no_grad():
            starts = torch.cat([self.sample((63,), seed=0), self.z0.unsqueeze(0)])
            best = self.log_prob(starts).argmax(0)
            index = best[None, ..., None, None].expand(1, *starts.shape[1:])
            start = self._from_camera(starts.gather(0, index)[0])
            if hasattr(self.transform, "mode_from"):
                top = self.transform.mode_from(start, self.latent_scale)
                if top is not None:
                    return self._to_camera(top)
        return self._climbed_by_adam(start, self._from_camera(starts).std(0).clamp(min=1e-4))

    def _climbed_by_adam(self, start: Tensor, spread: Tensor) -> Tensor:
        """The highest pose of 150 steps, in canonical axes as ``start`` is."""
        # Steps in units of each coordinate's spread: depth moves farther than what the picture shows.
        with torch.enable_grad():
            moved = torch.zeros_like(start, requires_grad=True)
            optimiser = torch.optim.Adam([moved], lr=0.05)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 150)
            height, found = torch.full_like(start[..., 0], -math.inf), start
            for _ in range(150):
                density = self.log_prob(self._to_camera(start + spread * moved))
                higher = density.detach() > height
                height = torch.where(higher, density.detach(), height)
                found = torch.where(higher.unsqueeze(-1), (start + spread * moved).detach(), found)
                (gradient,) = torch.autograd.grad(-density.sum(), moved)
                moved.grad = gradient.nan_to_num(0.0)
                optimiser.step()
                schedule.step()
        return self._to_camera(found).detach()
