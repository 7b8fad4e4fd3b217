"""Rotations of clips that were lifted as a whole: as smooth as the clip's posterior, without a filter."""

import numpy as np
import pytest
import torch
from test_lift_clip import seen, walker

import poseterior as pp
from conftest import STANDING
from poseterior.geometry.body import H36M_POINTS
from poseterior.lifting.motion_ik import MOTIONS, _swing


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
