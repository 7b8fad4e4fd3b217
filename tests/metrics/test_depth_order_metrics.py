"""Labels, accuracy and probabilities of depth order."""

from __future__ import annotations

import math

import pytest
import roma
import torch
from torch import Tensor

from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.files.errors import InputError
from poseterior.metrics.accuracy import joint_errors
from poseterior.metrics.depth_order import (
    all_pairs,
    mixture_order_log_probability,
    order_accuracy,
    order_accuracy_by_gap,
    order_counts,
    order_labels,
    order_probability,
    order_reliability,
)

PAIRS = all_pairs(17)


def probability(posterior: MixturePoseDistribution, pairs: Tensor) -> Tensor:
    """Exact probability that a is farther."""
    farther = torch.ones(pairs.shape[-2], dtype=torch.int8)
    return mixture_order_log_probability(posterior, pairs, farther).exp()


def poses(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return 0.3 * torch.randn(*shape, 17, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def depths(*z: float) -> Tensor:
    """A pose whose joints differ in depth only."""
    return torch.tensor([[0.0, 0.0, value] for value in z])


def mixture(
    k: int = 3, rank: int = 4, shared: bool = False, batch: int = 3, turned: bool = True, loc: float = 0.15
) -> MixturePoseDistribution:
    g = torch.Generator().manual_seed(k + 10 * rank)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    lower = 0.05 * randn(batch, k, 16, 3, 3).tril(-1) + torch.diag_embed(0.1 * (0.3 * randn(batch, k, 16, 3)).exp())
    factor = 0.7 * randn(batch, 1 if shared else k, 48, rank) if rank else None
    rotation = roma.special_gramschmidt(randn(batch, 3, 3)) if turned else None
    return MixturePoseDistribution(randn(batch, k), loc * randn(batch, k, 16, 3), lower, factor, rotation)


# -- labels ------------------------------------------------------------------------------------------------


def test_all_pairs_are_there_once() -> None:
    assert PAIRS.shape == (136, 2)
    assert all_pairs(3).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert all_pairs(1).shape == (0, 2)


def test_label_is_plus_one_where_a_is_farther() -> None:
    z = torch.tensor([0.0, 0.3, 0.3])
    labels = order_labels(z, torch.tensor([[0, 1], [1, 0], [1, 2]]))
    assert labels.dtype == torch.int8
    assert labels.tolist() == [-1, 1, 0]


def test_tolerance_is_the_widest_gap_of_the_same_depth() -> None:
    z = torch.tensor([0.0, 0.1, 0.1 + 1e-6, -0.1, -0.1 - 1e-6], dtype=torch.float64)
    pairs = torch.tensor([[i, 0] for i in range(1, 5)])
    assert order_labels(z, pairs, tolerance=0.1).tolist() == [0, 1, 0, -1]
    assert order_labels(z, pairs).tolist() == [1, 1, -1, -1]


def test_swapping_a_pair_negates_its_label() -> None:
    z = poses(50)[..., 2]
    assert torch.equal(order_labels(z, PAIRS.flip(-1), 0.05), -order_labels(z, PAIRS, 0.05))


def test_each_pose_may_have_its_own_pairs() -> None:
    z = torch.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
    own = torch.tensor([[[0, 1], [2, 1]], [[0, 1], [1, 2]]])
    assert order_labels(z, own).tolist() == [[-1, 1], [1, 1]]
    assert order_labels(z[0], own).tolist() == [[-1, 1], [-1, -1]]


@pytest.mark.parametrize("joint", [17, -1])
def test_pairs_are_joints(joint: int) -> None:
    wrong = torch.tensor([[0, 1], [joint, 3]])
    with pytest.raises(InputError) as caught:
        order_labels(poses()[..., 2], wrong)
    assert str(caught.value) == f"pairs: no joint {joint}; expected indices 0 to 16"
    with pytest.raises(InputError, match="pairs: no joint"):
        probability(mixture(), wrong)


def test_a_joint_is_as_deep_as_itself() -> None:
    """So labels may be padded: such pairs neither count nor pull, with or without a tolerance."""
    pose, itself, label = poses(4), torch.tensor([[0, 0], [5, 5]]), torch.zeros(2, dtype=torch.int8)
    assert not order_labels(pose[..., 2], itself).any()
    assert int(order_counts(pose, pose, pairs=itself)[1].sum()) == 0
    d = mixture()
    for tolerance in (0.0, 0.1):
        parts = [x.detach().clone().requires_grad_() for x in (d.log_weights, d.loc, d.scale_tril, d.factor)]
        log_p = mixture_order_log_probability(MixturePoseDistribution(*parts, d.rotation), itself, label, tolerance)
        assert not log_p.any()
        log_p.sum().backward()
        assert not any(part.grad.any() for part in parts)
    with pytest.raises(InputError) as caught:
        mixture_order_log_probability(d, itself, label + 1)
    assert str(caught.value) == (
        "label: a joint is neither nearer nor farther than itself; expected 0 where a and b are the same"
    )


def test_pairs_and_tolerance_are_checked() -> None:
    with pytest.raises(InputError, match=r"pairs: expected whole numbers \(pairs, 2\), got torch.float32 \(136, 2\)"):
        order_labels(poses()[..., 2], PAIRS.float())
    with pytest.raises(InputError, match=r"tolerance: expected metres from 0, got -0\.1"):
        order_labels(poses()[..., 2], PAIRS, -0.1)


# -- accuracy ----------------------------------------------------------------------------------------------


def test_accuracy_of_a_golden_pose() -> None:
    """Pairs: gaps 0.1 (wrong), 0.3 (right), 0.2 (right)."""
    truth, pose = depths(0.0, 0.1, 0.3), depths(0.0, -5.0, 2.0)
    assert float(order_accuracy(pose, truth)) == pytest.approx(2 / 3)
    assert float(order_accuracy(pose, truth, minimum_gap=0.15)) == 1.0
    assert float(order_accuracy(pose, truth, maximum_gap=0.15)) == 0.0
    assert float(order_accuracy(pose, truth, pairs=torch.tensor([[0, 1], [2, 1]]))) == 0.5
    assert float(order_accuracy(pose, truth, valid=torch.tensor([True, False, True]))) == 1.0
    assert math.isnan(float(order_accuracy(pose, truth, minimum_gap=1.0)))


def test_flat_depth_is_wrong_and_true_ties_do_not_count() -> None:
    truth = depths(0.0, 0.0, 0.3)
    right, counted = order_counts(depths(1.0, 1.0, 1.0), truth)
    assert (int(right), int(counted)) == (0, 2)
    assert float(order_accuracy(truth, truth)) == 1.0


def test_accuracy_knows_no_scale_and_mirrors_to_its_complement() -> None:
    truth, pose = poses(40, seed=1), poses(40, seed=2)
    accuracy = float(order_accuracy(pose, truth))
    assert accuracy == pytest.approx(0.5, abs=0.05)
    assert float(order_accuracy(4.0 * pose, truth)) == accuracy
    mirrored = pose * torch.tensor([1.0, 1.0, -1.0])
    assert float(order_accuracy(mirrored, truth)) == pytest.approx(1 - accuracy)


def test_counts_of_batches_add_up() -> None:
    truth, pose = poses(40, seed=1), poses(40, seed=2)
    valid = torch.rand(40, 17, generator=torch.Generator().manual_seed(0)) < 0.7
    parts = [order_counts(p, t, v) for p, t, v in zip(pose.split(17), truth.split(17), valid.split(17), strict=True)]
    right, counted = (torch.cat(column) for column in zip(*parts, strict=True))
    assert right.shape == counted.shape == (40,)
    assert float(right.sum() / counted.sum()) == float(order_accuracy(pose, truth, valid))
    present = valid.sum(-1)
    assert torch.equal(counted, present * (present - 1) // 2)


def test_joints_that_are_not_valid_tell_nothing() -> None:
    truth, pose = poses(5, seed=1), poses(5, seed=2)
    valid = torch.ones(5, 17, dtype=torch.bool)
    valid[:, 4] = False
    expected = order_accuracy_by_gap(pose, truth, valid)
    for junk in (1e6, float("nan")):
        truth[:, 4] = junk
        pose[:, 4] = -junk
        assert order_accuracy_by_gap(pose, truth, valid) == expected
    assert float(joint_errors(pose, truth, valid)[:, 4].abs().max()) == 0.0


def test_gap_bins() -> None:
    truth, pose = depths(0.0, 0.125, 0.375), depths(0.0, -1.0, 1.0)
    rows = order_accuracy_by_gap(pose, truth, edges=(0.0, 0.125, 0.25, math.inf))
    assert rows == [
        {"from": 0.0, "to": 0.125, "accuracy": None, "pairs": 0},
        {"from": 0.125, "to": 0.25, "accuracy": 0.0, "pairs": 1},
        {"from": 0.25, "to": None, "accuracy": 1.0, "pairs": 2},
    ]


def test_gap_bins_hold_every_pair_once() -> None:
    truth, pose = poses(60, seed=1), poses(60, seed=2)
    rows = order_accuracy_by_gap(pose, truth)
    assert [row["from"] for row in rows] == [0.0, 0.02, 0.05, 0.1, 0.2, 0.4]
    assert sum(row["pairs"] for row in rows) == 60 * 136
    right = sum(row["accuracy"] * row["pairs"] for row in rows)
    assert right / (60 * 136) == pytest.approx(float(order_accuracy(pose, truth)))
    for row in rows[1:-1]:
        one = order_accuracy(pose, truth, minimum_gap=row["from"], maximum_gap=row["to"])
        assert float(one) == pytest.approx(row["accuracy"])


def test_empty_ranges_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        order_accuracy(poses(), poses(), minimum_gap=0.2, maximum_gap=0.2)
    assert str(caught.value) == "minimum_gap, maximum_gap: expected 0 <= minimum < maximum, got 0.2, 0.2"
    for edges in ((0.0,), (0.1, 0.1), (-0.1, 0.1)):
        with pytest.raises(InputError, match="edges: expected at least two, rising from 0 or more, got"):
            order_accuracy_by_gap(poses(), poses(), edges=edges)


# -- probabilities -----------------------------------------------------------------------------------------


def test_probability_is_the_share_of_samples() -> None:
    samples = torch.stack([depths(0.0, 1.0), depths(1.0, 0.0), depths(1.0, 1.0), depths(2.0, 1.0)])
    assert order_probability(samples, torch.tensor([[0, 1], [1, 0]])).tolist() == [0.625, 0.375]
    with pytest.raises(InputError, match="samples: a probability needs at least 1, got 0"):
        order_probability(samples[:0], torch.tensor([[0, 1]]))


KINDS = [
    {"rank": 0},
    {"rank": 4},
    {"rank": 4, "shared": True},
    {"k": 1, "rank": 2, "turned": False},
]


@pytest.mark.parametrize("kind", KINDS)
def test_exact_probability_is_that_of_200_000_samples(kind: dict) -> None:
    """Standard error at most 0.0011; 408 pairs, so 5 of them. Ties between joints matter: see the next test."""
    d = mixture(**kind)
    drawn = torch.zeros(3, 136, dtype=torch.float64)
    for seed in range(20):
        drawn += order_probability(d.sample((10_000,), seed=seed), PAIRS) / 20
    assert (probability(d, PAIRS) - drawn).abs().max() < 0.0056


def test_ties_between_joints_and_the_turn_matter() -> None:
    d = mixture(rank=4)
    for other in (
        MixturePoseDistribution(d.log_weights, d.loc, d.scale_tril, None, d.rotation),
        MixturePoseDistribution(d.log_weights, d.loc, d.scale_tril, d.factor, d.rotation.transpose(-1, -2)),
    ):
        gap = probability(d, PAIRS) - probability(other, PAIRS)
        assert float(gap.abs().max()) > 0.05


def test_golden_probability() -> None:
    """One component, spine 0.1 m behind the pelvis with a standard deviation of 0.05 m: Phi(2)."""
    loc = torch.zeros(1, 1, 16, 3, dtype=torch.float64)
    loc[..., 6, 2] = 0.1
    lower = 0.05 * torch.eye(3, dtype=torch.float64).expand(1, 1, 16, 3, 3)
    d = MixturePoseDistribution(torch.zeros(1, 1, dtype=torch.float64), loc, lower)
    spine, pelvis, head = (d.skeleton.index(name) for name in ("spine", "pelvis", "head_top"))
    pairs = torch.tensor([[spine, pelvis], [pelvis, spine], [spine, head]])
    p = probability(d, pairs)[0]
    assert p.tolist() == pytest.approx([0.977249868, 0.022750132, 0.921350396], abs=1e-9)  # Phi(2, -2, sqrt 2)
    label = torch.tensor([0, 0, 1])
    log_p = mixture_order_log_probability(d, pairs, label, tolerance=0.02)[0]
    same = 0.054799292 - 0.008197536  # Phi(-1.6) - Phi(-2.4)
    assert log_p.exp().tolist() == pytest.approx([same, same, 0.921350396], abs=1e-8)


def test_log_probability_is_the_logarithm() -> None:
    d = mixture()
    p, label = probability(d, PAIRS), torch.ones(136, dtype=torch.int8)
    torch.testing.assert_close(mixture_order_log_probability(d, PAIRS, -label).exp(), 1 - p)
    swapped = mixture_order_log_probability(d, PAIRS.flip(-1), -label)
    torch.testing.assert_close(swapped, mixture_order_log_probability(d, PAIRS, label))


def test_probability_of_the_same_depth_is_that_of_samples() -> None:
    d = mixture()
    drawn = torch.zeros(3, 136, dtype=torch.float64)
    for seed in range(10):
        drawn += (order_labels(d.sample((10_000,), seed=seed)[..., 2], PAIRS, 0.1) == 0).double().mean(0) / 10
    log_p = mixture_order_log_probability(d, PAIRS, torch.zeros(136, dtype=torch.int8), tolerance=0.1)
    assert (log_p.exp() - drawn).abs().max() < 0.0079
    whole = mixture_order_log_probability(d, PAIRS, torch.zeros(136, dtype=torch.int8), tolerance=50.0)
    assert float(whole.abs().max()) < 1e-12


def test_each_pose_may_ask_for_its_own_pairs() -> None:
    d = mixture()
    index = torch.tensor([[3, 40], [99, 0], [17, 135]])
    own, label = PAIRS[index], torch.tensor([[1, -1], [0, 1], [-1, 0]])
    torch.testing.assert_close(probability(d, own), probability(d, PAIRS).gather(-1, index))
    everywhere = torch.zeros(3, 136, dtype=torch.int64).scatter(-1, index, label)
    expected = mixture_order_log_probability(d, PAIRS, everywhere, tolerance=0.05).gather(-1, index)
    torch.testing.assert_close(mixture_order_log_probability(d, own, label, tolerance=0.05), expected)


@pytest.mark.parametrize("shared", [False, True])
def test_gradients_are_exact(shared: bool) -> None:
    d = mixture(k=2, rank=2, batch=1, shared=shared)
    pairs = torch.tensor([[0, 3], [5, 11], [16, 1], [2, 8]])
    label = torch.tensor([1, -1, 0, 0])

    def both(logits: Tensor, loc: Tensor, scale_tril: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
        m = MixturePoseDistribution(logits, loc, scale_tril, factor, d.rotation)
        return probability(m, pairs), mixture_order_log_probability(m, pairs, label, tolerance=0.05)

    inputs = [x.detach().clone().requires_grad_() for x in (d.log_weights, d.loc, d.scale_tril, d.factor)]
    assert torch.autograd.gradcheck(both, inputs, fast_mode=True)


@pytest.mark.parametrize("label", [-1, 0, 1])
@pytest.mark.parametrize("distance", [0.0, 1e-4, 0.3, 30.0])
def test_log_probability_is_finite_and_pulls_the_right_way(label: int, distance: float) -> None:
    """float32, a is farther by up to 30,000 standard deviations of 1 mm."""
    loc = torch.zeros(1, 1, 16, 3)
    loc[..., 0, 2] = distance
    loc.requires_grad_()
    lower = 1e-3 * torch.eye(3).expand(1, 1, 16, 3, 3)
    pairs = torch.tensor([[1, 0]])
    log_p = mixture_order_log_probability(
        MixturePoseDistribution(torch.zeros(1, 1), loc, lower), pairs, torch.tensor([label]), tolerance=0.01
    )
    log_p.backward()
    slope = float(loc.grad[0, 0, 0, 2])
    assert math.isfinite(float(log_p))
    assert math.isfinite(slope)
    if label == 1:
        assert slope >= 0
    elif distance > 0.1:
        # Far out: (x + 1/x) / s, with x standard deviations to the edge of what the label allows.
        edge = distance - (0.01 if label == 0 else 0.0)
        assert slope == pytest.approx(-(edge / 1e-3 + 1e-3 / edge) / 1e-3, rel=1e-4)


def test_float32_has_the_gradient_of_float64() -> None:
    slopes = []
    for dtype in (torch.float32, torch.float64):
        d = mixture(loc=3.0)
        loc = d.loc.to(dtype).requires_grad_()
        parts = (d.scale_tril * 0.01, d.factor, d.rotation)
        m = MixturePoseDistribution(d.log_weights.to(dtype), loc, *(part.to(dtype) for part in parts))
        mixture_order_log_probability(m, PAIRS, torch.ones(136, dtype=torch.int8)).sum().backward()
        slopes.append(loc.grad.double())
    assert float((slopes[0] - slopes[1]).norm() / slopes[1].norm()) < 1e-4


def test_labels_are_checked() -> None:
    d, pair = mixture(), PAIRS[:1]
    with pytest.raises(InputError) as caught:
        mixture_order_log_probability(d, pair, torch.tensor([0]))
    assert str(caught.value) == (
        "label: 0 has probability 0 without a tolerance; give one above 0 or leave these pairs out"
    )
    with pytest.raises(InputError, match="label: expected -1, 0 or 1, got 2"):
        mixture_order_log_probability(d, pair, torch.tensor([2]))


# -- reliability -------------------------------------------------------------------------------------------


def test_golden_reliability() -> None:
    probability = torch.tensor([0.1, 0.2, 0.3, 0.6, 0.8, 1.0, 0.9])
    label = torch.tensor([-1, -1, 1, 1, 1, -1, 0])
    predicted, observed, pairs, error = order_reliability(probability, label, bins=2)
    assert predicted.tolist() == pytest.approx([0.2, 0.8])
    assert observed.tolist() == pytest.approx([1 / 3, 2 / 3])
    assert pairs.tolist() == [3, 3]
    assert error == pytest.approx(2 / 15)


def test_edges_and_empty_bins() -> None:
    result = order_reliability(torch.tensor([[0.0, 0.25], [0.5, 1.0]]), torch.tensor([[-1, 1], [1, 1]]), bins=4)
    assert result.pairs.tolist() == [1, 1, 1, 1]
    result = order_reliability(torch.tensor([0.05, 1.0]), torch.tensor([-1, 1]))
    assert result.pairs.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert result.predicted.isfinite().tolist() == [True, *[False] * 8, True]
    assert result.error == pytest.approx(0.025)


def test_a_right_posterior_is_reliable_and_a_narrow_one_is_not() -> None:
    """Truths drawn from the posterior itself: error within the noise of 40,800 pairs of 300 poses."""
    d = mixture(batch=300)
    label = order_labels(d.sample(seed=5)[..., 2], PAIRS)
    assert order_reliability(probability(d, PAIRS), label).error < 0.02  # 0.007 ± 0.002 over 3 runs
    narrow = MixturePoseDistribution(d.log_weights, d.loc, 0.3 * d.scale_tril, d.factor, d.rotation)
    assert order_reliability(probability(narrow, PAIRS), label).error > 0.05


def test_exact_probabilities_stay_within_bounds() -> None:
    d = mixture(k=7, loc=50.0)
    d = MixturePoseDistribution(d.log_weights.float(), d.loc.float(), d.scale_tril.float(), d.factor.float())
    p = probability(d, PAIRS)
    assert p.dtype == torch.float32
    assert float(p.max()) <= 1 + 1e-6  # weights add up to 1 only to rounding
    assert order_reliability(p.clamp(max=1.0), order_labels(d.sample(seed=0)[..., 2], PAIRS)).pairs.sum() == p.numel()


def test_reliability_checks_its_input() -> None:
    p, label = torch.tensor([0.2, 0.7]), torch.tensor([-1, 1])
    for arguments, message in [
        ((p, label[:1]), r"label: expected the shape of probability \(2,\), got \(1,\)"),
        ((p, label, 0), "bins: expected a whole number from 1, got 0"),
        ((p + 0.5, label), "probability: expected numbers from 0 to 1"),
        ((p * torch.nan, label), "probability: expected numbers from 0 to 1"),
        ((p, 3 * label), "label: expected -1, 0 or 1, got -3"),
        ((p, 0 * label), "label: every pair is labelled 0; reliability needs pairs with an order"),
    ]:
        with pytest.raises(InputError, match=message):
            order_reliability(*arguments)
