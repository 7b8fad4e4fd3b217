"""People of films: who is who through frames, crossings and absences; frame numbers, rates, and what is kept."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from blobs import STANDING, BlobDetector, film, picture, walk
from poseterior.detect.films import frames_to_read, people_in_film
from poseterior.files.films import read_film
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.tracks import Tracks


def test_a_film(tmp_path: Path) -> None:
    small, large = walk(30), [p + np.array([260, 0]) for p in walk(30, seed=1)]
    small = [0.85 * (p - p.mean(0)) + p.mean(0) for p in small]
    path = film(tmp_path / "a.mkv", [picture([a, b], (640, 400)) for a, b in zip(small, large, strict=True)], "24")
    detector = BlobDetector()
    calls: list[None] = []
    seen = people_in_film(path, detector, advance=lambda: calls.append(None))
    found = seen.keypoints
    assert seen.notes == ()
    assert len(calls) == frames_to_read(read_film(path)) == 30
    assert detector.followed == 2 * 29  # each frame is looked at with the people of the one before
    assert found.rates == {str(path): 24.0}
    assert [tuple(one) for one in found.ids] == [(str(path), k, who) for k in range(30) for who in (0, 1)]
    assert np.abs(found.xy[::2].numpy() - np.array(large)).max() < 1.0  # the larger one is person 0
    assert np.abs(found.xy[1::2].numpy() - np.array(small)).max() < 1.0


def test_a_part_of_it(tmp_path: Path) -> None:
    places = walk(30)
    path = film(tmp_path / "a.mkv", [picture([p]) for p in places], "25")
    found = people_in_film(path, BlobDetector(), start=0.4, end=1.0, every=4).keypoints
    assert [one.frame for one in found.ids] == [10, 14, 18, 22]
    assert np.abs(found.xy.numpy() - np.array(places)[[10, 14, 18, 22]]).max() < 1.0
    assert {one.person for one in found.ids} == {0}


def test_who_leaves_and_comes_back(tmp_path: Path) -> None:
    places = walk(60, start=80, step=2)
    pictures = [picture([] if 20 <= k < 30 else [p]) for k, p in enumerate(places)]
    path = film(tmp_path / "a.mkv", pictures)
    seen = people_in_film(path, BlobDetector())
    assert seen.notes == (f"{path}: nobody found in 10 of 60 frames",)
    assert {one.person for one in seen.keypoints.ids} == {0}
    assert [one.frame for one in seen.keypoints.ids] == [*range(20), *range(30, 60)]


def test_another_person_elsewhere_is_somebody_new(tmp_path: Path) -> None:
    left, right = STANDING + np.array([80, 220]), STANDING + np.array([400, 220])
    path = film(tmp_path / "a.mkv", [picture([left if k < 8 else right]) for k in range(20)])
    people = [one.person for one in people_in_film(path, BlobDetector()).keypoints.ids]
    assert people == [1] * 8 + [0] * 12  # who is there longest is person 0


def test_people_who_pass_each_other_keep_their_numbers() -> None:
    there, back = walk(60, start=100, step=8), walk(60, start=560, step=-8, seed=1)
    tracks = Tracks()
    order = np.random.default_rng(0)
    for frame, pair in enumerate(zip(there, back, strict=True)):
        turn = [0, 1] if order.random() < 0.5 else [1, 0]
        xy = np.stack([pair[i] for i in turn]) + order.normal(0, 1.5, (2, 17, 2))
        numbers = tracks(frame, Keypoints2D(xy, np.full((2, 17), 2.0), skeleton="coco17"))
        if frame == 0:
            names = dict(zip(turn, numbers, strict=True))
        assert numbers == [names[i] for i in turn], frame


def test_nobody_in_it(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [picture([])] * 5)
    seen = people_in_film(path, BlobDetector())
    assert seen.keypoints is None
    assert seen.notes == (f"{path}: nobody found by blobs in 5 frames",)


def test_memory_does_not_grow_with_the_film(tmp_path: Path) -> None:
    """What is kept of a frame is some kB, of a picture of 576 kB."""
    peaks = []
    for frames in (40, 160):
        path = film(tmp_path / f"{frames}.mkv", [picture([p]) for p in walk(40)] * (frames // 40))
        tracemalloc.start()
        people_in_film(path, BlobDetector())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 120 * 20_000


def test_a_film_too_small(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [np.zeros((8, 32, 3), np.uint8)] * 3)
    with pytest.raises(ValueError, match="32 x 8 px are too few to find anybody"):
        people_in_film(path, BlobDetector())
