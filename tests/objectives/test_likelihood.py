import math
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from poseterior.data.observations import Observations
from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.files.errors import InputError
from poseterior.keypoints import Keypoints2D
from poseterior.lifters.mdn import MixtureConfig, MixtureDensityLifter
from poseterior.objectives import make_objective, objective_names
from poseterior.objectives.likelihood import Likelihood, dirichlet_penalty


def golden(dtype: torch.dtype = torch.float64):
    """The reference's formulas: N = 4, c = 48, K = 5."""
    i = torch.arange(4, dtype=dtype)[:, None, None]
    d = torch.arange(48, dtype=dtype)[None, :, None]
    k = torch.arange(5, dtype=dtype)[None, None, :]
    y = (0.3 * i + 0.7 * d).sin().squeeze(-1)
    mu = 0.5 * (0.2 * i + 0.1 * d + 0.9 * k).cos()
    sigma = (0.3 + 0.2 * k + 0.05 * i).squeeze(1)
    logits = (0.4 * k - 0.1 * i).squeeze(1)
    return y, mu, sigma, logits


def as_poses(y, mu, sigma, logits) -> tuple[MixturePoseDistribution, torch.Tensor]:
    loc = mu.transpose(-1, -2).unflatten(-1, (16, 3))
    tril = sigma[..., None, None, None] * torch.eye(3, dtype=y.dtype).expand(4, 5, 16, 3, 3)
    poses = torch.cat([torch.zeros(4, 1, 3, dtype=y.dtype), y.unflatten(-1, (16, 3))], 1)
    return MixturePoseDistribution(logits, loc, tril), poses


def test_golden_nll():
    d, poses = as_poses(*golden())
    assert float(-d.log_prob(poses).mean()) == pytest.approx(59.353615, abs=1e-6)


def test_nll_equals_torch():
    y, mu, sigma, logits = golden()
    components = Independent(Normal(mu.transpose(-1, -2), sigma.unsqueeze(-1)), 1)
    expected = MixtureSameFamily(Categorical(logits=logits), components).log_prob(y)
    d, poses = as_poses(y, mu, sigma, logits)
    torch.testing.assert_close(d.log_prob(poses), expected)


def test_golden_dirichlet():
    logits = golden()[-1]
    assert float(dirichlet_penalty(logits.log_softmax(-1))) == pytest.approx(8.821097, abs=1e-6)


def test_dirichlet_is_least_at_uniform_weights():
    logits = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    penalty = dirichlet_penalty(logits.log_softmax(-1))
    assert float(penalty) == pytest.approx(5 * math.log(5), abs=1e-9)
    (gradient,) = torch.autograd.grad(penalty, logits)
    assert gradient.abs().max() < 1e-12


@pytest.mark.parametrize("scale", [1e3, -1e3])
def test_extreme_logits_stay_finite(scale):
    y, mu, sigma, _ = golden(torch.float32)
    logits = torch.tensor([scale, 0.0, -scale, 0.0, 0.0]).expand(4, 5).clone().requires_grad_()
    d, poses = as_poses(y, mu, 1e-3 * sigma, logits)
    loss = -d.log_prob(100 * poses).mean() + dirichlet_penalty(d.log_weights)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def small_case(n: int = 6):
    torch.manual_seed(0)
    lifter = MixtureDensityLifter(MixtureConfig(kernels=2, rank=1, width=16, blocks=1))
    pose = 0.3 * torch.randn(n, 17, 3)
    pose[:, 0] = 0
    keypoints = Keypoints2D(200 + 100 * pose[..., :2], image_size=(400, 400))
    ones = torch.ones(n, 17, dtype=torch.bool)
    return lifter, Observations(keypoints, pose, ones, torch.zeros(n, 3), torch.arange(n))


def test_terms_and_their_weights():
    lifter, observations = small_case()
    total = Likelihood(per_dimension=False)(lifter, observations)["nll"]
    per_dimension = Likelihood()(lifter, observations)["nll"]
    torch.testing.assert_close(total / 48, per_dimension)
    terms = Likelihood(dirichlet=0.5)(lifter, observations)
    assert set(terms) == {"nll", "dirichlet"}
    expected = 0.5 * dirichlet_penalty(lifter(observations.keypoints).log_weights)
    torch.testing.assert_close(terms["dirichlet"], expected)


def test_joints_that_the_source_lacks_do_not_matter():
    lifter, observations = small_case()
    observed = observations.observed.clone()
    observed[:, 10] = False
    losses = []
    for junk in (0.0, float("nan")):
        pose = observations.pose.clone()
        pose[:, 10] = junk
        changed = Observations(observations.keypoints, pose, observed, observations.root, observations.index)
        losses.append(Likelihood()(lifter, changed)["nll"])
    assert torch.equal(*losses)
    losses[0].backward()
    assert all(p.grad.isfinite().all() for p in lifter.parameters() if p.grad is not None)


def test_registry():
    assert "likelihood" in objective_names()
    assert make_objective("likelihood", {"dirichlet": 1.0}).dirichlet == 1.0
    with pytest.raises(InputError, match="unknown objective 'wishes'; known: "):
        make_objective("wishes")
    with pytest.raises(InputError, match=r"objective 'likelihood': .*strength"):
        make_objective("likelihood", {"strength": 1.0})


def test_a_lifter_without_density_is_refused():
    lifter, observations = small_case()

    class NoDensity(type(lifter)):
        def forward(self, keypoints):
            return SimpleNamespace(has_density=False)

    lifter.__class__ = NoDensity
    with pytest.raises(InputError, match="needs a density"):
        Likelihood()(lifter, observations)


@pytest.mark.slow
def test_toy_depth_flip_is_found():
    """One joint at depth +-0.5 with equal odds: two kernels find both (alpha .5 +- .05, NLL within .02 nats)."""
    torch.manual_seed(0)
    logits = torch.zeros(2, requires_grad=True)
    loc = torch.tensor([[0.0, 0.0, 0.1], [0.0, 0.0, -0.1]], requires_grad=True)
    raw = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([logits, loc, raw], lr=0.02)

    def draw(n: int) -> torch.Tensor:
        y = 0.05 * torch.randn(n, 3)
        y[:, 2] += torch.where(torch.rand(n) < 0.5, 0.5, -0.5)
        return y

    def mixture() -> MixtureSameFamily:
        sigma = torch.nn.functional.softplus(raw)[:, None].expand(2, 3) + 1e-3
        return MixtureSameFamily(Categorical(logits=logits), Independent(Normal(loc, sigma), 1))

    for _ in range(800):
        optimizer.zero_grad()
        (-mixture().log_prob(draw(256)).mean()).backward()
        optimizer.step()
    assert sorted(loc[:, 2].tolist()) == pytest.approx([-0.5, 0.5], abs=0.02)
    assert logits.softmax(-1).tolist() == pytest.approx([0.5, 0.5], abs=0.05)
    truth = math.log(2) + 3 * (0.5 * math.log(2 * math.pi * math.e) + math.log(0.05))
    assert float(-mixture().log_prob(draw(20_000)).mean()) == pytest.approx(truth, abs=0.02)
