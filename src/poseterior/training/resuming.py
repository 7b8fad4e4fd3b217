"""A resumed run keeps its recipe."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from ..files.errors import InputError
from .recipes import Recipe, Schedule

__all__ = ["check_same_run"]

#: What a resumed run may change: where the data lie, how often things are written, what happens at the end.
_FREE_TO_CHANGE = (
    "data.stores",
    "data.observations",
    "data.labels",
    "calibrate",
    "schedule.log_every",
    "schedule.save_every",
    "schedule.keep_every",
)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def check_same_run(recipe: Recipe, folder: Path) -> None:
    """Refuse to resume a run under another recipe."""
    path = folder / "recipe.yaml"
    if not path.is_file():
        raise InputError(f"{folder}: nothing to resume: it holds no run")
    try:
        stored, asked = _flat(yaml.safe_load(path.read_text())), _flat(yaml.safe_load(yaml.safe_dump(recipe.as_dict())))
    except (yaml.YAMLError, AttributeError):
        raise InputError(f"{path}: not a recipe; start anew in another folder") from None
    # Runs begun before a setting existed had what is now its default.
    defaults = {f"schedule.{f.name}": f.default for f in dataclasses.fields(Schedule)}
    if recipe.observations is not None:  # runs of earlier versions name a simulator that did nothing
        kept = ("simulator.missing", "simulator.scattered") if recipe.hides else ()
        stored = {n: v for n, v in stored.items() if not n.startswith("simulator") or n.startswith(kept)}
        asked = {n: v for n, v in asked.items() if n != "simulator"}
    stored = defaults | {"data.views": 0, "data.labels": None, "labels": None} | stored
    asked = defaults | asked  # a recipe leaves out what was not asked for
    if stored.get("lifter.network") == "ours":  # as 0.1 wrote it
        del stored["lifter.network"]
    for name in sorted(set(stored) | set(asked)):
        if stored.get(name) != asked.get(name) and not name.startswith(_FREE_TO_CHANGE):
            raise InputError(
                f"{folder}: {name} was {stored.get(name)!r} and is {asked.get(name)!r} now: a resumed run keeps its "
                "recipe; drop the change, or start anew in another folder"
            )
