"""Numbers in names."""

from __future__ import annotations

import pytest

from poseterior.files.numbered import (
    evenly_numbered,
    is_sequence,
    natural_key,
    numbers_in_names,
    series_of,
    usual_step,
)


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["12.jpg", "3.jpg"], [12, 3]),
        (["frame_000123.png", "frame_000007.png"], [123, 7]),
        (["a/b1/frame.0004", "a/b1/frame.0010"], [4, 10]),
        (["v1\\0004.jpg", "v1\\0010.jpg"], [4, 10]),
        (["000012_cam1.jpg", "000013_cam1.jpg"], [12, 13]),
        (["take1_1.jpg", "take1_2.jpg", "take2_3.jpg"], [1, 2, 3]),
        (["take2_1.jpg", "take1_1.jpg", "take1_2.jpg", "take2_2.jpg"], [2, 0, 1, 3]),  # neither number alone tells
        (["v2_7.png"], [7]),
        (["cat.jpg", "dog.jpg"], None),
        (["frame_1.jpg", "cover_2.jpg"], None),
        (["1.jpg", "1.png"], None),
        ([f"{2**63}.jpg", "1.jpg"], None),
    ],
)
def test_numbers_in_names(names, numbers):
    assert numbers_in_names(names) == numbers


def test_natural_order():
    names = ["f10", "f2", "f1b", "f1a", "g0"]
    assert sorted(names, key=natural_key) == ["f1a", "f1b", "f2", "f10", "g0"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["0.json", "10.json", "2.json"], [("", (0, 2, 1), (0, 2, 10), True)]),
        (["IMG_0001.json", "IMG_0002.json"], [("IMG", (0, 1), (1, 2), True)]),
        (["cam_000000.json", "cam_000001.json"], [("cam", (0, 1), (0, 1), True)]),
        (["p1.json", "p2.json", "p3.json"], [("p", (0, 1, 2), (1, 2, 3), False)]),
        (["v_000_keypoints.json", "v_001_keypoints.json"], [("v", (0, 1), (0, 1), True)]),
        (["000_left.json", "001_left.json"], [("left", (0, 1), (0, 1), True)]),
        (["a_1.json", "a_1.npy"], []),
        (["anna.json", "bob.json"], []),
        (["01.json", "1.json"], []),  # the same number twice
    ],
)
def test_series(names, expected):
    found = [(one.name, one.members, one.numbers, one.counted) for one in series_of(names)]
    assert found == expected


def test_two_cameras_are_two_series():
    names = [f"cam{camera}_{frame:03d}.json" for frame in range(10) for camera in (1, 2)]
    assert [(one.name, len(one.members)) for one in series_of(names)] == [("cam1", 10), ("cam2", 10)]
    names = [f"{frame:03d}_cam{camera}.json" for frame in range(10) for camera in (1, 2)]
    assert [(one.name, len(one.members)) for one in series_of(names)] == [("cam1", 10), ("cam2", 10)]


def test_steps():
    assert usual_step([3]) == usual_step([]) == 1
    assert usual_step([0, 4, 8, 16]) == 4
    assert usual_step([139, 285, 632]) == 146
    assert usual_step([0, 1, 2, 90]) == 1
    assert evenly_numbered([0, 1, 2, 10])
    assert not evenly_numbered([1, 5, 90])
    assert not evenly_numbered([4])


def test_sequences():
    assert is_sequence([f"walk_{i:03d}.jpg" for i in range(4)], [0, 1, 2, 3])
    assert not is_sequence(["a.jpg", "b.jpg", "c.jpg"], [0, 1, 2])
    assert not is_sequence(["walk_1.jpg"] * 3, [0, 1, 2])
