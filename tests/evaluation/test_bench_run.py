"""The comparison as a whole: plan, units, cache, result, command line. Metrics have their own tests."""

import dataclasses
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import poseterior as pp
from conftest import made_up_store
from poseterior.cli import main
from poseterior.data.simulation.protocols import PROTOCOLS, simulate
from poseterior.evaluation import run as bench_run
from poseterior.evaluation.collect import collect
from poseterior.evaluation.measure import _velocity_pairs, measure
from poseterior.evaluation.peers import PeerLifter
from poseterior.evaluation.plan import entries, tasks
from poseterior.evaluation.pose_scores import load_pose_scores
from poseterior.evaluation.run import FORMAT, Settings, run_benchmark
from poseterior.files.errors import InputError
from poseterior.lifters import list_shipped

SMALL = Settings(samples=20, poses=40, sweep_poses=24, mode_poses=4)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_store(tmp_path_factory.mktemp("bench") / "store")


@pytest.fixture(scope="module")
def unit(store: Path) -> dict:
    return measure(pp.load("mdn"), simulate(store, "cmu-test", 40), samples=50, mode_poses=4)


def numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers(v)]
    if isinstance(value, list):
        return [n for v in value for n in numbers(v)]
    return [value] if isinstance(value, float) else []


def test_a_unit_is_json_without_nan(unit: dict) -> None:
    assert json.loads(json.dumps(unit, allow_nan=False)) == unit
    assert all(math.isfinite(n) for n in numbers(unit))


def test_oracles_are_marked_and_are_not_beaten(unit: dict) -> None:
    estimates = unit["estimates"]
    assert unit["oracles"] == ["best of 50", "J-Agg"]
    honest = [name for name in estimates if name not in unit["oracles"] and name not in ("mean", "mode")]
    assert {"medoid", "weighted mean", "reprojection"} <= set(honest)
    assert estimates["best of 50"]["MPJPE"] <= estimates["medoid"]["MPJPE"]
    assert unit["best of N"]["MPJPE"][-1] == estimates["best of 50"]["MPJPE"]
    assert unit["best of N"]["MPJPE"] == sorted(unit["best of N"]["MPJPE"], reverse=True)


def test_velocities_only_where_frames_are_in_a_row(store: Path) -> None:
    data = simulate(store, "cmu-motion", 40)
    moving = measure(pp.load("mdn"), data, samples=20, mode_poses=0)
    assert moving["estimates"]["mean"]["MPJVE"] > 0
    assert moving["plausibility"]["MPSCE"] > 0
    still = measure(pp.load("mdn"), replace(data, protocol="cmu-test v1"), samples=20, mode_poses=0)
    assert "MPJVE" not in still["estimates"]["mean"]
    assert "MPSCE" not in still["plausibility"]


def test_a_camera_stands_still_throughout_a_clip(store: Path) -> None:
    data = simulate(store, "cmu-motion", 40)
    keypoints, ids = data.observations.keypoints, data.observations.keypoints.ids
    for name in {i.file for i in ids}:
        own = torch.tensor([i.file == name for i in ids])
        assert len(keypoints.intrinsics[own].unique(dim=0)) == 1
        assert len(data.observations.root[own].unique(dim=0)) == 1
    assert len(data.observations.root.unique(dim=0)) == len({i.file for i in ids})


@pytest.mark.parametrize(("name", "count"), [("masks-0", 0), ("masks-4", 4), ("masks-8", 8), ("masks-legs", 4)])
def test_masks_hide_what_they_say(store: Path, name: str, count: int) -> None:
    data = simulate(store, name, 40)
    assert ((~data.observations.keypoints.visible).sum(-1) == count).all()
    whole = simulate(store, "masks-0", 40)
    assert torch.equal(data.observations.pose, whole.observations.pose)
    seen = data.observations.keypoints.visible
    assert torch.equal(data.observations.keypoints.xy[seen], whole.observations.keypoints.xy[seen])


def test_noise_of_a_sweep_is_what_is_reported(store: Path) -> None:
    data = simulate(store, "noise-10", 40).observations
    metres = data.keypoints.covariance.diagonal(dim1=-2, dim2=-1).sqrt() * (
        data.root[:, 2:] / data.keypoints.intrinsics[:, :1]
    ).unsqueeze(-1)
    torch.testing.assert_close(metres, torch.full_like(metres, 0.010), rtol=1e-3, atol=0)


def test_rotations_are_measured_on_articulated_people(store: Path) -> None:
    data = simulate(store, "cmu-bodies", 20)
    assert measure(pp.load("rotations"), data, samples=20, mode_poses=0)["rotations"]["MGEO"] > 0
    assert "rotations" not in measure(pp.load("mdn"), data, samples=20, mode_poses=0)


# -- the run ---------------------------------------------------------------------------------------------------


def test_a_second_run_measures_nothing_twice(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lifters, protocols = entries(["mdn", "supervised"]), tasks(["cmu-test", "masks-4"], store)
    first = run_benchmark(lifters, protocols, tmp_path / "out", SMALL)
    assert [(u["lifter"], u["protocol"]) for u in first["units"]] == [
        (lifter, protocol) for protocol in ("cmu-test", "masks-4") for lifter in ("mdn", "supervised")
    ]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        patch.setattr(bench_run, "collect", refuse)
        again = run_benchmark(lifters, protocols, tmp_path / "out", SMALL)
    assert again["units"] == first["units"]
    assert json.loads((tmp_path / "out" / "bench.json").read_text()) == again


@pytest.mark.parametrize("finished", [0, 1])
def test_an_interrupted_bench_says_that_the_same_command_goes_on(
    finished: int, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, done = tmp_path / "out", []

    def stops(*args, **kwargs):  # type: ignore[no-untyped-def]
        if len(done) == finished:
            raise KeyboardInterrupt
        done.append(args)
        return collect(*args, **kwargs)

    monkeypatch.setattr(bench_run, "collect", stops)
    command = ["bench", "mdn", "--data", str(store), "--protocol", "masks", "--out", str(out)]
    assert main([*command, "--samples", "20", "--poses", "24", "--sweep-poses", "24", "--mode-poses", "2"]) == 130
    assert capsys.readouterr().err.strip().splitlines()[-2:] == [
        "stopped; what is finished is kept, and the same command goes on with the rest"
        if finished
        else "stopped, and nothing is kept; the same command begins again",
        "poseterior: interrupted",
    ]


def test_nothing_is_left_where_nothing_could_be_measured(store: Path, tmp_path: Path) -> None:
    def fails(*_: object) -> None:
        raise InputError("no such poses")

    lifters, protocols = entries(["mdn"]), tasks(["masks-0"], store)
    protocols = [dataclasses.replace(task, observe=fails) for task in protocols]
    with pytest.raises(InputError, match=r"^no such poses$"):
        run_benchmark(lifters, protocols, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_a_killed_run_keeps_what_was_finished(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lifters, protocols = entries(["mdn"]), tasks(["masks-0", "masks-2", "masks-4"], store)
    done = []

    def dies(lifter, data, *args, **kwargs):  # type: ignore[no-untyped-def]
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(data.protocol)
        return collect(lifter, data, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(bench_run, "collect", dies)
        with pytest.raises(KeyboardInterrupt):
            run_benchmark(lifters, protocols, tmp_path / "out", SMALL)
    assert not (tmp_path / "out" / "bench.json").exists()
    assert not list((tmp_path / "out").rglob("*.partial"))

    def counts(lifter, data, *args, **kwargs):  # type: ignore[no-untyped-def]
        done.append(data.protocol)
        return collect(lifter, data, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(bench_run, "collect", counts)
        result = run_benchmark(lifters, protocols, tmp_path / "out", SMALL)
    assert done == ["masks-0 v1", "masks-2 v1", "masks-4 v1"]
    assert len(result["units"]) == 3


def test_other_content_is_measured_anew(store: Path, tmp_path: Path) -> None:
    protocols = tasks(["masks-0"], store)
    lifter = pp.load("supervised")
    lifter.save_pretrained(tmp_path / "mine")
    for change in (False, True):
        if change:
            with torch.no_grad():
                next(lifter.parameters()).add_(0.1)
            lifter.save_pretrained(tmp_path / "mine")
        run_benchmark(entries([str(tmp_path / "mine")]), protocols, tmp_path / "out", SMALL)
    run_benchmark(entries([str(tmp_path / "mine")]), protocols, tmp_path / "out", Settings(20, 40, 30, 4))
    assert len(list((tmp_path / "out" / "units").glob("mine--masks-0--*.json"))) == 3


def test_a_broken_unit_is_measured_again(store: Path, tmp_path: Path) -> None:
    lifters, protocols = entries(["supervised"]), tasks(["masks-0"], store)
    run_benchmark(lifters, protocols, tmp_path / "out", SMALL)
    (path,) = (tmp_path / "out" / "units").glob("*.json")
    path.write_text('{"half')
    assert len(run_benchmark(lifters, protocols, tmp_path / "out", SMALL)["units"]) == 1
    path.with_suffix(".parquet").write_bytes(b"half")
    assert len(run_benchmark(lifters, protocols, tmp_path / "out", SMALL)["units"]) == 1
    assert load_pose_scores(path.with_suffix(".parquet"))


def test_all_shipped_lifters_are_the_default() -> None:
    assert [one.name for one in entries()] == list(list_shipped())


def test_observation_files_are_protocols(store: Path, tmp_path: Path) -> None:
    from poseterior.data.observations import save_observations

    save_observations(simulate(store, "cmu-clean", 60), tmp_path / "mine.parquet")
    (planned,) = tasks(observations=[tmp_path / "mine.parquet"])
    assert planned.name == "mine"
    assert len(planned.observe(25)) == 25


def test_without_names_every_protocol_with_data_runs(store: Path) -> None:
    others = ("bandai-cross", "bandai-motion", "strangers", "strangers-motion")
    assert [one.name for one in tasks(data=store)] == [n for n in PROTOCOLS if n not in others]
    assert [one.name for one in tasks(data=store, strangers=store)][:2] == ["people", "strangers"]
    assert "bandai-cross" in [one.name for one in tasks(data=store, cross=store)]
    assert {one.group for one in tasks(["pitch", "noise"], data=store)} == {"pitch", "noise"}


def test_plain_refusals(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^unknown protocol 'x'; known: people, .*; or a group: main, masks, noise"):
        tasks(["x"], store)
    with pytest.raises(InputError, match=r"^--protocol strangers: needs --strangers STORE$"):
        tasks(["strangers"], store)
    with pytest.raises(InputError, match=r"^--protocol bandai-cross: needs --cross STORE$"):
        tasks(["bandai-cross"], store)
    with pytest.raises(InputError, match=r"^nothing to measure on: pass --data STORE"):
        tasks()
    with pytest.raises(InputError, match=r"^mdn: named twice; name it once$"):
        entries(["mdn", "mdn"])
    with pytest.raises(InputError, match=r"^--results mine: expected NAME=PATH"):
        entries(results=["mine"])
    with pytest.raises(InputError, match=r"^--samples: expected at least 20, got 3$"):
        Settings(samples=3).check()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"is a file; expected a folder$"):
        run_benchmark(entries(["mdn"]), tasks(["masks-0"], store), tmp_path / "file", SMALL)


def test_the_command(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench"
    command = ["bench", "mdn", "supervised", "--data", str(store), "--protocol", "cmu-test", "masks", "--out", str(out)]
    command += ["--samples", "20", "--poses", "30", "--sweep-poses", "20", "--mode-poses", "2"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "oracle" in printed
    assert "mdn" in printed
    result = json.loads((out / "bench.json").read_text())
    assert result["format"] == FORMAT == "poseterior-bench-2"
    assert len(result["units"]) == 2 * 8
    assert "<html" in (out / "report.html").read_text()
    assert main(["bench", "--data", str(tmp_path / "no")]) == 2
    assert "error" in capsys.readouterr().err


# -- what peers and small sets of poses must not change --------------------------------------------------------


def given(order: str) -> PeerLifter:
    """The samples of a shipped lifter in some order."""

    def function(keypoints: pp.Keypoints2D, n: int) -> torch.Tensor:
        drawn = pp.load("mdn")(keypoints).sample((n,), seed=0)
        return drawn if order == "drawn" else drawn[drawn[:, :, 13, 2].mean(1).argsort()]

    return PeerLifter(function, 50, order)


def test_the_order_of_samples_does_not_matter(store: Path) -> None:
    data = simulate(store, "cmu-test", 100)
    drawn, ordered = (measure(given(order), data, 50, mode_poses=0) for order in ("drawn", "sorted"))
    for name in ("energy score", "pose energy score", "CRPS"):
        assert drawn["scores"][name] == pytest.approx(ordered["scores"][name], rel=0.01)


def test_a_function_cannot_change_its_input(store: Path) -> None:
    def vandal(keypoints: pp.Keypoints2D, n: int) -> torch.Tensor:
        drawn = pp.load("supervised")(keypoints).sample((n,), seed=0)
        keypoints.xy.zero_()
        keypoints.visible.fill_(False)
        return drawn

    def honest(keypoints: pp.Keypoints2D, n: int) -> torch.Tensor:
        return pp.load("supervised")(keypoints).sample((n,), seed=0)

    data = simulate(store, "cmu-test", 30)
    units = [measure(PeerLifter(f, 20, "peer"), data, 20, mode_poses=0) for f in (vandal, honest)]
    assert units[0]["estimates"] == units[1]["estimates"]
    assert units[0]["calibration"] == units[1]["calibration"]


def test_more_samples_than_asked_for(store: Path) -> None:
    """All numbers are of as many samples, drawn from the given ones, whatever comes first."""
    data = simulate(store, "cmu-test", 60)

    def same_first(keypoints: pp.Keypoints2D, n: int) -> torch.Tensor:
        drawn = pp.load("supervised", evidence=False)(keypoints).sample((n,), seed=0)
        drawn[: n // 4] = drawn[0]
        return drawn

    unit = measure(PeerLifter(same_first, 120, "peer"), data, 30, mode_poses=0)
    assert not any(check["kind"] == "identical" for check in unit["checks"])
    assert unit["region"]["mean"] > 0.5


def test_few_poses_leave_out_what_they_cannot_tell(store: Path) -> None:
    data = simulate(store, "cmu-test", 3)
    unit = measure(pp.load("mdn"), data, 20, mode_poses=0)
    assert "SBC" not in unit
    assert unit["scores"]["energy score"] > 0
    one_clip = simulate(store, "cmu-test", 40)
    keypoints = one_clip.observations.keypoints
    ids = [one._replace(file="one") for one in keypoints.ids]
    observations = replace(one_clip.observations, keypoints=keypoints._replace(ids=ids))
    assert "TARP" not in measure(pp.load("mdn"), replace(one_clip, observations=observations), 20, mode_poses=0)


def test_poses_without_truth_are_refused(store: Path) -> None:
    data = simulate(store, "cmu-test", 20)
    observed = data.observations.observed.clone()
    observed[3] = False
    wrong = replace(data, observations=replace(data.observations, observed=observed))
    with pytest.raises(InputError, match=r"^1 of 20 poses have no 3D pose to compare with; leave them out"):
        measure(pp.load("mdn"), wrong, 20)


def test_floors_are_of_as_many_observations(unit: dict) -> None:
    calibration = unit["calibration"]
    assert calibration["missing"]["floor"] > 2 * calibration["visible"]["floor"] > 0


def test_more_refusals(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--protocol masks: needs --data STORE$"):
        tasks(["masks"], observations=[tmp_path / "x.parquet"])
    with pytest.raises(InputError, match=r"x\.parquet: no such file$"):
        tasks(observations=[tmp_path / "x.parquet"])
    with pytest.raises(InputError, match=r"^nothing to compare: name at least one lifter and one protocol$"):
        run_benchmark([], tasks(["masks-0"], store), tmp_path / "out")
    assert [one.name for one in tasks("masks-0", store)] == ["masks-0"]


def test_a_broken_file_does_not_end_the_run(store: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    protocols = tasks(["masks-0"], store, observations=[tmp_path / "broken.parquet"])
    result = run_benchmark(entries(["supervised"]), protocols, tmp_path / "out", SMALL)
    assert len(result["units"]) == 1
    assert result["skipped"][0]["protocol"] == "broken"
    assert "not a readable Parquet file" in result["skipped"][0]["reason"]


def test_rank_histograms_count_every_pose(unit: dict) -> None:
    for name, counts in unit["SBC"]["histograms"].items():
        assert len(counts) == 20
        assert sum(counts) == 40, name


def test_velocities_do_not_depend_on_the_order_of_rows(store: Path) -> None:
    """Rows of a table that was joined elsewhere; clips of other rates beside it keep their own step."""
    data = simulate(store, "cmu-motion", 40)
    keypoints = data.observations.keypoints
    pairs = {tuple(keypoints.ids[row] for row in pair) for pair in _velocity_pairs(data).tolist()}
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    shuffled = replace(
        data, observations=data.observations[order], action=tuple(data.action[i] for i in order.tolist()),
        subject=tuple(data.subject[i] for i in order.tolist()),
    )  # fmt: skip
    ids = shuffled.observations.keypoints.ids
    assert {tuple(ids[row] for row in pair) for pair in _velocity_pairs(shuffled).tolist()} == pairs
    assert len(pairs) > 20
    steps = {file: {b.frame - a.frame for a, b in pairs if a.file == file} for file in {a.file for a, _ in pairs}}
    assert all(len(own) == 1 for own in steps.values())
    first = keypoints.ids[0].file
    slower = [i._replace(frame=7 * i.frame) if i.file == first else i for i in keypoints.ids]
    other = replace(data, observations=replace(data.observations, keypoints=keypoints._replace(ids=slower)))
    assert len(_velocity_pairs(other)) == len(pairs)
