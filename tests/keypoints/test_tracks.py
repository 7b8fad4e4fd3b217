"""People through clips: linked where nobody tracked them, kept where somebody did."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.keypoints.reading import read_keypoints
from poseterior.keypoints.tracks import assign, clip_summary, linked, of_person

BODY = np.random.default_rng(0).uniform([-40, -90], [40, 90], (17, 2))


def scene(paths: dict[int, np.ndarray], noise: float = 1.0, seed: int = 0, shuffle: bool = True, **options) -> tuple:
    """Keypoints of people whose middles go along paths (frames, 2), NaN where away; and who is who, row by row."""
    rng = np.random.default_rng(seed)
    bodies = {who: BODY * (1 + 0.1 * rng.standard_normal((17, 2))) for who in paths}
    xy, ids, truth = [], [], []
    for frame in range(len(next(iter(paths.values())))):
        there = [who for who in paths if np.isfinite(paths[who][frame]).all()]
        if shuffle:
            rng.shuffle(there)
        for place, who in enumerate(there):
            xy.append(bodies[who] + paths[who][frame] + noise * rng.standard_normal((17, 2)))
            ids.append(PoseId("clip", frame, place))
            truth.append(who)
    return Keypoints2D(np.array(xy), skeleton="coco17", ids=ids, **options), truth


def straight(start: tuple[float, float], step: tuple[float, float], frames: int) -> np.ndarray:
    return np.array(start, float) + np.arange(frames)[:, None] * np.array(step, float)


def tracks(keypoints: Keypoints2D, truth: list[int], tracked: list[bool] | None = None) -> dict[int, set[int]]:
    """For each person, the numbers of the tracks."""
    (found,) = linked([keypoints], [tracked])
    numbers: dict[int, set[int]] = {}
    for identity, who in zip(found.ids, truth, strict=True):
        numbers.setdefault(who, set()).add(identity.person)
    return numbers


# -- assignment ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (4, 6), (6, 4), (2, 1)])
def test_assignment_is_the_cheapest_of_all(shape):
    rng = np.random.default_rng(1)
    for _ in range(30):
        cost = rng.normal(size=shape)
        cost[rng.random(shape) < 0.3] = 0.0  # ties
        pairs = assign(cost)
        few, many = sorted(shape)
        tall = cost if shape[0] <= shape[1] else cost.T
        best = min(tall[range(few), list(p)].sum() for p in itertools.permutations(range(many), few))
        assert len(pairs) == few == len({row for row, _ in pairs}) == len({column for _, column in pairs})
        assert sum(cost[pair] for pair in pairs) == pytest.approx(best)


def test_assignment_agrees_with_scipy():
    optimize = pytest.importorskip("scipy.optimize")
    cost = np.random.default_rng(0).normal(size=(25, 30))
    rows, columns = optimize.linear_sum_assignment(cost)
    assert assign(cost) == list(zip(rows.tolist(), columns.tolist(), strict=True))


# -- linking ---------------------------------------------------------------------------------------------------


def test_people_in_any_order():
    keypoints, truth = scene({0: straight((200, 300), (2, 0), 60), 1: straight((500, 300), (-1, 1), 60)})
    assert tracks(keypoints, truth) == {0: tracks(keypoints, truth)[0], 1: tracks(keypoints, truth)[1]}
    assert sorted(map(tuple, tracks(keypoints, truth).values())) == [(0,), (1,)]


def test_people_who_cross():
    """Bodies pass through each other in opposite directions: the velocity tells them apart."""
    keypoints, truth = scene({0: straight((200, 300), (6, 0), 60), 1: straight((560, 300), (-6, 0), 60)}, noise=2.0)
    found = tracks(keypoints, truth)
    assert [len(numbers) for numbers in found.values()] == [1, 1]
    assert found[0] != found[1]


def test_one_is_hidden_while_they_cross():
    other = straight((560, 300), (-6, 0), 60)
    other[26:34] = np.nan
    keypoints, truth = scene({0: straight((200, 300), (6, 0), 60), 1: other}, noise=2.0)
    found = tracks(keypoints, truth)
    assert [len(numbers) for numbers in found.values()] == [1, 1]
    assert found[0] != found[1]


def test_who_comes_later_is_new_and_who_returns_soon_is_not():
    late, away = straight((700, 300), (0, 0), 80), straight((200, 300), (0, 0), 80)
    late[:30] = np.nan
    away[20:30] = np.nan
    keypoints, truth = scene({0: straight((450, 300), (0, 0), 80), 1: away, 2: late})
    found = tracks(keypoints, truth)
    assert [len(numbers) for numbers in found.values()] == [1, 1, 1]
    assert len(set.union(*found.values())) == 3


def test_who_returns_late_is_somebody_else():
    away = straight((200, 300), (0, 0), 80)
    away[20:60] = np.nan
    keypoints, truth = scene({0: straight((450, 300), (0, 0), 80), 1: away})
    found = tracks(keypoints, truth)
    assert len(found[0]) == 1
    assert len(found[1]) == 2


def test_a_jump_ends_a_track():
    path = straight((200, 300), (1, 0), 40)
    path[20:] += [400, 0]
    keypoints, _ = scene({0: path})
    (found,) = linked([keypoints], [None])
    assert [identity.person for identity in found.ids] == [0] * 20 + [1] * 20


def test_frames_are_counted_by_their_usual_step():
    """Every tenth frame of a walk: 30 steps later somebody may still be the same."""
    keypoints, truth = scene({0: straight((200, 300), (3, 0), 20), 1: straight((500, 300), (-3, 0), 20)})
    ids = [identity._replace(frame=10 * identity.frame) for identity in keypoints.ids]
    found = tracks(keypoints._replace(ids=ids), truth)
    assert [len(numbers) for numbers in found.values()] == [1, 1]


def test_missing_joints_and_swapped_sides_do_not_end_a_track():
    keypoints, _ = scene({0: straight((200, 300), (1, 0), 30)})
    visible = np.random.default_rng(0).random((30, 17)) < 0.6
    xy = keypoints.xy.numpy().copy()
    xy[15, 5:11] = xy[15, [6, 5, 8, 7, 10, 9]]
    seen = Keypoints2D(xy, visible=visible, skeleton="coco17", ids=keypoints.ids)
    (found,) = linked([seen], [None])
    assert {identity.person for identity in found.ids} == {0}


def test_wide_covariances_reach_further():
    """A jump that sharp keypoints cannot make is within what blurred ones say."""
    path = straight((200, 300), (0, 0), 2)
    path[1] += [150, 0]
    for spread, people in ((1.0, 2), (80.0, 1)):
        keypoints, _ = scene({0: path}, covariance=np.full((2, 17), spread))
        (found,) = linked([keypoints], [None])
        assert len({identity.person for identity in found.ids}) == people


def test_many_people_for_long():
    """A dozen people who walk about; each has one track."""
    rng = np.random.default_rng(3)
    paths = {}
    for who in range(12):
        walk = np.cumsum(np.cumsum(0.05 * rng.standard_normal((400, 2)), 0), 0)
        paths[who] = np.array([300.0 * (who % 4), 400.0 * (who // 4)]) + 40 * walk / np.abs(walk).max()
    keypoints, truth = scene(paths)
    found = tracks(keypoints, truth)
    assert all(len(numbers) == 1 for numbers in found.values())
    assert len(set.union(*found.values())) == 12


# -- numbers of trackers ---------------------------------------------------------------------------------------


def test_numbers_of_a_tracker_stay():
    path = straight((200, 300), (1, 0), 10)
    path[5:] += [400, 0]
    keypoints, _ = scene({0: path})
    ids = [identity._replace(person=7) for identity in keypoints.ids]
    (found,) = linked([keypoints._replace(ids=ids)], [[True] * 10])
    assert [identity.person for identity in found.ids] == [7] * 10


def test_people_whom_the_tracker_missed_get_numbers_of_their_own():
    keypoints, truth = scene({0: straight((200, 300), (1, 0), 10), 1: straight((600, 300), (1, 0), 10)}, shuffle=False)
    sure = [who == 0 for who in truth]
    ids = [i._replace(person=1 if s else i.person) for i, s in zip(keypoints.ids, sure, strict=True)]
    (found,) = linked([keypoints._replace(ids=ids)], [sure])
    numbers = {(who, identity.person) for who, identity in zip(truth, found.ids, strict=True)}
    assert numbers == {(0, 1), (1, 0)}


def test_one_number_for_everybody_is_no_track():
    keypoints, truth = scene({0: straight((200, 300), (1, 0), 10), 1: straight((600, 300), (1, 0), 10)})
    ids = [identity._replace(person=0) for identity in keypoints.ids]
    found = tracks(keypoints._replace(ids=ids), truth, [True] * 20)
    assert sorted(map(sorted, found.values())) == [[0], [1]]


def test_people_of_single_pictures_are_not_linked():
    keypoints, _ = scene({0: straight((200, 300), (0, 0), 1), 1: straight((600, 300), (0, 0), 1)})
    (found,) = linked([keypoints], [None])
    assert found.ids == keypoints.ids


def test_rows_come_in_order_of_the_frames():
    keypoints, _ = scene({0: straight((200, 300), (1, 0), 6)})
    backwards = keypoints[list(range(5, -1, -1))]
    for link in (True, False):
        (found,) = linked([backwards], [None], link=link)
        assert [identity.frame for identity in found.ids] == list(range(6))
        torch.testing.assert_close(found.xy, keypoints.xy)


# -- reading ---------------------------------------------------------------------------------------------------


def openpose(*offsets: float) -> dict:
    people = []
    for offset in offsets:
        points = np.concatenate([np.add(BODY, [300 + offset, 300]), np.full((17, 1), 0.9)], 1)
        order = [*range(17), 0]  # 18 joints
        people.append({"person_id": [-1], "pose_keypoints_2d": points[order].reshape(-1).tolist()})
    return {"people": people}


@pytest.fixture
def clip(tmp_path):
    for frame in range(6):
        pair = (frame, 400 + frame) if frame % 2 else (400 + frame, frame)
        (tmp_path / f"v_{frame:012d}_keypoints.json").write_text(json.dumps(openpose(*pair)))
    return tmp_path


def test_reading_links_people(clip):
    found = read_keypoints(clip)
    for person in (0, 1):
        x = found.xy[[i.person == person for i in found.ids], 0, 0]
        assert float(x.diff().abs().max()) == pytest.approx(1.0)
    off = read_keypoints(clip, tracks="off")
    assert float(off.xy[[i.person == 0 for i in off.ids], 0, 0].diff().abs().max()) > 300
    assert clip_summary(found) == [f"{clip}: 6 frames (0 to 5), 2 people; the longest track is person 0, of 6 frames"]


def test_one_person_alone(clip):
    found = read_keypoints(clip, person=1)
    assert {(identity.person, identity.frame) for identity in found.ids} == {(1, frame) for frame in range(6)}
    with pytest.raises(InputError) as caught:
        read_keypoints(clip, person=5)
    assert str(caught.value) == "--person 5: no such person; there are: 0 (6 frames), 1 (6 frames)"
    assert of_person(found, 1).ids == found.ids
