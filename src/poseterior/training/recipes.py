"""Recipes: YAML files that name lifter + objectives + data + simulator + schedule."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from ..data.labels.simulated import LabelConfig
from ..data.simulation.simulator import SimulatorConfig
from ..files.errors import InputError, check_settings


class _Loader(yaml.SafeLoader):
    """Plain data only, and 1e-3 is a number (YAML 1.1 takes it for text)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)

__all__ = ["Recipe", "Schedule", "read_recipe", "shipped_recipes"]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: optimiser steps.
        batch: observations a step and process.
        learning_rate: peak of the schedule (linear warm-up, then a cosine to ``final`` times the peak).
        warmup: steps of warm-up.
        final: last learning rate over the peak.
        weight_decay: AdamW's, on matrices only.
        clip: largest norm of the gradient.
        beta1, beta2: AdamW's, memory of the gradient's mean and of its square, below 1.
        average: decay of the moving average of the weights that is saved (0 turns it off).
        seed: of initialisation and data.
        log_every: steps between logged losses.
        save_every: steps between checkpoints.
        validate_every: steps between validations (0: never).
    """

    steps: int = 10_000
    batch: int = 512
    learning_rate: float = 1e-3
    warmup: int = 300
    final: float = 0.01
    weight_decay: float = 0.01
    clip: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.999
    average: float = 0.999
    seed: int = 0
    log_every: int = 50
    save_every: int = 500
    validate_every: int = 1000

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            whole = f.type in (int, "int")
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                kind = "a whole number" if whole else "a number"
                raise InputError(f"schedule.{f.name}: expected {kind}, got {value!r}")
            if not math.isfinite(value) or value < 0:
                raise InputError(f"schedule.{f.name}: expected a finite number from 0, got {value!r}")
        for name in ("steps", "batch", "log_every", "save_every"):
            if getattr(self, name) < 1:
                raise InputError(f"schedule.{name}: expected at least 1, got {getattr(self, name)}")
        if self.batch < 2:
            raise InputError(f"schedule.batch: expected at least 2, got {self.batch}")
        for name in ("average", "beta1", "beta2"):
            if not getattr(self, name) < 1:
                raise InputError(f"schedule.{name}: expected less than 1, got {getattr(self, name)}")
        if self.seed >= 2**32:
            raise InputError(f"schedule.seed: expected less than 2^32, got {self.seed}")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All of a training run.

    Attributes:
        name: of the recipe.
        lifter: ``{"method": NAME, **config}``.
        objectives: ``[{"name": NAME, "weight": 1.0, **settings}, ...]``; terms are summed by weight.
        stores: folders of pose stores.
        fps: frame rate to which clips are thinned.
        validation: share of the clips held out to watch the loss.
        observations: file of stored observations to learn from instead of simulating from ``stores`` (then
            ``fps`` and ``simulator`` do not matter, and ``calibrate`` is on held-out observations as they are).
        views: learn from so many observations: simulated once, or a random choice of the stored ones. 0: from new
            ones in each step, or from all that are stored.
        label_file: label store (`poseterior.data.labels.labels`) of the images in ``observations``.
        labels: how depth-order labels are made from the observations' poses; None: they are not.
        simulator: ranges, see `SimulatorConfig`.
        calibrate: changes to the simulator's ranges for the held-out observations on which `Lifter.calibrate`
            is called after the last step; None: it is not called.
        schedule: see `Schedule`.
    """

    name: str
    lifter: dict[str, Any]
    objectives: list[dict[str, Any]]
    stores: tuple[str, ...]
    fps: float
    validation: float
    observations: str | None
    views: int
    label_file: str | None
    labels: LabelConfig | None
    simulator: SimulatorConfig
    calibrate: SimulatorConfig | None
    schedule: Schedule

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for YAML and cards."""
        values = dataclasses.asdict(self)
        names = ("stores", "fps", "validation", "observations", "views")
        values["data"] = {key: values.pop(key) for key in names} | {"labels": values.pop("label_file")}
        values["data"]["stores"] = list(self.stores)
        for section in ("simulator", "calibrate"):
            if values[section] is not None:
                values[section] = {k: list(v) if isinstance(v, tuple) else v for k, v in values[section].items()}
        return values


def shipped_recipes() -> dict[str, str]:
    """Name -> first comment line of the recipes that ship with the package."""
    found = {}
    for item in sorted(resources.files("poseterior.recipes").iterdir(), key=lambda p: p.name):
        if item.name.endswith(".yaml"):
            found[item.name.removesuffix(".yaml")] = item.read_text().splitlines()[0].lstrip("# ")
    return found


def _assign(values: dict[str, Any], assignment: str) -> None:
    """Apply ``a.b=VALUE`` (VALUE in YAML) to nested dictionaries."""
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise InputError(f"{assignment!r}: expected key=value, for example schedule.steps=2000")
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError:
        raise InputError(f"{assignment!r}: the value is not YAML") from None
    *path, last = {"data": "data.stores", "steps": "schedule.steps", "init": "lifter.init"}.get(key, key).split(".")
    place: Any = values
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise InputError(f"{assignment!r}: {part!r} holds no further settings")
    place[last] = value


def _section(values: dict[str, Any], name: str, known: Sequence[str]) -> dict[str, Any]:
    section = values.get(name) or {}
    if not isinstance(section, dict):
        raise InputError(f"{name}: expected a mapping")
    check_settings(name, section, known)
    return section


def read_recipe(name_or_path: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """A shipped recipe by name, or a YAML file, with ``key=value`` changes applied.

    ``data=STORE`` (or ``data=[A, B]``) and ``steps=N`` are short for ``data.stores`` and ``schedule.steps``.

    Raises:
        InputError: unknown recipe, not YAML, or an unknown setting; names the section and the known settings.
    """
    shipped = shipped_recipes()
    if str(name_or_path) in shipped:
        text = resources.files("poseterior.recipes").joinpath(f"{name_or_path}.yaml").read_text()
    else:
        try:
            text = Path(name_or_path).read_text()
        except (OSError, UnicodeDecodeError):
            known = ", ".join(shipped)
            raise InputError(f"{name_or_path}: neither a file nor a shipped recipe; shipped: {known}") from None
    try:
        values = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise InputError(f"{name_or_path}: not YAML ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{name_or_path}: expected a mapping with lifter, objectives, data, simulator, schedule")
    for change in changes:
        _assign(values, change)
    sections = ("name", "lifter", "objectives", "data", "labels", "simulator", "calibrate", "schedule")
    for key in values:
        if key not in sections:
            raise InputError(f"{name_or_path}: unknown section {key!r}; known: {', '.join(sections)}")
    lifter = values.get("lifter")
    if not isinstance(lifter, dict) or "method" not in lifter:
        raise InputError(f"{name_or_path}: lifter: expected a mapping with 'method'")
    objectives = values.get("objectives")
    if (
        not isinstance(objectives, list)
        or not objectives
        or not all(isinstance(o, dict) and "name" in o for o in objectives)
    ):
        raise InputError(f"{name_or_path}: objectives: expected a list of mappings with 'name'")
    for o in objectives:
        if not isinstance(o.get("weight", 1.0), int | float):
            raise InputError(f"objectives: {o['name']}: weight: expected a number, got {o['weight']!r}")
    data = _section(values, "data", ("stores", "fps", "validation", "observations", "views", "labels"))
    fps, validation = data.get("fps", 30.0), data.get("validation", 0.1)
    if not isinstance(fps, int | float) or not fps > 0:
        raise InputError(f"data.fps: expected a number above 0, got {fps!r}")
    if not isinstance(validation, int | float) or not 0 <= validation < 1:
        raise InputError(f"data.validation: expected 0 to below 1, got {validation!r}")
    stores, observations = data.get("stores") or (), data.get("observations")
    if observations is not None and not isinstance(observations, str):
        raise InputError(f"data.observations: expected the path of one file, got {observations!r}")
    if stores and observations is not None:
        raise InputError("data: give stores to simulate from or observations as they are, not both")
    views, label_file = data.get("views", 0), data.get("labels")
    if not isinstance(views, int) or isinstance(views, bool) or views < 0:
        raise InputError(f"data.views: expected a whole number, at least 0, got {views!r}")
    if label_file is not None and not isinstance(label_file, str):
        raise InputError(f"data.labels: expected the path of one file, got {label_file!r}")
    if label_file is not None and observations is None:
        raise InputError("data.labels: labels are of stored observations; give them as data.observations=FILE")
    labels = _section(values, "labels", [f.name for f in dataclasses.fields(LabelConfig)])
    simulator = _section(values, "simulator", [f.name for f in dataclasses.fields(SimulatorConfig)])
    changed = _section(values, "calibrate", [f.name for f in dataclasses.fields(SimulatorConfig)])
    schedule = _section(values, "schedule", [f.name for f in dataclasses.fields(Schedule)])
    return Recipe(
        name=str(values.get("name", Path(str(name_or_path)).stem)),
        lifter=lifter,
        objectives=objectives,
        stores=(str(stores),) if isinstance(stores, str) else tuple(str(s) for s in stores),
        fps=float(fps),
        validation=float(validation),
        observations=observations,
        views=views,
        label_file=label_file,
        labels=None if values.get("labels") is None else LabelConfig.from_dict(labels),
        simulator=SimulatorConfig.from_dict(simulator),
        calibrate=None if values.get("calibrate") is None else SimulatorConfig.from_dict(simulator | changed),
        schedule=Schedule(**schedule),
    )
