"""Scores of single poses: their file, what means and intervals are made of them, who is better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import poseterior as pp
from conftest import made_up_store
from poseterior.cli import main
from poseterior.data.observations import ObservationSet, save_observations
from poseterior.data.simulation.protocols import simulate
from poseterior.evaluation.collect import Collected, collect, groups_of
from poseterior.evaluation.measure import evaluate, numbers
from poseterior.evaluation.pose_scores import PoseScores, load_pose_scores, pose_scores, save_pose_scores
from poseterior.evaluation.uncertainty import STATISTICS, compare, uncertainty
from poseterior.files.errors import InputError
from poseterior.lifters import list_shipped


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_store(tmp_path_factory.mktemp("scores") / "store")


@pytest.fixture(scope="module")
def data(store: Path) -> ObservationSet:
    return simulate(store, "cmu-test", 80)


@pytest.fixture(scope="module")
def found(data: ObservationSet) -> dict[str, Collected]:
    return {name: collect(pp.load(name), data, samples=30, mode_poses=0) for name in ("mdn", "supervised")}


def at(unit: dict[str, Any], path: tuple[str, ...]) -> float:
    value: Any = unit
    for key in path:
        value = value[key]
    return value


def test_scores_of_poses_make_up_the_numbers(found: dict[str, Collected]) -> None:
    """Each statistic, from the poses' own scores, is the number of the unit."""
    unit, scores = numbers(found["mdn"]), pose_scores(found["mdn"])
    group, groups, of = scores.groups
    assert (groups, of) == (8, "clips")
    paths: dict[str, tuple[str, ...]] = {
        **{name: ("scores", name) for name in ("energy score", "CRPS", "pose energy score", "variogram score", "NLL")},
        **{name: ("estimates", "mean", name) for name in ("MPJPE", "N-MPJPE", "P-MPJPE")},
        **{f"best {name}": ("estimates", "best of 30", name) for name in ("MPJPE", "P-MPJPE")},
        **{
            f"{estimate}: {name}": ("estimates", estimate, name)
            for estimate in ("medoid", "weighted mean", "reprojection")
            for name in ("MPJPE", "P-MPJPE")
        },
        "bone spread": ("plausibility", "bone spread"), "joint limits": ("plausibility", "joint limits"),
        "calibration": ("calibration", "all", "mean"), "calibration, visible": ("calibration", "visible", "mean"),
        "calibration, missing": ("calibration", "missing", "mean"), "density coverage": ("density coverage", "error"),
        "TARP": ("TARP", "error"), "region": ("region", "mean"), "region, worst joint": ("region", "worst"),
        "region, whole pose": ("region", "pose"), "region radius": ("region", "radius"),
        "depth order": ("depth order", "accuracy"),
    }  # fmt: skip
    assert set(paths) == set(STATISTICS)
    for name, path in paths.items():
        statistic = STATISTICS[name].of(scores, group, groups)
        assert statistic is not None
        assert statistic.value == pytest.approx(at(unit, path), abs=0.006), name
        # Made-up people may all be beyond what a lifter thinks possible: then clips do not differ.
        same = statistic.value in (0.0, 1.0) or name == "density coverage"
        assert unit["uncertainty"]["half width"][name] > 0 or same, name


def test_the_file_holds_what_was_measured(found: dict[str, Collected], tmp_path: Path) -> None:
    scores = {(name, "cmu-test"): pose_scores(one) for name, one in found.items()}
    save_pose_scores(scores, tmp_path / "poses.parquet")
    again = load_pose_scores(tmp_path / "poses.parquet")
    assert list(again) == list(scores)
    for key, one in scores.items():
        assert again[key].names == one.names
        assert set(again[key].values) == set(one.values)
        for name, values in one.values.items():
            torch.testing.assert_close(again[key].values[name], values, equal_nan=True)
        assert uncertainty(again[key]) == uncertainty(one)


def test_other_tools_read_it(found: dict[str, Collected], tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    save_pose_scores({("mdn", "cmu-test"): pose_scores(found["mdn"])}, tmp_path / "poses.parquet")
    table = pandas.read_parquet(tmp_path / "poses.parquet")
    assert list(table.columns[:4]) == ["lifter", "protocol", "clip", "person"]
    assert len(table) == 80
    assert table["MPJPE"].mean() == pytest.approx(numbers(found["mdn"])["estimates"]["mean"]["MPJPE"], abs=0.006)
    assert len(table["rank"][0]) == 17


def test_other_files_are_refused(tmp_path: Path, data: ObservationSet) -> None:
    with pytest.raises(InputError, match=r"none\.parquet: no such file"):
        load_pose_scores(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(InputError, match=r"text\.parquet: not a readable Parquet file"):
        load_pose_scores(tmp_path / "text.parquet")
    save_observations(data, tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"other\.parquet: no scores of poses; `poseterior bench` writes them"):
        load_pose_scores(tmp_path / "other.parquet")


# -- who is better ---------------------------------------------------------------------------------------------


def shifted(scores: PoseScores, by: float, noise: float = 0.0) -> PoseScores:
    """The same poses with other errors."""
    generator = torch.Generator().manual_seed(4)
    clip = torch.randn(8, generator=generator)[scores.groups[0]]
    return PoseScores(scores.names, dict(scores.values) | {"MPJPE": scores.values["MPJPE"] + by + noise * clip})


def test_a_lifter_is_level_with_itself_and_worse_if_each_pose_is(found: dict[str, Collected]) -> None:
    scores = pose_scores(found["mdn"])
    same, worse, unsure = shifted(scores, 0.0), shifted(scores, 0.5), shifted(scores, 0.5, 5.0)
    rows = compare({"a": scores, "same": same, "worse": worse, "unsure": unsure}, ["MPJPE"])["MPJPE"]
    table = {(a, b): (difference, half) for a, b, difference, half in rows}
    assert table["a", "same"] == (0.0, 0.0)
    assert table["a", "worse"] == (pytest.approx(0.5, abs=1e-4), pytest.approx(0.0, abs=1e-5))
    assert table["a", "unsure"][1] > 2
    # though the number itself is off by more
    assert uncertainty(scores)["half width"]["MPJPE"] > 0.5


def test_what_is_better_depends_on_the_number(found: dict[str, Collected]) -> None:
    """More depth orders right are better; regions are better the nearer to 90 %."""
    scores = pose_scores(found["mdn"])
    right = scores.values["order right"]
    fewer = PoseScores(scores.names, dict(scores.values) | {"order right": right // 2})
    nothing = torch.zeros_like(scores.values["in the region"])
    empty = PoseScores(scores.names, dict(scores.values) | {"in the region": nothing})
    (row,) = compare({"a": scores, "b": fewer}, ["depth order"])["depth order"]
    assert row[2] > row[3] > 0
    (row,) = compare({"a": scores, "b": empty}, ["region"])["region"]
    off = abs(numbers(found["mdn"])["region"]["mean"] - 0.9)
    assert row[2] == pytest.approx(0.9 - off, abs=1e-3)
    assert row[2] > row[3]


def test_what_one_lifter_lacks_is_not_compared(found: dict[str, Collected]) -> None:
    both = {name: pose_scores(one) for name, one in found.items()}
    without = {key: value for key, value in both["supervised"].values.items() if key != "NLL"}
    both["supervised"] = PoseScores(both["supervised"].names, without)
    assert "NLL" not in compare(both)
    assert "MPJPE" in compare(both)


def test_one_clip_has_no_interval(found: dict[str, Collected]) -> None:
    scores = pose_scores(found["mdn"])
    one = PoseScores(dict(scores.names) | {"clip": ["one"] * len(scores)}, scores.values)
    assert uncertainty(one) == {}
    assert compare({"a": one, "b": one}) == {}


def test_poses_depend_on_each_other_by_clip_or_by_person() -> None:
    clips = ["a", "a", "b", "c", "d", "e"]
    assert groups_of(clips, ["x"] * 6)[1:] == (5, "clips")
    assert groups_of(clips, ["1", "2", "3", "4", "5", "5"])[1:] == (5, "people")
    assert groups_of(clips, ["1", "2", "3", "4", "5", "unknown"])[1:] == (5, "clips")
    assert groups_of([""] * 6, ["x"] * 6)[1:] == (6, "poses")
    assert groups_of(clips, ["x"] * 6)[0].tolist() == [0, 0, 1, 2, 3, 4]


# -- the same question, the same number ------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["cmu-test", "cmu-occluded"])
def test_evaluate_prints_what_bench_prints(
    store: Path, protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the printed digit, for all shipped lifters, from the store and from the observations that bench wrote."""
    few = ["--samples", "20", "--mode-poses", "0"]
    bench = ["bench", "--data", str(store), "--protocol", protocol, "--poses", "24", *few, "--out", str(tmp_path)]
    assert main(bench) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    table = {first: rest for first, *rest in reversed(lines)}  # sentences about lifters come after their rows
    for name in list_shipped():
        assert main(["evaluate", name, "--data", str(tmp_path / "observations" / f"{protocol}.parquet"), *few]) == 0
        printed = [line.strip("┃│ ").replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
        mean = next(words for words in printed if words[:1] == ["mean"])
        energy = next(words for words in printed if words[:2] == ["energy", "score"])
        calibration = next(words for words in printed if words[:1] == ["all"])
        best = next(words for words in printed if words[:3] == ["best", "of", "20"])
        words = table[name]
        assert words[:2] == energy[-2:], name
        assert words[2:4] == mean[1:3], name
        assert words[4:6] == mean[5:7], name
        assert words[6:8] == calibration[1:3], name
        assert words[8].lstrip("+") == calibration[4].lstrip("+"), name
        assert words[-2:] == best[4:6], name


def test_evaluate_gives_what_bench_keeps(store: Path, tmp_path: Path) -> None:
    from poseterior.evaluation.plan import entries, tasks
    from poseterior.evaluation.run import Settings, run_benchmark

    settings = Settings(samples=20, poses=30, sweep_poses=20, mode_poses=4)
    result = run_benchmark(entries(["mdn", "flow"]), tasks(["cmu-test", "cmu-motion"], store), tmp_path, settings)
    for unit in result["units"]:
        again = evaluate(unit["lifter"], store, unit["protocol"], poses=30, samples=20, mode_poses=4)
        differ = ("lifter", "protocol", "cost", "seconds")
        assert {k: v for k, v in unit.items() if k not in differ} == {k: again[k] for k in unit if k not in differ}
    assert result["comparisons"]["cmu-test"]["MPJPE"][0][:2] == ["mdn", "flow"]
    kept = load_pose_scores(tmp_path / "poses.parquet")
    assert list(kept) == [(name, protocol) for protocol in ("cmu-test", "cmu-motion") for name in ("mdn", "flow")]
