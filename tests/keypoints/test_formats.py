"""Readers of keypoint files: every format, every way in which a file may be wrong."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import SHARED
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.formats import detect_format, format_names, formats
from poseterior.keypoints.reading import example_keypoints, read_keypoints


def points(joints: int, offset: float = 0.0) -> list[list[float]]:
    """Distinct, exact coordinates: joint i stands at (100 + 4i, 50 + 8i + offset)."""
    return [[100.0 + 4 * i, 50.0 + 8 * i + offset] for i in range(joints)]


def flat(joints: int, offset: float = 0.0, score: float = 0.75) -> list[float]:
    return [value for x, y in points(joints, offset) for value in (x, y, score)]


def save(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def result(joints: int = 17, image_id: Any = 7, **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": 1, "keypoints": flat(joints), "score": 0.9, **more}


def body25(*offsets: float, **more: Any) -> dict[str, Any]:
    people = [{"person_id": [-1], "pose_keypoints_2d": flat(25, o), **more} for o in offsets]
    return {"version": 1.3, "people": people}


def instance(joints: int = 17, **more: Any) -> dict[str, Any]:
    return {"keypoints": points(joints), "keypoint_scores": [0.75] * joints, **more}


def frame26(joints: int = 26, field: str = "pose_keypoints_2d", **more: Any) -> dict[str, Any]:
    return {"people": [{field: flat(joints)}], **more}


def by_axis(joints: int = 17, **more: Any) -> dict[str, Any]:
    x, y = zip(*points(joints), strict=True)
    keypoints = {"x": list(x), "y": list(y), "visible": [0.75] * joints}
    return {"name": "person", "class": 0, "confidence": 0.9, "box": {"x1": 1.0}, "keypoints": keypoints, **more}


def labelled(**more: Any) -> dict[str, Any]:
    fields = {"scores": [0.75] * 17, "labels": list(range(17)), "bbox": [1.0, 2.0, 3.0, 4.0]}
    return {**fields, "keypoints": points(17), **more}


def named_joints(field: str = "name", **more: Any) -> dict[str, Any]:
    joints = zip(get_skeleton("coco17").joints, points(17), strict=True)
    return {
        "score": 0.9,
        "keypoints": [{field: name, "x": x, "y": y, "score": 0.75} for name, (x, y) in joints],
        **more,
    }


def studio_task(**more: Any) -> dict[str, Any]:
    size = {"original_width": 200, "original_height": 400}
    result = [
        {**size, "id": name, "type": "keypointlabels", "value": {"x": x / 2, "y": y / 4, "keypointlabels": [name]}}
        for name, (x, y) in zip(get_skeleton("coco17").joints, points(17), strict=True)
    ]
    return {"id": 1, "data": {"image": "/data/a.jpg"}, "annotations": [{"id": 1, "result": result}], **more}


def landmarks(scale: float = 1.0, **more: Any) -> list[dict[str, Any]]:
    return [{"x": x * scale, "y": y * scale, "z": 0.1, "visibility": 0.75, **more} for x, y in points(33)]


def coco(annotations: list[dict[str, Any]], **category: Any) -> dict[str, Any]:
    images = [
        {"id": 7, "file_name": "b.jpg", "width": 640, "height": 480},
        {"id": 3, "file_name": "a.jpg", "width": 320, "height": 240},
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", **category}],
    }


def annotation(image_id: int = 7, joints: int = 17, v: int = 2, **more: Any) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "category_id": 1,
        "keypoints": flat(joints, score=v),
        "num_keypoints": joints,
        **more,
    }


def expect(keypoints: Keypoints2D, skeleton: str, pose: int = 0, offset: float = 0.0) -> None:
    """The pose is `points` in the skeleton's own order, nothing missing."""
    assert keypoints.skeleton.name == skeleton
    joints = len(get_skeleton(skeleton))
    assert keypoints.visible[pose].all()
    torch.testing.assert_close(keypoints.xy[pose], torch.tensor(points(joints, offset)))


# -- formats -------------------------------------------------------------------------------------------

DOCUMENTS: dict[str, tuple[str, Any, str]] = {
    "coco-results": ("coco-results", [result()], "coco17"),
    "coco-annotations": ("coco-annotations", coco([annotation()]), "coco17"),
    "openpose": ("openpose", body25(0), "body25"),
    "openpose, Halpe": ("openpose", frame26(version=1.3), "halpe26"),
    "openpose, COCO": ("openpose", frame26(17), "coco17"),
    "openpose, whole body": ("openpose", frame26(133), "coco17"),
    "openpose, Halpe's whole body": ("openpose", frame26(136), "halpe26"),
    "openpose, hands and face": ("openpose", frame26(137), "body25"),
    "openpose, old": ("openpose", frame26(25, "pose_keypoints", version=1.0), "body25"),
    "openpose, canvas": ("openpose", [frame26(25, canvas_width=640, canvas_height=480)], "body25"),
    "alphapose, by image": ("alphapose-open", {"0.jpg": frame26(version="AlphaPose v0.3")}, "halpe26"),
    "ultralytics": ("ultralytics", [by_axis()], "coco17"),
    "ultralytics, a video": ("ultralytics", [[], [by_axis(26)]], "halpe26"),
    "vitpose": ("vitpose", [[labelled()]], "coco17"),
    "vitpose, an image": ("vitpose", [labelled()], "coco17"),
    "detectron2": ("detectron2", [{"image_id": 3, "instances": [result()]}], "coco17"),
    "detectron2, instances": (
        "detectron2",
        {"instances": {"pred_keypoints": [[[*xy, 0.75] for xy in points(17)]]}},
        "coco17",
    ),
    "posenet": ("posenet", [named_joints()], "coco17"),
    "posenet, a pose": ("posenet", named_joints("part"), "coco17"),
    "posenet, a video": ("posenet", [[], [named_joints()]], "coco17"),
    "label studio": ("label-studio", [studio_task()], "coco17"),
    "mmpose 0.x": (
        "mmpose",
        [[{"bbox": [1, 2, 3, 4, 0.9], "keypoints": [[*xy, 0.75] for xy in points(17)]}]],
        "coco17",
    ),
    "mmpose 0.x, test results": (
        "mmpose",
        [{"preds": [[[*xy, 0.75] for xy in points(17)]], "boxes": [[0] * 6], "image_paths": ["a/0.jpg"]}],
        "coco17",
    ),
    "mmpose, predictions": ("mmpose", {"predictions": [[instance(26)]]}, "halpe26"),
    "mmpose, samples": (
        "mmpose",
        [{"pred_instances": {"keypoints": [points(17)], "keypoint_scores": [[0.75] * 17]}}],
        "coco17",
    ),
    "alphapose": ("alphapose", [result(26, "0.jpg")], "halpe26"),
    "alphapose, 17 joints": ("alphapose", [result(17, "0.jpg")], "coco17"),
    "alphapose, 136 joints": ("alphapose", [result(136, "0.jpg")], "halpe26"),
    "mmpose, an image": ("mmpose", [instance()], "coco17"),
    "mmpose, a video": ("mmpose", [[], [instance(26)]], "halpe26"),
    "mmpose, whole body": ("mmpose", [[instance(133)]], "coco17"),
    "mmpose with meta": (
        "mmpose",
        {"meta_info": {}, "instance_info": [{"frame_id": 0, "instances": [instance()]}]},
        "coco17",
    ),
    "mediapipe, pixels": ("mediapipe", landmarks(), "mediapipe33"),
    "mediapipe tasks": ("mediapipe", {"pose_landmarks": [landmarks()]}, "mediapipe33"),
    "mediapipe solutions": ("mediapipe", {"pose_landmarks": {"landmark": landmarks()}}, "mediapipe33"),
    "mediapipe video": ("mediapipe", [None, [], [landmarks()]], "mediapipe33"),
    "plain": ("plain", {"joints": list(get_skeleton("lsp14").joints), "keypoints": points(14)}, "lsp14"),
    "plain by skeleton": ("plain", {"skeleton": "h36m17", "keypoints": points(17)}, "h36m17"),
    "plain list": ("plain", [{"skeleton": "body25", "keypoints": [points(25)]}], "body25"),
}


@pytest.mark.parametrize("name", list(DOCUMENTS))
def test_format_is_told_from_content(name: str, tmp_path: Path) -> None:
    form, document, skeleton = DOCUMENTS[name]
    assert detect_format(document) == form
    path = save(tmp_path / "file.txt", document)
    found = read_keypoints(path)
    expect(found, skeleton)
    assert len(found) == 1
    named = read_keypoints(str(path), format=form)
    assert torch.equal(found.xy, named.xy)
    assert found.ids == named.ids


def test_every_format_is_described_and_read() -> None:
    of_json = {name for name, known in formats().items() if known.kind == "json"}
    assert of_json == {form for form, _, _ in DOCUMENTS.values()}
    assert all(known.about for known in formats().values())


def test_every_format_has_its_row_in_the_docs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text()
    table = page.split("| format | what it is |", 1)[1].split("\n\n", 1)[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert {name for row in rows for name in re.findall("`(.+?)`", row)} == set(formats())


@pytest.mark.parametrize("name", list(DOCUMENTS))
def test_no_order_of_formats_decides(name: str) -> None:
    """Of the formats that recognise a document one finds the most marks."""
    form, document, _ = DOCUMENTS[name]
    marks = sorted((known.recognises(document), known.name) for known in formats().values())
    assert marks[-1][1] == form
    assert marks[-1][0] > marks[-2][0]


def test_a_file_that_may_be_of_two_formats_is_not_guessed(tmp_path: Path) -> None:
    both = {"keypoints": points(17), "landmarks": landmarks()}
    path = save(tmp_path / "a.json", both)
    with pytest.raises(InputError) as caught:
        read_keypoints(path, skeleton="coco17")
    assert str(caught.value) == f"{path}: may be mediapipe or plain: pass --format (format=... in Python)"
    with pytest.raises(InputError, match="may be mediapipe or plain"):
        read_keypoints(tmp_path, skeleton="coco17")  # a folder does not skip it
    expect(read_keypoints(path, "plain", skeleton="coco17"), "coco17")
    expect(read_keypoints(path, "mediapipe"), "mediapipe33")


def test_coco_results_keep_the_ids_as_frames(tmp_path: Path) -> None:
    path = save(tmp_path / "r.json", [result(image_id=i) for i in (9, 2, 9, 5)])
    assert [(i.frame, i.person) for i in read_keypoints(path).ids] == [(2, 0), (5, 0), (9, 0), (9, 1)]


def test_alphapose_tracks_name_people(tmp_path: Path) -> None:
    path = save(tmp_path / "r.json", [result(26, f"{i}.jpg", idx=i + 4.0) for i in range(3)])
    assert [(i.frame, i.person) for i in read_keypoints(path).ids] == [(0, 4), (1, 5), (2, 6)]


def test_confidence_is_used(tmp_path: Path) -> None:
    entry = result()
    entry["keypoints"][2], entry["keypoints"][5] = 0.05, 0.5
    found = read_keypoints(save(tmp_path / "r.json", [entry]))
    reference = Keypoints2D(points(17), confidence=[0.05, 0.5] + [0.75] * 15, skeleton="coco17")
    assert not found.visible[0, 0]
    torch.testing.assert_close(found.covariance[0], reference.covariance)


def test_coco_annotations(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = annotation()
    first["keypoints"][:6] = [0, 0, 0, 104, 58, 1]
    notes = [
        first,
        annotation(iscrowd=1),
        annotation(num_keypoints=0),
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 1, 1]},
        annotation(v=0),
        annotation(3),
        annotation(7),
    ]
    with caplog.at_level(logging.WARNING):
        found = read_keypoints(save(tmp_path / "c.json", coco(notes)))
    assert "skipped 4 annotations" in caplog.text
    assert [tuple(i) for i in found.ids] == [("b.jpg", 0, 0), ("a.jpg", 1, 0), ("b.jpg", 0, 1)]
    assert found.image_size.tolist() == [[640, 480], [320, 240], [640, 480]]
    assert not found.visible[0, 0]
    assert found.visible[0, 1:].all()
    ratio = found.covariance[0, 1, 0, 0] / found.covariance[0, 2, 0, 0]
    assert float(ratio) == pytest.approx(4)  # half the confidence, twice the spread


def test_coco_category_names_are_used(tmp_path: Path) -> None:
    names = ["head_top", "left_ear_lobe", *reversed(get_skeleton("coco17").joints)]
    path = save(tmp_path / "c.json", coco([annotation(joints=19)], keypoints=names))
    found = read_keypoints(path)
    assert found.skeleton.name == "halpe26"
    at = dict(zip(found.skeleton.joints, found.xy[0].tolist(), strict=True))
    assert at["head_top"] == points(19)[0]
    assert at["nose"] == points(19)[18]
    assert at["pelvis"] == [(a + b) / 2 for a, b in zip(at["left_hip"], at["right_hip"], strict=True)]
    assert not found.visible[0, found.skeleton.index("left_heel")]


def test_openpose_folder_is_one_clip_in_natural_order(tmp_path: Path) -> None:
    for number, offset in ((10, 3), (2, 2), (1, 1)):
        save(tmp_path / f"walk_{number}_keypoints.json", body25(offset, offset + 10))
    save(tmp_path / "walk_3_keypoints.json", body25())
    save(tmp_path / "settings.json", {"fps": 30})
    found = read_keypoints(tmp_path)
    assert [tuple(i) for i in found.ids] == [(str(tmp_path), f, p) for f in (1, 2, 10) for p in (0, 1)]
    for pose, offset in enumerate((1, 11, 2, 12, 3, 13)):
        expect(found, "body25", pose, offset)


def test_openpose_missing_joints_and_tracks(tmp_path: Path) -> None:
    content = body25(0, person_id=[12])
    content["people"][0]["pose_keypoints_2d"][6:9] = [0, 0, 0]
    content["people"].append({"pose_keypoints_2d": []})
    found = read_keypoints(save(tmp_path / "o.json", content))
    assert found.visible[0].tolist() == [i != 2 for i in range(25)]
    assert [i.person for i in found.ids] == [12]


def test_openpose_coco18_becomes_body25(tmp_path: Path) -> None:
    found = read_keypoints(save(tmp_path / "o.json", {"people": [{"pose_keypoints_2d": flat(18)}]}))
    assert found.skeleton.name == "body25"
    at = dict(zip(found.skeleton.joints, found.xy[0].tolist(), strict=True))
    seen = dict(zip(found.skeleton.joints, found.visible[0].tolist(), strict=True))
    assert at["right_hip"] == points(18)[8]
    assert at["left_ear"] == points(18)[17]
    assert at["pelvis"] == [118 + 100 - 100 + 20, 50 + 8 * 9.5]
    assert not seen["left_heel"]


def test_mmpose_names_frames_and_tracks(tmp_path: Path) -> None:
    names = ["face-0", *get_skeleton("coco17").joints]
    document = {
        "meta_info": {"keypoint_id2name": {str(i): n for i, n in enumerate(names)}},
        "instance_info": [
            {"frame_id": 4, "instances": [instance(18, track_id=2), instance(18)]},
            {"frame_id": 6, "instances": []},
            {"frame_id": 9, "instances": [instance(18)]},
        ],
    }
    found = read_keypoints(save(tmp_path / "m.json", document))
    assert found.skeleton.name == "coco17"
    assert found.xy[0].tolist() == points(18)[1:]
    assert [(i.frame, i.person) for i in found.ids] == [(4, 2), (4, 1), (9, 1)]


def test_mediapipe_normalised(tmp_path: Path) -> None:
    path = save(tmp_path / "p.json", [landmarks(1 / 400), landmarks(1 / 400)])
    with pytest.raises(InputError, match=r"p\.json: frame 0, person 0: normalised .* pass --image-size WIDTH HEIGHT"):
        read_keypoints(path)
    found = read_keypoints(path, image_size=(400, 800))
    torch.testing.assert_close(found.xy[1], torch.tensor(points(33)) * torch.tensor([1.0, 2.0]))
    assert found.image_size.tolist() == [[400, 800]] * 2
    own = save(tmp_path / "q.json", {"image_size": [400, 400], "pose_landmarks": [landmarks(1 / 400)]})
    expect(read_keypoints(own, image_size=(1, 1)), "mediapipe33")


@pytest.mark.parametrize("field", ["name", "id", "index"])
def test_mediapipe_landmarks_that_say_which_they_are(field: str, tmp_path: Path) -> None:
    """In any order; without a name or number they are in MediaPipe's."""
    marks = landmarks()
    for i, joint in enumerate(get_skeleton("mediapipe33").joints):
        marks[i][field] = joint.upper() if field == "name" else i + 1
    order = np.random.default_rng(0).permutation(33)
    path = save(tmp_path / "p.json", [[marks[i] for i in order]])
    expect(read_keypoints(path), "mediapipe33")
    if field == "name":
        path.write_text(json.dumps([marks[:-1] + marks[:1]]))
        with pytest.raises(InputError, match="frame 0, person 0: 'NOSE' is there twice, or is none of MediaPipe's 33"):
            read_keypoints(path)
        marks[3]["name"] = "left_eye_outr"
        path.write_text(json.dumps([marks]))
        with pytest.raises(InputError, match="unknown joint 'left_eye_outr'; did you mean"):
            read_keypoints(path)


@pytest.mark.parametrize("more", [0, 42, 468, 510, 520])
def test_mediapipe_as_an_array(more: int, tmp_path: Path) -> None:
    """x, y, z, visibility, flat or not, hands and face behind; a frame of nobody is all zeros."""
    marks = np.zeros((4, 33, 4))
    marks[..., :2] = np.array(points(33)) / 400
    marks[..., 2], marks[..., 3] = np.random.default_rng(0).normal(0, 0.3, (4, 33)), 0.75
    marks[1:3] = 0
    marks[3, :, 0] -= 0.45  # half outside the picture
    flat = np.concatenate([marks.reshape(4, -1), np.full((4, 3 * more), 0.5)], 1)
    for i, array in enumerate((flat, flat[0], marks, marks[0])):
        np.save(tmp_path / f"{i}.npy", array)
        with pytest.raises(InputError, match="normalised coordinates"):
            read_keypoints(tmp_path / f"{i}.npy")
        found = read_keypoints(tmp_path / f"{i}.npy", image_size=(400, 400))
        assert [identity.frame for identity in found.ids] == ([0, 3] if array.shape[0] == 4 else [0])
        expect(found[:1], "mediapipe33")
        torch.testing.assert_close(found.xy[-1] + torch.tensor([180.0 * (len(found) > 1), 0]), found.xy[0])
    world = marks - (marks[:, 23:24] + marks[:, 24:25]) / 2 * [1, 1, 1, 0]
    np.save(tmp_path / "w.npy", world[:1])
    with pytest.raises(InputError, match="these are world landmarks"):
        read_keypoints(tmp_path / "w.npy", image_size=(400, 400))


def test_mediapipe_half_outside_the_image_is_still_normalised(tmp_path: Path) -> None:
    marks = [{"x": 0.5, "y": -0.4 + 0.09 * i} for i in range(33)]  # feet at 2.5 image heights
    found = read_keypoints(save(tmp_path / "p.json", marks), image_size=(100, 100))
    assert found.xy[0, 26].tolist() == pytest.approx([50, 194])
    assert found.visible[0].tolist() == [i <= 26 for i in range(33)]  # beyond 2 they are out by a whole picture


def test_mediapipe_visibility_and_presence_multiply(tmp_path: Path) -> None:
    found = read_keypoints(save(tmp_path / "p.json", landmarks(presence=0.5)))
    reference = Keypoints2D(points(33), confidence=0.375, skeleton="mediapipe33")
    torch.testing.assert_close(found.covariance[0], reference.covariance)


def test_plain_any_order_any_subset(tmp_path: Path) -> None:
    names = ["RAnkle", "left hip", "right_hip", "LShoulder", "RShoulder", "HeadTop"]
    entry = {
        "joints": names,
        "keypoints": [[1, 2], [10, 20, 0.5], [30, 20], [None, None], None, [5, 5, 0.01]],
    }
    found = read_keypoints(save(tmp_path / "p.json", entry))
    assert found.skeleton.name == "lsp14"  # the smallest that has them all
    seen = [j for j, v in zip(found.skeleton.joints, found.visible[0], strict=True) if v]
    assert seen == ["right_ankle", "right_hip", "left_hip"]
    wide = read_keypoints(tmp_path / "p.json", skeleton="h36m17")
    assert wide.xy[0, 0].tolist() == [20, 20]  # the pelvis is synthesised
    assert wide.xy[0, wide.skeleton.index("right_ankle")].tolist() == [1, 2]


def test_plain_names_that_no_skeleton_has_together(tmp_path: Path) -> None:
    entry = {"joints": ["nose", "spine", "left_hip", "right_hip"], "keypoints": points(4)}
    found = read_keypoints(save(tmp_path / "p.json", entry))
    assert found.skeleton.name == "h36m17"
    assert found.visible[0].sum() == 4  # both hips, the pelvis between them, the spine


def test_plain_feet_of_smpl_and_feet_that_are_ankles(tmp_path: Path) -> None:
    smpl = save(tmp_path / "s.json", {"joints": list(get_skeleton("smpl22").joints), "keypoints": points(22)})
    expect(read_keypoints(smpl), "smpl22")
    h36m = {"joints": ["LKnee", "LFoot", "RKnee", "RFoot"], "keypoints": points(4)}
    found = read_keypoints(save(tmp_path / "h.json", h36m), skeleton="h36m17")
    assert found.xy[0, found.skeleton.index("right_ankle")].tolist() == points(4)[3]


def test_plain_frames_and_camera(tmp_path: Path) -> None:
    entry = {
        "joints": list(get_skeleton("lsp14").joints),
        "keypoints": [points(14), [None] * 14, points(14, 5)],
        "image_size": [640, 480],
        "focal": 700,
        "height": 1.8,
        "image": "photo.jpg",
        "covariance": [2.0] * 14,
    }
    path = save(tmp_path / "p.json", [entry, {**entry, "keypoints": points(14), "frame": 40}])
    assert [i.frame for i in read_keypoints(path).ids] == [0, 2, 40]  # nobody is left out
    found = read_keypoints(path, keep_unseen=True)
    assert [tuple(i) for i in found.ids] == [("photo.jpg", f, 0) for f in (0, 1, 2, 40)]
    expect(found, "lsp14", 2, 5)
    assert not found.visible[1].any()
    assert found.intrinsics.tolist() == [[700, 700, 320, 240]] * 4
    assert found.height.tolist() == pytest.approx([1.8] * 4)
    assert found.covariance[0, 0].tolist() == [[4, 0], [0, 4]]


def test_plain_amplitudes(tmp_path):
    joints = ["left_wrist", "nose"]
    entries = [
        {"joints": joints, "keypoints": points(2), "amplitude": [0.5, None]},
        {"joints": joints, "keypoints": points(2)},
    ]
    found = read_keypoints(save(tmp_path / "a.json", entries), skeleton="coco17")
    wrist, nose = (found.skeleton.index(joint) for joint in joints)
    assert found.amplitude[0, wrist] == 0.5
    assert found.amplitude[0, nose].isnan()
    assert found.amplitude[1].isnan().all()
    entries[0]["amplitude"] = [0.5]
    with pytest.raises(InputError, match=r"entry 0\.amplitude: shape \(1,\); expected one of \(2,\), \(1, 2\)"):
        read_keypoints(save(tmp_path / "a.json", entries))
    entries[0]["amplitude"] = [math.inf, 0.5]
    with pytest.raises(InputError, match=r"a\.json: amplitude: .*joint 'left_wrist' has inf; expected a finite number"):
        read_keypoints(save(tmp_path / "a.json", entries))


def test_plain_list_of_different_joints(tmp_path: Path) -> None:
    entries = [
        {"joints": ["left_hip", "right_hip"], "keypoints": points(2), "height": 1.7},
        {"joints": ["left_knee", "right_knee", "nose"], "keypoints": points(3)},
        {"joints": ["left_hip", "right_hip"], "keypoints": points(2)},
    ]
    found = read_keypoints(save(tmp_path / "p.json", entries))
    assert found.skeleton.name == "coco17"
    assert found.visible.sum(-1).tolist() == [2, 3, 2]
    assert [i.frame for i in found.ids] == [0, 1, 2]
    assert found.height.isnan().tolist() == [False, True, True]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f8", "i4"])
@pytest.mark.parametrize("shape", ["flat", "xy", "xyc", "one"])
def test_npy_shapes(shape: str, dtype: str, order: Any, tmp_path: Path) -> None:
    xy = np.array([points(25), points(25, 5)])
    array = {
        "flat": xy.reshape(2, 50),
        "xy": xy,
        "xyc": np.concatenate([xy, np.ones((2, 25, 1))], -1),
        "one": xy[0],
    }[shape]
    path = tmp_path / "a.bin"
    with path.open("wb") as stream:
        np.save(stream, np.asarray(array, dtype=dtype, order=order))
    found = read_keypoints(path)  # 25 joints: BODY_25 only
    assert len(found) == (1 if shape == "one" else 2)
    expect(found, "body25")
    assert [i.frame for i in found.ids] == list(range(len(found)))


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_npz_fields(pack: Any, tmp_path: Path) -> None:
    xy = np.array([points(17), points(17, 5)])
    visible = np.ones((2, 17), bool)
    visible[1, 3] = False
    xy[1, 3] = np.nan
    pack(
        tmp_path / "a.npz",
        keypoints=xy,
        visible=visible,
        covariance=np.full((2, 17), 3.0),
        image_size=[640, 480],
        height=1.7,
        notes=np.array(["not read"]),
    )
    found = read_keypoints(tmp_path / "a.npz", skeleton="coco17")
    expect(found, "coco17")
    assert found.visible.tolist() == visible.tolist()
    assert found.image_size.tolist() == [[640, 480]] * 2
    assert found.covariance[0, 0].tolist() == [[9, 0], [0, 9]]
    np.savez(tmp_path / "b.npz", anything=xy)
    assert torch.equal(read_keypoints(tmp_path / "b.npz", skeleton="coco17").xy, found.xy)


def test_a_skeleton_gives_the_order_of_other_counts(tmp_path: Path) -> None:
    found = read_keypoints(save(tmp_path / "r.json", [result(14)]), skeleton="lsp14")
    expect(found, "lsp14")


# -- files and folders ---------------------------------------------------------------------------------


def test_many_files_and_folders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    save(folder / "b10.json", [result()])
    save(folder / "b9.json", [result(), result()])
    save(folder / "settings.json", {"fps": 30})
    save(folder / "notes.txt", "not read")
    np.save(folder / "c.npy", np.array([points(25)]))
    with caplog.at_level(logging.WARNING):
        found = read_keypoints([folder, save(tmp_path / "a.json", landmarks())])
    assert "skipped" in caplog.text
    assert "settings.json" in caplog.text
    assert found.skeleton.name == "h36m17"  # files of different skeletons meet there
    names = [Path(i.file).name for i in found.ids]
    assert names == ["b9.json", "b9.json", "b10.json", "c.npy", "a.json"]


def test_a_frame_without_people_is_fine(tmp_path: Path) -> None:
    empty, full = save(tmp_path / "a.json", body25()), save(tmp_path / "b.json", body25(0))
    assert len(read_keypoints([empty, full])) == 1
    with pytest.raises(InputError, match=r"a\.json: no person in any frame, so there is nothing to lift"):
        read_keypoints(empty)


@pytest.mark.parametrize(
    "document", [[], [[], []], {"people": []}, {"pose_landmarks": []}, coco([]), {"instance_info": []}]
)
def test_nobody_anywhere(document: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(no person in any frame|of no keypoint format)"):
        read_keypoints(save(tmp_path / "a.json", document))


def test_a_thousand_people(tmp_path: Path) -> None:
    found = read_keypoints(save(tmp_path / "a.json", [result(image_id=i // 10) for i in range(1000)]))
    assert len(found) == 1000
    assert (found.ids[999].frame, found.ids[999].person) == (99, 9)


# -- bad input -----------------------------------------------------------------------------------------


def changed(document: Any, *path: Any, to: Any) -> Any:
    """A copy with one value replaced."""
    copy = json.loads(json.dumps(document))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return copy


LSP = {"joints": list(get_skeleton("lsp14").joints), "keypoints": points(14)}

WRONG: list[tuple[Any, str]] = [
    ("", "the file is empty"),
    ("  \n", "the file is empty"),
    ("hello", "neither JSON (an object or a list) nor an npy or npz file"),
    ('[{"image_id": 3, "keypoi', "the JSON ends early (line 1, column 18): is the file truncated?"),
    ('[{"image_id": 3', "the JSON ends early"),
    ("{}{}", "more than one JSON document (line 1, column 3); put them into one list"),
    ("[1 2]", "not valid JSON (line 1, column 4: Expecting ',' delimiter)"),
    ("[" * 100_000, "nested too deeply to be a keypoint file"),
    ("[" + "9" * 5000 + "]", "a number has thousands of digits"),
    (
        {"fps": 30},
        "of no keypoint format that we know (found an object with the fields 'fps'); known: auto, alphapose",
    ),
    ([[1, 2], [3, 4]], "Bare numbers need joint names"),
    ([1], "of no keypoint format that we know (found a list of 1 that starts with 1)"),
    ([result(16)], "result 0.keypoints: 48 numbers; expected 51 (17 joints x 3) or 78 (26 joints x 3)"),
    ([result(), 3], "result 1: expected an object, found 3"),
    ([result(), {"image_id": 3}], "result 1: field 'keypoints' is missing"),
    ([result(image_id=[1])], "result 0.image_id: expected a number or a name, found a list of 1"),
    (
        changed([result()], 0, "keypoints", 3, to="12"),
        "result 0.keypoints[3]: expected a number or null, found '12'",
    ),
    (
        changed([result()], 0, "keypoints", 3, to=True),
        "result 0.keypoints[3]: expected a number or null, found True",
    ),
    (
        changed([result()], 0, "keypoints", 3, to=10**400),
        "result 0.keypoints: a number is too large for a float",
    ),
    (
        changed([result(), result()], 1, "keypoints", 3, to=math.inf),
        "xy: frame 0, person 1, joint 'left_eye' has [inf, 58.0]; expected finite pixel coordinates",
    ),
    (changed([result()], 0, "keypoints", 3, to=1e30), "joint 'left_eye' has"),
    (
        changed([result()], 0, "keypoints", 5, to=-0.5),
        "confidence: frame 0, person 0, joint 'left_eye' has -0.5; expected a finite number, not negative",
    ),
    (coco([annotation(99)]), "annotation 0.image_id: image 99 is not in 'images'"),
    (coco([annotation(v=3)]), "annotation 0.keypoints: joint 0 has v = 3.0; expected 0 (missing), 1 (hidden"),
    (
        coco([annotation()], keypoints=["nose"]),
        "annotation 0.keypoints: 51 numbers; expected 3 (1 joints x 3)",
    ),
    (changed(coco([]), "images", 0, "id", to=[]), "images[0].id: expected a number or a name"),
    (
        changed(coco([annotation()]), "images", 0, "width", to=0),
        "images: width, height: expected [width, height]",
    ),
    ({"people": 3}, "people: expected a list, found 3"),
    (
        {"people": [{"pose_keypoints_2d": [1, 2, 3]}]},
        "person 0.pose_keypoints_2d: 3 numbers; expected 75 (25 joints",
    ),
    ([[instance(16)]], "frame 0, person 0.keypoints: 16 joints; expected 17 or 26 or 133 or 136"),
    (
        changed([[instance()]], 0, 0, "keypoint_scores", to=[1]),
        "frame 0, person 0.keypoint_scores: 1 scores for 17",
    ),
    (
        changed([[instance()]], 0, 0, "keypoints", to=[[1, 2, 3]] * 17),
        "three coordinates per joint; lifting needs 2D",
    ),
    (
        {"meta_info": {"keypoint_id2name": {"1": "nose"}}, "instance_info": []},
        "meta_info.keypoint_id2name: expected the keys 0 to 0",
    ),
    (landmarks()[:32], "frame 0, person 0: 32 landmarks; MediaPipe's pose has 33"),
    (
        changed(landmarks(), 4, "visibility", to=-1),
        "joint 'right_eye_inner': visibility is -1.0; expected 0 to 1",
    ),
    (changed(landmarks(), 4, "x", to="a"), "frame 0, person 0.x[4]: expected a number or null, found 'a'"),
    ({"keypoints": points(14)}, "file: 'joints' (the joint names) is missing; add it, or pass --skeleton"),
    (
        changed(LSP, "joints", 3, to="left_hipp"),
        "file.joints: unknown joint 'left_hipp'; did you mean 'left_hip'?",
    ),
    (changed(LSP, "joints", 3, to="RHip"), "file.joints: 'right_hip' and 'RHip' both mean 'right_hip'"),
    (changed(LSP, "joints", 3, to=4), "file.joints[3]: expected a joint name, found 4"),
    (changed(LSP, "joints", to=[]), "file.joints: no joint is named"),
    (changed(LSP, "keypoints", to=points(13)), "file.keypoints: 13 joints; 'joints' names 14"),
    (
        changed(LSP, "keypoints", 2, to=[1]),
        "file.keypoints[2]: 1 numbers; expected [x, y] or [x, y, confidence], or",
    ),
    (changed(LSP, "keypoints", 2, to=7), "file.keypoints[2]: expected a list, found 7"),
    ([LSP, {**LSP, "image_size": [640]}], "entry 1.image_size: expected [width, height] in pixels, above 0"),
    ({**LSP, "focal": 700}, "file.focal: also needs 'image_size' [width, height]"),
    ({**LSP, "intrinsics": [1, 2]}, "file.intrinsics: expected [fx, fy, cx, cy] in pixels"),
    ({**LSP, "height": 180}, "height: expected metres between 0.3 and 3, got 180.0"),
    ({**LSP, "image": 3}, "file.image: expected the name of a photo, found 3"),
    ({**LSP, "covariance": [1, 2]}, "file.covariance: shape (2,); expected one of (14,), (14, 2, 2)"),
    (
        {**LSP, "covariance": [-1] * 14},
        "covariance: frame 0, person 0, joint 'right_ankle' has -1.0; expected a standard deviation above 0 px",
    ),
    ({"skeleton": "h36", "keypoints": points(14)}, "file.skeleton: unknown skeleton 'h36'; known: h36m17"),
]


@pytest.mark.parametrize(("document", "message"), WRONG)
def test_wrong_json_is_named(document: Any, message: str, tmp_path: Path) -> None:
    path = save(tmp_path / "wrong.json", document)
    with pytest.raises(InputError) as caught:
        read_keypoints(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_missing_values_in_any_spelling(tmp_path: Path) -> None:
    for value in (None, math.nan):
        path = save(tmp_path / "r.json", changed([result()], 0, "keypoints", 3, to=value))
        assert read_keypoints(path).visible[0].tolist() == [i != 1 for i in range(17)]
    path = save(
        tmp_path / "h.json",
        changed(changed([result()], 0, "keypoints", 3, to=math.inf), 0, "keypoints", 5, to=0),
    )
    assert read_keypoints(path).visible[0].sum() == 16  # a joint of no confidence may hold anything


def test_the_file_at_fault_is_named_among_many(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"{i}_keypoints.json", body25(0))
    bad = changed(body25(0, 5), "people", 1, "pose_keypoints_2d", 0, to=math.inf)
    path = save(tmp_path / "1_keypoints.json", bad)
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}: xy: frame 1, person 1, joint 'nose'"):
        read_keypoints(tmp_path)
    save(path, "[{")
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}: the JSON ends early"):
        read_keypoints(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe[\x00]\x00", "not UTF-8 text (byte 0)"),
        (b'["\xff"]', "not UTF-8 text (byte 2)"),
        (b"PAR1abc", "not a readable Parquet file"),
        (b"\xff\xd8\xff\xe0", "is a photo: find the people in it first: poseterior lift "),
        (b"\x89PNG\r\n", "is a photo"),
        (pickle.dumps([1, 2]), "is a Python pickle, which is never loaded"),
        (b"PK\x03\x04rubbish", "npz: not a readable archive"),
        (b"\x93NUMPY", "array: not a readable npy header"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "array: not a readable npy header"),
        (b"\x93NUMPY\x09\x00\x01\x00{", "array: npy version (9, 0) holds no plain array of numbers"),
    ],
)
def test_other_kinds_of_file(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(f"{path}: {message}")):
        read_keypoints(path)


def test_an_unknown_joint_far_from_all_gets_a_short_list(tmp_path: Path) -> None:
    path = save(tmp_path / "a.json", changed(LSP, "joints", 3, to="qqqqq"))
    with pytest.raises(InputError) as caught:
        read_keypoints(path)
    message = str(caught.value).removeprefix(str(path))
    assert message.startswith(": file.joints: unknown joint 'qqqqq'; known: head_top, neck_nose, nose, pelvis, spine")
    assert "left_/right_ankle" in message
    assert re.search(r", and the joints of smpl22, .*mediapipe33", message)
    assert "cmu31" not in message
    assert len(message) < 350
    save(path, changed(LSP, "joints", 3, to="lfemurr"))  # cmu31's lfemur is no joint of a detector
    with pytest.raises(InputError, match="unknown joint 'lfemurr'") as caught:
        read_keypoints(path)
    assert "'lfemur'" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["json", "npz", "parquet"])
def test_our_own_results_are_not_keypoints(suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from poseterior.results.poses import save_result
    from results.test_results import make_result

    path = tmp_path / f"poses.{suffix}"
    save_result(make_result(), path)
    for form in ("auto", "plain"):
        with pytest.raises(InputError) as caught:
            read_keypoints(path, form if suffix == "json" else "auto")
        message = f"{path}: is a result of poseterior, not keypoints; open it with `poseterior view`"
        assert str(caught.value) == message
    # beside the keypoints that it was made from, it is left out
    save(tmp_path / "keypoints.json", [result()])
    with caplog.at_level(logging.WARNING):
        assert len(read_keypoints(tmp_path)) == 1
    assert suffix == "parquet" or "is a result of poseterior" in caplog.text


def test_other_fields_called_schema_are_no_hindrance(tmp_path: Path) -> None:
    xy = np.array([points(25), points(25)])
    np.savez(tmp_path / "a.npz", keypoints=xy, schema=np.arange(3))
    np.savez(tmp_path / "b.npz", keypoints=xy, schema="v1", note=np.array([{}], object))
    save(tmp_path / "c.json", {**LSP, "schema": "poses/1"})
    assert len(read_keypoints([tmp_path / "a.npz", tmp_path / "b.npz"])) == 4
    assert len(read_keypoints(tmp_path / "c.json")) == 1


@pytest.mark.parametrize(
    "document", [[result()], [[instance()]], body25(0), {"keypoints": points(14)}, coco([annotation()])]
)
def test_a_skeleton_that_does_not_fit_one_file_of_a_folder(document: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((1, 22, 2)))
    path = save(tmp_path / "b.json", document)
    remedy = "skeleton 'smpl22' does not fit this file: drop --skeleton, or lift this file apart"
    if document == body25(0):
        read_keypoints(tmp_path, skeleton="smpl22")  # tells its joints by their number
        return
    with pytest.raises(InputError) as caught:
        read_keypoints(tmp_path, skeleton="smpl22")
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith(remedy)
    with pytest.raises(InputError, match=re.escape("skeleton 'lsp14' has 14; " + remedy.replace("smpl22", "lsp14"))):
        read_keypoints(tmp_path / "a.npy", skeleton="lsp14")


def npy(array: Any, **header: Any) -> bytes:
    """npy bytes, with a forged header where given."""
    stream = io.BytesIO()
    if not header:
        np.save(stream, array, allow_pickle=True)
        return stream.getvalue()
    fields = {"descr": "<f8", "fortran_order": False, "shape": (1, 25, 2), **header}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue() + np.asarray(array).tobytes()


BAD_ARRAYS: list[tuple[bytes, str]] = [
    (npy(np.array([{}], dtype=object)), "holds Python objects (a pickle), which are never loaded"),
    (
        npy(np.zeros(50), shape=(2**27, 1, 2)),
        "the header claims 2147483648 bytes (shape (134217728, 1, 2)), the file",
    ),
    (npy(np.zeros(50), shape=(10**18, 10**18)), "the header claims"),
    (npy(np.zeros(50), shape=(-1, 25, 2)), "the header claims the impossible shape (-1, 25, 2)"),
    (
        npy(np.zeros((1, 25, 2)))[:-8],
        "the header claims 400 bytes (shape (1, 25, 2)), the file holds 392; is it trun",
    ),
    (npy(np.zeros((1, 25, 2), complex)), "holds complex128; expected an array of numbers"),
    (npy(np.array(["a"])), "holds <U1; expected an array of numbers"),
    (npy(np.zeros((4, 51))), "; x, y and score as (frames, 17, 3); 3D points go to `poseterior ik`"),
    (npy(np.zeros(50)), "array of shape (50,); expected (frames, joints*2)"),
    (npy(np.zeros((1, 2, 25, 2))), "array of shape (1, 2, 25, 2); expected"),
    (npy(np.zeros((10**9, 0))), "array of shape (1000000000, 0); expected"),
    (npy(np.zeros((4, 34))), "17 joints may be h36m17 or coco17 or mpi17: pass --skeleton"),
    (npy(np.zeros((4, 13, 2))), "13 joints; no skeleton has as many: h36m17 (17), smpl22 (22)"),
    (npy(np.full((4, 25, 2), np.inf)), "xy: frame 0, person 0, joint 'nose' has [inf, inf]"),
    (npy([[[*xy, -1.0] for xy in points(25)]] * 4), "confidence: frame 0, person 0, joint 'nose' has -1.0"),
]


@pytest.mark.parametrize(("content", "message"), BAD_ARRAYS)
@pytest.mark.parametrize("packed", [False, True])
def test_bad_arrays(content: bytes, message: str, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "wrong.npy"
    if packed:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("keypoints.npy", content)
    else:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_keypoints(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_no_array_is_allocated_on_a_headers_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "claim.npy"
    path.write_bytes(npy(np.zeros(50), shape=(2**27, 1, 2)))
    monkeypatch.setattr(np, "load", lambda *a, **k: pytest.fail("loaded"))
    with pytest.raises(InputError, match="the header claims"):
        read_keypoints(path)


def test_npz_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", keypoints=np.array([points(25)] * 2000))
    assert len(read_keypoints(tmp_path / "bomb.npz")) == 2000  # small things may pack well
    monkeypatch.setattr("poseterior.files.npz.FREE_BYTES", 1000)
    with pytest.raises(InputError, match=r"bytes claim to unpack to \d+; refused as a decompression bomb"):
        read_keypoints(tmp_path / "bomb.npz")
    monkeypatch.setattr("poseterior.files.npz.MAXIMUM_BYTES", 1000)
    np.savez(tmp_path / "large.npz", keypoints=np.zeros((2000, 25, 2)))
    with pytest.raises(InputError, match="refused as a decompression bomb"):
        read_keypoints(tmp_path / "large.npz")


def test_npz_without_keypoints(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(InputError, match=r"npz: no array named 'keypoints'; it holds 'a', 'b'"):
        read_keypoints(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", keypoints=np.zeros((2, 25, 2)), visible=np.ones((3, 25), bool))
    with pytest.raises(InputError, match=r"visible: array of shape \(3, 25\); expected \(2, 25\)"):
        read_keypoints(tmp_path / "b.npz")


def test_wrong_arguments(tmp_path: Path) -> None:
    path = save(tmp_path / "a.json", [result()])
    array = tmp_path / "a.npy"
    np.save(array, np.zeros((1, 25, 2)))
    with pytest.raises(InputError, match="unknown format 'coco'; known: auto, alphapose"):
        read_keypoints(path, format="coco")
    with pytest.raises(InputError, match="unknown skeleton 'h36m'; known: h36m17"):
        read_keypoints(path, skeleton="h36m")
    with pytest.raises(InputError, match=r"image_size: expected \[width, height\] in pixels, above 0"):
        read_keypoints(path, image_size=(0, 10))
    with pytest.raises(InputError, match="no keypoint file is given"):
        read_keypoints([])
    with pytest.raises(InputError, match=r"nowhere\.json: no such file"):
        read_keypoints(tmp_path / "nowhere.json")
    for name in ("a" * 5000, "a\0b"):
        with pytest.raises(InputError, match=r"cannot be read|no such file"):
            read_keypoints(name)
    with pytest.raises(InputError, match=r"a\.json: not an npy or npz file"):
        read_keypoints(path, format="numpy")
    with pytest.raises(InputError, match=r"a\.npy: is an npy or npz file, not plain"):
        read_keypoints(array, format="plain")
    with pytest.raises(InputError, match=r"has 25 joints; skeleton 'h36m17' has 17"):
        read_keypoints(array, skeleton="h36m17")
    with pytest.raises(InputError, match=r"a\.json: file: expected an object, found a list of 1"):
        read_keypoints(path, format="coco-annotations")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"empty: no keypoint file in this folder; expected \.json, \.jsonl"):
        read_keypoints(empty)
    (empty / "cam2").mkdir()
    (empty / "cam1").mkdir()
    with pytest.raises(InputError, match=r"; folders in it are not looked into: give one of them, \S*empty/cam1 say$"):
        read_keypoints(empty)
    save(empty / "settings.json", {"fps": 30})
    with pytest.raises(InputError, match=r"no keypoint file in this folder; the first: .*settings\.json: of no"):
        read_keypoints(empty)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="is neither a file nor a folder"):
        read_keypoints(tmp_path / "pipe.json")


# -- any input -----------------------------------------------------------------------------------------

FIELDS = [
    "image_id", "keypoints", "images", "annotations", "categories", "id", "category_id", "people",
    "pose_keypoints_2d", "person_id", "instance_info", "meta_info", "keypoint_id2name", "instances",
    "frame_id", "keypoint_scores", "track_id", "pose_landmarks", "landmark", "x", "y", "visibility", "joints",
    "image_size", "focal", "height", "intrinsics", "covariance", "image", "frame", "skeleton", "iscrowd",
    "width", "pose_keypoints", "bodies", "version", "canvas_width", "canvas_height", "visible", "box", "scores",
    "labels", "pred_keypoints", "pred_instances", "predictions", "preds", "image_paths", "pose", "poses", "name",
    "part", "position", "score", "data", "result", "value", "keypointlabels", "original_width", "original_height",
    "attributes",
]  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["nose", "h36m17"])
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=25,
)


def check_named(error: InputError, path: Path) -> None:
    assert str(path) in str(error)


def check_sane(found: Keypoints2D) -> None:
    assert len(found) > 0
    assert torch.isfinite(found.xy).all()
    assert torch.isfinite(found.covariance).all()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANYTHING, st.sampled_from([n for n in format_names() if n != "numpy"]))
def test_any_json_gives_keypoints_or_an_input_error(tmp_path: Path, document: Any, form: str) -> None:
    path = save(tmp_path / "any.json", document)
    try:
        check_sane(read_keypoints(path, format=form, image_size=(10, 10)))
    except InputError as error:
        check_named(error, path)


def places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value, few of each long list."""
    found = [at] if at else []
    items = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document[:4])
        if isinstance(document, list)
        else ()
    )
    for key, value in items:
        found += places(value, (*at, key))
    return found


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_good_file_with_one_value_changed(tmp_path: Path, data: st.DataObject) -> None:
    form, document, _ = DOCUMENTS[data.draw(st.sampled_from(sorted(DOCUMENTS)))]
    at = data.draw(st.sampled_from(places(document)))
    broken = changed(document, *at, to=data.draw(ANYTHING))
    path = save(tmp_path / "any.json", broken)
    for name in ("auto", form):
        try:
            check_sane(read_keypoints(path, format=name, image_size=(10, 10)))
        except InputError as error:
            check_named(error, path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes(tmp_path: Path, data: st.DataObject) -> None:
    archive = io.BytesIO()
    np.savez_compressed(archive, keypoints=np.array([points(25)]))
    good = data.draw(st.sampled_from([npy(np.array([points(25)])), archive.getvalue(), json.dumps(body25(0)).encode()]))
    start = data.draw(st.integers(0, min(len(good), 400) - 1))
    junk = data.draw(st.binary(max_size=6))
    cut = data.draw(st.sampled_from([start + len(junk), len(good)]))
    path = tmp_path / "any.bin"
    path.write_bytes(good[:start] + junk + good[cut:])
    try:
        check_sane(read_keypoints(path))
    except InputError as error:
        check_named(error, path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(get_skeleton("coco17").joints), st.integers(1, 17))
def test_plain_round_trip_of_any_subset(tmp_path: Path, order: list[str], count: int) -> None:
    where = dict(zip(get_skeleton("coco17").joints, points(17), strict=True))
    entry = {"joints": order[:count], "keypoints": [where[j] for j in order[:count]]}
    found = read_keypoints(save(tmp_path / "p.json", entry), skeleton="coco17")
    for i, joint in enumerate(found.skeleton.joints):
        assert bool(found.visible[0, i]) == (joint in order[:count])
        if found.visible[0, i]:
            assert found.xy[0, i].tolist() == where[joint]


# -- the example ---------------------------------------------------------------------------------------


def test_example_keypoints() -> None:
    found = example_keypoints()
    assert found.skeleton.name == "halpe26"
    assert len(found) == 5
    assert found.image_size.isfinite().all()
    inside = (found.xy >= 0) & (found.xy <= found.image_size[:, None])
    assert inside.all()
    h36m = found.as_skeleton("h36m17")
    assert h36m.visible.sum(-1).tolist() == [7, 9, 17, 17, 17]
    spine = dict(zip(h36m.skeleton.joints, h36m.xy[2], strict=True))
    assert spine["head_top"][1] < spine["thorax"][1] < spine["pelvis"][1] < spine["left_ankle"][1]


def test_example_photo_is_the_one_clicked() -> None:
    from importlib import resources

    photo = resources.files("poseterior") / "examples" / "astronaut.jpg"
    content = photo.read_bytes()
    assert content.startswith(b"\xff\xd8\xff")
    assert len(content) < 150_000


@pytest.mark.skipif(not (SHARED / "data/photos").is_dir(), reason="development data (shared/data/photos) is not here")
def test_development_keypoints() -> None:
    photos = SHARED / "data/photos"
    batter = read_keypoints(photos / "baseball.npy", skeleton="h36m17")
    assert (len(batter), batter.skeleton.name) == (1, "h36m17")
    poses = read_keypoints(photos / "studio_capture.npy")
    assert (len(poses), poses.skeleton.name, bool(poses.visible.all())) == (88, "lsp14", True)
    people = read_keypoints([photos / f"lsp_{i}.json" for i in range(6)], skeleton="h36m17")
    assert len(people) == 6
    assert people.visible.sum(-1).min() >= 15
