"""A told height is one piece of news about a clip, however many frames were told it."""

import math

import pytest
import torch
from test_lift_clip import COUNT, seen, walker

import poseterior as pp

#: Standard deviation of a told height, as a share of it.
TOLD = 0.02


@pytest.fixture(scope="module")
def mdn():
    lifter = pp.load("mdn")
    lifter.clips = None
    return lifter


def interval(mdn, keypoints, told: float | None) -> tuple[float, float, float]:
    if told is not None:
        keypoints = keypoints.with_camera(height=torch.full((len(keypoints),), told))
    return pp.lift_clip(mdn, keypoints, fps=30).height(0.9)


@pytest.mark.parametrize("frames", [6, COUNT])
def test_frames_do_not_make_a_told_height_surer(mdn, standing, frames):
    walk = seen(walker(standing), list(range(frames)))
    _, low, high = interval(mdn, walk, None)
    untold = math.log(high / low) / (2 * 1.645)
    middle, low, high = interval(mdn, walk, 1.7)
    # what the told height alone, and what is known without it, leave open together
    least = 1.0 / math.sqrt(1.0 / TOLD**2 + 1.0 / untold**2)
    assert math.log(high / low) / (2 * 1.645) > 0.97 * least
    assert high - low < 0.65 * (2 * 1.645 * untold * 1.7)
    assert abs(math.log(middle / 1.7)) < 2 * TOLD


def test_motions_follow_the_told_height(mdn, standing):
    walk = seen(walker(standing), list(range(8)))
    small, tall = (interval(mdn, walk, metres)[0] for metres in (1.6, 1.9))
    assert tall / small == pytest.approx(1.9 / 1.6, rel=0.05)
