"""Lifters and keypoints of another kind are refused in words, wherever something is lifted."""

import re

import pytest

import poseterior as pp
from poseterior.lifting.live import LivePeople

NAME = "lifter: expected a lifter, got str; load one: pp.load('mdn')"
NONE = "keypoints: expected Keypoints2D, got NoneType; read a file with pp.read_keypoints(path)"


@pytest.mark.parametrize("lift", [pp.lift, pp.lift_clip])
def test_a_name_is_no_lifter_and_nothing_no_keypoints(lift):
    with pytest.raises(pp.InputError, match=re.escape(NAME)):
        lift("mdn", pp.example_keypoints())
    with pytest.raises(pp.InputError, match=re.escape(NONE)):
        lift(pp.load("mdn"), None)


def test_live_lifters_too():
    for live in (pp.LiveLifter, LivePeople):
        with pytest.raises(pp.InputError, match=re.escape(NAME)):
            live("mdn", fps=30)
    with pytest.raises(pp.InputError, match="keypoints: expected Keypoints2D, got str"):
        LivePeople(pp.load("mdn"))("a")
