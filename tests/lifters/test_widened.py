"""A widened mixture: exactly the errors that were added, nothing else changed, and only they are trained."""

import math

import pytest
import torch

from conftest import SMALL, made_up_store
from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.files.errors import InputError
from poseterior.geometry.cameras import project
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import load
from poseterior.lifters.mdn import MixtureConfig, MixtureDensityLifter
from poseterior.lifters.regression import RegressionConfig, RegressionLifter
from poseterior.lifters.widened import WidenedMixtureLifter, widened
from poseterior.training.recipes import read_recipe
from poseterior.training.run import train

INTRINSICS = torch.tensor([1000.0, 1000.0, 500.0, 500.0])


def seen(poses: torch.Tensor, **kwargs) -> Keypoints2D:
    xy = project(poses + torch.tensor([0.3, -0.1, 5.0]), INTRINSICS)
    return Keypoints2D(xy, torch.full(xy.shape[:-1], 2.0), intrinsics=INTRINSICS, **kwargs)


def mixture(rank: int = 3) -> MixtureDensityLifter:
    torch.manual_seed(0)
    return MixtureDensityLifter(MixtureConfig(kernels=3, rank=rank, width=32, blocks=1)).eval()


@pytest.mark.parametrize("rank", [0, 3])
def test_the_covariance_grows_by_what_was_added(people, rank):
    before = mixture(rank)(seen(people))
    before = MixturePoseDistribution(
        before.log_weights.double(),
        before.loc.double(),
        before.scale_tril.double(),
        None if before.factor is None else before.factor.double(),
        None,
        "h36m17",
    )
    error = 0.02 + 0.3 * torch.rand(32, 16, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    size = torch.linspace(0.0, 0.2, 32, dtype=torch.float64)
    after = widened(before, error, size)
    weights, loc, covariance = before.dense()
    found = after.dense()
    torch.testing.assert_close(found[0], weights)
    torch.testing.assert_close(found[1], loc)
    grown = torch.diag_embed(error.flatten(-2).square()).unsqueeze(1)
    grown = grown + (size.square()[:, None, None] * loc).unsqueeze(-1) * loc.unsqueeze(-2)
    torch.testing.assert_close(found[2], covariance + grown)


def test_no_error_is_the_mixture_itself(people):
    before = mixture()(seen(people))
    after = widened(before, torch.zeros(32, 16, 3), torch.zeros(32))
    torch.testing.assert_close(after.log_prob(people), before.log_prob(people), rtol=1e-4, atol=1e-2)


def test_a_mixture_becomes_a_widened_one_with_the_same_means(people, tmp_path):
    plain = mixture()
    lifter = WidenedMixtureLifter.started_from(plain, {}).eval()
    keypoints = seen(people)
    torch.testing.assert_close(lifter(keypoints).mean, plain(keypoints).mean)
    assert bool((lifter(keypoints).stddev[:, 1:] > plain(keypoints).stddev[:, 1:]).all())
    assert WidenedMixtureLifter.started_from(lifter, {}) is lifter
    assert WidenedMixtureLifter.started_from(RegressionLifter(RegressionConfig(width=8, blocks=1)), {}) is None
    lifter.save_pretrained(tmp_path / "saved")
    assert torch.equal(load(tmp_path / "saved")(keypoints).log_prob(people), lifter(keypoints).log_prob(people))


def test_hidden_joints_have_errors_of_their_own(people):
    lifter = WidenedMixtureLifter.started_from(mixture(), {}).eval().requires_grad_(False)
    visible = torch.ones(32, 17, dtype=torch.bool)
    visible[:, 13] = False
    keypoints = seen(people, visible=visible)
    before = lifter(keypoints).covariance
    with torch.no_grad():
        lifter.log_error[0] = math.log(0.5)
    grown = (lifter(keypoints).covariance - before).diagonal(dim1=-2, dim2=-1).sum(-1)
    assert grown[:, 13] == pytest.approx(3 * (0.5**2 - 0.02**2), abs=1e-4)
    assert float(grown[:, :13].abs().max()) < 1e-4


def test_a_told_height_leaves_little_doubt_of_the_size(people):
    lifter = WidenedMixtureLifter.started_from(mixture(), {}).eval().requires_grad_(False)
    told, untold = lifter(seen(people, height=1.7)), lifter(seen(people))
    # Another height changes what the network says, so compare what is added about the means.
    for poses, size in ((told, 0.02), (untold, 0.07)):
        column = poses.factor[..., -1].unflatten(-1, (16, 3))
        moved = (poses.scale_tril @ column.unsqueeze(-1)).squeeze(-1)
        torch.testing.assert_close(moved, size * poses.loc, rtol=1e-4, atol=1e-6)


def test_training_moves_nothing_but_the_errors(tmp_path):
    store = made_up_store(tmp_path / "store")
    start = train(
        read_recipe("relative", [*SMALL, f"data={store}", "steps=3"]), tmp_path / "a", device="cpu", progress=False
    )
    changes = [f"init={start}", f"data={store}", "steps=5", "schedule.batch=16", "schedule.validate_every=0"]
    end = train(read_recipe("relative-finish", changes), tmp_path / "b", device="cpu", progress=False)
    before, after = load(start).state_dict(), load(end).state_dict()
    assert set(after) - set(before) == {"log_error"}
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(after["log_error"], torch.full((3, 16), 0.02).log())


def test_it_starts_from_a_mixture_only(tmp_path):
    store = made_up_store(tmp_path / "store")
    RegressionLifter(RegressionConfig(width=8, blocks=1)).save_pretrained(tmp_path / "point")
    changes = [f"init={tmp_path / 'point'}", f"data={store}", "steps=2"]
    with pytest.raises(InputError) as error:
        train(read_recipe("relative-finish", changes), tmp_path / "run", device="cpu", progress=False)
    assert str(error.value) == (
        f"lifter.init: {tmp_path / 'point'} holds a 'regression' lifter, the recipe names 'mdn-widened'"
    )
