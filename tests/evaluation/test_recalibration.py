"""Regions: exact on known distributions, right after calibration, and files that are refused in plain words."""

import dataclasses
import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import SHARED
from poseterior.data.observations import Observations
from poseterior.distributions.balls import balls
from poseterior.distributions.delta import DeltaPoseDistribution
from poseterior.distributions.independent import IndependentPoseDistribution
from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.distributions.recalibration import CLASSES, MISSING_GROUPS, Recalibration, stretched
from poseterior.distributions.regions import region_of
from poseterior.evaluation.calibrate import coverage, fit, fit_distances, halves
from poseterior.evaluation.conformal import conformal_quantile
from poseterior.evaluation.coverage import coverage_of
from poseterior.evaluation.distances import Distances, measure
from poseterior.files.errors import InputError
from poseterior.geometry.cameras import project
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import Lifter, LifterConfig, list_shipped, load, method

BODY = SKELETONS["h36m17"]
#: Standard deviation in metres of the made-up truth, where a joint is visible and where it is not.
SEEN, HIDDEN = 0.02, 0.1
#: Quantiles of the chi distribution of 3 degrees of freedom: distances of a standard normal in space.
CHI3 = {0.05: 0.5931, 0.25: 1.1011, 0.5: 1.5382, 0.75: 2.0269, 0.9: 2.5003, 0.95: 2.7955, 0.99: 3.3682}


class Toy(Lifter):
    """Answers with zero-mean Gaussians: the truth's own if both factors are 1."""

    def __init__(self, visible: float = 1.0, missing: float = 1.0) -> None:
        super().__init__(LifterConfig())
        self.factors = visible, missing

    def distribution(self, keypoints: Keypoints2D):
        seen, hidden = self.factors
        scale = torch.where(keypoints.visible, seen * SEEN, hidden * HIDDEN)[..., 1:, None]
        loc = torch.zeros(*keypoints.batch_shape, 17, 3, device=keypoints.device)
        return IndependentPoseDistribution(loc, scale.expand(*scale.shape[:-1], 3))


class Point(Toy):
    def distribution(self, keypoints: Keypoints2D):
        return DeltaPoseDistribution(torch.zeros(*keypoints.batch_shape, 17, 3))


def made_up(count: int, seed: int = 0, hide: float = 0.3) -> Observations:
    """Poses whose joints are where `Toy` says, with joints hidden and others unknown."""
    generator = torch.Generator().manual_seed(seed)
    visible = torch.rand(count, 17, generator=generator) > hide * torch.rand(count, 1, generator=generator).round()
    pose = torch.randn(count, 17, 3, generator=generator) * torch.where(visible, SEEN, HIDDEN).unsqueeze(-1)
    pose[:, 0] = 0.0
    observed = torch.rand(count, 17, generator=generator) > 0.05
    pose = torch.where(observed.unsqueeze(-1), pose, float("nan"))
    keypoints = Keypoints2D(torch.zeros(count, 17, 2), visible=visible)
    return Observations(keypoints, pose, observed, torch.zeros(count, 3), torch.arange(count))


@pytest.fixture(scope="module")
def known() -> Observations:
    return made_up(6000)


@pytest.fixture(scope="module")
def fresh() -> Observations:
    return made_up(6000, seed=1)


# -- the plain region --------------------------------------------------------------------------------------


def test_plain_region_of_a_gaussian():
    """A chi distribution of 3 degrees: its 0.9-quantile is 2.5003 standard deviations."""
    toy = Toy()
    keypoints = Keypoints2D(torch.arange(300.0)[:, None, None].expand(300, 17, 2))  # people of their own
    region = toy(keypoints).region(0.9)
    assert not region.calibrated
    assert region.centre.shape == (300, 17, 3)
    assert region.radius.shape == region.pose_radius.shape == (300, 17)
    assert float(region.radius[:, 1:].mean()) == pytest.approx(2.5003 * SEEN, rel=0.01)
    assert bool((region.radius[:, 0] == 0).all())
    # Sixteen independent joints are all inside with probability 0.9 at the level 0.9 ** (1 / 16): 3.5003.
    assert float(region.pose_radius[:, 1:].mean()) == pytest.approx(3.5003 * SEEN, rel=0.01)


def test_regions_contain_their_centre_and_not_what_is_far():
    region = Toy()(Keypoints2D(torch.zeros(4, 17, 2))).region(0.5)
    assert bool(region.contains(region.centre).all())
    assert bool(region.contains_pose(region.centre).all())
    far = region.centre.clone()
    far[1, 3] += 10.0
    far[2, 5] = float("nan")
    assert region.contains(far).sum(-1).tolist() == [17, 16, 16, 17]
    assert region.contains_pose(far).tolist() == [True, False, False, True]
    observed = torch.ones(4, 17, dtype=torch.bool)
    observed[1, 3] = observed[2, 5] = False
    assert bool(region.contains_pose(far, observed).all())


def test_regions_of_many_poses_at_once():
    """Samples before the batch, any batch shape, none at all."""
    region = Toy()(Keypoints2D(torch.zeros(2, 3, 17, 2))).region()
    assert region.radius.shape == (2, 3, 17)
    assert region.contains(torch.zeros(7, 2, 3, 17, 3)).shape == (7, 2, 3, 17)
    assert Toy()(Keypoints2D(torch.zeros(17, 2))).region().contains_pose(torch.zeros(17, 3)).shape == ()


def test_wider_levels_have_wider_balls():
    poses = Toy()(Keypoints2D(torch.zeros(5, 17, 2)))
    regions = [poses.region(level) for level in (0.1, 0.5, 0.9, 0.99)]
    for small, large in itertools.pairwise(regions):
        assert bool((small.radius <= large.radius).all())
        assert bool((small.pose_radius <= large.pose_radius).all())
    for region in regions:
        assert bool((region.radius <= region.pose_radius).all())


@pytest.mark.parametrize("level", [0, 1, -0.1, 90, float("nan"), "0.9", True])
def test_levels_are_probabilities(level):
    poses = Toy()(Keypoints2D(torch.zeros(17, 2)))
    with pytest.raises(InputError, match=r"level: expected a probability above 0 and below 1, e.g. 0.9, got"):
        poses.region(level)


def test_distributions_without_a_lifter_have_regions_too():
    one = torch.eye(3).expand(1, 16, 3, 3)
    poses = MixturePoseDistribution(torch.zeros(1), torch.zeros(1, 16, 3), 0.1 * one)
    assert float(poses.region().radius[1:].mean()) == pytest.approx(0.25, rel=0.05)


# -- conformal quantiles -----------------------------------------------------------------------------------


def test_conformal_quantile_by_hand():
    scores = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 6.0, 8.0, 7.0])
    assert float(conformal_quantile(scores, 0.9)) == 9.0  # the ceil(10 * 0.9)-th
    assert float(conformal_quantile(scores, 0.5)) == 5.0
    assert float(conformal_quantile(scores, 0.01)) == 1.0
    assert math.isinf(conformal_quantile(scores, 0.95))


@pytest.mark.parametrize(("count", "level"), [(19, 0.9), (37, 0.8), (200, 0.99)])
def test_conformal_quantiles_hold_what_they_promise(count, level):
    """Over many draws of calibration and test scores: probability ``level`` to ``level + 1 / (n + 1)``."""
    trials = 100_000 if count < 100 else 20_000
    scores = torch.rand(trials, count + 1, generator=torch.Generator().manual_seed(0))
    share = float((scores[:, 0] <= conformal_quantile(scores[:, 1:], level)).float().mean())
    slack = 4 * math.sqrt(level * (1 - level) / trials)
    assert level - slack <= share <= level + 1 / (count + 1) + slack


# -- fitting -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def right() -> Recalibration:
    """Of a lifter that is right, fitted on plenty."""
    return fit(Toy(), made_up(12_000), samples=100)


def test_a_right_lifter_needs_nothing(right):
    """Its radii, seen and missing, are those of the truth's distribution: within 2 %, in the tails within 5 %."""
    visible = torch.tensor([[True] * 17, [False] * 17])
    deviation = torch.where(visible, SEEN, HIDDEN)
    for level, quantile in CHI3.items():
        # The centre, a median of 100 samples, errs by itself.
        expected = quantile * deviation[:, 1:] * math.sqrt(1 + math.pi / 2 / 100)
        found = right.radii(level, visible, 2.5003 * deviation)[0][:, 1:]
        tolerance = 0.02 if 0.25 <= level <= 0.95 else 0.05
        # Over 6 runs ± 0.004 at most, ± 0.03 for a joint at 0.05 and 0.99, ± 0.017 between.
        assert float((found / expected).mean()) == pytest.approx(1.0, abs=tolerance), level
        assert float((found / expected - 1).abs().max()) < 5 * tolerance, level


def test_a_right_lifter_of_changing_spread_keeps_its_exponent():
    """Where the lifter knows that one pose is harder than another, the spread follows its radii."""
    hardness = 0.5 + 4 * torch.rand(20_000, 1, generator=torch.Generator().manual_seed(2))
    distances = synthetic(20_000, hardness=hardness)
    found = fit_distances(distances)
    for c in CLASSES:
        for name in BODY.joints[1:]:
            assert found.exponent[c][name] == pytest.approx(1.0, abs=0.15), (c, name)  # ± 0.03
    ratio = found.radii(0.9, distances.visible, distances.shape)[0][:, 1:] / distances.shape[:, 1:]
    for part in (hardness < 1, hardness > 4):
        assert float(ratio[part[:, 0]].mean()) == pytest.approx(1.0, abs=0.02)


def test_a_lifter_whose_radii_say_nothing_is_not_believed():
    """Radii ten times too large in some poses at random: truths follow none of them, so that none matters."""
    luck = torch.exp(torch.randn(20_000, 17, generator=torch.Generator().manual_seed(3)))
    distances = synthetic(20_000)
    found = fit_distances(dataclasses.replace(distances, shape=distances.shape * luck))
    assert max(found.exponent[c][j] for c in CLASSES for j in BODY.joints[1:]) <= 0.15  # 0.04 ± 0.02
    held = synthetic(20_000, seed=1)
    single, _ = found.radii(0.9, held.visible, held.shape * luck.flip(0))
    assert float(single[held.visible][single[held.visible] > 0].mean()) == pytest.approx(2.5003 * SEEN, rel=0.02)


@pytest.mark.parametrize(("visible", "missing"), [(0.5, 0.5), (2.0, 2.0), (0.5, 2.0)])
def test_wrong_spreads_are_mended(known, fresh, visible, missing):
    toy = Toy(visible, missing)
    ours = fit(toy, known, samples=50)
    distances = measure(toy, fresh, samples=50)
    before, after = coverage_of(distances), coverage_of(distances, recalibration=ours)
    assert abs(before["mean"] - 0.9) > 0.05
    assert not before["calibrated"]
    assert after["calibrated"]
    # Over 6 runs 0.9010 ± 0.0015, ± 0.006 for a joint, ± 0.002 seen and hidden, ± 0.006 for the whole pose.
    assert after["mean"] == pytest.approx(0.9, abs=0.007)
    assert all(share == pytest.approx(0.9, abs=0.026) for share in after["per joint"].values())
    assert after["visible"]["mean"] == pytest.approx(0.9, abs=0.01)
    assert after["missing"]["mean"] == pytest.approx(0.9, abs=0.012)
    assert after["pose"] == pytest.approx(0.9, abs=0.026)
    assert set(after["pose by missing"]) == set(MISSING_GROUPS)
    for share in after["pose by missing"].values():
        assert share == pytest.approx(0.9, abs=0.048)  # ± 0.011 at most
    assert after["calibration error"] < 0.012 < before["calibration error"]
    for name, deviation, factor in (("visible", SEEN, visible), ("missing", HIDDEN, missing)):
        # The centre, a median of 50 samples, errs by itself.
        expected = 2500.3 * deviation * math.sqrt(1 + factor**2 * math.pi / 2 / 50)
        assert after[name]["mean radius"] == pytest.approx(expected, rel=0.03)


def test_levels_between_the_fitted_ones(right):
    """Interpolated: between what the neighbouring levels hold, which is near the level."""
    distances = measure(Toy(), made_up(8000, seed=4), samples=100)
    for level in (0.925, 0.985, 0.997):
        found = coverage_of(distances, level, right)
        assert found["calibrated"]
        # Over 6 runs too large by 0.0034 ± 0.0009 and 0.003 ± 0.003 at 0.925, by less farther out.
        assert found["mean"] == pytest.approx(level, abs=0.008)
        assert found["pose"] == pytest.approx(level, abs=0.016)


# -- the guarantee -----------------------------------------------------------------------------------------


def synthetic(count: int, factor: float = 1.0, seed: int = 0, hardness: torch.Tensor | float = 1.0) -> Distances:
    """Distances of made-up poses from a lifter whose plain radii are ``factor`` times the right ones."""
    drawn = made_up(count, seed)
    deviation = torch.where(drawn.keypoints.visible, SEEN, HIDDEN) * hardness
    observed = drawn.observed.clone()
    observed[:, 0] = False
    error = torch.where(observed, drawn.pose.norm(dim=-1) * hardness, 0.0)
    radius = 2.5003 * factor * deviation
    radius[:, 0] = 0.0
    return Distances(
        BODY, (0.9,), error, radius[None], radius, torch.ones(1, count), drawn.keypoints.visible, observed, 200, 0
    )


@pytest.mark.parametrize("factor", [1.0, 0.01, 30.0])
def test_new_truths_are_inside_as_often_as_guaranteed(factor):
    """Over 60 calibrations on 1,000 poses: coverage of 500 new ones each is q to q + 1 / (n + 1), whatever the scale.

    Slack: 4 standard errors over the calibrations, whose coverages are independent.
    """
    inside: dict[tuple[str, float], list[float]] = {}
    for trial in range(60):
        both = synthetic(1500, factor, seed=100 + trial)
        ours, new = fit_distances(both[:1000]), both[1000:]
        for level in (0.05, 0.5, 0.9, 0.99):
            single, whole = ours.radii(level, new.visible, new.shape)
            held = new.error <= single
            for name, of_class in (("visible", new.visible), ("missing", ~new.visible)):
                share = held[of_class & new.observed].float().mean()
                inside.setdefault((name, level), []).append(float(share))
            pose = (new.error <= whole).all(-1).float()
            inside.setdefault(("pose", level), []).append(float(pose.mean()))
    for (name, level), shares in inside.items():
        found = torch.tensor(shares)
        slack = 4 * float(found.std()) / math.sqrt(len(found))
        # Rows of hidden joints and of groups of poses have 160 poses or more.
        assert level - slack <= float(found.mean()) <= level + 1 / 161 + slack, (name, level)


def test_levels_go_as_far_as_there_are_poses():
    """The smallest row decides: 160 of 200 poses have finite quantiles up to 160 / 161."""
    assert fit_distances(synthetic(200)).highest == 0.99
    everywhere = synthetic(1240)
    seen = torch.ones_like(everywhere.visible)
    # 992 of them: 0.999 needs 999.
    all_joints = dataclasses.replace(everywhere, visible=seen, observed=seen & (everywhere.shape > 0))
    assert fit_distances(all_joints).highest == 0.998
    ours, new = fit_distances(synthetic(20_000)), synthetic(20_000, seed=1)
    assert ours.highest == 0.999
    outside = (new.error > ours.radii(0.999, new.visible, new.shape)[0]) & new.observed & new.visible
    assert float(outside.sum() / (new.observed & new.visible).sum()) == pytest.approx(0.001, abs=0.0005)


def test_levels_without_a_guarantee_are_refused(known):
    toy = Toy()
    toy.recalibration = fit(toy, known[:300], samples=20)
    poses = toy(Keypoints2D(torch.zeros(17, 2)))
    assert poses.region(0.99).calibrated
    with pytest.raises(InputError) as refused:
        poses.region(0.995)
    assert str(refused.value) == (
        "level 0.995: the regions of this lifter are calibrated for levels up to 0.99; ask for one of these, "
        "or calibrate it on more poses (`poseterior calibrate --poses`)"
    )


# -- nested regions ----------------------------------------------------------------------------------------


def fine_levels(recalibration: Recalibration) -> list[float]:
    """Even steps, and the neighbours of every level of the tables."""
    table = recalibration.levels
    beside = [math.nextafter(level, side) for level in table for side in (0.0, 1.0)]
    steps = [i / 200 for i in range(1, 200)]
    return sorted({level for level in (*steps, *table, *beside) if level <= recalibration.highest})


def assert_nested(recalibration: Recalibration, visible: torch.Tensor, shape: torch.Tensor) -> None:
    """Exactly: no radius is smaller than that of a smaller level, and a pose's are at least a joint's."""
    before = (torch.zeros_like(shape), torch.zeros_like(shape))
    for level in fine_levels(recalibration):
        now = recalibration.radii(level, visible, shape)
        for smaller, larger in zip(before, now, strict=True):
            assert bool((larger >= smaller).all()), level
        assert bool((now[1] >= now[0]).all()), level
        before = now


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), factor=st.floats(1e-3, 1e3), count=st.integers(200, 600))
def test_any_recalibration_is_nested(seed, factor, count):
    distances = synthetic(count, factor, seed)
    luck = torch.exp(2 * torch.randn(count, 17, generator=torch.Generator().manual_seed(seed)))
    distances = dataclasses.replace(distances, shape=distances.shape * luck)
    ours = fit_distances(distances)
    assert_nested(ours, distances.visible[:3], distances.shape[:3])
    assert_nested(ours, distances.visible[:3], distances.shape[:3].double())


def test_balls_grow_between_the_levels_of_the_tables(right):
    """Strictly: no two levels apart have one ball."""
    visible, plain = torch.ones(17, dtype=torch.bool), torch.full((17,), 0.05)
    radii = torch.stack([right.radii(level / 1000, visible, plain)[0] for level in range(50, 1000)])
    assert bool((radii[:, 1:].diff(dim=0) > 0).all())
    assert torch.equal(right.radii(0.01, visible, plain)[0], right.radii(0.05, visible, plain)[0])


def test_the_exponent_stretches_about_a_tenth_of_a_metre():
    radius = torch.tensor([0.0, 0.001, 0.1, 0.4])
    assert stretched(radius, torch.tensor(1.0)).tolist() == radius.tolist()
    assert stretched(radius, torch.tensor(0.5)).tolist() == pytest.approx([0.0, 0.01, 0.1, 0.2])
    assert stretched(radius, torch.tensor(0.0)).tolist() == pytest.approx([0.0, 0.1, 0.1, 0.1])


# -- special lifters ---------------------------------------------------------------------------------------


def test_point_masses_get_radii(known, fresh):
    point = Point()
    region = point(fresh.keypoints[:3]).region()
    assert bool((region.radius[:, 1:] == 1e-3).all())
    assert bool((region.radius[:, 0] == 0).all())
    point.recalibration = fit(point, known, samples=2)
    found = coverage(point, fresh)
    assert found["mean"] == pytest.approx(0.9, abs=0.007)  # 0.9011 ± 0.0015
    assert found["pose"] == pytest.approx(0.9, abs=0.027)  # ± 0.006
    radius = 1000 * point(fresh.keypoints).region().radius[fresh.keypoints.visible]
    assert float(radius[radius > 0].median()) == pytest.approx(2500.3 * SEEN, rel=0.03)


def test_coverage_is_that_of_regions(known, fresh):
    """`coverage` counts what regions of the same samples say."""
    toy = Toy(0.5)
    toy.recalibration = fit(toy, known[:500], samples=50, seed=3)
    part = fresh[:256]
    samples = toy(part.keypoints).sample((50,), seed=3)
    region = region_of(samples, BODY, 0.9, toy.recalibration, part.keypoints.visible)
    assert region.calibrated
    found = coverage(toy, part, level=0.9)
    inside = region.contains(part.pose)[:, 1:]
    counted = part.observed[:, 1:]
    for j, name in enumerate(BODY.joints[1:]):
        assert found["per joint"][name] == pytest.approx(float(inside[counted[:, j], j].float().mean()), abs=1e-4)
    whole = region.contains_pose(part.pose, part.observed)
    assert found["pose"] == pytest.approx(float(whole.float().mean()), abs=1e-4)
    radius = 1000 * float(region.radius[:, 1:][counted].median())
    assert found["radius"] == pytest.approx(radius, abs=0.06)


def test_rare_joints_take_what_is_fitted_for_their_class():
    observations = made_up(2000)
    wrist = BODY.index("left_wrist")
    hidden = observations.keypoints.visible.clone()
    hidden[:, wrist] = True
    rare = dataclasses.replace(observations, keypoints=Keypoints2D(torch.zeros(2000, 17, 2), visible=hidden))
    found = fit(Toy(), rare, samples=50)
    visible = torch.zeros(17, dtype=torch.bool)
    radius = found.radii(0.9, visible, torch.full((17,), 2.5003 * HIDDEN))[0]
    others = torch.cat([radius[1:wrist], radius[wrist + 1 :]])
    assert found.factor["missing"]["left_wrist"] not in [
        row for name, row in found.factor["missing"].items() if name != "left_wrist"
    ]
    assert float(others.min()) < float(radius[wrist]) < float(others.max())


def test_classes_that_never_occur_take_what_is_fitted_for_the_other():
    found = fit(Toy(0.5), made_up(2000, hide=0.0), samples=50)
    radius = torch.full((17,), 0.5 * 2.5003 * SEEN)
    for visible in (True, False):
        single = found.radii(0.9, torch.full((17,), visible), radius)[0]
        assert float(single[1:].mean()) == pytest.approx(2.5003 * SEEN, rel=0.05)
    rows = found.pose_factor
    assert rows["5 or more missing"] == rows["1-4 missing"] == rows["none missing"]


def test_hidden_keypoints_do_not_matter(known):
    toy = Toy()
    toy.recalibration = fit(toy, made_up(1000), samples=50)
    visible = torch.ones(17, dtype=torch.bool)
    visible[5] = False
    regions = []
    for value in (0.0, 1e9, float("nan")):
        xy = torch.zeros(17, 2)
        xy[5] = value
        regions.append(toy(Keypoints2D(xy, visible=visible)).region())
    for region in regions[1:]:
        assert torch.equal(region.radius, regions[0].radius)
        assert torch.equal(region.pose_radius, regions[0].pose_radius)
    assert float(regions[0].radius[5] / regions[0].radius[4]) == pytest.approx(HIDDEN / SEEN, rel=0.4)  # ± 0.08


@pytest.mark.parametrize("skeleton", ["coco17", "h36m17"])
def test_keypoints_are_those_of_the_lifters_joints(skeleton):
    poses = Toy()(Keypoints2D(torch.rand(2, 17, 2), skeleton=skeleton))
    assert poses.keypoints.skeleton == BODY
    assert poses.recalibration is None


def test_regions_can_be_repeated_and_do_not_share_their_luck():
    """The same keypoints, the same region; others, other samples, also for poses that are lifted one at a time."""
    one, two = torch.rand(2, 17, 2)
    regions = [Toy()(Keypoints2D(xy)).region() for xy in (one, one, two)]
    assert torch.equal(regions[0].radius, regions[1].radius)
    assert not torch.equal(regions[0].radius, regions[2].radius)


def test_poses_lifted_one_at_a_time_are_covered_too(known, fresh):
    toy = Toy(0.5)
    toy.recalibration = fit(toy, known, samples=20)
    pose, part = fresh.pose.nan_to_num(0.0), dataclasses.replace(fresh, observed=torch.ones_like(fresh.observed))
    xy = torch.rand(1000, 17, 2, generator=torch.Generator().manual_seed(7))
    inside = []
    for i in range(1000):
        keypoints = Keypoints2D(xy[i], visible=part.keypoints.visible[i])
        inside.append(toy(keypoints).region().contains(pose[i]))
    counted = fresh.observed[:1000]
    share = (torch.stack(inside) & counted).sum(0)[1:] / counted.sum(0)[1:]
    # Of twenty samples alone, drawn once for all, the coverage of a joint would be off by 0.07.
    # One standard error is 0.01.
    assert float((share - 0.9).abs().max()) < 0.045


def test_regions_stay_on_the_device():
    """Everything that is made follows the samples' device (``meta`` holds no numbers, but refuses to be mixed)."""
    toy = Toy()
    toy.recalibration = fit(toy, made_up(300), samples=50)
    samples = torch.zeros(200, 5, 17, 3, device="meta")
    visible = torch.ones(5, 17, dtype=torch.bool, device="meta")
    region = region_of(samples, BODY, 0.9, toy.recalibration, visible)
    assert region.radius.device.type == region.pose_radius.device.type == region.centre.device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_calibration_on_a_gpu(known):
    there, here = fit_distances(measure(Toy(), known, device="cuda")), fit(Toy(), known)
    assert there.scale["visible"]["spine"] == pytest.approx(here.scale["visible"]["spine"], rel=0.03)


def test_what_cannot_be_fitted(known):
    with pytest.raises(InputError, match=r"^199 poses with known joints to calibrate on; at least 200 are needed$"):
        fit(Toy(), known[:199])
    with pytest.raises(InputError, match=r"^no poses to calibrate on$"):
        fit(Toy(), known[:0])
    with pytest.raises(InputError, match=r"^samples: expected 2 to 10000, got 1$"):
        fit(Toy(), known, samples=1)
    with pytest.raises(InputError, match=r"^seed: expected 0 to below 2"):
        fit(Toy(), known, seed=-1)
    with pytest.raises(InputError, match=r"^chunk: expected at least 1, got 0$"):
        fit(Toy(), known, chunk=0)
    broken = synthetic(200)
    broken.error[7, 3] = float("nan")
    with pytest.raises(InputError, match=r"^the lifter answers some poses with numbers that are not finite; it cannot"):
        fit_distances(broken)
    distances = measure(Toy(), known[:300], levels=(0.5,))
    with pytest.raises(InputError, match=r"^level: expected one of 0.5, got 0.9$"):
        coverage_of(distances, 0.9)
    with pytest.raises(InputError, match=r"^no joint of these poses is known"):
        coverage_of(dataclasses.replace(distances, observed=torch.zeros(300, 17, dtype=torch.bool)), 0.5)


def test_poses_without_3d_do_not_count(known):
    observed = known.observed.clone()
    observed[::2] = False
    half = dataclasses.replace(known, observed=observed)
    assert fit(Toy(), half, samples=20).poses == 3000


def test_calibration_can_be_repeated(known):
    first, second = (fit(Toy(), known[:500], samples=20, seed=7, description="made up") for _ in range(2))
    assert first == second
    assert (first.samples, first.seed, first.poses, first.description) == (20, 7, 500, "made up")


def test_halves_share_no_clip():
    clips = ["a"] * 50 + ["b"] * 30 + ["c"] * 25 + ["a"] * 10
    first, second = halves(clips)
    assert {clips[i] for i in first} == {"a"}
    assert {clips[i] for i in second} == {"b", "c"}
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(115))
    with pytest.raises(InputError, match=r"^poses of one clip: at least two are needed"):
        halves(["a"] * 10)


# -- files -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recalibration() -> Recalibration:
    return fit(Toy(0.5, 2.0), made_up(500), samples=50, description="made-up poses")


@pytest.fixture
def saved(tmp_path, recalibration) -> Path:
    cls = method("mdn")
    torch.manual_seed(0)
    lifter = cls(cls.config_class(width=16, blocks=1, kernels=2, rank=1))
    lifter.recalibration = recalibration
    lifter.save_pretrained(tmp_path / "weights", {"name": "small"})
    return tmp_path / "weights"


def test_json_round_trip(recalibration):
    text = recalibration.to_json()
    assert Recalibration.from_json(text) == recalibration
    assert len(text) < 10_000


def test_saved_with_the_weights(saved, recalibration):
    lifter = load(saved)
    assert dataclasses.replace(lifter.recalibration, files={}) == recalibration
    assert set(lifter.recalibration.files) == {"config.json", "model.safetensors"}
    keypoints = Keypoints2D(torch.rand(3, 17, 2))
    region = lifter(keypoints).region(0.8)
    assert region.calibrated
    lifter.save_pretrained(saved)
    again = load(saved)
    assert again.recalibration == lifter.recalibration
    assert torch.equal(again(keypoints).region(0.8).radius, region.radius)
    again.recalibration = None
    again.save_pretrained(saved)
    assert not (saved / "calibration.json").exists()
    assert not load(saved)(keypoints).region(0.8).calibrated


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_calibration_of_other_weights_is_refused(saved, name):
    cls = method("mdn")
    torch.manual_seed(1)
    other = cls(cls.config_class(width=16, blocks=1, kernels=2, rank=1, temperature=1.0 + (name == "config.json")))
    other.save_pretrained(saved.parent / "other", {})
    (saved / name).write_bytes((saved.parent / "other" / name).read_bytes())
    with pytest.raises(InputError) as refused:
        load(saved)
    assert str(refused.value) == (
        f"{saved}/calibration.json: belongs to another {name} than the one beside it; "
        f"delete it, then make it anew with `poseterior calibrate {saved} --data STORE`"
    )


def changed(text: str, *path: str, value: object) -> str:
    document = json.loads(text)
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), "poseterior-calibration-9", "not a file of format 'poseterior-calibration-2'"),
        (
            ("format",),
            "poseterior-calibration-1",
            "written by version 0.1, whose regions of different levels were not nested",
        ),
        (("joints",), "pelvis", "field 'joints': expected text"),
        (("levels",), [0.5, 0.4], "field 'levels': expected rising numbers"),
        (("levels",), [0.5, 1.0], "field 'levels': expected numbers above 0 and below 1"),
        (("levels",), [], "field 'levels': expected numbers above 0 and below 1"),
        (("scale",), {"visible": {}}, "field 'scale': expected an entry for each of visible, missing"),
        (("scale", "visible", "spine"), -1.0, "field 'scale.visible.spine': expected a number from 1e-09 to 1e+09"),
        (("scale", "visible", "spine"), 10**400, "field 'scale.visible.spine': expected a number from 1e-09 to 1e+09"),
        (("scale", "missing"), [], "field 'scale.missing': expected an entry for each of pelvis, right_hip"),
        (("exponent", "missing", "spine"), -0.5, "field 'exponent.missing.spine': expected a number from 0 to 4"),
        (("exponent", "missing", "spine"), True, "field 'exponent.missing.spine': expected a number from 0 to 4"),
        (("exponent", "missing", "spine"), float("nan"), "field 'exponent.missing.spine': expected a number from 0"),
        (("factor", "missing"), [], "field 'factor.missing': expected an entry for each of pelvis, right_hip"),
        (("factor", "visible", "spine"), [1.0], "field 'factor.visible.spine': expected numbers above 0, 23 of them"),
        (
            ("factor", "visible", "spine"),
            [2.0, 1.0] + [3.0] * 21,
            "field 'factor.visible.spine': expected numbers that do not fall",
        ),
        (("pose_factor", "none missing"), ["1"] * 23, "field 'pose_factor.none missing': expected numbers above 0"),
        (("pose_factor",), {}, "field 'pose_factor': expected an entry for each of none missing, 1-4 missing"),
        (("samples",), 1, "field 'samples': expected a whole number from 2 to 10000"),
        (("samples",), 10**9, "field 'samples': expected a whole number from 2 to 10000"),
        (("seed",), True, "field 'seed': expected a whole number from 0 to"),
        (("poses",), None, "field 'poses': expected a whole number from 0 to"),
        (("description",), 3, "field 'description': expected text"),
        (("files",), None, "field 'files': expected an entry for each of config.json, model.safetensors"),
    ],
)
def test_wrong_fields_are_named(saved, path, value, message):
    file = saved / "calibration.json"
    file.write_text(changed(file.read_text(), *path, value=value))
    with pytest.raises(InputError) as refused:
        load(saved)
    assert str(refused.value).startswith(f"{file}: {message}")
    assert str(refused.value).endswith("; make it anew with `poseterior calibrate`")


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"format": NaN}', "[" * 100_000])
def test_what_is_no_calibration_is_refused(saved, text):
    (saved / "calibration.json").write_text(text)
    with pytest.raises(InputError, match=r"calibration.json: not .*; make it anew with `poseterior calibrate`$"):
        load(saved)


def test_calibration_for_other_joints_is_refused(saved, recalibration):
    def renamed(rows):
        return {name.replace("pelvis", "hips"): row for name, row in rows.items()}

    other = dataclasses.replace(
        recalibration,
        joints=("hips", *recalibration.joints[1:]),
        scale={c: renamed(rows) for c, rows in recalibration.scale.items()},
        exponent={c: renamed(rows) for c, rows in recalibration.exponent.items()},
        factor={c: renamed(rows) for c, rows in recalibration.factor.items()},
    )
    (saved / "calibration.json").write_text(other.for_lifter(saved).to_json())
    with pytest.raises(InputError, match=r"calibration.json: field 'joints': expected pelvis, right_hip"):
        load(saved)
    with pytest.raises(InputError, match=r"^the recalibration is for other joints than those of h36m17$"):
        region_of(torch.zeros(9, 17, 3), BODY, 0.9, other, torch.ones(17, dtype=torch.bool))
    with pytest.raises(InputError, match=r"^visible: needed for a recalibrated region"):
        region_of(torch.zeros(9, 17, 3), BODY, 0.9, recalibration)


# -- the shipped lifters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(list_shipped()))
def test_shipped_lifters_are_calibrated(name, standing):
    lifter = load(name)
    assert lifter.recalibration is not None
    assert lifter.recalibration.poses >= 16_000
    assert lifter.recalibration.angles is not None
    assert (list_shipped()[name] / "calibration.json").stat().st_size < 12_000
    visible = torch.tensor([[True] * 17, [True] * 12 + [False] * 5])
    xy = project(standing + torch.tensor([0.1, 0.0, 4.0]), torch.tensor([1000.0, 1000.0, 500.0, 500.0]))
    poses = lifter(Keypoints2D(xy.expand(2, 17, 2), visible=visible))
    half, region = poses.region(0.5), poses.region(0.9)
    assert region.calibrated
    assert bool((region.radius[:, 1:] > half.radius[:, 1:]).all())
    assert bool((region.pose_radius > half.pose_radius)[:, 1:].all())
    assert bool((region.pose_radius >= region.radius).all())
    for wrist in (BODY.index("left_wrist"), BODY.index("right_wrist")):
        assert region.radius[1, wrist] > region.radius[0, wrist]


@pytest.mark.parametrize("name", list(list_shipped()))
def test_regions_of_shipped_lifters_are_nested(name):
    """At all levels up to 0.999, for joints seen and hidden."""
    import poseterior as pp

    lifter = load(name)
    ours = lifter.recalibration
    assert ours is not None
    assert ours.highest == 0.999
    keypoints = pp.example_keypoints().as_skeleton("h36m17")
    hidden = keypoints.visible.clone()
    hidden[..., 11:14] = False
    for visible in (keypoints.visible, hidden):
        with torch.no_grad():
            samples = lifter(keypoints._replace(visible=visible)).sample((50,), seed=0)
        assert_nested(ours, visible, balls(samples, [0.5], BODY.root).shape)


@pytest.mark.parametrize("name", ["mdn", "relative", "unsupervised"])
def test_regions_answer_up_to_the_highest_level(name):
    import poseterior as pp

    poses = load(name)(pp.example_keypoints())
    regions = [poses.region(level) for level in (0.01, 0.05, 0.5, 0.9, 0.99, 0.995, 0.999)]
    assert all(region.calibrated for region in regions)
    for small, large in itertools.pairwise(regions):
        assert torch.equal(small.centre, large.centre)
        assert bool((small.radius <= large.radius).all())
        assert bool((small.pose_radius <= large.pose_radius).all())
    with pytest.raises(InputError) as refused:
        poses.region(0.9995)
    assert str(refused.value) == (
        "level 0.9995: the regions of this lifter are calibrated for levels up to 0.999; ask for one of these"
    )


@pytest.fixture(scope="module")
def training_store(tmp_path_factory) -> Path:
    """The mocap that the shipped regions are calibrated on; skips where that is not."""
    from poseterior.data.mocap.importing import import_mocap

    folder = SHARED / "data" / "mocap" / "cmu"
    if not folder.is_dir():
        pytest.skip(f"the development mocap is not here: {folder}")
    store = tmp_path_factory.mktemp("mocap") / "train"
    import_mocap(folder / "bvh" / "train", store, "bvh")
    import_mocap(folder / "asfamc", store, "asfamc", append=True)
    return store


@pytest.mark.slow
@pytest.mark.parametrize("name", list(list_shipped()))
def test_shipped_regions_hold_what_they_say(name, training_store):
    """region(0.9) holds 0.90 in simulations that nothing was fitted on (2000 poses: one standard error is 0.007)."""
    from poseterior.evaluation.calibrate import simulated

    found = coverage(load(name), simulated(training_store, 2000, seed=5))
    assert found["calibrated"]
    assert found["visible"]["mean"] == pytest.approx(0.9, abs=0.015)
    assert found["missing"]["mean"] == pytest.approx(0.9, abs=0.02)
    assert all(share == pytest.approx(0.9, abs=0.03) for share in found["per joint"].values())
    assert found["pose"] == pytest.approx(0.9, abs=0.02)
