from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from poseterior.data.mocap.amass import read_amass
from poseterior.data.mocap.bvh import read_bvh
from poseterior.data.mocap.joint_tables import TABLES, detect_table, to_body
from poseterior.files.errors import InputError
from poseterior.geometry.body import body_points, rest_offsets
from poseterior.geometry.skeletons import SKELETONS
from poseterior.results.animation import Animation, numbered_paths, save_animation

SMPL = SKELETONS["smpl22"]
OFFSETS = rest_offsets(torch.float64)[:22].numpy()
STILL = np.tile([0.0, 0.0, 0.0, 1.0], (1, 22, 1))


def _motion(frames: int = 40, seed: int = 0, **changes) -> Animation:
    """A smooth random motion; the pelvis turns more than once about the vertical."""
    generator = np.random.default_rng(seed)
    smooth = gaussian_filter1d(generator.normal(0, 1, (frames + 40, 22, 3)), 10, axis=0)[20:-20]
    turn = Rotation.from_rotvec(3.0 * smooth.reshape(-1, 3)).as_quat().reshape(frames, 22, 4)
    spin = Rotation.from_euler("y", np.linspace(0, 900, frames)[:, None], degrees=True)
    turn[:, 0] = (spin * Rotation.from_quat(turn[:, 0])).as_quat()
    root = np.array([0.3, 0.9, -2.0]) + np.cumsum(generator.normal(0, 0.02, (frames, 3)), axis=0)
    parts = {"rotations": turn, "offsets": OFFSETS, "root": root, "fps": 25.0, "name": "made up"} | changes
    return Animation(**parts)


def _angle(first, second) -> np.ndarray:
    """Angle in degrees between two rotations given as quaternions, through the arctangent."""
    return np.rad2deg((Rotation.from_quat(first.reshape(-1, 4)).inv() * Rotation.from_quat(second.reshape(-1, 4)))
                      .magnitude())  # fmt: skip


def _loop_kinematics(rotations, offsets, root) -> np.ndarray:
    """One frame's joints, one by one, in scipy."""
    place, turned = {}, {}
    for joint in SMPL.topological_order:
        own, parent = Rotation.from_quat(rotations[joint]), SMPL.parents[joint]
        turned[joint] = own if parent < 0 else turned[parent] * own
        place[joint] = root if parent < 0 else place[parent] + turned[parent].apply(offsets[joint])
    return np.stack([place[j] for j in range(22)])


# -- the motion itself -----------------------------------------------------------------------------------


def test_positions_are_forward_kinematics_with_constant_bones():
    motion = _motion()
    positions = motion.positions()
    for frame in (0, 17, 39):
        expected = _loop_kinematics(motion.rotations[frame], OFFSETS, motion.root[frame])
        np.testing.assert_allclose(positions[frame], expected, atol=1e-12)
    bones = np.linalg.norm(positions[:, 1:] - positions[:, list(SMPL.parents[1:])], axis=-1)
    np.testing.assert_allclose(bones, np.tile(np.linalg.norm(OFFSETS[1:], axis=-1), (40, 1)), atol=1e-12)


def test_positions_agree_with_the_body():
    motion = _motion(3)
    rotations = torch.from_numpy(Rotation.from_quat(motion.rotations.reshape(-1, 4)).as_matrix()).reshape(3, 22, 3, 3)
    points, _ = body_points(rotations, rest_offsets(torch.float64))
    np.testing.assert_allclose(motion.positions(), points[:, :22].numpy() + motion.root[:, None], atol=1e-12)


def test_upright_turns_camera_axes_by_half_a_turn_about_x():
    """A person who stands in camera axes has the head at smaller y; upright, nothing is turned."""
    half_turn = STILL.copy()
    half_turn[:, 0] = [1.0, 0.0, 0.0, 0.0]
    seen = Animation(half_turn, OFFSETS, [[0.1, 0.2, 4.0]], 30.0, "camera")
    assert seen.positions()[0, SMPL.index("head"), 1] < seen.positions()[0, 0, 1]
    upright = seen.upright()
    assert upright.axes == "y up"
    np.testing.assert_allclose(upright.rotations * upright.rotations[..., 3:], STILL, atol=1e-15)
    np.testing.assert_allclose(upright.root, [[0.1, -0.2, -4.0]])
    moving = _motion(axes="camera")
    np.testing.assert_allclose(moving.upright().positions(), moving.positions() * [1, -1, -1], atol=1e-12)
    assert upright.upright() is upright


def test_continuous_changes_signs_only():
    motion = _motion().continuous()
    assert (np.sum(motion.rotations[1:] * motion.rotations[:-1], -1) > 0).all()
    signs = np.random.default_rng(1).choice([-1.0, 1.0], (40, 22, 1))
    signs[0] = 1.0
    mixed = _motion(rotations=motion.rotations * signs)
    np.testing.assert_allclose(mixed.continuous().rotations, motion.rotations, atol=1e-15)


def test_the_pelvis_offset_is_not_used_and_nearly_unit_quaternions_are_rounded():
    offsets = OFFSETS.copy()
    offsets[0] = 5.0
    motion = Animation(STILL.astype(np.float32) * np.float32(1.0004), offsets, np.zeros((1, 3), np.float32), 30)
    assert (motion.offsets[0] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(motion.rotations, axis=-1), 1.0, atol=1e-15)
    assert offsets[0, 0] == 5.0  # the caller's own


def _with(values, place, value):
    values = np.array(values)
    values[place] = value
    return values


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rotations": np.zeros((2, 21, 4))}, "rotations has shape (2, 21, 4); expected (frames, 22, 4)"),
        ({"rotations": STILL[:0], "root": np.zeros((0, 3))}, "rotations has shape (0, 22, 4); expected (frames, 22,"),
        ({"rotations": "turn"}, "rotations: expected an array of numbers"),
        ({"offsets": np.zeros((25, 3))}, "offsets has shape (25, 3); expected (22, 3)"),
        ({"root": np.zeros((3, 3))}, "root has shape (3, 3); expected (frames, 3)"),
        ({"rotations": _with(np.tile(STILL, (2, 1, 1)), (1, 4), np.nan)}, "frame 1, joint 'left_knee' is not finite"),
        ({"rotations": _with(np.tile(STILL, (2, 1, 1)), (1, 5), 1.0)}, "frame 1, joint 'right_knee': the quaternion "
         "[1.0, 1.0, 1.0, 1.0] has length 2; expected 1"),
        ({"root": _with(np.zeros((2, 3)), (1, 2), np.inf)}, "root: frame 1, joint 'pelvis' is not finite"),
        ({"offsets": _with(OFFSETS, (15, 0), np.nan)}, "offsets: joint 'head' is not finite"),
        ({"fps": 0}, "fps is 0; expected a positive number"),
        ({"fps": None}, "fps is None; expected a positive number"),
        ({"axes": "z up"}, "axes is 'z up'; expected one of: 'y up', 'camera'"),
    ],
)  # fmt: skip
def test_bad_input_is_named(changes, message):
    parts = {"rotations": np.tile(STILL, (2, 1, 1)), "offsets": OFFSETS, "root": np.zeros((2, 3)), "fps": 30.0}
    with pytest.raises(InputError) as error:
        Animation(**parts | changes)
    assert message in str(error.value)


# -- files -----------------------------------------------------------------------------------------------


def test_names_for_several_files():
    assert numbered_paths("a/x.bvh", 3) == [Path("a/x-1.bvh"), Path("a/x-2.bvh"), Path("a/x-3.bvh")]
    assert numbered_paths("x.bvh", 1) == [Path("x.bvh")]


def test_unknown_extensions_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"unknown extension '.fbx'; use one of: .bvh, .npz, .glb"):
        save_animation(_motion(), tmp_path / "x.fbx")
    for name in ("x.bvh", "x.npz", "x.glb"):
        with pytest.raises(InputError, match="does not exist; make it first"):
            save_animation(_motion(), tmp_path / "nowhere" / name)
    with pytest.raises(InputError, match="fps is -1; expected a positive number"):
        save_animation(_motion(), tmp_path / "x.bvh", fps=-1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("axes", ["y up", "camera"])
def test_bvh_comes_back(tmp_path, axes):
    motion = _motion(axes=axes)
    save_animation(motion, tmp_path / "x.bvh")
    read = read_bvh(tmp_path / "x.bvh")
    positions, rotations, _ = to_body(read, detect_table(read, "x.bvh"))
    upright = motion.upright()
    assert read.fps == 25.0
    assert np.abs(positions - upright.positions()).max() < 1e-5
    assert _angle(rotations, upright.rotations).max() < 1e-3
    text = (tmp_path / "x.bvh").read_text()
    assert text.count("CHANNELS 6") == 1  # only the pelvis moves: the bones are rigid
    assert text.count("CHANNELS 3 ") == 21


def test_bvh_is_read_by_pybvh(tmp_path):
    pybvh = pytest.importorskip("pybvh")
    motion = _motion()
    save_animation(motion, tmp_path / "x.bvh")
    other = pybvh.read_bvh_file(tmp_path / "x.bvh", world_up="+y")
    joints = [i for i, node in enumerate(other.nodes) if node.name in SMPL.joints]
    order = [SMPL.index(other.nodes[i].name) for i in joints]
    found = np.asarray(other.node_positions())[:, joints] / 100
    np.testing.assert_allclose(found, motion.positions()[:, order], atol=1e-5)


def test_the_frame_rate_can_be_replaced(tmp_path):
    save_animation(_motion(), tmp_path / "x.bvh", fps=50)
    assert read_bvh(tmp_path / "x.bvh").fps == 50.0
    assert len(read_bvh(tmp_path / "x.bvh")) == 40


@pytest.mark.parametrize("axes", ["y up", "camera"])
def test_npz_comes_back_through_the_amass_reader(tmp_path, axes):
    motion = _motion(axes=axes)
    save_animation(motion, tmp_path / "x.npz")
    read = read_amass(tmp_path / "x.npz")
    positions, rotations, _ = to_body(read, TABLES["amass"])
    upright = motion.upright()
    assert read.fps == 25.0
    np.testing.assert_allclose(positions[:, 0], upright.root, atol=1e-6)
    assert _angle(rotations, upright.rotations).max() < 1e-4


def test_npz_has_the_layout_of_amass(tmp_path):
    """A T-pose: z up with the head above, zero but for the pelvis and the legs, which SMPL spreads."""
    save_animation(Animation(STILL, OFFSETS, [[1.0, 2.0, 3.0]], 60.0), tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as archive:
        content = {name: archive[name] for name in archive.files}
    assert content["poses"].shape == (1, 156)
    assert content["betas"].shape == (16,)
    assert str(content["gender"]) == "neutral"
    assert float(content["mocap_framerate"]) == 60.0
    assert tuple(content["joint_names"].tolist()) == SMPL.joints
    np.testing.assert_allclose(content["offsets"], OFFSETS)
    vectors = content["poses"].reshape(52, 3)
    np.testing.assert_allclose(vectors[0], [np.pi / 2, 0, 0], atol=1e-9)
    np.testing.assert_allclose(np.rad2deg(vectors[SMPL.index("left_hip")]), [0, 0, -6.0], atol=1e-6)
    moved = {SMPL.joints[j] for j in range(22) if np.abs(vectors[j]).max() > 1e-9}
    assert moved == {"pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"}
    assert not vectors[22:].any()
    # (x, y, z) with y up is (x, -z, y) with z up; the template's pelvis is 0.23 below and 0.03 in front
    np.testing.assert_allclose(content["trans"], [[1.0, -3.0 + 0.23, 2.0 - 0.03]], atol=1e-9)


def _accessor(gltf, index) -> np.ndarray:
    accessor = gltf.accessors[index]
    view = gltf.bufferViews[accessor.bufferView]
    dtype = {5126: np.float32, 5123: np.uint16, 5121: np.uint8}[accessor.componentType]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
    numbers = np.frombuffer(gltf.binary_blob(), dtype, accessor.count * width, view.byteOffset)
    return numbers.reshape(accessor.count, width)


def _read_glb(path):
    """Times, local rotations, pelvis positions, offsets and parents as the file has them."""
    gltf = pytest.importorskip("pygltflib").GLTF2().load(str(path))
    motion = gltf.animations[0]
    rotations, root = np.zeros((0, 0, 4)), None
    for channel in motion.channels:
        sampler = motion.samplers[channel.sampler]
        assert sampler.interpolation == "LINEAR"
        values, times = _accessor(gltf, sampler.output), _accessor(gltf, sampler.input)[:, 0]
        if channel.target.path == "translation":
            root = values
        else:
            rotations = rotations if rotations.size else np.zeros((len(values), 22, 4))
            rotations[:, channel.target.node] = values
    return gltf, times, rotations, root


@pytest.mark.parametrize("axes", ["y up", "camera"])
def test_glb_holds_the_motion(tmp_path, axes):
    motion = _motion(axes=axes)
    save_animation(motion, tmp_path / "x.glb")
    gltf, times, rotations, root = _read_glb(tmp_path / "x.glb")
    np.testing.assert_allclose(times, np.arange(40) / 25.0, atol=1e-6)
    assert tuple(node.name for node in gltf.nodes[:22]) == SMPL.joints
    parents = {child: joint for joint, node in enumerate(gltf.nodes) for child in node.children}
    assert tuple(parents.get(joint, -1) for joint in range(22)) == SMPL.parents
    offsets = np.array([node.translation for node in gltf.nodes[:22]])
    expected = motion.upright().positions()
    for frame in range(40):
        found = _loop_kinematics(rotations[frame], offsets, root[frame])
        assert np.abs(found - expected[frame]).max() < 1e-5
    # viewers interpolate between neighbours: no sign may jump
    assert (np.sum(rotations[1:] * rotations[:-1], -1) > 0).all()


def test_glb_skin_carries_the_bones(tmp_path):
    """Skinned as glTF says, an octahedron's ends are the joint that it begins at and the child that it ends at."""
    motion = _motion()
    save_animation(motion, tmp_path / "x.glb")
    gltf, _, rotations, _ = _read_glb(tmp_path / "x.glb")
    primitive = gltf.meshes[0].primitives[0]
    corners = _accessor(gltf, primitive.attributes.POSITION).astype(np.float64)
    owners = _accessor(gltf, primitive.attributes.JOINTS_0)[:, 0]
    triangles = _accessor(gltf, primitive.indices).reshape(-1, 3)
    bind = _accessor(gltf, gltf.skins[0].inverseBindMatrices).reshape(22, 4, 4).transpose(0, 2, 1)
    box = gltf.accessors[primitive.attributes.POSITION]
    np.testing.assert_allclose([box.min, box.max], [corners.min(0), corners.max(0)])

    frame, positions = 11, motion.positions()[11]
    turned = {}
    for joint in SMPL.topological_order:
        own, parent = Rotation.from_quat(rotations[frame, joint]), SMPL.parents[joint]
        turned[joint] = own if parent < 0 else turned[parent] * own
    local = corners + bind[owners, :3, 3]
    skinned = np.stack([positions[o] + turned[o].apply(p) for o, p in zip(owners, local, strict=True)]).reshape(
        -1, 6, 3
    )
    bones = [(p, j) for j, p in enumerate(SMPL.parents) if p >= 0 and np.linalg.norm(OFFSETS[j]) > 1e-3]
    assert len(skinned) == len(bones) + 5  # head, hands and toes end in the air
    for bone, (parent, child) in zip(skinned, bones, strict=False):
        np.testing.assert_allclose(bone[0], positions[parent], atol=1e-5)
        np.testing.assert_allclose(bone[1], positions[child], atol=1e-5)
    np.testing.assert_allclose(bind[:, :3, :3], np.tile(np.eye(3), (22, 1, 1)))
    # every octahedron is seen from outside
    first, second, third = corners[triangles].transpose(1, 0, 2)
    inside = corners.reshape(-1, 6, 3)[:, 2:].mean(1).repeat(8, axis=0)
    assert (np.sum(np.cross(second - first, third - first) * (first - inside), -1) > 0).all()


def test_glb_without_its_library_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "x.glb").write_bytes(b"old")
    monkeypatch.setitem(sys.modules, "pygltflib", None)
    with pytest.raises(InputError, match=r"writing glTF needs pygltflib: pip install 'poseterior\[gltf\]'"):
        save_animation(_motion(), tmp_path / "x.glb")
    assert (tmp_path / "x.glb").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_one_frame_is_a_motion(tmp_path):
    one = Animation(STILL, OFFSETS, np.zeros((1, 3)), 30.0)
    for name in ("x.bvh", "x.npz"):
        save_animation(one, tmp_path / name)
    assert len(read_bvh(tmp_path / "x.bvh")) == len(read_amass(tmp_path / "x.npz")) == 1
    pytest.importorskip("pygltflib")
    save_animation(one, tmp_path / "x.glb")
    assert len(_read_glb(tmp_path / "x.glb")[1]) == 1


# -- Blender ---------------------------------------------------------------------------------------------

#: Imports the file and writes the world positions of all pose bones' heads, z up, a frame each.
_IMPORT = """
import builtins, json, sys
import bpy
plain = builtins.open  # Blender 3.4's importers were written for older versions of Python and numpy
builtins.open = lambda file, mode="r", *rest, **named: plain(file, mode.replace("U", ""), *rest, **named)
path, frames, first, out = sys.argv[-4:]
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps = 25
if path.endswith(".bvh"):
    bpy.ops.import_anim.bvh(filepath=path, global_scale=0.01, axis_forward="-Z", axis_up="Y", frame_start=1)
else:
    import numpy
    if not hasattr(numpy, "bool"):
        numpy.bool = bool
    bpy.ops.import_scene.gltf(filepath=path)
rig = next(thing for thing in scene.objects if thing.type == "ARMATURE")
heads = []
for frame in range(int(frames)):
    scene.frame_set(frame + int(first))
    heads.append({bone.name: list(rig.matrix_world @ bone.head) for bone in rig.pose.bones})
with plain(out, "w") as file:
    json.dump(heads, file)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "first"), [(".bvh", 1), (".glb", 0)])
def test_blender_shows_the_motion(tmp_path, suffix, first):
    blender = shutil.which("blender")
    if blender is None:
        pytest.skip("blender is not installed")
    motion, script, out = _motion(), tmp_path / "import.py", tmp_path / "heads.json"
    save_animation(motion, tmp_path / f"x{suffix}")
    script.write_text(_IMPORT)
    command = [blender, "-b", "--factory-startup", "--python", script, "--", tmp_path / f"x{suffix}", "40", str(first)]
    done = subprocess.run([*command, out], capture_output=True, text=True, timeout=240)
    if "No module named 'numpy'" in done.stderr + done.stdout:
        pytest.skip("Blender's Python has no numpy, which its glTF importer needs")
    assert out.exists(), done.stdout + done.stderr
    heads = json.loads(out.read_text())
    found = np.array([[frame[joint] for joint in SMPL.joints] for frame in heads])
    y_up = np.stack([found[..., 0], found[..., 2], -found[..., 1]], -1)
    assert np.abs(y_up - motion.positions()).max() < 1e-3
