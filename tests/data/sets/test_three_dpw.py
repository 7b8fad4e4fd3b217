"""3DPW, from made-up files."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from three_dpw_files import (
    BODY,
    COCO18,
    FRAMES,
    INTRINSICS,
    LOST,
    SEQUENCE,
    SMPL,
    content,
    detections,
    in_camera,
    project,
    write_python2,
    write_split,
)

from poseterior.cli import main
from poseterior.data.observations import load_observations
from poseterior.data.sets.three_dpw import read_3dpw
from poseterior.files.errors import InputError
from poseterior.files.pickles import read_pickle
from poseterior.keypoints import PoseId
from poseterior.keypoints.reading import read_keypoints

LIMBS = [j for j in BODY.joints if j.startswith(("left_", "right_"))]
HEAD_TOP = BODY.index("head_top")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_split(tmp_path_factory.mktemp("3dpw"))


def expected(person: int) -> np.ndarray:
    """``(frames, 17, 3)`` camera axes, metres; the top of the head is NaN."""
    smpl = dict(zip(SMPL, in_camera(person).swapaxes(0, 1), strict=True))
    joints = {**smpl, "pelvis": (smpl["left_hip"] + smpl["right_hip"]) / 2, "spine": smpl["spine2"],
              "thorax": smpl["neck"], "neck_nose": smpl["head"], "head_top": np.full((FRAMES, 3), np.nan)}  # fmt: skip
    return np.stack([joints[joint] for joint in BODY.joints], 1)


# -- files of Python 2 ---------------------------------------------------------------------------------------


def test_files_of_python_2_are_read(tmp_path):
    path = write_python2(tmp_path / "a.pkl", content())
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in path.read_bytes()
    with pytest.raises(UnicodeDecodeError):
        pickle.loads(path.read_bytes())  # Python 3 by itself takes the bytes for text
    found, wanted = read_pickle(path), content()
    assert found["sequence"] == SEQUENCE
    assert found["genders"] == ["m", "f"]
    np.testing.assert_array_equal(found["cam_poses"], wanted["cam_poses"])
    np.testing.assert_array_equal(found["poses2d"], wanted["poses2d"])


class Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_commands_are_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    path = write_python2(tmp_path / "test" / "a.pkl", {**content(), "genders": Runs(f"touch {trace}")})
    with pytest.raises(InputError) as error:
        read_3dpw(tmp_path, "test")
    assert str(error.value).startswith(f"{path}: refused, it names {os.system.__module__}.system; only numpy arrays")
    assert not trace.exists()


# -- observations --------------------------------------------------------------------------------------------


def test_projections(folder):
    found = read_3dpw(folder, "test", "none")
    o = found.observations
    assert found.protocol == "3dpw-test-projected v1"
    frames = [*range(FRAMES), *(f for f in range(FRAMES) if f != LOST)]
    people = [0] * FRAMES + [1] * (FRAMES - 1)
    assert list(o.keypoints.ids) == [PoseId(f"{SEQUENCE}/{p}", f, p) for p, f in zip(people, frames, strict=True)]
    assert set(found.action) == {"courtyard_test"}
    assert (found.subject[0], found.subject[-1]) == (f"{SEQUENCE}/0", f"{SEQUENCE}/1")
    seen = np.stack([expected(p)[f] for p, f in zip(people, frames, strict=True)])
    known = [j for j in range(17) if j != HEAD_TOP]
    np.testing.assert_allclose(o.root, seen[:, 0], atol=1e-5)
    np.testing.assert_allclose(o.pose[:, known], (seen - seen[:, :1])[:, known], atol=1e-5)
    assert (o.pose[:, BODY.index("neck_nose"), 1] < -0.3).all()  # y is down
    np.testing.assert_allclose(o.keypoints.xy[:, known], project(seen)[:, known], atol=1e-3)
    for there in (o.observed, o.keypoints.visible):
        assert (~there).nonzero()[:, 1].unique().tolist() == [HEAD_TOP]
    assert o.keypoints.intrinsics[0].tolist() == pytest.approx([*INTRINSICS[[0, 1], [0, 1]], 540, 960])
    assert o.keypoints.image_size[0].tolist() == [1080, 1920]
    torch.testing.assert_close(o.keypoints.covariance[0, 0], 0.25 * torch.eye(2))


def test_detections_are_read_as_openpose_writes_them(folder, tmp_path):
    found = read_3dpw(folder, "test")
    k = found.observations.keypoints
    assert found.protocol == "3dpw-test v1"
    # of the first person, nothing was detected in frame 0; the second was lost by the camera in another
    assert [(i.frame, i.person) for i in k.ids][:2] == [(1, 0), (2, 0)]
    assert len(k) == FRAMES - 1 + FRAMES - 1

    flat = detections(1)[2].T.reshape(-1).tolist()
    (tmp_path / "a.json").write_text(f'{{"people": [{{"pose_keypoints_2d": {flat}}}]}}')
    same = read_keypoints(tmp_path / "a.json").as_skeleton("h36m17")
    row = [tuple(i)[1:] for i in k.ids].index((2, 1))
    torch.testing.assert_close(k.xy[row], same.xy[0])
    torch.testing.assert_close(k.covariance[row], same.covariance[0])
    assert k.visible[row].tolist() == same.visible[0].tolist()
    assert not k.visible[row, HEAD_TOP]


def test_what_was_not_found_or_is_outside_is_missing(folder):
    k = read_3dpw(folder, "test").observations.keypoints
    missing = [BODY.joints[j] for j in (~k.visible[0]).nonzero()[:, 0]]
    assert missing == ["head_top", "left_wrist"]  # the jaw is made of the face
    assert COCO18.index("left_wrist") == 7


def test_every_nth_frame(folder):
    found = read_3dpw(folder, "test", "none", every=3)
    assert [(i.frame, i.person) for i in found.observations.keypoints.ids] == [(0, 0), (3, 0), (0, 1)]
    assert found.protocol == "3dpw-test-projected-every3 v1"


def test_who_is_behind_the_camera_is_left_out(tmp_path):
    values = content()
    values["jointPositions"][0][2] *= [1, 1, -1] * 24
    values["jointPositions"][0][2] += np.tile([0, 0, 30.0], 24)
    write_python2(tmp_path / "test" / "a.pkl", values)
    ids = read_3dpw(tmp_path, "test", "none").observations.keypoints.ids
    assert [i.frame for i in ids if i.person == 0] == [0, 1, 3, 4, 5]


def test_frames_without_a_camera_may_hold_anything(tmp_path):
    values = content()
    values["jointPositions"][1][LOST] = np.nan
    values["cam_poses"][LOST] = np.nan
    values["campose_valid"][0][LOST] = 0
    write_python2(tmp_path / "test" / "a.pkl", values)
    o = read_3dpw(tmp_path, "test", "none").observations
    assert len(o.pose) == 2 * (FRAMES - 1)
    assert o.pose.isfinite().all()


# -- bad input -----------------------------------------------------------------------------------------------


def _put(field, change):
    return lambda values: values.update({field: change(values[field])})


def _at(index, value):
    def change(found):
        found[index] = value
        return found

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v: v.pop("cam_poses"), "'cam_poses' is missing; the file holds: sequence, jointPositions, poses2d"),
        (_put("cam_poses", lambda a: a[:, :3]), "'cam_poses' has shape (6, 3, 4); expected (frames, 4, 4)"),
        (_put("cam_intrinsics", lambda a: "text"), "'cam_intrinsics' is str; expected numbers (3, 3)"),
        (_put("cam_intrinsics", lambda a: 0 * a), "'cam_intrinsics' is [[0.0, 0.0, 0.0], "),
        (_put("jointPositions", lambda a: None), "'jointPositions' is NoneType; expected a list, one array per person"),
        (_put("jointPositions", lambda a: [x[:, :66] for x in a]),
         "'jointPositions': person 0 has shape (6, 66); expected (6, 72)"),
        (_put("poses2d", lambda a: [a[0], a[1].swapaxes(1, 2)]),
         "'poses2d': person 1 has shape (6, 18, 3); expected (6, 3, 18)"),
        (_put("poses2d", lambda a: a[:1]),
         "{'jointPositions': 2, 'campose_valid': 2, 'poses2d': 1} people; expected as many in each"),
        (_put("campose_valid", lambda a: [x[:4] for x in a]),
         "'campose_valid': person 0 has shape (4,); expected (6,)"),
        (lambda v: _at((1, 4), np.nan)(v["jointPositions"][0]),
         "person 0: 'jointPositions': frame 1, joint 'left_hip' is not finite, though its camera is valid; get the"),
        (_put("cam_poses", _at((2, 0, 3), np.inf)),
         "person 0: 'cam_poses': frame 2 is not finite, though it is said to be valid"),
    ],
)  # fmt: skip
def test_bad_files_are_named(tmp_path, spoil, message):
    values = content()
    spoil(values)
    path = write_python2(tmp_path / "sequenceFiles" / "test" / "a.pkl", values)
    with pytest.raises(InputError) as error:
        read_3dpw(tmp_path, "test")
    assert str(error.value).startswith(f"{path}: {message}")


def test_no_frames_and_no_files(tmp_path):
    values = content()
    values["campose_valid"] = [0 * v for v in values["campose_valid"]]
    write_python2(tmp_path / "test" / "a.pkl", values)
    with pytest.raises(InputError) as error:
        read_3dpw(tmp_path, "test")
    assert str(error.value) == f"{tmp_path}: no frame of the split 'test' has a valid camera and a visible keypoint"
    with pytest.raises(InputError) as error:
        read_3dpw(tmp_path, "train")
    assert str(error.value) == (
        f"{tmp_path}/sequenceFiles/train: no .pkl file there; give the folder of 3DPW that holds sequenceFiles, and "
        "therein train, validation and test"
    )
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "a.pkl").write_bytes(pickle.dumps([1], 2))
    with pytest.raises(InputError, match="holds a list; expected a dictionary, as 3DPW's files are"):
        read_3dpw(tmp_path, "validation")


def test_bad_options_are_named(folder):
    with pytest.raises(InputError, match="unknown split 'val'; known: train, validation, test"):
        read_3dpw(folder, "val")
    with pytest.raises(InputError, match="unknown detections 'gt'; known: openpose, none"):
        read_3dpw(folder, "test", "gt")
    with pytest.raises(InputError, match="every: expected at least 1, got 0"):
        read_3dpw(folder, "test", every=0)


# -- the whole path ------------------------------------------------------------------------------------------


def test_import_and_evaluate(capsys, folder, tmp_path):
    out = tmp_path / "test.parquet"
    command = ["data", "import", "3dpw", str(folder), "--split", "test", "--out", str(out)]
    assert main(command) == 0
    assert capsys.readouterr().out == f"wrote {out}: 10 poses, protocol 3dpw-test v1\n"
    again = load_observations(out).observations
    wanted = read_3dpw(folder, "test").observations
    assert torch.equal(again.pose, wanted.pose)
    assert torch.equal(again.observed, wanted.observed)
    # the file keeps no person; its clips are the people's own
    assert {i.file for i in again.keypoints.ids} == {f"{SEQUENCE}/0", f"{SEQUENCE}/1"}
    assert main(["evaluate", "mdn", "--data", str(out), "--samples", "5", "--mode-poses", "2"]) == 0
