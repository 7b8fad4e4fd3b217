"""Networks of Yu et al. 2021 as their PyTorch code names them."""

from __future__ import annotations

from ...data.sets.yu_h5 import JOINTS
from ...geometry.skeletons import SKELETONS
from .tensors import Pair, batch_norm, linear

__all__ = ["pairs"]

#: Where the joints of h36m17 stand among theirs, and their coordinates in a flat 2D pose.
_JOINTS = tuple(JOINTS.index(joint) for joint in SKELETONS["h36m17"].joints)
_COORDINATES = tuple(2 * joint + axis for joint in _JOINTS for axis in (0, 1))


def pairs(width: int, blocks: int, scale: bool) -> list[Pair]:
    """The table of tensors.

    Args:
        width: features of the hidden layers.
        blocks: residual blocks before the depth branch.
        scale: whether there is a scale head.
    """
    # Shortcuts see the hidden features, then the 2D pose.
    both = (*range(width), *(width + column for column in _COORDINATES))

    def block(theirs: str, ours: str) -> list[Pair]:
        table = linear(f"{theirs}.main.0", f"{ours}.main.0") + batch_norm(f"{theirs}.main.1", f"{ours}.main.1")
        table += linear(f"{theirs}.main.4", f"{ours}.main.4") + batch_norm(f"{theirs}.main.5", f"{ours}.main.5")
        return table + linear(f"{theirs}.sc", f"{ours}.shortcut", columns=both)

    table = linear("lifter_before.pre.0", "network.enter.0", columns=_COORDINATES)
    table += batch_norm("lifter_before.pre.1", "network.enter.1")
    for i in range(blocks):
        table += block(f"lifter_before.blocks.{i}", f"network.blocks.{i}")
    table += block("lifter_after", f"network.blocks.{blocks}")
    table += linear("lifter_after.out", "network.depth", rows=_JOINTS)
    if scale:
        table += linear("scaler.pre", "scaler.enter", columns=_COORDINATES)
        table += block("scaler.blocks.0", "scaler.block") + linear("scaler.out", "scaler.scale")
    return table
