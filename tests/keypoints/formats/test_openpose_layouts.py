"""OpenPose's JSON as other programs write it: by number of joints, old fields, nobody, BODY_25B."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.keypoints.formats import openpose
from poseterior.keypoints.reading import read_keypoints

HALPE, BODY25 = get_skeleton("halpe26").joints, get_skeleton("body25").joints
#: A person who stands, px.
STANDING = {
    "nose": (320, 90), "left_eye": (327, 83), "right_eye": (313, 83), "left_ear": (336, 88), "right_ear": (304, 88),
    "left_shoulder": (362, 140), "right_shoulder": (278, 141), "left_elbow": (380, 200), "right_elbow": (262, 200),
    "left_wrist": (386, 255), "right_wrist": (256, 252), "left_hip": (345, 255), "right_hip": (297, 256),
    "left_knee": (350, 335), "right_knee": (292, 336), "left_ankle": (352, 415), "right_ankle": (288, 416),
    "neck": (320, 140), "head_top": (321, 60), "pelvis": (321, 256), "spine": (320, 200),
    "left_big_toe": (360, 430), "right_big_toe": (280, 430), "left_small_toe": (366, 428),
    "right_small_toe": (274, 428), "left_heel": (348, 424), "right_heel": (292, 425),
}  # fmt: skip


def person(joints: tuple[str, ...], dx: float = 0.0, more: int = 0, field: str = "pose_keypoints_2d") -> dict[str, Any]:
    """A person in that order, and further points that are not of the body."""
    values = [[STANDING[j][0] + dx, STANDING[j][1], 0.8] for j in joints] + [[1.0, 2.0, 0.9]] * more
    return {"person_id": [-1], field: [float(v) for row in values for v in row]}


def sports2d(*people: dict[str, Any]) -> dict[str, Any]:
    """A frame as Pose2Sim's ``save_to_openpose`` writes it, for Sports2D too."""
    others = ("face", "hand_left", "hand_right")
    rest = {f"{name}_keypoints_2d": [] for name in others} | {f"{n}_keypoints_3d": [] for n in ("pose", *others)}
    return {"version": 1.3, "people": [{**one, **rest} for one in people]}


def read(content: Any, folder: Path, **options: Any) -> Any:
    path = folder / "a.json"
    path.write_text(json.dumps(content))
    return read_keypoints(path, **options)


def expect(found: Any, joints: tuple[str, ...], dx: float = 0.0, row: int = 0) -> None:
    for joint in joints:
        place = found.skeleton.index(joint)
        assert bool(found.visible[row, place]), joint
        assert found.xy[row, place].tolist() == [STANDING[joint][0] + dx, STANDING[joint][1]], joint


@pytest.mark.parametrize(
    ("joints", "more", "skeleton"),
    [
        (HALPE, 0, "halpe26"),
        (HALPE, 42, "halpe26"),
        (HALPE, 110, "halpe26"),
        (get_skeleton("coco17").joints, 0, "coco17"),
        (get_skeleton("coco17").joints, 116, "coco17"),
        (BODY25, 0, "body25"),
        (BODY25, 112, "body25"),
        (openpose.COCO18, 0, "body25"),
        (openpose.BODY25B, 110, "halpe26"),
    ],
)  # fmt: skip
def test_the_number_of_joints_tells_their_order(
    joints: tuple[str, ...], more: int, skeleton: str, tmp_path: Path
) -> None:
    found = read(sports2d(person(joints, more=more), person(joints, 100, more)), tmp_path)
    assert found.skeleton.name == skeleton
    assert len(found) == 2
    expect(found, joints)
    expect(found, joints, 100, 1)


def test_mpi_has_the_crown_and_the_belly(tmp_path: Path) -> None:
    expect(read(sports2d(person(openpose.MPI15)), tmp_path).as_skeleton("h36m17"), ("head_top", "spine", "left_ankle"))


def test_blazepose_in_this_layout(tmp_path: Path) -> None:
    values = [float(v) for i in range(33) for v in (100 + i, 50 + 5 * i, 0.9)]
    found = read(sports2d({"person_id": [-1], "pose_keypoints_2d": values}), tmp_path)
    assert found.skeleton.name == "mediapipe33"
    assert found.xy[0, 32].tolist() == [132, 210]


def test_frames_of_sports2d(tmp_path: Path) -> None:
    """A frame of nobody is an empty list; Pose2Sim's sorted people may be null or empty."""
    for frame, people in enumerate(([0.0], [], [0.0, 200.0], [10.0])):
        content = sports2d(*(person(HALPE, dx) for dx in people))
        content["people"] += [{}, None, {"person_id": [-1], "pose_keypoints_2d": []}]
        (tmp_path / f"walk_{frame:06d}_keypoints.json").write_text(json.dumps(content))
    found = read_keypoints(tmp_path)
    assert found.skeleton.name == "halpe26"
    assert [i.frame for i in found.ids] == [0, 2, 2, 3]
    assert len({i.file for i in found.ids}) == 1
    for row, dx in enumerate((0, 0, 200, 10)):
        expect(found, HALPE, dx, row)


@pytest.mark.parametrize("field", ["pose_keypoints_2d", "pose_keypoints", "body_parts"])
def test_old_fields(field: str, tmp_path: Path) -> None:
    expect(read({"version": 0.1, "people": [person(BODY25, field=field)]}, tmp_path), BODY25)
    expect(read({"people": [person(openpose.COCO18, field=field)]}, tmp_path), openpose.COCO18)


def test_dwpose_tells_the_size_of_its_canvas(tmp_path: Path) -> None:
    frame = {"people": [person(openpose.COCO18)], "canvas_width": 512, "canvas_height": 768}
    found = read([frame, {**frame, "people": []}, {}, None], tmp_path)
    assert found.image_size.tolist() == [[512, 768]]
    expect(found, openpose.COCO18)


def test_joints_that_were_not_found(tmp_path: Path) -> None:
    """OpenPose writes zeros, Pose2Sim NaN."""
    one = person(HALPE)
    one["pose_keypoints_2d"][3:9] = [0.0, 0.0, 0.0, float("nan"), float("nan"), 0.5]
    assert read(sports2d(one), tmp_path).visible[0].tolist() == [i not in (1, 2) for i in range(26)]


@pytest.mark.parametrize("behind", [False, True])
def test_body25b_is_told_from_where_its_joints_are(
    behind: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = person(openpose.BODY25B)
    if behind:  # no eyes
        one["pose_keypoints_2d"][3:9] = [0.0] * 6
    with caplog.at_level(logging.WARNING):
        found = read(sports2d(one), tmp_path)
    expect(found, openpose.BODY25B[3 if behind else 0 :])
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'a.json'}: read as BODY_25B, COCO's order with neck, head top and feet, because that is where "
        "its joints are; if it is BODY_25, pass --skeleton body25"
    ]
    told = read(sports2d(person(openpose.BODY25B)), tmp_path, skeleton="body25")
    assert told.xy[0, 1].tolist() == list(STANDING["left_eye"])


def test_body25_of_many_poses_is_not_taken_for_body25b(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    generator = np.random.default_rng(0)
    for frame in range(20):
        one = person(BODY25)
        values = np.array(one["pose_keypoints_2d"]).reshape(-1, 3)
        values[:, :2] += generator.normal(0, 12, (25, 2))
        one["pose_keypoints_2d"] = values.ravel().tolist()
        found = read(sports2d(one), tmp_path)
        assert found.skeleton.name == "body25", frame
    assert not caplog.records


@pytest.mark.parametrize("order", ["body25", "body25b"])
@pytest.mark.parametrize("point", [(0.0, 0.0), (-1.0, -1.0), (640.0, 480.0)])
def test_joints_that_were_not_found_do_not_tell_the_order(
    order: str, point: tuple[float, float], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a score as high as those of others: hips, neck and mid-hip at one point, or some of them."""
    joints = BODY25 if order == "body25" else openpose.BODY25B
    gone = ({"neck", "left_hip", "pelvis"}, {"left_shoulder", "right_hip", "nose"}, {"left_eye", "right_hip", "neck"})
    frames = []
    for i in range(12):
        one = person(joints)
        for joint in gone[i % 3] & set(joints):
            place = 3 * joints.index(joint)
            one["pose_keypoints_2d"][place : place + 3] = [*point, 0.4]
        frames.append(sports2d(one))
    found = read(frames, tmp_path)
    assert ("read as BODY_25B" in caplog.text) == (order == "body25b")
    expect(found, tuple(joint for joint in joints if joint not in gone[0]), row=0)
    expect(found, tuple(joint for joint in joints if joint not in gone[1]), row=1)


def test_other_numbers_of_joints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(sports2d(person(HALPE[:20])), tmp_path)
    assert "person 0.pose_keypoints_2d: 60 numbers; expected 75 (25 joints x 3) or 54 (18 joints x 3)" in str(
        caught.value
    )
    assert str(caught.value).endswith("; name other joint orders with --skeleton")
    with pytest.raises(InputError, match=r"people: expected a list, found 3"):
        read({"version": 1.3, "people": 3}, tmp_path)
    with pytest.raises(InputError, match=r"person 0: field 'pose_keypoints_2d' is missing"):
        read({"version": 1.3, "people": [{"face": []}]}, tmp_path)
    with pytest.raises(InputError, match=r"canvas\[0\]: expected a number or null, found 'a'"):
        read({"people": [person(HALPE)], "canvas_width": "a", "canvas_height": 1}, tmp_path)


# -- AlphaPose's --format open and cmu ---------------------------------------------------------------------


def alphapose(dx: float, halpe: bool, field: str) -> dict[str, Any]:
    """A person as AlphaPose reorders it: in place of the neck the middle of the shoulders, or Halpe's head."""
    one = person(openpose.COCO18, dx, field=field)
    second = [STANDING["head_top"][0] + dx, STANDING["head_top"][1]] if halpe else [320 + dx, 140.5]
    one[field][3:5] = second
    del one["person_id"]
    return one


@pytest.mark.parametrize(("people", "field"), [("people", "pose_keypoints_2d"), ("bodies", "joints")])
@pytest.mark.parametrize("halpe", [False, True])
def test_alphapose_by_image(
    people: str, field: str, halpe: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    document = {
        f"{i}.jpg": {"version": "AlphaPose v0.3", people: [alphapose(dx, halpe, field) for dx in (i, 200.0 + i)]}
        for i in range(3)
    }
    with caplog.at_level(logging.WARNING):
        found = read(document, tmp_path)
    assert [i.frame for i in found.ids] == [0, 0, 1, 1, 2, 2]
    expect(found, openpose.COCO18[2:], 202, 5)
    if halpe:
        expect(found, ("head_top",), 202, 5)
        assert "the second joint is the top of the head, not the neck" in caplog.text
    else:
        assert found.xy[5, found.skeleton.index("neck")].tolist() == [522, 140.5]
        assert not caplog.records


def test_the_second_joint_of_alphapose_is_told_by_joints_that_were_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    document = {}
    for i in range(6):
        one = alphapose(0, True, "pose_keypoints_2d")
        if i < 5:  # no nose, or a shoulder, with a score or without
            place = 3 * openpose.COCO18.index("nose" if i < 3 else "left_shoulder")
            one["pose_keypoints_2d"][place : place + 3] = [0.0, 0.0, 0.3 * (i % 2)]
        document[f"{i}.jpg"] = {"version": "AlphaPose v0.3", "people": [one]}
    expect(read(document, tmp_path), ("head_top",), row=5)
    assert "the second joint is the top of the head, not the neck" in caplog.text


def test_one_image_of_alphapose(tmp_path: Path) -> None:
    found = read({"version": "AlphaPose v0.3", "bodies": [alphapose(0, False, "joints"), {}]}, tmp_path)
    assert len(found) == 1
    expect(found.as_skeleton("h36m17"), ("left_ankle", "right_wrist"))
    assert torch.equal(found.xy, read({"a": {"bodies": [alphapose(0, False, "joints")]}}, tmp_path).xy)
    with pytest.raises(InputError, match=r"person 0.joints: 6 numbers; expected"):
        read({"a.jpg": {"version": "AlphaPose v0.3", "bodies": [{"joints": [1.0] * 6}]}}, tmp_path)
