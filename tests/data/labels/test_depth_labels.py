"""The label store: validation, Parquet round trip, image ids."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poseterior.data.labels.labels import DepthLabels, image_id, load_labels, save_labels
from poseterior.files.errors import InputError
from poseterior.keypoints import PoseId


def some(**changes) -> DepthLabels:
    columns = {
        "image": ["a.jpg", "a.jpg", "b.jpg#3"],
        "joint_a": ["pelvis", "left_knee", "head_top"],
        "joint_b": ["left_wrist", "right_knee", "right_ankle"],
        "label": [-1, 1, 0],
        "confidence": [1.0, 0.75, 0.0],
        "annotator": ["ann", "ann", ""],
        "time": [1.7e9, 1.7e9 + 0.25, float("nan")],
        "skeleton": "h36m17",
    }
    return DepthLabels(**(columns | changes))


COLUMNS = ("image", "joint_a", "joint_b", "label", "confidence", "annotator", "time")


def assert_same(one: DepthLabels, other: DepthLabels) -> None:
    assert one.skeleton == other.skeleton
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype or name in ("image", "annotator")


def test_types_and_length():
    labels = some()
    assert len(labels) == 3
    assert labels.label.dtype == np.int8
    assert labels.confidence.dtype == np.float32
    assert labels.time.dtype == np.float64
    assert all(getattr(labels, name).dtype.kind == "U" for name in ("image", "joint_a", "joint_b", "annotator"))


def test_select_and_cat_give_the_rows_back():
    labels = some()
    assert_same(DepthLabels.cat([labels.select(slice(0, 1)), labels.select([1, 2])]), labels)
    assert labels.select(labels.label != 0).image.tolist() == ["a.jpg", "a.jpg"]


def test_cat_refuses_nothing_and_other_skeletons():
    with pytest.raises(InputError, match=r"^depth labels: nothing to join$"):
        DepthLabels.cat([])
    with pytest.raises(InputError, match="cannot join those of different skeletons: h36m17, smpl22"):
        DepthLabels.cat([some(), some(skeleton="smpl22", joint_a=["pelvis"] * 3, joint_b=["neck"] * 3)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"label": [1, 2, 0]},
            "depth labels: row 1: label is 2.0; expected -1 (joint_a nearer), +1 (joint_b nearer) or 0 (same depth)",
        ),
        ({"label": [1, 1, float("nan")]}, "row 2: label is nan; expected -1"),
        ({"label": ["near", "far", "far"]}, "label holds str"),
        ({"confidence": [1, 1.5, 0]}, "depth labels: row 1: confidence is 1.5; expected a number from 0 to 1"),
        ({"confidence": [1, 1, float("nan")]}, "row 2: confidence is nan; expected a number from 0 to 1"),
        ({"joint_b": ["left_wrist", "nose", "spine"]}, "row 1: joint_b is 'nose'; expected a joint of h36m17: pelvis,"),
        (
            {"joint_b": ["left_wrist", "left_knee", "spine"]},
            "depth labels: row 1: joint_b is 'left_knee'; expected another joint than joint_a",
        ),
        ({"time": [0, 1, float("inf")]}, "row 2: time is inf; expected seconds since 1970, or NaN where unknown"),
        ({"image": np.array(["a", "b", 7], object)}, "depth labels: row 2: image is 7; expected text"),
        ({"image": np.array(["a", None, "b"], object)}, "depth labels: row 1: image is None; expected text"),
        ({"image": ["a"]}, "columns of different lengths (image 1, joint_a 3,"),
        ({"label": [[1, 0, 0]]}, "depth labels: label has shape (1, 3); expected one entry per row"),
        ({"skeleton": "stick"}, "unknown skeleton 'stick'; known: h36m17,"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(InputError) as error:
        some(**changes)
    assert message in str(error.value)


def test_parquet_round_trip(tmp_path):
    save_labels(some(), tmp_path / "labels.parquet")
    assert_same(load_labels(tmp_path / "labels.parquet"), some())
    assert [path.name for path in tmp_path.iterdir()] == ["labels.parquet"]
    table = pq.read_table(tmp_path / "labels.parquet")
    assert tuple(table.column_names) == COLUMNS
    assert table.schema.metadata[b"skeleton"] == b"h36m17"


def test_no_labels_round_trip(tmp_path):
    save_labels(some().select(slice(0, 0)), tmp_path / "none.parquet")
    assert len(load_labels(tmp_path / "none.parquet")) == 0


def test_load_refuses_other_files(tmp_path):
    path = tmp_path / "labels.parquet"
    with pytest.raises(InputError, match=r"labels.parquet: no such file$"):
        load_labels(path)
    path.write_bytes(b"not Parquet")
    with pytest.raises(InputError, match=r"labels\.parquet: not a readable Parquet file"):
        load_labels(path)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(InputError, match="not a file of depth labels; make one with `poseterior labels import`"):
        load_labels(path)
    with pytest.raises(InputError, match="is a folder"):
        load_labels(tmp_path)


def test_load_names_the_file_and_the_row_of_a_bad_entry(tmp_path):
    path = tmp_path / "labels.parquet"
    save_labels(some(), path)
    table = pq.read_table(path)
    bad = table.set_column(3, "label", pa.array([-1, 9, 0], pa.int8()))
    pq.write_table(bad.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(InputError) as error:
        load_labels(path)
    assert str(error.value).startswith(f"{path}: depth labels: row 1: label is 9.0; expected -1")
    pq.write_table(table.drop_columns(["time"]), path)
    with pytest.raises(InputError, match="the column 'time' is missing"):
        load_labels(path)
    empty = table.set_column(0, "image", pa.array(["a", None, "b"]))
    pq.write_table(empty.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(InputError, match="the column 'image' has empty entries"):
        load_labels(path)


@pytest.mark.parametrize(
    ("pose", "name"),
    [
        (PoseId("x.jpg", 0, 0), "x.jpg"),
        (PoseId("x.mp4", 12, 0), "x.mp4#12"),
        (PoseId("x.mp4", 12, 1), "x.mp4#12#1"),
        (PoseId("x.jpg", 0, 2), "x.jpg#0#2"),
    ],
)
def test_image_id_leaves_out_zeros_at_the_end(pose, name):
    assert image_id(pose) == name
