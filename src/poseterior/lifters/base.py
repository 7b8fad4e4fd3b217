"""What every lifter is: a module from `Keypoints2D` to a `PoseDistribution` that knows how to save itself.

A saved lifter is a folder, see `poseterior.lifters.saved`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from ..distributions.base import PoseDistribution
from ..distributions.regions import Recalibration, read_recalibration
from ..files.errors import InputError, check_settings
from ..geometry.skeletons import get_skeleton
from ..keypoints import Keypoints2D
from ..registry import Registry
from .saved import folder_of, read_config, read_json, read_tensors, write_folder

__all__ = [
    "Lifter",
    "LifterConfig",
    "load",
    "method",
    "method_names",
    "register",
]


@dataclasses.dataclass(frozen=True)
class LifterConfig:
    """Base of the lifters' configurations: a frozen dataclass of plain values.

    Attributes:
        skeleton: joint order of the poses the lifter returns.
    """

    skeleton: str = "h36m17"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Any:
        """Raises `InputError` for a name that is no field; the message lists those that are."""
        check_settings("lifter", values, [f.name for f in dataclasses.fields(cls)], f" for {cls.__name__}")
        return cls(**values)

    def _check_whole(self, **least: int) -> None:
        """Raises `InputError` for a named field that is no whole number, or below the one given here."""
        for name, lowest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
                raise InputError(f"lifter.{name}: expected a whole number, at least {lowest}, got {value!r}")


class Lifter(nn.Module):
    """A map from 2D keypoints to a probability distribution over 3D poses.

    Subclasses set ``config_class``, implement `distribution`, and are registered with `register`. They hold no
    losses and no optimisers.

    Attributes:
        card: what the weights were trained on, see the module.
        recalibration: what makes the regions of its posteriors right, or None; it is of the weights as they are, so
            set it to None before training on.
    """

    name: ClassVar[str] = ""
    config_class: ClassVar[type[LifterConfig]] = LifterConfig

    def __init__(self, config: LifterConfig) -> None:
        super().__init__()
        self.config = config
        self.skeleton = get_skeleton(config.skeleton)
        self.card: dict[str, Any] = {}
        self.recalibration: Recalibration | None = None

    def distribution(self, keypoints: Keypoints2D) -> PoseDistribution:
        """The distribution for keypoints in the lifter's own skeleton."""
        raise NotImplementedError

    def fit_constants(self, observations: Any) -> None:
        """Set normalisation constants from training observations, before the first step (default: none)."""

    def calibrate(self, observations: Any) -> None:
        """Fit what is left to fit on held-out observations, after the last step (default: nothing)."""

    def forward(self, keypoints: Keypoints2D) -> PoseDistribution:
        """Lift keypoints of any skeleton: one distribution with the keypoints' batch shape.

        The distribution carries what its `region` depends on: the recalibration and the keypoints.

        Raises:
            InputError: ``keypoints`` is not a `Keypoints2D`.
        """
        if not isinstance(keypoints, Keypoints2D):
            raise InputError(
                f"a lifter takes Keypoints2D, got {type(keypoints).__name__}; wrap a tensor as pp.Keypoints2D(xy)"
            )
        keypoints = keypoints.as_skeleton(self.skeleton)
        posterior = self.distribution(keypoints)
        posterior.recalibration, posterior.keypoints = self.recalibration, keypoints
        return posterior

    # -- files ---------------------------------------------------------------------------------------------

    def save_pretrained(self, directory: str | Path, card: dict[str, Any] | None = None) -> None:
        """Write ``config.json``, ``model.safetensors``, ``card.json`` and, if there is a recalibration, its file.

        The folder appears whole or not at all.

        Raises:
            InputError: the folder exists and holds anything but a saved lifter.
        """
        config = dataclasses.asdict(self.config)
        write_folder(directory, self.name, config, self.state_dict(), card or self.card, self.recalibration)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, device: torch.device | str = "cpu") -> Lifter:
        """Load a shipped lifter by name, or one saved in a folder. No network is used.

        Raises:
            InputError: no such name or folder, a broken file, weights that do not fit the configuration, or
                (called on a subclass) a lifter of another method.
        """
        lifter = load(name_or_path, device)
        if not isinstance(lifter, cls):
            raise InputError(f"{name_or_path}: holds a {lifter.name!r} lifter, not {cls.name!r}")
        return lifter


_METHODS: Registry[Lifter] = Registry("lifter method", "poseterior.lifters", "poseterior.published")
#: Class decorator that makes a lifter known under a method name.
register = _METHODS.register


def method_names() -> tuple[str, ...]:
    """Names of all methods (one a file in lifters/)."""
    return _METHODS.names()


def method(name: str) -> type[Lifter]:
    """The lifter class of that method.

    Raises:
        InputError: unknown name; lists the known ones.
    """
    return _METHODS[name]


def load(name_or_path: str | Path, device: torch.device | str = "cpu") -> Lifter:
    """Load a lifter by the name of shipped weights or from a folder, ready for use (evaluation mode).

    Raises:
        InputError: no such name or folder, a broken file, weights that do not fit the configuration, or a
            recalibration of other weights.

    >>> import poseterior as pp
    >>> lifter = pp.load("mdn")
    >>> lifter.skeleton.name
    'h36m17'
    """
    folder = folder_of(name_or_path)
    name, config = read_config(folder)
    cls = method(name)
    try:
        lifter = cls(cls.config_class.from_dict(config))
    except (TypeError, ValueError) as error:
        raise InputError(f"{folder / 'config.json'}: {error}") from None
    lifter.load_state_dict(read_tensors(folder / "model.safetensors", lifter.state_dict()))
    lifter.card = read_json(folder / "card.json") if (folder / "card.json").is_file() else {}
    lifter.recalibration = read_recalibration(folder, lifter.skeleton.joints)
    return lifter.to(device).eval().requires_grad_(False)
