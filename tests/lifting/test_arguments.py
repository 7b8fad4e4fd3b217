"""Lifters and keypoints of another kind are refused in words, wherever something is lifted."""

import re

import pytest
import torch

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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"samples": "5"}, "samples: expected a whole number, got '5'"),
        ({"samples": 1.5}, "samples: expected a whole number, got 1.5"),
        ({"seed": 1.5}, "seed: expected a whole number, got 1.5"),
        ({"seed": None}, "seed: expected a whole number, got None"),
        ({"chunk": "all"}, "chunk: expected a whole number, got 'all'"),
    ],
)
def test_counts_are_whole_numbers(wrong, message):
    with pytest.raises(pp.InputError, match=f"^{re.escape(message)}$"):
        pp.lift(pp.load("mdn"), pp.example_keypoints(), **wrong)


def test_keypoints_that_carry_gradients_are_lifted_as_others():
    lifter, example = pp.load("mdn"), pp.example_keypoints()[:1]
    about = {"covariance": example.covariance, "visible": example.visible, "skeleton": example.skeleton}
    carrying = pp.Keypoints2D(example.xy.clone().requires_grad_(), **about)
    plain = pp.Keypoints2D(example.xy, **about)
    found, expected = (pp.lift(lifter, keypoints, samples=3) for keypoints in (carrying, plain))
    assert (found.samples == expected.samples).all()
    live = [pp.LiveLifter(lifter, fps=30)(keypoints) for keypoints in (carrying, plain)]
    assert torch.equal(*(torch.as_tensor(pose.mean) for pose in live))
    clips = [pp.lift_clip(lifter, keypoints, fps=30) for keypoints in (carrying, plain)]
    assert torch.equal(*(torch.as_tensor(clip.mean) for clip in clips))
    assert lifter(carrying).mean.requires_grad, "the distribution itself is differentiable"
