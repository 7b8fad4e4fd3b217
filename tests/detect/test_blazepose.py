"""BlazePose on the photograph of the package, and on pictures made of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from detect.detector_models import needs_blazepose
from documents import EXAMPLES
from poseterior.detect import load_detector
from poseterior.detect.base import Array, Detector

pytestmark = needs_blazepose


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector()


@pytest.fixture(scope="module")
def photograph() -> Array:
    with Image.open(EXAMPLES / "astronaut.jpg") as image:
        return np.asarray(image.convert("RGB"))


def joint(person, name: str) -> np.ndarray:
    return person.keypoints.xy[person.keypoints.skeleton.index(name)].numpy()


def test_the_astronaut(detector: Detector, photograph: Array) -> None:
    (person,) = detector.detect(photograph)
    width, height = photograph.shape[1], photograph.shape[0]
    scale = width / 512  # places in the original photograph
    np.testing.assert_allclose(joint(person, "nose") / scale, (221, 129), atol=12)
    assert joint(person, "left_shoulder")[0] > joint(person, "right_shoulder")[0]
    assert person.score > 0.9
    keypoints = person.keypoints
    assert keypoints.batch_shape == ()
    assert keypoints.skeleton.name == "mediapipe33"
    assert keypoints.image_size.tolist() == [width, height]
    seen = keypoints.visible.numpy()
    assert (np.linalg.eigvalsh(keypoints.covariance.numpy()) > 0).all()
    # her legs are not in the picture
    for name in ("left_knee", "right_knee", "left_ankle", "right_ankle"):
        assert not seen[keypoints.skeleton.index(name)]
    x0, y0, x1, y1 = person.box
    assert -1 <= x0 < x1 <= width
    assert -1 <= y0 < y1 <= height


def test_two_people_where_there_are_two(detector: Detector, photograph: Array) -> None:
    (alone,) = detector.detect(photograph)
    both = detector.detect(np.concatenate([photograph, photograph], 1))
    assert len(both) == 2
    left, right = sorted(both, key=lambda person: person.box[0])
    for name in ("nose", "left_eye", "right_ear"):
        # the network sees them in other squares; her head is 150 px high
        assert np.linalg.norm(joint(left, name) - joint(alone, name)) < 30
        there = joint(alone, name) + np.array([photograph.shape[1], 0])
        assert np.linalg.norm(joint(right, name) - there) < 30


def test_nobody(detector: Detector) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    assert detector.detect(noise) == []
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []
    assert detector.detect(np.zeros((3, 700, 3), np.uint8)) == []


def test_the_same_picture_gives_the_same_people(detector: Detector, photograph: Array) -> None:
    first, second = detector.detect(photograph)[0], detector.detect(photograph)[0]
    assert (first.keypoints.xy == second.keypoints.xy).all()
    assert (first.keypoints.covariance == second.keypoints.covariance).all()


def test_people_are_followed(detector: Detector, photograph: Array) -> None:
    people = detector.detect(photograph)
    moved = np.roll(photograph, 6, 1)
    moved[:, :6] = photograph[:, :1]
    (person,) = detector.follow(moved, people)
    size = float(person.keypoints.size)
    assert np.linalg.norm(joint(person, "nose") - joint(people[0], "nose") - np.array([6, 0])) < 0.03 * size
    # whom nobody told of is found too, and who has gone is gone
    assert len(detector.follow(photograph, [])) == 1
    assert detector.follow(np.zeros_like(photograph), people) == []
    # people of other detectors have no place of ours
    assert len(detector.follow(photograph, [dataclasses.replace(people[0], place=None)])) == 1


def test_a_picture_cut_below_the_shoulders_says_little_of_the_elbows(detector: Detector, photograph: Array) -> None:
    (whole,) = detector.detect(photograph)
    line = int(
        joint(whole, "left_shoulder")[1] + 0.25 * (joint(whole, "left_elbow")[1] - joint(whole, "left_shoulder")[1])
    )
    (cut,) = detector.detect(np.ascontiguousarray(photograph[:line]))
    place = cut.keypoints.skeleton.index("left_elbow")
    hidden = not cut.keypoints.visible[place]
    wide = cut.keypoints.covariance[place].det() > 4 * whole.keypoints.covariance[place].det()
    assert hidden or wide
    assert not cut.keypoints.visible[cut.keypoints.skeleton.index("left_hip")]
