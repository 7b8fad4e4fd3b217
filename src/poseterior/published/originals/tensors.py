"""Tensors by the names that the original code gave them, and by ours: one table a system, read both ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...files.checks import quote
from ...files.errors import InputError

__all__ = ["Pair", "batch_norm", "linear", "to_ours", "to_theirs", "with_counters"]

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Pair:
    """A tensor of theirs and the one of ours that holds the same numbers.

    Attributes:
        theirs, ours: names.
        rows: ours' row i is their row ``rows[i]``; None: as they are.
        columns: likewise.
        transposed: theirs multiplies from the other side; rows and columns are ours'.
    """

    theirs: str
    ours: str
    rows: tuple[int, ...] | None = None
    columns: tuple[int, ...] | None = None
    transposed: bool = False

    def shape_of_theirs(self, ours: Tensor) -> tuple[int, ...]:
        """What theirs must have; no permutation changes it."""
        return tuple(reversed(ours.shape)) if self.transposed else tuple(ours.shape)

    def read(self, theirs: NDArray[Any]) -> NDArray[Any]:
        """Theirs as ours."""
        value = theirs.T if self.transposed else theirs
        value = value if self.rows is None else value[list(self.rows)]
        return value if self.columns is None else value[:, list(self.columns)]

    def write(self, ours: NDArray[Any]) -> NDArray[Any]:
        """Ours as theirs: the inverse of `read`."""
        value = ours if self.rows is None else ours[np.argsort(self.rows)]
        value = value if self.columns is None else value[:, np.argsort(self.columns)]
        return np.array(value.T if self.transposed else value, order="C")


def linear(theirs: str, ours: str, **changes: Any) -> list[Pair]:
    """Weight and bias of a linear layer."""
    rows = {"rows": changes["rows"]} if "rows" in changes else {}
    return [
        Pair(f"{theirs}.weight", f"{ours}.weight", **changes),
        Pair(f"{theirs}.bias", f"{ours}.bias", **rows),
    ]


def batch_norm(theirs: str, ours: str) -> list[Pair]:
    """Scale, shift and moving statistics of a batch norm, without the counter, which some versions do not have."""
    return [Pair(f"{theirs}.{n}", f"{ours}.{n}") for n in ("weight", "bias", "running_mean", "running_var")]


def with_counters(pairs: Iterable[Pair]) -> list[Pair]:
    """A table with the number of batches that each batch norm has seen, behind its variance, where PyTorch has it."""
    table = []
    for pair in pairs:
        table.append(pair)
        if pair.theirs.endswith(".running_var"):
            theirs, ours = (name.replace("running_var", "num_batches_tracked") for name in (pair.theirs, pair.ours))
            table.append(Pair(theirs, ours))
    return table


def to_ours(
    pairs: Iterable[Pair], theirs: Arrays, ours: Mapping[str, Tensor], where: str, ignored: str = "(?!)"
) -> dict[str, Tensor]:
    """Our state, with every tensor that the table names taken from theirs, bit for bit.

    Args:
        pairs: the table.
        theirs: what the file holds.
        ours: state of a network of the right size; what the table does not name (counters, fixed orders) stays.
        where: the file, for messages.
        ignored: regular expression of names of theirs that have no place in ours.

    Raises:
        InputError: tensors that are missing, surplus, of another shape or kind, or not finite.
    """
    table = {pair.theirs: pair for pair in pairs}
    missing = [name for name in table if name not in theirs]
    surplus = [name for name in theirs if name not in table and not re.fullmatch(ignored, name)]
    if missing or surplus:
        parts = [f"{_listed(names)} {what}" for names, what in ((missing, "missing"), (surplus, "surplus")) if names]
        raise InputError(f"{where}: not the published network: {'; '.join(parts)}")
    state = dict(ours)
    for name, pair in table.items():
        found, expected = np.asarray(theirs[name]), pair.shape_of_theirs(ours[pair.ours])
        if found.shape != expected:
            raise InputError(f"{where}: tensor {name!r} has shape {found.shape}; expected {expected}")
        kinds, wanted = ("f", "floating-point") if ours[pair.ours].is_floating_point() else ("iu", "whole")
        if found.dtype.kind not in kinds:
            raise InputError(f"{where}: tensor {name!r} holds {found.dtype}; expected {wanted} numbers")
        if not np.isfinite(found).all():
            raise InputError(f"{where}: tensor {name!r} holds values that are not finite")
        # a float64 checkpoint keeps its precision no longer than ours has it
        state[pair.ours] = torch.from_numpy(np.array(pair.read(found), order="C")).to(ours[pair.ours].dtype)
    return state


def to_theirs(pairs: Iterable[Pair], ours: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """The tensors that the original code expects, by its names and in the table's order."""
    return {pair.theirs: pair.write(ours[pair.ours].detach().cpu().numpy()) for pair in pairs}


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more are" if len(names) > 5 else " are" if len(names) > 1 else " is"
    return ", ".join(quote(name) for name in names[:5]) + more
