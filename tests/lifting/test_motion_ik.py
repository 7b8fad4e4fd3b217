"""Rotations of clips that were lifted as a whole: as smooth as the clip's posterior, without a filter."""

import numpy as np
import pytest
import roma
import torch
from test_lift_clip import seen, walker

import poseterior as pp
from conftest import STANDING
from poseterior.geometry.body import H36M_POINTS, body_points, rest_offsets
from poseterior.lifting.motion_ik import MOTIONS, _swing
from poseterior.lifting.steady import steady_turns, usual_turns
from poseterior.metrics.rotations import geodesic_angle, swing_twist
from poseterior.results.rotations import matrices

JOINTS = pp.SKELETONS["smpl22"].joints


@pytest.fixture(scope="module")
def solver():
    return pp.load("rotations")


@pytest.fixture(scope="module")
def truth():
    return walker(torch.tensor([STANDING[joint] for joint in pp.SKELETONS["h36m17"].joints]))


@pytest.fixture(scope="module")
def clip(truth):
    lifter = pp.load("mdn")
    lifter.clips = None
    return pp.lift_clip(lifter, seen(truth), fps=30)


@pytest.fixture(scope="module")
def motion(solver, clip):
    return pp.solve_ik(solver, clip.result(20), samples=20)


def points(motion, quaternions):
    found = motion.points(quaternions)[:, 0, list(H36M_POINTS)].numpy()
    return found - found[:, :1]


def jerks(poses):
    return np.linalg.norm(np.diff(poses, n=2, axis=0), axis=-1).mean()


def test_the_path_of_a_clip_is_its_middle_and_as_smooth(solver, clip, motion, truth):
    path = motion.choose("path")
    assert np.array_equal(path[:, 0], motion.mean)
    shown = points(motion, path)
    assert np.linalg.norm(shown - clip.mean.numpy(), axis=-1).mean() < 0.025
    truth = truth.numpy()
    smooth = jerks(clip.mean.numpy() - truth)
    frames = pp.solve_ik(solver, pp.lift(clip.lifter, clip.keypoints, samples=20), samples=20)
    alone = jerks(points(frames, frames.choose("path")) - truth)
    assert jerks(shown - truth) < 2.0 * smooth + 0.001
    assert jerks(shown - truth) < 0.3 * alone


def test_hypotheses_are_whole_motions(clip, motion):
    samples = clip.sample(20, seed=0).numpy()
    for k in (0, 7):
        turned = points(motion, motion.rotations[:, k : k + 1])
        assert np.linalg.norm(turned - samples[k], axis=-1).mean() < 0.05
        # limbs lie along those of the motion
        for start, end in ((1, 2), (2, 3), (14, 15), (15, 16)):
            ours, theirs = (one[:, end] - one[:, start] for one in (turned, samples[k]))
            cosine = (ours * theirs).sum(-1) / np.linalg.norm(ours, axis=-1) / np.linalg.norm(theirs, axis=-1)
            assert cosine.min() > 0.999
    several = motion.choose("path", 3)
    assert np.array_equal(several, motion.rotations[:, :3])
    assert np.array_equal(motion.choose("samples", 3), several)
    assert np.isnan(motion.log_prob).all()
    with pytest.raises(pp.InputError, match="have no density, so that no sample is best"):
        motion.choose("best")


def test_clusters_of_a_clip_are_whole_motions_too(motion):
    chosen, weights = motion.representatives(3)
    assert np.allclose(weights.sum(1), 1)
    assert (weights == weights[0]).all()
    for way in range(3):
        same = (motion.rotations == chosen[:, way : way + 1]).all((0, 2, 3))
        assert same.any()  # one sample throughout


def test_motions_have_one_body_and_are_written(motion, tmp_path):
    assert (motion.offsets == motion.offsets[:1]).all()
    (path,) = motion.save(tmp_path / "walk.bvh", fps=30)
    assert path.read_text().count("\n") > 24
    assert len(motion.save(tmp_path / "walks.bvh", how="samples", count=2, fps=30)) == 2


def test_more_motions_than_become_rotations_are_left_out(solver, clip):
    result = clip.result(MOTIONS + 8)[:6]
    assert pp.solve_ik(solver, result, samples=MOTIONS + 8).rotations.shape[1] == MOTIONS


def test_the_smallest_rotation_from_one_direction_to_another():
    start, end = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turn = _swing(start, end)
    identity = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    torch.testing.assert_close(turn @ turn.mT, identity, atol=1e-9, rtol=0)
    turned = (turn @ start.unsqueeze(-1)).squeeze(-1)
    assert torch.cosine_similarity(turned, end, dim=-1).min() > 1 - 1e-6
    axis = torch.linalg.cross(start, end)
    torch.testing.assert_close((turn @ axis.unsqueeze(-1)).squeeze(-1), axis, atol=1e-9, rtol=1e-7)


def steps(quaternions):
    """Degrees that each joint turns from frame to frame, relative to its parent: (frames - 1, motions, 22)."""
    turns = matrices(quaternions)
    return geodesic_angle(turns[1:], turns[:-1]).rad2deg()


def test_no_joint_spins_in_the_path(motion):
    """Heads, hands and straight limbs, whose own turn keypoints hardly show, turn as little as the walker does."""
    assert float(steps(motion.choose("path")).max()) < 10.0


def test_no_joint_spins_in_hypotheses(motion):
    found = steps(motion.rotations)
    told = [JOINTS.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("ankle", "wrist")]
    assert float(found[..., told].max()) < 10.0  # keypoints show nothing of them
    limbs = [JOINTS.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "shoulder", "elbow")]
    assert float(found[..., [row for row in range(22) if row not in limbs]].max()) < 20.0
    assert float(found.max()) < 40.0  # arms of some hypotheses swing as fast, points and all


def test_heads_turn_no_further_than_necks_do(motion):
    """A head's turn about the neck, against the thorax: at most 80 degrees to a side (AAOS 1965)."""
    both = matrices(motion.rotations)
    head = both[..., JOINTS.index("neck"), :, :] @ both[..., JOINTS.index("head"), :, :]
    _, twist = swing_twist(head, torch.tensor([0.0, 1.0, 0.0]))
    assert float(twist.rad2deg().abs().max()) < 80.0
    assert float(torch.diff(twist, dim=0).rad2deg().abs().max()) < 20.0


def test_a_turn_that_no_point_tells_stays_the_usual_one():
    """Exact points of known turns: what they tell is found to a degree, what they do not is as usual."""
    generator = torch.Generator().manual_seed(2)
    true = roma.rotvec_to_rotmat(0.2 * torch.randn(40, 22, 3, generator=generator))
    usual = roma.rotvec_to_rotmat(0.1 * torch.randn(40, 22, 3, generator=generator)) @ true
    body = rest_offsets()
    points, _ = body_points(true, body.expand(40, 25, 3))
    seen = torch.zeros(25, dtype=torch.bool)
    seen[list(H36M_POINTS)] = True
    found = steady_turns(usual, points, body, seen)
    placed, _ = body_points(found, body.expand(40, 25, 3))
    before, _ = body_points(usual, body.expand(40, 25, 3))
    gap, old = ((one - points)[:, seen] for one in (placed, before))
    gap, old = ((one - one.mean(1, keepdim=True)).norm(dim=-1).mean() for one in (gap, old))
    assert float(gap) < 0.003
    assert float(gap) < 0.1 * float(old)
    for joint in ("left_wrist", "right_wrist", "left_ankle", "right_ankle"):
        row = JOINTS.index(joint)
        torch.testing.assert_close(found[:, row], usual[:, row], atol=1e-4, rtol=0)
    again = steady_turns(found[None], points[None], body, seen)
    assert again.shape == (1, 40, 22, 3, 3)


def test_usual_turns_pass_over_jumps():
    """A head that is thrown round in some frames is not turned by them; a turn that all frames have is kept."""
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.3, 0.0]))
    drawn = torch.eye(3).repeat(40, 22, 1, 1)
    drawn[:, JOINTS.index("head")] = turn
    drawn[::3, JOINTS.index("head")] = roma.rotvec_to_rotmat(torch.tensor([0.0, 2.9, 0.0]))
    drawn[:, JOINTS.index("left_shoulder")] = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, -1.3]))
    usual = usual_turns(drawn)
    assert float(geodesic_angle(usual[:, JOINTS.index("head")], turn).rad2deg().max()) < 2.0
    shoulder = JOINTS.index("left_shoulder")
    assert float(geodesic_angle(usual[:, shoulder], drawn[:, shoulder]).rad2deg().max()) < 2.0
