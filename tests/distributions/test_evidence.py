"""Samples that are given what their keypoints say: against a Gaussian's exact posterior, autograd, and themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import poseterior as pp
from poseterior.distributions.evidence import (
    EVIDENCE_FILE,
    Evidence,
    missing_information,
    read_evidence,
)
from poseterior.distributions.given import GivenEvidence
from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.files.errors import InputError
from poseterior.geometry.cameras import project
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.view import reprojection_energy, solve_root

F64 = torch.float64
CAMERA = torch.tensor([2000.0, 2000.0, 500.0, 500.0])


def gaussian(batch: int = 3, spread: float = 0.05, seed: int = 0) -> MixturePoseDistribution:
    """One Gaussian with tied joints about a standing pose."""
    generator = torch.Generator().manual_seed(seed)
    pose = pp.load("mdn")(pp.example_keypoints()[:batch]).mean.to(F64)
    lower = spread * torch.eye(3, dtype=F64).expand(batch, 1, 16, 3, 3)
    factor = torch.randn(batch, 1, 48, 4, generator=generator, dtype=F64)
    return MixturePoseDistribution(torch.zeros(batch, 1, dtype=F64), pose[:, None, 1:], lower.clone(), factor)


def seen(poses: torch.Tensor, sigma: float = 4.0, hidden: tuple[int, ...] = (), **camera: object) -> Keypoints2D:
    """Keypoints of poses that stand 4 m away, with noise."""
    generator = torch.Generator().manual_seed(5)
    xy = project(poses + torch.tensor([0.3, 0.0, 4.0]), CAMERA.to(poses))
    xy = xy + sigma * torch.randn(xy.shape, generator=generator, dtype=poses.dtype)
    visible = torch.ones(poses.shape[:-1], dtype=torch.bool)
    visible[:, list(hidden)] = False
    return Keypoints2D(xy, sigma, visible, **({"intrinsics": CAMERA} | camera))


def test_what_is_missing_is_the_difference_of_two_precisions() -> None:
    root = torch.randn(5, 17, 2, 2, dtype=F64)
    covariance = root @ root.mT + 0.1 * torch.eye(2, dtype=F64)
    blur = torch.rand(5, 17, 2, dtype=F64) + 0.5
    wide = covariance + torch.diag_embed(blur.square())
    half = missing_information(covariance, blur)
    torch.testing.assert_close(half @ half.mT, torch.linalg.inv(covariance) - torch.linalg.inv(wide))


def test_a_gaussian_far_away_gets_its_exact_posterior() -> None:
    """With a long lens keypoints are linear: mean and covariance are those of Bayes' rule, the root integrated out."""
    base = gaussian(1, spread=0.01)
    focal, distance, sigma, coarse = 1e6, 2000.0, 4.0, 0.006
    camera = torch.tensor([focal, focal, 500.0, 500.0])
    truth = base.sample((), seed=1)
    xy = project(truth + torch.tensor([0.0, 0.0, distance], dtype=F64), camera.to(F64))
    xy = xy + sigma * torch.randn(xy.shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    given = base.given_evidence(Keypoints2D(xy, sigma, intrinsics=camera), Evidence(coarse))
    # by hand: u = (f / Z) (X + t) with t unknown
    _, loc, covariance = base.dense()
    scale = focal / distance
    noise = sigma**2 + sigma**4 / (coarse * scale) ** 2
    rows = torch.zeros(34, 48 + 3, dtype=F64)
    for joint in range(17):
        for axis in range(2):
            if joint:
                rows[2 * joint + axis, 3 * (joint - 1) + axis] = scale
            rows[2 * joint + axis, 48 + axis] = scale
            rows[2 * joint + axis, 50] = -scale * given.mean[0, joint, axis]  # nearer: larger (in units of Z)
    prior = torch.zeros(51, 51, dtype=F64)
    prior[:48, :48] = torch.linalg.inv(covariance[0, 0] + 1e-6 * torch.eye(48, dtype=F64))
    after = torch.linalg.inv(prior + rows.mT @ rows / noise)
    middle = (xy[0] - camera[2:].to(F64)).flatten() - rows[:, :48] @ loc[0, 0]  # the root's place is about 0, 0, Z
    step = after @ (rows.mT @ middle) / noise
    torch.testing.assert_close(given.mean[0, 1:].flatten(), loc[0, 0] + step[:48], rtol=0, atol=2e-4)
    blocks = torch.stack([after[3 * j : 3 * j + 3, 3 * j : 3 * j + 3] for j in range(16)])
    torch.testing.assert_close(given.covariance[0, 1:], blocks, rtol=2e-2, atol=2e-6)


def test_density_is_the_base_density_times_autograds_determinant() -> None:
    base = gaussian()
    given = base.given_evidence(seen(base.sample((), seed=1), hidden=(13,)))
    assert isinstance(given, GivenEvidence)
    poses = base.sample((4,), seed=2)
    moved = given._moved(poses)
    for row in range(3):

        def change(flat: torch.Tensor, row: int = row) -> torch.Tensor:
            whole = poses[0].clone()
            whole[row, 1:] = flat.reshape(16, 3)
            return given._moved(whole)[row, 1:].flatten()

        jacobian = torch.autograd.functional.jacobian(change, poses[0, row, 1:].flatten())
        wanted = base.log_prob(poses)[:, row] - torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(given.log_prob(moved)[:, row], wanted, rtol=1e-9, atol=1e-7)


def test_marginals_of_a_mixture_stay_exact() -> None:
    """Integrating a joint out of a Gaussian: the density of the rest, times that of the joint given the rest."""
    base = gaussian()
    given = base.given_evidence(seen(base.sample((), seed=1)))
    poses = given.sample((5,), seed=0)
    everything = torch.ones(3, 17, dtype=torch.bool)
    torch.testing.assert_close(given.log_prob(poses, everything), given.log_prob(poses), rtol=1e-9, atol=1e-5)
    some = everything.clone()
    some[:, 4:9] = False
    mean, covariance = given._joint_moments()
    kept = some[0, 1:].repeat_interleave(3)
    reference = torch.distributions.MultivariateNormal(mean[:, 1:].flatten(1)[:, kept], covariance[:, kept][:, :, kept])
    torch.testing.assert_close(
        given.log_prob(poses, some), reference.log_prob(poses[:, :, 1:].flatten(-2)[..., kept]), rtol=1e-9, atol=1e-5
    )


@pytest.mark.parametrize("name", ["flow", "mdn"])
def test_samples_reproject_as_the_noise_allows(name: str) -> None:
    """Simulated people: the samples' energy falls towards their degrees of freedom, and so does the error."""
    lifter = pp.load(name, evidence=False)
    keypoints = pp.example_keypoints()
    base = lifter(keypoints)
    given = base.given_evidence()
    freedom = 2 * keypoints.as_skeleton("h36m17").visible.sum(-1) - 3

    def energy(poses: torch.Tensor) -> torch.Tensor:
        seen_by = base.keypoints
        assert seen_by is not None
        return (reprojection_energy(poses, solve_root(poses, seen_by), seen_by).sum(-1) / freedom).median(0).values

    before, after = (energy(d.sample((100,), seed=0)) for d in (base, given))
    assert (after < before).all()
    assert float(after.median()) < 2.5


def test_company_and_place_change_nothing() -> None:
    keypoints = pp.example_keypoints()
    lifter = pp.load("flow", evidence=False)
    together = lifter(keypoints).given_evidence()
    for row in range(len(keypoints)):
        alone = lifter(keypoints[row : row + 1]).given_evidence()
        for name in ("mean", "covariance"):
            torch.testing.assert_close(getattr(alone, name)[0], getattr(together, name)[row], rtol=0, atol=1e-5)
        torch.testing.assert_close(
            alone.sample((20,), seed=3)[:, 0], together.sample((20,), seed=3)[:, row], rtol=0, atol=1e-5
        )


def test_without_a_camera_nothing_is_moved() -> None:
    """A person seen from the side looks like one who is turned where not even the picture's middle is known."""
    base = gaussian()
    base.keypoints = seen(base.sample((), seed=1), intrinsics=None)
    given = base.given_evidence()
    torch.testing.assert_close(given.sample((3,), seed=0), base.sample((3,), seed=0), rtol=0, atol=1e-9)


def test_one_visible_joint_says_nothing() -> None:
    base = gaussian()
    base.keypoints = seen(base.sample((), seed=1), hidden=tuple(range(1, 17)))
    given = base.given_evidence()
    torch.testing.assert_close(given.sample((3,), seed=0), base.sample((3,), seed=0), rtol=0, atol=1e-9)


def test_an_assumed_camera_moves_less_than_a_known_one() -> None:
    base = gaussian()
    truth = base.sample((), seed=1)
    size = {"intrinsics": None, "image_size": (1041.0, 1041.0)}  # 55 degrees across: focal length 1000
    known = base.given_evidence(seen(truth))
    assumed = base.given_evidence(seen(truth, **size))
    moved = [(d.mean - base.mean).norm() for d in (assumed, known)]
    assert moved[0] > 0
    assert float(known.stddev.mean()) < float(base.stddev.mean())


def test_a_recalibration_is_of_the_answers_that_it_was_fitted_to() -> None:
    """That of a lifter is not that of what `given_evidence` makes of its answers, unless the lifter does so itself."""
    lifter = pp.load("mdn")
    lifter.evidence = None
    poses = lifter(pp.example_keypoints())
    assert poses.region(0.9).calibrated
    given = poses.given_evidence()
    assert not given.region(0.9).calibrated
    assert not given.expand((2, *given.batch_shape)).region(0.9).calibrated
    lifter.evidence = Evidence()
    assert lifter(pp.example_keypoints()).region(0.9).calibrated


def test_files(tmp_path: Path) -> None:
    assert read_evidence(tmp_path) is None
    path = tmp_path / EVIDENCE_FILE
    path.write_text(Evidence(0.004, (2.0, 1.0, 0.5, 0.0, -1.0)).to_json())
    assert read_evidence(tmp_path) == Evidence(0.004, (2.0, 1.0, 0.5, 0.0, -1.0))
    for broken, said in {
        "{": "not readable as JSON",
        "[]": "not a file of format 'poseterior-evidence-1'",
        '{"format": "poseterior-evidence-1"}': "expected the fields 'coarseness' and 'residuals'",
        json.dumps(
            json.loads(Evidence().to_json()) | {"coarseness": -1}
        ): "coarseness: expected metres above 0, at most 1, got -1",
        json.dumps(json.loads(Evidence().to_json()) | {"residuals": [1, 2, 3, 4, 5]}): "5 numbers that never rise",
    }.items():
        path.write_text(broken)
        with pytest.raises(InputError, match="get the folder anew") as refused:
            read_evidence(tmp_path)
        assert str(path) in str(refused.value)
        assert said in str(refused.value)


def test_what_it_needs() -> None:
    with pytest.raises(InputError, match="no lifter made this distribution; name the keypoints"):
        gaussian().given_evidence()
    with pytest.raises(InputError, match=r"keypoints of batch shape \(2,\) for poses of \(3,\)"):
        gaussian().given_evidence(seen(gaussian().mean[:2]))


def test_giving_it_twice_is_refused() -> None:
    poses = pp.load("mdn", evidence=False)(pp.example_keypoints())
    with pytest.raises(InputError, match=r"given_evidence: these poses have been given their keypoints already; twice"):
        poses.given_evidence().given_evidence()


def test_residuals_that_hardly_change_do_not_tell_the_noise() -> None:
    assert Evidence(residuals=(2.0, 1.1, 0.1, -0.9, -1.8)).tells_noise
    assert not Evidence(residuals=(0.4, -0.2, -0.5, -0.9, -1.1)).tells_noise


def test_rotations_through_given_poses_are_given_too() -> None:
    rotations = pp.load("rotations")(pp.example_keypoints())
    with pytest.raises(InputError, match=r"given_evidence: these poses have been given their keypoints already; twice"):
        rotations.given_evidence()
    assert not pp.load("rotations", evidence=False)(pp.example_keypoints()).has_evidence
