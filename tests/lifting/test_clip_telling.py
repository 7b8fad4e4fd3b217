"""What is taken as one clip, what as single poses, and what is refused."""

import json

import numpy as np
import pytest
import torch
from test_lift_clip import COUNT, seen, walker

import poseterior as pp
from poseterior.distributions.clip_errors import ClipErrors
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.lifting.clips import clip_lines, lift_parts, parts_of
from poseterior.lifting.clips.telling import not_one_motion


@pytest.fixture(scope="module")
def mdn():
    lifter = pp.load("mdn")
    lifter.clips = ClipErrors(recalibration=lifter.recalibration)
    return lifter


def a_file_each(keypoints: Keypoints2D, name: str = "IMG_{:04d}.json") -> Keypoints2D:
    return keypoints._replace(ids=[PoseId(name.format(i), i, 0) for i in range(len(keypoints))])


def strangers(standing: torch.Tensor, count: int = 8) -> Keypoints2D:
    """Photographs of people somewhere in the picture, each in a pose of their own, numbered as a camera does."""
    generator = torch.Generator().manual_seed(3)
    walking = seen(walker(standing), torch.randperm(COUNT, generator=generator)[:count].tolist())
    scale = 0.6 + torch.rand(count, 1, 1, generator=generator)
    place = 300.0 * torch.rand(count, 1, 2, generator=generator)
    middle = walking.xy.mean(1, keepdim=True)
    return a_file_each(walking._replace(xy=(walking.xy - middle) * scale + middle + place))


def moved_from(keypoints: Keypoints2D, frames: list[int], sizes: float) -> Keypoints2D:
    xy = keypoints.xy.clone()
    xy[frames, :, 0] += sizes * keypoints.size.mean()
    return keypoints._replace(xy=xy)


def test_a_walk_is_one_motion_whatever_its_files(standing):
    walk = seen(walker(standing))
    assert not_one_motion(walk, 30.0) == ""
    assert not_one_motion(a_file_each(walk), 30.0) == ""
    # also thinned to a few frames a second, and with frames missing
    assert not_one_motion(a_file_each(walk[torch.arange(0, COUNT, 3)]), 10.0) == ""
    assert not_one_motion(walk[torch.tensor([0, 1, 2, 9, 10, 11])], 30.0) == ""


def test_photographs_of_strangers_are_no_clip_though_evenly_numbered(mdn, standing):
    photos = strangers(standing)
    assert "unrelated photographs" in not_one_motion(photos, 30.0)
    (part,) = parts_of(mdn, photos)
    assert not part.whole
    with pytest.raises(
        pp.InputError, match=r"^clip: 8 files, IMG_0000\.json to IMG_0007\.json, person 0: its keypoints"
    ):
        parts_of(mdn, photos, "on")
    (line,) = clip_lines(photos, [part])
    assert line.startswith(
        "lifted frame by frame: 8 files, IMG_0000.json to IMG_0007.json, person 0: its keypoints move"
    )
    assert "clip" not in lift_parts(mdn, photos, [part], samples=3).settings


def test_a_person_who_is_suddenly_elsewhere_is_another(mdn, standing):
    walk = seen(walker(standing))
    switched = moved_from(walk, list(range(12, COUNT)), 4.0)
    said = not_one_motion(switched, 30.0)
    assert said.startswith("clip: walk.json: person 0: from frame 11 to 12 the person jumps by 4.")
    assert [part.whole for part in parts_of(mdn, switched)] == [False]
    with pytest.raises(pp.InputError, match=r"^clip: walk\.json: person 0: from frame 11 to 12 the person jumps"):
        parts_of(mdn, switched, "on")
    (line,) = clip_lines(switched, parts_of(mdn, switched))
    assert line.startswith("lifted frame by frame: walk.json: person 0: from frame 11 to 12 the person jumps")
    # a frame that is simply wrong is the smoother's business
    assert not_one_motion(moved_from(walk, [12], 4.0), 30.0) == ""


def test_a_runner_at_a_slow_rate_does_not_jump(standing):
    walk = seen(walker(standing))
    steps = torch.arange(COUNT).reshape(-1, 1)
    metre = walk.size.mean() / 0.45
    running = walk._replace(xy=walk.xy + torch.stack([steps * 8.0 / 10 * metre, 0.0 * steps], -1))
    assert not_one_motion(running, 10.0) == ""


def test_clips_and_single_poses_of_one_input_each_its_own_way(mdn, standing):
    walk = seen(walker(standing), list(range(8)), "walk.json")
    photos = [seen(walker(standing), [row], f"{name}.json") for row, name in ((3, "ann"), (9, "bob"))]
    mixed = Keypoints2D.cat([photos[0], walk, photos[1]])
    parts = parts_of(mdn, mixed, fps=30.0)
    assert sorted((len(part.rows), part.whole) for part in parts) == [(1, False), (1, False), (8, True)]
    assert clip_lines(mixed, parts, 30.0) == [
        "lifted as one clip: walk.json, person 0, frames 0 to 7: 8 frames at 30 a second",
        "lifted frame by frame: 2 other poses",
    ]
    assert "which is assumed" in clip_lines(mixed, parts)[0]
    result = lift_parts(mdn, mixed, parts, samples=12, seed=4, fps=30.0)
    assert len(result) == 10
    assert result.calibrated
    rows = np.flatnonzero(result.file == "walk.json")
    assert result.whole(rows)
    assert not result.whole(np.flatnonzero(result.file == "ann.json"))
    motions = torch.from_numpy(result.samples[rows]).transpose(0, 1)
    torch.testing.assert_close(motions, pp.lift_clip(mdn, walk, fps=30).sample(12, seed=4), atol=1e-5, rtol=0)
    single = pp.lift(mdn, photos[1], samples=12, seed=4)
    np.testing.assert_allclose(result.samples[result.file == "bob.json"], single.samples, atol=1e-5)
    assert json.loads(result.settings["frame by frame"]) == [["ann.json", 0], ["bob.json", 0]]
    assert result.notes["frame by frame"] == "ann.json person 0, bob.json person 0"
    # intervals of both kinds hold what they say: by the wider factors
    both = json.loads(result.angle_calibration)
    assert both["visible"][0][0] == mdn.recalibration.angles.visible[0][0]


def test_what_was_whole_is_known_after_reading(mdn, standing, tmp_path):
    walk = seen(walker(standing), list(range(6)))
    result = lift_parts(mdn, walk, parts_of(mdn, walk), samples=5)
    result.save(tmp_path / "walk.npz")
    again = pp.load_result(tmp_path / "walk.npz")
    assert again.whole(np.arange(6))
    assert not again.whole(np.arange(0))
    assert not pp.lift(mdn, walk, samples=5).whole(np.arange(6))


def test_two_heights_of_one_person_are_refused(mdn, standing):
    walk = seen(walker(standing), list(range(6)))
    heights = torch.full((6,), 1.7)
    assert "height given" in pp.lift_clip(mdn, walk.with_camera(height=heights)).result(3).settings["scale"]
    heights[2] = 1.8
    with pytest.raises(pp.InputError, match=r"^height: walk\.json: its frames tell 1\.7 m and 1\.8 m of one person"):
        pp.lift_clip(mdn, walk.with_camera(height=heights))
