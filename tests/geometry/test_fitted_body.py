"""Rotations fitted to positions: exact where positions say all, as short as they can be elsewhere."""

import math

import pytest
import roma
import torch

from poseterior.geometry.body import H36M_POINTS, body_points, rest_offsets
from poseterior.geometry.fitted_body import fitted_body, fitted_rotations, shortest_turn
from poseterior.geometry.skeletons import SKELETONS

SMPL, BODY = SKELETONS["smpl22"], SKELETONS["h36m17"]
FITTED = [name for name in SMPL.joints if name.endswith(("hip", "knee", "shoulder", "elbow")) or name == "neck"]


def turned_bodies(n: int = 40, chest: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations of random bodies and where they put h36m17's joints."""
    generator = torch.Generator().manual_seed(0)
    turns = torch.eye(3).repeat(n, 22, 1, 1)
    for name in ("pelvis", *(("spine3",) if chest else ()), *FITTED):
        size = math.pi if name == "pelvis" else 0.5
        turns[:, SMPL.index(name)] = roma.rotvec_to_rotmat(size * (2 * torch.rand(n, 3, generator=generator) - 1))
    points, _ = body_points(turns, rest_offsets().expand(n, -1, -1))
    return turns, points[:, H36M_POINTS]


def test_the_shortest_turn_brings_one_direction_to_another_and_turns_no_further():
    generator = torch.Generator().manual_seed(0)
    start, end = torch.randn(2, 500, 3, generator=generator, dtype=torch.float64)
    turn = shortest_turn(start, end)
    unit = torch.nn.functional.normalize
    torch.testing.assert_close((turn @ unit(start, dim=-1).unsqueeze(-1)).squeeze(-1), unit(end, dim=-1))
    between = torch.acos((unit(start, dim=-1) * unit(end, dim=-1)).sum(-1))
    torch.testing.assert_close(roma.rotmat_to_rotvec(turn).norm(dim=-1), between)


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, -2.0, 0.0), (0.3, 0.3, 0.3)])
def test_opposite_and_equal_directions(axis):
    start = torch.tensor(axis, dtype=torch.float64)
    torch.testing.assert_close(shortest_turn(start, 3.0 * start), torch.eye(3, dtype=torch.float64))
    half = shortest_turn(start, -start)
    torch.testing.assert_close(half @ start, -start)
    torch.testing.assert_close(half @ half.T, torch.eye(3, dtype=torch.float64))
    assert float(torch.linalg.det(half)) == pytest.approx(1.0)


def test_the_body_stands_where_the_pose_has_it():
    _, poses = turned_bodies(chest=False)
    rotations = fitted_rotations(poses)
    points, _ = body_points(rotations, rest_offsets().expand(len(poses), -1, -1))
    arms_and_legs = [j for j, name in enumerate(BODY.joints) if name != "neck_nose"]
    difference = points[:, H36M_POINTS] - poses
    assert float(difference[:, arms_and_legs].abs().max()) < 1e-4


def test_trunks_are_found_and_turn_with_the_person():
    truth, poses = turned_bodies()
    found = fitted_rotations(poses)
    pelvis = roma.rotmat_geodesic_distance(found[:, 0], truth[:, 0])
    assert float(torch.rad2deg(pelvis).max()) < 1.0
    turn = roma.rotvec_to_rotmat(torch.tensor([0.3, -1.0, 0.5]))
    again = fitted_rotations(poses @ turn.T + torch.tensor([1.0, 2.0, -3.0]))
    torch.testing.assert_close(again[:, 0], turn @ found[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(again[:, 1:], found[:, 1:], atol=1e-5, rtol=0)


def test_joints_that_both_have_stay_where_they_are_and_feet_hang_on_them():
    _, poses = turned_bodies()
    poses = 1.1 * poses + torch.tensor([0.0, 1.0, 0.0])
    _, joints = fitted_body(poses)
    for name in ("left_hip", "right_knee", "left_ankle", "right_wrist", "left_shoulder"):
        assert torch.equal(joints[:, SMPL.index(name)], poses[:, BODY.index(name)])
    foot = joints[:, SMPL.index("left_foot")] - joints[:, SMPL.index("left_ankle")]
    assert float(foot.norm(dim=-1).std()) < 1e-5
    usual = rest_offsets()[SMPL.index("left_foot")].norm()
    assert 0.5 * usual < foot.norm(dim=-1).mean() < 2.0 * usual
