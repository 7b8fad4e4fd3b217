"""Learning from 3D poses by regression, as Martinez et al. (ICCV 2017, arXiv 1705.03098) do."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.observations import Observations
from ..files.settings import choice
from ..lifters import Lifter, Model
from .base import Objective, register_objective

__all__ = ["Regression"]


@register_objective("regression")
class Regression(Objective):
    """Expected distance from the true pose to the lifter's, over the joints that the truth has.

    A distribution with error bars loses them under this objective: the best answer to it is one pose.

    Args:
        loss: ``"mse"`` (squared, in m²; of standardised coordinates where the lifter standardises its output, as
            published) or ``"mpjpe"`` (Euclidean distance per joint, in metres).
    """

    def __init__(self, loss: str = "mse") -> None:
        super().__init__()
        self.loss = choice(loss, "objective 'regression': loss", ("mse", "mpjpe"))

    def forward(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
        lifter = self.expect(lifter, Lifter)
        poses, weights = lifter(observations.keypoints).weighted_rsample(1)
        error = poses - observations.pose
        known = observations.observed.clone()
        known[..., lifter.skeleton.root] = False
        if self.loss == "mpjpe":
            # The smooth norm has a gradient at zero too.
            distance = (error.square().sum(-1) + 1e-12).sqrt()
        else:
            spread = getattr(lifter, "output_std", None)
            if spread is not None:
                error = error / spread.unflatten(-1, (-1, 3))
            distance = error.square().mean(-1)
        distance = torch.where(known, (weights.unsqueeze(-1) * distance).sum(0), 0.0)
        return {self.loss: distance.sum() / known.sum().clamp(min=1)}
