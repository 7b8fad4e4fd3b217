"""Error and radius by how far a pose is from what was trained on."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch

import poseterior as pp
from conftest import made_up_mocap, made_up_store
from poseterior.cli import main
from poseterior.data.simulation.protocols import simulate
from poseterior.data.store import PoseStore
from poseterior.evaluation.collect import collect
from poseterior.evaluation.measure import evaluate, measure
from poseterior.evaluation.novelty import NAME, by_novelty, flatness, reference
from poseterior.evaluation.plan import entries, tasks
from poseterior.evaluation.pose_scores import load_pose_scores
from poseterior.evaluation.run import Settings, run_benchmark
from poseterior.metrics import accuracy

SMALL = Settings(samples=20, poses=40, sweep_poses=24, mode_poses=0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_store(tmp_path_factory.mktemp("novelty") / "store")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of other poses of the same kind."""
    folder = tmp_path_factory.mktemp("novelty") / "known"
    mocap = made_up_mocap(frames=120, clips=2, seed=5)
    with PoseStore.create(folder) as writer:
        for c, name in enumerate(mocap.clip_names):
            rows = mocap.clip == c
            writer.add(name, mocap.positions[rows], mocap.rotations[rows], mocap.h36m17[rows], fps=10.0, source="x")
    return folder


def test_poses_of_the_reference_are_not_new(store: Path, known: Path) -> None:
    """Seen by any camera, on any body, mirrored: the pose is at distance 0 from itself, and away from others."""
    data = simulate(store, "cmu-test")
    own = reference(store).distances(data)
    assert float(own.max()) < 0.5
    others = reference(known).distances(data)
    assert float(others.min()) > 5.0
    assert reference(store).hash != reference(known).hash
    assert reference(known).name == "known"


def test_quartiles_hold_what_they_say(store: Path, known: Path) -> None:
    data = simulate(store, "cmu-test", 41)
    found = collect(pp.load("mdn"), data, 20, 0, mode_poses=0)
    distance = reference(known).distances(data)
    found.add(NAME, distance)
    rows = by_novelty(found)
    assert [row["poses"] for row in rows] == [11, 10, 10, 10]
    assert [row["from"] for row in rows] == sorted(row["from"] for row in rows)
    for row, own in zip(rows, distance.argsort(stable=True).tensor_split(4), strict=True):
        assert (row["from"], row["to"]) == pytest.approx(
            (float(distance[own].min()), float(distance[own].max())), abs=0.051
        )
        error = 1000 * accuracy.joint_errors(found["pose: mean"], found["truth"], found["valid"])[own][:, 1:]
        assert row["error"] == pytest.approx(float(error.mean()), abs=0.01)
        assert row["radius"] == pytest.approx(float(found["region radius"][own][:, 1:].mean()), abs=0.01)
        assert row["ratio"] == pytest.approx(row["error"] / row["radius"], abs=1e-3)
        assert row["region"] == pytest.approx(float(found["region inside"][own][:, 1:].float().mean()), abs=1e-4)
    assert flatness([{"ratio": r} for r in (0.5, 0.5, 0.5, 0.7)]) == pytest.approx(0.15 / 0.55)
    few = collect(pp.load("mdn"), simulate(store, "cmu-test", 10), 20, 0, mode_poses=0)
    few.add(NAME, torch.rand(10))
    assert by_novelty(few) == []


def test_it_is_measured_only_where_it_is_asked_for(store: Path, known: Path) -> None:
    data = simulate(store, "cmu-test", 40)
    assert "by novelty" not in measure(pp.load("mdn"), data, samples=20, mode_poses=0)
    asked = evaluate("mdn", data, samples=20, mode_poses=0, novelty=known)
    plain = evaluate("mdn", data, samples=20, mode_poses=0)
    assert len(asked["by novelty"]) == 4
    assert asked["estimates"] == plain["estimates"]


def test_the_benchmark_reports_it(store: Path, known: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench"
    command = ["bench", "mdn", "--data", str(store), "--protocol", "cmu-test", "sigma-4", "--out", str(out)]
    command += ["--samples", "20", "--poses", "40", "--sweep-poses", "24", "--mode-poses", "0"]
    assert main([*command, "--novelty", str(known)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"mdn: error over 90 % radius \d\.\d\d, ", printed.replace("\n", " "))
    result = json.loads((out / "bench.json").read_text())
    assert result["novelty"] == "known"
    assert all(len(unit["by novelty"]) == 4 for unit in result["units"])
    page = (out / "report.html").read_text()
    assert "When poses are new" in page
    assert "Novelty on cmu-test: quartiles of the distance to the nearest training pose" in page
    scores = load_pose_scores(out / "poses.parquet")[("mdn", "cmu-test")]
    expected = reference(known).distances(simulate(store, "cmu-test", 40))
    torch.testing.assert_close(scores.values["novelty"], expected)
    assert main(command) == 0  # the same units without it are measured anew
    plain = json.loads((out / "bench.json").read_text())
    assert "novelty" not in plain
    assert all("by novelty" not in unit for unit in plain["units"])
    assert "When poses are new" not in (out / "report.html").read_text()
    assert main([*command, "--novelty", str(tmp_path / "none")]) == 2


def test_a_reference_changes_no_other_number(store: Path, known: Path, tmp_path: Path) -> None:
    lifters, protocols = entries(["mdn"]), tasks(["people"], store)
    with_it = run_benchmark(lifters, protocols, tmp_path / "a", SMALL, novelty=reference(known))["units"][0]
    without = run_benchmark(lifters, protocols, tmp_path / "b", SMALL)["units"][0]
    for name in ("estimates", "scores", "calibration", "region"):
        assert with_it[name] == without[name]
    assert all(math.isfinite(row["ratio"]) for row in with_it["by novelty"])
