import dataclasses
import math

import pytest
import torch
from torch.distributions import Laplace, Normal

from conftest import made_up_mocap
from poseterior.data.simulation.simulator import Simulator
from poseterior.distributions.delta import DeltaPoseDistribution
from poseterior.distributions.independent import IndependentPoseDistribution
from poseterior.files.errors import InputError
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.view import image_offsets
from poseterior.lifters import load
from poseterior.lifters.regression import RegressionConfig, RegressionLifter, SinglePoseLifter
from poseterior.objectives.regression import Regression
from poseterior.published.ronchi_2018 import PublishedRegressionConfig, PublishedRegressionLifter


@pytest.fixture(scope="module")
def observations():
    return Simulator(made_up_mocap(100, 2))(400, torch.Generator().manual_seed(0))


CONFIGS = {
    "ours": RegressionConfig(width=32, blocks=1),
    "published": PublishedRegressionConfig(width=32),
    "twin": dataclasses.replace(PublishedRegressionConfig.supervised(), width=32),
    "gaussian": RegressionConfig(width=32, blocks=1, spread="gaussian"),
    "laplace": RegressionConfig(width=32, blocks=1, spread="laplace"),
}


def make(name: str) -> SinglePoseLifter:
    config = CONFIGS[name]
    return PublishedRegressionLifter(config) if name in ("published", "twin") else RegressionLifter(config)


@pytest.mark.parametrize("name", CONFIGS)
def test_lifts_any_batch_shape_and_saves(name, observations, tmp_path):
    torch.manual_seed(0)
    lifter = make(name).eval()
    lifter.fit_constants(observations)
    lifter.calibrate(observations)
    keypoints = observations.keypoints[:6]
    posterior = lifter(keypoints)
    assert posterior.mean.shape == (6, 17, 3)
    assert (posterior.mean[:, 0] == 0).all()
    assert posterior.sample((5,), seed=1).shape == (5, 6, 17, 3)
    assert torch.equal(posterior.sample((5,), seed=1), posterior.sample((5,), seed=1))
    one = lifter(keypoints[:1].flatten()).mean
    torch.testing.assert_close(one, posterior.mean[:1], atol=1e-5, rtol=1e-4)
    lifter.save_pretrained(tmp_path / "saved")
    torch.testing.assert_close(load(tmp_path / "saved")(keypoints).mean, posterior.mean)
    assert lifter(observations.keypoints[:0]).mean.shape == (0, 17, 3)


@pytest.mark.parametrize("name", CONFIGS)
def test_hidden_joints_change_nothing(name, observations):
    torch.manual_seed(0)
    lifter = make(name).eval()
    keypoints = observations.keypoints[:8]
    for value in (1e4, math.nan):
        other = torch.where(keypoints.visible.unsqueeze(-1), keypoints.xy, torch.tensor(value))
        changed = Keypoints2D(
            other, keypoints.covariance, keypoints.visible, keypoints.image_size,
            intrinsics=keypoints.intrinsics, height=keypoints.height,
        )  # fmt: skip
        assert torch.equal(lifter(changed).mean, lifter(keypoints).mean)


def test_image_offsets_take_the_root_or_the_middle():
    xy = torch.arange(34.0).reshape(1, 17, 2)
    visible = torch.ones(1, 17, dtype=torch.bool)
    torch.testing.assert_close(image_offsets(Keypoints2D(xy)), xy - xy[:, :1])
    visible[0, 0] = False
    offsets = image_offsets(Keypoints2D(xy, visible=visible))
    torch.testing.assert_close(offsets[0, 1:].mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    assert (offsets[0, 0] == 0).all()


# -- distributions ---------------------------------------------------------------------------------------------


def test_point_mass(people):
    point = DeltaPoseDistribution(people + 1.0)
    torch.testing.assert_close(point.mean, people, atol=1e-6, rtol=0)
    torch.testing.assert_close(point.root_offset, torch.ones(32, 3))
    assert (point.stddev == 0).all()
    assert torch.equal(point.sample((3,))[2], point.mean)
    poses, weights = point.weighted_rsample(7)
    assert poses.shape == (1, 32, 17, 3)
    assert (weights == 1).all()
    with pytest.raises(NotImplementedError, match="DeltaPoseDistribution has no density"):
        point.log_prob(people)


@pytest.mark.parametrize(("family", "torch_family"), [("gaussian", Normal), ("laplace", Laplace)])
def test_residual_density_is_torch_s_and_samples_agree(people, family, torch_family):
    import roma

    generator = torch.Generator().manual_seed(0)
    loc, value = people[:4].double(), people[4:8].double()
    scale = 0.05 + 0.1 * torch.rand(4, 16, 3, generator=generator, dtype=torch.float64)
    turn = roma.rotvec_to_rotmat(torch.randn(4, 3, generator=generator, dtype=torch.float64))
    posterior = IndependentPoseDistribution(loc, scale, family, turn)
    turned = ((value - loc)[:, 1:]) @ turn.transpose(-1, -2)
    per_axis = torch_family(torch.zeros_like(scale), scale).log_prob(turned)
    torch.testing.assert_close(posterior.log_prob(value), per_axis.sum((-2, -1)), atol=1e-9, rtol=0)
    observed = torch.rand(4, 17, generator=generator) < 0.7
    some = torch.where(observed.unsqueeze(-1), value, math.nan)
    part = (per_axis.sum(-1) * observed[:, 1:]).sum(-1)
    torch.testing.assert_close(posterior.log_prob(some, observed=observed), part, atol=1e-9, rtol=0)
    drawn = posterior.sample((40_000,), seed=3)
    assert (drawn[:, :, 0] == 0).all()
    torch.testing.assert_close(drawn.mean(0), posterior.mean, atol=6e-3, rtol=0)  # 0.001 is one standard error
    offset = drawn - posterior.mean
    empirical = torch.einsum("sbji,sbjk->bjik", offset, offset) / len(drawn)
    torch.testing.assert_close(empirical, posterior.covariance, atol=1.5e-3, rtol=0)


def test_mixture_weighted_draws_estimate_expectations():
    from poseterior.distributions.mixture import MixturePoseDistribution

    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(2, 3, 16, 3, generator=generator)
    tril = 0.1 * torch.eye(3).expand(2, 3, 16, 3, 3)
    factor = 0.3 * torch.randn(2, 1, 48, 2, generator=generator)
    mixture = MixturePoseDistribution(torch.randn(2, 3, generator=generator), loc, tril, factor)
    torch.manual_seed(0)
    poses, weights = mixture.weighted_rsample(20_000)
    assert poses.shape == (60_000, 2, 17, 3)
    torch.testing.assert_close(weights.sum(0), torch.ones(2), atol=1e-4, rtol=0)
    mean = (weights[..., None, None] * poses).sum(0)
    torch.testing.assert_close(mean, mixture.mean, atol=5e-3, rtol=0)
    variance = (weights[..., None, None] * (poses - mean).square()).sum(0)
    torch.testing.assert_close(variance, mixture.variance, atol=2e-2, rtol=0.02)


# -- error bars ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_calibrate_recovers_known_errors(family, observations):
    """Truths drawn around the lifter's own poses: the fitted errors are those they were drawn with."""
    torch.manual_seed(0)
    lifter = RegressionLifter(RegressionConfig(width=32, blocks=1, spread=family)).eval()
    many = Simulator(made_up_mocap(100, 2))(6000, torch.Generator().manual_seed(1))
    expected = torch.tensor([0.03, 0.04, 0.12]) * torch.linspace(0.5, 1.5, 16)[:, None]
    lifter.residual[0], lifter.residual[1] = 2 * expected, expected
    truth = lifter(many.keypoints).sample(generator=torch.Generator().manual_seed(5))
    lifter.residual.fill_(9.0)
    lifter.calibrate(dataclasses.replace(many, pose=truth))
    # The worst of 48 is 0.029 ± 0.009 off (gaussian), 0.038 ± 0.010 (laplace) over 6 runs; by the other family's
    # formula 0.22 and 0.46.
    torch.testing.assert_close(lifter.residual[1], expected, rtol=0.08, atol=0)
    torch.testing.assert_close(lifter.residual[0], 2 * expected, rtol=0.12, atol=0)
    ranks = (lifter(many.keypoints).log_prob(truth)).mean()
    assert ranks.isfinite()


def test_wrong_configurations():
    for values, message in (
        ({"spread": "wide"}, "lifter.spread: expected one of 'none', 'gaussian', 'laplace', got 'wide'"),
        ({"dropout": 2}, "lifter.dropout: expected a number from 0 to 0.99, got 2"),
        ({"blocks": 0}, "lifter.blocks: expected a whole number, at least 1, got 0"),
    ):
        with pytest.raises(InputError) as error:
            RegressionConfig.from_dict(values)
        assert str(error.value) == message


# -- the supervised objective ----------------------------------------------------------------------------------


def test_absent_joints_do_not_count(observations):
    torch.manual_seed(0)
    lifter = make("ours").eval()
    observed = observations.observed.clone()
    observed[:, 5] = False
    part = dataclasses.replace(observations, observed=observed)
    broken = dataclasses.replace(part, pose=torch.where(observed.unsqueeze(-1), part.pose, 77.0))
    for loss in ("mse", "mpjpe"):
        objective = Regression(loss)
        torch.testing.assert_close(objective(lifter, broken), objective(lifter, part))
