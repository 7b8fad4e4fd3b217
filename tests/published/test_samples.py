import dataclasses
import itertools

import pytest
import torch
from torch import nn

from poseterior.data.observations import Observations
from poseterior.files.errors import InputError
from poseterior.geometry.kinematics import kinematic_chain_space
from poseterior.keypoints import Keypoints2D
from poseterior.lifters.flow import FlowConfig, FlowLifter
from poseterior.lifters.mdn import MixtureConfig, MixtureDensityLifter
from poseterior.objectives import make_objective
from poseterior.objectives.critics import critic_loss, gradient_penalty
from poseterior.objectives.likelihood import Likelihood
from poseterior.published.wehrbein_2021.lifter import PublishedFlowLifter
from poseterior.published.wehrbein_2021.network import POSE_JOINTS, keypoint_condition, pose_to_vector
from poseterior.published.wehrbein_2021.objective import (
    CHAIN,
    KinematicCritic,
    Samples,
    heatmap_covariance_loss,
    mean_absolute_error,
    mean_of_best_loss,
    mmd,
)

TERMS = ["keypoints", "mmd", "deterministic", "mean_of_best", "covariance", "adversarial"]
SAMPLES_ONLY = {"keypoints": 0, "mmd": 0, "deterministic": 0, "hypotheses": 4, "best": 2, "critic_steps": 2}


def arange(n: int) -> torch.Tensor:
    return torch.arange(n, dtype=torch.float64)


# -- the losses ----------------------------------------------------------------------------------------------


def golden_clouds() -> tuple[torch.Tensor, torch.Tensor]:
    i, j = arange(8)[:, None], arange(48)
    return 0.2 * (0.1 * i + 0.3 * j).sin(), 0.2 * (0.15 * i + 0.25 * j).cos()


def test_golden_mmd():
    x, y = golden_clouds()
    assert float(mmd(x, y)) == pytest.approx(1.697251, abs=1e-6)
    assert float(mmd(x, x)) == pytest.approx(0.0, abs=1e-12)


def test_mmd_has_gradients_where_points_coincide():
    x, y = golden_clouds()
    points = x[:1].expand(8, 48).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(mmd(points, y), points)
    assert gradient.isfinite().all()
    assert gradient.any()
    assert torch.autograd.gradcheck(lambda v: mmd(v, y), x[:3].clone().requires_grad_())


def test_mmd_keeps_small_distances_of_far_points():
    """Points 1e-2 apart, 1e3 from the origin, in float32: an expansion by dot products would see noise."""
    shift = torch.zeros(4, 48, dtype=torch.float64)
    shift[:, 0] = 1e3
    x = shift + 2**-7 * torch.eye(4, 48, dtype=torch.float64)
    y = shift + 2**-6 * torch.eye(4, 48, dtype=torch.float64).roll(4, -1)
    assert float(mmd(x.float(), y.float())) == pytest.approx(float(mmd(x, y)), rel=1e-4)


def golden_covariance() -> tuple[torch.Tensor, torch.Tensor]:
    h, b = arange(7)[:, None, None, None], arange(2)[:, None, None]
    a, k = arange(3)[:, None], arange(16)
    vectors = 0.02 * (0.9 * h + 0.5 * b + 1.3 * a + 0.7 * k + 0.37 * h * k).sin()
    j, b = arange(13), arange(2)[:, None]
    variance_x, variance_y = 0.01 + 0.002 * j + 0.01 * b, (0.012 + 0.0015 * j).expand(2, 13)
    condition = torch.zeros(2, 13, 6, dtype=torch.float64)
    condition[..., 3:] = torch.stack([variance_x, 0.001 * (j + b).sin(), variance_y], -1)
    return vectors.flatten(-2), condition


def test_golden_covariance_loss():
    assert float(heatmap_covariance_loss(*golden_covariance())) == pytest.approx(0.0001742220, abs=1e-10)


def test_covariance_loss_of_joints_that_are_sure_is_zero():
    vectors, condition = golden_covariance()
    condition[..., [3, 5]] = (2.0999 / 20) ** 2
    assert float(heatmap_covariance_loss(vectors, condition)) == 0.0
    condition[0, 0, 5] = (2.1001 / 20) ** 2
    assert float(heatmap_covariance_loss(vectors, condition)) > 0.0


def test_covariance_loss_does_not_pull_in_what_is_spread_too_far():
    """Hypotheses with more variance than the heatmaps and their covariance cost nothing; gradients stay finite."""
    vectors, condition = golden_covariance()
    signs = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    plane = 0.5 * signs.repeat(2, 1)[:, None, :, None].expand(8, 2, 2, 16).clone()
    plane[..., [0, 3]] = 0.0  # the hips stay
    vectors = torch.cat([plane, torch.zeros(8, 2, 1, 16, dtype=torch.float64)], -2).flatten(-2).requires_grad_()
    condition[..., 4] = 0.0
    loss = heatmap_covariance_loss(vectors, condition)
    assert float(loss) < 1e-15
    (gradient,) = torch.autograd.grad(loss, vectors)
    assert gradient.isfinite().all()


def test_mean_absolute_error():
    assert float(mean_absolute_error(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 1.0]]))) == 2.0


def test_mean_of_the_best():
    target = torch.zeros(2, 17, 3)
    offsets = torch.tensor([0.4, 0.1, -0.3, 0.2])
    hypotheses = offsets[:, None, None, None].expand(4, 2, 17, 3).clone().requires_grad_()
    assert float(mean_of_best_loss(hypotheses, target, 1)) == pytest.approx(0.1)
    assert float(mean_of_best_loss(hypotheses, target, 3)) == pytest.approx(0.0, abs=1e-7)
    loss = mean_of_best_loss(hypotheses, target, 2)
    assert float(loss) == pytest.approx(0.15)
    (gradient,) = torch.autograd.grad(loss, hypotheses)
    assert gradient[[1, 3]].all()
    assert not gradient[[0, 2]].any()


def test_best_error_does_not_grow_with_more_hypotheses():
    generator = torch.Generator().manual_seed(0)
    # Along one direction, so that the ranking by MPJPE is that by L1.
    along = torch.rand(50, 3, 1, 1, generator=generator)
    hypotheses, target = along.expand(50, 3, 17, 3), torch.full((3, 17, 3), 0.5)
    losses = [float(mean_of_best_loss(hypotheses[:count], target, 1)) for count in range(1, 51)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(losses))


# -- the critic ----------------------------------------------------------------------------------------------


def test_golden_kinematic_chain_space():
    n = arange(16)
    joints = torch.stack([100 * n.sin(), 300 * (0.5 * n).cos(), 50 * (2 * n).sin()], -1) / 1000
    vector = pose_to_vector(torch.cat([torch.zeros(1, 3, dtype=torch.float64), joints]))
    psi = kinematic_chain_space(vector.unflatten(-1, (3, 16)).T, CHAIN)
    assert psi.shape == (16, 16)
    assert float(psi.trace()) == pytest.approx(1.205920, abs=1e-6)
    assert float(psi.sum()) == pytest.approx(0.276101, abs=1e-6)
    assert float(psi[0, 1]) == pytest.approx(0.000499, abs=1e-6)
    assert float(psi[13, 14]) == pytest.approx(0.166411, abs=1e-6)


def test_chain():
    assert len(CHAIN) == len(set(CHAIN)) == 16
    assert {joint for pair in CHAIN for joint in pair} == set(range(len(POSE_JOINTS)))


def test_golden_number_of_critic_parameters():
    critic = KinematicCritic()
    assert sum(p.numel() for p in critic.parameters()) == 2_404_401
    assert critic(torch.randn(3, 5, 48)).shape == (3, 5)


class Linear(nn.Module):
    """``scale * x[0]``: a critic whose gradient has length ``scale`` everywhere."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x):
        return self.scale * x[:, 0]


def test_gradient_penalty():
    real, fake, share = torch.randn(6, 48), torch.randn(6, 48), torch.rand(6, 1)
    assert float(gradient_penalty(Linear(1.0), real, fake, share)) == pytest.approx(0.0, abs=1e-12)
    assert float(gradient_penalty(Linear(3.0), real, fake, share)) == pytest.approx(4.0, abs=1e-5)
    flat = Linear(0.0)
    gradient_penalty(flat, real, fake, share).backward()
    assert flat.scale.grad.isfinite()


def test_critic_loss():
    real, fake = torch.randn(6, 48), torch.randn(6, 48)
    expected = 3.0 * (fake[:, 0].mean() - real[:, 0].mean()) + 10.0 * 4.0
    torch.testing.assert_close(critic_loss(Linear(3.0), real, fake, torch.rand(6, 1)), expected)


def test_critic_learns_to_tell_poses_from_noise(people):
    torch.manual_seed(0)
    critic, real = KinematicCritic(), pose_to_vector(people)
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
    for _ in range(30):
        loss = critic_loss(critic, real, 0.5 * torch.randn(32, 48), torch.rand(32, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert critic(real).mean() > critic(0.5 * torch.randn(32, 48)).mean() + 0.5


# -- the objective -------------------------------------------------------------------------------------------


def observe(people: torch.Tensor) -> Observations:
    n = len(people)
    keypoints = Keypoints2D(500 + 200 * people[..., :2], covariance=torch.full((n, 17), 15.0), image_size=(1000, 1000))
    return Observations(keypoints, people, torch.ones(n, 17).bool(), torch.zeros(n, 3), torch.arange(n))


@pytest.fixture
def observations(people) -> Observations:
    return observe(people[:8])


@pytest.fixture
def published() -> PublishedFlowLifter:
    torch.manual_seed(0)
    return PublishedFlowLifter()


def small_flow() -> FlowLifter:
    torch.manual_seed(0)
    return FlowLifter(FlowConfig(layers=2, hidden=16, context=8, rank=1, width=16, blocks=1))


def test_terms_and_their_weights(published, observations):
    objective = Samples(hypotheses=4, best=2)
    torch.manual_seed(1)
    terms = objective(published, observations)
    assert list(terms) == TERMS
    assert all(value.ndim == 0 and value.isfinite() for value in terms.values())
    heavier = Samples(hypotheses=4, best=2, **{"keypoints": 3.0, "mmd": 5.0, "covariance": 75.0})
    heavier.critic.network.load_state_dict(objective.critic.network.state_dict())
    torch.manual_seed(1)
    others = heavier(published, observations)
    for name, factor in {"keypoints": 3.0, "mmd": 0.5, "mean_of_best": 1.0, "covariance": 0.1}.items():
        torch.testing.assert_close(others[name], factor * terms[name])


def test_terms_are_their_losses(published, observations):
    objective = Samples(hypotheses=4, best=2)
    posterior, truth = published(observations.keypoints), pose_to_vector(observations.pose)
    latent, xy, _ = posterior.network.forward_map(truth, posterior.context)
    torch.manual_seed(1)
    terms = objective(published, observations)
    torch.manual_seed(1)
    drawn = torch.randn_like(latent)
    poses = posterior.rsample((4,))
    torch.testing.assert_close(terms["keypoints"], (xy - posterior.xy).abs().mean())
    torch.testing.assert_close(
        terms["mmd"], 10 * mmd(torch.cat([latent, xy], -1), torch.cat([drawn, posterior.xy], -1))
    )
    again = posterior.network.inverse_map(latent, posterior.xy, posterior.context)
    torch.testing.assert_close(terms["deterministic"], 4 * (again - truth).abs().mean())
    torch.testing.assert_close(terms["mean_of_best"], 4 * mean_of_best_loss(poses, observations.pose, 2))
    condition = keypoint_condition(observations.keypoints)
    torch.testing.assert_close(
        terms["covariance"], 750 * heatmap_covariance_loss(pose_to_vector(poses), condition), rtol=1e-4, atol=1e-4
    )


def test_the_discrepancy_has_gradients_through_the_latents_only(published, observations):
    objective = Samples(**{term: float(term == "mmd") for term in TERMS})
    torch.manual_seed(1)
    objective(published, observations)["mmd"].backward()
    posterior = published(observations.keypoints)
    latent, xy, _ = posterior.network.forward_map(pose_to_vector(observations.pose), posterior.context)
    torch.manual_seed(1)
    drawn = torch.cat([torch.randn_like(latent), posterior.xy], -1)
    weight = published.network.blocks[7].first.leave.weight
    (expected,) = torch.autograd.grad(mmd(torch.cat([latent, xy.detach()], -1), drawn), weight)
    torch.testing.assert_close(weight.grad, expected)


@pytest.mark.parametrize("name", TERMS)
def test_each_loss_trains_the_published_flow_alone(published, observations, name):
    objective = Samples(**{term: float(term == name) for term in TERMS}, hypotheses=4, best=2)
    terms = objective(published, observations)
    assert list(terms) == [name]
    terms[name].backward()
    gradients = [p.grad for p in published.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert any(g.any() for g in gradients)
    assert (objective.critic is not None) == (name == "adversarial")


def test_sample_losses_train_a_flow_with_a_density(observations):
    lifter, objective = small_flow(), Samples(**SAMPLES_ONLY)
    assert objective.update_auxiliary(lifter, observations)["critic"].isfinite()
    terms = objective(lifter, observations)
    assert list(terms) == ["mean_of_best", "covariance", "adversarial"]
    terms |= Likelihood()(lifter, observations)
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad.isfinite().all() for p in lifter.parameters() if p.grad is not None)


def test_losses_that_a_lifter_cannot_have(observations):
    with pytest.raises(InputError) as error:
        Samples(hypotheses=4, best=2, mmd=0)(small_flow(), observations)
    assert str(error.value) == (
        "objective 'samples': keypoints, deterministic: only for the published flow (method "
        "'flow-published'); set to 0 for this lifter ('flow')"
    )
    mixture = MixtureDensityLifter(MixtureConfig(kernels=2, rank=0, width=8, blocks=1))
    for call in (Samples(**SAMPLES_ONLY), Samples(**SAMPLES_ONLY).update_auxiliary):
        with pytest.raises(InputError) as error:
            call(mixture, observations)
        assert str(error.value) == ("objective 'samples' needs samples with gradients (rsample); lifter 'mdn' has none")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mmd": "strong"}, "mmd: expected a finite number from 0, got 'strong'"),
        ({"covariance": -1}, "covariance: expected a finite number from 0, got -1"),
        ({"keypoints": float("nan")}, "keypoints: expected a finite number from 0, got nan"),
        ({"critic_learning_rate": None}, "critic_learning_rate: expected a finite number from 0, got None"),
        ({"hypotheses": 1}, "hypotheses: expected a whole number, at least 2, got 1"),
        ({"hypotheses": 2.5}, "hypotheses: expected a whole number, at least 2, got 2.5"),
        ({"critic_steps": 0}, "critic_steps: expected a whole number, at least 1, got 0"),
        ({"hypotheses": 4}, "best: expected at most hypotheses (4), got 5"),
        (dict.fromkeys(TERMS, 0), "all weights are 0; give at least one loss a weight"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InputError) as error:
        make_objective("samples", settings)
    assert str(error.value) == f"objective 'samples': {message}"


def test_poses_that_lack_a_joint_are_left_out(published, people):
    observed = torch.ones(8, 17, dtype=torch.bool)
    observed[2, 10] = observed[5] = False
    pose = people[:8].clone()
    pose[~observed] = float("nan")
    lacking = dataclasses.replace(observe(people[:8]), pose=pose, observed=observed)
    kept = observe(people[[0, 1, 3, 4, 6, 7]])
    objective = Samples(hypotheses=4, best=2)
    made = []
    for case in (lacking, kept):
        torch.manual_seed(1)
        made.append(objective(published, case))
    for name in TERMS:
        assert torch.equal(made[0][name], made[1][name])
    nothing = dataclasses.replace(lacking, observed=torch.zeros_like(observed))
    with pytest.raises(InputError, match="needs poses with every joint: none of this batch has"):
        objective(published, nothing)


def test_poses_without_a_shape_leave_losses_and_gradients_finite(published, people):
    visible = torch.ones(4, 17, dtype=torch.bool)
    visible[0], visible[1, 1:] = False, False
    pose = people[:4].clone()
    pose[2] = 0.0  # all joints in one place
    xy = 500 + 200 * pose[..., :2]
    keypoints = Keypoints2D(xy, covariance=torch.full((4, 17), 3.0), visible=visible)
    bad = Observations(keypoints, pose, torch.ones(4, 17).bool(), torch.zeros(4, 3), torch.arange(4))
    objective = Samples(hypotheses=4, best=2, critic_steps=1)
    assert objective.update_auxiliary(published, bad)["critic"].isfinite()
    terms = objective(published, bad)
    torch.stack(list(terms.values())).sum().backward()
    assert all(value.isfinite() for value in terms.values())
    assert all(p.grad.isfinite().all() for p in published.parameters())


# -- the critic's own training -------------------------------------------------------------------------------


def test_the_critic_trains_itself_and_nothing_else(published, observations):
    objective = Samples(hypotheses=4, best=2, critic_steps=3)
    lifter_before = {name: value.clone() for name, value in published.state_dict().items()}
    critic_before = {name: value.clone() for name, value in objective.critic.network.state_dict().items()}
    objective.update_auxiliary(published, observations)
    assert all(torch.equal(lifter_before[name], value) for name, value in published.state_dict().items())
    assert all(p.grad is None for p in published.parameters())
    assert any(
        not torch.equal(critic_before[name], value) for name, value in objective.critic.network.state_dict().items()
    )
    assert not any(p.requires_grad for p in objective.parameters())
    assert all(p.grad is None for p in objective.parameters())
    state = objective.critic.get_extra_state()["optimizer"]["state"]
    assert {int(entry["step"]) for entry in state.values()} == {3}
    objective(published, observations)["adversarial"].backward()
    assert all(p.grad is None for p in objective.parameters())


def test_without_the_adversarial_loss_there_is_no_critic(published, observations):
    objective = Samples(adversarial=0, hypotheses=4, best=2)
    assert list(objective.parameters()) == []
    assert objective.update_auxiliary(published, observations) == {}


def test_the_state_holds_the_critic_and_its_optimiser(published, observations, tmp_path):
    """Saved and restored, even before its first update there, a critic goes on as if nothing had happened."""
    one, two, three = (Samples(hypotheses=4, best=2, critic_steps=1) for _ in range(3))
    one.update_auxiliary(published, observations)
    torch.save(one.state_dict(), tmp_path / "state.pt")
    two.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    three.load_state_dict(two.state_dict())
    for objective in (one, three):
        torch.manual_seed(1)
        objective.update_auxiliary(published, observations)
    a, b = one.critic.network.state_dict(), three.critic.network.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
