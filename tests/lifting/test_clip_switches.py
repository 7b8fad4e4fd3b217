"""Tracks that go over to somebody else."""

import numpy as np
import pytest
import torch
from test_clip_root import path_of, walk
from test_lift_clip import COUNT, walker

import poseterior as pp
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.lifting.clips import lift_clips
from poseterior.lifting.clips.switches import TrackSwitch, somebody_else

TIMES = np.arange(COUNT) / 30


@pytest.fixture(scope="module")
def mdn():
    lifter = pp.load("mdn")
    lifter.clips = None
    return lifter


def moved(standing: torch.Tensor, rows: list[int], metres: tuple[float, float, float]) -> Keypoints2D:
    root = path_of(COUNT)
    root[rows] += torch.tensor(metres)
    return walk(walker(standing), root)


def test_a_jump_that_no_human_makes_is_refused(mdn, standing):
    keypoints = moved(standing, list(range(12, COUNT)), (-4.8, 0.0, 0.0))
    with pytest.raises(pp.InputError) as error:
        pp.lift_clip(mdn, keypoints, fps=30)
    text = str(error.value)
    assert text.startswith("clip: walk.json: person 0: from frame 11 to 12 the person jumps by ")
    assert "times their size; nobody moves by more than 2.4. Split the clip there, " in text
    assert text.endswith("or every frame by itself with --clip off")
    # at ten times the rate's pace nobody makes it either, at three frames a second somebody might
    slow = keypoints._replace(ids=[PoseId("walk.json", 12 * row, 0) for row in range(COUNT)])
    assert not bool(somebody_else(slow, TIMES * 12).any())


@pytest.mark.parametrize("rows", [[7], [7, 8], [0], [22, 23]])
def test_a_frame_or_two_of_somebody_else_are_left_out(mdn, standing, rows):
    keypoints = moved(standing, rows, (-4.8, 0.0, 0.0))
    assert somebody_else(keypoints, TIMES).nonzero().squeeze(-1).tolist() == rows
    clip = pp.lift_clip(mdn, keypoints, fps=30)
    assert clip.settings["jumps"].startswith(f"{len(rows)} frame")
    assert clip.settings["jumps"].endswith(
        f"({', '.join(map(str, rows))}) showed somebody elsewhere, and count{'s' if len(rows) == 1 else ''} as missing"
    )
    right = pp.lift_clip(mdn, moved(standing, [], (0.0, 0.0, 0.0)), fps=30)
    assert not clip.present[rows].any()
    assert float((clip.root.mean - right.root.mean)[rows].norm(dim=-1).max()) < 0.3


def test_two_tracks_in_turn_are_refused(standing):
    with pytest.raises(TrackSwitch, match="from frame 0 to 1 the person jumps"):
        somebody_else(moved(standing, list(range(1, COUNT, 2)), (-4.8, 0.0, 0.0)), TIMES)
    with pytest.raises(TrackSwitch, match="from frame 0 to 1 the person jumps"):
        somebody_else(moved(standing, [1], (-4.8, 0.0, 0.0))[:2], TIMES[:2])


def test_somebody_behind_is_found_by_the_distance(mdn, standing):
    """In the picture the other person stands in the same place, twice as far away."""
    root = path_of(COUNT)
    root[12:] *= 2.0
    keypoints = walk(walker(standing), root)
    assert not bool(somebody_else(keypoints, TIMES).any())
    with pytest.raises(
        TrackSwitch, match=r"^clip: walk\.json: person 0: from frame 1[01] to 1[12] the person is \d\.\d m from"
    ):
        pp.lift_clip(mdn, keypoints, fps=30)
    unknown = keypoints._replace(intrinsics=torch.full((COUNT, 4), torch.nan))
    assert len(pp.lift_clip(mdn, unknown, fps=30)) == COUNT


def test_who_runs_is_not_refused(mdn, standing):
    """A sprinter: 11 m/s across the picture."""
    root = path_of(COUNT)
    root[:, 0] += 11.0 * torch.arange(COUNT) / 30 - 4
    root[:, 2] += 6.0
    clip = pp.lift_clip(mdn, walk(walker(standing), root), fps=30)
    assert "jumps" not in clip.settings


def test_of_several_clips_the_others_are_lifted(mdn, standing):
    wrong = moved(standing, list(range(12, COUNT)), (-4.8, 0.0, 0.0))
    right = moved(standing, [], (0.0, 0.0, 0.0))
    right = right._replace(ids=[PoseId("right.json", row, 0) for row in range(COUNT)])
    result = lift_clips(mdn, Keypoints2D.cat([wrong, right]), samples=5, fps=30.0)
    assert set(result.file.tolist()) == {"right.json"}
    assert result.settings["left out"].startswith("clip: walk.json: person 0: from frame 11 to 12")
    with pytest.raises(TrackSwitch):
        lift_clips(mdn, wrong, samples=5, fps=30.0)
