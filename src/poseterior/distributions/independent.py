"""One pose with independent Gaussian or Laplace errors around it."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.skeletons import Skeleton
from .base import PoseDistribution, seeded

__all__ = [
    "FAMILIES",
    "ResidualPoseDistribution",
    "fit_residuals",
]

#: Families of errors that `ResidualPoseDistribution` knows.
FAMILIES = ("gaussian", "laplace")


def fit_residuals(
    error: Float[Tensor, "n joints 3"], visible: Bool[Tensor, "n joints"], known: Bool[Tensor, "n joints"], family: str
) -> Float[Tensor, "2 joints 3"]:
    """Scales of `ResidualPoseDistribution` from errors: of hidden joints (first row) and of visible ones.

    Each coordinate's root mean square (Gaussian) or mean absolute error (Laplace). A joint with fewer than 20 errors
    of a kind takes the others' mean; a kind without any takes what all have.

    Args:
        error: metres, along the turned axes.
        visible: whether the lifter saw the joint.
        known: whether the error is one.
        family: one of `FAMILIES`.
    """
    size = error.square() if family == "gaussian" else error.abs()
    rows = []
    for chosen in (known & ~visible, known & visible):
        chosen = chosen if bool(chosen.any()) else known
        count = chosen.sum(0).unsqueeze(-1)
        total = torch.where(chosen.unsqueeze(-1), size, 0.0).sum(0)
        pooled = total.sum(0) / count.sum().clamp(min=1)
        mean = torch.where(count >= 20, total / count.clamp(min=1), pooled)
        rows.append(mean.sqrt() if family == "gaussian" else mean)
    return torch.stack(rows).clamp(min=1e-3)


class ResidualPoseDistribution(PoseDistribution):
    """One pose with independent errors of every coordinate, in the axes of a camera turned to the person.

    Args:
        loc: ``(*batch, joints, 3)`` metres, camera axes; moved so that its root is at zero.
        scale: ``(*batch, joints - 1, 3)`` metres, along the turned axes, joints in order without the root: the
            standard deviation (``"gaussian"``) or the mean absolute error (``"laplace"``).
        family: one of `FAMILIES`.
        rotation: ``(*batch, 3, 3)`` from camera axes to the turned axes, or None for the identity.
        skeleton: joint order.
    """

    has_rsample = True
    can_marginalise = True

    def __init__(
        self,
        loc: Float[Tensor, "*batch joints 3"],
        scale: Float[Tensor, "*batch nonroot 3"],
        family: str = "gaussian",
        rotation: Float[Tensor, "*batch 3 3"] | None = None,
        skeleton: str | Skeleton = "h36m17",
    ) -> None:
        super().__init__(loc.shape[:-2], skeleton)
        root = self.skeleton.root
        self.loc = loc - loc[..., root : root + 1, :]
        self.scale, self.family, self.rotation = scale, family, rotation
        self._others = [j for j in range(len(self.skeleton)) if j != root]

    def _to_camera(self, offsets: Tensor) -> Tensor:
        """Offsets ``(..., joints - 1, 3)`` along the turned axes -> camera axes, 0 for the root."""
        if self.rotation is not None:
            offsets = offsets @ self.rotation
        full = offsets.new_zeros(*offsets.shape[:-2], len(self.skeleton), 3)
        full[..., self._others, :] = offsets
        return full

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
        offset = (value - self.loc)[..., self._others, :]
        if observed is not None:
            offset = torch.where(observed[..., self._others].unsqueeze(-1), offset, 0.0)
        if self.rotation is not None:
            offset = offset @ self.rotation.transpose(-1, -2)
        whitened = offset / self.scale
        if self.family == "gaussian":
            density = -0.5 * whitened.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)
        else:
            density = -whitened.abs() - (2.0 * self.scale).log()
        per_joint = density.sum(-1)
        if observed is not None:
            per_joint = torch.where(observed[..., self._others], per_joint, 0.0)
        return per_joint.sum(-1)

    def rsample(
        self,
        sample_shape: Any = torch.Size(),  # noqa: B008
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        generator = seeded(seed, self.loc.device) if generator is None else generator
        shape = (*torch.Size(sample_shape), *self.scale.shape)
        dtype, device = self.loc.dtype, self.loc.device
        if self.family == "gaussian":
            noise = torch.randn(shape, generator=generator, dtype=dtype, device=device)
        else:
            # The difference of two exponential variables.
            uniform = torch.rand((2, *shape), generator=generator, dtype=dtype, device=device)
            logs = uniform.clamp(min=torch.finfo(dtype).tiny).log()
            noise = logs[1] - logs[0]
        return self.loc + self._to_camera(self.scale * noise)

    @torch.no_grad()
    def sample(
        self,
        sample_shape: Any = torch.Size(),  # noqa: B008
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        return self.rsample(sample_shape, generator=generator, seed=seed)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def covariance(self) -> Tensor:
        variance = self.scale.square() * (1.0 if self.family == "gaussian" else 2.0)
        matrix = torch.diag_embed(variance)
        if self.rotation is not None:
            turn = self.rotation.unsqueeze(-3)
            matrix = turn.transpose(-1, -2) @ matrix @ turn
        full = matrix.new_zeros(*self.loc.shape, 3)
        full[..., self._others, :, :] = matrix
        return full
