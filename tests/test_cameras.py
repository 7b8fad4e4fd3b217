import math

import pytest
import roma
import torch

from poseterior.cameras import (
    ASSUMED_FIELD_OF_VIEW,
    assumed_intrinsics,
    canonical_view,
    pixels_to_plane,
    project,
    turn_to_axis,
)
from poseterior.keypoints import Keypoints2D


def seen(pose: torch.Tensor, root: torch.Tensor, intrinsics: torch.Tensor, **kwargs) -> Keypoints2D:
    return Keypoints2D(project(pose + root, intrinsics), intrinsics=intrinsics, **kwargs)


INTRINSICS = torch.tensor([1100.0, 1150.0, 640.0, 360.0])


def test_projection_and_rays_are_inverse(people):
    absolute = people + torch.tensor([0.3, -0.2, 4.0])
    plane = pixels_to_plane(project(absolute, INTRINSICS), INTRINSICS)
    torch.testing.assert_close(plane, absolute[..., :2] / absolute[..., 2:])


def test_turn_to_axis_is_a_rotation_that_does_what_it_says():
    direction = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direction[:, 2] = direction[:, 2].abs() + 0.1
    turn = turn_to_axis(direction)
    torch.testing.assert_close(turn @ turn.transpose(-1, -2), torch.eye(3, dtype=torch.float64).expand(50, 3, 3))
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(50, dtype=torch.float64))
    unit = direction / direction.norm(dim=-1, keepdim=True)
    expected = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(50, 3)
    torch.testing.assert_close((turn @ unit.unsqueeze(-1)).squeeze(-1), expected)


def test_assumed_camera_has_the_assumed_field_of_view():
    fx, _, cx, cy = assumed_intrinsics(torch.tensor([1920.0, 1080.0])).tolist()
    assert math.degrees(2 * math.atan(960 / fx)) == pytest.approx(ASSUMED_FIELD_OF_VIEW, abs=1e-3)
    assert (cx, cy) == (960, 540)


def test_perspective_is_exact_with_known_intrinsics(people):
    """The view of an off-centre person is what the turned camera would have seen."""
    root = torch.tensor([1.5, 0.7, 4.0])
    view = canonical_view(seen(people, root, INTRINSICS))
    turned = (people + root) @ view.rotation.transpose(-1, -2)
    plane = turned[..., :2] / turned[..., 2:]
    expected = (plane - plane.mean(-2, keepdim=True)) / view.scale[:, None, None]
    torch.testing.assert_close(view.points, expected, atol=1e-4, rtol=0)


def test_view_does_not_depend_on_where_the_camera_points(people):
    """Turning a camera about its centre moves the person in the picture but not the canonical view."""
    root = torch.tensor([0.0, 0.0, 4.0])
    turn = roma.rotvec_to_rotmat(torch.tensor([0.2, -0.3, 0.0]))
    straight = canonical_view(seen(people, root, INTRINSICS))
    turned = canonical_view(seen(people @ turn.T, turn @ root, INTRINSICS))
    # The two views may still differ by a turn about the viewing axis.
    a, b = (v.points @ v.points.transpose(-1, -2) for v in (straight, turned))
    torch.testing.assert_close(a, b, atol=2e-2, rtol=0)
    torch.testing.assert_close(straight.scale, turned.scale, rtol=5e-3, atol=0)


def test_covariance_is_carried_along(people):
    """First-order propagation against Monte Carlo (20,000 draws, 5 %)."""
    keypoints = seen(people[:1], torch.tensor([1.0, 0.5, 4.0]), INTRINSICS, covariance=torch.full((1, 17), 3.0))
    view = canonical_view(keypoints)
    plane = pixels_to_plane(keypoints.xy, keypoints.intrinsics)
    noise = 3.0 * torch.randn(20_000, 17, 2, generator=torch.Generator().manual_seed(0))
    noisy = plane + noise / INTRINSICS[:2]
    rays = torch.cat([noisy, torch.ones(20_000, 17, 1)], -1) @ view.rotation[0].T
    spread = (rays[..., :2] / rays[..., 2:]) / view.scale[0]
    for joint in (0, 3, 16):
        measured = torch.cov(spread[:, joint].T)
        torch.testing.assert_close(view.covariance[0, joint], measured, rtol=0.05, atol=2e-5)


@pytest.mark.parametrize(("kwargs", "knowledge"), [({}, 0), ({"image_size": (1280, 720)}, 1)])
def test_what_is_known_is_told(people, kwargs, knowledge):
    view = canonical_view(Keypoints2D(project(people + torch.tensor([0.0, 0.0, 4.0]), INTRINSICS), **kwargs))
    assert (view.knowledge == knowledge).all()
    assert view.points.isfinite().all()


def test_nothing_known_ignores_place_and_size(people):
    xy = project(people + torch.tensor([0.0, 0.0, 4.0]), INTRINSICS)
    covariance = torch.full(xy.shape[:-1], 4.0)
    here = canonical_view(Keypoints2D(xy, covariance))
    there = canonical_view(Keypoints2D(3.0 * xy + 500.0, 3.0 * covariance))
    torch.testing.assert_close(here.points, there.points, atol=1e-4, rtol=0)
    torch.testing.assert_close(here.covariance, there.covariance, atol=1e-4, rtol=1e-3)


def test_useless_joints_count_as_hidden(people):
    keypoints = seen(people, torch.tensor([0.0, 0.0, 4.0]), INTRINSICS)
    spread = keypoints.covariance.diagonal(dim1=-2, dim2=-1)[..., 0].sqrt()
    spread[:, 4] = 10.0 * keypoints.size
    view = canonical_view(Keypoints2D(keypoints.xy, spread, intrinsics=INTRINSICS))
    assert not view.visible[:, 4].any()
    assert view.visible[:, 5].all()


@pytest.mark.parametrize("visible", [0, 1, 2])
def test_hardly_anything_visible_is_finite(people, visible: int):
    mask = torch.zeros(17, dtype=torch.bool)
    mask[:visible] = True
    view = canonical_view(seen(people, torch.tensor([0.0, 0.0, 4.0]), INTRINSICS, visible=mask.expand(32, 17)))
    for value in (view.points, view.covariance, view.scale, view.rotation):
        assert value.isfinite().all()
