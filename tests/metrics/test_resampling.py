"""Intervals, tests and bands of poses that come in clips."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from poseterior.files.errors import InputError
from poseterior.metrics.calibration import LEVELS, calibration_error
from poseterior.metrics.diagnostics import expected_coverage, sbc, tarp
from poseterior.metrics.resampling import (
    bootstrap_counts,
    design_effect,
    effective_number,
    group_numbers,
    half_width,
    median_replicates,
    ratio_of,
    t_quantile,
    uniform_band,
)


def in_clips(clips: int, frames: int, alike: float, seed: int, shift: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Uniform ranks of which the normal scores of a clip have the correlation ``alike``, and their clips."""
    generator = torch.Generator().manual_seed(seed)
    shared, own = torch.randn(clips, 1, generator=generator), torch.randn(clips, frames, generator=generator)
    ranks = torch.special.ndtr(math.sqrt(alike) * shared + math.sqrt(1 - alike) * own + shift)
    return ranks.flatten(), torch.arange(clips).repeat_interleave(frames)


# -- the bootstrap ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [1, 2, 4, 23, 1000])
@pytest.mark.parametrize("probability", [0.025, 0.5, 0.9, 0.975, 0.995])
def test_t_quantile_agrees_with_scipy(freedom: int, probability: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-5, abs=1e-6)


def test_data_sets_have_as_many_clips_and_are_the_same_again() -> None:
    counts = bootstrap_counts(24)
    assert counts.shape == (1000, 24)
    assert (counts.sum(1) == 24).all()
    assert float(counts.mean()) == 1.0
    assert float(counts.var()) == pytest.approx(1 - 1 / 24, rel=0.05)  # of a multinomial
    assert torch.equal(counts, bootstrap_counts(24))


def test_groups_are_numbered_as_they_come() -> None:
    index, count = group_numbers(["b", "a", "b", "c"])
    assert index.tolist() == [0, 1, 0, 2]
    assert count == 3


def test_interval_of_a_mean_is_students() -> None:
    """Of clips of one pose each: t * s / sqrt(n)."""
    values = torch.randn(20, generator=torch.Generator().manual_seed(1)).double()
    found = ratio_of(values, torch.ones(20), torch.arange(20), 20, lambda mean: mean)
    assert found.value == pytest.approx(float(values.mean()))
    expected = stats.t.ppf(0.975, 19) * float(values.std()) / math.sqrt(20)
    # 1,000 data sets: the standard deviation is off by 1 / sqrt(2 * 1000) = 2.2 % for chance.
    assert float(half_width(found.replicates(bootstrap_counts(20)), 20)) == pytest.approx(expected, rel=0.09)


def test_intervals_hold_the_truth_19_times_of_20() -> None:
    """24 clips of 40 alike frames; frame by frame a plain interval holds it half of the time."""
    held = plain = 0
    for seed in range(200):
        ranks, group = in_clips(24, 40, 0.5, seed)
        found = ratio_of(ranks, torch.ones(960), group, 24, lambda mean: mean)
        held += abs(found.value - 0.5) < float(half_width(found.replicates(bootstrap_counts(24)), 24))
        plain += abs(found.value - 0.5) < 1.96 * float(ranks.std()) / math.sqrt(960)
    # Binomial of 200 at 0.95: standard deviation 3.1; four of them.
    assert 178 <= held <= 200
    assert plain < 140


def test_a_difference_is_surer_than_its_parts() -> None:
    """Two lifters whose errors go up and down together with the clip: paired, the difference is certain."""
    generator = torch.Generator().manual_seed(0)
    hard = 20 * torch.rand(24, 1, generator=generator)
    first = (hard + torch.rand(24, 30, generator=generator)).flatten()
    second = (hard + 1 + torch.rand(24, 30, generator=generator)).flatten()
    group, counts = torch.arange(24).repeat_interleave(30), bootstrap_counts(24)
    a, b = (ratio_of(v, torch.ones(720), group, 24, lambda mean: mean) for v in (first, second))
    assert float(half_width(a.replicates(counts), 24)) > 2
    assert float(half_width(b.replicates(counts) - a.replicates(counts), 24)) < 0.2


def test_shares_per_joint_are_resampled_as_they_are_counted() -> None:
    """A calibration error through sums is that of `calibration_error`; joints that are missing somewhere count less."""
    generator = torch.Generator().manual_seed(3)
    ranks = torch.rand(90, 5, generator=generator).square()
    counted = torch.rand(90, 5, generator=generator) < 0.7
    levels = torch.tensor(LEVELS)
    inside = (ranks.unsqueeze(-1) <= levels) & counted.unsqueeze(-1)
    found = ratio_of(
        inside, counted.unsqueeze(-1), torch.arange(90) // 10, 9, lambda s: (s - levels.double()).abs().mean((-1, -2))
    )
    assert found.value == pytest.approx(calibration_error(ranks, counted).mean(), abs=1e-6)
    replicates = found.replicates(bootstrap_counts(9))
    first = bootstrap_counts(9)[0].long().repeat_interleave(10)
    drawn = torch.arange(90).repeat_interleave(first)
    assert float(replicates[0]) == pytest.approx(calibration_error(ranks[drawn], counted[drawn]).mean(), abs=1e-6)


def test_medians_are_those_of_the_drawn_clips() -> None:
    values = torch.randn(60, generator=torch.Generator().manual_seed(2))
    group, counts = torch.arange(60) // 6, bootstrap_counts(10)
    found = median_replicates(values, group, counts)
    for row in range(20):
        drawn = values.repeat_interleave(counts[row].long()[group])
        assert float(found[row]) == pytest.approx(float(drawn.median()))


def test_data_sets_with_nothing_to_measure_do_not_count() -> None:
    values = torch.tensor([[1.0], [3.0], [float("nan")], [2.0]]).double()
    expected = half_width(values[[0, 1, 3]], 5)
    assert float(half_width(values, 5)) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_counts(1), "bootstrap: groups: expected at least 2, got 1"),
        (lambda: bootstrap_counts(3, 1), "bootstrap: draws: expected at least 2, got 1"),
        (lambda: t_quantile(1.0, 3), "t quantile: probability: expected above 0 and below 1, got 1.0"),
        (lambda: t_quantile(0.9, 0), "t quantile: freedom: expected 1 or more, got 0"),
        (lambda: uniform_band(0), "uniform band: n: expected 1 or more, got 0"),
        (
            lambda: design_effect(torch.rand(9), torch.zeros(9, dtype=torch.long)),
            "design effect: all poses that count are of one clip; at least 2 clips are needed",
        ),
    ],
)
def test_refusals(call, message: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message


# -- how many independent poses --------------------------------------------------------------------------------


def test_independent_poses_count_for_themselves() -> None:
    ranks, _ = in_clips(2000, 1, 0.0, 0)
    assert design_effect(ranks, torch.arange(2000)) == pytest.approx(1.0, abs=0.01)


def test_copies_of_a_pose_count_once() -> None:
    ranks = torch.rand(30, generator=torch.Generator().manual_seed(0)).repeat_interleave(20)
    assert effective_number(ranks, torch.arange(30).repeat_interleave(20)) == pytest.approx(29, abs=0.5)


def test_alike_frames_count_for_what_theory_says() -> None:
    """Kish: 1 + (frames - 1) * correlation of "below q", averaged over levels by their variance."""
    alike, frames = 0.3, 40
    levels = torch.tensor(LEVELS[1:-1], dtype=torch.float64)
    scores = torch.special.ndtri(levels).tolist()
    both = [stats.multivariate_normal([0, 0], [[1, alike], [alike, 1]]).cdf([z, z]) for z in scores]
    between = sum(b - float(q) ** 2 for b, q in zip(both, levels, strict=True))
    expected = 1 + (frames - 1) * between / float((levels * (1 - levels)).sum())
    found = [design_effect(*in_clips(200, frames, alike, seed)) for seed in range(20)]
    assert sum(found) / 20 == pytest.approx(expected, rel=0.06)


def test_columns_that_do_not_count_change_nothing() -> None:
    ranks, group = in_clips(24, 20, 0.4, 0)
    wide = torch.stack([ranks, torch.full_like(ranks, float("nan"))], 1)
    assert effective_number(wide, group) == pytest.approx(effective_number(ranks, group))
    counted = torch.stack([torch.ones(480, dtype=torch.bool), torch.zeros(480, dtype=torch.bool)], 1)
    junk = torch.stack([ranks, torch.zeros_like(ranks)], 1)
    assert effective_number(junk, group, counted) == pytest.approx(effective_number(ranks, group))


# -- tests and bands -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("clips", "frames", "alike"), [(24, 40, 0.3), (24, 40, 0.7), (24, 10, 0.0), (100, 10, 0.5)])
def test_right_distributions_are_seldom_called_wrong(clips: int, frames: int, alike: float) -> None:
    """At most 1 and 5 % of 100 data sets (four standard deviations more); as if independent it would be up to 75 %."""
    wrong = outside = naive = 0
    for seed in range(100):
        ranks, group = in_clips(clips, frames, alike, seed)
        wrong += not sbc({"a": ranks}, group).uniform
        naive += not sbc({"a": ranks}).uniform
        outside += not tarp(ranks, group).inside
    assert wrong <= 1 + 4
    assert outside <= 5 + 4 * math.sqrt(5)
    if alike:
        assert naive > 20


def test_wrong_distributions_are_still_found() -> None:
    ranks, group = in_clips(24, 40, 0.1, 0, shift=0.6)
    assert not sbc({"a": ranks}, group).uniform
    assert not tarp(ranks, group).inside
    assert not expected_coverage(ranks, group).inside


def test_the_effective_number_is_told() -> None:
    ranks, group = in_clips(24, 40, 0.5, 0)
    result = sbc({"a": ranks, "b": torch.where(group == 3, ranks, torch.nan)}, group)
    assert list(result.effective) == ["a"]  # b is of one clip only
    assert result.effective["a"] == pytest.approx(effective_number(ranks, group))
    assert result.p_values["a"] > sbc({"a": ranks}).p_values["a"]


def test_band_holds_19_of_20_sets_of_uniform_ranks() -> None:
    for n in (20, 300):
        low, high = uniform_band(n)
        ranks = torch.rand(2000, n, generator=torch.Generator().manual_seed(9))
        share = (ranks.unsqueeze(-1) <= torch.tensor(LEVELS)).double().mean(1)
        held = ((share >= low - 1e-9) & (share <= high + 1e-9)).all(-1).double().mean()
        # 2,000 sets: standard deviation 0.005; shares are whole numbers of poses, so that the band holds a little more.
        assert 0.93 <= float(held) <= 0.985
        assert (low[0], high[0], low[-1], high[-1]) == (0.0, 0.0, 1.0, 1.0)
        assert ((low <= torch.tensor(LEVELS) + 1e-9) & (high >= torch.tensor(LEVELS) - 1e-9))[1:-1].all()


def test_band_is_narrow_where_ranks_are_sure() -> None:
    low, high = uniform_band(200)
    width = high - low
    assert float(width[1]) < 0.6 * float(width[10])
    assert float((uniform_band(800)[1] - uniform_band(800)[0])[10]) == pytest.approx(float(width[10]) / 2, rel=0.15)
