"""Keypoints that are simply wrong: found, and counted for little; where none is said to be, nothing changes."""

from __future__ import annotations

import math

import pytest
import torch

import poseterior as pp
from poseterior.files.errors import InputError
from poseterior.geometry.cameras import project
from poseterior.keypoints import Keypoints2D
from poseterior.skeletons import SKELETONS


@pytest.fixture(scope="module", params=["mdn", "flow"])
def lifter(request: pytest.FixtureRequest) -> pp.Lifter:
    return pp.load(request.param)


def told(keypoints: Keypoints2D, share: float) -> Keypoints2D:
    return keypoints._replace(outliers=torch.full(keypoints.visible.shape, share))


@pytest.fixture
def people(standing: torch.Tensor) -> Keypoints2D:
    """Eight pictures of somebody who stands, 4 m away, with 3 px of noise that is told as it is."""
    generator = torch.Generator().manual_seed(0)
    intrinsics = torch.tensor([1200.0, 1200.0, 640.0, 480.0]).expand(8, 4)
    xy = project(standing.expand(8, 17, 3) + torch.tensor([0.2, 0.1, 4.0]), intrinsics)
    xy = xy + 3.0 * torch.randn(xy.shape, generator=generator)
    return Keypoints2D(xy, torch.full(xy.shape[:2], 3.0), intrinsics=intrinsics, image_size=(1280, 960))


WRIST = SKELETONS["h36m17"].index("left_wrist")


@pytest.fixture
def wrong(people: Keypoints2D) -> Keypoints2D:
    """The same, the left wrist out of the arm's reach."""
    xy = people.xy.clone()
    xy[:, WRIST] += people.size[:, None] * torch.tensor([1.5, 0.6])
    return told(people._replace(xy=xy), 0.02)


def answers(lifter: pp.Lifter, keypoints: Keypoints2D) -> dict[str, torch.Tensor]:
    poses = lifter(keypoints)
    return {
        "mean": poses.mean,
        "covariance": poses.covariance,
        "samples": poses.sample((20,), seed=1).transpose(0, 1),
        "radius": poses.region(0.9).radius,
    }


def test_a_share_of_none_changes_nothing_bit_for_bit(lifter: pp.Lifter) -> None:
    people = pp.example_keypoints()
    plain, zero = answers(lifter, people), answers(lifter, told(people, 0.0))
    for name, value in plain.items():
        assert torch.equal(value, zero[name]), name


def test_people_who_fit_stay_as_they_are(lifter: pp.Lifter, people: Keypoints2D) -> None:
    plain, now = lifter(people), lifter(told(people, 0.02))
    assert (plain.mean - now.mean).norm(dim=-1).mean() < 0.002


def test_a_wrong_wrist_is_found_and_drags_nothing(lifter: pp.Lifter, people: Keypoints2D, wrong: Keypoints2D) -> None:
    right, as_told, heavy = lifter(people).mean, lifter(told(wrong, 0.0)), lifter(wrong)
    assert heavy.keypoints is not None
    wider = (heavy.keypoints.covariance / wrong.covariance)[..., 0, 0]
    assert (wider[:, WRIST] > 50).float().mean() > 0.9
    before, after = ((poses.mean - right).norm(dim=-1).mean() for poses in (as_told, heavy))
    assert after < 0.5 * before


def test_density_samples_and_mean_are_of_one_distribution(wrong: Keypoints2D) -> None:
    poses = pp.load("mdn")(wrong)
    drawn, density = poses.sample_and_log_prob((400,), seed=0)
    torch.testing.assert_close(density, poses.log_prob(drawn), rtol=1e-4, atol=0.05)
    assert (drawn.mean(0) - poses.mean).norm(dim=-1).max() < 0.08


def test_company_does_not_matter(lifter: pp.Lifter, wrong: Keypoints2D) -> None:
    together, alone = answers(lifter, wrong), answers(lifter, wrong[2:3])
    for name in together:
        torch.testing.assert_close(together[name][2:3], alone[name], rtol=0, atol=2e-5)
    shaped = lifter(wrong[:4]._map(lambda t: t.reshape(2, 2, *t.shape[1:])))
    torch.testing.assert_close(shaped.mean.flatten(0, 1), together["mean"][:4], rtol=0, atol=2e-5)


def test_without_evidence_keypoints_are_as_they_are_told(wrong: Keypoints2D) -> None:
    lifter = pp.load("mdn", evidence=False)
    assert torch.equal(lifter(wrong).mean, lifter(told(wrong, 0.0)).mean)


def test_hidden_joints_and_nobody_are_no_trouble(lifter: pp.Lifter) -> None:
    people = told(pp.example_keypoints().as_skeleton("h36m17"), 0.05)
    few = people._replace(visible=people.visible & (torch.arange(17) < 4))
    none = people._replace(visible=torch.zeros_like(people.visible))
    for keypoints in (few, none, people[:0]):
        assert lifter(keypoints).mean.isfinite().all()


def test_shares_are_checked_and_carried_along() -> None:
    xy = 100 * torch.rand(3, 17, 2)
    with pytest.raises(InputError, match=r"outliers.*from 0 to below 1"):
        Keypoints2D(xy, outliers=1.0)
    keypoints = Keypoints2D(xy, outliers=0.1, skeleton="coco17")
    assert keypoints.outliers is not None
    assert keypoints[1:].outliers.shape == (2, 17)
    ours = keypoints.as_skeleton("h36m17")
    pelvis, wrist = ours.skeleton.index("pelvis"), ours.skeleton.index("left_wrist")
    assert ours.outliers[0, wrist] == pytest.approx(0.1)
    assert ours.outliers[0, pelvis] == pytest.approx(1 - 0.9**2)  # of two hips
    both = Keypoints2D.cat([keypoints, Keypoints2D(xy, skeleton="coco17")])
    assert both.outliers[:3].eq(0.1).all()
    assert both.outliers[3:].eq(0.0).all()
    hidden = keypoints._replace(visible=torch.zeros_like(keypoints.visible))
    assert hidden.outliers.eq(0.0).all()


def test_odds_against_the_formula() -> None:
    """Of draws in one place the odds are those of a normal and Student's t."""
    from poseterior.distributions.contamination import OUTLIER_SPREAD, inlier_log_odds

    places = torch.full((16, 1, 2), 50.0, dtype=torch.float64)
    covariance = 9.0 * torch.eye(2, dtype=torch.float64)[None]
    size, share = torch.tensor([40.0]), torch.tensor([0.05])
    found = inlier_log_odds(torch.tensor([[56.0, 50.0]]), places, covariance, size, share)
    wide = 9.0 + (OUTLIER_SPREAD * 40.0) ** 2
    right = -0.5 * 36 / 9 - math.log(9.0)
    wrong = -2.0 * math.log1p(36 / wide / 2) - math.log(wide)
    assert float(found) == pytest.approx(right - wrong + math.log(0.95 / 0.05), rel=1e-6)
