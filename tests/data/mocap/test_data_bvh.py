from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from mocap_files import END_SITES, JOINTS, OFFSETS, PARENTS, cmu_bvh, random_cmu_bvh
from scipy.spatial.transform import Rotation

from conftest import SHARED
from poseterior.data.mocap.bvh import read_bvh, rest_offsets, write_bvh
from poseterior.data.mocap.joint_tables import TABLES, detect_table, to_body
from poseterior.data.mocap.motion import euler_to_quaternion, forward_kinematics_quaternion
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS

SMPL = SKELETONS["smpl22"]


def _write(folder: Path, text: str, name: str = "a.bvh") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def _loop_kinematics(angles, root, frame):
    """Forward kinematics of one frame, joint by joint, in scipy: independent of the importer's."""
    position, turned = {}, {}
    for joint in JOINTS:
        own = Rotation.from_euler("ZYX", angles.get(joint, np.zeros((frame + 1, 3)))[frame], degrees=True)
        parent = PARENTS[joint]
        if not parent:
            position[joint], turned[joint] = root[frame], own
        else:
            position[joint] = position[parent] + turned[parent].apply(OFFSETS[joint])
            turned[joint] = turned[parent] * own
    for joint, site in END_SITES.items():
        position[joint + "_end"] = position[joint] + turned[joint].apply(site)
    return position, turned


def test_forward_kinematics_agrees_with_a_scipy_loop(tmp_path):
    text, angles, root = random_cmu_bvh(5)
    motion = read_bvh(_write(tmp_path, text))
    assert motion.fps == 60.0
    for frame in range(5):
        position, turned = _loop_kinematics(angles, root, frame)
        for j, joint in enumerate(motion.joints):
            np.testing.assert_allclose(motion.positions[frame, j], position[joint], atol=1e-9)
            if joint in turned:
                quaternion = turned[joint].as_quat()
                assert abs(abs(quaternion @ motion.orientations[frame, j]) - 1) < 1e-12


def test_forward_kinematics_is_that_of_roma(tmp_path):
    """Numbers of one coordinate side by side, against products of quaternions as roma has them."""
    rng = np.random.default_rng(5)
    parents, frames = (-1, 0, 1, 1, 0, -1), 5000  # more than are done at a time
    angles = torch.from_numpy(rng.uniform(-4, 4, (frames, len(parents), 3)))
    offsets = [torch.from_numpy(rng.normal(size=3 if joint % 2 else (frames, 3))) for joint in range(len(parents))]
    orders = [(2, 0, 1), (0, 1, 2), (1,), (1, 0), (), (2, 2, 0)]
    turns = [euler_to_quaternion(angles[:, joint, : len(axes)], axes) for joint, axes in enumerate(orders)]
    for joint, axes in enumerate(orders):
        slow = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64).expand(frames, 4)
        for turn, axis in enumerate(axes):
            one = torch.eye(3, dtype=torch.float64)[axis] * angles[:, joint, turn, None]
            slow = roma.quat_product(slow, roma.rotvec_to_unitquat(one))
        # q and -q are one rotation
        slow = slow * (slow * turns[joint]).sum(-1, keepdim=True).sign()
        torch.testing.assert_close(turns[joint], slow, rtol=0, atol=2e-15)
    given = [turn if joint != 4 else None for joint, turn in enumerate(turns)]
    positions, orientations = forward_kinematics_quaternion(parents, offsets, given)
    for joint, parent in enumerate(parents):
        if parent < 0:
            assert (positions[:, joint] == offsets[joint].numpy()).all()
            assert (orientations[:, joint] == turns[joint].numpy()).all()
            continue
        before = torch.from_numpy(orientations[:, parent])
        place = torch.from_numpy(positions[:, parent]) + roma.quat_action(before, offsets[joint].expand(frames, 3))
        np.testing.assert_allclose(positions[:, joint], place, rtol=0, atol=1e-14)
        own = roma.quat_product(before, turns[joint])
        np.testing.assert_allclose(orientations[:, joint], own, rtol=0, atol=1e-15)


def test_large_motion_blocks_hold_the_same_to_the_bit(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    path = _write(tmp_path, random_cmu_bvh(7)[0])
    slow = read_bvh(path)
    monkeypatch.setattr("poseterior.files.number_tables._LARGE", 0)
    fast = read_bvh(path)
    assert np.array_equal(fast.positions, slow.positions)
    assert np.array_equal(fast.orientations, slow.orientations)
    broken = path.read_text().rstrip().rsplit(" ", 1)[0] + " 1.2.3"
    path.write_text(broken)
    with pytest.raises(InputError, match=r"line \d+: expected a number, found '1.2.3'"):
        read_bvh(path)


def test_forward_kinematics_agrees_with_pybvh(tmp_path):
    pybvh = pytest.importorskip("pybvh")
    path = _write(tmp_path, random_cmu_bvh(7)[0])
    motion = read_bvh(path)
    other = pybvh.read_bvh_file(path, world_up="+y")
    found = np.asarray(other.node_positions())
    # both walk the hierarchy in file order, end sites included
    np.testing.assert_allclose(found, motion.positions, atol=1e-9)


def test_spelling_whitespace_and_channel_order_do_not_matter(tmp_path):
    """The same motion with other channel orders, position channels, CR LF, tabs, wrapped lines, lower case."""
    text = """hierarchy
root A {
\toffset 0 0 0 channels 6 Zrotation Yrotation Xrotation Zposition Xposition Yposition
\tjoint B { OFFSET 1 2 3
\t\tChannels 4 yPOSITION Xrotation Zrotation Yrotation
\t\tEND SITE { OFFSET 0 1 0 }
\t}
}
motion
frames:\t2
frame time:\t0.0333333
10 20 30 3 1 2
 7 40 50 60
0 0 0 0 0 0 2 0 0 0
"""
    motion = read_bvh(_write(tmp_path, text.replace("\n", "\r\n")))
    assert motion.joints == ("A", "B", "B_end")
    assert motion.fps == 30.0
    root = Rotation.from_euler("ZYX", [10, 20, 30], degrees=True)
    np.testing.assert_allclose(motion.positions[0, 0], [1, 2, 3])
    b = np.array([1, 2, 3]) + root.apply([1, 7, 3])  # the y channel replaces the offset's y
    np.testing.assert_allclose(motion.positions[0, 1], b, atol=1e-12)
    own = root * Rotation.from_euler("XZY", [40, 50, 60], degrees=True)
    np.testing.assert_allclose(motion.positions[0, 2], b + own.apply([0, 1, 0]), atol=1e-12)
    np.testing.assert_allclose(motion.positions[1], [[0, 0, 0], [1, 2, 3], [1, 3, 3]], atol=1e-12)


def test_any_number_of_rotation_channels(tmp_path):
    text = """HIERARCHY
ROOT A
{
  OFFSET 0 0 0
  CHANNELS 2 Yrotation Yrotation
  JOINT B
  {
    OFFSET 1 0 0
    CHANNELS 0
    End Site
    {
      OFFSET 1 0 0
    }
  }
}
MOTION
Frames: 1
Frame Time: 0.01
30 60
"""
    motion = read_bvh(_write(tmp_path, text))
    np.testing.assert_allclose(motion.positions[0], [[0, 0, 0], [0, 0, -1], [0, 0, -2]], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "", "not a BVH file (it does not begin with HIERARCHY)"),
        (lambda t: t.split("MOTION")[0], "no MOTION section; the file may be truncated"),
        (lambda t: t.replace("Frames: 2", "Frames: 4"), "'Frames: 4' with 78 channels needs 312 values, found 156"),
        (lambda t: t[:-200], "'Frames: 2' with 78 channels needs 156 values"),
        (
            lambda t: t.replace("Frame Time: 0.0166667", "Frame Time: 0"),
            "expected a positive number; pass --fps",
        ),
        (lambda t: t.replace("JOINT LeftLeg", "JOINT Hips"), "joint 'Hips' appears twice"),
        (lambda t: t.replace("9.0 -10.0 3.0", "9.0 x 3.0"), "line 12: offset of 'LeftUpLeg': expected a number"),
        (lambda t: t.replace("Xrotation", "Wrotation", 1), "line 5: channels of 'Hips': found 'Wrotation'"),
        (lambda t: t.replace("Frames: 2", "Frames: many"), "'Frames:' and 'Frame Time:' need numbers, found 'many'"),
        (lambda t: t.replace("MOTION", "}\nMOTION", 1), "expected ROOT or MOTION, found '}'"),
    ],
)
def test_bad_files_are_named(tmp_path, change, message):
    path = _write(tmp_path, change(cmu_bvh(frames=2)))
    with pytest.raises(InputError) as error:
        read_bvh(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize("told", [2, 4])
def test_frame_counts_that_are_off_by_one_are_read_and_said(tmp_path, caplog, told):
    text = cmu_bvh(frames=3, root=np.arange(9.0).reshape(3, 3))
    path = _write(tmp_path, text.replace("Frames: 3", f"Frames: {told}"))
    np.testing.assert_array_equal(read_bvh(path).positions, read_bvh(_write(tmp_path, text, "b.bvh")).positions)
    assert [r.getMessage() for r in caplog.records] == [
        f"a.bvh: 'Frames: {told}' but 3 rows of numbers; all 3 are read"
    ]


def test_words_and_nan_among_the_numbers_name_line_and_joint(tmp_path):
    lines = cmu_bvh(frames=2).split("\n")
    words = lines[-2].split()
    broken = [*lines[:-2], " ".join(["oops", *words[1:]]), ""]
    with pytest.raises(InputError, match=rf"line {len(lines) - 1}: expected a number, found 'oops'"):
        read_bvh(_write(tmp_path, "\n".join(broken)))
    broken = [*lines[:-2], " ".join([*words[:6], "nan", *words[7:]]), ""]
    with pytest.raises(InputError, match="frame 1, joint 'LHipJoint': channel value is not finite"):
        read_bvh(_write(tmp_path, "\n".join(broken)))


def test_zero_channels_are_the_t_pose_but_for_the_legs(tmp_path):
    motion = read_bvh(_write(tmp_path, cmu_bvh()))
    positions, rotations, h36m17 = to_body(motion, detect_table(motion, "a"))
    legs = [SMPL.index(j) for j in ("left_hip", "right_hip")]
    angle = 2 * np.rad2deg(np.arccos(np.clip(np.abs(rotations[0, :, 3]), 0, 1)))
    # the source's rest pose spreads the legs by 20 degrees: the hips say so, nothing else turns
    np.testing.assert_allclose(angle[legs], 20, atol=1e-3)
    np.testing.assert_allclose(np.delete(angle, legs), 0, atol=0.05)
    offsets, slack = rest_offsets(positions, rotations)
    assert slack.max() < 1e-6
    for side, sign in (("left", 1), ("right", -1)):
        thigh, shank = offsets[SMPL.index(f"{side}_knee")], offsets[SMPL.index(f"{side}_ankle")]
        for bone in (thigh, shank):
            np.testing.assert_allclose(bone / np.linalg.norm(bone), [0, -1, 0], atol=0.01)
        arm = offsets[SMPL.index(f"{side}_elbow")]
        np.testing.assert_allclose(arm / np.linalg.norm(arm), [sign, 0, 0], atol=1e-6)
        assert offsets[SMPL.index(f"{side}_foot")][2] > 0.1
    assert positions[0, SMPL.index("left_hip"), 0] > positions[0, SMPL.index("right_hip"), 0]
    assert not np.isnan(h36m17).any()


def test_h36m17_of_a_cmu_file_follows_the_table(tmp_path):
    text, angles, root = random_cmu_bvh(3)
    motion = read_bvh(_write(tmp_path, text))
    _, _, h36m17 = to_body(motion, TABLES["cmu-bvh"])
    position, _ = _loop_kinematics(angles, root, 2)
    h36m = SKELETONS["h36m17"]
    expected = {
        "pelvis": (position["LeftUpLeg"] + position["RightUpLeg"]) / 2, "left_knee": position["LeftLeg"],
        "right_ankle": position["RightFoot"], "spine": position["Spine"], "thorax": position["Neck"],
        "neck_nose": (position["Neck1"] + position["Head"]) / 2, "head_top": position["Head_end"],
        "left_shoulder": position["LeftArm"], "right_elbow": position["RightForeArm"],
        "left_wrist": position["LeftHand"],
    }  # fmt: skip
    for joint, place in expected.items():
        np.testing.assert_allclose(h36m17[2, h36m.index(joint)], place / 100, atol=1e-6)


def test_knees_bend_backwards_and_elbows_forwards(tmp_path):
    """The signs of flexion: a positive turn about x at the knee takes the foot behind the knee."""
    angles = {"LeftLeg": np.array([[0, 0, 60.0]]), "LeftForeArm": np.array([[0, -60.0, 0]])}
    motion = read_bvh(_write(tmp_path, cmu_bvh(angles)))
    positions, rotations, _ = to_body(motion, TABLES["cmu-bvh"])
    knee = Rotation.from_quat(rotations[0, SMPL.index("left_knee")]).as_rotvec()
    assert np.deg2rad(50) < knee[0] < np.deg2rad(62)
    at = {joint: positions[0, i] for i, joint in enumerate(SMPL.joints)}
    assert at["left_ankle"][2] < at["left_knee"][2] - 0.2
    assert at["left_wrist"][2] > at["left_elbow"][2] + 0.1


def test_written_bvh_gives_the_positions_back(tmp_path):
    motion = read_bvh(_write(tmp_path, random_cmu_bvh(20)[0]))
    positions, rotations, _ = to_body(motion, TABLES["cmu-bvh"])
    write_bvh(tmp_path / "out.bvh", positions, rotations, 60.0)
    text = (tmp_path / "out.bvh").read_text()
    assert text.count("position") == 3  # constant bones: only the root moves
    again = read_bvh(tmp_path / "out.bvh")
    table = detect_table(again, "out.bvh")
    assert table.name == "smpl22-bvh"
    assert again.fps == 60.0
    back, turned, _ = to_body(again, table)
    assert np.linalg.norm(back - positions, axis=-1).max() < 1e-4
    assert np.abs(np.abs((turned * rotations).sum(-1)) - 1).max() < 1e-6
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_bones_that_stretch_are_written_as_position_channels(tmp_path):
    generator = np.random.default_rng(0)
    positions = generator.normal(size=(6, 22, 3))
    rotations = Rotation.random(6 * 22, random_state=1).as_quat().reshape(6, 22, 4)
    write_bvh(tmp_path / "out.bvh", positions, rotations, 29.97)
    again = read_bvh(tmp_path / "out.bvh")
    back, turned, _ = to_body(again, TABLES["smpl22-bvh"])
    assert again.fps == pytest.approx(29.97, abs=1e-4)
    assert np.linalg.norm(back - positions, axis=-1).max() < 1e-4
    assert np.abs(np.abs((turned * rotations).sum(-1)) - 1).max() < 1e-6


def test_write_bvh_survives_gimbal_lock(tmp_path):
    """The middle angle of ZXY at 90 degrees, where two Euler axes coincide."""
    positions = np.zeros((3, 22, 3))
    rotations = np.tile([0.0, 0.0, 0.0, 1.0], (3, 22, 1))
    for frame, angle in enumerate((90.0, -90.0, 89.99999)):
        rotations[frame, :] = Rotation.from_euler("ZXY", [20, angle, 30], degrees=True).as_quat()
    write_bvh(tmp_path / "out.bvh", positions, rotations, 30.0)
    _, turned, _ = to_body(read_bvh(tmp_path / "out.bvh"), TABLES["smpl22-bvh"])
    assert np.abs(np.abs((turned * rotations).sum(-1)) - 1).max() < 1e-6


def _channels(path: Path) -> np.ndarray:
    """The motion block, a row a frame."""
    lines = path.read_text().split("Frame Time:")[1].splitlines()[1:]
    return np.array([[float(word) for word in line.split()] for line in lines])


def test_written_angles_do_not_jump(tmp_path):
    """Somebody turns round twice, an arm swings over the pole of the ZXY angles: no channel jumps by half a turn."""
    frames = 120
    rotations = np.tile([0.0, 0.0, 0.0, 1.0], (frames, 22, 1))
    rotations[:, 0] = Rotation.from_euler("y", np.linspace(0, 720, frames)[:, None], degrees=True).as_quat()
    swing = np.stack([np.full(frames, 20.0), np.linspace(-150, 150, frames)], -1)
    rotations[:, SMPL.index("left_shoulder")] = Rotation.from_euler("ZX", swing, degrees=True).as_quat()
    positions = np.zeros((frames, 22, 3))
    write_bvh(tmp_path / "a.bvh", positions, rotations, 30.0)
    angles = _channels(tmp_path / "a.bvh")
    assert np.abs(np.diff(angles, axis=0)).max() < 7.0
    assert abs(angles[-1, 5] - angles[0, 5] - 720) < 1e-3
    _, again, _ = to_body(read_bvh(tmp_path / "a.bvh"), TABLES["smpl22-bvh"])
    off = Rotation.from_quat(again.reshape(-1, 4)).inv() * Rotation.from_quat(rotations.reshape(-1, 4))
    assert np.rad2deg(off.magnitude()).max() < 1e-3


def test_write_bvh_refuses_nonsense(tmp_path):
    positions, rotations = np.zeros((2, 22, 3)), np.tile([0.0, 0, 0, 1], (2, 22, 1))
    with pytest.raises(InputError, match=r"positions \(2, 17, 3\)"):
        write_bvh(tmp_path / "x.bvh", positions[:, :17], rotations, 30)
    with pytest.raises(InputError, match="fps is 0; expected a positive number"):
        write_bvh(tmp_path / "x.bvh", positions, rotations, 0)
    with pytest.raises(InputError, match="not finite"):
        write_bvh(tmp_path / "x.bvh", positions * np.nan, rotations, 30)
    assert not (tmp_path / "x.bvh").exists()


def test_unknown_skeletons_say_what_they_miss(tmp_path):
    motion = read_bvh(_write(tmp_path, cmu_bvh().replace("LeftHand", "Paw")))
    with pytest.raises(InputError) as error:
        detect_table(motion, "dog.bvh")
    assert "dog.bvh: no joint table for this skeleton; the closest, 'cmu-bvh', misses LeftHand" in str(error.value)


@pytest.mark.parametrize(
    ("folder", "pattern", "missing"),
    [("cmu/bvh/test", "*_1.bvh", ()), ("bandai_namco/dataset-1", "*_normal_001.bvh", ("head_top",))],
)
def test_published_files(tmp_path, folder, pattern, missing):
    files = sorted((SHARED / "data/mocap" / folder).glob(pattern))[:4]
    if not files:
        pytest.skip("the shared mocap is not here")
    for file in files:
        motion = read_bvh(file)
        positions, rotations, h36m17 = to_body(motion, detect_table(motion, file))
        offsets, slack = rest_offsets(positions, rotations)
        assert slack.max() < 1e-3, "forward kinematics of the rotations must give the positions"
        gone = np.isnan(h36m17).any((0, 2))
        assert tuple(np.array(SKELETONS["h36m17"].joints)[gone]) == missing
        # T-pose: arms along +-x, legs down, feet forward, trunk up
        for side, sign in (("left", 1), ("right", -1)):
            for bone, towards in (
                ("elbow", (sign, 0, 0)),
                ("wrist", (sign, 0, 0)),
                ("knee", (0, -1, 0)),
                ("ankle", (0, -1, 0)),
            ):
                offset = offsets[SMPL.index(f"{side}_{bone}")]
                assert offset @ towards > 0.999 * np.linalg.norm(offset)
            assert offsets[SMPL.index(f"{side}_foot")][2] > 0.08
            knee = Rotation.from_quat(rotations[:, SMPL.index(f"{side}_knee")]).as_rotvec()
            assert knee[:, 0].min() > -0.05, "knees bend backwards"
        angle = 2 * np.rad2deg(np.arccos(np.clip(np.abs(rotations[..., 3]), 0, 1)))
        trunk = [SMPL.index(j) for j in ("spine1", "spine2", "spine3")]
        assert np.median(angle[:, trunk]) < 25
        ankles = positions[:, [SMPL.index("left_ankle"), SMPL.index("right_ankle")], 1]
        assert -0.05 < np.median(ankles.min(1)) < 0.25
        write_bvh(tmp_path / "back.bvh", positions, rotations, motion.fps)
        again, _, _ = to_body(read_bvh(tmp_path / "back.bvh"), TABLES["smpl22-bvh"])
        assert np.linalg.norm(again - positions, axis=-1).max() < 1e-3


def test_a_neutral_bandai_stand_is_near_the_t_pose_but_for_the_arms():
    file = SHARED / "data/mocap/bandai_namco/dataset-1/dataset-1_guide_normal_001.bvh"
    if not file.exists():
        pytest.skip("the shared mocap is not here")
    motion = read_bvh(file)
    _, rotations, _ = to_body(motion, detect_table(motion, file))
    angle = 2 * np.rad2deg(np.arccos(np.clip(np.abs(rotations[0, :, 3]), 0, 1)))
    for joint in ("spine1", "spine2", "spine3", "neck", "head", "left_collar", "left_foot", "right_foot"):
        assert angle[SMPL.index(joint)] < 20, joint
    for side, sign in (("left", 1), ("right", -1)):
        for joint in ("hip", "knee", "ankle"):
            assert angle[SMPL.index(f"{side}_{joint}")] < 25, joint
        shoulder = Rotation.from_quat(rotations[0, SMPL.index(f"{side}_shoulder")])
        assert shoulder.apply([sign, 0, 0])[1] < -0.8, "hanging arms point down"
