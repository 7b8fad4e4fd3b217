"""What every distribution and every shipped lifter keeps, whatever its kind: one contract, tested over all of them."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import roma
import torch
from torch.distributions import Laplace, MultivariateNormal, Normal

import poseterior.distributions
import poseterior.published
from conftest import STANDING
from poseterior.distributions.base import PoseDistribution
from poseterior.distributions.delta import DeltaPoseDistribution
from poseterior.distributions.empirical import EmpiricalPoseDistribution
from poseterior.distributions.evidence import Evidence
from poseterior.distributions.flow import FlowPoseDistribution
from poseterior.distributions.independent import IndependentPoseDistribution
from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.distributions.rotations import RotationDistribution
from poseterior.distributions.sampled import SampledPoseDistribution
from poseterior.distributions.seeded import SeededDistribution
from poseterior.distributions.through_poses import RotationsThroughPoses
from poseterior.files.errors import InputError
from poseterior.geometry.frames import RootedFrame
from poseterior.geometry.skeletons import SKELETONS, Skeleton
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import list_shipped, load
from poseterior.lifters.rotations import RotationConfig, RotationLifter
from poseterior.nn.coupling import ConditionalCouplings, EvidenceTransform, StandardisedCouplings
from poseterior.nn.rotation_networks import STRUCTURES
from poseterior.published.duenkel_2024.prior import PublishedRotationConfig, PublishedRotationPrior
from poseterior.published.pavlakos_2019 import VaeConfig, VaePrior
from poseterior.published.wehrbein_2021.network import PublishedFlow, PublishedFlowPoses

#: Three joints, the root in the middle: six numbers, so that densities can be integrated.
TINY = Skeleton("tiny", ("knee", "hip_centre", "ankle"), (1, -1, 0))
BATCHES = [(), (0,), (3,), (2, 3), (2, 0, 3)]
F64 = torch.float64


# -- one of each kind ------------------------------------------------------------------------------------------


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = F64) -> torch.Tensor:
    """Normal numbers; the first ones along the batch do not depend on the rest of the shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def turns(*batch: int, dtype: torch.dtype) -> torch.Tensor:
    return roma.special_gramschmidt(numbers(*batch, 3, 3, seed=1)).to(dtype)


def triangles(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    diagonal = torch.diag_embed(0.1 * (0.3 * numbers(*shape, 3, seed=2)).exp())
    return (0.05 * numbers(*shape, 3, 3, seed=3).tril(-1) + diagonal).to(dtype)


def mixture(batch, dtype, k=3, rank=2, shared=False, turned=True):
    factor = 0.7 * numbers(*batch, 1 if shared else k, 6, rank, seed=4, dtype=dtype) if rank else None
    return MixturePoseDistribution(
        numbers(*batch, k, dtype=dtype), 0.2 * numbers(*batch, k, 2, 3, seed=5, dtype=dtype),
        triangles(*batch, k, 2, dtype=dtype), factor, turns(*batch, dtype=dtype) if turned else None, TINY,
    )  # fmt: skip


def flow(batch, dtype, bent):
    standardise = EvidenceTransform(
        0.2 * numbers(*batch, 2, 3, dtype=dtype), 0.1 * numbers(*batch, 2, 2, seed=6, dtype=dtype),
        triangles(*batch, 2, dtype=dtype), 0.5 * numbers(*batch, 6, 1, seed=7, dtype=dtype),
    )  # fmt: skip
    torch.manual_seed(0)
    couplings = ConditionalCouplings(6, 4, 2, (8,)).to(dtype).requires_grad_(False)
    for number, parameter in enumerate(couplings.parameters()):
        parameter += 0.1 * numbers(*parameter.shape, seed=number, dtype=dtype)
    bend = [couplings(numbers(*batch, 4, seed=8, dtype=dtype))] if bent else []
    scale = 1.3 if bent else 1.0
    transform = StandardisedCouplings(standardise, *bend)
    return FlowPoseDistribution(transform, batch, scale, turns(*batch, dtype=dtype), TINY, like=standardise.loc)


def independent(batch, dtype, family):
    scale = 0.1 * (0.3 * numbers(*batch, 2, 3, seed=9, dtype=dtype)).exp()
    return IndependentPoseDistribution(
        0.3 * numbers(*batch, 3, 3, dtype=dtype), scale, family, turns(*batch, dtype=dtype), TINY
    )


class RoundPoseDistribution(PoseDistribution):
    """As small as a distribution can be: what `PoseDistribution` says how to write."""

    has_rsample = has_density = True
    batched = ("loc",)

    def __init__(self, loc, spread, skeleton="h36m17"):
        super().__init__(loc.shape[:-2], skeleton, like=loc)
        self.loc, self.spread = loc, spread

    def _draw(self, shape, noise):
        errors = self._normal(noise, *shape, *self.batch_shape, len(self.skeleton.nonroot), 3, event=2)
        return self.loc + RootedFrame(self.skeleton).to_camera(self.spread * errors)

    def _log_prob(self, value, observed):
        errors = RootedFrame(self.skeleton).from_camera(value - self.loc)
        return Normal(0.0, self.spread).log_prob(errors).sum((-2, -1))

    def _mean(self):
        return self.loc

    def _covariance(self):
        variance = torch.full_like(self.loc, self.spread**2)
        variance[..., self.skeleton.root, :] = 0.0
        return torch.diag_embed(variance)


def smallest(batch, dtype):
    loc = numbers(*batch, 3, 3, dtype=dtype)
    return RoundPoseDistribution(loc - loc[..., 1:2, :], 0.1, TINY)


def published_flow(batch, dtype):
    torch.manual_seed(0)
    network = PublishedFlow().to(dtype)
    return PublishedFlowPoses(network, 0.1 * numbers(*batch, 32, dtype=dtype), numbers(*batch, 56, seed=1, dtype=dtype))


def rotations(batch, dtype, structure="autoregressive"):
    torch.manual_seed(0)
    tiny = RotationConfig(
        structure=structure, width=16, blocks=1, context=8, trunk=8, layers=2, segments=3, hidden=4, turns=3
    )
    lifter = RotationLifter(tiny).eval().requires_grad_(False)
    for number, parameter in enumerate(lifter.parameters()):
        parameter += 0.1 * numbers(*parameter.shape, seed=number, dtype=torch.float32)
    return lifter.to(dtype).rotations(people(batch))


def published_rotations(batch, dtype, task):
    torch.manual_seed(0)
    config = PublishedRotationConfig(task=task, segments=3, hidden=4, hidden_layers=1)
    lifter = PublishedRotationPrior(config).to(dtype).eval().requires_grad_(False)
    if task == "prior":
        return lifter.prior(batch)
    points = 0.5 * numbers(*batch, 22, 3, dtype=dtype)
    return lifter.ik(points - points[..., :1, :])


def vae(batch, dtype):
    torch.manual_seed(0)
    return VaePrior(VaeConfig(latent=4, width=16)).to(dtype).eval().requires_grad_(False).prior(batch)


def people(batch, **changes) -> Keypoints2D:
    """Standing people, disturbed, of whom some joints are hidden."""
    standing = torch.tensor([STANDING[joint] for joint in SKELETONS["h36m17"].joints])
    xy = 500 + 200 * (standing[:, :2] + 0.05 * numbers(*batch, 17, 2, dtype=torch.float32))
    visible = numbers(*batch, 17, seed=1) < 1.0
    return Keypoints2D(xy, **({"visible": visible, "image_size": (1000, 1000)} | changes))


def told(base, batch):
    """The distribution, given what a camera sees of three joints that it might be."""
    xy = 500 + 60 * numbers(*batch, 3, 2, seed=11, dtype=torch.float32)
    keypoints = Keypoints2D(xy, 5.0, image_size=(1000, 1000), skeleton=TINY)
    return base.given_evidence(keypoints, Evidence(coarseness=0.05))


@dataclass(frozen=True)
class Case:
    """How to make a distribution of a kind for a batch shape and dtype, and what its `repr` says of its kind."""

    make: Callable[..., SeededDistribution]
    details: str
    #: `torch.distributions`' own density in the canonical frame (without the root), where there is one
    reference: Callable[[SeededDistribution], torch.distributions.Distribution] | None = None

    def __call__(self, batch=(3,), dtype=torch.float32):
        return self.make(batch, dtype)


def _gaussian(d: MixturePoseDistribution) -> MultivariateNormal:
    lower = torch.zeros(*d.batch_shape, 6, 6, dtype=d.dtype)
    for joint in range(2):
        lower[..., 3 * joint : 3 * joint + 3, 3 * joint : 3 * joint + 3] = d.scale_tril[..., 0, joint, :, :]
    inner = torch.eye(6, dtype=d.dtype) + d.factor[..., 0, :, :] @ d.factor[..., 0, :, :].transpose(-1, -2)
    return MultivariateNormal(d.loc[..., 0, :, :].flatten(-2), lower @ inner @ lower.transpose(-1, -2))


def _factors(d: IndependentPoseDistribution) -> torch.distributions.Distribution:
    kind = Normal if d.family == "gaussian" else Laplace
    return torch.distributions.Independent(kind(d.frame.from_camera(d.loc).flatten(-2), d.scale.flatten(-2)), 1)


POSES: dict[str, Case] = {
    "mixture": Case(mixture, "skeleton='tiny', components=3"),
    "mixture, factor shared": Case(lambda b, t: mixture(b, t, shared=True), "skeleton='tiny', components=3"),
    "mixture, not tied": Case(lambda b, t: mixture(b, t, rank=0, turned=False), "skeleton='tiny', components=3"),
    "Gaussian": Case(lambda b, t: mixture(b, t, k=1), "skeleton='tiny', components=1", _gaussian),
    "flow": Case(lambda b, t: flow(b, t, True), "skeleton='tiny'"),
    "flow, Gaussian": Case(lambda b, t: flow(b, t, False), "skeleton='tiny'"),
    "delta": Case(lambda b, t: DeltaPoseDistribution(numbers(*b, 3, 3, dtype=t), None, TINY), "skeleton='tiny'"),
    "independent": Case(
        lambda b, t: independent(b, t, "gaussian"), "skeleton='tiny', family='gaussian'", _factors
    ),
    "Laplace": Case(lambda b, t: independent(b, t, "laplace"), "skeleton='tiny', family='laplace'", _factors),
    "empirical": Case(
        lambda b, t: EmpiricalPoseDistribution(numbers(4000, *b, 3, 3, dtype=t), TINY), "skeleton='tiny', samples=4000"
    ),
    "smallest": Case(smallest, "skeleton='tiny'"),
    "mixture, given evidence": Case(
        lambda b, t: told(mixture(b, t), b), "skeleton='tiny', base='MixturePoseDistribution'"
    ),
    "flow, given evidence": Case(
        lambda b, t: told(flow(b, t, True), b), "skeleton='tiny', base='FlowPoseDistribution'"
    ),
    "articulated": Case(lambda b, t: rotations(b, t).positions(), "skeleton='h36m17'"),
    "published flow": Case(published_flow, "skeleton='h36m17'"),
}  # fmt: skip
ROTATIONS: dict[str, Case] = {
    **{
        s: Case(lambda b, t, s=s: rotations(b, t, s), f"skeleton='smpl22', structure={s!r}")
        for s in STRUCTURES
    },
    "published prior": Case(lambda b, t: published_rotations(b, t, "prior"), "skeleton='smpl22'"),
    "published inverse kinematics": Case(lambda b, t: published_rotations(b, t, "ik"), "skeleton='smpl22'"),
    "variational": Case(vae, "skeleton='smpl22'"),
}  # fmt: skip
ALL = POSES | ROTATIONS
#: Those whose draws are given, or always the same.
FIXED = ("delta", "empirical")
#: Those of samples only.
WITHOUT_DENSITY = (*FIXED, "articulated", "published flow", "variational")
WITHOUT_MODE = ("empirical", "smallest", "articulated", "published flow")
with_density = [name for name in ALL if name not in WITHOUT_DENSITY]
integrable = [name for name in with_density if name in POSES]

of_all = pytest.mark.parametrize("name", ALL)
of_poses = pytest.mark.parametrize("name", POSES)
batches = pytest.mark.parametrize("batch", BATCHES, ids=str)


def test_every_kind_is_here():
    found = set()
    for package in (poseterior.distributions, poseterior.published):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if issubclass(member, SeededDistribution) and member._draw is not SeededDistribution._draw:
                    found.add(member)
    found.remove(RotationsThroughPoses)  # two of them, one on the other's samples: tests/lifters/test_through_poses.py
    assert found == {type(case(())) for name, case in ALL.items() if name != "smallest"}


# -- samples ---------------------------------------------------------------------------------------------------


@of_all
@batches
@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,)], ids=str)
def test_shapes_of_samples(name, batch, shape):
    d = ALL[name](batch)
    assert d.batch_shape == batch
    drawn = d.sample(shape, seed=0)
    assert drawn.shape == (*shape, *batch, *d.event_shape)
    assert drawn.isfinite().all()
    if isinstance(d, PoseDistribution):
        assert (drawn[..., d.skeleton.root, :] == 0).all()
        assert d.origin == d.skeleton.joints[d.skeleton.root]


@of_all
@pytest.mark.parametrize("batch", [(), (2, 3)], ids=str)
def test_seeds_and_generators(name, batch):
    d = ALL[name](batch)
    drawn = d.sample((5,), seed=4)
    assert torch.equal(drawn, d.sample((5,), seed=4))
    assert torch.equal(drawn, d.sample([5], seed=np.int64(4)))
    generator = torch.Generator().manual_seed(4)
    first, second = d.sample((5,), generator=generator), d.sample((5,), generator=generator)
    assert torch.equal(first, d.sample((5,), generator=torch.Generator().manual_seed(4)))
    torch.manual_seed(4)
    assert torch.equal(d.sample((5,)), first)
    assert torch.equal(second, first) == (name in FIXED)
    assert torch.equal(d.sample((5,), seed=5), drawn) == (name in FIXED)
    kept = drawn.clone()
    drawn.zero_()  # nobody else's numbers
    assert torch.equal(d.sample((5,), seed=4), kept)


@of_all
def test_seeds_leave_the_global_generator_alone(name):
    d = ALL[name]()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    d.sample((2,), seed=1)
    d.sample((2,), generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.rand(3), expected)


@of_all
def test_bad_arguments(name):
    d = ALL[name]()
    with pytest.raises(InputError, match=r"^sample_shape: expected a tuple of whole numbers, e.g. \(200,\), got 5$"):
        d.sample(5)
    with pytest.raises(InputError, match=r"got \(2, -1\)$"):
        d.sample((2, -1))
    with pytest.raises(InputError, match=r"^seed: expected a whole number, got 0.5$"):
        d.sample((2,), seed=0.5)
    with pytest.raises(InputError, match=r"^give a generator or a seed, not both$"):
        d.sample((2,), seed=0, generator=torch.Generator())


@of_poses
def test_gradients_where_promised(name):
    """`rsample` reaches the parameters where `has_rsample` says so; `sample` never does."""
    d = ALL[name](())
    if name == "published flow":
        parameters = list(d.network.blocks.parameters())
    else:
        known = {
            field: getattr(getattr(d, "base", d), field, None)
            for field in ("loc", "scale", "scale_tril", "rotation", "samples")
        }
        parameters = [value.requires_grad_() for value in known.values() if value is not None and value.is_leaf]
    assert not d.sample((2,), seed=0).requires_grad
    if not d.has_rsample:
        with pytest.raises(
            NotImplementedError, match=f"^{type(d).__name__} has no samples with gradients: use sample$"
        ):
            d.rsample((2,), seed=0)
        return
    drawn = d.rsample((2,), seed=0)
    assert torch.equal(drawn.detach(), d.sample((2,), seed=0))
    assert parameters
    for gradient in torch.autograd.grad(drawn.square().sum(), parameters):
        assert gradient.isfinite().all()
        assert gradient.any()


@of_poses
def test_weighted_draws_estimate_the_mean(name):
    d = POSES[name]((2,), F64)
    try:
        poses, weights = d.weighted_rsample(2000, seed=0)
    except NotImplementedError:
        assert not d.has_rsample
        return
    assert torch.equal(poses, d.weighted_rsample(2000, seed=0)[0])
    torch.testing.assert_close(weights.sum(0), torch.ones(2, dtype=F64))
    mean = (weights[..., None, None] * poses).sum(0)
    draws = 2000 if not isinstance(d, SampledPoseDistribution) else d.summary_draws
    assert ((mean - d.mean).abs() <= 5 * d.stddev * (1 / 2000 + 1 / draws) ** 0.5 + 1e-9).all()


# -- summaries -------------------------------------------------------------------------------------------------


@of_poses
@batches
def test_shapes_of_summaries(name, batch):
    d = POSES[name](batch)
    root = d.skeleton.root
    for summary in ("mean", "median", "stddev", "variance"):
        value = getattr(d, summary)
        assert value.shape == (*batch, *d.event_shape), summary
        assert value.isfinite().all()
        assert (value[..., root, :] == 0).all()
    assert d.covariance.shape == (*batch, *d.event_shape, 3)
    assert (d.covariance[..., root, :, :] == 0).all()
    representatives, weights = d.cluster(3, 50)
    assert (representatives.shape, weights.shape) == ((*batch, 3, *d.event_shape), (*batch, 3))
    torch.testing.assert_close(weights.sum(-1), torch.ones(batch))
    representatives, weights = d.hypotheses
    assert representatives.shape == (*batch, weights.shape[-1], *d.event_shape)
    assert (weights.diff(dim=-1) <= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(batch))
    if name in WITHOUT_MODE:
        with pytest.raises(NotImplementedError, match=f"^{type(d).__name__} has no (density, so no )?mode; use mean"):
            _ = d.mode
    else:
        assert d.mode.shape == (*batch, *d.event_shape)
        assert (d.mode[..., root, :] == 0).all()


def made_of_draws(d: PoseDistribution) -> bool:
    """Whether its moments are those of a few fixed draws."""
    return isinstance(getattr(d, "base", d), SampledPoseDistribution)


@of_poses
def test_mean_and_covariance_are_those_of_many_samples(name):
    """Within 5 standard errors of many draws (of the fixed draws, where the moments are made of those)."""
    d = POSES[name]((2,), F64)
    drawn = d.sample((4000 if name in ("empirical", "articulated", "published flow") else 20_000,), seed=1)
    known = d.summary_draws if made_of_draws(d) else len(drawn)
    one_over_n = 1 / len(drawn) + 1 / known
    assert ((drawn.mean(0) - d.mean).abs() <= 5 * d.stddev * one_over_n**0.5 + 1e-9).all()
    centred = drawn - drawn.mean(0)
    products = centred.unsqueeze(-1) * centred.unsqueeze(-2)
    error = products.std(0) * one_over_n**0.5
    assert ((products.mean(0) - d.covariance).abs() <= 6 * error + 1e-9).all()


@of_poses
@batches
def test_regions(name, batch):
    d = POSES[name](batch)
    narrow, wide = d.region(0.5), d.region(0.9)
    joints = len(d.skeleton)
    for region, level in ((narrow, 0.5), (wide, 0.9)):
        assert region.level == level
        assert region.centre.shape == (*batch, joints, 3)
        assert region.radius.shape == region.pose_radius.shape == (*batch, joints)
        assert not region.calibrated
        assert (region.radius[..., d.skeleton.root] == 0).all()
    assert (narrow.radius <= wide.radius).all()
    assert (narrow.pose_radius <= wide.pose_radius).all()
    assert (wide.radius <= wide.pose_radius * (1 + 1e-6)).all()
    assert torch.equal(d.region(0.9).radius, wide.radius)
    inside = wide.contains(d.sample((200,), seed=11)).float()[..., list(d.skeleton.nonroot)].mean(0)
    assert (inside >= 0.75).all()  # of 200 samples of 90 % regions of 200 others: 0.9 ± 0.03


# -- density ---------------------------------------------------------------------------------------------------


@of_all
@batches
def test_density_of_own_samples(name, batch):
    d = ALL[name](batch, F64)
    assert d.has_density == (name in with_density)
    for shape in ((), (2, 2), (0,)):
        drawn = d.sample(shape, seed=0)
        if name not in with_density:
            with pytest.raises(NotImplementedError, match="no density"):
                d.log_prob(drawn)
            with pytest.raises(NotImplementedError, match="no density"):
                d.sample_and_log_prob(shape, seed=0)
            continue
        density = d.log_prob(drawn)
        assert density.shape == (*shape, *batch)
        assert density.isfinite().all()
        again, together = d.sample_and_log_prob(shape, seed=0)
        assert torch.equal(again, drawn)
        torch.testing.assert_close(together, density, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", integrable)
def test_shapes_of_densities_broadcast(name):
    d = POSES[name]((2, 3), F64)
    assert d.log_prob(d.mean[0, 0]).shape == (2, 3)
    assert d.log_prob(d.sample((4,))[:, :1]).shape == (4, 2, 3)
    torch.testing.assert_close(d.log_prob(d.mean[:1].float())[1, 2], d.log_prob(d.mean[:1].float().double())[1, 2])
    with pytest.raises(InputError, match=r"^value has shape \(5, 3, 3\); expected \(\*samples, 2, 3, 3, 3\) of tiny$"):
        d.log_prob(torch.zeros(5, 3, 3))
    with pytest.raises(InputError, match=r"^value has shape \(2, 3, 17, 3\); expected"):
        d.log_prob(torch.zeros(2, 3, 17, 3))
    with pytest.raises(InputError, match=r"^observed has shape \(2, 3, 17\); expected \(\*batch, 3\): one per joint"):
        d.log_prob(d.mean, torch.ones(2, 3, 17, dtype=torch.bool))


def student(samples: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws from a multivariate t distribution of 4 degrees fitted to ``(n, dims)``, and their log-density."""
    dims, degrees = samples.shape[-1], 4.0
    lower = torch.linalg.cholesky(torch.cov(samples.T))
    generator = torch.Generator().manual_seed(5)
    normal = torch.randn(count, dims, generator=generator, dtype=F64)
    chi = torch.randn(count, int(degrees), generator=generator, dtype=F64).square().sum(-1)
    standard = normal * (degrees / chi).sqrt().unsqueeze(-1)
    log_norm = (
        math.lgamma((degrees + dims) / 2) - math.lgamma(degrees / 2) - 0.5 * dims * math.log(degrees * math.pi)
        - float(lower.diagonal().log().sum())
    )  # fmt: skip
    density = log_norm - 0.5 * (degrees + dims) * torch.log1p(standard.square().sum(-1) / degrees)
    return samples.mean(0) + standard @ lower.T, density


@pytest.mark.parametrize("name", integrable)
def test_densities_are_those_of_the_samples(name):
    """Importance sampling in the six coordinates: it integrates to 1, to the stated mean and covariance (5 sigma)."""
    d = POSES[name]((), F64)
    nonroot = list(d.skeleton.nonroot)
    proposed, log_q = student(d.sample((4000,), seed=0)[:, nonroot].flatten(1), 40_000)
    poses = torch.zeros(len(proposed), 3, 3, dtype=F64)
    poses[:, nonroot] = proposed.unflatten(-1, (2, 3))
    weight = (d.log_prob(poses) - log_q).exp()
    error = float(weight.std()) / len(weight) ** 0.5
    assert error < 0.03
    assert abs(float(weight.mean()) - 1.0) < 5 * error
    known = 1 / d.summary_draws if made_of_draws(d) else 0.0
    weighted = weight[:, None, None] * poses
    allowed = 5 * (weighted.var(0) / len(poses) + known * d.variance).sqrt()
    assert ((weighted.mean(0) - d.mean).abs() <= allowed + 1e-9).all()
    if not known:
        centred = poses - d.mean
        products = weight[:, None, None, None] * centred.unsqueeze(-1) * centred.unsqueeze(-2)
        allowed = 5 * products.std(0) / len(poses) ** 0.5
        assert ((products.mean(0) - d.covariance).abs() <= allowed + 1e-9).all()


@pytest.mark.parametrize("name", [name for name, case in POSES.items() if case.reference])
def test_densities_are_exact(name):
    d = POSES[name]((2, 3), F64)
    poses = d.sample((7,), seed=0)
    expected = POSES[name].reference(d).log_prob(d.frame.from_camera(poses).flatten(-2))
    torch.testing.assert_close(d.log_prob(poses), expected, rtol=1e-9, atol=1e-9)


def test_a_flow_that_is_gaussian_has_a_gaussians_density():
    """Mean and factor of the covariance by pushing zero and unit latents through the (affine) map."""
    d = POSES["flow, Gaussian"]((), F64)
    nonroot = list(d.skeleton.nonroot)
    units = d.from_latent(torch.cat([torch.zeros(1, 6, dtype=F64), torch.eye(6, dtype=F64)]))[:, nonroot].flatten(1)
    root = (units[1:] - units[0]).T
    poses = d.sample((9,), seed=1)
    expected = MultivariateNormal(units[0], root @ root.T).log_prob(poses[:, nonroot].flatten(1))
    torch.testing.assert_close(d.log_prob(poses), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", integrable)
def test_what_is_not_observed_does_not_matter(name):
    """Bit for bit, NaN included; the marginal density of one joint integrates to 1 (5 sigma)."""
    d = POSES[name]((2, 3), F64)
    poses = d.sample((4,), seed=0)
    observed = torch.ones(2, 3, 3, dtype=torch.bool)
    observed[..., d.skeleton.root] = False  # the root is never counted
    everything = d.log_prob(poses, observed)
    torch.testing.assert_close(everything, d.log_prob(poses))
    observed[1, :, 2] = False
    holes = poses.clone()
    holes[:, 1, :, 2] = math.nan
    if not d.can_marginalise:
        with pytest.raises(NotImplementedError, match=f"{type(d).__name__} has no marginal densities"):
            d.log_prob(holes, observed)
        return
    assert torch.equal(d.log_prob(holes, observed), d.log_prob(poses, observed))
    assert torch.equal(d.log_prob(holes, observed)[:, 0], everything[:, 0])
    one = POSES[name]((), F64)
    proposed, log_q = student(one.sample((4000,), seed=0)[:, 0], 20_000)
    value = torch.full((len(proposed), 3, 3), math.nan, dtype=F64)
    value[:, 0] = proposed
    value[:, 1] = 0.0
    weight = (one.log_prob(value, torch.tensor([True, True, False])) - log_q).exp()
    assert abs(float(weight.mean()) - 1.0) < 5 * float(weight.std()) / len(weight) ** 0.5


# -- expand, repr, dtype ---------------------------------------------------------------------------------------


@of_all
@pytest.mark.parametrize(
    ("batch", "larger"),
    [((), (4,)), ((1,), (4,)), ((3,), (2, 3)), ((2, 3), (4, 2, 3)), ((2, 1), (2, 3)), ((0,), (2, 0)), ((3,), (3,))],
    ids=str,
)
def test_expand(name, batch, larger):
    d = ALL[name](batch, F64)
    if isinstance(d, PoseDistribution | RotationDistribution):
        _ = d.mean  # what is remembered of the smaller batch is not taken for the larger
        assert d.expand(larger).mean.shape == (*larger, *d.event_shape)
    wide = d.expand(larger)
    assert type(wide) is type(d)
    assert (d.batch_shape, wide.batch_shape) == (batch, larger)
    drawn = wide.sample((5,), seed=0)
    assert drawn.shape == (5, *larger, *d.event_shape)
    assert wide.expand((2, *larger)).sample((3,)).shape == (3, 2, *larger, *d.event_shape)
    if name in with_density:
        torch.testing.assert_close(wide.log_prob(drawn), d.log_prob(drawn), rtol=1e-6, atol=1e-6)
    if isinstance(d, PoseDistribution) and not isinstance(d, SampledPoseDistribution):
        torch.testing.assert_close(wide.mean, d.mean.expand(wide.mean.shape))
        torch.testing.assert_close(wide.covariance, d.covariance.expand(wide.covariance.shape))
    if larger == (4,) and name not in FIXED:
        assert not torch.equal(drawn[:, 0], drawn[:, 1])  # each element has draws of its own
    with pytest.raises(InputError, match=r"^expand: batch shape .* does not broadcast to \(7,\)$"):
        wide.expand((7,))


@of_all
def test_expanded_elements_are_distributed_alike(name):
    """Mean of 1000 draws of each element: within 5 standard errors of one another."""
    drawn = ALL[name]((), F64).expand((2,)).sample((1000,), seed=0)
    error = drawn[:, 0].std(0) * (2 / 1000) ** 0.5
    assert ((drawn[:, 0].mean(0) - drawn[:, 1].mean(0)).abs() <= 5 * error + 1e-9).all()


@of_all
@batches
def test_repr_says_what_it_is(name, batch):
    d = ALL[name](batch)
    assert repr(d) == f"{type(d).__name__}(batch_shape={batch}, {ALL[name].details})"


@of_all
def test_precision_is_that_of_the_parameters(name):
    for dtype in (torch.float32, F64):
        d = ALL[name]((2,), dtype)
        assert (d.dtype, d.device) == (dtype, torch.device("cpu"))
        drawn = d.sample((4,), seed=0)
        assert drawn.dtype == dtype
        assert d.expand((3, 2)).sample().dtype == dtype
        if name in with_density:
            assert d.log_prob(drawn).dtype == dtype
            assert d.log_prob(drawn.float()).dtype == dtype
        if isinstance(d, PoseDistribution):
            assert d.mean.dtype == d.median.dtype == d.covariance.dtype == d.stddev.dtype == dtype
            assert d.hypotheses[0].dtype == d.region(0.9).radius.dtype == dtype
    if name not in with_density or name == "flow, given evidence":
        return  # of the latter the map comes of fixed draws, which are others in another precision
    single, double = (ALL[name]((2,), dtype) for dtype in (torch.float32, F64))
    value = single.sample((4,), seed=0)
    # Couplings that fold a sphere onto itself lose digits; densities are of the order of 10 nats.
    torch.testing.assert_close(single.log_prob(value).double(), double.log_prob(value.double()), rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("name", [name for name in ROTATIONS if name in with_density])
def test_shapes_of_densities_of_rotations_broadcast(name):
    d = ROTATIONS[name]((2, 3), F64)
    drawn = d.sample((4,), seed=0)
    assert d.log_prob(drawn[0, 0, 0]).shape == (2, 3)
    assert d.log_prob(drawn[:, :1]).shape == (4, 2, 3)
    with pytest.raises(InputError, match=r"^value has shape \(5, 22, 3, 3\); expected \(\*samples, 2, 3, 22, 3, 3\)"):
        d.log_prob(drawn[:1, 0, 0].expand(5, 22, 3, 3))
    with pytest.raises(InputError, match=r"(17, 3, 3)"):
        d.log_prob(drawn[..., :17, :, :])


@pytest.mark.parametrize("name", ROTATIONS)
@batches
def test_rotations_are_rotations(name, batch):
    d = ROTATIONS[name](batch, F64)
    drawn = d.sample((4,), seed=0)
    eye = torch.eye(3, dtype=F64)
    torch.testing.assert_close(drawn.transpose(-1, -2) @ drawn, eye.expand(drawn.shape), rtol=0, atol=1e-6)
    assert (torch.linalg.det(drawn) > 0).all()
    for joint, joint_name in enumerate(d.skeleton.joints):
        if joint_name not in d.modelled:
            assert (drawn[..., joint, :, :] == eye).all()
    if not isinstance(d, RotationDistribution):
        return
    assert d.mean.shape == d.mode.shape == (*batch, 22, 3, 3)
    assert d.stddev.shape == (*batch, 22)
    assert d.joint_log_prob(drawn).shape == (4, *batch, len(d.modelled))
    poses, turned, offsets, density = d.positions().sample_with_rotations((4,), seed=0)
    assert poses.shape == (4, *batch, 17, 3)
    assert (turned.shape, offsets.shape) == ((4, *batch, 22, 3, 3), (4, *batch, 25, 3))
    assert density.shape == (4, *batch)


# -- shipped lifters -------------------------------------------------------------------------------------------

SHIPPED = sorted(list_shipped())


@pytest.fixture(scope="module", params=SHIPPED)
def lifter(request):
    return load(request.param)


@batches
def test_lifters_take_any_batch(lifter, batch):
    poses = lifter(people(batch))
    assert poses.batch_shape == batch
    assert repr(poses).startswith(f"{type(poses).__name__}(batch_shape={batch}, skeleton='h36m17'")
    drawn = poses.sample((4,), seed=0)
    assert drawn.shape == (4, *batch, 17, 3)
    assert drawn.isfinite().all()
    assert (drawn[..., 0, :] == 0).all()
    assert poses.mean.shape == poses.median.shape == poses.stddev.shape == (*batch, 17, 3)
    assert poses.visible.shape == (*batch, 17)
    region = poses.region(0.9)
    assert region.calibrated
    assert region.radius.shape == (*batch, 17)
    assert poses.hypotheses[0].shape[: len(batch)] == poses.cluster(2, 20)[1].shape[: len(batch)] == batch
    assert poses.expand((2, *batch)).region(0.9).radius.shape == (2, *batch, 17)
    if poses.has_density:
        assert poses.log_prob(drawn).shape == (4, *batch)
        assert poses.log_prob(drawn).isfinite().all()
        assert poses.mode.shape == (*batch, 17, 3)
    else:
        with pytest.raises(NotImplementedError, match="has no density"):
            poses.log_prob(drawn)


def test_lifters_answer_for_each_pose_of_a_batch_alike(lifter):
    """A batch of shape (2, 3), and the same people in a row: the same means and densities to float rounding."""
    if lifter.name == "rotations":  # its flows stretch float32's rounding to millimetres
        lifter = load("rotations").double()
    keypoints = people((2, 3))
    together, flat = lifter(keypoints), lifter(keypoints.flatten())
    torch.testing.assert_close(together.stddev.reshape(6, 17, 3), flat.stddev, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(together.mean.reshape(6, 17, 3), flat.mean, rtol=1e-3, atol=1e-4)
    if together.has_density:
        drawn = together.sample((4,), seed=0)
        expected = flat.log_prob(drawn.flatten(1, 2)).unflatten(1, (2, 3))
        torch.testing.assert_close(together.log_prob(drawn), expected, rtol=1e-3, atol=2e-2)


def test_lifters_means_are_those_of_many_samples(lifter):
    """Within 5 standard errors of 4000 draws and the fixed ones."""
    poses = lifter(people((2,)))
    drawn = poses.sample((4000,), seed=1)
    known = poses.summary_draws if isinstance(poses, SampledPoseDistribution) else 4000
    allowed = 5 * (1 / 4000 + 1 / known) ** 0.5
    assert ((drawn.mean(0) - poses.mean).abs() <= allowed * poses.stddev + 1e-6).all()
    assert ((drawn.std(0) - poses.stddev).abs() <= 2 * allowed * poses.stddev + 1e-6).all()


def test_lifters_do_not_see_what_is_hidden(lifter):
    """Bit for bit, whatever is stored where a joint is not visible."""
    visible = people((3,)).visible
    answers = []
    for junk in (0.0, -777.0, math.nan):
        xy = torch.where(visible.unsqueeze(-1), people((3,), visible=None).xy, junk)
        poses = lifter(Keypoints2D(xy, visible=visible, image_size=(1000, 1000)))
        answers.append((poses.sample((4,), seed=0), poses.mean, poses.region(0.9).radius))
    for answer in answers[1:]:
        assert all(torch.equal(a, b) for a, b in zip(answer, answers[0], strict=True))


def test_lifters_gradients(lifter):
    """`rsample` reaches weights of those that promise it."""
    weights = list(lifter.requires_grad_().parameters())
    try:
        poses = lifter(people((2,)))
        assert not poses.sample((2,), seed=0).requires_grad
        if not poses.has_rsample:
            with pytest.raises(NotImplementedError, match="has no samples with gradients"):
                poses.rsample((2,), seed=0)
            return
        drawn = poses.rsample((2,), seed=0)
        assert torch.equal(drawn.detach(), poses.sample((2,), seed=0))
        gradients = torch.autograd.grad(drawn.square().sum(), weights, allow_unused=True)
        reached = [gradient for gradient in gradients if gradient is not None]
        assert any(bool(gradient.any()) for gradient in reached)
        assert all(bool(gradient.isfinite().all()) for gradient in reached)
    finally:
        lifter.requires_grad_(False)
