from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from made_up_body import rest_joints
from poseterior.data.mocap.amass import REST_OFFSETS, read_amass
from poseterior.data.mocap.joint_tables import TABLES, to_body
from poseterior.data.mocap.smplx import pose_mesh, read_smpl_body, smpl_rotations
from poseterior.files.errors import InputError
from poseterior.geometry.body import SMPL25, body_points, rest_offsets
from poseterior.geometry.skeletons import SKELETONS

SMPL = SKELETONS["smpl22"]
#: Joints beyond the body and their parents: SMPL's two hands.
PARENTS = np.array([*SMPL.parents, 20, 21])


def _model(seed: int = 0, shapes: int = 10) -> dict[str, np.ndarray]:
    """A body model in SMPL's layout, 60 vertices: its regressor, shapes and pose corrections are random."""
    generator = np.random.default_rng(seed)
    regressor = generator.random((24, 60))
    regressor /= regressor.sum(1, keepdims=True)
    vertices = generator.normal(0, 0.3, (60, 3))
    vertices += np.linalg.pinv(regressor) @ (rest_joints() - regressor @ vertices)
    parents = np.where(PARENTS < 0, 2**32 - 1, PARENTS).astype(np.uint32)
    return {
        "v_template": vertices, "shapedirs": generator.normal(0, 0.003, (60, 3, shapes)), "J_regressor": regressor,
        "kintree_table": np.stack([parents, np.arange(24, dtype=np.uint32)]),
        "posedirs": generator.normal(0, 0.01, (60, 3, 207)),
        "weights": np.eye(24)[np.arange(60) % 24],  # each vertex follows one joint
        "f": generator.integers(0, 60, (30, 3)).astype(np.uint32),
    }  # fmt: skip


def _write(path: Path, **changes) -> Path:
    np.savez(path, **{name: value for name, value in (_model() | changes).items() if value is not None})
    return path


def _rotations(frames: int = 4, seed: int = 1) -> torch.Tensor:
    vectors = np.random.default_rng(seed).normal(0, 0.5, (frames * 22, 3))
    return torch.from_numpy(Rotation.from_rotvec(vectors).as_matrix()).reshape(frames, 22, 3, 3)


# -- the rest body ---------------------------------------------------------------------------------------


def test_offsets_put_the_joints_where_the_amass_importer_puts_them(tmp_path):
    """The same rest joints, the same motion: through the importer's kinematics, and ours from the file's body."""
    vectors = np.random.default_rng(2).normal(0, 0.4, (6, 156))
    np.savez(tmp_path / "motion.npz", poses=vectors, trans=np.zeros((6, 3)), mocap_framerate=30.0)
    positions, quaternions, _ = to_body(read_amass(tmp_path / "motion.npz"), TABLES["amass"])
    rotations = torch.from_numpy(Rotation.from_quat(quaternions.reshape(-1, 4)).as_matrix()).reshape(6, 22, 3, 3)
    points, _ = body_points(rotations, read_smpl_body(_write(tmp_path / "model.npz")).double())
    np.testing.assert_allclose(points[:, :22].numpy(), positions - positions[:, :1], atol=2e-6)


def test_the_rest_body_stands_in_the_t_pose(tmp_path):
    offsets = read_smpl_body(_write(tmp_path / "model.npz"))
    assert offsets.shape == (25, 3)
    assert offsets.dtype == torch.float32
    at = {joint: offsets[i] for i, joint in enumerate(SMPL25.joints)}
    assert at["pelvis"].tolist() == [0.0, 0.0, 0.0]
    assert abs(at["left_knee"][0]) < 1e-6  # thighs and shanks straight down, though SMPL spreads them
    torch.testing.assert_close(at["left_knee"], torch.tensor([0.0, -0.38, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(at["right_ankle"], torch.tensor([0.0, -0.40, -0.03]), atol=1e-6, rtol=0)
    assert at["left_hip"][0] > 0 > at["right_hip"][0]
    assert at["left_foot"][2] > 0.1


def test_points_that_smpl_has_not(tmp_path):
    offsets, ours = read_smpl_body(_write(tmp_path / "model.npz")), rest_offsets()
    hips = offsets[[SMPL.index("left_hip"), SMPL.index("right_hip")]].mean(0)
    torch.testing.assert_close(offsets[SMPL25.index("hip_centre")], hips)
    ratio = np.linalg.norm(REST_OFFSETS[SMPL.index("head")]) / float(ours[SMPL.index("head")].norm())
    for point in ("neck_nose", "head_top"):
        index = SMPL25.index(point)
        torch.testing.assert_close(offsets[index], ours[index] * ratio, atol=1e-6, rtol=0)


def test_betas_change_the_joints_as_the_model_says(tmp_path):
    path, model = _write(tmp_path / "model.npz"), _model()
    betas = np.array([1.5, -0.7, 0.3])
    joints = model["J_regressor"] @ (model["v_template"] + model["shapedirs"][..., :3] @ betas)
    offsets = read_smpl_body(path, betas.tolist()).numpy()
    for joint, parent in enumerate(SMPL.parents[1:], start=1):
        length = np.linalg.norm(joints[joint] - joints[parent])
        assert abs(np.linalg.norm(offsets[joint]) - length) < 1e-6
    np.testing.assert_allclose(offsets[SMPL.index("left_elbow")], joints[18] - joints[16], atol=1e-6)
    assert not np.allclose(offsets, read_smpl_body(path).numpy(), atol=1e-4)
    torch.testing.assert_close(read_smpl_body(path, torch.tensor(betas)), torch.from_numpy(offsets))


def test_smpl_rotations_undo_what_the_importer_does(tmp_path):
    vectors = np.random.default_rng(3).normal(0, 0.5, (5, 156))
    np.savez(tmp_path / "motion.npz", poses=vectors, trans=np.zeros((5, 3)), mocap_framerate=30.0)
    _, quaternions, _ = to_body(read_amass(tmp_path / "motion.npz"), TABLES["amass"])
    ours = torch.from_numpy(Rotation.from_quat(quaternions.reshape(-1, 4)).as_matrix()).reshape(5, 22, 3, 3)
    theirs = torch.from_numpy(Rotation.from_rotvec(vectors[:, :66].reshape(-1, 3)).as_matrix()).reshape(5, 22, 3, 3)
    theirs[:, 0] = torch.from_numpy(Rotation.from_euler("x", -90, degrees=True).as_matrix()) @ theirs[:, 0]
    torch.testing.assert_close(smpl_rotations(ours), theirs, atol=1e-6, rtol=0)


def test_plain_pickles_are_read(tmp_path):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(_model()))
    expected = read_smpl_body(_write(tmp_path / "model.npz"))
    torch.testing.assert_close(read_smpl_body(tmp_path / "model.pkl"), expected)


def test_smplx_expressions_are_no_shapes(tmp_path):
    """SMPL-X has 55 joints; the last of its ``shapedirs`` are expressions."""
    generator, model = np.random.default_rng(0), _model(shapes=20)
    parents = np.concatenate([model["kintree_table"][0], np.full(31, 15, np.uint32)])
    changes = {
        "kintree_table": np.stack([parents, np.arange(55, dtype=np.uint32)]),
        "J_regressor": np.concatenate([model["J_regressor"], generator.random((31, 60))]),
        "shapedirs": model["shapedirs"],
        "joint2num": np.array({"Pelvis": 0}, dtype=object),  # as in the published file; never loaded
    }
    path = _write(tmp_path / "SMPLX_NEUTRAL.npz", **changes)
    assert read_smpl_body(path, [0.0] * 10).shape == (25, 3)
    with pytest.raises(InputError, match="betas: expected at most 10 finite numbers"):
        read_smpl_body(path, [0.0] * 11)


# -- bad files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"v_template": None}, "no array 'v_template'; not an SMPL, SMPL-H or SMPL-X model file"),
        ({"J_regressor": np.zeros(5)}, "'J_regressor' is float64 of shape (5,); expected numbers, 2 axes"),
        ({"v_template": np.zeros((61, 3))}, "'v_template' has shape (61, 3); expected (60, 3) for 60 vertices and 24"),
        ({"shapedirs": np.full((60, 3, 10), np.nan)}, "'shapedirs' has values that are not finite"),
        ({"J_regressor": np.array([{}], dtype=object)}, "an array holds pickled objects; the official SMPL pickles"),
        ({"kintree_table": np.zeros((2, 24), int)}, "the first 22 joints of 'kintree_table' are not SMPL's body"),
        ({"v_template": -_model()["v_template"]}, "the rest pose does not have y up and the left at +x"),
    ],
)
def test_bad_files_are_named(tmp_path, changes, message):
    path = _write(tmp_path / "model.npz", **changes)
    with pytest.raises(InputError) as error:
        read_smpl_body(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_other_files_and_too_many_betas(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"not a zip")
    with pytest.raises(InputError, match="not a readable npz file"):
        read_smpl_body(tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"unknown extension '\.txt'"):
        read_smpl_body(tmp_path / "a.txt")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(InputError, match="holds a list; expected a dict of arrays"):
        read_smpl_body(tmp_path / "list.pkl")
    path = _write(tmp_path / "model.npz")
    with pytest.raises(InputError, match=r"betas: expected at most 10 finite numbers, got shape \(11,\)"):
        read_smpl_body(path, [0.0] * 11)


class _Running:
    def __reduce__(self):
        return (print, ("run!",))


def test_pickled_objects_are_refused_with_a_remedy_and_not_run(tmp_path, capsys):
    """The official SMPL files: chumpy and scipy.sparse."""
    scipy_sparse = pytest.importorskip("scipy.sparse")
    sparse = _model() | {"J_regressor": scipy_sparse.csc_matrix(_model()["J_regressor"])}
    for name, content, named in (("a", sparse, "scipy.sparse"), ("b", {"v_template": _Running()}, "print")):
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(InputError) as error:
            read_smpl_body(tmp_path / f"{name}.pkl")
        message = str(error.value)
        assert f"{name}.pkl: refused, it names " in message
        assert named in message
        assert "never loaded here; use the .npz that SMPL-H and SMPL-X are published as, or convert" in message
    assert capsys.readouterr().out == ""


def test_the_conversion_in_the_message_works(tmp_path):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    sparse = _model() | {"J_regressor": scipy_sparse.csc_matrix(_model()["J_regressor"])}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(sparse))
    with pytest.raises(InputError) as error:
        read_smpl_body(tmp_path / "a.pkl")
    code = str(error.value).split("installed: ")[1]
    names = {"pickle": pickle, "numpy": np, "FILE": tmp_path / "a.pkl", "OUT": tmp_path / "a.npz"}
    exec(code, names)
    torch.testing.assert_close(read_smpl_body(tmp_path / "a.npz"), read_smpl_body(_write(tmp_path / "b.npz")))


# -- the surface -----------------------------------------------------------------------------------------


def test_mesh_follows_the_joints(tmp_path):
    """Against linear blend skinning in scipy, one vertex and one joint at a time."""
    pytest.importorskip("smplx")
    path, model, ours = _write(tmp_path / "model.npz"), _model(), _rotations()
    root, betas = torch.tensor([[0.5, 1.0, -2.0]]).double().repeat(4, 1), [0.8, -1.2]
    vertices, faces = pose_mesh(path, ours, root, betas)
    assert vertices.shape == (4, 60, 3)
    assert faces.tolist() == model["f"].tolist()

    shaped = model["v_template"] + model["shapedirs"][..., :2] @ np.array(betas)
    joints = model["J_regressor"] @ shaped
    local = np.concatenate([smpl_rotations(ours)[2].numpy(), np.tile(np.eye(3), (2, 1, 1))])
    posed = shaped + model["posedirs"] @ (local[1:] - np.eye(3)).reshape(-1)
    place, turned = {}, {}
    for joint, parent in enumerate(PARENTS):
        turned[joint] = local[joint] if parent < 0 else turned[parent] @ local[joint]
        step = 0 if parent < 0 else turned[parent] @ (joints[joint] - joints[parent])
        place[joint] = root[2].numpy() if parent < 0 else place[parent] + step
    expected = [place[v % 24] + turned[v % 24] @ (posed[v] - joints[v % 24]) for v in range(60)]
    np.testing.assert_allclose(vertices[2].numpy(), expected, atol=1e-9)


def test_mesh_and_rest_body_agree(tmp_path):
    """Vertices that sit on their joint stay on the joints of our kinematics, in any batch shape."""
    pytest.importorskip("smplx")
    joints = np.concatenate([rest_joints(), np.zeros((36, 3))])
    changes = {"v_template": joints, "J_regressor": np.eye(24, 60), "posedirs": np.zeros((60, 3, 207))}
    path, ours = _write(tmp_path / "model.npz", **changes), _rotations(6).reshape(2, 3, 22, 3, 3)
    vertices, _ = pose_mesh(path, ours, torch.zeros(2, 3, 3).double())
    points, _ = body_points(ours, read_smpl_body(path).double())
    torch.testing.assert_close(vertices[..., :22, :], points[..., :22, :], atol=1e-6, rtol=0)
    single, _ = pose_mesh(path, ours[0, 0].float(), torch.zeros(3))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), vertices[0, 0], atol=1e-5, rtol=0)


def test_mesh_refuses_shapes_that_do_not_fit(tmp_path):
    pytest.importorskip("smplx")
    with pytest.raises(InputError, match=r"rotations \(4, 22, 3, 3\) and root \(3, 3\); expected"):
        pose_mesh(_write(tmp_path / "a.npz"), _rotations(), torch.zeros(3, 3))
    with pytest.raises(InputError, match="no array 'posedirs'"):
        pose_mesh(_write(tmp_path / "b.npz", posedirs=None), _rotations(), torch.zeros(4, 3))


def test_mesh_without_its_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "smplx.lbs", None)
    with pytest.raises(InputError, match=r"making meshes needs smplx: pip install 'poseterior\[smplx\]'"):
        pose_mesh(_write(tmp_path / "a.npz"), _rotations(), torch.zeros(4, 3))
