"""Networks of Ronchi et al. 2018 as their PyTorch code names them."""

from __future__ import annotations

from .tensors import Pair, batch_norm, linear

__all__ = ["pairs"]


def pairs(blocks: int, factor: bool, scale: bool) -> list[Pair]:
    """The table of tensors.

    Args:
        blocks: residual blocks.
        factor: whether the outputs have learnt factors.
        scale: whether there is a scale head.
    """
    table = [Pair("mult", "network.factor")] if factor else []
    table += linear("w1", "network.enter.0") + batch_norm("batch_norm1", "network.enter.1")
    for i in range(blocks):
        for j in (1, 2):
            table += linear(f"linear_stages.{i}.w{j}", f"network.blocks.{i}.{j - 1}.0")
            table += batch_norm(f"linear_stages.{i}.batch_norm{j}", f"network.blocks.{i}.{j - 1}.1")
    table += linear("w2", "network.pose")
    return table + (linear("ws", "network.scale") if scale else [])
