"""Draws and moments of mixtures, moved by a map or not: against whole matrices, one component after the other."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import roma
import torch
from torch import Tensor, nn

from invented_people import invented_people
from poseterior.distributions import mixture as mixture_module
from poseterior.distributions.balls import FLOOR, SPREAD_LEVEL, balls, quantiles
from poseterior.distributions.base import PoseDistribution
from poseterior.distributions.evidence import Evidence
from poseterior.distributions.given import GivenEvidence
from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.noise import PoseNoise

F64 = torch.float64


def mixture(batch: tuple[int, ...], factors: int | None, turned: bool = True) -> MixturePoseDistribution:
    """Five components; ``factors``: how many have their own ties."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*batch, *shape, generator=generator, dtype=F64)

    lower = torch.diag_embed(0.01 + 0.1 * torch.rand(*batch, 5, 16, 3, generator=generator, dtype=F64))
    lower[..., [1, 2, 2], [0, 0, 1]] = 0.05 * normal(5, 16, 3)
    factor = None if factors is None else normal(factors, 48, 4)
    turn = roma.unitquat_to_rotmat(nn.functional.normalize(normal(4), dim=-1)) if turned else None
    return MixturePoseDistribution(normal(5), 0.5 * normal(5, 16, 3), lower, factor, turn)


def drawn_one_by_one(poses: MixturePoseDistribution, count: int, seed: int) -> Tensor:
    """The draws of a seed, each by the definition of its component: ``(count, n, 17, 3)``."""
    number = poses.batch_shape.numel()
    flat = mixture_of_rows(poses)
    noise = PoseNoise(seed, torch.arange(number))
    chosen = noise.choose(flat.log_weights.exp(), count)
    error = noise.normal((number, count, 48), 2, flat.loc)
    tied = None if flat.factor is None else noise.normal((number, count, flat.factor.shape[-1]), 2, flat.loc)
    found = torch.zeros(count, number, 17, 3, dtype=F64)
    for n in range(number):
        for s in range(count):
            k = int(chosen[n, s])
            latent = error[n, s]
            if flat.factor is not None and tied is not None:
                latent = latent + flat.factor[n, min(k, flat.factor.shape[1] - 1)] @ tied[n, s]
            pose = flat.loc[n, k] + (torch.block_diag(*flat.scale_tril[n, k]) @ latent).view(16, 3)
            found[s, n, 1:] = pose if flat.rotation is None else pose @ flat.rotation[n]
    return found


def mixture_of_rows(poses: MixturePoseDistribution) -> MixturePoseDistribution:
    start = len(poses.batch_shape)
    parts = (poses.log_weights, poses.loc, poses.scale_tril, poses.factor, poses.rotation)
    return MixturePoseDistribution(*(p if p is None else p.flatten(0, start - 1) for p in parts))  # type: ignore[arg-type]


@pytest.mark.parametrize("factors", [None, 1, 5])
@pytest.mark.parametrize("turned", [True, False])
def test_draws_are_those_of_their_components(factors: int | None, turned: bool) -> None:
    poses = mixture((2, 3), factors, turned)
    found = poses.sample((7,), seed=4)
    torch.testing.assert_close(found.flatten(1, 2), drawn_one_by_one(poses, 7, 4), rtol=0, atol=1e-12)
    assert (found[..., 0, :] == 0).all()


@pytest.mark.parametrize("draws", [3, 130])
@pytest.mark.parametrize("factors", [None, 1, 5])
def test_density_of_draws_is_that_of_poses(draws: int, factors: int | None) -> None:
    poses = mixture((3,), factors)
    drawn, density = poses.sample_and_log_prob((draws,), seed=1)
    torch.testing.assert_close(density, poses.log_prob(drawn), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("block", [1, 40, 10_000])
def test_how_many_are_made_at_once_changes_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    poses = mixture((6,), 1)
    wanted, density = poses.sample_and_log_prob((20,), seed=1)
    monkeypatch.setattr(mixture_module, "_BLOCK", block)
    found = poses.sample_and_log_prob((20,), seed=1)
    torch.testing.assert_close(found[0], wanted, rtol=0, atol=1e-13)
    torch.testing.assert_close(found[1], density, rtol=1e-11, atol=1e-11)


def test_draws_that_are_given_evidence_are_the_bases_moved() -> None:
    people = invented_people(6)
    base = mixture((6,), 1)
    given = GivenEvidence(base, people, Evidence())
    base.keypoints = people  # so that both draw the same numbers
    drawn, density = given.sample_and_log_prob((50,), seed=3)
    torch.testing.assert_close(drawn, given._moved(base.sample((50,), seed=3)), rtol=0, atol=1e-12)
    torch.testing.assert_close(drawn, given.sample((50,), seed=3), rtol=0, atol=1e-12)
    torch.testing.assert_close(density, given.log_prob(drawn), rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("factors", [None, 1, 5])
@pytest.mark.parametrize("turned", [True, False])
def test_moments_are_those_of_the_dense_components(factors: int | None, turned: bool) -> None:
    poses = mixture((2, 2), factors, turned)
    weights, loc, covariance = poses.dense()
    share = weights.exp().unsqueeze(-1)
    offset = loc - (share * loc).sum(-2, keepdim=True)
    wanted = (share.unsqueeze(-1) * covariance).sum(-3) + (share * offset).mT @ offset
    mean, found = poses.joint_moments
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(mean[..., 1:, :].flatten(-2), (share * loc).sum(-2), rtol=0, atol=1e-12)
    torch.testing.assert_close(poses._blocks(found), poses.covariance, rtol=0, atol=1e-12)


# -- what regions are made of ------------------------------------------------------------------------------


def test_balls_are_medians_and_quantiles() -> None:
    for count in (200, 201, 7):
        samples = mixture((3,), 1).sample((count,), seed=0).float()
        found = balls(samples, [0.5, 0.9], 0)
        assert torch.equal(found.centre, samples.median(0).values)
        distance = (samples.double() - found.centre.double()).norm(dim=-1).clamp(min=FLOOR)
        wanted = torch.quantile(distance, torch.tensor([0.5, 0.9], dtype=F64), 0).float()
        torch.testing.assert_close(found.radius[..., 1:], wanted[..., 1:], rtol=1e-6, atol=0)
        torch.testing.assert_close(found.shape[..., 1:], wanted[1][..., 1:], rtol=1e-6, atol=0)


def test_a_sample_that_is_no_number_makes_a_centre_that_is_none() -> None:
    samples = mixture((2,), 1).sample((50,), seed=0)
    samples[7, 1, 4, 2] = math.nan
    centre = balls(samples, [0.5], 0).centre
    assert centre.isnan().sum() == 1
    assert centre[1, 4, 2].isnan()


def test_calibrated_radii_are_made_of_the_plain_ones() -> None:
    import poseterior as pp

    people = invented_people(8)
    lifter = pp.load("mdn")
    assert lifter.recalibration is not None
    ours = lifter.recalibration = dataclasses.replace(lifter.recalibration, samples=200)
    posterior = lifter(people)
    assert isinstance(posterior, PoseDistribution)
    region = posterior.region(0.8)
    plain = balls(posterior.sample((ours.samples,), seed=ours.seed), [SPREAD_LEVEL], 0)
    radius, pose_radius = ours.radii(0.8, people.visible, plain.shape)
    torch.testing.assert_close(region.centre, plain.centre, rtol=0, atol=0)
    torch.testing.assert_close(region.radius, radius, rtol=1e-6, atol=0)
    torch.testing.assert_close(region.pose_radius, pose_radius, rtol=1e-6, atol=0)


def test_quantiles_are_numpys() -> None:
    values = torch.randn(33, 4, 5, generator=torch.Generator().manual_seed(0), dtype=F64)
    levels = [0.0, 0.05, 0.5, 0.937, 1.0]
    np.testing.assert_allclose(
        quantiles(values, levels).numpy(), np.quantile(values.numpy(), levels, axis=0), atol=1e-12
    )
