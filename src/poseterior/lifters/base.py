"""What is trained, saved and loaded: lifters, and priors, which see no picture.

A `Lifter` is a module from `Keypoints2D` to a `PoseDistribution`; a `Prior` gives rotations of people of whom nothing
is seen. Both are `Model`s: a configuration, weights, a card, and a folder to keep them in, see
`poseterior.lifters.saved`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..distributions.base import PoseDistribution
from ..distributions.clip_errors import ClipErrors, read_clip_errors
from ..distributions.evidence import EVIDENCE_FILE, Evidence, read_evidence
from ..distributions.given import given_evidence
from ..distributions.recalibration import Recalibration, read_recalibration
from ..distributions.seeded import SeededDistribution
from ..files.checks import cut, quote
from ..files.errors import InputError
from ..files.reading import reading
from ..files.settings import Settings
from ..geometry.skeletons import get_skeleton
from ..keypoints import Keypoints2D
from ..nn.allowance import MOST_NUMBERS, MOST_TENSORS, allowance
from ..registry import Registry
from .outliers import keypoints_that_count
from .reach import within_reach
from .saved import folder_of, read_config, read_json, read_tensors, size_of_tensors, write_folder

if TYPE_CHECKING:
    from ..distributions.rotations import RotationDistribution
    from .tensors import TensorLifter

__all__ = [
    "ArticulatedLifter",
    "Lifter",
    "LifterConfig",
    "Model",
    "Prior",
    "load",
    "load_model",
    "load_prior",
    "method",
    "method_names",
    "model_class",
    "prior_names",
    "register",
]

_M = TypeVar("_M", bound="Model")


@dataclasses.dataclass(frozen=True)
class LifterConfig(Settings):
    """Base of the configurations: a frozen dataclass of plain values that checks them when it is made.

    Attributes:
        skeleton: joint order of the poses the lifter returns.
    """

    section: ClassVar[str] = "lifter"

    skeleton: str = "h36m17"

    @classmethod
    def _owner(cls) -> str:
        return f" for {cls.__name__}"


class Model(nn.Module):
    """A network with its configuration, its card and its files.

    Attributes:
        card: what the weights were trained on, see `poseterior.lifters.saved`.
        evidence: how a lifter's answers are given what the keypoints say exactly, or None: as the network gives them.
        use_evidence: False where it was loaded without.
        recalibration: what makes the regions of a lifter's posteriors right, or None; it is of the weights, and of the
            evidence, as they are, so set it to None before training on.
        clips: how the errors of its answers hang together from frame to frame, or None; of the weights and the
            evidence as they are, too.
    """

    name: ClassVar[str] = ""
    config_class: ClassVar[type[LifterConfig]] = LifterConfig
    #: what of keypoints is not read, besides their pixels: covariance, height, camera
    unread: ClassVar[tuple[str, ...]] = ()
    #: whether the network puts the root somewhere, from where poses are taken
    places_root: ClassVar[bool] = False
    #: tensors that have inputs which they had not in earlier versions: see `poseterior.lifters.saved.read_tensors`
    grown: ClassVar[dict[str, tuple[int, int]]] = {}

    def __init__(self, config: LifterConfig) -> None:
        super().__init__()
        self.config = config
        self.skeleton = get_skeleton(config.skeleton)
        self.card: dict[str, Any] = {}
        self.evidence: Evidence | None = None
        self.use_evidence = True
        self.recalibration: Recalibration | None = None
        self.clips: ClipErrors | None = None

    @classmethod
    def started_from(cls, model: Model, settings: Mapping[str, Any]) -> Model | None:
        """What a run of this method starts from, given a saved model: itself if it is of the method; None: nothing.

        ``settings`` of the run's lifter that the model may be brought to, in a subclass.
        """
        return model if isinstance(model, cls) else None

    def fit_constants(self, observations: Any) -> None:
        """Set normalisation constants from training observations, before the first step (default: none)."""

    def calibrate(self, observations: Any) -> None:
        """Fit what is left to fit on held-out observations, after the last step (default: nothing)."""

    def save_pretrained(self, directory: str | Path, card: dict[str, Any] | None = None) -> None:
        """Write ``config.json``, ``model.safetensors``, ``card.json`` and, if there is a recalibration, its file.

        The folder appears whole or not at all.

        Raises:
            InputError: the folder exists and holds anything but a saved lifter.
        """
        config = dataclasses.asdict(self.config)
        files = {} if self.evidence is None else {EVIDENCE_FILE: self.evidence.to_json()}
        write_folder(
            directory, self.name, config, self.state_dict(), card or self.card, self.recalibration, files, self.clips
        )

    @classmethod
    def from_pretrained(cls: type[_M], name_or_path: str | Path, device: torch.device | str = "cpu") -> _M:
        """Load shipped weights by name, or those saved in a folder. No network is used.

        Raises:
            InputError: no such name or folder, a broken file, weights that do not fit the configuration, or
                (called on a subclass) a model of another method.
        """
        model = load_model(name_or_path, device)
        if not isinstance(model, cls):
            raise InputError(f"{name_or_path}: holds a {model.name!r} lifter, not {cls.name!r}")
        return model


class Lifter(Model):
    """A map from 2D keypoints to a probability distribution over 3D poses.

    Subclasses set ``config_class``, implement `distribution`, and are registered with `register`. They hold no
    losses and no optimisers.

    Attributes:
        learnt_noise: whether the network learns from keypoints of our simulator's noise, see `within_reach`.
    """

    learnt_noise: ClassVar[bool] = False

    def distribution(self, keypoints: Keypoints2D) -> PoseDistribution:
        """The distribution for keypoints in the lifter's own skeleton."""
        raise NotImplementedError

    @property
    def reader(self) -> Lifter:
        """The lifter whose network reads the keypoints: this one, or the one whose poses it goes through."""
        return self

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
        posterior = self._answer(keypoints)
        if self.evidence is not None:
            counted = keypoints_that_count(self._answer, posterior, keypoints)
            if counted is not keypoints:
                keypoints, posterior = counted, self._answer(counted)
            posterior = given_evidence(posterior, keypoints, self.evidence)
        posterior.recalibration, posterior.keypoints = self.recalibration, keypoints
        return posterior

    def _answer(self, keypoints: Keypoints2D) -> PoseDistribution:
        """The network's own answer."""
        return self.distribution(within_reach(keypoints) if self.learnt_noise else keypoints)

    def to_module(self, level: float = 0.9) -> TensorLifter:
        """The same as a module of tensors, which traces, and exports to ONNX: see `poseterior.lifters.tensors`.

        Args:
            level: probability of the radii that it returns.

        Raises:
            InputError: a lifter whose distribution has no such form, or a level without a guarantee.

        >>> import poseterior as pp
        >>> module = pp.load("mdn").to_module()
        >>> people = pp.example_keypoints().as_skeleton("h36m17")
        >>> noise = torch.randn(50, len(people), module.noise_width)
        >>> lifted = module(*module.inputs(people), noise)
        >>> lifted.mean.shape, lifted.samples.shape
        (torch.Size([5, 17, 3]), torch.Size([50, 5, 17, 3]))
        """
        from .tensors import TensorLifter  # few ask for one

        return TensorLifter(self, level)


class Prior(Model):
    """What bodies do when nothing is seen. A lifter may be one too; one that is not sees no picture at all.

    Subclasses implement `prior`, and are registered with `register`.
    """

    def prior(self, batch: torch.Size | tuple[int, ...] = ()) -> SeededDistribution:
        """Rotations of smpl22's joints, relative to the parent: batch shape ``batch``, event ``(22, 3, 3)``."""
        raise NotImplementedError


class ArticulatedLifter(Lifter, Prior):
    """A lifter whose poses are those of a body of rigid bones, and that gives their rotations too."""

    def prior(self, batch: torch.Size | tuple[int, ...] = ()) -> RotationDistribution:
        raise NotImplementedError

    def rotations(self, keypoints: Keypoints2D) -> RotationDistribution:
        """Rotations given 2D keypoints in the lifter's own skeleton; the pelvis' in camera axes."""
        raise NotImplementedError

    def ik(
        self,
        points: Float[Tensor, "*batch 25 3"],
        seen: Bool[Tensor, "*batch 25"] | None = None,
        sigma: Float[Tensor, "*batch 25"] | float = 0.0,
        offsets: Float[Tensor, "*batch 25 3"] | None = None,
        covariance: Float[Tensor, "*batch 25 3 3"] | None = None,
        keys: Int[Tensor, "*batch"] | None = None,
    ) -> RotationDistribution:
        """Inverse kinematics: rotations given 3D keypoints, any subset of them.

        Args:
            points: metres, joints of `poseterior.geometry.body.SMPL25`, any place.
            seen: which points count; None: those that are finite.
            sigma: their standard deviation, metres (0: exact).
            offsets: rest offsets of the body, metres; None: estimated from the visible bones.
            covariance: of each point, m², in place of ``sigma``; None: alike in all directions.
            keys: what each pose's own random numbers come from; None: from its points.
        """
        raise NotImplementedError


_MODELS: Registry[Model] = Registry("lifter method", "poseterior.lifters", "poseterior.published")
#: Class decorator that makes a lifter or a prior known under a method name.
register = _MODELS.register


def method_names() -> tuple[str, ...]:
    """Names of all methods that lift (one per file in lifters/ and published/)."""
    return tuple(name for name in _MODELS.names() if issubclass(_MODELS[name], Lifter))


def prior_names() -> tuple[str, ...]:
    """Names of all methods that know what bodies do when nothing is seen; some lift as well."""
    return tuple(name for name in _MODELS.names() if issubclass(_MODELS[name], Prior))


def method(name: str) -> type[Lifter]:
    """The lifter class of that method.

    Raises:
        InputError: unknown name, or a prior's; lists those that lift.
    """
    cls = model_class(name)
    if not issubclass(cls, Lifter):
        raise InputError(f"method {name!r} is a prior: it sees no keypoints; these lift: {', '.join(method_names())}")
    return cls


def model_class(name: str) -> type[Model]:
    """The class of that method, be it a lifter or a prior.

    Raises:
        InputError: unknown name; lists the known ones.
    """
    return _MODELS[name]


def build_model(name: str, config: dict[str, Any], numbers: int = MOST_NUMBERS, tensors: int = MOST_TENSORS) -> Model:
    """An untrained lifter or prior of that method, of a size that is bounded before any memory is reserved.

    Args:
        name: of the method.
        config: fields of its configuration.
        numbers, tensors: most that are made while it is built.

    Raises:
        InputError: unknown method or field, a field that is out of bounds, or a network that would be too large.
    """
    cls = model_class(name)
    asked = cls.config_class.from_dict(config)
    sizes = {f: v for f, v in config.items() if isinstance(v, int) and not isinstance(v, bool)}
    large = ", ".join(f"{f}: {quote(v)}" for f, v in sizes.items() if v > 2**10)
    refusal = f"the network would be larger than {numbers:,} numbers in {tensors:,} tensors"
    refusal += f" ({cut(large)}); make it smaller" if large else "; make it smaller"
    if max(sizes.values(), default=0) > MOST_NUMBERS:
        raise InputError(refusal)
    with allowance(numbers, tensors, refusal):
        return cls(asked)


def load_model(
    name_or_path: str | Path, device: torch.device | str = "cpu", *, recalibrated: bool = True, evidence: bool = True
) -> Model:
    """Load a lifter or a prior, see `load`."""
    folder = folder_of(name_or_path)
    name, config = read_config(folder)
    tensors, numbers = size_of_tensors(folder / "model.safetensors")
    with reading(folder / "config.json", "do the fields fit the method? Get the folder anew"):
        model = build_model(name, config, 4 * numbers + 2**22, 50 * tensors + 10_000)
    model.load_state_dict(read_tensors(folder / "model.safetensors", model.state_dict(), model.grown))
    model.card = read_json(folder / "card.json") if (folder / "card.json").is_file() else {}
    model.evidence = read_evidence(folder)
    # A recalibration that was fitted with the evidence is none without.
    given = model.reader.evidence if isinstance(model, Lifter) and not evidence else None
    fits = recalibrated and given is None
    model.recalibration = read_recalibration(folder, model.skeleton.joints) if fits else None
    model.clips = read_clip_errors(folder, model.skeleton.joints) if fits else None
    model.evidence, model.use_evidence = model.evidence if evidence else None, evidence
    return model.to(device).eval().requires_grad_(False)


def load(
    name_or_path: str | Path, device: torch.device | str = "cpu", *, recalibrated: bool = True, evidence: bool = True
) -> Lifter:
    """Load a lifter by the name of shipped weights or from a folder, ready for use (evaluation mode).

    Args:
        name_or_path: of the weights.
        device: where to.
        recalibrated: with the recalibration beside the weights, if there is one; else none is read.
        evidence: give answers what the keypoints say exactly (`poseterior.distributions.evidence`), if the weights come
            with it; else they are the network's own, and its regions are not calibrated.

    Raises:
        InputError: no such name or folder, a broken file, weights that do not fit the configuration, a
            recalibration of other weights, or a prior, which does not lift.

    >>> import poseterior as pp
    >>> lifter = pp.load("mdn")
    >>> lifter.skeleton.name
    'h36m17'
    """
    model = load_model(name_or_path, device, recalibrated=recalibrated, evidence=evidence)
    if not isinstance(model, Lifter):
        raise InputError(
            f"{name_or_path}: holds the prior {model.name!r}, which sees no keypoints; lift with method 'rotations', "
            "'mdn' or 'flow' (`poseterior lifters` lists the weights), or draw poses with "
            "poseterior.lifters.load_prior(...).prior().sample()"
        )
    return model


def load_prior(name_or_path: str | Path, device: torch.device | str = "cpu") -> Prior:
    """Load what knows how bodies move when nothing is seen, by the name of shipped weights or from a folder.

    Raises:
        InputError: as `load`, or a lifter that is no prior.
    """
    model = load_model(name_or_path, device)
    if not isinstance(model, Prior):
        raise InputError(f"{name_or_path}: holds a {model.name!r} lifter, which is no prior; 'rotations' is one")
    return model
