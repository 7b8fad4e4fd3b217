"""From numbers to measurements: the same people in every format, with what people's files really hold."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from people import COCO, FORMS, PERSON, SCORES, SIZE, write

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.reading import read_keypoints

WRIST, ELBOW, ANKLE = (COCO.index(joint) for joint in ("left_wrist", "left_elbow", "left_ankle"))
GONE = [ELBOW, WRIST, ANKLE]


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING)
    return caplog


def read(path: Path, **options: Any) -> Keypoints2D:
    order = {"skeleton": "coco17"} if path.suffix in (".npy", ".npz") else {}
    found = read_keypoints(path, **order, **options)
    if found.skeleton.name == "coco17":
        return found
    places = [found.skeleton.index(joint) for joint in COCO]
    return Keypoints2D.trusted(
        found.xy[:, places], found.covariance[:, places], found.visible[:, places], found.image_size, "coco17"
    )


def with_placeholders(point: Any, joints: list[int] = GONE) -> np.ndarray:
    xy = PERSON.copy()
    xy[joints] = point
    return xy


# -- placeholders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scored", [True, False])
def test_the_origin_is_no_measurement(form: str, scored: bool, tmp_path: Path, said: Any) -> None:
    scores = SCORES.copy()
    scores[GONE] = [0.45, 0.37, 0.18]
    found = read(write(form, tmp_path, with_placeholders(0.0), scores if scored else None))
    assert [j for j in range(17) if not found.visible[0, j]] == GONE
    torch.testing.assert_close(
        found.xy[0, :7].double(), torch.from_numpy(PERSON[:7]), rtol=0, atol=1e-4
    )  # the others stay where they are
    (line,) = said.messages
    assert line.startswith(f"{tmp_path / form}")
    assert "3 joints are no measurements (3 at exactly (0, 0)), of 1 person: taken as missing" in line


def test_the_spread_of_the_others_is_that_of_a_person_without_the_joint(tmp_path: Path) -> None:
    missing = PERSON.copy()
    missing[GONE] = np.nan
    found = read(write("coco-results", tmp_path, with_placeholders(0.0)))
    other = read(write("plain", tmp_path, missing, SCORES))
    assert torch.equal(found.covariance, other.covariance)
    assert torch.equal(found.xy, other.xy)


@pytest.mark.parametrize("point", [(-1.0, -1.0), (640.0, 480.0), (320.0, 240.0), (0.0, 480.0), (-7.25, -3.5)])
@pytest.mark.parametrize("form", ["mmpose", "npz", "plain", "coco-annotations"])
def test_one_point_for_several_joints(form: str, point: tuple[float, float], tmp_path: Path, said: Any) -> None:
    found = read(write(form, tmp_path, with_placeholders(point), size=SIZE), image_size=SIZE)
    assert [j for j in range(17) if not found.visible[0, j]] == GONE
    assert len(said.messages) == 1
    whole = read(write(form, tmp_path, np.round(with_placeholders(point)), size=SIZE), image_size=SIZE)
    assert [j for j in range(17) if not whole.visible[0, j]] == GONE


@pytest.mark.parametrize("point", [(0.0, 0.0), (-1.0, -1.0), (640.0, 480.0)])
@pytest.mark.parametrize("scale", [None, SIZE])
@pytest.mark.parametrize("whole", [False, True])
def test_a_neck_between_a_shoulder_and_nothing(
    point: tuple[float, float], scale: Any, whole: bool, tmp_path: Path, said: Any
) -> None:
    """As programs write it that add the middle of the shoulders, and of the hips, to COCO's joints."""
    xy = np.round(PERSON) if whole else PERSON.copy()
    shoulders, hips = ([COCO.index(f"{side}_{part}") for side in ("left", "right")] for part in ("shoulder", "hip"))
    xy[shoulders[0]] = point
    if scale is not None:
        xy[np.arange(17) != shoulders[0] if -1 in point else slice(None)] /= scale
    xy = np.concatenate([xy, [xy[shoulders].mean(0), xy[hips].mean(0)]])
    if whole and scale is None:
        xy = np.floor(xy)
    document = {"joints": [*COCO, "neck", "pelvis"], "keypoints": xy.tolist(), "image_size": SIZE}
    (tmp_path / "a.json").write_text(json.dumps(document))
    found = read_keypoints(tmp_path / "a.json")
    seen = {joint for joint, visible in zip(found.skeleton.joints, found.visible[0].tolist(), strict=True) if visible}
    assert seen == {*COCO, "pelvis"} - {"left_shoulder"}
    assert not found.as_skeleton("h36m17").visible[0, [8]].any()
    assert "2 joints are no measurements" in said.text
    assert "1 half way to one of these" in said.text


def test_the_middles_of_a_converter_to_human36m(tmp_path: Path, said: Any) -> None:
    """Pelvis and thorax are the middles of hips and shoulders, the spine is the middle of both."""
    place = {joint: PERSON[i].copy() for i, joint in enumerate(COCO)}
    place["left_hip"] = np.zeros(2)
    place["pelvis"] = (place["left_hip"] + place["right_hip"]) / 2
    place["thorax"] = (place["left_shoulder"] + place["right_shoulder"]) / 2
    place["spine"] = (place["pelvis"] + place["thorax"]) / 2
    place["neck_nose"], place["head_top"] = place["nose"], (place["left_eye"] + place["right_eye"]) / 2
    joints = get_skeleton("h36m17").joints
    np.save(tmp_path / "a.npy", np.array([[place[joint] for joint in joints]]))
    found = read_keypoints(tmp_path / "a.npy", skeleton="h36m17")
    assert [joints[i] for i in range(17) if not found.visible[0, i]] == ["pelvis", "left_hip", "spine"]
    assert "3 joints are no measurements (2 half way to one of these, 1 at exactly (0, 0))" in said.text


def test_outside_the_picture_by_more_than_its_size(tmp_path: Path, said: Any) -> None:
    xy = PERSON.copy()
    xy[WRIST], xy[ANKLE], xy[ELBOW] = (1281, 200), (300, -481), (-639, 959)
    found = read(write("coco-results", tmp_path, xy), image_size=SIZE)
    assert [j for j in range(17) if not found.visible[0, j]] == [WRIST, ANKLE]
    assert "2 joints are no measurements (2 outside the picture by more than its size)" in said.text
    xy[WRIST] = 65535.0
    said.clear()
    found = read(write("coco-results", tmp_path, xy))  # a picture of unknown size
    assert [j for j in range(17) if not found.visible[0, j]] == [WRIST]
    assert "1 joint is no measurement (1 far beyond the person), of 1 person" in said.text


def test_joints_on_the_edge_are_joints(tmp_path: Path, said: Any) -> None:
    xy = PERSON.copy()
    xy[WRIST], xy[ELBOW], xy[ANKLE] = (0, 255), (639, 200), (352, 0)
    for form in FORMS:
        assert read(write(form, tmp_path, xy, SCORES), image_size=SIZE).visible.all()
    assert not said.messages


@pytest.mark.parametrize("tall", [12, 18, 24])
def test_joints_of_small_people_may_meet(tall: int, tmp_path: Path) -> None:
    xy = np.round((PERSON - PERSON.min(0)) * tall / 340) + 30
    assert len(np.unique(xy, axis=0)) < 17
    for form in ("coco-results", "npy", "plain"):
        assert read(write(form, tmp_path, xy, SCORES), image_size=SIZE).visible.all()


def test_people_on_one_spot_are_very_small(tmp_path: Path, said: Any) -> None:
    for point in ((1.0, 1.0), (320.0, 240.0), (240.5, 100.2)):
        found = read(write("coco-results", tmp_path, np.stack([np.tile(point, (17, 1))] * 2), SCORES), image_size=SIZE)
        assert found.visible.all()
        assert found.xy[0, 3].tolist() == pytest.approx(point)
        (line,) = said.messages
        assert "2 people are smaller than 8 px (frame 0, person 0: 0 px)" in line
        said.clear()


def test_the_joints_of_a_face_or_of_two_legs_may_meet(tmp_path: Path) -> None:
    xy = PERSON.copy()
    xy[:5] = (320, 90)
    xy[COCO.index("left_hip")], xy[COCO.index("left_knee")] = xy[COCO.index("right_hip")], xy[COCO.index("right_knee")]
    assert read(write("mmpose", tmp_path, xy, SCORES), image_size=SIZE).visible.all()


# -- normalised coordinates ----------------------------------------------------------------------------

WIDE, TALL = np.array([640.0, 480.0]), np.array([480.0, 640.0])


@pytest.mark.parametrize("form", FORMS)
def test_normalised_coordinates(form: str, tmp_path: Path, said: Any) -> None:
    people = np.stack([PERSON, PERSON - [250, 0], PERSON + np.array([250, 40])])
    pixels = read(write(form, tmp_path, people, SCORES))
    said.clear()
    path = write(form, tmp_path, people / WIDE, SCORES)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(
        f"{path}: frame 0, person {1 if form == 'alphapose' else 0}: normalised coordinates (0 to 1) need the size of "
        "the image: pass --image-size WIDTH HEIGHT (image_size=(width, height) in Python)"
    )
    found = read(path, image_size=SIZE)
    torch.testing.assert_close(found.xy, pixels.xy)
    assert found.visible.all()
    expected = [
        f"{path}: coordinates are normalised (0 to 1: x / width, y / height); scaled with the size of the picture, "
        "640 x 480 px"
    ]
    assert said.messages == ([] if form == "mediapipe" else expected)


@pytest.mark.parametrize("form", ["plain", "npz", "coco-annotations"])
def test_the_files_own_picture_size_scales(form: str, tmp_path: Path) -> None:
    found = read(write(form, tmp_path, PERSON / WIDE, SCORES, SIZE), image_size=(10, 10))
    torch.testing.assert_close(found.xy[0].double(), torch.from_numpy(PERSON), rtol=0, atol=1e-3)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "mediapipe"])
def test_normalised_as_video_pose_3d(form: str, tmp_path: Path, said: Any) -> None:
    shrunk = (PERSON - [320, 240]) * 0.3 + [320, 240]
    people = np.stack([PERSON - [250, 0], PERSON, shrunk, with_placeholders(0.0)])
    for size in (WIDE, TALL):
        raw = people * 2 / size[0] - [1, size[1] / size[0]]
        found = read(write(form, tmp_path, raw, SCORES), image_size=size.astype(int).tolist())
        expected = torch.from_numpy(people)
        torch.testing.assert_close(found.xy.double()[found.visible], expected[found.visible], rtol=0, atol=1e-3)
        assert found.visible[:3].all()
        assert [j for j in range(17) if not found.visible[3, j]] == GONE
        assert "normalised (-1 to 1: 2 x / width - 1, 2 y / width - height / width" in said.messages[0]
        said.clear()


def test_normalised_by_both_sides(tmp_path: Path, said: Any) -> None:
    people = np.stack([PERSON - [250, 0], PERSON + np.array([0, 40])])
    found = read(write("mmpose", tmp_path, people * 2 / WIDE - 1), image_size=SIZE)
    torch.testing.assert_close(found.xy.double(), torch.from_numpy(people), rtol=0, atol=1e-3)
    assert "2 x / width - 1, 2 y / height - 1" in said.text


def test_a_person_in_the_middle_alone_is_told_from_one_that_is_half_outside(tmp_path: Path) -> None:
    small = (PERSON - [320, 240]) * 0.2 + [320, 240]
    found = read(write("mmpose", tmp_path, small * 2 / 640 - [1, 0.75]), image_size=SIZE)
    torch.testing.assert_close(found.xy[0].double(), torch.from_numpy(small), rtol=0, atol=1e-3)
    above = PERSON - [0, 100]  # the head is above the picture
    found = read(write("mmpose", tmp_path, above / WIDE), image_size=SIZE)
    torch.testing.assert_close(found.xy[0].double(), torch.from_numpy(above), rtol=0, atol=1e-3)


def test_small_crops_are_in_pixels_but_tiny_people_are_questioned(tmp_path: Path, said: Any) -> None:
    shape = (PERSON - PERSON.min(0)) / 340
    for form in FORMS:
        found = read(write(form, tmp_path, shape * 30 + 1, SCORES), image_size=(32, 32))
        torch.testing.assert_close(found.xy[0].double(), torch.from_numpy(shape * 30 + 1), rtol=0, atol=1e-4)
    assert not said.messages
    for form in FORMS:
        path = write(form, tmp_path, np.stack([PERSON, shape * 6 + 100]), SCORES)
        assert len(read(path)) == 2
        (line,) = said.messages
        assert line == (
            f"{path}: 1 person is smaller than 8 px (frame 1, person {1 if form == 'alphapose' else 0}: 5.9 px): are "
            "the coordinates in pixels of the picture?"
        )
        said.clear()


def test_one_range_for_all_frames(tmp_path: Path) -> None:
    corner = (PERSON - PERSON.min(0)) / 340 * 1.9  # smaller than 2 px, in a file of pixels
    found = read(write("npy", tmp_path, np.stack([PERSON, PERSON + 3, corner]), SCORES))
    torch.testing.assert_close(found.xy[2, 5:].double(), torch.from_numpy(corner[5:]), rtol=0, atol=1e-4)


def test_normalised_coordinates_with_a_covariance_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, keypoints=PERSON[None] / WIDE, covariance=np.full((1, 17), 0.01))
    with pytest.raises(InputError, match=r"covariance: the coordinates are normalised, .*; write both in pixels"):
        read(path, image_size=SIZE)


# -- scores --------------------------------------------------------------------------------------------

PEAKS = np.array([0.35, 0.3, 0.31, 0.2, 0.25, 0.09, 0.08, 0.07, 0.1, 0.12, 0.11, 0.05, 0.045, 0.08, 0.07, 0.09, 0.1])
LOGIT = np.log(SCORES / (1 - SCORES))
SCALED = {
    "peak": (PEAKS, np.minimum(np.sqrt(PEAKS / 0.3), 1)),
    "percent": (SCORES * 100, SCORES),
    "logit": (np.append(LOGIT[:-2], [-2.5, -0.5]), np.append(SCORES[:-2], 1 / (1 + np.exp([2.5, 0.5])))),
    "sum": (SCORES * 6, 1 - np.exp(-6 * SCORES)),
}
SCORED = [form for form in FORMS if form not in ("npy-flat", "coco-annotations", "mediapipe")]


@pytest.mark.parametrize("scale", list(SCALED))
@pytest.mark.parametrize("form", SCORED)
def test_scales_of_scores(form: str, scale: str, tmp_path: Path, said: Any) -> None:
    scores, confidence = SCALED[scale]
    path = write(form, tmp_path, PERSON, scores)
    found = read(path)
    expected = Keypoints2D(PERSON[None], confidence=confidence[None], skeleton="coco17")
    assert torch.equal(found.visible, expected.visible)
    torch.testing.assert_close(found.covariance, expected.covariance)
    (line,) = said.messages
    assert line.startswith(f"{path}: scores of ")
    assert "overrule with --confidence-scale" in line
    said.clear()
    told = read(path, confidence_scale=scale)
    assert torch.equal(told.covariance, found.covariance)
    assert not said.messages


def test_all_joints_of_a_softmax_are_seen_and_its_noise_is_not(tmp_path: Path) -> None:
    scores = PEAKS.copy()
    scores[ANKLE] = 1 / 3072  # a flat map of 64 x 48 cells
    found = read(write("coco-results", tmp_path, PERSON, scores))
    assert [j for j in range(17) if not found.visible[0, j]] == [ANKLE]


@pytest.mark.parametrize("form", SCORED)
def test_probabilities_stay_bit_for_bit(form: str, tmp_path: Path, said: Any) -> None:
    generator = np.random.default_rng(3)
    for low, high in ((0.0, 1.0), (0.1, 0.5), (0.3, 0.9), (0.9, 1.15)):
        scores = generator.uniform(low, high, (4, 17))
        people = PERSON + generator.normal(0, 3, (4, 17, 2))
        found = read(write(form, tmp_path, people, scores))
        expected = Keypoints2D(people, confidence=scores, skeleton="coco17")
        assert torch.equal(found.visible, expected.visible)
        assert torch.equal(found.xy, expected.xy)
        if form == "openpose":  # sums in another order
            torch.testing.assert_close(found.covariance, expected.covariance)
        else:
            assert torch.equal(found.covariance, expected.covariance)
    assert not said.messages


def test_one_frame_a_file_is_judged_with_its_folder(tmp_path: Path, said: Any) -> None:
    paths = []
    for i, scores in enumerate([SCORES, np.where(np.arange(17) < 3, 0.2, 0.11)]):
        (tmp_path / str(i)).mkdir()
        (tmp_path / "all").mkdir(exist_ok=True)
        paths.append(write("coco-results", tmp_path / str(i), PERSON, scores).rename(tmp_path / "all" / f"{i}.json"))
    assert read_keypoints(paths).visible.all()
    assert not said.messages
    read_keypoints(paths[1])
    assert "look like peaks of heat maps" in said.text


def test_negative_scores(tmp_path: Path, said: Any) -> None:
    scores = SCORES.copy()
    scores[WRIST] = -0.5
    path = write("coco-results", tmp_path, PERSON, scores)
    for options in ({}, {"confidence_scale": "probability"}, {"confidence_scale": "percent"}):
        with pytest.raises(InputError) as caught:
            read(path, **options)
        assert str(caught.value) == (
            f"{path}: confidence: frame 0, person 0, joint 'left_wrist' has -0.5; expected a finite number, not "
            "negative"
        )
        remedy = f"{path}: negative scores; if they are logits, pass --confidence-scale logit"
        assert any(line.startswith(remedy) for line in said.messages) == (not options)
        said.clear()
    assert read(path, confidence_scale="logit").visible.all()


def test_least_confidence(tmp_path: Path) -> None:
    path = write("npy", tmp_path, PERSON, np.linspace(0.02, 0.98, 17))
    assert read(path).visible.sum() == 15
    assert read(path, min_confidence=0.5).visible[0].tolist() == [i >= 8 for i in range(17)]
    low = read(path, min_confidence=0.0)
    assert low.visible.all()
    assert low.covariance[0, 0, 0, 0] == low.covariance[0, 1, 0, 0] > low.covariance[0, 2, 0, 0]
    for wrong in (-0.1, 1.5, "a"):
        with pytest.raises(InputError, match="min_confidence: expected a number from 0 to 1, got"):
            read(path, min_confidence=wrong)
    with pytest.raises(
        InputError, match="confidence_scale: expected one of probability, peak, percent, logit, sum, got"
    ):
        read(path, confidence_scale="softmax")


# -- nobody --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["no numbers", "no scores", "placeholders"])
def test_nobody_is_nobody(form: str, how: str, tmp_path: Path, said: Any) -> None:
    people = np.stack([PERSON + i for i in range(4)])
    scores = np.stack([SCORES] * 4)
    if how == "no scores" and form in ("npy-flat", "coco-annotations"):
        pytest.skip("has none")
    if how == "no scores":
        scores[2] = 0
    else:
        people[2] = np.nan if how == "no numbers" else 0.0
    if form == "coco-annotations" and how == "no numbers":
        people[2] = 0.0
    path = write(form, tmp_path, people, scores)
    found = read_keypoints(path, skeleton="coco17" if path.suffix in (".npy", ".npz") else None)
    assert [i.frame for i in found.ids] == [0, 1, 3]
    assert found.visible.any(-1).all()
    assert (
        f"{path}: 1 of 4 people have no visible joint and are left out (frame 2); --keep-unseen keeps them" in said.text
    )
    kept = read(path, keep_unseen=True)
    assert kept.visible.any(-1).tolist() == [True, True, False, True]


def test_nobody_at_all(tmp_path: Path) -> None:
    path = write("npy", tmp_path, np.full((3, 17, 2), np.nan), SCORES)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}: no person in any frame (3 without a visible joint; --keep-unseen keeps them), so there is nothing "
        "to lift"
    )
    assert len(read(path, keep_unseen=True)) == 3


def test_everything_of_a_pose_goes_with_it(tmp_path: Path) -> None:
    xy = np.stack([PERSON, np.full((17, 2), np.nan), PERSON + 5])
    np.savez(
        tmp_path / "a.npz", keypoints=xy, height=[1.6, 1.7, 1.8], image_size=np.array([[640, 480]] * 3),
        amplitude=np.array([[0.1], [0.2], [0.3]]) * np.ones(17),
        covariance=np.array([[1.0], [2.0], [3.0]]) * np.ones(17),
    )  # fmt: skip
    found = read(tmp_path / "a.npz")
    assert found.height.tolist() == pytest.approx([1.6, 1.8])
    assert found.amplitude[:, 0].tolist() == pytest.approx([0.1, 0.3])
    assert found.covariance[:, 0, 0, 0].tolist() == [1, 9]


# -- MediaPipe -----------------------------------------------------------------------------------------


def landmarks(path: Path, frames: int = 1, **more: float) -> Path:
    write("mediapipe", path.parent, PERSON, SCORES).rename(path)
    (people,) = json.loads(path.read_text())
    path.write_text(json.dumps([[{**mark, **more} for mark in people]] * frames))
    return path


@pytest.mark.parametrize("field", ["presence", "visibility"])
def test_a_score_that_was_never_set_is_not_used(field: str, tmp_path: Path, said: Any) -> None:
    plain = read_keypoints(landmarks(tmp_path / "a.json", 2, **({"visibility": 1.0} if field == "visibility" else {})))
    found = read_keypoints(landmarks(tmp_path / "b.json", 2, **{field: 0.0}))
    assert found.visible.all()
    assert torch.equal(found.covariance, plain.covariance)
    assert said.messages == [
        f"{tmp_path / 'b.json'}: {field} is 0 for every landmark, so it was never set and is not used"
    ]


def test_world_landmarks_are_no_picture(tmp_path: Path) -> None:
    middle = PERSON[[11, 12]].mean(0)
    path = write("mediapipe", tmp_path, (PERSON - middle) / 200, SCORES)
    with pytest.raises(InputError, match=r"these are world landmarks .*: give pose_landmarks, .*`poseterior ik`"):
        read_keypoints(path, image_size=SIZE)


# -- 3D arrays -----------------------------------------------------------------------------------------


def walk(joints: int) -> np.ndarray:
    """Metres relative to the pelvis, y up: (5, joints, 3)."""
    generator = np.random.default_rng(0)
    reach = np.array([[0.4, 0.9, 0.3]])
    body = generator.uniform(-reach, reach, (joints, 3))
    return body + generator.normal(0, 0.02, (5, joints, 3))


@pytest.mark.parametrize(
    ("scale", "offset"),
    [(1, (0, 0, 0)), (1000, (0, 0, 0)), (1, (0, 0, 4)), (1000, (0, 0, 4000)), (100, (0, 100, 0)), (1, (1, 1, 1))],
)
@pytest.mark.parametrize("joints", [17, 22, 24])
def test_3d_points_are_for_inverse_kinematics(scale: float, offset: Any, joints: int, tmp_path: Path) -> None:
    path = tmp_path / "walk.npy"
    np.save(path, walk(joints) * scale + offset)
    with pytest.raises(InputError, match=r"walk\.npy: .*3D points go to `poseterior ik`"):
        read_keypoints(path)


def test_flat_3d_points(tmp_path: Path) -> None:
    path = tmp_path / "walk.npy"
    for joints in (17, 22):
        np.save(path, walk(joints).reshape(5, -1))
        for skeleton in (None, "smpl22"):
            with pytest.raises(InputError, match=r"3D points go to `poseterior ik`"):
                read_keypoints(path, skeleton=skeleton)
    pixels = np.random.default_rng(0).uniform(50, 400, (3, 66))
    np.save(path, pixels)
    assert read_keypoints(path).xy.reshape(3, 66).numpy() == pytest.approx(pixels, rel=1e-6)
    np.save(path, pixels / 640)
    assert read_keypoints(path, image_size=(640, 640)).skeleton.name == "mediapipe33"


def test_a_distance_from_the_camera_is_no_score(tmp_path: Path) -> None:
    depths = 3 + 0.2 * np.random.default_rng(0).uniform(-1, 1, (2, 17))
    with pytest.raises(InputError, match=r"the third number of each joint \(2\.8.* to 3\.1.*\) looks like a depth"):
        read(write("npy", tmp_path, [PERSON, PERSON], depths))
    assert read(write("npy", tmp_path, [PERSON, PERSON], depths), confidence_scale="sum").visible.all()
    with pytest.raises(InputError, match="looks like a depth"):
        read(write("plain", tmp_path, (PERSON - 200) / 300, depths[0]))
