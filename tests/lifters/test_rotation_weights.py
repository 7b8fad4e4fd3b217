"""The shipped rotation lifter: sane answers; its bars on held-out mocap are slow tests."""

from __future__ import annotations

import pytest
import roma
import torch

from conftest import SHARED
from poseterior.geometry.body import SMPL25, body_points, rest_offsets
from poseterior.geometry.skeletons import SKELETONS
from poseterior.lifters import load
from poseterior.metrics.rotations import constant_points, moving_mpjpe, rotation_ranks, uniformity_p_value

_SMPL = SKELETONS["smpl22"]


@pytest.fixture(scope="module")
def lifter():
    return load("rotations")


def _people(lifter, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rotations = lifter.prior((n,)).sample(seed=seed)
    return rotations, body_points(rotations, rest_offsets().expand(n, 25, 3))[0]


def test_the_prior_prefers_people_to_noise_and_to_broken_knees(lifter):
    rotations, _ = _people(lifter, 64, 0)
    prior = lifter.prior((64,))
    own = prior.log_prob(rotations, root=False)
    noise = roma.random_rotmat((64, 22))
    assert float((own > prior.log_prob(noise, root=False) + 50).float().mean()) == 1.0
    broken = rotations.clone()
    knee = _SMPL.index("left_knee")
    bent = roma.rotvec_to_rotmat(torch.tensor([-1.5, 0.0, 0.0]))  # the knee bent forwards
    broken[:, knee] = bent
    assert float((prior.log_prob(broken, root=False) < own - 5).float().mean()) > 0.95


def test_prior_samples_stand_upright_in_front_of_a_camera(lifter):
    rotations, points = _people(lifter, 256, 1)
    up = rotations[:, 0, 1, 1]  # the body's up axis along the picture's y, which points down
    assert float((up < 0).float().mean()) > 0.9
    height = points[..., 1].amax(-1) - points[..., 1].amin(-1)
    assert 0.8 < float(height.median()) < 2.0


def test_exact_keypoints_are_met_by_every_sample(lifter):
    _, points = _people(lifter, 32, 2)
    offsets = rest_offsets().expand(32, 25, 3)
    drawn = lifter.ik(points, offsets=offsets).sample((4,), seed=0)
    found, _ = body_points(drawn, offsets.expand(4, 32, 25, 3))
    error = moving_mpjpe(found, points, constant_points(True))
    assert 1000 * float(error.mean()) < 10


def test_swing_is_recovered_from_keypoints(lifter):
    """Directions of all bones between keypoints, one sample a pose: the median error is below 2 degrees."""
    _, points = _people(lifter, 32, 5)
    offsets = rest_offsets().expand(32, 25, 3)
    found, _ = body_points(lifter.ik(points, offsets=offsets).sample(seed=0), offsets)
    for child, parent in SMPL25.bones:
        if float(rest_offsets()[child].norm()) < 1e-3:
            continue
        bone, truth = (p[:, child] - p[:, parent] for p in (found, points))
        angle = torch.atan2(torch.linalg.cross(bone, truth).norm(dim=-1), (bone * truth).sum(-1))
        assert float(torch.rad2deg(angle.median())) < 2, SMPL25.joints[child]


def test_a_hidden_arm_is_uncertain_and_the_rest_is_not(lifter):
    _, points = _people(lifter, 16, 3)
    seen = torch.ones(16, 25, dtype=torch.bool)
    arm = [SMPL25.index(f"left_{j}") for j in ("collar", "shoulder", "elbow", "wrist")]
    seen[:, arm] = False
    offsets = rest_offsets().expand(16, 25, 3)
    known, hidden = lifter.ik(points, offsets=offsets).stddev, lifter.ik(points, seen, offsets=offsets).stddev
    elbow, other = _SMPL.index("left_elbow"), _SMPL.index("right_knee")
    shoulder = _SMPL.index("left_shoulder")
    assert float((hidden[:, shoulder] / known[:, shoulder]).median()) > 1.5
    assert float((hidden[:, elbow] / known[:, elbow]).median()) > 1.2
    assert 0.5 < float((hidden[:, other] / known[:, other]).median()) < 2.0


def test_twist_that_nobody_sees_stays_as_wide_as_the_prior(lifter):
    _, points = _people(lifter, 32, 4)
    wrist = _SMPL.index("left_wrist")
    given = lifter.ik(points, offsets=rest_offsets().expand(32, 25, 3)).stddev[:, wrist].median()
    prior = lifter.prior((32,)).stddev[:, wrist].median()
    assert 0.6 < float(given / prior) < 1.4


# -- on held-out mocap -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulators(tmp_path_factory):
    """The test split as recorded, and what the lifter learnt from."""
    from poseterior.cli import main
    from poseterior.data.simulation.bodies import BodySimulator
    from poseterior.data.simulation.simulator import SimulatorConfig
    from poseterior.data.store import PoseStore
    from poseterior.training.recipes import read_recipe

    split = SHARED / "data" / "mocap" / "cmu" / "bvh" / "test"
    if not split.is_dir():
        pytest.skip(f"no CMU mocap at {split}; set POSETERIOR_SHARED")
    store = tmp_path_factory.mktemp("stores") / "cmu-test"
    assert main(["data", "import", "bvh", str(split), "--out", str(store)]) == 0
    mocap = PoseStore(store).load(fps=30)
    recorded = SimulatorConfig(own_body=1.0, recombine=0.0, limb_jitter=0.0, mirror=0.0)
    learnt = read_recipe("rotations-points").simulator
    return BodySimulator(mocap, recorded), BodySimulator(mocap, learnt)


def _ranks(lifter, simulator, seen: torch.Tensor, lifted: float = 0.0) -> torch.Tensor:
    """Ranks of the true angles among the posterior's, for simulated people with noisy keypoints ``(n, modelled)``."""
    from poseterior.objectives.rotations import observe_points

    people = simulator(len(seen), torch.Generator().manual_seed(5))
    torch.manual_seed(6)
    drawn = lifter.given(observe_points(people, seen, (0.001, 0.04), 0.2, lifted, 0.45)).sample((100,), seed=7)
    ranks = rotation_ranks(drawn, people.rotations, torch.Generator().manual_seed(8))
    return ranks[:, [_SMPL.index(joint) for joint in lifter.prior().modelled]]


@pytest.mark.slow
@pytest.mark.parametrize("lifted", [0.0, 1.0], ids=["alike in all directions", "a lifter's errors"])
def test_inverse_kinematics_is_not_over_confident(lifter, simulators, lifted):
    from poseterior.objectives.rotations import hide_points

    ranks = _ranks(lifter, simulators[1], hide_points(400, torch.Generator().manual_seed(9)), lifted)
    assert float((ranks > 0.9).float().mean(0).max()) < 0.15
    assert float(ranks.mean()) < 0.55


@pytest.mark.slow
@pytest.mark.parametrize("lifted", [0.0, 1.0], ids=["alike in all directions", "a lifter's errors"])
@pytest.mark.xfail(reason="the posteriors of noisy keypoints are somewhat too wide: docs/results.md", strict=True)
def test_ranks_of_inverse_kinematics_are_uniform(lifter, simulators, lifted):
    """For 18 of the 20 joints at least."""
    from poseterior.objectives.rotations import hide_points

    ranks = _ranks(lifter, simulators[1], hide_points(400, torch.Generator().manual_seed(9)), lifted)
    assert int((uniformity_p_value(ranks) > 0.01).sum()) >= 18


@pytest.mark.slow
def test_inverse_kinematics_meets_its_bars(lifter, simulators):
    people = simulators[0](1000, torch.Generator().manual_seed(0))
    points, _ = body_points(people.rotations, people.offsets)
    posterior = lifter.ik(points, offsets=people.offsets)
    given = posterior.log_prob(people.rotations, root=False).mean()
    alone = lifter.prior((1000,)).log_prob(people.rotations, root=False).mean()
    assert float(given) >= float(alone) + 60
    found, _ = body_points(posterior.sample(seed=0), people.offsets)
    assert 1000 * float(moving_mpjpe(found, points, constant_points(True)).mean()) <= 10
