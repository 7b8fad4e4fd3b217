"""Folders of saved lifters: where they are, what they hold, and how they are written.

``config.json`` (method and configuration), ``model.safetensors`` (weights and normalisation constants), ``card.json``
(what it was trained on, licence, metrics and their commands) and perhaps ``calibration.json``
(`poseterior.distributions.recalibration.Recalibration`). Nothing is ever unpickled, and no network is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..distributions.clip_errors import CLIPS_FILE, ClipErrors
from ..distributions.evidence import EVIDENCE_FILE
from ..distributions.recalibration import CALIBRATION_FILE, Recalibration
from ..files.checks import absent, quote, reason
from ..files.errors import InputError
from ..files.lifter_folders import folder_of, list_shipped, read_card, read_json
from ..files.reading import reading
from ..files.writing import atomic_folder

__all__ = [
    "FILES", "folder_of", "list_shipped", "read_card", "read_config", "read_json", "read_tensors", "since_0_1",
    "size_of_tensors", "write_folder",
]  # fmt: skip

#: What the folder of a saved lifter holds; the last three may be missing.
FILES = ("config.json", "model.safetensors", "card.json", CALIBRATION_FILE, EVIDENCE_FILE, CLIPS_FILE)


#: Folders of 0.1 say by ``network`` which of two methods they hold; the fields of the other one that go.
_SPLIT_SINCE_0_1: dict[tuple[str, str], tuple[str, ...]] = {
    ("mdn", "ours"): (),
    ("mdn", "published"): ("rank", "minimum_scale", "temperature"),
    ("flow", "ours"): (),
    ("flow", "published"): (
        "coupling", "layers", "hidden", "context", "rank", "width", "blocks", "dropout", "bins", "reach",
        "minimum_scale", "temperature",
    ),
    ("regression", "ours"): ("output", "scale"),
    ("regression", "published"): (),
    ("unsupervised", "ours"): (),
    ("unsupervised", "published"): ("scale_range", "elevation"),
}  # fmt: skip


def since_0_1(method: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Method and configuration as they are now, of ones that 0.1 may have written with a ``network``."""
    network = str(config.get("network"))
    gone = _SPLIT_SINCE_0_1.get((method, network))
    if gone is None:
        return method, dict(config)
    kept = {name: value for name, value in config.items() if name != "network" and name not in gone}
    return f"{method}-published" if network == "published" else method, kept


def read_config(folder: Path) -> tuple[str, dict[str, Any]]:
    """Method and configuration of a saved lifter, also of one that 0.1 saved (`since_0_1`).

    Raises:
        InputError: a broken file, or fields that are missing.
    """
    saved = read_json(folder / "config.json")
    if "method" not in saved or not isinstance(saved.get("config"), dict):
        raise InputError(f"{folder / 'config.json'}: expected the fields 'method' and 'config'")
    return since_0_1(str(saved["method"]), saved["config"])


def read_tensors(
    path: Path, expected: Mapping[str, Tensor], grown: Mapping[str, tuple[int, int]] | None = None
) -> dict[str, Tensor]:
    """The tensors of a safetensors file, which must be those expected, by name and shape, and finite.

    Args:
        path: of the file.
        expected: by name.
        grown: by name, the dimension along which a tensor has more entries, at its end, than it had in earlier
            versions, and how many: files from then are read, with zeros there.

    Raises:
        InputError: no such file, not safetensors, or other tensors than expected.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with reading(path):
        try:
            tensors = load_file(path)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: not a readable safetensors file ({reason(error)})") from None
        return _checked_tensors(path, _grown(tensors, expected, grown or {}), expected)


def _grown(
    tensors: dict[str, Tensor], expected: Mapping[str, Tensor], grown: Mapping[str, tuple[int, int]]
) -> dict[str, Tensor]:
    """The tensors with zeros where an earlier version had nothing."""
    for name, (dimension, more) in grown.items():
        old = tensors.get(name)
        if old is None or name not in expected or old.ndim != expected[name].ndim:
            continue
        added = list(old.shape)
        added[dimension] += more
        if tuple(added) == tuple(expected[name].shape):
            added[dimension] = more
            tensors[name] = torch.cat([old, old.new_zeros(added)], dimension)
    return tensors


def _checked_tensors(path: Path, tensors: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in the types that the network has, which may be narrower than the file's."""
    for name, value in expected.items():
        if name not in tensors:
            raise InputError(f"{path}: tensor {name!r} is missing; the file does not fit its config.json")
        if tensors[name].shape != value.shape:
            raise InputError(
                f"{path}: tensor {name!r} has shape {tuple(tensors[name].shape)}, expected {tuple(value.shape)}"
            )
        tensors[name] = tensors[name].to(value.dtype)
        if tensors[name].is_floating_point() and not tensors[name].isfinite().all():
            raise InputError(f"{path}: tensor {name!r} holds values that are not finite")
    extra = sorted(set(tensors) - set(expected))
    if extra:
        raise InputError(f"{path}: unexpected tensor {quote(extra[0])}; the file does not fit its config.json")
    return tensors


def size_of_tensors(path: Path) -> tuple[int, int]:
    """How many tensors a safetensors file says it has, and how many numbers in all; nothing but its head is read.

    Raises:
        InputError: no such file, or not safetensors.
    """
    from safetensors import safe_open

    with reading(path):
        if not path.is_file():
            raise InputError(absent(path))
        try:
            with safe_open(path, framework="pt") as file:
                shapes = [file.get_slice(name).get_shape() for name in list(file.keys())]
        except Exception as error:  # SafetensorError, and what it means by an odd type of number
            raise InputError(f"{path}: not a readable safetensors file ({reason(error)})") from None
        return len(shapes), sum(math.prod(shape) for shape in shapes)


def write_folder(
    directory: str | Path,
    method: str,
    config: dict[str, Any],
    tensors: Mapping[str, Tensor],
    card: dict[str, Any],
    recalibration: Recalibration | None,
    others: Mapping[str, str] | None = None,
    clips: ClipErrors | None = None,
) -> None:
    """Write the folder of a saved lifter; it appears whole or not at all.

    Raises:
        InputError: the folder exists and holds anything but a saved lifter.
    """
    from safetensors.torch import save

    target = Path(directory).resolve()
    if target.exists() and (not target.is_dir() or {p.name for p in target.iterdir()} - set(FILES)):
        raise InputError(f"{directory}: exists and holds other files; choose a new folder")
    with atomic_folder(target, replace=True) as folder:
        (folder / "config.json").write_text(json.dumps({"method": method, "config": config}, indent=2) + "\n")
        # not the library's own writer, whose errors do not say that the disk is full
        weights = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
        for name, text in (others or {}).items():
            (folder / name).write_text(text)
        if recalibration is not None:
            (folder / CALIBRATION_FILE).write_text(recalibration.for_lifter(folder).to_json())
        if clips is not None:
            (folder / CLIPS_FILE).write_text(clips.for_lifter(folder).to_json())
