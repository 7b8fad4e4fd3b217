import pytest
import torch

from poseterior.metrics.accuracy import (
    area_under_pck,
    correct_pose_score,
    crps,
    energy_score,
    mpjpe,
    n_mpjpe,
    p_mpjpe,
    pck,
)


@pytest.fixture
def golden() -> tuple[torch.Tensor, torch.Tensor]:
    """Ground truth and three hypotheses of the reference's formulas, in metres (the root is not subtracted)."""
    j = torch.arange(17, dtype=torch.float64)
    truth = torch.stack([100 * j.sin(), 200 * (0.7 * j).cos(), 150 * (1.9 * j).sin()], -1)
    step = torch.stack([(1.1 * j).cos(), (2.3 * j).sin(), (0.4 * j).cos()], -1)
    return truth / 1000, torch.stack([truth + s * step for s in (60, 130, 250)]) / 1000


def test_golden_protocols(golden):
    truth, poses = golden
    expected1 = torch.tensor([71.977575, 155.951412, 299.906562], dtype=torch.float64)
    expected2 = torch.tensor([68.913498, 123.176577, 164.498293], dtype=torch.float64)
    torch.testing.assert_close(1000 * mpjpe(poses, truth), expected1, atol=1e-5, rtol=0)
    torch.testing.assert_close(1000 * p_mpjpe(poses, truth), expected2, atol=1e-5, rtol=0)


def test_golden_mirrored_pose_does_not_align(golden):
    truth, _ = golden
    mirrored = truth * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    assert float(1000 * p_mpjpe(mirrored, truth)) == pytest.approx(112.396336, abs=1e-5)


def test_golden_pck(golden):
    truth, poses = golden
    fourteen = torch.zeros(17, dtype=torch.bool)
    fourteen[[*range(1, 7), 8, *range(10, 17)]] = True
    expected = torch.tensor([1.0, 0.357143, 0.071429])
    torch.testing.assert_close(pck(poses, truth, fourteen), expected, atol=1e-6, rtol=0)


def test_golden_correct_pose_score(golden):
    truth, poses = golden
    sixteen = [j for j in range(17) if j != 7]
    assert float(correct_pose_score(poses, truth, sixteen)) == pytest.approx(209.5)


def test_correct_pose_score_equals_the_trapezoid(golden):
    truth, poses = golden
    from poseterior.kinematics import similarity_align

    error = 1000 * (similarity_align(poses, truth) - truth).norm(dim=-1).amax(-1).amin(0)
    ok = (error < torch.arange(1, 301)).double()
    assert float(correct_pose_score(poses, truth)) == pytest.approx(float(torch.trapezoid(ok)))


def test_best_of_many_never_grows(golden):
    truth, poses = golden
    errors = [float(mpjpe(poses[:n], truth).amin()) for n in (1, 2, 3)]
    assert errors == sorted(errors, reverse=True)


def test_n_mpjpe_forgives_scale_only(golden):
    truth, _ = golden
    assert float(n_mpjpe(3.0 * truth, truth)) == pytest.approx(0.0, abs=1e-9)
    assert float(n_mpjpe(truth + 0.1, truth)) > 0.01


def test_missing_truth_is_ignored(golden):
    truth, poses = golden
    valid = torch.ones(17, dtype=torch.bool)
    valid[[2, 10]] = False
    kept = valid.nonzero().squeeze(-1)
    holes = truth.clone()
    holes[~valid] = float("nan")
    for metric in (mpjpe, n_mpjpe, p_mpjpe, pck, area_under_pck):
        torch.testing.assert_close(metric(poses, holes, valid), metric(poses[:, kept], truth[kept]))


def test_crps_of_a_gaussian():
    """Closed form: for N(0, 1) and y = 0 the score is (sqrt 2 - 1) / sqrt pi."""
    draws = torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = (2**0.5 - 1) / torch.pi**0.5
    assert float(crps(draws, torch.tensor(0.0, dtype=torch.float64))) == pytest.approx(expected, abs=0.01)


def test_crps_equals_the_double_sum():
    draws = torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    truth = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    pairs = (draws.unsqueeze(0) - draws.unsqueeze(1)).abs().sum((0, 1)) / (40 * 39)
    torch.testing.assert_close(crps(draws, truth), (draws - truth).abs().mean(0) - 0.5 * pairs)


def test_energy_score_prefers_the_right_distribution():
    generator = torch.Generator().manual_seed(2)
    truth = torch.randn(2000, 1, 3, generator=generator)
    right = torch.randn(100, 2000, 1, 3, generator=generator)
    scores = {s: float(energy_score(s * right, truth).mean()) for s in (0.3, 1.0, 3.0)}
    assert scores[1.0] < scores[0.3]
    assert scores[1.0] < scores[3.0]
