import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from conftest import SMALL, losses, made_up_mocap, made_up_store
from poseterior.files.errors import InputError
from poseterior.lifters import load
from poseterior.training.recipes import Schedule, read_recipe, shipped_recipes


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return made_up_store(tmp_path_factory.mktemp("data") / "store")


def recipe(store: Path, *changes: str):
    return read_recipe("mdn", [*SMALL, f"data={store}", *changes])


def run(store: Path, out: Path, *changes: str, resume: bool = False) -> Path:
    from poseterior.training import train

    return train(recipe(store, *changes), out, resume=resume, device="cpu", progress=False)


# -- recipes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(shipped_recipes()))
def test_shipped_recipes_are_valid(name):
    from poseterior.objectives import make_objective
    from poseterior.training.run import build_lifter

    r = read_recipe(name)
    build_lifter(r.lifter)
    for objective in r.objectives:
        make_objective(objective["name"], {k: v for k, v in objective.items() if k not in ("name", "weight")})
    assert read_recipe(name, ["steps=7", "simulator.recombine=0"]).schedule.steps == 7


def test_recipe_changes(store):
    r = recipe(store, "simulator.noise=[1, 3]", "objectives=[{name: likelihood, weight: 0.5, dirichlet: 1}]")
    assert r.simulator.noise == (1, 3)
    assert r.objectives == [{"name": "likelihood", "weight": 0.5, "dirichlet": 1}]
    assert r.stores == (str(store),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("schedule.speed=1", "schedule: unknown setting 'speed'; known: steps, batch"),
        ("simulator.hats=1", "simulator: unknown setting 'hats'"),
        ("data.place=1", "data: unknown setting 'place'; known: stores, fps, validation"),
        ("colour=1", "unknown section 'colour'; known: name, lifter"),
        ("schedule.steps=many", "schedule.steps: expected a whole number, got 'many'"),
        ("schedule.clip=wide", "schedule.clip: expected a number, got 'wide'"),
        ("schedule.learning_rate=-1", "schedule.learning_rate: expected a finite number from 0, got -1"),
        ("schedule.seed=-1", "schedule.seed: expected a finite number from 0, got -1"),
        ("schedule.average=2", "schedule.average: expected less than 1, got 2"),
        ("schedule.batch=1", "schedule.batch: expected at least 2, got 1"),
        ("data.fps=abc", "data.fps: expected a number above 0, got 'abc'"),
        ("data.validation=1.5", "data.validation: expected 0 to below 1, got 1.5"),
        ("objectives=[]", "objectives: expected a list of mappings with 'name'"),
        ("objectives=[{name: likelihood, weight: x}]", "objectives: likelihood: weight: expected a number, got 'x'"),
        ("simulator=5", "simulator: expected a mapping, got 5"),
        ("schedule=[]", "schedule: expected a mapping, got []"),
        ("labels=0", "labels: expected a mapping, got 0"),
        ("calibrate=false", "calibrate: expected a mapping, got False"),
        ("data=0", "data.stores: expected the path of a store, or a list of paths, got 0"),
        ("missing.count=[1, 2]", "unknown section 'missing'; did you mean simulator.missing?"),
        ("batch=4", "unknown section 'batch'; did you mean schedule.batch?"),
        ("schedule.steps=0", "schedule.steps: expected at least 1, got 0"),
        ("schedule.until=-1", "schedule.until: expected a finite number from 0, got -1"),
        ("nonsense", "'nonsense': expected key=value, for example schedule.steps=2000"),
        ("lifter=3", "lifter: expected a mapping with 'method'"),
        ("objectives=[1]", "objectives: expected a list of mappings with 'name'"),
        ("schedule.steps=[", "the value is not YAML"),
    ],
)
def test_bad_changes(change, message):
    with pytest.raises(InputError) as error:
        read_recipe("mdn", [change])
    assert message in str(error.value)


def test_scientific_notation_is_a_number():
    assert read_recipe("mdn", ["schedule.learning_rate=1e-3"]).schedule.learning_rate == 1e-3
    assert read_recipe("mdn", ["schedule.clip=2.5E+2"]).schedule.clip == 250.0


def test_unknown_recipe():
    with pytest.raises(InputError, match=r"nothing: neither a file nor a shipped recipe; shipped: .*mdn"):
        read_recipe("nothing")


def test_recipe_files_are_data_only(tmp_path):
    bad = tmp_path / "evil.yaml"
    bad.write_text("lifter: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(InputError, match="not YAML"):
        read_recipe(bad)


def test_learning_rate():
    from poseterior.training.module import learning_rate_factor

    schedule = Schedule(steps=100, warmup=10, final=0.1)
    factors = [learning_rate_factor(s, schedule) for s in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10] == pytest.approx(1.0)
    assert factors[100] == pytest.approx(0.1)
    assert all(b <= a for a, b in itertools.pairwise(factors[10:]))


# -- runs ----------------------------------------------------------------------------------------------------


def test_run_writes_weights_with_their_card(store, tmp_path):
    weights = run(store, tmp_path / "run", "steps=6")
    lifter = load(weights)
    assert lifter.config.width == 16
    card = lifter.card
    assert card["recipe"]["schedule"]["steps"] == 6
    assert card["recipe"]["data"]["stores"] == ["store"]
    assert card["data"] == {"clips": 8, "frames": 400, "sources": ["x"]}
    rows = losses(tmp_path / "run")
    assert rows[0] == ["step", "nll"]
    assert [int(r[0]) for r in rows[1:]] == [1, 2, 3, 4, 5, 6]
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_same_seed_same_run(store, tmp_path):
    for name in ("a", "b"):
        run(store, tmp_path / name, "steps=5")
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    a, b = (load(tmp_path / n / "weights").state_dict() for n in ("a", "b"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_run_may_end_on_the_rates_of_a_longer_one(store, tmp_path):
    run(store, tmp_path / "whole", "steps=9")
    weights = run(store, tmp_path / "part", "steps=9", "schedule.until=4")
    assert losses(tmp_path / "part") == losses(tmp_path / "whole")[:5]
    assert load(weights).card["recipe"]["schedule"]["until"] == 4


def test_loss_goes_down(store, tmp_path):
    run(store, tmp_path / "run", "steps=60", "schedule.batch=64", "schedule.learning_rate=0.01")
    values = [float(r[1]) for r in losses(tmp_path / "run")[1:]]
    assert sum(values[-5:]) / 5 < sum(values[:5]) / 5 - 1.0


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_killed_and_resumed_run_has_the_same_losses(store, tmp_path, dropout):
    """A training process is killed at a moment nobody chose, then resumed: losses and weights are those of a whole."""
    out, steps = tmp_path / "killed", 400
    changes = [f"steps={steps}", f"lifter.dropout={dropout}"]
    run(store, tmp_path / "whole", *changes)
    command = [sys.executable, "-m", "poseterior", "train", "mdn", *SMALL, f"data={store}", *changes]
    command += ["--out", str(out), "--quiet", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    last = out / "checkpoints" / "last.ckpt"
    deadline = time.time() + 120
    while not last.exists() and time.time() < deadline and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert last.exists()
    assert not (out / "weights").exists(), "the run ended before it could be killed: raise `steps`"
    run(store, out, *changes, resume=True)
    whole, resumed = losses(tmp_path / "whole"), losses(out)
    assert whole == resumed
    a, b = (load(folder / "weights").state_dict() for folder in (tmp_path / "whole", out))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_resuming_a_finished_run_changes_nothing(store, tmp_path):
    run(store, tmp_path / "run", "steps=8")
    before = load(tmp_path / "run" / "weights").state_dict()
    run(store, tmp_path / "run", "steps=8", resume=True)
    after = load(tmp_path / "run" / "weights").state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_fine_tuning_starts_from_trained_weights(store, tmp_path):
    weights = run(store, tmp_path / "first", "steps=4")
    lifter = {"method": "mdn", "init": str(weights)}
    tuned = run(store, tmp_path / "second", "steps=1", f"lifter={lifter}", "schedule.learning_rate=0.0")
    a, b = load(weights).state_dict(), load(tuned).state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_calibration_without_held_out_clips_is_refused_before_training(store, tmp_path):
    with pytest.raises(InputError, match="calibrate: needs held-out clips"):
        run(store, tmp_path / "run", "data.validation=0", "calibrate={recombine: 0.0}")
    assert not (tmp_path / "run").exists()


def test_nan_stops_the_run_clearly(store, tmp_path):
    with pytest.raises(InputError, match=r"training stopped at step \d+: the loss is not finite \(nll nan\)"):
        run(store, tmp_path / "run", "steps=30", "schedule.learning_rate=1e20", "schedule.clip=1e20")
    assert not (tmp_path / "run" / "weights").exists()


def test_refusals(store, tmp_path):
    from poseterior.training import train

    with pytest.raises(InputError, match="no training data: pass data=STORE"):
        train("mdn", tmp_path / "none", device="cpu")
    run(store, tmp_path / "run", "steps=1")
    with pytest.raises(InputError, match="holds a run already; go on with --resume"):
        run(store, tmp_path / "run", "steps=1")
    with pytest.raises(InputError, match="empty: nothing to resume: it holds no run"):
        run(store, tmp_path / "empty", "steps=1", resume=True)
    with pytest.raises(InputError, match=r"schedule.steps was 1 and is 2 now: a resumed run keeps its recipe"):
        run(store, tmp_path / "run", "steps=2", resume=True)
    with pytest.raises(InputError, match="poses to learn from are h36m17, not coco17"):
        run(store, tmp_path / "coco", "steps=1", "lifter.skeleton=coco17")


def test_run_that_ended_before_its_first_checkpoint_goes_on(store, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(store, whole, "steps=5")
    run(store, cut, "steps=5")
    shutil.rmtree(cut / "checkpoints")
    shutil.rmtree(cut / "weights")
    run(store, cut, "steps=5", resume=True)
    assert losses(whole) == losses(cut)


def test_broken_checkpoint_is_refused(store, tmp_path):
    shutil.rmtree(run(store, tmp_path / "run", "steps=4"))  # as it is before the end
    for name in ("last.ckpt", "step.ckpt"):
        (tmp_path / "run" / "checkpoints" / name).write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"last\.ckpt: not a readable checkpoint"):
        run(store, tmp_path / "run", "steps=4", resume=True)


def test_average_of_a_short_run_has_learnt(store, tmp_path):
    """The moving average may not keep the first weights: its loss is near that of the live weights."""
    from poseterior.data.simulation.simulator import Simulator, SimulatorConfig
    from poseterior.objectives.likelihood import Likelihood

    observations = Simulator(made_up_mocap(), SimulatorConfig())(500, torch.Generator().manual_seed(9))
    nll = {}
    for name, average in (("live", 0.0), ("averaged", 0.999)):
        weights = run(store, tmp_path / name, "steps=150", f"schedule.average={average}", "schedule.batch=64")
        nll[name] = float(Likelihood()(load(weights), observations)["nll"])
    assert nll["averaged"] < nll["live"] + 0.1


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_training_exits_as_such(store, tmp_path, sign):
    command = [sys.executable, "-m", "poseterior", "train", "mdn", *SMALL, f"data={store}", "steps=100000"]
    command += ["--out", str(tmp_path / "run"), "--quiet", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.time() + 120
    while not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists() and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(sign)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not (tmp_path / "run" / "weights").exists()


def test_temperature_is_fitted_on_held_out_clips(store, tmp_path):
    weights = run(store, tmp_path / "run", "steps=30", "data.validation=0.3", "calibrate={recombine: 0.0}")
    lifter = load(weights)
    assert 0.4 < lifter.config.temperature < 2.1
    assert lifter.config.temperature != 1.0


@pytest.mark.slow
def test_two_processes_train_together(store, tmp_path):
    """DDP over gloo on the CPU: both processes draw different observations and end with one set of weights."""
    command = [sys.executable, "-m", "poseterior", "train", "mdn", *SMALL, f"data={store}", "steps=6"]
    command += ["--out", str(tmp_path / "run"), "--quiet", "--device", "cpu", "--devices", "2", "--strategy", "ddp"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ})
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(losses(tmp_path / "run")) == 7
    assert load(tmp_path / "run" / "weights").config.width == 16


def test_a_recalibration_does_not_outlive_its_weights():
    """It is of the weights as they were: training on would make it wrong under the hash of the new ones."""
    from poseterior.training.run import build_lifter

    assert load("supervised").recalibration is not None
    assert build_lifter({"method": "regression", "init": "supervised"}).recalibration is None
