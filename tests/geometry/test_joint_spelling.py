"""Joint names in the spellings that people use."""

from __future__ import annotations

import pytest

from poseterior.geometry.joint_spelling import canonical_joint_name, spell
from poseterior.geometry.skeletons import SKELETONS, body_of, get_skeleton, skeleton_names

WRIST = [
    "left_wrist", "LeftWrist", "leftWrist", "Left Wrist", "left-wrist", "LEFT_WRIST", "LWrist", "L_Wrist", "l_wrist",
    "lwrist", "lwri", "wrist_l", "wrist.L", "WristLeft", "wrist_left", "Wrist (L)", "wristL", "l-wrist", "leftwrist",
    "mixamorig:LeftWrist", "left_wrist_joint", "  left wrist ", "LEFTWRIST",
]  # fmt: skip


@pytest.mark.parametrize("name", WRIST)
def test_sides_in_any_style(name: str) -> None:
    assert spell(name) == "left_wrist"
    other = name.replace("Left", "Right").replace("left", "right").replace("LEFT", "RIGHT")
    if other == name:
        other = name.replace("L", "R").replace("l", "r")
    assert spell(other) == "right_wrist"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("LBigToe", "left_big_toe"),
        ("RSmallToe", "right_small_toe"),
        ("left_eye_inner", "left_eye_inner"),
        ("Left eye (inner)", "left_eye_inner"),
        ("mouth_right", "right_mouth"),
        ("LEFT_FOOT_INDEX", "left_foot_index"),
        ("HandTipLeft", "left_hand_tip"),
        ("HANDTIP_LEFT", "left_hand_tip"),
        ("CLAVICLE_RIGHT", "right_collar"),
        ("Neck/Nose", "neck_nose"),
        ("top_head", "head_top"),
        ("head_bottom", "upper_neck"),
        ("MidHip", "pelvis"),
        ("BodyCenter", "pelvis"),
        ("CHip", "pelvis"),
        ("SpineBase", "spine_base"),
        ("REar", "right_ear"),
        ("lank", "left_ankle"),
        ("kneel", "left_knee"),
        ("heel", "heel"),
        ("belly", "belly"),
        ("RFoot", "right_foot"),
        ("face-12", "face_12"),
        ("left_hand_root", "left_hand_root"),
        ("left_hipp", "left_hipp"),
        ("left_right_wrist", "left_right_wrist"),
        ("???", "???"),
    ],
)
def test_words(name: str, word: str) -> None:
    assert spell(name) == word


@pytest.mark.parametrize("name", [n for n in skeleton_names() if n != "cmu31"])
def test_our_own_names_are_words(name: str) -> None:
    joints = list(body_of(get_skeleton(name)).joints)
    assert [spell(joint) for joint in joints] == joints


def test_names_that_stand_alone() -> None:
    names = ("hip", "Root", "torso", "SpineMid", "chin", "RFoot", "r.foot", "right_foot", "upper_neck")
    expected = ["pelvis", "pelvis", "spine", "spine", "neck_nose", "right_ankle", "right_ankle", "right_foot"]
    assert [canonical_joint_name(name) for name in names] == [*expected, "upper_neck"]
    assert all(canonical_joint_name(joint) == joint for joint in SKELETONS["halpe26"].joints)
