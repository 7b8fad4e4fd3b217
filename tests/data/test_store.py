from __future__ import annotations

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poseterior.data.store import Mocap, PoseStore
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS


def _clip(frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    rotations = generator.normal(size=(frames, 22, 4))
    rotations /= np.linalg.norm(rotations, axis=-1, keepdims=True)
    h36m17 = generator.normal(size=(frames, 17, 3))
    h36m17[:, 10] = np.nan
    positions = generator.normal(size=(frames, 22, 3))
    return positions.astype(np.float32), rotations.astype(np.float32), h36m17.astype(np.float32)


@pytest.fixture
def store(tmp_path):
    with PoseStore.create(tmp_path / "store") as writer:
        writer.add("b/fast", *_clip(25, 1), fps=120, subject="01", action="walk", source="x", licence="free")
        writer.add("a/slow", *_clip(10, 2), fps=30, subject="02", action="run", source="y")
    return PoseStore(tmp_path / "store")


def test_round_trip_is_exact(store):
    mocap = store.load()
    assert len(store) == len(mocap) == 35
    for index, (frames, seed) in enumerate(((25, 1), (10, 2))):
        rows = mocap.clip == index
        for found, expected in zip((mocap.positions, mocap.rotations, mocap.h36m17), _clip(frames, seed), strict=True):
            np.testing.assert_array_equal(found[rows], expected)
        np.testing.assert_array_equal(mocap.frame[rows], np.arange(frames))
    assert mocap.clip_names == ("b/fast", "a/slow")
    assert (mocap.subject, mocap.action, mocap.source_names) == (("01", "02"), ("walk", "run"), ("x", "y"))
    assert mocap.fps.tolist() == [120, 30]
    assert {a.dtype.name for a in (mocap.positions, mocap.rotations, mocap.h36m17)} == {"float32"}


def test_clips_table(store):
    assert store.clips.to_pylist() == [
        {"clip": "b/fast", "frames": 25, "subject": "01", "action": "walk", "source": "x", "fps": 120.0},
        {"clip": "a/slow", "frames": 10, "subject": "02", "action": "run", "source": "y", "fps": 30.0},
    ]


@pytest.mark.parametrize(
    ("fps", "kept", "rates"),
    [
        (120, (25, 10), (120, 30)), (60, (13, 10), (60, 30)), (50, (9, 10), (40, 30)), (30, (7, 10), (30, 30)),
        (10, (3, 4), (10, 10)), (29.97, (7, 10), (30, 30)), (1000, (25, 10), (120, 30)),
    ],
)  # fmt: skip
def test_thinning_keeps_every_kth_frame(store, fps, kept, rates):
    mocap = store.load(fps=fps)
    assert tuple(np.bincount(mocap.clip)) == kept
    assert tuple(mocap.fps.tolist()) == rates
    step = 120 // rates[0]
    np.testing.assert_array_equal(mocap.frame[mocap.clip == 0], np.arange(0, 25, step))
    np.testing.assert_array_equal(mocap.positions[mocap.clip == 0], _clip(25, 1)[0][::step])


def test_picking_clips(store):
    mocap = store.load(clips=["a/slow"])
    assert mocap.clip_names == ("a/slow",)
    assert set(mocap.clip.tolist()) == {0}
    np.testing.assert_array_equal(mocap.positions, _clip(10, 2)[0])
    with pytest.raises(InputError, match=r"no clip 'c'; `poseterior data inspect` lists the clips"):
        store.load(clips=["c"])
    with pytest.raises(InputError, match="fps is 0; expected a positive number"):
        store.load(fps=0)


def test_mocap_select_and_cat(store):
    mocap = store.load()
    both = Mocap.cat([mocap, mocap.select(mocap.clip == 1)])
    assert len(both) == 45
    assert both.clip_names == ("b/fast", "a/slow", "b/fast", "a/slow")
    assert set(both.clip[35:].tolist()) == {3}
    np.testing.assert_array_equal(both.positions[35:], mocap.positions[25:])
    assert both.fps.tolist() == [120, 30, 120, 30]
    with pytest.raises(InputError, match="no mocap to join"):
        Mocap.cat([])


def test_schema_says_units_axes_joints_and_licence(store):
    schema = pq.read_schema(store.files[0])
    text = {k.decode(): v.decode() for k, v in schema.metadata.items()}
    assert json.loads(text["positions_joints"]) == list(SKELETONS["smpl22"].joints)
    assert json.loads(text["h36m17_joints"]) == list(SKELETONS["h36m17"].joints)
    assert "metres" in text["units"]
    assert "y up" in text["axes"]
    assert text["quaternion_order"].startswith("x, y, z, w")
    assert text["licence"] == store.metadata["licence"] == "free"
    types = {field.name: str(field.type) for field in schema}
    assert types["positions"].startswith("fixed_size_list<element: float>[66]") or "[66]" in types["positions"]
    assert [types[c] for c in ("clip", "frame", "fps")] == ["string", "int32", "float"]
    column = pq.read_metadata(store.files[0]).row_group(0)
    encodings = {column.column(i).path_in_schema: column.column(i) for i in range(column.num_columns)}
    floats = encodings["positions.list.element"]
    assert "BYTE_STREAM_SPLIT" in floats.encodings
    assert "RLE_DICTIONARY" not in floats.encodings
    assert floats.compression == "ZSTD"


def test_pandas_and_polars_read_it(store):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    frame = pandas.read_parquet(store.path)
    assert np.stack(frame["rotations"]).shape == (35, 88)
    assert frame["clip"].nunique() == 2
    table = polars.read_parquet(str(store.path / "*.parquet"))
    np.testing.assert_array_equal(table["positions"].to_numpy()[:25].reshape(25, 22, 3), _clip(25, 1)[0])


def test_append_keeps_what_there_is(store):
    with PoseStore.create(store.path, append=True) as writer:
        writer.add("c", *_clip(5, 3), fps=30, licence="other")
    again = PoseStore(store.path)
    assert again.load().clip_names == ("b/fast", "a/slow", "c")
    assert again.metadata["licence"] == "free\nother"
    with pytest.raises(InputError, match="clip 'c' is in the store already"), \
            PoseStore.create(store.path, append=True) as writer:  # fmt: skip
        writer.add("c", *_clip(5, 3), fps=30)
    assert len(PoseStore(store.path)) == 40


def test_licences_that_come_later_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("poseterior.data.store._ROWS_A_GROUP", 8)
    with PoseStore.create(tmp_path / "s") as writer:
        for number, licence in enumerate(("one", "one", "two", "")):
            writer.add(str(number), *_clip(9, number), fps=30, licence=licence)
    store = PoseStore(tmp_path / "s")
    assert store.metadata["licence"] == "one\ntwo"
    assert store.load().clip_names == ("0", "1", "2", "3")


def test_an_existing_store_is_not_replaced_unless_asked(store):
    with pytest.raises(InputError, match="exists already; choose another folder, or ask to overwrite or append"):
        PoseStore.create(store.path)
    with PoseStore.create(store.path, overwrite=True) as writer:
        writer.add("new", *_clip(3), fps=30)
    assert PoseStore(store.path).load().clip_names == ("new",)
    assert os.listdir(store.path.parent) == ["store"]


def test_a_folder_that_is_no_store_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.tex").write_text("precious")
    with pytest.raises(InputError, match="no Parquet file in it; not a pose store"):
        PoseStore.create(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis/chapter1.tex").read_text() == "precious"


def test_a_failure_leaves_the_store_as_it_was(store):
    class Stop(Exception):
        pass

    def killed_halfway() -> None:
        with PoseStore.create(store.path, overwrite=True) as writer:
            writer.add("new", *_clip(3), fps=30)
            raise Stop

    with pytest.raises(Stop):
        killed_halfway()
    assert len(PoseStore(store.path)) == 35
    assert os.listdir(store.path.parent) == ["store"]


def test_an_empty_store_is_refused(tmp_path):
    with pytest.raises(InputError, match="no clip was added; nothing to store"), PoseStore.create(tmp_path / "s"):
        pass
    assert os.listdir(tmp_path) == []


def test_bad_clips_are_named(tmp_path):
    positions, rotations, h36m17 = _clip(4)
    holed = positions.copy()
    holed[2, 5] = np.nan
    for arrays, message in (
        ((holed, rotations, h36m17), "clip 'x': positions of frame 2 is not finite"),
        ((positions, rotations * 2, h36m17), "clip 'x': rotations are not unit quaternions"),
        ((positions, rotations[:3], h36m17), r"clip 'x': rotations has shape \(3, 22, 4\)"),
        ((positions[:0], rotations[:0], h36m17[:0]), r"clip 'x': positions has shape \(0, 22, 3\)"),
    ):
        with pytest.raises(InputError, match=message), PoseStore.create(tmp_path / "s") as writer:
            writer.add("x", *arrays, fps=30)
    with pytest.raises(InputError, match="fps is nan"), PoseStore.create(tmp_path / "s") as writer:
        writer.add("x", positions, rotations, h36m17, fps=float("nan"))


def test_foreign_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="a pose store is a folder, but this does not exist; make one with"):
        PoseStore(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="but this is a file"):
        PoseStore(tmp_path / "file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        PoseStore(tmp_path / "other")
    pq.write_table(pa.table({"clip": ["a"]}), tmp_path / "other/a.parquet")
    with pytest.raises(InputError, match="column 'frame' is missing, expected int32"):
        PoseStore(tmp_path / "other")


def test_a_newer_format_is_refused(store):
    table = pq.read_table(store.files[0])
    metadata = table.schema.metadata | {b"format": b"poseterior-pose-store/9"}
    pq.write_table(table.replace_schema_metadata(metadata), store.files[0])
    with pytest.raises(InputError, match="format 'poseterior-pose-store/9'; this version of poseterior reads"):
        PoseStore(store.path)


# -- stores that other programs wrote again ------------------------------------------------------------------


def rewritten(store, tmp_path, change) -> PoseStore:
    """The store's table after ``change``, which takes and returns a pyarrow table, in a folder of its own."""
    table = change(pa.concat_tables([pq.read_table(file) for file in store.files]))
    (tmp_path / "again").mkdir()
    pq.write_table(table, tmp_path / "again" / "part.parquet")
    return PoseStore(tmp_path / "again")


def test_rows_in_any_order_are_read_in_order_of_the_frames(store, tmp_path):
    shuffled = rewritten(store, tmp_path, lambda t: t.take(np.random.default_rng(0).permutation(len(t))))
    for fps in (None, 60):
        mocap, expected = shuffled.load(fps), store.load(fps)
        for number, name in enumerate(mocap.clip_names):
            rows, other = mocap.clip == number, expected.clip == expected.clip_names.index(name)
            np.testing.assert_array_equal(mocap.frame[rows], expected.frame[other])
            np.testing.assert_array_equal(mocap.positions[rows], expected.positions[other])
            np.testing.assert_array_equal(mocap.rotations[rows], expected.rotations[other])
        assert (np.diff(mocap.clip) >= 0).all()


@pytest.mark.parametrize("first", [0, 1])
def test_a_store_thinned_elsewhere_has_the_rate_of_its_rows(store, tmp_path, first):
    """Every fourth frame of 120 a second, whatever the first: 30 a second, and every third of these 10."""

    def thin(table):
        return table.filter([i % 4 == first for i in table["frame"].to_pylist()])

    thinned = rewritten(store, tmp_path, thin)
    mocap = thinned.load(clips=["b/fast"])
    assert mocap.fps.tolist() == [30]
    assert mocap.frame.tolist() == list(range(first, 25, 4))
    again = thinned.load(fps=10, clips=["b/fast"])
    assert again.fps.tolist() == [10]
    assert again.frame.tolist() == list(range(first, 25, 12))
    np.testing.assert_array_equal(again.positions, _clip(25, 1)[0][first::12])
