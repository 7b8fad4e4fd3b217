"""Balls of mixtures without samples: against scipy's distributions, and against many samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import poseterior as pp
from poseterior.distributions.balls import balls
from poseterior.distributions.base import PoseDistribution
from poseterior.distributions.given import GivenEvidence
from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.distributions.mixture_balls import mixture_balls
from poseterior.files.errors import InputError
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import load

F64 = torch.float64


def six(covariance: Tensor) -> Tensor:
    return covariance[..., [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]]


def one_joint(
    weights: list[float], means: list[list[float]], covariances: Tensor, level: float
) -> tuple[Tensor, float]:
    centre, radius = mixture_balls(
        torch.tensor([weights], dtype=F64),
        torch.tensor([means], dtype=F64)[:, :, None],
        six(covariances)[None, :, None],
        level,
    )
    return centre[0, 0], float(radius[0, 0])


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("sigma", [1e-3, 0.1, 3.0])
def test_a_round_gaussian_has_the_radius_of_a_maxwell_distribution(level: float, sigma: float) -> None:
    centre, radius = one_joint([1.0], [[1.0, -2.0, 0.5]], sigma**2 * torch.eye(3, dtype=F64)[None], level)
    np.testing.assert_allclose(centre, [1.0, -2.0, 0.5], atol=1e-6 * sigma)
    assert radius == pytest.approx(stats.maxwell.ppf(level, scale=sigma), rel=0.015 if level > 0.4 else 0.05)


@pytest.mark.parametrize("away", [0.5, 2.0, 4.0])
def test_two_round_gaussians_far_apart_have_the_radius_of_a_non_central_chi_square(away: float) -> None:
    """By symmetry the centre is halfway, and either has the same distance from it."""
    centre, radius = one_joint([0.5, 0.5], [[-away, 0, 0], [away, 0, 0]], torch.eye(3, dtype=F64).expand(2, 3, 3), 0.9)
    np.testing.assert_allclose(centre, 0.0, atol=1e-3 * (1 + away))
    assert radius == pytest.approx(stats.ncx2.ppf(0.9, 3, away**2) ** 0.5, rel=0.01)


def random_mixtures(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of four components, some long and thin, some far away and unlikely."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator, dtype=F64)

    weights = (2.0 * normal(4)).softmax(-1)
    means = 0.2 * normal(4, 1, 3)
    lower = torch.tril(0.1 * normal(4, 1, 3, 3)) * (0.7 * normal(4, 1, 1, 3)).exp()
    return weights, means, lower @ lower.mT


def test_balls_of_mixtures_are_those_of_very_many_samples() -> None:
    weights, means, covariances = random_mixtures(60)
    centre, radius = mixture_balls(weights, means, six(covariances), 0.9)
    rng = np.random.default_rng(0)
    errors = []
    for i in range(len(weights)):
        chosen = rng.multinomial(200_000, weights[i])
        drawn = np.concatenate(
            [rng.multivariate_normal(means[i, k, 0], covariances[i, k, 0], n) for k, n in enumerate(chosen) if n]
        )
        spread = drawn.std(0)
        np.testing.assert_allclose(centre[i, 0], np.median(drawn, 0), atol=0.02 * spread.max())
        errors.append(
            float(radius[i, 0]) / np.quantile(np.linalg.norm(drawn - np.asarray(centre[i, 0]), axis=-1), 0.9) - 1
        )
    assert np.sqrt(np.square(errors).mean()) < 0.01
    assert np.abs(errors).max() < 0.04


def test_balls_of_components_that_never_happen_change_nothing() -> None:
    weights, means, covariances = random_mixtures(8)
    expected = mixture_balls(weights, means, six(covariances), 0.9)
    far = torch.full((8, 1, 1, 3), 3.0, dtype=F64)
    more = (torch.cat([part, extra], 1) for part, extra in ((weights, torch.zeros(8, 1)), (means, far)))
    found = mixture_balls(*more, six(torch.cat([covariances, covariances[:, :1]], 1)), 0.9)
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-3)
    torch.testing.assert_close(found[1], expected[1], rtol=0.02, atol=0)


# -- of poses ------------------------------------------------------------------------------------------


def people(count: int = 12) -> Keypoints2D:
    """The example's people, some of their joints hidden, detectors of several kinds."""
    shown = pp.example_keypoints().as_skeleton("h36m17")
    rows = torch.arange(count) % len(shown)
    seen = shown[rows]
    generator = torch.Generator().manual_seed(0)
    visible = seen.visible & (torch.rand(count, 17, generator=generator) > 0.3 * (torch.arange(count) % 3)[:, None] / 2)
    return seen._replace(visible=visible)


@pytest.mark.parametrize("evidence", [True, False])
def test_balls_without_samples_are_those_of_many(evidence: bool) -> None:
    """Far nearer to them than those of 200 samples."""
    poses = load("mdn", evidence=evidence)(people())
    assert isinstance(poses, GivenEvidence if evidence else MixturePoseDistribution)
    found = poses.closed_balls(0.9)
    assert found is not None
    centre, radius = found
    many = balls(poses.sample((20_000,), seed=1), [0.9], 0)
    few = balls(poses.sample((200,), seed=0), [0.9], 0)
    away, of_few = ((value / many.shape - 1)[:, 1:].square().mean().sqrt() for value in (radius, few.shape))
    assert float(away) < 0.03
    assert float(of_few) > 0.045
    assert float((centre - many.centre).norm(dim=-1).max()) < 0.015
    assert (radius[:, 0] == 0).all()
    assert (centre[:, 0] == 0).all()


def test_a_told_height_is_in_the_balls() -> None:
    seen = people()
    told = load("mdn")(seen._replace(height=torch.full((len(seen),), 1.7)))
    found = told.closed_balls(0.9)
    assert found is not None
    many = balls(told.sample((10_000,), seed=1), [0.9], 0)
    assert float((found[1] / many.shape - 1)[:, 1:].square().mean().sqrt()) < 0.03


def test_balls_grow_with_the_level_and_do_not_depend_on_the_batch() -> None:
    seen = people()
    poses = load("mdn")(seen)
    levels = [poses.closed_balls(level) for level in (0.1, 0.5, 0.9, 0.99, 0.999)]
    radii = torch.stack([found[1] for found in levels if found is not None])
    assert len(radii) == 5
    assert (radii.diff(dim=0)[..., 1:] > 0).all()
    alone = load("mdn")(seen[3:4]).closed_balls(0.5)
    assert alone is not None
    torch.testing.assert_close(alone[1][0], radii[1, 3], rtol=1e-3, atol=1e-5)
    shaped = poses.expand((2, len(seen))).closed_balls(0.5)
    assert shaped is not None
    assert shaped[0].shape == (2, len(seen), 17, 3)
    torch.testing.assert_close(shaped[1][1], radii[1], rtol=1e-3, atol=1e-5)


def test_balls_have_no_gradients_and_need_a_level() -> None:
    lifter = load("mdn")
    with torch.enable_grad():
        poses = lifter(people(2))
        found = poses.closed_balls(0.9)
    assert found is not None
    assert not found[1].requires_grad
    with pytest.raises(InputError, match="level: expected a probability above 0 and below 1"):
        poses.closed_balls(1.0)


def test_other_distributions_say_that_they_have_none() -> None:
    poses: PoseDistribution = load("flow")(people(2))
    assert poses.closed_balls(0.9) is None


def test_what_regions_keep_has_no_part_in_gradients() -> None:
    """A region is made without gradients; moments that are asked for after it have theirs all the same."""
    gradients = []
    for asked in (False, True):
        factor = (
            0.3 * torch.randn(2, 1, 48, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
        ).requires_grad_()
        lower = torch.diag_embed(torch.full((2, 3, 16, 3), 0.1, dtype=F64))
        poses = MixturePoseDistribution(
            torch.zeros(2, 3, dtype=F64), torch.zeros(2, 3, 16, 3, dtype=F64), lower, factor
        )
        if asked:
            poses.closed_balls(0.9)
        poses.joint_moments[1].square().sum().backward()
        gradients.append(factor.grad)
    assert gradients[0] is not None
    torch.testing.assert_close(gradients[1], gradients[0])
    assert float(gradients[0].abs().max()) > 0
