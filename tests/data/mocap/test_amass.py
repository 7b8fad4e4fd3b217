from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from poseterior.data.mocap.amass import REST_OFFSETS, read_amass, read_rest_skeleton
from poseterior.data.mocap.bvh import rest_offsets
from poseterior.data.mocap.importing import import_mocap
from poseterior.data.mocap.joint_tables import TABLES, to_body
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS

SMPL = SKELETONS["smpl22"]


def _amass(path: Path, frames: int = 5, columns: int = 156, seed: int = 0, **changes) -> Path:
    """A file in AMASS' layout; ``changes`` replace arrays, None leaves one out."""
    generator = np.random.default_rng(seed)
    key = "mocap_framerate" if columns == 156 else "mocap_frame_rate"
    arrays = {
        "poses": generator.normal(0, 0.3, (frames, columns)), "trans": generator.normal(0, 1, (frames, 3)),
        key: np.array(120.0), "gender": np.array("female"), "betas": np.zeros(16), "dmpls": np.zeros((frames, 8)),
    }  # fmt: skip
    arrays |= changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize("columns", [156, 165])
def test_layouts(tmp_path, columns):
    """Root and body come from the first 66 columns; the world turns from z up to y up."""
    path = _amass(tmp_path / "a.npz", columns=columns)
    with np.load(path) as archive:
        poses, trans = archive["poses"], archive["trans"]
    motion = read_amass(path)
    assert motion.fps == 120.0
    assert motion.joints == SMPL.joints
    upright = Rotation.from_euler("x", -90, degrees=True)
    place, turned = {}, {}
    for joint in SMPL.topological_order:
        own = Rotation.from_rotvec(poses[3, 3 * joint : 3 * joint + 3])
        parent = SMPL.parents[joint]
        if parent < 0:
            place[joint], turned[joint] = upright.apply(trans[3] + REST_OFFSETS[joint]), upright * own
        else:
            place[joint] = place[parent] + turned[parent].apply(REST_OFFSETS[joint])
            turned[joint] = turned[parent] * own
        np.testing.assert_allclose(motion.positions[3, joint], place[joint], atol=1e-9)


def test_a_standing_person_stands(tmp_path):
    """AMASS' upright person has a root turned by 90 degrees about x and y up afterwards, facing -y -> +z."""
    poses = np.zeros((2, 156))
    poses[:, 0] = np.pi / 2
    path = _amass(tmp_path / "a.npz", frames=2, poses=poses, trans=np.tile([0, 0, 1.2], (2, 1)))
    positions, rotations, h36m17 = to_body(read_amass(path), TABLES["amass"])
    at = {joint: positions[0, i] for i, joint in enumerate(SMPL.joints)}
    assert at["head"][1] > at["pelvis"][1] > at["left_knee"][1] > at["left_ankle"][1]
    assert at["left_hip"][0] > at["right_hip"][0]
    assert at["left_foot"][2] > at["left_ankle"][2]
    np.testing.assert_allclose(rotations[0, 0], [0, 0, 0, 1], atol=1e-6)
    height = at["head"][1] + 0.17 - (at["left_foot"][1] - 0.02)
    assert 1.6 < height < 1.8
    missing = np.isnan(h36m17[0]).any(-1)
    assert [j for j, m in zip(SKELETONS["h36m17"].joints, missing, strict=True) if m] == ["head_top"]


def test_rotations_reproduce_the_positions_from_a_t_pose_with_straight_legs(tmp_path):
    path = _amass(tmp_path / "a.npz", frames=8)
    positions, rotations, _ = to_body(read_amass(path), TABLES["amass"])
    offsets, slack = rest_offsets(positions, rotations)
    assert slack.max() < 1e-5
    for joint in ("left_knee", "right_knee", "left_ankle", "right_ankle"):
        offset = offsets[SMPL.index(joint)]
        assert offset[1] / np.linalg.norm(offset) < -0.99
        assert abs(offset[0]) < 1e-6


def test_split_arrays_without_poses(tmp_path):
    whole = _amass(tmp_path / "a.npz", columns=165)
    with np.load(whole) as archive:
        poses = archive["poses"]
    path = _amass(tmp_path / "b.npz", columns=165, poses=None, root_orient=poses[:, :3], pose_body=poses[:, 3:66])
    np.testing.assert_allclose(read_amass(path).positions, read_amass(whole).positions)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"poses": np.zeros((5, 72))},
            "'poses' has shape (5, 72); expected (frames, columns) with columns 156 (SMPL-H)",
        ),
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "no array 'poses'|'poses' has shape (0, 156)"),
        ({"poses": None}, "no array 'poses'; not an AMASS motion"),
        ({"trans": None}, "no array 'trans'"),
        ({"trans": np.zeros((4, 3))}, "'trans' has shape (4, 3); expected (5, 3)"),
        ({"mocap_framerate": None}, "no 'mocap_framerate'"),
        ({"mocap_framerate": np.array(0.0)}, "expected one positive number"),
        ({"poses": np.array([[{}] * 156] * 5, dtype=object)}, "pickled objects, which are never read"),
        ({"poses": np.full((5, 156), "x")}, "'poses' and 'trans' must be numbers"),
    ],
)
def test_bad_files_are_named(tmp_path, changes, message):
    path = _amass(tmp_path / "a.npz", **changes)
    with pytest.raises(InputError) as error:
        read_amass(path)
    assert str(path) in str(error.value)
    assert any(part in str(error.value) for part in message.split("|"))


def test_nan_names_frame_and_joint(tmp_path):
    poses = np.zeros((5, 156))
    poses[3, 3 * SMPL.index("left_knee") + 1] = np.nan
    with pytest.raises(InputError, match="'poses' of frame 3, joint 'left_knee' is not finite"):
        read_amass(_amass(tmp_path / "a.npz", poses=poses))
    trans = np.zeros((5, 3))
    trans[2, 0] = np.inf
    with pytest.raises(InputError, match="'trans' of frame 2 is not finite"):
        read_amass(_amass(tmp_path / "b.npz", trans=trans))


def test_no_npz_truncated_or_lying_headers(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(InputError, match="not a readable npz file"):
        read_amass(path)
    with pytest.raises(InputError, match="not a readable npz file"):
        read_amass(tmp_path / "nowhere.npz")
    whole = _amass(tmp_path / "b.npz").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable npz file"):
        read_amass(path)
    lie = tmp_path / "c.npz"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000, 156), }"
    header += b" " * (117 - len(header)) + b"\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(lie, "w") as archive:
        archive.writestr("poses.npy", member)
    with pytest.raises(InputError, match="the header claims 11232000000000 bytes"):
        read_amass(lie)


def test_our_own_motions_keep_their_body(tmp_path):
    """A motion that we saved comes back whole: its rest body is in the file."""
    from poseterior.geometry.body import rest_offsets
    from poseterior.results.animation import Animation, save_animation

    offsets = rest_offsets(torch.float64).numpy()[:22] * 1.1
    rotations = Rotation.from_rotvec(np.random.default_rng(0).normal(0, 0.3, (6 * 22, 3))).as_quat().reshape(6, 22, 4)
    animation = Animation(rotations, offsets, np.random.default_rng(1).normal(0, 1, (6, 3)), 30.0)
    save_animation(animation, tmp_path / "own.npz")
    mocap = import_mocap(tmp_path / "own.npz", tmp_path / "store", "amass").store.load()
    np.testing.assert_allclose(mocap.positions, animation.positions(), atol=1e-5)
    np.testing.assert_allclose(np.abs((mocap.rotations * rotations).sum(-1)), 1, atol=1e-5)
    arrays = dict(np.load(tmp_path / "own.npz"))
    np.savez(tmp_path / "bad.npz", **arrays | {"offsets": np.zeros((3, 22))})
    with pytest.raises(InputError, match=r"bad\.npz: 'offsets' is float64 of shape \(3, 22\); expected \(22, 3\)"):
        import_mocap(tmp_path / "bad.npz", tmp_path / "t", "amass")


def test_another_rest_skeleton(tmp_path):
    """Bones of the given body; what is no rest skeleton is refused."""
    parents = np.array(SKELETONS["smpl22"].parents)
    own = 1.1 * REST_OFFSETS
    own[0] = 0.0
    places = np.zeros((30, 3))
    for joint in range(1, 22):
        places[joint] = places[parents[joint]] + own[joint]
    np.savez(tmp_path / "rest.npz", p3d0=places[None], parents=parents)
    rest = read_rest_skeleton(tmp_path / "rest.npz")
    np.testing.assert_allclose(rest, own, atol=1e-12)
    np.savez(tmp_path / "move.npz", poses=np.zeros((3, 156)), trans=np.zeros((3, 3)), mocap_framerate=30.0)
    motion = read_amass(tmp_path / "move.npz", rest)
    bones = np.linalg.norm(
        np.asarray(motion.positions)[0, 1:22] - np.asarray(motion.positions)[0, parents[1:]], axis=-1
    )
    np.testing.assert_allclose(bones, np.linalg.norm(own[1:], axis=-1), rtol=1e-6)
    np.savez(tmp_path / "other.npz", joints=places)
    with pytest.raises(InputError, match=r"other.npz: no array 'p3d0'"):
        read_rest_skeleton(tmp_path / "other.npz")
    np.savez(tmp_path / "mm.npz", p3d0=1000 * places)
    with pytest.raises(InputError, match=r"mm.npz: 'p3d0' holds bones that no body has; expected metres"):
        read_rest_skeleton(tmp_path / "mm.npz")
