"""What every objective is: a module that maps (lifter, observations) to named loss terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from ..data.observations import Observations
from ..data.simulation.simulator import SimulatorConfig
from ..files.errors import InputError
from ..files.settings import Settings
from ..lifters import Model
from ..registry import Registry

__all__ = ["Needs", "Objective", "ObjectiveSettings", "make_objective", "objective_names", "register_objective"]

_M = TypeVar("_M", bound=Model)
#: By setting, when it has an effect beside the others, and what that takes, in words.
Needs = Mapping[str, tuple[Callable[[Any], bool], str]]


class ObjectiveSettings(Settings):
    """Base of the settings of objectives that have many: a frozen dataclass with a ``section`` that names them."""

    between: ClassVar[str] = ": "
    quoted: ClassVar[bool] = False


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
    #: By setting, when it has an effect beside the others, and what that takes, in words; see `make_objective`.
    needs: ClassVar[Needs] = {}

    @property
    def needs_poses(self) -> bool:
        """Whether nothing is learnt from images whose 3D poses are not known."""
        return not self.keypoints_only

    def unseen(self, lifter: Model, simulator: SimulatorConfig) -> tuple[str, ...]:
        """Settings of the simulator that change nothing of what is learnt (default: what the lifter does not read)."""
        return unread_settings(lifter, simulator)

    def check_lifter(self, lifter: Model, given: Mapping[str, Any]) -> None:
        """Refuse settings that have no effect on this lifter (default: nothing).

        Raises:
            InputError: names the setting.
        """

    def forward(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
        """Named scalar loss terms, already weighted: their sum is minimised over the lifter's parameters."""
        raise NotImplementedError

    def expect(self, model: Model, kind: type[_M]) -> _M:
        """``model`` if it is of the kind that this objective trains: `Lifter` for any that lifts.

        Raises:
            InputError: it is of another kind.
        """
        if isinstance(model, kind):
            return model
        trains = f"method {kind.name!r}, not {model.name!r}" if kind.name else f"lifters; {model.name!r} is a prior"
        raise InputError(f"objective {self.name!r} trains {trains}")

    def prepare(
        self,
        draw: Callable[[int, torch.Generator], Any],
        lifter: Model,
        seed: int,
        report: Callable[[str, int, int], None] = lambda what, done, total: None,
    ) -> None:
        """Called once before the first step of a run, with the function that draws observations (default: nothing).

        What takes long says so by ``report(what, done, total)``.
        """

    def update_auxiliary(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
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
    """Names of all objectives (one per file in objectives/; a paper's own in published/)."""
    return _OBJECTIVES.names()


#: Settings of the simulator by what a lifter may not read of keypoints, see `poseterior.lifters.Model.unread`.
_OF_UNREAD = {
    "covariance": ("noise_joint", "noise_ratio", "noise", "noise_by_height"),
    "height": ("height_known",),
    "camera": ("camera_knowledge",),
}


def unread_settings(lifter: Model, simulator: SimulatorConfig) -> tuple[str, ...]:
    """Settings of the simulator that a lifter sees nothing of; what a detector reports matters where it is added."""
    unread = [part for part in lifter.unread if part != "covariance" or not simulator.noise_added]
    return tuple(name for part in unread for name in _OF_UNREAD[part])


def make_objective(name: str, settings: Mapping[str, Any] | None = None) -> Objective:
    """The objective of that name with the settings of a recipe.

    Raises:
        InputError: unknown name or setting, or one that has no effect beside the others.
    """
    cls = _OBJECTIVES[name]
    try:
        objective = cls(**(settings or {}))
    except TypeError as error:
        raise InputError(f"objective {name!r}: {error}") from None
    values = getattr(objective, "settings", objective)
    for setting in settings or {}:
        effect, words = cls.needs.get(setting, (None, ""))
        if effect is not None and not effect(values):
            raise InputError(f"objective {name!r}: {setting}: has no effect here: it needs {words}; drop it")
    return objective
