from itertools import combinations

import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.metrics.accuracy import (
    area_under_pck,
    correct_pose_area,
    correct_pose_score,
    crps,
    energy_score,
    expected_best_of,
    hypothesis_errors,
    mpjpe,
    mpjve,
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
    from poseterior.geometry.kinematics import similarity_align

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


def test_golden_summary_over_hypotheses(golden):
    truth, poses = golden
    summary = hypothesis_errors(1000 * mpjpe(poses, truth))
    expected = {"best": 71.977575, "median": 155.951412, "mean": 175.945183, "worst": 299.906562}
    assert {name: float(value) for name, value in summary.items()} == pytest.approx(expected, abs=1e-5)
    # of an even number of hypotheses, the lower one in the middle
    assert float(hypothesis_errors(1000 * p_mpjpe(poses[:2], truth))["median"]) == pytest.approx(68.913498, abs=1e-5)


def test_golden_worst_joint_of_the_best_hypothesis(golden):
    truth, poses = golden
    from poseterior.geometry.kinematics import similarity_align

    sixteen = [j for j in range(17) if j != 7]
    worst = (similarity_align(poses, truth) - truth).norm(dim=-1)[:, sixteen].amax(-1).amin(0)
    assert float(1000 * worst) == pytest.approx(90.184619, abs=1e-5)
    assert float(correct_pose_area(worst)) == pytest.approx(209.5)


@pytest.mark.parametrize(
    ("millimetres", "area"), [(0.0, 299.0), (0.5, 299.0), (1.5, 298.5), (299.5, 0.5), (300.0, 0.0)]
)
def test_correct_pose_area_at_its_ends(millimetres, area):
    assert float(correct_pose_area(torch.tensor(millimetres / 1000, dtype=torch.float64))) == area


def test_correct_pose_score_ignores_missing_truth(golden):
    truth, poses = golden
    valid = torch.ones(17, dtype=torch.bool)
    valid[[2, 10]] = False
    kept = valid.nonzero().squeeze(-1)
    holes = torch.where(valid.unsqueeze(-1), truth, float("nan"))
    assert float(correct_pose_score(poses, holes, valid=valid)) == float(
        correct_pose_score(poses[:, kept], truth[kept])
    )


def test_expected_best_of_is_the_mean_over_all_subsets():
    errors = torch.rand(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    curve = expected_best_of(errors, range(1, 7))
    for m in range(1, 7):
        subsets = [errors[list(s)].amin(0) for s in combinations(range(6), m)]
        torch.testing.assert_close(curve[m - 1], torch.stack(subsets).mean(0))


def test_expected_best_of_falls_from_the_mean_to_the_smallest():
    errors = torch.rand(1000, 5, generator=torch.Generator().manual_seed(1))
    curve = expected_best_of(errors, [1, 2, 5, 10, 50, 200, 999, 1000])
    torch.testing.assert_close(curve[0], errors.mean(0))
    torch.testing.assert_close(curve[-1], errors.amin(0))
    assert (curve.diff(dim=0) <= 0).all()
    # uniform errors: the smallest of m is 1 / (m + 1) on average
    many = torch.rand(2000, 200, generator=torch.Generator().manual_seed(2))
    assert float(expected_best_of(many, [9]).mean()) == pytest.approx(0.1, abs=0.002)
    torch.testing.assert_close(expected_best_of(errors.flip(0), [7]), expected_best_of(errors, [7]))


@pytest.mark.parametrize("count", [0, 4])
def test_expected_best_of_needs_as_many_samples(count):
    with pytest.raises(InputError) as caught:
        expected_best_of(torch.ones(3, 2), [1, count])
    assert str(caught.value) == f"counts: expected 1 to 3 (the number of samples), got {count}"


def test_golden_velocity_error():
    """Two joints, three frames: the second joint runs 3 mm, then 4 mm a frame sideways while the truth stands."""
    truth = torch.zeros(3, 2, 3, dtype=torch.float64)
    pose = truth.clone()
    pose[:, 1, 0] = torch.tensor([0.0, 3.0, 3.0])
    pose[:, 1, 1] = torch.tensor([0.0, 4.0, 8.0])
    expected = torch.tensor([2.5, 2.0], dtype=torch.float64)
    torch.testing.assert_close(mpjve(pose, truth), expected)
    torch.testing.assert_close(mpjve(pose.expand(5, 3, 2, 3), truth), expected.expand(5, 2))


def test_velocity_error_forgives_what_does_not_move(golden):
    truth, poses = golden
    motion = torch.stack([truth, 1.1 * truth, 1.3 * truth])
    torch.testing.assert_close(mpjve(motion + 0.5, motion), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(mpjve(poses, motion), mpjpe(poses.diff(dim=0), motion.diff(dim=0)))


def test_velocity_error_counts_joints_valid_in_both_frames(golden):
    truth, poses = golden
    motion = torch.stack([truth, 1.1 * truth, 1.3 * truth])
    valid = torch.ones(3, 17, dtype=torch.bool)
    valid[1, 4] = valid[2, 6] = False
    holes = torch.where(valid.unsqueeze(-1), motion, float("nan"))
    kept = [[j for j in range(17) if j != 4], [j for j in range(17) if j not in (4, 6)]]
    expected = torch.stack([mpjve(poses[i : i + 2, k], motion[i : i + 2, k])[0] for i, k in enumerate(kept)])
    torch.testing.assert_close(mpjve(poses, holes, valid), expected)
    assert (mpjve(poses, holes, torch.zeros_like(valid)) == 0).all()
