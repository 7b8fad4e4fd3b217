"""Files that are read in parts hold what they hold when they are read whole, to the bit."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.keypoints import Keypoints2D, parts
from poseterior.keypoints.detections import Options
from poseterior.keypoints.judging import NotInParts
from poseterior.keypoints.parts import KeypointParts, can_be_parts
from poseterior.keypoints.reading import read_keypoints
from poseterior.keypoints.spool import Spool

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

JOINTS = get_skeleton("h36m17").joints
FRAMES = 150
FIELDS = ("xy", "covariance", "visible", "image_size", "intrinsics", "height", "amplitude", "synthesised", "keys")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART", 32)
    monkeypatch.setattr(parts, "LONG", 0)
    monkeypatch.setattr("poseterior.files.long_json.LONG", 0)
    monkeypatch.setattr("poseterior.files.long_json.PIECE", 5000)


def people(frames: int = FRAMES, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Places (frames, people, joints, 2), px, and scores; a joint here and there is a placeholder."""
    rng = np.random.default_rng(1)
    body = rng.uniform(100, 400, (count, 17, 2)) + 500 * np.arange(count)[:, None, None]
    xy = body + rng.normal(0, 2, (frames, count, 17, 2)) + np.arange(frames)[:, None, None, None]
    xy[3, 0, 5] = 0
    xy[frames // 2, 0, 6] = -1
    return xy, rng.uniform(0.05, 1, (frames, count, 17))


def wide(path, xy, scores, frames=None, person=True) -> None:
    count = xy.shape[1]
    number = np.arange(len(xy)) if frames is None else frames
    columns = {"frame": np.repeat(number, count)}
    if person:
        columns["person"] = np.tile(np.arange(count), len(xy))
    for j, name in enumerate(JOINTS):
        columns |= {f"{name}_x": xy[..., j, 0].ravel(), f"{name}_y": xy[..., j, 1].ravel()}
        columns[f"{name}_score"] = scores[..., j].ravel()
    pq.write_table(pa.table(columns), path, row_group_size=37)


def whole_and_parts(path, **options):
    skeleton = options.pop("skeleton", None)
    read = KeypointParts(path, Options(str(path), None if skeleton is None else get_skeleton(skeleton)), **options)
    found = list(read)
    return read_keypoints(path, skeleton=skeleton), Keypoints2D.cat(found), len(found), read


def same(whole: Keypoints2D, joined: Keypoints2D) -> None:
    assert joined.skeleton == whole.skeleton
    assert joined.ids == whole.ids
    assert dict(joined.rates) == dict(whole.rates)
    for name in FIELDS:
        torch.testing.assert_close(getattr(joined, name), getattr(whole, name), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(("count", "person"), [(1, True), (3, True), (3, False), (1, False)])
def test_parquet(tmp_path, count, person):
    wide(tmp_path / "x.parquet", *people(count=count), person=person)
    whole, joined, several, read = whole_and_parts(tmp_path / "x.parquet")
    assert several > 3
    same(whole, joined)
    assert (read.links.frames, read.links.first, read.links.last) == (FRAMES, 0, FRAMES - 1)
    assert sum(read.links.tracks.values()) == FRAMES * count


def test_people_without_numbers_are_followed_through_the_parts(tmp_path):
    xy, scores = people(count=3)
    order = np.random.default_rng(0).permuted(np.tile(np.arange(3), (FRAMES, 1)), axis=1)
    rows = np.arange(FRAMES)[:, None]
    wide(tmp_path / "x.parquet", xy[rows, order], scores[rows, order], 3 * np.arange(FRAMES), person=False)
    whole, joined, _, _ = whole_and_parts(tmp_path / "x.parquet")
    same(whole, joined)
    assert {identity.person for identity in whole.ids} == {0, 1, 2}


def test_npy(tmp_path):
    xy, scores = people()
    np.save(tmp_path / "x.npy", np.concatenate([xy[:, 0], scores[:, 0, :, None]], -1).astype(np.float32))
    whole, joined, several, _ = whole_and_parts(tmp_path / "x.npy", skeleton="h36m17")
    assert several == -(-FRAMES // 32)
    same(whole, joined)


@pytest.mark.parametrize("name", ["x.jsonl", "x.ndjson", "x.json"])
@pytest.mark.parametrize("numbered", [True, False])
def test_entries(tmp_path, name, numbered):
    xy, scores = people()
    entries = [
        {
            "joints": JOINTS, "fps": 25, "image_size": [640, 480],
            "keypoints": np.concatenate([xy[i, 0], scores[i, 0, :, None]], -1).tolist(),
        }
        | ({"frame": 2 * i} if numbered else {})
        for i in range(FRAMES)
    ]  # fmt: skip
    text = json.dumps(entries) if name == "x.json" else "\n".join(json.dumps(one) for one in entries) + "\n\n"
    (tmp_path / name).write_text(text)
    whole, joined, several, _ = whole_and_parts(tmp_path / name)
    assert several > 3
    same(whole, joined)


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("shape", ["instance_info", "frames", "nested"])
def test_mmpose(tmp_path, shape, numbered):
    xy, scores = people(count=3)
    frames = []
    for i in range(FRAMES):
        seen = range(1 + i % 3)  # frames of one, two and three people; one of nobody
        instances = [{"keypoints": xy[i, j].tolist(), "keypoint_scores": scores[i, j].tolist()} for j in seen]
        instances = [] if i == 70 else instances
        frames.append(instances if shape == "nested" else {"instances": instances})
        if numbered and shape != "nested":
            frames[-1]["frame_id"] = 3 * i + 5
    document = {"meta_info": {"fps": 25}, "instance_info": frames} if shape == "instance_info" else frames
    (tmp_path / "x.json").write_text(json.dumps(document))
    whole, joined, several, _ = whole_and_parts(tmp_path / "x.json")
    assert several > 3
    same(whole, joined)
    assert len({identity.frame for identity in joined.ids}) == FRAMES - 1


def test_mmpose_of_many_points_and_wrong_ones_are_told_as_of_whole_files(tmp_path):
    rng = np.random.default_rng(3)
    frames = [
        {"frame_id": i, "instances": [{"keypoints": rng.uniform(0, 900, (133, 2)).tolist(),
                                       "keypoint_scores": rng.uniform(0.2, 1, 133).tolist(), "bbox": [[1, 2, 3, 4]]}]}
        for i in range(FRAMES)
    ]  # fmt: skip
    (tmp_path / "x.json").write_text(json.dumps({"meta_info": {}, "instance_info": frames}))
    whole, joined, several, _ = whole_and_parts(tmp_path / "x.json")
    assert several > 3
    same(whole, joined)
    frames[120]["instances"][0]["keypoints"].pop()
    (tmp_path / "x.json").write_text(json.dumps({"meta_info": {}, "instance_info": frames}))
    with pytest.raises(InputError, match=r"frame 120, person 0\.keypoints: 132 joints; expected 17 or 26"):
        read_keypoints(tmp_path / "x.json")
    with pytest.raises(NotInParts, match="frame 120, person 0"):
        list(KeypointParts(tmp_path / "x.json", Options(str(tmp_path / "x.json"))))


def test_long_json_is_read_at_once_with_few_objects(tmp_path, monkeypatch):
    xy, scores = people()
    entries = [{"joints": JOINTS, "keypoints": np.c_[xy[i, 0], scores[i, 0]].tolist()} for i in range(FRAMES)]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, entries)))
    found = parts.read_long_json(path, Options(str(path)))
    assert found is not None
    same(read_keypoints(path), found)
    assert parts.read_long_json(path, Options(str(path)), person=7) is None  # who is told so by who reads it whole
    assert parts.read_long_json(path, Options(str(path)), format="coco") is None
    assert parts.read_long_json(tmp_path, Options(str(tmp_path))) is None
    assert parts.read_long_json(tmp_path / "none.json", Options("none.json")) is None
    monkeypatch.setattr(parts, "LONG", 1 << 30)
    assert parts.read_long_json(path, Options(str(path))) is None


def test_openpose_folder(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    rng = np.random.default_rng(2)
    body = rng.uniform(100, 400, (2, 25, 2)) + 400 * np.arange(2)[:, None, None]
    body[:, 8], body[:, 1] = body[:, [9, 12]].mean(1), body[:, [2, 5]].mean(1)
    for i in range(80):
        found = np.concatenate([body + rng.normal(0, 1, body.shape), np.full((2, 25, 1), 0.9)], -1)
        document = {
            "version": 1.3,
            "people": [{"person_id": [-1], "pose_keypoints_2d": p.ravel().tolist()} for p in found],
        }
        (folder / f"walk_{i + 5:06}_keypoints.json").write_text(json.dumps(document))
    whole, joined, several, _ = whole_and_parts(folder)
    assert several == 3
    same(whole, joined)


def test_says_once_what_is_said_of_the_whole(tmp_path, caplog):
    wide(tmp_path / "x.parquet", *people())
    with caplog.at_level(logging.WARNING):
        read_keypoints(tmp_path / "x.parquet")
    whole = [record.getMessage() for record in caplog.records]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        list(KeypointParts(tmp_path / "x.parquet", Options(str(tmp_path / "x.parquet"))))
    assert [record.getMessage() for record in caplog.records] == whole
    assert len(whole) == 1


def test_one_person(tmp_path):
    wide(tmp_path / "x.parquet", *people(count=3))
    found = list(KeypointParts(tmp_path / "x.parquet", Options(str(tmp_path / "x.parquet")), person=2))
    same(read_keypoints(tmp_path / "x.parquet", person=2), Keypoints2D.cat(found))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda xy, s: (xy / 1000, s, None), "normalised"),
        (lambda xy, s: (xy, 100 * s, None), "scale of the scores"),
        (lambda xy, s: (xy, 0.2 * s, None), "scale of the scores"),
        (lambda xy, s: (xy, s, np.arange(FRAMES)[::-1]), "order"),
        (lambda xy, s: (xy, s, np.arange(FRAMES) + 0.5), "whole numbers"),
    ],
)
def test_what_needs_all_numbers_at_once_is_read_whole(tmp_path, change, reason):
    xy, scores, frames = change(*people())
    wide(tmp_path / "x.parquet", xy, scores, frames)
    with pytest.raises(NotInParts, match=reason):
        list(KeypointParts(tmp_path / "x.parquet", Options(str(tmp_path / "x.parquet"))))


def test_a_line_that_is_none_is_named(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"joints": ["nose"], "keypoints": [[1, 2]]}\n{"joints": [\n')
    with pytest.raises(InputError, match=r"x\.jsonl: line 2: not valid JSON; expected an object a line"):
        read_keypoints(tmp_path / "x.jsonl")


def test_which_files_are_read_in_parts(tmp_path):
    xy, scores = people(5)
    wide(tmp_path / "x.parquet", xy, scores)
    np.savez(tmp_path / "x.npz", keypoints=xy[:, 0])
    (tmp_path / "x.csv").write_text("frame,nose_x,nose_y\n")
    assert can_be_parts([tmp_path / "x.parquet"])
    assert not can_be_parts([tmp_path / "x.parquet", tmp_path / "x.npz"])
    assert not can_be_parts([tmp_path / "x.npz"])
    assert not can_be_parts([tmp_path / "x.csv"])
    assert not can_be_parts([tmp_path / "missing.parquet"])


def test_spool_keeps_keypoints_to_the_bit(tmp_path):
    xy, scores = people(20)
    keypoints = Keypoints2D(
        xy[:, 0], confidence=scores[:, 0], image_size=(640, 480), height=1.7,
        ids=[("a" if i < 7 else "b", i, i % 3) for i in range(20)],
    )  # fmt: skip
    spool = Spool(tmp_path / "spool", keypoints.skeleton)
    spool.append(keypoints[:8])
    spool.append(keypoints[8:])
    spool.close()
    same(keypoints, spool.read(0, 20))
    same(keypoints[5:11], spool.read(5, 11))
