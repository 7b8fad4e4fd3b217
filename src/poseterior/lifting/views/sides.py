"""Views that take left for right: told from what the other views see, and from the frames before and after.

A detector that sees somebody from behind, or with crossed legs, exchanges left and right for some frames. Legs and
arms are each looked at by themselves: of all ways to exchange them in some views and frames the likeliest is found
by dynamic programming over time (Viterbi 1967). A way costs what keypoints are off the epipolar lines of the other
views, how they jump from frame to frame, and a little for every exchange, so that where views agree they are believed.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...keypoints import Keypoints2D
from ...keypoints.calibration import Camera
from ..clips.surprises import turned_back

__all__ = ["MOST_VIEWS", "exchanged_sides", "with_sides"]

#: Views of which all ways are tried.
MOST_VIEWS = 6
#: Joints, without their side, that are exchanged together.
_GROUPS = (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))
#: Distances that are usual, from lines and from frame to frame, in shares of the person's size in the picture.
_OFF, _JUMP = 0.05, 0.15
#: What an exchange costs.
_EXCHANGE = 1.0
#: Shares of the person's size by which left and right are apart that tell something.
_CLOSE = 1e-3


def exchanged_sides(
    views: list[Keypoints2D], cameras: list[Camera]
) -> tuple[list[tuple[int, ...]], Bool[Tensor, "groups views T"]]:
    """Where left and right are exchanged.

    Args:
        views: undistorted, of the same moments; one after the other in time.
        cameras: of them.

    Returns:
        The joints of each group, and where their sides are exchanged; nowhere for one view, or more than `MOST_VIEWS`,
        and for two views of fewer than three moments, which cannot tell which of them is wrong.
    """
    skeleton = views[0].skeleton
    groups = [
        tuple(j for j, name in enumerate(skeleton.joints) if name.split("_")[-1] in group and skeleton.mirror[j] != j)
        for group in _GROUPS
    ]
    count = len(views[0])
    found = torch.zeros(len(groups), len(views), count, dtype=torch.bool)
    if not 2 <= len(views) <= MOST_VIEWS or (len(views) == 2 and count < 3):
        return groups, found
    for number, group in enumerate(groups):
        if len(group) >= 4:
            found[number] = _likeliest(views, cameras, list(group), list(skeleton.mirror))
    return groups, found


def _likeliest(
    views: list[Keypoints2D], cameras: list[Camera], group: list[int], mirror: list[int]
) -> Bool[Tensor, "views T"]:
    count = len(views[0])
    ways = torch.tensor(list(itertools.product((0, 1), repeat=len(views))))  # (ways, views)
    cost = _EXCHANGE * ways.sum(-1).double().expand(count, -1).clone()
    for a, b in itertools.combinations(range(len(views)), 2):
        agree, differ = _misfits((views[a], views[b]), (cameras[a], cameras[b]), group, mirror)
        cost += torch.where(ways[:, a] == ways[:, b], agree.unsqueeze(-1), differ.unsqueeze(-1))
    steps = [_jumps(view, group, mirror) for view in views]
    best = cost[0]
    back = torch.zeros(count, len(ways), dtype=torch.long)
    changed = ways[:, None] != ways  # (ways, ways, views)
    for moment in range(1, count):
        move = sum(
            torch.where(changed[..., number], other[moment], same[moment]) for number, (same, other) in enumerate(steps)
        )
        total = best.unsqueeze(-1) + move
        best, back[moment] = total.min(0)
        best = best + cost[moment]
    at = int(best.argmin())
    chosen = []
    for moment in range(count - 1, -1, -1):
        chosen.append(ways[at].bool())
        at = int(back[moment, at])
    return torch.stack(chosen[::-1], -1)


def _misfits(
    views: tuple[Keypoints2D, Keypoints2D], cameras: tuple[Camera, Camera], group: list[int], mirror: list[int]
) -> tuple[Float[Tensor, " T"], Float[Tensor, " T"]]:
    """How far two views' keypoints are off each other's epipolar lines, as they are and with one view's exchanged."""
    one, other = cameras
    turn = torch.from_numpy(other.rotation @ one.rotation.T)
    x, y, z = (torch.from_numpy(other.translation) - turn @ torch.from_numpy(one.translation)).tolist()
    across = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], dtype=torch.float64) @ turn
    first, second = (_rays(view, camera)[:, group] for view, camera in zip(views, cameras, strict=True))
    line, back = first @ across.mT, second @ across
    switch = [group.index(mirror[joint]) for joint in group]
    scale = [
        _OFF * view.size.double().cpu() / camera.intrinsics[0] for view, camera in zip(views, cameras, strict=True)
    ]
    usual = (scale[0].square() + scale[1].square()).sqrt().clamp(min=1e-6).unsqueeze(-1)
    seen = [view.visible.cpu()[:, group] for view in views]
    # Only what both ways can be told of.
    told = seen[0] & seen[1] & seen[1][:, switch]

    def misfit(order: list[int]) -> Float[Tensor, " T"]:
        slope = (line[..., :2].square().sum(-1) + back[:, order][..., :2].square().sum(-1)).sqrt()
        distance = (line * second[:, order]).sum(-1) / slope.clamp(min=1e-12) / usual
        return torch.where(told, torch.log1p(distance.square()), 0.0).sum(-1)

    return misfit(list(range(len(group)))), misfit(switch)


def _rays(view: Keypoints2D, camera: Camera) -> Float[Tensor, "T joints 3"]:
    intrinsics = torch.tensor(camera.intrinsics, dtype=torch.float64)
    plane = (view.xy.double().cpu() - intrinsics[2:]) / intrinsics[:2]
    return torch.cat([plane, torch.ones_like(plane[..., :1])], -1)


def _jumps(view: Keypoints2D, group: list[int], mirror: list[int]) -> tuple[Float[Tensor, " T"], Float[Tensor, " T"]]:
    """How far keypoints jump from the frame before, with the sides as they are, and with those of one of both frames
    exchanged."""
    switch = [group.index(mirror[joint]) for joint in group]
    xy, seen = view.xy.double().cpu()[:, group], view.visible.cpu()[:, group]
    usual = _JUMP * view.size.double().cpu().clamp(min=_CLOSE).unsqueeze(-1)
    told = seen & seen[:, switch]
    told[1:] &= told[:-1].clone()
    told[0] = False

    def jump(order: list[int]) -> Float[Tensor, " T"]:
        step = (xy - xy.roll(1, 0)[:, order]).norm(dim=-1) / usual
        return torch.where(told, torch.log1p(step.square()), 0.0).sum(-1)

    return jump(list(range(len(group)))), jump(switch)


def with_sides(view: Keypoints2D, group: tuple[int, ...], wrong: Bool[Tensor, " T"]) -> Keypoints2D:
    """The keypoints with left and right of a group exchanged where they are wrong."""
    joints = torch.zeros(len(view.skeleton), dtype=torch.bool)
    joints[list(group)] = True
    return turned_back(view, wrong.cpu().unsqueeze(-1) & joints)
