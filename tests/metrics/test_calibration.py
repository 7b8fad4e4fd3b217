import math

import numpy as np
import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.metrics.calibration import (
    LEVELS,
    calibration_error,
    calibration_floor,
    coverage_ranks,
    published_error,
    published_inside,
)


def gaussian_case(scale: float, n: int = 4000, samples: int = 200) -> torch.Tensor:
    """Ranks when the truth is standard normal and the samples have another standard deviation."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(n, 2, 3, generator=generator)
    drawn = scale * torch.randn(samples, n, 2, 3, generator=generator)
    return coverage_ranks(drawn, truth, generator)


def test_right_distribution_is_calibrated():
    result = calibration_error(gaussian_case(1.0))
    assert result.mean() < 0.015
    assert abs(result.mean_signed()) < 0.02  # 0.004 ± 0.003 over 3 runs; half as wide 0.33


@pytest.mark.parametrize(("scale", "sign"), [(0.5, 1), (2.0, -1)])
def test_sign_tells_over_confidence(scale: float, sign: int):
    result = calibration_error(gaussian_case(scale))
    assert sign * result.mean_signed() > 0.15
    assert result.worst() >= result.mean()


def test_closed_form_of_the_error():
    """Ranks all 1/2: coverage is 0 below one half and 1 from there on."""
    ranks = torch.full((10, 1), 0.5 + 1e-6)
    levels = torch.tensor(LEVELS)
    expected = torch.where(levels < 0.5 + 1e-6, levels, 1 - levels).mean()
    assert calibration_error(ranks).mean() == pytest.approx(float(expected), abs=1e-6)


def test_point_mass_is_as_over_confident_as_can_be():
    truth = torch.randn(100, 1, 3, generator=torch.Generator().manual_seed(0))
    ranks = coverage_ranks(torch.zeros(50, 100, 1, 3), truth, torch.Generator().manual_seed(0))
    assert calibration_error(ranks).mean_signed() > 0.45


def test_ranks_of_ties_are_uniform():
    ranks = coverage_ranks(torch.zeros(9, 5000, 1, 3), torch.zeros(5000, 1, 3), torch.Generator().manual_seed(0))
    assert float(ranks.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(ranks.std()) == pytest.approx(12**-0.5, abs=0.02)


def test_only_counted_ranks_count():
    ranks = torch.cat([gaussian_case(1.0), torch.zeros(4000, 2)])
    counted = torch.cat([torch.ones(4000, 2), torch.zeros(4000, 2)]).bool()
    assert calibration_error(ranks, counted).mean() < 0.015


def test_worst_of_some_joints():
    ranks = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0))
    ranks[:, 2] = 0.5
    result = calibration_error(ranks)
    assert result.worst() == result.worst([2]) == float(result.error[2])
    assert result.worst([0, 1]) == float(result.error[:2].max()) < 0.02


# -- the published number ----------------------------------------------------------------------------------------


def published_case(scale: torch.Tensor, samples: int, poses: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """`published_inside` in chunks, and ranks, of a standard normal truth when 16 joints have other spreads."""
    generator = torch.Generator().manual_seed(0)
    inside, ranks = [], []
    for _ in range(poses // 500):
        truth = torch.randn(500, 16, 3, generator=generator)
        drawn = scale.reshape(-1, 1) * torch.randn(samples, 500, 16, 3, generator=generator)
        inside.append(published_inside(drawn, truth))
        ranks.append(coverage_ranks(drawn, truth, generator))
    return torch.cat(inside, 1), torch.cat(ranks)


@pytest.mark.parametrize(
    ("samples", "golden"), [(5, 0.153), (10, 0.084), (20, 0.045), (50, 0.014), (100, 0.008), (200, 0.004)]
)
def test_golden_published_error_of_a_right_distribution(samples: int, golden: float):
    """Far from 0 with few samples, as the floor says."""
    inside, ranks = published_case(torch.ones(16), samples)
    assert published_error(inside) == pytest.approx(golden, abs=0.009 if samples <= 50 else 0.006)
    floor = calibration_floor(4000, samples)
    # Standard deviations over 5 runs: 0.0022 at 5 samples, 0.0011 above. With 5 a floor of 0 would be off by 0.15.
    assert published_error(inside) == pytest.approx(floor.published, abs=0.009 if samples <= 10 else 0.005)
    assert calibration_error(ranks).mean() == pytest.approx(floor.mean, abs=0.005)


@pytest.mark.parametrize(
    ("scale", "golden"),
    [
        (0.9, 0.070),
        (0.8, 0.140),
        (0.7, 0.211),
        (0.5, 0.353),
        (0.25, 0.473),
        (1.1, 0.049),
        (1.25, 0.123),
        (1.5, 0.217),
        (2.0, 0.329),
    ],
)
def test_golden_published_error_of_a_wrong_spread(scale: float, golden: float):
    """Of 100 samples: with 200 an over-confident one scores 0.004 less, an under-confident one as much more."""
    inside, ranks = published_case(torch.full((16,), scale), samples=100)
    # One standard deviation is 0.002. Scored by ranks, 0.353 would be 0.332.
    assert published_error(inside) == pytest.approx(golden, abs=0.012)
    assert calibration_error(ranks).mean_signed() * (1 - scale) > 0


def test_golden_median_over_joints_hides_what_the_mean_shows():
    inside, ranks = published_case(torch.tensor([0.5, 2.0]).repeat_interleave(8), samples=100)
    assert published_error(inside) == pytest.approx(0.125, abs=0.005)
    each = [published_error(inside, joints=[j]) for j in range(16)]
    assert sum(each) / 16 == pytest.approx(0.342, abs=0.005)
    assert published_error(inside, joints=list(range(8))) == pytest.approx(0.353, abs=0.005)
    # Ranks of the outermost truths are spread up to 1, so the same is a little less.
    assert calibration_error(ranks).mean() == pytest.approx(0.3271, abs=0.002)  # ± 0.0005 over 6 runs
    assert abs(calibration_error(ranks).mean_signed()) < 0.02


def test_published_balls_by_hand():
    """Distances from the centre 0 are 0, 1, 1, 2, 2: the 0.75-ball reaches to 2, the 0.60-ball to 1.4."""
    x = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    samples = torch.stack([x, torch.zeros(5), torch.zeros(5)], -1)[:, None, None]
    truth = torch.tensor([[[1.39, 0.0, 0.0]]])
    levels = torch.tensor(LEVELS)
    assert published_inside(samples, truth).flatten().tolist() == (levels > 0.59).tolist()
    assert published_inside(samples, truth + torch.tensor([1.0, 0.0, 0.0])).sum() == 0


def test_published_quantiles_are_numpys():
    generator = torch.Generator().manual_seed(1)
    samples = torch.randn(37, 50, 4, 3, generator=generator, dtype=torch.float64)
    truth = torch.randn(50, 4, 3, generator=generator, dtype=torch.float64)
    centre = samples.median(0).values
    radius = np.quantile((samples - centre).norm(dim=-1).numpy(), LEVELS, axis=0)
    expected = (truth - centre).norm(dim=-1).numpy() <= radius
    assert (published_inside(samples, truth).numpy() == expected).all()


def test_published_error_counts_and_skips():
    """Poses that do not count and joints without any (NaN truth) change nothing; the batch may have any shape."""
    generator = torch.Generator().manual_seed(2)
    samples, truth = torch.randn(20, 2, 30, 5, 3, generator=generator), torch.randn(2, 30, 5, 3, generator=generator)
    counted = torch.rand(2, 30, 5, generator=generator) < 0.7
    counted[..., 4] = False
    whole = published_error(published_inside(samples, truth), counted)
    hidden = torch.where(counted.unsqueeze(-1), truth, torch.nan)
    assert published_error(published_inside(samples, hidden), counted) == whole
    assert published_error(published_inside(samples, truth), counted, joints=[0, 1, 2, 3]) == whole
    flat = published_inside(samples.flatten(1, 2), truth.flatten(0, 1))
    assert published_error(flat, counted.flatten(0, 1)) == whole
    # One joint by itself: the share of its poses inside each ball.
    joint = published_inside(samples[..., :1, :], truth[..., :1, :])
    share = (joint * counted[..., :1]).sum((1, 2, 3)) / counted[..., 0].sum()
    expected = float((share - torch.tensor(LEVELS)).abs().mean())
    assert published_error(joint, counted[..., :1]) == pytest.approx(expected, abs=1e-6)


def test_published_error_of_nothing_is_nan():
    inside = torch.zeros(21, 4, 2, dtype=torch.bool)
    assert math.isnan(published_error(inside, torch.zeros(4, 2, dtype=torch.bool)))


# -- the floor ---------------------------------------------------------------------------------------------------


def test_floor_of_many_samples_is_that_of_binomial_counts():
    """De Moivre: the mean of |share - q| is about sqrt(2 q (1 - q) / (pi n))."""
    levels = torch.tensor(LEVELS)
    expected = (2 * levels * (1 - levels) / (math.pi * 500)).sqrt().mean()
    floor = calibration_floor(500, 2000, joints=1, repeats=400)
    assert floor.mean == pytest.approx(float(expected), rel=0.05)
    assert floor.published == pytest.approx(floor.mean, rel=0.1)  # the median of one joint is that joint


def test_floor_falls_and_is_reproducible():
    assert calibration_floor(1000, 50) == calibration_floor(1000, 50)
    few, more, most = calibration_floor(100, 50), calibration_floor(1000, 50), calibration_floor(1000, 200)
    assert few.mean > more.mean > most.mean
    assert few.published > more.published > most.published


@pytest.mark.parametrize(
    ("poses", "samples", "mean", "published"),
    [(100, 10, 0.064, 0.080), (1000, 50, 0.016, 0.018), (1000, 200, 0.010, 0.005), (10_000, 200, 0.005, 0.005)],
)
def test_documented_floors(poses: int, samples: int, mean: float, published: float):
    floor = calibration_floor(poses, samples)
    assert (floor.mean, floor.published) == (pytest.approx(mean, abs=6e-4), pytest.approx(published, abs=6e-4))


def test_floor_needs_poses():
    with pytest.raises(InputError, match=r"^calibration floor: poses: expected 1 or more, got 0$"):
        calibration_floor(0, 200)
