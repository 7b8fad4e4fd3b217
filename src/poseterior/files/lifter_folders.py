"""Where saved lifters are, and their cards: what can be asked without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import InputError
from .reading import reader
from .texts import read_json as read_any_json

__all__ = ["folder_of", "list_shipped", "read_card", "read_json"]

_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


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
    inside = folder / "weights"
    if (inside / "config.json").is_file():
        raise InputError(f"{name_or_path}: is the folder of a run; its weights are in {inside}")
    problem = "has no config.json" if folder.is_dir() else "is neither a folder nor a shipped lifter"
    raise InputError(f"{name_or_path}: {problem}; shipped lifters: {', '.join(shipped) or 'none'}")


#: Bytes of a JSON file of a lifter's folder.
_LONGEST = 16 * 1024**2


@reader()
def read_json(path: Path) -> dict[str, Any]:
    """One JSON object; raises `InputError` where the file holds anything else."""
    value = read_any_json(path, _LONGEST)
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object")
    return value


def read_card(name_or_path: str | Path) -> dict[str, Any]:
    """The card of a lifter: data, licence, recipe, seed, metrics with the commands that reproduce them."""
    return read_json(folder_of(name_or_path) / "card.json")
