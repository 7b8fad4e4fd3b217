"""One small file of each kind of damage that once ended in a traceback, in a hang, or in numbers that are none."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzz_harness import Bench, address_limit, time_limit
from PIL import Image

from poseterior.cli import main
from poseterior.files.errors import InputError
from poseterior.files.images import image_size, read_image
from poseterior.results.poses import load_result
from poseterior.training.recipes import read_recipe
from poseterior.training.run import build_lifter


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("kinds"))


@pytest.fixture
def refused(bench: Bench) -> Callable[..., str]:
    """Changes the (first) file of a target, which must then be refused in time and within 2 GiB; the message."""

    def run(name: str, change: Callable[[bytes], bytes], pattern: str = "") -> str:
        path, files = bench._ready(name)
        file, _, content = next(f for f in files if re.search(pattern, f[0].name))
        file.write_bytes(change(content))
        try:
            with pytest.raises(InputError) as caught, time_limit(20), address_limit(2 * 1024**3):
                bench.targets[name].read(path, Random(1))
        finally:
            file.write_bytes(content)
        message = str(caught.value)
        assert str(file) in message or path.name in message
        assert len(message) < 1300
        assert not isinstance(caught.value.__cause__, MemoryError)
        return message

    return run


# -- Parquet ---------------------------------------------------------------------------------------------

PARQUET = ("pose store", "observations", "label store", "scores of poses")


def changed_table(change: Callable[[pa.Table], pa.Table]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        file = io.BytesIO()
        pq.write_table(change(pq.read_table(pa.BufferReader(content))), file)
        return file.getvalue()

    return changed


def column(name: str, made: Callable[[int], Any]) -> Callable[[bytes], bytes]:
    """Another column of that name, from the number of rows."""
    return changed_table(lambda t: t.set_column(t.column_names.index(name), name, made(len(t))))


@pytest.mark.parametrize("name", ["pose store", "observations", "label store"])
def test_metadata_that_are_no_text(refused: Callable[..., str], name: str) -> None:
    def change(table: pa.Table) -> pa.Table:
        return table.replace_schema_metadata(dict(table.schema.metadata) | {b"format": b"\xff\xfe"})

    assert "the schema's metadata 'format' is not UTF-8 text (byte 0)" in refused(name, changed_table(change))


def test_constants_of_a_result_that_are_no_text(refused: Callable[..., str]) -> None:
    change = changed_table(lambda t: t.replace_schema_metadata({b"poseterior": b"\xff{}"}))
    assert "damaged schema metadata ('utf-8' codec" in refused("result parquet", change)


def test_metadata_of_others_do_not_matter(bench: Bench) -> None:
    path, files = bench._ready("observations")
    content = files[0][2]
    table = pq.read_table(pa.BufferReader(content))
    try:
        pq.write_table(table.replace_schema_metadata(dict(table.schema.metadata) | {b"\xff": b"\xfe"}), path)
        bench.valid("observations")
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "field", "made", "message"),
    [
        ("observations", "xy", lambda n: pa.array([[1.0, 2.0]] * n), "column 'xy': row 0 holds 2 numbers; expected 34"),
        ("observations", "pose", lambda n: pa.array([["a"] * 51] * n), "column 'pose' holds string; expected"),
        ("observations", "xy", lambda n: pa.array([1.0] * n), "column 'xy' holds double; expected lists of 34 numbers"),
        ("observations", "visible", lambda n: pa.array([True] * n), "'visible' holds bool; expected lists of 17"),
        ("observations", "xy", lambda n: pa.array([None] * n, pa.list_(pa.float32(), 34)), "'xy': row 0 has an empty"),
        ("observations", "action", lambda n: pa.array([1.5] * n), "column 'action' holds double; expected text"),
        (
            "pose store",
            "rotations",
            lambda n: pa.array([[1.0]] * n),
            "column 'rotations': row 0 holds 1 numbers; expected 88",
        ),
        ("pose store", "positions", lambda n: pa.array([[np.inf] * 66] * n, pa.list_(pa.float32(), 66)), "not finite"),
        (
            "result parquet",
            "mean",
            lambda n: pa.array([[0.0]] * n),
            "column 'mean': row 0 holds 1 numbers; expected 51",
        ),
        ("label store", "confidence", lambda n: pa.array([[0.5]] * n), "column 'confidence' holds list<"),
        ("scores of poses", "MPJPE", lambda n: pa.array(["x"] * n), "column 'MPJPE' holds string; expected scores"),
    ],
)
def test_columns_of_another_type_or_length(
    refused: Callable[..., str], name: str, field: str, made: Callable[[int], Any], message: str
) -> None:
    assert message in refused(name, column(field, made))


@pytest.mark.parametrize(
    ("name", "field", "made", "message"),
    [
        ("pose store", "fps", lambda n: pa.array([None] * n, pa.float32()), "column 'fps': row 0 has an empty cell"),
        ("pose store", "fps", lambda n: pa.array([-1.0] * n, pa.float32()), "row 0 is -1.0; expected a positive"),
        ("pose store", "fps", lambda n: pa.array(["30"] * n), "column 'fps' is string, expected float"),
        ("pose store", "frame", lambda n: pa.array([None] * n, pa.int32()), "column 'frame': row 0 has an empty cell"),
        ("pose store", "clip", lambda n: pa.array([None] * n, pa.string()), "column 'clip': row 0 has an empty cell"),
        ("observations", "frame", lambda n: pa.array(["1"] * n), "column 'frame' holds string; expected whole numbers"),
        ("observations", "frame", lambda n: pa.array([None] * n, pa.int32()), "column 'frame': row 0 has an empty"),
        ("observations", "clip", lambda n: pa.array([b"\xff"] * n), "column 'clip' holds binary; expected text"),
    ],
)
def test_frames_rates_and_names_that_are_none(
    refused: Callable[..., str], name: str, field: str, made: Callable[[int], Any], message: str
) -> None:
    assert message in refused(name, column(field, made))


def test_a_store_of_nothing(refused: Callable[..., str]) -> None:
    message = refused("pose store", changed_table(lambda t: t.slice(0, 0)))
    assert "the store holds no frame; import motion capture into it anew" in message


def test_a_column_that_is_there_twice(refused: Callable[..., str]) -> None:
    change = changed_table(lambda t: t.append_column("frame", t["frame"]))
    assert "the column 'frame' is there twice" in refused("pose store", change)


def test_poses_may_be_unknown_where_they_were_not_observed(bench: Bench) -> None:
    from poseterior.data.observations import load_observations

    path, files = bench._ready("observations")
    content = files[0][2]
    unknown = pa.array([[np.nan] * 3 + [0.0] * 48] * 3, pa.list_(pa.float32(), 51))
    observed = pa.array([[False] + [True] * 16] * 3, pa.list_(pa.bool_(), 17))
    try:
        path.write_bytes(column("pose", lambda _: unknown)(content))
        with pytest.raises(InputError, match="pose: 'clip', frame 0: is not finite, or too large"):
            load_observations(path)
        path.write_bytes(column("observed", lambda _: observed)(path.read_bytes()))
        assert load_observations(path).observations.pose[:, 0].isnan().all()
    finally:
        path.write_bytes(content)


def test_wider_numbers_are_narrowed(bench: Bench) -> None:
    import torch

    path, files = bench._ready("observations")
    content = files[0][2]
    change = changed_table(
        lambda t: t.set_column(t.column_names.index("pose"), "pose", t["pose"].cast(pa.list_(pa.float64(), 51)))
    )
    try:
        path.write_bytes(change(content))
        assert bench.targets["observations"].read(path, Random(0)).observations.pose.dtype == torch.float32
    finally:
        path.write_bytes(content)


def test_scores_that_are_true_or_false_are_scores(bench: Bench) -> None:
    path, files = bench._ready("scores of poses")
    content = files[0][2]
    try:
        path.write_bytes(column("MPJPE", lambda n: pa.array([True] * n))(content))
        bench.valid("scores of poses")
    finally:
        path.write_bytes(content)


def test_seeds_and_protocols_that_are_none(refused: Callable[..., str]) -> None:
    def change(**more: bytes | None) -> Callable[[bytes], bytes]:
        def metadata(table: pa.Table) -> pa.Table:
            changed = dict(table.schema.metadata) | {key.encode(): value for key, value in more.items()}
            return table.replace_schema_metadata({k: v for k, v in changed.items() if v is not None})

        return changed_table(metadata)

    assert "'seed' is 'x'; expected a whole number" in refused("observations", change(seed=b"x"))
    assert "the schema's metadata lack 'protocol'" in refused("observations", change(protocol=None))


def test_a_parquet_file_that_unpacks_out_of_all_proportion(tmp_path: Path) -> None:
    from poseterior.files.parquet import read_table

    rows = pa.array(np.zeros(2_000_000, np.int8))
    wide = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(100, np.int8)), 100)
    pq.write_table(pa.table({"a": rows}), tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").num_rows == 2_000_000
    many = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2_000_000, np.int32)), wide.slice(0, 1).flatten())
    table = pa.table({f"c{i}": many for i in range(80)})
    pq.write_table(table, tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"bytes claim to unpack to [\d,]+; refused as a decompression bomb"):
        read_table(tmp_path / "b.parquet")


# -- npz -------------------------------------------------------------------------------------------------

NPZ = ("keypoints npz", "heatmaps", "3D points npz", "result npz", "amass", "smpl npz", "peer's results")


def entries(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def packed(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return file.getvalue()


def with_array(name: str, array: np.ndarray) -> Callable[[bytes], bytes]:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return lambda content: packed(entries(content) | {f"{name}.npy": file.getvalue()})


def with_header(text: str) -> Callable[[bytes], bytes]:
    """The first array begins with this header."""

    def change(content: bytes) -> bytes:
        members = entries(content)
        raw = text.encode() + b"\n"
        first = next(
            name
            for name in members
            if name[:-4] in ("keypoints", "heatmaps", "points", "samples", "poses", "v_template")
        )
        members[first] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + bytes(80)
        return packed(members)

    return change


@pytest.mark.parametrize("name", NPZ)
@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999999999)}",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (99999999999,)}",
        "{'descr': '|V0', 'fortran_order': False, 'shape': (99999999999,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True, -1)}",
        "{'descr': [('a', [('b', '<f8')])], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': ()}",
        "{" * 200,
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "(" * 300,
        "",
    ],
)
def test_odd_headers_inside_an_npz(refused: Callable[..., str], name: str, header: str) -> None:
    refused(name, with_header(header))


@pytest.mark.parametrize("name", NPZ)
@pytest.mark.parametrize(("at", "value"), [(8, 1), (8, 0x20), (8, 0x40), (10, 99), (10, 97), (10, 1), (10, 9)])
def test_odd_flags_and_methods_of_compression(refused: Callable[..., str], name: str, at: int, value: int) -> None:
    """Encrypted, patched and strongly encrypted entries, and methods that zipfile has not."""

    def change(content: bytes) -> bytes:
        data = bytearray(content)
        for match in re.finditer(b"PK\x01\x02", content):
            data[match.start() + at : match.start() + at + 2] = struct.pack("<H", value)
        for match in re.finditer(b"PK\x03\x04", content):
            data[match.start() + at - 2 : match.start() + at] = struct.pack("<H", value)
        return bytes(data)

    refused(name, change)


@pytest.mark.parametrize(
    ("name", "field", "array", "message"),
    [
        ("result npz", "level", np.array([0.9, 0.5]), "level: expected a probability"),
        ("result npz", "calibrated", np.array([True, False]), "calibrated: expected true or false"),
        ("result npz", "schema", np.array(["a", "b"]), "not a poseterior result"),
        ("result npz", "seed", np.array([1, 2]), "seed: expected one whole number or none"),
        ("result npz", "settings", np.array("x"), "settings: expected an (n, 2) array"),
        ("result npz", "joint_names", np.array("pelvis"), "joint_names: expected a list of names"),
        ("amass", "mocap_framerate", np.array([120.0, 60.0]), "expected one positive number"),
        ("amass", "mocap_framerate", np.array("fast"), "expected one positive number"),
        ("heatmaps", "joint_names", np.array("pelvis"), "joint_names: array of shape (); expected (17,)"),
        ("keypoints npz", "height", np.array([[1.7]]), "height: array of shape (1, 1); expected (2,)"),
    ],
)
def test_scalars_that_are_arrays_and_arrays_that_are_scalars(
    refused: Callable[..., str], name: str, field: str, array: np.ndarray, message: str
) -> None:
    assert message in refused(name, with_array(field, array))


@pytest.mark.parametrize(
    ("name", "field", "array", "message"),
    [
        ("amass", "poses", np.full((3, 156), 1e300), "'poses' of frame 0, joint 'pelvis' is not finite, or beyond"),
        ("amass", "trans", np.full((3, 3), 1e300), "'trans' of frame 0 is not finite, or beyond"),
        ("amass", "mocap_framerate", np.array(1e-300), "frames per second; expected 0.001 to"),
        ("smpl npz", "shapedirs", np.full((30, 3, 10), 1e300), "'shapedirs' has values that are not finite, or beyond"),
        ("smpl npz", "v_template", np.full((30, 3), np.inf), "'v_template' has values that are not finite"),
        ("3D points npz", "points", np.full((2, 17, 3), np.inf), "points: frame 0, joint 'pelvis' is [inf"),
        (
            "3D points npz",
            "sigma",
            np.full(17, np.nan),
            "sigma, joint 'pelvis': is nan; expected the standard deviation",
        ),
    ],
)
def test_numbers_that_are_none(
    refused: Callable[..., str], name: str, field: str, array: np.ndarray, message: str
) -> None:
    assert message in refused(name, with_array(field, array))


@pytest.mark.parametrize("line", ["9" * 5000, "clip:" + "9" * 5000, "z" * 3000])
def test_lists_of_poses_with_numbers_that_are_none(refused: Callable[..., str], line: str) -> None:
    assert "line 1: expected a row number or CLIP:FRAME, got '" in refused("list of poses", lambda _: line.encode())


# -- weights and recipes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["mdn", "flow", "rotations", "regression", "unsupervised"])
@pytest.mark.parametrize(("field", "value"), [("blocks", 10_000_000), ("width", 1_000_000_000), ("width", 2**64)])
def test_weights_of_absurd_sizes(refused: Callable[..., str], method: str, field: str, value: int) -> None:
    def change(content: bytes) -> bytes:
        saved = json.loads(content)
        assert field in saved["config"]
        return json.dumps(saved | {"config": saved["config"] | {field: value}}).encode()

    message = refused(f"weights {method}", change, "config.json")
    assert "config.json: the network would be larger than " in message
    assert f"({field}: {value})" in message


@pytest.mark.parametrize("file", ["config.json", "card.json"])
def test_weights_with_deeply_nested_json(refused: Callable[..., str], file: str) -> None:
    message = refused("weights mdn", lambda _: b'{"a":' * 30_000 + b"0" + b"}" * 30_000, file)
    assert f"{file}: not readable as JSON (nested too deeply)" in message


def test_weights_in_wider_numbers_are_narrowed_and_looked_at_again(bench: Bench) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    from poseterior.lifters.base import load_model

    folder, files = bench._ready("weights mdn")
    content = next(content for file, _, content in files if file.name == "model.safetensors")
    path = folder / "model.safetensors"
    tensors = {name: tensor.double() for name, tensor in load_file(path).items()}
    try:
        save_file(tensors, path)
        assert all(p.dtype == torch.float32 for p in load_model(folder).parameters())
        name = next(iter(tensors))
        save_file(tensors | {name: torch.full_like(tensors[name], 1e300)}, path)
        with pytest.raises(InputError, match=r"holds values that are not finite"):
            load_model(folder)
    finally:
        path.write_bytes(content)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]" for i in range(12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 5000, "not YAML (nested too deeply)"),
        ("lifter: " + "[" * 30 + "]" * 30, "holds parts more than 20 deep; no recipe has as many"),
        (BOMB, "holds more than 100,000 parts; no recipe has as many"),
        ("a: &a [*a]", "no recipe has as many"),
        ("schedule: {steps: " + "9" * 5000 + "}", "not YAML (Exceeds the limit"),
        ("schedule: {seed: 2001-99-99}", "not YAML (month must be in 1..12"),
        ("schedule: {steps: !!timestamp x}", "not YAML ("),
        ("schedule: !!python/name:os.getcwd", "not YAML (could not determine a constructor"),
        ("schedule: {steps: 1" + "0" * 400 + "}", "schedule.steps: expected a number"),
        ("schedule: {batch: 1000000000000}", "schedule.batch: expected at most 1,048,576"),
        ("schedule: {steps: .inf}", "schedule.steps: expected a whole number"),
        ("data: {stores: 5}", "data.stores: expected the path of a store, or a list of paths, got 5"),
        ("lifter: {method: [a]}", "lifter: expected a mapping with 'method', a name"),
        ("lifter: {method: x}\nobjectives: [{name: {a: 1}}]", "objectives: expected a list of mappings with 'name'"),
        ("x" * 2_000_000, "has 2,000,000 characters; a recipe has at most 1,000,000"),
        ("\x00", "not YAML ("),
    ],
)
def test_recipes_with_absurd_values_or_nesting(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    body = text if "lifter:" in text else "lifter: {method: mdn}\nobjectives: [{name: likelihood}]\n" + text
    path.write_text(text if text[0] in "[x\x00" else body)
    with pytest.raises(InputError) as caught, time_limit(20), address_limit(2 * 1024**3):
        read_recipe(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("change", ["lifter.width=1000000000", "lifter.blocks=10000000", "lifter.kernels=100000000"])
def test_networks_that_no_machine_trains(change: str) -> None:
    recipe = read_recipe("mdn", [change])
    with pytest.raises(InputError, match="the network would be larger than"), time_limit(60):
        build_lifter(recipe.lifter)


# -- pictures ----------------------------------------------------------------------------------------------


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", body) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("read", [image_size, read_image])
@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((2**31 - 1, 2**31 - 1), "has more than 178 million px; make it smaller"),
        ((100_000, 100_000), "has more than 178 million px; make it smaller"),
        ((13_000, 13_000), r"claims to have 13000 x 13000 px in \d+ bytes; at most 178 million px are read"),
    ],
)
def test_pictures_that_claim_a_gigantic_size(
    tmp_path: Path, read: Callable[[Path], Any], size: tuple[int, int], message: str
) -> None:
    (tmp_path / "a.png").write_bytes(png_header(*size))
    with pytest.raises(InputError, match=r"a\.png: " + message), address_limit(1024**3):
        read(tmp_path / "a.png")


def test_a_large_picture_of_one_colour_is_read(tmp_path: Path) -> None:
    Image.new("L", (6000, 4000)).save(tmp_path / "a.png")
    assert image_size(tmp_path / "a.png") == (6000, 4000)


@pytest.mark.parametrize("size", [("100000000", "5"), ("1" + "0" * 30, "5"), ("1" + "0" * 400, "5"), ("-1", "5")])
def test_image_sizes_beyond_any_picture(
    bench: Bench, capsys: pytest.CaptureFixture[str], size: tuple[str, str]
) -> None:
    path, _ = bench._ready("keypoints npy")
    words = ["lift", str(path), "--skeleton", "h36m17", "--samples", "2", "--image-size", *size]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("poseterior: error: --image-size: ")
    assert len(said) < 400


@pytest.mark.parametrize(
    "covariance", [np.full((2, 2), np.nan), np.zeros((2, 2)), np.ones((2, 2)), -np.eye(2), np.array([[4.0, 2], [2, 1]])]
)
def test_covariances_that_are_singular_are_named_before_they_are_drawn(
    bench: Bench, capsys: pytest.CaptureFixture[str], covariance: np.ndarray
) -> None:
    path, files = bench._ready("result npz")
    content = files[0][2]
    spread = np.tile(np.eye(2, dtype=np.float32), (2, 17, 1, 1))
    spread[1, 3] = covariance
    try:
        path.write_bytes(with_array("keypoint_covariance", spread)(content))
        assert main(["view", str(path), "--overlay", str(path.with_name("a.png")), "--pose", "1"]) == 2
    finally:
        path.write_bytes(content)
    said = capsys.readouterr().err
    assert f"{path}: keypoint_covariance: pose 1, joint 'right_ankle' has " in said
    assert said.endswith("expected a positive definite matrix, or visible=False\n")


def test_a_hidden_joint_may_have_any_covariance(bench: Bench) -> None:
    path, _ = bench._ready("result npz")
    result = load_result(path)
    visible = result.visible.copy()
    visible[0, 3] = False
    spread = result.keypoint_covariance.copy()
    spread[0, 3] = 0.0
    assert not dataclasses.replace(result, visible=visible, keypoint_covariance=spread).visible[0, 3]


# -- HDF5 --------------------------------------------------------------------------------------------------


def test_a_dataset_that_unpacks_out_of_all_proportion(refused: Callable[..., str]) -> None:
    import h5py

    def change(content: bytes) -> bytes:
        file = io.BytesIO(content)
        with h5py.File(file, "r+") as opened:
            for name in ("joint_2d_gt", "joint_2d_pre", "joint_3d_gt"):
                del opened[name]
                opened.create_dataset(name, shape=(10**9, 17, 2), dtype="f8", chunks=(1000, 17, 2))
        return file.getvalue()

    message = refused("yu h5", change)
    assert "'joint_2d_gt'" in message or "'joint_2d_pre'" in message
    assert "refused as a decompression bomb" in message
