"""Means and standard deviations of training coordinates, by which published networks standardise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.skeletons import Skeleton

__all__ = ["mean_and_deviation", "pose_mean_and_deviation"]


def mean_and_deviation(
    values: Float[Tensor, "n d"], counted: Bool[Tensor, "n d"] | None = None
) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Mean and population standard deviation of each column, over the values that count (None: all)."""
    if counted is None:
        return values.mean(0), values.std(0, unbiased=False)
    count = counted.sum(0).clamp(min=1).to(values.dtype)
    # chosen, not weighted: what does not count may be NaN
    mean = torch.where(counted, values, 0.0).sum(0) / count
    return mean, (torch.where(counted, values - mean, 0.0).square().sum(0) / count).sqrt()


def pose_mean_and_deviation(
    pose: Float[Tensor, "n joints 3"], observed: Bool[Tensor, "n joints"], skeleton: Skeleton, joints: Sequence[int]
) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """`mean_and_deviation` of the coordinates of some joints, flat, each over the poses that show it.

    Args:
        pose: metres.
        observed: joints that poses show; a pose of which nothing is known shows none.
        skeleton: of the poses, for messages.
        joints: which.

    Raises:
        InputError: a joint that no pose shows; names it, and a remedy.
    """
    chosen = list(joints)
    known = observed[:, chosen]
    lacking = [skeleton.joints[joint] for joint, some in zip(chosen, known.any(0).tolist(), strict=True) if not some]
    if len(lacking) == len(chosen):
        raise InputError("holds no 3D poses, of which means and deviations are taken; give observations with 3D poses")
    if lacking:
        raise InputError(
            f"no 3D pose shows {', '.join(lacking)}, of which means and deviations are taken; give observations with "
            "every joint"
        )
    if bool(known.all()):
        return mean_and_deviation(pose[:, chosen].flatten(-2))
    return mean_and_deviation(pose[:, chosen].flatten(-2), known.repeat_interleave(3, -1))
