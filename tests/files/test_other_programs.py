"""Our files as other programs write them anew: read with the same numbers, or refused with what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poseterior.data.observations import load_observations, save_observations
from poseterior.data.store import PoseStore
from poseterior.files.errors import InputError
from poseterior.results.poses import load_result
from results.test_results import make_result

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")

LOST = "pandas, polars and DuckDB drop a file's metadata"


def by_pandas(source: Path, target: Path) -> None:
    pandas.read_parquet(source).to_parquet(target)


def by_polars(source: Path, target: Path) -> None:
    polars.read_parquet(source).write_parquet(target)


def as_duckdb(source: Path, target: Path) -> None:
    """What DuckDB writes: lists of any length, and no schema of Arrow's."""
    table = pq.read_table(source)
    columns = {
        name: table[name].cast(pa.list_(table[name].type.value_type))
        if pa.types.is_fixed_size_list(table[name].type)
        else table[name]
        for name in table.column_names
    }
    pq.write_table(pa.table(columns), target, store_schema=False)


PROGRAMS = {"pandas": by_pandas, "polars": by_polars, "duckdb": as_duckdb}


def hand_on(source: Path, target: Path) -> None:
    """The remedy that the message names."""
    table = pq.read_table(target)
    pq.write_table(table.replace_schema_metadata(pq.read_schema(source).metadata), target)


def footer_only(source: Path, target: Path) -> None:
    """How polars' and DuckDB's options for metadata write them: beside Arrow's schema, not in it."""
    table = pq.read_table(target).replace_schema_metadata(None)
    metadata = {k: v for k, v in pq.read_schema(source).metadata.items() if not k.startswith(b"ARROW")}
    with pq.ParquetWriter(target, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)


def null_row(path: Path, row: int = 1) -> None:
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[row] = dict.fromkeys(rows[row])
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


# -- results -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", list(PROGRAMS))
@pytest.mark.parametrize("kept", [hand_on, footer_only])
def test_results(program: str, kept: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "a.parquet", tmp_path / "b.parquet"
    make_result().save(source)
    PROGRAMS[program](source, target)
    with pytest.raises(
        InputError, match=re.escape(f"{target}: holds the columns of a poseterior result, but no")
    ) as lost:
        load_result(target)
    assert LOST in str(lost.value)
    kept(source, target)
    first, second = load_result(source), load_result(target)
    for name in (
        "samples",
        "mean",
        "covariance",
        "keypoints",
        "visible",
        "region_radius",
        "frame",
        "file",
        "intrinsics",
    ):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    null_row(target)
    if kept is hand_on:
        with pytest.raises(InputError, match=r"has empty cells, the first in row 1; drop such rows, or lift again"):
            load_result(target)


def test_results_through_savez(tmp_path: Path) -> None:
    source, target = tmp_path / "a.npz", tmp_path / "b.npz"
    make_result().save(source)
    with np.load(source) as archive:
        arrays = dict(archive)
    np.savez(target, **arrays)
    first, second = load_result(source), load_result(target)
    assert first.file.tolist() == second.file.tolist()
    np.testing.assert_array_equal(first.samples, second.samples)
    # as before, when the array was called file
    import zipfile

    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name.replace("file_name", "file"), old.read(name))
    assert load_result(target).file.tolist() == first.file.tolist()


# -- stores and observations --------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    rotations = random.normal(size=(6, 22, 4)).astype(np.float32)
    rotations /= np.linalg.norm(rotations, axis=-1, keepdims=True)
    h36m17 = random.normal(size=(6, 17, 3)).astype(np.float32)
    h36m17[:, 10] = np.nan
    with PoseStore.create(tmp_path / "store") as writer:
        writer.add("c", random.normal(size=(6, 22, 3)).astype(np.float32), rotations, h36m17, fps=30, subject="s")
    return PoseStore(tmp_path / "store").files[0]


@pytest.mark.parametrize("program", list(PROGRAMS))
def test_stores(program: str, store: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    target = tmp_path / "again" / store.name
    PROGRAMS[program](store, target)
    first, second = PoseStore(store.parent).load(), PoseStore(target.parent).load()
    for name in ("positions", "rotations", "h36m17", "frame", "clip", "fps"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype, name
        np.testing.assert_array_equal(one, other, err_msg=name)
    null_row(target)
    with pytest.raises(InputError, match=r"row 1 has an empty cell|row 1 is nan; expected a positive number"):
        PoseStore(target.parent).load()


def test_a_store_with_wider_numbers(store: Path) -> None:
    table = pandas.read_parquet(store).astype({"frame": "int64", "fps": "float64"})
    first = PoseStore(store.parent).load()
    table.to_parquet(store)
    second = PoseStore(store.parent).load()
    assert (second.frame.dtype, second.fps.dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(first.positions, second.positions)


def test_lists_of_another_length_are_refused(store: Path) -> None:
    table = pandas.read_parquet(store)
    table.at[2, "positions"] = table.at[2, "positions"][:5]
    table.to_parquet(store)
    with pytest.raises(InputError, match="column 'positions': row 2 holds 5 numbers; expected 66"):
        PoseStore(store.parent).load()


@pytest.mark.parametrize("program", list(PROGRAMS))
def test_observations(program: str, tmp_path: Path) -> None:
    from fuzz.fuzz_targets import _made_observations

    source, target = tmp_path / "a.parquet", tmp_path / "b.parquet"
    save_observations(_made_observations(), source)
    PROGRAMS[program](source, target)
    with pytest.raises(InputError, match="holds the columns of observations, but no metadata that say so: pandas"):
        load_observations(target)
    footer_only(source, target)
    first, second = load_observations(source), load_observations(target)
    assert first.protocol == second.protocol
    for name in ("pose", "root", "observed"):
        np.testing.assert_array_equal(getattr(first.observations, name), getattr(second.observations, name))
    np.testing.assert_array_equal(first.observations.keypoints.xy, second.observations.keypoints.xy)
    assert json.dumps(first.action) == json.dumps(second.action)
