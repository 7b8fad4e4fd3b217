"""The conditional flow: a proper density, any joint missing, uncertainty as evidence."""

import dataclasses
import math

import pytest
import torch

from poseterior.distributions.flow import FlowPoseDistribution
from poseterior.files.errors import InputError
from poseterior.geometry.cameras import project
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import load, method_names
from poseterior.lifters.flow import FlowConfig, FlowLifter
from poseterior.lifters.regression import RegressionConfig, RegressionLifter

SMALL = FlowConfig(layers=4, hidden=24, context=16, rank=2, width=32, blocks=1)
INTRINSICS = torch.tensor([1000.0, 1000.0, 500.0, 500.0])


@pytest.fixture
def keypoints(people) -> Keypoints2D:
    return Keypoints2D(project(people + torch.tensor([0.2, 0.1, 4.0]), INTRINSICS), intrinsics=INTRINSICS)


def bent(config: FlowConfig = SMALL, seed: int = 0) -> FlowLifter:
    """A lifter whose couplings are not the identity that they start as."""
    torch.manual_seed(seed)
    lifter = FlowLifter(config).eval().requires_grad_(False)
    for parameter in lifter.couplings.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    return lifter


@pytest.fixture(params=["affine", "spline"])
def lifter(request) -> FlowLifter:
    return bent(dataclasses.replace(SMALL, coupling=request.param))


# -- the distribution ------------------------------------------------------------------------------------------


def test_shapes_root_and_reproducibility(lifter, keypoints):
    posterior = lifter(keypoints)
    assert isinstance(posterior, FlowPoseDistribution)
    assert posterior.batch_shape == (32,)
    assert posterior.event_shape == (17, 3)
    assert posterior.has_density
    assert not posterior.can_marginalise
    drawn = posterior.sample((5, 2), seed=3)
    assert drawn.shape == (5, 2, 32, 17, 3)
    assert torch.equal(drawn, posterior.sample((5, 2), seed=3))
    assert not torch.equal(drawn, posterior.sample((5, 2), seed=4))
    for pose in (drawn, posterior.mean, posterior.z0, posterior.mode):
        assert torch.equal(pose[..., 0, :], torch.zeros_like(pose[..., 0, :]))
    assert posterior.log_prob(drawn).shape == (5, 2, 32)
    poses, weights = posterior.cluster(4)
    assert poses.shape == (32, 4, 17, 3)
    assert torch.allclose(weights.sum(-1), torch.ones(32))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_any_batch_shape(shape):
    lifter = bent()
    xy = 500 + 100 * torch.rand(*shape, 17, 2)
    posterior = lifter(Keypoints2D(xy, image_size=torch.tensor([1000.0, 1000.0])))
    drawn = posterior.sample((4,))
    assert drawn.shape == (4, *shape, 17, 3)
    assert posterior.log_prob(drawn).shape == (4, *shape)
    assert posterior.mode.shape == (*shape, 17, 3)
    flat = lifter(Keypoints2D(xy.reshape(-1, 17, 2), image_size=torch.tensor([1000.0, 1000.0])))
    assert torch.allclose(
        posterior.log_prob(drawn).flatten(), flat.log_prob(drawn.reshape(4, -1, 17, 3)).flatten(), atol=2e-3
    )


def test_empty_batch(keypoints):
    posterior = bent()(keypoints[torch.zeros(0, dtype=torch.long)])
    assert posterior.sample((3,)).shape == (3, 0, 17, 3)
    assert posterior.mean.shape == (0, 17, 3)
    assert posterior.mode.shape == (0, 17, 3)


def test_log_density_against_the_autograd_jacobian(lifter, keypoints):
    """Float64, from the pose in camera axes to the latent; error at most 1e-9."""
    lifter = lifter.double()
    posterior = lifter(keypoints[torch.tensor([0])])
    pose = posterior.sample((1,), seed=0)[0]
    assert pose.dtype == torch.float64

    def latent(nonroot: torch.Tensor) -> torch.Tensor:
        turned = nonroot.reshape(16, 3) @ posterior.rotation[0].T
        return posterior.transform(turned.reshape(1, 48))[0]

    flat = pose[0, 1:].flatten()
    jacobian = torch.autograd.functional.jacobian(latent, flat)
    z = latent(flat)
    expected = -0.5 * z.square().sum() - 24 * math.log(2 * math.pi) + torch.linalg.slogdet(jacobian).logabsdet
    assert abs(float(posterior.log_prob(pose)[0] - expected)) <= 1e-9


def test_temperature_scales_the_latents(keypoints):
    lifter = bent()
    warm = bent(dataclasses.replace(SMALL, temperature=1.5))
    cool = lifter(keypoints)
    drawn = warm(keypoints).sample((3,), generator=torch.Generator().manual_seed(0))
    latents, ladj = cool.transform.call_and_ladj((drawn[..., 1:, :] @ cool.rotation.transpose(-1, -2)).flatten(-2))
    normal = torch.distributions.Normal(0.0, 1.5)
    assert torch.allclose(warm(keypoints).log_prob(drawn), ladj + normal.log_prob(latents).sum(-1), atol=1e-3)
    again = torch.randn(3, 32, 48, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(latents, 1.5 * again, atol=1e-3)


def test_mean_and_covariance_are_those_of_many_samples(keypoints):
    posterior = bent()(keypoints[torch.arange(4)])
    many = posterior.sample((20_000,), seed=1)
    error = (posterior.mean - many.mean(0)).norm(dim=-1)
    assert float((error / many.std(0).norm(dim=-1).clamp(min=1e-6))[:, 1:].max()) < 0.25
    assert torch.allclose(posterior.stddev[:, 1:], many.std(0)[:, 1:], rtol=0.3)


def test_samples_carry_gradients_only_when_asked(keypoints):
    torch.manual_seed(0)
    posterior = FlowLifter(SMALL)(keypoints)
    assert posterior.has_rsample
    assert posterior.rsample((2,)).requires_grad
    assert not posterior.sample((2,)).requires_grad


def test_mode_is_a_local_maximum_above_its_start(lifter, keypoints):
    posterior = lifter(keypoints[torch.arange(3)])
    mode = posterior.mode
    height = posterior.log_prob(mode)
    assert bool((height >= posterior.log_prob(posterior.z0) - 1e-3).all())
    assert bool((height >= posterior.log_prob(posterior.sample((63,), seed=0)).amax(0) - 1e-3).all())
    assert not mode.requires_grad


def test_zero_latent_is_the_image_of_zero(keypoints):
    posterior = bent()(keypoints)
    latent = posterior.transform((posterior.z0[..., 1:, :] @ posterior.rotation.transpose(-1, -2)).flatten(-2))
    assert float(latent.abs().max()) < 1e-4


def test_marginal_density_is_refused(keypoints):
    posterior = bent()(keypoints)
    observed = torch.ones(32, 17, dtype=torch.bool)
    pose = posterior.sample(seed=0)
    assert torch.equal(posterior.log_prob(pose, observed), posterior.log_prob(pose))
    observed[0, 3] = False
    with pytest.raises(NotImplementedError, match="FlowPoseDistribution has no marginal densities: log_prob needs"):
        posterior.log_prob(pose, observed)


# -- evidence --------------------------------------------------------------------------------------------------


def test_hidden_joints_carry_no_information(lifter, keypoints):
    visible = torch.ones(32, 17, dtype=torch.bool)
    visible[:, [3, 10]] = False
    plain = Keypoints2D(keypoints.xy, visible=visible, intrinsics=INTRINSICS)
    strange = keypoints.xy.clone()
    strange[:, 3] = float("nan")
    strange[:, 10] = -1e6
    other = Keypoints2D(strange, visible=visible, intrinsics=INTRINSICS)
    pose = lifter(plain).sample((3,), seed=0)
    assert torch.equal(lifter(plain).log_prob(pose), lifter(other).log_prob(pose))
    assert torch.equal(pose, lifter(other).sample((3,), seed=0))


def test_every_visibility_mask_is_valid(keypoints):
    """A random 4,096 of the 2^17 masks, and those with 0, 1 and 2 joints."""
    lifter = bent()
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(4096, 17, generator=generator) < torch.rand(4096, 1, generator=generator)
    few = torch.eye(17, dtype=torch.bool)
    pairs = torch.tensor([[i in (a, b) for i in range(17)] for a in range(17) for b in range(a)])
    masks = torch.cat([masks, few, pairs, torch.zeros(1, 17, dtype=torch.bool)])
    xy = keypoints.xy[torch.arange(len(masks)) % 32]
    posterior = lifter(Keypoints2D(xy, visible=masks, intrinsics=INTRINSICS))
    drawn = posterior.sample(seed=0)
    assert bool(drawn.isfinite().all())
    assert bool(posterior.log_prob(drawn).isfinite().all())


def test_factored_sampler_equals_the_naive_one(keypoints):
    """Samples of one evidence are those of the evidence repeated for each sample."""
    lifter = bent()
    together = lifter(keypoints).sample((5,), generator=torch.Generator().manual_seed(0))
    repeated = keypoints[torch.arange(32).repeat(5)]
    apart = lifter(repeated)
    latent = torch.randn(5, 32, 48, generator=torch.Generator().manual_seed(0)).reshape(160, 48)
    assert torch.allclose(together.reshape(160, 17, 3), apart.from_latent(latent), atol=1e-5)


# -- training and files ----------------------------------------------------------------------------------------


def test_maximum_likelihood_learns_and_calibrates(people, keypoints):
    from poseterior.data.observations import Observations

    torch.manual_seed(0)
    lifter = FlowLifter(SMALL)
    optimiser = torch.optim.Adam(lifter.parameters(), 3e-3)
    first = float(-lifter(keypoints).log_prob(people).mean())
    for _ in range(60):
        loss = -lifter(keypoints).log_prob(people).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    last = float(-lifter(keypoints).log_prob(people).mean())
    assert last < first - 10
    seen = torch.ones(32, 17, dtype=torch.bool)
    lifter.calibrate(Observations(keypoints, people, seen, torch.zeros(32, 3), torch.arange(32)))
    best = float(-lifter(keypoints).log_prob(people).mean())
    assert best <= last + 1e-3
    assert 0.4 < lifter.config.temperature < 2.1


def test_saves_and_loads(tmp_path, lifter, keypoints):
    lifter.save_pretrained(tmp_path / "weights")
    again = load(tmp_path / "weights")
    assert again.config == lifter.config
    assert torch.equal(again(keypoints).sample((2,), seed=0), lifter(keypoints).sample((2,), seed=0))


def test_configuration_is_checked():
    assert "flow" in method_names()
    for values, message in (
        ({"coupling": "cubic"}, "lifter.coupling: expected 'affine' or 'spline', got 'cubic'"),
        ({"layers": 0}, "lifter.layers: expected a whole number, at least 1, got 0"),
        ({"bins": 1}, "lifter.bins: expected a whole number, at least 2, got 1"),
        ({"temperature": 0}, "lifter.temperature: expected a number from 0.001 to 1000.0, got 0"),
    ):
        with pytest.raises(InputError) as error:
            FlowConfig.from_dict(values)
        assert str(error.value) == message


def test_a_shallower_flow_starts_from_the_couplings_nearest_to_the_poses() -> None:
    deep = bent()
    shallow = FlowLifter.started_from(deep, {"layers": 3})
    assert isinstance(shallow, FlowLifter)
    assert shallow.config.layers == 3 == len(shallow.couplings.nets) == len(shallow.couplings.orders)
    kept = deep.state_dict()
    for name, value in shallow.state_dict().items():
        assert torch.equal(value, kept[name][:3] if name == "couplings.orders" else kept[name]), name
    for layers in (4, 9, None):
        assert FlowLifter.started_from(deep, {"layers": layers}) is deep
    assert FlowLifter.started_from(RegressionLifter(RegressionConfig(width=8, blocks=1)), {"layers": 3}) is None
