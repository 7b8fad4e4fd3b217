"""An objective with a network of its own (a critic) trains it beside the lifter; runs resume exactly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conftest import losses, made_up_store
from poseterior.files.errors import InputError
from poseterior.lifters import load
from poseterior.training.recipes import Recipe, read_recipe

SMALL = [
    "objectives=[{name: samples, hypotheses: 4, best: 1, critic_steps: 2}]", "schedule.batch=8", "schedule.log_every=1",
    "schedule.save_every=2", "schedule.validate_every=0", "steps=5",
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return made_up_store(tmp_path_factory.mktemp("data") / "store")


def recipe(store: Path, *changes: str) -> Recipe:
    return read_recipe("flow-published", [*SMALL, f"data={store}", *changes])


def run(store: Path, out: Path, *changes: str, resume: bool = False) -> Path:
    from poseterior.training.run import train

    return train(recipe(store, *changes), out, resume=resume, device="cpu", progress=False)


def last_state(out: Path) -> dict:
    return torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)


def same(a, b) -> bool:
    """Whether two states (nested dictionaries and lists of tensors and numbers) are the same bit for bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(*pair) for pair in zip(a, b, strict=True))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_the_published_recipe_trains(store, tmp_path):
    lifter = load(run(store, tmp_path / "run"))
    assert lifter.name == "flow-published"
    rows = losses(tmp_path / "run")
    terms = ["keypoints", "mmd", "deterministic", "mean_of_best", "covariance", "adversarial"]
    assert rows[0] == ["step", *terms, "critic"]
    assert [int(row[0]) for row in rows[1:]] == [1, 2, 3, 4, 5]


def test_steps_count_the_lifter_only(store, tmp_path):
    """The critic's updates are no steps: the run ends, saves and draws its batches by the lifter's."""
    run(store, tmp_path / "run", "steps=4")
    saved = last_state(tmp_path / "run")
    assert saved["global_step"] == 4
    (optimizer,) = saved["optimizer_states"]
    lifter_parameters = [name for name in saved["state_dict"] if name.startswith("lifter.") and "permut" not in name]
    assert len(optimizer["state"]) == len(lifter_parameters)
    critic = saved["state_dict"]["objectives.0.critic._extra_state"]["optimizer"]
    assert {int(entry["step"]) for entry in critic["state"].values()} == {8}


def test_resumed_run_has_the_same_critic(store, tmp_path, monkeypatch):
    from poseterior.training.module import LiftingModule

    run(store, tmp_path / "whole")
    step = LiftingModule.training_step

    def failing(self, batch, batch_index):
        if self.global_step == 3:
            raise InputError("power cut")
        return step(self, batch, batch_index)

    monkeypatch.setattr(LiftingModule, "training_step", failing)
    with pytest.raises(InputError, match="power cut"):
        run(store, tmp_path / "cut")
    monkeypatch.undo()
    assert last_state(tmp_path / "cut")["global_step"] == 2
    run(store, tmp_path / "cut", resume=True)
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")
    whole, cut = last_state(tmp_path / "whole"), last_state(tmp_path / "cut")
    assert whole["global_step"] == cut["global_step"] == 4
    assert any(name.startswith("objectives.0.critic") for name in whole["state_dict"])
    assert same(whole["state_dict"], cut["state_dict"])
    assert same(whole["optimizer_states"], cut["optimizer_states"])
    a, b = (load(tmp_path / name / "weights").state_dict() for name in ("whole", "cut"))
    assert same(dict(a), dict(b))


def test_likelihood_and_samples_train_one_lifter(store, tmp_path):
    objectives = (
        "objectives=[{name: likelihood}, {name: samples, weight: 0.5, keypoints: 0, mmd: 0, deterministic: 0, "
        "hypotheses: 4, best: 1, critic_steps: 1}]"
    )
    lifter = "lifter={method: flow, layers: 2, hidden: 16, context: 8, rank: 1, width: 16, blocks: 1}"
    assert load(run(store, tmp_path / "run", lifter, objectives)).name == "flow"
    assert losses(tmp_path / "run")[0] == ["step", "nll", "mean_of_best", "covariance", "adversarial", "critic"]


def test_betas_reach_the_optimiser(store, tmp_path):
    run(store, tmp_path / "run", "steps=2", "schedule.beta2=0.95")
    (optimizer,) = last_state(tmp_path / "run")["optimizer_states"]
    assert all(tuple(group["betas"]) == (0.5, 0.95) for group in optimizer["param_groups"])


@pytest.mark.parametrize("name", ["beta1", "beta2"])
def test_betas_below_one(name):
    with pytest.raises(InputError) as error:
        read_recipe("flow-published", [f"schedule.{name}=1"])
    assert str(error.value) == f"schedule.{name}: expected less than 1, got 1"


def test_losses_for_the_wrong_lifter_stop_the_run(store, tmp_path):
    with pytest.raises(InputError, match="keypoints, mmd, deterministic: only for the published flow"):
        run(store, tmp_path / "run", "lifter={method: flow, layers: 2, hidden: 16, width: 16, blocks: 1}")


PROCESS = """
import os
import sys
import time
from pathlib import Path

import torch
from conftest import made_up_mocap
from poseterior.data.simulation.clips import ClipSimulator
from poseterior.data.simulation.simulator import Simulator, SimulatorConfig
from poseterior.lifters.unsupervised import UnsupervisedConfig, UnsupervisedLifter
from poseterior.objectives.reproject import Reproject
from poseterior.published.wehrbein_2021.lifter import PublishedFlowLifter
from poseterior.published.wehrbein_2021.objective import Samples

rank, folder, kind = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
torch.manual_seed(0)
if kind == "samples":
    lifter, objective = PublishedFlowLifter(), Samples(hypotheses=2, best=1, critic_steps=2)
    simulator = Simulator(made_up_mocap(), SimulatorConfig())
else:
    lifter = UnsupervisedLifter(UnsupervisedConfig(width=16, blocks=1))
    objective = Reproject(judge=kind, judge_width=16, judge_blocks=1, judge_every=1)
    exact = SimulatorConfig(recombine=0.0, limb_jitter=0.0, own_body=1.0, missing={"none": 1.0}, truncate=0.0)
    simulator = ClipSimulator(made_up_mocap(), exact)
observations = simulator(8, torch.Generator().manual_seed(rank))
torch.manual_seed(rank)
for _ in range(2):
    loss = objective.update_auxiliary(lifter, observations)["critic"]
torch.save((objective.critic.network.state_dict(), loss), f"{folder}/critic{rank}.pt")
Path(folder, f"done{rank}").touch()
while not Path(folder, f"done{1 - rank}").exists():
    time.sleep(0.05)
os._exit(0)  # without taking gloo down: the threads of one that ends may abort the other
"""


@pytest.mark.parametrize("kind", ["samples", "lsgan", "wgan"])
def test_processes_keep_one_critic(tmp_path, kind):
    """Two processes see different poses and end with the same critic, whichever objective owns it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROCESS]
    processes = [
        subprocess.Popen([*command, str(rank), str(tmp_path), kind], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    (one, loss_one), (two, loss_two) = (torch.load(tmp_path / f"critic{r}.pt", weights_only=True) for r in range(2))
    assert loss_one != loss_two
    assert same(dict(one), dict(two))


@pytest.mark.slow
def test_two_processes_train_together(store, tmp_path):
    changes = [*SMALL, f"data={store}"]
    command = [sys.executable, "-m", "poseterior", "train", "flow-published", *changes, "--out", str(tmp_path / "run")]
    command += ["--quiet", "--device", "cpu", "--devices", "2", "--strategy", "ddp"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ})
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(losses(tmp_path / "run")) == 6
