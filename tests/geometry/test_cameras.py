import math

import numpy as np
import pytest
import roma
import torch

from poseterior.files.errors import InputError
from poseterior.geometry.cameras import (
    ASSUMED_FIELD_OF_VIEW,
    assumed_intrinsics,
    explaining_root,
    explaining_root_of,
    fit_root,
    pixels_to_plane,
    project,
    turn_to_axis,
)
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.view import canonical_view, reprojection_energy, solve_root


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


# -- where a hypothesis stands -----------------------------------------------------------------------------


def scattered_roots(count: int) -> torch.Tensor:
    """Roots 3 to 6 m away, somewhere in the picture."""
    unit = torch.rand(count, 3, generator=torch.Generator().manual_seed(5))
    return torch.tensor([-1.0, -0.5, 3.0]) + unit * torch.tensor([2.0, 1.0, 3.0])


def noisy_hypotheses(people: torch.Tensor) -> torch.Tensor:
    """Seven wrong hypotheses of each person (7, 32, 17, 3)."""
    noise = 0.05 * torch.randn(7, *people.shape, generator=torch.Generator().manual_seed(6))
    return people + noise - noise[..., :1, :]


def slanted_covariance(people: torch.Tensor) -> torch.Tensor:
    """A covariance with a tilted ellipse of its own for every keypoint."""
    factor = torch.randn(*people.shape[:-1], 2, 2, generator=torch.Generator().manual_seed(7))
    return 4.0 * factor @ factor.mT + torch.eye(2)


def test_root_is_exact_where_the_pose_fits(people):
    roots = scattered_roots(len(people))
    keypoints = seen(people, roots.unsqueeze(1), INTRINSICS, covariance=slanted_covariance(people))
    torch.testing.assert_close(solve_root(people.double(), keypoints), roots.double(), atol=2e-5, rtol=0)
    assert float(reprojection_energy(people, roots, keypoints).amax()) < 1e-4


def test_root_of_many_hypotheses_is_that_of_each(people):
    roots = scattered_roots(len(people))
    keypoints = seen(people, roots.unsqueeze(1), INTRINSICS, covariance=slanted_covariance(people))
    hypotheses = noisy_hypotheses(people).double()
    solved = solve_root(hypotheses, keypoints)
    assert solved.shape == (7, len(people), 3)
    for pose in range(0, len(people), 5):
        arrays = (keypoints.xy[pose], keypoints.covariance[pose], keypoints.visible[pose])
        fitted = fit_root(hypotheses[:, pose].numpy(), *(array.numpy() for array in arrays), INTRINSICS.tolist())
        np.testing.assert_allclose(solved[:, pose].numpy(), fitted, atol=1e-9)
    torch.testing.assert_close(solve_root(hypotheses[2], keypoints), solved[2])
    torch.testing.assert_close(solve_root(hypotheses[2, 3], keypoints[3]), solved[2, 3])


def test_root_solves_the_whitened_equations_in_least_squares(people):
    """Against a general solver, on the equations written out one by one."""
    root = scattered_roots(1)[0]
    keypoints = seen(people[0], root, INTRINSICS, covariance=slanted_covariance(people)[0])
    pose = noisy_hypotheses(people)[0, 0].double()
    fx, fy, cx, cy = INTRINSICS.tolist()
    rows, right = [], []
    for joint in range(17):
        u, v = keypoints.xy[joint].double().tolist()
        equations = torch.tensor([[fx, 0.0, cx - u], [0.0, fy, cy - v]], dtype=torch.float64)
        equations = torch.linalg.cholesky(keypoints.covariance[joint].double().inverse()).mT @ equations
        rows.append(equations)
        right.append(-equations @ pose[joint])
    expected = torch.linalg.lstsq(torch.cat(rows), torch.cat(right).unsqueeze(-1)).solution.squeeze(-1)
    torch.testing.assert_close(solve_root(pose, keypoints), expected, atol=1e-8, rtol=0)


def test_hidden_joints_do_not_matter_to_root_and_energy(people):
    roots = scattered_roots(len(people))
    visible = torch.ones(32, 17, dtype=torch.bool)
    visible[:, [3, 16]] = False
    keypoints = seen(people, roots.unsqueeze(1), INTRINSICS, visible=visible)
    holes = torch.where(visible.unsqueeze(-1), noisy_hypotheses(people), float("nan"))
    solved = solve_root(noisy_hypotheses(people), keypoints)
    torch.testing.assert_close(solve_root(holes, keypoints), solved)
    energy = reprojection_energy(holes, solved, keypoints)
    assert (energy[..., [3, 16]] == 0).all()
    assert (energy[..., visible[0]] > 0).all()


@pytest.mark.parametrize("count", [0, 1])
def test_root_needs_two_visible_joints(people, count: int):
    visible = torch.zeros(32, 17, dtype=torch.bool)
    visible[:, :count] = True
    keypoints = seen(people, torch.tensor([0.0, 0.0, 4.0]), INTRINSICS, visible=visible)
    root = solve_root(people, keypoints)
    assert root.isnan().all()
    energy = reprojection_energy(people, root, keypoints)
    assert (energy[..., :count] == float("inf")).all()
    assert (energy[..., count:] == 0).all()


def test_root_without_intrinsics_is_that_of_the_assumed_camera(people):
    size = torch.tensor([1280.0, 720.0])
    roots = scattered_roots(len(people))
    keypoints = Keypoints2D(project(people + roots.unsqueeze(1), assumed_intrinsics(size)), image_size=size)
    torch.testing.assert_close(solve_root(people, keypoints), roots, atol=2e-4, rtol=0)


def test_root_without_any_camera_is_far_away_and_finite(people):
    keypoints = Keypoints2D(project(people + torch.tensor([0.0, 0.0, 4.0]), INTRINSICS))
    root = solve_root(people, keypoints)
    assert root.isfinite().all()
    # apparent size 0.1 of a person of about 0.45 m
    assert (root[:, 2] > 3.0).all()
    pixels = reprojection_energy(people, root, keypoints).sqrt() * keypoints.covariance[..., 0, 0].sqrt()
    assert (pixels.mean(-1) < 0.1 * keypoints.size).all()


def test_energy_is_the_squared_mahalanobis_distance(people):
    """Golden: 3 px right and 4 px down, standard deviations 1 and 2 px, then a tilted ellipse."""
    root = torch.tensor([0.2, 0.1, 4.0])
    xy = project(people[0] + root, INTRINSICS) - torch.tensor([3.0, 4.0])
    covariance = torch.tensor([[1.0, 0.0], [0.0, 4.0]]).repeat(17, 1, 1)
    covariance[5] = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    energy = reprojection_energy(people[0], root, Keypoints2D(xy, covariance, intrinsics=INTRINSICS))
    expected = torch.full((17,), 9.0 + 4.0)
    expected[5] = (2 * 9 - 2 * 12 + 2 * 16) / 3
    torch.testing.assert_close(energy, expected, atol=2e-3, rtol=0)


def test_joint_behind_the_camera_explains_nothing(people):
    keypoints = seen(people[0], torch.tensor([0.0, 0.0, 4.0]), INTRINSICS)
    behind = people[0].clone()
    behind[4, 2] = -5.0
    energy = reprojection_energy(behind, torch.tensor([0.0, 0.0, 4.0]), keypoints)
    assert energy[4] == float("inf")
    assert energy.isfinite().sum() == 16


@pytest.mark.parametrize("solve", [solve_root, lambda p, k: reprojection_energy(p, torch.zeros(3), k)])
def test_root_needs_one_skeleton(people, solve):
    keypoints = Keypoints2D(torch.rand(32, 14, 2), skeleton="lsp14")
    with pytest.raises(InputError) as caught:
        solve(people, keypoints)
    assert str(caught.value) == (
        "poses have 17 joints, but the keypoints' skeleton 'lsp14' has 14; "
        "give the keypoints in the skeleton of the poses"
    )


def test_the_root_of_each_pose_whatever_its_company_tells() -> None:
    """Two joints at one place, one joint and none leave the root open; that of the others is what it is alone."""
    generator = torch.Generator().manual_seed(3)
    poses = torch.randn(5, 17, 3, generator=generator, dtype=torch.float64)
    place = torch.tensor([0.2, -0.1, 5.0], dtype=torch.float64)
    xy = project(poses + place, INTRINSICS.double()) + torch.randn(5, 17, 2, generator=generator)
    visible = torch.ones(5, 17, dtype=torch.bool)
    visible[2, 1:], visible[3], visible[4, 2:] = False, False, False
    xy[4, 1] = xy[4, 0]
    covariance, intrinsics = 4.0 * torch.eye(2).expand(5, 17, 2, 2), INTRINSICS.expand(5, 4)
    stands = explaining_root_of(xy, covariance, visible, intrinsics)
    assert stands.isfinite().all()
    assert torch.equal(stands[:2], explaining_root_of(xy[:2], covariance[:2], visible[:2], intrinsics[:2]))
    root = (stands @ poses.flatten(1).unsqueeze(-1)).squeeze(-1)
    expected = explaining_root(poses, xy, covariance, visible, intrinsics)
    torch.testing.assert_close(root[:2], expected[:2], rtol=0, atol=1e-9)
    torch.testing.assert_close(root[4], expected[4], rtol=0, atol=1e-6)
