"""How tall a person is, and how long each part of the body: as samples of poses say."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.kinematics import ANKLE_HEIGHT, HEIGHT_LEGS, HEIGHT_TRUNK, body_height, pose_to_bones
from ..geometry.skeletons import Skeleton

__all__ = ["PARTS", "BodyMeasure", "body_size", "heights", "log_factor", "proportions", "size_gradient"]

#: Parts of a body and the h36m17 joints at the far ends of their bones: the mean of both sides, the sum of a chain.
PARTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "hips": (("right_hip",), ("left_hip",)),
    "thigh": (("right_knee",), ("left_knee",)),
    "shin": (("right_ankle",), ("left_ankle",)),
    "trunk": (("spine", "thorax"),),
    "head": (("neck_nose", "head_top"),),
    "shoulders": (("right_shoulder",), ("left_shoulder",)),
    "upper arm": (("right_elbow",), ("left_elbow",)),
    "forearm": (("right_wrist",), ("left_wrist",)),
}


@dataclass(frozen=True)
class BodyMeasure:
    """A measure of the body as a distribution, known by draws.

    Attributes:
        draws: ``(draws, *batch)`` or ``(draws, *batch, parts)``; metres, or shares of the height.
        names: of the parts, in the order of the last dimension; empty for one measure.
    """

    draws: Float[Tensor, "draws *shape"] = field(repr=False)
    names: tuple[str, ...] = ()

    @property
    def mean(self) -> Float[Tensor, "*shape"]:
        return self.draws.mean(0)

    @property
    def stddev(self) -> Float[Tensor, "*shape"]:
        return self.draws.std(0)

    def interval(self, level: float = 0.9) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """Lower and upper end of the central interval that holds the measure with probability ``level``.

        Raises:
            InputError: a level that is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise InputError(f"level: expected a probability between 0 and 1, got {level!r}")
        ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=self.draws.dtype, device=self.draws.device)
        low, high = self.draws.quantile(ends, 0)
        return low, high


def _checked(skeleton: Skeleton) -> None:
    if skeleton.name != "h36m17":
        raise InputError(f"height and proportions are measured on h36m17 poses; these are {skeleton.name}")


def heights(poses: Float[Tensor, "draws *batch 17 3"], skeleton: Skeleton) -> BodyMeasure:
    """Height in metres, standing, whatever the pose (`poseterior.geometry.kinematics.body_height`).

    Raises:
        InputError: another skeleton than h36m17.
    """
    _checked(skeleton)
    return BodyMeasure(body_height(poses))


def proportions(poses: Float[Tensor, "draws *batch 17 3"], skeleton: Skeleton) -> BodyMeasure:
    """Length of each of `PARTS` as a share of the height.

    Raises:
        InputError: another skeleton than h36m17.
    """
    _checked(skeleton)
    bones = pose_to_bones(poses, skeleton).norm(dim=-1)
    parts = []
    for sides in PARTS.values():
        chains = [bones[..., [skeleton.index(joint) for joint in chain]].sum(-1) for chain in sides]
        parts.append(torch.stack(chains).mean(0))
    return BodyMeasure(torch.stack(parts, -1) / body_height(poses).unsqueeze(-1), tuple(PARTS))


def size_weights(skeleton: Skeleton) -> Float[Tensor, " joints"]:
    """How often each bone, named by its far joint, counts for the body's size."""
    weights = torch.zeros(len(skeleton), dtype=torch.float64)
    if skeleton.name != "h36m17":
        weights[list(skeleton.nonroot)] = 1.0
        return weights
    for names, weight in ((HEIGHT_TRUNK, 1.0), (HEIGHT_LEGS, 0.5)):
        weights[[skeleton.index(name) for name in names]] = weight
    return weights


def body_size(poses: Float[Tensor, "*batch joints 3"], skeleton: Skeleton) -> Float[Tensor, "*batch"]:
    """Metres: the height of h36m17 poses (`poseterior.geometry.kinematics.body_height`), else the sum of all bones."""
    lengths = pose_to_bones(poses, skeleton).norm(dim=-1)
    total = (lengths * size_weights(skeleton).to(lengths)).sum(-1)
    return total + ANKLE_HEIGHT if skeleton.name == "h36m17" else total


def log_factor(
    log_lengths: Float[Tensor, "*batch joints"], log_size: Float[Tensor, "*batch"], skeleton: Skeleton
) -> Float[Tensor, "*batch"]:
    """Logarithm of the factor on bones of these lengths that gives a body of that size (`body_size`)."""
    fixed = ANKLE_HEIGHT if skeleton.name == "h36m17" else 0.0
    wanted = (log_size.exp() - fixed).clamp(min=1e-3)
    total = (log_lengths.exp() * size_weights(skeleton).to(log_lengths)).sum(-1)
    return (wanted / total).log()


def size_gradient(poses: Float[Tensor, "*batch joints 3"], skeleton: Skeleton) -> Float[Tensor, "*batch joints 3"]:
    """Of `body_size`."""
    bones = pose_to_bones(poses, skeleton)
    pull = bones / bones.norm(dim=-1, keepdim=True).clamp(min=1e-6) * size_weights(skeleton).to(bones).unsqueeze(-1)
    gradient = pull.clone()
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            gradient[..., parent, :] -= pull[..., joint, :]
    return gradient
