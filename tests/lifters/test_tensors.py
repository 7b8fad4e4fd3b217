"""Modules of tensors say what their lifters say."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import poseterior as pp
from invented_people import invented_people
from poseterior.distributions.evidence import Evidence, evidence_map
from poseterior.distributions.exported_evidence import moment_map
from poseterior.distributions.given import GivenEvidence
from poseterior.distributions.regions import region_of
from poseterior.files.errors import InputError
from poseterior.lifters.flow import FlowConfig, FlowLifter
from poseterior.lifters.reach import within_reach, within_reach_of_all

EXPORTED = ("mdn", "supervised", "flow", "relative", "unsupervised")


def noise_for(module: torch.nn.Module, samples: int, poses: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(samples, poses, module.noise_width, generator=generator)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", EXPORTED)
def test_mean_and_covariance_are_the_lifters(name: str) -> None:
    """With every kind of camera, hidden joints, noise beyond what networks know, told and untold heights."""
    people = invented_people(60)
    lifter = pp.load(name)
    module = lifter.to_module()
    with torch.no_grad():
        lifted, posterior = module(*module.inputs(people), noise_for(module, 2, 60)), lifter(people)
    torch.testing.assert_close(lifted.mean, posterior.mean, atol=2e-6, rtol=0)
    torch.testing.assert_close(lifted.joint_covariance, posterior.covariance, atol=2e-6, rtol=0)


@pytest.mark.parametrize("evidence", [True, False])
@pytest.mark.parametrize("name", ["mdn", "supervised"])
def test_samples_are_the_lifters(name: str, evidence: bool) -> None:
    """Of the same distribution: their mean and spread, joint by joint, to what 16,000 samples tell."""
    people = invented_people(6)
    lifter = pp.load(name, evidence=evidence)
    module = lifter.to_module()
    with torch.no_grad():
        samples = module(*module.inputs(people), noise_for(module, 16_000, 6)).samples
        theirs = lifter(people).sample((16_000,), seed=0)
    spread = theirs.std(0).clamp(min=1e-6)
    assert float(((samples.mean(0) - theirs.mean(0)) / spread).abs().max()) < 6 / math.sqrt(8000)
    ratio = (samples.std(0) / spread)[:, 1:]
    assert float((ratio - 1).abs().max()) < 0.12
    quantiles = torch.tensor([0.05, 0.5, 0.95])
    gap = torch.quantile(samples[..., 1:, :], quantiles, 0) - torch.quantile(theirs[..., 1:, :], quantiles, 0)
    assert float((gap / spread[:, 1:]).abs().max()) < 0.25


def test_the_flows_samples_are_those_of_its_latents() -> None:
    people = invented_people(10)
    lifter = pp.load("flow")
    module = lifter.to_module()
    noise = noise_for(module, 50, 10)
    with torch.no_grad():
        posterior = lifter(people)
        assert isinstance(posterior, GivenEvidence)
        theirs = posterior._moved(posterior.base.from_latent(noise))  # type: ignore[attr-defined]
        ours = module(*module.inputs(people), noise).samples
    torch.testing.assert_close(ours, theirs, atol=5e-6, rtol=0)


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_radii_are_those_of_the_samples(name: str, level: float) -> None:
    people = invented_people(8)
    lifter = pp.load(name)
    module = lifter.to_module(level)
    with torch.no_grad():
        lifted = module(*module.inputs(people), noise_for(module, 200, 8))
    region = region_of(lifted.samples, lifter.skeleton, level, lifter.recalibration, people.visible)
    assert module.calibrated
    assert module.region_samples == 200
    torch.testing.assert_close(lifted.centre, region.centre, atol=0, rtol=0)
    torch.testing.assert_close(lifted.radius, region.radius, atol=1e-6, rtol=1e-5)


def test_few_samples_make_radii_too_small_as_the_page_says() -> None:
    people = pp.example_keypoints().as_skeleton("h36m17")[:1]
    people = type(people).cat([people] * 40)
    module = pp.load("mdn").to_module()

    def radius(samples: int) -> float:
        with torch.no_grad():
            return float(module(*module.inputs(people), noise_for(module, samples, 40)).radius.mean())

    enough = radius(200)
    assert 0.9 * enough < radius(20) < enough
    assert 0.72 * enough < radius(5) < 0.92 * enough
    assert radius(1) < 0.01 * enough


def test_wrong_keypoints_are_told_by_their_covariances() -> None:
    """Shares of wrong keypoints are no input of the module; its inputs hold what the lifter makes of them."""
    people = pp.example_keypoints().as_skeleton("h36m17")
    moved = people.xy.clone()
    moved[:, people.skeleton.index("left_wrist")] += 2.0 * people.size.unsqueeze(-1)
    people = people._replace(xy=moved, outliers=torch.full_like(people.visible, 0.05, dtype=torch.float32))
    lifter = pp.load("mdn")
    module = lifter.to_module()
    noise = noise_for(module, 2, len(people))
    inputs = module.inputs(people)
    with torch.no_grad():
        lifted, posterior = module(*inputs, noise), lifter(people)
    assert bool((inputs[1] > 1.5 * people.covariance).any())
    torch.testing.assert_close(lifted.mean, posterior.mean, atol=2e-6, rtol=0)
    torch.testing.assert_close(lifted.joint_covariance, posterior.covariance, atol=2e-6, rtol=0)


def test_making_a_module_draws_no_random_numbers() -> None:
    lifter = pp.load("mdn")
    before = torch.random.get_rng_state()
    lifter.to_module()
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("way", ["traced", "exported"])
@pytest.mark.parametrize("learning", [True, False])
def test_a_flow_can_be_written_down(way: str, learning: bool) -> None:
    """With and without gradients, for other numbers of poses and samples, with no operator of one processor's."""
    torch.manual_seed(0)
    lifter = FlowLifter(FlowConfig(layers=2, hidden=8, context=8, width=8, blocks=1)).eval()
    lifter.evidence = Evidence()
    module = lifter.to_module()
    few, many = invented_people(3), invented_people(60)
    example = (*module.inputs(few), noise_for(module, 5, 3))
    with torch.set_grad_enabled(learning):
        if way == "traced":
            written = torch.jit.trace(module, example, check_trace=False)
            assert "mkldnn" not in str(written.inlined_graph)
        else:
            free = torch.export.Dim.DYNAMIC
            shapes = ({0: free},) * 6 + ({0: free, 1: free},)
            program = torch.export.export(module, example, dynamic_shapes=shapes)
            assert "mkldnn" not in str(program.graph)
            written = program.module()
    inputs = (*module.inputs(many), noise_for(module, 70, 60))
    with torch.no_grad():
        for ours, theirs in zip(written(*inputs), module(*inputs), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_a_hidden_joint_says_nothing() -> None:
    people = invented_people(5)
    module = pp.load("mdn").to_module()
    noise = noise_for(module, 3, 5)
    xy, covariance, visible, *camera = module.inputs(people)
    hidden = ~visible
    with torch.no_grad():
        before = module(xy, covariance, visible, *camera, noise)
        after = module(
            torch.where(hidden.unsqueeze(-1), 1e6, xy), torch.where(hidden[..., None, None], 7.0, covariance),
            visible, *camera, noise,
        )  # fmt: skip
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a, b)


def test_a_pose_does_not_depend_on_its_company() -> None:
    people = invented_people(5)
    module = pp.load("flow").to_module()
    noise = noise_for(module, 4, 5)
    with torch.no_grad():
        together = module(*module.inputs(people), noise)
        alone = module(*module.inputs(people[3:4]), noise[:, 3:4])
    torch.testing.assert_close(together.samples[:, 3:4], alone.samples, atol=2e-5, rtol=0)


def test_the_map_by_products_is_that_of_eigenvectors() -> None:
    people = invented_people(50)
    with torch.no_grad():
        mean, covariance = (part.double() for part in pp.load("mdn", evidence=False)(people).joint_moments)
        for evidence in (Evidence(), Evidence(coarseness=0.05)):
            ours, theirs = (
                moment_map(mean, covariance, people, evidence),
                evidence_map(mean, covariance, people, evidence),
            )
            torch.testing.assert_close(ours.after, theirs.after, atol=1e-6, rtol=0)
            torch.testing.assert_close(ours.forward, theirs.forward, atol=1e-5, rtol=0)
            spread = theirs.forward @ covariance @ theirs.forward.mT
            torch.testing.assert_close(ours.covariance(covariance), spread, atol=1e-7, rtol=0)


def test_the_map_of_keypoints_that_say_nothing_is_the_identity() -> None:
    people = invented_people(4)
    one = people.visible.clone()
    one[0, 1:] = False
    one[1] = False
    people = people._replace(visible=one, image_size=people.image_size.index_fill(0, torch.tensor(2), float("nan")))
    people = people._replace(intrinsics=people.intrinsics.index_fill(0, torch.tensor(2), float("nan")))
    with torch.no_grad():
        mean, covariance = (part.double() for part in pp.load("mdn", evidence=False)(people).joint_moments)
    by = moment_map(mean, covariance, people, Evidence())
    assert torch.equal(by.after[:3], by.before[:3])
    identity = torch.eye(48, dtype=torch.float64)
    torch.testing.assert_close(by.forward[:3], identity.expand(3, -1, -1), atol=0, rtol=0)
    assert float((by.forward[3] - identity).abs().max()) > 0.1


def test_reach_without_questions_is_the_same() -> None:
    people = invented_people(30)
    for wider in (people, people.with_noise(torch.full((30,), 4.0)), people.with_noise(torch.full((30,), 40.0))):
        ours, theirs = within_reach_of_all(wider), within_reach(wider)
        assert torch.equal(ours.visible, theirs.visible)
        torch.testing.assert_close(ours.covariance, theirs.covariance, atol=0, rtol=0)


def test_who_has_no_module_is_told() -> None:
    with pytest.raises(InputError, match=r"lifter 'rotations' cannot be exported: .* can: 'mdn', 'flow', "):
        pp.load("rotations").to_module()
    spline = FlowLifter(FlowConfig(coupling="spline", layers=1, hidden=8, context=8, width=8, blocks=1))
    with pytest.raises(InputError, match="lifter 'flow' cannot be exported: its couplings are splines"):
        spline.to_module()


def test_levels_are_those_with_a_guarantee() -> None:
    with pytest.raises(InputError, match="level: expected a probability above 0 and below 1"):
        pp.load("mdn").to_module(1.5)
    with pytest.raises(InputError, match=r"level 0\.9999: the regions of this lifter are calibrated for levels up to"):
        pp.load("mdn").to_module(0.9999)


@pytest.mark.parametrize("name", ["mdn", "flow", "supervised"])
def test_keypoints_that_claim_to_be_exact_are_lifted_alike(name):
    seen = pp.example_keypoints().as_skeleton("h36m17")
    exact = seen._replace(covariance=torch.zeros(*seen.xy.shape, 2))
    module = pp.load(name).to_module()
    noise = torch.randn(4, len(exact), module.noise_width, generator=torch.Generator().manual_seed(0))
    lifted = module(*module.inputs(exact), noise)
    assert all(part.isfinite().all() for part in lifted)
    torch.testing.assert_close(lifted.mean, pp.load(name)(exact).mean, rtol=0, atol=1e-5)
