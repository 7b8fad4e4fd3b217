"""Height and proportions as distributions."""

from __future__ import annotations

import pytest
import torch

import poseterior as pp
from poseterior.data.simulation.population import draw_bodies
from poseterior.distributions.bodies import PARTS, heights, proportions
from poseterior.distributions.delta import DeltaPoseDistribution
from poseterior.files.errors import InputError
from poseterior.geometry.body import H36M_POINTS, body_points, rest_offsets
from poseterior.geometry.kinematics import body_height
from poseterior.geometry.skeletons import get_skeleton

H36M = get_skeleton("h36m17")


def rest_pose() -> torch.Tensor:
    points, _ = body_points(torch.eye(3).expand(1, 22, 3, 3), rest_offsets().expand(1, -1, -1))
    return points[0, H36M_POINTS] - points[0, H36M_POINTS[:1]]


def test_height_and_proportions_are_those_of_the_bones():
    pose = rest_pose()
    draws = torch.stack([pose, 1.1 * pose]).unsqueeze(1)
    tall = heights(draws, H36M)
    torch.testing.assert_close(tall.draws[0, 0], body_height(pose))
    parts = proportions(draws, H36M)
    assert parts.names == tuple(PARTS)
    thigh = 0.5 * sum(
        float((pose[H36M.index(f"{side}_knee")] - pose[H36M.index(f"{side}_hip")]).norm()) for side in ("left", "right")
    )
    assert float(parts.draws[0, 0, parts.names.index("thigh")]) == pytest.approx(thigh / float(tall.draws[0, 0]))


def test_the_interval_holds_as_many_draws_as_it_says():
    stature = draw_bodies(4000, torch.Generator().manual_seed(0)).stature
    pose = rest_pose()
    draws = pose * (stature / body_height(pose))[:, None, None]
    tall = heights(draws, H36M)
    low, high = tall.interval(0.8)
    inside = ((tall.draws >= low) & (tall.draws <= high)).float().mean()
    assert float(inside) == pytest.approx(0.8, abs=0.002)
    with pytest.raises(InputError, match=r"level: expected a probability between 0 and 1, got 1\.5"):
        tall.interval(1.5)


def test_a_lifter_says_how_tall_somebody_is_and_a_told_height_narrows_it():
    lifter, keypoints = pp.load("mdn"), pp.example_keypoints()
    free = lifter(keypoints).height
    low, high = free.interval(0.9)
    assert bool((low > 1.0).all() and (low < free.mean).all() and (free.mean < high).all() and (high < 2.3).all())
    told = lifter(keypoints.with_camera(height=1.8)).height
    assert bool((told.stddev < 0.6 * free.stddev).all())
    assert told.mean.tolist() == pytest.approx([1.8] * len(told.mean), abs=0.06)
    assert lifter(keypoints[:0]).height.mean.shape == (0,)


def test_another_skeleton_is_refused():
    poses = DeltaPoseDistribution(torch.zeros(2, 22, 3), skeleton="smpl22")
    with pytest.raises(InputError, match="are measured on h36m17 poses; these are smpl22"):
        _ = poses.height


def test_a_result_says_it_too():
    result = pp.lift(pp.load("mdn"), pp.example_keypoints(), samples=100)
    tall = result.heights(0.9)
    assert tall.shape == (len(result.mean), 3)
    assert bool(((tall[:, 1] < tall[:, 0]) & (tall[:, 0] < tall[:, 2])).all())


def test_measures_print_in_a_line():
    poses = pp.load("mdn")(pp.example_keypoints())
    assert repr(poses.height) == "BodyMeasure(names=())"
    assert repr(poses.proportions).startswith("BodyMeasure(names=('hips', 'thigh'")
    assert poses.height is poses.height, "drawn once"
