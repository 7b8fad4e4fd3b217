"""Bodies as trees of bones: forward kinematics, bone lengths, height, alignment.

Poses are ``(*batch, joints, 3)`` metres; every function takes any batch shape, and none depends on axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .nearest_rotations import columns_product
from .skeletons import Skeleton, get_skeleton

__all__ = [
    "ANKLE_HEIGHT",
    "ASSUMED_HEIGHT",
    "HEIGHT_LEGS",
    "HEIGHT_TRUNK",
    "body_height",
    "bone_lengths",
    "bones_to_pose",
    "forward_kinematics",
    "kinematic_chain_space",
    "pose_to_bones",
    "similarity_align",
]

#: From the ankle joint to the floor, metres: added to the joint chain to give a body's height.
ANKLE_HEIGHT = 0.09
#: Height in metres of a person whose height is not known.
ASSUMED_HEIGHT = 1.7
#: Joints of h36m17 at the far ends of the bones whose lengths make up a height: whole, and by halves.
HEIGHT_TRUNK = ("spine", "thorax", "neck_nose", "head_top")
HEIGHT_LEGS = ("left_knee", "left_ankle", "right_knee", "right_ankle")
#: Poses from which on operations on their components are faster than on the poses.
_MANY = 1024


@lru_cache(maxsize=32)
def _ancestry(skeleton: Skeleton) -> tuple[tuple[float, ...], ...]:
    """Row j marks the bones (named by their child joint) on the way from the root to joint j."""
    rows = []
    for joint in range(len(skeleton)):
        row = [0.0] * len(skeleton)
        while skeleton.parents[joint] >= 0:
            row[joint] = 1.0
            joint = skeleton.parents[joint]
        rows.append(tuple(row))
    return tuple(rows)


def pose_to_bones(pose: Float[Tensor, "*batch joints 3"], skeleton: str | Skeleton) -> Float[Tensor, "*batch joints 3"]:
    """Vector from each joint's parent to the joint; the root's entry is zero."""
    skeleton = get_skeleton(skeleton)
    parents = [joint if parent < 0 else parent for joint, parent in enumerate(skeleton.parents)]
    return pose - pose[..., parents, :]


def bones_to_pose(
    bones: Float[Tensor, "*batch joints 3"], skeleton: str | Skeleton
) -> Float[Tensor, "*batch joints 3"]:
    """The pose, root at the origin, whose bone vectors are ``bones`` (the root's entry is ignored)."""
    ancestry = torch.tensor(_ancestry(get_skeleton(skeleton)), dtype=bones.dtype, device=bones.device)
    return ancestry @ bones


def bone_lengths(pose: Float[Tensor, "*batch joints 3"], skeleton: str | Skeleton) -> Float[Tensor, "*batch bones"]:
    """Length of each bone of `Skeleton.bones`, in that order, metres."""
    skeleton = get_skeleton(skeleton)
    children = [child for child, _ in skeleton.bones]
    return pose_to_bones(pose, skeleton)[..., children, :].norm(dim=-1)


def forward_kinematics(
    rotations: Float[Tensor, "*batch joints 3 3"],
    offsets: Float[Tensor, "*batch joints 3"],
    skeleton: str | Skeleton,
) -> tuple[Float[Tensor, "*batch joints 3"], Float[Tensor, "*batch joints 3 3"]]:
    """Positions and global rotations from local ones.

    Args:
        rotations: each joint's rotation relative to its parent; the root's is the global orientation.
        offsets: each joint's position in its parent's frame at rest, metres; the root's is its position.
        skeleton: the tree.

    Returns:
        Positions ``(*batch, joints, 3)`` and global rotations ``(*batch, joints, 3, 3)``.
    """
    skeleton = get_skeleton(skeleton)
    offsets = offsets.expand(*rotations.shape[:-2], 3)
    learning = torch.is_grad_enabled() and (rotations.requires_grad or offsets.requires_grad)
    if not learning and rotations.shape[:-3].numel() >= _MANY:
        return _poses_last(rotations, offsets, skeleton)
    positions: dict[int, Tensor] = {}
    turned: dict[int, Tensor] = {}
    for joint in skeleton.topological_order:
        parent = skeleton.parents[joint]
        if parent < 0:
            positions[joint], turned[joint] = offsets[..., joint, :], rotations[..., joint, :, :]
        else:
            turned[joint] = turned[parent] @ rotations[..., joint, :, :]
            step = (turned[parent] @ offsets[..., joint, :, None]).squeeze(-1)
            positions[joint] = positions[parent] + step
    order = range(len(skeleton))
    return torch.stack([positions[j] for j in order], -2), torch.stack([turned[j] for j in order], -3)


def _poses_last(
    rotations: Float[Tensor, "*batch joints 3 3"], offsets: Float[Tensor, "*batch joints 3"], skeleton: Skeleton
) -> tuple[Float[Tensor, "*batch joints 3"], Float[Tensor, "*batch joints 3 3"]]:
    """The same without gradients, of many poses: a third of the time."""
    batch, joints = rotations.shape[:-3], len(skeleton)
    own = rotations.reshape(-1, 9 * joints).mT.contiguous().unflatten(0, (joints, 3, 3))
    steps = offsets.reshape(-1, 3 * joints).mT.contiguous().unflatten(0, (joints, 3, 1))
    turned, positions = torch.empty_like(own), torch.empty_like(steps)
    for joint in skeleton.topological_order:
        parent = skeleton.parents[joint]
        if parent < 0:
            turned[joint], positions[joint] = own[joint], steps[joint]
        else:
            columns_product(turned[parent], own[joint], out=turned[joint])
            columns_product(turned[parent], steps[joint], out=positions[joint]).add_(positions[parent])
    placed = positions.squeeze(2).flatten(0, 1).mT.contiguous()
    return placed.view(*batch, joints, 3), turned.movedim(-1, 0).unflatten(0, batch)


def kinematic_chain_space(
    pose: Float[Tensor, "*batch joints 3"], pairs: Sequence[tuple[int, int]]
) -> Float[Tensor, "*batch bones bones"]:
    """Inner products of all bones, ``pose[first] - pose[second]`` for each pair (Wandt & Rosenhahn 2019).

    The diagonal holds squared lengths, the rest angles; it does not change when the pose is moved or turned.
    """
    first, second = (list(side) for side in zip(*pairs, strict=True))
    bones = pose[..., first, :] - pose[..., second, :]
    return bones @ bones.transpose(-1, -2)


def body_height(pose: Float[Tensor, "*batch 17 3"]) -> Float[Tensor, "*batch"]:
    """Height in metres of the person an ``h36m17`` pose belongs to, whatever the pose.

    The chain head top - neck/nose - thorax - spine - pelvis, the drop from the pelvis to the hips' centre
    (zero by definition) and the mean leg, plus `ANKLE_HEIGHT`. Bent spines and the neck's forward tilt are
    straightened by summing bone lengths.
    """
    skeleton = get_skeleton("h36m17")
    bones = pose_to_bones(pose, skeleton).norm(dim=-1)
    trunk = sum(bones[..., skeleton.index(j)] for j in HEIGHT_TRUNK)
    legs = sum(bones[..., skeleton.index(j)] for j in HEIGHT_LEGS)
    return trunk + legs / 2 + ANKLE_HEIGHT


def similarity_align(
    pose: Float[Tensor, "*batch joints 3"],
    target: Float[Tensor, "*batch joints 3"],
    valid: Bool[Tensor, "*batch joints"] | None = None,
    scale: bool = True,
) -> Float[Tensor, "*batch joints 3"]:
    """``pose`` moved, turned and (unless ``scale=False``) scaled to fit ``target`` in least squares.

    Orthogonal Procrustes without reflections (Umeyama 1991): a mirrored pose does not align to its twin.

    Args:
        pose, target: broadcastable shapes.
        valid: joints that count; values of the others are ignored (NaN included) in the fit, and moved along.
        scale: whether to fit the size too.
    """
    import roma

    pose, target = torch.broadcast_tensors(pose, target)
    weight = torch.ones_like(pose[..., 0]) if valid is None else valid.expand(pose.shape[:-1]).to(pose.dtype)
    source = torch.where(weight.unsqueeze(-1) > 0, pose, 0.0)
    goal = torch.where(weight.unsqueeze(-1) > 0, target, 0.0)
    total = weight.sum(-1, keepdim=True).clamp(min=1.0).unsqueeze(-1)
    centre = (source * weight.unsqueeze(-1)).sum(-2, keepdim=True) / total
    goal_centre = (goal * weight.unsqueeze(-1)).sum(-2, keepdim=True) / total
    x = (source - centre) * weight.unsqueeze(-1)
    y = (goal - goal_centre) * weight.unsqueeze(-1)
    cross = y.transpose(-1, -2) @ x
    rotation = roma.special_procrustes(cross)
    size = torch.ones_like(total)
    if scale:
        size = ((rotation * cross).sum((-2, -1)) / x.square().sum((-2, -1)).clamp(min=1e-12))[..., None, None]
    return size * ((pose - centre) @ rotation.transpose(-1, -2)) + goal_centre
