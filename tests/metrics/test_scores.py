import math

import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.metrics.accuracy import crps
from poseterior.metrics.scores import pose_energy_score, variogram_score

SCORES = [pose_energy_score, variogram_score]


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    options = {"generator": generator, "dtype": torch.float64}
    return torch.randn(12, 2, 5, 4, 3, **options), torch.randn(2, 5, 4, 3, **options)


# -- exact values ------------------------------------------------------------------------------------------------


def test_energy_score_by_brute_force(case):
    samples, truth = case
    x, y = samples[:, 1, 2].flatten(1), truth[1, 2].flatten()
    first = torch.stack([(a - y).norm() for a in x]).mean()
    pairs = torch.stack([(x[i] - x[j]).norm() for i in range(12) for j in range(12) if i != j]).mean()
    torch.testing.assert_close(pose_energy_score(samples, truth)[1, 2], (first - pairs / 2) / 2)


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0])
def test_variogram_score_by_brute_force(case, p: float):
    samples, truth = case
    x, y = samples[:, 1, 2].flatten(1), truth[1, 2].flatten()
    terms = [
        ((y[i] - y[j]).abs() ** p - (x[:, i] - x[:, j]).abs().pow(p).mean()) ** 2 for i in range(12) for j in range(i)
    ]
    torch.testing.assert_close(variogram_score(samples, truth, p=p)[1, 2], torch.stack(terms).mean())


def test_energy_score_of_a_point_mass_is_the_rms_distance(case):
    _, truth = case
    shift = torch.tensor([0.03, 0.0, 0.04], dtype=torch.float64)
    score = pose_energy_score((truth + shift).expand(7, *truth.shape), truth)
    torch.testing.assert_close(score, torch.full_like(score, 0.05))


def test_perfect_point_mass_scores_zero(case):
    _, truth = case
    for score in SCORES:
        assert float(score(truth.expand(3, *truth.shape), truth).abs().max()) < 1e-12


def test_energy_score_of_one_coordinate_is_its_crps(case):
    samples, truth = (torch.cat([v[..., :1, :1], torch.zeros_like(v[..., :1, :2])], -1) for v in case)
    torch.testing.assert_close(pose_energy_score(samples, truth), crps(samples[..., 0, 0], truth[..., 0, 0]))


def test_variogram_of_a_gaussian_in_closed_form():
    """E sqrt|X_i - X_j| = (2 sigma)^(1/2) Gamma(3/4) / sqrt(pi) for independent coordinates of spread sigma."""
    samples = 0.1 * torch.randn(200_000, 1, 1, 3, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([[[0.0, 0.3, -0.1]]])
    expected = math.sqrt(0.2) * math.gamma(0.75) / math.sqrt(math.pi)
    gaps = [math.sqrt(d) - expected for d in (0.3, 0.1, 0.4)]
    score = float(variogram_score(samples, truth))
    assert score == pytest.approx(sum(g * g for g in gaps) / 3, rel=0.01)


# -- invariances -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
def test_order_of_samples_and_of_joints_does_not_matter(case, score):
    samples, truth = case
    generator = torch.Generator().manual_seed(1)
    order, joints = torch.randperm(12, generator=generator), torch.randperm(4, generator=generator)
    torch.testing.assert_close(score(samples[order], truth), score(samples, truth))
    torch.testing.assert_close(score(samples[..., joints, :], truth[..., joints, :]), score(samples, truth))


def test_units(case):
    samples, truth = case
    metres = pose_energy_score(samples, truth)
    torch.testing.assert_close(pose_energy_score(1000 * samples, 1000 * truth), 1000 * metres)
    torch.testing.assert_close(
        variogram_score(1000 * samples, 1000 * truth), 1000 * variogram_score(samples, truth)
    )  # metres to the power 2 p = 1


@pytest.mark.parametrize("score", SCORES)
def test_missing_joints_never_leak(case, score):
    """Neither their stored value nor their number changes anything: the score is that of the other joints."""
    samples, truth = case
    valid = torch.tensor([True, False, True, True]).expand(2, 5, 4).clone()
    valid[0, 0] = False
    kept = [0, 2, 3]
    expected = score(samples[..., kept, :], truth[..., kept, :])
    expected[0, 0] = 0.0
    for stored in (0.0, 1e9, torch.nan):
        hidden = torch.where(valid.unsqueeze(-1), truth, stored)
        torch.testing.assert_close(score(samples, hidden, valid), expected)


def test_number_of_poses_at_once_does_not_matter():
    """Poses are worked on in groups of 64."""
    generator = torch.Generator().manual_seed(0)
    samples, truth = torch.randn(5, 150, 2, 3, generator=generator), torch.randn(150, 2, 3, generator=generator)
    one_by_one = torch.cat([pose_energy_score(samples[:, i : i + 1], truth[i : i + 1]) for i in range(150)])
    torch.testing.assert_close(pose_energy_score(samples, truth), one_by_one)


def test_single_pose_without_batch(case):
    samples, truth = case
    for score in SCORES:
        torch.testing.assert_close(score(samples[:, 0, 0], truth[0, 0]), score(samples, truth)[0, 0])


# -- propriety ---------------------------------------------------------------------------------------------------


def forecasts() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Poses with strongly dependent joints; the right samples and wrong ones. Truth differs from pose to pose."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.linalg.cholesky(0.01 * (0.8 * torch.ones(12, 12) + 0.2 * torch.eye(12)))
    poses, samples = 1500, 100
    centre = 0.3 * torch.randn(poses, 12, generator=generator)
    truth = (centre + torch.randn(poses, 12, generator=generator) @ mixing.T).unflatten(-1, (4, 3))
    noise = (torch.randn(samples, poses, 12, generator=generator) @ mixing.T).unflatten(-1, (4, 3))
    middle = centre.unflatten(-1, (4, 3))
    shuffled = torch.stack([noise[torch.randperm(samples, generator=generator), :, j] for j in range(4)], -2)
    shift = torch.tensor([[0.0], [0.0], [0.1], [0.0]])
    return truth, {
        "right": middle + noise,
        "biased": middle + noise + shift,
        "over-confident": middle + 0.6 * noise,
        "under-confident": middle + 1.6 * noise,
        "shuffled": middle + shuffled,
    }


@pytest.mark.parametrize("score", SCORES)
def test_right_forecast_scores_best(score):
    truth, cases = forecasts()
    values = {name: score(samples, truth) for name, samples in cases.items()}
    for name in cases.keys() - {"right"}:
        excess = values[name] - values["right"]
        standard_error = float(excess.std()) / math.sqrt(len(excess))
        assert float(excess.mean()) > 4 * standard_error, name


def test_only_the_variogram_sees_wrong_dependence_sharply():
    """Shuffled joint by joint, no coordinate's CRPS changes, the energy score by little, the variogram by much."""
    truth, cases = forecasts()

    def worse(score) -> float:
        right = float(score(cases["right"], truth).mean())
        return float(score(cases["shuffled"], truth).mean()) / right - 1

    assert abs(worse(crps)) < 1e-4
    assert 0.0 < worse(pose_energy_score) < 0.2
    assert worse(variogram_score) > 2 * worse(pose_energy_score)


# -- bad input ---------------------------------------------------------------------------------------------------


def test_energy_score_needs_pairs(case):
    samples, truth = case
    with pytest.raises(InputError, match=r"^pose energy score: samples: pairs need at least 2, got 1$"):
        pose_energy_score(samples[:1], truth)


@pytest.mark.parametrize(("score", "name"), [(pose_energy_score, "pose energy score"), (variogram_score, "variogram")])
def test_samples_must_be_of_the_same_poses(case, score, name: str):
    samples, truth = case
    with pytest.raises(
        InputError, match=rf"^{name}.*: samples: expected \(samples, 2, 5, 4, 3\), got \(12, 5, 4, 3\)$"
    ):
        score(samples[:, 0], truth)
