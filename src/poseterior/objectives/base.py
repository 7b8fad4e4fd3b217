"""What every objective is: a module that maps (lifter, observations) to named loss terms."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from ..data.simulator import Observations
from ..errors import InputError
from ..lifters import Lifter

__all__ = ["Objective", "make_objective", "objective_names", "register_objective"]

_OBJECTIVES: dict[str, type[Objective]] = {}
_O = TypeVar("_O", bound="type[Objective]")


class Objective(nn.Module):
    """A way of learning. Subclasses implement `forward` and may own auxiliary networks."""

    name: ClassVar[str] = ""

    def forward(self, lifter: Lifter, observations: Observations) -> dict[str, Tensor]:
        """Named scalar loss terms, already weighted: their sum is minimised over the lifter's parameters."""
        raise NotImplementedError


def register_objective(name: str) -> Callable[[_O], _O]:
    """Class decorator that makes an objective known under a name."""

    def decorate(cls: _O) -> _O:
        cls.name = name
        _OBJECTIVES[name] = cls
        return cls

    return decorate


def objective_names() -> tuple[str, ...]:
    """Names of all objectives (one a file in objectives/)."""
    package = importlib.import_module("poseterior.objectives")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"poseterior.objectives.{module.name}")
    return tuple(sorted(_OBJECTIVES))


def make_objective(name: str, settings: Mapping[str, Any] | None = None) -> Objective:
    """The objective of that name with the settings of a recipe.

    Raises:
        InputError: unknown name or setting.
    """
    if name not in objective_names():
        raise InputError(f"unknown objective {name!r}; known: {', '.join(objective_names())}")
    try:
        return _OBJECTIVES[name](**(settings or {}))
    except TypeError as error:
        raise InputError(f"objective {name!r}: {error}") from None
