"""A lifter that is ready is taken as it is; one that is not is made so, down to its parts."""

from __future__ import annotations

import pytest
import torch

import poseterior as pp
from poseterior.lifting.draws import ready


def test_a_part_that_trains_stops() -> None:
    lifter = pp.load("mdn")
    assert ready(lifter, "cpu") is lifter
    parts = [module for module in lifter.modules() if module is not lifter]
    parts[-1].train()
    assert not lifter.training
    assert not any(module.training for module in ready(lifter, "cpu").modules())


def test_it_goes_where_it_is_asked_for() -> None:
    lifter = pp.load("mdn")
    moved = ready(lifter, "meta")
    assert {parameter.device for parameter in moved.parameters()} == {torch.device("meta")}


def test_one_that_is_ready_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    lifter = pp.load("mdn")
    for name in ("to", "eval"):
        monkeypatch.setattr(lifter, name, None)
    assert ready(lifter, "cpu") is lifter
