import inspect

import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.geometry.cameras import project
from poseterior.keypoints import Keypoints2D
from poseterior.metrics.accuracy import mpjpe
from poseterior.metrics.estimates import (
    aggregate_by_reprojection,
    best_of,
    medoid,
    reprojection_log_weights,
    weighted_mean,
)

INTRINSICS = torch.tensor([1100.0, 1150.0, 640.0, 360.0])
ROOT = torch.tensor([0.3, -0.2, 4.0])
INSIDE = 5  # which of the samples is the truth


@pytest.fixture
def samples(people: torch.Tensor) -> torch.Tensor:
    """Twelve hypotheses of 32 people (12, 32, 17, 3), metres; number `INSIDE` is the truth."""
    noise = 0.08 * torch.randn(12, *people.shape, generator=torch.Generator().manual_seed(1))
    noise[INSIDE] = 0.0
    return people + noise - noise[..., :1, :]


def keypoints_of(people: torch.Tensor, **kwargs) -> Keypoints2D:
    kwargs.setdefault("covariance", torch.full(people.shape[:-1], 2.0))
    return Keypoints2D(project(people + ROOT, INTRINSICS), intrinsics=INTRINSICS, **kwargs)


# -- medoid and weighted mean ------------------------------------------------------------------------------


def test_medoid_equals_the_double_sum(samples):
    distance = (samples.unsqueeze(0) - samples.unsqueeze(1)).norm(dim=-1).mean(-1).sum(1)
    expected = samples[distance.argmin(0), torch.arange(32)]
    assert (medoid(samples) == expected).all()
    assert (medoid(samples.reshape(12, 4, 8, 17, 3)) == expected.reshape(4, 8, 17, 3)).all()
    assert (medoid(samples[:, 3]) == expected[3]).all()


def test_golden_medoid():
    """On a line at 0, 1, 2, 10 the summed distances are 13, 11, 11, 27: the mean 3.25 is none of the points."""
    line = torch.tensor([0.0, 1.0, 2.0, 10.0]).reshape(4, 1, 1).expand(4, 1, 3)
    assert (medoid(line) == 1.0).all()
    assert (medoid(line[[3, 2, 0]]) == 2.0).all()


def test_medoid_tells_the_smallest_distances_apart():
    """A tight cluster far from the origin, where squares of coordinates swamp the distances."""
    cluster = torch.tensor([0.0, 1e-4, 2e-4, 5e-4, 9e-4]).reshape(5, 1, 1) + torch.tensor([0.9, -0.8, 0.7])
    many = torch.cat([cluster, cluster[2:3] + 1e-5] * 10)  # more than 25 points: another branch in torch
    distance = (many.double().unsqueeze(0) - many.double().unsqueeze(1)).norm(dim=-1).sum((1, 2))
    assert (medoid(many) == many[distance.argmin()]).all()


def test_medoid_ignores_joints_that_do_not_count(samples):
    valid = torch.ones(32, 17, dtype=torch.bool)
    valid[:, [3, 9]] = False
    holes = samples.clone()
    holes[:, :, [3, 9]] = float("nan")
    kept = valid[0].nonzero().squeeze(-1)
    assert (medoid(holes, valid)[:, kept] == medoid(samples[:, :, kept])).all()


def test_weighted_mean_of_equal_weights_is_the_mean(samples):
    torch.testing.assert_close(weighted_mean(samples, torch.full((12, 32), -1e4)), samples.mean(0))
    nothing = torch.full((12, 32), -float("inf"))
    torch.testing.assert_close(weighted_mean(samples, nothing), samples.mean(0))


def test_golden_weighted_mean():
    poses = torch.tensor([0.0, 4.0]).reshape(2, 1, 1, 1).expand(2, 1, 2, 3)
    weights = torch.tensor([[0.0], [3.0]]).log()
    torch.testing.assert_close(weighted_mean(poses, weights), torch.full((1, 2, 3), 4.0))
    torch.testing.assert_close(weighted_mean(poses, torch.tensor([[1.0], [3.0]]).log()), torch.full((1, 2, 3), 3.0))


# -- reprojection ------------------------------------------------------------------------------------------


def test_weights_are_the_likelihood_of_the_keypoints(samples, people):
    weights = reprojection_log_weights(samples, keypoints_of(people))
    assert weights.shape == (12, 32)
    assert (weights.argmax(0) == INSIDE).all()
    assert float(weights[INSIDE].abs().amax()) < 1e-2
    # twice the standard deviation: a quarter of the energy
    surer = reprojection_log_weights(samples, keypoints_of(people, covariance=torch.full((32, 17), 4.0)))
    torch.testing.assert_close(4.0 * surer, weights, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("root", [None, ROOT])
def test_exact_keypoints_find_the_truth_among_the_samples(samples, people, root):
    found = aggregate_by_reprojection(samples, keypoints_of(people), root)
    torch.testing.assert_close(found, people, atol=2e-5, rtol=0)
    torch.testing.assert_close(best_of(samples, people), people)
    close = weighted_mean(samples, reprojection_log_weights(samples, keypoints_of(people)))
    torch.testing.assert_close(close, people, atol=1e-4, rtol=0)


def test_joints_come_from_different_samples(people):
    """Two hypotheses, one right from the waist down, one from the waist up: together the truth."""
    lower, upper = people.clone(), people.clone()
    lower[:, 7:] += torch.tensor([0.05, 0.04, 0.1])
    upper[:, 1:7] += torch.tensor([0.05, 0.04, 0.1])
    both = torch.stack([lower, upper])
    # the true root: solved from half a wrong pose it would be a little off
    found = aggregate_by_reprojection(both, keypoints_of(people), root=ROOT.expand(32, 3))
    torch.testing.assert_close(found, people)


def test_published_root_is_used_for_all_samples(samples, people):
    """A root given for each sample, for each pose or once for all is the same."""
    keypoints = keypoints_of(people)
    once = aggregate_by_reprojection(samples, keypoints, ROOT)
    assert (aggregate_by_reprojection(samples, keypoints, ROOT.expand(32, 3)) == once).all()
    assert (aggregate_by_reprojection(samples, keypoints, ROOT.expand(12, 32, 3)) == once).all()


def test_aggregation_minimises_every_joints_distance(samples, people):
    keypoints = keypoints_of(people + 0.01)
    found = aggregate_by_reprojection(samples, keypoints, ROOT)
    gap = (project(samples + ROOT, INTRINSICS) - keypoints.xy).norm(dim=-1)
    best = (project(found + ROOT, INTRINSICS) - keypoints.xy).norm(dim=-1)
    torch.testing.assert_close(best[:, 1:], gap.amin(0)[:, 1:])


def test_scale_of_a_hypothesis_does_not_show(samples, people):
    """What is small and near looks like what is large and far: only the true root, an oracle, tells them apart."""
    keypoints = keypoints_of(people)
    sizes = torch.stack([0.8 * people, people, 1.25 * people])
    usable = reprojection_log_weights(sizes, keypoints)
    assert float((usable - usable[1]).abs().amax()) < 2e-2
    oracle = aggregate_by_reprojection(sizes, keypoints, ROOT)
    off_axis = (project(people + ROOT, INTRINSICS) - project(ROOT[None, None], INTRINSICS)).norm(dim=-1) > 20.0
    torch.testing.assert_close(oracle[off_axis], people[off_axis])


@pytest.mark.parametrize("estimate", [aggregate_by_reprojection, reprojection_log_weights])
def test_usable_estimates_are_not_given_the_truth(estimate):
    arguments = list(inspect.signature(estimate).parameters)
    assert arguments[:2] == ["samples", "keypoints"]
    assert arguments[2:] == (["root"] if estimate is aggregate_by_reprojection else [])


def test_order_of_the_samples_does_not_matter(samples, people):
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    keypoints = keypoints_of(people + 0.01)
    for estimate in (
        medoid,
        lambda s: best_of(s, people + 0.02),
        lambda s: aggregate_by_reprojection(s, keypoints),
        lambda s: weighted_mean(s, reprojection_log_weights(s, keypoints)),
    ):
        torch.testing.assert_close(estimate(samples[order]), estimate(samples))


def test_root_joint_stays_at_the_origin(samples, people):
    centred = samples - samples[..., :1, :]
    keypoints = keypoints_of(people)
    for pose in (
        aggregate_by_reprojection(centred, keypoints),
        medoid(centred),
        best_of(centred, people),
    ):
        assert (pose[:, 0] == 0).all()


def test_hidden_joints_take_the_mean_and_do_not_matter(samples, people):
    visible = torch.ones(32, 17, dtype=torch.bool)
    visible[:, [3, 13, 16]] = False
    keypoints = keypoints_of(people, visible=visible)
    found = aggregate_by_reprojection(samples, keypoints)
    torch.testing.assert_close(found[:, [3, 13, 16]], samples[:, :, [3, 13, 16]].mean(0))
    torch.testing.assert_close(found[visible], people[visible], atol=2e-5, rtol=0)
    assert (reprojection_log_weights(samples, keypoints).argmax(0) == INSIDE).all()
    elsewhere = Keypoints2D(
        torch.where(visible.unsqueeze(-1), keypoints.xy, 1e4), keypoints.covariance, visible, intrinsics=INTRINSICS
    )
    assert (aggregate_by_reprojection(samples, elsewhere) == found).all()


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_anything_visible_gives_the_mean(samples, people, count):
    visible = torch.zeros(32, 17, dtype=torch.bool)
    visible[:, 4 : 4 + count] = True
    visible[0] = True
    keypoints = keypoints_of(people, visible=visible)
    mean = samples.mean(0)[1:]
    torch.testing.assert_close(aggregate_by_reprojection(samples, keypoints)[1:], mean)
    torch.testing.assert_close(weighted_mean(samples, reprojection_log_weights(samples, keypoints))[1:], mean)
    torch.testing.assert_close(aggregate_by_reprojection(samples, keypoints)[0], people[0], atol=2e-5, rtol=0)


def test_samples_behind_the_camera_are_never_chosen(samples, people):
    wild = samples.clone()
    wild[:INSIDE, :, 1:] -= torch.tensor([0.0, 0.0, 50.0])
    keypoints = keypoints_of(people)
    torch.testing.assert_close(aggregate_by_reprojection(wild, keypoints, ROOT), people)
    gone = samples - torch.tensor([0.0, 0.0, 50.0])
    torch.testing.assert_close(aggregate_by_reprojection(gone, keypoints, ROOT), gone.mean(0))


def test_estimates_need_keypoints_in_their_skeleton(samples):
    with pytest.raises(InputError, match="poses have 17 joints, but the keypoints' skeleton 'lsp14' has 14"):
        aggregate_by_reprojection(samples, Keypoints2D(torch.rand(32, 14, 2), skeleton="lsp14"))


# -- the oracle --------------------------------------------------------------------------------------------


def test_oracle_is_the_best_of_all_samples(samples, people):
    truth = people + 0.03
    errors = mpjpe(samples, truth)
    chosen = mpjpe(best_of(samples, truth), truth)
    torch.testing.assert_close(chosen, errors.amin(0))
    keypoints = keypoints_of(truth)
    for pose in (medoid(samples), weighted_mean(samples, reprojection_log_weights(samples, keypoints))):
        assert (chosen <= mpjpe(pose, truth) + 1e-6).all()


def test_oracle_ignores_missing_truth(samples, people):
    valid = torch.ones(32, 17, dtype=torch.bool)
    valid[:, [2, 10]] = False
    kept = valid[0].nonzero().squeeze(-1)
    truth = torch.where(valid.unsqueeze(-1), people + 0.03, float("nan"))
    chosen = best_of(samples, truth, valid)
    assert (chosen[:, kept] == best_of(samples[:, :, kept], truth[:, kept])).all()
    assert chosen.isfinite().all()
