"""What the benchmark says of clips beside their frames."""

import json
import math
from pathlib import Path

import pytest

import poseterior as pp
from conftest import made_up_store
from poseterior.data.simulation.protocols import simulate
from poseterior.distributions.clip_errors import ClipErrors
from poseterior.evaluation.clip_units import clip_unit
from poseterior.evaluation.clips import measure_clips
from poseterior.evaluation.plan import Entry, tasks
from poseterior.evaluation.run import Settings, run_benchmark
from poseterior.lifting.clips import SMOOTHING


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_store(tmp_path_factory.mktemp("clips") / "store")


@pytest.fixture(scope="module")
def mdn():
    lifter = pp.load("mdn")
    lifter.clips = ClipErrors(recalibration=lifter.recalibration)
    return lifter


@pytest.fixture(scope="module")
def unit(mdn, store):
    return clip_unit(SMOOTHING, mdn, simulate(store, "cmu-motion", 240), 30.0, 24, 1, course=True)


def test_numbers_are_those_of_measure_clips_and_differences_theirs(unit, mdn, store):
    alone = measure_clips(SMOOTHING, mdn, simulate(store, "cmu-motion", 240), 30.0, samples=24, seed=1, raw=False)
    for kind in ("frames", "clip"):
        same = {name: value for name, value in unit[kind].items() if name != "milliseconds a frame"}
        assert same == {name: value for name, value in alone[kind].items() if name != "milliseconds a frame"}
    for name in ("MPJPE", "acceleration error", "energy score", "knee held"):
        change, half = unit["difference"][name]
        assert change == pytest.approx(unit["clip"][name] - unit["frames"][name], abs=2e-4)
        assert half >= 0
    assert not {"calibration", "ranks", "valid"} & set(unit["difference"])
    assert json.loads(json.dumps(unit, allow_nan=False)) == unit


def test_a_course_has_a_row_for_every_frame(unit):
    course = unit["course"]
    count = len(course["seconds"])
    assert count >= 5
    assert course["seconds"][1] == pytest.approx(1 / 30, abs=1e-4)
    assert set(course["places"]) == {"right_wrist", "left_ankle", "pelvis before the camera"}
    for axes in course["places"].values():
        for one in axes.values():
            assert all(len(values) == count for values in one.values())
            assert all(
                low <= mean <= high for low, mean, high in zip(one["low"], one["mean"], one["high"], strict=True)
            )
    knee = course["angles"]["left_knee_flexion"]
    assert {"truth", "middle", "low", "high", "frames middle", "frames low", "frames high"} == set(knee)
    assert course["calibrated"]


def test_frames_that_nobody_saw_have_no_answer_of_their_own(mdn, store):
    found = clip_unit(SMOOTHING, mdn, simulate(store, "gaps", 400), 30.0, 20, 1, course=True)
    course = found["course"]
    hidden = [row for row, shown in enumerate(course["shown"]) if not shown]
    one = course["places"]["left_ankle"]["z"]
    assert all(one["frames"][row] is None and one["mean"][row] is not None for row in hidden)
    assert "missing: MPJPE" in found["clip"]


def test_units_of_measured_lifters_have_clips_where_frames_are_in_a_row(mdn, store, tmp_path):
    unmeasured = pp.load("mdn")
    unmeasured.clips = None
    lifters = [Entry("measured", "weights", mdn, "a"), Entry("not", "weights", unmeasured, "b")]
    settings = Settings(samples=20, poses=40, sweep_poses=24, mode_poses=0)
    planned = tasks(["cmu-motion", "cmu-test"], store)
    assert [task.fps for task in planned] == [None, 30.0]
    result = run_benchmark(lifters, planned, tmp_path, settings, clips=SMOOTHING)
    having = {(one["lifter"], one["protocol"]) for one in result["units"] if "clips" in one}
    assert having == {("measured", "cmu-motion")}
    # a second run measures nothing anew, and without the method clips are another unit
    again = run_benchmark(lifters, planned, tmp_path, settings, clips=SMOOTHING)
    assert again["units"] == result["units"]
    assert not any("clips" in one for one in run_benchmark(lifters, planned, tmp_path, settings)["units"])


def test_motions_of_other_people_are_on_their_stores(store):
    assert [task.name for task in tasks(["strangers-motion"], strangers=store)] == ["strangers-motion"]
    assert [task.name for task in tasks(["bandai-motion"], cross=store)] == ["bandai-motion"]
    with pytest.raises(pp.InputError, match=r"--protocol bandai-motion: needs --cross STORE"):
        tasks(["bandai-motion"], data=store)
    assert math.isfinite(tasks(["ar1"], data=store)[0].fps)
