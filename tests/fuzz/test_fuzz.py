"""Thousands of broken files: each ends in finite numbers or in an `InputError` that names it, in time and in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz_harness import Bench, Outcome, plan, run_in_processes
from fuzz_targets import TARGETS

#: Targets that take long, or files of which the valid one is refused (which is then what is tested).
_SLOW = ("command", "h36m npz", "h36m pickle")
_REFUSED = ("result as keypoints", "result as 3D points", "command train")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    logging.disable(logging.WARNING)  # of what was skipped
    yield Bench(tmp_path_factory.mktemp("fuzz"))
    logging.disable(logging.NOTSET)


def bad(outcomes: list[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if not outcome.good]


@pytest.mark.parametrize("name", [name for name in TARGETS if not name.startswith(_REFUSED)])
def test_what_is_mutated_is_read_as_long_as_it_is_whole(bench: Bench, name: str) -> None:
    bench.valid(name)


def test_mutations_are_the_same_every_time(bench: Bench, tmp_path: Path) -> None:
    again = Bench(tmp_path)
    for name in ("keypoints plain", "keypoints npz", "observations", "recipe", "bvh", "weights mdn"):
        for seed in range(5):
            assert bench.mutated(name, seed)[2] == again.mutated(name, seed)[2]


def test_some_hundred_broken_files(bench: Bench) -> None:
    names = [name for name in TARGETS if not name.startswith(_SLOW)]
    outcomes = [bench.run(name, seed) for name, seed in plan(650, 0, names)]
    assert len(outcomes) >= 600
    assert not bad(outcomes)
    # neither is everything refused, nor nothing
    kinds = [outcome.kind for outcome in outcomes]
    assert 0.05 < kinds.count("fine") / len(kinds) < 0.8


@pytest.mark.slow
def test_ten_thousand_broken_files_and_commands() -> None:
    outcomes = run_in_processes(plan(11_000, 100_000))
    assert len(outcomes) >= 10_000
    assert not bad(outcomes)
