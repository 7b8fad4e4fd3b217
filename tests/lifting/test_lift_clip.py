"""From the keypoints of a clip to whole motions."""

import math

import numpy as np
import pytest
import torch

import poseterior as pp
from poseterior.distributions.clip_errors import ClipErrors
from poseterior.geometry.cameras import project
from poseterior.geometry.kinematics import bone_lengths
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.lifting.clips.filtering import Seen, filtered
from poseterior.lifting.clips.frames import with_every_frame
from poseterior.lifting.clips.jitter import least_noise
from poseterior.lifting.clips.surprises import exchanged, strays, turned_back, weights_of

COUNT = 24
LEFT_ARM = [pp.SKELETONS["h36m17"].index(f"left_{joint}") for joint in ("elbow", "wrist")]


@pytest.fixture(scope="module")
def mdn():
    lifter = pp.load("mdn")
    lifter.clips = None
    return lifter


def walker(standing: torch.Tensor) -> torch.Tensor:
    """A person seen from the side who swings legs and arms for most of a second: (24, 17, 3) metres."""
    phase = torch.linspace(0, 2 * math.pi, COUNT)
    poses = standing.expand(COUNT, 17, 3).clone()
    for name, reach in (("knee", 0.12), ("ankle", 0.25), ("elbow", 0.08), ("wrist", 0.2)):
        for side, sign in (("left", 1.0), ("right", -1.0)):
            sign = -sign if name in ("elbow", "wrist") else sign
            poses[:, pp.SKELETONS["h36m17"].index(f"{side}_{name}"), 2] += sign * reach * phase.sin()
    turn = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    return poses @ turn.T


def seen(poses: torch.Tensor, keep: list[int] | None = None, file: str = "walk.json") -> Keypoints2D:
    """Keypoints with 3 px of noise of some of the frames."""
    intrinsics = torch.tensor([1200.0, 1200.0, 640.0, 480.0]).expand(len(poses), 4)
    xy = project(poses + torch.tensor([0.2, 0.1, 4.0]), intrinsics)
    xy = xy + 3.0 * torch.randn(xy.shape, generator=torch.Generator().manual_seed(1))
    rows = list(range(len(poses))) if keep is None else keep
    covariance = (9.0 * torch.eye(2)).expand(len(poses), 17, 2, 2)
    ids = [PoseId(file, row, 0) for row in range(len(poses))]
    whole = Keypoints2D(xy, covariance, intrinsics=intrinsics, image_size=(1280, 960), ids=ids)
    return whole[torch.tensor(rows)]


def acceleration(motions):
    return torch.diff(motions, n=2, dim=-3).norm(dim=-1).mean()


def test_motions_of_one_body(mdn, standing):
    clip = pp.lift_clip(mdn, seen(walker(standing)), fps=30)
    motions = clip.sample(60, seed=3)
    assert motions.shape == (60, COUNT, 17, 3)
    assert torch.equal(motions[..., 0, :], torch.zeros(60, COUNT, 3))
    lengths = bone_lengths(motions, "h36m17")
    assert float((lengths.amax(1) - lengths.amin(1)).max()) < 2e-6
    # bodies differ from motion to motion
    assert float(lengths[:, 0].std(0).min()) > 1e-4
    assert torch.equal(motions, clip.sample(60, seed=3))
    assert torch.equal(motions[:20], clip.sample(20, seed=3))
    assert not torch.equal(motions, clip.sample(60, seed=4))
    assert clip.settings["clip errors"] == "typical ones: not measured for this lifter"


def test_smoother_and_nearer_than_frames(mdn, standing):
    truth = walker(standing)
    keypoints = seen(truth)
    clip, frames = pp.lift_clip(mdn, keypoints, fps=30), mdn(keypoints)
    assert acceleration(clip.mean - truth) < 0.4 * acceleration(frames.mean - truth)
    assert (clip.mean - truth).norm(dim=-1).mean() < (frames.mean - truth).norm(dim=-1).mean()
    assert acceleration(clip.sample(20)) < 0.3 * acceleration(frames.sample((20,), seed=0))


def test_the_order_and_the_company_of_frames_change_nothing(mdn, standing):
    keypoints = seen(walker(standing))
    once = pp.lift_clip(mdn, keypoints, fps=30)
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))
    again = pp.lift_clip(mdn, keypoints[order], fps=30)
    assert again.frame.tolist() == list(range(COUNT))
    torch.testing.assert_close(again.sample(5, seed=1), once.sample(5, seed=1), atol=1e-5, rtol=0)


def test_missing_frames_are_filled_and_wide(mdn, standing):
    keep = [row for row in range(COUNT) if not 9 <= row <= 14]
    clip = pp.lift_clip(mdn, seen(walker(standing), keep), fps=30)
    assert len(clip) == COUNT
    assert clip.present.tolist() == [row in keep for row in range(COUNT)]
    spread = clip.covariance.diagonal(dim1=-2, dim2=-1).sum(-1)[:, LEFT_ARM[1]]
    assert float(spread[11]) > 1.3 * float(spread[3])
    assert len(pp.lift_clip(mdn, seen(walker(standing), keep), fps=30, max_gap=0.1)) == len(keep)
    assert "missing=6" in repr(clip)


def test_a_hidden_limb_gets_wide_and_comes_back(mdn, standing):
    keypoints = seen(walker(standing))
    visible = keypoints.visible.clone()
    visible[8:16, LEFT_ARM] = False
    clip = pp.lift_clip(mdn, keypoints._replace(visible=visible), fps=30)
    spread = clip.covariance.diagonal(dim1=-2, dim2=-1).sum(-1)[:, LEFT_ARM[1]]
    assert float(spread[12]) > 1.5 * float(spread[1])
    assert float(spread[22]) < 0.7 * float(spread[12])


def test_exchanged_sides_are_turned_back(mdn, standing):
    truth = walker(standing) @ torch.tensor([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]).T  # from the front
    keypoints = seen(truth)
    mirror = list(keypoints.skeleton.mirror)
    wrong = [5, 6, 15]
    xy = keypoints.xy.clone()
    xy[wrong] = xy[wrong][:, mirror]
    flipped = keypoints._replace(xy=xy)
    assert exchanged(flipped).any(-1).nonzero().squeeze(-1).tolist() == wrong
    assert not bool(exchanged(keypoints).any())
    clip = pp.lift_clip(mdn, flipped, fps=30)
    assert clip.settings["exchanged"] == "left and right were exchanged in 3 frames (5, 6, 15)"
    right = pp.lift_clip(mdn, keypoints, fps=30)
    assert float((clip.mean - right.mean).norm(dim=-1).max()) < 0.02


@pytest.mark.parametrize("rows", [range(8, 18), range(14, COUNT), range(0, 9)])
def test_sides_that_stay_exchanged_are_turned_back(standing, rows):
    """For as long as most frames are right."""
    keypoints = seen(walker(standing) @ torch.tensor([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]).T)
    xy, wrong = keypoints.xy.clone(), list(rows)
    xy[wrong] = xy[wrong][:, list(keypoints.skeleton.mirror)]
    visible = keypoints.visible.clone()
    visible[10] = False  # nor does a frame without anybody change anything
    flipped = keypoints._replace(xy=xy, visible=visible)
    assert exchanged(flipped).any(-1).nonzero().squeeze(-1).tolist() == [row for row in wrong if row != 10]
    torch.testing.assert_close(turned_back(flipped, exchanged(flipped)).xy, keypoints._replace(visible=visible).xy)


def test_exchanged_legs_are_turned_back(mdn, standing):
    keypoints = seen(walker(standing) @ torch.tensor([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]).T)
    names, mirror = keypoints.skeleton.joints, list(keypoints.skeleton.mirror)
    legs = torch.tensor([name.endswith(("hip", "knee", "ankle")) for name in names])
    xy = keypoints.xy.clone()
    xy[7] = torch.where(legs.unsqueeze(-1), xy[7][mirror], xy[7])
    found = exchanged(keypoints._replace(xy=xy))
    assert found.any(-1).nonzero().squeeze(-1).tolist() == [7]
    assert torch.equal(found[7], legs)


@pytest.mark.parametrize(("rows", "joints"), [([10], None), ([10, 11, 12], None), ([10, 11], [13]), ([5], [3, 4])])
def test_keypoints_that_jump_away_and_back_are_not_used(mdn, standing, rows, joints):
    """All of a frame (its joints in the places of others) or some: motions are as if they were not there."""
    keypoints = seen(walker(standing))
    xy = keypoints.xy.clone()
    if joints is None:
        xy[rows] = xy[rows].flip(-2)
    else:
        xy[torch.tensor(rows)[:, None], joints] += 150.0
    wrong = keypoints._replace(xy=xy)
    assert not bool(strays(keypoints, 30.0).any())
    expected = torch.zeros(COUNT, 17, dtype=torch.bool)
    expected[torch.tensor(rows)[:, None], list(range(17)) if joints is None else joints] = True
    assert torch.equal(strays(wrong, 30.0), expected)
    clip = pp.lift_clip(mdn, wrong, fps=30)
    right = pp.lift_clip(mdn, keypoints, fps=30)
    assert clip.settings["strays"].startswith(f"keypoints that jump away and back were not used in {len(rows)} frame")
    assert float((clip.mean - right.mean).norm(dim=-1).mean(-1).max()) < 0.01


def test_fast_limbs_do_not_stray():
    """A wrist that turns round at five times gravity, 10 frames a second, is a wrist."""
    time = torch.arange(40) / 10
    xy = torch.rand(1, 17, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([200.0, 500.0]) + 100.0
    xy = xy.repeat(40, 1, 1)
    keypoints = Keypoints2D(xy)
    metre = float(keypoints.size[0]) / 0.45
    omega = 2 * math.pi * 1.5  # three turns in two seconds
    xy[:, 13, 0] += 49.0 / omega**2 * metre * torch.sin(omega * time)
    assert not bool(strays(Keypoints2D(xy), 10.0).any())


def test_frames_after_a_wrong_one_count():
    """The filter is led astray by a wrong frame, and surprised by the right one after it: the wrong one alone pays."""
    count, size = 30, 6
    path = 0.3 * np.sin(np.arange(count) / 6.0)[:, None] * np.ones(size)
    value = path + 0.01 * np.random.default_rng(0).standard_normal((count, size))
    value[14] += 0.5
    white = np.full((count, size), 1e-4)
    seen_path = Seen(
        value, np.ones((count, size), dtype=bool), np.full(count, 1 / 30), np.zeros((count, size)), white, np.ones(size)
    )
    weight = np.ones(count)
    for _ in range(5):
        found = filtered(seen_path._replace(white=white / weight[:, None]), np.full(size, 5.0), keep=False)
        weight = weights_of(found, white, weight)
    assert weight[14] < 0.02
    assert np.delete(weight, 14).min() > 0.5


def test_region_height_and_result(mdn, standing, tmp_path):
    clip = pp.lift_clip(mdn, seen(walker(standing)), fps=30)
    region = clip.region(0.9)
    assert not region.calibrated
    assert region.radius.shape == (COUNT, 17)
    middle, low, high = clip.height(0.9)
    assert 1.2 < low < middle < high < 2.1
    wider = clip.height(0.99)
    assert wider[1] <= low < high <= wider[2]
    result = clip.result(samples=50)
    assert len(result) == COUNT
    assert result.fps == 30
    assert result.settings["clip"].startswith("one body")
    assert torch.equal(torch.from_numpy(result.samples).transpose(0, 1), clip.sample(50))
    result.save(tmp_path / "clip.npz")
    assert len(pp.load_result(tmp_path / "clip.npz")) == COUNT


def test_density_prefers_likely_motions(mdn, standing):
    """Drawn motions and the truth are about as likely, shaken ones and one with a displaced hand are not."""
    truth = walker(standing)
    clip = pp.lift_clip(mdn, seen(truth), fps=30)
    motions = clip.sample(8)
    drawn = clip.log_prob(motions)
    shaken = motions + 0.02 * torch.randn(motions.shape, generator=torch.Generator().manual_seed(0))
    assert bool((drawn > clip.log_prob(shaken - shaken[..., :1, :])).all())
    assert float(clip.log_prob(truth[None])) > float(drawn.min()) - 3 * float(drawn.std())
    mean = clip.mean[None]
    wrong = mean.clone()
    wrong[:, :, LEFT_ARM[1], 0] += 0.2
    assert float(clip.log_prob(wrong)) < float(clip.log_prob(mean)) - 100
    assert float(clip.log_prob(mean + 0.0005)) == pytest.approx(float(clip.log_prob(mean)), abs=30)
    with pytest.raises(pp.InputError, match=r"^motions have shape \(8, 3, 17, 3\); expected \(samples, 24, 17, 3\)$"):
        clip.log_prob(motions[:, :3])
    with pytest.raises(pp.InputError, match=r"^blur: expected metres from 0, got -1$"):
        clip.log_prob(motions, blur=-1)


@pytest.mark.parametrize(("told", "factor"), [(1.0, 1.0), (0.3, 3.3), (3.0, 1.0)])
def test_sigmas_that_are_too_small_are_raised_by_how_keypoints_jump(mdn, standing, told, factor):
    """Three times too small is told; too large is left, since noise that hangs together jumps less than it is."""
    keypoints = seen(walker(standing))
    keypoints = keypoints.with_noise(torch.full((COUNT,), told))
    assert least_noise(keypoints, 30.0) * told == pytest.approx(1.0, abs=0.25)
    clip = pp.lift_clip(mdn, keypoints, fps=30)
    used = float((clip.keypoints.covariance[0, 5, 0, 0] / keypoints.covariance[0, 5, 0, 0]).sqrt())
    assert used == pytest.approx(factor, rel=0.25)
    assert ("noise" in clip.settings) == (factor > 1)
    assert least_noise(keypoints, 10.0) == 0.0


def test_a_height_that_cannot_be_is_doubted(mdn, standing):
    keypoints = seen(walker(standing))
    right, wrong = (pp.lift_clip(mdn, keypoints.with_camera(height=metres), fps=30) for metres in (1.66, 2.6))
    assert "height" not in right.settings
    assert wrong.settings["height"].startswith("the height told, 2.6 m, is unlike what the clip shows (")


def test_calibrated_where_the_lifter_says_how(mdn, standing):
    errors = ClipErrors(recalibration=mdn.recalibration)
    clip = pp.lift_clip(mdn, seen(walker(standing)), fps=30, errors=errors)
    assert clip.region(0.9).calibrated
    assert clip.settings["clip errors"] == "of the lifter"


def test_a_single_frame_is_a_clip(mdn, standing):
    clip = pp.lift_clip(mdn, seen(walker(standing), [4]), fps=30)
    assert clip.sample(3).shape == (3, 1, 17, 3)
    assert math.isfinite(float(clip.log_prob(clip.sample(3)).sum()))


def test_frames_two_numbers_apart_have_no_gaps():
    keypoints = Keypoints2D(torch.zeros(5, 17, 2), ids=[PoseId("a", frame, 0) for frame in (0, 2, 4, 8, 10)])
    full = with_every_frame(keypoints, 60.0, 0.5)
    assert [identity.frame for identity in full.ids] == [0, 2, 4, 6, 8, 10]
    assert full.visible.any(-1).tolist() == [True, True, True, False, True, True]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            [("a", 0, 0), ("b", 1, 0)],
            "clip: 2 clips at once, e.g. a person 0; give the frames of one person in one file",
        ),
        (
            [("a", 0, 0), ("a", 0, 1)],
            "clip: 2 clips at once, e.g. a person 0; give the frames of one person in one file",
        ),
        ([("a", 7, 0), ("a", 7, 0)], "clip: a: frame 7 is there twice; give each frame once"),
        ([], "clip: no frames to lift"),
    ],
)
def test_what_is_no_clip_is_refused(mdn, ids, message):
    keypoints = Keypoints2D(torch.zeros(len(ids), 17, 2), ids=[PoseId(*one) for one in ids])
    with pytest.raises(pp.InputError) as error:
        pp.lift_clip(mdn, keypoints)
    assert str(error.value) == message


def test_other_bad_input(mdn, standing):
    keypoints = seen(walker(standing))
    nobody = keypoints._replace(visible=torch.zeros_like(keypoints.visible))
    with pytest.raises(pp.InputError, match=r"^clip: walk\.json: nobody is seen in any of its frames$"):
        pp.lift_clip(mdn, nobody)
    with pytest.raises(pp.InputError, match=r"^fps: expected a positive number, got -1$"):
        pp.lift_clip(mdn, keypoints, fps=-1)
    with pytest.raises(pp.InputError, match=r"^max_gap: expected seconds from 0, got -1$"):
        pp.lift_clip(mdn, keypoints, max_gap=-1)
    clip = pp.lift_clip(mdn, keypoints[:3])
    with pytest.raises(pp.InputError, match=r"^samples: expected at least 0, got -1$"):
        clip.sample(-1)
    with pytest.raises(pp.InputError, match=r"^seed: expected 0 to below 2\^62, got -1$"):
        clip.sample(1, seed=-1)


def test_poses_without_a_file_are_refused_without_its_name(mdn, standing):
    nobody = seen(walker(standing), file="")._replace(visible=torch.zeros(COUNT, 17, dtype=torch.bool))
    with pytest.raises(pp.InputError, match=r"^clip: nobody is seen in any of its frames$"):
        pp.lift_clip(mdn, nobody, fps=30)
