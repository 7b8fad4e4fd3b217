"""Whose checkpoint a file is, by the names of its tensors: said where a file of one system was given for another's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...files.errors import InputError
from ...files.tensorflow import is_bundle, names_in_bundle
from ...files.torch_files import StoredTensor, read_torch

__all__ = ["system_of"]

#: System -> names that its networks have, and no other's.
_MARKS = {
    "wehrbein_2021": r"inn\.module_list\.\d+\.",
    "yu_2021": r"lifter_(before|after)\.",
    "ronchi_2018": r"linear_stages\.\d+\.",
    "li_lee_2019": r"linear_model/",
    "duenkel_2024": r"(layers\.\d+\.(conditioner|net)\.|fc_first\.)",
}


def system_of(path: Path) -> str | None:
    """The system of `poseterior.published.originals.importing` whose code wrote a file; None where nothing tells."""
    try:
        names = list(names_in_bundle(path) if is_bundle(path) else _tensors(read_torch(path)))
    except InputError:
        return None
    return next((system for system, mark in _MARKS.items() if any(re.match(mark, name) for name in names)), None)


def _tensors(content: Any) -> Iterator[str]:
    """Names of the tensors of a file, or of a part of it."""
    held = list(content.values()) if isinstance(content, dict) else []
    for part in (content, *held):
        for name, value in part.items() if isinstance(part, dict) else ():
            if isinstance(value, StoredTensor):
                yield re.sub(r"^module\.", "", str(name))
