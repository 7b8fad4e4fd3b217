"""What every objective is: a module that maps (lifter, observations) to named loss terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..data.observations import Observations
from ..files.errors import InputError
from ..lifters import Lifter
from ..registry import Registry

__all__ = ["Objective", "make_objective", "objective_names", "register_objective"]


class Objective(nn.Module):
    """A way of learning. Subclasses implement `forward` and may own auxiliary networks.

    Parameters of an objective that require gradients are trained with the lifter's, to minimise the same sum. A
    network with a goal of its own (a critic) does not require gradients outside `update_auxiliary`, which trains
    it; its optimiser belongs to the objective's state (``get_extra_state``), so that checkpoints hold it.
    """

    name: ClassVar[str] = ""
    #: Whether observations must be `poseterior.data.simulation.bodies.BodyObservations`.
    needs_rotations: ClassVar[bool] = False
    #: Whether observations must be `poseterior.data.labels.simulated.LabelledObservations`.
    needs_labels: ClassVar[bool] = False
    #: Whether observations must be `poseterior.data.simulation.clips.KeypointPairs`: 2D and nothing else.
    keypoints_only: ClassVar[bool] = False

    def forward(self, lifter: Lifter, observations: Observations) -> dict[str, Tensor]:
        """Named scalar loss terms, already weighted: their sum is minimised over the lifter's parameters."""
        raise NotImplementedError

    def prepare(self, draw: Callable[[int, torch.Generator], Any], lifter: Lifter, seed: int) -> None:
        """Called once before the first step of a run, with the function that draws observations (default: nothing)."""

    def update_auxiliary(self, lifter: Lifter, observations: Observations) -> dict[str, Tensor]:
        """Train the objective's own networks; called before `forward` in each training step (default: nothing).

        The lifter stays as it is. Random draws come from torch's global generator, which the step has seeded.

        Returns:
            Named scalars to log beside the loss terms.
        """
        return {}


_OBJECTIVES: Registry[Objective] = Registry("objective", "poseterior.objectives", "poseterior.published")
#: Class decorator that makes an objective known under a name.
register_objective = _OBJECTIVES.register


def objective_names() -> tuple[str, ...]:
    """Names of all objectives (one a file in objectives/)."""
    return _OBJECTIVES.names()


def make_objective(name: str, settings: Mapping[str, Any] | None = None) -> Objective:
    """The objective of that name with the settings of a recipe.

    Raises:
        InputError: unknown name or setting.
    """
    cls = _OBJECTIVES[name]
    try:
        return cls(**(settings or {}))
    except TypeError as error:
        raise InputError(f"objective {name!r}: {error}") from None
