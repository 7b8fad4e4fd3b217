from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mocap_files import ASF_BONES, amc, asf
from scipy.spatial.transform import Rotation

from conftest import SHARED
from poseterior.data.mocap.asfamc import find_asf, read_amc, read_asf
from poseterior.data.mocap.bvh import rest_offsets
from poseterior.data.mocap.joint_tables import TABLES, to_body
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS

SMPL = SKELETONS["smpl22"]
UNIT = 0.0254 / 0.45


def _files(folder: Path, skeleton: str, motion: str) -> tuple[Path, Path]:
    (folder / "07.asf").write_text(skeleton)
    (folder / "07_01.amc").write_text(motion)
    return folder / "07.asf", folder / "07_01.amc"


def _random_frames(frames: int, seed: int = 0) -> list[dict[str, list[float]]]:
    generator = np.random.default_rng(seed)
    result = []
    for _ in range(frames):
        frame = {
            name: generator.normal(0, 30, len(dof.split())).tolist()
            for name, (_, _, _, dof) in ASF_BONES.items()
            if dof
        }
        frame["root"] = [*generator.normal(0, 10, 3).tolist(), *generator.normal(0, 40, 3).tolist()]
        result.append(frame)
    return result


def _loop_kinematics(skeleton, frame: dict[str, list[float]]):
    """One frame, bone by bone, with rotation matrices from scipy: independent of the reader's."""
    end, turned = {}, {}
    order = "xyz"  # lower case: about fixed axes, x first
    for bone in skeleton.bones:
        if bone.name == "root":
            end["root"] = np.array(frame["root"][:3]) * UNIT
            turned["root"] = Rotation.from_euler("xyz", frame["root"][3:], degrees=True).as_matrix()
            continue
        direction, length, axis, dof = ASF_BONES[bone.name]
        angles = dict(zip(dof.split(), frame.get(bone.name, []), strict=True))
        values = [angles.get("r" + a, 0.0) for a in order]
        own = Rotation.from_euler("xyz", axis, degrees=True).as_matrix()
        local = own @ Rotation.from_euler("xyz", values, degrees=True).as_matrix() @ own.T
        parent = skeleton.bones[bone.parent].name
        turned[bone.name] = turned[parent] @ local
        unit = np.array(direction) / np.linalg.norm(direction)
        end[bone.name] = end[parent] + turned[bone.name] @ unit * length * UNIT
    return end, turned


def test_forward_kinematics_agrees_with_a_matrix_loop(tmp_path):
    frames = _random_frames(4)
    skeleton, motion = _files(tmp_path, asf(), amc(frames))
    parsed = read_asf(skeleton)
    result = read_amc(motion, parsed)
    assert result.fps == 120.0
    assert parsed.unit == pytest.approx(UNIT)
    for number, frame in enumerate(frames):
        end, turned = _loop_kinematics(parsed, frame)
        for j, joint in enumerate(result.joints):
            np.testing.assert_allclose(result.positions[number, j], end[joint], atol=1e-9)
            found = Rotation.from_quat(result.orientations[number, j]).as_matrix()
            np.testing.assert_allclose(found, turned[joint], atol=1e-9)


def test_radians_and_the_order_of_dof(tmp_path):
    """The AMC columns follow the bone's dof line; radians when the skeleton says so."""
    frames = _random_frames(2)
    _, degrees = _files(tmp_path, asf(), amc(frames))
    expected = read_amc(degrees, tmp_path / "07.asf")
    bones = dict(ASF_BONES)
    direction, length, axis, _ = bones["lfemur"]
    bones["lfemur"] = (direction, length, axis, "rz rx ry")
    turned = []
    for frame in frames:
        own = {k: np.deg2rad(v).tolist() for k, v in frame.items() if k != "root"}
        own["root"] = [*frame["root"][:3], *np.deg2rad(frame["root"][3:]).tolist()]
        x, y, z = own["lfemur"]
        turned.append(own | {"lfemur": [z, x, y]})
    (tmp_path / "r").mkdir()
    _, path = _files(tmp_path / "r", asf(radians=True, bones=bones), amc(turned, bones=bones))
    found = read_amc(path, tmp_path / "r/07.asf")
    np.testing.assert_allclose(found.positions, expected.positions, atol=1e-9)


def test_length_channels_stretch_the_bone(tmp_path):
    bones = dict(ASF_BONES)
    direction, length, axis, dof = bones["ltibia"]
    bones["ltibia"] = (direction, length, axis, dof + " l")
    _, path = _files(tmp_path, asf(bones=bones), amc([{"ltibia": [30.0, 0.5]}], bones=bones))
    motion = read_amc(path, tmp_path / "07.asf")
    knee, ankle = (motion.positions[0, motion.joints.index(b)] for b in ("lfemur", "ltibia"))
    assert np.linalg.norm(ankle - knee) == pytest.approx(8.0 * UNIT)


def test_body_from_asf(tmp_path):
    _, path = _files(tmp_path, asf(), amc(_random_frames(6)))
    positions, rotations, h36m17 = to_body(read_amc(path, tmp_path / "07.asf"), TABLES["cmu-asfamc"])
    offsets, slack = rest_offsets(positions, rotations)
    assert slack.max() < 1e-5, "forward kinematics of the rotations gives the positions"
    np.testing.assert_allclose(offsets[SMPL.index("left_knee")], [0, -7.2 * UNIT, 0], atol=1e-5)
    np.testing.assert_allclose(offsets[SMPL.index("right_ankle")], [0, -7.5 * UNIT, 0], atol=1e-5)
    np.testing.assert_allclose(offsets[SMPL.index("left_elbow")], [5 * UNIT, 0, 0], atol=1e-5)
    assert not np.isnan(h36m17).any()


def test_the_femur_ends_at_the_knee(tmp_path):
    _, path = _files(tmp_path, asf(), amc([{}]))
    motion = read_amc(path, tmp_path / "07.asf")
    positions, rotations, h36m17 = to_body(motion, TABLES["cmu-asfamc"])
    knee = h36m17[0, SKELETONS["h36m17"].index("right_knee")]
    np.testing.assert_allclose(knee, motion.positions[0, motion.joints.index("rfemur")], atol=1e-6)
    np.testing.assert_allclose(positions[0, SMPL.index("right_knee")], knee)
    angle = 2 * np.rad2deg(np.arccos(np.clip(np.abs(rotations[0, :, 3]), 0, 1)))
    hips = [SMPL.index("left_hip"), SMPL.index("right_hip")]
    np.testing.assert_allclose(angle[hips], 20, atol=1e-3)
    np.testing.assert_allclose(np.delete(angle, hips), 0, atol=0.05)


@pytest.mark.parametrize(
    ("skeleton", "message"),
    [
        (lambda t: t.split(":hierarchy")[0], "no ':hierarchy' section"),
        (lambda t: t.replace("length 7.5\n", "", 1), "bone 'ltibia' has no 'length'"),
        (lambda t: t.replace("length 7.5\n", "length long\n", 1), "bone 'ltibia', length: expected 1 finite number"),
        (lambda t: t.replace("length 0.45", "length 0"), "units length 0.0; expected a positive number"),
        (lambda t: t.replace("lfemur ltibia", "lfemur nobone"), "each bone must be defined in ':bonedata'"),
        (lambda t: t.replace("dof rx rz", "dof rx qq", 1), "bone 'lfoot': unknown degree of freedom 'qq'"),
        (lambda t: t.replace("axis XYZ", "axis XXZ", 1), "rotation order 'XXZ'; expected a permutation of XYZ"),
    ],
)
def test_bad_skeletons_are_named(tmp_path, skeleton, message):
    path, _ = _files(tmp_path, skeleton(asf()), "")
    with pytest.raises(InputError) as error:
        read_asf(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("motion", "message"),
    [
        (lambda t: "", "no frames; not an AMC motion"),
        (lambda t: t.replace("lfemur 0.0 0.0 0.0", "lfemur 0.0 0.0"), "bone 'lfemur' has 2 value(s) in frame 1"),
        (lambda t: t.replace("lfemur", "tail"), "bone 'tail' has no degrees of freedom in skeleton '07'"),
        (lambda t: t.replace("ltibia 0.0", "ltibia nan", 1), "bone 'ltibia': value is not finite in frame 0"),
        (lambda t: t.replace("ltibia 0.0", "ltibia x", 1), "bone 'ltibia' has a value that is no number"),
        (lambda t: t.rsplit("rradius", 1)[0], "frame 2: no values for bone 'rradius'; the file may be truncated"),
        (lambda t: t.replace("ltibia 0.0\n", "ltibia 0.0\nltibia 0.0\n", 1), "once per frame"),
    ],
)
def test_bad_motions_are_named(tmp_path, motion, message):
    _, path = _files(tmp_path, asf(), motion(amc([{}, {}])))
    with pytest.raises(InputError) as error:
        read_amc(path, tmp_path / "07.asf")
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_find_asf(tmp_path):
    for name in ("01.asf", "02.asf"):
        (tmp_path / name).write_text("")
    assert find_asf(tmp_path / "02_11.amc").name == "02.asf"
    with pytest.raises(InputError, match="2 ASF skeletons in its folder, 0 of a fitting name"):
        find_asf(tmp_path / "03_11.amc")
    (tmp_path / "01.asf").unlink()
    assert find_asf(tmp_path / "03_11.amc").name == "02.asf"


@pytest.mark.parametrize("subject", ["01", "03"])
def test_published_files(subject):
    folder = SHARED / "data/mocap/cmu/asfamc" / subject
    if not folder.exists():
        pytest.skip("the shared mocap is not here")
    path = min(folder.glob("*.amc"), key=lambda p: p.stat().st_size)
    motion = read_amc(path, find_asf(path))
    lengths = np.linalg.norm(motion.positions[:, 1:] - motion.positions[:, list(motion.parents[1:])], axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-6, "bones keep their length"
    positions, rotations, h36m17 = to_body(motion, TABLES["cmu-asfamc"])
    assert rest_offsets(positions, rotations)[1].max() < 1e-3
    pelvis = Rotation.from_quat(rotations[:, 0])
    hips = pelvis.inv().apply(positions[:, SMPL.index("left_hip")] - positions[:, SMPL.index("right_hip")])
    np.testing.assert_allclose(hips, np.tile([hips[0, 0], 0, 0], (len(hips), 1)), atol=0.01)
    assert hips[0, 0] > 0.1, "the left hip lies at +x of the right one"
    for side in ("left", "right"):
        flexion = Rotation.from_quat(rotations[:, SMPL.index(f"{side}_knee")]).as_rotvec()[:, 0]
        assert flexion.min() > -0.05
    trunk = h36m17[:, 8] - h36m17[:, 0]
    assert np.median(trunk[:, 1] / np.linalg.norm(trunk, axis=-1)) > 0.8, "the person stands upright"
    ankles = np.sort(positions[:, [SMPL.index("left_ankle"), SMPL.index("right_ankle")], 1].min(1))
    assert -0.05 < ankles[len(ankles) // 20] < 0.35
