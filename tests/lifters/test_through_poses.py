"""Rotations through the poses of another lifter: one draw of inverse kinematics for each of its samples."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import math

import numpy as np
import pytest
import torch

import poseterior as pp
from poseterior.distributions import RotationsThroughPoses, balls, through_poses
from poseterior.distributions.evidence import Evidence
from poseterior.evaluation.evidence import fit_evidence
from poseterior.files.errors import InputError
from poseterior.geometry.body import GROUPS, H36M_POINTS, SMPL25, log_group_ratios, rest_offsets
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import detector_noise as noise
from poseterior.lifters import load
from poseterior.lifters.rotations import RotationConfig, RotationLifter
from poseterior.lifting.draws import draw
from poseterior.lifting.poses import lift_for_motion

_TINY = {"width": 16, "blocks": 1, "context": 8, "trunk": 8, "layers": 2, "segments": 3, "hidden": 4}


@pytest.fixture(scope="module")
def tiny() -> RotationLifter:
    """A small network far from uniform, in double precision, that goes through the shipped mixture."""
    torch.manual_seed(0)
    lifter = RotationLifter(RotationConfig(through="mdn", **_TINY)).double().eval()  # type: ignore[arg-type]
    for parameter in lifter.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return lifter.requires_grad_(False)


@pytest.fixture(scope="module")
def shipped() -> RotationLifter:
    lifter = load("rotations")
    assert isinstance(lifter, RotationLifter)
    return lifter


def people(*batch: int) -> Keypoints2D:
    example = pp.example_keypoints()
    rows = torch.arange(math.prod(batch)) % len(example)
    xy = example.xy[rows] + torch.arange(len(rows))[:, None, None]
    return Keypoints2D(
        xy.reshape(*batch, *xy.shape[1:]),
        visible=example.visible[rows].reshape(*batch, xy.shape[1]),
        skeleton=example.skeleton,
        image_size=(640, 480),
    )


# -- where its poses come from ---------------------------------------------------------------------------------


def test_poses_are_those_of_the_other_lifters_samples(shipped):
    """With one seed, sample by sample: nearer to their own than to any other's, and 60 mm away at most on average."""
    keypoints = people(4)
    assert shipped.config.through == "flow"
    ours = shipped(keypoints).sample((20,), seed=3)
    theirs = load("flow")(keypoints).sample((20,), seed=3)
    own = (ours - theirs).norm(dim=-1).mean(-1)
    assert float(own.mean()) < 0.06
    others = (ours[:, None] - theirs[None]).norm(dim=-1).mean(-1) + torch.eye(20)[..., None]
    assert float((own < others.amin(1)).float().mean()) > 0.9


def test_every_draw_has_a_body_of_its_own_with_equal_sides(tiny):
    poses, rotations, offsets, density = tiny(people(3)).sample_with_rotations((6,), seed=0)
    assert (poses.shape, rotations.shape, offsets.shape) == ((6, 3, 17, 3), (6, 3, 22, 3, 3), (6, 3, 25, 3))
    assert bool(density.isnan().all())
    length = offsets.norm(dim=-1)
    torch.testing.assert_close(length[..., list(SMPL25.mirror)], length, rtol=1e-5, atol=1e-6)
    assert float(length[..., SMPL25.index("left_knee")].std(0).min()) > 1e-4
    positions = tiny.reader(people(3)).sample((6,), seed=0)
    thighs = [(positions[..., j + 1, :] - positions[..., j, :]).norm(dim=-1).log() for j in (1, 4)]
    usual = math.log(float(rest_offsets()[SMPL25.index("left_knee")].norm()))
    ratios = log_group_ratios(offsets)[..., list(GROUPS).index("thighs")]
    within = [(thigh - usual).clamp(math.log(0.3), math.log(3.0)) for thigh in thighs]  # nobody is beyond
    torch.testing.assert_close(ratios, (0.5 * (within[0] + within[1])).double(), atol=1e-4, rtol=0)


def test_a_known_body_is_in_every_draw(tiny):
    rotations = tiny(people(2)).rotations
    drawn = rotations.positions(1.05 * rest_offsets()).sample((4,), seed=0)
    shin = (drawn[..., 3, :] - drawn[..., 2, :]).norm(dim=-1)
    expected = 1.05 * float(rest_offsets()[SMPL25.index("right_ankle")].norm())
    torch.testing.assert_close(shin, torch.full_like(shin, expected), rtol=1e-5, atol=1e-6)
    assert rotations.positions(skeleton="smpl22").sample((2,), seed=0).shape == (2, 2, 22, 3)


def test_mean_covariance_and_rotations_are_of_the_same_draws(tiny):
    posterior = tiny(people(2))
    draws = posterior._draws_for_summary()
    torch.testing.assert_close(posterior.mean, draws.mean(0))
    turned = posterior.rotations._drawn()
    points = posterior.of_rotations(turned, rest_offsets(torch.float64).expand(len(turned), 2, 25, 3))
    towards = torch.nn.functional.normalize(draws[..., 1:7, :] - draws[..., :1, :], dim=-1)
    again = torch.nn.functional.normalize(points[..., 1:7, :] - points[..., :1, :], dim=-1)
    assert float((towards * again).sum(-1).mean()) > 0.9  # other lengths, the same turns
    assert posterior.rotations.mean.shape == (2, 22, 3, 3)
    assert posterior.rotations.stddev.shape == (2, 22)
    assert posterior.hypotheses[0].shape == (2, 8, 17, 3)


# -- company, seeds, hidden joints ------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (0,), (1,), (2, 3)])
def test_any_batch_shape(tiny, batch):
    keypoints = people(*batch) if batch else people(1)[0]
    posterior = tiny(keypoints)
    assert posterior.sample((3,), seed=0).shape == (3, *batch, 17, 3)
    assert posterior.rotations.sample((3,), seed=0).shape == (3, *batch, 22, 3, 3)
    assert posterior.rotations.sample((), seed=0).shape == (*batch, 22, 3, 3)
    assert posterior.rotations.mean.shape == (*batch, 22, 3, 3)
    assert repr(posterior.rotations).startswith("RotationsThroughPoses(batch_shape=")
    assert posterior.expand((2, *batch)).sample((3,), seed=0).shape == (3, 2, *batch, 17, 3)


def test_a_poses_draws_are_its_own(tiny):
    keypoints = people(5)
    together = tiny(keypoints).sample_with_rotations((7,), seed=2)
    alone = tiny(keypoints[3:4]).sample_with_rotations((7,), seed=2)
    for name in ("poses", "rotations", "offsets"):
        torch.testing.assert_close(getattr(together, name)[:, 3:4], getattr(alone, name), rtol=0, atol=1e-5)
    again = tiny(keypoints).sample((7,), seed=2)
    assert torch.equal(again, together.poses)
    assert float((tiny(keypoints).sample((7,), seed=4) - again).abs().max()) > 0.01
    first, second = tiny(keypoints).expand((2, 5)).sample((7,), seed=2).unbind(1)
    assert float((first - second).abs().max()) > 0.01
    stream = [tiny(keypoints).sample((2,), generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*stream)


def test_samples_and_those_of_the_region_are_the_same_together_as_apart(tiny):
    posterior = tiny(people(3))
    draws, drawn = posterior.draw_together(5, seed=3)
    apart = posterior.sample_with_rotations((5,), seed=3)
    for name in ("poses", "rotations", "offsets"):
        torch.testing.assert_close(getattr(draws, name), getattr(apart, name), rtol=0, atol=1e-6)
    assert (drawn.number, drawn.seed) == (balls.SAMPLES, balls.SEED)
    torch.testing.assert_close(drawn.poses, posterior.sample((balls.SAMPLES,), seed=balls.SEED), rtol=0, atol=1e-6)
    region, expected = posterior.region(0.9, drawn), posterior.region(0.9)
    torch.testing.assert_close(region.radius, expected.radius, rtol=0, atol=1e-6)
    same, once = posterior.draw_together(balls.SAMPLES, balls.SEED)
    assert once.poses is same.poses


def test_who_writes_a_motion_alone_gets_the_same_rotations_and_the_regions_that_are_shown(shipped):
    keypoints = people(5)
    whole = pp.lift(shipped, keypoints, samples=6, seed=1)
    result, shown = lift_for_motion(shipped, keypoints, samples=6, seed=1, shown=2)
    for one, other in ((result, whole), (shown, whole[:2])):
        # Of other numbers of rows products round otherwise, and now and then a flow stretches that.
        away = np.abs(one.samples - other.samples).max((-1, -2))
        assert np.median(away) < 1e-4
        assert (one.settings, one.seed, one.lifter) == (other.settings, other.seed, other.lifter)
    apart = np.abs((result.rotations.rotations * whole.rotations.rotations).sum(-1))
    assert np.quantile(apart, 0.1) > 1 - 1e-5
    np.testing.assert_allclose(result.rotations.offsets, whole.rotations.offsets, atol=1e-5)
    assert shown.calibrated
    # Of the 100 draws of the second region one is stretched so, which may be the one that a radius ends at.
    apart = np.abs(shown.region_radius - whole.region_radius[:2])
    assert np.quantile(apart, 0.9) < 1e-3
    assert apart.max() < 0.02
    assert not result.calibrated  # the samples' own, which say so


def test_a_few_are_turned_as_all_are_and_bodies_are_those_of_all(tiny, monkeypatch):
    posterior = tiny(people(3))
    whole = posterior.sample_with_rotations((7,), seed=3)
    for rows in (6400, 4):
        monkeypatch.setattr(through_poses, "_ROWS", rows)
        first, offsets = posterior.draw_turned(7, 2, seed=3)
        for name in ("poses", "rotations", "offsets"):
            torch.testing.assert_close(getattr(first, name), getattr(whole, name)[:2], rtol=0, atol=1e-8)
        assert bool(first.log_prob.isnan().all())
        torch.testing.assert_close(offsets, whole.offsets, rtol=0, atol=1e-12)
    known = posterior.rotations.positions(1.05 * rest_offsets())
    torch.testing.assert_close(known.draw_turned(7, 2, seed=3)[0].poses, known.sample((7,), seed=3)[:2])


def test_of_rotations_with_a_density_a_few_are_the_first_of_all(tiny):
    lifter = copy.copy(tiny)
    lifter.config = dataclasses.replace(tiny.config, through="none")
    posterior = lifter(people(3))
    whole = posterior.sample_with_rotations((7,), seed=3)
    first, offsets = posterior.draw_turned(7, 2, seed=3)
    assert torch.equal(first.rotations, whole.rotations[:2])
    assert torch.equal(first.log_prob, whole.log_prob[:2])
    assert torch.equal(offsets, whole.offsets)


def unplaced(keypoints: Keypoints2D) -> Keypoints2D:
    """The same of a picture of unknown size: nobody knows where they stand."""
    return Keypoints2D(keypoints.xy, visible=keypoints.visible, skeleton=keypoints.skeleton)


def test_a_motion_that_looks_at_a_few_samples_gets_these_and_the_body_of_all(shipped):
    keypoints = unplaced(people(4))
    whole = pp.lift(shipped, keypoints, samples=6, seed=1)
    result, shown = lift_for_motion(shipped, keypoints, samples=6, seed=1, shown=2, turned=2)
    assert result.rotations.rotations.shape == (4, 2, 22, 4)
    apart = np.abs((result.rotations.rotations * whole.rotations.rotations[:, :2]).sum(-1))
    assert np.quantile(apart, 0.1) > 1 - 1e-5
    np.testing.assert_allclose(result.rotations.offsets, whole.rotations.offsets, atol=1e-5)
    np.testing.assert_array_equal(result.rotations.root, whole.rotations.root)
    assert shown.samples.shape == (2, 6, 17, 3)
    assert np.median(np.abs(shown.samples - whole.samples[:2])) < 1e-4
    assert (shown.settings, shown.calibrated) == (whole.settings, True)


def test_a_camera_places_the_mean_of_the_samples_that_are_turned(shipped):
    """As near to where the mean of three times as many stands as that of other draws is."""
    few, _ = lift_for_motion(shipped, people(5), samples=200, seed=1, turned=64)
    assert few.rotations.rotations.shape[1] == 64
    many, other = (lift_for_motion(shipped, people(5), samples=200, seed=seed)[0].rotations.root for seed in (1, 2))
    away, usual = (np.linalg.norm(root - many, axis=-1) / many[:, 2] for root in (few.rotations.root, other))
    assert np.median(away) < 0.01
    assert np.median(away) < 2 * np.median(usual)
    assert (few.rotations.root[:, 2] > 0.1).all()


def test_hidden_joints_change_nothing(tiny):
    keypoints = people(3)
    visible = torch.ones_like(keypoints.visible)
    visible[:, 9:] = False
    answers = []
    for junk in (0.0, -500.0, math.nan):
        xy = torch.where(visible.unsqueeze(-1), keypoints.xy, junk)
        given = Keypoints2D(xy, visible=visible, skeleton=keypoints.skeleton, image_size=(640, 480))
        answers.append(tiny(given).sample_with_rotations((3,), seed=0))
    for answer in answers[1:]:
        assert torch.equal(answer.poses, answers[0].poses)
        assert torch.equal(answer.rotations, answers[0].rotations)


def test_a_hidden_arm_is_more_uncertain(shipped):
    keypoints = people(4).as_skeleton("h36m17")
    visible = keypoints.visible.clone()
    visible[:, 11:14] = False  # the left arm
    hidden = keypoints._replace(visible=visible)
    elbow = 12
    seen, lost = shipped(keypoints).stddev[:, elbow].norm(dim=-1), shipped(hidden).stddev[:, elbow].norm(dim=-1)
    assert float((lost / seen).median()) > 1.5


# -- no density --------------------------------------------------------------------------------------------------


def test_there_is_no_density(tiny):
    rotations = tiny(people(2)).rotations
    assert isinstance(rotations, RotationsThroughPoses)
    assert not rotations.has_density
    value = rotations.sample((2,), seed=0)
    for ask in (rotations.log_prob, rotations.joint_log_prob):
        with pytest.raises(NotImplementedError, match=r"^RotationsThroughPoses has no density: log_prob"):
            ask(value)
    with pytest.raises(NotImplementedError, match="has no density"):
        rotations.sample_and_log_prob((2,), seed=0)
    with pytest.raises(NotImplementedError, match="has no density, so no mode; use mean"):
        _ = rotations.mode
    with pytest.raises(NotImplementedError, match="bodies come with their rotations"):
        rotations.offsets(value)


def test_results_without_densities_have_motions(tiny):
    keypoints = people(4)
    lifter = tiny.float()
    try:
        result = pp.lift(lifter, keypoints, samples=6)
        motion = result.motion()
        assert bool(torch.from_numpy(motion.log_prob).isnan().all())
        for how in ("mean", "path", "samples", "clusters"):
            assert motion.choose(how).shape == (4, 1, 22, 4)
        with pytest.raises(InputError, match=r"^how: the rotations of rotations have no density, so that no sample is"):
            motion.choose("best")
        with pytest.raises(InputError, match=r"^mode: these rotations are those of another lifter's poses"):
            pp.lift(lifter, keypoints, samples=6, mode=True)
    finally:
        lifter.double()


def test_the_networks_own_answer_is_still_there(tiny):
    keypoints = people(2).as_skeleton("h36m17")
    own = tiny.own_rotations(keypoints)
    drawn, density = own.sample_and_log_prob((3,), seed=0)
    torch.testing.assert_close(own.log_prob(drawn), density, atol=1e-6, rtol=1e-6)
    pure = RotationLifter(dataclasses.replace(tiny.config, through="none")).double()
    pure.load_state_dict(tiny.state_dict())
    torch.testing.assert_close(pure.rotations(keypoints).log_prob(drawn), density, atol=1e-6, rtol=1e-6)
    assert pure.reader is pure


# -- the other lifter ---------------------------------------------------------------------------------------------


def test_the_other_lifter_is_no_part_of_the_weights(tiny, tmp_path):
    _ = tiny.reader
    assert not any("_others" in name for name in tiny.state_dict())
    assert sum(p.numel() for p in tiny.parameters()) < 100_000
    tiny.save_pretrained(tmp_path / "weights")
    again = load(tmp_path / "weights")
    assert again.config == tiny.config
    # In single precision for both: random numbers are others in double.
    torch.testing.assert_close(
        again(people(2)).sample((2,), seed=0), copy.deepcopy(tiny).float()(people(2)).sample((2,), seed=0)
    )


def test_its_evidence_counts_unless_it_is_off(tiny, tmp_path, monkeypatch):
    tiny.save_pretrained(tmp_path / "weights")
    seen: list[bool] = []
    base = importlib.import_module("poseterior.lifters.rotations")
    original = base.load
    monkeypatch.setattr(base, "load", lambda *a, **k: seen.append(k["evidence"]) or original(*a, **k))
    _ = load(tmp_path / "weights").reader
    assert seen == [True]
    _ = load(tmp_path / "weights", evidence=False).reader
    assert seen[-1] is False


def test_a_wrong_sigma_is_told_by_the_lifter_that_reads_the_keypoints(tiny, monkeypatch):
    reader = tiny.reader
    monkeypatch.setattr(reader, "evidence", Evidence())
    asked: list[object] = []
    monkeypatch.setattr(
        noise, "noise_evidence", lambda mean, part, evidence: asked.append(evidence) or torch.full((len(part),), 1.0)
    )
    factor = noise.noise_factors(tiny, people(10).as_skeleton("h36m17"))
    assert asked == [reader.evidence]
    torch.testing.assert_close(factor, torch.full((10,), math.e))


def test_evidence_is_measured_on_the_lifter_that_reads_the_keypoints(tiny):
    with pytest.raises(InputError, match=r"^evidence: 'rotations' goes through the poses of another lifter, whose"):
        fit_evidence(tiny, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("through", "flaw", "lifter.through: expected one of none, flow, mdn, relative, rotations, supervised, "),
        ("through", "/tmp/weights", "lifter.through: expected one of none, flow, "),
        ("through", 3, "lifter.through: expected one of none, flow, "),
        ("misfit", -0.1, "lifter.misfit: expected a number from 0.0 to 0.2, got -0.1"),
    ],
)
def test_bad_settings_are_refused(field, value, message):
    with pytest.raises(InputError) as raised:
        RotationConfig(**{field: value})
    assert str(raised.value).startswith(message)


def test_going_through_rotations_is_refused():
    lifter = RotationLifter(RotationConfig(through="rotations", **_TINY))  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=r"^lifter.through: 'rotations' does not lift positions of h36m17; name 'flow' or 'mdn'$"
    ):
        lifter(people(1))


# -- accuracy ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_is_as_accurate_as_the_lifter_it_goes_through(shipped):
    """On simulated people of the shipped body and the prior's poses: mean errors within 5 % and 2 mm."""
    from poseterior.geometry.body import body_points
    from poseterior.geometry.cameras import project

    rotations = shipped.prior((200,)).sample(seed=5)
    points, _ = body_points(rotations, rest_offsets().expand(200, 25, 3))
    truth = points[:, H36M_POINTS] - points[:, H36M_POINTS[:1]]
    camera = torch.tensor([1000.0, 1000.0, 500.0, 500.0]).expand(200, 4)
    xy = project(truth + torch.tensor([0.0, 0.0, 4.0]), camera)
    keypoints = Keypoints2D(xy, image_size=(1000, 1000), intrinsics=camera)
    errors = [
        1000 * float((lifter(keypoints).sample((100,), seed=0).mean(0) - truth).norm(dim=-1).mean())
        for lifter in (shipped, load("flow"))
    ]
    assert errors[0] <= 1.05 * errors[1] + 2


# -- in parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
def test_how_many_draws_are_turned_together_changes_nothing(tiny, monkeypatch, batch):
    posterior = tiny.rotations(people(*batch))
    with torch.no_grad():
        whole = posterior.positions().sample_with_rotations((7,), seed=2)
        monkeypatch.setattr(through_poses, "_ROWS", 2 * math.prod(batch))
        parts = posterior.positions().sample_with_rotations((7,), seed=2)
    for one, other in zip(whole[:3], parts[:3], strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=0)
    assert parts.log_prob.shape == (7, *batch)
    assert bool(parts.log_prob.isnan().all())


def test_regions_are_made_of_the_samples_that_were_drawn(tiny, monkeypatch):
    keypoints, counted, draw_bodies = people(3), [], RotationsThroughPoses._draw_bodies
    monkeypatch.setattr(
        RotationsThroughPoses, "_draw_bodies", lambda self, *given: counted.append(1) or draw_bodies(self, *given)
    )
    lifter = copy.copy(tiny)
    lifter.recalibration = None
    (found,) = draw(lifter, keypoints, balls.SAMPLES, balls.SEED)
    assert len(counted) == 1  # neither for the mean nor for the region again
    expected = lifter(keypoints).region(0.9)
    torch.testing.assert_close(found.region.radius, expected.radius)
    torch.testing.assert_close(found.region.centre, expected.centre)
