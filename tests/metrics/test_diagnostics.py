import math

import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.metrics.calibration import LEVELS, calibration_error, coverage_ranks
from poseterior.metrics.diagnostics import (
    density_ranks,
    expected_coverage,
    sbc,
    sbc_quantities,
    sbc_ranks,
    tarp,
    tarp_ranks,
    tarp_references,
)

H36M = SKELETONS["h36m17"]


class GaussianPoses:
    """Poses of 17 correlated joints about a known centre a pose; the forecast's spread may be off by a factor."""

    def __init__(self, scale: float, poses: int = 3000, samples: int = 200, seed: int = 0) -> None:
        self.generator = generator = torch.Generator().manual_seed(seed)
        mixing = 0.05 * torch.randn(51, 51, generator=generator) / math.sqrt(51) + 0.02 * torch.eye(51)
        self.factor = mixing
        centre = 0.3 * torch.randn(poses, 51, generator=generator)
        noise = torch.randn(poses, 51, generator=generator)
        drawn = scale * torch.randn(samples, poses, 51, generator=generator)
        self.truth = (centre + noise @ mixing.T).unflatten(-1, (17, 3))
        # log-density up to a constant, from the whitened coordinates
        self.log_prob_truth = -0.5 * noise.square().sum(-1) / scale**2
        self.log_prob_samples = -0.5 * drawn.square().sum(-1) / scale**2
        self.samples = (centre + drawn @ mixing.T).unflatten(-1, (17, 3))

    def calibration(self):
        return calibration_error(coverage_ranks(self.samples, self.truth, self.generator))

    def expected_coverage(self):
        return expected_coverage(density_ranks(self.log_prob_samples, self.log_prob_truth, self.generator))

    def tarp(self):
        references = tarp_references(self.truth, self.generator)
        return tarp(tarp_ranks(self.samples, self.truth, references, generator=self.generator))

    def sbc(self):
        drawn, true = sbc_quantities(self.samples), sbc_quantities(self.truth)
        return sbc({name: sbc_ranks(drawn[name], true[name], self.generator) for name in true})


# -- known answers -----------------------------------------------------------------------------------------------


def test_right_distribution_passes_everything():
    case = GaussianPoses(1.0)
    # 0.0068 ± 0.0012, 0.007 ± 0.005, ±0.006 and 0.006 ± 0.003 over 9 runs; of samples only a tenth too narrow 0.065,
    # 0.25, 0.25 and 0.029.
    assert case.calibration().mean() <= 0.015
    coverage = case.expected_coverage()
    assert coverage.error <= 0.03
    assert abs(coverage.signed) <= 0.03
    result = case.tarp()
    assert result.inside
    assert result.error <= 0.02
    assert coverage.inside
    assert case.sbc().uniform


def test_over_confidence_is_flagged_with_its_sign():
    case = GaussianPoses(0.7, poses=1000)
    assert case.calibration().mean_signed() > 0.1
    assert case.expected_coverage().signed > 0.3
    result = case.tarp()
    assert not result.inside
    assert result.signed > 0.05
    assert not case.sbc().uniform


def test_under_confidence_is_flagged_with_its_sign():
    case = GaussianPoses(1.4, poses=1000)
    assert case.calibration().mean_signed() < -0.1
    assert case.expected_coverage().signed < -0.3
    result = case.tarp()
    assert not result.inside
    assert result.signed < -0.05
    assert not case.sbc().uniform


@pytest.mark.parametrize("samples", [1, 4, 50])
def test_ranks_of_a_right_distribution_are_uniform_at_any_number_of_samples(samples: int):
    case = GaussianPoses(1.0, poses=4000, samples=samples)
    assert case.expected_coverage().error <= 0.02  # 0.004 ± 0.002 over 15 runs; a tenth too narrow 0.13 to 0.25
    assert case.tarp().inside
    assert case.sbc().uniform


def test_right_joints_in_wrong_company():
    """Samples shuffled joint by joint: each joint stays right, only diagnostics of the whole pose object."""
    case = GaussianPoses(1.0)
    # A common shift of the whole body makes all joints depend on each other.
    shift = 0.2 * torch.randn(201, 3000, 1, 3, generator=case.generator)
    case.truth, case.samples = case.truth + shift[0], case.samples + shift[1:]
    assert case.calibration().mean() <= 0.015
    assert case.tarp().inside
    for joint in range(17):
        case.samples[:, :, joint] = case.samples[torch.randperm(200, generator=case.generator), :, joint]
    assert case.calibration().mean() <= 0.015
    result = case.tarp()
    assert not result.inside
    assert result.signed > 0.02
    found = case.sbc()
    assert not found.uniform
    assert found.p_values["size of the body"] < 1e-6


# -- ranks -------------------------------------------------------------------------------------------------------


def test_rank_by_hand():
    samples = torch.tensor([[1.0], [2.0], [3.0]])
    u = torch.rand(1, generator=torch.Generator().manual_seed(3))
    ranks = sbc_ranks(samples, torch.tensor([2.5]), torch.Generator().manual_seed(3))
    torch.testing.assert_close(ranks, (2 + u) / 4)
    tied = sbc_ranks(samples, torch.tensor([2.0]), torch.Generator().manual_seed(3))
    torch.testing.assert_close(tied, (1 + 2 * u) / 4)


def test_rank_of_nan_is_nan():
    ranks = sbc_ranks(torch.zeros(9, 2), torch.tensor([0.0, torch.nan]))
    assert ranks.isnan().tolist() == [False, True]


def test_ranks_of_ties_are_uniform():
    ranks = sbc_ranks(torch.zeros(7, 5000), torch.zeros(5000), torch.Generator().manual_seed(0))
    assert sbc({"constant": ranks}).uniform


# -- expected coverage -------------------------------------------------------------------------------------------


def test_most_likely_truth_is_innermost_and_impossible_truth_outermost():
    samples = torch.randn(99, 4, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([10.0, -10.0, -torch.inf, torch.nan])
    ranks = density_ranks(samples, truth)
    assert ranks[0] < 0.01
    assert (ranks[1:] > 0.99).all()


def test_density_ranks_do_not_depend_on_a_constant_or_on_units():
    case = GaussianPoses(1.0, poses=50, samples=20)
    scores = [
        density_ranks(case.log_prob_samples + shift, case.log_prob_truth + shift, torch.Generator().manual_seed(0))
        for shift in (0.0, 64.0)
    ]
    torch.testing.assert_close(scores[0], scores[1])


def test_expected_coverage_by_hand():
    """All ranks just above 1/2: nothing is covered up to level 1/2, everything beyond."""
    result = expected_coverage(torch.full((10,), 0.501))
    levels = torch.tensor(LEVELS)
    assert result.coverage.tolist() == (levels > 0.501).float().tolist()
    assert result.signed == pytest.approx(0.5 - 10 / 21)
    assert result.error == pytest.approx(float(torch.where(levels > 0.501, 1 - levels, levels).mean()))


def test_expected_coverage_ignores_nan_and_needs_a_number():
    ranks = torch.tensor([0.2, 0.7, torch.nan])
    assert expected_coverage(ranks).error == expected_coverage(ranks[:2]).error
    message = r"^expected coverage: ranks: none is a number; at least one pose must be measurable$"
    with pytest.raises(InputError, match=message):
        expected_coverage(ranks[2:])


# -- TARP --------------------------------------------------------------------------------------------------------


def test_references_are_other_poses_each_used_once():
    truth = torch.arange(100.0).reshape(100, 1, 1).expand(100, 17, 3)
    references = tarp_references(truth, torch.Generator().manual_seed(0))[:, 0, 0]
    assert (references != torch.arange(100.0)).all()
    assert sorted(references.tolist()) == list(range(100))
    assert tarp_references(truth[:1]).isnan().all()


def test_references_are_of_other_clips():
    clips = ["a"] * 30 + ["b"] * 50 + ["c"] * 25
    truth = torch.tensor([float(ord(name)) for name in clips]).reshape(-1, 1, 1).expand(-1, 17, 3)
    references = tarp_references(truth, torch.Generator().manual_seed(0), clips)
    assert (references != truth).all()
    # One clip with more than half of the poses: not everybody can have another's.
    assert tarp_references(truth[:70], None, clips[:30] + ["b"] * 40).isnan().all()


def test_tarp_rank_is_the_share_of_samples_nearer_to_the_reference():
    samples = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1, 1).expand(4, 1, 2, 3)
    ranks = tarp_ranks(samples, torch.full((1, 2, 3), 2.5), torch.zeros(1, 2, 3), None, torch.Generator())
    assert 0.4 < float(ranks) < 0.6
    far = tarp_ranks(samples, torch.full((1, 2, 3), 2.5), torch.full((1, 2, 3), 4.0), None, torch.Generator())
    assert 0.4 < float(far) < 0.6
    assert float(tarp_ranks(samples, torch.full((1, 2, 3), 9.0), torch.zeros(1, 2, 3))) > 0.8


def test_tarp_does_not_read_missing_joints():
    case = GaussianPoses(1.0, poses=40, samples=30)
    valid = torch.rand(40, 17, generator=case.generator) < 0.8
    valid[0] = False
    references = tarp_references(case.truth, case.generator)
    results = [
        tarp_ranks(
            case.samples,
            torch.where(valid.unsqueeze(-1), case.truth, stored),
            references,
            valid,
            torch.Generator().manual_seed(0),
        )
        for stored in (0.0, 1e6, torch.nan)
    ]
    assert results[0].isnan().tolist() == [True] + [False] * 39
    torch.testing.assert_close(results[0], results[1], equal_nan=True)
    torch.testing.assert_close(results[0], results[2], equal_nan=True)


def test_tarp_leaves_out_joints_that_the_reference_lacks():
    case = GaussianPoses(1.0, poses=10, samples=30)
    references = tarp_references(case.truth, case.generator)
    lacking = references.clone()
    lacking[:, 3] = torch.nan
    kept = [j for j in range(17) if j != 3]
    a = tarp_ranks(case.samples, case.truth, lacking, None, torch.Generator().manual_seed(0))
    b = tarp_ranks(
        case.samples[:, :, kept], case.truth[:, kept], references[:, kept], None, torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("spread", "references", "below_half", "above_half"),
    [(0.6, 20.0, 1, -1), (1.5, 20.0, -1, 1), (0.6, 0.0, -1, -1), (1.5, 0.0, 1, 1)],
)
def test_how_tarp_shows_a_wrong_spread(spread: float, references: float, below_half: int, above_half: int):
    """Signs of coverage - level, as documented: references far from the samples and among them."""
    generator = torch.Generator().manual_seed(0)
    truth, samples = torch.randn(2000, 1, 3, generator=generator), torch.randn(100, 2000, 1, 3, generator=generator)
    ranks = tarp_ranks(spread * samples, truth, torch.full((2000, 1, 3), references), generator=generator)
    result = tarp(ranks)
    gap = result.coverage - result.levels
    assert below_half * float(gap[1:9].mean()) > 0.03
    assert above_half * float(gap[12:20].mean()) > 0.03
    assert math.copysign(1, result.signed) == -above_half
    assert not result.inside


def test_bias_puts_truths_nearer_to_the_references_than_samples():
    generator = torch.Generator().manual_seed(0)
    centre = 3.0 * torch.randn(2000, 4, 3, generator=generator)
    truth = centre + torch.randn(2000, 4, 3, generator=generator)
    samples = centre + torch.randn(100, 2000, 4, 3, generator=generator) + torch.tensor([2.0, 0.0, 0.0])
    result = tarp(tarp_ranks(samples, truth, tarp_references(truth, generator), generator=generator))
    assert not result.inside
    gap = result.coverage - result.levels
    assert float(gap.mean()) > 0.05
    assert float(gap[1:11].min()) > 0
    assert result.signed < 0


# -- simulation-based calibration --------------------------------------------------------------------------------


def hand_made_pose() -> torch.Tensor:
    """All joints at the pelvis but a left leg that kneels, a straight right arm towards the camera, a head."""
    pose = torch.zeros(17, 3)
    for name, position in {
        "left_hip": (0.1, 0.0, 0.2),
        "left_knee": (0.1, 0.4, 0.2),
        "left_ankle": (0.1, 0.4, 0.6),
        "right_hip": (-0.1, 0.0, -0.2),
        "right_knee": (-0.1, 0.4, -0.2),
        "right_ankle": (-0.1, 0.8, -0.2),
        "right_elbow": (0.0, 0.0, -0.3),
        "right_wrist": (0.0, 0.0, -0.5),
        "left_elbow": (0.3, 0.0, 0.0),
        "left_wrist": (0.3, 0.2, 0.2),
        "head_top": (0.0, -0.6, 0.1),
    }.items():
        pose[H36M.index(name)] = torch.tensor(position)
    return pose


def test_quantities_by_hand():
    values = {name: float(value) for name, value in sbc_quantities(hand_made_pose()).items()}
    hip = math.hypot(0.1, 0.2)
    assert values == pytest.approx(
        {
            "depth of left wrist": 0.2,
            "depth of right wrist": -0.5,
            "depth of left ankle": 0.6,
            "depth of right ankle": -0.2,
            "depth of head top": 0.1,
            "depth of left over right hip": 0.4,
            "depth of left over right shoulder": 0.0,
            "angle of left knee": math.pi / 2,
            "angle of left elbow": math.pi / 2,
            "angle of right knee": math.pi,
            "angle of right elbow": math.pi,
            "size of the body": 2 * hip + 4 * 0.4 + 0.3 + 0.2 + 0.3 + math.hypot(0.2, 0.2) + math.hypot(0.6, 0.1),
        },
        abs=1e-6,
    )


def test_quantities_do_not_depend_on_where_the_person_stands():
    pose = hand_made_pose()
    moved = sbc_quantities(pose + torch.tensor([1.0, -2.0, 4.0]))
    for name, value in sbc_quantities(pose).items():
        assert float(moved[name]) == pytest.approx(float(value), abs=1e-5)


def test_missing_joint_makes_only_its_quantities_nan():
    pose = hand_made_pose()
    pose[H36M.index("left_wrist")] = torch.nan
    unknown = {name for name, value in sbc_quantities(pose).items() if value.isnan()}
    assert unknown == {"depth of left wrist", "angle of left elbow", "size of the body"}


def test_quantities_need_h36m17():
    with pytest.raises(InputError, match=r"^SBC: poses: expected the 17 joints of h36m17, got 16$"):
        sbc_quantities(torch.zeros(16, 3))


def test_sbc_names_the_quantity_that_is_wrong():
    generator = torch.Generator().manual_seed(0)
    ranks = {name: torch.rand(2000, generator=generator) for name in ("a", "b", "c")}
    result = sbc(ranks)
    assert result.uniform
    assert result.level == pytest.approx(0.01 / 3)
    ranks["b"] = ranks["b"].square()
    result = sbc(ranks)
    assert not result.uniform
    assert result.smallest == result.p_values["b"] == min(result.p_values.values())
    assert result.p_values["a"] > 0.01


def test_sbc_leaves_out_what_was_not_measured():
    generator = torch.Generator().manual_seed(0)
    ranks = torch.rand(100, generator=generator)
    ranks[::2] = torch.nan
    result = sbc({"half": ranks, "rare": torch.where(torch.arange(100) < 4, 0.5, torch.nan)})
    assert list(result.p_values) == ["half"]
    assert result.p_values == sbc({"half": ranks[1::2]}).p_values
    with pytest.raises(InputError, match=r"^SBC: ranks: no quantity has 5 ranks; measure more poses$"):
        sbc({"rare": torch.rand(4)})
