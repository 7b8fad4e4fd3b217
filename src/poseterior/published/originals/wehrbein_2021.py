"""The network of Wehrbein et al. 2021 as their PyTorch code, on FrEIA, names it."""

from __future__ import annotations

from collections.abc import Sequence

from .tensors import Pair, linear

__all__ = ["pairs"]


def pairs(modules: Sequence[int]) -> list[Pair]:
    """The table of tensors.

    Args:
        modules: numbers of the couplings among the modules, in their order; permutations, which have no weights,
            stand between them, and versions of FrEIA count from 0 or from 1.
    """
    table = []
    for i, number in enumerate(modules):
        for theirs, ours in (("s1", "first"), ("s2", "second")):
            for layer, name in ((0, "enter"), (2, "leave")):
                table += linear(f"inn.module_list.{number}.{theirs}.{layer}", f"network.blocks.{i}.{ours}.{name}")
    for layer in (0, 2):
        table += linear(f"cond_net.{layer}", f"network.condition_net.{layer}")
    return table
