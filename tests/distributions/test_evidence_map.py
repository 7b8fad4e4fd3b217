"""The map of the evidence by products and Cholesky factors: against eigenvectors, in both precisions."""

from __future__ import annotations

import pytest
import torch

import poseterior as pp
from invented_people import invented_people
from poseterior.distributions.evidence import BLUR, Evidence, EvidenceMap, _Keypoints, evidence_map
from poseterior.geometry.cameras import explaining_root, explaining_root_of
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.view import camera_of

F64 = torch.float64


def moments(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """People of 0.3 m, uncertain by centimetres, all joints tied."""
    generator = torch.Generator().manual_seed(seed)
    mean = 0.3 * torch.randn(count, 17, 3, generator=generator, dtype=F64)
    root = torch.randn(count, 48, 60, generator=generator, dtype=F64)
    spread = 0.01 + 0.04 * torch.rand(count, 48, 1, generator=generator, dtype=F64)
    root = spread * root / 60**0.5
    return mean - mean[:, :1], root @ root.mT


def by_eigenvectors(
    mean: torch.Tensor, covariance: torch.Tensor, keypoints: Keypoints2D, evidence: Evidence
) -> tuple[EvidenceMap, torch.Tensor]:
    """In the coordinates in which the covariance is the identity; and the inverse."""
    lower = torch.linalg.cholesky(covariance + BLUR**2 * torch.eye(48, dtype=F64))
    before = mean[:, 1:].flatten(1)
    after, seen = before, _Keypoints.of(keypoints, evidence.coarseness)
    for _ in range(2):
        residual, slope = seen.about(after.unflatten(1, (-1, 3)))
        gain = slope @ lower
        information, axes = torch.linalg.eigh(gain.mT @ gain)
        information = information.clamp(min=0.0)
        linear = residual + (slope @ (after - before).unsqueeze(-1)).squeeze(-1)
        step = (axes.mT @ (gain.mT @ linear.unsqueeze(-1))).squeeze(-1) / (1.0 + information)
        after = before + (lower @ (axes @ step.unsqueeze(-1))).squeeze(-1)
    left, right = lower @ axes, axes.mT @ torch.linalg.inv(lower)
    root = (1.0 + information).sqrt()
    forward, backward = left @ (right / root.unsqueeze(-1)), left @ (right * root.unsqueeze(-1))
    return EvidenceMap(before, after, forward, -root.log().sum(-1)), backward


@pytest.mark.parametrize("sharper", [1.0, 1e-2, 1e-4])
def test_as_by_eigenvectors(sharper: float) -> None:
    """Every kind of camera, hidden joints, and keypoints up to a hundred times as sharp as usual."""
    people = invented_people(60)
    people = people._replace(covariance=sharper * people.covariance)
    mean, covariance = moments(60)
    found = evidence_map(mean, covariance, people, Evidence(0.0044))
    wanted, backward = by_eigenvectors(mean, covariance, people, Evidence(0.0044))
    # Both know sums of 1 and of what the keypoints tell, in units of what is known without them, to some roundings.
    told = backward.abs().amax((-2, -1), keepdim=True).square()
    tolerance = 100 * torch.finfo(F64).eps * told
    assert ((found.after - wanted.after).abs() < tolerance[..., 0]).all()
    assert ((found.forward - wanted.forward).abs() < tolerance).all()
    assert ((found.log_det - wanted.log_det).abs() < 2 * tolerance[:, 0, 0]).all()
    assert ((found.backward - backward).abs() < tolerance * told).all()


@pytest.mark.parametrize("sharper", [1.0, 1e-2, 1e-4])
def test_single_precision_differs_by_roundings(sharper: float) -> None:
    people = invented_people(60)
    people = people._replace(covariance=sharper * people.covariance)
    mean, covariance = moments(60)
    exact = evidence_map(mean, covariance, people, Evidence())
    single = evidence_map(mean, covariance, people, Evidence(), torch.float32)
    for name in ("before", "after", "log_det"):
        assert torch.equal(getattr(single, name), getattr(exact, name))
    # roundings of numbers that are added to others of the size of the largest
    tolerance = 60 * torch.finfo(torch.float32).eps * exact.forward.abs().amax((-2, -1), keepdim=True)
    assert ((single.forward - exact.forward).abs() < tolerance).all()


def test_a_sharp_pose_does_not_change_its_company() -> None:
    people = invented_people(10)
    scale = torch.ones(10, 1, 1, 1)
    scale[3] = 1e-6
    mean, covariance = moments(10)
    both = evidence_map(
        mean, covariance, people._replace(covariance=scale * people.covariance), Evidence(), torch.float32
    )
    plain = evidence_map(mean, covariance, people, Evidence(), torch.float32)
    others = torch.arange(10) != 3
    torch.testing.assert_close(both.forward[others], plain.forward[others], rtol=0, atol=2e-6)


def test_the_root_is_a_linear_function_of_the_pose() -> None:
    people = invented_people(20)
    poses = moments(20, seed=1)[0]
    intrinsics = camera_of(people)[0]
    stands = explaining_root_of(people.xy, people.covariance, people.visible, intrinsics)
    found = (stands @ poses.flatten(1).unsqueeze(-1)).squeeze(-1)
    wanted = explaining_root(poses, people.xy, people.covariance, people.visible, intrinsics)
    told = people.visible.sum(-1) >= 2
    torch.testing.assert_close(found[told], wanted[told], rtol=1e-9, atol=1e-9)


def test_poses_that_explain_their_keypoints_from_behind_the_camera_are_told_nothing() -> None:
    """Keypoints turned upside down and left to right fit a person behind the camera, whose slopes are huge."""
    people = invented_people(12)
    mean, covariance = moments(12)
    intrinsics = camera_of(people)[0]
    turned = people._replace(xy=2 * intrinsics[:, None, 2:] - people.xy)
    found = evidence_map(mean, covariance, turned, Evidence())
    stands = explaining_root(mean, turned.xy, turned.covariance, turned.visible, intrinsics)[:, 2]
    behind = stands < -0.5
    assert int(behind.sum()) >= 3
    torch.testing.assert_close(found.after[behind], found.before[behind], rtol=0, atol=0)
    identity = torch.eye(48, dtype=torch.float64).expand_as(found.forward[behind])
    torch.testing.assert_close(found.forward[behind], identity, rtol=0, atol=0)
    assert (found.log_det[behind] == 0).all()


@pytest.mark.parametrize("sigma", [1e-2, 1e-4, 1e-9, 0.0])
def test_keypoints_that_claim_to_be_exact_are_taken_for_almost_exact(sigma: float) -> None:
    """Their weight is more than single precision's rounding of the moments could bear, were these not symmetric."""
    people = invented_people(30)
    mean, covariance = moments(30)
    rounded = (
        covariance.float() * (1 + 3e-7 * torch.randn(30, 48, 48, generator=torch.Generator().manual_seed(0)))
    ).double()
    exact = people._replace(covariance=(sigma**2 * torch.eye(2)).expand(30, 17, 2, 2))
    found = evidence_map(mean, rounded, exact, Evidence(), torch.float32)
    assert found.forward.isfinite().all()
    assert found.after.isfinite().all()
    least = evidence_map(
        mean, rounded, people._replace(covariance=1e-4 * torch.eye(2).expand(30, 17, 2, 2)), Evidence()
    )
    if sigma < 1e-2:
        assert float((found.after - least.after).norm(dim=-1).median()) < 0.02


@pytest.mark.parametrize("name", ["mdn", "flow", "supervised", "relative"])
def test_lifters_take_keypoints_of_any_sharpness(name: str) -> None:
    shown = pp.example_keypoints().as_skeleton("h36m17")
    for variance in (1e-6, 1e-12, 0.0):
        poses = pp.load(name)(shown._replace(covariance=(variance * torch.eye(2)).expand(*shown.covariance.shape)))
        assert poses.mean.isfinite().all()
        assert poses.region(0.9).radius.isfinite().all()
