"""Recipes: YAML files that name lifter + objectives + data + simulator + schedule.

A recipe that begins with ``extends: NAME`` says only what differs from another one, shipped or a file (whose path is
taken from the folder of the file that names it). Mappings are merged, setting by setting; everything else replaces
what was there, lists too; ``null`` takes a section out. A lifter of another ``method`` starts anew, for its settings
are not those of the first.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ..data.labels.simulated import LabelConfig
from ..data.simulation.missing import COUNT
from ..data.simulation.simulator import SimulatorConfig
from ..files.checks import cut, quote, reason
from ..files.errors import InputError
from ..files.reading import reading
from ..files.settings import ABOVE_ZERO, Settings, check_settings, is_number, number, whole
from .unused import refuse_unused


class _Loader(yaml.SafeLoader):
    """Plain data only, and 1e-3 is a number (YAML 1.1 takes it for text)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)

__all__ = ["Recipe", "Schedule", "read_recipe", "shipped_recipes"]

#: Characters of a recipe, parts (names, numbers, lists ...) of it, and how deep they may be within each other.
_LONGEST, _MOST_PARTS, _DEEPEST = 10**6, 100_000, 20
#: Largest values of a schedule: what a machine can hold, and a life is long enough for.
_MOST = dict.fromkeys(
    ("steps", "until", "warmup", "log_every", "save_every", "keep_every", "validate_every"), 10**9
) | {"batch": 2**20}


@dataclasses.dataclass(frozen=True)
class Schedule(Settings):
    """How long and how fast.

    Attributes:
        steps: optimiser steps.
        batch: observations per step and process.
        learning_rate: peak of the schedule (linear warm-up, then a cosine to ``final`` times the peak).
        warmup: steps of warm-up.
        final: last learning rate over the peak.
        weight_decay: AdamW's, on matrices only.
        clip: largest norm of the gradient.
        beta1, beta2: AdamW's, memory of the gradient's mean and of its square, below 1.
        average: decay of the moving average of the weights that is saved (0 turns it off).
        until: step after which the run ends, on the learning rates of the whole schedule; 0 goes to its end.
        seed: of initialisation and data.
        log_every: steps between logged losses.
        save_every: steps between checkpoints, from which a run goes on.
        keep_every: steps between weights that are kept, to be evaluated; 0: a tenth of the run.
        validate_every: steps between validations (0: never).
    """

    section: ClassVar[str] = "schedule"

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
    until: int = 0
    seed: int = 0
    log_every: int = 50
    save_every: int = 500
    keep_every: int = 0
    validate_every: int = 1000

    @property
    def last(self) -> int:
        """The step after which the run ends."""
        return min(self.until or self.steps, self.steps)

    @property
    def kept(self) -> int:
        """Steps between weights that are kept."""
        return self.keep_every or max(1, self.steps // 10)

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            value, name = self._named(f.name)
            if f.type in (int, "int"):
                whole(value, name)
            number(value, name)
            number(value, name, 0)
        for field, least in (("steps", 1), ("batch", 1), ("log_every", 1), ("save_every", 1), ("batch", 2)):
            whole(*self._named(field), least, expected=f"at least {least}")
        for field, most in _MOST.items():
            value, name = self._named(field)
            if value > most:
                raise InputError(f"{name}: expected at most {most:,}, got {quote(value)}")
        for field in ("average", "beta1", "beta2"):
            value, name = self._named(field)
            if value >= 1:
                raise InputError(f"{name}: expected less than 1, got {value}")
        if self.seed >= 2**32:
            raise InputError(f"schedule.seed: expected less than 2^32, got {quote(self.seed)}")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All of a training run.

    Attributes:
        name: of the recipe.
        lifter: ``{"method": NAME, **config}``, of a lifter or of a prior.
        objectives: ``[{"name": NAME, "weight": 1.0, **settings}, ...]``; terms are summed by weight.
        stores: folders of pose stores.
        fps: frame rate to which clips are thinned.
        validation: share of the clips held out to watch the loss.
        observations: file of stored observations to learn from as they are, instead of simulating from ``stores``:
            nothing of ``fps``, ``simulator`` and ``calibrate`` goes for them but ``simulator.missing``, where it was
            asked for, see `hides`.
        views: learn from so many observations: simulated once, or a random choice of the stored ones. 0: from new
            ones in each step, or from all that are stored.
        label_file: label store (`poseterior.data.labels.labels`) of the images in ``observations``.
        labels: how depth-order labels are made from the observations' poses; None: they are not.
        simulator: ranges, see `SimulatorConfig`.
        calibrate: changes to the simulator's ranges for the held-out observations on which `Lifter.calibrate`
            is called after the last step; None: it is not called.
        schedule: see `Schedule`.
        given: what the user set, and no shipped recipe: ``"schedule.steps"``. None of it may go without effect, see
            `poseterior.training.unused`.
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
    given: frozenset[str] = dataclasses.field(default=frozenset(), compare=False)

    @property
    def hides(self) -> bool:
        """Whether joints of stored observations are hidden, anew in every batch, by ``simulator.missing``."""
        return self.observations is not None and any(_within(name, "simulator.missing") for name in self.given)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for YAML and cards; of the simulator only what observations are made or changed by."""
        values = dataclasses.asdict(self)
        del values["given"]
        names = ("stores", "fps", "validation", "observations", "views")
        values["data"] = {key: values.pop(key) for key in names} | {"labels": values.pop("label_file")}
        values["data"]["stores"] = list(self.stores)
        for option in ("until", "keep_every"):
            if not getattr(self.schedule, option):
                del values["schedule"][option]
        values["simulator"] = self.simulator.as_dict()
        values["calibrate"] = None if self.calibrate is None else self.calibrate.as_dict()
        if self.observations is not None:
            values["simulator"] = _hiding(values["simulator"]) if self.hides else {}
            values["calibrate"] = None if self.calibrate is None else {}
        return values

    def for_card(self) -> dict[str, Any]:
        """`as_dict` without paths of this machine: files and folders by their names only."""
        values = self.as_dict()
        values["data"]["stores"] = [Path(store).name for store in self.stores]
        for name in ("observations", "labels"):
            if values["data"][name] is not None:
                values["data"][name] = Path(values["data"][name]).name
        if "init" in values["lifter"]:
            values["lifter"]["init"] = Path(str(values["lifter"]["init"])).name
        return values


def _within(name: str, setting: str) -> bool:
    """Whether a dotted name is of that setting, or of a part of it."""
    return name == setting or name.startswith(f"{setting}.")


def _hiding(simulator: dict[str, Any]) -> dict[str, Any]:
    names = ("missing", "scattered") if simulator["missing"].get("scattered") else ("missing",)
    return {name: simulator[name] for name in names}


def shipped_recipes() -> dict[str, str]:
    """Name -> first comment line of the recipes that ship with the package.

    Files whose name begins with an underscore are no recipes but parts, which recipes extend.
    """
    found = {}
    for item in sorted(resources.files("poseterior.recipes").iterdir(), key=lambda p: p.name):
        if item.name.endswith(".yaml") and not item.name.startswith("_"):
            found[item.name.removesuffix(".yaml")] = item.read_text().splitlines()[0].lstrip("# ")
    return found


# -- files -----------------------------------------------------------------------------------------------------


def _found(name: str, beside: Path, extended: bool) -> tuple[str, str, Path]:
    """A recipe's key (a shipped name, or the whole path), text and folder; a shipped part only where it is extended.

    Raises:
        InputError: neither a shipped recipe nor a file.
    """
    shipped = resources.files("poseterior.recipes").joinpath(f"{name}.yaml")
    if name in shipped_recipes() or (extended and name.startswith("_") and shipped.is_file()):
        return name, shipped.read_text(), beside
    path = beside / name
    try:
        return str(path.resolve()), path.read_text(), path.parent
    except (OSError, UnicodeDecodeError):
        known = ", ".join(shipped_recipes())
        raise InputError(f"{name}: neither a file nor a shipped recipe; shipped: {known}") from None


def _loaded(text: str) -> Any:
    """What YAML says, within limits.

    Raises:
        InputError: no YAML, nested too deeply, or too much of it: YAML can name a part and repeat it, and so on.
    """
    if len(text) > _LONGEST:
        raise InputError(f"has {len(text):,} characters; a recipe has at most {_LONGEST:,}")
    try:
        values = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise InputError(f"not YAML ({_said(error)})") from None
    except RecursionError:
        raise InputError("not YAML (nested too deeply)") from None
    except Exception as error:  # of a date that there is not, a number of thousands of digits ...
        raise InputError(f"not YAML ({reason(error)})") from None
    _refuse_too_much(values)
    return values


def _said(error: yaml.YAMLError) -> str:
    return cut(" ".join(str(error).split()))


def _refuse_too_much(values: Any) -> None:
    """Refuse what has too many parts, or parts within parts that go too deep, before it is copied."""
    queue = [(values, 0)]
    count = 0
    while queue:
        value, depth = queue.pop()
        count += 1
        if count > _MOST_PARTS or depth > _DEEPEST:
            many = f"more than {_MOST_PARTS:,} parts" if count > _MOST_PARTS else f"parts more than {_DEEPEST} deep"
            raise InputError(f"holds {many}; no recipe has as many")
        if isinstance(value, dict):
            queue += [(part, depth + 1) for part in (*value, *value.values())]
        elif isinstance(value, list | tuple | set):
            queue += [(part, depth + 1) for part in value]


def _parsed(text: str, name: str) -> dict[str, Any]:
    with reading(name):
        values = _loaded(text)
    if not isinstance(values, dict):
        raise InputError(f"{name}: expected a mapping with lifter, objectives, data, simulator, schedule")
    return values


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``own`` over ``base``: mappings are merged, everything else replaces."""
    merged = dict(base)
    for key, value in own.items():
        below = base.get(key)
        anew = (key == "lifter" and _other(below, value)) or (key == "missing" and _counts(below, value))
        if isinstance(value, dict) and isinstance(below, dict) and not anew:
            merged[key] = _merged(below, value)
        else:
            merged[key] = value
    return merged


def _other(base: Any, own: Any) -> bool:
    """Whether a lifter is of another method than the one below it."""
    if not isinstance(base, Mapping) or not isinstance(own, Mapping):
        return False
    return own.get("method", base.get("method")) != base.get("method")


def _counts(base: Any, own: Any) -> bool:
    """Whether one says how many joints are missing, and the other how likely patterns are."""
    if not isinstance(base, Mapping) or not isinstance(own, Mapping):
        return False
    return bool(own) and (COUNT in own) != (COUNT in base)


def _inherited(
    name: str, beside: Path, children: tuple[tuple[str, str], ...] = ()
) -> tuple[dict[str, Any], frozenset[str]]:
    """What a recipe says, with what it inherits; and the names of what is set by files that do not ship.

    Args:
        name: of a shipped recipe, or a path.
        beside: folder from which the path is taken.
        children: (key, name) of the recipes that extend this one, for messages.

    Raises:
        InputError: no such recipe, not YAML, or recipes that extend each other in a circle.
    """
    try:
        key, text, folder = _found(name, beside, bool(children))
    except InputError as error:
        raise InputError(f"{children[-1][1]}: extends: {error}" if children else str(error)) from None
    if key in dict(children):
        circle = " -> ".join([*(child for _, child in children), name])
        raise InputError(f"{children[0][1]}: extends: the recipes extend each other in a circle: {circle}")
    values = _parsed(text, name)
    shipped = not Path(key).is_absolute()
    own: frozenset[str] = frozenset() if shipped else _names({k: v for k, v in values.items() if k != "extends"})
    if "extends" not in values:
        return values, own
    parent = values.pop("extends")
    if not isinstance(parent, str):
        raise InputError(f"{name}: extends: expected the name or the path of one recipe, got {quote(parent)}")
    base, theirs = _inherited(parent, folder, (*children, (key, name)))
    base.pop("name", None)  # a recipe's own name is its file's
    return _merged(base, values), own | theirs


def _names(values: Any, prefix: str = "") -> frozenset[str]:
    """Dotted names of all settings in nested mappings; an empty mapping and a list are settings."""
    if not isinstance(values, dict) or not values:
        return frozenset({prefix} if prefix else ())
    return frozenset().union(*(_names(v, f"{prefix}.{key}" if prefix else str(key)) for key, v in values.items()))


def _assign(values: dict[str, Any], assignment: str) -> frozenset[str]:
    """Apply ``a.b=VALUE`` (VALUE in YAML) to nested dictionaries; returns the dotted names of what is set."""
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise InputError(f"{assignment!r}: expected key=value, for example schedule.steps=2000")
    try:
        value = _loaded(text)
    except InputError as error:
        raise InputError(f"{quote(assignment)}: the value is {error!s}") from None
    whole_key = {"data": "data.stores", "steps": "schedule.steps", "init": "lifter.init"}.get(key, key)
    *path, last = whole_key.split(".")
    place: Any = values
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise InputError(f"{assignment!r}: {part!r} holds no further settings")
    if path[-1:] == ["missing"] and _counts(place, {last: value}):
        place.clear()
    place[last] = value
    return _names(value, whole_key)


_SECTIONS = ("name", "lifter", "objectives", "data", "labels", "simulator", "calibrate", "schedule")
_DATA = ("stores", "fps", "validation", "observations", "views", "labels")


def _check_sections(values: dict[str, Any], name: str) -> None:
    """Refuse unknown sections; a setting without its section is told where it belongs."""
    kinds = {"simulator": SimulatorConfig, "schedule": Schedule, "labels": LabelConfig}
    homes = {"data": _DATA} | {section: [f.name for f in dataclasses.fields(kind)] for section, kind in kinds.items()}
    for key in values:
        if key in _SECTIONS:
            continue
        home = next((section for section, known in homes.items() if key in known), None)
        what = f"known: {', '.join(_SECTIONS)}" if home is None else f"did you mean {home}.{key}?"
        raise InputError(f"{name}: unknown section {quote(key)}; {what}")


# -- sections --------------------------------------------------------------------------------------------------


def _section(values: dict[str, Any], name: str, known: Sequence[str]) -> dict[str, Any]:
    section = values.get(name)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise InputError(f"{name}: expected a mapping, got {quote(section)}")
    check_settings(name, section, known)
    return section


def _lifter_section(values: dict[str, Any], name: str) -> dict[str, Any]:
    lifter = values.get("lifter")
    if not isinstance(lifter, dict) or not isinstance(lifter.get("method"), str):
        raise InputError(f"{name}: lifter: expected a mapping with 'method', a name")
    if "network" in lifter:
        method = str(lifter["method"]).removesuffix("-published")
        raise InputError(
            f"{name}: lifter.network: ours and the published network are two methods: write method: {method} or "
            f"method: {method}-published, without network"
        )
    return lifter


def _objectives_section(values: dict[str, Any], name: str) -> list[dict[str, Any]]:
    objectives = values.get("objectives")
    listed = objectives if isinstance(objectives, list) else []
    if not listed or not all(isinstance(o, dict) and isinstance(o.get("name"), str) for o in listed):
        raise InputError(f"{name}: objectives: expected a list of mappings with 'name'")
    for o in listed:
        number(o.get("weight", 1.0), f"objectives: {o['name']}: weight")
    return listed


def _one_path(data: dict[str, Any], name: str) -> str | None:
    path = data.get(name)
    if path is not None and not isinstance(path, str):
        raise InputError(f"data.{name}: expected the path of one file, got {quote(path)}")
    return path


def _data_section(values: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `Recipe` that its section ``data`` gives."""
    data = _section(values, "data", _DATA)
    validation = data.get("validation", 0.1)
    if not is_number(validation) or not 0 <= validation < 1:
        raise InputError(f"data.validation: expected 0 to below 1, got {quote(validation)}")
    observations, label_file = _one_path(data, "observations"), _one_path(data, "labels")
    stores = () if data.get("stores") is None else data["stores"]
    if not isinstance(stores, str | list | tuple) or not all(isinstance(store, str) for store in stores):
        raise InputError(f"data.stores: expected the path of a store, or a list of paths, got {quote(stores)}")
    if stores and observations is not None:
        raise InputError("data: give stores to simulate from or observations as they are, not both")
    if label_file is not None and observations is None:
        raise InputError("data.labels: labels are of stored observations; give them as data.observations=FILE")
    return {
        "stores": (str(stores),) if isinstance(stores, str) else tuple(str(s) for s in stores),
        "fps": float(number(data.get("fps", 30.0), "data.fps", ABOVE_ZERO, expected="a number above 0")),
        "validation": float(validation),
        "observations": observations,
        "views": whole(data.get("views", 0), "data.views", 0),
        "label_file": label_file,
    }


def read_recipe(name_or_path: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """A shipped recipe by name, or a YAML file, with what it ``extends`` and with ``key=value`` changes applied.

    ``data=STORE`` (or ``data=[A, B]``) and ``steps=N`` are short for ``data.stores`` and ``schedule.steps``.

    Raises:
        InputError: unknown recipe, not YAML, recipes that extend each other in a circle, or an unknown setting; names
            the section and the known settings.
    """
    name = str(name_or_path)
    if name in shipped_recipes():  # whose own text is right: what is wrong is in the changes
        return _read(name, changes)
    with reading(name):
        return _read(name, changes)


def _read(name: str, changes: Sequence[str]) -> Recipe:
    values, by_files = _inherited(name, Path())
    by_changes: frozenset[str] = frozenset()
    for change in changes:
        by_changes |= _assign(values, change)
    _check_sections(values, name)
    labels = _section(values, "labels", [f.name for f in dataclasses.fields(LabelConfig)])
    simulator = _section(values, "simulator", [f.name for f in dataclasses.fields(SimulatorConfig)])
    changed = _section(values, "calibrate", [f.name for f in dataclasses.fields(SimulatorConfig)])
    schedule = _section(values, "schedule", [f.name for f in dataclasses.fields(Schedule)])
    recipe = Recipe(
        name=str(values.get("name", Path(name).stem)),
        lifter=_lifter_section(values, name),
        objectives=_objectives_section(values, name),
        **_data_section(values),
        labels=None if values.get("labels") is None else LabelConfig.from_dict(labels),
        simulator=SimulatorConfig.from_dict(simulator),
        calibrate=None if values.get("calibrate") is None else SimulatorConfig.from_dict(simulator | changed),
        schedule=Schedule(**schedule),
        given=(by_files | by_changes) & _names(values),
    )
    refuse_unused(recipe, by_changes)
    return recipe
