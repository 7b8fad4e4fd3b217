"""3D points that lie, hang or are mirrored are asked about."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

import poseterior as pp
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints.points3d import AXES, turned
from poseterior.lifting.posture import check_handedness, check_standing, mirror_gain, upright

SMPL = SKELETONS["smpl22"]


@pytest.fixture(scope="module")
def lifter() -> pp.Lifter:
    return pp.load("rotations")


@pytest.fixture(scope="module")
def clip(lifter: pp.Lifter) -> np.ndarray:
    """Poses of the prior turned upright, y up: (12, 22, 3)."""
    from poseterior.lifting.prior import sample_prior

    poses = sample_prior(lifter, 12, seed=3)
    rotations = torch.from_numpy(poses.mean).clone()
    rotations[:, 0] = torch.tensor([0.0, 0, 0, 1])
    return poses.points(rotations[:, None].numpy())[:, 0, :22].double().numpy()


def seen(points: np.ndarray) -> np.ndarray:
    return np.isfinite(points).all(-1)


def test_the_axis_of_a_body(clip: np.ndarray) -> None:
    assert (upright(clip, seen(clip), SMPL)[:, 1] > 0.5).mean() > 0.8
    hidden = clip.copy()
    hidden[0, :] = np.nan
    assert np.isnan(upright(hidden, seen(hidden), SMPL)[0]).all()


def test_axes_that_fit_are_named(clip: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    in_file = {name: clip @ np.array(turn) for name, turn in AXES.items()} | {"camera": clip * [1, -1, -1]}
    for own, points in in_file.items():
        check_standing(turned(points, own), seen(points), SMPL, own, told=False)  # no question
        for taken in set(AXES) - {own}:
            with pytest.raises(
                InputError,
                match=rf"a\.npy: in \d+ % of the frames .* with axes {taken}, and stands with {own}: pass "
                rf"--axes {own}, or --axes {taken} if",
            ):
                check_standing(turned(points, taken), seen(points), SMPL, taken, False, "a.npy: ")
            with caplog.at_level(logging.WARNING):
                check_standing(turned(points, taken), seen(points), SMPL, taken, True, "a.npy: ")
            assert "the person lies or hangs" in caplog.messages[-1]


def test_mirrored_points_are_asked_about(lifter: pp.Lifter, clip: np.ndarray) -> None:
    for name in ("smpl22", "coco17"):
        skeleton = SKELETONS[name]
        points = np.full((len(clip), len(skeleton), 3), np.nan)
        shared = [j for j in skeleton.joints if j in SMPL.joints]
        points[:, [skeleton.index(j) for j in shared]] = clip[:, [SMPL.index(j) for j in shared]]
        check_handedness(lifter, points, seen(points), skeleton)
        mirrored = points * [-1, 1, 1]
        assert mirror_gain(lifter, mirrored, seen(mirrored), skeleton) == pytest.approx(
            -mirror_gain(lifter, points, seen(points), skeleton), abs=1
        )
        with pytest.raises(InputError, match=r"a\.npy: the points look mirrored .* pass --handedness left, or"):
            check_handedness(lifter, mirrored, seen(mirrored), skeleton, "a.npy: ")


def test_too_few_points_tell_nothing(lifter: pp.Lifter, clip: np.ndarray) -> None:
    few = clip.copy()
    few[:, 8:] = np.nan
    assert mirror_gain(lifter, few, seen(few), SMPL) == 0.0
