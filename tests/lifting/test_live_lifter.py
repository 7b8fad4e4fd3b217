"""A person before a camera, frame by frame."""

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
from poseterior.lifting.clips.frames import frames_of
from poseterior.lifting.clips.gaussian import setting_of
from poseterior.lifting.live import LiveLifter, LivePeople, causal
from poseterior.lifting.live.motion import LiveMotion

COUNT = 40
H36M = pp.SKELETONS["h36m17"]
LEFT_ARM = [H36M.index(f"left_{joint}") for joint in ("elbow", "wrist")]
INTRINSICS = torch.tensor([1200.0, 1200.0, 640.0, 480.0])


@pytest.fixture(scope="module")
def mdn():
    lifter = pp.load("mdn")
    lifter.clips = None
    return lifter


def walker(standing: torch.Tensor, count: int = COUNT) -> torch.Tensor:
    """A person seen from between front and side who swings legs and arms, once in 0.8 s: (count, 17, 3) metres."""
    phase = torch.arange(count) * (2 * math.pi / 24)
    poses = standing.expand(count, 17, 3).clone()
    for name, reach in (("knee", 0.12), ("ankle", 0.25), ("elbow", 0.08), ("wrist", 0.2)):
        for side, sign in (("left", 1.0), ("right", -1.0)):
            sign = -sign if name in ("elbow", "wrist") else sign
            poses[:, H36M.index(f"{side}_{name}"), 2] += sign * reach * phase.sin()
    turn = torch.tensor([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [-0.8, 0.0, 0.6]])
    return poses @ turn.T


def seen(poses: torch.Tensor, place: tuple[float, float, float] = (0.2, 0.1, 4.0), noise: float = 3.0) -> Keypoints2D:
    """Keypoints with noise, a row for each frame."""
    intrinsics = INTRINSICS.expand(len(poses), 4)
    xy = project(poses + torch.tensor(place), intrinsics)
    xy = xy + noise * torch.randn(xy.shape, generator=torch.Generator().manual_seed(1))
    covariance = (9.0 * torch.eye(2)).expand(len(poses), 17, 2, 2)
    ids = [PoseId("walk", row, 0) for row in range(len(poses))]
    return Keypoints2D(xy, covariance, intrinsics=intrinsics, image_size=(1280, 960), ids=ids)


def run(live: LiveLifter, keypoints: Keypoints2D, gone: tuple[int, ...] = ()) -> list:
    return [live(None if row in gone else keypoints[row]) for row in range(len(keypoints))]


def rigid_error(poses: torch.Tensor, truth: torch.Tensor) -> float:
    return float((poses - truth).norm(dim=-1).mean())


def acceleration(motion: torch.Tensor) -> float:
    return float(motion.diff(n=2, dim=0).norm(dim=-1).mean())


# -- the same state as the smoother's forward pass -------------------------------------------------------------


def test_state_is_that_of_the_filter_of_a_clip(mdn, standing, monkeypatch):
    """The same densities, axes, sizes and middle: the state is that of `filtered`, to 1e-9."""
    monkeypatch.setattr(LiveMotion, "_recentred", lambda self, state: state)
    keypoints = seen(walker(standing, 12))
    frames = frames_of(mdn, keypoints, 30.0, chunk=1)
    errors = ClipErrors()
    setting = setting_of(frames, errors)
    axes = iter(frames.axes.numpy())
    monkeypatch.setattr(causal.Direction, "see", lambda self, step, keypoints: next(axes))
    density = np.repeat(np.geomspace(0.1, 100.0, 16), 3)
    live = LiveLifter(mdn, 30.0, errors=errors, density=density)
    motion, rows, states = live._motion, [], []
    for row in range(12):
        live(keypoints[row])
        rows.append(motion.row)
        states.append(motion.state)
    assert not [note for note in live.notes if "frame" in note]
    # The size and the middle about which the live filter runs are those of the first frame.
    value = (frames.mean + frames.sizes.resized(float(frames.sizes.level[0]))).numpy()
    clip = setting.seen._replace(value=value - value[0])
    for name in ("value", "slow", "white"):
        np.testing.assert_allclose(np.stack([getattr(row, name) for row in rows]), getattr(clip, name), atol=1e-12)
    whole = filtered(clip, density)
    for frame in range(12):
        np.testing.assert_allclose(states[frame].mean, whole.mean[frame], rtol=0, atol=1e-9)
        np.testing.assert_allclose(states[frame].covariance, whole.covariance[frame], rtol=0, atol=1e-9)


def test_state_with_its_own_choices_is_a_filter_of_what_it_took(mdn, standing, monkeypatch):
    """Axes, sizes and weights as it chose them; frames missing; times uneven."""
    monkeypatch.setattr(LiveMotion, "_recentred", lambda self, state: state)
    keypoints = seen(walker(standing, 20))
    live = LiveLifter(mdn, 30.0, density=3.0)
    times = np.cumsum(np.r_[1.0, np.random.default_rng(0).uniform(0.02, 0.06, 19)])
    rows = []
    for row in range(20):
        live(None if row in (7, 8) else keypoints[row], float(times[row]))
        rows.append(live._motion.row)
    known = [row for row in rows if row is not None]
    assert len(known) == 18
    filler = known[0]
    columns = [np.stack([getattr(row or filler, name) for row in rows]) for name in ("value", "slow", "white")]
    present = np.array([row is not None for row in rows])[:, None] & np.ones(48, bool)
    clip = Seen(columns[0], present, np.diff(times, prepend=times[0]), *columns[1:], live._motion._sizes.seconds)
    whole = filtered(clip, np.full(48, 3.0))
    np.testing.assert_allclose(live._motion.state.mean, whole.mean[-1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(live._motion.state.covariance, whole.covariance[-1], rtol=0, atol=1e-9)


# -- answers ---------------------------------------------------------------------------------------------------


def test_nearer_and_smoother_than_frames_and_late_more_so(mdn, standing):
    truth = walker(standing)
    keypoints = seen(truth)
    said = run(LiveLifter(mdn, 30, lag=5), keypoints)
    frames = mdn(keypoints).mean
    live = torch.stack([pose.mean for pose in said])
    assert [pose.lagged for pose in said[:5]] == [None] * 5
    late = torch.stack([pose.lagged.mean for pose in said[5:]])
    assert [pose.lagged.frame for pose in said[5:]] == list(range(COUNT - 5))
    settled = slice(5, COUNT - 5)
    off = [(poses[settled] - truth[settled]) for poses in (frames, live, late)]
    assert max(rigid_error(one, torch.zeros(17, 3)) for one in off[1:]) < rigid_error(off[0], torch.zeros(17, 3))
    changing = [float((one - one.mean(0)).norm(dim=-1).mean()) for one in off]  # what all frames share stays
    assert changing[1] < 0.9 * changing[0]
    assert changing[2] < 1.05 * changing[1]
    shaken = [acceleration((poses - truth[: len(poses)])[settled]) for poses in (frames, live, late)]
    assert shaken[1] < 0.6 * shaken[0]
    assert shaken[2] < 0.5 * shaken[1]


def test_velocity_is_that_of_the_person(mdn, standing):
    truth = walker(standing)
    said = run(LiveLifter(mdn, 30), seen(truth, noise=0.5))
    wrist = H36M.index("left_wrist")
    actual = 30 * 0.5 * (truth[2:] - truth[:-2])[:, wrist]
    found = torch.stack([pose.velocity for pose in said])[1:-1, wrist]
    assert float((found - actual)[10:].norm(dim=-1).mean()) < 0.6 * float(actual[10:].norm(dim=-1).mean())
    spread = torch.stack([pose.velocity_covariance[wrist] for pose in said[10:]]).diagonal(dim1=-2, dim2=-1)
    off = (found[9:] - actual[9:]).square() / spread[:-1]
    assert 0.1 < float(off.mean()) < 4.0


def test_hypotheses_are_of_one_body_and_live_on(mdn, standing):
    said = run(LiveLifter(mdn, 30), seen(walker(standing)))
    motions = torch.stack([pose.sample() for pose in said], 1)
    assert motions.shape == (200, COUNT, 17, 3)
    assert torch.equal(motions[:, :, 0], torch.zeros(200, COUNT, 3))
    lengths = bone_lengths(motions, H36M)
    change = lengths.diff(dim=1).abs().mean((0, 2))
    assert float(change[-1]) < 1e-3 < 0.25 * float(change[0])
    # the k-th is the same one: it stays where it was among the others
    about = motions[:, -2:] - motions[:, -2:].mean(0)
    alike = (about[:, 0] * about[:, 1]).sum() / (about[:, 0].norm() * about[:, 1].norm())
    assert float(alike) > 0.9
    last = said[-1]
    assert torch.equal(last.sample(20), last.sample()[:20])
    torch.testing.assert_close(last.mean, last.sample().mean(0))
    spread = last.sample()[..., 1:, :].var(0).sum()
    assert float(spread) == pytest.approx(float(last.covariance.diagonal(dim1=-2, dim2=-1).sum()), rel=0.35)


def test_the_same_calls_give_the_same_answers(mdn, standing):
    keypoints = seen(walker(standing, 6))
    one, two, other = (run(LiveLifter(mdn, 30, seed=seed), keypoints)[-1] for seed in (0, 0, 1))
    assert torch.equal(one.sample(), two.sample())
    assert not torch.equal(one.sample(), other.sample())
    torch.testing.assert_close(one.mean, other.mean, atol=0.01, rtol=0)


def test_what_was_said_stays_as_it_was(mdn, standing):
    keypoints = seen(walker(standing, 12))
    live = LiveLifter(mdn, 30, lag=3)
    early = [live(keypoints[row]) for row in range(6)][-1]
    again = run(LiveLifter(mdn, 30, lag=3), keypoints[:6])[-1]
    kept = again.mean, again.lagged.mean
    for row in range(6, 12):
        live(keypoints[row])
    assert torch.equal(early.mean, kept[0])
    assert torch.equal(early.lagged.mean, kept[1])


def test_a_hidden_limb_gets_wide_and_comes_back(mdn, standing):
    keypoints = seen(walker(standing))
    visible = keypoints.visible.clone()
    visible[15:25, LEFT_ARM] = False
    said = run(LiveLifter(mdn, 30), keypoints._replace(visible=visible))
    spread = [float(pose.covariance[LEFT_ARM[1]].trace()) for pose in said]
    assert spread[24] > 2 * spread[14]
    assert spread[35] < 0.7 * spread[24]


def test_regions_are_the_clips_own_and_what_holds_a_height(mdn, standing):
    keypoints = seen(walker(standing, 12))
    plain = run(LiveLifter(mdn, 30), keypoints)[-1].region(0.9)
    assert not plain.calibrated
    assert plain.radius.shape == (17,)
    errors = ClipErrors(recalibration=mdn.recalibration)
    assert run(LiveLifter(mdn, 30, errors=errors), keypoints)[-1].region(0.9).calibrated
    middle, low, high = run(LiveLifter(mdn, 30), keypoints)[-1].height(0.9)
    assert 1.2 < low < middle < high < 2.1
    told = run(LiveLifter(mdn, 30), keypoints._replace(height=torch.full((12,), 1.8)))[-1].height(0.9)
    assert told[0] == pytest.approx(1.8, abs=0.04)
    assert told[2] - told[1] < 0.6 * (high - low)
    # told in every frame it counts once
    assert told[2] - told[1] > 0.02


# -- what goes wrong -------------------------------------------------------------------------------------------


def test_nobody(mdn, standing):
    keypoints = seen(walker(standing))
    live = LiveLifter(mdn, 30, max_gap=0.2)
    assert live(None) is None
    assert live(keypoints[0]._replace(visible=torch.zeros(17, dtype=torch.bool))) is None
    for row in range(10):
        known = live(keypoints[row])
    absent = [live(None) for _ in range(7)]
    assert [pose is None for pose in absent] == [False] * 6 + [True]
    assert not absent[0].present
    assert not bool(absent[0].keypoints.visible.any())
    assert repr(absent[0]) == "LivePose(frame=12, time=0.400, present=False, skeleton='h36m17')"
    spread = [float(pose.covariance.diagonal(dim1=-2, dim2=-1).sum()) for pose in (known, absent[0], absent[5])]
    assert spread[0] < spread[1] < 0.5 * spread[2]
    assert list(live.notes)[1:] == ["frame 18 (0.60 s): nobody was seen for 0.23 s: everything starts anew"]
    fresh = run(LiveLifter(mdn, 30), keypoints[20:21])[0]
    torch.testing.assert_close(live(keypoints[20]).covariance, fresh.covariance)


def test_a_frame_no_person_reaches_is_left_out_and_another_person_starts_anew(mdn, standing):
    poses = walker(standing)
    keypoints, other = seen(poses), seen(poses, place=(-1.2, 0.1, 4.0))
    live = LiveLifter(mdn, 30)
    said = [live((other if row == 12 else keypoints)[row]) for row in range(16)]
    assert [pose.present for pose in said] == [row != 12 for row in range(16)]
    assert [note for note in live.notes if "frame" in note] == [
        "frame 12 (0.40 s): moved 1.3 m in 0.03 s, as no person does: left out"
    ]
    for row in range(16, 20):
        pose = live(other[row])
    assert [note.split(": ", 1)[1] for note in list(live.notes)[2:]] == [
        "moved 1.3 m in 0.03 s, as no person does: left out",
        "the frame before was no mistake: it is another person; everything starts anew",
    ]
    afresh = run(LiveLifter(mdn, 30), other[17:20])[-1]
    torch.testing.assert_close(pose.covariance, afresh.covariance)


def test_a_person_of_another_size_is_another_person(mdn, standing):
    poses = walker(standing)
    keypoints, near = seen(poses), seen(poses, place=(0.1, 0.05, 1.9))
    live = LiveLifter(mdn, 30)
    for row in range(6):
        live(keypoints[row])
    assert not live(near[6]).present
    assert live(near[7]).present
    assert "times as large in 0.03 s, as no person does: left out" in live.notes[-2]
    assert live.notes[-1].endswith("it is another person; everything starts anew")


def test_exchanged_sides_are_turned_back_but_not_for_ever(mdn, standing):
    truth = standing.expand(COUNT, 17, 3)  # from the front
    keypoints = seen(truth)
    mirror = list(H36M.mirror)
    xy = keypoints.xy.clone()
    xy[[8, 9]] = xy[[8, 9]][:, mirror]
    live = LiveLifter(mdn, 30)
    said, right = run(live, keypoints._replace(xy=xy)), run(LiveLifter(mdn, 30), keypoints)
    assert [note for note in live.notes if "frame" in note] == [
        f"frame {row} ({row / 30:.2f} s): left and right were exchanged: turned back" for row in (8, 9)
    ]
    assert float((said[-1].mean - right[-1].mean).norm(dim=-1).max()) < 0.01
    xy = keypoints.xy.clone()
    xy[8:] = xy[8:][:, mirror]
    live = LiveLifter(mdn, 30)
    said = run(live, keypoints._replace(xy=xy))
    assert live.notes[-1].endswith("left and right stayed exchanged: taken as they are; the motion starts anew")
    wanted = mdn(keypoints._replace(xy=xy)[11:]).mean.mean(0)
    assert float((said[-1].mean - wanted).norm(dim=-1).mean()) < 0.08


def test_a_keypoint_that_jumps_away_is_not_used_until_it_stays_there(mdn, standing):
    keypoints = seen(walker(standing, 20))
    wrist = H36M.index("right_wrist")
    xy = keypoints.xy.clone()
    xy[8, wrist] += torch.tensor([0.0, -250.0])
    xy[12:, wrist] += torch.tensor([0.0, -250.0])
    live = LiveLifter(mdn, 30)
    said = run(live, keypoints._replace(xy=xy))
    assert [int(note.split()[1]) for note in live.notes if "jump away were not used (right_wrist)" in note] == [
        8, 12, 13, 14, 15,
    ]  # fmt: skip
    assert [bool(pose.keypoints.visible[0, wrist]) for pose in said] == [
        row not in (8, 12, 13, 14, 15) for row in range(20)
    ]
    right = run(LiveLifter(mdn, 30), keypoints)
    assert float((said[8].mean - right[8].mean)[wrist].norm()) < 0.1
    assert not [note for note in run_notes(mdn, keypoints) if "jump" in note]


def run_notes(lifter, keypoints: Keypoints2D) -> list[str]:
    live = LiveLifter(lifter, 30)
    run(live, keypoints)
    return list(live.notes)


def test_a_frame_that_does_not_fit_counts_less(standing):
    # with the evidence, which takes wrong joints for as exact as right ones, such a frame still pulls
    mdn = pp.load("mdn", evidence=False)
    keypoints = seen(walker(standing))
    xy = keypoints.xy.clone()
    middle = xy[20].mean(0)
    xy[20] = middle + (xy[20] - middle).flip(-1)  # lying, for a thirtieth of a second
    said = run(LiveLifter(mdn, 30), keypoints._replace(xy=xy))
    right = run(LiveLifter(mdn, 30), keypoints)
    assert said[20].weight < 0.5
    assert min(pose.weight for pose in right[5:]) == 1.0
    frame = mdn(keypoints._replace(xy=xy)[20:21]).mean[0]
    assert rigid_error(said[20].mean, right[20].mean) < 0.35 * rigid_error(frame, right[20].mean)
    assert rigid_error(said[30].mean, right[30].mean) < 0.02


def test_dropped_frames_with_times_are_steps_in_time(mdn, standing):
    keypoints = seen(walker(standing, 12))
    named, told = LiveLifter(mdn, 30, density=1.0), LiveLifter(mdn, 30, density=1.0)
    for row in (0, 1, 2, 3, 8, 9):
        pose = named(keypoints[row], row / 30)
    for row in range(10):
        other = told(None if 4 <= row <= 7 else keypoints[row])
    # a jump of 5 frames at once, or a forecast for each of them
    np.testing.assert_allclose(named._motion.state.mean, told._motion.state.mean, atol=1e-9)
    np.testing.assert_allclose(named._motion.state.covariance, told._motion.state.covariance, atol=1e-9)
    assert (pose.time, pose.frame, other.frame) == (9 / 30, 5, 9)


def test_any_skeleton(mdn, standing):
    keypoints = seen(walker(standing, 2))
    coco = Keypoints2D(torch.rand(1, 17, 2) * 100, skeleton="coco17")
    assert LiveLifter(mdn, 30)(coco).mean.shape == (17, 3)
    one = LiveLifter(mdn, 30)(keypoints[0:1])
    assert torch.equal(one.mean, LiveLifter(mdn, 30)(keypoints[0]).mean)


# -- several people --------------------------------------------------------------------------------------------


def test_people_have_a_lifter_each(mdn, standing):
    poses = walker(standing, 8)
    left, right = seen(poses, (-0.8, 0.1, 4.0)), seen(poses, (0.9, 0.1, 5.0))
    people = LivePeople(mdn, 30, max_gap=0.05)
    for row in range(8):
        ids = [PoseId("camera", row, 7), PoseId("camera", row, 3)]
        both = Keypoints2D.cat([left[row : row + 1], right[row : row + 1]])._replace(ids=ids)
        found = people(both if row < 5 else both[:1])
        assert set(found) == ({3, 7} if row < 6 else {7})
    alone = run(LiveLifter(mdn, 30), left)[-1]
    torch.testing.assert_close(found[7].mean, alone.mean)
    twice = both._replace(ids=[PoseId("camera", 8, 7)] * 2)
    with pytest.raises(pp.InputError, match=r"^live: person 7 is there twice in a frame; number people by `ids`"):
        people(twice)


# -- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "fps: expected a positive number, got 0"),
        ({"max_gap": -1}, "max_gap: expected seconds from 0, got -1"),
        ({"lag": 0}, "lag: expected a number of frames from 1 to 1000, or None, got 0"),
        ({"samples": 1}, "samples: expected at least 2, got 1"),
        ({"density": [1.0, 2.0]}, "density: expected one number above 0, or 48 of them, got [1.0, 2.0]"),
        ({"density": -1.0}, "density: expected one number above 0, or 48 of them, got -1.0"),
    ],
)
def test_bad_settings(mdn, options, message):
    with pytest.raises(pp.InputError) as error:
        LiveLifter(mdn, **options)
    assert str(error.value) == message


def test_bad_calls(mdn, standing):
    keypoints = seen(walker(standing, 3))
    live = LiveLifter(mdn, 30)
    with pytest.raises(pp.InputError, match=r"^live: expected the keypoints of one person in one frame, got 3 poses;"):
        live(keypoints)
    with pytest.raises(pp.InputError, match=r"^live: expected Keypoints2D or None, got Tensor; wrap an array"):
        live(keypoints.xy[0])
    pose = live(keypoints[0], 5.0)
    with pytest.raises(pp.InputError, match=r"^time: expected seconds after those of the frame before \(5\), got 5$"):
        live(keypoints[1], 5.0)
    with pytest.raises(pp.InputError, match=r"^time: expected seconds, got 'soon'$"):
        live(keypoints[1], "soon")
    with pytest.raises(pp.InputError, match=r"^samples: expected 1 to 200, as many as are kept from frame to frame"):
        pose.sample(201)
    with pytest.raises(pp.InputError, match=r"^lagged: nothing is kept for it; make it by LiveLifter"):
        _ = pose.lagged
    with pytest.raises(pp.InputError, match=r"^level: expected a probability above 0 and below 1, e\.g\. 0\.9, got 1$"):
        pose.region(1)
    # nothing of this was a frame
    assert live(keypoints[1], 5.1).frame == 1
