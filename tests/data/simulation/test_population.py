"""Bodies of populations: heights as stated, symmetric, proportions that go together; in both simulators."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from test_bodies import turned_mocap

from conftest import made_up_mocap
from poseterior.data.simulation.bodies import BodySimulator
from poseterior.data.simulation.clips import ClipSimulator, PeopleSimulator
from poseterior.data.simulation.population import (
    SEGMENTS,
    SHARES,
    STATURE_LIMITS,
    STATURES,
    draw_bodies,
    draw_statures,
    segment_factors,
)
from poseterior.data.simulation.protocols import PROTOCOLS
from poseterior.data.simulation.simulator import Simulator, SimulatorConfig
from poseterior.files.errors import InputError
from poseterior.geometry.body import H36M_POINTS, body_points
from poseterior.geometry.kinematics import ANKLE_HEIGHT, body_height, bone_lengths
from poseterior.geometry.skeletons import SKELETONS

BODY = SKELETONS["h36m17"]
POPULATION = SimulatorConfig(bodies="population", own_body=0.0, definition_spread=0.0)
NAMES = list(SEGMENTS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_statures_are_those_of_the_sources() -> None:
    """Half of the adults are men: mean and standard deviation of each sex within four standard errors."""
    statures, build = draw_statures(60_000, seeded())
    assert float(statures.min()) >= STATURE_LIMITS[0] - 1e-6
    assert float(statures.max()) <= STATURE_LIMITS[1] + 1e-6
    for sex, (name, side) in enumerate((("men", 0.0), ("women", 1.0))):
        own = statures[build == side]
        mean, spread = STATURES[name]
        assert len(own) / len(statures) == pytest.approx(SHARES[name], abs=0.01), sex
        assert float(own.mean()) == pytest.approx(mean, abs=4 * spread / math.sqrt(len(own)))
        assert float(own.std()) == pytest.approx(spread, rel=4 / math.sqrt(2 * len(own)))
    assert 0.05 < float((statures < 1.35).float().mean()) < 0.12  # children
    assert 0.004 < float((statures > 1.98).float().mean()) < 0.02  # the very tall


def test_the_whole_population_has_the_mean_and_spread_of_its_parts() -> None:
    statures, _ = draw_statures(60_000, seeded(1))
    assert float(statures.mean()) == pytest.approx(1.652, abs=0.005)
    assert float(statures.std()) == pytest.approx(0.163, abs=0.005)


def test_segments_make_up_the_stature_and_have_the_stated_shares() -> None:
    bodies = draw_bodies(20_000, seeded())
    chain = bodies.lengths[:, [NAMES.index(n) for n in ("thighs", "shins", "trunk", "head")]].sum(-1)
    torch.testing.assert_close(chain + ANKLE_HEIGHT, bodies.stature)
    grown = (bodies.stature > 1.6) & (bodies.stature < 1.8)
    shares = (bodies.lengths / bodies.stature.unsqueeze(-1))[grown]
    for name, segment in SEGMENTS.items():
        column = shares[:, NAMES.index(name)]
        expected = sum(segment.share) / 2
        assert float(column.mean()) == pytest.approx(expected, rel=0.02), name
        stated = math.hypot(segment.spread, segment.shared)
        # Adding up to the stature takes some spread off the chain and gives some to the rest.
        assert float(column.log().std()) == pytest.approx(stated, rel=0.3), name


def test_limbs_go_together_and_children_have_large_heads_and_short_legs() -> None:
    bodies = draw_bodies(20_000, seeded())
    shares = (bodies.lengths / bodies.stature.unsqueeze(-1)).log()
    grown = (bodies.stature > 1.6) & (bodies.stature < 1.8)
    table = torch.corrcoef(shares[grown].T)
    assert float(table[NAMES.index("upper arms"), NAMES.index("forearms")]) > 0.3
    assert float(table[NAMES.index("hips"), NAMES.index("shoulders")]) > 0.3
    assert float(table[NAMES.index("thighs"), NAMES.index("trunk")]) < -0.2
    small = bodies.stature < 1.1
    head, thighs = (shares[:, NAMES.index(name)].exp() for name in ("head", "thighs"))
    assert float(head[small].mean()) > 1.2 * float(head[grown].mean())
    assert float(thighs[small].mean()) < 0.95 * float(thighs[grown].mean())


def test_no_spread_leaves_stature_alone() -> None:
    bodies = draw_bodies(200, seeded(), spread=0.0)
    twins = draw_bodies(200, seeded(), spread=1.0)
    assert torch.equal(bodies.stature, twins.stature)
    order = bodies.stature.argsort()
    head_share = (bodies.lengths[:, NAMES.index("head")] / bodies.stature)[order]
    assert float(head_share[:20].mean()) > float(head_share[-20:].mean())


def test_factors_give_the_wanted_lengths_whatever_the_recorded_ones() -> None:
    bodies = draw_bodies(50, seeded())
    bones = 0.1 + torch.rand(50, 17, generator=seeded(1))
    new = bones * segment_factors(bodies.lengths, bones)
    for name, wanted in zip(NAMES, bodies.lengths.unbind(-1), strict=True):
        columns = [BODY.index(joint) for joint in SEGMENTS[name].joints]
        found = new[:, columns].sum(-1) if SEGMENTS[name].is_chain else new[:, columns[0]]
        torch.testing.assert_close(found, wanted)
    # A trunk without its upper half (some conversions) gets it all in the lower one.
    bones[:, BODY.index("thorax")] = 0.0
    new = bones * segment_factors(bodies.lengths, bones)
    torch.testing.assert_close(new[:, BODY.index("spine")], bodies.lengths[:, NAMES.index("trunk")])


@pytest.mark.parametrize("kind", [Simulator, BodySimulator])
def test_simulated_people_are_symmetric_and_as_tall_as_stated(kind: type[Simulator]) -> None:
    mocap = made_up_mocap() if kind is Simulator else turned_mocap()
    seen = kind(mocap, POPULATION)(6000, seeded())
    lengths = bone_lengths(seen.pose, BODY)
    children = [child for child, _ in BODY.bones]
    for column, child in enumerate(children):
        twin = children.index(BODY.mirror[child])
        torch.testing.assert_close(lengths[:, column], lengths[:, twin], atol=2e-4, rtol=2e-3)
    if kind is BodySimulator:
        standing, _ = body_points(torch.eye(3).expand(6000, 22, 3, 3), seen.offsets)
        heights = body_height(standing[:, H36M_POINTS])
    else:
        heights = body_height(seen.pose)
    assert float(heights.min()) >= STATURE_LIMITS[0] - 1e-3
    assert float(heights.max()) <= STATURE_LIMITS[1] + 1e-3
    assert float(heights.mean()) == pytest.approx(1.652, abs=4 * 0.163 / math.sqrt(6000))
    assert float(heights.std()) == pytest.approx(0.163, rel=0.05)


def test_own_bodies_are_kept_as_often_as_stated() -> None:
    config = dataclasses.replace(POPULATION, own_body=0.35, mirror=0.0, recombine=0.0, limb_jitter=0.0)
    mocap = made_up_mocap()
    seen = Simulator(mocap, config)(4000, seeded())
    recorded = bone_lengths(torch.from_numpy(mocap.h36m17), BODY)[seen.index]
    kept = ((bone_lengths(seen.pose, BODY) - recorded).abs() < 1e-5).all(-1)
    assert float(kept.float().mean()) == pytest.approx(0.35, abs=0.03)


def test_own_bodies_may_be_kept_in_another_size() -> None:
    config = dataclasses.replace(POPULATION, own_body=1.0, own_size=0.2, mirror=0.0, recombine=0.0, limb_jitter=0.0)
    mocap = made_up_mocap()
    seen = Simulator(mocap, config)(4000, seeded())
    recorded = bone_lengths(torch.from_numpy(mocap.h36m17), BODY)[seen.index]
    share = bone_lengths(seen.pose, BODY) / recorded
    assert float((share.amax(-1) - share.amin(-1)).max()) < 1e-3, "proportions stay"
    assert float(((share - 1).abs() < 1e-4).all(-1).float().mean()) == pytest.approx(0.2, abs=0.03)
    assert float(body_height(seen.pose).std()) > 0.1


def test_marker_sets_move_joints_on_bodies_of_nearly_the_same_size() -> None:
    plain, other = (
        Simulator(made_up_mocap(), dataclasses.replace(POPULATION, marker_sets=share))(6000, seeded()).pose
        for share in (0.0, 1.0)
    )
    narrow, wide = (bone_lengths(pose, BODY) / body_height(pose).unsqueeze(-1) for pose in (plain, other))
    heads = [BODY.joints[child] for child, _ in BODY.bones].index("head_top")
    assert float(wide[:, heads].log().std()) > 2 * float(narrow[:, heads].log().std())
    thighs = [BODY.joints[child] for child, _ in BODY.bones].index("left_knee")
    assert float(wide[:, thighs].log().std()) < 0.12


def test_noise_by_height_does_not_tell_the_height() -> None:
    for by_height in (False, True):
        config = dataclasses.replace(
            POPULATION, noise=(5.0, 5.0), noise_by_height=by_height, camera_knowledge=(0.0, 0.0, 1.0),
            missing={"none": 1.0}, truncate=0.0,
        )  # fmt: skip
        seen = Simulator(made_up_mocap(), config)(2000, seeded())
        pixels = seen.keypoints.covariance[:, 0].diagonal(dim1=-2, dim2=-1).mean(-1).sqrt()
        tall = body_height(seen.pose) * seen.keypoints.intrinsics[:, 0] / seen.root[:, 2]
        share = (pixels / tall).log()
        told = float(torch.corrcoef(torch.stack([share, body_height(seen.pose).log()]))[0, 1])
        assert (float(share.std()) < 1e-4) if by_height else (told < -0.99)


def test_absent_joints_do_not_stretch_their_neighbours() -> None:
    mocap = made_up_mocap()
    mocap.h36m17[:, BODY.index("head_top")] = math.nan
    seen = Simulator(mocap, POPULATION)(2000, seeded())
    assert not seen.observed[:, BODY.index("head_top")].any()
    neck = (seen.pose[:, BODY.index("neck_nose")] - seen.pose[:, BODY.index("thorax")]).norm(dim=-1)
    assert float(neck.mean()) < 0.17


def test_a_clip_is_one_person_and_the_same_seed_the_same_people() -> None:
    mocap = made_up_mocap()
    simulator = PeopleSimulator(mocap, PROTOCOLS["people"].simulator)
    index = torch.arange(len(mocap))
    first, again = (simulator(len(index), seeded(3), index) for _ in range(2))
    assert torch.equal(first.pose, again.pose)
    heights = body_height(first.pose)
    clip = torch.from_numpy(mocap.clip)
    means = torch.stack([heights[clip == c].mean() for c in range(8)])
    assert all(float(heights[clip == c].std()) < 1e-4 for c in range(8))
    assert float(means.std()) > 0.05


def test_default_settings_and_what_recipes_say_are_what_they_were() -> None:
    usual = SimulatorConfig()
    assert usual.as_dict() == {
        k: list(v) if isinstance(v, tuple) else v
        for k, v in dataclasses.asdict(usual).items()
        if k
        not in (
            "noise_by_height",
            "own_size",
            "bodies",
            "marker_sets",
            "broad",
            "tilted",
            "tilt",
            "steep",
            "steep_pitch",
        )
    }
    asked = SimulatorConfig(bodies="population", steep=0.2)
    assert SimulatorConfig.from_dict(asked.as_dict()) == asked
    assert {"bodies", "steep"} <= set(asked.as_dict())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bodies": "giants"}, "simulator.bodies: expected one of ranges, population, got 'giants'"),
        ({"bodies": ["population"]}, "simulator.bodies: expected one of ranges, population, got"),
        ({"own_size": 2}, "simulator.own_size: expected 0 to 1, got 2.0"),
        ({"marker_sets": -1}, "simulator.marker_sets: expected 0 to 1, got -1.0"),
        ({"broad": 1.5}, "simulator.broad: expected 0 to 1, got 1.5"),
        ({"tilted": -0.1}, "simulator.tilted: expected 0 to 1, got -0.1"),
        ({"tilt": [90, 10]}, r"simulator.tilt: expected \(low, high\) with low <= high, got \(90.0, 10.0\)"),
        ({"steep_pitch": [1]}, "simulator.steep_pitch: expected 2 finite numbers"),
    ],
)
def test_bad_settings(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SimulatorConfig.from_dict(values)


def test_clips_are_not_made_up() -> None:
    with pytest.raises(InputError, match=r"simulator.broad: clips are observed as they are: expected 0 for learning"):
        ClipSimulator(made_up_mocap(), SimulatorConfig(recombine=0.0, broad=0.1))
