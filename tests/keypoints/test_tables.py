"""Keypoints in tables, HDF5, TRC and VideoPose3D's archives; what other files are told to be."""

from __future__ import annotations

import json
import logging
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.keypoints.reading import read_keypoints

COCO = get_skeleton("coco17").joints
MEDIAPIPE = get_skeleton("mediapipe33").joints


def place(joint: int, frame: int = 0, person: int = 0) -> tuple[float, float]:
    """Exact in float32, and different everywhere."""
    return 100.0 + 8 * joint + frame, 60.0 + 4 * joint + 200 * person


def xy(joints: int, frame: int = 0, person: int = 0) -> np.ndarray:
    return np.array([place(j, frame, person) for j in range(joints)], np.float32)


def save(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


# -- tidy ----------------------------------------------------------------------------------------------------

SPELLINGS = [
    ("frame,person,joint,x,y,score", ","),
    ("Frame;Track ID;Keypoint;X (px);Y (px);Confidence", ";"),
    ("image_id\tperson_id\tbodypart\tx_px\ty_px\tlikelihood", "\t"),
    ("frameIdx,individual,landmarkName,xCoord,yCoord,visibility", ","),
]


def tidy_rows(names: tuple[str, ...] = COCO) -> list[list[Any]]:
    """Frames 3 and 10, two people each."""
    return [
        [frame, person, name, *place(j, frame, person), 0.75]
        for frame in (10, 3) for person in (1, 0) for j, name in enumerate(names)
    ]  # fmt: skip


@pytest.mark.parametrize(("header", "separator"), SPELLINGS)
def test_tidy_csv_in_any_spelling_and_order(header: str, separator: str, tmp_path: Path) -> None:
    rows = [separator.join(map(str, row)) for row in reversed(tidy_rows())]
    found = read_keypoints(save(tmp_path / "a.csv", header, *rows))
    assert found.skeleton.name == "coco17"
    assert [(i.frame, i.person) for i in found.ids] == [(3, 0), (3, 1), (10, 0), (10, 1)]
    np.testing.assert_array_equal(found.xy[1], xy(17, 3, 1))
    assert found.visible.all()


def test_tidy_columns_in_any_order_with_names_of_people_and_missing_cells(tmp_path: Path) -> None:
    header = "score,y,x,joint,frame,subject,comment"
    rows = [f"0.75,{y},{x},{name},{frame},{'anna' if p else 'ben'}," for frame, p, name, x, y, _ in tidy_rows()]
    rows[3] = rows[3].replace("0.75,", "NaN,")
    rows[4] = re.sub("0.75,[0-9.]+,", "0.75,,", rows[4])
    found = read_keypoints(save(tmp_path / "a.csv", header, *rows))
    assert [(i.frame, i.person) for i in found.ids] == [(3, 0), (3, 1), (10, 0), (10, 1)]
    assert (~found.visible).nonzero().tolist() == [[2, 3], [2, 4]]


def test_a_decimal_comma(tmp_path: Path) -> None:
    rows = [f"0;{name};{x + 0.5:.1f};{y};1".replace(".", ",") for _, p, name, x, y, _ in tidy_rows()[17:34]]
    found = read_keypoints(save(tmp_path / "a.csv", "frame;joint;x;y;score", *rows))
    np.testing.assert_array_equal(found.xy[0], xy(17, 10, 0) + np.array([0.5, 0]))


def test_rows_of_numbered_landmarks_are_mediapipe(tmp_path: Path) -> None:
    for first in (0, 1):
        rows = [f"{f},{j + first},{x},{y},-0.1,0.9" for f in (0, 1) for j in range(33) for x, y in [place(j, f)]]
        found = read_keypoints(save(tmp_path / "a.csv", "frame,landmark_id,x,y,z,visibility", *rows))
        assert (len(found), found.skeleton.name) == (2, "mediapipe33")
        np.testing.assert_array_equal(found.xy[1], xy(33, 1))


def test_names_of_pictures_are_frames(tmp_path: Path) -> None:
    rows = [
        f"{file},{name},{x},{y}"
        for file in ("a_2.jpg", "a_10.jpg")
        for j, name in enumerate(COCO)
        for x, y in [place(j)]
    ]
    found = read_keypoints(save(tmp_path / "a.csv", "image,joint,x,y", *rows))
    assert len({i.frame for i in found.ids}) == len(found) == 2


def test_tidy_parquet_of_pandas_polars_and_pyarrow(tmp_path: Path) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = dict(zip(("frame", "person", "joint", "x", "y", "score"), zip(*tidy_rows(), strict=True), strict=True))
    columns = {name: list(values) for name, values in columns.items()}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    pandas.DataFrame(columns).astype({"joint": "category"}).to_parquet(tmp_path / "b.parquet")
    polars.DataFrame(columns).write_parquet(tmp_path / "c.parquet")
    for name in "abc":
        found = read_keypoints(tmp_path / f"{name}.parquet")
        assert [(i.frame, i.person) for i in found.ids] == [(3, 0), (3, 1), (10, 0), (10, 1)]
        np.testing.assert_array_equal(found.xy[3], xy(17, 10, 1))


def test_unknown_joints_are_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        f"{frame},{name},1,{10 * j + 50}" for frame in range(3) for j, name in enumerate((*COCO, "tail", "left_wing"))
    ]
    path = save(tmp_path / "a.csv", "frame,joint,x,y", *rows)
    assert len(read_keypoints(path)) == 3
    said = [r.getMessage() for r in caplog.records if "not used" in r.message]
    assert said == [f"{path}: joints that no skeleton knows are not used: 'tail', 'left_wing'"]


BAD_TIDY = [
    (["frame,joint,x,y", "0,nose,1,2", "0,nose,1,2"], "frame 0, person 0: joint 'nose' is there twice; is there more"),
    (["frame,joint,x,y", "0,nose,1,zwei"], "line 2, column 'y': expected a number, found 'zwei'"),
    (["frame,joint,x,y", "0,nose,1"], "line 2: 3 entries; expected 4, as in the header: is it truncated?"),
    (["frame,joint,x,y"], "no row below the header"),
    (["frame,joint,x,y", ",nose,1,2"], "row 1: no frame in column 'frame', found ''"),
    (["frame,joint,x,y", "1,,1,2"], "row 1: no joint in column 'joint'"),
    (["frame,joint,x,y", "1,tail,1,2"], "column 'joint': none is a joint of a person: 'tail'"),
    (["a,b", "1,2"], "a table of no keypoint format that we know (columns 'a', 'b'); expected frame, person, joint"),
    (
        ["frame,joint,x,y,z", "0,left_hip,0.1,0.9,0.2", "0,left_knee,0.1,0.5,0.2", "0,left_ankle,0.1,0.1,0.2"],
        "holds 3D points (x, y and z), not keypoints in a picture; solve for the rotations instead: poseterior ik",
    ),
    (["frame,joint,x,y", *(f"0,{j},1,2" for j in range(17))], "17 joints may be"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "message"), BAD_TIDY)
def test_bad_tidy_tables(lines: list[str], message: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", *lines)
    with pytest.raises(InputError, match=re.escape(f"{path}: {message}")):
        read_keypoints(path)


def test_a_table_that_is_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("frame,joint,x,y\n0,näs,1,2\n".encode("latin1"))
    with pytest.raises(InputError, match=r"not UTF-8 text \(byte 19\); save the table as UTF-8"):
        read_keypoints(tmp_path / "a.csv")


# -- wide ----------------------------------------------------------------------------------------------------


def wide(pattern: str, axes: tuple[str, ...], names: Any, scale: float = 1.0) -> tuple[str, list[str]]:
    header = [pattern.format(j=name, a=axis) for name in names for axis in axes]
    rows = []
    for frame in range(3):
        cells = []
        for j in range(len(names)):
            x, y = place(j, frame)
            cells += [{"x": x * scale, "y": y * scale, "z": -0.25}.get(axis.lower(), 0.75) for axis in axes]
        rows.append(",".join(map(str, cells)))
    return ",".join(header), rows


WIDE = {
    "mediapipe from 0": ("{a}{j}", ("x", "y", "z", "v"), range(33), "mediapipe33"),
    "mediapipe from 1": ("{a}{j}", ("x", "y", "z", "v"), range(1, 34), "mediapipe33"),
    "mediapipe holistic": ("{a}{j}", ("x", "y", "z", "v"), range(1, 502), "mediapipe33"),
    "mediapipe by name": ("{j}_{a}", ("x", "y", "z", "visibility"), [n.upper() for n in MEDIAPIPE], "mediapipe33"),
    "landmark_0_x": ("landmark_{j}_{a}", ("x", "y", "z", "visibility"), range(33), "mediapipe33"),
    "kp0_x": ("kp{j}_{a}", ("x", "y", "conf"), range(26), "halpe26"),
    "sleap": ("{j}.{a}", ("x", "y", "score"), COCO, "coco17"),
    "prefix": ("{a}_{j}", ("x", "y"), COCO, "coco17"),
    "capital": ("{j}{a}", ("X", "Y"), [n.title().replace("_", "") for n in COCO], "coco17"),
    "units": ("{j}_{a} (px)", ("x", "y"), COCO, "coco17"),
}


@pytest.mark.parametrize("name", list(WIDE))
def test_wide_tables(name: str, tmp_path: Path) -> None:
    pattern, axes, joints, skeleton = WIDE[name]
    header, rows = wide(pattern, axes, list(joints))
    found = read_keypoints(save(tmp_path / "a.csv", header, *rows))
    assert (len(found), found.skeleton.name) == (3, skeleton)
    np.testing.assert_array_equal(found.xy[2], xy(len(found.skeleton), 2))
    assert found.visible.all()


def test_wide_tables_keep_frames_and_people(tmp_path: Path) -> None:
    header, rows = wide("{j}.{a}", ("x", "y", "score"), COCO)
    lines = [
        f"{track},{frame},0.9,{row}" for (track, frame), row in zip([("b", 7), ("a", 7), ("b", 9)], rows, strict=True)
    ]
    found = read_keypoints(save(tmp_path / "a.csv", "track,frame_idx,instance.score," + header, *lines))
    assert [(i.frame, i.person) for i in found.ids] == [(7, 0), (7, 1), (9, 0)]
    # without tracks rows of a frame are different people
    lines = [f"{frame},{row}" for frame, row in zip([4, 4, 5], rows, strict=True)]
    found = read_keypoints(save(tmp_path / "b.csv", "frame," + header, *lines), tracks="off")
    assert [(i.frame, i.person) for i in found.ids] == [(4, 0), (4, 1), (5, 0)]


def test_world_landmarks_are_not_keypoints(tmp_path: Path) -> None:
    header = ",".join(f"{axis}{j}" for j in range(33) for axis in "xyzv")
    body = np.random.default_rng(0).uniform(-0.8, 0.8, (33, 3))
    body[24] = -body[23]
    row = ",".join(f"{v:.6f}" for point in body for v in (*point, 0.9))
    with pytest.raises(InputError, match=r"holds 3D points .* poseterior ik FILE"):
        read_keypoints(save(tmp_path / "a.csv", header, row, row))


# -- DeepLabCut ------------------------------------------------------------------------------------------------

PARTS = ("nose", "l_ankle", "right_knee")


def deeplabcut(people: tuple[str, ...], frames: int = 3) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Header tuples and values; person 1 is absent in frame 1."""
    keys = [
        ("DLC_x", *((p,) if len(people) > 1 else ()), part, axis)
        for p in people
        for part in PARTS
        for axis in ("x", "y", "likelihood")
    ]
    values = np.array(
        [[v for p in range(len(people)) for j in range(3) for v in (*place(j, f, p), 0.75)] for f in range(frames)]
    )
    if len(people) > 1:
        values[1, 9:] = np.nan
    return keys, values


def expect_deeplabcut(path: Path, people: int) -> None:
    found = read_keypoints(path)
    ids = [(f, p) for f in range(3) for p in range(people) if not (p and f == 1)]
    assert [(i.frame, i.person) for i in found.ids] == ids
    where = [found.skeleton.index(joint) for joint in ("nose", "left_ankle", "right_knee")]
    np.testing.assert_array_equal(found.xy[-1][where], xy(3, 2, people - 1))
    assert found.visible[0].sum() == 3


def dlc_csv(path: Path, people: tuple[str, ...]) -> Path:
    keys, values = deeplabcut(people)
    levels = ["scorer", "individuals", "bodyparts", "coords"] if len(people) > 1 else ["scorer", "bodyparts", "coords"]
    lines = [",".join([level, *(key[i] for key in keys)]) for i, level in enumerate(levels)]
    for frame, row in enumerate(values):
        lines.append(",".join([str(frame), *("" if np.isnan(v) else str(v) for v in row)]))
    return save(path, *lines)


@pytest.mark.parametrize("people", [("",), ("ind1", "ind2")])
def test_deeplabcut_csv(people: tuple[str, ...], tmp_path: Path) -> None:
    expect_deeplabcut(dlc_csv(tmp_path / "clipDLC_x.csv", people), len(people))


def dlc_table(path: Path, people: tuple[str, ...]) -> Path:
    """What pandas' to_hdf(format="table") writes: a compound array, its header pickled in an attribute."""
    keys, values = deeplabcut(people)
    kind = np.dtype([("index", "<i8"), ("values_block_0", "<f8", (len(keys),))])
    rows = np.zeros(len(values), kind)
    rows["index"], rows["values_block_0"] = np.arange(len(values)), values
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame_table")
        table = group.create_dataset("table", data=rows)
        table.attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(keys, protocol=0))
    return path


def dlc_fixed(path: Path, people: tuple[str, ...]) -> Path:
    """What pandas' to_hdf() writes: levels and labels of the header as arrays."""
    keys, values = deeplabcut(people)
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        levels = len(keys[0])
        group.attrs.update({"pandas_type": np.bytes_(b"frame"), "axis0_nlevels": levels, "nblocks": 1})
        for i in range(levels):
            names = sorted({key[i] for key in keys})
            for item in ("axis0", "block0_items"):
                group[f"{item}_level{i}"] = np.array(names, "S")
                group[f"{item}_label{i}"] = np.array([names.index(key[i]) for key in keys], np.int8)
        group["axis1"] = np.arange(len(values))
        group["block0_values"] = values
    return path


@pytest.mark.parametrize("people", [("",), ("ind1", "ind2")])
@pytest.mark.parametrize("write", [dlc_table, dlc_fixed])
def test_deeplabcut_h5(write: Any, people: tuple[str, ...], tmp_path: Path) -> None:
    expect_deeplabcut(write(tmp_path / "clipDLC_x.h5", people), len(people))


def test_csv_and_h5_of_one_clip_are_read_once(tmp_path: Path) -> None:
    dlc_csv(tmp_path / "clip.csv", ("",))
    dlc_table(tmp_path / "clip.h5", ("",))
    assert len(read_keypoints(tmp_path)) == 3


def test_labelled_data_of_deeplabcut(tmp_path: Path) -> None:
    lines = ["scorer,,,me,me,me,me", "bodyparts,,,nose,nose,l_ankle,l_ankle", "coords,,,x,y,x,y"]
    lines += ["labeled-data,clip,img07.png,1,2,3,40", "labeled-data,clip,img12.png,,,5,60"]
    found = read_keypoints(save(tmp_path / "CollectedData_me.csv", *lines))
    assert len(found) == 2
    where = [found.skeleton.index(joint) for joint in ("nose", "left_ankle")]
    assert found.visible[:, where].tolist() == [[True, True], [False, True]]


class Trap:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('ran')",))


def test_a_header_that_is_a_program_is_refused(tmp_path: Path) -> None:
    path = dlc_table(tmp_path / "a.h5", ("",))
    with h5py.File(path, "a") as file:
        file["df_with_missing/table"].attrs["values_block_0_kind"] = np.bytes_(pickle.dumps([Trap()], protocol=0))
    with pytest.raises(InputError, match=r"the header of values_block_0: refused, it names __builtin__\.exec"):
        read_keypoints(path)


def test_other_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["poses"] = np.zeros(3)
    with pytest.raises(InputError, match=r"is an HDF5 file that holds poses: of no keypoint format that we know"):
        read_keypoints(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_bytes(b"\x89HDF\r\n\x1a\n cut short")
    with pytest.raises(InputError, match=r"b\.h5: not a readable HDF5 file"):
        read_keypoints(tmp_path / "b.h5")


# -- SLEAP -----------------------------------------------------------------------------------------------------


def sleap(path: Path, standard: bool = False, scores: bool = True) -> Path:
    tracks = np.full((2, 2, 3, 4), np.nan)  # tracks, xy, nodes, frames
    for t in range(2):
        for f in range(4):
            for j in range(3):
                tracks[t, :, j, f] = place(j, f, t)
    tracks[1, :, :, 2] = np.nan
    tracks[0, :, 1, 0] = np.nan
    with h5py.File(path, "w") as file:
        if standard:
            file["tracks"] = tracks.transpose(3, 0, 2, 1)
            file["tracks"].attrs["dims"] = '["frame", "track", "node", "xy"]'
        else:
            file["tracks"] = tracks
        file["node_names"] = np.array(PARTS, "S")
        file["track_names"] = np.array(["a", "b"], "S")
        if scores:
            own = np.full((2, 3, 4), 0.75)
            file["point_scores"] = own.transpose(2, 0, 1) if standard else own
    return path


@pytest.mark.parametrize("standard", [False, True])
@pytest.mark.parametrize("scores", [False, True])
def test_sleap(standard: bool, scores: bool, tmp_path: Path) -> None:
    found = read_keypoints(sleap(tmp_path / "clip.analysis.h5", standard, scores))
    assert [(i.frame, i.person) for i in found.ids] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (3, 0), (3, 1)]
    where = [found.skeleton.index(joint) for joint in ("nose", "left_ankle", "right_knee")]
    np.testing.assert_array_equal(found.xy[-1][where], xy(3, 3, 1))
    assert found.visible[0][where].tolist() == [True, False, True]


def test_sleap_of_another_shape(tmp_path: Path) -> None:
    path = sleap(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["tracks"]
        file["tracks"] = np.zeros((2, 5, 3, 4))
    with pytest.raises(InputError, match=r"tracks has shape \(2, 5, 3, 4\); expected \(tracks, 2, 3 nodes, frames\)"):
        read_keypoints(path)


# -- VideoPose3D -----------------------------------------------------------------------------------------------


def videopose(path: Path, positions: Any, layout: str = "coco", **more: Any) -> Path:
    metadata = {"layout_name": layout, "num_joints": 17, "keypoints_symmetry": [[1, 3], [2, 4]], **more}
    np.savez_compressed(path, positions_2d=positions, metadata=metadata)
    return path


def test_videopose3d(tmp_path: Path) -> None:
    clip = np.stack([xy(17, f) for f in range(5)])
    sizes = {"film.mp4": {"w": 1280, "h": 720}}
    path = videopose(tmp_path / "data_2d_custom_my.npz", {"film.mp4": {"custom": [clip]}}, video_metadata=sizes)
    found = read_keypoints(path)
    assert (len(found), found.skeleton.name, found.image_size[0].tolist()) == (5, "coco17", [1280, 720])
    np.testing.assert_array_equal(found.xy, clip)
    assert {i.file for i in found.ids} == {str(path)}
    # each camera of each action is a clip
    many = {"S1": {"Walk": [clip, clip[:2]], "Sit 1": [clip[:1]]}}
    found = read_keypoints(videopose(tmp_path / "data_2d_h36m_gt.npz", many, "h36m"))
    assert (len(found), found.skeleton.name, len({i.file for i in found.ids})) == (8, "h36m17", 3)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ({"a": [1]}, "positions_2d['a']: expected a dictionary of actions"),
        ({"a": {"custom": [np.zeros((3, 17))]}}, "array of shape (3, 17); expected (frames, joints, 2)"),
        ({"a": {"custom": [np.zeros((3, 17, 2)), "x"]}}, "positions_2d['a']['custom'][1]: expected an array of"),
        ({"a": {"custom": [np.zeros((3, 5, 2))]}}, "positions_2d['a']['custom'][0]: array of shape (3, 5, 2) has"),
        ({"a": Trap()}, "refused, it names builtins.exec"),
        ([1, 2], "expected a dictionary"),
    ],
)  # fmt: skip
def test_bad_videopose3d(positions: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        read_keypoints(videopose(tmp_path / "a.npz", positions))


# -- TRC -------------------------------------------------------------------------------------------------------

MARKERS = ("Hip", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "Neck", "Head", "LShoulder", "RShoulder")


def trc(path: Path, points: np.ndarray, names: tuple[str, ...] = MARKERS, unit: str = "m", fps: float = 60) -> Path:
    """As Pose2Sim writes them: no last tab, empty cells where a marker is missing."""
    count = len(names)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{fps}\t{fps}\t{len(points)}\t{count}\t{unit}\t{fps}\t0\t{len(points)}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t\t",
        "\t\t" + "\t".join(f"X{i}\tY{i}\tZ{i}" for i in range(1, count + 1)) + "\t",
    ]
    for frame, pose in enumerate(points):
        cells = ["" if np.isnan(v) else repr(float(v)) for v in pose.reshape(-1)]
        lines.append("\t".join([str(frame + 5), str(frame / fps), *cells]))
    return save(path, *lines)


def test_pixels_of_sports2d(tmp_path: Path) -> None:
    points = np.array([[(*place(j, f), 0.0) for j in range(len(MARKERS))] for f in range(3)])
    points[1, 2] = np.nan
    path = trc(tmp_path / "clip_px_person00.trc", points)
    found = read_keypoints(path)
    assert [i.frame for i in found.ids] == [5, 6, 7]
    head = found.skeleton.index("head_top")
    np.testing.assert_array_equal(found.xy[2, head], place(8, 2))
    assert not found.visible[1, found.skeleton.index("right_knee")]


def test_trc_of_other_kinds(tmp_path: Path) -> None:
    solid = np.random.default_rng(0).uniform(0, 1, (2, 11, 3))
    for points, message in (
        (solid, "holds 3D markers, not 2D keypoints; solve for the rotations instead: poseterior ik FILE"),
        (solid * [1, 1, 0], "holds points without depth in metres; pass the file in pixels"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            read_keypoints(trc(tmp_path / "a.trc", points))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.replace("DataRate", "Rate", 1), "not a whole TRC file"),
        (lambda t: t.replace("Frame#", "Nr", 1), "no line with the names of the markers"),
        (lambda t: t.replace("RKnee", "Hip", 1), "the marker 'Hip' is there twice"),
        (
            lambda t: t.replace("\t100.0\t", "\thundred\t", 1),
            "line 6, marker 'Hip': expected a number, found 'hundred'",
        ),
        (lambda t: "\n".join(t.splitlines()[:5]), "holds no frame"),
    ],
)
def test_bad_trc(edit: Any, message: str, tmp_path: Path) -> None:
    points = np.array([[(*place(j, f), 0.0) for j in range(len(MARKERS))] for f in range(3)])
    path = trc(tmp_path / "a.trc", points)
    path.write_text(edit(path.read_text()))
    with pytest.raises(InputError, match=re.escape(f"{path}: {message}")):
        read_keypoints(path)


# -- other files -----------------------------------------------------------------------------------------------


def archive(path: Path, *names: str) -> bytes:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return path.read_bytes()


OTHERS = {
    "film.mp4": (b"\0\0\0\x20ftypisom\0\0\2\0", "is a film: find the people in it first: poseterior lift "),
    "film.mov": (b"\0\0\0\x14ftypqt  ", "is a film: "),
    "old.mov": (b"\0\0\0\x08wide\0\0", "is a film: "),
    "film.avi": (b"RIFF\x10\0\0\0AVI LIST", "is a film: "),
    "film.mkv": (b"\x1aE\xdf\xa3\x93B\x82", "is a film: "),
    "film.gif": (b"GIF89a", "is a film: "),
    "photo.heic": (b"\0\0\0\x18ftypheic", "is a photo"),
    "photo.webp": (b"RIFF\x10\0\0\0WEBPVP8 ", "is a photo"),
    "walk.fbx": (
        b"Kaydara FBX Binary  \0\x1a\0",
        "is an FBX scene, not keypoints; to read its motion convert it to BVH",
    ),
    "text.fbx": (b"; FBX 7.4.0 project file", "is an FBX scene"),
    "walk.bvh": (
        b"HIERARCHY\nROOT Hips",
        "is a motion, which has 3D poses already: poseterior data import bvh walk.bvh",
    ),
    "walk.glb": (b"glTF\2\0\0\0", "is a glTF scene"),
    "paper.pdf": (b"%PDF-1.7", "is a PDF document"),
    "page.json": (b"\n<!DOCTYPE html><html>", "is a web page (HTML)"),
    "walk.c3d": (
        b"\x02P\x14\0",
        "holds 3D markers (C3D), not 2D keypoints; solve for the rotations instead: poseterior ik",
    ),
    "a.json.gz": (b"\x1f\x8b\x08\0", "is packed; unpack it"),
    "a.mat": (b"MATLAB 5.0 MAT-file, Platform", "is a MATLAB file; save the keypoints as CSV: writematrix"),
    "a.db": (b"SQLite format 3\0", "is an SQLite database"),
}


@pytest.mark.parametrize("name", list(OTHERS))
def test_other_files_say_what_they_are(name: str, tmp_path: Path) -> None:
    content, message = OTHERS[name]
    path = tmp_path / name
    path.write_bytes(content + b"\0" * 64)
    with pytest.raises(InputError, match=re.escape(f"{path}: {message}")):
        read_keypoints(path)


def test_a_film_says_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    with pytest.raises(InputError, match=r"poseterior lift film.mp4 --keypoints film.json"):
        read_keypoints(tmp_path / "film.mp4")


def test_archives_say_what_they_are(tmp_path: Path) -> None:
    for names, message in (
        (["xl/workbook.xml"], "is an Excel workbook; save its sheet of keypoints as CSV"),
        (["model/data.pkl"], "is a PyTorch file (a pickle), which is never loaded"),
        (["a.json", "b.json"], "is a ZIP archive; unpack it"),
    ):
        archive(tmp_path / "a.zip", *names)
        with pytest.raises(InputError, match=re.escape(message)):
            read_keypoints(tmp_path / "a.zip")


def test_our_other_files_are_not_keypoints(tmp_path: Path) -> None:
    for name, message in (
        ("poseterior-pose-store/1", "is part of a pose store"),
        ("poseterior-observations-1", "is a file of obs"),
    ):
        pq.write_table(pa.table({"x": [1]}).replace_schema_metadata({"format": name}), tmp_path / "a.parquet")
        with pytest.raises(InputError, match=message):
            read_keypoints(tmp_path / "a.parquet")


def test_json_in_a_file_called_csv(tmp_path: Path) -> None:
    document = {"joints": list(COCO), "keypoints": [list(p) for p in xy(17).tolist()]}
    (tmp_path / "a.csv").write_text(json.dumps(document))
    assert len(read_keypoints(tmp_path / "a.csv")) == 1


def test_formats_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = dlc_csv(tmp_path / "a.csv", ("",))
    with caplog.at_level(logging.WARNING):
        assert len(read_keypoints(path, "deeplabcut")) == 3
    with pytest.raises(InputError, match="not JSON but a table"):
        read_keypoints(path, "openpose")
    with pytest.raises(InputError, match=r"not an HDF5 file but a table"):
        read_keypoints(path, "sleap")


def test_landmarks_half_outside_the_picture_are_still_normalised(tmp_path: Path) -> None:
    rows = ["frame," + ",".join(f"{axis}{i}" for i in range(33) for axis in "xyzv")]
    rows += [
        f"{f}," + ",".join(f"{-0.3 + 0.011 * i:.4f},{0.1 + 0.02 * i:.4f},0.1,0.9" for i in range(33)) for f in (0, 1)
    ]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    found = read_keypoints(tmp_path / "a.csv", image_size=(1000, 500))
    assert found.xy[1, 10].tolist() == pytest.approx([-190.0, 150.0], abs=0.01)
