"""Learning from 3D poses by maximum likelihood."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.observations import Observations
from ..distributions.mixture import MixturePoseDistribution
from ..files.errors import InputError
from ..files.settings import number
from ..lifters import Lifter, Model
from .base import Needs, Objective, register_objective

__all__ = ["Likelihood", "dirichlet_penalty"]


def dirichlet_penalty(log_weights: Float[Tensor, "*batch k"], concentration: float = 2.0) -> Float[Tensor, ""]:
    """Negative log of a Dirichlet prior on mixture weights, up to its constant, averaged over the batch.

    ``-mean(sum_k (concentration - 1) log alpha_k)`` (Li & Lee 2019, eq. 9); K log K at uniform weights for 2.
    """
    return -(concentration - 1.0) * log_weights.sum(-1).mean()


@register_objective("likelihood")
class Likelihood(Objective):
    """Negative log-likelihood of the true pose.

    Args:
        per_dimension: divide by the number of dimensions (nats per dimension) rather than sum (as published).
        dirichlet: weight of `dirichlet_penalty` on a mixture's weights; 0 turns it off.
        concentration: of that prior.

    Joints that the data source lacks are marginalised out exactly, where the distribution can (mixtures).
    """

    needs: ClassVar[Needs] = {"concentration": (lambda c: c.dirichlet != 0, "dirichlet above 0")}

    def __init__(self, per_dimension: bool = True, dirichlet: float = 0.0, concentration: float = 2.0) -> None:
        super().__init__()
        self.per_dimension = per_dimension
        self.dirichlet = number(dirichlet, "objective 'likelihood': dirichlet")
        self.concentration = number(concentration, "objective 'likelihood': concentration")

    def forward(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
        lifter = self.expect(lifter, Lifter)
        posterior = lifter(observations.keypoints)
        if not posterior.has_density:
            raise InputError(f"objective 'likelihood' needs a density; lifter {lifter.name!r} has none")
        observed = None if bool(observations.observed.all()) else observations.observed
        if observed is not None and not posterior.can_marginalise:
            raise InputError(
                f"some poses lack joints, which lifter {lifter.name!r} cannot integrate out: "
                "train it on data with all joints, or train a mixture (method mdn)"
            )
        kwargs = {} if observed is None else {"observed": observed}
        with torch.autocast(observations.pose.device.type, enabled=False):
            nll = -posterior.log_prob(observations.pose, **kwargs)
        if self.per_dimension:
            root = lifter.skeleton.root
            seen = observations.observed.sum(-1) - observations.observed[..., root].long()
            nll = nll / (3.0 * seen.clamp(min=1))
        terms = {"nll": nll.mean()}
        if self.dirichlet:
            if not isinstance(posterior, MixturePoseDistribution):
                raise InputError(f"objective 'likelihood': dirichlet needs a mixture, not {lifter.name!r}")
            terms["dirichlet"] = self.dirichlet * dirichlet_penalty(posterior.log_weights, self.concentration)
        return terms
