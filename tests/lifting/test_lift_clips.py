"""Several clips at once, as one result; what the command line does of its own accord."""

import dataclasses

import numpy as np
import pytest
import torch
from test_lift_clip import seen, walker

import poseterior as pp
from poseterior.distributions.clip_errors import ClipErrors
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.lifting.clips import lift_clips, lift_parts, parts_of, suits_clips


@pytest.fixture(scope="module")
def mdn():
    lifter = pp.load("mdn")
    lifter.clips = ClipErrors(recalibration=lifter.recalibration)
    return lifter


def test_each_clip_is_lifted_as_a_whole(mdn, standing):
    first = seen(walker(standing), list(range(8)), "one.json")
    second = seen(walker(standing), [0, 1, 2, 3, 6, 7], "two.json")
    both = Keypoints2D.cat([second, first])
    assert suits_clips(mdn, both)
    result = lift_clips(mdn, both, samples=20, seed=2, fps=30.0)
    assert len(result) == 16  # with the two frames that are missing
    assert result.calibrated
    assert result.fps == 30
    assert result.angle_calibration == mdn.recalibration.angles.to_json()
    rows = np.flatnonzero(result.file == "two.json")
    assert result.frame[rows].tolist() == list(range(8))
    assert result.visible[rows].any(-1).tolist() == [True] * 4 + [False] * 2 + [True] * 2
    alone = pp.lift_clip(mdn, second, fps=30)
    motions = torch.from_numpy(result.samples[rows]).transpose(0, 1)
    torch.testing.assert_close(motions, alone.sample(20, seed=2), atol=1e-5, rtol=0)


def test_what_is_no_clip_or_was_not_measured_is_lifted_frame_by_frame(mdn, standing):
    short = seen(walker(standing), [0, 1, 2, 3])
    long = seen(walker(standing), list(range(6)), "long.json")
    assert suits_clips(mdn, long)
    assert not suits_clips(mdn, Keypoints2D.cat([short, long]))
    unmeasured = pp.load("mdn")
    unmeasured.clips = None
    assert not suits_clips(unmeasured, long)


def test_files_with_a_frame_each_are_a_clip(mdn, standing):
    frames = seen(walker(standing), list(range(6)))
    frames = frames._replace(ids=[PoseId(f"walk_{i:03d}.json", i, 0) for i in range(6)])
    result = lift_clips(mdn, frames, samples=5, fps=30.0)
    assert result.file.tolist() == [f"walk_{i:03d}.json" for i in range(6)]
    assert np.ptp(result.heights()[:, 0]) < 1e-5


def test_rotations_of_clips_are_those_of_the_lifter_they_go_through(standing):
    rotations = pp.load("rotations")
    walk = seen(walker(standing), list(range(6)))
    parts = parts_of(rotations, walk, "on", 30.0)
    assert [part.whole for part in parts] == [True]
    result = lift_parts(rotations, walk, parts, samples=4, fps=30.0)
    assert result.lifter == "flow"
    assert result.rotations is None
    own = pp.load("flow")
    own.recalibration = None
    torch.testing.assert_close(
        torch.from_numpy(result.samples).transpose(0, 1), pp.lift_clip(own, walk, fps=30).sample(4), atol=1e-5, rtol=0
    )
    with pytest.raises(pp.InputError, match="takes clips or single poses, not both at once"):
        parts_of(rotations, Keypoints2D.cat([walk, seen(walker(standing), [0], "photo.json")]), "on")


def test_a_copy_keeps_what_was_measured(mdn, tmp_path):
    changed = dataclasses.replace(mdn.clips, size=0.5)
    mdn.clips, kept = changed, mdn.clips
    mdn.save_pretrained(tmp_path / "copy")
    mdn.clips = kept
    assert pp.load(tmp_path / "copy").clips.size == 0.5
