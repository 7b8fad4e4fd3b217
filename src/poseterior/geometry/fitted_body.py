"""Rotations of the body that explain poses of h36m17, in closed form.

A pose says where joints are and not how they are turned: the trunk's two ends are turned as their joints say in least
squares, every limb by the shortest turn that brings its bone from rest to where it is, so that nothing twists about
its own length. Feet, hands and collars stay as they are at rest.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .body import H36M_POINTS, SMPL25, body_points, estimate_offsets, median_offsets, points_from, rest_offsets
from .skeletons import SKELETONS

__all__ = ["fitted_body", "fitted_rotations", "shortest_turn"]

_BODY = SKELETONS["h36m17"]
_SMPL = SKELETONS["smpl22"]
#: Directions (from, to) that turn with the pelvis, and with the chest, in joints of h36m17.
_PELVIS = (("right_hip", "left_hip"), ("pelvis", "spine"))
_CHEST = (("right_shoulder", "left_shoulder"), ("spine", "thorax"))
#: Joint of smpl22 -> the direction that its rotation turns, in joints of h36m17; parents before their children.
_LIMBS: dict[str, tuple[str, str]] = {
    **{f"{side}_hip": (f"{side}_hip", f"{side}_knee") for side in ("left", "right")},
    **{f"{side}_knee": (f"{side}_knee", f"{side}_ankle") for side in ("left", "right")},
    "neck": ("thorax", "head_top"),
    **{f"{side}_shoulder": (f"{side}_shoulder", f"{side}_elbow") for side in ("left", "right")},
    **{f"{side}_elbow": (f"{side}_elbow", f"{side}_wrist") for side in ("left", "right")},
}
_CHEST_JOINT = _SMPL.index("spine3")


def shortest_turn(start: Float[Tensor, "*batch 3"], end: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation by the smallest angle that brings one direction to another; of opposite ones, one of them all.

    Args:
        start, end: vectors of any length but 0 (which stays where it is).
    """
    a, b = (torch.nn.functional.normalize(v, dim=-1) for v in (start, end))
    axis, cosine = torch.linalg.cross(a, b), (a * b).sum(-1)[..., None, None]
    zero = torch.zeros_like(axis[..., 0])
    x, y, z = axis.unbind(-1)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    eye = torch.eye(3, dtype=a.dtype, device=a.device)
    turn = eye + cross + cross @ cross / (1.0 + cosine).clamp(min=1e-6)
    # Half a turn about any axis across: the one that is most across.
    least = torch.nn.functional.one_hot(a.abs().argmin(-1), 3).to(a.dtype)
    across = torch.nn.functional.normalize(torch.linalg.cross(a, least), dim=-1)
    half = 2.0 * across.unsqueeze(-1) * across.unsqueeze(-2) - eye
    return torch.where(cosine < -1.0 + 1e-6, half, turn)


def _directions(pose: Tensor, pairs: tuple[tuple[str, str], ...]) -> Float[Tensor, "*batch pairs 3"]:
    first, second = ([_BODY.index(pair[i]) for pair in pairs] for i in (0, 1))
    return torch.nn.functional.normalize(pose[..., second, :] - pose[..., first, :], dim=-1)


def _turned_to(rest: Float[Tensor, "17 3"], pose: Tensor, pairs: tuple[tuple[str, str], ...]) -> Tensor:
    """The rotation that brings directions of the rest pose nearest to those of a pose, in least squares."""
    import roma

    return roma.special_procrustes(_directions(pose, pairs).mT @ _directions(rest, pairs))


def fitted_rotations(poses: Float[Tensor, "n 17 3"]) -> Float[Tensor, "n 22 3 3"]:
    """Rotations of smpl22 relative to the parent, the pelvis' to the world, of poses of h36m17 (any place, y up)."""
    rest = body_points(torch.eye(3).to(poses).expand(22, 3, 3), rest_offsets().to(poses))[0][list(H36M_POINTS)]
    turns = torch.eye(3).to(poses).repeat(len(poses), len(_SMPL), 1, 1)
    pelvis = _turned_to(rest, poses, _PELVIS)
    turns[:, _SMPL.root] = pelvis
    turns[:, _CHEST_JOINT] = pelvis.mT @ _turned_to(rest, poses, _CHEST)
    whole: dict[int, Tensor] = {}  # global rotations, as they come to stand
    for joint in _SMPL.topological_order:
        name, parent = _SMPL.joints[joint], _SMPL.parents[joint]
        before = whole[parent] if parent >= 0 else torch.eye(3).to(poses).expand(len(poses), 3, 3)
        if name in _LIMBS:
            pair = (_LIMBS[name],)
            there = (before.mT @ _directions(poses, pair).mT).squeeze(-1)
            turns[:, joint] = shortest_turn(_directions(rest, pair)[0].expand_as(there), there)
        whole[joint] = before @ turns[:, joint]
    return turns


def fitted_body(poses: Float[Tensor, "n 17 3"]) -> tuple[Float[Tensor, "n 22 3 3"], Float[Tensor, "n 22 3"]]:
    """`fitted_rotations` of one person's poses, and joints of smpl22 where they put a body with that person's bones.

    Joints that h36m17 has too are where the poses have them.
    """
    turns = fitted_rotations(poses)
    points, seen = points_from(poses, "h36m17")
    offsets = median_offsets(estimate_offsets(points, seen.expand(points.shape[:-1]))[0])
    body, _ = body_points(turns, offsets)
    hips = SMPL25.index("hip_centre")
    body = body - body[:, hips : hips + 1] + points[:, hips : hips + 1]
    return turns, torch.where(seen.unsqueeze(-1), points, body)[:, : len(_SMPL)]
