"""What every objective is: a module that maps (lifter, observations) to named loss terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from ..data.simulator import Observations
from ..errors import InputError
from ..lifters import Lifter
from ..registry import Registry

__all__ = ["Objective", "make_objective", "objective_names", "register_objective"]


class Objective(nn.Module):
    """A way of learning. Subclasses implement `forward` and may own auxiliary networks."""

    name: ClassVar[str] = ""

    def forward(self, lifter: Lifter, observations: Observations) -> dict[str, Tensor]:
        """Named scalar loss terms, already weighted: their sum is minimised over the lifter's parameters."""
        raise NotImplementedError


_OBJECTIVES: Registry[Objective] = Registry("poseterior.objectives", "objective")
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
