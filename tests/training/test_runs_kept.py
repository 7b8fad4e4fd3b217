"""Any step of a run, the best one, and runs that are interrupted, finished, or shown on narrow terminals."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console

from conftest import SMALL, losses, made_up_store
from poseterior.cli import main
from poseterior.data.observations import save_observations
from poseterior.data.simulation.protocols import simulate
from poseterior.files.errors import InputError
from poseterior.lifters import load
from poseterior.training.phases import Phases
from poseterior.training.progress import StepProgress, fitting
from poseterior.training.recipes import read_recipe
from poseterior.training.steps import kept_steps, run_weights, step_of


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return made_up_store(tmp_path_factory.mktemp("data") / "store")


def run(store: Path, out: Path, *changes: str, resume: bool = False, **options) -> Path:
    from poseterior.training import train

    recipe = read_recipe("mdn", [*SMALL, f"data={store}", *changes])
    return train(recipe, out, resume=resume, device="cpu", **{"progress": False, **options})


@pytest.fixture(scope="module")
def made(store, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    run(store, out, "steps=12", "schedule.keep_every=4", "schedule.validate_every=5", "data.validation=0.3")
    return out


def tensors(folder) -> dict[str, torch.Tensor]:
    return load(str(folder)).state_dict()


def test_steps_the_best_and_the_last_are_kept(made):
    assert list(kept_steps(made)) == [4, 8, 12]
    assert run_weights(str(made)) == run_weights(str(made), "last") == run_weights(str(made), "12")
    assert run_weights(str(made), "12") == str(made / "weights")
    assert step_of(Path(run_weights(str(made), "best"))) in (5, 10)
    early, late = tensors(run_weights(str(made), "4")), tensors(run_weights(str(made), "8"))
    assert any(not torch.equal(early[name], late[name]) for name in early)
    assert run_weights("flow") == "flow"
    assert run_weights(str(made / "weights")) == str(made / "weights")


def test_the_best_is_the_one_that_validated_best(made):
    import csv

    card = json.loads((made / "best" / "card.json").read_text())["training"]
    rows = list(csv.reader((made / "losses.csv").open()))
    assert rows[0][0] == "step"
    assert card["step"] in (5, 10)
    assert card["validation"] == pytest.approx(card["validation"])


def test_steps_are_those_of_shorter_runs(store, made, tmp_path):
    """What is kept of step 8 is what a run that ends there has, on the rates of the longer one."""
    run(store, tmp_path / "short", "steps=12", "schedule.until=8", "schedule.validate_every=5", "data.validation=0.3")
    one, two = tensors(made / "steps" / "8"), tensors(tmp_path / "short" / "weights")
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ("5", "keeps no weights of that step; it has 4, 8, 12"),
        ("first", "--checkpoint: expected a step, best or last, got 'first'"),
    ],
)
def test_steps_that_are_not_kept_are_refused(made, checkpoint, message):
    with pytest.raises(InputError, match=message):
        run_weights(str(made), checkpoint)


def test_checkpoints_of_what_is_no_run_are_refused(made, store, tmp_path):
    with pytest.raises(InputError, match="flow is no folder of a run"):
        run_weights("flow", "best")
    run(store, tmp_path / "blind", "steps=2", "schedule.validate_every=0")
    with pytest.raises(InputError, match=r"best: .* has none: it has not validated yet"):
        run_weights(str(tmp_path / "blind"), "best")


def test_commands_take_a_run_and_its_steps(made, store, tmp_path, capsys):
    save_observations(simulate(store, "cmu-clean", limit=12), tmp_path / "seen.parquet")
    printed = []
    for options in ([], ["--checkpoint", "4"], ["--checkpoint", "best"]):
        out = tmp_path / "numbers.json"
        command = [
            "evaluate",
            str(made),
            "--data",
            str(tmp_path / "seen.parquet"),
            "--samples",
            "8",
            "--mode-poses",
            "0",
        ]
        assert main([*command, "--out", str(out), *options]) == 0, capsys.readouterr().err
        printed.append(json.loads(out.read_text())["scores"]["energy score"])
    assert len(set(printed)) == 3
    assert main(["evaluate", "mdn", "--data", str(tmp_path / "seen.parquet"), "--checkpoint", "4"]) == 2
    assert "mdn is no folder of a run" in capsys.readouterr().err
    bench = [
        "bench",
        str(made),
        "--observations",
        str(tmp_path / "seen.parquet"),
        "--checkpoint",
        "8",
        "--samples",
        "20",
    ]
    assert main([*bench, "--mode-poses", "0", "--out", str(tmp_path / "bench")]) == 0, capsys.readouterr().err


def test_resuming_keeps_the_best_so_far(store, tmp_path):
    run(store, tmp_path / "run", "steps=12", "schedule.until=8", "data.validation=0.3")
    card = tmp_path / "run" / "best" / "card.json"
    told = json.loads(card.read_text())
    told["training"]["validation"] = -1e9  # better than anything to come
    card.write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"schedule\.until"):
        run(store, tmp_path / "run", "steps=12", "data.validation=0.3", resume=True)
    (tmp_path / "run" / "recipe.yaml").write_text(
        (tmp_path / "run" / "recipe.yaml").read_text().replace("  until: 8\n", "")
    )
    run(store, tmp_path / "run", "steps=12", "data.validation=0.3", resume=True)
    assert json.loads(card.read_text())["training"]["step"] == 5


def test_a_finished_run_is_told_without_reading_anything(made, store, capsys, monkeypatch):
    import poseterior.training.run as code

    monkeypatch.setattr(code, "_training_data", lambda *_: pytest.fail("the data are read"))
    monkeypatch.setattr(code, "read_step", lambda *_: pytest.fail("a checkpoint is read"))
    changes = ["steps=12", "schedule.keep_every=4", "schedule.validate_every=5", "data.validation=0.3"]
    assert run(store, made, *changes, resume=True) == made / "weights"
    assert main(["train", "mdn", *SMALL, f"data={store}", *changes, "--out", str(made), "--resume"]) == 0
    assert f"{made}: has been to its end" in capsys.readouterr().out


# -- interruptions ---------------------------------------------------------------------------------------------


def _has_steps(table: Path) -> bool:
    """Whether steps were taken: a table of losses has a line of names before them."""
    return table.exists() and table.read_text().count("\n") > 1


def interrupted(command: list[str], ready: Path) -> subprocess.Popen:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.time() + 240
    while not _has_steps(ready) and time.time() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    return process


@pytest.mark.parametrize("workers", ["0", "1"])
def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(store, tmp_path, workers):
    out = tmp_path / "a run"
    common = ["train", "mdn", *SMALL, f"data={store}", "steps=100000", "schedule.save_every=100000", "--out", str(out)]
    common += ["--workers", workers]
    process = interrupted([sys.executable, "-m", "poseterior", *common, "--quiet"], out / "losses.csv")
    printed, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "Traceback" not in printed
    stopped = next(line for line in err.splitlines() if line.startswith("stopped at step "))
    step = int(stopped.split()[3].rstrip(","))
    assert int(torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]) == step
    assert list(kept_steps(out))[-1] == step
    line = next(line for line in err.splitlines() if line.startswith("poseterior train"))
    assert line.endswith("--quiet --resume")
    assert f"--out '{out}'" in line
    assert not list(out.rglob("*.tmp*"))
    # The very line goes on; here up to a step that is near.
    until = step + 4
    (out / "recipe.yaml").write_text(
        (out / "recipe.yaml").read_text().replace("  steps: 100000\n", f"  steps: 100000\n  until: {until}\n")
    )
    import shlex

    words = [word for word in shlex.split(line)[1:] if word != "--quiet"]
    words.insert(2, f"schedule.until={until}")
    assert main([*words, "--quiet"]) == 0
    straight = tmp_path / "straight"
    run(store, straight, "steps=100000", "schedule.save_every=100000", f"schedule.until={until}")
    assert losses(straight)[1:] == losses(out)[1:]


def test_ctrl_c_before_the_first_step_leaves_nothing(store, tmp_path):
    out = tmp_path / "run"
    code = (
        "import sys, signal, poseterior.training.run as code\n"
        "from poseterior.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # jobs in the background ignore it
        "def stop(*_): signal.raise_signal(signal.SIGINT)\n"
        "code._training_data = stop\n"
        f"sys.exit(main(['train', 'mdn', 'data={store}', '--out', {str(out)!r}, '--quiet']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 130, done.stderr
    assert "nothing is written; begin again with" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


# -- what is shown ---------------------------------------------------------------------------------------------


def test_every_phase_is_a_line_and_the_judge_counts(store, tmp_path, capsys):
    from poseterior.training import train

    changes = [f"data={store}", "lifter.width=16", "schedule.batch=16", "steps=2", "calibrate=null"]
    changes += ["objectives=[{name: reproject, judge: flow, flow_steps: 40}]"]
    train("unsupervised", tmp_path / "run", changes=changes, device="cpu")
    printed = capsys.readouterr().out
    for line in (
        f"reading {store}",
        "measuring what inputs",
        "fitting the judge of 2D poses: 0 of 40",
        "40 of 40",
        "step 2/2 loss",
    ):
        assert line in printed


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_bar_keeps_steps_loss_and_time_on_narrow_terminals(width):
    class Trainer:
        is_global_zero, world_size, global_step = True, 1, 1234

    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=True, color_system=None)
    progress = StepProgress(100_000, 256, console)
    trainer = Trainer()
    names = ("consistency_3d", "consistency_2d", "realism", "hidden", "lengths", "symmetry", "validation")
    trainer.callback_metrics = dict.fromkeys(names, torch.tensor(-123.456))
    progress.on_train_start(trainer, None)
    progress.on_train_batch_end(trainer, None, {"loss": torch.tensor(-123.456)}, None, 0)
    progress._stop()
    line = next(
        line for line in reversed(text.getvalue().replace("\r", "\n").splitlines()) if "step" in line and "loss" in line
    )
    line = line.rpartition("\x1b[2K")[2]
    assert "1234/100000" in line.replace(" ", "")
    assert "loss -123.456" in line
    assert ":" in line  # the time left
    assert "…" not in line
    assert len(line.rstrip()) <= width


def test_as_much_is_said_as_fits():
    terms = {"nll": -1.0, "validation": -2.0, "dirichlet": 3.0}
    assert fitting(-1.5, terms, 2500.0, 10) == "loss -1.500"
    assert fitting(-1.5, terms, 2500.0, 32) == "loss -1.500 validation -2.000"
    assert fitting(-1.5, terms, 2500.0, 200) == (
        "loss -1.500 validation -2.000 2,500 poses/s nll -1.000 dirichlet 3.000"
    )


def test_nothing_is_said_where_nobody_asked(capsys):
    phases = Phases(shown=False)
    phases.say("x")
    with phases.counted() as report:
        report("y", 1, 2)
    assert capsys.readouterr().out == ""
