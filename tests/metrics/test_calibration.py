import pytest
import torch

from poseterior.metrics.calibration import LEVELS, calibration_error, coverage_ranks


def gaussian_case(scale: float, n: int = 4000, samples: int = 200) -> torch.Tensor:
    """Ranks when the truth is standard normal and the samples have another standard deviation."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(n, 2, 3, generator=generator)
    drawn = scale * torch.randn(samples, n, 2, 3, generator=generator)
    return coverage_ranks(drawn, truth, generator)


def test_right_distribution_is_calibrated():
    result = calibration_error(gaussian_case(1.0))
    assert result.mean() < 0.015
    assert abs(result.mean_signed()) < 0.012


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
