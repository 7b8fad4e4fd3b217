"""Draws of inverse kinematics of many poses at once, as fast as the processor goes: components first, poses last.

What `SequentialNetwork.draw` does for any evidence is done here for the evidence that lifting through poses has: 3D
points, the same ones of every pose, each as exact as the others. Then what a joint is told about which points are seen
is the same for all poses, so that it belongs to the bias of its layer; points that are not seen take no time; and all
that a joint sees is one matrix that grows from joint to joint, so that its first layer is one product. As in
`poseterior.nn.rotation_rows` every operation works on hundreds of neighbours. Both ways agree up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ..geometry.body import SMPL25
from ..geometry.nearest_rotations import columns_product, nearest_columns, procrustes
from ..geometry.skeletons import SKELETONS
from .body_evidence import BodyEvidence
from .body_state import TARGETS, USUAL_WEIGHT
from .dense import times_columns
from .joint_densities import JointDensity, JointFlow
from .rotation_rows import FlowColumns, columns_from_base, pairs, quaternion_products

__all__ = ["drawn_bodies"]

_SMPL = SKELETONS["smpl22"]
#: Directions of what is seen enter up to this many times 0.3 m.
_FARTHEST = 4.0


class _Sequential(Protocol):
    """What of a `poseterior.nn.rotation_networks.SequentialNetwork` is used here; it imports this module."""

    joints: tuple[int, ...]
    density: JointDensity
    usual: Tensor
    targets: Tensor
    there: Tensor
    rigid: Tensor
    see_context: nn.Parameter
    see_earlier: nn.Parameter
    see_local: nn.Parameter
    enter_bias: nn.Parameter
    inner: nn.Parameter
    inner_bias: nn.Parameter
    aim: nn.Parameter
    beyond: list[list[tuple[int, int]]]


@dataclass(frozen=True)
class _Joint:
    """What the draws of one joint need, whatever the poses.

    Attributes:
        joint, parent: of smpl22.
        seen: the points that it looks at.
        rigid: of these, by their place among them: the weight in the guess, and the points at rest that are summed.
        children: points that hang on it.
        compared: of the points that have a place before the joint's turn comes, how many are seen.
        enter: ``(trunk, 1 + context + 6 earlier joints + 3 seen)`` the first layer, its bias in front.
        inner: ``(trunk, trunk + 1)`` the second layer, its bias at the end.
    """

    joint: int
    parent: int
    seen: list[int]
    rigid: dict[int, tuple[float, list[int]]]
    children: list[int]
    compared: int
    enter: Tensor
    inner: Tensor


def _joint(network: _Sequential, row: int, there: Bool[Tensor, " 25"], spread: Tensor, compared: int) -> _Joint:
    joint, trunk = network.joints[row], network.inner.shape[-1]
    points = network.targets[row].tolist()
    shown = network.there[row] & there[network.targets[row]] if compared else torch.zeros_like(network.there[row])
    places = shown.nonzero().squeeze(-1).tolist()
    # As `SequentialNetwork._look` has it: places, flags of 3D points, of 2D ones, spreads, the line of sight, and
    # whether the joint knows its own place.
    local = network.see_local[row]
    told = local.new_zeros(len(local))
    told[3 * TARGETS : 4 * TARGETS] = shown.to(local.dtype)
    told[5 * TARGETS : 6 * TARGETS] = torch.where(shown, 0.5 * spread[network.targets[row]], 0.0)
    told[6 * TARGETS + 3] = float(compared > 0)
    columns = slice(row * trunk, (row + 1) * trunk)
    sight = local[: 3 * TARGETS].unflatten(0, (TARGETS, 3))[places].flatten(0, 1) / 0.3
    enter = [
        (network.enter_bias[row] + told @ local).unsqueeze(0),
        network.see_context[:, columns],
        network.see_earlier[: 6 * row, columns],
        sight,
    ]
    beyond = dict(network.beyond[row])
    rigid = {}
    for place, column in enumerate(places):
        weight = float(network.rigid[row, column])
        if weight:
            further = [SMPL25.parents[beyond[column]]] if column in beyond else []
            rigid[place] = (weight, [points[column], *further])
    return _Joint(
        joint, _SMPL.parents[joint], [points[column] for column in places], rigid,
        [point for point, parent in enumerate(SMPL25.parents) if parent == joint], compared,
        torch.cat(enter).mT.contiguous(),
        torch.cat([network.inner[row].mT, network.inner_bias[row].unsqueeze(1)], 1),
    )  # fmt: skip


def _joints(network: _Sequential, there: Bool[Tensor, " 25"], spread: Float[Tensor, " 25"]) -> list[_Joint]:
    compared, found = int(there[0]), []
    for row in range(len(network.joints)):
        found.append(_joint(network, row, there, spread, compared))
        compared += sum(int(there[point]) for point in found[-1].children)
    return found


def _at_rest(joints: list[_Joint], offsets: Float[Tensor, "25 3 n"]) -> Float[Tensor, "rigid 3 n"]:
    """The directions at rest of all points that guesses are made of, times their weights."""
    rigid = [entry for joint in joints for entry in joint.rigid.values()]
    rest = offsets[[points[0] for _, points in rigid]]
    for place, (_, points) in enumerate(rigid):
        for further in points[1:]:
            rest[place] += offsets[further]
    length = rest.square().sum(1, keepdim=True).sqrt_().clamp_(min=1e-6)
    weights = rest.new_tensor([weight for weight, _ in rigid])
    return rest.div_(length).mul_(weights[:, None, None])


def drawn_bodies(
    network: _Sequential,
    evidence: BodyEvidence,
    there: Bool[Tensor, " 25"],
    context: Float[Tensor, "n context"],
    numbers: Float[Tensor, "joints 4 n"],
) -> Float[Tensor, "22 3 3 n"]:
    """A draw of rotations for each of n poses; without gradients, as `SequentialNetwork.draw`.

    Args:
        network: whose joints see one another and have `JointFlow`s.
        evidence: 3D points ``(n)``, all of one standard deviation, uncertain alike in all directions.
        there: which points are seen, of every pose.
        context: from `SequentialNetwork.encode`.
        numbers: standard normal, of each joint; used up.

    Returns:
        Relative to the parent; the pelvis' in network axes. The identity for joints that are not modelled.
    """
    assert isinstance(network.density, JointFlow)
    n = len(context)
    joints = _joints(network, there, evidence.spread[0])
    points, offsets = (
        part.flatten(1).mT.contiguous().unflatten(0, (-1, 3)) for part in (evidence.points, evidence.offsets)
    )
    looked = points[[point for joint in joints for point in joint.seen]]
    rest = _at_rest(joints, offsets)
    flow = FlowColumns.of(network.density)
    # The aim is that much away from the identity.
    eye = torch.eye(3).flatten().to(network.aim).expand(len(joints), 1, 9)
    said_by = torch.cat([flow.said, torch.cat([network.aim, eye], 1).mT], 1)
    base = numbers.div_(numbers.square().sum(1, keepdim=True).sqrt_())
    # What a joint sees: one, the context, the rotations before it, and the points below it.
    known = 1 + context.shape[1]
    sees = context.new_empty(max(joint.enter.shape[1] for joint in joints), n)
    sees[0] = 1.0
    sees[1:known] = context.mT
    hidden = context.new_empty(network.inner.shape[-1] + 1, n)
    hidden[-1] = 1.0
    inside = hidden[:-1]
    matrices = quaternion_products(context.dtype, context.device).matrix
    rotations = torch.eye(3).to(context)[:, :, None].expand(len(_SMPL), 3, 3, n).contiguous()
    turned: dict[int, Tensor] = {}
    placed = {0: torch.zeros_like(points[0])}
    apart = points[0].clone() if bool(there[0]) else torch.zeros_like(points[0])
    usual = procrustes(network.usual)  # where nothing is seen
    start = rigid = 0
    for row, j in enumerate(joints):
        guess = usual[row].unsqueeze(-1)
        end = known + 6 * row
        if j.seen:
            own = torch.add(placed[j.joint], apart, alpha=1.0 / j.compared)
            away = looked[start : start + len(j.seen)] - own
            start += len(j.seen)
            if j.parent >= 0:
                away = _back(turned[j.parent], away)
            if j.rigid:
                guess = _guess(
                    network.usual[row].unsqueeze(-1), away, list(j.rigid), rest[rigid : rigid + len(j.rigid)]
                )
                rigid += len(j.rigid)
            sight = sees[end : end + 3 * len(j.seen)].unflatten(0, (-1, 3))
            _back(guess, away, sight).clamp_(-0.3 * _FARTHEST, 0.3 * _FARTHEST)
        torch.ops.aten.silu.out(times_columns(j.enter, sees[: j.enter.shape[1]]), out=inside)
        inside += torch.nn.functional.silu(times_columns(j.inner, hidden), inplace=True)
        said = times_columns(said_by[row], hidden)
        aim = nearest_columns(said[-9:].unflatten(0, (3, 3)))
        q, _ = columns_from_base(flow, base[row], said[:-9], row, density=False)
        drawn = (matrices @ pairs(q, q)).unflatten(0, (3, 3))
        rotation = columns_product(columns_product(guess, aim), drawn, rotations[j.joint])
        if row + 1 < len(joints):
            sees[end : end + 6].unflatten(0, (3, 2)).copy_(rotation[:, :2])
        turned[j.joint] = rotation if j.parent < 0 else columns_product(turned[j.parent], rotation)
        if j.children:
            for point, place in zip(
                j.children, _placed(placed[j.joint], turned[j.joint], offsets[j.children]), strict=True
            ):
                placed[point] = place
                if bool(there[point]):
                    apart = apart.add_(points[point]).sub_(place)
    return rotations


def _columns(vectors: Float[Tensor, "n k 3"]) -> Float[Tensor, "k 3 n"]:
    return vectors.flatten(1).mT.contiguous().unflatten(0, (-1, 3))


def _back(
    rotation: Float[Tensor, "3 3 #n"], vectors: Float[Tensor, "k 3 n"], out: Tensor | None = None
) -> Float[Tensor, "k 3 n"]:
    """Vectors as they are in a rotated frame."""
    (x, y, z), (p, q, r) = vectors.unsqueeze(2).unbind(1), rotation.unbind(0)
    return torch.mul(x, p, out=out).addcmul_(y, q).addcmul_(z, r)


def _placed(
    own: Float[Tensor, "3 n"], turned: Float[Tensor, "3 3 n"], offsets: Float[Tensor, "k 3 n"]
) -> Float[Tensor, "k 3 n"]:
    """Where the points of these offsets are."""
    (x, y, z), (p, q, r) = offsets.unsqueeze(2).unbind(1), turned.unbind(1)
    return torch.addcmul(own, x, p).addcmul_(y, q).addcmul_(z, r)


def _guess(
    usual: Float[Tensor, "3 3 1"], away: Float[Tensor, "seen 3 n"], places: list[int], rest: Float[Tensor, "k 3 n"]
) -> Float[Tensor, "3 3 n"]:
    """The rotation that takes the bones at rest onto the seen ones, as `SequentialNetwork._guess`."""
    bones = away if places == list(range(len(away))) else away[places]
    ways = bones / bones.square().sum(1, keepdim=True).sqrt_().clamp_(min=1e-6)
    cross = USUAL_WEIGHT * usual
    for way, at_rest in zip(ways.unsqueeze(2), rest, strict=True):
        cross = torch.addcmul(cross, way, at_rest)
    return nearest_columns(cross)
