"""Axes of a floor."""

import numpy as np

from poseterior.results.ground import upright_axes


def test_upright_axes():
    generator = np.random.default_rng(0)
    up = np.array([0.1, -0.9, -0.3]) + 0.2 * generator.standard_normal((5, 3))
    up /= np.linalg.norm(up, axis=-1, keepdims=True)
    turn, raised = upright_axes(np.concatenate([up, np.full((5, 1), 1.4)], -1))
    np.testing.assert_allclose(turn @ turn.swapaxes(-1, -2), np.tile(np.eye(3), (5, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turn), 1.0)
    np.testing.assert_allclose((turn @ up[..., None])[..., 0], np.tile([0, 1, 0], (5, 1)), atol=1e-12)
    on_the_floor = -1.4 * up + np.cross(up, generator.standard_normal((5, 3)))
    heights = ((turn @ on_the_floor[..., None])[..., 0] + raised)[:, 1]
    np.testing.assert_allclose(heights, 0.0, atol=1e-12)
    ahead = turn @ np.array([0.0, 0.0, 1.0])
    assert (ahead[:, 2] < 0).all()
    np.testing.assert_allclose(ahead[:, 0], 0.0, atol=1e-12)


def test_unknown_floors_and_steep_cameras():
    turn, raised = upright_axes(np.array([[np.nan] * 4, [0.0, 0.0, -1.0, 3.0]]))
    np.testing.assert_allclose(turn[0], np.diag([1.0, -1.0, -1.0]))
    np.testing.assert_allclose(raised[0], 0.0)
    # straight down: the upper side of the picture is ahead
    np.testing.assert_allclose(turn[1], [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]], atol=1e-12)
