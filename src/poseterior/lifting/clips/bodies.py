"""One body per clip: paths whose bones keep their lengths."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ...distributions.bodies import log_factor
from ...geometry.kinematics import bones_to_pose, pose_to_bones
from ...geometry.skeletons import Skeleton

__all__ = ["mean_logs", "of_size", "with_body"]

#: Sweeps over the bones: each halves what is left or better, and the last step is exact whatever is left.
_SWEEPS = 4
#: Least length of a bone that has a direction, metres.
_SHORTEST = 1e-4


def mean_logs(paths: Float[Tensor, "samples T joints 3"], skeleton: Skeleton) -> Float[Tensor, "samples joints"]:
    """Logarithm of the length of each joint's bone (to its parent), the mean over frames: 0 for the root."""
    logs = pose_to_bones(paths, skeleton).norm(dim=-1).clamp(min=_SHORTEST).log().mean(1)
    logs[:, skeleton.root] = 0.0
    return logs


def of_size(
    logs: Float[Tensor, "samples joints"], log_size: Float[Tensor, " samples"], skeleton: Skeleton
) -> Float[Tensor, "samples joints"]:
    """Logarithms of the lengths of bones that are to each other as these, on bodies of the given sizes.

    Bones whose ends are uncertain are on average longer than they are: the size is not told from them.

    Args:
        logs: of `mean_logs`.
        log_size: logarithm of the body's size (`poseterior.distributions.bodies.body_size`).
        skeleton: of the bones.
    """
    found = logs + log_factor(logs, log_size, skeleton).to(logs).unsqueeze(-1)
    found[:, skeleton.root] = 0.0
    return found


def with_body(
    paths: Float[Tensor, "samples T joints 3"],
    log_lengths: Float[Tensor, "samples joints"],
    mobility: Float[Tensor, "T joints 3"],
    skeleton: Skeleton,
) -> Float[Tensor, "samples T joints 3"]:
    """The nearest paths, or nearly, whose bones have these lengths in every frame.

    Each bone in turn is put right by moving both of its ends as little as possible, each coordinate counted in its own
    standard deviation (position-based dynamics: Müller et al. 2007, with a mass for each coordinate): so what is well
    known, across the ray, hardly moves. After some sweeps the bones, laid end to end, get their lengths exactly.

    Args:
        paths: relative to the root; metres.
        log_lengths: of each joint's bone to its parent.
        mobility: variance of each coordinate, m², in the axes of the paths. The root does not move.
        skeleton: of the paths.
    """
    lengths = log_lengths.exp()
    place = list(paths.unbind(-2))
    weight = list(mobility.to(paths.dtype).unbind(-2))
    weight[skeleton.root] = torch.zeros_like(weight[skeleton.root])
    bones = [(joint, skeleton.parents[joint]) for joint in skeleton.topological_order if skeleton.parents[joint] >= 0]
    both = {joint: weight[joint] + weight[parent] for joint, parent in bones}
    for _ in range(_SWEEPS):
        for joint, parent in bones:
            bone = place[joint] - place[parent]
            length = bone.norm(dim=-1, keepdim=True).clamp(min=_SHORTEST)
            along = bone / length
            excess = length - lengths[:, joint, None, None]
            step = excess / (along.square() * both[joint]).sum(-1, keepdim=True).clamp(min=1e-12) * along
            place[joint] = place[joint] - step * weight[joint]
            place[parent] = place[parent] + step * weight[parent]
    found = pose_to_bones(torch.stack(place, -2), skeleton)
    length = found.norm(dim=-1, keepdim=True).clamp(min=_SHORTEST)
    return bones_to_pose(found / length * lengths[:, None, :, None], skeleton)
