"""A mixture that was too sure of itself, made wider by what was measured; its means and weights stay.

What learns from depth order knows on which side joints are and not how exactly: where nothing tells it, its kernels
collapse. Here every joint gets an error of its own in addition: a seen one along the line of sight and across it, a
hidden one in any direction; and the whole person gets one in size where the height is not told. Only the joints' errors
are trained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..distributions.mixture import MixturePoseDistribution
from ..distributions.told_height import TOLD
from ..geometry.linalg import cholesky_3x3, solve_lower_3x3
from ..keypoints import Keypoints2D
from .base import Model, register
from .mdn import MixtureConfig, MixtureDensityLifter

__all__ = ["WidenedConfig", "WidenedMixtureLifter", "widened"]

#: Metres of error of each kind before training.
_START = 0.02


@dataclasses.dataclass(frozen=True)
class WidenedConfig(MixtureConfig):
    """Configuration of a widened mixture: that of the mixture, and:

    Attributes:
        joint_spread: metres, least error of a joint in any direction: people and data sets differ by so much in where
            they put one (the mean of what the simulator draws).
        size_spread: relative standard deviation of people's size, of whom no height is told; 0.07 is that of adults of
            both sexes (`poseterior.data.simulation.population`), and where markers are put.
    """

    joint_spread: float = 0.017
    size_spread: float = 0.07

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_number(joint_spread=(0.0, 1.0), size_spread=(0.0, 1.0))


def widened(
    posterior: MixturePoseDistribution,
    error: Float[Tensor, "*batch nonroot 3"],
    size: Float[Tensor, "*batch"],
) -> MixturePoseDistribution:
    """A mixture with independent errors added to every joint, and one of the whole person's size.

    Args:
        posterior: component covariances ``L (I + U U^T) L^T``.
        error: metres, standard deviation along the axes of the canonical frame.
        size: relative standard deviation; about each component's mean.
    """
    before = posterior.scale_tril
    lower = cholesky_3x3(before @ before.mT + torch.diag_embed(error.square()).unsqueeze(-4))
    columns = posterior.loc.flatten(-2).unsqueeze(-1) * size[..., None, None, None]
    if posterior.factor is not None:
        joints = before.shape[-3]
        tied = before @ posterior.factor.unflatten(-2, (joints, 3))  # (*batch, k, joints, 3, rank)
        columns = torch.cat([tied.flatten(-3, -2), columns], -1)
    # Both in the units of the new triangles, so that U stands for the same metres as before.
    rows = columns.unflatten(-2, (-1, 3)).movedim(-1, 0)
    factor = solve_lower_3x3(lower, rows).movedim(0, -1).flatten(-3, -2)
    return MixturePoseDistribution(
        posterior.log_weights, posterior.loc, lower, factor, posterior.rotation, posterior.skeleton
    )


@register("mdn-widened")
class WidenedMixtureLifter(MixtureDensityLifter):
    """The mixture of `MixtureDensityLifter`, widened. Training moves the widening and nothing else.

    Args:
        config: `WidenedConfig`; None for default sizes.
    """

    config: WidenedConfig
    config_class = WidenedConfig

    def __init__(self, config: WidenedConfig | None = None) -> None:
        super().__init__(config or WidenedConfig())
        # Logarithms of metres: of hidden joints, and of visible ones across the view and along it.
        self.log_error = nn.Parameter(torch.full((3, len(self.others)), _START).log())

    @classmethod
    def started_from(cls, model: Model, settings: Mapping[str, Any]) -> Model | None:
        """A widened lifter goes on as it is; a plain mixture becomes one."""
        if type(model) is not MixtureDensityLifter:
            return super().started_from(model, settings)
        lifter = cls(WidenedConfig(**dataclasses.asdict(model.config)))
        lifter.load_state_dict(model.state_dict(), strict=False)
        return lifter

    def distribution(self, keypoints: Keypoints2D) -> MixturePoseDistribution:
        with torch.no_grad():
            posterior = super().distribution(keypoints)
        visible = keypoints.visible[..., self.others].unsqueeze(-1)
        hidden, across, along = self.log_error.exp().square() + self.config.joint_spread**2
        error = torch.where(visible, torch.stack([across, across, along], -1), hidden.unsqueeze(-1)).sqrt()
        told = keypoints.height.isfinite()
        size = torch.where(told, min(TOLD, self.config.size_spread), self.config.size_spread)
        return widened(posterior, error, size.to(error))
