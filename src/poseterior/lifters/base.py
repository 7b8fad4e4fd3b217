"""What every lifter is: a module from `Keypoints2D` to a `PoseDistribution` that knows how to save itself.

A saved lifter is a folder: ``config.json`` (method and configuration), ``model.safetensors`` (weights and
normalisation constants), ``card.json`` (what it was trained on, licence, metrics and their commands) and perhaps
``calibration.json`` (`poseterior.regions.Recalibration`).
Nothing is ever unpickled.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..distributions import PoseDistribution
from ..errors import InputError, check_settings
from ..keypoints import Keypoints2D
from ..regions import CALIBRATION_FILE, Recalibration, read_recalibration
from ..registry import Registry
from ..skeletons import get_skeleton

__all__ = [
    "Lifter",
    "LifterConfig",
    "folder_of",
    "list_shipped",
    "load",
    "method",
    "method_names",
    "read_card",
    "register",
]

_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


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
        from safetensors.torch import save_file

        target = Path(directory).resolve()
        ours = {"config.json", "model.safetensors", "card.json", CALIBRATION_FILE}
        if target.exists() and (not target.is_dir() or {p.name for p in target.iterdir()} - ours):
            raise InputError(f"{directory}: exists and holds other files; choose a new folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        partial.chmod(0o755)  # mkdtemp makes folders that only their owner can read
        try:
            config = {"method": self.name, "config": dataclasses.asdict(self.config)}
            (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")
            tensors = {name: t.detach().cpu().contiguous() for name, t in self.state_dict().items()}
            save_file(tensors, partial / "model.safetensors")
            (partial / "model.safetensors").chmod(0o644)
            (partial / "card.json").write_text(json.dumps(card or self.card, indent=2) + "\n")
            if self.recalibration is not None:
                (partial / CALIBRATION_FILE).write_text(self.recalibration.for_lifter(partial).to_json())
            if target.exists():
                shutil.rmtree(target)
            os.replace(partial, target)
        finally:
            if partial.exists():
                shutil.rmtree(partial)

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


_METHODS: Registry[Lifter] = Registry("poseterior.lifters", "lifter method")
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


def list_shipped() -> dict[str, Path]:
    """Name -> folder of the lifters whose weights ship with the package."""
    if not _WEIGHTS.is_dir():
        return {}
    return {p.name: p for p in sorted(_WEIGHTS.iterdir()) if (p / "config.json").is_file()}


def folder_of(name_or_path: str | Path) -> Path:
    """The folder of a shipped lifter or of weights; raises `InputError` where there is neither."""
    shipped = list_shipped()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    folder = Path(name_or_path)
    if (folder / "config.json").is_file():
        return folder
    problem = "has no config.json" if folder.is_dir() else "is neither a folder nor a shipped lifter"
    raise InputError(f"{name_or_path}: {problem}; shipped lifters: {', '.join(shipped) or 'none'}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object")
    return value


def read_card(name_or_path: str | Path) -> dict[str, Any]:
    """The card of a lifter: data, licence, recipe, seed, metrics with the commands that reproduce them."""
    return _read_json(folder_of(name_or_path) / "card.json")


def _fitting(tensors: dict[str, Tensor], lifter: Lifter, path: Path) -> None:
    expected = lifter.state_dict()
    for name, value in expected.items():
        if name not in tensors:
            raise InputError(f"{path}: tensor {name!r} is missing; the file does not fit its config.json")
        if tensors[name].shape != value.shape:
            raise InputError(
                f"{path}: tensor {name!r} has shape {tuple(tensors[name].shape)}, expected {tuple(value.shape)}"
            )
        if tensors[name].is_floating_point() and not tensors[name].isfinite().all():
            raise InputError(f"{path}: tensor {name!r} holds values that are not finite")
    extra = sorted(set(tensors) - set(expected))
    if extra:
        raise InputError(f"{path}: unexpected tensor {extra[0]!r}; the file does not fit its config.json")


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
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = folder_of(name_or_path)
    saved = _read_json(folder / "config.json")
    if "method" not in saved or not isinstance(saved.get("config"), dict):
        raise InputError(f"{folder / 'config.json'}: expected the fields 'method' and 'config'")
    cls = method(str(saved["method"]))
    try:
        lifter = cls(cls.config_class.from_dict(saved["config"]))
    except (TypeError, ValueError) as error:
        raise InputError(f"{folder / 'config.json'}: {error}") from None
    path = folder / "model.safetensors"
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error})") from None
    _fitting(tensors, lifter, path)
    lifter.load_state_dict(tensors)
    lifter.card = _read_json(folder / "card.json") if (folder / "card.json").is_file() else {}
    lifter.recalibration = read_recalibration(folder, lifter.skeleton.joints)
    return lifter.to(device).eval().requires_grad_(False)
