"""Lists of joint names: what they mean in their data set, what of them is not used, joints without names."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import body_of, get_skeleton, skeleton_names
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.joint_names import (
    candidates,
    covering_skeleton,
    layout_names,
    resolve_names,
    say_names,
    skeleton_of,
    temporary_skeleton,
)
from poseterior.keypoints.reading import read_keypoints

LIMBS = [
    f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
]
FACE = ["nose", "left_eye", "right_eye", "left_ear", "right_ear"]
TOES = [f"{side}{part}" for side in "RL" for part in ("BigToe", "SmallToe", "Heel")]
KINECT_LIMBS = [
    part + side
    for side in ("Left", "Right")
    for part in ("Shoulder", "Elbow", "Wrist", "Hand", "Hip", "Knee", "Ankle", "Foot")
]
#: Published lists: names -> what some of them mean.
LISTS: dict[str, tuple[list[str], dict[str, str | None]]] = {
    "MMPose's Human3.6M": (
        ["root", "right_hip", "right_knee", "right_foot", "left_hip", "left_knee", "left_foot", "spine", "thorax",
         "neck_base", "head", *LIMBS[:6]],
        {"root": "pelvis", "right_foot": "right_ankle", "neck_base": "neck_nose", "head": "head_top"},
    ),
    "Human3.6M of 3d-pose-baseline": (
        ["Hip", "RHip", "RKnee", "RFoot", "LHip", "LKnee", "LFoot", "Spine", "Thorax", "Neck/Nose", "Head",
         "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist"],
        {"Hip": "pelvis", "RFoot": "right_ankle", "Neck/Nose": "neck_nose", "Head": "head_top", "Thorax": "thorax"},
    ),
    "Human3.6M of 16 joints": (
        ["Hip", "RHip", "RKnee", "RFoot", "LHip", "LKnee", "LFoot", "Spine", "Thorax", "Head", "LShoulder", "LElbow",
         "LWrist", "RShoulder", "RElbow", "RWrist"],
        {"Head": "head_top", "LFoot": "left_ankle"},
    ),
    "Human3.6M of MotionBERT": (
        ["root", "rhip", "rkne", "rank", "lhip", "lkne", "lank", "belly", "neck", "nose", "head", "lsho", "lelb",
         "lwri", "rsho", "relb", "rwri"],
        {"belly": "spine", "neck": "thorax", "nose": "neck_nose", "head": "head_top", "rank": "right_ankle"},
    ),
    "Halpe 26": (
        [*FACE, *LIMBS, "head", "neck", "hip", "left_big_toe", "right_heel"],
        {"head": "head_top", "neck": "neck", "hip": "pelvis", "nose": "nose", "left_hip": "left_hip"},
    ),
    "Pose2Sim and Sports2D": (
        ["Hip", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", *TOES, "Neck", "Head", "Nose", "RShoulder",
         "LShoulder", "RElbow", "LElbow", "RWrist", "LWrist"],
        {"Head": "head_top", "Neck": "neck", "Nose": "nose", "Hip": "pelvis", "RBigToe": "right_big_toe"},
    ),
    "CrowdPose": ([*LIMBS, "top_head", "neck"], {"top_head": "head_top", "neck": "neck"}),
    "LSP, AI Challenger": ([*LIMBS, "Head", "Neck"], {"Head": "head_top", "Neck": "neck"}),
    "MPII": (
        [*LIMBS, "pelvis", "thorax", "upper_neck", "head_top"],
        {"upper_neck": "neck", "head_top": "head_top", "thorax": "thorax"},
    ),
    "MPII-TRB": (
        [*LIMBS, "head", "neck", "right_neck", "left_neck", "medial_right_shoulder"],
        {"head": "head_top", "right_neck": None, "medial_right_shoulder": None, "right_shoulder": "right_shoulder"},
    ),
    "JHMDB": (["neck", "belly", "head", *LIMBS], {"belly": "spine", "head": "head", "neck": "neck"}),
    "PoseTrack": (["nose", "head_bottom", "head_top", *LIMBS], {"head_bottom": "upper_neck", "nose": "nose"}),
    "MPI-INF-3DHP": (
        ["head_top", "neck", *LIMBS, "root", "spine", "head"], {"head": "head", "root": "pelvis", "neck": "neck"},
    ),
    "SMPL": (
        ["Pelvis", "L_Hip", "R_Hip", "Spine1", "L_Knee", "R_Knee", "Spine2", "L_Ankle", "R_Ankle", "Spine3", "L_Foot",
         "R_Foot", "Neck", "L_Collar", "R_Collar", "Head", "L_Shoulder", "R_Shoulder", "L_Hand"],
        {"L_Ankle": "left_ankle", "L_Foot": "left_foot", "Head": "head", "Spine2": "spine2", "L_Hand": "left_hand"},
    ),
    "some of SMPL": (
        ["Pelvis", "L_Ankle", "L_Foot", "R_Ankle", "R_Foot", "Neck", "Head"], {"Head": "head", "R_Foot": "right_foot"},
    ),
    "SMPL-X": (
        [*get_skeleton("smpl22").joints, "jaw", "left_eye_smplhf", "left_index1", "right_thumb3"],
        {"head": "head", "jaw": None, "left_eye_smplhf": None, "left_index1": None},
    ),
    "Kinect v2": (
        ["SpineBase", "SpineMid", "Neck", "Head", *KINECT_LIMBS, "SpineShoulder", "HandTipLeft", "ThumbLeft"],
        {"SpineBase": "pelvis", "SpineMid": "spine", "SpineShoulder": "thorax", "Neck": "upper_neck", "Head": "head",
         "FootLeft": "left_foot", "AnkleLeft": "left_ankle", "ShoulderLeft": "left_shoulder"},
    ),
    "Kinect v1": (
        ["HipCenter", "Spine", "ShoulderCenter", "Head", *KINECT_LIMBS],
        {"HipCenter": "pelvis", "ShoulderCenter": "thorax", "Head": "head", "Spine": "spine"},
    ),
    "Azure Kinect": (
        ["PELVIS", "SPINE_NAVEL", "SPINE_CHEST", "NECK", "CLAVICLE_LEFT", "SHOULDER_LEFT", "HIP_LEFT", "ANKLE_LEFT",
         "FOOT_LEFT", "HEAD", "NOSE", "EYE_LEFT", "EAR_LEFT"],
        {"SPINE_NAVEL": "spine_navel", "CLAVICLE_LEFT": "left_collar", "HEAD": "head", "NOSE": "nose", "NECK": "neck"},
    ),
    "OpenPose's BODY_25": (
        ["Nose", "Neck", "RShoulder", "MidHip", "RHip", "LHip", "LBigToe", "REar"],
        {"MidHip": "pelvis", "Neck": "neck", "LBigToe": "left_big_toe", "REar": "right_ear"},
    ),
    "OpenPose's MPI": ([*LIMBS, "Head", "Neck", "Chest"], {"Head": "head_top", "Chest": "spine"}),
    "DeepLabCut's human": (
        ["ankle1", "knee1", "hip1", "hip2", "knee2", "ankle2", "wrist1", "elbow1", "shoulder1", "shoulder2", "elbow2",
         "wrist2", "chin", "forehead"],
        {"ankle1": "right_ankle", "wrist2": "left_wrist", "chin": "neck_nose", "forehead": "head_top"},
    ),
    "CMU Panoptic": (
        ["Neck", "Nose", "BodyCenter", "lShoulder", "lHip", "rHip", "rAnkle"],
        {"BodyCenter": "pelvis", "Nose": "nose", "lShoulder": "left_shoulder"},
    ),
    "MediaPipe": (
        ["nose", "left_eye_inner", "mouth_left", "LEFT_FOOT_INDEX", "right_heel", "left_ankle", "left_index"],
        {"mouth_left": "left_mouth", "LEFT_FOOT_INDEX": "left_foot_index", "left_index": "left_index"},
    ),
    "Mixamo": (
        ["mixamorig:Hips", "mixamorig:Spine", "mixamorig:Spine1", "mixamorig:Spine2", "mixamorig:Neck",
         "mixamorig:Head", "mixamorig:LeftShoulder", "mixamorig:LeftArm", "mixamorig:LeftForeArm",
         "mixamorig:LeftHand", "mixamorig:LeftUpLeg", "mixamorig:LeftLeg", "mixamorig:LeftFoot",
         "mixamorig:LeftToeBase"],
        {"mixamorig:LeftShoulder": "left_collar", "mixamorig:LeftArm": "left_shoulder",
         "mixamorig:LeftLeg": "left_knee", "mixamorig:LeftFoot": "left_ankle", "mixamorig:LeftToeBase": "left_foot",
         "mixamorig:Spine1": "spine2", "mixamorig:LeftHand": "left_wrist"},
    ),
    "limbs without sides": (["hip", "knee", "ankle", "neck"], {"hip": None, "knee": None, "neck": "neck"}),
}  # fmt: skip


@pytest.mark.parametrize("dataset", list(LISTS))
def test_names_mean_what_their_data_set_says(dataset: str, caplog: pytest.LogCaptureFixture) -> None:
    names, expected = LISTS[dataset]
    for listed in (names, names[::-1]):
        found = dict(zip(listed, resolve_names(listed, "joints"), strict=True))
        assert {name: found[name] for name in expected} == expected
    say_names("a.json", [names])
    assert not any("may be the crown" in line for line in caplog.messages)
    unused = [name for name, joint in found.items() if joint is None]
    assert len(caplog.messages) == bool(unused)


@pytest.mark.parametrize("name", [n for n in skeleton_names() if n != "cmu31"])
def test_our_own_lists_mean_themselves(name: str, caplog: pytest.LogCaptureFixture) -> None:
    joints = body_of(get_skeleton(name)).joints
    assert resolve_names(list(joints), "joints") == list(joints)
    say_names("a.json", [joints])
    assert caplog.messages == []
    assert resolve_names([j.title() for j in joints], "joints") == list(joints)


def test_a_file_says_once_which_names_are_not_used(caplog: pytest.LogCaptureFixture) -> None:
    names = [*LIMBS, "belt", "tail", "face-0", "left_forefinger2", "right_hand_root"]
    say_names("clip.json", [names, names[:13]])
    assert caplog.messages == [
        "clip.json: joints that no skeleton knows are not used: 'belt', 'tail', 3 points of hands and face"
    ]
    caplog.clear()
    say_names("clip.json", [[f"marker {i}" for i in range(20)]])
    assert caplog.messages[0].endswith("'marker 11', 8 more")


def test_a_head_that_may_be_either_is_said(caplog: pytest.LogCaptureFixture) -> None:
    names = ["pelvis", "neck", "head", *LIMBS]
    assert resolve_names(names, "joints")[2] == "head"
    say_names("a.json", [names])
    assert caplog.messages == [
        "a.json: joint 'head' may be the crown or the middle of the head, and is read as the middle; "
        "call it 'head_top' if it is the crown"
    ]


def test_two_names_for_one_joint_are_an_error_only_if_neither_is_the_better() -> None:
    assert resolve_names(["root", "pelvis", "left_hip", "right_hip"], "joints")[:2] == [None, "pelvis"]
    assert resolve_names(["spine", "torso"], "joints") == ["spine", None]
    with pytest.raises(InputError, match=r"joints: 'LHip' and 'hip\.L' both mean 'left_hip'; name each joint once"):
        resolve_names(["LHip", "hip.L"], "joints")


def test_the_skeleton_asked_for_does_not_change_what_names_mean() -> None:
    names, _ = LISTS["Halpe 26"]
    asked = resolve_names(names, "joints", get_skeleton("mpi17"))
    assert asked == resolve_names(names, "joints")
    assert "head_top" in asked


def test_lists_of_orders() -> None:
    assert layout_names("crowdpose14")[12:] == ("head_top", "neck")
    assert layout_names("ochuman17") == layout_names("coco17")
    assert len(layout_names("coco133")) == 133
    with pytest.raises(InputError, match=r"unknown skeleton 'crowd'; known: h36m17, .*crowdpose14"):
        layout_names("crowd")
    assert candidates(16) == ("mpii16", "h36m16")
    assert candidates(20) == ("kinect20",)
    assert candidates(13) == ()
    assert covering_skeleton(layout_names("kinect25"), None).name == "kinect25"
    assert covering_skeleton(("neck", "head_top"), None).name == "lsp14"


def seen_from_the_front(name: str, standing: np.ndarray) -> np.ndarray:
    """The standing person's pixels in another order, with noise: (40, joints, 2)."""
    h36m = get_skeleton("h36m17")
    body = Keypoints2D(300 * standing[:, :2] + 400)
    like = {"neck": "thorax", "head": "neck_nose", "upper_neck": "neck_nose", "nose": "neck_nose"}
    joints = get_skeleton(name).joints
    limb = {"eye": "neck_nose", "ear": "neck_nose", "foot": "ankle", "toe": "ankle", "heel": "ankle", "hand": "wrist",
            "tip": "wrist", "thumb": "wrist"}  # fmt: skip

    def place(joint: str) -> int:
        joint = like.get(joint, joint)
        if joint not in h36m.joints:
            side, _, part = joint.partition("_")
            other = limb[part.rpartition("_")[2]]
            joint = other if other == "neck_nose" else f"{side}_{other}"
        return h36m.index(joint)

    xy = body.xy.numpy()[[place(joint) for joint in joints]]
    return xy + 3 * np.random.default_rng(0).standard_normal((40, *xy.shape))


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("lsp14", "lsp14"),
        ("mpii16", "mpii16"),
        ("body25", "body25"),
        ("crowdpose14", "lsp14"),
        ("aic14", "lsp14"),
        ("h36m16", "mpii16"),
        ("kinect25", "body25"),
        ("body25b", "body25"),
    ],
)
def test_arrays_that_are_in_no_usual_order_are_refused(name: str, usual: str, standing, tmp_path: Path) -> None:
    xy = seen_from_the_front(name, standing)
    np.save(tmp_path / "a.npy", xy)
    if name == usual:
        assert read_keypoints(tmp_path / "a.npy").skeleton.name == name
        return
    others = " or ".join(candidates(len(get_skeleton(name))))
    with pytest.raises(InputError) as caught:
        read_keypoints(tmp_path / "a.npy")
    assert f"{xy.shape[1]} joints may be {others} (it looks like {name}): pass --skeleton" in str(caught.value)
    found = read_keypoints(tmp_path / "a.npy", skeleton=name)
    assert found.skeleton.name == name
    assert found.as_skeleton("h36m17").visible.sum(-1).min() >= 16


@pytest.mark.parametrize("name", ["crowdpose14", "h36m16", "body25b", "lsp14", "mpii16"])
@pytest.mark.parametrize("point", [0.0, -1.0, (1279.0, 719.0)])
def test_orders_are_told_by_joints_that_were_found(name: str, point: Any, standing, tmp_path: Path) -> None:
    """Joints that were not found all lie at one point, so that bones between them are short in any order."""
    xy = seen_from_the_front(name, standing)
    generator = np.random.default_rng(0)
    for row in xy:
        row[generator.permutation(len(row))[:4]] = point
    np.save(tmp_path / "a.npy", xy)
    if candidates(xy.shape[1])[0] == name:
        assert read_keypoints(tmp_path / "a.npy").skeleton.name == name
    else:
        with pytest.raises(InputError, match=rf"it looks like {name}\): pass --skeleton"):
            read_keypoints(tmp_path / "a.npy")


def test_counts_without_a_usual_order_are_refused() -> None:
    with pytest.raises(InputError, match=r"15 joints may be jhmdb15 or mpi15 or panoptic15: pass --skeleton"):
        skeleton_of(15, (4, 15, 2), None)
    assert skeleton_of(14, (4, 14, 2), None).name == "lsp14"
    assert skeleton_of(14, (1, 14, 2), None, np.full((1, 14, 2), np.nan)).name == "lsp14"


@pytest.mark.parametrize(
    ("name", "body"), [("halpe136", "halpe26"), ("wholebody133", "coco17"), ("body135", "body25b")]
)
def test_whole_bodies_are_read_without_hands_and_face(name: str, body: str, tmp_path: Path) -> None:
    joints, kept = len(get_skeleton(name)), len(get_skeleton(body))
    xy = np.random.default_rng(1).uniform(0, 500, (2, joints, 2))
    np.save(tmp_path / "a.npy", xy)
    (tmp_path / "p.json").write_text(json.dumps({"skeleton": name, "keypoints": xy.tolist()}))
    instances = [[{"keypoints": pose.tolist(), "keypoint_scores": [1.0] * joints}] for pose in xy]
    (tmp_path / "m.json").write_text(json.dumps(instances))
    reference = Keypoints2D(xy[:, :kept], skeleton=body)
    for file in ("a.npy", "p.json", "m.json"):
        found = read_keypoints(tmp_path / file, skeleton=name)
        assert (found.skeleton.name, len(found)) == (body, 2)
        assert (found.xy == reference.xy).all()
        np.testing.assert_allclose(found.covariance, reference.covariance)


def test_hands_and_face_of_a_named_list_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entry = {"joints": ["face-0", *LIMBS, "left_thumb1"], "keypoints": [[i, 2 * i] for i in range(14)]}
    (tmp_path / "a.json").write_text(json.dumps([entry, entry]))
    with caplog.at_level(logging.WARNING):
        found = read_keypoints(tmp_path / "a.json")
    assert found.xy[0, found.skeleton.index("left_shoulder")].tolist() == [1, 2]
    assert caplog.messages == [
        f"{tmp_path / 'a.json'}: joints that no skeleton knows are not used: 2 points of hands and face"
    ]
    (tmp_path / "a.json").write_text(json.dumps({"joints": ["face-0"], "keypoints": [[1, 2]]}))
    with pytest.raises(InputError, match="names points of hands and face alone; lifting needs those of the body"):
        read_keypoints(tmp_path / "a.json")


def test_categories_whose_names_are_unknown_are_read_by_number_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keypoints = [value for i in range(17) for value in (10 + i, 20 + 2 * i, 2)]
    document = {
        "images": [{"id": 1, "width": 640, "height": 480}],
        "categories": [{"id": 1, "keypoints": [f"p{i}" for i in range(17)]}],
        "annotations": [{"image_id": 1, "category_id": 1, "keypoints": keypoints, "num_keypoints": 17}],
    }
    path = tmp_path / "c.json"
    path.write_text(json.dumps(document))
    assert read_keypoints(path).skeleton.name == "coco17"
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{path}: categories[0] names no joint that we know ('p0', 'p1'")
    assert caplog.messages[0].endswith("its joints are read by their number")
    caplog.clear()
    names = [
        f"{part}_{side}"
        for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in "lr"
    ]
    document["categories"] = [{"id": 1, "keypoints": ["tail", *names]}]
    path.write_text(json.dumps(document))
    found = read_keypoints(path)
    assert found.xy[0, found.skeleton.index("left_wrist")].tolist() == [19, 38]
    assert caplog.messages == [f"{path}: joints that no skeleton knows are not used: 'tail'"]


def test_temporary_skeletons_keep_the_order() -> None:
    assert temporary_skeleton(["a", "b"]).joints == ("a", "b")


def instances(joints: int) -> list[dict]:
    return [{"keypoints": [[10 + i, 20 + 2 * i] for i in range(joints)], "keypoint_scores": [0.9] * joints}]


@pytest.mark.parametrize("dataset", ["MMPose's Human3.6M", "Halpe 26", "Pose2Sim and Sports2D", "JHMDB", "Kinect v2"])
def test_names_in_the_metadata_of_mmpose(dataset: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names, expected = LISTS[dataset]
    document = {
        "meta_info": {"keypoint_id2name": dict(enumerate(names))},
        "instance_info": [{"frame_id": 3, "instances": instances(len(names))}],
    }
    (tmp_path / "m.json").write_text(json.dumps(document))
    found = read_keypoints(tmp_path / "m.json")
    for name, joint in expected.items():
        i = names.index(name)
        assert found.xy[0, found.skeleton.index(str(joint))].tolist() == [10 + i, 20 + 2 * i]
    h36m = found.as_skeleton("h36m17")
    seen = {joint for joint, v in zip(h36m.skeleton.joints, h36m.visible[0], strict=True) if v}
    assert seen >= {"right_ankle", "thorax", "spine", "neck_nose", "left_wrist"}
    assert caplog.messages == []


def test_counts_of_mmpose_that_are_no_detectors(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps(instances(16)))
    with pytest.raises(InputError, match=r"16 joints; expected 17 or 26 .*--skeleton: mpii16 or h36m16"):
        read_keypoints(tmp_path / "m.json")
    assert read_keypoints(tmp_path / "m.json", skeleton="h36m16").skeleton.name == "h36m16"


def test_halpe_without_neck_and_hip_in_a_file(tmp_path: Path) -> None:
    rows = [[10.0 + i, 20.0 + 2 * i, 0.9] for i in range(26)]
    rows[18] = rows[19] = [0.0, 0.0, 0.0]
    entry = {"image_id": "a.jpg", "category_id": 1, "score": 2.0, "keypoints": [v for row in rows for v in row]}
    (tmp_path / "a.json").write_text(json.dumps([entry]))
    found = read_keypoints(tmp_path / "a.json").as_skeleton("h36m17")
    assert found.visible.all()
    assert found.xy[0, 0].tolist() == [21.5, 43.0]
