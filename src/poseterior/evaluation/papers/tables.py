"""A table as a paper prints it, and what several of them are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ...data.sets.h36m import ACTIONS

__all__ = ["PaperTable", "action_table", "over_actions"]

#: How the actions of Human3.6M are called in papers' tables, in their order.
_SHORT = dict(
    zip(
        ACTIONS,
        ("Direct.", "Disc.", "Eat", "Greet", "Phone", "Photo", "Pose", "Purch.", "Sit", "SitD.", "Smoke", "Wait",
         "WalkD.", "WalkT.", "Walk"),
        strict=True,
    )
)  # fmt: skip


@dataclass(frozen=True)
class PaperTable:
    """Rows and columns of numbers.

    Attributes:
        title: what is measured, with its unit.
        columns: their headings.
        rows: by heading; NaN where a number cannot be had.
        digits: behind the point.
        notes: how it was measured.
    """

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]
    digits: int = 1
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON has no NaN: None there."""
        rows = {
            name: [None if math.isnan(v) else round(v, self.digits + 2) for v in row] for name, row in self.rows.items()
        }
        return asdict(self) | {"rows": rows}


def _actions(found: Sequence[str]) -> list[str]:
    """Each action once: in the papers' order where it is one of theirs."""
    return sorted(set(found), key=lambda name: (ACTIONS.index(name) if name in ACTIONS else len(ACTIONS), name))


def over_actions(values: Tensor, actions: Sequence[str]) -> tuple[float, ...]:
    """Mean over the poses of each action, in the order of `action_table`, and over the actions, unweighted.

    Args:
        values: ``(poses,)``; NaN counts nowhere.
        actions: of each pose.
    """
    each = []
    for name in _actions(actions):
        mine = torch.tensor([action == name for action in actions])
        each.append(float(values[mine].double().nanmean()))
    return (*each, float(torch.tensor(each).nanmean()))


def action_table(
    title: str, rows: Mapping[str, Tensor], actions: Sequence[str], notes: tuple[str, ...] = (), digits: int = 1
) -> PaperTable:
    """Actions as columns with their average, as papers on Human3.6M print them.

    Args:
        title: see `PaperTable`.
        rows: ``(poses,)`` each.
        actions: of each pose.
        notes, digits: see `PaperTable`.
    """
    columns = tuple(_SHORT.get(name, name) for name in _actions(actions))
    means = {name: over_actions(values, actions) for name, values in rows.items()}
    return PaperTable(title, (*columns, "Avg."), means, digits, notes)
