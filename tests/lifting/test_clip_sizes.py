"""The size of a clip's person: taken out of frames, and given back once."""

import math

import pytest
import torch

from poseterior.distributions.bodies import body_size, size_gradient
from poseterior.geometry.kinematics import body_height
from poseterior.geometry.skeletons import SKELETONS
from poseterior.lifting.clips.sizes import POINTS, ClipSize, Sizes, normal_shape, regressed, shape_of

H36M = SKELETONS["h36m17"]


def test_size_is_the_height_and_its_gradient_is_that_of_autograd(standing):
    poses = (standing + 0.1 * torch.randn(3, 17, 3, generator=torch.Generator().manual_seed(0))).double()
    poses = poses.requires_grad_(True)
    size = body_size(poses, H36M)
    torch.testing.assert_close(size, body_height(poses))
    (gradient,) = torch.autograd.grad(size.sum(), poses)
    torch.testing.assert_close(size_gradient(poses.detach(), H36M), gradient)


@pytest.mark.parametrize("spread", [0.03, 0.12])
def test_poses_of_one_size_are_told_from_their_size(standing, spread):
    """Poses that differ by size and by something else: regression finds both, as large as they are."""
    own = standing[1:].flatten().double()
    generator = torch.Generator().manual_seed(0)
    root = 0.004 * torch.randn(48, 48, generator=generator, dtype=torch.float64) / 48**0.5
    other = root @ root.T + 1e-6 * torch.eye(48)
    covariance = spread**2 * own[:, None] * own + other
    sizes, rest = regressed(own[None], covariance[None], H36M)
    # The ankles' height over the ground does not grow with the rest.
    grown = float((body_height(standing) - 0.08) / body_height(standing))
    assert float(sizes.variance.sqrt()) == pytest.approx(spread * grown, rel=0.02)
    torch.testing.assert_close(sizes.slope[0], own / grown, atol=0.01, rtol=0.01)
    assert float(rest[0].diagonal().sum()) < 1.2 * float(other.diagonal().sum())
    assert float(sizes.level) == pytest.approx(math.log(float(body_height(standing))), abs=0.01)


def made(level: list[float], spread: float) -> Sizes:
    count = len(level)
    shape = torch.full((count,), spread**2, dtype=torch.float64)
    return Sizes(torch.tensor(level, dtype=torch.float64), torch.ones(count, 3).double(), shape, normal_shape())


def test_frames_do_not_make_the_size_surer():
    size = made([0.5, 0.6] * 50, 0.08).common(torch.ones(100, dtype=torch.bool), 1.0)
    assert size.level == pytest.approx(0.55)
    assert size.variance**0.5 == pytest.approx(0.08, rel=0.01)


def test_a_told_height_counts_once():
    """As of a Gaussian in closed form, however many frames there are."""
    told = 1.9
    for count in (1, 60):
        size = made([math.log(1.7)] * count, 0.08).common(torch.ones(count, dtype=torch.bool), 1.0, told)
        weight = 0.08**-2 / (0.08**-2 + 0.02**-2)
        assert size.level == pytest.approx(weight * math.log(1.7) + (1 - weight) * math.log(told), abs=2e-3)
        assert size.variance**0.5 == pytest.approx((0.08**-2 + 0.02**-2) ** -0.5, rel=0.02)
    far = made([math.log(1.8)], 0.08).common(torch.ones(1, dtype=torch.bool), 1.0, 1.1)
    assert abs(far.level - math.log(1.1)) < 0.1


def test_draws_have_the_quantiles_they_are_drawn_of():
    generator = torch.Generator().manual_seed(2)
    normal, chi = torch.randn(4000, 5, generator=generator), torch.randn(3, 4000, 5, generator=generator)
    points = shape_of((normal / chi.square().mean(0).sqrt()).double())  # Student's t
    drawn = ClipSize(0.0, points).draw(torch.randn(20000, generator=torch.Generator().manual_seed(1)))
    for level in (0.05, 0.5, 0.95):
        assert float(drawn.quantile(level)) == pytest.approx(float(points.quantile(level)), abs=0.06)
    assert len(points) == POINTS
    assert float(points.std()) == pytest.approx(1.0, abs=0.15)  # without the outermost tails
