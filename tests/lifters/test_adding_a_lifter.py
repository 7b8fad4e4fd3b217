"""A lifter is one file and a recipe: those that CONTRIBUTING shows, in a copy of the package."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from added_files import PACKAGE, Copy
from conftest import losses, made_up_store

FILES = ("src/poseterior/lifters/gaussian.py", "src/poseterior/recipes/gaussian.yaml")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The copy, in which the lifter has learnt for three steps."""
    copy = Copy(tmp_path_factory.mktemp("copy"), *FILES)
    made_up_store(copy.folder / "store")
    changes = ["steps=3", "schedule.batch=8", "schedule.log_every=1", "schedule.warmup=1", "lifter.width=32"]
    copy.run("train", "gaussian", "data=store", *changes, "--out", "run", "--quiet", "--device", "cpu")
    return copy


def test_the_added_file_is_as_tidy_as_ours(copy: Copy) -> None:
    copy.lint(FILES[0])


def test_it_is_trained(copy: Copy) -> None:
    rows = losses(copy.folder / "run")
    assert len(rows) == 1 + 3
    weights = copy.folder / "run" / "weights"
    config = json.loads((weights / "config.json").read_text())
    assert config["config"]["width"] == 32
    assert "gaussian" in json.dumps(config)


def test_it_lifts(copy: Copy) -> None:
    shutil.copy(PACKAGE / "examples" / "demo.json", copy.folder / "person.json")
    said = copy.run("lift", "person.json", "--lifter", "run/weights", "--samples", "4", "--out", "poses.npz")
    assert "5 poses x 4 samples" in said
    with np.load(copy.folder / "poses.npz") as result:
        assert result["samples"].shape == (5, 4, 17, 3)
        assert np.isfinite(result["samples"]).all()
        assert np.isfinite(result["log_prob"]).all()
        assert (result["samples"][:, :, 0] == 0).all()


def test_it_is_a_distribution_like_every_other(copy: Copy) -> None:
    """Hidden values change nothing, batches of any shape, a density with gradients, moments that samples have."""
    script = """
import torch
import poseterior as pp
lifter = pp.load("run/weights")
xy = 100 + 300 * torch.rand(2, 3, 17, 2, generator=torch.Generator().manual_seed(0))
seen = torch.arange(17) != 4
poses = lifter(pp.Keypoints2D(xy, visible=seen.expand(2, 3, 17), image_size=(640, 480)))
xy[..., 4, :] = -1e6
again = lifter(pp.Keypoints2D(xy, visible=seen.expand(2, 3, 17), image_size=(640, 480)))
assert torch.equal(poses.mean, again.mean)
draws = poses.sample((20_000,), seed=0)
assert draws.shape == (20_000, 2, 3, 17, 3)
off = (draws.mean(0) - poses.mean)[..., 1:, :] / (poses.stddev[..., 1:, :] / 20_000**0.5)
assert off.abs().max() < 6, off.abs().max()
value = draws[0].requires_grad_()
poses.log_prob(value).sum().backward()
assert value.grad.isfinite().all()
print("a distribution")
"""
    done = copy.python("-c", script)
    assert done.stdout == "a distribution\n", done.stderr
