"""glTF skeletons: read as they stand in the world, imported like any rig, refused by name where broken."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest
import rig_files
from rig_files import SMPL, arms_down, body_motion, kinds, local_axes
from scipy.spatial.transform import Rotation, Slerp

from poseterior.data.mocap.bvh import read_bvh
from poseterior.data.mocap.gltf import read_gltf
from poseterior.data.mocap.importing import import_mocap
from poseterior.files.errors import InputError

LOCAL = body_motion(12)


def document(rig, local=LOCAL, frames=None, armature=1.0, bind=True, ways="LINEAR", fps=30.0, spread=1):
    """A glTF document of a rig and its buffer: an armature node, a skin, one animation; its T-pose is the bind pose."""
    root = np.tile([0.0, 0.95, 0.0], (len(local), 1))
    places, turned = rig_files.pose_points(local, root)
    calm, _ = rig_files.pose_points(np.broadcast_to(np.eye(3), (1, 22, 3, 3)), root[:1])
    frames = frames or {}
    stand = {name: frames.get(name, np.eye(3)) for name, *_ in rig.joints}
    at = {name: calm[joint][0] + offset for name, _, joint, offset in rig.joints}
    turn = {name: turned[joint] @ stand[name] for name, _, joint, _ in rig.joints}
    number = {name: i + 1 for i, (name, *_) in enumerate(rig.joints)}
    nodes = [{"name": "Armature", "scale": [armature] * 3, "children": [1]}]
    views, accessors, data = [], [], b""

    def put(array, kind):
        nonlocal data
        raw = np.asarray(array, dtype="<f4").tobytes()
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(raw)})
        accessors.append({"bufferView": len(views) - 1, "componentType": 5126, "count": len(array), "type": kind})
        data += raw
        return len(accessors) - 1

    times = put(np.arange(len(local)) * spread / fps, "SCALAR")
    channels, samplers, inverse = [], [], []
    for name, parent, _, _ in rig.joints:
        own = turn[name] if not parent else np.swapaxes(turn[parent], -1, -2) @ turn[name]
        rest = stand[name] if not parent else stand[parent].T @ stand[name]
        step = at[name] if not parent else stand[parent].T @ (at[name] - at[parent])
        node = {
            "name": name,
            "translation": (step / armature).tolist(),
            "rotation": Rotation.from_matrix(rest).as_quat().tolist(),
        }
        children = [number[n] for n, p, *_ in rig.joints if p == name]
        nodes.append(node | ({"children": children} if children else {}))
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = stand[name] * armature, at[name]
        inverse.append(np.linalg.inv(matrix).T.ravel())
        values = [("rotation", Rotation.from_matrix(own).as_quat(), "VEC4")]
        if not parent:
            values.append(("translation", places["pelvis"] / armature, "VEC3"))
        for path, value, kind in values:
            if ways == "CUBICSPLINE":
                value = np.stack([0 * value, value, 0 * value], 1).reshape(-1, value.shape[1])
            samplers.append({"input": times, "output": put(value, kind), "interpolation": ways})
            channels.append({"sampler": len(samplers) - 1, "target": {"node": number[name], "path": path}})
    skin = {"joints": list(number.values())}
    if bind:
        skin["inverseBindMatrices"] = put(np.array(inverse), "MAT4")
    content = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": nodes, "skins": [skin],
        "animations": [{"channels": channels, "samplers": samplers}], "accessors": accessors, "bufferViews": views,
        "buffers": [{"byteLength": len(data)}],
    }  # fmt: skip
    return content, data


def glb(content, data):
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    data += b"\0" * (-len(data) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(data), 0x004E4942) + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


@pytest.mark.parametrize("kind", ["mixamo", "vrm", "rigify-def", "iclone", "smpl"])
def test_a_skeleton_moves_as_its_bvh_does(kind, tmp_path):
    """The same rig as BVH and as glTF: the same joints at the same places; the same body in the store."""
    rig = kinds()[kind]
    for number, frames in enumerate((None, arms_down(rig, 45), local_axes(rig, 2))):
        (tmp_path / "a.glb").write_bytes(glb(*document(rig, frames=frames, armature=0.01 if number else 1.0)))
        (tmp_path / "a.bvh").write_text(rig.text(LOCAL, frames))
        other, own = read_bvh(tmp_path / "a.bvh"), read_gltf(tmp_path / "a.glb")
        assert own.fps == 30.0
        for joint in own.joints:
            i, j = own.joints.index(joint), other.joints.index(joint)
            np.testing.assert_allclose(own.positions[:, i], other.positions[:, j] / 100, atol=1e-5)
        mocap = import_mocap(tmp_path / "a.glb", tmp_path / f"s{number}", "gltf").store.load()
        matrices = Rotation.from_quat(mocap.rotations.reshape(-1, 4)).as_matrix().reshape(-1, 22, 3, 3)
        # the bind pose tells what BVH does not: local axes are as good as a T-pose
        assert np.degrees(np.arccos(np.clip((np.einsum("fjab,fjab->fj", matrices, LOCAL) - 1) / 2, -1, 1))).max() < 0.1
        right, _ = rig_files.pose_points(LOCAL, np.tile([0.0, 0.95, 0.0], (12, 1)))
        for joint in ("pelvis", "left_ankle", "right_wrist", "head"):
            np.testing.assert_allclose(mocap.positions[:, SMPL.index(joint)], right[joint], atol=1e-4)


def test_buffers_inside_and_beside(tmp_path):
    content, data = document(kinds()["smpl"], bind=False)
    (tmp_path / "a.glb").write_bytes(glb(content, data))
    inside = json.loads(json.dumps(content))
    inside["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    (tmp_path / "in.gltf").write_text(json.dumps(inside))
    inside["buffers"][0]["uri"] = "my%20data.bin"
    (tmp_path / "by.gltf").write_text(json.dumps(inside))
    (tmp_path / "my data.bin").write_bytes(data)
    reference = read_gltf(tmp_path / "a.glb")
    for name in ("in.gltf", "by.gltf"):
        np.testing.assert_array_equal(read_gltf(tmp_path / name).positions, reference.positions)


def test_rates_and_interpolation(tmp_path):
    """Keys are two frames apart: sampled in between along the great circle, stepped, or cubic through the keys."""
    rig = kinds()["smpl"]
    (tmp_path / "a.glb").write_bytes(glb(*document(rig, spread=2)))
    own = read_gltf(tmp_path / "a.glb")
    assert (own.fps, len(own)) == (15.0, 12)
    fine = read_gltf(tmp_path / "a.glb", 30.0)
    assert (fine.fps, len(fine)) == (30.0, 23)
    np.testing.assert_allclose(fine.positions[::2], own.positions, atol=1e-6)
    pelvis = Rotation.from_matrix(LOCAL[:, 0])
    between = Slerp(np.arange(12), pelvis)(np.arange(11) + 0.5)
    found = Rotation.from_quat(fine.orientations[1::2, 0])
    assert (between.inv() * found).magnitude().max() < 1e-5
    for ways in ("STEP", "CUBICSPLINE"):
        (tmp_path / "b.glb").write_bytes(glb(*document(rig, ways=ways, spread=2)))
        other = read_gltf(tmp_path / "b.glb", 30.0)
        np.testing.assert_allclose(other.positions[::2], own.positions, atol=1e-6)
        if ways == "STEP":
            np.testing.assert_allclose(other.positions[1::2], own.positions[:-1], atol=1e-6)


def _broken(change):
    content, data = document(kinds()["smpl"])
    data = change(content) or data
    return glb(content, data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["asset"].update(version="1.0"), "asset.version is '1.0'; expected glTF 2.0"),
        (lambda c: b"\0" * 8, "do not fit its buffer; the file may be truncated"),
        (lambda c: c["nodes"][3].update(children=[3]), "nodes: 3 hangs on two others"),
        (lambda c: c["nodes"][1].update(children=[99]), "nodes: no entry 99; there are 23"),
        (lambda c: c["nodes"][2].update(rotation=[0, 0, "x", 1]), "node 'left_hip': rotation: expected 4 finite"),
        (lambda c: c["animations"][0]["samplers"][0].update(input=77), "accessors: no entry 77"),
        (lambda c: c["animations"][0]["samplers"][0].update(interpolation="CUBICSPLINE"), "of rotation do not fit"),
        (lambda c: c["accessors"][0].update(count=10**9), "accessors 0: 1000000000 entries do not fit its buffer"),
        (lambda c: c["buffers"][0].update(uri="../../etc/passwd"), "is no file in its folder; keep the .bin beside it"),
        (lambda c: c["buffers"][0].update(uri="data:;base64,!!"), "its data URI is not base64"),
        (lambda c: c.update(nodes=[]), "0 nodes; expected 1 to 20000"),
        (lambda c: c.update(skins=[{"joints": []}]), "no skeleton"),
        (lambda c: c.update(skins=5), "skins: expected a list of objects"),
    ],
)  # fmt: skip
def test_bad_files_are_named(change, message, tmp_path):
    path = tmp_path / "a.glb"
    path.write_bytes(_broken(change))
    with pytest.raises(InputError) as caught:
        read_gltf(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_what_is_no_gltf(tmp_path):
    for content, message in (
        (b"", "not a glTF file"),
        (b"glTF" + b"\xff" * 40, "truncated"),
        (b"[1]", "asset.version"),
    ):
        (tmp_path / "a.glb").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_gltf(tmp_path / "a.glb")
    with pytest.raises(InputError, match="no such file"):
        read_gltf(tmp_path / "b.glb")


def test_several_animations_are_said(tmp_path, caplog):
    content, data = document(kinds()["smpl"])
    content["animations"][0]["name"] = "walk"
    content["animations"].append({"name": "run", "channels": [], "samplers": []})
    (tmp_path / "a.glb").write_bytes(glb(content, data))
    assert len(read_gltf(tmp_path / "a.glb")) == 12
    assert [r.getMessage() for r in caplog.records] == ["a.glb: 2 animations (walk, run); the first is read"]
