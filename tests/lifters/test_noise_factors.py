"""A detector whose standard deviations are wrong is found out, clip by clip, and only where it is clear."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import poseterior as pp
from conftest import made_up_store
from poseterior.data.observations import Observations
from poseterior.evaluation.calibrate import simulated
from poseterior.evaluation.evidence import fit_evidence
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.lifters import Lifter, load
from poseterior.lifters.detector_noise import FEWEST, noise_factors, noise_words


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Observations:
    """Of known cameras and right covariances."""
    found = simulated(made_up_store(tmp_path_factory.mktemp("mocap") / "people"), 600, 0)
    return found[found.keypoints.intrinsics.isfinite().all(-1) & (found.keypoints.visible.sum(-1) > 12)]


@pytest.fixture(scope="module")
def seen(people: Observations) -> Keypoints2D:
    """As if all were frames of two people in one film."""
    ids = [PoseId("film.json", i // 2, i % 2) for i in range(len(people.pose))]
    return people.keypoints._replace(ids=ids)


@pytest.fixture(scope="module")
def lifter(people: Observations) -> Iterator[Lifter]:
    lifter = load("supervised", evidence=False)
    lifter.evidence = fit_evidence(lifter, people)
    yield lifter
    lifter.evidence = None


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_wrong_sigmas_are_put_right(lifter: Lifter, seen: Keypoints2D, factor: float) -> None:
    """Both clips, within 40 %."""
    found = noise_factors(lifter, seen.with_noise(torch.full((len(seen),), factor)))
    assert len(found.unique()) <= 2
    torch.testing.assert_close(found * factor, torch.ones(len(seen)), rtol=0.4, atol=0)


def test_right_ones_are_left_alone_to_the_bit(lifter: Lifter, seen: Keypoints2D) -> None:
    assert (noise_factors(lifter, seen) == 1).all()


def test_a_few_frames_say_nothing(lifter: Lifter, seen: Keypoints2D) -> None:
    wrong = seen.with_noise(torch.full((len(seen),), 0.3))
    assert (noise_factors(lifter, wrong[: FEWEST - 1]) == 1).all()
    assert (noise_factors(lifter, wrong[: 2 * FEWEST - 2]) == 1).all()  # of each of the two people
    assert (noise_factors(lifter, wrong[: 2 * FEWEST]) != 1).all()


def test_lifters_without_evidence_say_nothing(seen: Keypoints2D) -> None:
    wrong = seen.with_noise(torch.full((len(seen),), 0.3))
    assert (noise_factors(load("mdn", evidence=False), wrong) == 1).all()


def test_lift_says_and_uses_it(lifter: Lifter, seen: Keypoints2D) -> None:
    wrong = seen.with_noise(torch.full((len(seen),), 0.4))
    said = pp.lift(lifter, wrong, samples=5)
    assert said.settings["noise"].startswith("your detector's sigma is about 2.")
    assert said.settings["noise"].endswith(f"in {len(seen)} of {len(seen)} poses: it was put right")
    right = pp.lift(lifter, seen, samples=5)
    assert "noise" not in right.settings
    spread = [torch.tensor(r.keypoint_covariance).diagonal(dim1=-2, dim2=-1).nanmean() for r in (said, right)]
    assert 0.5 < float(spread[0] / spread[1]) < 2


def test_words() -> None:
    assert noise_words(torch.ones(5)) == ""
    assert noise_words(torch.tensor([1.0, 0.5])) == (
        "your detector's sigma is about 2.0 times too large in 1 of 2 poses: it was put right"
    )
