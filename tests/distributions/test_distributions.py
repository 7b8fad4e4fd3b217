import pytest
import roma
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from poseterior.distributions.mixture import MixturePoseDistribution

J = 16


def mixture(k: int = 3, rank: int = 4, shared: bool = False, batch: int = 5, seed: int = 0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=dtype)

    diagonal = torch.diag_embed(0.1 * (0.3 * randn(batch, k, J, 3)).exp())
    lower = 0.05 * randn(batch, k, J, 3, 3).tril(-1) + diagonal
    factor = 0.7 * randn(batch, 1 if shared else k, J * 3, rank) if rank else None
    rotation = roma.special_gramschmidt(randn(batch, 3, 3))
    return MixturePoseDistribution(randn(batch, k), 0.3 * randn(batch, k, J, 3), lower, factor, rotation)


def reference(d: MixturePoseDistribution) -> MixtureSameFamily:
    """The same mixture with dense covariances, over turned and flattened joints."""
    blocks = d.scale_tril
    lower = torch.zeros(*blocks.shape[:2], J * 3, J * 3, dtype=blocks.dtype)
    for j in range(J):
        lower[..., 3 * j : 3 * j + 3, 3 * j : 3 * j + 3] = blocks[..., j, :, :]
    inner = torch.eye(J * 3, dtype=blocks.dtype).expand_as(lower)
    if d.factor is not None:
        inner = inner + d.factor @ d.factor.transpose(-1, -2)
    covariance = lower @ inner @ lower.transpose(-1, -2)
    return MixtureSameFamily(Categorical(logits=d.log_weights), MultivariateNormal(d.loc.flatten(-2), covariance))


def turned(d: MixturePoseDistribution, poses: torch.Tensor) -> torch.Tensor:
    return (poses[..., 1:, :] @ d.rotation.transpose(-1, -2)).flatten(-2)


KINDS = [{"rank": 0}, {"rank": 4}, {"rank": 4, "shared": True}, {"k": 1}]


@pytest.mark.parametrize("kind", KINDS)
def test_log_prob_is_exact(kind):
    d = mixture(**kind)
    poses = d.sample((7,), seed=0)
    torch.testing.assert_close(d.log_prob(poses), reference(d).log_prob(turned(d, poses)), rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_the_right_moments(kind):
    """40,000 draws: means within 5 standard errors, covariances within 6 %."""
    d = mixture(**kind, dtype=torch.float32)
    draws = d.sample((40_000,), seed=1)
    error = (draws.mean(0) - d.mean).abs()
    assert (error <= 5 * d.stddev / 200 + 1e-7).all()
    centred = draws - draws.mean(0)
    measured = torch.einsum("sbji,sbjk->bjik", centred, centred) / len(draws)
    scale = d.covariance.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    assert ((measured - d.covariance).abs() <= 0.06 * scale + 1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
def test_components_have_the_moments_of_the_dense_form_and_make_the_whole(kind):
    d = mixture(**kind)
    means, covariance = d.component_moments()
    _, loc, dense = d.dense()
    torch.testing.assert_close(means[..., 1:, :].flatten(-2), loc)
    for j in range(J):
        at = slice(3 * j, 3 * j + 3)
        torch.testing.assert_close(covariance[..., j + 1, :, :], dense[..., at, at])
    assert (covariance[..., 0, :, :] == 0).all()
    share = d.log_weights.exp()[..., None, None]
    torch.testing.assert_close((share * means).sum(-3), d.mean)
    offset = (means - d.mean.unsqueeze(-3)).unsqueeze(-1)
    whole = (share.unsqueeze(-1) * (covariance + offset @ offset.mT)).sum(-4)
    torch.testing.assert_close(whole, d.covariance)


def test_samples_follow_the_density():
    """Mean log-density of samples equals that of the dense reference's samples (entropy), within 0.5 nats."""
    d = mixture()
    ours = d.log_prob(d.sample((4000,), seed=0)).mean(0)
    torch.manual_seed(0)
    r = reference(d)
    theirs = r.log_prob(r.sample((4000,))).mean(0)
    torch.testing.assert_close(ours, theirs, atol=0.5, rtol=0)


def test_root_is_zero_and_shapes():
    d = mixture()
    assert d.batch_shape == (5,)
    assert d.event_shape == (17, 3)
    assert d.sample().shape == (5, 17, 3)
    assert d.sample((2, 3)).shape == (2, 3, 5, 17, 3)
    for poses in (d.sample((4,)), d.mean, d.mode, d.hypotheses[0]):
        assert (poses[..., 0, :] == 0).all()
    assert (d.stddev[..., 0, :] == 0).all()
    assert (d.origin, d.units, d.axes) == ("pelvis", "metres", "x right, y down, z forward (camera)")


def test_same_seed_same_samples():
    d = mixture()
    assert torch.equal(d.sample((9,), seed=4), d.sample((9,), seed=4))
    assert not torch.equal(d.sample((9,), seed=4), d.sample((9,), seed=5))


def test_marginal_density():
    d = mixture(shared=True)
    poses = d.sample((3,), seed=0)
    observed = torch.rand(5, 17, generator=torch.Generator().manual_seed(0)) < 0.6
    observed[:, 0] = True
    holes = poses.clone()
    holes[:, ~observed] = float("nan")
    values = d.log_prob(holes, observed=observed)
    r = reference(d)
    for b in range(5):
        kept = observed[b, 1:].repeat_interleave(3)
        covariance = r.component_distribution.covariance_matrix[b][:, kept][:, :, kept]
        marginal = MixtureSameFamily(
            Categorical(logits=d.log_weights[b]),
            MultivariateNormal(d.loc.flatten(-2)[b][:, kept], covariance),
        )
        # The marginal is over whole joints, so it commutes with the turn.
        flat = turned(d, poses)[:, b][:, kept]
        torch.testing.assert_close(values[:, b], marginal.log_prob(flat), rtol=1e-9, atol=1e-8)


def test_everything_observed_is_the_joint_density():
    d = mixture()
    poses = d.sample((2,), seed=0)
    everything = torch.ones(5, 17, dtype=torch.bool)
    torch.testing.assert_close(d.log_prob(poses, observed=everything), d.log_prob(poses))


@pytest.mark.parametrize("kind", KINDS)
def test_mode_is_a_stationary_maximum(kind):
    d = mixture(**kind)
    mode = d.mode
    at_mode = d.log_prob(mode)
    assert (at_mode >= d.log_prob(d.hypotheses[0].transpose(0, 1)).amax(0) - 1e-9).all()
    point = mode.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(d.log_prob(point).sum(), point)
    assert gradient[:, 1:].abs().max() < 1e-3
    nearby = mode + 0.01 * torch.randn(20, 5, 17, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (d.log_prob(nearby) < at_mode).all()


def test_hypotheses_are_sorted_and_turned():
    d = mixture()
    poses, weights = d.hypotheses
    assert (weights.diff(dim=-1) <= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close((weights[..., None, None] * poses).sum(1), d.mean)


def test_stable_at_extremes():
    tiny = MixturePoseDistribution(
        torch.tensor([[1e3, -1e3, 0.0]]), torch.zeros(1, 3, J, 3), torch.full((1, 3, J, 1, 1), 1e-3) * torch.eye(3)
    )
    far = torch.full((1, 17, 3), 100.0)
    assert tiny.log_prob(far).isfinite().all()
    assert tiny.sample((5,)).isfinite().all()


def test_leading_batch_shapes():
    d = mixture(batch=6)
    wide = MixturePoseDistribution(
        d.log_weights.reshape(2, 3, -1), d.loc.reshape(2, 3, 3, J, 3), d.scale_tril.reshape(2, 3, 3, J, 3, 3),
        d.factor.reshape(2, 3, 3, J * 3, -1), d.rotation.reshape(2, 3, 3, 3),
    )  # fmt: skip
    poses = d.sample((4,), seed=0)
    torch.testing.assert_close(wide.log_prob(poses.reshape(4, 2, 3, 17, 3)).reshape(4, 6), d.log_prob(poses))
    torch.testing.assert_close(wide.mode.reshape(6, 17, 3), d.mode)
    assert wide.sample((4,)).shape == (4, 2, 3, 17, 3)
