"""The numbers of a lifter's evidence, measured on made-up people."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from conftest import made_up_store
from poseterior.data.observations import Observations
from poseterior.distributions.evidence import Evidence, noise_evidence
from poseterior.evaluation.calibrate import simulated
from poseterior.evaluation.evidence import fit_evidence
from poseterior.files.errors import InputError
from poseterior.keypoints.view import reprojection_energy, solve_root
from poseterior.lifters import Lifter, load


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Observations:
    store: Path = made_up_store(tmp_path_factory.mktemp("mocap") / "people")
    return simulated(store, 600, 0)


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    return load("mdn", evidence=False)


@pytest.fixture(scope="module")
def fitted(lifter: Lifter, people: Observations) -> Evidence:
    return fit_evidence(lifter, people)


def test_samples_then_reproject_like_the_truth(lifter: Lifter, people: Observations, fitted: Evidence) -> None:
    """On the poses of the fit, the median energy of samples is that of the truths, within 15 %."""
    known = people.keypoints.intrinsics.isfinite().all(-1) & (people.keypoints.visible.sum(-1) >= 4)
    some = people[known]
    freedom = 2 * some.keypoints.visible.sum(-1) - 3
    truth = reprojection_energy(some.pose, some.root, some.keypoints).sum(-1) / freedom
    poses = lifter(some.keypoints).given_evidence(evidence=fitted).sample((40,), seed=0)
    energy = reprojection_energy(poses, solve_root(poses, some.keypoints), some.keypoints).sum(-1) / freedom
    assert float(energy.median(0).values.median()) == pytest.approx(float(truth.median()), rel=0.15)
    before = lifter(some.keypoints).sample((40,), seed=0)
    rough = reprojection_energy(before, solve_root(before, some.keypoints), some.keypoints).sum(-1) / freedom
    assert float(rough.median(0).values.median()) > 1.3 * float(truth.median())


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_wrong_sigmas_are_seen_in_residuals(
    lifter: Lifter, people: Observations, fitted: Evidence, factor: float
) -> None:
    """The median of the estimated logarithms is right within 0.1."""
    reported = people.keypoints.with_noise(torch.full((len(people.pose),), factor))
    known = reported.intrinsics.isfinite().all(-1)
    found = noise_evidence(lifter.distribution(reported).rough_mean, reported, fitted)[known]
    assert float(found[found.isfinite()].median()) == pytest.approx(-torch.tensor(factor).log().item(), abs=0.1)


def test_the_lifters_own_evidence_stays_and_does_not_count(
    lifter: Lifter, people: Observations, fitted: Evidence
) -> None:
    lifter.evidence = Evidence(0.05)
    try:
        assert fit_evidence(lifter, people) == fitted
        assert lifter.evidence == Evidence(0.05)
    finally:
        lifter.evidence = None


def test_unknown_cameras_say_nothing(lifter: Lifter, people: Observations) -> None:
    few = people[people.keypoints.intrinsics.isnan().any(-1)]
    with pytest.raises(InputError, match="evidence: 0 poses of known intrinsics; at least 50 are needed"):
        fit_evidence(lifter, few)
