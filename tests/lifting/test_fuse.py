"""Several calibrated views of one person: one posterior in the world."""

import math

import numpy as np
import pytest
import roma
import torch

import poseterior as pp
import poseterior.lifters
from conftest import made_up_mocap
from poseterior.data.simulation.views import ViewedClip, simulated_views
from poseterior.files.errors import InputError
from poseterior.geometry.body import H36M_POINTS, body_points, rest_offsets
from poseterior.geometry.kinematics import bone_lengths
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.calibration import Camera
from poseterior.lifting.views.gaussian import View, fused, surprise
from poseterior.lifting.views.level import level_axes
from poseterior.lifting.views.persistence import fitted_parts
from poseterior.lifting.views.sides import exchanged_sides, with_sides

H36M = pp.SKELETONS["h36m17"]
KNEES = ("left_knee_flexion", "right_knee_flexion")


@pytest.fixture(scope="module")
def mdn():
    lifter = pp.load("mdn")
    lifter.clips = None
    return lifter


def steady_mocap(clips: int = 24, frames: int = 24, sway: float = 0.15):
    """People in poses of the shipped prior, who sway between two of them that are near each other."""
    with torch.no_grad():
        drawn = pp.lifters.load_prior("rotations").prior((2 * clips,)).sample((), seed=0)
    blend = (0.5 + 0.5 * torch.sin(torch.arange(frames) / 8.0))[:, None, None, None]
    first, last = drawn[:clips], drawn[clips:]
    last = roma.rotmat_slerp(first, last, torch.tensor(sway))
    steps = torch.stack([roma.rotmat_slerp(first, last, share) for share in blend.flatten()], 1).flatten(0, 1)
    points, _ = body_points(steps, rest_offsets().expand(len(steps), -1, -1))
    mocap = made_up_mocap(frames=clips * frames, clips=clips)
    half_turn = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # from the prior's axes, y down, to the store's
    places = points[:, list(H36M_POINTS)] @ half_turn
    steps = torch.cat([half_turn @ steps[:, :1], steps[:, 1:]], 1)
    mocap.h36m17[:] = places.numpy()
    mocap.rotations[:] = roma.rotmat_to_unitquat(steps).numpy()
    return mocap


@pytest.fixture(scope="module")
def clips() -> list[ViewedClip]:
    return simulated_views(steady_mocap(), clips=8, frames=12, views=4, seed=3, noise=(4.0, 12.0))


def some(clip: ViewedClip, *names: str) -> dict[str, Keypoints2D]:
    return {name: clip.keypoints[name] for name in names}


def wrong_joint(keypoints: Keypoints2D, joint: str, rows: slice = slice(None)) -> Keypoints2D:
    xy = keypoints.xy.clone()
    xy[rows, H36M.index(joint)] += torch.tensor([150.0, 90.0])
    return keypoints._replace(xy=xy)


# -- the product -------------------------------------------------------------------------------------------------


def linear_views(count: int = 3, generator: int = 0) -> tuple[list[View], torch.Tensor, torch.Tensor, int]:
    """Views from so far that pixels are linear in places; lifters' answers that are exact posteriors of one prior.

    Returns:
        Views; mean and covariance of the joint posterior by one float64 Gaussian computation; the number of joints.
    """
    torch.manual_seed(generator)
    joints, d = 4, 9
    kind = {"dtype": torch.float64}
    root = torch.randn(d, d, **kind)
    prior = 0.01 * (root @ root.T + 2 * torch.eye(d, **kind))
    truth = torch.cat([torch.zeros(1, 3, **kind), 0.3 * torch.randn(joints - 1, 3, **kind)])
    far, focal = 1e5, 1e8  # metres, px
    minus = torch.kron(torch.cat([-torch.ones(joints - 1, 1), torch.eye(joints - 1)], 1).double(), torch.eye(3, **kind))
    information = minus.T @ torch.linalg.inv(prior + 1e-6 * torch.eye(d, **kind)) @ minus
    pull = torch.zeros(3 * joints, **kind)
    views = []
    for _ in range(count):
        rotation, _ = torch.linalg.qr(torch.randn(3, 3, **kind))
        rotation = rotation * torch.linalg.det(rotation).sign()
        translation = torch.tensor([0.0, 0.0, far], **kind)
        slope = ((focal / far) * rotation[:2]).contiguous()  # of orthographic pixels
        noise = torch.diag_embed(torch.rand(joints, 2, **kind) * 40 + 5)
        seen = truth @ slope.T + (noise.diagonal(dim1=-2, dim2=-1).sqrt() * torch.randn(joints, 2, **kind))
        each = torch.kron(torch.eye(joints, **kind), slope)
        inverse = torch.block_diag(*torch.linalg.inv(noise))
        own = each.T @ inverse @ each
        information, pull = information + own, pull + each.T @ inverse @ seen.flatten()
        # What a lifter answers: the posterior of this view alone, the root integrated out (a flat prior of it).
        alone = torch.linalg.inv(minus.T @ torch.linalg.inv(prior) @ minus + own + 1e-9 * torch.eye(3 * joints, **kind))
        place = alone @ each.T @ inverse @ seen.flatten()
        mean = torch.cat([torch.zeros(3, **kind), minus @ place]).reshape(joints, 3) @ rotation.T
        turn = torch.kron(torch.eye(joints - 1, **kind), rotation.contiguous())
        covariance = turn @ minus @ alone @ minus.T @ turn.T
        views.append(
            View(
                mean[None], covariance[None], seen[None], noise[None], torch.ones(1, joints, dtype=torch.bool),
                torch.tensor([focal, focal, 0.0, 0.0], **kind), rotation, translation,
            )
        )  # fmt: skip
    exact = torch.linalg.inv(information + 1e-9 * torch.eye(3 * joints, **kind))
    return views, (exact @ pull).reshape(joints, 3), exact, joints


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_product_is_the_joint_gaussian(count: int) -> None:
    """The prior is counted once, however many views there are."""
    views, mean, covariance, _ = linear_views(count)
    found = fused(views, 0)
    # Far away depth is known of two views or more; the lifters' answers are blurred by a millimetre.
    torch.testing.assert_close(found.mean[0], mean, atol=2e-3, rtol=0)
    deviation = covariance.diagonal().sqrt()
    torch.testing.assert_close(found.covariance[0].diagonal().sqrt(), deviation, atol=1e-3, rtol=2e-2)


def test_the_order_of_views_does_not_matter() -> None:
    views, *_ = linear_views(3)
    one, other = fused(views, 0), fused(views[::-1], 0)
    torch.testing.assert_close(one.mean, other.mean, atol=1e-9, rtol=0)
    torch.testing.assert_close(one.covariance, other.covariance, atol=1e-12, rtol=1e-6)


def test_surprise_is_the_distance_from_what_all_others_expect() -> None:
    views, *_ = linear_views(3)
    noise = torch.stack([view.noise for view in views])
    distance, told = surprise(fused(views, 0), views, noise)
    assert bool(told.all())
    nothing = 1e12 * torch.eye(2, dtype=torch.float64)
    left_out = views[1].noise.clone()
    left_out[0, 2] = nothing
    without = fused([views[0], views[1]._replace(noise=left_out), views[2]], 0)
    slope = without.slope[1, 0, 2]
    block = without.covariance[0, 6:9, 6:9]
    expected = views[1].noise[0, 2] + slope @ block @ slope.T
    gap = without.residual[1, 0, 2]
    # The lifter's own answer to this view still holds the keypoint, by a third.
    assert float(distance[1, 0, 2]) == pytest.approx(float(gap @ torch.linalg.solve(expected, gap)), rel=0.5, abs=0.3)


def test_one_view_is_the_lifters_own_answer(mdn, clips: list[ViewedClip]) -> None:
    clip = clips[0]
    found = pp.fuse(mdn, some(clip, "cam1"), clip.cameras, 30.0, clip="off")
    own = clip.cameras["cam1"]
    mean, covariance = mdn(own.undistorted(clip.keypoints["cam1"])).joint_moments
    turn = torch.from_numpy(own.rotation).float()
    torch.testing.assert_close(found.mean @ turn.T, mean, atol=3e-3, rtol=0)
    blocks = covariance.unflatten(-1, (16, 3)).unflatten(1, (16, 3)).diagonal(dim1=1, dim2=3).movedim(-1, 1)
    ours = (turn @ found.covariance @ turn.T)[:, 1:]
    torch.testing.assert_close(
        ours.diagonal(dim1=-2, dim2=-1).sqrt(), blocks.diagonal(dim1=-2, dim2=-1).sqrt(), atol=3e-3, rtol=0.05
    )


# -- what it is worth --------------------------------------------------------------------------------------------


def test_more_views_narrow_the_knee_and_hold_it(mdn) -> None:
    """Widths fall from one view to two to four; intervals of 90 % hold 85 to 95 %."""
    clips = [
        clip
        for seed in (5, 6, 7)  # frames of a clip are alike: a share of 24 clips is not known to 0.05
        for clip in simulated_views(steady_mocap(), clips=24, frames=6, views=4, seed=seed, noise=(6.0, 12.0))
    ]
    widths, errors = [], []
    for names in (("cam1",), ("cam1", "cam2"), ("cam1", "cam2", "cam3", "cam4")):
        held, width, miss = [], [], []
        for clip in clips:
            found = pp.fuse(mdn, some(clip, *names), clip.cameras, 30.0, clip="off", noise="as told")
            drawn = _knees(found.sample(200))
            truth = _knees((clip.places - clip.places[:, :1]).float())
            low, high = drawn.quantile(0.05, 0), drawn.quantile(0.95, 0)
            held.append(((low <= truth) & (truth <= high)).double())
            width.append(high - low)
            miss.append((found.places.double() - clip.places).norm(dim=-1))
        share = float(torch.cat(held).mean())
        assert 0.85 <= share <= 0.95, (names, share)
        widths.append(float(torch.cat(width).mean()))
        errors.append(1000 * float(torch.cat(miss).mean()))
    assert widths[0] > 1.5 * widths[1] > 1.5 * 1.2 * widths[2], widths
    assert errors[2] < errors[1] < 30.0, errors


def _knees(poses: torch.Tensor) -> torch.Tensor:
    from poseterior.geometry.angles import POINT_ANGLES, angles_of_points

    return angles_of_points(poses, H36M)[..., [POINT_ANGLES.index(name) for name in KNEES]]


def test_a_motion_has_one_body_and_is_nearer_than_its_moments(mdn, clips: list[ViewedClip]) -> None:
    moments, motions = [], []
    for clip in clips[:4]:
        views = some(clip, "cam1", "cam3")
        alone = pp.fuse(mdn, views, clip.cameras, 30.0, clip="off")
        motion = pp.fuse(mdn, views, clip.cameras, 30.0)
        lengths = bone_lengths(motion.sample(20), H36M)
        assert float((lengths - lengths.mean(1, keepdim=True)).abs().max()) < 1e-5
        moments.append((alone.places.double() - clip.places).norm(dim=-1).mean())
        motions.append((motion.places.double() - clip.places).norm(dim=-1).mean())
    assert float(torch.stack(motions).mean()) < 0.9 * float(torch.stack(moments).mean())


# -- what is not seen, and what is wrong ---------------------------------------------------------------------------


def test_what_is_not_seen_carries_nothing(mdn, clips: list[ViewedClip]) -> None:
    clip = clips[0]
    views = some(clip, "cam1", "cam2", "cam3")
    hidden = views["cam3"].visible.clone()
    hidden[2] = False
    hidden[:, H36M.index("left_wrist")] = False
    answers = []
    for value in (0.0, 1000.0):
        xy = torch.where(hidden.unsqueeze(-1), views["cam3"].xy, value)
        other = Keypoints2D(xy, views["cam3"].covariance, hidden, (1920, 1080), ids=views["cam3"].ids)
        answers.append(pp.fuse(mdn, views | {"cam3": other}, clip.cameras, 30.0, clip="off"))
    assert torch.equal(answers[0].mean_places, answers[1].mean_places)
    assert torch.equal(answers[0].sample(5), answers[1].sample(5))
    without = pp.fuse(mdn, some(clip, "cam1", "cam2"), clip.cameras, 30.0, clip="off", noise="as told")
    torch.testing.assert_close(answers[0].mean_places[2], without.mean_places[2], atol=2e-3, rtol=0)


def test_frames_may_be_missing_in_any_camera(mdn) -> None:
    clip = simulated_views(steady_mocap(sway=0.8), clips=1, frames=12, views=3, seed=3, noise=(4.0, 12.0))[0]
    views = some(clip, "cam1", "cam2", "cam3")
    views = {
        "cam1": views["cam1"][torch.tensor([0, 1, 2, 3, 8, 9, 10, 11])],
        "cam2": views["cam2"][2:],
        "cam3": views["cam3"][:4],
    }
    views["cam2"] = views["cam2"][torch.tensor([0, 1, 6, 7, 8, 9])]
    found = pp.fuse(mdn, views, clip.cameras, 30.0)
    assert found.frame.tolist() == list(range(12))
    assert found.present.tolist() == [True] * 4 + [False] * 4 + [True] * 4
    gap = found.place_covariance[5, 1:].diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()
    shown = found.place_covariance[2, 1:].diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()
    assert float(gap.mean()) > 1.2 * float(shown.mean())


def test_a_wrong_joint_of_one_view_counts_little_and_is_named(mdn, clips: list[ViewedClip]) -> None:
    clip = clips[2]
    joint = H36M.index("right_wrist")
    right = pp.fuse(mdn, clip.keypoints, clip.cameras, 30.0, clip="off")
    spoilt = clip.keypoints | {"cam2": wrong_joint(clip.keypoints["cam2"], "right_wrist", slice(2, 6))}
    found = pp.fuse(mdn, spoilt, clip.cameras, 30.0, clip="off")
    seen = clip.keypoints["cam2"].visible[2:6, joint]
    assert float(found.weight[1, 2:6, joint][seen].max()) < 0.1
    assert "cam2 right_wrist in " in found.settings["outliers"]
    moved = (found.mean_places - right.mean_places)[:, joint].norm(dim=-1)
    assert float(moved.max()) < 0.02
    assert "cam2 right_wrist" not in right.settings.get("outliers", "")


def test_a_view_that_takes_left_for_right_is_turned_back(mdn, clips: list[ViewedClip]) -> None:
    clip = clips[3]
    group = [j for j, name in enumerate(H36M.joints) if name.split("_")[-1] in ("hip", "knee", "ankle")]
    wrong = torch.zeros(12, dtype=torch.bool)
    wrong[4:9] = True
    spoilt = clip.keypoints | {"cam3": with_sides(clip.keypoints["cam3"], tuple(group), wrong)}
    cameras = [clip.cameras[name] for name in spoilt]
    groups, found = exchanged_sides([cameras[i].undistorted(view) for i, view in enumerate(spoilt.values())], cameras)
    assert groups[0] == tuple(group)
    assert torch.equal(found[0, 2], wrong)
    assert not bool(found[0, [0, 1, 3]].any())
    assert not bool(found[1].any())
    mended, right = (pp.fuse(mdn, views, clip.cameras, 30.0) for views in (spoilt, clip.keypoints))
    assert "cam3: 5 frames (4, 5, 6, 7, 8)" in mended.settings["exchanged"]
    assert "exchanged" not in right.settings
    torch.testing.assert_close(mended.places, right.places, atol=1e-5, rtol=0)


def test_the_detectors_noise_is_put_right(mdn) -> None:
    clips = simulated_views(steady_mocap(), clips=3, frames=24, views=4, seed=1, noise=(8.0, 8.0))
    for clip in clips:
        told = {name: view.with_noise(torch.full((24,), 0.3)) for name, view in clip.keypoints.items()}
        found = pp.fuse(mdn, told, clip.cameras, 30.0, clip="off")
        assert 1 / 0.3 / 1.4 < found.noise < 1 / 0.3 * 1.4
        assert "your detector's sigma to be about 3." in found.settings["noise"] or "noise" in found.settings
        assert pp.fuse(mdn, clip.keypoints, clip.cameras, 30.0, clip="off").noise == 1.0
        assert pp.fuse(mdn, told, clip.cameras, 30.0, clip="off", noise="as told").noise == 1.0


@pytest.mark.parametrize("seed", [1, 2])
def test_views_that_are_not_of_one_scene_are_told_of(mdn, seed) -> None:
    """Cameras that are exchanged, or one file for two of them; a detector that is merely too sure is no such thing."""
    clip = simulated_views(steady_mocap(), clips=1, frames=24, views=3, seed=seed, noise=(8.0, 8.0))[0]
    first, second, third = clip.keypoints
    views = dict(clip.keypoints)
    exchanged = views | {first: views[second], second: views[first]}
    for wrong in (exchanged, views | {third: views[first]}):
        said = pp.fuse(mdn, wrong, clip.cameras, 30.0, clip="off").settings["contradiction"]
        assert said.startswith("the views contradict each other: check the calibration, which camera is which")
    sure = {name: view.with_noise(torch.full((24,), 0.3)) for name, view in views.items()}
    for right in (views, sure):
        assert "contradiction" not in pp.fuse(mdn, right, clip.cameras, 30.0, clip="off").settings


def test_shares_are_found_in_correlations() -> None:
    lags = np.arange(30) / 30
    level = 0.2 + 0.5 * np.exp(-lags / 0.2)
    level[0] = 1.0
    parts = fitted_parts(level, 1 / 30)
    assert parts.constant == pytest.approx(0.2, abs=0.05)
    assert parts.slow == pytest.approx(0.5, abs=0.05)
    assert parts.seconds == pytest.approx(0.2, rel=0.3)
    white = fitted_parts(np.array([1.0, 0.0, 0.0, 0.0, 0.0]), 1 / 30)
    assert white.constant == white.slow == 0.0


# -- results -----------------------------------------------------------------------------------------------------


def test_a_result_stands_upright_in_the_world(mdn, clips: list[ViewedClip], tmp_path) -> None:
    clip = clips[0]
    up = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]], dtype=torch.float64)  # to z up
    moved = torch.tensor([0.5, -2.0, 1.0], dtype=torch.float64)
    cameras = {}
    for name, camera in clip.cameras.items():
        rotation = camera.rotation @ up.numpy().T
        cameras[name] = Camera(
            name,
            camera.intrinsics,
            rotation,
            camera.translation - rotation @ moved.numpy(),
            image_size=camera.image_size,
        )
    found = pp.fuse(mdn, clip.keypoints, cameras, 30.0)
    places = clip.places @ up.T + moved
    assert float((found.places.double() - places).norm(dim=-1).mean()) < 0.02
    result = found.result(50)
    assert result.settings["world"] == "the calibration's world: right is its x, down its -z, forward its y"
    torch.testing.assert_close(
        torch.from_numpy(result.root) @ found.level.float(), found.places[:, 0], atol=1e-5, rtol=0
    )
    head, ankle = H36M.index("head_top"), H36M.index("left_ankle")
    assert (result.mean[:, head, 1] < result.mean[:, ankle, 1] - 0.5).all()
    saved = result.save(tmp_path / "r.npz")[0]
    again = pp.load_result(saved)
    np.testing.assert_array_equal(again.root, result.root)
    drawn = found.sample_places(50) @ found.level.float().T
    np.testing.assert_allclose(again.absolute_samples().swapaxes(0, 1), drawn.numpy(), atol=1e-5)
    assert not result.calibrated
    assert not found.region(0.9).calibrated


def test_what_is_drawn_agrees_with_mean_and_covariance(mdn, clips: list[ViewedClip]) -> None:
    clip = clips[0]
    found = pp.fuse(mdn, some(clip, "cam1", "cam2"), clip.cameras, 30.0, clip="off")
    drawn = found.sample_places(2000)
    torch.testing.assert_close(drawn.mean(0), found.places, atol=4e-3, rtol=0)
    torch.testing.assert_close(
        drawn.var(0).sqrt(), found.place_covariance.diagonal(dim1=-2, dim2=-1).sqrt(), atol=1e-3, rtol=0.12
    )
    relative = found.sample(2000)
    torch.testing.assert_close(
        relative.var(0).sqrt()[:, 1:], found.covariance.diagonal(dim1=-2, dim2=-1).sqrt()[:, 1:], atol=1e-3, rtol=0.12
    )
    assert torch.equal(found.sample(7, seed=3), found.sample(60, seed=3)[:7])


def test_axes_of_a_level_camera() -> None:
    camera = Camera("a", (1.0, 1.0, 0.0, 0.0), np.eye(3), [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(level_axes([camera], "auto"), np.eye(3))
    for up in ("x", "-x", "y", "-y", "z", "-z"):
        turn = level_axes([camera], up)
        assert np.linalg.det(turn) == pytest.approx(1.0)
        axis = np.eye(3)["xyz".index(up[-1])] * (-1 if up[0] == "-" else 1)
        np.testing.assert_allclose(turn @ axis, [0.0, -1.0, 0.0])


# -- bad input ---------------------------------------------------------------------------------------------------


def test_what_cannot_be_fused_is_refused(mdn, clips: list[ViewedClip]) -> None:
    clip = clips[0]
    with pytest.raises(InputError, match="fuse: no camera's keypoints are given"):
        pp.fuse(mdn, {}, clip.cameras)
    with pytest.raises(InputError, match=r"^fuse: no camera is calibrated; give the calibration's file, or a Camera"):
        pp.fuse(mdn, clip.keypoints, {})
    with pytest.raises(InputError, match="fuse: camera 'left': is not in the calibration, which has 'cam1', 'cam2'"):
        pp.fuse(mdn, {"left": clip.keypoints["cam1"]}, clip.cameras)
    two = clip.keypoints["cam1"]
    two = two._replace(ids=[i._replace(person=i.frame % 2) for i in two.ids])
    with pytest.raises(InputError, match="fuse: camera 'cam1': shows 2 people; give the keypoints of one"):
        pp.fuse(mdn, {"cam1": two}, clip.cameras)
    twice = clip.keypoints["cam2"]
    twice = twice._replace(ids=[i._replace(frame=i.frame // 2) for i in twice.ids])
    with pytest.raises(InputError, match="fuse: camera 'cam2': frame 0 is there twice; give each frame once"):
        pp.fuse(mdn, {"cam2": twice}, clip.cameras)
    with pytest.raises(InputError, match="up: expected one of auto, x, -x, y, -y, z, -z, got 'w'"):
        pp.fuse(mdn, some(clip, "cam1"), clip.cameras, up="w")
    with pytest.raises(InputError, match="fuse: clip: expected auto, on or off"):
        pp.fuse(mdn, some(clip, "cam1"), clip.cameras, clip="maybe")
    with pytest.raises(InputError, match="max_gap: expected seconds from 0, got nan"):
        pp.fuse(mdn, some(clip, "cam1"), clip.cameras, max_gap=math.nan)
    nobody = clip.keypoints["cam1"]._replace(visible=torch.zeros(12, 17, dtype=torch.bool))
    with pytest.raises(InputError, match="fuse: no camera shows anybody"):
        pp.fuse(mdn, {"cam1": nobody}, clip.cameras)
