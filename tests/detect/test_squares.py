"""Turned squares and what is cut out of pictures; overlaps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from poseterior.detect.base import checked_picture
from poseterior.detect.boxes import box_of, box_overlaps, landmark_overlap, weighted_suppression
from poseterior.detect.squares import Square, crop, upright, whole
from poseterior.files.errors import InputError


def test_a_crop_of_a_smooth_picture_is_the_picture_there() -> None:
    y, x = np.mgrid[:200, :300]
    picture = np.stack([x * 0.8, y * 1.2, 0 * x], -1).astype(np.uint8)
    square = Square(140.0, 90.0, 80.0, 0.4)
    found = crop(picture, square, 64)
    at = np.arange(64) / 64
    places = square.to_picture(np.stack(np.meshgrid(at, at), -1))
    np.testing.assert_allclose(found[..., 0], places[..., 0] * 0.8, atol=1.01)
    np.testing.assert_allclose(found[..., 1], places[..., 1] * 1.2, atol=1.01)


def test_an_upright_crop_of_its_own_size_is_exact() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    np.testing.assert_array_equal(crop(picture, Square(30.0, 20.0, 20.0, 0.0), 20), picture[10:30, 20:40])
    np.testing.assert_array_equal(crop(picture, Square(30.0, 20.0, 20.0, 0.0), 20, 10), picture[15:25, 20:40])


def test_beyond_the_picture() -> None:
    picture = np.full((10, 10, 3), 200, np.uint8)
    out = Square(-20.0, 5.0, 10.0, 0.0)
    assert (crop(picture, out, 8) == 200).all()
    assert (crop(picture, out, 8, beyond="black") == 0).all()


def test_the_point_of_the_circle_is_above_the_middle() -> None:
    square = upright(np.array([50.0, 60.0]), np.array([80.0, 60.0]), 1.25)  # the head to the right
    assert square.side == pytest.approx(75.0)
    assert square.angle == pytest.approx(math.pi / 2)
    np.testing.assert_allclose(square.to_picture(np.array([0.5, 0.1])), [80.0, 60.0], atol=1e-9)
    assert whole(np.zeros((10, 30, 3))) == (15.0, 5.0, 30.0, 0.0)


def test_suppression_averages_by_score() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], float)
    values, scores = weighted_suppression(boxes, np.array([0.6, 0.9, 0.7]), np.array([[0.0], [10.0], [5.0]]), 0.3)
    np.testing.assert_allclose(values[:, 0], [6.0, 5.0])
    np.testing.assert_allclose(scores, [0.9, 0.7])
    none, nothing = weighted_suppression(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 8)), 0.3)
    assert none.shape == (0, 8)
    assert nothing.shape == (0,)


def test_overlaps() -> None:
    box = np.array([0.0, 0.0, 2.0, 2.0])
    np.testing.assert_allclose(box_overlaps(box, np.array([[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]])), [1 / 3, 0.0])
    xy = np.arange(20.0).reshape(10, 2)
    assert landmark_overlap(xy, np.zeros((0, 10, 2)), 1.0) == 0.0
    assert landmark_overlap(xy, xy[None], 1.0) == 1.0
    # put together of two others' parts
    one, other = xy + 500, xy - 500
    one[:5], other[5:] = xy[:5], xy[5:]
    assert landmark_overlap(xy, np.stack([one, other]), 1.0) == 1.0
    assert landmark_overlap(xy, one[None], 1.0) == pytest.approx(0.5)
    assert box_of(xy, np.arange(10) < 2) == (0.0, 1.0, 2.0, 3.0)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"picture: expected \(height, width, 3\) uint8 RGB, got shape \(5, 5\) of uint8"
    ):
        checked_picture(np.zeros((5, 5), np.uint8))
    with pytest.raises(InputError, match="of float64"):
        checked_picture(np.zeros((5, 5, 3)))
    with pytest.raises(InputError, match="has no pixels"):
        checked_picture(np.zeros((0, 5, 3), np.uint8))
