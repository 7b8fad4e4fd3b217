"""Could this be a body? Bones that keep their length and match their twins, joints that bend as joints can.

Poses ``(*batch, joints, 3)`` in metres, results in metres and degrees. Nothing depends on where a pose stands or
which way it faces, and the truth is not needed. ``valid (*batch, joints)`` marks joints that exist; those that do not,
or are NaN, count nowhere, and where nothing is left to measure the result is NaN.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.kinematics import bone_lengths
from ..geometry.limits import LIMITS, Limit, limit_angles, limits_violated
from ..geometry.skeletons import Skeleton, get_skeleton

__all__ = [
    "LIMITS",
    "Limit",
    "bone_spread",
    "limit_angles",
    "limits_violated",
    "mpsce",
    "mpsse",
]


def _known(pose: Tensor, valid: Tensor | None) -> Tensor:
    return pose if valid is None else torch.where(valid.unsqueeze(-1), pose, float("nan"))


def _spread(lengths: Tensor, dim: int) -> Tensor:
    """Standard deviation (n - 1) along a dimension over what is not NaN; NaN where that is fewer than two."""
    count = lengths.isfinite().sum(dim)
    squares = (lengths - lengths.nanmean(dim, keepdim=True)).square().nansum(dim)
    return torch.where(count > 1, squares / (count - 1), float("nan")).sqrt()


def bone_spread(
    samples: Float[Tensor, "samples *batch joints 3"],
    skeleton: str | Skeleton = "h36m17",
    valid: Bool[Tensor, "*batch joints"] | None = None,
) -> Float[Tensor, "*batch bones"]:
    """How much the hypotheses of a pose disagree about the body: standard deviation of each bone's length, metres.

    Not an error: who cannot see how large a person is should not be sure of it. In the order of `Skeleton.bones`.
    """
    return _spread(bone_lengths(_known(samples, valid), skeleton), 0)


def mpsse(
    pose: Float[Tensor, "*batch joints 3"],
    skeleton: str | Skeleton = "h36m17",
    valid: Bool[Tensor, "*batch joints"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Mean per-segment symmetry error, metres: mean ``|left length - right length|`` over the paired bones.

    ManiPose (Rommel et al. 2024). h36m17 has six pairs: hip, thigh, shank, shoulder, upper arm, forearm.

    Raises:
        InputError: a skeleton without paired bones.
    """
    skeleton = get_skeleton(skeleton)
    children = [child for child, _ in skeleton.bones]
    lefts = [child for child in children if skeleton.sides[child] == "left"]
    if not lefts:
        raise InputError(f"skeleton {skeleton.name!r}: no joint is named left_...; symmetry needs left and right bones")
    left = [children.index(child) for child in lefts]
    right = [children.index(skeleton.mirror[child]) for child in lefts]
    lengths = bone_lengths(_known(pose, valid), skeleton)
    return (lengths[..., left] - lengths[..., right]).abs().nanmean(-1)


def mpsce(
    poses: Float[Tensor, "*batch frames joints 3"],
    skeleton: str | Skeleton = "h36m17",
    valid: Bool[Tensor, "*batch frames joints"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Mean per-segment consistency error, metres: each bone's standard deviation over the frames, mean over bones.

    ManiPose (Rommel et al. 2024), with n - 1 as in the authors' code. Frames are of one person; a bone counts
    if two frames have it.
    """
    return _spread(bone_lengths(_known(poses, valid), skeleton), -2).nanmean(-1)
