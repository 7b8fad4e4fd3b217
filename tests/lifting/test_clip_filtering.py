"""The filter over a clip against the same Gaussian written out in full."""

import math

import numpy as np
import pytest
import torch

from poseterior.evaluation.clip_errors import motion_covariance
from poseterior.lifting.clips.filtering import PLACE, RETURN, SPEED, Seen, filtered, smoothed, step_of
from poseterior.lifting.clips.motion import DENSITIES, motion_densities

FRAMES, SIZE = 12, 3


def seen_clip(seed: int = 0) -> Seen:
    """Uneven times, some frames missing, errors that change from frame to frame."""
    rng = np.random.default_rng(seed)
    step = np.full(FRAMES, 1 / 30)
    step[5] = 0.4
    known = np.ones((FRAMES, SIZE), dtype=bool)
    known[3:5] = False
    known[9, 1] = False
    value = 0.2 * rng.standard_normal((FRAMES, SIZE))
    slow = 0.02 + 0.03 * rng.random((FRAMES, SIZE))
    return Seen(value, known, step, slow, (0.01 + 0.02 * rng.random((FRAMES, SIZE))) ** 2, np.array([0.1, 0.2, 0.5]))


def in_full(seen: Seen, density: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (T, d), covariance (d, T, T) and log evidence (d,) by dense algebra."""
    times = np.cumsum(np.r_[0.0, seen.step[1:]])
    motion = motion_covariance(torch.from_numpy(times), torch.from_numpy(density), PLACE, SPEED, RETURN).numpy()
    mean, covariance, evidence = np.empty((FRAMES, SIZE)), np.empty((SIZE, FRAMES, FRAMES)), np.empty(SIZE)
    for i in range(SIZE):
        fading = np.exp(-np.abs(times[:, None] - times) / seen.seconds[i])
        error = seen.slow[:, i, None] * seen.slow[:, i] * fading + np.diag(seen.white[:, i])
        rows = seen.known[:, i]
        whole = (motion[i] + error)[np.ix_(rows, rows)]
        gain = np.linalg.solve(whole, motion[i][rows]).T
        mean[:, i] = gain @ seen.value[rows, i]
        covariance[i] = motion[i] - gain @ motion[i][rows]
        gap = seen.value[rows, i]
        evidence[i] = -0.5 * (
            gap @ np.linalg.solve(whole, gap) + np.linalg.slogdet(whole)[1] + rows.sum() * math.log(2 * math.pi)
        )
    return mean, covariance, evidence


def test_filter_and_smoother_are_the_gaussian_in_full():
    seen, density = seen_clip(), np.array([0.3, 5.0, 80.0])
    found = filtered(seen, density)
    smooth = smoothed(found, seen, density)
    mean, covariance, evidence = in_full(seen, density)
    np.testing.assert_allclose(found.log_evidence, evidence, rtol=1e-9)
    np.testing.assert_allclose(smooth.mean, mean, atol=1e-9)
    np.testing.assert_allclose(smooth.variance, np.diagonal(covariance, axis1=1, axis2=2).T, rtol=1e-6, atol=1e-13)


def test_paths_have_the_covariance_of_the_posterior():
    seen, density = seen_clip(), np.array([0.3, 5.0, 80.0])
    smooth = smoothed(filtered(seen, density), seen, density)
    _, covariance, _ = in_full(seen, density)
    # The map from normal numbers to paths is linear: its columns are the paths of unit vectors.
    units = np.eye(FRAMES * 3).reshape(FRAMES * 3, FRAMES, 3).transpose(1, 0, 2)
    normal = np.broadcast_to(units[:, None], (FRAMES, SIZE, FRAMES * 3, 3))
    paths = smooth.draw(np.ascontiguousarray(normal))  # (T, d, columns)
    for i in range(SIZE):
        np.testing.assert_allclose(paths[:, i] @ paths[:, i].T, covariance[i], atol=1e-8)


def test_several_densities_at_once_are_those_one_by_one():
    seen = seen_clip()
    together = filtered(seen, np.broadcast_to(DENSITIES[:, None], (len(DENSITIES), SIZE)), keep=False).log_evidence
    alone = [filtered(seen, np.full(SIZE, density), keep=False).log_evidence for density in DENSITIES]
    np.testing.assert_allclose(together, np.stack(alone), rtol=1e-12)


@pytest.mark.parametrize("true", [0.01, 10.0])
def test_how_lively_a_joint_is_is_found(true):
    """Of long clips, to half a decade."""
    rng = np.random.default_rng(1)
    count, step = 400, 1 / 30
    go = step_of(step)
    root = np.linalg.cholesky(true * np.array([[go.new_xx, go.new_xv], [go.new_xv, go.new_vv]]))
    states = [np.zeros((2, 3))]
    for _ in range(count - 1):
        moved = np.array([[go.xx, go.xv], [go.vx, go.vv]]) @ states[-1]
        states.append(moved + root @ rng.standard_normal((2, 3)))
    value = np.stack(states)[:, 0] + 0.01 * rng.standard_normal((count, 3))
    seen = Seen(
        value - value.mean(0), np.ones((count, 3), bool), np.full(count, step), np.full((count, 3), 1e-4),
        np.full((count, 3), 1e-4), np.full(3, 0.1),
    )  # fmt: skip
    found = motion_densities(seen)
    assert len(set(found)) == 1
    assert abs(math.log10(found[0] / true)) < 0.5


@pytest.mark.parametrize("dt", [1 / 240, 1 / 30, 0.5])
def test_steps_of_time_add_up(dt):
    """Two halves are the whole, and a short one is that of a body that nothing holds back."""
    half, whole = step_of(dt / 2), step_of(dt)
    move = np.array([[half.xx, half.xv], [half.vx, half.vv]])
    new = np.array([[half.new_xx, half.new_xv], [half.new_xv, half.new_vv]])
    np.testing.assert_allclose(move @ move, [[whole.xx, whole.xv], [whole.vx, whole.vv]], rtol=1e-12, atol=1e-15)
    expected = [[whole.new_xx, whole.new_xv], [whole.new_xv, whole.new_vv]]
    np.testing.assert_allclose(move @ new @ move.T + new, expected, rtol=1e-7)
    free = step_of(dt, 1e-2)
    assert free.new_xx == pytest.approx(dt**3 / 3, rel=0.02)
    assert free.new_vv == pytest.approx(dt, rel=0.02)


def test_joints_that_are_not_seen_for_long_fall_back():
    count = 60
    known = np.zeros((count, 1), bool)
    known[:5] = True
    value = 0.1 + 0.03 * np.arange(count)[:, None]
    seen = Seen(value, known, np.full(count, 1 / 30), np.full((count, 1), 1e-4), np.full((count, 1), 1e-4), np.ones(1))
    found = smoothed(filtered(seen, np.ones(1)), seen, np.ones(1))
    assert abs(found.mean[-1, 0]) < 0.5 * found.mean[:, 0].max() < 0.5
    assert found.variance[-1, 0] < 0.25 / RETURN**3
