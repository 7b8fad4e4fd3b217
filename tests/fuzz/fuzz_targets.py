"""What is fuzzed: every reader and the commands, each with a small valid file of the tests' own making.

A target makes its files once in a folder; one of them is then replaced by a mutation of itself, and all are read.
"""

from __future__ import annotations

import contextlib
import io
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image

from conftest import SHARED, STANDING, made_up_mocap
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS, get_skeleton

__all__ = ["TARGETS", "Target", "all_targets"]

BODY = SKELETONS["h36m17"]
#: A person of about 300 px, seen from the front, in an image of 640 x 480.
PERSON = [[320 + 300 * STANDING[j][0], 240 + 300 * STANDING[j][1]] for j in BODY.joints]


@dataclass(frozen=True)
class Target:
    """Something that reads files.

    Attributes:
        make: writes valid files into an empty folder, and gives the path that ``read`` is called with.
        read: reads them; whatever numbers it gives are looked at.
        files: pattern of the files that are mutated -> kind of mutation.
        weight: how often it is chosen; slow ones less.
        may_be_nan: names of fields in which NaN says that something is not known.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path, Random], Any]
    files: dict[str, str]
    weight: float = 1.0
    may_be_nan: tuple[str, ...] = field(
        default=(
            "image_size",
            "intrinsics",
            "height",
            "amplitude",
            "h36m17",
            "points",
            "time",
            "keypoints",
            "keypoint_covariance",
            "root",
            "root_covariance",
            "log_prob",
            "pose",
            "MPJPE",
            "rank",
        )
    )


TARGETS: dict[str, Target] = {}


def target(name: str, files: dict[str, str], read: Callable[..., Any], weight: float = 1.0) -> Callable[[Any], Any]:
    """Registers the function that makes the files."""

    def register(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
        TARGETS[name] = Target(make, read, files, weight)
        return make

    return register


def _save(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def _points(joints: int) -> list[list[float]]:
    return [[100.0 + 4 * i, 50.0 + 8 * i] for i in range(joints)]


def _flat(joints: int, score: float = 0.75) -> list[float]:
    return [value for x, y in _points(joints) for value in (x, y, score)]


# -- keypoints -------------------------------------------------------------------------------------------


def _keypoints(path: Path, random: Random) -> Any:
    from poseterior.keypoints.reading import read_keypoints

    arrays = path.suffix in (".npy", ".npz")
    skeleton = "h36m17" if arrays else random.choice((None, None, None, "coco17"))
    return read_keypoints(path, skeleton=skeleton, image_size=random.choice((None, (640, 480))))


def _landmarks() -> list[dict[str, float]]:
    return [{"x": 0.3 + 0.01 * i, "y": 0.2 + 0.02 * i, "z": 0.1, "visibility": 0.8} for i in range(33)]


def _coco() -> dict[str, Any]:
    joints = list(SKELETONS["coco17"].joints)
    return {
        "images": [{"id": 7, "file_name": "b.jpg", "width": 640, "height": 480}, {"id": 3, "file_name": "a.jpg"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "keypoints": _flat(17, 2), "num_keypoints": 17, "track_id": 4},
            {"image_id": 3, "category_id": 1, "keypoints": _flat(17, 1), "num_keypoints": 17, "iscrowd": 0},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": joints}],
    }


_DOCUMENTS: dict[str, Callable[[], Any]] = {
    "plain": lambda: [
        {
            "joints": list(BODY.joints),
            "keypoints": PERSON,
            "image_size": [640, 480],
            "focal": 900,
            "height": 1.7,
            "frame": 3,
        },
        {
            "skeleton": "h36m17",
            "keypoints": [PERSON, PERSON],
            "covariance": [[2.0] * 17] * 2,
            "amplitude": [[0.5] * 17] * 2,
        },
    ],
    "plain-one": lambda: {
        "skeleton": "coco17",
        "keypoints": _points(17),
        "intrinsics": [900, 900, 320, 240],
        "image": "a.jpg",
    },
    "coco-results": lambda: [
        {"image_id": i, "category_id": 1, "keypoints": _flat(17), "score": 0.9, "track_id": 2} for i in (7, 7, 9)
    ],
    "alphapose": lambda: [
        {"image_id": f"{i}.jpg", "category_id": 1, "keypoints": _flat(26), "score": 2, "idx": i} for i in (0, 1)
    ],
    "coco-annotations": _coco,
    "openpose": lambda: {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": _flat(25)}] * 2},
    "mmpose": lambda: {
        "meta_info": {"keypoint_id2name": {str(i): j for i, j in enumerate(SKELETONS["coco17"].joints)}},
        "instance_info": [
            {"frame_id": i, "instances": [{"keypoints": _points(17), "keypoint_scores": [0.75] * 17}]} for i in (0, 1)
        ],
    },
    "mmpose-list": lambda: [[{"keypoints": _points(26), "keypoint_scores": [0.75] * 26}], []],
    "mediapipe": lambda: {"pose_landmarks": [_landmarks()], "width": 640, "height": 480},
    "mediapipe-frames": lambda: [
        None,
        {"frame": 1, "image_size": [640, 480], "pose_landmarks": {"landmark": _landmarks()}},
    ],
}

for _name, _document in _DOCUMENTS.items():
    target(f"keypoints {_name}", {"*.json": "json"}, _keypoints)(
        lambda folder, made=_document: _save(folder / "person.json", made())
    )


@target("keypoints npy", {"*.npy": "npy"}, _keypoints)
def _npy(folder: Path) -> Path:
    np.save(folder / "poses.npy", np.array([PERSON, PERSON]))
    return folder / "poses.npy"


@target("keypoints npz", {"*.npz": "npz"}, _keypoints, 2)
def _npz(folder: Path) -> Path:
    np.savez(
        folder / "poses.npz",
        keypoints=np.array([PERSON, PERSON]),
        confidence=np.full((2, 17), 0.9),
        visible=np.ones((2, 17), bool),
        covariance=np.tile(np.eye(2), (2, 17, 1, 1)),
        image_size=np.array([640, 480]),
        intrinsics=np.array([900.0, 900, 320, 240]),
        height=np.array(1.7),
        amplitude=np.full((2, 17), 0.5),
        schema=np.array("mine"),
    )
    return folder / "poses.npz"


def _tasks(folder: Path, random: Random) -> Any:
    from poseterior.keypoints.folders import find_tasks

    tasks, left_out = find_tasks(folder)
    return [(task.name, task.keypoints) for task in tasks], [(left.file, left.reason) for left in left_out]


@target("folder of photographs", {"*.json": "json", "*.png": "image", "*.npz": "npz"}, _tasks)
def _folder(folder: Path) -> Path:
    Image.new("RGB", (64, 48)).save(folder / "one.png")
    Image.new("RGB", (64, 48)).save(folder / "two.png")
    _save(folder / "one.json", {"skeleton": "h36m17", "keypoints": PERSON})
    _save(
        folder / "all.json",
        [{"image_id": f"{n}.png", "category_id": 1, "keypoints": _flat(17), "score": 1} for n in ("two", "six")],
    )
    np.savez(folder / "clip.npz", keypoints=np.array([PERSON] * 3), visible=np.ones((3, 17), bool))
    _save(folder / "plain.json", _DOCUMENTS["plain"]())
    return folder


@target("folder of openpose frames", {"*.json": "json"}, _keypoints, 0.5)
def _openpose(folder: Path) -> Path:
    for i in range(3):
        _save(folder / f"v_{i:03d}_keypoints.json", _DOCUMENTS["openpose"]())
    return folder


def _heatmaps(path: Path, random: Random) -> Any:
    from poseterior.keypoints.heatmap_files import read_heatmaps
    from poseterior.keypoints.heatmaps import HeatmapGaussians, fit_gaussians

    file = read_heatmaps(path)
    return file.keypoints(HeatmapGaussians.cat([fit_gaussians(block) for block in file.blocks()]))


@target("heatmaps", {"*.npz": "npz"}, _heatmaps, 1)
def _heat(folder: Path) -> Path:
    x, y = np.meshgrid(np.arange(16), np.arange(12))
    maps = np.exp(-((x - 7.0) ** 2 + (y - 5.0) ** 2) / 8)[None, None].repeat(17, 1).repeat(2, 0)
    np.savez(
        folder / "maps.npz",
        heatmaps=maps.astype(np.float32),
        joint_names=np.array(BODY.joints),
        boxes=np.array([[0, 0, 64, 48.0]] * 2),
        image_size=np.array([640, 480]),
    )
    return folder / "maps.npz"


@target("heatmaps scaled", {"*.npz": "npz"}, _heatmaps, 0.5)
def _heat_scaled(folder: Path) -> Path:
    x, y = np.meshgrid(np.arange(16), np.arange(12))
    maps = np.exp(-((x - 7.0) ** 2 + (y - 5.0) ** 2) / 8)[None, None].repeat(17, 1)
    np.savez(
        folder / "maps.npz",
        heatmaps=maps,
        joint_names=np.array(BODY.joints),
        scale=np.array([4.0, 4.0]),
        offset=np.array([[10.0, 5.0]]),
        image_size=np.array([[640, 480]]),
    )
    return folder / "maps.npz"


# -- 3D points, results ------------------------------------------------------------------------------------


def _points3d(path: Path, random: Random) -> Any:
    from poseterior.keypoints.points3d import read_points

    skeleton = "h36m17" if path.suffix == ".npy" else None
    found = read_points(path, skeleton, random.choice(("y-up", "z-up")), random.choice(("m", "m", "mm")))
    return None if found is None else {"points": found.points, "sigma": found.sigma}


def _standing3d(frames: int = 2) -> np.ndarray:
    pose = np.array([STANDING[joint] for joint in BODY.joints]) * [1, -1, -1]
    return np.tile(pose, (frames, 1, 1))


@target("3D points npz", {"*.npz": "npz"}, _points3d)
def _points_npz(folder: Path) -> Path:
    np.savez(folder / "p.npz", points=_standing3d(), joint_names=np.array(BODY.joints), sigma=np.full(17, 0.01))
    return folder / "p.npz"


@target("3D points npy", {"*.npy": "npy"}, _points3d, 0.5)
def _points_npy(folder: Path) -> Path:
    np.save(folder / "p.npy", _standing3d())
    return folder / "p.npy"


@target("3D points json", {"*.json": "json"}, _points3d)
def _points_json(folder: Path) -> Path:
    return _save(folder / "p.json", {"joints": list(BODY.joints), "points": _standing3d().tolist(), "sigma": 0.01})


@cache
def _result_fields() -> Any:
    from poseterior.results.poses import LiftResult

    random = np.random.default_rng(0)
    samples = _standing3d(2)[:, None] + random.normal(0, 0.05, (2, 4, 17, 3))
    samples -= samples[:, :, :1]
    return LiftResult(
        samples=samples,
        mean=samples.mean(1),
        covariance=np.tile(0.01 * np.eye(3), (2, 17, 1, 1)),
        log_prob=np.zeros((2, 4)),
        keypoints=np.array([PERSON, PERSON]),
        keypoint_covariance=np.tile(np.eye(2), (2, 17, 1, 1)),
        visible=np.ones((2, 17), bool),
        image_size=np.array([[640, 480]] * 2),
        joint_names=BODY.joints,
        file=np.array(["a", "b"]),
        frame=np.array([0, 1]),
        person=np.array([0, 0]),
        lifter="mdn",
        seed=3,
        settings={"camera": "guessed"},
        intrinsics=np.array([[900.0, 900, 320, 240]] * 2),
    )


def _result(path: Path, random: Random) -> Any:
    from poseterior.results.poses import load_result

    return load_result(path)


def _write_result(folder: Path, suffix: str) -> Path:
    _result_fields().save(folder / f"result{suffix}", samples=True)
    return folder / f"result{suffix}"


for _suffix, _kind in ((".npz", "npz"), (".parquet", "parquet"), (".json", "json")):
    target(f"result {_kind}", {f"*{_suffix}": _kind}, _result, 1.5)(lambda folder, s=_suffix: _write_result(folder, s))
target("result as keypoints", {"*.parquet": "parquet"}, _keypoints, 0.3)(
    lambda folder: _write_result(folder, ".parquet")
)
target("result as 3D points", {"*.npz": "npz"}, _points3d, 0.3)(lambda folder: _write_result(folder, ".npz"))


# -- Parquet: stores, observations, labels -----------------------------------------------------------------


def _store(folder: Path, random: Random) -> Any:
    from poseterior.data.mocap.inspection import inspect_store
    from poseterior.data.store import PoseStore

    store = PoseStore(folder)
    found = [len(store), store.metadata, store.clips.to_pylist(), store.load(random.choice((None, None, 10.0, 29.97)))]
    if random.random() < 0.3:
        inspect_store(store)
    return found


@target("pose store", {"*.parquet": "parquet"}, _store, 2)
def _make_store(folder: Path) -> Path:
    from poseterior.data.store import PoseStore

    mocap = made_up_mocap(12, 3)
    with PoseStore.create(folder / "store") as writer:
        for c, name in enumerate(mocap.clip_names):
            rows = mocap.clip == c
            writer.add(
                name,
                mocap.positions[rows] + 0.1,
                mocap.rotations[rows],
                mocap.h36m17[rows],
                fps=30.0,
                subject="s",
                action="walk",
                source="x",
                licence="CC0",
            )
    return folder / "store"


TARGETS["pose store"] = Target(_make_store, _store, {"store/*.parquet": "parquet"}, 3)


def _observations(path: Path, random: Random) -> Any:
    from poseterior.data.observations import load_observations

    return load_observations(path)


def _made_observations(n: int = 3) -> Any:
    from poseterior.data.observations import Observations, ObservationSet
    from poseterior.keypoints import Keypoints2D, PoseId

    pose = torch.from_numpy(_standing3d(n)).float()
    keypoints = Keypoints2D(np.array([PERSON] * n), image_size=(640, 480), ids=[PoseId("clip", i, 0) for i in range(n)])
    o = Observations(
        keypoints, pose, torch.ones(n, 17, dtype=torch.bool), torch.tensor([[0.0, 0, 4]] * n), torch.arange(n)
    )
    return ObservationSet(o, ("walk",) * n, ("s",) * n, "cmu-test v1", 0)


@target("observations", {"*.parquet": "parquet"}, _observations, 3)
def _make_observations(folder: Path) -> Path:
    from poseterior.data.observations import save_observations

    save_observations(_made_observations(), folder / "o.parquet")
    return folder / "o.parquet"


def _labels(path: Path, random: Random) -> Any:
    from poseterior.data.labels.labels import load_labels

    return load_labels(path)


def _made_labels() -> Any:
    from poseterior.data.labels.labels import DepthLabels

    n = 4
    return DepthLabels(
        np.array([f"{i}.jpg" for i in range(n)]),
        np.array(["left_knee"] * n),
        np.array(["right_knee"] * n),
        np.array([1, -1, 0, 1]),
        np.full(n, 0.8),
        np.array(["ann", "bob"] * 2),
        np.full(n, 1.7e9),
        "h36m17",
    )


@target("label store", {"*.parquet": "parquet"}, _labels, 2)
def _make_labels(folder: Path) -> Path:
    from poseterior.data.labels.labels import save_labels

    save_labels(_made_labels(), folder / "l.parquet")
    return folder / "l.parquet"


def _labels_csv(path: Path, random: Random) -> Any:
    from poseterior.data.labels.files import read_csv

    return read_csv(path)


@target("labels csv", {"*.csv": "text"}, _labels_csv)
def _make_csv(folder: Path) -> Path:
    from poseterior.data.labels.files import write_csv

    write_csv(_made_labels(), folder / "l.csv")
    return folder / "l.csv"


def _published(path: Path, random: Random) -> Any:
    from poseterior.data.labels.files import read_published, read_published_keypoints

    return read_published(path, random.choice((None, "train"))), read_published_keypoints(path)


@target("published labels", {"*.json": "json"}, _published)
def _make_published(folder: Path) -> Path:
    note = {"kp0": "left_knee", "kp1": 3, "label": 1, "prob": 0.9, "risk": 0.1}
    image = {
        "im_file": "im1.jpg",
        "is_train": True,
        "keypoints": [v for p in _points(14) for v in p],
        "occluded": [0] * 14,
    }
    document = {
        "joint_names": list(SKELETONS["lsp14"].joints),
        "images": [{**image, "anns": [note, note]}, {**image, "anns": []}],
    }
    return _save(folder / "labels.json", document)


# -- motion capture ----------------------------------------------------------------------------------------


def _import(format: str) -> Callable[[Path, Random], Any]:
    def read(path: Path, random: Random) -> Any:
        import tempfile

        from poseterior.data.mocap.importing import import_mocap
        from poseterior.data.store import PoseStore

        with tempfile.TemporaryDirectory() as folder:
            import_mocap(path, Path(folder) / "s", format, units=random.choice((None, None, "cm")))
            return PoseStore(Path(folder) / "s").load()

    return read


@target("bvh", {"*.bvh": "text"}, _import("bvh"), 3)
def _bvh(folder: Path) -> Path:
    from mocap_files import random_cmu_bvh

    (folder / "a.bvh").write_text(random_cmu_bvh(3)[0])
    return folder / "a.bvh"


@target("asf and amc", {"*.asf": "text", "*.amc": "text"}, _import("asfamc"), 3)
def _asf(folder: Path) -> Path:
    from mocap_files import amc, asf

    (folder / "01.asf").write_text(asf())
    (folder / "01_01.amc").write_text(amc([{"lfemur": [1, 2, 3]}, {"root": [0, 9, 0, 1, 2, 3]}]))
    return folder / "01_01.amc"


def _read_motion(path: Path, random: Random) -> Any:
    from poseterior.results.motion_files import read_motion

    return read_motion(path)


@target("motion", {"*.npz": "npz"}, _read_motion, 3)
def _motion(folder: Path) -> Path:
    path, random = _amass(folder), np.random.default_rng(1)
    turns = random.normal(0, 1, (3, 2, 22, 4))
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    ours = {
        "mean_quaternions": turns[:, 0], "sample_quaternions": turns, "log_prob": np.zeros((3, 2)),
        "spread_radians": np.zeros((3, 22)), "frame": np.arange(3), "offsets": np.full((22, 3), 0.1),
    }  # fmt: skip
    np.savez(path, **dict(np.load(path)) | ours)
    return path


@target("amass", {"*.npz": "npz"}, _import("amass"), 3)
def _amass(folder: Path) -> Path:
    random = np.random.default_rng(0)
    np.savez(
        folder / "a.npz",
        poses=random.normal(0, 0.3, (3, 156)),
        trans=random.normal(0, 1, (3, 3)),
        mocap_framerate=np.array(120.0),
        gender=np.array("female"),
        betas=np.zeros(16),
    )
    return folder / "a.npz"


def _smpl(path: Path, random: Random) -> Any:
    from poseterior.data.mocap.smplx import read_smpl_body

    return read_smpl_body(path, random.choice((None, [0.1, 0.2])))


@cache
def _smpl_model() -> dict[str, np.ndarray]:
    from poseterior.data.mocap.amass import REST_OFFSETS

    random = np.random.default_rng(0)
    own = SKELETONS["smpl22"].parents
    joints = np.zeros((24, 3))
    for joint in range(22):
        joints[joint] = REST_OFFSETS[joint] + (0 if own[joint] < 0 else joints[own[joint]])
    joints[22:] = joints[20:22]
    regressor = random.random((24, 30))
    regressor /= regressor.sum(1, keepdims=True)
    vertices = random.normal(0, 0.3, (30, 3))
    vertices += np.linalg.pinv(regressor) @ (joints - regressor @ vertices)
    parents = np.array([*own, 20, 21])
    parents[parents < 0] = 2**32 - 1
    tree = np.stack([parents, np.arange(24)]).astype(np.uint32)
    return {
        "v_template": vertices,
        "shapedirs": random.normal(0, 0.003, (30, 3, 10)),
        "J_regressor": regressor,
        "kintree_table": tree,
    }


@target("smpl npz", {"*.npz": "npz"}, _smpl, 2)
def _smpl_npz(folder: Path) -> Path:
    np.savez(folder / "body.npz", **_smpl_model())
    return folder / "body.npz"


@target("smpl pickle", {"*.pkl": "pickle"}, _smpl)
def _smpl_pickle(folder: Path) -> Path:
    (folder / "body.pkl").write_bytes(pickle.dumps(_smpl_model(), 2))
    return folder / "body.pkl"


# -- data sets ---------------------------------------------------------------------------------------------


def _h36m(path: Path, random: Random) -> Any:
    from poseterior.data.sets.h36m import read_h36m

    return read_h36m(path, split=random.choice(("test", "test", "test-hard")))


@target("h36m pickle", {"*.pkl": "pickle"}, _h36m, 0.5)
def _h36m_pickle(folder: Path) -> Path:
    from h36m_files import release, write_pickle

    return write_pickle(folder / "h36m.pkl", release("test", frames=1))


def _cdf(path: Path, random: Random) -> Any:
    from poseterior.data.sets.h36m import read_positions

    return read_positions(path)


@target("h36m cdf", {"*.cdf": "bytes"}, _cdf, 0.5)
def _h36m_cdf(folder: Path) -> Path:
    from h36m_files import write_cdf

    return write_cdf(folder / "a.cdf", np.tile(_standing3d(3), (1, 1, 1)))


def _h36m_npz(folder: Path, random: Random) -> Any:
    from poseterior.data.sets.h36m_npz import read_h36m_npz

    return read_h36m_npz(folder, "test", every=30)


@target("h36m npz", {"data_*.npz": "npz"}, _h36m_npz, 0.2)
def _h36m_npz_files(folder: Path) -> Path:
    from h36m_npz_files import contents, write_files

    return write_files(folder, contents(("S9", "S11")))


def _h36m_h5(folder: Path, random: Random) -> Any:
    from poseterior.data.sets.h36m_h5 import read_h36m_h5

    return read_h36m_h5(folder, "test", random.choice(("none", "sh")), every=4)


@target("h36m h5", {"cameras.h5": "h5", "S9/**/*.h5": "h5"}, _h36m_h5, 0.5)
def _h36m_h5_files(folder: Path) -> Path:
    import h5py

    names = ("54138969", "55011271", "58860488", "60457274")
    for subject in ("S9", "S11"):
        with h5py.File(folder / "cameras.h5", "a") as file:
            for number, name in enumerate(names):
                values = {
                    "R": np.eye(3),
                    "T": [[0.0], [0], [-5000]],
                    "f": [[1145.0], [1143]],
                    "c": [[512.0], [515]],
                    "k": [[-0.2], [0.2], [0]],
                    "p": [[0.0], [0]],
                    "Name": np.array([[ord(c)] for c in name], np.uint16),
                }
                for field_name, value in values.items():
                    file[f"subject{subject[1:]}/camera{number + 1}/{field_name}"] = value
        for stem in ("Directions", "Photo 1"):
            path = folder / subject / "MyPoses" / "3D_positions" / f"{stem}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file["3D_positions"] = np.random.default_rng(0).normal(0, 300, (96, 5))
            for name in names:
                path = folder / subject / "StackedHourglassFineTuned240" / f"{stem.replace(' ', '_')}.{name}.h5"
                path.parent.mkdir(parents=True, exist_ok=True)
                with h5py.File(path, "w") as file:
                    file["poses"] = np.random.default_rng(0).uniform(0, 900, (5, 16, 2))
    return folder


def _mpi(folder: Path, random: Random) -> Any:
    from poseterior.data.sets.mpi_inf_3dhp import read_mpi_inf_3dhp

    return read_mpi_inf_3dhp(folder)


@target("mpi-inf-3dhp", {"TS*/*.mat": "h5"}, _mpi, 0.5)
def _mpi_files(folder: Path) -> Path:
    from mpi_inf_3dhp_files import write_test_set

    return write_test_set(folder)


def _yu(path: Path, random: Random) -> Any:
    from poseterior.data.sets.yu_h5 import read_yu_h5

    return read_yu_h5(path, random.choice(("gt", "pre")))


@target("yu h5", {"*.h5": "h5"}, _yu)
def _yu_file(folder: Path) -> Path:
    import h5py

    from poseterior.data.sets.yu_h5 import JOINTS

    points = (
        np.array([STANDING[joint] for joint in JOINTS])
        + np.random.default_rng(0).normal(0, 0.05, (3, 17, 3))
        + [0, 0, 5]
    )
    xy = 1145 * points[..., :2] / points[..., 2:] + 512
    with h5py.File(folder / "h36m_valid.h5", "w") as file:
        file["imagename"] = np.array([f"S9/Walking 1/54138969/{i:06d}.jpg" for i in range(3)], "S")
        file["joint_3d_gt"], file["joint_2d_gt"], file["joint_2d_pre"] = points, xy, xy + 3
    return folder / "h36m_valid.h5"


@target("yu h5 lsp", {"*.h5": "h5"}, _yu, 0.5)
def _yu_lsp(folder: Path) -> Path:
    import h5py

    xy = np.random.default_rng(0).uniform(20, 180, (3, 17, 2))
    with h5py.File(folder / "lsp_test.h5", "w") as file:
        file["joint_2d_gt"], file["joint_2d_pre"] = xy, xy
        file["imagename"] = np.array(["im0001.jpg", "im0002.jpg", "im0003.jpg"], "S")
    return folder / "lsp_test.h5"


target("yu h5, bytes", {"*.h5": "bytes"}, _yu, 0.5)(_yu_file)
target("mpi-inf-3dhp, bytes", {"TS*/*.mat": "bytes"}, _mpi, 0.3)(_mpi_files)


def _lsp(folder: Path, random: Random) -> Any:
    from poseterior.data.sets.lsp import read_lsp

    return read_lsp(folder, "all")


@target("lsp", {"joints.mat": "mat", "images/*.png": "image"}, _lsp)
def _lsp_folder(folder: Path) -> Path:
    from scipy.io import savemat

    savemat(folder / "joints.mat", {"joints": np.random.default_rng(0).uniform(20, 180, (3, 14, 3))})
    (folder / "images").mkdir()
    Image.new("RGB", (120, 80)).save(folder / "images" / "im0002.jpg", "PNG")
    return folder


def _3dpw(folder: Path, random: Random) -> Any:
    from poseterior.data.sets.three_dpw import read_3dpw

    return read_3dpw(folder, "test", random.choice(("openpose", "none")))


@target("3dpw", {"sequenceFiles/test/*.pkl": "pickle"}, _3dpw)
def _3dpw_folder(folder: Path) -> Path:
    from three_dpw_files import content

    path = folder / "sequenceFiles" / "test" / "a.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(content(), 2))
    return folder


# -- weights, recipes, pictures, cameras ---------------------------------------------------------------------


def _weights(folder: Path, random: Random) -> Any:
    from poseterior.lifters.base import load_model
    from poseterior.lifters.saved import read_card

    model = load_model(folder)
    read_card(folder)
    return list(model.state_dict().values())


#: Small configurations, by method; other methods have none.
_SMALL: dict[str, dict[str, Any]] = {
    "mdn": {"kernels": 2, "rank": 1, "width": 8, "blocks": 1},
    "flow": {"width": 8, "blocks": 1, "layers": 1, "hidden": 8},
    "rotations": {"width": 8, "blocks": 1},
    "regression": {"width": 8, "blocks": 1},
    "unsupervised": {"width": 8, "blocks": 1},
}


def _write_weights(folder: Path, method: str) -> Path:
    import dataclasses

    from poseterior.lifters.base import model_class

    cls: Any = model_class(method)
    known = {f.name for f in dataclasses.fields(cls.config_class)}
    config = cls.config_class.from_dict({k: v for k, v in _SMALL[method].items() if k in known})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = cls(config)
    model.save_pretrained(folder / "weights", {"name": "x", "metrics": {}})
    return folder / "weights"


for _method in _SMALL:
    target(
        f"weights {_method}",
        {"weights/config.json": "json", "weights/model.safetensors": "safetensors", "weights/card.json": "json"},
        _weights,
        0.6,
    )(lambda folder, m=_method: _write_weights(folder, m))


def _recalibration(path: Path, random: Random) -> Any:
    from poseterior.distributions.recalibration import Recalibration

    return Recalibration.from_json(path.read_text(encoding="utf-8", errors="replace"), str(path))


@target("recalibration", {"*.json": "json"}, _recalibration, 0.7)
def _make_recalibration(folder: Path) -> Path:
    from poseterior.lifters.saved import list_shipped

    path = folder / "calibration.json"
    path.write_bytes((list_shipped()["mdn"] / "calibration.json").read_bytes())
    return path


def _recipe(path: Path, random: Random) -> Any:
    from poseterior.files.reading import reading
    from poseterior.training.recipes import read_recipe
    from poseterior.training.run import build_lifter

    recipe = read_recipe(path)
    with reading(path):
        build_lifter(recipe.lifter)
    return recipe.as_dict()


_RECIPE = """\
lifter:
  method: mdn
  kernels: 2
  rank: 1
  width: 16
  blocks: 1
objectives:
  - name: likelihood
    weight: 1.0
data:
  stores: [a, b]
  fps: 30
  validation: 0.05
simulator:
  own_body: 0.6
  noise: [2.0, 30.0]
labels:
  noise: flip
  flip: 0.1
calibrate:
  recombine: 0.0
schedule:
  steps: 100
  batch: 16
  learning_rate: 1e-3
  seed: 0
"""


@target("recipe", {"*.yaml": "yaml"}, _recipe, 4)
def _make_recipe(folder: Path) -> Path:
    path = folder / "mine.yaml"
    path.write_text(_RECIPE)
    return path


@target("recipe that extends", {"*.yaml": "yaml"}, _recipe)
def _make_child(folder: Path) -> Path:
    path = folder / "child.yaml"
    path.write_text("extends: mdn\nlifter:\n  width: 8\n  blocks: 1\nschedule:\n  steps: 5\n")
    return path


def _image(path: Path, random: Random) -> Any:
    from poseterior.files.images import image_size, read_image

    return image_size(path), read_image(path)


for _format in ("png", "jpg", "webp", "bmp", "gif", "tiff"):

    @target(f"image {_format}", {"*.*": "image"}, _image, 0.4)
    def _make_image(folder: Path, suffix: str = _format) -> Path:
        pixels = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
        image = Image.fromarray(pixels)
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(folder / f"a.{suffix}", **({"exif": exif} if suffix in ("jpg", "png", "webp") else {}))
        return folder / f"a.{suffix}"


def _camera(path: Path, random: Random) -> Any:
    from poseterior.cli._common import camera_file

    return camera_file(path)


@target("camera", {"*.json": "json"}, _camera, 0.7)
def _make_camera(folder: Path) -> Path:
    return _save(folder / "c.json", {"K": [[900, 0, 320], [0, 900, 240], [0, 0, 1]]})


@target("camera by name", {"*.json": "json"}, _camera, 0.4)
def _make_named_camera(folder: Path) -> Path:
    return _save(folder / "c.json", {"fx": 900, "fy": 900, "cx": 320, "cy": 240})


# -- evaluation --------------------------------------------------------------------------------------------


def _subset(path: Path, random: Random) -> Any:
    from poseterior.evaluation.subsets import listed_poses

    return listed_poses(_made_observations(), path)


@target("list of poses", {"*.txt": "text"}, _subset, 0.5)
def _make_subset(folder: Path) -> Path:
    (folder / "l.txt").write_text("# some\n0\nclip:1\n\n2\n")
    return folder / "l.txt"


def _peer(path: Path, random: Random) -> Any:
    from poseterior.evaluation.peers import load_results

    return load_results("peer", path).for_protocol("cmu-test", _made_observations(2).observations.keypoints).samples


@target("peer's results", {"*.npz": "npz"}, lambda path, random: _peer(path, random))
def _make_peer(folder: Path) -> Path:
    samples = np.tile(_standing3d(2)[:, None], (1, 4, 1, 1)).astype(np.float32)
    np.savez(folder / "cmu-test.npz", samples=samples, clip=np.array(["clip", "clip"]), frame=np.array([0, 1]))
    return folder / "cmu-test.npz"


def _scores(path: Path, random: Random) -> Any:
    from poseterior.evaluation.pose_scores import load_pose_scores

    return {str(key): (found.names, found.values) for key, found in load_pose_scores(path).items()}


@target("scores of poses", {"*.parquet": "parquet"}, _scores, 0.7)
def _make_scores(folder: Path) -> Path:
    from poseterior.evaluation.pose_scores import PoseScores, save_pose_scores

    names = {name: ["a", "b"] for name in ("clip", "subject", "action")} | {"frame": [0, 1], "person": [0, 0]}
    values = {"MPJPE": torch.tensor([50.0, 60.0]), "rank": torch.full((2, 17), 0.5)}
    save_pose_scores({("mdn", "cmu-test"): PoseScores(names, values)}, folder / "s.parquet")
    return folder / "s.parquet"


# -- commands ----------------------------------------------------------------------------------------------


def _command(*words: Any) -> None:
    """Runs a command, which must succeed or say what is wrong: then in an `InputError`, as readers do."""
    from poseterior.cli import main

    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:  # of the parser
            code = stop.code if isinstance(stop.code, int) else 2
            said.write(f"poseterior: error: {words}")
    message = said.getvalue().strip()
    if code == 2:
        raise InputError(message.split("poseterior: error: ", 1)[1])
    assert code == 0, (code, message)


#: Options of numbers, and what may be typed after them.
_VALUES = (0, 1, -1, 0.5, "nan", "inf", "-inf", 1e308, -1e308, 1e-320, 10**6, 10**12, 10**30, 2**63, 640, "x", "")


def _some(random: Random, *options: str) -> list[Any]:
    """One of the options with a value, or none."""
    name = random.choice((None, None, *options))
    if name is None:
        return []
    return [name, *(random.choice(_VALUES) for _ in range(2 if name == "--image-size" else 1))]


def _cli_lift(path: Path, random: Random) -> None:
    options = _some(random, "--image-size", "--image-size", "--focal", "--height", "--level", "--fps", "--seed")
    out = path.with_name(f"out{random.choice(('.npz', '.json', '.parquet', '.bvh'))}")
    arrays = ["--skeleton", "h36m17"] if path.suffix == ".npz" else []
    _command("lift", path, *arrays, "--samples", 3, "--out", out, *options)


target("command lift", {"*.json": "json"}, _cli_lift, 1)(
    lambda folder: _save(folder / "person.json", _DOCUMENTS["plain-one"]())
)
target("command lift of arrays", {"*.npz": "npz"}, _cli_lift, 0.7)(_npz)


def _cli_view(path: Path, random: Random) -> None:
    how = random.choice(("--overlay", "--overlay", "--overlay", "--png"))
    options = _some(random, "--level")
    if how == "--overlay":
        options += ["--hypotheses", 2, *_some(random, "--pose")]
    _command("view", path, how, path.with_name("picture.png"), *options)


for _suffix, _kind in ((".npz", "npz"), (".parquet", "parquet"), (".json", "json")):
    target(f"command view of {_kind}", {f"result{_suffix}": _kind}, _cli_view, 0.3)(
        lambda folder, s=_suffix: _write_result(folder, s)
    )


def _cli_ik(path: Path, random: Random) -> None:
    _command(
        "ik", path, "--samples", 2, "--out", path.with_name("out.npz"), *_some(random, "--sigma", "--fps", "--level")
    )


target("command ik", {"p.npz": "npz"}, _cli_ik, 0.2)(_points_npz)


def _cli_heatmaps(path: Path, random: Random) -> None:
    _command("heatmaps", "fit", path, "--out", path.with_name("out.json"), *_some(random, "--target-sigma"))


target("command heatmaps", {"maps.npz": "npz"}, _cli_heatmaps, 0.3)(_heat)


def _cli_import(path: Path, random: Random) -> None:
    _command("data", "import", "bvh", path, "--out", path.parent / "store", "--overwrite")


target("command data import", {"*.bvh": "text"}, _cli_import, 0.3)(_bvh)


def _cli_inspect(path: Path, random: Random) -> None:
    _command("data", "inspect", path, *_some(random, "--poses", "--seed"))


target("command data inspect", {"store/*.parquet": "parquet"}, _cli_inspect, 0.3)(_make_store)


def _cli_labels(path: Path, random: Random) -> None:
    action = random.choice(
        (["inspect"], ["export", "--out", path.with_name("out.csv")], ["merge", "--out", path.with_name("out.parquet")])
    )
    _command("labels", action[0], path, *action[1:])


target("command labels", {"l.parquet": "parquet"}, _cli_labels, 0.5)(_make_labels)


def _cli_import_labels(path: Path, random: Random) -> None:
    _command("labels", "import", path, "--out", path.with_name("out.parquet"))


target("command labels import", {"*.csv": "text"}, _cli_import_labels, 0.4)(_make_csv)


def _cli_evaluate(path: Path, random: Random) -> None:
    _command("evaluate", "mdn", "--data", path, "--samples", 4, "--out", path.with_name("out.json"))


target("command evaluate", {"o.parquet": "parquet"}, _cli_evaluate, 0.15)(_make_observations)


def _cli_train(path: Path, random: Random) -> None:
    _command("train", path, "--out", path.with_name("run"), "data.stores=[nowhere]")


target("command train", {"mine.yaml": "yaml"}, _cli_train, 0.5)(_make_recipe)


# -- shared cases ------------------------------------------------------------------------------------------


def _any(path: Path, random: Random) -> Any:
    if path.suffix == ".bvh":
        return _import("bvh")(path, random)
    return _keypoints(path, random)


def _shared() -> Iterator[tuple[str, Target]]:
    for path in sorted((SHARED / "cases").glob("*")):
        kind = {".json": "json", ".bvh": "text"}.get(path.suffix)
        if kind is None or path.stat().st_size > 60_000:
            continue

        def make(folder: Path, source: Path = path) -> Path:
            (folder / source.name).write_bytes(source.read_bytes())
            return folder / source.name

        yield f"case {path.stem}", Target(make, _any, {"*.*": kind}, 0.2)


@cache
def all_targets() -> dict[str, Target]:
    """The targets, and what is beside the checkout."""
    get_skeleton("h36m17")
    return TARGETS | dict(_shared())
