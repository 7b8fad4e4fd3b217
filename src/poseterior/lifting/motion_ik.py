"""Inverse kinematics of whole motions: each hypothesis of a clip becomes the rotations of one body through time."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..geometry.body import SMPL25, body_points, estimate_offsets, median_offsets, rest_offsets
from ..geometry.skeletons import SKELETONS
from ..lifters import ArticulatedLifter
from ..metrics.rotations import chordal_mean, geodesic_angle
from ..noise import mixed
from ..registry import lazy_module
from ..results.rotations import quaternions
from .draws import RotationDraws
from .steady import steady_turns, usual_turns

#: Imported when it is first used: it loads the whole of PyTorch's compiler.
roma = lazy_module("roma")

__all__ = ["MOTIONS", "rotations_of_motions"]

#: Draws of inverse kinematics (of a frame of a motion) at a time.
_AT_ONCE = 4096
#: Motions that become rotations, and draws of each, of which the one that fits the motion best is taken: a draw from
#: the far tail fits no frame.
MOTIONS, _DRAWS = 32, 4
#: Bones of limbs: they are laid exactly along those of the motion.
_LIMBS = {
    f"{side}_{joint}": f"{side}_{end}"
    for side in ("left", "right")
    for joint, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
}
_BODY = SKELETONS["smpl22"]


@torch.no_grad()
def rotations_of_motions(
    network: ArticulatedLifter,
    motions: Float[Tensor, "samples T 25 3"],
    mean: Float[Tensor, "T 25 3"],
    seen: Bool[Tensor, "25"],
    sigma: float = 0.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> RotationDraws:
    """One draw of inverse kinematics of each motion, by the same random numbers in all of its frames.

    Of some draws the one whose points are nearest to the motion's is taken. Its turns are usual ones, from which the
    motion's depart by as little as its points ask for (`poseterior.lifting.steady`); then the bones of limbs are laid
    exactly along the motion's. So what points leave open (the turn of a head, the twist of a forearm) is held through
    a motion, and the rotations change from frame to frame as smoothly as the points do; no filter is used on what is
    seen.

    Args:
        network: in evaluation mode.
        motions: points of the body, metres, each motion of one body.
        mean: points of the mean of all motions, along whose limbs the mean rotations are laid too.
        seen: points that count.
        sigma: standard deviation of the points, metres.
        seed: of the draws.
        device: where to run.
    """
    count, frames = motions.shape[:2]
    shown = seen.expand(frames, -1)
    bodies = []
    for motion in motions:
        offsets, known = estimate_offsets(motion, shown)
        bodies.append(median_offsets(offsets[known]) if bool(known.any()) else None)
    body = rest_offsets().expand(count, -1, -1)
    if not any(one is None for one in bodies):
        body = torch.stack([one for one in bodies if one is not None]).float()
    chosen = torch.stack(
        [
            _nearest(network, one, own, seen, sigma, mixed(seed, k), device)
            for k, (one, own) in enumerate(zip(motions, body, strict=True))
        ]
    )
    usual = torch.stack([usual_turns(one) for one in chosen])
    steady = steady_turns(usual, motions, body[:, None], seen, sigma)
    turns = _along(steady, motions, body, seen)  # (samples, T, 22, 3, 3)
    middle = _along(chordal_mean(turns)[None], mean[None], body.mean(0, keepdim=True), seen)[0]
    spread = geodesic_angle(turns, middle).square().mean(0).sqrt()
    return RotationDraws(
        quaternions(turns.transpose(0, 1)),
        np.full((frames, count), np.nan, np.float32),
        quaternions(middle),
        spread.float().numpy(),
        network.ik(motions[0, :1].to(device), seen.to(device)).modelled,
    )


def _nearest(
    network: ArticulatedLifter,
    motion: Float[Tensor, "T 25 3"],
    body: Float[Tensor, "25 3"],
    seen: Bool[Tensor, "25"],
    sigma: float,
    key: Int[Tensor, ""],
    device: torch.device | str,
) -> Float[Tensor, "T 22 3 3"]:
    """The draw whose points are nearest to those of one motion."""
    drawn = []
    for rows in torch.arange(len(motion)).split(max(1, _AT_ONCE // _DRAWS)):
        points = motion[rows].to(device)
        own = body.to(device).expand(len(rows), -1, -1)
        posterior = network.ik(points, seen.to(device), sigma, own, keys=key.expand(len(rows)))
        drawn.append(posterior.sample((_DRAWS,), seed=0).cpu())
    turns = torch.cat(drawn, 1)
    points, _ = body_points(turns, body.expand(*turns.shape[:2], -1, -1))
    gap = ((points - motion)[:, :, seen] - (points - motion)[:, :, seen].mean(-2, keepdim=True)).norm(dim=-1)
    return turns[gap.mean((1, 2)).argmin()]


def _along(
    turns: Float[Tensor, "samples T 22 3 3"],
    motions: Float[Tensor, "samples T 25 3"],
    body: Float[Tensor, "samples 25 3"],
    seen: Bool[Tensor, "25"],
) -> Float[Tensor, "samples T 22 3 3"]:
    """The same with the bones of limbs along those of the motions: each is swung there, and takes its end along."""
    turns = turns.clone()
    whole: list[Tensor] = [turns[:, :, 0]] * len(_BODY)
    for joint in _BODY.topological_order:
        parent = _BODY.parents[joint]
        if parent >= 0:
            whole[joint] = whole[parent] @ turns[:, :, joint]
        else:
            whole[joint] = turns[:, :, joint]
        end = _LIMBS.get(_BODY.joints[joint])
        if end is None:
            continue
        start, stop = SMPL25.index(_BODY.joints[joint]), SMPL25.index(end)
        if not bool(seen[start] & seen[stop]):
            continue
        wanted = motions[:, :, stop] - motions[:, :, start]
        bone = (whole[joint] @ body[:, None, stop, :, None]).squeeze(-1)
        whole[joint] = _swing(bone, wanted) @ whole[joint]
        turns[:, :, joint] = whole[parent].mT @ whole[joint]
    return turns


def _swing(start: Float[Tensor, "*batch 3"], end: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The smallest rotation that turns one direction into another."""
    start, end = (torch.nn.functional.normalize(one, dim=-1, eps=1e-6) for one in (start, end))
    axis = torch.linalg.cross(start, end)
    cosine = (start * end).sum(-1)
    # Opposite directions (a draw that fits nothing) have no smallest rotation: they stay nearly as they are.
    scale = 1.0 / (1.0 + cosine).clamp(min=1e-3)
    x, y, z = axis.unbind(-1)
    none = torch.zeros_like(x)
    skew = torch.stack([none, -z, y, z, none, -x, -y, x, none], -1).unflatten(-1, (3, 3))
    found = torch.eye(3).to(start) + skew + scale[..., None, None] * (skew @ skew)
    return roma.special_procrustes(found)
