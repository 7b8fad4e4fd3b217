"""Skeletons of many programs: understood, turned right, or refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import rig_files
from mocap_files import cmu_bvh
from rig_files import SMPL, Rig, arms_down, body_motion, body_rig, kinds, local_axes
from scipy.spatial.transform import Rotation

from conftest import SHARED
from poseterior.cli import main
from poseterior.data.mocap import rigging
from poseterior.data.mocap.bvh import read_bvh, write_bvh
from poseterior.data.mocap.importing import convert, import_mocap
from poseterior.data.mocap.joint_tables import TABLES, to_body
from poseterior.data.mocap.rig_frames import find_rest, rest_frames
from poseterior.data.mocap.rig_names import roles, split_side, strip_prefixes
from poseterior.data.mocap.rig_report import rig_picture, rig_report
from poseterior.data.mocap.rigs import load_rig, matching_rig, shipped_rigs
from poseterior.files.errors import InputError

LOCAL = body_motion()
Z_UP = Rotation.from_euler("x", 90, degrees=True).as_matrix()
FEET = [SMPL.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("ankle", "foot")]
HIDDEN = SHARED / "data" / "rigs"


def imported(path, **options):
    motion = read_bvh(path)
    table, motion, scale = convert(motion, path, "bvh", **options)
    positions, rotations, _ = to_body(motion, table, scale, path)
    matrices = Rotation.from_quat(rotations.reshape(-1, 4)).as_matrix().reshape(-1, 22, 3, 3)
    return positions, matrices, table


def errors(matrices, right=LOCAL):
    """Degrees ``(22,)`` between rotations, the largest over the frames."""
    trace = np.einsum("fjab,fjab->fj", matrices, right)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))).max(0)


def without(joints, *left_out):
    return [i for i in range(22) if SMPL.joints[i] not in left_out and i not in joints]


# -- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "side", "meanings"),
    [
        ("LeftUpLeg", "left", ("thigh",)), ("Bip01 L Thigh", "left", ("thigh",)), ("DEF-thigh.L", "left", ("thigh",)),
        ("lThighBend", "left", ("thigh",)), ("thigh_l", "left", ("thigh",)), ("left_hip", "left", ("thigh",)),
        ("rfemur", "right", ("thigh",)), ("RightUpperLeg", "right", ("thigh",)),
        ("J_Bip_R_UpperLeg", "right", ("thigh",)),
        ("R_Knee", "right", ("shin",)), ("calf_r", "right", ("shin",)), ("LeftLeg", "left", ("shin", "thigh")),
        ("Bip001 R Toe0", "right", ("toe",)), ("LeftToeBase", "left", ("toe",)), ("lShldrBend", "left", ("upper_arm",)),
        ("lThighTwist", "left", ()), ("LeftHandIndex1", "left", ()), ("CC_Base_L_KneeShareBone", "left", ()),
        ("lowerback", "", ("trunk",)), ("Hips", "", ("pelvis",)), ("LHipJoint", "left", ("hip bone", "thigh")),
        ("Tail", "", ("animal",)),
    ],
)  # fmt: skip
def test_sides_and_parts_of_names(name, side, meanings):
    assert roles(name) == (side, meanings)
    assert split_side(name)[0] == side


def test_what_all_names_begin_with_is_left_out():
    assert strip_prefixes(["mixamorig:Hips", "mixamorig:Spine"]) == ["Hips", "Spine"]
    assert strip_prefixes(["CC_Base_Hip", "CC_Base_L_Thigh", "CC_Base_R_Thigh", "CC_Base_Head"])[1] == "L_Thigh"
    assert strip_prefixes(["LeftArm", "LeftLeg", "LeftHand", "LeftFoot"])[0] == "LeftArm"
    assert strip_prefixes(["left_arm", "left_leg", "left_hand", "left_foot"])[0] == "left_arm"


# -- rigs of our own making whose rotations are known --------------------------------------------------------


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("by_name", [True, False], ids=["shipped", "guessed"])
def test_a_rig_in_t_pose_a_pose_and_with_hanging_arms(kind, by_name, tmp_path, monkeypatch):
    """Rest poses that show a person: every rotation as it was, whatever its names and its arms at rest."""
    if not by_name:
        monkeypatch.setattr(rigging, "matching_rig", lambda joints: None)
    rig = kinds()[kind]
    for number, frames in enumerate((None, arms_down(rig, 45), arms_down(rig, 85))):
        path = tmp_path / f"{number}.bvh"
        path.write_text(rig.text(LOCAL, frames, order=("ZYX", "XYZ", "ZXY")[number]))
        positions, matrices, _ = imported(path)
        known = without([], *(("spine2", "spine3", "neck", "left_collar", "right_collar") if "bandai" in kind else ()))
        assert errors(matrices)[known].max() < 0.1, (kind, number)
        right, _ = rig_files.pose_points(LOCAL, np.tile([0.0, 0.95, 0.0], (len(LOCAL), 1)))
        for joint in ("pelvis", "left_knee", "right_foot", "neck", "head", "left_wrist", "right_elbow"):
            if "bandai" in kind and joint in ("neck", "head", "left_wrist", "right_elbow"):
                continue  # the rig lacks a trunk bone that bends here
            np.testing.assert_allclose(positions[:, SMPL.index(joint)], right[joint], atol=1e-4)


@pytest.mark.parametrize("kind", kinds())
def test_a_rig_whose_bones_lie_along_axes_of_their_frames(kind, tmp_path):
    """No rest pose to see: all rotations right but those of the feet, whose zero the file does not say."""
    rig = kinds()[kind]
    for seed in range(3):
        path = tmp_path / f"{seed}.bvh"
        path.write_text(rig.text(LOCAL, local_axes(rig, seed)))
        _, matrices, _ = imported(path)
        lacking = ("spine2", "spine3", "neck", "left_collar", "right_collar") if "bandai" in kind else ()
        assert errors(matrices)[without(FEET, *lacking)].max() < 0.1
        assert errors(matrices)[FEET].max() < 25


@pytest.mark.parametrize("kind", ["mixamo", "xsens-segments", "smpl", "biped"])
def test_a_world_with_z_up_is_turned_and_said(kind, tmp_path, caplog):
    """As Blender writes it: world and rest frames turned together; one line says so."""
    rig = kinds()[kind]
    turned = {name: Z_UP.T for name, *_ in rig.joints}
    path = tmp_path / "z.bvh"
    path.write_text(rig.text(LOCAL, turned, Z_UP))
    positions, matrices, _ = imported(path)
    assert errors(matrices).max() < 0.1
    assert (positions[:, SMPL.index("head"), 1] > positions[:, SMPL.index("pelvis"), 1]).all()
    assert [r.getMessage() for r in caplog.records] == [
        "z.bvh: warning: its people stand along z, which is taken as up and turned to y; pass --up y if they lie"
    ]
    caplog.clear()
    assert errors(imported(path, up="z")[1]).max() < 0.1
    assert not caplog.records
    # the rest pose lies, and the root stands it up in a world with y up (3ds Max)
    path.write_text(rig.text(LOCAL, turned))
    assert errors(imported(path)[1]).max() < 0.1
    assert not caplog.records


@pytest.mark.parametrize("heading", [3, 20, 35, 200])
def test_a_rest_pose_that_faces_any_way(heading, tmp_path):
    """A rest pose that leans as bodies do stands upright all the same, and its heading is no turn of the body."""
    rig = kinds()["rokoko"]
    turn = Rotation.from_euler("y", heading, degrees=True).as_matrix()
    path = tmp_path / "a.bvh"
    path.write_text(rig.text(LOCAL, {name: turn.T for name, *_ in rig.joints}, turn))
    right = LOCAL.copy()
    right[:, SMPL.root] = turn @ right[:, SMPL.root]
    nearly = abs(heading - 90 * round(heading / 90)) < 10  # hips are rarely quite level with the axes
    assert errors(imported(path)[1], right).max() < (10 if nearly else 0.1)


def test_up_turns_every_joint(tmp_path):
    """R <- C R C^T: a CMU file and its z-up twin, whose rest pose is turned too, give the same to 0.01 degrees."""
    generator = np.random.default_rng(5)
    rig = body_rig({joint: next(iter(weights)) for joint, weights in TABLES["cmu-bvh"].positions.items()})
    local = Rotation.from_rotvec(generator.normal(0, 0.2, (12 * 22, 3))).as_matrix().reshape(12, 22, 3, 3)
    (tmp_path / "y.bvh").write_text(rig.text(local))
    (tmp_path / "z.bvh").write_text(rig.text(local, {name: Z_UP.T for name, *_ in rig.joints}, Z_UP))
    y, z = imported(tmp_path / "y.bvh"), imported(tmp_path / "z.bvh", up="z")
    assert errors(y[1], z[1]).max() < 0.01
    np.testing.assert_allclose(y[0], z[0], atol=1e-5)


def test_a_t_pose_in_the_first_frame_is_taken_as_rest(tmp_path):
    rig = kinds()["rokoko"]
    local = LOCAL.copy()
    local[0] = np.eye(3)
    path = tmp_path / "a.bvh"
    path.write_text(rig.text(local, local_axes(rig, 7)))
    motion = read_bvh(path)
    _, guess = rigging.guess_rig(motion, path)
    assert guess.rest is not None
    assert (guess.rest.source, guess.rest.arms) == ("frame 0", "T")
    assert errors(imported(path)[1], local).max() < 0.1


def _daz() -> Rig:
    """DAZ: legs below a pelvis of their own, twist bones within the limbs, four trunk bones, metatarsals."""
    joints = [("hip", "", "pelvis", (0, 0, 0)), ("pelvis", "hip", "pelvis", (0, 0.01, 0))]
    for name, above, joint in (
        ("abdomenLower", "hip", "spine1"), ("abdomenUpper", "abdomenLower", "spine2"),
        ("chestLower", "abdomenUpper", "spine3"),
        ("chestUpper", "chestLower", "spine3"), ("neckLower", "chestUpper", "neck"), ("neckUpper", "neckLower", "neck"),
        ("head", "neckUpper", "head"),
    ):  # fmt: skip
        joints.append((name, above, joint, (0, 0.04, 0) if name in ("chestUpper", "neckUpper") else (0, 0, 0)))
    for letter, side, sign in (("l", "left", 1), ("r", "right", -1)):
        for name, above, joint, offset in (
            ("ThighBend", "pelvis", "hip", (0, 0, 0)), ("ThighTwist", "ThighBend", "hip", (0, -0.2, 0)),
            ("Shin", "ThighTwist", "knee", (0, 0, 0)), ("Foot", "Shin", "ankle", (0, 0, 0)),
            ("Metatarsals", "Foot", "ankle", (0, -0.02, 0.05)), ("Toe", "Metatarsals", "foot", (0, 0, 0)),
            ("Heel", "Foot", "ankle", (0, -0.06, -0.05)),
            ("Collar", "chestUpper", "collar", (0, 0, 0)), ("ShldrBend", "Collar", "shoulder", (0, 0, 0)),
            ("ShldrTwist", "ShldrBend", "shoulder", (0.15 * sign, 0, 0)),
            ("ForearmBend", "ShldrTwist", "elbow", (0, 0, 0)),
            ("ForearmTwist", "ForearmBend", "elbow", (0.1 * sign, 0, 0)), ("Hand", "ForearmTwist", "wrist", (0, 0, 0)),
            ("Thumb1", "Hand", "wrist", (0.03 * sign, 0, 0.03)),
        ):  # fmt: skip
            joints.append(
                (
                    letter + name,
                    above if above in ("pelvis", "chestUpper") else letter + above,
                    f"{side}_{joint}",
                    offset,
                )
            )
    return Rig(joints)


def _rigify_def() -> Rig:
    """Rigify's deformation bones: each limb bone in two, a pelvis bone on each side, two neck bones."""
    joints = [("DEF-spine", "", "pelvis", (0, 0, 0))]
    for name, above, joint, offset in (
        ("spine.001", "spine", "spine1", (0, 0, 0)), ("spine.002", "spine.001", "spine2", (0, 0, 0)),
        ("spine.003", "spine.002", "spine3", (0, 0, 0)), ("spine.004", "spine.003", "neck", (0, 0, 0)),
        ("spine.005", "spine.004", "neck", (0, 0.05, 0)), ("spine.006", "spine.005", "head", (0, 0, 0)),
    ):  # fmt: skip
        joints.append((f"DEF-{name}", f"DEF-{above}", joint, offset))
    for letter, side, sign in (("L", "left", 1), ("R", "right", -1)):
        for name, above, joint, offset in (
            ("pelvis", "spine", "pelvis", (0.02 * sign, 0, 0)),
            ("thigh.?", "spine", "hip", (0, 0, 0)), ("thigh.?.001", "thigh.?", "hip", (0, -0.2, 0)),
            ("shin.?", "thigh.?.001", "knee", (0, 0, 0)), ("shin.?.001", "shin.?", "knee", (0, -0.2, 0)),
            ("foot.?", "shin.?.001", "ankle", (0, 0, 0)), ("toe.?", "foot.?", "foot", (0, 0, 0)),
            ("shoulder.?", "spine.003", "collar", (0, 0, 0)), ("breast.?", "spine.003", "spine3", (0.1 * sign, 0, 0.1)),
            ("upper_arm.?", "shoulder.?", "shoulder", (0, 0, 0)),
            ("upper_arm.?.001", "upper_arm.?", "shoulder", (0.15 * sign, 0, 0)),
            ("forearm.?", "upper_arm.?.001", "elbow", (0, 0, 0)),
            ("forearm.?.001", "forearm.?", "elbow", (0.1 * sign, 0, 0)),
            ("hand.?", "forearm.?.001", "wrist", (0, 0, 0)), ("palm.01.?", "hand.?", "wrist", (0.03 * sign, 0, 0.01)),
        ):  # fmt: skip
            name = f"{name}.{letter}" if name == "pelvis" else name
            joint = joint if joint in ("pelvis", "spine3") else f"{side}_{joint}"
            joints.append((f"DEF-{name}".replace("?", letter), f"DEF-{above}".replace("?", letter), joint, offset))
    return Rig(joints)


@pytest.mark.parametrize("by_name", [True, False], ids=["shipped", "guessed"])
@pytest.mark.parametrize(("name", "rig"), [("daz", _daz()), ("rigify", _rigify_def())])
def test_trees_with_more_bones_than_a_body(name, rig, by_name, tmp_path, monkeypatch):
    if not by_name:
        monkeypatch.setattr(rigging, "matching_rig", lambda joints: None)
    path = tmp_path / "a.bvh"
    path.write_text(rig.text(LOCAL))
    _, matrices, table = imported(path)
    assert table.name == (name if by_name else "guess")
    loose = ("spine1", "spine2", "spine3") if name == "daz" else ()
    assert errors(matrices)[without([], *loose)].max() < 0.1


def test_collars_that_hang_on_the_neck(tmp_path):
    rig = kinds()["biped"]
    joints = [(n, "Bip01 Neck" if "Clavicle" in n else p, j, o) for n, p, j, o in rig.joints]
    still = LOCAL.copy()
    still[:, SMPL.index("neck")] = np.eye(3)  # the collars then turn with the trunk, as in our tree
    placed: list = []
    waiting = list(joints)
    while waiting:  # parents first
        joint = next(j for j in waiting if not j[1] or j[1] in [p[0] for p in placed])
        placed.append(joint)
        waiting.remove(joint)
    path = tmp_path / "a.bvh"
    path.write_text(Rig(placed).text(still))
    _, matrices, table = imported(path)
    assert table.name == "biped"
    assert errors(matrices, still).max() < 0.1


# -- refusals ------------------------------------------------------------------------------------------------


def _refused(tmp_path, rig_, frames=None, local=LOCAL, **options):
    path = tmp_path / "bad.bvh"
    path.write_text(rig_.text(local, frames))
    with pytest.raises(InputError) as caught:
        imported(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message


def _renamed(rig, names):
    return Rig([(names.get(n, n), names.get(p, p), j, o) for n, p, j, o in rig.joints])


@pytest.mark.parametrize("kind", ["mixamo", "daz", "smpl", "biped", "rigify"])
def test_shuffled_names_are_refused(kind, tmp_path):
    rig = kinds()[kind]
    names = [name for name, *_ in rig.joints]
    for seed in range(6):
        mixed = list(np.random.default_rng(seed).permutation(names))
        message = _refused(tmp_path, _renamed(rig, dict(zip(names, mixed, strict=True))))
        assert "--rig FILE.yaml" in message or "exchange" in message


@pytest.mark.parametrize("kind", ["mixamo", "daz", "smpl", "biped", "rigify", "iclone"])
@pytest.mark.parametrize("axes", [False, True], ids=["rest pose", "local axes"])
def test_exchanged_sides_are_refused(kind, axes, tmp_path):
    rig = kinds()[kind]
    left, right = ([n for n, _, joint, _ in rig.joints if joint.startswith(side)] for side in ("left", "right"))
    swap = dict(zip([*left, *right], [*right, *left], strict=True))
    for told in (None, "mixamo" if kind == "mixamo" else None):
        message = _refused(tmp_path, _renamed(rig, swap), local_axes(rig, 3) if axes else None, rig=told)
        assert "left and right are exchanged, or the axes are left-handed" in message


def test_a_quadruped_with_a_persons_names_is_refused(tmp_path):
    """A dog as animators name it: the trunk is level, the arms are front legs, there is a tail."""
    text = rig_files.dog(tail=False)
    path = tmp_path / "dog.bvh"
    path.write_text(text)
    with pytest.raises(InputError, match=r"dog\.bvh: this skeleton is not surely understood"):
        imported(path)
    path.write_text(rig_files.dog(tail=True))
    with pytest.raises(InputError, match="no animal's parts: has Tail"):
        imported(path)


def test_hands_and_faces_are_refused(tmp_path):
    hand = [("LeftHand", "", "left_wrist", (0, 0, 0))]
    hand += [(f"LeftHand{f}{n}", "LeftHand" if n == 1 else f"LeftHand{f}{n - 1}", "left_wrist", (0.05 * n, 0, 0.01 * i))
             for i, f in enumerate(("Thumb", "Index", "Pinky")) for n in (1, 2)]  # fmt: skip
    assert "no left" in _refused(tmp_path, Rig(hand))
    face = [("Head", "", "head", (0, 0, 0)), *((n, "Head", "head", (0.02 * i, 0.05, 0.1)) for i, n in enumerate(
        ("Jaw", "LeftEye", "RightEye", "LeftBrow", "RightBrow")))]  # fmt: skip
    message = _refused(tmp_path, Rig(face))
    assert "no joint table for this skeleton: no left thigh or shin or foot among its joints" in message
    assert "It has: Head, " in message


def test_lengths_that_no_body_has_are_refused(tmp_path):
    rig = kinds()["mixamo"]
    long = [(n, p, j, (0.0, -0.4, 0.0) if n == "mixamorig:LeftFoot" else o) for n, p, j, o in rig.joints]
    assert "left and right as long: ankle to foot: 3.15 times" in _refused(tmp_path, Rig(long))


# -- told ----------------------------------------------------------------------------------------------------


def test_a_rig_of_ones_own(tmp_path, caplog):
    """Names that say nothing, in a file of joint names."""
    names = {joint: f"node{number:02}" for number, joint in enumerate(SMPL.joints)}
    rig = body_rig(names)
    path = tmp_path / "odd.bvh"
    path.write_text(rig.text(LOCAL, arms_down(rig, 30)))
    with pytest.raises(InputError, match=r"odd\.bvh: no joint table for this skeleton: no left thigh or shin or foot"):
        imported(path)
    own = tmp_path / "own.yaml"
    own.write_text("name: own\nunit: cm\njoints:\n" + "".join(f"  {j}: {n}\n" for j, n in names.items()))
    _, matrices, table = imported(path, rig=own)
    assert table.name == "own"
    assert errors(matrices).max() < 0.1
    store = import_mocap(path, tmp_path / "store", "bvh", rig=own).store
    assert store.clips["source"].to_pylist() == ["own"]
    lacking = own.read_text().replace("node05", "node55")
    own.write_text(lacking)
    with pytest.raises(InputError, match="right_knee is named 'node55', which the file lacks"):
        imported(path, rig=own)
    own.write_text(lacking.replace("node55", "node04"))
    with pytest.raises(InputError, match=r"node04 \(right_knee\) does not hang on node02 \(right_hip\)"):
        imported(path, rig=own)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("joints: [1]", "expected 'joints:' with a joint of the rig for each smpl22 joint"),
        ("joints: {tail: A}", "joints: unknown joint 'tail'; known: pelvis, left_hip"),
        ("joints: {pelvis: [A]}", "joints: 'pelvis': expected the name of a joint"),
        (
            "joints: {}\nfingers: 5",
            "unknown entry 'fingers'; known: about, joints, licence, more, name, prefix",
        ),
        ("joints: {}\nprefix: 5", "prefix: expected text"),
        ("joints: {}\nmore: {tail: A}", "more: unknown joint 'tail'"),
        ("joints: {}\nmore: [A]", "more: ''"),
        ("joints: {}\nsides: L", "sides: expected two spellings, as in [Left, Right]"),
        ("joints: {}\nunit: cubit", "unit: unknown length unit 'cubit'"),
        ("a: [", "not YAML"),
        ("joints: !!python/object/apply:os.system [ls]", "not YAML"),
    ],
)
def test_bad_rig_files_are_named(text, message, tmp_path):
    path = tmp_path / "rig.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_rig(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_shipped_rigs():
    rigs = shipped_rigs()
    assert {"mixamo", "rokoko", "xsens", "lafan1", "motionbuilder", "daz", "iclone", "bandai-namco", "biped", "rigify",
            "asf", "smpl", "smpl-short", "cmu-left-hip", "cmu-motionbuilder"} <= set(rigs)  # fmt: skip
    for name, rig in rigs.items():
        assert rig.name == name
        assert rig.about
    with pytest.raises(InputError, match="unknown rig 'maya'; shipped: asf, bandai-namco"):
        load_rig("maya")
    with pytest.raises(InputError, match=r"nowhere\.yaml: cannot be read"):
        load_rig("nowhere.yaml")
    assert matching_rig(["mixamorig:Hips"]) is None


def test_the_report_proposes_a_table_that_works(tmp_path, capsys):
    rig = kinds()["unreal"]
    path = tmp_path / "a.bvh"
    path.write_text(rig.text(LOCAL))
    assert main(["data", "rigs", str(path), "--picture", str(tmp_path / "a.png")]) == 0
    out = capsys.readouterr().out
    assert "rig: unreal; up: y; rest frames from its rest pose (arms: T)" in out
    assert "confidence 1.00, sure" in out
    assert "left_hip: 'thigh_l'" in out
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    (tmp_path / "told.yaml").write_text(out[out.index("# proposed") : out.index("wrote")])
    assert errors(imported(path, rig=tmp_path / "told.yaml")[1]).max() < 0.1
    figure = rig_picture(rig_report(path))
    labels = {text.get_text() for text in figure.axes[0].texts}
    assert labels == set(SMPL.joints)
    assert main(["data", "rigs"]) == 0
    assert "mixamo" in capsys.readouterr().out


def test_the_report_of_an_unsure_rig_is_shown_and_refused(tmp_path, capsys):
    path = tmp_path / "dog.bvh"
    path.write_text(rig_files.dog(tail=True))
    assert main(["data", "rigs", str(path)]) == 2
    shown = capsys.readouterr()
    assert "NOT SURE" in shown.out
    assert "not surely understood" in shown.err
    for name, message in (
        ("a.fbx", "an FBX file, which is not read; turn it into glTF"),
        ("a.txt", "unknown extension"),
    ):
        (tmp_path / name).write_text("")
        assert main(["data", "rigs", str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err


# -- public files ----------------------------------------------------------------------------------------------


def _by_scipy(path):
    """Places of all joints and end sites ``(frames, joints, 3)`` in file order: a reader of its own."""
    words = path.read_text().split()
    start = words.index("MOTION")
    nodes, stack, at = [], [], 0
    while at < start:
        word = words[at]
        if word in ("ROOT", "JOINT", "End"):
            nodes.append([stack[-1] if stack else -1, np.zeros(3), []])
            latest = len(nodes) - 1
        elif word == "{":
            stack.append(latest)
        elif word == "}":
            stack.pop()
        elif word == "OFFSET":
            nodes[stack[-1]][1] = np.array(words[at + 1 : at + 4], dtype=float)
        elif word == "CHANNELS":
            nodes[stack[-1]][2] = words[at + 2 : at + 2 + int(words[at + 1])]
        at += 1
    count = sum(len(channels) for *_, channels in nodes)
    values = np.array(words[words.index("Time:", start) + 2 :], dtype=float).reshape(-1, count).T
    places, turned, column = [], [], 0
    for parent, offset, channels in nodes:
        step, turn = np.tile(offset, (values.shape[1], 1)), Rotation.identity(values.shape[1])
        for channel in channels:
            if channel.endswith("position"):
                step[:, "XYZ".index(channel[0])] = values[column]
            else:
                turn = turn * Rotation.from_euler(channel[0], values[column][:, None], degrees=True)
            column += 1
        places.append(step if parent < 0 else places[parent] + turned[parent].apply(step))
        turned.append(turn if parent < 0 else turned[parent] * turn)
    return np.stack(places, 1)


@pytest.mark.skipif(not HIDDEN.is_dir(), reason="development rigs (shared/data/rigs) are not here")
@pytest.mark.parametrize("name", sorted(p.name for p in HIDDEN.glob("*.bvh")) if HIDDEN.is_dir() else [])
def test_public_rigs_import_and_come_back(name, tmp_path):
    """Positions agree with an independent reader; written as our BVH and read by it, the body moves the same."""
    path = HIDDEN / name
    motion = read_bvh(path)
    np.testing.assert_allclose(_by_scipy(path), motion.positions, atol=1e-6 * np.ptp(motion.positions[0]))
    mocap = import_mocap(path, tmp_path / "store", "bvh", first_frame="keep").store.load()
    table, turned, scale = convert(motion, path, "bvh")
    for joint, weights in table.positions.items():
        placed = sum(w * turned.positions[:, turned.joints.index(n)] for n, w in weights.items()) * scale
        np.testing.assert_allclose(mocap.positions[:, SMPL.index(joint)], placed, atol=1e-4)
    # heads up, left at the left, toes ahead
    points = {joint: mocap.positions[:, i] for i, joint in enumerate(SMPL.joints)}
    assert (points["head"][:, 1] > points["pelvis"][:, 1]).all()
    write_bvh(tmp_path / "out.bvh", mocap.positions, mocap.rotations, float(mocap.fps[0]))
    again = import_mocap(
        tmp_path / "out.bvh", tmp_path / "again", "bvh", any_size=True, first_frame="keep"
    ).store.load()
    np.testing.assert_allclose(again.positions, mocap.positions, atol=1e-4)
    assert (
        errors(
            *(Rotation.from_quat(m.rotations.reshape(-1, 4)).as_matrix().reshape(-1, 22, 3, 3) for m in (again, mocap))
        ).max()
        < 0.1
    )
    written = read_bvh(tmp_path / "out.bvh")
    np.testing.assert_allclose(_by_scipy(tmp_path / "out.bvh"), written.positions, atol=1e-3)
    for joint in SMPL.joints:
        own = written.positions[:, written.joints.index(joint)] / 100
        np.testing.assert_allclose(own, mocap.positions[:, SMPL.index(joint)], atol=1e-4)


@pytest.mark.skipif(not HIDDEN.is_dir(), reason="development rigs (shared/data/rigs) are not here")
def test_computed_frames_agree_with_those_written_by_hand():
    """CMU's from its rest pose to a degree; Bandai-Namco's from local axes, where no foot is concerned."""
    folder = SHARED / "data/mocap"
    for path in sorted((folder / "cmu/bvh/test").glob("*.bvh"))[::8]:
        motion, guess = rigging.guess_rig(read_bvh(path), path, None, ("cmu-bvh",))
        frames = rest_frames(motion, guess.found, find_rest(motion, guess.found))
        for joint, (_, pose) in TABLES["cmu-bvh"].frames.items():
            assert np.degrees(Rotation.from_matrix(frames[joint].T @ pose.matrix()).magnitude()) < 1.0, joint
    for path in sorted((folder / "bandai_namco/dataset-1").glob("*.bvh"))[::16]:
        motion, guess = rigging.guess_rig(read_bvh(path), path, None, ("bandai-namco",))
        frames = rest_frames(motion, guess.found, None)
        for joint, (_, pose) in TABLES["bandai-namco"].frames.items():
            if not joint.endswith(("ankle", "foot")):
                assert np.degrees(Rotation.from_matrix(frames[joint].T @ pose.matrix()).magnitude()) < 20.0, (
                    path,
                    joint,
                )


def test_cmu_names_with_other_frames_get_computed_ones(tmp_path):
    """A CMU file that another program wrote anew, with bones along local axes."""
    text = cmu_bvh(frames=2)
    assert "LeftUpLeg" in text
    rig = body_rig({j: next(iter(w)) for j, w in TABLES["smpl22-bvh"].positions.items()})
    path = tmp_path / "a.bvh"
    path.write_text(rig.text(LOCAL, local_axes(rig, 9)))
    assert errors(imported(path)[1])[without(FEET)].max() < 0.1
    assert list(itertools.islice(TABLES, 1)) == ["cmu-bvh"]
