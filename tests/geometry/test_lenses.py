"""Lenses: OpenCV's two models, and their inverse."""

import pytest
import torch

from poseterior.geometry.lenses import distort, undistort

BROWN = (-0.12, 0.08, 0.001, -0.002, 0.01)
FISHEYE = (-0.03, 0.01, -0.004, 0.001)


@pytest.mark.parametrize(
    ("lens", "fisheye"),
    [(BROWN, False), ((*BROWN, 0.02, -0.01, 0.003, 1e-3, 2e-4, -1e-3, 1e-4), False), (FISHEYE, True)],
)
def test_undoing_a_lens_gives_the_points_back(lens: tuple[float, ...], fisheye: bool) -> None:
    points = torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5
    found = undistort(distort(points, lens, fisheye), lens, fisheye)
    assert bool(found.found.all())
    torch.testing.assert_close(found.points, points, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("lens", "fisheye"), [(BROWN, False), (FISHEYE, True)])
def test_the_jacobian_is_that_of_differences(lens: tuple[float, ...], fisheye: bool) -> None:
    points = torch.tensor([[0.3, -0.2], [-0.4, 0.5], [0.0, 0.01]], dtype=torch.float64)
    found = undistort(points, lens, fisheye)
    for axis in range(2):
        step = 1e-5 * torch.eye(2, dtype=torch.float64)[axis]
        two = [undistort(points + sign * step, lens, fisheye).points for sign in (1, -1)]
        torch.testing.assert_close(found.jacobian[..., axis], (two[0] - two[1]) / 2e-5, atol=1e-7, rtol=1e-6)


def test_no_lens_changes_nothing() -> None:
    points = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    found = undistort(points, (0.0, 0.0))
    assert torch.equal(found.points, points)
    assert torch.equal(found.jacobian[0], torch.eye(2, dtype=torch.float64))


def test_what_no_point_is_distorted_to_is_not_found() -> None:
    """A barrel: x (1 - 0.5 x²) is 0.54 at most."""
    found = undistort(torch.tensor([[0.3, 0.0], [0.6, 0.0]]), (-0.5,))
    assert found.found.tolist() == [True, False]
    assert found.points[1].tolist() == pytest.approx([0.6, 0.0])
