"""A run that is killed while a checkpoint is written goes on from a whole one; a full disk ends it with one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import injection
import pytest
import torch

from conftest import SMALL, losses, made_up_store
from poseterior.files.errors import InputError
from poseterior.lifters import load
from poseterior.training.checkpoints import WholeCheckpoints, newest_checkpoint, read_step
from poseterior.training.logs import LossTable
from poseterior.training.recipes import read_recipe
from poseterior.training.run import train


def run(store: Path, out: Path, *changes: str, resume: bool = False) -> Path:
    recipe = read_recipe("mdn", [*SMALL, f"data={store}", *changes])
    return train(recipe, out, resume=resume, device="cpu", progress=False)


@pytest.fixture
def store(tmp_path) -> Path:
    return made_up_store(tmp_path / "store")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """A folder on another file system than the one for temporary files."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    folder = shared / f"poseterior-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


#: Trains with the recipe's arguments, and dies in the n-th write of a checkpoint, of which half is written.
_KILLED_IN_THE_COPY = """
import os, signal, sys
import poseterior.files.writing as writing
write, writes = writing._Raw.write, 0
def dying(self, data):
    global writes
    if ".ckpt." in os.path.basename(self.name):
        writes += 1
        if writes == int(sys.argv[1]):
            write(self, bytes(data)[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
    return write(self, data)
writing._Raw.write = dying
from poseterior.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("write", [1, 3, 4])
def test_killed_in_the_copy_of_a_checkpoint(write, store, elsewhere, tmp_path):
    """Each checkpoint is written twice, as step.ckpt and last.ckpt; 3 and 4 are those of the second one."""
    changes = ["steps=12"]
    words = ["train", "mdn", *SMALL, f"data={store}", *changes, "--out", str(elsewhere / "run"), "--quiet"]
    command = [sys.executable, "-c", _KILLED_IN_THE_COPY, str(write), *words, "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    checkpoints = elsewhere / "run" / "checkpoints"
    assert len([name for name in os.listdir(checkpoints) if name.endswith("poseterior-tmp")]) == 1
    whole = sorted(checkpoints.glob("*.ckpt"))
    assert [path.name for path in whole] == ([] if write == 1 else ["last.ckpt", "step.ckpt"])
    assert {path.name: read_step(path) for path in whole} == (
        {} if write == 1 else {"step.ckpt": 4 if write == 3 else 8, "last.ckpt": 4}
    )
    run(store, tmp_path / "whole", *changes)
    # in a process of its own, as the next run is
    assert injection.in_child(lambda: run(store, elsewhere / "run", *changes, resume=True)) == "done"
    assert losses(elsewhere / "run") == losses(tmp_path / "whole")
    a, b = (load(folder / "weights").state_dict() for folder in (tmp_path / "whole", elsewhere / "run"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert sorted(os.listdir(checkpoints)) == ["last.ckpt", "step.ckpt"]
    assert [name for name in os.listdir(elsewhere / "run") if name.startswith(".")] == []


def test_a_broken_checkpoint_gives_way_to_the_newest_good_one(store, tmp_path, capsys):
    """As left by older versions, or by a disk that loses what it was given."""
    run(store, tmp_path / "whole", "steps=12")
    run(store, tmp_path / "run", "steps=8")
    folder = tmp_path / "run" / "checkpoints"
    last = folder / "last.ckpt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    shutil.copy(folder / "step.ckpt", folder / "kept.ckpt")
    run(store, tmp_path / "older", "steps=4")
    shutil.copy(tmp_path / "older" / "checkpoints" / "step.ckpt", folder / "aged.ckpt")
    with pytest.raises(InputError, match=r"schedule\.steps was 8 and is 12 now"):
        run(store, tmp_path / "run", "steps=12", resume=True)
    recipe = tmp_path / "run" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("steps: 8", "steps: 12"))
    capsys.readouterr()
    run(store, tmp_path / "run", "steps=12", resume=True)
    told = capsys.readouterr().err
    assert f"{last}: not a readable checkpoint (" in told
    assert "; going on from kept.ckpt at step 8" in told
    assert read_step(last) == 12


def test_no_good_checkpoint_is_said(store, tmp_path):
    shutil.rmtree(run(store, tmp_path / "run", "steps=4"))  # a finished run needs none
    for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"ckpt: not a readable checkpoint \(.*\); start anew in another folder"):
        run(store, tmp_path / "run", "steps=4", resume=True)


def test_no_checkpoint_is_none(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "missing") is None


def test_a_full_disk_keeps_the_checkpoint(tmp_path):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"global_step": 1, "w": torch.zeros(1000)}, path)

    def act() -> None:
        injection.no_file_above(1000)
        WholeCheckpoints().save_checkpoint({"global_step": 2, "w": torch.zeros(1000)}, path)

    assert injection.in_child(act) == f"InputError: {path}: cannot be written (File too large)"
    assert read_step(path) == 1
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_half_a_line_of_the_losses_is_dropped(tmp_path):
    """The process was killed after the first digit of step 10; the checkpoint is of step 8."""
    table = tmp_path / "losses.csv"
    table.write_bytes(b"step,nll\r\n2,0.5\r\n8,0.25\r\n9,0.125\r\n1")
    resumed: Any = SimpleNamespace(is_global_zero=True, global_step=8)
    LossTable(table, 1).on_train_start(resumed, None)  # type: ignore[arg-type]
    assert table.read_bytes() == b"step,nll\r\n2,0.5\r\n8,0.25\r\n"
    table.write_bytes(b"step,n")
    LossTable(table, 1).on_train_start(resumed, None)  # type: ignore[arg-type]
    assert table.read_bytes() == b""
