"""One pose with independent Gaussian or Laplace errors around it."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.frames import RootedFrame
from ..geometry.skeletons import Skeleton
from ..noise import Noise
from .base import PoseDistribution

__all__ = [
    "FAMILIES",
    "IndependentPoseDistribution",
    "fit_scales",
]

#: Families of errors that `IndependentPoseDistribution` knows.
FAMILIES = ("gaussian", "laplace")


def fit_scales(
    error: Float[Tensor, "n joints 3"], visible: Bool[Tensor, "n joints"], known: Bool[Tensor, "n joints"], family: str
) -> Float[Tensor, "2 joints 3"]:
    """Scales of `IndependentPoseDistribution` from errors: of hidden joints (first row) and of visible ones.

    Each coordinate's root mean square (Gaussian) or mean absolute error (Laplace). A joint with fewer than 20 errors
    of a kind takes the others' mean; a kind without any takes what all have.

    Args:
        error: metres, along the axes of the canonical frame.
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


class IndependentPoseDistribution(PoseDistribution):
    """One pose with independent errors of every coordinate, in the canonical frame (of a camera turned to the person).

    Args:
        loc: ``(*batch, joints, 3)`` metres, camera axes; moved so that its root is at zero.
        scale: ``(*batch, joints - 1, 3)`` metres, along the axes of the canonical frame, joints in order
            without the root: the standard deviation (``"gaussian"``) or the mean absolute error (``"laplace"``).
        family: one of `FAMILIES`.
        rotation: ``(*batch, 3, 3)`` from camera axes to the canonical frame, or None for the identity.
        skeleton: joint order.
    """

    has_density = True
    has_rsample = True
    can_marginalise = True
    batched = ("loc", "scale", "rotation")

    def __init__(
        self,
        loc: Float[Tensor, "*batch joints 3"],
        scale: Float[Tensor, "*batch nonroot 3"],
        family: str = "gaussian",
        rotation: Float[Tensor, "*batch 3 3"] | None = None,
        skeleton: str | Skeleton = "h36m17",
    ) -> None:
        super().__init__(loc.shape[:-2], skeleton, like=loc)
        root = self.skeleton.root
        self.loc = loc - loc[..., root : root + 1, :]
        self.scale, self.family, self.rotation = scale, family, rotation

    @property
    def frame(self) -> RootedFrame:
        """From the canonical frame, along whose axes the errors are, to the camera's axes and back."""
        return RootedFrame(self.skeleton, self.rotation)

    def _details(self) -> dict[str, Any]:
        return {"family": self.family}

    def _log_prob(self, value: Tensor, observed: Tensor | None) -> Tensor:
        whitened = self.frame.from_camera(value - self.loc) / self.scale
        if self.family == "gaussian":
            density = -0.5 * whitened.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)
        else:
            density = -whitened.abs() - (2.0 * self.scale).log()
        per_joint = density.sum(-1)
        if observed is not None:
            per_joint = torch.where(observed[..., self.skeleton.nonroot], per_joint, 0.0)
        return per_joint.sum(-1)

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        size = (*shape, *self.scale.shape)
        if self.family == "gaussian":
            error = self._normal(noise, *size, event=2)
        else:
            # The difference of two exponential variables.
            uniform = self._uniform(noise, 2, *size, event=2)
            logs = uniform.clamp(min=torch.finfo(self.dtype).tiny).log()
            error = logs[1] - logs[0]
        return self.loc + self.frame.to_camera(self.scale * error)

    def _mean(self) -> Tensor:
        return self.loc

    def _median(self) -> Tensor:
        return self.loc

    def _mode(self) -> Tensor:
        return self.loc

    def _joint_moments(self) -> tuple[Tensor, Tensor]:
        blocks = self._covariance()[..., self.skeleton.nonroot, :, :]
        whole = torch.diag_embed(blocks.movedim(-3, -1))  # (*batch, 3, 3, joints, joints)
        whole = whole.movedim(-2, -4).movedim(-1, -2)  # (*batch, joints, 3, joints, 3)
        return self._mean(), whole.flatten(-4, -3).flatten(-2)

    def _covariance(self) -> Tensor:
        variance = self.scale.square() * (1.0 if self.family == "gaussian" else 2.0)
        return self.frame.covariance_to_camera(torch.diag_embed(variance))
