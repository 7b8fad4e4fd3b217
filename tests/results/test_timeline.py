"""Real time: which moments an output has, and the posterior at them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.results.bridging import _sigmas, bridged
from poseterior.results.poses import LiftResult, load_result
from poseterior.results.provenance import rates_in_words
from poseterior.results.timeline import (
    blend,
    blend_quaternions,
    blend_samples,
    gap_line,
    timeline,
    widening,
)


def test_moments_between_frames():
    (part,) = timeline([0, 1, 2, 5, 6, 9], 30.0)
    assert part.frames.tolist() == list(range(10))
    assert part.before.tolist() == [0, 1, 2, 2, 2, 3, 4, 4, 4, 5]
    assert part.after.tolist() == [0, 1, 2, 3, 3, 3, 4, 5, 5, 5]
    np.testing.assert_allclose(part.weight, [0, 0, 0, 1 / 3, 2 / 3, 0, 0, 1 / 3, 2 / 3, 0])
    np.testing.assert_allclose(part.times, np.arange(10) / 30)
    assert part.bridged.tolist() == [frame in (3, 4, 7, 8) for frame in range(10)]
    assert part.fps == 30.0


@pytest.mark.parametrize(
    ("frames", "fps", "max_gap", "expected"),
    [
        ([0, 15], 30.0, 0.5, [16]),  # exactly half a second
        ([0, 1, 2, 18], 30.0, 0.5, [3, 1]),
        ([0, 1, 2, 18], 60.0, 0.5, [19]),
        ([0, 1, 4], 30.0, 0.0, [2, 1]),
        ([7], 30.0, 0.5, [1]),
        ([0, 1000, 2000, 3000, 9000], 30.0, 0.5, [4, 1]),  # thinned: the step is the rate
        ([0, 2, 4, 8], 30.0, 0.5, [9]),
    ],
)
def test_where_a_clip_is_split(frames, fps, max_gap, expected):
    assert [len(part) for part in timeline(frames, fps, max_gap)] == expected


def test_a_thinned_clip_keeps_its_rate():
    (part,) = timeline([0, 30, 60, 90], 30.0)
    assert (part.frames.tolist(), part.fps, part.times.tolist()) == ([0, 30, 60, 90], 1.0, [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], 0.0), "fps is 0.0; expected a positive number"),
        (([0, 1], 30.0, -1.0), "max_gap is -1.0; expected seconds, 0 or more"),
        (([1, 1], 30.0), "frames: expected numbers that rise"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(InputError) as caught:
        timeline(*arguments)
    assert str(caught.value) == message


def test_lines_between_frames():
    values = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    (part,) = timeline([0, 1, 5], 30.0)
    found = blend(values, part)
    assert np.array_equal(found[[0, 1, 5]], values)
    np.testing.assert_allclose(found[3], (values[1] + values[2]) / 2, rtol=1e-6)
    assert found.dtype == np.float32


def test_rotations_go_along_the_shortest_arc():
    rng = np.random.default_rng(0)
    turns = Rotation.random(5, random_state=1)
    quaternions = turns.as_quat()[:, None, None] * rng.choice([-1, 1], (5, 1, 1, 1))
    frames = [0, 3, 4, 9, 11]
    (part,) = timeline(frames, 30.0)
    found = blend_quaternions(quaternions.astype(np.float32), part)[:, 0, 0]
    apart = Rotation.from_quat(found) * Slerp(frames, turns)(np.arange(12)).inv()
    assert apart.magnitude().max() < 1e-6
    assert np.array_equal(found[frames], quaternions.astype(np.float32)[:, 0, 0])


def test_rotations_that_are_equal_or_opposite_stay_rotations():
    still = np.array([[0, 0, 0, 1], [0, 0, 0, 1], [1, 0, 0, 0]], np.float32)[:, None]
    (part,) = timeline([0, 2, 4], 30.0)
    found = blend_quaternions(still, part)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-6)


def test_hypotheses_between_frames_are_as_wide_as_those_of_the_frames():
    rng = np.random.default_rng(0)
    samples = np.stack([1.0 + 2.0 * rng.standard_normal((20000, 3)), 5.0 + 2.0 * rng.standard_normal((20000, 3))])
    (part,) = timeline([0, 4], 30.0)
    found = blend_samples(samples, part)
    np.testing.assert_allclose(found.mean(1), np.linspace(1, 5, 5)[:, None].repeat(3, 1), atol=0.06)
    np.testing.assert_allclose(found.std(1), 2.0, rtol=0.02)


def test_what_a_straight_line_misses():
    """Nothing at the frames, the most in the middle; a metre per second squared's worth for short gaps."""
    (part,) = timeline([0, 6], 60.0)
    found = widening(part)
    assert found[0] == found[-1] == 0
    assert found.argmax() == 3
    assert found[3] == pytest.approx(5.0 * np.exp(-0.21) * 0.05**2 / 2)
    (long,) = timeline([0, 30], 60.0)
    assert 4 < widening(long).max() / found.max() < 25


@pytest.mark.parametrize(
    ("clips", "line"),
    [
        ([[0, 1, 2]], None),
        ([[0, 2, 4, 6]], None),
        ([[0, 1, 3, 4]], "1 gap in time: 1 bridged (frame 2)"),
        ([[0, 1, 2, 5, 6, 9]], "2 gaps in time: 2 bridged (frames 3 to 4, 7 to 8)"),
        (
            [[0, 1, 90], [5, 6, 9]],
            "2 gaps in time: 1 bridged (frames 7 to 8), 1 longer than 0.5 s splits the clip (frames 2 to 89)",
        ),
        (
            [[0, 1, 50, 51, 100, 101, 150, 151, 200]],
            "4 gaps in time: 4 longer than 0.5 s split the clip (frames 2 to 49, 52 to 99, 102 to 149 and 1 more)",
        ),
    ],
)
def test_gaps_in_words(clips, line):
    assert gap_line(clips, 30.0) == line


# -- results ---------------------------------------------------------------------------------------------------


def clip(frames: list[int], samples: int = 400, seed: int = 0, **changes) -> LiftResult:
    rng = np.random.default_rng(seed)
    count = len(frames)
    mean = rng.normal(0, 0.3, (count, 17, 3))
    mean[:, 0] = 0
    drawn = mean[:, None] + 0.05 * rng.standard_normal((count, samples, 17, 3)) * (np.arange(17) > 0)[:, None]
    return LiftResult(
        **{
            "samples": drawn,
            "mean": mean,
            "covariance": np.tile(0.05**2 * np.eye(3), (count, 17, 1, 1)),
            "log_prob": np.zeros((count, samples)),
            "keypoints": 320 + 200 * mean[..., :2],
            "keypoint_covariance": np.tile(4 * np.eye(2), (count, 17, 1, 1)),
            "visible": np.ones((count, 17), bool),
            "image_size": np.tile([640, 480], (count, 1)),
            "file": np.array(["clip.json"] * count),
            "frame": np.array(frames),
            "person": np.zeros(count, int),
            "joint_names": SKELETONS["h36m17"].joints,
            **changes,
        }
    )


def test_results_get_poses_in_their_gaps():
    result = clip([0, 1, 7, 90])
    found = bridged(result, 30.0)
    assert found.frame.tolist() == [0, 1, 7, 90, 2, 3, 4, 5, 6]
    assert np.array_equal(found.mean[:4], result.mean)
    middle = found[found.frame == 4]
    np.testing.assert_allclose(middle.mean[0], result.mean[1:3].mean(0), atol=1e-6)
    np.testing.assert_allclose(middle.samples.mean(1), middle.mean, atol=0.02)
    assert not middle.visible.any()
    assert np.isnan(middle.log_prob).all()
    wide = 5.0 * np.exp(-0.42) * 0.1**2 / 2
    np.testing.assert_allclose(middle.covariance[0, 1], (0.05**2 + wide**2) * np.eye(3), rtol=1e-5)
    np.testing.assert_allclose(
        middle.region_radius[0] ** 2, result.region_radius[1:3].mean(0) ** 2 + (_sigmas(0.9) * wide) ** 2, rtol=1e-4
    )
    assert found.clips()[0].tolist() == [0, 1, 4, 5, 6, 7, 8, 2, 3]


def test_results_without_gaps_stay_as_they_are():
    result = clip([3, 4, 5])
    assert bridged(result, 30.0) is result
    assert len(bridged(clip([0, 2, 3], samples=0), 30.0)) == 4


def test_a_ball_of_a_probability():
    from scipy.stats import chi

    assert _sigmas(0.9) == pytest.approx(chi(3).ppf(0.9))


def test_rates_are_kept_in_files(tmp_path):
    result = clip([0, 1])
    assert result.fps is None
    assert result.rate("clip.json") is None
    for rates, expected in (({"clip.json": 59.94, "other": 1.0}, 59.94), ({"other": 1.0}, None)):
        told = replace(result, settings=rates_in_words(rates, result.file.tolist()))
        told.save(tmp_path / "a.npz")
        assert load_result(tmp_path / "a.npz").fps == expected
    two = replace(result, file=np.array(["a", "b"]), settings=rates_in_words({"a": 25.0, "b": 50.0}, ["a", "b"]))
    assert (two.fps, two.rate("a"), two.rate("b"), two[:1].fps) == (None, 25.0, 50.0, 25.0)


@pytest.mark.parametrize("text", ["fast", "true", '"30"', "-1", "Infinity", "[30]", '{"clip.json": "30"}'])
def test_settings_that_are_no_rate(text):
    assert clip([0, 1], settings={"fps": text}).fps is None
