"""Motions for other programs: USD by usd-core, BVH on named rigs by a reader of its own, OpenSim's coordinates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from poseterior.data.mocap.bvh import read_bvh
from poseterior.data.mocap.importing import import_mocap
from poseterior.data.mocap.rigs import shipped_rigs
from poseterior.files.errors import InputError
from poseterior.geometry.body import rest_offsets
from poseterior.geometry.skeletons import SKELETONS
from poseterior.results.animation import Animation, save_animation
from poseterior.results.rigs import get_rig
from poseterior.results.rotations import RotationResult

SMPL = SKELETONS["smpl22"]
OFFSETS = rest_offsets()[:22].numpy().astype(np.float64)


def moving(frames: int = 12, axes: str = "y up", **turns: np.ndarray) -> Animation:
    """A body that turns some joints by rotation vectors, and walks; without any, all joints at random."""
    rng = np.random.default_rng(0)
    vectors = np.zeros((frames, 22, 3)) if turns else np.cumsum(rng.normal(0, 0.05, (frames, 22, 3)), axis=0)
    for joint, vector in turns.items():
        vectors[:, SMPL.index(joint)] = vector
    quaternions = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_quat().reshape(frames, 22, 4)
    root = np.stack([np.linspace(0, 1, frames), np.full(frames, 0.9), np.linspace(-3, -2, frames)], -1)
    return Animation(quaternions, OFFSETS, root, 25.0, axes, "made up")


def made_up(poses: int = 5, samples: int = 50) -> RotationResult:
    """Rotations near those of `moving`."""
    rng = np.random.default_rng(1)
    usual = Rotation.from_quat(moving(poses).rotations.repeat(samples, 0).reshape(-1, 4))
    noise = Rotation.from_rotvec(rng.normal(0, 0.03, (poses * samples * 22, 3)))
    drawn = (usual * noise).as_quat().reshape(poses, samples, 22, 4).astype(np.float32)
    return RotationResult(
        rotations=drawn, log_prob=np.zeros((poses, samples), np.float32),
        mean=moving(poses).rotations.astype(np.float32),
        spread=np.full((poses, 22), 0.03, np.float32), offsets=np.tile(rest_offsets().numpy(), (poses, 1, 1)),
        root=moving(poses).root.astype(np.float32), axes="y up", modelled=SMPL.joints, lifter="rotations",
        file=np.array(["clip.json"] * poses), frame=np.arange(poses), person=np.zeros(poses, int),
    )  # fmt: skip


# -- USD -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["usda", "usdc", "usdz"])
def test_usd_moves_as_the_animation(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("pxr")
    from pxr import Usd, UsdGeom, UsdSkel

    motion = moving()
    path = tmp_path / f"clip.{suffix}"
    save_animation(motion, path)
    assert list(tmp_path.iterdir()) == [path]
    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert (stage.GetTimeCodesPerSecond(), stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (25, 0, 11)
    body = UsdSkel.Root(stage.GetDefaultPrim())
    cache = UsdSkel.Cache()
    cache.Populate(body, Usd.PrimDefaultPredicate)
    skeleton = UsdSkel.Skeleton(stage.GetPrimAtPath("/Body/Skeleton"))
    query = cache.GetSkelQuery(skeleton)
    assert [str(joint).split("/")[-1] for joint in query.GetJointOrder()] == list(SMPL.joints)
    expected = motion.positions()
    for frame in (0, 5, 11):
        places = [matrix.ExtractTranslation() for matrix in query.ComputeJointSkelTransforms(frame)]
        np.testing.assert_allclose(np.array(places), expected[frame], atol=1e-5)
    bones = stage.GetPrimAtPath("/Body/Bones")
    skinning = cache.GetSkinningQuery(bones)
    assert bool(skinning)
    points = UsdGeom.Mesh(bones).GetPointsAttr().Get()
    assert skinning.ComputeSkinnedPoints(query.ComputeSkinningTransforms(5), points, 5)
    pelvis_tip = np.array(points[0])  # the first corner is where the pelvis' first bone begins
    np.testing.assert_allclose(pelvis_tip, expected[5, 0], atol=1e-5)


def test_usd_without_its_library_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:
    from poseterior.files import extras

    path = tmp_path / "clip.usda"
    path.write_text("old")
    monkeypatch.setattr(extras, "installed", lambda module: module != "pxr")
    with pytest.raises(InputError, match=r"clip.usda: writing USD needs usd-core: pip install 'poseterior\[usd\]'"):
        save_animation(moving(), path)
    assert path.read_text() == "old"


# -- rigs ------------------------------------------------------------------------------------------------------------


def parse_bvh(path: Path) -> tuple[list[str], np.ndarray, float]:
    """Names, joint positions ``(frames, joints, 3)`` in metres, frames per second: read line by line, in scipy."""
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    open_nodes: list[int] = []
    lines = iter(path.read_text().splitlines())
    for line in lines:
        words = line.split()
        if words[0] in ("ROOT", "JOINT", "End"):
            names.append(line.strip().split(" ", 1)[1] if words[0] != "End" else "end")
            parents.append(open_nodes[-1] if open_nodes else -1)
            channels.append([])
        elif words[0] == "{":
            open_nodes.append(len(names) - 1)
        elif words[0] == "}":
            open_nodes.pop()
        elif words[0] == "OFFSET":
            offsets.append([float(word) for word in words[1:]])
        elif words[0] == "CHANNELS":
            channels[open_nodes[-1]] = words[2:]
        elif words[0] == "MOTION":
            break
    count, rate = int(next(lines).split()[1]), 1.0 / float(next(lines).split()[2])
    table = np.array([[float(word) for word in line.split()] for line in lines])
    assert len(table) == count
    places, turns, column = [], [], 0
    for joint, parent in enumerate(parents):
        place, turn = np.tile(offsets[joint], (count, 1)), Rotation.identity(count)
        for channel in channels[joint]:
            if channel.endswith("position"):
                place[:, "XYZ".index(channel[0])] = table[:, column]
            else:
                turn = turn * Rotation.from_euler(channel[0].lower(), table[:, column, None], degrees=True)
            column += 1
        places.append(place if parent < 0 else places[parent] + turns[parent].apply(place))
        turns.append(turn if parent < 0 else turns[parent] * turn)
    return names, np.stack(places, 1) / 100.0, rate


@pytest.mark.parametrize("rig", [*shipped_rigs(), "cmu"])
def test_a_rig_moves_as_the_body(tmp_path: Path, rig: str) -> None:
    motion = moving()
    save_animation(motion, tmp_path / "clip.bvh", rig=rig)
    names, positions, rate = parse_bvh(tmp_path / "clip.bvh")
    assert rate == pytest.approx(25.0)
    known = get_rig(rig)
    assert sorted(name for name in names if name != "end") == sorted(known.values())
    expected = motion.positions()
    for joint, name in known.items():
        # A rig without spine2 cannot bend there, which moves all that hangs on the chest.
        if len(known) == 22 or joint in ("pelvis", "spine1") or "hip" in joint or "knee" in joint or "ankle" in joint:
            own = positions[:, names.index(name)]
            np.testing.assert_allclose(own, expected[:, SMPL.index(joint)], atol=1e-4, err_msg=name)


@pytest.mark.parametrize("rig", [*shipped_rigs(), "cmu", "cc", "bandai", "smpl22"])
def test_what_is_written_on_a_rig_is_imported_by_it(tmp_path: Path, rig: str) -> None:
    """One list of names: a motion is read back by the rig it was written on, and moves the same."""
    motion = moving()
    save_animation(motion, tmp_path / "clip.bvh", rig=rig)
    for told in (rig, None):
        mocap = import_mocap(tmp_path / "clip.bvh", tmp_path / f"{told}", "bvh", rig=told).store.load()
        lacking = [i for i, joint in enumerate(SMPL.joints) if joint not in get_rig(rig)]
        again, expected = mocap.positions, motion.positions()
        if not lacking:
            np.testing.assert_allclose(again, expected, atol=1e-4)
        turns = Rotation.from_quat(mocap.rotations[:, SMPL.index("left_knee")])
        own = Rotation.from_quat(motion.rotations[:, SMPL.index("left_knee")])
        assert np.rad2deg((turns.inv() * own).magnitude()).max() < 0.1


def test_the_file_that_names_joints_for_reading_names_them_for_writing(tmp_path: Path) -> None:
    rig = tmp_path / "own.yaml"
    rig.write_text('sides: [L, R]\njoints: {pelvis: Hips, "*_hip": "?_UpLeg"}\nmore: {spine1: Back}\nprefix: "a:"\n')
    assert get_rig(rig) == {
        "pelvis": "a:Hips", "left_hip": "a:L_UpLeg", "right_hip": "a:R_UpLeg", "spine1": "a:Back",
    }  # fmt: skip
    rig.write_text("pelvis: Hips\nspine1: Back\n")  # nothing but names
    assert get_rig(rig) == {"pelvis": "Hips", "spine1": "Back"}


def test_mixamo_is_read_back_with_the_same_rotations(tmp_path: Path) -> None:
    motion = moving()
    save_animation(motion, tmp_path / "clip.bvh", rig="mixamo")
    found = read_bvh(tmp_path / "clip.bvh")
    assert found.joints[0] == "mixamorig:Hips"
    turned: dict[int, Rotation] = {}
    for joint in SMPL.topological_order:
        own, parent = Rotation.from_quat(motion.rotations[:, joint]), SMPL.parents[joint]
        turned[joint] = own if parent < 0 else turned[parent] * own
    for joint, name in get_rig("mixamo").items():
        other = Rotation.from_quat(found.orientations[:, found.joints.index(name)])
        assert np.rad2deg((turned[SMPL.index(joint)].inv() * other).magnitude()).max() < 1e-3


def test_a_joint_that_a_rig_lacks_turns_those_below_it(tmp_path: Path) -> None:
    bent = moving(spine2=np.array([0.4, 0.0, 0.0]))
    save_animation(bent, tmp_path / "clip.bvh", rig="bandai")
    found = read_bvh(tmp_path / "clip.bvh")
    chest = Rotation.from_quat(found.orientations[:, found.joints.index("Chest")])
    np.testing.assert_allclose(chest.as_rotvec(), np.tile([0.4, 0.0, 0.0], (12, 1)), atol=1e-6)
    spine = Rotation.from_quat(found.orientations[:, found.joints.index("Spine")])
    np.testing.assert_allclose(spine.as_rotvec(), 0.0, atol=1e-6)


def test_a_rig_can_be_told_in_yaml(tmp_path: Path) -> None:
    rig = tmp_path / "mine.yaml"
    rig.write_text("joints:\n" + "".join(f"  {joint}: My{joint}\n" for joint in SMPL.joints))
    made_up().save(tmp_path / "clip.bvh", rig=rig)
    assert read_bvh(tmp_path / "clip.bvh").joints[0] == "Mypelvis"


@pytest.mark.parametrize(
    ("rig", "message"),
    [
        ("maximo", "unknown rig 'maximo'; shipped: asf, .*, mixamo, .*; or name a .yaml file"),
        ({"pelvis": "Hips", "tail": "Tail"}, "rig: joint 'tail': expected one of pelvis, left_hip"),
        ({"pelvis": "Hips", "neck": "Hips"}, "rig: the name 'Hips' is given to two joints"),
        ({"neck": "Neck"}, "rig: the joint 'pelvis' has no name; it is the rig's root"),
        ({"pelvis": "a{b"}, "rig: joint 'pelvis': expected the name that the rig gives it, got 'a{b'"),
    ],
)
def test_bad_rigs_are_named(rig, message: str) -> None:
    with pytest.raises(InputError, match=message):
        get_rig(rig)


def test_a_rig_is_for_bvh_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clip.glb: a rig is for .bvh files only"):
        made_up().save(tmp_path / "clip.glb", rig="mixamo")
    assert not list(tmp_path.iterdir())


# -- angles of rotations -----------------------------------------------------------------------------------------------


def test_mot_of_rotations_has_ankles(tmp_path: Path) -> None:
    bend = np.zeros((12, 3))
    bend[:, 0] = np.deg2rad(np.linspace(0, 60, 12))
    save_animation(moving(right_knee=bend, left_ankle=-bend / 3), tmp_path / "clip.mot")
    lines = (tmp_path / "clip.mot").read_text().splitlines()
    end = lines.index("endheader")
    names = lines[end + 1].split("\t")
    table = np.array([[float(cell) for cell in line.split("\t")] for line in lines[end + 2 :]])
    np.testing.assert_allclose(table[:, names.index("knee_angle_r")], np.linspace(0, 60, 12), atol=1e-4)
    np.testing.assert_allclose(table[:, names.index("ankle_angle_l")], np.linspace(0, 20, 12), atol=1e-4)
    np.testing.assert_allclose(table[:, names.index("pelvis_tx")], np.linspace(3, 2, 12), atol=1e-5)
    np.testing.assert_allclose(table[:, names.index("pelvis_ty")], 0.9, atol=1e-5)


def test_angles_of_rotations_have_uncalibrated_intervals() -> None:
    found = made_up().angles()
    assert not found.calibrated
    assert repr(found) == "Angles(5 poses, 38 angles, 90 % intervals (uncalibrated))"
    column = found.index("left_ankle_flexion")
    assert (found.lower[:, column] < found.degrees[:, column]).all()
    half = (found.upper - found.lower)[:, column] / 2
    np.testing.assert_allclose(half, np.rad2deg(0.03 * 1.645), rtol=0.4)
