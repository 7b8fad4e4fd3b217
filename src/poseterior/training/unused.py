"""Settings that would do nothing are refused: whoever sets one believes that it matters.

What shipped recipes say may be without effect (``data.observations=FILE`` replaces a whole simulator); what the user
says may not. A setting of a user's *file* that has its default value is let pass, for files of whole runs say
everything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ..data.labels.simulated import LabelConfig
from ..data.simulation.simulator import SimulatorConfig
from ..files.errors import InputError

__all__ = [
    "changed_from",
    "refuse_unseen",
    "refuse_unused",
    "refuse_unused_by_lifter",
    "refuse_without_effect",
]


class Asked(Protocol):
    """What is looked at of a recipe, see `poseterior.training.recipes.Recipe`."""

    @property
    def given(self) -> frozenset[str]: ...
    @property
    def hides(self) -> bool: ...
    @property
    def observations(self) -> str | None: ...
    @property
    def label_file(self) -> str | None: ...
    @property
    def labels(self) -> LabelConfig | None: ...
    @property
    def simulator(self) -> SimulatorConfig: ...
    @property
    def calibrate(self) -> SimulatorConfig | None: ...
    @property
    def fps(self) -> float: ...


#: When a setting has an effect, and what that takes, in words.
Needs = Mapping[str, tuple[Callable[[Any], bool], str]]


def _other_bodies(c: SimulatorConfig) -> bool:
    return c.own_body < 1 or c.own_size < 1


#: What settings of the simulator need of others.
_SIMULATOR: Needs = {
    "scattered": (lambda c: c.missing.get("scattered", 0) > 0, "simulator.missing.scattered above 0"),
    "tilt": (lambda c: c.tilted > 0, "simulator.tilted above 0"),
    "pitch": (lambda c: c.steep < 1, "simulator.steep below 1"),
    "steep_pitch": (lambda c: c.steep > 0, "simulator.steep above 0"),
    "bodies": (_other_bodies, "simulator.own_body or simulator.own_size below 1"),
    "body_spread": (
        lambda c: c.own_body < 1 or (c.own_size < 1 and c.bodies == "population"), "simulator.own_body below 1",
    ),
    "body_height": (
        lambda c: _other_bodies(c) and c.bodies == "ranges",
        "simulator.own_body or simulator.own_size below 1, and simulator.bodies=ranges",
    ),
    "definition_spread": (lambda c: c.own_body < 1, "simulator.own_body below 1"),
    "own_size": (lambda c: c.own_body > 0, "simulator.own_body above 0"),
    "marker_sets": (
        lambda c: c.own_body < 1 and c.bodies == "population",
        "simulator.own_body below 1 and simulator.bodies=population",
    ),
    "noise_joint": (lambda c: c.noise[0] < c.noise[1], "a range of simulator.noise: each joint's is kept within it"),
    "noise_ratio": (lambda c: c.noise[0] < c.noise[1], "a range of simulator.noise: each axis' is kept within it"),
}  # fmt: skip
_SPLINE = (lambda c: c.coupling == "spline", "lifter.coupling=spline")
_MOBIUS = (lambda c: c.structure != "acg", "another lifter.structure than acg")
#: What settings of lifters need of others, by method.
_LIFTERS: Mapping[str, Needs] = {
    "flow": {"bins": _SPLINE},
    "rotations": {
        "layers": _MOBIUS, "segments": _MOBIUS, "hidden": _MOBIUS,
        "turns": (lambda c: c.structure == "coupling", "lifter.structure=coupling"),
        "components": (lambda c: c.structure == "acg", "lifter.structure=acg"),
        "misfit": (lambda c: c.through != "none", "a lifter in lifter.through"),
    },
    "unsupervised": {"scale_range": (lambda c: c.scale == "bounded", "lifter.scale=bounded")},
}  # fmt: skip
#: What settings of labels need of others.
_LABELS: Needs = {
    "noise": (lambda c: c.noise != "flip" or c.flip > 0, "labels.flip above 0"),
}


def refuse_without_effect(asked: Iterable[str], settings: Any, needs: Needs, section: str) -> None:
    """Refuse a setting that has no effect beside the others.

    Args:
        asked: names of settings that somebody gave.
        settings: all of them, as attributes.
        needs: by name, when a setting has an effect, and what that takes.
        section: where they are written, with what stands before a name.

    Raises:
        InputError: names the setting and what it needs.
    """
    for name in asked:
        effect, words = needs.get(name, (None, ""))
        if effect is not None and not effect(settings):
            raise InputError(f"{section}{name}: has no effect here: it needs {words}; drop it")


def refuse_unused(recipe: Asked, by_changes: frozenset[str]) -> None:
    """Refuse what the user set in a recipe and what would not change the run.

    Args:
        recipe: with the names of what was given.
        by_changes: the names among them that were given as ``key=value``.

    Raises:
        InputError: names the setting.
    """
    asked = sorted(by_changes | {name for name in recipe.given if not _usual(recipe, name)})
    if recipe.observations is not None:
        for name in asked:
            _refuse_beside_observations(recipe, name)
    for section, config, needs in (
        ("simulator", recipe.simulator, _SIMULATOR),
        ("calibrate", recipe.calibrate, _SIMULATOR),
        ("labels", recipe.labels, _LABELS),
    ):
        if config is not None:
            refuse_without_effect(_of(section, asked), config, needs, f"{section}.")


def _of(section: str, asked: Iterable[str]) -> list[str]:
    """Names of the settings of a section (the first part after its name)."""
    return list(dict.fromkeys(name.split(".")[1] for name in asked if name.startswith(f"{section}.")))


def _usual(recipe: Asked, name: str) -> bool:
    """Whether a setting has its default."""
    section, _, key = name.partition(".")
    defaults: dict[str, Any] = {"simulator": SimulatorConfig(), "calibrate": SimulatorConfig(), "labels": LabelConfig()}
    owner = getattr(recipe, section, None) if section in defaults else None
    first = key.partition(".")[0]
    if owner is not None and hasattr(owner, first):
        return bool(getattr(owner, first) == getattr(defaults[section], first))
    return name == "data.fps" and recipe.fps == 30.0


def _refuse_beside_observations(recipe: Asked, name: str) -> None:
    """Refuse what is about simulating where observations are stored."""
    section, _, key = name.partition(".")
    remedy = "drop it, or simulate from stores (data=STORE)"
    if section == "simulator" and key and key.partition(".")[0] not in ("missing", "scattered"):
        raise InputError(
            f"{name}: has no effect on data.observations, which are used as they are (simulator.missing alone hides "
            f"joints of theirs); {remedy}"
        )
    if name == "simulator.scattered" and not recipe.hides:
        raise InputError(f"{name}: has no effect here: it needs simulator.missing.scattered above 0; drop it")
    if section == "calibrate" and key:
        raise InputError(f"{name}: has no effect on data.observations: held-out ones are used as they are; {remedy}")
    if name == "data.fps":
        raise InputError(f"data.fps: has no effect on data.observations, of which every row is used; {remedy}")
    if section == "labels" and recipe.label_file is not None and recipe.labels is not None:
        raise InputError(f"{name}: has no effect: data.labels={recipe.label_file} holds the labels; give one of both")


def refuse_unused_by_lifter(given: Iterable[str], method: str, config: Any) -> None:
    """Refuse settings of a lifter that its other settings leave without effect; what has its default is let pass.

    Args:
        given: dotted names that the user set.
        method: the lifter's.
        config: all settings of it.

    Raises:
        InputError: names the setting and what it needs.
    """
    usual = {field.name: field.default for field in dataclasses.fields(config)}
    asked = [name for name in _of("lifter", sorted(given)) if name in usual and getattr(config, name) != usual[name]]
    refuse_without_effect(asked, config, _LIFTERS.get(method, {}), "lifter.")


def refuse_unseen(given: Iterable[str], unseen: Iterable[str], what: str) -> None:
    """Refuse settings of the simulator that nothing which is trained can see.

    Args:
        given: dotted names that the user set.
        unseen: names of the settings.
        what: what does not see them.

    Raises:
        InputError: names the setting.
    """
    unseen = set(unseen)
    for name in sorted(given):
        section, _, key = name.partition(".")
        if section in ("simulator", "calibrate") and key.partition(".")[0] in unseen:
            raise InputError(f"{name}: has no effect on {what}, which does not see it; drop it")


def changed_from(given: Iterable[str], values: Mapping[str, Any], loaded: Any, start: str) -> None:
    """Refuse settings of a lifter that are not those of the weights that it starts from.

    Raises:
        InputError: names the setting and both values.
    """
    fields = {field.name for field in dataclasses.fields(loaded)}
    for name in sorted(given):
        section, _, key = name.partition(".")
        if section == "lifter" and key in fields and key in values and values[key] != getattr(loaded, key):
            raise InputError(
                f"{name}: is {getattr(loaded, key)!r} in {start}, from which the lifter starts, not {values[key]!r}; "
                "drop it, or train without lifter.init"
            )
