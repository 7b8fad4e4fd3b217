"""What a body does when nothing is seen: samples of the prior, and how likely given poses are under it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..files.errors import InputError
from ..geometry.body import (
    rest_offsets,
)
from ..lifters import Lifter

if TYPE_CHECKING:
    pass
from ..results.rotations import Array, RotationResult, _matrices
from .rotations import _check_draws, _rotation_lifter, _summary

__all__ = [
    "PriorScores",
    "sample_prior",
    "score_poses",
]

# -- the prior ---------------------------------------------------------------------------------------------


def sample_prior(lifter: Lifter, count: int, seed: int = 0) -> RotationResult:
    """Poses of people of whom nothing is seen, one sample each; the pelvis as a camera sees them.

    Args:
        lifter: one with rotations.
        count: how many.
        seed: of the samples.

    Returns:
        ``count`` poses of one clip (frames 0, 1 ...), the rest body, the root at the origin, camera axes.

    Raises:
        InputError: a lifter without rotations, or fewer than one pose.
    """
    _check_draws(count, seed)
    network = _rotation_lifter(lifter)
    prior = network.prior()
    rotations, log_prob = prior.sample_and_log_prob((1, count), seed=seed)
    return RotationResult(
        **_summary(rotations, log_prob),
        offsets=rest_offsets().repeat(count, 1, 1).numpy(),
        root=np.zeros((count, 3), np.float32),
        file=np.full(count, "prior"),
        frame=np.arange(count),
        person=np.zeros(count, np.int64),
        axes="camera",
        modelled=prior.modelled,
        lifter=str(lifter.card.get("name") or lifter.name),
        seed=seed,
        settings={"evidence": "none"},
    )


@dataclass(frozen=True, eq=False)
class PriorScores:
    """How likely poses are a priori, whatever their orientation.

    Attributes:
        joints: the modelled joints other than the pelvis.
        contributions: ``(poses, joints)`` nats above uniform: each joint's part of the log-density (given the joints
            before it, for the autoregressive structures).
        usual: ``(joints,)`` their means over the prior's own samples.
        typicality: ``(poses,)`` share of the prior's own samples that have a lower log-density.
    """

    joints: tuple[str, ...]
    contributions: Float[NDArray[np.float64], "poses joints"]
    usual: Float[NDArray[np.float64], "joints"]
    typicality: Float[NDArray[np.float64], "poses"]

    @property
    def log_density(self) -> Float[NDArray[np.float64], "poses"]:
        """Of each pose, nats above uniform, the pelvis left out."""
        return self.contributions.sum(-1)

    def reasons(self, pose: int, count: int = 3) -> list[tuple[str, float]]:
        """The joints that make a pose unlikely, with what they lose (nats) against the prior's own samples."""
        loss = self.contributions[pose] - self.usual
        return [(self.joints[j], float(loss[j])) for j in np.argsort(loss)[:count]]


@torch.no_grad()
def score_poses(
    lifter: Lifter,
    rotations: Float[NDArray[np.float32], "poses 22 4"],
    samples: int = 2000,
    seed: int = 0,
    chunk: int = 1024,
) -> PriorScores:
    """Log-density of poses under the prior, by joint, and how typical that is.

    Args:
        lifter: one with rotations.
        rotations: quaternions xyzw; the pelvis' does not matter.
        samples: of the prior, to compare with.
        seed: of those.
        chunk: poses at a time.

    Raises:
        InputError: a lifter without rotations, another shape, or a quaternion that is no rotation (names the joint).
    """
    _check_draws(samples, seed)
    prior = _rotation_lifter(lifter).prior()
    if rotations.ndim != 3 or rotations.shape[1:] != (22, 4) or not len(rotations):
        raise InputError(f"rotations have shape {rotations.shape}; expected (poses, 22, 4)")

    def contributions(matrices: Tensor) -> Array:
        parts = [prior.joint_log_prob(matrices[start : start + chunk]) for start in range(0, len(matrices), chunk)]
        return torch.cat(parts)[:, 1:].double().cpu().numpy()

    device = prior.evidence.points.device
    own = contributions(prior.sample((samples,), seed=seed))
    scored = contributions(_matrices(rotations.astype(np.float32)).to(device))
    rank = np.searchsorted(np.sort(own.sum(-1)), scored.sum(-1), side="left")
    return PriorScores(prior.modelled[1:], scored, own.mean(0), rank / samples)
