"""Regions of distributions that know their balls without samples: fitted, kept, measured and drawn around alike."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_recalibration import BODY, HIDDEN, SEEN, Toy, made_up

from poseterior.data.observations import Observations
from poseterior.distributions.drawn import Drawn
from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.distributions.recalibration import Recalibration
from poseterior.evaluation.calibrate import coverage, fit
from poseterior.files.errors import InputError
from poseterior.keypoints import Keypoints2D


class RoundMixture(Toy):
    """The truth's own distribution if both factors are 1, as a mixture of two components that are alike."""

    def distribution(self, keypoints: Keypoints2D) -> MixturePoseDistribution:
        seen, hidden = self.factors
        scale = torch.where(keypoints.visible, seen * SEEN, hidden * HIDDEN)[..., 1:, None].expand(
            *keypoints.batch_shape, 16, 3
        )
        lower = torch.diag_embed(scale).unsqueeze(-4).expand(*keypoints.batch_shape, 2, 16, 3, 3)
        return MixturePoseDistribution(torch.zeros(*keypoints.batch_shape, 2), torch.zeros(lower.shape[:-1]), lower)


@pytest.fixture(scope="module")
def known() -> Observations:
    return made_up(3000)


@pytest.fixture(scope="module")
def lifter(known: Observations) -> RoundMixture:
    found = RoundMixture(0.5, 2.0)
    found.recalibration = fit(found, known)
    return found


def test_fitted_without_samples_they_hold_what_they_promise(lifter: RoundMixture) -> None:
    """Radii that are always the same leave no luck in the coverage; too narrow and too wide ones are mended."""
    ours = lifter.recalibration
    assert ours is not None
    assert ours.samples == 0
    found = coverage(lifter, made_up(6000, seed=1))
    assert found["visible"]["mean"] == pytest.approx(0.9, abs=0.01)
    assert found["missing"]["mean"] == pytest.approx(0.9, abs=0.02)
    for c, factor in (("visible", 2.0), ("missing", 0.5)):
        wrists = [ours.scale[c][name] for name in ("left_wrist", "right_wrist")]
        assert sum(wrists) / 2 == pytest.approx(factor, rel=0.1 if c == "visible" else 0.25)


def test_they_do_not_depend_on_what_was_drawn(lifter: RoundMixture, known: Observations) -> None:
    poses = lifter(known.keypoints[:20])
    region = poses.region(0.8)
    assert region.calibrated
    assert torch.equal(poses.region(0.8, Drawn(200, 0, poses.sample((200,), seed=0))).radius, region.radius)
    torch.testing.assert_close(lifter(known.keypoints[3]).region(0.8).radius, region.radius[3], rtol=1e-4, atol=1e-6)
    assert (poses.region(0.9).radius[:, 1:] > region.radius[:, 1:]).all()
    assert region.centre[:, 1:].abs().max() < 1e-3
    assert lifter(known.keypoints[:0]).region(0.8).radius.shape == (0, 17)


def test_a_number_of_samples_asked_for_is_taken(known: Observations) -> None:
    drawn = RoundMixture()
    drawn.recalibration = fit(drawn, known[:400], samples=50)
    assert drawn.recalibration.samples == 50
    poses = drawn(known.keypoints[:3])
    balls = poses.sample((50,), seed=0)
    assert torch.equal(poses.region().radius, poses.region(drawn=Drawn(50, 0, balls)).radius)


def test_distributions_without_closed_balls_draw_two_hundred(lifter: RoundMixture, known: Observations) -> None:
    """E.g. answers that were widened by hand: the recalibration still applies."""
    toy = Toy(0.5, 2.0)
    toy.recalibration = lifter.recalibration
    region, expected = (one(known.keypoints[:50]).region() for one in (toy, lifter))
    assert region.calibrated
    torch.testing.assert_close(region.radius, expected.radius, rtol=0.3, atol=0)
    assert float((region.radius / expected.radius)[:, 1:].mean()) == pytest.approx(1.0, abs=0.02)


def test_files_say_that_there_are_no_samples(lifter: RoundMixture) -> None:
    ours = lifter.recalibration
    assert ours is not None
    assert '"samples":0' in ours.to_json()
    assert Recalibration.from_json(ours.to_json()) == ours
    assert ours.draws == 200
    with pytest.raises(InputError, match="field 'samples': expected a whole number from 2 to 10000, or 0"):
        Recalibration.from_json(dataclasses.replace(ours, samples=1).to_json())
    assert BODY.joints == ours.joints
