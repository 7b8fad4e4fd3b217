"""The network of Li & Lee 2019 as the variables of their TensorFlow graph are named."""

from __future__ import annotations

from .tensors import Pair

__all__ = ["pairs"]

_SCOPE = "linear_model"
_STATISTICS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def pairs(blocks: int) -> list[Pair]:
    """The table of variables: kernels multiply from the right there.

    Args:
        blocks: residual blocks.
    """

    def layer(scope: str, number: str, norm: str, ours: str) -> list[Pair]:
        dense = [
            Pair(f"{scope}/w{number}", f"{ours}.0.weight", transposed=True),
            Pair(f"{scope}/b{number}", f"{ours}.0.bias"),
        ]
        return dense + [Pair(f"{scope}/{norm}/{name}", f"{ours}.1.{mine}") for name, mine in _STATISTICS.items()]

    table = layer(_SCOPE, "1", "batch_normalization", "network.enter")
    for i in range(blocks):
        for j, number in enumerate((2, 3)):
            scope = f"{_SCOPE}/two_linear_{i}"
            table += layer(scope, f"{number}_{i}", f"batch_normalization{j + 1}{i}", f"network.blocks.{i}.{j}")
    for number, head in ((4, "mean"), (5, "scale"), (6, "alpha")):
        table += [
            Pair(f"{_SCOPE}/w{number}", f"network.{head}.weight", transposed=True),
            Pair(f"{_SCOPE}/b{number}", f"network.{head}.bias"),
        ]
    return table
