"""The published mixture density network: sizes, initialisation, constants (Li & Lee 2019)."""

import pytest
import torch

from poseterior.geometry.cameras import project
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import load
from poseterior.published.li_lee_2019 import (
    FrobeniusLinear,
    PublishedMixtureConfig,
    PublishedMixtureLifter,
    PublishedMixtureNetwork,
)

INTRINSICS = torch.tensor([1000.0, 1000.0, 500.0, 500.0])


def network(seed: int = 0) -> PublishedMixtureNetwork:
    torch.manual_seed(seed)
    return PublishedMixtureNetwork(32, 48, 5, 1024, 2, 0.5)


@pytest.fixture
def keypoints(people) -> Keypoints2D:
    return Keypoints2D(project(people + torch.tensor([0.2, 0.1, 4.0]), INTRINSICS), intrinsics=INTRINSICS)


def test_published_parameter_count():
    net = network()
    assert sum(p.numel() for p in net.parameters()) == 4_498_682
    statistics = [b for name, b in net.named_buffers() if "running" in name]
    assert sum(b.numel() for b in statistics) == 10_240
    lifter = PublishedMixtureLifter()
    assert sum(p.numel() for p in lifter.parameters()) == 4_498_682


def test_published_initialisation():
    """Measured on the original: norms of the first and a hidden weight 39.9 and 19.4, std .220 and .039 (2 %)."""
    net = network()
    first, hidden = net.enter[0].weight, net.blocks[0][0][0].weight
    assert float(first.norm()) == pytest.approx(39.9, rel=0.02)
    assert float(first.std()) == pytest.approx(0.220, rel=0.02)
    assert float(hidden.std()) == pytest.approx(0.039, rel=0.02)


def test_frobenius_clip():
    layer = FrobeniusLinear(32, 64)
    assert float(layer.effective_weight().norm()) == pytest.approx(1.0, abs=1e-6)
    with torch.no_grad():
        layer.weight.mul_(0.5 / layer.weight.norm())
    assert torch.equal(layer.effective_weight(), layer.weight)


def test_the_weights_of_the_mixture_are_not_clipped():
    """w6 of the released graphs is read as it is."""
    net = PublishedMixtureNetwork(32, 48, 5, 16, 1, 0.0).eval()
    hidden = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    assert float(net.alpha.weight.norm()) > 1.5
    torch.testing.assert_close(net.alpha(hidden), hidden @ net.alpha.weight.T + net.alpha.bias)


def test_what_the_detector_lacks_and_what_it_has(keypoints):
    """The nose says nothing, the pelvis does."""
    torch.manual_seed(0)
    lifter = PublishedMixtureLifter(PublishedMixtureConfig(width=32)).eval()
    nose, pelvis = keypoints.xy.clone(), keypoints.xy.clone()
    nose[:, 9], pelvis[:, 0] = 0.0, 0.0
    answer = lifter(keypoints).mean
    assert torch.equal(lifter(Keypoints2D(nose)).mean, answer)
    assert not torch.allclose(lifter(Keypoints2D(pelvis)).mean, answer)


def test_frobenius_gradient_flows_through_the_norm():
    torch.manual_seed(0)
    layer = FrobeniusLinear(6, 5).double()
    x = torch.randn(4, 6, dtype=torch.float64)

    def run(weight: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, weight / weight.norm().clamp(min=1.0))

    assert torch.autograd.gradcheck(run, layer.weight.detach().requires_grad_())


def test_batch_norm_epsilon_attenuates_as_published():
    """White unit input: pre-activation variance 9.8e-4, attenuation .699 with epsilon 1e-3 (5 %)."""
    net = network()
    x = torch.randn(20_000, 32, generator=torch.Generator().manual_seed(0))
    hidden = x @ net.enter[0].effective_weight().T
    variance = hidden.var(0).mean()
    assert float(variance) == pytest.approx(9.8e-4, rel=0.05)
    norm = net.enter[1]
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)
    attenuation = (variance / (variance + norm.eps)).sqrt()
    assert float(attenuation) == pytest.approx(0.699, rel=0.02)


def test_published_constants_are_kept_with_the_weights(keypoints, people, tmp_path):
    from types import SimpleNamespace

    lifter = PublishedMixtureLifter(PublishedMixtureConfig(width=32))
    observed = torch.ones(people.shape[:-1], dtype=torch.bool)
    lifter.fit_constants(SimpleNamespace(keypoints=keypoints, pose=people, observed=observed))
    detected = [joint for joint in range(17) if joint != 9]  # the pelvis, but no nose
    xy = keypoints.xy[:, detected].flatten(1)
    torch.testing.assert_close(lifter.input_mean, xy.mean(0), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(lifter.output_std, people[:, 1:].flatten(1).std(0, unbiased=False))
    lifter.save_pretrained(tmp_path / "w")
    torch.testing.assert_close(load(tmp_path / "w").output_mean, lifter.output_mean)


def test_published_missing_joint_is_the_mean(keypoints):
    torch.manual_seed(0)
    lifter = PublishedMixtureLifter(PublishedMixtureConfig(width=32)).eval()
    mask = torch.ones(32, 17, dtype=torch.bool)
    mask[:, 3] = False
    hidden = lifter(Keypoints2D(keypoints.xy, visible=mask)).mean
    xy = keypoints.xy.clone()
    xy[:, 3] = lifter.input_mean.reshape(16, 2)[3]
    torch.testing.assert_close(hidden, lifter(Keypoints2D(xy)).mean)
