"""Keypoints that are kept from the lifter: which, how they are scored, and that nothing else is learnt from."""

import dataclasses
import math

import pytest
import torch

from conftest import made_up_mocap
from poseterior.data.simulation.simulator import Simulator, SimulatorConfig
from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.files.errors import InputError
from poseterior.geometry.cameras import project
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import Keypoints2D
from poseterior.lifters.mdn import MixtureConfig, MixtureDensityLifter
from poseterior.lifters.regression import RegressionConfig, RegressionLifter
from poseterior.objectives import make_objective
from poseterior.objectives.withheld import keypoint_log_probability, withheld_joints

BODY = SKELETONS["h36m17"]
INTRINSICS = torch.tensor([1000.0, 1000.0, 500.0, 500.0])


@pytest.fixture(scope="module")
def observations():
    config = SimulatorConfig(missing={"none": 1.0}, truncate=0.0, camera_knowledge=(0.0, 0.0, 1.0), recombine=0.0)
    return Simulator(made_up_mocap(100, 2), config)(64, torch.Generator().manual_seed(0))


def small() -> MixtureDensityLifter:
    torch.manual_seed(0)
    return MixtureDensityLifter(MixtureConfig(kernels=2, rank=1, width=32, blocks=1))


def test_visible_joints_are_withheld_limb_by_limb_or_singly():
    torch.manual_seed(0)
    visible = torch.ones(4000, 17, dtype=torch.bool)
    visible[:, BODY.index("left_wrist")] = False
    hidden = withheld_joints(visible, BODY, 0.5)
    assert not bool((hidden & ~visible).any())
    assert not bool(hidden[:, BODY.root].any())
    whole = set(range(17)) - set().union(*map(set, BODY.limbs.values()))
    no_trunk = ~hidden[:, sorted(whole)].any(-1)
    left_leg = hidden[:, list(BODY.limbs["left_leg"])].all(-1) & no_trunk
    # Of half the poses: alone in 2 of 12, with the other leg or the arm of its side in another 2.
    assert float(left_leg.float().mean()) == pytest.approx(0.5 * 4 / 12, abs=0.04)
    spine = hidden[:, BODY.index("spine")].float().mean()
    assert float(spine) == pytest.approx(0.5 * 0.25, abs=0.03)  # half the poses, a quarter on average


def test_one_component_far_away_is_a_gaussian_in_the_picture():
    """Far from the camera the picture is a scaled orthographic one: the density is known in closed form."""
    generator = torch.Generator().manual_seed(0)
    pose = 0.4 * torch.randn(3, 17, 3, generator=generator)
    pose = pose - pose[:, :1]
    distance = 200.0
    exact = project(pose + torch.tensor([0.0, 0.0, distance]), INTRINSICS)
    seen_joints = torch.ones(3, 17, dtype=torch.bool)
    seen_joints[:, 5] = False
    seen = Keypoints2D(exact, torch.full((3, 17), 0.01), visible=seen_joints, intrinsics=INTRINSICS)
    spread = torch.tensor([[0.05, 0.0, 0.0], [0.02, 0.04, 0.0], [0.03, 0.01, 0.1]]).expand(3, 1, 16, 3, 3)
    posterior = MixturePoseDistribution(torch.zeros(3, 1), pose[:, None, 1:], spread, None, None, "h36m17")
    moved = exact + torch.tensor([0.3, -0.2])
    withheld = Keypoints2D(moved, torch.full((3, 17), 0.1), visible=~seen_joints, intrinsics=INTRINSICS)
    found = keypoint_log_probability(posterior, seen, withheld)[:, 5]
    pixels = 1000.0 / distance
    covariance = (spread[0, 0, 0] @ spread[0, 0, 0].T)[:2, :2] * pixels**2 + 0.1**2 * torch.eye(2)
    squared = torch.tensor([0.3, -0.2]) @ torch.linalg.inv(covariance) @ torch.tensor([0.3, -0.2])
    squared = 50.0 * ((1.0 + squared / 25.0).sqrt() - 1.0)  # linear from 5 standard deviations
    wanted = -0.5 * (squared + torch.logdet(covariance)) - math.log(2 * math.pi) + 2.0 * seen.size.log()
    torch.testing.assert_close(found, wanted, atol=0.01, rtol=0)


def test_components_count_by_their_weights(observations):
    posterior = small()(observations.keypoints)
    seen = observations.keypoints
    one = keypoint_log_probability(posterior, seen, seen)
    doubled = MixturePoseDistribution(
        torch.cat([posterior.log_weights, posterior.log_weights], -1),
        torch.cat([posterior.loc, posterior.loc], -3),
        torch.cat([posterior.scale_tril, posterior.scale_tril], -4),
        posterior.factor,
        posterior.rotation,
        "h36m17",
    )
    torch.testing.assert_close(keypoint_log_probability(doubled, seen, seen), one, atol=1e-4, rtol=1e-4)


def test_nothing_but_keypoints_is_learnt_from(observations):
    lifter, objective = small(), make_objective("withheld")
    blind = dataclasses.replace(
        observations, pose=torch.full_like(observations.pose, math.nan), root=torch.full_like(observations.root, 7.0)
    )
    losses = []
    for seen in (observations, blind):
        torch.manual_seed(1)
        losses.append(float(objective(lifter, seen)["withheld"]))
    assert losses[0] == losses[1]
    assert math.isfinite(losses[0])


def test_hidden_limbs_are_found_from_the_keypoints_of_others(observations):
    lifter, objective = small(), make_objective("withheld")
    optimizer = torch.optim.Adam(lifter.parameters(), lr=3e-3)
    torch.manual_seed(0)
    losses = []
    for _ in range(150):
        loss = objective(lifter, observations)["withheld"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert sum(losses[-10:]) < sum(losses[:10]) - 10.0  # a nat a keypoint, at least


def test_poses_of_which_nothing_can_be_withheld_do_not_count(observations):
    few = observations.keypoints._replace(visible=torch.arange(17).expand(64, 17) < 3)
    loss = make_objective("withheld")(small(), dataclasses.replace(observations, keypoints=few))["withheld"]
    assert float(loss) == 0.0


def test_what_it_does_not_go_with(observations):
    with pytest.raises(InputError) as error:
        make_objective("withheld")(RegressionLifter(RegressionConfig(width=16, blocks=1)), observations)
    assert str(error.value) == "objective 'withheld' needs a mixture; lifter 'regression' returns none"
    with pytest.raises(InputError) as error:
        make_objective("withheld", {"share": 2})
    assert str(error.value) == "objective 'withheld': share: expected 0 to 0.9, got 2"
