"""Turns of a whole motion that change only as its points do: what points do not tell is held, not drawn anew.

Keypoints show nearly nothing of some turns: of the head's about the neck, which is almost straight, of a limb's about
itself while it is straight, of a hand's. Drawn frame by frame such a turn jumps by up to half a turn, even with the
same random numbers. Here each joint has a *usual* turn relative to its parent, a slow mean of its draws, and every
frame gets the turns that fit its points with as little change of the usual ones as that takes: a least-squares fit
(Levenberg and Marquardt's, from the usual turns), in which a point decides about a turn by how far it lies from the
turn's axis. What is seen is not filtered.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.body import SMPL25, body_points
from ..geometry.skeletons import SKELETONS
from ..metrics.rotations import geodesic_angle
from ..registry import lazy_module

#: Imported when it is first used: it loads the whole of PyTorch's compiler.
roma = lazy_module("roma")

__all__ = ["steady_turns", "usual_turns"]

_BODY = SKELETONS["smpl22"]
#: Frames (standard deviation) over which a usual turn is the mean of draws.
_SLOW = 6.0
#: Weights of the mean over the clip, and of rest, in a usual turn: they decide where the draws of the window disagree.
_CLIP, _REST = 0.1, 0.02
#: Draws further from rest than the joint goes (degrees) are left out of its usual turn: generous, beyond the ranges of
#: motion of the American Academy of Orthopaedic Surgeons, Joint Motion (1965): the neck's turn to a side is 80, which
#: neck and head share; the wrist bends by 80, the ankle by 50.
_REACH = {"neck": 50.0, "head": 50.0} | {
    f"{side}_{joint}": reach for side in ("left", "right") for joint, reach in (("wrist", 90.0), ("ankle", 60.0))
}
#: Standard deviations: of points (metres), of turns about the usual ones (radians; a pelvis turns as the person does).
_POINTS, _TURNS, _PELVIS = 0.01, math.radians(20.0), math.radians(180.0)
#: Steps of the fit, and how much they are held back at first (Levenberg and Marquardt's).
_STEPS, _DAMPING = 5, 0.1
#: Poses that are fitted at a time.
_AT_ONCE = 2048


def usual_turns(drawn: Float[Tensor, "T 22 3 3"]) -> Float[Tensor, "T 22 3 3"]:
    """The slow mean of each joint's drawn turns, relative to its parent, without those that no person can do."""
    reach = torch.tensor([math.radians(_REACH.get(joint, 180.0)) for joint in _BODY.joints])
    rest = torch.eye(3, dtype=drawn.dtype)
    possible = (geodesic_angle(drawn, rest.expand_as(drawn)) <= reach + 1e-3)[..., None, None] * drawn
    frame = torch.arange(len(drawn), dtype=drawn.dtype)
    near = torch.exp(-0.5 * ((frame[:, None] - frame) / _SLOW) ** 2)
    near = near / near.sum(1, keepdim=True)
    return roma.special_procrustes(
        torch.einsum("ts,sjab->tjab", near, possible) + _CLIP * possible.mean(0) + _REST * rest
    )


def steady_turns(
    usual: Float[Tensor, "*batch 22 3 3"],
    points: Float[Tensor, "*batch 25 3"],
    body: Float[Tensor, "*batch 25 3"],
    seen: Bool[Tensor, "25"],
    sigma: float = 0.0,
) -> Float[Tensor, "*batch 22 3 3"]:
    """The turns nearest to the usual ones that lay the body on the points that count, wherever it stands.

    Args:
        usual: of `usual_turns`.
        points: metres; those not seen may hold anything.
        body: rest offsets, metres.
        seen: points that count.
        sigma: standard deviation of the points, metres; at least a centimetre is taken, by which bodies differ from
            the one of the offsets.
    """
    batch = usual.shape[:-3]
    parts = [one.flatten(0, len(batch) - 1).split(_AT_ONCE) for one in (usual, points, body.expand(*batch, 25, 3))]
    spread = max(sigma, _POINTS)
    found = [_fitted(near, some, own, seen, spread) for near, some, own in zip(*parts, strict=True)]
    return torch.cat(found).unflatten(0, batch)


def _fitted(
    usual: Float[Tensor, "n 22 3 3"],
    points: Float[Tensor, "n 25 3"],
    body: Float[Tensor, "n 25 3"],
    seen: Bool[Tensor, "25"],
    sigma: float,
) -> Float[Tensor, "n 22 3 3"]:
    """Levenberg and Marquardt's steps; unknowns are small turns of the joints, each in its parent's axes."""
    joints = len(_BODY)
    free = torch.full((joints,), _TURNS, dtype=usual.dtype)
    free[_BODY.root] = _PELVIS
    precision = (1 / free**2).repeat_interleave(3)
    below = _below()[:, seen].to(usual.dtype)  # (22, seen)
    wanted = _centred(points[:, seen])
    parents = torch.tensor([max(parent, 0) for parent in _BODY.parents])

    def fit(turns: Tensor) -> tuple[Tensor, ...]:
        """Points, the joints' whole turns, gaps of points, turns from the usual, and what is made least."""
        placed, whole = body_points(turns, body)
        gap = (wanted - _centred(placed[:, seen])).flatten(-2) / sigma
        astray = roma.rotmat_to_rotvec(turns @ usual.mT).flatten(-2)
        return placed, whole, gap, astray, gap.square().sum(-1) + (precision * astray.square()).sum(-1)

    turns, now = usual, fit(usual)
    damping = torch.full((len(usual), 1), _DAMPING, dtype=usual.dtype)
    for _ in range(_STEPS):
        placed, whole, gap, astray, cost = now
        arms = (placed[:, None, seen] - placed[:, :joints, None]) * below[..., None]  # (n, 22, seen, 3)
        axes = whole[:, parents].clone()
        axes[:, _BODY.root] = torch.eye(3, dtype=usual.dtype)
        # A point moves by (axis x arm): (n, 22, 3 axes, seen, 3)
        moves = torch.linalg.cross(axes.mT[:, :, :, None], arms[:, :, None], dim=-1)
        moves = _centred(moves).flatten(1, 2).flatten(-2) / sigma
        normal = moves @ moves.mT + torch.diag(precision)
        normal = normal + torch.diag_embed(damping * normal.diagonal(dim1=-2, dim2=-1))
        towards = (moves @ gap[..., None]).squeeze(-1) - precision * astray
        step = torch.linalg.solve_ex(normal, towards)[0].unflatten(-1, (joints, 3))
        tried = roma.rotvec_to_rotmat(step) @ turns
        then = fit(tried)
        better = then[-1] < cost
        now = tuple(torch.where(_like(better, new), new, old) for new, old in zip(then, now, strict=True))
        turns = torch.where(_like(better, turns), tried, turns)
        damping = torch.where(better[:, None], damping / 5, damping * 5).clamp(1e-4, 1e3)
    return roma.special_procrustes(turns)


def _like(rows: Bool[Tensor, " n"], other: Tensor) -> Bool[Tensor, "n *ones"]:
    return rows.reshape(-1, *[1] * (other.ndim - 1))


def _below() -> Bool[Tensor, "22 25"]:
    """Which points each joint's turn moves: those below it in the tree."""
    below = torch.zeros(len(_BODY), len(SMPL25), dtype=torch.bool)
    for point in range(len(SMPL25)):
        joint = SMPL25.parents[point]
        while joint >= 0:
            below[joint, point] = True
            joint = SMPL25.parents[joint]
    return below


def _centred(points: Float[Tensor, "*batch points 3"]) -> Float[Tensor, "*batch points 3"]:
    return points - points.mean(-2, keepdim=True)
