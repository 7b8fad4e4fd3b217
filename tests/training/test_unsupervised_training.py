import json

import pytest
import torch

from conftest import losses, made_up_store
from poseterior.data.simulation.clips import KeypointPairs
from poseterior.files.errors import InputError
from poseterior.lifters import load
from poseterior.training import run as running
from poseterior.training.recipes import read_recipe
from poseterior.training.run import train

SMALL = [
    "lifter.width=16", "lifter.blocks=1", "schedule.batch=16", "schedule.log_every=1", "schedule.save_every=3",
    "schedule.validate_every=4", "schedule.warmup=2",
]  # fmt: skip
OBJECTIVE = "objectives=[{name: reproject, judge: lsgan, judge_width: 16, judge_blocks: 1, scale_every: %d}]"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return made_up_store(tmp_path_factory.mktemp("data") / "store")


def run(recipe, out, resume=False):
    return train(recipe, out, resume=resume, device="cpu", progress=False)


def test_training_sees_2d_only_and_resumes_exactly(store, tmp_path, monkeypatch):
    seen = []
    real = running.LiftingModule.training_step

    def watched(module, batch, index):
        seen.append(batch)
        return real(module, batch, index)

    monkeypatch.setattr(running.LiftingModule, "training_step", watched)
    changes = [*SMALL, OBJECTIVE % 3, f"data={store}", "lifter.scale=bounded", "lifter.normalise=split", "steps=7"]
    recipe = read_recipe("unsupervised", changes)
    whole = run(recipe, tmp_path / "whole")
    assert len(seen) == 7
    assert all(type(batch) is KeypointPairs for batch in seen)

    def stop_at_five(module, batch, index):
        if module.global_step == 5:
            raise KeyboardInterrupt
        return real(module, batch, index)

    monkeypatch.setattr(running.LiftingModule, "training_step", stop_at_five)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "part")
    monkeypatch.setattr(running.LiftingModule, "training_step", real)
    part = run(recipe, tmp_path / "part", resume=True)
    one, two = load(whole).state_dict(), load(part).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert losses(tmp_path / "whole")[-1] == losses(tmp_path / "part")[-1]


def test_second_stage_fits_error_bars(store, tmp_path):
    start = run(read_recipe("unsupervised", [*SMALL, OBJECTIVE % 0, f"data={store}", "steps=3"]), tmp_path / "start")
    changes = [f"init={start}", *SMALL[2:], OBJECTIVE % 0, f"data={store}", "steps=3"]
    finished = run(read_recipe("unsupervised-finish", changes), tmp_path / "finish")
    assert load(finished).config.spread == "laplace"
    assert json.loads((finished / "card.json").read_text())["name"] == "unsupervised-finish"


def test_what_does_not_go_together(store, tmp_path):
    mixed = "objectives=[{name: reproject, realism: 0}, {name: regression}]"
    with pytest.raises(InputError, match="does not go with one that sees 3D poses"):
        run(read_recipe("unsupervised", [*SMALL, mixed, f"data={store}"]), tmp_path / "a")
    with pytest.raises(InputError, match="clips are observed as they are"):
        run(read_recipe("unsupervised", [*SMALL, f"data={store}", "simulator.recombine=0.3"]), tmp_path / "b")
    with pytest.raises(InputError, match="or from 2D alone"):
        run(read_recipe("unsupervised", [*SMALL, f"data={store}", "labels.pairs=1"]), tmp_path / "c")


def test_a_fixed_number_of_views(store, tmp_path):
    changes = [*SMALL, OBJECTIVE % 0, f"data={store}", "data.views=40", "steps=3"]
    assert (run(read_recipe("unsupervised", changes), tmp_path / "run") / "model.safetensors").is_file()
