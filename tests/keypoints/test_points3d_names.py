"""3D keypoints by name: the lists of other programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from poseterior.files.errors import InputError
from poseterior.keypoints.points3d import read_points

SPORTS2D = [
    "Hip", "RHip", "RKnee", "RAnkle", "RBigToe", "RSmallToe", "RHeel", "LHip", "LKnee", "LAnkle", "LBigToe",
    "LSmallToe", "LHeel", "Neck", "Head", "Nose", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist",
]  # fmt: skip


def test_the_head_of_sports2d_is_the_crown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    points = np.random.default_rng(0).uniform(0, 1, (3, 22, 3))
    (tmp_path / "a.json").write_text(json.dumps({"joints": SPORTS2D, "points": points.tolist()}))
    found = read_points(tmp_path / "a.json", None, "y-up", "m")
    assert found is not None
    assert found.skeleton.name == "halpe26"
    np.testing.assert_allclose(found.points[:, found.skeleton.index("head_top")], points[:, SPORTS2D.index("Head")])
    np.testing.assert_allclose(found.points[:, found.skeleton.index("pelvis")], points[:, 0])
    assert caplog.messages == []


def test_names_of_the_kinect_and_of_our_own_body(tmp_path: Path) -> None:
    names = ["SpineBase", "SpineMid", "SpineShoulder", "Neck", "Head", "ShoulderLeft", "AnkleLeft", "FootLeft"]
    body = ["pelvis", "hip_centre", "neck_nose", "left_hip"]
    for joints, skeleton in ((names, "kinect25"), (body, "smpl25")):
        points = np.random.default_rng(0).uniform(0, 1, (2, len(joints), 3)).tolist()
        (tmp_path / "a.json").write_text(json.dumps({"joints": joints, "points": points}))
        found = read_points(tmp_path / "a.json", None, "y-up", "m")
        assert found is not None
        assert found.skeleton.name == skeleton
    (tmp_path / "a.json").write_text(json.dumps({"joints": ["pelvis", "tail"], "points": [[[0, 0, 0], [0, 0, 1]]]}))
    with pytest.raises(InputError, match="no skeleton has all of them, 'tail' for example"):
        read_points(tmp_path / "a.json", None, "y-up", "m")
