"""A normalizing flow over poses: exact density, mean and covariance from draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.skeletons import Skeleton

if TYPE_CHECKING:
    pass
from .base import SampledPoseDistribution, _with_root, _without_root, seeded

__all__ = [
    "FlowPoseDistribution",
]


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
