"""A multilayer perceptron that many rows share a part of: the context, whose part is computed once per pose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["FactoredMLP"]


class FactoredMLP(nn.Module):
    """A multilayer perceptron of ``[inputs, context]`` whose context part is computed apart.

    ``net(x, net.prepare(context))`` is what an MLP of the concatenation would give.

    Args:
        inputs: features that differ between samples.
        context: features that all samples of a pose share.
        hidden: widths of the hidden layers.
        outputs: number of outputs.
        activation: between the layers.
    """

    def __init__(
        self,
        inputs: int,
        context: int,
        hidden: Sequence[int],
        outputs: int,
        activation: type[nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        self.own = nn.Linear(inputs, hidden[0], bias=False)
        self.shared = nn.Linear(context, hidden[0])
        layers: list[nn.Module] = [activation()]
        for before, after in zip(hidden, [*hidden[1:], outputs], strict=True):
            layers += [nn.Linear(before, after), activation()]
        self.rest = nn.Sequential(*layers[:-1])

    def start_at_zero(self) -> FactoredMLP:
        """Make all outputs zero until training moves them: couplings start as the identity."""
        last = self.rest[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return self

    def prepare(self, context: Float[Tensor, "*batch context"]) -> Float[Tensor, "*batch hidden"]:
        """The context's part of the first layer, with its bias."""
        return self.shared(context)

    def forward(
        self, inputs: Float[Tensor, "*samples_batch inputs"], prepared: Float[Tensor, "*batch hidden"]
    ) -> Float[Tensor, "*samples_batch outputs"]:
        hidden = self.own(inputs)
        hidden += prepared
        tracked = torch.is_grad_enabled()
        for layer in self.rest:
            in_place = isinstance(layer, nn.SiLU) and not tracked
            hidden = nn.functional.silu(hidden, inplace=True) if in_place else layer(hidden)
        return hidden
